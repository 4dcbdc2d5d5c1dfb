# ruff: noqa: TID251  this file runs in Environment client-tfs and is never imported
"""SavedModels with further signatures, as TensorFlow Serving's clients see them: GRPC DIGITS HALF -> one JSON document.

DIGITS and HALF are the folders of the artifacts that the gateway at GRPC serves; their warm-up records are parsed by
Serving's own messages, and TensorFlow itself calls each signature beside the gateway.
"""

import json
import sys
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

address, digits, half, pictures = sys.argv[1:]
predictions = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address))
answer = {}
encoded = [path.read_bytes() for path in sorted(Path(pictures).glob("[0-9].png"))]
rows = np.load(Path(pictures) / "rows.npy")

request = predict_pb2.PredictRequest()
request.model_spec.name, request.model_spec.signature_name = "digits", "serving_pictures"
request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(encoded))
served = tf.make_ndarray(predictions.Predict(request, timeout=60).outputs["probabilities"])
own = tf.saved_model.load(digits).signatures
alone = own["serving_pictures"](image_bytes=tf.constant(encoded))["probabilities"].numpy()
answer["pictures"] = served.argmax(1).tolist()
answer["pictures as TensorFlow"] = float(np.abs(served - alone).max())

examples = classification_pb2.ClassificationRequest()
examples.model_spec.name, examples.model_spec.signature_name = "digits", "classify"
texts = []
for row in rows:
    example = examples.input.example_list.examples.add()
    example.features.feature["image"].float_list.value.extend(row.reshape(-1).tolist())
    texts.append(example.SerializeToString())
found = predictions.Classify(examples, timeout=60).result.classifications
alone = own["classify"](inputs=tf.constant(texts))
plain = own["serving_default"](image=tf.constant(rows))["probabilities"].numpy()
answer["labels"] = [c.label for c in found[0].classes]
scores = np.array([[c.score for c in row.classes] for row in found], np.float32)
answer["classify as plain"] = float(np.abs(scores - plain).max())
answer["classify as TensorFlow"] = float(np.abs(scores - alone["scores"].numpy()).max())
answer["classes of TensorFlow"] = [text.decode() for text in alone["classes"].numpy()[0]]
answer["methods"] = {}
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    for key, signature in tf.compat.v1.saved_model.load(session, ["serve"], digits).signature_def.items():
        answer["methods"][key] = signature.method_name

request = regression_pb2.RegressionRequest()
request.model_spec.name, request.model_spec.signature_name = "half", "regress"
for value in (1.0, 2.0, 5.0):
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(value)
answer["regress"] = [r.value for r in predictions.Regress(request, timeout=60).result.regressions]
text = [example.SerializeToString() for example in request.input.example_list.examples]
answer["regress of TensorFlow"] = (
    tf.saved_model.load(half).signatures["regress"](inputs=tf.constant(text))["outputs"].numpy().reshape(-1).tolist()
)

(record,) = tf.data.TFRecordDataset(f"{digits}/assets.extra/tf_serving_warmup_requests").as_numpy_iterator()
log = prediction_log_pb2.PredictionLog.FromString(record)
warm = log.predict_log.request
image = tf.make_ndarray(warm.inputs["image"])
answer["warm-up"] = [log.WhichOneof("log_type"), warm.model_spec.signature_name, str(image.dtype), list(image.shape)]
warm.model_spec.name = "digits"
answer["warm-up is taken"] = sorted(predictions.Predict(warm, timeout=60).outputs)
answer["assets"] = Path(digits, "assets", "labels.txt").read_text().split()
answer["preprocess"] = json.loads(Path(digits, "assets.extra", "preprocess.json").read_text())["colour"]
print(json.dumps(answer))
