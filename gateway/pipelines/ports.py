"""What flows along an edge of a pipeline: a tensor, or pictures of their own sizes.

pictures    a list of (height, width, 3) uint8 arrays in RGB order, one a photo or one a face
tensor      a numpy array; strings as objects of bytes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.dtypes import Array
from gateway.core.signature import Shape, TensorSpec, format_shape

Value = Array | list[Array]
Values = dict[str, Value]


@dataclass(frozen=True)
class Port:
    """One end of an edge. dtype "" takes any; shape None takes any. `labels` name the last axis' classes."""

    dtype: str = ""
    shape: Shape | None = None
    pictures: bool = False
    optional: bool = False
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "pictures" if self.pictures else f"{self.dtype or 'any'}{format_shape(self.shape)}"

    def spec(self, name: str) -> TensorSpec:
        return TensorSpec(name, self.dtype, self.shape)


PICTURES = Port(pictures=True)
FILES = Port("string", (None,))
ROWS = Port("float32", (None, None))
BOXES = Port("float32", (None, 4))
SCORES = Port("float32", (None,))
POINTS = Port("float32", (None, 5, 2))
WHOSE = Port("int64", (None,))  # which photo a row is of


def of_spec(spec: TensorSpec, labels: tuple[str, ...] = ()) -> Port:
    return Port(spec.dtype, spec.shape, labels=labels)


def misfit(given: Port, wanted: Port) -> str:
    """Why `given` cannot flow into `wanted`; "" when it can. Free sizes are checked when there are values."""
    if given.pictures != wanted.pictures:
        return f"{given} cannot be taken as {wanted}"
    if wanted.dtype and given.dtype and given.dtype != wanted.dtype:
        return f"{given} cannot be taken as {wanted}: nothing is cast"
    if given.shape is None or wanted.shape is None:
        return ""
    same = len(given.shape) == len(wanted.shape) and all(
        g is None or w is None or g == w for g, w in zip(given.shape, wanted.shape)
    )
    return "" if same else f"{given} cannot be taken as {wanted}"


def plain(value: Any) -> Any:
    """A parameter's tensor as Python: text, a number, or a list of numbers."""
    items = [
        item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value.reshape(-1).tolist()
    ]
    return items[0] if len(items) == 1 else items


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A step's options: its own over the defaults, "$name" replaced by the parameter."""
    found = {**defaults, **given}
    return {
        key: parameters[value[1:]] if isinstance(value, str) and value.startswith("$") else value
        for key, value in found.items()
    }
