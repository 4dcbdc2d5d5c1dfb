# ruff: noqa: E501  one request a line
"""What is sent to Triton and to the gateway alike: REST requests, and gRPC messages by name.

Imported by tests and by make_triton.py, which runs in another Environment: standard library and numpy only.

Rule 1: a row's name says what it is about; names are unique.
Rule 2: rows change nothing on the server, so that their order does not matter.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ONE = [[1.0, 2.0]]


@dataclass(frozen=True)
class Rest:
    name: str
    path: str
    body: bytes | None = None
    method: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        return self.method or ("GET" if self.body is None else "POST")


@dataclass(frozen=True)
class Grpc:
    """`fields` is protobuf's JSON form of the request; `raw` goes to raw_input_contents."""

    name: str
    rpc: str
    fields: dict[str, Any] = field(default_factory=dict)
    raw: tuple[bytes, ...] = ()


def tensor(name: str, datatype: str, shape: list[int], data: Any = None, **parameters: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    if parameters:
        found["parameters"] = parameters
    if data is not None:
        found["data"] = data
    return found


def infer(
    name: str,
    model: str,
    inputs: list[Any],
    *,
    outputs: Any = None,
    raw: bytes = b"",
    version: str = "",
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Rest:
    """A POST to /infer; with `raw`, the header of the binary extension."""
    document = {"inputs": inputs, **more}
    if outputs is not None:
        document["outputs"] = outputs
    text = json.dumps(document).encode()
    path = f"/v2/models/{model}{'/versions/' + version if version else ''}/infer"
    extra = {"Inference-Header-Content-Length": str(len(text))} if raw else {}
    return Rest(name, path, text + raw, headers=extra | (headers or {}))


def strings(*items: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


FP32 = tensor("x", "FP32", [1, 2], [1.0, 2.0])
F2 = np.array([1.5, -2.0], np.float32).tobytes()
I16 = [*range(16)]
PAIR = [tensor("INPUT0", "INT32", [1, 16], I16), tensor("INPUT1", "INT32", [1, 16], [1] * 16)]
PAIR_RAW = [
    tensor("INPUT0", "INT32", [1, 16], binary_data_size=64),
    tensor("INPUT1", "INT32", [1, 16], binary_data_size=64),
]
RAW128 = np.arange(16, dtype=np.int32).tobytes() + np.ones(16, np.int32).tobytes()
GOOD = json.dumps({"inputs": [FP32]}).encode()
VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False], "UINT8": [0, 255], "UINT16": [0, 65535], "UINT32": [0, 4294967295],
    "UINT64": [0, 18446744073709551615], "INT8": [-128, 127], "INT16": [-32768, 32767],
    "INT32": [-2147483648, 2147483647], "INT64": [-9223372036854775808, 9223372036854775807],
    "FP32": [1.5, -3.25], "FP64": [1.5, 1e300], "BYTES": ["a", "caf\u00e9"],
}  # fmt: skip
NUMPY = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"} | {
    f"{kind}{bits}": f"{kind.lower()}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)
}


def raw_of(datatype: str) -> bytes:
    if datatype == "BYTES":
        return strings(b"a", b"\xff\x00")
    return np.array(VALUES.get(datatype, [1.5, -2.0]), NUMPY[datatype]).tobytes()


REST: list[Rest] = [
    Rest("live", "/v2/health/live"),
    Rest("ready", "/v2/health/ready"),
    Rest("server metadata", "/v2"),
    Rest("model ready", "/v2/models/ident/ready"),
    Rest("model ready: a version", "/v2/models/ident/versions/1/ready"),
    Rest("model ready: unknown model", "/v2/models/nope/ready"),
    Rest("model ready: unknown version", "/v2/models/ident/versions/9/ready"),
    Rest("metadata", "/v2/models/simple"),
    Rest("metadata: of strings", "/v2/models/simple_string"),
    Rest("metadata: a version", "/v2/models/ident/versions/1"),
    Rest("metadata: no batch", "/v2/models/id_FP32"),
    Rest("metadata: unknown model", "/v2/models/nope"),
    Rest("metadata: unknown version", "/v2/models/ident/versions/9"),
    Rest("metadata: a version that is no number", "/v2/models/ident/versions/x"),
    Rest("config: unknown model", "/v2/models/nope/config"),
    Rest("stats: unknown model", "/v2/models/nope/stats"),
    Rest("trace setting", "/v2/trace/setting"),
    Rest("trace setting: of a model", "/v2/models/ident/trace/setting"),
    Rest("trace setting: of an unknown model", "/v2/models/nope/trace/setting"),
    Rest("trace setting: an unknown key", "/v2/trace/setting", b'{"trace_nothing": "1"}'),
    Rest("trace setting: a level that is none", "/v2/trace/setting", b'{"trace_level": ["SOME"]}'),
    Rest("trace setting: a file", "/v2/trace/setting", b'{"trace_file": "/tmp/x"}'),
    Rest("trace setting: a rate that is no number", "/v2/trace/setting", b'{"trace_rate": "often"}'),
    Rest("logging", "/v2/logging"),
    Rest("logging: an unknown key", "/v2/logging", b'{"log_nothing": true}'),
    Rest("logging: a file", "/v2/logging", b'{"log_file": "/tmp/x"}'),
    Rest("logging: a level that is no number", "/v2/logging", b'{"log_verbose_level": "much"}'),
    Rest("logging: a format that is none", "/v2/logging", b'{"log_format": "pretty"}'),
    Rest("unknown path", "/v2/nothing"),
    Rest("wrong method: GET infer", "/v2/models/ident/infer"),
    Rest("wrong method: POST metadata", "/v2/models/ident", b"{}"),
    Rest("system shared memory: status", "/v2/systemsharedmemory/status"),
    Rest("system shared memory: status of an unknown region", "/v2/systemsharedmemory/region/r/status"),
    Rest("system shared memory: unregister all", "/v2/systemsharedmemory/unregister", b""),
    Rest("system shared memory: unregister an unknown region", "/v2/systemsharedmemory/region/r/unregister", b""),
    Rest("system shared memory: register without key", "/v2/systemsharedmemory/region/r/register", b'{"byte_size": 4}'),
    Rest("system shared memory: register without size", "/v2/systemsharedmemory/region/r/register", b'{"key": "/none"}'),
    Rest("system shared memory: register a key that is not there", "/v2/systemsharedmemory/region/r/register", b'{"key": "/nothing-of-that-name", "offset": 0, "byte_size": 4}'),
    Rest("system shared memory: an input of an unknown region", "/v2/models/ident/infer", json.dumps({"inputs": [tensor("x", "FP32", [1, 2], shared_memory_region="r", shared_memory_byte_size=8)]}).encode()),
    Rest("cuda shared memory: status", "/v2/cudasharedmemory/status"),
    Rest("cuda shared memory: unregister all", "/v2/cudasharedmemory/unregister", b""),
    Rest("cuda shared memory: register", "/v2/cudasharedmemory/region/r/register", b'{"raw_handle": {"b64": "AAAA"}, "device_id": 0, "byte_size": 4}'),
    infer("infer", "ident", [FP32]),
    infer("infer: id and parameters", "ident", [FP32], id="mine", parameters={"mine": 1}),
    infer("infer: nested data", "ident", [tensor("x", "FP32", [2, 2], [[1.0, 2.0], [3.0, 4.0]])]),
    infer("infer: a version", "ident", [FP32], version="1"),
    infer("infer: integers for FP32", "ident", [tensor("x", "FP32", [1, 2], [1, 2])]),
    infer("infer: NaN", "ident", [tensor("x", "FP32", [1, 2], [float("nan"), 2.0])]),
    infer("infer: no rows", "id_FP32", [tensor("x", "FP32", [0], [])]),
    infer("infer: two inputs", "simple", PAIR),
    infer("infer: strings", "simple_string", [tensor("INPUT0", "BYTES", [1, 16], [str(n) for n in I16]), tensor("INPUT1", "BYTES", [1, 16], ["1"] * 16)]),
    infer("infer: one output of two", "simple", PAIR, outputs=[{"name": "OUTPUT1"}]),
    infer("infer: outputs in another order", "simple", PAIR, outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0"}]),
    infer("infer: inputs in another order", "simple", PAIR[::-1]),
    infer("infer: no outputs asked", "ident", [FP32], outputs=[]),
    infer("infer: the same output twice", "ident", [FP32], outputs=[{"name": "y"}, {"name": "y"}]),
    infer("binary: in", "simple", PAIR_RAW, raw=RAW128),
    infer("binary: in and out", "simple", PAIR_RAW, raw=RAW128, parameters={"binary_data_output": True}),
    infer("binary: one output of two", "simple", PAIR_RAW, raw=RAW128, outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}]),
    infer("binary: per output wins", "simple", PAIR, parameters={"binary_data_output": True}, outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": False}}, {"name": "OUTPUT1"}]),
    infer("binary: one input of two", "simple", [PAIR[0], PAIR_RAW[1]], raw=RAW128[64:]),
    infer("binary: strings out", "simple_string", [tensor("INPUT0", "BYTES", [1, 16], ["7"] * 16), tensor("INPUT1", "BYTES", [1, 16], ["1"] * 16)], outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}]),
    Rest("raw body", "/v2/models/id_FP32/infer", F2, headers={"Inference-Header-Content-Length": "0"}),
    Rest("raw body: of a batch", "/v2/models/ident/infer", F2, headers={"Inference-Header-Content-Length": "0"}),
    Rest("raw body: not whole elements", "/v2/models/id_FP32/infer", F2[:3], headers={"Inference-Header-Content-Length": "0"}),
    Rest("raw body: two inputs", "/v2/models/simple/infer", RAW128, headers={"Inference-Header-Content-Length": "0"}),
    infer("classification", "scores", [tensor("x", "FP32", [2, 4], [0.1, 0.7, 0.2, 0.0, 4, 3, 2, 1])], outputs=[{"name": "y", "parameters": {"classification": 2}}]),
    infer("classification: more than there are", "scores", [tensor("x", "FP32", [1, 4], [0.1, 0.7, 0.2, 0.0])], outputs=[{"name": "y", "parameters": {"classification": 9}}]),
    infer("classification: without a batch", "id_INT32", [tensor("x", "INT32", [3], [5, 7, 6])], outputs=[{"name": "y", "parameters": {"classification": 2}}]),
    infer("classification: of strings", "id_BYTES", [tensor("x", "BYTES", [1], ["a"])], outputs=[{"name": "y", "parameters": {"classification": 1}}]),
    *[infer(f"json: {kind}", f"id_{kind}", [tensor("x", kind, [2], values)]) for kind, values in VALUES.items()],
    *[infer(f"binary: {kind}", f"id_{kind}", [tensor("x", kind, [2], binary_data_size=len(raw_of(kind)))], raw=raw_of(kind), parameters={"binary_data_output": True}) for kind in [*VALUES, "FP16"]],
    Rest("gzip body", "/v2/models/ident/infer", gzip.compress(GOOD, mtime=0), headers={"Content-Encoding": "gzip"}),
    Rest("deflate body", "/v2/models/ident/infer", zlib.compress(GOOD), headers={"Content-Encoding": "deflate"}),
    Rest("gzip answer", "/v2/models/ident/infer", GOOD, headers={"Accept-Encoding": "gzip"}),
    Rest("deflate answer", "/v2/models/ident/infer", GOOD, headers={"Accept-Encoding": "deflate"}),
    Rest("answer by q-values", "/v2/models/ident/infer", GOOD, headers={"Accept-Encoding": "gzip;q=0.2, deflate;q=0.9, identity;q=0.1"}),
    Rest("answer: identity preferred", "/v2/models/ident/infer", GOOD, headers={"Accept-Encoding": "gzip;q=0.2, identity"}),
    Rest("broken gzip body", "/v2/models/ident/infer", b"not gzip", headers={"Content-Encoding": "gzip"}),
    # what is wrong
    infer("error: unknown model", "nope", [FP32]),
    infer("error: unknown version", "ident", [FP32], version="9"),
    infer("error: wrong datatype", "ident", [tensor("x", "INT32", [1, 2], [1, 2])]),
    infer("error: unknown datatype", "ident", [tensor("x", "FLOAT", [1, 2], [1, 2])]),
    infer("error: wrong shape", "ident", [tensor("x", "FP32", [2], [1, 2])]),
    infer("error: wrong size", "ident", [tensor("x", "FP32", [1, 3], [1, 2, 3])]),
    infer("error: batch too big", "ident", [tensor("x", "FP32", [9, 2], [1.0] * 18)]),
    infer("error: unknown input", "ident", [tensor("z", "FP32", [1, 2], [1, 2])]),
    infer("error: one input missing", "simple", PAIR[:1]),
    infer("error: one input too many", "ident", [FP32, tensor("z", "FP32", [1, 2], [1, 2])]),
    infer("error: the same input twice", "ident", [FP32, FP32]),
    infer("error: batches differ", "simple", [PAIR[0], tensor("INPUT1", "INT32", [2, 16], [1] * 32)]),
    infer("error: unknown output", "ident", [FP32], outputs=[{"name": "z"}]),
    infer("error: fewer values than the shape", "ident", [tensor("x", "FP32", [1, 2], [1.0])]),
    infer("error: more values than the shape", "ident", [tensor("x", "FP32", [1, 2], [1.0, 2.0, 3.0])]),
    infer("error: nested otherwise than the shape", "ident", [tensor("x", "FP32", [2, 2], [[1.0, 2.0, 3.0, 4.0]])]),
    infer("error: text for FP32", "ident", [tensor("x", "FP32", [1, 2], ["a", 2.0])]),
    infer("error: 300 for INT8", "id_INT8", [tensor("x", "INT8", [2], [300, 0])]),
    infer("error: 1.5 for INT8", "id_INT8", [tensor("x", "INT8", [2], [1.5, 0])]),
    infer("error: 1 for BOOL", "id_BOOL", [tensor("x", "BOOL", [2], [1, 0])]),
    infer("error: FP16 as JSON", "id_FP16", [tensor("x", "FP16", [2], [1.5, 2.0])]),
    infer("error: FP16 asked as JSON", "id_FP16", [tensor("x", "FP16", [2], binary_data_size=4)], raw=raw_of("FP16")),
    infer("error: strings that are not UTF-8 asked as JSON", "id_BYTES", [tensor("x", "BYTES", [2], binary_data_size=11)], raw=raw_of("BYTES")),
    infer("error: negative shape", "ident", [tensor("x", "FP32", [-1, 2], [1.0, 2.0])]),
    infer("error: no data", "ident", [tensor("x", "FP32", [1, 2])]),
    infer("error: data and binary", "ident", [tensor("x", "FP32", [1, 2], [1, 2], binary_data_size=8)], raw=F2),
    infer("error: binary of another size", "ident", [tensor("x", "FP32", [1, 2], binary_data_size=4)], raw=F2[:4]),
    infer("error: binary ends early", "ident", [tensor("x", "FP32", [1, 2], binary_data_size=8)], raw=F2[:4]),
    infer("error: binary with more bytes", "ident", [tensor("x", "FP32", [1, 2], binary_data_size=8)], raw=F2 + b"more"),
    infer("error: strings end early", "id_BYTES", [tensor("x", "BYTES", [2], binary_data_size=5)], raw=strings(b"a")),
    infer("error: string longer than its bytes", "id_BYTES", [tensor("x", "BYTES", [1], binary_data_size=5)], raw=struct.pack("<I", 9) + b"a"),
    Rest("error: header length beyond the body", "/v2/models/ident/infer", GOOD, headers={"Inference-Header-Content-Length": "99999"}),
    Rest("error: header length that is no number", "/v2/models/ident/infer", GOOD, headers={"Inference-Header-Content-Length": "many"}),
    Rest("error: broken JSON", "/v2/models/ident/infer", b'{"inputs": ['),
    Rest("error: empty body", "/v2/models/ident/infer", b""),
    Rest("error: not an object", "/v2/models/ident/infer", b"[1]"),
    Rest("error: no inputs", "/v2/models/ident/infer", b"{}"),
    Rest("error: inputs that is no list", "/v2/models/ident/infer", b'{"inputs": 1}'),
    infer("error: an input that is no object", "ident", [1]),
    infer("error: an input without name", "ident", [{"datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]),
    infer("error: an input without datatype", "ident", [{"name": "x", "shape": [1, 2], "data": [1, 2]}]),
    infer("error: an input without shape", "ident", [{"name": "x", "datatype": "FP32", "data": [1, 2]}]),
    infer("error: a shape of text", "ident", [{"name": "x", "datatype": "FP32", "shape": ["1", 2], "data": [1, 2]}]),
    Rest("error: 1e999", "/v2/models/ident/infer", GOOD.replace(b"2.0", b"1e999")),
    Rest("error: 1e40 for FP32", "/v2/models/ident/infer", GOOD.replace(b"2.0", b"1e40")),
]  # fmt: skip

X = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
T0 = {"name": "INPUT0", "datatype": "INT32", "shape": [1, 16]}
T1 = {"name": "INPUT1", "datatype": "INT32", "shape": [1, 16]}
CONTENTS: dict[str, dict[str, Any]] = {
    "BOOL": {"bool_contents": [True, False]}, "UINT8": {"uint_contents": [0, 255]}, "UINT16": {"uint_contents": [0, 65535]},
    "UINT32": {"uint_contents": [0, 4294967295]}, "UINT64": {"uint64_contents": ["0", "18446744073709551615"]},
    "INT8": {"int_contents": [-128, 127]}, "INT16": {"int_contents": [-32768, 32767]},
    "INT32": {"int_contents": [-2147483648, 2147483647]}, "INT64": {"int64_contents": ["-9223372036854775808", "9223372036854775807"]},
    "FP32": {"fp32_contents": [1.5, -3.25]}, "FP64": {"fp64_contents": [1.5, 1e300]}, "BYTES": {"bytes_contents": ["YQ==", "/wA="]},
}  # fmt: skip


def call(name: str, model: str, *inputs: dict[str, Any], raw: tuple[bytes, ...] = (), **more: Any) -> Grpc:
    return Grpc(name, "ModelInfer", {"model_name": model, "inputs": list(inputs), **more}, raw)


GRPC: list[Grpc] = [
    Grpc("live", "ServerLive"),
    Grpc("ready", "ServerReady"),
    Grpc("server metadata", "ServerMetadata"),
    Grpc("model ready", "ModelReady", {"name": "ident"}),
    Grpc("model ready: unknown model", "ModelReady", {"name": "nope"}),
    Grpc("model ready: unknown version", "ModelReady", {"name": "ident", "version": "9"}),
    Grpc("model ready: a version that is no number", "ModelReady", {"name": "ident", "version": "x"}),
    Grpc("metadata", "ModelMetadata", {"name": "simple"}),
    Grpc("metadata: unknown model", "ModelMetadata", {"name": "nope"}),
    Grpc("metadata: unknown version", "ModelMetadata", {"name": "ident", "version": "9"}),
    Grpc("metadata: a version that is no number", "ModelMetadata", {"name": "ident", "version": "x"}),
    Grpc("config: unknown model", "ModelConfig", {"name": "nope"}),
    Grpc("statistics: unknown model", "ModelStatistics", {"name": "nope"}),
    Grpc("trace setting", "TraceSetting"),
    Grpc("trace setting: of an unknown model", "TraceSetting", {"model_name": "nope"}),
    Grpc("trace setting: an unknown key", "TraceSetting", {"settings": {"trace_nothing": {"value": ["1"]}}}),
    Grpc("trace setting: a file", "TraceSetting", {"settings": {"trace_file": {"value": ["/tmp/x"]}}}),
    Grpc("log settings", "LogSettings"),
    Grpc("log settings: an unknown key", "LogSettings", {"settings": {"log_nothing": {"bool_param": True}}}),
    Grpc("log settings: a file", "LogSettings", {"settings": {"log_file": {"string_param": "/tmp/x"}}}),
    Grpc("system shared memory: status", "SystemSharedMemoryStatus"),
    Grpc("system shared memory: status of an unknown region", "SystemSharedMemoryStatus", {"name": "r"}),
    Grpc("system shared memory: unregister an unknown region", "SystemSharedMemoryUnregister", {"name": "r"}),
    Grpc("system shared memory: register a key that is not there", "SystemSharedMemoryRegister", {"name": "r", "key": "/nothing-of-that-name", "byte_size": 4}),
    call("system shared memory: an input of an unknown region", "ident", X | {"parameters": {"shared_memory_region": {"string_param": "r"}, "shared_memory_byte_size": {"int64_param": "8"}}}),
    Grpc("cuda shared memory: status", "CudaSharedMemoryStatus"),
    Grpc("cuda shared memory: unregister all", "CudaSharedMemoryUnregister"),
    Grpc("cuda shared memory: register", "CudaSharedMemoryRegister", {"name": "r", "raw_handle": "AAAA", "byte_size": 4}),
    call("infer: raw", "ident", X, raw=(F2,)),
    call("infer: typed", "ident", X | {"contents": {"fp32_contents": [1.5, -2.0]}}),
    call("infer: id and parameters", "ident", X, raw=(F2,), id="mine", parameters={"mine": {"int64_param": "1"}}),
    call("infer: two inputs", "simple", T0, T1, raw=(RAW128[:64], RAW128[64:])),
    call("infer: outputs in another order", "simple", T0, T1, raw=(RAW128[:64], RAW128[64:]), outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0"}]),
    call("infer: one output of two", "simple", T0, T1, raw=(RAW128[:64], RAW128[64:]), outputs=[{"name": "OUTPUT1"}]),
    call("infer: no rows", "id_FP32", {"name": "x", "datatype": "FP32", "shape": [0]}, raw=(b"",)),
    call("classification", "scores", {"name": "x", "datatype": "FP32", "shape": [1, 4]}, raw=(np.array([0.1, 0.7, 0.2, 0.0], np.float32).tobytes(),), outputs=[{"name": "y", "parameters": {"classification": {"int64_param": "2"}}}]),
    *[call(f"raw: {kind}", f"id_{kind}", {"name": "x", "datatype": kind, "shape": [2]}, raw=(raw_of(kind),)) for kind in [*VALUES, "FP16"]],
    *[call(f"typed: {kind}", f"id_{kind}", {"name": "x", "datatype": kind, "shape": [2], "contents": contents}) for kind, contents in CONTENTS.items()],
    # what is wrong
    call("error: unknown model", "nope", X, raw=(F2,)),
    call("error: unknown version", "ident", X, raw=(F2,), model_version="9"),
    call("error: a version that is no number", "ident", X, raw=(F2,), model_version="x"),
    call("error: wrong datatype", "ident", X | {"datatype": "INT32"}, raw=(F2,)),
    call("error: unknown datatype", "ident", X | {"datatype": "FLOAT"}, raw=(F2,)),
    call("error: wrong shape", "ident", X | {"shape": [2]}, raw=(F2,)),
    call("error: batch too big", "ident", X | {"shape": [9, 2]}, raw=(F2 * 9,)),
    call("error: unknown input", "ident", X | {"name": "z"}, raw=(F2,)),
    call("error: one input missing", "simple", T0, raw=(RAW128[:64],)),
    call("error: no inputs", "ident"),
    call("error: unknown output", "ident", X, raw=(F2,), outputs=[{"name": "z"}]),
    call("error: raw of another size", "ident", X, raw=(F2[:4],)),
    call("error: fewer raw contents than inputs", "simple", T0, T1, raw=(RAW128[:64],)),
    call("error: more raw contents than inputs", "ident", X, raw=(F2, F2)),
    call("error: raw and typed", "ident", X | {"contents": {"fp32_contents": [1.0, 2.0]}}, raw=(F2,)),
    call("error: typed in another field", "ident", X | {"contents": {"int_contents": [1, 2]}}),
    call("error: fewer typed values than the shape", "ident", X | {"contents": {"fp32_contents": [1.0]}}),
    call("error: more typed values than the shape", "ident", X | {"contents": {"fp32_contents": [1.0, 2.0, 3.0]}}),
    call("error: FP16 typed", "id_FP16", {"name": "x", "datatype": "FP16", "shape": [2], "contents": {"fp32_contents": [1.0, 2.0]}}),
    call("error: 300 for INT8", "id_INT8", {"name": "x", "datatype": "INT8", "shape": [2], "contents": {"int_contents": [300, 0]}}),
    call("error: 300 for UINT8", "id_UINT8", {"name": "x", "datatype": "UINT8", "shape": [2], "contents": {"uint_contents": [300, 0]}}),
    call("error: a bool byte of 2", "id_BOOL", {"name": "x", "datatype": "BOOL", "shape": [2]}, raw=(b"\x02\x00",)),
    call("error: strings end early", "id_BYTES", {"name": "x", "datatype": "BYTES", "shape": [2]}, raw=(strings(b"a"),)),
    call("error: negative shape", "ident", X | {"shape": [-1, 2]}, raw=(F2,)),
]  # fmt: skip

STREAM: list[Grpc] = [
    call("first", "ident", X, raw=(F2,), id="1"),
    call("an error in the middle", "nope", X, raw=(F2,), id="2"),
    call("a wrong tensor", "ident", X | {"datatype": "INT32"}, raw=(F2,), id="3"),
    call("last", "ident", X, raw=(F2,), id="4"),
]
