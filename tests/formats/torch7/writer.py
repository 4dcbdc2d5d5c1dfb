"""Writes t7 files, binary (longs of 8 or 4 bytes) and ascii: any module at will.

net = sequential(nn("SpatialConvolution", weight=..., kW=3, ...), nn("ReLU"))
save(folder / "net.t7", net)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = {
    "f4": "Float",
    "f8": "Double",
    "u1": "Byte",
    "i1": "Char",
    "i2": "Short",
    "i4": "Int",
    "i8": "Long",
    "f2": "Half",
}


@dataclass(eq=False)
class Obj:
    """An object of a class."""

    kind: str
    fields: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Storage:
    """numpy's numbers as a storage of their own: torch.LongStorage of a View's sizes."""

    array: np.ndarray


@dataclass(eq=False)
class Strided:
    """A tensor that looks at a part of a storage. `kind`: FloatTensor, CudaTensor ..."""

    storage: Storage
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    kind: str = ""


@dataclass(eq=False)
class Function:
    """A function of Lua, as torch.save dumps it."""

    dump: bytes = b"\x1bLua not run"
    old: bool = False


def nn(kind: str, *modules: Any, **fields: Any) -> Obj:
    """`nn.kind`, or `package.kind`; modules inside become `modules`."""
    name = kind if "." in kind else f"nn.{kind}"
    inner = {"modules": list(modules)} if modules else {}
    return Obj(name, {key: value for key, value in {**inner, **fields}.items() if value is not None})


def sequential(*modules: Any) -> Obj:
    return nn("Sequential", *modules)


def sizes(*values: int) -> Storage:
    return Storage(np.asarray(values, "<i8"))


class Writer:
    """`form`: "b64", "b32" or "ascii". Objects and tables of one identity are written once."""

    def __init__(self, form: str = "b64") -> None:
        self.form, self.made, self.numbers = form, bytearray(), dict[int, int]()
        self.kept: list[Any] = []  # what was numbered stays alive: a number is of an identity

    def whole(self, *values: int) -> None:
        self.put(values, "i")

    def long(self, *values: int) -> None:
        self.put(values, "q" if self.form == "b64" else "i")

    def put(self, values: tuple[Any, ...], code: str) -> None:
        if self.form == "ascii":
            self.made += " ".join(repr(value) for value in values).encode() + b"\n"
        else:
            self.made += struct.pack(f"<{len(values)}{code}", *values)

    def text(self, value: bytes | str) -> None:
        raw = value.encode() if isinstance(value, str) else value
        self.whole(len(raw))
        self.made += raw + (b"\n" if self.form == "ascii" else b"")

    def numbered(self, value: Any) -> bool:
        """Write the number of an object; True where it is new."""
        self.kept.append(value)
        new = id(value) not in self.numbers
        self.whole(self.numbers.setdefault(id(value), len(self.numbers) + 1))
        return new

    def value(self, value: Any) -> None:
        if value is None:
            self.whole(0)
        elif isinstance(value, bool):
            self.whole(5)
            self.whole(int(value))
        elif isinstance(value, (int, float)):
            self.whole(1)
            self.put((float(value),), "d")
        elif isinstance(value, str):
            self.whole(2)
            self.text(value)
        elif isinstance(value, (dict, list)):
            self.whole(3)
            self.table(value)
        elif isinstance(value, Function):
            self.function(value)
        else:
            self.whole(4)
            self.thing(value)

    def table(self, value: dict[Any, Any] | list[Any]) -> None:
        if not self.numbered(value):
            return
        pairs = value if isinstance(value, dict) else dict(enumerate(value, 1))
        self.whole(len(pairs))
        for key, each in pairs.items():
            self.value(key if not isinstance(key, Key) else key.value)
            self.value(each)

    def function(self, value: Function) -> None:
        self.whole(6 if value.old else 8)
        if not value.old and not self.numbered(value):
            return
        self.text(value.dump)
        self.value({})

    def thing(self, value: Any) -> None:
        if not self.numbered(value):
            return
        self.text("V 1")
        if isinstance(value, Obj):
            self.text(value.kind)
            self.value(value.fields)
        elif isinstance(value, Storage):
            self.storage(value.array)
        elif isinstance(value, Strided):
            self.tensor(value)
        else:
            array = np.ascontiguousarray(value)
            strides = tuple(stride // array.itemsize for stride in array.strides)
            self.tensor(Strided(Storage(array.reshape(-1)), array.shape, strides))

    def tensor(self, value: Strided) -> None:
        self.text(f"torch.{value.kind or CLASSES[value.storage.array.dtype.str[1:]] + 'Tensor'}")
        self.whole(len(value.sizes))
        self.long(*value.sizes)
        self.long(*value.strides)
        self.long(value.offset + 1)
        if value.kind.startswith("Cuda"):
            self.whole(4)
            self.numbered(value.storage)
            self.text("V 1")
            self.storage(value.storage.array, f"torch.{value.kind.removesuffix('Tensor')}Storage")
        else:
            self.value(value.storage)

    def storage(self, array: np.ndarray, kind: str = "") -> None:
        self.text(kind or f"torch.{CLASSES[array.dtype.str[1:]]}Storage")
        self.long(array.size)
        if self.form != "ascii":
            self.made += (array.astype("<i4") if self.form == "b32" and array.dtype == "<i8" else array).tobytes()
        elif array.itemsize == 1:
            self.made += array.tobytes() + b"\n"
        else:
            self.made += " ".join(repr(each.item()) for each in array).encode() + b"\n"


@dataclass(eq=False)
class Key:
    """A table as a key, as nngraph's mapindex has it."""

    value: Any


def dumped(value: Any, form: str = "b64") -> bytes:
    writer = Writer(form)
    writer.value(value)
    return bytes(writer.made)


def save(path: Path, value: Any, form: str = "b64") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dumped(value, form))
    return path


class Maker:
    """Modules with seeded weights, as torch's own constructors leave them after evaluate()."""

    def __init__(self, seed: int = 5) -> None:
        self.random = np.random.default_rng(seed)

    def numbers(self, *shape: int, spread: float = 1.0, kind: str = "f4") -> np.ndarray:
        return np.asarray(spread * self.random.standard_normal(shape), kind)

    def conv(
        self, taken: int, made: int, k: int = 3, d: int = 1, pad: int = 0, kind: str = "SpatialConvolution", **more: Any
    ) -> Obj:
        spread = float(np.sqrt(2.0 / (taken * k * k)))
        given = {
            "nInputPlane": taken, "nOutputPlane": made, "kW": k, "kH": k, "dW": d, "dH": d, "padW": pad, "padH": pad,
            "weight": self.numbers(made, taken, k, k, spread=spread), "bias": self.numbers(made, spread=0.1),
        }  # fmt: skip
        return nn(kind, **{**given, **more})

    def linear(self, taken: int, made: int, **more: Any) -> Obj:
        weight = self.numbers(made, taken, spread=float(np.sqrt(1.0 / taken)))
        return nn("Linear", **{"weight": weight, "bias": self.numbers(made, spread=0.1), **more})

    def norm(self, count: int, kind: str = "SpatialBatchNormalization", **more: Any) -> Obj:
        var = np.asarray(0.5 + self.random.random(count), "f4")
        given = {
            "running_mean": self.numbers(count, spread=0.1), "running_var": var, "eps": 1e-5, "affine": True,
            "weight": np.asarray(1 + self.numbers(count, spread=0.1), "f4"), "bias": self.numbers(count, spread=0.1),
        }  # fmt: skip
        return nn(kind, **{**given, **more})


def pool(kind: str, k: int, d: int, pad: int = 0, *, ceil: bool = False, **more: Any) -> Obj:
    given = {"kW": k, "kH": k, "dW": d, "dH": d, "padW": pad, "padH": pad, "ceil_mode": ceil}
    return nn(f"Spatial{kind}Pooling", **{**given, **more})


def view(*values: int, inputs: int | None = None) -> Obj:
    known = int(np.prod([value for value in values if value > 0]))
    return nn("View", size=sizes(*values), numElements=known, numInputDims=inputs)


def small() -> Obj:
    """A net of vectors, and a pooling between that takes none: what is damaged and fuzzed."""
    maker = Maker()
    pooled = nn("SpatialMaxPooling", kW=2, kH=2, dW=2, dH=2, padW=0, padH=0, ceil_mode=False)
    return sequential(maker.linear(6, 4), maker.norm(4, "BatchNormalization"), nn("ReLU"), pooled, maker.linear(4, 2))
