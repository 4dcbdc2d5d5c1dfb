"""Proposal and MultiProposal: the regions that a region proposal network proposes.

Rule 1: anchors are made with float32 arithmetic in MXNet's order of operations, as constants.
Rule 2: both ends of a box are inside it: a width is x2 - x1 + 1, in the overlap too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.graph.nms import columns, moved, sorted_rows, staying
from gateway.graph.registry import op
from gateway.graph.tools import (
    Size,
    bounded,
    cast,
    expand,
    full,
    ints,
    part,
    product,
    refuse,
    reshape,
    sizes,
    static,
    statics,
    times,
    unsqueeze,
    vector,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


def region_anchors(stride: int, ratios: tuple[float, ...], scales: tuple[float, ...]) -> Array:
    """(ratios*scales, 4) boxes of the first place; widths and heights are rounded before they are scaled; float32."""
    size = np.float32(stride)
    centre = np.float32(0.5) * (size - np.float32(1))
    rows = []
    for ratio in ratios:
        for scale in scales:
            area = np.floor(size * size / np.float32(ratio))
            width = np.floor(np.sqrt(area) + np.float32(0.5)) * np.float32(scale)
            height = np.floor(width / np.float32(scale) * np.float32(ratio) + np.float32(0.5)) * np.float32(scale)
            half = [np.float32(0.5) * (side - np.float32(1)) for side in (width, height)]
            rows.append([centre - half[0], centre - half[1], centre + half[0], centre + half[1]])
    return np.array(rows, np.float32)


def _proposed(graph: Emit, node: Node, batch: Size, count: int, anchors: Array) -> tuple[str, str]:
    """Boxes (B, N, 4) held inside the picture, and their scores (B, N), small and padded ones with -1."""
    attrs, (scores, deltas, info) = node.attrs, node.inputs
    number = static(graph, node, scores, 1) // 2
    height, width = statics(graph, node, scores, (2, 3))
    score = part(graph, scores, 1, number, None)
    score = reshape(graph, graph.node("Transpose", [score], perm=[0, 2, 3, 1]), [batch, count])
    delta = reshape(graph, deltas, [batch, number, 4, height, width])
    delta = reshape(graph, graph.node("Transpose", [delta], perm=[0, 3, 4, 1, 2]), [batch, count, 4])
    limits = [unsqueeze(graph, part(graph, info, 1, n, n + 1), [2]) for n in range(3)]  # height, width, scale
    high = graph.node("Concat", [limits[1], limits[0]], axis=2)
    last = graph.node("Sub", [high, full(graph, 1.0, "float32")])
    first, second = anchors[None, :, :2], anchors[None, :, 2:]
    if attrs.bool("iou_loss", False):
        pair = [
            graph.node("Add", [graph.constant("anchors", corner), columns(graph, delta, n, n + 2)])
            for corner, n in ((first, 0), (second, 2))
        ]
    else:
        size = second - first + np.float32(1)
        centre = first + np.float32(0.5) * (size - np.float32(1))
        side, middle = graph.constant("sizes", size), graph.constant("centres", centre)
        middle, grown = moved(graph, columns(graph, delta, 0, 2), columns(graph, delta, 2, 4), side, middle)
        half = times(graph, graph.node("Sub", [grown, full(graph, 1.0, "float32")]), 0.5)
        pair = [graph.node("Sub", [middle, half]), graph.node("Add", [middle, half])]
    zero = full(graph, 0.0, "float32")
    pair = [graph.node("Max", [graph.node("Min", [corner, last]), zero]) for corner in pair]
    place = np.arange(count) // number
    stride = full(graph, attrs.int("feature_stride", 16), "float32")
    padded = [
        graph.node(
            "GreaterOrEqual",
            [
                graph.constant("place", at.astype(np.float32)),
                graph.node("Floor", [graph.node("Div", [graph.node("Squeeze", [limit, ints(graph, [2])]), stride])]),
            ],
        )
        for at, limit in ((place // width, limits[0]), (place % width, limits[1]))
    ]
    smallest = graph.node("Mul", [limits[2], full(graph, attrs.int("rpn_min_size", 16), "float32")])
    sides = graph.node("Add", [graph.node("Sub", pair[::-1]), full(graph, 1.0, "float32")])
    small = graph.node("Less", [graph.node("ReduceMin", [sides], axes=[2], keepdims=1), smallest])
    more = graph.node("Where", [small, times(graph, smallest, 0.5), zero])
    boxes = graph.node("Concat", [graph.node("Sub", [pair[0], more]), graph.node("Add", [pair[1], more])], axis=2)
    out = graph.node("Or", [graph.node("Or", padded), graph.node("Squeeze", [small, ints(graph, [2])])])
    return boxes, graph.node("Where", [out, full(graph, -1.0, "float32"), score])


@op("mxnet", "_contrib_Proposal", "_contrib_MultiProposal")
def proposal(graph: Emit, node: Node) -> str | list[str]:
    """Regions that a region proposal network proposes.

    In     scores (B, 2*A, H, W), offsets (B, 4*A, H, W), (B, 3): height, width, scale of the picture; float32
    Out    (B*rpn_post_nms_top_n, 5): batch index and corners; with output_score their scores (.., 1)
    Attrs  rpn_pre_nms_top_n=6000 rpn_post_nms_top_n=300 threshold=0.7 rpn_min_size=16 scales=(4, 8, 16, 32)
           ratios=(0.5, 1, 2) feature_stride=16 output_score=False iou_loss=False

    Where fewer stay than are asked for, they are repeated from the first.
    """
    attrs, scores = node.attrs, node.inputs[0]
    channels, height, width = statics(graph, node, scores, (1, 2, 3))
    batch, stride = sizes(graph, scores)[0], attrs.int("feature_stride", 16)
    base = region_anchors(
        stride, attrs.floats("ratios", (0.5, 1.0, 2.0)), attrs.floats("scales", (4.0, 8.0, 16.0, 32.0))
    )
    if channels != 2 * len(base):
        raise refuse(node, f"{channels} channels of scores; expected 2 x {len(base)} for its ratios and scales.")
    count = len(base) * height * width
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    shift = (np.stack([x, y, x, y], -1) * stride).reshape(-1, 1, 4).astype(np.float32)
    boxes, score = _proposed(graph, node, batch, count, (shift + base[None]).reshape(-1, 4))
    before = attrs.int("rpn_pre_nms_top_n", 6000)
    after = bounded(node, "rpn_post_nms_top_n", attrs.int("rpn_post_nms_top_n", 300), 1 << 20)
    before = min(before, count) if before > 0 else count
    rows, _ = sorted_rows(graph, graph.node("Concat", [boxes, unsqueeze(graph, score, [2])], axis=2), score)
    rows = part(graph, rows, 1, 0, before)
    # Both ends of a box are inside it: one more on each side makes it an ordinary one.
    wide = graph.node("Add", [columns(graph, rows, 0, 4), graph.constant("ends", np.array([0, 0, 1, 1], np.float32))])
    valid = graph.node("Expand", [full(graph, 1, "bool"), vector(graph, [batch, before])])
    alive = staying(graph, wide, valid, threshold=attrs.float("threshold", 0.7), at=False)
    rows, _ = sorted_rows(graph, rows, cast(graph, alive, "float32"))
    left = graph.node("ReduceSum", [cast(graph, alive, "int64"), ints(graph, [1])], keepdims=1)
    left = graph.node("Min", [left, ints(graph, [min(after, before)])])
    turn = graph.node("Mod", [graph.constant("turn", np.arange(after, dtype=np.int64)[None]), left])
    chosen = graph.node("GatherND", [rows, unsqueeze(graph, turn, [2])], batch_dims=1)
    index = graph.node(
        "CumSum",
        [expand(graph, full(graph, 1.0, "float32", [1, 1, 1]), [batch, after, 1]), full(graph, 0, "int64")],
        exclusive=1,
    )
    regions = graph.node("Concat", [index, columns(graph, chosen, 0, 4)], axis=2)
    regions = reshape(graph, regions, [product([batch, after]), 5])
    if not attrs.bool("output_score", False):
        return regions
    return [regions, reshape(graph, columns(graph, chosen, 4, 5), [product([batch, after]), 1])]
