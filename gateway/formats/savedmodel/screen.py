"""A SavedModel is a program: what it would do to this machine is refused by name before TensorFlow sees it.

What runs is what the signatures, the initialisation and the restoring of variables reach, and every function that an
object may call. The saver's own half is in every SavedModel, writes files, and never runs here: it is left out.

Rule 1: this is the second fence. The first is the sandbox: without level L2 no SavedModel is loaded at all.
Rule 2: all refused operators are named together, each with what it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gateway.errors import ConversionError
from gateway.formats.savedmodel import limits
from gateway.formats.savedmodel.metagraph import MetaGraph, Node

READS, WRITES, NETWORK = "reads files", "writes files", "uses the network"
REFUSED: tuple[tuple[str, str], ...] = (
    (r"ReadFile|MatchingFiles|ImmutableConst|LoadAndRemapMatrix|GenerateVocabRemapping", READS),
    (r"(WholeFile|TextLine|FixedLengthRecord|TFRecord|LMDB)Reader(V2)?|Restore(V2|Slice)?", READS),
    (r"(Experimental)?(TextLine|FixedLengthRecord|TFRecord|Sql|LMDB|MatchingFiles|CSV|Load|Cache)Dataset(V\d)?", READS),
    (r"SnapshotDatasetReader|(SnapshotChunk|ListSnapshotChunks|SnapshotNested)Dataset", READS),
    (r"WriteFile|Save(V2|Slices)?|MergeV2Checkpoints|DistributedSave", WRITES),
    (r"(Experimental)?DatasetToTFRecord|(Save|Snapshot)Dataset(V\d)?", WRITES),
    (r"Write\w*Summary|SummaryWriter|CreateSummary(File|Db)Writer|(Flush|Close)SummaryWriter|ImportEvent", WRITES),
    (r"Debug(Identity(V\d)?|NanCount|NumericSummary)", "sends tensors to files and servers"),
    (r"(Try)?Rpc|RemoteCall|_?(Host)?(Send|Recv)|DataService\w*|RegisterDataset(V2)?|Collective\w+", NETWORK),
    (r"Nccl\w+|BigQuery\w*|Bigtable\w*|Gcs\w*|WorkerHeartbeat", NETWORK),
    (r"\w*TPU\w*", "needs a TPU"),
    (r"PyFunc|PyFuncStateless|EagerPyFunc|NumpyFunc", "calls Python code that is not in the model"),
    (r"TRTEngineOp|\w*TRTResource\w*", "runs a compiled TensorRT engine"),
    (r"Abort", "ends the process"),
)  # fmt: skip
RESTORING = re.compile(r"Restore(V2|Slice)?")  # what restoring variables is made of
STREAMS = ("", "stdout", "stderr", "log(info)", "log(warning)", "log(error)")  # of PrintV2
TABLES = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
SHOWN = 20


def problems(meta: MetaGraph) -> list[str]:
    """'WriteFile of node x writes files' for each refused operator that could run."""
    save, restore = _reached(meta, [meta.save], []), _reached(meta, [meta.restore], [])
    asked = [t.name for s in meta.signatures.values() for t in (*s.outputs, *s.inputs)]
    free = [name for name in meta.functions if name not in save.functions and name not in restore.functions]
    runs = _reached(meta, [*asked, *meta.initial], [*free, *meta.called])
    found = [problem_of(node, meta.by_name, meta.assets) for node in runs.nodes]
    found += [problem_of(node, meta.by_name, meta.assets) for node in restore.nodes if not RESTORING.fullmatch(node.op)]
    found += [
        f"asset {file!r} lies outside of assets/"
        for file in meta.assets.values()
        if file.startswith("/") or ".." in file.split("/")
    ]
    return list(dict.fromkeys(problem for problem in found if problem))


def refuse(meta: MetaGraph) -> None:
    """Errors: ConversionError with every problem."""
    limits.refuse(meta.nodes, meta.functions)
    found = problems(meta)
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ConversionError(
            f"the SavedModel would act on the machine that serves it: {'; '.join(found[:SHOWN])}{more}.",
            hint="Export it without them: a served graph computes its outputs from its inputs and its variables.",
        )


def reached(meta: MetaGraph, tensors: Iterable[str]) -> list[Node]:
    """Every node that making these tensors runs, those of functions too."""
    return _reached(meta, tensors, []).nodes


class _Reached:
    """Nodes that run, and the functions among whose bodies they are."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.functions: set[str] = set()


def _reached(meta: MetaGraph, tensors: Iterable[str], functions: Iterable[str]) -> _Reached:
    found = _Reached()
    waiting = [name.removeprefix("^").partition(":")[0] for name in tensors if name]
    seen: set[str] = set()
    bodies: list[str] = list(functions)
    while waiting or bodies:
        if waiting:
            name = waiting.pop()
            node = meta.by_name.get(name)
            if name in seen or node is None:
                continue
            seen.add(name)
            found.nodes.append(node)
            waiting.extend(node.sources)
            bodies.extend(called for called in node.functions() if called in meta.functions)
            continue
        name = bodies.pop()
        if name in found.functions or name not in meta.functions:
            continue
        found.functions.add(name)
        found.nodes.extend(meta.functions[name])
        bodies.extend(
            called for node in meta.functions[name] for called in node.functions() if called in meta.functions
        )
    return found


def problem_of(node: Node, nodes: Mapping[str, Node] | None = None, assets: Mapping[str, str] | None = None) -> str:
    """What one node would do, in words; "" for one that computes."""
    for pattern, does in REFUSED:
        if re.fullmatch(pattern, node.op):
            return f"{node.op} ({node.name!r}) {does}"
    if node.op == "PrintV2" and node.said("output_stream") not in STREAMS:
        return f"PrintV2 ({node.name!r}) {WRITES}: {node.said('output_stream')}"
    if node.op in ("DecodeProtoV2", "EncodeProto"):
        place = node.said("descriptor_source")
        if place and place != "local://" and not place.startswith("bytes://"):
            return f"{node.op} ({node.name!r}) {READS}: {place[:80]}"
    if node.op in TABLES:
        return _table(nodes or {}, assets or {}, node)
    return ""


def _table(nodes: Mapping[str, Node], assets: Mapping[str, str], node: Node) -> str:
    """A table is filled from an asset. One that names a file of its own choice is refused."""
    name = next(iter([*node.sources][1:2]), "")
    source = nodes.get(name)
    if not nodes:
        return f"{node.op} ({node.name!r}) {READS}"
    if source is None or source.op != "Const" or f"{name}:0" in assets:
        return ""
    return f"{node.op} ({node.name!r}) {READS}, and none of the assets"
