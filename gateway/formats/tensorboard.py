"""A model's graph as TensorBoard opens it: an event file that holds one GraphDef.

    record   u64 length, masked CRC-32C of it, the Event, masked CRC-32C of that; little-endian
    Event    wall_time = 1, file_version = 3 (of the first) or graph_def = 4 (bytes)

Rule 1: TensorFlow's graphs go in as they are, large constants without their numbers. Of other formats each node is a
        node, by its own name; what it reads from outside, and its weights, are nodes too.
Rule 2: everything is read as data, in a child; nothing is run.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gateway.errors import ConversionError, CorruptModel
from gateway.formats.savedmodel.wire import Message, field

PLACEHOLDER, CONST = "Placeholder", "Const"
LARGE = 4096  # bytes of a node
VERSION = b"brain.Event:2"


class Job(Protocol):
    arguments: dict[str, Any]
    out: Path


@dataclass(frozen=True)
class Node:
    """`inputs` are names of nodes."""

    name: str
    op: str
    inputs: Sequence[str] = ()


def write(job: Job) -> dict[str, Any]:
    """`kind` (of the recogniser), `file` -> {"file", "nodes"}; the event file is in `out`. Errors: ConversionError."""
    kind, path = str(job.arguments["kind"]), Path(job.arguments["file"])
    read = READERS.get(kind)
    if read is None:
        raise ConversionError(
            f"no graph is written of {kind}.", hint=f"Of these it is: {', '.join(sorted(READERS))}; convert it to ONNX."
        )
    graph = slim(read(path))
    nodes = len(Message(memoryview(graph)).views(1))
    name = f"events.out.tfevents.{int(time.time())}.gateway"
    (job.out / name).write_bytes(records([_event(3, VERSION), _event(4, graph)]))
    return {"file": name, "nodes": nodes}


# -- graphs --------------------------------------------------------------------------------


def graph_def(nodes: Iterable[Node]) -> bytes:
    """The bytes of a GraphDef, names made those that TensorBoard takes, each of its own."""
    nodes = list(nodes)
    names: dict[str, str] = {}
    taken: set[str] = set()
    for node in nodes:
        wish = clean = node.name.replace(":", "_").replace("^", "_").strip("/") or node.op
        number = 2
        while wish in taken:
            wish, number = f"{clean}_{number}", number + 1
        taken.add(wish)
        names[node.name] = wish
    shown = [names[node.name] for node in nodes]
    made = [
        field(1, name.encode())
        + field(2, node.op.encode())
        + b"".join(field(3, names[i].encode()) for i in node.inputs)
        for name, node in zip(shown, nodes)
    ]
    return b"".join(field(1, node) for node in made)


def slim(graph: bytes) -> bytes:
    """A GraphDef whose constants over LARGE have their names and no numbers: TensorBoard shows none of them."""
    whole = Message(memoryview(graph))
    nodes = []
    for view in whole.views(1):
        node = Message(view) if len(view) > LARGE else None
        if node is not None and node.text(2) == CONST:
            nodes.append(field(1, field(1, node.text(1).encode()) + field(2, CONST.encode())))
        else:
            nodes.append(field(1, bytes(view)))
    rest = [field(number, bytes(view)) for number in (2, 4) for view in whole.views(number)]  # functions, versions
    return b"".join([*nodes, *rest])


def _onnx(path: Path) -> bytes:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except (DecodeError, ValueError) as error:
        raise CorruptModel(f"{path.name} cannot be read as ONNX: {error}.") from None
    weights = [tensor.name for tensor in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
    found = [Node(f"{name}", CONST) for name in weights]
    found += [Node(value.name, PLACEHOLDER) for value in graph.input if value.name not in weights]
    makers = {node.name: node.name for node in found}
    seen = set(makers)
    for number, proto in enumerate(graph.node):
        name = proto.name if proto.name and proto.name not in seen else f"{proto.op_type}_{number}"
        seen.add(name)
        op = f"{proto.domain}.{proto.op_type}".strip(".")
        found.append(Node(name, op, [makers[tensor] for tensor in proto.input if tensor in makers]))
        makers |= dict.fromkeys(proto.output, name)
    return graph_def(found)


def _mxnet(path: Path) -> bytes:
    from gateway.formats.mxnet.symbol import read

    nodes = read(path).nodes
    ops = [CONST if node.is_variable else node.op for node in nodes]
    named = [f"{node.name}" or f"node{number}" for number, node in enumerate(nodes)]
    return graph_def(Node(name, op, [named[at] for at, _ in node.inputs]) for name, op, node in zip(named, ops, nodes))


def _savedmodel(path: Path) -> bytes:
    """Of the first MetaGraph."""
    metas = Message(memoryview(path.read_bytes())).views(2)
    if not metas:
        raise CorruptModel(f"{path.name} has no MetaGraph.")
    return _of_meta(metas[0])


def _metagraph(path: Path) -> bytes:
    return _of_meta(memoryview(path.read_bytes()))


def _of_meta(meta: memoryview) -> bytes:
    return b"".join(Message(meta).views(2))


READERS: dict[str, Callable[[Path], bytes]] = {
    "onnx": _onnx,
    "mxnet": _mxnet,
    "tf-savedmodel": _savedmodel,
    "tf-metagraph": _metagraph,
    "tf-graphdef": lambda path: path.read_bytes(),
}
"""By kind of the recogniser: the bytes of a GraphDef."""


# -- the file ------------------------------------------------------------------------------


def records(events: Iterable[bytes]) -> bytes:
    """A TFRecord."""
    found = []
    for event in events:
        size = struct.pack("<Q", len(event))
        found += [size, struct.pack("<I", masked(size)), event, struct.pack("<I", masked(event))]
    return b"".join(found)


def _event(number: int, data: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", time.time()) + field(number, data)


def _table() -> list[int]:
    found = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        found.append(value)
    return found


_TABLE = _table()


def masked(data: bytes) -> int:
    """CRC-32C (Castagnoli), turned as TFRecord wants it."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
