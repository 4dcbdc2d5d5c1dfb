"""Architectures that Torch7 was known for, written with seeded weights: the drops of zoo.toml beside this."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.torch7.writer import Maker, Obj, nn, pool, save, sequential, view


def write(folder: Path, net: str) -> None:
    """The drop of one architecture; a model.toml says what a t7 does not: the size of the picture."""
    made, sizes = NETS[net]()
    save(folder / f"{net}.t7", made, "ascii" if net == "lenet" else "b64")
    shape = ", ".join(map(str, sizes))
    (folder / "model.toml").write_text(f'[[inputs]]\nname = "input"\ndtype = "float32"\nshape = ["?", {shape}]\n')


def alexnet() -> tuple[Obj, tuple[int, ...]]:
    """The one with LRN and two groups left out, dropout of old files, View."""
    k = Maker(1)
    lrn = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1}
    features = sequential(
        k.conv(3, 64, 11, 4, 2), nn("ReLU"), nn("SpatialCrossMapLRN", **lrn), pool("Max", 3, 2),
        k.conv(64, 192, 5, 1, 2), nn("ReLU"), nn("SpatialCrossMapLRN", **lrn), pool("Max", 3, 2),
        k.conv(192, 384, 3, 1, 1), nn("ReLU"), k.conv(384, 256, 3, 1, 1), nn("ReLU"),
        k.conv(256, 256, 3, 1, 1), nn("ReLU"), pool("Max", 3, 2),
    )  # fmt: skip
    head = sequential(
        view(9216), nn("Dropout", p=0.5), k.linear(9216, 1024), nn("Threshold", threshold=0, val=0),
        nn("Dropout", p=0.5, v2=True), k.linear(1024, 1000), nn("LogSoftMax"),
    )  # fmt: skip
    return sequential(features, head), (3, 224, 224)


def vgg16() -> tuple[Obj, tuple[int, ...]]:
    """cudnn's modules, MM's weights."""
    k, modules, taken = Maker(16), list[Any](), 3
    for made, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            flat = k.numbers(made, taken * 9, spread=float(np.sqrt(2 / (9 * taken))))
            modules += [k.conv(taken, made, 3, 1, 1, kind="cudnn.SpatialConvolution", weight=flat), nn("cudnn.ReLU")]
            taken = made
        modules.append(pool("Max", 2, 2))
    head = [
        view(-1, inputs=3),
        k.linear(4608, 512),
        nn("ReLU"),
        nn("Dropout", p=0.5, v2=True),
        k.linear(512, 1000),
        nn("SoftMax"),
    ]
    return sequential(*modules, *head), (3, 96, 96)


def resnet18() -> tuple[Obj, tuple[int, ...]]:
    """fb.resnet.torch's: ConcatTable, CAddTable, shortcuts of 1 x 1."""
    k = Maker(18)

    def conv(taken: int, made: int, size: int, step: int) -> list[Obj]:
        return [k.conv(taken, made, size, step, size // 2, bias=None), k.norm(made)]

    def block(taken: int, made: int, step: int) -> list[Obj]:
        short = sequential(*conv(taken, made, 1, step)) if taken != made else nn("Identity")
        body = sequential(*conv(taken, made, 3, step), nn("ReLU"), *conv(made, made, 3, 1))
        return [nn("ConcatTable", body, short), nn("CAddTable", inplace=True), nn("ReLU")]

    modules, taken = [*conv(3, 64, 7, 2), nn("ReLU"), pool("Max", 3, 2, 1)], 64
    for made, step in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        modules += block(taken, made, step)
        taken = made
    return sequential(*modules, pool("Average", 7, 1), view(512), k.linear(512, 1000)), (3, 224, 224)


def style() -> tuple[Obj, tuple[int, ...]]:
    """fast-neural-style: reflection, residual blocks that cut, transposed convolutions, Tanh times 150."""
    k = Maker(7)

    def block() -> list[Obj]:
        body = sequential(k.conv(32, 32, 3, 1), k.norm(32), nn("ReLU"), k.conv(32, 32, 3, 1), k.norm(32))
        short = nn("SpatialZeroPadding", pad_l=-2, pad_r=-2, pad_t=-2, pad_b=-2)
        return [nn("ConcatTable", body, short), nn("CAddTable")]

    around = {"pad_l": 20, "pad_r": 20, "pad_t": 20, "pad_b": 20}
    modules = [nn("SpatialReflectionPadding", **around), k.conv(3, 16, 9, 1, 4), k.norm(16), nn("ReLU")]
    modules += [k.conv(16, 32, 3, 2, 1), k.norm(32), nn("ReLU")]
    for _ in range(5):
        modules += block()
    up = k.conv(
        32, 16, 3, 2, 1, kind="SpatialFullConvolution", weight=k.numbers(32, 16, 3, 3, spread=0.08), adjW=1, adjH=1
    )
    modules += [
        up,
        k.norm(16),
        nn("ReLU"),
        k.conv(16, 3, 9, 1, 4, weight=k.numbers(3, 16, 9, 9, spread=0.01)),
        nn("Tanh"),
    ]
    return sequential(*modules, nn("MulConstant", constant_scalar=150)), (3, 64, 64)


def enet() -> tuple[Obj, tuple[int, ...]]:
    """ENet's beginning: pooling and convolution side by side, bottlenecks with PReLU, dilation, old batch norms."""
    k = Maker(9)

    def norm(count: int) -> Obj:
        var = np.asarray(0.5 + k.random.random(count), "f4")
        return k.norm(count, running_var=None, running_std=np.asarray(1 / np.sqrt(var + 1e-5), "f4"))

    def prelu(count: int) -> Obj:
        return nn("PReLU", nOutputPlane=count, weight=np.full(count, 0.25, "f4"))

    def bottleneck(count: int, dilation: int) -> list[Obj]:
        inner = count // 4
        middle = k.conv(
            inner, inner, 3, 1, dilation, kind="SpatialDilatedConvolution", dilationW=dilation, dilationH=dilation
        )
        body = sequential(
            k.conv(count, inner, 1, bias=None), norm(inner), prelu(inner), middle, norm(inner), prelu(inner),
            k.conv(inner, count, 1, bias=None), norm(count), nn("SpatialDropout", p=0.1),
        )  # fmt: skip
        return [nn("ConcatTable", nn("Identity"), body), nn("CAddTable"), prelu(count)]

    first = nn("ConcatTable", k.conv(3, 13, 3, 2, 1), pool("Max", 2, 2))
    modules = [first, nn("JoinTable", dimension=2), norm(16), prelu(16), k.conv(16, 64, 2, 2), norm(64), prelu(64)]
    for dilation in (1, 2, 4, 8):
        modules += bottleneck(64, dilation)
    modules += [nn("SpatialUpSamplingNearest", scale_factor=4), k.conv(64, 12, 1)]
    return sequential(*modules), (3, 128, 128)


def lenet() -> tuple[Obj, tuple[int, ...]]:
    """The tutorial's, as text."""
    k = Maker(3)
    return sequential(
        k.conv(1, 6, 5, kind="SpatialConvolutionMM", weight=k.numbers(6, 25, spread=0.3)), nn("Tanh"),
        pool("Max", 2, 2), k.conv(6, 16, 5), nn("Tanh"), pool("Max", 2, 2), view(400),
        k.linear(400, 120), nn("Tanh"), k.linear(120, 10), nn("LogSoftMax"),
    ), (1, 32, 32)  # fmt: skip


NETS: dict[str, Callable[[], tuple[Obj, tuple[int, ...]]]] = {
    "alexnet": alexnet, "vgg16": vgg16, "resnet18": resnet18, "style": style, "enet": enet, "lenet": lenet,
}  # fmt: skip
