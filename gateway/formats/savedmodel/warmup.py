"""assets.extra/tf_serving_warmup_requests: what TensorFlow Serving calls a SavedModel with before it serves it.

A TFRecord of tensorflow.serving.PredictionLog. Runs in a child of Environment `tensorflow`, which has TensorFlow's
protobufs and not Serving's: the messages around the tensors are written by hand, field by field of apis/*.proto:

    PredictionLog.predict_log = 6 -> PredictLog.request = 1 -> PredictRequest.model_spec = 1, inputs = 2 (a map)
    ModelSpec.signature_name = 3
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.core.dtypes import Array

FOLDER, FILE = "assets.extra", "tf_serving_warmup_requests"


def write(path: Path, signature: str, inputs: Mapping[str, Array]) -> None:
    """One Predict of `signature` with `inputs`."""
    import tensorflow as tf  # noqa: TID251  this runs in a child of Environment tensorflow

    request = _field(1, _field(3, signature.encode()))
    for name, array in inputs.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    with tf.io.TFRecordWriter(str(path)) as stream:
        stream.write(_field(6, _field(1, request)))


def _field(number: int, data: bytes) -> bytes:
    """A field of wire type 2."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
