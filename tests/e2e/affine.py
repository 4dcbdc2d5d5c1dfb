"""y = 0.5 x + k as an ONNX file, written byte by byte: the test process has no onnx, and needs many of them.

Field numbers: onnx.proto (ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto).
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.formats.wire_format import message, number


def _node(op: str, inputs: tuple[str, ...], output: str) -> bytes:
    return b"".join(message(1, name) for name in inputs) + message(2, output) + message(3, output) + message(4, op)


def _scalar(name: str, value: float) -> bytes:
    return number(2, 1) + message(8, name) + message(9, struct.pack("<f", value))


def _value_info(name: str) -> bytes:
    shape = message(1, message(2, "batch")) + message(1, number(1, 2))  # [batch, 2]
    return message(1, name) + message(2, message(1, number(1, 1) + message(2, shape)))


def affine(k: float) -> bytes:
    """Input x float32 [batch, 2], output y float32 [batch, 2]."""
    graph = (
        message(1, _node("Mul", ("x", "half"), "xh"))
        + message(1, _node("Add", ("xh", "k"), "y"))
        + message(2, "affine")
        + message(5, _scalar("half", 0.5))
        + message(5, _scalar("k", k))
        + message(11, _value_info("x"))
        + message(12, _value_info("y"))
    )
    return number(1, 8) + message(7, graph) + message(8, message(1, "") + number(2, 17))


def write(path: Path, k: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(affine(k))
    return path
