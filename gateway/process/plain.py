"""Opening and taking files that an untrusted child may have made: plain ones, or none at all.

Rule 1: a folder of the child is walked by descriptors, never through a link; its family is dead by then.
Rule 2: a name that a child gives is the name of one file in its own `out`, or an error.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import IO

NOT_PLAIN = (errno.ELOOP, errno.ENXIO)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MAX_FILES, MAX_DEPTH = 100_000, 32


class NotPlain(Exception):
    """What a child left is not what a child may leave; the message is the end of a sentence."""


def open_plain(path: Path, *, write: bool = False, at: int | None = None) -> IO[bytes]:
    """`path` unbuffered, for reading, or reading and writing. `at` is the descriptor of a folder it is relative to.

    Links, pipes, folders, devices and files of two names raise OSError with ELOOP. Never hangs: opening a pipe
    with nobody at the other end would.
    """
    descriptor = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | _FILE, dir_fd=at)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is not a plain file", str(path))
    return os.fdopen(descriptor, "r+b" if write else "rb", buffering=0)


def inside(out: Path, name: object) -> Path:
    """`out`/`name`, where that is a plain file lying right in a folder that is no link. Errors: NotPlain."""
    if not isinstance(name, str) or not name or name in (".", "..") or "/" in name or "\0" in name:
        raise NotPlain(f"it names {str(name)[:200]!r}, which is not the name of a file in its folder")
    try:
        folder = os.open(out, _FOLDER)
        try:
            open_plain(Path(name), at=folder).close()
        finally:
            os.close(folder)
    except OSError as error:
        raise NotPlain(f"it names {name!r}, which cannot be opened as a plain file: {error.strerror}") from None
    return out / name


def take(made: Path, out: Path) -> None:
    """Everything in `made`, a child's folder, into the folder `out`: plain files and folders, at any depth.

    Files are renamed where that is possible, else copied. Errors: NotPlain before anything is taken; OSError.
    """
    try:
        source = os.open(made, _FOLDER)
    except OSError as error:
        raise NotPlain(f"its folder {made.name} is not a folder: {error.strerror}") from None
    try:
        files, folders = _list(source)
        out.mkdir(parents=True, exist_ok=True)
        for name in folders:
            (out / name).mkdir(exist_ok=True)
        for name in files:
            _take_one(source, name, out / name)
    finally:
        os.close(source)


def _list(source: int) -> tuple[list[str], list[str]]:
    """Relative names of files and of folders, outer ones first. Errors: NotPlain."""
    files: list[str] = []
    folders: list[str] = []
    for root, names, plain_names, at in os.fwalk(".", dir_fd=source, follow_symlinks=False):
        place = root.removeprefix(".").removeprefix("/")
        for name in (*names, *plain_names):
            status = os.stat(name, dir_fd=at, follow_symlinks=False)
            shown = f"{place}/{name}" if place else name
            if not name.isprintable() or shown.count("/") >= MAX_DEPTH:
                raise NotPlain(f"it left {shown[:200]!r}, a name that is not printable or lies too deep")
            if stat.S_ISDIR(status.st_mode):
                folders.append(shown)
            elif stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                files.append(shown)
            else:
                raise NotPlain(f"it left {shown[:200]!r}, which is a link, has two names or is no file")
        if len(files) + len(folders) > MAX_FILES:
            raise NotPlain(f"it left more than {MAX_FILES} files")
    return sorted(files), folders


def _take_one(source: int, name: str, target: Path) -> None:
    with open_plain(Path(name), at=source) as stream:
        if os.fstat(stream.fileno()).st_uid == os.geteuid():
            try:
                os.fchmod(stream.fileno(), 0o644)
                os.rename(name, target, src_dir_fd=source)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
            else:
                return
        with target.open("xb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
