"""An IR as data: layers in order, their attributes, ports and edges, and constants by their place in the .bin.

Rule 1: no document type, no entity, no external reference: such a file is refused before anything is expanded.
Rule 2: a constant's place, size and type are checked against the .bin before a byte of it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from gateway.core.dtypes import Array, numpy_dtype
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.base import Match, Source

TYPES = {
    "f32": "float32", "f16": "float16", "f64": "float64", "bf16": "bfloat16", "i8": "int8", "i16": "int16",
    "i32": "int32", "i64": "int64", "u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64", "boolean": "bool",
}  # fmt: skip
PORTS = {"FP32": "f32", "FP16": "f16", "FP64": "f64", "BF16": "bf16", "BOOL": "boolean"}
LIMIT = 256 << 20  # bytes of XML
DEEPEST = 32
Port = tuple[str, str]
"""(layer, port) by their ids."""


@dataclass
class Layer:
    """One layer. `names` are the tensor names of its outputs, by place; `sources` what each input reads."""

    id: str
    name: str
    type: str
    opset: str
    attributes: dict[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)  # ids of ports
    outputs: list[str] = field(default_factory=list)
    names: list[tuple[str, ...]] = field(default_factory=list)
    precisions: list[str] = field(default_factory=list)
    sources: list[Port] = field(default_factory=list)


@dataclass
class Graph:
    file: str
    version: str
    layers: list[Layer]
    weights: Path | None

    def of_type(self, kind: str) -> list[Layer]:
        return [layer for layer in self.layers if layer.type == kind]


def files_of(match: Match) -> tuple[str, str]:
    """(xml, bin or "") of a match."""
    return match.main, next((name for name in match.used if name != match.main), "")


def read(source: Source, match: Match) -> Graph:
    """Errors: CorruptModel, ConversionError."""
    xml, weights = files_of(match)
    path = source.path(xml)
    if path.stat().st_size > LIMIT:
        raise ConversionError(f"{xml} has {path.stat().st_size} bytes of XML; supported is up to {LIMIT}.")
    reader = _Reader(xml)
    reader.parse(path.read_bytes())
    graph = Graph(xml, reader.version, reader.layers, source.path(weights) if weights else None)
    _connect(graph, reader.edges)
    graph.layers = _ordered(graph)
    stored = [layer for layer in graph.layers if layer.type == "Const" and layer.attributes.get("size", "0") != "0"]
    if stored and graph.weights is None:
        raise ConversionError(
            f"{xml} has {len(stored)} constants, and no .bin lies beside it.",
            hint=f"Add {Path(xml).stem}.bin: openvino.save_model writes both.",
        )
    return graph


class _Reader:
    """expat, without anything that expands."""

    def __init__(self, file: str) -> None:
        self.file, self.version = file, ""
        self.layers: list[Layer] = []
        self.edges: list[dict[str, str]] = []
        self._stack: list[str] = []
        self._side = ""

    def parse(self, data: bytes) -> None:
        """Errors: CorruptModel."""
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise CorruptModel(f"{self.file} is no whole XML: {error}.", hint="Copy it again.") from error
        except (KeyError, IndexError) as error:
            raise CorruptModel(f"{self.file} is no IR: an element lacks {error}.") from error
        if not self.layers:
            raise CorruptModel(f"{self.file} has no layers.")

    def _refuse(self, *_: Any) -> None:
        raise CorruptModel(
            f"{self.file} declares a document type or entities; an IR has none, and they are never expanded.",
            hint="Save the model again with openvino.save_model.",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._stack.append(tag)
        if len(self._stack) > DEEPEST:
            raise CorruptModel(f"{self.file} is nested deeper than {DEEPEST} elements.")
        if self._stack == ["net"]:
            self.version = attributes.get("version", "")
        below = self._stack[1:]
        if below == ["layers", "layer"]:
            kind = attributes["type"]
            self.layers.append(Layer(attributes["id"], attributes["name"], kind, attributes.get("version", "")))
        elif below == ["layers", "layer", "data"]:
            self.layers[-1].attributes = attributes
        elif below in (["layers", "layer", "input", "port"], ["layers", "layer", "output", "port"]):
            self._port(self.layers[-1], below[2], attributes)
        elif below == ["edges", "edge"]:
            self.edges.append(attributes)

    def _port(self, layer: Layer, side: str, attributes: dict[str, str]) -> None:
        if side == "input":
            layer.inputs.append(attributes["id"])
            return
        layer.outputs.append(attributes["id"])
        layer.precisions.append(attributes.get("precision", ""))
        layer.names.append(tuple(name for name in attributes.get("names", "").split(",") if name))

    def _end(self, tag: str) -> None:
        self._stack.pop()


def _connect(graph: Graph, edges: list[dict[str, str]]) -> None:
    """Errors: CorruptModel for edges that lead nowhere and inputs that nothing feeds."""
    by_id = {layer.id: layer for layer in graph.layers}
    if len(by_id) != len(graph.layers):
        raise CorruptModel(f"{graph.file}: two layers have one id.")
    fed: dict[Port, Port] = {}
    for edge in edges:
        try:
            start, end = (edge["from-layer"], edge["from-port"]), (edge["to-layer"], edge["to-port"])
        except KeyError as error:
            raise CorruptModel(f"{graph.file}: an edge lacks {error}.") from error
        if start[0] not in by_id or start[1] not in by_id[start[0]].outputs or end[0] not in by_id:
            raise CorruptModel(f"{graph.file}: the edge from {start} to {end} leads nowhere.")
        fed[end] = start
    for layer in graph.layers:
        missing = [port for port in layer.inputs if (layer.id, port) not in fed]
        if missing:
            raise CorruptModel(
                f"{graph.file}: input {missing[0]} of layer {layer.name!r} ({layer.type}) is fed by nothing."
            )
        layer.sources = [fed[layer.id, port] for port in layer.inputs]


def _ordered(graph: Graph) -> list[Layer]:
    """Layers so that each comes after what it reads. Errors: CorruptModel for a circle."""
    by_id = {layer.id: layer for layer in graph.layers}
    done: dict[str, Layer] = {}
    for root in graph.layers:
        waiting = [(root, iter(root.sources))]
        path = {root.id}
        while waiting:
            layer, sources = waiting[-1]
            step = next((by_id[source[0]] for source in sources if source[0] not in done), None)
            if step is None:
                done.setdefault(layer.id, layer)
                path.discard(layer.id)
                waiting.pop()
            elif step.id in path:
                raise CorruptModel(f"{graph.file}: layer {step.name!r} reads itself.")
            else:
                path.add(step.id)
                waiting.append((step, iter(step.sources)))
    return list(done.values())


def constant(graph: Graph, layer: Layer) -> Array:
    """The array of a Const. Errors: CorruptModel, ConversionError."""
    data = layer.attributes
    kind = data.get("element_type", "")
    if kind not in TYPES:
        raise ConversionError(f"{graph.file}: constant {layer.name!r} is {kind}, which is not converted.")
    shape = sizes(data.get("shape", ""))
    dtype = numpy_dtype(TYPES[kind])
    count = math.prod(shape)
    if count == 0:
        return np.zeros(shape, dtype)
    try:
        offset, size = int(data["offset"]), int(data["size"])
    except (KeyError, ValueError) as error:
        raise CorruptModel(f"{graph.file}: constant {layer.name!r} has no place: {error}.") from error
    assert graph.weights is not None
    there = graph.weights.stat().st_size
    if size != count * dtype.itemsize or offset < 0 or offset + size > there:
        raise CorruptModel(
            f"{graph.weights.name} has {there} bytes; constant {layer.name!r} of {kind}{list(shape)} is said to lie at "
            f"{offset}, {size} bytes long.",
            hint="The two files may be of two models, or one cut short.",
        )
    return np.fromfile(graph.weights, dtype, count, offset=offset).reshape(shape)


def sizes(text: str) -> tuple[int, ...]:
    """ "4, 3, 3" as numbers. Errors: CorruptModel."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise CorruptModel(f"{text!r} is no list of whole numbers.") from error


def free_sizes(text: str) -> tuple[int | None, ...] | None:
    """A Parameter's shape: "?,3,1..64" has None for what is free; None for "..."."""
    if text.strip() == "...":
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(int(part) if part.isdigit() else None for part in parts)


def precision(layer: Layer, place: int = 0) -> str:
    """The type of an output as our name, "" when it has none of ours."""
    said = layer.precisions[place] if place < len(layer.precisions) else ""
    return TYPES.get(PORTS.get(said, said.lower()), "")


def attributes(layer: Layer) -> Mapping[str, str]:
    return layer.attributes
