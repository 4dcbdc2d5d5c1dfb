# ruff: noqa: TID251  this file runs in Environment client-tfs and is never imported
"""Writes tfserving.json: field numbers and bytes as the official classes of TensorFlow Serving have them.

Run by hand, in the Environment that has them:

    gateway doctor --install client-tfs
    PYTHON_OF_CLIENT_TFS tests/conformance/make_tfserving.py > tests/conformance/tfserving.json
"""

import json
import sys
from importlib.metadata import version

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pool
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_service_pb2,
    regression_pb2,
)

MESSAGES = [
    "tensorflow.TensorProto",
    "tensorflow.TensorShapeProto",
    "tensorflow.TensorShapeProto.Dim",
    "tensorflow.TensorInfo",
    "tensorflow.TensorInfo.CooSparse",
    "tensorflow.SignatureDef",
    *(f"tensorflow.{name}" for name in ("BytesList", "FloatList", "Int64List", "Feature", "Features", "Example")),
    *(
        f"tensorflow.serving.{name}"
        for name in (
            "ModelSpec",
            "PredictRequest",
            "PredictResponse",
            "GetModelMetadataRequest",
            "GetModelMetadataResponse",
            "SignatureDefMap",
            "GetModelStatusRequest",
            "GetModelStatusResponse",
            "ModelVersionStatus",
            "StatusProto",
            "ExampleList",
            "ExampleListWithContext",
            "Input",
            "Class",
            "Classifications",
            "ClassificationResult",
            "ClassificationRequest",
            "ClassificationResponse",
            "Regression",
            "RegressionResult",
            "RegressionRequest",
            "RegressionResponse",
            "InferenceTask",
            "InferenceResult",
            "MultiInferenceRequest",
            "MultiInferenceResponse",
            "ReloadConfigRequest",
            "ReloadConfigResponse",
            "Metric",
            "ModelConfig",
            "ModelConfigList",
            "ModelServerConfig",
            "FileSystemStoragePathSourceConfig.ServableVersionPolicy",
            "FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest",
            "FileSystemStoragePathSourceConfig.ServableVersionPolicy.All",
            "FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific",
            "LoggingConfig",
            "SamplingConfig",
            "PerTaskSamplingConfig",
            "LogCollectorConfig",
        )
    ),
]
ENUMS = ["tensorflow.DataType", "tensorflow.error.Code", "tensorflow.serving.ModelVersionStatus.State"]
SERVICES = [prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR]


def fields(name):
    message = descriptor_pool.Default().FindMessageTypeByName(name)
    return {f.name: [f.number, f.type, f.is_repeated, f.json_name] for f in message.fields}


def values(name):
    return {v.name: v.number for v in descriptor_pool.Default().FindEnumTypeByName(name).values}


ARRAYS = {
    "float32": np.array([[1.5, -2.25, 3e38], [0, 1e-40, np.inf]], np.float32),
    "float64": np.array([1 / 3, 1e300], np.float64),
    "float16": np.array([1.5, 65504, -0.0], np.float16),
    "bfloat16": np.array([1.5, 3e38], tf.bfloat16.as_numpy_dtype),
    "int8": np.array([-128, 127], np.int8),
    "int16": np.array([-32768, 32767], np.int16),
    "int32": np.array([-(2**31), 2**31 - 1], np.int32),
    "int64": np.array([-(2**63), 2**63 - 1], np.int64),
    "uint8": np.array([0, 255], np.uint8),
    "uint16": np.array([0, 65535], np.uint16),
    "uint32": np.array([0, 2**32 - 1], np.uint32),
    "uint64": np.array([0, 2**64 - 1], np.uint64),
    "bool": np.array([True, False, True]),
    "string": np.array([b"", b"caf\xc3\xa9", b"\x00\xff"], object),
    "complex64": np.array([1 + 2j, -3.5j], np.complex64),
    "complex128": np.array([1 / 3 + 2j], np.complex128),
    "scalar": np.float32(2.5),
    "empty": np.zeros((0, 3), np.float32),
}


def listed(array):
    array = np.asarray(array)
    if array.dtype == object:
        return [item.hex() for item in array.reshape(-1)]
    return array.reshape(-1).tobytes().hex()


def tensors():
    found = []
    for name, array in ARRAYS.items():
        typed = tf.make_tensor_proto(array)  # tensor_content for numbers of more than one element
        full = tf.make_tensor_proto(array)
        full.ClearField("tensor_content")
        flat = np.asarray(array).reshape(-1)
        kind = {"scalar": "float32", "empty": "float32"}.get(name, name)
        by_field = {"float32": "float_val", "float64": "double_val", "string": "string_val", "bool": "bool_val"}
        by_field |= dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val")
        by_field |= {n: f"{n}_val" for n in ("int64", "uint32", "uint64")}
        by_field |= {"float16": "half_val", "bfloat16": "half_val"}
        if kind in ("float16", "bfloat16"):
            full.half_val[:] = flat.view(np.uint16).tolist()
        elif kind == "complex64":
            full.scomplex_val[:] = flat.view(np.float32).tolist()
        elif kind == "complex128":
            full.dcomplex_val[:] = flat.view(np.float64).tolist()
        else:
            getattr(full, by_field[kind])[:] = flat.tolist()
        assert np.array_equal(tf.make_ndarray(full), array, equal_nan=False) or name in ("bfloat16",)
        found.append(
            {
                "name": name,
                "dtype": kind,
                "shape": list(np.shape(array)),
                "data": listed(array),
                "made": typed.SerializeToString(deterministic=True).hex(),
                "typed": full.SerializeToString(deterministic=True).hex(),
            }
        )
    return found


def messages():
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half_plus_two"
    request.model_spec.version.value = 123
    request.model_spec.signature_name = "serving_default"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0], [2.0]], dtype=tf.float32))
    request.output_filter.append("y")
    response = predict_pb2.PredictResponse()
    response.model_spec.CopyFrom(request.model_spec)
    y = response.outputs["y"]
    y.dtype = 1
    y.tensor_shape.dim.add().size = 2
    y.tensor_shape.dim.add().size = 1
    y.float_val[:] = [2.5, 3.0]
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "half_plus_two"
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "half_plus_two"
    states = get_model_status_pb2.GetModelStatusResponse()
    for number in (123, 122):
        entry = states.model_version_status.add(version=number, state=30)
        entry.status.SetInParent()
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name = "classifier"
    features = classify.input.example_list.examples.add().features.feature
    features["a"].float_list.value.append(1.5)
    features["b"].int64_list.value.extend([-1, 2])
    features["c"].bytes_list.value.append(b"\xff")
    classified = classification_pb2.ClassificationResponse()
    classified.model_spec.name = "classifier"
    classified.result.classifications.add().classes.add(label="cat", score=0.5)
    regress = regression_pb2.RegressionRequest()
    regress.input.example_list_with_context.context.features.feature["a"].float_list.value.append(1.0)
    regress.input.example_list_with_context.examples.add()
    regressed = regression_pb2.RegressionResponse()
    regressed.result.regressions.add(value=2.5)
    multi = inference_pb2.MultiInferenceRequest()
    multi.tasks.add(method_name="tensorflow/serving/classify").model_spec.name = "both"
    results = inference_pb2.MultiInferenceResponse()
    results.results.add().regression_result.regressions.add(value=1.0)
    reload = model_management_pb2.ReloadConfigRequest(metric_names=["/tensorflow/serving/request_count"])
    config = reload.config.model_config_list.config.add(name="m", base_path="/m", model_platform="tensorflow")
    config.model_version_policy.latest.num_versions = 2
    config.version_labels["stable"] = 3
    reloaded = model_management_pb2.ReloadConfigResponse()
    reloaded.metric.add(name="/tensorflow/serving/request_count", int64_value_increase=4)
    return {
        name: message.SerializeToString(deterministic=True).hex()
        for name, message in {
            "predict request": request,
            "predict response": response,
            "metadata request": metadata,
            "status request": status,
            "status response": states,
            "classification request": classify,
            "classification response": classified,
            "regression request": regress,
            "regression response": regressed,
            "multi inference request": multi,
            "multi inference response": results,
            "reload request": reload,
            "reload response": reloaded,
        }.items()
    }


json.dump(
    {
        "made_by": "tests/conformance/make_tfserving.py",
        "versions": {n: version(n) for n in ("tensorflow-serving-api", "tensorflow", "protobuf")},
        "messages": {name: fields(name) for name in MESSAGES},
        "enums": {name: values(name) for name in ENUMS},
        "services": {
            s.full_name: {m.name: [m.input_type.full_name, m.output_type.full_name] for m in s.methods}
            for file in SERVICES
            for s in file.services_by_name.values()
        },
        "tensors": tensors(),
        "recorded": messages(),
    },
    sys.stdout,
    indent=1,
)
sys.stdout.write("\n")
