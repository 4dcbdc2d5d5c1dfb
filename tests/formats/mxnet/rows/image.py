"""Rows of gateway/formats/mxnet/ops/image.py and numpyops.py."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

PICTURE = np.random.default_rng(2).integers(0, 256, (4, 5, 3)).astype(np.uint8)
BATCH = np.random.default_rng(3).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
X = (2, 3, 4)
TIES = np.array([[1, 3, 3, 2], [0, -1, -1, 0]], np.float32)
SPECIAL = np.array([[1, np.nan, np.inf], [-np.inf, 0, -2]], np.float32)

CASES: dict[str, Case] = {}
for _dialect in ("_image_", "_npx__image_"):
    CASES |= {
        f"{_dialect}to_tensor": Case(f"{_dialect}to_tensor", inputs={"data": PICTURE}),
        f"{_dialect}to_tensor of a batch": Case(f"{_dialect}to_tensor", inputs={"data": BATCH}, free=True),
        f"{_dialect}normalize": Case(
            f"{_dialect}normalize", {"mean": "(0.4, 0.5, 0.3)", "std": "(0.2, 0.3, 0.4)"}, {"data": (3, 4, 5)}
        ),
        f"{_dialect}normalize a batch": Case(
            f"{_dialect}normalize", {"mean": "(0.4, 0.5, 0.3)", "std": "(0.2,)"}, {"data": (2, 3, 4, 5)}, free=True
        ),
        f"{_dialect}flip_left_right": Case(f"{_dialect}flip_left_right", inputs={"data": PICTURE[:, :4].copy()}),
        f"{_dialect}flip_left_right, a middle that MXNet leaves unset": Case(
            f"{_dialect}flip_left_right", inputs={"data": PICTURE}, refused="middle"
        ),
        f"{_dialect}flip_top_bottom": Case(f"{_dialect}flip_top_bottom", inputs={"data": PICTURE}),
        f"{_dialect}crop": Case(
            f"{_dialect}crop", {"x": 1, "y": 2, "width": 3, "height": 2}, {"data": PICTURE.astype(np.float32)}
        ),
    }
for _name in ("_np_sum", "_npi_mean", "_np_prod", "_np_max", "_np_amax", "_np_min", "_np_amin", "_npi_var", "_npi_std"):
    CASES |= {
        f"{_name} over everything is a scalar": Case(_name, inputs={"data": X}),
        f"{_name} over an axis": Case(_name, {"axis": "(1,)"}, {"data": X}),
        f"{_name} over two, kept": Case(_name, {"axis": "(0, -1)", "keepdims": True}, {"data": X}),
    }
CASES |= {
    "_np_product": Case("_np_product", {"axis": "(1,)"}, {"data": X}),
    "_npi_argmax, the first of equals": Case("_npi_argmax", {"axis": 1}, {"data": TIES}),
    "_npi_argmin, kept": Case("_npi_argmin", {"axis": -1, "keepdims": True}, {"data": TIES}),
    "_npi_argmax of everything": Case("_npi_argmax", inputs={"data": X}),
    "_npi_matmul": Case("_npi_matmul", inputs={"a": (2, 3, 4), "b": (4, 5)}),
    "_npi_matmul of a vector": Case("_npi_matmul", inputs={"a": (3, 4), "b": (4,)}),
    "_npi_split": Case("_npi_split", {"indices": "()", "axis": 1, "sections": 3}, {"data": (2, 6)}),
    "_npi_full_like": Case("_npi_full_like", {"fill_value": 1.5}, {"data": (2, 3)}, flat=True),
    "_npi_absolute": Case("_npi_absolute", inputs={"data": X}),
    "_npi_isnan": Case("_npi_isnan", inputs={"data": SPECIAL}),
    "_npi_isinf": Case("_npi_isinf", inputs={"data": SPECIAL}),
    "_npi_isfinite": Case("_npi_isfinite", inputs={"data": SPECIAL}),
    "_npi_where_scalar2": Case("_npi_where_scalar2", {"x": 1.5, "y": -2.0}, {"c": TIES}),
    "_npi_vstack": Case("_npi_vstack", inputs={"a": (2, 3), "b": (1, 3)}),
    "_npi_vstack of vectors": Case("_npi_vstack", inputs={"a": (3,), "b": (3,)}),
    "_np_moveaxis": Case("_np_moveaxis", {"source": "(0, 1)", "destination": "(-1, 0)"}, {"data": (2, 3, 4, 5)}),
    "_linspace": Case("_linspace", {"start": 1, "stop": 3, "num": 5}),
    "_linspace without its end": Case("_linspace", {"start": 1, "stop": 3, "num": 5, "endpoint": False}),
    "_npi_linspace": Case("_npi_linspace", {"start": -1, "stop": 2, "num": 4}),
}
