"""Which kind of archive a file is, by its bytes, and opening it.

Rule 1: a file is opened without following links, and is plain.
Rule 2: other packers are named and refused; they are never handed to another library.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from gateway.archive.base import Archive, Limits
from gateway.archive.tars import Tar, Tgz, is_header
from gateway.archive.zips import Zip
from gateway.errors import CorruptArchive, DropError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
OTHERS = {
    b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "Zstandard", b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR", b"\x04\x22\x4d\x18": "LZ4", b"MSCF": "a cabinet", b"\x60\xea": "ARJ",
}  # fmt: skip
KINDS: dict[str, type[Archive]] = {"zip": Zip, "tar": Tar, "tgz": Tgz}
HEAD = 512


def kind_of(head: bytes) -> str:
    """ "zip", "tar", "tgz", or "" for what is none of them, from the first 512 bytes of a file."""
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[:3] == b"\x1f\x8b\x08":
        return "tgz"
    return "tar" if is_header(head[:HEAD]) else ""


def open_archive(path: Path, limits: Limits | None = None) -> Archive:
    """The archive, listed and checked. Errors: UnsafeArchive, CorruptArchive, DropError when it cannot be read."""
    shown = path.name if path.name.isprintable() else ascii(path.name)
    try:
        stream = _open(path)
        head = stream.read(HEAD)
    except OSError as error:
        raise DropError(f"{shown} cannot be read: {error.strerror or error}.") from None
    try:
        kind = KINDS.get(kind_of(head))
        if kind is None:
            raise _unknown(shown, head)
        return kind(path, stream, limits or Limits())
    except BaseException as error:
        stream.close()
        if isinstance(error, OSError):
            raise DropError(f"{shown} cannot be read: {error.strerror or error}.") from None
        raise


def _open(path: Path) -> BinaryIO:
    """A plain file; never hangs on a pipe. Whether it may have a second name is for its finder to say."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is not a plain file", str(path))
    return os.fdopen(descriptor, "rb", buffering=0)


def _unknown(shown: str, head: bytes) -> CorruptArchive:
    other = next((name for magic, name in OTHERS.items() if head.startswith(magic)), "")
    found = f"is packed with {other}" if other else f"starts with {head[:8].hex(' ') or 'nothing'}"
    return CorruptArchive(
        [f"{found}; zip, tar and tar.gz are unpacked"],
        where=shown,
        hint="Unpack it and drop the folder, or pack it as zip or tar.gz.",
    )
