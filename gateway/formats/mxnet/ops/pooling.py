"""Pooling, Pooling_v1 and UpSampling.

MXNet's sizes: valid floor((H + 2p - k) / s) + 1, full the same with ceil, and unlike ONNX's
ceil_mode the last window is kept where it starts in the padding; same (1-D) ceil(H / s).
An average divides by min(start + k, H + p) - start, so padding counts and what hangs over does not;
with count_include_pad False only elements of the input count.

Rule 1: where ONNX's own rule is the same (valid), its attributes are used. Else the input is padded
        explicitly so that every window lies inside, and an average is a sum times a constant map.
Rule 2: sizes that a rule needs and that are free are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import numpy_dtype
from gateway.formats.mxnet.ops.nn import channels_last, to_back, to_front, transposed, windows
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit

MAX_MAP = 1 << 26  # elements of the constant map of divisors


@dataclass(frozen=True)
class _Windows:
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    convention: str

    @property
    def area(self) -> int:
        return int(np.prod(self.kernel))

    @property
    def by_attributes(self) -> bool:
        """ONNX's rule is this one: sizes by floor, no window wholly in the padding."""
        return self.convention == "valid" and all(p < k for p, k in zip(self.pad, self.kernel, strict=True))

    def count(self, axis: int, size: int) -> int:
        """Windows along one axis."""
        k, s, p = self.kernel[axis], self.stride[axis], self.pad[axis]
        if self.convention == "same":
            return -(-size // s)
        span = size + 2 * p - k
        return (-(-span // s) if self.convention == "full" else span // s) + 1

    def after(self, axis: int, size: int) -> int:
        """Padding at the end so that the last window lies inside; may be negative: a rest that no window reads."""
        return (self.count(axis, size) - 1) * self.stride[axis] + self.kernel[axis] - size - self.pad[axis]


@op("mxnet", "Pooling", "Pooling_v1", "_npx_pooling")
def pooling(graph: Emit, node: Node) -> str:
    """max, avg, sum and lp; windows or global; MXNet's sizes and divisors."""
    if node.outputs_used > 1:
        raise graph.error("its workspace is read; only its first output exists")
    x = node.inputs[0]
    spatial = graph.rank(x) - 2
    if not 1 <= spatial <= 3:
        raise graph.error(f"its input has {spatial + 2} dimensions, expected 3 to 5")
    last = channels_last(graph, node, spatial)
    x = to_front(graph, x) if last else x
    kind = node.attrs.choice("pool_type", ("max", "avg", "sum", "lp"), "max")
    if node.attrs.bool("global_pool", False):
        made = _global(graph, node, x, kind)
    else:
        made = _windowed(graph, node, x, kind, spatial)
    return to_back(graph, made) if last else made


def _global(graph: Emit, node: Node, x: str, kind: str) -> str:
    if kind in ("max", "avg"):
        return graph.node("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", [x])
    axes = list(range(2, graph.rank(x)))
    power = node.attrs.int("p_value") if kind == "lp" else 1
    return _root(graph, graph.node("ReduceSum", [_power(graph, x, power), graph.ints(*axes)], keepdims=1), power)


def _windowed(graph: Emit, node: Node, x: str, kind: str, spatial: int) -> str:
    same = node.attrs.str("pooling_convention", "valid") == "same" and not any(node.attrs.ints("pad", ()))
    # MXNet 1.9 takes "same" only with a pad of three zeros for its one dimension.
    names = ("stride",) if same else ("stride", "pad")
    kernel, (stride, *given) = windows(graph, node, names)
    pad = given[0] if given else (0,) * len(kernel)
    if len(kernel) != spatial:
        raise graph.error(f"kernel={list(kernel)} for an input of {spatial + 2} dimensions")
    convention = node.attrs.choice("pooling_convention", ("valid", "full", "same"), "valid")
    if convention == "same" and (spatial != 1 or any(pad)):
        raise graph.error("pooling_convention='same' is for one dimension, without pad")
    if node.op == "Pooling_v1" and any(pad):
        x = _pad(graph, x, pad, pad, 0)  # its padding is zeros, for max too, and always counts
        # full sizes are those of the padded input
        pad = (0,) * spatial
    shape = _Windows(kernel, stride, pad, convention)
    if kind == "max":
        return _max(graph, x, shape)
    if kind == "avg":
        counted = node.attrs.optional_bool("count_include_pad") is not False
        return _avg(graph, x, shape, counted, whole=node.op == "Pooling_v1")
    power = node.attrs.int("p_value") if kind == "lp" else 1
    return _root(graph, _sum(graph, _power(graph, x, power), shape), power)


def _max(graph: Emit, x: str, shape: _Windows) -> str:
    if shape.by_attributes:
        pads = (*shape.pad, *shape.pad)
        return graph.node("MaxPool", [x], kernel_shape=shape.kernel, strides=shape.stride, pads=pads)
    kind = numpy_dtype(graph.dtype(x))
    lowest = np.finfo(kind).min if kind.kind == "f" else np.iinfo(kind).min
    padded = _inside(graph, x, shape, lowest)
    return graph.node("MaxPool", [padded], kernel_shape=shape.kernel, strides=shape.stride)


def _sum(graph: Emit, x: str, shape: _Windows) -> str:
    """Zeros outside."""
    if shape.by_attributes:
        pads = (*shape.pad, *shape.pad)
        mean = graph.node(
            "AveragePool", [x], kernel_shape=shape.kernel, strides=shape.stride, pads=pads, count_include_pad=1
        )
    else:
        padded = _inside(graph, x, shape, 0)
        mean = graph.node("AveragePool", [padded], kernel_shape=shape.kernel, strides=shape.stride)
    return graph.node("Mul", [mean, graph.scalar(shape.area, mean)]) if shape.area > 1 else mean


def _avg(graph: Emit, x: str, shape: _Windows, counted: bool, whole: bool) -> str:
    """`counted`: padding counts. `whole`: every window counts as the kernel's area."""
    if shape.by_attributes:
        return graph.node(
            "AveragePool", [x], kernel_shape=shape.kernel, strides=shape.stride, pads=(*shape.pad, *shape.pad),
            count_include_pad=int(counted),
        )  # fmt: skip
    padded = _inside(graph, x, shape, 0)
    mean = graph.node("AveragePool", [padded], kernel_shape=shape.kernel, strides=shape.stride)
    if whole:
        return mean
    sizes = [graph.size(x, axis + 2) for axis in range(len(shape.kernel))]
    count = math.prod(shape.count(axis, size) for axis, size in enumerate(sizes))
    if count > MAX_MAP:
        raise graph.error(f"an average over {count} windows of different sizes is not supported; {MAX_MAP} are")
    divisors = np.ones((), np.float64)
    for axis, size in enumerate(sizes):
        k, p = shape.kernel[axis], shape.pad[axis]
        start = np.arange(shape.count(axis, size)) * shape.stride[axis] - p
        end = np.minimum(start + k, size + p)
        found = end - start if counted else np.minimum(end, size) - np.maximum(start, 0)
        divisors = divisors[..., None] * found
    if (divisors == shape.area).all():
        return mean
    # A window without any element: MXNet gives 0 for 0 / 0.
    scale = np.divide(shape.area, divisors, out=np.zeros_like(divisors), where=divisors > 0)
    return graph.node("Mul", [mean, graph.constant("scale", scale.astype(numpy_dtype(graph.dtype(mean))))])


def _inside(graph: Emit, x: str, shape: _Windows, value: float) -> str:
    """The input padded, or cut, so that every window lies inside and floor gives MXNet's number of them.

    Of "full" the size may be free: floor((H + 2p + s - 1 - k) / s) is ceil((H + 2p - k) / s).
    """
    free = graph.shape(x) or ()
    after = [
        shape.pad[axis] + stride - 1
        if shape.convention == "full" and free[axis + 2] is None
        else shape.after(axis, graph.size(x, axis + 2))
        for axis, stride in enumerate(shape.stride)
    ]
    return _pad(graph, x, shape.pad, after, value)


def _pad(graph: Emit, x: str, before: Sequence[int], after: Sequence[int], value: float) -> str:
    if not any((*before, *after)):
        return x
    kind = numpy_dtype(graph.dtype(x))
    return graph.node("Pad", [x, graph.ints(0, 0, *before, 0, 0, *after), graph.constant("fill", kind.type(value))])


def _power(graph: Emit, x: str, power: int) -> str:
    """x, x·x or x·x·x: odd powers keep the sign, as MXNet does."""
    if power not in (1, 2, 3):
        raise graph.error(f"p_value={power} is not supported; expected 1, 2 or 3")
    made = x
    for _ in range(power - 1):
        made = graph.node("Mul", [made, x])
    return made


def _root(graph: Emit, x: str, power: int) -> str:
    if power == 1:
        return x
    if power == 2:
        return graph.node("Sqrt", [x])
    root = graph.node("Pow", [graph.node("Abs", [x]), graph.scalar(1 / 3, x)])
    return graph.node("Mul", [graph.node("Sign", [x]), root])


@op("mxnet", "UpSampling")
def up_sampling(graph: Emit, node: Node) -> str:
    """nearest: each input to the first one's size times scale; bilinear: a deconvolution with a weight."""
    scale = node.attrs.int("scale")
    if node.attrs.choice("sample_type", ("nearest", "bilinear")) == "bilinear":
        kernel, pad = 2 * scale - scale % 2, scale // 2
        x, weight = node.inputs[:2]
        two = (kernel, kernel), (scale, scale), (pad, pad), (1, 1), (0, 0)
        return transposed(graph, [x, weight], *two, node.attrs.int("num_filter", 0) or graph.size(x, 1))
    mode = node.attrs.choice("multi_input_mode", ("concat", "sum"), "concat")
    parts = [_nearest(graph, x, _scale(graph, node.inputs[0], x, scale)) for x in node.inputs]
    if len(parts) == 1:
        return parts[0]
    return graph.node("Sum", parts) if mode == "sum" else graph.node("Concat", parts, axis=1)


def _scale(graph: Emit, first: str, x: str, scale: int) -> int:
    """The whole factor that brings `x` to the height of the first one's output."""
    if x == first:
        return scale
    return graph.size(first, 2) * scale // graph.size(x, 2)


def _nearest(graph: Emit, x: str, scale: int) -> str:
    factors = graph.constant("scales", np.asarray([1, 1, scale, scale], np.float32))
    return graph.node(
        "Resize", [x, "", factors], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
