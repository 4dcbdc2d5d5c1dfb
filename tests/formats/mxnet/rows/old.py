"""Rows of spellings that MXNet 1.9 does not load itself: NNVM's own. MXNet answers under the name it knows."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

A = np.array([[-5.5, 5.5, 3.0, -3.0], [1.0, -0.25, 2.0, 2.0]], np.float32)
NAMES = {
    "__add_scalar__": "_plus_scalar", "__sub_scalar__": "_minus_scalar", "__mul_scalar__": "_mul_scalar",
    "__div_scalar__": "_div_scalar", "__pow_scalar__": "_power_scalar", "__rsub_scalar__": "_rminus_scalar",
    "__rdiv_scalar__": "_rdiv_scalar", "__rpow_scalar__": "_rpower_scalar",
}  # fmt: skip

CASES = {
    f"{name} is {known}": Case(name, {"scalar": 2.5}, {"a": np.abs(A) if "__pow" in name else A}, known_as=known)
    for name, known in NAMES.items()
} | {
    "_npi_transpose is _np_transpose": Case(
        "_npi_transpose", {"axes": "(2, 0, 1)"}, {"a": (2, 3, 4)}, known_as="_np_transpose"
    ),
    "_npi_copy is _np_copy": Case("_npi_copy", inputs={"a": (2, 3, 4)}, known_as="_np_copy"),
}
