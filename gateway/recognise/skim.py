"""JSON, looked at without believing it: whole when it is small, else the beginning, as far as it is well formed.

Rule 1: never raises; depth, items, text and bytes are bounded.
Rule 2: a file cut short gives what stands before the cut, and `whole` is False.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from gateway.recognise.blob import Blob

PARSED = 4 << 20  # bytes that are parsed whole
BEGINNING = 1 << 20  # of a larger one
MAX_DEPTH = 24
MAX_ITEMS = 4096  # of one list or object; what comes after is dropped
MAX_TOKENS = 200_000

_TOKEN = re.compile(rb'[ \t\r\n]*(?:([{}\[\],:])|("(?:[^"\\]|\\.)*")|([^\s{}\[\],:"]+))')
_STARTS = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*([{\[])[ \t\r\n]*(.?)", re.DOTALL)


@dataclass(frozen=True)
class Json:
    """`value` is a dict or a list: of a file that is not `whole`, what stands before the cut."""

    value: Any
    whole: bool
    large: bool = False  # only the beginning was looked at

    @property
    def keys(self) -> dict[str, Any]:
        """The top-level object; {} for a list."""
        return self.value if isinstance(self.value, dict) else {}

    def __getitem__(self, key: str) -> Any:
        return self.keys.get(key)

    def has(self, *names: str) -> bool:
        return all(name in self.keys for name in names)

    def at(self, *path: str) -> Any:
        """The value at a path of object keys; None when it is not there."""
        here: Any = self.value
        for key in path:
            here = here.get(key) if isinstance(here, dict) else None
        return here

    def text(self, *path: str) -> str:
        """A short text at a path; "" when there is none."""
        said = self.at(*path)
        return said if isinstance(said, str) and len(said) <= 200 and said.isprintable() else ""


def of(blob: Blob) -> Json | None:
    """The file as JSON; None when it does not start as an object or a list."""
    return blob.memo("json", _look)


def _look(blob: Blob) -> Json | None:
    start = _STARTS.match(blob.head)
    if start is None or start[2] not in (b"", b'"', b"{", b"[", b"}", b"]", b"-", *_FIRST):
        return None
    if blob.size <= PARSED:
        data = blob.read(0, PARSED)
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = beginning(data)
            return Json(value, whole=False) if value is not None else None
        return Json(value, whole=True) if isinstance(value, (dict, list)) else None
    value = beginning(blob.read(0, BEGINNING))
    if value is None:
        return None
    return Json(value, whole=blob.tail(64).rstrip()[-1:] in (b"}", b"]"), large=True)


_FIRST = [bytes([byte]) for byte in b"0123456789tfnNI"]


def beginning(data: bytes) -> Any:
    """The object or list that `data` starts with, as far as it goes; None when it starts as neither."""
    stack: list[Any] = []
    keys: list[str | None] = []
    top: Any = None
    hidden = 0  # levels below MAX_DEPTH, counted and not kept
    at = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    for _ in range(MAX_TOKENS):
        found = _TOKEN.match(data, at)
        if found is None:
            return top
        at = found.end()
        mark, quoted, plain = found.groups()
        if hidden:
            hidden += (mark in (b"{", b"[")) - (mark in (b"}", b"]"))
            continue
        if mark in (b"{", b"["):
            value: Any = {} if mark == b"{" else []
            if top is None:
                top = value
            elif not stack:
                return top
            elif len(stack) >= MAX_DEPTH:
                _put(stack[-1], keys, value)
                hidden = 1
                continue
            else:
                _put(stack[-1], keys, value)
            stack.append(value)
            keys.append(None)
        elif not stack:
            return top
        elif mark in (b"}", b"]"):
            if isinstance(stack.pop(), dict) != (mark == b"}"):
                return top
            keys.pop()
        elif mark is None and not _value(stack[-1], keys, quoted, plain):
            return top
    return top


def _value(into: Any, keys: list[str | None], quoted: bytes | None, plain: bytes | None) -> bool:
    """Take one text, number or name; False when it cannot stand here."""
    if quoted is not None:
        value: Any = _text(quoted)
        if isinstance(into, dict) and keys[-1] is None:
            keys[-1] = value
            return True
    else:
        value = _number(plain or b"")
        if value is _BAD:
            return False
    _put(into, keys, value)
    return True


def _put(into: Any, keys: list[str | None], value: Any) -> None:
    if isinstance(into, list):
        if len(into) < MAX_ITEMS:
            into.append(value)
    elif keys[-1] is not None:
        if len(into) < MAX_ITEMS:
            into[keys[-1]] = value
        keys[-1] = None


def _text(quoted: bytes) -> str:
    try:
        return str(json.loads(quoted[:4096] if len(quoted) <= 4096 else quoted[:2048].rstrip(b"\\") + b'"'))
    except ValueError:
        return quoted[1:200].decode("utf-8", "replace")


_BAD = object()
_NAMES = {b"true": True, b"false": False, b"null": None, b"NaN": 0.0, b"Infinity": 0.0, b"-Infinity": 0.0}


def _number(plain: bytes) -> Any:
    if plain in _NAMES:
        return _NAMES[plain]
    try:
        return int(plain) if plain.lstrip(b"-").isdigit() and len(plain) < 40 else float(plain)
    except ValueError:
        return _BAD
