"""Old nets as Caffe itself brings them up to date (util/upgrade_proto.cpp): V0 to V1 to V2, data and input fields.

Rule 1: what Caffe calls "not fully compatible" and goes on with is an error here: it changes numbers.
Rule 2: the answer has `layer` only, in V2's spelling; a net-level `input` is an Input layer in front.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import CorruptModel
from gateway.formats.caffe.message import Message
from gateway.formats.caffe.schema import ENUMS

V0_TYPES = {
    "accuracy": "ACCURACY", "bnll": "BNLL", "concat": "CONCAT", "conv": "CONVOLUTION", "data": "DATA",
    "dropout": "DROPOUT", "euclidean_loss": "EUCLIDEAN_LOSS", "flatten": "FLATTEN", "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT", "im2col": "IM2COL", "images": "IMAGE_DATA", "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT", "lrn": "LRN", "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING", "relu": "RELU", "sigmoid": "SIGMOID", "softmax": "SOFTMAX", "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT", "tanh": "TANH", "window_data": "WINDOW_DATA",
}  # fmt: skip
_SPECIAL = {
    "ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col", "LRN": "LRN", "MVN": "MVN", "RELU": "ReLU", "TANH": "TanH", "SOFTMAX_LOSS": "SoftmaxWithLoss",
}  # fmt: skip
V1_TYPES = {
    name: _SPECIAL.get(name, "".join(part.title() for part in name.split("_")))
    for name in (item.partition("=")[0] for item in ENUMS["LayerType"].split())
}
V0_FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "num_output": {"conv": ("convolution_param", "num_output"), "innerproduct": ("inner_product_param", "num_output")},
    "biasterm": {"conv": ("convolution_param", "bias_term"), "innerproduct": ("inner_product_param", "bias_term")},
    "weight_filler": {
        "conv": ("convolution_param", "weight_filler"), "innerproduct": ("inner_product_param", "weight_filler"),
    },
    "bias_filler": {
        "conv": ("convolution_param", "bias_filler"), "innerproduct": ("inner_product_param", "bias_filler"),
    },
    "pad": {"conv": ("convolution_param", "pad"), "pool": ("pooling_param", "pad")},
    "kernelsize": {"conv": ("convolution_param", "kernel_size"), "pool": ("pooling_param", "kernel_size")},
    "group": {"conv": ("convolution_param", "group")},
    "stride": {"conv": ("convolution_param", "stride"), "pool": ("pooling_param", "stride")},
    "pool": {"pool": ("pooling_param", "pool")},
    "dropout_ratio": {"dropout": ("dropout_param", "dropout_ratio")},
    "local_size": {"lrn": ("lrn_param", "local_size")},
    "alpha": {"lrn": ("lrn_param", "alpha")},
    "beta": {"lrn": ("lrn_param", "beta")},
    "k": {"lrn": ("lrn_param", "k")},
    "concat_dim": {"concat": ("concat_param", "concat_dim")},
    "batchsize": {
        "data": ("data_param", "batch_size"), "hdf5_data": ("hdf5_data_param", "batch_size"),
        "images": ("image_data_param", "batch_size"), "window_data": ("window_data_param", "batch_size"),
    },
}  # fmt: skip
"""Field of V0 -> type of layer -> where it went."""
V0_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
V0_TRAINING = (
    "blobs_lr", "weight_decay", "source", "rand_skip", "shuffle_images", "new_num", "new_channels", "new_height",
    "new_width", "det_fg_threshold", "det_bg_threshold", "det_fg_fraction", "det_context_pad", "det_crop_mode",
    "hdf5_output_param",
)  # fmt: skip
DATA_LAYERS = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}


def upgrade(net: Message, file: str) -> str:
    """Bring a NetParameter up to date in place. Returns the version it was: V0, V1 or V2. Errors: CorruptModel."""
    version = "V2"
    old: list[Message] = net.pop("layers", [])
    if old and net.all("layer"):
        raise CorruptModel(
            f"{file} has both 'layer' and 'layers' messages.",
            hint="Write all of them as 'layer' (V2) or 'layers' (V1).",
        )
    if old:
        version = "V1"
        if any("layer" in layer for layer in old):
            version = "V0"
            old = [_from_v0(layer, file) for layer in _without_padding(old, file)]
        net["layer"] = [_from_v1(layer) for layer in old]
    for layer in net.all("layer"):
        _transform(layer)
    _inputs(net, file)
    return version


def _without_padding(layers: list[Message], file: str) -> list[Message]:
    """Padding layers folded into the convolutions and poolings behind them, as UpgradeV0PaddingLayers does."""
    maker: dict[str, Message] = {}
    kept = []
    for layer in layers:
        inner = layer.inner("layer")
        if inner.last("type") != "padding":
            kept.append(layer)
        for place, name in enumerate(layer.all("bottom")):
            source = maker.get(name)
            if source is None or source.inner("layer").last("type") != "padding":
                continue
            plain = len(layer.all("bottom")) == len(source.all("bottom")) == len(source.all("top")) == 1
            if inner.last("type") not in ("conv", "pool") or not plain:
                raise CorruptModel(
                    f"{file}: padding layer {source.inner('layer').last('name')!r} stands before "
                    f"{inner.last('name')!r} ({inner.last('type')}), expected one convolution or pooling."
                )
            inner["pad"] = [source.inner("layer").last("pad", 0)]
            layer["bottom"][place] = source.all("bottom")[0]
        for name in layer.all("top"):
            maker[name] = layer
    return kept


def _from_v0(layer: Message, file: str) -> Message:
    inner = layer.inner("layer")
    kind, name = str(inner.last("type", "")), str(inner.last("name", ""))
    made = Message({key: layer[key] for key in ("bottom", "top") if key in layer})
    made["name"], made["blobs"] = [name], inner.all("blobs")
    if kind not in V0_TYPES:
        raise CorruptModel(f"{file}: layer {name!r} is of the V0 type {kind!r}, which Caffe does not know.")
    made["type"] = [V0_TYPES[kind]]
    for key, values in inner.items():
        if key in ("name", "type", "blobs", *V0_TRAINING):
            continue
        if key in V0_TRANSFORM:
            _into(made, "transform_param", V0_TRANSFORM[key], values[-1])
            continue
        places = V0_FIELDS.get(key, {})
        if kind not in places:
            raise CorruptModel(f"{file}: layer {name!r} ({kind}) has the field {key}, which that type has not in V0.")
        _into(made, *places[kind], values[-1])
    made.unknown = [*layer.unknown, *inner.unknown]
    return made


def _into(layer: Message, param: str, field: str, value: Any) -> None:
    layer.setdefault(param, [Message()])[-1][field] = [value]


def _from_v1(layer: Message) -> Message:
    made = Message({key: values for key, values in layer.items() if key not in ("blobs_lr", "weight_decay", "param")})
    made["type"] = [V1_TYPES[layer.last("type", "NONE")] if layer.last("type", "NONE") != "NONE" else ""]
    made.unknown = layer.unknown
    return made


def _transform(layer: Message) -> None:
    """Scale, mean file, crop and mirror of old data layers go to transform_param."""
    param = DATA_LAYERS.get(layer.last("type", ""))
    if param is None or param not in layer:
        return
    for key in ("scale", "mean_file", "crop_size", "mirror"):
        if key in layer.inner(param):
            _into(layer, "transform_param", key, layer.inner(param).pop(key)[-1])


def _inputs(net: Message, file: str) -> None:
    """Net-level inputs become an Input layer in front; without shapes they stay names (an old caffemodel's)."""
    names = net.pop("input", [])
    shapes, dims = net.pop("input_shape", []), net.pop("input_dim", [])
    if not names:
        return
    if shapes and len(shapes) != len(names):
        raise CorruptModel(f"{file} has {len(names)} inputs and {len(shapes)} input_shape, expected one each.")
    if not shapes and dims and len(dims) != 4 * len(names):
        raise CorruptModel(f"{file} has {len(names)} inputs and {len(dims)} input_dim, expected four each.")
    if not shapes and dims:
        shapes = [Message({"dim": dims[4 * place : 4 * place + 4]}) for place in range(len(names))]
    param = Message({"shape": shapes} if shapes else {})
    layer = Message({"name": ["input"], "type": ["Input"], "top": names, "input_param": [param]})
    net["layer"] = [layer, *net.all("layer")]
