"""What each layer of Darknet computes, in float64: written from Darknet's C and from nothing else of ours.

    @layer("avgpool")
    def avgpool(at: Layer, x: Array) -> Array: ...

A function is given the layer and its sources, each (N, c, h, w) float64, and gives (N, c, h, w).

Rule 1: loops of the C are written out over windows and channels; nothing is folded or reordered.
Rule 2: an option that is not known here stops the layer: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError

if TYPE_CHECKING:
    from gateway.formats.darknet.network import Layer

EPS = 0.00001  # normalize_cpu, inside the root
Function = Callable[..., Array]
TABLE: dict[str, Function] = {}
BY_DIALECT: set[str] = set()
"""Layers that the two programs compute differently: their functions are told `dialect`."""
PJREDDIE = "pjreddie"


def layer(*names: str, by_dialect: bool = False) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        TABLE.update(dict.fromkeys(names, function))
        BY_DIALECT.update(names if by_dialect else ())
        return function

    return register


def unknown(at: Layer, what: str) -> ConversionError:
    return ConversionError(f"Darknet layer {at.index} ({at.type}): the interpreter does not know {what}.")


# Activations (activations.h, activations.c)


def logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _stair(x: Array) -> Array:
    n = np.floor(x)
    return np.where(n % 2 == 0, np.floor(x / 2), x - n + np.floor(x / 2))


def _softplus(x: Array) -> Array:
    return np.where(x > 20, x, np.where(x < -20, np.exp(np.minimum(x, 20)), np.log(np.exp(np.minimum(x, 20)) + 1)))


def _plse(x: Array) -> Array:
    return np.where(x < -4, 0.01 * (x + 4), np.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5))


def _shares(x: Array) -> Array:
    """normalize_channels: of what is above 0, over channels."""
    positive = np.where(x > 0, x, 0)
    return np.asarray(positive / (positive.sum(axis=1, keepdims=True) + 0.0001))


def _softshares(x: Array, largest: bool) -> Array:
    """normalize_channels_softmax: with the small number of the C in the sum."""
    e = np.exp(x - (x.max(axis=1, keepdims=True) if largest else 0))
    return np.asarray(e / (e.sum(axis=1, keepdims=True) + 0.0001))


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "logistic": logistic,
    "loggy": lambda x: 2 / (1 + np.exp(-x)) - 1,
    "relu": lambda x: np.where(x > 0, x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "elu": lambda x: np.where(x >= 0, x, np.exp(np.minimum(x, 0)) - 1),
    "selu": lambda x: np.where(x >= 0, 1.0507 * x, 1.0507 * 1.6732 * (np.exp(np.minimum(x, 0)) - 1)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(0.797885 * x + 0.035677 * x**3)),
    "relie": lambda x: np.where(x > 0, x, 0.01 * x),
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "leaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "revleaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "tanh": np.tanh,
    "plse": _plse,
    "stair": _stair,
    "hardtan": lambda x: np.clip(x, -1, 1),
    "lhtan": lambda x: np.where(x < 0, 0.001 * x, np.where(x > 1, 0.001 * (x - 1) + 1, x)),
    "swish": lambda x: x * logistic(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "hard_mish": lambda x: np.where(x > 0, x, np.where(x > -2, x * x / 2 + x, 0)),
    "normalize_channels": _shares,
    "normalize_channels_softmax": lambda x: _softshares(x, largest=False),
    "normalize_channels_softmax_maxval": lambda x: _softshares(x, largest=True),
}


def activated(at: Layer, x: Array, default: str, name: str = "activation") -> Array:
    kind = at.options.str(name, default)
    if kind not in ACTIVATIONS:
        raise unknown(at, f"the activation {kind!r}")
    return np.asarray(ACTIVATIONS[kind](x), np.float64)


def normalised(x: Array, weights: Mapping[str, Array], prefix: str = "") -> Array:
    """(x - mean) / sqrt(variance + eps), times scales, on axis 1."""

    def of(name: str) -> Array:
        return weights[prefix + name].astype(np.float64).reshape(-1, *(1,) * (x.ndim - 2))

    return np.asarray((x - of("rolling_mean")) / np.sqrt(of("rolling_variance") + EPS) * of("scales"))


# Layers with weights


def windows(x: Array, size: int, out: tuple[int, int], stride: tuple[int, int], start: tuple[int, int], fill: float,
            dilation: int = 1) -> Array:  # fmt: skip
    """(N, c, out_h, out_w, size, size): what each window reads; `fill` outside. `start` is the first window's place."""
    made = np.full((*x.shape[:2], *out, size, size), fill)
    rows = start[0] + stride[0] * np.arange(out[0])
    columns = start[1] + stride[1] * np.arange(out[1])
    for i in range(size):
        for j in range(size):
            r, c = rows + i * dilation, columns + j * dilation
            in_r, in_c = (r >= 0) & (r < x.shape[2]), (c >= 0) & (c < x.shape[3])
            part = x[:, :, r[in_r]][:, :, :, c[in_c]]
            made[:, :, np.flatnonzero(in_r)[:, None], np.flatnonzero(in_c)[None, :], i, j] = part
    return made


def steps_of(at: Layer) -> tuple[int, int]:
    """(down, right): strides of their own where they are over 0."""
    step = at.options.int("stride", 1)
    down, right = at.options.int("stride_y", 0), at.options.int("stride_x", 0)
    return down if down > 0 else step, right if right > 0 else step


def convolved(
    at: Layer, x: Array, weights: Mapping[str, Array], out: tuple[int, int], prefix: str = "", stride: int = 0,
    pad: int | None = None, groups: int | None = None,
) -> Array:  # fmt: skip
    """A convolution without its activation, of the layer's options; `stride` where antialiasing has taken it away."""
    options = at.options
    kernel = weights[prefix + "weights"].astype(np.float64)
    size, dilation = kernel.shape[-1], max(1, options.int("dilation", 1))
    groups = max(1, options.int("groups", 1)) if groups is None else groups
    if pad is None:
        pad = size // 2 if options.int("pad", 0) else options.int("padding", 0)
    read = windows(
        x, size, out, (stride, stride) if stride else steps_of(at), (-pad * dilation, -pad * dilation), 0.0, dilation
    )
    parts = []
    each_in, each_out = x.shape[1] // groups, kernel.shape[0] // groups
    for group in range(groups):
        mine = read[:, group * each_in : (group + 1) * each_in]
        filters = kernel[group * each_out : (group + 1) * each_out]
        parts.append(np.einsum("nchwij,ocij->nohw", mine, filters, optimize=True))
    made = np.concatenate(parts, axis=1)
    if prefix + "scales" in weights:
        made = normalised(made, weights, prefix)
    return np.asarray(made + weights[prefix + "biases"].astype(np.float64).reshape(1, -1, 1, 1))


@layer("convolutional")
def convolutional(at: Layer, x: Array) -> Array:
    _, height, width = at.output
    blurred = at.options.int("antialiasing", 0)
    if not blurred:
        return activated(at, convolved(at, x, at.weights, (height, width)), "logistic")
    size = at.weights["weights"].shape[-1]
    pad = size // 2 if at.options.int("pad", 0) else at.options.int("padding", 0)
    inner = (x.shape[2] + 2 * pad - size + 1, x.shape[3] + 2 * pad - size + 1)
    made = activated(at, convolved(at, x, at.weights, inner, stride=1), "logistic")
    return _blurred(at, made, blurred)


def _blurred(at: Layer, x: Array, kind: int) -> Array:
    _, height, width = at.output
    if kind == 2:
        kernel, pad = np.full((2, 2), 0.25), 0
    else:
        kernel, pad = np.outer([1, 2, 1], [1, 2, 1]) / 16.0, 1
    read = windows(x, len(kernel), (height, width), steps_of(at), (-pad, -pad), 0.0)
    return np.asarray(np.einsum("nchwij,ij->nchw", read, kernel))


@layer("deconvolutional")
def deconvolutional(at: Layer, x: Array) -> Array:
    kernel = at.weights["weights"].astype(np.float64)  # (c, n, k, k)
    channels, height, width = at.output
    size, stride = kernel.shape[-1], at.options.int("stride", 1)
    full_h, full_w = stride * (x.shape[2] - 1) + size, stride * (x.shape[3] - 1) + size
    made = np.zeros((len(x), channels, full_h, full_w))
    for i in range(size):
        for j in range(size):
            put = np.einsum("nchw,co->nohw", x, kernel[:, :, i, j])
            made[:, :, i : i + stride * x.shape[2] : stride, j : j + stride * x.shape[3] : stride] += put
    pad = (full_h - height) // 2
    made = made[:, :, pad : pad + height, pad : pad + width]
    if "scales" in at.weights:
        made = normalised(made, at.weights)
    made = made + at.weights["biases"].astype(np.float64).reshape(1, -1, 1, 1)
    return activated(at, made, "logistic")


def connected_by(weights: Mapping[str, Array], x: Array, prefix: str = "") -> Array:
    """A fully connected layer without its activation, (N, n) to (N, m)."""
    made = x.reshape(len(x), -1) @ weights[prefix + "weights"].astype(np.float64).T
    if prefix + "scales" in weights:
        made = normalised(made, weights, prefix)
    return np.asarray(made + weights[prefix + "biases"].astype(np.float64))


@layer("connected")
def connected(at: Layer, x: Array) -> Array:
    return activated(at, connected_by(at.weights, x), "logistic").reshape(len(x), -1, 1, 1)


@layer("local")
def local(at: Layer, x: Array) -> Array:
    channels, height, width = at.output
    kernel = at.weights["weights"].astype(np.float64)  # (places, n, c, k, k)
    stride, pad = at.options.int("stride", 1), at.options.int("pad", 0)
    read = windows(x, kernel.shape[-1], (height, width), (stride, stride), (-pad, -pad), 0.0)
    places = kernel.reshape(height, width, *kernel.shape[1:])
    made = np.einsum("nchwij,hwocij->nohw", read, places)
    return activated(at, made + at.weights["biases"].astype(np.float64).reshape(1, channels, height, width), "logistic")


@layer("batchnorm")
def batchnorm(at: Layer, x: Array) -> Array:
    made = normalised(x, at.weights)
    biases = at.weights.get("biases")
    return made if biases is None else made + biases.astype(np.float64).reshape(1, -1, 1, 1)


@layer("implicit")
def implicit(at: Layer, x: Array | None = None) -> Array:
    return at.weights["weights"].astype(np.float64).reshape(1, *at.output)


# Pools, places


@layer("maxpool")
def maxpool(at: Layer, x: Array) -> Array:
    channels = at.output[0]
    options = at.options
    if options.int("maxpool_depth", 0):
        return np.stack([x[:, g::channels].max(axis=1) for g in range(channels)], axis=1)
    made = _pooled(at, x, float(-np.finfo(np.float32).max)).max(axis=(-2, -1))
    return _blurred(at, made, options.int("antialiasing", 0)) if options.int("antialiasing", 0) else np.asarray(made)


def _pooled(at: Layer, x: Array, fill: float) -> Array:
    """The windows of a pool; C divides -padding by 2 towards 0. Antialiasing pools at a stride of 1."""
    options = at.options
    _, height, width = at.output
    step = options.int("stride", 1)
    size = options.int("size", step)
    padding = options.int("padding", size - 1)
    steps = steps_of(at)
    if options.int("antialiasing", 0):
        steps, height, width = (1, 1), x.shape[2] + padding - size + 1, x.shape[3] + padding - size + 1
    return windows(x, size, (height, width), steps, (-(padding // 2), -(padding // 2)), fill)


@layer("local_avgpool")
def local_avgpool(at: Layer, x: Array) -> Array:
    read = _pooled(at, x, np.nan)
    return np.asarray(np.nanmean(read, axis=(-2, -1)))


@layer("avgpool")
def avgpool(at: Layer, x: Array) -> Array:
    return np.asarray(x.mean(axis=(2, 3), keepdims=True))


@layer("upsample")
def upsample(at: Layer, x: Array) -> Array:
    stride = at.options.int("stride", 2)
    if stride < 0:  # samples down: sums of blocks
        _, height, width = at.output
        blocks = x[:, :, : height * -stride, : width * -stride].reshape(*x.shape[:2], height, -stride, width, -stride)
        return np.asarray(at.options.float("scale", 1.0) * blocks.sum(axis=(3, 5)))
    return np.asarray(at.options.float("scale", 1.0) * x.repeat(stride, axis=2).repeat(stride, axis=3))


@layer("crop")
def crop(at: Layer, x: Array) -> Array:
    _, height, width = at.output
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    made = x[:, :, top : top + height, left : left + width]
    return made if at.options.int("noadjust", 0) else made * 2 - 1


@layer("reorg", "reorg3d")
def reorg(at: Layer, x: Array) -> Array:
    options = at.options
    stride = options.int("stride", 1)
    if options.int("extra", 0):
        raise unknown(at, "extra")
    if options.int("flatten", 0):
        channels, places = at.input[0], at.input[1] * at.input[2]
        shape = (places, channels) if options.int("reverse", 0) else (channels, places)
        return x.reshape(len(x), *shape).transpose(0, 2, 1).reshape(len(x), *at.output)
    channels, height, width = at.output if at.type == "reorg3d" else at.input
    return _moved(x, channels, height, width, stride, forward=bool(options.int("reverse", 0))).reshape(
        len(x), *at.output
    )


def _moved(x: Array, channels: int, height: int, width: int, stride: int, *, forward: bool) -> Array:
    """reorg_cpu over flat memory, as the C has it: (channels, height, width) are its out_c, out_h, out_w."""
    inner = channels // (stride * stride)
    k, j, i = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    place = i + width * (j + height * k)
    offset = k // inner
    other = (
        i * stride + offset % stride + width * stride * (j * stride + offset // stride + height * stride * (k % inner))
    )
    flat, made = x.reshape(len(x), -1), np.zeros((len(x), x[0].size))
    if forward:
        made[:, other.reshape(-1)] = flat[:, place.reshape(-1)]
    else:
        made[:, place.reshape(-1)] = flat[:, other.reshape(-1)]
    return made


# Joins


@layer("route", by_dialect=True)
def route(at: Layer, *sources: Array, dialect: str) -> Array:
    groups, mine = max(1, at.options.int("groups", 1)), at.options.int("group_id", 0)
    if dialect == PJREDDIE:
        groups, mine = 1, 0
    parts = []
    for x in sources:
        flat = x.reshape(len(x), -1)
        share = flat.shape[1] // groups
        parts.append(flat[:, share * mine : share * (mine + 1)])
    return np.concatenate(parts, axis=1).reshape(len(sources[0]), *at.output)


@layer("shortcut", by_dialect=True)
def shortcut(at: Layer, x: Array, *others: Array, dialect: str) -> Array:
    weights = at.weights.get("weights")
    if dialect == PJREDDIE:
        made = _sampled(at, x, others[0])
    elif weights is not None:
        made = _weighted(at, weights.astype(np.float64), x, others)
    else:
        flat = x.reshape(len(x), -1).copy()
        for other in others:  # flat memory, as far as both reach
            more = other.reshape(len(x), -1)
            reach = min(flat.shape[1], more.shape[1])
            flat[:, :reach] += more[:, :reach]
        made = flat.reshape(x.shape)
    return activated(at, made, "linear")


def _sampled(at: Layer, x: Array, other: Array) -> Array:
    """pjreddie's: the larger one is read with a stride, the smaller one written with it; the rest stays."""
    alpha, beta = at.options.float("alpha", 1.0), at.options.float("beta", 1.0)
    stride, sample = max(1, other.shape[3] // x.shape[3]), max(1, x.shape[3] // other.shape[3])
    shared = [min(a, b) for a, b in zip(x.shape[1:], other.shape[1:], strict=True)]
    made = x.copy()
    c, h, w = shared
    target = made[:, :c, : h * sample : sample, : w * sample : sample]
    target[...] = alpha * target + beta * other[:, :c, : h * stride : stride, : w * stride : stride]
    return made


def _weighted(at: Layer, weights: Array, x: Array, others: tuple[Array, ...]) -> Array:
    """A weight of each source, for all of it, a channel or an element; normalised by relu or softmax."""
    table = weights.reshape(len(others) + 1, -1)
    kind = at.options.str("weights_normalization", "none")
    if kind in ("relu", "avg_relu"):
        table = np.maximum(table, 0)
        table = table / (table.sum(axis=0) + 0.0001)
    elif kind == "softmax":
        e = np.exp(table - table.max(axis=0))
        table = e / (e.sum(axis=0) + 0.0001)
    flat = [each.reshape(len(x), -1) for each in (x, *others)]
    each = np.repeat(table, flat[0].shape[1] // table.shape[1], axis=1)
    made = flat[0] * each[0]
    for share, other in zip(each[1:], flat[1:], strict=True):
        reach = min(made.shape[1], other.shape[1])
        made[:, :reach] += other[:, :reach] * share[:reach]
    return np.asarray(made.reshape(x.shape))


@layer("scale_channels")
def scale_channels(at: Layer, x: Array, other: Array) -> Array:
    factor = x.reshape(len(x), 1, *other.shape[2:]) if at.options.int("scale_wh", 0) else x.reshape(len(x), -1, 1, 1)
    return activated(at, factor * other, "linear")


@layer("sam")
def sam(at: Layer, x: Array, other: Array) -> Array:
    return activated(at, x * other, "linear")


@layer("dropout", "cost", "empty", "contrastive")
def same(at: Layer, x: Array) -> Array:
    return x


@layer("activation")
def activation(at: Layer, x: Array) -> Array:
    return activated(at, x, "linear")


@layer("logistic")
def logistic_layer(at: Layer, x: Array) -> Array:
    return logistic(x)


@layer("l2norm")
def l2norm(at: Layer, x: Array) -> Array:
    return np.asarray(x / np.sqrt((x * x).sum(axis=1, keepdims=True)))


@layer("normalization")
def normalization(at: Layer, x: Array) -> Array:
    """The loop of the C: what leaves the window is subtracted from a sum that never held it at the front."""
    options = at.options
    size, alpha = options.int("size", 5), options.float("alpha", 0.0001)
    beta, kappa = options.float("beta", 0.75), options.float("kappa", 1.0)
    squares, norms = x * x, np.full_like(x, kappa)
    for k in range(size // 2):
        norms[:, 0] += alpha * squares[:, k]
    for k in range(1, x.shape[1]):
        norms[:, k] = norms[:, k - 1]
        before, behind = k - (size - 1) // 2 - 1, k + size // 2
        if before >= 0:
            norms[:, k] -= alpha * squares[:, before]
        if behind < x.shape[1]:
            norms[:, k] += alpha * squares[:, behind]
    return np.asarray(x * norms**-beta, np.float64)
