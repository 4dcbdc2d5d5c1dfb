"""What a Caffe net's inputs are: shapes as the file declares them, the batch free where the net allows it.

In this order: what the owner says (--input, model.toml), the file (Input layer, input_dim, crop_size), and for
channels the weights of the first layer.

Rule 1: nothing is guessed silently: each input has a Fact; what cannot be found is a NeedsInputShape.
Rule 2: the batch is free unless a layer counts on it (Reshape with a number in front, a cut of the batch): then it
        is the file's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway.core.artifact import Fact
from gateway.core.modeltoml import TensorOption
from gateway.core.names import did_you_mean
from gateway.core.signature import Shape, TensorSpec, format_shape
from gateway.errors import ConversionError, NeedsInputShape
from gateway.formats.caffe.net import Input, Layer, Net

OWNER = "--input or model.toml"
MAX_ELEMENTS = 1 << 31
ALIKE = ("ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "AbsVal", "Power", "Dropout", "LRN", "MVN", "Pooling", "Bias",
         "Scale", "BatchNorm", "Split", "Clip", "Swish")  # fmt: skip
"""Layers that keep the number of channels."""
MIXING = {
    "Concat": ("concat_param", ("axis", "concat_dim"), 1), "Slice": ("slice_param", ("axis", "slice_dim"), 1),
    "Flatten": ("flatten_param", ("axis",), 1), "Tile": ("tile_param", ("axis",), 1),
    "Reduction": ("reduction_param", ("axis",), 0), "ArgMax": ("argmax_param", ("axis",), 1),
    "InnerProduct": ("inner_product_param", ("axis",), 1), "Softmax": ("softmax_param", ("axis",), 1),
    "Crop": ("crop_param", ("axis",), 2),
}  # fmt: skip
"""Layers -> the parameter, the fields and the default of the axis that they work on."""
SEQUENCES = ("RNN", "LSTM", "Recurrent", "Proposal", "BatchReindex")
"""Layers whose first axis is no batch."""


def solve(net: Net, options: Sequence[TensorOption], facts: list[Fact]) -> tuple[TensorSpec, ...]:
    """A TensorSpec for each input of the net, in order; appends to `facts`.

    Errors: NeedsInputShape for all inputs together; ConversionError for options about inputs that are not there.
    """
    names = [each.name for each in net.inputs]
    unknown = [option.own_name for option in options if option.own_name not in names]
    if unknown:
        there = ", ".join(names) or "none"
        raise ConversionError(
            f"{net.file} has no input {unknown[0]!r}; it has {there}.{did_you_mean(unknown[0], names)}"
        )
    by_name = {option.own_name: option for option in options}
    pinned = pins_batch(net)
    if pinned:
        facts.append(Fact("batch", "as the file has it", pinned))
    specs: list[TensorSpec] = []
    missing: list[str] = []
    candidates: list[str] = []
    for each in net.inputs:
        option = by_name.get(each.name)
        if option is not None and option.dtype not in ("", "float32"):
            raise ConversionError(f"input {each.name!r} is to be {option.dtype}; Caffe's numbers are float32.")
        shape, said = _shape(net, each, option, free=not pinned)
        if shape is None or (None in shape[1:] and said != OWNER):
            missing.append(each.name)
            candidates += [f"{each.name}:float32{format_shape(one)}" for one in _candidates(shape)]
            continue
        if math.prod(size or 1 for size in shape) > MAX_ELEMENTS:
            raise ConversionError(
                f"input {each.name!r} has the shape {format_shape(shape)} ({said}), over {MAX_ELEMENTS} elements a row."
            )
        facts.append(Fact(f"shape of {each.name}", format_shape(shape), said))
        symbols = tuple(
            "" if size is not None else "batch" if axis == 0 else f"{each.name}_{axis}"
            for axis, size in enumerate(shape)
        )
        specs.append(TensorSpec(option.name if option else each.name, "float32", shape, each.name, symbols))
    if missing:
        raise NeedsInputShape(net.file, missing, candidates)
    return tuple(specs)


def _shape(net: Net, each: Input, option: TensorOption | None, *, free: bool) -> tuple[Shape | None, str]:
    """(shape, where it was found); None in it for what is not known, and for a free batch."""
    if option is not None and option.shape is not None:
        return option.shape, OWNER
    shape: Shape | None = each.shape
    channels = _channels(net, each.name)
    if shape is None:
        if channels is None:
            return None, ""
        return (None, channels[0], *(None,) * channels[1]), each.source
    if free or shape[:1] == (None,):
        shape = (None, *shape[1:])
    said = each.source
    if len(shape) > 1 and shape[1] is None and channels is not None:
        shape = (shape[0], channels[0], *shape[2:])
        said += f"; {channels[0]} channels from the weights"
    return shape, said


def _channels(net: Net, name: str) -> tuple[int, int] | None:
    """(channels, further axes) that the first weights behind an input want."""
    reached = {name}
    for layer in net.layers:
        if not reached & set(layer.bottoms[:1]):
            continue
        if layer.type == "Convolution" and layer.blobs and layer.blobs[0].ndim > 2:
            weight = layer.blobs[0].shape
            return int(weight[1]) * int(layer.param("convolution_param").last("group", 1)), len(weight) - 2
        if layer.type == "InnerProduct" and layer.blobs and layer.bottoms[0] == name:
            outputs = layer.param("inner_product_param").last("num_output", 0)
            return (layer.blobs[0].size // outputs, 0) if outputs else None
        if layer.type in ALIKE:
            reached |= set(layer.tops)
    return None


def _candidates(shape: Shape | None) -> list[Shape]:
    channels = shape[1] if shape is not None and len(shape) == 4 else 3
    return [(None, channels, side, side) for side in (224, 227, 299)] if shape is None or len(shape) == 4 else [shape]


def pins_batch(net: Net) -> str:
    """Why the batch cannot be free, or ""."""
    return next((f"layer {layer.name!r} ({layer.type})" for layer in net.layers if _pins(layer)), "")


def _pins(layer: Layer) -> bool:
    if layer.type in SEQUENCES:
        return True
    if layer.type == "Reshape":
        param = layer.param("reshape_param")
        dims = param.inner("shape").all("dim")
        return bool(param.last("axis", 0) == 0 and dims and dims[0] != 0)
    if layer.type == "Permute":
        return layer.param("permute_param").all("order")[:1] not in ([0], [])
    if layer.type in MIXING:
        name, fields, default = MIXING[layer.type]
        param = layer.param(name)
        axis = next((param.last(field) for field in fields if field in param), default)
        return bool(axis == 0)
    if layer.type in ("Scale", "Bias"):
        return bool(layer.param(f"{layer.type.lower()}_param").last("axis", 1) == 0 and len(layer.bottoms) == 1)
    return False
