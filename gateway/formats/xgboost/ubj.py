"""UBJSON, as XGBoost writes it: big-endian, arrays with and without a type. Bounded and without recursion limits."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from gateway.errors import CorruptModel

MAX_DEPTH = 64
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_WORDS = {"Z": None, "T": True, "F": False}


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """Errors: CorruptModel when the file ends before."""
        if count < 0 or self.at + count > len(self.data):
            raise CorruptModel(
                f"it is cut short: {count} bytes are expected at {self.at}, and the file has {len(self.data)}."
            )
        found = self.data[self.at : self.at + count]
        self.at += count
        return found

    def mark(self) -> str:
        while True:
            found = chr(self.take(1)[0])
            if found != "N":
                return found

    def number(self, mark: str) -> int | float:
        kind = _NUMBERS.get(mark)
        if kind is None:
            raise CorruptModel(f"{mark!r} at {self.at - 1} is no number of UBJSON.")
        return np.frombuffer(self.take(np.dtype(kind).itemsize), kind)[0].item()  # type: ignore[no-any-return]

    def length(self) -> int:
        found = self.number(self.mark())
        if not isinstance(found, int) or found < 0:
            raise CorruptModel(f"the length before {self.at} is {found}.")
        return found

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8", "replace")

    def value(self, mark: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise CorruptModel(f"it is nested more than {MAX_DEPTH} deep at {self.at}.")
        if mark in _WORDS:
            return _WORDS[mark]
        if mark == "S":
            return self.text()
        if mark == "C":
            return chr(self.take(1)[0])
        if mark == "[":
            return self.array(depth)
        if mark == "{":
            return self.object(depth)
        return self.number(mark)

    def array(self, depth: int) -> Any:
        mark = self.mark()
        if mark == "$":
            kind = chr(self.take(1)[0])
            if chr(self.take(1)[0]) != "#":
                raise CorruptModel(f"an array of one type has no length at {self.at}.")
            count = self.length()
            if kind in _NUMBERS:
                return np.frombuffer(self.take(count * np.dtype(_NUMBERS[kind]).itemsize), _NUMBERS[kind])
            self.bounded(count)
            return [self.value(kind, depth + 1) for _ in range(count)]
        if mark == "#":
            count = self.length()
            self.bounded(count)
            return [self.value(self.mark(), depth + 1) for _ in range(count)]
        found = []
        while mark != "]":
            found.append(self.value(mark, depth + 1))
            mark = self.mark()
        return found

    def bounded(self, count: int) -> None:
        if count > len(self.data) - self.at:
            raise CorruptModel(f"an array of {count} things is announced at {self.at}, where the file ends sooner.")

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        mark = self.mark()
        while mark != "}":
            length = self.number(mark)
            if not isinstance(length, int):
                raise CorruptModel(f"a key has the length {length} at {self.at}.")
            key = self.take(length).decode("utf-8", "replace")
            found[key] = self.value(self.mark(), depth + 1)
            mark = self.mark()
        return found


def parse(data: bytes) -> Any:
    """Objects, lists, texts, numbers; arrays of numbers of one type as numpy arrays. Errors: CorruptModel."""
    reader = _Reader(data)
    try:
        return reader.value(reader.mark(), 0)
    except (struct.error, OverflowError, MemoryError) as error:
        raise CorruptModel(f"it cannot be followed at {reader.at}: {error}.") from None
