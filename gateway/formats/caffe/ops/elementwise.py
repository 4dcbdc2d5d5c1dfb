"""Activations, arithmetic of one tensor, of several, and by channel (Scale, Bias, PReLU, Axpy)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.caffe.emit import Fields, Node
from gateway.graph.registry import op
from gateway.graph.tools import cast, full, like, sizes, times, unsqueeze

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


@op("caffe", "ReLU")
def relu(graph: Emit, node: Node) -> str:
    """max(x, 0) + negative_slope min(x, 0).

    Params  relu_param: negative_slope=0
    """
    (x,) = node.bottoms(1)
    slope = node.fields("relu_param").float("negative_slope", 0.0)
    return graph.node("LeakyRelu", [x], alpha=slope) if slope else graph.node("Relu", [x])


@op("caffe", "ReLU6")
def relu6(graph: Emit, node: Node) -> str:
    """min(max(x, 0), 6) (forks)."""
    (x,) = node.bottoms(1)
    return graph.node("Clip", [x, like(graph, x, 0.0), like(graph, x, 6.0)])


@op("caffe", "PReLU")
def prelu(graph: Emit, node: Node) -> str:
    """A slope below 0 for each channel, or one for all.

    Params  prelu_param: channel_shared=false
    """
    (x,) = node.bottoms(1)
    node.weights(1)
    if node.fields("prelu_param").bool("channel_shared", False):
        slope = node.vector(0, 1, "slope")
    else:
        slope = node.vector(0, graph.size(x, 1), "slope").reshape(-1, *(1,) * (graph.rank(x) - 2))
    return graph.node("PRelu", [x, graph.constant("slope", slope)])


@op("caffe", "ELU")
def elu(graph: Emit, node: Node) -> str:
    """x above 0, alpha (exp(x) - 1) below.

    Params  elu_param: alpha=1
    """
    (x,) = node.bottoms(1)
    return graph.node("Elu", [x], alpha=node.fields("elu_param").float("alpha", 1.0))


@op("caffe", "Sigmoid")
def sigmoid(graph: Emit, node: Node) -> str:
    """1 / (1 + exp(-x))."""
    return graph.node("Sigmoid", list(node.bottoms(1)))


@op("caffe", "TanH")
def tanh(graph: Emit, node: Node) -> str:
    """tanh(x)."""
    return graph.node("Tanh", list(node.bottoms(1)))


@op("caffe", "AbsVal")
def abs_val(graph: Emit, node: Node) -> str:
    """|x|."""
    return graph.node("Abs", list(node.bottoms(1)))


@op("caffe", "BNLL")
def bnll(graph: Emit, node: Node) -> str:
    """log(1 + exp(x))."""
    return graph.node("Softplus", list(node.bottoms(1)))


@op("caffe", "Swish")
def swish(graph: Emit, node: Node) -> str:
    """x sigmoid(beta x).

    Params  swish_param: beta=1
    """
    (x,) = node.bottoms(1)
    return graph.node("Mul", [x, graph.node("Sigmoid", [times(graph, x, _beta(node))])])


def _beta(node: Node) -> float:
    return node.fields("swish_param").float("beta", 1.0)


@op("caffe", "Threshold")
def threshold(graph: Emit, node: Node) -> str:
    """1 above the threshold, else 0.

    Params  threshold_param: threshold=0
    """
    (x,) = node.bottoms(1)
    limit = like(graph, x, node.fields("threshold_param").float("threshold", 0.0))
    return cast(graph, graph.node("Greater", [x, limit]), graph.dtype(x))


@op("caffe", "Clip")
def clip(graph: Emit, node: Node) -> str:
    """max(min, min(x, max)).

    Params  clip_param: min max, both required
    """
    (x,) = node.bottoms(1)
    fields = node.fields("clip_param")
    low, high = like(graph, x, fields.float("min")), like(graph, x, fields.float("max"))
    return graph.node("Max", [graph.node("Min", [x, high]), low])


@op("caffe", "Dropout")
def dropout(graph: Emit, node: Node) -> str:
    """Nothing: it is a matter of training."""
    return node.bottoms(1)[0]


@op("caffe", "Power")
def power(graph: Emit, node: Node) -> str:
    """(shift + scale x) ** power.

    Params  power_param: power=1 scale=1 shift=0
    """
    (x,) = node.bottoms(1)
    fields = node.fields("power_param")
    exponent, scale, shift = fields.float("power", 1.0), fields.float("scale", 1.0), fields.float("shift", 0.0)
    if exponent * scale == 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(np.float64(shift) ** exponent)
        return graph.node("Expand", [full(graph, value, graph.dtype(x)), graph.node("Shape", [x])])
    made = _plus(graph, times(graph, x, scale), shift)
    return made if exponent == 1 else graph.node("Pow", [made, like(graph, made, exponent)])


def _plus(graph: Emit, x: str, number: float) -> str:
    return x if number == 0 else graph.node("Add", [x, like(graph, x, number)])


@op("caffe", "Exp")
def exp(graph: Emit, node: Node) -> str:
    """base ** (shift + scale x); base -1 is e.

    Params  exp_param: base=-1 scale=1 shift=0
    """
    (x,) = node.bottoms(1)
    base, scale, shift = _base(node, "exp_param")
    logarithm = 1.0 if base == -1 else math.log(base)
    made = graph.node("Exp", [times(graph, x, logarithm * scale)])
    return times(graph, made, math.exp(logarithm * shift))


@op("caffe", "Log")
def log(graph: Emit, node: Node) -> str:
    """The logarithm of (shift + scale x) to the base; base -1 is e.

    Params  log_param: base=-1 scale=1 shift=0
    """
    (x,) = node.bottoms(1)
    base, scale, shift = _base(node, "log_param")
    made = graph.node("Log", [_plus(graph, times(graph, x, scale), shift)])
    return made if base == -1 else times(graph, made, 1 / math.log(base))


def _base(node: Node, name: str) -> tuple[float, float, float]:
    """(base, scale, shift). Errors: ConversionError for a base without a logarithm to divide by."""
    fields = node.fields(name)
    base = fields.float("base", -1.0)
    if base != -1 and not (0 < base < math.inf and (base != 1 or name == "exp_param")):
        raise fields.error(f"base is {base:g}, expected a positive number, or -1 for e")
    return base, fields.float("scale", 1.0), fields.float("shift", 0.0)


@op("caffe", "Eltwise")
def eltwise(graph: Emit, node: Node) -> str:
    """SUM with a coefficient each, PROD or MAX of tensors of one shape.

    Params  eltwise_param: operation=SUM coeff (one a bottom)
    """
    inputs = node.bottoms(2, 1 << 10)
    fields = node.fields("eltwise_param")
    operation = fields.choice("operation", ("SUM", "PROD", "MAX"), "SUM")
    factors = fields.floats("coeff")
    if factors and (operation != "SUM" or len(factors) != len(inputs)):
        raise fields.error(f"coeff is given {len(factors)} times for {len(inputs)} bottoms and {operation}")
    for x in inputs[1:]:
        graph.expect(x, graph.shape(inputs[0]) or (), "bottom")
    if operation == "MAX":
        return graph.node("Max", list(inputs))
    parts = [times(graph, x, factor) for x, factor in zip(inputs, factors or (1.0,) * len(inputs), strict=True)]
    made = parts[0]
    for part in parts[1:]:
        made = graph.node("Add" if operation == "SUM" else "Mul", [made, part])
    return made


@op("caffe", "Axpy")
def axpy(graph: Emit, node: Node) -> str:
    """a x + y, a for each channel of each row (forks: SE-nets).

    In  a (N, C, 1, 1), x (N, C, H, W), y (N, C, H, W)
    """
    a, x, y = node.bottoms(3)
    if graph.rank(a) != graph.rank(x):
        a = unsqueeze(graph, a, list(range(graph.rank(a), graph.rank(x))))
    return graph.node("Add", [graph.node("Mul", [a, x]), y])


@op("caffe", "Scale")
def scale(graph: Emit, node: Node) -> str:
    """x times a weight, or times a second bottom, along axes from `axis` on; a bias with bias_term.

    Params  scale_param: axis=1 num_axes=1 (-1: all that follow) bias_term=false
    """
    x = node.bottoms(1, 2)[0]
    fields = node.fields("scale_param")
    has_bias = fields.bool("bias_term", False)
    own = len(node.inputs) == 1
    node.weights(own + has_bias)
    axis = fields.int("axis", 1)
    if own:
        made = graph.node("Mul", [x, _along(graph, node, fields, x, 0, "scale")])
        return graph.node("Add", [made, _along(graph, node, fields, x, 1, "bias")]) if has_bias else made
    second = node.inputs[1]
    made = graph.node("Mul", [x, _behind(graph, node, x, second, axis)])
    if not has_bias:
        return made
    shape = _shape(graph, x, axis, graph.rank(second))
    bias = node.blob(0, shape, "bias").reshape(*shape, *(1,) * (graph.rank(x) - graph.axis(x, axis) - len(shape)))
    return graph.node("Add", [made, graph.constant("bias", bias)])


@op("caffe", "Bias")
def bias(graph: Emit, node: Node) -> str:
    """x plus a weight, or plus a second bottom, along axes from `axis` on.

    Params  bias_param: axis=1 num_axes=1 (-1: all that follow)
    """
    x = node.bottoms(1, 2)[0]
    fields = node.fields("bias_param")
    own = len(node.inputs) == 1
    node.weights(1 if own else 0)
    if own:
        return graph.node("Add", [x, _along(graph, node, fields, x, 0, "bias")])
    return graph.node("Add", [x, _behind(graph, node, x, node.inputs[1], fields.int("axis", 1))])


def _along(graph: Emit, node: Node, fields: Fields, x: str, place: int, what: str) -> str:
    """Blob `place` with ones behind, so that it stands along its axes."""
    axes = fields.int("num_axes", 1)
    if axes == 0:
        return graph.constant(what, node.vector(place, 1, what).reshape(()))
    axis = graph.axis(x, fields.int("axis", 1))
    axes = graph.rank(x) - axis if axes == -1 else axes
    shape = _shape(graph, x, axis, axes)
    if axes < 0 or len(shape) != axes:
        raise fields.error(f"axis {axis} and num_axes {axes} pass the end of {graph.rank(x)} dimensions")
    return graph.constant(what, node.blob(place, shape, what).reshape(*shape, *(1,) * (graph.rank(x) - axis - axes)))


def _shape(graph: Emit, x: str, axis: int, axes: int) -> tuple[int, ...]:
    first = graph.axis(x, axis)
    return tuple(graph.size(x, at) for at in range(first, min(first + axes, graph.rank(x))))


def _behind(graph: Emit, node: Node, x: str, second: str, axis: int) -> str:
    """The second bottom with ones behind, so that its first axis is x's axis `axis`. Errors: ConversionError."""
    rank = graph.rank(second)
    first = graph.axis(x, axis) if rank else 0
    missing = graph.rank(x) - first - rank
    if missing < 0:
        raise node.error(f"its second bottom has {rank} dimensions, which pass the end of the first one's from {axis}")
    for at, (mine, theirs) in enumerate(zip(sizes(graph, second), sizes(graph, x)[first:], strict=False)):
        if isinstance(mine, int) and isinstance(theirs, int) and mine != theirs:
            raise node.error(f"its second bottom has the size {mine} on axis {at}, the first one {theirs}")
    return unsqueeze(graph, second, list(range(rank, rank + missing)))


@op("caffe", "DummyData")
def dummy_data(graph: Emit, node: Node) -> list[str]:
    """Constants, as a filler of type constant makes them.

    Params  dummy_data_param: shape|num,channels,height,width data_filler=constant 0
    """
    fields = node.fields("dummy_data_param")
    fillers, shapes = fields.message.all("data_filler"), fields.message.all("shape")
    made = []
    for top in range(node.tops):
        filler = Fields(fillers[top if len(fillers) > 1 else 0], node.where, "data_filler") if fillers else None
        kind = filler.message.last("type", "constant") if filler else "constant"
        if kind != "constant":
            raise node.error(f"its filler is {kind!r}: numbers by chance; supported is constant")
        if shapes:
            shape = tuple(shapes[top if len(shapes) > 1 else 0].all("dim"))
        else:
            given = [fields.ints(name) for name in ("num", "channels", "height", "width")]
            shape = tuple(sizes_[top if len(sizes_) > 1 else 0] for sizes_ in given if sizes_)
        if any(size < 1 for size in shape) or math.prod(shape) > 1 << 26:
            raise node.error(f"its shape is {list(shape)}; supported is up to {1 << 26} numbers")
        value = filler.float("value", 0.0) if filler else 0.0
        made.append(graph.constant("data", np.full(shape, value, np.float32)))
    return made


@op("caffe", "Parameter")
def parameter(graph: Emit, node: Node) -> str:
    """A weight as a tensor.

    Params  parameter_param: shape
    """
    node.weights(1)
    shape = tuple(node.fields("parameter_param").inner("shape").ints("dim")) or node.blobs[0].shape
    return graph.constant("weight", node.blob(0, shape, "weight"))
