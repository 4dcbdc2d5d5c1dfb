"""What is done to each element, and tables that become one tensor.

Rule 1: Dropout without v2 multiplies by 1 - p when it does not train; so does SpatialDropout, always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.formats.torch7.node import FORMAT_NAME, Node
from gateway.graph.registry import op
from gateway.graph.tools import times

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def _plain(op_type: str, *names: str) -> None:
    def function(graph: Emit, node: Node) -> str:
        return graph.node(op_type, [node.one()])

    function.__doc__ = f"{op_type} of each element."
    op(FORMAT_NAME, *names)(function)


for _type in ("Tanh", "Sigmoid", "Abs", "Exp", "Log", "Sqrt"):
    _plain(_type, _type)
_plain("Relu", "ReLU")
_plain("Softsign", "SoftSign")


@op(FORMAT_NAME, "Copy", "Contiguous", "WhiteNoise", "NoBackprop", "GradientReversal", "L1Penalty")
def nothing(graph: Emit, node: Node) -> str:
    """Nothing at inference."""
    return node.one()


@op(FORMAT_NAME, "Dropout")
def dropout(graph: Emit, node: Node) -> str:
    """Nothing with v2, which old files lack: then 1 - p times."""
    v2 = node.module.bool("v2", False)
    return node.one() if v2 else times(graph, node.one(), 1 - node.module.float("p", 0.5))


@op(FORMAT_NAME, "SpatialDropout", "VolumetricDropout")
def spatial_dropout(graph: Emit, node: Node) -> str:
    """1 - p times."""
    return times(graph, node.one(), 1 - node.module.float("p", 0.5))


def _clip(graph: Emit, x: str, low: float, high: float) -> str:
    return graph.node("Clip", [x, graph.scalar(low, x), graph.scalar(high, x)])


@op(FORMAT_NAME, "ReLU6")
def relu6(graph: Emit, node: Node) -> str:
    """Between 0 and 6."""
    return _clip(graph, node.one(), 0.0, 6.0)


@op(FORMAT_NAME, "HardTanh", "Clamp")
def hard_tanh(graph: Emit, node: Node) -> str:
    """Between min_val and max_val."""
    return _clip(graph, node.one(), node.module.float("min_val", -1.0), node.module.float("max_val", 1.0))


@op(FORMAT_NAME, "LeakyReLU")
def leaky(graph: Emit, node: Node) -> str:
    """negval times what is below 0."""
    return graph.node("LeakyRelu", [node.one()], alpha=node.module.float("negval", 0.01))


@op(FORMAT_NAME, "ELU")
def elu(graph: Emit, node: Node) -> str:
    """alpha (exp(x) - 1) below 0."""
    return graph.node("Elu", [node.one()], alpha=node.module.float("alpha", 1.0))


@op(FORMAT_NAME, "PReLU")
def prelu(graph: Emit, node: Node) -> str:
    """One slope, or one for each channel (nOutputPlane)."""
    x = node.one()
    count = graph.size(x, 1) if node.module.int("nOutputPlane", 0) else 1
    slope = node.module.tensor("weight", (count,)).reshape(-1, *(1,) * (graph.rank(x) - 2))
    return graph.node("PRelu", [x, graph.constant("slope", slope)])


@op(FORMAT_NAME, "Threshold")
def threshold(graph: Emit, node: Node) -> str:
    """x where it is over `threshold`, `val` elsewhere."""
    x, at, value = node.one(), node.module.float("threshold", 0.0), node.module.float("val", 0.0)
    if at == value == 0.0:
        return graph.node("Relu", [x])
    over = graph.node("Greater", [x, graph.scalar(at, x)])
    return graph.node("Where", [over, x, graph.scalar(value, x)])


@op(FORMAT_NAME, "SoftPlus")
def softplus(graph: Emit, node: Node) -> str:
    """log(1 + exp(beta x)) / beta."""
    beta = node.module.float("beta", 1.0)
    if beta == 0:
        raise node.error("beta is 0")
    return times(graph, graph.node("Softplus", [times(graph, node.one(), beta)]), 1 / beta)


@op(FORMAT_NAME, "Square")
def square(graph: Emit, node: Node) -> str:
    """x times x."""
    return graph.node("Mul", [node.one(), node.one()])


@op(FORMAT_NAME, "Power")
def power(graph: Emit, node: Node) -> str:
    """x ** pow."""
    x = node.one()
    return graph.node("Pow", [x, graph.scalar(node.module.float("pow"), x)])


@op(FORMAT_NAME, "MulConstant")
def mul_constant(graph: Emit, node: Node) -> str:
    """constant_scalar times."""
    return times(graph, node.one(), node.module.float("constant_scalar"))


@op(FORMAT_NAME, "AddConstant")
def add_constant(graph: Emit, node: Node) -> str:
    """constant_scalar more."""
    x = node.one()
    return graph.node("Add", [x, graph.scalar(node.module.float("constant_scalar"), x)])


@op(FORMAT_NAME, "Mul")
def mul(graph: Emit, node: Node) -> str:
    """One weight times."""
    return graph.node("Mul", [node.one(), graph.constant("weight", node.module.tensor("weight", (1,)).reshape(()))])


def _shaped(graph: Emit, node: Node, name: str) -> str:
    """A weight that is broadcast over the batch."""
    stored = node.module.tensor(name)
    x, shape = node.one(), list(stored.shape)
    rank = graph.rank(x)
    if len(shape) == rank and shape[0] == 1:
        shape = shape[1:]
    if len(shape) > rank - 1:
        raise node.error(f"its {name} has the shape {list(stored.shape)}, its input {rank} dimensions")
    return graph.constant(name, stored.reshape(shape))


@op(FORMAT_NAME, "CMul")
def cmul(graph: Emit, node: Node) -> str:
    """A weight for each element of a sample, or broadcast."""
    return graph.node("Mul", [node.one(), _shaped(graph, node, "weight")])


@op(FORMAT_NAME, "CAdd", "Add")
def cadd(graph: Emit, node: Node) -> str:
    """A bias for each element of a sample, or broadcast."""
    if node.module.bool("scalar"):
        return graph.node("Add", [node.one(), graph.constant("bias", node.module.tensor("bias", (1,)).reshape(()))])
    return graph.node("Add", [node.one(), _shaped(graph, node, "bias")])


def _softmax(graph: Emit, node: Node) -> tuple[str, int]:
    x = node.one()
    if graph.rank(x) not in (2, 4):
        raise node.error(f"is given {graph.rank(x)} dimensions: of 3 Torch takes the first, which is the batch")
    return x, 1


@op(FORMAT_NAME, "SoftMax", "SpatialSoftMax")
def softmax(graph: Emit, node: Node) -> str:
    """Over a row, or over the channels of each place."""
    x, axis = _softmax(graph, node)
    return graph.node("Softmax", [x], axis=axis)


@op(FORMAT_NAME, "SoftMin")
def softmin(graph: Emit, node: Node) -> str:
    """SoftMax of -x."""
    x, axis = _softmax(graph, node)
    return graph.node("Softmax", [graph.node("Neg", [x])], axis=axis)


@op(FORMAT_NAME, "LogSoftMax", "SpatialLogSoftMax")
def log_softmax(graph: Emit, node: Node) -> str:
    """Its logarithm."""
    x, axis = _softmax(graph, node)
    return graph.node("LogSoftmax", [x], axis=axis)


def _table(op_type: str, name: str, most: int = 4096) -> None:
    def function(graph: Emit, node: Node) -> str:
        if not 2 <= len(node.inputs) <= most:
            raise node.error(f"is given {len(node.inputs)} tensors, expected 2{' or more' if most > 2 else ''}")
        made = node.inputs[0]
        for other in node.inputs[1:]:
            made = graph.node(op_type, [made, other])
        return made

    function.__doc__ = f"{op_type} of a table's tensors."
    op(FORMAT_NAME, name)(function)


for _op, _name, _most in (
    ("Add", "CAddTable", 4096), ("Mul", "CMulTable", 4096), ("Max", "CMaxTable", 4096), ("Min", "CMinTable", 4096),
    ("Sub", "CSubTable", 2), ("Div", "CDivTable", 2),
):  # fmt: skip
    _table(_op, _name, _most)


@op(FORMAT_NAME, "CAveTable")
def average(graph: Emit, node: Node) -> str:
    """The mean of a table's tensors."""
    return graph.node("Mean", list(node.inputs))
