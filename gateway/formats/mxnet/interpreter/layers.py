"""Layers without a window: fully connected, activations, softmax in all its forms, dropout, embedding."""

from __future__ import annotations

import math

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.elementwise import SELU_ALPHA, SELU_LAMBDA, erf, sigmoid, softrelu
from gateway.formats.mxnet.interpreter.registry import Node, attr_dtype, op


@op("FullyConnected", "_sparse_FullyConnected", "_npx_fully_connected")
def fully_connected(node: Node, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x weight^T + bias, weight (num_hidden, in); `flatten` (the default) makes x (N, everything else)."""
    if node.attrs.bool("flatten", True):
        x = x.reshape(x.shape[0], -1)
    out = x @ weight.reshape(weight.shape[0], -1).T
    return out if bias is None or node.attrs.bool("no_bias") else out + bias.reshape(-1)


@op("Activation", "_npx_activation")
def activation(node: Node, x: Array) -> Array:
    """relu, sigmoid, tanh, softrelu (softplus) or softsign; of MXNet 2: log_sigmoid, mish."""
    kind = node.attrs.str("act_type")
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "sigmoid":
        return sigmoid(x)
    if kind == "tanh":
        return np.tanh(x)
    if kind == "softrelu":
        return softrelu(x)
    if kind == "softsign":
        return x / (1.0 + np.abs(x))
    if kind == "log_sigmoid":
        return np.asarray(-np.logaddexp(0.0, -x))
    if kind == "mish":
        return np.asarray(x * np.tanh(np.logaddexp(0.0, x)))
    raise node.unsupported(f"act_type {kind!r}")


def _on_channel(gamma: Array, rank: int) -> Array:
    """gamma shaped to broadcast: its axes stand at the end of (N, C), a vector on axis 1."""
    if gamma.ndim > 2 or rank == 1:
        return gamma
    return gamma.reshape(*gamma.shape, *(1,) * max(rank - 2, 0))


@op("LeakyReLU", "_npx_leaky_relu")
def leaky_relu(node: Node, x: Array, gamma: Array | None = None) -> Array:
    """leaky, prelu (slope is the second input), elu, selu, gelu (by erf), rrelu (its mean slope)."""
    kind, slope = node.attrs.str("act_type", "leaky"), node.attrs.float("slope", 0.25)
    if kind == "leaky":
        return np.where(x > 0, x, slope * x)
    if kind == "prelu":
        if gamma is None:
            raise node.unsupported("prelu without its second input, the slope")
        return np.where(x > 0, x, _on_channel(gamma, x.ndim) * x)
    if kind == "elu":
        return np.where(x > 0, x, slope * np.expm1(np.minimum(x, 0)))
    if kind == "selu":
        return SELU_LAMBDA * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))
    if kind == "gelu":
        return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))
    if kind == "rrelu":
        mean = (node.attrs.float("lower_bound", 0.125) + node.attrs.float("upper_bound", 0.334)) / 2
        return np.where(x > 0, x, mean * x)
    raise node.unsupported(f"act_type {kind!r}")


def softmax_over(x: Array, axis: int | tuple[int, ...]) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _softmax_dtype(node: Node) -> str:
    return attr_dtype(node.dtypes[0])(node)


def _within(node: Node, x: Array, length: Array | None, axis: int) -> Array | None:
    """With `use_length`: True where the place along `axis` is below that row's length."""
    if not node.attrs.bool("use_length") or length is None:
        return None
    places = np.arange(x.shape[axis]).reshape(*(-1 if i == axis else 1 for i in range(x.ndim)))
    return places < np.expand_dims(length, axis)


def _tempered(node: Node, x: Array) -> Array:
    return x / (node.attrs.optional_float("temperature") or 1.0)


@op("softmax", "_npx_softmax", dtype=_softmax_dtype)
def softmax(node: Node, x: Array, length: Array | None = None) -> Array:
    """Over one axis (the last); `temperature` divides first; `use_length` leaves zeros past the length."""
    axis = node.attrs.int("axis", -1) % x.ndim
    inside = _within(node, x, length, axis)
    if inside is None:
        return softmax_over(_tempered(node, x), axis)
    low = np.where(inside, _tempered(node, x), -np.inf)
    top = low.max(axis=axis, keepdims=True)
    e = np.exp(low - np.where(np.isfinite(top), top, 0.0))
    total = e.sum(axis=axis, keepdims=True)
    return np.where(inside, e / np.where(total == 0, 1.0, total), 0.0)


@op("softmin", dtype=_softmax_dtype)
def softmin(node: Node, x: Array) -> Array:
    """softmax of -x."""
    return softmax_over(_tempered(node, -x), node.attrs.int("axis", -1))


@op("log_softmax", "_npx_log_softmax", dtype=_softmax_dtype)
def log_softmax(node: Node, x: Array) -> Array:
    """x - log(sum(exp(x))) over one axis."""
    axis = node.attrs.int("axis", -1)
    x = _tempered(node, x)
    moved = x - x.max(axis=axis, keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis=axis, keepdims=True)))


@op("SoftmaxActivation")
def softmax_activation(node: Node, x: Array) -> Array:
    """mode instance: over the last axis; channel: over axis 1 at each place.

    Its text says that instance goes over everything but the batch; the code flattens to two axes the
    other way round, all but the last together, so for more than two axes the last alone counts.
    """
    return softmax_over(x, 1 if node.attrs.str("mode", "instance") == "channel" else -1)


@op("SoftmaxOutput", "Softmax", ignores=(1,))
def softmax_output(node: Node, x: Array, label: Array | None = None) -> Array:
    """Softmax: over axis 1 (`multi_output`), the last axis (`preserve_shape`), or all but the batch."""
    if node.attrs.bool("multi_output"):
        return softmax_over(x, 1)
    if node.attrs.bool("preserve_shape"):
        return softmax_over(x, -1)
    return softmax_over(x.reshape(x.shape[0], -1), 1).reshape(x.shape)


@op("LogisticRegressionOutput", "_sparse_LogisticRegressionOutput", ignores=(1,))
def logistic_output(node: Node, x: Array, label: Array | None = None) -> Array:
    """sigmoid."""
    return sigmoid(x)


@op(
    "LinearRegressionOutput", "_sparse_LinearRegressionOutput", "MAERegressionOutput", "_sparse_MAERegressionOutput",
    "SVMOutput", ignores=(1,),
)  # fmt: skip
def linear_output(node: Node, x: Array, label: Array | None = None) -> Array:
    """The data itself."""
    return x


@op("softmax_cross_entropy")
def softmax_cross_entropy(node: Node, x: Array, label: Array) -> Array:
    """-sum over rows of log(softmax(x)[label]); one element."""
    probability = softmax_over(x, 1)[np.arange(x.shape[0]), label.astype(np.int64)]
    return np.asarray(-np.log(np.maximum(probability, 1e-8)).sum(keepdims=True))


@op("Dropout", "_npx_dropout")
def dropout(node: Node, x: Array) -> tuple[Array, Array]:
    """The input itself at inference; `mode="always"` stays random, so nobody can judge it."""
    if node.attrs.str("mode", "training") == "always" and node.attrs.float("p", 0.5) > 0:
        raise node.unsupported("mode 'always': it is random at inference")
    return x, np.ones_like(x)


@op("Embedding", "_sparse_Embedding", "_contrib_SparseEmbedding", "_npx_embedding", dtype=lambda node: node.dtypes[1])
def embedding(node: Node, indices: Array, weight: Array) -> Array:
    """Rows of `weight`; an index outside is moved to the nearest row."""
    rows = np.clip(np.trunc(indices).astype(np.int64), 0, weight.shape[0] - 1)
    return weight[rows]
