"""Leaves that are linear models (linear_tree): a constant and a slope for some of the features, each leaf its own.

Rule 1: a leaf one of whose features is NaN answers its plain value instead, as in LightGBM.
Rule 2: trees go in groups, so that a large batch does not hold every tree's products at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import CorruptModel
from gateway.graph.builder import GraphBuilder
from gateway.graph.ensemble import Ensemble, emit_leaves

PRODUCTS = 512  # of one group of trees, a row


@dataclass(frozen=True)
class Linear:
    """Of one tree, a row a leaf: `constant` and `value` (leaves,); `features`, `slopes` and `used` (leaves, most)."""

    constant: Array
    value: Array
    features: Array
    slopes: Array
    used: Array


def of_tree(pairs: Mapping[str, str], leaves: int, features: int, where: str) -> Linear:
    """Errors: CorruptModel; KeyError and ValueError for what is not there."""
    value = np.array(pairs["leaf_value"].split(), np.float64)
    constant = np.array(pairs["leaf_const"].split(), np.float64) if leaves > 1 else value
    counts = [int(count) for count in pairs["num_features"].split()] if leaves > 1 else [0]
    places = np.array(pairs.get("leaf_features", "").split(), np.int64)
    slopes = np.array(pairs.get("leaf_coeff", "").split(), np.float64)
    if len(counts) != leaves or min(counts) < 0 or not len(constant) == len(value) == leaves:
        raise CorruptModel(f"{where} has linear models for {len(counts)} of {leaves} leaves.")
    if not len(places) == len(slopes) == sum(counts) or ((places < 0) | (places >= features)).any():
        raise CorruptModel(f"{where} has {len(slopes)} slopes for {len(places)} features; expected {sum(counts)}.")
    most = max(counts)
    found = Linear(
        constant, value, np.zeros((leaves, most), np.int64), np.zeros((leaves, most)), np.zeros((leaves, most), bool)
    )
    at = 0
    for leaf, count in enumerate(counts):
        found.features[leaf, :count] = places[at : at + count]
        found.slopes[leaf, :count] = slopes[at : at + count]
        found.used[leaf, :count] = True
        at += count
    return found


def emit(graph: GraphBuilder, data: str, ensemble: Ensemble, linear: Sequence[Linear]) -> str:
    """Sums of the leaves' answers, float64 (rows, targets), as graph.ensemble.emit."""
    parts: list[list[str]] = [[] for _ in range(ensemble.targets)]
    axis = graph.constant("trees_axis", np.array([1], np.int64))
    for first, end in _groups(linear):
        part = replace(ensemble, trees=ensemble.trees[first:end])
        answers = _answers(graph, data, part, linear[first:end])
        for target in range(ensemble.targets):
            mine = [place for place, tree in enumerate(part.trees) if tree.target == target]
            if mine:
                found = graph.node("Gather", [answers, graph.constant("of_target", np.array(mine, np.int64))], axis=1)
                parts[target].append(graph.node("ReduceSum", [found, axis], keepdims=1))
    sums = [graph.node("Sum", each) for each in parts]
    return graph.node("Concat", sums, name="linear_sums", axis=1)


def _groups(linear: Sequence[Linear]) -> Iterator[tuple[int, int]]:
    first, count = 0, 0
    for place, each in enumerate(linear):
        count += max(1, each.slopes.shape[1])
        if count >= PRODUCTS:
            yield first, place + 1
            first, count = place + 1, 0
    if first < len(linear):
        yield first, len(linear)


def _answers(graph: GraphBuilder, data: str, part: Ensemble, linear: Sequence[Linear]) -> str:
    """float64 (rows, trees)."""
    most = max(1, *(each.slopes.shape[1] for each in linear))
    starts = np.cumsum([0, *(len(each.value) for each in linear[:-1])]).astype(np.int64)
    leaf = graph.node("Add", [emit_leaves(graph, data, part, name="linear_leaves"), graph.constant("starts", starts)])

    def of_leaf(name: str, tables: Sequence[Array]) -> str:
        """(rows, trees) of a number a leaf, (rows, trees, most) of a row a leaf."""
        wide = [np.pad(t, ((0, 0), (0, most - t.shape[1]))) if t.ndim == 2 else t for t in tables]
        return graph.node("Gather", [graph.constant(f"{name}_table", np.concatenate(wide)), leaf], name=name, axis=0)

    flat = graph.constant("flat", np.array([0, len(linear) * most], np.int64))
    apart = graph.constant("apart", np.array([0, len(linear), most], np.int64))
    last, nought = graph.constant("last_axis", np.array([2], np.int64)), graph.constant("none", np.array(0.0))
    features = graph.node("Reshape", [of_leaf("slope_features", [each.features for each in linear]), flat])
    values = graph.node("Reshape", [graph.node("GatherElements", [data, features], axis=1), apart])
    used = graph.node("Where", [of_leaf("slope_used", [each.used for each in linear]), values, nought])
    products = graph.node("Mul", [used, of_leaf("slopes", [each.slopes for each in linear])])
    constants = of_leaf("leaf_constants", [each.constant for each in linear])
    answer = graph.node("Add", [constants, graph.node("ReduceSum", [products, last], keepdims=0)])
    missing = graph.node("Cast", [graph.node("IsNaN", [used])], to=11)
    any_missing = graph.node("Greater", [graph.node("ReduceSum", [missing, last], keepdims=0), nought])
    plain = of_leaf("leaf_values", [each.value for each in linear])
    return graph.node("Where", [any_missing, plain, answer], name="linear_answers")
