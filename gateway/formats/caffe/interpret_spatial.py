"""Caffe's layers with windows, in float64: convolutions of any dimension, pooling, LRN, SPP, im2col."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.caffe.interpret_layers import Function, blob
from gateway.formats.caffe.message import Message
from gateway.formats.caffe.net import Layer

DEPTHWISE = ("ConvolutionDepthwise", "DepthwiseConvolution")
"""Types of forks that are convolutions with a group for each channel."""


def _each(param: Message, name: str, count: int, default: int, single: tuple[str, str] = ("", "")) -> list[int]:
    """A value for each spatial axis: NAME_h and NAME_w, one for all, one each, or the default."""
    if single[0] and (single[0] in param or single[1] in param):
        return [param.last(single[0], default), param.last(single[1], default)]
    given = param.all(name)
    if not given:
        return [default] * count
    return list(given) * count if len(given) == 1 else list(given)


def _windows(layer: Layer, count: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """(kernel, stride, pad, dilation) of a convolution_param."""
    param = layer.param("convolution_param")
    return (
        _each(param, "kernel_size", count, 1, ("kernel_h", "kernel_w")),
        _each(param, "stride", count, 1, ("stride_h", "stride_w")),
        _each(param, "pad", count, 0, ("pad_h", "pad_w")),
        _each(param, "dilation", count, 1),
    )


def _padded(x: Array, pad: Sequence[int], value: float = 0.0) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)], constant_values=value)


def _views(
    x: Array, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """(place in the kernel, the values that it meets at every window) of a padded input."""
    sizes = [
        (side - d * (k - 1) - 1) // s + 1 for side, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    for place in itertools.product(*map(range, kernel)):
        cut = [
            slice(at * d, at * d + (size - 1) * s + 1, s)
            for at, d, size, s in zip(place, dilation, sizes, stride, strict=True)
        ]
        yield place, x[(slice(None), slice(None), *cut)]


def _at(weights: Array, place: tuple[int, ...]) -> Array:
    """(out, in) or (in, out) of one place of the kernel."""
    for index in reversed(place):
        weights = weights[..., index]
    return weights


def _check_axis(layer: Layer, x: Array) -> None:
    if layer.param("convolution_param").last("axis", 1) not in (1, 1 - x.ndim):
        raise ConversionError(f"Caffe layer {layer.name!r} ({layer.type}): only channels on axis 1 are computed.")


def _convolution(layer: Layer, bottoms: Sequence[Array]) -> Array | list[Array]:
    made = [_convolve(layer, x) for x in bottoms]
    return made if len(made) > 1 else made[0]


def _convolve(layer: Layer, x: Array) -> Array:
    param = layer.param("convolution_param")
    _check_axis(layer, x)
    count, groups = param.last("num_output"), param.last("group", 1)
    groups = x.shape[1] if layer.type in DEPTHWISE else groups
    kernel, stride, pad, dilation = _windows(layer, x.ndim - 2)
    weights = blob(layer, 0).reshape(count, x.shape[1] // groups, *kernel)
    padded = _padded(x, pad)
    parts = []
    for group in range(groups):
        size_in, size_out = x.shape[1] // groups, count // groups
        mine = weights[group * size_out : (group + 1) * size_out]
        channels = padded[:, group * size_in : (group + 1) * size_in]
        total: Array | float = 0.0
        for place, view in _views(channels, kernel, stride, dilation):
            total = total + np.einsum("oc,nc...->no...", _at(mine, place), view)
        parts.append(np.asarray(total))
    return _with_bias(layer, np.concatenate(parts, 1))


def _with_bias(layer: Layer, x: Array) -> Array:
    if not layer.param("convolution_param").last("bias_term", True):
        return x
    return x + blob(layer, 1).reshape(1, -1, *(1,) * (x.ndim - 2))


def _deconvolution(layer: Layer, bottoms: Sequence[Array]) -> Array | list[Array]:
    made = [_deconvolve(layer, x) for x in bottoms]
    return made if len(made) > 1 else made[0]


def _deconvolve(layer: Layer, x: Array) -> Array:
    param = layer.param("convolution_param")
    _check_axis(layer, x)
    count, groups = param.last("num_output"), param.last("group", 1)
    kernel, stride, pad, dilation = _windows(layer, x.ndim - 2)
    weights = blob(layer, 0).reshape(x.shape[1], count // groups, *kernel)
    whole = [
        s * (side - 1) + d * (k - 1) + 1 for side, s, k, d in zip(x.shape[2:], stride, kernel, dilation, strict=True)
    ]
    made = np.zeros((x.shape[0], count, *whole))
    size_in, size_out = x.shape[1] // groups, count // groups
    for group in range(groups):
        channels = slice(group * size_in, (group + 1) * size_in)
        target = made[:, group * size_out : (group + 1) * size_out]
        for place, view in _views(target, kernel, stride, dilation):
            view += np.einsum("co,nc...->no...", _at(weights[channels], place), x[:, channels])
    cut = [slice(p, side - p) for p, side in zip(pad, whole, strict=True)]
    return _with_bias(layer, made[(slice(None), slice(None), *cut)])


def _im2col(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x = bottoms[0]
    kernel, stride, pad, dilation = _windows(layer, x.ndim - 2)
    views = [view for _, view in _views(_padded(x, pad), kernel, stride, dilation)]
    made = np.stack(views, 2)  # (N, C, places of the kernel, ...)
    return made.reshape(made.shape[0], -1, *made.shape[3:])


def _pooling(layer: Layer, bottoms: Sequence[Array]) -> Array | list[Array]:
    x, param = bottoms[0], layer.param("pooling_param")
    kind = param.last("pool", "MAX")
    if param.last("global_pooling", False):
        kernel, stride, pad = list(x.shape[2:]), [1, 1], [0, 0]
    else:
        kernel = _each(param, "kernel_size", 2, 1, ("kernel_h", "kernel_w"))
        stride = _each(param, "stride", 2, 1, ("stride_h", "stride_w"))
        pad = _each(param, "pad", 2, 0, ("pad_h", "pad_w"))
    up = param.last("round_mode", "CEIL") == "CEIL"
    if "ceil_mode" in param:  # a fork's
        up = bool(param.last("ceil_mode"))
    made, mask = pooled(layer, x, kind, kernel, stride, pad, up)
    return [made, mask] if len(layer.tops) > 1 else made


def pooled(
    layer: Layer, x: Array, kind: str, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], up: bool
) -> tuple[Array, Array]:
    """(values, places of the largest) window by window, as pooling_layer.cpp has it."""
    if kind not in ("MAX", "AVE"):
        raise ConversionError(f"Caffe layer {layer.name!r} ({layer.type}): {kind} pooling is not computed.")
    sides = x.shape[2:]
    counts = []
    for side, k, s, p in zip(sides, kernel, stride, pad, strict=True):
        count = (math.ceil if up else math.floor)((side + 2 * p - k) / s) + 1
        if any(pad) and (count - 1) * s >= side + p:
            count -= 1
        counts.append(count)
    made = np.empty((*x.shape[:2], *counts))
    mask = np.full(made.shape, -1.0)
    for row, column in np.ndindex(*counts):
        starts = [at * s - p for at, s, p in zip((row, column), stride, pad, strict=True)]
        ends = [min(start + k, side + p) for start, k, side, p in zip(starts, kernel, sides, pad, strict=True)]
        area = math.prod(end - start for start, end in zip(starts, ends, strict=True))
        low = [max(start, 0) for start in starts]
        high = [min(end, side) for end, side in zip(ends, sides, strict=True)]
        window = x[:, :, low[0] : high[0], low[1] : high[1]]
        if kind == "AVE":
            made[:, :, row, column] = window.sum((2, 3)) / area
            continue
        if window.size == 0:
            made[:, :, row, column] = -np.finfo(np.float32).max
            continue
        flat = window.reshape(*window.shape[:2], -1)
        best = flat.argmax(-1)
        made[:, :, row, column] = flat.max(-1)
        wide = window.shape[3]
        mask[:, :, row, column] = (low[0] + best // wide) * sides[1] + low[1] + best % wide
    return made, mask


def _lrn(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("lrn_param")
    size, alpha, beta = param.last("local_size", 5), param.last("alpha", 1.0), param.last("beta", 0.75)
    if param.last("norm_region", "ACROSS_CHANNELS") == "WITHIN_CHANNEL":
        pad = (size - 1) // 2
        mean, _ = pooled(layer, x**2, "AVE", [size] * 2, [1, 1], [pad] * 2, up=True)
        return np.asarray(x * (1.0 + alpha * mean) ** -beta)
    before = (size - 1) // 2
    squares = np.pad(x**2, [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)])
    total = sum(squares[:, place : place + x.shape[1]] for place in range(size))
    return np.asarray(x * (param.last("k", 1.0) + alpha / size * total) ** -beta)


def _spp(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("spp_param")
    height = param.last("pyramid_height")
    parts = []
    for level in range(height):
        bins = 2**level
        kernel = [math.ceil(side / bins) for side in x.shape[2:]]
        pad = [(k * bins - side + 1) // 2 for k, side in zip(kernel, x.shape[2:], strict=True)]
        made, _ = pooled(layer, x, param.last("pool", "MAX"), kernel, kernel, pad, up=True)
        parts.append(made)
    if height == 1:
        return parts[0]
    return np.concatenate([part.reshape(part.shape[0], -1) for part in parts], 1)


SPATIAL: Mapping[str, Function] = {
    "Convolution": _convolution,
    **dict.fromkeys(DEPTHWISE, _convolution),
    "Deconvolution": _deconvolution,
    "Im2col": _im2col,
    "Pooling": _pooling,
    "LRN": _lrn,
    "SPP": _spp,
}
