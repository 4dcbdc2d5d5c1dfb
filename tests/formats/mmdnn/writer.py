"""Writes MMdnn's IR: any node at will, as .pb and as .json, and the .npy of its weights.

net = Model(6, 8, 3)
net.add("Conv", weights={"weights": kernel}, strides=[1, 1, 1, 1], auto_pad="VALID")
net.save(folder)
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from gateway.formats.mmdnn.schema import TYPES
from tests.formats.wire_format import message, number, varint

STEM = "ir"


class Shape(tuple[int, ...]):
    """A TensorShape; -1 is free."""

    __slots__ = ()


class Type(str):
    """A DataType, as "float32"."""

    __slots__ = ()


class Model:
    """One graph; what is added reads the node before it unless `inputs` says otherwise."""

    def __init__(self, *sizes: int, seed: int = 3, name: str = "data", dtype: str = "float32", **attrs: Any) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.weights: dict[str, dict[str, np.ndarray]] = {}
        self.random = np.random.default_rng(seed)
        if sizes:
            self.input(name, sizes, dtype, **attrs)

    def input(self, name: str, sizes: tuple[int, ...], dtype: str = "float32", **attrs: Any) -> str:
        shape = {"shape": Shape((-1, *sizes)), "dtype": Type(dtype)}
        return self.add("DataInput", [], name=name, **{**shape, **attrs})

    def add(
        self, op: str, inputs: list[str] | None = None, *, name: str = "", weights: dict[str, Any] | None = None,
        makes: tuple[int, ...] | None = None, **attrs: Any,
    ) -> str:  # fmt: skip
        """A node. `makes` becomes _output_shapes; an attribute of None is left out."""
        name = name or f"{op.lower()}_{len(self.nodes)}"
        if inputs is None:
            inputs = [self.nodes[-1]["name"]] if self.nodes else []
        if makes is not None:
            attrs["_output_shapes"] = [Shape(makes)]
        kept = {key: value for key, value in attrs.items() if value is not None}
        self.nodes.append({"name": name, "op": op, "input": list(inputs), "attr": kept})
        if weights:
            self.weights[name] = {key: np.asarray(value) for key, value in weights.items()}
        return name

    def kernel(self, *shape: int) -> np.ndarray:
        """Numbers that keep a signal about as large as it was."""
        spread = np.sqrt(2.0 / max(1, int(np.prod(shape[:-1]))))
        return np.asarray(spread * self.random.standard_normal(shape), np.float32)

    def pb(self) -> bytes:
        return b"".join(message(1, *_node(node)) for node in self.nodes)

    def json(self) -> bytes:
        return json.dumps({"node": [_json_node(node) for node in self.nodes]}, indent=2).encode()

    def save(self, folder: Path, *forms: str, stem: str = STEM) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for form in forms or ("pb",):
            (folder / f"{stem}.{form}").write_bytes(self.pb() if form == "pb" else self.json())
        if self.weights:
            np.save(folder / f"{stem}.npy", self.weights)  # type: ignore[arg-type]  # an object
        return folder


def _node(node: dict[str, Any]) -> list[bytes]:
    parts = [message(1, node["name"]), message(2, node["op"]), *(message(3, each) for each in node["input"])]
    return [*parts, *(message(4, message(1, key), message(2, _attr(value))) for key, value in node["attr"].items())]


def _signed(value: int) -> int:
    return value + (1 << 64) if value < 0 else value


def _dims(shape: Shape) -> bytes:
    return b"".join(message(2, number(1, _signed(size))) for size in shape)


def _attr(value: Any) -> bytes:
    if isinstance(value, Type):
        return number(6, TYPES.index(value))
    if isinstance(value, bool):
        return number(5, int(value))
    if isinstance(value, int):
        return number(3, _signed(value))
    if isinstance(value, float):
        return varint(4 << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, Shape):
        return message(7, _dims(value))
    if isinstance(value, (str, bytes)):
        return message(2, value)
    return message(1, _list(value))


def _list(values: list[Any]) -> bytes:
    if values and isinstance(values[0], Shape):
        return b"".join(message(7, _dims(each)) for each in values)
    if values and isinstance(values[0], float):
        return message(4, struct.pack(f"<{len(values)}f", *values))
    return message(3, b"".join(varint(_signed(each)) for each in values))


def _json_node(node: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": node["name"], "op": node["op"]}
    if node["input"]:
        made["input"] = node["input"]
    return made | {"attr": {key: _json_attr(value) for key, value in node["attr"].items()}}


def _json_shape(shape: Shape) -> dict[str, Any]:
    return {"dim": [{"size": str(size)} for size in shape]}


def _json_attr(value: Any) -> dict[str, Any]:
    if isinstance(value, Type):
        return {"type": f"DT_{value.upper()}"}
    if isinstance(value, bool):
        return {"b": value}
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"f": float(np.float32(value))}
    if isinstance(value, Shape):
        return {"shape": _json_shape(value)}
    if isinstance(value, (str, bytes)):
        raw = value.encode() if isinstance(value, str) else value
        return {"s": base64.b64encode(raw).decode()}
    if value and isinstance(value[0], Shape):
        return {"list": {"shape": [_json_shape(each) for each in value]}}
    if value and isinstance(value[0], float):
        return {"list": {"f": value}}
    return {"list": {"i": [str(each) for each in value]}}


def small() -> Model:
    """A graph of four nodes: what is damaged and fuzzed."""
    made = Model(6, 6, 3)
    weights = {"weights": made.kernel(3, 3, 3, 4), "bias": made.kernel(4)}
    made.add("Conv", weights=weights, strides=[1, 1, 1, 1], pads=[0, 1, 1, 0, 0, 1, 1, 0], makes=(-1, 6, 6, 4))
    made.add("LeakyRelu", alpha=0.1)
    made.add("Flatten", name="flat")
    made.add("FullyConnected", weights={"weights": made.kernel(144, 2)}, units=2, use_bias=False)
    return made
