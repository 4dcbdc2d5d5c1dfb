"""torch.save's files, binary and ascii, read as data: nothing of what they hold is executed.

    root = read(Path("net.t7"))          # a Thing of class nn.Sequential, a Table, a number ...

Rule 1: a length is compared with the bytes that are left before anything is taken; values are counted. Tensors are
        views of the file; those that cannot be, by their strides, are bounded all together.
Rule 2: what refers to itself is read without recursion: depth costs the file its bytes, and nothing else.
Rule 3: functions of Lua are skipped over, and stay marks: a module in whose place one stands is refused.
Rule 4: errors name file and offset.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError, CorruptModel

NIL, NUMBER, TEXT, TABLE, OBJECT, BOOLEAN, FUNCTION, LEGACY_FUNCTION, RECURSIVE_FUNCTION = range(9)
MAX_VALUES = 4_000_000
MAX_DIMS = 16
MAX_SPREAD = 1 << 24  # elements of a tensor that has more than its storage: strides of 0
ELEMENTS = {
    "Byte": "<u1", "Char": "<i1", "Short": "<i2", "Int": "<i4", "Long": "<i8", "Float": "<f4", "Double": "<f8",
    "Half": "<f2", "Cuda": "<f4", "CudaByte": "<u1", "CudaChar": "<i1", "CudaShort": "<i2", "CudaInt": "<i4",
    "CudaLong": "<i8", "CudaDouble": "<f8", "CudaHalf": "<f2",
}  # fmt: skip
_DATA = re.compile(r"torch\.(\w+?)(Storage|Tensor)")


@dataclass(eq=False)
class Table:
    """A table of Lua: whole numbers are int. Compared by identity, for tables are keys, too."""

    pairs: dict[Any, Any] = field(default_factory=dict)
    at: int = 0

    def get(self, key: Any, default: Any = None) -> Any:
        found = self.pairs.get(key)
        return default if found is None else found

    def items(self) -> list[Any]:
        """What lies at 1, 2, 3 ... as far as it goes."""
        found: list[Any] = []
        while (value := self.pairs.get(len(found) + 1)) is not None:
            found.append(value)
        return found


@dataclass(eq=False)
class Thing:
    """An object of a class; `fields` is what it wrote, as a rule a Table."""

    kind: str
    at: int
    fields: Any = None


@dataclass(eq=False)
class Function:
    """A function of Lua, not read."""

    at: int


Value: TypeAlias = Any
Step: TypeAlias = Generator[Any, Any, Value]


def read(path: Path) -> tuple[Value, frozenset[str]]:
    """The object of a file, and what is unusual in it: "functions", "strides", "longs of 4 bytes".

    Errors: CorruptModel; ConversionError for classes that write themselves otherwise.
    """
    data = path.read_bytes()
    if re.match(rb"[0-8]\r?\n", data):
        return Ascii(data, path.name).whole_file()
    try:
        return Binary(data, path.name, 8).whole_file()
    except CorruptModel as error:
        try:
            short = Binary(data, path.name, 4)  # of a 32-bit machine, if that uses up every byte
            found, notes = short.whole_file()
        except CorruptModel:
            raise error from None
        if short.at != len(data):
            raise error
        return found, notes | {"longs of 4 bytes"}


class Reader:
    """One file. Errors of every method: CorruptModel."""

    def __init__(self, data: bytes, file: str) -> None:
        self.data, self.file, self.at = data, file, 0
        self.left = MAX_VALUES
        self.known: dict[int, Value] = {}
        self.notes: set[str] = set()
        self.copied = 0  # bytes of tensors that are no plain part of their storage

    def error(self, what: str, at: int | None = None) -> CorruptModel:
        where = self.at if at is None else at
        return CorruptModel(f"{self.file}: {what} at offset {where}.", hint="Copy the file again: it seems damaged.")

    def whole_file(self) -> tuple[Value, frozenset[str]]:
        found = self.run()
        return found, frozenset(self.notes)

    def run(self) -> Value:
        if not self.data:
            raise CorruptModel(f"{self.file} is empty.", hint="Copy the file again.")
        waiting: list[Step] = [self.value()]
        answer: Value = None
        while waiting:
            try:
                waiting.append(waiting[-1].send(answer))
                answer = None
            except StopIteration as done:
                waiting.pop()
                answer = done.value
        return answer

    # How numbers stand in the file

    def whole(self) -> int:
        raise NotImplementedError

    def longs(self, count: int) -> list[int]:
        raise NotImplementedError

    def double(self) -> float:
        raise NotImplementedError

    def text(self) -> bytes:
        raise NotImplementedError

    def elements(self, kind: str, count: int) -> Array:
        raise NotImplementedError

    # What stands there

    def value(self) -> Step:
        self.left -= 1
        if self.left < 0:
            raise self.error(f"more than {MAX_VALUES} values")
        start = self.at
        kind = self.whole()
        if kind == NIL:
            return None
        if kind == NUMBER:
            found = self.double()
            return int(found) if found.is_integer() and abs(found) < 1 << 53 else found
        if kind == TEXT:
            return self.text().decode("utf-8", "surrogateescape")
        if kind == BOOLEAN:
            return bool(self.whole())
        if kind == TABLE:
            return (yield self.table())
        if kind == OBJECT:
            return (yield self.thing())
        if kind in (FUNCTION, LEGACY_FUNCTION, RECURSIVE_FUNCTION):
            return (yield self.function(kind, start))
        raise self.error(f"a value of type {kind}, expected 0 to 8", start)

    def table(self) -> Step:
        start, number = self.at, self.whole()
        if number in self.known:
            return self.known[number]
        made = self.known[number] = Table({}, start)
        count = self.whole()
        if not 0 <= count <= len(self.data) - self.at:
            raise self.error(f"a table of {count} entries where {len(self.data) - self.at} bytes are left")
        for _ in range(count):
            key = yield self.value()
            if key is None or (isinstance(key, float) and math.isnan(key)) or isinstance(key, np.ndarray):
                raise self.error("a table has nothing as a key")
            made.pairs[key] = yield self.value()
        return made

    def function(self, kind: int, start: int) -> Step:
        self.notes.add("functions")
        if kind != FUNCTION:
            number = self.whole()
            if number in self.known:
                return self.known[number]
            self.known[number] = Function(start)
        self.text()
        yield self.value()  # what it has caught
        return Function(start)

    def thing(self) -> Step:
        start, number = self.at, self.whole()
        if number in self.known:
            return self.known[number]
        version = self.text()
        raw = self.text() if re.fullmatch(rb"V \d+", version) else version
        name = raw.decode("utf-8", "replace")
        if not re.fullmatch(r"[\w.]{1,100}", name):
            raise self.error(f"a class called {name[:40]!r}", start)
        found = _DATA.fullmatch(name)
        if found is None:
            made = self.known[number] = Thing(name, start)
            made.fields = yield self.value()
            if not isinstance(made.fields, Table):
                raise ConversionError(
                    f"{self.file}: {name} at offset {start} does not write a table; how it writes itself is not known.",
                    hint="Save the model without it: net:clearState() first, on the CPU (net:float()).",
                )
            return made
        if found[1] not in ELEMENTS:
            raise self.error(f"a class {name}", start)
        if found[2] == "Storage":
            count = self.longs(1)[0]
            self.known[number] = array = self.elements(found[1], count)
            return array
        self.known[number] = Thing(name, start)
        tensor = yield self.tensor(start)
        self.known[number] = tensor
        return tensor

    def tensor(self, start: int) -> Step:
        dims = self.whole()
        if not 0 <= dims <= MAX_DIMS:
            raise self.error(f"a tensor of {dims} dimensions", start)
        sizes, strides, offset = self.longs(dims), self.longs(dims), self.longs(1)[0] - 1
        storage = yield self.value()
        if storage is None or not dims:
            return np.zeros((0,), np.float32)
        if not isinstance(storage, np.ndarray) or storage.ndim != 1:
            raise self.error("a tensor without a storage", start)
        if min((*sizes, *strides, offset)) < 0:
            raise self.error(f"a tensor of sizes {sizes}, strides {strides}, offset {offset}", start)
        count = math.prod(sizes)
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if count and (last >= storage.size or (count > storage.size and count > MAX_SPREAD)):
            raise self.error(f"a tensor {sizes} reaches to {last} in a storage of {storage.size}", start)
        if not count:
            return np.zeros(sizes if math.prod(size or 1 for size in sizes) < 1 << 40 else (0,), storage.dtype)
        width = storage.dtype.itemsize
        if strides != [math.prod(sizes[axis + 1 :]) for axis in range(dims)]:
            self.notes.add("strides")
            self.copied += count * width
            if self.copied > 2 * len(self.data) + MAX_SPREAD:
                raise self.error(f"tensors over tensors of one storage: {self.copied} bytes of them", start)
        view = np.lib.stride_tricks.as_strided(storage[offset:], sizes, [s * width for s in strides], writeable=False)
        return np.ascontiguousarray(view)


class Binary(Reader):
    """Little-endian; `long_` is the width of a long: 8, or 4 from a 32-bit machine."""

    def __init__(self, data: bytes, file: str, long_: int) -> None:
        super().__init__(data, file)
        self.long = long_

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            raise self.error(f"{count} bytes are needed and {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def whole(self) -> int:
        return int.from_bytes(self.take(4), "little", signed=True)

    def longs(self, count: int) -> list[int]:
        return [int.from_bytes(self.take(self.long), "little", signed=True) for _ in range(count)]

    def double(self) -> float:
        return float(struct.unpack("<d", self.take(8))[0])

    def text(self) -> bytes:
        return self.take(self.whole())

    def elements(self, kind: str, count: int) -> Array:
        element = np.dtype("<i4" if kind == "Long" and self.long == 4 else ELEMENTS[kind])
        if count < 0:
            raise self.error(f"a storage of {count} elements")
        start = self.at
        self.take(count * element.itemsize)
        return np.frombuffer(self.data, element, count, start)


class Ascii(Reader):
    """Numbers as words, each value on a line; texts and bytes behind their number, as they are."""

    def word(self) -> bytes:
        found = _WORD.match(self.data, self.at)
        if found is None:
            raise self.error("a number is needed")
        self.at = found.end()
        return found[1]

    def number(self, form: type) -> Any:
        start, raw = self.at, self.word()
        try:
            return form(raw)
        except ValueError:
            raise self.error(f"{raw[:20]!r} is no number", start) from None

    def whole(self) -> int:
        return int(self.number(int))

    def longs(self, count: int) -> list[int]:
        return [int(self.number(int)) for _ in range(count)]

    def double(self) -> float:
        return float(self.number(float))

    def text(self) -> bytes:
        count = self.whole()
        return self.raw(count)

    def raw(self, count: int) -> bytes:
        """So many bytes behind the line's end."""
        self.at += self.data[self.at : self.at + 2] == b"\r\n"
        self.at += self.data[self.at : self.at + 1] == b"\n"
        if not 0 <= count <= len(self.data) - self.at:
            raise self.error(f"{count} bytes are needed and {len(self.data) - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def elements(self, kind: str, count: int) -> Array:
        element = np.dtype(ELEMENTS[kind])
        if element.itemsize == 1:
            return np.frombuffer(self.raw(count), element)
        if not 0 <= count <= len(self.data) - self.at:
            raise self.error(f"a storage of {count} elements where {len(self.data) - self.at} bytes are left")
        start, words = self.at, [self.word() for _ in range(count)]
        try:
            return np.asarray([float(word) if element.kind == "f" else int(word) for word in words], element)
        except (ValueError, OverflowError):
            raise self.error("a storage holds what is no number", start) from None


_WORD = re.compile(rb"\s*([^\s]{1,64})")
