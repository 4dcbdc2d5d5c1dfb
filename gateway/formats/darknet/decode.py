"""Boxes from heads once more, for judges: float64, value by value as Darknet's get_*_detections has it.

It shares nothing with ops/boxes.py, which writes the same into the artifact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.darknet.network import Layer, Network
from gateway.formats.darknet.shapes import PJREDDIE

HEADS = ("yolo", "gaussian_yolo", "region", "detection")


def decoded(network: Network, answers: Mapping[str, Array]) -> tuple[Array, Array]:
    """(scores (N, K, classes), boxes (N, K, 4)) from the heads' answers by layer name, (N, c, h, w) each."""
    found = [_head(network, layer, np.asarray(answers[layer.name], np.float64)) for layer in heads(network)]
    return np.concatenate([scores for _, scores in found], 1), np.concatenate([boxes for boxes, _ in found], 1)


def heads(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if layer.type in HEADS]


def _head(network: Network, layer: Layer, head: Array) -> tuple[Array, Array]:
    if layer.type == "detection":
        return _cells(layer, head.reshape(head.shape[0], -1))
    rows, height, width = head.shape[0], head.shape[2], head.shape[3]
    masks = layer.options.ints("mask")
    if layer.type == "region" or not masks:
        masks = tuple(range(layer.options.int("num", 1)))
    values = head.shape[1] // len(masks)
    cells = head.reshape(rows, len(masks), values, height, width)
    boxes = np.empty((rows, height, width, len(masks), 4))
    scores = np.empty((rows, height, width, len(masks), layer.options.int("classes", 20)))
    given = layer.options.floats("anchors")
    for place, mask in enumerate(masks):
        anchor = (given[2 * mask], given[2 * mask + 1])
        for row in range(height):
            for column in range(width):
                cell = cells[:, place, :, row, column]
                where = (column, row, width, height)
                boxes[:, row, column, place], scores[:, row, column, place] = _one(network, layer, cell, anchor, where)
    return boxes.reshape(rows, -1, 4), scores.reshape(rows, height * width * len(masks), -1)


def _one(
    network: Network, layer: Layer, cell: Array, anchor: tuple[float, float], where: tuple[int, int, int, int]
) -> tuple[Array, Array]:
    """Box and scores of one anchor at one place; `cell` is (N, values)."""
    column, row, width, height = where
    _, tall, wide = network.input
    if layer.type == "gaussian_yolo":
        w, h = np.exp(cell[:, 4]) * anchor[0] / wide, np.exp(cell[:, 6]) * anchor[1] / tall
        x, y = (column + cell[:, 0]) / width, (row + cell[:, 2]) / height
        point = layer.options.str("yolo_point", "center")
        if point == "left_top":
            x, y = x + w / 2, y + h / 2
        elif point == "right_bottom":
            x, y = x - w / 2, y - h / 2
        doubt = (cell[:, 1] + cell[:, 3] + cell[:, 5] + cell[:, 7]) / 4
        return np.stack([x, y, w, h], 1), cell[:, 9:] * (cell[:, 8] * (1 - doubt))[:, None]
    x, y = (column + cell[:, 0]) / width, (row + cell[:, 1]) / height
    if layer.type == "region":
        coords = layer.options.int("coords", 4)
        w, h = np.exp(cell[:, 2]) * anchor[0] / width, np.exp(cell[:, 3]) * anchor[1] / height
        background = network.dialect == PJREDDIE and layer.options.int("background", 0)
        objectness = np.ones(len(cell)) if background else cell[:, coords]
        return np.stack([x, y, w, h], 1), cell[:, coords + 1 :] * objectness[:, None]
    if network.dialect != PJREDDIE and layer.options.int("new_coords", 0):
        w, h = cell[:, 2] ** 2 * 4 * anchor[0] / wide, cell[:, 3] ** 2 * 4 * anchor[1] / tall
    else:
        w, h = np.exp(cell[:, 2]) * anchor[0] / wide, np.exp(cell[:, 3]) * anchor[1] / tall
    return np.stack([x, y, w, h], 1), cell[:, 5:] * cell[:, 4:5]


def _cells(layer: Layer, values: Array) -> tuple[Array, Array]:
    """[detection]: side · side cells, `num` boxes each, one set of classes a cell."""
    options = layer.options
    side, count, classes = options.int("side", 7), options.int("num", 1), options.int("classes", 1)
    power = 2 if options.int("sqrt", 0) else 1
    boxes, scores = [], []
    for cell in range(side * side):
        for number in range(count):
            place = cell * count + number
            objectness = values[:, side * side * classes + place]
            start = side * side * (classes + count) + place * 4
            x, y, w, h = (values[:, start + axis] for axis in range(4))
            boxes.append(np.stack([(x + cell % side) / side, (y + cell // side) / side, w**power, h**power], 1))
            scores.append(values[:, cell * classes : (cell + 1) * classes] * objectness[:, None])
    return np.stack(boxes, 1), np.stack(scores, 1)
