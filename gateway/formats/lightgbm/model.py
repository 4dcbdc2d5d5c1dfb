"""A text file of LightGBM: head, trees, objective.

Rule 1: a number goes left when it is <= the float64 threshold; a category when its bit is set, and nothing else.
Rule 2: missing is per node: none (NaN is 0), zero (NaN, and what is nearly 0), NaN (NaN alone).
Rule 3: leaves that are linear models stand beside their tree (linear.py); its own values are those for NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.errors import ConversionError, CorruptModel
from gateway.formats.lightgbm.linear import Linear, of_tree
from gateway.graph.ensemble import CATEGORY, LE, MEMBER, ZERO_MISSING, Column, Doubles, Ensemble, Ints, Tree, checked

IDENTITY, SQUARE, EXP, SIGMOID, SOFTMAX, EACH, LOG1P_EXP = (
    "identity", "square", "exp", "sigmoid", "softmax", "each", "log1p exp",
)  # fmt: skip
OBJECTIVES = {
    "regression": IDENTITY, "regression_l2": IDENTITY, "regression_l1": IDENTITY, "huber": IDENTITY, "fair": IDENTITY,
    "quantile": IDENTITY, "mape": IDENTITY, "lambdarank": IDENTITY, "rank_xendcg": IDENTITY, "custom": IDENTITY,
    "": IDENTITY, "poisson": EXP, "gamma": EXP, "tweedie": EXP, "binary": SIGMOID, "multiclass": SOFTMAX,
    "multiclassova": EACH, "cross_entropy": SIGMOID, "cross_entropy_lambda": LOG1P_EXP, "xentropy": SIGMOID,
    "xentlambda": LOG1P_EXP,
}  # fmt: skip
CLASSES = ("binary", "multiclass", "multiclassova")
CATEGORICAL, DEFAULT_LEFT = 1, 2
NONE, ZERO, NAN = 0, 1, 2
MOST_FEATURES = 1 << 24


@dataclass(frozen=True)
class Model:
    version: str
    objective: str
    answer: str
    sigmoid: float
    groups: int
    average: int  # trees of a group whose mean is taken; 0: their sum
    ensemble: Ensemble
    names: tuple[str, ...]
    linear: tuple[Linear, ...]  # of every tree, or of none
    recoded: bool  # categories were texts or other values: pandas_categorical

    @property
    def classes(self) -> bool:
        return self.objective in CLASSES

    @property
    def categories(self) -> list[int]:
        return sorted({column.feature for column in self.ensemble.extra if column.kind == CATEGORY})


def read(path: Path) -> Model:
    """Errors: CorruptModel, ConversionError."""
    return parse(path.read_bytes().decode("utf-8", "replace"), path.name)


def parse(text: str, file: str) -> Model:
    """Errors: CorruptModel, ConversionError."""
    try:
        return _model(text, file)
    except (KeyError, IndexError, ValueError, OverflowError, MemoryError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise CorruptModel(
            f"{file} is not as LightGBM writes it: {said}.", hint="Save it again with booster.save_model('model.txt')."
        ) from None


def _model(text: str, file: str) -> Model:
    lines = text.splitlines()
    if not lines or lines[0].strip() != "tree":
        raise CorruptModel(f"{file} does not start with 'tree'.")
    starts = [number for number, line in enumerate(lines) if line.startswith("Tree=")]
    end = next((number for number, line in enumerate(lines) if line.strip() == "end of trees"), -1)
    head = _pairs(lines[1 : min([*starts, len(lines)] if end < 0 else [*starts, end])])
    sizes = head["tree_sizes"].split() if "tree_sizes" in head else None
    if end < 0 or (sizes is not None and len(sizes) != len(starts)):
        said = f" of {len(sizes)} trees" if sizes is not None else ""
        raise CorruptModel(f"{file} is cut short: {len(starts)}{said} are there, and 'end of trees' is "
                           f"{'not' if end < 0 else 'there'}.", hint="Copy the file again.")  # fmt: skip
    features, groups = int(head["max_feature_idx"]) + 1, int(head["num_tree_per_iteration"])
    if not 0 < features <= MOST_FEATURES or not 0 < groups <= 1 << 16 or len(starts) % groups:
        raise CorruptModel(f"{file} says {features} features and {groups} trees a round, and has {len(starts)} trees.")
    objective, *settings = head.get("objective", "").split() or [""]
    if objective not in OBJECTIVES:
        raise ConversionError(
            f"{file} has the objective {objective!r}; known are {', '.join(filter(None, OBJECTIVES))}."
        )
    answer = SQUARE if "sqrt" in settings else OBJECTIVES[objective]
    sigmoid = next((float(each.partition(":")[2]) for each in settings if each.startswith("sigmoid:")), 1.0)
    if not math.isfinite(sigmoid):
        raise CorruptModel(f"{file} has sigmoid:{sigmoid}.")
    columns = _Columns(features)
    trees, linear = [], []
    for number, start in enumerate(starts):
        stop = starts[number + 1] if number + 1 < len(starts) else end
        pairs, where = _pairs(lines[start:stop]), f"{file}: tree {number}"
        trees.append(_tree(pairs, columns, number % groups, where))
        if int(pairs.get("is_linear", "0")):
            linear.append(of_tree(pairs, int(pairs["num_leaves"]), features, where))
    if linear and len(linear) != len(trees):
        raise CorruptModel(f"{file} has linear models in the leaves of {len(linear)} of {len(trees)} trees.")
    extra = columns.extra()
    trees = [checked(tree, features + len(extra), f"{file}: tree {number}") for number, tree in enumerate(trees)]
    mean = any(line.strip() == "average_output" for line in lines[: starts[0] if starts else end])
    tail = next((line for line in reversed(lines[-8:]) if line.startswith("pandas_categorical:")), "")
    return Model(
        version=head.get("version", ""),
        objective=objective,
        answer=answer,
        sigmoid=sigmoid,
        groups=groups,
        average=len(starts) // groups if mean else 0,
        ensemble=Ensemble(features, tuple(trees), groups, extra, snapped=True),
        names=tuple(head.get("feature_names", "").split()),
        linear=tuple(linear),
        recoded=tail.partition(":")[2].strip() not in ("", "null", "[]"),
    )


def _pairs(lines: list[str]) -> dict[str, str]:
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}


class _Columns:
    """Places of the columns that are prepared: behind the features, in order of their first use."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.places: dict[tuple[str, int], int] = {}

    def place(self, kind: str, feature: int) -> int:
        return self.places.setdefault((kind, feature), self.features + len(self.places))

    def extra(self) -> tuple[Column, ...]:
        return tuple(Column(feature, kind, high=2.0**31) for kind, feature in self.places)


def _numbers(pairs: Mapping[str, str], key: str, count: int, where: str) -> Doubles:
    """Errors: CorruptModel for another count."""
    found = np.array(pairs[key].split(), np.float64)
    if len(found) != count:
        raise CorruptModel(f"{where} has {len(found)} numbers in {key}; expected {count}.")
    return found


def _whole(pairs: Mapping[str, str], key: str, count: int, where: str) -> Ints:
    return _numbers(pairs, key, count, where).astype(np.int64)


def _tree(pairs: Mapping[str, str], columns: _Columns, target: int, where: str) -> Tree:
    leaves = int(pairs["num_leaves"])
    if not 0 < leaves <= 1 << 24:
        raise CorruptModel(f"{where} says that it has {leaves} leaves.")
    inner = leaves - 1
    value = _numbers(pairs, "leaf_value", leaves, where)
    split = _whole(pairs, "split_feature", inner, where) if inner else np.zeros(0, np.int64)
    if ((split < 0) | (split >= columns.features)).any():
        raise CorruptModel(f"{where} reads feature {int(split.max())} of {columns.features}.")
    threshold = _numbers(pairs, "threshold", inner, where) if inner else np.zeros(0)
    decision = _whole(pairs, "decision_type", inner, where) if inner else np.zeros(0, np.int64)
    children = [_children(pairs, side, inner, leaves, where) for side in ("left_child", "right_child")]
    categorical = (decision & CATEGORICAL) != 0
    kind = (decision >> 2) & 3
    default = (decision & DEFAULT_LEFT) != 0
    column = split.copy()
    for node in np.flatnonzero(categorical).tolist():
        column[node] = columns.place(CATEGORY, int(split[node]))
    for node in np.flatnonzero(~categorical & (kind == ZERO)).tolist():
        column[node] = columns.place(ZERO_MISSING, int(split[node]))
    # NaN that is not missing is 0: it goes where 0 goes.
    missing = np.where(kind == NONE, threshold >= 0.0, default) & ~categorical
    end = np.full(leaves, -1, np.int64)
    return Tree(
        column=np.concatenate([column, end]),
        mode=np.concatenate([np.where(categorical, MEMBER, LE), end * 0]).astype(np.uint8),
        threshold=np.concatenate([np.where(categorical, 0.0, threshold), np.zeros(leaves)]),
        true=np.concatenate([children[0], end]),
        false=np.concatenate([children[1], end]),
        missing=np.concatenate([missing, end == 0]),
        value=np.concatenate([np.zeros(inner), value]),
        leaf=np.concatenate([np.zeros(inner, np.int64), np.arange(leaves)]),
        target=target,
        members=_members(pairs, threshold, categorical, where),
    )


def _children(pairs: Mapping[str, str], key: str, inner: int, leaves: int, where: str) -> Ints:
    """Nodes as they are; leaf n, which the file has as -(n+1), stands behind all nodes."""
    found = _whole(pairs, key, inner, where) if inner else np.zeros(0, np.int64)
    if ((found >= inner) | (found < -leaves)).any():
        raise CorruptModel(f"{where} goes on at a node or leaf that it has not, in {key}.")
    return np.where(found < 0, inner + ~found, found)


def _members(
    pairs: Mapping[str, str], threshold: Doubles, categorical: np.ndarray, where: str
) -> dict[int, tuple[float, ...]]:
    if not categorical.any():
        return {}
    count = int(pairs["num_cat"])
    if not 0 < count <= len(threshold):
        raise CorruptModel(f"{where} says that {count} of {len(threshold)} nodes ask for categories.")
    bounds = _whole(pairs, "cat_boundaries", count + 1, where)
    words = np.array(pairs["cat_threshold"].split(), np.uint64)
    found = {}
    for node in np.flatnonzero(categorical).tolist():
        place = int(threshold[node])
        if not 0 <= place < count or not 0 <= bounds[place] <= bounds[place + 1] <= len(words):
            raise CorruptModel(f"{where}: node {node} asks for categories {place} of {count}.")
        bits = words[bounds[place] : bounds[place + 1]].astype("<u4").view(np.uint8)
        found[node] = tuple(np.flatnonzero(np.unpackbits(bits, bitorder="little")).astype(float).tolist())
    return found
