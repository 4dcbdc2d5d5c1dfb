"""Regions of a picture, pooled to one size; and spectra."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import positive
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.values import Value, channels_last
from gateway.graph.registry import op

F = tf.float32


def _samples(start: Any, size: Any, out: int, count: Any, most: Any, length: Any) -> tuple[Any, ...]:
    """Places of the samples of each region along one axis, (R, out most): the pixels below and above, the share of
    the upper one, and whether a sample counts: is it one of the region's, and is it in the picture?
    """
    step = size / out
    number = tf.range(most, dtype=F)[None, None, :]
    each = tf.reshape(count, [-1, 1, 1])
    inside = tf.range(out, dtype=F)[None, :, None] + (number + 0.5) / tf.maximum(each, 1.0)
    at = tf.reshape(start, [-1, 1, 1]) + inside * tf.reshape(step, [-1, 1, 1])
    own = tf.broadcast_to(number < each, tf.shape(at))
    there = (at >= -1.0) & (at <= tf.cast(length, F))
    at = tf.clip_by_value(at, 0.0, tf.cast(length - 1, F))
    low = tf.cast(tf.floor(at), tf.int32)
    flat = tf.stack([tf.shape(at)[0], out * most])
    return tuple(
        tf.reshape(item, flat) for item in (low, tf.minimum(low + 1, length - 1), at - tf.cast(low, F), own, there)
    )


@op(TARGET, "RoiAlign")
def roi_align(build: Builder, node: Node, x: Value, rois: Value, batch: Value) -> Any:
    """Bilinear samples in a grid over each region, their mean or, in `max`, the greatest weighed pixel."""
    picture, boxes, numbers = x.last, tf.cast(rois.tensor, F), tf.cast(batch.tensor, tf.int32)
    half = node.get("coordinate_transformation_mode", "half_pixel" if node.since >= 16 else "output_half_pixel")
    scale, shift = node.get("spatial_scale", 1.0), 0.5 if half == "half_pixel" else 0.0
    ratio = int(node.get("sampling_ratio", 0))
    sizes = tf.shape(picture)
    along, counts, outs, mosts = [], [], [], []
    for axis, name in ((1, "output_height"), (0, "output_width")):
        out = int(node.get(name, 1))
        start, end = boxes[:, axis] * scale - shift, boxes[:, axis + 2] * scale - shift
        size = end - start if shift else tf.maximum(end - start, 1.0)
        count = tf.fill(tf.shape(size), float(ratio)) if ratio else tf.maximum(tf.math.ceil(size / out), 0.0)
        most = tf.constant(ratio) if ratio else tf.cast(tf.maximum(tf.reduce_max(count), 1.0), tf.int32)
        along.append(_samples(start, size, out, count, most, sizes[2 - axis]))
        counts.append(count)
        outs.append(out)
        mosts.append(most)
    (y0, y1, ys, y_own, y_there), (x0, x1, xs, x_own, x_there) = along
    grid = tf.stack([tf.shape(boxes)[0], outs[0], mosts[0], outs[1], mosts[1], tf.shape(picture)[-1]])
    greatest = node.get("mode", "avg") == "max"
    own = y_own[:, :, None] & x_own[:, None, :]
    there = tf.cast(y_there[:, :, None] & x_there[:, None, :], picture.dtype)
    made: Any = None
    for row, down in ((y0, 1 - ys), (y1, ys)):
        for column, right in ((x0, 1 - xs), (x1, xs)):
            shape = tf.shape(own)
            place = tf.stack(
                [
                    tf.broadcast_to(numbers[:, None, None], shape),
                    tf.broadcast_to(row[:, :, None], shape),
                    tf.broadcast_to(column[:, None, :], shape),
                ],
                -1,
            )
            weight = tf.cast(down[:, :, None] * right[:, None, :], picture.dtype) * there
            piece = tf.gather_nd(picture, place) * weight[..., None]
            made = piece if made is None else tf.maximum(made, piece) if greatest else made + piece
    kept = own[..., None]
    if greatest:
        lowest = tf.cast(picture.dtype.min, picture.dtype)
        found = tf.reduce_max(tf.reshape(tf.where(kept, made, lowest), grid), [2, 4])
        found = tf.where(found == lowest, tf.zeros_like(found), found)  # a region of no size has no samples
    else:
        total = tf.reduce_sum(tf.reshape(tf.where(kept, made, tf.zeros_like(made)), grid), [2, 4])
        found = total / tf.cast(tf.reshape(tf.maximum(counts[0] * counts[1], 1.0), [-1, 1, 1, 1]), picture.dtype)
    return Value(found, channels_last(4))


def _complex(tensor: Any) -> Any:
    """(..., 1 or 2) -> complex (...)."""
    if tensor.shape[-1] == 1:
        return tf.complex(tensor[..., 0], tf.zeros_like(tensor[..., 0]))
    return tf.complex(tensor[..., 0], tensor[..., 1])


def _pairs(spectrum: Any) -> Any:
    return tf.stack([tf.math.real(spectrum), tf.math.imag(spectrum)], -1)


@op(TARGET, "DFT")
def dft(build: Builder, node: Node, x: Value, length: Value | None = None, axis: Value | None = None) -> Any:
    """Fourier's transform along one axis, cut or filled up with zeros to `length`; one side of it, or back."""
    tensor = x.tensor
    rank = len(tensor.shape)
    chosen = node.get("axis", 1) if node.since < 20 else -2
    if axis is not None:
        if axis.array is None:
            raise ValueError("DFT along an axis that is computed at run time")
        chosen = int(axis.array.reshape(-1)[0])
    place = positive(chosen, rank)
    if node.get("inverse", 0) and node.get("onesided", 0):
        raise ValueError("DFT that is inverse and onesided")
    order = [a for a in range(rank - 1) if a != place] + [place]
    values = tf.transpose(_complex(tensor), order)
    if length is not None:
        count = tf.cast(tf.reshape(length.tensor, []), tf.int32)
        values = values[..., :count]
        missing = count - tf.shape(values)[-1]
        values = tf.pad(values, [*[[0, 0]] * (rank - 2), [0, missing]])
    found = tf.signal.ifft(values) if node.get("inverse", 0) else tf.signal.fft(values)
    if node.get("onesided", 0):
        found = found[..., : tf.shape(found)[-1] // 2 + 1]
    return _pairs(tf.transpose(found, [order.index(a) for a in range(rank - 1)]))


@op(TARGET, "STFT")
def stft(
    build: Builder, node: Node, signal: Value, step: Value, window: Value | None = None, length: Value | None = None
) -> Any:
    """Spectra of windows of the signal, `step` apart: (B, frames, bins, 2)."""
    values = signal.tensor
    hop = tf.cast(tf.reshape(step.tensor, []), tf.int32)
    size = tf.cast(tf.reshape(length.tensor, []), tf.int32) if length is not None else None
    if size is None:
        if window is None:
            raise ValueError("STFT with neither a window nor a length")
        size = tf.shape(window.tensor)[0]
    frames = tf.maximum((tf.shape(values)[1] - size) // hop + 1, 0)
    places = (tf.range(frames) * hop)[:, None] + tf.range(size)[None, :]
    pieces = tf.gather(values, places, axis=1)  # (B, frames, size, 1 or 2)
    if window is not None:
        pieces = pieces * window.tensor[None, None, :, None]
    found = tf.signal.fft(_complex(pieces))
    return _pairs(found[..., : size // 2 + 1] if node.get("onesided", 1) else found)
