"""Operators of two tensors, or a tensor and a number: arithmetic, comparisons, logic, broadcasts.

Rule 1: the three families (`elemwise_*` and `_plus`, `broadcast_*`, `_plus_scalar`) and their old
        spellings share one function an operation: ONNX broadcasts where the tensors ask for it.
Rule 2: a scalar takes the tensor's type first: an integer tensor plus 1.5 is the tensor plus 1.
Rule 3: comparisons and logic answer 0 or 1 in the input's type; only numpy's spellings answer bool.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import numpy_dtype
from gateway.graph.registry import op
from gateway.graph.tools import (
    FLOATS,
    Size,
    axis_of,
    cast,
    expand,
    full,
    like,
    numbers,
    refuse,
    sizes,
    static,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit

Binary = Callable[["Emit", str, str], str]


def _plain(onnx_op: str) -> Binary:
    return lambda graph, a, b: graph.node(onnx_op, [a, b])


def _not_zero(graph: Emit, b: str) -> str:
    """An integer divisor without zeros: dividing by one would end the process that serves."""
    zero = graph.node("Equal", [b, like(graph, b, 0)])
    return graph.node("Where", [zero, like(graph, b, 1), b])


def _div(graph: Emit, a: str, b: str) -> str:
    """Integers are cut towards zero, in MXNet as in ONNX."""
    return graph.node("Div", [a, b if graph.dtype(b) in FLOATS else _not_zero(graph, b)])


def _mod(graph: Emit, a: str, b: str) -> str:
    """The sign is the divisor's, and x mod 0 is 0 (mshadow_op.h mod)."""
    if graph.dtype(a) not in FLOATS:
        return graph.node("Mod", [a, _not_zero(graph, b)])
    zero = graph.node("Equal", [b, like(graph, b, 0)])
    rest = graph.node("Mod", [a, b], fmod=1)
    signs = [graph.node("Sign", [value]) for value in (rest, b)]
    other = graph.node("Less", [graph.node("Mul", signs), like(graph, b, 0)])
    made = graph.node("Where", [other, graph.node("Add", [rest, b]), rest])
    return graph.node("Where", [zero, like(graph, a, 0), made])


def _hypot(graph: Emit, a: str, b: str) -> str:
    kind = graph.dtype(a)
    a, b = (value if kind in FLOATS else cast(graph, value, "float64") for value in (a, b))
    squares = graph.node("Add", [graph.node("Mul", [a, a]), graph.node("Mul", [b, b])])
    return cast(graph, graph.node("Sqrt", [squares]), kind)


ARITHMETIC: dict[str, Binary] = {
    "add": _plain("Add"),
    "sub": _plain("Sub"),
    "mul": _plain("Mul"),
    "div": _div,
    "mod": _mod,
    "power": _plain("Pow"),
    "maximum": _plain("Max"),
    "minimum": _plain("Min"),
    "hypot": _hypot,
}
COMPARISONS: dict[str, Binary] = {
    "equal": _plain("Equal"),
    "not_equal": lambda graph, a, b: graph.node("Not", [graph.node("Equal", [a, b])]),
    "greater": _plain("Greater"),
    "greater_equal": _plain("GreaterOrEqual"),
    "lesser": _plain("Less"),
    "lesser_equal": _plain("LessOrEqual"),
}
LOGIC: dict[str, Binary] = {"logical_and": _plain("And"), "logical_or": _plain("Or"), "logical_xor": _plain("Xor")}

# Every spelling that MXNet 0.x to 1.9 wrote for two tensors, and for a tensor and a number.
TENSORS: dict[str, tuple[str, ...]] = {
    "add": ("elemwise_add", "_add", "_plus", "_Plus", "_grad_add", "broadcast_add", "broadcast_plus"),
    "sub": ("elemwise_sub", "_sub", "_minus", "_Minus", "broadcast_sub", "broadcast_minus"),
    "mul": ("elemwise_mul", "_mul", "_Mul", "broadcast_mul"),
    "div": ("elemwise_div", "_div", "_Div", "broadcast_div"),
    "mod": ("_mod", "_Mod", "broadcast_mod"),
    "power": ("_power", "_Power", "broadcast_power"),
    "maximum": ("_maximum", "_Maximum", "broadcast_maximum"),
    "minimum": ("_minimum", "_Minimum", "broadcast_minimum"),
    "hypot": ("_hypot", "_Hypot", "broadcast_hypot"),
    "equal": ("_equal", "_Equal", "broadcast_equal"),
    "not_equal": ("_not_equal", "_Not_Equal", "broadcast_not_equal"),
    "greater": ("_greater", "_Greater", "broadcast_greater"),
    "greater_equal": ("_greater_equal", "_Greater_Equal", "broadcast_greater_equal"),
    "lesser": ("_lesser", "_Lesser", "broadcast_lesser"),
    "lesser_equal": ("_lesser_equal", "_Lesser_Equal", "broadcast_lesser_equal"),
    "logical_and": ("_logical_and", "_Logical_And", "broadcast_logical_and"),
    "logical_or": ("_logical_or", "_Logical_Or", "broadcast_logical_or"),
    "logical_xor": ("_logical_xor", "_Logical_Xor", "broadcast_logical_xor"),
}
SCALARS: dict[str, tuple[str, ...]] = {
    "add": ("_plus_scalar", "_PlusScalar", "__add_scalar__", "_scatter_plus_scalar"),
    "sub": ("_minus_scalar", "_MinusScalar", "__sub_scalar__", "_scatter_minus_scalar"),
    "mul": ("_mul_scalar", "_MulScalar", "__mul_scalar__"),
    "div": ("_div_scalar", "_DivScalar", "__div_scalar__"),
    "mod": ("_mod_scalar", "_ModScalar"),
    "power": ("_power_scalar", "_PowerScalar", "__pow_scalar__"),
    "maximum": ("_maximum_scalar", "_MaximumScalar"),
    "minimum": ("_minimum_scalar", "_MinimumScalar"),
    "hypot": ("_hypot_scalar", "_HypotScalar"),
    "equal": ("_equal_scalar", "_EqualScalar"),
    "not_equal": ("_not_equal_scalar", "_NotEqualScalar"),
    "greater": ("_greater_scalar", "_GreaterScalar"),
    "greater_equal": ("_greater_equal_scalar", "_GreaterEqualScalar"),
    "lesser": ("_lesser_scalar", "_LesserScalar"),
    "lesser_equal": ("_lesser_equal_scalar", "_LesserEqualScalar"),
    "logical_and": ("_logical_and_scalar", "_LogicalAndScalar"),
    "logical_or": ("_logical_or_scalar", "_LogicalOrScalar"),
    "logical_xor": ("_logical_xor_scalar", "_LogicalXorScalar"),
}
REVERSED: dict[str, tuple[str, ...]] = {  # the number stands on the left
    "sub": ("_rminus_scalar", "_RMinusScalar", "__rsub_scalar__"),
    "div": ("_rdiv_scalar", "_RDivScalar", "__rdiv_scalar__"),
    "mod": ("_rmod_scalar", "_RModScalar"),
    "power": ("_rpower_scalar", "_RPowerScalar", "__rpow_scalar__"),
}
NUMPY_WORDS = {
    "sub": "subtract",
    "mul": "multiply",
    "div": "true_divide",
    "lesser": "less",
    "lesser_equal": "less_equal",
}


def _apply(graph: Emit, name: str, a: str, b: str) -> str:
    """One operation on two tensors of one type. Truth is bool, numbers are in the type computed in."""
    if name in LOGIC:
        return LOGIC[name](graph, cast(graph, a, "bool"), cast(graph, b, "bool"))
    a, b = numbers(graph, a), numbers(graph, b)
    return COMPARISONS[name](graph, a, b) if name in COMPARISONS else ARITHMETIC[name](graph, a, b)


def _same_type(graph: Emit, node: Node) -> str:
    kinds = {graph.dtype(tensor) for tensor in node.inputs}
    if len(kinds) > 1:
        raise refuse(node, f"its inputs are {' and '.join(sorted(kinds))}; supported are inputs of one type.")
    return kinds.pop()


def _scalar(graph: Emit, node: Node, kind: str) -> str:
    """The number in the tensor's type: cut towards zero for integers."""
    value = node.attrs.float("scalar") if "scalar" in node.attrs else 1.0
    if kind not in FLOATS:
        value = math.trunc(value)
    tensor = node.inputs[0]
    constant = graph.constant("scalar", np.asarray(value, dtype=np.float64).astype(numpy_dtype(kind)))
    return constant if kind == graph.dtype(tensor) else cast(graph, constant, kind)


def _tensors(name: str, spellings: tuple[str, ...]) -> None:
    def function(graph: Emit, node: Node) -> str:
        kind = _same_type(graph, node)
        return cast(graph, _apply(graph, name, *node.inputs), kind)

    function.__doc__ = f"{name} of two tensors of one type; sizes of 1 broadcast."
    op("mxnet", *spellings)(function)


def _scalars(name: str, spellings: tuple[str, ...], *, left: bool) -> None:
    def function(graph: Emit, node: Node) -> str:
        kind = graph.dtype(node.inputs[0])
        number = _scalar(graph, node, kind)
        pair = (number, node.inputs[0]) if left else (node.inputs[0], number)
        return cast(graph, _apply(graph, name, *pair), kind)

    function.__doc__ = (
        f"{name} of {'a number and a tensor' if left else 'a tensor and a number'}, in the tensor's type."
    )
    op("mxnet", *spellings)(function)


def _numpy(name: str, spelling: str, *, scalar: bool, left: bool = False) -> None:
    def function(graph: Emit, node: Node) -> str:
        kind = graph.dtype(node.inputs[0]) if scalar else _same_type(graph, node)
        truth = name in COMPARISONS
        whole = node.attrs.bool("is_int", False) if scalar else True
        if not truth and kind not in FLOATS and (kind == "bool" or name == "div" or not whole):
            raise refuse(node, f"its input is {kind}, so its output's type is not its input's; supported is float.")
        if truth and kind not in FLOATS and not whole:
            raise refuse(node, f"compares {kind} with a fraction; supported are whole numbers.")
        other = _scalar(graph, node, kind) if scalar else node.inputs[1]
        pair = (other, node.inputs[0]) if left else (node.inputs[0], other)
        made = _apply(graph, name, *pair)
        return made if truth else cast(graph, made, kind)

    function.__doc__ = f"numpy's {spelling[5:]}; comparisons answer bool."
    op("mxnet", spelling)(function)


for _name, _names in TENSORS.items():
    _tensors(_name, _names)
    if _name not in LOGIC:
        _numpy(_name, f"_npi_{NUMPY_WORDS.get(_name, _name)}", scalar=False)
for _name, _names in SCALARS.items():
    _scalars(_name, _names, left=False)
    if _name not in LOGIC and _name != "hypot":
        _numpy(_name, f"_npi_{NUMPY_WORDS.get(_name, _name)}_scalar", scalar=True)
for _name, _names in REVERSED.items():
    _scalars(_name, _names, left=True)
    _numpy(_name, f"_npi_r{NUMPY_WORDS.get(_name, _name)}_scalar", scalar=True, left=True)


@op("mxnet", "add_n", "ElementWiseSum")
def add_n(graph: Emit, node: Node) -> str:
    """Sum of all inputs, which have one shape and type.

    Attrs  num_args (the inputs say it)
    """
    kind = _same_type(graph, node)
    total = numbers(graph, node.inputs[0])
    for tensor in node.inputs[1:]:
        total = graph.node("Add", [total, numbers(graph, tensor)])
    return cast(graph, total, kind) if len(node.inputs) > 1 else node.inputs[0]


@op("mxnet", "broadcast_to", "_npi_broadcast_to")
def broadcast_to(graph: Emit, node: Node) -> str:
    """To the attribute's shape.

    Attrs  shape=(): 0 keeps the input's size. numpy's spelling may have more axes than the input
    """
    x, shape = node.inputs[0], node.attrs.ints("shape", ())
    have, more = sizes(graph, x), len(shape) - graph.rank(x)
    if more < 0 or (more and node.op == "broadcast_to"):
        raise refuse(node, f"shape {shape} has {len(shape)} axes, its input has {len(have)}.")
    keep = {0} if node.op == "broadcast_to" else {0, -2} if more == 0 else set[int]()
    return expand(graph, x, [have[n - more] if n >= more and size in keep else size for n, size in enumerate(shape)])


@op("mxnet", "broadcast_axis", "broadcast_axes")
def broadcast_axis(graph: Emit, node: Node) -> str:
    """Axes of size 1 repeated to a size.

    Attrs  axis=() size=(), as many of one as of the other
    """
    x = node.inputs[0]
    axes, wanted = node.attrs.ints("axis", ()), node.attrs.ints("size", ())
    if len(axes) != len(wanted):
        raise refuse(node, f"axis {axes} and size {wanted} are not equally long.")
    target: list[Size] = sizes(graph, x)
    for axis, size in zip(axes, wanted, strict=True):
        target[axis_of(node, axis, len(target))] = size
    return expand(graph, x, target)


@op("mxnet", "broadcast_like")
def broadcast_like(graph: Emit, node: Node) -> str:
    """To the second input's shape, or on some axes to sizes of some of its axes.

    Attrs  lhs_axes=None rhs_axes=None, both or none
    """
    x, other = node.inputs
    target, model = sizes(graph, x), sizes(graph, other)
    left, right = node.attrs.ints("lhs_axes", ()), node.attrs.ints("rhs_axes", ())
    if len(left) != len(right):
        raise refuse(node, f"lhs_axes {left} and rhs_axes {right} are not equally long.")
    if not left:
        if len(target) != len(model):
            raise refuse(node, f"its inputs have {len(target)} and {len(model)} axes; supported are equally many.")
        return expand(graph, x, model)
    for own, theirs in zip(left, right, strict=True):
        target[axis_of(node, own, len(target))] = model[axis_of(node, theirs, len(model))]
    return expand(graph, x, target)


@op("mxnet", "where", "_npi_where")
def where(graph: Emit, node: Node) -> str:
    """The second input where the first is not 0, else the third.

    In     condition of the others' shape, or one value a row (1-D)
    """
    condition, a, b = node.inputs
    truth = cast(graph, condition, "bool")
    if node.op == "where" and graph.rank(condition) == 1 and graph.rank(a) > 1:
        truth = graph.node("Unsqueeze", [truth, graph.constant("axes", np.arange(1, graph.rank(a), dtype=np.int64))])
    return graph.node("Where", [truth, a, b])


@op("mxnet", "_npi_where_rscalar", "_npi_where_lscalar")
def where_scalar(graph: Emit, node: Node) -> str:
    """A tensor where the condition holds and a number elsewhere; `lscalar` the other way round.

    Attrs  scalar required
    """
    condition, x = node.inputs
    kind = graph.dtype(x)
    number = node.attrs.float("scalar")
    if kind not in FLOATS and number != math.trunc(number):
        raise refuse(node, f"scalar {number:g} among {kind}; supported is a whole number.")
    pair = [x, full(graph, number, kind)]
    return graph.node("Where", [cast(graph, condition, "bool"), *(pair if node.op.endswith("rscalar") else pair[::-1])])


@op("mxnet", "khatri_rao")
def khatri_rao(graph: Emit, node: Node) -> str:
    """Column-wise Kronecker product of matrices with equally many columns.

    In     (M_i, K) each
    Out    (product of M_i, K)
    """
    made = node.inputs[0]
    columns = static(graph, node, made, 1)
    for other in node.inputs[1:]:
        left = graph.node("Unsqueeze", [made, graph.constant("axes", np.array([1], np.int64))])
        right = graph.node("Unsqueeze", [other, graph.constant("axes", np.array([0], np.int64))])
        both = graph.node("Mul", [left, right])
        made = graph.node("Reshape", [both, graph.constant("sizes", np.array([-1, columns], np.int64))])
    return made
