"""tar (ustar, pax, GNU's long names) and tar.gz, read strictly, block by block.

A member is a header of 512 bytes, then its data padded to 512. Two blocks of zeros end the archive.

Rule 1: plain files and folders only: links, devices, FIFOs, sparse and continued files are refused.
Rule 2: what a pax record says of a name or a size replaces the header's; records are bounded.
Rule 3: a tar.gz is unpacked as a stream: no more than a piece of it is ever in memory, and its whole
        size is bounded while it is listed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

from gateway.archive import names
from gateway.archive.base import CHUNK, Archive, Findings, Limits, Member

BLOCK = 512
MAX_RECORD = 64 << 10  # bytes of one pax record or long name
MAX_PADDING = 1 << 20  # zeros behind the end: tar fills its last 10 KiB, some tapes more
FILES = (b"0", b"\0", b"7")
FOLDER = b"5"
REFUSED = {b"1": "a hard link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a FIFO",
           b"S": "a sparse file", b"D": "a folder's listing", b"M": "a part of another volume",
           b"V": "a volume's label", b"N": "a name in an old form"}  # fmt: skip
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = b"L", b"K", b"x", b"g"
_STRUCTURAL = ("path", "size", "linkpath", "GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.name", "hdrcharset")


def is_header(block: bytes) -> bool:
    """A block whose checksum is right: the only sign that old archives have."""
    if len(block) < BLOCK or not block[0]:
        return False
    try:
        said = _octal(block[148:156])
    except ValueError:
        return False
    plain = block[:148] + b" " * 8 + block[156:BLOCK]
    return said in (sum(plain), sum(byte - 256 if byte > 127 else byte for byte in plain))


def _octal(field: bytes) -> int:
    text = field.split(b"\0", 1)[0].strip()
    if not text:
        return 0
    if not all(48 <= byte < 56 for byte in text):
        raise ValueError(f"{field!r} is no octal number")
    return int(text, 8)


def _number(field: bytes) -> int:
    """Octal, or GNU's base 256. Errors: ValueError, for negative ones too."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40:
            raise ValueError("a negative number")
        return value
    return _octal(field)


class _Broken(Exception):
    """The archive cannot be followed any further; the reason is its text."""


class _Source:
    """Bytes of a tar from first to last: a file, or what a gzip file unpacks to. `at` is where it stands."""

    def __init__(self, archive: Tar) -> None:
        self._archive = archive
        self._limits = archive.limits
        self._size = archive.file_bytes
        self._inflate = zlib.decompressobj(31) if archive.packed else None
        self._raw = b""
        self._waiting = bytearray()
        self.at = 0
        self.read_bytes = 0

    def read(self, count: int) -> bytes:
        """`count` bytes, or what is left. Errors: _Broken."""
        if self._inflate is None:
            data = self._archive.at(self.at, count)
            self.at += len(data)
            return data
        while len(self._waiting) < count and self._more():
            pass
        data = bytes(self._waiting[:count])
        del self._waiting[:count]
        self.at += len(data)
        return data

    def skip(self, count: int) -> int:
        """Leave out up to `count` bytes; returns how many there were."""
        if self._inflate is None:
            there = max(0, min(count, self._size - self.at))
            self.at += there
            return there
        done = 0
        while done < count and (piece := self.read(min(CHUNK, count - done))):
            done += len(piece)
        return done

    def _more(self) -> bool:
        """One more piece of a gzip file, which may be several, one behind the other. False at its end."""
        assert self._inflate is not None
        if not self._raw:
            self._raw = self._archive.at(self.read_bytes, CHUNK // 4)
            self.read_bytes += len(self._raw)
            if not self._raw and self._inflate.eof:
                return False
        try:
            if self._inflate.eof:
                if not any(self._raw):  # padding, as tapes have it
                    self._raw = b""
                    return True
                self._inflate = zlib.decompressobj(31)
            piece = self._inflate.decompress(self._raw, CHUNK)
            if not self._raw and not piece and not self._inflate.eof:
                raise _Broken("the gzip data ends before its end")
            self._waiting += piece
        except zlib.error as error:
            raise _Broken(f"the gzip data is damaged: {error}") from None
        self._raw = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        made, limits = self.at + len(self._waiting), self._limits
        if made > limits.slack_bytes and made > self.read_bytes * limits.ratio:
            raise _Bomb(f"{self.read_bytes} bytes unpack to {made} and more, over {limits.ratio} times as much: a bomb")
        if made > limits.total_bytes + limits.members * 4 * BLOCK:
            raise _Bomb(f"it unpacks to more than the limit of {limits.total_bytes} bytes")
        return True


class _Bomb(_Broken):
    """More bytes than an honest archive would hold."""


class Tar(Archive):
    kind = "tar"
    packed: ClassVar[bool] = False

    def __init__(self, path: Path, stream: BinaryIO, limits: Limits) -> None:
        """Errors: UnsafeArchive, CorruptArchive, with every problem."""
        super().__init__(path, stream, limits)
        findings = Findings(limits)
        self._places = _Lister(_Source(self), findings).run()
        findings.check(self.shown)
        self.members = tuple(Member(name, self._places[name][1]) for name in sorted(self._places))

    def chunks(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        source = _Source(self)
        for name in sorted(set(wanted), key=lambda name: self._places[name]):
            offset, left = self._places[name]
            try:
                source.skip(offset - source.at)
                while left:
                    piece = source.read(min(CHUNK, left))
                    if not piece:
                        raise _Broken(f"the file ends inside {names.shown(name)}")
                    left -= len(piece)
                    yield name, piece
            except _Broken as error:
                raise self._broken(str(error)) from None
            yield name, b""


class Tgz(Tar):
    kind = "tgz"
    packed = True


class _Lister:
    """Walks the headers once; everything wrong goes into `findings`."""

    def __init__(self, source: _Source, findings: Findings) -> None:
        self.source = source
        self.findings = findings
        self.files: dict[str, tuple[int, int]] = {}
        self.listed: list[Member] = []
        self.folders: list[str] = []
        self.count = 0
        self.long_name: bytes | None = None
        self.pax: dict[str, bytes] = {}

    def run(self) -> dict[str, tuple[int, int]]:
        """Name -> (offset, size) of every file."""
        try:
            while self.step():
                pass
        except _Bomb as error:
            self.findings.unsafe.append(str(error))
        except (_Broken, ValueError) as error:
            self.findings.broken.append(f"at byte {self.source.at}: {error}")
        self.findings.together(self.listed, self.folders)
        return self.files

    def step(self) -> bool:
        block = self.source.read(BLOCK)
        if not any(block):
            self.end(block)
            return False
        if len(block) < BLOCK:
            raise _Broken("it ends inside a header")
        if not is_header(block):
            raise _Broken("this is no header of a member: its checksum is wrong")
        self.count += 1
        # Records of names count too: a million of them would cost as much as a million files.
        if self.count > 3 * self.findings.limits.members or len(self.listed) > self.findings.limits.members:
            self.findings.large.append(f"it has more members than the limit of {self.findings.limits.members}")
            return False
        kind, size = block[156:157], _number(block[124:136])
        if kind in (LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL):
            self.record(kind, size)
            return True
        self.member(block, kind, size)
        self.long_name, self.pax = None, {}
        return True

    def end(self, block: bytes) -> None:
        """Two blocks of zeros, or a file that stops there; then nothing but zeros."""
        if not self.count or self.pax or self.long_name is not None:
            raise _Broken("it ends before a member")
        left = MAX_PADDING
        while piece := self.source.read(min(CHUNK, left)):
            if any(piece):
                self.findings.unsafe.append("bytes behind its end belong to no member")
                return
            left -= len(piece)
            if not left:
                raise _Broken("more than 1 MiB of zeros lie behind its end")

    def record(self, kind: bytes, size: int) -> None:
        if size > MAX_RECORD:
            raise _Broken(f"a name or a record has {size} bytes, expected at most {MAX_RECORD}")
        data = self.source.read(-(-size // BLOCK) * BLOCK)
        if len(data) < size:
            raise _Broken("it ends inside a name or a record")
        if kind == LONG_NAME:
            self.long_name = data[:size].split(b"\0", 1)[0]
        elif kind in (PAX, PAX_GLOBAL):
            found = _records(data[:size])
            if kind == PAX:
                self.pax |= found
            elif structural := [key for key in _STRUCTURAL if key in found]:
                self.findings.unsafe.append(f"a record for all members sets {', '.join(structural)}")

    def member(self, block: bytes, kind: bytes, size: int) -> None:
        raw = self.name(block)
        if "size" in self.pax:
            size = int(self.pax["size"]) if self.pax["size"].isdigit() and len(self.pax["size"]) < 20 else -1
            if size < 0:
                raise _Broken(f"{names.shown(raw)} has the size {self.pax['size'][:20]!r}")
        holds = kind in FILES or (kind == FOLDER and size)
        offset = self.source.at
        padded = -(-size // BLOCK) * BLOCK if kind in FILES or kind not in REFUSED or size else 0
        if kind in REFUSED or any(key.startswith("GNU.sparse") for key in self.pax):
            self.findings.unsafe.append(f"{names.shown(raw)} is {REFUSED.get(kind, 'a sparse file')}")
            padded = 0 if kind in (b"1", b"2", b"3", b"4", b"6") else padded
        elif kind not in FILES and kind != FOLDER:
            self.findings.unsafe.append(f"{names.shown(raw)} is of the unknown type {kind!r}")
        elif kind not in (FOLDER, b"\0") and raw.endswith(b"/"):
            self.findings.unsafe.append(f"{names.shown(raw)} is a file by its type and a folder by its name")
        else:  # before ustar a folder had no type, only a slash
            self.take(raw, kind == FOLDER or raw.endswith(b"/"), offset, size, bool(holds))
        there = self.source.skip(padded)
        if there < size and padded:
            raise _Broken(f"it ends inside {names.shown(raw)}: {size} bytes were expected, {there} are there")

    def take(self, raw: bytes, folder: bool, offset: int, size: int, holds: bool) -> None:
        try:
            name = names.clean(names.decode(raw)).removesuffix("/")
        except ValueError as error:
            self.findings.unsafe.append(str(error))
            return
        if not name and folder:
            return  # the root of the archive itself
        if not self.findings.name(name):
            return
        if folder:
            if size and holds:
                self.findings.unsafe.append(f"{names.shown(name)} is a folder that holds {size} bytes")
            self.folders.append(name)
            return
        self.listed.append(Member(name, size))
        self.files[name] = (offset, size)

    def name(self, block: bytes) -> bytes:
        """The member's name as bytes; a pax record comes before GNU's long name, that before the header."""
        if "path" in self.pax:
            return self.pax["path"]
        if self.long_name is not None:
            return self.long_name
        name = block[:100].split(b"\0", 1)[0]
        prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
        return prefix + b"/" + name if prefix else name


def _records(data: bytes) -> dict[str, bytes]:
    """pax: "LENGTH KEY=VALUE\\n", where LENGTH counts all of it. Errors: _Broken."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + 8)
        digits = data[at:blank] if blank > at else b""
        size = int(digits) if digits.isdigit() else 0
        if not size or at + size > len(data):
            raise _Broken("a pax record breaks its own rules")  # a length of 0 would be read for ever
        key, equals, value = data[blank + 1 : at + size].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise _Broken("a pax record breaks its own rules")
        found[key.decode("utf-8", "replace")] = value[:-1]
        at += size
    return found
