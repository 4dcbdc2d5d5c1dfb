"""What a detector says of one picture: boxes with scores and labels, in pixels of the picture that was sent.

    found = of_scores(scores, boxes)           (K, classes) and (K, 4) of middles and sides: YOLO, before suppression
    found = of_rows(rows)                      (K, 7) of image, label, score and corners: SSD, suppressed already
    shown = [placed(each, preprocess, (height, width)) for each in found]

Rule 1: boxes are shares of the network's input until they are placed: resizing, letterbox and crop are undone.
Rule 2: numbers only, and no label is made up: a class without a name is its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.preprocess import Preprocess

BOXES = "boxes"
"""The signature of a detector that shows scores and boxes before suppression."""
ROW = 7  # numbers of a row of SSD's: image, label, score, x1, y1, x2, y2
THRESHOLD = 0.25
OVERLAP = 0.45


@dataclass(frozen=True)
class Detection:
    """`box` is x1, y1, x2, y2."""

    label: int
    score: float
    box: tuple[float, float, float, float]


def of_scores(
    scores: Array, boxes: Array, *, threshold: float = THRESHOLD, overlap: float = OVERLAP
) -> list[Detection]:
    """The best box of each crowd, class by class, best first. Boxes are x, y, w, h of middle and sides."""
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    found = []
    for label in range(scores.shape[1]):
        chosen = np.flatnonzero(scores[:, label] > threshold)
        kept = chosen[suppressed(corners[chosen], scores[chosen, label], overlap)]
        found += [Detection(label, float(scores[i, label]), _box(corners[i])) for i in kept]
    return sorted(found, key=lambda each: -each.score)


def suppressed(boxes: Array, scores: Array, threshold: float, method: str = "union", plus: float = 0.0) -> Array:
    """Rows that stay, the best first: whoever overlaps a better one by more than `threshold` goes.

    boxes [n,4] left, top, right, bottom; "union" divides the overlap by the union, "min" by the smaller box.
    `plus` is 1 where right and bottom count the last pixel in. Equal scores: the later row first, as MTCNN's.
    """
    left, top, right, bottom = boxes.astype(np.float64).T
    area = (right - left + plus) * (bottom - top + plus)
    order = np.argsort(scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[-1], order[:-1]
        kept.append(int(best))
        wide = np.maximum(0.0, np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + plus)
        tall = np.maximum(0.0, np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + plus)
        shared = wide * tall
        whole_area = np.minimum(area[best], area[rest]) if method == "min" else area[best] + area[rest] - shared
        order = rest[shared <= threshold * whole_area]
    return np.asarray(kept, np.intp)


def of_rows(rows: Array, *, image: int = 0, threshold: float = THRESHOLD) -> list[Detection]:
    """Rows of one picture; a label below 0 is none."""
    mine = [row for row in rows if int(row[0]) == image and row[1] >= 0 and row[2] > threshold]
    return sorted((Detection(int(r[1]), float(r[2]), _box(r[3:ROW])) for r in mine), key=lambda each: -each.score)


def placed(found: Detection, preprocess: Preprocess, picture: tuple[int, int]) -> Detection:
    """In pixels of a picture of (height, width); what sticks out is cut off."""
    height, width = picture
    tall, wide = preprocess.resize or picture
    if preprocess.fit == "stretch":
        across, down = width / wide, height / tall
    else:
        choose = min if preprocess.fit == "letterbox" else max
        across = down = 1.0 / choose(tall / height, wide / width)
    inner = preprocess.crop or (tall, wide)
    # The middle of what the network sees is the middle of the picture, whatever was cut off or filled up.
    middle = (width / 2, height / 2)
    x1, y1, x2, y2 = found.box
    return replace(
        found,
        box=(
            min(max(middle[0] + (x1 - 0.5) * inner[1] * across, 0.0), float(width)),
            min(max(middle[1] + (y1 - 0.5) * inner[0] * down, 0.0), float(height)),
            min(max(middle[0] + (x2 - 0.5) * inner[1] * across, 0.0), float(width)),
            min(max(middle[1] + (y2 - 0.5) * inner[0] * down, 0.0), float(height)),
        ),
    )


def line(found: Detection, labels: Sequence[str]) -> str:
    """'dog  98.2 %   120,45 to 300,210': for a person, corners in whole pixels."""
    name = labels[found.label] if found.label < len(labels) else f"class {found.label}"
    x1, y1, x2, y2 = (round(value) for value in found.box)
    return f"{name}  {100 * found.score:.1f} %   {x1},{y1} to {x2},{y2}"


def _box(values: Array) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(value) for value in values)
    return x1, y1, x2, y2
