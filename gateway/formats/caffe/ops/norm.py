"""Normalisations: BatchNorm, BN of the forks, LRN, MVN, SSD's Normalize, Softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.caffe.emit import Node
from gateway.formats.caffe.ops.pooling import within_channel
from gateway.graph.registry import op
from gateway.graph.tools import ints, like

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

NVCAFFE_EPS = 1e-5  # cuDNN takes no smaller one


def _normalised(graph: Emit, x: str, scale: Array, shift: Array, mean: Array, variance: Array, eps: float) -> str:
    names = ("scale", "shift", "mean", "variance")
    arrays = zip(names, (scale, shift, mean, variance), strict=True)
    return graph.node(
        "BatchNormalization", [x, *(graph.constant(n, a.astype(np.float32)) for n, a in arrays)], epsilon=eps
    )


@op("caffe", "BatchNorm")
def batch_norm(graph: Emit, node: Node) -> str:
    """(x - mean) / sqrt(variance + eps), both divided by the stored factor; with five blobs NVCaffe's, not divided.

    Params  batch_norm_param: eps=1e-5 (of NVCaffe at least that); use_global_stats=false is refused
    """
    (x,) = node.bottoms(1)
    fields = node.fields("batch_norm_param")
    if not fields.bool("use_global_stats", True):
        raise fields.error(
            "use_global_stats is false: the numbers of a row depend on the others of its batch",
            "Set it to true in the prototxt, as deploy nets have it.",
        )
    if len(node.blobs) == 5:
        return _of_nvcaffe(graph, node, x, fields.float("eps", 1e-5))
    node.weights(3)
    channels = graph.size(x, 1)
    factor = float(node.vector(2, 1, "factor")[0])
    factor = 0.0 if factor == 0 else 1 / factor
    mean = node.vector(0, channels, "mean").astype(np.float64) * factor
    variance = node.vector(1, channels, "variance").astype(np.float64) * factor
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    return _normalised(graph, x, ones, zeros, mean, variance, fields.float("eps", 1e-5))


def _of_nvcaffe(graph: Emit, node: Node, x: str, eps: float) -> str:
    """Mean, variance, a number that is not read, scale, bias; DIGITS wrote scale, bias, mean, variance, the number."""
    places = (0, 1, 2, 3) if node.blobs[4].size == 1 else (3, 4, 0, 1)
    channels = graph.size(x, 1)
    scale, shift, mean, variance = (
        node.vector(place, channels, what)
        for place, what in zip(places, ("scale", "bias", "mean", "variance"), strict=True)
    )
    return _normalised(graph, x, scale, shift, mean, variance, max(eps, NVCAFFE_EPS))


@op("caffe", "BN")
def bn(graph: Emit, node: Node) -> str:
    """PSPNet's slope, bias, mean and variance; SegNet's scale and shift after its statistics are folded in (forks).

    Params  bn_param: eps=1e-5, frozen; bn_mode=LEARN (SegNet: only INFERENCE)
    """
    (x,) = node.bottoms(1)
    fields = node.fields("bn_param")
    channels = graph.size(x, 1)
    if len(node.blobs) == 2:
        if fields.choice("bn_mode", ("LEARN", "INFERENCE"), "LEARN") != "INFERENCE":
            raise fields.error("bn_mode is LEARN: its numbers depend on the batch", "Set INFERENCE after folding.")
        shape = (channels, *(1,) * (graph.rank(x) - 2))
        scale = graph.constant("scale", node.vector(0, channels, "scale").reshape(shape))
        shift = graph.constant("shift", node.vector(1, channels, "shift").reshape(shape))
        return graph.node("Add", [graph.node("Mul", [x, scale]), shift])
    node.weights(4)
    slope, shift_, mean, variance = (
        node.vector(place, channels, what) for place, what in enumerate(("slope", "bias", "mean", "variance"))
    )
    return _normalised(graph, x, slope, shift_, mean, variance, fields.float("eps", 1e-5))


@op("caffe", "LRN")
def lrn(graph: Emit, node: Node) -> str:
    """x / (k + alpha / n sum of squares) ** beta over channels; x (1 + alpha mean of squares) ** -beta within one.

    Params  lrn_param: local_size=5 alpha=1 beta=0.75 k=1 norm_region=ACROSS_CHANNELS; k counts across only
    """
    (x,) = node.bottoms(1)
    fields = node.fields("lrn_param")
    size, alpha = fields.size("local_size", 5), fields.float("alpha", 1.0)
    beta, k = fields.float("beta", 0.75), fields.float("k", 1.0)
    if graph.rank(x) != 4 or size % 2 == 0:
        raise fields.error(f"local_size is {size} for {graph.rank(x)} dimensions, expected an odd number and 4")
    if fields.choice("norm_region", ("ACROSS_CHANNELS", "WITHIN_CHANNEL"), "ACROSS_CHANNELS") == "WITHIN_CHANNEL":
        return within_channel(graph, node, x, size, alpha, beta)
    return graph.node("LRN", [x], size=size, alpha=alpha, beta=beta, bias=k)


@op("caffe", "MVN")
def mvn(graph: Emit, node: Node) -> str:
    """Mean 0 and, unless told otherwise, deviation 1 of each channel, or of all of them; eps stands outside the root.

    Params  mvn_param: normalize_variance=true across_channels=false eps=1e-9
    """
    (x,) = node.bottoms(1)
    fields = node.fields("mvn_param")
    if graph.rank(x) != 4:
        raise node.error(f"its input has {graph.rank(x)} dimensions, expected 4")
    axes = [1, 2, 3] if fields.bool("across_channels", False) else [2, 3]
    centred = graph.node("Sub", [x, graph.node("ReduceMean", [x], axes=axes, keepdims=1)])
    if not fields.bool("normalize_variance", True):
        return centred
    variance = graph.node("ReduceMean", [graph.node("Mul", [centred, centred])], axes=axes, keepdims=1)
    root = graph.node("Sqrt", [variance])
    return graph.node("Div", [centred, graph.node("Add", [root, like(graph, root, fields.float("eps", 1e-9))])])


@op("caffe", "Normalize")
def normalize(graph: Emit, node: Node) -> str:
    """x / sqrt(sum of squares + eps) times a stored scale, over channels or over channels and places (SSD).

    Params  norm_param: across_spatial=true channel_shared=true eps=1e-10
    """
    (x,) = node.bottoms(1)
    fields = node.fields("norm_param")
    node.weights(1)
    axes = list(range(1, graph.rank(x))) if fields.bool("across_spatial", True) else [1]
    total = graph.node("ReduceSum", [graph.node("Mul", [x, x]), ints(graph, axes)], keepdims=1)
    root = graph.node("Sqrt", [graph.node("Add", [total, like(graph, total, fields.float("eps", 1e-10))])])
    if fields.bool("channel_shared", True):
        scale = node.vector(0, 1, "scale").reshape(())
    else:
        scale = node.vector(0, graph.size(x, 1), "scale").reshape(-1, *(1,) * (graph.rank(x) - 2))
    return graph.node("Mul", [graph.node("Div", [x, root]), graph.constant("scale", scale)])


@op("caffe", "Softmax")
def softmax(graph: Emit, node: Node) -> str:
    """Along one axis.

    Params  softmax_param: axis=1
    """
    (x,) = node.bottoms(1)
    return graph.node("Softmax", [x], axis=graph.axis(x, node.fields("softmax_param").int("axis", 1)))
