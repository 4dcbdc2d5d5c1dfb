"""An ONNX file written piece by piece: weights go from their arrays into the file, and are never held twice.

Protobuf's wire format is what allows it: a message is the bytes of its fields one after the other,
so initializers (field 5 of GraphProto) may follow the rest of the graph (field 7 of ModelProto).

Rule 1: the file is what `onnx.save` would have written, up to the order of fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, dtype, name_of

LEN = 2  # the wire type of strings, bytes and messages
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9  # ModelProto.graph, GraphProto.initializer, TensorProto.raw_data


def write(model: Any, constants: Mapping[str, Array], path: Path) -> None:
    """`model` with `constants` as further initializers. Numeric arrays only. Errors: OSError."""
    import onnx

    graph = model.graph.SerializeToString()
    rest = onnx.ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    heads = {name: _head(name, array) for name, array in constants.items()}
    total = len(graph)
    for name, head in heads.items():
        size = len(head) + constants[name].nbytes
        total += len(_opening(INITIALIZER, size)) + size
    with path.open("wb") as stream:
        stream.write(rest.SerializeToString() + _opening(GRAPH, total) + graph)
        for name, array in constants.items():
            stream.write(_opening(INITIALIZER, len(heads[name]) + array.nbytes) + heads[name])
            stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _head(name: str, array: Array) -> bytes:
    """A TensorProto up to its bytes, whose length is said last."""
    import onnx

    proto = onnx.TensorProto(name=name, data_type=dtype(name_of(array)).onnx, dims=array.shape)
    head: bytes = proto.SerializeToString()
    return head + _opening(RAW_DATA, array.nbytes)


def _opening(field: int, length: int) -> bytes:
    return _varint(field << 3 | LEN) + _varint(length)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
