"""Layers with and without windows, activations, softmax and outputs, normalisations."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = {"data": (2, 4, 9, 7)}
F = np.float32
FIRST = "tests.formats.mxnet.interpreter_rows.graphs:first"


def conv(**attrs: object) -> dict[str, object]:
    return {"kernel": (3, 3), "num_filter": 6, **attrs}


CONVOLUTIONS = {
    "convolution: stride 1, no pad by default": Case("Convolution", conv(), X),
    "convolution: kernel, stride, pad, dilate differ by axis": Case(
        "Convolution", conv(kernel=(2, 3), stride=(2, 1), pad=(1, 2), dilate=(3, 2)), X
    ),
    "convolution: no_bias": Case("Convolution", conv(no_bias=True), X),
    "convolution: groups": Case("Convolution", conv(num_group=2), X),
    "convolution: depthwise": Case("Convolution", conv(num_filter=4, num_group=4, pad=(1, 1)), X),
    "convolution: depthwise, two filters a channel": Case("Convolution", conv(num_filter=8, num_group=4), X),
    "convolution: 1x1, stride 2": Case("Convolution", conv(kernel=(1, 1), stride=(2, 2)), X),
    "convolution: one axis": Case(
        "Convolution", {"kernel": "(3,)", "num_filter": 5, "pad": "(1,)"}, {"data": (2, 4, 9)}
    ),
    "convolution: three axes": Case(
        "Convolution", {"kernel": (2, 3, 2), "num_filter": 3, "stride": (1, 2, 1)}, {"data": (1, 2, 5, 6, 4)}
    ),
    "convolution: spelling [3,3], 2L, 1": Case(
        "Convolution", {"kernel": "[3,3]", "stride": "(2L, 2L)", "num_filter": "6", "no_bias": "1"}, X
    ),
    "convolution_v1": Case("Convolution_v1", conv(stride=(2, 2), pad=(1, 1)), X),
    "deconvolution: no bias by default": Case("Deconvolution", conv(), X),
    "deconvolution: bias when asked": Case("Deconvolution", conv(no_bias=False, stride=(2, 2)), X),
    "deconvolution: stride 2, pad 1, adj 1": Case("Deconvolution", conv(stride=(2, 2), pad=(1, 1), adj=(1, 1)), X),
    "deconvolution: adj beyond pad": Case("Deconvolution", conv(kernel=(2, 2), stride=(3, 3), adj=(2, 1)), X),
    "deconvolution: sides differ, dilate": Case(
        "Deconvolution", conv(kernel=(2, 3), stride=(2, 1), pad=(1, 0), dilate=(2, 2)), X
    ),
    "deconvolution: groups": Case("Deconvolution", conv(num_group=2, stride=(2, 2), pad=(1, 1)), X),
    "deconvolution: depthwise": Case(
        "Deconvolution", conv(kernel=(4, 4), num_filter=4, num_group=4, stride=(2, 2), pad=(1, 1)), X
    ),
    "deconvolution: target_shape, even total": Case(
        "Deconvolution", conv(kernel=(4, 4), stride=(2, 2), target_shape=(18, 14)), X
    ),
    "deconvolution: target_shape, odd total": Case(
        "Deconvolution", conv(kernel=(4, 4), stride=(2, 2), target_shape=(17, 13)), X
    ),
    "deconvolution: target_shape wins over pad and adj": Case(
        "Deconvolution", conv(kernel=(4, 4), stride=(2, 2), pad=(0, 0), adj=(1, 1), target_shape=(17, 13)), X
    ),
    "deconvolution: target_shape of one axis alone": Case(
        "Deconvolution", conv(kernel=(4, 5), stride=(2, 2), target_shape=(18, 15)), X
    ),
    "deconvolution: one axis": Case(
        "Deconvolution", {"kernel": "(3,)", "num_filter": 5, "stride": "(2,)", "pad": "(1,)"}, {"data": (2, 4, 6)}
    ),
    "fully connected: flattens by default": Case("FullyConnected", {"num_hidden": 5}, {"data": (2, 3, 4)}),
    "fully connected: flatten=False keeps the axes": Case(
        "FullyConnected", {"num_hidden": 5, "flatten": False}, {"data": (2, 3, 4)}
    ),
    "fully connected: no_bias": Case("FullyConnected", {"num_hidden": 5, "no_bias": True}, {"data": (2, 6)}),
    "embedding: an index outside goes to the nearest row": Case(
        "Embedding", {"input_dim": 5, "output_dim": 3}, {"data": np.array([[0, 4, 7], [-2, 1, 3]], F)}
    ),
    "embedding: a fraction is cut off": Case(
        "Embedding", {"input_dim": 5, "output_dim": 3}, {"data": np.array([0.9, 1.5, 3.999], F)}
    ),
}


def pool(**attrs: object) -> dict[str, object]:
    return {"kernel": (3, 3), "stride": (2, 2), **attrs}


P = {"data": (2, 3, 8, 11)}
POOLS = {
    "pooling: max, stride 1 by default": Case("Pooling", {"kernel": (2, 3)}, P),
    "pooling: valid rounds down": Case("Pooling", pool(), P),
    "pooling: full rounds up": Case("Pooling", pool(pooling_convention="full"), P),
    "pooling: full with pad, last window not clipped": Case("Pooling", pool(pad=(1, 1), pooling_convention="full"), P),
    "pooling: full, a window of padding alone is the lowest float": Case(
        "Pooling", {"kernel": (1, 1), "stride": (3, 3), "pad": (0, 0), "pooling_convention": "full"}, P
    ),
    "pooling: all negative data, padding never wins": Case(
        "Pooling", pool(pad=(1, 1)), {"data": -1 - np.abs(np.random.default_rng(1).normal(size=(1, 2, 7, 7))).astype(F)}
    ),
    "pooling: avg counts padding by default": Case("Pooling", pool(pool_type="avg", pad=(1, 1)), P),
    "pooling: avg, count_include_pad=False": Case(
        "Pooling", pool(pool_type="avg", pad=(1, 1), count_include_pad=False), P
    ),
    "pooling: avg, full: the overhang never counts": Case(
        "Pooling", pool(pool_type="avg", pooling_convention="full"), P
    ),
    "pooling: avg, full, pad: padding counts, overhang not": Case(
        "Pooling", pool(pool_type="avg", pad=(1, 1), pooling_convention="full"), P
    ),
    "pooling: avg, full, pad, only valid cells": Case(
        "Pooling", pool(pool_type="avg", pad=(1, 1), pooling_convention="full", count_include_pad=False), P
    ),
    "pooling: sum": Case("Pooling", pool(pool_type="sum", pad=(1, 1)), P),
    "pooling: lp 2": Case("Pooling", pool(pool_type="lp", p_value=2, pad=(1, 1)), P),
    "pooling: lp 1 keeps signs": Case("Pooling", pool(pool_type="lp", p_value=1), P),
    "pooling: lp 3": Case("Pooling", pool(pool_type="lp", p_value=3), P),
    "pooling: global ignores kernel, stride, pad": Case(
        "Pooling", pool(global_pool=True, pad=(1, 1), pool_type="avg"), P
    ),
    "pooling: global max without a kernel": Case("Pooling", {"global_pool": True}, P),
    "pooling: avg, one axis": Case(
        "Pooling", {"kernel": "(3,)", "stride": "(2,)", "pad": "(1,)", "pool_type": "avg"}, {"data": (2, 3, 8)}
    ),
    "pooling: three axes": Case(
        "Pooling", {"kernel": (2, 2, 2), "stride": (2, 1, 2), "pool_type": "avg"}, {"data": (1, 2, 5, 4, 6)}
    ),
    "pooling: three axes, full": Case(
        "Pooling", {"kernel": (2, 2, 2), "stride": (2, 2, 2), "pooling_convention": "full"}, {"data": (1, 2, 5, 4, 7)}
    ),
    "pooling: channels last": Case("Pooling", pool(layout="NHWC", pool_type="avg", pad=(1, 1)), {"data": (2, 8, 7, 3)}),
    "adaptive average: cells overlap": Case("_contrib_AdaptiveAvgPooling2D", {"output_size": (3, 5)}, P),
    "adaptive average: one number": Case("_contrib_AdaptiveAvgPooling2D", {"output_size": "4"}, P),
    "adaptive average: global by default": Case("_contrib_AdaptiveAvgPooling2D", {}, P),
    "im2col": Case("im2col", {"kernel": (2, 3), "stride": (2, 1), "pad": (1, 1), "dilate": (1, 2)}, X),
    "im2col: stride, dilate, pad by default": Case("im2col", {"kernel": (2, 3)}, X),
    "col2im": Case(
        "col2im", {"kernel": (2, 3), "stride": (2, 1), "pad": (1, 1), "output_size": (6, 5)}, {"data": (2, 18, 20)}
    ),
}

RRELU = {"op": "LeakyReLU", "act_type": "rrelu"}
VECTOR = {"data": np.array([-50, -3, -1.5, -0.5, -0.0, 0.25, 0.5, 2, 30, 90], F).reshape(2, 5)}
ACTIVATIONS = {
    **{
        f"activation: {kind}": Case("Activation", {"act_type": kind}, VECTOR)
        for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign")
    },
    "leaky relu: leaky 0.25 by default": Case("LeakyReLU", {}, X),
    "leaky relu: slope": Case("LeakyReLU", {"act_type": "leaky", "slope": 0.1}, X),
    "leaky relu: elu": Case("LeakyReLU", {"act_type": "elu", "slope": 0.7}, X),
    "leaky relu: selu": Case("LeakyReLU", {"act_type": "selu"}, X),
    "leaky relu: gelu by erf": Case("LeakyReLU", {"act_type": "gelu"}, X),
    "leaky relu: rrelu, the mean slope": Case("", RRELU, X, graph=FIRST),
    "leaky relu: rrelu, bounds": Case("", {**RRELU, "lower_bound": 0.5, "upper_bound": 0.6}, X, graph=FIRST),
    "prelu: a slope a channel": Case(
        "LeakyReLU", {"act_type": "prelu"}, X, {"gamma": np.array([0.1, 0.5, -0.3, 2], F)}
    ),
    "prelu: one slope": Case("LeakyReLU", {"act_type": "prelu"}, X, {"gamma": np.array([0.3], F)}),
    "prelu: a slope a channel of a matrix": Case(
        "LeakyReLU", {"act_type": "prelu"}, {"data": (3, 4)}, {"gamma": np.array([0.1, 0.5, -0.3, 2], F)}
    ),
    "prelu: channels and width alike": Case(
        "LeakyReLU", {"act_type": "prelu"}, {"data": (2, 3, 3, 3)}, {"gamma": np.array([0.1, 0.5, -0.3], F)}
    ),
    "dropout is the input": Case("Dropout", {"p": 0.4}, X),
}

S = {"data": (2, 3, 4)}
LENGTH = {"length": np.array([[3, 1, 4, 2], [2, 3, 1, 0]], np.int32)}
SOFTMAX = {
    "softmax: last axis": Case("softmax", {}, S),
    "softmax: axis 1": Case("softmax", {"axis": 1}, S),
    "softmax: temperature": Case("softmax", {"axis": 0, "temperature": 2.5}, S),
    "softmax: large numbers": Case("softmax", {}, {"data": np.array([[1000, 999, 0], [-1000, -999.5, -2000]], F)}),
    "softmax: dtype": Case("softmax", {"dtype": "float64"}, S),
    "softmax: length": Case(
        "softmax", {"axis": 1, "use_length": True}, {**S, "length": np.array([[3, 1, 2, 2], [2, 3, 1, 3]], np.int32)}
    ),
    "softmin": Case("softmin", {"axis": 1}, S),
    "log_softmax": Case("log_softmax", {"axis": -2}, S),
    "log_softmax: temperature": Case("log_softmax", {"temperature": 0.5}, S),
    "softmax activation: over all but the batch": Case("SoftmaxActivation", {}, S),
    "softmax activation: channel": Case("SoftmaxActivation", {"mode": "channel"}, X),
    "softmax output: over all but the batch": Case("SoftmaxOutput", {}, S),
    "softmax output: multi_output, axis 1": Case("SoftmaxOutput", {"multi_output": True}, X),
    "softmax output: preserve_shape, last axis": Case("SoftmaxOutput", {"preserve_shape": True}, S),
    "softmax output: gradient's attributes do nothing": Case(
        "SoftmaxOutput",
        {"grad_scale": 3, "ignore_label": 2, "use_ignore": True, "normalization": "valid", "smooth_alpha": 0.1},
        {"data": (3, 4)},
    ),
    "softmax by its oldest name": Case("Softmax", {}, {"data": (3, 4)}),
    "logistic output": Case("LogisticRegressionOutput", {}, {"data": (3, 4)}),
    "linear output": Case("LinearRegressionOutput", {}, {"data": (3, 4)}),
    "absolute output": Case("MAERegressionOutput", {}, {"data": (3, 4)}),
    "svm output": Case("SVMOutput", {}, {"data": (3, 4)}),
    "softmax cross entropy": Case("softmax_cross_entropy", {}, {"data": (3, 4), "label": np.array([0, 3, 1], F)}),
}

NORMS = {
    "batch norm: fix_gamma, eps 1e-3 by default": Case("BatchNorm", {}, X),
    "batch norm: fix_gamma=False": Case("BatchNorm", {"fix_gamma": False}, X),
    "batch norm: eps": Case("BatchNorm", {"fix_gamma": False, "eps": 0.1}, X),
    "batch norm: last axis": Case("BatchNorm", {"fix_gamma": False, "axis": -1}, X),
    "batch norm: use_global_stats changes nothing": Case(
        "BatchNorm", {"use_global_stats": True, "fix_gamma": False}, X
    ),
    "batch norm: of a matrix": Case("BatchNorm", {"fix_gamma": True, "eps": 2e-5}, {"data": (3, 5)}),
    "batch norm: mean and variance out": Case("BatchNorm", {"output_mean_var": True, "fix_gamma": False}, X),
    "batch norm: dead channel": Case(
        "BatchNorm",
        {"fix_gamma": False, "eps": 1e-5},
        {"data": (2, 3, 4)},
        {
            "gamma": np.array([1, 2, 3], F),
            "beta": np.array([1, 0, -1], F),
            "mean": np.array([0.5, 0, 1], F),
            "var": np.array([1e-8, 1, 2], F),
        },
    ),
    "sync batch norm": Case("_contrib_SyncBatchNorm", {"key": "k", "fix_gamma": False}, X),
    "batch norm with relu": Case("_contrib_BatchNormWithReLU", {"fix_gamma": False}, X),
    "layer norm: last axis": Case("LayerNorm", {}, S),
    "layer norm: axis 1, eps": Case("LayerNorm", {"axis": 1, "eps": 0.1}, S),
    "layer norm: mean and deviation out": Case("LayerNorm", {"output_mean_var": True}, S),
    "instance norm": Case("InstanceNorm", {}, X),
    "instance norm: eps, one axis": Case("InstanceNorm", {"eps": 0.1}, S),
    "group norm": Case("GroupNorm", {"num_groups": 2}, X),
    "group norm: one group by default": Case("GroupNorm", {"eps": 0.1}, X),
    "group norm: mean and deviation out": Case("GroupNorm", {"num_groups": 2, "output_mean_var": True}, X),
    "l2: instance by default": Case("L2Normalization", {}, X),
    "l2: channel is axis 1 at each place": Case("L2Normalization", {"mode": "channel"}, X),
    "l2: spatial is H and W of each channel": Case("L2Normalization", {"mode": "spatial"}, X),
    "l2: eps inside the root": Case("L2Normalization", {"eps": 2.0}, {"data": (3, 4)}),
    "l2: eps 1e-10": Case("L2Normalization", {}, {"data": 1e-5 * np.arange(1, 7, dtype=F).reshape(2, 3)}),
    "lrn": Case("LRN", {"nsize": 3}, {"data": (2, 7, 3, 4)}),
    "lrn: alpha by nsize, beta, knorm": Case(
        "LRN", {"nsize": 5, "alpha": 0.9, "beta": 0.5, "knorm": 1.5}, {"data": (2, 7, 3, 4)}
    ),
}

LOW = {"a": np.array([0.1, 2.7, -3], np.float16), "b": np.array([0.1, 2.7, -3], F)}
PLAIN = {
    "multicast to the widest": Case("amp_multicast", {"num_outputs": 2}, LOW),
    "multicast to the narrowest": Case("amp_multicast", {"num_outputs": 2, "cast_narrow": True}, LOW),
    "pooling: same, one axis": Case(
        "Pooling",
        {"kernel": "(3,)", "stride": "(2,)", "pad": "(0, 0, 0)", "pooling_convention": "same"},
        {"data": (2, 3, 9)},
    ),
}
"""Rows that MXNet's fast path (MKLDNN) refuses; its plain kernels answer them."""

ROWS = {**CONVOLUTIONS, **POOLS, **ACTIVATIONS, **SOFTMAX, **NORMS}
