"""Small words that many operator functions use: constants, casts, sizes, reshapes, slices.

Rule 1: a size that is known is a number in the graph; one that is not is read at run time
        (`Dim`), so a free batch stays free.
Rule 2: what needs a number and finds a free size says which input axis has to be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import dtype as dtype_row
from gateway.core.dtypes import numpy_dtype
from gateway.errors import ConversionError

if TYPE_CHECKING:
    from gateway.graph.emit import Emit, Operator

FLOATS = ("float16", "float32", "float64")
ARITHMETIC = ("float16", "float32", "float64", "int32", "int64")  # types every runtime has Add, Mul ... for


@dataclass(frozen=True)
class Dim:
    """A size that is known at run time only: axis `axis` of `tensor`."""

    tensor: str
    axis: int


@dataclass(frozen=True)
class Product:
    """A size made of others at run time: the product of `parts`, divided by `divisor`."""

    parts: tuple[int | Dim | Product, ...]
    divisor: int = 1


Size = int | Dim | Product


def product(parts: Sequence[Size]) -> Size:
    """One size for several: a number when all are numbers."""
    number = 1
    rest: list[Size] = []
    for part in parts:
        if isinstance(part, int):
            number *= part
        else:
            rest.append(part)
    if not rest:
        return number
    return rest[0] if number == 1 and len(rest) == 1 else Product((*rest, number) if number != 1 else tuple(rest))


def refuse(node: Operator, what: str, hint: str = "") -> ConversionError:
    """The error of a node that cannot be converted: node, operator, what was found and what is supported."""
    return ConversionError(f"{node.where}: {what}", hint=hint)


LARGEST = 1 << 26  # numbers in a constant that attributes ask for


def bounded(node: Operator, what: str, count: int, most: int = LARGEST) -> int:
    """`count`, which an attribute says: a file must not make us allocate what it likes. Errors: ConversionError."""
    if not 0 <= count <= most:
        raise refuse(node, f"{what} is {count}; supported is up to {most}.")
    return count


def ints(graph: Emit, values: Sequence[int]) -> str:
    """An int64 vector."""
    return graph.constant("ints", np.array(values, dtype=np.int64))


def full(graph: Emit, value: float, kind: str, shape: Sequence[int] = ()) -> str:
    """A constant of dtype `kind`, a scalar unless `shape` says otherwise."""
    return graph.constant("value", np.full(shape, value).astype(numpy_dtype(kind)))


def like(graph: Emit, tensor: str, value: float) -> str:
    """A scalar of `tensor`'s dtype."""
    return full(graph, value, graph.dtype(tensor))


def cast(graph: Emit, tensor: str, kind: str) -> str:
    """`tensor` in dtype `kind`; itself when it is that already."""
    return tensor if graph.dtype(tensor) == kind else graph.node("Cast", [tensor], to=dtype_row(kind).onnx)


def numbers(graph: Emit, tensor: str) -> str:
    """`tensor` in a type that arithmetic exists for: small integers and bool as int32, unsigned ones as int64."""
    kind = graph.dtype(tensor)
    if kind in ARITHMETIC:
        return tensor
    return cast(graph, tensor, "int64" if kind in ("uint32", "uint64") else "int32")


def sizes(graph: Emit, tensor: str) -> list[Size]:
    """Every size of `tensor`, a number where it is known. Errors: ConversionError for an unknown rank."""
    count = graph.rank(tensor)
    known = graph.shape(tensor) or (None,) * count
    return [size if size is not None else Dim(tensor, axis) for axis, size in enumerate(known)]


def axis_of(node: Operator, value: int, count: int) -> int:
    """An axis counted from the front. Errors: ConversionError outside [-count, count)."""
    if not -count <= value < count:
        raise refuse(node, f"axis {value} is outside a tensor of {count} axes.")
    return value % count


def static(graph: Emit, node: Operator, tensor: str, axis: int) -> int:
    """Size of one axis as a number. Errors: ConversionError saying that --input must give it."""
    size = sizes(graph, tensor)[axis]
    if isinstance(size, int):
        return size
    raise refuse(
        node,
        f"needs the size of axis {axis} of {tensor!r}, which is free.",
        "Give the input's full shape, e.g. --input data=1,3,224,224.",
    )


def statics(graph: Emit, node: Operator, tensor: str, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(static(graph, node, tensor, axis) for axis in axes)


def run_time(graph: Emit, size: Size) -> str:
    """A size as an int64 vector of one element."""
    if isinstance(size, int):
        return ints(graph, [size])
    if isinstance(size, Product):
        made = run_time(graph, size.parts[0])
        for other in size.parts[1:]:
            made = graph.node("Mul", [made, run_time(graph, other)])
        return made if size.divisor == 1 else graph.node("Div", [made, ints(graph, [size.divisor])])
    # Shape's own start and end: one node, and shape inference follows it.
    return graph.node("Shape", [size.tensor], start=size.axis, end=size.axis + 1)


def vector(graph: Emit, target: Sequence[Size]) -> str:
    """Sizes as one int64 vector, a constant when all are known."""
    if all(isinstance(size, int) for size in target):
        return ints(graph, [size for size in target if isinstance(size, int)])
    parts = [run_time(graph, size) for size in target]
    return parts[0] if len(parts) == 1 else graph.node("Concat", parts, axis=0)


def reshape(graph: Emit, tensor: str, target: Sequence[Size | None]) -> str:
    """`tensor` with other sizes of the same product; one None is inferred."""
    have = sizes(graph, tensor)
    if None not in have and list(target) == have:
        return tensor
    free = [n for n, size in enumerate(target) if not isinstance(size, int)]
    kept = [n for n in free if n < len(have) and target[n] == have[n]]
    rest = [n for n in free if n not in kept]
    if len(free) == 1:
        plan = [size if isinstance(size, int) else -1 for size in target]
    elif len(rest) <= 1:
        plan = [size if isinstance(size, int) else 0 if n in kept else -1 for n, size in enumerate(target)]
    else:
        parts = [ints(graph, [-1]) if size is None else run_time(graph, size) for size in target]
        return graph.node("Reshape", [tensor, graph.node("Concat", parts, axis=0)])
    if 0 in [size for size in target if isinstance(size, int)]:
        return graph.node("Reshape", [tensor, vector(graph, [-1 if s is None else s for s in target])], allowzero=1)
    return graph.node("Reshape", [tensor, ints(graph, plan)])


def part(graph: Emit, tensor: str, axis: int, start: int, stop: int | None, step: int = 1) -> str:
    """tensor[..., start:stop:step, ...] on one axis; None is to the end."""
    end = stop if stop is not None else (np.iinfo(np.int64).max if step > 0 else np.iinfo(np.int64).min)
    return graph.node(
        "Slice", [tensor, ints(graph, [start]), ints(graph, [int(end)]), ints(graph, [axis]), ints(graph, [step])]
    )


def squeeze(graph: Emit, tensor: str, axes: Sequence[int]) -> str:
    return graph.node("Squeeze", [tensor, ints(graph, axes)]) if axes else tensor


def unsqueeze(graph: Emit, tensor: str, axes: Sequence[int]) -> str:
    return graph.node("Unsqueeze", [tensor, ints(graph, axes)]) if axes else tensor


def transpose(graph: Emit, tensor: str, order: Sequence[int]) -> str:
    return tensor if list(order) == list(range(len(order))) else graph.node("Transpose", [tensor], perm=list(order))


def expand(graph: Emit, tensor: str, target: Sequence[Size]) -> str:
    """Broadcast to `target`."""
    return tensor if sizes(graph, tensor) == list(target) else graph.node("Expand", [tensor, vector(graph, target)])


def counting(graph: Emit, size: Size) -> str:
    """0, 1, ... size - 1 as int64."""
    if isinstance(size, int):
        return graph.constant("counting", np.arange(size, dtype=np.int64))
    zero, one = (graph.constant("value", np.asarray(number, np.int64)) for number in (0, 1))
    return graph.node("Range", [zero, squeeze(graph, run_time(graph, size), [0]), one])


def times(graph: Emit, x: str, factor: float) -> str:
    """`x` times a number."""
    return x if factor == 1.0 else graph.node("Mul", [x, like(graph, x, factor)])
