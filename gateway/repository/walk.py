"""The files below one folder of a repository: which count, and which are not safe to read.

Rule 1: a link is followed when what it leads to lies inside the repository, and refused when not.
Rule 2: hard links, FIFOs, sockets and devices are refused: their bytes may belong elsewhere.
Rule 3: every problem is collected; nothing is opened but folders, and never more than the limits.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway import config
from gateway.errors import DropError, GatewayError, UnsafeDrop

# Written by tools while a transfer runs. What they end up as is scanned; they are only watched.
_TEMPORARY = re.compile(r".*(\.part|\.partial|\.tmp|\.crdownload|\.download|\.filepart|\.swp|\.swx|~)", re.IGNORECASE)
_NOT_MODELS = re.compile(
    r"\..*|readme.*|_SUCCESS|__pycache__|__MACOSX|lost\+found|thumbs\.db|desktop\.ini", re.IGNORECASE
)


# TensorFlow 1 writes them for a checkpoint that is saved under a folder's name alone.
_NAMELESS = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})")


def is_temporary(name: str) -> bool:
    """A name that a tool gives a file only while it writes it; rsync's is `.NAME.XXXXXX`."""
    return _TEMPORARY.fullmatch(name) is not None or re.fullmatch(r"\..+\.[A-Za-z0-9]{6}", name) is not None


def is_ignored(name: str) -> bool:
    """Does it count nothing, as README and what is hidden?"""
    return is_temporary(name) or (_NOT_MODELS.fullmatch(name) is not None and not _NAMELESS.fullmatch(name))


def printable(name: str) -> str:
    """`name` as it can stand in a log line, whatever bytes it is made of."""
    if name.isprintable():
        return name
    return ascii(os.fsencode(name))[2:-1]


def names_in(folder: str | Path) -> list[str]:
    """What lies in a folder, in order. Errors: OSError."""
    return sorted(path.name for path in Path(folder).iterdir())


def inside(path: str, boundary: str) -> bool:
    return path == boundary or path.startswith(boundary.rstrip("/") + "/")


def resolve(path: str, boundary: str, shown: str) -> tuple[str, os.stat_result]:
    """Where `path` leads, and what is there: never a link.

    Errors: UnsafeDrop for a link that leaves `boundary`, leads nowhere or in a circle; OSError.
    """
    status = os.lstat(path)
    if not stat.S_ISLNK(status.st_mode):
        return path, status
    real = os.path.realpath(path)
    if not inside(real, boundary):
        raise UnsafeDrop(
            f"{shown} is a link to {printable(real)}, which is outside the repository.",
            hint="Copy the file itself into the repository (cp -rL).",
        )
    try:
        status = os.lstat(real)
    except FileNotFoundError:
        raise UnsafeDrop(f"{shown} is a link to {printable(real)}, which does not exist.") from None
    if stat.S_ISLNK(status.st_mode) or real == boundary:
        raise UnsafeDrop(f"{shown} is a link that leads in a circle, to {printable(real)}.")
    return real, status


@dataclass(frozen=True)
class FileStat:
    """One file of a drop. `name` is relative to the drop; `path` is where it lies, links resolved.

    `owner` is True for what is not the model itself: model.toml, labels, the owner's vectors.
    """

    name: str
    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    owner: bool = False

    @classmethod
    def of(cls, name: str, path: str, status: os.stat_result, *, owner: bool = False) -> FileStat:
        return cls(
            name,
            Path(path),
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
            status.st_dev,
            owner,
        )

    def same_file(self, status: os.stat_result) -> bool:
        """Is this still the file, with the content, that was seen?"""
        mine = (self.size, self.mtime_ns, self.ctime_ns, self.inode, self.device)
        return mine == (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


class Walk:
    """All files below one place. Collects what is unsafe instead of stopping at the first."""

    MAX_DEPTH = 32

    def __init__(self, boundary: str, shown: str, watch: config.Watch, *, hard_links: bool = False) -> None:
        """`hard_links` are taken as they are: for a file that a person has named, not for what lies in a folder."""
        self.hard_links = hard_links
        self.boundary = boundary
        self.shown = shown
        self.watch = watch
        self.files: list[FileStat] = []
        self.moving: list[str] = []  # temporary names: a transfer that still grows is not settled
        self.unsafe: list[GatewayError] = []
        self.gone = False  # something vanished while we looked
        self.too_many = False
        self._steps = 0

    def folder(self, folder: str, prefix: str = "", above: tuple[tuple[int, int], ...] = ()) -> None:
        """Everything below `folder`, which is not a link. Errors: OSError when it cannot be listed."""
        status = os.lstat(folder)
        here = (status.st_dev, status.st_ino)
        if here in above or len(above) > self.MAX_DEPTH:
            why = "is a link that leads in a circle" if here in above else "is more than 32 folders deep"
            self.unsafe.append(UnsafeDrop(f"{self.shown}/{prefix.rstrip('/')} {why}."))
            return
        for name in names_in(folder):
            self._steps += 1
            # Links to folders can multiply without holding one file: entries are counted, not only files.
            if len(self.files) > self.watch.max_drop_files or self._steps > 4 * self.watch.max_drop_files + 1000:
                self.too_many = True
                return
            shown = f"{self.shown}/{prefix}{printable(name)}"
            self._attempt(shown, partial(self._entry, folder, name, prefix, (*above, here)))

    def file(self, path: str, name: str, shown: str, *, owner: bool = False) -> None:
        """One file, which may be a link."""
        self._attempt(shown, lambda: self._leaf(*resolve(path, self.boundary, shown), name, shown, owner=owner))

    def problems(self) -> list[GatewayError]:
        """What is unsafe or unreadable, each message once."""
        return list({error.message: error for error in self.unsafe}.values())

    def _attempt(self, shown: str, look: Callable[[], None]) -> None:
        try:
            look()
        except FileNotFoundError:
            self.gone = True
        except GatewayError as problem:
            self.unsafe.append(problem)
        except OSError as error:
            self.unsafe.append(DropError(f"{shown} cannot be read: {error.strerror}."))

    def _entry(self, folder: str, name: str, prefix: str, above: tuple[tuple[int, int], ...]) -> None:
        if is_ignored(name):
            if is_temporary(name):
                status = os.lstat(f"{folder}/{name}")
                self.moving.append(f"{prefix}{name} {status.st_size} {status.st_mtime_ns}")
            return
        shown = f"{self.shown}/{prefix}{printable(name)}"
        if not name.isprintable():
            raise UnsafeDrop(f"{shown} has a name that cannot be printed as UTF-8 text.", hint="Rename it.")
        real, status = resolve(f"{folder}/{name}", self.boundary, shown)
        if stat.S_ISDIR(status.st_mode):
            self.folder(real, f"{prefix}{name}/", above)
        else:
            self._leaf(real, status, prefix + name, shown)

    def _leaf(self, real: str, status: os.stat_result, name: str, shown: str, *, owner: bool = False) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeDrop(f"{shown} is {_kind(status.st_mode)}; a model is made of plain files.", hint="Remove it.")
        if status.st_nlink > 1 and not self.hard_links:
            raise UnsafeDrop(
                f"{shown} is a hard link: the same file has {status.st_nlink} names, and the others may lie anywhere.",
                hint=f"Give it a content of its own: cp --reflink=auto {shown} copy && mv copy {shown}",
            )
        self.files.append(FileStat.of(name, real, status, owner=owner))


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
    }
    return kinds.get(stat.S_IFMT(mode), "not a plain file")
