"""graph_fused: a graph model as tensorflowjs_converter writes them, with fused operators and quantised weights.

python -m tests.formats.tensorflow.tfjs.graph FOLDER; node make.js graph FOLDER       (make.js answers it)
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

SHARD = 250  # bytes: weights that go over the end of a file


def _s(text: str) -> dict[str, str]:
    return {"s": base64.b64encode(text.encode()).decode()}


def _node(name: str, op: str, *inputs: str, fused: tuple[str, ...] = (), **attr: Any) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if fused:
        more["fused_ops"] = {"list": {"s": [_s(each)["s"] for each in fused]}}
        more["num_args"] = {"i": str(len(inputs) - 2)}
    return {"name": name, "op": op, "input": list(inputs), "attr": {"T": {"type": "DT_FLOAT"}, **more, **attr}}


def _window(step: int, padding: str) -> dict[str, Any]:
    strides = {"list": {"i": ["1", str(step), str(step), "1"]}}
    dilations = {"list": {"i": ["1", "1", "1", "1"]}}
    return {"strides": strides, "dilations": dilations, "padding": _s(padding), "data_format": _s("NHWC"),
            "explicit_paddings": {"list": {}}}  # fmt: skip


def write(folder: Path) -> None:
    draw = np.random.default_rng(5)
    shapes = {
        "w0": (3, 3, 3, 4), "b0": (4,), "a0": (1, 1, 4), "w1": (3, 3, 4, 2), "b1": (8,), "w2": (1, 1, 8, 5), "b2": (5,),
        "a1": (5,), "w3": (5, 3), "b3": (3,),
    }  # fmt: skip
    entries, data, consts = [], b"", []
    for name, shape in shapes.items():
        value = (0.4 * draw.standard_normal(shape)).astype(np.float32)
        entry: dict[str, Any] = {"name": name, "shape": list(shape), "dtype": "float32"}
        if name == "w0":
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            data += value.astype("<f2").tobytes()
        elif name in ("w1", "w2"):
            kind, top = ("uint8", 255) if name == "w1" else ("uint16", 65535)
            low, scale = float(value.min()), float((value.max() - value.min()) / top)
            entry["quantization"] = {"dtype": kind, "min": low, "scale": scale, "original_dtype": "float32"}
            data += np.round((value - low) / scale).astype(kind).tobytes()
        else:
            data += value.astype("<f4").tobytes()
        entries.append(entry)
        dims = {"dim": [{"size": str(size)} for size in shape]}
        tensor = {"tensor": {"dtype": "DT_FLOAT", "tensorShape": dims}}
        consts.append({"name": name, "op": "Const", "attr": {"dtype": {"type": "DT_FLOAT"}, "value": tensor}})
    axes = {"tensor": {"dtype": "DT_INT32", "tensorShape": {"dim": [{"size": "2"}]}}}
    consts.append({"name": "axes", "op": "Const", "attr": {"dtype": {"type": "DT_INT32"}, "value": axes}})
    entries.append({"name": "axes", "shape": [2], "dtype": "int32"})
    data += np.array([1, 2], "<i4").tobytes()
    shape = {"shape": {"dim": [{"size": size} for size in ("-1", "8", "7", "3")]}}
    nodes = [
        {"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}, "shape": shape}},
        *consts,
        _node("one", "_FusedConv2D", "x", "w0", "b0", "a0", fused=("BiasAdd", "Prelu"), **_window(2, "SAME")),
        _node("two", "FusedDepthwiseConv2dNative", "one", "w1", "b1", fused=("BiasAdd", "Relu6"), **_window(1, "SAME")),
        _node("three", "_FusedConv2D", "two", "w2", "b2", fused=("BiasAdd",), **_window(1, "VALID")),
        _node("picture", "Prelu", "three", "a1"),
        _node("mean", "Mean", "picture", "axes", Tidx={"type": "DT_INT32"}, keep_dims={"b": False}),
        _node("dense", "_FusedMatMul", "mean", "w3", "b3", fused=("BiasAdd", "Relu"),
              transpose_a={"b": False}, transpose_b={"b": False}),
        _node("scores", "Softmax", "dense"),
    ]  # fmt: skip
    paths = [f"group1-shard{n + 1}of{-(-len(data) // SHARD)}.bin" for n in range(-(-len(data) // SHARD))]
    for number, path in enumerate(paths):
        (folder / path).write_bytes(data[number * SHARD : (number + 1) * SHARD])
    outputs = {name: {"name": f"{name}:0"} for name in ("picture", "scores")}
    model = {
        "format": "graph-model", "generatedBy": "2.21.0", "convertedBy": "tests", "signature": {"outputs": outputs},
        "modelTopology": {"node": nodes, "library": {}, "versions": {"producer": 1994}},
        "weightsManifest": [{"paths": paths, "weights": entries}],
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(model))


if __name__ == "__main__":
    (Path(sys.argv[1]) / "graph_fused").mkdir(exist_ok=True)
    write(Path(sys.argv[1]) / "graph_fused")
