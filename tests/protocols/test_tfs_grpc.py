# ruff: noqa: E501  a row of a table reads better on one line
"""TensorFlow Serving's gRPC API through a raw channel: calls, texts, deadlines, health, reflection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.core.dtypes import Array
from gateway.protocols.pool import message
from gateway.protocols.tensors import TensorProto, decode, encode
from tests.protocols.double import Running, running, wait_until

PredictRequest = message("tensorflow.serving.PredictRequest")
PredictResponse = message("tensorflow.serving.PredictResponse")
MetadataRequest = message("tensorflow.serving.GetModelMetadataRequest")
MetadataResponse = message("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = message("tensorflow.serving.SignatureDefMap")
StatusRequest = message("tensorflow.serving.GetModelStatusRequest")
StatusResponse = message("tensorflow.serving.GetModelStatusResponse")

SERVICE = "/tensorflow.serving.PredictionService/"
MODELS = "/tensorflow.serving.ModelService/"
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running(max_message_bytes=LIMIT, max_elements=100_000) as live:
        yield live


@pytest.fixture(scope="module")
def channel(servers: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(servers.addresses["grpc"]) as made:
        yield made


def tensor(values: Any, dtype: Any = np.float32) -> Any:
    return TensorProto.FromString(encode(np.array(values, dtype), content=True))


def request(model: str = "flat", outputs: tuple[str, ...] = (), **inputs: Any) -> Any:
    made = PredictRequest(output_filter=outputs)
    made.model_spec.name = model
    for name, value in inputs.items():
        made.inputs[name].CopyFrom(value)
    return made


def predict(channel: grpc.Channel, given: Any, **options: Any) -> Any:
    call = channel.unary_unary(f"{SERVICE}Predict", PredictRequest.SerializeToString, PredictResponse.FromString)
    return call(given, timeout=options.pop("timeout", 10), **options)


ARRAYS: dict[str, Array] = {
    "float32": np.array([[0.1, np.inf], [-0.0, 3e38]], np.float32),
    "float64": np.array(1 / 3),
    "float16": np.array([1.5], np.float16),
    "int8": np.array([-128], np.int8),
    "int64": np.array([[2**63 - 1]], np.int64),
    "uint64": np.array([2**64 - 1], np.uint64),
    "bool": np.array([True, False]),
    "string": np.array([[b"\x00\xff", b""]], object),
    "complex64": np.array([1 + 2j], np.complex64),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_every_type_comes_back_as_it_went(channel: grpc.Channel, array: Array, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    made = PredictRequest()
    made.model_spec.name = f"id_{name}"
    made.inputs["x"].CopyFrom(TensorProto.FromString(encode(array)))
    response = predict(channel, made)
    np.testing.assert_array_equal(decode(response.outputs["y"], LIMIT), array, strict=True)
    assert not response.outputs["y"].tensor_content  # typed values, as the original answers


def test_the_answer_names_version_and_signature(channel: grpc.Channel) -> None:
    for asked, answered in ((None, 123), (122, 122), (0, 123)):
        given = request("half_plus_two", x=tensor([[1.0]]))
        if asked is not None:
            given.model_spec.version.value = asked
        spec = predict(channel, given).model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("half_plus_two", answered, "serving_default")


def test_output_filter(channel: grpc.Channel) -> None:
    given = request("two", ("difference",), a=tensor([3]), b=tensor([1]))
    response = predict(channel, given)
    assert list(response.outputs) == ["difference"]
    assert response.outputs["difference"].float_val == [2.0]


def without(field: str) -> Any:
    made = request(x=tensor([1.0]))
    made.model_spec.ClearField(field) if field != "model_spec" else made.ClearField(field)
    return made


def with_spec(**fields: Any) -> Any:
    made = request(x=tensor([1.0], np.float64))
    for name, value in fields.items():
        if name == "version":
            made.model_spec.version.value = value
        else:
            setattr(made.model_spec, name, value)
    return made


def huge() -> Any:
    made = request("id_float32", x=TensorProto(dtype=1, float_val=[1]))
    for _ in range(3):
        made.inputs["x"].tensor_shape.dim.add(size=1 << 40)
    return made


def many() -> Any:
    made = request("id_int8", x=TensorProto(dtype=6, int_val=[1]))
    made.inputs["x"].tensor_shape.dim.add(size=100_001)
    return made


C = grpc.StatusCode
ERRORS: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "no model_spec": (without("model_spec"), C.INVALID_ARGUMENT, "Missing ModelSpec"),
    "no name": (without("name"), C.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    "no such model": (with_spec(name="nobody"), C.NOT_FOUND, "Servable not found for request: Latest(nobody)"),
    "no such version": (with_spec(version=9), C.NOT_FOUND, "Servable not found for request: Specific(flat, 9)"),
    "unknown label": (with_spec(version_label="stable"), C.INVALID_ARGUMENT, "Unrecognized servable version label: stable"),
    "no such signature": (
        with_spec(signature_name="x"),
        C.FAILED_PRECONDITION,
        'Serving signature key "x" not found. The model has: serving_default.',
    ),
    "an input is missing": (
        request("two", a=tensor([1])),
        C.INVALID_ARGUMENT,
        "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. Missing but required: {b}.",
    ),
    "an input too many": (
        request("flat", x=tensor([1]), z=tensor([1])),
        C.INVALID_ARGUMENT,
        "input size does not match signature: 2!=1 len({x,z}) != len({x}). Sent extra: {z}. Missing but required: {}.",
    ),
    "another input": (
        request("flat", z=tensor([1])),
        C.INVALID_ARGUMENT,
        "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
    ),
    "another output": (
        request("two", ("z",), a=tensor([1]), b=tensor([1])),
        C.INVALID_ARGUMENT,
        "output tensor alias not found in signature: z Outputs expected to be in the set {difference,sum}.",
    ),
    "an output twice": (
        request("two", ("sum", "sum"), a=tensor([1]), b=tensor([1])),
        C.INVALID_ARGUMENT,
        "duplicate output tensor alias: sum",
    ),
    "a broken tensor": (
        request(x=TensorProto(dtype=1, tensor_content=b"123")),
        C.INVALID_ARGUMENT,
        "tensor parsing error: x: tensor_content has 3 bytes, expected 4 for float32 of shape [].",
    ),
    "2**120 elements": (
        huge(),
        C.INVALID_ARGUMENT,
        f"tensor parsing error: x: a float32 tensor of shape [{1 << 40}, {1 << 40}, {1 << 40}] is over {LIMIT} bytes. The limit is limits.max_message_bytes.",
    ),
    "too many elements": (
        many(),
        C.INVALID_ARGUMENT,
        "tensor parsing error: x: 100001 elements, expected at most 100000. The limit is limits.max_elements.",
    ),
    "a type not carried": (request(x=TensorProto(dtype=20)), C.UNIMPLEMENTED, "tensor parsing error: x: tensors of type DT_RESOURCE"),
    "wrong dtype": (request(x=tensor([1], np.int32)), C.INVALID_ARGUMENT, "input 'x' has dtype int32, expected float64"),
    "queue full": (request("full", x=tensor([1])), C.RESOURCE_EXHAUSTED, "the queue of full has 1024 requests."),
    "a bug of ours": (request("bug", x=tensor([1])), C.INTERNAL, "Internal error; the gateway's log has it under request id"),
}  # fmt: skip


@pytest.mark.parametrize("row", ERRORS.values(), ids=ERRORS.keys())
def test_errors(servers: Running, channel: grpc.Channel, row: tuple[Any, grpc.StatusCode, str]) -> None:
    given, code, text = row
    with pytest.raises(grpc.RpcError) as caught:
        predict(channel, given)
    assert caught.value.code() is code
    assert caught.value.details().startswith(text)
    assert "secret" not in caught.value.details()
    assert servers.predictor.leases == 0


def test_a_message_that_is_none(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"{SERVICE}Predict")(b"\xff\xff\xff", timeout=10)
    assert caught.value.code() is C.INVALID_ARGUMENT
    assert "is not a tensorflow.serving.PredictRequest" in caught.value.details()


def test_a_message_over_the_limit(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"{SERVICE}Predict")(bytes(LIMIT + 1), timeout=10)
    assert caught.value.code() is C.RESOURCE_EXHAUSTED


def test_session_run_is_unimplemented_as_there(channel: grpc.Channel) -> None:
    """The original ships its proto and does not register it."""
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/tensorflow.serving.SessionService/SessionRun")(b"", timeout=10)
    assert caught.value.code() is C.UNIMPLEMENTED


def test_request_id_travels(servers: Running, channel: grpc.Channel) -> None:
    call = channel.unary_unary(f"{SERVICE}Predict", PredictRequest.SerializeToString, PredictResponse.FromString)
    given = request(x=tensor([1], np.float64))
    _, done = call.with_call(given, metadata=(("x-request-id", "abc"),), timeout=10)
    assert servers.predictor.calls[-1].request_id == "abc"
    assert ("x-request-id", "abc") in [(k, v) for k, v in done.trailing_metadata()]
    assert servers.seen.requests[-1]["request_id"] == "abc"


def test_the_deadline_travels(servers: Running, channel: grpc.Channel) -> None:
    before = time.monotonic()
    predict(channel, request(x=tensor([1], np.float64)), timeout=5)
    deadline = servers.predictor.calls[-1].deadline
    assert deadline is not None
    assert 4.5 < deadline - before < 5.5


def test_a_late_answer_is_cancelled_and_its_lease_returned(servers: Running, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predict(channel, request("slow", x=tensor([30.0])), timeout=0.2)
    assert caught.value.code() is C.DEADLINE_EXCEEDED
    wait_until(lambda: servers.predictor.leases == 0)
    wait_until(lambda: servers.seen.requests[-1]["code"] == "CANCELLED")
    assert servers.seen.requests[-1]["model"] == "slow"


def test_cancellation_reaches_the_model(servers: Running, channel: grpc.Channel) -> None:
    call = channel.unary_unary(f"{SERVICE}Predict", PredictRequest.SerializeToString, PredictResponse.FromString)
    future = call.future(request("slow", x=tensor([30.0])), timeout=60)
    wait_until(lambda: servers.predictor.leases == 1)
    future.cancel()
    wait_until(lambda: servers.predictor.leases == 0)


def metadata(channel: grpc.Channel, given: Any) -> Any:
    call = channel.unary_unary(
        f"{SERVICE}GetModelMetadata", MetadataRequest.SerializeToString, MetadataResponse.FromString
    )
    return call(given, timeout=10)


def metadata_request(name: str = "half_plus_two", fields: tuple[str, ...] = ("signature_def",)) -> Any:
    made = MetadataRequest(metadata_field=fields)
    made.model_spec.name = name
    return made


def test_metadata(channel: grpc.Channel) -> None:
    response = metadata(channel, metadata_request())
    assert (response.model_spec.name, response.model_spec.version.value) == ("half_plus_two", 123)
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signature = SignatureDefMap.FromString(packed.value).signature_def["serving_default"]
    info = signature.inputs["x"]
    assert (info.name, info.dtype, [dim.size for dim in info.tensor_shape.dim]) == ("x:0", 1, [-1, 1])
    assert signature.method_name == "tensorflow/serving/predict"


METADATA_ERRORS: dict[str, tuple[Callable[[], Any], grpc.StatusCode, str]] = {
    "no field": (lambda: metadata_request(fields=()), C.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"),
    "another field": (lambda: metadata_request(fields=("x",)), C.INVALID_ARGUMENT, "Metadata field x is not supported"),
    "no model_spec": (MetadataRequest, C.INVALID_ARGUMENT, "Missing ModelSpec"),
    "no such model": (lambda: metadata_request("nobody"), C.NOT_FOUND, "Servable not found for request: Latest(nobody)"),
}  # fmt: skip


@pytest.mark.parametrize("row", METADATA_ERRORS.values(), ids=METADATA_ERRORS.keys())
def test_metadata_errors(channel: grpc.Channel, row: tuple[Callable[[], Any], grpc.StatusCode, str]) -> None:
    made, code, text = row
    with pytest.raises(grpc.RpcError) as caught:
        metadata(channel, made())
    assert (caught.value.code(), caught.value.details()) == (code, text)


def test_status(channel: grpc.Channel) -> None:
    call = channel.unary_unary(f"{MODELS}GetModelStatus", StatusRequest.SerializeToString, StatusResponse.FromString)

    def states(name: str, version: int | None = None) -> list[tuple[int, int, int, str]]:
        made = StatusRequest()
        made.model_spec.name = name
        if version is not None:
            made.model_spec.version.value = version
        found = call(made, timeout=10).model_version_status
        return [(s.version, s.state, s.status.error_code, s.status.error_message) for s in found]

    assert states("half_plus_two") == [(123, 30, 0, ""), (122, 30, 0, "")]
    assert states("half_plus_two", 122) == [(122, 30, 0, "")]
    assert states("broken") == [(7, 50, 9, "graph.onnx ends at byte 12. Copy it again.")]
    for name, version, text in (
        ("nobody", None, "Could not find any versions of model nobody"),
        ("flat", 7, "Could not find version 7 of model flat"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            states(name, version)
        assert (caught.value.code(), caught.value.details()) == (C.NOT_FOUND, text)


def test_health_follows_the_predictor(servers: Running, channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

    def check(service: str = "") -> int:
        return int(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status)

    assert check() == serving
    assert check("tensorflow.serving.PredictionService") == serving
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert next(watch).status == serving
    servers.predictor.ready = False
    try:
        assert check() == not_serving
        assert next(watch).status == not_serving
    finally:
        servers.predictor.ready = True
    watch.cancel()


def test_reflection_shows_our_services_and_their_messages(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    Ask = reflection_pb2.ServerReflectionRequest
    asked = [
        Ask(list_services=""),
        Ask(file_containing_symbol="tensorflow.serving.PredictionService"),
        Ask(file_containing_symbol="grpc.health.v1.Health"),
    ]
    listed, ours, health = stub.ServerReflectionInfo(iter(asked), timeout=10)
    assert {s.name for s in listed.list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    }
    assert any(b"tensor_content" in file for file in ours.file_descriptor_response.file_descriptor_proto)
    assert health.file_descriptor_response.file_descriptor_proto
