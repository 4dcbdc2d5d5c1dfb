"""The functions of the float64 interpreter, by module; the batch is in front."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.torch7.module import Module

TABLE: dict[str, Callable[[Module, Any], Any]] = {}


def module_of(*names: str) -> Callable[[Callable[[Module, Any], Any]], Callable[[Module, Any], Any]]:
    def keep(function: Callable[[Module, Any], Any]) -> Callable[[Module, Any], Any]:
        TABLE.update(dict.fromkeys(names, function))
        return function

    return keep


def _w(module: Module, name: str) -> Array:
    return np.asarray(module.fields.get(name), np.float64)


def _bias(module: Module, made: Array) -> Array:
    if not module.stored("bias"):
        return made
    return made + _w(module, "bias").reshape(1, -1, *(1,) * (made.ndim - 2))


def _numbers(module: Module, stem: str, default: int) -> tuple[int, int]:
    return module.int(f"{stem}H", default), module.int(f"{stem}W", default)


def _padding(module: Module) -> tuple[int, int]:
    if module.has("padding") and not module.has("padW"):
        return module.int("padding"), module.int("padding")
    return _numbers(module, "pad", 0)


def _correlate(module: Module, x: Array, weight: Array, groups: int) -> Array:
    """sum over taps of (out, in) matrices; `weight` is (out, in of a group, kh, kw)."""
    (kh, kw), (sh, sw), (dh, dw) = weight.shape[2:], _numbers(module, "d", 1), _numbers(module, "dilation", 1)
    top, left = _padding(module)
    canvas = np.pad(x, [(0, 0), (0, 0), (top, top), (left, left)])
    high = (canvas.shape[2] - dh * (kh - 1) - 1) // sh + 1
    wide = (canvas.shape[3] - dw * (kw - 1) - 1) // sw + 1
    made = np.zeros((x.shape[0], weight.shape[0], high, wide))
    out, taken = weight.shape[0] // groups, weight.shape[1]
    for group, i, j in product(range(groups), range(kh), range(kw)):
        seen = canvas[:, group * taken : (group + 1) * taken, i * dh :: sh, j * dw :: sw][:, :, :high, :wide]
        matrix = weight[group * out : (group + 1) * out, :, i, j]
        made[:, group * out : (group + 1) * out] += np.einsum("oc,nchw->nohw", matrix, seen, optimize=True)
    return _bias(module, made)


@module_of("SpatialConvolution", "SpatialConvolutionMM", "SpatialDilatedConvolution", "SpatialConvolutionLocalMM")
def _convolution(module: Module, x: Array) -> Array:
    groups, out = module.int("groups", 1), module.int("nOutputPlane")
    shape = (out, module.int("nInputPlane") // groups, module.int("kH"), module.int("kW"))
    return _correlate(module, x, _w(module, "weight").reshape(shape), groups)


@module_of("SpatialDepthWiseConvolution")
def _depthwise(module: Module, x: Array) -> Array:
    many, taken = module.int("nOutputPlane"), module.int("nInputPlane")
    weight = _w(module, "weight").reshape(many, taken, module.int("kH"), module.int("kW"))
    made = [_correlate(module, x[:, c : c + 1], weight[:, c : c + 1], 1) for c in range(taken)]
    return np.concatenate(made, 1)


@module_of("SpatialConvolutionMap")
def _map(module: Module, x: Array) -> Array:
    kernels = _w(module, "weight").reshape(-1, module.int("kH"), module.int("kW"))
    weight = np.zeros((module.int("nOutputPlane"), module.int("nInputPlane"), *kernels.shape[1:]))
    for row, (source, target) in enumerate(np.asarray(module.fields.get("connTable")).astype(int)):
        weight[target - 1, source - 1] += kernels[row]
    return _correlate(module, x, weight, 1)


@module_of("SpatialFullConvolution")
def _full(module: Module, x: Array) -> Array:
    """Every pixel spreads its kernel; then the padding is cut off."""
    kh, kw = module.int("kH"), module.int("kW")
    weight = _w(module, "weight").reshape(module.int("nInputPlane"), module.int("nOutputPlane"), kh, kw)
    (sh, sw), (top, left), (ah, aw) = _numbers(module, "d", 1), _padding(module), _numbers(module, "adj", 0)
    many, _, h, w = x.shape
    canvas = np.zeros((many, weight.shape[1], (h - 1) * sh + kh + ah, (w - 1) * sw + kw + aw))
    for i, j in product(range(kh), range(kw)):
        spread = np.einsum("nchw,co->nohw", x, weight[:, :, i, j], optimize=True)
        canvas[:, :, i : i + (h - 1) * sh + 1 : sh, j : j + (w - 1) * sw + 1 : sw] += spread
    return _bias(module, canvas[:, :, top : canvas.shape[2] - top, left : canvas.shape[3] - left])


@module_of("SpatialSubSampling")
def _subsampling(module: Module, x: Array) -> Array:
    windows = _windows(module, x, 0.0, floor=True)
    return _bias(module, windows.sum((-2, -1)) * _w(module, "weight").reshape(1, -1, 1, 1))


def _windows(module: Module, x: Array, value: float, *, floor: bool = False) -> Array:
    """(n, c, windows down, windows across, kh, kw); what is behind the ends holds `value`."""
    (kh, kw), (sh, sw), (top, left) = _numbers(module, "k", 1), _numbers(module, "d", 1), _numbers(module, "pad", 0)
    up = math.ceil if module.bool("ceil_mode") and not floor else math.floor
    counts = []
    for n, k, s, p in zip(x.shape[2:], (kh, kw), (sh, sw), (top, left)):
        count = up((n + 2 * p - k) / s) + 1
        if (top or left) and (count - 1) * s >= n + p:
            count -= 1
        counts.append(count)
    high, wide = ((c - 1) * s + k for c, s, k in zip(counts, (sh, sw), (kh, kw)))
    canvas = np.full((*x.shape[:2], max(high, x.shape[2] + top), max(wide, x.shape[3] + left)), value)
    canvas[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    view = np.lib.stride_tricks.sliding_window_view(canvas, (kh, kw), (2, 3))
    return view[:, :, ::sh, ::sw][:, :, : counts[0], : counts[1]]


@module_of("SpatialMaxPooling")
def _max_pool(module: Module, x: Array) -> Any:
    return _windows(module, x, -np.inf).max((-2, -1))


@module_of("SpatialAveragePooling")
def _average_pool(module: Module, x: Array) -> Any:
    total = _windows(module, x, 0.0).sum((-2, -1))
    ones = np.ones_like(x)
    if module.bool("count_include_pad", True):  # the padding counts, what hangs over behind it does not
        top, left = _numbers(module, "pad", 0)
        wider = np.pad(ones, [(0, 0), (0, 0), (top, top), (left, left)], constant_values=1.0)
        count = _counted(module, wider, total.shape[2:])
    else:
        count = _windows(module, ones, 0.0).sum((-2, -1))
    made = total / count
    return made if module.bool("divide", True) else made * module.int("kW") * module.int("kH")


def _counted(module: Module, there: Array, counts: tuple[int, ...]) -> Array:
    """How much of each window lies in `there`, which is padded already."""
    made = np.zeros((1, 1, *counts))
    (kh, kw), (sh, sw) = _numbers(module, "k", 1), _numbers(module, "d", 1)
    for i, j in product(*map(range, counts)):
        made[0, 0, i, j] = there[0, 0, i * sh : i * sh + kh, j * sw : j * sw + kw].sum()
    return made


@module_of("SpatialAdaptiveMaxPooling", "SpatialAdaptiveAveragePooling")
def _adaptive(module: Module, x: Array) -> Array:
    names = ("H", "W") if module.has("H") else ("oH", "oW")
    high, wide = (module.int(name) for name in names)
    made = np.zeros((*x.shape[:2], high, wide))
    for i, j in product(range(high), range(wide)):
        rows = slice(i * x.shape[2] // high, -(-(i + 1) * x.shape[2] // high))
        columns = slice(j * x.shape[3] // wide, -(-(j + 1) * x.shape[3] // wide))
        cell = x[:, :, rows, columns]
        made[:, :, i, j] = cell.max((2, 3)) if "Max" in module.kind else cell.mean((2, 3))
    return made


@module_of("Linear")
def _linear(module: Module, x: Array) -> Array:
    return _bias(module, x @ _w(module, "weight").T)


@module_of("LookupTable")
def _lookup(module: Module, x: Array) -> Array:
    return _w(module, "weight")[x.astype(np.int64) - 1]


@module_of("SpatialBatchNormalization", "BatchNormalization", "VolumetricBatchNormalization")
def _batch_norm(module: Module, x: Array) -> Array:
    shape = (1, -1, *(1,) * (x.ndim - 2))
    made = x - _w(module, "running_mean").reshape(shape)
    if module.stored("running_var"):
        made = made / np.sqrt(_w(module, "running_var").reshape(shape) + module.float("eps", 1e-5))
    else:
        made = made * _w(module, "running_std").reshape(shape)
    made = made * _w(module, "weight").reshape(shape) if module.stored("weight") else made
    return _bias(module, made)


@module_of("SpatialInstanceNormalization", "InstanceNormalization")
def _instance_norm(module: Module, x: Array) -> Array:
    made = x - x.mean((2, 3), keepdims=True)
    made = made / np.sqrt((made**2).mean((2, 3), keepdims=True) + module.float("eps", 1e-5))
    made = made * _w(module, "weight").reshape(1, -1, 1, 1) if module.stored("weight") else made
    return _bias(module, made)


@module_of("SpatialCrossMapLRN")
def _lrn(module: Module, x: Array) -> Array:
    size, k = module.int("size"), module.float("K") if module.has("K") else module.float("k", 1.0)
    squares = np.pad(x * x, [(0, 0), (size // 2, size // 2), (0, 0), (0, 0)])
    total = sum(squares[:, place : place + x.shape[1]] for place in range(size))
    return np.asarray(x / (k + module.float("alpha", 1e-4) / size * total) ** module.float("beta", 0.75))


@module_of("Normalize")
def _normalize(module: Module, x: Array) -> Array:
    p = module.float("p", 2.0)
    return np.asarray(x / ((np.abs(x) ** p).sum(1, keepdims=True) + module.float("eps", 1e-10)) ** (1 / p))


_ELEMENTS: dict[str, Callable[[Module, Array], Any]] = {
    "Tanh": lambda m, x: np.tanh(x),
    "Sigmoid": lambda m, x: np.exp(-np.logaddexp(0.0, -x)),
    "Abs": lambda m, x: np.abs(x),
    "Exp": lambda m, x: np.exp(x),
    "Log": lambda m, x: np.log(x),
    "Sqrt": lambda m, x: np.sqrt(x),
    "ReLU": lambda m, x: np.maximum(x, 0),
    "ReLU6": lambda m, x: np.clip(x, 0, 6),
    "SoftSign": lambda m, x: x / (1 + np.abs(x)),
    "HardTanh": lambda m, x: np.clip(x, m.float("min_val", -1), m.float("max_val", 1)),
    "LeakyReLU": lambda m, x: np.where(x > 0, x, m.float("negval", 0.01) * x),
    "ELU": lambda m, x: np.where(x > 0, x, m.float("alpha", 1) * np.expm1(np.minimum(x, 0))),
    "Threshold": lambda m, x: np.where(x > m.float("threshold", 0), x, m.float("val", 0)),
    "SoftPlus": lambda m, x: np.logaddexp(0, m.float("beta", 1) * x) / m.float("beta", 1),
    "Square": lambda m, x: x * x,
    "Power": lambda m, x: x ** m.float("pow"),
    "MulConstant": lambda m, x: x * m.float("constant_scalar"),
    "AddConstant": lambda m, x: x + m.float("constant_scalar"),
    "Mul": lambda m, x: x * _w(m, "weight").reshape(-1)[0],
    "Dropout": lambda m, x: x if m.bool("v2") else x * (1 - m.float("p", 0.5)),
    "SpatialDropout": lambda m, x: x * (1 - m.float("p", 0.5)),
    "VolumetricDropout": lambda m, x: x * (1 - m.float("p", 0.5)),
    **dict.fromkeys(
        ("Copy", "Contiguous", "WhiteNoise", "NoBackprop", "GradientReversal", "L1Penalty"), lambda m, x: x
    ),
}  # fmt: skip
TABLE.update(_ELEMENTS)
TABLE["Clamp"] = TABLE["HardTanh"]


@module_of("PReLU")
def _prelu(module: Module, x: Array) -> Array:
    slope = _w(module, "weight").reshape(-1)
    return np.where(x > 0, x, x * slope.reshape(1, -1, *(1,) * (x.ndim - 2)))


def _of_a_sample(module: Module, name: str, x: Array) -> Array:
    stored = _w(module, name)
    return (
        stored if stored.ndim == x.ndim else stored[None].reshape(1, *(1,) * (x.ndim - 1 - stored.ndim), *stored.shape)
    )


@module_of("CMul")
def _cmul(module: Module, x: Array) -> Array:
    return x * _of_a_sample(module, "weight", x)


@module_of("CAdd", "Add")
def _cadd(module: Module, x: Array) -> Array:
    return x + (_w(module, "bias").reshape(-1)[0] if module.bool("scalar") else _of_a_sample(module, "bias", x))


def _log_softmax(x: Array) -> Array:
    low = x - x.max(1, keepdims=True)
    return np.asarray(low - np.log(np.exp(low).sum(1, keepdims=True)))


TABLE.update(dict.fromkeys(("LogSoftMax", "SpatialLogSoftMax"), lambda m, x: _log_softmax(x)))
TABLE.update(dict.fromkeys(("SoftMax", "SpatialSoftMax"), lambda m, x: np.exp(_log_softmax(x))))
TABLE["SoftMin"] = lambda m, x: np.exp(_log_softmax(-x))


def _fold(function: Callable[[Array, Array], Any]) -> Callable[[Module, Any], Any]:
    def folded(module: Module, value: Any) -> Any:
        made = value[0]
        for other in value[1:]:
            made = function(made, other)
        return made

    return folded


for _name, _function in (
    ("CAddTable", np.add), ("CMulTable", np.multiply), ("CMaxTable", np.maximum), ("CMinTable", np.minimum),
    ("CSubTable", np.subtract), ("CDivTable", np.true_divide),
):  # fmt: skip
    TABLE[_name] = _fold(_function)
TABLE["CAveTable"] = lambda m, value: np.mean(value, 0)


def _axis(module: Module, rank: int, dimension: str, sample: str) -> int:
    at = module.int(dimension, 1)
    if at < 0:
        return rank + at
    return at if module.has(sample) and module.int(sample) == rank - 1 else at - 1


@module_of("View", "Reshape")
def _view(module: Module, x: Array) -> Any:
    sizes = list(module.ints("size"))
    if -1 in sizes[:1] and len(sizes) > 1 and math.prod(sizes[1:]) == math.prod(x.shape[1:]):
        sizes = sizes[1:]
    return x.reshape(x.shape[0], *sizes)


@module_of("Transpose")
def _transpose(module: Module, x: Array) -> Any:
    for pair in module.fields.get("permutations").items():
        one, other = pair.items()
        more = int(module.has("numInputDims") and module.int("numInputDims") == x.ndim - 1)
        x = x.swapaxes(one - 1 + more, other - 1 + more)
    return x


@module_of("Squeeze")
def _squeeze(module: Module, x: Array) -> Array:
    if module.has("dim"):
        return x.squeeze(_axis(module, x.ndim, "dim", "numInputDims"))
    return x.reshape(x.shape[0], *[size for size in x.shape[1:] if size != 1])


@module_of("Unsqueeze")
def _unsqueeze(module: Module, x: Array) -> Array:
    return np.expand_dims(x, _axis(module, x.ndim, "pos", "numInputDims"))


@module_of("Select")
def _select(module: Module, x: Array) -> Any:
    index = module.int("index")
    return x.take(index - 1 if index > 0 else index, _axis(module, x.ndim, "dimension", ""))


@module_of("Narrow")
def _narrow(module: Module, x: Array) -> Array:
    axis, index, length = _axis(module, x.ndim, "dimension", ""), module.int("index"), module.int("length")
    first = index - 1 if index > 0 else x.shape[axis] + index
    last = first + length if length >= 0 else x.shape[axis] + length + 1
    return x.take(range(first, last), axis)


def _reduced(function: Any, name: str) -> Callable[[Module, Any], Any]:
    def reduce(module: Module, x: Array) -> Any:
        axis = _axis(module, x.ndim, "dimension", "nInputDims")
        made = function(x, axis=axis, keepdims=module.has("squeeze") and not module.bool("squeeze"))
        return made / x.shape[axis] if name == "Sum" and module.bool("sizeAverage") else made

    return reduce


for _name, _reducer in (("Sum", np.sum), ("Mean", np.mean), ("Max", np.max), ("Min", np.min)):
    TABLE[_name] = _reduced(_reducer, _name)


@module_of("Padding")
def _pad(module: Module, x: Array) -> Array:
    axis, pad = _axis(module, x.ndim, "dim", "nInputDim"), module.int("pad")
    ends = [(0, 0)] * x.ndim
    ends[axis] = (-pad, 0) if pad < 0 else (0, pad)
    return np.pad(x, ends, constant_values=module.float("value", 0.0))


@module_of("SpatialZeroPadding", "SpatialReflectionPadding", "SpatialReplicationPadding")
def _around(module: Module, x: Array) -> Array:
    left = module.int("pad_l")
    right, top, bottom = (module.int(f"pad_{side}", left) for side in "rtb")
    if module.kind == "SpatialZeroPadding":
        x = x[:, :, max(0, -top) : x.shape[2] - max(0, -bottom), max(0, -left) : x.shape[3] - max(0, -right)]
        top, bottom, left, right = (max(0, each) for each in (top, bottom, left, right))
        return np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)])
    rows, columns = np.arange(-top, x.shape[2] + bottom), np.arange(-left, x.shape[3] + right)
    if module.kind == "SpatialReplicationPadding":
        return x[:, :, rows.clip(0, x.shape[2] - 1)][:, :, :, columns.clip(0, x.shape[3] - 1)]
    mirror = [(n - 1) - np.abs((n - 1) - np.abs(at)) for at, n in ((rows, x.shape[2]), (columns, x.shape[3]))]
    return x[:, :, mirror[0]][:, :, :, mirror[1]]


@module_of("SpatialUpSamplingNearest")
def _nearest(module: Module, x: Array) -> Array:
    factor = module.int("scale_factor")
    return x.repeat(factor, 2).repeat(factor, 3)


@module_of("SpatialUpSamplingBilinear")
def _bilinear(module: Module, x: Array) -> Any:
    wanted = [
        module.int(name) if module.has(name) else size * module.int("scale_factor")
        for name, size in (("oheight", x.shape[2]), ("owidth", x.shape[3]))
    ]
    for axis, out in ((2, wanted[0]), (3, wanted[1])):
        size = x.shape[axis]
        at = np.arange(out) * ((size - 1) / (out - 1) if out > 1 else 0.0)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if k == axis else 1 for k in range(4)])
        x = x.take(low, axis) * (1 - share) + x.take(np.minimum(low + 1, size - 1), axis) * share
    return x


@module_of("JoinTable")
def _join(module: Module, value: Any) -> Array:
    return np.concatenate(value, _axis(module, value[0].ndim, "dimension", "nInputDims"))


@module_of("SplitTable")
def _split(module: Module, x: Array) -> list[Array]:
    axis = _axis(module, x.ndim, "dimension", "nInputDims")
    return [x.take(place, axis) for place in range(x.shape[axis])]


@module_of("MM")
def _mm(module: Module, value: Any) -> Any:
    one, other = (v.swapaxes(1, 2) if module.bool(flag) else v for v, flag in zip(value, ("transA", "transB")))
    return one @ other


@module_of("DotProduct")
def _dot(module: Module, value: Any) -> Any:
    return (value[0] * value[1]).sum(1)
