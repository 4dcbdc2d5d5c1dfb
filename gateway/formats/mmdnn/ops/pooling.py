"""Pool: the largest or the mean of windows, or of everything.

Rule 1: TensorFlow's and Keras' padding (auto_pad) is not counted by a mean. Padding that is written in numbers alone is
        MXNet's, Caffe's or PyTorch's, which count it unless they are told otherwise, and the IR does not say: it is
        counted, with a warning. Where one end has more than the other, as Caffe's rounding up makes it, it is refused.
Rule 2: the input is padded first: runtimes differ in count_include_pad.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.mmdnn.node import FORMAT_NAME, Node
from gateway.formats.mmdnn.ops.windows import Padding, padding, spatial
from gateway.graph.registry import op
from gateway.graph.tools import bounded

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

LOWEST = float("-inf")


@op(FORMAT_NAME, "Pool")
def pool(graph: Emit, node: Node) -> str:
    """MAX and AVG, global_pooling, pads or auto_pad."""
    x, kind = node.one(), node.text("pooling_type")
    rank = graph.rank(x)
    if kind not in ("MAX", "AVG"):
        raise node.error(f"pooling_type is {kind[:40]}, expected MAX or AVG")
    if rank < 3:
        raise node.error(f"its input has {rank} dimensions, expected 3 or more")
    if node.bool("global_pooling", False):
        return node.last(
            graph, graph.node("GlobalMaxPool" if kind == "MAX" else "GlobalAveragePool", [node.first(graph, x)])
        )
    if any(each != 1 for name in ("dilations", "dilation_rate") if node.has(name) for each in node.ints(name)):
        raise node.error("its windows have holes (dilations)")
    kernel, strides = spatial(node, "kernel_shape", rank), spatial(node, "strides", rank)
    pads = padding(graph, node, x, kernel, strides, (1,) * len(kernel))
    if kind == "MAX":
        return node.last(graph, _largest(graph, node, x, kernel, strides, pads))
    return node.last(graph, _mean(graph, node, x, kernel, strides, pads))


def _largest(graph: Emit, node: Node, x: str, kernel: tuple[int, ...], strides: tuple[int, ...], pads: Padding) -> str:
    turned = node.first(graph, x)
    if all(
        each < k for k, pair in zip(kernel, zip(pads.before, pads.after, strict=True), strict=True) for each in pair
    ):
        return graph.node("MaxPool", [turned], kernel_shape=kernel, strides=strides, pads=pads.onnx)
    padded = _padded(graph, turned, pads, LOWEST)
    return graph.node("MaxPool", [padded], kernel_shape=kernel, strides=strides)


def _padded(graph: Emit, turned: str, pads: Padding, value: float) -> str:
    if not pads.any:
        return turned
    ends = graph.ints(0, 0, *pads.before, 0, 0, *pads.after)
    return graph.node("Pad", [turned, ends, graph.scalar(value, turned)])


def _mean(graph: Emit, node: Node, x: str, kernel: tuple[int, ...], strides: tuple[int, ...], pads: Padding) -> str:
    turned = node.first(graph, x)
    made = graph.node("AveragePool", [_padded(graph, turned, pads, 0.0)], kernel_shape=kernel, strides=strides)
    if not pads.any:
        return made
    have = [graph.size(x, axis + 1) for axis in range(len(kernel))]
    counted = np.ones((), np.float64)
    for n, k, stride, low, high in zip(have, kernel, strides, pads.before, pads.after, strict=True):
        count = (n + low + high - k) // stride + 1
        bounded(node, "the number of its windows", counted.size * count)
        start = np.arange(count) * stride - low
        if pads.written and start[-1] + k > n + low:
            raise node.error(
                f"pads are {pads.onnx} and its last window reaches {start[-1] + k - n - low} further than the first: "
                "whether a mean counts that is not said (Caffe does not, other frameworks do)",
                "Convert the model that the IR was made from.",
            )
        inside = np.minimum(start + k, n) - np.maximum(start, 0)
        counted = counted[..., None] * inside
    if pads.written:
        graph.warn("its padding is counted in the mean, as MXNet, Caffe and PyTorch do by default; the IR does not say")
        return made
    if counted.min() < 1:
        raise node.error("some of its windows lie in the padding alone")
    return graph.node("Mul", [made, graph.constant("scale", (math.prod(kernel) / counted).astype(np.float32))])
