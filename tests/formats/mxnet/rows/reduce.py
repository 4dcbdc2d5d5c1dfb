"""Rows of gateway/formats/mxnet/ops/reduce.py."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = (2, 3, 4, 5)
TIES = np.array([[1, 3, 3, 2, 3], [0, 0, -1, -1, 0], [5, 5, 5, 5, 5]], np.float32)
WHOLE = np.arange(-6, 18, dtype=np.int32).reshape(2, 3, 4)[:, ::-1].copy()
HOLES = np.array([[1, np.nan, 3], [np.nan, 0.5, -2]], np.float32)
LONG = np.random.default_rng(5).permutation(60).reshape(3, 20).astype(np.float32)

CASES: dict[str, Case] = {}
for _name in ("sum", "sum_axis", "mean", "prod", "max", "max_axis", "min", "min_axis"):
    CASES |= {
        f"{_name} over everything is of shape (1,)": Case(_name, inputs={"data": (2, 3, 4)}),
        f"{_name} over axis 1": Case(_name, {"axis": 1}, {"data": X}),
        f"{_name} over a negative axis, kept": Case(_name, {"axis": -2, "keepdims": True}, {"data": X}),
        f"{_name} over all but one": Case(_name, {"axis": "(1,)", "exclude": True}, {"data": X}),
    }
CASES |= {
    "sum over two axes": Case("sum", {"axis": "(0, 2)"}, {"data": X}),
    "sum over all named": Case("sum", {"axis": "(0, 1, 2)"}, {"data": (2, 3, 4)}),
    "sum, everything kept": Case("sum", {"keepdims": True}, {"data": (2, 3, 4)}),
    "sum, everything excluded is everything": Case("sum", {"exclude": True}, {"data": (2, 3, 4)}),
    "sum, excluded and kept": Case("sum", {"axis": "(0, -1)", "exclude": True, "keepdims": 1}, {"data": X}),
    "sum of a vector": Case("sum", {"axis": 0}, {"data": (7,)}),
    "sum with a free batch": Case("sum", {"axis": 1}, {"data": X}, free=True),
    "mean over height and width, free batch": Case("mean", {"axis": "(2, 3)"}, {"data": X}, free=True),
    "sum of int32": Case("sum", {"axis": 1}, {"data": WHOLE}),
    "max of int32": Case("max", {"axis": -1}, {"data": WHOLE}),
    "sum of float64": Case("sum", {"axis": 1}, {"data": np.linspace(0, 1, 12).reshape(3, 4)}),
    "nansum": Case("nansum", {"axis": 1}, {"data": HOLES}),
    "nanprod": Case("nanprod", {"axis": 0}, {"data": HOLES}),
    "norm of everything": Case("norm", inputs={"data": (3, 4)}),
    "norm over axis 1": Case("norm", {"axis": 1}, {"data": X}),
    "norm, ord 1, kept": Case("norm", {"axis": -1, "ord": 1, "keepdims": True}, {"data": X}),
    "norm over two axes, ord 2": Case("norm", {"axis": "(1, 2)"}, {"data": X}),
    "norm over two axes, ord 1": Case("norm", {"axis": "(2, 3)", "ord": 1}, {"data": X}),
    "moments": Case("moments", {"axes": "(0, 2)"}, {"data": X}),
    "moments, kept": Case("moments", {"axes": "(1,)", "keepdims": True}, {"data": X}),
    "argmax over axis 1": Case("argmax", {"axis": 1}, {"data": X}),
    "argmax, the first of equals": Case("argmax", {"axis": 1}, {"data": TIES}),
    "argmin, the first of equals": Case("argmin", {"axis": 1}, {"data": TIES}),
    "argmax of everything": Case("argmax", inputs={"data": (3, 4)}, flat=True),
    "argmin, negative axis, kept": Case("argmin", {"axis": -2, "keepdims": True}, {"data": X}),
    "argmax with a free batch": Case("argmax", {"axis": 1}, {"data": (3, 5)}, free=True),
    "argmax of int32 is int32": Case("argmax", {"axis": 2}, {"data": WHOLE * WHOLE % 17}),
    "argmax of float16": Case("argmax", {"axis": 1}, {"data": TIES.astype(np.float16)}),
    "argmax_channel": Case("argmax_channel", inputs={"data": (4, 6)}),
    "argmax_channel of four axes": Case("argmax_channel", inputs={"data": X}),
    "topk, defaults": Case("topk", inputs={"data": (4, 6)}),
    "topk, values": Case("topk", {"k": 3, "ret_typ": "value"}, {"data": (4, 6)}),
    "topk, both, a middle axis": Case("topk", {"k": 2, "ret_typ": "both", "axis": 1}, {"data": (2, 4, 3)}),
    "topk, mask": Case("topk", {"k": 2, "ret_typ": "mask"}, {"data": (4, 6)}),
    "topk, mask of the first axis": Case("topk", {"k": 2, "ret_typ": "mask", "axis": 0}, {"data": (4, 6)}),
    "topk, the smallest": Case("topk", {"k": 3, "ret_typ": "both", "is_ascend": True}, {"data": (4, 6)}),
    "topk of the flat tensor": Case("topk", {"k": 4, "ret_typ": "both", "axis": None}, {"data": (4, 6)}),
    "topk, k 0 is all": Case("topk", {"k": 0, "ret_typ": "both", "axis": -1}, {"data": (4, 6)}),
    "topk, indices as int32": Case("topk", {"k": 2, "dtype": "int32"}, {"data": (4, 6)}),
    "topk, equals keep their order": Case("topk", {"k": 5, "ret_typ": "both"}, {"data": TIES}),
    "topk of few among many": Case("topk", {"k": 2, "ret_typ": "both"}, {"data": LONG}),
    "topk with a free batch": Case("topk", {"k": 2, "ret_typ": "both"}, {"data": (4, 6)}, free=True),
    "topk of int32": Case("topk", {"k": 2, "ret_typ": "both"}, {"data": WHOLE}),
    "sort, ascending by default": Case("sort", inputs={"data": (4, 6)}),
    "sort, descending, first axis": Case("sort", {"axis": 0, "is_ascend": False}, {"data": (4, 6)}),
    "sort, flat": Case("sort", {"axis": None}, {"data": (4, 6)}),
    "argsort, equals keep their order": Case("argsort", inputs={"data": TIES}),
    "argsort, descending equals keep their order": Case("argsort", {"is_ascend": False}, {"data": TIES}),
    "argsort, axis 0, int32": Case("argsort", {"axis": 0, "dtype": "int32"}, {"data": (4, 6)}),
    "cumsum, flat": Case("cumsum", inputs={"data": (3, 4)}),
    "cumsum over axis 1": Case("cumsum", {"axis": 1}, {"data": (2, 3, 4)}),
    "sum over no axis at all": Case("sum", {"axis": "(0, 1)", "exclude": True}, {"data": (2, 3)}),
    "cumsum in another type": Case("cumsum", {"axis": 1, "dtype": "float64"}, {"data": (3, 4)}),
    "nansum, kept": Case("nansum", {"axis": 1, "keepdims": True}, {"data": HOLES}),
    "argmax of everything, kept": Case("argmax", {"keepdims": True}, {"data": (2, 3, 4)}, flat=True),
    "argmax of a vector": Case("argmax", {"axis": 0}, {"data": (7,)}, flat=True),
    "argmax of a vector, kept": Case("argmax", {"axis": 0, "keepdims": True}, {"data": (7,)}, flat=True),
    "topk, mask of int32": Case("topk", {"k": 2, "ret_typ": "mask"}, {"data": WHOLE}),
    "topk, mask of the flat tensor": Case("topk", {"k": 5, "ret_typ": "mask", "axis": None}, {"data": (4, 6)}),
    "topk, mask with a free batch": Case("topk", {"k": 2, "ret_typ": "mask"}, {"data": (4, 6)}, free=True),
}
