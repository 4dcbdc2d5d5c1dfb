"""Rows of gateway/formats/mxnet/ops/nn.py."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = (2, 4, 7, 9)
LINE = (2, 4, 11)
CUBE = (2, 4, 5, 6, 7)
RRELU = "tests.formats.mxnet.graphs:rrelu"
IDS = np.array([[0, 3, 1], [5, 2, 2]], np.float32)
WHOLE_IDS = np.array([[0, 3, 1], [5, 2, 2]], np.int32)
SPREAD = np.linspace(-6, 6, 24, dtype=np.float32).reshape(2, 3, 4)


def conv(**attrs: object) -> Case:
    return Case("Convolution", {"num_filter": 6, "kernel": "(3, 3)", **attrs}, {"data": X})


def deconv(**attrs: object) -> Case:
    return Case("Deconvolution", {"num_filter": 6, "kernel": "(3, 3)", **attrs}, {"data": X})


CASES: dict[str, Case] = {
    "convolution with bias by default": conv(),
    "convolution without bias": conv(no_bias=True),
    "convolution, unequal kernel, stride and pad": conv(kernel="(3, 5)", stride="(2, 1)", pad="(0, 2)"),
    "convolution, dilated unequally": conv(dilate="(2, 3)", pad="(1, 2)"),
    "convolution of two groups": conv(num_group=2),
    "convolution, depthwise": conv(num_filter=4, num_group=4, pad="(1, 1)"),
    "convolution, a list as kernel, python 2 longs": conv(kernel="[3L,3L]", stride="(2L, 2L)"),
    "convolution in one dimension": Case(
        "Convolution", {"num_filter": 5, "kernel": "(3,)", "stride": "(2,)", "pad": "(1,)", "dilate": "(2,)"},
        {"data": LINE},
    ),
    "convolution in three dimensions": Case(
        "Convolution", {"num_filter": 3, "kernel": "(2, 3, 1)", "stride": "(1, 2, 3)", "pad": "(1, 0, 0)"},
        {"data": CUBE},
    ),
    "convolution of 1 x 1 with a free batch": Case(
        "Convolution", {"num_filter": 3, "kernel": "(1, 1)"}, {"data": X}, free=True
    ),
    "convolution, its old spelling": Case(
        "Convolution_v1", {"num_filter": 6, "kernel": "(3, 3)", "pad": "(1, 1)"}, {"data": X}
    ),
    "deconvolution has no bias by default": deconv(),
    "deconvolution with bias": deconv(no_bias=False, stride="(2, 2)"),
    "deconvolution, stride, pad and adj": deconv(stride="(3, 2)", pad="(1, 1)", adj="(1, 0)"),
    "deconvolution, adj without pad": deconv(stride="(3, 2)", adj="(2, 1)"),
    "deconvolution, adj larger than pad": deconv(stride="(3, 3)", pad="(1, 1)", adj="(2, 1)"),
    "deconvolution, unequal kernel, dilated": deconv(kernel="(3, 2)", dilate="(2, 1)", stride="(1, 2)"),
    "deconvolution of two groups": deconv(num_group=2, stride="(2, 2)"),
    # MXNet's oneDNN kernel takes target_shape only together with the pad that it asks for.
    "deconvolution, target shape even": deconv(stride="(2, 2)", target_shape="(14, 18)", pad="(1, 1)"),
    "deconvolution, target shape odd": deconv(stride="(2, 2)", target_shape="(13, 17)", pad="(1, 1)"),
    "deconvolution, target shape much smaller": deconv(stride="(2, 2)", target_shape="(11, 12)", pad="(2, 4)"),
    "deconvolution, target shape as large as can be": deconv(stride="(2, 2)", target_shape="(15, 19)"),
    "deconvolution, target shape, given adj is ignored": deconv(
        stride="(2, 2)", target_shape="(14, 17)", pad="(1, 1)", adj="(1, 1)"
    ),
    "deconvolution, target shape, kernel of 4": deconv(
        kernel="(4, 4)", stride="(2, 2)", target_shape="(14, 18)", pad="(1, 1)"
    ),
    "deconvolution in one dimension": Case(
        "Deconvolution", {"num_filter": 5, "kernel": "(4,)", "stride": "(2,)", "pad": "(1,)"}, {"data": LINE}
    ),
    "deconvolution, free batch": Case(
        "Deconvolution", {"num_filter": 3, "kernel": "(4, 4)", "stride": "(2, 2)", "pad": "(1, 1)"}, {"data": X},
        free=True,
    ),
    "fully connected flattens by default": Case("FullyConnected", {"num_hidden": 5}, {"data": (2, 3, 4)}),
    "fully connected of a matrix": Case("FullyConnected", {"num_hidden": 5}, {"data": (3, 4)}),
    "fully connected without bias": Case("FullyConnected", {"num_hidden": 5, "no_bias": 1}, {"data": (3, 4)}),
    "fully connected, flatten False": Case("FullyConnected", {"num_hidden": 5, "flatten": False}, {"data": (2, 3, 4)}),
    "fully connected, flatten False, no bias": Case(
        "FullyConnected", {"num_hidden": 5, "flatten": "0", "no_bias": "True"}, {"data": (2, 3, 4)}
    ),
    "fully connected with a free batch": Case("FullyConnected", {"num_hidden": 5}, {"data": (2, 3, 4)}, free=True),
    "fully connected, the weight is computed elsewhere": Case(
        "FullyConnected", {"num_hidden": 5, "flatten": False, "no_bias": True}, {"data": (2, 3, 4), "w": (5, 4)}
    ),
    "embedding of float indices": Case("Embedding", {"input_dim": 6, "output_dim": 3}, {"data": IDS}),
    "embedding of int32 indices": Case("Embedding", {"input_dim": 6, "output_dim": 3}, {"data": WHOLE_IDS}),
    "embedding cuts fractions off": Case("Embedding", {"input_dim": 6, "output_dim": 3}, {"data": IDS * 0.9}),
    "prelu, one slope a channel": Case("LeakyReLU", {"act_type": "prelu"}, {"data": (2, 4, 3, 5)}),
    "prelu of a matrix": Case("LeakyReLU", {"act_type": "prelu"}, {"data": (3, 4)}),
    "prelu of three dimensions": Case("LeakyReLU", {"act_type": "prelu"}, {"data": (2, 4, 5)}),
    "prelu, one slope for all": Case("LeakyReLU", {"act_type": "prelu"}, {"data": (2, 4, 5)}, {"gamma": (1,)}),
    "prelu, slopes are an input": Case("LeakyReLU", {"act_type": "prelu"}, {"data": (2, 4, 5, 3), "gamma": (4,)}),
    "leaky slope is 0.25 by default": Case("LeakyReLU", {}, {"data": (2, 3)}),
    "leaky slope given": Case("LeakyReLU", {"act_type": "leaky", "slope": 0.1}, {"data": (2, 3)}),
    "elu scales by slope": Case("LeakyReLU", {"act_type": "elu", "slope": 0.7}, {"data": (2, 3)}),
    "elu, slope by default": Case("LeakyReLU", {"act_type": "elu"}, {"data": (2, 3)}),
    "selu": Case("LeakyReLU", {"act_type": "selu"}, {"data": (2, 3)}),
    "gelu is of erf": Case("LeakyReLU", {"act_type": "gelu"}, {"data": SPREAD}),
    "rrelu at inference": Case("LeakyReLU", {}, {"data": (2, 3)}, graph=RRELU),
    "rrelu, bounds given": Case(
        "LeakyReLU", {"lower_bound": 0.2, "upper_bound": 0.6}, {"data": (2, 3)}, graph=RRELU
    ),
    "rrelu, the slopes it drew are not there": Case(
        "LeakyReLU", {"act_type": "rrelu"}, {"data": (2, 3)}, refused="output 1"
    ),
    "dropout is the identity": Case("Dropout", {"p": 0.7}, {"data": (3, 4)}),
    "dropout, always": Case("Dropout", {"p": 0.7, "mode": "always"}, {"data": (3, 4)}, refused="random"),
    "flatten": Case("Flatten", {}, {"data": (2, 3, 4, 5)}),
    "flatten, free batch": Case("flatten", {}, {"data": (2, 3, 4, 5)}, free=True),
    "concat along channels by default": Case("Concat", {}, {"a": (2, 3, 4), "b": (2, 1, 4), "c": (2, 2, 4)}),
    "concat along a negative axis": Case("concat", {"dim": -1}, {"a": (2, 3, 4), "b": (2, 3, 2)}),
    "concat of the batch": Case("Concat", {"dim": 0}, {"a": (2, 3), "b": (1, 3)}),
    "concat of one": Case("Concat", {"dim": 1}, {"a": (2, 3)}),
}  # fmt: skip
CASES |= {
    f"activation {kind}": Case("Activation", {"act_type": kind}, {"data": SPREAD})
    for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign")
}
