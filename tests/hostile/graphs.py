"""TensorFlow and ONNX graphs written by hand: the operators that read and write files, and weights that lie elsewhere.

Field numbers: tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto, core/protobuf/meta_graph.proto,
onnx.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from tests.formats.wire_format import message, number

STRING, FLOAT = 7, 1  # DataType


def attr(name: str, value: bytes) -> bytes:
    return message(5, message(1, name), message(2, value))


def kind(name: str, number_: int) -> bytes:
    return attr(name, number(6, number_))


def node(name: str, op: str, inputs: Sequence[str] = (), *attrs: bytes) -> bytes:
    """A NodeDef as a field of a GraphDef."""
    return message(1, message(1, name), message(2, op), *(message(3, i) for i in inputs), *attrs)


def constant(name: str, text: str) -> bytes:
    tensor = number(1, STRING) + message(2) + message(8, text)
    return node(name, "Const", (), kind("dtype", STRING), attr("value", message(8, tensor)))


def identity(name: str, source: str, *controls: str) -> bytes:
    return node(name, "Identity", (source, *(f"^{control}" for control in controls)), kind("T", STRING))


def read_file(path: str) -> bytes:
    return constant("name", path) + node("read", "ReadFile", ("name",)) + identity("out", "read")


def matching_files(pattern: str) -> bytes:
    return constant("name", pattern) + node("read", "MatchingFiles", ("name",)) + identity("out", "read")


def write_file(path: str) -> bytes:
    write = node("write", "WriteFile", ("name", "text"))
    return constant("name", path) + constant("text", "written") + write + identity("out", "text", "write")


def print_file(path: str) -> bytes:
    stream = attr("output_stream", message(2, f"file://{path}"))
    say = node("say", "PrintV2", ("text",), stream)
    return constant("text", "printed") + say + identity("out", "text", "say")


def python_function(token: str) -> bytes:
    attrs = (attr("token", message(2, token)), attr("Tin", message(1)), attr("Tout", message(1, number(6, STRING))))
    return node("call", "PyFunc", (), *attrs) + identity("out", "call")


def save_checkpoint(path: str) -> bytes:
    dtypes = attr("dtypes", message(1, number(6, STRING)))
    write = node("write", "SaveV2", ("name", "names", "slices", "text"), dtypes)
    one = [node_of_one(name, text) for name, text in (("names", "x"), ("slices", ""))]
    return constant("name", path) + b"".join(one) + constant("text", "x") + write + identity("out", "text", "write")


def node_of_one(name: str, text: str) -> bytes:
    """A constant of shape [1]."""
    tensor = number(1, STRING) + message(2, message(2, number(1, 1))) + message(8, text)
    return node(name, "Const", (), kind("dtype", STRING), attr("value", message(8, tensor)))


def graph_def(nodes: bytes) -> bytes:
    return nodes + message(4, number(1, 1395))  # versions.producer


def saved_model(nodes: bytes) -> bytes:
    """A SavedModel of TensorFlow 1 without variables; its signature's only output is out:0."""
    info = message(1, "out:0") + number(2, STRING) + message(3, number(3, 1))  # of unknown rank
    signature = message(2, message(1, "out"), message(2, info)) + message(3, "tensorflow/serving/predict")
    meta = message(1, message(4, "serve"), message(5, "1.15.0"))
    graph = message(2, graph_def(nodes))
    return number(1, 1) + message(2, meta, graph, message(5, message(1, "serving_default"), message(2, signature)))


# -- ONNX ----------------------------------------------------------------------------------------


def tensor(name: str, dims: Sequence[int], **more: str) -> bytes:
    """A float32 TensorProto without data; `more` is its external_data."""
    places = b"".join(message(13, message(1, key), message(2, value)) for key, value in more.items())
    data = places + number(14, 1) if more else b""
    return b"".join(number(1, size) for size in dims) + number(2, FLOAT) + message(8, name) + data


def onnx(weight: bytes, dims: Sequence[int]) -> bytes:
    """y = x + w."""
    shape = b"".join(message(1, number(1, size)) for size in dims)
    value = {
        name: message(field, message(1, name), message(2, message(1, number(1, FLOAT), message(2, shape))))
        for field, name in ((11, "x"), (12, "y"))
    }
    add = message(1, message(1, "x"), message(1, "w"), message(2, "y"), message(3, "add"), message(4, "Add"))
    graph = message(7, add, message(2, "g"), message(5, weight), value["x"], value["y"])
    return number(1, 8) + graph + message(8, message(1, ""), number(2, 17))


def onnx_elsewhere(location: str, floats: int, **more: str) -> bytes:
    """A model whose weights are `floats` float32 numbers of the file `location`."""
    places: Mapping[str, str] = {"location": location, "offset": "0", "length": str(4 * floats), **more}
    return onnx(tensor("w", [floats], **places), [floats])


def onnx_claiming(dims: Sequence[int]) -> bytes:
    return onnx(tensor("w", dims) + message(9, struct.pack("<f", 1.0)), [1])
