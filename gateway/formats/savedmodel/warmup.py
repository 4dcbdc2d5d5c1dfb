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
from gateway.formats.savedmodel.wire import field

FOLDER, FILE = "assets.extra", "tf_serving_warmup_requests"


def write(path: Path, signature: str, inputs: Mapping[str, Array]) -> None:
    """One Predict of `signature` with `inputs`."""
    import tensorflow as tf  # noqa: TID251  this runs in a child of Environment tensorflow

    request = field(1, field(3, signature.encode()))
    for name, array in inputs.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        request += field(2, field(1, name.encode()) + field(2, tensor))
    with tf.io.TFRecordWriter(str(path)) as stream:
        stream.write(field(6, field(1, request)))
