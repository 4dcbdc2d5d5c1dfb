"""Boxes of detectors: priors, decoding, overlap, suppression, and pooling of regions.

Rule 1: where a place is rounded to a whole number, it is computed in the data's own float as MXNet
        does, for there one rounding decides which pixels are read.
"""

from __future__ import annotations

import math

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.elementwise import round_away
from gateway.formats.mxnet.interpreter.registry import FLOATS, Node, op


def own_float(node: Node, place: int = 0) -> type[np.floating]:
    """numpy's type for rule 1."""
    kind = node.dtypes[place]
    return np.dtype(kind).type if kind in FLOATS - {"bfloat16"} else np.float32


@op("_contrib_MultiBoxPrior", "_npx_multibox_prior")
def multibox_prior(node: Node, x: Array) -> Array:
    """(1, H * W * (sizes + ratios - 1), 4) corners: every size at the first ratio, then the first size at the others.

    A box of `size` and `ratio` is size * H / W * sqrt(ratio) wide and size / sqrt(ratio) high.
    """
    height, width = x.shape[2:]
    sizes, ratios = node.attrs.floats("sizes", (1.0,)), node.attrs.floats("ratios", (1.0,))
    step_y, step_x = node.attrs.floats("steps", (-1.0, -1.0))
    step_y, step_x = (step_y if step_y > 0 else 1.0 / height), (step_x if step_x > 0 else 1.0 / width)
    offset_y, offset_x = node.attrs.floats("offsets", (0.5, 0.5))
    pairs = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    out = np.empty((height, width, len(pairs), 4))
    center_y = ((np.arange(height) + offset_y) * step_y)[:, None]
    center_x = ((np.arange(width) + offset_x) * step_x)[None, :]
    for i, (size, ratio) in enumerate(pairs):
        w, h = size * height / width * math.sqrt(ratio) / 2, size / math.sqrt(ratio) / 2
        for place, value in enumerate((center_x - w, center_y - h, center_x + w, center_y + h)):
            out[:, :, i, place] = value
    boxes = out.reshape(1, -1, 4)
    return np.clip(boxes, 0.0, 1.0) if node.attrs.bool("clip") else boxes


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes of corners; 0 for an empty union."""
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
    return float(w * h / union) if union > 0 else 0.0


@op("_contrib_MultiBoxDetection", "_npx_multibox_detection")
def multibox_detection(node: Node, probability: Array, moves: Array, anchors: Array) -> Array:
    """(N, anchors, [class, score, x1, y1, x2, y2]): decoded, sorted by score, suppressed ones marked class -1.

    The background class is 0 whatever `background_id` says; rows that no box fills are -1.
    """
    if node.attrs.int("background_id", 0) != 0:
        raise node.unsupported("a background_id other than 0")
    variances = np.asarray(node.attrs.floats("variances", (0.1, 0.1, 0.2, 0.2)), dtype=np.float64)
    count = probability.shape[2]
    boxes = anchors.reshape(-1, 4)
    size, middle = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    out = np.full((probability.shape[0], count, 6), -1.0)
    for sample in range(probability.shape[0]):
        move = moves[sample].reshape(-1, 4) * variances
        center, half = move[:, :2] * size + middle, np.exp(move[:, 2:]) * size / 2
        corners = np.concatenate([center - half, center + half], axis=1)
        if node.attrs.bool("clip", True):
            corners = np.clip(corners, 0.0, 1.0)
        score = probability[sample, 1:].max(axis=0)
        kind = probability[sample, 1:].argmax(axis=0)
        kept = np.flatnonzero(score >= node.scalar("threshold", 0.01))
        rows = np.concatenate([kind[kept, None], score[kept, None], corners[kept]], axis=1)
        out[sample, : len(rows)] = _suppressed(node, rows)
    return out


def _suppressed(node: Node, rows: Array) -> Array:
    limit = node.scalar("nms_threshold", 0.5)
    if not len(rows) or limit <= 0 or limit > 1:
        return rows
    order = np.argsort(-rows[:, 1], kind="stable")
    top = node.attrs.int("nms_topk", -1)
    keep = top if 0 < top < len(rows) else len(rows)
    out = rows.copy()
    out[keep:, 0] = -1  # the rest stays unsorted, as MXNet leaves it
    out[:keep] = rows[order[:keep]]
    force = node.attrs.bool("force_suppress")
    for i in range(keep):
        if out[i, 0] < 0:
            continue
        for j in range(i + 1, keep):
            same = force or out[i, 0] == out[j, 0]
            if out[j, 0] >= 0 and same and overlap(out[i, 2:], out[j, 2:]) >= limit:
                out[j, 0] = -1
    return out


def _to_corners(boxes: Array) -> Array:
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def _to_center(boxes: Array) -> Array:
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=-1)


@op("_contrib_box_nms", "_contrib_box_non_maximum_suppression")
def box_nms(node: Node, x: Array) -> tuple[Array, Array]:
    """Rows by falling score with what overlaps a better one (of its class) left out; -1 fills up."""
    rows = x.reshape(-1, *x.shape[-2:])
    out, record = np.full(rows.shape, -1.0), np.full((*rows.shape[:2], 1), -1.0)
    topk = node.attrs.int("topk", -1)
    topk = rows.shape[1] if topk < 0 else min(rows.shape[1], topk)
    if topk < 1:
        return x, np.arange(rows.shape[0] * rows.shape[1], dtype=np.float64).reshape(*x.shape[:-1], 1)
    start = node.attrs.int("coord_start", 2)
    places = slice(start, start + 4)
    given, wanted = node.attrs.str("in_format", "corner"), node.attrs.str("out_format", "corner")
    for sample in range(rows.shape[0]):
        kept = _nms_order(node, rows[sample], topk, places)
        out[sample, : len(kept)] = rows[sample, kept]
        record[sample, : len(kept), 0] = np.array(kept) + sample * rows.shape[1]
    if given != wanted:
        boxes = out[..., places]
        turned = _to_center(boxes) if wanted == "center" else _to_corners(boxes)
        out[..., places] = np.where(boxes[..., :1] < 0, boxes, turned)  # -1 marks an empty row
    return out.reshape(x.shape), record.reshape(*x.shape[:-1], 1)


def _nms_order(node: Node, rows: Array, topk: int, places: slice) -> list[int]:
    score, identity = rows[:, node.attrs.int("score_index", 1)], node.attrs.int("id_index", -1)
    valid = score > node.scalar("valid_thresh", 0.0)
    if identity >= 0:
        valid &= rows[:, identity] != node.attrs.int("background_id", -1)
    order = [int(i) for i in np.argsort(-score, kind="stable") if valid[i]][:topk]
    boxes = _to_corners(rows[:, places]) if node.attrs.str("in_format", "corner") == "center" else rows[:, places]
    limit, force = node.scalar("overlap_thresh", 0.5), node.attrs.bool("force_suppress")
    kept: list[int] = []
    for i in order:
        rivals = (j for j in kept if force or identity < 0 or rows[i, identity] == rows[j, identity])
        if not any(_nms_overlap(boxes[j], boxes[i]) > limit for j in rivals):
            kept.append(i)
    return kept


def _area(box: Array) -> float:
    w, h = box[2] - box[0], box[3] - box[1]
    return 0.0 if w < 0 or h < 0 else float(w * h)


def _nms_overlap(a: Array, b: Array) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = 0.0 if w < 0 or h < 0 else float(w * h)
    union = _area(a) + _area(b) - inter
    return inter / union if union else math.nan


@op("_contrib_box_iou")
def box_iou(node: Node, a: Array, b: Array) -> Array:
    """Overlap of every box of a with every one of b; 0 where neither has an area."""
    left, right = a.reshape(-1, 4), b.reshape(-1, 4)
    if node.attrs.str("format", "corner") == "center":
        left, right = _to_corners(left), _to_corners(right)
    out = np.zeros((len(left), len(right)))
    for i, one in enumerate(left):
        for j, other in enumerate(right):
            found = _nms_overlap(one, other)
            out[i, j] = 0.0 if math.isnan(found) else found
    return out.reshape(*a.shape[:-1], *b.shape[:-1])


@op("_contrib_box_decode")
def box_decode(node: Node, x: Array, anchors: Array) -> Array:
    """Moves (N, B, 4) of anchors (1, B, 4), by std0..std3, to corners; `clip` bounds the logarithms of sizes."""
    stds = np.array([node.attrs.float(f"std{i}", 1.0) for i in range(4)])
    if node.attrs.str("format", "center") == "corner":
        anchors = _to_center(anchors)
    moves, limit = x * stds, node.attrs.float("clip", -1.0)
    logs = np.minimum(moves[..., 2:], limit) if limit > 0 else moves[..., 2:]
    center = moves[..., :2] * anchors[..., 2:] + anchors[..., :2]
    half = np.exp(logs) * anchors[..., 2:] / 2
    return np.concatenate([center - half, center + half], axis=-1)


@op("_contrib_box_encode")
def box_encode(node: Node, samples: Array, matches: Array, *rest: Array) -> tuple[Array, Array]:
    """(targets, masks): the moves from anchors to their matched boxes, zero where samples <= 0.5."""
    anchors, refs, means, stds = rest
    matched = np.take_along_axis(refs, matches.astype(np.int64)[..., None], axis=1)
    target, source = _to_center(matched), _to_center(anchors)
    moves = np.concatenate(
        [(target[..., :2] - source[..., :2]) / source[..., 2:], np.log(target[..., 2:] / source[..., 2:])], axis=-1
    )
    valid = np.broadcast_to((samples > 0.5)[..., None], moves.shape)
    return np.where(valid, (moves - means) / stds, 0.0), valid.astype(np.float64)


@op("ROIPooling", "_npx_roi_pooling")
def roi_pooling(node: Node, x: Array, rois: Array) -> Array:
    """The maximum in each of `pooled_size` bins of each region [image, x1, y1, x2, y2], both ends inside.

    Corners are rounded half away from zero after scaling; a bin of no pixel, or a region of no image, is 0.
    """
    real = own_float(node)
    rows, columns = (int(n) for n in node.attrs.ints("pooled_size", None))
    height, width = x.shape[2:]
    corners = round_away(rois[:, 1:].astype(real) * real(node.attrs.float("spatial_scale"))).astype(np.int64)
    out = np.zeros((rois.shape[0], x.shape[1], rows, columns))

    def edges(start: int, end: int, bins: int, limit: int) -> list[tuple[int, int]]:
        size = real(real(max(end - start + 1, 1)) / real(bins))
        places = [(math.floor(real(i) * size) + start, math.ceil(real(i + 1) * size) + start) for i in range(bins)]
        return [(min(max(a, 0), limit), min(max(b, 0), limit)) for a, b in places]

    for n, (left, top, right, bottom) in enumerate(corners):
        image = int(rois[n, 0])
        if not 0 <= image < x.shape[0]:
            continue
        for i, (y1, y2) in enumerate(edges(int(top), int(bottom), rows, height)):
            for j, (x1, x2) in enumerate(edges(int(left), int(right), columns, width)):
                if y2 > y1 and x2 > x1:
                    out[n, :, i, j] = x[image, :, y1:y2, x1:x2].max(axis=(1, 2))
    return out


def bilinear_at(plane: Array, y: float, x: float) -> Array:
    """(C, H, W) at one place: 0 more than a pixel outside, the edge up to there."""
    height, width = plane.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(plane.shape[0])
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = int(y), int(x)
    if top >= height - 1:
        top, y = height - 1, float(height - 1)
    if left >= width - 1:
        left, x = width - 1, float(width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    upper = plane[:, top, left] * (1 - fx) + plane[:, top, right] * fx
    lower = plane[:, bottom, left] * (1 - fx) + plane[:, bottom, right] * fx
    return upper * (1 - fy) + lower * fy


@op("_contrib_ROIAlign")
def roi_align(node: Node, x: Array, rois: Array) -> Array:
    """The mean of bilinear samples in each bin, nothing rounded; `sample_ratio` a side, else as many as pixels.

    `aligned` shifts by half a pixel; `position_sensitive` gives each bin channels of its own.
    """
    rows, columns = (int(n) for n in node.attrs.ints("pooled_size", None))
    scale, ratio = node.attrs.float("spatial_scale"), node.attrs.int("sample_ratio", -1)
    sensitive, aligned = node.attrs.bool("position_sensitive"), node.attrs.bool("aligned")
    channels = x.shape[1] // (rows * columns) if sensitive else x.shape[1]
    out = np.zeros((rois.shape[0], channels, rows, columns))
    for n, roi in enumerate(rois):
        if roi[0] < 0:
            continue
        left, top, right, bottom = roi[1:5] * scale - (0.5 if aligned else 0.0)
        high, wide = (bottom - top, right - left) if aligned else (max(bottom - top, 1.0), max(right - left, 1.0))
        down, across = (ratio, ratio) if ratio > 0 else (math.ceil(high / rows), math.ceil(wide / columns))
        plane = x[int(roi[0])]
        for i, j in np.ndindex(rows, columns):
            source = plane.reshape(channels, rows, columns, *plane.shape[1:])[:, i, j] if sensitive else plane
            total = np.zeros(channels)
            for a, b in np.ndindex(down, across):
                y = top + (i + (a + 0.5) / down) * high / rows
                total += bilinear_at(source, y, left + (j + (b + 0.5) / across) * wide / columns)
            out[n, :, i, j] = total / max(down * across, 1)
    return out
