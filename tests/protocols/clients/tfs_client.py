# ruff: noqa: TID251  this file runs in Environment client-tfs and is never imported
"""A client with TensorFlow Serving's own stubs. Runs in Environment client-tfs: GRPC HTTP -> one JSON document."""

import json
import sys
import urllib.request

import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

address, http = sys.argv[1:]
channel = grpc.insecure_channel(address)
predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)
answer = {}

for form in ("content", "typed", "one for all"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half_plus_two"
    if form == "content":
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0], [2.0], [5.0]], dtype=tf.float32))
    else:
        values = [1.0, 2.0, 5.0] if form == "typed" else [2.0]
        request.inputs["x"].CopyFrom(tensor_pb2.TensorProto(dtype=1, float_val=values))
        for size in (3, 1):
            request.inputs["x"].tensor_shape.dim.add(size=size)
    response = predictions.Predict(request, timeout=10)
    y = tf.make_ndarray(response.outputs["y"])
    spec = response.model_spec
    answer[form] = [y.tolist(), str(y.dtype), spec.name, spec.version.value, spec.signature_name]

request = predict_pb2.PredictRequest()
request.model_spec.name = "id_string"
request.inputs["x"].CopyFrom(tf.make_tensor_proto([b"\xff\x00", b"caf\xc3\xa9"]))
answer["strings"] = [item.hex() for item in tf.make_ndarray(predictions.Predict(request).outputs["y"])]

request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
request.model_spec.name = "half_plus_two"
response = predictions.GetModelMetadata(request)
signatures = get_model_metadata_pb2.SignatureDefMap()
assert response.metadata["signature_def"].Unpack(signatures)
answer["metadata"] = {
    "version": response.model_spec.version.value,
    **json_format.MessageToDict(
        signatures, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    ),
}

request = get_model_status_pb2.GetModelStatusRequest()
request.model_spec.name = "half_plus_two"
response = models.GetModelStatus(request)
answer["status"] = [
    [s.version, s.state, s.status.error_code, s.status.error_message] for s in response.model_version_status
]

request = predict_pb2.PredictRequest()
request.model_spec.name = "nobody"
try:
    predictions.Predict(request)
except grpc.RpcError as error:
    answer["missing"] = [error.code().name, error.details()]
request = classification_pb2.ClassificationRequest()
request.model_spec.name = "classifier"
example = request.input.example_list.examples.add()
example.features.feature["a"].float_list.value.append(1.0)
example.features.feature["b"].float_list.value.extend([2.0, 0.5])
response = predictions.Classify(request, timeout=10)
answer["classify"] = [[[c.label, c.score] for c in row.classes] for row in response.result.classifications] + [
    response.model_spec.version.value,
    response.model_spec.signature_name,
]

request = regression_pb2.RegressionRequest()
request.model_spec.name = "regressor"
request.input.example_list_with_context.context.features.feature["x"].float_list.value.extend([1.0, 2.0])
request.input.example_list_with_context.examples.add()
answer["regress"] = [r.value for r in predictions.Regress(request, timeout=10).result.regressions]

request = inference_pb2.MultiInferenceRequest()
for signature, method in (("", "classify"), ("regress", "regress")):
    task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
    task.model_spec.name, task.model_spec.signature_name = "both", signature
request.input.example_list.examples.add().features.feature["x"].float_list.value.append(3.0)
results = predictions.MultiInference(request, timeout=10).results
answer["multi"] = [
    [c.score for c in results[0].classification_result.classifications[0].classes],
    [r.value for r in results[1].regression_result.regressions],
]

request = model_management_pb2.ReloadConfigRequest(metric_names=["/tensorflow/serving/request_count"])
config = request.config.model_config_list.config.add(name="m", base_path="/models/m", model_platform="tensorflow")
config.model_version_policy.specific.versions.extend([3, 5])
config.version_labels["stable"] = 3
response = models.HandleReloadConfigRequest(request, timeout=10)
answer["reload"] = [response.status.error_code, [[m.name, m.int64_value_increase] for m in response.metric]]
request.config.model_config_list.config.add(name="m", base_path="relative")
try:
    models.HandleReloadConfigRequest(request, timeout=10)
except grpc.RpcError as error:
    answer["reload refused"] = [error.code().name, error.details()]

body = json.dumps({"instances": [[1.0], [2.0], [5.0]]}).encode()
with urllib.request.urlopen(f"http://{http}/v1/models/half_plus_two:predict", body) as stream:
    answer["rest"] = json.load(stream)
body = json.dumps({"examples": [{"x": [1, 2]}]}).encode()
with urllib.request.urlopen(f"http://{http}/v1/models/regressor:regress", body) as stream:
    answer["rest regress"] = json.load(stream)
print(json.dumps(answer))
