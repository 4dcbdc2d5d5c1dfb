"""RNN, GRU and LSTM: the input's products for all steps at once, then a loop over time.

Rule 1: `sequence_lens` are kept to: after the end of a sequence outputs are 0 and the state stays;
        the reverse direction begins at each sequence's own end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op

Activation = Callable[[Any], Any]
Step = Callable[[Any, Sequence[Any]], Sequence[Any]]
"""(input products of one time, state) -> new state; the first of the state is the output."""


def _activation(name: str, alpha: float | None, beta: float | None) -> Activation:
    """The standard's list, with its defaults. Errors: ValueError."""

    def given(value: float | None, default: float) -> float:
        return default if value is None else value

    table: dict[str, Activation] = {
        "relu": tf.nn.relu,
        "tanh": tf.tanh,
        "sigmoid": tf.sigmoid,
        "affine": lambda x: given(alpha, 1.0) * x + given(beta, 0.0),
        "leakyrelu": lambda x: tf.nn.leaky_relu(x, given(alpha, 0.01)),
        "thresholdedrelu": lambda x: tf.where(x >= given(alpha, 1.0), x, tf.zeros_like(x)),
        "scaledtanh": lambda x: given(alpha, 1.0) * tf.tanh(given(beta, 1.0) * x),
        "hardsigmoid": lambda x: tf.clip_by_value(given(alpha, 0.2) * x + given(beta, 0.5), 0, 1),
        "elu": lambda x: tf.where(x >= 0, x, given(alpha, 1.0) * tf.math.expm1(tf.minimum(x, 0.0))),
        "softsign": tf.nn.softsign,
        "softplus": tf.nn.softplus,
    }
    if name.lower() not in table:
        raise ValueError(f"activation {name!r}, expected one of {', '.join(sorted(table))}")
    return table[name.lower()]


TAKES_ALPHA = {"affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu"}
TAKES_BETA = {"affine", "scaledtanh", "hardsigmoid"}


@dataclass(frozen=True)
class Direction:
    """Weights of one direction. `w` (I, G H), `r` (H, G H), biases (G H), `peephole` (3 H) or None."""

    w: Any
    r: Any
    wb: Any
    rb: Any
    peephole: Any
    activations: Sequence[Activation]
    backwards: bool


@dataclass(frozen=True)
class Run:
    """What all directions share. `x` is (T, N, I); `lengths` (N,) or None."""

    node: Node
    x: Any
    lengths: Any
    initial: Sequence[Any]  # each (D, N, H), or None for zeros
    hidden: int

    @property
    def clip(self) -> float | None:
        value: float | None = self.node.get("clip")
        return value


def _limited(run: Run, gate: Any) -> Any:
    return gate if run.clip is None else tf.clip_by_value(gate, -run.clip, run.clip)


def _directions(
    node: Node, gates: int, defaults: Sequence[str], w: Value, r: Value, b: Value | None, p: Value | None
) -> list[Direction]:
    count = w.shape[0]
    assert count is not None
    names = list(node.get("activations", list(defaults) * count))
    alphas, betas = list(node.get("activation_alpha", [])), list(node.get("activation_beta", []))
    made = []
    for name in names:
        alpha = alphas.pop(0) if name.lower() in TAKES_ALPHA and alphas else None
        beta = betas.pop(0) if name.lower() in TAKES_BETA and betas else None
        made.append(_activation(name, alpha, beta))
    weights, recurrence = w.in_order((0, 2, 1)), r.in_order((0, 2, 1))
    hidden = recurrence.shape[1]
    found = []
    for number in range(count):
        both = None if b is None else b.tensor[number]
        found.append(
            Direction(
                weights[number],
                recurrence[number],
                None if both is None else both[: gates * hidden],
                None if both is None else both[gates * hidden :],
                None if p is None else p.tensor[number],
                made[number * len(defaults) : (number + 1) * len(defaults)],
                node.get("direction", "forward") == "reverse" or number == 1,
            )
        )
    return found


def _reversed(tensor: Any, lengths: Any) -> Any:
    if lengths is None:
        return tf.reverse(tensor, [0])
    return tf.reverse_sequence(tensor, lengths, seq_axis=0, batch_axis=1)


def _loop(run: Run, direction: Direction, number: int, step: Step, products: Any) -> tuple[Any, list[Any]]:
    """Outputs (T, N, H) and the final state, each (N, H)."""
    steps, batch = tf.shape(products)[0], tf.shape(products)[1]
    zeros = tf.zeros([batch, run.hidden], products.dtype)
    state = [zeros if initial is None else initial[number] for initial in run.initial]
    rows = tf.TensorArray(products.dtype, steps, element_shape=[products.shape[1], run.hidden])

    def body(time: Any, rows: Any, state: list[Any]) -> tuple[Any, Any, list[Any]]:
        new = list(step(products[time], state))
        output = new[0]
        if run.lengths is not None:
            lives = (time < run.lengths)[:, None]
            new = [tf.where(lives, fresh, old) for fresh, old in zip(new, state)]
            output = tf.where(lives, output, zeros)
        return time + 1, rows.write(time, output), new

    shapes = [tf.TensorShape([products.shape[1], run.hidden])] * len(state)
    _, rows, state = tf.while_loop(
        lambda time, rows, state: time < steps,
        body,
        (tf.constant(0), rows, state),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape(None), shapes),
    )
    outputs = rows.stack()
    return outputs, state


def _run(run: Run, directions: Sequence[Direction], stepper: Callable[[Direction], Step]) -> Any:
    """Y (T, D, N, H), and each final state (D, N, H); or with layout 1 (N, T, D, H) and (N, D, H)."""
    every, last = [], []
    for number, direction in enumerate(directions):
        x = _reversed(run.x, run.lengths) if direction.backwards else run.x
        products = tf.tensordot(x, direction.w, [[2], [0]])
        if direction.wb is not None:
            products = products + direction.wb
        outputs, state = _loop(run, direction, number, stepper(direction), products)
        every.append(_reversed(outputs, run.lengths) if direction.backwards else outputs)
        last.append(state)
    return _laid_out(run, every, [tf.stack([state[i] for state in last]) for i in range(len(run.initial))])


def _laid_out(run: Run, every: Sequence[Any], states: Sequence[Any]) -> Any:
    """Outputs (T, N, H) of each direction, final states (D, N, H), as the node's layout has them."""
    whole = tf.stack(every, 1)
    if run.node.get("layout", 0):
        return (tf.transpose(whole, [2, 0, 1, 3]), *[tf.transpose(state, [1, 0, 2]) for state in states])
    return (whole, *states)


def _is_plain(node: Node) -> bool:
    """Is it the LSTM that TensorFlow's kernel knows?"""
    names = [name.lower() for name in node.get("activations", [])]
    usual = ["sigmoid", "tanh", "tanh"]
    return names in ([], usual, usual * 2) and node.get("clip") is None and not node.get("input_forget", 0)


def _stored(w: Value, r: Value, b: Value | None) -> list[tuple[Value, Value]] | None:
    """Weights (I + H, 4 H) and biases (4 H) of each direction, their gates in the kernel's order; None where they
    are computed.
    """
    if w.array is None or r.array is None or (b is not None and b.array is None):
        return None
    hidden = r.array.shape[2]
    order = np.concatenate([np.arange(hidden) + gate * hidden for gate in (0, 2, 3, 1)])  # iofc -> ifco
    found = []
    for number in range(w.array.shape[0]):
        both = np.concatenate([w.array[number].T, r.array[number].T])[:, order]
        bias = np.zeros(4 * hidden, w.array.dtype)
        if b is not None and b.array is not None:
            wide = b.array[number].astype(np.float64)
            bias = (wide[: 4 * hidden] + wide[4 * hidden :]).astype(w.array.dtype)[order]
        found.append((w.replaced(np.ascontiguousarray(both)), (b or w).replaced(bias)))
    return found


def _together(run: Run, stored: Sequence[tuple[Value, Value]]) -> Any:
    """All steps in one kernel: a loop in the graph costs more for each step than what it computes."""
    every, hidden, cells = [], [], []
    steps, batch = tf.shape(run.x)[0], tf.shape(run.x)[1]
    none = tf.zeros([run.hidden], run.x.dtype)  # no peepholes
    for number, (weights, bias) in enumerate(stored):
        backwards = run.node.get("direction", "forward") == "reverse" or number == 1
        zeros = tf.zeros([batch, run.hidden], run.x.dtype)
        h, c = (zeros if initial is None else initial[number] for initial in run.initial)
        made = tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.cast(steps, tf.int64),
            x=_reversed(run.x, None) if backwards else run.x,
            cs_prev=c, h_prev=h, w=weights.tensor, wci=none, wcf=none, wco=none, b=bias.tensor,
        )  # fmt: skip
        every.append(_reversed(made.h, None) if backwards else made.h)
        # With the initial state in front a sequence of no steps has a last one too.
        hidden.append(tf.concat([h[tf.newaxis], made.h], 0)[-1])
        cells.append(tf.concat([c[tf.newaxis], made.cs], 0)[-1])
    return _laid_out(run, every, [tf.stack(hidden), tf.stack(cells)])


def _prepared(node: Node, x: Value, lengths: Value | None, r: Value, initial: Sequence[Value | None]) -> Run:
    batch_first = bool(node.get("layout", 0))
    hidden = r.shape[2]
    assert hidden is not None
    return Run(
        node,
        x.in_order((1, 0, 2)) if batch_first else x.tensor,
        None if lengths is None else tf.cast(lengths.tensor, tf.int32),
        [None if v is None else (v.in_order((1, 0, 2)) if batch_first else v.tensor) for v in initial],
        hidden,
    )


@op(TARGET, "RNN")
def rnn(
    build: Builder,
    node: Node,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    lengths: Value | None = None,
    initial: Value | None = None,
) -> Any:
    """H = f(X W' + H R' + Wb + Rb)."""
    run = _prepared(node, x, lengths, r, [initial])

    def stepper(d: Direction) -> Step:
        def step(product: Any, state: Sequence[Any]) -> Sequence[Any]:
            gate = product + tf.matmul(state[0], d.r) + (0 if d.rb is None else d.rb)
            return [d.activations[0](_limited(run, gate))]

        return step

    return _run(run, _directions(node, 1, ("Tanh",), w, r, b, None), stepper)


@op(TARGET, "GRU")
def gru(
    build: Builder,
    node: Node,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    lengths: Value | None = None,
    initial: Value | None = None,
) -> Any:
    """Gates z, r, h; with linear_before_reset the reset gate works after the recurrent product and its bias."""
    run = _prepared(node, x, lengths, r, [initial])
    late = bool(node.get("linear_before_reset", 0))
    h = run.hidden

    def stepper(d: Direction) -> Step:
        rb = tf.zeros([3 * h], run.x.dtype) if d.rb is None else d.rb

        def step(product: Any, state: Sequence[Any]) -> Sequence[Any]:
            before = state[0]
            gates = product[:, : 2 * h] + tf.matmul(before, d.r[:, : 2 * h]) + rb[: 2 * h]
            both = d.activations[0](_limited(run, gates))
            update, reset = both[:, :h], both[:, h:]
            if late:
                hidden = product[:, 2 * h :] + reset * (tf.matmul(before, d.r[:, 2 * h :]) + rb[2 * h :])
            else:
                hidden = product[:, 2 * h :] + tf.matmul(reset * before, d.r[:, 2 * h :]) + rb[2 * h :]
            return [(1 - update) * d.activations[1](_limited(run, hidden)) + update * before]

        return step

    return _run(run, _directions(node, 3, ("Sigmoid", "Tanh"), w, r, b, None), stepper)


@op(TARGET, "LSTM")
def lstm(
    build: Builder,
    node: Node,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    lengths: Value | None = None,
    initial_h: Value | None = None,
    initial_c: Value | None = None,
    p: Value | None = None,
) -> Any:
    """Gates i, o, f, c, with peepholes where there are any; input_forget couples f = 1 - i."""
    run = _prepared(node, x, lengths, r, [initial_h, initial_c])
    if lengths is None and p is None and _is_plain(node) and not build.weights.trainable:
        stored = _stored(w, r, b)
        if stored is not None and run.x.dtype == tf.float32:
            return _together(run, stored)
    coupled = bool(node.get("input_forget", 0))
    h = run.hidden

    def stepper(d: Direction) -> Step:
        f, g, out = d.activations

        def peep(number: int, cell: Any) -> Any:
            return 0 if d.peephole is None else d.peephole[number * h : (number + 1) * h] * cell

        def step(product: Any, state: Sequence[Any]) -> Sequence[Any]:
            before, cell = state
            gates = product + tf.matmul(before, d.r) + (0 if d.rb is None else d.rb)
            i, o, forget, c = tf.split(gates, 4, 1)
            i = f(_limited(run, i + peep(0, cell)))
            forget = 1 - i if coupled else f(_limited(run, forget + peep(2, cell)))
            new = forget * cell + i * g(_limited(run, c))
            o = f(_limited(run, o + peep(1, new)))
            return [o * out(new), new]

        return step

    return _run(run, _directions(node, 4, ("Sigmoid", "Tanh", "Tanh"), w, r, b, p), stepper)
