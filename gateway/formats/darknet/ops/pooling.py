"""maxpool, local_avgpool, avgpool.

Rule 1: `padding` is the total of both ends, size - 1 by default. The first window starts at -(padding / 2),
        rounded towards zero, and windows go on as far as the total reaches: the ends are not symmetrical.
Rule 2: what lies outside is the lowest float for maxpool, and is not counted by local_avgpool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.darknet.ops.weighted import blurred, strides
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.darknet.node import Node
    from gateway.graph.emit import Emit

LOWEST = float(np.finfo(np.float32).min)


def _ends(node: Node, size: int, step: tuple[int, int], sides: tuple[int, int]) -> tuple[list[int], list[int]]:
    """(before, after) of height and width: so much is added, or cut off where negative, for windows to fill it."""
    padding = node.options.int("padding", size - 1)
    before = padding // 2
    after = []
    for side, stride in zip(sides, step, strict=True):
        count = (side + padding - size) // stride + 1
        after.append((count - 1) * stride + size - side - before)
    return [before, before], after


@op("darknet", "maxpool")
def maxpool(graph: Emit, node: Node) -> str:
    """Windows, over channels with maxpool_depth, antialiasing."""
    options, x = node.options, node.inputs[0]
    if node.alexeyab and options.int("maxpool_depth", 0):
        return _depth(graph, node)
    size = options.int("size", options.int("stride", 1))
    down, right = strides(node)
    blur = options.int("antialiasing", 0) if node.alexeyab else 0
    step = (1, 1) if blur else (down, right)
    channels, height, width = node.sources[0]
    before, after = _ends(node, size, step, (height, width))
    if before[0] < size and max(after) < size:
        pads = [*before, *(max(0, end) for end in after)]
        made = graph.node("MaxPool", [x], kernel_shape=(size, size), strides=step, pads=pads)
    else:
        padded = graph.node("Pad", [x, graph.ints(0, 0, *before, 0, 0, *after), graph.scalar(LOWEST, x)])
        made = graph.node("MaxPool", [padded], kernel_shape=(size, size), strides=step)
    return blurred(graph, made, channels, blur, (down, right)) if blur else made


def _depth(graph: Emit, node: Node) -> str:
    """The largest of channels k, k + out, k + 2 out ... at each place."""
    x, (channels, height, width) = node.inputs[0], node.sources[0]
    out = node.layer.output[0]
    missing = -channels % out
    turns = (channels + missing) // out
    if missing:
        x = graph.node("Pad", [x, graph.ints(0, 0, 0, 0, 0, missing, 0, 0), graph.scalar(LOWEST, x)])
    stacked = graph.node("Reshape", [x, graph.ints(0, turns, out, height, width)])
    return graph.node("ReduceMax", [stacked], axes=[1], keepdims=0)


@op("darknet", "local_avgpool")
def local_avgpool(graph: Emit, node: Node) -> str:
    """Windows; only places inside the picture count."""
    size = node.options.int("size", node.options.int("stride", 1))
    step, sides = strides(node), node.sources[0][1:]
    before, after = _ends(node, size, step, sides)
    x = node.inputs[0]
    padded = graph.node("Pad", [x, graph.ints(0, 0, *before, 0, 0, *after), graph.scalar(0.0, x)])
    mean = graph.node("AveragePool", [padded], kernel_shape=(size, size), strides=step)
    counts = []
    for side, stride, count in zip(sides, step, node.layer.output[1:], strict=True):
        starts = np.arange(count) * stride - before[0]
        counts.append(np.minimum(starts + size, side) - np.maximum(starts, 0))
    counted = np.outer(counts[0], counts[1])
    if counted.min() < 1:
        raise graph.error("some of its windows lie outside of the picture: Darknet divides by 0 there")
    return graph.node("Mul", [mean, graph.constant("scale", (size * size / counted).astype(np.float32))])


@op("darknet", "avgpool")
def avgpool(graph: Emit, node: Node) -> str:
    """The mean of each channel."""
    return graph.node("GlobalAveragePool", [node.inputs[0]])
