"""Modules with weights, and normalisations.

Rule 1: weights of a convolution are (out, in, height, width) or, of old ones and of MM, (out, in * height * width).
Rule 2: the batch norm of old files keeps running_std, which is 1 / sqrt(variance + eps).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.torch7.node import FORMAT_NAME, Node
from gateway.graph.registry import op
from gateway.graph.tools import bounded, cast

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def _pads(node: Node) -> tuple[int, int]:
    if not node.module.has("padW") and node.module.has("padding"):  # the name of old files
        return (node.module.size("padding", least=0),) * 2
    return node.module.pair("pad", 0, least=0)


def _biased(graph: Emit, node: Node, count: int) -> list[str]:
    return [graph.constant("bias", node.module.tensor("bias", (count,)))] if node.module.stored("bias") else []


def _planes(graph: Emit, node: Node, x: str) -> tuple[int, int]:
    taken, made = node.module.size("nInputPlane"), node.module.size("nOutputPlane")
    if graph.size(x, 1) != taken:
        raise node.error(f"nInputPlane is {taken}, and its input has {graph.size(x, 1)} channels")
    return taken, made


def _convolve(graph: Emit, node: Node, x: str, weight: Array, made: int, groups: int = 1) -> str:
    module = node.module
    dilation = module.pair("dilation", 1)
    return graph.node(
        "Conv", [x, graph.constant("weight", weight), *_biased(graph, node, made)], strides=module.pair("d", 1),
        pads=list(_pads(node)) * 2, dilations=dilation, group=groups, kernel_shape=weight.shape[2:],
    )  # fmt: skip


@op(FORMAT_NAME, "SpatialConvolution", "SpatialConvolutionMM", "SpatialDilatedConvolution", "SpatialConvolutionLocalMM")
def convolution(graph: Emit, node: Node) -> str:
    """kW, kH, dW, dH, padW, padH (old: padding), dilationW, dilationH, groups (cudnn)."""
    x, groups = node.picture(graph), node.module.size("groups", 1)
    taken, made = _planes(graph, node, x)
    if taken % groups or made % groups:
        raise node.error(f"{taken} channels in and {made} out do not part into {groups} groups")
    weight = node.module.tensor("weight", (made, taken // groups, *node.module.pair("k")))
    return _convolve(graph, node, x, weight, made, groups)


@op(FORMAT_NAME, "SpatialDepthWiseConvolution")
def depthwise(graph: Emit, node: Node) -> str:
    """Each channel by nOutputPlane kernels of its own: channel c gives those at c, in order."""
    x = node.picture(graph)
    taken, made = _planes(graph, node, x)
    weight = node.module.tensor("weight", (made, taken, *node.module.pair("k"))).transpose(1, 0, 2, 3)
    kernel = np.ascontiguousarray(weight.reshape(taken * made, 1, *weight.shape[2:]))
    if node.module.stored("bias"):
        raise node.error("has a bias, whose order is not settled")
    return _convolve(graph, node, x, kernel, taken * made, taken)


@op(FORMAT_NAME, "SpatialConvolutionMap")
def mapped(graph: Emit, node: Node) -> str:
    """A kernel for each row (from, to) of connTable; nothing elsewhere."""
    x = node.picture(graph)
    taken, made = _planes(graph, node, x)
    table = node.module.fields.get("connTable")
    rows = np.asarray(table).reshape(-1, 2).astype(np.int64) if isinstance(table, np.ndarray) else np.zeros((0, 2), int)
    if not len(rows) or rows.min() < 1 or (rows.max(0) > (taken, made)).any():
        raise node.error(f"connTable has {len(rows)} rows that fit {taken} channels in and {made} out")
    kernels = node.module.tensor("weight", (len(rows), *node.module.pair("k")))
    weight = np.zeros((made, taken, *kernels.shape[1:]), np.float32)
    np.add.at(weight, (rows[:, 1] - 1, rows[:, 0] - 1), kernels)
    return _convolve(graph, node, x, weight, made)


@op(FORMAT_NAME, "SpatialFullConvolution")
def transposed(graph: Emit, node: Node) -> str:
    """(in - 1) d - 2 pad + k + adj; weights are (in, out, height, width)."""
    x, module = node.picture(graph), node.module
    taken, made = _planes(graph, node, x)
    weight = module.tensor("weight", (taken, made, *module.pair("k")))
    adj, strides = module.pair("adj", 0, least=0), module.pair("d", 1)
    if any(more >= max(step, 2) for more, step in zip(adj, strides, strict=True)):
        raise node.error(f"adjH and adjW are {list(adj)}, expected less than the strides {list(strides)}")
    return graph.node(
        "ConvTranspose", [x, graph.constant("weight", weight), *_biased(graph, node, made)], strides=strides,
        pads=list(_pads(node)) * 2, output_padding=adj, kernel_shape=weight.shape[2:],
    )  # fmt: skip


@op(FORMAT_NAME, "SpatialSubSampling")
def subsampling(graph: Emit, node: Node) -> str:
    """The sum of each window, times a weight, plus a bias, for each channel."""
    x, (height, width) = node.picture(graph), node.module.pair("k")
    count = graph.size(x, 1)
    bounded(node, "its kernel", count * height * width)
    weight = node.module.tensor("weight", (count,)).reshape(-1, 1, 1, 1)
    kernel = np.ascontiguousarray(np.broadcast_to(weight, (count, 1, height, width)))
    return _convolve(graph, node, x, kernel, count, count)


@op(FORMAT_NAME, "Linear")
def linear(graph: Emit, node: Node) -> str:
    """Rows times a matrix (out, in)."""
    x = node.one()
    if graph.rank(x) != 2:
        raise node.error(
            f"is given {graph.rank(x)} dimensions, expected 2 with the batch", "Put a View in front of it."
        )
    stored = node.module.tensor("weight")
    if stored.ndim != 2 or stored.shape[1] != graph.size(x, 1):
        raise node.error(f"its weight has the shape {list(stored.shape)}, and its input {graph.size(x, 1)} numbers")
    parts = [x, graph.constant("weight", stored), *_biased(graph, node, stored.shape[0])]
    return graph.node("Gemm", parts, transB=1)


@op(FORMAT_NAME, "LookupTable")
def lookup(graph: Emit, node: Node) -> str:
    """A row of the weight for each index, counted from 1."""
    table = node.module.tensor("weight")
    if table.ndim != 2 or node.module.has("maxNorm"):
        raise node.error("renorms its rows (maxNorm)" if table.ndim == 2 else f"its weight has {table.ndim} dimensions")
    index = cast(graph, node.one(), "int64")
    index = graph.node("Sub", [index, graph.constant("one", np.asarray(1, np.int64))])
    return graph.node("Gather", [graph.constant("weight", table), index], axis=0)


@op(FORMAT_NAME, "SpatialBatchNormalization", "BatchNormalization", "VolumetricBatchNormalization")
def batch_norm(graph: Emit, node: Node) -> str:
    """(x - running_mean) / sqrt(running_var + eps), weight and bias where they are."""
    x, module = node.one(), node.module
    count = graph.size(x, 1)
    eps, mean = module.float("eps", 1e-5), module.tensor("running_mean", (count,))
    if module.stored("running_var"):
        var = module.tensor("running_var", (count,))
    else:
        std = module.tensor("running_std", (count,)).astype(np.float64)
        if (std == 0).any():
            raise node.error("running_std, which is 1 over a deviation, has a 0")
        var, eps = (std**-2.0).astype(np.float32), 0.0
    one, zero = np.ones(count, np.float32), np.zeros(count, np.float32)
    scale = module.tensor("weight", (count,)) if module.stored("weight") else one
    bias = module.tensor("bias", (count,)) if module.stored("bias") else zero
    parts = [graph.constant(n, a) for n, a in (("weight", scale), ("bias", bias), ("mean", mean), ("var", var))]
    return graph.node("BatchNormalization", [x, *parts], epsilon=eps)


@op(FORMAT_NAME, "SpatialInstanceNormalization", "InstanceNormalization")
def instance_norm(graph: Emit, node: Node) -> str:
    """Each channel of each sample by its own mean and deviation."""
    x, module = node.picture(graph), node.module
    count = graph.size(x, 1)
    scale = module.tensor("weight", (count,)) if module.stored("weight") else np.ones(count, np.float32)
    bias = module.tensor("bias", (count,)) if module.stored("bias") else np.zeros(count, np.float32)
    parts = [graph.constant("weight", scale), graph.constant("bias", bias)]
    return graph.node("InstanceNormalization", [x, *parts], epsilon=module.float("eps", 1e-5))


@op(FORMAT_NAME, "SpatialCrossMapLRN")
def lrn(graph: Emit, node: Node) -> str:
    """x / (k + alpha / size * sum of squares over `size` channels) ** beta."""
    module, size = node.module, node.module.size("size")
    if size % 2 == 0:
        raise node.error(f"size is {size}, expected an odd number")
    numbers = {"alpha": module.float("alpha", 1e-4), "beta": module.float("beta", 0.75)}
    k = module.float("K") if module.has("K") else module.float("k", 1.0)
    return graph.node("LRN", [node.picture(graph)], size=size, bias=k, **numbers)


@op(FORMAT_NAME, "Normalize")
def normalize(graph: Emit, node: Node) -> str:
    """x / (sum of |x| ** p + eps) ** (1 / p) over a row, or over the channels of a picture."""
    x, p = node.one(), node.module.float("p", 2.0)
    if graph.rank(x) not in (2, 4) or not 0 < p < 100:
        raise node.error(f"p is {p:g} over {graph.rank(x)} dimensions, expected 2 or 4 and a finite p")
    powers = graph.node("Pow", [graph.node("Abs", [x]), graph.scalar(p, x)])
    total = graph.node("ReduceSum", [powers, graph.ints(1)], keepdims=1)
    total = graph.node("Add", [total, graph.scalar(node.module.float("eps", 1e-10), x)])
    return graph.node("Div", [x, graph.node("Pow", [total, graph.scalar(1 / p, x)])])
