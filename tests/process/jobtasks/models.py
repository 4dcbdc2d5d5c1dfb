"""Tasks that need the packages of Environment base."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from gateway.process.child import ChildJob


def make_model(job: ChildJob) -> dict[str, Any]:
    """out/model.onnx: y = 2 x + 1 on float32[?,3]."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: float) -> Any:
        return numpy_helper.from_array(np.array(value, np.float32), name)

    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["d"]), helper.make_node("Add", ["d", "one"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [constant("two", 2), constant("one", 1)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, job.out / "model.onnx")
    neighbours = [name for name in ("grpc", "uvicorn", "orjson", "pytest", "tests") if importlib.util.find_spec(name)]
    return {"onnx": onnx.__version__, "executable": sys.executable, "neighbours": neighbours}
