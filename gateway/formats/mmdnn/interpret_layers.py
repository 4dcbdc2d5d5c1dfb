"""The functions of the float64 interpreter, by operator. Arrays have channels last, weights as the .npy has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mmdnn import ir


@dataclass(frozen=True)
class Call:
    """A node with its inputs, computed."""

    node: ir.Node
    given: Sequence[Array]
    resized: bool = False

    def attr(self, name: str, default: Any = None) -> Any:
        found = self.node.attrs.get(name, default)
        return found.decode() if isinstance(found, bytes) else found

    @property
    def x(self) -> Array:
        return self.given[0]

    def weight(self, name: str) -> Array:
        return np.asarray(self.node.weights[name], np.float64)

    def stored(self, name: str) -> bool:
        return name in self.node.weights

    def said(self) -> tuple[int | None, ...] | None:
        """The shape that the file gives the first output, where it is of this call."""
        shapes = [] if self.resized else self.node.shapes()
        return shapes[0] if shapes else None


TABLE: dict[str, Callable[[Call], Any]] = {}


def operator(*names: str) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    def keep(function: Callable[[Call], Any]) -> Callable[[Call], Any]:
        TABLE.update(dict.fromkeys(names, function))
        return function

    return keep


def _steps(call: Call, name: str, axes: int) -> list[int]:
    found = call.attr(name) or []
    return list(found[1:-1]) if len(found) == axes + 2 else [1] * axes


Ends = list[tuple[int, int]]


def _ends(call: Call, sides: Sequence[int], reach: Sequence[int], steps: Sequence[int]) -> tuple[Ends, bool]:
    """((before, after) of each axis, whether these are zeros like any other to a mean)."""
    axes, word, numbers = len(sides), call.attr("auto_pad", ""), call.attr("pads") or []
    written = [(numbers[a + 1], numbers[axes + 3 + a]) for a in range(axes)] if any(numbers) else [(0, 0)] * axes
    if word in ("", "NOTSET", "VALID"):
        return written, word != "VALID"
    wanted = [math.ceil(side / step) for side, step in zip(sides, steps)]
    total = [max(0, (w - 1) * s + r - n) for w, s, r, n in zip(wanted, steps, reach, sides)]
    late = word == "SAME_UPPER" or any(low < high for low, high in written)
    by_word = [(t // 2, t - t // 2) if late else (t - t // 2, t // 2) for t in total]
    if not any(numbers) or call.resized:
        return by_word, False
    exact = [low + high for low, high in written] == total
    return (written if exact or word != "SAME_UPPER" else by_word), False


def _filled(x: Array, ends: Ends, value: float) -> Array:
    return np.pad(x, [(0, 0), *ends, (0, 0)], constant_values=value)


def _taps(x: Array, kernel: Sequence[int], steps: Sequence[int], holes: Sequence[int]) -> Any:
    """(place in the kernel, the input under it at every window) one after the other."""
    counts = [(n - (k - 1) * h - 1) // s + 1 for n, k, s, h in zip(x.shape[1:-1], kernel, steps, holes)]
    for tap in product(*map(range, kernel)):
        cut = [slice(t * h, t * h + (c - 1) * s + 1, s) for t, h, c, s in zip(tap, holes, counts, steps)]
        yield tap, x[(slice(None), *cut, slice(None))]


def _convolved(call: Call, x: Array, weight: Array, groups: int) -> Array:
    axes = x.ndim - 2
    kernel, steps, holes = weight.shape[:axes], _steps(call, "strides", axes), _steps(call, "dilations", axes)
    reach = [(k - 1) * h + 1 for k, h in zip(kernel, holes)]
    padded = _filled(x, _ends(call, x.shape[1:-1], reach, steps)[0], 0.0)
    total: Any = 0.0
    for tap, seen in _taps(padded, kernel, steps, holes):
        parts = zip(np.split(seen, groups, -1), np.split(weight[tap], groups, -1))
        total = total + np.concatenate([part @ matrix for part, matrix in parts], -1)
    return np.asarray(total)


def _plus_bias(call: Call, made: Array) -> Array:
    return made + call.weight("bias").reshape(-1) if call.stored("bias") else made


@operator("Conv")
def _conv(call: Call) -> Any:
    return _plus_bias(call, _convolved(call, call.x, call.weight("weights"), call.attr("group", 1)))


def _by_channel(call: Call, name: str) -> Array:
    """Each channel by its own kernels: as many groups as channels."""
    weight, x = call.weight(name), call.x
    channels = x.shape[-1]
    kernels = weight.reshape(*weight.shape[:-2], channels, -1)
    made = [_convolved(call, x[..., c : c + 1], kernels[..., c : c + 1, :], 1) for c in range(channels)]
    return np.concatenate(made, -1)


@operator("DepthwiseConv")
def _depthwise(call: Call) -> Any:
    return _plus_bias(call, _by_channel(call, "weights"))


@operator("SeparableConv")
def _separable(call: Call) -> Any:
    point = call.weight("pointwise_filter")
    return _plus_bias(call, _by_channel(call, "depthwise_filter") @ point.reshape(point.shape[-2:]))


@operator("ConvTranspose")
def _transposed(call: Call) -> Any:
    """Every input is spread over its window; windows are added; what is padding is cut off."""
    x, weight, groups = call.given[-1], call.weight("weights"), call.attr("group", 1)
    axes = x.ndim - 2
    kernel, steps, holes = weight.shape[:axes], _steps(call, "strides", axes), _steps(call, "dilations", axes)
    full = [(n - 1) * s + (k - 1) * h + 1 for n, s, k, h in zip(x.shape[1:-1], steps, kernel, holes)]
    word, numbers, said = call.attr("auto_pad", ""), call.attr("pads") or [], call.said()
    ends, wide = [], []
    for axis in range(axes):
        wanted = said[axis + 1] if said is not None else None
        if word.startswith("SAME"):
            wanted = wanted or x.shape[axis + 1] * steps[axis]
            over = max(0, full[axis] - wanted)
            ends.append(over // 2)
        elif word == "VALID" or not any(numbers):
            wanted = wanted or (max(full[axis], x.shape[axis + 1] * steps[axis]) if word else full[axis])
            ends.append(0)
        else:
            wanted = wanted or full[axis] - numbers[axis + 1] - numbers[axes + 3 + axis]
            ends.append(numbers[axis + 1])
        wide.append(wanted)
    out = np.zeros((x.shape[0], *[max(f, e + w) for f, e, w in zip(full, ends, wide)], weight.shape[-2] * groups))
    for tap in product(*map(range, kernel)):
        at = [slice(t * h, t * h + (n - 1) * s + 1, s) for t, h, n, s in zip(tap, holes, x.shape[1:-1], steps)]
        matrices = np.split(weight[tap], groups, -1)  # (out, in of a group)
        parts = [part @ m.T for part, m in zip(np.split(x, groups, -1), matrices)]
        out[(slice(None), *at, slice(None))] += np.concatenate(parts, -1)
    return _plus_bias(call, out[(slice(None), *[slice(e, e + w) for e, w in zip(ends, wide)], slice(None))])


@operator("Pool")
def _pool(call: Call) -> Any:
    x, largest = call.x, call.attr("pooling_type") == "MAX"
    axes = x.ndim - 2
    if call.attr("global_pooling", False):
        places = tuple(range(1, axes + 1))
        return x.max(places, keepdims=True) if largest else x.mean(places, keepdims=True)
    kernel, steps = call.attr("kernel_shape")[1:-1], _steps(call, "strides", axes)
    ends, counted = _ends(call, x.shape[1:-1], kernel, steps)
    one = [1] * axes
    if largest:
        return np.max([seen for _, seen in _taps(_filled(x, ends, -np.inf), kernel, steps, one)], 0)
    total = np.sum([seen for _, seen in _taps(_filled(x, ends, 0.0), kernel, steps, one)], 0)
    ones = np.ones_like(x) if not counted else np.ones_like(_filled(x, ends, 0.0))
    there = ones if counted else _filled(ones, ends, 0.0)
    return np.asarray(total / np.sum([seen for _, seen in _taps(there, kernel, steps, one)], 0))


@operator("FullyConnected", "InnerProduct")
def _dense(call: Call) -> Any:
    weight, x, said = call.weight("weights"), call.x, call.said()
    rows = weight.shape[0]
    everything = x.reshape(x.shape[0], -1)
    kept = x.ndim > 2 and x.shape[-1] == rows and (everything.shape[1] != rows or (said is not None and len(said) > 2))
    return _plus_bias(call, (x if kept else everything) @ weight)


def _axis(call: Call, default: int = -1) -> int:
    axis = int(call.attr("axis", default))
    return 1 if axis == 3 and call.x.ndim == 2 else axis % call.x.ndim


def _along(call: Call, values: Array, axis: int) -> Array:
    shape = [1] * call.x.ndim
    shape[axis] = -1
    return values.reshape(shape)


@operator("BatchNorm")
def _batch_norm(call: Call) -> Any:
    axis = _axis(call)
    mean, var = (_along(call, call.weight(name), axis) for name in ("mean", "var"))
    made = (call.x - mean) / np.sqrt(var + call.attr("epsilon"))
    made = made * _along(call, call.weight("scale"), axis) if call.stored("scale") else made
    return made + _along(call, call.weight("bias"), axis) if call.stored("bias") else made


@operator("Scale")
def _scale(call: Call) -> Any:
    axis = _axis(call)
    made = call.x * _along(call, call.weight("scale"), axis) if call.stored("scale") else call.x
    return made + _along(call, call.weight("bias"), axis) if call.stored("bias") else made


@operator("PRelu")
def _prelu(call: Call) -> Any:
    return np.where(call.x > 0, call.x, call.x * call.weight("gamma").reshape(-1))


@operator("LRN")
def _lrn(call: Call) -> Any:
    x, half = call.x, call.attr("size") // 2
    squares = np.pad(x * x, [(0, 0)] * (x.ndim - 1) + [(half, half)])
    total = sum(squares[..., k : k + x.shape[-1]] for k in range(2 * half + 1))
    return x / (call.attr("bias", 1.0) + call.attr("alpha") / call.attr("size") * total) ** call.attr("beta")


@operator("Softmax")
def _softmax(call: Call) -> Any:
    axis = call.attr("dim", -1)
    powers = np.exp(call.x - call.x.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


ELEMENTS: dict[str, Callable[[Array], Array]] = {
    "Relu": lambda x: np.where(x > 0, x, 0 * x), "Relu6": lambda x: np.clip(x, 0, 6), "Sigmoid": _sigmoid,
    "Tanh": np.tanh, "Exp": np.exp, "Log": np.log, "Abs": np.abs, "Sqrt": np.sqrt, "Reciprocal": lambda x: 1 / x,
    "Softplus": lambda x: np.logaddexp(0.0, x), "Softsign": lambda x: x / (1 + np.abs(x)), "Neg": np.negative,
    "Floor": np.floor, "HardSigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1), "Square": np.square,
    "Rsqrt": lambda x: 1 / np.sqrt(x), "Dropout": lambda x: x, "Identity": lambda x: x,
    "CRelu": lambda x: np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], -1),
}  # fmt: skip


def _alone(function: Callable[[Array], Array]) -> Callable[[Call], Any]:
    return lambda call: function(call.x)


TABLE.update({name: _alone(function) for name, function in ELEMENTS.items()})


@operator("LeakyRelu")
def _leaky(call: Call) -> Any:
    return np.where(call.x >= 0, call.x, call.attr("alpha") * call.x)


@operator("Elu", "ELU")
def _elu(call: Call) -> Any:
    return np.where(call.x >= 0, call.x, call.attr("alpha", 1.0) * np.expm1(np.minimum(call.x, 0)))


def _folded(function: Callable[[Array, Array], Array]) -> Callable[[Call], Array]:
    def fold(call: Call) -> Array:
        given = list(call.given) if len(call.given) > 1 else [call.x, call.weight("weights")]
        made = given[0]
        for other in given[1:]:
            made = function(made, other)
        return made

    return fold


TABLE.update(
    {
        "Add": _folded(np.add), "Mul": _folded(np.multiply), "Sub": _folded(np.subtract),
        "Div": _folded(np.true_divide), "RealDiv": _folded(np.true_divide), "Maximum": _folded(np.maximum),
        "Maxmum": _folded(np.maximum), "Minimum": _folded(np.minimum),
        "Avg": lambda call: np.mean(call.given, 0), "MatMul": lambda call: call.given[0] @ call.given[1],
        "Matmul": lambda call: call.given[0] @ call.given[1],
    }
)  # fmt: skip


@operator("Constant", "Const")
def _constant(call: Call) -> Any:
    found = call.attr("value")
    if found is None:
        found = call.node.weights.get("value", call.node.weights.get("weights"))
    array = np.asarray(found)
    kind = call.attr("dtype", "")
    return array.astype(np.float64 if "float" in (kind or array.dtype.name) else np.int64)


@operator("Cast")
def _cast(call: Call) -> Any:
    kind = {"float": "float64", "int": "int32"}.get(call.attr("dstType", ""), call.attr("dtype", ""))
    return call.x.astype("float64" if kind == "float32" else kind)
