"""NAME.npy, the IR's weights: {layer: {name: array}} in a pickle, read as data and never executed.

    np.save("NAME.npy", weights)        # what MMdnn's parsers do

Rule 1: of a pickle's opcodes only those are known that build texts, numbers, lists, tuples, dictionaries and numpy's
        arrays. What it would call is a name: ALLOWED says which, and none is imported. Anything else is UnsafeArtifact.
Rule 2: an array has the bytes that its shape says, which lie in the file: nothing is allocated beyond it.
Rule 3: errors name file and offset.
"""

from __future__ import annotations

import ast
import codecs
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import CorruptModel, UnsafeArtifact

MAGIC = b"\x93NUMPY"
MAX_OPS = 5_000_000
MAX_LINE = 1 << 16
KINDS = "biuf"
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
ALLOWED: dict[tuple[str, str], str] = {
    **{(module, "_reconstruct"): "array" for module in _MULTIARRAY},
    **{(module, "scalar"): "scalar" for module in _MULTIARRAY},
    **{(module, "_frombuffer"): "frombuffer" for module in _NUMERIC},
    ("numpy", "ndarray"): "ndarray", ("numpy", "dtype"): "dtype", ("_codecs", "encode"): "encode",
    ("collections", "OrderedDict"): "dict", ("__builtin__", "dict"): "dict", ("builtins", "dict"): "dict",
    ("collections", "defaultdict"): "dict",
}  # fmt: skip


@dataclass
class _Global:
    what: str


@dataclass
class _Dtype:
    text: str
    order: str = ""

    def numpy(self) -> np.dtype[Any]:
        """Errors: ValueError, TypeError."""
        found = np.dtype(self.text)
        if found.kind not in KINDS or found.itemsize > 16:
            raise ValueError(f"the type {self.text}")
        return found.newbyteorder(self.order) if self.order in ("<", ">") else found  # type: ignore[arg-type]


@dataclass
class _Pending:
    """An array before its BUILD."""

    array: Any = None


class _Mark:
    pass


def read(path: Path) -> dict[str, dict[str, Array]]:
    """{layer: {name: array}}. Errors: CorruptModel; UnsafeArtifact for a pickle that would call anything else."""
    data = path.read_bytes()
    start = _header(data, path.name)
    made = _Machine(data, start, path.name).run()
    return _weights(made, path.name)


def _header(data: bytes, file: str) -> int:
    """Where the pickle begins. Errors: CorruptModel for what is no .npy of one object."""
    if data[:6] != MAGIC or len(data) < 12:
        raise CorruptModel(f"{file} is no .npy file: it begins with {data[:6]!r}.", hint="Copy the file again.")
    size, first = (2, 10) if data[6] == 1 else (4, 12)
    length = int.from_bytes(data[8 : 8 + size], "little")
    if length > min(len(data) - first, MAX_LINE):
        raise CorruptModel(f"{file}: its header says {length} bytes, and {len(data) - first} follow at offset 8.")
    try:
        said = ast.literal_eval(data[first : first + length].decode("latin-1").strip())
        kind, shape = said["descr"], said["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        raise CorruptModel(f"{file}: its header at offset {first} is not numpy's.") from None
    if kind not in ("|O", "O") or shape != ():
        raise CorruptModel(
            f"{file} is an array of {str(kind)[:40]}, shape {str(shape)[:40]}; the IR's weights are one dictionary.",
            hint="Drop the .npy that mmtoir has written with the graph.",
        )
    return first + length


def _weights(made: Any, file: str) -> dict[str, dict[str, Array]]:
    made = made.array if isinstance(made, _Pending) else made
    if not isinstance(made, dict):
        raise CorruptModel(f"{file} holds {type(made).__name__}, expected a dictionary of layers.")
    found: dict[str, dict[str, Array]] = {}
    for layer, arrays in made.items():
        name = _key(layer, file)
        if not isinstance(arrays, dict):
            raise CorruptModel(f"{file}: layer {name!r} holds {type(arrays).__name__}, expected a dictionary.")
        found[name] = {}
        for key, value in arrays.items():
            array = value.array if isinstance(value, _Pending) else value
            if isinstance(array, (int, float)):
                array = np.asarray(array)
            if not isinstance(array, np.ndarray):
                raise CorruptModel(
                    f"{file}: {_key(key, file)!r} of layer {name!r} is {type(value).__name__}, no array."
                )
            found[name][_key(key, file)] = array
    return found


def _key(value: Any, file: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise CorruptModel(f"{file}: a name is {type(value).__name__}, expected a text.")
    return value


class _Machine:
    """The pickle's stack and memo. One opcode makes one thing at most, so memory follows the file."""

    def __init__(self, data: bytes, at: int, file: str) -> None:
        self.data, self.at, self.file, self.start = data, at, file, at
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def error(self, what: str) -> CorruptModel:
        return CorruptModel(
            f"{self.file}: {what} at offset {self.start}.", hint="Copy the file again: it seems damaged."
        )

    def run(self) -> Any:
        for _ in range(MAX_OPS):
            self.start = self.at
            code = self.take(1)
            if code == b".":
                return self.pop()
            step = OPS.get(code)
            if step is None:
                raise UnsafeArtifact(
                    f"{self.file}: opcode {code!r} of its pickle at offset {self.start} is none that weights need.",
                    hint="Only dictionaries of numpy's arrays are read, and nothing is executed.",
                )
            try:
                step(self)
            except (TypeError, ValueError, KeyError, IndexError, OverflowError, struct.error, AttributeError) as error:
                raise self.error(f"its pickle breaks off ({type(error).__name__}: {error})") from error
        raise self.error(f"its pickle has more than {MAX_OPS} opcodes")

    def take(self, count: int) -> bytes:
        if count < 0 or count > len(self.data) - self.at:
            raise self.error(f"its pickle needs {count} bytes and {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def sized(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width), "little"))

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at, self.at + MAX_LINE)
        if end < 0:
            raise self.error("its pickle has a line without an end")
        found = self.data[self.at : end]
        self.at = end + 1
        return found

    def pop(self) -> Any:
        if not self.stack or isinstance(self.stack[-1], _Mark):
            raise self.error("its pickle takes from an empty stack")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """What lies on the stack above the newest mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[place], _Mark):
                found = self.stack[place + 1 :]
                del self.stack[place:]
                return found
        raise self.error("its pickle has no mark on its stack")

    def named(self, module: str, name: str) -> None:
        what = ALLOWED.get((module, name))
        if what is None:
            raise UnsafeArtifact(
                f"{self.file}: its pickle names {module[:60]}.{name[:60]} at offset {self.start}, which is not called.",
                hint="Weights are dictionaries of numpy's arrays; drop those that mmtoir has written.",
            )
        self.stack.append(_Global(what))

    def reduce(self) -> None:
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, _Global) or not isinstance(arguments, tuple):
            raise self.error("its pickle calls what is no name")
        self.stack.append(_CALLS[called.what](self, arguments))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            target.order = str(state[1]) if not isinstance(state[1], bytes) else state[1].decode("ascii")
        elif isinstance(target, _Pending):
            _, shape, kind, fortran, raw = state if len(state) == 5 else (1, *state)
            target.array = self.array(shape, kind, raw, fortran=bool(fortran))
        else:
            raise self.error("its pickle builds what is no array")

    def array(self, shape: Any, kind: Any, raw: Any, *, fortran: bool) -> Any:
        if not isinstance(kind, _Dtype) or not isinstance(shape, tuple):
            raise self.error("an array has no type or shape")
        if kind.text in ("O", "O8") and isinstance(raw, list) and len(raw) == 1:
            return raw[0]  # the array of one object that np.save makes of a dictionary
        if isinstance(raw, str):  # protocol 2 of Python 3 writes bytes as a text
            raw = raw.encode("latin-1")
        if not isinstance(raw, (bytes, bytearray)):
            raise self.error(f"an array's numbers are {type(raw).__name__}, expected bytes")
        found = kind.numpy()
        if len(shape) > 32 or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise self.error(f"an array has the shape {str(shape)[:60]}")
        if math.prod(shape) * found.itemsize != len(raw):
            raise self.error(f"an array {list(shape)} of {found} has {len(raw)} bytes")
        made = np.frombuffer(raw, found).reshape(shape, order="F" if fortran else "C")
        return np.ascontiguousarray(made).reshape(shape).astype(found.newbyteorder("="), copy=False)


def _scalar(machine: _Machine, arguments: tuple[Any, ...]) -> Any:
    return machine.array((), arguments[0], arguments[1], fortran=False)


def _frombuffer(machine: _Machine, arguments: tuple[Any, ...]) -> Any:
    raw, kind, shape, order = arguments
    return machine.array(shape, kind, raw, fortran=order == "F")


def _encode(machine: _Machine, arguments: tuple[Any, ...]) -> bytes:
    if arguments[1] not in ("latin1", "latin-1"):
        raise ValueError("encode")
    return str(arguments[0]).encode("latin-1")


def _dtype(machine: _Machine, arguments: tuple[Any, ...]) -> _Dtype:
    text = arguments[0].decode("ascii") if isinstance(arguments[0], bytes) else arguments[0]
    if not isinstance(text, str) or not re.fullmatch(r"[<>|=]?[a-zA-Z]\d{0,2}", text):
        raise ValueError(f"the type {str(text)[:20]}")
    return _Dtype(text)


def _dict(machine: _Machine, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if not arguments or isinstance(arguments[0], _Global):  # a defaultdict's factory
        return {}
    return dict(arguments[0])


_CALLS: dict[str, Callable[[_Machine, tuple[Any, ...]], Any]] = {
    "array": lambda machine, arguments: _Pending(),
    "ndarray": lambda machine, arguments: _Pending(),
    "scalar": _scalar, "frombuffer": _frombuffer, "encode": _encode, "dtype": _dtype, "dict": _dict,
}  # fmt: skip


def _push(read: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(read(machine))


def _text(width: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: machine.sized(width).decode("utf-8", "surrogatepass"))


def _line_text(machine: _Machine) -> bytes:
    raw = machine.line()
    if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
        raise ValueError("a text without its quotes")
    found, _ = codecs.escape_decode(raw[1:-1])
    return bytes(found)


def _long(width: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: int.from_bytes(machine.sized(width)[:32], "little", signed=True))


def _int_line(machine: _Machine) -> Any:
    raw = machine.line()
    return {b"00": False, b"01": True}.get(raw, int(raw.rstrip(b"L")[:30] or b"0"))


def _set(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.stack[-1][key] = value


def _sets(machine: _Machine) -> None:
    items = machine.marked()
    machine.stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _inst(machine: _Machine) -> None:
    machine.named(machine.line().decode("ascii"), machine.line().decode("ascii"))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.named(str(module), str(name))


def _tuple(count: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: tuple([machine.pop() for _ in range(count)][::-1]))


def _memo(read: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    def put(machine: _Machine) -> None:
        machine.memo[read(machine)] = machine.stack[-1]

    return put


def _recall(read: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return _push(lambda machine: machine.memo[read(machine)])


def _extend(machine: _Machine) -> None:
    items = machine.marked()
    machine.stack[-1].extend(items)


def _number(count: int) -> Callable[[_Machine], int]:
    return lambda machine: int.from_bytes(machine.take(count), "little")


def _newobj(machine: _Machine) -> None:
    machine.reduce()


def _pairs(machine: _Machine) -> dict[Any, Any]:
    items = machine.marked()
    return dict(zip(items[::2], items[1::2], strict=True))


def _append(machine: _Machine) -> None:
    value = machine.pop()
    machine.stack[-1].append(value)


OPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda machine: machine.take(1) and None, b"\x95": lambda machine: machine.take(8) and None,
    b"(": _push(lambda machine: _Mark()), b"0": lambda machine: machine.pop() and None,
    b"N": _push(lambda machine: None), b"\x88": _push(lambda machine: True), b"\x89": _push(lambda machine: False),
    b"I": _push(_int_line), b"L": _push(_int_line), b"F": _push(lambda machine: float(machine.line())),
    b"J": _push(lambda machine: struct.unpack("<i", machine.take(4))[0]),
    b"K": _push(_number(1)), b"M": _push(_number(2)), b"\x8a": _long(1), b"\x8b": _long(4),
    b"G": _push(lambda machine: struct.unpack(">d", machine.take(8))[0]),
    b"S": _push(_line_text), b"T": _push(lambda machine: machine.sized(4)),
    b"U": _push(lambda machine: machine.sized(1)),
    b"B": _push(lambda machine: machine.sized(4)), b"C": _push(lambda machine: machine.sized(1)),
    b"\x8e": _push(lambda machine: machine.sized(8)), b"\x96": _push(lambda machine: machine.sized(8)),
    b"V": _push(lambda machine: machine.line().decode("raw-unicode-escape")),
    b"X": _text(4), b"\x8c": _text(1), b"\x8d": _text(8),
    b"}": _push(lambda machine: {}), b"]": _push(lambda machine: []), b")": _push(lambda machine: ()),
    b"d": lambda machine: machine.stack.append(_pairs(machine)), b"l": _push(lambda machine: machine.marked()),
    b"t": _push(lambda machine: tuple(machine.marked())), b"\x85": _tuple(1), b"\x86": _tuple(2), b"\x87": _tuple(3),
    b"s": _set, b"u": _sets, b"a": _append, b"e": _extend,
    b"p": _memo(lambda machine: int(machine.line())), b"q": _memo(_number(1)), b"r": _memo(_number(4)),
    b"\x94": _memo(lambda machine: len(machine.memo)),
    b"g": _recall(lambda machine: int(machine.line())), b"h": _recall(_number(1)), b"j": _recall(_number(4)),
    b"c": _inst, b"\x93": _stack_global, b"R": _Machine.reduce, b"b": _Machine.build, b"\x81": _newobj,
}  # fmt: skip
