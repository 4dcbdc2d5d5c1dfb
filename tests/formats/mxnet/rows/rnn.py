"""Rows of gateway/formats/mxnet/ops/rnn.py: every cell, more than one layer, both directions, states out."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

GATES = {"lstm": 4, "gru": 3, "rnn_relu": 1, "rnn_tanh": 1}


def parameters(mode: str, width: int, hidden: int, layers: int, directions: int) -> int:
    """How many numbers the flat vector holds."""
    rows, count = GATES[mode] * hidden, 0
    for layer in range(layers):
        columns = width if layer == 0 else hidden * directions
        count += directions * rows * (columns + hidden + 2)
    return count


def case(mode: str, layers: int = 1, both: bool = False, states: bool = False, batch: int = 3, **more: object) -> Case:
    hidden, width, directions = 4, 5, 1 + both
    attrs = {"mode": mode, "state_size": hidden, "num_layers": layers}
    attrs |= {"bidirectional": True} if both else {}
    attrs |= {"state_outputs": True} if states else {}
    state = np.random.default_rng(7).standard_normal((layers * directions, batch, hidden)).astype(np.float32)
    weights: dict[str, object] = {"parameters": (parameters(mode, width, hidden, layers, directions),), "state": state}
    if mode == "lstm":
        weights["state_cell"] = state[::-1] * np.float32(0.5)
    return Case("RNN", attrs | more, {"data": (6, batch, width)}, weights)  # type: ignore[arg-type]


CASES: dict[str, Case] = {}
for _mode in GATES:
    CASES |= {
        f"{_mode}, one layer": case(_mode),
        f"{_mode}, states out": case(_mode, states=True),
        f"{_mode}, two layers": case(_mode, 2, states=True),
        f"{_mode}, both directions": case(_mode, both=True, states=True),
        f"{_mode}, two layers, both directions, batch 1": case(_mode, 2, both=True, states=True, batch=1),
    }
CASES |= {
    "lstm with dropout between layers, which inference has not": case("lstm", 2, p=0.5),
    "three layers of gru": case("gru", 3, both=True),
    "lstm over a free number of steps": Case(
        "RNN",
        {"mode": "lstm", "state_size": 4, "num_layers": 2, "state_outputs": True},
        {"data": (6, 3, 5)},
        {"parameters": (parameters("lstm", 5, 4, 2, 1),), "state": (2, 3, 4), "state_cell": (2, 3, 4)},
        free=True,
    ),
    "_rnn_param_concat": Case("_rnn_param_concat", {"dim": 0}, {"a": (4,), "b": (6,), "c": (3,)}),
    "_rnn_param_concat, dim 1 by default": Case("_rnn_param_concat", inputs={"a": (2, 4), "b": (2, 3)}),
    "_npx_rnn": Case(
        "_npx_rnn",
        {"mode": "gru", "state_size": 4, "num_layers": 1, "state_outputs": True},
        {"data": (6, 3, 5)},
        {"parameters": (parameters("gru", 5, 4, 1, 1),), "state": (1, 3, 4)},
    ),
}
