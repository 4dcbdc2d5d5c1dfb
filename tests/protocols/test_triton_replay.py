"""What a recorded Triton answered, and what the gateway answers to the same bytes.

tests/conformance/triton.json holds the exchanges, made by make_triton.py with a real Triton.
What differs on purpose is a row of gateway/conformance/kserve.toml with its reason; everything else must agree.

Rule 1: status, headers and numbers agree exactly; an error's text begins with Triton's, and may
        say more.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import json_format

from gateway import conformance
from gateway.core.dtypes import Tensors
from gateway.core.signature import Signature, parse_spec
from gateway.protocols.pool import message
from tests.conformance.triton_requests import GRPC, REST, STREAM, Grpc, Rest
from tests.protocols.double import Model, Running, running

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "conformance/triton.json").read_text())
SERVICE = "/inference.GRPCInferenceService/"


def add_sub(tensors: Tensors) -> Tensors:
    a, b = tensors["INPUT0"], tensors["INPUT1"]
    if a.dtype != object:
        return {"OUTPUT0": a + b, "OUTPUT1": a - b}
    x, y = a.astype(int), b.astype(int)
    texts = [np.array([str(n).encode() for n in one.reshape(-1)], object).reshape(a.shape) for one in (x + y, x - y)]
    return {"OUTPUT0": texts[0], "OUTPUT1": texts[1]}


def identity(tensors: Tensors) -> Tensors:
    return {"y": tensors["x"]}


def model(run: Any, inputs: list[str], outputs: list[str], *, rows: int, labels: tuple[str, ...] = ()) -> Model:
    specs = [tuple(map(parse_spec, side)) for side in (inputs, outputs)]
    return Model(run, Signature(*specs, batched=rows > 0, labels=labels), max_rows=rows)


def models() -> dict[str, Model]:
    """The models of make_triton.py."""
    found = {
        "ident": model(identity, ["x:float32[?,2]"], ["y:float32[?,2]"], rows=4),
        "scores": model(identity, ["x:float32[?,4]"], ["y:float32[?,4]"], rows=4, labels=("cat", "dog", "fox", "owl")),
    }
    for name, kind in (("simple", "int32"), ("simple_int8", "int8"), ("simple_string", "string")):
        sides = [[f"{side}{n}:{kind}[?,16]" for n in (0, 1)] for side in ("INPUT", "OUTPUT")]
        found[name] = model(add_sub, *sides, rows=8)
    kinds = {"FP16": "float16", "FP32": "float32", "FP64": "float64", "BOOL": "bool", "BYTES": "string"}
    kinds |= {f"{k}{bits}": f"{k.lower()}{bits}" for k in ("INT", "UINT") for bits in (8, 16, 32, 64)}
    for kind, own in kinds.items():
        found[f"id_{kind}"] = model(identity, [f"x:{own}[?]"], [f"y:{own}[?]"], rows=0)
    return found


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running(models=models(), shared_memory=True) as live:
        yield live


ROWS = {(row.api, row.call): row for row in conformance.read(conformance.FOLDER / "kserve.toml").rows}


def send(servers: Running, row: Rest) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(servers.addresses["http"], timeout=20)
    try:
        connection.request(row.verb, row.path, row.body, row.headers)
        answer = connection.getresponse()
        kept = ("content-type", "inference-header-content-length", "content-encoding")
        return answer.status, {k.lower(): v for k, v in answer.getheaders() if k.lower() in kept}, answer.read()
    finally:
        connection.close()


def plain(body: bytes, headers: dict[str, str]) -> bytes:
    coding = headers.get("content-encoding")
    return gzip.decompress(body) if coding == "gzip" else zlib.decompress(body) if coding == "deflate" else body


def words(text: str) -> str:
    """Without the request id before it and the long note behind it."""
    return re.sub(r"^\[request id: [^]]*\] ", "", text).partition(". NOTE:")[0]


def same_words(api: str, name: str, ours: str, theirs: str, status: str) -> None:
    """The status agrees, and so does the text: with Triton's, or with the row's own words."""
    row = ROWS[api, name]
    expected_status, _, expected = row.ours.partition(" ")
    shown = f"{status} {ours}; Triton: {row.theirs}"
    if row.verdict == "same" and words(theirs).rstrip(".") in ours:
        return
    assert status == expected_status, shown
    assert row.ours != row.theirs, f"no row says that the words differ: {shown}"
    assert expected in ours, shown


@pytest.mark.parametrize("row", REST, ids=lambda row: row.name)
def test_rest(servers: Running, row: Rest) -> None:
    theirs = RECORDED["rest"][row.name]
    recorded = theirs["body"].encode() if isinstance(theirs["body"], str) else base64.b64decode(theirs["body"]["b64"])
    status, headers, body = send(servers, row)
    ours, original = plain(body, headers), plain(recorded, theirs["headers"])
    if ROWS["rest", row.name].verdict != "same":
        assert (status, ours) != (theirs["status"], original), "the row says different, and it is not"
        text = json.loads(ours)["error"] if status != 200 else ours.decode()
        same_words("rest", row.name, text, "never", str(status))
        return
    assert status == theirs["status"], f"{status} {ours[:300]!r}"
    if status != 200:
        same_words("rest", row.name, json.loads(ours)["error"], json.loads(original)["error"], str(status))
        return
    assert headers == theirs["headers"]
    size = int(headers.get("inference-header-content-length", 0)) or None
    assert comparable(json.loads(ours[:size] or b"null")) == comparable(json.loads(original[:size] or b"null"))
    if size is not None:
        assert ours[size:] == original[size:]


def comparable(document: Any) -> Any:
    """NaN equals NaN; the platform of the recorded models is Triton's Python backend, ours is not."""
    if isinstance(document, dict):
        document.pop("platform", None)
    return json.dumps(document)


@pytest.mark.parametrize("row", GRPC, ids=lambda row: row.name)
def test_grpc(servers: Running, row: Grpc) -> None:
    theirs = RECORDED["grpc"][row.name]
    with grpc.insecure_channel(servers.addresses["grpc"]) as channel:
        call = channel.unary_unary(SERVICE + row.rpc)
        try:
            code, found, details = "OK", call(bytes.fromhex(theirs["request"]), timeout=20), ""
        except grpc.RpcError as error:
            code, found, details = error.code().name, b"", error.details()
    if ROWS["grpc", row.name].verdict != "same":
        text = details or found.decode("latin-1")
        same_words("grpc", row.name, text, "never", code)
        return
    assert code == theirs["code"], details
    if code != "OK":
        same_words("grpc", row.name, details, theirs["details"], code)
        return
    kind = message(f"inference.{row.rpc}Response")
    ours, original = (kind.FromString(data) for data in (found, bytes.fromhex(theirs["response"])))
    for one in (ours, original):
        if row.rpc == "ModelMetadata":
            one.ClearField("platform")
    assert json_format.MessageToDict(ours) == json_format.MessageToDict(original)


def test_a_stream_answers_in_order_and_goes_on_after_an_error(servers: Running) -> None:
    recorded, kind = RECORDED["stream"], message("inference.ModelStreamInferResponse")
    with grpc.insecure_channel(servers.addresses["grpc"]) as channel:
        stream = channel.stream_stream(SERVICE + "ModelStreamInfer")
        found = list(stream(iter([bytes.fromhex(one) for one in recorded["requests"]]), timeout=20))
    assert len(found) == len(STREAM)
    for ours, theirs in zip(found, recorded["responses"], strict=True):
        one, original = kind.FromString(ours), kind.FromString(bytes.fromhex(theirs))
        assert words(original.error_message) in one.error_message
        assert json_format.MessageToDict(one.infer_response) == json_format.MessageToDict(original.infer_response)


def test_every_exchange_has_its_row_and_every_row_its_exchange() -> None:
    exchanges = {("rest", row.name) for row in REST} | {("grpc", row.name) for row in GRPC}
    files = ("test_triton_replay.py::test_rest", "test_triton_replay.py::test_grpc")
    rows = {key for key, row in ROWS.items() if row.test.endswith(files)}
    assert rows == exchanges
