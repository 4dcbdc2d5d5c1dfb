"""Operators that pick and place elements by index: take, pick, gather_nd, one_hot, scatter, masks.

Rule 1: an index may be a float: it is cut to an integer first, as MXNet does.
Rule 2: an index outside is held inside (`clip`), or goes round (`wrap`): ONNX's own negative
        indices never take part.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import numpy_dtype
from gateway.graph.registry import op
from gateway.graph.tools import (
    axis_of,
    bounded,
    cast,
    full,
    ints,
    refuse,
    run_time,
    sizes,
    transpose,
    unsqueeze,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


def wrapped(graph: Emit, index: str, size: str, mode: str) -> str:
    """int64 indices held inside [0, size): `clip` to the ends, or `wrap` around. `size` is an int64 vector of one."""
    if mode == "wrap":
        return graph.node("Mod", [index, size])
    last = graph.node("Sub", [size, ints(graph, [1])])
    return graph.node("Min", [graph.node("Max", [index, ints(graph, [0])]), last])


@op("mxnet", "pick", "choose_element_0index", "_npx_pick")
def pick(graph: Emit, node: Node) -> str:
    """One element a row: along `axis` the one that the second input names.

    In     data; indices of data's shape without the axis, or with size 1 there
    Attrs  axis=-1 mode=clip|wrap keepdims=False
    """
    x, index = node.inputs
    mode = node.attrs.choice("mode", ("clip", "wrap"), "clip")
    index = cast(graph, index, "int64")
    if "axis" in node.attrs and not node.attrs.has("axis"):
        raise refuse(node, "axis is None; supported is a number (MXNet itself refuses None).")
    count = graph.rank(x)
    axis = axis_of(node, node.attrs.int("axis", -1), count)
    size = run_time(graph, sizes(graph, x)[axis])
    if graph.rank(index) != count:
        index = unsqueeze(graph, index, [axis])
    made = graph.node("GatherElements", [x, wrapped(graph, index, size, mode)], axis=axis)
    if node.attrs.bool("keepdims", False):
        return made
    return graph.node("Squeeze", [made, ints(graph, [axis])]) if count > 1 else made


@op("mxnet", "batch_take")
def batch_take(graph: Emit, node: Node) -> str:
    """data[i, indices[i]], indices held inside.

    In     data (N, M), indices (N)
    """
    x, index = node.inputs
    size = run_time(graph, sizes(graph, x)[1])
    index = wrapped(graph, unsqueeze(graph, cast(graph, index, "int64"), [1]), size, "clip")
    return graph.node("Squeeze", [graph.node("GatherElements", [x, index], axis=1), ints(graph, [1])])


@op("mxnet", "take", "_npi_take")
def take(graph: Emit, node: Node) -> str:
    """data[..., indices, ...] on one axis.

    Attrs  axis=0 mode=clip|wrap|raise: an index outside is held inside, goes round, or is an error
    """
    x, index = node.inputs
    axis = axis_of(node, node.attrs.int("axis", 0), graph.rank(x))
    mode = node.attrs.choice("mode", ("clip", "wrap", "raise"), "clip")
    index = cast(graph, index, "int64")
    if mode != "raise":
        index = wrapped(graph, index, run_time(graph, sizes(graph, x)[axis]), mode)
    return graph.node("Gather", [x, index], axis=axis)


@op("mxnet", "one_hot", "_npx_one_hot")
def one_hot(graph: Emit, node: Node) -> str:
    """A new last axis with on_value at the index; an index outside makes a row of off_value.

    Attrs  depth required, on_value=1 off_value=0 dtype=float32
    """
    index, attrs = cast(graph, node.inputs[0], "int64"), node.attrs
    kind = attrs.dtype("dtype", "float32")
    places = graph.constant("places", np.arange(bounded(node, "depth", attrs.int("depth"), 1 << 24), dtype=np.int64))
    hit = graph.node("Equal", [unsqueeze(graph, index, [graph.rank(index)]), places])
    on, off = full(graph, attrs.float("on_value", 1.0), kind), full(graph, attrs.float("off_value", 0.0), kind)
    return graph.node("Where", [hit, on, off])


def _rows_last(graph: Emit, index: str) -> str:
    """MXNet keeps the coordinates of a point in a column, ONNX in a row."""
    count = graph.rank(index)
    return transpose(graph, cast(graph, index, "int64"), [*range(1, count), 0])


@op("mxnet", "gather_nd", "_npi_gather_nd", "_npx_gather_nd")
def gather_nd(graph: Emit, node: Node) -> str:
    """data at points; coordinates go round.

    In     data; indices (M, ...): M coordinates of each point
    """
    x, index = node.inputs
    have, count = sizes(graph, x), sizes(graph, index)[0]
    if not isinstance(count, int):
        raise refuse(node, "the number of coordinates is free; supported is a known one.", "Give the inputs' shapes.")
    if len(have) < count:
        raise refuse(node, f"{count} coordinates for a tensor of {len(have)} axes.")
    limits = [run_time(graph, size) for size in have[:count]]
    limit = limits[0] if count == 1 else graph.node("Concat", limits, axis=0)
    return graph.node("GatherND", [x, graph.node("Mod", [_rows_last(graph, index), limit])])


@op("mxnet", "scatter_nd")
def scatter_nd(graph: Emit, node: Node) -> str:
    """Zeros of a shape with data at points. Several values for one point: MXNet does not say which stays.

    In     data; indices (M, ...)
    Attrs  shape required
    """
    data, index = node.inputs
    shape = [bounded(node, "a size of shape", size) for size in node.attrs.ints("shape")]
    bounded(node, "the number of elements", math.prod(shape))
    zeros = graph.constant("zeros", np.zeros(shape, numpy_dtype(graph.dtype(data))))
    return graph.node("ScatterND", [zeros, _rows_last(graph, index), data])


@op("mxnet", "_ravel_multi_index", "ravel_multi_index")
def ravel(graph: Emit, node: Node) -> str:
    """One number for the coordinates of a point, in the input's type.

    In     (M, ...)
    Attrs  shape required: M sizes
    """
    x, shape = node.inputs[0], node.attrs.ints("shape")
    strides = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    column = graph.constant("strides", np.array(strides, np.int64).reshape(-1, *[1] * (graph.rank(x) - 1)))
    points = graph.node("Mul", [cast(graph, x, "int64"), column])
    return cast(graph, graph.node("ReduceSum", [points, ints(graph, [0])], keepdims=0), graph.dtype(x))


@op("mxnet", "_unravel_index", "unravel_index")
def unravel(graph: Emit, node: Node) -> str:
    """The coordinates of a number, in the input's type.

    Out    (M, ...)
    Attrs  shape required: M sizes
    """
    x, shape = node.inputs[0], node.attrs.ints("shape")
    column = (-1, *[1] * graph.rank(x))
    strides = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    whole = graph.node(
        "Div",
        [unsqueeze(graph, cast(graph, x, "int64"), [0]), graph.constant("strides", np.array(strides).reshape(column))],
    )
    # The first coordinate is not held inside: a number that is too large shows there.
    limits = np.array([np.iinfo(np.int64).max, *shape[1:]], np.int64).reshape(column)
    return cast(graph, graph.node("Mod", [whole, graph.constant("limits", limits)]), graph.dtype(x))


@op("mxnet", "_contrib_index_copy")
def index_copy(graph: Emit, node: Node) -> str:
    """The first input with rows `indices` replaced by the third's.

    In     old (N, ...), indices (M), new (M, ...)
    """
    old, index, new = node.inputs
    return graph.node("ScatterND", [old, unsqueeze(graph, cast(graph, index, "int64"), [1]), new])
