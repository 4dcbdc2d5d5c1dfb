"""A graph of TensorFlow 1 with its variables frozen: of one GraphDef file, or of a MetaGraph and its checkpoint.

Rule 1: nothing is trusted to be where a file says: the `checkpoint` file's paths are never followed. The bundle is the
        one that lies beside the .meta, of its name, or the only one there; its name may be empty.
Rule 2: attributes that an importer would trip over and nobody needs (_output_shapes, _class) are dropped.
Rule 3: what inference needs is restored, tensor by tensor: optimiser slots are not read, and what lacks is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway.errors import ConversionError, CorruptModel
from gateway.formats.base import Match, Source
from gateway.formats.savedmodel.metagraph import node_of
from gateway.formats.savedmodel.native import framework, line, refuse_unknown
from gateway.formats.savedmodel.screen import problem_of
from gateway.formats.savedmodel.wire import Message
from gateway.formats.tfgraph.ends import Ends, walk
from gateway.formats.tfgraph.plain import Written

META = ".meta"
INDEX = ".index"
STALE = ("_output_shapes", "_class", "_gradient_op_type")
VARIABLES = ("VarHandleOp", "VariableV2", "Variable")


def with_checkpoint(source: Source, match: Match) -> Match:
    """The match with the files of the checkpoint beside a .meta. Gateway side: names alone."""
    if not match.main.endswith(META):
        return match
    prefix = match.main.removesuffix(META)
    folder = prefix.rpartition("/")[0]
    beside = [name for name in source.files if name.rpartition("/")[0] == folder and name != match.main]
    own = [name for name in beside if name == prefix or name.startswith((prefix + ".index", prefix + ".data-"))]
    if not own:
        own = [name for name in beside if INDEX in name or ".data-" in name or name.endswith(".ckpt")]
    told = [name for name in beside if name.rpartition("/")[2] == "checkpoint"]
    return replace(match, used=tuple(dict.fromkeys((match.main, *own, *told))))


def bundle(source: Source, match: Match) -> str:
    """What TensorFlow calls the checkpoint: a path without .index, or a file of version 1. Errors: ConversionError."""
    indexes = [name for name in match.used if name.endswith(INDEX)]
    if len(indexes) == 1:
        return str(source.path(indexes[0]))[: -len(INDEX)]
    old = [name for name in match.used if name != match.main and not name.endswith("checkpoint") and INDEX not in name
           and ".data-" not in name]  # fmt: skip
    if not indexes and len(old) == 1:
        return str(source.path(old[0]))
    if len(indexes) > 1:
        raise ConversionError(f"{match.main} has {len(indexes)} checkpoints beside it: {', '.join(indexes[:8])}.",
                              hint="Keep the one that is to be served.")  # fmt: skip
    raise ConversionError(
        f"{match.main} is the graph of a checkpoint, and no .index and .data files lie beside it.",
        hint="Drop all files of the checkpoint together: NAME.meta, NAME.index, NAME.data-00000-of-00001.",
    )


def file(source: Source, match: Match) -> Written:
    """The match's file, unread by anybody."""
    text = match.version == "text" or match.main.endswith(".pbtxt")
    path = source.path(match.main)
    return Written(path.read_bytes(), path.name, text, match.main.endswith(META))


def read(written: Written) -> Any:
    """The GraphDef, by TensorFlow; plain.py has screened it. Errors: CorruptModel."""
    tf = framework()
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError

    meta = written.meta
    holder = tf.compat.v1.MetaGraphDef() if meta else tf.compat.v1.GraphDef()
    try:
        if written.text:
            text_format.Parse(written.data.decode("utf-8"), holder)
        else:
            holder.ParseFromString(written.data)
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise CorruptModel(
            f"{written.name} is no whole TensorFlow graph: {line(error)} ({len(written.data)} bytes).",
            hint="Copy the file again; it may have been cut short.",
        ) from error
    graph = holder.graph_def if meta else holder
    for node in (*graph.node, *(n for f in graph.library.function for n in f.node_def)):
        for name in STALE:
            if name in node.attr:
                del node.attr[name]
        node.device = ""
    return graph


def check(graph: Any, needed: Iterable[str]) -> None:
    """What plain.py has screened, as TensorFlow reads it: no operator more, and all of them its own.

    Errors: ConversionError.
    """
    wanted = set(needed)
    nodes = [node for node in graph.node if node.name in wanted]
    nodes += [node for function in graph.library.function for node in function.node_def]
    found = [problem_of(node_of(Message(memoryview(node.SerializeToString())))) for node in nodes]
    if any(found):
        raise ConversionError(f"the graph would act on the machine that serves it: {next(filter(None, found))}.")
    own = {function.signature.name for function in graph.library.function}
    refuse_unknown(framework(), (node.op for node in nodes if node.op not in own))


def pruned(graph: Any, ends: Ends) -> Any:
    """What the outputs need, training placeholders made constants."""
    tf = framework()
    nodes = {node.name: node for node in graph.node}
    cut = {name.partition(":")[0] for name in ends.inputs}
    keep = walk(nodes, ends.outputs, cut)
    made = tf.compat.v1.GraphDef()
    made.versions.CopyFrom(graph.versions)
    made.library.CopyFrom(graph.library)
    for node in graph.node:
        if node.name not in keep:
            continue
        copy = made.node.add()
        copy.CopyFrom(node)
        if node.name in cut and node.op != "Placeholder":
            _as_placeholder(copy)
        elif node.name in ends.fixed:
            _as_constant(tf, copy, ends.fixed[node.name])
    return made


def without_dropout(graph: Any) -> int:
    """Numbers in [0, 1) that a dropout draws become 0.5: with all of it kept, any of them does. How many there were.

    Only for conversion, and only where a keep or drop share was fixed; the judge draws them as the file says.
    """
    tf = framework()
    drawn = [node for node in graph.node if node.op == "RandomUniform"]
    for node in drawn:
        kind = node.attr["dtype"].type
        half = graph.node.add(op="Const", name=f"{node.name}/gateway_half")
        half.attr["dtype"].type = kind
        half.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(0.5, dtype=kind))
        index = node.attr["T"].type
        node.op = "Fill"
        node.attr.clear()
        node.attr["T"].type, node.attr["index_type"].type = kind, index
        node.input.append(half.name)
    return len(drawn)


def _as_placeholder(node: Any) -> None:
    kind = node.attr["dtype"].type or node.attr["T"].type or 1
    node.op = "Placeholder"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = kind
    node.attr["shape"].shape.unknown_rank = True


def _as_constant(tf: Any, node: Any, value: Any) -> None:
    kind = node.attr["dtype"].type
    if value == "default":
        node.op = "Identity"
        node.attr.clear()
        node.attr["T"].type = kind
        return
    node.op = "Const"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = kind
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype=kind))


def restored(source: Source, match: Match, graph: Any, outputs: list[str]) -> tuple[Any, list[str]]:
    """(the graph with variables as constants, names restored). Errors: ConversionError naming what lacks."""
    tf = framework()
    prefix = bundle(source, match)
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        known = reader.get_variable_to_shape_map()
    except Exception as error:  # whatever TensorFlow raises
        raise CorruptModel(f"the checkpoint beside {match.main} cannot be read: {line(error)}") from error
    wanted = [node for node in graph.node if node.op in VARIABLES]
    lacking = sorted(_key(node) for node in wanted if _key(node) not in known)
    if lacking:
        raise ConversionError(
            f"the checkpoint lacks {len(lacking)} of the {len(wanted)} variables that the outputs need: "
            f"{', '.join(lacking[:8])}.",
            hint="A partial checkpoint cannot be served: save all variables with one Saver.",
        )
    values = {node.name: reader.get_tensor(_key(node)) for node in wanted}
    return _frozen(tf, graph, values), sorted(_key(node) for node in wanted)


def _key(node: Any) -> str:
    shared = node.attr["shared_name"].s.decode() if "shared_name" in node.attr else ""
    return shared or str(node.name)


def _frozen(tf: Any, graph: Any, values: dict[str, Any]) -> Any:
    """Variables become constants; what reads a resource variable becomes an Identity of it."""
    for node in graph.node:
        if node.name in values:
            value = values[node.name]
            node.op = "Const"
            node.attr.clear()
            node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
            del node.input[:]
    for node in graph.node:
        if node.op in ("ReadVariableOp", "RefIdentity"):
            kind = node.attr["dtype"].type or node.attr["T"].type
            node.op = "Identity"
            node.attr.clear()
            node.attr["T"].type = kind
        elif node.op == "ResourceGather":
            _as_gather(tf, graph, node)
        elif node.op == "RefSwitch":
            node.op = "Switch"
    return graph


def _as_gather(tf: Any, graph: Any, node: Any) -> None:
    axis = graph.node.add(op="Const", name=f"{node.name}/gateway_axis")
    axis.attr["dtype"].type = tf.int32.as_datatype_enum
    axis.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(0, dtype=tf.int32))
    kind, index = node.attr["dtype"].type, node.attr["Tindices"].type
    node.op = "GatherV2"
    node.attr.clear()
    node.attr["Tparams"].type, node.attr["Tindices"].type = kind, index
    node.attr["Taxis"].type = tf.int32.as_datatype_enum
    node.input.append(axis.name)
