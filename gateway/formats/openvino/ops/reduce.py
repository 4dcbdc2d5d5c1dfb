"""Layers that reduce axes, normalise along them, or sort."""

from __future__ import annotations

from collections.abc import Callable

from gateway.formats.openvino import NAME
from gateway.formats.openvino.convert import Node
from gateway.graph.emit import Emit
from gateway.graph.registry import op
from gateway.graph.tools import cast, like

REDUCTIONS = {
    "ReduceMean": "ReduceMean", "ReduceMax": "ReduceMax", "ReduceMin": "ReduceMin", "ReduceProd": "ReduceProd",
    "ReduceL1": "ReduceL1", "ReduceL2": "ReduceL2", "ReduceSum": "ReduceSum",
}  # fmt: skip


def axes_of(graph: Emit, node: Node, place: int = 1) -> list[int]:
    """The axes that an input names, counted from the front."""
    return [graph.axis(node.inputs[0], int(axis)) for axis in graph.weight(place, "axes").reshape(-1)]


def reduce(graph: Emit, name: str, x: str, axes: list[int], keep: bool) -> str:
    if name == "ReduceSum":  # the one whose axes are an input at this opset
        return graph.node(name, [x, graph.ints(*axes)], keepdims=int(keep))
    return graph.node(name, [x], axes=axes, keepdims=int(keep))


def _reduction(name: str) -> Callable[[Emit, Node], str]:
    def function(graph: Emit, node: Node) -> str:
        axes = axes_of(graph, node)
        if not axes:
            return graph.node("Identity", [node.inputs[0]])
        return reduce(graph, name, node.inputs[0], axes, node.flag("keep_dims"))

    function.__doc__ = f"{name}; the axes are a constant."
    return function


for theirs, ours in REDUCTIONS.items():
    op(NAME, theirs)(_reduction(ours))


@op(NAME, "ReduceLogicalAnd", "ReduceLogicalOr")
def logical(graph: Emit, node: Node) -> str:
    """Least or greatest of 0 and 1."""
    name = "ReduceMin" if node.op.endswith("And") else "ReduceMax"
    x = cast(graph, node.inputs[0], "int32")
    return cast(graph, reduce(graph, name, x, axes_of(graph, node), node.flag("keep_dims")), "bool")


@op(NAME, "Softmax", "SoftMax")
def softmax(graph: Emit, node: Node) -> str:
    """Softmax of one axis."""
    return graph.node("Softmax", [node.inputs[0]], axis=graph.axis(node.inputs[0], int(node.number("axis", 1))))


@op(NAME, "LogSoftmax")
def log_softmax(graph: Emit, node: Node) -> str:
    """LogSoftmax of one axis."""
    return graph.node("LogSoftmax", [node.inputs[0]], axis=graph.axis(node.inputs[0], int(node.number("axis", 1))))


@op(NAME, "MVN")
def mvn(graph: Emit, node: Node) -> str:
    """Mean and variance of some axes taken out; eps inside the root or beside it."""
    x, axes = node.inputs[0], axes_of(graph, node)
    centred = graph.node("Sub", [x, reduce(graph, "ReduceMean", x, axes, True)])
    if not node.flag("normalize_variance", True):
        return centred
    variance = reduce(graph, "ReduceMean", graph.node("Mul", [centred, centred]), axes, True)
    eps = like(graph, x, node.number("eps"))
    if node.text("eps_mode", "inside_sqrt").lower() == "inside_sqrt":
        return graph.node("Div", [centred, graph.node("Sqrt", [graph.node("Add", [variance, eps])])])
    return graph.node("Div", [centred, graph.node("Add", [graph.node("Sqrt", [variance]), eps])])


@op(NAME, "NormalizeL2")
def normalize_l2(graph: Emit, node: Node) -> str:
    """x over the root of its squares' sum; eps is added to that sum, or is its least value."""
    x, axes = node.inputs[0], axes_of(graph, node)
    if not axes:
        raise graph.error("has no axes: each element over itself is not converted")
    total, eps = reduce(graph, "ReduceSum", graph.node("Mul", [x, x]), axes, True), like(graph, x, node.number("eps"))
    mode = node.text("eps_mode", "add")
    return graph.node("Div", [x, graph.node("Sqrt", [graph.node("Add" if mode == "add" else "Max", [total, eps])])])


@op(NAME, "CumSum")
def cumsum(graph: Emit, node: Node) -> str:
    """CumSum."""
    axis = graph.constant("axis", graph.weight(1, "axis").reshape(()).astype("int64"))
    return graph.node(
        "CumSum", [node.inputs[0], axis], exclusive=int(node.flag("exclusive")), reverse=int(node.flag("reverse"))
    )


@op(NAME, "TopK")
def topk(graph: Emit, node: Node) -> list[str]:
    """TopK by value."""
    if node.text("sort", "value").lower() not in ("value", "score"):
        raise graph.error(f"sorts by {node.text('sort')!r}; supported is by value")
    x = node.inputs[0]
    count = graph.node("Reshape", [cast(graph, node.inputs[1], "int64"), graph.ints(1)])
    axis = graph.axis(x, int(node.number("axis")))
    largest = int(node.text("mode", "max").lower() == "max")
    values, places = graph.nodes("TopK", [x, count], 2, axis=axis, largest=largest, sorted=1)
    return [values, cast(graph, places, node.makes[1] or "int32")]
