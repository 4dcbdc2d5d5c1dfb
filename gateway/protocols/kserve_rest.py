"""KServe v2 over REST with Triton's extensions: everything below /v2.

    POST /v2/models/NAME[/versions/N]/infer     JSON, JSON and binary tensors, or one raw tensor
    GET  /v2/models/NAME[/versions/N][/ready|/config|/stats|/trace/setting]

Rule 1: binary tensors are used where they lie in the body; nothing copies them.
Rule 2: faults of a request are 400, also where Triton says 500; every call is observed once.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson

from gateway.errors import InvalidRequest
from gateway.protocols import kserve
from gateway.protocols.access import Scope
from gateway.protocols.http import Request, Response, Route, compressed, error_response, json_response
from gateway.protocols.json_text import loads, quote
from gateway.protocols.kserve import kserve_status
from gateway.protocols.kserve_config import rest_form
from gateway.protocols.kserve_infer import Call
from gateway.protocols.kserve_json import decode, encode
from gateway.protocols.kserve_service import KServe

PROTOCOL = "kserve-rest"
HEADER_LENGTH = b"inference-header-content-length"
_REPOSITORY = "/v2/repository(?:/((?!models/)[^/]+))?"
_MODEL = r"/v2/models/([^/]+)(?:/versions/([0-9]+))?"

Handler = Callable[[Request, "re.Match[str]", Call], Any]


class KServeRest:
    """The routes below /v2 over a KServe."""

    def __init__(self, service: KServe) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        read, manage = ("GET",), ("POST",)
        memory, cuda = "/v2/systemsharedmemory", "/v2/cudasharedmemory"
        table: list[tuple[str, Scope, tuple[str, ...], Handler]] = [
            (_MODEL + "/infer", Scope.INFER, ("POST",), self._infer),
            ("/v2/health/live", Scope.OPEN, read, self._live),
            ("/v2/health/ready", Scope.OPEN, read, self._ready),
            ("/v2/?", Scope.METADATA, read, lambda *_: self._service.metadata()),
            ("/v2/models", Scope.METADATA, read, self._models),
            ("/v2/models/stats", Scope.METADATA, read, lambda *_: self._service.statistics("", "")),
            (_MODEL, Scope.METADATA, read, self._metadata),
            (_MODEL + "/ready", Scope.OPEN, read, self._model_ready),
            (_MODEL + "/config", Scope.METADATA, read, self._config),
            (_MODEL + "/stats", Scope.METADATA, read, self._stats),
            (_REPOSITORY + "/index", Scope.METADATA, ("POST",), self._index),
            (_REPOSITORY + "/models/([^/]+)/load", Scope.MANAGE, manage, self._load),
            (_REPOSITORY + "/models/([^/]+)/unload", Scope.MANAGE, manage, self._unload),
            ("/v2/trace/setting", Scope.METADATA, read, self._trace),
            ("/v2/trace/setting", Scope.MANAGE, manage, self._trace),
            (r"/v2/models/([^/]+)/trace/setting", Scope.METADATA, read, self._trace),
            (r"/v2/models/([^/]+)/trace/setting", Scope.MANAGE, manage, self._trace),
            ("/v2/logging", Scope.METADATA, read, self._log),
            ("/v2/logging", Scope.MANAGE, manage, self._log),
            (memory + r"(?:/region/([^/]+))?/status", Scope.METADATA, read, self._memory_status),
            (memory + r"/region/([^/]+)/register", Scope.MANAGE, manage, self._memory_register),
            (memory + r"(?:/region/([^/]+))?/unregister", Scope.MANAGE, manage, self._memory_drop),
            (cuda + r"(?:/region/([^/]+))?/status", Scope.METADATA, read, self._cuda_status),
            (cuda + "/region/[^/]+/register", Scope.MANAGE, manage, self._cuda_register),
            (cuda + "(?:/region/[^/]+)?/unregister", Scope.MANAGE, manage, lambda *_: None),
        ]
        return [Route(re.compile(path), self._serve(call), methods, scope) for path, scope, methods, call in table]

    def _serve(self, handler: Handler) -> Callable[[Request, re.Match[str]], Any]:
        """Around each route: observed once, errors as Triton's codes, the answer in the coding asked for."""

        async def serve(request: Request, match: re.Match[str]) -> Response:
            started, code = time.monotonic(), "CANCELLED"
            call = Call(started + self._service.limits.request_s, request.request_id)
            try:
                answer = handler(request, match, call)
                if asyncio.iscoroutine(answer):
                    answer = await answer
                code = "OK"
                response = answer if isinstance(answer, Response) else _response(answer)
                return compressed(response, request.headers.get(b"accept-encoding", b""))
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001  status_of logs what nobody expected
                status = kserve_status(error, request.request_id)
                code = status.name
                return error_response(status)
            finally:
                self._service.observe.request(
                    protocol=PROTOCOL,
                    model=call.model,
                    version=call.version,
                    code=code,
                    seconds=time.monotonic() - started,
                    request_id=request.request_id,
                )

        return serve

    # -- health and metadata

    def _live(self, *_: Any) -> dict[str, bool]:
        return {"live": True}

    def _ready(self, *_: Any) -> Response:
        ready = self._service.ready
        return json_response({"ready": ready, "live": ready}, 200 if ready else 400)

    def _models(self, *_: Any) -> dict[str, Any]:
        return {"models": [status.name for status in self._service.predictor.models()]}

    def _model_ready(self, _: Request, match: re.Match[str], __: Call) -> Response:
        name = unquote(match[1])
        if not kserve.is_ready(self._service.predictor, name, match[2] or ""):
            return Response(b'{"error":"Model version not ready"}', 400)
        return json_response({"name": name, "ready": True})

    def _metadata(self, _: Request, match: re.Match[str], __: Call) -> dict[str, Any]:
        return kserve.model_metadata(self._service.predictor, unquote(match[1]), match[2] or "")

    def _config(self, _: Request, match: re.Match[str], __: Call) -> dict[str, Any]:
        return rest_form(self._service.config(unquote(match[1]), match[2] or ""))

    def _stats(self, _: Request, match: re.Match[str], __: Call) -> dict[str, Any]:
        return self._service.statistics(unquote(match[1]), match[2] or "")

    # -- inference

    async def _infer(self, request: Request, match: re.Match[str], call: Call) -> Response:
        decoded = decode(request, unquote(match[1]), match[2] or "", self._service)
        answer = await self._service.inference.run(decoded.request, call, decoded.inputs)
        return encode(answer, decoded)

    # -- the repository

    def _index(self, request: Request, match: re.Match[str], _: Call) -> list[Any]:
        ready = _object(request, self._service).get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidRequest(f"Unable to parse 'ready': {quote(ready)}, expected true or false.")
        return self._service.repository.index(unquote(match[1] or ""), ready=ready)

    async def _load(self, request: Request, match: re.Match[str], call: Call) -> None:
        parameters = _parameters(_object(request, self._service))
        name = unquote(match[2])
        await self._service.repository.load(unquote(match[1] or ""), name, parameters, call.own_deadline)

    async def _unload(self, request: Request, match: re.Match[str], call: Call) -> None:
        parameters = _parameters(_object(request, self._service))
        name = unquote(match[2])
        await self._service.repository.unload(unquote(match[1] or ""), name, parameters, call.own_deadline)

    # -- settings

    def _trace(self, request: Request, match: re.Match[str], _: Call) -> dict[str, Any]:
        model = unquote(match[1]) if match.re.groups else ""
        given = _object(request, self._service) if request.method == "POST" else {}
        return self._service.trace(model, {key: _trace_value(key, value) for key, value in given.items()})

    def _log(self, request: Request, _: re.Match[str], __: Call) -> dict[str, Any]:
        if request.method == "POST":
            self._service.log.update(_object(request, self._service))
        return self._service.log.settings()

    # -- shared memory

    def _memory_status(self, _: Request, match: re.Match[str], __: Call) -> list[Any]:
        return [one.to_json() for one in self._service.memory.status(unquote(match[1] or ""))]

    def _memory_register(self, request: Request, match: re.Match[str], _: Call) -> None:
        given = _object(request, self._service)
        for key in ("key", "byte_size"):
            if key not in given:
                raise InvalidRequest(f"Shared memory register request has no '{key}' field")
        sizes = {"offset": given.get("offset", 0), "byte_size": given["byte_size"]}
        for key, value in sizes.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidRequest(f"'{key}' is {quote(value)}, expected a whole number of bytes.")
        if not isinstance(given["key"], str):
            raise InvalidRequest(f"'key' is {quote(given['key'])}, expected text.")
        self._service.memory.register(unquote(match[1]), given["key"], sizes["offset"], sizes["byte_size"])

    def _memory_drop(self, _: Request, match: re.Match[str], __: Call) -> None:
        self._service.memory.unregister(unquote(match[1] or ""))

    def _cuda_status(self, _: Request, match: re.Match[str], __: Call) -> list[Any]:
        self._service.cuda_status(unquote(match[1] or ""))
        return []

    def _cuda_register(self, *_: Any) -> None:
        self._service.cuda_register()


def _response(value: Any) -> Response:
    """None is an empty body, as Triton answers calls that only do something."""
    return Response(b"" if value is None else orjson.dumps(value))


def _object(request: Request, service: KServe) -> dict[str, Any]:
    if not request.body:
        return {}
    found = loads(request.body, service.limits.max_json_depth)
    if not isinstance(found, dict):
        raise InvalidRequest(f"the body is {quote(found)}, expected a JSON object.")
    return found


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    found = document.get("parameters", {})
    if not isinstance(found, dict):
        raise InvalidRequest(f"Unable to parse 'parameters': {quote(found)} is not an object.")
    return found


def _trace_value(key: str, value: Any) -> Any:
    """Text, a list of texts, or null; numbers are taken as their text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidRequest(f"trace setting '{key[:64]}' is {quote(value)}, expected text.")
