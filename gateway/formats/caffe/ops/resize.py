"""Interp of DeepLab and PSPNet, Upsample of SegNet and of YOLO ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.caffe.emit import Fields, Node, bounded, sides
from gateway.graph.registry import op
from gateway.graph.tools import cast, full, part, reshape, sizes, vector

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


@op("caffe", "Interp")
def interp(graph: Emit, node: Node) -> str:
    """Bilinear, corners on corners, to sizes or by a factor; negative pads cut first (DeepLab).

    Params  interp_param: zoom_factor | shrink_factor | height,width | shrink_factor, then zoom_factor; the first of
            these that is there; pad_beg=0 pad_end=0
    """
    (x,) = node.bottoms(1)
    fields = node.fields("interp_param")
    before, after = fields.int("pad_beg", 0), fields.int("pad_end", 0)
    if before > 0 or after > 0:
        raise fields.error(f"pad_beg {before} and pad_end {after}: only negative ones, which cut, exist")
    for axis in (2, 3):
        if before or after:
            x = part(graph, x, axis, -before, graph.size(x, axis) + after)
    target = [_resized(fields, side, name) for side, name in zip(sides(graph, x), ("height", "width"), strict=True)]
    if any(side < 1 for side in target):
        raise fields.error(f"the sizes asked for are {target}")
    bounded(node, target[0] * target[1] * graph.size(x, 1), "the number of elements of a row")
    have = sizes(graph, x)
    return graph.node(
        "Resize", [x, "", "", vector(graph, [*have[:2], *target])], mode="linear",
        coordinate_transformation_mode="align_corners",
    )  # fmt: skip


def _resized(fields: Fields, side: int, name: str) -> int:
    """One factor goes before sizes, sizes go before both factors."""
    shrink, zoom = fields.has("shrink_factor"), fields.has("zoom_factor")
    if not (shrink or zoom) or (shrink and zoom and fields.has("height") and fields.has("width")):
        return fields.size(name)
    if shrink:
        side = (side - 1) // fields.size("shrink_factor") + 1
    if zoom:
        side += (side - 1) * (fields.size("zoom_factor") - 1)
    return side


@op("caffe", "Upsample")
def upsample(graph: Emit, node: Node) -> str:
    """With one bottom nearest by a whole factor; with a mask the numbers go back to where they were largest (SegNet).

    Params  upsample_param: scale=2 | scale_h,scale_w | upsample_h,upsample_w; pad_out_h,w=false
    """
    inputs = node.bottoms(1, 2)
    fields, x = node.fields("upsample_param"), inputs[0]
    scales = [fields.size("scale", 2)] * 2
    if fields.has("scale_h") or fields.has("scale_w"):
        if fields.has("scale"):
            raise fields.error("scale and scale_h or scale_w are given, expected one way")
        scales = [fields.size("scale_h"), fields.size("scale_w")]
    if len(inputs) == 1:
        factors = graph.constant("scales", np.asarray([1, 1, *scales], np.float32))
        return graph.node(
            "Resize", [x, "", factors], mode="nearest", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )  # fmt: skip
    return _back(graph, node, x, inputs[1], _unpooled(graph, fields, x, scales))


def _unpooled(graph: Emit, fields: Fields, x: str, scales: list[int]) -> list[int]:
    """Height and width: as given, both or none, else by the scales; pad_out leaves one out of twice as many."""
    if fields.has("upsample_h") and fields.has("upsample_w"):
        return [fields.size("upsample_h"), fields.size("upsample_w")]
    cut = [fields.bool(f"pad_out_{axis}", False) for axis in "hw"]
    if any(one and scale != 2 for one, scale in zip(cut, scales, strict=True)):
        raise fields.error(f"pad_out_h or pad_out_w goes with a scale of 2 only, found {scales}")
    return [side * scale - one for side, scale, one in zip(sides(graph, x), scales, cut, strict=True)]


def _back(graph: Emit, node: Node, x: str, mask: str, target: list[int]) -> str:
    """Zeros, and each number of x at the place that the mask says."""
    batch, channels = sizes(graph, x)[0], graph.size(x, 1)
    height, width = sides(graph, x)
    graph.expect(mask, graph.shape(x) or (), "mask")
    bounded(node, channels * target[0] * target[1], "the number of elements of a row")
    flat = reshape(graph, x, [batch, channels, height * width])
    places = cast(graph, reshape(graph, mask, [batch, channels, height * width]), "int64")
    zeros = graph.node(
        "Expand", [full(graph, 0, graph.dtype(x)), vector(graph, [batch, channels, target[0] * target[1]])]
    )
    made = graph.node("ScatterElements", [zeros, places, flat], axis=2)
    return reshape(graph, made, [batch, channels, *target])
