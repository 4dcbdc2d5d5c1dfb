"""Pooling windows, transposed convolution, and normalisation over a picture: channels last inside."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.ops.nn import Pads, padded, pads_of
from gateway.formats.savedmodel.build.values import Value, channels_last
from gateway.graph.registry import op


class Window:
    """Kernel, strides, dilations and pads of a pooling node over the spatial axes of x.

    `pads` hold what ceil_mode adds at the end, so that a window is never cut: sizes are exact.
    """

    def __init__(self, node: Node, x: Value) -> None:
        self.kernel = [int(size) for size in node.get("kernel_shape")]
        count = len(self.kernel)
        self.strides = list(node.get("strides", [1] * count))
        self.dilations = list(node.get("dilations", [1] * count))
        self.given: Pads = pads_of(node, x, self.kernel, self.strides, self.dilations)
        self.pads: Pads = list(self.given)
        sizes: list[Any] = list(x.shape[2:])
        if None in sizes:
            sizes = list(tf.unstack(tf.shape(x.last)[1:-1]))
        self.sizes = sizes
        if node.get("ceil_mode", 0) and node.get("auto_pad", "NOTSET") in ("NOTSET", ""):
            self.pads = [self._reaching(axis) for axis in range(count)]

    def _reaching(self, axis: int) -> tuple[Any, Any]:
        """Pads with which the last, incomplete window is whole; one that would start in the padding is left out."""
        before, after = self.given[axis]
        reach, stride = (self.kernel[axis] - 1) * self.dilations[axis] + 1, self.strides[axis]
        size = self.sizes[axis]
        outs = -(-(size + before + after - reach) // stride) + 1
        starts_outside = (outs - 1) * stride >= size + before
        if isinstance(size, int):
            outs -= int(starts_outside)
            return before, max(after, (outs - 1) * stride + reach - size - before)
        outs -= tf.cast(starts_outside, outs.dtype)
        return before, tf.maximum(after, (outs - 1) * stride + reach - size - before)


def _pooled(tensor: Any, window: Window, kind: str) -> Any:
    """tf.nn.pool without padding; what it lacks (stride with dilation) from shifted slices."""
    gaps = any(stride > size for stride, size in zip(window.strides, window.kernel))
    if gaps or (max(window.strides) > 1 and max(window.dilations) > 1):
        return _by_taps(tensor, window, tf.maximum if kind == "MAX" else tf.add, kind)
    return tf.nn.pool(tensor, window.kernel, kind, window.strides, "VALID", dilations=window.dilations)


def _by_taps(tensor: Any, window: Window, function: Any, kind: str) -> Any:
    sizes = tf.shape(tensor)
    made = None
    for tap in itertools.product(*[range(size) for size in window.kernel]):
        index = [slice(None)]
        for axis, position in enumerate(tap):
            reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1
            start = position * window.dilations[axis]
            index.append(slice(start, start + sizes[axis + 1] - reach + 1, window.strides[axis]))
        piece = tensor[tuple(index)]
        made = piece if made is None else function(made, piece)
    return made if kind == "MAX" else made / tf.cast(math.prod(window.kernel), tensor.dtype)


def _wide(tensor: Any) -> Any:
    """Types for which TensorFlow has no pooling kernel, as one for which it has."""
    if tensor.dtype in (tf.float32, tf.float64, tf.float16, tf.bfloat16):
        return tensor
    return tf.cast(tensor, tf.float64)


@op(TARGET, "MaxPool")
def max_pool(build: Builder, node: Node, x: Value) -> Any:
    """The greatest of each window; where the second output is read, its place in the flat tensor too."""
    window = Window(node, x)
    tensor = x.last
    wide = _wide(tensor)
    lowest = wide.dtype.min if wide.dtype.is_floating else tensor.dtype.min
    filled = padded(wide, window.pads, -math.inf if wide.dtype.is_floating else lowest)
    made = Value(tf.cast(_pooled(filled, window, "MAX"), tensor.dtype), channels_last(len(tensor.shape)))
    if len(node.outputs) < 2 or not node.outputs[1]:
        return made
    return made, Value(_places(build, node, x, window, wide), channels_last(len(tensor.shape)))


def _places(build: Builder, node: Node, x: Value, window: Window, wide: Any) -> Any:
    """Flat index (N, C, spatial...) of the first greatest element of each window; column-major with storage_order 1."""
    shape = tf.shape(wide, out_type=tf.int64)
    spatial = len(window.kernel)
    count = tf.reduce_prod(shape[1:-1])
    sizes = [shape[axis + 1] for axis in range(spatial)]
    order = range(spatial) if not node.get("storage_order", 0) else range(spatial - 1, -1, -1)
    flat: Any = tf.zeros([1] * spatial, tf.int64)
    for axis in order:
        step = tf.reshape(tf.range(sizes[axis]), [-1 if a == axis else 1 for a in range(spatial)])
        flat = flat * sizes[axis] + step
    batch = tf.reshape(tf.range(shape[0]), [-1] + [1] * (spatial + 1))
    channel = tf.reshape(tf.range(shape[-1]), [1] * (spatial + 1) + [-1])
    numbers = (batch * shape[-1] + channel) * count + flat[None, ..., None]
    best: Any = None
    place: Any = None
    filled = padded(wide, window.pads, -math.inf)
    where = padded(numbers, window.pads, -1)
    ends = tf.shape(filled)
    for tap in itertools.product(*[range(size) for size in window.kernel]):
        index: list[Any] = [slice(None)]
        for axis, position in enumerate(tap):
            reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1
            start = position * window.dilations[axis]
            index.append(slice(start, start + ends[axis + 1] - reach + 1, window.strides[axis]))
        value, number = filled[tuple(index)], where[tuple(index)]
        if best is None:
            best, place = value, number
        else:
            better = (value > best) | ((place < 0) & (number >= 0))
            best, place = tf.where(better, value, best), tf.where(better, number, place)
    return place


@op(TARGET, "AveragePool")
def average_pool(build: Builder, node: Node, x: Value) -> Any:
    """The mean of each window: over what is inside, or over the pads too; what ceil_mode adds never counts."""
    window = Window(node, x)
    tensor = x.last
    wide = _wide(tensor)
    total = _pooled(padded(wide, window.pads), window, "AVG")
    if not _all_zero(window.pads):
        ones = tf.ones(tf.concat([[1], tf.shape(wide)[1:-1], [1]], 0), wide.dtype)
        if node.get("count_include_pad", 0):
            ones = padded(ones, window.given, 1)
            beyond = [(0, after - given) for (_, after), (_, given) in zip(window.pads, window.given)]
            share = _pooled(padded(ones, beyond), window, "AVG")
        else:
            share = _pooled(padded(ones, window.pads), window, "AVG")
        total = total / share
    return Value(tf.cast(total, tensor.dtype), channels_last(len(tensor.shape)))


def _all_zero(pads: Pads) -> bool:
    return all(isinstance(n, int) and n == 0 for pair in pads for n in pair)


@op(TARGET, "LpPool")
def lp_pool(build: Builder, node: Node, x: Value) -> Any:
    """(sum |x|^p)^(1/p) of each window."""
    window, power = Window(node, x), node.get("p", 2)
    tensor = x.last
    mean = _pooled(padded(tf.abs(tensor) ** power, window.pads), window, "AVG")
    made = (mean * tf.cast(math.prod(window.kernel), tensor.dtype)) ** (1.0 / power)
    return Value(made, channels_last(len(tensor.shape)))


@op(TARGET, "GlobalLpPool")
def global_lp_pool(build: Builder, node: Node, x: Value) -> Any:
    """(sum |x|^p)^(1/p) over all spatial axes, which stay with size 1."""
    tensor, power = x.last, node.get("p", 2)
    axes = list(range(1, len(tensor.shape) - 1))
    made = tf.reduce_sum(tf.abs(tensor) ** power, axes, keepdims=True) ** (1.0 / power)
    return Value(made, channels_last(len(tensor.shape)))


@op(TARGET, "ConvTranspose")
def conv_transpose(build: Builder, node: Node, x: Value, w: Value, b: Value | None = None) -> Any:
    """The gradient of a convolution; weights (I, O/g, k...), `output_shape` chooses the pads."""
    rank = w.rank
    assert rank is not None
    spatial, group = rank - 2, int(node.get("group", 1))
    kernel = [int(size) for size in w.shape[2:]]  # type: ignore[arg-type]
    strides, dilations = node.get("strides", [1] * spatial), node.get("dilations", [1] * spatial)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    pads, extra = _transposed_pads(node, x, reach, strides)
    filters = tf.split(w.in_order((*range(2, rank), 1, 0)), group, -1)  # (k..., O/g, I/g) each
    pieces = tf.split(x.last, group, -1)
    whole = [_gradient(piece, f, strides, dilations) for piece, f in zip(pieces, filters)]
    made = whole[0] if group == 1 else tf.concat(whole, -1)
    # The gradient is of a convolution without pads: these are cut off, and more may be wanted than there is.
    edges = [(-before, more - after) for (before, after), more in zip(pads, extra)]
    made = padded(_cut(made, edges), [(_least(before), _least(after)) for before, after in edges])
    return Value(made if b is None else tf.nn.bias_add(made, b.tensor), channels_last(rank))


def _gradient(tensor: Any, filters: Any, strides: Sequence[int], dilations: Sequence[int]) -> Any:
    """Of one group: (size - 1) stride + reach along each axis. Filters are (k..., O, I)."""
    spatial = len(strides)
    if spatial == 1 and dilations[0] == 1:
        row = _gradient(tf.expand_dims(tensor, 1), tf.expand_dims(filters, 0), [1, *strides], [1, 1])
        return tf.squeeze(row, 1)
    if spatial == 2 and max(dilations) == 1:
        shape = tf.shape(tensor)
        sizes = [(shape[a + 1] if n is None else n) - 1 for a, n in enumerate(tensor.shape.as_list()[1:-1])]
        full = [size * stride + int(k) for size, stride, k in zip(sizes, strides, filters.shape)]
        batch = shape[0] if tensor.shape[0] is None else tensor.shape[0]
        wanted = tf.stack([batch, *full, int(filters.shape[2])])
        return tf.nn.conv2d_transpose(tensor, filters, wanted, list(strides), "VALID")
    # Zeros between the elements, then an ordinary convolution with the kernel turned round.
    reach = [(int(k) - 1) * d + 1 for k, d in zip(filters.shape, dilations)]
    filled = padded(_with_zeros(tensor, strides), [(r - 1, r - 1) for r in reach])
    turned = tf.reverse(filters, list(range(spatial)))
    turned = tf.transpose(turned, [*range(spatial), spatial + 1, spatial])
    return tf.nn.convolution(filled, turned, [1] * spatial, "VALID", dilations=list(dilations))


def _least(number: Any) -> Any:
    return max(number, 0) if isinstance(number, int) else tf.maximum(number, 0)


def _cut(tensor: Any, edges: Sequence[tuple[Any, Any]]) -> Any:
    """Edges that are negative take away."""
    if all(isinstance(n, int) and n >= 0 for pair in edges for n in pair):
        return tensor
    sizes = tf.shape(tensor)
    index: list[Any] = [slice(None)]
    for axis, (before, after) in enumerate(edges):
        index.append(slice(_least(-before), sizes[axis + 1] - _least(-after)))
    return tensor[tuple(index)]


def _with_zeros(tensor: Any, strides: Sequence[int]) -> Any:
    """stride - 1 zeros between the elements of each spatial axis."""
    for axis, stride in enumerate(strides, start=1):
        if stride > 1:
            wide = tf.expand_dims(tensor, axis + 1)
            wide = tf.pad(wide, [[0, stride - 1] if a == axis + 1 else [0, 0] for a in range(len(wide.shape))])
            now, sizes = tf.shape(tensor), tensor.shape.as_list()
            shape = [now[a] if size is None else size for a, size in enumerate(sizes)]
            shape[axis] = shape[axis] * stride
            tensor = tf.reshape(wide, tf.stack(shape))
            tensor = tensor[(*[slice(None)] * axis, slice(0, -(stride - 1)))]
    return tensor


def _transposed_pads(node: Node, x: Value, reach: Sequence[int], strides: Sequence[int]) -> tuple[Pads, list[Any]]:
    """Pads and output_padding; from `output_shape` or auto_pad where these say."""
    count = len(reach)
    extra = list(node.get("output_padding", [0] * count))
    auto, wanted = node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if wanted is None and auto not in ("SAME_UPPER", "SAME_LOWER"):
        flat = node.get("pads", [0] * 2 * count)
        return [(flat[axis], flat[axis + count]) for axis in range(count)], extra
    sizes: list[Any] = list(x.shape[2:])
    if wanted is not None and None in sizes:
        sizes = list(tf.unstack(tf.shape(x.last)[1:-1]))
    pads: Pads = []
    for axis in range(count):
        total = extra[axis] + reach[axis] - strides[axis]  # of size * stride elements, whatever the size
        if wanted is not None:
            total = total + strides[axis] * sizes[axis] - wanted[axis - count]
        if isinstance(total, int) and total < 0:
            extra[axis] -= total
            total = 0
        half = total // 2
        pads.append((half, total - half) if auto == "SAME_UPPER" else (total - half, half))
    return pads, extra


@op(TARGET, "LRN")
def lrn(build: Builder, node: Node, x: Value) -> Any:
    """x / (bias + alpha/size sum x^2)^beta over `size` neighbouring channels."""
    size, tensor = node.get("size"), x.last
    before = (size - 1) // 2
    rank = len(tensor.shape)
    squares = tf.pad(tensor * tensor, [[0, 0]] * (rank - 1) + [[before, size - 1 - before]])
    channels = tf.shape(tensor)[-1]
    total = tf.add_n([squares[..., start : start + channels] for start in range(size)])
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    return Value(tensor / (bias + alpha / size * total) ** beta, channels_last(rank))


@op(TARGET, "InstanceNormalization")
def instance_normalization(build: Builder, node: Node, x: Value, scale: Value, bias: Value) -> Any:
    """Each channel of each example with its own mean and variance over the spatial axes."""
    tensor = x.last
    axes = list(range(1, len(tensor.shape) - 1))
    mean, variance = tf.nn.moments(tensor, axes, keepdims=True)
    made = (tensor - mean) * tf.math.rsqrt(variance + tf.cast(node.get("epsilon", 1e-5), tensor.dtype))
    return Value(made * scale.tensor + bias.tensor, channels_last(len(tensor.shape)))


@op(TARGET, "GroupNormalization")
def group_normalization(build: Builder, node: Node, x: Value, scale: Value, bias: Value) -> Any:
    """Groups of channels of each example with their own mean and variance; scaled by channel (by group to opset 20)."""
    tensor, groups = x.last, int(node.get("num_groups"))
    kind, rank = tensor.dtype, len(tensor.shape)
    each = (x.shape[1] or scale.shape[0] or 0) // groups
    wide = tf.cast(tensor, tf.float32) if node.get("stash_type", 1) == 1 and kind != tf.float64 else tensor
    shape = tf.shape(wide)
    apart = tf.reshape(wide, tf.concat([shape[:-1], [groups, each]], 0))
    mean, variance = tf.nn.moments(apart, [*range(1, rank - 1), rank], keepdims=True)
    made = (apart - mean) * tf.math.rsqrt(variance + tf.cast(node.get("epsilon", 1e-5), wide.dtype))
    made = tf.cast(tf.reshape(made, shape), kind)
    made.set_shape(tensor.shape)
    factor, shift = scale.tensor, bias.tensor
    if node.since < 21:
        factor, shift = tf.repeat(factor, each), tf.repeat(shift, each)
    return Value(made * factor + shift, channels_last(rank))


@op(TARGET, "DepthToSpace")
def depth_to_space(build: Builder, node: Node, x: Value) -> Any:
    """Channels become blocks of pixels, which run depth first (DCR) or column and row first (CRD)."""
    block, tensor = int(node.get("blocksize")), x.last
    if node.get("mode", "DCR") == "CRD":
        tensor = tf.gather(tensor, _interleaved(x, block).T.reshape(-1), axis=-1)
    return Value(tf.nn.depth_to_space(tensor, block), channels_last(4))


@op(TARGET, "SpaceToDepth")
def space_to_depth(build: Builder, node: Node, x: Value) -> Any:
    """Blocks of pixels become channels, depth first (DCR) or column and row first (CRD)."""
    block = int(node.get("blocksize"))
    made = Value(tf.nn.space_to_depth(x.last, block), channels_last(4))
    if node.get("mode", "DCR") == "CRD":
        order = np.argsort(_interleaved(made, block).T.reshape(-1))
        return Value(tf.gather(made.last, order, axis=-1), channels_last(4))
    return made


def _interleaved(x: Value, block: int) -> Any:
    """(channels, block block): where the standard's CRD order has each. Errors: ValueError for free channels."""
    channels = x.shape[1]
    if channels is None:
        raise ValueError("mode CRD with channels of a free number")
    return np.arange(channels).reshape(-1, block * block)


@op(TARGET, "MaxUnpool")
def max_unpool(build: Builder, node: Node, x: Value, places: Value, shape: Value | None = None) -> Any:
    """Values go back to the flat places that MaxPool told; the rest is 0."""
    kernel = node.get("kernel_shape")
    count = len(kernel)
    strides, flat = node.get("strides", [1] * count), node.get("pads", [0] * 2 * count)
    sizes = tf.shape(x.tensor, out_type=tf.int64)
    spatial = [
        (sizes[axis + 2] - 1) * strides[axis] - flat[axis] - flat[axis + count] + kernel[axis] for axis in range(count)
    ]
    own = tf.stack([sizes[0], sizes[1], *spatial])
    wanted = own if shape is None else tf.cast(shape.tensor, tf.int64)
    # The places count in the size that pooling saw, which `output_shape` may be larger than.
    where = tf.transpose(tf.unravel_index(tf.reshape(places.tensor, [-1]), own))
    return tf.scatter_nd(where, tf.reshape(x.tensor, [-1]), wanted)
