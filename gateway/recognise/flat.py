"""Flatbuffers from the bytes, without a schema: tables, vectors and texts, checked against the file's size.

Rule 1: never raises: a table or a field that is not there is None, a text "".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gateway.recognise.blob import Blob


@dataclass(frozen=True)
class Table:
    """One table at `at`; `slots` are the places of its fields, 0 for one that is not set."""

    blob: Blob
    at: int
    slots: tuple[int, ...]

    def _place(self, field: int) -> int:
        slot = self.slots[field] if field < len(self.slots) else 0
        return self.at + slot if slot else 0

    def number(self, field: int, kind: str = "<i") -> int | None:
        place = self._place(field)
        return _unpack(self.blob, place, kind) if place else None

    def text(self, field: int) -> str:
        """A printable text of at most 200 bytes; "" else."""
        place = self._follow(field)
        length = _unpack(self.blob, place, "<I") if place else None
        if length is None or not 0 < length <= 200:
            return ""
        return _printable(self.blob.read(place + 4, length), length)

    def count(self, field: int) -> int | None:
        """The length of a vector; None when there is none that fits into the file."""
        place = self._follow(field)
        length = _unpack(self.blob, place, "<I") if place else None
        return length if length is not None and place + length <= self.blob.size else None

    def tables(self, field: int, most: int = 4) -> list[Table]:
        """The first tables of a vector of tables."""
        count, place = self.count(field), self._follow(field)
        found = []
        for index in range(min(count or 0, most)):
            at = place + 4 + 4 * index
            offset = _unpack(self.blob, at, "<I")
            inner = table(self.blob, at + offset) if offset else None
            if inner is None:
                break
            found.append(inner)
        return found

    def first_text(self, field: int) -> str:
        """The first of a vector of texts."""
        place = self._follow(field)
        if not self.count(field):
            return ""
        offset = _unpack(self.blob, place + 4, "<I")
        if not offset:
            return ""
        length = _unpack(self.blob, place + 4 + offset, "<I")
        if length is None or not 0 < length <= 200:
            return ""
        return _printable(self.blob.read(place + 8 + offset, length), length)

    def _follow(self, field: int) -> int:
        place = self._place(field)
        offset = _unpack(self.blob, place, "<I") if place else None
        return place + offset if offset else 0


def root(blob: Blob, start: int = 0) -> Table | None:
    """The root table of the buffer at `start`; None when the bytes are none."""
    offset = _unpack(blob, start, "<I")
    return table(blob, start + offset) if offset and offset >= 4 else None


def table(blob: Blob, at: int) -> Table | None:
    back = _unpack(blob, at, "<i")
    if back is None or not 0 <= at - back <= blob.size - 4:
        return None
    sizes = blob.read(at - back, 4)
    if len(sizes) < 4:
        return None
    length, size = struct.unpack("<HH", sizes)
    if length < 4 or length > 1024 or length % 2 or size < 4 or at + size > blob.size:
        return None
    raw = blob.read(at - back + 4, length - 4)
    slots = struct.unpack(f"<{len(raw) // 2}H", raw[: len(raw) // 2 * 2])
    return None if len(raw) < length - 4 or any(slot >= size for slot in slots) else Table(blob, at, slots)


def _unpack(blob: Blob, at: int, kind: str) -> int | None:
    size = struct.calcsize(kind)
    raw = blob.read(at, size) if at >= 0 else b""
    return int(struct.unpack(kind, raw)[0]) if len(raw) == size else None


def _printable(raw: bytes, length: int) -> str:
    said = raw.decode("utf-8", "replace")
    return said if len(raw) == length and said.isprintable() and "\ufffd" not in said else ""
