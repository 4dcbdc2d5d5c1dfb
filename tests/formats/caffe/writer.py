"""Writes Caffe models at will: prototxt and caffemodel of any layer, in the versions V0, V1 and V2.

    net = Writer().input("data", (1, 3, 8, 8))
    net.layer("Convolution", "conv1", ["data"], ["conv1"], convolution_param={"num_output": 4}, blobs=[w, b])
    net.save(folder)                                # deploy.prototxt and net.caffemodel
    net.save(folder, version="V1", inputs="input_dim")

Values of parameters are numbers, text, bool, Word("MAX") for an enumeration, dicts, and lists of these.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.textproto import Word
from gateway.formats.caffe import schema
from gateway.formats.caffe.upgrade import V0_FIELDS, V0_TYPES, V1_TYPES

PROTOTXT, CAFFEMODEL = "deploy.prototxt", "net.caffemodel"
Blob = Any  # an array, or bytes of a BlobProto


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def key(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def chunk(number: int, data: bytes) -> bytes:
    """A LEN field."""
    return key(number, 2) + varint(len(data)) + data


def blob(array: Any, *, legacy: bool = False, double: bool = False, packed: bool = True) -> bytes:
    """A BlobProto. `legacy`: num, channels, height, width, ones in front of what is shorter."""
    data = np.asarray(array, "<f8" if double else "<f4")
    out = b""
    if legacy:
        for number, size in enumerate((1,) * (4 - data.ndim) + data.shape, 1):
            out += key(number, 0) + varint(size)
    else:
        out += chunk(7, chunk(1, b"".join(varint(size) for size in data.shape)))
    number = 8 if double else 5
    if packed:
        return out + chunk(number, data.tobytes())
    return out + b"".join(key(number, 1 if double else 5) + each.tobytes() for each in data.reshape(-1))


def message(name: str, values: dict[str, Any]) -> bytes:
    """Any message of the schema."""
    out = b""
    for key_name, value in values.items():
        field = schema.fields(name)[key_name]
        for each in value if isinstance(value, list | tuple) else [value]:
            out += _field(field, each)
    return out


FORK = 150  # the number that fields of forks get here; which one it is does not matter


def _field(field: schema.Field, value: Any) -> bytes:
    if field.number == 0:  # only text says it
        return chunk(FORK, message(field.kind, value)) if field.is_message else b""
    if field.kind == "BlobProto":
        return chunk(field.number, value if isinstance(value, bytes) else blob(value))
    if isinstance(value, dict):
        return chunk(field.number, message(field.kind, value))
    if field.kind.startswith("@"):
        number = {word: number for number, word in schema.enum(field.kind[1:]).items()}[value]
        return key(field.number, 0) + varint(number)
    if field.kind in ("i", "b"):
        return key(field.number, 0) + varint(int(value))
    if field.kind == "s":
        return chunk(field.number, value.encode())
    return key(field.number, 5 if field.kind == "f" else 1) + struct.pack("<f" if field.kind == "f" else "<d", value)


def text(values: dict[str, Any], indent: str = "") -> str:
    """A message as text."""
    out = []
    for name, value in values.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, dict):
                out.append(f"{indent}{name} {{\n{text(each, indent + '  ')}{indent}}}\n")
            else:
                out.append(f"{indent}{name}: {_word(each)}\n")
    return "".join(out)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not isinstance(value, Word):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value) if isinstance(value, float) else str(value)


class Writer:
    """A net that is written down. Every method returns the writer."""

    def __init__(self, name: str = "toy") -> None:
        self.name = name
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        self.layers: list[dict[str, Any]] = []
        self.blobs: dict[str, list[Blob]] = {}

    def input(self, name: str, shape: Sequence[int]) -> Writer:
        self.inputs.append((name, tuple(shape)))
        return self

    def layer(
        self, kind: str, name: str, bottoms: Sequence[str], tops: Sequence[str], *, blobs: Sequence[Blob] = (),
        **fields: Any,
    ) -> Writer:  # fmt: skip
        self.layers.append({"name": name, "type": kind, "bottom": list(bottoms), "top": list(tops), **fields})
        if blobs:
            self.blobs[name] = list(blobs)
        return self

    def net(self, version: str = "V2", inputs: str = "layer", *, weights: bool = False) -> dict[str, Any]:
        """The NetParameter. `inputs`: layer, input_shape, input_dim, or none."""
        net: dict[str, Any] = {"name": self.name}
        layers = [dict(layer) for layer in self.layers]
        if weights:
            for layer in layers:
                layer |= {"blobs": self.blobs[layer["name"]]} if layer["name"] in self.blobs else {}
        if inputs == "layer" and version == "V2":
            shapes = [
                {"name": name, "type": "Input", "top": [name], "input_param": {"shape": {"dim": list(shape)}}}
                for name, shape in self.inputs
            ]
            layers = [*shapes, *layers]
        elif inputs != "none":
            net["input"] = [name for name, _ in self.inputs]
            if inputs == "input_dim":
                net["input_dim"] = [size for _, shape in self.inputs for size in shape]
            else:
                net["input_shape"] = [{"dim": list(shape)} for _, shape in self.inputs]
        if version == "V2":
            return net | {"layer": layers}
        old = [_v1(layer) if version == "V1" else _v0(layer) for layer in layers]
        return net | {"layers": old}

    def prototxt(self, version: str = "V2", inputs: str = "layer") -> str:
        return text(self.net(version, inputs))

    def caffemodel(self, version: str = "V2", inputs: str = "layer") -> bytes:
        return message("NetParameter", self.net(version, inputs, weights=True))

    def save(self, folder: Path, version: str = "V2", inputs: str = "layer") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PROTOTXT).write_text(self.prototxt(version, inputs))
        if self.blobs:
            (folder / CAFFEMODEL).write_bytes(self.caffemodel(version, inputs))
        return folder


def _v1(layer: dict[str, Any]) -> dict[str, Any]:
    names = {new: old for old, new in V1_TYPES.items()}
    return layer | {"type": Word(names[layer["type"]])}


def _v0(layer: dict[str, Any]) -> dict[str, Any]:
    """Parameters back into one message, as far as V0 had them."""
    kinds = {V1_TYPES[v1]: v0 for v0, v1 in V0_TYPES.items()} | {"padding": "padding"}
    kind = kinds[layer["type"]]
    inner: dict[str, Any] = {"name": layer["name"], "type": kind}
    for field, places in V0_FIELDS.items():
        param, own = places.get(kind, ("", ""))
        value = layer.get(param, {}).get(own)
        if value is not None:
            inner[field] = value
    if "pad" in layer:
        inner["pad"] = layer["pad"]
    if "blobs" in layer:
        inner["blobs"] = layer["blobs"]
    return {"bottom": layer["bottom"], "top": layer["top"], "layer": inner}
