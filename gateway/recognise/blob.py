"""What a recogniser reads: one file, one member of an archive or plain bytes, always in bounds.

Rule 1: `read` never raises and never returns more than it was asked for; what cannot be read is b"".
Rule 2: a Blob spends a budget; when it is used up, reads are empty and `spent` says so. Thousands of
        tiny reads of a hostile file end, whatever the file says of itself.
Rule 3: what is costly to look at (JSON, archive listing, pickle) is looked at once: `memo`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

HEAD = 4096
BUDGET = 128 << 20  # bytes that one file may cost, all looks together
READS = 400_000
WINDOW = 1 << 13  # one real read: small reads near each other are served from it

T = TypeVar("T")


class Blob(ABC):
    """`name` is relative, '/'-separated; `size` is what the file says, which of a compressed member may be a lie."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = max(size, 0)
        self._left = BUDGET
        self._reads = READS
        self._at = 0
        self._window = b""
        self._memo: dict[str, object] = {}

    @abstractmethod
    def _read(self, offset: int, count: int) -> bytes:
        """May return less; never raises."""

    @property
    def base(self) -> str:
        """The name without folders, in lower case."""
        return self.name.rpartition("/")[2].lower()

    @property
    def spent(self) -> bool:
        return self._left <= 0 or self._reads <= 0

    @property
    def reach(self) -> int:
        """How far reads can go: less than `size` when only the beginning of a member is unpacked."""
        return self.size

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes at `offset`; b"" beyond the end, or when the budget is spent."""
        self._reads -= 1
        if offset < 0 or count <= 0 or offset >= self.size or self.spent:
            return b""
        start = offset - self._at
        if start >= 0 and start + min(count, self.size - offset) <= len(self._window):
            return self._window[start : start + count]
        wanted = min(max(count, WINDOW), self.size - offset, self._left)
        data = self._read(offset, wanted)
        self._left -= len(data)
        if count <= WINDOW:
            self._at, self._window = offset, data
        return data[:count]

    @property
    def head(self) -> bytes:
        return self.memo("head", lambda blob: blob.read(0, HEAD))

    def tail(self, count: int) -> bytes:
        return self.read(max(self.size - count, 0), count)

    def memo(self, key: str, make: Callable[[Blob], T]) -> T:
        """`make(self)`, computed once under `key`."""
        if key not in self._memo:
            self._memo[key] = make(self)
        return self._memo[key]  # type: ignore[return-value]


class BytesBlob(Blob):
    """Bytes in memory. `size` beyond them says that there is more which cannot be read."""

    def __init__(self, name: str, data: bytes, size: int | None = None) -> None:
        super().__init__(name, len(data) if size is None else size)
        self._data = data

    @property
    def reach(self) -> int:
        return len(self._data)

    def _read(self, offset: int, count: int) -> bytes:
        return self._data[offset : offset + count]


class FileBlob(Blob):
    """A plain file. It is opened for each real read: a folder of thousands holds no descriptors."""

    def __init__(self, name: str, path: Path) -> None:
        try:
            size = path.stat().st_size
        except OSError:
            size = 0
        super().__init__(name, size)
        self._path = path

    def _read(self, offset: int, count: int) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.pread(descriptor, count, offset)
        except (OSError, OverflowError):
            return b""
        finally:
            os.close(descriptor)


class SliceBlob(Blob):
    """Part of another blob, byte for byte: a stored member of a zip, a file of a tar."""

    def __init__(self, name: str, parent: Blob, offset: int, size: int) -> None:
        super().__init__(name, size)
        self._parent = parent
        self._offset = offset

    @property
    def reach(self) -> int:
        return max(0, min(self.size, self._parent.reach - self._offset))

    def _read(self, offset: int, count: int) -> bytes:
        return self._parent.read(self._offset + offset, min(count, self.size - offset))
