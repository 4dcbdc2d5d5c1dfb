"""A Darknet `.weights` file: a header, then float32 of all layers one after the other, none of them named.

    i32 major, i32 minor, i32 revision, then `seen`: u64 from version 0.2 on, u32 before      little-endian

Rule 1: how wide `seen` is follows the version. A file that ends four bytes earlier was written where size_t has
        four bytes, if what stands there can be no upper half of a number: else it has been cut.
Rule 2: the file is mapped, never read whole.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import CorruptModel
from gateway.formats.darknet.config import Section
from gateway.formats.darknet.shapes import Plan

VERSION = 12  # bytes of the three numbers


@dataclass(frozen=True)
class Header:
    """Of a file called `name` with `size` bytes. `upper` are the bytes of the upper half of a `seen` of 64 bits."""

    name: str
    version: tuple[int, int, int]
    size: int
    upper: bytes = b""

    @property
    def text(self) -> str:
        return ".".join(map(str, self.version))

    @property
    def seen(self) -> int:
        """Bytes of `seen` by the rule of load_weights_upto."""
        major, minor, _ = self.version
        return 8 if major * 10 + minor >= 2 and major < 1000 and minor < 1000 else 4

    @property
    def transposed(self) -> bool:
        """Matrices of connected layers are stored (in, out)."""
        return self.version[0] > 1000 or self.version[1] > 1000

    @property
    def floats(self) -> int:
        """Whole floats behind the header."""
        return max(0, self.size - VERSION - self.seen) // 4

    @property
    def rest(self) -> int:
        """Bytes behind the last whole float."""
        return max(0, self.size - VERSION - self.seen) % 4

    def end(self, floats: int) -> int:
        return VERSION + self.seen + 4 * floats

    def fits(self, floats: int) -> int:
        """The width of `seen` with which the file ends behind so many floats; 0 for none."""
        if self.end(floats) == self.size:
            return self.seen
        return 4 if self.seen == 8 and self.end(floats) - 4 == self.size and _is_number(self.upper) else 0


def _is_number(data: bytes) -> bool:
    """A float as weights are; the upper half of a count of pictures is 0 or next to it."""
    value = abs(struct.unpack("<f", data)[0]) if len(data) == 4 else 0.0
    return bool(1e-12 < value < 1e6)


NOTHING = Header("", (0, 0, 0), 0)


def header(path: Path) -> Header:
    """Errors: CorruptModel for a file that is no file of weights."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(VERSION + 8)
    if size < VERSION + 4:
        raise CorruptModel(f"{path.name} has {size} bytes, a file of Darknet's weights at least {VERSION + 4}.")
    major, minor, revision = struct.unpack_from("<iii", head)
    if not (0 <= major <= 2000 and 0 <= minor <= 2000 and 0 <= revision <= 100_000):
        raise CorruptModel(
            f"{path.name}: its header says version {major}.{minor}.{revision} at offset 0, expected 0.1.0 to 0.2.5."
        )
    return Header(path.name, (major, minor, revision), size, head[VERSION + 4 :])


def floats(path: Path, found: Header, seen: int) -> Array:
    """All numbers behind the header, as a view of the file."""
    start = VERSION + seen
    if found.size == start:
        return np.zeros(0, np.float32)
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, "<f4", offset=start)


def settled(section: Section, plan: Plan, arrays: dict[str, Array], *, transposed: bool) -> dict[str, Array]:
    """The arrays as layers use them: `flipped` and transposed matrices turned, scales that are not loaded filled in."""
    made = dict(arrays)
    for name, shape in plan.arrays:
        if name not in made:  # dontloadscales=1
            made[name] = np.full(shape, 1.0 if name.endswith("scales") else 0.0, np.float32)
    for name, array in arrays.items():
        if not name.endswith("weights"):
            continue
        if transposed and array.ndim == 2:
            made[name] = np.ascontiguousarray(array.reshape(array.shape[::-1]).T)
        elif section.kind == "convolutional" and section.options.int("flipped", 0):
            count = array.shape[0]
            made[name] = np.ascontiguousarray(array.reshape(-1, count).T).reshape(array.shape)
    return made
