"""Rows of gateway/formats/mxnet/ops/elementwise.py: every function over values where a near miss shows."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

WIDE = (2, 3, 5)
SMALL = np.array([[-1e-6, 1e-6, 3e-5], [-0.5, 0.25, 0.75]], np.float32)
UNIT = np.linspace(-0.99, 0.99, 30, dtype=np.float32).reshape(WIDE)
POSITIVE = np.linspace(0.01, 9.0, 30, dtype=np.float32).reshape(WIDE)
ABOVE_ONE = POSITIVE + np.float32(1.0)
HALVES = np.array([-3.5, -2.5, -1.5, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.5, 2.5, 3.5], np.float32)
NEARLY_HALF = np.array([0.49999997, -0.49999997, 1.5, 8388609.0, -8388609.0], np.float32)
WHOLE = np.array([[-5, 3, 0], [7, -1, 2]], np.int32)
SIGNED = np.linspace(-4, 4, 30, dtype=np.float32).reshape(WIDE)
BYTES = np.array([3, 20, 255], np.uint8)

DOMAINS = {
    "sqrt": POSITIVE, "exp": SIGNED, "log": POSITIVE, "sin": SIGNED, "cos": SIGNED, "tan": UNIT, "arcsin": UNIT,
    "arccos": UNIT, "arctan": SIGNED, "sinh": SIGNED, "cosh": SIGNED, "tanh": SIGNED, "arcsinh": SIGNED,
    "arccosh": ABOVE_ONE, "arctanh": UNIT, "erf": SIGNED, "sigmoid": SIGNED, "softsign": SIGNED,
    "reciprocal": POSITIVE, "log1p": POSITIVE, "expm1": SIGNED, "log2": POSITIVE, "log10": POSITIVE,
    "degrees": SIGNED, "radians": SIGNED, "rsqrt": POSITIVE, "cbrt": SIGNED, "rcbrt": SIGNED, "floor": SIGNED,
    "ceil": SIGNED, "trunc": SIGNED, "fix": SIGNED, "round": SIGNED, "rint": SIGNED, "abs": SIGNED, "sign": SIGNED,
    "negative": SIGNED, "square": SIGNED, "relu": SIGNED, "logical_not": np.array([0, 1, -2, 0.5, 0], np.float32),
}  # fmt: skip
NUMPY = {
    "_npi_tanh": SIGNED, "_npi_exp": SIGNED, "_npi_log": POSITIVE, "_npi_sqrt": POSITIVE, "_npi_abs": SIGNED,
    "_npi_negative": SIGNED, "_npi_sin": SIGNED, "_npi_square": SIGNED, "_npi_cbrt": SIGNED, "_npi_log1p": POSITIVE,
    "_npi_floor": SIGNED, "_npi_rint": SIGNED, "_npx_relu": SIGNED, "_npx_sigmoid": SIGNED, "_npx_erf": SIGNED,
    "_npi_reciprocal": POSITIVE, "_npi_cos": SIGNED, "_npi_expm1": SIGNED, "_npi_sign": SIGNED, "_npi_ceil": SIGNED,
    "_npi_logical_not": np.array([0, 1, -2, 0.5, 0], np.float32),
}  # fmt: skip

CASES: dict[str, Case] = {
    f"{name} over its domain": Case(name, inputs={"data": values}) for name, values in DOMAINS.items()
}
CASES |= {f"{name}, numpy's spelling": Case(name, inputs={"data": values}) for name, values in NUMPY.items()}
CASES |= {
    f"{name} at halves": Case(name, inputs={"data": HALVES})
    for name in ("round", "rint", "fix", "trunc", "floor", "ceil")
}
CASES |= {
    f"{name} of int32": Case(name, inputs={"data": WHOLE})
    for name in ("abs", "sign", "negative", "square", "relu", "logical_not", "floor", "round")
}
CASES |= {
    f"{name} with a free batch": Case(name, inputs={"data": SIGNED}, free=True) for name in ("tanh", "round", "cbrt")
}
CASES |= {
    "round just under a half is 0": Case("round", inputs={"data": NEARLY_HALF}),
    "log1p of small numbers keeps them": Case("log1p", inputs={"data": SMALL[:1] * np.float32(0.1)}),
    "expm1 of small numbers keeps them": Case("expm1", inputs={"data": SMALL[:1] * np.float32(0.1)}),
    "float16 exp": Case("exp", inputs={"data": SIGNED.astype(np.float16)}),
    "float64 exp": Case("exp", inputs={"data": SIGNED.astype(np.float64)}),
    "uint8 square goes round": Case("square", inputs={"data": BYTES}),
    "int8 negative": Case("negative", inputs={"data": np.array([3, -20, 127], np.int8)}),
    "exp of integers is refused": Case("exp", inputs={"data": WHOLE}, refused="int32"),
    "float64 tan is refused": Case("tan", inputs={"data": UNIT.astype(np.float64)}, refused="float64"),
    "hard_sigmoid, defaults": Case("hard_sigmoid", inputs={"data": SIGNED}),
    "hard_sigmoid, both attributes": Case("hard_sigmoid", {"alpha": 0.31, "beta": 0.4}, {"data": SIGNED}),
    "smooth_l1, default": Case("smooth_l1", inputs={"data": SIGNED}),
    "smooth_l1, sigma 3": Case("smooth_l1", {"scalar": 3.0}, {"data": SIGNED}),
    "smooth_l1, sigma 0.5": Case("smooth_l1", {"scalar": 0.5}, {"data": SIGNED}),
    "clip both ends": Case("clip", {"a_min": -1.5, "a_max": 2.25}, {"data": SIGNED}),
    "clip integers": Case("clip", {"a_min": -2, "a_max": 4}, {"data": WHOLE}),
    "clip uint8": Case("clip", {"a_min": 10, "a_max": 200}, {"data": BYTES}),
    "clip, the ends exchanged": Case("clip", {"a_min": 1, "a_max": -1}, {"data": SIGNED}, refused="a_min 1 is above"),
    "_npi_clip": Case("_npi_clip", {"a_min": -1.5, "a_max": 2.25}, {"data": SIGNED}),
    "Cast cuts towards zero": Case("Cast", {"dtype": "int32"}, {"data": HALVES}),
    "Cast to float16": Case("Cast", {"dtype": "float16"}, {"data": SIGNED}),
    "cast to float64": Case("cast", {"dtype": "float64"}, {"data": SIGNED}),
    "cast to uint8": Case("cast", {"dtype": "uint8"}, {"data": POSITIVE}),
    "cast int to float": Case("Cast", {"dtype": "float32"}, {"data": WHOLE}),
    "cast to its own type": Case("Cast", {"dtype": "float32"}, {"data": SIGNED}),
    "amp_cast": Case("amp_cast", {"dtype": "float16"}, {"data": SIGNED}),
    "amp_multicast of one type": Case("amp_multicast", {"num_outputs": 2}, {"a": SIGNED, "b": UNIT}),
    "amp_multicast, narrowest": Case(
        "amp_multicast", {"num_outputs": 2, "cast_narrow": True}, {"a": SIGNED, "b": UNIT}
    ),
    "_copy": Case("_copy", inputs={"data": WIDE}),
    "identity": Case("identity", inputs={"data": WIDE}),
    "_np_copy": Case("_np_copy", inputs={"data": WIDE}),
    "_identity_with_attr_like_rhs": Case("_identity_with_attr_like_rhs", inputs={"a": WIDE, "b": WIDE}),
    "div_sqrt_dim divides by the last axis": Case("_contrib_div_sqrt_dim", inputs={"data": (2, 3, 7)}),
    "div_sqrt_dim with a free batch": Case("_contrib_div_sqrt_dim", inputs={"data": (3, 7)}, free=True),
    "quadratic": Case("_contrib_quadratic", {"a": 2.0, "b": -3.0, "c": 0.5}, {"data": WIDE}),
}
