"""MXNet's `.params` files, read as MXNet 1.9 reads them: named arrays, every byte accounted for.

    u64 0x112, u64 0, u64 count, count arrays, u64 names, names x {u64 length, bytes}      little-endian

An array starts with a u32: V2 0xF993FAC9, V3 0xF993FACA (NumPy shapes), V1 0xF993FAC8; anything
else is V0 and is the number of dimensions itself.

Rule 1: a claim (count, dimensions, length of a name) is checked against the bytes that are left
        before anything is allocated.
Rule 2: arrays are views of the mapped file: nothing is copied, dtype is the file's.
Rule 3: errors name file, array and offset.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.core.dtypes import Array, numpy_dtype
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.mxnet.attributes import DTYPES

MAGIC = bytes.fromhex("1201000000000000") + bytes(8)  # the magic and the reserved zero
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
STORAGE = {1: "row_sparse", 2: "csr"}
MAX_DIMS = 32  # numpy's limit, and far over MXNet's
MAX_SIZE = 1 << 48
MAX_NAME = 4096


@dataclass(frozen=True)
class Params:
    """Weights by name. Files without "arg:" and "aux:" before their names have all of them in `arg`."""

    arg: dict[str, Array]
    aux: dict[str, Array]
    version: str = ""
    """The versions of the arrays: "V2", "V0, V2"."""
    bare: bool = False
    """Names had no "arg:" or "aux:"."""

    def __len__(self) -> int:
        return len(self.arg) + len(self.aux)

    def __contains__(self, name: str) -> bool:
        return name in self.arg or name in self.aux

    def get(self, name: str) -> Array | None:
        """By name, of either kind: MXNet's names are unique over both."""
        found = self.arg.get(name)
        return self.aux.get(name) if found is None else found

    def names(self) -> Iterator[str]:
        yield from self.arg
        yield from self.aux


NOTHING = Params({}, {})


def read(path: Path) -> Params:
    """Every array of a file. Errors: CorruptModel (bytes), ConversionError (sparse arrays, no names)."""
    size = path.stat().st_size
    if size < len(MAGIC) + 16:
        raise CorruptModel(
            f"{path.name} has {size} bytes, a .params file has at least 32.", hint="Copy the file again."
        )
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return _Reader(path.name, mapped, size).whole()


class _Reader:
    """One file, from front to back."""

    def __init__(self, name: str, data: mmap.mmap, size: int) -> None:
        self.name, self.data, self.size = name, data, size
        self.at = 0
        self.what = "the header"
        self.versions: set[str] = set()

    def whole(self) -> Params:
        if self.data[:8] != MAGIC[:8]:
            raise self.error(f"starts with {self.data[:8].hex(' ')}, expected {MAGIC[:8].hex(' ')}")
        if self.data[8:16] != MAGIC[8:]:
            raise self.error(f"has {self.data[8:16].hex(' ')} at 8, expected zeros")
        self.at = 16
        count = self.number("<Q", "the number of arrays")
        if count * 4 > self.size - self.at:
            raise self.error(f"claims {count} arrays, which {self.size - self.at} bytes cannot hold")
        arrays, where = [], []
        for number in range(count):
            self.what = f"array {number + 1} of {count}"
            where.append(self.at)
            arrays.append(self.array())
        self.what = "the names"
        names = self.names(count)
        if self.at != self.size:
            raise self.error(f"has {self.size - self.at} bytes after its last name")
        return self.sorted(names, arrays, where)

    def names(self, count: int) -> list[str]:
        found = self.number("<Q", "the number of names")
        if found == 0 and count:
            raise ConversionError(
                f"{self.name} holds {count} arrays without names (mx.nd.save of a list).",
                hint="Save the weights with Module.save_checkpoint or HybridBlock.export.",
            )
        if found != count:
            raise self.error(f"has {found} names for {count} arrays")
        names = []
        for number in range(count):
            self.what = f"name {number + 1} of {count}"
            length = self.number("<Q", "its length")
            if not 0 < length <= MAX_NAME:
                raise self.error(f"is {length} bytes long, expected 1 to {MAX_NAME}")
            text = self.take(length)
            try:
                names.append(text.decode("utf-8"))
            except UnicodeDecodeError:
                raise self.error(f"is not UTF-8: {text[:40]!r}") from None
        return names

    def sorted(self, names: list[str], arrays: list[Array | None], where: list[int]) -> Params:
        """Into arg and aux. Rule 3; a name twice, and an array without elements or shape, are errors."""
        arg: dict[str, Array] = {}
        aux: dict[str, Array] = {}
        bare = False
        for full, array, offset in zip(names, arrays, where, strict=True):
            kind, colon, rest = full.partition(":")
            marked = bool(colon) and kind in ("arg", "aux")
            name = rest if marked else full
            if name in arg or name in aux:
                raise CorruptModel(f"{self.name}: two arrays are called {name!r}; the second lies at offset {offset}.")
            if not name:
                raise CorruptModel(f"{self.name}: the array at offset {offset} is called {full!r}, which is no name.")
            if array is None:
                raise CorruptModel(f"{self.name}: {name!r} at offset {offset} has no shape: it is not initialised.")
            bare = bare or not marked
            (aux if marked and kind == "aux" else arg)[name] = array
        return Params(arg, aux, ", ".join(sorted(self.versions)), bare)

    def array(self) -> Array | None:
        """One array; None when it was saved without a shape."""
        start = self.at
        magic = int(self.number("<I", "its magic"))
        if magic in (V2, V3):
            self.versions.add("V2" if magic == V2 else "V3")
            storage = self.number("<i", "its storage type")
            if storage in STORAGE:
                raise ConversionError(
                    f"{self.name}: {self.what} at offset {start} is {STORAGE[storage]}; dense arrays are read.",
                    hint='Save it dense: array.tostype("default").',
                )
            if storage != 0:
                raise self.error(f"has storage type {storage}, expected 0 (dense)")
            shape = self.shape("<i", "<q")
            if shape is None or (magic == V2 and not shape):
                return None
        else:
            self.versions.add("V1" if magic == V1 else "V0")
            self.at = self.at if magic == V1 else start
            shape = self.shape("<i", "<q") if magic == V1 else self.shape("<I", "<I")
            if not shape:
                return None
        self.take(8)  # device type and number: where it lived
        code = str(self.number("<i", "its element type"))
        if code not in DTYPES:
            raise self.error(f"has element type {code}, expected 0 to {len(DTYPES) - 1}")
        kind = numpy_dtype(DTYPES[code])
        count = 1
        for size in shape:
            count *= size
        if count * kind.itemsize > self.size - self.at:
            raise self.error(
                f"claims shape {list(shape)} of {DTYPES[code]}, {count * kind.itemsize} bytes, "
                f"and the file has {self.size - self.at} left"
            )
        offset, self.at = self.at, self.at + count * kind.itemsize
        found: Array = np.frombuffer(self.data, kind, count, offset) if count else np.zeros(0, kind)
        return found.reshape(shape)

    def shape(self, rank_form: str, size_form: str) -> tuple[int, ...] | None:
        """None for rank -1: unknown."""
        rank = self.number(rank_form, "its rank")
        if rank == -1:
            return None
        if not 0 <= rank <= MAX_DIMS:
            raise self.error(f"has rank {rank}, expected 0 to {MAX_DIMS}")
        sizes = tuple(self.number(size_form, f"dimension {axis}") for axis in range(rank))
        # An empty array of [0, 2**40, 2**40] has no bytes, and numpy cannot hold it either.
        absurd = 0 in sizes and math.prod(size for size in sizes if size) >= MAX_SIZE
        if absurd or any(not 0 <= size < MAX_SIZE for size in sizes):
            raise self.error(f"has a dimension that no array has: {list(sizes)}")
        return sizes

    def number(self, form: str, what: str) -> int:
        size = struct.calcsize(form)
        if self.at + size > self.size:
            raise self.error(f"ends before {what}")
        value: int = struct.unpack_from(form, self.data, self.at)[0]
        self.at += size
        return value

    def take(self, count: int) -> bytes:
        if self.at + count > self.size:
            raise self.error(f"needs {count} bytes, the file has {self.size - self.at} left")
        self.at += count
        return self.data[self.at - count : self.at]

    def error(self, what: str) -> CorruptModel:
        return CorruptModel(
            f"{self.name}: {self.what} at offset {self.at} {what}; the file has {self.size} bytes.",
            hint="Copy the file again; it may have been cut short.",
        )
