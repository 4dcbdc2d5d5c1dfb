"""The file operations of the store that can fail: one seam, so that a test can fail the Nth of them.

Rule 1: whoever writes below the store calls these as `fs.write(...)`, never os directly.
Rule 2: outside `guard` an OSError stays an OSError; `guard` turns it into a StoreError that
        says what was being done, where, and what to do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.errors import StoreError

FICLONE = 0x40049409  # linux/fs.h; asks the filesystem to share blocks, copy on write

_HINTS = {
    errno.ENOSPC: "Free space there, or let --store name a folder on another disk; it is tried again by itself.",
    errno.EDQUOT: "The quota there is used up: free space, or let --store name a folder on another disk.",
    errno.EROFS: "Mount it writable, or let --store name a folder that can be written.",
    errno.EACCES: "Give this user write access, or let --store name a folder that can be written.",
    errno.EPERM: "Give this user write access, or let --store name a folder that can be written.",
    errno.ENOTDIR: "A file is in the way: remove it, or let --store name another folder.",
    errno.EEXIST: "A file is in the way: remove it, or let --store name another folder.",
}


@contextmanager
def guard(doing: str, path: Path) -> Iterator[None]:
    """OSErrors of the body as StoreError: what was being done, where, why, and the next step."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = _HINTS.get(error.errno or 0, "Look at the disk under it; `gateway doctor` tests the store.")
        raise StoreError(f"the store cannot be used while {doing}: {path}: {reason}.", hint=hint) from error


def make_folder(path: Path) -> None:
    """Create the folder and its parents; fine when it is there."""
    path.mkdir(parents=True, exist_ok=True)


def create(path: Path) -> int:
    """A descriptor of a new file, to write and to read back; the file must not exist."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def write(descriptor: int, data: bytes | memoryview) -> None:
    """All of `data`, however many calls it takes."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def clone(source: int, target: int) -> bool:
    """Let `target` share the blocks of `source`. False where the filesystem cannot."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False
    return True


def sync(descriptor: int) -> None:
    os.fsync(descriptor)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make names in this folder as durable as the files they name."""
    sync_file(path)


def rename(source: Path, target: Path) -> None:
    source.rename(target)


def sync_tree(folder: Path, *, files: bool = True) -> None:
    """Everything below on the disk, the folders themselves included."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names if files else ():
            sync_file(Path(parent, name))
        sync_folder(Path(parent))


def write_file(path: Path, data: bytes) -> None:
    """A new file with `data`, on the disk when this returns."""
    descriptor = create(path)
    try:
        write(descriptor, data)
        sync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, scratch: Path) -> None:
    """`path` has the old content or the new one, never a part. `scratch` is a free name on the same disk."""
    try:
        write_file(scratch, data)
        rename(scratch, path)
    except OSError:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise


def remove_tree(path: Path) -> None:
    """Best effort: what cannot be removed now is removed when the store is opened next."""
    shutil.rmtree(path, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of all files below. Files that go away meanwhile count 0."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total
