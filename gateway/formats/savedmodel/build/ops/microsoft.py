"""com.microsoft: what onnxruntime's optimiser and its quantiser leave in files. onnxruntime is the judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import held
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.ops.elementwise import broadcast, unary
from gateway.formats.savedmodel.build.ops.nn import conv, gemm
from gateway.formats.savedmodel.build.ops.pooling import average_pool
from gateway.formats.savedmodel.build.ops.quantised import dequantize_linear, quantize_linear, saturated
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op

MS = "com.microsoft."


def activation(name: str, parameters: list[float]) -> Callable[[Any], Any]:
    """What FusedConv and FusedGemm apply. Errors: ValueError."""
    alpha, beta = (*parameters, None, None)[:2]
    table: dict[str, Callable[[Any], Any]] = {
        "": tf.identity,
        "Relu": tf.nn.relu,
        "Sigmoid": tf.sigmoid,
        "Tanh": tf.tanh,
        "LeakyRelu": lambda t: tf.nn.leaky_relu(t, 0.01 if alpha is None else alpha),
        "Clip": lambda t: tf.clip_by_value(t, alpha, beta),
        "HardSigmoid": lambda t: tf.clip_by_value(
            t * (0.2 if alpha is None else alpha) + (0.5 if beta is None else beta), 0, 1
        ),
    }
    if name not in table:
        raise ValueError(f"activation {name!r}, expected one of {', '.join(sorted(table))}")
    return table[name]


@op(TARGET, f"{MS}FusedConv")
def fused_conv(build: Builder, node: Node, x: Value, w: Value, b: Value | None = None, z: Value | None = None) -> Value:
    """A convolution, plus another tensor, and an activation."""
    made = conv(build, node, x, w, b)
    made = made if z is None else broadcast(tf.add, made, z)
    return unary(made, activation(node.get("activation", ""), list(node.get("activation_params", []))))


@op(TARGET, f"{MS}FusedMatMul", f"{MS}TransposeMatMul")
def fused_matmul(build: Builder, node: Node, a: Value, b: Value) -> Any:
    """alpha A B, the last two axes of either turned; transBatch moves the first axis behind the batch axes."""
    left, right = (
        _turned(value, bool(node.get(f"transBatch{name}", 0)), bool(node.get(f"trans{name}", 0)))
        for name, value in (("A", a), ("B", b))
    )
    made = tf.matmul(left.tensor, right.tensor)
    alpha = node.get("alpha", 1.0)
    return made if alpha == 1.0 else made * tf.cast(alpha, made.dtype)


def _turned(value: Value, batch: bool, last: bool) -> Value:
    rank = value.rank
    if rank is None or rank < 2:
        return value
    axes = list(range(rank))
    if batch:
        axes = [*axes[1:-1], 0, axes[-1]]
    if last:
        axes[-2:] = [axes[-1], axes[-2]]
    return value.transposed(tuple(axes))


@op(TARGET, f"{MS}FusedGemm")
def fused_gemm(build: Builder, node: Node, a: Value, b: Value, c: Value | None = None) -> Any:
    """Gemm with an activation."""
    given = [node.get(f"activation_{name}") for name in ("alpha", "beta") if node.get(f"activation_{name}") is not None]
    return activation(node.get("activation", ""), given)(gemm(build, node, a, b, c))


@op(TARGET, f"{MS}FastGelu", f"{MS}GemmFastGelu")
def fast_gelu(build: Builder, node: Node, x: Value, *more: Value) -> Any:
    """Gelu by tanh of x plus a bias; GemmFastGelu multiplies first."""
    rest = list(more)
    if node.op.endswith("GemmFastGelu"):
        x = Value(tf.matmul(x.tensor, rest.pop(0).tensor))
    x = broadcast(tf.add, x, rest[0]) if rest and rest[0] is not None else x
    return unary(x, lambda t: tf.nn.gelu(t, approximate=True))


@op(TARGET, f"{MS}BiasGelu")
def bias_gelu(build: Builder, node: Node, x: Value, bias: Value) -> Any:
    """Gelu by erf of x plus a bias."""
    return unary(broadcast(tf.add, x, bias), lambda t: tf.nn.gelu(t, approximate=False))


@op(TARGET, f"{MS}QuickGelu")
def quick_gelu(build: Builder, node: Node, x: Value) -> Any:
    """x sigmoid(alpha x)."""
    return unary(x, lambda t: t * tf.sigmoid(tf.cast(node.get("alpha", 1.702), t.dtype) * t))


@op(TARGET, f"{MS}BiasSplitGelu")
def bias_split_gelu(build: Builder, node: Node, x: Value, bias: Value) -> Any:
    """One half of x plus a bias, times the Gelu of the other."""
    left, right = tf.split(x.tensor + bias.tensor, 2, -1)
    return left * tf.nn.gelu(right, approximate=False)


@op(TARGET, f"{MS}BiasAdd")
def bias_add(build: Builder, node: Node, x: Value, bias: Value, skip: Value) -> Any:
    """x + bias + skip."""
    return x.tensor + bias.tensor + skip.tensor


@op(TARGET, f"{MS}Inverse")
def inverse(build: Builder, node: Node, x: Value) -> Any:
    """The inverse of the last two axes."""
    return tf.linalg.inv(x.tensor)


def normalised(total: Any, gamma: Value, beta: Value | None, epsilon: float) -> tuple[Any, Any, Any]:
    """Layer norm of the last axis; mean and 1/deviation too."""
    wide = tf.cast(total, tf.float32) if total.dtype == tf.float16 else total
    mean = tf.reduce_mean(wide, -1, keepdims=True)
    centred = wide - mean
    share = tf.math.rsqrt(tf.reduce_mean(centred * centred, -1, keepdims=True) + tf.cast(epsilon, wide.dtype))
    made = tf.cast(centred * share, total.dtype) * gamma.tensor
    return made if beta is None else made + beta.tensor, mean, share


@op(TARGET, f"{MS}SkipLayerNormalization")
def skip_layer_normalization(
    build: Builder,
    node: Node,
    x: Value,
    skip: Value,
    gamma: Value,
    beta: Value | None = None,
    bias: Value | None = None,
) -> Any:
    """Layer norm of x + skip + bias; that sum too."""
    total = x.tensor + skip.tensor
    total = total if bias is None else total + bias.tensor
    return (*normalised(total, gamma, beta, node.get("epsilon", 1e-12)), total)


@op(TARGET, f"{MS}SkipSimplifiedLayerNormalization")
def skip_simplified_layer_normalization(
    build: Builder, node: Node, x: Value, skip: Value, gamma: Value, bias: Value | None = None
) -> Any:
    """x + skip + bias divided by its root mean square; that sum too."""
    total = x.tensor + skip.tensor
    total = total if bias is None else total + bias.tensor
    wide = tf.cast(total, tf.float32) if total.dtype == tf.float16 else total
    share = tf.math.rsqrt(tf.reduce_mean(wide * wide, -1, keepdims=True) + node.get("epsilon", 1e-12))
    return tf.cast(wide * share, total.dtype) * gamma.tensor, share, share, total


@op(TARGET, f"{MS}EmbedLayerNormalization")
def embed_layer_normalization(
    build: Builder,
    node: Node,
    words: Value,
    segments: Value | None,
    word_table: Value,
    position_table: Value,
    segment_table: Value | None,
    gamma: Value,
    beta: Value,
    mask: Value | None = None,
    positions: Value | None = None,
) -> Any:
    """Layer norm of the embeddings of words, positions and segments; how many words the mask leaves; their sum."""
    ids = words.tensor
    length = tf.shape(ids)[1]
    total = tf.gather(word_table.tensor, ids)
    place = tf.range(length) if positions is None else positions.tensor
    total = total + tf.gather(position_table.tensor, place)
    if segments is not None and segment_table is not None:
        total = total + tf.gather(segment_table.tensor, segments.tensor)
    made, _, _ = normalised(total, gamma, beta, node.get("epsilon", 1e-12))
    count = tf.zeros([tf.shape(ids)[0]], tf.int32)
    if mask is not None:
        count = tf.reduce_sum(tf.cast(tf.equal(mask.tensor, 1), tf.int32), 1)
    return made, count, total


# -- quantised ---------------------------------------------------------------------------------


def _floats(build: Builder, node: Node, x: Value, scale: Value, zero: Value | None) -> Value:
    made: Value = dequantize_linear(build, node, x, scale, zero)
    return made


def _back(build: Builder, node: Node, x: Any, scale: Value, zero: Value | None) -> Any:
    return quantize_linear(build, node, x if isinstance(x, Value) else Value(x), scale, zero)


def _register_pair(name: str, function: Callable[[Any, Any], Any]) -> None:
    @op(TARGET, f"{MS}{name}")
    def convert(
        build: Builder,
        node: Node,
        a: Value,
        a_scale: Value,
        a_zero: Value | None,
        b: Value,
        b_scale: Value,
        b_zero: Value | None,
        y_scale: Value,
        y_zero: Value | None = None,
    ) -> Any:
        made = broadcast(function, _floats(build, node, a, a_scale, a_zero), _floats(build, node, b, b_scale, b_zero))
        return _back(build, node, made, y_scale, y_zero if y_zero is not None else _nothing(build, a))

    convert.__doc__ = f"{name}: dequantised, computed, quantised."


def _nothing(build: Builder, like: Value) -> Value:
    """The zero point that is left out: 0 of the operand's type."""
    return build.constant(np.zeros((), like.dtype.as_numpy_dtype))


for _name, _function in {"QLinearAdd": tf.add, "QLinearMul": tf.multiply}.items():
    _register_pair(_name, _function)


def _register_single(name: str, function: Callable[[Node, Any], Any]) -> None:
    @op(TARGET, f"{MS}{name}")
    def convert(
        build: Builder,
        node: Node,
        x: Value,
        x_scale: Value,
        x_zero: Value | None,
        y_scale: Value,
        y_zero: Value | None = None,
    ) -> Any:
        made = unary(_floats(build, node, x, x_scale, x_zero), lambda t: function(node, t))
        return _back(build, node, made, y_scale, y_zero if y_zero is not None else _nothing(build, x))

    convert.__doc__ = f"{name}: dequantised, computed, quantised."


_register_single("QLinearSigmoid", lambda node, t: tf.sigmoid(t))
_register_single("QLinearLeakyRelu", lambda node, t: tf.nn.leaky_relu(t, node.get("alpha", 0.01)))


@op(TARGET, f"{MS}QLinearGlobalAveragePool")
def qlinear_global_average_pool(
    build: Builder, node: Node, x: Value, x_scale: Value, x_zero: Value, y_scale: Value, y_zero: Value
) -> Any:
    """The mean over all spatial axes."""
    tensor, perm = held(_floats(build, node, x, x_scale, x_zero))
    rank = len(tensor.shape)
    if node.get("channels_last", 0):
        tensor, perm = x_floats_in_order(build, node, x, x_scale, x_zero), None
        axes = list(range(1, rank - 1))
    else:
        axes = [place for place, axis in enumerate(perm or range(rank)) if axis >= 2]
    return _back(build, node, Value(tf.reduce_mean(tensor, axes, keepdims=True), perm), y_scale, y_zero)


def x_floats_in_order(build: Builder, node: Node, x: Value, scale: Value, zero: Value | None) -> Any:
    """Dequantised, in ONNX's order of axes."""
    return _floats(build, node, x, scale, zero).tensor


@op(TARGET, f"{MS}QLinearAveragePool")
def qlinear_average_pool(
    build: Builder,
    node: Node,
    x: Value,
    x_scale: Value,
    x_zero: Value | None,
    y_scale: Value,
    y_zero: Value | None = None,
) -> Any:
    """The mean of each window."""
    made = _floats(build, node, x, x_scale, x_zero)
    rank = made.rank or 4
    if node.get("channels_last", 0):  # ONNX's own order would have the channels second
        made = made.transposed((0, rank - 1, *range(1, rank - 1)))
    made = average_pool(build, node, made)
    if node.get("channels_last", 0):
        made = made.transposed((0, *range(2, rank), 1))
    return _back(build, node, made, y_scale, y_zero if y_zero is not None else _nothing(build, x))


@op(TARGET, f"{MS}QLinearConcat")
def qlinear_concat(build: Builder, node: Node, y_scale: Value, y_zero: Value, *items: Value) -> Any:
    """Tensors of several scales along one axis, in one scale."""
    values = [_floats(build, replace(node, attributes={}), *items[at : at + 3]) for at in range(0, len(items), 3)]
    rank = values[0].rank or 0
    lead = next((v for v in values if not v.constant and v.perm is not None), values[0])
    _, perm = held(lead)
    axis = node.get("axis") % rank
    place = list(perm).index(axis) if perm is not None else axis
    made = Value(tf.concat([v.in_order(perm) for v in values], place), perm)
    return _back(build, replace(node, attributes={}), made, y_scale, y_zero)


@op(TARGET, f"{MS}QLinearSoftmax")
def qlinear_softmax(
    build: Builder, node: Node, x: Value, x_scale: Value, x_zero: Value | None, y_scale: Value, y_zero: Value
) -> Any:
    """Softmax along an axis; before opset 13 over the axis and all that follow."""
    tensor = _floats(build, replace(node, attributes={}), x, x_scale, x_zero).tensor
    axis = node.get("axis", -1)
    if node.get("opset", 13) >= 13:
        return _back(build, replace(node, attributes={}), tf.nn.softmax(tensor, axis), y_scale, y_zero)
    shape = tf.shape(tensor)
    flat = tf.reshape(tensor, tf.stack([tf.reduce_prod(shape[: axis % len(tensor.shape)]), -1]))
    made = tf.reshape(tf.nn.softmax(flat), shape)
    return _back(build, replace(node, attributes={}), made, y_scale, y_zero)


@op(TARGET, f"{MS}QLinearWhere")
def qlinear_where(
    build: Builder,
    node: Node,
    condition: Value,
    x: Value,
    x_scale: Value,
    x_zero: Value,
    y: Value,
    y_scale: Value,
    y_zero: Value,
    z_scale: Value,
    z_zero: Value,
) -> Any:
    """x where the condition holds, else y, in z's scale."""
    one, other = _floats(build, node, x, x_scale, x_zero), _floats(build, node, y, y_scale, y_zero)
    return _back(build, node, broadcast(tf.where, condition, one, other), z_scale, z_zero)


def product(a: Any, b: Value, a_zero: Any, b_zero: Value | None) -> Any:
    """(A - zero) (B - zero), exact in float64; a zero point a column of B where there are several."""
    left = tf.cast(a, tf.float64) - tf.cast(a_zero, tf.float64)
    right = tf.cast(b.tensor, tf.float64)
    return tf.matmul(left, right if b_zero is None else right - tf.cast(b_zero.tensor, tf.float64))


@op(TARGET, f"{MS}MatMulIntegerToFloat")
def matmul_integer_to_float(
    build: Builder,
    node: Node,
    a: Value,
    b: Value,
    a_scale: Value,
    b_scale: Value,
    a_zero: Value | None = None,
    b_zero: Value | None = None,
    bias: Value | None = None,
) -> Any:
    """The product of integers less their zero points, in floats."""
    total = product(a.tensor, b, 0 if a_zero is None else a_zero.tensor, b_zero)
    made = tf.cast(total, a_scale.dtype) * (a_scale.tensor * b_scale.tensor)
    return made if bias is None else made + bias.tensor


@op(TARGET, f"{MS}DynamicQuantizeMatMul")
def dynamic_quantize_matmul(
    build: Builder,
    node: Node,
    a: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value | None = None,
    bias: Value | None = None,
) -> Any:
    """A quantised by its own range to uint8, multiplied as integers, in floats."""
    tensor = a.tensor
    low, high = tf.minimum(tf.reduce_min(tensor), 0.0), tf.maximum(tf.reduce_max(tensor), 0.0)
    scale = (high - low) / 255.0
    scale = tf.where(scale == 0, tf.ones_like(scale), scale)
    zero = tf.clip_by_value(tf.round(-low / scale), 0.0, 255.0)
    whole = tf.clip_by_value(tf.round(tensor / scale) + zero, 0.0, 255.0)
    made = tf.cast(product(whole, b, zero, b_zero), tf.float32) * (scale * b_scale.tensor)
    return made if bias is None else made + bias.tensor


@op(TARGET, f"{MS}QGemm")
def qgemm(
    build: Builder,
    node: Node,
    a: Value,
    a_scale: Value,
    a_zero: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value,
    c: Value | None = None,
    y_scale: Value | None = None,
    y_zero: Value | None = None,
) -> Any:
    """alpha A B + C of integers, C in steps of alpha a_scale b_scale; quantised where y_scale is given, else floats."""
    left = a.in_order((1, 0)) if node.get("transA", 0) else a.tensor
    right = b.transposed((1, 0)) if node.get("transB", 0) else b
    total = product(left, right, a_zero.tensor, b_zero)
    total = total if c is None else total + tf.cast(c.tensor, tf.float64)
    factor = tf.cast(node.get("alpha", 1.0), tf.float32) * a_scale.tensor * b_scale.tensor
    single = tf.cast(total, tf.float32)
    if y_scale is None or y_zero is None:
        return single * factor
    return saturated(tf.round(single * (factor / y_scale.tensor)), y_zero.tensor, y_zero.dtype)
