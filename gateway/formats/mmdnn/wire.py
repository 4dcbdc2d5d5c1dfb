"""The binary form: protobuf from the wire, every byte accounted for.

Rule 1: a length is checked against the bytes that are left before anything is taken.
Rule 2: only messages of the schema are descended into, which nests no deeper than it says; fields are counted.
Rule 3: errors name file and offset.
"""

from __future__ import annotations

import struct
from typing import Any

from gateway.errors import CorruptModel
from gateway.formats.mmdnn.schema import MESSAGES, TYPES, Field, Message

VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5
WIRES = {"int": VARINT, "uint": VARINT, "bool": VARINT, "type": VARINT, "float": FIXED32, "double": FIXED64,
         "bytes": LEN, "text": LEN}  # fmt: skip
MAX_FIELDS = 2_000_000


class Wire:
    """One file's bytes. Errors of every method: CorruptModel."""

    def __init__(self, data: bytes, file: str) -> None:
        self.data, self.file = data, file
        self.left = MAX_FIELDS

    def read(self) -> Message:
        return self._message("GraphDef", 0, len(self.data))

    def error(self, at: int, what: str) -> CorruptModel:
        return CorruptModel(f"{self.file}: {what} at offset {at}.", hint="Copy the file again: it seems damaged.")

    def _message(self, name: str, at: int, end: int) -> Message:
        made: Message = {}
        known = MESSAGES[name]
        while at < end:
            start = at
            key, at = self._varint(at, end)
            field = known.get(key >> 3)
            if field is None:
                raise self.error(start, f"field {key >> 3} is none of {name}")
            at = self._field(made, field, key & 7, at, end)
        return made

    def _field(self, made: Message, field: Field, wire: int, at: int, end: int) -> int:
        kept = made.setdefault(field.name, [])
        if not field.is_message and wire == LEN and field.repeated and WIRES[field.kind] != LEN:
            first, behind = self._length(at, end)
            while first < behind:
                value, first = self._value(field, first, behind)
                kept.append(value)
            return behind
        expected = LEN if field.is_message else WIRES[field.kind]
        if wire != expected:
            raise self.error(at, f"field {field.name} has wire type {wire}, expected {expected},")
        value, at = self._value(field, at, end)
        if not field.repeated:
            kept.clear()
        kept.append(value)
        return at

    def _value(self, field: Field, at: int, end: int) -> tuple[Any, int]:
        self.left -= 1
        if self.left < 0:
            raise self.error(at, f"more than {MAX_FIELDS} values")
        if field.is_message or field.kind in ("bytes", "text"):
            first, behind = self._length(at, end)
            if field.is_message:
                return self._message(field.kind, first, behind), behind
            raw = self.data[first:behind]
            return (raw if field.kind == "bytes" else self._text(field, raw, first)), behind
        if field.kind in ("float", "double"):
            size, form = (4, "<f") if field.kind == "float" else (8, "<d")
            if at + size > end:
                raise self.error(at, f"field {field.name} needs {size} bytes and {end - at} are left")
            return struct.unpack_from(form, self.data, at)[0], at + size
        value, behind = self._varint(at, end)
        return self._number(field, value, at), behind

    def _number(self, field: Field, value: int, at: int) -> Any:
        if field.kind == "type":
            if value >= len(TYPES):
                raise self.error(at, f"field {field.name} is data type {value}, expected 0 to {len(TYPES) - 1},")
            return TYPES[value]
        if field.kind == "bool":
            return bool(value)
        return value - (1 << 64) if field.kind == "int" and value >= 1 << 63 else value

    def _text(self, field: Field, raw: bytes, at: int) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.error(at, f"field {field.name} is no UTF-8") from None

    def _length(self, at: int, end: int) -> tuple[int, int]:
        length, first = self._varint(at, end)
        if length > end - first:
            raise self.error(at, f"a length of {length} where {end - first} bytes are left")
        return first, first + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        start = at
        while at < end:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & ((1 << 64) - 1), at
            shift += 7
            if shift > 63:
                break
        raise self.error(start, "a number that does not end")
