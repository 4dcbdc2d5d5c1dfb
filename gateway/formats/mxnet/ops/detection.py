"""Heads of detectors: prior boxes, decoding, suppression, and what makes detections of them.

Rule 1: prior boxes are made with float32 arithmetic in MXNet's order of operations, as constants.
Rule 2: rows keep the places that MXNet gives them; a row that is out is -1 where MXNet says so:
        all of it (box_nms) or its class only (MultiBoxDetection).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.ops.nms import column, columns, places, sorted_rows, staying
from gateway.formats.mxnet.ops.tools import (
    Size,
    bounded,
    cast,
    expand,
    full,
    ints,
    like,
    part,
    product,
    refuse,
    reshape,
    sizes,
    static,
    statics,
    unsqueeze,
    vector,
)
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Emit, Node


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


def _times(graph: Emit, x: str, factor: float) -> str:
    return x if factor == 1.0 else graph.node("Mul", [x, like(graph, x, factor)])


def _decoded(graph: Emit, offsets: str, anchors: str, scale: tuple[float, ...], clip: float, corner: bool) -> str:
    """Corners of boxes (B, N, 4) from offsets (B, N, 4) over anchors (1 or B, N, 4)."""
    first, second = columns(graph, anchors, 0, 2), columns(graph, anchors, 2, 4)
    if corner:
        size = graph.node("Sub", [second, first])
        centre = graph.node("Add", [first, _times(graph, size, 0.5)])
    else:
        size, centre = second, first
    kind = graph.dtype(offsets)
    shift = graph.node(
        "Mul", [columns(graph, offsets, 0, 2), graph.constant("scale", np.array(scale[:2]).astype(kind))]
    )
    grow = graph.node("Mul", [columns(graph, offsets, 2, 4), graph.constant("scale", np.array(scale[2:]).astype(kind))])
    middle = graph.node("Add", [graph.node("Mul", [shift, size]), centre])
    grow = graph.node("Min", [grow, like(graph, grow, clip)]) if clip > 0 else grow
    half = _times(graph, graph.node("Mul", [graph.node("Exp", [grow]), size]), 0.5)
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
        half = _times(graph, second, 0.5)
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
        half = _times(graph, second, 0.5)
        pair = [graph.node("Sub", [first, half]), graph.node("Add", [first, half])]
    else:
        pair = [_times(graph, graph.node("Add", [first, second]), 0.5), graph.node("Sub", [second, first])]
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
    first, half = columns(graph, box, 0, 2), _times(graph, columns(graph, box, 2, 4), 0.5)
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


def region_anchors(stride: int, ratios: tuple[float, ...], scales: tuple[float, ...]) -> Array:
    """(ratios*scales, 4) boxes of the first place, as rpn_inv_normalize's Faster R-CNN rounds them; float32."""
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
        middle = graph.node("Add", [graph.node("Mul", [columns(graph, delta, 0, 2), side]), middle])
        grown = graph.node("Mul", [graph.node("Exp", [columns(graph, delta, 2, 4)]), side])
        half = _times(graph, graph.node("Sub", [grown, full(graph, 1.0, "float32")]), 0.5)
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
    more = graph.node("Where", [small, _times(graph, smallest, 0.5), zero])
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
