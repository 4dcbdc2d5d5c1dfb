"""Convolutions and FullyConnected. Weights are (height, width, in, out); transposed ones (height, width, out, in)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mmdnn.node import FORMAT_NAME, Node
from gateway.formats.mmdnn.ops.windows import SAME, padding, spatial, written
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def _kernel(graph: Emit, node: Node, x: str, name: str = "weights") -> Array:
    """A weight of as many axes as the input. Errors: ConversionError."""
    weight, rank = node.weight(name), graph.rank(x)
    if rank < 3 or weight.ndim != rank:
        raise node.error(f"its {name} has the shape {list(weight.shape)}, its input {rank} dimensions")
    if node.has("kernel_shape"):
        said = node.ints("kernel_shape")
        if len(said) != rank or said[: rank - 2] != weight.shape[: rank - 2]:
            raise node.error(f"kernel_shape is {list(said)}, and its {name} has the shape {list(weight.shape)}")
    return weight


def biased(graph: Emit, node: Node, made: str, count: int) -> str:
    """`made` (channels first) and its bias. Errors: ConversionError where flag and weights contradict."""
    stored = "bias" in node.weights
    if node.has("use_bias") and node.bool("use_bias") != stored:
        there = "there is none" if not stored else "there is one"
        raise node.error(f"use_bias is {node.bool('use_bias')}, and {there} in {node.graph.weights_file or 'no file'}")
    if not stored:
        return made
    sides = (1,) * (graph.rank(made) - 2)
    return graph.node("Add", [made, graph.constant("bias", node.vector("bias", count).reshape(-1, *sides))])


def _convolve(graph: Emit, node: Node, x: str, kernel: Array, groups: int) -> str:
    """`kernel` is ONNX's (out, in, places...); the answer has channels first."""
    rank = graph.rank(x)
    strides, dilations = spatial(node, "strides", rank), spatial(node, "dilations", rank, default=1)
    pads = padding(graph, node, x, kernel.shape[2:], strides, dilations)
    return graph.node(
        "Conv", [node.first(graph, x), graph.constant("weights", np.ascontiguousarray(kernel))], group=groups,
        strides=strides, dilations=dilations, pads=pads.onnx, kernel_shape=kernel.shape[2:],
    )  # fmt: skip


@op(FORMAT_NAME, "Conv")
def conv(graph: Emit, node: Node) -> str:
    """strides, dilations, pads or auto_pad, group, in one to three dimensions."""
    x = node.one()
    weight, groups = _kernel(graph, node, x), node.int("group", 1)
    channels, (taken, made) = graph.size(x, -1), weight.shape[-2:]
    if groups < 1 or taken * groups != channels or made % groups:
        raise node.error(
            f"its weights {list(weight.shape)} in {groups} groups do not fit an input of {channels} channels",
            "The IR keeps channels last: an input with channels first, as TensorFlow's NCHW, is not what it says.",
        )
    order = [weight.ndim - 1, weight.ndim - 2, *range(weight.ndim - 2)]
    return node.last(graph, biased(graph, node, _convolve(graph, node, x, weight.transpose(order), groups), made))


def _depthwise(graph: Emit, node: Node, x: str, weight: Array) -> tuple[Array, int, int]:
    """(ONNX's kernel, groups, channels out): channel c gives c * m ... c * m + m - 1."""
    channels, places = graph.size(x, -1), weight.shape[:-2]
    many = weight.size // max(1, math.prod(places) * channels)
    if many < 1 or many * channels != math.prod(weight.shape[-2:]):
        raise node.error(f"its weights {list(weight.shape)} do not fit an input of {channels} channels")
    kernel = weight.reshape(*places, channels * many)
    return kernel.transpose(kernel.ndim - 1, *range(kernel.ndim - 1))[:, None], channels, channels * many


@op(FORMAT_NAME, "DepthwiseConv")
def depthwise(graph: Emit, node: Node) -> str:
    """A convolution for each channel; weights are (height, width, channels, m) or (height, width, channels * m, 1)."""
    x = node.one()
    kernel, groups, made = _depthwise(graph, node, x, _kernel(graph, node, x))
    return node.last(graph, biased(graph, node, _convolve(graph, node, x, kernel, groups), made))


@op(FORMAT_NAME, "SeparableConv")
def separable(graph: Emit, node: Node) -> str:
    """A depthwise convolution, then one of 1 x 1; the bias is of the second."""
    x = node.one()
    kernel, groups, between = _depthwise(graph, node, x, _kernel(graph, node, x, "depthwise_filter"))
    point = node.weight("pointwise_filter")
    if point.ndim != kernel.ndim or point.shape[-2] != between or math.prod(point.shape[:-2]) != 1:
        raise node.error(
            f"its pointwise_filter has the shape {list(point.shape)}, expected 1 x 1 of {between} channels"
        )
    order = [point.ndim - 1, point.ndim - 2, *range(point.ndim - 2)]
    made = _convolve(graph, node, x, kernel, groups)
    made = graph.node("Conv", [made, graph.constant("pointwise", np.ascontiguousarray(point.transpose(order)))])
    return node.last(graph, biased(graph, node, made, point.shape[-1]))


@op(FORMAT_NAME, "ConvTranspose")
def transposed(graph: Emit, node: Node) -> str:
    """The gradient of a convolution: pads cut the answer; auto_pad is TensorFlow's, its pads are not read."""
    x = node.tensors(1, 2)[-1]  # TensorFlow's own operator reads the size first
    weight, rank, groups = _kernel(graph, node, x), graph.rank(x), node.int("group", 1)
    if weight.shape[-1] != graph.size(x, -1) or groups < 1 or weight.shape[-1] % groups:
        raise node.error(f"its weights {list(weight.shape)} in {groups} groups do not fit {graph.size(x, -1)} channels")
    strides, dilations = spatial(node, "strides", rank), spatial(node, "dilations", rank, default=1)
    kernel = weight.transpose(rank - 1, rank - 2, *range(rank - 2))
    before, after, more = _cut(graph, node, x, kernel.shape[2:], strides, dilations)
    made = graph.node(
        "ConvTranspose", [node.first(graph, x), graph.constant("weights", np.ascontiguousarray(kernel))], group=groups,
        strides=strides, dilations=dilations, pads=[*before, *after], output_padding=more,
        kernel_shape=kernel.shape[2:],
    )  # fmt: skip
    return node.last(graph, biased(graph, node, made, weight.shape[-2] * groups))


def _cut(
    graph: Emit, node: Node, x: str, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> tuple[list[int], list[int], list[int]]:
    """(cut before, after, added at the end) of each axis. Errors: ConversionError."""
    auto, pads, said = node.text("auto_pad", ""), written(node, len(kernel) + 2), node.said()
    if auto not in ("", "VALID", *SAME):
        raise node.error(f"auto_pad is {auto[:40]}, expected VALID, {', '.join(SAME)}")
    before: list[int] = []
    after: list[int] = []
    more: list[int] = []
    for axis, (k, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        size = graph.size(x, axis + 1)
        full = (size - 1) * stride + (k - 1) * dilation + 1
        wanted = said[axis + 1] if said is not None and len(said) == len(kernel) + 2 else None
        if auto in SAME:
            wanted = size * stride if wanted is None else wanted
            cut = max(0, full - wanted)
            if cut % 2 and auto != "SAME_UPPER":
                raise node.error(f"auto_pad is {auto} and {cut} are to be cut: whether at the beginning is not said")
            low, high = cut // 2, cut - cut // 2
        elif auto == "VALID" or pads is None:
            low = high = 0
            wanted = max(full, size * stride) if wanted is None and auto == "VALID" else wanted
        else:
            low, high = pads[0][axis], pads[1][axis]
        rest = 0 if wanted is None else wanted - (full - low - high)
        if not 0 <= rest < max(stride, 2) or low + high >= full:
            raise node.error(
                f"its stride {stride} and kernel {k} make {full - low - high} of {size}, and its shape says {wanted}",
                "MMdnn's MXNet parser loses the stride of Deconvolution: convert the MXNet model itself.",
            )
        before, after, more = [*before, low], [*after, high], [*more, rest]
    return before, after, more


@op(FORMAT_NAME, "FullyConnected", "InnerProduct")
def fully_connected(graph: Emit, node: Node) -> str:
    """All of a row, in the order height, width, channels, times a matrix; or the last axis alone, as in Keras."""
    x = node.one()
    weight, rank = node.weight("weights"), graph.rank(x)
    if weight.ndim != 2 or rank < 2 or (node.has("units") and node.int("units") != weight.shape[1]):
        raise node.error(
            f"its weights have the shape {list(weight.shape)}, expected 2 of {node.parameters.get('units')}"
        )
    rows, units = weight.shape
    shape = graph.shape(x) or ()
    whole = None if None in shape[1:] else math.prod(size or 0 for size in shape[1:])
    said = node.said()
    alone = rank > 2 and shape[-1] == rows and (whole != rows or (said is not None and len(said) == rank))
    if not alone and whole is not None and whole != rows:
        raise node.error(f"its weights have {rows} rows, a row of its input {whole} numbers, {list(shape[1:])}")
    matrix = graph.constant("weights", weight)
    if alone:
        made = graph.node("MatMul", [x, matrix])
        if "bias" in node.weights:
            made = graph.node("Add", [made, graph.constant("bias", node.vector("bias", units))])
        return made
    flat = x if rank == 2 else graph.node("Flatten", [x], axis=1)
    return biased(graph, node, graph.node("Gemm", [flat, matrix]), units)
