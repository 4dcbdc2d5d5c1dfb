"""If, Loop, Scan and SequenceMap. A body sees the names outside it; what it makes stays inside it.

Rule 1: a condition or a number of rounds that is known now is followed now: the branch is taken,
        a loop that carries sequences is unrolled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder, Item
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op

MAX_UNROLLED = 1024  # rounds


def _tensors(items: Sequence[Item], node: Node) -> list[Any]:
    """Errors: ValueError for a sequence where only tensors can pass."""
    for item in items:
        if not isinstance(item, Value):
            raise ValueError(f"{node.op} passes a sequence or an optional through a graph that depends on data")
    return [item.tensor for item in items]


@op(TARGET, "If")
def if_(build: Builder, node: Node, condition: Value, *, scope: Mapping[str, Item]) -> Any:
    """The one branch or the other; when the condition is known, that branch only."""
    branches = node.get("then_branch"), node.get("else_branch")
    if condition.array is not None:
        return tuple(build.body(branches[0] if bool(condition.array.reshape(-1)[0]) else branches[1], [], scope))

    def taken(graph: Any) -> Any:
        return lambda: [tf.identity(tensor) for tensor in _tensors(build.body(graph, [], scope), node)]

    return tuple(tf.cond(tf.reshape(condition.tensor, []), taken(branches[0]), taken(branches[1])))


@op(TARGET, "Loop")
def loop(
    build: Builder,
    node: Node,
    rounds: Value | None = None,
    condition: Value | None = None,
    *carried: Item,
    scope: Mapping[str, Item],
) -> Any:
    """At most `rounds` times while the condition holds: carried values go round, scan outputs pile up."""
    body = node.get("body")
    scans = len(body.output) - 1 - len(carried)
    if any(not isinstance(item, Value) for item in carried):
        return _unrolled(build, node, rounds, condition, list(carried), scope)
    start = [item.tensor for item in carried]
    loosened = _invariants(build, node, body, start, scope)
    most = None if rounds is None else tf.cast(tf.reshape(rounds.tensor, []), tf.int64)
    holds = tf.constant(True) if condition is None else tf.reshape(condition.tensor, [])
    piles = _piles(build, node, body, loosened, start, scans, scope)

    def goes_on(number: Any, holds: Any, state: Any, piles: Any) -> Any:
        return holds if most is None else holds & (number < most)

    def step(number: Any, holds: Any, state: Any, piles: Any) -> Any:
        feeds = [Value(number), Value(holds), *[Value(tensor) for tensor in state]]
        made = _tensors(build.body(body, feeds, scope), node)
        fresh = made[1 + len(state) :]
        place = tf.cast(number, tf.int32)
        grown = [pile.write(place, tensor) for pile, tensor in zip(piles, fresh)]
        return number + 1, tf.reshape(made[0], []), made[1 : 1 + len(state)], grown

    _, _, state, piles = tf.while_loop(
        goes_on,
        step,
        (tf.constant(0, tf.int64), holds, start, piles),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([]), loosened, [tf.TensorShape(None)] * scans),
    )
    return (*state, *[_stacked(pile) for pile in piles])


def _stacked(pile: Any) -> Any:
    """What piled up in the rounds; of no round at all it has no rows, and size 0 where a size is free."""
    shape = pile.element_shape
    if shape.rank is None or shape.is_fully_defined():
        return pile.stack()
    nothing = tf.zeros([0, *[size or 0 for size in shape.as_list()]], pile.dtype)
    made = tf.cond(pile.size() > 0, pile.stack, lambda: nothing)
    made.set_shape([None, *shape.as_list()])
    return made


def _traced(
    build: Builder, node: Node, body: Any, shapes: Sequence[Any], start: Sequence[Any], scope: Mapping[str, Item]
) -> list[Any]:
    """TensorSpecs of what one round makes; traced in a graph of its own and thrown away."""

    def once(number: Any, holds: Any, *state: Any) -> list[Any]:
        feeds = [Value(number), Value(holds), *[Value(tensor) for tensor in state]]
        return _tensors(build.body(body, feeds, scope), node)

    specs = [tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.bool)]
    specs += [tf.TensorSpec(shape, tensor.dtype) for shape, tensor in zip(shapes, start)]
    return list(tf.function(once, autograph=False).get_concrete_function(*specs).structured_outputs)


def _piles(
    build: Builder,
    node: Node,
    body: Any,
    shapes: Sequence[Any],
    start: Sequence[Any],
    scans: int,
    scope: Mapping[str, Item],
) -> list[Any]:
    if not scans:
        return []
    made = _traced(build, node, body, shapes, start, scope)[1 + len(start) :]
    return [tf.TensorArray(tensor.dtype, 0, dynamic_size=True, element_shape=tensor.shape) for tensor in made]


def _invariants(build: Builder, node: Node, body: Any, start: Sequence[Any], scope: Mapping[str, Item]) -> list[Any]:
    """Shapes that hold in every round: a size that a round changes is free."""
    shapes = [tensor.shape for tensor in start]
    for _ in range(3):
        made = _traced(build, node, body, shapes, start, scope)[1 : 1 + len(start)]
        joined = [_joined(shape, tensor.shape) for shape, tensor in zip(shapes, made)]
        if [s.as_list() if s.rank is not None else None for s in joined] == [
            s.as_list() if s.rank is not None else None for s in shapes
        ]:
            break
        shapes = joined
    return shapes


def _joined(one: Any, other: Any) -> Any:
    if one.rank is None or other.rank is None or one.rank != other.rank:
        return tf.TensorShape(None)
    return tf.TensorShape([a if a == b else None for a, b in zip(one.as_list(), other.as_list())])


def _unrolled(
    build: Builder,
    node: Node,
    rounds: Value | None,
    condition: Value | None,
    state: list[Item],
    scope: Mapping[str, Item],
) -> Any:
    body = node.get("body")
    if rounds is None or rounds.array is None:
        raise ValueError("a loop that carries a sequence needs a number of rounds that is known")
    count = int(rounds.array.reshape(-1)[0])
    holds: Item = condition if condition is not None else build.constant(np.asarray(True))
    if count > MAX_UNROLLED:
        raise ValueError(f"a loop that carries a sequence has {count} rounds; {MAX_UNROLLED} are unrolled at most")
    piles: list[list[Any]] = [[] for _ in range(len(body.output) - 1 - len(state))]
    for number in range(count):
        if not isinstance(holds, Value) or holds.array is None:
            raise ValueError("a loop that carries a sequence ends on a condition that is computed")
        if not bool(holds.array.reshape(-1)[0]):
            break
        made = build.body(body, [build.constant(np.asarray(number, np.int64)), holds, *state], scope)
        holds, state = made[0], made[1 : 1 + len(state)]
        for pile, item in zip(piles, made[1 + len(state) :]):
            pile.append(item.tensor)
    return (*state, *[tf.stack(pile) for pile in piles])


@op(TARGET, "Scan")
def scan(build: Builder, node: Node, *items: Item, scope: Mapping[str, Item]) -> Any:
    """State goes along slices of the inputs; outputs are the slices piled up, each in its direction and axis."""
    if node.since < 9:
        return _scan_8(build, node, items, scope)
    body, count = node.get("body"), node.get("num_scan_inputs")
    states = len(items) - count
    return tuple(_scanned(build, node, body, list(items[:states]), list(items[states:]), scope))


def _scanned(
    build: Builder, node: Node, body: Any, state: list[Any], scanned: list[Any], scope: Mapping[str, Item]
) -> list[Any]:
    count, states = len(scanned), len(state)
    outs = len(body.output) - states
    in_axes = node.get("scan_input_axes", [0] * count)
    in_ways = node.get("scan_input_directions", node.get("directions", [0] * count))
    out_axes = node.get("scan_output_axes", [0] * outs)
    out_ways = node.get("scan_output_directions", [0] * outs)
    slices = []
    for value, axis, way in zip(scanned, in_axes, in_ways):
        tensor = value.tensor
        rank = len(tensor.shape)
        axis = axis % rank
        first = tf.transpose(tensor, [axis, *[a for a in range(rank) if a != axis]]) if axis else tensor
        slices.append(tf.reverse(first, [0]) if way else first)
    start = [value.tensor for value in state]
    length = tf.shape(slices[0])[0]

    def once(current: Sequence[Any], pieces: Sequence[Any]) -> list[Any]:
        feeds = [Value(tensor) for tensor in (*current, *pieces)]
        return _tensors(build.body(body, feeds, scope), node)

    specs = [tf.TensorSpec(t.shape, t.dtype) for t in start] + [tf.TensorSpec(s.shape[1:], s.dtype) for s in slices]
    traced = tf.function(lambda *all_: once(all_[:states], all_[states:]), autograph=False)
    made = traced.get_concrete_function(*specs).structured_outputs
    piles = [tf.TensorArray(t.dtype, length, element_shape=t.shape) for t in made[states:]]
    shapes = [_joined(tensor.shape, new.shape) for tensor, new in zip(start, made)]

    def step(number: Any, current: Any, piles: Any) -> Any:
        new = once(current, [piece[number] for piece in slices])
        return number + 1, new[:states], [pile.write(number, t) for pile, t in zip(piles, new[states:])]

    _, start, piles = tf.while_loop(
        lambda number, current, piles: number < length,
        step,
        (tf.constant(0), start, piles),
        shape_invariants=(tf.TensorShape([]), shapes, [tf.TensorShape(None)] * outs),
    )
    results = []
    for pile, axis, way in zip(piles, out_axes, out_ways):
        whole = _stacked(pile)
        whole = tf.reverse(whole, [0]) if way else whole
        rank = len(whole.shape)
        axis = axis % rank
        results.append(tf.transpose(whole, [*range(1, axis + 1), 0, *range(axis + 1, rank)]) if axis else whole)
    return [*start, *results]


def _scan_8(build: Builder, node: Node, items: Sequence[Item], scope: Mapping[str, Item]) -> Any:
    """Opset 8: a batch axis first in everything, lengths of the sequences as first input."""
    lengths, *rest = items
    if lengths is not None:
        raise ValueError("Scan of opset 8 with sequence lengths")
    body, count = node.get("body"), node.get("num_scan_inputs")
    states = len(rest) - count
    batch = rest[0].shape[0]
    if batch is None:
        raise ValueError("Scan of opset 8 with a free batch")
    rows = []
    for number in range(batch):
        pieces = [Value(item.tensor[number]) for item in rest]
        rows.append(_scanned(build, node, body, list(pieces[:states]), list(pieces[states:]), scope))
    return tuple(tf.stack(column) for column in zip(*rows))


@op(TARGET, "SequenceMap")
def sequence_map(build: Builder, node: Node, first: list[Item], *more: Item, scope: Mapping[str, Item]) -> Any:
    """The body for every element of the sequence; tensors beside it are given to every call."""
    body = node.get("body")
    rows = []
    for number, item in enumerate(first):
        feeds = [item, *[other[number] if isinstance(other, list) else other for other in more]]
        rows.append(build.body(body, feeds, scope))
    return tuple([row[column] for row in rows] for column in range(len(body.output)))
