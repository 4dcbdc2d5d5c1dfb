"""Integers of 8 bits with the range they stand for: (data, min, max) in and out.

Rule 1: steps are computed in float32, as MXNet does: half a step decides an integer.
"""

from __future__ import annotations

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op
from gateway.formats.mxnet.interpreter.windows import pooled

RANGE = {"int8": 127.0, "uint8": 255.0}


def _kind(node: Node) -> str:
    kind = node.attrs.str("out_type", "int8")
    if kind != "auto":
        return kind
    low = node.attrs.optional_float("min_calib_range")
    return "uint8" if low is not None and low >= 0 else "int8"


@op("_contrib_quantize_v2", dtype=lambda node: (_kind(node), "float32", "float32"))
def quantize_v2(node: Node, x: Array) -> tuple[Array, Array, Array]:
    """int8 around zero, or uint8 from min to max; the range given, or the data's own."""
    low, high = node.attrs.optional_float("min_calib_range"), node.attrs.optional_float("max_calib_range")
    low, high = (x.min() if low is None else low), (x.max() if high is None else high)
    return _quantised(x, float(low), float(high), _kind(node))


@op("_contrib_quantize", dtype=lambda node: (node.attrs.str("out_type", "uint8"), "float32", "float32"))
def quantize(node: Node, x: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """As quantize_v2, the range given by inputs."""
    return _quantised(x, float(low.ravel()[0]), float(high.ravel()[0]), node.attrs.str("out_type", "uint8"))


def _quantised(x: Array, low: float, high: float, kind: str) -> tuple[Array, Array, Array]:
    real, x = np.float32, x.astype(np.float32)
    if kind == "uint8":
        scale = real(255.0 / (real(high) - real(low)))
        found = np.trunc((x - real(low)) * scale + 0.5)
        return found.astype(np.int64).astype(np.uint8), np.array([low]), np.array([high])
    bound = max(abs(low), abs(high))
    steps = np.minimum(np.abs(x) * (real(127.0) / real(bound)) + real(0.5), real(127.0))
    return np.trunc(np.sign(x) * steps), np.array([-bound]), np.array([bound])


@op("_contrib_dequantize", dtype="float32")
def dequantize(node: Node, x: Array, low: Array, high: Array) -> Array:
    """Back to float32."""
    if node.dtypes[0] == "uint8":
        return x * ((high - low) / 255.0) + low
    return x * (np.maximum(np.abs(low), np.abs(high)) / RANGE["int8"])


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
    count = len(inputs) // 3
    data, lows, highs = inputs[:count], inputs[count::2], inputs[count + 1 :: 2]
    low, high = min(float(v.ravel()[0]) for v in lows), max(float(v.ravel()[0]) for v in highs)
    wide = max(abs(low), abs(high))
    unsigned = all(d == "uint8" for d in node.dtypes[:count])
    parts = []
    for x, kind, a, b in zip(data, node.dtypes, lows, highs, strict=False):
        own = max(abs(float(a.ravel()[0])), abs(float(b.ravel()[0]))) / RANGE[kind]
        parts.append(np.rint(x.astype(np.float64) * (own * RANGE["uint8" if unsigned else "int8"] / wide)))
    return np.concatenate(parts, axis=node.attrs.int("dim", 1)), np.array([low]), np.array([high])
