"""Layers with weights: convolutional, deconvolutional, connected, local, batchnorm, implicit.

Rule 1: batch normalisation is (x - mean) / sqrt(variance + 1e-5) * scales + biases, in both dialects (what GPUs
        compute in both, and CPUs in AlexeyAB's); the bias of the layer is the one behind it.
Rule 2: sizes are the reader's (shapes.py): this file says how they are computed, not what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.darknet.ops.activations import WITH_WEIGHTS, activate
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.darknet.node import Node
    from gateway.graph.emit import Emit

EPS = 1e-5


@op("darknet", "convolutional")
def convolutional(graph: Emit, node: Node) -> str:
    """Groups, dilation, strides of their own in x and y, batch normalisation, antialiasing."""
    options, size = node.options, node.options.int("size", 1)
    padding = size // 2 if options.int("pad", 0) else options.int("padding", 0)
    down, right = strides(node)
    dilation = options.int("dilation", 1) if node.alexeyab and size > 1 else 1
    blur = options.int("antialiasing", 0) if node.alexeyab else 0
    made = convolve(
        graph,
        node,
        node.inputs[0],
        padding=padding * dilation,
        strides=(1, 1) if blur else (down, right),
        dilation=dilation,
        groups=max(1, options.int("groups", 1)),
    )
    made = activate(graph, node, made, WITH_WEIGHTS)
    return blurred(graph, made, node.layer.output[0], blur, (down, right)) if blur else made


def strides(node: Node) -> tuple[int, int]:
    """(vertical, horizontal)."""
    stride = node.options.int("stride", 1)
    if not node.alexeyab:
        return stride, stride
    down, right = (node.options.int(key, -1) for key in ("stride_y", "stride_x"))
    return (down if down >= 1 else stride, right if right >= 1 else stride)


def convolve(
    graph: Emit,
    node: Node,
    x: str,
    *,
    part: str = "",
    padding: int,
    groups: int,
    strides: tuple[int, int] = (1, 1),
    dilation: int = 1,
) -> str:
    """A convolution with its bias or batch normalisation, without activation. `part` begins the names of its arrays."""
    normal = f"{part}scales" in node.weights
    inputs = [x, graph.constant(f"{part}weights", node.weights[f"{part}weights"])]
    if not normal:
        inputs.append(graph.constant(f"{part}biases", node.weights[f"{part}biases"]))
    made = graph.node(
        "Conv", inputs, pads=[padding] * 4, strides=strides, dilations=[dilation] * 2, group=groups,
        kernel_shape=node.weights[f"{part}weights"].shape[2:],
    )  # fmt: skip
    return normalised(graph, node, made, part) if normal else made


def normalised(graph: Emit, node: Node, x: str, part: str = "") -> str:
    """Batch normalisation on axis 1; without biases in the file they are 0."""
    arrays = node.weights
    biases = arrays.get(f"{part}biases", np.zeros_like(arrays[f"{part}scales"]))
    names = ("scales", "biases", "rolling_mean", "rolling_variance")
    given = [biases if name == "biases" else arrays[f"{part}{name}"] for name in names]
    inputs = [graph.constant(f"{part}{name}", array) for name, array in zip(names, given, strict=True)]
    return graph.node("BatchNormalization", [x, *inputs], epsilon=EPS)


def blurred(graph: Emit, x: str, channels: int, blur: int, strides: tuple[int, int]) -> str:
    """Antialiasing: [1 2 1] x [1 2 1] / 16 with a padding of 1 and zeros outside, or 2x2 quarters without padding."""
    line = np.asarray([1.0, 1.0] if blur == 2 else [1.0, 2.0, 1.0])
    kernel = np.outer(line, line) / line.sum() ** 2
    weights = np.broadcast_to(kernel, (channels, 1, *kernel.shape)).astype(np.float32)
    pads = [0 if blur == 2 else 1] * 4
    return graph.node(
        "Conv", [x, graph.constant("blur", weights)], pads=pads, strides=strides, group=channels,
        kernel_shape=kernel.shape,
    )  # fmt: skip


@op("darknet", "deconvolutional")
def deconvolutional(graph: Emit, node: Node) -> str:
    """pjreddie's: weights are (in, out, size, size); the padding is cut off."""
    options, size = node.options, node.options.int("size", 1)
    padding = size // 2 if options.int("pad", 0) else options.int("padding", 0)
    stride = options.int("stride", 1)
    made = graph.node(
        "ConvTranspose", [node.inputs[0], graph.constant("weights", node.weights["weights"])], pads=[padding] * 4,
        strides=(stride, stride), kernel_shape=(size, size),
    )  # fmt: skip
    if "scales" in node.weights:
        made = normalised(graph, node, made)
    else:
        made = graph.node("Add", [made, graph.constant("biases", node.weights["biases"].reshape(-1, 1, 1))])
    return activate(graph, node, made, WITH_WEIGHTS)


@op("darknet", "connected")
def connected(graph: Emit, node: Node) -> str:
    """Over everything of the sample, channels first; batch normalised like a convolution."""
    made = matrix(graph, node, flat(graph, node.inputs[0]))
    return activate(graph, node, picture(graph, made, node.layer.output), WITH_WEIGHTS)


def flat(graph: Emit, x: str) -> str:
    """(batch, everything)."""
    return graph.node("Flatten", [x], axis=1)


def picture(graph: Emit, x: str, shape: tuple[int, int, int]) -> str:
    """(batch, channels, height, width) of what has as many values a sample."""
    return graph.node("Reshape", [x, graph.ints(0, *shape)])


def matrix(graph: Emit, node: Node, x: str, part: str = "") -> str:
    """(rows, in) -> (rows, out), with bias or batch normalisation, without activation."""
    weights = graph.constant(f"{part}weights", node.weights[f"{part}weights"])
    if f"{part}scales" in node.weights:
        return normalised(graph, node, graph.node("Gemm", [x, weights], transB=1), part)
    return graph.node("Gemm", [x, weights, graph.constant(f"{part}biases", node.weights[f"{part}biases"])], transB=1)


def folded(node: Node, part: str) -> tuple[Array, Array]:
    """(weights, biases) of a connected part with its batch normalisation worked in, float64."""
    weights = node.weights[f"{part}weights"].astype(np.float64)
    biases = node.weights[f"{part}biases"].astype(np.float64)
    if f"{part}scales" not in node.weights:
        return weights, biases
    scales, mean, variance = (
        node.weights[f"{part}{name}"].astype(np.float64) for name in ("scales", "rolling_mean", "rolling_variance")
    )
    factor = scales / np.sqrt(variance + EPS)
    return weights * factor[:, None], biases - mean * factor


@op("darknet", "local")
def local(graph: Emit, node: Node) -> str:
    """A convolution with weights of its own at each place."""
    options = node.options
    size, stride, pad = options.int("size", 1), options.int("stride", 1), options.int("pad", 0)
    count, height, width = node.layer.output
    x = node.inputs[0]
    if pad:
        x = graph.node("Pad", [x, graph.ints(0, 0, pad, pad, 0, 0, pad, pad), graph.scalar(0.0, x)])
    cells = []
    for row in range(size):
        for column in range(size):
            ends = (row + (height - 1) * stride + 1, column + (width - 1) * stride + 1)
            cell = graph.node(
                "Slice", [x, graph.ints(row, column), graph.ints(*ends), graph.ints(2, 3), graph.ints(stride, stride)]
            )
            cells.append(graph.node("Unsqueeze", [cell, graph.ints(2)]))
    patches = graph.node("Concat", cells, axis=2)  # (batch, channels, size * size, height, width)
    places, window = height * width, node.sources[0][0] * size * size
    patches = graph.node("Reshape", [patches, graph.ints(0, window, places)])
    by_place = graph.node("Transpose", [patches], perm=[2, 0, 1])
    weights = np.ascontiguousarray(node.weights["weights"].reshape(places, count, window).transpose(0, 2, 1))
    made = graph.node("MatMul", [by_place, graph.constant("weights", weights)])
    made = picture(graph, graph.node("Transpose", [made], perm=[1, 2, 0]), node.layer.output)
    made = graph.node("Add", [made, graph.constant("biases", node.weights["biases"])])
    return activate(graph, node, made, WITH_WEIGHTS)


@op("darknet", "batchnorm")
def batchnorm(graph: Emit, node: Node) -> str:
    """Alone; the file holds no biases for it."""
    return normalised(graph, node, node.inputs[0])
