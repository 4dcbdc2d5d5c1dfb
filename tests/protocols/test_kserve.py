"""KServe v2 and Triton beyond what was recorded: our own rules, errors of state, streams, settings, the repository."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import http.client
import json
import logging
import os
import socket
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest

from gateway.config import Settings
from gateway.core.dtypes import Tensors
from gateway.core.signature import Signature, parse_spec
from gateway.errors import (
    CorruptModel,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    ModelExists,
    ModelNotFound,
    ModelRunError,
    Overloaded,
    RegionExists,
    UnsupportedType,
)
from gateway.protocols.http import Response as HttpResponse
from gateway.protocols.http import compressed, inflate, wanted_coding
from gateway.protocols.kserve_infer import classify
from gateway.protocols.kserve_settings import LogSettings, Tracer
from gateway.protocols.pool import message
from gateway.protocols.shared_memory import SharedMemory
from gateway.serving.control import CONFIG_PBTXT
from tests.protocols.double import Model, Running, identity, running, wait_until

SERVICE = "/inference.GRPCInferenceService/"


async def slow(tensors: Tensors) -> Tensors:
    await asyncio.sleep(float(tensors["x"].reshape(-1)[0]))
    return {"y": tensors["x"]}


def refuse(error: Exception) -> Any:
    def run(_: Tensors) -> Tensors:
        raise error

    return run


def models() -> dict[str, Model]:
    vector = Signature((parse_spec("x:float32[?]"),), (parse_spec("y:float32[?]"),))
    named = replace(vector, inputs=(parse_spec("image:float32[?]"),), outputs=(parse_spec("scores:float32[?]"),))
    found = {f"id_{kind}": identity(kind) for kind in ("bfloat16", "float16", "string", "bool", "complex64", "int8")}
    found |= {
        "vector": Model(lambda t: {"y": t["x"]}, vector, versions=(1, 2)),
        "named": Model(lambda t: {"scores": t["image"]}, named),
        "matrix": Model(
            lambda t: {"y": t["x"]}, Signature((parse_spec("x:float32[?,?]"),), (parse_spec("y:float32[?,?]"),))
        ),
        "cube": Model(
            lambda t: {"y": t["x"]}, Signature((parse_spec("x:float32[?,?,?]"),), (parse_spec("y:float32[?,?,?]"),))
        ),
        "scalar": Model(lambda t: {"y": t["x"]}, Signature((parse_spec("x:int64[]"),), (parse_spec("y:int64[]"),))),
        "slow": Model(slow, vector),
        "full": Model(refuse(Overloaded("the queue of full has 1024 requests.")), vector),
        "late": Model(refuse(DeadlineExceeded("no answer within the deadline.")), vector),
        "bug": Model(refuse(KeyError("secret inside")), vector),
        "fails": Model(refuse(ModelRunError("the model failed.")), vector),
    }
    return found


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running(models=models()) as live:
        yield live


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


def call(servers: Running, path: str, body: Any = None, method: str = "", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(servers.addresses["http"], timeout=20)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def infer(servers: Running, model: str, inputs: list[Any], raw: bytes = b"", **more: Any) -> Answer:
    text = json.dumps({"inputs": inputs, **more}).encode()
    headers = {"Inference_Header_Content_Length": str(len(text))} if raw else {}
    return call(servers, f"/v2/models/{model}/infer", text + raw, **headers)


def tensor(kind: str, shape: list[int], data: Any = None, **parameters: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": "x", "datatype": kind, "shape": shape}
    return found | ({} if data is None else {"data": data}) | ({"parameters": parameters} if parameters else {})


def rpc(servers: Running, name: str, request: Any = b"") -> Any:
    kind = message(f"inference.{name}Request")
    request = kind(**request) if isinstance(request, dict) else request
    body = request if isinstance(request, bytes) else request.SerializeToString()
    with grpc.insecure_channel(servers.addresses["grpc"]) as channel:
        answer = channel.unary_unary(SERVICE + name)(body, timeout=20)
    return message(f"inference.{name}Response").FromString(answer)


def request_of(model: str, array: np.ndarray[Any, Any], kind: str, **more: Any) -> Any:
    request = message("inference.ModelInferRequest")(model_name=model, **more)
    request.inputs.add(name="x", datatype=kind, shape=list(array.shape))
    request.raw_input_contents.append(array.tobytes())
    return request


# -- values


HALVES = {
    "BF16": np.array([1.5, -2.0, 3e38], ml_dtypes.bfloat16),
    "FP16": np.array([1.5, -2.0, 65504], np.float16),
}


@pytest.mark.parametrize("kind", HALVES)
def test_half_types_travel_raw(servers: Running, kind: str) -> None:
    array = HALVES[kind]
    name = {"BF16": "id_bfloat16", "FP16": "id_float16"}[kind]
    raw = array.tobytes()
    answer = infer(servers, name, [tensor(kind, [3], binary_data_size=6)], raw, parameters={"binary_data_output": True})
    assert answer.body.endswith(raw)
    assert json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])["outputs"][0] == {
        "name": "y",
        "datatype": kind,
        "shape": [3],
        "parameters": {"binary_data_size": 6},
    }
    found = rpc(servers, "ModelInfer", request_of(name, array, kind))
    assert (found.outputs[0].datatype, found.raw_output_contents[0]) == (kind, raw)


TEXTS: dict[str, tuple[Any, dict[str, Any], list[bytes]]] = {
    "UTF-8 text": (["a", "caf\u00e9"], {}, [b"a", b"caf\xc3\xa9"]),
    "b64 objects": ([{"b64": "/wA="}, "b"], {}, [b"\xff\x00", b"b"]),
    "content_type base64": (["/wA=", "YQ=="], {"content_type": "base64"}, [b"\xff\x00", b"a"]),
    "no element": ([], {}, []),
}


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS.keys())
def test_strings_of_json(servers: Running, row: tuple[Any, dict[str, Any], list[bytes]]) -> None:
    data, parameters, expected = row
    answer = infer(servers, "id_string", [tensor("BYTES", [len(data)], data, **parameters)],
                   parameters={"binary_data_output": True})  # fmt: skip
    assert answer.status == 200, answer.body
    assert servers.predictor.calls[-1].inputs["x"].tolist() == expected


VALUES: dict[str, tuple[str, dict[str, Any], Any]] = {  # model, tensor, what arrives
    "a scalar": ("scalar", tensor("INT64", [], [7]), np.array(7, np.int64)),
    "a bare value": ("scalar", tensor("INT64", [], 7), np.array(7, np.int64)),
    "bools": ("id_bool", tensor("BOOL", [2], [True, False]), np.array([True, False])),
    "1.0 for an integer": ("id_int8", tensor("INT8", [1], [1.0]), np.array([1], np.int8)),
    "infinity": ("vector", tensor("FP32", [2], [float("inf"), 1]), np.array([np.inf, 1], np.float32)),
}


@pytest.mark.parametrize("row", VALUES.values(), ids=VALUES.keys())
def test_values_of_json(servers: Running, row: tuple[str, dict[str, Any], Any]) -> None:
    model, given, expected = row
    answer = infer(servers, model, [given], outputs=[{"name": "y", "parameters": {"binary_data": False}}])
    assert answer.status == 200, answer.body
    np.testing.assert_array_equal(servers.predictor.calls[-1].inputs["x"], expected, strict=True)


def test_binary_tensors_are_used_where_they_lie(servers: Running) -> None:
    raw = np.arange(1000, dtype=np.float32).tobytes()
    assert infer(servers, "vector", [tensor("FP32", [1000], binary_data_size=4000)], raw).status == 200
    arrived = servers.predictor.calls[-1].inputs["x"]
    assert not arrived.flags.owndata
    assert not arrived.flags.writeable


RAW: dict[str, tuple[str, bytes, tuple[int, ...] | str]] = {  # model, body, the shape that arrives or the error
    "one free dimension": ("vector", bytes(12), (3,)),
    "two: the first is a batch of 1": ("matrix", bytes(12), (1, 3)),
    "three cannot be deduced": ("cube", bytes(12), "has 2 free dimensions and cannot be deduced from a raw body"),
    "unknown rank is a vector": ("id_int8", b"\x01\x02", (2,)),
    "a string is one element": ("id_string", b"\x00any bytes", (1,)),
}


@pytest.mark.parametrize("row", RAW.values(), ids=RAW.keys())
def test_raw_bodies(servers: Running, row: tuple[str, bytes, tuple[int, ...] | str]) -> None:
    model, body, expected = row
    answer = call(servers, f"/v2/models/{model}/infer", body, Inference_Header_Content_Length="0")
    if isinstance(expected, str):
        assert answer.status == 400
        assert expected in answer.error
        return
    assert answer.status == 200, answer.body
    assert servers.predictor.calls[-1].inputs["x"].shape == expected


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {  # model, document, words of the answer
    "every problem at once, with the nearest name": (
        "named",
        {"inputs": [{"name": "imag", "datatype": "FP32", "shape": [1], "data": [1]}]},
        "unexpected inference input 'imag' for model 'named'. Did you mean 'image'?; expected 1 inputs but got 1",
    ),
    "an unknown output names the nearest": (
        "named",
        {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [1]}], "outputs": [{"name": "score"}]},
        "unexpected inference output 'score' for model 'named'. Did you mean 'scores'? The outputs are: scores.",
    ),
    "the inputs that there are": (
        "vector",
        {"inputs": [tensor("INT8", [1], [1])]},
        "data-type is 'INT8', but model 'vector' expects 'FP32'. The inputs are: x FP32 [-1].",
    ),
    "a datatype names the nearest": (
        "vector",
        {"inputs": [tensor("FP322", [1], [1])]},
        "data-type is 'FP322', but model 'vector' expects 'FP32'. Did you mean 'FP32'?",
    ),
    "true among numbers": ("vector", {"inputs": [tensor("FP32", [2], [1.5, True])]}, "JSON Value: true Type: True"),
    "ragged data": ("vector", {"inputs": [tensor("FP32", [3], [[1, 2], [3]])]}, "Encountered list at unexpected size"),
    "not base64": (
        "id_string",
        {"inputs": [tensor("BYTES", [1], ["*"], content_type="base64")]},
        "input 'x': \"*\" is not base64",
    ),
    "a shape that is none": ("vector", {"inputs": [tensor("FP32", 3, [1])]}, "the shape of input 'x' is 3"),  # type: ignore[arg-type]
    "too many dimensions": ("vector", {"inputs": [tensor("FP32", [1] * 65, [1])]}, "expected at most 64 sizes"),
    "binary_data_size that is none": (
        "vector",
        {"inputs": [tensor("FP32", [1], binary_data_size="4")]},
        "input 'x': binary_data_size is \"4\", expected a number of bytes",
    ),
    "binary_data that is none": (
        "vector",
        {"inputs": [tensor("FP32", [1], [1])], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]},
        "output 'y': binary_data is 1, expected true or false",
    ),
    "binary_data_output that is none": (
        "vector",
        {"inputs": [tensor("FP32", [1], [1])], "parameters": {"binary_data_output": 1}},
        "the parameter binary_data_output is 1, expected true or false",
    ),
    "a negative class count": (
        "vector",
        {"inputs": [tensor("FP32", [1], [1])], "outputs": [{"name": "y", "parameters": {"classification": -1}}]},
        "output 'y': classification is -1, expected a number of classes",
    ),
    "parameters that are none": (
        "vector",
        {"inputs": [tensor("FP32", [1], [1])], "parameters": [1]},
        "Unable to parse 'parameters' of the request: [1] is not an object",
    ),
    "an output without a name": (
        "vector",
        {"inputs": [tensor("FP32", [1], [1])], "outputs": [{}]},
        "Unable to parse 'name': an output has no 'name'",
    ),
    "a timeout that is none": (
        "vector",
        {"inputs": [tensor("FP32", [1], [1])], "parameters": {"timeout": -1}},
        "the parameter timeout is -1, expected microseconds",
    ),
    "the id of an input is a number": (
        "vector",
        {"inputs": [{"name": 1, "datatype": "FP32", "shape": [1], "data": [1]}]},
        'name and datatype of an input are text, found 1 and "FP32"',
    ),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_wrong_requests(servers: Running, row: tuple[str, dict[str, Any], str]) -> None:
    model, document, expected = row
    answer = call(servers, f"/v2/models/{model}/infer", document)
    assert (answer.status, expected in answer.error) == (400, True), answer.body


def test_complex_numbers_have_no_name_in_the_protocol(servers: Running) -> None:
    answer = infer(servers, "id_complex64", [tensor("COMPLEX64", [1], [1])])
    assert answer.status == 400, answer.body
    metadata = call(servers, "/v2/models/id_complex64").json
    assert metadata["inputs"] == [{"name": "x", "datatype": "COMPLEX64", "shape": []}]


# -- state


STATES: dict[str, tuple[str, int, str, str]] = {  # model, HTTP, gRPC, words
    "a full queue": ("full", 503, "UNAVAILABLE", "the queue of full has 1024 requests"),
    "the deadline": ("late", 504, "DEADLINE_EXCEEDED", "no answer within the deadline"),
    "the model fails": ("fails", 500, "INTERNAL", "the model failed"),
    "a fault of ours says nothing of the inside": ("bug", 500, "INTERNAL", "Internal error; the gateway's log has it"),
    "a version that is not loaded": ("broken/versions/7", 503, "", "version 7 is not at ready state"),
    "no version of it serves": ("broken", 404, "NOT_FOUND", "'broken' has no available versions"),
    "a version that is not there": ("vector/versions/9", 404, "", "version 9 is not found Its versions are: 2, 1."),
    "sequences": (
        "vector",
        501,
        "UNIMPLEMENTED",
        "sequences are not served: the request has the parameter sequence_id",
    ),
    "the timeout of the request": ("late", 503, "UNAVAILABLE", "Request timeout expired"),
}


@pytest.mark.parametrize("name", STATES)
def test_states(servers: Running, name: str) -> None:
    model, status, code, words = STATES[name]
    parameters: dict[str, Any] = {}
    if name == "sequences":
        parameters = {"sequence_id": 5}
    if name == "the timeout of the request":
        parameters = {"timeout": 1000}
    answer = infer(servers, model, [tensor("FP32", [1], [1])], parameters=parameters)
    assert (answer.status, words.partition(" Its ")[0] in answer.error) == (status, True), answer.body
    assert "secret" not in answer.error
    if not code:
        return
    request = request_of(model, np.ones(1, np.float32), "FP32")
    for key, value in parameters.items():
        request.parameters[key].int64_param = value
    with pytest.raises(grpc.RpcError) as caught:
        rpc(servers, "ModelInfer", request)
    assert (caught.value.code().name, words in caught.value.details()) == (code, True)


def test_each_inference_is_observed_once_and_the_lease_comes_back(servers: Running) -> None:
    before = len(servers.seen.requests)
    infer(servers, "vector", [tensor("FP32", [1], [1])])
    infer(servers, "nobody", [tensor("FP32", [1], [1])])
    rpc(servers, "ModelInfer", request_of("vector", np.ones(1, np.float32), "FP32"))
    told = [(r["protocol"], r["model"], r["version"], r["code"]) for r in servers.seen.requests[before:]]
    assert told == [
        ("kserve-rest", "vector", 2, "OK"),
        ("kserve-rest", "", None, "NOT_FOUND"),
        ("kserve-grpc", "vector", 2, "OK"),
    ]
    assert servers.predictor.leases == 0


def test_health_agrees_everywhere(servers: Running) -> None:
    for ready in (True, False):
        servers.predictor.ready = ready
        try:
            rest = call(servers, "/v2/health/ready")
            assert (rest.status, rest.json) == ((200, {"ready": True, "live": True}) if ready else (400, rest.json))
            assert rpc(servers, "ServerReady").ready is ready
            assert call(servers, "/healthz/ready").status == (200 if ready else 503)
            assert call(servers, "/v2/health/live").status == 200
        finally:
            servers.predictor.ready = True


def test_statistics_are_those_of_the_predictor(servers: Running) -> None:
    before = call(servers, "/v2/models/matrix/stats").json["model_stats"][0]["inference_stats"]["success"]["count"]
    assert infer(servers, "matrix", [tensor("FP32", [1, 1], [1])]).status == 200
    (rest,) = call(servers, "/v2/models/matrix/versions/1/stats").json["model_stats"]
    assert rest["inference_stats"]["success"]["count"] == before + 1
    assert rest["inference_stats"]["compute_infer"] == {"count": before + 1, "ns": 4 * (before + 1)}
    assert rest["batch_stats"][0]["batch_size"] == 1
    (found,) = rpc(servers, "ModelStatistics", {"name": "matrix"}).model_stats
    assert (found.inference_count, found.inference_stats.queue.ns) == (before + 1, 2 * (before + 1))
    everything = call(servers, "/v2/models/stats").json["model_stats"]
    assert {(row["name"], row["version"]) for row in everything} >= {("vector", "1"), ("vector", "2"), ("slow", "1")}


# -- streams


def test_a_stream_answers_in_order_whoever_is_done_first(servers: Running) -> None:
    kind = message("inference.ModelStreamInferResponse")

    def requests() -> Iterator[bytes]:
        for number, seconds in enumerate((0.3, 0.1, 0.0)):
            yield request_of("slow", np.array([seconds], np.float32), "FP32", id=str(number)).SerializeToString()

    with grpc.insecure_channel(servers.addresses["grpc"]) as channel:
        stream = channel.stream_stream(SERVICE + "ModelStreamInfer")(requests(), timeout=20)
        assert [kind.FromString(answer).infer_response.id for answer in stream] == ["0", "1", "2"]


def test_a_client_that_leaves_a_stream_cancels_what_runs(servers: Running) -> None:
    """All three run at a time: a stream does not wait for its answers before it reads on."""

    def requests() -> Iterator[bytes]:
        for _ in range(3):
            yield request_of("slow", np.array([30.0], np.float32), "FP32").SerializeToString()

    with grpc.insecure_channel(servers.addresses["grpc"]) as channel:
        stream = channel.stream_stream(SERVICE + "ModelStreamInfer")(requests(), timeout=20)
        wait_until(lambda: servers.predictor.leases == 3)
        stream.cancel()
        wait_until(lambda: servers.predictor.leases == 0)


def test_a_message_beyond_the_limit_is_refused() -> None:
    request = request_of("vector", np.zeros(5000, np.float32), "FP32").SerializeToString()
    with (
        running(models=models(), max_message_bytes=10_000) as live,
        grpc.insecure_channel(live.addresses["grpc"]) as ch,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            ch.unary_unary(SERVICE + "ModelInfer")(request, timeout=20)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_bytes_that_are_no_message(servers: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        rpc(servers, "ModelInfer", b"\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "is not a inference.ModelInferRequest" in caught.value.details()


# -- compression


CODINGS = {
    "": b"",
    "gzip": b"gzip",
    "deflate": b"deflate",
    "br": b"",
    "br, gzip": b"gzip",
    "deflate, gzip": b"deflate",
    "gzip;q=0.5, deflate;q=0.8": b"deflate",
    "gzip;q=0.5, identity": b"",
    "gzip;q=0": b"",
    "gzip;q=much": b"",
    "GZIP": b"gzip",
}


@pytest.mark.parametrize("accept", CODINGS)
def test_codings(accept: str) -> None:
    assert wanted_coding(accept.encode()) == CODINGS[accept]


def test_what_is_compressed_reads_back() -> None:
    body = b"x" * 1000
    for coding, read in ((b"gzip", gzip.decompress), (b"deflate", zlib.decompress)):
        answer = compressed(HttpResponse(body, headers=((b"a", b"b"),)), coding)
        assert (read(answer.body), answer.headers) == (body, ((b"a", b"b"), (b"content-encoding", coding)))


def test_deflate_bodies_with_and_without_zlibs_header() -> None:
    bare = zlib.compressobj(wbits=-15)
    assert inflate(zlib.compress(b"abc"), 10) == b"abc"
    assert inflate(bare.compress(b"abc") + bare.flush(), 10) == b"abc"
    with pytest.raises(InvalidRequest, match="is not deflate"):
        inflate(b"\x78nonsense", 10)
    with pytest.raises(GatewayError, match="over 10 bytes when decompressed"):
        inflate(zlib.compress(bytes(100)), 10)


# -- classification


CLASSES: dict[str, tuple[Any, int, bool, list[bytes]]] = {
    "floats": (np.array([0.1, 0.7], np.float32), 2, False, [b"0.700000:1:b", b"0.100000:0:a"]),
    "integers": (np.array([3, 9, 5], np.int64), 2, False, [b"9:1:b", b"5:2"]),
    "the earlier of two equals first": (np.array([1, 2, 2, 1], np.int8), 3, False, [b"2:1:b", b"2:2", b"1:0:a"]),
    "NaN last": (np.array([np.nan, 1, np.nan, 2]), 4, False, [b"2.000000:3", b"1.000000:1:b", b"nan:0:a", b"nan:2"]),
    "the smallest of unsigned": (np.array([0, 255], np.uint8), 1, False, [b"255:1:b"]),
    "each row of a batch": (np.array([[1, 2], [4, 3]]), 1, True, [b"2:1:b", b"4:0:a"]),
    "half precision": (np.array([1.5, 2.5], np.float16), 1, False, [b"2.500000:1:b"]),
    "bfloat16": (np.array([1.5, 2.5], ml_dtypes.bfloat16), 1, False, [b"2.500000:1:b"]),
}


@pytest.mark.parametrize("row", CLASSES.values(), ids=CLASSES.keys())
def test_classes(row: tuple[Any, int, bool, list[bytes]]) -> None:
    array, count, batched, expected = row
    found = classify(array, count, ("a", "b"), batched=batched, name="y")
    assert found.reshape(-1).tolist() == expected
    assert found.ndim == (2 if batched else 1)


# -- shared memory


def test_shared_memory_is_off_unless_it_is_allowed(servers: Running) -> None:
    assert "system_shared_memory" not in call(servers, "/v2").json["extensions"]
    for path, body in (
        ("/v2/systemsharedmemory/status", None),
        ("/v2/systemsharedmemory/unregister", b""),
        ("/v2/systemsharedmemory/region/r/register", {"key": "/k", "byte_size": 4}),
    ):
        answer = call(servers, path, body)
        assert (answer.status, "The setting shared_memory = true" in answer.error) == (501, True)
    given = tensor("FP32", [1], shared_memory_region="r", shared_memory_byte_size=4)
    assert infer(servers, "vector", [given]).status == 501


@dataclass
class Object:
    """A POSIX shared memory object of `size` bytes."""

    size: int
    name: str = field(default_factory=lambda: f"model-gateway-test-{os.getpid()}-{os.urandom(4).hex()}")

    @property
    def path(self) -> Path:
        return Path("/dev/shm") / self.name

    def __enter__(self) -> Object:
        self.path.write_bytes(bytes(range(self.size)))
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)


REGIONS: dict[str, tuple[str, int, int, type[Exception], str]] = {
    "a key that is not there": ("no-such-object", 0, 4, InvalidRequest, "Unable to open shared memory region: 'r'"),
    "a path": ("../etc/passwd", 0, 4, InvalidRequest, "Unable to open shared memory region: 'r'"),
    "a folder": ("..", 0, 4, InvalidRequest, "Unable to open shared memory region: 'r'"),
    "more than the object has": ("{}", 0, 17, InvalidRequest, "Unable to open shared memory region: 'r'"),
    "beyond its end": ("{}", 16, 1, InvalidRequest, "Unable to open shared memory region: 'r'"),
    "nothing": ("{}", 0, 0, InvalidRequest, "offset 0 and byte_size 0, expected"),
    "a negative offset": ("{}", -1, 4, InvalidRequest, "offset -1 and byte_size 4, expected"),
    "an absurd size": ("{}", 0, 1 << 63, InvalidRequest, "expected an offset of 0 or more"),
}


@pytest.mark.parametrize("row", REGIONS.values(), ids=REGIONS.keys())
def test_regions_that_are_refused(row: tuple[str, int, int, type[Exception], str]) -> None:
    key, offset, size, kind, words = row
    with Object(16) as there:
        memory = SharedMemory(allowed=True)
        with pytest.raises(kind) as caught:
            memory.register("r", key.format(there.name), offset, size)
        assert words in str(caught.value)
        assert there.name not in str(caught.value)
        assert memory.status() == []


def test_a_link_is_not_followed() -> None:
    with Object(16) as there:
        link = there.path.with_name(there.name + "-link")
        link.symlink_to(there.path)
        try:
            with pytest.raises(InvalidRequest):
                SharedMemory(allowed=True).register("r", link.name, 0, 4)
        finally:
            link.unlink()


def test_a_region_is_read_and_written_within_its_bounds() -> None:
    with Object(16) as there:
        memory = SharedMemory(allowed=True)
        memory.register("r", "/" + there.name, 4, 8)
        with pytest.raises(RegionExists, match="already in manager"):
            memory.register("r", there.name, 0, 4)
        window = memory.window(
            {"shared_memory_region": "r", "shared_memory_offset": 2, "shared_memory_byte_size": 4}, "x"
        )
        assert window is not None
        assert window.read() == bytes([6, 7, 8, 9])
        window.write(b"abcd", "y")
        assert there.path.read_bytes()[4:12] == bytes([4, 5]) + b"abcd" + bytes([10, 11])
        with pytest.raises(GatewayError, match="should be at least 5 bytes to hold the results"):
            window.write(b"abcde", "y")
        for offset, size in ((2, 7), (9, 0), (8, 1)):
            given = {"shared_memory_region": "r", "shared_memory_offset": offset, "shared_memory_byte_size": size}
            with pytest.raises(GatewayError, match="Invalid offset \\+ byte size for shared memory region: 'r'"):
                memory.window(given, "x")
        there.path.write_bytes(b"short")  # the client cuts it: an error, not the end of the gateway
        for work in (window.read, lambda: window.write(b"abcd", "y")):
            with pytest.raises(GatewayError, match="is shorter than it was"):
                work()
        memory.unregister("r")
        memory.unregister("r")
        with pytest.raises(ModelNotFound):
            memory.status("r")


def test_regions_are_closed(tmp_path: Path) -> None:
    with Object(16) as there:
        memory = SharedMemory(allowed=True)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(5):
            memory.register(f"r{number}", there.name, 0, 4)
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 5
        memory.unregister()
        assert len(list(Path("/proc/self/fd").iterdir())) == before


# -- trace and log settings


class _Lease:
    model, version = "m", 3


def test_traces_are_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    tracer = Tracer()
    tracer.update({"trace_level": ["TIMESTAMPS"], "trace_rate": "2", "trace_count": "2"}, "m")
    with caplog.at_level(logging.WARNING, "gateway.trace"):
        for number in range(10):
            tracer.traced(_Lease(), str(number), 1000, 3000)  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == [
        "trace: m version 3, request '1': 1000 to 3000 ns, 2.0 us",
        "trace: m version 3, request '3': 1000 to 3000 ns, 2.0 us",
    ]
    assert tracer.settings("m")["trace_count"] == "0"


def test_a_model_inherits_what_it_does_not_say() -> None:
    tracer = Tracer()
    tracer.update({"trace_rate": "7"})
    tracer.update({"trace_level": ["TIMESTAMPS"]}, "m")
    assert tracer.settings("m") == tracer.settings() | {"trace_level": ["TIMESTAMPS"]}
    tracer.update({"trace_level": None}, "m")
    tracer.update({"trace_rate": None})
    assert tracer.settings("m") == tracer.settings()
    assert tracer.settings()["trace_rate"] == "1000"


TRACES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "tensors": ({"trace_level": ["TENSORS"]}, UnsupportedType, "trace level TENSORS is not served"),
    "another mode": ({"trace_mode": "opentelemetry"}, UnsupportedType, "trace mode 'opentelemetry' is not served"),
    "a file": ({"trace_file": "/tmp/x"}, UnsupportedType, "trace file location can not be updated"),
    "a level that is none": ({"trace_level": ["LOUD"]}, InvalidRequest, "unknown trace level 'LOUD'"),
    "a count below -1": ({"trace_count": "-2"}, InvalidRequest, "Unable to parse 'trace_count', got: -2"),
    "the nearest": ({"trace_rat": "1"}, InvalidRequest, "Did you mean 'trace_rate'?"),
}


@pytest.mark.parametrize("row", TRACES.values(), ids=TRACES.keys())
def test_trace_settings_that_are_refused_change_nothing(row: tuple[dict[str, Any], type[Exception], str]) -> None:
    tracer = Tracer()
    with pytest.raises(row[1]) as caught:
        tracer.update({"trace_rate": "5", **row[0]})
    assert row[2] in str(caught.value)
    assert tracer.settings() == Tracer().settings()


LEVELS = {
    "verbose": ({"log_verbose_level": 1}, logging.DEBUG),
    "as it was": ({"log_verbose_level": 0, "log_format": "default", "log_file": ""}, logging.INFO),
    "no information": ({"log_info": False}, logging.WARNING),
    "errors alone": ({"log_info": False, "log_warning": False}, logging.ERROR),
    "nothing": ({"log_info": False, "log_warning": False, "log_error": False}, logging.CRITICAL),
}


@pytest.mark.parametrize("row", LEVELS.values(), ids=LEVELS.keys())
def test_log_levels(row: tuple[dict[str, Any], int]) -> None:
    logger = logging.getLogger("tests.kserve.log")
    settings = LogSettings(logger)
    settings.update(row[0])
    assert logger.level == row[1]
    assert settings.settings() | row[0] == settings.settings()


LOGS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "warnings off, information on": ({"log_warning": False}, UnsupportedType, "while a lesser one is on"),
    "a switch that is text": ({"log_info": "no"}, InvalidRequest, "log_info is 'no', expected true or false"),
    "a negative level": ({"log_verbose_level": -1}, InvalidRequest, "expected a whole number of 0 or more"),
    "the nearest": ({"log_warnings": True}, InvalidRequest, "Did you mean 'log_warning'?"),
}


@pytest.mark.parametrize("row", LOGS.values(), ids=LOGS.keys())
def test_log_settings_that_are_refused_change_nothing(row: tuple[dict[str, Any], type[Exception], str]) -> None:
    settings = LogSettings(logging.getLogger("tests.kserve.log"))
    with pytest.raises(row[1]) as caught:
        settings.update({"log_verbose_level": 2, **row[0]})
    assert row[2] in str(caught.value)
    assert settings.settings()["log_verbose_level"] == 0


# -- the repository


def test_the_index(servers: Running) -> None:
    rows = call(servers, "/v2/repository/index", b"").json
    assert {"name": "vector", "version": "2", "state": "READY"} in rows
    assert {"name": "never-tried"} in rows
    ready = call(servers, "/v2/repository/index", {"ready": True}).json
    assert {"name": "never-tried"} not in ready
    found = rpc(servers, "RepositoryIndex", {"ready": True}).models
    assert sorted((m.name, m.version, m.state) for m in found) == sorted(
        (r["name"], r["version"], r["state"]) for r in ready
    )


def test_load_and_unload_reach_the_control(servers: Running) -> None:
    servers.control.calls.clear()
    assert call(servers, "/v2/repository/models/vector/load", b"").body == b""
    config = {"max_batch_size": 2, "versionPolicy": {"all": {}}}
    given = {"config": json.dumps(config), "file:1/m.onnx": base64.b64encode(b"abc").decode()}
    assert call(servers, "/v2/repository/models/vector/load", {"parameters": given}).status == 200
    assert call(servers, "/v2/repository/models/vector/load", {"parameters": {"config": "{}"}}).status == 200
    request = message("inference.RepositoryModelLoadRequest")(model_name="vector")
    request.parameters["config"].string_param = json.dumps(config)
    request.parameters["file:1/m.onnx"].bytes_param = b"abc"
    rpc(servers, "RepositoryModelLoad", request)
    assert (
        call(servers, "/v2/repository/models/vector/unload", {"parameters": {"unload_dependents": True}}).status == 200
    )
    rpc(servers, "RepositoryModelUnload", {"model_name": "vector"})
    text = b"version_policy {\n  all {\n  }\n}\nmax_batch_size: 2\n"
    files = {"files": {"1/m.onnx": b"abc", "config.pbtxt": text}}
    assert servers.control.calls == [
        ("load", "vector", {"extra": {}}),
        ("load", "vector", files),
        ("load", "vector", {"extra": {CONFIG_PBTXT: "max_batch_size: 0\n"}}),
        ("load", "vector", files),
        ("unload", "vector"),
        ("unload", "vector"),
    ]


LOADS: dict[str, tuple[Any, int, str]] = {
    "files without a config": ({"file:1/m.onnx": ""}, 400, "the parameter config is missing"),
    "a file that is not base64": ({"config": "{}", "file:1/m": "*"}, 400, "'file:1/m' is not base64"),
    "a file that is a number": ({"config": "{}", "file:1/m": 1}, 400, "'file:1/m' is no file"),
    "an unknown parameter": ({"confg": "{}"}, 400, "unrecognized parameter 'confg'"),
    "a config that is no text": ({"config": {}}, 400, "the parameter config is not text"),
    "a config that is no JSON": ({"config": "{"}, 400, "the parameter config is no ModelConfig as JSON"),
    "a config with an unknown field": ({"config": '{"max_batch": 1}'}, 400, "no ModelConfig as JSON"),
    "a config with sequences": ({"config": '{"sequence_batching": {}}'}, 400, "sequence models are not served"),
    "parameters that are none": ([1], 400, "Unable to parse 'parameters'"),
}


@pytest.mark.parametrize("row", LOADS.values(), ids=LOADS.keys())
def test_loads_that_are_refused(servers: Running, row: tuple[Any, int, str]) -> None:
    servers.control.calls.clear()
    answer = call(servers, "/v2/repository/models/vector/load", {"parameters": row[0]})
    assert (answer.status, row[2] in answer.error) == (row[1], True), answer.body
    assert servers.control.calls == []


FAILS: dict[str, tuple[GatewayError, int, str, str]] = {
    "no such model": (ModelNotFound("x"), 404, "NOT_FOUND", "failed to load 'vector', failed to poll from model"),
    "a model that cannot be read": (CorruptModel("graph.onnx ends."), 400, "INVALID_ARGUMENT", "graph.onnx ends."),
    "another source has it": (ModelExists("it is taken."), 400, "ALREADY_EXISTS", "it is taken."),
}


@pytest.mark.parametrize("row", FAILS.values(), ids=FAILS.keys())
def test_loads_that_fail(servers: Running, row: tuple[GatewayError, int, str, str]) -> None:
    error, status, code, words = row
    servers.control.error = error
    answer = call(servers, "/v2/repository/models/vector/load", b"")
    assert (answer.status, words in answer.error) == (status, True), answer.body
    servers.control.error = error
    with pytest.raises(grpc.RpcError) as caught:
        rpc(servers, "RepositoryModelLoad", {"model_name": "vector"})
    assert (caught.value.code().name, words in caught.value.details()) == (code, True)


def test_load_and_unload_need_the_explicit_mode(servers: Running) -> None:
    servers.control.mode = "poll"
    try:
        for what in ("load", "unload"):
            answer = call(servers, f"/v2/repository/models/vector/{what}", b"")
            assert (answer.status, "explicit model load / unload is not allowed" in answer.error) == (503, True)
            assert 'model_control = "explicit"' in answer.error
    finally:
        servers.control.mode = "explicit"


def test_a_repository_has_no_name(servers: Running) -> None:
    answer = call(servers, "/v2/repository/mine/index", b"")
    assert (answer.status, answer.error) == (
        501,
        "'repository_name' specification is not supported. There is one repository.",
    )


def test_unload_knows_one_parameter(servers: Running) -> None:
    answer = call(servers, "/v2/repository/models/vector/unload", {"parameters": {"force": True}})
    assert (answer.status, "unrecognized parameter 'force'" in answer.error) == (400, True)


def test_models_are_listed_as_kserve_does(servers: Running) -> None:
    assert "vector" in call(servers, "/v2/models").json["models"]


@contextlib.contextmanager
def counting(address: str) -> Iterator[tuple[str, list[int]]]:
    """A forwarder to `address` that counts the bytes that come back: (its own address, [count])."""
    count = [0]
    listener = socket.create_server(("127.0.0.1", 0))
    host, _, port = address.rpartition(":")

    def forward(source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                count[0] += len(data) if counted else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            server = socket.create_connection((host, int(port)))
            threading.Thread(target=forward, args=(client, server, False), daemon=True).start()
            with client, server:
                forward(server, client, True)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", count
    finally:
        listener.close()
        thread.join(10)


@pytest.mark.parametrize("setting", ["none", "gzip", "deflate"])
def test_grpc_answers_are_compressed_when_the_setting_says_so(setting: str) -> None:
    request = request_of("vector", np.zeros(50_000, np.float32), "FP32").SerializeToString()
    with running(Settings(grpc_compression=setting), models=models()) as live:
        with counting(live.addresses["grpc"]) as (address, count), grpc.insecure_channel(address) as channel:
            answer = channel.unary_unary(SERVICE + "ModelInfer")(request, timeout=20)
        found = message("inference.ModelInferResponse").FromString(answer)
        assert found.raw_output_contents[0] == bytes(200_000)
        assert (count[0] < 20_000) == (setting != "none"), count
