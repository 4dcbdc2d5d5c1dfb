"""Pooling and SPP, and the window average that LRN stands on.

Caffe's sizes: ceil((H + 2p - k) / s) + 1 (floor with round_mode FLOOR); with padding, a last window that would
start in it is dropped; without, it is kept even where it starts behind the end. An average divides by
min(start + k, H + p) - start: padding counts, what hangs over does not.

Rule 1: the input is padded, or cut, so that every window lies inside: ONNX's own ceil_mode and
        count_include_pad are not used, for runtimes differ there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.caffe.emit import Fields, Node, bounded, sides
from gateway.graph.registry import op
from gateway.graph.tools import cast, full, ints, like, reshape, sizes

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Windows:
    """Along each of two axes. `ceil`: sizes are rounded up."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    ceil: bool = True

    def count(self, axis: int, size: int) -> int:
        k, s, p = self.kernel[axis], self.stride[axis], self.pad[axis]
        span = size + 2 * p - k
        found = (-(-span // s) if self.ceil else span // s) + 1
        if any(self.pad) and (found - 1) * s >= size + p:
            found -= 1
        return found

    def after(self, axis: int, size: int) -> int:
        """Padding at the end so that the last window lies inside; negative: a rest that no window reads."""
        return (self.count(axis, size) - 1) * self.stride[axis] + self.kernel[axis] - size - self.pad[axis]


def _pair(fields: Fields, name: str, default: int | None) -> tuple[int, int]:
    """`name`, or name_h and name_w. Errors: ConversionError for both ways, or half of one."""
    short = name.removesuffix("_size")
    both = [fields.has(f"{short}_h"), fields.has(f"{short}_w")]
    if any(both) and (fields.has(name) or not all(both)):
        raise fields.error(f"{name}, {short}_h and {short}_w do not go together; expected the one or both others")
    least = 0 if name == "pad" else 1
    if all(both):
        return fields.size(f"{short}_h", None, least), fields.size(f"{short}_w", None, least)
    side = fields.size(name, default, least)
    return side, side


@op("caffe", "Pooling")
def pooling(graph: Emit, node: Node) -> str | list[str]:
    """MAX and AVE, windows or global; Caffe's sizes and divisors; the places of maxima as a second top.

    Params  pooling_param: pool=MAX kernel_size|kernel_h,w stride=1 pad=0 global_pooling=false
            round_mode=CEIL (forks: ceil_mode=true)
    """
    (x,) = node.bottoms(1)
    fields = node.fields("pooling_param")
    kind = fields.choice("pool", ("MAX", "AVE"), "MAX")
    if graph.rank(x) != 4:
        raise node.error(f"its input has {graph.rank(x)} dimensions, expected 4")
    if node.tops > 1 and kind != "MAX":
        raise node.error("a second top is the places of maxima; only MAX has them")
    stride, pad = _pair(fields, "stride", 1), _pair(fields, "pad", 0)
    if fields.bool("global_pooling", False):
        if any(fields.has(name) for name in ("kernel_size", "kernel_h", "kernel_w")) or any(pad) or max(stride) > 1:
            raise fields.error("global_pooling goes with no kernel, pad 0 and stride 1 only")
        if node.tops == 1:
            return graph.node("GlobalMaxPool" if kind == "MAX" else "GlobalAveragePool", [x])
        height, width = sides(graph, x)
        windows = Windows((height, width), (1, 1), (0, 0))
    else:
        windows = Windows(_pair(fields, "kernel_size", None), stride, pad, _rounds_up(fields))
    if any(p >= k for p, k in zip(windows.pad, windows.kernel, strict=True)):
        raise fields.error(f"pad is {list(windows.pad)}, expected less than the kernel {list(windows.kernel)}")
    if kind == "MAX":
        return largest(graph, node, x, windows, places=node.tops > 1)
    return mean(graph, node, x, windows)


def _rounds_up(fields: Fields) -> bool:
    if fields.has("ceil_mode"):
        return fields.bool("ceil_mode", True)
    return fields.choice("round_mode", ("CEIL", "FLOOR"), "CEIL") == "CEIL"


def _inside(graph: Emit, node: Node, x: str, windows: Windows, value: float) -> str:
    """The input padded, or cut, so that every window lies inside.

    Without padding and rounded up the size may be free: floor((H + s - 1 - k) / s) is ceil((H - k) / s).
    """
    if windows.ceil and not any(windows.pad) and None in (graph.shape(x) or ())[2:]:
        return _filled(graph, x, [stride - 1 for stride in windows.stride], windows, value)
    have = sides(graph, x)
    for axis, size in enumerate(have):
        if windows.count(axis, size) < 1:
            raise node.error(f"its kernel {list(windows.kernel)} is larger than its input {have}")
    return _filled(graph, x, [windows.after(axis, size) for axis, size in enumerate(have)], windows, value)


def _filled(graph: Emit, x: str, after: list[int], windows: Windows, value: float) -> str:
    if not any((*windows.pad, *after)):
        return x
    pads = ints(graph, [0, 0, *windows.pad, 0, 0, *after])
    return graph.node("Pad", [x, pads, full(graph, value, graph.dtype(x))])


def largest(graph: Emit, node: Node, x: str, windows: Windows, *, places: bool = False) -> str | list[str]:
    padded = _inside(graph, node, x, windows, LOWEST)
    shape = {"kernel_shape": windows.kernel, "strides": windows.stride}
    if not places:
        return graph.node("MaxPool", [padded], **shape)
    made, flat = graph.nodes("MaxPool", [padded], 2, **shape)
    height, width = sides(graph, padded)
    plane = graph.node("Mod", [flat, full(graph, height * width, "int64")])
    row = graph.node("Div", [plane, full(graph, width, "int64")])
    column = graph.node("Sub", [plane, graph.node("Mul", [row, full(graph, width, "int64")])])
    row = graph.node("Sub", [row, full(graph, windows.pad[0], "int64")])
    column = graph.node("Sub", [column, full(graph, windows.pad[1], "int64")])
    place = graph.node("Add", [graph.node("Mul", [row, full(graph, sides(graph, x)[1], "int64")]), column])
    return [made, cast(graph, place, graph.dtype(x))]


def mean(graph: Emit, node: Node, x: str, windows: Windows) -> str:
    have = sides(graph, x)
    padded = _inside(graph, node, x, windows, 0.0)
    made = graph.node("AveragePool", [padded], kernel_shape=windows.kernel, strides=windows.stride)
    bounded(node, math.prod(windows.count(axis, size) for axis, size in enumerate(have)), "the number of its windows")
    divisors = np.ones((), np.float64)
    for axis, size in enumerate(have):
        k, p = windows.kernel[axis], windows.pad[axis]
        start = np.arange(windows.count(axis, size)) * windows.stride[axis] - p
        divisors = divisors[..., None] * (np.minimum(start + k, size + p) - start)
    if (divisors <= 0).any():
        raise node.error("its last window lies behind the end of the input, where an average is 0 / 0")
    area = math.prod(windows.kernel)
    if (divisors == area).all():
        return made
    return graph.node("Mul", [made, graph.constant("scale", (area / divisors).astype(np.float32))])


@op("caffe", "SPP")
def spp(graph: Emit, node: Node) -> str:
    """Pooling into 1, 2 x 2, 4 x 4 ... bins, flattened and joined.

    Params  spp_param: pyramid_height pool=MAX
    """
    (x,) = node.bottoms(1)
    fields = node.fields("spp_param")
    height = fields.size("pyramid_height")
    kind = fields.choice("pool", ("MAX", "AVE"), "MAX")
    have = sides(graph, x)
    if not have or 2 ** (height - 1) > min(have):
        raise node.error(f"a pyramid of {height} levels does not fit an input of {have}")
    levels = []
    for level in range(height):
        bins = 2**level
        kernel = tuple(-(-size // bins) for size in have)
        pad = tuple((k * bins - size + 1) // 2 for k, size in zip(kernel, have, strict=True))
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise node.error(f"level {level} of its pyramid would pad {list(pad)} to windows of {list(kernel)}")
        windows = Windows(kernel, kernel, pad)
        made = largest(graph, node, x, windows) if kind == "MAX" else mean(graph, node, x, windows)
        assert isinstance(made, str)
        levels.append(made)
    if height == 1:
        return levels[0]
    return graph.node("Concat", [_flat(graph, level) for level in levels], axis=1)


def _flat(graph: Emit, x: str) -> str:
    return reshape(graph, x, [sizes(graph, x)[0], math.prod(sides(graph, x, 1))])


def within_channel(graph: Emit, node: Node, x: str, size: int, alpha: float, beta: float) -> str:
    """x (1 + alpha * mean of squares in the window) ** -beta; padding counts."""
    pad = (size - 1) // 2
    power = mean(graph, node, graph.node("Mul", [x, x]), Windows((size, size), (1, 1), (pad, pad)))
    base = graph.node("Add", [graph.node("Mul", [power, like(graph, power, alpha)]), like(graph, power, 1.0)])
    return graph.node("Mul", [x, graph.node("Pow", [base, like(graph, base, -beta)])])
