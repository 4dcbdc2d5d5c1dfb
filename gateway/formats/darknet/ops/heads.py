"""What networks end with: softmax, region, yolo, gaussian_yolo, detection.

Rule 1: a head is the layer's own answer, with the sigmoids and softmaxes that Darknet puts there; boxes.py goes on.
Rule 2: [region] has one order of values in both dialects, pjreddie's: (anchor, value) as channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.formats.darknet.ops.weighted import flat, picture
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.darknet.node import Node
    from gateway.graph.emit import Emit


@op("darknet", "softmax")
def softmax(graph: Emit, node: Node) -> str:
    """Over each of `groups` parts of the sample, or each group of the tree; divided by `temperature` first."""
    options = node.options
    values = flat(graph, node.inputs[0])
    temperature = options.float("temperature", 1.0)
    if temperature != 1.0:
        values = graph.node("Div", [values, graph.scalar(temperature, values)])
    if node.layer.tree:
        parts = split(graph, values, 1, node.layer.tree)
        made = graph.node("Concat", [graph.node("Softmax", [part], axis=1) for part in parts], axis=1)
    elif (groups := options.int("groups", 1)) > 1:
        apart = graph.node("Reshape", [values, graph.ints(0, groups, -1)])
        made = graph.node("Softmax", [apart], axis=2)
    else:
        made = graph.node("Softmax", [values], axis=1)
    return picture(graph, made, node.layer.output)


def split(graph: Emit, x: str, axis: int, sizes: Sequence[int]) -> list[str]:
    """Parts of these sizes; none for a size of 0."""
    wanted = [size for size in sizes if size]
    if len(wanted) == 1:
        return [x]
    return graph.nodes("Split", [x, graph.ints(*wanted)], len(wanted), axis=axis)


def by_anchor(graph: Emit, node: Node, x: str, count: int) -> str:
    """(batch, anchors, values, height, width)."""
    channels, height, width = node.layer.output
    return graph.node("Reshape", [x, graph.ints(0, count, channels // count, height, width)])


def anchors_of(node: Node) -> int:
    """How many anchors a head has."""
    masks = node.options.ints("mask")
    return len(masks) if masks and node.op != "region" else node.options.int("num", 1)


@op("darknet", "yolo")
def yolo(graph: Emit, node: Node) -> str:
    """Sigmoid of x, y, objectness and classes; AlexeyAB's scale_x_y and new_coords (no sigmoids here)."""
    apart = by_anchor(graph, node, node.inputs[0], anchors_of(node))
    centre, sides, rest = split(graph, apart, 2, (2, 2, node.options.int("classes", 20) + 1))
    scale = 1.0
    fresh = False
    if node.alexeyab:
        scale = node.options.float("scale_x_y", 1.0)
        fresh = bool(node.options.int("new_coords", 0))
    if not fresh:
        centre, rest = graph.node("Sigmoid", [centre]), graph.node("Sigmoid", [rest])
    parts = [scaled(graph, centre, scale), sides, rest]
    return picture(graph, graph.node("Concat", parts, axis=2), node.layer.output)


def scaled(graph: Emit, centre: str, scale: float) -> str:
    """x and y spread around a half: scale · x - (scale - 1) / 2."""
    if scale == 1.0:
        return centre
    wider = graph.node("Mul", [centre, graph.scalar(scale, centre)])
    return graph.node("Sub", [wider, graph.scalar(0.5 * (scale - 1.0), wider)])


@op("darknet", "gaussian_yolo")
def gaussian_yolo(graph: Emit, node: Node) -> str:
    """x, y, w, h each with its deviation: sigmoids but for w and h, scale_x_y on x and y."""
    apart = by_anchor(graph, node, node.inputs[0], anchors_of(node))
    parts = split(graph, apart, 2, (*[1] * 8, node.options.int("classes", 20) + 1))
    scale = node.options.float("scale_x_y", 1.0)
    made = []
    for place, part in enumerate(parts):
        if place not in (4, 6):  # w and h
            part = graph.node("Sigmoid", [part])
        made.append(scaled(graph, part, scale) if place in (0, 2) else part)
    return picture(graph, graph.node("Concat", made, axis=2), node.layer.output)


@op("darknet", "region")
def region(graph: Emit, node: Node) -> str:
    """Sigmoid of x, y and objectness; classes by softmax, by the groups of a tree, else as the dialect has it."""
    options = node.options
    coords, classes = options.int("coords", 4), options.int("classes", 20)
    background = not node.alexeyab and bool(options.int("background", 0))
    if node.alexeyab and coords != 4:
        raise graph.error(f"coords={coords}: AlexeyAB's Darknet computes 4 whatever it says")
    apart = by_anchor(graph, node, node.inputs[0], options.int("num", 1))
    soft = bool(options.int("softmax", 0)) and not node.layer.tree
    scores = [1 + classes] if background and soft else [1, classes]
    centre, sides, *rest = split(graph, apart, 2, [2, coords - 2, *scores])
    made = [graph.node("Sigmoid", [centre]), sides]
    if background and soft:
        made.append(graph.node("Softmax", rest, axis=2))
    else:
        made.append(rest[0] if background else graph.node("Sigmoid", [rest[0]]))
        made += [_classes(graph, node, part, soft) for part in rest[1:]]
    return picture(graph, graph.node("Concat", made, axis=2), node.layer.output)


def _classes(graph: Emit, node: Node, x: str, soft: bool) -> str:
    if node.layer.tree:
        groups = [graph.node("Softmax", [part], axis=2) for part in split(graph, x, 2, node.layer.tree)]
        return graph.node("Concat", groups, axis=2)
    if soft:
        return graph.node("Softmax", [x], axis=2)
    return x if node.alexeyab else graph.node("Sigmoid", [x])


@op("darknet", "detection")
def detection(graph: Emit, node: Node) -> str:
    """YOLO's first: classes of all cells, then objectness, then boxes; a softmax of each cell's classes if asked."""
    options = node.options
    if not options.int("softmax", 0):
        return node.inputs[0]
    cells, classes = options.int("side", 7) ** 2, options.int("classes", 1)
    values = flat(graph, node.inputs[0])
    total = node.layer.output[0]
    first, rest = split(graph, values, 1, (cells * classes, total - cells * classes))
    apart = graph.node("Softmax", [graph.node("Reshape", [first, graph.ints(0, cells, classes)])], axis=2)
    made = graph.node("Concat", [flat(graph, apart), rest], axis=1)
    return picture(graph, made, node.layer.output)
