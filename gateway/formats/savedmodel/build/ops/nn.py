"""Convolutions, pooling, normalisation with stored statistics, matrix products: channels last inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.savedmodel.build import training
from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import held
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.ops.elementwise import broadcast
from gateway.formats.savedmodel.build.values import Flat, Value, channels_last, identity
from gateway.graph.registry import op

Pads = list[tuple[Any, Any]]


def pads_of(node: Node, x: Value, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Pads:
    """(before, after) a spatial axis: `pads`, or what auto_pad makes of the size, at run time if it is free."""
    count, auto = len(kernel), node.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        flat = node.get("pads", [0] * 2 * count)
        return [(flat[axis], flat[axis + count]) for axis in range(count)]
    if auto == "VALID":
        return [(0, 0)] * count
    sizes: list[Any] = list(x.shape[2:])
    if None in sizes:
        sizes = list(tf.unstack(tf.shape(x.last)[1:-1]))
    found: Pads = []
    for size, k, s, d in zip(sizes, kernel, strides, dilations):
        out = -(-size // s)
        wanted = (out - 1) * s + (k - 1) * d + 1 - size
        total = max(wanted, 0) if isinstance(wanted, int) else tf.maximum(wanted, 0)
        half = total // 2
        found.append((half, total - half) if auto == "SAME_UPPER" else (total - half, half))
    return found


def padded(tensor: Any, pads: Pads, value: Any = 0) -> Any:
    """A tensor with channels last, its spatial axes padded; nothing where nothing is to be padded."""
    if all(isinstance(n, int) and n == 0 for pair in pads for n in pair):
        return tensor
    return tf.pad(tensor, [(0, 0), *pads, (0, 0)], constant_values=tf.cast(value, tensor.dtype))


@op(TARGET, "Conv")
def conv(build: Builder, node: Node, x: Value, w: Value, b: Value | None = None) -> Value:
    """Convolution of 1 to 3 spatial axes, grouped, dilated; weights (O, I/g, k...)."""
    rank = w.rank
    assert rank is not None
    spatial = rank - 2
    kernel = [int(size) for size in w.shape[2:]]  # type: ignore[arg-type]
    strides, dilations = node.get("strides", [1] * spatial), node.get("dilations", [1] * spatial)
    group = int(node.get("group", 1))
    pads = pads_of(node, x, kernel, strides, dilations)
    if spatial == 1 and group > 1 and w.array is not None:  # a picture of one row: it has kernels for groups
        wide = Value(tf.expand_dims(x.last, 1), channels_last(4))
        made = _convolved(
            wide.last, w.replaced(w.array[:, :, None]), group, [strides[0]] * 2, [1, *dilations], [(0, 0), *pads]
        )
        made = tf.squeeze(made, 1)
    else:
        made = _convolved(x.last, w, group, strides, dilations, pads)
    if b is not None:
        made = tf.nn.bias_add(made, b.tensor)
    return Value(made, channels_last(rank))


def _convolved(tensor: Any, w: Value, group: int, strides: Sequence[int], dilations: Sequence[int], pads: Pads) -> Any:
    spatial, ins = len(strides), w.shape[1]
    # (O, I/g, k...) -> (k..., I/g, O), as TensorFlow's kernels want it
    filters = w.in_order((*range(2, spatial + 2), 1, 0))
    both = max(strides) > 1 and max(dilations) > 1  # TensorFlow takes the one or the other
    if group > 1 and ins == 1 and spatial == 2 and len(set(strides)) == 1 and not both:
        return _depthwise(padded(tensor, pads), filters, group, strides, dilations)
    if group > 1 or both or (spatial == 2 and tensor.dtype == tf.float64):
        return _by_group(padded(tensor, pads), filters, group, strides, dilations)
    if spatial == 2 and all(isinstance(n, int) for pair in pads for n in pair):  # the kernel pads for itself
        edges: Any = [[0, 0], *map(list, pads), [0, 0]] if any(map(any, pads)) else "VALID"
        return tf.nn.conv2d(tensor, filters, list(strides), edges, dilations=list(dilations))
    return tf.nn.convolution(padded(tensor, pads), filters, list(strides), "VALID", dilations=list(dilations))


def _depthwise(tensor: Any, filters: Any, group: int, strides: Sequence[int], dilations: Sequence[int]) -> Any:
    """One input channel a group. TensorFlow's filter is (kh, kw, I, O/I); output channel i m + j is ONNX's too."""
    shape = filters.shape.as_list()  # (kh, kw, 1, O)
    shaped = tf.reshape(filters, [*shape[:2], group, shape[3] // group])
    return tf.nn.depthwise_conv2d(tensor, shaped, [1, *strides, 1], "VALID", dilations=list(dilations))


def _by_group(tensor: Any, filters: Any, group: int, strides: Sequence[int], dilations: Sequence[int]) -> Any:
    """Group by group: with oneDNN off the fused kernel on CPU refuses groups, and no kernel there has their gradient.
    Strides together with dilation as a dilated filter with zeros in it.
    """
    if max(strides) > 1 and max(dilations) > 1:
        filters, dilations = _spread(filters, dilations), [1] * len(strides)
    pieces = zip(tf.split(tensor, group, -1), tf.split(filters, group, -1))
    made = [tf.nn.convolution(t, f, list(strides), "VALID", dilations=list(dilations)) for t, f in pieces]
    return made[0] if group == 1 else tf.concat(made, -1)


def _spread(filters: Any, dilations: Sequence[int]) -> Any:
    """A filter (k..., I, O) with dilation - 1 zeros between its taps."""
    for axis, dilation in enumerate(dilations):
        size = int(filters.shape[axis])
        wide = (size - 1) * dilation + 1
        places = np.zeros((wide, size), filters.dtype.as_numpy_dtype)
        places[np.arange(size) * dilation, np.arange(size)] = 1
        filters = tf.tensordot(tf.constant(places), filters, [[1], [axis]])
        order = [*range(1, axis + 1), 0, *range(axis + 1, len(filters.shape))]
        filters = tf.transpose(filters, order)
    return filters


@op(TARGET, "BatchNormalization")
def batch_normalization(
    build: Builder, node: Node, x: Value, scale: Value, bias: Value, mean: Value, var: Value
) -> Any:
    """(x - mean) / sqrt(var + epsilon) scale + bias, along axis 1, with the stored statistics."""
    if node.get("training_mode", 0) or (node.since < 7 and not node.get("is_test", 0)):
        raise ConversionError(f"{node.where} normalises with the statistics of its own batch (training mode).")
    epsilon = node.get("epsilon", 1e-5)
    statistics = (scale, bias, mean, var)
    if (
        not build.weights.trainable
        and x.rank == 4
        and x.perm == channels_last(4)
        and x.dtype == scale.dtype == tf.float32
    ):
        return _normalised(x, statistics, epsilon)
    if all(value.array is not None for value in statistics) and not build.weights.trainable:
        s, b, m, v = (np.asarray(value.array, np.float64) for value in statistics)
        factor = s / np.sqrt(v + epsilon)
        kind = x.dtype.as_numpy_dtype
        factors = scale.replaced(_channel(factor.astype(kind), x.rank))
        shifts = bias.replaced(_channel((b - m * factor).astype(kind), x.rank))
        return broadcast(lambda t, f, c: t * f + c, x, factors, shifts)
    if x.rank is not None and training.known(statistics):
        return training.batch_normalization(build, node, x, statistics)
    shaped = [Value(tf.reshape(value.tensor, _channel_shape(x.rank))) for value in statistics]

    def apply(t: Any, s: Any, b: Any, m: Any, v: Any) -> Any:
        wide = tf.cast(m, tf.float32) if m.dtype == tf.float16 else m
        factor = tf.cast(s, wide.dtype) * tf.math.rsqrt(tf.cast(v, wide.dtype) + epsilon)
        return tf.cast((tf.cast(t, wide.dtype) - wide) * factor + tf.cast(b, wide.dtype), t.dtype)

    return broadcast(apply, x, *shaped)


def _normalised(x: Value, statistics: Sequence[Value], epsilon: float) -> Value:
    """By TensorFlow's kernel, which reads a picture once."""
    scale, bias, mean, var = (value.tensor for value in statistics)
    made = tf.raw_ops.FusedBatchNormV3(
        x=x.last, scale=scale, offset=bias, mean=mean, variance=var, epsilon=epsilon, is_training=False
    )
    return Value(made.y, channels_last(4))


def _channel_shape(rank: int | None) -> list[int]:
    return [-1] + [1] * max((rank or 2) - 2, 0)


def _channel(array: Array, rank: int | None) -> Array:
    return array.reshape(_channel_shape(rank))


@op(TARGET, "GlobalAveragePool")
def global_average_pool(build: Builder, node: Node, x: Value) -> Value:
    """The mean over all spatial axes, which stay with size 1."""
    return _global(x, tf.reduce_mean)


@op(TARGET, "GlobalMaxPool")
def global_max_pool(build: Builder, node: Node, x: Value) -> Value:
    """The greatest over all spatial axes, which stay with size 1."""
    return _global(x, tf.reduce_max)


def _global(x: Value, function: Any) -> Value:
    tensor, perm = held(x)
    rank = x.rank
    assert rank is not None
    axes = [i for i, axis in enumerate(perm or identity(rank)) if axis >= 2]
    return Value(function(tensor, axes, keepdims=True), perm)


def flat_product(build: Builder, x: Value, y: Value) -> Any:
    """A flattened picture times a constant matrix: the matrix takes the picture's order of axes. None elsewhere."""
    if not isinstance(x, Flat) or not x.here or y.array is None or y.rank != 2 or not x.dtype.is_floating:
        return None
    sizes, perm = x.source.shape[1:], x.source.perm
    assert perm is not None
    inner = [axis - 1 for axis in perm[1:]]
    rows = y.array.reshape(*(int(size or 0) for size in sizes), -1).transpose(*inner, len(inner))
    return tf.matmul(x.in_its_order, y.replaced(np.ascontiguousarray(rows.reshape(y.array.shape))).tensor)


@op(TARGET, "MatMul")
def matmul(build: Builder, node: Node, x: Value, y: Value) -> Any:
    """numpy's matmul: vectors are rows on the left and columns on the right."""
    if (made := flat_product(build, x, y)) is not None:
        return made
    a, b = x.tensor, y.tensor
    row, column = x.rank == 1, y.rank == 1
    a = a[tf.newaxis, :] if row else a
    b = b[:, tf.newaxis] if column else b
    wide = a.dtype if a.dtype.is_floating or a.dtype in (tf.int32, tf.int64) else tf.int64
    made = tf.cast(tf.matmul(tf.cast(a, wide), tf.cast(b, wide)), x.dtype)
    made = tf.squeeze(made, -2) if row else made
    return tf.squeeze(made, -1) if column else made


@op(TARGET, "Gemm")
def gemm(build: Builder, node: Node, a: Value, b: Value, c: Value | None = None) -> Any:
    """alpha A B + beta C, with either transposed."""
    left, right = (v.transposed((1, 0)) if node.get(f"trans{n}", 0) else v for v, n in ((a, "A"), (b, "B")))
    wide = a.dtype if a.dtype.is_floating else tf.float64
    made = flat_product(build, left, right)
    if made is None:
        made = tf.matmul(tf.cast(left.tensor, wide), tf.cast(right.tensor, wide))
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    made = made if alpha == 1.0 else made * tf.cast(alpha, wide)
    if c is not None:
        # Grappler fuses a bias of one row into the product, and then wants it as a vector.
        row = c.rank == 2 and c.shape[0] == 1
        addend = tf.cast(tf.reshape(c.tensor, [-1]) if row else c.tensor, wide)
        made = made + (addend if beta == 1.0 else addend * tf.cast(beta, wide))
    return tf.cast(made, a.dtype)
