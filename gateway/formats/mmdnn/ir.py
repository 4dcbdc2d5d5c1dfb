"""The IR as it stands in its files: nodes with attributes and weights, in an order in which they can be computed.

What converter and interpreter both stand on; nothing here knows what an operator means.

Rule 1: an attribute that was named and never set (MMdnn's code makes such ones by asking) is not there.
Rule 2: an edge is "NAME" or "NAME:PLACE"; a name that no node has, a ring, two nodes of one name are CorruptModel.
Rule 3: weights of layers that no node has are named, not dropped in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.names import did_you_mean
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.mmdnn import pickled
from gateway.formats.mmdnn.jsonform import JsonForm
from gateway.formats.mmdnn.schema import Message
from gateway.formats.mmdnn.wire import Wire

MAX_GRAPH = 256 << 20
MAX_LITERAL = 1 << 24  # elements of a tensor written into the graph
MAX_FILL = 1 << 16  # elements of one that one number fills
INPUT = "DataInput"
CONSTANTS = ("Constant", "Const")

Sizes = tuple[int | None, ...]


@dataclass(frozen=True)
class Literal:
    """A TensorShape: `sizes` is None where the rank is not known; -1 in the file is None here."""

    sizes: Sizes | None


@dataclass(frozen=True)
class Node:
    """`attrs` hold int, float, bool, bytes, str (a data type), Literal, Array, and lists of these."""

    name: str
    op: str
    inputs: tuple[tuple[str, int], ...]
    attrs: Mapping[str, Any]
    weights: Mapping[str, Array] = field(default_factory=dict)

    def shapes(self) -> list[Sizes | None]:
        """What the file says that the node makes: `_output_shapes`; [] where it says nothing."""
        found = self.attrs.get("_output_shapes", self.attrs.get("_output_shape", []))
        return [each.sizes for each in found if isinstance(each, Literal)] if isinstance(found, list) else []


@dataclass(frozen=True)
class Graph:
    """`nodes` in an order in which they can be computed. `outputs` are nodes that nobody reads."""

    file: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    unused: tuple[str, ...] = ()
    weights_file: str = ""

    def named(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.op == INPUT)

    def needed(self, wanted: Iterable[str]) -> Graph:
        """The nodes that these need. Errors: ConversionError for a name that no node has."""
        named, keep = self.named(), set[str]()
        asked = tuple(dict.fromkeys(wanted))
        for name in asked:
            if name not in named:
                raise ConversionError(
                    f"{self.file} has no node {name!r}.{did_you_mean(name, named)}",
                    hint=f"Its last ones are {', '.join(list(named)[-8:])}.",
                )
        waiting = list(asked)
        while waiting:
            name = waiting.pop()
            if name not in keep:
                keep.add(name)
                waiting += [source for source, _ in named[name].inputs]
        rest = tuple(node for node in self.nodes if node.name in keep)
        return Graph(self.file, rest, asked, self.unused, self.weights_file)


def read(graph: Path, weights: Path | None) -> Graph:
    """Errors: CorruptModel, UnsafeArtifact."""
    size = graph.stat().st_size
    if not 0 < size <= MAX_GRAPH:
        raise CorruptModel(f"{graph.name} has {size} bytes, expected 1 to {MAX_GRAPH}.")
    data = graph.read_bytes()
    form = JsonForm(data, graph.name) if data.lstrip()[:1] == b"{" else Wire(data, graph.name)
    stored = pickled.read(weights) if weights is not None else {}
    return _graph(form.read(), graph.name, stored, weights.name if weights else "")


def _graph(message: Message, file: str, stored: dict[str, dict[str, Array]], weights_file: str) -> Graph:
    nodes: dict[str, Node] = {}
    for place, each in enumerate(message.get("node", [])):
        name, op = _last(each, "name", ""), _last(each, "op", "")
        if not name or not op:
            raise CorruptModel(f"{file}: node {place} has no {'op' if name else 'name'}.")
        if name in nodes:
            raise CorruptModel(f"{file}: two nodes are called {name!r}.")
        attrs = {_last(entry, "key", ""): _value(entry, f"{file}: node {name!r}") for entry in each.get("attr", [])}
        known = {key: value for key, value in attrs.items() if value is not None}
        inputs = tuple(_edge(text) for text in each.get("input", []))
        nodes[name] = Node(name, op, inputs, known, stored.get(name, {}))
    if not nodes:
        raise CorruptModel(f"{file} has no nodes.")
    for node in nodes.values():
        _sources(node, nodes, file)
    read_by = {source for node in nodes.values() for source, _ in node.inputs}
    joined = {name for name, node in nodes.items() if node.inputs or name in read_by}
    outputs = tuple(name for name in nodes if name in joined and name not in read_by)
    if not outputs:
        raise CorruptModel(f"{file}: no node is an output: {'a ring' if joined else 'none of them is joined'}.")
    unused = tuple(f"{layer}.{name}" for layer, arrays in stored.items() if layer not in nodes for name in arrays)
    return Graph(file, _ordered(nodes, file), outputs, unused, weights_file)


def _edge(text: str) -> tuple[str, int]:
    name, colon, place = text.rpartition(":")
    return (name, int(place)) if colon and place.isdigit() and len(place) < 6 else (text, 0)


def _sources(node: Node, nodes: Mapping[str, Node], file: str) -> None:
    for source, _ in node.inputs:
        if source not in nodes:
            what = "a control edge" if source.startswith("^") else "no node of the graph"
            raise CorruptModel(f"{file}: node {node.name!r} reads {source!r}, {what}.{did_you_mean(source, nodes)}")


def _ordered(nodes: Mapping[str, Node], file: str) -> tuple[Node, ...]:
    """In the file's order as far as edges allow. Errors: CorruptModel for a ring."""
    done: dict[str, Node] = {}
    for first in nodes.values():
        path: list[tuple[Node, int]] = [(first, 0)]
        open_: set[str] = {first.name}
        while path:
            node, at = path.pop()
            if node.name in done:
                open_.discard(node.name)
                continue
            if at == len(node.inputs):
                done[node.name] = node
                open_.discard(node.name)
                continue
            path.append((node, at + 1))
            source = nodes[node.inputs[at][0]]
            if source.name in done:
                continue
            if source.name in open_:
                raise CorruptModel(f"{file}: node {source.name!r} needs itself, by way of {node.name!r}.")
            open_.add(source.name)
            path.append((source, 0))
    return tuple(done.values())


def _last(message: Message, name: str, default: Any) -> Any:
    found = message.get(name)
    return found[-1] if found else default


def _value(entry: Message, where: str) -> Any:
    """An AttrValue as a plain value; None for one that was never set."""
    value = _last(entry, "value", {})
    for name in reversed(list(value)):
        if name == "list":
            return _list(value["list"][-1], where)
        return _plain(name, value[name][-1], where)
    return None


def _list(message: Message, where: str) -> list[Any]:
    made = [_plain(name, each, where) for name, values in message.items() for each in values]
    if len([name for name, values in message.items() if values]) > 1:
        raise CorruptModel(f"{where}: a list holds {', '.join(message)} together.")
    return made


def _plain(name: str, value: Any, where: str) -> Any:
    if name == "shape":
        return _shape(value)
    return _tensor(value, where) if name == "tensor" else value


def _shape(message: Message) -> Literal:
    if _last(message, "unknown_rank", False):
        return Literal(None)
    sizes = [_last(dim, "size", 0) for dim in message.get("dim", [])]
    return Literal(tuple(size if size >= 0 else None for size in sizes))


_NUMBERS = ("int_val", "uint_val", "int64_val", "uint64_val", "float_val", "double_val", "bool_val")


def _tensor(message: Message, where: str) -> Array:
    """A LiteralTensor. Errors: CorruptModel for numbers that do not fill its shape."""
    kind, sizes = _last(message, "dtype", ""), _shape(_last(message, "tensor_shape", {})).sizes or ()
    if kind in ("", "string", "complex64", "complex128") or None in sizes:
        raise CorruptModel(f"{where}: a tensor of {kind or 'no type'}, shape {list(sizes)}.")
    count = math.prod(size or 0 for size in sizes)
    raw = _last(message, "tensor_content", b"")
    if count > MAX_LITERAL or len(sizes) > 16:
        raise CorruptModel(f"{where}: a tensor of {count} elements; supported is up to {MAX_LITERAL}.")
    if raw:
        if len(raw) != count * np.dtype(kind).itemsize:
            raise CorruptModel(f"{where}: a tensor {list(sizes)} of {kind} has {len(raw)} bytes.")
        return np.frombuffer(raw, kind).reshape([size or 0 for size in sizes])
    values = next((message[name] for name in _NUMBERS if message.get(name)), [])
    if len(values) != count and (len(values) != 1 or count > MAX_FILL):
        raise CorruptModel(f"{where}: a tensor {list(sizes)} has {len(values)} numbers.")
    try:
        made = np.asarray(values, kind)
    except (OverflowError, ValueError) as error:
        raise CorruptModel(f"{where}: a tensor's numbers are no {kind}: {error}.") from error
    return np.broadcast_to(made, count).reshape([size or 0 for size in sizes])


def same(one: Graph, other: Graph) -> str:
    """What two files of one model differ in, "" for nothing: their floats may differ in the last digit."""
    names = [node.name for node in one.nodes], [node.name for node in other.nodes]
    if set(names[0]) != set(names[1]):
        return f"node {sorted(set(names[0]) ^ set(names[1]))[0]!r} is in one of them only"
    theirs = other.named()
    for node in one.nodes:
        twin = theirs[node.name]
        if (node.op, node.inputs) != (twin.op, twin.inputs) or set(node.attrs) != set(twin.attrs):
            return f"node {node.name!r}"
        for key, value in node.attrs.items():
            if not _alike(value, twin.attrs[key]):
                return f"attribute {key} of node {node.name!r}"
    return ""


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) or isinstance(other, float):
        try:
            return bool(np.isclose(float(one), float(other), rtol=1e-6, equal_nan=True))
        except (TypeError, ValueError):
            return False
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def text_of(value: Any) -> Sequence[Any] | str:
    """An attribute for a message."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
