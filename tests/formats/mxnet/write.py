"""Writers of MXNet's files for the tests: .params of every version, symbols as JSON. Shares nothing with the reader.

graph = Graph()
x = graph.variable("data")
y = graph.node("FullyConnected", "fc1", [x, graph.variable("fc1_weight"), graph.variable("fc1_bias")], num_hidden=3)
graph.save(folder / "net-symbol.json", y)
params(folder / "net-0000.params", {"arg:fc1_weight": w, "arg:fc1_bias": b})
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CODES = {
    "float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7, "int16": 8,
    "uint16": 9, "uint32": 10, "uint64": 11, "bfloat16": 12,
}  # fmt: skip
MAGICS = {"V1": 0xF993FAC8, "V2": 0xF993FAC9, "V3": 0xF993FACA}


def array_bytes(array: npt.NDArray[Any], version: str = "V2") -> bytes:
    """One array as MXNet writes it. V0 has 32-bit sizes and no magic."""
    if version == "V0":
        out = struct.pack("<I", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
    else:
        out = struct.pack("<I", MAGICS[version])
        out += struct.pack("<i", 0) if version in ("V2", "V3") else b""
        out += struct.pack("<i", array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape)
    out += struct.pack("<iii", 1, 0, CODES[array.dtype.name])
    return out + np.ascontiguousarray(array).tobytes()


def params_bytes(arrays: Mapping[str, npt.NDArray[Any]] | Sequence[tuple[str, Any]], version: str = "V2") -> bytes:
    """A whole file; pairs instead of a mapping may repeat a name."""
    pairs = list(arrays.items()) if isinstance(arrays, Mapping) else list(arrays)
    out = struct.pack("<QQQ", 0x112, 0, len(pairs))
    out += b"".join(array_bytes(np.asarray(array), version) for _, array in pairs)
    out += struct.pack("<Q", len(pairs))
    for name, _ in pairs:
        out += struct.pack("<Q", len(name.encode())) + name.encode()
    return out


def params(path: Path, arrays: Mapping[str, npt.NDArray[Any]], version: str = "V2") -> Path:
    path.write_bytes(params_bytes(arrays, version))
    return path


class Graph:
    """Nodes of a symbol. `attrs_key` is "attrs", or "attr" or "param" as older files have it; version 0: not said."""

    def __init__(self, *, version: int = 10901, attrs_key: str = "attrs") -> None:
        self.version, self.attrs_key = version, attrs_key
        self.nodes: list[dict[str, Any]] = []

    def variable(self, name: str, **hidden: Any) -> tuple[int, int]:
        return self._add("null", name, [], {f"__{key}__": str(value) for key, value in hidden.items()})

    def node(self, op: str, name: str, inputs: Sequence[tuple[int, int]], **attrs: Any) -> tuple[int, int]:
        return self._add(op, name, inputs, {key: str(value) for key, value in attrs.items()})

    def _add(self, op: str, name: str, inputs: Sequence[tuple[int, int]], attrs: dict[str, str]) -> tuple[int, int]:
        item: dict[str, Any] = {"op": op, "name": name, "inputs": [[index, output, 0] for index, output in inputs]}
        if attrs:
            item[self.attrs_key] = attrs
        self.nodes.append(item)
        return len(self.nodes) - 1, 0

    def json(self, *heads: tuple[int, int]) -> dict[str, Any]:
        variables = [index for index, node in enumerate(self.nodes) if node["op"] == "null"]
        graph: dict[str, Any] = {"nodes": self.nodes, "arg_nodes": variables}
        graph["heads"] = [[index, output, 0] for index, output in heads]
        if self.version:
            graph["attrs"] = {"mxnet_version": ["int", self.version]}
        return graph

    def save(self, path: Path, *heads: tuple[int, int]) -> Path:
        path.write_text(json.dumps(self.json(*heads), indent=2))
        return path
