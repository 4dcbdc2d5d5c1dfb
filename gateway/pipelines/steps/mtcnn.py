"""detect-mtcnn: faces by three served nets (Zhang et al. 2016), whatever format their files came in.

    image pyramid -> pnet -> candidates -> rnet -> fewer -> onet -> boxes, scores, five points

How pixels become each net's input, transposed or with reversed channels, is the [preprocess] of that net;
its outputs lie as its input does.

Rule 1: the nets of one photo's pyramid run side by side, the candidates of all photos of a request in one run;
        runs of several requests are joined by the nets' own batchers.
Rule 2: boxes are as MTCNN counts them: the first pixel is 1, right and bottom are in the box.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from gateway import pictures
from gateway.core.detections import suppressed
from gateway.core.dtypes import Array, Tensors
from gateway.core.preprocess import LAYOUTS, Preprocess
from gateway.core.signature import Signature
from gateway.errors import InvalidTensor, ModelRunError
from gateway.pipelines.ports import BOXES, PICTURES, POINTS, SCORES, WHOSE, Port, Values
from gateway.pipelines.steps.base import Member, Step, in_thread, number, three_thresholds, whole

WINDOW = 12  # pixels that pnet looks at
STRIDE = 2
SIDES = {"rnet": 24, "onet": 48}
MAX_CANDIDATES = 4096  # of one photo, for rnet: the surest


@dataclass(frozen=True)
class Net:
    """A member and how pixels go in: `input` is the name of its input."""

    member: Member
    input: str
    preprocess: Preprocess

    @classmethod
    def of(cls, member: Member) -> Net:
        found = pictures.wanted(member.signature)
        assert found is not None, "members_fit has seen it"
        return cls(member, found[0].name, found[1])

    def tensor(self, stack: Array) -> Array:
        """(n, height, width, 3) RGB -> its input."""
        spec = self.member.signature.input(self.input)
        assert spec is not None
        shown = stack[..., ::-1] if self.preprocess.colour == "bgr" else stack
        return pictures.cast(self.preprocess.normalise(shown), spec)

    async def run(self, tensor: Array, deadline: float | None) -> Tensors:
        return await self.member.run({self.input: tensor}, deadline)

    def upright(self, outputs: Tensors, channels: int) -> Array:
        """The output of so many channels as (n, height, width, channels), or (n, channels)."""
        order = LAYOUTS[self.preprocess.layout]
        axis = {part: 1 + at for at, part in enumerate(order)}
        for array in outputs.values():
            if array.ndim == 2 and array.shape[1] == channels:
                return array
            if array.ndim == 4 and array.shape[axis[2]] == channels:
                return array.transpose(0, axis[0], axis[1], axis[2])
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
        raise ModelRunError(f"{self.member.name} gives {shapes}; expected an output of {channels} numbers a window.")


@dataclass
class Found:
    """Of one photo: boxes [n,4] in its own pixels, scores [n], points [n,5,2]."""

    boxes: Array
    scores: Array
    points: Array


class Mtcnn(Step):
    name = "detect-mtcnn"
    ins: ClassVar[Mapping[str, Port]] = {"image": PICTURES}
    roles = ("pnet", "rnet", "onet")
    options: ClassVar[Any] = {
        "min_size": (20, number(12, 10_000)),
        "factor": (0.709, number(0.1, 0.95)),
        "steps_threshold": ([0.6, 0.7, 0.7], three_thresholds),
        "max_side": (2048, whole(12, 20_000)),
    }

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        return {"boxes": BOXES, "scores": SCORES, "landmarks": POINTS, "photo": WHOSE, "count": WHOSE}

    def members_fit(self, signatures: Mapping[str, Signature]) -> list[str]:
        found = []
        for role, signature in signatures.items():
            if signature.preprocess is None:
                found.append(f"{role} does not say how pixels become its input: its model.toml has no [preprocess]")
            elif signature.preprocess["colour"] == "gray":
                found.append(f"{role} takes gray pictures, expected rgb or bgr")
        return found

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        pnet, rnet, onet = (Net.of(members[role]) for role in self.roles)
        first, second, third = options["steps_threshold"]
        images, scales = await in_thread(_bounded, values["image"], int(options["max_side"]))
        boxes = await asyncio.gather(*(_first(pnet, image, options, first, deadline) for image in images))
        boxes = await _second(rnet, images, boxes, second, deadline)
        found = await _third(onet, images, boxes, third, deadline)
        return _joined(found, scales)


def _bounded(images: Sequence[Array], side: int) -> tuple[list[Array], list[float]]:
    """Photos larger than `side` made smaller, and by how much: a pyramid of 20,000 pixels takes minutes."""
    made, scales = [], []
    for image in images:
        scale = min(1.0, side / max(image.shape[:2]))
        size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
        made.append(pictures.resized(image, size, "bilinear"))
        scales.append(scale)
    return made, scales


# -- pnet


def scales_of(height: int, width: int, min_size: float, factor: float) -> list[float]:
    """Sizes at which a face of `min_size` pixels and more is a window of pnet's."""
    scale, found = WINDOW / min_size, []
    while min(height, width) * scale >= WINDOW:
        found.append(scale)
        scale *= factor
    return found


async def _first(net: Net, image: Array, options: Mapping[str, Any], threshold: float, deadline: float | None) -> Array:
    """Candidates of one photo, [n,4], square, whole pixels."""
    scales = scales_of(image.shape[0], image.shape[1], options["min_size"], options["factor"])
    tensors = await in_thread(_pyramid, net, image, scales)
    answers = await asyncio.gather(*(net.run(tensor, deadline) for tensor in tensors))
    return await in_thread(_candidates, net, answers, scales, threshold)


def _pyramid(net: Net, image: Array, scales: Sequence[float]) -> list[Array]:
    height, width = image.shape[:2]
    sizes = [(int(np.ceil(height * scale)), int(np.ceil(width * scale))) for scale in scales]
    return [net.tensor(pictures.resized(image, size, "bilinear")[None]) for size in sizes]


def _candidates(net: Net, answers: Sequence[Tensors], scales: Sequence[float], threshold: float) -> Array:
    found = [np.empty((0, 9))]
    for outputs, scale in zip(answers, scales):
        face, shift = net.upright(outputs, 2)[0, :, :, 1], net.upright(outputs, 4)[0]
        y, x = np.nonzero(face >= threshold)
        at = np.stack([x, y], 1)
        corners = np.hstack([np.fix((STRIDE * at + 1) / scale), np.fix((STRIDE * at + WINDOW) / scale)])
        rows = np.hstack([corners, face[y, x][:, None], shift[y, x]]).astype(np.float64)
        found.append(rows[suppressed(rows[:, :4], rows[:, 4], 0.5, plus=1.0)])
    rows = np.concatenate(found)
    rows = rows[suppressed(rows[:, :4], rows[:, 4], 0.7, plus=1.0)][:MAX_CANDIDATES]
    size = np.tile(rows[:, 2:4] - rows[:, 0:2], 2)
    return np.fix(square(rows[:, :4] + rows[:, 5:9] * size))


# -- rnet and onet


async def _second(
    net: Net, images: Sequence[Array], boxes: Sequence[Array], threshold: float, deadline: float | None
) -> list[Array]:
    outputs, boxes = await _looked_at(net, images, boxes, SIDES["rnet"], deadline)
    return await in_thread(_refined, net, outputs, boxes, threshold)


def _refined(net: Net, outputs: Tensors | None, boxes: Sequence[Array], threshold: float) -> list[Array]:
    if outputs is None:
        return list(boxes)
    made = []
    for mine, face, shift in _split(boxes, net.upright(outputs, 2)[:, 1], net.upright(outputs, 4)):
        sure = face > threshold
        mine, face, shift = mine[sure], face[sure], shift[sure]
        kept = suppressed(mine, face, 0.7, plus=1.0)
        made.append(np.fix(square(moved(mine[kept], shift[kept]))))
    return made


async def _third(
    net: Net, images: Sequence[Array], boxes: Sequence[Array], threshold: float, deadline: float | None
) -> list[Found]:
    outputs, boxes = await _looked_at(net, images, boxes, SIDES["onet"], deadline)
    return await in_thread(_final, net, outputs, boxes, threshold)


def _final(net: Net, outputs: Tensors | None, boxes: Sequence[Array], threshold: float) -> list[Found]:
    if outputs is None:
        return [Found(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2))) for _ in boxes]
    made = []
    parts = net.upright(outputs, 2)[:, 1], net.upright(outputs, 4), net.upright(outputs, 10)
    for mine, face, shift, points in _split(boxes, *parts):
        sure = face > threshold
        mine, face, shift, points = mine[sure], face[sure], shift[sure], points[sure].astype(np.float64)
        size = mine[:, 2:4] - mine[:, 0:2] + 1
        placed = points.reshape(-1, 2, 5).transpose(0, 2, 1) * size[:, None] + mine[:, None, 0:2] - 1
        mine = moved(mine, shift)
        kept = suppressed(mine, face, 0.7, "min", plus=1.0)
        made.append(Found(mine[kept], face[kept], placed[kept]))
    return made


async def _looked_at(
    net: Net, images: Sequence[Array], boxes: Sequence[Array], side: int, deadline: float | None
) -> tuple[Tensors | None, list[Array]]:
    """The net over all boxes of all photos; boxes that hold no pixel are left out. None when there is no box."""
    cut = await asyncio.gather(*(in_thread(crops, image, mine, side) for image, mine in zip(images, boxes)))
    kept = [mine for _, mine in cut]
    stack = np.concatenate([pixels for pixels, _ in cut])
    if not len(stack):
        return None, kept
    return await net.run(await in_thread(net.tensor, stack), deadline), kept


def crops(image: Array, boxes: Array, side: int) -> tuple[Array, Array]:
    """((n, side, side, 3) uint8, the boxes they are of); what lies outside the picture is black.

    Boxes that hold no pixel, or are of more than twice the picture's size, are left out.
    """
    tall, wide = image.shape[:2]
    edges = boxes - [1, 1, 0, 0]
    size = edges[:, 2:] - edges[:, :2]
    kept = (size > 0).all(axis=1) & (size <= 2 * max(tall, wide)).all(axis=1)
    kept &= (edges[:, :2] < [wide, tall]).all(axis=1) & (edges[:, 2:] > 0).all(axis=1)
    boxes, edges = boxes[kept], edges[kept]
    picture = Image.fromarray(image)
    made = np.empty((len(boxes), side, side, 3), np.uint8)
    for at, (left, top, right, bottom) in enumerate(edges.astype(int).tolist()):
        cut = picture.crop((left, top, right, bottom))  # first: what lies beside the face is not mixed in
        made[at] = np.asarray(cut.resize((side, side), Image.Resampling.BILINEAR))
    return made, boxes


def _split(boxes: Sequence[Array], *rows: Array) -> list[tuple[Array, ...]]:
    """Rows over all photos back to each photo's own."""
    ends = np.cumsum([len(mine) for mine in boxes])[:-1]
    if any(len(part) != sum(map(len, boxes)) for part in rows):
        raise InvalidTensor("a net of the detector gave another number of rows than it was given.")
    return list(zip(boxes, *(np.split(part, ends) for part in rows)))


def square(boxes: Array) -> Array:
    """Each box made square around its middle, by its longer side."""
    size = boxes[:, 2:4] - boxes[:, 0:2]
    side = size.max(axis=1, initial=0, keepdims=True)
    corner = boxes[:, 0:2] + size * 0.5 - side * 0.5
    return np.hstack([corner, corner + side])


def moved(boxes: Array, shift: Array) -> Array:
    size = np.tile(boxes[:, 2:4] - boxes[:, 0:2] + 1, 2)
    made: Array = boxes + shift.astype(np.float64) * size
    return made


def _joined(found: Sequence[Found], scales: Sequence[float]) -> Values:
    counts = [len(one.scores) for one in found]
    return {
        "boxes": np.concatenate([one.boxes / scale for one, scale in zip(found, scales)]).astype(np.float32),
        "scores": np.concatenate([one.scores for one in found]).astype(np.float32),
        "landmarks": np.concatenate([one.points / scale for one, scale in zip(found, scales)]).astype(np.float32),
        "photo": np.repeat(np.arange(len(found), dtype=np.int64), counts),
        "count": np.asarray(counts, np.int64),
    }
