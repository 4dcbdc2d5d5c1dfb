"""From heads to boxes: (batch, boxes, 4) and (batch, boxes, classes), before any threshold and suppression.

A box is x, y, w, h: its middle and its sides as shares of the network's input. A score is objectness times class.

Rule 1: boxes stand place by place, row after row, and anchor by anchor within a place; heads in the order of the cfg.
Rule 2: anchors of [yolo] are pixels of the input, those of [region] cells of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.darknet.ops.heads import anchors_of, by_anchor, split
from gateway.formats.darknet.ops.weighted import flat
from gateway.formats.darknet.shapes import Shape
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.darknet.node import Node
    from gateway.graph.emit import Emit


def why_not(node: Node) -> str:
    """Why boxes cannot be made of a head, or ""."""
    if node.op == "region" and node.layer.tree:
        return "its classes are a tree, of which the likeliest path is searched with a threshold"
    if node.op == "detection" and node.options.int("coords", 1) != 4:
        return f"coords={node.options.int('coords', 1)}, and a box has 4"
    if node.op in ("yolo", "gaussian_yolo", "region") and not node.options.floats("anchors"):
        return "it has no anchors="
    return ""


@op("darknet", "yolo boxes", "gaussian_yolo boxes", "region boxes", "detection boxes")
def boxes(graph: Emit, head: str, network: Shape, node: Node) -> tuple[str, str]:
    """(boxes, scores) of one head whose answer is the tensor `head`. `network` is the shape of the input."""
    if node.op == "detection":
        return _of_cells(graph, node, head)
    apart = by_anchor(graph, node, head, anchors_of(node))
    if node.op == "gaussian_yolo":
        return _gaussian(graph, node, apart, network)
    coords = node.options.int("coords", 4) if node.op == "region" else 4
    background = node.op == "region" and not node.alexeyab and bool(node.options.int("background", 0))
    classes = node.options.int("classes", 20)
    centre, sides, *rest = split(graph, apart, 2, (2, 2, coords - 4, 1, classes))
    objectness, scores = rest[-2:]
    made = graph.node("Concat", [_middles(graph, node, centre), _sides(graph, node, sides, network)], axis=2)
    return _rows(graph, made), _rows(graph, scores if background else graph.node("Mul", [scores, objectness]))


def _rows(graph: Emit, x: str) -> str:
    """(batch, anchors, values, height, width) -> (batch, places and anchors, values)."""
    values = graph.size(x, 2)
    moved = graph.node("Transpose", [x], perm=[0, 3, 4, 1, 2])
    return graph.node("Reshape", [moved, graph.ints(0, -1, values)])


def _grid(node: Node) -> tuple[Array, Array]:
    """(column and row of each place, how many there are): (1, 1, 2, height, width) and (1, 1, 2, 1, 1)."""
    _, height, width = node.layer.output
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    places = np.stack([columns, rows])[None, None].astype(np.float32)
    return places, np.asarray([width, height], np.float32).reshape(1, 1, 2, 1, 1)


def _middles(graph: Emit, node: Node, centre: str) -> str:
    places, count = _grid(node)
    added = graph.node("Add", [centre, graph.constant("places", places)])
    return graph.node("Div", [added, graph.constant("grid", count)])


def _anchors(node: Node, network: Shape) -> tuple[Array, Array]:
    """(anchors, what they are shares of): (1, anchors, 2, 1, 1) and (1, 1, 2, 1, 1)."""
    given = np.asarray(node.options.floats("anchors"), np.float64)
    pairs = given[: len(given) // 2 * 2].reshape(-1, 2)
    _, height, width = node.layer.output
    if node.op == "region":
        pairs, whole = pairs[: node.options.int("num", 1)], (width, height)
    else:
        masks = node.options.ints("mask") or tuple(range(anchors_of(node)))
        pairs, whole = pairs[list(masks)], (network[2], network[1])
    return pairs.astype(np.float32).reshape(1, -1, 2, 1, 1), np.asarray(whole, np.float32).reshape(1, 1, 2, 1, 1)


def _sides(graph: Emit, node: Node, sides: str, network: Shape) -> str:
    """In Darknet's order, so that what is too large for a float is so here too."""
    anchors, whole = _anchors(node, network)
    if node.op == "yolo" and node.alexeyab and node.options.int("new_coords", 0):
        factor, anchors = graph.node("Mul", [sides, sides]), 4.0 * anchors
    else:
        factor = graph.node("Exp", [sides])
    made = graph.node("Mul", [factor, graph.constant("anchors", anchors)])
    return graph.node("Div", [made, graph.constant("whole", whole)])


def _gaussian(graph: Emit, node: Node, apart: str, network: Shape) -> tuple[str, str]:
    """Deviations lower the score; the point of a box may be its corner."""
    *parts, objectness, scores = split(graph, apart, 2, (*[1] * 8, 1, node.options.int("classes", 20)))
    middles = _middles(graph, node, graph.node("Concat", [parts[0], parts[2]], axis=2))
    sides = _sides(graph, node, graph.node("Concat", [parts[4], parts[6]], axis=2), network)
    point = node.options.str("yolo_point", "center")
    if point in ("left_top", "right_bottom"):
        half = graph.node("Mul", [sides, graph.scalar(0.5 if point == "left_top" else -0.5, sides)])
        middles = graph.node("Add", [middles, half])
    doubt = parts[1]
    for part in (parts[3], parts[5], parts[7]):
        doubt = graph.node("Add", [doubt, part])
    sure = graph.node("Sub", [graph.scalar(1.0, doubt), graph.node("Mul", [doubt, graph.scalar(0.25, doubt)])])
    scores = graph.node("Mul", [graph.node("Mul", [scores, objectness]), sure])
    return _rows(graph, graph.node("Concat", [middles, sides], axis=2)), _rows(graph, scores)


def _of_cells(graph: Emit, node: Node, head: str) -> tuple[str, str]:
    """YOLO's first: x and y within the cell, w and h as shares of the picture or, with `sqrt`, their roots."""
    options = node.options
    side, count, classes = options.int("side", 7), options.int("num", 1), options.int("classes", 1)
    cells = side * side
    sizes = (cells * classes, cells * count, cells * count * 4)
    scores, objectness, given = split(graph, flat(graph, head), 1, sizes)
    scores = graph.node("Reshape", [scores, graph.ints(0, cells, 1, classes)])
    objectness = graph.node("Reshape", [objectness, graph.ints(0, cells, count, 1)])
    made = graph.node("Reshape", [graph.node("Mul", [scores, objectness]), graph.ints(0, cells * count, classes)])
    centre, sides = split(graph, graph.node("Reshape", [given, graph.ints(0, cells, count, 4)]), 3, (2, 2))
    places = np.stack([np.arange(cells) % side, np.arange(cells) // side], 1).reshape(1, cells, 1, 2)
    centre = graph.node("Add", [centre, graph.constant("places", places.astype(np.float32))])
    centre = graph.node("Div", [centre, graph.scalar(float(side), centre)])
    if options.int("sqrt", 0):
        sides = graph.node("Mul", [sides, sides])
    found = graph.node("Concat", [centre, sides], axis=3)
    return graph.node("Reshape", [found, graph.ints(0, cells * count, 4)]), made


def joined(graph: Emit, parts: Sequence[str]) -> str:
    """Boxes, or scores, of several heads as one tensor."""
    return parts[0] if len(parts) == 1 else graph.node("Concat", list(parts), axis=1)
