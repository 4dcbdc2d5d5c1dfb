"""Recurrent layers over whole sequences: batch first, gates in OpenVINO's order, one bias for two."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.openvino import NAME
from gateway.formats.openvino.convert import Node
from gateway.graph.emit import Emit
from gateway.graph.registry import op
from gateway.graph.tools import cast, transpose

FICO_TO_IOFC = (1, 3, 0, 2)  # OpenVINO's f i c o, ONNX's i o f c


def _gates(array: Array, order: tuple[int, ...]) -> Array:
    """[directions, gates * hidden, ...] with its gates in another order."""
    directions, rows = array.shape[:2]
    parts = array.reshape(directions, len(order), rows // len(order), *array.shape[2:])
    return np.ascontiguousarray(parts[:, list(order)]).reshape(array.shape)


def _settings(graph: Emit, node: Node) -> dict[str, Any]:
    if node.number("clip", 0.0):
        raise graph.error("clips its gates")
    if node.text("activations_alpha") or node.text("activations_beta"):
        raise graph.error("has activations with parameters")
    return {"hidden_size": int(node.number("hidden_size")), "direction": node.text("direction", "forward").lower()}


def _activations(node: Node, default: str) -> list[str]:
    names = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}
    chosen = [names[name.strip().lower()] for name in node.text("activations", default).split(",")]
    return chosen * (2 if node.text("direction", "forward").lower() == "bidirectional" else 1)


def _shown(graph: Emit, made: list[str]) -> list[str]:
    """Y and the last states, batch first again."""
    return [transpose(graph, made[0], [2, 1, 0, 3]), *(transpose(graph, state, [1, 0, 2]) for state in made[1:])]


@op(NAME, "LSTMSequence")
def lstm(graph: Emit, node: Node) -> list[str]:
    """LSTM."""
    x, hidden, cell, lengths = node.inputs[:4]
    w, r, b = (graph.weight(place, what) for place, what in ((4, "weights"), (5, "weights"), (6, "bias")))
    bias = _gates(b, FICO_TO_IOFC)
    given = [
        transpose(graph, x, [1, 0, 2]),
        graph.constant("W", _gates(w, FICO_TO_IOFC)),
        graph.constant("R", _gates(r, FICO_TO_IOFC)),
        graph.constant("B", np.concatenate([bias, np.zeros_like(bias)], 1)),
        cast(graph, lengths, "int32"),
        transpose(graph, hidden, [1, 0, 2]),
        transpose(graph, cell, [1, 0, 2]),
    ]
    names = _activations(node, "sigmoid,tanh,tanh")
    return _shown(graph, graph.nodes("LSTM", given, 3, activations=names, **_settings(graph, node)))


@op(NAME, "GRUSequence")
def gru(graph: Emit, node: Node) -> list[str]:
    """GRU; with `linear_before_reset` its bias has a fourth part."""
    x, hidden, lengths = node.inputs[:3]
    w, r, b = (graph.weight(place, what) for place, what in ((3, "weights"), (4, "weights"), (5, "bias")))
    settings, linear = _settings(graph, node), node.flag("linear_before_reset")
    size = settings["hidden_size"]
    recurrent = np.zeros((b.shape[0], 3 * size), b.dtype)
    if linear:
        recurrent[:, 2 * size :] = b[:, 3 * size :]
    given = [
        transpose(graph, x, [1, 0, 2]),
        graph.constant("W", w),
        graph.constant("R", r),
        graph.constant("B", np.concatenate([b[:, : 3 * size], recurrent], 1)),
        cast(graph, lengths, "int32"),
        transpose(graph, hidden, [1, 0, 2]),
    ]
    names = _activations(node, "sigmoid,tanh")
    made = graph.nodes("GRU", given, 2, activations=names, linear_before_reset=int(linear), **settings)
    return _shown(graph, made)


@op(NAME, "RNNSequence")
def rnn(graph: Emit, node: Node) -> list[str]:
    """RNN."""
    x, hidden, lengths = node.inputs[:3]
    w, r, b = (graph.weight(place, what) for place, what in ((3, "weights"), (4, "weights"), (5, "bias")))
    given = [
        transpose(graph, x, [1, 0, 2]),
        graph.constant("W", w),
        graph.constant("R", r),
        graph.constant("B", np.concatenate([b, np.zeros_like(b)], 1)),
        cast(graph, lengths, "int32"),
        transpose(graph, hidden, [1, 0, 2]),
    ]
    return _shown(graph, graph.nodes("RNN", given, 2, activations=_activations(node, "tanh"), **_settings(graph, node)))
