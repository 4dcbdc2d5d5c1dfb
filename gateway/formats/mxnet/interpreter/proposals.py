"""Region proposals: anchors at every place, moved, clipped, ordered and suppressed."""

from __future__ import annotations

import math

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op


def base_anchors(node: Node) -> Array:
    """(ratios * scales, 4) around the first cell; sides rounded to whole pixels as in Faster R-CNN."""
    stride = node.attrs.int("feature_stride", 16)
    middle, area = 0.5 * (stride - 1), float(stride * stride)
    anchors = []
    for ratio in node.attrs.floats("ratios", (0.5, 1.0, 2.0)):
        for scale in node.attrs.floats("scales", (4.0, 8.0, 16.0, 32.0)):
            width = math.floor(math.sqrt(math.floor(area / ratio)) + 0.5) * scale
            height = math.floor(width / scale * ratio + 0.5) * scale
            half_w, half_h = 0.5 * (width - 1), 0.5 * (height - 1)
            anchors.append((middle - half_w, middle - half_h, middle + half_w, middle + half_h))
    return np.array(anchors)


def _moved(boxes: Array, deltas: Array, iou_loss: bool) -> Array:
    if iou_loss:
        return boxes + deltas
    size = boxes[:, 2:] - boxes[:, :2] + 1
    center = boxes[:, :2] + 0.5 * (size - 1)
    center, size = deltas[:, :2] * size + center, np.exp(deltas[:, 2:]) * size
    return np.concatenate([center - 0.5 * (size - 1), center + 0.5 * (size - 1)], axis=1)


def _kept(boxes: Array, limit: float, most: int) -> list[int]:
    """Greedy suppression of boxes already in order; pixels count, so sides are + 1."""
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    gone, kept = np.zeros(len(boxes), dtype=bool), list[int]()
    for i in range(len(boxes)):
        if len(kept) == most:
            break
        if gone[i]:
            continue
        kept.append(i)
        w = np.maximum(np.minimum(boxes[i, 2], boxes[:, 2]) - np.maximum(boxes[i, 0], boxes[:, 0]) + 1, 0)
        h = np.maximum(np.minimum(boxes[i, 3], boxes[:, 3]) - np.maximum(boxes[i, 1], boxes[:, 1]) + 1, 0)
        gone[i + 1 :] |= (w * h / (area[i] + area - w * h) > limit)[i + 1 :]
    return kept


def _one(node: Node, scores: Array, deltas: Array, info: Array) -> tuple[Array, Array]:
    """One image: scores (A, H, W), deltas (4 A, H, W), info (height, width, scale) -> (post, 4), (post, 1)."""
    stride, anchors = node.attrs.int("feature_stride", 16), base_anchors(node)
    count, height, width = scores.shape
    rows, columns = np.mgrid[:height, :width] * stride
    shift = np.stack([columns, rows, columns, rows], axis=-1)[:, :, None, :]
    boxes = (shift + anchors).reshape(-1, 4)
    moves = deltas.reshape(count, 4, height, width).transpose(2, 3, 0, 1).reshape(-1, 4)
    score = scores.transpose(1, 2, 0).reshape(-1).copy()
    boxes = _moved(boxes, moves, node.attrs.bool("iou_loss"))
    boxes = np.clip(boxes, 0.0, np.array([info[1], info[0], info[1], info[0]]) - 1)
    real = np.zeros((height, width), dtype=bool)
    real[: int(info[0] / stride), : int(info[1] / stride)] = True
    score[~np.repeat(real.reshape(-1), count)] = -1
    least = node.attrs.int("rpn_min_size", 16) * info[2]
    small = ((boxes[:, 2:] - boxes[:, :2] + 1) < least).any(axis=1)
    boxes[small] += np.array([-1, -1, 1, 1]) * least / 2
    score[small] = -1
    before = node.attrs.int("rpn_pre_nms_top_n", 6000)
    before = min(before, len(score)) if before > 0 else len(score)
    after = node.attrs.int("rpn_post_nms_top_n", 300)
    order = np.argsort(-score, kind="stable")[:before]
    kept = _kept(boxes[order], node.scalar("threshold", 0.7), min(after, before))
    chosen = order[[kept[i % len(kept)] for i in range(after)]]  # too few: the first ones again
    return boxes[chosen], score[chosen, None]


@op("_contrib_Proposal", "_contrib_MultiProposal")
def proposal(node: Node, probability: Array, deltas: Array, info: Array) -> tuple[Array, Array]:
    """([image, x1, y1, x2, y2], score) of the best `rpn_post_nms_top_n` boxes of each image."""
    count = probability.shape[1] // 2
    boxes, scores = [], []
    for image in range(probability.shape[0]):
        box, score = _one(node, probability[image, count:], deltas[image], info[image])
        boxes.append(np.concatenate([np.full((len(box), 1), float(image)), box], axis=1))
        scores.append(score)
    return np.concatenate(boxes), np.concatenate(scores)
