"""Locks between threads and processes: flock on small files, which die with their holder.

Rule 1: no lock outlives its process, however it ends; nothing has to be cleaned up by hand.
Rule 2: every wait is bounded, and ends when `cancel` is set.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.errors import JobCancelled, StoreError
from gateway.repository import fs

POLL_S = 0.05


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """A descriptor that holds the lock, or None when somebody else has it. Errors: OSError."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            if _still_named(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder removed the file just before: take the new one


def _still_named(descriptor: int, path: Path) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def wait_lock(
    path: Path, *, shared: bool = False, cancel: threading.Event | None = None, timeout_s: float = 60.0
) -> int:
    """A descriptor that holds the lock. Errors: JobCancelled, StoreError after `timeout_s`, OSError."""
    end = time.monotonic() + timeout_s
    idle = cancel or threading.Event()
    while (descriptor := try_lock(path, shared=shared)) is None:
        if time.monotonic() >= end:
            raise StoreError(
                f"the lock {path} has been held by somebody else for {timeout_s:.0f} s.",
                hint="Another gateway on this store holds it, or hangs: `fuser` on the file names its process.",
            )
        if idle.wait(POLL_S):
            raise JobCancelled("nobody waits for this drop any more.")
    return descriptor


def release(descriptor: int, path: Path) -> None:
    """Give an exclusive lock back and remove its file, which is safe only while it is held."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
    os.close(descriptor)


def release_shared(descriptor: int, path: Path) -> None:
    """Give a shared lock back; the file goes when nobody else holds it."""
    os.close(descriptor)
    with suppress(OSError):
        last = try_lock(path)
        if last is not None:
            release(last, path)


def sweep(folder: Path, keep: Path) -> None:
    """Remove the lock files that killed processes left: those that nobody holds."""
    for path in folder.iterdir():
        descriptor = None if path == keep else try_lock(path)
        if descriptor is not None:
            release(descriptor, path)


class Pins:
    """Shared locks by name, counted: what anybody has pinned, here or in another process, is not removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, tuple[int, int]] = {}  # name -> (descriptor, how often)
        self._lock = threading.Lock()

    def pin(self, name: str) -> None:
        with self._lock, fs.guard("pinning", self._path(name)):
            held = self._held.get(name)
            descriptor = held[0] if held else wait_lock(self._path(name), shared=True)
            self._held[name] = (descriptor, held[1] + 1 if held else 1)

    def unpin(self, name: str) -> None:
        """Once for each pin; one too many does nothing."""
        with self._lock:
            held = self._held.pop(name, None)
            if held is None:
                return
            if held[1] > 1:
                self._held[name] = (held[0], held[1] - 1)
            else:
                release_shared(held[0], self._path(name))

    @contextmanager
    def unpinned(self, name: str) -> Iterator[bool]:
        """True while nobody has it pinned, and nobody can; False at once when somebody has."""
        descriptor = try_lock(self._path(name))
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                release(descriptor, self._path(name))

    def close(self) -> None:
        with self._lock:
            for name, (descriptor, _) in self._held.items():
                release_shared(descriptor, self._path(name))
            self._held.clear()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.pin"
