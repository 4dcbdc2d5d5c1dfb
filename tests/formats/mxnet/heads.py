"""Symbols of several nodes, for MXNet's child: what a table of single operators cannot show."""

from __future__ import annotations

from typing import Any


def flattened() -> Any:
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    x = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=3, kernel=(2, 2), name="conv")
    return mx.sym.FullyConnected(mx.sym.Flatten(x, name="flat"), num_hidden=4, name="fc")


def rrelu(**bounds: float) -> Any:
    """Its second output, the slopes drawn, is for training; nobody reads it."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    return mx.sym.LeakyReLU(mx.sym.Variable("data"), act_type="rrelu", name="rrelu", **bounds)[0]


def with_label_branch() -> Any:
    """A loss beside the head: it reads the label and is no output."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    x = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=4, name="fc")
    return mx.sym.SoftmaxOutput(x, mx.sym.Variable("label"), name="softmax")


def trunk(x: Any, name: str, filters: tuple[int, ...] = (8, 16)) -> list[Any]:
    """A small convolutional trunk; its stages, each of half the size of the one before."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    stages = []
    x = x * (1 / 128)  # pictures come with values up to 255
    for number, count in enumerate(filters):
        x = mx.sym.Convolution(
            x, num_filter=count, kernel=(3, 3), stride=(2, 2), pad=(1, 1), name=f"{name}_conv{number}"
        )
        x = mx.sym.BatchNorm(x, fix_gamma=False, name=f"{name}_bn{number}")
        x = mx.sym.Activation(x, act_type="relu", name=f"{name}_relu{number}")
        stages.append(x)
    return stages


def ssd(classes: int = 3, nms: bool = True) -> Any:
    """Two scales with anchors, class and box predictions, decoded by MultiBoxDetection."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    sym = mx.sym
    anchors, scores, boxes = [], [], []
    for number, x in enumerate(trunk(sym.Variable("data"), "ssd")):
        sizes, ratios = ((0.2, 0.3), (0.5, 0.7))[number], (1.0, 2.0, 0.5)
        count = len(sizes) + len(ratios) - 1
        anchors.append(sym.Flatten(sym.contrib.MultiBoxPrior(x, sizes=sizes, ratios=ratios, name=f"anchors{number}")))
        score = sym.Convolution(
            x, num_filter=count * (classes + 1), kernel=(3, 3), pad=(1, 1), name=f"cls_pred{number}"
        )
        scores.append(sym.Flatten(sym.transpose(score, axes=(0, 2, 3, 1))))
        box = sym.Convolution(x, num_filter=count * 4, kernel=(3, 3), pad=(1, 1), name=f"loc_pred{number}")
        boxes.append(sym.Flatten(sym.transpose(box, axes=(0, 2, 3, 1))))
    score = sym.Reshape(sym.Concat(*scores, dim=1), shape=(0, -1, classes + 1))
    score = sym.SoftmaxActivation(sym.transpose(score, axes=(0, 2, 1)), mode="channel", name="cls_prob")
    anchor = sym.Reshape(sym.Concat(*anchors, dim=1), shape=(0, -1, 4), name="anchors")
    box = sym.Concat(*boxes, dim=1, name="loc_preds")
    if not nms:
        return sym.Group([score, box, anchor])
    return sym.contrib.MultiBoxDetection(
        score, box, anchor, name="detection", nms_threshold=0.5, threshold=0.05, force_suppress=False,
        variances=(0.1, 0.1, 0.2, 0.2), nms_topk=40,
    )  # fmt: skip


def recurrent(mode: str = "lstm", hidden: int = 16, layers: int = 2) -> Any:
    """Words to classes: Embedding, a fused bidirectional RNN, the last step, FullyConnected, softmax."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    sym = mx.sym
    x = sym.Embedding(sym.Variable("data"), input_dim=50, output_dim=12, name="embed")
    x = sym.transpose(x, axes=(1, 0, 2), name="to_times")
    states = {"state": sym.Variable("begin_state")}
    if mode == "lstm":
        states["state_cell"] = sym.Variable("begin_cell")
    x = sym.RNN(
        x, mode=mode, state_size=hidden, num_layers=layers, bidirectional=True, name="rnn",
        parameters=sym.Variable("rnn_parameters_weight"), **states,
    )  # fmt: skip
    x = sym.SequenceLast(x, name="last")
    return sym.SoftmaxOutput(sym.FullyConnected(x, num_hidden=5, name="fc"), name="softmax")


def segmentation(classes: int = 4) -> Any:
    """FCN-like: a trunk, a skip that is cropped, deconvolutions back to the picture's size, softmax a pixel."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    sym = mx.sym
    data = sym.Variable("data")
    fine, coarse = trunk(data, "fcn")
    coarse = sym.Convolution(coarse, num_filter=classes, kernel=(1, 1), name="score_coarse")
    coarse = sym.Deconvolution(
        coarse, num_filter=classes, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_group=classes, name="up2"
    )
    fine = sym.Convolution(fine, num_filter=classes, kernel=(1, 1), name="score_fine")
    x = fine + sym.Crop(coarse, fine, name="crop")
    x = sym.Deconvolution(x, num_filter=classes, kernel=(4, 4), stride=(2, 2), pad=(1, 1), name="up1")
    return sym.SoftmaxOutput(sym.Crop(x, data, name="whole"), multi_output=True, name="softmax")
