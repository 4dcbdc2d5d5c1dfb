"""A tf.js graph model as a GraphDef: TensorFlow's own operators, weights in its constants. Written without TensorFlow.

What tf.js knows and TensorFlow does not, or keeps to itself, is said in what both know:

    _FusedConv2D, FusedDepthwiseConv2dNative, _FusedMatMul   the operator, BiasAdd, the activation
    Prelu                                                    max(x, 0) + alpha * min(x, 0)

Rule 1: the node that others read keeps its name; nodes that are put before it are called NAME/gateway_...
Rule 2: an activation or argument that is not of tf.js' own list is refused by name.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError, CorruptModel, UnsupportedOps
from gateway.formats.savedmodel.wire import field, varint_field
from gateway.formats.tfgraph.plain import TYPES

Json = Mapping[str, Any]
PLAIN = {"_FusedConv2D": "Conv2D", "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative", "_FusedMatMul": "MatMul"}
KEPT = {
    "Conv2D": ("strides", "padding", "data_format", "dilations", "explicit_paddings", "T"),
    "DepthwiseConv2dNative": ("strides", "padding", "data_format", "dilations", "explicit_paddings", "T"),
    "MatMul": ("transpose_a", "transpose_b", "T"),
}
ACTIVATIONS = ("Relu", "Relu6", "Elu", "Sigmoid", "LeakyRelu", "Prelu")
FLOAT = {"T": {"type": "DT_FLOAT"}}
NUMBERS = {
    "DT_FLOAT": "<f4", "DT_DOUBLE": "<f8", "DT_HALF": "<f2", "DT_INT32": "<i4", "DT_INT64": "<i8", "DT_BOOL": "?",
    "DT_UINT8": "u1", "DT_INT8": "i1", "DT_INT16": "<i2", "DT_COMPLEX64": "<c8",
}  # fmt: skip
DEEP = 16


def graphdef(topology: Json, weights: Mapping[str, Array]) -> bytes:
    """The GraphDef. Errors: CorruptModel, ConversionError, UnsupportedOps."""
    nodes = topology.get("node")
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise CorruptModel("the topology of model.json has no list of nodes.")
    try:
        made = [plain for node in nodes for plain in _rewritten(node)]
        body = b"".join(field(1, _node(node, weights)) for node in made)
        library = topology.get("library") or {}
        functions = b"".join(field(1, _function(each, weights)) for each in library.get("function") or ())
        versions = topology.get("versions") or {}
        told = b"".join(
            varint_field(number, int(versions[key]))
            for number, key in ((1, "producer"), (2, "minConsumer"))
            if versions.get(key)
        )
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, struct.error, RecursionError) as error:
        raise CorruptModel(f"the topology of model.json is no GraphDef: {type(error).__name__}: {error}.") from error
    return body + (field(2, functions) if functions else b"") + field(4, told)


def _rewritten(node: Json) -> list[Json]:
    if node["op"] in PLAIN:
        return _unfused(node)
    return _prelu(node["name"], node["input"][0], node["input"][1]) if node["op"] == "Prelu" else [node]


def _unfused(node: Json) -> list[Json]:
    """The operator, its bias, its activation; the last of them has the node's name."""
    name, attributes = node["name"], node["attr"]
    fused = [_text(each) for each in (attributes.get("fused_ops") or {}).get("list", {}).get("s", ())]
    inputs, controls = _sides(node)
    op = PLAIN[node["op"]]
    bias, act = fused[:1] == ["BiasAdd"], fused[1:]
    if not bias or len(act) > 1 or any(each not in ACTIVATIONS for each in act):
        raise UnsupportedOps("tfjs", {f"{node['op']} with {' and '.join(fused) or 'nothing'}": 1}, len(ACTIVATIONS))
    if len(inputs) != 3 + (act == ["Prelu"]):
        raise CorruptModel(f"{name!r} ({node['op']} with {', '.join(fused)}) has {len(inputs)} inputs.")
    kept = {key: attributes[key] for key in KEPT[op] if key in attributes}
    layout = {key: attributes[key] for key in ("data_format",) if key in attributes}
    names = [f"{name}/gateway_{op}", f"{name}/gateway_bias" if act else name]
    made: list[Json] = [
        {"name": names[0], "op": op, "input": [*inputs[:2], *controls], "attr": kept},
        {"name": names[1], "op": "BiasAdd", "input": [names[0], inputs[2]], "attr": FLOAT | layout},
    ]
    if act == ["Prelu"]:
        return [*made, *_prelu(name, names[1], inputs[3])]
    if act:
        slope = {"alpha": attributes.get("leakyrelu_alpha", {"f": 0.2})} if act == ["LeakyRelu"] else {}
        made.append({"name": name, "op": act[0], "input": [names[1]], "attr": FLOAT | slope})
    return made


def _sides(node: Json) -> tuple[list[str], list[str]]:
    every = [str(each) for each in node.get("input", ())]
    return [each for each in every if not each.startswith("^")], [each for each in every if each.startswith("^")]


def _prelu(name: str, x: str, alpha: str) -> list[Json]:
    zero = {"dtype": "DT_FLOAT", "tensorShape": {}, "floatVal": [0.0]}
    inner = {part: f"{name}/gateway_{part}" for part in ("zero", "above", "below", "slope")}
    return [
        {"name": inner["zero"], "op": "Const", "attr": {"dtype": {"type": "DT_FLOAT"}, "value": {"tensor": zero}}},
        {"name": inner["above"], "op": "Relu", "input": [x], "attr": FLOAT},
        {"name": inner["below"], "op": "Minimum", "input": [x, inner["zero"]], "attr": FLOAT},
        {"name": inner["slope"], "op": "Mul", "input": [alpha, inner["below"]], "attr": FLOAT},
        {"name": name, "op": "AddV2", "input": [inner["above"], inner["slope"]], "attr": FLOAT},
    ]


def _function(found: Json, weights: Mapping[str, Array]) -> bytes:
    """A FunctionDef: its signature, its nodes, what it gives back."""
    said = found["signature"]
    signature = field(1, _bytes(said["name"]))
    for number, key in ((2, "inputArg"), (3, "outputArg")):
        for argument in said.get(key) or ():
            kind = varint_field(3, _type(argument["type"])) if "type" in argument else b""
            signature += field(number, field(1, _bytes(argument["name"])) + kind)
    made = field(1, signature)
    for node in found.get("nodeDef") or ():
        made += b"".join(field(3, _node(plain, weights)) for plain in _rewritten(node))
    for name, tensor in (found.get("ret") or {}).items():
        made += field(4, field(1, _bytes(name)) + field(2, _bytes(tensor)))
    return made


def _node(node: Json, weights: Mapping[str, Array]) -> bytes:
    name, op = str(node["name"]), str(node["op"])
    attributes = dict(node.get("attr") or {})
    if op == "Const" and name in weights:
        attributes["value"] = {"tensor": _tensor_of(weights[name], attributes["dtype"]["type"], name)}
    elif op == "Const" and not set(attributes["value"]["tensor"]) - {"dtype", "tensorShape"}:
        raise ConversionError(
            f"the constant {name!r} has no weights: the manifest of model.json does not name it.",
            hint="Convert the model again with tensorflowjs_converter, and drop all that it writes.",
        )
    made = field(1, _bytes(name)) + field(2, _bytes(op))
    made += b"".join(field(3, _bytes(each)) for each in node.get("input") or ())
    return made + b"".join(field(5, field(1, _bytes(key)) + field(2, _value(v, 0))) for key, v in attributes.items())


def _tensor_of(array: Array, kind: str, name: str) -> dict[str, Any]:
    """A weight in the type that its node says: tf.js keeps integers as int32 and floats as float32."""
    if kind == "DT_STRING" and array.dtype == object:
        return {"dtype": kind, "shape": array.shape, "texts": [bytes(each) for each in array.reshape(-1)]}
    wanted = NUMBERS.get(kind)
    if wanted is None or (np.dtype(wanted).kind in "biu") != (array.dtype.kind in "biu"):
        raise ConversionError(f"the constant {name!r} is of type {kind}, and its weight is {array.dtype}.")
    return {"dtype": kind, "shape": array.shape, "content": array.astype(wanted).tobytes()}


def _value(value: Mapping[str, Any], depth: int) -> bytes:
    """An AttrValue. Errors: ValueError for one that is none."""
    if depth > DEEP:
        raise ValueError(f"attributes nest more than {DEEP} deep")
    if not value:
        return b""
    ((key, told),) = value.items()
    if key == "list":
        return field(1, b"".join(_item(name, each, depth, 9) for name, items in told.items() for each in items))
    return _item(key, told, depth, 10)


def _item(key: str, told: Any, depth: int, function: int) -> bytes:
    """One value alone or of a list: their fields have the same numbers, but that of a function."""
    if key == "s":
        return field(2, _decoded(told))
    if key == "i":
        return varint_field(3, int(told))
    if key == "f":
        return bytes([4 << 3 | 5]) + struct.pack("<f", float(told))
    if key == "b":
        return varint_field(5, int(bool(told)))
    if key == "type":
        return varint_field(6, _type(told))
    if key == "shape":
        return field(7, _shape(told))
    if key == "tensor":
        return field(8, _tensor(told))
    if key == "func":
        given = (told.get("attr") or {}).items()
        inner = b"".join(field(2, field(1, _bytes(name)) + field(2, _value(v, depth + 1))) for name, v in given)
        return field(function, field(1, _bytes(told["name"])) + inner)
    raise ValueError(f"an attribute of kind {key!r}")


def _tensor(told: Json) -> bytes:
    made = varint_field(1, _type(told["dtype"]))
    if "shape" in told:
        made += field(2, b"".join(field(2, varint_field(1, size)) for size in told["shape"]))
        return made + b"".join(field(8, text) for text in told.get("texts", ())) + field(4, told.get("content", b""))
    made += field(2, _shape(told.get("tensorShape") or {}))
    if "tensorContent" in told:
        made += field(4, _decoded(told["tensorContent"]))
    made += b"".join(bytes([5 << 3 | 5]) + struct.pack("<f", float(each)) for each in told.get("floatVal") or ())
    for number, name in ((7, "intVal"), (10, "int64Val"), (11, "boolVal")):
        made += b"".join(varint_field(number, int(each)) for each in told.get(name) or ())
    return made + b"".join(field(8, _decoded(each)) for each in told.get("stringVal") or ())


def _shape(told: Json) -> bytes:
    dims = b"".join(field(2, varint_field(1, int(dim.get("size", 0)))) for dim in told.get("dim") or ())
    return dims + (varint_field(3, 1) if told.get("unknownRank") else b"")


def _type(word: Any) -> int:
    if isinstance(word, int):
        return word
    if word not in TYPES:
        raise ValueError(f"type {word!r}")
    return TYPES.index(word)


def _decoded(text: Any) -> bytes:
    return base64.b64decode(str(text), validate=True)


def _text(text: Any) -> str:
    return _decoded(text).decode("utf-8", "replace")


def _bytes(text: Any) -> bytes:
    return str(text).encode()
