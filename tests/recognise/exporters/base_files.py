"""Genuine files of ONNX and ONNX Runtime: run by the Python of Environment `base`, writes into argv[1]."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def model(operators: int = 3, opset: int = 17) -> onnx.ModelProto:
    names = ["x", *(f"h{i}" for i in range(operators))]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)]
    nodes.append(helper.make_node("MatMul", [names[-1], "w"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(np.ones((4, 3), np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def onnx_binary(out: Path) -> None:
    onnx.save(model(), out / "m.onnx")


def onnx_no_suffix(out: Path) -> None:
    onnx.save(model(), out / "model")


def onnx_renamed(out: Path) -> None:
    onnx.save(model(), out / "m.pb")


def onnx_many_nodes(out: Path) -> None:
    onnx.save(model(3000), out / "m.onnx")


def onnx_external(out: Path) -> None:
    onnx.save(model(), out / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)


def onnx_old(out: Path) -> None:
    onnx.save(model(opset=7), out / "m.onnx")


def text_protobuf(out: Path) -> None:
    onnx.save(model(), out / "m.pbtxt", format="textproto")


def text_json(out: Path) -> None:
    onnx.save(model(), out / "m.json", format="json")


def tensor(out: Path) -> None:
    onnx.save_tensor(numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3)), out / "input_0.pb")


def ort_flatbuffer(out: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(out / "m.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model().SerializeToString(), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    for name, make in sorted(globals().items()):
        if callable(make) and getattr(make, "__module__", "") == "__main__" and name != "model":
            folder = Path(sys.argv[1]) / name
            folder.mkdir()
            make(folder)
