"""Models by URL: which addresses may be asked, and a download that cannot be led elsewhere.

Rule 1: only what an allow-list names: scheme, host and port equal, the path below the listed one.
        The list is empty unless the owner fills it.
Rule 2: the name is resolved once; every address it has must be a public one, and the connection goes
        to an address that was looked at (no second look-up that says something else).
Rule 3: no redirects, no proxies, no credentials; bytes and time are bounded; half a file is never left.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from gateway.errors import DownloadFailed, DropTooLarge, Forbidden, InvalidRequest

READ_S = 30.0  # longest silence of the other side
CHUNK = 1 << 20
_FIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str, int], Sequence[str]]


def addresses(host: str, port: int) -> Sequence[str]:
    """Every address of a name. Errors: OSError."""
    return sorted({str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})


def is_public(address: str) -> bool:
    """Whether strangers may be told to go there: not this machine, not its networks, not link-local."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is not None and not is_public(str(inner)):
            return False
        if found in ipaddress.ip_network("64:ff9b::/96"):  # NAT64: the last four bytes are where it goes
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    return found.is_global and not found.is_multicast


@dataclass(frozen=True)
class Allowed:
    """One entry of the list: what begins so may be asked."""

    scheme: str
    host: str
    port: int
    path: str  # ends in '/', or is one file's

    def covers(self, url: SplitResult) -> bool:
        if (url.scheme, url.hostname, url.port or _PORTS[url.scheme]) != (self.scheme, self.host, self.port):
            return False
        return url.path.startswith(self.path) if self.path.endswith("/") else url.path == self.path


def allow_list(text: str) -> tuple[Allowed, ...]:
    """`https://models.example/public/, https://...`. Errors: InvalidRequest names the entry."""
    found = []
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        url = _split(entry)
        found.append(Allowed(url.scheme, url.hostname or "", url.port or _PORTS[url.scheme], url.path or "/"))
    return tuple(found)


def _split(text: str) -> SplitResult:
    """Errors: InvalidRequest."""
    try:
        url = urlsplit(text)
        usable = url.scheme in _PORTS and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or "\\" in text or any(ord(c) <= 32 or ord(c) > 126 for c in text):
        raise InvalidRequest(f"{text[:256]!r} is not an address of http or https.")
    if url.username is not None or url.password is not None:
        raise InvalidRequest("an address must not hold credentials.")
    return url


def check(text: str, allowed: Sequence[Allowed]) -> SplitResult:
    """Errors: InvalidRequest, Forbidden."""
    url = _split(text)
    parts = unquote(unquote(url.path)).replace("\\", "/").split("/")
    if ".." in parts or "." in parts or not any(entry.covers(url) for entry in allowed):
        raise Forbidden(
            f"Given URL {text[:256]} does not match any allowed URL(s)", hint="management.allowed_urls has the list."
        )
    return url


def download(
    text: str,
    allowed: Sequence[Allowed],
    folder: Path,
    *,
    max_bytes: int,
    deadline: float,
    resolve: Resolve = addresses,
    reachable: Callable[[str], bool] = is_public,
    tls: ssl.SSLContext | None = None,
) -> Path:
    """The file, in `folder` under the last part of its path. `deadline` in seconds of time.monotonic().

    Errors: InvalidRequest, Forbidden, DownloadFailed, DropTooLarge.
    """
    url = check(text, allowed)
    name = unquote(url.path).rpartition("/")[2]
    if not _FIT.fullmatch(name):
        raise InvalidRequest(f"the file {name[:128]!r} of {text[:256]} has a name that is not taken.")
    address = _address(url, text, resolve, reachable)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    try:
        with part.open("wb") as file:
            _receive(url, text, address, file.write, max_bytes, deadline, tls)
            file.flush()
            os.fsync(file.fileno())
        return part.rename(folder / name)
    finally:
        part.unlink(missing_ok=True)


def _address(url: SplitResult, text: str, resolve: Resolve, reachable: Callable[[str], bool]) -> str:
    try:
        found = resolve(url.hostname or "", url.port or _PORTS[url.scheme])
    except OSError as error:
        raise _failed(text, f"its name does not resolve: {error.strerror or error}") from None
    if not found or not all(reachable(address) for address in found):
        raise Forbidden(
            f"Given URL {text[:256]} leads to an address that is not public.",
            hint="Nothing is fetched from this machine, its networks or link-local addresses.",
        )
    return found[0]


def _receive(
    url: SplitResult,
    text: str,
    address: str,
    write: Callable[[bytes], int],
    max_bytes: int,
    deadline: float,
    tls: ssl.SSLContext | None,
) -> None:
    host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    connection = http.client.HTTPConnection(host, port, timeout=READ_S)
    try:
        raw = socket.create_connection((address, port), timeout=READ_S)
        connection.sock = raw
        if url.scheme == "https":
            connection.sock = (tls or ssl.create_default_context()).wrap_socket(raw, server_hostname=host)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("GET", path, headers={"Accept-Encoding": "identity", "User-Agent": "model-gateway"})
        with connection.getresponse() as answer:
            _body(answer, text, write, max_bytes, deadline)
    except (OSError, http.client.HTTPException) as error:
        raise _failed(text, str(getattr(error, "strerror", None) or error or type(error).__name__)) from None
    finally:
        connection.close()


def _body(
    answer: http.client.HTTPResponse, text: str, write: Callable[[bytes], int], max_bytes: int, deadline: float
) -> None:
    if answer.status != 200:
        what = "redirects are not followed" if 300 <= answer.status < 400 else "expected 200"
        raise _failed(text, f"it answered {answer.status}, {what}")
    size = 0
    while chunk := answer.read1(CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise DropTooLarge(f"{text[:256]} has over {max_bytes} bytes.", hint="watch.max_drop_bytes is the limit.")
        if time.monotonic() > deadline:
            raise _failed(text, "it did not end before the deadline")
        write(chunk)
    if answer.length:
        raise _failed(text, f"it broke off {answer.length} bytes before its end")


def _failed(text: str, why: str) -> DownloadFailed:
    return DownloadFailed(f"Failed to download model from: {text[:256]}", hint=f"{why[:1].upper()}{why[1:]}.")
