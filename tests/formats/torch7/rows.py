"""Small networks, one for each module and each rule of Torch7: the row's name is the rule that breaks it.

A row is judged by our interpreter always, and by OpenCV where OpenCV computes it as Torch7 does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.formats.torch7.writer import (
    Function,
    Key,
    Maker,
    Obj,
    Storage,
    Strided,
    nn,
    pool,
    sequential,
    sizes,
    view,
)

PICTURE = (4, 7, 8)


@dataclass(frozen=True)
class Case:
    """`make` gives what the file holds, `sizes` are a sample's. `opencv`: it judges too. `refused`, `warned`: words."""

    make: Callable[[], Any]
    sizes: tuple[int, ...] | list[tuple[int, ...]] = PICTURE
    opencv: bool = False
    refused: str = ""
    warned: str = ""
    form: str = "b64"


def m() -> Maker:
    return Maker()


def one(kind: str, *modules: Any, **fields: Any) -> Callable[[], Obj]:
    return lambda: sequential(nn(kind, *modules, **fields))


def behind(*modules: Callable[[Maker], Any] | Obj) -> Callable[[], Obj]:
    """Modules one behind the other; a function is given the maker of weights."""

    def make() -> Obj:
        maker = m()
        return sequential(*(module(maker) if callable(module) else module for module in modules))

    return make


def conv(*args: Any, **more: Any) -> Callable[[Maker], Obj]:
    return lambda maker: maker.conv(*args, **more)


def norm(*args: Any, **more: Any) -> Callable[[Maker], Obj]:
    return lambda maker: maker.norm(*args, **more)


def linear(*args: Any, **more: Any) -> Callable[[Maker], Obj]:
    return lambda maker: maker.linear(*args, **more)


def flattened_weights(maker: Maker, inner: tuple[int, int] = (3, 1)) -> Obj:
    """getParameters(): all weights in one storage, each tensor a part of it."""
    flat = Storage(maker.numbers(1000, spread=0.2))
    weight = Strided(flat, (5, 4, 3, 3), (36, 9, *inner), 20)
    return maker.conv(4, 5, weight=weight, bias=Strided(flat, (5,), (1,), 7))


def on_cuda(maker: Maker) -> Obj:
    weight = Strided(Storage(maker.numbers(180, spread=0.2)), (5, 4, 3, 3), (36, 9, 3, 1), 0, "CudaTensor")
    return maker.conv(4, 5, kind="cudnn.SpatialConvolution", weight=weight)


CONVOLUTIONS = {
    "weights are out, in, height, width": Case(behind(conv(4, 5)), opencv=True),
    "MM keeps its weights as a matrix": Case(
        behind(lambda k: k.conv(4, 5, kind="SpatialConvolutionMM", weight=k.numbers(5, 36, spread=0.2))), opencv=True
    ),
    "flat weights without MM": Case(behind(lambda k: k.conv(4, 5, weight=k.numbers(5, 36, spread=0.2)))),
    "padding, stride": Case(behind(conv(4, 5, d=2, pad=1)), opencv=True),
    "kH is not kW, padH not padW": Case(
        behind(lambda k: k.conv(4, 5, kW=2, kH=4, padW=1, padH=2, weight=k.numbers(5, 4, 4, 2, spread=0.2))),
        opencv=True,
    ),
    "old files say padding": Case(behind(conv(4, 5, padW=None, padH=None, padding=1))),
    "no bias": Case(behind(conv(4, 5, bias=None)), opencv=True),
    "groups of cudnn": Case(
        behind(
            lambda k: k.conv(4, 6, kind="cudnn.SpatialConvolution", groups=2, weight=k.numbers(6, 2, 3, 3, spread=0.3))
        )
    ),
    "tensors are parts of one storage": Case(behind(flattened_weights), opencv=True),
    "a tensor is turned by its strides": Case(behind(lambda k: flattened_weights(k, (1, 3)))),
    "tensors of CUDA": Case(behind(on_cuda), opencv=True),
    "weights of 64 bits": Case(behind(lambda k: k.conv(4, 5, weight=k.numbers(5, 4, 3, 3, kind="f8"))), opencv=True),
    "a file of ascii": Case(behind(conv(4, 5)), form="ascii", opencv=True),
    "a file of a 32-bit machine": Case(behind(conv(4, 5), view(150), linear(150, 3)), form="b32"),
    "other channels than its weights": Case(behind(conv(3, 5)), refused="nInputPlane is 3"),
    "weights that do not fit": Case(
        behind(lambda k: k.conv(4, 5, weight=k.numbers(5, 4, 2, 2))), refused="expected [5, 4, 3, 3]"
    ),
    "no weights": Case(behind(conv(4, 5, weight=None)), refused="has no weight"),
    "dilated": Case(behind(conv(4, 5, pad=2, kind="SpatialDilatedConvolution", dilationW=2, dilationH=2)), opencv=True),
    "mapped by a table": Case(
        behind(
            lambda k: k.conv(
                4,
                5,
                kind="SpatialConvolutionMap",
                weight=k.numbers(6, 3, 3),
                connTable=np.asarray([[1, 1], [2, 1], [2, 3], [3, 4], [4, 5], [1, 5]], "f8"),
            )
        )
    ),
    "depthwise": Case(
        behind(lambda k: k.conv(4, 2, kind="SpatialDepthWiseConvolution", weight=k.numbers(2, 4, 3, 3), bias=None))
    ),
    "transposed: weights are in, out": Case(
        behind(
            lambda k: k.conv(
                4,
                5,
                d=2,
                pad=1,
                kind="SpatialFullConvolution",
                weight=k.numbers(4, 5, 3, 3, spread=0.3),
                adjW=1,
                adjH=0,
            )
        ),
        opencv=True,
    ),
    "transposed: adj as large as the stride": Case(
        behind(lambda k: k.conv(4, 5, d=2, kind="SpatialFullConvolution", weight=k.numbers(4, 5, 3, 3), adjW=2)),
        refused="less than the strides",
    ),
}

POOLS = {
    "largest, rounded down": Case(lambda: sequential(pool("Max", 2, 2)), opencv=True),
    "largest, ceil_mode": Case(lambda: sequential(pool("Max", 3, 2, ceil=True)), (4, 8, 9), opencv=True),
    "largest: a last window in the padding is dropped": Case(
        lambda: sequential(pool("Max", 2, 2, 1, ceil=True)), (4, 7, 8), opencv=True
    ),
    "largest: padding is never the largest": Case(
        lambda: sequential(nn("AddConstant", constant_scalar=-9.0), pool("Max", 3, 1, 1))
    ),
    "mean: padding counts": Case(lambda: sequential(pool("Average", 3, 2, 1))),
    "mean: padding does not count": Case(lambda: sequential(pool("Average", 3, 2, 1, count_include_pad=False))),
    "mean: what hangs over never counts": Case(
        lambda: sequential(pool("Average", 3, 2, ceil=True)), (4, 8, 8), opencv=True
    ),
    "mean: hanging over, with padding": Case(lambda: sequential(pool("Average", 4, 3, 1, ceil=True)), (4, 8, 9)),
    "mean: not divided": Case(lambda: sequential(pool("Average", 2, 2, divide=False))),
    "mean, even": Case(lambda: sequential(pool("Average", 2, 2)), opencv=True),
    "pads over half of the kernel": Case(lambda: sequential(pool("Max", 2, 2, 2)), refused="over half"),
    "a kernel larger than the picture": Case(lambda: sequential(pool("Max", 9, 1)), refused="larger than its input"),
    "inn rounds up": Case(lambda: sequential(nn("inn.SpatialMaxPooling", kW=2, kH=2, dW=2, dH=2)), refused="is inn's"),
    "adaptive, even": Case(one("SpatialAdaptiveAveragePooling", W=4, H=7)),
    "adaptive, uneven": Case(one("SpatialAdaptiveMaxPooling", W=3, H=7), refused="part evenly"),
    "sub-sampling is a sum": Case(
        behind(
            lambda k: nn(
                "SpatialSubSampling", nInputPlane=4, kW=2, kH=2, dW=2, dH=2, weight=k.numbers(4), bias=k.numbers(4)
            )
        )
    ),
    "LPPooling is a chain": Case(
        behind(
            lambda k: nn(
                "SpatialLPPooling",
                nn("Square"),
                nn("SpatialSubSampling", nInputPlane=4, kW=3, kH=3, dW=3, dH=3, weight=np.ones(4, "f4")),
                nn("Sqrt"),
            )
        )
    ),
}


def old_norm(maker: Maker) -> Obj:
    var = np.asarray(0.5 + maker.random.random(4), "f4")
    return maker.norm(4, running_var=None, running_std=np.asarray(1 / np.sqrt(var + 1e-5), "f4"))


NORMS = {
    "normalised": Case(behind(norm(4)), opencv=True),
    "old files keep 1 / sqrt(variance + eps)": Case(behind(old_norm), opencv=True),
    "eps is the file's": Case(behind(norm(4, eps=0.5)), opencv=True),
    "not affine": Case(behind(norm(4, weight=None, bias=None, affine=False)), opencv=True),
    "of cudnn": Case(behind(norm(4, kind="cudnn.SpatialBatchNormalization")), opencv=True),
    "vectors": Case(behind(norm(6, kind="BatchNormalization")), (6,), opencv=True),
    "by its own statistics": Case(
        behind(lambda k: nn("InstanceNormalization", weight=k.numbers(4), bias=k.numbers(4), eps=1e-5))
    ),
    "LRN divides alpha by its size": Case(one("SpatialCrossMapLRN", size=3, alpha=0.5, beta=0.75, k=2), opencv=True),
    "LRN of cudnn calls k K": Case(one("cudnn.SpatialCrossMapLRN", size=3, alpha=0.5, beta=0.75, K=2)),
    "Normalize": Case(one("Normalize", p=2, eps=1e-10), (6,), opencv=True),
    "Normalize, eps under the root": Case(one("Normalize", p=2, eps=0.5), (6,), opencv=True),
    "Normalize over channels": Case(one("Normalize", p=1, eps=1e-3)),
}

ELEMENTS = {
    **{
        kind: Case(one(kind), opencv=kind in ("ReLU", "Tanh", "Sigmoid", "Identity"))
        for kind in ("ReLU", "Tanh", "Sigmoid", "Abs", "Exp", "SoftSign", "Square", "ReLU6", "Copy", "Identity")
    },
    **{
        f"{kind} of vectors": Case(one(kind), (6,), opencv=kind != "SoftMin")
        for kind in ("SoftMax", "LogSoftMax", "SoftMin")
    },
    "SoftMax of a picture is over its channels": Case(one("SoftMax"), opencv=True),
    "SoftMax of 3 dimensions takes the batch": Case(one("SoftMax"), (3, 4), refused="which is the batch"),
    "SpatialSoftMax": Case(one("cudnn.SpatialSoftMax")),
    "LeakyReLU": Case(one("LeakyReLU", negval=0.2)),
    "ELU": Case(one("ELU", alpha=0.5)),
    "HardTanh": Case(one("HardTanh", min_val=-0.5, max_val=0.75)),
    "Clamp": Case(one("Clamp", min_val=-0.5, max_val=0.75)),
    "Threshold": Case(one("Threshold", threshold=0.25, val=-2)),
    "Threshold at 0 is ReLU": Case(one("Threshold", threshold=0, val=0)),
    "SoftPlus": Case(one("SoftPlus", beta=2)),
    "Power of a square": Case(behind(nn("Square"), nn("Power", pow=1.5))),
    "Log of what is positive": Case(behind(nn("Exp"), nn("Log"))),
    "MulConstant": Case(one("MulConstant", constant_scalar=0.3)),
    "AddConstant": Case(one("AddConstant", constant_scalar=-0.3)),
    "Mul": Case(behind(lambda k: nn("Mul", weight=k.numbers(1)))),
    "CMul": Case(behind(lambda k: nn("CMul", weight=k.numbers(1, 4, 1, 1)))),
    "CAdd": Case(behind(lambda k: nn("CAdd", bias=k.numbers(4, 1, 1)))),
    "Add of one number": Case(behind(lambda k: nn("Add", scalar=True, bias=k.numbers(1)))),
    "Add of a vector": Case(behind(lambda k: nn("Add", scalar=False, bias=k.numbers(6))), (6,)),
    "PReLU by channels": Case(behind(lambda k: nn("PReLU", nOutputPlane=4, weight=k.numbers(4))), opencv=True),
    "PReLU of one slope": Case(behind(lambda k: nn("PReLU", nOutputPlane=0, weight=k.numbers(1)))),
    "Dropout with v2 is nothing": Case(one("Dropout", p=0.3, v2=True), opencv=True),
    "Dropout of old files multiplies": Case(one("Dropout", p=0.3), opencv=True),
    "SpatialDropout multiplies": Case(one("SpatialDropout", p=0.3), opencv=True),
}

SHAPES = {
    "Linear": Case(behind(linear(6, 5)), (6,), opencv=True),
    "Linear of a picture": Case(behind(linear(6, 5)), (2, 3), refused="3 dimensions"),
    "Linear of another width": Case(behind(linear(7, 5)), (6,), refused="6 numbers"),
    "View of so many": Case(behind(view(224), linear(224, 3)), opencv=True),
    "View(-1) with numInputDims": Case(behind(view(-1, inputs=3), linear(224, 3)), opencv=True),
    "View(-1) takes the batch, too": Case(
        behind(view(-1), linear(224, 3)), warned="each sample is flattened", opencv=True
    ),
    "View(-1, n) of so many": Case(behind(view(-1, 224), linear(224, 3)), opencv=True),
    "View(-1, n) takes samples apart": Case(behind(view(-1, 8)), refused="take the batch apart"),
    "View that does not fit": Case(behind(view(200)), refused="do not fit"),
    "View of another sample": Case(behind(view(-1, inputs=2)), refused="numInputDims is 2"),
    "Reshape": Case(behind(nn("Reshape", size=sizes(28, 8), nelement=224, batchsize=sizes(1, 28, 8))), opencv=True),
    "Reshape without a batch": Case(one("Reshape", size=sizes(224), batchMode=False), refused="batchMode is false"),
    "Reshape that does not fit": Case(one("Reshape", size=sizes(225)), refused="and a sample 224"),
    "Transpose": Case(one("Transpose", permutations=[[2, 3], [3, 4]])),
    "Transpose of the batch": Case(one("Transpose", permutations=[[1, 2]]), refused="which is the batch"),
    "Squeeze": Case(one("Squeeze", dim=2, numInputDims=3), (4, 1, 8)),
    "Squeeze of all": Case(one("Squeeze"), (4, 1, 1)),
    "Unsqueeze": Case(one("Unsqueeze", pos=1, numInputDims=3)),
    "Select from the end": Case(one("Select", dimension=3, index=-2)),
    "Narrow": Case(one("Narrow", dimension=3, index=2, length=3)),
    "Narrow to the end": Case(one("Narrow", dimension=2, index=2, length=-1)),
    "Narrow too far": Case(one("Narrow", dimension=2, index=3, length=3), refused="index 3 and length 3 of 4"),
    "Mean counts the sample's dimensions": Case(one("Mean", dimension=2, nInputDims=3)),
    "Mean counts the batch": Case(one("Mean", dimension=3)),
    "Sum, divided": Case(one("Sum", dimension=2, sizeAverage=True)),
    "Sum keeps its dimension": Case(one("Sum", dimension=2, squeeze=False)),
    "Max": Case(one("Max", dimension=4)),
    "Min": Case(one("Min", dimension=-1)),
    "Padding in front": Case(one("Padding", dim=1, pad=-2, nInputDim=3, value=0.5)),
    "Padding behind": Case(one("Padding", dim=2, pad=2)),
    "zeros around": Case(one("SpatialZeroPadding", pad_l=1, pad_r=2, pad_t=0, pad_b=3), opencv=True),
    "negative zeros cut": Case(one("SpatialZeroPadding", pad_l=-1, pad_r=-2, pad_t=0, pad_b=1)),
    "reflected": Case(one("SpatialReflectionPadding", pad_l=1, pad_r=2, pad_t=3, pad_b=1), opencv=True),
    "replicated": Case(one("SpatialReplicationPadding", pad_l=1, pad_r=2, pad_t=3, pad_b=9)),
    "nearest": Case(one("SpatialUpSamplingNearest", scale_factor=2), opencv=True),
    "bilinear: corners stay corners": Case(one("SpatialUpSamplingBilinear", scale_factor=2)),
    "bilinear to a size": Case(one("SpatialUpSamplingBilinear", oheight=11, owidth=5)),
    "LookupTable counts from 1": Case(behind(lambda k: nn("LookupTable", weight=k.numbers(9, 3))), (5,)),
}


def shared() -> Obj:
    """One module in two places, by reference."""
    maker = m()
    same = maker.conv(4, 4, pad=1)
    return sequential(same, nn("ReLU"), same)


def residual(table: str = "CAddTable") -> Callable[[], Obj]:
    return behind(
        lambda k: nn("ConcatTable", sequential(k.conv(4, 4, pad=1), k.norm(4)), nn("Identity")), nn(table), nn("ReLU")
    )


def lstm_like() -> Obj:
    """nngraph: two inputs, a module used twice, a table out."""
    maker = m()
    data: list[dict[Any, Any]] = [{} for _ in range(7)]
    data[1]["selectindex"], data[2]["selectindex"] = 1, 2
    data[3]["module"], data[4]["module"], data[5]["module"] = maker.linear(6, 4), nn("Tanh"), nn("CMulTable")
    edges = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5), (5, 6), (3, 6)]
    nodes = [Obj("nngraph.Node", {"id": place + 1, "data": each, "children": []}) for place, each in enumerate(data)]
    for source, target in edges:
        index = data[target].setdefault("mapindex", {})
        index[Key(data[source])] = len(index) + 1
        nodes[source].fields["children"].append(nodes[target])
    return nn("gModule", forwardnodes=nodes, innode=nodes[0], outnode=nodes[6], fg=Obj("graph.Graph", {"nodes": nodes}))


def ring() -> Obj:
    made = sequential(nn("ReLU"))
    made.fields["modules"].append(made)
    return made


def bomb() -> Obj:
    """Each holds the one before twice: 2 ** 40 modules in a few bytes."""
    made = sequential(nn("ReLU"))
    for _ in range(40):
        made = sequential(made, made)
    return made


CONTAINERS = {
    "a module stands in two places": Case(shared),
    "a residual block": Case(residual(), opencv=True),
    **{
        f"{table} of two": Case(residual(table))
        for table in ("CSubTable", "CMulTable", "CMaxTable", "CMinTable", "CAveTable")
    },
    "Concat counts the batch": Case(
        behind(lambda k: nn("Concat", k.conv(4, 3, 1), k.conv(4, 2, 1), dimension=2)), opencv=True
    ),
    "Concat along the batch": Case(
        behind(lambda k: nn("Concat", k.conv(4, 3, 1), k.conv(4, 2, 1), dimension=1)), refused="is the batch"
    ),
    "JoinTable counts the batch": Case(
        behind(lambda k: nn("ConcatTable", k.conv(4, 3, 1), k.conv(4, 2, 1)), nn("JoinTable", dimension=2)), opencv=True
    ),
    "DepthConcat puts the smaller in the middle": Case(
        behind(lambda k: nn("DepthConcat", k.conv(4, 3, 3), k.conv(4, 2, 4), k.conv(4, 2, 1), dimension=2))
    ),
    "JoinTable counts a sample's": Case(
        behind(
            lambda k: nn("ConcatTable", k.conv(4, 3, 1), k.conv(4, 2, 1)), nn("JoinTable", dimension=1, nInputDims=3)
        ),
    ),
    "SplitTable": Case(behind(nn("SplitTable", dimension=2), nn("SelectTable", index=-1))),
    "NarrowTable": Case(behind(nn("SplitTable", dimension=2), nn("NarrowTable", offset=2, length=2), nn("CSubTable"))),
    "tables in tables are flattened": Case(
        behind(
            nn("ConcatTable", nn("Identity"), nn("ConcatTable", nn("Tanh"), nn("ReLU"))),
            nn("FlattenTable"),
            nn("CAddTable"),
        )
    ),
    "ParallelTable: two inputs": Case(
        behind(lambda k: nn("ParallelTable", k.linear(6, 4), nn("Tanh")), nn("CMulTable")), [(6,), (4,)]
    ),
    "MapTable": Case(behind(nn("SplitTable", dimension=2), lambda k: nn("MapTable", nn("Tanh")), nn("CAddTable"))),
    "MM": Case(one("MM", transA=False, transB=True), [(3, 4), (5, 4)]),
    "DotProduct": Case(one("DotProduct"), [(6,), (6,)]),
    "a decorator": Case(behind(lambda k: nn("DataParallelTable", k.conv(4, 3)))),
    "nngraph": Case(lstm_like, [(6,), (4,)]),
    "a checkpoint keeps its model": Case(
        lambda: {"epoch": 3, "model": sequential(nn("Tanh")), "opt": {"lr": 0.1}}, opencv=True
    ),
    "a checkpoint of two networks": Case(
        lambda: {"G": sequential(nn("Tanh")), "D": sequential(nn("Tanh"))}, refused="2 networks"
    ),
    "a table without a network": Case(lambda: {"x": np.zeros(3, "f4"), "y": 3}, refused="0 networks"),
    "a function that is kept aside": Case(one("ReLU", hook=Function())),
    "a function of old files": Case(one("ReLU", hook=Function(old=True))),
    "a function in the place of a module": Case(lambda: sequential(nn("ReLU"), Function()), refused="which is not run"),
    "what nobody knows": Case(one("Frobnicate"), refused="Frobnicate"),
    "of another package": Case(one("stn.AffineGridGeneratorBHWD"), refused="stn.AffineGridGeneratorBHWD"),
    "known, and not converted": Case(one("SpatialMaxUnpooling"), refused="another module has kept"),
    "a container that holds itself": Case(ring, refused="nested deeper than 200"),
    "a few bytes that are 2 ** 40 modules": Case(bomb, refused="holds more than"),
    "no modules": Case(lambda: sequential(), refused="holds no modules"),
    "nobody says the size of a picture": Case(behind(conv(4, 5)), (), refused="net.t7"),
    "Linear says it all": Case(behind(linear(6, 5)), (), opencv=True),
}

CASES: dict[str, Case] = CONVOLUTIONS | POOLS | NORMS | ELEMENTS | SHAPES | CONTAINERS
