"""A .tflite file as data: tensors, operators and signatures, read from the flatbuffer without TensorFlow.

Rule 1: every offset is checked against the file before it is followed; what leads outside is CorruptModel.
Rule 2: weights are not read: buffers are only measured.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gateway.core.signature import Shape
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.tflite.operators import name_of

TYPES = ("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
         "complex128", "uint64", "", "", "uint32", "uint16", "", "bfloat16")  # fmt: skip
"""By number of TensorType; "" for what no client can send (resource, variant, int4)."""
MOST = 1_000_000  # of anything that a file has a list of
RESERVED = 2  # entries of a vtable before its fields


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str  # "" for what no client can send
    shape: Shape  # None where the file says that it is free
    is_variable: bool
    quantised: bool


@dataclass(frozen=True)
class Graph:
    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]  # places in tensors
    outputs: tuple[int, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class SignatureDef:
    """`inputs` and `outputs`: the signature's own name of a tensor -> its place in the graph's tensors."""

    key: str
    graph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True)
class Model:
    version: int
    description: str
    graphs: tuple[Graph, ...]
    signatures: tuple[SignatureDef, ...]

    @cached_property
    def operators(self) -> Counter[str]:
        return Counter(name for graph in self.graphs for name in graph.operators)

    @property
    def custom(self) -> list[str]:
        """Custom operators, by name."""
        return sorted(name.removeprefix("custom ") for name in self.operators if name.startswith("custom "))


def read(path: Path) -> Model:
    """Errors: CorruptModel, ConversionError for a file without a graph."""
    data = path.read_bytes()
    try:
        return _model(_root(memoryview(data)))
    except (struct.error, IndexError, RecursionError) as error:
        raise CorruptModel(
            f"{path.name} is no whole TFLite file: {error} ({len(data)} bytes).",
            hint="Copy the file again; it may have been cut short.",
        ) from error


class _Table:
    __slots__ = ("at", "data", "slots")

    def __init__(self, data: memoryview, at: int) -> None:
        self.data, self.at = data, at
        back = at - struct.unpack_from("<i", data, _inside(data, at))[0]
        size = struct.unpack_from("<H", data, _inside(data, back))[0]
        self.slots = struct.unpack_from(f"<{max(0, size // 2 - RESERVED)}H", data, _inside(data, back) + 4)

    def _place(self, field: int) -> int:
        slot = self.slots[field] if field < len(self.slots) else 0
        return self.at + slot if slot else 0

    def number(self, field: int, kind: str = "<i") -> int:
        place = self._place(field)
        return int(struct.unpack_from(kind, self.data, _inside(self.data, place))[0]) if place else 0

    def _follow(self, field: int) -> int:
        place = self._place(field)
        return place + int(struct.unpack_from("<I", self.data, _inside(self.data, place))[0]) if place else 0

    def _vector(self, field: int) -> tuple[int, int]:
        """(first element, count); (0, 0) where there is none."""
        at = self._follow(field)
        if not at:
            return 0, 0
        count = int(struct.unpack_from("<I", self.data, _inside(self.data, at))[0])
        if count > MOST:
            raise IndexError(f"a list of {count} entries")
        return at + 4, count

    def text(self, field: int) -> str:
        at, count = self._vector(field)
        return bytes(self.data[at : at + count]).decode("utf-8", "replace") if at else ""

    def numbers(self, field: int) -> tuple[int, ...]:
        at, count = self._vector(field)
        return struct.unpack_from(f"<{count}i", self.data, at) if at else ()

    def has(self, field: int) -> bool:
        return self._vector(field)[1] > 0

    def table(self, field: int) -> _Table | None:
        at = self._follow(field)
        return _Table(self.data, at) if at else None

    def tables(self, field: int) -> Iterator[_Table]:
        at, count = self._vector(field)
        for place in range(at, at + 4 * count, 4):
            yield _Table(self.data, place + int(struct.unpack_from("<I", self.data, _inside(self.data, place))[0]))


def _inside(data: memoryview, at: int) -> int:
    if not 0 <= at < len(data):
        raise IndexError(f"an offset of {at} leads outside")
    return at


def _root(data: memoryview) -> _Table:
    if bytes(data[4:8]) != b"TFL3":
        raise IndexError("'TFL3' does not stand at 4")
    return _Table(data, struct.unpack_from("<I", data, 0)[0])


def _model(root: _Table) -> Model:
    codes = [name_of(max(t.number(0, "<b"), t.number(3)), t.text(1)) for t in root.tables(1)]
    graphs = tuple(_graph(table, codes) for table in root.tables(2))
    if not graphs or not graphs[0].outputs:
        raise ConversionError("the TFLite file has no graph with outputs.")
    signatures = tuple(_signature(table, graphs) for table in root.tables(7))
    return Model(root.number(0, "<I"), root.text(3), graphs, tuple(s for s in signatures if s.outputs))


def _graph(table: _Table, codes: list[str]) -> Graph:
    tensors = tuple(map(_tensor, table.tables(0)))
    places = [table.numbers(1), table.numbers(2)]
    for place in (*places[0], *places[1]):
        if not 0 <= place < len(tensors):
            raise IndexError(f"tensor {place} of {len(tensors)}")
    return Graph(table.text(4), tensors, places[0], places[1], tuple(codes[t.number(0, "<I")] for t in table.tables(3)))


def _tensor(table: _Table) -> Tensor:
    kind = table.number(1, "<b")
    shape, signature = table.numbers(0), table.numbers(7)
    sizes = signature if len(signature) == len(shape) else shape
    quantised = table.table(4)
    return Tensor(
        table.text(3),
        TYPES[kind] if 0 <= kind < len(TYPES) else "",
        tuple(None if size < 0 else size for size in sizes),
        bool(table.number(5, "<b")),
        quantised is not None and quantised.has(2),
    )


def _signature(table: _Table, graphs: tuple[Graph, ...]) -> SignatureDef:
    graph = table.number(4, "<I")
    sides = [{t.text(0): t.number(1, "<I") for t in table.tables(side)} for side in (0, 1)]
    for place in (*sides[0].values(), *sides[1].values()):
        if place >= len(graphs[graph].tensors):
            raise IndexError(f"a signature names tensor {place} of {len(graphs[graph].tensors)}")
    return SignatureDef(table.text(2), graph, sides[0], sides[1])
