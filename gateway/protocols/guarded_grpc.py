"""gRPC handlers that are asked for their scope before they run.

Rule 1: a method whose scope is free is handed through untouched, so that it costs nothing.
Rule 2: the decision is access.py's; here are only its transport's facts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

import grpc

from gateway.errors import GatewayError
from gateway.protocols.access import Access, Caller, Scope, Where, grpc_scope
from gateway.protocols.status import status_of


class Guarded(grpc.ServiceRpcHandler):  # type: ignore[misc]
    """A generic handler of which every method is guarded."""

    def __init__(self, inner: grpc.ServiceRpcHandler, access: Access) -> None:
        self._inner = inner
        self._access = access
        self._made: dict[str, tuple[Any, Any]] = {}

    def service_name(self) -> str:
        return str(self._inner.service_name())

    def service(self, details: Any) -> Any:
        handler = self._inner.service(details)
        if handler is None:
            return None
        scope = grpc_scope(details.method)
        if self._access.free(scope):
            return handler
        made = self._made.get(details.method)
        if made is None or made[0] is not handler:
            made = self._made[details.method] = (handler, guarded(handler, scope, self._access))
        return made[1]


class GuardedServer:
    """What generated `add_..._to_server` functions are handed instead of the server."""

    def __init__(self, server: Any, access: Access) -> None:
        self._server = server
        self._access = access

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.ServiceRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(tuple(Guarded(handler, self._access) for handler in handlers))

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """The asyncio server does nothing here; nor do we, so that no method has a way around the guard."""


def guarded(handler: Any, scope: Scope, access: Access) -> Any:
    """The same RpcMethodHandler, with the check before each call."""
    many_in, many_out = handler.request_streaming, handler.response_streaming
    inner = next(
        f for f in (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream) if f
    )

    async def one(request: Any, context: Any) -> Any:
        await _check(scope, context, access)
        return await inner(request, context)

    async def stream(request: Any, context: Any) -> None:
        await _check(scope, context, access)
        answer = inner(request, context)
        if not hasattr(answer, "__aiter__"):
            await answer  # it writes to the context itself
            return
        async for message in answer:
            await context.write(message)

    make: dict[tuple[bool, bool], Callable[..., Any]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return make[many_in, many_out](
        stream if many_out else one,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


async def _check(scope: Scope, context: Any, access: Access) -> None:
    try:
        access.check(scope, caller_of(context), Where.DATA)
    except GatewayError as error:
        status = status_of(error, "")
        await context.abort(status.code, status.text)


def caller_of(context: Any) -> Caller:
    """Peer, certificate and metadata of a call."""
    headers = {
        key.encode(): value if isinstance(value, bytes) else value.encode("latin-1", "replace")
        for key, value in context.invocation_metadata()
    }
    identity = context.auth_context() or {}
    names = [
        value.decode("utf-8", "replace")
        for key in ("x509_common_name", "x509_subject_alternative_name")
        for value in identity.get(key, ())
    ]
    return Caller(peer_address(context.peer()), tuple(names), headers)


def peer_address(peer: str) -> str:
    """The IP address in gRPC's "ipv4:127.0.0.1:99" or "ipv6:[::1]:99"; "" for a Unix socket."""
    kind, _, rest = unquote(peer).partition(":")
    if kind.startswith("unix"):
        return ""
    if kind not in ("ipv4", "ipv6"):
        return peer  # unknown: no address, so not local
    return rest.rpartition(":")[0].strip("[]")
