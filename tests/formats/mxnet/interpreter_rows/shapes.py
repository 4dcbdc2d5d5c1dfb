"""Shapes, slices, joins, reductions, orderings, indices, products, sequences, creation."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

F = np.float32
X = {"data": (2, 3, 4, 5)}
M = {"data": (3, 4)}
TIES = {"data": np.array([[1, 3, 3, 2, 3], [0, 0, -1, -1, 0]], F)}
I64 = np.int64


def reshape(shape: str, **attrs: object) -> Case:
    return Case("Reshape", {"shape": shape, **attrs}, X)


SHAPES = {
    "reshape: 0 copies, -1 infers": reshape("(0, -1)"),
    "reshape: -2 copies the rest": reshape("(6, 1, -2)"),
    "reshape: -3 merges two": reshape("(-3, -3)"),
    "reshape: -4 splits, -1 inside": reshape("(0, 0, -4, -1, 2, 0)"),
    "reshape: -4 with both factors": reshape("(-4, 1, 2, -2)"),
    "reshape: -1 after a copy": reshape("(0, 0, -1, 1)"),
    "reshape: -1 before a split": reshape("(0, -1, -4, 2, 2, 0)"),
    "reshape: reverse, 0 counts from the right": reshape("(-1, 0)", reverse=True),
    "reshape: reverse, -4 from the right": reshape("(2, 3, 2, 2, -4, 0)", reverse=True),
    "reshape: reverse, -3": reshape("(0, -3, 0)", reverse=True),
    "reshape: target_shape, 0 infers": Case("Reshape", {"target_shape": "(2, 0)"}, X),
    "reshape: keep_highest": Case("Reshape", {"target_shape": "(7, 0)", "keep_highest": True}, X),
    "npx_reshape: -2 copies, -6 splits, -5 merges": Case("_npx_reshape", {"newshape": "(-2, -5, -6, 5, -1)"}, X),
    "npx_reshape: -4 the rest": Case("_npx_reshape", {"newshape": "(6, -1, -4)"}, {"data": (6, 1, 4, 5)}),
    "flatten": Case("Flatten", {}, X),
    "reshape_like": Case("reshape_like", {}, {"data": (6, 4), "like": (2, 3, 4)}),
    "reshape_like of some axes": Case(
        "reshape_like",
        {"lhs_begin": 0, "lhs_end": 1, "rhs_begin": 0, "rhs_end": 2},
        {"data": (6, 4), "like": (2, 3, 7)},
    ),
    "shape_array": Case("shape_array", {}, X),
    "size_array": Case("size_array", {}, X),
    "transpose turns the axes round": Case("transpose", {}, X),
    "transpose: axes": Case("transpose", {"axes": "(0, 2, 3, 1)"}, X),
    "swap axes": Case("SwapAxis", {"dim1": 1, "dim2": 3}, X),
    "swapaxes": Case("swapaxes", {"dim1": 0, "dim2": 2}, X),
    "expand_dims: negative": Case("expand_dims", {"axis": -1}, M),
    "squeeze: all": Case("squeeze", {}, {"data": (1, 3, 1, 4)}),
    "squeeze: axis": Case("squeeze", {"axis": "(2,)"}, {"data": (1, 3, 1, 4)}),
    "broadcast_to: 0 keeps": Case("broadcast_to", {"shape": "(2, 0, 4)"}, {"data": (1, 3, 1)}),
    "broadcast_axis": Case("broadcast_axis", {"axis": "(0, 2)", "size": "(2, 4)"}, {"data": (1, 3, 1)}),
    "broadcast_axes": Case("broadcast_axes", {"axis": "2", "size": "5"}, {"data": (1, 3, 1)}),
    "broadcast_like": Case("broadcast_like", {}, {"data": (1, 3, 1), "like": (2, 3, 4)}),
    "broadcast_like: axes": Case(
        "broadcast_like", {"lhs_axes": "(2,)", "rhs_axes": "(0,)"}, {"data": (1, 3, 1), "like": (6, 2)}
    ),
    "slice: None, negative ends": Case("slice", {"begin": "(None, 1, -3)", "end": "(None, 3, -1)"}, X),
    "slice: steps": Case("slice", {"begin": "(0, 2)", "end": "(2, None)", "step": "(1, -2)"}, X),
    "slice: step backwards to the start": Case(
        "slice", {"begin": "(None, None)", "end": "(None, None)", "step": "(-1, -2)"}, X
    ),
    "slice_axis": Case("slice_axis", {"axis": -1, "begin": 1, "end": -1}, X),
    "slice_axis: to the end": Case("slice_axis", {"axis": 1, "begin": -2, "end": None}, X),
    "slice_like: no axes means all": Case("slice_like", {}, {"data": (4, 5), "like": (2, 3)}),
    "slice_like: axes": Case("slice_like", {"axes": "(1, -1)"}, {"data": (2, 5, 6), "like": (9, 3, 4)}),
    "crop: like": Case("Crop", {"num_args": 2}, {"data": (1, 2, 8, 9), "like": (1, 7, 4, 5)}),
    "crop: offset": Case("Crop", {"num_args": 1, "offset": "(1, 2)", "h_w": "(4, 3)"}, {"data": (1, 2, 8, 9)}),
    "crop: in the middle": Case(
        "Crop", {"num_args": 2, "center_crop": True}, {"data": (1, 2, 8, 9), "like": (1, 2, 5, 4)}
    ),
    "concat: axis 1 by default": Case("Concat", {}, {"a": (2, 3), "b": (2, 4)}),
    "concat: dim": Case("concat", {"dim": 0}, {"a": (2, 3), "b": (1, 3), "c": (4, 3)}),
    "rnn parameters joined": Case("_rnn_param_concat", {"dim": 0}, {"a": (6,), "b": (4,)}),
    "stack": Case("stack", {"axis": 1}, {"a": (2, 3), "b": (2, 3)}),
    "stack: negative axis": Case("stack", {"axis": -1}, {"a": (2, 3), "b": (2, 3)}),
    "slice channel: axis 1": Case("SliceChannel", {"num_outputs": 2}, {"data": (2, 4, 3)}),
    "slice channel: squeezed": Case(
        "SliceChannel", {"num_outputs": 3, "axis": -1, "squeeze_axis": True}, {"data": (2, 4, 3)}
    ),
    "split": Case("split", {"num_outputs": 2, "axis": 0}, {"data": (2, 4)}),
    "split_v2: sections": Case("_split_v2", {"sections": 2, "axis": 1, "indices": "()"}, {"data": (2, 4, 3)}),
    "split_v2: indices": Case("_split_v2", {"indices": "(0, 1, 3)", "axis": 1}, {"data": (2, 4, 3)}),
    "pad: constant": Case("Pad", {"mode": "constant", "pad_width": "(0,0,0,0,1,2,3,0)", "constant_value": 2.5}, X),
    "pad: constant is 0 by default": Case("Pad", {"mode": "constant", "pad_width": "(0,0,0,0,1,2,3,0)"}, X),
    "npx_reshape: -6 infers its first": Case("_npx_reshape", {"newshape": "(-2, -6, -1, 3, -4)"}, {"data": (2, 6, 4)}),
    "npx_reshape: -1 after -6": Case("_npx_reshape", {"newshape": "(-6, 3, 2, -1)"}, {"data": (6, 4, 5)}),
    "npx_reshape: -3 drops a 1": Case("_npx_reshape", {"newshape": "(-2, -3, -1)"}, {"data": (6, 1, 4, 5)}),
    "reshape_like: ends from the back": Case(
        "reshape_like",
        {"lhs_begin": -3, "lhs_end": -1, "rhs_begin": -2, "rhs_end": None},
        {"data": (2, 4, 3, 5), "like": (7, 6, 2)},
    ),
    "pad: edge": Case("pad", {"mode": "edge", "pad_width": "(0,0,0,0,1,2,3,0)"}, X),
    "pad: reflect": Case("Pad", {"mode": "reflect", "pad_width": "(0,0,0,0,1,2,3,1)"}, X),
    "tile: fewer reps than axes": Case("tile", {"reps": "(2, 3)"}, {"data": (2, 1, 2)}),
    "tile: more reps than axes": Case("tile", {"reps": "(2, 1, 3)"}, M),
    "repeat: flattened": Case("repeat", {"repeats": 2}, M),
    "repeat: axis": Case("repeat", {"repeats": 3, "axis": 1}, M),
    "reverse": Case("reverse", {"axis": "(0, 2)"}, X),
    "flip": Case("flip", {"axis": 1}, M),
    "depth_to_space": Case("depth_to_space", {"block_size": 2}, {"data": (2, 12, 3, 2)}),
    "space_to_depth": Case("space_to_depth", {"block_size": 2}, {"data": (2, 3, 4, 6)}),
    "diag of a vector": Case("diag", {"k": 1}, {"data": (4,)}),
    "diag of a matrix": Case("diag", {"k": -1}, M),
    "diag of two axes": Case("diag", {"axis1": 1, "axis2": -1}, X),
    "index_array": Case("_contrib_index_array", {"axes": "(1, 0)"}, M),
}

REDUCTIONS = {
    **{
        f"{op} over everything": Case(op, {}, M)
        for op in ("sum", "mean", "prod", "max", "min", "nansum", "nanprod", "norm")
    },
    **{
        f"{op} over one axis": Case(op, {"axis": 1}, X)
        for op in ("sum", "mean", "prod", "max", "min", "sum_axis", "max_axis", "min_axis", "norm")
    },
    **{
        f"{op} keeps axes": Case(op, {"axis": "(0, -1)", "keepdims": True}, X)
        for op in ("sum", "mean", "prod", "max", "min")
    },
    **{f"{op} of the others": Case(op, {"axis": "(1,)", "exclude": True}, X) for op in ("sum", "mean", "max", "min")},
    "mean of integers": Case("mean", {"axis": 1}, {"data": np.array([[1, 2, 4], [-5, 0, 1]], np.int32)}),
    "nansum": Case("nansum", {"axis": 1}, {"data": np.array([[1, np.nan, 2], [3, 4, np.nan]], F)}),
    "nanprod": Case("nanprod", {"axis": 0}, {"data": np.array([[1, np.nan, 2], [3, 4, np.nan]], F)}),
    "norm: order 1": Case("norm", {"ord": 1, "axis": 1}, M),
    "norm: of matrices": Case("norm", {"ord": 2, "axis": "(1, 2)"}, {"data": (2, 3, 4)}),
    "norm: order 1 of matrices": Case("norm", {"ord": 1, "axis": "(1, 2)"}, {"data": (2, 3, 4)}),
    "moments": Case("moments", {"axes": "(0, 2)"}, X),
    "argmax: of the flattened": Case("argmax", {}, M),
    "argmax: first of equals, float32": Case("argmax", {"axis": 1}, TIES),
    "argmax: keepdims": Case("argmax", {"axis": 1, "keepdims": True}, X),
    "argmin: first of equals": Case("argmin", {"axis": -1}, TIES),
    "argmax of integers is an integer": Case(
        "argmax", {"axis": 1}, {"data": np.array([[1, 5, 2], [7, 0, 1]], np.int32)}
    ),
    "argmax_channel": Case("argmax_channel", {}, TIES),
    "sort": Case("sort", {"axis": 1}, X),
    "sort: descending": Case("sort", {"is_ascend": False}, M),
    "sort: flattened": Case("sort", {"axis": None}, M),
    "argsort": Case("argsort", {}, M),
    "argsort: equals keep their order": Case("argsort", {}, TIES),
    "argsort: descending equals": Case("argsort", {"is_ascend": False, "dtype": "int32"}, TIES),
    "argsort: flattened": Case("argsort", {"axis": None}, M),
    "topk: places": Case("topk", {"k": 2}, M),
    "topk: equals": Case("topk", {"k": 4}, TIES),
    "topk: values": Case("topk", {"k": 2, "ret_typ": "value", "axis": 0}, M),
    "topk: both, ascending": Case("topk", {"k": 2, "ret_typ": "both", "is_ascend": True, "dtype": "int64"}, M),
    "topk: mask": Case("topk", {"k": 2, "ret_typ": "mask"}, M),
    "topk: k 0 is all": Case("topk", {"k": 0, "axis": 1}, M),
    "topk: flattened": Case("topk", {"k": 3, "axis": None}, M),
    "cumsum": Case("cumsum", {"axis": 1}, M),
    "cumsum: flattened": Case("cumsum", {}, M),
    "histogram": Case("_histogram", {"bin_cnt": 4, "range": "(-1.0, 2.0)"}, M),
    "all_finite": Case("all_finite", {}, {"data": np.array([1, np.inf], F)}, flat=True),
    "multi_sum_sq": Case("multi_sum_sq", {"num_arrays": 2}, {"a": (2, 3), "b": (4,)}),
    "allclose": Case("_contrib_allclose", {}, {"a": np.array([1.0], F), "b": np.array([1.0 + 1e-6], F)}, flat=True),
}

INDICES = np.array([[0, 2], [-1, 7]], F)
INDEXING = {
    "take: clips": Case("take", {}, {"data": (4, 3), "at": INDICES}),
    "take: wraps, axis 1": Case("take", {"mode": "wrap", "axis": 1}, {"data": (2, 5), "at": INDICES}),
    "take: negative axis": Case("take", {"axis": -1}, {"data": (2, 3, 5), "at": np.array([4, 1, 1], F)}),
    "batch_take": Case("batch_take", {}, {"data": (3, 4), "at": np.array([1, 3, 0], np.int32)}),
    "pick: last axis": Case("pick", {}, {"data": (2, 3), "at": np.array([2, 9], F)}),
    "pick: keepdims, axis 0, wrap": Case(
        "pick", {"axis": 0, "keepdims": True, "mode": "wrap"}, {"data": (2, 3), "at": np.array([1, 2, -1], F)}
    ),
    "gather_nd: from the back": Case("gather_nd", {}, {"data": (3, 4), "at": np.array([[-1, 1], [3, -2]], F)}),
    "gather_nd": Case("gather_nd", {}, {"data": (3, 4, 2), "at": np.array([[0, 2, 1], [3, 1, 0]], F)}),
    "scatter_nd": Case("scatter_nd", {"shape": "(3, 4)"}, {"data": (3,), "at": np.array([[0, 2, 1], [3, 1, 0]], F)}),
    "one_hot: outside is all off": Case(
        "one_hot", {"depth": 3, "on_value": 2, "off_value": -1}, {"data": np.array([[0, 2], [3, -1]], F)}
    ),
    "one_hot: dtype": Case("one_hot", {"depth": 3, "dtype": "int32"}, {"data": np.array([0, 2], F)}),
    "where": Case("where", {}, {"c": np.array([[1, 0], [0, -2]], F), "x": (2, 2), "y": (2, 2)}),
    "where: a condition by rows": Case("where", {}, {"c": np.array([1, 0, 0.5], F), "x": (3, 2), "y": (3, 2)}),
    "unravel_index": Case("_unravel_index", {"shape": "(3, 4)"}, {"data": np.array([5, 11, 0], F)}),
    "ravel_multi_index": Case("_ravel_multi_index", {"shape": "(3, 4)"}, {"data": np.array([[1, 2, 0], [1, 3, 0]], F)}),
    "index_copy": Case("_contrib_index_copy", {}, {"old": (4, 2), "at": np.array([2, 0], np.int64), "new": (2, 2)}),
    "slice_assign": Case("_slice_assign", {"begin": "(0, 1)", "end": "(2, 3)"}, {"data": (3, 4), "values": (2, 2)}),
    "slice_assign_scalar": Case(
        "_slice_assign_scalar", {"begin": "(0, 1)", "end": "(2, 3)", "scalar": 7}, {"data": (3, 4)}
    ),
    "numpy's where with a scalar": Case(
        "_npi_where_rscalar", {"scalar": 3.5}, {"c": np.array([1, 0, 2], F), "x": (3,)}
    ),
}

SPD = np.array([[[4, 1, 0.5], [1, 3, 0.2], [0.5, 0.2, 2]]], F)
TRI = np.tril(SPD)
PRODUCTS = {
    "dot of matrices": Case("dot", {}, {"a": (3, 4), "b": (4, 5)}),
    "dot: both turned": Case("dot", {"transpose_a": True, "transpose_b": True}, {"a": (4, 3), "b": (5, 4)}),
    "dot of vectors is of shape (1,)": Case("dot", {}, {"a": (4,), "b": (4,)}),
    "dot of more axes": Case("dot", {}, {"a": (2, 3, 4), "b": (4, 5, 2)}),
    "dot of more axes, first turned": Case("dot", {"transpose_a": True}, {"a": (4, 2, 3), "b": (4, 5)}),
    "dot of more axes, second turned": Case("dot", {"transpose_b": True}, {"a": (2, 3, 4), "b": (5, 2, 4)}),
    "batch_dot": Case("batch_dot", {}, {"a": (2, 3, 4), "b": (2, 4, 5)}),
    "batch_dot: turned": Case(
        "batch_dot", {"transpose_a": True, "transpose_b": True}, {"a": (2, 4, 3), "b": (2, 5, 4)}
    ),
    "khatri_rao": Case("khatri_rao", {"num_args": 2}, {"a": (2, 3), "b": (4, 3)}),
    "gemm": Case(
        "_linalg_gemm", {"alpha": 2, "beta": 0.5, "transpose_b": True}, {"a": (2, 3, 4), "b": (2, 5, 4), "c": (2, 3, 5)}
    ),
    "gemm2": Case("_linalg_gemm2", {"alpha": 2, "transpose_a": True}, {"a": (2, 4, 3), "b": (2, 4, 5)}),
    "gemm2: axis": Case("_linalg_gemm2", {"axis": 0}, {"a": (3, 2, 4), "b": (4, 2, 5)}),
    "potrf": Case("_linalg_potrf", {}, {"a": SPD}),
    "potri": Case("_linalg_potri", {}, {"a": TRI}),
    "trmm": Case("_linalg_trmm", {"alpha": 2}, {"a": TRI, "b": (1, 3, 2)}),
    "trmm: turned, from the right": Case(
        "_linalg_trmm", {"transpose": True, "rightside": True}, {"a": TRI, "b": (1, 2, 3)}
    ),
    "trsm": Case("_linalg_trsm", {"alpha": 2}, {"a": TRI, "b": (1, 3, 2)}),
    "trsm: from the right": Case("_linalg_trsm", {"rightside": True}, {"a": TRI, "b": (1, 2, 3)}),
    "trsm: turned": Case("_linalg_trsm", {"transpose": True}, {"a": TRI, "b": (1, 3, 2)}),
    "syrk": Case("_linalg_syrk", {"alpha": 2}, {"a": (2, 3, 4)}),
    "syrk: turned": Case("_linalg_syrk", {"transpose": True}, {"a": (2, 3, 4)}),
    "sumlogdiag": Case("_linalg_sumlogdiag", {}, {"a": SPD}),
    "extractdiag": Case("_linalg_extractdiag", {"offset": 1}, {"a": (2, 3, 3)}),
    "makediag": Case("_linalg_makediag", {"offset": -1}, {"a": (2, 3)}),
    "makediag of more axes": Case("_linalg_makediag", {"offset": 2}, {"a": (2, 3, 4)}),
    "extracttrian": Case("_linalg_extracttrian", {}, {"a": (2, 3, 3)}),
    "extracttrian: upper": Case("_linalg_extracttrian", {"offset": 1}, {"a": (2, 3, 3)}),
    "extracttrian: lower, below the diagonal": Case("_linalg_extracttrian", {"offset": -1}, {"a": (2, 4, 4)}),
    "maketrian": Case("_linalg_maketrian", {}, {"a": (2, 6)}),
    "maketrian: upper": Case("_linalg_maketrian", {"lower": False}, {"a": (2, 6)}),
    "maketrian: above the diagonal": Case("_linalg_maketrian", {"offset": 1}, {"a": (2, 3)}),
    "inverse": Case("_linalg_inverse", {}, {"a": SPD}),
    "det": Case("_linalg_det", {}, {"a": (2, 3, 3)}),
    "slogdet": Case("_linalg_slogdet", {}, {"a": np.stack([SPD[0], 2 * SPD[0][::-1]])}),
    "attention: q k": Case("_contrib_interleaved_matmul_selfatt_qk", {"heads": 2}, {"qkv": (5, 3, 24)}),
    "attention: values": Case(
        "_contrib_interleaved_matmul_selfatt_valatt", {"heads": 2}, {"qkv": (5, 3, 24), "a": (6, 5, 5)}
    ),
    "attention of two: q k": Case(
        "_contrib_interleaved_matmul_encdec_qk", {"heads": 2}, {"q": (4, 3, 8), "kv": (5, 3, 16)}
    ),
    "attention of two: values": Case(
        "_contrib_interleaved_matmul_encdec_valatt", {"heads": 2}, {"kv": (5, 3, 16), "a": (6, 4, 5)}
    ),
}

T = {"data": (4, 3, 2)}
COUNTS = {"length": np.array([2, 4, 1], F)}
USE = {"use_sequence_length": True}
SEQUENCES = {
    "sequence mask": Case("SequenceMask", {**USE, "value": -5}, {**T, **COUNTS}),
    "sequence mask: batch first": Case("SequenceMask", {**USE, "axis": 1}, {"data": (3, 4, 2), **COUNTS}),
    "sequence mask: without lengths": Case("SequenceMask", {}, T),
    "sequence last": Case("SequenceLast", USE, {**T, **COUNTS}),
    "sequence last: batch first": Case("SequenceLast", {**USE, "axis": 1}, {"data": (3, 4, 2), **COUNTS}),
    "sequence last: without lengths": Case("SequenceLast", {}, T),
    "sequence reverse": Case("SequenceReverse", USE, {**T, **COUNTS}),
    "sequence reverse: without lengths": Case("SequenceReverse", {}, T),
}

CREATED = {
    "eye": Case("_eye", {"N": 3, "M": 0, "dtype": "float32"}),
    "linspace without its end": Case("_linspace", {"start": 1, "stop": 3, "num": 5, "endpoint": False}),
    "arange_like": Case("_contrib_arange_like", {"start": 1, "step": 0.5}, M),
    "arange_like: axis": Case("_contrib_arange_like", {"axis": 1}, M),
    "arange_like: repeat": Case("_contrib_arange_like", {"repeat": 2, "axis": 1}, M),
}

NUMPY = {
    "_npi_column_stack of vectors": Case("_npi_column_stack", {}, {"a": (3,), "b": (3,)}),
    "_npi_var, ddof": Case("_npi_var", {"axis": "(1,)", "ddof": 1}, M),
    "_np_roll": Case("_np_roll", {"shift": "(1,)", "axis": "(1,)"}, M),
    "_np_trace": Case("_np_trace", {"offset": 1, "axis1": 1, "axis2": 2}, X),
    "_npi_tril": Case("_npi_tril", {"k": 1}, M),
    "_npi_diff": Case("_npi_diff", {"n": 2}, X),
    "_npi_rot90": Case("_npi_rot90", {"k": 1, "axes": "(0, 2)"}, X),
    "_npi_arctan2": Case("_npi_arctan2", {}, {"a": (2, 3), "b": (2, 3)}),
    "_npi_tensordot": Case(
        "_npi_tensordot", {"a_axes_summed": "(1, 0)", "b_axes_summed": "(0, 2)"}, {"a": (2, 3, 4), "b": (3, 5, 2)}
    ),
    "_npi_einsum": Case("_npi_einsum", {"subscripts": "ij,jk->ki"}, {"a": (2, 3), "b": (3, 4)}),
    "_npi_isposinf": Case("_npi_isposinf", {}, {"data": np.array([np.inf, -np.inf, 1], F)}),
    "_npi_isneginf": Case("_npi_isneginf", {}, {"data": np.array([np.inf, -np.inf, 1], F)}),
    **{f"_np_{op} over one axis": Case(f"_np_{op}", {"axis": "(1,)"}, M) for op in ("sum", "prod", "max", "min")},
    **{f"_np_{op} keeps axes": Case(f"_np_{op}", {"axis": "(0, 1)", "keepdims": True}, X) for op in ("sum", "max")},
    "_npi_mean": Case("_npi_mean", {"axis": "(0,)"}, M),
    "_np_dot of matrices": Case("_np_dot", {}, {"a": (3, 4), "b": (4, 5)}),
    "_npi_matmul broadcasts": Case("_npi_matmul", {}, {"a": (2, 1, 3, 4), "b": (5, 4, 2)}),
    "gelqf": Case("_linalg_gelqf", {}, {"a": (2, 3, 4)}),
    "cast_storage": Case("cast_storage", {"stype": "default"}, M),
    "_npi_arange": Case("_npi_arange", {"start": 1, "stop": 4, "step": 0.5}),
}

ROWS = {**NUMPY, **SHAPES, **REDUCTIONS, **INDEXING, **PRODUCTS, **SEQUENCES, **CREATED}
