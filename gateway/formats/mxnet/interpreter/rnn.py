"""The fused RNN: layers of lstm, gru, tanh or relu cells over (T, N, C), one or two directions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.elementwise import sigmoid
from gateway.formats.mxnet.interpreter.registry import Node, Result, op

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
Cell = tuple[Array, Array, Array | None, Array, Array]


def _cells(flat: Array, gates: int, size: int, inputs: list[int], projection: int, directions: int) -> Iterator[Cell]:
    """The flat `parameters` cut up, a cell at a time: (i2h, h2h, h2r or None, i2h bias, h2h bias).

    Weights stand first, layer by layer and direction by direction; then all biases in that order.
    """
    at = 0

    def cut(*shape: int) -> Array:
        nonlocal at
        start, at = at, at + int(np.prod(shape))
        return flat[start:at].reshape(shape)

    weights = []
    for width in inputs:
        for _ in range(directions):
            hidden = projection or size
            i2h, h2h = cut(gates * size, width), cut(gates * size, hidden)
            weights.append((i2h, h2h, cut(projection, size) if projection else None))
    for i2h, h2h, h2r in weights:
        yield i2h, h2h, h2r, cut(gates * size), cut(gates * size)


def _step(mode: str, x: Array, h: Array, c: Array, cell: Cell) -> tuple[Array, Array]:
    """One step of one cell -> (h, c). Gates: lstm i f g o; gru r z n, the reset after the product."""
    i2h, h2h, h2r, bias_i, bias_h = cell
    left, right = x @ i2h.T + bias_i, h @ h2h.T + bias_h
    if mode == "lstm":
        i, f, g, o = np.split(left + right, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h if h2r is None else h @ h2r.T), c
    if mode == "gru":
        (ri, zi, ni), (rh, zh, nh) = np.split(left, 3, axis=-1), np.split(right, 3, axis=-1)
        z, n = sigmoid(zi + zh), np.tanh(ni + sigmoid(ri + rh) * nh)
        return (1 - z) * n + z * h, c
    return (np.tanh(left + right) if mode == "rnn_tanh" else np.maximum(left + right, 0)), c


def _run(mode: str, xs: Array, h: Array, c: Array, cell: Cell, backward: bool) -> tuple[Array, Array, Array]:
    outs = [np.empty(0)] * xs.shape[0]
    for t in reversed(range(xs.shape[0])) if backward else range(xs.shape[0]):
        h, c = _step(mode, xs[t], h, c, cell)
        outs[t] = h
    return np.stack(outs), h, c


@op("RNN", "_npx_rnn")
def rnn(node: Node, x: Array, parameters: Array, state: Array, cell_state: Array | None = None) -> Result:
    """(T, N, C) -> (T, N, directions * hidden), and the last states with `state_outputs`."""
    mode = node.attrs.str("mode")
    if mode not in GATES:
        raise node.unsupported(f"mode {mode!r}")
    if node.attrs.bool("use_sequence_length") or node.attrs.has("lstm_state_clip_min"):
        raise node.unsupported("use_sequence_length or lstm_state_clip: MXNet itself has them on GPUs alone")
    size, layers = node.attrs.int("state_size"), node.attrs.int("num_layers")
    directions = 2 if node.attrs.bool("bidirectional") else 1
    projection = node.attrs.optional_int("projection_size") or 0
    hidden = projection or size
    inputs = [x.shape[2], *(hidden * directions,) * (layers - 1)]
    batch = x.shape[1]
    hs = np.broadcast_to(state, (layers * directions, batch, hidden))
    cell_state = np.zeros((1, 1, 1)) if cell_state is None else cell_state
    cs = np.broadcast_to(cell_state, (layers * directions, batch, size))
    cells = list(_cells(parameters.reshape(-1), GATES[mode], size, inputs, projection, directions))
    last: list[tuple[Array, Array]] = []
    for layer in range(layers):
        outs = []
        for direction in range(directions):
            at = layer * directions + direction
            out, h, c = _run(mode, x, hs[at], cs[at], cells[at], direction == 1)
            outs.append(out)
            last.append((h, c))
        x = np.concatenate(outs, axis=-1)
    if not node.attrs.bool("state_outputs"):
        return x
    final = np.stack([h for h, _ in last])
    return (x, final, np.stack([c for _, c in last])) if mode == "lstm" else (x, final)
