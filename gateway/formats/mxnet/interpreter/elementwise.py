"""Operators of one element at a time: functions of one number, arithmetic, comparisons, scalars.

Rule 1: a comparison answers 0 or 1 in the dtype of its input, as MXNet's old operators do.
Rule 2: integers stay integers: a division truncates towards zero, as C does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import FLOATS, Node, attr_dtype, op

SELU_LAMBDA = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def _gamma_of(value: float) -> float:
    """tgamma: a pole is infinite at zero and not a number at the negative integers."""
    try:
        return math.gamma(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.copysign(math.inf, value) if value == 0 else math.nan


def _gammaln_of(value: float) -> float:
    try:
        return math.lgamma(value)
    except ValueError:  # a pole
        return math.inf


_scalar_function = {
    name: np.vectorize(function, otypes=[np.float64])
    for name, function in {"erf": math.erf, "gamma": _gamma_of, "gammaln": _gammaln_of}.items()
}


def erf(x: Array) -> Array:
    return _elementwise("erf", x)


def _elementwise(name: str, x: Array) -> Array:
    return np.asarray(_scalar_function[name](x)) if x.size else np.asarray(x, dtype=np.float64)


def sigmoid(x: Array) -> Array:
    """Without overflow for large negative numbers."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + e), e / (1.0 + e))


def softrelu(x: Array) -> Array:
    return np.logaddexp(x, 0.0)


def round_away(x: Array) -> Array:
    """C's round: half away from zero (numpy rounds half to even)."""
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def erfinv(x: Array) -> Array:
    """Newton on erf from Giles' first guess; +-inf at +-1, not a number beyond."""
    w = -np.log1p(-x * x)
    guess = np.sign(x) * np.sqrt(np.maximum(np.sqrt((4.33 + w * -0.5) ** 2 + w / 0.147) - 4.33 + w * 0.5, 0.0))
    inside = np.abs(x) < 1
    y = np.where(inside, guess, 0.0)
    for _ in range(60):
        y = y - np.where(inside, (erf(y) - x) * (math.sqrt(math.pi) / 2) * np.exp(y * y), 0.0)
    return np.where(inside, y, np.where(np.abs(x) == 1, np.copysign(np.inf, x), np.nan))


UNARY: dict[tuple[str, ...], Callable[[Array], Array]] = {
    ("abs", "_sparse_abs", "_npi_abs", "_npi_absolute"): np.abs,
    ("negative", "_sparse_negative", "_npi_negative"): np.negative,
    ("sign", "_sparse_sign", "_npi_sign"): np.sign,
    ("exp", "_sparse_exp", "_npi_exp"): np.exp,
    ("expm1", "_sparse_expm1", "_npi_expm1"): np.expm1,
    ("log", "_sparse_log", "_npi_log"): np.log,
    ("log2", "_sparse_log2", "_npi_log2"): np.log2,
    ("log10", "_sparse_log10", "_npi_log10"): np.log10,
    ("log1p", "_sparse_log1p", "_npi_log1p"): np.log1p,
    ("sqrt", "_sparse_sqrt", "_npi_sqrt"): np.sqrt,
    ("rsqrt", "_sparse_rsqrt"): lambda x: 1.0 / np.sqrt(x),
    ("cbrt", "_sparse_cbrt", "_npi_cbrt"): np.cbrt,
    ("rcbrt",): lambda x: 1.0 / np.cbrt(x),
    ("square", "_sparse_square", "_npi_square"): np.square,
    ("reciprocal", "_npi_reciprocal"): lambda x: 1.0 / x,
    ("floor", "_sparse_floor", "_npi_floor"): np.floor,
    ("ceil", "_sparse_ceil", "_npi_ceil"): np.ceil,
    ("trunc", "_sparse_trunc", "_npi_trunc"): np.trunc,
    ("fix", "_sparse_fix", "_npi_fix"): np.trunc,
    # MXNet takes the nearer of floor and ceil, the floor when both are as near
    ("rint", "_sparse_rint", "_npi_rint"): lambda x: np.where(
        x - np.floor(x) <= np.ceil(x) - x, np.floor(x), np.ceil(x)
    ),
    ("round", "_sparse_round"): round_away,
    ("sin", "_sparse_sin", "_npi_sin"): np.sin,
    ("cos", "_sparse_cos", "_npi_cos"): np.cos,
    ("tan", "_sparse_tan", "_npi_tan"): np.tan,
    ("arcsin", "_sparse_arcsin", "_npi_arcsin"): np.arcsin,
    ("arccos", "_sparse_arccos", "_npi_arccos"): np.arccos,
    ("arctan", "_sparse_arctan", "_npi_arctan"): np.arctan,
    ("sinh", "_sparse_sinh", "_npi_sinh"): np.sinh,
    ("cosh", "_sparse_cosh", "_npi_cosh"): np.cosh,
    ("tanh", "_sparse_tanh", "_npi_tanh"): np.tanh,
    ("arcsinh", "_sparse_arcsinh", "_npi_arcsinh"): np.arcsinh,
    ("arccosh", "_sparse_arccosh", "_npi_arccosh"): np.arccosh,
    ("arctanh", "_sparse_arctanh", "_npi_arctanh"): np.arctanh,
    ("degrees", "_sparse_degrees", "_npi_degrees"): np.degrees,
    ("radians", "_sparse_radians", "_npi_radians"): np.radians,
    ("relu", "_sparse_relu", "_npx_relu"): lambda x: np.where(np.isnan(x) | (x > 0), x, 0),
    ("sigmoid", "_sparse_sigmoid", "_npx_sigmoid"): sigmoid,
    ("softsign",): lambda x: x / (1.0 + np.abs(x)),
    ("erf", "_npx_erf"): erf,
    ("erfinv", "_npx_erfinv"): erfinv,
    ("gamma", "_sparse_gamma", "_npx_gamma"): lambda x: _elementwise("gamma", x),
    ("gammaln", "_sparse_gammaln", "_npx_gammaln"): lambda x: _elementwise("gammaln", x),
    ("logical_not",): lambda x: x == 0,
    ("zeros_like", "_sparse_zeros_like"): np.zeros_like,
    ("ones_like",): np.ones_like,
}


def _unary(names: tuple[str, ...], function: Callable[[Array], Array]) -> None:
    @op(*names)
    def apply(node: Node, x: Array) -> Array:
        return function(x)

    apply.__doc__ = f"{names[0]} of every element."


for _names, _function in UNARY.items():
    _unary(_names, _function)


@op(
    "identity", "_copy", "_np_copy", "_npi_copy", "BlockGrad", "stop_gradient", "_sparse_stop_gradient", "make_loss",
    "_sparse_make_loss", "MakeLoss", "_CrossDeviceCopy", "_contrib_gradientmultiplier",
)  # fmt: skip
def identity(node: Node, x: Array) -> Array:
    """The input itself: what losses and gradient stops are at inference."""
    return x


@op("_npi_logical_not", dtype="bool")
def npi_logical_not(node: Node, x: Array) -> Array:
    """Where it is 0; answers booleans."""
    return np.asarray(x == 0)


@op("_identity_with_attr_like_rhs", ignores=(1,))
def identity_like(node: Node, x: Array, like: Array | None) -> Array:
    """The first input."""
    return x


@op("IdentityAttachKLSparseReg", ignores=(1,))
def kl_sparse(node: Node, x: Array, moving: Array | None) -> Array:
    """The first input: the penalty is of training."""
    return x


@op("Cast", "cast", "amp_cast", "_npi_cast", "_npx_cast", dtype=attr_dtype())
def cast(node: Node, x: Array) -> Array:
    """To `dtype`: towards zero for integers, rounded for narrower floats."""
    target = attr_dtype()(node)
    if target in ("float16", "float32"):
        return x.astype(target).astype(np.float64)
    return (x != 0) if target == "bool" else x


def _multicast(node: Node) -> tuple[str, ...]:
    """float32 where any input is (`cast_narrow`: float16 where any is); what is neither stays."""
    kinds = ("float16", "bfloat16", "float32")
    if node.attrs.bool("cast_narrow"):
        target = next((kind for kind in kinds if kind in node.dtypes), "float32")
    else:
        target = "float32" if "float32" in node.dtypes else node.dtypes[0]
    return tuple(target if kind in kinds else kind for kind in node.dtypes)


@op("amp_multicast", dtype=_multicast)
def amp_multicast(node: Node, *xs: Array) -> tuple[Array, ...]:
    """All inputs of 16 and 32 bits in one dtype, the wider or (`cast_narrow`) the narrower."""
    halves = (kind == "float16" for kind in _multicast(node))
    return tuple(x.astype(np.float16).astype(np.float64) if half else x for x, half in zip(xs, halves, strict=True))


def divide(a: Any, b: Any) -> Any:
    """C's division: integers truncate; a float division by zero is infinite."""
    if np.result_type(a, b).kind in "iu":
        safe = np.where(b == 0, 1, b)
        quotient = np.trunc(np.asarray(a, dtype=np.float64) / safe)
        return np.where(b == 0, 0, quotient)
    return np.divide(a, b)


def modulo(a: Any, b: Any) -> Any:
    """The sign of the divisor, as Python's; zero for a divisor of zero."""
    return np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b)))


def power(a: Any, b: Any) -> Any:
    return np.power(np.asarray(a, dtype=np.float64), b)


def _truth(function: Callable[[Array, Array], Array]) -> Callable[[Any, Any], Any]:
    return lambda a, b: function(np.not_equal(a, 0), np.not_equal(b, 0))


Binary = Callable[[Any, Any], Any]
BINARY: dict[tuple[str, ...], Binary] = {
    (
        "elemwise_add", "_plus", "_add", "_Plus", "_grad_add", "broadcast_add", "broadcast_plus",
        "_sparse_elemwise_add", "_sparse_broadcast_add", "_sparse_broadcast_plus", "_npi_add",
    ): np.add,
    (
        "elemwise_sub", "_minus", "_sub", "_Minus", "broadcast_sub", "broadcast_minus", "_sparse_elemwise_sub",
        "_sparse_broadcast_sub", "_sparse_broadcast_minus", "_npi_subtract",
    ): np.subtract,
    (
        "elemwise_mul", "_mul", "_Mul", "broadcast_mul", "_sparse_elemwise_mul", "_sparse_broadcast_mul",
        "_npi_multiply",
    ): np.multiply,
    ("elemwise_div", "_div", "_Div", "broadcast_div", "_sparse_elemwise_div", "_sparse_broadcast_div"): divide,
    ("_mod", "_Mod", "broadcast_mod", "_npi_mod"): modulo,
    ("_power", "_Power", "broadcast_power", "_npi_power"): power,
    ("_maximum", "_Maximum", "broadcast_maximum", "_npi_maximum"): np.maximum,
    ("_minimum", "_Minimum", "broadcast_minimum", "_npi_minimum"): np.minimum,
    ("_hypot", "_Hypot", "broadcast_hypot", "_npi_hypot"): np.hypot,
    ("_equal", "_Equal", "broadcast_equal"): np.equal,
    ("_not_equal", "_Not_Equal", "broadcast_not_equal"): np.not_equal,
    ("_greater", "_Greater", "broadcast_greater"): np.greater,
    ("_greater_equal", "_Greater_Equal", "broadcast_greater_equal"): np.greater_equal,
    ("_lesser", "_Lesser", "broadcast_lesser"): np.less,
    ("_lesser_equal", "_Lesser_Equal", "broadcast_lesser_equal"): np.less_equal,
    ("_logical_and", "_Logical_And", "broadcast_logical_and"): _truth(np.logical_and),
    ("_logical_or", "_Logical_Or", "broadcast_logical_or"): _truth(np.logical_or),
    ("_logical_xor", "_Logical_Xor", "broadcast_logical_xor"): _truth(np.logical_xor),
}  # fmt: skip

NUMPY_COMPARISONS: dict[str, Binary] = {
    "_npi_equal": np.equal,
    "_npi_not_equal": np.not_equal,
    "_npi_greater": np.greater,
    "_npi_greater_equal": np.greater_equal,
    "_npi_less": np.less,
    "_npi_less_equal": np.less_equal,
}


def _binary(names: tuple[str, ...], function: Binary, dtype: str | None = None) -> None:
    @op(*names, dtype=dtype)
    def apply(node: Node, a: Array, b: Array) -> Array:
        return np.asarray(function(a, b))

    apply.__doc__ = f"{names[0]} of two tensors, element by element, broadcast where the name says so."


for _names, _binary_function in BINARY.items():
    _binary(_names, _binary_function)
for _name, _binary_function in NUMPY_COMPARISONS.items():
    _binary((_name,), _binary_function, "bool")


@op("_npi_true_divide", dtype=lambda node: node.dtypes[0] if node.dtypes[0] in FLOATS else "float32")
def true_divide(node: Node, a: Array, b: Array) -> Array:
    """a / b; integers become float32."""
    return np.true_divide(a, b)


SCALAR: dict[tuple[str, ...], Binary] = {
    ("_plus_scalar", "_PlusScalar", "_scatter_plus_scalar", "_npi_add_scalar", "__add_scalar__"): np.add,
    ("_minus_scalar", "_MinusScalar", "_scatter_minus_scalar", "_npi_subtract_scalar", "__sub_scalar__"): np.subtract,
    ("_rminus_scalar", "_RMinusScalar", "_npi_rsubtract_scalar", "__rsub_scalar__"): lambda x, c: c - x,
    ("_mul_scalar", "_MulScalar", "_npi_multiply_scalar", "__mul_scalar__"): np.multiply,
    ("_div_scalar", "_DivScalar", "__div_scalar__"): divide,
    ("_rdiv_scalar", "_RDivScalar", "__rdiv_scalar__"): lambda x, c: divide(c, x),
    ("_mod_scalar", "_ModScalar", "_npi_mod_scalar"): modulo,
    ("_rmod_scalar", "_RModScalar", "_npi_rmod_scalar"): lambda x, c: modulo(c, x),
    ("_power_scalar", "_PowerScalar", "_npi_power_scalar", "__pow_scalar__"): power,
    ("_rpower_scalar", "_RPowerScalar", "_npi_rpower_scalar", "__rpow_scalar__"): lambda x, c: power(c, x),
    ("_maximum_scalar", "_MaximumScalar", "_npi_maximum_scalar"): np.maximum,
    ("_minimum_scalar", "_MinimumScalar", "_npi_minimum_scalar"): np.minimum,
    ("_hypot_scalar", "_HypotScalar", "_npi_hypot_scalar"): np.hypot,
    ("_equal_scalar", "_EqualScalar"): np.equal,
    ("_not_equal_scalar", "_NotEqualScalar"): np.not_equal,
    ("_greater_scalar", "_GreaterScalar"): np.greater,
    ("_greater_equal_scalar", "_GreaterEqualScalar"): np.greater_equal,
    ("_lesser_scalar", "_LesserScalar"): np.less,
    ("_lesser_equal_scalar", "_LesserEqualScalar"): np.less_equal,
    ("_logical_and_scalar", "_LogicalAndScalar"): _truth(np.logical_and),
    ("_logical_or_scalar", "_LogicalOrScalar"): _truth(np.logical_or),
    ("_logical_xor_scalar", "_LogicalXorScalar"): _truth(np.logical_xor),
}  # fmt: skip


def _scalar_dtype(node: Node) -> str:
    """Integers with `is_int=False` (a float was written) become float64; booleans int64 or float64."""
    whole = node.attrs.bool("is_int", True)
    if node.dtypes[0] == "bool":
        return "int64" if whole else "float64"
    return node.dtypes[0] if node.dtypes[0] in FLOATS or whole else "float64"


def _with_scalar(names: tuple[str, ...], function: Binary) -> None:
    @op(*names, dtype=_scalar_dtype)
    def apply(node: Node, x: Array) -> Array:
        kind = _scalar_dtype(node)
        if kind in FLOATS:
            return np.asarray(function(x.astype(np.float64), node.scalar(default=1.0)))
        return np.asarray(function(x.astype(kind), np.dtype(kind).type(int(node.scalar(default=1.0)))))

    apply.__doc__ = f"{names[0]}: every element with the number `scalar`."


for _names, _binary_function in SCALAR.items():
    _with_scalar(_names, _binary_function)


def _numpy_comparison(name: str, function: Binary) -> None:
    @op(f"{name}_scalar", dtype="bool")
    def apply(node: Node, x: Array) -> Array:
        return np.asarray(function(x, node.scalar(default=1.0)))

    apply.__doc__ = f"{name} with the number `scalar`; answers booleans."


for _name, _binary_function in NUMPY_COMPARISONS.items():
    _numpy_comparison(_name, _binary_function)


@op("_npi_rtrue_divide_scalar", dtype=lambda node: node.dtypes[0] if node.dtypes[0] in FLOATS else "float32")
def rtrue_divide_scalar(node: Node, x: Array) -> Array:
    """scalar / x; integers become float32."""
    return np.true_divide(node.scalar(default=1.0), x)


@op("_npi_true_divide_scalar", dtype=lambda node: node.dtypes[0] if node.dtypes[0] in FLOATS else "float32")
def true_divide_scalar(node: Node, x: Array) -> Array:
    """x / scalar; integers become float32."""
    return np.true_divide(x, node.scalar(default=1.0))


@op("add_n", "ElementWiseSum", "_sparse_ElementWiseSum", "_sparse_add_n")
def add_n(node: Node, *xs: Array) -> Array:
    """The sum of all inputs."""
    return sum(xs[1:], xs[0])


@op("clip", "_sparse_clip", "_npi_clip")
def clip(node: Node, x: Array) -> Array:
    """Into [a_min, a_max]; what is not a number stays so."""
    low, high = node.scalar("a_min"), node.scalar("a_max")
    return np.where(x > high, high, np.where(x < low, low, x))


@op("hard_sigmoid")
def hard_sigmoid(node: Node, x: Array) -> Array:
    """min(1, max(0, alpha * x + beta)), alpha 0.2, beta 0.5."""
    return np.clip(node.attrs.float("alpha", 0.2) * x + node.attrs.float("beta", 0.5), 0.0, 1.0)


@op("smooth_l1", "_npx_smooth_l1")
def smooth_l1(node: Node, x: Array) -> Array:
    """(sigma x)^2 / 2 where |x| < 1 / sigma^2, else |x| - 1 / (2 sigma^2); sigma is `scalar`, 1 when absent."""
    squared = node.attrs.float("scalar", 1.0) ** 2
    return np.where(np.abs(x) > 1.0 / squared, np.abs(x) - 0.5 / squared, 0.5 * x * x * squared)


@op("_contrib_div_sqrt_dim")
def div_sqrt_dim(node: Node, x: Array) -> Array:
    """x / sqrt(size of the last axis)."""
    return x / math.sqrt(x.shape[-1])


@op("_contrib_quadratic")
def quadratic(node: Node, x: Array) -> Array:
    """a x^2 + b x + c."""
    a, b, c = (node.attrs.float(key, 0.0) for key in "abc")
    return a * x * x + b * x + c


@op("_contrib_round_ste", "_sparse__contrib_round_ste")
def round_ste(node: Node, x: Array) -> Array:
    """round, half away from zero."""
    return round_away(x)


@op("_contrib_sign_ste", "_sparse__contrib_sign_ste")
def sign_ste(node: Node, x: Array) -> Array:
    """sign."""
    return np.sign(x)
