"""Trees of scikit-learn: single ones, forests, gradient boosting, to the leaf that scikit-learn itself ends in.

Rule 1: features are rounded to float32 and compared with float64 thresholds; histogram boosting rounds nothing.
Rule 2: what a class of estimators adds to its trees (means, rates, a first guess, a link) is done in float64.
Rule 3: histogram boosting's categories are places among the values that its encoder knows; an unknown one, which has
        none, goes where a missing one does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError, CorruptModel
from gateway.graph.ensemble import KNOWN, LE, MEMBER, Column, Ensemble, Nodes, Tree, checked, columns_of, emit

SINGLE = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
BOOSTED = ("GradientBoostingClassifier", "GradientBoostingRegressor")
HISTOGRAM = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
ISOLATION = ("IsolationForest",)
KINDS = (*SINGLE, *FORESTS, *BOOSTED, *HISTOGRAM, *ISOLATION)
NO_CATEGORY = 2.0**30  # a place that no value has: onnxruntime takes no empty set, and whole numbers of int32 only


def is_trees(model: Any) -> bool:
    return type(model).__name__ in KINDS and type(model).__module__.startswith("sklearn.")


def takes_missing(model: Any) -> bool:
    """Whether scikit-learn answers for NaN."""
    name = type(model).__name__
    if name in HISTOGRAM:
        return True
    if name in BOOSTED:
        return False
    if name in ISOLATION:
        return True
    first = model if name in SINGLE else model.estimators_[0]
    return bool(first._support_missing_values(np.zeros((1, 1), np.float32))) and (
        getattr(model, "_missing_values_in_feature_mask", None) is not None
        or bool(np.asarray(first.tree_.__getstate__()["nodes"]["missing_go_to_left"]).any())
    )


def ensemble(model: Any) -> Ensemble:
    """Errors: ConversionError for what is not converted, CorruptModel for trees that are none."""
    name = type(model).__name__
    try:
        found = _ensemble(model)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptModel(f"{name} has trees that cannot be followed: {type(error).__name__}: {error}.") from None
    count = found.features + len(found.extra)
    trees = tuple(checked(tree, count, f"{name}: tree {number}") for number, tree in enumerate(found.trees))
    return replace(found, trees=trees)


def _ensemble(model: Any) -> Ensemble:
    name = type(model).__name__
    if name in HISTOGRAM:
        return _histogram(model)
    if name in BOOSTED:
        rate = float(model.learning_rate)
        rounds = model.estimators_
        trees = tuple(_tree(each.tree_, target, rate) for row in rounds for target, each in enumerate(row))
        return Ensemble(int(model.n_features_in_), trees, rounds.shape[1], rounded=True)
    if name in ISOLATION:
        return _isolation(model)
    members = [model] if name in SINGLE else list(model.estimators_)
    counts = [int(count) for count in np.atleast_1d(model.n_classes_)] if name.endswith("Classifier") else []
    trees = tuple(_tree(each.tree_, 0, 1.0, counts) for each in members)
    return Ensemble(int(model.n_features_in_), trees, sum(counts) or int(model.n_outputs_), rounded=True)


def _tree(tree: Any, target: int, rate: float, counts: list[int] = []) -> Tree:  # noqa: B006  never changed
    """`counts`: the classes of each output of a classifier, whose shares stand side by side."""
    left = np.asarray(tree.children_left, np.int64)
    ends = left == -1
    value = np.asarray(tree.value, np.float64)  # (nodes, outputs, classes)
    if counts:
        total = value.sum(axis=2, keepdims=True)  # 1 since 1.3; before, what was counted
        value = value / np.where(total == 0.0, 1.0, total)
        value = np.concatenate([value[:, place, :count] for place, count in enumerate(counts)], axis=1)
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


def _isolation(model: Any) -> Ensemble:
    """Leaves add how deep they lie, and what the rows that are left there would still need on average."""
    trees = []
    lengths = zip(model._decision_path_lengths, model._average_path_length_per_tree, strict=True)
    for each, columns, (path, further) in zip(model.estimators_, model.estimators_features_, lengths, strict=True):
        tree = _tree(each.tree_, 0, 1.0)
        place = tree.column
        if model._max_features != model.n_features_in_:  # else a tree reads all of them, in their own order
            place = np.where(place < 0, -1, np.asarray(columns, np.int64)[place])
        trees.append(replace(tree, column=place, value=np.asarray(path + further - 1.0, np.float64)))
    return Ensemble(int(model.n_features_in_), tuple(trees), rounded=True)


def categories(model: Any) -> dict[int, Array]:
    """Of histogram boosting: feature -> the values of its categories, in the order of its encoder, NaN left out."""
    if not np.any(getattr(model, "is_categorical_", None)):
        return {}
    if getattr(model, "_preprocessor", None) is None:
        raise ConversionError(f"{type(model).__name__} has categorical features as scikit-learn before 1.4 kept them.",
                              hint="Train it again with a newer scikit-learn.")  # fmt: skip
    lists = model._preprocessor.named_transformers_["encoder"].categories_
    known = [np.array([each for each in values if isinstance(each, str) or each == each]) for values in lists]
    return dict(zip(np.flatnonzero(model.is_categorical_).tolist(), known, strict=True))


def _histogram(model: Any) -> Ensemble:
    known = categories(model)
    count = int(model._n_features)
    # Its encoder puts the categorical features first.
    order = np.array([*known, *(place for place in range(count) if place not in known)], np.int64)
    extra = tuple(
        Column(feature, KNOWN, known=tuple(map(float, range(len(each)) if each.dtype.kind not in "fiub" else each)))
        for feature, each in known.items()
    )
    trees = []
    for row in model._predictors:
        for target, predictor in enumerate(row):
            nodes = predictor.nodes
            ends = nodes["is_leaf"].astype(bool)
            place = np.where(ends, 0, nodes["feature_idx"]).astype(np.int64)
            categorical = nodes["is_categorical"].astype(bool) & ~ends
            column = np.where(ends, -1, np.where(categorical, count + place, order[place]))
            missing = nodes["missing_go_to_left"].astype(bool)
            members = {
                node: _members(
                    predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]],
                    len(known[int(order[place[node]])]),
                    bool(missing[node]),
                )
                for node in np.flatnonzero(categorical).tolist()
            }
            # The set holds what is known and goes the other way than what is missing or unknown.
            swapped = categorical & missing
            trees.append(
                Tree(
                    column=column,
                    mode=np.where(categorical, MEMBER, LE).astype(np.uint8),
                    threshold=np.where(ends | categorical, 0.0, nodes["num_threshold"].astype(np.float64)),
                    true=np.where(swapped, nodes["right"], nodes["left"]).astype(np.int64),
                    false=np.where(swapped, nodes["left"], nodes["right"]).astype(np.int64),
                    missing=missing & ~categorical,
                    value=nodes["value"].astype(np.float64),
                    leaf=np.arange(len(nodes)),
                    target=target,
                    members=members,
                )
            )
    return Ensemble(count, tuple(trees), int(model.n_trees_per_iteration_), extra)


def _members(bits: Array, count: int, others: bool) -> tuple[float, ...]:
    """Places of the categories that go left, or, for `others`, that go right."""
    left = np.unpackbits(np.asarray(bits, "<u4").view(np.uint8), bitorder="little")[:count].astype(bool)
    return tuple(np.flatnonzero(left ^ others).astype(float).tolist()) or (NO_CATEGORY,)


def answer(graph: Nodes, features: str, model: Any, trees: Ensemble, *, single: bool = True) -> tuple[str, str]:
    """(probabilities or predictions, float64 (rows, n); the place of the label, int64 (rows), or "")."""
    data = columns_of(graph, features, trees, single=single)
    return behind(graph, emit(graph, data, trees), model, len(trees.trees))


def behind(graph: Nodes, sums: str, model: Any, count: int) -> tuple[str, str]:
    """What `model` makes of the sums of its trees."""
    name = type(model).__name__
    classes = name.endswith("Classifier")
    if name in ISOLATION:
        return _outliers(graph, sums, model)
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


def _outliers(graph: Nodes, depths: str, model: Any) -> tuple[str, str]:
    """(scores (rows, 1), under 0 for outliers; the label (rows), 1 or -1)."""
    from sklearn.ensemble._iforest import _average_path_length

    most = len(model.estimators_) * float(_average_path_length([model._max_samples])[0])
    if most:
        share = graph.node("Div", [depths, _number(graph, "most", -most)])
    else:  # of one row alone
        share = graph.node("Sub", [graph.node("Sub", [depths, depths]), _number(graph, "whole", 1.0)])
    power = graph.node("Neg", [graph.node("Pow", [_number(graph, "two", 2.0), share])], name="score_samples")
    scores = graph.node("Sub", [power, _number(graph, "offset", float(model.offset_))], name="decision")
    out = graph.node("Less", [scores, _number(graph, "nought", 0.0)])
    signs = (graph.constant("outlier", np.array(-1, np.int64)), graph.constant("inlier", np.array(1, np.int64)))
    label = graph.node("Where", [out, *signs])
    return scores, graph.node("Squeeze", [label, graph.constant("last", np.array([1], np.int64))])


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
    return whole_or_texts(model.classes_)


def whole_or_texts(classes: Any) -> Array:
    """int64, or objects of str. Errors: ConversionError for what is neither."""
    found = np.asarray(classes)
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


def of_outputs(graph: Nodes, sums: str, model: Any, count: int) -> list[str]:
    """Shares of the classes of each output, float64 (rows, classes), of the sums of `count` trees."""
    mean = graph.node("Div", [sums, _number(graph, "trees", count)], name="mean")
    ends = np.cumsum([len(classes) for classes in model.classes_]).tolist()
    axis = graph.constant("axis", np.array([1], np.int64))
    return [
        graph.node("Slice", [mean, *(graph.constant("place", np.array([at], np.int64)) for at in (first, end)), axis])
        for first, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


def labels(graph: Nodes, shares: list[str], classes: list[Any]) -> str:
    """The class of each output, int64 or string (rows, outputs)."""
    axis = graph.constant("behind", np.array([1], np.int64))
    found = [
        label(graph, _best(graph, share), whole_or_texts(each)) for share, each in zip(shares, classes, strict=True)
    ]
    return graph.node("Concat", [graph.node("Unsqueeze", [each, axis]) for each in found], axis=1)
