"""Slices, gathers and scatters, and what makes tensors from sizes. Indices count from the end when negative."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import held, moved, positive
from gateway.formats.savedmodel.build.node import Node, tf_dtype
from gateway.formats.savedmodel.build.ops.shape import integers
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op

END = (1 << 31) - 1  # a bound beyond any size
HUGE = 1 << 62


@op(TARGET, "Slice")
def slice_(
    build: Builder,
    node: Node,
    x: Value,
    starts: Value | None = None,
    ends: Value | None = None,
    axes: Value | None = None,
    steps: Value | None = None,
) -> Any:
    """Bounds are cut to the size, as Python's are; a negative step goes from the last element back."""
    if starts is None or ends is None:
        first, last = build.constant(np.asarray(node.get("starts"))), build.constant(np.asarray(node.get("ends")))
        where = node.get("axes")
        return _sliced(x, first, last, where, None, len(node.get("starts")))
    count = (axes or starts).shape[0]
    known = integers(axes)
    if count is None or (axes is not None and known is None) or x.rank is None:
        return _sliced_by_positions(x, starts, ends, axes, steps)
    return _sliced(x, starts, ends, known, steps, count)


def _sliced(x: Value, starts: Value, ends: Value, axes: list[int] | None, steps: Value | None, count: int) -> Any:
    assert x.rank is not None
    chosen = [positive(axis, x.rank) for axis in (range(count) if axes is None else axes)]
    pace = [1] * count if steps is None else integers(steps)
    if pace is None:
        return _sliced_by_positions(x, starts, ends, None if axes is None else np.asarray(axes), steps)
    tensor, perm = held(x)
    first, last = integers(starts), integers(ends)
    index: list[Any] = [slice(None)] * x.rank
    for number, (axis, place) in enumerate(zip(chosen, moved(chosen, perm))):
        size, step = x.shape[axis], pace[number]
        if first is not None and last is not None and (size is not None or _plain(first[number], last[number], step)):
            index[place] = _known(first[number], last[number], step, size)
        else:
            length = tf.shape(tensor, out_type=tf.int64)[place]
            begin = _cut(tf.cast(starts.tensor[number], tf.int64), length, step)
            end = _cut(tf.cast(ends.tensor[number], tf.int64), length, step)
            if step > 0:
                index[place] = slice(begin, tf.maximum(begin, end), step)
            else:  # by way of the reversed axis: no bound can say "before the first"
                tensor = tf.reverse(tensor, [place])
                index[place] = slice(length - 1 - begin, tf.maximum(length - 1 - begin, length - 1 - end), -step)
    made = Value(tensor[tuple(index)], perm)
    fixed = all(isinstance(n, (int, type(None))) for part in index for n in (part.start, part.stop, part.step))
    return made.with_parts(x.parts[index[0]]) if x.parts is not None and x.rank == 1 and fixed else made


def _plain(start: int, end: int, step: int) -> bool:
    """Bounds that mean the same for every size: both counted from the first element, from it, or to the last."""
    return (step > 0 and (start >= 0 or start >= -1) and start <= 0 and (end >= END or end < 0)) or (
        step > 0 and 0 <= start < END and end >= 0
    )


def _known(start: int, end: int, step: int, size: int | None) -> slice:
    if size is None:
        return slice(start, None if end >= END else end, step)
    found = slice(start, end, step).indices(size)
    stop: int | None = found[1]
    if step < 0 and found[1] < 0:
        stop = None
    if stop is not None and (stop - found[0]) * step <= 0:
        return slice(0, 0, 1)
    return slice(found[0], stop, step)


def _cut(bound: Any, length: Any, step: int) -> Any:
    """A bound counted from the end when negative, and inside what a slice of that direction may have."""
    bound = tf.where(bound < 0, bound + length, bound)
    return tf.clip_by_value(bound, 0, length) if step > 0 else tf.clip_by_value(bound, -1, length - 1)


def _sliced_by_positions(x: Value, starts: Value, ends: Value, axes: Any, steps: Value | None) -> Any:
    """Axes or steps that are known at run time only: every axis is gathered at its positions."""
    tensor = x.tensor
    rank = len(tensor.shape)
    sizes = tf.shape(tensor, out_type=tf.int64)
    where = tf.range(tf.size(starts.tensor)) if axes is None else (axes.tensor if isinstance(axes, Value) else axes)
    where = tf.math.floormod(tf.cast(where, tf.int64), rank)[:, None]

    def spread(value: Any, default: Any) -> Any:
        return tf.tensor_scatter_nd_update(default, where, tf.cast(value, tf.int64))

    ones = tf.ones([rank], tf.int64)
    pace = ones if steps is None else spread(steps.tensor, ones)
    first, last = spread(starts.tensor, ones * 0), spread(ends.tensor, sizes)
    for axis in range(rank):
        step, length = pace[axis], sizes[axis]
        low, high = (tf.where(b < 0, b + length, b) for b in (first[axis], last[axis]))
        least = tf.where(step > 0, tf.constant(0, tf.int64), tf.constant(-1, tf.int64))
        most = tf.where(step > 0, length, length - 1)
        low, high = tf.clip_by_value(low, least, most), tf.clip_by_value(high, least, most)
        count = tf.maximum(tf.cast(0, tf.int64), -(-(high - low) // step))
        tensor = tf.gather(tensor, low + tf.range(count) * step, axis=axis)
    return tensor


@op(TARGET, "Split")
def split(build: Builder, node: Node, x: Value, sizes: Value | None = None) -> Any:
    """Pieces along an axis: of the given sizes, or equal ones, the last being what is left."""
    assert x.rank is not None
    axis = positive(node.get("axis", 0), x.rank)
    count = len(node.outputs)
    tensor, perm = held(x)
    place = moved([axis], perm)[0]
    wanted: Any = node.get("split") if sizes is None else integers(sizes)
    if wanted is None and sizes is not None:
        wanted = sizes.tensor
        return tuple(Value(piece, perm) for piece in tf.split(tensor, wanted, place, num=count))
    if wanted is None:
        whole = x.shape[axis]
        parts = node.get("num_outputs", count)
        if whole is None:
            length = tf.shape(tensor)[place]
            each = -(-length // parts)
            wanted = tf.stack([each] * (parts - 1) + [length - each * (parts - 1)])
            return tuple(Value(piece, perm) for piece in tf.split(tensor, wanted, place, num=count))
        each = -(-whole // parts)
        wanted = [each] * (parts - 1) + [whole - each * (parts - 1)]
    return tuple(Value(piece, perm) for piece in tf.split(tensor, list(wanted), place))


def from_start(indices: Any, size: Any) -> Any:
    """Negative indices counted from the end."""
    return tf.where(indices < 0, indices + tf.cast(size, indices.dtype), indices)


@op(TARGET, "Gather")
def gather(build: Builder, node: Node, x: Value, indices: Value) -> Any:
    """Slices at `indices` along an axis."""
    axis = node.get("axis", 0)
    parts = _picked(x, indices)
    if parts is not None and None not in parts:
        assert indices.array is not None
        return np.array(parts, x.dtype.as_numpy_dtype).reshape(indices.array.shape)
    keeps = indices.rank == 1 and x.rank is not None  # an axis stays an axis: whatever the order
    tensor, perm = held(x) if keeps else (x.tensor, None)
    place = moved([positive(axis, x.rank)], perm)[0] if keeps and x.rank is not None else axis
    where, known = indices.tensor, integers(indices)
    if known is None or min(known, default=0) < 0:
        where = from_start(where, tf.shape(tensor)[place])
    made = Value(tf.gather(tensor, where, axis=place), perm if keeps else None)
    return made.with_parts(parts)


def _picked(x: Value, indices: Value) -> list[int | None] | None:
    """Elements of a shape that is known in part."""
    where = integers(indices)
    if x.parts is None or x.rank != 1 or where is None or indices.rank not in (0, 1):
        return None
    return [x.parts[place] for place in where] if all(-len(x.parts) <= p < len(x.parts) for p in where) else None


def _places(indices: Any, axis: int) -> Any:
    """Full coordinates (..., rank) of elements whose coordinate along `axis` is given."""
    shape = tf.shape(indices, out_type=indices.dtype)
    rank = len(indices.shape)
    grid = list(tf.meshgrid(*[tf.range(shape[i]) for i in range(rank)], indexing="ij"))
    grid[axis] = indices
    return tf.stack(grid, -1)


@op(TARGET, "GatherElements")
def gather_elements(build: Builder, node: Node, x: Value, indices: Value) -> Any:
    """Element by element along an axis."""
    tensor = x.tensor
    axis = positive(node.get("axis", 0), len(tensor.shape))
    return tf.gather_nd(tensor, _places(from_start(indices.tensor, tf.shape(tensor)[axis]), axis))


@op(TARGET, "GatherND")
def gather_nd(build: Builder, node: Node, x: Value, indices: Value) -> Any:
    """Slices at coordinates, the first `batch_dims` axes in common."""
    batch = node.get("batch_dims", 0)
    tensor, where = x.tensor, indices.tensor
    depth = where.shape[-1]
    sizes = tf.shape(tensor, out_type=where.dtype)[batch : batch + depth]
    return tf.gather_nd(tensor, from_start(where, sizes), batch_dims=batch)


_SCATTER = {
    "none": tf.tensor_scatter_nd_update,
    "add": tf.tensor_scatter_nd_add,
    "max": tf.tensor_scatter_nd_max,
    "min": tf.tensor_scatter_nd_min,
}


def _scattered(tensor: Any, places: Any, updates: Any, reduction: str) -> Any:
    if reduction != "mul":
        return _SCATTER[reduction](tensor, places, updates)
    # TensorFlow has no product: coordinates that occur once in a round are multiplied, round after round.
    depth = places.shape[-1]
    flat, values = tf.reshape(places, [-1, depth]), None
    if tensor.shape.rank == depth:
        values = tf.reshape(updates, [-1])
    else:
        values = tf.reshape(updates, tf.concat([[-1], tf.shape(tensor)[depth:]], 0))

    def step(number: Any, made: Any) -> Any:
        place = flat[number][None]
        return number + 1, tf.tensor_scatter_nd_update(made, place, tf.gather_nd(made, place) * values[number][None])

    count = tf.shape(flat)[0]
    return tf.while_loop(lambda number, made: number < count, step, (0, tensor))[1]


@op(TARGET, "ScatterElements", "Scatter")
def scatter_elements(build: Builder, node: Node, x: Value, indices: Value, updates: Value) -> Any:
    """A copy of x with elements set, or reduced, at coordinates along an axis."""
    tensor = x.tensor
    axis = positive(node.get("axis", 0), len(tensor.shape))
    places = _places(from_start(indices.tensor, tf.shape(tensor)[axis]), axis)
    return _scattered(tensor, places, updates.tensor, node.get("reduction", "none"))


@op(TARGET, "ScatterND")
def scatter_nd(build: Builder, node: Node, x: Value, indices: Value, updates: Value) -> Any:
    """A copy of x with slices set, or reduced, at coordinates."""
    tensor, where = x.tensor, indices.tensor
    sizes = tf.shape(tensor, out_type=where.dtype)[: where.shape[-1]]
    return _scattered(tensor, from_start(where, sizes), updates.tensor, node.get("reduction", "none"))


# -- from sizes --------------------------------------------------------------------------------


@op(TARGET, "Expand")
def expand(build: Builder, node: Node, x: Value, to: Value) -> Any:
    """Broadcast with a shape, both ways."""
    sizes = tf.broadcast_dynamic_shape(tf.shape(x.tensor, out_type=tf.int64), tf.cast(to.tensor, tf.int64))
    made = tf.broadcast_to(x.tensor, sizes)
    known = integers(to)
    if known is not None and x.rank is not None:
        made.set_shape(_broadcast(x.shape, list(known)))
    return made


def _broadcast(one: list[int | None], other: list[Any]) -> list[int | None]:
    rank = max(len(one), len(other))
    padded = [[1] * (rank - len(sizes)) + sizes for sizes in (one, other)]
    return [b if a == 1 else a if b == 1 else a if a is not None else b for a, b in zip(*padded)]


@op(TARGET, "Tile")
def tile(build: Builder, node: Node, x: Value, repeats: Value) -> Any:
    """Copies side by side along every axis."""
    return tf.tile(x.tensor, repeats.tensor)


@op(TARGET, "ConstantOfShape")
def constant_of_shape(build: Builder, node: Node, sizes: Value) -> Any:
    """One value everywhere; float32 0 by default."""
    value = np.asarray(node.get("value", np.zeros(1, np.float32))).reshape(-1)[0]
    return tf.fill(sizes.tensor, tf.constant(value))


@op(TARGET, "Range")
def range_(build: Builder, node: Node, start: Value, limit: Value, delta: Value) -> Any:
    """start, start + delta, ... before limit."""
    bounds = [tf.reshape(value.tensor, []) for value in (start, limit, delta)]
    if start.dtype == tf.int16:
        return tf.cast(tf.range(*[tf.cast(bound, tf.int32) for bound in bounds]), tf.int16)
    return tf.range(*bounds)


@op(TARGET, "EyeLike")
def eye_like(build: Builder, node: Node, x: Value) -> Any:
    """Ones on the k-th diagonal of a matrix of x's size."""
    kind = tf_dtype(node.get("dtype")) if node.get("dtype") else x.dtype
    sizes = tf.shape(x.tensor)
    rows, columns = tf.range(sizes[0])[:, None], tf.range(sizes[1])[None, :]
    return tf.cast(tf.equal(columns - rows, node.get("k", 0)), kind)


@op(TARGET, "Trilu")
def trilu(build: Builder, node: Node, x: Value, k: Value | None = None) -> Any:
    """The upper or lower triangle of the last two axes, counted from the k-th diagonal."""
    tensor = x.tensor
    shift = tf.cast(0 if k is None else tf.reshape(k.tensor, []), tf.int64)
    sizes = tf.shape(tensor, out_type=tf.int64)
    rows, columns = tf.range(sizes[-2])[:, None], tf.range(sizes[-1])[None, :]
    kept = columns - rows >= shift if node.get("upper", 1) else columns - rows <= shift
    return tf.where(kept, tensor, tf.zeros_like(tensor))


@op(TARGET, "OneHot")
def one_hot(build: Builder, node: Node, indices: Value, depth: Value, values: Value) -> Any:
    """values[1] at the index, values[0] elsewhere; an index outside [-depth, depth - 1] sets nothing."""
    size = tf.cast(tf.reshape(depth.tensor, []), tf.int32)
    where = tf.cast(indices.tensor, tf.int64)
    where = from_start(where, size)
    axis = node.get("axis", -1)
    axis = axis if axis >= -1 else axis + len(where.shape) + 1
    return tf.one_hot(where, size, values.tensor[1], values.tensor[0], axis=axis)


@op(TARGET, "Pad")
def pad(
    build: Builder,
    node: Node,
    x: Value,
    pads: Value | None = None,
    value: Value | None = None,
    axes: Value | None = None,
) -> Any:
    """constant, edge, reflect or wrap; negative pads cut."""
    tensor, perm = held(x)
    mode, rank = node.get("mode", "constant"), len(tensor.shape)
    sizes = node.get("pads", node.get("paddings")) if pads is None else integers(pads)
    filling = node.get("value", 0.0) if value is None else tf.reshape(value.tensor, [])
    where = integers(axes)
    if sizes is None or (axes is not None and where is None):
        assert pads is not None
        places = tf.range(rank, dtype=tf.int64) if axes is None else tf.cast(axes.tensor, tf.int64)
        both = tf.transpose(tf.reshape(tf.cast(pads.tensor, tf.int64), [2, -1]))
        whole = tf.scatter_nd(tf.math.floormod(places, rank)[:, None], both, tf.constant([rank, 2], tf.int64))
        pairs = [(whole[axis, 0], whole[axis, 1]) for axis in range(rank)]
    else:
        chosen = list(range(rank)) if where is None else [positive(axis, rank) for axis in where]
        pairs = [(0, 0)] * rank
        for number, axis in enumerate(chosen):
            pairs[axis] = (sizes[number], sizes[number + len(chosen)])
    pairs = pairs if perm is None else [pairs[axis] for axis in perm]
    if mode == "constant":
        filling = filling if tf.is_tensor(filling) else tf.constant(filling, tensor.dtype)
        wide = tf.pad(tensor, [_not_negative(pair) for pair in pairs], constant_values=filling)
        return Value(_cut_off(wide, pairs), perm)
    for axis, pair in enumerate(pairs):
        if tf.is_tensor(pair[0]) or pair != (0, 0):
            tensor = tf.gather(tensor, _outside(tf.shape(tensor, out_type=tf.int64)[axis], pair, mode), axis=axis)
    return Value(tensor, perm)


def _not_negative(pair: tuple[Any, Any]) -> list[Any]:
    return [max(n, 0) if isinstance(n, int) else tf.cast(tf.maximum(n, 0), tf.int64) for n in pair]


def _cut_off(tensor: Any, pairs: list[tuple[Any, Any]]) -> Any:
    """What negative pads cut away."""
    if all(isinstance(n, int) and n >= 0 for pair in pairs for n in pair):
        return tensor
    shape = tf.shape(tensor, out_type=tf.int64)
    begin = tf.stack([tf.maximum(-tf.cast(b, tf.int64), 0) for b, _ in pairs])
    end = tf.stack([tf.maximum(-tf.cast(e, tf.int64), 0) for _, e in pairs])
    return tf.slice(tensor, begin, shape - begin - end)


def _outside(size: Any, pair: tuple[Any, Any], mode: str) -> Any:
    """Which elements of an axis a padded one shows."""
    before, after = (tf.cast(n, tf.int64) for n in pair)
    places = tf.range(-before, size + after)
    if mode == "edge":
        return tf.clip_by_value(places, 0, size - 1)
    if mode == "wrap":
        return tf.math.floormod(places, size)
    period = tf.maximum(2 * (size - 1), 1)
    places = tf.math.floormod(places, period)
    return tf.where(places >= size, period - places, places)


@op(TARGET, "ReverseSequence")
def reverse_sequence(build: Builder, node: Node, x: Value, lengths: Value) -> Any:
    """The first `lengths` elements along the time axis, reversed."""
    return tf.reverse_sequence(
        x.tensor, lengths.tensor, seq_axis=node.get("time_axis", 0), batch_axis=node.get("batch_axis", 1)
    )


@op(TARGET, "NonZero")
def non_zero(build: Builder, node: Node, x: Value) -> Any:
    """Coordinates of what is not 0, an axis a row."""
    tensor = x.tensor
    return tf.transpose(tf.where(tensor if tensor.dtype == tf.bool else tf.not_equal(tensor, tf.zeros_like(tensor))))


@op(TARGET, "Compress")
def compress(build: Builder, node: Node, x: Value, condition: Value) -> Any:
    """What the condition picks along an axis, or of the flat tensor."""
    tensor, picked = x.tensor, condition.tensor
    axis = node.get("axis")
    if axis is None:
        tensor, axis = tf.reshape(tensor, [-1]), 0
    return tf.gather(tensor, tf.where(picked)[:, 0], axis=axis)


@op(TARGET, "TopK")
def top_k(build: Builder, node: Node, x: Value, k: Value | None = None) -> Any:
    """The k greatest or least along an axis, in order, the first of equals first; values and places."""
    tensor = x.tensor
    rank = len(tensor.shape)
    axis = positive(node.get("axis", -1), rank)
    count = node.get("k") if k is None else tf.cast(tf.reshape(k.tensor, []), tf.int32)
    order = [a for a in range(rank) if a != axis] + [axis]
    last = tf.transpose(tensor, order)
    if node.get("largest", 1):
        values, places = tf.math.top_k(last, count)
    else:
        places = tf.argsort(last, stable=True)[..., :count]
        values = tf.gather(last, places, batch_dims=rank - 1)
    back = list(np.argsort(order))
    return tf.transpose(values, back), tf.cast(tf.transpose(places, back), tf.int64)


@op(TARGET, "Unique")
def unique(build: Builder, node: Node, x: Value) -> Any:
    """Distinct elements (or slices along an axis), sorted or in order of appearance; first places, inverse, counts."""
    tensor, axis = x.tensor, node.get("axis")
    rows = tf.reshape(tensor, [-1]) if axis is None else tensor
    place = 0 if axis is None else axis
    values, inverse_, counts = tf.raw_ops.UniqueWithCountsV2(x=rows, axis=[place], out_idx=tf.int64)
    total = tf.shape(counts, out_type=tf.int64)[0]
    numbers = tf.range(tf.shape(inverse_, out_type=tf.int64)[0])
    first = tf.math.unsorted_segment_min(numbers, inverse_, total)
    if node.get("sorted", 1):
        order = _sorted_rows(values, place)
        back = tf.math.invert_permutation(order)
        values, first = tf.gather(values, order, axis=place), tf.gather(first, order)
        counts, inverse_ = tf.gather(counts, order), tf.gather(back, inverse_)
    return values, first, inverse_, counts


def _sorted_rows(values: Any, axis: int) -> Any:
    """The order of slices along an axis, the first element weighing most."""
    rank = len(values.shape)
    rows = tf.transpose(values, [axis % rank, *[a for a in range(rank) if a != axis % rank]])
    flat = tf.reshape(rows, tf.stack([tf.shape(rows)[0], -1]))
    columns = tf.shape(flat)[1]

    def step(number: Any, order: Any) -> Any:
        column = tf.gather(flat, order)[:, columns - 1 - number]
        return number + 1, tf.gather(order, tf.argsort(column, stable=True))

    start = tf.range(tf.shape(flat)[0])
    order = tf.while_loop(
        lambda number, order: number < columns,
        step,
        (0, start),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )[1]
    return tf.cast(order, tf.int64)


@op(TARGET, "Dropout")
def dropout(build: Builder, node: Node, x: Value, ratio: Value | None = None, training: Value | None = None) -> Any:
    """The identity when served; in a training graph elements are dropped and the rest is scaled."""
    if training is not None and (training.array is None or bool(np.any(training.array))):
        raise ValueError("training_mode is set: the answer would be random")
    tensor, perm = held(x)
    made = tensor
    if build.training:
        rate = node.get("ratio", 0.5) if ratio is None else tf.reshape(ratio.tensor, [])
        made = tf.nn.dropout(tensor, rate)
    return Value(tf.identity(made), perm), Value(tf.ones_like(tensor, tf.bool), perm)
