"""A model of XGBoost as its document says it: trees, objective, base score.

Rule 1: base_score is what the objective answers with no trees, except of multi-class models; what is added to the
        trees is its inverse. Since 3.1 it is a list, one number a group.
Rule 2: a condition is x < threshold in float32; a category that the node's set holds goes right, as does nothing else.
Rule 3: attributes such as best_iteration do not cut the trees: Booster.predict uses all, and so does this.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.xgboost import binary, ubj
from gateway.graph.ensemble import CATEGORY, LT, MEMBER, Column, Ensemble, Tree, checked

IDENTITY, SIGMOID, EXP, SOFTMAX, STEP = "identity", "sigmoid", "exp", "softmax", "step"
OBJECTIVES = {  # objective -> (answer from the sum, base score's own inverse)
    "reg:squarederror": (IDENTITY, IDENTITY), "reg:linear": (IDENTITY, IDENTITY),
    "reg:squaredlogerror": (IDENTITY, IDENTITY), "reg:pseudohubererror": (IDENTITY, IDENTITY),
    "reg:absoluteerror": (IDENTITY, IDENTITY), "reg:quantileerror": (IDENTITY, IDENTITY),
    "reg:expectileerror": (IDENTITY, IDENTITY),
    "reg:logistic": (SIGMOID, SIGMOID), "binary:logistic": (SIGMOID, SIGMOID), "binary:logitraw": (IDENTITY, IDENTITY),
    "binary:hinge": (STEP, IDENTITY), "multi:softmax": (SOFTMAX, IDENTITY), "multi:softprob": (SOFTMAX, IDENTITY),
    "rank:pairwise": (IDENTITY, IDENTITY), "rank:ndcg": (IDENTITY, IDENTITY), "rank:map": (IDENTITY, IDENTITY),
    "count:poisson": (EXP, EXP), "reg:gamma": (EXP, EXP), "reg:tweedie": (EXP, EXP), "survival:cox": (EXP, EXP),
    "survival:aft": (EXP, EXP),
}  # fmt: skip
CLASSES = ("binary:logistic", "binary:hinge", "multi:softmax", "multi:softprob")
CATEGORIES = 16777216.0  # what XGBoost takes for a category lies in [0, this)


@dataclass(frozen=True)
class Model:
    """`base` is (groups,), what is added to the sums. `weights` is (features + 1, groups) of a linear booster."""

    version: str
    booster: str
    objective: str
    features: int
    groups: int
    base: Array
    ensemble: Ensemble
    weights: Array | None = None
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    recoded: bool = False  # categories were texts: the file maps them to numbers
    old: bool = False  # of the binary form

    @property
    def answer(self) -> str:
        return OBJECTIVES[self.objective][0]

    @property
    def classes(self) -> bool:
        return self.objective in CLASSES


def document(path: Path) -> tuple[dict[str, Any], bool]:
    """(the document, whether it came from the binary form). Errors: CorruptModel, ConversionError."""
    data = path.read_bytes()
    old = False
    try:
        if data[:2] == b"{L" or (data[:1] == b"{" and data[1:2] in (b"i", b"U", b"I", b"l", b"$", b"#")):
            found = ubj.parse(data)
        elif data.lstrip()[:1] == b"{":
            found = json.loads(data)
        else:
            found, old = binary.parse(data), True
    except CorruptModel as error:
        raise CorruptModel(f"{path.name} is broken: {error.message}", hint="Save or copy the model again.") from None
    except ConversionError as error:
        raise ConversionError(f"{path.name}: {error.message}", hint=error.hint) from None
    except (ValueError, RecursionError) as error:
        raise CorruptModel(f"{path.name} is not whole JSON: {error}.", hint="Save or copy the model again.") from None
    if not isinstance(found, dict):
        raise CorruptModel(f"{path.name} holds no object.")
    return found, old


def read(path: Path) -> Model:
    """Errors: CorruptModel, ConversionError."""
    found, old = document(path)
    return of_document(found, path.name, old=old)


def of_document(found: Mapping[str, Any], file: str, *, old: bool = False) -> Model:
    """Errors: CorruptModel, ConversionError."""
    try:
        return _model(found, old, file)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise CorruptModel(
            f"{file} is not as XGBoost writes it: {type(error).__name__}: {error}.",
            hint="Save the model again with model.save_model('model.ubj').",
        ) from None


def _model(found: Mapping[str, Any], old: bool, file: str) -> Model:
    learner = found["learner"]
    parameters, booster = learner["learner_model_param"], learner["gradient_booster"]
    objective, name = str(learner["objective"]["name"]), str(booster["name"])
    if objective not in OBJECTIVES:
        raise ConversionError(
            f"{file} has the objective {objective!r}, whose answer from the sum of the trees is not known here; known "
            f"are {', '.join(OBJECTIVES)}.",
            hint="Save the model with one of these, or serve its margins: objective 'reg:squarederror'.",
        )
    features = int(parameters["num_feature"])
    groups = max(1, int(parameters.get("num_class", 0)), int(parameters.get("num_target", 1)))
    if not 0 < features <= 1 << 24 or groups > 1 << 16:
        raise CorruptModel(f"{file} says that it has {features} features and {groups} groups.")
    kinds = tuple(str(kind) for kind in learner.get("feature_types") or ())
    base = _base(parameters["base_score"], objective, groups, file)
    weights, ensemble = None, Ensemble(features, (), groups)
    if name == "gblinear":
        weights = np.array(booster["model"]["weights"], np.float64)
        if weights.size != (features + 1) * groups:
            raise CorruptModel(f"{file} has {weights.size} weights; expected {features + 1} times {groups}.")
        weights = weights.reshape(features + 1, groups)
        base[:] = base[0]  # XGBoost's linear booster adds the first one to every group
    elif name == "gbtree":
        ensemble = _ensemble(booster["model"], features, groups, None, file)
    elif name == "dart":
        ensemble = _ensemble(booster["gbtree"]["model"], features, groups, booster["weight_drop"], file)
    else:
        raise ConversionError(f"{file}: its booster is {name!r}; expected gbtree, dart or gblinear.")
    tables = booster.get("model", {}).get("cats", {}).get("enc", ()) if name == "gbtree" else ()
    return Model(
        version=_version(found),
        booster=name,
        objective=objective,
        features=features,
        groups=groups,
        base=base,
        ensemble=ensemble,
        weights=weights,
        names=tuple(str(each) for each in learner.get("feature_names") or ()),
        kinds=kinds,
        attributes={str(k): str(v) for k, v in (learner.get("attributes") or {}).items()},
        recoded=any(len(entry.get("values", ())) > 0 for entry in tables),
        old=old,
    )


def _version(found: Mapping[str, Any]) -> str:
    said = found.get("written by") or ".".join(str(int(part)) for part in found.get("version", ()))
    return str(said)


def _base(text: Any, objective: str, groups: int, file: str) -> Array:
    """Rule 1."""
    said = [float(part) for part in str(text).strip().strip("[]").split(",")]
    if len(said) not in (1, groups) or not all(map(math.isfinite, said)):
        raise CorruptModel(f"{file}: base_score is {text!r}; expected 1 or {groups} numbers.")
    inverse = OBJECTIVES[objective][1]
    if inverse == SIGMOID and not all(0 < score < 1 for score in said):
        raise CorruptModel(f"{file}: base_score is {text!r}; objective {objective} needs it between 0 and 1.")
    if inverse == EXP and not all(score > 0 for score in said):
        raise CorruptModel(f"{file}: base_score is {text!r}; objective {objective} needs it over 0.")
    numbers = np.array(said, np.float32)
    # In float32, as XGBoost does it: what is added is what it adds.
    if inverse == SIGMOID:
        numbers = -np.log(np.float32(1.0) / numbers - np.float32(1.0))
    elif inverse == EXP:
        numbers = np.log(numbers)
    return np.broadcast_to(numbers.astype(np.float64), (groups,)).copy()


def _ensemble(model: Mapping[str, Any], features: int, groups: int, dropped: Any, file: str) -> Ensemble:
    trees, info = model["trees"], [int(group) for group in model["tree_info"]]
    said = int(model["gbtree_model_param"]["num_trees"])
    if len(trees) != said or len(info) != said:
        raise CorruptModel(f"{file} says {said} trees and has {len(trees)}, with groups for {len(info)}.")
    if dropped is not None and len(dropped) != said:
        raise CorruptModel(f"{file} has {said} trees and {len(dropped)} weights of them.")
    if any(not 0 <= group < groups for group in info):
        raise CorruptModel(f"{file} has a tree of group {max(info)}, and {groups} groups.")
    parsed = [_arrays(tree, number, file) for number, tree in enumerate(trees)]
    categorical = sorted({int(f) for arrays in parsed for f in arrays["split"][arrays["categorical"]]})
    extra = {feature: features + place for place, feature in enumerate(categorical)}
    columns = tuple(Column(feature, CATEGORY, 0.0, CATEGORIES) for feature in categorical)
    made = []
    for number, arrays in enumerate(parsed):
        weight = 1.0 if dropped is None else float(dropped[number])
        made.append(
            _tree(arrays, info[number], weight, extra, features, features + len(columns), f"{file}: tree {number}")
        )
    return Ensemble(features, tuple(made), groups, columns)


def _arrays(tree: Mapping[str, Any], number: int, file: str) -> dict[str, Any]:
    left = np.asarray(tree["left_children"], np.int64)
    n = len(left)
    found: dict[str, Any] = {
        "left": left,
        "right": np.asarray(tree["right_children"], np.int64),
        "split": np.asarray(tree["split_indices"], np.int64),
        "condition": np.asarray(tree["split_conditions"], np.float32).astype(np.float64),
        "default": np.asarray(tree["default_left"]).astype(bool),
        "categorical": np.asarray(tree.get("split_type", [0] * n)).astype(bool) & (left != -1),
    }
    wrong = [name for name, array in found.items() if array.shape != (n,)]
    if wrong:
        raise CorruptModel(f"{file}: tree {number} has {n} nodes, and another number of {', '.join(wrong)}.")
    width = int(tree["tree_param"].get("size_leaf_vector", 1))
    found["vectors"] = None
    if width > 1:
        weights = tree.get("leaf_weights")
        # Before 3.2 base_weights hold a row of every node; since, leaf_weights one of every leaf, which right names.
        rows = np.asarray(tree["base_weights"] if weights is None else weights, np.float32).astype(np.float64)
        place = np.arange(n) if weights is None else np.where(left == -1, found["right"], 0)
        found["vectors"] = rows.reshape(-1, width)[place]
    members: dict[int, tuple[float, ...]] = {}
    categories = np.asarray(tree.get("categories", ()), np.int64)
    for node, start, size in zip(
        tree.get("categories_nodes", ()), tree.get("categories_segments", ()), tree.get("categories_sizes", ()),
        strict=True,
    ):  # fmt: skip
        if start < 0 or size < 0 or start + size > len(categories):
            raise CorruptModel(f"{file}: tree {number} names categories beyond the {len(categories)} it has.")
        members[int(node)] = tuple(float(c) for c in categories[start : start + size])
    found["members"] = members
    return found


def _tree(
    arrays: Mapping[str, Any], target: int, weight: float, extra: Mapping[int, int], features: int, columns: int,
    where: str,
) -> Tree:  # fmt: skip
    ends = arrays["left"] == -1
    split = np.where(ends, -1, arrays["split"])
    if (split >= features).any():
        raise CorruptModel(f"{where} reads feature {int(split.max())} of {features}.")
    categorical = arrays["categorical"]
    column = split.copy()
    column[categorical] = [extra[int(feature)] for feature in split[categorical]]
    missing = [node for node in np.flatnonzero(categorical).tolist() if node not in arrays["members"]]
    if missing:
        raise CorruptModel(f"{where} has no categories for node {missing[0]}.")
    value = arrays["condition"] if arrays["vectors"] is None else arrays["vectors"]
    tree = Tree(
        column=column,
        mode=np.where(categorical, MEMBER, LT).astype(np.uint8),
        threshold=np.where(categorical | ends, 0.0, arrays["condition"]),
        # A category in the set goes right: there the condition holds.
        true=np.where(categorical, arrays["right"], arrays["left"]),
        false=np.where(categorical, arrays["left"], arrays["right"]),
        missing=arrays["default"] ^ categorical,
        value=value * weight,
        leaf=np.arange(len(column)),
        target=target,
        members=arrays["members"],
    )
    return checked(tree, columns, where)
