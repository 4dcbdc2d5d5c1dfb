"""How a picture becomes a tensor, as data: the [preprocess] table of model.toml.

The order is fixed: resize, crop, colour, scale, mean, std, layout:

    y = (x * scale - mean) / std        x in 0..255, per channel in the order of `colour`

Rule 1: numbers only; decoding and resizing of pictures is done where an image library may be
        imported. `normalise` is the numeric half, shared by everyone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.names import did_you_mean

COLOURS = {"rgb": 3, "bgr": 3, "gray": 1}
LAYOUTS = ("nchw", "nhwc")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area")


@dataclass(frozen=True)
class Preprocess:
    """`resize` and `crop` are (height, width) in pixels; None leaves the picture as it is."""

    input: str = ""  # public name of the input; "" is the first
    resize: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    crop: tuple[int, int] | None = None  # centre crop, after the resize
    colour: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "nchw"

    def to_json(self) -> dict[str, Any]:
        return {
            "input": self.input,
            "resize": list(self.resize) if self.resize else None,
            "interpolation": self.interpolation,
            "crop": list(self.crop) if self.crop else None,
            "colour": self.colour,
            "scale": self.scale,
            "mean": list(self.mean),
            "std": list(self.std),
            "layout": self.layout,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preprocess:
        return cls(
            input=data["input"],
            resize=tuple(data["resize"]) if data["resize"] else None,
            interpolation=data["interpolation"],
            crop=tuple(data["crop"]) if data["crop"] else None,
            colour=data["colour"],
            scale=float(data["scale"]),
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            layout=data["layout"],
        )

    def normalise(self, picture: Array) -> Array:
        """(height, width, channels) uint8, channels in `colour` order -> float32 of `layout`, no batch axis."""
        x: Array = picture.astype(np.float32) * np.float32(self.scale)
        x = (x - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(2, 0, 1) if self.layout == "nchw" else x)


def read_preprocess(table: Any, problems: list[str]) -> Preprocess | None:
    """The [preprocess] table; what is wrong with it is appended to `problems`."""
    if not isinstance(table, dict):
        problems.append(f"[preprocess] is {type(table).__name__}, expected a table")
        return None
    before = len(problems)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _KEYS:
            problems.append(f"[preprocess]: no such key {key!r}.{did_you_mean(key, _KEYS)}")
        else:
            values[key] = _KEYS[key](key, value, problems)
    if len(problems) > before:
        return None
    found = Preprocess(**values)
    channels = COLOURS[found.colour]
    for key, numbers in (("mean", found.mean), ("std", found.std)):
        if len(numbers) not in (1, channels):
            problems.append(
                f"[preprocess]: {key} has {len(numbers)} numbers, colour {found.colour!r} has {channels} channels"
            )
    if any(s == 0 for s in found.std):
        problems.append("[preprocess]: std holds a 0, which would divide by zero")
    return found


def _size(key: str, value: Any, problems: list[str]) -> Any:
    numbers = [value, value] if isinstance(value, int) else value
    if not (isinstance(numbers, list) and len(numbers) == 2 and all(_positive(n) for n in numbers)):
        problems.append(f"[preprocess]: {key} is {value!r}, expected [height, width] in pixels")
        return None
    return (numbers[0], numbers[1])


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _number(key: str, value: Any, problems: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        problems.append(f"[preprocess]: {key} is {value!r}, expected a number")
        return 1.0
    return float(value)


def _numbers(key: str, value: Any, problems: list[str]) -> Any:
    items = value if isinstance(value, list) else [value]
    return tuple(_number(key, item, problems) for item in items)


def _choice(*allowed: str) -> Any:
    def read(key: str, value: Any, problems: list[str]) -> Any:
        if value not in allowed:
            guess = did_you_mean(value, allowed) if isinstance(value, str) else ""
            problems.append(f"[preprocess]: {key} is {value!r}, expected one of {', '.join(allowed)}.{guess}")
        return value

    return read


def _name(key: str, value: Any, problems: list[str]) -> Any:
    if not isinstance(value, str):
        problems.append(f"[preprocess]: {key} is {value!r}, expected the name of an input")
    return value


_KEYS: dict[str, Any] = {
    "input": _name,
    "resize": _size,
    "interpolation": _choice(*INTERPOLATIONS),
    "crop": _size,
    "colour": _choice(*COLOURS),
    "scale": _number,
    "mean": _numbers,
    "std": _numbers,
    "layout": _choice(*LAYOUTS),
}
