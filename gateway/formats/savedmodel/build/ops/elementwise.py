"""Operators that work element by element: they keep the order of axes in which their operands are held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import common, held
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op


def unary(value: Value, function: Callable[[Any], Any]) -> Value:
    """`function` of the tensor, whatever the order of its axes."""
    tensor, perm = held(value)
    return Value(function(tensor), perm)


def broadcast(function: Callable[..., Any], *values: Value) -> Value:
    """`function` of all tensors, broadcast as numpy does."""
    tensors, perm = common(values)
    return Value(function(*tensors), perm)


def scalar(number: float, like: Any) -> Any:
    return tf.cast(number, like.dtype)


# -- one operand -------------------------------------------------------------------------------

_UNARY: dict[str, Callable[[Any], Any]] = {
    "Abs": lambda x: tf.identity(x) if x.dtype.is_unsigned else tf.abs(x),
    "Acos": tf.acos,
    "Acosh": tf.acosh,
    "Asin": tf.asin,
    "Asinh": tf.asinh,
    "Atan": tf.atan,
    "Atanh": tf.atanh,
    "Ceil": tf.math.ceil,
    "Cos": tf.cos,
    "Cosh": tf.cosh,
    "Erf": tf.math.erf,
    "Exp": tf.exp,
    "Floor": tf.floor,
    "Identity": tf.identity,
    "IsNaN": tf.math.is_nan,
    "Log": tf.math.log,
    "Neg": tf.negative,
    "Not": tf.logical_not,
    "Reciprocal": tf.math.reciprocal,
    "Relu": tf.nn.relu,
    "Round": tf.round,  # half to even, as ONNX says
    "Sigmoid": tf.sigmoid,
    "Sign": lambda x: tf.cast(x > 0, x.dtype) if x.dtype.is_unsigned else tf.sign(x),
    "Sin": tf.sin,
    "Sinh": tf.sinh,
    "Softplus": tf.nn.softplus,
    "Softsign": tf.nn.softsign,
    "Sqrt": tf.sqrt,
    "Tan": tf.tan,
    "Tanh": tf.tanh,
    "BitwiseNot": tf.bitwise.invert,
    "Mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
}


def _register_unary(name: str, function: Callable[[Any], Any]) -> None:
    @op(TARGET, name)
    def convert(build: Builder, node: Node, x: Any) -> Any:
        if not isinstance(x, Value):
            return x  # Identity of a sequence or an optional
        return unary(x, function)

    convert.__doc__ = f"{name}, element by element."


for _name, _function in _UNARY.items():
    _register_unary(_name, _function)


@op(TARGET, "LeakyRelu")
def leaky_relu(build: Builder, node: Node, x: Value) -> Value:
    """x where it is not negative, else alpha x."""
    return unary(x, lambda t: tf.nn.leaky_relu(t, node.get("alpha", 0.01)))


@op(TARGET, "Elu")
def elu(build: Builder, node: Node, x: Value) -> Value:
    """alpha (exp(x) - 1) below 0."""
    alpha = node.get("alpha", 1.0)
    return unary(x, lambda t: tf.where(t < 0, scalar(alpha, t) * tf.math.expm1(tf.minimum(t, scalar(0, t))), t))


@op(TARGET, "Selu")
def selu(build: Builder, node: Node, x: Value) -> Value:
    """gamma (alpha exp(x) - alpha) below 0, gamma x above."""
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)

    def apply(t: Any) -> Any:
        below = scalar(alpha, t) * tf.math.expm1(tf.minimum(t, scalar(0, t)))
        return scalar(gamma, t) * tf.where(t > 0, t, below)

    return unary(x, apply)


@op(TARGET, "Celu")
def celu(build: Builder, node: Node, x: Value) -> Value:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
    alpha = node.get("alpha", 1.0)

    def apply(t: Any) -> Any:
        a, zero = scalar(alpha, t), scalar(0, t)
        return tf.maximum(t, zero) + tf.minimum(zero, a * tf.math.expm1(tf.minimum(t, zero) / a))

    return unary(x, apply)


@op(TARGET, "ThresholdedRelu")
def thresholded_relu(build: Builder, node: Node, x: Value) -> Value:
    """x where it is over alpha, else 0."""
    return unary(x, lambda t: tf.where(t > scalar(node.get("alpha", 1.0), t), t, tf.zeros_like(t)))


@op(TARGET, "HardSigmoid")
def hard_sigmoid(build: Builder, node: Node, x: Value) -> Value:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return unary(x, lambda t: _clip(scalar(alpha, t) * t + scalar(beta, t), 0, 1))


@op(TARGET, "HardSwish")
def hard_swish(build: Builder, node: Node, x: Value) -> Value:
    """x HardSigmoid(x; 1/6, 1/2)."""
    return unary(x, lambda t: t * _clip(t / scalar(6, t) + scalar(0.5, t), 0, 1))


@op(TARGET, "Swish")
def swish(build: Builder, node: Node, x: Value) -> Value:
    """x sigmoid(alpha x)."""
    return unary(x, lambda t: t * tf.sigmoid(scalar(node.get("alpha", 1.0), t) * t))


@op(TARGET, "Gelu", "com.microsoft.Gelu")
def gelu(build: Builder, node: Node, x: Value) -> Value:
    """x Phi(x): by erf, or by tanh where `approximate` says so."""
    return unary(x, lambda t: tf.nn.gelu(t, approximate=node.get("approximate", "none") == "tanh"))


@op(TARGET, "IsInf")
def is_inf(build: Builder, node: Node, x: Value) -> Value:
    """Infinities of the signs that the attributes ask for."""
    positive, negative = bool(node.get("detect_positive", 1)), bool(node.get("detect_negative", 1))

    def apply(t: Any) -> Any:
        sign = (t > 0) & positive | (t < 0) & negative
        return tf.math.is_inf(t) & sign

    return unary(x, apply)


@op(TARGET, "Shrink")
def shrink(build: Builder, node: Node, x: Value) -> Value:
    """x + bias below -lambd, x - bias over lambd, else 0; integers are computed as float32."""
    edge, bias = node.get("lambd", 0.5), node.get("bias", 0.0)

    def apply(t: Any) -> Any:
        wide = t if t.dtype.is_floating else tf.cast(t, tf.float32)
        zero = tf.zeros_like(wide)
        b, e = scalar(bias, wide), scalar(edge, wide)
        return tf.cast(tf.where(wide < -e, wide + b, tf.where(wide > e, wide - b, zero)), t.dtype)

    return unary(x, apply)


@op(TARGET, "Clip")
def clip(build: Builder, node: Node, x: Value, low: Value | None = None, high: Value | None = None) -> Value:
    """min(max(x, low), high), in this order; bounds are attributes below opset 11."""
    bounds = [
        build.constant(np.asarray(node.get(name), x.dtype.as_numpy_dtype))
        if value is None and name in node.attributes
        else value
        for name, value in (("min", low), ("max", high))
    ]

    def apply(t: Any) -> Any:
        t = t if bounds[0] is None else tf.maximum(t, tf.reshape(bounds[0].tensor, []))
        return t if bounds[1] is None else tf.minimum(t, tf.reshape(bounds[1].tensor, []))

    return unary(x, apply)


def _clip(t: Any, low: float, high: float) -> Any:
    return tf.minimum(tf.maximum(t, scalar(low, t)), scalar(high, t))


# -- two operands and more ---------------------------------------------------------------------


def _divide(x: Any, y: Any) -> Any:
    """Integers are cut towards zero, as C does."""
    return tf.truncatediv(x, y) if x.dtype.is_integer else tf.divide(x, y)


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": tf.add,
    "Sub": tf.subtract,
    "Mul": tf.multiply,
    "Div": _divide,
    "And": tf.logical_and,
    "Or": tf.logical_or,
    "Xor": tf.math.logical_xor,
    "Equal": tf.equal,
    "Greater": tf.greater,
    "GreaterOrEqual": tf.greater_equal,
    "Less": tf.less,
    "LessOrEqual": tf.less_equal,
    "BitwiseAnd": tf.bitwise.bitwise_and,
    "BitwiseOr": tf.bitwise.bitwise_or,
    "BitwiseXor": tf.bitwise.bitwise_xor,
    "PRelu": lambda x, slope: tf.where(x < 0, x * slope, x),
}


def _register_binary(name: str, function: Callable[[Any, Any], Any]) -> None:
    @op(TARGET, name)
    def convert(build: Builder, node: Node, x: Value, y: Value) -> Value:
        if node.since < 7 and node.get("broadcast") and y.rank != x.rank:
            y = _aligned(build, x, y, node.get("axis"))
        return broadcast(function, x, y)

    convert.__doc__ = f"{name}, broadcast as numpy does."


def _aligned(build: Builder, x: Value, y: Value, axis: int | None) -> Value:
    """Opset 1 to 6: y's axes lie at `axis` of x, or at its end."""
    assert x.rank is not None
    assert y.rank is not None
    behind = 0 if axis is None else x.rank - axis % x.rank - y.rank
    tensor = y.tensor
    for _ in range(behind):
        tensor = tf.expand_dims(tensor, -1)
    return Value(tensor)


for _name, _function2 in _BINARY.items():
    _register_binary(_name, _function2)


@op(TARGET, "Mod")
def mod(build: Builder, node: Node, x: Value, y: Value) -> Value:
    """Sign of the divisor, or with fmod=1 of the dividend, as C's fmod."""
    return broadcast(tf.math.mod if not node.get("fmod", 0) else _fmod, x, y)


def _fmod(x: Any, y: Any) -> Any:
    if x.dtype in (tf.float32, tf.float64, tf.int32, tf.int64):
        return tf.truncatemod(x, y)
    wide = tf.float32 if x.dtype.is_floating else tf.int64
    return tf.cast(tf.truncatemod(tf.cast(x, wide), tf.cast(y, wide)), x.dtype)


@op(TARGET, "Pow")
def power(build: Builder, node: Node, x: Value, y: Value) -> Value:
    """x ** y in x's type; the exponent may be of another."""

    def apply(a: Any, b: Any) -> Any:
        if a.dtype == b.dtype and a.dtype in (tf.float32, tf.float64, tf.float16, tf.int32, tf.int64):
            return tf.pow(a, b)
        return tf.cast(tf.pow(tf.cast(a, tf.float64), tf.cast(b, tf.float64)), a.dtype)

    return broadcast(apply, x, y)


@op(TARGET, "Where")
def where(build: Builder, node: Node, condition: Value, x: Value, y: Value) -> Value:
    """x where the condition holds, else y."""
    return broadcast(tf.where, condition, x, y)


def _all_of(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def apply(*tensors: Any) -> Any:
        made = tensors[0]
        for tensor in tensors[1:]:
            made = function(made, tensor)
        return tf.identity(made)

    return apply


@op(TARGET, "Max")
def maximum(build: Builder, node: Node, *values: Value) -> Value:
    """The greatest of all operands."""
    return broadcast(_all_of(tf.maximum), *values)


@op(TARGET, "Min")
def minimum(build: Builder, node: Node, *values: Value) -> Value:
    """The least of all operands."""
    return broadcast(_all_of(tf.minimum), *values)


@op(TARGET, "Sum")
def total(build: Builder, node: Node, *values: Value) -> Value:
    """The sum of all operands."""
    return broadcast(_all_of(tf.add), *values)


@op(TARGET, "Mean")
def mean(build: Builder, node: Node, *values: Value) -> Value:
    """The sum of all operands, divided by their number."""
    return broadcast(lambda *tensors: _all_of(tf.add)(*tensors) / scalar(len(tensors), tensors[0]), *values)


@op(TARGET, "BitShift")
def bit_shift(build: Builder, node: Node, x: Value, y: Value) -> Value:
    """LEFT or RIGHT; bits that leave are lost, also where the shift is as wide as the type or negative."""
    left = node.get("direction") == "LEFT"
    function = tf.bitwise.left_shift if left else tf.bitwise.right_shift

    def apply(a: Any, b: Any) -> Any:
        width = tf.cast(a.dtype.size * 8, a.dtype)
        fits = (b >= 0) & (b < width)
        gone = tf.zeros_like(a) if left or a.dtype.is_unsigned else tf.where(a < 0, -tf.ones_like(a), tf.zeros_like(a))
        return tf.where(fits, function(a, tf.where(fits, b, tf.zeros_like(b))), gone)

    return broadcast(apply, x, y)
