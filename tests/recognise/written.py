"""Small files written after each format's own description: what no Environment of ours exports.

A sample is a name (the reason it is there), the kind that it must be called, and its files. They are as small
as the format allows: what the recogniser reads is all there, weights are a few bytes.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.formats.wire_format import message, number, varint

Files = dict[str, bytes]


@dataclass(frozen=True)
class Sample:
    """`inside` is the kind that an archive holds; `version` has to stand in the version."""

    name: str
    kind: str
    files: Files
    inside: str = ""
    version: str = ""


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def js(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: Files, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def fixed32(field: int, value: float) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<f", value)


def flatbuffer(identifier: bytes, *slots: bytes, after: bytes = b"") -> bytes:
    """A root table whose fields are `slots` of four bytes each; `identifier` is b"" or four bytes."""
    table_size = 4 + 4 * len(slots)
    vtable = struct.pack("<HH", 4 + 2 * len(slots), table_size)
    vtable += b"".join(struct.pack("<H", 4 + 4 * i) for i in range(len(slots)))
    vtable += b"\0" * (-len(vtable) % 4)
    start = 4 + len(identifier)
    table = struct.pack("<i", len(vtable)) + b"".join(slots)
    return u32(start + len(vtable)) + identifier + vtable + table + after + bytes(32)


# -- pieces ------------------------------------------------------------------------------------

ONNX = (
    number(1, 8)
    + message(2, "pytorch")
    + message(7, message(1, message(1, "x"), message(2, "y"), message(4, "Relu")), message(2, "graph"))
    + message(8, number(2, 17))
)
TF_NODE = message(
    1, message(1, "x"), message(2, "Placeholder"), message(5, message(1, "dtype"), message(2, number(6, 1)))
)
GRAPHDEF = TF_NODE + message(1, message(1, "y"), message(2, "Relu"), message(3, "x")) + message(4, number(1, 27))
META = (
    message(1, message(4, "serve"), message(5, "1.15.0"))
    + message(2, GRAPHDEF)
    + message(3, message(1, "save/Const:0"))
)
BLOB = message(7, number(1, 2)) + message(5, struct.pack("<2f", 1, 2))
LAYER = message(
    100, message(1, "conv1"), message(2, "Convolution"), message(3, "data"), message(4, "conv1"), message(7, BLOB)
)
CAFFE = message(1, "net") + LAYER
PROTOTXT = b"""name: "net"  # deploy
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 4 kernel_size: 3 } }
"""
V1 = message(1, "old") + message(
    2, message(4, "conv1"), number(5, 4), message(2, "data"), message(3, "conv1"), message(6, BLOB)
)
CFG = b"""[net]
# a small one
width=8
height=8
channels=3

[convolutional]
filters=2
size=3
activation=leaky

[yolo]
classes=1
"""
WEIGHTS = struct.pack("<iiiQ", 0, 2, 0, 64) + np.linspace(-1, 1, 2 + 54, dtype="<f4").tobytes()
MXNET_PARAMS = bytes.fromhex("12010000000000000000000000000000") + bytes(32)
SYMBOL = js({
    "nodes": [{"op": "null", "name": "data", "inputs": []}, {"op": "relu", "name": "r", "inputs": [[0, 0, 0]]}],
    "arg_nodes": [0], "heads": [[1, 0, 0]], "attrs": {"mxnet_version": ["int", 10500]},
})  # fmt: skip
TVM = js({
    "nodes": [{"op": "null", "name": "x", "inputs": []}, {"op": "tvm_op", "name": "f", "inputs": [[0, 0, 0]]}],
    "arg_nodes": [0], "heads": [[1, 0, 0]],
})  # fmt: skip
PADDLE_BLOCK = (
    number(1, 0)
    + number(2, (1 << 64) - 1)
    + message(3, message(1, "x"), message(2, number(1, 7)))
    + message(4, message(1, message(1, "X"), message(2, "x")), message(3, "feed"))
    + message(4, message(3, "relu"))
)
PADDLE = message(1, PADDLE_BLOCK) + message(4, number(1, 2_004_001))
PDIPARAMS = (
    bytes(16) + struct.pack("<i", 6) + number(1, 5) + number(2, 2) + number(2, 3) + np.ones(6, np.float32).tobytes()
)
TORCH7 = struct.pack("<iii", 4, 1, 3) + b"V 1" + struct.pack("<i", 13) + b"nn.Sequential" + struct.pack("<iii", 3, 2, 0)
TORCH7_TEXT = b"4\n1\n3\nV 1\n13\nnn.Sequential\n3\n2\n0\n"
IR_NODE = message(
    1, message(1, "data"), message(2, "DataInput"), message(4, message(1, "shape"), message(2, number(3, 1)))
)
OPENVINO = b"""<?xml version="1.0"?>
<net name="net" version="10">
  <layers><layer id="0" name="x" type="Parameter" version="opset1"/></layers>
  <edges/>
</net>
"""
PMML = b"""<?xml version="1.0" encoding="UTF-8"?>
<!-- written by hand -->
<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/><DataDictionary/><TreeModel/></PMML>
"""
H5_FREE_KERAS = js({"class_name": "Sequential", "keras_version": "2.4.0", "config": {"name": "s", "layers": []}})
TFJS_LAYERS = js({
    "format": "layers-model", "generatedBy": "keras v2.4.0", "convertedBy": "TensorFlow.js Converter v3.0",
    "modelTopology": {"keras_version": "2.4.0", "model_config": {"class_name": "Sequential", "config": {}}},
    "weightsManifest": [{"paths": ["group1-shard1of1.bin"], "weights": []}],
})  # fmt: skip
TFJS_GRAPH = js({
    "format": "graph-model", "convertedBy": "TensorFlow.js Converter v3.0",
    "modelTopology": {"node": [{"name": "x", "op": "Placeholder"}], "versions": {}},
    "weightsManifest": [{"paths": ["group1-shard1of1.bin"], "weights": []}],
})  # fmt: skip
XGB = js(
    {
        "learner": {"gradient_booster": {"name": "gbtree"}, "objective": {"name": "reg:squarederror"}},
        "version": [1, 7, 6],
    }
)
XGB_OLD = (
    struct.pack("<fIi", 0.5, 5, 0) + bytes(124) + struct.pack("<Q", 15) + b"binary:logistic" + struct.pack("<Q", 6)
    + b"gbtree" + bytes(40)
)  # fmt: skip
LIGHTGBM = b"tree\nversion=v3\nnum_class=1\nobjective=regression\nTree=0\nnum_leaves=1\nleaf_value=1\n\nend of trees\n\nparameters:\n"
MLMODEL = b"""artifact_path: model
flavors:
  python_function:
    loader_module: mlflow.sklearn
  sklearn:
    pickled_model: model.pkl
    sklearn_version: 1.3.0
mlflow_version: 2.9.2
model_uuid: abc
"""
MAR = js({
    "specificationVersion": "1.0", "implementationVersion": "1.0", "modelServerVersion": "1.0", "license": "Apache 2.0",
    "runtime": "python3", "engine": {"engineName": "MXNet"},
    "model": {"modelName": "net", "handler": "service:handle", "modelVersion": "1.0"},
})  # fmt: skip
OLD_MAR = js({
    "Engine": {"MXNet": 0.12}, "Model-Archive-Version": 0.1,
    "Model": {"Model-Name": "net", "Symbol": "net-symbol.json", "Parameters": "net-0000.params", "Service": "s.py"},
})  # fmt: skip
CNTK = number(1, 1) + b"".join(
    message(2, message(1, key), message(2, number(1, 1), number(2, 6), message(8, "CompositeFunction")))
    for key in ("type", "root_uid", "uid")
)
CAFFE2_PREDICT = message(1, "net") + message(2, message(1, "x"), message(2, "y"), message(4, "Relu")) + message(7, "x")
CAFFE2_INIT = message(1, "init") + message(
    2, message(2, "w"), message(4, "GivenTensorFill"), message(5, message(1, "shape"), number(6, 2))
)
UFF = (
    number(1, 1)
    + number(2, 1)
    + message(3, message(1, "d"), number(2, 1))
    + message(4, message(1, "main"), message(2, message(1, "x"), message(3, "Input")))
)
BIGDL = message(1, "net") + message(7, "com.intel.analytics.bigdl.nn.Linear") + message(9, "0.5.0") + number(10, 0)
MINDIR = (
    message(1, "0.1.1")
    + message(2, "MindSpore")
    + message(7, message(1, message(1, "x"), message(2, "y"), message(3, "n"), message(4, "ReLU")), message(2, "g"))
)
COREML = number(1, 4) + message(2, message(1, message(1, "image"))) + message(500, message(1, message(1, "conv")))
SPM = b"".join(message(1, message(1, piece), fixed32(2, -1.5)) for piece in ("<unk>", "<s>", "a", "b")) + message(
    2, number(4, 4)
)
KALDI = b"\0B<TransitionModel> <Topology> " + bytes(64)
BARRACUDA = (
    struct.pack("<iiii", 16, 0, 1, 5) + b"input" + struct.pack("<i", 8) + struct.pack("<8i", 1, 1, 1, 1, 1, 8, 8, 3)
)
TENGINE = struct.pack("<HHHHI", 2, 0, 1, 0, 12) + struct.pack("<iiI", 2, 0, 24) + bytes(64)
PADDLE_LITE = struct.pack("<H", 1) + b"v2.10".ljust(16, b"\0") + bytes(64)
JAVA = b"\xac\xed\x00\x05sr\x00"
BSON = struct.pack("<i", 4 + 1 + 6 + 4 + 2 + 1) + b"\x02model\0"[:7] + struct.pack("<i", 2) + b"a\0" + b"\0"
EVENTS = struct.pack("<QI", 24, 0) + b"\x09" + bytes(8) + b"\x1a\x0dbrain.Event:2" + bytes(4)
TFLITE = flatbuffer(b"TFL3", u32(3))
GGUF = (
    b"GGUF"
    + struct.pack("<IQQ", 3, 0, 1)
    + struct.pack("<Q", 20)
    + b"general.architecture"
    + struct.pack("<IQ", 8, 5)
    + b"llama"
)
NPY = io.BytesIO()
np.save(NPY, np.zeros((2, 3), np.float32))
ARRAY = NPY.getvalue()
