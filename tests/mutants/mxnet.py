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
from dataclasses import replace
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
SHAPE_2 = (2, 6, 4, 5)
MXNET_2: dict[str, tuple[str, dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "MXNet 2: mish": ("Activation", {"act_type": "mish"}, {}),
    "MXNet 2: log_sigmoid": ("Activation", {"act_type": "log_sigmoid"}, {}),
    "MXNet 2: group norm with a gamma a channel": (
        "GroupNorm", {"num_groups": 3}, {"op_gamma": (6,), "op_beta": (6,)}
    ),
}  # fmt: skip
"""Operator, parameters and weights of what only MXNet 2 has."""
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
    return [*nets, *(_of_mxnet_2(folder, name) for name in MXNET_2)] if not tables or "mutants" in tables else nets


def _of_mxnet_2(folder: Path, name: str) -> Net:
    """A net that MXNet 1.9 does not take; production's second judge, our interpreter in `base`, answers."""
    op, attrs, weights = MXNET_2[name]
    here = folder / f"two-{len(list(folder.iterdir())):04}"
    here.mkdir()
    graph = Graph()
    before = graph.node("_mul_scalar", "before_data", [graph.variable("data")], scalar=BEFORE)
    made = graph.node(op, "op", [before, *(graph.variable(each) for each in weights)], **attrs)
    graph.save(here / SYMBOL, graph.node("_mul_scalar", "behind_0", [made], scalar=BEHIND))
    arrays = {f"arg:{each}": harness.array(each, shape) for each, shape in weights.items()}
    if arrays:
        write.params(here / PARAMS, arrays)
    return Net(name, here, ModelOptions(inputs=(TensorOption("data", "", "float32", SHAPE_2),)), judge="base")


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


TARGET = Target("mxnet", "gateway.formats.mxnet.ops", make, judge="mxnet", skip=("refusals",))
