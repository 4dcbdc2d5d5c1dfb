"""A GraphDef or MetaGraphDef as data, read without TensorFlow: where it ends is found, and what it would do refused,
before TensorFlow is imported.

Rule 1: a text file is read by its text form and written as bytes, so that there is one way to read a graph.
Rule 2: of a graph's nodes those are screened that an output needs, and all bodies of functions: a saver, which writes
        files, lies in every .meta and never runs here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core import textproto
from gateway.errors import ConversionError, CorruptModel, InvalidRequest
from gateway.formats.savedmodel import limits
from gateway.formats.savedmodel.metagraph import Node, node_of
from gateway.formats.savedmodel.screen import problem_of
from gateway.formats.savedmodel.wire import Message, field, varint_field

SHOWN = 20
MOST_TEXT = 256 << 20  # bytes of a graph as text
_TYPES = """
INVALID FLOAT DOUBLE INT32 UINT8 INT16 INT8 STRING COMPLEX64 INT64 BOOL QINT8 QUINT8 QINT32 BFLOAT16 QINT16 QUINT16
UINT16 COMPLEX128 HALF RESOURCE VARIANT UINT32 UINT64
"""
TYPES = tuple(f"DT_{name}" for name in _TYPES.split())  # by number


class _Shape:
    """What TensorFlow's TensorShapeProto has, as far as ends.py asks."""

    def __init__(self, message: Message) -> None:
        self.dim = [each.number(1) for each in message.messages(2)]
        self.unknown_rank = bool(message.number(3))


class _Attribute:
    def __init__(self, message: Message) -> None:
        self.type = message.number(6)
        self.shape = _Shape(message.message(7))


class _Attributes:
    def __init__(self, found: Mapping[str, Message]) -> None:
        self._found = found

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __getitem__(self, name: str) -> _Attribute:
        return _Attribute(self._found.get(name) or Message(memoryview(b"")))


@dataclass(frozen=True)
class PlainNode:
    """A node with the names that TensorFlow's own NodeDef has."""

    name: str
    op: str
    input: tuple[str, ...]
    attr: _Attributes
    node: Node


@dataclass(frozen=True)
class PlainGraph:
    """`hinted`: output tensors that signatures of a MetaGraph name."""

    node: tuple[PlainNode, ...]
    functions: Mapping[str, tuple[Node, ...]]
    hinted: tuple[str, ...] = ()

    def operators(self) -> list[str]:
        """Those of functions too."""
        return [*(node.op for node in self.node), *(node.op for body in self.functions.values() for node in body)]


@dataclass(frozen=True)
class Written:
    """A graph as its file has it, or as it was written from another form of it. `name` is the file's."""

    data: bytes
    name: str
    text: bool = False
    meta: bool = False
    hinted: tuple[str, ...] = ()


def parse(file: Written) -> PlainGraph:
    """Errors: CorruptModel, ConversionError for a graph past limits.py."""
    data, meta = file.data, file.meta
    try:
        holder = Message(memoryview(_of_text(data, meta) if file.text else data))
        graph = holder.message(2) if meta else holder
        nodes = tuple(node_of(each) for each in graph.messages(1))
        functions = {
            each.message(1).text(1): tuple(node_of(node) for node in each.messages(3))
            for each in graph.message(2).messages(1)
        }
    except CorruptModel as error:
        raise CorruptModel(
            f"{file.name} is no whole TensorFlow graph: {error.message} ({len(data)} bytes).",
            hint="Copy the file again; it may have been cut short.",
        ) from error
    if not nodes:
        raise CorruptModel(f"{file.name} has no nodes.")
    limits.refuse(nodes, functions)
    plain = tuple(PlainNode(node.name, node.op, node.inputs, _Attributes(node.attributes), node) for node in nodes)
    return PlainGraph(plain, functions, tuple(_hinted(holder)) if meta else file.hinted)


def screen(graph: PlainGraph, needed: Iterable[str]) -> None:
    """Errors: ConversionError naming every operator of `needed`, or of a function, that would act on the machine."""
    wanted = set(needed)
    nodes = [each.node for each in graph.node if each.name in wanted]
    nodes += [node for body in graph.functions.values() for node in body]
    problems = list(dict.fromkeys(filter(None, (problem_of(node) for node in nodes))))
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ConversionError(
            f"the graph would act on the machine that serves it: {'; '.join(problems[:SHOWN])}{more}.",
            hint="Export it without them: a served graph computes its outputs from its inputs and its variables.",
        )


def _hinted(holder: Message) -> list[str]:
    found: dict[str, None] = {}
    for key, signature in sorted(holder.map(5).items()):
        if not key.startswith("__"):
            found |= dict.fromkeys(info.text(1) for _, info in sorted(signature.map(2).items()))
    return list(found)


def _of_text(data: bytes, meta: bool) -> bytes:
    """As bytes: nodes, attributes that tell functions, types, shapes and texts. Errors: CorruptModel."""
    if len(data) > MOST_TEXT:
        raise CorruptModel(f"{len(data)} bytes of text; up to {MOST_TEXT} are read, save it as binary")
    try:
        found = textproto.parse(data.decode("utf-8"))
    except (UnicodeDecodeError, InvalidRequest) as error:
        raise CorruptModel(getattr(error, "message", str(error))) from error
    graphs = _messages(found, "graph_def") if meta else [found]
    made = b"".join(
        b"".join(field(1, _node(each)) for each in _messages(graph, "node"))
        + b"".join(field(2, _library(each)) for each in _messages(graph, "library"))
        for graph in graphs
    )
    return field(2, made) if meta else made


def _library(found: textproto.Message) -> bytes:
    return b"".join(
        field(1, b"".join(field(1, field(1, _text(s, "name"))) for s in _messages(each, "signature"))
              + b"".join(field(3, _node(node)) for node in _messages(each, "node_def")))
        for each in _messages(found, "function")
    )  # fmt: skip


def _node(found: textproto.Message) -> bytes:
    made = field(1, _text(found, "name")) + field(2, _text(found, "op"))
    made += b"".join(field(3, str(name).encode()) for name in found.get("input", ()))
    return made + _map(found, "attr", 5)


def _map(found: textproto.Message, key: str, number: int) -> bytes:
    return b"".join(
        field(number, field(1, _text(entry, "key")) + b"".join(field(2, _value(v)) for v in _messages(entry, "value")))
        for entry in _messages(found, key)
    )


def _value(found: textproto.Message) -> bytes:
    """An AttrValue; what no rule asks for (numbers, floats) is left out."""
    made = b"".join(field(2, str(text).encode("latin-1", "replace")) for text in found.get("s", ()))
    made += b"".join(varint_field(6, _type(word)) for word in found.get("type", ()))
    made += b"".join(field(7, _shape(each)) for each in _messages(found, "shape"))
    made += b"".join(field(8, _tensor(each)) for each in _messages(found, "tensor"))
    made += b"".join(field(10, _function(each)) for each in _messages(found, "func"))
    for each in _messages(found, "list"):
        made += field(1, b"".join(field(9, _function(inner)) for inner in _messages(each, "func")))
    return made


def _function(found: textproto.Message) -> bytes:
    return field(1, _text(found, "name")) + _map(found, "attr", 2)


def _tensor(found: textproto.Message) -> bytes:
    """What it asks for; values as text are counted as none."""
    kinds = b"".join(varint_field(1, _type(word)) for word in found.get("dtype", ()))
    return kinds + b"".join(field(2, _shape(each)) for each in _messages(found, "tensor_shape"))


def _shape(found: textproto.Message) -> bytes:
    dims = b"".join(
        field(2, b"".join(varint_field(1, int(size)) for size in each.get("size", ()) if isinstance(size, int)))
        for each in _messages(found, "dim")
    )
    return dims + (varint_field(3, 1) if "true" in map(str, found.get("unknown_rank", ())) else b"")


def _type(word: Any) -> int:
    if isinstance(word, int):
        return word
    reference = str(word).endswith("_REF")
    name = str(word).removesuffix("_REF")
    return (TYPES.index(name) if name in TYPES else 0) + (100 if reference else 0)


def _messages(found: textproto.Message, key: str) -> list[textproto.Message]:
    return [each for each in found.get(key, ()) if isinstance(each, dict)]


def _text(found: textproto.Message, key: str) -> bytes:
    texts = found.get(key, ())
    return str(texts[-1]).encode() if texts else b""
