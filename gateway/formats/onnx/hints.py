"""What a graph says of its integer inputs: an index into a table of n rows is under n.

The input is followed through operators that keep its values; where it ends as the indices of a
Gather over a stored table, the bound is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.core.dtypes import dtype
from gateway.core.hints import Hint
from gateway.core.signature import Signature

KEEPS_VALUES = {"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Slice", "Concat",
                "Expand", "Tile"}  # fmt: skip


def hints(path: Path, signature: Signature) -> Mapping[str, Hint]:
    """Bounds of integer inputs by public name."""
    import onnx

    integers = [spec for spec in signature.inputs if dtype(spec.dtype).kind in "iu"]
    if not integers:
        return {}
    graph = onnx.load(str(path), load_external_data=False).graph
    tables = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = {}
    for spec in integers:
        bounds = _bounds(spec.tensor, readers, tables)
        if bounds:
            found[spec.name] = Hint(min(bounds))
    return found


def _bounds(tensor: str, readers: Mapping[str, list[Any]], tables: Mapping[str, list[int]]) -> list[int]:
    bounds: list[int] = []
    waiting, seen = [tensor], {tensor}
    while waiting:
        name = waiting.pop()
        for node in readers.get(name, []):
            if node.op_type in ("Gather", "GatherElements") and len(node.input) > 1 and node.input[1] == name:
                shape = tables.get(node.input[0])
                axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
                if shape and -len(shape) <= axis < len(shape):
                    bounds.append(int(shape[axis]))
            elif node.op_type in KEEPS_VALUES and node.input[0] == name and node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])
    return bounds
