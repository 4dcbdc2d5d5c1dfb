"""Operators over time: SequenceMask, SequenceLast, SequenceReverse.

Rule 1: without use_sequence_length every sequence is as long as the tensor, and the lengths,
        should they be there, are not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.graph.registry import op
from gateway.graph.tools import (
    cast,
    counting,
    ints,
    like,
    numbers,
    part,
    refuse,
    sizes,
    squeeze,
    transpose,
    unsqueeze,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


def _time_axis(node: Node) -> int:
    axis = node.attrs.int("axis", 0)
    if axis not in (0, 1):
        raise refuse(node, f"axis is {axis}; supported are 0 and 1.")
    return axis


def _lengths(graph: Emit, node: Node) -> str | None:
    if not node.attrs.bool("use_sequence_length", False):
        return None
    if len(node.inputs) < 2:
        raise refuse(node, "use_sequence_length is True and there is no input of lengths.")
    return cast(graph, node.inputs[1], "int64")


@op("mxnet", "SequenceMask", "_npx_sequence_mask")
def sequence_mask(graph: Emit, node: Node) -> str:
    """`value` behind the end of each sequence.

    In     (T, N, ...), with axis=1 (N, T, ...); lengths (N)
    Attrs  use_sequence_length=False value=0 axis=0
    """
    x, lengths, axis = node.inputs[0], _lengths(graph, node), _time_axis(node)
    if lengths is None:
        return x
    count, size = graph.rank(x), sizes(graph, x)[axis]
    time = counting(graph, size)
    inside = graph.node("Less", [unsqueeze(graph, time, [1 - axis]), unsqueeze(graph, lengths, [axis])])
    return graph.node(
        "Where", [unsqueeze(graph, inside, range(2, count)), x, like(graph, x, node.attrs.float("value", 0.0))]
    )


@op("mxnet", "SequenceLast")
def sequence_last(graph: Emit, node: Node) -> str:
    """The last element of each sequence.

    In     (T, N, ...), with axis=1 (N, T, ...); lengths (N)
    Out    (N, ...)
    Attrs  use_sequence_length=False axis=0
    """
    x, lengths, axis = node.inputs[0], _lengths(graph, node), _time_axis(node)
    if lengths is None:
        return squeeze(graph, part(graph, x, axis, -1, None), [axis])
    first = transpose(graph, x, [1, 0, *range(2, graph.rank(x))]) if axis == 0 else x
    last = graph.node("Sub", [lengths, ints(graph, [1])])
    return graph.node("GatherND", [first, unsqueeze(graph, last, [1])], batch_dims=1)


@op("mxnet", "SequenceReverse")
def sequence_reverse(graph: Emit, node: Node) -> str:
    """Each sequence back to front; what is behind its end stays.

    In     (T, N, ...); lengths (N)
    Attrs  use_sequence_length=False axis=0 (the only one)
    """
    x, lengths = node.inputs[0], _lengths(graph, node)
    if node.attrs.int("axis", 0) != 0:
        raise refuse(node, f"axis is {node.attrs.int('axis', 0)}; supported is 0.")
    if lengths is None:
        return part(graph, x, 0, -1, None, -1)
    kind = graph.dtype(x)
    made = graph.node("ReverseSequence", [numbers(graph, x), lengths], time_axis=0, batch_axis=1)
    return cast(graph, made, kind)
