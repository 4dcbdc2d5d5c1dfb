"""Operators that make tensors of numbers: zeros, ones, ranges, shapes of others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import numpy_dtype
from gateway.graph.registry import op
from gateway.graph.tools import (
    axis_of,
    bounded,
    cast,
    counting,
    expand,
    ints,
    product,
    refuse,
    reshape,
    sizes,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


def filled(graph: Emit, x: str, value: float, kind: str) -> str:
    """A tensor of x's shape with one value everywhere."""
    scalar = graph.constant("value", np.asarray(value).astype(numpy_dtype(kind)))
    return expand(graph, scalar, sizes(graph, x))


@op("mxnet", "zeros_like")
def zeros_like(graph: Emit, node: Node) -> str:
    """Zeros of the input's shape and type."""
    return filled(graph, node.inputs[0], 0, graph.dtype(node.inputs[0]))


@op("mxnet", "ones_like")
def ones_like(graph: Emit, node: Node) -> str:
    """Ones of the input's shape and type."""
    return filled(graph, node.inputs[0], 1, graph.dtype(node.inputs[0]))


def _constant_shape(node: Node) -> list[int]:
    """A size of 0 is one that MXNet finds from the reader (the batch of a state): 1, which broadcasts there."""
    shape = [bounded(node, "a size of shape", size) or 1 for size in node.attrs.ints("shape", ())] or [1]
    bounded(node, "the number of elements", math.prod(shape))
    return shape


@op("mxnet", "_zeros", "_zeros_without_dtype", "_ones", "_full", "_npi_zeros", "_npi_ones", "_npi_full")
def constant(graph: Emit, node: Node) -> str:
    """A tensor of one value.

    Attrs  shape (a 0 is a size that readers decide: written as 1, it broadcasts) dtype=float32 value (of _full)
    """
    kind = node.attrs.dtype("dtype", "float32") if node.attrs.str("dtype", "") != "-1" else "float32"
    value = node.attrs.float("value") if node.op.endswith("full") else float(node.op.endswith("ones"))
    return graph.constant("value", np.full(_constant_shape(node), value).astype(numpy_dtype(kind)))


@op("mxnet", "_arange", "_npi_arange")
def arange(graph: Emit, node: Node) -> str:
    """start, start + step, ... below stop, each `repeat` times.

    Attrs  start required, stop=None (then 0 .. start) step=1 repeat=1 dtype=float32 infer_range=False
    """
    attrs = node.attrs
    start, stop, step = attrs.float("start"), attrs.optional_float("stop"), attrs.float("step", 1.0)
    if attrs.bool("infer_range", False):
        raise refuse(node, "infer_range is True: its length depends on who reads it; supported is a given stop.")
    start, stop = (0.0, start) if stop is None else (start, stop)
    if step == 0.0 or not math.isfinite((stop - start) / step):
        raise refuse(node, f"start {start:g}, stop {stop:g}, step {step:g} make no range.")
    repeat = bounded(node, "repeat", attrs.int("repeat", 1))
    bounded(node, "the number of elements", max(0, math.ceil((stop - start) / step)) * repeat)
    values = np.repeat(np.arange(start, stop, step), repeat)
    return graph.constant("value", values.astype(numpy_dtype(attrs.dtype("dtype", "float32"))))


@op("mxnet", "_eye", "_npi_eye")
def eye(graph: Emit, node: Node) -> str:
    """Ones on a diagonal.

    Attrs  N required, M=0 (N) k=0 dtype=float32
    """
    attrs = node.attrs
    rows = bounded(node, "N", attrs.int("N"))
    columns = bounded(node, "M", attrs.int("M", 0)) or rows
    bounded(node, "the number of elements", rows * columns)
    made = np.eye(rows, columns, attrs.int("k", 0))
    return graph.constant("value", made.astype(numpy_dtype(attrs.dtype("dtype", "float32"))))


@op("mxnet", "_contrib_arange_like", "_npx_arange_like")
def arange_like(graph: Emit, node: Node) -> str:
    """start + step * (0, 1, ...), as many as the input has elements (in its shape) or as one axis is long.

    Attrs  start=0 step=1 repeat=1 axis=None ctx
    """
    x, attrs = node.inputs[0], node.attrs
    kind, axis, repeats = graph.dtype(x), attrs.optional_int("axis"), attrs.int("repeat", 1)
    have = sizes(graph, x)
    count = product(have) if axis is None else have[axis_of(node, axis, len(have))]
    steps = counting(graph, count)
    steps = graph.node("Div", [steps, ints(graph, [repeats])]) if repeats != 1 else steps
    start, step = (
        graph.constant(key, np.asarray(attrs.float(key, fallback)).astype(numpy_dtype(kind)))
        for key, fallback in (("start", 0.0), ("step", 1.0))
    )
    values = graph.node("Add", [graph.node("Mul", [cast(graph, steps, kind), step]), start])
    return reshape(graph, values, have) if axis is None else values
