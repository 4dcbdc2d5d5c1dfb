"""What is known to go wrong with the IR's operators: sentences by operator, shown where one diverges."""

from __future__ import annotations

_PADS = (
    "pads hold all axes, beginnings first; auto_pad SAME_LOWER is written by Keras' and TensorFlow's parsers for SAME, "
    "which pads the end"
)
_FLAGS = "weights say whether there is a scale or a bias; flags may be missing"
_ORDER = "the order is height, width, channels"

TRAPS: dict[str, tuple[str, ...]] = {
    "Conv": (_PADS, "weights are (height, width, in / group, out)", _FLAGS),
    "DepthwiseConv": (_PADS, "MXNet's parser writes weights as (height, width, channels * multiplier, 1)"),
    "SeparableConv": (_PADS, "the bias is of the second convolution"),
    "ConvTranspose": (
        "weights are (height, width, out, in); pads cut the answer, and those beside auto_pad mean nothing",
        "MXNet's parser reads `strides`, which is never there: the stride is lost, _output_shapes tell",
    ),
    "Pool": (
        _PADS, "MXNet's parser loses pooling_convention='full' and count_include_pad; strides may be [1, 1]",
    ),
    "FullyConnected": (_ORDER, "weights are (in, out), with rows turned by the parser"),
    "Flatten": (_ORDER,),
    "Reshape": (_ORDER, "Caffe's and MXNet's parsers leave the shape with channels first"),
    "BatchNorm": (_FLAGS, "Caffe's mean and variance are divided by its factor already"),
    "LRN": ("alpha is divided by size",),
    "Concat": ("axis 3 is written for channels whatever the rank (Keras, Caffe)",),
    "Pad": ("MXNet's parser mixes up the axes of its pads; PyTorch's leaves channels first",),
    "Crop": ("border is left, top, right, bottom in ops.pbtxt, and top, bottom, left, right from Keras",),
    "SpaceToDepth": ("Darknet's reorg is written as this and is another order",),
    "Slice": ("an end of start - 1 is the rest in TensorFlow's Slice",),
    "Elu": ("MXNet's parser writes it for every LeakyReLU but prelu",),
    "Dropout": ("keep_prob is the rate of what is dropped in most parsers",),
}  # fmt: skip


def traps(operator: str) -> tuple[str, ...]:
    """Sentences on an operator; none for one that has no known trap."""
    return TRAPS.get(operator, ())
