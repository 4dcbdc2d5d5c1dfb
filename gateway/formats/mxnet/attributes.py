"""Attrs: an operator's parameters, which MXNet keeps as strings, read with their types.

Every spelling that symbol files hold is known: "(3, 3)", "[3,3]", "3", "3L", "True", "1", "None".

Rule 1: a value that is missing or malformed is a ConversionError naming node, operator, key and value.
Rule 2: keys like `__lr_mult__` are not parameters and never get here (symbol.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from gateway.core.names import did_you_mean
from gateway.errors import ConversionError

TRUE, FALSE = ("True", "true", "1"), ("False", "false", "0")
DTYPES = {
    "0": "float32", "1": "float64", "2": "float16", "3": "uint8", "4": "int32", "5": "int8", "6": "int64", "7": "bool",
    "8": "int16", "9": "uint16", "10": "uint32", "11": "uint64", "12": "bfloat16",
}  # fmt: skip
"""MXNet's type codes (mshadow/base.h TypeFlag)."""


class _Required:
    """The mark of a parameter without a default."""


REQUIRED: Any = _Required()

# The class below has methods of these names.
Str: TypeAlias = str
Int: TypeAlias = int
Float: TypeAlias = float
Bool: TypeAlias = bool


class Attrs:
    """Parameters of one node. Every getter takes a default; without one the key is required."""

    def __init__(self, values: Mapping[Str, Str], *, node: Str = "", op: Str = "") -> None:
        self.values, self.node, self.op = dict(values), node, op

    def __contains__(self, key: Str) -> Bool:
        return key in self.values

    def has(self, key: Str) -> Bool:
        """Given, and not "None"."""
        return self.values.get(key, "None").strip() != "None"

    def str(self, key: Str, default: Str = REQUIRED) -> Str:
        return self._get(key, default, lambda text: text)  # type: ignore[no-any-return]

    def choice(self, key: Str, known: Iterable[Str], default: Str = REQUIRED) -> Str:
        """One of `known`."""
        found = self.str(key, default)
        names = list(known)
        if found not in names:
            raise self.error(f"{key}={found!r} is not supported; expected one of {', '.join(names)}", found, names)
        return found

    def int(self, key: Str, default: Any = REQUIRED) -> Int:
        return self._get(key, default, _int)  # type: ignore[no-any-return]

    def float(self, key: Str, default: Any = REQUIRED) -> Float:
        return self._get(key, default, _float)  # type: ignore[no-any-return]

    def bool(self, key: Str, default: Any = REQUIRED) -> Bool:
        return self._get(key, default, _bool)  # type: ignore[no-any-return]

    def ints(self, key: Str, default: Any = REQUIRED) -> tuple[Int, ...]:
        """A shape; a single number is one of length 1. "None" gives the default."""
        return self._get(key, default, lambda text: tuple(map(_int, _items(text))))  # type: ignore[no-any-return]

    def floats(self, key: Str, default: Any = REQUIRED) -> tuple[Float, ...]:
        return self._get(key, default, lambda text: tuple(map(_float, _items(text))))  # type: ignore[no-any-return]

    def optional_ints(self, key: Str, default: Any = REQUIRED) -> tuple[Int | None, ...]:
        """A tuple whose items may be "None"."""
        return self._get(key, default, lambda text: tuple(None if i == "None" else _int(i) for i in _items(text)))  # type: ignore[no-any-return]

    def optional_int(self, key: Str) -> Int | None:
        """None when absent or "None"."""
        return self.int(key) if self.has(key) else None

    def optional_float(self, key: Str) -> Float | None:
        return self.float(key) if self.has(key) else None

    def optional_bool(self, key: Str) -> Bool | None:
        return self.bool(key) if self.has(key) else None

    def dtype(self, key: Str, default: Any = REQUIRED) -> Str:
        """Our name of a type, written as a name or as MXNet's code."""
        return self._get(key, default, _dtype)  # type: ignore[no-any-return]

    def error(self, what: Str, found: Str = "", known: Iterable[Str] = ()) -> ConversionError:
        """An error that says which node this is about."""
        guess = did_you_mean(found, known) if found else ""
        return ConversionError(f"MXNet node {self.node!r} ({self.op}): {what}.{guess}")

    def _get(self, key: Str, default: Any, read: Any) -> Any:
        text = self.values.get(key)
        if text is None or (text.strip() == "None" and default is not REQUIRED):
            if default is REQUIRED:
                raise self.error(f"has no {key}, which it needs")
            return default
        try:
            return read(text.strip())
        except (ValueError, OverflowError):
            raise self.error(f"{key}={text[:100]!r} cannot be read") from None


def _int(text: str) -> int:
    number = text.strip().rstrip("L")
    if number in TRUE[:2]:
        return 1
    if number in FALSE[:2]:
        return 0
    try:
        value = int(number)
    except ValueError:
        wide = float(number)  # "3.0", "1e3": a whole number that Python wrote as a float
        value = int(wide)
        if value != wide:
            raise ValueError(text) from None
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(text)
    return value


def _float(text: str) -> float:
    if text in TRUE[:2]:
        return 1.0
    if text in FALSE[:2]:
        return 0.0
    value = float(text.rstrip("fFL") if text[-1:] in "fFL" and text.lower() not in ("inf", "-inf") else text)
    if math.isnan(value):
        raise ValueError(text)
    return value


def _bool(text: str) -> bool:
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(text)


def _items(text: str) -> list[str]:
    inner = text
    if text[:1] in ("(", "["):
        if text[-1:] != {"(": ")", "[": "]"}[text[0]]:
            raise ValueError(text)
        inner = text[1:-1]
    parts = [part.strip() for part in inner.split(",")]
    if parts[-1] == "":
        parts.pop()
    return parts


def _dtype(text: str) -> str:
    name = DTYPES.get(text, text)
    if name not in DTYPES.values():
        raise ValueError(text)
    return name
