"""Layers that work element by element: arithmetic, comparisons, activations, types."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gateway.core.dtypes import dtype
from gateway.formats.openvino import NAME
from gateway.formats.openvino.convert import Node
from gateway.graph.emit import Emit
from gateway.graph.registry import op
from gateway.graph.tools import cast, like

UNARY = {
    "ReLU": "Relu", "Relu": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Exp": "Exp", "Log": "Log", "Sqrt": "Sqrt",
    "Negative": "Neg", "Abs": "Abs", "Floor": "Floor", "Ceiling": "Ceil", "Sign": "Sign", "Sin": "Sin", "Cos": "Cos",
    "Tan": "Tan", "Asin": "Asin", "Acos": "Acos", "Atan": "Atan", "Sinh": "Sinh", "Cosh": "Cosh", "Asinh": "Asinh",
    "Acosh": "Acosh", "Atanh": "Atanh", "Erf": "Erf", "LogicalNot": "Not", "SoftPlus": "Softplus",
    "IsNaN": "IsNaN", "SoftSign": "Softsign", "Identity": "Identity",
}  # fmt: skip
BINARY = {
    "Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div", "Power": "Pow", "Maximum": "Max",
    "Minimum": "Min", "Equal": "Equal", "Greater": "Greater", "GreaterEqual": "GreaterOrEqual", "Less": "Less",
    "LessEqual": "LessOrEqual", "LogicalAnd": "And", "LogicalOr": "Or", "LogicalXor": "Xor",
}  # fmt: skip


def _unary(name: str) -> Callable[[Emit, Node], str]:
    def function(graph: Emit, node: Node) -> str:
        return graph.node(name, [node.inputs[0]])

    function.__doc__ = f"{name}."
    return function


def _binary(name: str) -> Callable[[Emit, Node], str]:
    def function(graph: Emit, node: Node) -> str:
        if node.text("auto_broadcast", "numpy") not in ("numpy", "none"):
            raise graph.error(f"has auto_broadcast {node.text('auto_broadcast')!r}; supported is numpy")
        return graph.node(name, list(node.inputs))

    function.__doc__ = f"{name}, broadcast as numpy does."
    return function


for theirs, ours in UNARY.items():
    op(NAME, theirs)(_unary(ours))
for theirs, ours in BINARY.items():
    op(NAME, theirs)(_binary(ours))


@op(NAME, "SquaredDifference")
def squared_difference(graph: Emit, node: Node) -> str:
    """(a - b) * (a - b)."""
    apart = graph.node("Sub", list(node.inputs))
    return graph.node("Mul", [apart, apart])


@op(NAME, "NotEqual")
def not_equal(graph: Emit, node: Node) -> str:
    """Not Equal."""
    return graph.node("Not", [graph.node("Equal", list(node.inputs))])


@op(NAME, "FloorMod")
def floor_mod(graph: Emit, node: Node) -> str:
    """The remainder with the sign of the divisor."""
    a, b = node.inputs
    if graph.dtype(a).startswith("float"):
        return graph.node("Sub", [a, graph.node("Mul", [graph.node("Floor", [graph.node("Div", [a, b])]), b])])
    return graph.node("Mod", [a, b])


@op(NAME, "Mod")
def mod(graph: Emit, node: Node) -> str:
    """The remainder with the sign of the dividend."""
    return graph.node("Mod", list(node.inputs), fmod=1)


@op(NAME, "Select")
def select(graph: Emit, node: Node) -> str:
    """Where."""
    return graph.node("Where", list(node.inputs))


@op(NAME, "Clamp")
def clamp(graph: Emit, node: Node) -> str:
    """Between two numbers."""
    x = node.inputs[0]
    low, high = node.number("min"), node.number("max")
    if graph.dtype(x).startswith(("int", "uint")):
        low, high = np.ceil(low), np.floor(high)
        bounds = np.iinfo(graph.dtype(x))
        low, high = max(low, bounds.min), min(high, bounds.max)
    return graph.node("Clip", [x, like(graph, x, low), like(graph, x, high)])


@op(NAME, "Convert")
def convert(graph: Emit, node: Node) -> str:
    """Cast."""
    kind = node.makes[0]
    if not kind:
        raise graph.error(f"makes {node.text('destination_type')}, which is not converted")
    return cast(graph, node.inputs[0], kind)


@op(NAME, "ConvertLike")
def convert_like(graph: Emit, node: Node) -> str:
    """Cast to another tensor's type."""
    return graph.node("Cast", [node.inputs[0]], to=dtype(graph.dtype(node.inputs[1])).onnx)


@op(NAME, "PReLU")
def prelu(graph: Emit, node: Node) -> str:
    """PRelu; a vector of slopes lies along the channels."""
    x, slope = node.inputs
    if graph.rank(slope) == 1 and graph.rank(x) > 1 and graph.shape(slope) != (1,):
        target = [1, -1] + [1] * (graph.rank(x) - 2)
        slope = graph.node("Reshape", [slope, graph.ints(*target)])
    return graph.node("PRelu", [x, slope])


@op(NAME, "Elu")
def elu(graph: Emit, node: Node) -> str:
    """Elu."""
    return graph.node("Elu", [node.inputs[0]], alpha=node.number("alpha"))


@op(NAME, "Selu")
def selu(graph: Emit, node: Node) -> str:
    """Selu, whose two numbers are inputs."""
    alpha, gamma = (float(graph.weight(place, "number").reshape(-1)[0]) for place in (1, 2))
    return graph.node("Selu", [node.inputs[0]], alpha=alpha, gamma=gamma)


@op(NAME, "HardSigmoid")
def hard_sigmoid(graph: Emit, node: Node) -> str:
    """HardSigmoid, whose two numbers are inputs."""
    alpha, beta = (float(graph.weight(place, "number").reshape(-1)[0]) for place in (1, 2))
    return graph.node("HardSigmoid", [node.inputs[0]], alpha=alpha, beta=beta)


@op(NAME, "HSigmoid")
def hsigmoid(graph: Emit, node: Node) -> str:
    """min(max(x + 3, 0), 6) / 6."""
    return graph.node("HardSigmoid", [node.inputs[0]], alpha=1 / 6, beta=0.5)


@op(NAME, "HSwish")
def hswish(graph: Emit, node: Node) -> str:
    """x * min(max(x + 3, 0), 6) / 6."""
    return graph.node("HardSwish", [node.inputs[0]])


@op(NAME, "Mish")
def mish(graph: Emit, node: Node) -> str:
    """x * tanh(softplus(x))."""
    x = node.inputs[0]
    return graph.node("Mul", [x, graph.node("Tanh", [graph.node("Softplus", [x])])])


@op(NAME, "Swish")
def swish(graph: Emit, node: Node) -> str:
    """x * sigmoid(beta * x)."""
    x = node.inputs[0]
    inner = graph.node("Mul", [x, node.inputs[1]]) if len(node.inputs) > 1 else x
    return graph.node("Mul", [x, graph.node("Sigmoid", [inner])])


@op(NAME, "Gelu")
def gelu(graph: Emit, node: Node) -> str:
    """By erf, or its approximation by tanh."""
    x = node.inputs[0]
    if node.text("approximation_mode", "ERF").upper() == "TANH":
        cube = graph.node("Mul", [graph.node("Mul", [x, x]), x])
        inner = graph.node("Add", [x, graph.node("Mul", [cube, like(graph, x, 0.044715)])])
        bent = graph.node("Tanh", [graph.node("Mul", [inner, like(graph, x, float(np.sqrt(2 / np.pi)))])])
    else:
        bent = graph.node("Erf", [graph.node("Mul", [x, like(graph, x, float(np.sqrt(0.5)))])])
    half = graph.node("Mul", [x, like(graph, x, 0.5)])
    return graph.node("Mul", [half, graph.node("Add", [bent, like(graph, x, 1.0)])])


@op(NAME, "Round")
def rounded(graph: Emit, node: Node) -> str:
    """To the nearest, ties to even; away from zero on request."""
    x = node.inputs[0]
    if node.text("mode", "half_to_even") == "half_to_even":
        return graph.node("Round", [x])
    up = graph.node("Floor", [graph.node("Add", [graph.node("Abs", [x]), like(graph, x, 0.5)])])
    return graph.node("Mul", [graph.node("Sign", [x]), up])
