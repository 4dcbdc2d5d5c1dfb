"""[preprocess]: what may be said, and the arithmetic."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.core.preprocess import Preprocess, read_preprocess

GOOD = {
    "empty": ({}, Preprocess()),
    "one number is a square": ({"resize": 224}, Preprocess(resize=(224, 224))),
    "height before width": ({"resize": [8, 16]}, Preprocess(resize=(8, 16))),
    "one mean for all channels": ({"mean": 127.5}, Preprocess(mean=(127.5,))),
    "a mean for each": (
        {"mean": [104, 117, 123], "colour": "bgr"},
        Preprocess(mean=(104.0, 117.0, 123.0), colour="bgr"),
    ),
    "gray has one channel": ({"colour": "gray", "std": [2]}, Preprocess(colour="gray", std=(2.0,))),
    "every key": (
        {
            "input": "data",
            "resize": [256, 256],
            "interpolation": "area",
            "crop": [224, 224],
            "colour": "rgb",
            "scale": 0.5,
            "mean": [1, 2, 3],
            "std": [4, 5, 6],
            "layout": "nhwc",
            "fit": "letterbox",
            "fill": [7, 8, 9],
            "exif": False,
        },
        Preprocess(
            "data",
            (256, 256),
            "area",
            (224, 224),
            "rgb",
            0.5,
            (1.0, 2.0, 3.0),
            (4.0, 5.0, 6.0),
            "nhwc",
            "letterbox",
            (7.0, 8.0, 9.0),
            False,
        ),
    ),
    "transposed": ({"layout": "ncwh"}, Preprocess(layout="ncwh")),
    "cover": (
        {"resize": 256, "fit": "cover", "crop": 224},
        Preprocess(resize=(256, 256), fit="cover", crop=(224, 224)),
    ),
}


@pytest.mark.parametrize(("table", "expected"), GOOD.values(), ids=GOOD.keys())
def test_read(table: dict[str, Any], expected: Preprocess) -> None:
    problems: list[str] = []
    assert read_preprocess(table, problems) == expected
    assert problems == []


@pytest.mark.parametrize("preprocess", [p for _, p in GOOD.values()], ids=GOOD.keys())
def test_json_round_trip(preprocess: Preprocess) -> None:
    assert Preprocess.from_json(json.loads(json.dumps(preprocess.to_json()))) == preprocess


BAD = {
    "not a table": (3, ["[preprocess] is int, expected a table"]),
    "an unknown key": ({"color": "rgb"}, ["no such key 'color'. Did you mean 'colour'?"]),
    "a size of one number in a list": ({"resize": [224]}, ["resize is [224], expected [height, width]"]),
    "a size of nothing": ({"crop": 0}, ["crop is 0, expected [height, width]"]),
    "a size that is true": ({"crop": True}, ["crop is True, expected [height, width]"]),
    "a negative size": ({"resize": [-1, 8]}, ["resize is [-1, 8]"]),
    "a word for a number": ({"scale": "1/255"}, ["scale is '1/255', expected a number"]),
    "another colour": (
        {"colour": "grey"},
        ["colour is 'grey', expected one of rgb, bgr, gray", "Did you mean 'gray'?"],
    ),
    "two means for three channels": ({"mean": [1, 2]}, ["mean has 2 numbers, colour 'rgb' has 3 channels"]),
    "three stds for gray": ({"colour": "gray", "std": [1, 2, 3]}, ["std has 3 numbers, colour 'gray' has 1 channels"]),
    "std of zero": ({"std": [1, 0, 1]}, ["std holds a 0, which would divide by zero"]),
    "no mean at all": ({"mean": []}, ["mean has 0 numbers"]),
    "not a number": ({"scale": float("nan")}, ["scale is nan, expected a number"]),
    "infinite": ({"mean": [float("inf")]}, ["mean is inf, expected a number"]),
    "a list for a colour": ({"colour": ["rgb"]}, ["colour is ['rgb'], expected one of"]),
    "a letterbox of no size": ({"fit": "letterbox"}, ["fit is 'letterbox', which needs a resize"]),
    "a fill for nothing": ({"resize": 8, "fill": 3}, ["fill is given, and fit is 'stretch'"]),
    "a fill of two": ({"resize": 8, "fit": "letterbox", "fill": [1, 2]}, ["fill is [1.0, 2.0], expected one number"]),
    "a fill no pixel has": ({"resize": 8, "fit": "letterbox", "fill": 300}, ["fill is [300.0], expected one number"]),
    "another fit": ({"resize": 8, "fit": "contain"}, ["fit is 'contain', expected one of stretch, cover, letterbox"]),
    "a word for a flag": ({"exif": "yes"}, ["exif is 'yes', expected true or false"]),
    "several at once": ({"colour": "x", "layout": "y", "input": 3}, ["colour is 'x'", "layout is 'y'", "input is 3"]),
}


@pytest.mark.parametrize(("table", "says"), BAD.values(), ids=BAD.keys())
def test_read_says_what_is_wrong(table: Any, says: list[str]) -> None:
    problems: list[str] = []
    read_preprocess(table, problems)
    said = "; ".join(problems)
    assert all(part in said for part in says), said


AXES = {"nchw": "cyx", "nhwc": "yxc", "ncwh": "cxy", "nwhc": "xyc"}


def test_what_is_stored_keeps_its_digest() -> None:
    """Keys that came later are not written where they say nothing: no model is converted again for them."""
    assert set(Preprocess().to_json()) == {
        "input", "resize", "interpolation", "crop", "colour", "scale", "mean", "std", "layout"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "shape", "size"),
    [
        ("nchw", (None, 3, 4, 5), (4, 5)),
        ("nhwc", (None, 4, 5, 3), (4, 5)),
        ("ncwh", (None, 3, 5, 4), (4, 5)),
        ("nwhc", (2, None, 4, 3), (4, None)),
        ("nchw", None, (None, None)),
        ("nchw", (3, 4, 5), (None, None)),
    ],
)
def test_height_and_width(layout: str, shape: Any, size: Any) -> None:
    assert Preprocess(layout=layout).height_and_width(shape) == size


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "ncwh", "nwhc"])
def test_normalise_is_the_formula(layout: str) -> None:
    """y = (x * scale - mean) / std per channel, channels where the layout says."""
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    found = Preprocess(scale=2.0, mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0), layout=layout).normalise(picture)
    assert found.shape == tuple({"y": 2, "x": 3, "c": 3}[axis] for axis in AXES[layout])
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    for y in range(2):
        for x in range(3):
            for c in range(3):
                expected = (float(picture[y, x, c]) * 2.0 - (1, 2, 3)[c]) / (1, 2, 4)[c]
                assert found[tuple({"y": y, "x": x, "c": c}[axis] for axis in AXES[layout])] == expected


def test_normalise_of_gray() -> None:
    found = Preprocess(colour="gray", scale=1 / 255).normalise(np.full((8, 8, 1), 255, np.uint8))
    np.testing.assert_array_equal(found, np.ones((1, 8, 8), np.float32), strict=True)
