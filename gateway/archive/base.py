"""What every archive is once it is open: a list of plain files with safe names, readable in bounded pieces.

Rule 1: problems are collected over the whole archive and told together; with one problem nothing is read.
Rule 2: `extract` leaves all files or none: it writes beside its target and renames at the end.
Rule 3: files are made anew (never opened), plain, without links, not executable.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar, Self

from gateway.archive import names
from gateway.errors import CorruptArchive, GatewayError, StoreError, TooLarge, UnsafeArchive

CHUNK = 1 << 20
SHOWN_PROBLEMS = 12
MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may hold. `slack_bytes` may always be there, however small they are packed."""

    members: int = 10_000
    total_bytes: int = 8 << 30
    ratio: int = 200
    slack_bytes: int = MIB
    depth: int = 32


@dataclass(frozen=True)
class Member:
    """A plain file of an archive. `size` is what it unpacks to, as the archive says; reading checks it."""

    name: str
    size: int


@dataclass
class Findings:
    """What is wrong with an archive: with its shape (`broken`), or with what it would do (`unsafe`)."""

    limits: Limits
    unsafe: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)

    def name(self, name: str) -> bool:
        """Note what is wrong with one name; True when nothing is."""
        said = names.problem(name, self.limits.depth)
        if said:
            self.unsafe.append(said)
        return not said

    def together(self, files: Iterable[Member], folders: Iterable[str]) -> None:
        """Note what is wrong with all names and sizes together."""
        listed = list(files)
        self.unsafe.extend(names.collisions([member.name for member in listed], folders))
        total = sum(member.size for member in listed)
        if total > self.limits.total_bytes:
            self.large.append(f"its files have {total} bytes, more than the limit of {self.limits.total_bytes}")

    def ratio(self, what: str, size: int, packed: int) -> bool:
        """Note a bomb: `size` bytes out of `packed`. True when it is none."""
        if size <= self.limits.slack_bytes or size <= packed * self.limits.ratio:
            return True
        self.unsafe.append(
            f"{what} unpacks from {packed} to {size} bytes, more than {self.limits.ratio} times as much: a bomb"
        )
        return False

    def check(self, shown: str) -> None:
        """Errors: UnsafeArchive, CorruptArchive, with everything that was found."""
        found = [*self.unsafe, *self.large, *self.broken]
        if not found:
            return
        left = len(found) - SHOWN_PROBLEMS
        told = found[:SHOWN_PROBLEMS] + ([f"and {left} more problems"] if left > 0 else [])
        if self.unsafe:
            raise UnsafeArchive(
                told,
                where=shown,
                hint="Nothing of it was unpacked. If you trust it, unpack it yourself and drop the folder.",
            )
        if self.broken:
            raise CorruptArchive(told, where=shown, hint="Copy the file again; it may have been cut short.")
        raise UnsafeArchive(
            told, where=shown, hint="Drop the model only, or raise watch.max_drop_bytes and watch.max_drop_files."
        )


class Archive(ABC):
    """An open archive without problems. A context manager; `members` are sorted by name."""

    kind: ClassVar[str]

    def __init__(self, path: Path, stream: BinaryIO, limits: Limits) -> None:
        self.path = path
        self.shown = path.name if path.name.isprintable() else ascii(path.name)
        self.limits = limits
        self._stream = stream
        self.members: tuple[Member, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()

    @property
    def file_bytes(self) -> int:
        """Size of the archive's own file."""
        return os.fstat(self._stream.fileno()).st_size

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes of the archive's file, fewer at its end. Readings may cross: none moves a common place."""
        found = b""
        while count and (piece := os.pread(self._stream.fileno(), count, offset)):
            found = found + piece if found else piece
            offset, count = offset + len(piece), count - len(piece)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)

    @property
    def total_bytes(self) -> int:
        return sum(member.size for member in self.members)

    @abstractmethod
    def chunks(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """(name, next piece of at most CHUNK bytes) of the wanted files, each whole before the next; an empty
        piece ends a file.

        The order is the archive's. Errors: CorruptArchive when the bytes are not what the archive said.
        """

    def read(self, name: str, limit: int) -> bytes:
        """One file whole. Errors: KeyError for no such file, TooLarge over `limit` bytes, CorruptArchive."""
        size = self._size(name)
        if size > limit:
            raise TooLarge(f"{self.shown}: {names.shown(name)} has {size} bytes, expected at most {limit}.")
        return b"".join(piece for _, piece in self.chunks([name]))

    def head(self, name: str, count: int = 4096) -> bytes:
        """The first bytes of one file. Errors: KeyError, CorruptArchive."""
        self._size(name)
        found = b""
        for _, piece in self.chunks([name]):
            found += piece[: count - len(found)]
            if len(found) >= count:
                break
        return found

    def extract(
        self, target: Path, keep: Callable[[str], bool] | None = None, check: Callable[[], None] | None = None
    ) -> tuple[str, ...]:
        """Unpack into `target`, which must not exist or be an empty folder; returns the names, sorted.

        `keep` chooses among the names; `check` is called for each piece and may raise to stop. Whatever happens,
        all is there in the end or nothing is. Errors: CorruptArchive, StoreError (disk full ...).
        """
        wanted = [name for name in self.names if keep is None or keep(name)]
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir() and not target.is_symlink():
                target.rmdir()
            elif target.exists() or target.is_symlink():
                raise FileExistsError(17, "it is there already", str(target))
            beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        except OSError as error:
            raise self._unwritten(target, error) from error
        try:
            self._write(beside, wanted, check)
            beside.chmod(0o755)
            beside.rename(target)
        except OSError as error:
            raise self._unwritten(target, error) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return tuple(wanted)

    def _write(self, folder: Path, wanted: list[str], check: Callable[[], None] | None) -> None:
        out = -1
        try:
            for name, piece in self.chunks(wanted):
                if check is not None:
                    check()
                if out < 0:
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
                left = memoryview(piece)
                while left:
                    left = left[os.write(out, left) :]
                if not piece:
                    os.close(out)
                    out = -1
        finally:
            if out >= 0:
                os.close(out)

    def _size(self, name: str) -> int:
        for member in self.members:
            if member.name == name:
                return member.size
        raise KeyError(name)

    def _unwritten(self, target: Path, error: OSError) -> GatewayError:
        return StoreError(
            f"{self.shown} cannot be unpacked to {target}: {error.strerror or error}.",
            hint="Is there space, and may this user write there? Nothing of it was left behind.",
        )

    def _broken(self, what: str) -> CorruptArchive:
        return CorruptArchive([what], where=self.shown, hint="Copy the file again; it may have been damaged.")
