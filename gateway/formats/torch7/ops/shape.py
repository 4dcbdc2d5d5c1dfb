"""What moves, pads, cuts, sums and resizes.

Rule 1: View and Reshape keep the batch in front: that a table of sizes means one sample is taken where it holds as many
        numbers as one; -1 alone flattens a sample, which Torch does where numInputDims says so, and is said otherwise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.torch7.node import FORMAT_NAME, Node
from gateway.graph.registry import op
from gateway.graph.tools import bounded, part, squeeze, transpose, unsqueeze

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def _row(graph: Emit, x: str) -> int:
    return math.prod(graph.size(x, axis) for axis in range(1, graph.rank(x)))


@op(FORMAT_NAME, "View")
def view(graph: Emit, node: Node) -> str:
    """size, numInputDims."""
    x, sizes = node.one(), list(node.module.ints("size"))
    row, sample = _row(graph, x), node.sample("numInputDims")
    if sample is not None and sample != graph.rank(x) - 1:
        raise node.error(f"numInputDims is {sample}, and a sample has {graph.rank(x) - 1} dimensions")
    known = math.prod(size for size in sizes if size > 0)
    if sizes.count(-1) > 1 or any(size == 0 or size < -1 for size in sizes) or known < 1 or row % known:
        raise node.error(f"sizes {sizes} do not fit a sample of {row} numbers")
    if -1 in sizes and sample is None:
        if sizes[0] == -1 and len(sizes) > 1 and known == row:
            sizes = sizes[1:]  # the batch, written as what is left
        elif sizes != [-1]:
            raise node.error(f"sizes {sizes} without numInputDims take the batch apart", "Call setNumInputDims on it.")
        else:
            graph.warn("sizes are -1 without numInputDims, which is for one sample at a time: each sample is flattened")
    elif -1 not in sizes and known != row:
        raise node.error(f"sizes {sizes} hold {known} numbers, and a sample {row}")
    return graph.node("Reshape", [x, graph.ints(0, *sizes)])


@op(FORMAT_NAME, "Reshape")
def reshape(graph: Emit, node: Node) -> str:
    """size, batchMode."""
    x, sizes = node.one(), list(node.module.ints("size"))
    row = _row(graph, x)
    if node.module.has("batchMode") and not node.module.bool("batchMode"):
        raise node.error("batchMode is false: it takes the batch apart")
    if any(size < 1 for size in sizes) or math.prod(sizes) != row:
        raise node.error(f"size {sizes} holds {math.prod(sizes)} numbers, and a sample {row}")
    return graph.node("Reshape", [x, graph.ints(0, *sizes)])


@op(FORMAT_NAME, "Transpose")
def swapped(graph: Emit, node: Node) -> str:
    """Pairs of dimensions, one after the other."""
    x, pairs = node.one(), node.module.fields.get("permutations")
    order = list(range(graph.rank(x)))
    for pair in pairs.items() if hasattr(pairs, "items") else []:
        one, other = (node.axis(graph, x, int(d), node.sample("numInputDims")) for d in pair.items()[:2])
        order[one], order[other] = order[other], order[one]
    return transpose(graph, x, order)


@op(FORMAT_NAME, "Squeeze")
def squeezed(graph: Emit, node: Node) -> str:
    """One dimension, or all of size 1 behind the batch."""
    x = node.one()
    if node.module.has("dim"):
        return squeeze(graph, x, [node.axis(graph, x, node.module.int("dim"), node.sample("numInputDims"))])
    return squeeze(graph, x, [axis for axis in range(1, graph.rank(x)) if graph.size(x, axis) == 1])


@op(FORMAT_NAME, "Unsqueeze")
def unsqueezed(graph: Emit, node: Node) -> str:
    """A dimension of size 1 at `pos`."""
    x, at, sample = node.one(), node.module.int("pos"), node.sample("numInputDims")
    axis = at - 1 + (1 if sample is not None and graph.rank(x) == sample + 1 else 0)
    if not 1 <= axis <= graph.rank(x):
        raise node.error(f"pos is {at} of {graph.rank(x)} dimensions, the first of which is the batch")
    return unsqueeze(graph, x, [axis])


@op(FORMAT_NAME, "Select")
def select(graph: Emit, node: Node) -> str:
    """Place `index` of `dimension`, which goes."""
    x = node.one()
    axis, index = node.axis(graph, x, node.module.int("dimension")), node.module.int("index")
    size = graph.size(x, axis)
    at = index - 1 if index > 0 else index + size
    if not 0 <= at < size:
        raise node.error(f"index {index} of {size}")
    return squeeze(graph, part(graph, x, axis, at, at + 1), [axis])


@op(FORMAT_NAME, "Narrow")
def narrow(graph: Emit, node: Node) -> str:
    """`length` places of `dimension` from `index` on; a negative length counts from the end."""
    x, module = node.one(), node.module
    axis, index, length = node.axis(graph, x, module.int("dimension")), module.int("index"), module.int("length")
    size = graph.size(x, axis)
    first = index - 1 if index > 0 else index + size
    last = first + length if length >= 0 else size + length + 1
    if not 0 <= first < last <= size:
        raise node.error(f"index {index} and length {length} of {size}")
    return part(graph, x, axis, first, last)


def _reduce(op_type: str, *names: str) -> None:
    def function(graph: Emit, node: Node) -> str:
        x = node.one()
        axis = node.axis(graph, x, node.module.int("dimension", 1), node.sample("nInputDims"))
        if node.module.bool("sizeAverage") and op_type == "ReduceSum":
            return graph.node("ReduceMean", [x], axes=[axis], keepdims=0)
        keep = int(node.module.has("squeeze") and not node.module.bool("squeeze"))
        if op_type == "ReduceSum":
            return graph.node(op_type, [x, graph.ints(axis)], keepdims=keep)
        return graph.node(op_type, [x], axes=[axis], keepdims=keep)

    function.__doc__ = f"{op_type} over one dimension, which goes."
    op(FORMAT_NAME, *names)(function)


for _type in ("Sum", "Max", "Min", "Mean"):
    _reduce(f"Reduce{_type}", _type)


@op(FORMAT_NAME, "Padding")
def padding(graph: Emit, node: Node) -> str:
    """|pad| of `value` in front (negative) or behind (positive) of one dimension."""
    x, module = node.one(), node.module
    if module.int("index", 1) != 1:
        raise node.error(f"index is {module.int('index')}; only the ends are padded")
    axis, pad = node.axis(graph, x, module.int("dim"), node.sample("nInputDim")), module.int("pad")
    bounded(node, "pad", abs(pad), 1 << 16)
    ends = [0] * (2 * graph.rank(x))
    ends[axis if pad < 0 else axis + graph.rank(x)] = abs(pad)
    return graph.node("Pad", [x, graph.ints(*ends), graph.scalar(module.float("value", 0.0), x)])


@op(FORMAT_NAME, "SpatialZeroPadding", "SpatialReflectionPadding", "SpatialReplicationPadding")
def around(graph: Emit, node: Node) -> str:
    """pad_l, pad_r, pad_t, pad_b; zeros may be negative, which cuts."""
    x, module = node.picture(graph), node.module
    left = module.int("pad_l")
    ends = [module.int("pad_t", left), left, module.int("pad_b", left), module.int("pad_r", left)]
    mode = {"SpatialZeroPadding": "constant", "SpatialReflectionPadding": "reflect"}.get(node.op, "edge")
    if any(abs(each) > 1 << 16 for each in ends) or (mode != "constant" and min(ends) < 0):
        raise node.error(f"pads are {ends}")
    if mode == "reflect" and max(ends) >= min(graph.size(x, 2), graph.size(x, 3)):
        raise node.error(f"pads {ends} are as large as the picture")
    inputs = [x, graph.ints(0, 0, *ends[:2], 0, 0, *ends[2:])]
    return graph.node("Pad", [*inputs, graph.scalar(0.0, x)] if mode == "constant" else inputs, mode=mode)


@op(FORMAT_NAME, "SpatialUpSamplingNearest")
def nearest(graph: Emit, node: Node) -> str:
    """Each row and column scale_factor times."""
    x, factor = node.picture(graph), node.module.size("scale_factor")
    bounded(node, "its size", graph.size(x, 2) * graph.size(x, 3) * factor * factor)
    scales = graph.constant("scales", np.asarray([1, 1, factor, factor], np.float32))
    return graph.node(
        "Resize", [x, "", scales], mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"
    )


@op(FORMAT_NAME, "SpatialUpSamplingBilinear")
def bilinear(graph: Emit, node: Node) -> str:
    """scale_factor, or oheight and owidth; corners stay corners."""
    x, module = node.picture(graph), node.module
    height, width = graph.size(x, 2), graph.size(x, 3)
    if module.has("oheight"):
        high, wide = module.size("oheight"), module.size("owidth")
    else:
        high, wide = height * module.size("scale_factor"), width * module.size("scale_factor")
    bounded(node, "its size", high * wide)
    wanted = graph.node("Concat", [graph.node("Shape", [x], start=0, end=2), graph.ints(high, wide)], axis=0)
    made = graph.node("Resize", [x, "", "", wanted], mode="linear", coordinate_transformation_mode="align_corners")
    return graph.know(made, graph.dtype(x), (None, graph.size(x, 1), high, wide))


@op(FORMAT_NAME, "JoinTable")
def join(graph: Emit, node: Node) -> str:
    """A table's tensors side by side along `dimension`."""
    axis = node.axis(graph, node.inputs[0], node.module.int("dimension"), node.sample("nInputDims"))
    return graph.node("Concat", list(node.inputs), axis=axis)


@op(FORMAT_NAME, "SplitTable")
def split(graph: Emit, node: Node) -> list[str]:
    """Every place of `dimension` by itself."""
    x = node.one()
    axis = node.axis(graph, x, node.module.int("dimension"), node.sample("nInputDims"))
    count = graph.size(x, axis)
    bounded(node, "the number of its parts", count, 4096)
    parts = graph.nodes("Split", [x, graph.constant("split", np.ones(count, np.int64))], count, axis=axis)
    return [squeeze(graph, each, [axis]) for each in parts]


@op(FORMAT_NAME, "MM")
def product(graph: Emit, node: Node) -> str:
    """The product of two matrices of each sample, turned where transA or transB say so."""
    if len(node.inputs) != 2 or any(graph.rank(x) != 3 for x in node.inputs):
        raise node.error("expects two tensors of 3 dimensions with the batch")
    turned = [
        transpose(graph, x, (0, 2, 1)) if node.module.bool(flag) else x
        for x, flag in zip(node.inputs, ("transA", "transB"), strict=True)
    ]
    return graph.node("MatMul", turned)


@op(FORMAT_NAME, "DotProduct")
def dot(graph: Emit, node: Node) -> str:
    """The sum of products of two rows."""
    if len(node.inputs) != 2 or any(graph.rank(x) != 2 for x in node.inputs):
        raise node.error("expects two tensors of 2 dimensions with the batch")
    return graph.node("ReduceSum", [graph.node("Mul", list(node.inputs)), graph.ints(1)], keepdims=0)
