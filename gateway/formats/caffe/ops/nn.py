"""Convolution, Deconvolution, InnerProduct, Embed and Im2col.

Caffe's weights are ONNX's: (out, in / groups, kh, kw), of a deconvolution (in, out / groups, kh, kw).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.caffe.emit import Fields, Node, bounded, count
from gateway.graph.registry import op
from gateway.graph.tools import cast, reshape, sizes

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def spatial(fields: Fields, name: str, pair: Sequence[str], axes: int, default: int | None) -> tuple[int, ...]:
    """One number an axis, from `name` (once, or once an axis) or from name_h and name_w. Errors: ConversionError."""
    given = fields.ints(name)
    if any(fields.has(each) for each in pair):
        if given or axes != 2:
            raise fields.error(f"{name} and {' or '.join(pair)} are given, expected one way")
        given = tuple(fields.int(each, default) for each in pair)
    if not given and default is not None:
        given = (default,)
    if len(given) not in (1, axes):
        raise fields.error(f"{name} is given {len(given)} times, expected once or {axes} times")
    found = given * axes if len(given) == 1 else given
    least = 0 if name == "pad" else 1
    if any(not least <= value <= 1 << 16 for value in found):
        raise fields.error(f"{name} is {list(found)}, expected {least} or more")
    return found


def _windows(graph: Emit, node: Node) -> tuple[Fields, int, dict[str, tuple[int, ...]]]:
    """(parameters, channels of the input, kernel and so on) of a convolution."""
    fields, x = node.fields("convolution_param"), node.inputs[0]
    if graph.axis(x, fields.int("axis", 1)) != 1:
        raise fields.error(f"axis is {fields.int('axis', 1)}; supported is 1")
    axes = graph.rank(x) - 2
    if axes < 1:
        raise node.error(f"its input has {axes + 2} dimensions, expected 3 or more")
    found = {
        "kernel_shape": spatial(fields, "kernel_size", ("kernel_h", "kernel_w"), axes, None),
        "strides": spatial(fields, "stride", ("stride_h", "stride_w"), axes, 1),
        "pads": spatial(fields, "pad", ("pad_h", "pad_w"), axes, 0) * 2,
        "dilations": spatial(fields, "dilation", (), axes, 1),
    }
    return fields, graph.size(x, 1), found


def _convolve(graph: Emit, node: Node, x: str, *, transposed: bool) -> str:
    fields, channels, windows = _windows(graph, node)
    outputs, groups = fields.int("num_output"), fields.int("group", 1)
    if groups < 1 or outputs < 1 or channels % groups or outputs % groups:
        raise node.error(f"{channels} channels in and {outputs} out do not part into {groups} groups")
    has_bias = fields.bool("bias_term", True)
    node.weights(2 if has_bias else 1)
    kernel = windows["kernel_shape"]
    shape = (channels, outputs // groups, *kernel) if transposed else (outputs, channels // groups, *kernel)
    inputs = [x, graph.constant("weight", node.blob(0, shape, "weight"))]
    if has_bias:
        inputs.append(graph.constant("bias", node.vector(1, outputs, "bias")))
    return graph.node("ConvTranspose" if transposed else "Conv", inputs, group=groups, **windows)


@op("caffe", "Convolution")
def convolution(graph: Emit, node: Node) -> str | list[str]:
    """kernel, stride, pad, dilation, group, bias_term; one weight for every bottom.

    Params  convolution_param: num_output bias_term=true kernel_size|kernel_h,w pad=0 stride=1 dilation=1 group=1 axis=1
    """
    return [_convolve(graph, _of(node, x), x, transposed=False) for x in node.inputs]


@op("caffe", "ConvolutionDepthwise", "DepthwiseConvolution")
def depthwise(graph: Emit, node: Node) -> str:
    """A convolution with a group for each channel, whatever its parameters call it (forks)."""
    (x,) = node.bottoms(1)
    fields, channels, windows = _windows(graph, node)
    if fields.int("num_output", channels) != channels or fields.int("group", channels) not in (1, channels):
        raise node.error(f"num_output {fields.int('num_output', channels)} for {channels} channels, expected the same")
    has_bias = fields.bool("bias_term", True)
    node.weights(2 if has_bias else 1)
    weight = node.blob(0, (channels, 1, *windows["kernel_shape"]), "weight")
    inputs = [x, graph.constant("weight", weight)]
    if has_bias:
        inputs.append(graph.constant("bias", node.vector(1, channels, "bias")))
    return graph.node("Conv", inputs, group=channels, **windows)


@op("caffe", "Deconvolution")
def deconvolution(graph: Emit, node: Node) -> str | list[str]:
    """The transpose of a convolution: stride (H - 1) + extent - 2 pad, nothing added.

    Params  as Convolution
    """
    return [_convolve(graph, _of(node, x), x, transposed=True) for x in node.inputs]


def _of(node: Node, x: str) -> Node:
    return Node(node.op, node.name, (x,), node.params, node.blobs, node.tops)


@op("caffe", "InnerProduct")
def inner_product(graph: Emit, node: Node) -> str:
    """All axes from `axis` on as one vector, times a matrix.

    Params  inner_product_param: num_output bias_term=true axis=1 transpose=false: the weight is (in, out)
    """
    (x,) = node.bottoms(1)
    fields = node.fields("inner_product_param")
    outputs, has_bias = fields.int("num_output"), fields.bool("bias_term", True)
    axis = graph.axis(x, fields.int("axis", 1))
    node.weights(2 if has_bias else 1)
    inner = node.blobs[0].size // max(1, outputs)
    found = count([size if isinstance(size, int) else None for size in sizes(graph, x)[axis:]])
    if found is not None and found != inner:
        raise node.error(f"its input has {found} numbers from axis {axis} on, its weight {inner}")
    if fields.bool("transpose", False):
        weight = node.blob(0, (inner, outputs), "weight")
    else:
        weight = np.ascontiguousarray(node.blob(0, (outputs, inner), "weight").T)
    bias = [graph.constant("bias", node.vector(1, outputs, "bias"))] if has_bias else []
    if axis == 1:
        flat = x if graph.rank(x) == 2 else graph.node("Flatten", [x], axis=1)
        return graph.node("Gemm", [flat, graph.constant("weight", weight), *bias])
    flat = reshape(graph, x, [*sizes(graph, x)[:axis], inner])
    made = graph.node("MatMul", [flat, graph.constant("weight", weight)])
    return graph.node("Add", [made, *bias]) if has_bias else made


@op("caffe", "Embed")
def embed(graph: Emit, node: Node) -> str:
    """A row of the weight for each index, which is a float.

    Params  embed_param: num_output input_dim bias_term=true
    """
    (x,) = node.bottoms(1)
    fields = node.fields("embed_param")
    outputs, words, has_bias = fields.int("num_output"), fields.int("input_dim"), fields.bool("bias_term", True)
    node.weights(2 if has_bias else 1)
    table = graph.constant("weight", node.blob(0, (words, outputs), "weight"))
    made = graph.node("Gather", [table, cast(graph, x, "int64")], axis=0)
    return graph.node("Add", [made, graph.constant("bias", node.vector(1, outputs, "bias"))]) if has_bias else made


@op("caffe", "Im2col")
def im2col(graph: Emit, node: Node) -> str:
    """Every window of every channel as channels of its own.

    Out  (N, C * kh * kw, places...)
    """
    (x,) = node.bottoms(1)
    _, channels, windows = _windows(graph, node)
    area = math.prod(windows["kernel_shape"])
    bounded(node, channels * area * area, "the number of its windows' elements")
    one = np.eye(area, dtype=np.float32).reshape(area, 1, *windows["kernel_shape"])
    weight = graph.constant("windows", np.tile(one, (channels, *(1,) * (one.ndim - 1))))
    return graph.node("Conv", [x, weight], group=channels, **windows)
