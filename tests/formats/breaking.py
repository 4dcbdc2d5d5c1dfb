"""In Environment base: the search for the wrong node of an artifact that does not run to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gateway.formats import locate


def search(job: Any) -> dict[str, Any]:
    """x doubled, reshaped to `sizes` and negated; the judge says what is right for [2, 3]."""
    from onnx import TensorProto, helper, numpy_helper

    sizes = np.array(job.arguments["sizes"], np.int64)
    nodes = [
        helper.make_node("Add", ["x", "x"], ["doubled"]),
        helper.make_node("Reshape", ["doubled", "sizes"], ["shaped"]),
        helper.make_node("Neg", ["shaped"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [info("x", TensorProto.FLOAT, ["n"])], [info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(sizes, "sizes")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.arange(6, dtype=np.float32)
    right = (2 * x).reshape(2, 3)
    shown = [
        locate.Shown("double", "Scale", {"doubled": 2 * x}),
        locate.Shown("shape", "Fold", {"shaped": right}),
        locate.Shown("turn", "Minus", {"y": -right}),
    ]
    found = locate.search(model, Path(), {"x": x}, shown)
    if isinstance(found, str):
        return {"why": found}
    return {"node": found.node, "operator": found.operator, "problem": found.comparison.problem}


def swallowed(job: Any) -> dict[str, Any]:
    """`rows` {name: hidden}: y = -(x + x); the judge has nodes before y that the artifact has no tensor of.

    turn: the sum turned over. same: what it was. bend: hands the turned one on. aside: leads nowhere.
    """
    from onnx import TensorProto, helper

    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["doubled"]), helper.make_node("Neg", ["doubled"], ["y"])], "g",
        [info("x", TensorProto.FLOAT, [2, 2])], [info("y", TensorProto.FLOAT, [2, 2])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = np.arange(4, dtype=np.float32).reshape(2, 2)
    values = {"same": 2 * x, "turn": 2 * x.T, "bend": 2 * x.T, "aside": 7 * x}
    answer = {}
    for name, names in job.arguments["rows"].items():
        hidden = [locate.Shown(each, "Hidden", {each: np.ascontiguousarray(values[each])}) for each in names]
        right = locate.Shown("minus", "Minus", {"y": -2 * x.T if "turn" in names else -3 * x})
        shown = [locate.Shown("double", "Scale", {"doubled": 2 * x}), *hidden, right]
        found = locate.search(model, Path(), {"x": x}, shown)
        assert not isinstance(found, str)
        answer[name] = {"node": found.node, "problem": found.comparison.problem}
    return answer
