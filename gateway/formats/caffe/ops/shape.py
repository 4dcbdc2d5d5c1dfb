"""Layers that move numbers: Concat, Slice, Flatten, Reshape, Tile, Crop, Permute, and that count them: Reduction,
ArgMax.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gateway.formats.caffe.emit import Fields, Node, count
from gateway.graph.registry import op
from gateway.graph.tools import (
    Size,
    cast,
    full,
    ints,
    part,
    product,
    reshape,
    run_time,
    sizes,
    times,
    transpose,
)

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


@op("caffe", "Concat")
def concat(graph: Emit, node: Node) -> str:
    """Joined along an axis.

    Params  concat_param: axis=1, or concat_dim of old
    """
    axis = _old_axis(graph, node, node.fields("concat_param"), "concat_dim")
    return node.inputs[0] if len(node.inputs) == 1 else graph.node("Concat", list(node.inputs), axis=axis)


def _old_axis(graph: Emit, node: Node, fields: Fields, old: str) -> int:
    x = node.bottoms(1, 1 << 12)[0]
    if fields.has(old) and fields.has("axis"):
        raise fields.error(f"axis and {old} are both given, expected one of them")
    return graph.axis(x, fields.int(old) if fields.has(old) else fields.int("axis", 1))


@op("caffe", "Slice")
def slice_(graph: Emit, node: Node) -> list[str]:
    """Cut along an axis at points, or into equal parts.

    Params  slice_param: axis=1, or slice_dim of old; slice_point
    """
    (x,) = node.bottoms(1)
    fields = node.fields("slice_param")
    axis = _old_axis(graph, node, fields, "slice_dim")
    size = graph.size(x, axis)
    points = fields.ints("slice_point")
    if not points and size % node.tops:
        raise node.error(f"{size} do not part into {node.tops} equal tops")
    points = points or tuple(size // node.tops * at for at in range(1, node.tops))
    bounds = (0, *points, size)
    if len(points) != node.tops - 1 or any(a >= b for a, b in pairwise(bounds)):
        raise fields.error(f"slice_point is {list(points)} for {node.tops} tops of {size}")
    return [part(graph, x, axis, start, stop) for start, stop in pairwise(bounds)]


@op("caffe", "Flatten")
def flatten(graph: Emit, node: Node) -> str:
    """Axes from `axis` to `end_axis` as one.

    Params  flatten_param: axis=1 end_axis=-1
    """
    (x,) = node.bottoms(1)
    fields = node.fields("flatten_param")
    start, end = graph.axis(x, fields.int("axis", 1)), graph.axis(x, fields.int("end_axis", -1))
    if end < start:
        raise fields.error(f"end_axis {end} stands before axis {start}")
    have = sizes(graph, x)
    return _reshaped(graph, x, [*have[:start], product(have[start : end + 1]), *have[end + 1 :]])


def _reshaped(graph: Emit, x: str, target: list[Size | None]) -> str:
    """Other sizes; a free one that stays in its place is copied, so that its name stays too."""
    have = sizes(graph, x)
    free = [at for at, size in enumerate(target) if not isinstance(size, int)]
    if target != have and free and all(at < len(have) and target[at] == have[at] for at in free):
        plan = [size if isinstance(size, int) else 0 for size in target]
        return graph.node("Reshape", [x, ints(graph, plan)])
    return reshape(graph, x, target)


@op("caffe", "Reshape")
def reshape_(graph: Emit, node: Node) -> str:
    """Axes from `axis` on, num_axes of them, replaced: 0 copies, one -1 is inferred.

    Params  reshape_param: shape axis=0 num_axes=-1
    """
    (x,) = node.bottoms(1)
    fields = node.fields("reshape_param")
    dims = fields.inner("shape").ints("dim")
    rank, axis, axes = graph.rank(x), fields.int("axis", 0), fields.int("num_axes", -1)
    start = axis if axis >= 0 else rank + axis + 1
    end = rank if axes == -1 else start + axes
    if not 0 <= start <= end <= rank or dims.count(-1) > 1 or any(dim < -1 for dim in dims):
        raise fields.error(f"shape {list(dims)}, axis {axis} and num_axes {axes} do not fit {rank} dimensions")
    have = sizes(graph, x)
    middle: list[Size | None] = []
    for at, dim in enumerate(dims):
        if dim == 0 and start + at >= rank:
            raise fields.error(f"shape copies axis {start + at} of {rank} dimensions")
        middle.append(have[start + at] if dim == 0 else None if dim == -1 else dim)
    target: list[Size | None] = [*have[:start], *middle, *have[end:]]
    return _reshaped(graph, x, _inferred(node, have, target))


def _inferred(node: Node, have: list[Size], target: list[Size | None]) -> list[Size | None]:
    """The target with its None filled in where the numbers allow it. Errors: ConversionError where they cannot fit."""
    left, right = list(have), [size for size in target if size is not None]
    for size in [size for size in left if not isinstance(size, int) and size in right]:
        left.remove(size)
        right.remove(size)
    mine, theirs = count([_known(size) for size in left]), count([_known(size) for size in right])
    if mine is None or theirs is None:
        return target
    if (None in target and mine % theirs) or (None not in target and mine != theirs):
        raise node.error(f"{mine} numbers do not fit the shape {[_known(size) for size in target]}")
    return [mine // theirs if size is None else size for size in target]


def _known(size: Size | None) -> int | None:
    return size if isinstance(size, int) else None


@op("caffe", "Tile")
def tile(graph: Emit, node: Node) -> str:
    """Copies along an axis.

    Params  tile_param: tiles axis=1
    """
    (x,) = node.bottoms(1)
    fields = node.fields("tile_param")
    repeats = [1] * graph.rank(x)
    repeats[graph.axis(x, fields.int("axis", 1))] = fields.size("tiles")
    return graph.node("Tile", [x, ints(graph, repeats)])


@op("caffe", "Crop")
def crop(graph: Emit, node: Node) -> str:
    """The first bottom cut to the sizes of the second, from `axis` on, starting at an offset.

    Params  crop_param: axis=2 offset=0 (one, or one an axis)
    """
    x, like_ = node.bottoms(2)
    fields = node.fields("crop_param")
    start, offsets = graph.axis(x, fields.int("axis", 2)), fields.ints("offset") or (0,)
    rank = graph.rank(x)
    if len(offsets) not in (1, rank - start) or min(offsets) < 0 or graph.rank(like_) != rank:
        raise fields.error(f"offset is {list(offsets)} for {rank - start} axes and {graph.rank(like_)} dimensions")
    made, wanted = x, sizes(graph, like_)
    for axis in range(start, rank):
        offset = offsets[0] if len(offsets) == 1 else offsets[axis - start]
        size = wanted[axis]
        if isinstance(size, int):
            have = sizes(graph, x)[axis]
            if isinstance(have, int) and offset + size > have:
                raise node.error(f"a crop of {size} from {offset} on passes the end of axis {axis}, which has {have}")
            if have != size:
                made = part(graph, made, axis, offset, offset + size)
            continue
        if sizes(graph, x)[axis] == size and offset == 0:
            continue
        end = graph.node("Add", [run_time(graph, size), ints(graph, [offset])])
        made = graph.node("Slice", [made, ints(graph, [offset]), end, ints(graph, [axis]), ints(graph, [1])])
    return made


@op("caffe", "Permute")
def permute(graph: Emit, node: Node) -> str:
    """Axes in another order; those that are not named follow (SSD).

    Params  permute_param: order
    """
    (x,) = node.bottoms(1)
    fields = node.fields("permute_param")
    order, rank = list(fields.ints("order")), graph.rank(x)
    if len(set(order)) != len(order) or any(not 0 <= axis < rank for axis in order):
        raise fields.error(f"order is {order} for {rank} dimensions")
    return transpose(graph, x, [*order, *(axis for axis in range(rank) if axis not in order)])


@op("caffe", "ShuffleChannel")
def shuffle_channel(graph: Emit, node: Node) -> str:
    """Channels dealt out by groups: (g, C / g) read as (C / g, g) (forks).

    Params  shuffle_channel_param: group=1
    """
    (x,) = node.bottoms(1)
    fields = node.fields("shuffle_channel_param")
    groups, have = fields.size("group", 1), sizes(graph, x)
    channels = graph.size(x, 1)
    if channels % groups:
        raise fields.error(f"group is {groups} for {channels} channels")
    split = reshape(graph, x, [have[0], groups, channels // groups, *have[2:]])
    dealt = transpose(graph, split, [0, 2, 1, *range(3, len(have) + 1)])
    return reshape(graph, dealt, have)


@op("caffe", "BatchReindex")
def batch_reindex(graph: Emit, node: Node) -> str:
    """Rows of the first bottom by the indices in the second."""
    x, rows = node.bottoms(2)
    if graph.rank(rows) != 1:
        raise node.error(f"its second bottom has {graph.rank(rows)} dimensions, expected 1")
    return graph.node("Gather", [x, cast(graph, rows, "int64")], axis=0)


@op("caffe", "Reduction")
def reduction(graph: Emit, node: Node) -> str:
    """SUM, ASUM, SUMSQ or MEAN over all axes from `axis` on, times coeff.

    Params  reduction_param: operation=SUM axis=0 coeff=1
    """
    (x,) = node.bottoms(1)
    fields = node.fields("reduction_param")
    axes = list(range(graph.axis(x, fields.int("axis", 0)), graph.rank(x)))
    kind = fields.choice("operation", ("SUM", "ASUM", "SUMSQ", "MEAN"), "SUM")
    if kind == "MEAN":
        made = graph.node("ReduceMean", [x], axes=axes, keepdims=0)
    else:
        x = graph.node("Abs", [x]) if kind == "ASUM" else graph.node("Mul", [x, x]) if kind == "SUMSQ" else x
        made = graph.node("ReduceSum", [x, ints(graph, axes)], keepdims=0)
    return times(graph, made, fields.float("coeff", 1.0))


@op("caffe", "ArgMax")
def arg_max(graph: Emit, node: Node) -> str:
    """Places of the largest, as floats; of equal ones the last. Or their values, or both.

    Out     with axis the input's shape, top_k on that axis; else (N, 1, top_k) of all of a row, with out_max_val
            (N, 2, top_k): places, then values
    Params  argmax_param: out_max_val=false top_k=1 axis
    """
    (x,) = node.bottoms(1)
    fields = node.fields("argmax_param")
    most, both = fields.size("top_k", 1), fields.bool("out_max_val", False)
    rank, has_axis = graph.rank(x), fields.has("axis")
    axis = graph.axis(x, fields.int("axis")) if has_axis else 1
    if not has_axis:
        have = sizes(graph, x)
        x = reshape(graph, x, [have[0], product(have[1:])])
    size = graph.size(x, axis)
    if most > size:
        raise fields.error(f"top_k is {most} of {size}")
    # Of equal ones Caffe takes the last, ONNX the first: the axis is turned round.
    turned = part(graph, x, axis, -1, None, -1)
    values, places = graph.nodes("TopK", [turned, ints(graph, [most])], 2, axis=axis, largest=1, sorted=1)
    places = cast(graph, graph.node("Sub", [full(graph, size - 1, "int64"), places]), graph.dtype(x))
    if has_axis:
        return values if both else places
    tail = [1] * max(0, rank - 3)
    batch = sizes(graph, x)[0]
    rows = [reshape(graph, each, [batch, 1, most, *tail]) for each in ([places, values] if both else [places])]
    return graph.node("Concat", rows, axis=1) if both else rows[0]
