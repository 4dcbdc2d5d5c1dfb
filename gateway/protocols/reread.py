"""Things made of files that are read again when the files have changed: certificates, credentials.

Rule 1: the first reading must succeed; a later one that fails leaves what there was, and says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from gateway.errors import GatewayError

log = logging.getLogger("gateway.access")

T = TypeVar("T")


class Reread(Generic[T]):
    """`value` is what `read()` made last. Errors of the first reading: those of `read`."""

    def __init__(self, what: str, files: Sequence[Path], read: Callable[[], T]) -> None:
        self._what = what
        self._files = tuple(files)
        self._read = read
        self._mark = self._look()
        self.value = read()

    def _look(self) -> tuple[object, ...]:
        marks: list[object] = []
        for file in self._files:
            try:
                found = file.stat()
                marks.append((found.st_ino, found.st_size, found.st_mtime_ns))
            except OSError:
                marks.append(None)
        return tuple(marks)

    def refresh(self, *, force: bool = False) -> bool:
        """Read again if a file has changed (or `force`). True when there is a new value."""
        mark = self._look()
        if mark == self._mark and not force:
            return False
        self._mark = mark
        try:
            self.value = self._read()
        except GatewayError as error:
            log.error("%s: not read again, what was there stays: %s", self._what, error.explain())
            return False
        log.info("%s: read again", self._what)
        return True
