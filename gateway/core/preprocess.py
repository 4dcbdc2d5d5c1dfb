"""How a picture becomes a tensor, as data: the [preprocess] table of model.toml, or found in the source.

The order is fixed: upright, resize, crop, colour, scale, mean, std, layout:

    y = (x * scale - mean) / std        x in 0..255, per channel in the order of `colour`

Rule 1: numbers only; decoding and resizing of pictures is gateway/pictures.py's, where an image
        library may be imported. `normalise` is the numeric half, shared by everyone.
Rule 2: a method of resizing is named, never "the usual one": libraries that call theirs alike
        give different pixels (`INTERPOLATIONS`).
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
LAYOUTS = {"nchw": (2, 0, 1), "nhwc": (0, 1, 2), "ncwh": (2, 1, 0), "nwhc": (1, 0, 2)}
"""Order of (height, width, channel) in the tensor, after its batch axis. The last two are transposed pictures, as
nets that were trained in MATLAB want them."""
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "area", "bilinear-plain", "bilinear-corners")
"""The first five are Pillow's filters, which average when they make smaller (antialiased). `bilinear-plain` takes the
four nearest pixels, centres on centres (OpenCV's INTER_LINEAR, TensorFlow 2's resize); `bilinear-corners` takes four,
corner pixels on corner pixels (darknet's, align_corners)."""
FITS = ("stretch", "cover", "letterbox")


@dataclass(frozen=True)
class Preprocess:
    """`resize` and `crop` are (height, width) in pixels; None leaves the picture as it is.

    `fit` says what becomes of the aspect ratio in `resize`: "stretch" gives it up; "cover" keeps it, makes the
    picture just large enough and cuts the middle out; "letterbox" keeps it, makes the picture just small enough
    and puts it in the middle of `fill` (0..255, one number or one a channel in the order of `colour`).
    `exif` turns the picture upright as its EXIF orientation says.
    """

    input: str = ""  # public name of the input; "" is the first
    resize: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    crop: tuple[int, int] | None = None  # centre crop, after the resize
    colour: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "nchw"
    fit: str = "stretch"
    fill: tuple[float, ...] = (0.0,)
    exif: bool = True

    def to_json(self) -> dict[str, Any]:
        """Keys that came later are written where they say something: digests of what is stored stay as they were."""
        data: dict[str, Any] = {
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
        if self.fit != "stretch":
            data |= {"fit": self.fit, "fill": list(self.fill)}
        if not self.exif:
            data["exif"] = False
        return data

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
            fit=data.get("fit", "stretch"),
            fill=tuple(data.get("fill", (0.0,))),
            exif=bool(data.get("exif", True)),
        )

    def normalise(self, pictures: Array) -> Array:
        """(..., height, width, channels), channels in `colour` order -> float32 of `layout`; leading axes stay."""
        x: Array = pictures.astype(np.float32)
        if self.scale != 1.0:
            x *= np.float32(self.scale)
        if any(self.mean):
            x -= np.asarray(self.mean, np.float32)
        if any(s != 1.0 for s in self.std):
            x /= np.asarray(self.std, np.float32)
        lead = x.ndim - 3
        order = (*range(lead), *(lead + axis for axis in LAYOUTS[self.layout]))
        return np.ascontiguousarray(x.transpose(order))

    def height_and_width(self, shape: tuple[int | None, ...] | None) -> tuple[int | None, int | None]:
        """What an input's shape (with its batch axis) says of the picture; None where it is free."""
        if shape is None or len(shape) != 4:
            return None, None
        order = LAYOUTS[self.layout]
        return shape[1 + order.index(0)], shape[1 + order.index(1)]


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
    if len(found.fill) not in (1, channels) or not all(0 <= number <= 255 for number in found.fill):
        problems.append(
            f"[preprocess]: fill is {list(found.fill)}, expected one number from 0 to 255, or {channels} of them"
        )
    if found.fit != "stretch" and found.resize is None:
        problems.append(f"[preprocess]: fit is {found.fit!r}, which needs a resize: the size to fit into")
    if "fill" in values and found.fit != "letterbox":
        problems.append(
            f"[preprocess]: fill is given, and fit is {found.fit!r}: only a letterbox has something to fill"
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


def _flag(key: str, value: Any, problems: list[str]) -> Any:
    if not isinstance(value, bool):
        problems.append(f"[preprocess]: {key} is {value!r}, expected true or false")
    return value


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
    "fit": _choice(*FITS),
    "fill": _numbers,
    "exif": _flag,
}
