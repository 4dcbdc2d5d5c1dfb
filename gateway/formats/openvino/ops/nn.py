"""Layers of networks: convolutions, windows, resizing, products, quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.formats.openvino import NAME
from gateway.formats.openvino.convert import Node
from gateway.graph.emit import Emit
from gateway.graph.registry import op
from gateway.graph.tools import cast, like, transpose

SAME = {"same_upper": "SAME_UPPER", "same_lower": "SAME_LOWER", "valid": "VALID"}


def padding(graph: Emit, node: Node, spatial: int) -> dict[str, Any]:
    """`pads`, or `auto_pad` where the layer leaves them to the size of its input."""
    mode = node.text("auto_pad", "explicit").lower()
    if mode in SAME:
        return {"auto_pad": SAME[mode]}
    if mode not in ("explicit", "notset", ""):
        raise graph.error(f"has auto_pad {mode!r}")
    zeros = ",".join(["0"] * spatial)
    return {"pads": [*node.ints("pads_begin", zeros), *node.ints("pads_end", zeros)]}


def windows(graph: Emit, node: Node, spatial: int) -> dict[str, Any]:
    ones = ",".join(["1"] * spatial)
    return {"strides": node.ints("strides", ones), "dilations": node.ints("dilations", ones)} | padding(
        graph, node, spatial
    )


@op(NAME, "Convolution")
def convolution(graph: Emit, node: Node) -> str:
    """Conv."""
    return graph.node("Conv", list(node.inputs[:2]), **windows(graph, node, graph.rank(node.inputs[0]) - 2))


def grouped(graph: Emit, tensor: str) -> tuple[str, int]:
    """Weights without their axis of groups, and how many there are."""
    groups = graph.size(tensor, 0)
    found = graph.value(tensor)
    if found is not None:
        return graph.constant("weights", found.reshape(groups * found.shape[1], *found.shape[2:])), groups
    rest = [graph.size(tensor, axis) for axis in range(1, graph.rank(tensor))]
    return graph.node("Reshape", [tensor, graph.ints(groups * rest[0], *rest[1:])]), groups


@op(NAME, "GroupConvolution")
def group_convolution(graph: Emit, node: Node) -> str:
    """Conv with groups."""
    weights, groups = grouped(graph, node.inputs[1])
    wanted = windows(graph, node, graph.rank(node.inputs[0]) - 2)
    return graph.node("Conv", [node.inputs[0], weights], group=groups, **wanted)


@op(NAME, "ConvolutionBackpropData", "GroupConvolutionBackpropData")
def convolution_backwards(graph: Emit, node: Node) -> str:
    """ConvTranspose; a constant output shape, where the layer has one."""
    x, weights, groups = node.inputs[0], node.inputs[1], 1
    if node.op.startswith("Group"):
        weights, groups = grouped(graph, weights)
    spatial = graph.rank(x) - 2
    wanted = windows(graph, node, spatial)
    if len(node.inputs) > 2:
        wanted["output_shape"] = [int(size) for size in graph.weight(2, "output shape").reshape(-1)]
        if "auto_pad" not in wanted:
            raise graph.error("has an output shape and explicit pads; supported is one of them")
    else:
        wanted["output_padding"] = node.ints("output_padding", ",".join(["0"] * spatial))
    return graph.node("ConvTranspose", [x, weights], group=groups, **wanted)


def rounding(graph: Emit, node: Node) -> int:
    mode = node.text("rounding_type", "floor").lower()
    if mode not in ("floor", "ceil", "ceil_torch"):
        raise graph.error(f"has rounding_type {mode!r}")
    return int(mode != "floor")


@op(NAME, "MaxPool")
def max_pool(graph: Emit, node: Node) -> list[str]:
    """MaxPool; places of the greatest are not given."""
    spatial = graph.rank(node.inputs[0]) - 2
    wanted = windows(graph, node, spatial) | {"kernel_shape": node.ints("kernel"), "ceil_mode": rounding(graph, node)}
    if "auto_pad" in wanted:
        del wanted["ceil_mode"]
    return [graph.node("MaxPool", [node.inputs[0]], **wanted)]


@op(NAME, "AvgPool")
def average_pool(graph: Emit, node: Node) -> str:
    """AveragePool; `exclude-pad` says whether padding counts."""
    spatial = graph.rank(node.inputs[0]) - 2
    wanted = windows(graph, node, spatial) | {"kernel_shape": node.ints("kernel"), "ceil_mode": rounding(graph, node)}
    del wanted["dilations"]
    if "auto_pad" in wanted:
        del wanted["ceil_mode"]
    counts = int(not node.flag("exclude-pad", node.flag("exclude_pad")))
    return graph.node("AveragePool", [node.inputs[0]], count_include_pad=counts, **wanted)


@op(NAME, "BatchNormInference")
def batch_norm(graph: Emit, node: Node) -> str:
    """BatchNormalization; before opset5 the data came third."""
    given = list(node.inputs)
    if node.opset in ("opset1", "opset2", "opset3", "opset4"):
        given = [given[2], given[0], given[1], *given[3:]]
    return graph.node("BatchNormalization", given, epsilon=node.number("epsilon", node.number("eps", 1e-5)))


@op(NAME, "LRN")
def lrn(graph: Emit, node: Node) -> str:
    """LRN across channels."""
    if [int(axis) for axis in graph.weight(1, "axes").reshape(-1)] != [1]:
        raise graph.error("normalises over other axes than the channels")
    return graph.node(
        "LRN", [node.inputs[0]], alpha=node.number("alpha"), beta=node.number("beta"), bias=node.number("bias"),
        size=int(node.number("size")),
    )  # fmt: skip


@op(NAME, "MatMul")
def matmul(graph: Emit, node: Node) -> str:
    """MatMul, either side turned on request."""
    sides = []
    for tensor, key in zip(node.inputs, ("transpose_a", "transpose_b")):
        rank = graph.rank(tensor)
        turned = node.flag(key) and rank > 1
        found = graph.value(tensor)
        if turned and found is not None:
            tensor = graph.constant("turned", np.ascontiguousarray(np.swapaxes(found, -1, -2)))
        elif turned:
            tensor = transpose(graph, tensor, [*range(rank - 2), rank - 1, rank - 2])
        sides.append(tensor)
    return graph.node("MatMul", sides)


@op(NAME, "Einsum")
def einsum(graph: Emit, node: Node) -> str:
    """Einsum."""
    return graph.node("Einsum", list(node.inputs), equation=node.text("equation"))


@op(NAME, "Interpolate")
def interpolate(graph: Emit, node: Node) -> str:
    """Resize: nearest, linear, cubic, by sizes or scales."""
    x, rank = node.inputs[0], graph.rank(node.inputs[0])
    mode = {"nearest": "nearest", "linear": "linear", "linear_onnx": "linear", "cubic": "cubic"}.get(node.text("mode"))
    if mode is None or node.flag("antialias") or any(node.ints("pads_begin", "0")) or any(node.ints("pads_end", "0")):
        raise graph.error(f"resizes by {node.text('mode')!r}, or with antialiasing or padding")
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    if coordinates == "tf_half_pixel_for_nn":
        raise graph.error("has coordinates tf_half_pixel_for_nn, which ONNX has given up")
    old = node.opset in ("opset1", "opset4")
    place = 3 if old else 2
    axes = list(range(rank))
    if len(node.inputs) > place:
        axes = [graph.axis(x, int(axis)) for axis in graph.weight(place, "axes").reshape(-1)]
    by_sizes = node.text("shape_calculation_mode") == "sizes"
    given = node.inputs[2] if old and not by_sizes else node.inputs[1]
    wanted: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        kind = node.text("nearest_mode", "round_prefer_floor")
        wanted["nearest_mode"] = "floor" if kind == "simple" else kind
        if kind == "simple" and not by_sizes and any(graph.weight(2 if old else 1, "scales").reshape(-1) < 1):
            wanted["nearest_mode"] = "ceil"
    if mode == "cubic":
        wanted["cubic_coeff_a"] = node.number("cube_coeff", -0.75)
    where = graph.ints(*axes)
    if by_sizes:
        target = graph.node("ScatterElements", [graph.node("Shape", [x]), where, cast(graph, given, "int64")])
        made = graph.node("Resize", [x, "", "", target], **wanted)
    else:
        ones = graph.constant("ones", np.ones(rank, np.float32))
        scales = graph.node("ScatterElements", [ones, where, cast(graph, given, "float32")])
        made = graph.node("Resize", [x, "", scales], **wanted)
    return _with_rank(graph, made, x, axes, given if by_sizes else "")


def _with_rank(graph: Emit, made: str, x: str, axes: list[int], given: str) -> str:
    """What is known of a resized tensor: its rank, the sizes that stay, the ones that are constants."""
    shape = list(graph.shape(x) or ())
    found = graph.value(given) if given else None
    for number, axis in enumerate(axes):
        shape[axis] = int(found.reshape(-1)[number]) if found is not None else None
    return graph.know(made, graph.dtype(x), tuple(shape))


@op(NAME, "FakeQuantize")
def fake_quantize(graph: Emit, node: Node) -> str:
    """Rounded to `levels` steps between two bounds, which may differ by channel."""
    x, low, high, out_low, out_high = node.inputs
    steps = like(graph, x, node.number("levels") - 1)
    least, most = graph.node("Min", [low, high]), graph.node("Max", [low, high])
    inside = graph.node("Min", [graph.node("Max", [x, least]), most])
    part = graph.node("Div", [graph.node("Sub", [inside, low]), graph.node("Sub", [high, low])])
    step = graph.node("Div", [graph.node("Round", [graph.node("Mul", [part, steps])]), steps])
    return graph.node("Add", [graph.node("Mul", [step, graph.node("Sub", [out_high, out_low])]), out_low])


@op(NAME, "DepthToSpace")
def depth_to_space(graph: Emit, node: Node) -> str:
    """DepthToSpace."""
    mode = "DCR" if node.text("mode", "blocks_first") == "blocks_first" else "CRD"
    return graph.node("DepthToSpace", [node.inputs[0]], blocksize=int(node.number("block_size", 1)), mode=mode)


@op(NAME, "SpaceToDepth")
def space_to_depth(graph: Emit, node: Node) -> str:
    """SpaceToDepth, blocks first."""
    if node.text("mode", "blocks_first") != "blocks_first":
        raise graph.error("puts the depth first; supported are blocks")
    return graph.node("SpaceToDepth", [node.inputs[0]], blocksize=int(node.number("block_size", 1)))


@op(NAME, "ScaledDotProductAttention")
def attention(graph: Emit, node: Node) -> str:
    """softmax(q k / root of their width + mask) v; a mask of booleans shuts out where it is false."""
    if node.flag("causal"):
        raise graph.error("is causal")
    q, k, v, *rest = node.inputs
    rank = graph.rank(k)
    scale = cast(graph, rest[1], graph.dtype(q)) if len(rest) > 1 else like(graph, q, graph.size(q, -1) ** -0.5)
    turned = transpose(graph, k, [*range(rank - 2), rank - 1, rank - 2])
    scores = graph.node("MatMul", [graph.node("Mul", [q, scale]), turned])
    if rest:
        mask = rest[0]
        if graph.dtype(mask) == "bool":
            mask = graph.node("Where", [mask, like(graph, q, 0.0), like(graph, q, float("-inf"))])
        scores = graph.node("Add", [scores, mask])
    return graph.node("MatMul", [graph.node("Softmax", [scores], axis=-1), v])
