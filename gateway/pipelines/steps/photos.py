"""Steps over pictures: decode, resize, crop-box, align-5pt, pick-face.

A row of `boxes`, `scores`, `landmarks` is a face; `photo` says which photo it is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from gateway import pictures
from gateway.core.dtypes import Array
from gateway.core.preprocess import INTERPOLATIONS
from gateway.errors import InvalidTensor
from gateway.pipelines.ports import BOXES, FILES, PICTURES, POINTS, WHOSE, Port, Value, Values
from gateway.pipelines.steps.base import Member, Step, in_thread, number, one_of, rows_of, text, whole
from gateway.serving.seeing import files_of

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Eyes, nose, corners of the mouth in a face of 112x112, as ArcFace's nets were trained."""


class Decode(Step):
    name = "decode"
    ins: ClassVar[Mapping[str, Port]] = {"files": FILES}

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        return {"images": PICTURES}

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        files = values["files"]
        assert not isinstance(files, list)
        found = files_of(files, "files")
        if not 0 < len(found) <= pictures.MAX_FILES:
            raise InvalidTensor(f"{len(found)} pictures, expected 1 to {pictures.MAX_FILES} in one request.")
        many = len(found) > 1
        names = [f"file {at}" if many else "the file" for at in range(1, len(found) + 1)]
        return {"images": [await in_thread(pictures.decode, data, name) for data, name in zip(found, names)]}


class Resize(Step):
    name = "resize"
    ins: ClassVar[Mapping[str, Port]] = {"image": PICTURES}
    options: ClassVar[Any] = {
        "height": (224, whole(1, 8192)),
        "width": (224, whole(1, 8192)),
        "interpolation": ("bilinear", one_of(*INTERPOLATIONS)),
    }

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        return {"images": PICTURES}

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        size = (int(options["height"]), int(options["width"]))
        return {
            "images": [
                await in_thread(pictures.resized, one, size, options["interpolation"]) for one in values["image"]
            ]
        }


class PickFace(Step):
    """Of each photo the first, the largest, or all faces; every further port is cut to the same rows.

    `count` says how many faces each photo has: a photo without one is an error.
    """

    name = "pick-face"
    ins: ClassVar[Mapping[str, Port]] = {"boxes": BOXES, "photo": WHOSE, "count": WHOSE}
    options: ClassVar[Any] = {
        "face": ("largest", one_of("first", "largest", "all")),
        "none": ("No face detected.", text),
    }
    more = True

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        return {name: port for name, port in ins.items() if name != "count"}

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        count = len(values["count"])
        values = {name: value for name, value in values.items() if name != "count"}
        rows_of(values)
        boxes, photo = np.asarray(values["boxes"]), np.asarray(values["photo"])
        kept: list[int] = []
        for one in range(count):
            mine = np.flatnonzero(photo == one)
            if not mine.size:
                raise InvalidTensor(options["none"])
            if options["face"] == "largest":
                left, top, right, bottom = boxes[mine].T
                mine = mine[[int(np.argmax((right - left) * (bottom - top)))]]
            kept += mine.tolist() if options["face"] == "all" else mine[:1].tolist()
        return {name: _rows(value, kept) for name, value in values.items()}


def _rows(value: Value, kept: list[int]) -> Value:
    return [value[at] for at in kept] if isinstance(value, list) else value[np.asarray(kept, np.intp)]


class CropBox(Step):
    """The box of each face, a margin around it, made square or not as it is, resized to `size`.

    As insightface's face_preprocess without landmarks: `margin` pixels in all, cut at the picture's edge.
    """

    name = "crop-box"
    ins: ClassVar[Mapping[str, Port]] = {"image": PICTURES, "boxes": BOXES, "photo": WHOSE}
    options: ClassVar[Any] = {
        "size": (112, whole(8, 1024)),
        "margin": (44, number(0, 10_000)),
        "interpolation": ("bilinear-plain", one_of(*INTERPOLATIONS)),
    }

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        return {"faces": PICTURES}

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        return {"faces": await in_thread(_crops, values, options)}


def _crops(values: Values, options: Mapping[str, Any]) -> list[Array]:
    images = values["image"]
    return [
        cropped(images[int(one)], box, int(options["size"]), options["margin"], options["interpolation"])
        for box, one in zip(values["boxes"], values["photo"])
    ]


def cropped(image: Array, box: Array, size: int, margin: float, method: str) -> Array:
    """(size, size, 3) uint8. A box that lies outside the picture gives its nearest pixel."""
    tall, wide = image.shape[:2]
    left, top = (int(max(float(edge) - margin / 2, 0.0)) for edge in box[:2])
    right, bottom = int(min(float(box[2]) + margin / 2, wide)), int(min(float(box[3]) + margin / 2, tall))
    left, top = min(left, wide - 1), min(top, tall - 1)
    return pictures.resized(image[top : max(bottom, top + 1), left : max(right, left + 1)], (size, size), method)


class Align(Step):
    """Each face turned, moved and scaled so that its five points lie where the embedder learned them; a face without
    points (NaN) is cropped by its box."""

    name = "align-5pt"
    ins: ClassVar[Mapping[str, Port]] = {"image": PICTURES, "boxes": BOXES, "landmarks": POINTS, "photo": WHOSE}
    options: ClassVar[Any] = {"size": (112, whole(8, 1024)), "margin": (44, number(0, 10_000))}

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        return {"faces": PICTURES}

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        return {"faces": await in_thread(_aligned, values, options)}


def _aligned(values: Values, options: Mapping[str, Any]) -> list[Array]:
    size, images = int(options["size"]), values["image"]
    made: list[Array] = []
    for box, points, one in zip(values["boxes"], values["landmarks"], values["photo"]):
        image = images[int(one)]
        if np.isfinite(points).all():
            made.append(warped(image, similarity(points, TEMPLATE * (size / 112)), size))
        else:
            made.append(cropped(image, box, size, options["margin"], "bilinear-plain"))
    return made


def similarity(points: Array, onto: Array) -> Array:
    """[2,3]: the rotation, scale and shift that bring `points` nearest to `onto` (Umeyama 1991), pixel to pixel."""
    given, wanted = points.astype(np.float64), onto.astype(np.float64)
    given_mean, wanted_mean = given.mean(0), wanted.mean(0)
    a, b = given - given_mean, wanted - wanted_mean
    u, s, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.ones(2)
    if np.linalg.det(u) * np.linalg.det(vt) < 0:
        sign[1] = -1.0
    rotation = u @ np.diag(sign) @ vt
    spread = a.var(0).sum()
    scale = float((s * sign).sum() / spread) if spread > 0 else 1.0
    return np.hstack([scale * rotation, (wanted_mean - scale * rotation @ given_mean)[:, None]])


def warped(image: Array, onto: Array, size: int) -> Array:
    """(size, size, 3) uint8: `onto` maps pixels of `image` to pixels of the result; linear, rounded, black outside.

    Written out: Pillow's own transform cuts fractions off, half a level too dark. Errors: InvalidTensor.
    """
    turn = onto[:, :2]
    if abs(np.linalg.det(turn)) < 1e-12:
        raise InvalidTensor("the five points of a face lie on one another.")
    tall, wide = image.shape[:2]
    v, u = np.mgrid[0:size, 0:size].reshape(2, -1)
    x, y = np.linalg.inv(turn) @ (np.stack([u, v]) - onto[:, 2:])
    inside = (x >= -0.5) & (y >= -0.5) & (x < wide - 0.5) & (y < tall - 0.5)
    x, y = np.clip(x, 0, wide - 1), np.clip(y, 0, tall - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, below = np.minimum(left + 1, wide - 1), np.minimum(top + 1, tall - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[below, left] * (1 - across) + image[below, right] * across
    made: Array = np.rint(upper * (1 - down) + lower * down) * inside[:, None]
    return np.asarray(made.astype(np.uint8)).reshape(size, size, 3)
