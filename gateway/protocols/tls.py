"""TLS of every listener, gRPC and HTTP alike, from one pair of settings, `tls.cert` and `tls.key`.

Rule 1: both are read as bytes at one moment, so that no listener pairs a new certificate with an old key.
Rule 2: they are read again when they change; connections that are open keep what they were made with.
Rule 3: with `tls.client_ca` a client without a certificate that it vouches for gets no connection.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from gateway.config import Tls
from gateway.errors import SettingsError
from gateway.protocols.reread import Reread

_PEM = "-----BEGIN"


@dataclass(frozen=True)
class _Pair:
    cert: bytes
    key: bytes
    client_ca: bytes  # b"": clients need none
    context: ssl.SSLContext


class Certificates:
    """What the listeners are made with. Errors: SettingsError."""

    def __init__(self, settings: Tls) -> None:
        self._settings = settings
        files = [Path(text) for text in (settings.cert, settings.key, settings.client_ca) if text and not is_pem(text)]
        self._pair = Reread("tls", files, self._read)
        self._outer = _context(self._pair.value)
        self._outer.sni_callback = self._swap

    def context(self) -> ssl.SSLContext:
        """For HTTP: each handshake takes the newest certificate."""
        return self._outer

    def grpc_credentials(self) -> Any:
        given = self._pair.value

        def fetch() -> Any:
            nonlocal given
            newest = self._pair.value
            if newest is given:
                return None
            given = newest
            return _configuration(newest)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(given), fetch, require_client_authentication=bool(given.client_ca)
        )

    def refresh(self, *, force: bool = False) -> bool:
        return self._pair.refresh(force=force)

    def _swap(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = self._pair.value.context

    def _read(self) -> _Pair:
        problems: list[str] = []
        cert, key, client_ca = (
            _bytes(name, getattr(self._settings, name), problems) for name in ("cert", "key", "client_ca")
        )
        for name in ("cert", "key"):
            if not getattr(self._settings, name):
                problems.append(f"tls.{name}: is not set, and TLS needs both tls.cert and tls.key")
        if problems:
            raise SettingsError(problems)
        return _Pair(cert, key, client_ca, _loaded(cert, key, client_ca))


def is_pem(text: str) -> bool:
    """Whether a setting holds the certificate itself, not the path of its file."""
    return text.lstrip().startswith(_PEM)


def _bytes(name: str, value: str, problems: list[str]) -> bytes:
    if not value or is_pem(value):
        return value.encode()
    try:
        return Path(value).read_bytes()
    except OSError as error:
        problems.append(f"tls.{name}: {value} cannot be read: {error.strerror}")
        return b""


def _configuration(pair: _Pair) -> Any:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.cert)], pair.client_ca or None)


def _context(pair: _Pair) -> ssl.SSLContext:
    return _loaded(pair.cert, pair.key, pair.client_ca)


def _loaded(cert: bytes, key: bytes, client_ca: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    handle, name = tempfile.mkstemp(prefix="model-gateway-")  # 0600; OpenSSL reads key and certificate from files only
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key.rstrip() + b"\n" + cert)
        context.load_cert_chain(name, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError(
            [f"tls.cert, tls.key: {_reason(error)}"],
            hint="Both are PEM; the key is the certificate's, without a password.",
        ) from None
    finally:
        Path(name).unlink()
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=client_ca.decode("ascii", "replace"))
        except ssl.SSLError as error:
            raise SettingsError([f"tls.client_ca: {_reason(error)}"], hint="It is PEM.") from None
    return context


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error).replace("_", " ").lower()


def subjects(certificate: Any) -> tuple[str, ...]:
    """Common and alternative names of ssl.getpeercert()."""
    if not certificate:
        return ()
    named: Iterable[Any] = (pair for group in certificate.get("subject", ()) for pair in group)
    found = [value for key, value in named if key == "commonName"]
    found += [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI", "email")]
    return tuple(found)
