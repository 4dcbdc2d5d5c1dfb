"""Operators of one tensor, element by element: roots, logarithms, rounding, clip, cast, copies.

Rule 1: integers go in and come out as integers where MXNet keeps them so; where MXNet would cut
        a float result down to an integer, the node is refused: nobody means that.
Rule 2: the three roundings differ at halves: round goes away from zero, rint to the lower one,
        ONNX Round to the even one, so none of them is ONNX Round.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.graph.registry import op
from gateway.graph.tools import FLOATS, cast, full, like, numbers, refuse

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit

Unary = Callable[["Emit", str], str]

# One ONNX node says the same. numpy-style spellings are the same operators on float input.
RENAMED = {
    "sqrt": "Sqrt",
    "exp": "Exp",
    "log": "Log",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "arcsin": "Asin",
    "arccos": "Acos",
    "arctan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "tanh": "Tanh",
    "arcsinh": "Asinh",
    "arccosh": "Acosh",
    "arctanh": "Atanh",
    "erf": "Erf",
    "sigmoid": "Sigmoid",
    "softsign": "Softsign",
    "reciprocal": "Reciprocal",
}
FLOAT32_ONLY = {"Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Erf"}  # onnxruntime, CPU
NUMPY_SPELLINGS = {"erf": "_npx_erf", "sigmoid": "_npx_sigmoid", "softsign": ""}


def _spellings(name: str) -> tuple[str, ...]:
    other = NUMPY_SPELLINGS.get(name, f"_npi_{name}")
    return (name, other) if other else (name,)


def _floats_only(graph: Emit, node: Node) -> str:
    kind = graph.dtype(node.inputs[0])
    if kind not in FLOATS:
        raise refuse(node, f"its input is {kind}; supported is a floating point input.")
    return kind


def _renamed(name: str, onnx_op: str) -> None:
    def function(graph: Emit, node: Node) -> str:
        kind = _floats_only(graph, node)
        if kind == "float64" and onnx_op in FLOAT32_ONLY:
            raise refuse(node, "float64 input; onnxruntime computes this in float32 only.")
        return graph.node(onnx_op, [node.inputs[0]])

    function.__doc__ = f"{onnx_op}, element by element; floating point input."
    op("mxnet", *_spellings(name))(function)


for _name, _onnx_op in RENAMED.items():
    _renamed(_name, _onnx_op)


def _wide(graph: Emit, x: str, function: Unary) -> str:
    """Computed in float64: 1 + x keeps what a small x says."""
    return cast(graph, function(graph, cast(graph, x, "float64")), graph.dtype(x))


def _log1p(graph: Emit, x: str) -> str:
    return _wide(graph, x, lambda g, v: g.node("Log", [g.node("Add", [v, like(g, v, 1)])]))


def _expm1(graph: Emit, x: str) -> str:
    return _wide(graph, x, lambda g, v: g.node("Sub", [g.node("Exp", [v]), like(g, v, 1)]))


def _scaled(onnx_op: str, factor: float) -> Unary:
    def function(graph: Emit, x: str) -> str:
        made = graph.node(onnx_op, [x]) if onnx_op else x
        return graph.node("Mul", [made, like(graph, made, factor)])

    return function


def _rsqrt(graph: Emit, x: str) -> str:
    return graph.node("Reciprocal", [graph.node("Sqrt", [x])])


def _cbrt(graph: Emit, x: str) -> str:
    """Real for negative x, where Pow has NaN."""
    root = graph.node("Pow", [graph.node("Abs", [x]), like(graph, x, 1 / 3)])
    return graph.node("Mul", [graph.node("Sign", [x]), root])


def _rcbrt(graph: Emit, x: str) -> str:
    return graph.node("Reciprocal", [_cbrt(graph, x)])


FLOAT_FUNCTIONS: dict[str, tuple[Unary, str]] = {
    "log1p": (_log1p, "log(1 + x), exact for small x."),
    "expm1": (_expm1, "exp(x) - 1, exact for small x."),
    "log2": (_scaled("Log", 1 / math.log(2)), "Logarithm to base 2."),
    "log10": (_scaled("Log", 1 / math.log(10)), "Logarithm to base 10."),
    "degrees": (_scaled("", 180 / math.pi), "Radians to degrees."),
    "radians": (_scaled("", math.pi / 180), "Degrees to radians."),
    "rsqrt": (_rsqrt, "1 / sqrt(x)."),
    "cbrt": (_cbrt, "Cube root, real for negative x."),
    "rcbrt": (_rcbrt, "1 / cube root."),
}


def _trunc(graph: Emit, x: str) -> str:
    return graph.node("Mul", [graph.node("Sign", [x]), graph.node("Floor", [graph.node("Abs", [x])])])


def _round(graph: Emit, x: str) -> str:
    """Half away from zero. floor(|x| + 0.5) would be wrong just under a half: the sum rounds up."""
    size = graph.node("Abs", [x])
    whole = graph.node("Floor", [size])
    up = graph.node("GreaterOrEqual", [graph.node("Sub", [size, whole]), like(graph, x, 0.5)])
    total = graph.node("Add", [whole, cast(graph, up, graph.dtype(x))])
    return graph.node("Mul", [graph.node("Sign", [x]), total])


def _rint(graph: Emit, x: str) -> str:
    """A half goes to the lower neighbour (mshadow_op.h rint), not to the even one."""
    low, high = graph.node("Floor", [x]), graph.node("Ceil", [x])
    nearer = graph.node("LessOrEqual", [graph.node("Sub", [x, low]), graph.node("Sub", [high, x])])
    return graph.node("Where", [nearer, low, high])


ROUNDINGS: dict[str, tuple[Unary, str]] = {
    "floor": (lambda g, x: g.node("Floor", [x]), "Largest integer that is not above x."),
    "ceil": (lambda g, x: g.node("Ceil", [x]), "Smallest integer that is not below x."),
    "trunc": (_trunc, "Towards zero."),
    "fix": (_trunc, "Towards zero."),
    "round": (_round, "To the nearest integer, halves away from zero."),
    "rint": (_rint, "To the nearest integer, halves to the lower one."),
}


def _square(graph: Emit, x: str) -> str:
    wide = numbers(graph, x)
    return cast(graph, graph.node("Mul", [wide, wide]), graph.dtype(x))


def _logical_not(graph: Emit, x: str) -> str:
    return cast(graph, graph.node("Not", [cast(graph, x, "bool")]), graph.dtype(x))


def _relu(graph: Emit, x: str) -> str:
    """Max with zero: unlike Relu it exists for every integer type after widening."""
    if graph.dtype(x) in FLOATS:
        return graph.node("Relu", [x])
    wide = numbers(graph, x)
    return cast(graph, graph.node("Max", [wide, like(graph, wide, 0)]), graph.dtype(x))


def _negative(graph: Emit, x: str) -> str:
    wide = numbers(graph, x)
    return cast(graph, graph.node("Neg", [wide]), graph.dtype(x))


ANY_TYPE: dict[str, tuple[Unary, str]] = {
    "abs": (lambda g, x: g.node("Abs", [x]), "Absolute value."),
    "sign": (lambda g, x: g.node("Sign", [x]), "-1, 0 or 1."),
    "negative": (_negative, "-x."),
    "square": (_square, "x * x."),
    "relu": (_relu, "max(x, 0)."),
    "logical_not": (_logical_not, "1 where x is 0, else 0, in x's type."),
}


def _register(name: str, function: Unary, says: str, *, kinds: str) -> None:
    def whole(graph: Emit, node: Node) -> str:
        if kinds == "float":
            _floats_only(graph, node)
        elif kinds == "rounding" and graph.dtype(node.inputs[0]) not in FLOATS:
            return node.inputs[0]  # integers are round already
        return function(graph, node.inputs[0])

    whole.__doc__ = says
    spellings = {
        "relu": ("relu", "_npx_relu"),
        "logical_not": ("logical_not",),
        "rcbrt": ("rcbrt",),
        "round": ("round",),
        "rsqrt": ("rsqrt",),
    }
    op("mxnet", *spellings.get(name, (name, f"_npi_{name}")))(whole)


for _table, _kinds in ((FLOAT_FUNCTIONS, "float"), (ROUNDINGS, "rounding"), (ANY_TYPE, "any")):
    for _name, (_function, _says) in _table.items():
        _register(_name, _function, _says, kinds=_kinds)


@op("mxnet", "_npi_logical_not")
def numpy_logical_not(graph: Emit, node: Node) -> str:
    """True where x is 0, as bool."""
    return graph.node("Not", [cast(graph, node.inputs[0], "bool")])


@op("mxnet", "hard_sigmoid")
def hard_sigmoid(graph: Emit, node: Node) -> str:
    """min(max(alpha * x + beta, 0), 1).

    Attrs  alpha=0.2 beta=0.5
    """
    _floats_only(graph, node)
    alpha, beta = node.attrs.float("alpha", 0.2), node.attrs.float("beta", 0.5)
    return graph.node("HardSigmoid", [node.inputs[0]], alpha=alpha, beta=beta)


@op("mxnet", "smooth_l1", "_npx_smooth_l1")
def smooth_l1(graph: Emit, node: Node) -> str:
    """0.5 (s x)^2 where |x| < 1/s^2, else |x| - 0.5/s^2.

    Attrs  scalar=1.0 (s)
    """
    kind = _floats_only(graph, node)
    x, sigma = node.inputs[0], node.attrs.float("scalar", 1.0)
    if not 1e-9 < abs(sigma) < 1e9:
        raise refuse(node, f"scalar is {sigma:g}; supported are sizes from 1e-9 to 1e9.")
    size, square = graph.node("Abs", [x]), sigma * sigma
    inside = graph.node("Mul", [graph.node("Mul", [x, x]), full(graph, 0.5 * square, kind)])
    outside = graph.node("Sub", [size, full(graph, 0.5 / square, kind)])
    return graph.node("Where", [graph.node("Less", [size, full(graph, 1 / square, kind)]), inside, outside])


@op("mxnet", "clip", "_npi_clip")
def clip(graph: Emit, node: Node) -> str:
    """Into [a_min, a_max], in the input's type.

    Attrs  a_min, a_max required (numpy's spelling may leave one out)
    """
    x = node.inputs[0]
    kind, optional = graph.dtype(x), node.op == "_npi_clip"
    bounds = [node.attrs.float(key, fallback) if optional else node.attrs.float(key)
              for key, fallback in (("a_min", -math.inf), ("a_max", math.inf))]  # fmt: skip
    if bounds[0] > bounds[1]:
        raise refuse(node, f"a_min {bounds[0]:g} is above a_max {bounds[1]:g}; supported is a_min <= a_max.")
    wide = numbers(graph, x)
    low, high = ("" if math.isinf(bound) else like(graph, wide, bound) for bound in bounds)
    if not low and not high:
        return x
    made = graph.node("Max", [wide, low]) if low else wide
    return cast(graph, graph.node("Min", [made, high]) if high else made, kind)


@op("mxnet", "Cast", "cast", "amp_cast", "_npi_cast", "_npx_cast")
def cast_(graph: Emit, node: Node) -> str:
    """Into another type; a float loses its fraction on the way to an integer.

    Attrs  dtype required: float16 float32 float64 uint8 int8 int32 int64 bool
    """
    wanted = node.attrs.dtype("dtype")
    if wanted not in (*FLOATS, "uint8", "int8", "int32", "int64", "bool"):
        raise refuse(node, f"dtype is {wanted!r}; supported are float16, float32, float64, uint8, int8, int32, int64.")
    x = node.inputs[0]
    return cast(graph, x, wanted)


@op("mxnet", "amp_multicast")
def amp_multicast(graph: Emit, node: Node) -> list[str]:
    """Every float input in the widest float type among them (cast_narrow: the narrowest).

    Attrs  num_outputs required, cast_narrow=False
    """
    order = ("float16", "float32", "float64")
    kinds = [graph.dtype(x) for x in node.inputs]
    if any(kind not in order for kind in kinds):
        raise refuse(node, f"its inputs are {', '.join(kinds)}; supported are floating point inputs.")
    pick = min if node.attrs.bool("cast_narrow", False) else max
    wanted = pick(kinds, key=order.index)
    return [cast(graph, x, wanted) for x in node.inputs]


@op("mxnet", "_copy", "identity", "_np_copy", "_npi_copy")
@op("mxnet", "_identity_with_attr_like_rhs")
def copy(graph: Emit, node: Node) -> str:
    """The first input, as it is."""
    return node.inputs[0]


@op("mxnet", "_contrib_div_sqrt_dim")
def div_sqrt_dim(graph: Emit, node: Node) -> str:
    """x / sqrt(size of the last axis)."""
    x = node.inputs[0]
    last = graph.rank(x) - 1
    size = cast(graph, graph.node("Shape", [x], start=last), graph.dtype(x))
    return graph.node("Div", [x, graph.node("Sqrt", [size])])


@op("mxnet", "_contrib_quadratic")
def quadratic(graph: Emit, node: Node) -> str:
    """a x^2 + b x + c.

    Attrs  a=0 b=0 c=0
    """
    _floats_only(graph, node)
    x = node.inputs[0]
    a, b, c = (like(graph, x, node.attrs.float(key, 0.0)) for key in "abc")
    inner = graph.node("Add", [graph.node("Mul", [x, a]), b])
    return graph.node("Add", [graph.node("Mul", [inner, x]), c])
