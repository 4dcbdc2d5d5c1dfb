"""BatchNorm, Scale, LRN, PRelu, Softmax.

Rule 1: the weights say whether there is a scale or a bias; a flag that says otherwise is refused.
Rule 2: LRN divides alpha by its size, as Caffe and MXNet do; TensorFlow's parser has multiplied it before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mmdnn.node import FORMAT_NAME, Node
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def _flagged(node: Node, flag: str, name: str) -> bool:
    stored = name in node.weights
    if node.has(flag) and node.bool(flag) != stored:
        raise node.error(f"{flag} is {node.bool(flag)}, and its weights are {', '.join(node.weights) or 'none'}")
    return stored


def _channel(graph: Emit, node: Node, x: str) -> int:
    """The axis of `axis`; the last without it."""
    axis = node.int("axis", -1)
    rank = graph.rank(x)
    if axis == 3 and rank == 2:  # written for "the channels", whatever the rank
        axis = 1
    return graph.axis(x, axis)


@op(FORMAT_NAME, "BatchNorm")
def batch_norm(graph: Emit, node: Node) -> str:
    """(x - mean) / sqrt(var + epsilon), times scale, plus bias, where these are stored."""
    x = node.one()
    axis = _channel(graph, node, x)
    count = graph.size(x, axis)
    epsilon, mean, var = node.float("epsilon"), node.vector("mean", count), node.vector("var", count)
    scale = node.vector("scale", count) if _flagged(node, "scale", "scale") else np.ones(count, np.float32)
    bias = node.vector("bias", count) if _flagged(node, "bias", "bias") else np.zeros(count, np.float32)
    if axis == graph.rank(x) - 1:
        parts = [graph.constant(n, a) for n, a in (("scale", scale), ("bias", bias), ("mean", mean), ("var", var))]
        turned = node.first(graph, x)
        return node.last(graph, graph.node("BatchNormalization", [turned, *parts], epsilon=epsilon))
    factor = scale.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
    return _affine(graph, x, axis, factor, bias - mean * factor)


def _affine(graph: Emit, x: str, axis: int, factor: Array, term: Array) -> str:
    shape = [1] * graph.rank(x)
    shape[axis] = -1
    made = graph.node("Mul", [x, graph.constant("factor", factor.astype(np.float32).reshape(shape))])
    return graph.node("Add", [made, graph.constant("term", term.astype(np.float32).reshape(shape))])


@op(FORMAT_NAME, "Scale")
def scale(graph: Emit, node: Node) -> str:
    """x times scale plus bias."""
    x = node.one()
    axis = _channel(graph, node, x)
    count = graph.size(x, axis)
    for name, neutral in (("scale_mean", 0.0), ("scale_var", 1.0)):
        if name in node.weights and not (node.vector(name, count) == neutral).all():
            raise node.error(f"its {name} is not {neutral:g}; MMdnn's emitters differ in what that means")
    factor = node.vector("scale", count) if "scale" in node.weights else np.ones(count, np.float32)
    term = node.vector("bias", count) if _flagged(node, "use_bias", "bias") else np.zeros(count, np.float32)
    if axis == graph.rank(x) - 1 and axis > 1:
        turned = node.first(graph, x)
        return node.last(graph, _affine(graph, turned, 1, factor, term))
    return _affine(graph, x, axis, factor, term)


@op(FORMAT_NAME, "PRelu")
def prelu(graph: Emit, node: Node) -> str:
    """A slope for each channel; the one that Caffe's parser writes as an attribute is its filler, and not read."""
    x = node.one()
    count = graph.size(x, -1)
    gamma = node.vector("gamma", count)
    turned = node.first(graph, x)
    slope = graph.constant("gamma", gamma.reshape(-1, *(1,) * (graph.rank(x) - 2)))
    return node.last(graph, graph.node("PRelu", [turned, slope]))


@op(FORMAT_NAME, "LRN")
def lrn(graph: Emit, node: Node) -> str:
    """x / (bias + alpha / size * sum of squares over `size` channels) ** beta."""
    x, size = node.one(), node.int("size")
    if size % 2 == 0 or size < 1:
        raise node.error(f"size is {size}; MMdnn's emitters differ over even ones")
    if graph.rank(x) != 4:
        raise node.error(f"its input has {graph.rank(x)} dimensions, expected 4")
    numbers = {"alpha": node.float("alpha"), "beta": node.float("beta"), "bias": node.float("bias", 1.0)}
    return node.last(graph, graph.node("LRN", [node.first(graph, x)], size=size, **numbers))


@op(FORMAT_NAME, "Softmax")
def softmax(graph: Emit, node: Node) -> str:
    """Over axis `dim`, the last one by default."""
    x = node.one()
    return graph.node("Softmax", [x], axis=graph.axis(x, node.int("dim", -1)))
