"""HTTP for protocols: Request -> Response, routes as data, and the ASGI application around them.

Rule 1: bodies are bounded as they arrive and again after decompression; how long they may take
        is the server's matter (http_server.py).
Rule 2: every answer carries X-Request-Id, and every error looks as its route says; where there
        is no route, as the listener says: {"error": "..."} unless it is one dialect's alone.
Rule 3: a route knows nothing of ASGI, so another server can take its place.
Rule 4: who may call is asked before the body is read (access.py); a route that names no scope
        is for those who manage.
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
from gateway.protocols.access import Access, Caller, Scope, Where
from gateway.protocols.ids import request_id_of
from gateway.protocols.json_text import string
from gateway.protocols.status import Status, status_of

JSON = b"application/json"
COMPRESSION = 1  # zlib's quickest: the event loop waits for it

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


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, for the route that says how it looks. `error` is None where no handler was reached."""

    http: int
    text: str
    request: Request
    error: Exception | None = None
    retry_after_s: int = 0


ErrorStyle = Callable[[Failure], Response]


def plain_errors(failure: Failure) -> Response:
    """{"error": "..."}: TensorFlow Serving's, KServe's and our own."""
    after = failure.retry_after_s
    headers: Headers = ((b"retry-after", str(after).encode()),) if after else ()
    return Response(b'{"error": ' + string(failure.text) + b"}", failure.http, headers=headers)


@dataclass(frozen=True)
class Route:
    """`methods` empty: the handler takes them all and answers wrong ones itself. HEAD goes where GET goes.
    `scope` may depend on the request's method and path (its body is not there yet)."""

    path: re.Pattern[str]
    handler: Handler
    methods: tuple[str, ...] = ("GET",)
    scope: Scope | Callable[[Request], Scope] = Scope.MANAGE
    errors: ErrorStyle = plain_errors

    def scope_of(self, request: Request) -> Scope:
        return self.scope if isinstance(self.scope, Scope) else self.scope(request)


def json_response(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS), status)


def error_response(status: Status) -> Response:
    headers: Headers = ((b"retry-after", str(status.retry_after_s).encode()),) if status.retry_after_s else ()
    return Response(b'{"error": ' + string(status.text) + b"}", status.http, headers=headers)


class _Refused(Exception):
    """Answered without a handler. `unread`: the body was not read to its end, so the connection must go."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        headers: Headers = (),
        unread: bool = False,
        style: ErrorStyle | None = None,
    ) -> None:
        super().__init__(text)
        self.style = style
        self.status = status
        self.text = text
        self.headers = headers
        self.unread = unread


class App:
    """An ASGI application over routes; the first whose path matches in full and that takes the method has the
    request. `errors` is for requests that no route has."""

    def __init__(
        self,
        routes: Sequence[Route],
        limits: Limits,
        access: Access | None = None,
        where: Where = Where.DATA,
        errors: ErrorStyle = plain_errors,
    ) -> None:
        self.routes = tuple(routes)
        self._limits = limits
        self._access = access or Access()
        self._where = where
        self._errors = errors

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(b"x-request-id"))
        extra: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]
        path = scope["raw_path"].decode("latin-1")
        request = Request(scope["method"], path, scope["query_string"], headers, b"", request_id)
        style = self._errors
        try:
            try:
                route, match = self._find(request)
                style = route.errors
                self._let_in(route, request, scope)
            except Exception:
                await self._discard(headers, receive)
                raise
            request.body = await self._body(headers, receive)
            response = await route.handler(request, match)
        except _Refused as refused:
            if refused.unread:
                extra.append((b"connection", b"close"))
            extra += refused.headers
            style = refused.style or style
            response = style(Failure(refused.status, refused.text, request))
        except asyncio.CancelledError:
            return  # the client has gone, or the drain's grace is over: nobody reads an answer
        except Exception as error:  # noqa: BLE001  status_of logs what nobody expected
            status = status_of(error, request_id)
            response = style(Failure(status.http, status.text, request, error, status.retry_after_s))
        extra += (
            (b"content-type", response.content_type),
            (b"content-length", str(len(response.body)).encode()),
            *response.headers,
        )
        await send({"type": "http.response.start", "status": response.status, "headers": extra})
        await send({"type": "http.response.body", "body": response.body})

    def _find(self, request: Request) -> tuple[Route, re.Match[str]]:
        """Errors: _Refused 404, 405."""
        allowed: list[str] = []
        style: ErrorStyle | None = None
        method = "GET" if request.method == "HEAD" else request.method
        for route in self.routes:
            match = route.path.fullmatch(request.path)
            if match is None:
                continue
            if not route.methods or method in route.methods:
                return route, match
            style = style or route.errors
            allowed += [name for name in route.methods if name not in allowed]
        if allowed:
            text = f"Method Not Allowed: {request.method} for {request.path[:256]}; allowed: {', '.join(allowed)}"
            raise _Refused(405, text, headers=((b"allow", ", ".join(allowed).encode()),), style=style)
        raise _Refused(404, f"Not Found: nothing is served at {request.path[:256]}; GET / lists what is.")

    def _let_in(self, route: Route, request: Request, scope: Any) -> None:
        """Errors: Unauthenticated, Forbidden."""
        wanted = route.scope_of(request)
        if self._access.free(wanted):
            return
        client = scope["client"]
        peer = client[0] if client else scope.get("peer", "?")
        self._access.check(wanted, Caller(peer, scope.get("subjects", ()), request.headers), self._where)

    async def _discard(self, headers: Mapping[bytes, bytes], receive: Any) -> None:
        """Read what is refused to its end, so that the client gets to read the answer; keep nothing of it.
        A client that waits for `100 Continue` is not told to send. Errors: _Refused."""
        if b"expect" in headers:
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
            if size > 4 * self._limits.max_body_bytes:
                raise _too_large(self._limits.max_body_bytes)

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
        coding = headers.get(b"content-encoding", b"").lower() if body else b""
        if b"gzip" in coding:
            return gunzip(body, limit)
        return inflate(body, limit) if b"deflate" in coding else body


def _too_large(limit: int) -> _Refused:
    return _Refused(413, f"The body is over {limit} bytes. The limit is limits.max_body_bytes.", unread=True)


def gunzip(body: bytes, limit: int) -> bytes:
    """Decompressed, at most `limit` bytes. Errors: InvalidRequest, TooLarge."""
    return _decompress(body, limit, "gzip", 31)


def inflate(body: bytes, limit: int) -> bytes:
    """As gunzip, for deflate: with zlib's header as RFC 9110 says, or bare as some clients send it."""
    try:
        return _decompress(body, limit, "deflate", 15)
    except InvalidRequest:
        if body[:1] == b"\x78":
            raise
        return _decompress(body, limit, "deflate", -15)


def _decompress(body: bytes, limit: int, coding: str, wbits: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body:  # gzip files may be several, one after the other
        stream = zlib.decompressobj(wbits=wbits)
        try:
            parts.append(stream.decompress(body, limit - size + 1))
        except zlib.error as error:
            raise InvalidRequest(f"the body is not {coding}, as its Content-Encoding says: {error}") from None
        size += len(parts[-1])
        if size > limit:
            raise TooLarge(
                f"the body is over {limit} bytes when decompressed.", hint="The limit is limits.max_body_bytes."
            )
        if not stream.eof:
            raise InvalidRequest(f"the {coding} body ends before its end.")
        body = stream.unused_data
    return b"".join(parts)


def wanted_coding(accept: bytes) -> bytes:
    """gzip, deflate or b"" (as it is): the one with the highest q-value of Accept-Encoding, the first among equals."""
    best, best_q = b"", 0.0
    for part in accept.lower().split(b","):
        name, _, parameter = part.partition(b";")
        name, parameter = name.strip(), parameter.strip()
        try:
            q = float(parameter[2:]) if parameter.startswith(b"q=") else 1.0
        except ValueError:
            q = 0.0
        if q > best_q and name in (b"gzip", b"deflate", b"identity"):
            best, best_q = name, q
    return b"" if best == b"identity" else best


def compressed(response: Response, accept: bytes) -> Response:
    """The answer as Accept-Encoding asks for it. Small answers too: the original compresses them all."""
    coding = wanted_coding(accept) if accept and response.body else b""
    if not coding:
        return response
    stream = zlib.compressobj(COMPRESSION, wbits=31 if coding == b"gzip" else 15)
    body = stream.compress(response.body) + stream.flush()
    headers = (*response.headers, (b"content-encoding", coding))
    return Response(body, response.status, response.content_type, headers)
