"""The nets of MXNet: every row of the operator tables, a node before and a node behind it.

Rule 1: the neighbours multiply, so that a report has three nodes to choose from; inputs that are
        indices are passed on as they are.
Rule 2: a row that MXNet itself refuses, or that needs MXNet's name of a spelling, is left out.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.formats.mxnet.hints import RULES
from gateway.process import wire
from tests.formats.mxnet import harness, rows, write
from tests.formats.mxnet.child import PARAMS, SYMBOL
from tests.formats.mxnet.write import Graph
from tests.mutants.nets import Net, Target

BEFORE, BEHIND = 0.75, 1.5
LAST = ", the last node"
TAILS = ("softmax", "SoftmaxOutput", "Softmax", "SoftmaxActivation", "Activation", "sigmoid", "tanh", "_npx_softmax",
         "LogisticRegressionOutput", "softmin")  # fmt: skip
"""Operators of a bounded range: as the last of a net they are judged by a rule of their own (convert/bounded.py)."""
EMPTY = 32  # bytes of a file of weights without any


def make(folder: Path, tables: Sequence[str] = ()) -> Sequence[Net]:
    cases = {
        f"{info.name}: {name}": case
        for info in pkgutil.iter_modules(rows.__path__)
        for name, case in importlib.import_module(f"{rows.__name__}.{info.name}").CASES.items()
        if not case.known_as and (not tables or info.name in tables)
    }
    cases |= {f"{name}, the rest held": held for name, case in cases.items() if (held := _held(case))}
    cases |= {f"{name}{LAST}": case for name, case in cases.items() if case.op in TAILS and not case.refused}
    answers = harness.mxnet_answers(cases)
    nets = []
    for number, (name, case) in enumerate(cases.items()):
        outputs = answers[name]
        if isinstance(outputs, str):
            continue
        made = harness._folder(case)
        here = folder / f"{number:04}"
        here.mkdir()
        if (made / PARAMS).stat().st_size > EMPTY:
            shutil.copy(made / PARAMS, here / PARAMS)
        symbol = json.loads((made / SYMBOL).read_text())
        if not case.graph and not case.refused:
            floats = {n for n, array in wire.load(made / "inputs.wire").items() if array.dtype == np.float32}
            ends = not name.endswith(LAST)
            symbol = neighboured(symbol, floats, [ends and array.dtype == np.float32 for array in outputs.values()])
        (here / SYMBOL).write_text(json.dumps(symbol))
        nets.append(Net(name, here, harness._options(case), bool(case.refused)))
    return [*nets, *(_by_hand(folder, name) for name in HAND)] if not tables or "mutants" in tables else nets


def _held(case: harness.Case) -> harness.Case | None:
    """The same row with all but its first input as weights: given arrays are indices, boxes or lengths as a rule,
    and what probes put in their place is outside of what MXNet takes."""
    names = list(case.inputs)
    if case.graph or case.refused or len(names) < 2 or not any(isinstance(v, np.ndarray) for v in case.inputs.values()):
        return None
    rest = {name: case.inputs[name] for name in names[1:]}
    order = case.order or (*case.inputs, *case.weights)
    return replace(case, inputs={names[0]: case.inputs[names[0]]}, weights={**rest, **case.weights}, order=order)


def neighboured(symbol: dict[str, Any], inputs: set[str], heads: Sequence[bool]) -> dict[str, Any]:
    """A node on each of these inputs and behind each of these heads. The operator in the middle stays as it is."""
    nodes: list[dict[str, Any]] = []
    where: dict[int, int] = {}
    # What an operator wants as it is: an index times 0.75 is none.
    meant = {
        symbol["nodes"][entry[0]]["name"]
        for node in symbol["nodes"]
        for place, entry in enumerate(node["inputs"])
        if place in RULES.get(node["op"], {})
    }
    for index, node in enumerate(symbol["nodes"]):
        node = node | {"inputs": [[where[source], *rest] for source, *rest in node["inputs"]]}
        nodes.append(node)
        where[index] = len(nodes) - 1
        if node["op"] == "null" and node["name"] in inputs:
            scaled = {"op": "_mul_scalar", "attrs": {"scalar": str(BEFORE)}}
            kind = {"op": "_copy"} if node["name"] in meant else scaled
            nodes.append(kind | {"name": f"before_{node['name']}", "inputs": [[where[index], 0, 0]]})
            where[index] = len(nodes) - 1
    ends = []
    for place, (head, wanted) in enumerate(zip(symbol["heads"], heads, strict=True)):
        end = [where[head[0]], head[1], 0]
        if wanted:
            behind = {"op": "_mul_scalar", "name": f"behind_{place}", "attrs": {"scalar": str(BEHIND)}, "inputs": [end]}
            nodes.append(behind)
            end = [len(nodes) - 1, 0, 0]
        ends.append(end)
    variables = [index for index, node in enumerate(nodes) if node["op"] == "null"]
    return {"nodes": nodes, "arg_nodes": variables, "heads": ends, "attrs": symbol["attrs"]}


@dataclass(frozen=True)
class Hand:
    """Operators one behind the other, each over the one before and its weights. `judge`: "base" is our interpreter, who
    judges in production too what MXNet 1.9 does not take.
    """

    chain: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]
    judge: str = ""
    shape: tuple[int, ...] = (2, 6, 4, 5)


GAPS = np.where(np.arange(12) % 5 == 3, np.nan, np.linspace(-1, 2, 12)).astype(np.float32).reshape(3, 4)
HAND: dict[str, Hand] = {
    "MXNet 2: mish": Hand((("Activation", {"act_type": "mish"}, {}),), "base"),
    "MXNet 2: log_sigmoid": Hand((("Activation", {"act_type": "log_sigmoid"}, {}),), "base"),
    "MXNet 2: group norm with a gamma a channel": Hand(
        (("GroupNorm", {"num_groups": 3}, {"gamma": (6,), "beta": (6,)}),), "base"
    ),
    **{
        f"{op} of what holds NaN": Hand(
            (("broadcast_mul", {}, {"gaps": GAPS}), (op, {"axis": axis, "keepdims": True}, {})), shape=(3, 4)
        )
        for op, axis in (("nansum", 1), ("nanprod", 0))
    },
    "nothing, two axes of it made one": Hand(
        (("_npi_slice", {"begin": "(0, 1)", "end": "(2, 1)"}, {}), ("Reshape", {"shape": "(-3, 0)"}, {})),
        shape=(2, 3, 4),
    ),
    "softmax of what a narrow type cannot tell apart": Hand(
        (("_plus_scalar", {"scalar": 1000.0}, {}), ("softmax", {"dtype": "float16"}, {})), shape=(3, 8)
    ),
}  # fmt: skip


def _by_hand(folder: Path, name: str) -> Net:
    hand = HAND[name]
    here = folder / f"hand-{list(HAND).index(name):03}"
    here.mkdir()
    graph, arrays = Graph(), dict[str, Any]()
    at = graph.node("_mul_scalar", "before_data", [graph.variable("data")], scalar=BEFORE)
    for number, (op, attrs, weights) in enumerate(hand.chain):
        names = {f"op{number}_{each}": given for each, given in weights.items()}
        arrays |= {f"arg:{each}": harness.array(each, given) for each, given in names.items()}
        at = graph.node(op, f"op{number}", [at, *(graph.variable(each) for each in names)], **attrs)
    graph.save(here / SYMBOL, graph.node("_mul_scalar", "behind_0", [at], scalar=BEHIND))
    if arrays:
        write.params(here / PARAMS, arrays)
    options = ModelOptions(inputs=(TensorOption("data", "", "float32", hand.shape),))
    return Net(name, here, options, judge=hand.judge)


SHARED = ("gateway.graph.nms", "gateway.graph.tools")
TARGET = Target("mxnet", "gateway.formats.mxnet.ops", make, judge="mxnet", skip=("refusals",), shared=SHARED)
