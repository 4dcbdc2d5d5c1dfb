"""Small symbols that one node cannot say. Built in MXNet's own Environment."""

from __future__ import annotations

from typing import Any


def first(op: str, **attrs: Any) -> Any:
    """The first output of one node called "op" over `data`."""
    import mxnet as mx  # noqa: TID251  this is MXNet's own Environment

    return getattr(mx.sym, op)(mx.sym.Variable("data"), name="op", **attrs)[0]


def created(name: str) -> Any:
    """A tensor made from attributes, added to a product of `data` that is broadcast to it."""
    import mxnet as mx  # noqa: TID251

    make = {
        "_zeros": lambda: mx.sym.zeros((2, 3)),
        "_ones": lambda: mx.sym.ones((4, 2, 3)),
        "_full": lambda: mx.sym.full((2, 3), 2.5),
        "_eye": lambda: mx.sym.eye(2, 3, 1),
        "_arange": lambda: mx.sym.arange(3),
        "_arange stop": lambda: mx.sym.arange(1, 2.5, 0.5),
        "_arange repeat": lambda: mx.sym.arange(0, 2, repeat=3).reshape((2, 3)),
        "_linspace": lambda: mx.sym.linspace(1, 3, 3),
    }[name]()
    return mx.sym.broadcast_mul(mx.sym.Variable("data"), make + 1.0)


def halves() -> Any:
    """`data` cast to float16 and back, a hundred times."""
    import mxnet as mx  # noqa: TID251

    return mx.sym.cast(mx.sym.cast(mx.sym.Variable("data"), dtype="float16"), dtype="float32", name="op") * 100


def lstm_cells() -> Any:
    """Two steps of an LSTM cell whose first states are zeros of shape (0, size)."""
    import mxnet as mx  # noqa: TID251

    cell = mx.rnn.LSTMCell(4, prefix="lstm_")
    data = mx.sym.Variable("data")
    outputs, _ = cell.unroll(2, [data, data * 0.5], merge_outputs=False)
    return mx.sym.FullyConnected(outputs[-1], num_hidden=3, name="fc")


def small_cnn() -> Any:
    """Convolutions, batch norms of both kinds of gamma, ceil pooling, a skip, softmax."""
    import mxnet as mx  # noqa: TID251

    data = mx.sym.Variable("data")
    x = mx.sym.Convolution((data - 0.5) * 2.0, kernel=(3, 3), pad=(1, 1), num_filter=6, name="conv0", no_bias=True)
    x = mx.sym.BatchNorm(x, fix_gamma=False, eps=2e-5, name="bn0")
    x = mx.sym.LeakyReLU(x, act_type="prelu", name="relu0")
    x = mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name="pool0")
    y = mx.sym.Activation(mx.sym.Convolution(x, kernel=(1, 1), num_filter=6, name="conv1"), act_type="relu")
    x = mx.sym.Dropout(mx.sym.elemwise_add(x, y), p=0.4)
    x = mx.sym.BatchNorm(mx.sym.FullyConnected(x, num_hidden=5, name="pre"), fix_gamma=True, name="fc1")
    return mx.sym.Group([mx.sym.SoftmaxOutput(x, name="softmax"), x, y])


def segmentation() -> Any:
    """A down and up net: deconvolution, crop to a like, softmax over channels, its label never asked for."""
    import mxnet as mx  # noqa: TID251

    data = mx.sym.Variable("data")
    x = mx.sym.Convolution(data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=4, name="down")
    x = mx.sym.Activation(mx.sym.InstanceNorm(x, name="norm"), act_type="softrelu")
    x = mx.sym.Deconvolution(x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=3, name="up")
    x = mx.sym.Crop(x, data, offset=(0, 0), name="crop")
    x = mx.sym.concat(x, mx.sym.Pooling(data, kernel=(3, 3), pad=(1, 1), pool_type="avg"), dim=1)
    return mx.sym.SoftmaxOutput(x, multi_output=True, name="softmax")


def detector() -> Any:
    """An SSD of one scale: priors, class and box heads, detection."""
    import mxnet as mx  # noqa: TID251

    x = mx.sym.Activation(
        mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), stride=(2, 2), num_filter=6, name="body"),
        act_type="relu",
    )
    anchors = mx.sym.contrib.MultiBoxPrior(x, sizes=(0.3, 0.6), ratios=(1, 2), clip=True)
    kinds = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=9, name="kind")
    kinds = mx.sym.transpose(kinds, axes=(0, 2, 3, 1)).reshape((0, -1, 3)).transpose((0, 2, 1))
    kinds = mx.sym.SoftmaxActivation(kinds, mode="channel")
    moves = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=12, name="move")
    moves = mx.sym.Flatten(mx.sym.transpose(moves, axes=(0, 2, 3, 1)))
    return mx.sym.contrib.MultiBoxDetection(kinds, moves, anchors, nms_threshold=0.4, force_suppress=True, name="found")
