"""Rows of numpy's spellings (`_np_`, `_npi_`, `_npx_`) that have no row beside their older names."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = (2, 3, 4)
SIGNED = np.linspace(-4, 4, 24, dtype=np.float32).reshape(X)
UNIT = np.linspace(-0.99, 0.99, 24, dtype=np.float32).reshape(X)
POSITIVE = np.linspace(0.01, 9.0, 24, dtype=np.float32).reshape(X)
INDEX = np.array([2, 0, 1], np.int64)
UNARY = {
    "arccos": UNIT, "arcsin": UNIT, "arctan": SIGNED, "arccosh": POSITIVE + np.float32(1), "arcsinh": SIGNED,
    "arctanh": UNIT, "cosh": SIGNED, "sinh": SIGNED, "tan": UNIT, "degrees": SIGNED, "radians": SIGNED, "fix": SIGNED,
    "trunc": SIGNED, "log2": POSITIVE, "log10": POSITIVE,
}  # fmt: skip

CASES = {f"_npi_{name}": Case(f"_npi_{name}", inputs={"data": values}) for name, values in UNARY.items()}
CASES |= {
    "_npi_hypot": Case("_npi_hypot", inputs={"a": SIGNED, "b": UNIT}),
    "_np_cumsum": Case("_np_cumsum", {"axis": 1}, {"data": X}),
    "_np_cumsum, flat": Case("_np_cumsum", inputs={"data": X}),
    "_np_dot, matrices": Case("_np_dot", inputs={"a": (2, 3), "b": (3, 4)}),
    "_np_dot, a matrix and a vector": Case("_np_dot", inputs={"a": (2, 3), "b": (3,)}),
    "_np_dot, vectors make a scalar": Case("_np_dot", inputs={"a": (3,), "b": (3,)}, flat=True),
    "_np_dot, three axes": Case("_np_dot", inputs={"a": (2, 3, 4), "b": (4, 5)}, refused="vectors and matrices"),
    "_np_repeat": Case("_np_repeat", {"repeats": 2, "axis": 1}, {"data": X}),
    "_np_squeeze": Case("_np_squeeze", {"axis": "(1,)"}, {"data": (2, 1, 3, 1)}),
    "_np_squeeze, all": Case("_np_squeeze", inputs={"data": (2, 1, 3, 1)}),
    "_npi_arange": Case("_npi_arange", {"start": 1, "stop": 7, "step": 2, "dtype": "float32"}),
    "_npi_eye": Case("_npi_eye", {"N": 3, "M": 4, "k": 1, "dtype": "float32"}),
    "_npi_full": Case("_npi_full", {"shape": "(2, 3)", "value": 1.5, "dtype": "float32"}, flat=True),
    "_npi_ones": Case("_npi_ones", {"shape": "(2, 3)", "dtype": "float32"}, flat=True),
    "_npi_zeros": Case("_npi_zeros", {"shape": "(2, 3)", "dtype": "int32"}, flat=True),
    "_npi_flip": Case("_npi_flip", {"axis": "(0, 2)"}, {"data": X}),
    "_npi_gather_nd": Case("_npi_gather_nd", inputs={"a": (3, 4), "i": np.array([[0, 2], [3, 1]], np.int64)}),
    "_npx_gather_nd": Case("_npx_gather_nd", inputs={"a": (3, 4), "i": np.array([[0, 2], [3, 1]], np.int64)}),
    "_npi_reshape": Case("_npi_reshape", {"newshape": "(4, -1)"}, {"data": X}),
    "_npi_rnn_param_concat": Case("_npi_rnn_param_concat", {"dim": 0}, {"a": (4,), "b": (6,)}),
    "_npi_slice": Case("_npi_slice", {"begin": "(0, 1)", "end": "(2, 3)", "step": "(1, 1)"}, {"data": X}),
    "_npi_swapaxes": Case("_npi_swapaxes", {"dim1": 0, "dim2": 2}, {"data": X}),
    "_npi_take": Case("_npi_take", {"axis": 1, "mode": "clip"}, {"a": X, "i": INDEX}),
    "_npi_tile": Case("_npi_tile", {"reps": "(2, 1)"}, {"data": (2, 3)}),
    "_npi_cast": Case("_npi_cast", {"dtype": "int32"}, {"data": SIGNED}),
    "_npx_cast": Case("_npx_cast", {"dtype": "float16"}, {"data": SIGNED}),
    "_npx_arange_like": Case("_npx_arange_like", {"axis": 1}, {"data": X}),
    "_npx_batch_dot": Case("_npx_batch_dot", {"transpose_b": True}, {"a": (2, 3, 4), "b": (2, 5, 4)}),
    "_npx_multibox_prior": Case("_npx_multibox_prior", {"sizes": "(0.3,)", "ratios": "(1, 2)"}, {"data": (1, 3, 4, 5)}),
    "_npx_one_hot": Case("_npx_one_hot", {"depth": 4}, {"i": INDEX}),
    "_npx_pick": Case("_npx_pick", {"axis": -1}, {"a": (3, 4), "i": np.array([1, 3, 0], np.float32)}),
    "_npx_reshape_like": Case("_npx_reshape_like", inputs={"a": X, "b": (4, 6)}),
    "_npx_roi_pooling": Case(
        "_npx_roi_pooling",
        {"pooled_size": "(2, 2)", "spatial_scale": 1.0},
        {"a": (1, 2, 6, 7), "r": np.array([[0, 0.5, 1, 4, 5], [0, 2, 2, 6, 3]], np.float32)},
    ),
    "_npx_sequence_mask": Case(
        "_npx_sequence_mask", {"use_sequence_length": True}, {"a": (4, 3, 2), "n": np.array([2, 4, 1], np.float32)}
    ),
    "_npx_shape_array": Case("_npx_shape_array", inputs={"data": X}),
    "_npx_smooth_l1": Case("_npx_smooth_l1", {"scalar": 2.0}, {"data": SIGNED}),
    "_npx_topk": Case("_npx_topk", {"k": 2, "ret_typ": "both"}, {"data": (3, 5)}),
}
