"""The gateway's own read-only routes: models, versions, reports, health, and what is here.

GET /api/v1/models[/NAME[/versions/N[/report]]]     GET /healthz/live     GET /healthz/ready
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, unquote

from gateway.errors import ModelNotFound
from gateway.protocols import index_page, openapi
from gateway.protocols.access import Scope
from gateway.protocols.http import Request, Response, Route, json_response
from gateway.protocols.openapi import Operation
from gateway.protocols.tfs import MAX_INT64
from gateway.serving.predict import ModelStatus, Predictor
from gateway.serving.tsmetrics import only

_READ = Scope.METADATA


class AdminRest:
    """`rows` is what else is on the same port, for GET / and the OpenAPI document."""

    def __init__(self, predictor: Predictor, rows: Sequence[Operation]) -> None:
        self._predictor = predictor
        self._rows = tuple(rows)

    def routes(self) -> list[Route]:
        return [
            Route(re.compile("/healthz/live"), self._live, scope=Scope.OPEN),
            Route(re.compile("/healthz/ready"), self._ready, scope=Scope.OPEN),
            Route(re.compile("/"), self._index, scope=_READ),
            Route(re.compile("/openapi.json"), self._openapi, scope=_READ),
            Route(re.compile("/api/v1/models/?"), self._models, scope=_READ),
            Route(re.compile("/api/v1/models/([^/]+)"), self._model, scope=_READ),
            Route(re.compile("/api/v1/models/([^/]+)/versions/([0-9]{1,19})"), self._version, scope=_READ),
            Route(re.compile("/api/v1/models/([^/]+)/versions/([0-9]{1,19})/report"), self._report, scope=_READ),
        ]

    async def _index(self, request: Request, _: re.Match[str]) -> Response:
        if index_page.wants_html(request.headers.get(b"accept", b"")):
            page = index_page.as_html(self._rows, self._predictor.models())
            return Response(page, content_type=index_page.HTML, headers=index_page.SAFE)
        found = json_response(index_page.as_json(self._rows))
        found.headers = index_page.SAFE
        return found

    async def _openapi(self, _: Request, __: re.Match[str]) -> Response:
        return json_response(openapi.document(self._rows))

    async def _live(self, _: Request, __: re.Match[str]) -> Response:
        return json_response({"live": True})

    async def _ready(self, _: Request, __: re.Match[str]) -> Response:
        ready = self._predictor.ready
        return json_response({"ready": ready}, 200 if ready else 503)

    async def _models(self, _: Request, __: re.Match[str]) -> Response:
        return json_response({"models": [_model_json(status) for status in self._predictor.models()]})

    async def _model(self, _: Request, match: re.Match[str]) -> Response:
        return json_response(_model_json(self._predictor.status(unquote(match[1]))))

    async def _version(self, _: Request, match: re.Match[str]) -> Response:
        return json_response(self._describe(match))

    async def _report(self, _: Request, match: re.Match[str]) -> Response:
        report = self._describe(match).get("verification")
        if not report:
            raise ModelNotFound(
                f"Version {match[2]} of model {unquote(match[1])} has no report: nothing was verified yet.",
                hint=f"GET /api/v1/models/{match[1]}/versions/{match[2]} says where it stands.",
            )
        return json_response(report)

    def _describe(self, match: re.Match[str]) -> dict[str, Any]:
        return self._predictor.describe(unquote(match[1]), min(int(match[2]), MAX_INT64))


def _model_json(status: ModelStatus) -> dict[str, Any]:
    versions = [{**asdict(version), "state": version.state.value} for version in status.versions]
    return {"name": status.name, "versions": versions}


def metrics_routes(page: Callable[[], tuple[str, bytes]], path: str = "/metrics") -> list[Route]:
    """GET of `path`[?name[]=FAMILY], with the content type and text that `page` makes."""

    async def metrics(request: Request, _: re.Match[str]) -> Response:
        content_type, text = page()
        names = parse_qs(request.query.decode("latin-1")).get("name[]")
        if names:
            text = only(text, frozenset(names))
        return Response(text, content_type=content_type.encode())

    return [Route(re.compile(re.escape(path) + "/?"), metrics, scope=_READ)]
