"""The IR computed in float64, node by node, from what ops.pbtxt and the operators' own papers say: the second judge.

It shares with the converter what reads the files (ir.py), and nothing else: everything stays with channels last, where
the converter turns; windows are walked tap by tap, where the converter asks for ONNX's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.formats.mmdnn import interpret_shape, ir
from gateway.formats.mmdnn.interpret_layers import TABLE, Call
from gateway.formats.mmdnn.ir import Graph

assert interpret_shape  # its functions are in TABLE by being imported


def missing(graph: Graph) -> dict[str, int]:
    """Operators without a function, counted."""
    return dict(Counter(node.op for node in graph.nodes if node.op != ir.INPUT and node.op not in TABLE))


def walk(graph: Graph, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
    """(node, operator, its outputs by tensor name), in order. `inputs` by node name; floats become float64.

    Errors: whatever numpy raises for inputs that do not fit.
    """
    made: dict[str, list[Array]] = {}
    resized = False
    for node in graph.inputs:
        array = np.asarray(inputs[node.name])
        made[node.name] = [array.astype(np.float64) if array.dtype.kind == "f" else array]
        said = node.attrs.get("shape")
        sizes = said.sizes if isinstance(said, ir.Literal) and said.sizes else None
        resized |= sizes is not None and tuple(sizes[1:]) != array.shape[1:]
    for node in graph.nodes:
        if node.op == ir.INPUT:
            continue
        given = [made[name][place] for name, place in node.inputs]
        answer: Any = TABLE[node.op](Call(node, given, resized))
        made[node.name] = list(answer) if isinstance(answer, (list, tuple)) else [answer]
        yield node.name, node.op, _named(node.name, made[node.name])


def _named(name: str, arrays: Sequence[Array]) -> dict[str, Array]:
    if len(arrays) == 1:
        return {name: arrays[0]}
    return {name if not place else f"{name}:{place}": array for place, array in enumerate(arrays)}


def interpret(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, list[Array]]:
    """The outputs of every node that is one: all of each. Errors: as `walk`."""
    wanted = set(graph.outputs)
    found = {name: [np.asarray(inputs[name])] for name in wanted if name in inputs}
    for name, _, arrays in walk(graph, dict(inputs)):
        if name in wanted:
            found[name] = list(arrays.values())
    return found
