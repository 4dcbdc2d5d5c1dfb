"""Layers with weights and their activations: convolution both ways, fully connected, embedding, activations, Concat.

Rule 1: the layout of MXNet (NCHW and its 1-D and 3-D kin) is ONNX's own; NHWC is transposed at the
        layer's borders.
Rule 2: what is random or a matter of training is refused or is the identity, as MXNet has it at inference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import dtype
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit

LAYOUTS = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}


def channels_last(graph: Emit, node: Node, count: int) -> bool:
    """The node's `layout` has the channels at the end. Errors: ConversionError for others than NC... and N...C."""
    layout = node.attrs.str("layout", "None")
    if layout == "None":
        return False
    first, last = LAYOUTS[count]
    if layout not in (first, last):
        raise graph.error(f"layout={layout!r} is not supported; expected {first} or {last}")
    return layout == last


def to_front(graph: Emit, x: str) -> str:
    """N...C to NC..."""
    rank = graph.rank(x)
    return graph.node("Transpose", [x], perm=[0, rank - 1, *range(1, rank - 1)])


def to_back(graph: Emit, x: str) -> str:
    """NC... to N...C"""
    rank = graph.rank(x)
    return graph.node("Transpose", [x], perm=[0, *range(2, rank), 1])


def windows(graph: Emit, node: Node, names: Sequence[str]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The kernel, and each of `names` (stride, dilate: 1 by default; pad, adj: 0), of the kernel's length."""
    kernel = node.attrs.ints("kernel")
    if len(kernel) not in LAYOUTS or min(kernel) < 1:
        raise graph.error(f"kernel={list(kernel)} is not supported; expected 1 to 3 positive sizes")
    found = []
    for name in names:
        default = (int(name in ("stride", "dilate")),) * len(kernel)
        values = node.attrs.ints(name, default) or default
        if len(values) != len(kernel) or min(values) < default[0]:
            raise graph.error(f"{name}={list(values)} does not fit kernel={list(kernel)}")
        found.append(values)
    return kernel, found


@op("mxnet", "Convolution", "Convolution_v1", "_npx_convolution")
def convolution(graph: Emit, node: Node) -> str:
    """Convolution in 1, 2 or 3 dimensions, with groups and dilation."""
    kernel, (stride, pad, dilate) = windows(graph, node, ("stride", "pad", "dilate"))
    x, weight = node.inputs[:2]
    last = channels_last(graph, node, len(kernel))
    filters = node.attrs.int("num_filter")
    graph.expect(weight, (filters, *kernel, None) if last else (filters, None, *kernel), "weight")
    if last:
        x, weight = to_front(graph, x), to_front(graph, weight)
    bias = _bias(graph, node, filters, no_bias=False)
    made = graph.node(
        "Conv", [x, weight, *bias], kernel_shape=kernel, strides=stride, pads=(*pad, *pad), dilations=dilate,
        group=node.attrs.int("num_group", 1),
    )  # fmt: skip
    return to_back(graph, made) if last else made


@op("mxnet", "Deconvolution", "_npx_deconvolution")
def deconvolution(graph: Emit, node: Node) -> str:
    """Transposed convolution; `target_shape`, where given, decides the padding."""
    kernel, (stride, pad, dilate, adj) = windows(graph, node, ("stride", "pad", "dilate", "adj"))
    if channels_last(graph, node, len(kernel)):
        raise graph.error(f"layout={node.attrs.str('layout')!r} is not supported; expected {LAYOUTS[len(kernel)][0]}")
    x, weight = node.inputs[:2]
    target = node.attrs.ints("target_shape", ())
    if any(target):
        pad, adj = _towards(graph, x, target, kernel, stride, dilate)
    filters, groups = node.attrs.int("num_filter"), node.attrs.int("num_group", 1)
    if groups < 1 or filters % groups:
        raise graph.error(f"num_group={groups} does not divide num_filter={filters}")
    graph.expect(weight, (None, filters // groups, *kernel), "weight")
    bias = _bias(graph, node, filters, no_bias=True)
    return transposed(graph, [x, weight, *bias], kernel, stride, pad, dilate, adj, groups)


def _bias(graph: Emit, node: Node, size: int, *, no_bias: bool) -> list[str]:
    """The third input where there is a bias; `no_bias` is the default. Errors: ConversionError for another size."""
    if node.attrs.bool("no_bias", no_bias):
        return []
    if len(node.inputs) < 3:
        raise graph.error(f"has {len(node.inputs)} inputs, expected a bias as the third")
    graph.expect(node.inputs[2], (size,), "bias")
    return [node.inputs[2]]


def _towards(
    graph: Emit, x: str, target: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilate: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """pad and adj that make the output `target` large; those given are ignored then."""
    pads, adjs = [], []
    for axis, (size, k, s, d) in enumerate(zip(target, kernel, stride, dilate, strict=True)):
        whole = s * (graph.size(x, axis + 2) - 1) + d * (k - 1) + 1
        if whole < size:
            raise graph.error(f"target_shape={list(target)} is larger than the {whole} that dimension {axis + 2} makes")
        adjs.append((whole - size) % 2)
        pads.append((whole - size + 1) // 2)
    return tuple(pads), tuple(adjs)


def transposed(
    graph: Emit, inputs: Sequence[str], kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int],
    dilate: Sequence[int], adj: Sequence[int], group: int,
) -> str:  # fmt: skip
    """ConvTranspose with MXNet's sizes: s(H-1) + d(k-1) + 1 - 2p + adj."""
    # The end is cut by p - adj; only what that cannot give is added to the output.
    end = [max(p - a, 0) for p, a in zip(pad, adj, strict=True)]
    more = [max(a - p, 0) for p, a in zip(pad, adj, strict=True)]
    return graph.node(
        "ConvTranspose", inputs, kernel_shape=kernel, strides=stride, pads=(*pad, *end), dilations=dilate, group=group,
        output_padding=more if any(more) else None,
    )  # fmt: skip


@op("mxnet", "FullyConnected", "_npx_fully_connected")
def fully_connected(graph: Emit, node: Node) -> str:
    """x·Wᵀ + b; all but the batch flattened, unless flatten is False."""
    x, weight = node.inputs[:2]
    hidden = node.attrs.int("num_hidden")
    graph.expect(weight, (hidden, None), "weight")
    bias = _bias(graph, node, hidden, no_bias=False)
    if node.attrs.bool("flatten", True) and graph.rank(x) != 2:
        x = graph.node("Flatten", [x], axis=1)
    if graph.rank(x) == 2:
        return graph.node("Gemm", [x, weight, *bias], transB=1)
    stored = graph.value(weight)
    turned = graph.node("Transpose", [weight], perm=[1, 0]) if stored is None else graph.constant("weight", stored.T)
    made = graph.node("MatMul", [x, turned])
    return graph.node("Add", [made, *bias]) if bias else made


@op("mxnet", "Embedding", "_npx_embedding", "_contrib_SparseEmbedding")
def embedding(graph: Emit, node: Node) -> str:
    """Rows of the weight; indices are cut to integers, and one outside of it is the nearest row."""
    x, weight = node.inputs[:2]
    rows = node.attrs.int("input_dim")
    graph.expect(weight, (rows, node.attrs.int("output_dim")), "weight")
    if graph.dtype(x) != "int64":
        x = graph.node("Cast", [x], to=dtype("int64").onnx)
    inside = graph.node("Clip", [x, graph.scalar(0, x), graph.scalar(rows - 1, x)])
    return graph.node("Gather", [weight, inside], axis=0)


def log_sigmoid(graph: Emit, x: str) -> str:
    return graph.node("Neg", [graph.node("Softplus", [graph.node("Neg", [x])])])


def mish(graph: Emit, x: str) -> str:
    return graph.node("Mul", [x, graph.node("Tanh", [graph.node("Softplus", [x])])])


@op("mxnet", "Activation", "_npx_activation")
def activation(graph: Emit, node: Node) -> str:
    """relu, sigmoid, tanh, softrelu, softsign, log_sigmoid, mish."""
    plain = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}
    kind = node.attrs.choice("act_type", [*plain, "log_sigmoid", "mish"])
    x = node.inputs[0]
    if kind in plain:
        return graph.node(plain[kind], [x])
    return log_sigmoid(graph, x) if kind == "log_sigmoid" else mish(graph, x)


@op("mxnet", "LeakyReLU", "_npx_leaky_relu")
def leaky_relu(graph: Emit, node: Node) -> str:
    """leaky, prelu, elu, selu, gelu, and rrelu with its mean slope."""
    kind = node.attrs.choice("act_type", ("leaky", "prelu", "elu", "selu", "gelu", "rrelu"), "leaky")
    x = node.inputs[0]
    slope = node.attrs.float("slope", 0.25)
    if kind == "leaky":
        return graph.node("LeakyRelu", [x], alpha=slope)
    if kind == "elu":
        return graph.node("Elu", [x], alpha=slope)
    if kind == "selu":
        return graph.node("Selu", [x], alpha=1.6732632423543772, gamma=1.0507009873554805)
    if kind == "gelu":
        half = graph.node("Mul", [x, graph.scalar(math.sqrt(0.5), x)])
        one = graph.node("Add", [graph.node("Erf", [half]), graph.scalar(1, x)])
        return graph.node("Mul", [graph.node("Mul", [x, graph.scalar(0.5, x)]), one])
    if kind == "rrelu":
        low, high = node.attrs.float("lower_bound", 0.125), node.attrs.float("upper_bound", 0.334)
        return graph.node("LeakyRelu", [x], alpha=(low + high) / 2)
    return _prelu(graph, x, node.inputs[1])


def _prelu(graph: Emit, x: str, gamma: str) -> str:
    """One slope for all, or one a channel (axis 1; the only axis of a vector)."""
    rank, own = graph.rank(x), graph.shape(gamma)
    if own is None or len(own) != 1:
        raise graph.error(f"its slopes {gamma!r} have shape {own}; expected a vector")
    if rank > 2 and own[0] != 1:
        shape = (-1, *(1,) * (rank - 2))
        stored = graph.value(gamma)
        gamma = (
            graph.node("Reshape", [gamma, graph.ints(*shape)])
            if stored is None
            else graph.constant("slopes", np.reshape(stored, shape))
        )
    return graph.node("PRelu", [x, gamma])


@op("mxnet", "Dropout", "_npx_dropout")
def dropout(graph: Emit, node: Node) -> str:
    """The identity at inference; mode "always" stays random and is refused."""
    if node.attrs.str("mode", "training") == "always" and node.attrs.float("p", 0.5) > 0:
        raise graph.error("mode='always' is random at inference too, which no answer can be compared with")
    if node.outputs_used > 1:
        raise graph.error("its mask is read; only its first output exists at inference")
    ratio = node.attrs.float("p", 0.5)
    if not graph.training or ratio == 0 or node.attrs.ints("axes", ()):  # one mask along whole axes: ONNX has none
        return node.inputs[0]
    return graph.node("Dropout", [node.inputs[0], graph.constant("ratio", np.asarray(ratio, np.float32))])


@op("mxnet", "Flatten", "flatten", "_npx_batch_flatten")
def flatten(graph: Emit, node: Node) -> str:
    """All axes but the first become one."""
    return graph.node("Flatten", [node.inputs[0]], axis=1)


@op("mxnet", "Concat", "concat")
def concat(graph: Emit, node: Node) -> str:
    """Along `dim`, 1 by default."""
    axis = graph.axis(node.inputs[0], node.attrs.int("dim", 1))
    return graph.node("Concat", node.inputs, axis=axis)
