"""Preprocessing of pictures that an exported network may begin with: to_tensor, normalize, crop, flips.

Rule 1: pictures are (H, W, C) or (N, H, W, C); what comes out of to_tensor has the channels in front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.graph.registry import op
from gateway.graph.tools import FLOATS, cast, full, part, refuse, static

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


def _rank(graph: Emit, node: Node) -> int:
    count = graph.rank(node.inputs[0])
    if count not in (3, 4):
        raise refuse(node, f"its input has {count} axes; supported is a picture (3) or a batch of them (4).")
    return count


@op("mxnet", "_image_to_tensor", "_npx__image_to_tensor")
def to_tensor(graph: Emit, node: Node) -> str:
    """(H, W, C) of 0..255 to (C, H, W) of 0..1, float32."""
    count = _rank(graph, node)
    order = [2, 0, 1] if count == 3 else [0, 3, 1, 2]
    x = graph.node("Transpose", [cast(graph, node.inputs[0], "float32")], perm=order)
    return graph.node("Div", [x, full(graph, 255.0, "float32")])


@op("mxnet", "_image_normalize", "_npx__image_normalize")
def normalize(graph: Emit, node: Node) -> str:
    """(x - mean) / std, a pair a channel, channels in front.

    Attrs  mean=(0, 0, 0) std=(1, 1, 1); one number is every channel's
    """
    x = node.inputs[0]
    _rank(graph, node)
    if graph.dtype(x) not in FLOATS:
        raise refuse(node, f"its input is {graph.dtype(x)}; supported is floating point.")
    mean, std = (
        graph.constant(key, np.array(node.attrs.floats(key, fallback)).reshape(-1, 1, 1).astype(graph.dtype(x)))
        for key, fallback in (("mean", (0.0, 0.0, 0.0)), ("std", (1.0, 1.0, 1.0)))
    )
    return graph.node("Div", [graph.node("Sub", [x, mean]), std])


@op("mxnet", "_image_flip_left_right", "_npx__image_flip_left_right")
def flip_left_right(graph: Emit, node: Node) -> str:
    """Columns of (H, W, C) back to front."""
    return _flipped(graph, node, 1)


@op("mxnet", "_image_flip_top_bottom", "_npx__image_flip_top_bottom")
def flip_top_bottom(graph: Emit, node: Node) -> str:
    """Rows of (H, W, C) back to front."""
    return _flipped(graph, node, 0)


def _flipped(graph: Emit, node: Node, axis: int) -> str:
    """Errors: ConversionError for an odd size: MXNet 1.9 exchanges pairs and leaves the middle of its result unset."""
    x = node.inputs[0]
    if graph.rank(x) != 3 or static(graph, node, x, axis) % 2:
        raise refuse(
            node, "supported is (H, W, C) with an even size: MXNet itself leaves the middle of an odd one unset."
        )
    return part(graph, x, axis, -1, None, -1)


@op("mxnet", "_image_crop", "_npx__image_crop")
def crop(graph: Emit, node: Node) -> str:
    """A rectangle.

    Attrs  x, y, width, height required
    """
    count, attrs = _rank(graph, node), node.attrs
    left, top, width, height = (attrs.int(key) for key in ("x", "y", "width", "height"))
    if min(left, top) < 0 or min(width, height) < 1:
        raise refuse(node, f"a rectangle of {width} x {height} at {left}, {top}.")
    rows = part(graph, node.inputs[0], count - 3, top, top + height)
    return part(graph, rows, count - 2, left, left + width)
