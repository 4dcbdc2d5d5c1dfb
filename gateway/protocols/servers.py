"""Every listener of the gateway in one event loop: gRPC and HTTP for all dialects together, admin
(which is where management is done) and metrics; with `compat.on` also each dialect alone.

Rule 1: all are bound or none; a port that is taken is named with its setting.
Rule 2: `drain` ends those that take predictions; admin and metrics answer until `stop`, so that
        whoever watches sees "not ready" and the last numbers.
Rule 3: nothing listens where others reach it and manage it unless authentication is configured.
Rule 4: whoever comes first in `dialects` owns a path that two of them have (docs/protocols.md).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from gateway.config import Settings
from gateway.core.signature import SERVING_DEFAULT
from gateway.errors import GatewayError, SettingsError
from gateway.protocols import openapi, pool
from gateway.protocols.access import Access, Scope, Where, is_loopback
from gateway.protocols.admin_rest import AdminRest, metrics_routes
from gateway.protocols.credentials import Book
from gateway.protocols.credentials import read as read_credentials
from gateway.protocols.guarded_grpc import GuardedServer
from gateway.protocols.http import App, ErrorStyle, Route, plain_errors
from gateway.protocols.http_server import HttpServer
from gateway.protocols.kserve_grpc import KServeGrpc
from gateway.protocols.kserve_rest import KServeRest
from gateway.protocols.kserve_service import KServe
from gateway.protocols.mms import mms_errors
from gateway.protocols.mms_management import MmsManagement
from gateway.protocols.mms_rest import MmsRest
from gateway.protocols.reread import Reread
from gateway.protocols.tfs_grpc import TfsGrpc
from gateway.protocols.tfs_metrics import TfsMetrics
from gateway.protocols.tfs_rest import TfsRest
from gateway.protocols.tls import Certificates
from gateway.serving.control import Control
from gateway.serving.observe import Observe
from gateway.serving.predict import ModelSpec, Predictor
from gateway.serving.registrar import Registrar

COMPAT_PORTS = {
    "tfs_grpc": ("tfs", "grpc"),
    "tfs_http": ("tfs", "http"),
    "triton_http": ("kserve", "http"),
    "triton_grpc": ("kserve", "grpc"),
    "triton_metrics": ("kserve", "metrics"),
    "mms_http": ("mms", "http"),
    "mms_management": ("mms", "management"),
    "mms_metrics": ("mms", "metrics"),
}
"""Settings group `compat`: NAME_port -> dialect and kind of listener."""
FILES_POLL_S = 2.0  # between two looks at certificates and credentials
COMPRESSIONS = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}
HEALTH_POLL_S = 0.5  # how late a Watch of grpc.health.v1 may hear of a change; Check is never late


def _describe_management() -> Mapping[str, Any]:
    return openapi.document(row for row in openapi.operations("mms") if row.port == "admin")


@dataclass(frozen=True)
class Dialect:
    """One server's protocols: what it answers over HTTP and gRPC. `management` is what the original answers on a port
    of its own; `alone` is taken for `routes` where no other dialect is beside it. `errors`: how it answers what it does
    not know."""

    name: str
    routes: Sequence[Route]
    handlers: Sequence[grpc.ServiceRpcHandler] = ()
    management: Sequence[Route] = ()
    errors: ErrorStyle = plain_errors
    alone: Sequence[Route] = ()


@dataclass(frozen=True)
class _Listener:
    """`setting` names the port; `app` is None for gRPC, which then serves `handlers`."""

    name: str
    setting: str
    host: str
    port: int
    app: App | None
    handlers: Sequence[grpc.ServiceRpcHandler] = ()
    takes_predictions: bool = True


class Servers:
    """`metrics_page` gives content type and text of GET /metrics."""

    def __init__(
        self,
        settings: Settings,
        predictor: Predictor,
        metrics_page: Callable[[], tuple[str, bytes]],
        observe: Observe,
        control: Control,
        registrar: Registrar | None = None,
    ) -> None:
        self._settings = settings
        self._predictor = predictor
        self._control = control
        self._registrar = registrar or Registrar(settings, control)
        self._observe = observe
        self._metrics_page = metrics_page
        self._tfs_metrics = TfsMetrics()
        self._kserve = KServe(predictor, settings, observe, control)
        self._credentials: Reread[Book] | None = None
        self._certificates: Certificates | None = None
        self._access = Access(
            lambda: self._credentials.value if self._credentials else None,
            manage_on_data=settings.auth.manage_on_data,
        )
        self._http: dict[str, HttpServer] = {}
        self._grpc: list[Any] = []
        self._health: list[_Health] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._draining: list[str] = []

    def dialects(self) -> list[Dialect]:
        """In order of precedence."""
        limits, tfs = self._settings.limits, self._settings.tfserving
        own = TfsRest(self._predictor, limits, self._observe, self._tfs_metrics, cors=tfs.cors)
        shared = TfsRest(self._predictor, limits, self._observe, self._tfs_metrics, cors=tfs.cors, kserve=True)
        grpc_api = TfsGrpc(
            self._predictor, self._control, limits, self._observe, self._tfs_metrics, content=tfs.tensor_content
        )
        return [
            Dialect(
                "tfs",
                [*self._tfs_metrics_route(), *shared.routes()],
                grpc_api.handlers(),
                alone=[*self._tfs_metrics_route(), *own.routes()],
            ),
            Dialect("kserve", KServeRest(self._kserve).routes(), KServeGrpc(self._kserve).handlers()),
            Dialect(
                "mms",
                MmsRest(self._predictor, limits, self._observe, self._describe).routes(),
                management=MmsManagement(
                    self._predictor, self._control, self._registrar, self._settings, _describe_management
                ).routes(),
                errors=mms_errors,
            ),
        ]

    def _describe(self, model: str | None) -> Mapping[str, Any]:
        """The OpenAPI document of multi-model-server's dialect, or of one model."""
        if model is None:
            return openapi.document(openapi.operations("mms"))
        try:
            signature = self._predictor.signatures(ModelSpec(model))[2].get(SERVING_DEFAULT)
        except GatewayError:  # it is there and does not serve: its inputs are not known yet
            signature = None
        return openapi.of_model(model, signature)

    def _tfs_metrics_route(self) -> list[Route]:
        path = self._settings.tfserving.metrics_path
        return metrics_routes(self._tfs_metrics.page, path) if path else []

    def listeners(self) -> list[_Listener]:
        settings, dialects = self._settings, self.dialects()
        routes = [route for dialect in dialects for route in (*dialect.routes, *dialect.management)]
        manage = [route for dialect in dialects for route in dialect.routes if route.scope is Scope.MANAGE]
        manage += [route for dialect in dialects for route in dialect.management]
        rows = openapi.operations()
        here = AdminRest(self._predictor, [row for row in rows if row.port != "metrics"]).routes()
        managed = [row for row in rows if row.port == "admin" or (row.dialect == "gateway" and row.port == "http")]
        admin = [*AdminRest(self._predictor, managed).routes(), *manage]
        metrics = metrics_routes(self._metrics_page)

        def app(routes: Sequence[Route], where: Where = Where.DATA) -> App:
            return App(routes, settings.limits, self._access, where)

        handlers = [handler for dialect in dialects for handler in dialect.handlers]
        host = settings.host
        main = [
            _Listener("grpc", "grpc_port", host, settings.grpc_port, None, handlers),
            _Listener("http", "http_port", host, settings.http_port, app([*routes, *here])),
            _Listener(
                "admin",
                "admin_port",
                settings.management_host,
                settings.admin_port,
                app(admin, Where.MANAGEMENT),
                takes_predictions=False,
            ),
            _Listener("metrics", "metrics_port", host, settings.metrics_port, app(metrics), takes_predictions=False),
        ]
        return main + (self._alone(dialects, main) if settings.compat.on else [])

    def _alone(self, dialects: Sequence[Dialect], main: Sequence[_Listener]) -> list[_Listener]:
        """Each dialect on its server's usual ports, and nothing else there. A port that a main listener has stays its:
        there the dialect is one of several."""
        settings, by_name = self._settings, {dialect.name: dialect for dialect in dialects}
        taken = {listener.port for listener in main if listener.port}
        found: list[_Listener] = []
        for name, (dialect_name, kind) in COMPAT_PORTS.items():
            port, dialect = getattr(settings.compat, f"{name}_port"), by_name.get(dialect_name)
            if port in taken or dialect is None:
                continue
            host = settings.management_host if kind == "management" else settings.host
            app = None
            if kind == "metrics":
                app = App(metrics_routes(self._metrics_page), settings.limits, self._access, errors=dialect.errors)
            elif kind != "grpc":
                routes = dialect.management if kind == "management" else dialect.alone or dialect.routes
                where = Where.MANAGEMENT if kind == "management" else Where.DATA
                app = App(routes, settings.limits, self._access, where, dialect.errors)
            predicts = kind in ("grpc", "http")
            found.append(_Listener(name, f"compat.{name}_port", host, port, app, dialect.handlers, predicts))
        return found

    async def start(self) -> dict[str, str]:
        """Bind and serve; {"grpc" | "http" | "admin" | "metrics": "127.0.0.1:8500"}. Errors: SettingsError."""
        self._secure()
        listeners = self.listeners()
        problems: list[str] = []
        sockets: dict[str, socket.socket] = {}
        found: dict[str, str] = {}
        for listener in listeners:
            try:
                if listener.app is None:
                    port = self._add_grpc(listener)
                else:
                    sockets[listener.name] = _bind(listener.host, listener.port)
                    port = sockets[listener.name].getsockname()[1]
                found[listener.name] = _address(listener.host, port)
            except (OSError, RuntimeError) as error:
                why = getattr(error, "strerror", None) or str(error)
                problems.append(f"{listener.setting}: cannot listen on {_address(listener.host, listener.port)}: {why}")
        if problems:
            for sock in sockets.values():
                sock.close()
            for server in self._grpc:
                await server.stop(None)
            self._grpc = []
            raise SettingsError(problems, hint="Another process has the port; 0 picks a free one.")
        tls = self._certificates.context() if self._certificates else None
        for listener in listeners:
            if listener.app is not None:
                server = self._http[listener.name] = HttpServer(listener.app, self._settings.limits)
                await server.start(sockets[listener.name], tls)
        self._draining = [one.name for one in listeners if one.app is not None and one.takes_predictions]
        for server in self._grpc:
            await server.start()
        self._tasks = [asyncio.create_task(servicer.follow()) for servicer in self._health]
        self._tasks.append(asyncio.create_task(self._follow_files()))
        return found

    def reread(self) -> None:
        """SIGHUP: certificates and credentials are read again even if they look the same."""
        for one in (self._certificates, self._credentials):
            if one is not None:
                one.refresh(force=True)

    def _secure(self) -> None:
        """Certificates and credentials, and rule 3. Errors: SettingsError."""
        settings = self._settings
        if settings.tls.cert:
            self._certificates = Certificates(settings.tls)
        if settings.auth.file:
            file = Path(settings.auth.file)
            self._credentials = Reread("auth.file", [file], lambda: read_credentials(file))
        elif not is_loopback(settings.management_host):
            why = "is an address that others reach, and no authentication is configured"
            raise SettingsError(
                [f"management_host: {settings.management_host} {why}"],
                hint="Set auth.file (docs/access.md), or leave management_host at 127.0.0.1.",
            )

    async def _follow_files(self) -> None:
        while True:
            await asyncio.sleep(FILES_POLL_S)
            for one in (self._certificates, self._credentials):
                if one is not None:
                    one.refresh()

    async def drain(self, grace_s: float) -> None:
        """gRPC and HTTP take nothing new; what runs gets `grace_s` seconds, then is cancelled."""
        for servicer in self._health:
            await servicer.enter_graceful_shutdown()
        ends = [server.stop(grace_s) for server in self._grpc]
        for name in self._draining:
            if (http := self._http.pop(name, None)) is not None:
                ends.append(http.drain(grace_s))
        await asyncio.gather(*ends)
        self._grpc, self._health = [], []

    async def stop(self) -> None:
        """Everything, at once. Safe to call twice, and after `drain`."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.drain(0.0)
        servers, self._http = list(self._http.values()), {}
        await asyncio.gather(*(server.drain(0.0) for server in servers))
        self._kserve.memory.close()

    def _add_grpc(self, listener: _Listener) -> int:
        """A server, bound; its port. Errors: RuntimeError."""
        limits = self._settings.limits
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limits.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # a second gateway on the port is an error, not half of the calls
            ],
            maximum_concurrent_rpcs=limits.max_connections,
            compression=COMPRESSIONS[self._settings.grpc_compression],
        )
        self._grpc.append(server)
        guarded = GuardedServer(server, self._access)
        guarded.add_generic_rpc_handlers(listener.handlers)
        services = tuple(sorted({handler.service_name() for handler in listener.handlers}))
        servicer = _Health(self._predictor, ("", *services))
        self._health.append(servicer)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, guarded)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            reflection.aio.ReflectionServicer(names, pool=_reflection_pool()), guarded
        )
        address = _address(listener.host, listener.port)
        if self._certificates is not None:
            return int(server.add_secure_port(address, self._certificates.grpc_credentials()))
        return int(server.add_insecure_port(address))


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
