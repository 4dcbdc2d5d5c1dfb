"""Rows of gateway/formats/mxnet/ops/broadcast.py: every spelling of every operation, and where integers differ."""

from __future__ import annotations

import numpy as np

from gateway.formats.mxnet.ops.broadcast import REVERSED, SCALARS, TENSORS
from tests.formats.mxnet.harness import Case

A = np.array([[-5.5, 5.5, 3.0, -3.0], [1.0, -0.25, 2.0, 2.0]], np.float32)
B = np.array([[3.0, -3.0, 0.5, 3.0], [-2.0, 0.75, 2.0, -2.0]], np.float32)
ROW, COLUMN = np.array([[2.0, -0.5, 3.0, 0.25]], np.float32), np.array([[0.5], [2.0]], np.float32)
BASE = np.array([[0.5, 1.5, 3.0, 2.0], [1.0, 0.25, 2.0, 4.0]], np.float32)
LEFT, RIGHT = np.array([[-7, 7, 5, -5], [2, 0, 3, 9]], np.int32), np.array([[2, -2, 3, 3], [2, 5, 3, -4]], np.int32)
LOGICAL = np.array([[0.0, 2.0, 0.0, -1.0], [1.0, 0.0, 3.0, 0.0]], np.float32)


def first(name: str) -> np.ndarray:
    return BASE if "pow" in name.lower() else LOGICAL if "logical" in name.lower() else A


NOT_MXNETS = ("__",)  # NNVM's own spellings, which MXNet 1.9 does not load: rows/old.py

CASES: dict[str, Case] = {}
for _spellings in TENSORS.values():
    for _name in _spellings:
        _other = (ROW if _name.startswith("broadcast_") else B) if "logical" not in _name.lower() else None
        if _other is None:
            _other = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
            _other = _other if _name.startswith("broadcast_") else np.repeat(_other, 2, 0)
        CASES[f"{_name}, two tensors"] = Case(_name, inputs={"a": first(_name), "b": _other})
for _spellings in SCALARS.values():
    for _name in _spellings:
        if not _name.startswith(NOT_MXNETS):
            CASES[f"{_name}, a number on the right"] = Case(
                _name, {"scalar": 0.0 if _spellings[0] == "_logical_or_scalar" else 2.0}, {"a": first(_name)}
            )
for _spellings in REVERSED.values():
    for _name in _spellings:
        if not _name.startswith(NOT_MXNETS):
            CASES[f"{_name}, the number on the left"] = Case(_name, {"scalar": 2.5}, {"a": A})
CASES |= {
    f"{name} of int32 goes as C does": Case(name, inputs={"a": LEFT, "b": RIGHT})
    for name in (
        "elemwise_add",
        "elemwise_div",
        "_mod",
        "_maximum",
        "_hypot",
        "_equal",
        "_lesser_equal",
        "_logical_xor",
    )
}
CASES |= {
    f"{name} of int32: 1.5 is 1": Case(name, {"scalar": 1.5}, {"a": LEFT})
    for name in ("_plus_scalar", "_rminus_scalar", "_mul_scalar", "_maximum_scalar", "_greater_scalar", "_hypot_scalar")
}
CASES |= {
    "int32 divided by 2 is cut towards zero": Case("_div_scalar", {"scalar": 2}, {"a": LEFT}),
    "int32 mod -3": Case("_mod_scalar", {"scalar": -3}, {"a": LEFT}),
    "int32 to the power 2": Case("_power_scalar", {"scalar": 2}, {"a": LEFT}),
    "3 divided by int32": Case("_rdiv_scalar", {"scalar": 3}, {"a": RIGHT}),
    "mod by zero is zero": Case("broadcast_mod", inputs={"a": A, "b": np.array([[0.0, 2.0, 0.0, -2.0]], np.float32)}),
    "int32 mod by zero is zero": Case(
        "_mod", inputs={"a": LEFT, "b": np.array([[0, 2, 0, -2], [1, 2, 3, 4]], np.int32)}
    ),
    "mod of equal signs": Case("broadcast_mod", inputs={"a": np.abs(A), "b": np.abs(ROW)}),
    "uint8 plus goes round": Case("_plus_scalar", {"scalar": 250}, {"a": np.array([3, 20, 255], np.uint8)}),
    "float16 plus": Case("_plus_scalar", {"scalar": 0.1}, {"a": A.astype(np.float16)}),
    "float64 plus": Case("elemwise_add", inputs={"a": A.astype(np.float64), "b": B.astype(np.float64)}),
    "two broadcasts at once": Case("broadcast_sub", inputs={"a": ROW, "b": COLUMN}),
    "broadcast over a middle axis": Case("broadcast_mul", inputs={"a": (2, 3, 4), "b": (2, 1, 4)}),
    "broadcast_add with a free batch": Case("broadcast_add", inputs={"a": (3, 2, 4), "b": (3, 1, 4)}, free=True),
    "the default scalar is 1": Case("_plus_scalar", inputs={"a": A}),
    "ArcFace's preprocessing, minus 127.5": Case(
        "_minus_scalar", {"scalar": "127.5"}, {"data": (1, 3, 4, 5)}, free=True
    ),
    "a tensor and itself": Case("elemwise_mul", inputs={"a": A, "b": A.copy()}),
    "add_n of three": Case("add_n", inputs={"a": A, "b": B, "c": BASE}),
    "ElementWiseSum of two": Case("ElementWiseSum", inputs={"a": A, "b": B}),
    "add_n of one": Case("add_n", inputs={"a": A}),
    "broadcast_to, 0 keeps": Case("broadcast_to", {"shape": "(0, 3, 4)"}, {"data": (2, 1, 4)}),
    "broadcast_to with a free batch": Case("broadcast_to", {"shape": "(0, 3, 4)"}, {"data": (2, 1, 4)}, free=True),
    "_npi_broadcast_to, a new axis": Case("_npi_broadcast_to", {"shape": "(5, 2, 4)"}, {"data": (2, 1)}),
    "broadcast_axis, one": Case("broadcast_axis", {"axis": 1, "size": 3}, {"data": (2, 1, 4)}),
    "broadcast_axes, two": Case("broadcast_axes", {"axis": "(0, 2)", "size": "(3, 5)"}, {"data": (1, 2, 1)}),
    "broadcast_like, all": Case("broadcast_like", inputs={"a": (2, 1, 4), "b": (2, 3, 4)}),
    "broadcast_like, a free batch": Case("broadcast_like", inputs={"a": (3, 1, 4), "b": (3, 2, 4)}, free=True),
    "broadcast_like, named axes": Case(
        "broadcast_like", {"lhs_axes": "(-1,)", "rhs_axes": "(0,)"}, {"a": (2, 3, 1), "b": (5, 2)}
    ),
    "where, same shape": Case("where", inputs={"c": LOGICAL, "a": A, "b": B}),
    "where, a value a row": Case("where", inputs={"c": np.array([0.0, 2.0], np.float32), "a": A, "b": B}),
    "_npi_where": Case("_npi_where", inputs={"c": LOGICAL, "a": A, "b": ROW}),
    "_npi_where_rscalar": Case("_npi_where_rscalar", {"scalar": 0.5}, {"c": LOGICAL, "a": A}),
    "_npi_where_lscalar": Case("_npi_where_lscalar", {"scalar": 0.5}, {"c": LOGICAL, "a": A}),
    "khatri_rao of three": Case("khatri_rao", inputs={"a": (2, 3), "b": (4, 3), "c": (2, 3)}),
    "different types are refused": Case("_npi_add", inputs={"a": A, "b": A.astype(np.float64)}, refused="one type"),
}
for _word in ("add", "subtract", "multiply", "true_divide", "power", "maximum", "minimum", "mod", "equal", "less",
              "less_equal", "greater", "greater_equal", "not_equal"):  # fmt: skip
    CASES[f"_npi_{_word} broadcasts"] = Case(f"_npi_{_word}", inputs={"a": first(_word), "b": ROW})
    CASES[f"_npi_{_word}_scalar"] = Case(
        f"_npi_{_word}_scalar",
        {"scalar": 1.5, "is_int": False},
        {"a": BASE if _word in ("power", "equal", "not_equal") else A},
    )
for _word in ("subtract", "true_divide", "power", "mod"):
    CASES[f"_npi_r{_word}_scalar"] = Case(f"_npi_r{_word}_scalar", {"scalar": 1.5, "is_int": False}, {"a": A})
