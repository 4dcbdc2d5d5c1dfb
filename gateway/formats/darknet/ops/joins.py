"""Layers that read several others: route, shortcut, sam, scale_channels, and implicit, which reads none.

Rule 1: a shortcut of unequal sizes adds what overlaps, by pjreddie's strides or AlexeyAB's first channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.darknet.ops.activations import WITHOUT_WEIGHTS, activate
from gateway.formats.darknet.shapes import Shape
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.darknet.node import Node
    from gateway.graph.emit import Emit

EPS = 1e-4  # of the sums that weights of a shortcut are divided by


@op("darknet", "route")
def route(graph: Emit, node: Node) -> str:
    """Channels of layers one after the other; AlexeyAB's `groups` takes part `group_id` of each."""
    groups = node.options.int("groups", 1) if node.alexeyab else 1
    parts = list(node.inputs)
    if groups > 1:
        group = node.options.int("group_id", 0)
        for place, (channels, _, _) in enumerate(node.sources):
            size = channels // groups
            parts[place] = _channels(graph, parts[place], group * size, (group + 1) * size)
    return parts[0] if len(parts) == 1 else graph.node("Concat", parts, axis=1)


def _channels(graph: Emit, x: str, start: int, stop: int) -> str:
    return graph.node("Slice", [x, graph.ints(start), graph.ints(stop), graph.ints(1)])


@op("darknet", "shortcut")
def shortcut(graph: Emit, node: Node) -> str:
    """The sum; pjreddie's alpha and beta, AlexeyAB's weights, several layers, unequal channels."""
    made = _weighted(graph, node) if node.alexeyab else _scaled(graph, node)
    return activate(graph, node, made, WITHOUT_WEIGHTS)


def _weighted(graph: Emit, node: Node) -> str:
    """AlexeyAB's: the layer before and those of `from`, each times its weight."""
    channels = node.layer.output[0]
    factors = _factors(node) if "weights" in node.weights else None
    terms = []
    for place, x in enumerate(node.inputs):
        if factors is not None:
            x = _fitted(graph, x, node.sources[place][0], channels)
            x = graph.node("Mul", [x, graph.constant("weights", factors[place])])
        elif place:
            x = _fitted(graph, x, node.sources[place][0], channels)
        terms.append(x)
    made = terms[0]
    for term in terms[1:]:
        made = graph.node("Add", [made, term])
    return made


def _fitted(graph: Emit, x: str, found: int, wanted: int) -> str:
    """The first `wanted` channels, zeros for those that are not there."""
    if found > wanted:
        return _channels(graph, x, 0, wanted)
    if found < wanted:
        return graph.node("Pad", [x, graph.ints(0, 0, 0, 0, 0, wanted - found, 0, 0), graph.scalar(0.0, x)])
    return x


def _factors(node: Node) -> list[Array]:
    """A weight of each term, one for all channels or one a channel, normalised as the cfg says."""
    stored = node.weights["weights"].astype(np.float64).reshape(len(node.inputs), -1)
    kind = node.options.str("weights_normalization", "none")
    if kind in ("relu", "avg_relu"):
        stored = np.maximum(stored, 0.0)
        stored = stored / (EPS + stored.sum(0))
    elif kind == "softmax":
        powers = np.exp(stored - stored.max(0))
        stored = powers / (EPS + powers.sum(0))
    elif kind != "none":
        raise ValueError(f"weights_normalization={kind} is none that Darknet knows")
    return [row.astype(np.float32).reshape(-1, 1, 1) for row in stored]


def _scaled(graph: Emit, node: Node) -> str:
    """pjreddie's: alpha times what is there plus beta times what is added, where the two overlap."""
    alpha, beta = node.options.float("alpha", 1.0), node.options.float("beta", 1.0)
    x, mine, theirs = node.inputs[0], node.layer.output, node.sources[1]
    added = _spread(graph, node.inputs[1], theirs, mine)
    if alpha != 1.0:
        factor = np.ones(mine, np.float32)
        samples = [max(1, mine[axis] // theirs[axis]) for axis in (1, 2)]
        ends = [min(mine[axis], theirs[axis]) * samples[axis - 1] for axis in (1, 2)]
        factor[: min(mine[0], theirs[0]), : ends[0] : samples[0], : ends[1] : samples[1]] = alpha
        x = graph.node("Mul", [x, graph.constant("alpha", factor)])
    if beta != 1.0:
        added = graph.node("Mul", [added, graph.scalar(beta, added)])
    return graph.node("Add", [x, added])


def _spread(graph: Emit, x: str, found: Shape, wanted: Shape) -> str:
    """`x` where it is added: every stride-th place of a larger one, or every sample-th place of a larger sum."""
    for axis in (1, 2):
        here, there = found[axis], wanted[axis]
        if here > there:
            stride = here // there
            starts, ends, steps = graph.ints(0), graph.ints((there - 1) * stride + 1), graph.ints(stride)
            x = graph.node("Slice", [x, starts, ends, graph.ints(axis + 1), steps])
        elif here < there:
            x = _sampled(graph, x, axis + 1, there // here)
            missing = [0] * 4
            missing[axis + 1] = there - here * (there // here)
            if any(missing):
                x = graph.node("Pad", [x, graph.ints(0, 0, 0, 0, *missing), graph.scalar(0.0, x)])
    return _fitted(graph, x, found[0], wanted[0])


def _sampled(graph: Emit, x: str, axis: int, sample: int) -> str:
    """sample - 1 zeros behind each place of an axis."""
    sizes = [graph.size(x, each) for each in (1, 2, 3)]
    apart = graph.node("Unsqueeze", [x, graph.ints(axis + 1)])
    after = [0] * 5
    after[axis + 1] = sample - 1
    apart = graph.node("Pad", [apart, graph.ints(*[0] * 5, *after), graph.scalar(0.0, x)])
    sizes[axis - 1] *= sample
    return graph.node("Reshape", [apart, graph.ints(0, *sizes)])


@op("darknet", "sam", "scale_channels")
def sam(graph: Emit, node: Node) -> str:
    """One layer times another: value by value, or one factor a channel, or one a place."""
    return activate(graph, node, graph.node("Mul", [node.inputs[1], node.inputs[0]]), WITHOUT_WEIGHTS)


@op("darknet", "implicit")
def implicit(graph: Emit, node: Node) -> str:
    """What was learnt, whatever the input is; the same for every row of a batch."""
    learnt = graph.constant("weights", node.weights["weights"].reshape(1, *node.layer.output))
    rows = graph.node("Slice", [graph.node("Shape", [node.inputs[0]]), graph.ints(0), graph.ints(1)])
    return graph.node("Expand", [learnt, graph.node("Concat", [rows, graph.ints(*node.layer.output)], axis=0)])
