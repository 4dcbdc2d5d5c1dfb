"""Protobuf from the wire, without a schema: the fields of a message, long ones skipped.

Rule 1: bounded: at most MAX_FIELDS of a message, never deeper than the caller asks.
Rule 2: never raises; what is no protobuf ends with `Shape.broken`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.recognise.blob import Blob

VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 20_000
MAX_FIELD_NUMBER = (1 << 29) - 1


@dataclass(frozen=True)
class Field:
    """`value` of a varint, else 0; the bytes of the others are [start, start + length). `cut`: they pass the end."""

    number: int
    wire: int
    value: int
    start: int
    length: int
    cut: bool = False

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass
class Shape:
    """The fields of one message. `cut` says what goes past the end; `more` that MAX_FIELDS was reached."""

    fields: list[Field] = field(default_factory=list)
    broken: bool = False
    cut: str = ""
    more: bool = False

    def all(self, number: int, wire: int = LEN) -> list[Field]:
        return [f for f in self.fields if f.number == number and f.wire == wire]

    def first(self, number: int, wire: int = LEN) -> Field | None:
        return next((f for f in self.fields if f.number == number and f.wire == wire), None)

    def value(self, number: int) -> int | None:
        found = self.first(number, VARINT)
        return None if found is None else found.value

    @property
    def numbers(self) -> set[int]:
        return {f.number for f in self.fields}

    @property
    def wires(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for f in self.fields:
            found.setdefault(f.number, set()).add(f.wire)
        return found

    def fits(self, schema: dict[int, int]) -> bool:
        """Only fields of the schema, each of its wire type; a repeated number may come packed."""
        return all(wire == schema.get(f, -1) for f, wires in self.wires.items() for wire in wires)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, place behind it); (-1, at) when there is none."""
    value = shift = 0
    for place in range(at, min(at + 10, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    return -1, at


def walk(blob: Blob, start: int, end: int, limit: int = MAX_FIELDS) -> Shape:
    """The fields of the message in [start, end) of the blob."""
    shape, at = Shape(), start
    reach = min(end, blob.size)
    while at < reach:
        if len(shape.fields) >= limit or blob.spent:
            shape.more = True
            return shape
        found = _field(blob, at, reach)
        if found is None:
            shape.broken, shape.more = not blob.spent, blob.spent
            return shape
        shape.fields.append(found)
        if found.cut:
            shape.cut = f"field {found.number} of {found.length} bytes goes past the end at {reach}"
            return shape
        at = found.end
    return shape


def _field(blob: Blob, at: int, end: int) -> Field | None:
    head = blob.read(at, min(20, end - at))
    key, used = varint(head, 0)
    number, wire = key >> 3, key & 7
    if key < 0 or not 1 <= number <= MAX_FIELD_NUMBER:
        return None
    if wire == VARINT:
        value, behind = varint(head, used)
        return Field(number, wire, value, at + behind, 0) if value >= 0 else None
    if wire == LEN:
        length, behind = varint(head, used)
        if length < 0:
            return None
        return Field(number, wire, 0, at + behind, length, cut=at + behind + length > end)
    if wire in (FIXED64, FIXED32):
        size = 8 if wire == FIXED64 else 4
        return Field(number, wire, 0, at + used, size, cut=at + used + size > end)
    return None


def top(blob: Blob) -> Shape:
    """The top level of the file, walked once."""
    return blob.memo("proto", lambda b: walk(b, 0, b.size))


def inner(blob: Blob, message: Field, limit: int = 512) -> Shape:
    """The fields of a message inside, up to `limit` of them."""
    return walk(blob, message.start, message.end, limit)


def text(blob: Blob, f: Field | None, most: int = 200) -> str:
    """A field that is a name: printable UTF-8 of at most `most` bytes, else ""."""
    if f is None or f.wire != LEN or f.cut or not 0 < f.length <= most:
        return ""
    try:
        said = blob.read(f.start, f.length).decode()
    except UnicodeDecodeError:
        return ""
    return said if said.isprintable() else ""


def texts(blob: Blob, fields: list[Field], most: int = 200) -> Iterator[str]:
    for f in fields:
        if said := text(blob, f, most):
            yield said
