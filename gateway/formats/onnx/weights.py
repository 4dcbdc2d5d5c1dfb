"""The tensors stored in an ONNX model: their sizes, where they lie, and moving them.

Rule 1: before anything is allocated, the element count a tensor claims is checked against the
        bytes that are there (36 bytes can claim 2^120 elements).
Rule 2: external data stays inside the drop: no absolute path, no `..`, no link, no second hard
        link; offset and length lie within the file. All problems are reported together.
Rule 3: large weights are streamed from file to file, never held twice.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from gateway.core.dtypes import BY_ONNX, Array, numpy_dtype
from gateway.errors import CorruptModel, UnsafeDrop

DATA_FILE = "model.onnx.data"
INLINE_LIMIT = 1 << 30  # bytes of weights; from here on they are a file of their own (protobuf ends at 2 GiB)
SMALL = 1024  # bytes; a smaller tensor is never worth a place in the data file
ALIGN = 4096  # a page: the runtime maps the file
CHUNK = 1 << 24
STRING = 8  # TensorProto.DataType.STRING
EXTERNAL = 1  # TensorProto.DataLocation.EXTERNAL
SUB_BYTE = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}  # TensorProto.DataType UINT4, INT4, FLOAT4E2M1, UINT2, INT2 -> bits
FLOAT8 = (17, 18, 19, 20, 24)
TYPED_FIELDS = {  # where a tensor without raw_data keeps its elements (onnx.proto, TensorProto)
    "float_data": (1, 14), "int32_data": (2, 3, 4, 5, 6, 9, 10, 16, *FLOAT8, *SUB_BYTE),
    "int64_data": (7,), "string_data": (8,), "double_data": (11, 15), "uint64_data": (12, 13),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Bytes of one tensor in a file beside the model."""

    path: Path
    offset: int
    length: int


def graphs(model: Any) -> Iterator[Any]:
    """The graph and every subgraph inside its nodes and functions, outer ones first."""
    waiting = [model.graph]
    bodies = [function.node for function in model.functions]
    while waiting or bodies:
        if waiting:
            graph = waiting.pop(0)
            yield graph
            nodes = graph.node
        else:
            nodes = bodies.pop(0)
        for node in nodes:
            for attribute in node.attribute:
                waiting.extend([attribute.g] if attribute.HasField("g") else [])
                waiting.extend(attribute.graphs)


def nodes(model: Any) -> Iterator[Any]:
    """Every node, of subgraphs and functions too."""
    for graph in graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def stored(model: Any) -> Iterator[Any]:
    """Every TensorProto that holds data: initializers and attributes."""
    yield from model.graph.initializer
    yield from _inner(model)


def _inner(model: Any) -> Iterator[Any]:
    """All of `stored` but the initializers of the outermost graph."""
    for depth, graph in enumerate(graphs(model)):
        if depth:
            yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def label(tensor: Any) -> str:
    return repr(tensor.name) if tensor.name else "a constant"


def elements(tensor: Any) -> int:
    return math.prod(int(size) for size in tensor.dims)


def byte_size(tensor: Any) -> int:
    """Bytes of the raw form; 0 for strings."""
    bits = SUB_BYTE.get(tensor.data_type) or (8 if tensor.data_type in FLOAT8 else 0)
    if not bits:
        row = BY_ONNX.get(tensor.data_type)
        bits = 8 if row is not None and row.name == "bool" else row.bits if row is not None else 0
    return (elements(tensor) * bits + 7) // 8


def check(model: Any, folder: Path) -> None:
    """Rules 1 and 2 over all tensors. `folder` holds the model's file.

    Errors: UnsafeDrop for a path that leaves the folder; CorruptModel with every other problem.
    """
    unsafe: list[str] = []
    problems: list[str] = []
    for tensor in stored(model):
        if any(size < 0 for size in tensor.dims):
            problems.append(f"{label(tensor)} has a negative dimension: {list(tensor.dims)}")
        elif tensor.data_location == EXTERNAL:
            _check_place(tensor, folder, unsafe, problems)
        else:
            problems.extend(_inline_problem(tensor))
    if unsafe:
        raise UnsafeDrop(_all_of(unsafe), hint="External data must be plain files in the model's own folder.")
    if problems:
        raise CorruptModel(_all_of(problems), hint="Copy the model again with all of its files, or export it again.")


def place(tensor: Any, folder: Path) -> Place | None:
    """Where a tensor that `check` has passed keeps its bytes; None when that is inside the model."""
    if tensor.data_location != EXTERNAL:
        return None
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return Place(folder / entries["location"], int(entries.get("offset") or 0), byte_size(tensor))


def _all_of(problems: list[str]) -> str:
    shown = "; ".join(problems[:10])
    return shown + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "") + "."


def _inline_problem(tensor: Any) -> Iterator[str]:
    count, kind = elements(tensor), tensor.data_type
    shape = list(tensor.dims)
    if tensor.HasField("raw_data"):
        expected = byte_size(tensor)
        if expected and kind != STRING and len(tensor.raw_data) != expected:
            yield f"{label(tensor)} of shape {shape} needs {expected} bytes, the file has {len(tensor.raw_data)}"
        return
    field = next((name for name, kinds in TYPED_FIELDS.items() if kind in kinds), "")
    if not field:
        yield f"{label(tensor)} has the unknown data type {kind}"
        return
    found = len(getattr(tensor, field))
    if kind in (14, 15):
        count *= 2
    if kind in SUB_BYTE:
        count = -(-count * SUB_BYTE[kind] // 8)
    if found != count:
        yield f"{label(tensor)} of shape {shape} needs {count} elements, the file has {found}"


def _check_place(tensor: Any, folder: Path, unsafe: list[str], problems: list[str]) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    pure = PurePosixPath(location)
    if not location or pure.is_absolute() or ".." in pure.parts or "\\" in location or ":" in location[:3]:
        unsafe.append(f"{label(tensor)} has its data at {location!r}, outside of the model's folder")
        return
    path = folder / pure
    try:
        state = path.lstat()
    except OSError:
        problems.append(f"{label(tensor)} has its data in {location!r}, which is not there")
        return
    linked = any((folder / parent).is_symlink() for parent in pure.parents)
    if linked or not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        unsafe.append(f"{label(tensor)} has its data in {location!r}, which is a link or no plain file")
        return
    expected = byte_size(tensor)
    try:
        offset = int(entries.get("offset", "0") or 0)
        length = int(entries.get("length", "") or expected)
    except ValueError:
        problems.append(f"{label(tensor)} has an offset or length that is no number: {entries}")
        return
    if offset < 0 or length != expected or offset + length > state.st_size:
        problems.append(
            f"{label(tensor)} of shape {list(tensor.dims)} needs {expected} bytes; it claims {length} at {offset} "
            f"of {location!r}, which has {state.st_size}"
        )


def total_bytes(model: Any) -> int:
    return sum(byte_size(tensor) for tensor in stored(model))


def read(tensor: Any, folder: Path) -> Array:
    """One numeric tensor; an external one is mapped, not read. Sub-byte types come through onnx itself."""
    at, kind = place(tensor, folder), BY_ONNX.get(tensor.data_type)
    if at is None or kind is None:
        from onnx import numpy_helper

        whole: Array = numpy_helper.to_array(tensor, base_dir=str(folder))
        return whole
    shape = tuple(tensor.dims)
    if not at.length:
        return np.zeros(shape, numpy_dtype(kind.name))
    return np.memmap(at.path, numpy_dtype(kind.name), "r", at.offset, shape)


def inline(tensors: Iterable[Any], folder: Path) -> None:
    """Bring external data of these tensors into the model."""
    for tensor in tensors:
        at = place(tensor, folder)
        if at is None:
            continue
        with at.path.open("rb") as stream:
            stream.seek(at.offset)
            tensor.raw_data = stream.read(at.length)
        del tensor.external_data[:]
        tensor.ClearField("data_location")


def spill(model: Any, folder: Path, out: Path) -> int:
    """Write the graph's large initializers into `out/DATA_FILE`, page-aligned. Returns its size in bytes."""
    inline(_inner(model), folder)
    with (out / DATA_FILE).open("wb") as target:
        for tensor in model.graph.initializer:
            if byte_size(tensor) <= SMALL or tensor.data_type == STRING:
                inline([tensor], folder)
                continue
            target.write(b"\0" * (-target.tell() % ALIGN))
            offset = target.tell()
            _copy(tensor, place(tensor, folder), target)
            for field in ("raw_data", "data_location", *TYPED_FIELDS):
                tensor.ClearField(field)
            del tensor.external_data[:]
            tensor.data_location = EXTERNAL
            for key, value in (("location", DATA_FILE), ("offset", offset), ("length", target.tell() - offset)):
                tensor.external_data.add(key=key, value=str(value))
        target.flush()
        os.fsync(target.fileno())
        return target.tell()


def _copy(tensor: Any, at: Place | None, target: BinaryIO) -> None:
    if at is not None:
        with at.path.open("rb") as stream:
            stream.seek(at.offset)
            left = at.length
            while left:
                piece = stream.read(min(CHUNK, left))
                if not piece:
                    raise CorruptModel(f"{at.path.name} ended while it was copied; drop the model again.")
                target.write(piece)
                left -= len(piece)
    elif tensor.HasField("raw_data"):
        target.write(tensor.raw_data)
    else:
        from onnx import numpy_helper

        target.write(numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data)


def count_nan(model: Any, folder: Path) -> dict[str, tuple[int, int]]:
    """Weights that hold NaN: name -> (NaN elements, all elements). Scanned in pieces."""
    found = {}
    for tensor in stored(model):
        row = BY_ONNX.get(tensor.data_type)
        if row is None or row.kind not in "fc" or not elements(tensor):
            continue
        flat = read(tensor, folder).reshape(-1)
        step = CHUNK // 4
        bad = sum(int(np.isnan(flat[at : at + step]).sum()) for at in range(0, flat.size, step))
        if bad:
            found[tensor.name or "a constant"] = (bad, int(flat.size))
    return found
