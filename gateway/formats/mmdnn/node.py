"""What a function of an operator is given: a node of the IR, ONNX tensors, and where channels come first.

    @op("mmdnn", "Relu")
    def relu(graph: Emit, node: Node) -> str:
        return node.each(graph, lambda x: graph.node("Relu", [x]))

The IR keeps channels last; ONNX convolves with channels first. A tensor that was turned keeps its twin, so that a
chain of layers is turned once at its beginning and once at its end.

Rule 1: an attribute that is missing or of another kind is an error with the node's name; a default stands in the
        function, where it can be seen.
Rule 2: what two of MMdnn's parsers write with two meanings is refused, or warned of with the meaning that was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.mmdnn import ir
from gateway.formats.mmdnn.ir import Literal, Sizes

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

FORMAT_NAME = "mmdnn"  # of its operators, and of its folder
FIRST = "/channels_first"  # behind a tensor's name: its twin
LARGEST = 1 << 16  # a kernel, stride, pad or factor

Int: TypeAlias = int  # the class below has methods of these names
Float: TypeAlias = float
Bool: TypeAlias = bool


@dataclass
class Layout:
    """Tensor with channels last -> its twin with channels first."""

    twins: dict[str, str] = field(default_factory=dict)
    fresh: str = ""  # the twin of what the current function has just made


@dataclass(frozen=True)
class Node:
    """One node of the IR, ready for its function. `inputs` are ONNX tensors, channels last."""

    source: ir.Node
    inputs: tuple[str, ...]
    layout: Layout
    graph: ir.Graph
    resized: bool = False  # the owner asks for other sizes of the input than the file's

    @property
    def op(self) -> str:
        return self.source.op

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def where(self) -> str:
        return f"IR node {self.name!r} ({self.op})"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {key: ir.text_of(value) for key, value in self.source.attrs.items() if not key.startswith("_")}

    @property
    def weights(self) -> Mapping[str, Array]:
        return self.source.weights

    def error(self, what: str, hint: str = "") -> ConversionError:
        return ConversionError(f"{self.where}: {what}.", hint=hint)

    # Attributes. Errors of each: ConversionError.

    def has(self, name: str) -> Bool:
        return name in self.source.attrs

    def int(self, name: str, default: Int | None = None) -> Int:
        found = self._get(name, default)
        if isinstance(found, bool) or not isinstance(found, int):
            raise self.error(f"{name} is {ir.text_of(found)}, expected a whole number")
        return found

    def float(self, name: str, default: Float | None = None) -> Float:
        found = self._get(name, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self.error(f"{name} is {ir.text_of(found)}, expected a number")
        return float(found)

    def bool(self, name: str, default: Bool | None = None) -> Bool:
        found = self._get(name, default)
        if not isinstance(found, bool):
            raise self.error(f"{name} is {ir.text_of(found)}, expected true or false")
        return found

    def text(self, name: str, default: str | None = None) -> str:
        found = self._get(name, default)
        if not isinstance(found, (bytes, str)):
            raise self.error(f"{name} is {ir.text_of(found)}, expected a text")
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else found

    def ints(self, name: str, default: Sequence[Int] | None = None) -> tuple[Int, ...]:
        found = self._get(name, default)
        if isinstance(found, Literal):
            found = [-1 if size is None else size for size in found.sizes or ()]
        found = [found] if isinstance(found, int) and not isinstance(found, bool) else found
        if not isinstance(found, (list, tuple)) or not all(type(each) is int for each in found):
            raise self.error(f"{name} is {ir.text_of(found)}, expected whole numbers")
        return tuple(found)

    def _get(self, name: str, default: Any) -> Any:
        found = self.source.attrs.get(name, default)
        if found is None:
            raise self.error(f"{name} is missing")
        return found

    def sizes(self, name: str, least: Int = 1) -> tuple[Int, ...]:
        """Numbers that size something: each within `least` and LARGEST."""
        found = self.ints(name)
        if not all(least <= each <= LARGEST for each in found):
            raise self.error(f"{name} is {list(found)}, expected numbers from {least} to {LARGEST}")
        return found

    def said(self, place: Int = 0) -> Sizes | None:
        """The shape that the file gives output `place`; None where it gives none, or the owner asks for another."""
        shapes = [] if self.resized else self.source.shapes()
        return shapes[place] if place < len(shapes) else None

    # Inputs and weights

    def tensors(self, least: Int, most: Int | None = None) -> tuple[str, ...]:
        """The inputs, so many. Errors: ConversionError."""
        most = least if most is None else most
        if not least <= len(self.inputs) <= most:
            expected = f"{least}" if least == most else f"{least} to {most}"
            raise self.error(f"has {len(self.inputs)} inputs, expected {expected}")
        return self.inputs

    def one(self) -> str:
        return self.tensors(1)[0]

    def weight(self, name: str) -> Array:
        """A weight as float32. Errors: ConversionError where the file has none."""
        if name not in self.weights:
            there = ", ".join(self.weights) or "none"
            file = self.graph.weights_file
            hint = "" if file else "Drop the .npy that mmtoir has written with the graph beside it."
            raise self.error(f"needs the weight {name!r}; {file or 'no .npy file'} has {there} of it", hint)
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(self.weights[name], np.float32)

    def vector(self, name: str, count: Int) -> Array:
        """A weight of one number for each channel, whatever ones its shape has."""
        found = self.weight(name)
        if found.size not in (1, count):
            raise self.error(f"its {name} has the shape {list(found.shape)}, expected {count} numbers")
        return np.broadcast_to(found.reshape(-1), count).copy()

    # Layout

    def first(self, graph: Emit, x: str) -> str:
        """`x` with channels first."""
        if x not in self.layout.twins:
            rank = graph.rank(x)
            order = [0, rank - 1, *range(1, rank - 1)]
            self.layout.twins[x] = graph.node("Transpose", [x], perm=order) if rank > 2 else x
        return self.layout.twins[x]

    def last(self, graph: Emit, made: str) -> str:
        """The answer of a function that has computed with channels first."""
        rank = graph.rank(made)
        if rank <= 2:
            return made
        self.layout.fresh = made
        return graph.node("Transpose", [made], perm=[0, *range(2, rank), 1])

    def each(self, graph: Emit, function: Callable[[str], str]) -> str:
        """What a function makes of each element, in whichever layout the input is there."""
        x = self.one()
        twin = self.layout.twins.get(x)
        return function(x) if twin is None or twin == x else self.last(graph, function(twin))
