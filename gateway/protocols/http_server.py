"""uvicorn's HTTP/1.1 protocol with the timers and bounds it lacks.

uvicorn never closes a connection whose request's headers stay incomplete: a few hundred of
them exhaust a server (slowloris); the same for bodies. Here a request has `header_s` for its
headers and `body_s` for its body, the headers have a bounded size, and there is a bounded
number of connections.

Rule 1: no timer is set for a request that arrives in one piece.
Rule 2: a client that goes away cancels its request's task.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.config import Limits
from gateway.protocols.tls import subjects

MAX_HEADER_BYTES = 64 << 10
FLUSH_S = 0.5  # after a drain, for answers that are written and not yet sent
KEEP_ALIVE_S = 75  # longer than the usual idle time of load balancers (60 s): they close first


class Http(HttpToolsProtocol):
    def __init__(self, config: Config, state: ServerState, limits: Limits) -> None:
        super().__init__(config, state, {})
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._subjects: tuple[str, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self._subjects = subjects(secured.getpeercert())
        self._arm()  # a connection that never says anything counts too
        if len(self.connections) > self._limits.max_connections:
            self._refuse(503, "Too many connections; the limit is limits.max_connections.")

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if not self.cycle.more_body:
                self._disarm()
            elif self._timer is None:
                self._timer = self.loop.call_later(self._limits.body_s, self._body_too_slow)
            return
        self._arm()
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(431, f"The headers are over {MAX_HEADER_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["subjects"] = self._subjects  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._disarm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._task is not None and not self._task.done() and not self.cycle.response_complete:
            self._task.cancel()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """A client that does not read its answer is cut off, not waited for."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(self._task)
        self._task.add_done_callback(self.tasks.discard)

    def _arm(self) -> None:
        if self._timer is None:
            self._header_bytes = 0
            self._timer = self.loop.call_later(self._limits.header_s, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self._header_bytes:
            self.transport.close()
            return
        self._refuse(408, f"The headers were not complete after {self._limits.header_s:g} s.")

    def _body_too_slow(self) -> None:
        self._timer = None
        if self.pipeline:  # it is we who do not read on, for an earlier request still runs
            self._timer = self.loop.call_later(self._limits.body_s, self._body_too_slow)
            return
        self._refuse(408, f"The body was not complete after {self._limits.body_s:g} s.")

    def _refuse(self, status: int, text: str) -> None:
        """Answer without a request and close."""
        self._disarm()
        if self.transport.is_closing():
            return
        body = b'{"error": "' + text.encode() + b'"}'
        head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()


class HttpServer:
    """One listening socket that serves one ASGI application."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self._limits = limits
        self._state = ServerState()
        self._config = Config(
            app,
            http=Http,
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",  # below that it speaks of strangers' broken requests
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._config.load()
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve on a bound socket. A TLS handshake has `header_s`, as headers have."""
        loop = asyncio.get_running_loop()
        timeouts: dict[str, Any] = {}
        if tls is not None:
            timeouts = {"ssl_handshake_timeout": self._limits.header_s, "ssl_shutdown_timeout": FLUSH_S}
        self._server = await loop.create_server(
            lambda: Http(self._config, self._state, self._limits), sock=sock, backlog=2048, ssl=tls, **timeouts
        )

    async def drain(self, grace_s: float) -> None:
        """No new connections; running requests get `grace_s`, then are cancelled; then all is closed."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(set(self._state.tasks), timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        for connection in list(self._state.connections):
            connection.transport.close()
        until = time.monotonic() + FLUSH_S
        while self._state.connections and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for connection in list(self._state.connections):
            connection.transport.abort()
        self._server = None
