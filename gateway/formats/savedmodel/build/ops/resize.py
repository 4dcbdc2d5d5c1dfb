"""Resize and its elder Upsample: every axis for itself, positions in float32 as onnxruntime computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import dynamic_shape, held, moved, positive
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.values import Value, channels_last
from gateway.graph.registry import op

F = tf.float32


class Axis:
    """One resized axis: sizes and scale, numbers where they are known now, else float32 or int64 scalars."""

    def __init__(self, size: Any, out: Any, scale: Any) -> None:
        self.size, self.out, self.scale = size, out, scale

    @property
    def known(self) -> bool:
        return not any(tf.is_tensor(n) for n in (self.size, self.out, self.scale))

    @property
    def untouched(self) -> bool:
        return self.size is self.out or (self.known and self.size == self.out and self.scale == 1.0)

    def positions(self, mode: str, roi: tuple[Any, Any] | None) -> Any:
        """Where each new element lies in the old axis: float32 (out,)."""
        x = tf.range(tf.cast(self.out, F), dtype=F)
        scale, size, out = (tf.cast(n, F) for n in (self.scale, self.size, self.out))
        if mode == "align_corners":
            return tf.where(out > 1, x * (size - 1) / tf.maximum(out - 1, 1), tf.zeros_like(x))
        if mode == "asymmetric":
            return x / scale
        if mode == "tf_half_pixel_for_nn":
            return (x + 0.5) / scale
        if mode == "pytorch_half_pixel":
            return tf.where(out > 1, (x + 0.5) / scale - 0.5, tf.zeros_like(x))
        if mode == "half_pixel_symmetric":
            adjustment = out / (scale * size)
            return size / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
        if mode == "tf_crop_and_resize":
            assert roi is not None
            start, end = (tf.cast(n, F) for n in roi)
            one = 0.5 * (start + end) * (size - 1)
            many = start * (size - 1) + x * (end - start) * (size - 1) / tf.maximum(out - 1, 1)
            return tf.where(out > 1, many, tf.fill(tf.shape(x), one))
        if mode != "half_pixel":
            raise ValueError(f"coordinate_transformation_mode {mode!r}")
        return (x + 0.5) / scale - 0.5


@op(TARGET, "Resize")
def resize(
    build: Builder,
    node: Node,
    x: Value,
    roi: Value | None = None,
    scales: Value | None = None,
    sizes: Value | None = None,
) -> Any:
    """nearest, linear or cubic in any coordinate mode; antialiased where asked for."""
    if node.since < 11:
        scales, roi, sizes = roi, None, None
        return _resized(node, x, _axes(node, x, scales, sizes), "asymmetric", None)
    if scales is not None and scales.shape == [0]:
        scales = None
    if sizes is not None and sizes.shape == [0]:
        sizes = None
    return _resized(
        node, x, _axes(node, x, scales, sizes), node.get("coordinate_transformation_mode", "half_pixel"), roi
    )


@op(TARGET, "Upsample")
def upsample(build: Builder, node: Node, x: Value, scales: Value | None = None) -> Any:
    """Resize with asymmetric coordinates."""
    if scales is None:
        scales = build.constant(np.asarray(node.get("scales"), np.float32))
    return _resized(node, x, _axes(node, x, scales, None), "asymmetric", None)


def _axes(node: Node, x: Value, scales: Value | None, sizes: Value | None) -> dict[int, Axis]:
    """ONNX axis -> what becomes of it."""
    assert x.rank is not None
    chosen = [positive(axis, x.rank) for axis in node.get("axes", range(x.rank))]
    here: list[Any] = list(x.shape)
    if None in here:
        now = tf.convert_to_tensor(dynamic_shape(x))
        here = [now[axis] if size is None else size for axis, size in enumerate(here)]
    given = sizes if sizes is not None else scales
    assert given is not None
    wanted: list[Any]
    if given.array is not None:
        wanted = [n.item() if sizes is not None else np.float32(n) for n in given.array]
    else:
        wanted = [given.tensor[number] for number in range(len(chosen))]
    found = {}
    if sizes is None:
        for axis, scale in zip(chosen, wanted):
            if not tf.is_tensor(scale) and scale == 1.0:
                found[axis] = Axis(here[axis], here[axis], 1.0)
                continue
            both = tf.is_tensor(scale) or tf.is_tensor(here[axis])
            out = (
                tf.cast(tf.floor(tf.cast(here[axis], F) * scale), tf.int64)
                if both
                else int(np.floor(np.float32(here[axis]) * scale))
            )
            found[axis] = Axis(here[axis], out, scale if tf.is_tensor(scale) else float(scale))
        return found
    return _to_sizes(node, chosen, here, wanted)


def _to_sizes(node: Node, chosen: list[int], here: list[Any], wanted: list[Any]) -> dict[int, Axis]:
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    known = not any(tf.is_tensor(n) for n in [*wanted, *[here[axis] for axis in chosen]])
    ratios = [
        float(np.float32(out) / np.float32(here[axis])) if known else tf.cast(out, F) / tf.cast(here[axis], F)
        for axis, out in zip(chosen, wanted)
    ]
    if policy == "stretch":
        return {axis: Axis(here[axis], out, ratio) for axis, out, ratio in zip(chosen, wanted, ratios)}
    if known:
        scale: Any = min(ratios) if policy == "not_larger" else max(ratios)
        return {axis: Axis(here[axis], int(np.floor(scale * here[axis] + 0.5)), scale) for axis in chosen}
    every = tf.stack(ratios)
    scale = tf.reduce_min(every) if policy == "not_larger" else tf.reduce_max(every)
    return {
        axis: Axis(here[axis], tf.cast(tf.floor(scale * tf.cast(here[axis], F) + 0.5), tf.int64), scale)
        for axis in chosen
    }


def _resized(node: Node, x: Value, axes: dict[int, Axis], coordinates: str, roi: Value | None) -> Any:
    assert x.rank is not None
    mode = node.get("mode", "nearest")
    real = {axis: what for axis, what in axes.items() if not what.untouched or coordinates == "tf_crop_and_resize"}
    if not real:
        tensor, perm = held(x)
        return Value(tf.identity(tensor), perm)
    if fast := _kernel(x, real, mode, coordinates, bool(node.get("antialias", 0))):
        return fast
    tensor, perm = held(x)
    whole = tensor.dtype
    if mode != "nearest" and not whole.is_floating:
        tensor = tf.cast(tensor, F)
    beyond = None
    order = sorted(real)
    corners = None if roi is None else roi.tensor
    for number, axis in enumerate(axes):
        if axis not in order:
            continue
        span = (
            (corners[number], corners[number + len(axes)])
            if corners is not None and coordinates == "tf_crop_and_resize"
            else None
        )
        place = moved([axis], perm)[0]
        at = real[axis].positions(coordinates, span)
        if span is not None:
            outside = (at < 0) | (at > tf.cast(real[axis].size, F) - 1)
            outside = tf.reshape(outside, [-1 if i == place else 1 for i in range(x.rank)])
            beyond = outside if beyond is None else beyond | outside
        tensor = _along(tensor, place, real[axis], at, node)
    if beyond is not None:
        tensor = tf.where(beyond, tf.cast(node.get("extrapolation_value", 0.0), tensor.dtype), tensor)
    if tensor.dtype != whole:
        tensor = tf.cast(tf.clip_by_value(tensor, whole.min, whole.max), whole)  # cut towards zero, as the standard's
    return Value(tensor, perm)


def _along(tensor: Any, place: int, axis: Axis, at: Any, node: Node) -> Any:
    mode = node.get("mode", "nearest")
    last = tf.cast(axis.size, tf.int64) - 1
    if mode == "nearest":
        rule = node.get("nearest_mode", "round_prefer_floor") if node.since >= 11 else "floor"
        return tf.gather(tensor, tf.clip_by_value(tf.cast(_ROUND[rule](at), tf.int64), 0, last), axis=place)
    if mode == "linear" and not node.get("antialias", 0):
        inside = tf.clip_by_value(at, 0, tf.cast(last, F))
        low = tf.cast(tf.floor(inside), tf.int64)
        share = tf.cast(inside - tf.cast(low, F), tensor.dtype)
        share = tf.reshape(share, [-1 if i == place else 1 for i in range(len(tensor.shape))])
        one, other = tf.gather(tensor, low, axis=place), tf.gather(tensor, tf.minimum(low + 1, last), axis=place)
        return one * (1 - share) + other * share
    matrix = tf.cast(_matrix(axis, at, node), tensor.dtype)
    made = tf.tensordot(tensor, matrix, [[place], [1]])
    rank = len(tensor.shape)
    return tf.transpose(made, [*range(place), rank - 1, *range(place, rank - 1)])


_ROUND = {
    "round_prefer_floor": lambda at: tf.math.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: tf.floor(at + 0.5),
    "floor": tf.floor,
    "ceil": tf.math.ceil,
}


def _matrix(axis: Axis, at: Any, node: Node) -> Any:
    """(out, in) weights: what lies beyond an edge counts as the edge, or not at all with exclude_outside."""
    size = tf.cast(axis.size, tf.int64)
    scale = tf.minimum(tf.cast(axis.scale, F), 1.0) if node.get("antialias", 0) else tf.constant(1.0)
    taps = tf.cast(tf.range(-size, 2 * size), F)
    distance = (taps[None, :] - at[:, None]) * scale
    weights = _cubic(distance, node.get("cubic_coeff_a", -0.75)) if node.get("mode") == "cubic" else _tent(distance)
    inside = weights[:, size : 2 * size]
    if not node.get("exclude_outside", 0):
        low = tf.reduce_sum(weights[:, :size], 1, keepdims=True)
        high = tf.reduce_sum(weights[:, 2 * size :], 1, keepdims=True)
        place = tf.range(size)[None, :]
        inside = inside + tf.where(place == 0, low, 0.0) + tf.where(place == size - 1, high, 0.0)
    return inside / tf.reduce_sum(inside, 1, keepdims=True)


def _tent(distance: Any) -> Any:
    return tf.maximum(1 - tf.abs(distance), 0)


def _cubic(distance: Any, a: float) -> Any:
    """Keys' kernel, R. Keys, "Cubic convolution interpolation for digital image processing", 1981."""
    d = tf.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return tf.where(d <= 1, near, tf.where(d < 2, far, tf.zeros_like(d)))


def _kernel(x: Value, real: dict[int, Axis], mode: str, coordinates: str, antialias: bool) -> Value | None:
    """TensorFlow's own kernel for pictures, where it means exactly the same."""
    if x.rank != 4 or not set(real) <= {2, 3} or antialias or x.dtype not in (tf.float32, tf.float16):
        return None
    if mode != "linear" or coordinates not in ("half_pixel", "asymmetric", "align_corners"):
        return None
    if not all(_even(axis) for axis in real.values()):
        return None
    sizes = [real[axis].out if axis in real else x.shape[axis] for axis in (2, 3)]
    if None in sizes:
        now = tf.shape(x.last)
        sizes = [now[place] if size is None else size for place, size in zip((1, 2), sizes)]
    known = not any(tf.is_tensor(size) for size in sizes)
    made = tf.raw_ops.ResizeBilinear(
        images=x.last,
        size=np.asarray(sizes, np.int32) if known else tf.stack([tf.cast(size, tf.int32) for size in sizes]),
        align_corners=coordinates == "align_corners",
        half_pixel_centers=coordinates == "half_pixel",
    )
    return Value(tf.cast(made, x.dtype), channels_last(4))


def _even(axis: Axis) -> bool:
    """Is the scale the ratio of the sizes, as the kernel takes it? Of free sizes it is where it is a whole number."""
    if axis.known:
        return bool(abs(axis.scale - axis.out / axis.size) <= 1e-6 * axis.scale)
    return not tf.is_tensor(axis.scale) and axis.scale >= 1 and axis.scale == int(axis.scale)
