"""Integers of 8 bits with the range they stand for: (data, min, max) in and out.

Rule 1: steps are computed in float32, as MXNet does: half a step decides an integer.
Rule 2: what MXNet's usual build does (by MKLDNN) counts: steps of range / 127.5 and range / 255.5, rounded half to
        even, uint8 from zero whatever the minimum. Its plain kernels, and the text, have 127, 255 and the minimum.
"""

from __future__ import annotations

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op
from gateway.formats.mxnet.interpreter.windows import pooled

STEPS = {"int8": 127.5, "uint8": 255.5}
EXACT_STEPS = {"int8": 127.0, "uint8": 255.0}  # of the older quantize alone


def _kind(node: Node) -> str:
    kind = node.attrs.str("out_type", "int8")
    if kind != "auto":
        return kind
    low = node.attrs.optional_float("min_calib_range")
    return "uint8" if low is not None and low >= 0 else "int8"


@op("_contrib_quantize_v2", dtype=lambda node: (_kind(node), "float32", "float32"))
def quantize_v2(node: Node, x: Array) -> tuple[Array, Array, Array]:
    """int8 or uint8 from zero; the range given, or the data's own."""
    low, high = node.attrs.optional_float("min_calib_range"), node.attrs.optional_float("max_calib_range")
    low, high = (x.min() if low is None else low), (x.max() if high is None else high)
    return _quantised(x, float(low), float(high), _kind(node), STEPS[_kind(node)])


@op("_contrib_quantize", dtype=lambda node: (node.attrs.str("out_type", "uint8"), "float32", "float32"))
def quantize(node: Node, x: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """The range given by inputs; steps of range / 127 and range / 255."""
    kind = node.attrs.str("out_type", "uint8")
    return _quantised(x, float(low.ravel()[0]), float(high.ravel()[0]), kind, EXACT_STEPS[kind])


def _quantised(x: Array, low: float, high: float, kind: str, steps: float) -> tuple[Array, Array, Array]:
    real, bound = np.float32, max(abs(low), abs(high))
    found = np.rint(x.astype(real) * (real(steps) / real(bound)))
    limits = np.iinfo(kind)
    ends = (low, high) if kind == "uint8" else (-bound, bound)
    return np.clip(found, limits.min, limits.max), np.array([ends[0]]), np.array([ends[1]])


@op("_contrib_dequantize", dtype="float32")
def dequantize(node: Node, x: Array, low: Array, high: Array) -> Array:
    """Back to float32."""
    return x * (np.maximum(np.abs(low), np.abs(high)) / STEPS[node.dtypes[0]])


def _same(node: Node) -> tuple[str, ...]:
    return (node.dtypes[0], "float32", "float32")


@op("_contrib_quantized_flatten", dtype=_same)
def quantized_flatten(node: Node, x: Array, low: Array, high: Array) -> tuple[Array, ...]:
    """(N, everything else), the range as it is."""
    return x.reshape(x.shape[0], -1), low, high


@op("_contrib_quantized_act", dtype=_same)
def quantized_act(node: Node, x: Array, low: Array, high: Array) -> tuple[Array, ...]:
    """relu of the integers, the range as it is."""
    if node.attrs.str("act_type") != "relu":
        raise node.unsupported("an act_type other than relu")
    return np.maximum(x, 0), low, high


@op("_contrib_quantized_pooling", dtype=_same)
def quantized_pooling(node: Node, x: Array, low: Array, high: Array) -> tuple[Array, ...]:
    """Pooling of the integers; an average is rounded to the nearest."""
    plain = pooled(Node("Pooling", node.name, node.attrs, node.dtypes), x.astype(np.float64))
    return (np.rint(plain) if node.attrs.str("pool_type", "max") == "avg" else plain), low, high


def _joined(node: Node) -> tuple[str, ...]:
    unsigned = all(kind == "uint8" for kind in node.dtypes[: len(node.dtypes) // 3])
    return ("uint8" if unsigned else "int8", "float32", "float32")


@op("_contrib_quantized_concat", dtype=_joined)
def quantized_concat(node: Node, *inputs: Array) -> tuple[Array, ...]:
    """Joined on `dim` in the widest of the ranges."""
    count, kind = len(inputs) // 3, _joined(node)[0]
    lows, highs = ([float(v.ravel()[0]) for v in inputs[count + i :: 2]] for i in (0, 1))
    low, high = min(0.0, *lows), max(0.0, *highs)
    out = STEPS[kind] / max(abs(low), abs(high))
    parts = []
    for x, own, a, b in zip(inputs[:count], node.dtypes, lows, highs, strict=False):
        parts.append(np.rint(x.astype(np.float64) * (out * max(abs(a), abs(b)) / STEPS[own])))
    limits = np.iinfo(kind)
    joined = np.clip(np.concatenate(parts, axis=node.attrs.int("dim", 1)), limits.min, limits.max)
    return joined, np.array([low]), np.array([high])
