"""Operators that only numpy's dialect has: reductions to scalars, matmul, split, arg max as integers.

Rule 1: here a reduction over everything has no axes at all, where the older operators leave one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import numpy_dtype
from gateway.formats.mxnet.ops.creation import filled
from gateway.formats.mxnet.ops.shape import split_v2
from gateway.graph.registry import op
from gateway.graph.tools import FLOATS, axis_of, cast, full, ints, numbers, refuse

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


def _axes(graph: Emit, node: Node) -> list[int]:
    """The axes that go away, all when axis is None. Errors: ConversionError for `initial`, which changes the result."""
    if node.attrs.has("initial"):
        raise refuse(node, f"initial is {node.attrs.str('initial')}; supported is None.")
    count = graph.rank(node.inputs[0])
    named = node.attrs.ints("axis", ())
    return sorted({axis_of(node, axis, count) for axis in named}) or list(range(count))


def _typed(graph: Emit, node: Node) -> str:
    """The input in the type that `dtype` asks for. Errors: ConversionError for integers whose sum has another type."""
    x = node.inputs[0]
    if node.attrs.has("dtype"):
        return cast(graph, x, node.attrs.dtype("dtype"))
    if graph.dtype(x) not in FLOATS:
        raise refuse(node, f"its input is {graph.dtype(x)} and dtype is not given; supported is floating point.")
    return x


def _reduced(graph: Emit, onnx_op: str, x: str, axes: list[int], *, keepdims: bool) -> str:
    if onnx_op == "ReduceSum":
        return graph.node(onnx_op, [x, ints(graph, axes)], keepdims=int(keepdims))
    return graph.node(onnx_op, [x], axes=axes, keepdims=int(keepdims))


def _reduction(onnx_op: str, *names: str) -> None:
    def function(graph: Emit, node: Node) -> str:
        x = node.inputs[0] if onnx_op in ("ReduceMax", "ReduceMin") else _typed(graph, node)
        made = _reduced(
            graph, onnx_op, numbers(graph, x), _axes(graph, node), keepdims=node.attrs.bool("keepdims", False)
        )
        return cast(graph, made, graph.dtype(x))

    function.__doc__ = f"numpy's {onnx_op} over `axis`; over everything: a scalar without axes."
    op("mxnet", *names)(function)


for _onnx_op, _names in {
    "ReduceSum": ("_np_sum",),
    "ReduceMean": ("_npi_mean",),
    "ReduceProd": ("_np_prod", "_np_product"),
    "ReduceMax": ("_np_max", "_np_amax"),
    "ReduceMin": ("_np_min", "_np_amin"),
}.items():
    _reduction(_onnx_op, *_names)


@op("mxnet", "_npi_var", "_npi_std")
def variance(graph: Emit, node: Node) -> str:
    """Mean square of what is left without the mean, or its root.

    Attrs  axis=None (everything) ddof=0 keepdims=False dtype=None
    """
    x, axes = _typed(graph, node), _axes(graph, node)
    if node.attrs.int("ddof", 0) != 0:
        raise refuse(node, f"ddof is {node.attrs.int('ddof')}; supported is 0.")
    away = graph.node("Sub", [x, _reduced(graph, "ReduceMean", x, axes, keepdims=True)])
    keep = node.attrs.bool("keepdims", False)
    made = _reduced(graph, "ReduceMean", graph.node("Mul", [away, away]), axes, keepdims=keep)
    return graph.node("Sqrt", [made]) if node.op == "_npi_std" else made


@op("mxnet", "_npi_argmax", "_npi_argmin")
def arg_max(graph: Emit, node: Node) -> str:
    """Index of the first largest (smallest) element, int64.

    Attrs  axis=None (of the flat tensor, a scalar) keepdims=False
    """
    onnx_op, x = "ArgMax" if node.op == "_npi_argmax" else "ArgMin", numbers(graph, node.inputs[0])
    axis, keep = node.attrs.optional_int("axis"), node.attrs.bool("keepdims", False)
    if axis is None:
        if keep:
            raise refuse(node, "keepdims is True and axis None; supported is one of both.")
        return graph.node(onnx_op, [graph.node("Reshape", [x, ints(graph, [-1])])], axis=0, keepdims=0)
    return graph.node(onnx_op, [x], axis=axis_of(node, axis, graph.rank(x)), keepdims=int(keep))


@op("mxnet", "_npi_matmul")
def matmul(graph: Emit, node: Node) -> str:
    """numpy's matmul: stacks of matrices broadcast."""
    return graph.node("MatMul", list(node.inputs))


@op("mxnet", "_npi_split")
def split(graph: Emit, node: Node) -> list[str]:
    """Parts along an axis: `sections` equal ones, or from index to index.

    Attrs  indices=() (where parts begin) axis=1 squeeze_axis=False sections=0
    """
    return split_v2(graph, node)


@op("mxnet", "_npi_full_like")
def full_like(graph: Emit, node: Node) -> str:
    """The input's shape with one value everywhere.

    Attrs  fill_value required, dtype=None (the input's)
    """
    x = node.inputs[0]
    return filled(graph, x, node.attrs.float("fill_value"), node.attrs.dtype("dtype", graph.dtype(x)))


@op("mxnet", "_npi_absolute")
def absolute(graph: Emit, node: Node) -> str:
    """Absolute value."""
    return graph.node("Abs", [node.inputs[0]])


@op("mxnet", "_npi_isnan", "_npi_isinf", "_npi_isfinite")
def is_special(graph: Emit, node: Node) -> str:
    """Whether each element is not a number, infinite, or neither, as bool."""
    x = node.inputs[0]
    if graph.dtype(x) not in FLOATS:
        raise refuse(node, f"its input is {graph.dtype(x)}; supported is floating point.")
    nan = graph.node("IsNaN", [x])
    if node.op == "_npi_isnan":
        return nan
    infinite = graph.node("Equal", [graph.node("Abs", [x]), full(graph, np.inf, graph.dtype(x))])
    return infinite if node.op == "_npi_isinf" else graph.node("Not", [graph.node("Or", [nan, infinite])])


@op("mxnet", "_npi_where_scalar2")
def where_scalars(graph: Emit, node: Node) -> str:
    """One number where the condition holds, another elsewhere; float32.

    Attrs  x, y required
    """
    pair = [full(graph, node.attrs.float(key), "float32") for key in ("x", "y")]
    return graph.node("Where", [cast(graph, node.inputs[0], "bool"), *pair])


@op("mxnet", "_npi_vstack")
def vstack(graph: Emit, node: Node) -> str:
    """numpy's vstack: joined on axis 0, vectors as rows."""
    rows = [graph.node("Unsqueeze", [x, ints(graph, [0])]) if graph.rank(x) == 1 else x for x in node.inputs]
    return graph.node("Concat", rows, axis=0)


@op("mxnet", "_np_moveaxis")
def moveaxis(graph: Emit, node: Node) -> str:
    """Axes moved to other places.

    Attrs  source, destination required
    """
    x = node.inputs[0]
    count = graph.rank(x)
    source, destination = (
        [axis_of(node, axis, count) for axis in node.attrs.ints(key)] for key in ("source", "destination")
    )
    if len(source) != len(destination) or len(set(source)) != len(source) or len(set(destination)) != len(source):
        raise refuse(node, f"source {source} and destination {destination} do not fit each other.")
    order = [axis for axis in range(count) if axis not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return graph.node("Transpose", [x], perm=order)


@op("mxnet", "_linspace", "_npi_linspace")
def linspace(graph: Emit, node: Node) -> str:
    """`num` numbers from start to stop.

    Attrs  start, stop, num required; endpoint=True dtype=float32
    """
    attrs = node.attrs
    count = attrs.int("num")
    if not 0 <= count <= 1 << 24:
        raise refuse(node, f"num is {count}; supported is up to {1 << 24}.")
    start, stop = attrs.float("start"), attrs.float("stop")
    made = np.linspace(start, stop, count, endpoint=attrs.bool("endpoint", True))
    return graph.constant("value", made.astype(numpy_dtype(attrs.dtype("dtype", "float32"))))
