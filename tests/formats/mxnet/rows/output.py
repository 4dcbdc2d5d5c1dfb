"""Rows of gateway/formats/mxnet/ops/output.py."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = (2, 3, 4, 5)
POSITIVE = np.arange(12, dtype=np.float32).reshape(3, 4) / 20
LENGTHS = np.array([[1, 4, 2], [3, 2, 4]], np.int32)

CASES: dict[str, Case] = {
    "softmax output of a matrix": Case("SoftmaxOutput", {}, {"data": (3, 5)}),
    "softmax output over everything but the batch": Case("SoftmaxOutput", {}, {"data": (2, 3, 4)}),
    "softmax output over everything, free batch": Case("SoftmaxOutput", {}, {"data": (2, 3, 4)}, free=True),
    "softmax output over everything, four dimensions": Case(
        "SoftmaxOutput", {}, {"data": np.random.default_rng(4).standard_normal(X)}, {"label": np.zeros(X[:-1])}
    ),
    "softmax output, multi_output": Case("SoftmaxOutput", {"multi_output": True}, {"data": X}),
    "softmax output, preserve_shape": Case("SoftmaxOutput", {"preserve_shape": 1}, {"data": X}),
    "softmax output, matters of training": Case(
        "SoftmaxOutput", {"grad_scale": 0.5, "use_ignore": True, "ignore_label": 255, "normalization": "valid"},
        {"data": (3, 5)},
    ),
    "softmax output, its old spelling": Case("Softmax", {}, {"data": (3, 5)}),
    "softmax activation, instance": Case("SoftmaxActivation", {}, {"data": X}),
    "softmax activation, channel": Case("SoftmaxActivation", {"mode": "channel"}, {"data": X}),
    "softmax along the last axis": Case("softmax", {}, {"data": X}),
    "softmax along axis 1": Case("softmax", {"axis": 1}, {"data": X}),
    "softmax, temperature": Case("softmax", {"temperature": 3.5, "axis": -2}, {"data": X}),
    "softmax with lengths": Case("softmax", {"use_length": True}, {"data": (2, 3, 4), "length": LENGTHS}),
    "softmax with lengths along axis 1": Case(
        "softmax", {"use_length": True, "axis": 1}, {"data": (2, 5, 3), "length": LENGTHS}
    ),
    "softmin": Case("softmin", {"axis": 1}, {"data": X}),
    "softmin, temperature": Case("softmin", {"temperature": 2}, {"data": X}),
    "log_softmax": Case("log_softmax", {}, {"data": X}),
    "log_softmax, axis and temperature": Case("log_softmax", {"axis": 1, "temperature": 0.5}, {"data": X}),
    "linear regression": Case("LinearRegressionOutput", {}, {"data": (3, 4)}),
    "logistic regression": Case("LogisticRegressionOutput", {}, {"data": (3, 4)}),
    "mean absolute error regression": Case("MAERegressionOutput", {}, {"data": (3, 4)}),
    "support vectors": Case("SVMOutput", {}, {"data": (3, 4)}),
    "a loss of one's own": Case("MakeLoss", {"grad_scale": 2}, {"data": (3, 4)}),
    "a loss of one's own, new spelling": Case("make_loss", {}, {"data": (3, 4)}),
    "no gradient": Case("BlockGrad", {}, {"data": (3, 4)}),
    "no gradient, other spelling": Case("stop_gradient", {}, {"data": (3, 4)}),
    "sparseness asked of training": Case("IdentityAttachKLSparseReg", {}, {"data": POSITIVE}),
    "pad with a number": Case(
        "Pad", {"mode": "constant", "pad_width": "(0,0,0,0,1,2,3,0)", "constant_value": 1.5}, {"data": X}
    ),
    "pad with zeros by default": Case("Pad", {"mode": "constant", "pad_width": "(0,0,0,0,1,1,2,2)"}, {"data": X}),
    "pad the edge": Case("pad", {"mode": "edge", "pad_width": "(0,0,0,0,1,2,3,0)"}, {"data": X}),
    "pad by reflection": Case("Pad", {"mode": "reflect", "pad_width": "(0,0,0,0,1,2,3,0)"}, {"data": X}),
    "pad of five dimensions": Case(
        "Pad", {"mode": "edge", "pad_width": "(0,0,0,0,1,0,0,2,1,1)"}, {"data": (2, 2, 3, 3, 4)}
    ),
    "crop to a size": Case("Crop", {"h_w": "(2, 3)", "offset": "(1, 2)", "num_args": 1}, {"data": X}),
    "crop from the middle": Case("Crop", {"h_w": "(2, 2)", "center_crop": True, "num_args": 1}, {"data": X}),
    "crop as another": Case("Crop", {"num_args": 2, "offset": "(1, 1)"}, {"data": X, "like": (2, 1, 3, 3)}),
    "crop as another, from the middle": Case(
        "Crop", {"num_args": 2, "center_crop": True}, {"data": X, "like": (2, 1, 3, 2)}
    ),
}  # fmt: skip
