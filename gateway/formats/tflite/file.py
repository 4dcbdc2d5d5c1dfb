"""A .tflite file as data: tensors, operators and signatures, read from the flatbuffer without TensorFlow.

Rule 1: every offset is checked against the file before it is followed; what leads outside is CorruptModel.
Rule 2: weights are not read: buffers are only measured.
Rule 3: graphs that call each other in a circle, and tensors that no machine holds, are refused here: the interpreter
        would end its process over them.
"""

from __future__ import annotations

import math
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
MOST_BYTES = 16 << 30  # of one tensor
CALLS = {"CALL": (4, (0,)), "IF": (4, (0, 1)), "WHILE": (4, (0, 1)), "CALL_ONCE": (4, (0,)),
         "STABLEHLO_COMPOSITE": (12, (1,)), "STABLEHLO_WHILE": (12, (0, 1))}  # fmt: skip
"""Operators that run other graphs of the file -> the field of their options, and which fields of these say which."""
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
    calls: frozenset[int] = frozenset()  # other graphs that it runs


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
    _refuse_circles(graphs)
    signatures = tuple(_signature(table, graphs) for table in root.tables(7))
    return Model(root.number(0, "<I"), root.text(3), graphs, tuple(s for s in signatures if s.outputs))


def _graph(table: _Table, codes: list[str]) -> Graph:
    tensors = tuple(map(_tensor, table.tables(0)))
    places = [table.numbers(1), table.numbers(2)]
    for place in (*places[0], *places[1]):
        if not 0 <= place < len(tensors):
            raise IndexError(f"tensor {place} of {len(tensors)}")
    names, calls = [], set[int]()
    for operator in table.tables(3):
        names.append(codes[operator.number(0, "<I")])
        place, fields = CALLS.get(names[-1], (0, ()))
        options = operator.table(place) if fields else None
        if options is not None:
            calls |= {options.number(field) for field in fields}
    return Graph(table.text(4), tensors, places[0], places[1], tuple(names), frozenset(calls))


def _refuse_circles(graphs: tuple[Graph, ...]) -> None:
    """Errors: ConversionError for a graph that runs itself, IndexError for one that is not there."""
    left = {place: set(graph.calls) for place, graph in enumerate(graphs)}
    for calls in left.values():
        if calls and not 0 <= min(calls) <= max(calls) < len(graphs):
            raise IndexError(f"graph {max(calls)} of {len(graphs)} is run")
    while left:
        ready = [place for place, calls in left.items() if not calls & left.keys()]
        if not ready:
            raise ConversionError(f"graphs {sorted(left)} of the TFLite file run each other in a circle.")
        for place in ready:
            del left[place]


def _tensor(table: _Table) -> Tensor:
    kind = table.number(1, "<b")
    shape, signature = table.numbers(0), table.numbers(7)
    sizes = signature if len(signature) == len(shape) else shape
    quantised = table.table(4)
    if math.prod(abs(size) for size in shape) > MOST_BYTES:
        raise ConversionError(f"tensor {table.text(3)!r} of shape {list(shape)} is larger than what is loaded here.")
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
