"""Warm-up requests as TensorFlow Serving's own messages write them. A script for Environment `client-tfs`:

    python make_warmup.py FILE.json

writes {name: [PredictionLog in base64]}: tests/formats/savedmodel/warmup.json is what it has written.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf  # noqa: TID251  this runs in Environment client-tfs
from tensorflow_serving.apis import prediction_log_pb2

X = [[1.0, 0.0], [0.0, 1.0]]


def log() -> Any:
    return prediction_log_pb2.PredictionLog()


def predict(signature: str, **inputs: Any) -> Any:
    made = log()
    request = made.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = "model", signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return made


def example(*values: float) -> Any:
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature={"x": feature}))


def classify(signature: str) -> Any:
    made = log()
    made.classify_log.request.model_spec.signature_name = signature
    made.classify_log.request.input.example_list.examples.extend([example(1, 0), example(0, 1)])
    return made


def regress(signature: str) -> Any:
    made = log()
    made.regress_log.request.model_spec.signature_name = signature
    given = made.regress_log.request.input.example_list_with_context
    given.examples.extend([tf.train.Example(), tf.train.Example()])
    given.context.CopyFrom(example(2, 2))
    return made


def several(*signatures: str) -> Any:
    made = log()
    for signature in signatures:
        task = made.multi_inference_log.request.tasks.add()
        task.model_spec.signature_name, task.method_name = signature, "tensorflow/serving/classify"
    made.multi_inference_log.request.input.example_list.examples.append(example(3, 3))
    return made


def session_run() -> Any:
    made = log()
    made.session_run_log.request.model_spec.name = "model"
    return made


FILES = {
    "every kind": [
        predict("serving_default", x=X), predict("", x=X), predict("words", words=[b"alpha"]),
        classify("classify"), regress("regress"), several("classify", "regress"), predict("sparse", s=X),
    ],
    "no such signature": [predict("serving_default", x=X), predict("serving_defualt", x=X)],
    "an input that is not there": [predict("serving_default", y=X)],
    "a size that does not fit": [predict("serving_default", x=[[1.0, 2.0, 3.0]])],
    "a session's run": [session_run()],
    "no message": [b"\xff\xff"],
}  # fmt: skip

if __name__ == "__main__":
    found = {
        name: [base64.b64encode(r if isinstance(r, bytes) else r.SerializeToString()).decode() for r in records]
        for name, records in FILES.items()
    }
    Path(sys.argv[1]).write_text(json.dumps(found, indent=1) + "\n")
