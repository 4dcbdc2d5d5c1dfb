"""Operators that move, cut, join and name elements, and what tells a shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import dynamic_shape, held, moved, positive
from gateway.formats.savedmodel.build.node import Node, tf_dtype
from gateway.formats.savedmodel.build.values import Flat, Value
from gateway.graph.registry import op


def integers(value: Value | None) -> list[int] | None:
    """What an input of sizes or axes says, when it is known now; None when it is left out or computed at run time."""
    if value is None or value.array is None:
        return None
    return [int(number) for number in value.array.reshape(-1)]


@op(TARGET, "Constant")
def constant(build: Builder, node: Node) -> Any:
    """The value of whichever attribute there is."""
    for name in ("value", "sparse_value"):
        if name in node.attributes:
            return build.constant(node.attributes[name], node.outputs[0])
    for name, kind in (
        ("value_float", np.float32),
        ("value_int", np.int64),
        ("value_floats", np.float32),
        ("value_ints", np.int64),
    ):
        if name in node.attributes:
            return np.asarray(node.attributes[name], kind)
    texts = node.get("value_strings", node.get("value_string"))
    return np.array([t.encode() for t in texts] if isinstance(texts, list) else texts.encode(), object)


@op(TARGET, "Transpose")
def transpose(build: Builder, node: Node, x: Value) -> Any:
    """Another order of axes; by default the reverse."""
    if x.rank is None:
        return tf.transpose(x.tensor, node.get("perm"))
    return x.transposed(tuple(node.get("perm", range(x.rank - 1, -1, -1))))


@op(TARGET, "Shape")
def shape(build: Builder, node: Node, x: Value) -> Any:
    """Sizes as int64, from `start` to `end`."""
    part = slice(node.get("start", 0), node.get("end"))
    found = dynamic_shape(x)[part]
    return found if x.rank is None or isinstance(found, np.ndarray) else Value(found).with_parts(x.shape[part])


@op(TARGET, "Size")
def size(build: Builder, node: Node, x: Value) -> Any:
    """The number of elements as int64."""
    return tf.reduce_prod(tf.convert_to_tensor(dynamic_shape(x)))


@op(TARGET, "Reshape")
def reshape(build: Builder, node: Node, x: Value, to: Value | None = None) -> Any:
    """-1 is inferred, 0 copies a size (unless `allowzero`)."""
    wanted = list(node.get("shape", [])) if to is None else integers(to)
    copies = not node.get("allowzero", 0)
    parts = None if wanted is not None or to is None else to.parts
    if parts is not None and parts.count(None) == 1 and all(size is None or size > 0 for size in parts):
        wanted = [-1 if size is None else size for size in parts]  # the one that is not known follows
    if wanted is None:
        assert to is not None
        sizes = to.tensor
        return tf.reshape(x.tensor, _with_copies(x, sizes) if copies else sizes)
    if not copies:
        return tf.reshape(x.tensor, wanted)
    if len(wanted) == 2 and Flat.fits(x):
        whole = _product(x.shape[1:])
        if (wanted[0] in (0, -1) and wanted[1] == whole) or (wanted == [0, -1] and whole):
            return Flat(x)
    if 0 in wanted and x.rank is not None:
        here = x.shape
        run_time = [place for place, number in enumerate(wanted) if number == 0 and here[place] is None]
        filled: list[Any] = [
            here[p] if number == 0 and p not in run_time else number for p, number in enumerate(wanted)
        ]
        if len(run_time) == 1 and -1 not in filled:
            filled[run_time[0]] = -1
        elif run_time:
            sizes = dynamic_shape(x)
            filled = [sizes[p] if p in run_time else number for p, number in enumerate(filled)]
            return tf.reshape(x.tensor, tf.stack([tf.cast(number, tf.int64) for number in filled]))
        return tf.reshape(x.tensor, filled)
    return tf.reshape(x.tensor, wanted)


def _with_copies(x: Value, sizes: Any) -> Any:
    """Sizes known at run time only, their zeros replaced by x's."""
    here = tf.convert_to_tensor(dynamic_shape(x))
    count = tf.shape(sizes)[0]
    ones = tf.ones([tf.maximum(0, count - tf.shape(here)[0])], tf.int64)
    return tf.where(sizes == 0, tf.concat([here, ones], 0)[:count], sizes)


@op(TARGET, "Flatten")
def flatten(build: Builder, node: Node, x: Value) -> Any:
    """Two axes: those before `axis`, and the rest."""
    rank = x.rank
    assert rank is not None
    axis = node.get("axis", 1)
    axis = axis + rank if axis < 0 else axis
    if axis == 1 and Flat.fits(x):
        return Flat(x)
    before, after = x.shape[:axis], x.shape[axis:]
    if None not in after:
        return tf.reshape(x.tensor, [-1 if None in before else _product(before), _product(after)])
    if None not in before:
        return tf.reshape(x.tensor, [_product(before), -1])
    sizes = tf.convert_to_tensor(dynamic_shape(x))
    return tf.reshape(x.tensor, tf.stack([tf.reduce_prod(sizes[:axis]), tf.reduce_prod(sizes[axis:])]))


def _product(sizes: list[int | None]) -> int:
    return math.prod(size for size in sizes if size is not None)


@op(TARGET, "Concat")
def concat(build: Builder, node: Node, *values: Value) -> Any:
    """All along one axis, in the order in which the first computed one is held."""
    lead = next((v for v in values if not v.constant and v.perm is not None), values[0])
    rank = lead.rank
    axis = node.get("axis", 1)
    if rank is None or any(v.rank != rank for v in values):
        return tf.concat([v.tensor for v in values], axis)
    _, perm = held(lead)
    place = moved([positive(axis, rank)], perm)[0]
    made = Value(tf.concat([v.in_order(perm) for v in values], place), perm)
    return made.with_parts(_joined(values)) if rank == 1 and made.dtype.is_integer else made


def _joined(values: tuple[Value, ...]) -> list[int | None] | None:
    """Elements of vectors one after another; None where a vector's length is not known."""
    found: list[int | None] = []
    for value in values:
        size = value.shape[0]
        parts = value.elements or ([None] * size if size is not None else None)
        if parts is None:
            return None
        found += parts
    return found


@op(TARGET, "Squeeze")
def squeeze(build: Builder, node: Node, x: Value, axes: Value | None = None) -> Any:
    """Axes of size 1 are dropped: the given ones, or all."""
    dropped = node.get("axes") if axes is None else integers(axes)
    if axes is not None and dropped is None:
        sizes = tf.convert_to_tensor(dynamic_shape(x))
        rank = tf.size(sizes, out_type=tf.int64)
        gone = tf.scatter_nd(tf.math.floormod(axes.tensor, rank)[:, None], tf.ones_like(axes.tensor), rank[None])
        return tf.reshape(x.tensor, tf.boolean_mask(sizes, gone == 0))
    made = tf.squeeze(x.tensor, dropped)
    return Value(made).with_parts(x.parts) if x.rank == 1 else made


@op(TARGET, "Unsqueeze")
def unsqueeze(build: Builder, node: Node, x: Value, axes: Value | None = None) -> Any:
    """Axes of size 1 are put in, counted in the result."""
    new = node.get("axes") if axes is None else integers(axes)
    if new is None or x.rank is None:
        assert axes is not None
        return _unsqueezed(x, axes.tensor)
    rank = x.rank + len(new)
    tensor = x.tensor
    for axis in sorted(axis % rank for axis in new):
        tensor = tf.expand_dims(tensor, axis)
    return Value(tensor).with_parts(x.parts) if rank == 1 else tensor


def _unsqueezed(x: Value, axes: Any) -> Any:
    """Axes that are known at run time only."""
    sizes = tf.convert_to_tensor(dynamic_shape(x))
    rank = tf.size(sizes, out_type=tf.int64) + tf.size(axes, out_type=tf.int64)
    new = tf.scatter_nd(tf.math.floormod(tf.cast(axes, tf.int64), rank)[:, None], tf.ones_like(axes), rank[None]) > 0
    place = tf.cumsum(tf.cast(~new, tf.int32)) - 1
    made = tf.reshape(x.tensor, tf.where(new, tf.ones_like(place, tf.int64), tf.gather(sizes, tf.maximum(place, 0))))
    if x.rank is not None and axes.shape[0] is not None:
        made.set_shape([None] * (x.rank + axes.shape[0]))
    return made


@op(TARGET, "Cast")
def cast(build: Builder, node: Node, x: Value) -> Any:
    """Another type."""
    tensor, perm = held(x)
    kind = tf_dtype(node.get("to"))
    # Only to a type that holds every size: what does not fit wraps.
    return Value(as_type(tensor, kind), perm).with_parts(x.parts if kind in (tf.int32, tf.int64) else None)


@op(TARGET, "CastLike")
def cast_like(build: Builder, node: Node, x: Value, like: Value) -> Any:
    """The type of another tensor."""
    tensor, perm = held(x)
    return Value(as_type(tensor, like.dtype), perm)


def as_type(tensor: Any, kind: Any) -> Any:
    """tf.cast, and to and from strings."""
    if tensor.dtype == kind:
        return tf.identity(tensor)
    if tensor.dtype == tf.string:
        if kind in (tf.float32, tf.float64, tf.int32, tf.int64):
            return tf.strings.to_number(tensor, kind)
        return tf.cast(tf.strings.to_number(tensor, tf.float64 if kind.is_floating else tf.int64), kind)
    if kind == tf.string:
        return tf.strings.as_string(tensor)
    return tf.cast(tensor, kind)
