"""What is done to each element, alone or of two tensors.

Rule 1: tensors of two ranks are not joined: what is aligned from the right in one framework is channels in another.
Rule 2: Elu without alpha is ELU's 1 where Keras wrote it; MMdnn's MXNet parser writes the same for LeakyReLU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.formats.mmdnn.ir import CONSTANTS
from gateway.formats.mmdnn.node import FORMAT_NAME, Node
from gateway.graph.registry import op
from gateway.graph.tools import cast

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def _plain(op_type: str, *names: str, **attributes: Any) -> None:
    def function(graph: Emit, node: Node) -> str:
        return node.each(graph, lambda x: graph.node(op_type, [x], **attributes))

    function.__doc__ = f"{op_type} of each element."
    op(FORMAT_NAME, *names)(function)


for _type, _names in {
    "Relu": ("Relu",), "Sigmoid": ("Sigmoid",), "Tanh": ("Tanh",), "Exp": ("Exp",), "Log": ("Log",), "Abs": ("Abs",),
    "Sqrt": ("Sqrt",), "Reciprocal": ("Reciprocal",), "Softplus": ("Softplus",), "Softsign": ("Softsign",),
    "Neg": ("Neg",), "Floor": ("Floor",),
}.items():  # fmt: skip
    _plain(_type, *_names)
_plain("HardSigmoid", "HardSigmoid", alpha=0.2, beta=0.5)


@op(FORMAT_NAME, "Dropout", "Identity")
def nothing(graph: Emit, node: Node) -> str:
    """Nothing at inference."""
    return node.one()


@op(FORMAT_NAME, "Relu6")
def relu6(graph: Emit, node: Node) -> str:
    """Between 0 and 6."""
    return node.each(graph, lambda x: graph.node("Clip", [x, graph.scalar(0.0, x), graph.scalar(6.0, x)]))


@op(FORMAT_NAME, "LeakyRelu")
def leaky(graph: Emit, node: Node) -> str:
    """Its slope is alpha, which has to be there."""
    return node.each(graph, lambda x: graph.node("LeakyRelu", [x], alpha=node.float("alpha")))


@op(FORMAT_NAME, "Elu", "ELU")
def elu(graph: Emit, node: Node) -> str:
    """alpha (exp(x) - 1) below 0; without alpha 1, unless MXNet's parser may have written it."""
    if node.op == "Elu" and not node.has("alpha") and not node.has("dtype"):
        raise node.error(
            "alpha is missing: MMdnn's MXNet parser writes Elu for LeakyReLU, whatever its act_type is",
            "Convert the MXNet model itself, or write alpha into the graph.",
        )
    return node.each(graph, lambda x: graph.node("Elu", [x], alpha=node.float("alpha", 1.0)))


@op(FORMAT_NAME, "CRelu")
def crelu(graph: Emit, node: Node) -> str:
    """Relu of x and of -x, side by side in the last axis."""
    x = node.one()
    both = graph.node("Concat", [x, graph.node("Neg", [x])], axis=graph.rank(x) - 1)
    return graph.node("Relu", [both])


@op(FORMAT_NAME, "Square")
def square(graph: Emit, node: Node) -> str:
    """x times x."""
    return node.each(graph, lambda x: graph.node("Mul", [x, x]))


@op(FORMAT_NAME, "Rsqrt")
def rsqrt(graph: Emit, node: Node) -> str:
    """1 / sqrt(x)."""
    return node.each(graph, lambda x: graph.node("Reciprocal", [graph.node("Sqrt", [x])]))


@op(FORMAT_NAME, "Cast")
def to_type(graph: Emit, node: Node) -> str:
    """To `dstType` (float, int) or `dtype`."""
    kind = {"float": "float32", "int": "int32"}.get(node.text("dstType", "")) or node.text("dtype")
    if kind not in ("float32", "float64", "int32", "int64", "bool"):
        raise node.error(f"its type is {kind or 'not said'}, expected float32, float64, int32, int64 or bool")
    return cast(graph, node.one(), kind)


def _operands(graph: Emit, node: Node, least: int, most: int | None) -> tuple[list[str], bool]:
    """(the inputs, or one and a stored weight; whether all are there with channels first)."""
    inputs = list(node.inputs)
    if len(inputs) == 1 and least == 2 and "weights" in node.weights:
        if node.op in ("Sub", "Div", "RealDiv"):
            raise node.error("one of its sides is a weight, and which is not said")
        inputs.append(graph.constant("weights", node.weight("weights")))
    if len(inputs) < least or (most is not None and len(inputs) > most):
        raise node.error(f"has {len(inputs)} inputs, expected {least}{'' if most == least else ' or more'}")
    ranks = {graph.rank(x) for x in inputs if graph.rank(x) > 1 and graph.value(x) is None}
    if len(ranks) > 1:
        raise node.error(
            f"joins tensors of {' and '.join(map(str, sorted(ranks)))} dimensions: how they are aligned is not said"
        )
    twins = [node.layout.twins.get(x) for x in inputs]
    turned = all(twin is not None and twin != x for twin, x in zip(twins, inputs, strict=True))
    return ([twin for twin in twins if twin is not None] if turned else inputs), turned


def _fold(op_type: str, most: int | None = None) -> Callable[[Emit, Node], str]:
    def function(graph: Emit, node: Node) -> str:
        inputs, turned = _operands(graph, node, 2, most)
        kinds = {graph.dtype(x) for x in inputs}
        if len(kinds) > 1:
            inputs = [cast(graph, x, "float32") for x in inputs]
        made = inputs[0]
        for other in inputs[1:]:
            made = graph.node(op_type, [made, other])
        return node.last(graph, made) if turned else made

    function.__doc__ = f"{op_type} of two tensors{' or more' if most is None else ''}, broadcast from the right."
    return function


add = op(FORMAT_NAME, "Add")(_fold("Add"))
mul = op(FORMAT_NAME, "Mul")(_fold("Mul"))
sub = op(FORMAT_NAME, "Sub")(_fold("Sub", 2))
div = op(FORMAT_NAME, "Div", "RealDiv")(_fold("Div", 2))
larger = op(FORMAT_NAME, "Maximum", "Maxmum")(_fold("Max"))
smaller = op(FORMAT_NAME, "Minimum")(_fold("Min"))


@op(FORMAT_NAME, "Avg")
def average(graph: Emit, node: Node) -> str:
    """The mean of two tensors or more."""
    inputs, turned = _operands(graph, node, 1, None)
    made = graph.node("Mean", inputs)
    return node.last(graph, made) if turned else made


@op(FORMAT_NAME, *CONSTANTS)
def constant(graph: Emit, node: Node) -> str:
    """`value`, an attribute or a weight."""
    found = node.source.attrs.get("value")
    if found is None:
        name = next((each for each in ("value", "weights") if each in node.weights), "value")
        found = node.weights.get(name)
    kind = node.text("dtype", "") if node.has("dtype") else ""
    if found is None or isinstance(found, (bytes, str)):
        raise node.error("has no value")
    array = np.asarray(found)
    if array.dtype.kind not in "biuf" or kind in ("string", "complex64", "complex128"):
        raise node.error(f"its value is of type {array.dtype}")
    if not kind:
        kind = "float32" if array.dtype.kind == "f" or not isinstance(found, (int, list)) else "int32"
    return graph.constant("value", array.astype(kind))


@op(FORMAT_NAME, "MatMul", "Matmul")
def matmul(graph: Emit, node: Node) -> str:
    """The product of two matrices, as numpy's."""
    return graph.node("MatMul", list(node.tensors(2)))
