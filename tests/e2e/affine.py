"""y = 0.5 x + k as an ONNX file, written byte by byte: the test process has no onnx, and needs many of them.

Field numbers: onnx.proto (ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto).
"""

from __future__ import annotations

import struct
from pathlib import Path


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _node(op: str, inputs: tuple[str, ...], output: str) -> bytes:
    return b"".join(_bytes(1, name) for name in inputs) + _bytes(2, output) + _bytes(3, output) + _bytes(4, op)


def _scalar(name: str, value: float) -> bytes:
    return _number(2, 1) + _bytes(8, name) + _bytes(9, struct.pack("<f", value))


def _value_info(name: str) -> bytes:
    shape = _bytes(1, _bytes(2, "batch")) + _bytes(1, _number(1, 2))  # [batch, 2]
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, shape)))


def affine(k: float) -> bytes:
    """Input x float32 [batch, 2], output y float32 [batch, 2]."""
    graph = (
        _bytes(1, _node("Mul", ("x", "half"), "xh"))
        + _bytes(1, _node("Add", ("xh", "k"), "y"))
        + _bytes(2, "affine")
        + _bytes(5, _scalar("half", 0.5))
        + _bytes(5, _scalar("k", k))
        + _bytes(11, _value_info("x"))
        + _bytes(12, _value_info("y"))
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 17))


def write(path: Path, k: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(affine(k))
    return path
