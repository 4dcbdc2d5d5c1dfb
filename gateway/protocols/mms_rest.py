"""The inference API of multi-model-server and TorchServe.

    GET /ping                           POST /predictions/M[/V]      POST /invocations[?model_name=M]
    POST /models/M/invoke, /M/predict   OPTIONS /, /predictions/M    GET /api-description

Rule 1: the method of a prediction is not checked, as the originals do not; DELETE and its like are.
Rule 2: what a body becomes is mms_inputs.py's, what an answer looks like mms_outputs.py's.
Rule 3: every call is observed once, with gRPC's name of its outcome.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from gateway.config import Limits
from gateway.core.version import State
from gateway.errors import GatewayError, InvalidRequest, ModelNotFound
from gateway.protocols.access import Scope
from gateway.protocols.http import Request, Response, Route
from gateway.protocols.mms import (
    NO_CACHE,
    NoSuchVersion,
    document,
    mms_errors,
    no_such_version,
    status_of_model,
    version_of,
    why_not,
)
from gateway.protocols.mms_inputs import BODY, Part, needs_thread, parts_of, tensors_of
from gateway.protocols.mms_outputs import TOP, encode
from gateway.protocols.options import options_of, query_of
from gateway.protocols.status import status_of
from gateway.serving.observe import Observe
from gateway.serving.predict import ModelSpec, PredictCall, Predictor

PROTOCOL = "mms-rest"
PREDICT_METHODS = ("POST", "GET", "PUT")
MAX_TOP = 1000

_M = r"([^/]+)"


class _Seen:
    """What is told when the request is over."""

    __slots__ = ("model", "version")

    def __init__(self) -> None:
        self.model = ""
        self.version: int | None = None


Ask = Callable[[Request, "re.Match[str]", _Seen, float], Awaitable[Response]]


class MmsRest:
    """The routes of the inference port. `describe`: the OpenAPI document of a model, or of the dialect."""

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits,
        observe: Observe,
        describe: Callable[[str | None], Mapping[str, Any]],
    ) -> None:
        self._predictor = predictor
        self._limits = limits
        self._observe = observe
        self._describe = describe

    def routes(self) -> list[Route]:
        def route(path: str, handler: Any, methods: tuple[str, ...], scope: Scope) -> Route:
            return Route(re.compile(path), handler, methods, scope, mms_errors)

        ask, read = PREDICT_METHODS, Scope.METADATA
        return [
            route("/ping", self._ping, ("GET", "POST"), Scope.OPEN),
            route("/", self._api, ("OPTIONS",), read),
            route("/api-description", self._api, ("GET",), read),
            route(f"/predictions/{_M}(?:/[^/]+)?", self._model_api, ("OPTIONS",), read),
            route(f"/predictions/{_M}(?:/([^/]+))?", self._observed(self._named), ask, Scope.INFER),
            route("/invocations", self._observed(self._invocation), ("POST",), Scope.INFER),
            route(f"/models/{_M}/(?:invoke|predict)()", self._observed(self._legacy), ask, Scope.INFER),
            route(
                f"/(?!v1/|v2/|models/|api/|predictions/){_M}/predict()", self._observed(self._legacy), ask, Scope.INFER
            ),
        ]

    # -- health and descriptions

    async def _ping(self, _: Request, __: re.Match[str]) -> Response:
        if not self._predictor.ready:
            return document({"status": "Unhealthy"}, 503)
        some = any(
            model.versions and not any(v.state is State.AVAILABLE for v in model.versions)
            for model in self._predictor.models()
        )
        return document({"status": "Partial Healthy" if some else "Healthy"})

    async def _api(self, _: Request, __: re.Match[str]) -> Response:
        return document(self._describe(None))

    async def _model_api(self, _: Request, match: re.Match[str]) -> Response:
        name = unquote(match[1])
        status_of_model(self._predictor, name)
        return document(self._describe(name))

    # -- predictions

    def _observed(self, ask: Ask) -> Callable[[Request, re.Match[str]], Awaitable[Response]]:
        async def serve(request: Request, match: re.Match[str]) -> Response:
            started = time.monotonic()
            seen, code = _Seen(), "CANCELLED"
            try:
                response = await ask(request, match, seen, started)
                code = "OK"
                return response
            except asyncio.CancelledError:
                raise
            except Exception as error:
                code = status_of(error, request.request_id).name
                raise
            finally:
                self._observe.request(
                    protocol=PROTOCOL,
                    model=seen.model,
                    version=seen.version,
                    code=code,
                    seconds=time.monotonic() - started,
                    request_id=request.request_id,
                )

        return serve

    async def _named(self, request: Request, match: re.Match[str], seen: _Seen, started: float) -> Response:
        name, text = unquote(match[1]), unquote(match[2] or "")
        spec = ModelSpec(name, version_of(text, name))
        try:
            return await self._predict(spec, self._parts(request), request, seen, started)
        except NoSuchVersion:
            raise no_such_version(name, text) from None  # as the client wrote it

    async def _legacy(self, request: Request, match: re.Match[str], seen: _Seen, started: float) -> Response:
        """Version 0.4's way: parameters of the query are inputs too."""
        parts = self._parts(request, query=True)
        return await self._predict(ModelSpec(unquote(match[1])), parts, request, seen, started)

    async def _invocation(self, request: Request, _: re.Match[str], seen: _Seen, started: float) -> Response:
        """SageMaker's way: the name is a parameter, and may be missing where there is one model."""
        parts = self._parts(request, query=True)
        named = [part for part in parts if part.name == "model_name"]
        others = [part for part in parts if part.name != "model_name"] or [Part(BODY, b"")]
        if named:
            name = named[0].body.decode("utf-8", "replace")
        else:
            known = [model.name for model in self._predictor.models()]
            if len(known) != 1:
                raise InvalidRequest(
                    "Parameter model_name is required.", hint=f"The models are: {', '.join(known) or 'none'}."
                )
            name = known[0]
        return await self._predict(ModelSpec(name), others, request, seen, started)

    def _parts(self, request: Request, *, query: bool = False) -> list[Part]:
        pairs = b"&".join(p for p in request.query.split(b"&") if p and not p.startswith(b"top_k=")) if query else b""
        return parts_of(request.headers.get(b"content-type", b""), request.body, pairs)

    async def _predict(
        self, spec: ModelSpec, parts: list[Part], request: Request, seen: _Seen, started: float
    ) -> Response:
        top = _top(request.query)
        try:
            lease = self._predictor.lease(spec)
        except ModelNotFound as error:
            raise why_not(self._predictor, spec, error) from None
        with lease:
            seen.model, seen.version = lease.model, lease.version
            if needs_thread(parts):
                inputs, batch = await asyncio.to_thread(tensors_of, parts, lease.signature, self._limits)
            else:
                inputs, batch = tensors_of(parts, lease.signature, self._limits)
            optional = {spec.name for spec in lease.signature.inputs if spec.optional}
            if optional and request.query:
                inputs |= options_of(query_of(request.query, optional), lease.signature, inputs)
            call = PredictCall(inputs, (), started + self._limits.request_s, request.request_id)
            try:
                response = await lease.predict(call)
            except GatewayError as error:
                raise why_not(self._predictor, spec, error) from error
            body = encode(response.outputs, lease.signature, batch=batch, top=top)
            return Response(body, headers=NO_CACHE)


def _top(query: bytes) -> int:
    """`?top_k=N`: how many classes, 0 for the numbers themselves. Errors: InvalidRequest."""
    given = parse_qs(query.decode("latin-1")).get("top_k")
    if given is None:
        return TOP
    if not (given[-1].isascii() and given[-1].isdigit()) or int(given[-1][:9]) > MAX_TOP:
        text = given[-1][:64]
        raise InvalidRequest(
            f"top_k is {text!r}, expected a number from 0 to {MAX_TOP}; 0 gives the numbers themselves."
        )
    return int(given[-1])
