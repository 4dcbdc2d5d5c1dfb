"""Rows of gateway/formats/mxnet/ops/indexing.py: indices inside, outside, negative and as floats."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = (3, 4, 5)
OUTSIDE = np.array([[0, 2, 9], [-1, -7, 1]], np.float32)
POINTS = np.array([[0, 2, 1, -1], [3, 0, 2, 1]], np.float32)
ROWS = np.array([1.0, 3.0, 0.0], np.float32)

CASES = {
    "take, clip by default": Case("take", inputs={"a": X, "i": OUTSIDE}),
    "take, wrap": Case("take", {"mode": "wrap"}, {"a": X, "i": OUTSIDE}),
    "take, axis -2": Case("take", {"axis": -2}, {"a": X, "i": np.array([3, 0, 1], np.int32)}),
    "take, floats are cut": Case("take", inputs={"a": X, "i": np.array([0.9, 1.7, 2.2], np.float32)}),
    "take, raise": Case("take", {"mode": "raise"}, {"a": X, "i": np.array([2, 0], np.int32)}),
    "take with a free batch": Case("take", {"axis": 1}, {"a": X, "i": np.array([3, 0, 1], np.int32)}, free=True),
    "pick, last axis": Case("pick", inputs={"a": (3, 4), "i": ROWS}),
    "pick, outside is held inside": Case("pick", inputs={"a": (3, 4), "i": np.array([9, -5, 2], np.float32)}),
    "pick, wrap": Case("pick", {"mode": "wrap"}, {"a": (3, 4), "i": np.array([9, -5, 2], np.float32)}),
    "pick, axis 1, kept": Case(
        "pick", {"axis": 1, "keepdims": True}, {"a": X, "i": np.arange(15, dtype=np.float32).reshape(3, 5) % 4}
    ),
    "pick, axis 0": Case("pick", {"axis": 0}, {"a": (3, 4), "i": np.array([2, 1, 0, 2], np.float32)}),
    "pick, index with the axis": Case("pick", {"keepdims": True}, {"a": (3, 4), "i": ROWS.reshape(3, 1)}),
    "choose_element_0index": Case("choose_element_0index", inputs={"a": (3, 4), "i": ROWS}),
    "pick with a free batch": Case("pick", inputs={"a": (3, 4), "i": ROWS}, free=True),
    "batch_take": Case("batch_take", inputs={"a": (3, 4), "i": np.array([3, 0, 2], np.int32)}),
    "batch_take, outside": Case("batch_take", inputs={"a": (3, 4), "i": np.array([30, -2, 2], np.int32)}),
    "one_hot, outside is off": Case("one_hot", {"depth": 4}, {"i": OUTSIDE}),
    "one_hot, values and type": Case(
        "one_hot",
        {"depth": 3, "on_value": 5, "off_value": -1, "dtype": "int32"},
        {"i": np.array([0, 2, 1], np.float32)},
    ),
    "one_hot with a free batch": Case("one_hot", {"depth": 4}, {"i": ROWS}, free=True),
    "gather_nd, points": Case("gather_nd", inputs={"a": X, "i": np.abs(POINTS)}),
    "gather_nd, negative": Case("gather_nd", inputs={"a": X, "i": POINTS}),
    "gather_nd, many": Case(
        "gather_nd", inputs={"a": (3, 4), "i": np.array([[[0, 1], [2, 1]], [[3, 2], [1, 0]]], np.int32)}
    ),
    "scatter_nd": Case(
        "scatter_nd", {"shape": "(3, 4)"}, {"a": (3,), "i": np.array([[0, 2, 1], [3, 0, 2]], np.float32)}
    ),
    "scatter_nd, rows": Case("scatter_nd", {"shape": "(4, 2)"}, {"a": (2, 2), "i": np.array([[3, 1]], np.int32)}),
    "_ravel_multi_index": Case(
        "_ravel_multi_index", {"shape": "(7, 6)"}, {"i": np.array([[3, 6, 6], [4, 5, 1]], np.float32)}
    ),
    "ravel_multi_index, int64": Case(
        "ravel_multi_index", {"shape": "(-1, 6)"}, {"i": np.array([[3, 6, 6], [4, 5, 1]], np.int64)}
    ),
    "_unravel_index": Case("_unravel_index", {"shape": "(7, 6)"}, {"i": np.array([22, 41, 37], np.float32)}),
    "unravel_index, three axes": Case("unravel_index", {"shape": "(2, 7, 6)"}, {"i": np.array([22, 41, 77], np.int64)}),
    "index_copy": Case("_contrib_index_copy", inputs={"a": (5, 3), "i": np.array([0, 4, 2], np.int64), "b": (3, 3)}),
    "pick, the last of three axes by default": Case(
        "pick", inputs={"a": X, "i": np.arange(12, dtype=np.float32).reshape(3, 4) % 5}
    ),
    "pick from a vector": Case("pick", inputs={"a": (4,), "i": np.array([2], np.float32)}, flat=True),
    "gather_nd, one coordinate": Case("gather_nd", inputs={"a": X, "i": np.array([[2, 0, 1, 1]], np.int32)}),
    "gather_nd with a free batch": Case("gather_nd", inputs={"a": X}, weights={"i": np.abs(POINTS)}, free=True),
    "batch_take of one row": Case("batch_take", inputs={"a": (1, 4), "i": np.array([2], np.int32)}, flat=True),
    "index_copy of one row": Case(
        "_contrib_index_copy", inputs={"a": (5, 3), "i": np.array([3], np.int64), "b": (1, 3)}
    ),
}
