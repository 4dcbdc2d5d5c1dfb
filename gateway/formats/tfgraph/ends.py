"""Where a graph of TensorFlow 1 begins and ends: it does not say, so it is inferred, with the evidence.

    inputs      placeholders that an output needs
    constants   placeholders that tell training from inference: is_training, phase_train, keep_prob, dropout rates
    outputs     nodes that nobody reads, of what computes; not savers, summaries, losses, optimisers, initialisers

Rule 1: each decision is a Fact with its evidence; model.toml's [[inputs]] and [[outputs]] win over all of it.
Rule 2: pruning walks back from the outputs, never by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.artifact import Fact
from gateway.core.dtypes import BY_TENSORFLOW
from gateway.core.modeltoml import ModelOptions
from gateway.core.names import did_you_mean
from gateway.errors import ConversionError

PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
SIZES = ("Shape", "ShapeN", "Size", "Rank")
SWITCHES = re.compile(r"(^|/)(switch_[tf]|pred_id)(_\d+)?$")  # what a v1 cond keeps of its condition
SOURCES = ("Const", "Placeholder", "PlaceholderV2", "PlaceholderWithDefault", "NoOp", "Variable", "VariableV2",
           "VarHandleOp", "ReadVariableOp", "VarIsInitializedOp", "Assert", "Identity_of_variable")  # fmt: skip
EFFECTS = re.compile(
    r"Save\w*|Restore\w*|MergeV2Checkpoints|ShardedFilename|\w*Summary\w*|Assign\w*|Apply\w*|ResourceApply\w*|Print\w*|"
    r"IsVariableInitialized|VarIsInitializedOp|InitializeTable\w*|\w*Dataset\w*|Iterator\w*|MakeIterator|\w*Queue\w*|"
    r"ResourceScatter\w*|Scatter\w*|DestroyResourceOp|ControlTrigger|Timestamp"
)
TRAINING = re.compile(
    r"(^|[/_])(is_?training?|training?(_?(phase|mode|flag))?|phase(_?train(ing)?)?|train_?flag|learning_phase|istrain)"
    r"(_placeholder)?$|keras_learning_phase$",
    re.IGNORECASE,
)
KEEPS = re.compile(r"(^|[/_])(keep_?prob(ability)?|dropout_?keep(_?prob)?|keep_?rate)(_\d+)?$", re.IGNORECASE)
DROPS = re.compile(r"(^|[/_])(dropout(_?(rate|prob))?|drop_?(rate|prob))(_\d+)?$", re.IGNORECASE)
ASIDE = re.compile(
    r"(^|/)(save|saver|gradients|optimizer|optimi[sz]ation|train_op|init|report_uninitialized\w*|beta\d_power|summar\w*|"
    r"metrics|accuracy|loss(es)?)(_\d+)?(/|$)", re.IGNORECASE
)  # fmt: skip
USUAL = ("predictions", "prediction", "probabilities", "probability", "softmax", "logits", "scores", "output",
         "outputs", "embeddings", "y_pred", "y")  # fmt: skip
MOST = 20


@dataclass
class Ends:
    """Tensors ("x:0") by what they are. `fixed` are values of training placeholders."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    fixed: dict[str, Any] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)


def find(graph: Any, options: ModelOptions, hints: Sequence[str] = ()) -> Ends:
    """`graph` is what plain.py reads; `hints` are output tensors that its signatures name. Errors: ConversionError."""
    nodes = {node.name: node for node in graph.node}
    found = Ends()
    found.outputs = _asked(options.outputs, nodes, "output") or _outputs(nodes, hints, found.facts)
    reached = walk(nodes, found.outputs)
    needed = [name for name in nodes if name in reached and nodes[name].op in PLACEHOLDERS]
    asked = _asked(options.inputs, nodes, "input")
    for name in asked:
        if name.partition(":")[0] not in reached:
            raise ConversionError(f"no output needs the input {name!r}; they need {', '.join(needed) or 'nothing'}.")
    cut = {name.partition(":")[0] for name in asked}
    needed = [name for name in nodes if name in walk(nodes, found.outputs, cut) and nodes[name].op in PLACEHOLDERS]
    for name in needed:
        if name not in cut:
            _place(nodes[name], name, found)
    found.inputs = [*asked, *[name for name in found.inputs if name not in asked]]
    if not found.inputs:
        raise ConversionError(
            "the graph has no placeholder that an output needs: it reads its input itself.",
            hint='Name the tensor that is fed: [[inputs]] from = "NODE:0", shape = [...] in model.toml, or --input.',
        )
    return found


def walk(nodes: Mapping[str, Any], tensors: Iterable[str], stops: Iterable[str] = ()) -> set[str]:
    """Names of all nodes that these need."""
    waiting = [name.removeprefix("^").partition(":")[0] for name in tensors]
    seen: set[str] = set()
    halt = set(stops)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        if name not in halt:
            waiting.extend(source.removeprefix("^").partition(":")[0] for source in nodes[name].input)
    return seen


def _place(node: Any, name: str, found: Ends) -> None:
    kind = BY_TENSORFLOW.get(node.attr["dtype"].type)
    value: Any = None
    if kind is not None and kind.kind == "b" and TRAINING.search(name):
        value, why = False, "a boolean of that name tells training from inference"
    elif kind is not None and kind.kind == "f" and KEEPS.search(name):
        value, why = 1.0, "a share of what dropout keeps: all of it"
    elif kind is not None and kind.kind == "f" and DROPS.search(name):
        value, why = 0.0, "a share of what dropout drops: nothing"
    elif node.op == "PlaceholderWithDefault" and kind is not None and not _sizes(node):
        value, why = "default", "a scalar with a default"
    if value is None:
        found.inputs.append(f"{name}:0")
        found.facts.append(Fact("input", f"{name}:0", "a placeholder that an output needs"))
    else:
        found.fixed[name] = value
        found.facts.append(Fact("constant", f"{name} = {value}", why))


def _sizes(node: Any) -> int:
    return len(node.attr["shape"].shape.dim) + int(node.attr["shape"].shape.unknown_rank)


def _asked(options: Sequence[Any], nodes: Mapping[str, Any], kind: str) -> list[str]:
    names = []
    for option in options:
        name, _, port = option.own_name.partition(":")
        if name not in nodes:
            raise ConversionError(f"the graph has no node {name!r}, asked for as an {kind}.{did_you_mean(name, nodes)}")
        names.append(f"{name}:{port or 0}")
    return names


def _outputs(nodes: Mapping[str, Any], hints: Sequence[str], facts: list[Fact]) -> list[str]:
    hinted = [name for name in hints if name.partition(":")[0] in nodes]
    if hinted:
        facts += [Fact("output", name, "a signature of the MetaGraph names it") for name in hinted]
        return hinted
    read = {source.removeprefix("^").partition(":")[0] for node in nodes.values() for source in node.input}
    ends = [
        name
        for name, node in nodes.items()
        if name not in read
        and node.op not in (*SOURCES, *SIZES)
        and not EFFECTS.fullmatch(node.op)
        and not SWITCHES.search(name)
    ]
    fed = [name for name in ends if _computes(nodes, name)]
    kept = [name for name in fed if not ASIDE.search(name)]
    why = "nobody reads it, and it needs a placeholder"
    if not kept:  # a training graph: what its loss reads
        usual = [name for name, node in nodes.items() if name.rpartition("/")[2].lower() in USUAL
                 and node.op not in SOURCES and _computes(nodes, name)]  # fmt: skip
        kept, why = usual[-1:], "its name is usual for an answer; everything that nobody reads belongs to training"
    if not kept or len(kept) > MOST:
        said = f"{len(kept)} nodes could be: {', '.join(kept[:8])} ..." if kept else f"candidates: {', '.join(fed[:8])}"
        raise ConversionError(
            f"which tensors of the graph are its outputs cannot be told ({said}).",
            hint='Name them: [[outputs]] from = "NODE:0" in model.toml, or --output.',
        )
    facts += [Fact("output", f"{name}:0", why) for name in kept]
    return [f"{name}:0" for name in kept]


def _computes(nodes: Mapping[str, Any], name: str) -> bool:
    reached = walk(nodes, [name])
    if any(EFFECTS.fullmatch(nodes[each].op) for each in (name,)):
        return False
    return any(nodes[each].op in PLACEHOLDERS for each in reached)
