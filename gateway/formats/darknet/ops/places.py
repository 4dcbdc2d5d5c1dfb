"""Layers that move values: upsample, reorg, reorg3d, crop; and those that normalise them: normalization, l2norm.

Rule 1: [reorg] is no space-to-depth: it reads its input as if it had fewer channels and larger sides, and
        writes as if it had not. [reorg3d] is the one that its name says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.darknet.ops.weighted import picture
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.darknet.node import Node
    from gateway.graph.emit import Emit

MAX_CHANNELS = 4096  # of a normalization: it becomes a matrix over them


@op("darknet", "upsample")
def upsample(graph: Emit, node: Node) -> str:
    """Each value `stride` times in both directions, times `scale`; a negative stride sums instead."""
    stride, scale = node.options.int("stride", 2), node.options.float("scale", 1.0)
    x = node.inputs[0]
    if stride > 0:
        factors = graph.constant("factors", np.asarray([1, 1, stride, stride], np.float32))
        made = graph.node(
            "Resize", [x, "", factors], mode="nearest", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )  # fmt: skip
    else:
        made = graph.node("AveragePool", [x], kernel_shape=(-stride, -stride), strides=(-stride, -stride))
        scale *= stride * stride
    return graph.node("Mul", [made, graph.scalar(scale, made)]) if scale != 1.0 else made


@op("darknet", "reorg")
def reorg(graph: Emit, node: Node) -> str:
    """Darknet's old one, its reverse, and pjreddie's `flatten`."""
    options, (channels, height, width) = node.options, node.sources[0]
    stride, reverse = options.int("stride", 1), bool(options.int("reverse", 0))
    x, inner = node.inputs[0], channels // stride**2
    if not node.alexeyab and options.int("flatten", 0):
        if reverse:
            x = graph.node("Reshape", [x, graph.ints(0, height, width, channels)])
        order = [0, 3, 1, 2] if reverse else [0, 2, 3, 1]
        return picture(graph, graph.node("Transpose", [x], perm=order), node.layer.output)
    if reverse:
        parts = graph.node("Reshape", [x, graph.ints(0, stride, stride, inner, height, width)])
        moved = graph.node("Transpose", [parts], perm=[0, 3, 4, 1, 5, 2])
    else:
        parts = graph.node("Reshape", [x, graph.ints(0, inner, height, stride, width, stride)])
        moved = graph.node("Transpose", [parts], perm=[0, 3, 5, 1, 2, 4])
    return picture(graph, moved, node.layer.output)


@op("darknet", "reorg3d")
def reorg3d(graph: Emit, node: Node) -> str:
    """Space to depth."""
    channels, height, width = node.sources[0]
    stride = node.options.int("stride", 1)
    sizes = graph.ints(0, channels, height // stride, stride, width // stride, stride)
    parts = graph.node("Reshape", [node.inputs[0], sizes])
    return picture(graph, graph.node("Transpose", [parts], perm=[0, 3, 5, 1, 2, 4]), node.layer.output)


@op("darknet", "crop")
def crop(graph: Emit, node: Node) -> str:
    """The middle, and 0..1 becomes -1..1 unless `noadjust`."""
    _, height, width = node.sources[0]
    _, tall, wide = node.layer.output
    top, left = (height - tall) // 2, (width - wide) // 2
    ends = graph.ints(top + tall, left + wide)
    made = graph.node("Slice", [node.inputs[0], graph.ints(top, left), ends, graph.ints(2, 3)])
    if node.options.int("noadjust", 0):
        return made
    twice = graph.node("Mul", [made, graph.scalar(2.0, made)])
    return graph.node("Sub", [twice, graph.scalar(1.0, made)])


@op("darknet", "normalization")
def normalization(graph: Emit, node: Node) -> str:
    """x / (kappa + alpha · squares of near channels)^beta, with the one channel that Darknet forgets to add."""
    options, channels = node.options, node.layer.output[0]
    size, alpha, beta = options.int("size", 5), options.float("alpha", 0.0001), options.float("beta", 0.75)
    ahead, behind = size // 2, (size - 1) // 2
    if size < 1 or ahead > channels:
        raise graph.error(f"size={size} for {channels} channels: Darknet reads beyond them")
    if channels > MAX_CHANNELS:
        raise graph.error(f"{channels} channels, at most {MAX_CHANNELS} are normalised")
    near = np.zeros((channels, channels))
    for channel in range(channels):
        near[channel, max(0, channel - behind) : channel + ahead + 1] = alpha
    if ahead < channels:
        near[:, ahead] -= alpha  # the first window leaves it out, and later ones take it away all the same
    x = node.inputs[0]
    squares = graph.node("Mul", [x, x])
    weights = graph.constant("near", near[:, :, None, None].astype(np.float32))
    kappa = graph.constant("kappa", np.full(channels, options.float("kappa", 1.0), np.float32))
    norms = graph.node("Conv", [squares, weights, kappa], kernel_shape=(1, 1))
    return graph.node("Mul", [x, graph.node("Pow", [norms, graph.scalar(-beta, norms)])])


@op("darknet", "l2norm")
def l2norm(graph: Emit, node: Node) -> str:
    """pjreddie's: each place divided by the length of its channels; 0 / 0 where that is 0."""
    x = node.inputs[0]
    squares = graph.node("ReduceSum", [graph.node("Mul", [x, x]), graph.ints(1)], keepdims=1)
    return graph.node("Div", [x, graph.node("Sqrt", [squares])])
