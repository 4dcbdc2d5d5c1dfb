"""RNN and LSTM: step by step, as Caffe unrolls them.

Inputs are (T, N, ...) and cont (T, N), which is 0 where a sequence begins: the state before is forgotten there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.caffe.emit import Node
from gateway.graph.registry import op
from gateway.graph.tools import full, part, reshape, sizes, squeeze, unsqueeze, vector

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

MAX_STEPS = 512


def _steps(graph: Emit, node: Node, gates: int) -> tuple[int, int, list[str], list[str], list[Array]]:
    """(hidden size, steps, what the input gives to each, cont of each as (N, 1), the blobs behind the input's)."""
    inputs = node.bottoms(2, 3)
    fields = node.fields("recurrent_param")
    if fields.bool("expose_hidden", False):
        raise fields.error("expose_hidden is not supported")
    hidden, x = fields.size("num_output"), inputs[0]
    count = graph.size(x, 0)
    if count > MAX_STEPS:
        raise node.error(f"has {count} steps; up to {MAX_STEPS} are unrolled")
    inner = math.prod(graph.size(x, axis) for axis in range(2, graph.rank(x)))
    batch = sizes(graph, x)[1]
    wide = gates * hidden
    weight = graph.constant("weight", np.ascontiguousarray(node.blob(0, (wide, inner), "weight of the input").T))
    given = graph.node("MatMul", [reshape(graph, x, [count, batch, inner]), weight])
    given = graph.node("Add", [given, graph.constant("bias", node.vector(1, wide, "bias"))])
    rest = list(node.blobs[2:])
    if len(inputs) == 3:
        static = inputs[2]
        size = math.prod(graph.size(static, axis) for axis in range(1, graph.rank(static)))
        matrix = node.blob(2, (wide, size), "weight of the static input")
        flat = reshape(graph, static, [sizes(graph, static)[0], size])
        more = graph.node("MatMul", [flat, graph.constant("static", np.ascontiguousarray(matrix.T))])
        given = graph.node("Add", [given, unsqueeze(graph, more, [0])])
        rest = rest[1:]
    rows = [squeeze(graph, part(graph, given, 0, at, at + 1), [0]) for at in range(count)]
    cont = unsqueeze(graph, inputs[1], [2])
    conts = [squeeze(graph, part(graph, cont, 0, at, at + 1), [0]) for at in range(count)]
    return hidden, count, rows, conts, rest


def _matrix(graph: Emit, node: Node, found: Array, shape: tuple[int, int], what: str) -> str:
    if found.size != math.prod(shape):
        raise node.error(f"its {what} has {found.size} numbers, expected {list(shape)}")
    return graph.constant("state", np.ascontiguousarray(found.reshape(shape).T.astype(np.float32)))


def _zero(graph: Emit, node: Node, hidden: int) -> str:
    batch = sizes(graph, node.inputs[0])[1]
    return graph.node("Expand", [full(graph, 0.0, "float32"), vector(graph, [batch, hidden])])


@op("caffe", "LSTM")
def lstm(graph: Emit, node: Node) -> str:
    """Gates i, f, o, g; c = cont f c + i g; h = o tanh(c).

    In      x (T, N, ...), cont (T, N), and what every step is given (N, ...)
    Out     (T, N, num_output)
    Params  recurrent_param: num_output
    """
    node.weights(3 + (len(node.inputs) == 3))
    hidden, _, rows, conts, rest = _steps(graph, node, 4)
    state = _matrix(graph, node, rest[0], (4 * hidden, hidden), "weight of the state")
    h = c = _zero(graph, node, hidden)
    made = []
    for row, cont in zip(rows, conts, strict=True):
        gates = graph.node("Add", [row, graph.node("MatMul", [graph.node("Mul", [h, cont]), state])])
        i, f, o = (graph.node("Sigmoid", [part(graph, gates, 1, at * hidden, (at + 1) * hidden)]) for at in range(3))
        g = graph.node("Tanh", [part(graph, gates, 1, 3 * hidden, 4 * hidden)])
        kept = graph.node("Mul", [cont, graph.node("Mul", [f, c])])
        c = graph.node("Add", [kept, graph.node("Mul", [i, g])])
        h = graph.node("Mul", [o, graph.node("Tanh", [c])])
        made.append(unsqueeze(graph, h, [0]))
    return graph.node("Concat", made, axis=0)


@op("caffe", "RNN")
def rnn(graph: Emit, node: Node) -> str:
    """h = tanh(W h cont + U x + b), answer tanh(V h + c).

    In      x (T, N, ...), cont (T, N), and what every step is given (N, ...)
    Out     (T, N, num_output)
    Params  recurrent_param: num_output
    """
    node.weights(5 + (len(node.inputs) == 3))
    hidden, _, rows, conts, rest = _steps(graph, node, 1)
    state = _matrix(graph, node, rest[0], (hidden, hidden), "weight of the state")
    out = _matrix(graph, node, rest[1], (hidden, hidden), "weight of the answer")
    shift = graph.constant("shift", node.vector(len(node.blobs) - 1, hidden, "bias of the answer"))
    h, made = _zero(graph, node, hidden), []
    for row, cont in zip(rows, conts, strict=True):
        h = graph.node("Tanh", [graph.node("Add", [row, graph.node("MatMul", [graph.node("Mul", [h, cont]), state])])])
        answer = graph.node("Tanh", [graph.node("Add", [graph.node("MatMul", [h, out]), shift])])
        made.append(unsqueeze(graph, answer, [0]))
    return graph.node("Concat", made, axis=0)
