"""Normalisations: batch, layer, group, instance, L2, local response.

Rule 1: eps lies inside the root wherever MXNet has it there; defaults differ by operator.
Rule 2: outputs beside the first (mean, deviation) exist where MXNet shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import dtype
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


@op("mxnet", "BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "_contrib_SyncBatchNorm", "_npx_batch_norm",
    "_contrib_BatchNormWithReLU")  # fmt: skip
def batch_norm(graph: Emit, node: Node) -> list[str]:
    """With the moving statistics; fix_gamma (the default) means gamma 1, whatever is stored."""
    x, gamma, beta, mean, var = node.inputs[:5]
    axis = graph.axis(x, node.attrs.int("axis", 1))
    eps = node.attrs.float("eps", 1e-3)
    channels = (graph.shape(x) or ())[axis]
    for tensor, what in ((gamma, "gamma"), (beta, "beta"), (mean, "mean"), (var, "variance")):
        graph.expect(tensor, (channels,), what)
    if node.attrs.bool("fix_gamma", True):
        gamma = graph.constant("gamma", np.ones(graph.size(beta, 0)).astype(_numpy(graph, mean)))
    kind, weights = graph.dtype(x), graph.dtype(gamma)
    wide = x if kind == weights else graph.node("Cast", [x], to=dtype(weights).onnx)
    if axis == 1:
        more = {"momentum": node.attrs.float("momentum", 0.9)} if graph.training else {}
        made = graph.node("BatchNormalization", [wide, gamma, beta, mean, var], epsilon=eps, **more)
    else:
        made = _on_axis(graph, wide, (gamma, beta, mean, var), axis, eps)
    if node.op.endswith("WithReLU"):
        made = graph.node("Relu", [made])
    made = made if kind == weights else graph.node("Cast", [made], to=dtype(kind).onnx)
    if node.outputs_used == 1:
        return [made]
    root = graph.node("Sqrt", [graph.node("Add", [var, graph.scalar(eps, var)])])
    return [made, graph.node("Identity", [mean]), graph.node("Reciprocal", [root])]


def _on_axis(graph: Emit, x: str, four: tuple[str, str, str, str], axis: int, eps: float) -> str:
    shape = [1] * graph.rank(x)
    shape[axis] = -1
    gamma, beta, mean, var = (graph.node("Reshape", [each, graph.ints(*shape)]) for each in four)
    root = graph.node("Sqrt", [graph.node("Add", [var, graph.scalar(eps, var)])])
    centred = graph.node("Sub", [x, mean])
    return graph.node("Add", [graph.node("Mul", [centred, graph.node("Div", [gamma, root])]), beta])


def _numpy(graph: Emit, tensor: str) -> np.dtype[np.generic]:
    from gateway.core.dtypes import numpy_dtype

    return numpy_dtype(graph.dtype(tensor))


@op("mxnet", "LayerNorm", "_npx_layer_norm")
def layer_norm(graph: Emit, node: Node) -> list[str]:
    """Over one axis, the last by default; eps 1e-5."""
    x, gamma, beta = node.inputs[:3]
    axis = graph.axis(x, node.attrs.int("axis", -1))
    made, mean, std = _normalised(graph, x, [axis], node.attrs.float("eps", 1e-5))
    shape = [1] * graph.rank(x)
    shape[axis] = -1
    answer = _scaled(graph, made, gamma, beta, shape)
    if node.outputs_used == 1:
        return [answer]
    return [answer, mean, std]


def _normalised(graph: Emit, x: str, axes: list[int], eps: float) -> tuple[str, str, str]:
    """(x - mean) / sqrt(var + eps), the mean, the root; reduced axes kept as 1."""
    mean = graph.node("ReduceMean", [x], axes=axes, keepdims=1)
    centred = graph.node("Sub", [x, mean])
    var = graph.node("ReduceMean", [graph.node("Mul", [centred, centred])], axes=axes, keepdims=1)
    std = graph.node("Sqrt", [graph.node("Add", [var, graph.scalar(eps, x)])])
    return graph.node("Div", [centred, std]), mean, std


def _scaled(graph: Emit, x: str, gamma: str, beta: str, shape: list[int]) -> str:
    gamma, beta = (graph.node("Reshape", [each, graph.ints(*shape)]) for each in (gamma, beta))
    return graph.node("Add", [graph.node("Mul", [x, gamma]), beta])


@op("mxnet", "GroupNorm", "_npx_group_norm")
def group_norm(graph: Emit, node: Node) -> list[str]:
    """Over the channels of a group and all that follows; gamma and beta one a group (MXNet 1.x) or a channel."""
    x, gamma, beta = node.inputs[:3]
    groups = node.attrs.int("num_groups", 1)
    rank = graph.rank(x)
    channels = graph.size(x, 1)
    rest = (graph.shape(x) or ())[2:]
    if groups < 1 or channels % groups:
        raise graph.error(f"num_groups={groups} does not divide {channels} channels")
    if None in rest:
        raise graph.error(f"needs to know the sizes of {x!r} behind the channels", "Give them with --input.")
    sizes = [int(size) for size in rest if size is not None]
    split = graph.node("Reshape", [x, graph.ints(0, groups, channels // groups, *sizes)])
    made, mean, std = _normalised(graph, split, list(range(2, rank + 1)), node.attrs.float("eps", 1e-5))
    if graph.size(gamma, 0) == groups:
        made = _scaled(graph, made, gamma, beta, [1, groups, *(1,) * (rank - 1)])
        answer = graph.node("Reshape", [made, graph.ints(0, channels, *sizes)])
    else:
        whole = graph.node("Reshape", [made, graph.ints(0, channels, *sizes)])
        answer = _scaled(graph, whole, gamma, beta, [1, -1, *(1,) * (rank - 2)])
    if node.outputs_used == 1:
        return [answer]
    return [answer, *(graph.node("Reshape", [each, graph.ints(0, groups)]) for each in (mean, std))]


@op("mxnet", "InstanceNorm", "_npx_instance_norm")
def instance_norm(graph: Emit, node: Node) -> str:
    """Over everything behind the channels; eps 1e-3."""
    if node.outputs_used > 1:
        raise graph.error("its mean and variance are read; only its first output is supported")
    if graph.rank(node.inputs[0]) < 3:
        raise graph.error(f"its input has {graph.rank(node.inputs[0])} dimensions, expected 3 or more")
    return graph.node("InstanceNormalization", node.inputs[:3], epsilon=node.attrs.float("eps", 1e-3))


@op("mxnet", "L2Normalization")
def l2_normalization(graph: Emit, node: Node) -> str:
    """x / sqrt(sum(x²) + eps): instance over all but the batch, channel over axis 1, spatial over all behind it."""
    if node.outputs_used > 1:
        raise graph.error("its norm is read; only its first output is supported")
    x = node.inputs[0]
    mode = node.attrs.choice("mode", ("instance", "channel", "spatial"), "instance")
    rank = graph.rank(x)
    if mode != "instance" and rank < 3:
        raise graph.error(f"mode={mode!r} for an input of {rank} dimensions, expected 3 or more")
    axes = {"instance": range(1, rank), "channel": range(1, 2), "spatial": range(2, rank)}[mode]
    total = graph.node("ReduceSum", [graph.node("Mul", [x, x]), graph.ints(*axes)], keepdims=1)
    root = graph.node("Sqrt", [graph.node("Add", [total, graph.scalar(node.attrs.float("eps", 1e-10), x)])])
    return graph.node("Div", [x, root])


@op("mxnet", "LRN")
def local_response(graph: Emit, node: Node) -> str:
    """x / (knorm + alpha/nsize · sum of squares over nsize channels)^beta."""
    if node.outputs_used > 1:
        raise graph.error("its norm is read; only its first output is supported")
    size = node.attrs.int("nsize")
    if size < 1 or size % 2 == 0:
        raise graph.error(f"nsize={size} is not supported; expected an odd number")
    return graph.node(
        "LRN", [node.inputs[0]], size=size, alpha=node.attrs.float("alpha", 1e-4),
        beta=node.attrs.float("beta", 0.75), bias=node.attrs.float("knorm", 2.0),
    )  # fmt: skip
