"""Sampling between pixels: grids, spatial transformers, deformable convolution; and correlation of two images."""

from __future__ import annotations

import math

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op
from gateway.formats.mxnet.interpreter.windows import pad_spatial, spatial


def sample(plane: Array, y: Array, x: Array) -> Array:
    """(C, H, W) at places (...) -> (C, ...); what lies outside the image is 0."""
    height, width = plane.shape[1:]
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    fy, fx = y - top, x - left
    out = np.zeros((plane.shape[0], *y.shape))
    for dy, dx, weight in ((0, 0, (1 - fy) * (1 - fx)), (0, 1, (1 - fy) * fx), (1, 0, fy * (1 - fx)), (1, 1, fy * fx)):
        row, column = top + dy, left + dx
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        pixel = plane[:, np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        out += np.where(inside, pixel * weight, 0.0)
    return out


def _by_grid(x: Array, grid: Array) -> Array:
    """grid (N, 2, h, w) of x and y in -1..1, the corners of the image."""
    height, width = x.shape[2:]
    places = ((grid[:, 1] + 1) * (height - 1) / 2, (grid[:, 0] + 1) * (width - 1) / 2)
    return np.stack([sample(plane, y, at) for plane, y, at in zip(x, *places, strict=True)])


def _affine(theta: Array, size: tuple[int, ...]) -> Array:
    """theta (N, 6) -> (N, 2, h, w): where each place of the target lies in the source."""
    rows, columns = size
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    places = np.stack([x.ravel(), y.ravel(), np.ones(rows * columns)])
    return (theta.reshape(-1, 2, 3) @ places).reshape(-1, 2, rows, columns)


@op("BilinearSampler")
def bilinear_sampler(node: Node, x: Array, grid: Array) -> Array:
    """x at the places of `grid`."""
    return _by_grid(x, grid)


@op("GridGenerator")
def grid_generator(node: Node, x: Array) -> Array:
    """affine: a grid from (N, 6); warp: a grid from a flow (N, 2, H, W) in pixels."""
    kind = node.attrs.str("transform_type")
    if kind == "affine":
        return _affine(x, node.attrs.ints("target_shape", (0, 0)))
    if kind != "warp":
        raise node.unsupported(f"transform_type {kind!r}")
    height, width = x.shape[2:]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    half = np.array([(width - 1) / 2, (height - 1) / 2]).reshape(1, 2, 1, 1)
    return np.asarray((x + np.stack([columns, rows])) / half - 1)


@op("SpatialTransformer")
def spatial_transformer(node: Node, x: Array, theta: Array) -> Array:
    """x sampled by the affine grid of `theta` in `target_shape`."""
    return _by_grid(x, _affine(theta, node.attrs.ints("target_shape", (0, 0))))


def _held(plane: Array, y: Array, x: Array) -> Array:
    """As `sample`, but 0 only where the place itself is outside: past the last centre the edge holds."""
    height, width = plane.shape[1:]
    inside = (y >= 0) & (x >= 0) & (y < height) & (x < width)
    held = sample(plane, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1))
    return np.where(inside, held, 0.0)


def _deformed(node: Node, x: Array, offset: Array, mask: Array | None, weight: Array) -> Array:
    """Without a mask the edge holds past the last centre; with one, what lies outside counts as 0."""
    kernel = node.attrs.ints("kernel", None)
    stride, dilate, pad = spatial(node, "stride", 2, 1), spatial(node, "dilate", 2, 1), spatial(node, "pad", 2, 0)
    groups, shared = node.attrs.int("num_group", 1), node.attrs.int("num_deformable_group", 1)
    batch, channels = x.shape[:2]
    rows, columns = offset.shape[2:]
    taps = kernel[0] * kernel[1]
    base_y = (np.arange(rows) * stride[0] - pad[0])[:, None]
    base_x = (np.arange(columns) * stride[1] - pad[1])[None, :]
    out = np.empty((batch, weight.shape[0], rows, columns))
    for n in range(batch):
        moves = offset[n].reshape(shared, taps, 2, rows, columns)
        seen = np.empty((channels, taps, rows, columns))
        for group, tap in np.ndindex(shared, taps):
            part = slice(group * channels // shared, (group + 1) * channels // shared)
            y = base_y + tap // kernel[1] * dilate[0] + moves[group, tap, 0]
            at = base_x + tap % kernel[1] * dilate[1] + moves[group, tap, 1]
            if mask is None:
                seen[part, tap] = _held(x[n, part], y, at)
            else:
                weighed = mask[n].reshape(shared, taps, rows, columns)[group, tap]
                seen[part, tap] = sample(x[n, part], y, at) * weighed
        matrix = weight.reshape(groups, weight.shape[0] // groups, -1)
        out[n] = (matrix @ seen.reshape(groups, channels // groups * taps, -1)).reshape(-1, rows, columns)
    return out


@op("_contrib_DeformableConvolution")
def deformable_convolution(node: Node, x: Array, offset: Array, weight: Array, bias: Array | None = None) -> Array:
    """A convolution whose every tap is moved by `offset` (y, x) and read between pixels."""
    out = _deformed(node, x, offset, None, weight)
    return out if bias is None or node.attrs.bool("no_bias") else out + bias.reshape(1, -1, 1, 1)


@op("_contrib_ModulatedDeformableConvolution")
def modulated_convolution(
    node: Node, x: Array, offset: Array, mask: Array, weight: Array, bias: Array | None = None
) -> Array:
    """As DeformableConvolution, every tap weighed by `mask`."""
    out = _deformed(node, x, offset, mask, weight)
    return out if bias is None or node.attrs.bool("no_bias") else out + bias.reshape(1, -1, 1, 1)


@op("Correlation")
def correlation(node: Node, a: Array, b: Array) -> Array:
    """Patches of a with patches of b moved by up to `max_displacement`: mean product, or mean distance."""
    kernel, reach = node.attrs.int("kernel_size", 1), node.attrs.int("max_displacement", 1)
    step, move = node.attrs.int("stride1", 1), node.attrs.int("stride2", 1)
    pad = (node.attrs.int("pad_size", 0),) * 2
    a, b = pad_spatial(a, pad, pad, 0.0), pad_spatial(b, pad, pad, 0.0)
    border = reach + (kernel - 1) // 2
    rows, columns = (math.ceil((n - 2 * border) / step) for n in a.shape[2:])
    radius, width = reach // move, 2 * (reach // move) + 1
    out = np.zeros((a.shape[0], width * width, rows, columns))
    for channel, h, w in np.ndindex(width * width, kernel, kernel):
        dy, dx = (channel // width - radius) * move, (channel % width - radius) * move

        def patch(x: Array, y0: int, x0: int) -> Array:
            return x[:, :, y0 : y0 + (rows - 1) * step + 1 : step, x0 : x0 + (columns - 1) * step + 1 : step]

        one, other = patch(a, reach + h, reach + w), patch(b, reach + dy + h, reach + dx + w)
        both = one * other if node.attrs.bool("is_multiply", True) else np.abs(one - other)
        out[:, channel] += both.sum(axis=1)
    return np.asarray(out / (kernel * kernel * a.shape[1]))
