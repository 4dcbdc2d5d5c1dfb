"""Heads of detectors: prior boxes, decoding, suppression, and what makes detections of them.

Rule 1: prior boxes are made with float32 arithmetic in MXNet's order of operations, as constants.
Rule 2: rows keep the places that MXNet gives them; a row that is out is -1 where MXNet says so:
        all of it (box_nms) or its class only (MultiBoxDetection).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.graph.nms import column, columns, moved, places, sorted_rows, staying
from gateway.graph.registry import op
from gateway.graph.tools import (
    bounded,
    cast,
    like,
    part,
    product,
    refuse,
    reshape,
    sizes,
    static,
    statics,
    times,
    unsqueeze,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


def prior_boxes(
    height: int, width: int, scales: tuple[float, ...], ratios: tuple[float, ...], steps: Array, offsets: Array
) -> Array:
    """(height*width*(scales+ratios-1), 4) corners as fractions of the picture, float32.

    At each place every scale with the first ratio, then the first scale with every other ratio.
    """
    one = np.float32
    halves = []
    pairs = [(scale, ratios[0] if ratios else 1.0) for scale in scales] + [(scales[0], ratio) for ratio in ratios[1:]]
    for scale, ratio in pairs:
        root = np.sqrt(one(ratio))
        halves.append((one(scale) * one(height) / one(width) * root / one(2), one(scale) / root / one(2)))
    half = np.array(halves, np.float32)
    y = (np.arange(height, dtype=np.float32) + offsets[0]) * steps[0]
    x = (np.arange(width, dtype=np.float32) + offsets[1]) * steps[1]
    shape = (height, width, len(pairs))
    centre = np.stack([np.broadcast_to(x[None, :, None], shape), np.broadcast_to(y[:, None, None], shape)], -1)
    return np.concatenate([centre - half, centre + half], -1).reshape(-1, 4).astype(np.float32)


@op("mxnet", "_contrib_MultiBoxPrior", "_npx_multibox_prior")
def multibox_prior(graph: Emit, node: Node) -> str:
    """Prior boxes of a feature map; only its height and width are read.

    Out    (1, H*W*(sizes+ratios-1), 4)
    Attrs  sizes=(1) ratios=(1) clip=False steps=(-1, -1): 1/H, 1/W offsets=(0.5, 0.5): y, x
    """
    x, attrs = node.inputs[0], node.attrs
    height, width = statics(graph, node, x, (2, 3))
    steps = np.array(attrs.floats("steps", (-1.0, -1.0)), np.float32)
    if (steps <= 0).any():
        steps = np.float32(1) / np.array([height, width], np.float32)
    offsets = np.array(attrs.floats("offsets", (0.5, 0.5)), np.float32)
    scales, ratios = attrs.floats("sizes", (1.0,)), attrs.floats("ratios", (1.0,))
    if len(steps) != 2 or len(offsets) != 2 or not scales or min(ratios, default=1.0) <= 0:
        raise refuse(
            node, f"sizes {scales}, ratios {ratios}, {len(steps)} steps, {len(offsets)} offsets make no boxes."
        )
    bounded(node, "the number of boxes", height * width * (len(scales) + len(ratios) - 1), 1 << 24)
    boxes = prior_boxes(height, width, scales, ratios, steps, offsets)
    boxes = np.clip(boxes, 0, 1) if attrs.bool("clip", False) else boxes
    return cast(graph, graph.constant("boxes", boxes[None]), graph.dtype(x))


def _decoded(graph: Emit, offsets: str, anchors: str, scale: tuple[float, ...], clip: float, corner: bool) -> str:
    """Corners of boxes (B, N, 4) from offsets (B, N, 4) over anchors (1 or B, N, 4)."""
    first, second = columns(graph, anchors, 0, 2), columns(graph, anchors, 2, 4)
    if corner:
        size = graph.node("Sub", [second, first])
        centre = graph.node("Add", [first, times(graph, size, 0.5)])
    else:
        size, centre = second, first
    kind = graph.dtype(offsets)
    shift = graph.node(
        "Mul", [columns(graph, offsets, 0, 2), graph.constant("scale", np.array(scale[:2]).astype(kind))]
    )
    grow = graph.node("Mul", [columns(graph, offsets, 2, 4), graph.constant("scale", np.array(scale[2:]).astype(kind))])
    grow = graph.node("Min", [grow, like(graph, grow, clip)]) if clip > 0 else grow
    middle, sides = moved(graph, shift, grow, size, centre)
    half = times(graph, sides, 0.5)
    return graph.node("Concat", [graph.node("Sub", [middle, half]), graph.node("Add", [middle, half])], axis=2)


@op("mxnet", "_contrib_box_decode")
def box_decode(graph: Emit, node: Node) -> str:
    """Corners of boxes from offsets and anchors.

    In     offsets (B, N, 4), anchors (1, N, 4)
    Attrs  std0..std3=1 clip=-1 (off) format=center|corner: of the anchors
    """
    attrs = node.attrs
    scale = tuple(attrs.float(f"std{n}", 1.0) for n in range(4))
    corner = attrs.choice("format", ("center", "corner"), "center") == "corner"
    return _decoded(graph, node.inputs[0], node.inputs[1], scale, attrs.float("clip", -1.0), corner)


@op("mxnet", "_contrib_box_iou")
def box_iou(graph: Emit, node: Node) -> str:
    """Overlap of every box of one tensor with every box of another, over their union.

    In     (..., 4), (..., 4)
    Out    the axes in front of both
    Attrs  format=corner|center
    """
    corner = node.attrs.choice("format", ("corner", "center"), "corner") == "corner"
    have = [sizes(graph, x) for x in node.inputs]
    low, high, area = [], [], []
    for x, spread in zip(node.inputs, (1, 0), strict=True):
        flat = unsqueeze(graph, reshape(graph, x, [None, 4]), [spread])
        first, second = columns(graph, flat, 0, 2), columns(graph, flat, 2, 4)
        half = times(graph, second, 0.5)
        size = graph.node("Sub", [second, first]) if corner else second
        low.append(first if corner else graph.node("Sub", [first, half]))
        high.append(second if corner else graph.node("Add", [first, half]))
        # A box with a negative side has no area: both sides are cut before they are multiplied.
        wide = graph.node("ReduceMin", [size], axes=[2], keepdims=0)
        whole = graph.node("ReduceProd", [size], axes=[2], keepdims=0)
        zero = like(graph, whole, 0)
        area.append(graph.node("Where", [graph.node("Less", [wide, zero]), zero, whole]))
    sides = graph.node("Sub", [graph.node("Min", high), graph.node("Max", low)])
    both = graph.node("ReduceProd", [graph.node("Max", [sides, like(graph, sides, 0)])], axes=[2], keepdims=0)
    union = graph.node("Sub", [graph.node("Add", area), both])
    zero = like(graph, both, 0)
    nothing = graph.node("LessOrEqual", [both, zero])
    safe = graph.node("Where", [nothing, like(graph, both, 1), union])
    return reshape(
        graph, graph.node("Where", [nothing, zero, graph.node("Div", [both, safe])]), [*have[0][:-1], *have[1][:-1]]
    )


def _exchanged(graph: Emit, rows: str, start: int, to_corner: bool) -> str:
    """Coordinates in the other format. A first coordinate below 0 stays as it is: MXNet takes it for an empty row."""
    width = static_width(graph, rows)
    box = columns(graph, rows, start, start + 4)
    first, second = columns(graph, box, 0, 2), columns(graph, box, 2, 4)
    if to_corner:
        half = times(graph, second, 0.5)
        pair = [graph.node("Sub", [first, half]), graph.node("Add", [first, half])]
    else:
        pair = [times(graph, graph.node("Add", [first, second]), 0.5), graph.node("Sub", [second, first])]
    empty = graph.node("Less", [columns(graph, box, 0, 1), like(graph, box, 0)])
    made = graph.node("Where", [empty, box, graph.node("Concat", pair, axis=2)])
    around = [columns(graph, rows, 0, start)] if start else []
    behind = [columns(graph, rows, start + 4, width)] if start + 4 < width else []
    return graph.node("Concat", [*around, made, *behind], axis=2)


def static_width(graph: Emit, rows: str) -> int:
    width = sizes(graph, rows)[-1]
    assert isinstance(width, int)  # checked where the node is read
    return width


@op("mxnet", "_contrib_box_nms", "_contrib_box_non_maximum_suppression")
def box_nms(graph: Emit, node: Node) -> str:
    """Rows that stay, best first; the places behind them are -1.

    In     (..., N, W): rows of W numbers with a box and a score among them
    Attrs  overlap_thresh=0.5 valid_thresh=0 topk=-1 coord_start=2 score_index=1 id_index=-1 background_id=-1
           force_suppress=False in_format=corner out_format=corner
    """
    x, attrs = node.inputs[0], node.attrs
    have = sizes(graph, x)
    width = static(graph, node, x, len(have) - 1)
    start, score_at, class_at = attrs.int("coord_start", 2), attrs.int("score_index", 1), attrs.int("id_index", -1)
    top, threshold = attrs.int("topk", -1), attrs.float("overlap_thresh", 0.5)
    formats = [attrs.choice(f"{way}_format", ("corner", "center"), "corner") for way in ("in", "out")]
    if threshold < 0 or not 0 <= start <= width - 4 or not 0 <= score_at < width or class_at >= width:
        found = f"overlap_thresh {threshold:g}, coord_start {start}, score_index {score_at}, id_index {class_at}"
        raise refuse(node, f"{found} do not fit rows of {width} numbers.")
    if top == 0:
        return x
    rows = reshape(graph, x, [product(have[:-2]), have[-2], width]) if len(have) != 3 else x
    score = column(graph, rows, score_at)
    valid = graph.node("Greater", [score, like(graph, score, attrs.float("valid_thresh", 0.0))])
    if class_at >= 0:
        other = graph.node("Equal", [column(graph, rows, class_at), like(graph, score, attrs.int("background_id", -1))])
        valid = graph.node("And", [valid, graph.node("Not", [other])])
    lowest = like(graph, score, -np.inf)
    rows, key = sorted_rows(graph, rows, graph.node("Where", [valid, score, lowest]))
    valid = graph.node("Greater", [key, like(graph, key, -np.inf)])
    if top > 0:
        inside = graph.node("Less", [places(graph, rows), graph.constant("topk", np.asarray(top, np.int64))])
        valid = graph.node("And", [valid, inside])
    boxes = columns(graph, _exchanged_all(graph, rows, start) if formats[0] == "center" else rows, start, start + 4)
    classes = ""
    if class_at >= 0 and not attrs.bool("force_suppress", False):
        numbers = cast(graph, column(graph, rows, class_at), "int64")
        classes = graph.node("Sub", [numbers, graph.node("ReduceMin", [numbers], keepdims=0)])
    alive = staying(graph, boxes, valid, threshold=threshold, at=False, classes=classes)
    rows, kept = sorted_rows(graph, rows, cast(graph, alive, "float32"))
    out = graph.node("Where", [unsqueeze(graph, cast(graph, kept, "bool"), [2]), rows, like(graph, rows, -1)])
    if formats[0] != formats[1]:
        out = _exchanged(graph, out, start, formats[1] == "corner")
    return reshape(graph, out, have) if len(have) != 3 else out


def _exchanged_all(graph: Emit, rows: str, start: int) -> str:
    """Centre boxes as corners, for the overlap, whatever their sign; other columns as they are."""
    box = columns(graph, rows, start, start + 4)
    first, half = columns(graph, box, 0, 2), times(graph, columns(graph, box, 2, 4), 0.5)
    made = [graph.node("Sub", [first, half]), graph.node("Add", [first, half])]
    return graph.node("Concat", [*([columns(graph, rows, 0, start)] if start else []), *made], axis=2)


@op("mxnet", "_contrib_MultiBoxDetection", "_npx_multibox_detection")
def multibox_detection(graph: Emit, node: Node) -> str:
    """Rows (class, score, corners), class -1 for what is suppressed and -1 all through behind the last one.

    In     class probabilities (B, C, N) with class 0 the background, offsets (B, N*4), anchors (1, N, 4)
    Out    (B, N, 6)
    Attrs  clip=True threshold=0.01 background_id=0 nms_threshold=0.5 force_suppress=False
           variances=(0.1, 0.1, 0.2, 0.2) nms_topk=-1
    """
    probability, offsets, anchors = node.inputs
    attrs = node.attrs
    batch, _, count = sizes(graph, probability)
    variances = attrs.floats("variances", (0.1, 0.1, 0.2, 0.2))
    if len(variances) != 4:
        raise refuse(node, f"variances are {variances}; expected four.")
    if attrs.int("background_id", 0) != 0:
        raise refuse(node, f"background_id is {attrs.int('background_id')}; supported is 0 (MXNet reads no other).")
    boxes = _decoded(graph, reshape(graph, offsets, [batch, count, 4]), anchors, variances, -1.0, True)
    if attrs.bool("clip", True):
        boxes = graph.node("Max", [graph.node("Min", [boxes, like(graph, boxes, 1)]), like(graph, boxes, 0)])
    shown = part(graph, probability, 1, 1, None)
    score = graph.node("ReduceMax", [shown], axes=[1], keepdims=0)
    best = cast(graph, graph.node("ArgMax", [shown], axis=1, keepdims=0), graph.dtype(score))
    valid = graph.node("GreaterOrEqual", [score, like(graph, score, attrs.float("threshold", 0.01))])
    valid = graph.node("And", [valid, graph.node("Greater", [score, like(graph, score, -1)])])
    rows = graph.node("Concat", [unsqueeze(graph, best, [2]), unsqueeze(graph, score, [2]), boxes], axis=2)
    # First the ones that count, in their own order: what lies behind nms_topk later stays in that order.
    rows, kept = sorted_rows(graph, rows, cast(graph, valid, "float32"))
    valid = cast(graph, kept, "bool")
    empty = like(graph, rows, -1)
    threshold = attrs.float("nms_threshold", 0.5)
    if threshold <= 0 or threshold > 1:
        return graph.node("Where", [unsqueeze(graph, valid, [2]), rows, empty])
    key = graph.node("Where", [valid, column(graph, rows, 1), like(graph, rows, -np.inf)])
    ordered, _ = sorted_rows(graph, rows, key)
    top, considered = attrs.int("nms_topk", -1), valid
    if top > 0:
        inside = graph.node("Less", [places(graph, rows), graph.constant("topk", np.asarray(top, np.int64))])
        considered = graph.node("And", [valid, inside])
        ordered = graph.node("Where", [unsqueeze(graph, inside, [1]), ordered, rows])
    own = "" if attrs.bool("force_suppress", False) else cast(graph, column(graph, ordered, 0), "int64")
    alive = staying(graph, columns(graph, ordered, 2, 6), considered, threshold=threshold, at=True, classes=own)
    out = graph.node("Where", [unsqueeze(graph, alive, [2]), columns(graph, ordered, 0, 1), empty])
    made = graph.node("Concat", [out, columns(graph, ordered, 1, 6)], axis=2)
    return graph.node("Where", [unsqueeze(graph, valid, [2]), made, empty])


@op("mxnet", "ROIPooling", "_npx_roi_pooling")
def roi_pooling(graph: Emit, node: Node) -> str:
    """Largest value in each bin of each region; bounds are rounded half away from zero.

    In     (N, C, H, W); regions (R, 5): batch index, x1, y1, x2, y2, both ends inside
    Out    (R, C, pooled_size)
    Attrs  pooled_size required, spatial_scale required
    """
    size, scale = node.attrs.ints("pooled_size"), node.attrs.float("spatial_scale")
    if len(size) != 2:
        raise refuse(node, f"pooled_size is {size}; expected two sizes.")
    return graph.node("MaxRoiPool", list(node.inputs), pooled_shape=list(size), spatial_scale=scale)


@op("mxnet", "_contrib_ROIAlign")
def roi_align(graph: Emit, node: Node) -> str:
    """Mean of samples in each bin of each region, unrounded.

    In     (N, C, H, W); regions (R, 5): batch index, x1, y1, x2, y2
    Out    (R, C, pooled_size)
    Attrs  pooled_size required, spatial_scale required, sample_ratio=-1 (as many as the bin is long)
           aligned=False position_sensitive=False (the only one)
    """
    x, regions = node.inputs
    size, attrs = node.attrs.ints("pooled_size"), node.attrs
    if attrs.bool("position_sensitive", False):
        raise refuse(node, "position_sensitive is True; supported is False.")
    if static(graph, node, regions, 1) != 5 or len(size) != 2:
        raise refuse(node, f"pooled_size is {size}; expected two sizes, and regions of 5 numbers.")
    boxes = part(graph, regions, 1, 1, 5)
    batch = cast(graph, reshape(graph, part(graph, regions, 1, 0, 1), [sizes(graph, regions)[0]]), "int64")
    return graph.node(
        "RoiAlign", [x, boxes, batch], mode="avg", output_height=size[0], output_width=size[1],
        sampling_ratio=max(attrs.int("sample_ratio", -1), 0), spatial_scale=attrs.float("spatial_scale"),
        coordinate_transformation_mode="half_pixel" if attrs.bool("aligned", False) else "output_half_pixel",
    )  # fmt: skip
