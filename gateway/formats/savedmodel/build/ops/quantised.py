"""Quantised operators: integers in, integers out, computed in floats wide enough to be exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gateway.core.dtypes import Array
from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import held, moved, positive
from gateway.formats.savedmodel.build.node import Node, tf_dtype
from gateway.formats.savedmodel.build.ops.nn import conv
from gateway.formats.savedmodel.build.values import Packed, Perm, Value
from gateway.graph.registry import op

INTEGERS = (tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32)


def _spread(node: Node, parameter: Any, x: Any, perm: Perm | None) -> Any:
    """A scale or zero point (one, one a channel, or one a block) in a shape that broadcasts against x."""
    rank = len(x.shape)
    if len(parameter.shape) == 0 or (len(parameter.shape) == 1 and parameter.shape[0] == 1 and rank != 1):
        return tf.reshape(parameter, [])
    axis = positive(node.get("axis", 1), rank) if rank else 0
    block = node.get("block_size", 0)
    if block:
        repeated = tf.repeat(parameter, block, axis)
        return tf.slice(repeated, [0] * rank, [tf.shape(x)[a] if a == axis else -1 for a in range(rank)])
    place = moved([axis], perm)[0]
    return tf.reshape(parameter, [-1 if a == place else 1 for a in range(rank)])


def _operand(node: Node, x: Value) -> tuple[Any, Perm | None]:
    """The tensor as it is held; with a scale for each block in ONNX's order."""
    return (x.tensor, None) if node.get("block_size", 0) else held(x)


@op(TARGET, "QuantizeLinear", "com.microsoft.QuantizeLinear")
def quantize_linear(build: Builder, node: Node, x: Value, scale: Value, zero: Value | None = None) -> Any:
    """saturate(round(x / scale) + zero point), half to even."""
    number = node.get("output_dtype", 0)
    kind = zero.dtype if zero is not None else tf_dtype(number) if number else tf.uint8
    if kind not in INTEGERS:
        raise ValueError(f"quantisation to {kind.name}")
    tensor, perm = _operand(node, x)
    wide = tensor.dtype if tensor.dtype.is_floating else tf.float32
    ratio = tf.cast(tensor, wide) / _spread(node, tf.cast(scale.tensor, wide), tensor, perm)
    point = None if zero is None else _spread(node, zero.tensor, tensor, perm)
    return Value(saturated(tf.round(ratio), point, kind), perm)


def saturated(rounded: Any, zero: Any, kind: Any) -> Any:
    """rounded + zero point, cut to what the type holds; exact for 32 bits."""
    wide = rounded.dtype if kind.size <= 2 and rounded.dtype in (tf.float32, tf.float64) else tf.float64
    # What 8 and 16 bits hold is exact in float32, and what is beyond is cut the same.
    total = tf.cast(rounded, wide)
    if zero is not None:
        total = total + (zero.astype(wide.as_numpy_dtype) if isinstance(zero, np.ndarray) else tf.cast(zero, wide))
    return tf.cast(tf.clip_by_value(total, kind.min, kind.max), kind)


@op(TARGET, "DequantizeLinear", "com.microsoft.DequantizeLinear")
def dequantize_linear(build: Builder, node: Node, x: Value, scale: Value, zero: Value | None = None) -> Any:
    """(x - zero point) scale, in the scale's type."""
    if x.dtype not in INTEGERS:
        raise ValueError(f"dequantisation of {x.dtype.name}")
    if build.packs(node, (x, scale, zero)):
        return _packed(node, x, scale, zero)
    tensor, perm = _operand(node, x)
    number = node.get("output_dtype", 0)
    kind = tf_dtype(number) if number else scale.dtype
    whole = tf.cast(tensor, tf.int32)
    if zero is not None:
        whole = whole - tf.cast(_spread(node, zero.tensor, tensor, perm), tf.int32)
    return Value(tf.cast(tf.cast(whole, scale.dtype) * _spread(node, scale.tensor, tensor, perm), kind), perm)


def _packed(node: Node, x: Value, scale: Value, zero: Value | None) -> Value:
    """Stored weights, as whole numbers in the file."""
    axis = positive(node.get("axis", 1), x.rank or 1)

    def shaped(array: Array) -> Array:
        return array.reshape([-1 if place == axis and array.size > 1 else 1 for place in range(x.rank or 0)])

    assert scale.array is not None
    point = None if zero is None or zero.array is None else shaped(zero.array)
    return Packed(x, point, shaped(scale.array), tf.float32)


@op(TARGET, "DynamicQuantizeLinear")
def dynamic_quantize_linear(build: Builder, node: Node, x: Value) -> Any:
    """uint8 with scale and zero point from the tensor's own range, which always holds 0."""
    tensor = x.tensor
    low, high = tf.minimum(tf.reduce_min(tensor), 0.0), tf.maximum(tf.reduce_max(tensor), 0.0)
    scale = (high - low) / 255.0
    scale = tf.where(scale == 0, tf.ones_like(scale), scale)
    zero = tf.cast(tf.clip_by_value(tf.round(-low / scale), 0.0, 255.0), tf.uint8)
    return saturated(tf.round(tensor / scale), zero, tf.uint8), scale, zero


def _minus(value: Value, zero: Value | None, shape: list[int] | None = None) -> Any:
    """Integers less their zero point, as float64: every product and sum of 8 bits is exact there."""
    wide = tf.cast(value.tensor, tf.float64)
    if zero is None:
        return wide
    point = tf.convert_to_tensor(_as(zero, tf.float64))
    return wide - (tf.reshape(point, shape) if shape is not None and len(point.shape) else point)


def _rows(zero: Value | None) -> list[int] | None:
    """A zero point a row of the left matrix: (M,) -> (M, 1)."""
    return [-1, 1] if zero is not None and zero.rank == 1 and zero.shape[0] != 1 else []


def _whole(total: Any) -> Any:
    """Whole floats -> int32, wrapped as the integer kernels do."""
    return tf.cast(tf.cast(tf.round(total), tf.int64), tf.int32)


@op(TARGET, "MatMulInteger")
def matmul_integer(
    build: Builder, node: Node, a: Value, b: Value, a_zero: Value | None = None, b_zero: Value | None = None
) -> Any:
    """(A - zero) (B - zero) as int32."""
    left = _minus(a, a_zero, _rows(a_zero))
    return _whole(tf.matmul(left, _minus(b, b_zero)))


@op(TARGET, "QLinearMatMul")
def qlinear_matmul(
    build: Builder,
    node: Node,
    a: Value,
    a_scale: Value,
    a_zero: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value,
    y_scale: Value,
    y_zero: Value,
) -> Any:
    """The product of two quantised matrices, quantised."""
    total = tf.matmul(_minus(a, a_zero, _rows(a_zero)), _minus(b, b_zero))
    return _requantised(total, (_single(a_scale, _rows(a_zero)), _single(b_scale)), y_scale, y_zero)


def _single(value: Value, shape: list[int] | None = None) -> Any:
    """A scale in float32: numpy where it is stored."""
    scale = _as(value, tf.float32)
    if shape is None or not len(scale.shape):
        return scale
    return scale.reshape(shape) if value.array is not None else tf.reshape(scale, shape)


def _as(value: Value, kind: Any) -> Any:
    """In another type: numpy where it is stored, so that the graph has no cast of a constant."""
    return tf.cast(value.tensor, kind) if value.array is None else value.array.astype(kind.as_numpy_dtype)


def _requantised(total: Any, scales: tuple[Any, Any], y_scale: Value, y_zero: Value) -> Any:
    """An exact sum in steps of y_scale: the factor and its product in float32, as onnxruntime has them, so that
    what lies between two steps goes the same way.
    """
    factor = scales[0] * scales[1] / _single(y_scale)
    zero = y_zero.tensor if y_zero.array is None else y_zero.array
    return saturated(tf.round(tf.cast(total, tf.float32) * factor), zero, y_zero.dtype)


def _convolved(build: Builder, node: Node, x: Value, w: Value, x_zero: Value | None, w_zero: Value | None) -> Value:
    """Exact sums with channels last, as float32 where these can hold them, else float64; pads are the zero point,
    which is 0 here.
    """
    per_channel = [-1] + [1] * ((w.rank or 4) - 1)
    if w.array is None or (w_zero is not None and w_zero.array is None):
        return conv(build, node, _less(x, x_zero, tf.float64), Value(_minus(w, w_zero, per_channel)))
    known = w.array.astype(np.float64)
    if w_zero is not None and w_zero.array is not None:
        zero = w_zero.array.astype(np.float64)
        known = known - (zero.reshape(per_channel) if zero.ndim else zero)
    kind = _exact(np.abs(known).reshape(len(known), -1).sum(1).max(initial=0.0), x.dtype)
    point = None if w_zero is None or w_zero.array is None else w_zero.array
    if point is not None:
        point = point.reshape(per_channel if point.size > 1 else [1] * w.array.ndim)
    return conv(build, node, _less(x, x_zero, kind), Packed(w, point, None, kind))


def _exact(most: float, kind: Any) -> Any:
    """The float type in which sums of integers of `kind` with weights of this total size are exact."""
    return tf.float32 if kind.size == 1 and most * 255 < 1 << 24 else tf.float64


def _less(x: Value, zero: Value | None, kind: Any) -> Value:
    """x less one zero point, in the order in which x is held."""
    tensor, perm = held(x)
    wide = tf.cast(tensor, kind)
    if zero is None:
        return Value(wide, perm)
    point = tf.reshape(zero.tensor, []) if zero.array is None else zero.array.reshape([])
    return Value(wide - (point.astype(kind.as_numpy_dtype) if zero.array is not None else tf.cast(point, kind)), perm)


@op(TARGET, "ConvInteger")
def conv_integer(
    build: Builder, node: Node, x: Value, w: Value, x_zero: Value | None = None, w_zero: Value | None = None
) -> Any:
    """The convolution of integers less their zero points, as int32."""
    made = _convolved(build, node, x, w, x_zero, w_zero)
    return Value(_whole(made.in_order(made.perm)), made.perm)


@op(TARGET, "QLinearConv")
def qlinear_conv(
    build: Builder,
    node: Node,
    x: Value,
    x_scale: Value,
    x_zero: Value,
    w: Value,
    w_scale: Value,
    w_zero: Value,
    y_scale: Value,
    y_zero: Value,
    b: Value | None = None,
) -> Any:
    """The convolution of quantised tensors, quantised; the bias is int32 in steps of x_scale w_scale."""
    made = _convolved(build, node, x, w, x_zero, w_zero)
    total = tf.cast(made.last, tf.float64)
    if b is not None:
        total = total + _as(b, tf.float64)
    return Value(_requantised(total, (_single(x_scale), _single(w_scale)), y_scale, y_zero), made.perm)
