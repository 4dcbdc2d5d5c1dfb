"""What TensorFlow's tracing writes more than once, or for nothing, is left out of the file; answers stay as they are.

Of a traced net a third to two thirds of the file are constants that say the same, shapes that every reader infers
again, and nodes whose result no-one asks for.

Rule 1: only nodes without a state are joined or passed over, by TensorFlow's own list of operators; what is asked for
        (outputs, control outputs) keeps its name.
Rule 2: nothing is computed and no number is changed: which node computes a tensor is all that changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

SHAPES = "_output_shapes"
READ = "ReadVariableOp"
NEVER = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")  # each is fed for itself


def slim_file(folder: Path) -> None:
    """saved_model.pb of a SavedModel that TensorFlow has written; its fingerprint is taken anew."""
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta in saved.meta_graphs:
        for function in meta.graph_def.library.function:
            slim_function(function)
        for node in meta.graph_def.node:
            node.attr.pop(SHAPES, None)
    path.write_bytes(saved.SerializeToString(deterministic=True))
    fingerprint(folder)


def fingerprint(folder: Path) -> None:
    """fingerprint.pb is of saved_model.pb: written anew when that is."""
    from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

    write_fingerprint(str(folder))


def slim_graph(graph: Any, roots: Sequence[str]) -> None:
    """A GraphDef, changed where it stands."""
    for function in graph.library.function:
        slim_function(function)
    kept = slim(graph.node, roots)
    del graph.node[:]
    graph.node.extend(kept)


def slim_function(function: Any) -> None:
    """A FunctionDef, changed where it stands."""
    _forget_reads(function)
    roots = [*function.ret.values(), *function.control_ret.values()]
    kept = slim(function.node_def, roots)
    del function.node_def[:]
    function.node_def.extend(kept)


def slim(nodes: Iterable[Any], roots: Sequence[str]) -> list[Any]:
    """NodeDefs that are needed for `roots` (names of nodes or of their outputs), equal ones joined into the first."""
    kept = list(nodes)
    named = {_node_of(root) for root in roots}
    for node in kept:
        node.attr.pop(SHAPES, None)
    while True:
        other = _same(kept, named)
        for node in kept:
            for place, source in enumerate(node.input):
                node.input[place] = _moved(source, other)
        before, kept = len(kept), _needed(kept, named)
        if not other and len(kept) == before:
            return kept


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _moved(source: str, other: dict[str, str]) -> str:
    """The name of an input, of the node that stands for the one it names."""
    name = _node_of(source)
    if name not in other:
        return source
    if ":" in other[name]:  # an identity: its input. Whoever only waits for it goes on doing so
        return source if source.startswith("^") else other[name]
    return source.replace(name, other[name], 1)


def _same(nodes: Sequence[Any], named: set[str]) -> dict[str, str]:
    """Name -> an earlier node that is the same, or the tensor that an identity hands on."""
    first: dict[tuple[Any, ...], str] = {}
    other: dict[str, str] = {}
    for node in nodes:
        if node.name in named or node.op in NEVER or not _stateless(node.op):
            continue
        if node.op == "Identity" and len(node.input) == 1 and ":" in node.input[0] and not node.device:
            if "_class" not in node.attr and _node_of(node.input[0]) not in other:
                other[node.name] = node.input[0]
            continue
        said = tuple((key, node.attr[key].SerializeToString(deterministic=True)) for key in sorted(node.attr))
        key = (node.op, node.device, tuple(node.input), said)
        if first.setdefault(key, node.name) != node.name:
            other[node.name] = first[key]
    return other


def _stateless(op: str) -> bool:
    known = op_def_registry.get(op)
    return known is not None and not known.is_stateful


def _needed(nodes: Sequence[Any], named: set[str]) -> list[Any]:
    by_name = {node.name: node for node in nodes}
    waiting, seen = list(named), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        waiting.extend(_node_of(source) for source in by_name[name].input)
    return [node for node in nodes if node.name in seen]


def _forget_reads(function: Any) -> None:
    """In a function that only reads variables no-one need wait for that: its outputs say so, a line a variable."""
    ops = {node.name: node.op for node in function.node_def}
    if any(op not in (READ, "NoOp") and not _stateless(op) for op in ops.values()):
        return
    for node in function.node_def:
        held = [source for source in node.input if not (source.startswith("^") and ops.get(source[1:]) == READ)]
        del node.input[:]
        node.input.extend(held)
    gone = [key for key, name in function.control_ret.items() if ops.get(name) == READ]
    for key in gone:
        del function.control_ret[key]
    kept = [name for name in function.signature.control_output if name not in gone]
    del function.signature.control_output[:]
    function.signature.control_output.extend(kept)
