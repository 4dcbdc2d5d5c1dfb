"""Models by URL: what may be asked, where it may lead, and what comes of servers that misbehave."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.errors import DownloadFailed, DropTooLarge, Forbidden, GatewayError, InvalidRequest
from gateway.repository.fetch import addresses, allow_list, check, download, is_public

ALLOWED = allow_list("https://models.example/public/, http://models.example:8080/one.onnx")

OPEN = (
    "https://models.example/public/a.onnx",
    "https://MODELS.example:443/public/deeper/a.onnx?token=1",
    "http://models.example:8080/one.onnx",
)
CLOSED = {
    "another folder": "https://models.example/private/a.onnx",
    "another scheme": "http://models.example/public/a.onnx",
    "another port": "https://models.example:444/public/a.onnx",
    "a longer host": "https://models.example.evil.example/public/a.onnx",
    "the host as a user": "https://models.example@evil.example/public/a.onnx",
    "up and away": "https://models.example/public/../private/a.onnx",
    "up, encoded": "https://models.example/public/%2e%2e/private/a.onnx",
    "up, encoded twice": "https://models.example/public/%252e%252e/private/a.onnx",
    "up, with backslashes": "https://models.example/public/..%5cprivate/a.onnx",
    "a file beside the one": "http://models.example:8080/one.onnx.evil",
    "a file": "file:///etc/passwd",
    "another protocol": "ftp://models.example/public/a.onnx",
    "nothing": "",
    "a blank": "https://models.example/public/a b.onnx",
    "a line break": "https://models.example/public/a.onnx\r\nX: y",
    "a backslash": "https://models.example\\@evil.example/public/a",
    "a broken address": "https://[::1/public/a",
}


@pytest.mark.parametrize("url", OPEN)
def test_allowed(url: str) -> None:
    check(url, ALLOWED)


@pytest.mark.parametrize("url", CLOSED.values(), ids=CLOSED.keys())
def test_not_allowed(url: str) -> None:
    with pytest.raises((Forbidden, InvalidRequest)):
        check(url, ALLOWED)


def test_nothing_is_allowed_unless_said() -> None:
    with pytest.raises(Forbidden):
        check(OPEN[0], allow_list(""))
    with pytest.raises(InvalidRequest):
        allow_list("models.example/public")


def test_public_addresses() -> None:
    closed = (
        "127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 "
        "240.0.0.1 ::1 :: fe80::1 fe80::1%eth0 fc00::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 "
        "2002:7f00:1:: 2001:db8::1 x"
    )
    assert [a for a in closed.split() if is_public(a)] == []
    assert [a for a in ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808") if not is_public(a)] == []


class Odd(http.server.BaseHTTPRequestHandler):
    """Serves /public/*: what its name says."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]
        if name == "moved.onnx":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.end_headers()
            return
        if name == "gone.onnx":
            self.send_error(404)
            return
        self.send_response(200)
        if name != "unsized.onnx":
            self.send_header("Content-Length", "5000" if name == "short.onnx" else "1000")
        self.end_headers()
        self.wfile.write(b"m" * 1000)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    live = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    thread = threading.Thread(target=live.serve_forever)
    thread.start()
    yield live.server_port
    live.shutdown()
    thread.join(10)
    live.server_close()


def get(port: int, name: str, folder: Path, **more: Any) -> Path:
    allowed = allow_list(f"http://models.example:{port}/public/")
    more = {"max_bytes": 2000, "deadline": time.monotonic() + 20, "reachable": lambda _: True} | more
    url = f"http://models.example:{port}/public/{name}"
    return download(url, allowed, folder, resolve=lambda *_: ["127.0.0.1"], **more)


@pytest.mark.parametrize("name", ["a.onnx", "unsized.onnx", "a.onnx?signed=1"])
def test_a_file_comes_whole(server: int, tmp_path: Path, name: str) -> None:
    found = get(server, name, tmp_path / "new")
    assert found.read_bytes() == b"m" * 1000
    assert found == tmp_path / "new" / name.partition("?")[0]
    assert [p.name for p in found.parent.iterdir()] == [found.name]


FAILS: dict[str, tuple[str, dict[str, Any], type[GatewayError], str]] = {
    "a redirect is not followed": ("moved.onnx", {}, DownloadFailed, "It answered 302, redirects are not followed."),
    "not there": ("gone.onnx", {}, DownloadFailed, "It answered 404, expected 200."),
    "too large": ("a.onnx", {"max_bytes": 999}, DropTooLarge, "has over 999 bytes"),
    "breaks off": ("short.onnx", {}, DownloadFailed, "Failed to download model from"),
    "too slow": ("a.onnx", {"deadline": 0.0}, DownloadFailed, "It did not end before the deadline."),
    "a private address": ("a.onnx", {"reachable": is_public}, Forbidden, "leads to an address that is not public"),
    "no file": ("", {}, InvalidRequest, "has a name that is not taken"),
    "a hidden file": (".ssh", {}, InvalidRequest, "has a name that is not taken"),
}


@pytest.mark.parametrize("row", FAILS.values(), ids=FAILS.keys())
def test_a_failure_leaves_nothing(server: int, tmp_path: Path, row: Any) -> None:
    name, more, kind, says = row
    with pytest.raises(kind) as caught:
        get(server, name, tmp_path / "new", **more)
    assert says in caught.value.explain()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_one_private_address_among_many_is_enough_to_refuse(tmp_path: Path) -> None:
    with pytest.raises(Forbidden):
        download(
            "http://models.example/public/a.onnx",
            allow_list("http://models.example/public/"),
            tmp_path,
            max_bytes=9,
            deadline=time.monotonic() + 5,
            resolve=lambda *_: ["8.8.8.8", "10.0.0.1"],
        )


def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    def resolve(*_: Any) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(DownloadFailed):
        download(
            "http://no.example/public/a.onnx",
            allow_list("http://no.example/public/"),
            tmp_path,
            max_bytes=9,
            deadline=time.monotonic() + 5,
            resolve=resolve,
        )
    assert addresses("127.0.0.1", 80) == ["127.0.0.1"]


def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    """The connection goes to an address; the name is still what the certificate must have."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    live = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    live.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=live.serve_forever)
    client = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
    allowed = allow_list(f"https://models.example:{live.server_port}/public/")

    def fetch() -> Path:
        return download(
            f"https://models.example:{live.server_port}/public/a.onnx",
            allowed,
            tmp_path / "new",
            max_bytes=2000,
            deadline=time.monotonic() + 20,
            resolve=lambda *_: ["127.0.0.1"],
            reachable=lambda _: True,
            tls=client,
        )

    ca.issue_cert("other.example").configure_cert(context)
    live.socket = context.wrap_socket(live.socket, server_side=True)
    thread.start()
    try:
        with pytest.raises(DownloadFailed) as caught:
            fetch()
        assert "Failed to download model from" in caught.value.message
        ca.issue_cert("models.example").configure_cert(context)
        assert fetch().read_bytes() == b"m" * 1000
    finally:
        live.shutdown()
        thread.join(10)
        live.server_close()
