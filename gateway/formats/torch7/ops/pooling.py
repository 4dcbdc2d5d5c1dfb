"""Pooling.

Torch's sizes: floor, or ceil with ceil_mode, of (n + 2 pad - k) / d, plus 1; with padding a last window that would
start in it is dropped. A mean divides by min(start + k, n + pad) - start, or by what lies inside of the picture where
count_include_pad is false.

Rule 1: the input is padded, or cut, so that every window lies inside: runtimes differ in ceil_mode.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.torch7.node import FORMAT_NAME, Node
from gateway.graph.registry import op
from gateway.graph.tools import bounded

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def _windows(graph: Emit, node: Node, x: str, value: float) -> tuple[str, list[int]]:
    """(the input so that windows fill it, how many of them) of height and width."""
    module = node.module
    if module.thing.kind.startswith("inn."):
        raise node.error("is inn's, whose sizes are always rounded up, whatever it says")
    kernel, steps, pads = module.pair("k"), module.pair("d", 1), module.pair("pad", 0, least=0)
    ceil, after, counts = module.bool("ceil_mode"), [], []
    for axis, (k, step, pad) in enumerate(zip(kernel, steps, pads, strict=True)):
        size = graph.size(x, axis + 2)
        if pad > k // 2:
            raise node.error(f"pads {list(pads)} are over half of its kernel {list(kernel)}")
        span = size + 2 * pad - k
        count = (-(-span // step) if ceil else span // step) + 1
        if any(pads) and (count - 1) * step >= size + pad:
            count -= 1
        if count < 1:
            raise node.error(f"its kernel {list(kernel)} is larger than its input, {size} of axis {axis + 2}")
        after.append((count - 1) * step + k - size - pad)
        counts.append(count)
    if not any((*pads, *after)):
        return x, counts
    ends = graph.ints(0, 0, *pads, 0, 0, *after)
    return graph.node("Pad", [x, ends, graph.scalar(value, x)]), counts


@op(FORMAT_NAME, "SpatialMaxPooling")
def largest(graph: Emit, node: Node) -> str:
    """kW, kH, dW, dH, padW, padH, ceil_mode."""
    x = node.picture(graph)
    padded, _ = _windows(graph, node, x, -math.inf)
    return graph.node("MaxPool", [padded], kernel_shape=node.module.pair("k"), strides=node.module.pair("d", 1))


@op(FORMAT_NAME, "SpatialAveragePooling")
def mean(graph: Emit, node: Node) -> str:
    """The same, and count_include_pad, divide."""
    x, module = node.picture(graph), node.module
    padded, counts = _windows(graph, node, x, 0.0)
    kernel, steps, pads = module.pair("k"), module.pair("d", 1), module.pair("pad", 0, least=0)
    made = graph.node("AveragePool", [padded], kernel_shape=kernel, strides=steps)
    bounded(node, "the number of its windows", math.prod(counts))
    inside, divisors = not module.bool("count_include_pad", True), np.ones((), np.float64)
    for axis, (k, step, pad, count) in enumerate(zip(kernel, steps, pads, counts, strict=True)):
        size, start = graph.size(x, axis + 2), np.arange(count) * step - pad
        end = np.minimum(start + k, size + pad)
        counted = np.minimum(end, size) - np.maximum(start, 0) if inside else end - start
        divisors = divisors[..., None] * counted
    if divisors.min() <= 0:
        raise node.error("its last window lies behind the end of the input")
    scale = math.prod(kernel) / divisors
    if not module.bool("divide", True):
        scale = scale * math.prod(kernel)
    if (scale == 1).all():
        return made
    return graph.node("Mul", [made, graph.constant("scale", scale.astype(np.float32))])


@op(FORMAT_NAME, "SpatialAdaptiveMaxPooling", "SpatialAdaptiveAveragePooling")
def adaptive(graph: Emit, node: Node) -> str:
    """To H x W places, where these part the input evenly."""
    x, module = node.picture(graph), node.module
    names = ("H", "W") if module.has("H") else ("oH", "oW")
    wanted, have = [module.size(name) for name in names], [graph.size(x, 2), graph.size(x, 3)]
    if any(size % many for size, many in zip(have, wanted, strict=True)):
        raise node.error(f"to {wanted} of {have}, which do not part evenly")
    kernel = [size // many for size, many in zip(have, wanted, strict=True)]
    kind = "MaxPool" if "Max" in node.op else "AveragePool"
    return graph.node(kind, [x], kernel_shape=kernel, strides=kernel)
