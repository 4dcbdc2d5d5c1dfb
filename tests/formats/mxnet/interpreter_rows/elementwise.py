"""Functions of one element, arithmetic of two, scalars, comparisons, in floats and integers."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

F = np.float32


def words(text: str) -> list[str]:
    return text.split()


PLAIN = np.array([[-2.5, -1.5, -0.7, 0.0, 0.3], [0.5, 1.5, 2.5, 3.2, 7.0]], F)
POSITIVE = np.array([[0.1, 0.5, 0.9, 1.0, 1.7], [2.0, 3.5, 8.0, 27.0, 100.0]], F)
UNIT = np.array([[-0.99, -0.5, -0.1, 0.0, 0.2], [0.3, 0.6, 0.8, 0.95, 0.999]], F)
ABOVE_ONE = np.array([[1.0, 1.2, 1.5, 2.0, 9.0]], F)

_ANYWHERE = words(
    "abs negative sign exp expm1 square floor ceil trunc fix rint round sin cos tan arctan sinh cosh tanh "
    "arcsinh degrees radians relu sigmoid softsign erf cbrt logical_not hard_sigmoid identity _copy BlockGrad "
    "stop_gradient MakeLoss _np_copy _npi_tanh _npi_exp _npx_relu _npx_sigmoid zeros_like ones_like "
    "_contrib_round_ste _contrib_sign_ste _contrib_div_sqrt_dim"
)
_POSITIVE = words("log log2 log10 log1p sqrt rsqrt rcbrt reciprocal gamma gammaln")
_UNIT = words("arcsin arccos arctanh erfinv")
FLAT = ("zeros_like", "ones_like")

UNARY = {
    **{f"{op} of a number": Case(op, {}, {"data": PLAIN}, flat=op in FLAT) for op in _ANYWHERE},
    **{f"{op} of a positive number": Case(op, {}, {"data": POSITIVE}) for op in _POSITIVE},
    **{f"{op} inside -1..1": Case(op, {}, {"data": UNIT}) for op in _UNIT},
    "arccosh from 1 on": Case("arccosh", {}, {"data": ABOVE_ONE}),
    "log of zero and below": Case("log", {}, {"data": np.array([1.0, 2.0, 0.0, -1.0], F)}),
    "sqrt of a negative": Case("sqrt", {}, {"data": np.array([4.0, 2.0, -1.0], F)}),
    "reciprocal of zero": Case("reciprocal", {}, {"data": np.array([4.0, 0.0, -0.0], F)}),
    "gamma of negatives": Case("gamma", {}, {"data": np.array([-0.5, -1.5, 3.0], F)}),
    "erfinv at the ends": Case("erfinv", {}, {"data": np.array([-1.0, 1.0, 0.5], F)}),
    "relu keeps what is not a number": Case("relu", {}, {"data": np.array([np.nan, -1.0, 2.0], F)}),
    "round: half away from zero": Case("round", {}, {"data": np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], F)}),
    "rint: half down": Case("rint", {}, {"data": np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], F)}),
    "abs of integers": Case("abs", {}, {"data": np.array([-3, 4], np.int32)}),
    "smooth_l1": Case("smooth_l1", {"scalar": 2.0}, {"data": PLAIN}),
    "smooth_l1: sigma 1": Case("smooth_l1", {"scalar": 1.0}, {"data": PLAIN}),
    "hard sigmoid: alpha, beta": Case("hard_sigmoid", {"alpha": 0.5, "beta": 0.1}, {"data": PLAIN}),
    "clip": Case("clip", {"a_min": -1, "a_max": 2.2}, {"data": PLAIN}),
    "clip: a bound is rounded to float32": Case("clip", {"a_min": 0.1, "a_max": 0.3}, {"data": PLAIN}),
    "quadratic": Case("_contrib_quadratic", {"a": 2, "b": -1, "c": 0.5}, {"data": PLAIN}),
    "add_n": Case("add_n", {}, {"a": (2, 3), "b": (2, 3), "c": (2, 3)}),
    "sum of elements by its old name": Case("ElementWiseSum", {}, {"a": (2, 3), "b": (2, 3)}),
}

_TYPES = ("float32", "float64", "float16", "int32", "int64", "int8", "uint8", "bool")
CASTS = {
    **{f"cast to {kind}": Case("Cast", {"dtype": kind}, {"data": np.abs(PLAIN)}) for kind in _TYPES},
    "cast of negatives to int32": Case("Cast", {"dtype": "int32"}, {"data": PLAIN}),
    "cast of int64 to float32": Case("cast", {"dtype": "float32"}, {"data": np.array([1, 2**40 + 1], np.int64)}),
    "cast of float16 to float32": Case("amp_cast", {"dtype": "float32"}, {"data": PLAIN.astype(np.float16)}),
}

A = np.array([[3.0, -3.0, 2.0, 0.5, 1.0]], F).repeat(3, 0) + np.array([[0], [1], [-2]], F)
B = np.array([[2.0, 2.0, -2.0, 0.5, 3.0]], F).repeat(3, 0)
ZEROS = np.array([[0, 0, 1, 2, 0]], F)
AP = np.abs(A) + F(0.5)
_TWO = words(
    "elemwise_add elemwise_sub elemwise_mul elemwise_div _plus _minus _mul _div _Plus _Minus _Mul _Div _add "
    "_sub _grad_add _mod _maximum _minimum _hypot _equal _not_equal _greater _greater_equal _lesser "
    "_lesser_equal _logical_and _logical_or _logical_xor _Maximum _Minimum"
)
_BROADCAST = words(
    "add plus sub minus mul div mod maximum minimum hypot equal not_equal greater greater_equal lesser "
    "lesser_equal logical_and logical_or logical_xor"
)
WHOLE, BY = np.array([[7, -7, 7, -7, 0]], np.int32), np.array([[2, 2, -2, -2, 5]], np.int32)
BINARY = {
    **{
        f"{op} of two": Case(op, {}, {"a": ZEROS.repeat(3, 0) if "ogical" in op else A, "b": B * (B < 3)})
        for op in _TWO
    },
    "_power of two": Case("_power", {}, {"a": AP, "b": B}),
    **{
        f"broadcast_{op}": Case(
            f"broadcast_{op}", {}, {"a": ZEROS.repeat(3, 0) if "logical" in op else A, "b": B[:1] * (B[:1] < 3)}
        )
        for op in _BROADCAST
    },
    "broadcast_power, both sides": Case("broadcast_power", {}, {"a": AP[:, :1], "b": B[:1]}),
    "power of a negative": Case("_power", {}, {"a": np.array([-2, -2, -8], F), "b": np.array([2, 3, 0.5], F)}),
    "mod has the sign of the divisor": Case(
        "_mod", {}, {"a": np.array([5, -5, 5, -5, 5.5], F), "b": np.array([3, 3, -3, -3, 0], F)}
    ),
    "division by zero": Case("elemwise_div", {}, {"a": np.array([1, -1, 0, 2], F), "b": np.array([0, 0, 0, 4], F)}),
    "logical of fractions": Case(
        "broadcast_logical_and", {}, {"a": np.array([0.5, 0.0, -0.25], F), "b": np.array([1, 1, 0.1], F)}
    ),
    **{
        f"{op} of integers": Case(op, {}, {"a": WHOLE, "b": BY})
        for op in (
            "elemwise_add",
            "elemwise_mul",
            "elemwise_div",
            "broadcast_mod",
            "broadcast_maximum",
            "broadcast_greater",
        )
    },
    **{
        f"_npi_{op}": Case(f"_npi_{op}", {}, {"a": AP, "b": B})
        for op in ("add", "subtract", "multiply", "power", "mod", "maximum", "true_divide")
    },
    **{
        f"_npi_{op} answers booleans": Case(f"_npi_{op}", {}, {"a": A, "b": B})
        for op in ("less", "less_equal", "greater", "equal")
    },
}

_SCALARS = words(
    "_plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar _mod_scalar _rmod_scalar "
    "_maximum_scalar _minimum_scalar _hypot_scalar _equal_scalar _not_equal_scalar _greater_scalar "
    "_greater_equal_scalar _lesser_scalar _lesser_equal_scalar _logical_and_scalar _logical_or_scalar "
    "_logical_xor_scalar _PlusScalar _MinusScalar _RMinusScalar _MulScalar _DivScalar _RDivScalar "
    "_MaximumScalar _MinimumScalar _npi_add_scalar _npi_subtract_scalar _npi_multiply_scalar "
    "_npi_true_divide_scalar"
)
_FLAT_SCALARS = ("_logical_or_scalar",)
C = np.array([[-3.0, -1.0, 0.0, 0.5, 1.5, 2.0]], F)
SCALARS = {
    **{f"{op} by 1.5": Case(op, {"scalar": 1.5}, {"data": C}, flat=op in _FLAT_SCALARS) for op in _SCALARS},
    "_logical_or_scalar by 0": Case("_logical_or_scalar", {"scalar": 0.0}, {"data": C}),
    **{
        f"{op} by 1.5": Case(op, {"scalar": 1.5}, {"data": np.abs(C) + F(0.1)})
        for op in ("_power_scalar", "_PowerScalar", "_rpower_scalar", "_npi_power_scalar")
    },
    "a scalar is rounded to float32 before it is compared": Case(
        "_equal_scalar", {"scalar": 0.1}, {"data": np.array([0.1, 0.2], F)}
    ),
    "insightface's first nodes": Case("_minus_scalar", {"scalar": 127.5}, {"data": np.array([0, 127.5, 255], F)}),
    "integers by a whole number": Case("_mul_scalar", {"scalar": 3, "is_int": True}, {"data": WHOLE}),
    "integers divided truncate": Case("_div_scalar", {"scalar": 2, "is_int": True}, {"data": WHOLE}),
    "integers by a fraction become float64": Case("_mul_scalar", {"scalar": 0.5, "is_int": False}, {"data": WHOLE}),
    "integers by a fraction that says it is whole": Case(
        "_plus_scalar", {"scalar": 1.7, "is_int": True}, {"data": WHOLE}
    ),
    "uint8 wraps": Case("_plus_scalar", {"scalar": 200, "is_int": True}, {"data": np.array([1, 100, 200], np.uint8)}),
    "comparison of integers": Case("_greater_scalar", {"scalar": 1, "is_int": True}, {"data": WHOLE}),
    "float16 stays float16": Case("_plus_scalar", {"scalar": 0.1}, {"data": C.astype(np.float16)}),
    "float64 stays float64": Case("_mul_scalar", {"scalar": 0.1}, {"data": C.astype(np.float64)}),
}

OTHERS = {
    "_npi_true_divide of integers is float32": Case("_npi_true_divide", {}, {"a": WHOLE, "b": BY}),
    "_npi_true_divide_scalar of integers is float32": Case("_npi_true_divide_scalar", {"scalar": 2}, {"data": WHOLE}),
    "_npi_rtrue_divide_scalar of integers is float32": Case("_npi_rtrue_divide_scalar", {"scalar": 3}, {"data": BY}),
    "booleans and a whole number are int64": Case("_npi_add_scalar", {"scalar": 2}, {"data": np.array([True, False])}),
    "booleans and a fraction are float64": Case(
        "_npi_multiply_scalar", {"scalar": 2.5, "is_int": False}, {"data": np.array([True, False])}
    ),
    "a cast to float16 rounds, there and back": Case(
        "", {}, {"data": POSITIVE}, graph="tests.formats.mxnet.interpreter_rows.graphs:halves"
    ),
}

ROWS = {**OTHERS, **UNARY, **CASTS, **BINARY, **SCALARS}
