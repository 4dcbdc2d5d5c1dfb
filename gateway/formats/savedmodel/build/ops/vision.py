"""Sampling at computed places, boxes, and patches put together: channels last inside."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.ops.shape import integers
from gateway.formats.savedmodel.build.values import Value, channels_last
from gateway.graph.registry import op

CUBIC = -0.75


def _reflected(x: Any, low: Any, high: Any) -> Any:
    """Folded back at both ends until inside."""
    span = high - low
    x = tf.math.floormod(tf.abs(x - low), 2 * span)
    return low + tf.where(x > span, 2 * span - x, x)


class Grid:
    """Places in a picture (N, spatial..., C), a float tensor an axis, and what is found there."""

    def __init__(self, picture: Any, padding: str, aligned: bool) -> None:
        self.picture, self.padding = picture, padding
        self.spatial = len(picture.shape) - 2
        self.sizes = [tf.cast(tf.shape(picture)[axis + 1], tf.float32) for axis in range(self.spatial)]
        self.low = 0.0 if aligned else -0.5
        self.edge = 1.0 if aligned else 0.5

    def pulled(self, at: Any, axis: int) -> Any:
        """A coordinate outside, as the padding wants it, before anything is interpolated."""
        high = self.sizes[axis] - self.edge
        outside = (at < self.low) | (at > high)
        if self.padding == "border":
            return tf.where(outside, tf.clip_by_value(at, 0, self.sizes[axis] - 1), at)
        if self.padding == "reflection":
            return tf.where(outside, _reflected(at, self.low, high), at)
        return at

    def pixels(self, places: Sequence[Any]) -> Any:
        """Values at whole coordinates, each (N, ...); (N, ..., C)."""
        inside = None
        whole = []
        for axis, at in enumerate(places):
            size = self.sizes[axis]
            if self.padding == "zeros":
                there = (at >= 0) & (at <= size - 1)
                inside = there if inside is None else inside & there
            elif self.padding == "reflection":
                at = _reflected(at, self.low, size - self.edge)
            whole.append(tf.cast(tf.clip_by_value(at, 0, size - 1), tf.int32))
        found = tf.gather_nd(self.picture, tf.stack(whole, -1), batch_dims=1)
        return found if inside is None else found * tf.cast(inside[..., None], found.dtype)

    def sampled(self, places: Sequence[Any], mode: str) -> Any:
        """nearest, linear or cubic."""
        if mode == "nearest":
            return self.pixels([self.pulled(tf.round(at), axis) for axis, at in enumerate(places)])
        pulled = [self.pulled(at, axis) for axis, at in enumerate(places)]
        floors = [tf.floor(at) for at in pulled]
        shares = [at - floor for at, floor in zip(pulled, floors)]
        taps = (0, 1) if mode == "linear" else (-1, 0, 1, 2)
        weigh = _linear if mode == "linear" else _cubic
        total = None
        for tap in itertools.product(taps, repeat=self.spatial):
            weight: Any = 1.0
            for axis, step in enumerate(tap):
                weight = weight * weigh(shares[axis] - step)
            piece = self.pixels([floor + step for floor, step in zip(floors, tap)])
            piece = piece * tf.cast(weight[..., None], piece.dtype)
            total = piece if total is None else total + piece
        return total


def _linear(distance: Any) -> Any:
    return tf.maximum(1 - tf.abs(distance), 0)


def _cubic(distance: Any) -> Any:
    d = tf.abs(distance)
    near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
    far = ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC
    return tf.where(d <= 1, near, far)


@op(TARGET, "GridSample")
def grid_sample(build: Builder, node: Node, x: Value, grid: Value) -> Any:
    """The picture at the grid's places, which run from -1 to 1; the grid names the last axis first."""
    aligned = bool(node.get("align_corners", 0))
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(node.get("mode", "linear"), node.get("mode", "linear"))
    picture = Grid(x.last, node.get("padding_mode", "zeros"), aligned)
    where = tf.cast(grid.tensor, tf.float32)
    places = []
    for axis in range(picture.spatial):
        n, size = where[..., picture.spatial - 1 - axis], picture.sizes[axis]
        places.append((n + 1) / 2 * (size - 1) if aligned else ((n + 1) * size - 1) / 2)
    return Value(picture.sampled(places, mode), channels_last(picture.spatial + 2))


@op(TARGET, "AffineGrid")
def affine_grid(build: Builder, node: Node, theta: Value, size: Value) -> Any:
    """Places for GridSample: an even grid from -1 to 1, turned by each example's matrix."""
    known = integers(size)
    spatial = (len(known) if known is not None else size.shape[0] or 4) - 2
    lengths = [size.tensor[axis + 2] for axis in range(spatial)]
    kind = theta.dtype
    steps = []
    for length in lengths:
        count = tf.cast(length, kind)
        numbers = tf.cast(tf.range(length), kind)
        if node.get("align_corners", 0):
            steps.append(tf.where(count > 1, numbers * 2 / tf.maximum(count - 1, 1) - 1, tf.zeros_like(numbers)))
        else:
            steps.append((2 * numbers + 1) / count - 1)
    mesh = tf.meshgrid(*steps, indexing="ij")
    points = tf.stack([*reversed(mesh), tf.ones_like(mesh[0])], -1)
    flat = tf.reshape(points, [-1, spatial + 1])
    turned = tf.matmul(flat[None], theta.tensor, transpose_b=True)
    return tf.reshape(turned, tf.stack([size.tensor[0], *lengths, spatial]))


@op(TARGET, "NonMaxSuppression")
def non_max_suppression(
    build: Builder,
    node: Node,
    boxes: Value,
    scores: Value,
    most: Value | None = None,
    overlap: Value | None = None,
    least: Value | None = None,
) -> Any:
    """(batch, class, box) of the boxes that are left, class by class; by score, and the first of equals first."""
    corners, marks = boxes.tensor, scores.tensor
    if node.get("center_point_box", 0):
        x, y, w, h = tf.unstack(corners, axis=-1)
        corners = tf.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)
    count = tf.constant(0) if most is None else tf.cast(tf.minimum(tf.reshape(most.tensor, []), 2**31 - 1), tf.int32)
    limit = tf.constant(0.0) if overlap is None else tf.reshape(overlap.tensor, [])
    floor = tf.constant(-np.inf, tf.float32) if least is None else tf.reshape(least.tensor, [])
    classes = tf.shape(marks)[1]
    total = tf.shape(marks)[0] * classes

    def step(number: Any, found: Any) -> Any:
        batch, kind = number // classes, number % classes
        kept = tf.image.non_max_suppression(corners[batch], marks[batch, kind], count, limit, floor)
        rows = tf.cast(tf.stack([tf.fill(tf.shape(kept), batch), tf.fill(tf.shape(kept), kind), kept], 1), tf.int64)
        return number + 1, tf.concat([found, rows], 0)

    _, found = tf.while_loop(
        lambda number, found: number < total,
        step,
        (tf.constant(0), tf.zeros([0, 3], tf.int64)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 3])),
    )
    return found


@op(TARGET, "Col2Im")
def col2im(build: Builder, node: Node, x: Value, size: Value, block: Value) -> Any:
    """Columns of patches added up into the picture they were cut from."""
    spatial = block.shape[0]
    if spatial is None:
        raise ValueError("a block of unknown rank")
    strides, dilations = node.get("strides", [1] * spatial), node.get("dilations", [1] * spatial)
    pads = node.get("pads", [0] * 2 * spatial)
    kernel = [_entry(block, axis) for axis in range(spatial)]
    picture = [_entry(size, axis) for axis in range(spatial)]
    wide = [picture[a] + pads[a] + pads[a + spatial] for a in range(spatial)]
    counts = [(wide[a] - dilations[a] * (kernel[a] - 1) - 1) // strides[a] + 1 for a in range(spatial)]
    shape = tf.shape(x.tensor, out_type=tf.int64)
    batch, channels = shape[0], shape[1] // tf.reduce_prod(tf.cast(tf.stack(kernel), tf.int64))
    # Where each element goes in the flat picture: one sum over segments.
    where: Any = tf.zeros([1] * (2 * spatial), tf.int64)
    for axis in range(spatial):
        taps = tf.range(tf.cast(kernel[axis], tf.int64)) * dilations[axis]
        starts = tf.range(tf.cast(counts[axis], tf.int64)) * strides[axis]
        one = [-1 if a == axis else 1 for a in range(2 * spatial)]
        other = [-1 if a == axis + spatial else 1 for a in range(2 * spatial)]
        where = where * tf.cast(wide[axis], tf.int64) + tf.reshape(taps, one) + tf.reshape(starts, other)
    rows = tf.transpose(tf.reshape(x.tensor, tf.stack([batch * channels, tf.size(where, out_type=tf.int64)])))
    total = tf.reduce_prod(tf.cast(tf.stack(wide), tf.int64))
    flat = tf.math.unsorted_segment_sum(rows, tf.reshape(where, [-1]), total)
    whole = tf.reshape(tf.transpose(flat), tf.stack([batch, channels, *[tf.cast(n, tf.int64) for n in wide]]))
    return whole[(slice(None), slice(None), *[slice(pads[a], pads[a] + picture[a]) for a in range(spatial)])]


def _entry(value: Value, axis: int) -> Any:
    """A number where it is known, else an int64 scalar."""
    known = integers(value)
    return tf.cast(value.tensor[axis], tf.int64) if known is None else known[axis]


@op(TARGET, "DeformConv")
def deform_conv(
    build: Builder, node: Node, x: Value, w: Value, offset: Value, b: Value | None = None, mask: Value | None = None
) -> Any:
    """A convolution whose taps are moved by offsets and weighed by a mask; bilinear, zeros outside."""
    kernel = [int(size) for size in w.shape[2:]]  # type: ignore[arg-type]
    if len(kernel) != 2:
        raise ValueError("a deformable convolution of other than two spatial axes")
    strides, dilations = node.get("strides", [1, 1]), node.get("dilations", [1, 1])
    pads, group, offsets = node.get("pads", [0] * 4), int(node.get("group", 1)), int(node.get("offset_group", 1))
    picture = x.last
    channels = int(x.shape[1] or 0)
    moves = offset.last  # (N, oh, ow, groups kh kw 2)
    shape = tf.shape(moves)
    moves = tf.reshape(moves, tf.stack([shape[0], shape[1], shape[2], offsets, kernel[0] * kernel[1], 2]))
    weighs = None
    if mask is not None:
        weighs = tf.reshape(mask.last, tf.stack([shape[0], shape[1], shape[2], offsets, kernel[0] * kernel[1]]))
    kind = moves.dtype
    rows = tf.cast(tf.range(shape[1]) * strides[0] - pads[0], kind)[None, :, None]
    columns = tf.cast(tf.range(shape[2]) * strides[1] - pads[1], kind)[None, None, :]
    filters = w.in_order((2, 3, 1, 0))  # (kh, kw, I/g, O)
    per = channels // offsets
    taps = []
    for number in range(kernel[0] * kernel[1]):
        down, right = divmod(number, kernel[1])
        parts = []
        for part in range(offsets):
            grid = Grid(picture[..., part * per : (part + 1) * per], "zeros", True)
            place = [
                rows + down * dilations[0] + moves[:, :, :, part, number, 0],
                columns + right * dilations[1] + moves[:, :, :, part, number, 1],
            ]
            found = grid.sampled(place, "linear")
            parts.append(found if weighs is None else found * weighs[:, :, :, part, number, None])
        taps.append(tf.concat(parts, -1))
    total = None
    for number, tap in enumerate(taps):
        matrix = filters[number // kernel[1], number % kernel[1]]  # (I/g, O)
        pieces = zip(tf.split(tap, group, -1), tf.split(matrix, group, -1))
        made = tf.concat([tf.tensordot(t, m, [[3], [0]]) for t, m in pieces], -1)
        total = made if total is None else total + made
    return Value(total if b is None else total + b.tensor, channels_last(4))
