"""The ends of networks: softmax in all its kinds, losses at inference, and cutting and padding of pictures.

Rule 1: a loss is what it shows at inference: a softmax, a sigmoid, or its input. Labels are gone by now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import dtype, numpy_dtype
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit

WIDTH = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}


def over_all(graph: Emit, x: str) -> str:
    """Softmax over everything but the batch."""
    if graph.rank(x) == 2:
        return graph.node("Softmax", [x], axis=1)
    flat = graph.node("Softmax", [graph.node("Flatten", [x], axis=1)], axis=1)
    shape = graph.shape(x) or ()
    if None not in shape[1:]:
        return graph.node("Reshape", [flat, graph.ints(0, *(int(size) for size in shape[1:] if size is not None))])
    return graph.node("Reshape", [flat, graph.node("Shape", [x])])


@op("mxnet", "SoftmaxOutput", "Softmax")
def softmax_output(graph: Emit, node: Node) -> str:
    """multi_output: axis 1; preserve_shape: the last axis; else over all but the batch."""
    x = node.inputs[0]
    if node.attrs.bool("multi_output", False):
        return graph.node("Softmax", [x], axis=1)
    if node.attrs.bool("preserve_shape", False):
        return graph.node("Softmax", [x], axis=-1)
    if graph.rank(x) == 4:
        graph.warn(
            "a softmax over everything but the batch, as MXNet's own kernels have it; its oneDNN build takes "
            "the last axis of four, without preserve_shape too"
        )
    return over_all(graph, x)


@op("mxnet", "SoftmaxActivation")
def softmax_activation(graph: Emit, node: Node) -> str:
    """instance: the last axis; channel: axis 1."""
    channel = node.attrs.choice("mode", ("instance", "channel"), "instance") == "channel"
    return graph.node("Softmax", [node.inputs[0]], axis=1 if channel else -1)


@op("mxnet", "softmax", "softmin", "log_softmax", "_npx_softmax", "_npx_log_softmax", "_npx_softmin")
def softmax(graph: Emit, node: Node) -> str:
    """Along one axis, with temperature; softmax and softmin with lengths: what lies beyond is 0."""
    x = node.inputs[0]
    axis = graph.axis(x, node.attrs.int("axis", -1))
    given = graph.dtype(x)
    wanted = node.attrs.dtype("dtype", given)
    log = node.op.endswith("log_softmax")
    if WIDTH.get(wanted, 0) > WIDTH.get(given, 64):
        x = graph.node("Cast", [x], to=dtype(wanted).onnx)
    temperature = node.attrs.optional_float("temperature")
    if temperature is not None and temperature != 1.0:
        x = graph.node("Div", [x, graph.scalar(temperature, x)])
    if node.op.endswith("softmin"):
        x = graph.node("Neg", [x])
    if node.attrs.bool("use_length", False):
        made = _with_lengths(graph, node, x, axis, log)
    else:
        made = graph.node("LogSoftmax" if log else "Softmax", [x], axis=axis)
    return made if graph.dtype(made) == wanted else graph.node("Cast", [made], to=dtype(wanted).onnx)


def _with_lengths(graph: Emit, node: Node, x: str, axis: int, log: bool) -> str:
    if log:
        raise graph.error("use_length of log_softmax is not supported")
    if len(node.inputs) < 2:
        raise graph.error("use_length=True, and it has no second input")
    count = graph.size(x, axis)
    lengths = graph.node("Cast", [node.inputs[1]], to=dtype("int64").onnx)
    lengths = graph.node("Unsqueeze", [lengths, graph.ints(axis)])
    shape = [1] * graph.rank(x)
    shape[axis] = count
    inside = graph.node("Less", [graph.constant("places", np.arange(count).reshape(shape)), lengths])
    lowest = graph.constant("lowest", np.asarray(np.finfo(numpy_dtype(graph.dtype(x))).min))
    made = graph.node("Softmax", [graph.node("Where", [inside, x, lowest])], axis=axis)
    return graph.node("Where", [inside, made, graph.scalar(0, made)])


@op("mxnet", "LogisticRegressionOutput")
def logistic(graph: Emit, node: Node) -> str:
    """Sigmoid."""
    return graph.node("Sigmoid", [node.inputs[0]])


@op("mxnet", "LinearRegressionOutput", "MAERegressionOutput", "SVMOutput", "MakeLoss", "make_loss", "BlockGrad",
    "stop_gradient", "IdentityAttachKLSparseReg")  # fmt: skip
def identity(graph: Emit, node: Node) -> str:
    """The input, at inference."""
    return node.inputs[0]


@op("mxnet", "Pad", "pad")
def pad(graph: Emit, node: Node) -> str:
    """constant, edge, reflect; pad_width is (before, after) for each axis in turn."""
    x = node.inputs[0]
    mode = node.attrs.choice("mode", ("constant", "edge", "reflect"))
    widths = node.attrs.ints("pad_width")
    if len(widths) != 2 * graph.rank(x) or min(widths, default=0) < 0:
        raise graph.error(f"pad_width={list(widths)} for an input of {graph.rank(x)} dimensions")
    inputs = [x, graph.ints(*widths[::2], *widths[1::2])]
    if mode == "constant":
        inputs.append(graph.scalar(node.attrs.float("constant_value", 0.0), x))
    return graph.node("Pad", inputs, mode=mode)


@op("mxnet", "Crop")
def crop(graph: Emit, node: Node) -> str:
    """Height and width of h_w, or of a second input; at an offset, or from the middle."""
    x = node.inputs[0]
    if len(node.inputs) > 1:
        size = [graph.size(node.inputs[1], axis) for axis in (2, 3)]
    else:
        size = list(node.attrs.ints("h_w", (0, 0)))
    if node.attrs.bool("center_crop", False):
        start = [(graph.size(x, axis + 2) - size[axis]) // 2 for axis in (0, 1)]
    else:
        start = list(node.attrs.ints("offset", (0, 0)))
    shape = graph.shape(x) or ()
    for axis in (0, 1):
        whole = shape[axis + 2] if len(shape) == 4 else None
        if len(start) != 2 or size[axis] < 1 or start[axis] < 0 or (whole and start[axis] + size[axis] > whole):
            raise graph.error(f"cuts {size} at {start} out of a {list(shape)} input")
    stops = [begin + length for begin, length in zip(start, size, strict=True)]
    return graph.node("Slice", [x, graph.ints(*start), graph.ints(*stops), graph.ints(2, 3)])
