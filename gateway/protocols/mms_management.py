"""The management API of multi-model-server and TorchServe.

    POST   /models?url=...            register          GET /models[?limit&next_page_token]   list
    GET    /models/M[/V|/all]         describe          PUT /models/M[/V]?min_worker=...      scale
    PUT    /models/M/V/set-default                      DELETE /models/M[/V]                  unregister

Rule 1: a model has one worker that batches and uses all cores. Scaling is accepted and answered
        with what is so: 1, and 210 where that is not what was asked for.
Rule 2: handlers are Python code of strangers: a `handler` is refused, not run.
Rule 3: where the two servers differ, `torchserve` chooses; texts are the originals' (RAN).
Rule 4: no path of this machine is in an answer.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from gateway.config import Settings
from gateway.core.version import State
from gateway.errors import InvalidRequest, ModelExists, ModelNotFound, ModelNotReady, TooLarge
from gateway.protocols.access import Scope
from gateway.protocols.http import Request, Response, Route
from gateway.protocols.json_text import loads
from gateway.protocols.mms import (
    DefaultVersion,
    document,
    mms_errors,
    no_such_model,
    no_such_version,
    status_of_model,
    version_of,
)
from gateway.serving.control import Control
from gateway.serving.predict import ModelStatus, Predictor, VersionStatus
from gateway.serving.registrar import Registrar, url_of

_M = r"([^/]+)"
PAGE = 100
MAX_PARAMETERS = 1000
PARTIAL = 210  # their own code for "not as many workers as were asked for"
WORKER = {State.AVAILABLE: "READY", State.DRAINING: "UNLOADING"}
GONE = (State.RETIRED, State.FAILED)


class MmsManagement:
    """The routes of the management port. `describe` is the OpenAPI document of its own routes."""

    def __init__(
        self,
        predictor: Predictor,
        control: Control,
        registrar: Registrar,
        settings: Settings,
        describe: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._predictor = predictor
        self._control = control
        self._registrar = registrar
        self._settings = settings
        self._torchserve = settings.management.torchserve
        self._describe = describe

    def routes(self) -> list[Route]:
        def route(path: str, handler: Any, method: str, scope: Scope = Scope.MANAGE) -> Route:
            return Route(re.compile(path), handler, (method,), scope, mms_errors)

        return [
            route("/", self._api, "OPTIONS", Scope.METADATA),
            route("/models/?", self._list, "GET", Scope.METADATA),
            route("/models/?", self._register, "POST"),
            route(f"/models/{_M}(?:/([^/]+))?", self._show, "GET", Scope.METADATA),
            route(f"/models/{_M}(?:/([^/]+))?", self._scale, "PUT"),
            route(f"/models/{_M}(?:/([^/]+))?", self._unregister, "DELETE"),
            route(f"/models/{_M}/([^/]+)/set-default", self._set_default, "PUT"),
        ]

    async def _api(self, _: Request, __: re.Match[str]) -> Response:
        return document(self._describe())

    # -- register

    async def _register(self, request: Request, _: re.Match[str]) -> Response:
        given = parameters(request, self._settings.limits.max_json_depth)
        url = given.get("url", "")
        if not url:
            raise InvalidRequest("Parameter url is required.")
        if given.get("handler"):
            raise InvalidRequest(
                "Parameter handler is refused: handlers are Python code and are not run.",
                hint="A model is served from its files; how a picture goes in is said in its model.toml.",
            )
        workers = integer(given, "initial_workers", 0)
        wait = boolean(given, "synchronous")
        version = version_of(given.get("model_version"), given.get("model_name", ""))
        place = await self._registrar.place(url, given.get("model_name", ""), version)
        old = self._control.wanted(place.name)
        urls = dict(old.extra.get("urls", {})) if old is not None else {}
        extra = {"urls": {**urls, str(place.version): url}, "initial_workers": workers}
        first = self._default(place.name)
        try:
            await self._registrar.register(place, extra, wait=wait, deadline=None)
        except ModelExists as error:
            raise self._taken(place.name, place.version, error) from None
        if first is not None and old is not None and old.default is None:
            with contextlib.suppress(ModelNotReady):  # it does not serve: then what does is the default
                await self._control.set_default(place.name, first)  # the first stays the default until it is changed
        return self._registered(place.name, place.version or self._default(place.name) or 1, workers, wait)

    def _registered(self, name: str, version: int, workers: int, wait: bool) -> Response:
        if workers and not wait:
            return document({"status": "Processing worker updates..."}, 202)
        if self._torchserve:
            text = f'Model "{name}" Version: {version} registered with 1 initial workers'
            return document({"status": text})
        return document({"status": "Workers scaled" if wait else f'Model "{name}" registered'})

    def _taken(self, name: str, version: int | None, error: ModelExists) -> ModelExists:
        text = f"Model {name} is already registered."
        if self._torchserve:
            text = f"Model version {version or self._default(name)} is already registered for model {name}"
        return ModelExists(text, hint=error.explain())

    # -- list and describe

    async def _list(self, request: Request, _: re.Match[str]) -> Response:
        query = _pairs(request.query.decode("latin-1"))
        limit, start = _page(query.get("limit", ""), PAGE), _page(query.get("next_page_token", ""), 0)
        limit = min(limit, PAGE)
        models = [model for model in self._predictor.models() if model.versions]
        shown = models[start : start + limit]
        found: dict[str, Any] = {"nextPageToken": str(start + limit)} if start + limit <= len(models) else {}
        found["models"] = [
            {"modelName": model.name, "modelUrl": url_of(self._control.wanted(model.name), model.name)}
            for model in shown
        ]
        return document(found)

    async def _show(self, request: Request, match: re.Match[str]) -> Response:
        name, wanted = unquote(match[1]), unquote(match[2] or "")
        status = status_of_model(self._predictor, name)
        if wanted == "all":
            return document([self._described(name, version) for version in reversed(status.versions)])
        version = self._version(status, wanted)
        described = self._described(name, version)
        return document([described] if self._torchserve else described)

    def _described(self, name: str, version: VersionStatus) -> dict[str, Any]:
        whole = self._predictor.describe(name, version.version)
        row = self._control.wanted(name)
        placement = str(whole.get("placement", {}))
        serving = version.state is State.AVAILABLE
        found: dict[str, Any] = {
            "modelName": name,
            "modelVersion": str(version.version),
            "modelUrl": url_of(row, name, version.version),
            "runtime": str(whole.get("kind") or "onnx"),
            "minWorkers": 1,
            "maxWorkers": 1,
            "batchSize": self._settings.batch.max_rows if _batched(whole) else 1,
            "maxBatchDelay": 0,  # nothing waits for a batch: what has queued while one ran is joined
            "loadedAtStartup": row is None or row.source != "management" or bool(row.extra.get("at_start")),
            "workers": [],
        }
        if version.state not in GONE:
            found["workers"].append(
                {
                    "id": f"{name}-{version.version}-{version.generation}",
                    "startTime": str(whole.get("since", "")),
                    "status": WORKER.get(version.state, "LOADING"),
                    "gpu": serving and "cuda" in placement.lower(),
                    "memoryUsage": 0,
                }
            )
        if version.reason:
            found["reason"] = f"{version.reason} {version.hint}".strip()
        return found

    def _version(self, status: ModelStatus, text: str) -> VersionStatus:
        """That version, or for "" the one that answers requests without a version. Errors: NoSuchVersion."""
        number = version_of(text, status.name) if text else self._default(status.name)
        found = next((v for v in status.versions if v.version == number), None)
        if found is None:
            raise no_such_version(status.name, text or number or 0)
        return found

    def _default(self, name: str) -> int | None:
        """The default, or the newest version that serves, or the newest there is; None: no such model."""
        row = self._control.wanted(name)
        if row is not None and row.default is not None:
            return row.default
        try:
            versions = self._predictor.status(name).versions
        except ModelNotFound:
            return None
        serving = [v.version for v in versions if v.state is State.AVAILABLE] or [v.version for v in versions]
        return serving[0] if serving else None  # newest first

    # -- scale, default, unregister

    async def _scale(self, request: Request, match: re.Match[str]) -> Response:
        name = unquote(match[1])
        given = parameters(request, self._settings.limits.max_json_depth)
        status = status_of_model(self._predictor, name)
        number = self._version(status, unquote(match[2])).version if match[2] else None
        low = integer(given, "min_worker", 1)
        high = integer(given, "max_worker", low)
        if high < low:
            raise InvalidRequest("max_worker cannot be less than min_worker.")
        timeout = integer(given, "timeout", -1)
        if not boolean(given, "synchronous"):
            return document({"status": "Processing worker updates..."}, 202)
        deadline = time.monotonic() + timeout if timeout > 0 else None
        await self._control.wait(name, version=number, deadline=deadline)
        if low <= 1 <= high:
            return document(
                {"status": f"Workers scaled to 1 for model: {name}" if self._torchserve else "Workers scaled"}
            )
        text = f"Workers scaled to 1 for model: {name}. One worker serves all requests, in batches and with all cores."
        return document({"status": text}, PARTIAL)

    async def _set_default(self, _: Request, match: re.Match[str]) -> Response:
        name, text = unquote(match[1]), unquote(match[2])
        status = status_of_model(self._predictor, name)
        try:
            number = self._version(status, text).version
        except ModelNotFound as error:
            raise type(error)(f"Model version {text[:64]} does not exist for model {name}") from None
        await self._control.set_default(name, number)
        return document({"status": f'Default version successfully updated for model "{name}" to "{text}"'})

    async def _unregister(self, _: Request, match: re.Match[str]) -> Response:
        name = unquote(match[1])
        status = status_of_model(self._predictor, name)
        number = self._version(status, unquote(match[2])).version if match[2] else None
        several = len([v for v in status.versions if v.state not in GONE]) > 1
        if several and (number == self._default(name) or (number is None and self._torchserve)):
            raise DefaultVersion(
                f"Cannot remove default version for model {name}",
                hint=f"PUT /models/{name}/VERSION/set-default makes another one the default.",
            )
        try:
            await self._control.unregister(name, number if several else None)
        except ModelNotFound:
            raise no_such_model(name) from None
        await self._registrar.forget(name)
        return document({"status": f'Model "{name}" unregistered'})


def parameters(request: Request, max_depth: int) -> dict[str, str]:
    """Query, form or JSON object, as texts. Errors: InvalidRequest, TooLarge."""
    found = _pairs(request.query.decode("latin-1"))
    kind = request.headers.get(b"content-type", b"").lower()
    if b"json" in kind and request.body:
        value = loads(request.body, max_depth)
        if not isinstance(value, dict):
            raise InvalidRequest("the body is not a JSON object of parameters.")
        found.update({key: _text(item) for key, item in value.items()})
    elif kind.startswith(b"application/x-www-form-urlencoded"):
        found.update(_pairs(request.body.decode("utf-8", "replace")))
    return found


def _pairs(text: str) -> dict[str, str]:
    if text.count("&") >= MAX_PARAMETERS:
        raise TooLarge(f"there are more than {MAX_PARAMETERS} parameters.")
    return dict(parse_qsl(text, keep_blank_values=True))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def integer(given: Mapping[str, str], name: str, default: int) -> int:
    """Errors: InvalidRequest."""
    text = given.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise InvalidRequest(f"Parameter {name} is {text[:64]!r}, expected a number.")
    return int(text)


def boolean(given: Mapping[str, str], name: str) -> bool:
    """As Java reads it: what is not `true` is false."""
    return given.get(name, "").lower() == "true"


def _page(text: str, default: int) -> int:
    """What is no number, or negative, counts as not given: so do the originals."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else default


def _batched(whole: Mapping[str, Any]) -> bool:
    return any(signature.get("batched") for signature in whole.get("signatures") or ())
