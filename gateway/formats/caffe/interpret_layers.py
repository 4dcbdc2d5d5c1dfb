"""Caffe's layers without windows, in float64: (layer, bottoms) -> top, or a list of tops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.caffe.message import Message
from gateway.formats.caffe.net import Layer

Function = Callable[[Layer, Sequence[Array]], "Array | list[Array]"]


def blob(layer: Layer, index: int) -> Array:
    """A blob as float64. Errors: ConversionError where the layer has not so many."""
    if index >= len(layer.blobs):
        raise ConversionError(f"Caffe layer {layer.name!r} ({layer.type}) has {len(layer.blobs)} blobs, no {index}.")
    return np.asarray(layer.blobs[index], np.float64)


def axis_of(x: Array, axis: int) -> int:
    return axis + x.ndim if axis < 0 else axis


def spread(vector: Array, ndim: int, axis: int) -> Array:
    """`vector`, whose dimensions start at `axis`, for broadcasting over `ndim` dimensions."""
    return vector.reshape(*(1,) * axis, *vector.shape, *(1,) * (ndim - axis - vector.ndim))


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _pointwise(function: Callable[[Message, Array], Array], name: str = "") -> Function:
    return lambda layer, bottoms: function(layer.param(name), bottoms[0])


def _relu(param: Message, x: Array) -> Array:
    return np.asarray(np.maximum(x, 0.0) + param.last("negative_slope", 0.0) * np.minimum(x, 0.0))


def _prelu(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, slope = bottoms[0], blob(layer, 0).reshape(-1)
    shared = layer.param("prelu_param").last("channel_shared", False)
    slope = slope[:1].reshape(()) if shared or slope.size == 1 else spread(slope, x.ndim, 1)
    return np.asarray(np.maximum(x, 0.0) + slope * np.minimum(x, 0.0))


def _elu(param: Message, x: Array) -> Array:
    return np.asarray(np.maximum(x, 0.0) + param.last("alpha", 1.0) * np.expm1(np.minimum(x, 0.0)))


def _power(param: Message, x: Array) -> Array:
    power = param.last("power", 1.0)
    return np.asarray((param.last("shift", 0.0) + param.last("scale", 1.0) * x) ** power)


def _inner(param: Message, x: Array) -> Array:
    return np.asarray(param.last("shift", 0.0) + param.last("scale", 1.0) * x)


def _exp(param: Message, x: Array) -> Array:
    base = param.last("base", -1.0)
    return np.asarray(np.exp(_inner(param, x)) if base == -1 else base ** _inner(param, x))


def _log(param: Message, x: Array) -> Array:
    base = param.last("base", -1.0)
    return np.asarray(np.log(_inner(param, x)) / (1.0 if base == -1 else np.log(base)))


def _bnll(param: Message, x: Array) -> Array:
    return np.asarray(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))))


def _threshold(param: Message, x: Array) -> Array:
    return np.asarray(x > param.last("threshold", 0.0), np.float64)


def _clip(param: Message, x: Array) -> Array:
    return np.asarray(np.maximum(param.last("min"), np.minimum(x, param.last("max"))))


def _swish(param: Message, x: Array) -> Array:
    return np.asarray(x * sigmoid(param.last("beta", 1.0) * x))


def _batch_norm(layer: Layer, bottoms: Sequence[Array]) -> Array:
    """mean / factor and variance / factor; NVCaffe adds a scale and a bias of its own."""
    x, param = bottoms[0], layer.param("batch_norm_param")
    if len(layer.blobs) == 5:
        return _nvcaffe(layer, x, max(param.last("eps", 1e-5), 1e-5))
    if param.last("use_global_stats", True):
        factor = float(blob(layer, 2).reshape(-1)[0])
        factor = 0.0 if factor == 0 else 1.0 / factor
        mean, variance = (blob(layer, index).reshape(-1) * factor for index in (0, 1))
    else:
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        mean, variance = x.mean(axes), x.var(axes)
    return np.asarray((x - spread(mean, x.ndim, 1)) / np.sqrt(spread(variance, x.ndim, 1) + param.last("eps", 1e-5)))


def _nvcaffe(layer: Layer, x: Array, eps: float) -> Array:
    """Five blobs. Where the last is one number they are DIGITS's: scale, bias, mean, variance, nothing."""
    first, second, third, fourth, last = (blob(layer, index).reshape(-1) for index in range(5))
    mean, variance, scale, bias = (third, fourth, first, second) if last.size == 1 else (first, second, fourth, last)
    mean, variance, scale, bias = (spread(each, x.ndim, 1) for each in (mean, variance, scale, bias))
    return np.asarray((x - mean) / np.sqrt(variance + eps) * scale + bias)


def _factor(layer: Layer, bottoms: Sequence[Array], param: Message, index: int) -> Array:
    """The second bottom or a blob, spread from `axis` on."""
    x, axis = bottoms[0], axis_of(bottoms[0], param.last("axis", 1))
    if len(bottoms) > 1:
        return spread(bottoms[1], x.ndim, axis)
    count = param.last("num_axes", 1)
    end = x.ndim if count == -1 else axis + count
    return spread(blob(layer, index).reshape(x.shape[axis:end]), x.ndim, axis)


def _scale(layer: Layer, bottoms: Sequence[Array]) -> Array:
    param = layer.param("scale_param")
    factor = _factor(layer, bottoms, param, 0)
    made = bottoms[0] * factor
    if not param.last("bias_term", False):
        return made
    bias = blob(layer, 1 if len(bottoms) == 1 else 0)
    return made + bias.reshape(factor.shape)


def _bias(layer: Layer, bottoms: Sequence[Array]) -> Array:
    return bottoms[0] + _factor(layer, bottoms, layer.param("bias_param"), 0)


def _inner_product(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("inner_product_param")
    axis = axis_of(x, param.last("axis", 1))
    rows = x.reshape(*x.shape[:axis], -1)
    count = param.last("num_output")
    weights = blob(layer, 0)
    weights = weights.reshape(-1, count) if param.last("transpose", False) else weights.reshape(count, -1).T
    made = rows @ weights
    return made + blob(layer, 1).reshape(-1) if param.last("bias_term", True) else made


def _embed(layer: Layer, bottoms: Sequence[Array]) -> Array:
    param = layer.param("embed_param")
    table = blob(layer, 0).reshape(param.last("input_dim"), param.last("num_output"))
    made = table[np.trunc(bottoms[0]).astype(np.int64)]
    return made + blob(layer, 1).reshape(-1) if param.last("bias_term", True) else made


def _eltwise(layer: Layer, bottoms: Sequence[Array]) -> Array:
    param = layer.param("eltwise_param")
    kind = param.last("operation", "SUM")
    if kind == "PROD":
        return np.asarray(np.prod(bottoms, 0))
    if kind == "MAX":
        return np.asarray(np.max(bottoms, 0))
    factors = param.all("coeff") or [1.0] * len(bottoms)
    return np.asarray(sum(factor * x for factor, x in zip(factors, bottoms, strict=True)))


def _concat(layer: Layer, bottoms: Sequence[Array]) -> Array:
    param = layer.param("concat_param")
    return np.concatenate(bottoms, param.last("concat_dim") if "concat_dim" in param else param.last("axis", 1))


def _slice(layer: Layer, bottoms: Sequence[Array]) -> list[Array]:
    param = layer.param("slice_param")
    axis = param.last("slice_dim") if "slice_dim" in param else param.last("axis", 1)
    points = param.all("slice_point")
    return list(np.split(bottoms[0], points if points else len(layer.tops), axis))


def _flatten(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("flatten_param")
    start, end = axis_of(x, param.last("axis", 1)), axis_of(x, param.last("end_axis", -1))
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def _reshape(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("reshape_param")
    start = param.last("axis", 0)
    start = start if start >= 0 else x.ndim + start + 1
    count = param.last("num_axes", -1)
    end = x.ndim if count == -1 else start + count
    wanted = param.inner("shape").all("dim")
    sizes = [x.shape[start + place] if size == 0 else size for place, size in enumerate(wanted)]
    return x.reshape(*x.shape[:start], *sizes, *x.shape[end:])


def _tile(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("tile_param")
    repeats = [1] * x.ndim
    repeats[axis_of(x, param.last("axis", 1))] = param.last("tiles")
    return np.tile(x, repeats)


def _reduction(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("reduction_param")
    axis = axis_of(x, param.last("axis", 0))
    rows = x.reshape(*x.shape[:axis], -1)
    kind = param.last("operation", "SUM")
    found = {"SUM": rows.sum(-1), "ASUM": np.abs(rows).sum(-1), "SUMSQ": (rows**2).sum(-1), "MEAN": rows.mean(-1)}[kind]
    return np.asarray(param.last("coeff", 1.0) * found)


def _arg_max(layer: Layer, bottoms: Sequence[Array]) -> Array:
    """Of equal ones the later: pairs of value and index are sorted."""
    x, param = bottoms[0], layer.param("argmax_param")
    top, values = param.last("top_k", 1), param.last("out_max_val", False)
    axis = axis_of(x, param.last("axis")) if "axis" in param else -1
    lines = np.moveaxis(x, axis, -1) if axis >= 0 else x.reshape(x.shape[0], -1)
    last = lines.shape[-1] - 1
    order = last - np.argsort(-lines[..., ::-1], axis=-1, kind="stable")[..., :top]
    best = np.take_along_axis(lines, order, -1)
    if axis >= 0:
        return np.ascontiguousarray(np.moveaxis(best if values else order.astype(np.float64), -1, axis))
    found = np.stack([order, best], 1) if values else order[:, None].astype(np.float64)
    return found.reshape(x.shape[0], -1, top, *(1,) * max(0, x.ndim - 3))


def _softmax(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, axis = bottoms[0], layer.param("softmax_param").last("axis", 1)
    powers = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def _mvn(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, param = bottoms[0], layer.param("mvn_param")
    axes = tuple(range(1 if param.last("across_channels", False) else 2, x.ndim))
    made = x - x.mean(axes, keepdims=True)
    if not param.last("normalize_variance", True):
        return np.asarray(made)
    return np.asarray(made / (np.sqrt((made**2).mean(axes, keepdims=True)) + param.last("eps", 1e-9)))


def _crop(layer: Layer, bottoms: Sequence[Array]) -> Array:
    x, like = bottoms
    param = layer.param("crop_param")
    start = axis_of(x, param.last("axis", 2))
    given = param.all("offset")
    made = x
    for axis in range(start, x.ndim):
        offset = 0 if not given else given[0] if len(given) == 1 else given[axis - start]
        made = made[(slice(None),) * axis + (slice(offset, offset + like.shape[axis]),)]
    return made


def _batch_reindex(layer: Layer, bottoms: Sequence[Array]) -> Array:
    return np.asarray(bottoms[0][np.trunc(bottoms[1].reshape(-1)).astype(np.int64)])


def _dummy(layer: Layer, bottoms: Sequence[Array]) -> list[Array]:
    param = layer.param("dummy_data_param")
    fillers = param.all("data_filler") or [Message()]
    if "num" in param:
        keys = ("num", "channels", "height", "width")
        given = [
            [param.all(key)[min(place, len(param.all(key)) - 1)] for key in keys] for place in range(len(layer.tops))
        ]
    else:
        given = [shape.all("dim") for shape in param.all("shape")]
    made = []
    for place in range(len(layer.tops)):
        filler = fillers[min(place, len(fillers) - 1)]
        made.append(np.full(given[min(place, len(given) - 1)], float(filler.last("value", 0.0))))
    return made


def _rnn(layer: Layer, bottoms: Sequence[Array]) -> Array:
    """h = tanh(W_xh x + b_h + W_hh (cont · h)), o = tanh(W_ho h + b_o)."""
    given, cont, blobs = _recurrent(layer, bottoms, 1)
    state = np.zeros(given.shape[1:])
    made = []
    for step in range(given.shape[0]):
        state = np.tanh(given[step] + (cont[step] * state) @ blobs[0].T)
        made.append(np.tanh(state @ blobs[1].T + blobs[2].reshape(-1)))
    return np.stack(made)


def _lstm(layer: Layer, bottoms: Sequence[Array]) -> Array:
    """Gates i, f, o, g; `cont` of 0 starts a sequence."""
    given, cont, blobs = _recurrent(layer, bottoms, 4)
    size = given.shape[2] // 4
    cell, hidden = np.zeros((2, given.shape[1], size))
    made = []
    for step in range(given.shape[0]):
        gates = given[step] + (cont[step] * hidden) @ blobs[0].T
        i, f, o = (sigmoid(gates[:, place * size : (place + 1) * size]) for place in range(3))
        cell = cont[step] * f * cell + i * np.tanh(gates[:, 3 * size :])
        hidden = o * np.tanh(cell)
        made.append(hidden)
    return np.stack(made)


def _recurrent(layer: Layer, bottoms: Sequence[Array], parts: int) -> tuple[Array, Array, list[Array]]:
    """(what the inputs give at each step (T, N, parts · size), cont (T, N, 1), the other matrices)."""
    param = layer.param("recurrent_param")
    if param.last("expose_hidden", False):
        raise ConversionError(f"Caffe layer {layer.name!r} ({layer.type}) takes and shows its state.")
    size = parts * param.last("num_output")
    x = bottoms[0].reshape(*bottoms[0].shape[:2], -1)
    blobs = [blob(layer, index) for index in range(len(layer.blobs))]
    given = x @ blobs[0].reshape(size, -1).T + blobs[1].reshape(-1)
    rest = blobs[2:]
    if len(bottoms) > 2:
        static = bottoms[2].reshape(bottoms[2].shape[0], -1)
        given = given + static @ rest[0].reshape(size, -1).T
        rest = rest[1:]
    rest[0] = rest[0].reshape(size, -1)
    if len(rest) > 1:
        rest[1] = rest[1].reshape(param.last("num_output"), -1)
    return given, bottoms[1].reshape(*x.shape[:2], 1), rest


LAYERS: Mapping[str, Function] = {
    "ReLU": _pointwise(_relu, "relu_param"),
    "ReLU6": lambda layer, bottoms: np.clip(bottoms[0], 0.0, 6.0),
    "PReLU": _prelu,
    "ELU": _pointwise(_elu, "elu_param"),
    "Sigmoid": lambda layer, bottoms: sigmoid(bottoms[0]),
    "TanH": lambda layer, bottoms: np.tanh(bottoms[0]),
    "AbsVal": lambda layer, bottoms: np.abs(bottoms[0]),
    "Power": _pointwise(_power, "power_param"),
    "Exp": _pointwise(_exp, "exp_param"),
    "Log": _pointwise(_log, "log_param"),
    "BNLL": _pointwise(_bnll),
    "Threshold": _pointwise(_threshold, "threshold_param"),
    "Clip": _pointwise(_clip, "clip_param"),
    "Swish": _pointwise(_swish, "swish_param"),
    "Dropout": lambda layer, bottoms: bottoms[0],
    "Split": lambda layer, bottoms: [bottoms[0]] * len(layer.tops),
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "Bias": _bias,
    "InnerProduct": _inner_product,
    "Embed": _embed,
    "Eltwise": _eltwise,
    "Concat": _concat,
    "Slice": _slice,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Tile": _tile,
    "Reduction": _reduction,
    "ArgMax": _arg_max,
    "Softmax": _softmax,
    "MVN": _mvn,
    "Crop": _crop,
    "BatchReindex": _batch_reindex,
    "DummyData": _dummy,
    "Parameter": lambda layer, bottoms: blob(layer, 0),
    "RNN": _rnn,
    "LSTM": _lstm,
}
