"""Decision trees of every library as one form, and the ONNX that walks them to the same leaf.

    Tree         one binary tree: condition, two children, or a leaf with its values
    Column       what a condition reads: an input feature as it is, or as its library prepares it
    emit         Ensemble -> sums by target;  emit_leaves -> the leaf of every tree

Rule 1: conditions are evaluated in float64: the float32 of a client, and the threshold of every
        library, are there exactly, so that `<` and `<=` decide as in the library itself.
Rule 2: NaN goes where the node says, never where a comparison happens to send it.
Rule 3: leaves carry the numbers that their library gives them: what is compared is what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gateway.core.dtypes import Array
from gateway.errors import CorruptModel

ML = "ai.onnx.ml"
ML_OPSET = 5
DOMAINS = {ML: ML_OPSET}
LE, LT, MEMBER = 0, 1, 6  # BRANCH_LEQ, BRANCH_LT, BRANCH_MEMBER of TreeEnsemble
PLAIN, ZERO_MISSING, CATEGORY, KNOWN = "plain", "zero missing", "category", "known"
ZERO = float(np.float32(1e-35))  # LightGBM: what is not farther from 0 counts as 0

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Nodes(Protocol):
    """What emitting needs of a graph: Nodes has it."""

    def node(self, op_type: str, inputs: Sequence[str], *, name: str = "", output: str = "", **attributes: Any) -> str:
        """A node with one output, which is returned."""
        ...

    def constant(self, wish: str, array: Array) -> str:
        """A tensor of that value."""
        ...


@dataclass(frozen=True)
class Column:
    """`kind` says how feature number `feature` is read.

    plain          as it is
    zero missing   NaN where it is 0 or nearly
    category       its whole part; what is no category (under `low`, or `high` and more) is -1
    known          its place among `known`; -1 for any other value, and for NaN
    """

    feature: int
    kind: str = PLAIN
    low: float = -np.inf
    high: float = np.inf
    known: tuple[float, ...] = ()

    def value(self, member: float) -> float:
        """What the feature is where this column is a member of a set."""
        return self.known[int(member)] if 0 <= member < len(self.known) else member


@dataclass(frozen=True)
class Tree:
    """n nodes, node 0 is the root; all arrays are of length n.

    `column` is -1 at a leaf, else the place in the Ensemble's columns. `true` and `false` are the nodes behind the
    condition x <= threshold (LE), x < threshold (LT), or x in members[node] (MEMBER); `missing` says whether NaN
    goes to `true`. `value` is what a leaf adds: (n,) for one target, or (n, K) for all of K. `leaf` is its number
    in the library.
    """

    column: Ints
    mode: npt.NDArray[np.uint8]
    threshold: Doubles
    true: Ints
    false: Ints
    missing: Bools
    value: Doubles
    leaf: Ints
    target: int = 0
    members: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.column)


@dataclass(frozen=True)
class Ensemble:
    """Trees over the columns of one input, `features` of them, and behind these `extra` ones; targets count from 0.

    `rounded`: features are rounded to float32 first, as scikit-learn does it. `snapped`: what is nearly 0 is 0 first,
    as LightGBM does it.
    """

    features: int
    trees: tuple[Tree, ...]
    targets: int = 1
    extra: tuple[Column, ...] = ()
    rounded: bool = False
    snapped: bool = False

    def column(self, place: int) -> Column:
        return Column(place) if place < self.features else self.extra[place - self.features]

    @property
    def nodes(self) -> int:
        return sum(tree.size for tree in self.trees)

    @property
    def vectors(self) -> bool:
        """Leaves hold a value for every target."""
        return any(tree.value.ndim == 2 for tree in self.trees)


def checked(tree: Tree, columns: int, where: str) -> Tree:
    """The same, when every node is reached once and children exist. Errors: CorruptModel."""
    n = tree.size
    if n == 0:
        raise CorruptModel(f"{where} has no nodes.")
    inner = tree.column >= 0
    for name, child in (("true", tree.true), ("false", tree.false)):
        wrong = inner & ((child <= 0) | (child >= n))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise CorruptModel(f"{where}: node {at} goes on at node {int(child[at])}, of {n} ({name} branch).")
    if (tree.column >= columns).any():
        at = int(np.argmax(tree.column >= columns))
        raise CorruptModel(f"{where}: node {at} reads column {int(tree.column[at])} of {columns}.")
    if np.isnan(tree.threshold[inner & (tree.mode != MEMBER)]).any():
        raise CorruptModel(f"{where} has a threshold that is NaN.")
    seen = np.bincount(np.concatenate([tree.true[inner], tree.false[inner]]), minlength=n)
    if (seen > 1).any():
        raise CorruptModel(f"{where}: node {int(np.argmax(seen > 1))} has two parents.")
    return tree


def emit(graph: Nodes, data: str, ensemble: Ensemble, *, name: str = "trees") -> str:
    """Sums of the leaves' values, float64 (rows, targets). `data` is the columns' tensor of `columns_of`."""
    if ensemble.vectors:
        return _emit_vectors(graph, data, ensemble, name)
    if not ensemble.trees:
        return _nothing(graph, data, ensemble.targets, name)
    return _node(graph, data, ensemble, [tree.value for tree in ensemble.trees], False, name)


def emit_leaves(graph: Nodes, data: str, ensemble: Ensemble, *, name: str = "leaf_numbers") -> str:
    """The number of the leaf that each tree ends in, int64 (rows, trees)."""
    if not ensemble.trees:
        return graph.node("Cast", [_nothing(graph, data, 0, name)], name=f"{name}_whole", to=7)
    found = _node(graph, data, ensemble, [tree.leaf.astype(np.float64) for tree in ensemble.trees], True, name)
    return graph.node("Cast", [found], name=f"{name}_whole", to=7)


def columns_of(graph: Nodes, features: str, ensemble: Ensemble, *, single: bool = True) -> str:
    """The tensor that conditions read, float64 (rows, columns), from the features (rows, features).

    `single`: features are float32 as they are.
    """
    if ensemble.rounded and not single:
        features = graph.node("Cast", [features], name="features_float32", to=1)
    wide = graph.node("Cast", [features], name="features_float64", to=11)
    if ensemble.snapped:
        wide = _where_zero(graph, wide, 0.0)
    parts = [wide]
    for kind, place in _runs(ensemble.extra):
        index = graph.constant("columns", np.array([column.feature for column in place], np.int64))
        part = graph.node("Gather", [wide, index], name=f"columns_{kind.replace(' ', '_')}", axis=1)
        if kind == ZERO_MISSING:
            part = _where_zero(graph, part, np.nan)
        elif kind == CATEGORY:
            part = _whole(graph, part, place)
        elif kind == KNOWN:
            part = _place(graph, part, place[0].known)
        parts.append(part)
    return wide if len(parts) == 1 else graph.node("Concat", parts, name="columns_all", axis=1)


def _where_zero(graph: Nodes, tensor: str, value: float) -> str:
    small = graph.constant("zero", np.array(ZERO, np.float64))
    near = graph.node("LessOrEqual", [graph.node("Abs", [tensor]), small])
    return graph.node("Where", [near, graph.constant("instead", np.array(value, np.float64)), tensor])


def _runs(columns: Sequence[Column]) -> list[tuple[str, list[Column]]]:
    """Neighbours of one kind together, in order."""
    found: list[tuple[str, list[Column]]] = []
    for column in columns:
        if found and found[-1][0] == column.kind and column.kind != KNOWN:
            found[-1][1].append(column)
        else:
            found.append((column.kind, [column]))
    return found


def _whole(graph: Nodes, part: str, place: Sequence[Column]) -> str:
    """The whole part, towards 0; -1 for what lies outside of [low, high); NaN stays NaN."""
    zero = graph.constant("nought", np.array(0, np.float64))
    low = graph.constant("lowest", np.array([column.low for column in place]))
    high = graph.constant("highest", np.array([column.high for column in place]))
    under = graph.node("Less", [part, low])
    over = graph.node("GreaterOrEqual", [part, high])
    negative = graph.node("Less", [part, zero])
    cut = graph.node("Where", [negative, graph.node("Ceil", [part]), graph.node("Floor", [part])])
    outside = graph.node("Or", [under, over])
    return graph.node(
        "Where", [outside, graph.constant("no_category", np.array(-1, np.float64)), cut], name="categories"
    )


def _place(graph: Nodes, part: str, known: Sequence[float]) -> str:
    """(rows, 1) -> (rows, 1): at which place it stands in `known`, -1 where it does not."""
    same = graph.node("Equal", [part, graph.constant("known", np.array(known, np.float64)[None])])
    counted = graph.node("Cast", [same], to=11)
    weights = graph.constant("places", np.arange(1, len(known) + 1, dtype=np.float64)[:, None])
    one = graph.constant("unknown", np.array(1, np.float64))
    return graph.node("Sub", [graph.node("MatMul", [counted, weights]), one], name="place")


def _nothing(graph: Nodes, data: str, targets: int, name: str) -> str:
    """Zeros of (rows, targets): an ensemble without trees."""
    rows = graph.node("Slice", [graph.node("Shape", [data]), *_ints(graph, [0], [1])])
    shape = graph.node("Concat", [rows, graph.constant("width", np.array([targets], np.int64))], axis=0)
    return graph.node("Expand", [graph.constant("nothing", np.zeros((1, 1))), shape], name=name)


def _ints(graph: Nodes, *values: list[int]) -> list[str]:
    return [graph.constant("place", np.array(value, np.int64)) for value in values]


def _emit_vectors(graph: Nodes, data: str, ensemble: Ensemble, name: str) -> str:
    """Trees say which leaf; a table says its values. TreeEnsemble's leaves hold one value only."""
    places, rows, at = [], [], 0
    for tree in ensemble.trees:
        ends = tree.column < 0
        place = np.full(tree.size, -1, np.int64)
        place[ends] = at + np.arange(int(ends.sum()))
        at += int(ends.sum())
        places.append(place.astype(np.float64))
        value = tree.value[ends]
        if value.ndim == 1:
            value = np.zeros((len(value), ensemble.targets)) + value[:, None] * _unit(tree.target, ensemble.targets)
        rows.append(value)
    found = _node(graph, data, ensemble, places, True, f"{name}_leaves")
    index = graph.node("Cast", [found], name=f"{name}_places", to=7)
    table = graph.constant(f"{name}_values", np.concatenate(rows).astype(np.float64))
    gathered = graph.node("Gather", [table, index], name=f"{name}_gathered", axis=0)  # (rows, trees, targets)
    return graph.node("ReduceSum", [gathered, *_ints(graph, [1])], name=name, keepdims=0)


def _unit(place: int, count: int) -> Doubles:
    return np.eye(1, count, place)


def _node(graph: Nodes, data: str, ensemble: Ensemble, values: Sequence[Array], apart: bool, name: str) -> str:
    """One TreeEnsemble. `apart`: each tree is a target of its own, and `values` its leaves' numbers."""
    from onnx import numpy_helper

    made = _Arrays()
    for number, (tree, value) in enumerate(zip(ensemble.trees, values, strict=True)):
        made.add(tree, np.asarray(value, np.float64), number if apart else tree.target)
    members = made.members
    return graph.node(
        "TreeEnsemble",
        [data],
        name=name,
        domain=ML,
        n_targets=len(ensemble.trees) if apart else ensemble.targets,
        aggregate_function=1,
        post_transform=0,
        tree_roots=made.roots,
        nodes_featureids=made.joined("column", np.int64),
        nodes_modes=numpy_helper.from_array(np.concatenate(made.modes)),
        nodes_splits=numpy_helper.from_array(np.concatenate(made.splits)),
        nodes_truenodeids=made.joined("true", np.int64),
        nodes_trueleafs=made.joined("true_leaf", np.int64),
        nodes_falsenodeids=made.joined("false", np.int64),
        nodes_falseleafs=made.joined("false_leaf", np.int64),
        nodes_missing_value_tracks_true=made.joined("missing", np.int64),
        leaf_targetids=np.concatenate(made.targets).tolist(),
        leaf_weights=numpy_helper.from_array(np.concatenate(made.weights)),
        membership_values=numpy_helper.from_array(np.array(members, np.float64)) if members else None,
    )


class _Arrays:
    """TreeEnsemble's attributes, tree after tree: inner nodes and leaves are counted apart."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.members: list[float] = []
        self.modes: list[Array] = []
        self.splits: list[Array] = []
        self.targets: list[Array] = []
        self.weights: list[Array] = []
        self.parts: dict[str, list[Array]] = {}
        self.inner = self.leaves = 0

    def joined(self, name: str, kind: type) -> list[int]:
        found: list[int] = np.concatenate(self.parts[name]).astype(kind).tolist()
        return found

    def add(self, tree: Tree, value: Doubles, target: int) -> None:
        self.roots.append(self.inner)
        if tree.column[0] < 0:  # a leaf alone: a question whose answers are the same
            self._put(
                column=[0], mode=[LE], split=[0.0], true=[self.leaves], false=[self.leaves + 1], true_leaf=[1],
                false_leaf=[1], missing=[0], target=[target] * 2, weight=[value[0]] * 2,
            )  # fmt: skip
            return
        inner = tree.column >= 0
        place = np.where(inner, np.cumsum(inner) - 1 + self.inner, np.cumsum(~inner) - 1 + self.leaves)
        for node in np.flatnonzero(inner & (tree.mode == MEMBER)).tolist():
            self.members += [*tree.members[node], float("nan")]
        true, false = tree.true[inner], tree.false[inner]
        self._put(
            column=tree.column[inner], mode=tree.mode[inner], split=tree.threshold[inner],
            true=place[true], false=place[false], true_leaf=~inner[true], false_leaf=~inner[false],
            missing=tree.missing[inner], target=np.full(int((~inner).sum()), target), weight=value[~inner],
        )  # fmt: skip

    def _put(self, **arrays: Sequence[float] | Array) -> None:
        for name in ("column", "true", "false", "true_leaf", "false_leaf", "missing"):
            self.parts.setdefault(name, []).append(np.asarray(arrays[name]))
        self.modes.append(np.asarray(arrays["mode"], np.uint8))
        self.splits.append(np.asarray(arrays["split"], np.float64))
        self.targets.append(np.asarray(arrays["target"], np.int64))
        self.weights.append(np.asarray(arrays["weight"], np.float64))
        self.inner += len(self.modes[-1])
        self.leaves += len(self.weights[-1])
