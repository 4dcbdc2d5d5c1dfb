"""What a graph says of the values of an input, and arrays of such values.

    Hint(5)                              whole numbers from 0 to 4: rows of a table
    Hint(("data", 1), role="length")     whole numbers from 1 to the size of axis 1 of input "data"
    Hint(role="boxes", columns=(2, 1, 0))  rows with a box at column 2, a score at 1, a class at 0

Numbers drawn at random are no boxes: corners are exchanged and nothing overlaps, so that a detector
answers nothing and hides its faults; an index outside of its table is what no client sends, and
what frameworks read foreign memory for. Values here are what the graph is made for, its hard cases
(twins, nested, empty, beyond the picture) among them.

Rule 1: a hint narrows what is asked, never how an answer is judged.
Rule 2: deterministic: the generator that is passed in is the only source of chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.preprocess import Preprocess

Size = int | tuple[str, int]
"""A number, or (input, axis): as many as that axis of the call has."""
Resolve = Callable[[Size], int]

ROLES = (
    "index", "length", "points", "boxes", "regions", "picture", "share", "pixels", "divisor", "distinct", "words",
)  # fmt: skip


@dataclass(frozen=True)
class Hint:
    """One input's values by `role`:

    index     whole, in [0, bound); `beyond`: two further on either side too, which the operator has a rule for
    length    whole, in [1, bound]
    points    column j is a place in a tensor of `sizes`, one coordinate a row; `unique`: no place twice
    boxes     rows with corners (`centre`: middles and sides) from columns[0], a score at [1] and a class at [2]
              (-1: none)
    regions   rows (picture, x1, y1, x2, y2): one of `bound` pictures of sizes[0] x sizes[1] divided by `scale`
    picture   rows (height, width, scale) of pictures of sizes[0] x sizes[1] times `scale`
    share     in [0, 1]
    pixels    of a picture, in [low, high]: the usual values brought there, black and white for large ones; with
              `wide` large ones are what pictures may be as well, in that range
    divisor   whole, not 0
    distinct  no value twice: what is done with equal ones is nowhere defined
    words     of an input of strings: these, which the model knows
    """

    bound: Size = 0
    role: str = "index"
    sizes: tuple[Size, ...] = ()
    columns: tuple[int, int, int] = (0, -1, -1)
    unique: bool = False
    beyond: bool = False
    centre: bool = False
    scale: float = 1.0
    words: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    wide: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Hint:
        return cls(
            **dict(data)
            | {
                "bound": _size(data["bound"]),
                "sizes": tuple(_size(size) for size in data["sizes"]),
                "columns": tuple(data["columns"]),
                "words": tuple(data.get("words", ())),
                "wide": tuple(data.get("wide", ())),
            }
        )


def _size(value: Any) -> Size:
    return value if isinstance(value, int) else (str(value[0]), int(value[1]))


def structured(
    hint: Hint, shape: tuple[int, ...], kind: str, resolve: Resolve, random: np.random.Generator
) -> Array | None:
    """Values of a role that is more than a range, float64; None for the others, and for a shape that does not fit."""
    count = math.prod(shape)
    if hint.role == "points" and count:
        made = _points(hint, shape, kind, resolve, random)
        least = min((resolve(size) for size in hint.sizes), default=1)
        return random.integers(0, max(1, least), shape).astype(np.float64) if made is None else made
    if hint.role == "share":
        ramp = np.arange(count) / max(1, count - 1)
        values = np.zeros(count) if kind == "zeros" else ramp**2 if kind == "ramp" else random.random(count)
        return values.reshape(shape)
    if hint.role == "boxes" and shape and shape[-1] >= hint.columns[0] + 4:
        return _boxes(hint, shape, kind, random)
    if hint.role == "regions" and len(shape) == 2 and shape[1] == 5:
        return _regions(hint, shape[0], kind, resolve, random)
    if hint.role == "picture" and len(shape) == 2 and shape[1] == 3:
        sides = np.array([resolve(size) * hint.scale for size in hint.sizes])
        part = random.uniform(0.7, 1.0, (shape[0], 1))
        return np.concatenate([np.round(sides * part), random.uniform(0.8, 1.4, (shape[0], 1))], 1)
    return None


def pixels(hint: Hint, values: Array, kind: str) -> Array:
    """What is drawn for any float, as pixels in the hint's range."""
    low, high = hint.low, hint.high
    if kind == "large" and hint.wide:
        (low, high), share = hint.wide, np.clip(0.5 + values / 4e3, 0.0, 1.0)
    elif kind == "large":
        share = np.asarray(values > 0, np.float64)
    elif kind == "normal":
        share = np.clip(0.5 + 0.25 * values, 0.0, 1.0)
    elif kind == "ramp":
        share = (values + 1.0) / 3.0
    else:
        share = values / max(1.0, float(values.max(initial=0.0)))
    return np.asarray(low + (high - low) * share)


def pixel_range(preprocess: Mapping[str, Any]) -> tuple[float, float]:
    """The least and the largest number that the preprocessing of a signature makes of a picture's 0..255."""
    found = Preprocess.from_json(preprocess)
    mean, std = np.asarray(found.mean), np.asarray(found.std)
    ends = np.stack([(0.0 - mean) / std, (255.0 * found.scale - mean) / std])
    return float(ends.min()), float(ends.max())


def apart(values: Array, random: np.random.Generator) -> Array:
    """The same, equal ones a little apart, in any order."""
    if np.unique(values).size == values.size:
        return values
    return np.asarray(values + 1e-2 * random.permutation(values.size).reshape(values.shape))


def _points(
    hint: Hint, shape: tuple[int, ...], kind: str, resolve: Resolve, random: np.random.Generator
) -> Array | None:
    sizes = [max(1, resolve(size)) for size in hint.sizes]
    vector = len(sizes) == 1 and len(shape) == 1
    if not vector and (not shape or shape[0] != len(sizes)):
        return None
    count, total = (shape[0] if vector else math.prod(shape[1:])), math.prod(sizes)
    step = np.arange(count)
    if kind in ("normal", "uniform"):
        flat = random.permutation(total)[step % total] if hint.unique else random.integers(0, total, count)
    elif kind in ("corners", "edges"):
        flat = step * (total - 1) // max(1, count - 1)
    elif kind == "large":
        flat = total - 1 - step % total
    else:
        flat = np.zeros(count, np.int64) if kind == "zeros" and not hint.unique else step % total
    return np.asarray(np.stack(np.unravel_index(flat, sizes)).reshape(shape), np.float64)


def _corners(count: int, kind: str, random: np.random.Generator) -> Array:
    """(count, 4) x1, y1, x2, y2 in the unit square: crowds that overlap, nested ones, twins, empty ones."""
    if kind == "zeros":
        return np.zeros((count, 4))
    if kind == "ramp":
        part = np.linspace(0.0, 1.0, count)[:, None]
        return np.concatenate([part * [0.45, 0.35], 1.0 - part * [0.35, 0.2]], 1)
    low, side = random.uniform(0.0, 0.6, (count, 2)), random.uniform(0.15, 0.4, (count, 2))
    if kind == "uniform":
        low, side = low * 0.5, side + 0.3
    if kind == "edges":
        side[::3, 0] = 0.0
    made = np.concatenate([low, low + side], 1)
    if kind == "edges":
        made[1::4] = made[1::4][:, [2, 1, 0, 3]]  # corners exchanged
    if kind == "corners":
        made[1::2] = made[: count // 2 * 2 : 2]  # twins
    return made * 1e3 - 300.0 if kind == "large" else made


def _boxes(hint: Hint, shape: tuple[int, ...], kind: str, random: np.random.Generator) -> Array:
    start, score, group = hint.columns
    count = math.prod(shape[:-1])
    rows = random.random((count, shape[-1]))
    corners = _corners(count, kind, random)
    if hint.centre:
        corners = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
    rows[:, start : start + 4] = corners
    if score >= 0:
        ranked = np.linspace(0.04, 0.96, count)
        rows[:, score] = {"ramp": ranked, "zeros": 0.0 * ranked}.get(kind, rows[:, score])
        if kind == "corners":
            rows[:, score] = np.round(rows[:, score], 1)  # equal ones
        if kind in ("edges", "large"):
            rows[::5, score] -= 1.0
    if group >= 0:
        rows[:, group] = 0 if kind == "zeros" else random.integers(0, 3, count)
        if kind in ("edges", "large"):
            rows[2::4, group] = -1
    return rows.reshape(shape)


def _regions(hint: Hint, count: int, kind: str, resolve: Resolve, random: np.random.Generator) -> Array:
    height, width = (resolve(size) / hint.scale for size in hint.sizes)
    corners = _corners(count, "normal" if kind in ("large", "edges", "zeros") else kind, random)
    if kind == "large":
        corners = corners * 1.6 - 0.3  # beyond the picture on every side
    corners *= [width - 1, height - 1, width - 1, height - 1]
    if kind in ("edges", "zeros"):
        corners[::2, 2:] = corners[::2, :2] + 1.0  # one step wide: frameworks end the process over none
    pictures = random.integers(0, max(1, resolve(hint.bound)), (count, 1))
    return np.concatenate([pictures, corners], 1)
