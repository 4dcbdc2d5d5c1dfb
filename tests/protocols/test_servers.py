"""The listeners themselves: taken ports, slow and rude clients, connection cap, drain."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.config import Settings
from gateway.errors import SettingsError
from gateway.protocols.servers import Servers
from gateway.protocols.tensors import TensorProto, encode
from tests.protocols.double import Commands, Double, Running, Seen, models, running, wait_until
from tests.protocols.test_tfs_grpc import predict, request

PATH = "/v1/models/flat:predict"
GOOD = b'{"instances": [1]}'


def connect(servers: Running, data: bytes = b"") -> socket.socket:
    host, _, port = servers.addresses["http"].rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=10)
    if data:
        sock.sendall(data)
    return sock


def read_all(sock: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := sock.recv(65536):
            found += chunk
    return found


def post(servers: Running, path: str = PATH, body: bytes = GOOD) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(servers.addresses["http"], timeout=20)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture
def impatient() -> Iterator[Running]:
    with running(header_s=0.5, body_s=0.5, max_connections=80) as live:
        yield live


def test_half_sent_headers_are_closed_and_others_served(impatient: Running) -> None:
    slow = [connect(impatient, b"POST /v1/models/flat:predict HTTP/1.1\r\nHost: x\r\nX-A: ") for _ in range(50)]
    try:
        assert post(impatient) == (200, b'{"predictions": [2.5]}')
        for sock in slow:
            assert read_all(sock).startswith(b"HTTP/1.1 408 ")
    finally:
        for sock in slow:
            sock.close()


RUDE = {
    "nothing at all": (b"", b""),
    "blank lines only": (b"\r\n", b"HTTP/1.1 408 "),
    "half a request line": (b"PO", b"HTTP/1.1 408 "),
    "a body that never comes": (b"POST %b HTTP/1.1\r\nContent-Length: 9\r\n\r\n{" % PATH.encode(), b"HTTP/1.1 408 "),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"HTTP/1.1 400 "),
    "64 KiB of headers": (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 70_000, b"HTTP/1.1 431 "),
}


@pytest.mark.parametrize("row", RUDE.values(), ids=RUDE.keys())
def test_rude_clients_are_closed(impatient: Running, row: tuple[bytes, bytes]) -> None:
    sent, answer = row
    started = time.monotonic()
    sock = connect(impatient, sent)
    found = read_all(sock)
    sock.close()
    assert found.startswith(answer)
    assert time.monotonic() - started < 5
    assert post(impatient)[0] == 200


def test_a_slow_second_request_on_a_used_connection_is_closed(impatient: Running) -> None:
    whole = b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (PATH.encode(), len(GOOD), GOOD)
    sock = connect(impatient, whole)
    found = b""
    while not found.endswith(b"[2.5]}"):
        found += sock.recv(65536)
    sock.sendall(b"POST ")
    assert read_all(sock).startswith(b"HTTP/1.1 408 ")
    sock.close()


def test_pipelined_requests_are_answered_in_order(impatient: Running) -> None:
    def whole(number: int) -> bytes:
        body = b'{"instances": [%d]}' % number
        return b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (PATH.encode(), len(body), body)

    sock = connect(
        impatient, whole(1) + whole(2) + whole(3).replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n")
    )
    found = read_all(sock)
    sock.close()
    assert [found.index(text) for text in (b"[2.5]", b"[3.0]", b"[3.5]")] == sorted(
        found.index(text) for text in (b"[2.5]", b"[3.0]", b"[3.5]")
    )


def test_connections_are_capped(impatient: Running) -> None:
    # The timers of these 80 would close them: keep the test shorter than header_s by asking at once.
    held = [connect(impatient) for _ in range(80)]
    try:
        held.append(connect(impatient))
        assert read_all(held[-1]).startswith(b"HTTP/1.1 503 ")
    finally:
        for sock in held:
            sock.close()
    wait_until(lambda: post(impatient)[0] == 200)


def test_a_client_that_goes_away_cancels_its_request() -> None:
    with running() as servers:
        body = b'{"instances": [30.0]}'
        head = b"POST /v1/models/slow:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        sock = connect(servers, head + body)
        wait_until(lambda: servers.predictor.leases == 1)
        sock.close()
        wait_until(lambda: servers.predictor.leases == 0)
        assert servers.seen.requests[-1]["code"] == "CANCELLED"


def test_drain_finishes_what_runs_and_takes_nothing_new() -> None:
    with running() as servers, grpc.insecure_channel(servers.addresses["grpc"]) as channel:
        answers: dict[str, Any] = {}
        wait = TensorProto.FromString(encode(np.array([0.6], np.float32)))
        threads = [
            threading.Thread(
                target=lambda: answers.update(rest=post(servers, "/v1/models/slow:predict", b'{"instances": [0.6]}'))
            ),
            threading.Thread(target=lambda: answers.update(grpc=predict(channel, request("slow", x=wait)))),
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: servers.predictor.leases == 2)
        idle = connect(servers)
        started = time.monotonic()
        servers.do(servers.servers.drain(10.0))
        assert 0.2 < time.monotonic() - started < 5
        for thread in threads:
            thread.join(10)
        assert answers["rest"] == (200, b'{"predictions": [0.6]}')
        assert answers["grpc"].outputs["y"].float_val == pytest.approx([0.6])
        assert read_all(idle) == b""
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            connect(servers)
        with pytest.raises(grpc.RpcError) as caught:
            predict(channel, request("slow", x=wait), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        ready = http.client.HTTPConnection(servers.addresses["admin"], timeout=10)
        ready.request("GET", "/healthz/live")
        assert ready.getresponse().status == 200  # who watches still gets an answer
        ready.close()


def test_drain_cancels_what_outlives_its_grace() -> None:
    with running() as servers:
        sock = connect(
            servers,
            b'POST /v1/models/slow:predict HTTP/1.1\r\nContent-Length: 20\r\n\r\n{"instances": [30.]}'.replace(
                b"30.", b"3e1"
            ),
        )
        wait_until(lambda: servers.predictor.leases == 1)
        started = time.monotonic()
        servers.do(servers.servers.drain(0.2))
        assert time.monotonic() - started < 3
        assert servers.predictor.leases == 0
        sock.close()


@pytest.mark.parametrize("name", ["grpc", "http", "admin", "metrics"])
def test_all_are_bound_or_none(name: str) -> None:
    async def run(settings: Settings) -> dict[str, str]:
        double = Double(models())
        servers = Servers(settings, double, lambda: ("text/plain", b""), Seen(), Commands(double))
        try:
            return await servers.start()
        finally:
            await servers.stop()

    free = Settings(grpc_port=0, http_port=0, admin_port=0, metrics_port=0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = replace(free, **{f"{name}_port": port})
        with pytest.raises(SettingsError) as caught:
            asyncio.run(run(settings))
        (problem,) = caught.value.problems
        assert problem.startswith(f"{name}_port: cannot listen on 127.0.0.1:{port}: ")
    assert asyncio.run(run(settings))[name] == f"127.0.0.1:{port}"
