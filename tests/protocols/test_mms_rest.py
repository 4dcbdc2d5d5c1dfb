# ruff: noqa: E501  a row of a table reads better on one line
"""multi-model-server's and TorchServe's inference API over real HTTP: every body, every refusal is a row."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.protocols.double import Running, running
from tests.protocols.test_tfs_rest import Answer, ask

LIMITS: dict[str, Any] = {"max_body_bytes": 1 << 20, "max_json_depth": 16, "max_elements": 5000}
JSON = "application/json"


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running(**LIMITS) as live:
        yield live


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def claims(shape: str, kind: str = "<f4") -> bytes:
    """A .npy header alone, of any shape."""
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode()


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def form(*parts: tuple[str, bytes] | tuple[str, bytes, str]) -> tuple[str, bytes]:
    """Content type and body of a multipart form, as curl -F writes it."""
    lines = b""
    for name, body, *kind in parts:
        lines += b'--sep\r\nContent-Disposition: form-data; name="%b"; filename="f"\r\n' % name.encode()
        lines += (f"Content-Type: {kind[0]}\r\n".encode() if kind else b"") + b"\r\n" + body + b"\r\n"
    return "multipart/form-data; boundary=sep", lines + b"--sep--\r\n"


@dataclass(frozen=True)
class Call:
    path: str
    body: bytes = b""
    content_type: str = ""
    answer: Any = None
    status: int = 200
    says: str = ""  # of an error: a part of its message
    kind: str = ""  # of an error: its type
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)


def sent(servers: Running, call: Call) -> Answer:
    headers = dict(call.headers)
    if call.content_type:
        headers["Content-Type"] = call.content_type
    return ask(servers, call.method, call.path, call.body, headers)


PIXELS = np.arange(64).reshape(8, 8)
TOP5 = [
    {"probability": float(np.float32(p / 55)), "class": c}
    for p, c in ((10, "nine"), (9, "eight"), (8, "seven"), (7, "six"), (6, "five"))
]


def multipart(path: str, *parts: Any, **more: Any) -> Call:
    kind, body = form(*parts)
    return Call(path, body, kind, **more)


P = "/predictions/"
ANSWERS = {
    "JSON: the value of the one input": Call(P + "flat", b"[1, 2]", JSON, [2.5, 3.0]),
    "JSON without a content type": Call(P + "flat", b" [1, 2]", "", [2.5, 3.0]),
    "JSON that curl -d calls a form": Call(P + "flat", b"[1, 2]", "application/x-www-form-urlencoded", [2.5, 3.0]),
    "JSON: an object by input names": Call(
        P + "two", b'{"a": [3], "b": [1]}', JSON, {"sum": [4.0], "difference": [2.0]}
    ),
    "JSON: instances": Call(P + "two", b'{"instances": [{"a": 3, "b": 1}]}', JSON, {"sum": [4.0], "difference": [2.0]}),
    "JSON: inputs": Call(P + "flat", b'{"inputs": [1]}', JSON, [2.5]),
    "one item of a batch comes back as one item": Call(P + "half_plus_two", b"[1]", JSON, [2.5]),
    "a batch of one stays a batch": Call(P + "half_plus_two", b"[[1]]", JSON, [[2.5]]),
    "a scalar where a vector may be": Call(P + "flat", b"1", JSON, 2.5),
    "a form field for the one input": Call(P + "flat", b"x=[1,2]", "application/x-www-form-urlencoded", [2.5, 3.0]),
    "the one part for the one input, whatever its name": Call(
        P + "flat", b"data=%5B1%5D", "application/x-www-form-urlencoded", [2.5]
    ),
    "two parts for two inputs": multipart(
        P + "two", ("a", b"[3]"), ("b", b"[1]"), answer={"sum": [4.0], "difference": [2.0]}
    ),
    "two parts, .npy and JSON": multipart(
        P + "two", ("b", npy(np.float32([1]))), ("a", b"[3]", JSON), answer={"sum": [4.0], "difference": [2.0]}
    ),
    "a part of JSON text is not taken for all inputs": multipart(
        P + "two", ("a", b"3"), ("b", b"1"), answer={"sum": 4.0, "difference": 2.0}
    ),
    "a mixture of an item and a batch is a batch": multipart(
        P + "two", ("a", b"3"), ("b", b"[1]"), answer={"sum": [4.0], "difference": [2.0]}
    ),
    ".npy": Call(P + "flat", npy(np.float64([1, 2])), "", [2.5, 3.0]),
    ".npy, big endian": Call(P + "flat", npy(np.array([1, 2], ">f8")), "", [2.5, 3.0]),
    ".npy, Fortran order": Call(
        P + "id_int32", npy(np.asfortranarray(np.int32([[1, 2], [3, 4]]))), "", [[1, 2], [3, 4]]
    ),
    ".npy, version 2 of the format": Call(
        P + "id_uint8",
        b"\x93NUMPY\x02\x00"
        + len(h := b"{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}\n").to_bytes(4, "little")
        + h
        + b"\x01\xff",
        "",
        [1, 255],
    ),
    ".npy of half, which JSON has not": Call(
        P + "id_float16", npy(np.float16([0.5])), "application/octet-stream", [0.5]
    ),
    "text for an input of strings": Call(P + "id_string", "café".encode(), "text/plain", "café"),
    "bytes that are no text come back in base64": Call(P + "id_string", b"\xff\x00", "", {"b64": "/wA="}),
    "strings as JSON": Call(P + "id_string", b'["a", {"b64": "/w=="}]', JSON, ["a", {"b64": "/w=="}]),
    "a picture": Call(P + "pictures", png(PIXELS), "image/png", TOP5),
    "a picture by its first bytes": Call(P + "pictures", png(PIXELS), "application/octet-stream", TOP5),
    "a picture in a form, as curl -F sends it": multipart(
        P + "pictures", ("data", png(PIXELS), "image/png"), answer=TOP5
    ),
    "labels: a batch has a ranking each": Call(
        P + "ranked",
        b"[[0.25, 0.5, 0.25], [1, 0, 0]]",
        JSON,
        [
            [
                {"probability": 0.5, "class": "b"},
                {"probability": 0.25, "class": "a"},
                {"probability": 0.25, "class": "c"},
            ],
            [
                {"probability": 1.0, "class": "a"},
                {"probability": 0.0, "class": "b"},
                {"probability": 0.0, "class": "c"},
            ],
        ],
    ),
    "labels: what is no distribution is a score": Call(
        P + "ranked?top_k=2", b"[-1, 5, 2]", JSON, [{"score": 5.0, "class": "b"}, {"score": 2.0, "class": "c"}]
    ),
    "labels: top_k=0 gives the numbers": Call(P + "ranked?top_k=0", b"[0.25, 0.5, 0.25]", JSON, [0.25, 0.5, 0.25]),
    "labels: no ranking with NaN": Call(P + "ranked", b"[NaN, 1, 2]", JSON, [float("nan"), 1.0, 2.0]),
    "a version": Call(P + "half_plus_two/122", b"[[1]]", JSON, [[2.5]]),
    "a version as TorchServe writes it": Call(P + "half_plus_two/122.0", b"[[1]]", JSON, [[2.5]]),
    "PUT": Call(P + "flat", b"[1]", JSON, [2.5], method="PUT"),
    "GET with a body": Call(P + "flat", b"[1]", JSON, [2.5], method="GET"),
    "a name that is percent-encoded": Call(P + "half%5Fplus%5Ftwo", b"[[1]]", JSON, [[2.5]]),
    "invocations, the name in the query": Call("/invocations?model_name=flat", b"[1]", JSON, [2.5]),
    "invocations, the name in a form": multipart(
        "/invocations", ("model_name", b"two"), ("a", b"[3]"), ("b", b"[1]"), answer={"sum": [4.0], "difference": [2.0]}
    ),
    "invocations, an input in the query": Call("/invocations?model_name=flat&x=%5B1%5D", b"", "", [2.5]),
    "0.4: invoke": Call("/models/flat/invoke", b"[1]", JSON, [2.5]),
    "0.4: predict": Call("/flat/predict", b"[1]", JSON, [2.5]),
    "0.4: an input in the query": Call("/flat/predict?x=%5B1%5D", b"", "", [2.5], method="GET"),
    "a form of bytes that are no text": Call(
        P + "id_string", b"x=%FF%00", "application/x-www-form-urlencoded", {"b64": "/wA="}
    ),
    "a form of raw bytes that are no text": Call(
        P + "id_string", b"x=\xff\x01", "application/x-www-form-urlencoded", {"b64": "/wE="}
    ),
    "a form with a plus": Call(P + "id_string", b"x=a+b", "application/x-www-form-urlencoded", "a b"),
    "a form of UTF-8 without escapes": Call(
        P + "id_string", "x=café".encode(), "application/x-www-form-urlencoded", "café"
    ),
}


@pytest.mark.parametrize("call", ANSWERS.values(), ids=ANSWERS.keys())
def test_answers(servers: Running, call: Call) -> None:
    answer = sent(servers, call)
    assert answer.status == 200, answer.body
    assert repr(json.loads(answer.body)) == repr(
        json.loads(json.dumps(call.answer)) if "pictures" not in call.path else approx(call.answer, answer)
    )
    assert answer.headers["pragma"] == "no-cache"
    assert answer.headers["expires"] == "Thu, 01 Jan 1970 00:00:00 UTC"
    assert answer.headers["content-type"] == JSON
    assert servers.predictor.leases == 0


def approx(wanted: list[dict[str, Any]], answer: Answer) -> Any:
    """The answer itself, when its numbers are the wanted ones as float32."""
    found = json.loads(answer.body)
    assert [(row["class"], np.float32(row["probability"])) for row in found] == [
        (row["class"], np.float32(row["probability"])) for row in wanted
    ]
    return found


BAD, GONE, BUSY = "BadRequestException", "ModelNotFoundException", "ServiceUnavailableException"
NO_WORKER = "No worker is available to serve request for model: {}. Consider increasing job queue size."
ERRORS = {
    "no such model": Call(P + "nope", status=404, kind=GONE, says="Model not found: nope"),
    "no such version": Call(P + "flat/9.0", b"[1]", status=404, kind="ModelVersionNotFoundException", says="Model version: 9.0 does not exist for model: flat"),
    "a version that is no number of ours": Call(P + "flat/9.9", b"[1]", status=404, kind="ModelVersionNotFoundException", says="Model version: 9.9 does not exist for model: flat"),
    "a model that failed": Call(P + "broken", b"[1]", status=503, kind=BUSY, says=NO_WORKER.format("broken") + " Version 7 is FAILED (graph.onnx ends at byte 12.)."),
    "a queue that is full": Call(P + "full", b"[1]", status=503, kind=BUSY, says=NO_WORKER.format("full") + " The queue of full has 1024 requests."),
    "a fault of ours": Call(P + "bug", b"[1]", status=500, kind="InternalServerException", says="Internal error; the gateway's log has it under request id"),
    "JSON that is none": Call(P + "flat", b"[1", JSON, status=400, kind=BAD, says="JSON Parse error"),
    "JSON: an unknown input": Call(P + "two", b'{"a": [1], "bb": [2]}', JSON, status=400, kind=BAD, says="'bb' is no input of this model. Did you mean 'b'? The inputs are: a:float32[?], b:float32[?]."),
    "JSON: a missing input": Call(P + "two", b'{"a": [1]}', JSON, status=400, kind=BAD, says="Missing named input: b"),
    "JSON: a plain list for two inputs": Call(P + "two", b"[1]", JSON, status=400, kind=BAD, says="expecting an object as multiple input tensors required"),
    "JSON: of another type": Call(P + "id_int8", b"[300]", JSON, status=400, kind=BAD, says="300"),
    "JSON: too deep": Call(P + "flat", b"[" * 20 + b"]" * 20, JSON, status=413, kind="RequestEntityTooLargeException", says="limits.max_json_depth"),
    "JSON: half has no form": Call(P + "id_float16", b"[0.5]", JSON, status=400, kind=BAD, says="Conversion of JSON Value: 0.5 to type: half"),
    "the shape is another": Call(P + "half_plus_two", b"[[1, 2]]", JSON, status=400, kind=BAD, says="input 'x' has shape [1,2], expected [?,1]"),
    "all parts are wrong, all are named": multipart(P + "two", ("a", b"x"), ("aa", b"1"), status=400, kind=BAD, says="part 'a': JSON Parse error: Expecting value at offset: 0; expected JSON, a .npy file, or a picture where the model says how pictures go in.; no part is named 'b', which is float32; part 'aa' is no input of this model. Did you mean 'a'?"),
    "parts are not matched by position": multipart(P + "two", ("img1", b"[3]"), ("img2", b"[1]"), status=400, kind=BAD, says="no part is named 'a'"),
    "names that are no text": Call(P + "two", b"\xed\xa0\x80=1&%FF=2", "application/x-www-form-urlencoded", status=400, kind=BAD, says="is no input of this model"),
    "JSON: a name that is half of a surrogate pair": Call(P + "two", b'{"\\ud800": 1}', JSON, status=400, kind=BAD, says="is no input of this model"),
    "a part twice": multipart(P + "two", ("a", b"[3]"), ("a", b"[1]"), status=400, kind=BAD, says="part 'a' came more than once"),
    "an object in a part": multipart(P + "two", ("a", b'{"z": 1}'), ("b", b"[1]"), status=400, kind=BAD, says="part 'a': it is a JSON object, expected a number or nested lists of them."),
    "no body": Call(P + "flat", status=400, kind=BAD, says="part 'body': it is empty"),
    "an empty part": multipart(P + "flat", ("x", b""), status=400, kind=BAD, says="part 'x': it is empty"),
    "a zip": Call(P + "flat", b"PK\x03\x04...", status=400, kind=BAD, says="it is a zip (.npz?)"),
    "multipart without a boundary": Call(P + "flat", b"abc", "multipart/form-data", status=400, kind=BAD, says="the Content-Type multipart names no boundary."),
    "multipart that is none": Call(P + "flat", b"abc", "multipart/form-data; boundary=x", status=400, kind=BAD, says="the multipart body is malformed"),
    "multipart that breaks off": Call(P + "flat", form(("x", b"[1]"))[1][:-9], "multipart/form-data; boundary=sep", status=400, kind=BAD, says="ends before its closing boundary"),
    "more parts than are taken": multipart(P + "flat", *[(f"p{n}", b"") for n in range(1001)], status=413, says="more than 1000 parts", kind="RequestEntityTooLargeException"),
    "more fields than are taken": Call(P + "flat", b"a=1&" * 1001, "application/x-www-form-urlencoded", status=413, says="more than 1000 fields", kind="RequestEntityTooLargeException"),
    ".npy of another dtype is not cast": Call(P + "flat", npy(np.float32([1])), status=400, kind=BAD, says="its .npy is float32, expected float64; nothing is cast."),
    ".npy of objects is not unpickled": Call(P + "flat", npy(np.array([None]), allow_pickle=True), status=400, kind=BAD, says="its .npy holds Python objects, which are not read."),
    ".npy that breaks off": Call(P + "flat", npy(np.float64([1, 2]))[:-3], status=400, kind=BAD, says="its .npy holds 13 bytes, its shape [2] of float64 needs 16."),
    ".npy that claims 2^62 elements": Call(P + "flat", claims("(4611686018427387904,)"), status=413, kind="RequestEntityTooLargeException", says="has 4611686018427387904 elements"),
    ".npy with a negative size": Call(P + "flat", claims("(-1, -1)", "<f8") + b"\0" * 8, status=400, kind=BAD, says="its .npy holds 8 bytes, its shape [-1, -1]"),
    ".npy with a header that is code": Call(P + "flat", claims("__import__('os').getpid()"), status=400, kind=BAD, says="its .npy header cannot be read"),
    ".npy of fixed-width text": Call(P + "id_string", npy(np.array([b"a"])), status=400, kind=BAD, says="fixed-width text"),
    ".npy cut within its header": Call(P + "flat", b"\x93NUMPY\x01", status=400, kind=BAD, says="its .npy header cannot be read"),
    "a picture for a model that takes none": Call(P + "flat", png(PIXELS), "image/png", status=400, kind=BAD, says="it is a picture, and the model does not say how a picture becomes x:float64[?]. Add a [preprocess] table"),
    "a picture that is none": Call(P + "pictures", b"\xff\xd8\xff not", "image/jpeg", status=400, kind=BAD, says="is not a picture that can be read"),
    "a picture of another kind than are read": Call(P + "pictures", b"%!PS-Adobe-3.0 EPSF-3.0\n", "image/eps", status=400, kind=BAD, says="its format is not known"),
    "a picture with too many pixels": Call(P + "pictures", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x00\x00\x00\x00" + b"\0" * 4, "image/png", status=400, kind=BAD, says="is not a picture that can be read"),
    "top_k that is no number": Call(P + "flat?top_k=x", b"[1]", status=400, kind=BAD, says="top_k is 'x', expected a number from 0 to 1000"),
    "a query that is no ASCII": Call(P + "flat?%F2%8D%93%AB=1&top_k=%C2%B2", b"[1]", status=400, kind=BAD, says="top_k is"),
    "top_k beyond": Call(P + "flat?top_k=1001", b"[1]", status=400, kind=BAD, says="top_k is '1001'"),
    "invocations without a name": Call("/invocations", b"[1]", JSON, status=400, kind=BAD, says="Parameter model_name is required."),
    "invocations of no model": Call("/invocations?model_name=nope", b"[1]", JSON, status=404, kind=GONE, says="Model not found: nope"),
    "DELETE of a prediction": Call(P + "flat", status=405, kind="MethodNotAllowedException", says="Requested method is not allowed, please refer to API document.", method="DELETE"),
    "OPTIONS of no model": Call(P + "nope", status=404, kind=GONE, says="Model not found: nope", method="OPTIONS"),
    "a body over the limit": Call(P + "flat", b"x" * (2 << 20), status=413, kind="RequestEntityTooLargeException", says="limits.max_body_bytes"),
}  # fmt: skip


@pytest.mark.parametrize("call", ERRORS.values(), ids=ERRORS.keys())
def test_errors(servers: Running, call: Call) -> None:
    answer = sent(servers, call)
    found = json.loads(answer.body)
    assert (answer.status, found["code"], found["type"]) == (call.status, call.status, call.kind), found
    assert call.says in found["message"], found["message"]
    assert answer.headers["cache-control"] == "no-cache; no-store, must-revalidate, private"
    assert ("retry-after" in answer.headers) == (call.status == 503)
    assert servers.predictor.leases == 0


def test_every_call_is_observed_once(servers: Running) -> None:
    for path, model, version, code in (
        (P + "half_plus_two", "half_plus_two", 123, "OK"),
        (P + "nope", "", None, "NOT_FOUND"),
        (P + "full", "full", 1, "UNAVAILABLE"),
        (P + "flat", "flat", 1, "INVALID_ARGUMENT"),
    ):
        servers.seen.requests.clear()
        ask(servers, "POST", path, b"[[1]]" if "half" in path else b"[1]" if "full" in path else b"{}")
        (told,) = servers.seen.requests
        assert (told["protocol"], told["model"], told["version"], told["code"]) == ("mms-rest", model, version, code)


def test_ping(servers: Running) -> None:
    for ready, status, says in ((True, 200, "Healthy"), (False, 503, "Unhealthy")):
        servers.predictor.ready = ready
        answer = ask(servers, "GET", "/ping")
        servers.predictor.ready = True
        assert (answer.status, answer.body) == (status, b'{\n  "status": "%b"\n}\n' % says.encode())


def test_the_clients_request_id_comes_back(servers: Running) -> None:
    assert ask(servers, "GET", "/ping", headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"


def test_options_describes_a_model(servers: Running) -> None:
    found = json.loads(ask(servers, "OPTIONS", P + "pictures").body)
    content = found["paths"]["/predictions/pictures"]["post"]["requestBody"]["content"]
    assert content["multipart/form-data"]["schema"]["properties"]["image"]["description"].endswith(", or a picture")
    for path, method in (("/", "OPTIONS"), ("/api-description", "GET")):
        whole = json.loads(ask(servers, method, path).body)
        assert "/predictions/{model}" in whole["paths"]
        assert not any(path.startswith("/v1/") for path in whole["paths"])
