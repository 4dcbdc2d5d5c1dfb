"""The trap table, a row a trap: what converters of MXNet models get wrong, each judged by MXNet itself.

A row may say how the wrong reading would look (`wrong`: other attributes or another operator over the same arrays):
MXNet's answer to that has to differ from the row's own, or the row would pass with the rule broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from gateway.core.compare import Comparison, compare
from tests.formats.mxnet.harness import Case, Shaped, array, assert_passed, mxnet_answers, run_table


@dataclass(frozen=True)
class Trap:
    case: Case
    wrong: Case | None = None


def trap(
    op: str,
    attrs: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Shaped] | None = None,
    weights: Mapping[str, Shaped] | None = None,
    *,
    wrong: Mapping[str, Any] | None = None,
    wrong_op: str = "",
    **more: Any,
) -> Trap:
    """`wrong` are attributes that differ in the wrong reading; None takes one away."""
    case = Case(op, dict(attrs or {}), dict(inputs or {"data": (2, 3, 6, 6)}), dict(weights or {}), **more)
    if wrong is None and not wrong_op:
        return Trap(case)
    changed = {key: value for key, value in {**case.attrs, **(wrong or {})}.items() if value is not None}
    return Trap(case, replace(case, op=wrong_op or op, attrs=changed))


def small(*shape: int) -> np.ndarray:
    return array("small", shape) * np.float32(1e-4)


def ramp(*shape: int) -> np.ndarray:
    return np.linspace(-2, 3, int(np.prod(shape)), dtype=np.float32).reshape(shape)


VAR = np.asarray([0.01, 0.002, 0.05], np.float32)
NORM = {"gamma": (3,), "beta": (3,), "moving_mean": (3,), "moving_var": VAR}
ROIS = np.asarray([[0, 1, 1, 4, 5], [1, 0.5, 2.5, 5, 5], [0, 5, 5, 2, 2], [1, 6, 6, 9, 9]], np.float32)
TIMES = {"data": (5, 2, 3)}
LABEL = ("label", "op_label")
COARSE, FINE = (1, 2, 3, 4), (1, 2, 6, 8)


def pooled(wrong: Mapping[str, Any] | None = None, shape: tuple[int, ...] = (2, 3, 6, 6), **attrs: Any) -> Trap:
    return trap("Pooling", attrs, {"data": shape}, wrong=wrong)


NORMS = {
    "BatchNorm: eps is 1e-3": trap("BatchNorm", {}, None, NORM, wrong={"eps": 1e-5}),
    "BatchNorm: an eps that is given": trap("BatchNorm", {"eps": 2e-5}, None, NORM, wrong={"eps": None}),
    "BatchNorm: fix_gamma is True, the stored gamma counts as 1": trap(
        "BatchNorm", {}, None, NORM, wrong={"fix_gamma": False}
    ),
    "BatchNorm: fix_gamma False, gamma counts": trap(
        "BatchNorm", {"fix_gamma": False}, None, NORM, wrong={"fix_gamma": True}
    ),
    "BatchNorm: use_global_stats means nothing at inference": trap("BatchNorm", {"use_global_stats": True}, None, NORM),
    "BatchNorm: axis is 1": trap("BatchNorm", {}, {"data": (2, 3, 5, 3)}, NORM, wrong={"axis": 3}),
    "BatchNorm: axis at the end": trap("BatchNorm", {"axis": -1}, {"data": (2, 3, 5, 3)}, NORM, wrong={"axis": 1}),
    "BatchNorm: two dimensions": trap("BatchNorm", {"fix_gamma": False}, {"data": (4, 3)}, NORM),
    "L2Normalization: eps stands inside the root": trap(
        "L2Normalization", {}, {"data": small(2, 3, 4, 4)}, wrong={"eps": 1e-20}
    ),
    "L2Normalization: instance sums all but the batch": trap("L2Normalization", {}, wrong={"mode": "channel"}),
    "L2Normalization: channel sums axis 1": trap("L2Normalization", {"mode": "channel"}, wrong={"mode": "spatial"}),
    "L2Normalization: spatial sums the places": trap("L2Normalization", {"mode": "spatial"}, wrong={"mode": "channel"}),
    "LRN: knorm is 2": trap("LRN", {"nsize": 3, "alpha": 0.3}, wrong={"knorm": 1}),
    "LRN: alpha is divided by nsize": trap(
        "LRN", {"nsize": 3, "alpha": 0.3}, {"data": (2, 5, 4, 4)}, wrong={"alpha": 0.9}
    ),
}

POOLS = {
    "Pooling: valid rounds down": pooled(kernel=(3, 3), stride=(2, 2), wrong={"pooling_convention": "full"}),
    "Pooling: full rounds up": pooled(
        kernel=(3, 3), stride=(2, 2), pooling_convention="full", wrong={"pooling_convention": "valid"}
    ),
    "Pooling: full does not clip a window of padding alone, max": pooled(
        shape=(1, 2, 4, 4), kernel=(2, 2), stride=(3, 3), pad=(1, 1), pooling_convention="full"
    ),
    "Pooling: full, average: the overhang does not count, the padding does": pooled(
        shape=(1, 2, 6, 7), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pooling_convention="full", pool_type="avg",
        wrong={"count_include_pad": False},
    ),
    "Pooling: an average counts padding": pooled(
        kernel=(3, 3), pad=(1, 1), pool_type="avg", wrong={"count_include_pad": False}
    ),
    "Pooling: count_include_pad None is True": pooled(
        kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad="None", wrong={"count_include_pad": False}
    ),
    "Pooling: count_include_pad False": pooled(
        kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False, wrong={"count_include_pad": True}
    ),
    "Pooling: full and count_include_pad False": pooled(
        shape=(1, 2, 6, 7), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pooling_convention="full", pool_type="avg",
        count_include_pad=False, wrong={"count_include_pad": True},
    ),
    "Pooling: global_pool ignores kernel, stride and pad": pooled(
        kernel=(2, 2), stride=(2, 2), pad=(1, 1), global_pool=True, pool_type="avg", wrong={"global_pool": False}
    ),
    "Pooling: a global one needs no kernel": pooled(global_pool=True, pool_type="avg", wrong={"pool_type": "max"}),
    "Pooling: pool_type sum": pooled(kernel=(2, 2), pool_type="sum", wrong={"pool_type": "avg"}),
    "Pooling: pool_type lp": pooled(kernel=(2, 2), pool_type="lp", p_value=2, wrong={"p_value": 1}),
    "Pooling: pool_type is max": pooled(kernel=(2, 2), wrong={"pool_type": "avg"}),
    "Pooling: stride is 1": pooled(kernel=(2, 2), wrong={"stride": (2, 2)}),
}  # fmt: skip

CONVOLUTIONS = {
    "Convolution: there is a bias": trap(
        "Convolution", {"kernel": (3, 3), "num_filter": 4}, wrong={"no_bias": True}
    ),
    "Convolution: no_bias": trap("Convolution", {"kernel": (3, 3), "num_filter": 4, "no_bias": True}),
    "Convolution: groups, stride, dilation and pad": trap(
        "Convolution",
        {"kernel": (3, 2), "num_filter": 4, "num_group": 2, "stride": (2, 1), "dilate": (1, 2), "pad": (2, 1)},
        {"data": (2, 6, 9, 8)},
        wrong={"dilate": (1, 1)},
    ),
    "Convolution: one dimension": trap("Convolution", {"kernel": (3,), "num_filter": 4}, {"data": (2, 3, 9)}),
    "Deconvolution: there is no bias": trap(
        "Deconvolution", {"kernel": (3, 3), "num_filter": 4}, wrong={"no_bias": False}
    ),
    "Deconvolution: a bias when it is said": trap(
        "Deconvolution", {"kernel": (3, 3), "num_filter": 4, "no_bias": False}, wrong={"no_bias": True}
    ),
    "Deconvolution: weight is (in, out / groups, ...)": trap(
        "Deconvolution", {"kernel": (3, 2), "num_filter": 6, "num_group": 2}, {"data": (1, 4, 5, 4)}
    ),
    "Deconvolution: stride, pad, adj": trap(
        "Deconvolution",
        {"kernel": (3, 3), "num_filter": 2, "stride": (2, 2), "pad": (1, 1), "adj": (1, 1)},
        {"data": (1, 3, 4, 5)},
        wrong={"adj": (0, 0)},
    ),
    "Deconvolution: target_shape, an odd rest": trap(
        "Deconvolution",
        {"kernel": (4, 4), "num_filter": 2, "stride": (2, 2), "target_shape": (7, 9)},
        {"data": (1, 3, 4, 5)},
        wrong={"target_shape": None},
    ),
    "Deconvolution: target_shape makes pad and adj count for nothing": trap(
        "Deconvolution",
        {"kernel": (3, 3), "num_filter": 2, "stride": (2, 2), "target_shape": (8, 10), "pad": (1, 0), "adj": (0, 1)},
        {"data": (1, 3, 4, 5)},
        wrong={"target_shape": None},
    ),
    "Deconvolution: dilation": trap(
        "Deconvolution", {"kernel": (3, 3), "num_filter": 2, "dilate": (2, 2)}, {"data": (1, 3, 5, 5)},
        wrong={"dilate": (1, 1)},
    ),
    "UpSampling: nearest": trap("UpSampling", {"scale": 2, "sample_type": "nearest"}),
    "UpSampling: each input reaches the first one's size, then concat": trap(
        "UpSampling", {"scale": 2, "sample_type": "nearest"}, {"fine": FINE, "coarse": COARSE}
    ),
    "UpSampling: or sum": trap(
        "UpSampling", {"scale": 2, "sample_type": "nearest", "multi_input_mode": "sum"},
        {"fine": FINE, "coarse": COARSE}, wrong={"multi_input_mode": "concat"},
    ),
    "UpSampling: bilinear is a deconvolution with the weight that is there": trap(
        "UpSampling", {"scale": 2, "sample_type": "bilinear", "num_filter": 3, "num_args": 2}, None,
        {"weight": (3, 1, 4, 4)},
    ),
    "UpSampling: bilinear, an odd scale": trap(
        "UpSampling", {"scale": 3, "sample_type": "bilinear", "num_filter": 3, "num_args": 2},
        {"data": (1, 3, 4, 5)}, {"weight": (3, 1, 5, 5)},
    ),
    "Resize: BilinearResize2D aligns corners": trap(
        "_contrib_BilinearResize2D", {"height": 9, "width": 11}, wrong={"align_corners": False}
    ),
    "Resize: BilinearResize2D with half pixels": trap(
        "_contrib_BilinearResize2D", {"height": 9, "width": 11, "align_corners": False}, wrong={"align_corners": True}
    ),
    "FullyConnected: flatten is True": trap("FullyConnected", {"num_hidden": 4}, {"data": (2, 3, 2, 2)}),
    "FullyConnected: flatten False takes the last axis": trap(
        "FullyConnected", {"num_hidden": 4, "flatten": False}, {"data": (2, 3, 5)}
    ),
    "FullyConnected: there is a bias": trap(
        "FullyConnected", {"num_hidden": 4}, {"data": (2, 5)}, wrong={"no_bias": True}
    ),
}  # fmt: skip

ACTIVATIONS = {
    "LeakyReLU: slope is 0.25": trap("LeakyReLU", {}, wrong={"slope": 0.1}),
    "LeakyReLU: elu is slope (e^x - 1)": trap("LeakyReLU", {"act_type": "elu", "slope": 0.7}, wrong={"slope": 1.0}),
    "LeakyReLU: prelu, one slope a channel on axis 1": trap(
        "LeakyReLU", {"act_type": "prelu"}, {"data": (3, 3, 3, 3)}, {"gamma": (3,)},
        wrong_op="broadcast_mul",
    ),
    "LeakyReLU: prelu, one slope for all": trap("LeakyReLU", {"act_type": "prelu"}, None, {"gamma": (1,)}),
    "LeakyReLU: prelu of two dimensions": trap("LeakyReLU", {"act_type": "prelu"}, {"data": (3, 3)}, {"gamma": (3,)}),
    "LeakyReLU: selu": trap("LeakyReLU", {"act_type": "selu"}, wrong={"act_type": "elu"}),
    "LeakyReLU: gelu is the one with erf": trap("LeakyReLU", {"act_type": "gelu"}, {"data": ramp(4, 9)}),
    "LeakyReLU: rrelu takes the mean slope": trap("", graph="tests.formats.mxnet.heads:rrelu"),
    "LeakyReLU: rrelu with bounds": trap(
        "", {"lower_bound": 0.1, "upper_bound": 0.5}, graph="tests.formats.mxnet.heads:rrelu",
        wrong={"upper_bound": None},
    ),
    "Dropout: identity": trap("Dropout", {"p": 0.7}),
    "Dropout: mode always stays random": trap("Dropout", {"p": 0.7, "mode": "always"}, refused="always"),
    "softmax: the last axis": trap("softmax", {}, {"data": (3, 3, 3)}, wrong={"axis": 1}),
    "softmax: temperature divides": trap("softmax", {"temperature": 2.5}, {"data": (3, 4)}, wrong={"temperature": 1}),
    "SoftmaxActivation: instance is over the last axis, whatever its text says": trap(
        "SoftmaxActivation", {}, {"data": (2, 3, 4)}, wrong={"mode": "channel"}
    ),
    "SoftmaxActivation: instance, four dimensions": trap(
        "SoftmaxActivation", {}, {"data": (2, 3, 4, 5)}, wrong={"mode": "channel"}
    ),
    "SoftmaxActivation: channel is axis 1": trap(
        "SoftmaxActivation", {"mode": "channel"}, {"data": (2, 3, 4)}, wrong={"mode": "instance"}
    ),
}  # fmt: skip

OUTPUTS = {
    "SoftmaxOutput: over all but the batch": trap(
        "SoftmaxOutput", {}, {"data": (2, 3, 4)}, wrong={"preserve_shape": True}, labels=LABEL
    ),
    "SoftmaxOutput: multi_output is axis 1": trap(
        "SoftmaxOutput", {"multi_output": True}, {"data": (2, 3, 4)}, wrong={"multi_output": False}
    ),
    "SoftmaxOutput: preserve_shape is the last axis": trap(
        "SoftmaxOutput", {"preserve_shape": True}, {"data": (2, 3, 4)}, wrong={"preserve_shape": False}
    ),
    "label inputs: LinearRegressionOutput is the identity": trap("LinearRegressionOutput", {}, {"data": (2, 3)}),
    "label inputs: MAERegressionOutput is the identity": trap("MAERegressionOutput", {}, {"data": (2, 3)}),
    "label inputs: LogisticRegressionOutput is the sigmoid": trap(
        "LogisticRegressionOutput", {}, {"data": (2, 3)}, wrong_op="LinearRegressionOutput"
    ),
    "MakeLoss is the identity": trap("MakeLoss", {"grad_scale": 3.0}, {"data": (2, 3)}),
    "make_loss is the identity": trap("make_loss", {}, {"data": (2, 3)}),
    "BlockGrad is the identity": trap("BlockGrad", {}, {"data": (2, 3)}),
}


def shaped(codes: str, wrong: str, shape: tuple[int, ...] = (2, 3, 4, 5), **attrs: Any) -> Trap:
    return trap("Reshape", {"shape": codes, **attrs}, {"data": shape}, wrong={"shape": wrong})


RESHAPES = {
    "Reshape: 0 copies, -1 infers": shaped("(0, -1)", "(-1, 2)"),
    "Reshape: -2 copies all that is left": shaped("(2, 3, -2)", "(2, 3, 20)"),
    "Reshape: -3 merges two": shaped("(0, -3, 0)", "(0, 3, 20)"),
    "Reshape: -4 splits": shaped("(0, -4, 1, 3, -2)", "(0, 3, 1, 4, 5)"),
    "Reshape: -4 splits, one factor is inferred": shaped("(-3, -4, -1, 2, 0)", "(6, 4, 5)"),
    "Reshape: reverse reads from the right": trap(
        "Reshape", {"shape": "(-1, 0)", "reverse": True}, {"data": (4, 3, 2)}, wrong={"reverse": False}
    ),
    "Reshape: target_shape of old": trap(
        "Reshape", {"target_shape": "(2, 0)"}, {"data": (2, 3, 4)}, wrong={"target_shape": "(4, 0)"}
    ),
    "Reshape: keep_highest of old": trap(
        "Reshape", {"target_shape": "(0, 4, 0)", "keep_highest": True}, {"data": (2, 3, 4)},
        wrong={"target_shape": "(4, 0)", "keep_highest": False},
    ),
    "Flatten then FullyConnected keeps the order (C, H, W)": trap(
        "", {}, {"data": (2, 3, 4, 5)}, graph="tests.formats.mxnet.heads:flattened"
    ),
}  # fmt: skip

SHAPES = {
    "Concat: dim is 1": trap("Concat", {}, {"a": (3, 3), "b": (3, 3)}, wrong={"dim": 0}),
    "SliceChannel: axis is 1": trap(
        "SliceChannel", {"num_outputs": 2}, {"data": (4, 4, 4)}, wrong={"axis": 0}
    ),
    "SliceChannel: squeeze_axis": trap(
        "SliceChannel", {"num_outputs": 3, "squeeze_axis": True}, {"data": (2, 3, 4)}, wrong={"squeeze_axis": False}
    ),
    "Crop: two inputs, the second gives the size": trap(
        "Crop", {"offset": "(1, 2)"}, {"data": (1, 2, 7, 8), "like": (1, 5, 4, 3)}, wrong={"offset": "(0, 0)"}
    ),
    "Crop: h_w and offset": trap(
        "Crop", {"h_w": "(4, 5)", "offset": "(2, 1)"}, {"data": (1, 2, 7, 8)}, wrong={"offset": "(1, 2)"}
    ),
    "Crop: center_crop": trap(
        "Crop", {"h_w": "(4, 5)", "center_crop": True}, {"data": (1, 2, 7, 8)}, wrong={"center_crop": False}
    ),
    "Pad: constant, (before, after) for each axis": trap(
        "Pad", {"mode": "constant", "pad_width": "(0,0,0,0,1,2,3,0)", "constant_value": 0.5},
        wrong={"pad_width": "(0,0,0,0,1,3,2,0)"},
    ),
    "Pad: edge": trap("Pad", {"mode": "edge", "pad_width": "(0,0,0,0,1,2,3,0)"}, wrong={"mode": "reflect"}),
    "Pad: reflect": trap("Pad", {"mode": "reflect", "pad_width": "(0,0,0,0,1,2,3,0)"}, wrong={"mode": "edge"}),
    "SwapAxis: two axes": trap("SwapAxis", {"dim1": 1, "dim2": 3}, {"data": (2, 3, 4, 3)}, wrong={"dim2": 2}),
    "slice_like: axes () means all": trap(
        "slice_like", {}, {"data": (4, 5, 6), "like": (2, 3, 4)}, wrong={"axes": "(1, 2)"}
    ),
    "slice_like: some axes": trap(
        "slice_like", {"axes": "(0, -1)"}, {"data": (4, 5, 6), "like": (2, 3, 4)}, wrong={"axes": "()"}
    ),
    "argmax: the answer is float32": trap("argmax", {"axis": 1}, {"data": (4, 5)}, wrong={"axis": 0}),
    "Embedding: indices are floats, cut and clipped": trap(
        "Embedding", {"input_dim": 4, "output_dim": 3},
        {"data": np.asarray([[0, 3, 9], [2.9, 1.2, -4]], np.float32)}, {"weight": (4, 3)},
    ),
    "ROIPooling: ends are inclusive and rounded half away from zero": trap(
        "ROIPooling", {"pooled_size": (3, 3), "spatial_scale": 1.0}, {"data": (2, 3, 8, 8), "rois": ROIS},
        wrong={"spatial_scale": 0.5},
    ),
    "ROIPooling: a scale, an empty bin is 0": trap(
        "ROIPooling", {"pooled_size": (2, 3), "spatial_scale": 0.5}, {"data": (2, 3, 4, 4), "rois": ROIS * 1.5}
    ),
}  # fmt: skip

SCALARS = {
    "scalars: _minus_scalar is x - c": trap("_minus_scalar", {"scalar": 2.5}, wrong_op="_rminus_scalar"),
    "scalars: _rminus_scalar is c - x": trap("_rminus_scalar", {"scalar": 2.5}, wrong_op="_minus_scalar"),
    "scalars: _rdiv_scalar is c / x": trap("_rdiv_scalar", {"scalar": 2.5}, wrong_op="_div_scalar"),
    "scalars: _rpower_scalar is c ^ x": trap(
        "_rpower_scalar", {"scalar": 2.5}, {"data": ramp(3, 4) + 2.5}, wrong_op="_power_scalar"
    ),
    "scalars: _rmod_scalar is c mod x": trap("_rmod_scalar", {"scalar": 2.5}, wrong_op="_mod_scalar"),
    "scalars: a remainder has the divisor's sign": trap("_mod_scalar", {"scalar": -1.5}, wrong={"scalar": 1.5}),
    "scalars: round is half away from zero": trap(
        "round", {}, {"data": np.asarray([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4], np.float32)}, wrong_op="rint"
    ),
    "scalars: old spelling _PlusScalar": trap("_PlusScalar", {"scalar": 2.5}),
    "scalars: old spelling _RMinusScalar": trap("_RMinusScalar", {"scalar": 2.5}, wrong_op="_MinusScalar"),
    "scalars: old spelling _RDivScalar": trap("_RDivScalar", {"scalar": 2.5}, wrong_op="_DivScalar"),
    "scalars: old spelling _Plus": trap("_Plus", {}, {"a": (2, 3), "b": (2, 3)}),
    "scalars: old spelling _Minus": trap("_Minus", {}, {"a": (2, 3), "b": (2, 3)}, wrong_op="_Plus"),
    "scalars: old spelling _Mul": trap("_Mul", {}, {"a": (2, 3), "b": (2, 3)}),
    "scalars: old spelling _Div": trap("_Div", {}, {"a": (2, 3), "b": (2, 3)}, wrong_op="_Mul"),
    "scalars: elemwise_sub": trap("elemwise_sub", {}, {"a": (2, 3), "b": (2, 3)}, wrong_op="elemwise_add"),
    "scalars: broadcast_sub": trap("broadcast_sub", {}, {"a": (2, 3), "b": (2, 1)}, wrong_op="broadcast_add"),
    "scalars: ElementWiseSum is add_n": trap("ElementWiseSum", {}, {"a": (2, 3), "b": (2, 3), "c": (2, 3)}),
    "scalars: comparisons give numbers of the input's type": trap(
        "_greater_scalar", {"scalar": 0.1}, {"data": (4, 5)}, wrong_op="_lesser_scalar"
    ),
}

CONV = {"num_filter": 2, "no_bias": "True"}
SPELLINGS = {
    "attrs are strings: a tuple in brackets": trap("Convolution", {**CONV, "kernel": "[3, 2]"}),
    "attrs are strings: a tuple without blanks": trap("Convolution", {**CONV, "kernel": "(3,2)"}),
    "attrs are strings: Python 2's long numbers": trap("Convolution", {**CONV, "kernel": "(3L, 2L)"}),
    "attrs are strings: 1 is true": trap(
        "Convolution", {"num_filter": 2, "kernel": "(3, 3)", "no_bias": "1"}, wrong={"no_bias": "0"}
    ),
    "attrs are strings: true in small letters": trap(
        "Convolution", {"num_filter": 2, "kernel": "(3, 3)", "no_bias": "true"}, wrong={"no_bias": "false"}
    ),
    "attrs are strings: None is none": trap("Convolution", {**CONV, "kernel": "(3, 3)", "cudnn_tune": "None"}),
    "attrs are strings: an axis that is None": trap("argmax", {"axis": "None"}, {"data": (4, 5)}, flat=True),
    "attrs are strings: an author's notes are no parameters": trap(
        "Convolution", {**CONV, "kernel": "(3, 3)", "__lr_mult__": "2.0", "__ctx_group__": "dev1"}
    ),
}


def recurrent(mode: str, parameters: int, wrong: Mapping[str, Any] | None = None, **attrs: Any) -> Trap:
    layers = attrs.get("num_layers", 1) * (2 if attrs.get("bidirectional") else 1)
    state = {"state": (layers, 2, 4)} | ({"state_cell": (layers, 2, 4)} if mode == "lstm" else {})
    said = {"mode": mode, "state_size": 4, "num_layers": 1, **attrs}
    order = ("data", "parameters", *state)
    return trap("RNN", said, {**TIMES, **state}, {"parameters": (parameters,)}, wrong=wrong, order=order)


RECURRENT = {
    "RNN: LSTM gates are i, f, c, o": recurrent("lstm", 144, wrong=None),
    "RNN: GRU gates are r, z, n and the reset comes after the product": recurrent("gru", 108),
    "RNN: weights of all layers and directions first, then biases": recurrent(
        "lstm", 2 * 144 + 2 * (4 * 4 * (8 + 4) + 32), num_layers=2, bidirectional=True
    ),
    "RNN: rnn_tanh": recurrent("rnn_tanh", 36, wrong={"mode": "rnn_relu"}),
    "RNN: every state is an output when asked": recurrent("gru", 108, state_outputs=True),
}

WHOLE = {
    "InsightFace graphs begin with their preprocessing and end in a batch norm": trap(
        "", {"filters": (4, 4, 8, 8, 8), "size": 16}, {"data": array("pixels", (2, 3, 16, 16)) * 40 + 127},
        graph="tests.formats.mxnet.arcface:arcface",
    ),
    "InsightFace graphs with fix_gamma": trap(
        "", {"filters": (4, 4, 8, 8, 8), "size": 16, "fix_gamma": True},
        {"data": array("pixels", (2, 3, 16, 16)) * 40 + 127}, graph="tests.formats.mxnet.arcface:arcface",
    ),
    "training-only nodes go by walking back from the outputs": trap(
        "", {}, {"data": (2, 5)}, graph="tests.formats.mxnet.heads:with_label_branch", labels=("label",)
    ),
}  # fmt: skip

TRAPS: dict[str, Trap] = {
    **NORMS, **POOLS, **CONVOLUTIONS, **ACTIVATIONS, **OUTPUTS, **RESHAPES, **SHAPES, **SCALARS, **SPELLINGS,
    **RECURRENT, **WHOLE,
}  # fmt: skip


@pytest.fixture(scope="module", params=["converter", "interpreter"])
def results(request: pytest.FixtureRequest) -> dict[str, list[Comparison]]:
    return run_table({name: row.case for name, row in TRAPS.items()}, by=request.param)


@pytest.mark.parametrize("name", TRAPS)
def test_trap(results: dict[str, list[Comparison]], name: str) -> None:
    assert_passed(results[name])


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, Any], dict[str, Any]]:
    wrong = {name: row.wrong for name, row in TRAPS.items() if row.wrong is not None}
    return mxnet_answers({name: TRAPS[name].case for name in wrong}), mxnet_answers(wrong)


@pytest.mark.parametrize("name", [name for name, row in TRAPS.items() if row.wrong is not None])
def test_the_row_would_fail_with_the_rule_broken(both: tuple[dict[str, Any], dict[str, Any]], name: str) -> None:
    right, wrong = both[0][name], both[1][name]
    assert isinstance(right, dict), right
    assert isinstance(wrong, dict), f"the wrong reading is no row: {wrong}"
    shared = [output for output in right if output in wrong]
    assert list(right) != list(wrong) or any(not compare(right[o], wrong[o]).passed for o in shared)
