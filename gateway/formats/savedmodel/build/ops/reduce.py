"""Reductions and what normalises along axes: they keep the order of axes where the axes are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import dynamic_shape, held, moved, positive
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.ops.shape import integers
from gateway.formats.savedmodel.build.values import Perm, Value
from gateway.graph.registry import op

Reduction = Callable[..., Any]


def _log_sum_exp(tensor: Any, axes: Any, keepdims: bool) -> Any:
    return _through_floats(lambda t: tf.reduce_logsumexp(t, axes, keepdims), tensor)


def _through_floats(function: Callable[[Any], Any], tensor: Any) -> Any:
    """Integers go through float64 and back, as onnxruntime has it."""
    if tensor.dtype.is_floating:
        return function(tensor)
    return tf.cast(function(tf.cast(tensor, tf.float64)), tensor.dtype)


_REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": tf.reduce_sum,
    "ReduceMean": tf.reduce_mean,
    "ReduceProd": tf.reduce_prod,
    "ReduceL1": lambda t, axes, keepdims: tf.reduce_sum(tf.abs(t), axes, keepdims),
    "ReduceL2": lambda t, axes, keepdims: _through_floats(tf.sqrt, tf.reduce_sum(t * t, axes, keepdims)),
    "ReduceLogSum": lambda t, axes, keepdims: _through_floats(tf.math.log, tf.reduce_sum(t, axes, keepdims)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": lambda t, axes, keepdims: tf.reduce_sum(t * t, axes, keepdims),
}
_EXTREMES: dict[str, tuple[Reduction, Reduction]] = {
    "ReduceMax": (tf.reduce_max, tf.reduce_any),
    "ReduceMin": (tf.reduce_min, tf.reduce_all),
}


def _reduced(node: Node, x: Value, axes: Value | None, function: Reduction) -> Any:
    keep = bool(node.get("keepdims", 1))
    chosen = node.get("axes") if axes is None else integers(axes)
    if axes is not None and chosen is None:  # known at run time only
        nothing = bool(node.get("noop_with_empty_axes", 0))
        every = tf.range(tf.rank(x.tensor), dtype=tf.int64)
        real = axes.tensor if nothing else tf.cond(tf.size(axes.tensor) > 0, lambda: axes.tensor, lambda: every)
        return function(x.tensor, real, keep)
    if not chosen:
        if chosen is not None and node.get("noop_with_empty_axes", 0):
            return function(x.tensor, [], keep)
        if x.rank is None:
            return function(x.tensor, None, keep)
        chosen = list(range(x.rank))
    if x.rank is None:
        return function(x.tensor, chosen, keep)
    tensor, perm = held(x)
    places = moved([positive(axis, x.rank) for axis in chosen], perm)
    made = function(tensor, places, keep)
    return Value(made, perm) if keep else Value(made, _without(perm, {axis % x.rank for axis in chosen}))


def _without(perm: Perm | None, dropped: set[int]) -> Perm | None:
    """The order of what is left when axes are dropped."""
    if perm is None:
        return None
    left = sorted(axis for axis in perm if axis not in dropped)
    return tuple(left.index(axis) for axis in perm if axis not in dropped)


def _register(name: str, function: Reduction) -> None:
    @op(TARGET, name)
    def convert(build: Builder, node: Node, x: Value, axes: Value | None = None) -> Any:
        return _reduced(node, x, axes, function)

    convert.__doc__ = f"{name} over `axes`, or over all."


for _name, _function in _REDUCTIONS.items():
    _register(_name, _function)


def _register_extreme(name: str, numbers: Reduction, truths: Reduction) -> None:
    @op(TARGET, name)
    def convert(build: Builder, node: Node, x: Value, axes: Value | None = None) -> Any:
        return _reduced(node, x, axes, truths if x.dtype == tf.bool else numbers)

    convert.__doc__ = f"{name} over `axes`, or over all; of booleans too."


for _name, (_numbers, _truths) in _EXTREMES.items():
    _register_extreme(_name, _numbers, _truths)


def _arg(node: Node, x: Value, function: Callable[..., Any]) -> Any:
    assert x.rank is not None
    axis = positive(node.get("axis", 0), x.rank) if x.rank else 0
    tensor, perm = held(x)
    place = moved([axis], perm)[0] if x.rank else 0
    if node.get("select_last_index", 0):
        size = tf.shape(tensor, out_type=tf.int64)[place]
        made = size - 1 - function(tf.reverse(tensor, [place]), place, output_type=tf.int64)
    else:
        made = function(tensor, place, output_type=tf.int64)
    if node.get("keepdims", 1):
        return Value(tf.expand_dims(made, place), perm)
    return Value(made, _without(perm, {axis}))


@op(TARGET, "ArgMax")
def arg_max(build: Builder, node: Node, x: Value) -> Any:
    """Where the greatest is along `axis`; the first one, or the last."""
    return _arg(node, x, tf.argmax)


@op(TARGET, "ArgMin")
def arg_min(build: Builder, node: Node, x: Value) -> Any:
    """Where the least is along `axis`; the first one, or the last."""
    return _arg(node, x, tf.argmin)


# -- along one axis ----------------------------------------------------------------------------


def _along(node: Node, x: Value, function: Callable[[Any, int], Any]) -> Any:
    """From opset 13 along one axis (the last by default); before, over `axis` (1) and all that follow."""
    assert x.rank is not None
    if node.since >= 13:
        tensor, perm = held(x)
        return Value(function(tensor, moved([positive(node.get("axis", -1), x.rank)], perm)[0]), perm)
    axis = positive(node.get("axis", 1), x.rank) if x.rank else 0
    if axis == x.rank - 1:
        return function(x.tensor, -1)
    sizes = tf.convert_to_tensor(dynamic_shape(x))
    flat = tf.reshape(x.tensor, tf.stack([tf.reduce_prod(sizes[:axis]), -1]))
    made = tf.reshape(function(flat, -1), sizes)
    made.set_shape(x.shape)
    return made


@op(TARGET, "Softmax")
def softmax(build: Builder, node: Node, x: Value) -> Any:
    """exp(x) / sum exp(x)."""
    return _along(node, x, tf.nn.softmax)


@op(TARGET, "LogSoftmax")
def log_softmax(build: Builder, node: Node, x: Value) -> Any:
    """x - log sum exp(x)."""
    return _along(node, x, tf.nn.log_softmax)


@op(TARGET, "Hardmax")
def hardmax(build: Builder, node: Node, x: Value) -> Any:
    """1 where the first greatest is, else 0."""

    def apply(tensor: Any, axis: int) -> Any:
        depth = tf.shape(tensor)[axis]
        return tf.one_hot(tf.argmax(tensor, axis), depth, axis=axis, dtype=tensor.dtype)

    return _along(node, x, apply)


@op(TARGET, "LpNormalization")
def lp_normalization(build: Builder, node: Node, x: Value) -> Any:
    """x / (sum |x|^p)^(1/p) along an axis, 0 where that norm is 0."""
    tensor, perm = held(x)
    assert x.rank is not None
    axis = moved([positive(node.get("axis", -1), x.rank)], perm)[0]
    one = node.get("p", 2) == 1
    norm = tf.reduce_sum(tf.abs(tensor) if one else tensor * tensor, axis, keepdims=True)
    return Value(tf.math.divide_no_nan(tensor, norm if one else tf.sqrt(norm)), perm)


def _running(x: Value, axis: Any, node: Node, function: Callable[..., Any]) -> Any:
    return function(x.tensor, axis, exclusive=bool(node.get("exclusive", 0)), reverse=bool(node.get("reverse", 0)))


@op(TARGET, "CumSum")
def cum_sum(build: Builder, node: Node, x: Value, axis: Value) -> Any:
    """Running sums along an axis."""
    return _running(x, tf.reshape(axis.tensor, []), node, tf.cumsum)


@op(TARGET, "CumProd")
def cum_prod(build: Builder, node: Node, x: Value, axis: Value) -> Any:
    """Running products along an axis."""
    return _running(x, tf.reshape(axis.tensor, []), node, tf.math.cumprod)


@op(TARGET, "LayerNormalization")
def layer_normalization(build: Builder, node: Node, x: Value, scale: Value, bias: Value | None = None) -> Any:
    """(x - mean) / sqrt(variance + epsilon) from `axis` on, scaled and shifted; mean and 1/deviation too."""
    tensor = x.tensor
    rank = len(tensor.shape)
    axes = list(range(positive(node.get("axis", -1), rank), rank))
    wide = tf.cast(tensor, tf.float32) if node.get("stash_type", 1) == 1 and tensor.dtype != tf.float64 else tensor
    mean = tf.reduce_mean(wide, axes, keepdims=True)
    centred = wide - mean
    inverse_deviation = tf.math.rsqrt(
        tf.reduce_mean(centred * centred, axes, keepdims=True) + tf.cast(node.get("epsilon", 1e-5), wide.dtype)
    )
    made = tf.cast(centred * inverse_deviation, tensor.dtype) * scale.tensor
    made = made if bias is None else made + bias.tensor
    return (made, mean, inverse_deviation)


@op(TARGET, "RMSNormalization", "SimplifiedLayerNormalization")
def rms_normalization(build: Builder, node: Node, x: Value, scale: Value) -> Any:
    """x / sqrt(mean x^2 + epsilon) over the axes from `axis` on, scaled."""
    tensor = x.tensor
    rank = len(tensor.shape)
    axes = list(range(positive(node.get("axis", -1), rank), rank))
    wide = tf.cast(tensor, tf.float32) if node.get("stash_type", 1) == 1 and tensor.dtype != tf.float64 else tensor
    factor = tf.math.rsqrt(
        tf.reduce_mean(wide * wide, axes, keepdims=True) + tf.cast(node.get("epsilon", 1e-5), wide.dtype)
    )
    return tf.cast(wide * factor, tensor.dtype) * scale.tensor
