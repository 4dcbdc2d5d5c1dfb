"""Architectures as MMdnn's parsers write them, with seeded weights: the drops of zoo.toml beside this.

Each keeps the habits of one parser: what MXNet's, Keras', PyTorch's, Caffe's and TensorFlow's say of padding and flags.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.mmdnn.writer import Model, Type

MOBILE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1),
)  # fmt: skip
"""Channels and stride of each depthwise block."""
VGG = (
    (64, True), (128, True), (256, False), (256, True), (512, False), (512, True), (512, False), (512, True),
)  # fmt: skip
"""Channels of each convolution, and whether a pooling follows."""


def write(folder: Path, net: str) -> None:
    """The drop of one architecture: .pb, .json and .npy, as mmtoir leaves them."""
    NETS[net]().save(folder, "pb", "json", stem=net)


def _norm(net: Model, channels: int, *, fixed: bool = False, **attrs: Any) -> str:
    weights = {"bias": 0.1 * net.kernel(channels), "mean": 0.1 * net.kernel(channels), "var": np.ones(channels, "f4")}
    if not fixed:
        weights["scale"] = 1 + 0.1 * net.random.standard_normal(channels).astype("f4")
    return net.add("BatchNorm", weights=weights, scale=not fixed, bias=True, epsilon=1e-3, **attrs)


def _conv(
    net: Model, source: str, size: int, taken: int, made: int, stride: int = 1, *, bias: bool = False, **attrs: Any
) -> str:
    weights = {"weights": net.kernel(size, size, taken, made)} | ({"bias": 0.1 * net.kernel(made)} if bias else {})
    given: dict[str, Any] = {"kernel_shape": [size, size, taken, made], "strides": [1, stride, stride, 1]}
    given |= {"use_bias": bias, "group": 1}
    return net.add("Conv", [source], weights=weights, **(given | attrs))


def _pads(around: int) -> list[int]:
    return [0, around, around, 0] * 2


def _pool(net: Model, source: str, kind: str, size: int, stride: int, **attrs: Any) -> str:
    kernel, strides = [1, size, size, 1], [1, stride, stride, 1]
    return net.add("Pool", [source], pooling_type=kind, kernel_shape=kernel, strides=strides, **attrs)


def _dense(net: Model, taken: int, units: int) -> str:
    weights = {"weights": net.kernel(taken, units) / 4, "bias": 0.1 * net.kernel(units)}
    return net.add("FullyConnected", weights=weights, units=units, use_bias=True)


def resnet18() -> Model:
    """As MXNet's parser writes it: pads, data_format NCHW in words alone, fix_gamma without a scale."""
    net = Model(224, 224, 3, seed=18)
    how: dict[str, Any] = {"data_format": "NCHW"}
    first = {"bias": net.kernel(3) / 9, "mean": net.kernel(3) / 9, "var": np.ones(3, "f4")}
    net.add("BatchNorm", weights=first, scale=False, bias=True, epsilon=2e-5, axis=3)
    x = _conv(net, net.nodes[-1]["name"], 7, 3, 64, 2, pads=_pads(3), **how)
    _norm(net, 64, axis=3)
    x = _pool(net, net.add("Relu"), "MAX", 3, 2, pads=_pads(1))
    taken = 64
    for made in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if block == 0 and made > 64 else 1
            short = x if stride == 1 else _conv(net, x, 1, taken, made, stride, pads=_pads(0), **how)
            _conv(net, x, 3, taken, made, stride, pads=_pads(1), **how)
            _norm(net, made, axis=3)
            x = _conv(net, net.add("Relu"), 3, made, made, pads=_pads(1), **how)
            x = net.add("Relu", [net.add("Add", [_norm(net, made, axis=3), short])])
            taken = made
    net.add("Pool", pooling_type="AVG", global_pooling=True, kernel_shape=[1] * 4, strides=[1] * 4)
    net.add("Flatten")
    _dense(net, 512, 1000)
    net.add("Softmax", name="prob")
    return net


def mobilenet() -> Model:
    """As Keras' parser writes it: SAME_LOWER with pads at the end, Relu6, Reshape with -1."""
    net = Model(224, 224, 3, seed=1, name="input_1")
    kind = {"dtype": Type("float32")}
    x, size, taken = "input_1", 224, 32
    same: dict[str, Any] = {"auto_pad": "SAME_LOWER", "pads": [0, 0, 0, 0, 0, 1, 1, 0], **kind}
    x = _conv(net, x, 3, 3, 32, 2, **same)
    size //= 2
    _norm(net, 32, axis=-1)
    x = net.add("Relu6")
    for made, stride in MOBILE:
        pads = [0, 1, 1, 0, 0, 1, 1, 0] if stride == 1 else [0, 0, 0, 0, 0, 1, 1, 0]
        kernel = {"weights": net.kernel(3, 3, taken, 1) * np.sqrt(taken)}
        given = {"pads": pads, "strides": [1, stride, stride, 1], "kernel_shape": [3, 3, taken, 1], "use_bias": False}
        net.add("DepthwiseConv", [x], weights=kernel, auto_pad="SAME_LOWER", **given)  # type: ignore[arg-type]
        _norm(net, taken, axis=-1)
        x = _conv(net, net.add("Relu6"), 1, taken, made, auto_pad="SAME_LOWER", pads=[0] * 8)
        _norm(net, made, axis=-1)
        x, taken, size = net.add("Relu6"), made, size // stride
    net.add("Pool", pooling_type="AVG", global_pooling=True, strides=[1] * 4)
    net.add("Flatten")
    net.add("Reshape", shape=[-1, 1, 1, 1024])
    net.add("Dropout", keep_prob=0.001)
    _conv(net, net.nodes[-1]["name"], 1, 1024, 1000, bias=True, auto_pad="SAME_LOWER", pads=[0] * 8)
    net.add("Softmax")
    net.add("Reshape", shape=[-1, 1000], name="prob")
    return net


def vgg11() -> Model:
    """As PyTorch's parser writes it: pads, Flatten in front of rows that were turned."""
    net = Model(96, 96, 3, seed=11, name="input")
    x, taken = "input", 3
    for made, last in VGG:
        _conv(net, x, 3, taken, made, bias=True, pads=_pads(1), dilations=[1] * 4)
        x, taken = net.add("Relu"), made
        if last:
            x = _pool(net, x, "MAX", 2, 2, pads=[0] * 8, dilations=[1] * 4)
    net.add("Flatten")
    for taken, units in ((4608, 1024), (1024, 1024)):
        _dense(net, taken, units)
        net.add("Relu")
        net.add("Dropout", keep_prob=0.5)
    _dense(net, 1024, 1000)
    return net


def googlenet() -> Model:
    """As Caffe's parser writes it: ceil in the pads of a pooling, LRN, Concat, a Flatten that was put in."""
    net = Model(224, 224, 3, seed=22)
    x = net.add("Relu", [_conv(net, "data", 7, 3, 64, 2, bias=True, pads=_pads(3))])
    x = _pool(net, x, "MAX", 3, 2, pads=[0, 0, 0, 0, 0, 1, 1, 0], makes=(-1, 56, 56, 64))
    net.add("LRN", [x], size=5, alpha=1e-4, beta=0.75, bias=1.0)
    _conv(net, net.nodes[-1]["name"], 1, 64, 64, bias=True, pads=_pads(0))
    _conv(net, net.add("Relu"), 3, 64, 192, bias=True, pads=_pads(1))
    net.add("Relu")
    x = net.add("LRN", size=5, alpha=1e-4, beta=0.75, bias=1.0)
    x = _pool(net, x, "MAX", 3, 2, pads=[0, 0, 0, 0, 0, 1, 1, 0], makes=(-1, 28, 28, 192))
    taken = 192
    for parts in ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), "pool", (192, 96, 208, 16, 48, 64)):
        if isinstance(parts, str):
            x = _pool(net, x, "MAX", 3, 2, pads=[0, 0, 0, 0, 0, 1, 1, 0], makes=(-1, 14, 14, taken))
            continue
        x, taken = _inception(net, x, taken, parts)
    _pool(net, x, "AVG", 14, 1, pads=[0] * 8)
    net.add("Dropout", keep_prob=0.4)
    net.add("Flatten")
    _dense(net, taken, 1000)
    net.add("Softmax", name="prob")
    return net


def _inception(net: Model, x: str, taken: int, parts: tuple[int, ...]) -> tuple[str, int]:
    def then(source: str, size: int, channels: int, made: int) -> str:
        return net.add("Relu", [_conv(net, source, size, channels, made, bias=True, pads=_pads(size // 2))])

    one, before_three, three, before_five, five, behind = parts
    branches = [
        then(x, 1, taken, one),
        then(then(x, 1, taken, before_three), 3, before_three, three),
        then(then(x, 1, taken, before_five), 5, before_five, five),
        then(_pool(net, x, "MAX", 3, 1, pads=_pads(1)), 1, taken, behind),
    ]
    return net.add("Concat", branches, axis=3), one + three + five + behind


def unet() -> Model:
    """As TensorFlow's parser writes it: SAME_UPPER, ConvTranspose of two inputs, Concat, a picture out."""
    net = Model(64, 64, 3, seed=6, name="Placeholder")
    same: dict[str, Any] = {"auto_pad": "SAME_UPPER"}
    x, taken, kept = "Placeholder", 3, []
    for made in (16, 32, 64):
        _conv(net, x, 3, taken, made, bias=True, **same)
        x = net.add("LeakyRelu", alpha=0.2)
        kept.append((x, made))
        x, taken = _pool(net, x, "MAX", 2, 2, **same), made
    for place, (other, made) in enumerate(reversed(kept)):
        side = 16 << place
        weights = {"weights": net.kernel(3, 3, made, taken), "bias": 0.1 * net.kernel(made)}
        x = net.add("ConvTranspose", [x], weights=weights, strides=[1, 2, 2, 1], makes=(-1, side, side, made), **same)
        x = _conv(net, net.add("Concat", [x, other], axis=3), 3, 2 * made, made, bias=True, **same)
        x, taken = net.add("Relu"), made
    net.add("Sigmoid", [_conv(net, x, 1, 16, 1, bias=True, **same)], name="mask")
    net.weights[net.nodes[-2]["name"]]["weights"] /= 16  # a mask that is not all black and white
    return net


NETS: dict[str, Callable[[], Model]] = {
    "resnet18": resnet18, "mobilenet": mobilenet, "vgg11": vgg11, "googlenet": googlenet, "unet": unet,
}  # fmt: skip
