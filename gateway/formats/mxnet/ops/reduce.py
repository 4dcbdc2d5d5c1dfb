"""Operators that make an axis smaller: sums and means, norms, arg max, top k, sorting.

Rule 1: a reduction over everything has shape (1,), not (): MXNet's tensors have an axis at least.
Rule 2: indices come out as floats (argmax in the input's type, topk and argsort as their dtype
        says, float32 when it says nothing).
Rule 3: among equals the first one wins, and sorting keeps their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.graph.registry import op
from gateway.graph.tools import (
    FLOATS,
    axis_of,
    cast,
    full,
    ints,
    like,
    numbers,
    refuse,
    reshape,
    run_time,
    sizes,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit

AXES_ARE_INPUTS = ("ReduceSum",)  # up to opset 17 the others have them as an attribute


def _axes(graph: Emit, node: Node) -> list[int]:
    """The axes that go away: all when none is named, whatever `exclude` says then."""
    count = graph.rank(node.inputs[0])
    named = node.attrs.ints("axis", ())
    if not named:
        return list(range(count))
    axes = sorted({axis_of(node, axis, count) for axis in named})
    if node.attrs.bool("exclude", False):
        return [axis for axis in range(count) if axis not in axes]
    return axes


def reduced(graph: Emit, onnx_op: str, x: str, axes: list[int], *, keepdims: bool) -> str:
    """One Reduce node; a result without axes becomes one of shape (1,)."""
    if not axes:
        return x
    whole = len(axes) == graph.rank(x) and not keepdims
    kept = int(keepdims or whole)
    if onnx_op in AXES_ARE_INPUTS:
        made = graph.node(onnx_op, [x, ints(graph, axes)], keepdims=kept)
    else:
        made = graph.node(onnx_op, [x], axes=axes, keepdims=kept)
    return reshape(graph, made, [1]) if whole and len(axes) > 1 else made


REDUCTIONS = {
    "ReduceSum": ("sum", "sum_axis"),
    "ReduceMean": ("mean",),
    "ReduceProd": ("prod",),
    "ReduceMax": ("max", "max_axis"),
    "ReduceMin": ("min", "min_axis"),
}


def _reduction(onnx_op: str, names: tuple[str, ...]) -> None:
    def function(graph: Emit, node: Node) -> str:
        x = node.inputs[0]
        kind = graph.dtype(x)
        if onnx_op == "ReduceMean" and kind not in FLOATS:
            raise refuse(node, f"its input is {kind}; supported is a floating point input.")
        made = reduced(
            graph, onnx_op, numbers(graph, x), _axes(graph, node), keepdims=node.attrs.bool("keepdims", False)
        )
        return cast(graph, made, kind) if made != x else x

    function.__doc__ = f"{onnx_op} over `axis` (exclude: over the others); all of them when none is named."
    op("mxnet", *names)(function)


for _onnx_op, _names in REDUCTIONS.items():
    _reduction(_onnx_op, _names)


def _nan_reduction(name: str, onnx_op: str, neutral: float) -> None:
    def function(graph: Emit, node: Node) -> str:
        x = node.inputs[0]
        if graph.dtype(x) in FLOATS:
            x = graph.node("Where", [graph.node("IsNaN", [x]), like(graph, x, neutral), x])
        made = reduced(
            graph, onnx_op, numbers(graph, x), _axes(graph, node), keepdims=node.attrs.bool("keepdims", False)
        )
        return cast(graph, made, graph.dtype(node.inputs[0]))

    function.__doc__ = f"{onnx_op} over `axis`, NaN counted as {neutral:g}."
    op("mxnet", name)(function)


_nan_reduction("nansum", "ReduceSum", 0.0)
_nan_reduction("nanprod", "ReduceProd", 1.0)


@op("mxnet", "norm")
def norm(graph: Emit, node: Node) -> str:
    """Sum of |x| (ord 1) or root of the sum of squares (ord 2).

    Attrs  ord=2 axis=None (all) keepdims=False out_dtype=None
    """
    x, order = node.inputs[0], node.attrs.int("ord", 2)
    if order not in (1, 2):
        raise refuse(node, f"ord is {order}; supported are 1 and 2.")
    if graph.dtype(x) not in FLOATS:
        raise refuse(node, f"its input is {graph.dtype(x)}; supported is a floating point input.")
    if node.attrs.dtype("out_dtype", graph.dtype(x)) != graph.dtype(x):
        raise refuse(node, "out_dtype is not the input's type; supported is the same (MXNet itself fails on others).")
    axes, keep = _axes(graph, node), node.attrs.bool("keepdims", False)
    return reduced(graph, "ReduceL1" if order == 1 else "ReduceL2", x, axes, keepdims=keep)


@op("mxnet", "moments")
def moments(graph: Emit, node: Node) -> list[str]:
    """Mean and variance (divided by the count) over `axes`.

    Attrs  axes=None (all) keepdims=False
    """
    x = node.inputs[0]
    if graph.dtype(x) not in FLOATS:
        raise refuse(node, f"its input is {graph.dtype(x)}; supported is a floating point input.")
    count = graph.rank(x)
    axes = sorted({axis_of(node, axis, count) for axis in node.attrs.ints("axes", ())}) or list(range(count))
    keep = node.attrs.bool("keepdims", False)
    away = graph.node("Sub", [x, graph.node("ReduceMean", [x], axes=axes, keepdims=1)])
    variance = reduced(graph, "ReduceMean", graph.node("Mul", [away, away]), axes, keepdims=keep)
    return [reduced(graph, "ReduceMean", x, axes, keepdims=keep), variance]


def _arg(graph: Emit, node: Node, onnx_op: str, axis: int | None, *, keepdims: bool) -> str:
    """The index as the input's type; over everything: one number of shape (1,)."""
    x = node.inputs[0]
    kind, count = graph.dtype(x), graph.rank(x)
    wide = numbers(graph, x)
    if axis is None or count == 1:
        flat = graph.node("Reshape", [wide, ints(graph, [-1])])
        made = graph.node(onnx_op, [flat], axis=0, keepdims=1)
        return cast(graph, reshape(graph, made, [1] * count) if keepdims else made, kind)
    return cast(graph, graph.node(onnx_op, [wide], axis=axis_of(node, axis, count), keepdims=int(keepdims)), kind)


@op("mxnet", "argmax", "argmin")
def argmax(graph: Emit, node: Node) -> str:
    """Index of the first largest (smallest) element, in the input's type.

    Attrs  axis=None (over everything, shape (1,)) keepdims=False
    """
    onnx_op = "ArgMax" if node.op == "argmax" else "ArgMin"
    return _arg(graph, node, onnx_op, node.attrs.optional_int("axis"), keepdims=node.attrs.bool("keepdims", False))


@op("mxnet", "argmax_channel")
def argmax_channel(graph: Emit, node: Node) -> str:
    """argmax over axis 1."""
    return _arg(graph, node, "ArgMax", 1, keepdims=False)


def _flat_or_axis(graph: Emit, node: Node) -> tuple[str, int]:
    """(tensor, axis): `axis` is -1 when left out; "None" written out means the flat tensor."""
    x = node.inputs[0]
    if "axis" in node.attrs and not node.attrs.has("axis"):
        return graph.node("Reshape", [x, ints(graph, [-1])]), 0
    return x, axis_of(node, node.attrs.int("axis", -1), graph.rank(x))


def _ordered(graph: Emit, node: Node, k: int, *, ascending: bool) -> tuple[str, str, str, int]:
    """(values, int64 indices, the tensor they are of, axis); k = 0 is all of them."""
    x, axis = _flat_or_axis(graph, node)
    size = sizes(graph, x)[axis]
    if isinstance(size, int) and k > size:
        raise refuse(node, f"k is {k} and axis {axis} has {size} elements.")
    wide = numbers(graph, x)
    values, indices = graph.nodes(
        "TopK", [wide, run_time(graph, k if k > 0 else size)], 2, axis=axis, largest=int(not ascending), sorted=1
    )
    return cast(graph, values, graph.dtype(x)), indices, x, axis


@op("mxnet", "topk", "_npx_topk")
def topk(graph: Emit, node: Node) -> str | list[str]:
    """The k largest (is_ascend: smallest) elements along an axis, in order.

    Attrs  axis=-1 (None: the flat tensor) k=1 (0: all) ret_typ=indices|value|both|mask is_ascend=False dtype=float32
    """
    attrs = node.attrs
    wanted = attrs.choice("ret_typ", ("indices", "value", "both", "mask"), "indices")
    values, indices, x, axis = _ordered(graph, node, attrs.int("k", 1), ascending=attrs.bool("is_ascend", False))
    shown = cast(graph, indices, attrs.dtype("dtype", "float32")) if wanted in ("indices", "both") else ""
    if wanted == "value":
        return values
    if wanted != "mask":
        return shown if wanted == "indices" else [values, shown]
    kind = graph.dtype(numbers(graph, x))
    zeros, ones = (
        graph.node("Expand", [full(graph, value, kind), graph.node("Shape", [like_])])
        for value, like_ in ((0.0, x), (1.0, indices))
    )
    mask = graph.node("ScatterElements", [zeros, indices, ones], axis=axis)
    return cast(graph, reshape(graph, mask, sizes(graph, node.inputs[0])), graph.dtype(x))


@op("mxnet", "sort")
def sort(graph: Emit, node: Node) -> str:
    """Sorted along an axis.

    Attrs  axis=-1 (None: the flat tensor) is_ascend=True
    """
    return _ordered(graph, node, 0, ascending=node.attrs.bool("is_ascend", True))[0]


@op("mxnet", "argsort")
def argsort(graph: Emit, node: Node) -> str:
    """Indices that would sort along an axis.

    Attrs  axis=-1 (None: the flat tensor) is_ascend=True dtype=float32
    """
    indices = _ordered(graph, node, 0, ascending=node.attrs.bool("is_ascend", True))[1]
    return cast(graph, indices, node.attrs.dtype("dtype", "float32"))


@op("mxnet", "cumsum", "_np_cumsum")
def cumsum(graph: Emit, node: Node) -> str:
    """Running sum along an axis.

    Attrs  axis=None (the flat tensor) dtype=None (the input's)
    """
    x = node.inputs[0]
    axis = node.attrs.optional_int("axis")
    wide = cast(graph, x, node.attrs.dtype("dtype", graph.dtype(x)))
    kind = graph.dtype(wide)
    if axis is None:
        wide, axis = graph.node("Reshape", [wide, ints(graph, [-1])]), 0
    axis = axis_of(node, axis, graph.rank(wide))
    made = graph.node("CumSum", [numbers(graph, wide), reshape(graph, ints(graph, [axis]), [1])])
    return cast(graph, made, kind)
