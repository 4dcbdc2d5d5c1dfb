"""The fused RNN: layers and directions of rnn_relu, rnn_tanh, lstm and gru over one vector of parameters.

Rule 1: the vector holds every matrix first (layer by layer, direction by direction, input to hidden
        and then hidden to hidden), every bias behind them in the same order.
Rule 2: gates change their order: LSTM i f c o is ONNX's i o f c, GRU r z n is ONNX's z r h, where
        the reset gate works behind the matrix (linear_before_reset).
Rule 3: the layout is (T, N, C); a state given for one row of the batch is every row's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.graph.registry import op
from gateway.graph.tools import (
    axis_of,
    bounded,
    expand,
    part,
    product,
    refuse,
    reshape,
    sizes,
    static,
    transpose,
    unsqueeze,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


@dataclass(frozen=True)
class Cell:
    """ONNX's operator, and where each of its gates stands among MXNet's."""

    onnx: str
    gates: tuple[int, ...]
    activation: str = ""


CELLS = {
    "rnn_relu": Cell("RNN", (0,), "Relu"),
    "rnn_tanh": Cell("RNN", (0,), "Tanh"),
    "lstm": Cell("LSTM", (0, 3, 1, 2)),
    "gru": Cell("GRU", (1, 0, 2)),
}


class _Parameters:
    """The flat vector, read from its front."""

    def __init__(self, graph: Emit, vector: str, cell: Cell, hidden: int) -> None:
        self.graph, self.vector, self.cell, self.hidden = graph, vector, cell, hidden
        self.at = 0

    def take(self, columns: int) -> str:
        """The next matrix (gates*hidden, columns), or with 0 columns a bias, its gates in ONNX's order."""
        rows = len(self.cell.gates) * self.hidden
        count = rows * max(columns, 1)
        flat = part(self.graph, self.vector, 0, self.at, self.at + count)
        self.at += count
        whole = reshape(self.graph, flat, [rows, columns] if columns else [rows])
        if len(self.cell.gates) == 1:
            return whole
        gates = self.graph.nodes("Split", [whole], len(self.cell.gates), axis=0)
        return self.graph.node("Concat", [gates[place] for place in self.cell.gates], axis=0)


def _stacked(graph: Emit, tensors: list[str]) -> str:
    """One tensor a direction to (directions, ...)."""
    made = [unsqueeze(graph, tensor, [0]) for tensor in tensors]
    return made[0] if len(made) == 1 else graph.node("Concat", made, axis=0)


def _checked(graph: Emit, node: Node) -> tuple[Cell, int]:
    """The cell and the number of states. Errors: ConversionError for what MXNet's CPU code has not either."""
    attrs = node.attrs
    mode = attrs.choice("mode", CELLS)
    for key in ("projection_size", "lstm_state_clip_min", "lstm_state_clip_max"):
        if attrs.has(key):
            raise refuse(node, f"{key} is {attrs.str(key)}; supported is none (MXNet itself has it on GPUs only).")
    if attrs.bool("use_sequence_length", False):
        raise refuse(node, "use_sequence_length is True; supported is False (MXNet itself has it on GPUs only).")
    states = 2 if mode == "lstm" else 1
    if len(node.inputs) < 2 + states:
        raise refuse(node, f"has {len(node.inputs)} inputs; expected data, parameters and {states} state(s).")
    return CELLS[mode], states


@op("mxnet", "RNN", "_npx_rnn")
def rnn(graph: Emit, node: Node) -> str | list[str]:
    """Recurrent layers over time.

    In     (T, N, C), parameters, state (layers*directions, N, H), for lstm the cell's state too
    Out    (T, N, directions*H); with state_outputs the last states too
    Attrs  mode, state_size, num_layers required; bidirectional=False state_outputs=False p (training only)
    """
    attrs = node.attrs
    cell, states = _checked(graph, node)
    hidden = bounded(node, "state_size", attrs.int("state_size"), 1 << 20)
    layers = bounded(node, "num_layers", attrs.int("num_layers"), 256)
    directions = 2 if attrs.bool("bidirectional", False) else 1
    x, batch = node.inputs[0], sizes(graph, node.inputs[0])[1]
    widths = [static(graph, node, x, 2)] + [directions * hidden] * (layers - 1)
    source = _Parameters(graph, reshape(graph, node.inputs[1], [None]), cell, hidden)
    matrices = [[(source.take(width), source.take(hidden)) for _ in range(directions)] for width in widths]
    biases = [
        [graph.node("Concat", [source.take(0), source.take(0)], axis=0) for _ in range(directions)] for _ in widths
    ]
    found = graph.shape(node.inputs[1])
    if found is not None and len(found) == 1 and found[0] not in (None, source.at):
        raise refuse(
            node, f"its parameters are {found[0]} numbers; expected are {source.at} for an input of {widths[0]}."
        )
    begin = [expand(graph, state, [layers * directions, batch, hidden]) for state in node.inputs[2 : 2 + states]]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
    if cell.onnx == "GRU":
        attributes["linear_before_reset"] = 1
    elif cell.activation:
        attributes["activations"] = [cell.activation] * directions
    last: list[list[str]] = [[] for _ in range(states)]
    for layer in range(layers):
        first = [part(graph, state, 0, layer * directions, (layer + 1) * directions) for state in begin]
        inputs = [
            x,
            _stacked(graph, [pair[0] for pair in matrices[layer]]),
            _stacked(graph, [pair[1] for pair in matrices[layer]]),
            _stacked(graph, biases[layer]),
            "",
            *first,
        ]
        made, *ends = graph.nodes(cell.onnx, inputs, 1 + states, **attributes)
        time = sizes(graph, x)[0]
        x = reshape(graph, transpose(graph, made, [0, 2, 1, 3]), [time, batch, product([directions, hidden])])
        for place, end in enumerate(ends):
            last[place].append(end)
    if not attrs.bool("state_outputs", False):
        return x
    return [x, *(ends[0] if layers == 1 else graph.node("Concat", ends, axis=0) for ends in last)]


@op("mxnet", "_rnn_param_concat", "_npi_rnn_param_concat")
def rnn_param_concat(graph: Emit, node: Node) -> str:
    """The vector of parameters, joined from its parts.

    Attrs  dim=1
    """
    axis = axis_of(node, node.attrs.int("dim", 1), graph.rank(node.inputs[0]))
    return graph.node("Concat", list(node.inputs), axis=axis)
