"""Every listener of the gateway: gRPC, HTTP, admin and metrics, in one event loop.

Rule 1: all are bound or none; a port that is taken is named with its setting.
Rule 2: `drain` ends the two that take predictions; admin and metrics answer until `stop`, so
        that whoever watches sees "not ready" and the last numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gateway.config import Settings
from gateway.errors import SettingsError
from gateway.protocols import pool
from gateway.protocols.admin_rest import AdminRest, metrics_routes
from gateway.protocols.http import App
from gateway.protocols.http_server import HttpServer
from gateway.protocols.tfs_grpc import TfsGrpc
from gateway.protocols.tfs_rest import TfsRest
from gateway.serving.observe import Observe
from gateway.serving.predict import Predictor

HEALTH_POLL_S = 0.5  # how late a Watch of grpc.health.v1 may hear of a change; Check is never late


class Servers:
    """`metrics_page` gives content type and text of GET /metrics."""

    def __init__(
        self,
        settings: Settings,
        predictor: Predictor,
        metrics_page: Callable[[], tuple[str, bytes]],
        observe: Observe,
    ) -> None:
        self._settings = settings
        self._predictor = predictor
        self._observe = observe
        limits = settings.limits
        rest = TfsRest(predictor, limits, observe).routes()
        self._apps = {
            "http": App([*rest, *AdminRest(predictor, with_tfs=True).routes()], limits),
            "admin": App(AdminRest(predictor, with_tfs=False).routes(), limits),
            "metrics": App(metrics_routes(metrics_page), limits),
        }
        self._http: dict[str, HttpServer] = {}
        self._grpc: Any = None
        self._health: _Health | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> dict[str, str]:
        """Bind and serve; {"grpc" | "http" | "admin" | "metrics": "127.0.0.1:8500"}. Errors: SettingsError."""
        problems: list[str] = []
        sockets: dict[str, socket.socket] = {}
        for name in self._apps:
            try:
                sockets[name] = _bind(self._settings.host, getattr(self._settings, f"{name}_port"))
            except OSError as error:
                problems.append(self._cannot(name, error.strerror or str(error)))
        self._grpc, self._health = self._grpc_server()
        grpc_port = 0
        try:
            grpc_port = self._grpc.add_insecure_port(_address(self._settings.host, self._settings.grpc_port))
        except RuntimeError as error:
            problems.append(self._cannot("grpc", str(error)))
        if problems:
            for sock in sockets.values():
                sock.close()
            await self._grpc.stop(None)
            raise SettingsError(problems, hint="Another process has the port; 0 picks a free one.")
        for name, sock in sockets.items():
            self._http[name] = HttpServer(self._apps[name], self._settings.limits)
            await self._http[name].start(sock)
        await self._grpc.start()
        self._watch = asyncio.create_task(self._health.follow())
        found = {"grpc": _address(self._settings.host, grpc_port)}
        for name, sock in sockets.items():
            found[name] = _address(self._settings.host, sock.getsockname()[1])
        return found

    def _cannot(self, name: str, why: str) -> str:
        port = getattr(self._settings, f"{name}_port")
        return f"{name}_port: cannot listen on {_address(self._settings.host, port)}: {why}"

    async def drain(self, grace_s: float) -> None:
        """gRPC and HTTP take nothing new; what runs gets `grace_s` seconds, then is cancelled."""
        if self._health is not None:
            await self._health.enter_graceful_shutdown()
        ends = [self._grpc.stop(grace_s)] if self._grpc is not None else []
        if (http := self._http.pop("http", None)) is not None:
            ends.append(http.drain(grace_s))
        await asyncio.gather(*ends)
        self._grpc = None

    async def stop(self) -> None:
        """Everything, at once. Safe to call twice, and after `drain`."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self.drain(0.0)
        servers, self._http = list(self._http.values()), {}
        await asyncio.gather(*(server.drain(0.0) for server in servers))

    def _grpc_server(self) -> tuple[Any, _Health]:
        limits = self._settings.limits
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limits.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # a second gateway on the port is an error, not half of the calls
            ],
            maximum_concurrent_rpcs=limits.max_connections,
        )
        server.add_generic_rpc_handlers(TfsGrpc(self._predictor, limits, self._observe).handlers())
        services = pool.services()
        servicer = _Health(self._predictor, ("", *services))
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, pool=_reflection_pool())
        return server, servicer


class _Health(health.aio.HealthServicer):  # type: ignore[misc]
    """grpc.health.v1: the server and each service are SERVING while the predictor is ready."""

    def __init__(self, predictor: Predictor, services: tuple[str, ...]) -> None:
        super().__init__()
        self._predictor = predictor
        self._services = services
        self._said: bool | None = None

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  gRPC's name
        await self.refresh()
        return await super().Check(request, context)

    async def refresh(self) -> None:
        ready = self._predictor.ready
        if ready is self._said:
            return
        self._said = ready
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self.set(service, status)

    async def follow(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(HEALTH_POLL_S)


def _reflection_pool() -> descriptor_pool.DescriptorPool:
    """Our files beside those of health and reflection, in one pool that nobody else writes to."""
    both = pool.new_pool()
    for module in (health_pb2, reflection_pb2):
        both.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return both


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket of the first address that `host` has. Errors: OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(2048)  # now, not later: a taken port shows here
    except OSError:
        sock.close()
        raise
    return sock


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
