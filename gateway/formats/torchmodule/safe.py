"""safetensors: u64 length of a header, the header in JSON, then the tensors' bytes.

Rule 1: every size is checked against the bytes that are there before anything is taken from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import CorruptModel

MOST = 100 << 20  # bytes of a header, as the format says
SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1,
}  # fmt: skip
NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One tensor: its type, sizes, and its bytes [start, end) in the file."""

    dtype: str
    sizes: tuple[int, ...]
    start: int
    end: int


def read(path: Path) -> Mapping[str, Entry]:
    """Errors: CorruptModel with file, tensor and offset."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or not 2 <= length <= MOST or 8 + length > size:
            raise _corrupt(path, f"a header of {length} bytes at 8 in a file of {size}")
        data = stream.read(length)
    try:
        told = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, f"its header is no JSON: {str(error)[:160]}") from None
    if not isinstance(told, dict):
        raise _corrupt(path, "its header is no JSON object")
    told.pop("__metadata__", None)
    found = {name: _entry(path, name, entry, 8 + length, size) for name, entry in told.items()}
    last = 8 + length
    for name, entry in sorted(found.items(), key=lambda pair: (pair[1].start, pair[1].end)):
        if entry.start != last:
            raise _corrupt(
                path, f"tensor {name[:100]!r} begins at {entry.start}, where {last} was to be: a gap or an overlap"
            )
        last = entry.end
    if last != size:
        raise _corrupt(path, f"its tensors end at {last}, the file at {size}")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _entry(path: Path, name: str, told: Any, base: int, size: int) -> Entry:
    shown = f"tensor {name[:100]!r}"
    if not isinstance(told, dict) or told.get("dtype") not in SIZES:
        kind = told.get("dtype") if isinstance(told, dict) else told
        raise _corrupt(path, f"{shown} is of type {str(kind)[:40]!r}, expected one of {', '.join(SIZES)}")
    sizes, offsets = _whole(told.get("shape")), _whole(told.get("data_offsets"))
    if sizes is None or len(sizes) > 64:
        raise _corrupt(path, f"{shown} has the shape {str(told.get('shape'))[:80]}")
    if offsets is None or len(offsets) != 2:
        raise _corrupt(path, f"{shown} has the offsets {str(told.get('data_offsets'))[:80]}")
    start, end = base + offsets[0], base + offsets[1]
    needed = math.prod(sizes) * SIZES[told["dtype"]]
    if end - start != needed or end > size:
        raise _corrupt(
            path,
            f"{shown}, {told['dtype']} {sizes}, needs {needed} bytes; it has those from {start} to {end} of {size}",
        )
    return Entry(told["dtype"], tuple(sizes), start, end)


def _whole(value: Any) -> list[int] | None:
    """A list of whole numbers, or None."""
    whole = isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 60 for n in value)
    return list(value) if whole else None


def _corrupt(path: Path, said: str) -> CorruptModel:
    return CorruptModel(f"{path.name}: {said}.", hint="Copy the file again; it may have been cut short or damaged.")
