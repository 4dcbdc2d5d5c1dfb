"""Small graphs, one for each operator and each rule of the IR: the row's name is the rule that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.formats.mmdnn.writer import Model, Shape, Type

ONE = [1, 1, 1, 1]
TWO = [1, 2, 2, 1]


@dataclass(frozen=True)
class Case:
    """`make` writes the graph. `refused`, `warned`: words of the converter's error, of a warning.

    `sizes`: the input's, as the owner gives them.
    """

    make: Callable[[], Model]
    refused: str = ""
    warned: str = ""
    sizes: tuple[int, ...] = ()


def net(
    op: str, *, sizes: tuple[int, ...] = (7, 8, 4), weights: dict[str, Any] | None = None, **attrs: Any
) -> Callable[[], Model]:
    """One node behind an input; a weight that is a tuple is the shape of a seeded kernel."""

    def make() -> Model:
        made = Model(*sizes)
        made.add(op, weights=filled(made, weights), **attrs)
        return made

    return make


def filled(made: Model, weights: dict[str, Any] | None) -> dict[str, Any]:
    return {name: made.kernel(*value) if isinstance(value, tuple) else value for name, value in (weights or {}).items()}


def conv(
    *shape: int, op: str = "Conv", sizes: tuple[int, ...] = (7, 8, 4), bias: int = 0, **attrs: Any
) -> Callable[[], Model]:
    weights: dict[str, Any] = {"weights": shape} | ({"bias": (bias,)} if bias else {})
    given = {"kernel_shape": list(shape), "strides": [1] * (len(sizes) + 1), "use_bias": bool(bias), **attrs}
    return net(op, sizes=sizes, weights=weights, **given)


def pads(*numbers: int) -> list[int]:
    """(top, left, bottom, right) or fewer of each end, of all axes."""
    half = len(numbers) // 2
    return [0, *numbers[:half], 0, 0, *numbers[half:], 0]


def pool(
    kind: str, kernel: list[int], strides: list[int] | None = None, *, sizes: tuple[int, ...] = (7, 8, 4), **attrs: Any
) -> Callable[[], Model]:
    return net("Pool", sizes=sizes, pooling_type=kind, kernel_shape=kernel, strides=strides or kernel, **attrs)


def chain(*nodes: tuple[str, dict[str, Any]], sizes: tuple[int, ...] = (7, 8, 4)) -> Callable[[], Model]:
    """Nodes one behind the other; `weights` among their attributes as in `net`."""

    def make() -> Model:
        made = Model(*sizes)
        for op, attrs in nodes:
            given = dict(attrs)
            made.add(op, weights=filled(made, given.pop("weights", None)), **given)
        return made

    return make


def joined(op: str, *sizes: tuple[int, ...], first: str = "", **attrs: Any) -> Callable[[], Model]:
    """An operator over inputs; with `first` each is convolved before (channels are first then)."""

    def make() -> Model:
        made = Model()
        names = [made.input(f"x{place}", size) for place, size in enumerate(sizes)]
        if first:
            names = [
                made.add("Conv", [name], weights={"weights": made.kernel(1, 1, size[-1], size[-1])}, strides=ONE,
                         auto_pad="VALID")
                for name, size in zip(names, sizes, strict=True)
            ]  # fmt: skip
        made.add(op, names, **attrs)
        return made

    return make


def with_constant(op: str, value: Any, *, stored: bool = True, turned: bool = False) -> Callable[[], Model]:
    def make() -> Model:
        made = Model(7, 8, 4)
        weights = {"value": np.asarray(value, np.float32)} if stored else None
        other = made.add("Constant", [], weights=weights, value=None if stored else value)
        made.add(op, [other, "data"] if turned else ["data", other])
        return made

    return make


ODD: dict[str, Any] = {"auto_pad": "SAME_LOWER"}
KERNEL = [1, 3, 3, 1]

CONVOLUTIONS = {
    "weights are height, width, in, out": Case(conv(3, 2, 4, 5, auto_pad="VALID")),
    "a bias": Case(conv(3, 3, 4, 5, bias=5, auto_pad="VALID")),
    "SAME_UPPER pads the end": Case(conv(2, 4, 4, 5, auto_pad="SAME_UPPER")),
    "SAME_UPPER with a stride": Case(conv(3, 3, 4, 5, auto_pad="SAME_UPPER", strides=TWO)),
    "SAME of a stride larger than the window": Case(conv(1, 1, 4, 5, auto_pad="SAME_UPPER", strides=[1, 3, 3, 1])),
    "SAME_LOWER, nothing odd": Case(conv(3, 3, 4, 5, sizes=(7, 7, 4), **ODD)),
    "SAME_LOWER with an odd sum and no pads": Case(conv(2, 2, 4, 5, **ODD), refused="is not said"),
    "SAME_LOWER with Keras' pads at the end": Case(
        conv(2, 2, 4, 5, pads=pads(0, 0, 1, 1), **ODD), warned="put what is odd at the end"
    ),
    "SAME_LOWER with CNTK's pads at the beginning": Case(conv(2, 2, 4, 5, pads=pads(1, 1, 0, 0), **ODD)),
    "SAME_UPPER with pads of another sum: the word is taken": Case(
        conv(3, 3, 4, 5, sizes=(8, 8, 4), auto_pad="SAME_UPPER", strides=TWO, pads=pads(1, 1, 1, 1)),
        warned="the word is taken",
    ),
    "Darknet's SAME with its own pads": Case(
        conv(3, 3, 4, 5, sizes=(8, 8, 4), auto_pad="SAME", strides=TWO, pads=pads(1, 1, 1, 1)),
        warned="the pads are taken",
    ),
    "pads that make another size than SAME": Case(
        conv(3, 3, 4, 5, auto_pad="SAME", pads=pads(2, 2, 2, 2)), refused="they make different sizes"
    ),
    "VALID with pads contradicts itself": Case(
        conv(3, 3, 4, 5, auto_pad="VALID", pads=pads(1, 1, 1, 1)), refused="contradict each other"
    ),
    "pads alone, beginnings first": Case(conv(3, 3, 4, 5, pads=pads(0, 1, 2, 3))),
    "zeros of any number are no pads": Case(conv(3, 3, 4, 5, pads=[0, 0, 0, 0])),
    "pads of the channels are a parser's mistake": Case(
        conv(3, 3, 4, 5, pads=[0, 1, 1, 1, 0, 1, 1, 0]), refused="pads batch or channels"
    ),
    "neither word nor numbers": Case(conv(3, 3, 4, 5), warned="nothing is padded"),
    "dilations": Case(conv(3, 3, 4, 5, auto_pad="SAME_UPPER", dilations=TWO)),
    "groups": Case(conv(3, 3, 2, 6, auto_pad="VALID", group=2, kernel_shape=[3, 3, 4, 6])),
    "groups that do not part the channels": Case(conv(3, 3, 4, 6, auto_pad="VALID", group=2), refused="4 channels"),
    "one axis": Case(conv(3, 4, 5, sizes=(9, 4), auto_pad="SAME_UPPER", strides=[1, 2, 1])),
    "three axes": Case(conv(2, 3, 2, 4, 5, sizes=(4, 5, 6, 4), auto_pad="SAME_UPPER")),
    "use_bias without a bias": Case(conv(3, 3, 4, 5, auto_pad="VALID", use_bias=True), refused="use_bias is True"),
    "a bias that use_bias denies": Case(
        conv(3, 3, 4, 5, bias=5, auto_pad="VALID", use_bias=False), refused="use_bias is False"
    ),
    "a bias of the weight's size (MMdnn's torch parser)": Case(
        net("Conv", weights={"weights": (3, 3, 4, 5), "bias": (3, 3, 4, 5)}, strides=ONE, auto_pad="VALID"),
        refused="expected 5 numbers",
    ),
    "strides with channels first": Case(
        conv(3, 3, 4, 5, auto_pad="VALID", strides=[1, 1, 2, 2]), refused="keeps them last"
    ),
    "kernel_shape of another kernel": Case(
        conv(3, 3, 4, 5, auto_pad="VALID", kernel_shape=[5, 5, 4, 5]), refused="kernel_shape is"
    ),
    "no weights": Case(net("Conv", strides=ONE, auto_pad="VALID"), refused="mmtoir has written"),
    "depthwise, weights of TensorFlow": Case(conv(3, 3, 4, 2, op="DepthwiseConv", bias=8, auto_pad="SAME_UPPER")),
    "depthwise, weights of MXNet": Case(
        conv(3, 3, 8, 1, op="DepthwiseConv", bias=8, auto_pad="VALID", kernel_shape=[3, 3, 4, 8])
    ),
    "depthwise, one channel in": Case(conv(3, 3, 5, 1, op="DepthwiseConv", sizes=(7, 8, 1), auto_pad="VALID")),
    "depthwise of other channels": Case(conv(3, 3, 3, 1, op="DepthwiseConv", auto_pad="VALID"), refused="do not fit"),
    "separable: the bias is the second's": Case(
        net(
            "SeparableConv", weights={"depthwise_filter": (3, 3, 4, 2), "pointwise_filter": (1, 1, 8, 5), "bias": (5,)},
            strides=TWO, auto_pad="SAME_UPPER", use_bias=True,
        )
    ),
}  # fmt: skip

TRANSPOSED = {
    "transposed: SAME is so many times as large": Case(
        conv(3, 3, 5, 4, op="ConvTranspose", strides=TWO, auto_pad="SAME_UPPER", bias=5)
    ),
    "transposed: SAME, the file's size": Case(
        conv(3, 3, 5, 4, op="ConvTranspose", strides=TWO, auto_pad="SAME_UPPER", makes=(-1, 13, 16, 5))
    ),
    "transposed: an odd cut of SAME_LOWER": Case(
        conv(3, 3, 5, 4, op="ConvTranspose", strides=TWO, auto_pad="SAME_LOWER"), refused="is not said"
    ),
    "transposed: VALID": Case(conv(3, 2, 5, 4, op="ConvTranspose", strides=TWO, auto_pad="VALID")),
    "transposed: VALID of a window smaller than the stride": Case(
        conv(1, 1, 5, 4, op="ConvTranspose", strides=TWO, auto_pad="VALID")
    ),
    "transposed: pads cut the answer": Case(conv(4, 4, 5, 4, op="ConvTranspose", strides=TWO, pads=pads(1, 0, 2, 1))),
    "transposed: an end is added where the file says so": Case(
        conv(3, 3, 5, 4, op="ConvTranspose", strides=TWO, pads=pads(1, 1, 1, 1), makes=(-1, 14, 16, 5))
    ),
    "transposed: the stride that MXNet's parser loses": Case(
        conv(4, 4, 5, 4, op="ConvTranspose", strides=ONE, pads=pads(1, 1, 1, 1), makes=(-1, 14, 16, 5)),
        refused="loses the stride",
    ),
    "transposed: groups": Case(conv(3, 3, 3, 4, op="ConvTranspose", group=2, bias=6, auto_pad="VALID")),
}

POOLS = {
    "largest": Case(pool("MAX", TWO, auto_pad="VALID")),
    "largest, padding is never the largest": Case(pool("MAX", KERNEL, TWO, pads=pads(1, 1, 1, 1))),
    "largest, pads as wide as the window": Case(pool("MAX", TWO, ONE, pads=pads(2, 2, 2, 2))),
    "largest, SAME": Case(pool("MAX", KERNEL, TWO, auto_pad="SAME_UPPER")),
    "mean": Case(pool("AVG", TWO, auto_pad="VALID")),
    "mean: SAME does not count its padding": Case(pool("AVG", KERNEL, TWO, auto_pad="SAME_UPPER")),
    "mean: numbers alone are counted, and said": Case(
        pool("AVG", KERNEL, TWO, pads=pads(1, 1, 1, 1)), warned="padding is counted"
    ),
    "mean: 3 x 3 by 1 with pads of 1 is no SAME, as MMdnn's emitters take it": Case(
        pool("AVG", KERNEL, ONE, pads=pads(1, 1, 1, 1)), warned="padding is counted"
    ),
    "mean: Caffe's rounding up reaches further at the end": Case(
        pool("AVG", KERNEL, TWO, sizes=(8, 8, 4), pads=pads(0, 0, 1, 1)), refused="whether a mean counts that"
    ),
    "mean: an end that no window reaches": Case(
        pool("AVG", TWO, TWO, sizes=(8, 8, 4), pads=pads(0, 0, 1, 1)), warned="padding is counted"
    ),
    "all of it": Case(net("Pool", pooling_type="AVG", global_pooling=True, strides=ONE, kernel_shape=ONE)),
    "the largest of all": Case(net("Pool", pooling_type="MAX", global_pooling=True, strides=ONE)),
    "strides [1, 1] that MXNet's parser leaves": Case(pool("MAX", TWO, [1, 1], pads=[0] * 8)),
    "one axis": Case(pool("AVG", [1, 3, 1], [1, 2, 1], sizes=(9, 4), auto_pad="SAME_UPPER")),
    "rounding up that MXNet's parser loses": Case(
        pool("MAX", KERNEL, TWO, sizes=(8, 8, 4), pads=[0] * 8, makes=(-1, 4, 4, 4)), refused="has lost a part of it"
    ),
    "another kind": Case(pool("SUM", TWO, auto_pad="VALID"), refused="expected MAX or AVG"),
    "holes": Case(pool("MAX", TWO, auto_pad="VALID", dilations=TWO), refused="holes"),
}

CHANNEL: dict[str, Any] = dict.fromkeys(("scale", "bias", "mean"), (4,)) | {"var": np.asarray([0.5, 1, 2, 3])}


def norm(*names: str, op: str = "BatchNorm", **attrs: Any) -> Callable[[], Model]:
    return net(op, weights={name: CHANNEL[name] for name in names}, **{"epsilon": 1e-3, **attrs})


NORMS = {
    "normalised": Case(norm("scale", "bias", "mean", "var", scale=True, bias=True, axis=-1)),
    "normalised, flags not there": Case(norm("bias", "mean", "var")),
    "normalised, no scale (fix_gamma)": Case(norm("bias", "mean", "var", scale=False, bias=True)),
    "normalised, neither": Case(norm("mean", "var", scale=False, bias=False)),
    "normalised, scale said and not there": Case(norm("bias", "mean", "var", scale=True), refused="scale is True"),
    "normalised, a scale that is denied": Case(
        norm("scale", "bias", "mean", "var", scale=False), refused="scale is False"
    ),
    "normalised, no epsilon": Case(norm("mean", "var", epsilon=None), refused="epsilon is missing"),
    "normalised along another axis": Case(net("BatchNorm", sizes=(4, 8, 3), weights=CHANNEL, epsilon=1e-3, axis=1)),
    "normalised vector": Case(net("BatchNorm", sizes=(4,), weights=CHANNEL, epsilon=1e-5, axis=3)),
    "scaled": Case(norm("scale", "bias", op="Scale", use_bias=True)),
    "scaled by CoreML's neutral mean and variance": Case(
        net("Scale", weights={"scale": (4,), "bias": (4,), "scale_mean": np.zeros(4), "scale_var": np.ones(4)})
    ),
    "scaled by a mean": Case(
        net("Scale", weights={"scale": (4,), "scale_mean": np.ones(4)}), refused="emitters differ"
    ),
    "PRelu": Case(net("PRelu", weights={"gamma": (4,)})),
    "PRelu with Caffe's filler": Case(net("PRelu", gamma=0.25), refused="needs the weight 'gamma'"),
    "LRN divides alpha by its size": Case(net("LRN", sizes=(3, 3, 7), size=5, alpha=0.5, beta=0.75, bias=2.0)),
    "LRN of an even size": Case(net("LRN", size=4, alpha=0.5, beta=0.75), refused="differ over even ones"),
    "softmax of the channels": Case(net("Softmax")),
    "softmax of another axis": Case(net("Softmax", dim=1)),
}

ELEMENTS = {
    op: Case(net(op))
    for op in ("Relu", "Relu6", "Sigmoid", "Tanh", "Abs", "Exp", "Square", "Softplus", "Softsign", "HardSigmoid",
               "CRelu", "Dropout", "Identity", "Neg")
} | {
    f"{op} of what is positive": Case(chain(("Exp", {}), (op, {}))) for op in ("Log", "Sqrt", "Reciprocal", "Rsqrt")
} | {
    "LeakyRelu": Case(net("LeakyRelu", alpha=0.1)),
    "LeakyRelu without a slope": Case(net("LeakyRelu"), refused="alpha is missing"),
    "Elu of Keras": Case(net("Elu", dtype=Type("float32"))),
    "Elu with alpha": Case(net("Elu", alpha=0.25)),
    "ELU of Caffe": Case(net("ELU")),
    "Elu that MXNet's parser writes for LeakyReLU": Case(net("Elu"), refused="whatever its act_type is"),
}  # fmt: skip


SAME_SIZE = ((7, 8, 4), (7, 8, 4))
JOINS = {
    **{f"{op} of two": Case(joined(op, *SAME_SIZE)) for op in ("Add", "Mul", "Sub", "Maximum", "Minimum", "Max")},
    **{
        f"{op} of two convolutions": Case(joined(op, *SAME_SIZE, first="Conv"))
        for op in ("Add", "Mul", "Sub", "Maximum", "Avg")
    },
    "Add of three": Case(joined("Add", *SAME_SIZE, (7, 8, 4))),
    "Mul by one number a channel": Case(joined("Mul", (7, 8, 4), (1, 1, 4), first="Conv")),
    "Mul by a vector is not aligned": Case(joined("Mul", (7, 8, 4), (4,)), refused="how they are aligned"),
    "Avg of three": Case(joined("Avg", *SAME_SIZE, (7, 8, 4))),
    "Mul by a stored number": Case(with_constant("Mul", [0.125])),
    "Sub from a stored number": Case(with_constant("Sub", [0.5], turned=True)),
    "Div by a number in the graph": Case(with_constant("Div", 4.0, stored=False)),
    "Add of a weight (TensorFlow's variable)": Case(net("Add", weights={"weights": (4,)})),
    "Sub of a weight: which side is not said": Case(net("Sub", weights={"weights": (4,)}), refused="which is not said"),
    "Concat of channels": Case(joined("Concat", (7, 8, 4), (7, 8, 3), axis=3)),
    "Concat of convolutions": Case(joined("Concat", (7, 8, 4), (7, 8, 3), axis=-1, first="Conv")),
    "Concat of convolutions by their rows": Case(joined("Concat", (7, 8, 4), (3, 8, 4), axis=1, first="Conv")),
    "Concat of vectors along axis 3": Case(joined("Concat", (4,), (3,), axis=3), warned="the last one is taken"),
    "Concat that names no axis": Case(joined("Concat", *SAME_SIZE), refused="axis is missing"),
    "Pack": Case(joined("Pack", *SAME_SIZE, axis=1)),
    "MatMul": Case(joined("MatMul", (5, 4), (4, 3))),
}
FLAT: tuple[str, dict[str, Any]] = ("Flatten", {})


def dense(rows: int, units: int, bias: bool = True, **attrs: Any) -> tuple[str, dict[str, Any]]:
    weights = {"weights": (rows, units)} | ({"bias": (units,)} if bias else {})
    return "FullyConnected", {"weights": weights, "units": units, "use_bias": bias, **attrs}


SHAPES = {
    "Flatten reads height, width, channels": Case(net("Flatten", sizes=(2, 3, 4))),
    "Flatten behind a convolution": Case(
        chain(("Conv", {"weights": {"weights": (3, 3, 4, 5)}, "strides": ONE, "auto_pad": "VALID"}), FLAT)
    ),
    "Flatten of one place": Case(
        chain(("Pool", {"pooling_type": "AVG", "global_pooling": True, "strides": ONE}), FLAT, dense(4, 3))
    ),
    "FullyConnected of a picture": Case(chain(dense(24, 5), sizes=(2, 3, 4))),
    "FullyConnected of a vector": Case(chain(dense(6, 5, bias=False), sizes=(6,))),
    "FullyConnected of the last axis, as Keras has it": Case(chain(dense(4, 5), sizes=(3, 4))),
    "FullyConnected of one place keeps its axes where the file says so": Case(
        chain(dense(4, 5, makes=(-1, 1, 1, 5)), sizes=(1, 1, 4))
    ),
    "FullyConnected with rows for another input": Case(chain(dense(23, 5), sizes=(2, 3, 4)), refused="have 23 rows"),
    "FullyConnected of other units": Case(
        chain(("FullyConnected", {"weights": {"weights": (6, 5)}, "units": 7}), sizes=(6,)), refused="expected 2 of 7"
    ),
    "Reshape": Case(net("Reshape", sizes=(2, 3, 4), shape=[-1, 4, 6])),
    "Reshape of PyTorch's parser has no batch": Case(net("Reshape", sizes=(2, 3, 4), shape=[24], makes=(-1, 24))),
    "Reshape of Caffe's parser has channels first": Case(
        net("Reshape", sizes=(2, 3, 4), shape=[1, 2, 3, 4], makes=(-1, 3, 4, 2)), refused="channels first"
    ),
    "Reshape that leaves a rest": Case(net("Reshape", sizes=(2, 3, 4), shape=[-1, 5, 5]), refused="24 numbers"),
    "Transpose": Case(net("Transpose", perm=[0, 2, 1, 3])),
    "Squeeze": Case(net("Squeeze", sizes=(1, 1, 4), axes=[1, 2])),
    "Squeeze that names nothing": Case(net("Squeeze", sizes=(1, 3, 1)), warned="names no axes"),
    "Unsqueeze": Case(net("Unsqueeze", axes=[2])),
    "expand_dims of MXNet": Case(net("expand_dims", axis=-1)),
    "Pad, beginnings first": Case(net("Pad", pads=[0, 1, 2, 0, 0, 3, 0, 1], mode="constant", constant_values=0.5)),
    "Pad, reflected": Case(net("Pad", pads=pads(2, 1, 0, 3), mode="REFLECT")),
    "Pad, the edge": Case(net("Pad", pads=pads(2, 1, 0, 3), mode="edge")),
    "Pad, symmetric by one": Case(net("Pad", pads=pads(1, 0, 0, 1), mode="SYMMETRIC")),
    "Pad, symmetric by two": Case(net("Pad", pads=pads(2, 0, 0, 1), mode="SYMMETRIC"), refused="mode is symmetric"),
    "Pad whose axes MXNet's parser has mixed up": Case(
        net("Pad", pads=[0, 0, 2, 0, 0, 1, 2, 1], mode="CONSTANT", makes=(-1, 9, 12, 4)), refused="_output_shapes say"
    ),
    "Pad of the batch": Case(net("Pad", pads=[1] * 8), refused="pads the batch"),
    "Crop by Keras: top, bottom, left, right": Case(net("Crop", border=[1, 2, 0, 3], makes=(-1, 4, 5, 4))),
    "Crop by ops.pbtxt: left, top, right, bottom": Case(net("Crop", border=[1, 2, 0, 3], makes=(-1, 2, 7, 4))),
    "Crop that means two things": Case(net("Crop", border=[1, 2, 0, 3]), refused="means two things"),
    "Crop of all sides alike": Case(net("Crop", border=[1, 1, 1, 1])),
    "Crop of Caffe: offsets, and the other's size": Case(
        joined("Crop", (7, 8, 4), (3, 4, 2), border=[1, 2, 0, 0], makes=(-1, 3, 4, 4))
    ),
    "UpSampling2D": Case(net("UpSampling2D", scales=[2, 3])),
    "UpSampling2D, bilinear": Case(
        net("UpSampling2D", scales=[2, 2], interpolation_type="bilinear"), refused="interpolation_type is bilinear"
    ),
    "SpaceToDepth of Keras": Case(net("SpaceToDepth", sizes=(4, 6, 3), blocksize=2, dtype=Type("float32"))),
    "SpaceToDepth that is Darknet's reorg": Case(
        chain(("LeakyRelu", {"alpha": 0.1}), ("SpaceToDepth", {"blocksize": 2}), sizes=(4, 6, 3)), refused="reorg"
    ),
    "ReduceMean": Case(net("ReduceMean", axes=[1, 2], keepdims=False)),
    "ReduceMean keeps its axes": Case(net("ReduceMean", axes=[1, 2], keepdims=True)),
    "ReduceSum": Case(net("ReduceSum", axes=[-1])),
    "Max of one tensor": Case(net("Max", axes=[3])),
    "Slice": Case(net("Slice", starts=[0, 1, 2, 0], ends=[0, 6, 8, 4], strides=[1, 2, 3, 1], end_mask=1)),
    "Slice with masks": Case(
        net("Slice", starts=[0, 5, 2, 1], ends=[0, 5, 2, -1], strides=ONE, begin_mask=5, end_mask=3, shrink_axis_mask=0)
    ),
    "Slice that takes one place": Case(
        net("Slice", starts=[0, 0, -1], ends=[0, 0, 0], strides=[1, 1, 1], begin_mask=3, end_mask=3, shrink_axis_mask=4)
    ),
    "Slice of TensorFlow: -1 is the rest": Case(
        net("Slice", starts=[0, 2, 0, 0], ends=[-1, 1, -1, -1], makes=(-1, 5, 8, 4)),
        refused="may mean the rest",
    ),
    "Slice of new axes": Case(
        net("Slice", starts=[0, 0], ends=[1, 1], strides=[1, 1], new_axis_mask=2), refused="makes new axes"
    ),
    "Shape": Case(net("Shape")),
    "Cast": Case(chain(("Cast", {"dstType": "int"}), ("Cast", {"dstType": "float"}))),
    "LSTM stores no weights": Case(net("LSTM", sizes=(3, 4), units=5), refused="store no weights"),
    "GRU": Case(net("GRU", sizes=(3, 4), units=5), refused="which activations"),
    "Affine of Caffe's Scale": Case(net("Affine", gamma=1.0, use_scale=True), refused="filler"),
    "what nobody knows": Case(net("Frobnicate"), refused="Frobnicate"),
}


def split() -> Model:
    """The second half is convolved, the first is added to it."""
    made = Model(7, 8, 4)
    made.add("Split", axis=3, split=2, name="halves")
    made.add("Conv", ["halves:1"], weights={"weights": made.kernel(1, 1, 2, 2)}, strides=ONE, auto_pad="VALID")
    made.add("Add", ["halves", "conv_2"], name="sum")
    return made


def embedded() -> Model:
    made = Model(6, name="words")
    table = {"embedding_weights": made.kernel(11, 5)}
    made.add("Embedding", weights=table, input_dim=11, output_dim=5, mask_zero=False)
    return made


def unstacked() -> Model:
    made = Model(3, 4)
    made.add("Unstack", axis=1, num=3, name="rows")
    made.add("Sub", ["rows:2", "rows"], name="difference")
    return made


def backwards() -> Model:
    """A node that stands before what it reads."""
    made = Model(7, 8, 4)
    made.add("Relu", ["late"], name="early")
    made.add("Tanh", ["data"], name="late")
    return made


GRAPHS = {
    "an edge names its output": Case(split),
    "Unstack": Case(unstacked),
    "Embedding": Case(embedded),
    "a node before what it reads": Case(backwards),
    "Caffe's own shape: the batch is free": Case(lambda: shaped(Shape((1, 7, 8, 4)))),
    "no shape anywhere": Case(lambda: shaped(None), refused="shape"),
    "no shape, and the owner's": Case(lambda: shaped(None), sizes=(5, 6, 4)),
}


def shaped(shape: Shape | None) -> Model:
    made = Model(7, 8, 4, shape=shape)
    made.add("Conv", weights={"weights": made.kernel(3, 3, 4, 5)}, strides=ONE, auto_pad="VALID")
    return made


CASES: dict[str, Case] = CONVOLUTIONS | TRANSPOSED | POOLS | NORMS | ELEMENTS | JOINS | SHAPES | GRAPHS
