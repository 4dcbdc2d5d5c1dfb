"""What a function of a Caffe layer is given, beside the graph (gateway/graph/emit.py).

    @op("caffe", "ReLU")
    def relu(graph: Emit, node: Node) -> str:
        return graph.node("Relu", [node.inputs[0]])

Rule 1: a parameter that is missing or of another kind is an error with the layer's name; defaults stand in the
        function, where they can be seen.
Rule 2: weights are asked for with the shape they must have; the four sizes of old files fit, as in Caffe.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.caffe.message import Message

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

FORMAT_NAME = "caffe"
LARGEST = 1 << 16  # a kernel, stride or size that a layer may ask for

Int: TypeAlias = int  # the class below has methods of these names
Float: TypeAlias = float
Bool: TypeAlias = bool


class Fields:
    """One message of parameters, read with their kinds. Every getter takes a default; without one the field is
    required.
    """

    def __init__(self, message: Message, where: str, name: str) -> None:
        self.message, self.where, self.name = message, where, name

    def error(self, what: str, hint: str = "") -> ConversionError:
        return ConversionError(f"{self.where}: {self.name}.{what}.", hint=hint)

    def has(self, name: str) -> Bool:
        return name in self.message

    def int(self, name: str, default: Int | None = None) -> Int:
        found = self.message.last(name, default)
        if found is None:
            raise self.error(f"{name} is missing")
        return int(found)

    def size(self, name: str, default: Int | None = None, least: Int = 1) -> Int:
        """A number that sizes something: within `least` and LARGEST."""
        found = self.int(name, default)
        if not least <= found <= LARGEST:
            raise self.error(f"{name} is {found}, expected {least} to {LARGEST}")
        return found

    def ints(self, name: str) -> tuple[Int, ...]:
        return tuple(int(value) for value in self.message.all(name))

    def float(self, name: str, default: Float | None = None) -> Float:
        found = self.message.last(name, default)
        if found is None:
            raise self.error(f"{name} is missing")
        return float(found)

    def floats(self, name: str) -> tuple[Float, ...]:
        return tuple(float(value) for value in self.message.all(name))

    def bool(self, name: str, default: Bool) -> Bool:
        return bool(self.message.last(name, default))

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        found = str(self.message.last(name, default))
        if found not in allowed:
            raise self.error(f"{name} is {found}; supported is {', '.join(allowed)}")
        return found

    def inner(self, name: str) -> Fields:
        return Fields(self.message.inner(name), self.where, f"{self.name}.{name}")


@dataclass(frozen=True)
class Node:
    """One layer, ready for its function. `inputs` are ONNX tensors in the order of its bottoms."""

    op: str
    name: str
    inputs: tuple[str, ...]
    params: Mapping[str, Message] = field(default_factory=dict)
    blobs: tuple[Array, ...] = ()
    tops: int = 1
    stage: str = ""

    @property
    def where(self) -> str:
        return f"Caffe layer {self.name!r} ({self.op})"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.params

    def fields(self, name: str) -> Fields:
        return Fields(self.params.get(name) or Message(), self.where, name)

    def error(self, what: str, hint: str = "") -> ConversionError:
        return ConversionError(f"{self.where}: {what}.", hint=hint)

    def bottoms(self, least: int, most: int | None = None) -> tuple[str, ...]:
        """The inputs, so many. Errors: ConversionError."""
        most = least if most is None else most
        if not least <= len(self.inputs) <= most:
            expected = f"{least}" if least == most else f"{least} to {most}"
            raise self.error(f"has {len(self.inputs)} bottoms, expected {expected}")
        return self.inputs

    def weights(self, count: int) -> None:
        """Errors: ConversionError unless the layer has so many blobs."""
        if len(self.blobs) != count:
            raise self.error(f"has {len(self.blobs)} blobs of weights, expected {count}")

    def blob(self, place: int, shape: Sequence[int], what: str) -> Array:
        """Blob `place` as float32 of that shape. Errors: ConversionError for another one."""
        found = self.blobs[place]
        if _legacy(found.shape) != _legacy(shape):
            raise self.error(f"its {what} has the shape {list(found.shape)}, expected {list(shape)}")
        with np.errstate(over="ignore"):
            return found.reshape(tuple(shape)).astype(np.float32)

    def vector(self, place: int, count: int, what: str) -> Array:
        """Blob `place` as `count` numbers, whatever ones its shape has. Errors: ConversionError."""
        found = self.blobs[place]
        if found.size != count:
            raise self.error(f"its {what} has {found.size} numbers, expected {count}")
        with np.errstate(over="ignore"):
            return found.reshape(count).astype(np.float32)


def _legacy(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of up to four sizes as Caffe compares it: ones in front do not count."""
    sizes = list(shape)
    while sizes and sizes[0] == 1 and len(shape) <= 4:
        sizes.pop(0)
    return tuple(sizes)


def bounded(node: Node, count: int, what: str, most: int = 1 << 26) -> int:
    """`count`, which a file asks for: it must not make us allocate what it likes. Errors: ConversionError."""
    if not 0 < count <= most:
        raise node.error(f"{what} is {count}; supported is up to {most}")
    return count


def sides(graph: Emit, x: str, first: int = 2) -> list[int]:
    """The sizes of x from axis `first` on, as numbers. Errors: ConversionError saying that they must be given."""
    return [graph.size(x, axis) for axis in range(first, graph.rank(x))]


def count(sizes: Sequence[int | None]) -> int | None:
    """The product, or None where a size is free."""
    return None if any(size is None for size in sizes) else math.prod(size for size in sizes if size is not None)


def load_operators() -> None:
    """Import every file of ops/: that registers their functions."""
    package = importlib.import_module("gateway.formats.caffe.ops")
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"gateway.formats.caffe.ops.{info.name}")
