"""Convolution, transposed convolution and pooling: everything with a window that moves.

Rule 1: every function works on (N, C, spatial...); another layout is turned on the way in and out.
Rule 2: one image at a time, so that memory stays at one image's columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op


def channels_first(layout: str, rank: int) -> tuple[int, ...] | None:
    """The axes order that turns `layout` into N, C, spatial...; None when it is that already."""
    if layout in ("NCW", "NCHW", "NCDHW") or not layout:
        return None
    return (0, rank - 1, *range(1, rank - 1))


def channels_back(order: tuple[int, ...] | None, x: Array) -> Array:
    return x if order is None else np.transpose(x, np.argsort(order))


def spatial(node: Node, key: str, count: int, default: int) -> tuple[int, ...]:
    """kernel, stride, pad, dilate: `count` numbers, `default` each when absent; more than `count` do not count."""
    found = node.attrs.ints(key, ())
    return found[:count] or (default,) * count


def windows(x: Array, kernel: Sequence[int], stride: Sequence[int], dilate: Sequence[int]) -> Array:
    """(N, C, spatial...) -> (N, C, out..., kernel...), a view: no copy."""
    count = len(kernel)
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilate, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=tuple(range(2, 2 + count)))
    steps = tuple(slice(None, None, s) for s in stride)
    gaps = tuple(slice(None, None, d) for d in dilate)
    return view[(slice(None), slice(None), *steps, *gaps)]


def pad_spatial(x: Array, before: Sequence[int], after: Sequence[int], value: float) -> Array:
    pairs = [(0, 0), (0, 0), *((b, a) for b, a in zip(before, after, strict=True))]
    return np.pad(x, pairs, constant_values=value) if any(a or b for a, b in pairs) else x


@op("Convolution", "Convolution_v1", "_npx_convolution")
def convolution(node: Node, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Correlation with `weight` (O, I / num_group, kernel...), plus bias unless `no_bias`."""
    order = channels_first(node.attrs.str("layout", ""), x.ndim)
    if order is not None:
        x, weight = np.transpose(x, order), np.transpose(weight, order)
    kernel = node.attrs.ints("kernel", None)
    count = len(kernel)
    pad = spatial(node, "pad", count, 0)
    view = windows(
        pad_spatial(x, pad, pad, 0.0), kernel, spatial(node, "stride", count, 1), spatial(node, "dilate", count, 1)
    )
    out = correlate(view, weight, node.attrs.int("num_group", 1))
    if bias is not None and not node.attrs.bool("no_bias"):
        out = out + bias.reshape(1, -1, *(1,) * count)
    return channels_back(order, out)


def correlate(view: Array, weight: Array, groups: int) -> Array:
    """Windows (N, C, out..., kernel...) with weights (O, C / groups, kernel...) -> (N, O, out...)."""
    count = weight.ndim - 2
    batch, channels, out = view.shape[0], view.shape[1], view.shape[2 : 2 + count]
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1)
    result = np.empty((batch, weight.shape[0], *out))
    back = tuple(range(1 + count, 1 + 2 * count))
    for i in range(batch):
        columns = view[i].transpose(0, *back, *range(1, 1 + count))
        columns = columns.reshape(groups, channels // groups * math.prod(weight.shape[2:]), -1)
        result[i] = np.matmul(matrix, columns).reshape(weight.shape[0], *out)
    return result


def scatter(columns: Array, full: Sequence[int], stride: Sequence[int], dilate: Sequence[int]) -> Array:
    """Columns (C, kernel..., out...) added where they came from -> (C, full...)."""
    count = len(full)
    kernel, size = columns.shape[1 : 1 + count], columns.shape[1 + count :]
    result = np.zeros((columns.shape[0], *full))
    for tap in np.ndindex(*kernel):
        places = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilate, size, stride, strict=True)
        )
        result[(slice(None), *places)] += columns[(slice(None), *tap)]
    return result


@op("Deconvolution", "_npx_deconvolution")
def deconvolution(node: Node, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """The transpose of a convolution."""
    return transposed(node, x, weight, bias)


def transposed(node: Node, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """The transpose of a convolution: weight (I, O / num_group, kernel...); no bias unless `no_bias=False`.

    With `target_shape` the given pad and adj do not count: total = s (H - 1) + Ke - target, one more before
    than after when it is odd, and adj = total % 2.
    """
    order = channels_first(node.attrs.str("layout", ""), x.ndim)
    if order is not None:
        x, weight = np.transpose(x, order), np.transpose(weight, order)
    kernel, groups = node.attrs.ints("kernel", None), node.attrs.int("num_group", 1)
    count = len(kernel)
    stride, dilate = spatial(node, "stride", count, 1), spatial(node, "dilate", count, 1)
    pad, adj = spatial(node, "pad", count, 0), spatial(node, "adj", count, 0)
    size = x.shape[2:]
    full = [s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in zip(stride, size, dilate, kernel, strict=True)]
    target = node.attrs.ints("target_shape", ())
    if any(target):
        total = [f - t for f, t in zip(full, target, strict=True)]
        adj, pad = tuple(t % 2 for t in total), tuple((t + 1) // 2 for t in total)
    filters = weight.shape[1] * groups
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1).transpose(0, 2, 1)
    out = [f - 2 * p + a for f, p, a in zip(full, pad, adj, strict=True)]
    result = np.zeros((x.shape[0], filters, *out))
    for i in range(x.shape[0]):
        columns = np.matmul(matrix, x[i].reshape(groups, x.shape[1] // groups, -1))
        whole = scatter(columns.reshape(filters, *kernel, *size), full, stride, dilate)
        # with adj > pad the output reaches past the last tap: zeros there
        whole = np.pad(whole, [(0, 0), *((0, a) for a in adj)])
        result[i] = whole[(slice(None), *(slice(p, p + o) for p, o in zip(pad, out, strict=True)))]
    if bias is not None and not node.attrs.bool("no_bias", True):
        result = result + bias.reshape(1, -1, *(1,) * count)
    return channels_back(order, result)


def pooled_size(convention: str, size: int, kernel: int, pad: int, stride: int) -> int:
    """Out of one axis: valid rounds down, full rounds up and clips nothing, same ignores the kernel."""
    if convention == "same":
        return math.ceil((size + 2 * pad) / stride)
    room = size + 2 * pad - kernel
    return 1 + (math.ceil(room / stride) if convention == "full" else room // stride)


def _divisor(size: int, out: int, kernel: int, pad: int, stride: int, count_pad: bool) -> Array:
    """How many places count for an average, by output place: padding does (or not), overhang never."""
    start = np.arange(out) * stride - pad
    end = np.minimum(start + kernel, size + pad)
    if not count_pad:
        start, end = np.maximum(start, 0), np.minimum(end, size)
    return np.maximum(end - start, 0).astype(np.float64)


def _over(axes: int, parts: Sequence[Array]) -> Array:
    """The outer product of one vector an axis."""
    result = np.ones((1,) * axes)
    for i, part in enumerate(parts):
        result = result * part.reshape(*(-1 if j == i else 1 for j in range(axes)))
    return result


@op("Pooling", "_npx_pooling")
def pooling(node: Node, x: Array) -> Array:
    """max, avg, sum or lp over windows."""
    return pooled(node, x)


def pooled(node: Node, x: Array) -> Array:
    """max, avg, sum or lp over windows; `global_pool` ignores kernel, stride and pad."""
    order = channels_first(node.attrs.str("layout", ""), x.ndim)
    if order is not None:
        x = np.transpose(x, order)
    size, count = x.shape[2:], x.ndim - 2
    convention = node.attrs.str("pooling_convention", "valid")
    if node.attrs.bool("global_pool"):
        kernel, stride, pad, convention = tuple(size), (1,) * count, (0,) * count, "valid"
    else:
        kernel = node.attrs.ints("kernel", None)
        stride, pad = spatial(node, "stride", count, 1), spatial(node, "pad", count, 0)
    out = [pooled_size(convention, n, k, p, s) for n, k, p, s in zip(size, kernel, pad, stride, strict=True)]
    after = [max((o - 1) * s + k - p - n, 0) for o, s, k, p, n in zip(out, stride, kernel, pad, size, strict=True)]
    pool = node.attrs.str("pool_type", "max")
    padded = pad_spatial(x, pad, after, node.lowest if pool == "max" else 0)
    view = windows(padded, kernel, stride, (1,) * count)
    view = view[(slice(None), slice(None), *(slice(o) for o in out))]
    axes = tuple(range(-count, 0))
    if pool == "max":
        result = view.max(axis=axes)
    elif pool in ("avg", "sum"):
        result = view.sum(axis=axes)
        if pool == "avg":
            counted = node.attrs.bool("count_include_pad", True)
            sides = zip(size, out, kernel, pad, stride, strict=True)
            divisor = _over(count, [_divisor(*side, counted) for side in sides])
            result = np.where(divisor > 0, result / np.maximum(divisor, 1), 0.0)
    elif pool == "lp":
        result = _lp(node, view, axes)
    else:
        raise node.unsupported(f"pool_type {pool!r}")
    return channels_back(order, result)


@op("Pooling_v1")
def pooling_v1(node: Node, x: Array) -> Array:
    """The oldest pooling: its padding is zeros for a maximum too, and an average always divides by the kernel."""
    size, count = x.shape[2:], x.ndim - 2
    if node.attrs.bool("global_pool"):
        kernel, stride, pad = tuple(size), (1,) * count, (0,) * count
    else:
        kernel, stride = node.attrs.ints("kernel", None), spatial(node, "stride", count, 1)
        pad = spatial(node, "pad", count, 0)
    convention = node.attrs.str("pooling_convention", "valid")
    sides = list(zip(size, kernel, pad, stride, strict=True))
    out = [pooled_size(convention, *side) for side in sides]
    beyond = [max((o - 1) * s + k - 2 * p - n, 0) for o, (n, k, p, s) in zip(out, sides, strict=True)]
    kind, none = node.attrs.str("pool_type", "max"), (0,) * count
    padded = pad_spatial(pad_spatial(x, pad, pad, 0.0), none, beyond, node.lowest if kind == "max" else 0.0)
    view = windows(padded, kernel, stride, (1,) * count)[(slice(None), slice(None), *(slice(o) for o in out))]
    axes = tuple(range(-count, 0))
    if kind == "max":
        return np.asarray(view.max(axis=axes))
    total = view.sum(axis=axes)
    return np.asarray(total / math.prod(kernel) if kind == "avg" else total)


def _lp(node: Node, view: Array, axes: tuple[int, ...]) -> Array:
    p = node.attrs.int("p_value")
    if p not in (1, 2, 3):
        raise node.unsupported(f"p_value {p}: MXNet knows 1, 2 and 3")
    total = (view**p).sum(axis=axes)
    return np.asarray(total if p == 1 else np.sqrt(total) if p == 2 else np.cbrt(total))


@op("_contrib_AdaptiveAvgPooling2D")
def adaptive_average(node: Node, x: Array) -> Array:
    """To `output_size` (1x1 when absent): cell i averages rows floor(i H / h) to ceil((i + 1) H / h)."""
    size = node.attrs.ints("output_size", ()) or (1,)
    rows, columns = (size[0], size[0]) if len(size) == 1 else (size[0], size[1])
    height, width = x.shape[2:]
    result = np.empty((*x.shape[:2], rows, columns))
    for i in range(rows):
        top, bottom = i * height // rows, -(-(i + 1) * height // rows)
        for j in range(columns):
            left, right = j * width // columns, -(-(j + 1) * width // columns)
            result[:, :, i, j] = x[:, :, top:bottom, left:right].mean(axis=(2, 3))
    return result


@op("im2col")
def im2col(node: Node, x: Array) -> Array:
    """(N, C, spatial...) -> (N, C * prod(kernel), prod(out))."""
    kernel = node.attrs.ints("kernel", None)
    count = len(kernel)
    pad = spatial(node, "pad", count, 0)
    padded = pad_spatial(x, pad, pad, 0)
    view = windows(padded, kernel, spatial(node, "stride", count, 1), spatial(node, "dilate", count, 1))
    order = (0, 1, *range(2 + count, 2 + 2 * count), *range(2, 2 + count))
    return view.transpose(order).reshape(x.shape[0], x.shape[1] * math.prod(kernel), -1)


@op("col2im")
def col2im(node: Node, columns: Array) -> Array:
    """The transpose of im2col: overlapping places add up; to `output_size`."""
    kernel, size = node.attrs.ints("kernel", None), node.attrs.ints("output_size", None)
    count = len(kernel)
    stride, dilate = spatial(node, "stride", count, 1), spatial(node, "dilate", count, 1)
    pad = spatial(node, "pad", count, 0)
    full = [n + 2 * p for n, p in zip(size, pad, strict=True)]
    out = [(f - d * (k - 1) - 1) // s + 1 for f, d, k, s in zip(full, dilate, kernel, stride, strict=True)]
    channels = columns.shape[1] // math.prod(kernel)
    inside = (slice(None), *(slice(p, p + n) for p, n in zip(pad, size, strict=True)))
    return np.stack([scatter(c.reshape(channels, *kernel, *out), full, stride, dilate)[inside] for c in columns])
