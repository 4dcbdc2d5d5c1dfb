"""Credentials from one file: bearer tokens, names of client certificates, and the headers of Triton's
restricted protocols; each with the scopes it is good for.

    anonymous = ["infer", "metadata"]     # what needs no credential; nothing unless said

    [[token]]
    name = "dashboard"                    # for logs
    token = "..."                         # or sha256 = "64 hex digits", or file = "/run/secrets/token"
    scopes = ["metadata"]                 # infer, metadata (metrics too), manage; or Triton's names of APIs
    header = "infer-key"                  # also taken from Triton's headers: triton-grpc-protocol-infer-key in gRPC,
                                          # infer-key in HTTP

    [[subject]]
    name = "robot.example"                # a common or alternative name of a certificate that tls.client_ca vouches for
    scopes = ["infer"]

Rule 1: a token is compared by its SHA-256, in constant time, with every entry there is.
Rule 2: a file with a fault is refused whole, with all its faults; a running gateway then keeps
        what it has. No message ever holds a token.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.names import did_you_mean
from gateway.errors import SettingsError
from gateway.protocols.access import Caller, Scope

log = logging.getLogger("gateway.access")

_NAMES: Mapping[str, Scope] = {
    **{scope.value: scope for scope in (Scope.INFER, Scope.METADATA, Scope.MANAGE)},
    "metrics": Scope.METADATA,
    # Triton's names of APIs (--http-restricted-api, --grpc-restricted-protocol)
    "inference": Scope.INFER,
    "statistics": Scope.METADATA,
    "health": Scope.METADATA,  # liveness stays open; the rest of Triton's health is about models
    "model-config": Scope.METADATA,
    "model-repository": Scope.MANAGE,
    "shared-memory": Scope.MANAGE,
    "trace": Scope.MANAGE,
    "logging": Scope.MANAGE,
}
_TOKEN_KEYS = ("name", "token", "sha256", "file", "scopes", "header")
_SUBJECT_KEYS = ("name", "scopes")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_HEADER = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
SHORTEST = 16  # of a token given in clear: what is shorter can be guessed


@dataclass(frozen=True)
class _Token:
    digest: bytes
    scopes: frozenset[Scope]
    headers: tuple[bytes, ...]  # besides Authorization


class Book:
    """Implements access.Credentials."""

    def __init__(
        self, tokens: list[_Token], subjects: Mapping[str, frozenset[Scope]], anonymous: frozenset[Scope]
    ) -> None:
        self._tokens = tokens
        self._subjects = subjects
        self.anonymous = anonymous

    def scopes(self, caller: Caller) -> frozenset[Scope] | None:
        granted: frozenset[Scope] | None = None
        for name in caller.subjects:
            if name in self._subjects:
                granted = (granted or frozenset()) | self._subjects[name]
        kind, _, bearer = caller.headers.get(b"authorization", b"").partition(b" ")
        shown = hashlib.sha256(bearer.strip() if kind.lower() == b"bearer" else b"").digest()
        for token in self._tokens:
            same = hmac.compare_digest(shown, token.digest)
            for header in token.headers:
                value = caller.headers.get(header)
                if value is not None:
                    same |= hmac.compare_digest(hashlib.sha256(value).digest(), token.digest)
            if same:
                granted = (granted or frozenset()) | token.scopes
        return granted


def read(path: Path) -> Book:
    """Errors: SettingsError with every fault of the file."""
    problems: list[str] = []
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError([f"auth.file: {path} cannot be read: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"auth.file: {path} is not valid TOML: {error}"]) from None
    for key in data:
        if key not in ("anonymous", "token", "subject"):
            problems.append(f"no such key {key!r}.{did_you_mean(key, ('anonymous', 'token', 'subject'))}")
    anonymous = _scopes("anonymous", data.get("anonymous", []), problems)
    tokens = [_token(at, entry, path.parent, problems) for at, entry in _entries(data, "token", problems)]
    subjects: dict[str, frozenset[Scope]] = {}
    for at, entry in _entries(data, "subject", problems):
        where = f"subject {at}"
        _known(where, entry, _SUBJECT_KEYS, problems)
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            problems.append(f"{where} has no name")
        else:
            subjects[name] = _scopes(where, entry.get("scopes"), problems)
    if problems:
        raise SettingsError([f"auth.file: {path.name}: {problem}" for problem in problems])
    return Book([token for token in tokens if token is not None], subjects, anonymous)


def _entries(data: Mapping[str, Any], key: str, problems: list[str]) -> list[tuple[int, dict[str, Any]]]:
    found = data.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        problems.append(f"{key} is not a list of tables; write [[{key}]]")
        return []
    return list(enumerate(found, start=1))


def _token(at: int, entry: dict[str, Any], folder: Path, problems: list[str]) -> _Token | None:
    where = f"token {entry['name']!r}" if isinstance(entry.get("name"), str) else f"token {at}"
    before = len(problems)
    _known(where, entry, _TOKEN_KEYS, problems)
    scopes = _scopes(where, entry.get("scopes"), problems)
    digest = _digest(where, entry, folder, problems)
    headers: tuple[bytes, ...] = ()
    if "header" in entry:
        key = str(entry["header"]).lower()
        if not _HEADER.fullmatch(key):
            problems.append(f"{where}: header is not the name of a header (letters, digits and '-')")
        headers = (key.encode(), b"triton-grpc-protocol-" + key.encode("ascii", "replace"))
    return _Token(digest, scopes, headers) if len(problems) == before else None


def _digest(where: str, entry: dict[str, Any], folder: Path, problems: list[str]) -> bytes:
    given = [key for key in ("token", "sha256", "file") if key in entry]
    if len(given) != 1 or not isinstance(entry[given[0]], str):
        problems.append(f"{where}: expected one of token, sha256, file, a text; found {', '.join(given) or 'none'}")
        return b""
    value = entry[given[0]]
    if given[0] == "sha256":
        if not _HEX.fullmatch(value):
            problems.append(f"{where}: sha256 is not 64 hex digits")
            return b""
        return bytes.fromhex(value)
    if given[0] == "file":
        try:
            value = (folder / value).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{where}: its file cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}")
            return b""
    if len(value) < SHORTEST:
        problems.append(f"{where}: has {len(value)} characters, expected at least {SHORTEST}")
    return hashlib.sha256(value.encode()).digest()


def _scopes(where: str, value: Any, problems: list[str]) -> frozenset[Scope]:
    if not isinstance(value, list) or (where != "anonymous" and not value):
        problems.append(f"{where}: scopes is not a list of scopes ({', '.join(_NAMES)})")
        return frozenset()
    for name in value:
        if not isinstance(name, str) or name not in _NAMES:
            guess = did_you_mean(name, _NAMES) if isinstance(name, str) else ""
            problems.append(f"{where}: {name!r} is not a scope; known are {', '.join(_NAMES)}.{guess}")
    return frozenset(_NAMES[name] for name in value if isinstance(name, str) and name in _NAMES)


def _known(where: str, entry: Mapping[str, Any], keys: tuple[str, ...], problems: list[str]) -> None:
    for key in entry:
        if key not in keys:
            problems.append(f"{where}: no such key {key!r}.{did_you_mean(key, keys)}")
