# ruff: noqa: E501  a row of a table reads better on one line
"""TensorFlow Serving's REST API over real HTTP: every call and every refusal is a row."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.protocols.double import Running, running

LIMITS: dict[str, Any] = {"max_body_bytes": 1 << 20, "max_json_depth": 16, "max_elements": 5000}


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running(**LIMITS) as live:
        yield live


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]


def ask(
    servers: Running,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    listener: str = "http",
) -> Answer:
    connection = http.client.HTTPConnection(servers.addresses[listener], timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})
    finally:
        connection.close()


@dataclass(frozen=True)
class Call:
    model: str
    body: str | bytes
    answer: str
    status: int = 200
    exact: bool = True  # False: the answer is a part of the text


def text(error: str) -> str:
    return '{"error": ' + json.dumps(error, ensure_ascii=False) + "}"


ROWS = {
    "rows": Call("flat", '{"instances": [1, 2]}', '{"predictions": [2.5,3.0]}'),
    "columns": Call("flat", '{"inputs": [1, 2]}', '{"outputs": [2.5,3.0]}'),
    "rows of lists": Call("half_plus_two", '{"instances": [[1], [2.0]]}', '{"predictions": [[2.5],[3.0]]}'),
    "rows of objects, one input": Call("flat", '{"instances": [{"x": 1}, {"x": 2}]}', '{"predictions": [2.5,3.0]}'),
    "rows of objects, two inputs": Call(
        "two",
        '{"instances": [{"a": 3, "b": 1}, {"b": 5, "a": 4}]}',
        '{"predictions": [{"sum": 4.0,"difference": 2.0},{"sum": 9.0,"difference": -1.0}]}',
    ),
    "columns, two inputs, an extra one is ignored": Call(
        "two",
        '{"inputs": {"a": [3], "b": [1], "c": "x"}}',
        '{"outputs": {"sum": [4.0],"difference": [2.0]}}',
    ),
    "columns, scalar output": Call("scalar", '{"inputs": [1, 2]}', '{"outputs": 3.0}'),
    "columns, scalar input": Call("id_float32", '{"inputs": 1}', '{"outputs": 1.0}'),
    "columns, one input by name": Call("id_float32", '{"inputs": {"x": [1]}}', '{"outputs": [1.0]}'),
    "an empty list in columns": Call("id_float32", '{"inputs": []}', '{"outputs": []}'),
    "bytes after the document are ignored": Call("flat", '{"instances": [1]} and more', '{"predictions": [2.5]}'),
    "the default signature by name": Call(
        "flat", '{"signature_name": "serving_default", "instances": [1]}', '{"predictions": [2.5]}'
    ),
    "strings out, *_bytes as b64": Call(
        "strings",
        '{"inputs": [1]}',
        '{"outputs": {"label": ["café",{"b64":"/wA="}],"raw_bytes": [{"b64":"Y2Fmw6k="},{"b64":"/wA="}]}}',
    ),
    "NaN out": Call("nan", '{"inputs": [1]}', '{"outputs": [[NaN,1.0],[Infinity,-Infinity]]}'),
    "NaN in": Call(
        "id_float32", '{"inputs": [NaN, Infinity, -Infinity, Inf, -Inf]}',
        '{"outputs": [NaN,Infinity,-Infinity,Infinity,-Infinity]}',
    ),
    "Inf inside a string stays": Call("id_string", '{"inputs": ["Inf", "a\\"Inf"], "z": NaN}', '{"outputs": ["Inf","a\\"Inf"]}'),
    # values
    "floats have the shortest digits": Call("id_float32", '{"inputs": [0.1, 1, 1e20, 16777216]}', '{"outputs": [0.1,1.0,1e+20,16777216.0]}'),
    "doubles too": Call("id_float64", '{"inputs": [0.1, 0.30000000000000004]}', '{"outputs": [0.1,0.30000000000000004]}'),
    "an int as 1.0": Call("id_int32", '{"inputs": [1.0, 2]}', '{"outputs": [1,2]}'),
    "int64 beyond 2**53": Call("id_int64", '{"inputs": [9007199254740993, -9223372036854775808]}', '{"outputs": [9007199254740993,-9223372036854775808]}'),
    "int64 beyond 2**53 beside a float": Call("id_int64", '{"inputs": [9007199254740993, 1.0]}', '{"outputs": [9007199254740993,1]}'),
    "uint64": Call("id_uint64", '{"inputs": [18446744073709551615, 1]}', '{"outputs": [18446744073709551615,1]}'),
    "int8 at its ends": Call("id_int8", '{"inputs": [-128, 127]}', '{"outputs": [-128,127]}'),
    "uint16": Call("id_uint16", '{"inputs": [65535]}', '{"outputs": [65535]}'),
    "bool": Call("id_bool", '{"inputs": [[true], [false]]}', '{"outputs": [[true],[false]]}'),
    "float beside the word true in a string": Call("id_float32", '{"inputs": [1.5, 2], "note": "true"}', '{"outputs": [1.5,2.0]}'),
    "strings": Call("id_string", '{"inputs": [["a"], ["é"]]}', '{"outputs": [["a"],["é"]]}'),
    "b64": Call("id_string", '{"inputs": {"b64": "/wA="}}', '{"outputs": {"b64":"/wA="}}'),
    "b64 rows": Call("id_string", '{"instances": [{"b64": "YQ=="}, "b"]}', '{"predictions": ["a","b"]}'),
    "a row object of b64": Call("id_string", '{"instances": [{"x": {"b64": "YQ=="}}]}', '{"predictions": ["a"]}'),
}  # fmt: skip

ERRORS = {
    "not JSON": Call("flat", "{", "JSON Parse error: ", 400, exact=False),
    "empty body": Call("flat", "", text("JSON Parse error: The document is empty"), 400),
    "not UTF-8": Call("flat", b'{"instances": ["\xff"]}', "JSON Parse error: not UTF-8 at offset: 16", 400, exact=False),
    "not an object": Call("flat", "[1]", text("JSON Value: [1] Is not object"), 400),
    "beyond float64": Call("flat", '{"instances": [1e999]}', "JSON Parse error: Number too big to be stored in double: 1e999", 400, exact=False),
    "another constant": Call("flat", '{"instances": [nan]}', "JSON Parse error: ", 400, exact=False),
    "too deep": Call("flat", '{"inputs": ' + "[" * 17 + "]" * 17 + "}", "nested deeper than 16", 413, exact=False),
    "too deep for any parser": Call("flat", "[" * 100_000, "nested deeper than 16", 413, exact=False),
    "too many elements": Call("flat", json.dumps({"inputs": [0] * 5001}), "has 5001 elements, expected at most 5000. The limit is limits.max_elements.", 413, exact=False),
    "signature_name is no string": Call("flat", '{"signature_name": 5, "instances": [1]}', "not formatted correctly. 'signature_name' key must be a string value.", 400, exact=False),
    "signature before model": Call("nobody", '{"signature_name": 5}', "'signature_name' key must be a string", 400, exact=False),
    "model before tensors": Call("nobody", "{}", text("Servable not found for request: Latest(nobody)"), 404),
    "no such signature": Call("flat", '{"signature_name": "x", "instances": [1]}', text('Serving signature name: "x" not found in signature def. The model has: serving_default.'), 400),
    "both keys": Call("flat", '{"inputs": 1, "instances": [1]}', "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist", 400, exact=False),
    "neither key": Call("flat", "{}", text("Missing 'inputs' or 'instances' key"), 400),
    "instances is no list": Call("flat", '{"instances": 1}', text("JSON Value: {\"instances\":1} Excepting 'instances' to be an list/array"), 400),
    "instances is empty": Call("flat", '{"instances": []}', text("JSON Value: {\"instances\":[]} No values in 'instances' array"), 400),
    "plain rows, two inputs": Call("two", '{"instances": [1]}', "instances is a plain list, but expecting list of objects", 400, exact=False),
    "b64 rows, two inputs": Call("two", '{"instances": [{"b64": "YQ=="}]}', "instances is a plain list", 400, exact=False),
    "plain column, two inputs": Call("two", '{"inputs": [1]}', "inputs is a plain value/list, but expecting an object", 400, exact=False),
    "a missing column": Call("two", '{"inputs": {"a": [1]}}', text("Missing named input: b in 'inputs' object."), 400),
    "object then value": Call("flat", '{"instances": [{"x": 1}, 2]}', text("Expecting object but got list at item 1 of input list"), 400),
    "value then object": Call("flat", '{"instances": [1, {"x": 2}]}', text("Expecting value/list but got object at item 1 of input list"), 400),
    "a key missing in a row": Call("two", '{"instances": [{"a": 1, "b": 1}, {"a": 1}]}', text("Failed to process element: 1 of 'instances' list. JSON object: {\"a\":1} keys must be equal to: a,b"), 400),
    "a key too many in a row": Call("flat", '{"instances": [{"x": 1, "z": 1}]}', text("Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: z"), 400),
    "rows of two shapes": Call("flat", '{"instances": [[1, 2], [3]]}', text("Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [2] but got: [1]"), 400),
    "objects of two shapes": Call("flat", '{"instances": [{"x": [1, 2]}, {"x": 3}]}', text("Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [2] but got: []"), 400),
    "ragged column": Call("flat", '{"inputs": [[1, 2], [3]]}', text("Encountered list at unexpected size: 1 at level: 1 expected size: 2"), 400),
    "a value where a list was": Call("flat", '{"inputs": [[1], 2]}', text("JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"), 400),
    "a list where a value was": Call("flat", '{"inputs": [1, [2]]}', text("Encountered list at unexpected level: 1 expected < 1"), 400),
    "a string for a float": Call("id_float32", '{"inputs": ["x"]}', text('JSON Value: "x" Type: String is not of expected type: float'), 400),
    "a number as string": Call("id_float32", '{"inputs": ["1.5", 2]}', text('JSON Value: "1.5" Type: String is not of expected type: float'), 400),
    "null": Call("id_float32", '{"inputs": [1, null]}', text("JSON Value: null Type: Null is not of expected type: float"), 400),
    "true beside numbers": Call("id_float32", '{"inputs": [1, true]}', text("JSON Value: true Type: True is not of expected type: float"), 400),
    "true for an int": Call("id_int32", '{"inputs": [true]}', text("JSON Value: true Type: True is not of expected type: int32"), 400),
    "1 for a bool": Call("id_bool", '{"inputs": [true, 1]}', text("JSON Value: 1 Type: Number is not of expected type: bool"), 400),
    "a number for a string": Call("id_string", '{"inputs": ["a", 1]}', text("JSON Value: 1 Type: Number is not of expected type: string"), 400),
    "b64 for a float": Call("id_float32", '{"inputs": [{"b64": "YQ=="}]}', "Type: Object is not of expected type: float", 400, exact=False),
    "b64 and more": Call("id_string", '{"inputs": [{"b64": "YQ==", "x": 1}]}', "not formatted correctly for base64 data", 400, exact=False),
    "broken base64": Call("id_string", '{"inputs": [{"b64": "Y"}]}', text("Unable to base64 decode"), 400),
    "half a surrogate": Call("id_string", '{"inputs": ["\\ud800"]}', "half of a surrogate pair", 400, exact=False),
    "1.5 for an int": Call("id_int32", '{"inputs": [1, 1.5]}', text("JSON Value: 1.5 Type: Number is not of expected type: int32"), 400),
    "300 for an int8": Call("id_int8", '{"inputs": [1, 300]}', text("JSON Value: 300 Type: Number is out of range of type: int8 (-128 to 127)"), 400),
    "300.0 for an int8": Call("id_int8", '{"inputs": [300.0]}', "out of range of type: int8", 400, exact=False),
    "-1 for a uint8": Call("id_uint8", '{"inputs": [-1]}', text("JSON Value: -1 Type: Number is out of range of type: uint8 (0 to 255)"), 400),
    "2**63 for an int64": Call("id_int64", '{"inputs": [9223372036854775808]}', "out of range of type: int64", 400, exact=False),
    "2**64 for a uint64": Call("id_uint64", '{"inputs": [18446744073709551616]}', "out of range of type: uint64", 400, exact=False),
    "2**53 as a float for an int64": Call("id_int64", '{"inputs": [9007199254740993.0]}', "is not of expected type: int64", 400, exact=False),
    "NaN for an int": Call("id_int32", '{"inputs": [NaN]}', "Type: Number is not of expected type: int32", 400, exact=False),
    "1e40 for a float32": Call("id_float32", '{"inputs": [1, 1e40]}', text("JSON Value: 1e+40 Type: Number is out of range of type: float (-3.4028234663852886e+38 to 3.4028234663852886e+38)"), 400),
    "1e40 beside Infinity": Call("id_float32", '{"inputs": [Infinity, 1e40]}', "JSON Value: 1e+40 Type: Number is out of range", 400, exact=False),
    "half": Call("id_float16", '{"inputs": [[1.0]]}', "Conversion of JSON Value: 1.0 to type: half", 501, exact=False),
    "bfloat16": Call("id_bfloat16", '{"inputs": 1}', "Conversion of JSON Value: 1 to type: bfloat16", 501, exact=False),
    "complex": Call("id_complex64", '{"instances": [1]}', "to type: complex64", 501, exact=False),
    "long values are cut in texts": Call("id_float32", json.dumps({"inputs": ["x" * 1000]}), "x" * 255 + " Type: String", 400, exact=False),
    "wrong shape": Call("half_plus_two", '{"instances": [1]}', "input 'x' has shape [1], expected [?,1]", 400, exact=False),
    "rows of a scalar output": Call("scalar", '{"instances": [1]}', text("Tensor name: y has no shape information "), 400),
    "rows of uneven outputs": Call("uneven", '{"instances": [1, 2]}', text("Tensor name: z has inconsistent batch size: 1 expecting: 2"), 400),
    "queue full": Call("full", '{"instances": [1]}', text("the queue of full has 1024 requests."), 429),
    "a bug of ours": Call("bug", '{"instances": [1]}', "Internal error", 500, exact=False),
}  # fmt: skip


@pytest.mark.parametrize("call", [*ROWS.values(), *ERRORS.values()], ids=[*ROWS, *ERRORS])
def test_predict(servers: Running, call: Call) -> None:
    body = call.body if isinstance(call.body, bytes) else call.body.encode()
    answer = ask(servers, "POST", f"/v1/models/{call.model}:predict", body)
    found = answer.body.decode()
    assert (
        (answer.status, found) == (call.status, call.answer)
        if call.exact
        else call.answer in json.loads(found)["error"]
    )
    assert answer.status == call.status
    assert answer.headers["content-type"] == "application/json"
    assert "secret" not in found
    assert servers.predictor.leases == 0


@dataclass(frozen=True)
class Get:
    method: str
    path: str
    status: int
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)


PATHS = {
    "upper case": Get("POST", "/V1/MODELS/flat:PREDICT", 200),
    "a version": Get("POST", "/v1/models/flat/versions/1:predict", 200),
    "leading zeros": Get("POST", "/v1/models/flat/versions/00001:predict", 200),
    "a name in escapes": Get("POST", "/v1/models/fl%61t:predict", 200),
    "a query is ignored": Get("POST", "/v1/models/flat:predict?x=1", 200),
    "no such version": Get("POST", "/v1/models/flat/versions/9:predict", 404, "Servable not found for request: Specific(flat, 9)"),
    "version 0 is the newest": Get("POST", "/v1/models/flat/versions/0:predict", 200),
    "a version beyond int64": Get("POST", "/v1/models/flat/versions/9223372036854775808:predict", 400, "Failed to convert version: 9223372036854775808 to numeric."),
    "a version of 5000 digits": Get("POST", f"/v1/models/flat/versions/{'9' * 5000}:predict", 400, "Failed to convert version: " + "9" * 256 + " to numeric."),
    "unknown label": Get("POST", "/v1/models/flat/labels/stable:predict", 400, "Unrecognized servable version label: stable"),
    "method typo": Get("POST", "/v1/models/flat:predct", 400, "Malformed request: POST /v1/models/flat:predct"),
    "GET on predict": Get("GET", "/v1/models/flat:predict", 400, "Malformed request: GET /v1/models/flat:predict"),
    "POST on metadata": Get("POST", "/v1/models/flat/metadata", 400, "Malformed request: POST /v1/models/flat/metadata"),
    "PUT": Get("PUT", "/v1/models/flat:predict", 400, "Malformed request: PUT /v1/models/flat:predict"),
    "anything under /v1": Get("GET", "/v1/xyz", 400, "Malformed request: GET /v1/xyz"),
    "no name": Get("GET", "/v1/models", 400, "Missing model name in request. GET /api/v1/models lists all models."),
    "status": Get("GET", "/v1/models/flat", 200),
    "status with a label: all versions": Get("GET", "/v1/models/flat/labels/x", 200),
    "status of nobody": Get("GET", "/v1/models/nobody", 404, "Could not find any versions of model nobody"),
    "status of no version": Get("GET", "/v1/models/flat/versions/7", 404, "Could not find version 7 of model flat"),
    "metadata of nobody": Get("GET", "/v1/models/nobody/metadata", 404, "Servable not found for request: Latest(nobody)"),
    "OPTIONS from a page": Get("OPTIONS", "/v1/models/flat:predict", 200, headers={"Origin": "https://example.com"}),
    "OPTIONS from elsewhere": Get("OPTIONS", "/v1/models/flat:predict", 400, "Origin header is missing in CORS preflight"),
    "not under /v1": Get("GET", "/v3/health/live", 404, "Not Found: nothing is served at /v3/health/live; GET / lists what is."),
    "just /v1": Get("GET", "/v1", 404, "Not Found: nothing is served at /v1; GET / lists what is."),
}  # fmt: skip


@pytest.mark.parametrize("row", PATHS.values(), ids=PATHS.keys())
def test_paths(servers: Running, row: Get) -> None:
    body = b'{"instances": [1]}' if row.method == "POST" else None
    answer = ask(servers, row.method, row.path, body, row.headers)
    assert answer.status == row.status
    if row.error:
        assert json.loads(answer.body) == {"error": row.error}


def test_metadata_is_half_plus_twos(servers: Running) -> None:
    """The file is testdata/half_plus_two_model_metadata.json of TensorFlow Serving (Apache-2.0), unchanged."""
    file = Path(__file__).parents[1] / "conformance" / "half_plus_two_metadata.json"
    official = json.loads(file.read_text())
    found = json.loads(ask(servers, "GET", "/v1/models/half_plus_two/metadata").body)
    assert found["model_spec"] == {**official["model_spec"], "name": "half_plus_two"}
    ours = found["metadata"]["signature_def"]["signature_def"]
    theirs = official["metadata"]["signature_def"]["signature_def"]
    assert ours == {"serving_default": theirs["serving_default"]}


def test_metadata_of_unknown_rank(servers: Running) -> None:
    found = json.loads(ask(servers, "GET", "/v1/models/id_string/metadata").body)
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [], "unknown_rank": True},
        "name": "x",
    }


def test_status(servers: Running) -> None:
    def state(version: str) -> dict[str, Any]:
        return {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}

    found = json.loads(ask(servers, "GET", "/v1/models/half_plus_two").body)
    shared = {"name": "half_plus_two", "ready": True}  # KServe's keys, where its clients share the port
    assert found == {"model_version_status": [state("123"), state("122")], **shared}
    found = json.loads(ask(servers, "GET", "/v1/models/half_plus_two/versions/122").body)
    assert found == {"model_version_status": [state("122")], **shared}


def test_status_of_a_failure_says_why(servers: Running) -> None:
    (found,) = json.loads(ask(servers, "GET", "/v1/models/broken").body)["model_version_status"]
    assert found["state"] == "END"
    text = "graph.onnx ends at byte 12. Copy it again."
    assert found["status"] == {"error_code": "FAILED_PRECONDITION", "error_message": text}


def test_gzip_body(servers: Running) -> None:
    body = gzip.compress(b'{"instances": [1]}')
    path = "/v1/models/flat:predict"
    assert ask(servers, "POST", path, body, {"Content-Encoding": "gzip"}).body == b'{"predictions": [2.5]}'
    assert ask(servers, "POST", path, body[:9] + body[10:], {"Content-Encoding": "gzip"}).status == 400
    cut = ask(servers, "POST", path, body[:-3], {"Content-Encoding": "gzip"})
    assert (cut.status, cut.body) == (400, text("the gzip body ends before its end.").encode())
    bomb = gzip.compress(b" " * (LIMITS["max_body_bytes"] + 1))
    assert len(bomb) < 10_000
    answer = ask(servers, "POST", path, bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 413
    assert b"limits.max_body_bytes" in answer.body


def test_body_limit(servers: Running) -> None:
    path = "/v1/models/flat:predict"
    large = b'{"instances": [1]}'.ljust(LIMITS["max_body_bytes"])
    assert ask(servers, "POST", path, large).status == 200
    answer = ask(servers, "POST", path, large + b" ")
    assert answer.status == 413
    assert b"The limit is limits.max_body_bytes." in answer.body

    def chunks() -> Iterator[bytes]:
        yield from [b" " * 65536] * 20

    connection = http.client.HTTPConnection(servers.addresses["http"], timeout=20)
    connection.request("POST", path, chunks(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 413
    connection.close()


def test_request_id_is_echoed_or_made(servers: Running) -> None:
    given = ask(servers, "GET", "/v1/models/flat", headers={"X-Request-Id": "my-id/1"})
    assert given.headers["x-request-id"] == "my-id/1"
    made = ask(servers, "POST", "/v1/models/flat:predict", b'{"instances": [1]}')
    assert servers.predictor.calls[-1].request_id == made.headers["x-request-id"]
    unfit = ask(servers, "GET", "/v1/models/flat", headers={"X-Request-Id": "a b" * 100})
    assert len(unfit.headers["x-request-id"]) == 16


def test_each_call_is_observed_once(servers: Running) -> None:
    def told(path: str) -> tuple[Any, ...]:
        before = len(servers.seen.requests)
        ask(servers, "POST", path, b'{"instances": [1]}')
        (request,) = servers.seen.requests[before:]
        assert request["seconds"] >= 0
        return request["protocol"], request["model"], request["version"], request["code"]

    assert told("/v1/models/flat:predict") == ("tfs-rest", "flat", 1, "OK")
    assert told("/v1/models/full:predict") == ("tfs-rest", "full", 1, "RESOURCE_EXHAUSTED")
    assert told("/v1/models/made-up-name:predict") == ("tfs-rest", "", None, "NOT_FOUND")
    assert told("/v1/nothing") == ("tfs-rest", "", None, "INVALID_ARGUMENT")


def test_a_retry_is_asked_for_when_it_helps(servers: Running) -> None:
    answer = ask(servers, "POST", "/v1/models/full:predict", b'{"instances": [1]}')
    assert answer.headers["retry-after"] == "1"
    assert "retry-after" not in ask(servers, "POST", "/v1/models/flat:predict", b"{").headers


def test_admin_routes(servers: Running) -> None:
    for listener in ("http", "admin"):
        found = json.loads(ask(servers, "GET", "/api/v1/models", listener=listener).body)["models"]
        assert {"name": "flat", "versions": [_version_json(1)]} in found
        one = json.loads(ask(servers, "GET", "/api/v1/models/half_plus_two", listener=listener).body)
        assert one == {"name": "half_plus_two", "versions": [_version_json(123), _version_json(122)]}
        whole = json.loads(ask(servers, "GET", "/api/v1/models/flat/versions/1", listener=listener).body)
        assert whole == {"name": "flat", "version": 1, "verification": {"verdict": "passed", "oracle": "numpy"}}
        report = json.loads(ask(servers, "GET", "/api/v1/models/flat/versions/1/report", listener=listener).body)
        assert report == whole["verification"]
        missing = ask(servers, "GET", "/api/v1/models/nobody", listener=listener)
        assert (missing.status, json.loads(missing.body)) == (404, {"error": "no model nobody"})
        none = ask(servers, "GET", "/api/v1/models/broken/versions/7/report", listener=listener)
        assert none.status == 404
        assert b"nothing was verified yet" in none.body
        wrong = ask(servers, "POST", "/api/v1/models", b"", listener=listener)
        assert (wrong.status, wrong.headers["allow"]) == (405, "GET")
        here = json.loads(ask(servers, "GET", "/", listener=listener).body)
        assert ("POST /v1/models/{model}:predict" in here["routes"]) == (listener == "http")
    assert ask(servers, "POST", "/v1/models/flat:predict", b"{}", listener="admin").status == 404


def _version_json(version: int) -> dict[str, Any]:
    return {"version": version, "state": "AVAILABLE", "verdict": "passed", "reason": "", "hint": "", "stage": "", "generation": 1}  # fmt: skip


def test_health_and_metrics(servers: Running) -> None:
    assert ask(servers, "GET", "/healthz/live").body == b'{"live":true}'
    assert ask(servers, "GET", "/healthz/ready", listener="admin").status == 200
    servers.predictor.ready = False
    try:
        answer = ask(servers, "GET", "/healthz/ready", listener="admin")
        assert (answer.status, answer.body) == (503, b'{"ready":false}')
        assert ask(servers, "HEAD", "/healthz/live").body == b""
    finally:
        servers.predictor.ready = True
    page = ask(servers, "GET", "/metrics", listener="metrics")
    assert (page.body, page.headers["content-type"]) == (b"up 1\n", "text/plain; version=0.0.4")
    assert ask(servers, "GET", "/elsewhere", listener="metrics").status == 404
