"""Is this file an ONNX model? Read from the protobuf wire format, without a protobuf library.

ModelProto (onnx.proto): ir_version 1 varint, producer_name 2 text, graph 7, opset_import 8.
GraphProto: node 1 (NodeProto: op_type 4 text), initializer 5 (TensorProto: external_data 13).

Five formats start with the bytes 08 xx 12, so the first bytes prove nothing: what counts is a
graph at 7 whose nodes have an op_type, and nothing at the top that ONNX does not have.

Rule 1: bounded: long fields are skipped by seeking, at most MAX_FIELDS are looked at.
Rule 2: never raises for strange bytes; a file cut short is still recognised when its head says
        ONNX, so that the answer is "truncated" and not "unknown".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 20_000
MAX_IR = 20
TOP_LEVEL = {  # ModelProto: field -> wire type
    1: VARINT, 2: LEN, 3: LEN, 4: LEN, 5: VARINT, 6: LEN, 7: LEN, 8: LEN, 14: LEN, 20: LEN, 25: LEN, 26: LEN,
}  # fmt: skip
GRAPH = {1: LEN, 2: LEN, 5: LEN, 10: LEN, 11: LEN, 12: LEN, 13: LEN, 14: LEN, 15: LEN, 16: LEN}


@dataclass(frozen=True)
class Finding:
    version: str  # "IR 8, opset 13"
    confidence: float
    evidence: str


@dataclass(frozen=True)
class Field:
    """`value` of a varint, else 0; a LEN field's bytes are [start, start + length). `cut`: they go past the end."""

    number: int
    wire: int
    value: int
    start: int
    length: int
    cut: bool = False


class _Broken(Exception):
    """The bytes are no protobuf."""


def fields(stream: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in [start, end), LEN fields skipped. A cut one is the last. Errors: _Broken."""
    at = start
    for _ in range(MAX_FIELDS):
        if at >= end:
            return
        stream.seek(at)
        head = stream.read(min(20, end - at))
        key, used = _varint(head, 0)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _Broken
        if wire == VARINT:
            value, used = _varint(head, used)
            yield Field(number, wire, value, at + used, 0)
            at += used
        elif wire == LEN:
            length, used = _varint(head, used)
            yield Field(number, wire, 0, at + used, length, cut=at + used + length > end)
            at += used + length
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            yield Field(number, wire, 0, at + used, size, cut=at + used + size > end)
            at += used + size
        else:
            raise _Broken


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Broken
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def scan(path: Path) -> Finding | None:
    """What speaks for ONNX in this file, or None."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return _scan(stream, size, path.suffix == ".onnx")
    except OSError:
        return None


def _scan(stream: BinaryIO, size: int, suffix: bool) -> Finding | None:
    top: dict[int, list[Field]] = {}
    cut = ""
    try:
        for field in fields(stream, 0, size):
            if TOP_LEVEL.get(field.number) != field.wire:
                return None  # a field that no ModelProto has: another format
            top.setdefault(field.number, []).append(field)
            if field.cut:
                cut = f"field {field.number} of {field.length} bytes goes past the end of the file at {size}"
    except _Broken:
        if not top:
            return None
        cut = "its last field is not complete"
    ir = top[1][0].value if 1 in top else 0
    if not 1 <= ir <= MAX_IR:
        return None
    opset = _opset(stream, top.get(8, []))
    version = f"IR {ir}" + (f", opset {opset}" if opset else "")
    graph = top[7][0] if 7 in top else None
    operator = _first_operator(stream, graph, size) if graph else ""
    if graph is None or not operator:
        return _by_suffix(stream, top, version, size, cut) if suffix else None
    seen = f"ir_version {ir}, a graph whose first node is {operator}"
    if cut:
        return Finding(version, 0.7, f"truncated: {seen}, but {cut}")
    if not opset:
        # IR 1 and 2 had no opset_import; later ones must say it.
        return Finding(version, 0.9 if ir < 3 else 0.7, f"{seen}, no opset_import")
    return Finding(version, 1.0, f"{seen}, opset_import {opset}")


def _by_suffix(stream: BinaryIO, top: dict[int, list[Field]], version: str, size: int, cut: str) -> Finding | None:
    """Called .onnx, starts like one, no node to be seen: a guess, so that a person is told what is wrong with it."""
    for field in top.get(2, []):
        stream.seek(field.start)
        if not _is_text(stream.read(min(field.length, 64))):
            return None  # the producer's name; SavedModel and CoreML have a message there
    return Finding(version, 0.4, f"the name ends in .onnx and it starts with {version}; {cut or 'no node was seen'}")


def _opset(stream: BinaryIO, entries: list[Field]) -> int:
    """The version of the default domain among OperatorSetIdProto {domain 1, version 2}; 0 when there is none."""
    for entry in entries:
        if entry.cut or entry.length > 1024:
            continue
        domain, version = b"", 0
        try:
            for field in fields(stream, entry.start, entry.start + entry.length):
                if field.number == 1 and field.wire == LEN and not field.cut:
                    stream.seek(field.start)
                    domain = stream.read(field.length)
                elif field.number == 2 and field.wire == VARINT:
                    version = field.value
        except _Broken:
            continue
        if domain in (b"", b"ai.onnx"):
            return version
    return 0


def _first_operator(stream: BinaryIO, graph: Field, size: int) -> str:
    """op_type of the first node of the graph; "" when this is no graph."""
    end = min(graph.start + graph.length, size)
    try:
        for field in fields(stream, graph.start, end):
            if GRAPH.get(field.number) != field.wire:
                return ""
            if field.number == 1:
                return _op_type(stream, field, end)
    except _Broken:
        return ""
    return ""


def _op_type(stream: BinaryIO, node: Field, end: int) -> str:
    try:
        for field in fields(stream, node.start, min(node.start + node.length, end)):
            if field.number == 4 and field.wire == LEN and not field.cut and field.length <= 200:
                stream.seek(field.start)
                name = stream.read(field.length)
                return name.decode() if name and _is_text(name) else ""
    except _Broken:
        return ""
    return ""


def _is_text(data: bytes) -> bool:
    return all(32 <= byte < 127 for byte in data)


def external_files(path: Path) -> tuple[str, ...]:
    """Locations that the graph's initializers name as external data, in order, as written in the file."""
    found: dict[str, None] = {}
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            for graph in fields(stream, 0, size):
                if graph.number == 7 and graph.wire == LEN:
                    for tensor in fields(stream, graph.start, min(graph.start + graph.length, size)):
                        if tensor.number == 5 and tensor.wire == LEN and not tensor.cut:
                            found.update(dict.fromkeys(_locations(stream, tensor)))
    except (OSError, _Broken):
        pass  # the converter reads it whole and says what is wrong
    return tuple(found)


def _locations(stream: BinaryIO, tensor: Field) -> list[str]:
    names = []
    for field in fields(stream, tensor.start, tensor.start + tensor.length):
        if field.number != 13 or field.wire != LEN or field.cut or field.length > 8192:
            continue
        pair = {}
        for part in fields(stream, field.start, field.start + field.length):
            if part.wire == LEN and not part.cut:
                stream.seek(part.start)
                pair[part.number] = stream.read(part.length)
        if pair.get(1) == b"location":
            names.append(pair.get(2, b"").decode("utf-8", "replace"))
    return names
