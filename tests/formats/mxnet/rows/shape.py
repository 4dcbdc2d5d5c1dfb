"""Rows of reshape.py, shape.py and creation.py in gateway/formats/mxnet/ops: every code, every default left out."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = (2, 3, 4, 5)
WHOLE = np.arange(24, dtype=np.int32).reshape(2, 3, 4)

RESHAPES = {
    "0 copies": ("(0, -1)", (2, 3, 4)),
    "-1 infers": ("(-1, 6)", (2, 3, 4)),
    "-2 copies the rest": ("(-2,)", (2, 3, 4)),
    "-2 behind a size": ("(2, -2)", (2, 3, 4)),
    "-3 merges": ("(-3, 4)", (2, 3, 4)),
    "-3 twice": ("(-3, -3)", X),
    "-3 behind a copy": ("(0, -3)", (2, 3, 4)),
    "-4 splits": ("(-4, 1, 2, -2)", (2, 3, 4)),
    "-4 with one to infer": ("(2, -4, -1, 3, -2)", (2, 6, 4)),
    "-4 with the other to infer": ("(0, -4, 2, -1, 0)", (2, 6, 4)),
    "more axes": ("(2, 3, 2, 2)", (2, 3, 4)),
    "flat": ("(-1,)", (2, 3, 4)),
    "python 2's long": ("(2L, -1L)", (2, 3, 4)),
    "-3 then -1": ("(-3, -1)", X),
}
CASES: dict[str, Case] = {
    f"Reshape, {why}": Case("Reshape", {"shape": shape}, {"data": data}) for why, (shape, data) in RESHAPES.items()
}
CASES |= {
    f"reshape with a free batch, {why}": Case(
        "reshape", {"shape": RESHAPES[why][0]}, {"data": RESHAPES[why][1]}, free=True
    )
    for why in ("0 copies", "-1 infers", "-2 copies the rest", "-3 merges", "-3 twice", "-3 then -1",
                "-4 with one to infer", "-4 with the other to infer")
}  # fmt: skip
CASES |= {
    "reshape from the right": Case("reshape", {"shape": "(-1, 0)", "reverse": True}, {"data": (10, 5, 4)}),
    "reshape from the right, -3": Case("reshape", {"shape": "(0, -3)", "reverse": 1}, {"data": (2, 3, 4)}),
    "reshape from the right, -4": Case("reshape", {"shape": "(-1, 2, -4, 0)", "reverse": True}, {"data": (6, 4)}),
    "reshape, a -1 behind a -4": Case(
        "reshape", {"shape": "(-4, 1, 2, -1)"}, {"data": (2, 3)}, refused="misplaces it itself"
    ),
    "target_shape, 0 infers": Case("Reshape", {"target_shape": "(3, 0)"}, {"data": (2, 3, 4)}),
    "target_shape, the first kept": Case(
        "Reshape", {"target_shape": "(0, 0)", "keep_highest": True}, {"data": (2, 3, 4)}
    ),
    "_npx_reshape, -5 merges": Case("_npx_reshape", {"newshape": "(-5, -2)"}, {"data": (2, 3, 4)}),
    "_npx_reshape, -4 is the rest": Case("_npx_reshape", {"newshape": "(-2, -4)"}, {"data": (2, 3, 4)}),
    "_npx_reshape, -6 splits": Case("_npx_reshape", {"newshape": "(-6, 1, 2, -4)"}, {"data": (2, 3, 4)}),
    "_npx_reshape, from the right": Case(
        "_npx_reshape", {"newshape": "(-1, -2)", "reverse": True}, {"data": (2, 3, 4)}
    ),
    "_npx_reshape, a free batch": Case("_npx_reshape", {"newshape": "(-2, -5)"}, {"data": (2, 3, 4)}, free=True),
    "_np_reshape": Case("_np_reshape", {"newshape": "(4, -1)"}, {"data": (2, 3, 4)}),
    "reshape_like": Case("reshape_like", inputs={"a": (2, 3, 4), "b": (4, 6)}),
    "reshape_like, some axes": Case(
        "reshape_like", {"lhs_begin": 0, "lhs_end": 2, "rhs_begin": 1, "rhs_end": 3}, {"a": (6, 5, 7), "b": (9, 10, 3)}
    ),
    "reshape_like, negative ends": Case(
        "reshape_like",
        {"lhs_begin": -2, "lhs_end": None, "rhs_begin": -1, "rhs_end": None},
        {"a": (7, 2, 3), "b": (9, 6)},
    ),
    "reshape_like, free batch": Case("reshape_like", inputs={"a": (3, 8), "b": (3, 2, 4)}, free=True),
    "expand_dims in front": Case("expand_dims", {"axis": 0}, {"data": (2, 3)}),
    "expand_dims behind": Case("expand_dims", {"axis": -1}, {"data": (2, 3)}),
    "_npi_expand_dims": Case("_npi_expand_dims", {"axis": 1}, {"data": (2, 3)}),
    "squeeze all": Case("squeeze", inputs={"data": (1, 3, 1, 2)}),
    "squeeze one": Case("squeeze", {"axis": 2}, {"data": (1, 3, 1, 2)}),
    "squeeze two, one negative": Case("squeeze", {"axis": "(0, -2)"}, {"data": (1, 3, 1, 2)}),
    "squeeze of one element": Case("squeeze", inputs={"data": (1, 1)}),
    "squeeze with a free batch": Case("squeeze", {"axis": "(2, 3)"}, {"data": (3, 4, 1, 1)}, free=True),
    "squeeze all, a free batch": Case("squeeze", inputs={"data": (3, 4, 1, 1)}, free=True, refused="size is free"),
    "transpose, reversed": Case("transpose", inputs={"data": (2, 3, 4)}),
    "transpose": Case("transpose", {"axes": "(0, 2, 3, 1)"}, {"data": X}, free=True),
    "_np_transpose": Case("_np_transpose", {"axes": "(2, 0, 1)"}, {"data": (2, 3, 4)}),
    "_np_transpose, reversed": Case("_np_transpose", inputs={"data": (2, 3, 4)}),
    "SwapAxis": Case("SwapAxis", {"dim1": 0, "dim2": 2}, {"data": (2, 3, 4)}),
    "swapaxes, negative": Case("swapaxes", {"dim1": 1, "dim2": -1}, {"data": X}, free=True),
    "SwapAxis, defaults": Case("SwapAxis", inputs={"data": (2, 3)}),
    "slice": Case("slice", {"begin": "(0, 1)", "end": "(2, 3)"}, {"data": (2, 3, 4)}),
    "slice, None and negative": Case("slice", {"begin": "(None, -3)", "end": "(None, -1)"}, {"data": (2, 5, 4)}),
    "slice, steps": Case("slice", {"begin": "(0, 4)", "end": "(3, 0)", "step": "(2, -2)"}, {"data": (3, 5, 2)}),
    "slice, a step backwards to the start": Case(
        "slice", {"begin": "(None, None)", "end": "(None, None)", "step": "(1, -1)"}, {"data": (3, 5)}
    ),
    "slice, an end past the end": Case("slice", {"begin": "(1,)", "end": "(99,)"}, {"data": (4, 2)}),
    "crop, slice's old name": Case("crop", {"begin": "(0, 1)", "end": "(2, 3)"}, {"data": (2, 3, 4)}),
    "slice with a free batch": Case(
        "slice", {"begin": "(None, 1)", "end": "(None, 3)"}, {"data": (2, 3, 4)}, free=True
    ),
    "_npx_slice": Case("_npx_slice", {"begin": "(0, 1)", "end": "(2, 3)"}, {"data": (2, 3, 4)}),
    "slice_axis": Case("slice_axis", {"axis": 1, "begin": 1, "end": 3}, {"data": X}),
    "slice_axis, negative, to the end": Case("slice_axis", {"axis": -1, "begin": -2, "end": None}, {"data": X}),
    "slice_like, all axes": Case("slice_like", inputs={"a": (3, 5, 4), "b": (2, 3, 4)}),
    "slice_like, axes": Case("slice_like", {"axes": "(2, -1)"}, {"a": (2, 3, 6, 7), "b": (1, 9, 4, 5)}),
    "slice_like with a free batch": Case(
        "slice_like", {"axes": "(2, 3)"}, {"a": (2, 3, 6, 7), "b": (2, 9, 4, 5)}, free=True
    ),
    "SliceChannel": Case("SliceChannel", {"num_outputs": 2}, {"data": (2, 4, 3)}),
    "split, squeezed": Case("split", {"num_outputs": 3, "axis": -2, "squeeze_axis": True}, {"data": (2, 3, 4)}),
    "split with a free batch": Case("split", {"num_outputs": 2, "axis": 1}, {"data": (3, 4, 2)}, free=True),
    "_split_v2, indices": Case("_split_v2", {"indices": "(0, 1, 3)", "axis": 1}, {"data": (2, 5)}),
    "_split_v2, uneven sections": Case("_split_v2", {"indices": "()", "axis": 1, "sections": 3}, {"data": (2, 7)}),
    "_split_v2, squeezed": Case(
        "_split_v2", {"indices": "()", "axis": 0, "sections": 2, "squeeze_axis": True}, {"data": (2, 7)}
    ),
    "stack": Case("stack", inputs={"a": (2, 3), "b": (2, 3)}),
    "stack, axis -1": Case("stack", {"axis": -1}, {"a": (2, 3), "b": (2, 3), "c": (2, 3)}),
    "_npi_stack": Case("_npi_stack", {"axis": 1}, {"a": (2, 3), "b": (2, 3)}),
    "_npi_concatenate": Case("_npi_concatenate", {"axis": 1}, {"a": (2, 3), "b": (2, 4)}),
    "_npi_concatenate, flat": Case("_npi_concatenate", {"axis": None}, {"a": (2, 3), "b": (2, 4)}),
    "_npi_concatenate, default": Case("_npi_concatenate", inputs={"a": (2, 3), "b": (1, 3)}),
    "_npi_pad, constant": Case(
        "_npi_pad", {"pad_width": "((0, 1), (2, 0))", "mode": "constant", "constant_value": 0.5}, {"data": (2, 3)}
    ),
    "_npi_pad, edge": Case("_npi_pad", {"pad_width": "((0, 1), (2, 0))", "mode": "edge"}, {"data": (2, 3)}),
    "_npi_pad, reflect": Case("_npi_pad", {"pad_width": "((0, 1), (2, 0))", "mode": "reflect"}, {"data": (2, 3)}),
    "tile": Case("tile", {"reps": "(2, 3)"}, {"data": (2, 3)}),
    "tile, more axes": Case("tile", {"reps": "(2, 1, 2)"}, {"data": (2, 3)}),
    "tile, fewer": Case("tile", {"reps": "(2,)"}, {"data": (2, 3)}),
    "repeat, flat": Case("repeat", {"repeats": 2}, {"data": (2, 3)}),
    "repeat, axis": Case("repeat", {"repeats": 3, "axis": -1}, {"data": (2, 3, 4)}),
    "repeat, axis 0, free batch": Case("repeat", {"repeats": 2, "axis": 0}, {"data": (3, 2)}, free=True),
    "reverse": Case("reverse", {"axis": 1}, {"data": (2, 3, 4)}),
    "flip, two": Case("flip", {"axis": "(0, 2)"}, {"data": (2, 3, 4)}),
    "depth_to_space": Case("depth_to_space", {"block_size": 2}, {"data": (2, 12, 3, 2)}),
    "space_to_depth": Case("space_to_depth", {"block_size": 2}, {"data": (2, 3, 4, 6)}),
    "shape_array": Case("shape_array", inputs={"data": (2, 3, 4)}),
    "shape_array with a free batch": Case("shape_array", inputs={"data": (2, 3, 4)}, free=True),
    "size_array": Case("size_array", inputs={"data": (2, 3, 4)}),
    "zeros_like": Case("zeros_like", inputs={"data": (2, 3)}, flat=True),
    "zeros_like of int32": Case("zeros_like", inputs={"data": WHOLE}, flat=True),
    "ones_like with a free batch": Case("ones_like", inputs={"data": (2, 3)}, flat=True, free=True),
    "_contrib_arange_like": Case("_contrib_arange_like", inputs={"data": (2, 3)}),
    "arange_like, an axis": Case("_contrib_arange_like", {"axis": -1, "start": 2, "step": 0.5}, {"data": (2, 3)}),
    "arange_like, a free batch": Case("_contrib_arange_like", {"axis": 0}, {"data": (3, 2)}, free=True),
    "arange_like, all of a free batch": Case("_contrib_arange_like", inputs={"data": (3, 2)}, free=True),
    "slice of int32": Case("slice", {"begin": "(0, 1)", "end": "(2, 3)"}, {"data": WHOLE}),
    "_zeros": Case("_zeros", {"shape": "(2, 3)"}, flat=True),
    "_ones of int32": Case("_ones", {"shape": "(2,)", "dtype": "int32"}, flat=True),
    "_full": Case("_full", {"shape": "(2, 3)", "value": 1.25}, flat=True),
    "_arange": Case("_arange", {"start": 1, "stop": 7, "step": 1.5, "repeat": 2}),
    "_arange, one number": Case("_arange", {"start": 0, "stop": 5, "dtype": "int32"}),
    "_arange backwards": Case("_arange", {"start": 5, "stop": 0, "step": -2.0}),
    "_eye": Case("_eye", {"N": 3, "M": 4, "k": 1}),
    "slice, a step of None": Case(
        "slice", {"begin": "(0, 1)", "end": "(3, 5)", "step": "(None, 2)"}, {"data": (3, 5, 2)}
    ),
    "SliceChannel, the last axis": Case("SliceChannel", {"num_outputs": 2, "axis": 2}, {"data": (2, 4, 6)}),
    "SliceChannel, the first axis": Case("SliceChannel", {"num_outputs": 2, "axis": 0}, {"data": (4, 6, 2)}),
    "Reshape, a copy behind a -1": Case("Reshape", {"shape": "(-1, 0)"}, {"data": (2, 3, 4)}),
    "Reshape, a size behind a -2": Case("Reshape", {"shape": "(-2, 1)"}, {"data": (2, 3)}),
    "_npi_pad, 0 by default": Case("_npi_pad", {"pad_width": "((1, 1), (0, 2))", "mode": "constant"}, {"data": (2, 3)}),
    "_split_v2, axis 1 by default": Case("_split_v2", {"indices": "(0, 2)"}, {"data": (5, 4)}),
    "SwapAxis, dim2 alone": Case("SwapAxis", {"dim2": 2}, {"data": (2, 3, 4)}),
    "SwapAxis, dim1 alone": Case("SwapAxis", {"dim1": 1}, {"data": (2, 3, 4)}),
    "squeeze of one element, three axes": Case("squeeze", inputs={"data": (1, 1, 1)}),
    "slice_like, all axes, a free batch": Case("slice_like", inputs={"a": (2, 5, 4), "b": (2, 3, 4)}, free=True),
    "repeat once": Case("repeat", {"repeats": 1, "axis": 1}, {"data": (2, 3)}),
    "stack with a free batch": Case("stack", {"axis": 1}, {"a": (2, 3), "b": (2, 3)}, free=True),
    "tile with a free batch": Case("tile", {"reps": "(2, 1, 3)"}, {"data": (2, 3)}, free=True),
    "expand_dims with a free batch": Case("expand_dims", {"axis": 1}, {"data": (2, 3)}, free=True),
}
