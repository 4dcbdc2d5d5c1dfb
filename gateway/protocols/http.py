"""HTTP for protocols: Request -> Response, routes as data, and the ASGI application around them.

Rule 1: bodies are bounded as they arrive and again after decompression; how long they may take
        is the server's matter (http_server.py).
Rule 2: every answer carries X-Request-Id, and every error is {"error": "..."}.
Rule 3: a route knows nothing of ASGI, so another server can take its place.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.config import Limits
from gateway.errors import InvalidRequest, TooLarge
from gateway.protocols.ids import request_id_of
from gateway.protocols.json_text import string
from gateway.protocols.status import Status, status_of

JSON = b"application/json"

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Request:
    """`path` is as it came, not decoded; names of `headers` are lower case."""

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    request_id: str


@dataclass(slots=True)
class Response:
    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = ()


Handler = Callable[[Request, "re.Match[str]"], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """`methods` empty: the handler takes them all and answers wrong ones itself. HEAD goes where GET goes."""

    path: re.Pattern[str]
    handler: Handler
    methods: tuple[str, ...] = ("GET",)


def json_response(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS), status)


def error_response(status: Status) -> Response:
    headers: Headers = ((b"retry-after", str(status.retry_after_s).encode()),) if status.retry_after_s else ()
    return Response(b'{"error": ' + string(status.text) + b"}", status.http, headers=headers)


class _Refused(Exception):
    """Answered before the body was read to its end: the connection cannot be used again."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class App:
    """An ASGI application over routes; the first whose path matches in full takes the request."""

    def __init__(self, routes: Sequence[Route], limits: Limits) -> None:
        self._routes = tuple(routes)
        self._limits = limits

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(b"x-request-id"))
        extra: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]
        try:
            body = await self._body(headers, receive)
            path = scope["raw_path"].decode("latin-1")
            request = Request(scope["method"], path, scope["query_string"], headers, body, request_id)
            response = await self._answer(request)
        except _Refused as refused:
            extra.append((b"connection", b"close"))
            response = Response(b'{"error": ' + string(refused.text) + b"}", refused.status)
        except asyncio.CancelledError:
            return  # the client has gone, or the drain's grace is over: nobody reads an answer
        except Exception as error:  # noqa: BLE001  status_of logs what nobody expected
            response = error_response(status_of(error, request_id))
        extra += (
            (b"content-type", response.content_type),
            (b"content-length", str(len(response.body)).encode()),
            *response.headers,
        )
        await send({"type": "http.response.start", "status": response.status, "headers": extra})
        await send({"type": "http.response.body", "body": response.body})

    async def _answer(self, request: Request) -> Response:
        for route in self._routes:
            match = route.path.fullmatch(request.path)
            if match is None:
                continue
            method = "GET" if request.method == "HEAD" else request.method
            if not route.methods or method in route.methods:
                return await route.handler(request, match)
            text = f"{request.method} is not allowed for {request.path[:256]}; allowed: {', '.join(route.methods)}"
            allow = ", ".join(route.methods).encode()
            return Response(b'{"error": ' + string(text) + b"}", 405, headers=((b"allow", allow),))
        text = f"Nothing is served at {request.path[:256]}; GET / lists what is."
        return Response(b'{"error": ' + string(text) + b"}", 404)

    async def _body(self, headers: Mapping[bytes, bytes], receive: Any) -> bytes:
        """The whole body, decompressed. A body that is too large is read to its end (up to four
        times the limit) and thrown away, so that the client gets to read the answer."""
        limit = self._limits.max_body_bytes
        length = headers.get(b"content-length", b"0")
        declared = int(length) if length.isdigit() else 0
        if declared > 4 * limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size <= limit:
                parts.append(part)
            elif size > 4 * limit:
                break
        if size > limit:
            raise _too_large(limit)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if body and b"gzip" in headers.get(b"content-encoding", b"").lower():
            return gunzip(body, limit)
        return body


def _too_large(limit: int) -> _Refused:
    return _Refused(413, f"The body is over {limit} bytes. The limit is limits.max_body_bytes.")


def gunzip(body: bytes, limit: int) -> bytes:
    """Decompressed, at most `limit` bytes. Errors: InvalidRequest, TooLarge."""
    parts: list[bytes] = []
    size = 0
    while body:  # gzip files may be several, one after the other
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(body, limit - size + 1))
        except zlib.error as error:
            raise InvalidRequest(f"the body is not gzip, as its Content-Encoding says: {error}") from None
        size += len(parts[-1])
        if size > limit:
            raise TooLarge(
                f"the body is over {limit} bytes when decompressed.", hint="The limit is limits.max_body_bytes."
            )
        if not stream.eof:
            raise InvalidRequest("the gzip body ends before its end.")
        body = stream.unused_data
    return b"".join(parts)
