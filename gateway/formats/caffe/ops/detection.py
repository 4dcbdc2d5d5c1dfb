"""SSD's PriorBox and DetectionOutput, Fast R-CNN's ROIPooling, Faster R-CNN's Proposal (forks).

Rule 1: rows stand as Caffe puts them: by image, label and falling score; of equal scores the first place.
Rule 2: suppression is ONNX's NonMaxSuppression, given boxes whose corners are in order: a box that is inside out
        overlaps nothing in Caffe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.caffe.emit import Fields, Node, bounded, count, sides
from gateway.graph.nms import columns, sorted_rows, staying
from gateway.graph.registry import op
from gateway.graph.tools import (
    Size,
    cast,
    counting,
    full,
    ints,
    like,
    part,
    reshape,
    run_time,
    sizes,
    squeeze,
    times,
    unsqueeze,
    vector,
)

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

LARGEST = np.iinfo(np.int32).max


def _ratios(fields: Fields) -> list[float]:
    """1, then each new one and, with flip, its inverse, in float32 as they are kept."""
    found = [1.0]
    for ratio in fields.floats("aspect_ratio"):
        one = np.float32(ratio)
        if any(abs(float(one) - each) < 1e-6 for each in found):
            continue
        found.append(float(one))
        if fields.bool("flip", True):
            found.append(float(np.float32(1.0 / float(one))))
    return found


def _box_sizes(node: Node, fields: Fields) -> list[tuple[float, float]]:
    """(width, height) in pixels of the boxes of one place: smallest, the one between it and the largest, ratios."""
    least, most = fields.floats("min_size"), fields.floats("max_size")
    if not least or (most and len(most) != len(least)):
        raise node.error(f"has {len(least)} min_size and {len(most)} max_size, expected one or more, and as many")
    found = []
    for place, size in enumerate(least):
        small = int(size)  # Caffe keeps it as an int
        found.append((float(small), float(small)))
        if most:
            middle = float(np.float32(np.sqrt(float(small * int(most[place])))))
            found.append((middle, middle))
        for ratio in _ratios(fields):
            if abs(ratio - 1.0) >= 1e-6:
                root = np.sqrt(np.float32(ratio))
                found.append((float(np.float32(small * root)), float(np.float32(small / root))))
    return found


def _both(fields: Fields, one: str, stem: str) -> tuple[float, float] | None:
    """(height, width) from `one` number or from stem_h and stem_w; None where neither is there. Errors: ConversionError
    for half of a pair, and for both ways."""
    given = [fields.floats(f"{stem}_{axis}") for axis in "hw"]
    single = fields.floats(one)
    if len(given[0]) != len(given[1]) or (single and any(given)):
        raise fields.error(f"{one}, {stem}_h and {stem}_w do not go together; expected the one or both others")
    if any(given):
        return given[0][-1], given[1][-1]
    return (single[-1], single[-1]) if single else None


def prior_boxes(
    height: int, width: int, picture: tuple[int, int], steps: tuple[float, float], offset: float,
    boxes: list[tuple[float, float]],
) -> Array:  # fmt: skip
    """(height * width * boxes, 4) corners as fractions of the picture (height, width), float32."""
    one = np.float32
    y = (np.arange(height, dtype=np.float32) + one(offset)) * one(steps[0])
    x = (np.arange(width, dtype=np.float32) + one(offset)) * one(steps[1])
    shape = (height, width, len(boxes))
    centre = np.stack([np.broadcast_to(x[None, :, None], shape), np.broadcast_to(y[:, None, None], shape)], -1)
    half = np.asarray(boxes, np.float64) / 2
    scale = np.asarray([picture[1], picture[0]], np.float64)
    made = [(centre - half) / scale, (centre + half) / scale]
    return np.concatenate(made, -1).reshape(-1, 4).astype(np.float32)


@op("caffe", "PriorBox")
def prior_box(graph: Emit, node: Node) -> str:
    """Boxes over a feature map, and their variances; only sizes of the two bottoms are read (SSD).

    Out     (1, 2, H * W * boxes * 4)
    Params  prior_box_param: min_size, max_size, aspect_ratio, flip=true clip=false variance=0.1
            img_size|img_h,img_w step|step_h,step_w offset=0.5
    """
    feature, picture = node.bottoms(2)
    fields = node.fields("prior_box_param")
    height, width = sides(graph, feature)
    boxes = _box_sizes(node, fields)
    tall, wide = _both(fields, "img_size", "img") or (graph.size(picture, 2), graph.size(picture, 3))
    size = (int(tall), int(wide))
    even = (float(np.float32(size[0]) / np.float32(height)), float(np.float32(size[1]) / np.float32(width)))
    steps = _both(fields, "step", "step") or even
    variance = fields.floats("variance") or (0.1,)
    if len(variance) not in (1, 4) or min(*size, *steps) <= 0:
        raise fields.error(
            f"variance has {len(variance)} numbers, expected one or four; picture and steps are {size} and {steps}"
        )
    bounded(node, height * width * len(boxes), "the number of boxes", 1 << 22)
    corners = prior_boxes(height, width, size, steps, fields.float("offset", 0.5), boxes)
    if fields.bool("clip", False):
        corners = np.clip(corners, 0, 1)
    spread = np.broadcast_to(np.asarray(variance, np.float32), corners.shape)
    return graph.constant("boxes", np.stack([corners.reshape(-1), spread.reshape(-1)])[None].copy())


def _decoded(graph: Emit, fields: Fields, offsets: str, priors: str) -> str:
    """Corners (B, P, L, 4) from offsets (B, P, L, 4) and priors (1, 2, P, 4)."""
    kind = fields.choice("code_type", ("CORNER", "CENTER_SIZE", "CORNER_SIZE"), "CORNER")
    boxes, spread = (
        unsqueeze(graph, squeeze(graph, part(graph, priors, 1, n, n + 1), [1]), [2]) for n in (0, 1)
    )  # (1, P, 1, 4)
    if not fields.bool("variance_encoded_in_target", False):
        offsets = graph.node("Mul", [offsets, spread])
    low, high = part(graph, boxes, 3, 0, 2), part(graph, boxes, 3, 2, 4)
    side = graph.node("Sub", [high, low])
    if kind == "CORNER":
        return graph.node("Add", [boxes, offsets])
    if kind == "CORNER_SIZE":
        return graph.node("Add", [boxes, graph.node("Mul", [offsets, graph.node("Concat", [side, side], axis=3)])])
    middle = times(graph, graph.node("Add", [low, high]), 0.5)
    moved = graph.node("Add", [graph.node("Mul", [part(graph, offsets, 3, 0, 2), side]), middle])
    grown = graph.node("Mul", [graph.node("Exp", [part(graph, offsets, 3, 2, 4)]), side])
    half = times(graph, grown, 0.5)
    return graph.node("Concat", [graph.node("Sub", [moved, half]), graph.node("Add", [moved, half])], axis=3)


@op("caffe", "DetectionOutput")
def detection_output(graph: Emit, node: Node) -> str:
    """Boxes that stay after suppression in each class (SSD).

    In      offsets (B, P * 4), confidences (B, P * C), priors (1, 2, P * 4)
    Out     (1, 1, K, 7): image, label, score, corners; where nothing is found one row of -1 for each image
    Params  detection_output_param: num_classes share_location=true background_label_id=0 code_type=CORNER
            variance_encoded_in_target=false keep_top_k=-1 confidence_threshold nms_param: nms_threshold=0.3 top_k=-1
    """
    offsets, scores, priors = node.bottoms(3, 5)[:3]
    fields = node.fields("detection_output_param")
    suppression = fields.inner("nms_param")
    if len(node.inputs) > 3 or suppression.float("eta", 1.0) != 1.0:
        raise node.error("more than three bottoms, or nms_param.eta other than 1, are not supported")
    classes, batch = fields.size("num_classes"), sizes(graph, offsets)[0]
    total = graph.size(priors, 2) // 4
    located = 1 if fields.bool("share_location", True) else classes
    _fits(graph, node, (offsets, scores), (total * located * 4, total * classes))
    offsets = reshape(graph, offsets, [batch, total, located, 4])
    boxes = _decoded(graph, fields, offsets, reshape(graph, priors, [1, 2, total, 4]))
    scores = graph.node("Transpose", [reshape(graph, scores, [batch, total, classes])], perm=[0, 2, 1])
    boxes = graph.node("Transpose", [boxes], perm=[0, 2, 1, 3])  # (B, L, P, 4)
    labels = [label for label in range(classes) if label != fields.int("background_label_id", 0)]
    chosen = graph.constant("labels", np.asarray(labels, np.int64))
    scores = graph.node("Gather", [scores, chosen], axis=1)
    if located > 1:
        boxes = graph.node("Gather", [boxes, chosen], axis=1)
    else:
        boxes = graph.node("Expand", [boxes, vector(graph, [batch, len(labels), total, 4])])
    most = suppression.int("top_k", -1)
    kept = total if most < 0 else min(most, total)
    values, order = graph.nodes("TopK", [scores, ints(graph, [kept])], 2, axis=2, largest=1, sorted=1)
    boxes = graph.node("GatherND", [boxes, unsqueeze(graph, order, [3])], batch_dims=2)  # (B, C, k, 4)
    alive = _alive(graph, fields, values, boxes, (batch, len(labels), kept), suppression.float("nms_threshold", 0.3))
    alive = _best(graph, fields, values, alive, (batch, len(labels), kept))
    return _rows(graph, values, boxes, alive, chosen, batch)


def _fits(graph: Emit, node: Node, tensors: tuple[str, str], expected: tuple[int, int]) -> None:
    for tensor, wanted in zip(tensors, expected, strict=True):
        _, *have = graph.shape(tensor) or ()
        if (found := count(have)) not in (None, wanted):
            raise node.error(f"its bottom {tensor!r} has {found} numbers a row, its boxes and classes make {wanted}")


def _alive(graph: Emit, fields: Fields, values: str, boxes: str, shape: tuple[Size, int, int], limit: float) -> str:
    """Which places stay, bool (B, C, k): above the threshold, and overlapping none that stays before them."""
    batch, labels, kept = shape
    low, high = part(graph, boxes, 3, 0, 2), part(graph, boxes, 3, 2, 4)
    corners = graph.node("Concat", [low, graph.node("Max", [low, high])], axis=3)
    least = fields.float("confidence_threshold", float(np.finfo(np.float32).min))
    valid = graph.node("Greater", [values, like(graph, values, least)])
    ranks = graph.node("Sub", [full(graph, 2**23, "float32"), cast(graph, counting(graph, kept), "float32")])
    ranked = graph.node("Where", [valid, ranks, full(graph, 0.0, "float32")])
    chosen = graph.node(
        "NonMaxSuppression",
        [reshape(graph, corners, [None, kept, 4]), reshape(graph, ranked, [None, 1, kept]), ints(graph, [LARGEST]),
         full(graph, min(limit, 1.0), "float32", [1]), full(graph, 0.5, "float32", [1])],
    )  # fmt: skip
    where = graph.node("Gather", [chosen, ints(graph, [0, 2])], axis=1)
    many = graph.node("Mul", [run_time(graph, batch), ints(graph, [labels])])
    target = graph.node("Concat", [many, ints(graph, [kept])], axis=0)
    nothing = graph.node("Expand", [full(graph, 0.0, "float32"), target])
    hits = graph.node("Expand", [full(graph, 1.0, "float32"), graph.node("Shape", [where], start=0, end=1)])
    made = graph.node("ScatterND", [nothing, where, hits])
    return cast(graph, reshape(graph, made, [batch, labels, kept]), "bool")


def _best(graph: Emit, fields: Fields, values: str, alive: str, shape: tuple[Size, int, int]) -> str:
    """Of those that stay the keep_top_k best of each image."""
    batch, labels, kept = shape
    most = fields.int("keep_top_k", -1)
    if most < 0 or most >= labels * kept:
        return alive
    lowest = like(graph, values, -np.inf)
    flat = reshape(graph, graph.node("Where", [alive, values, lowest]), [batch, labels * kept])
    best, places = graph.nodes("TopK", [flat, ints(graph, [most])], 2, axis=1, largest=1, sorted=1)
    hits = cast(graph, graph.node("Greater", [best, lowest]), "float32")
    nothing = graph.node("Expand", [full(graph, 0.0, "float32"), vector(graph, [batch, labels * kept])])
    made = graph.node("ScatterElements", [nothing, places, hits], axis=1)
    return cast(graph, reshape(graph, made, [batch, labels, kept]), "bool")


def _rows(graph: Emit, values: str, boxes: str, alive: str, labels: str, batch: Size) -> str:
    """(1, 1, K, 7), or a row of -1 for each image."""
    where = graph.node("Transpose", [graph.node("NonZero", [alive])], perm=[1, 0])  # (K, 3), in order
    image = cast(graph, part(graph, where, 1, 0, 1), "float32")
    label = cast(graph, graph.node("Gather", [labels, part(graph, where, 1, 1, 2)], axis=0), "float32")
    score = unsqueeze(graph, graph.node("GatherND", [values, where]), [1])
    rows = graph.node("Concat", [image, label, score, graph.node("GatherND", [boxes, where])], axis=1)
    empty = full(graph, -1.0, "float32", (1, 6))
    images = unsqueeze(graph, cast(graph, counting(graph, batch), "float32"), [1])
    rest = graph.node("Expand", [empty, graph.node("Concat", [run_time(graph, batch), ints(graph, [6])], axis=0)])
    count = graph.node("Shape", [rows], start=0, end=1)
    none = graph.node("Equal", [count, ints(graph, [0])])
    shown = graph.node("Where", [none, run_time(graph, batch), count])
    both = graph.node("Concat", [rows, graph.node("Concat", [images, rest], axis=1)], axis=0)
    made = graph.node("Slice", [both, ints(graph, [0]), shown, ints(graph, [0]), ints(graph, [1])])
    return unsqueeze(graph, made, [0, 1])


@op("caffe", "ROIPooling")
def roi_pooling(graph: Emit, node: Node) -> str:
    """The largest number in each bin of each region; ends are inside, and rounded half away from zero (Fast R-CNN).

    In      (N, C, H, W), regions (R, 5): image and corners
    Params  roi_pooling_param: pooled_h pooled_w spatial_scale
    """
    x, regions = node.bottoms(2)
    fields = node.fields("roi_pooling_param")
    if graph.rank(regions) != 2:
        regions = reshape(graph, regions, [None, 5])
    shape = [fields.size("pooled_h"), fields.size("pooled_w")]
    scale = fields.float("spatial_scale", 1.0)
    return graph.node("MaxRoiPool", [x, regions], pooled_shape=shape, spatial_scale=scale)


def region_anchors(base: int, ratios: tuple[float, ...], scales: tuple[float, ...]) -> Array:
    """(ratios * scales, 4) boxes of the first place: sides are rounded, then scaled about their middle."""
    middle, rows = (base - 1) / 2, []
    for ratio in ratios:
        width = np.round(np.sqrt(base * base / ratio))
        height = np.round(width * ratio)
        for scale in scales:
            half = np.asarray([width * scale - 1, height * scale - 1]) / 2
            rows.append([middle - half[0], middle - half[1], middle + half[0], middle + half[1]])
    return np.asarray(rows, np.float32)


@op("caffe", "Proposal")
def proposal(graph: Emit, node: Node) -> list[str]:
    """Regions that a region proposal network proposes, of one picture (Faster R-CNN).

    In      scores (1, 2 A, H, W), offsets (1, 4 A, H, W), picture (1, 3): height, width, scale
    Out     (K, 5): 0 and corners; a second top has their scores (K, 1)
    Params  proposal_param: feat_stride=16 base_size=16 min_size=16 ratio=0.5,1,2 scale=8,16,32
            pre_nms_topn=6000 post_nms_topn=300 nms_thresh=0.7
    """
    scores, offsets, info = node.bottoms(3)
    fields = node.fields("proposal_param")
    height, width = sides(graph, scores)
    base = region_anchors(
        fields.size("base_size", 16),
        fields.floats("ratio") or (0.5, 1.0, 2.0),
        fields.floats("scale") or (8.0, 16.0, 32.0),
    )
    number = len(base)
    for tensor, times_ in ((scores, 2), (offsets, 4)):
        if graph.size(tensor, 1) != times_ * number:
            raise node.error(
                f"{tensor!r} has {graph.size(tensor, 1)} channels, its {number} boxes a place {times_} each"
            )
    total = bounded(node, number * height * width, "the number of boxes", 1 << 22)
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    shift = (np.stack([x, y, x, y], -1) * fields.size("feat_stride", 16)).reshape(-1, 1, 4).astype(np.float32)
    anchors = (shift + base[None]).reshape(-1, 4)
    info = reshape(graph, info, [1, 3])
    boxes = _proposed(graph, offsets, anchors, info, (number, height, width))
    score = graph.node("Transpose", [part(graph, scores, 1, number, 2 * number)], perm=[0, 2, 3, 1])
    score = reshape(graph, score, [1, total])
    least = graph.node("Mul", [part(graph, info, 1, 2, 3), full(graph, fields.float("min_size", 16), "float32")])
    side = graph.node("Sub", [columns(graph, boxes, 2, 4), columns(graph, boxes, 0, 2)])
    side = graph.node("Add", [graph.node("ReduceMin", [side], axes=[2], keepdims=0), full(graph, 1.0, "float32")])
    lowest = full(graph, -np.inf, "float32")
    key = graph.node("Where", [graph.node("Less", [side, least]), lowest, score])
    rows, key = sorted_rows(graph, graph.node("Concat", [boxes, unsqueeze(graph, score, [2])], axis=2), key)
    before = fields.int("pre_nms_topn", 6000)
    before = min(before, total) if before > 0 else total
    rows, key = part(graph, rows, 1, 0, before), part(graph, key, 1, 0, before)
    # Both ends of a box are inside it: one more at its end makes it an ordinary one.
    wide = graph.node("Add", [columns(graph, rows, 0, 4), graph.constant("ends", np.asarray([0, 0, 1, 1], np.float32))])
    valid = graph.node("Greater", [key, lowest])
    alive = staying(graph, wide, valid, threshold=fields.float("nms_thresh", 0.7), at=False)
    after = fields.int("post_nms_topn", 300)
    where = graph.node("Transpose", [graph.node("NonZero", [alive])], perm=[1, 0])
    where = part(graph, where, 0, 0, after if after > 0 else None)
    chosen = graph.node("GatherND", [rows, where])  # (K, 5)
    zero = times(graph, part(graph, chosen, 1, 0, 1), 0.0)
    regions = graph.node("Concat", [zero, part(graph, chosen, 1, 0, 4)], axis=1)
    return [regions, part(graph, chosen, 1, 4, 5)]


def _proposed(graph: Emit, offsets: str, anchors: Array, info: str, shape: tuple[int, int, int]) -> str:
    """Boxes (1, N, 4), moved and held inside the picture."""
    number, height, width = shape
    offsets = reshape(graph, offsets, [1, number, 4, height, width])
    offsets = graph.node("Transpose", [offsets], perm=[0, 3, 4, 1, 2])
    offsets = reshape(graph, offsets, [1, number * height * width, 4])
    size = anchors[None, :, 2:] - anchors[None, :, :2] + np.float32(1)
    middle = anchors[None, :, :2] + np.float32(0.5) * size
    sizes_, middles = graph.constant("sizes", size), graph.constant("middles", middle)
    moved = graph.node("Add", [graph.node("Mul", [columns(graph, offsets, 0, 2), sizes_]), middles])
    half = times(graph, graph.node("Mul", [graph.node("Exp", [columns(graph, offsets, 2, 4)]), sizes_]), 0.5)
    high = graph.node("Concat", [part(graph, info, 1, 1, 2), part(graph, info, 1, 0, 1)], axis=1)  # width, height
    last = unsqueeze(graph, graph.node("Sub", [high, full(graph, 1.0, "float32")]), [1])
    zero = full(graph, 0.0, "float32")
    pair = [graph.node("Sub", [moved, half]), graph.node("Add", [moved, half])]
    return graph.node("Concat", [graph.node("Max", [graph.node("Min", [each, last]), zero]) for each in pair], axis=2)
