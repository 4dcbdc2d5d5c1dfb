"""Signatures beside the plain ones: each makes the inputs from what clients send, and calls the same function.

Rule 1: a picture is made ready as gateway/pictures.py does it, in TensorFlow: decoded, resized in whole levels of
        0 to 255, cut, normalised. Decoders and filters round their own way: a level of 255 more or less.
Rule 2: it is not turned by its EXIF orientation: TensorFlow has no operator that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from gateway.core.preprocess import Preprocess
from gateway.formats.savedmodel.further import CLASSES, IMAGE, INPUTS, OUTPUTS, SCORES

_METHODS = {"nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "area": "area"}
_LUMA = (19595, 38470, 7471)  # of 65536: the grey of a colour, as Pillow has it


@dataclass(frozen=True)
class Further:
    """`keys` by what they are ("pictures", "classify", "regress"); `size` is what a picture is resized to."""

    keys: Mapping[str, str] = field(default_factory=dict)
    picture: str = ""  # the input that takes it
    preprocess: Preprocess = field(default_factory=Preprocess)
    size: tuple[int, int] | None = None
    scores: str = ""  # the output that classify and regress show
    labels: Sequence[str] = ()


def functions(function: Any, told: Further) -> dict[str, Any]:
    """tf.ConcreteFunctions by signature key."""
    makers = {"pictures": _pictures, "classify": _classify, "regress": _regress}
    return {key: makers[what](function, told) for what, key in told.keys.items()}


def _specs(function: Any) -> dict[str, Any]:
    found: dict[str, Any] = function.structured_input_signature[1]
    return found


def _pictures(function: Any, told: Further) -> Any:
    specs = _specs(function)
    wanted = specs[told.picture]

    def call(**feeds: Any) -> Any:
        row = tf.TensorSpec(wanted.shape[1:], wanted.dtype)
        ready = tf.map_fn(lambda data: _ready(data, told, row), feeds.pop(IMAGE), fn_output_signature=row)
        return function(**{told.picture: ready}, **feeds)

    others = {name: spec for name, spec in specs.items() if name != told.picture}
    image = tf.TensorSpec([None], tf.string, name=IMAGE)
    return tf.function(call, autograph=False).get_concrete_function(**{IMAGE: image}, **others)


def _ready(data: Any, told: Further, row: Any) -> Any:
    """One encoded picture as a tensor of `row`."""
    how = told.preprocess
    pixels = tf.io.decode_image(data, channels=3, expand_animations=False)
    pixels.set_shape([None, None, 3])
    if how.colour == "gray":
        grey = tf.reduce_sum(tf.cast(pixels, tf.int32) * tf.constant(_LUMA), -1, keepdims=True)
        pixels = tf.bitwise.right_shift(grey + 0x8000, 16)
    pixels = tf.cast(pixels, tf.float32)
    if told.size is not None:
        smooth = how.interpolation in ("bilinear", "bicubic")
        pixels = tf.image.resize(pixels, told.size, _METHODS[how.interpolation], antialias=smooth)
        pixels = tf.clip_by_value(tf.round(pixels), 0.0, 255.0)
    if how.crop is not None:
        height, width = how.crop
        top, left = ((tf.shape(pixels)[axis] - size) // 2 for axis, size in enumerate(how.crop))
        pixels = tf.slice(pixels, tf.stack([top, left, 0]), [height, width, -1])
    if how.colour == "bgr":
        pixels = tf.reverse(pixels, [-1])
    made = (pixels * how.scale - tf.constant(how.mean, tf.float32)) / tf.constant(how.std, tf.float32)
    made = tf.transpose(made, [2, 0, 1]) if how.layout == "nchw" else made
    return tf.ensure_shape(tf.cast(made, row.dtype), row.shape)


def _of_examples(function: Any, told: Further, shown: Any) -> Any:
    """`shown` makes the outputs of the plain one's."""
    specs = _specs(function)

    def call(**feeds: Any) -> Any:
        kinds = {name: _feature(spec.dtype) for name, spec in specs.items()}
        features = {name: tf.io.FixedLenFeature(spec.shape[1:], kinds[name]) for name, spec in specs.items()}
        parsed = tf.io.parse_example(feeds[INPUTS], features)
        return shown(function(**{name: tf.cast(parsed[name], specs[name].dtype) for name in specs})[told.scores])

    text = tf.TensorSpec([None], tf.string, name=INPUTS)
    return tf.function(call, autograph=False).get_concrete_function(**{INPUTS: text})


def _feature(kind: Any) -> Any:
    """What of the three kinds of a feature holds it."""
    if kind == tf.string:
        return tf.string
    return tf.float32 if kind.is_floating else tf.int64


def _classify(function: Any, told: Further) -> Any:
    def shown(scores: Any) -> Any:
        found = {SCORES: tf.cast(scores, tf.float32)}
        if told.labels:
            found[CLASSES] = tf.tile([list(told.labels)], [tf.shape(scores)[0], 1])
        return found

    return _of_examples(function, told, shown)


def _regress(function: Any, told: Further) -> Any:
    return _of_examples(function, told, lambda value: {OUTPUTS: tf.cast(value, tf.float32)})
