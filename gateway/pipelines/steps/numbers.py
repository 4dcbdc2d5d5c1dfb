"""Steps over plain tensors: l2-normalise, cosine, nms, top-k."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from gateway.core.detections import suppressed
from gateway.core.dtypes import Array
from gateway.errors import InvalidTensor
from gateway.pipelines.ports import BOXES, ROWS, SCORES, WHOSE, Port, Values
from gateway.pipelines.steps.base import Member, Step, in_thread, number, one_of, rows_of, whole


def unit(rows: Array) -> Array:
    """Each row divided by its length, in float64 and back; a row of zeros stays one."""
    wide = rows.astype(np.float64)
    length = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    made: Array = (wide / np.where(length > 0, length, 1.0)).astype(np.float32)
    return made


class L2Normalise(Step):
    name = "l2-normalise"
    ins: ClassVar[Mapping[str, Port]] = {"x": ROWS}

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        return {"y": ins["x"]}

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        return {"y": await in_thread(unit, values["x"])}


class Cosine(Step):
    """Similarity and distance of unit rows: row by row, or each of a with each of b where `of_a`, `of_b` (whose face a
    row is) say that they are several of one photo."""

    name = "cosine"
    ins: ClassVar[Mapping[str, Port]] = {
        "a": ROWS,
        "b": ROWS,
        "of_a": Port("int64", (None,), optional=True),
        "of_b": Port("int64", (None,), optional=True),
    }

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        shape = None if "of_a" in ins or "of_b" in ins else (None,)
        return {"similarity": Port("float32", shape), "distance": Port("float32", shape)}

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        return await in_thread(_compared, values)


def _compared(values: Values) -> Values:
    a, b = np.asarray(values["a"], np.float64), np.asarray(values["b"], np.float64)
    of_a, of_b = values.get("of_a"), values.get("of_b")
    if a.shape[1] != b.shape[1]:
        raise InvalidTensor(f"rows of {a.shape[1]} and of {b.shape[1]} numbers cannot be compared.")
    if of_a is not None and of_b is not None and not _one_each(np.asarray(of_a), np.asarray(of_b)):
        if max(np.max(of_a), np.max(of_b)) > 0:
            raise InvalidTensor("all faces are compared of one pair of photos only.", hint="Send one pair a request.")
        a, b = a[:, None], b[None, :]
    elif len(a) != len(b):
        raise InvalidTensor(f"{len(a)} rows are compared with {len(b)}, expected as many.")
    apart = a - b
    return {
        "similarity": (a * b).sum(axis=-1).astype(np.float32),
        "distance": np.sqrt((apart * apart).sum(axis=-1)).astype(np.float32),
    }


def _one_each(of_a: Array, of_b: Array) -> bool:
    return len(of_a) == len(of_b) and len(set(of_a.tolist())) == len(of_a) and bool((of_a == of_b).all())


class Nms(Step):
    name = "nms"
    ins: ClassVar[Mapping[str, Port]] = {
        "boxes": BOXES,
        "scores": SCORES,
        "photo": Port("int64", (None,), optional=True),
    }
    options: ClassVar[Any] = {
        "threshold": (0.5, number(0, 1)),
        "method": ("union", one_of("union", "min")),
        "min_score": (0.0, number(0)),
    }

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        return {"boxes": BOXES, "scores": SCORES, "index": WHOSE, "photo": WHOSE}

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        return await in_thread(_nms, values, options)


def _nms(values: Values, options: Mapping[str, Any]) -> Values:
    count = rows_of(values)
    boxes, scores = np.asarray(values["boxes"]), np.asarray(values["scores"])
    photo = np.asarray(values.get("photo", np.zeros(count, np.int64)))
    kept: list[int] = []
    for one in sorted(set(photo.tolist())):
        mine = np.flatnonzero((photo == one) & (scores >= options["min_score"]))
        kept += mine[suppressed(boxes[mine], scores[mine], options["threshold"], options["method"])].tolist()
    at = np.asarray(kept, np.int64)
    return {"boxes": boxes[at], "scores": scores[at], "index": at, "photo": photo[at]}


class TopK(Step):
    """The k largest of each row, the largest first, with their labels where the model that gave x has some."""

    name = "top-k"
    ins: ClassVar[Mapping[str, Port]] = {"x": ROWS}
    options: ClassVar[Any] = {"k": (5, whole(1, 1000)), "labels": ((), lambda _: "")}

    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        found = {"values": ROWS, "index": Port("int64", (None, None))}
        return found | ({"labels": Port("string", (None, None))} if ins["x"].labels else {})

    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        return await in_thread(_top, values["x"], int(options["k"]), options["labels"])


def _top(x: Array, k: int, labels: tuple[str, ...]) -> Values:
    index = np.argsort(-x, axis=1, kind="stable")[:, :k].astype(np.int64)
    found: Values = {"values": np.take_along_axis(x, index, 1), "index": index}
    if labels:
        names = np.array([label.encode() for label in labels], object)
        found["labels"] = names[index]
    return found
