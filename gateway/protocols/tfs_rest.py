"""TensorFlow Serving's REST API: predict (rows and columns), classify, regress, metadata, status.

Rule 1: the two patterns, the order of checks and the texts are the original's: whatever does
        not match under /v1/ is 400 "Malformed request", not 404 or 405.
Rule 2: every call is observed once, with gRPC's name of its outcome.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any
from urllib.parse import unquote

from gateway.config import Limits
from gateway.core.signature import SERVING_DEFAULT
from gateway.errors import InvalidRequest, UnknownSignature
from gateway.protocols.access import Scope
from gateway.protocols.http import Headers, Request, Response, Route, error_response, json_response
from gateway.protocols.json_examples import classification_body, read_examples, regression_body
from gateway.protocols.json_outputs import encode_outputs
from gateway.protocols.json_tensors import Decoder
from gateway.protocols.json_text import loads, quote
from gateway.protocols.status import status_of
from gateway.protocols.tfs import MAX_INT64, metadata_json, model_spec, unknown_signature, version_states
from gateway.protocols.tfs_examples import NO_SIGNATURE, Asked, classify, lease, regress
from gateway.protocols.tfs_metrics import TfsMetrics
from gateway.serving.observe import Observe
from gateway.serving.predict import ModelSpec, PredictCall, Predictor

PROTOCOL = "tfs-rest"
CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
)

_ANY = re.compile(r"(?i)/v1/.*")
_CALL = re.compile(
    r"(?i)/v1/models/([^/:]+)(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?:(classify|regress|predict)"
)
_READ = re.compile(r"(?i)/v1/models(?:/([^/:]+))?(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?(?:/(metadata))?")


def _scope(request: Request) -> Scope:
    return Scope.INFER if request.method == "POST" else Scope.METADATA


class _Seen:
    """What is told when the request is over."""

    __slots__ = ("api", "examples", "model", "run_s", "version")

    def __init__(self) -> None:
        self.api = ""
        self.model = ""
        self.version: int | None = None
        self.run_s = 0.0
        self.examples = 0


class TfsRest:
    """The routes below /v1/ over a Predictor. `kserve`: the status also has the keys of KServe's own v1 protocol."""

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits,
        observe: Observe,
        metrics: TfsMetrics,
        *,
        cors: bool = False,
        kserve: bool = False,
    ) -> None:
        self._predictor = predictor
        self._limits = limits
        self._observe = observe
        self._metrics = metrics
        self._headers: Headers = CORS if cors else ()
        self._kserve = kserve

    def routes(self) -> list[Route]:
        return [Route(_ANY, self._serve, methods=(), scope=_scope)]

    async def _serve(self, request: Request, _: re.Match[str]) -> Response:
        started = time.monotonic()
        seen, code = _Seen(), "CANCELLED"
        try:
            response = await self._dispatch(request, seen, started)
            code = "OK"
            response.headers = self._headers
            return response
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  status_of logs what nobody expected
            status = status_of(error, request.request_id)
            code = status.name
            refusal = error_response(status)
            refusal.headers = (*refusal.headers, *self._headers)
            return refusal
        finally:
            seconds = time.monotonic() - started
            self._observe.request(
                protocol=PROTOCOL,
                model=seen.model,
                version=seen.version,
                code=code,
                seconds=seconds,
                request_id=request.request_id,
            )
            self._metrics.request(
                model=seen.model,
                api=seen.api,
                entrypoint="REST",
                code=code,
                seconds=seconds,
                run_s=seen.run_s,
                examples=seen.examples,
            )

    async def _dispatch(self, request: Request, seen: _Seen, started: float) -> Response:
        if request.method == "POST" and (match := _CALL.fullmatch(request.path)):
            spec, seen.api = self._spec(match), match[4].lower()
            document = self._document(request)
            if seen.api == "predict":
                return await self._predict(spec, document, request, seen, started)
            return await self._with_examples(spec, document, request, seen, started)
        if request.method in ("GET", "HEAD") and (match := _READ.fullmatch(request.path)):
            if not match[1]:
                raise InvalidRequest("Missing model name in request.", hint="GET /api/v1/models lists all models.")
            spec = self._spec(match)
            return self._metadata(spec, seen) if match[4] else self._status(spec, seen)
        if request.method == "OPTIONS":
            if request.headers.get(b"origin", b"").startswith((b"http://", b"https://")):
                return Response(b"")
            raise InvalidRequest("Origin header is missing in CORS preflight")
        raise InvalidRequest(f"Malformed request: {request.method} {request.path[:256]}")

    def _spec(self, match: re.Match[str]) -> ModelSpec:
        label = unquote(match[3]) if match[3] else None
        return model_spec(self._predictor, unquote(match[1]), _version(match[2]), label)

    def _document(self, request: Request) -> dict[str, Any]:
        """The body as an object. Errors: InvalidRequest."""
        document = loads(request.body, self._limits.max_json_depth)
        if not isinstance(document, dict):
            raise InvalidRequest(f"JSON Value: {quote(document)} Is not object")
        return document

    async def _with_examples(
        self, spec: ModelSpec, document: dict[str, Any], request: Request, seen: _Seen, started: float
    ) -> Response:
        """Classify and regress. The examples are read before the model is looked for, as there."""
        signature = _signature_name(document)
        examples = read_examples(document)
        asked = Asked(lambda: examples, started + self._limits.request_s, request.request_id)
        with lease(self._predictor, spec, signature, NO_SIGNATURE) as held:
            seen.model, seen.version = held.model, held.version
            if seen.api == "classify":
                body = classification_body(await classify(held, asked, self._limits))
            else:
                body = regression_body(await regress(held, asked, self._limits))
            seen.run_s, seen.examples = asked.run_s, asked.count
            return Response(body)

    async def _predict(
        self, spec: ModelSpec, document: dict[str, Any], request: Request, seen: _Seen, started: float
    ) -> Response:
        body = request.body
        signature = _signature_name(document)
        try:
            held = self._predictor.lease(spec, signature)
        except UnknownSignature as error:
            seen.model = spec.name
            text = f'Serving signature name: "{signature}" not found in signature def'
            raise unknown_signature(error, text) from None
        with held:
            seen.model, seen.version = held.model, held.version
            # One letter first: memchr is 30 times faster, and most bodies have neither.
            has_bools = (b"r" in body and b"true" in body) or (b"l" in body and b"false" in body)
            sent = held.signature
            if sent.preprocess is not None and b'"b64"' in body:
                sent = sent.with_pictures()
            inputs, by_row = Decoder(sent, self._limits, has_bools=has_bools).inputs(document)
            call = PredictCall(inputs, (), started + self._limits.request_s, request.request_id)
            ran = time.monotonic()
            response = await held.predict(call)
            seen.run_s = time.monotonic() - ran
            return Response(encode_outputs(response.outputs, by_row=by_row))

    def _metadata(self, spec: ModelSpec, seen: _Seen) -> Response:
        seen.model, seen.version, signatures = self._predictor.signatures(spec)
        return json_response(metadata_json(seen.model, seen.version, signatures))

    def _status(self, spec: ModelSpec, seen: _Seen) -> Response:
        """A label in the path is ignored, as the original does."""
        found = [
            {"version": str(version), "state": state, "status": {"error_code": code, "error_message": text}}
            for version, state, code, text in version_states(self._predictor, spec.name, spec.version)
        ]
        seen.model, seen.version = spec.name, spec.version
        answer: dict[str, Any] = {"model_version_status": found}
        if self._kserve:
            answer |= {"name": spec.name, "ready": any(row["state"] == "AVAILABLE" for row in found)}
        return json_response(answer)


def _version(text: str | None) -> int | None:
    if not text:
        return None
    version = int(text) if len(text) < 40 else MAX_INT64 + 1
    if version > MAX_INT64:
        raise InvalidRequest(f"Failed to convert version: {text[:256]} to numeric.")
    return version


def _signature_name(document: dict[str, Any]) -> str:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidRequest(
            f"JSON Value: {quote(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name or SERVING_DEFAULT
