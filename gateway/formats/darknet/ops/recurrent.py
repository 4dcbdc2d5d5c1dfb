"""rnn, crnn, lstm, gru. The first axis of every tensor is the time of one sequence; states start at zero.

Rule 1: Darknet's state is what a call leaves to the next one; here a call is a whole sequence.
Rule 2: each part is a connected layer (in a crnn a convolution) with a bias, and batch normalisation, of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.darknet.ops.activations import WITH_WEIGHTS, activate, named
from gateway.formats.darknet.ops.weighted import convolve, flat, folded, matrix, picture
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.darknet.node import Node
    from gateway.graph.emit import Emit

LSTM_GATES = "iofg"  # ONNX: input, output, forget, cell
GRU_GATES = "zrh"  # ONNX: update, reset, hidden


def _gates(node: Node, gates: str) -> tuple[Array, Array, Array]:
    """(W, R, B) as ONNX wants them: one direction, gate after gate; B has the input's biases, then the state's."""
    inputs = [folded(node, f"u{gate}.") for gate in gates]
    states = [folded(node, f"w{gate}.") for gate in gates]
    biases = np.concatenate([part[1] for part in (*inputs, *states)])
    return (
        np.concatenate([part[0] for part in inputs])[None].astype(np.float32),
        np.concatenate([part[0] for part in states])[None].astype(np.float32),
        biases[None].astype(np.float32),
    )


def _sequence(graph: Emit, x: str) -> str:
    """(time, 1, everything)."""
    return graph.node("Unsqueeze", [flat(graph, x), graph.ints(1)])


def _run(graph: Emit, node: Node, op_type: str, gates: str, **attributes: Any) -> str:
    arrays = zip(("W", "R", "B"), _gates(node, gates), strict=True)
    weights = [graph.constant(name, array) for name, array in arrays]
    size = node.layer.output[0]
    made = graph.node(op_type, [_sequence(graph, node.inputs[0]), *weights], hidden_size=size, **attributes)
    return picture(graph, graph.node("Squeeze", [made, graph.ints(1, 2)]), node.layer.output)


@op("darknet", "lstm")
def lstm(graph: Emit, node: Node) -> str:
    """The usual one, its gates by name: both programs' orders are settled by the reader."""
    return _run(graph, node, "LSTM", LSTM_GATES)


@op("darknet", "gru")
def gru(graph: Emit, node: Node) -> str:
    """The reset before the product; the new state is logistic unless pjreddie's `tanh` is set."""
    hidden = "Tanh" if not node.alexeyab and node.options.int("tanh", 0) else "Sigmoid"
    return _run(graph, node, "GRU", GRU_GATES, activations=["Sigmoid", hidden])


@op("darknet", "rnn")
def rnn(graph: Emit, node: Node) -> str:
    """state = act(input) + act(state before), and with `shortcut` + state before; the answer is a layer of that."""
    x = flat(graph, node.inputs[0])
    hidden = node.weights["self_layer.biases"].shape[0]
    given = activate(graph, node, matrix(graph, node, x, "input_layer."), WITH_WEIGHTS)
    states = _states(graph, node, given, (hidden,))
    made = matrix(graph, node, states, "output_layer.")
    return activate(graph, node, picture(graph, made, node.layer.output), WITH_WEIGHTS)


@op("darknet", "crnn")
def crnn(graph: Emit, node: Node) -> str:
    """The same of convolutions."""
    channels = node.weights["self_layer.biases"].shape[0]
    how = _convolution(node)
    given = convolve(graph, node, node.inputs[0], part="input_layer.", **how)
    given = activate(graph, node, given, WITH_WEIGHTS)
    states = _states(graph, node, given, (channels, *node.layer.output[1:]))
    return activate(graph, node, convolve(graph, node, states, part="output_layer.", **how), WITH_WEIGHTS)


def _convolution(node: Node) -> dict[str, Any]:
    size = node.weights["self_layer.weights"].shape[-1]
    return {"padding": size // 2, "groups": max(1, node.options.int("groups", 1)) if node.alexeyab else 1}


def _states(graph: Emit, node: Node, given: str, shape: tuple[int, ...]) -> str:
    """The state after each step, (time, *shape), from what the input gives to it at each."""
    zero = graph.constant("start", np.zeros((1, *shape), np.float32))
    body = _step(node, shape)
    made = graph.builder.nodes("Scan", [zero, given], 2, name=f"{node.name}/Scan", body=body, num_scan_inputs=1)
    graph.know(made[0], "float32", (1, *shape))
    return graph.know(made[1], "float32", (None, *shape))


def _step(node: Node, shape: tuple[int, ...]) -> Any:
    """The GraphProto of one step: (state, what the input gives) -> (state, state)."""
    from gateway.graph.builder import GraphBuilder
    from gateway.graph.emit import Emit

    graph = Emit(GraphBuilder("darknet", name=f"{node.name} step"))
    inner = replace(node, layer=replace(node.layer, name=f"{node.name}/step"))
    graph.current = inner
    state = graph.input(f"{inner.name}/state", "float32", (1, *shape), ())
    given = graph.node("Unsqueeze", [graph.input(f"{inner.name}/given", "float32", shape, ()), graph.ints(0)])
    part = "self_layer."
    if len(shape) == 1:
        made = matrix(graph, inner, state, part)
    else:
        made = convolve(graph, inner, state, part=part, **_convolution(inner))
    logistic = node.options.int("logistic", 0) if node.alexeyab and node.op == "rnn" else 0
    name = {1: "logistic", 2: "loggy"}.get(logistic, node.options.str("activation", WITH_WEIGHTS))
    made = graph.node("Add", [given, named(graph, inner, made, name)])
    if node.options.int("shortcut", 0):
        made = graph.node("Add", [made, state])
    graph.builder.output(made, f"{inner.name}/next", "float32", (1, *shape))
    shown = graph.node("Squeeze", [made, graph.ints(0)])
    graph.builder.output(shown, f"{inner.name}/shown", "float32", shape)
    return graph.builder.build().graph
