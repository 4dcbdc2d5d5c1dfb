"""Normalisations: by stored statistics, by the sample's own, by length, by neighbours."""

from __future__ import annotations

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op


def _on_axis(values: Array, axis: int, rank: int) -> Array:
    return values.reshape(*(-1 if i == axis else 1 for i in range(rank)))


def _batch_norm(node: Node, x: Array, parts: tuple[Array, ...], axis: int) -> tuple[Array, ...]:
    gamma, beta, mean, variance = parts
    if node.attrs.bool("fix_gamma", True):
        gamma = np.ones_like(gamma)
    axis %= x.ndim
    inverse = 1.0 / np.sqrt(variance + node.attrs.float("eps", 1e-3))
    shaped = [_on_axis(part, axis, x.ndim) for part in (gamma * inverse, beta, mean)]
    return (x - shaped[2]) * shaped[0] + shaped[1], mean, inverse


@op("BatchNorm", "CuDNNBatchNorm", "_contrib_SyncBatchNorm", "_npx_batch_norm")
def batch_norm(node: Node, x: Array, *parts: Array) -> tuple[Array, ...]:
    """gamma (x - mean) / sqrt(var + eps) + beta by the moving statistics; `fix_gamma` (the default) makes gamma 1.

    The third output is called var and is 1 / sqrt(var + eps).
    """
    return _batch_norm(node, x, parts, node.attrs.int("axis", 1))


@op("BatchNorm_v1")
def batch_norm_v1(node: Node, x: Array, *parts: Array) -> tuple[Array, ...]:
    """BatchNorm on axis 1."""
    return _batch_norm(node, x, parts, 1)


@op("_contrib_BatchNormWithReLU")
def batch_norm_relu(node: Node, x: Array, *parts: Array) -> tuple[Array, ...]:
    """BatchNorm, then relu."""
    out, mean, variance = _batch_norm(node, x, parts, node.attrs.int("axis", 1))
    return np.maximum(out, 0), mean, variance, variance


@op("LayerNorm", "_npx_layer_norm")
def layer_norm(node: Node, x: Array, gamma: Array, beta: Array) -> tuple[Array, ...]:
    """Over one axis (the last), by its own mean and standard deviation; eps 1e-5."""
    axis = node.attrs.int("axis", -1) % x.ndim
    mean = x.mean(axis=axis, keepdims=True)
    deviation = np.sqrt(x.var(axis=axis, keepdims=True) + node.attrs.float("eps", 1e-5))
    out = (x - mean) / deviation * _on_axis(gamma, axis, x.ndim) + _on_axis(beta, axis, x.ndim)
    return out, mean, deviation


@op("InstanceNorm")
def instance_norm(node: Node, x: Array, gamma: Array, beta: Array) -> Array:
    """Each channel of each sample by its own statistics; eps 1e-3."""
    axes = tuple(range(2, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    out = centred / np.sqrt(x.var(axis=axes, keepdims=True) + node.attrs.float("eps", 1e-3))
    return np.asarray(out * _on_axis(gamma, 1, x.ndim) + _on_axis(beta, 1, x.ndim))


@op("GroupNorm")
def group_norm(node: Node, x: Array, gamma: Array, beta: Array) -> tuple[Array, ...]:
    """Channels in `num_groups` groups, each by its own statistics; eps 1e-5.

    gamma and beta are by group in MXNet 1, by channel in MXNet 2: as many as they are.
    """
    groups = node.attrs.int("num_groups", 1)
    grouped = x.reshape(x.shape[0], groups, -1)
    mean = grouped.mean(axis=2, keepdims=True)
    deviation = np.sqrt(grouped.var(axis=2, keepdims=True) + node.attrs.float("eps", 1e-5))
    out = (grouped - mean) / deviation
    parts = (x.shape[0], gamma.size, -1)
    out = out.reshape(parts) * gamma.reshape(1, -1, 1) + beta.reshape(1, -1, 1)
    return out.reshape(x.shape), mean[..., 0], deviation[..., 0]


@op("L2Normalization")
def l2_normalization(node: Node, x: Array) -> Array:
    """x / sqrt(sum of squares + eps), eps inside the root.

    instance: the sum goes over all but the batch; channel: over axis 1; spatial: over the axes from 2.
    """
    mode = node.attrs.str("mode", "instance")
    axes = {"instance": tuple(range(1, x.ndim)), "channel": (1,), "spatial": tuple(range(2, x.ndim))}
    if mode not in axes:
        raise node.unsupported(f"mode {mode!r}")
    return np.asarray(x / np.sqrt((x * x).sum(axis=axes[mode], keepdims=True) + node.attrs.float("eps", 1e-10)))


@op("LRN")
def lrn(node: Node, x: Array) -> tuple[Array, Array]:
    """x / (knorm + alpha / nsize * sum of squares of nsize channels around)^beta."""
    size = node.attrs.int("nsize")
    squares = np.pad(x * x, [(0, 0), (size // 2, size // 2), *((0, 0),) * (x.ndim - 2)])
    total = sum((squares[:, i : i + x.shape[1]] for i in range(1, size)), squares[:, : x.shape[1]])
    norm = node.attrs.float("knorm", 2.0) + node.attrs.float("alpha", 1e-4) / size * total
    return x * norm ** -node.attrs.float("beta", 0.75), norm
