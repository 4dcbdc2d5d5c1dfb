"""Layers of Caffe's forks, in float64: SSD's, Faster R-CNN's, SegNet's, PSPNet's, DeepLab's, SENet's, ShuffleNet's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.caffe.interpret_layers import Function, blob, spread
from gateway.formats.caffe.message import Message
from gateway.formats.caffe.net import Layer


def _bn(layer: Layer, bottoms: Sequence[Array]) -> Array:
    """Four blobs: slope, bias, mean, variance. Two: SegNet's at inference, scale and shift."""
    x = bottoms[0]
    parts = [spread(blob(layer, index).reshape(-1), x.ndim, 1) for index in range(len(layer.blobs))]
    if len(parts) == 2:
        return x * parts[0] + parts[1]
    eps = layer.param("bn_param").last("eps", 1e-5)
    return np.asarray(parts[0] * (x - parts[2]) / np.sqrt(parts[3] + eps) + parts[1])


def _axpy(layer: Layer, bottoms: Sequence[Array]) -> Array:
    factor, x, y = bottoms
    return factor.reshape(*factor.shape[:2], *(1,) * (x.ndim - 2)) * x + y


def _shuffle(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, groups = bottoms[0], layer.param("shuffle_channel_param").last("group", 1)
    return x.reshape(x.shape[0], groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def _permute(layer: Layer, bottoms: Sequence[Array]) -> Array:
    order = layer.param("permute_param").all("order")
    rest = [axis for axis in range(bottoms[0].ndim) if axis not in order]
    return np.ascontiguousarray(bottoms[0].transpose(*order, *rest))


def _normalize(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("norm_param")
    eps = param.last("eps", 1e-10)
    axes = tuple(range(1, x.ndim)) if param.last("across_spatial", True) else (1,)
    made = x / np.sqrt((x**2).sum(axes, keepdims=True) + eps)
    scale = blob(layer, 0).reshape(-1)
    return np.asarray(made * (scale[0] if param.last("channel_shared", True) else spread(scale, x.ndim, 1)))


def _interp(layer: Layer, bottoms: Sequence[Array]) -> Array:
    """Bilinear, corners on corners, of what is left between the (negative) paddings."""
    x, param = bottoms[0], layer.param("interp_param")
    first, last = param.last("pad_beg", 0), param.last("pad_end", 0)
    x = x[:, :, -first : x.shape[2] + last, -first : x.shape[3] + last]
    sizes = [param.last("height"), param.last("width")]
    factors = {"shrink_factor", "zoom_factor"} & set(param)
    if len(factors) == 1 or (factors and None in sizes):
        shrink, zoom = param.last("shrink_factor", 1), param.last("zoom_factor", 1)
        shrunk = [(side - 1) // shrink + 1 for side in x.shape[2:]]
        sizes = [side + (side - 1) * (zoom - 1) for side in shrunk]
    for axis, size in ((2, sizes[0]), (3, sizes[1])):
        at = np.arange(size) * ((x.shape[axis] - 1) / (size - 1) if size > 1 else 0.0)
        low = np.floor(at + 1e-12).astype(np.int64)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        part = spread(at - low, x.ndim, axis)
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


def _upsample(layer: Layer, bottoms: Sequence[Array]) -> Array:
    """SegNet's: each value at the place that the mask gives. Without a mask every value is repeated."""
    x, param = bottoms[0], layer.param("upsample_param")
    scales = [param.last(key, param.last("scale", 2)) for key in ("scale_h", "scale_w")]
    if len(bottoms) == 1:
        return np.asarray(x.repeat(scales[0], 2).repeat(scales[1], 3))
    height, width = param.last("upsample_h"), param.last("upsample_w")
    if height is None or width is None:
        height = scales[0] * x.shape[2] - int(param.last("pad_out_h", False))
        width = scales[1] * x.shape[3] - int(param.last("pad_out_w", False))
    made = np.zeros((*x.shape[:2], height * width))
    places = bottoms[1].reshape(*x.shape[:2], -1).astype(np.int64)
    np.put_along_axis(made, places, x.reshape(*x.shape[:2], -1), -1)
    return made.reshape(*x.shape[:2], height, width)


def _prior_box(layer: Layer, bottoms: Sequence[Array]) -> Array:
    param, (feature, picture) = layer.param("prior_box_param"), bottoms
    height, width = feature.shape[2:]
    tall, wide = picture.shape[2:]
    if "img_size" in param:
        tall = wide = param.last("img_size")
    elif "img_h" in param or "img_w" in param:
        tall, wide = param.last("img_h"), param.last("img_w")
    steps = [tall / height, wide / width]
    if "step" in param:
        steps = [param.last("step")] * 2
    elif "step_h" in param or "step_w" in param:
        steps = [param.last("step_h"), param.last("step_w")]
    sides = np.asarray(_prior_sides(param))
    offset = param.last("offset", 0.5)
    rows, columns = (np.arange(height) + offset) * steps[0], (np.arange(width) + offset) * steps[1]
    y, x = np.meshgrid(rows, columns, indexing="ij")
    centres = np.stack([x, y], -1)[:, :, None]
    whole = np.asarray([wide, tall], np.float64)
    boxes = np.concatenate([(centres - sides / 2) / whole, (centres + sides / 2) / whole], -1).reshape(-1)
    if param.last("clip", False):
        boxes = np.clip(boxes, 0.0, 1.0)
    variance = param.all("variance") or [0.1]
    variances = np.resize(np.asarray(variance, np.float64), boxes.shape)
    return np.stack([boxes, variances])[None]


def _prior_sides(param: Message) -> list[tuple[float, float]]:
    """(width, height) of the priors of a place: the smaller square, the larger one, then the other ratios."""
    ratios = [1.0]
    for ratio in param.all("aspect_ratio"):
        if all(abs(ratio - known) >= 1e-6 for known in ratios):
            ratios.append(ratio)
            if param.last("flip", True):
                ratios.append(1.0 / ratio)
    largest = param.all("max_size")
    sides = []
    for place, given in enumerate(param.all("min_size")):
        size = int(given)
        sides.append((float(size), float(size)))
        if largest:
            side = math.sqrt(size * int(largest[place]))
            sides.append((side, side))
        sides += [(size * math.sqrt(r), size / math.sqrt(r)) for r in ratios if abs(r - 1.0) >= 1e-6]
    return sides


def _decoded(prior: Array, variance: Array, given: Array, kind: str) -> Array:
    """Boxes (K, 4) from priors and what was predicted."""
    given = given * variance
    sides = prior[:, 2:] - prior[:, :2]
    if kind == "CORNER":
        return np.asarray(prior + given)
    if kind == "CORNER_SIZE":
        return np.asarray(prior + given * np.concatenate([sides, sides], 1))
    centres = given[:, :2] * sides + (prior[:, :2] + prior[:, 2:]) / 2
    with np.errstate(over="ignore"):
        spans = np.exp(given[:, 2:]) * sides
    return np.concatenate([centres - spans / 2, centres + spans / 2], 1)


def overlap(one: Array, others: Array, plus: float) -> Array:
    """Intersection over union; `plus` 1 counts pixels, both ends included."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    both = np.prod(np.maximum(high - low + plus, 0.0), 1)
    if not plus:
        both = np.where(((others[:, :2] > one[2:]) | (others[:, 2:] < one[:2])).any(1), 0.0, both)
    whole = _area(one[None], plus) + _area(others, plus) - both
    return np.where(both > 0, both / np.where(both > 0, whole, 1.0), 0.0)


def _area(boxes: Array, plus: float) -> Array:
    sides = boxes[:, 2:] - boxes[:, :2]
    found = np.prod(sides + plus, 1)
    return np.asarray(found if plus else np.where((sides < 0).any(1), 0.0, found))


def _kept(boxes: Array, order: Sequence[int], limit: float, eta: float = 1.0, plus: float = 0.0) -> list[int]:
    """Which boxes stay, best first, of those in `order`."""
    kept: list[int] = []
    for index in order:
        if kept and (overlap(boxes[index], boxes[kept], plus) > limit).any():
            continue
        kept.append(index)
        if eta < 1 and limit > 0.5:
            limit *= eta
    return kept


def _detection_output(layer: Layer, bottoms: Sequence[Array]) -> Array:
    param, (places, scores, priors) = layer.param("detection_output_param"), bottoms[:3]
    count, classes = priors.reshape(2, -1, 4).shape[1], param.last("num_classes")
    prior, variance = priors.reshape(2, -1, 4)
    shared = param.last("share_location", True)
    if param.last("variance_encoded_in_target", False):
        variance = np.ones_like(variance)
    rows = []
    for picture in range(places.shape[0]):
        given = places[picture].reshape(count, 1 if shared else classes, 4)
        chance = scores[picture].reshape(count, classes)
        found = _of_picture(param, prior, variance, given, chance)
        rows += [[picture, *row] for row in found]
    if not rows:
        return np.asarray([[[[picture, *[-1.0] * 6] for picture in range(places.shape[0])]]])
    return np.asarray(rows, np.float64)[None, None]


def _of_picture(param: Message, prior: Array, variance: Array, given: Array, chance: Array) -> list[list[float]]:
    """[label, score, x1, y1, x2, y2] of what is left of one picture, label after label."""
    nms = param.inner("nms_param")
    top, limit = nms.last("top_k", -1), nms.last("nms_threshold", 0.3)
    least = param.last("confidence_threshold", -np.inf)
    kept: list[tuple[float, int, int]] = []
    boxes = {}
    for label in range(chance.shape[1]):
        if label == param.last("background_label_id", 0):
            continue
        mine = given[:, 0 if given.shape[1] == 1 else label]
        boxes[label] = _decoded(prior, variance, mine, param.last("code_type", "CORNER"))
        order = [i for i in np.argsort(-chance[:, label], kind="stable").tolist() if chance[i, label] > least]
        order = order[:top] if top > -1 else order
        for index in _kept(boxes[label], order, limit, nms.last("eta", 1.0)):
            kept.append((float(chance[index, label]), label, index))
    most = param.last("keep_top_k", -1)
    if -1 < most < len(kept):
        kept = sorted(kept, key=lambda item: -item[0])[:most]
    kept.sort(key=lambda item: (item[1], -item[0]))
    return [[label, score, *boxes[label][index].tolist()] for score, label, index in kept]


def _away(x: Array) -> Array:
    """Half rounded away from zero."""
    return np.asarray(np.sign(x) * np.floor(np.abs(x) + 0.5))


def _roi_pooling(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, regions = bottoms
    param = layer.param("roi_pooling_param")
    tall, wide, scale = param.last("pooled_h", 0), param.last("pooled_w", 0), param.last("spatial_scale", 1.0)
    regions = regions.reshape(regions.shape[0], -1)
    made = np.zeros((regions.shape[0], x.shape[1], tall, wide))
    for place, region in enumerate(regions):
        left, top, right, bottom = (int(v) for v in _away(region[1:5] * scale))
        bins = max(bottom - top + 1, 1) / tall, max(right - left + 1, 1) / wide
        for row, column in np.ndindex(tall, wide):
            rows = [
                min(max(v + top, 0), x.shape[2]) for v in (math.floor(row * bins[0]), math.ceil((row + 1) * bins[0]))
            ]
            columns = [
                min(max(v + left, 0), x.shape[3])
                for v in (math.floor(column * bins[1]), math.ceil((column + 1) * bins[1]))
            ]
            window = x[int(region[0]), :, rows[0] : rows[1], columns[0] : columns[1]]
            if window.size:
                made[place, :, row, column] = window.max((1, 2))
    return made


def _anchors(param: Message) -> Array:
    """generate_anchors of py-faster-rcnn: ratio after ratio, scale after scale."""
    base = param.last("base_size", 16)
    centre = (base - 1) / 2
    found = []
    for ratio in param.all("ratio") or [0.5, 1.0, 2.0]:
        width = np.round(np.sqrt(base * base / ratio))
        height = np.round(width * ratio)
        for scale in param.all("scale") or [8.0, 16.0, 32.0]:
            half = np.asarray([width * scale - 1, height * scale - 1]) / 2
            found.append([centre - half[0], centre - half[1], centre + half[0], centre + half[1]])
    return np.asarray(found)


def _proposal(layer: Layer, bottoms: Sequence[Array]) -> Array | list[Array]:
    scores, deltas, info = bottoms
    if scores.shape[0] != 1:
        raise ConversionError(f"Caffe layer {layer.name!r} (Proposal) takes one picture, not {scores.shape[0]}.")
    param = layer.param("proposal_param")
    anchors = _anchors(param)
    count = len(anchors)
    tall, wide, zoom = info.reshape(-1)[:3]
    stride = param.last("feat_stride", 16)
    y, x = np.meshgrid(np.arange(scores.shape[2]) * stride, np.arange(scores.shape[3]) * stride, indexing="ij")
    moved = (anchors + np.stack([x, y, x, y], -1)[:, :, None]).reshape(-1, 4)
    chance = scores[0, count:].transpose(1, 2, 0).reshape(-1)
    given = deltas[0].transpose(1, 2, 0).reshape(-1, 4)
    sides = moved[:, 2:] - moved[:, :2] + 1.0
    centres = given[:, :2] * sides + moved[:, :2] + 0.5 * sides
    with np.errstate(over="ignore"):
        spans = np.exp(given[:, 2:]) * sides
    boxes = np.concatenate([centres - 0.5 * spans, centres + 0.5 * spans], 1)
    boxes = np.clip(boxes, 0.0, np.asarray([wide, tall, wide, tall]) - 1)
    large = (boxes[:, 2:] - boxes[:, :2] + 1 >= param.last("min_size", 16) * zoom).all(1)
    boxes, chance = boxes[large], chance[large]
    before, after = param.last("pre_nms_topn", 6000), param.last("post_nms_topn", 300)  # 0 or less: all
    order = np.argsort(-chance, kind="stable")[: before if before > 0 else None].tolist()
    kept = _kept(boxes, order, param.last("nms_thresh", 0.7), plus=1.0)[: after if after > 0 else None]
    rows = np.concatenate([np.zeros((len(kept), 1)), boxes[kept]], 1)
    return [rows, chance[kept][:, None]] if len(layer.tops) > 1 else rows


FORKS: Mapping[str, Function] = {
    "BN": _bn,
    "Axpy": _axpy,
    "ShuffleChannel": _shuffle,
    "Permute": _permute,
    "Normalize": _normalize,
    "Interp": _interp,
    "Upsample": _upsample,
    "PriorBox": _prior_box,
    "DetectionOutput": _detection_output,
    "ROIPooling": _roi_pooling,
    "Proposal": _proposal,
}
