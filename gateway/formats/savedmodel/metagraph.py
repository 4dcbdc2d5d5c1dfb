"""saved_model.pb as data: MetaGraphs with tags, signatures, operators, variables, assets. Read without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gateway.core.dtypes import BY_TENSORFLOW
from gateway.core.savedmodel import SERVE
from gateway.core.signature import SERVING_DEFAULT, Shape, TensorSpec, format_shape
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.savedmodel.wire import Message

INIT_KEYS = ("saved_model_main_op", "legacy_init_op")
INIT_SIGNATURE = "__saved_model_init_op"
MAX_NESTING = 16
REFERENCE = 100  # added to the number of a dtype: a variable of TensorFlow 1 itself
VARIABLES = ("VarHandleOp", "VariableV2", "Variable")


@dataclass(frozen=True)
class Node:
    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Message]

    def functions(self) -> Iterator[str]:
        """Functions of the library that it calls: by an attribute, or because its operator is one."""
        yield self.op
        yield from _called(self.attributes)

    @property
    def sources(self) -> Iterator[str]:
        """Names of the nodes it reads or waits for."""
        return (name.removeprefix("^").partition(":")[0] for name in self.inputs)

    def said(self, attribute: str) -> str:
        """An attribute that is text."""
        found = self.attributes.get(attribute)
        return "" if found is None else found.text(2)


@dataclass(frozen=True)
class Tensor:
    """One input or output of a SignatureDef. `problem` says why no tensor of ours can be it; else ""."""

    alias: str
    name: str
    dtype: str
    shape: Shape | None
    problem: str = ""

    def spec(self) -> TensorSpec:
        return TensorSpec(self.alias, self.dtype, self.shape)


@dataclass(frozen=True)
class SignatureDef:
    key: str
    method: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def problems(self) -> list[str]:
        found = [f"{tensor.alias}: {tensor.problem}" for tensor in (*self.inputs, *self.outputs) if tensor.problem]
        return found if self.outputs else [*found, "it has no outputs"]


@dataclass(frozen=True)
class MetaGraph:
    tags: tuple[str, ...]
    version: str  # of the TensorFlow that wrote it
    nodes: tuple[Node, ...]
    functions: Mapping[str, tuple[Node, ...]]
    signatures: Mapping[str, SignatureDef]
    initial: tuple[str, ...]  # nodes that run when it is loaded
    save: str  # nodes of the saver, "" where there is none
    restore: str
    assets: Mapping[str, str]  # tensor -> file in assets/
    called: frozenset[str]  # functions that objects of TensorFlow 2 can call
    objects: bool = field(default=False)  # it is TensorFlow 2's: objects, not a graph alone
    sides: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    """Of each function: its arguments, and the tensors that it gives back."""

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    def operators(self) -> dict[str, int]:
        """Counts, function bodies included, calls left out."""
        found: dict[str, int] = {}
        for node in (*self.nodes, *(node for body in self.functions.values() for node in body)):
            if node.op not in self.functions:
                found[node.op] = found.get(node.op, 0) + 1
        return found

    def variables(self) -> dict[str, str]:
        """Name -> dtype and shape, as text."""
        found = {}
        for node in self.nodes:
            if node.op in VARIABLES:
                kind, shape = node.attributes.get("dtype"), node.attributes.get("shape")
                said = "?" if kind is None else _dtype(kind.number(6)) or f"type {kind.number(6)}"
                sizes = None if shape is None else _shape(shape.message(7))
                found[node.said("shared_name") or node.name] = said + format_shape(sizes)
        return found


def _called(attributes: Mapping[str, Message], depth: int = 0) -> Iterator[str]:
    """Functions named by attributes, and by the attributes of these. Errors: CorruptModel for endless nesting."""
    if depth > MAX_NESTING:
        raise CorruptModel(f"functions are given to functions more than {MAX_NESTING} deep.")
    for value in attributes.values():
        for called in (*value.messages(10), *value.message(1).messages(9)):
            yield called.text(1)
            yield from _called(called.map(2), depth + 1)


def read(path: Path) -> tuple[MetaGraph, ...]:
    """Errors: CorruptModel."""
    return parse(path.read_bytes())


def parse(data: bytes) -> tuple[MetaGraph, ...]:
    """The MetaGraphs of a saved_model.pb. Errors: CorruptModel."""
    return tuple(_meta(message) for message in Message(memoryview(data)).messages(2))


def choose(metas: tuple[MetaGraph, ...], tags: tuple[str, ...]) -> MetaGraph:
    """The MetaGraph of exactly those tags; for the usual tag also the only one with it, or the only one.

    Errors: ConversionError, as TensorFlow says it.
    """
    for meta in metas:
        if set(meta.tags) == set(tags):
            return meta
    serving = [meta for meta in metas if SERVE in meta.tags]
    if tags == (SERVE,) and (len(metas) == 1 or len(serving) == 1):
        return (serving or list(metas))[0]
    said = "; ".join(", ".join(meta.tags) or "(no tags)" for meta in metas) or "nothing"
    raise ConversionError(
        f"MetaGraphDef associated with tags {', '.join(map(repr, tags))} could not be found in SavedModel; "
        f"it has: {said}.",
        hint='Say which one is served: tags = ["..."] in [savedmodel] of model.toml, or --tag.',
    )


def ordered(meta: MetaGraph) -> list[SignatureDef]:
    """Signatures of clients: serving_default first, then those with inputs, by name."""
    shown = [signature for key, signature in meta.signatures.items() if not key.startswith("__")]
    return sorted(shown, key=lambda s: (s.key != SERVING_DEFAULT, not s.inputs, s.key))


def _meta(message: Message) -> MetaGraph:
    info, graph, saver = message.message(1), message.message(2), message.message(3)
    library = graph.message(2)
    collections = message.map(4)
    definitions = message.map(5)
    initial = [name for key in INIT_KEYS if key in collections for name in collections[key].message(1).texts(1)]
    if INIT_SIGNATURE in definitions:
        initial += [tensor.text(1) for tensor in definitions[INIT_SIGNATURE].map(2).values()]
    return MetaGraph(
        tags=tuple(info.texts(4)),
        version=info.text(5),
        nodes=tuple(node_of(node) for node in graph.messages(1)),
        functions={f.message(1).text(1): tuple(node_of(node) for node in f.messages(3)) for f in library.messages(1)},
        signatures={key: _signature(key, value) for key, value in definitions.items() if key != INIT_SIGNATURE},
        initial=tuple(initial),
        save=saver.text(2),
        restore=saver.text(3),
        assets={asset.message(1).text(1): asset.text(2) for asset in message.messages(6)} | _old_assets(collections),
        called=frozenset(entry.text(1) for entry in message.message(7).messages(2)),
        objects=message.has(7),
        sides={f.message(1).text(1): _sides(f) for f in library.messages(1)},
    )


def _sides(function: Message) -> tuple[tuple[str, ...], tuple[str, ...]]:
    said = function.message(1)
    given = {entry.text(1): entry.text(2) for entry in function.messages(4)}
    taken = tuple(argument.text(1) for argument in said.messages(2))
    return taken, tuple(given.get(name, "") for name in (output.text(1) for output in said.messages(3)))


def _old_assets(collections: Mapping[str, Message]) -> dict[str, str]:
    """TensorFlow 1 keeps them in a collection of Any."""
    found = {}
    for item in collections["saved_model_assets"].message(5).messages(1) if "saved_model_assets" in collections else ():
        asset = item.message(2)
        found[asset.message(1).text(1)] = asset.text(2)
    return found


def node_of(message: Message) -> Node:
    return Node(message.text(1), message.text(2), tuple(message.texts(3)), message.map(5))


def _signature(key: str, message: Message) -> SignatureDef:
    inputs, outputs = (
        tuple(_tensor(alias, info) for alias, info in sorted(message.map(number).items())) for number in (1, 2)
    )
    return SignatureDef(key, message.text(3), inputs, outputs)


def _tensor(alias: str, info: Message) -> Tensor:
    kind = _dtype(info.number(2))
    problem = "" if kind else f"its dtype is number {info.number(2)} of TensorFlow, which no protocol carries"
    if info.has(4) or info.has(5):
        problem = "it is sparse, ragged or another tensor of several parts"
    return Tensor(alias, info.text(1), kind or "float32", _shape(info.message(3)) if info.has(3) else None, problem)


def _dtype(number: int) -> str:
    found = BY_TENSORFLOW.get(number - REFERENCE if number > REFERENCE else number)
    return "" if found is None else found.name


def _shape(message: Message) -> Shape | None:
    if message.number(3):
        return None
    return tuple(None if size.number(1) < 0 else size.number(1) for size in message.messages(2))
