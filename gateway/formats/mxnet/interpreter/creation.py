"""Tensors made from attributes: zeros, ones, ranges.

Rule 1: a size of 0 in a shape is one that MXNet infers from who reads it (a batch of zeros for an
        RNN's first state). Here it is 1 and broadcasts; where that is not enough, shapes clash and
        the run stops: nothing is guessed silently.
"""

from __future__ import annotations

import math

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, attr_dtype, op


def _shape(node: Node) -> tuple[int, ...]:
    return tuple(n or 1 for n in node.attrs.ints("shape", ())) or (1,)


@op("_zeros", "_npi_zeros", dtype=attr_dtype())
def zeros(node: Node) -> Array:
    """Zeros of `shape`."""
    return np.zeros(_shape(node))


@op("_ones", "_npi_ones", dtype=attr_dtype())
def ones(node: Node) -> Array:
    """Ones of `shape`."""
    return np.ones(_shape(node))


@op("_full", "_npi_full", dtype=attr_dtype())
def full(node: Node) -> Array:
    """`value` everywhere."""
    return np.full(_shape(node), node.attrs.float("value"))


@op("_eye", "_npi_eye", dtype=attr_dtype())
def eye(node: Node) -> Array:
    """N x M ones on diagonal k; M 0 means N."""
    return np.eye(node.attrs.int("N"), node.attrs.int("M", 0) or None, node.attrs.int("k", 0))


def _range(start: float, step: float, count: int, repeat: int) -> Array:
    return np.repeat(start + step * np.arange(count), repeat)


@op("_arange", "_npi_arange", dtype=attr_dtype())
def arange(node: Node) -> Array:
    """start, start + step ... below stop, each `repeat` times; without a stop, from 0 to `start`."""
    start, stop, step = node.attrs.float("start"), node.attrs.optional_float("stop"), node.attrs.float("step", 1.0)
    if node.attrs.bool("infer_range"):
        raise node.unsupported("infer_range: the length comes from who reads it")
    if stop is None:
        start, stop = 0.0, start
    return _range(start, step, max(math.ceil((stop - start) / step), 0), node.attrs.int("repeat", 1))


@op("_linspace", "_npi_linspace", dtype=attr_dtype())
def linspace(node: Node) -> Array:
    """`num` numbers from start to stop, the stop too unless `endpoint=False`."""
    num, start, stop = node.attrs.int("num"), node.attrs.float("start"), node.attrs.float("stop")
    return np.linspace(start, stop, num, endpoint=node.attrs.bool("endpoint", True))


@op("_contrib_arange_like", "_npx_arange_like")
def arange_like(node: Node, x: Array) -> Array:
    """A range as long as `axis`, or in the shape of the whole input."""
    axis, repeat = node.attrs.optional_int("axis"), node.attrs.int("repeat", 1)
    shape = x.shape if axis is None else (x.shape[axis],)
    count = math.prod(shape)
    line = _range(node.attrs.float("start", 0.0), node.attrs.float("step", 1.0), -(-count // repeat), repeat)
    return line[:count].reshape(shape)
