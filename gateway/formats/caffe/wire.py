"""caffemodel and binaryproto: protobuf from the wire, read by Caffe's schema, every byte accounted for.

Rule 1: a length is checked against the bytes that are left before anything is allocated.
Rule 2: arrays are views of the mapped file; what is not packed is gathered once.
Rule 3: only messages of the schema are descended into, so nesting has its depth; their number is bounded.
Rule 4: errors name file and offset.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import CorruptModel
from gateway.formats.caffe.message import Message, blob, put
from gateway.formats.caffe.schema import FIRST_FORK_NUMBER, FORK_PARAMS, Field, enum, fields, numbered

VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5
WIRES = {"i": VARINT, "b": VARINT, "f": FIXED32, "d": FIXED64, "s": LEN}
MAX_FIELDS = 4_000_000  # of a whole file; weights are one field or one run of fields
MAX_TEXT = 1 << 20
FLOATS: dict[str, tuple[int, np.dtype[Any]]] = {"f": (FIXED32, np.dtype("<f4")), "d": (FIXED64, np.dtype("<f8"))}


def read(path: Path, message: str = "NetParameter") -> Message:
    """A file as one message. Errors: CorruptModel."""
    size = path.stat().st_size
    if not size:
        raise CorruptModel(f"{path.name} is empty.", hint="Copy the file again.")
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return Wire(mapped, path.name).message(message, 0, size)


def mean_image(path: Path) -> Array:
    """The array of a .binaryproto. Errors: CorruptModel."""
    size = path.stat().st_size
    data = path.read_bytes() if size else b""
    return Wire(data, path.name).blob(0, size, "the mean image")


class Wire:
    """One file. `data` is bytes or a mapping."""

    def __init__(self, data: Any, file: str) -> None:
        self.data, self.file = data, file
        self.left = MAX_FIELDS

    def error(self, at: int, what: str) -> CorruptModel:
        return CorruptModel(f"{self.file}: {what} at offset {at}.", hint="Copy the file again: it seems damaged.")

    def message(self, name: str, start: int, end: int) -> Message:
        """The message in [start, end). Fields that the schema has not are named by number in `unknown`."""
        made, known = Message(), numbered(name)
        strange: list[tuple[int, int, int]] = []
        at = start
        while at < end:
            number, wire, at = self._key(at, end)
            field = known.get(number)
            if field is None:
                first, at = self._skip(number, wire, at, end)
                if wire == LEN and number >= FIRST_FORK_NUMBER:
                    strange.append((number, first, at))
                else:
                    made.unknown.append(str(number))
                continue
            at = self._field(made, field, wire, at, end)
        if name == "LayerParameter":
            self._fork(made, strange)
        made.unknown += [str(number) for number, _, _ in strange]
        return made

    def _fork(self, layer: Message, strange: list[tuple[int, int, int]]) -> None:
        """A fork's parameters, under whatever number: the layer's type says which they are."""
        name = FORK_PARAMS.get(str(layer.last("type", "")))
        if name is None or name in layer or len(strange) != 1:
            return
        _, start, end = strange.pop()
        layer[name] = [self.message(fields("LayerParameter")[name].kind, start, end)]

    def _field(self, made: Message, field: Field, wire: int, at: int, end: int) -> int:
        """One known field. Returns the place behind it."""
        if field.is_message:
            first, behind = self._length(field, wire, at, end)
            if field.kind == "BlobProto":
                layer = str(made.last("name", "?"))
                put(made, field, self.blob(first, behind, f"blob {len(made.all(field.name))} of layer {layer!r}"))
            else:
                put(made, field, self.message(field.kind, first, behind))
            return behind
        kind = "i" if field.kind.startswith("@") else field.kind
        expected = WIRES[kind]
        if wire == LEN and kind != "s" and field.repeated:
            first, behind = self._length(field, wire, at, end)
            while first < behind:
                value, first = self._value(kind, first, behind)
                put(made, field, self._named(field, value, first))
            return behind
        if wire != expected:
            raise self.error(at, f"field {field.name} has wire type {wire}, expected {expected},")
        if kind == "s":
            first, behind = self._length(field, wire, at, end)
            put(made, field, self._text(field, first, behind))
            return behind
        value, at = self._value(kind, at, end)
        put(made, field, self._named(field, value, at))
        return at

    def _text(self, field: Field, start: int, end: int) -> str:
        if end - start > MAX_TEXT:
            raise self.error(start, f"field {field.name} is a text of {end - start} bytes")
        try:
            return bytes(self.data[start:end]).decode()
        except UnicodeDecodeError:
            raise self.error(start, f"field {field.name} is no UTF-8") from None

    def _named(self, field: Field, value: Any, at: int) -> Any:
        if not field.kind.startswith("@"):
            return value
        known = enum(field.kind[1:])
        if value not in known:
            raise self.error(at, f"field {field.name} is {value}, expected one of {sorted(known)},")
        return known[value]

    def _value(self, kind: str, at: int, end: int) -> tuple[Any, int]:
        self._count(at)
        if kind in ("i", "b"):
            value, at = self._varint(at, end)
            signed = value - (1 << 64) if value >= 1 << 63 else value
            return (bool(value) if kind == "b" else signed), at
        size = 4 if kind == "f" else 8
        if at + size > end:
            raise self.error(at, f"a number of {size} bytes goes past the end {end}")
        return struct.unpack_from("<f" if kind == "f" else "<d", self.data, at)[0], at + size

    def _count(self, at: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error(at, f"the file has more than {MAX_FIELDS} fields, the last read")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        for place in range(at, min(at + 10, end)):
            byte = self.data[place]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & ((1 << 64) - 1), place + 1
            shift += 7
        raise self.error(at, "a number has no end, or is cut off,")

    def _key(self, at: int, end: int) -> tuple[int, int, int]:
        self._count(at)
        key, behind = self._varint(at, end)
        if not 0 < key >> 3 < 1 << 29:
            raise self.error(at, f"there is no field number {key >> 3}, found")
        return key >> 3, key & 7, behind

    def _length(self, field: Field, wire: int, at: int, end: int) -> tuple[int, int]:
        """Where the bytes of a LEN field are."""
        if wire != LEN:
            raise self.error(at, f"field {field.name} has wire type {wire}, expected {LEN},")
        length, first = self._varint(at, end)
        if length > end - first:
            raise self.error(
                at, f"field {field.name} says it has {length} bytes, and {end - first} are left of its message,"
            )
        return first, first + length

    def _skip(self, number: int, wire: int, at: int, end: int) -> tuple[int, int]:
        """(first byte of the content, place behind it) of a field that nobody knows."""
        if wire == VARINT:
            return at, self._varint(at, end)[1]
        if wire == LEN:
            return self._length(Field(str(number), number, "s", False), wire, at, end)
        if wire in (FIXED32, FIXED64):
            behind = at + (4 if wire == FIXED32 else 8)
            if behind <= end:
                return at, behind
        raise self.error(at, f"field {number} has wire type {wire}, or goes past the end,")

    # Arrays

    def blob(self, start: int, end: int, what: str) -> Array:
        """The array of the BlobProto in [start, end)."""
        known = numbered("BlobProto")
        data: dict[str, list[Array]] = {}
        sizes: dict[str, int] = {}
        shape: list[int] | None = None
        at = start
        while at < end:
            key = at
            number, wire, at = self._key(at, end)
            field = known.get(number)
            if field is None:
                _, at = self._skip(number, wire, at, end)
            elif field.kind in FLOATS:
                part, at = self._floats(field, key, wire, at, end)
                data.setdefault(field.name, []).append(part)
            elif field.kind == "s":
                first, at = self._length(field, wire, at, end)
                part = np.frombuffer(self.data, np.uint8, at - first, first)
                data.setdefault(field.name, []).append(part)
            elif field.name == "shape":
                first, behind = self._length(field, wire, at, end)
                shape = (shape or []) + self.message("BlobShape", first, behind).all("dim")
                at = behind
            elif wire != VARINT:
                raise self.error(at, f"field {field.name} of {what} has wire type {wire}, expected {VARINT},")
            else:
                sizes[field.name], at = self._value("i", at, end)
        old = [sizes.get(name, 0) for name in ("num", "channels", "height", "width")]
        legacy = old if any(name in sizes for name in ("num", "channels", "height", "width")) else None
        where = f"{self.file}: {what} at offset {start}"
        numbers = data.get("double_data") or data.get("data") or data.get("raw_data") or []
        return blob(shape, legacy, numbers, sizes.get("raw_data_type", 1), where)

    def _floats(self, field: Field, key: int, wire: int, at: int, end: int) -> tuple[Array, int]:
        """A packed array, or a run of single numbers that each have the field's key before them."""
        single, kind = FLOATS[field.kind]
        if wire == LEN:
            first, behind = self._length(field, wire, at, end)
            if (behind - first) % kind.itemsize:
                raise self.error(
                    first, f"field {field.name} has {behind - first} bytes, which are no numbers of {kind.itemsize},"
                )
            return np.frombuffer(self.data, kind, (behind - first) // kind.itemsize, first), behind
        if wire != single or at + kind.itemsize > end:
            raise self.error(at, f"field {field.name} has wire type {wire}, or goes past the end,")
        head, step = bytes(self.data[key:at]), at - key + kind.itemsize
        rows = np.frombuffer(self.data, np.uint8, (end - key) // step * step, key).reshape(-1, step)
        count, look = 0, 64  # in growing steps: short runs cost little
        while count < len(rows):
            same = (rows[count : count + look, : len(head)] == np.frombuffer(head, np.uint8)).all(axis=1)
            if not same.all():
                count += int(np.argmin(same))
                break
            count, look = count + len(same), look * 2
        found = np.ascontiguousarray(rows[:count, len(head) :]).view(kind).reshape(-1)
        return found, key + count * step
