"""Growing and shrinking of images, and the image operators of data pipelines."""

from __future__ import annotations

import math

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Attrs, Node, op
from gateway.formats.mxnet.interpreter.windows import transposed


@op("UpSampling")
def upsampling(node: Node, *xs: Array) -> Array:
    """nearest: every input to inputs[0].H * scale, joined on C or added; bilinear: a Deconvolution by its weight."""
    scale, kind = node.attrs.int("scale"), node.attrs.str("sample_type")
    if kind == "bilinear":
        kernel, pad, filters = 2 * scale - scale % 2, math.ceil((scale - 1) / 2), node.attrs.int("num_filter", 0)
        attrs = {
            "kernel": f"({kernel}, {kernel})", "stride": f"({scale}, {scale})", "pad": f"({pad}, {pad})",
            "num_filter": str(filters), "num_group": str(filters), "no_bias": "True",
        }  # fmt: skip
        return transposed(Node("Deconvolution", node.name, Attrs(node.name, node.op, attrs), node.dtypes), *xs)
    if kind != "nearest":
        raise node.unsupported(f"sample_type {kind!r}")
    height = xs[0].shape[2] * scale
    grown = [np.repeat(np.repeat(x, height // x.shape[2], axis=2), height // x.shape[2], axis=3) for x in xs]
    if node.attrs.str("multi_input_mode", "concat") == "sum":
        return sum(grown[1:], grown[0])
    return np.concatenate(grown, axis=1)


def _target(node: Node, x: Array, like: Array | None) -> tuple[int, int]:
    size, mode = x.shape[2:], node.attrs.str("mode", "size")
    if mode == "like" and like is not None:
        return like.shape[2], like.shape[3]
    scales = [node.attrs.optional_float(f"scale_{side}") for side in ("height", "width")]
    if mode == "size":
        given = [node.attrs.int("height", 1), node.attrs.int("width", 1)]
        rows, columns = (int(s * n) if s is not None else g for s, n, g in zip(scales, size, given, strict=True))
    elif mode == "odd_scale":
        sides = zip(size, (scale or 1.0 for scale in scales), strict=True)
        rows, columns = (int(n * s) if n % 2 == 0 else int((n - 1) * s) + 1 for n, s in sides)
    elif mode in ("to_even_down", "to_even_up", "to_odd_down", "to_odd_up"):
        rest, step = (0 if "even" in mode else 1), (-1 if "down" in mode else 1)
        rows, columns = (n if n % 2 == rest else n + step for n in size)
    else:
        raise node.unsupported(f"mode {mode!r}")
    return rows, columns


def _mixing(size: int, out: int, corners: bool) -> Array:
    """(out, size) weights along one axis: corners on corners, or centres of pixels."""
    if corners:
        at = np.arange(out) * ((size - 1) / (out - 1) if out > 1 else 0.0)
    else:
        at = np.maximum((np.arange(out) + 0.5) * (size / out) - 0.5, 0.0)
    low = np.minimum(np.floor(at).astype(np.int64), size - 1)
    high, part = np.minimum(low + 1, size - 1), at - low
    weights = np.zeros((out, size))
    np.add.at(weights, (np.arange(out), low), 1 - part)
    np.add.at(weights, (np.arange(out), high), part)
    return weights


@op("_contrib_BilinearResize2D")
def bilinear_resize(node: Node, x: Array, like: Array | None = None) -> Array:
    """To height x width (or by the other modes), corners aligned unless `align_corners=False`."""
    rows, columns = _target(node, x, like)
    corners = node.attrs.bool("align_corners", True)
    return _mixing(x.shape[2], rows, corners) @ x @ _mixing(x.shape[3], columns, corners).T


@op("_image_to_tensor", "_npx__image_to_tensor", dtype="float32")
def to_tensor(node: Node, x: Array) -> Array:
    """(H, W, C) in 0..255 -> (C, H, W) in 0..1, or with a batch axis."""
    return np.moveaxis(np.asarray(x, dtype=np.float64), -1, -3) / 255.0


@op("_image_normalize", "_npx__image_normalize")
def normalize(node: Node, x: Array) -> Array:
    """(x - mean) / std by channel of (C, H, W)."""
    mean: Array = np.array(node.attrs.floats("mean", (0.0,)))
    std: Array = np.array(node.attrs.floats("std", (1.0,)))
    return np.asarray((x - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1))


@op("_image_crop", "_npx__image_crop")
def image_crop(node: Node, x: Array) -> Array:
    """(H, W, C) cut to `height` x `width` at (x, y)."""
    left, top = node.attrs.int("x"), node.attrs.int("y")
    return x[..., top : top + node.attrs.int("height"), left : left + node.attrs.int("width"), :]


@op("_image_flip_left_right", "_npx__image_flip_left_right")
def flip_left_right(node: Node, x: Array) -> Array:
    """(H, W, C) mirrored."""
    return np.flip(x, -2)


@op("_image_flip_top_bottom", "_npx__image_flip_top_bottom")
def flip_top_bottom(node: Node, x: Array) -> Array:
    """(H, W, C) upside down."""
    return np.flip(x, -3)
