"""One layer a row: every parameter, default and odd size. Rows of the trap table say so in their names."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.core.textproto import Word
from tests.formats.caffe.table import Case, Shaped

X = (2, 4, 6, 5)
SPREAD = np.linspace(-4, 4, 48, dtype=np.float32).reshape(2, 4, 6)
POSITIVE = np.linspace(0.2, 3, 48, dtype=np.float32).reshape(2, 4, 6)


def conv(kind: str = "Convolution", blobs: Any = None, inputs: Any = (X,), **param: Any) -> Case:
    param = {"num_output": 6, "kernel_size": 3} | param
    param = {key: value for key, value in param.items() if value is not None}
    groups = param.get("group", 1)
    shape = (4, 6 // groups, 3, 3) if kind == "Deconvolution" else (6, 4 // groups, 3, 3)
    return Case(kind, {"convolution_param": param}, inputs, blobs or [shape, (6,)])


def pool(inputs: Any = ((2, 3, 8, 7),), *, opencv: bool = True, tops: int = 1, refused: str = "", **param: Any) -> Case:
    for name in ("pool", "round_mode"):
        if name in param:
            param[name] = Word(param[name])
    return Case("Pooling", {"pooling_param": param}, inputs, tops=tops, opencv=opencv, refused=refused)


def one(kind: str, param: str = "", inputs: Any = (SPREAD,), blobs: Any = (), **more: Any) -> Case:
    own = {key: value for key, value in more.items() if key not in ("tops", "opencv", "refused", "flat")}
    rest = {key: value for key, value in more.items() if key in ("tops", "opencv", "refused", "flat")}
    return Case(kind, {param: own} if param else {}, inputs, blobs, **rest)


STATS: list[Shaped] = [np.asarray([2, -1, 4, 0.5]), np.asarray([3, 1, 2, 8]), np.asarray([4])]
LINES: list[Shaped] = [np.asarray([1.5, -2, 0.5, 3]), np.asarray([0.3, 1, -1, 2])]

CONT = np.asarray([[0, 0], [1, 1], [1, 0], [1, 1]])
GOES_ON = np.asarray([[1, 1], [1, 0], [0, 1], [1, 1]])
ROIS = np.asarray([[0, 0, 0, 9, 11], [1, 2, 1, 7, 8], [0, 3, 5, 3, 5], [1, 1, 3, 8, 5]])

NEAR = ROIS * [0, 1, 1, 1, 1]


def prior(*, opencv: bool = True, refused: str = "", **param: Any) -> Case:
    if opencv:  # which has no defaults of its own
        param = {"clip": False, "variance": [0.1, 0.15, 0.2, 0.25]} | param
    return Case("PriorBox", {"prior_box_param": param}, ((1, 2, 3, 4), (1, 3, 61, 92)), opencv=opencv, refused=refused)


def _priors(count: int) -> np.ndarray:
    """(1, 2, 4 count): boxes that overlap, and variances."""
    random = np.random.default_rng(5)
    low = random.uniform(0.1, 0.5, (count, 2))
    boxes = np.concatenate([low, low + random.uniform(0.2, 0.4, (count, 2))], axis=1)
    return np.stack([boxes.reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], count)])[None]


def detection(*, located: int = 1, refused: str = "", **param: Any) -> Case:
    count, classes = 24, 3
    param = {"num_classes": classes} | param
    inputs = ((2, count * 4 * located), (2, count * classes), _priors(count))
    return Case("DetectionOutput", {"detection_output_param": param}, inputs, opencv=False, refused=refused)


def proposal(
    *, numbers: int = 9, tops: int = 1, refused: str = "", sides: tuple[int, int] = (4, 5), **param: Any
) -> Case:
    picture = np.asarray([[sides[0] * 15, sides[1] * 15, 1.5]])
    inputs = ((1, 2 * numbers, *sides), (1, 4 * numbers, *sides), picture)
    return Case("Proposal", {"proposal_param": param}, inputs, tops=tops, opencv=False, refused=refused)


def lstm(
    *, static: bool = False, refused: str = "", cont: Shaped = CONT, state: Shaped = (12, 3), **param: Any
) -> Case:
    inputs: list[Shaped] = [(4, 2, 5), cont, *([(2, 6)] if static else [])]
    blobs: list[Shaped] = [(12, 5), (12,), *([(12, 6)] if static else []), state]
    return Case("LSTM", {"recurrent_param": {"num_output": 3} | param}, inputs, blobs, opencv=False, refused=refused)


CASES: dict[str, Case] = {
    # Convolution
    "convolution": conv(),
    "convolution without bias": conv(bias_term=False, blobs=[(6, 4, 3, 3)]),
    "convolution, stride, pad, dilation": conv(stride=2, pad=2, dilation=2),
    "convolution by h and w": conv(
        kernel_size=None,
        kernel_h=3,
        kernel_w=2,
        stride_h=1,
        stride_w=2,
        pad_h=2,
        pad_w=0,
        blobs=[(6, 4, 3, 2), (6,)],
    ),
    "convolution, repeated fields are h, w": conv(
        kernel_size=[3, 2], stride=[1, 2], pad=[2, 1], dilation=[1, 2], blobs=[(6, 4, 3, 2), (6,)]
    ),
    "convolution in groups": conv(group=2, blobs=[(6, 2, 3, 3), (6,)]),
    "convolution, depthwise": conv(num_output=4, group=4, blobs=[(4, 1, 3, 3), (4,)]),
    "convolution of a fork, depthwise by its type": Case(
        "ConvolutionDepthwise",
        {"convolution_param": {"num_output": 4, "kernel_size": 3, "pad": 1}},
        (X,),
        [(4, 1, 3, 3), (4,)],
        opencv=False,
    ),
    "convolution in three dimensions": Case(
        "Convolution",
        {"convolution_param": {"num_output": 2, "kernel_size": [2, 1, 3], "stride": [1, 2, 1]}},
        ((1, 3, 4, 5, 6),),
        [(2, 3, 2, 1, 3), (2,)],
    ),
    "convolution in one dimension": Case(
        "Convolution",
        {"convolution_param": {"num_output": 2, "kernel_size": 3, "pad": 1}},
        ((2, 3, 8),),
        [(2, 3, 3), (2,)],
        opencv=False,
    ),
    "convolution of several bottoms": Case(
        "Convolution",
        {"convolution_param": {"num_output": 2, "kernel_size": 3}},
        (X, (2, 4, 5, 7)),
        [(2, 4, 3, 3), (2,)],
        tops=2,
        opencv=False,
    ),
    "convolution, weights of other sizes": Case(
        "Convolution",
        {"convolution_param": {"num_output": 6, "kernel_size": 3}},
        (X,),
        [(6, 5, 3, 3), (6,)],
        refused="its weight has the shape [6, 5, 3, 3], expected [6, 4, 3, 3]",
    ),
    "convolution, a bias that is not there": Case(
        "Convolution",
        {"convolution_param": {"num_output": 6, "kernel_size": 3}},
        (X,),
        [(6, 4, 3, 3)],
        refused="has 1 blobs of weights, expected 2",
    ),
    "convolution, groups that do not part": conv(group=3)
    if False
    else Case(
        "Convolution",
        {"convolution_param": {"num_output": 6, "kernel_size": 3, "group": 3}},
        (X,),
        [(6, 1, 3, 3), (6,)],
        refused="4 channels in and 6 out do not part into 3 groups",
    ),
    "convolution, kernel twice": Case(
        "Convolution",
        {"convolution_param": {"num_output": 6, "kernel_size": 3, "kernel_h": 3}},
        (X,),
        [(6, 4, 3, 3), (6,)],
        refused="expected one way",
    ),
    "convolution, a stride of 0": Case(
        "Convolution",
        {"convolution_param": {"num_output": 6, "kernel_size": 3, "stride": 0}},
        (X,),
        [(6, 4, 3, 3), (6,)],
        refused="stride is [0, 0], expected 1 or more",
    ),
    "convolution, no kernel": Case(
        "Convolution",
        {"convolution_param": {"num_output": 6}},
        (X,),
        [(6, 4, 3, 3), (6,)],
        refused="kernel_size is given 0 times",
    ),
    "deconvolution": conv("Deconvolution"),
    "deconvolution, trap: sizes without output padding": conv("Deconvolution", stride=2, pad=1),
    "deconvolution, unequal": conv(
        "Deconvolution",
        kernel_size=None,
        kernel_h=4,
        kernel_w=3,
        stride_h=2,
        stride_w=3,
        pad_h=1,
        pad_w=0,
        blobs=[(4, 6, 4, 3), (6,)],
    ),
    "deconvolution in groups": conv("Deconvolution", group=2, stride=2, blobs=[(4, 3, 3, 3), (6,)]),
    "deconvolution, one group a channel": Case(
        "Deconvolution",
        {
            "convolution_param": {
                "num_output": 4,
                "kernel_size": 4,
                "stride": 2,
                "pad": 1,
                "group": 4,
                "bias_term": False,
                "weight_filler": {"type": "bilinear"},
            }
        },
        (X,),
        [(4, 1, 4, 4)],
    ),
    "deconvolution, dilated": conv("Deconvolution", dilation=2, opencv=None)
    if False
    else Case(
        "Deconvolution",
        {"convolution_param": {"num_output": 6, "kernel_size": 3, "dilation": 2}},
        (X,),
        [(4, 6, 3, 3), (6,)],
        opencv=False,
    ),
    "im2col": Case("Im2col", {"convolution_param": {"kernel_size": 3, "pad": 1, "stride": 2}}, (X,), opencv=False),
    # InnerProduct
    "inner product": Case("InnerProduct", {"inner_product_param": {"num_output": 3}}, (X,), [(3, 120), (3,)]),
    "inner product of one output": Case(
        "InnerProduct", {"inner_product_param": {"num_output": 1}}, (X,), [(1, 120), (1,)]
    ),
    "inner product without bias": Case(
        "InnerProduct", {"inner_product_param": {"num_output": 3, "bias_term": False}}, ((2, 7),), [(3, 7)]
    ),
    "inner product, trap: a weight of (1, 1, out, in)": Case(
        "InnerProduct", {"inner_product_param": {"num_output": 3}}, (X,), [(1, 1, 3, 120), (1, 1, 1, 3)]
    ),
    "inner product, trap: transposed": Case(
        "InnerProduct",
        {"inner_product_param": {"num_output": 3, "transpose": True}},
        (X,),
        [(120, 3), (3,)],
        opencv=False,
    ),
    "inner product, axis 2": Case(
        "InnerProduct", {"inner_product_param": {"num_output": 3, "axis": 2}}, (X,), [(3, 30), (3,)]
    ),
    "inner product, axis -1, without bias": Case(
        "InnerProduct",
        {"inner_product_param": {"num_output": 3, "axis": -1, "bias_term": False}},
        (X,),
        [(3, 5)],
        opencv=False,
    ),
    "inner product, a weight of another size": Case(
        "InnerProduct",
        {"inner_product_param": {"num_output": 3}},
        (X,),
        [(3, 100), (3,)],
        refused="its input has 120 numbers from axis 1 on, its weight 100",
    ),
    "embed": Case(
        "Embed",
        {"embed_param": {"num_output": 3, "input_dim": 5}},
        (np.asarray([[0, 4], [2, 2], [3, 1]]),),
        [(5, 3), (3,)],
        opencv=False,
    ),
    "embed without bias": Case(
        "Embed",
        {"embed_param": {"num_output": 3, "input_dim": 5, "bias_term": False}},
        (np.asarray([0, 4, 2]),),
        [(5, 3)],
        opencv=False,
    ),
    # Pooling
    "pooling, MAX by default": pool(kernel_size=2, stride=2),
    "pooling, trap: sizes are rounded up": pool(kernel_size=3, stride=2),
    "pooling, trap: rounded up without padding the last window stays": pool(((1, 2, 7, 4),), kernel_size=2, stride=3),
    "pooling, trap: with padding a last window in the padding is dropped": pool(
        ((1, 2, 7, 5),), kernel_size=2, stride=2, pad=1
    ),
    "pooling, trap: AVE counts padding, not the overhang": pool(
        ((1, 2, 8, 7),), pool="AVE", kernel_size=3, stride=2, pad=1
    ),
    "pooling, trap: AVE, an overhang without padding": pool(((1, 2, 8, 6),), pool="AVE", kernel_size=3, stride=2),
    "pooling, AVE, inside": pool(pool="AVE", kernel_size=2),
    "pooling by h and w": pool(kernel_h=3, kernel_w=2, stride_h=2, stride_w=1, pad_h=1, pad_w=0),
    "pooling AVE by h and w": pool(pool="AVE", kernel_h=3, kernel_w=2, stride_h=2, stride_w=3, pad_h=1, pad_w=1),
    "pooling, global MAX": pool(pool="MAX", global_pooling=True),
    "pooling, global, MAX by default": pool(global_pooling=True, opencv=False),
    "pooling, global AVE": pool(pool="AVE", global_pooling=True),
    "pooling, round_mode FLOOR": pool(((1, 2, 8, 8),), kernel_size=3, stride=2, round_mode="FLOOR", opencv=False),
    "pooling, a fork's ceil_mode false": pool(((1, 2, 8, 8),), kernel_size=3, stride=2, ceil_mode=False, opencv=False),
    "pooling, a fork's ceil_mode true": pool(((1, 2, 8, 8),), kernel_size=3, stride=2, ceil_mode=True, opencv=False),
    "pooling, a window wholly behind the end": pool(((1, 2, 4, 4),), kernel_size=1, stride=2, opencv=False),
    "pooling, negative numbers at the border": pool(
        (-np.abs(np.linspace(-9, -1, 36)).reshape(1, 1, 6, 6),), kernel_size=3, stride=2, pad=1
    ),
    "pooling, the places of maxima": pool(((1, 2, 6, 7),), kernel_size=2, stride=2, tops=2, opencv=False),
    "pooling, the places of maxima, padded": pool(
        ((1, 2, 6, 7),), kernel_size=3, stride=2, pad=1, tops=2, opencv=False
    ),
    "pooling, the places of maxima, global": pool(((2, 3, 4, 3),), global_pooling=True, tops=2, opencv=False),
    "pooling, STOCHASTIC": pool(pool="STOCHASTIC", kernel_size=2, refused="pool is STOCHASTIC; supported is MAX, AVE"),
    "pooling, a pad as large as the kernel": pool(kernel_size=2, pad=2, refused="pad is [2, 2], expected less"),
    "pooling, a kernel and global": pool(kernel_size=2, global_pooling=True, refused="goes with no kernel"),
    "pooling, no kernel": pool(refused="kernel_size is missing"),
    "pooling, half a kernel": pool(kernel_h=2, refused="do not go together"),
    "pooling, a kernel larger than the input": pool(kernel_size=12, refused="larger than its input"),
    "pooling, AVE of nothing": pool(((1, 2, 4, 4),), pool="AVE", kernel_size=1, stride=2, refused="0 / 0"),
    "SPP": Case("SPP", {"spp_param": {"pyramid_height": 3}}, ((2, 3, 9, 7),), opencv=False),
    "SPP, AVE": Case("SPP", {"spp_param": {"pyramid_height": 2, "pool": Word("AVE")}}, ((2, 3, 8, 7),), opencv=False),
    "SPP of one level keeps its axes": Case("SPP", {"spp_param": {"pyramid_height": 1}}, ((2, 3, 9, 7),), opencv=False),
    "SPP, too high": Case("SPP", {"spp_param": {"pyramid_height": 5}}, ((2, 3, 9, 7),), refused="does not fit"),
    # Activations
    "relu": one("ReLU"),
    "relu, trap: negative_slope": one("ReLU", "relu_param", negative_slope=0.3),
    "relu6": one("ReLU6", inputs=(SPREAD * 3,)),
    "prelu, trap: a slope a channel": Case("PReLU", {}, (X,), [np.asarray([0.1, 0.5, -0.3, 2])]),
    "prelu, trap: channel_shared": Case("PReLU", {"prelu_param": {"channel_shared": True}}, (X,), [np.asarray([0.3])]),
    "prelu of a matrix": Case("PReLU", {}, ((3, 4),), [np.asarray([0.1, 0.5, -0.3, 2])], opencv=False),
    "elu": one("ELU"),
    "elu, alpha": one("ELU", "elu_param", alpha=0.4),
    "sigmoid": one("Sigmoid"),
    "tanh": one("TanH"),
    "absval": one("AbsVal"),
    "bnll": one("BNLL"),
    "swish": one("Swish", opencv=False),
    "swish, beta": one("Swish", "swish_param", beta=0.5, opencv=False),
    "threshold": one("Threshold", opencv=False),
    "threshold, not 0": one("Threshold", "threshold_param", threshold=float(SPREAD[0, 2, 3]), opencv=False),
    "clip": one("Clip", "clip_param", min=-1.5, max=2.0, opencv=False),
    "clip, the bounds exchanged": one("Clip", "clip_param", min=1.0, max=-1.0, opencv=False, flat=True),
    "clip without a bound": one("Clip", "clip_param", min=1.0, refused="clip_param.max is missing"),
    "dropout": one("Dropout", "dropout_param", dropout_ratio=0.4),
    "power, trap: (shift + scale x) ** power": one(
        "Power", "power_param", (POSITIVE,), power=1.5, scale=2.0, shift=0.5
    ),
    "power by default": one("Power"),
    "power, a square of negatives": one("Power", "power_param", power=2.0, scale=0.5, shift=-1.0),
    "power, scale and shift": one("Power", "power_param", scale=2.0, shift=-3.0),
    "power 0": one("Power", "power_param", power=0.0, flat=True, opencv=False),
    "power, scale 0": one("Power", "power_param", power=3.0, scale=0.0, shift=2.0, flat=True, opencv=False),
    "power -1, scale 0": one("Power", "power_param", power=-1.0, scale=0.0, shift=2.0, flat=True, opencv=False),
    "power -1": one("Power", "power_param", (POSITIVE,), power=-1.0, opencv=False),
    "power 0 of nothing": one("Power", "power_param", power=0.0, scale=0.0, flat=True, opencv=False),
    "exp": one("Exp", opencv=False),
    "exp, base, scale, shift": one("Exp", "exp_param", base=2.0, scale=0.5, shift=1.5, opencv=False),
    "exp of e, shift": one("Exp", "exp_param", scale=0.5, shift=1.5, opencv=False),
    "exp, a base below 0": one("Exp", "exp_param", base=-2.0, refused="base is -2"),
    "log": one("Log", inputs=(POSITIVE,), opencv=False),
    "log, base, scale, shift": one("Log", "log_param", (POSITIVE,), base=10.0, scale=3.0, shift=0.5, opencv=False),
    "log, base 1": one("Log", "log_param", (POSITIVE,), base=1.0, refused="base is 1"),
    "eltwise, SUM by default": Case("Eltwise", {}, (X, X, X)[:2]),
    "eltwise, trap: a coefficient a bottom": Case("Eltwise", {"eltwise_param": {"coeff": [2.0, -0.5, 1.0]}}, (X, X, X)),
    "eltwise, PROD": Case("Eltwise", {"eltwise_param": {"operation": Word("PROD")}}, (X, X, X)),
    "eltwise, MAX": Case("Eltwise", {"eltwise_param": {"operation": Word("MAX")}}, (X, X, X)),
    "eltwise of other shapes": Case("Eltwise", {}, (X, (2, 4, 6, 6)), refused="expected [?,4,6,5]"),
    "eltwise of a shape that could be stretched": Case("Eltwise", {}, (X, (2, 4, 1, 1)), refused="expected [?,4,6,5]"),
    "eltwise, PROD with coefficients": Case(
        "Eltwise",
        {"eltwise_param": {"operation": Word("PROD"), "coeff": [1.0, 2.0]}},
        (X, X),
        refused="coeff is given 2",
    ),
    "eltwise, one coefficient of two": Case(
        "Eltwise", {"eltwise_param": {"coeff": [1.0]}}, (X, X), refused="coeff is given 1 times for 2 bottoms"
    ),
    "axpy": Case("Axpy", {}, ((2, 4, 1, 1), X, X), opencv=False),
    "axpy, a matrix of factors": Case("Axpy", {}, ((2, 4), X, X), opencv=False),
    # Scale, Bias
    "scale": Case("Scale", {}, (X,), LINES[:1]),
    "scale, trap: bias_term is false by default": Case(
        "Scale", {}, (X,), LINES, refused="has 2 blobs of weights, expected 1"
    ),
    "scale with bias": Case("Scale", {"scale_param": {"bias_term": True}}, (X,), LINES),
    "scale, axis 2, two axes": Case("Scale", {"scale_param": {"axis": 2, "num_axes": 2}}, (X,), [(6, 5)], opencv=False),
    "scale, all axes": Case("Scale", {"scale_param": {"num_axes": -1}}, (X,), [(4, 6, 5)], opencv=False),
    "scale, one number": Case("Scale", {"scale_param": {"num_axes": 0}}, (X,), [np.asarray([2.5])], opencv=False),
    "scale, axis from the end": Case("Scale", {"scale_param": {"axis": -1}}, (X,), [(5,)], opencv=False),
    "scale, trap: a second bottom is the scale": Case("Scale", {"scale_param": {"axis": 0}}, (X, (2, 4)), opencv=False),
    "scale, a second bottom of one dimension": Case("Scale", {}, (X, (4,)), opencv=False),
    "scale, a second bottom and a bias": Case(
        "Scale", {"scale_param": {"bias_term": True}}, (X, LINES[0]), LINES[1:], opencv=False
    ),
    "scale, a second bottom of another size": Case(
        "Scale", {"scale_param": {"axis": 0}}, (X, (2, 5)), refused="has the size 5 on axis 1"
    ),
    "bias": Case("Bias", {}, (X,), LINES[:1], opencv=False),
    "bias, axis 3": Case("Bias", {"bias_param": {"axis": 3}}, (X,), [(5,)], opencv=False),
    "bias, a second bottom": Case("Bias", {"bias_param": {"axis": 0}}, (X, (2, 4)), opencv=False),
    # Normalisations
    "batch norm, trap: divided by the third blob": Case("BatchNorm", {}, (X,), STATS),
    "batch norm, trap: a factor of 0": Case("BatchNorm", {}, (X,), [*STATS[:2], np.asarray([0])], opencv=False),
    "batch norm, eps": Case("BatchNorm", {"batch_norm_param": {"eps": 0.1}}, (X,), STATS),
    "batch norm, statistics of the batch": Case(
        "BatchNorm", {"batch_norm_param": {"use_global_stats": False}}, (X,), STATS, refused="use_global_stats is false"
    ),
    "batch norm of a matrix": Case("BatchNorm", {}, ((3, 4),), STATS),
    "batch norm of NVCaffe, scale and bias": Case("BatchNorm", {}, (X,), [*STATS, *LINES], opencv=False),
    "batch norm of NVCaffe, trap: the third blob is not read, eps is 1e-5 at least": Case(
        "BatchNorm",
        {"batch_norm_param": {"eps": 1e-9}},
        (X,),
        [STATS[0], np.asarray([3e-5, 1e-5, 2e-5, 8e-5]), np.asarray([7]), *LINES],
        opencv=False,
    ),
    "batch norm of NVCaffe, trap: DIGITS's order, with one number at the end": Case(
        "BatchNorm", {}, (X,), [*LINES, *STATS[:2], np.asarray([4])], opencv=False
    ),
    "BN of PSPNet: slope, bias, mean, variance": Case(
        "BN", {"bn_param": {"eps": 0.01}}, (X,), [*LINES, *STATS[:2]], opencv=False
    ),
    "BN of PSPNet, eps by default": Case(
        "BN", {}, (X,), [*LINES, STATS[0], np.asarray([1e-4, 2e-5, 3e-3, 1e-6])], opencv=False
    ),
    "BN of SegNet: scale and shift": Case(
        "BN",
        {"bn_param": {"bn_mode": Word("INFERENCE")}},
        (X,),
        [np.asarray(each).reshape(1, 4, 1, 1) for each in LINES],
        opencv=False,
    ),
    "BN of SegNet that learns": Case("BN", {}, (X,), LINES, refused="bn_mode is LEARN"),
    "LRN, trap: alpha is 1, k is 1": Case("LRN", {}, ((1, 8, 3, 4),), opencv=False),
    "LRN across": Case("LRN", {"lrn_param": {"local_size": 3, "alpha": 0.5, "beta": 0.6}}, ((1, 8, 3, 4),)),
    "LRN across, k": Case(
        "LRN", {"lrn_param": {"local_size": 3, "alpha": 0.5, "k": 2.0}}, ((1, 8, 3, 4),), opencv=False
    ),
    "LRN, trap: within a channel": Case(
        "LRN",
        {"lrn_param": {"local_size": 3, "alpha": 0.5, "beta": 0.6, "norm_region": Word("WITHIN_CHANNEL")}},
        ((1, 3, 5, 6),),
    ),
    "LRN, an even window": Case("LRN", {"lrn_param": {"local_size": 4}}, ((1, 8, 3, 4),), refused="local_size is 4"),
    "MVN": Case("MVN", {}, (X,)),
    "MVN across channels": Case("MVN", {"mvn_param": {"across_channels": True}}, (X,)),
    "MVN, mean only": Case("MVN", {"mvn_param": {"normalize_variance": False}}, (X,)),
    "MVN, eps outside the root": Case("MVN", {"mvn_param": {"eps": 0.5}}, (X,), opencv=False),
    "normalize": Case("Normalize", {}, (X,), [np.asarray([20.0])]),
    "normalize, a scale a channel": Case(
        "Normalize", {"norm_param": {"across_spatial": False, "channel_shared": False}}, (X,), LINES[:1]
    ),
    "normalize, eps inside the root": Case(
        "Normalize", {"norm_param": {"eps": 3.0}}, (X,), [np.asarray([2.0])], opencv=False
    ),
    "softmax, trap: axis 1": Case("Softmax", {}, (X,)),
    "softmax, axis 2": Case("Softmax", {"softmax_param": {"axis": 2}}, (X,)),
    "softmax, the last axis": Case("Softmax", {"softmax_param": {"axis": -1}}, (X,)),
    # Shapes
    "concat": Case("Concat", {}, (X, (2, 3, 6, 5))),
    "concat, axis 2": Case("Concat", {"concat_param": {"axis": 2}}, (X, (2, 4, 3, 5))),
    "concat, trap: concat_dim of old": Case(
        "Concat", {"concat_param": {"concat_dim": 3}}, (X, (2, 4, 6, 2)), opencv=False
    ),
    "concat of one": Case("Concat", {}, (X,), opencv=False),
    "slice, equal parts": Case("Slice", {}, (X,), tops=2, opencv=False),
    "slice, trap: slice_point": Case("Slice", {"slice_param": {"axis": 2, "slice_point": [1, 4]}}, (X,), tops=3),
    "slice, slice_dim of old": Case(
        "Slice", {"slice_param": {"slice_dim": 3, "slice_point": [2]}}, (X,), tops=2, opencv=False
    ),
    "slice, parts that are not equal": Case("Slice", {}, (X,), tops=3, refused="4 do not part into 3"),
    "slice, a point behind the end": Case(
        "Slice", {"slice_param": {"slice_point": [9]}}, (X,), tops=2, refused="slice_point is [9] for 2 tops of 4"
    ),
    "flatten": Case("Flatten", {}, (X,)),
    "flatten, trap: axis to end_axis": Case("Flatten", {"flatten_param": {"axis": 1, "end_axis": 2}}, (X,)),
    "flatten from axis 2": Case("Flatten", {"flatten_param": {"axis": -2}}, (X,)),
    "reshape, trap: 0 copies, -1 infers": Case("Reshape", {"reshape_param": {"shape": {"dim": [0, 2, -1, 5]}}}, (X,)),
    "reshape, zeros copy what stands in their place": Case(
        "Reshape", {"reshape_param": {"shape": {"dim": [0, 0, -1, 3]}}}, (X,)
    ),
    "reshape from an axis on": Case("Reshape", {"reshape_param": {"shape": {"dim": [3, 2, -1]}, "axis": 2}}, (X,)),
    "reshape of the last axis": Case("Reshape", {"reshape_param": {"shape": {"dim": [5, 1]}, "axis": 3}}, (X,)),
    "reshape of some axes": Case(
        "Reshape", {"reshape_param": {"shape": {"dim": [24]}, "axis": 1, "num_axes": 2}}, (X,)
    ),
    "reshape, an axis put in": Case(
        "Reshape", {"reshape_param": {"shape": {"dim": [1]}, "axis": 1, "num_axes": 0}}, (X,), opencv=False
    ),
    "reshape, an axis put in at the end": Case(
        "Reshape", {"reshape_param": {"shape": {"dim": [1]}, "axis": -1, "num_axes": 0}}, (X,), opencv=False
    ),
    "reshape, numbers in front": Case("Reshape", {"reshape_param": {"shape": {"dim": [4, 60]}}}, (X,)),
    "reshape that does not fit": Case(
        "Reshape", {"reshape_param": {"shape": {"dim": [0, 7, -1]}}}, (X,), refused="120 numbers do not fit"
    ),
    "tile": Case("Tile", {"tile_param": {"tiles": 3}}, (X,), opencv=False),
    "tile, axis 2": Case("Tile", {"tile_param": {"tiles": 2, "axis": 2}}, (X,), opencv=False),
    "crop, trap: axis 2, no offset": Case("Crop", {}, (X, (2, 1, 4, 3))),
    "crop, trap: one offset for every axis": Case("Crop", {"crop_param": {"offset": 1}}, (X, (2, 9, 4, 3))),
    "crop, trap: an offset an axis": Case("Crop", {"crop_param": {"offset": [2, 1]}}, (X, (2, 9, 4, 3))),
    "crop from axis 1": Case("Crop", {"crop_param": {"axis": 1, "offset": [1, 0, 2]}}, (X, (2, 2, 4, 3))),
    "crop to what is half as large": Case(
        "Crop",
        {"crop_param": {"offset": [2, 3]}},
        ((2, 4, 12, 10),),
        bottoms=["a", "p"],
        before=[("Pooling", "pool", ["a"], ["p"], {"pooling_param": {"kernel_size": 2, "stride": 2}})],
    ),
    "crop to what is as large": Case(
        "Crop",
        {},
        ((2, 4, 12, 10),),
        bottoms=["a", "p"],
        before=[("ReLU", "relu", ["a"], ["p"], {})],
        opencv=False,
    ),
    "crop past the end": Case("Crop", {"crop_param": {"offset": 3}}, (X, (2, 9, 4, 3)), refused="passes the end"),
    "permute": Case("Permute", {"permute_param": {"order": [0, 2, 3, 1]}}, (X,)),
    "permute, the rest follows": Case("Permute", {"permute_param": {"order": [0, 3]}}, (X,), opencv=False),
    "permute, an axis twice": Case(
        "Permute", {"permute_param": {"order": [0, 1, 1]}}, (X,), refused="order is [0, 1, 1]"
    ),
    "shuffle channel": Case("ShuffleChannel", {"shuffle_channel_param": {"group": 3}}, ((2, 6, 4, 5),)),
    "shuffle channel, groups that do not part": Case(
        "ShuffleChannel", {"shuffle_channel_param": {"group": 4}}, ((2, 6, 4, 5),), refused="group is 4 for 6 channels"
    ),
    "batch reindex": Case("BatchReindex", {}, ((4, 3, 2), np.asarray([2, 0, 3, 3, 1])), opencv=False),
    "reduction, SUM of all": Case("Reduction", {}, (X,), opencv=False),
    "reduction, SUM from axis 2": Case("Reduction", {"reduction_param": {"axis": 2}}, (X,), opencv=False),
    "reduction, ASUM": Case(
        "Reduction", {"reduction_param": {"axis": 1, "operation": Word("ASUM")}}, (X,), opencv=False
    ),
    "reduction, SUMSQ": Case(
        "Reduction", {"reduction_param": {"axis": -1, "operation": Word("SUMSQ")}}, (X,), opencv=False
    ),
    "reduction, MEAN and coeff": Case(
        "Reduction", {"reduction_param": {"axis": 1, "operation": Word("MEAN"), "coeff": 2.5}}, (X,), opencv=False
    ),
    "argmax of a row": Case("ArgMax", {}, (X,), opencv=False),
    "argmax, top_k and values": Case("ArgMax", {"argmax_param": {"top_k": 3, "out_max_val": True}}, (X,), opencv=False),
    "argmax of a matrix": Case("ArgMax", {"argmax_param": {"top_k": 2}}, ((3, 7),), opencv=False),
    "argmax along an axis": Case("ArgMax", {"argmax_param": {"axis": 1, "top_k": 2}}, (X,), opencv=False),
    "argmax, values along an axis": Case(
        "ArgMax", {"argmax_param": {"axis": -1, "out_max_val": True}}, (X,), opencv=False
    ),
    "argmax, of equal numbers the last": Case(
        "ArgMax", {"argmax_param": {"axis": 1}}, (np.asarray([[1, 3, 3, 2], [5, 1, 5, 5], [0, 0, 0, 0]]),), opencv=False
    ),
    # Forks
    "interp to sizes": Case("Interp", {"interp_param": {"height": 9, "width": 4}}, (X,), opencv=False),
    "interp, zoom": Case("Interp", {"interp_param": {"zoom_factor": 3}}, (X,), opencv=False),
    "interp, shrink": Case("Interp", {"interp_param": {"shrink_factor": 2}}, (X,), opencv=False),
    "interp, shrink then zoom": Case(
        "Interp", {"interp_param": {"shrink_factor": 2, "zoom_factor": 4}}, (X,), opencv=False
    ),
    "interp, trap: sizes go before both factors": Case(
        "Interp",
        {"interp_param": {"shrink_factor": 2, "zoom_factor": 4, "height": 8, "width": 7}},
        (X,),
        opencv=False,
    ),
    "interp, trap: one factor goes before sizes": Case(
        "Interp", {"interp_param": {"zoom_factor": 2, "height": 8, "width": 7}}, (X,), opencv=False
    ),
    "interp, cut at one end": Case(
        "Interp", {"interp_param": {"height": 9, "width": 8, "pad_end": -2}}, (X,), opencv=False
    ),
    "interp, cut at the other end": Case(
        "Interp", {"interp_param": {"height": 9, "width": 8, "pad_beg": -2}}, (X,), opencv=False
    ),
    "interp without a size": Case("Interp", {"interp_param": {"height": 9}}, (X,), refused="width is missing"),
    "interp, cut first": Case(
        "Interp", {"interp_param": {"height": 9, "width": 8, "pad_beg": -1, "pad_end": -2}}, (X,), opencv=False
    ),
    "interp to one row": Case("Interp", {"interp_param": {"height": 1, "width": 3}}, (X,), opencv=False),
    "interp, padded": Case(
        "Interp", {"interp_param": {"height": 9, "width": 8, "pad_beg": 1}}, (X,), refused="only negative"
    ),
    "upsample, nearest": Case("Upsample", {"upsample_param": {"scale": 3}}, (X,), opencv=False),
    "upsample, nearest, by default": Case("Upsample", {}, (X,), opencv=False),
    "upsample, nearest, unequal": Case(
        "Upsample", {"upsample_param": {"scale_h": 3, "scale_w": 2}}, (X,), opencv=False
    ),
    "upsample by a mask": Case(
        "Upsample",
        {"upsample_param": {"scale": 2}},
        ((2, 3, 6, 8),),
        opencv=False,
        bottoms=["p", "m"],
        before=[("Pooling", "pool", ["a"], ["p", "m"], {"pooling_param": {"kernel_size": 2, "stride": 2}})],
    ),
    "upsample by a mask, odd sizes": Case(
        "Upsample",
        {"upsample_param": {"scale": 2, "pad_out_h": True}},
        ((2, 3, 5, 8),),
        opencv=False,
        bottoms=["p", "m"],
        before=[("Pooling", "pool", ["a"], ["p", "m"], {"pooling_param": {"kernel_size": 2, "stride": 2}})],
    ),
    "upsample by a mask to sizes": Case(
        "Upsample",
        {"upsample_param": {"upsample_h": 7, "upsample_w": 8}},
        ((2, 3, 6, 8),),
        opencv=False,
        bottoms=["p", "m"],
        before=[("Pooling", "pool", ["a"], ["p", "m"], {"pooling_param": {"kernel_size": 2, "stride": 2}})],
    ),
    "upsample by a mask, odd widths": Case(
        "Upsample",
        {"upsample_param": {"pad_out_w": True}},
        ((2, 3, 8, 5),),
        opencv=False,
        bottoms=["p", "m"],
        before=[("Pooling", "pool", ["a"], ["p", "m"], {"pooling_param": {"kernel_size": 2, "stride": 2}})],
    ),
    "upsample by a mask, trap: half of a size does not count": Case(
        "Upsample",
        {"upsample_param": {"upsample_h": 9}},
        ((2, 3, 6, 8),),
        opencv=False,
        bottoms=["p", "m"],
        before=[("Pooling", "pool", ["a"], ["p", "m"], {"pooling_param": {"kernel_size": 2, "stride": 2}})],
    ),
    "upsample by a mask, unequal": Case(
        "Upsample",
        {"upsample_param": {"scale_h": 3, "scale_w": 2}},
        ((2, 3, 6, 8),),
        opencv=False,
        bottoms=["p", "m"],
        before=[("Pooling", "pool", ["a"], ["p", "m"], {"pooling_param": {"kernel_size": 2, "stride": 2}})],
    ),
    "upsample by a mask, pad_out with another scale": Case(
        "Upsample",
        {"upsample_param": {"scale": 3, "pad_out_h": True}},
        ((2, 3, 6, 8),),
        bottoms=["p", "m"],
        before=[("Pooling", "pool", ["a"], ["p", "m"], {"pooling_param": {"kernel_size": 2, "stride": 2}})],
        refused="goes with a scale of 2 only",
    ),
    "upsample of three bottoms": Case("Upsample", {}, (X, X, X), refused="has 3 bottoms, expected 1 to 2"),
    "upsample, scale twice": Case(
        "Upsample", {"upsample_param": {"scale": 2, "scale_h": 2, "scale_w": 2}}, (X,), refused="expected one way"
    ),
    # Detection
    "prior box": prior(min_size=30.0),
    "prior box, half of a picture": prior(min_size=30.0, img_w=80, refused="do not go together"),
    "prior box, step twice": prior(min_size=30.0, step=16.0, step_h=16.0, step_w=8.0, refused="do not go together"),
    "prior box, step_h alone": prior(min_size=30.0, step_h=16.0, refused="do not go together"),
    "prior box, one variance of 0.1 by default, clip false": prior(min_size=30.0, opencv=False),
    "prior box, trap: sizes are cut to whole numbers": prior(min_size=30.7, max_size=61.9, opencv=False),
    "prior box, max_size, ratios, flip": prior(min_size=30.0, max_size=60.0, aspect_ratio=[2.0, 3.0]),
    "prior box, ratios that are there already": prior(min_size=30.0, aspect_ratio=[1.0, 2.0, 0.5, 2.0], opencv=False),
    "prior box, no flip, clip": prior(min_size=30.0, max_size=60.0, aspect_ratio=[2.0], flip=False, clip=True),
    "prior box, one variance": prior(min_size=30.0, variance=0.2, opencv=False),
    "prior box, img_size, step, offset": prior(min_size=30.0, img_size=100, step=16.0, offset=0.25, opencv=False),
    "prior box, step, offset": prior(min_size=30.0, step=16.0, offset=0.25),
    "prior box, img_h, step_w": prior(min_size=30.0, img_h=80, img_w=120, step_h=16.0, step_w=20.0, opencv=False),
    "prior box, several sizes": prior(min_size=[20.0, 40.0], max_size=[30.0, 50.0], aspect_ratio=[2.0], opencv=False),
    "prior box, fewer max_size": prior(min_size=[20.0, 40.0], max_size=[30.0], refused="2 min_size and 1 max_size"),
    "detection, CENTER_SIZE": detection(code_type=Word("CENTER_SIZE"), confidence_threshold=0.2),
    "detection, CORNER by default": detection(confidence_threshold=0.2),
    "detection, CORNER_SIZE": detection(code_type=Word("CORNER_SIZE"), confidence_threshold=0.2),
    "detection, variance in the target": detection(
        code_type=Word("CENTER_SIZE"), confidence_threshold=0.2, variance_encoded_in_target=True
    ),
    "detection, trap: top_k before, keep_top_k after": detection(
        code_type=Word("CENTER_SIZE"),
        nms_param={"nms_threshold": 0.45, "top_k": 9},
        keep_top_k=7,
        confidence_threshold=0.2,
    ),
    "detection, keep_top_k of more": detection(code_type=Word("CENTER_SIZE"), keep_top_k=400, confidence_threshold=0.2),
    "detection, nms_threshold": detection(
        code_type=Word("CENTER_SIZE"), nms_param={"nms_threshold": 0.1}, confidence_threshold=0.2
    ),
    "detection, another background": detection(
        code_type=Word("CENTER_SIZE"), background_label_id=2, confidence_threshold=0.2
    ),
    "detection, no background": detection(
        code_type=Word("CENTER_SIZE"), background_label_id=-1, confidence_threshold=0.2
    ),
    "detection, a box for each class": detection(
        located=3, code_type=Word("CENTER_SIZE"), confidence_threshold=0.2, share_location=False
    ),
    "detection, trap: nothing found": detection(code_type=Word("CENTER_SIZE"), confidence_threshold=9.0),
    "detection without a threshold": detection(code_type=Word("CENTER_SIZE"), nms_param={"top_k": 5}),
    "detection, eta": detection(nms_param={"eta": 0.9}, refused="nms_param.eta"),
    "detection, other numbers of classes": detection(num_classes=5, refused="its boxes and classes make"),
    "roi pooling": Case(
        "ROIPooling", {"roi_pooling_param": {"pooled_h": 3, "pooled_w": 2, "spatial_scale": 0.5}}, (X, ROIS)
    ),
    "proposal": proposal(pre_nms_topn=60, post_nms_topn=20, min_size=4),
    "roi pooling of the first picture": Case(
        "ROIPooling", {"roi_pooling_param": {"pooled_h": 3, "pooled_w": 2, "spatial_scale": 0.5}}, (X, NEAR)
    ),
    "roi pooling, regions of more dimensions": Case(
        "ROIPooling",
        {"roi_pooling_param": {"pooled_h": 3, "pooled_w": 2, "spatial_scale": 0.5}},
        (X, NEAR.reshape(4, 5, 1)),
        opencv=False,
    ),
    "proposal, trap: the best after suppression": proposal(post_nms_topn=5, min_size=4),
    "proposal, trap: the best before suppression": proposal(pre_nms_topn=7, min_size=4),
    "proposal, trap: both ends of a box count": proposal(
        base_size=4, scale=[1.0, 2.0, 3.0], feat_stride=4, min_size=1, nms_thresh=0.4
    ),
    "proposal, 300 of many by default": proposal(sides=(26, 26), min_size=1),
    "proposal, 6000 of many by default": proposal(sides=(26, 26), min_size=1, post_nms_topn=0),
    "proposal, all of them": proposal(pre_nms_topn=0, post_nms_topn=0, min_size=4, nms_thresh=0.9),
    "proposal with scores": proposal(tops=2, pre_nms_topn=60, post_nms_topn=20, min_size=4),
    "proposal, trap: small ones are dropped": proposal(min_size=20, post_nms_topn=1000),
    "proposal, ratios, scales, stride": proposal(
        numbers=2, ratio=[0.7, 1.9], scale=4.0, feat_stride=8, base_size=10, min_size=2, nms_thresh=0.5
    ),
    "proposal, everything by default": proposal(),
    "proposal, other channels": proposal(numbers=8, refused="channels, its 9 boxes a place 2 each"),
    # Steps in time
    "LSTM": lstm(),
    "LSTM with a static input": lstm(static=True),
    "LSTM, trap: states start at zero where a sequence goes on": lstm(cont=GOES_ON),
    "LSTM, a weight of another size": lstm(state=(12, 4), refused="weight of the state has 48 numbers"),
    "LSTM, exposed": lstm(expose_hidden=True, refused="expose_hidden"),
    "RNN": Case(
        "RNN",
        {"recurrent_param": {"num_output": 3}},
        ((4, 2, 5), CONT),
        [(3, 5), (3,), (3, 3), (3, 3), (3,)],
        opencv=False,
    ),
    "RNN, trap: states start at zero where a sequence goes on": Case(
        "RNN",
        {"recurrent_param": {"num_output": 3}},
        ((4, 2, 5), GOES_ON),
        [(3, 5), (3,), (3, 3), (3, 3), (3,)],
        opencv=False,
    ),
    "RNN with a static input": Case(
        "RNN",
        {"recurrent_param": {"num_output": 3}},
        ((4, 2, 5), CONT, (2, 6)),
        [(3, 5), (3,), (3, 6), (3, 3), (3, 3), (3,)],
        opencv=False,
    ),
    "dummy data": Case(
        "Eltwise",
        {},
        ((2, 3),),
        opencv=False,
        bottoms=["a", "d"],
        before=[
            (
                "DummyData",
                "dummy",
                [],
                ["d"],
                {"dummy_data_param": {"shape": {"dim": [2, 3]}, "data_filler": {"type": "constant", "value": 1.5}}},
            )
        ],
    ),
    "dummy data, sizes of old": Case(
        "Eltwise",
        {},
        ((2, 3, 1, 2),),
        opencv=False,
        bottoms=["a", "d"],
        before=[
            ("DummyData", "dummy", [], ["d"], {"dummy_data_param": {"num": 2, "channels": 3, "height": 1, "width": 2}})
        ],
    ),
    "dummy data, one filler and one shape for two tops": Case(
        "Eltwise",
        {},
        ((2, 3),),
        opencv=False,
        bottoms=["a", "d", "e"],
        before=[
            (
                "DummyData",
                "dummy",
                [],
                ["d", "e"],
                {"dummy_data_param": {"shape": {"dim": [2, 3]}, "data_filler": {"value": 2.5}}},
            )
        ],
    ),
    "dummy data, a filler and a shape for each top": Case(
        "Concat",
        {"concat_param": {"axis": 0}},
        ((2, 3),),
        opencv=False,
        bottoms=["a", "d", "e"],
        before=[
            (
                "DummyData",
                "dummy",
                [],
                ["d", "e"],
                {
                    "dummy_data_param": {
                        "shape": [{"dim": [1, 3]}, {"dim": [4, 3]}],
                        "data_filler": [{"value": 2.5}, {"value": -1.0}],
                    }
                },
            )
        ],
    ),
    "dummy data, sizes of old for each top": Case(
        "Concat",
        {"concat_param": {"axis": 0}},
        ((2, 3, 1, 2),),
        opencv=False,
        bottoms=["a", "d", "e"],
        before=[
            (
                "DummyData",
                "dummy",
                [],
                ["d", "e"],
                {"dummy_data_param": {"num": [1, 4], "channels": 3, "height": 1, "width": 2}},
            )
        ],
    ),
    "dummy data by chance": Case(
        "Eltwise",
        {},
        ((2, 3),),
        bottoms=["a", "d"],
        refused="numbers by chance",
        before=[
            (
                "DummyData",
                "dummy",
                [],
                ["d"],
                {"dummy_data_param": {"shape": {"dim": [2, 3]}, "data_filler": {"type": "gaussian"}}},
            )
        ],
    ),
    "parameter": Case(
        "Eltwise",
        {},
        ((2, 3),),
        opencv=False,
        bottoms=["a", "p"],
        weights={"parameter": [(2, 3)]},
        before=[("Parameter", "parameter", [], ["p"], {"parameter_param": {"shape": {"dim": [2, 3]}}})],
    ),
    "parameter, its shape by its weight": Case(
        "Eltwise",
        {},
        ((2, 3),),
        opencv=False,
        bottoms=["a", "p"],
        weights={"parameter": [(2, 3)]},
        before=[("Parameter", "parameter", [], ["p"], {})],
    ),
    "a layer that nobody knows": Case("Foo", {}, (X,), refused="no converter for Foo (x1)"),
    "python": Case("Python", {"python_param": {"module": "m", "layer": "L"}}, (X,), refused="no converter for Python"),
}
