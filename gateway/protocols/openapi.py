"""The OpenAPI document: what is served over HTTP, one row an operation.

Rule 1: a row is here exactly if a route answers it; a test asks every row of a running gateway and
        finds a row for every route. docs/openapi.json is what this file writes (tools/openapi_page.py).
Rule 2: schemas say what is promised, no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import __version__
from gateway.core.signature import Signature
from gateway.protocols.access import Scope
from gateway.protocols.mms_inputs import wanted_inputs

JSON = "application/json"
Schema = Mapping[str, Any]
ANY: Schema = {}
OBJECT: Schema = {"type": "object"}


@dataclass(frozen=True)
class Operation:
    """`path` has its parameters in braces; a name ending in `*` of `query` is demanded. `answers` are the codes besides
    200 (or `ok`) that the contract has; 500 is never among them."""

    method: str
    path: str
    summary: str
    dialect: str
    scope: Scope
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: Mapping[str, Schema] = field(default_factory=dict)  # content type -> schema
    result: Schema = field(default_factory=dict)
    result_type: str = JSON  # "": an empty body
    ok: tuple[int, ...] = (200,)
    answers: tuple[int, ...] = ()
    port: str = "http"  # the listener: http, admin or metrics; what is on http may be on others too

    @property
    def id(self) -> str:
        words = re.findall(r"[A-Za-z0-9]+", self.path) or ["root"]
        return "_".join([self.dialect, self.method.lower(), *words])


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
YES: Schema = {"type": "boolean"}
ERROR = {"$ref": "#/components/schemas/Error"}
MMS_ERROR = {"$ref": "#/components/schemas/ModelServerError"}
_STATUS = _object(status=TEXT)
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_NUMBER = r"[0-9]{1,18}"
_PREDICT: Schema = {
    "type": "object",
    "properties": {"signature_name": TEXT, "instances": {"type": "array", "minItems": 1, "items": ANY}, "inputs": ANY},
}
_EXAMPLES: Schema = {
    "type": "object",
    "required": ["examples"],
    "properties": {
        "signature_name": TEXT,
        "context": OBJECT,
        "examples": {"type": "array", "minItems": 1, "items": OBJECT},
    },
}
_TOP: Schema = {"type": "integer", "minimum": 0, "maximum": 1000}
_FORM: Schema = {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}
_BODIES: Mapping[str, Schema] = {
    JSON: ANY,
    "multipart/form-data": _FORM,
    "application/x-www-form-urlencoded": {"type": "object", "additionalProperties": TEXT},
    "application/octet-stream": {"type": "string", "format": "binary"},
}
_INFER: Schema = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": TEXT,
        "parameters": OBJECT,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype", "data"],
                "properties": {
                    "name": TEXT,
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                    "datatype": TEXT,
                    "data": {"type": "array", "items": ANY},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {"type": "object", "required": ["name"], "properties": {"name": TEXT, "parameters": OBJECT}},
        },
    },
}
_OPTION: Mapping[str, Schema] = {JSON: OBJECT}
_FAILS = (400, 401, 403, 404, 413, 429, 501, 503, 504)
_READS = (401, 403, 404)


def _tfs() -> Iterable[Operation]:
    for where in ("", "/versions/{version}", "/labels/{label}"):
        path = "/v1/models/{model}" + where
        yield Operation(
            "POST", path + ":predict", "TensorFlow Serving's predict", "tfs", Scope.INFER,
            body={JSON: _PREDICT}, result=OBJECT, answers=_FAILS,
        )  # fmt: skip
        for verb in ("classify", "regress"):
            yield Operation(
                "POST", f"{path}:{verb}", f"TensorFlow Serving's {verb}, of tf.Examples as JSON", "tfs", Scope.INFER,
                body={JSON: _EXAMPLES}, result=_object(results=_list(ANY)), answers=_FAILS,
            )  # fmt: skip
        yield Operation(
            "GET", path + "/metadata", "TensorFlow Serving's metadata: the SignatureDefs", "tfs", Scope.METADATA,
            result=_object(model_spec=OBJECT, metadata=OBJECT), answers=(400, *_READS, 503),
        )  # fmt: skip
        yield Operation(
            "GET", path, "TensorFlow Serving's status of the versions", "tfs", Scope.METADATA,
            result=_object(model_version_status=_list(OBJECT)), answers=(400, *_READS),
        )  # fmt: skip

    yield Operation(
        "GET", "/monitoring/prometheus/metrics", "TensorFlow Serving's metrics, under its names", "tfs", Scope.METADATA,
        result=TEXT, result_type="text/plain", answers=(401, 403),
    )  # fmt: skip


def _kserve() -> Iterable[Operation]:
    def row(
        method: str, path: str, summary: str, result: Schema, *answers: int, scope: Scope = Scope.METADATA, **more: Any
    ) -> Operation:
        codes = answers if scope is Scope.OPEN else (401, 403, *answers)
        return Operation(method, path, summary, "kserve", scope, result=result, answers=codes, **more)

    yield row("GET", "/v2", "the server's name, version and extensions", _object(name=TEXT, version=TEXT))
    yield row("GET", "/v2/health/live", "200 while the gateway turns", OBJECT, 503, scope=Scope.OPEN)
    yield row("GET", "/v2/health/ready", "200 when it takes requests", OBJECT, 400, 503, scope=Scope.OPEN)
    yield row("GET", "/v2/models", "the models", OBJECT)
    yield row("GET", "/v2/models/stats", "counts and durations of every version", OBJECT)
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        yield row("GET", path, "the model's inputs and outputs", OBJECT, 400, 404, 503)
        yield row("GET", path + "/ready", "whether it serves", OBJECT, 400, 404, scope=Scope.OPEN)
        yield row("GET", path + "/config", "Triton's configuration of the model", OBJECT, 400, 404, 503)
        yield row("GET", path + "/stats", "counts and durations", OBJECT, 400, 404, 503)
        yield row(
            "POST", path + "/infer", "inference: JSON, or Triton's binary extension", OBJECT,
            400, 404, 413, 429, 501, 503, 504, scope=Scope.INFER, body={JSON: _INFER},
        )  # fmt: skip
    yield row("POST", "/v2/repository/index", "Triton's index of the repository", _list(OBJECT), 400, 413, body=_OPTION)
    for verb in ("load", "unload"):
        yield row(
            "POST", "/v2/repository/models/{model}/" + verb, f"{verb} a model (model_control = explicit)", ANY,
            400, 404, 409, 413, 503, 504, scope=Scope.MANAGE, body=_OPTION, result_type="",
        )  # fmt: skip
    for path in ("/v2/trace/setting", "/v2/models/{model}/trace/setting", "/v2/logging"):
        yield row("GET", path, "settings", OBJECT, 400, 404)
        yield row("POST", path, "change settings", OBJECT, 400, 404, 413, 501, scope=Scope.MANAGE, body=_OPTION)
    for kind, codes in (("system", (400, 404, 413, 501)), ("cuda", (400, 404, 413, 501))):
        whole = f"/v2/{kind}sharedmemory"
        one = whole + "/region/{region}"
        for path in (whole, one):
            yield row("GET", path + "/status", f"registered {kind} shared memory", _list(OBJECT), *codes)
            yield row("POST", path + "/unregister", "forget it", ANY, *codes, scope=Scope.MANAGE, result_type="")
        yield row(
            "POST", one + "/register", f"register {kind} shared memory", ANY, *codes, scope=Scope.MANAGE, body=_OPTION,
            result_type="",
        )  # fmt: skip


def _mms() -> Iterable[Operation]:
    yield Operation(
        "GET", "/ping", "multi-model-server's health", "mms", Scope.OPEN, result=_STATUS, answers=(503,)
    )  # fmt: skip
    for path in ("/predictions/{model}", "/predictions/{model}/{version}"):
        yield Operation(
            "POST", path, "multi-model-server's prediction: a form of inputs, JSON, .npy, or a picture", "mms",
            Scope.INFER, query={"top_k": _TOP}, body=_BODIES, answers=_FAILS,
        )  # fmt: skip
        yield Operation(
            "OPTIONS", path, "the inputs of one model, as an OpenAPI document", "mms", Scope.METADATA, result=OBJECT,
            answers=_READS,
        )  # fmt: skip
    yield Operation(
        "POST", "/invocations", "SageMaker's prediction", "mms", Scope.INFER,
        query={"model_name": TEXT, "top_k": _TOP}, body=_BODIES, answers=_FAILS,
    )  # fmt: skip
    for path in ("/models/{model}/invoke", "/models/{model}/predict", "/{model}/predict"):
        yield Operation(
            "POST", path, "multi-model-server 0.4's prediction", "mms", Scope.INFER,
            query={"top_k": _TOP}, body=_BODIES, answers=_FAILS,
        )  # fmt: skip
    yield Operation("OPTIONS", "/", "this dialect as an OpenAPI document", "mms", Scope.METADATA, result=OBJECT)
    yield Operation("GET", "/api-description", "the same", "mms", Scope.METADATA, result=OBJECT)


def _mms_management() -> Iterable[Operation]:
    def manage(method: str, path: str, summary: str, result: Schema, *answers: int, **more: Any) -> Operation:
        scope = Scope.METADATA if method in ("GET", "OPTIONS") else Scope.MANAGE
        codes = (401, 403, *answers)
        return Operation(method, path, summary, "mms", scope, result=result, answers=codes, port="admin", **more)

    yield manage(
        "GET", "/models", "the models, in pages", _object(models=_list(OBJECT)),
        query={"limit": TEXT, "next_page_token": TEXT},
    )  # fmt: skip
    yield manage(
        "POST", "/models", "register a model of the model store or of an allowed URL", _STATUS,
        400, 404, 409, 413, 503, 504, 507,
        query={"url*": TEXT, "model_name": TEXT, "model_version": TEXT, "initial_workers": WHOLE, "synchronous": YES},
        ok=(200, 202),
    )  # fmt: skip
    for path in ("/models/{model}", "/models/{model}/{version}"):
        yield manage("GET", path, "one model", ANY, 404)
        yield manage(
            "PUT", path, "scale: there is one worker, and the answer says so", _STATUS, 400, 404, 503, 504,
            query={"min_worker": WHOLE, "max_worker": WHOLE, "synchronous": YES}, ok=(200, 202, 210),
        )  # fmt: skip
        yield manage("DELETE", path, "unregister; no file is deleted", _STATUS, 400, 404, 503)
    yield manage("GET", "/models/{model}/all", "every version of one model", _list(OBJECT), 404)
    yield manage("PUT", "/models/{model}/{version}/set-default", "which version answers", _STATUS, 404, 503)


def _ours() -> Iterable[Operation]:
    def read(path: str, summary: str, result: Schema, *answers: int, scope: Scope = Scope.METADATA) -> Operation:
        codes = answers if scope is Scope.OPEN else (401, 403, *answers)
        return Operation("GET", path, summary, "gateway", scope, result=result, answers=codes)

    yield read("/", "what is here, for people or as JSON", OBJECT)
    yield read("/openapi.json", "this document", OBJECT)
    yield read("/healthz/live", "200 while the gateway turns", _object(live={"type": "boolean"}), scope=Scope.OPEN)
    yield read(
        "/healthz/ready", "200 when it takes requests", _object(ready={"type": "boolean"}), 503, scope=Scope.OPEN
    )
    yield read("/api/v1/models", "every model, its versions, states and verdicts", _object(models=_list(OBJECT)))
    yield read("/api/v1/models/{model}", "one model", _object(name=TEXT, versions=_list(OBJECT)), 404)
    yield read("/api/v1/models/{model}/versions/{version}", "one version in full", OBJECT, 404)
    yield read("/api/v1/models/{model}/versions/{version}/report", "its Verification", OBJECT, 404)
    yield Operation(
        "GET", "/metrics", "Prometheus metrics", "gateway", Scope.METADATA, result=TEXT, result_type="text/plain",
        answers=(401, 403), port="metrics",
    )  # fmt: skip


def operations(dialect: str = "") -> list[Operation]:
    """All rows, or one dialect's."""
    return [
        row for rows in (_tfs, _kserve, _mms, _mms_management, _ours) for row in rows() if dialect in ("", row.dialect)
    ]


PARAMETERS: Mapping[str, Schema] = {
    "model": {"type": "string", "pattern": f"^{_NAME}$"},
    "version": {"type": "string", "pattern": f"^{_NUMBER}$"},
    "region": {"type": "string", "pattern": r"^[A-Za-z0-9_-]{1,64}$"},
    "label": {"type": "string", "pattern": r"^[^/:?#]{1,64}$"},
}


def document(rows: Iterable[Operation], title: str = "Model Gateway") -> dict[str, Any]:
    """OpenAPI 3.0.3 of these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": title,
            "version": __version__,
            "license": {"name": "Apache-2.0"},
            "description": "One HTTP port for clients of TensorFlow Serving, KServe, Triton and multi-model-server.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": _object(error=TEXT),
                "ModelServerError": _object(code=WHOLE, type=TEXT, message=TEXT),
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(row: Operation) -> dict[str, Any]:
    error = MMS_ERROR if row.dialect == "mms" else ERROR
    found: dict[str, Any] = {
        "operationId": row.id,
        "summary": row.summary,
        "tags": [row.dialect],
        "x-scope": row.scope.value,
        "x-listener": row.port,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": PARAMETERS[name]}
            for name in re.findall(r"{(\w+)}", row.path)
        ],
        "responses": {},
    }
    for name, schema in row.query.items():
        found["parameters"].append(
            {"name": name.rstrip("*"), "in": "query", "required": name.endswith("*"), "schema": schema}
        )
    if row.body:
        found["requestBody"] = {"required": True, "content": {kind: {"schema": s} for kind, s in row.body.items()}}
    for code in row.ok if row.result_type else ():
        found["responses"][str(code)] = {
            "description": "done", "content": {row.result_type: {"schema": row.result}}
        }  # fmt: skip
    for code in () if row.result_type else row.ok:
        found["responses"][str(code)] = {"description": "done, with an empty body"}
    for code in row.answers:
        found["responses"][str(code)] = {"description": MEANING[code], "content": {JSON: {"schema": error}}}
    if row.scope is not Scope.OPEN:
        found["security"] = [{}, {"bearer": []}]
    return found


MEANING = {
    400: "the request is wrong; the text says what was found and what was expected",
    401: "no credential that is known came with it",
    403: "the credential has not the scope, or the call came from elsewhere than it is answered",
    404: "no such model, version or resource",
    409: "it is there already",
    413: "beyond a limit of the gateway",
    429: "the model's queue is full",
    501: "the protocol cannot carry this, or it is not served",
    503: "not ready, or nothing that can take it now",
    504: "the deadline passed",
    507: "out of memory",
}


def of_model(name: str, signature: Signature | None) -> dict[str, Any]:
    """One model's OpenAPI document, as OPTIONS /predictions/M gives it."""
    row = Operation(
        "POST",
        f"/predictions/{name}",
        f"A predict entry point for model: {name}.",
        "mms",
        Scope.INFER,
        body=_BODIES,
        answers=_FAILS,
    )
    found = document([row], f"RESTful API for: {name}")
    if signature is not None:
        fields = wanted_inputs(signature)
        form = {"type": "object", "required": sorted(fields), "properties": fields}
        content = found["paths"][row.path]["post"]["requestBody"]["content"]
        content["multipart/form-data"] = {"schema": form}
    return found
