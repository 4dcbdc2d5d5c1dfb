"""What a detector saw, in pixels: suppression, rows of SSD, and what resizing did to the picture undone."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.detections import Detection, line, of_rows, of_scores, placed
from gateway.core.preprocess import Preprocess


def test_of_a_crowd_the_best_stays_class_by_class() -> None:
    boxes = np.asarray([[0.5, 0.5, 0.4, 0.4], [0.52, 0.5, 0.4, 0.4], [0.1, 0.1, 0.1, 0.1]])
    scores = np.asarray([[0.6, 0.1], [0.9, 0.8], [0.3, 0.2]])
    found = of_scores(scores, boxes)
    assert [(each.label, each.score) for each in found] == [(0, 0.9), (1, 0.8), (0, 0.3)]
    assert found[0].box == pytest.approx((0.32, 0.3, 0.72, 0.7))


def test_a_network_that_sees_things_everywhere_costs_no_minutes() -> None:
    """10647 boxes of an untrained YOLOv3 in 80 classes: looked at by pairs in Python they took over ten minutes."""
    random = np.random.default_rng(0)
    boxes = np.concatenate([random.random((10647, 2)), 0.01 + 0.02 * random.random((10647, 2))], 1)
    scores = np.zeros((10647, 80))
    scores[:, 7] = 0.3 + 0.7 * random.random(10647)
    found = of_scores(scores, boxes)
    assert 1000 < len(found) < 10647
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_rows_of_ssd() -> None:
    rows = np.asarray([[0, 3, 0.9, 0.1, 0.2, 0.3, 0.4], [0, 1, 0.1, 0, 0, 1, 1], [1, 2, 0.9, 0, 0, 1, 1]], np.float64)
    assert of_rows(rows) == [Detection(3, 0.9, (0.1, 0.2, 0.3, 0.4))]
    assert of_rows(np.asarray([[0, -1.0, -1, -1, -1, -1, -1]])) == []


WHOLE = Detection(0, 1.0, (0.0, 0.0, 1.0, 1.0))
MIDDLE = Detection(0, 1.0, (0.25, 0.25, 0.75, 0.75))
PLACED: dict[str, tuple[Preprocess, Detection, tuple[float, float, float, float]]] = {
    "stretched": (Preprocess(resize=(100, 100)), MIDDLE, (100, 25, 300, 75)),
    "letterbox: what was filled up is cut off": (
        Preprocess(resize=(100, 100), fit="letterbox"),
        WHOLE,
        (0, 0, 400, 100),
    ),
    "letterbox: the longer side is the scale": (
        Preprocess(resize=(100, 100), fit="letterbox"),
        Detection(0, 1.0, (0.25, 0.45, 0.5, 0.5)),
        (100, 30, 200, 50),
    ),
    "cover: the sides that were cut off are not seen": (
        Preprocess(resize=(100, 100), fit="cover"),
        WHOLE,
        (150, 0, 250, 100),
    ),
    "a crop of the middle": (Preprocess(resize=(100, 400), crop=(50, 200)), WHOLE, (100, 25, 300, 75)),
    "as it is": (Preprocess(), MIDDLE, (100, 25, 300, 75)),
}


@pytest.mark.parametrize(("preprocess", "found", "box"), PLACED.values(), ids=PLACED.keys())
def test_placed_in_a_picture_of_400_by_100(
    preprocess: Preprocess, found: Detection, box: tuple[float, float, float, float]
) -> None:
    assert placed(found, preprocess, (100, 400)).box == pytest.approx(box)


def test_a_line_names_what_has_a_name() -> None:
    found = Detection(1, 0.982, (119.6, 45.2, 300.0, 210.0))
    assert line(found, ("cat", "dog")) == "dog  98.2 %   120,45 to 300,210"
    assert line(found, ()) == "class 1  98.2 %   120,45 to 300,210"
