"""Sequences and optionals: lists of tensors whose length is known while the graph is built."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder, Item
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.ops.shape import integers
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op


@op(TARGET, "SequenceConstruct")
def sequence_construct(build: Builder, node: Node, *items: Item) -> Any:
    """A sequence of its inputs."""
    return list(items)


@op(TARGET, "SequenceEmpty")
def sequence_empty(build: Builder, node: Node) -> Any:
    """A sequence of nothing."""
    return []


@op(TARGET, "SequenceLength")
def sequence_length(build: Builder, node: Node, sequence: list[Item]) -> Any:
    """How many elements there are."""
    return np.asarray(len(sequence), np.int64)


def _position(position: Value | None, default: int, count: int) -> int:
    """Errors: ValueError for a position that is computed, or outside."""
    if position is None:
        return default
    known = integers(position)
    if known is None:
        raise ValueError("a position in a sequence that is computed at run time")
    if not -count <= known[0] <= count:
        raise ValueError(f"position {known[0]} in a sequence of {count}")
    return known[0]


@op(TARGET, "SequenceAt")
def sequence_at(build: Builder, node: Node, sequence: list[Item], position: Value) -> Any:
    """One element; at a position that is computed where all elements have one shape."""
    if integers(position) is None:
        stacked = tf.stack([item.tensor for item in sequence])
        place = tf.cast(tf.reshape(position.tensor, []), tf.int64)
        return stacked[tf.where(place < 0, place + len(sequence), place)]
    return sequence[_position(position, 0, len(sequence))]


@op(TARGET, "SequenceInsert")
def sequence_insert(build: Builder, node: Node, sequence: list[Item], item: Item, position: Value | None = None) -> Any:
    """An element more: at the end, or before a position."""
    made = list(sequence)
    place = _position(position, len(made), len(made))
    made.insert(place, item)
    return made


@op(TARGET, "SequenceErase")
def sequence_erase(build: Builder, node: Node, sequence: list[Item], position: Value | None = None) -> Any:
    """An element less: the last one, or at a position."""
    made = list(sequence)
    del made[_position(position, -1, len(made))]
    return made


@op(TARGET, "ConcatFromSequence")
def concat_from_sequence(build: Builder, node: Node, sequence: list[Item]) -> Any:
    """All elements along an axis, or along a new one."""
    tensors = [item.tensor for item in sequence]
    return (tf.stack if node.get("new_axis", 0) else tf.concat)(tensors, node.get("axis"))


@op(TARGET, "SplitToSequence")
def split_to_sequence(build: Builder, node: Node, x: Value, sizes: Value | None = None) -> Any:
    """Pieces along an axis: of one size, of the given sizes, or of size 1 without that axis where keepdims is 0."""
    assert x.rank is not None
    axis = node.get("axis", 0) % x.rank
    whole = x.shape[axis]
    if whole is None:
        raise ValueError("SplitToSequence along an axis of a free size")
    if sizes is None:
        pieces = tf.split(x.tensor, whole, axis)
        return list(pieces) if node.get("keepdims", 1) else [tf.squeeze(piece, axis) for piece in pieces]
    known = integers(sizes)
    if known is None:
        raise ValueError("SplitToSequence with sizes that are computed at run time")
    if sizes.rank == 0:
        each = known[0]
        known = [each] * (whole // each) + ([whole % each] if whole % each else [])
    return list(tf.split(x.tensor, known, axis))


@op(TARGET, "Optional")
def optional(build: Builder, node: Node, item: Item = None) -> Any:
    """The element, or an empty optional."""
    return item


@op(TARGET, "OptionalHasElement")
def optional_has_element(build: Builder, node: Node, item: Item = None) -> Any:
    """Is there one?"""
    return np.asarray(item is not None)


@op(TARGET, "OptionalGetElement")
def optional_get_element(build: Builder, node: Node, item: Item) -> Any:
    """The element. Errors: ValueError for an empty optional."""
    if item is None:
        raise ValueError("the element of an empty optional")
    return item
