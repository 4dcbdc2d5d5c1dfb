"""The arithmetic of the built-in steps, against numbers that were worked out by hand or by another formula."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from gateway.errors import InvalidTensor
from gateway.pipelines.steps import STEPS
from gateway.pipelines.steps.mtcnn import crops, scales_of, square
from gateway.pipelines.steps.numbers import suppressed, unit
from gateway.pipelines.steps.photos import TEMPLATE, cropped, similarity, warped


def run(name: str, values: dict[str, Any], **options: Any) -> dict[str, Any]:
    step = STEPS[name]
    chosen = {key: default for key, (default, _) in step.options.items()} | options
    return dict(asyncio.run(step.run(values, step.checked(chosen), {}, None)))


def test_distance_and_similarity_are_of_one_angle() -> None:
    """Distance squared is 2 - 2 * similarity: what onnx-arcface-resnet100.mar's two numbers are to each other."""
    random = np.random.default_rng(1)
    a, b = (unit(random.standard_normal((5, 64)).astype(np.float32)) for _ in range(2))
    found = run("cosine", {"a": a, "b": b})
    np.testing.assert_allclose(found["distance"] ** 2, 2 - 2 * found["similarity"], atol=1e-6, strict=True)
    np.testing.assert_allclose(found["similarity"], np.float32((a.astype(float) * b).sum(1)), atol=1e-6, strict=True)


def test_all_faces_of_two_photos_are_compared_each_with_each() -> None:
    a, b = np.eye(3, dtype=np.float32)[[0, 1]], np.eye(3, dtype=np.float32)
    of_a, of_b = np.zeros(2, np.int64), np.zeros(3, np.int64)
    found = run("cosine", {"a": a, "b": b, "of_a": of_a, "of_b": of_b})
    np.testing.assert_array_equal(found["similarity"], np.eye(3, dtype=np.float32)[:2], strict=True)
    with pytest.raises(InvalidTensor, match="of one pair of photos only"):
        run("cosine", {"a": a, "b": b, "of_a": np.int64([0, 1]), "of_b": np.int64([0, 1, 1])})


def test_unit_rows() -> None:
    found = unit(np.float32([[3, 4], [0, 0]]))
    np.testing.assert_allclose(found, np.float32([[0.6, 0.8], [0, 0]]), rtol=1e-6, strict=True)


BOXES = np.float32([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [2, 2, 6, 6]])
PICKED = {
    # 0 and 1 share 90 of 110; 3 lies within 0: 16 of 100, but all of itself
    "the union": ([0.8, 0.9, 0.5, 0.7], 0.5, "union", [1, 3, 2]),
    "the smaller box": ([0.8, 0.9, 0.5, 0.7], 0.5, "min", [1, 2]),
    "nothing overlaps so much": ([0.8, 0.9, 0.5, 0.7], 0.9, "union", [1, 0, 3, 2]),
}


@pytest.mark.parametrize(("scores", "threshold", "method", "kept"), PICKED.values(), ids=PICKED.keys())
def test_suppressed(scores: list[float], threshold: float, method: str, kept: list[int]) -> None:
    assert suppressed(BOXES, np.float32(scores), threshold, method).tolist() == kept


def test_nms_keeps_to_each_photo() -> None:
    found = run("nms", {"boxes": BOXES[[0, 0]], "scores": np.float32([0.5, 0.6]), "photo": np.int64([0, 1])})
    assert found["index"].tolist() == [0, 1]


def test_similarity_gives_back_a_turn_a_scale_and_a_shift() -> None:
    angle, scale, shift = 0.3, 1.7, np.array([40.0, -12.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE - shift) @ np.linalg.inv(turn).T
    found = similarity(points, TEMPLATE)
    np.testing.assert_allclose(found, np.hstack([turn, shift[:, None]]), atol=1e-9)


def test_similarity_never_mirrors() -> None:
    found = similarity(TEMPLATE * [-1, 1], TEMPLATE)
    assert np.linalg.det(found[:, :2]) > 0


def test_warped_counts_from_the_middle_of_a_pixel() -> None:
    """Nothing turned: every pixel is itself. Shifted by one: its neighbour. Twice as large: linear between two."""
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    same = np.array([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(warped(image, same, 12), image, strict=True)
    np.testing.assert_array_equal(
        warped(image, same + np.array([[0, 0, -1], [0, 0, 0]]), 11), image[:11, 1:], strict=True
    )
    large = warped(image, same * 2, 12).astype(int)
    np.testing.assert_array_equal(large[::2, ::2], image[:6, :6])
    between = (image[:6, :5].astype(int) + image[:6, 1:6]) / 2
    assert np.abs(large[::2, 1:10:2] - between).max() <= 0.5 + 1e-9


def test_points_that_lie_on_one_another_are_refused() -> None:
    with pytest.raises(InvalidTensor, match="lie on one another"):
        warped(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 3)), 4)


def test_a_face_without_points_is_cut_by_its_box() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    values = {
        "image": [image],
        "boxes": np.float32([[50, 60, 118, 128]]),
        "landmarks": np.full((1, 5, 2), np.nan, np.float32),
        "photo": np.int64([0]),
    }
    found = run("align-5pt", values)["faces"][0]
    np.testing.assert_array_equal(found, image[38:150, 28:140], strict=True)  # 68 + 44 is 112: nothing is resized


def test_a_margin_ends_at_the_edge_of_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    found = cropped(image, np.float32([10, 10, 30, 30]), 40, 44, "nearest")
    np.testing.assert_array_equal(found, image, strict=True)
    assert cropped(image, np.float32([100, 100, 120, 120]), 8, 0, "nearest").shape == (8, 8, 3)


FACES = {
    "largest": ("largest", [1, 2]),
    "first": ("first", [0, 2]),
    "all": ("all", [0, 1, 2]),
}


@pytest.mark.parametrize(("face", "kept"), FACES.values(), ids=FACES.keys())
def test_pick_face(face: str, kept: list[int]) -> None:
    boxes = np.float32([[0, 0, 2, 2], [0, 0, 9, 9], [0, 0, 1, 1]])
    values = {"boxes": boxes, "photo": np.int64([0, 0, 1]), "count": np.int64([2, 1]), "crops": [b"a", b"b", b"c"]}
    found = run("pick-face", values, face=face)
    np.testing.assert_array_equal(found["boxes"], boxes[kept], strict=True)
    assert found["crops"] == [[b"a", b"b", b"c"][at] for at in kept]


@pytest.mark.parametrize("count", [[0, 1], [1, 0], [0]])
def test_a_photo_without_a_face(count: list[int]) -> None:
    rows = sum(count)
    values = {
        "boxes": np.zeros((rows, 4), np.float32),
        "photo": np.repeat(np.arange(len(count)), count).astype(np.int64),
        "count": np.int64(count),
    }
    with pytest.raises(InvalidTensor, match=r"^No face detected\.$"):
        run("pick-face", values)


def test_the_pyramid_begins_where_the_smallest_face_is_a_window() -> None:
    found = scales_of(100, 200, 24, 0.5)
    assert found == [0.5, 0.25, 0.125], "100 * 0.125 is 12.5, and the next would be under 12"
    assert scales_of(11, 2000, 12, 0.5) == []


def test_square_boxes() -> None:
    np.testing.assert_array_equal(square(np.float64([[0, 0, 10, 20]])), [[-5, 0, 15, 20]])
    assert square(np.empty((0, 4))).shape == (0, 4)


def test_crops_are_black_outside_and_leave_out_what_holds_no_pixel() -> None:
    image = np.full((24, 24, 3), 255, np.uint8)
    boxes = np.float64([[1, 1, 24, 24], [-11, -11, 12, 12], [10, 10, 9, 20], [500, 500, 520, 520]])
    made, kept = crops(image, boxes, 24)
    np.testing.assert_array_equal(kept, boxes[:2], strict=True)
    assert (made[0] == 255).all()
    assert (made[1][:11] == 0).all(), "what lies left and above"
    assert (made[1][13:, 13:] == 255).all()
