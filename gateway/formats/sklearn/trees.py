"""Trees of scikit-learn: single ones, forests, gradient boosting, to the leaf that scikit-learn itself ends in.

Rule 1: features are rounded to float32 and compared with float64 thresholds; histogram boosting rounds nothing.
Rule 2: what a class of estimators adds to its trees (means, rates, a first guess, a link) is done in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.graph.ensemble import LE, Ensemble, Nodes, Tree, columns_of, emit

SINGLE = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
BOOSTED = ("GradientBoostingClassifier", "GradientBoostingRegressor")
HISTOGRAM = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
KINDS = (*SINGLE, *FORESTS, *BOOSTED, *HISTOGRAM)


def is_trees(model: Any) -> bool:
    return type(model).__name__ in KINDS and type(model).__module__.startswith("sklearn.")


def takes_missing(model: Any) -> bool:
    """Whether scikit-learn answers for NaN."""
    name = type(model).__name__
    if name in HISTOGRAM:
        return True
    if name in BOOSTED:
        return False
    first = model if name in SINGLE else model.estimators_[0]
    return bool(first._support_missing_values(np.zeros((1, 1), np.float32))) and (
        getattr(model, "_missing_values_in_feature_mask", None) is not None
        or bool(np.asarray(first.tree_.__getstate__()["nodes"]["missing_go_to_left"]).any())
    )


def ensemble(model: Any) -> Ensemble:
    """Errors: ConversionError for what is not converted."""
    name = type(model).__name__
    if name in HISTOGRAM:
        return _histogram(model)
    if name in BOOSTED:
        rate = float(model.learning_rate)
        rounds = model.estimators_
        trees = tuple(_tree(each.tree_, target, rate) for row in rounds for target, each in enumerate(row))
        return Ensemble(int(model.n_features_in_), trees, rounds.shape[1], rounded=True)
    members = [model] if name in SINGLE else list(model.estimators_)
    if int(model.n_outputs_) > 1 and name.endswith("Classifier"):
        raise ConversionError(f"{name} of {model.n_outputs_} outputs answers a list of arrays; it is not converted.")
    trees = tuple(_tree(each.tree_, 0, 1.0, shares=name.endswith("Classifier")) for each in members)
    targets = int(np.max(model.n_classes_)) if name.endswith("Classifier") else int(model.n_outputs_)
    return Ensemble(int(model.n_features_in_), trees, targets, rounded=True)


def _tree(tree: Any, target: int, rate: float, *, shares: bool = False) -> Tree:
    left = np.asarray(tree.children_left, np.int64)
    ends = left == -1
    value = np.asarray(tree.value, np.float64)  # (nodes, outputs, classes)
    if shares:
        value = value[:, 0, :]
        total = value.sum(axis=1, keepdims=True)  # 1 since 1.3; before, what was counted
        value = value / np.where(total == 0.0, 1.0, total)
    else:
        value = value[:, :, 0]
        value = value[:, 0] * rate if value.shape[1] == 1 else value
    missing = getattr(tree, "missing_go_to_left", None)
    return Tree(
        column=np.where(ends, -1, np.asarray(tree.feature, np.int64)),
        mode=np.full(len(left), LE, np.uint8),
        threshold=np.where(ends, 0.0, np.asarray(tree.threshold, np.float64)),
        true=left,
        false=np.asarray(tree.children_right, np.int64),
        missing=np.zeros(len(left), bool) if missing is None else np.asarray(missing).astype(bool),
        value=value,
        leaf=np.arange(len(left)),
        target=target,
    )


def _histogram(model: Any) -> Ensemble:
    if getattr(model, "is_categorical_", None) is not None and np.any(model.is_categorical_):
        raise ConversionError(f"{type(model).__name__} has categorical features, which are not converted.")
    trees = []
    for row in model._predictors:
        for target, predictor in enumerate(row):
            nodes = predictor.nodes
            ends = nodes["is_leaf"].astype(bool)
            trees.append(
                Tree(
                    column=np.where(ends, -1, nodes["feature_idx"].astype(np.int64)),
                    mode=np.full(len(nodes), LE, np.uint8),
                    threshold=np.where(ends, 0.0, nodes["num_threshold"].astype(np.float64)),
                    true=nodes["left"].astype(np.int64),
                    false=nodes["right"].astype(np.int64),
                    missing=nodes["missing_go_to_left"].astype(bool),
                    value=nodes["value"].astype(np.float64),
                    leaf=np.arange(len(nodes)),
                    target=target,
                )
            )
    return Ensemble(int(model._n_features), tuple(trees), int(model.n_trees_per_iteration_))


def answer(graph: Nodes, features: str, model: Any, trees: Ensemble, *, single: bool = True) -> tuple[str, str]:
    """(probabilities or predictions, float64 (rows, n); the place of the label, int64 (rows), or "")."""
    data = columns_of(graph, features, trees, single=single)
    return behind(graph, emit(graph, data, trees), model, len(trees.trees))


def behind(graph: Nodes, sums: str, model: Any, count: int) -> tuple[str, str]:
    """What `model` makes of the sums of its trees."""
    name = type(model).__name__
    classes = name.endswith("Classifier")
    if name in SINGLE or name in FORESTS:
        mean = sums if count == 1 else graph.node("Div", [sums, _number(graph, "trees", count)], name="mean")
        return mean, _best(graph, mean) if classes else ""
    first = _first_guess(model)
    raw = graph.node("Add", [sums, graph.constant("first_guess", first)], name="raw")
    if not classes:
        link = type(model._loss.link).__name__ if name in HISTOGRAM else "IdentityLink"
        if link not in ("IdentityLink", "LogLink"):
            raise ConversionError(f"{name} has the link {link}; known are the identity and the logarithm.")
        return (graph.node("Exp", [raw]) if link == "LogLink" else raw), ""
    if first.shape[1] > 1:
        shares = graph.node("Softmax", [raw], name="softmax", axis=1)
        return shares, _best(graph, raw)
    double = getattr(model, "loss", "") == "exponential"
    scaled = graph.node("Mul", [raw, _number(graph, "twice", 2.0)]) if double else raw
    share = graph.node("Sigmoid", [scaled], name="sigmoid")
    rest = graph.node("Sub", [_number(graph, "one", 1.0), share])
    both = graph.node("Concat", [rest, share], name="both", axis=1)
    if name in HISTOGRAM:
        return both, _best(graph, both)
    over = graph.node("GreaterOrEqual", [raw, _number(graph, "nought", 0.0)])
    label = graph.node("Squeeze", [graph.node("Cast", [over], to=7), graph.constant("last", np.array([1], np.int64))])
    return both, label


def _first_guess(model: Any) -> Array:
    """(1, targets). Errors: ConversionError for a first guess that is a model of its own."""
    if type(model).__name__ in HISTOGRAM:
        return np.asarray(model._baseline_prediction, np.float64).reshape(1, -1)
    kind = type(model.init_).__name__
    if model.init_ != "zero" and not kind.startswith("Dummy"):
        raise ConversionError(f"{type(model).__name__} starts from a {kind}; only a constant start is converted.")
    row = np.zeros((1, int(model.n_features_in_)), np.float32)
    return np.asarray(model._raw_predict_init(row), np.float64).reshape(1, -1)


def _number(graph: Nodes, name: str, value: float) -> str:
    return graph.constant(name, np.array(value, np.float64))


def _best(graph: Nodes, tensor: str) -> str:
    return graph.node("ArgMax", [tensor], name="best", axis=1, keepdims=0)


def classes_of(model: Any) -> Array:
    """int64, or objects of str. Errors: ConversionError for classes that are neither."""
    found = np.asarray(model.classes_)
    if found.dtype.kind in "iub" or (found.dtype.kind == "f" and bool((found == found.astype(np.int64)).all())):
        return found.astype(np.int64)
    if found.dtype.kind in "US" or all(isinstance(item, str) for item in found.tolist()):
        texts = np.empty(len(found), object)
        texts[:] = [str(item) for item in found.tolist()]
        return texts
    raise ConversionError(f"its classes are of type {found.dtype}; expected whole numbers or strings.")


def label(graph: Nodes, place: str, classes: Array) -> str:
    """The class at that place, int64 or string (rows)."""
    if classes.dtype == np.int64 and np.array_equal(classes, np.arange(len(classes))):
        return place
    return graph.node("Gather", [graph.constant("classes", classes), place], name="class", axis=0)
