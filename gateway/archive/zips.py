"""zip, read strictly: the central directory is believed only where the file itself says the same.

Layout (PKWARE's APPNOTE 6.3): members [local header, data, descriptor]*, central directory, [zip64 end, locator],
end record. All integers little-endian.

Rule 1: the directory and the local headers must agree on name, method, flags, sizes and checksum:
        two readers that believe different ones would see two archives.
Rule 2: members lie one after the other, without overlaps and without hidden bytes before, between or after.
Rule 3: stored and deflated members only; nothing encrypted; plain files and folders only.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from gateway.archive import names
from gateway.archive.base import CHUNK, Archive, Findings, Limits, Member

END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
CENTRAL = struct.Struct("<4s6H3I5H2I")
LOCAL = struct.Struct("<4s5H3I2H")
STORED, DEFLATED = 0, 8
METHODS = {1: "shrunk", 6: "imploded", 9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd",
           99: "AES"}  # fmt: skip
ENCRYPTED = 0x0001 | 0x0040 | 0x2000  # with a password, strongly, with a hidden directory
PATCHED, DESCRIPTOR = 0x0020, 0x0008
TOLD_BY_BOTH = ENCRYPTED | PATCHED | DESCRIPTOR
MAX32, MAX16 = 0xFFFFFFFF, 0xFFFF
MAXIMA = (MAX16, MAX16, MAX16, MAX16, MAX32, MAX32)  # of the end record's numbers: look in the wide one
ZIP64, UNICODE_PATH = 0x0001, 0x7075  # ids of extra fields
MAX_DIRECTORY = 64 << 20  # bytes of the central directory that are read at all
MAX_GAP = 1 << 16  # bytes of zeros that may align members


@dataclass(frozen=True)
class _Entry:
    """One row of the central directory; `at` is where its local header stands."""

    raw: bytes
    name: str
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    at: int
    data: int = 0


class Zip(Archive):
    kind = "zip"

    def __init__(self, path: Path, stream: BinaryIO, limits: Limits) -> None:
        """Errors: UnsafeArchive, CorruptArchive, with every problem."""
        super().__init__(path, stream, limits)
        findings = Findings(limits)
        reader = _Reader(self, findings)
        self._entries = {entry.name: entry for entry in reader.entries()}
        findings.check(self.shown)
        self.members = tuple(Member(name, self._entries[name].size) for name in sorted(self._entries))

    def chunks(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for entry in sorted((self._entries[name] for name in set(wanted)), key=lambda entry: entry.at):
            crc = size = 0
            for piece in self._unpack(entry):
                crc, size = zlib.crc32(piece, crc), size + len(piece)
                if size > entry.size:
                    raise self._broken(f"{names.shown(entry.name)} unpacks to more than its {entry.size} bytes")
                yield entry.name, piece
            if size != entry.size or crc != entry.crc:
                raise self._broken(
                    f"{names.shown(entry.name)} unpacks to {size} bytes with checksum {crc:08x}, "
                    f"expected {entry.size} with {entry.crc:08x}"
                )
            yield entry.name, b""

    def _unpack(self, entry: _Entry) -> Iterator[bytes]:
        left, at = entry.packed, entry.data
        stream = zlib.decompressobj(-15) if entry.method == DEFLATED else None
        while left:
            raw = self.at(at, min(CHUNK, left))
            if not raw:
                raise self._broken(f"the file ends inside {names.shown(entry.name)}")
            left, at = left - len(raw), at + len(raw)
            if stream is None:
                yield raw
                continue
            try:
                while raw and not stream.eof:
                    if piece := stream.decompress(raw, CHUNK):
                        yield piece
                    raw = stream.unconsumed_tail
            except zlib.error as error:
                raise self._broken(f"{names.shown(entry.name)} is no deflated data: {error}") from None
            if stream.eof and (left or stream.unused_data):
                raise self._broken(f"{names.shown(entry.name)} has bytes behind the end of its data")
        while stream is not None and not stream.eof:
            if piece := stream.decompress(b"", CHUNK):  # what the last bytes meant, and a full piece held back
                yield piece
                continue
            raise self._broken(f"{names.shown(entry.name)}: its deflated data has no end")


class _Reader:
    """Reads and checks the directory; everything wrong goes into `findings`."""

    def __init__(self, archive: Zip, findings: Findings) -> None:
        self.archive = archive
        self.findings = findings
        self.size = archive.file_bytes

    def entries(self) -> list[_Entry]:
        """The files. What is wrong is noted; the list may then be short."""
        found = self.directory()
        if found is None:
            return []
        start, size, count = found
        rows = list(self.rows(self.at(start, size), count))
        placed = [entry for entry in map(self.local, rows) if entry is not None]
        self.places(placed, start)
        files = [entry for entry in placed if not entry.name.endswith("/")]
        folders = [entry.name.rstrip("/") for entry in placed if entry.name.endswith("/")]
        self.findings.together([Member(entry.name, entry.size) for entry in files], folders)
        return files

    def at(self, offset: int, count: int) -> bytes:
        return self.archive.at(offset, count)

    def broken(self, what: str) -> None:
        self.findings.broken.append(what)

    def directory(self) -> tuple[int, int, int] | None:
        """(offset, bytes, rows) of the central directory; None when there is none to believe."""
        tail_at = max(0, self.size - END.size - MAX16)
        tail = self.at(tail_at, self.size - tail_at)
        place = tail.rfind(b"PK\5\6")
        while place >= 0 and not self._is_end(tail, place):
            place = tail.rfind(b"PK\5\6", 0, place)
        if place < 0:
            self.broken("it has no end record: the file is cut short, or something was added behind it")
            return None
        if b"PK\5\6" in tail[place + 4 :]:
            self.broken("its comment holds another end record: two readers would see two archives")
            return None
        _, *told, _ = END.unpack_from(tail, place)
        end = tail_at + place
        located = self.at(end - LOCATOR.size, 4) == b"PK\6\7" if end >= LOCATOR.size else False
        if located or MAX32 in told[4:] or MAX16 in told[2:4]:
            found = self.directory64(end)
            if found is None:
                return None
            told, wide, end = found[:6], told, found[6]
            # Some writers (torch's) always add the wide record: it must say the same where both can.
            if any(short not in (long, most) for short, long, most in zip(wide, told, MAXIMA, strict=True)):
                self.broken("its two end records differ: two readers would see two archives")
                return None
        disk, disk_of, here, count, size, offset = told
        if disk or disk_of or here != count:
            self.broken("it is one of several volumes")
            return None
        if offset + size != end:
            self.broken(f"its directory should end at {offset + size} and ends at {end}: bytes lie before it or behind")
            return None
        if count > self.findings.limits.members:
            self.findings.large.append(f"it has {count} members, more than the limit of {self.findings.limits.members}")
            return None
        if size > MAX_DIRECTORY or size < count * CENTRAL.size:
            self.broken(f"its directory has {size} bytes for {count} members")
            return None
        return offset, size, count

    @staticmethod
    def _is_end(tail: bytes, place: int) -> bool:
        if place + END.size > len(tail):
            return False
        comment: int = END.unpack_from(tail, place)[7]
        return place + END.size + comment == len(tail)

    def directory64(self, end: int) -> list[int] | None:
        """The numbers of the wide end record, as in the short one, and where it stands."""
        raw = self.at(end - LOCATOR.size, LOCATOR.size) if end >= LOCATOR.size else b""
        if len(raw) < LOCATOR.size or raw[:4] != b"PK\6\7":
            self.broken("its end record speaks of a zip64 record that is not there")
            return None
        _, disk, place, disks = LOCATOR.unpack(raw)
        raw = self.at(place, END64.size) if place + END64.size <= end - LOCATOR.size else b""
        if disk or disks > 1 or len(raw) < END64.size or raw[:4] != b"PK\6\6":
            self.broken("its zip64 end record is not where it should be")
            return None
        _, length, _, _, disk, disk_of, here, count, size, offset = END64.unpack(raw)
        if place + 12 + length != end - LOCATOR.size:
            self.broken("its zip64 end record has another length than it says")
            return None
        return [disk, disk_of, here, count, size, offset, place]

    def rows(self, data: bytes, count: int) -> Iterator[_Entry]:
        at = 0
        for number in range(count):
            if at + CENTRAL.size > len(data) or data[at : at + 4] != b"PK\1\2":
                self.broken(f"row {number + 1} of its directory is cut short or no row")
                return
            row = CENTRAL.unpack_from(data, at)
            name_at = at + CENTRAL.size
            extra_at = name_at + row[10]
            at = extra_at + row[11] + row[12]
            if at > len(data):
                self.broken(f"row {number + 1} of its directory is cut short")
                return
            entry = self.row(row, data[name_at:extra_at], data[extra_at : extra_at + row[11]])
            if entry is not None:
                yield entry
        if at != len(data):
            self.broken("its directory has bytes behind its last row")

    def row(self, row: tuple[int, ...], raw: bytes, extra: bytes) -> _Entry | None:
        """One row that may become a file or a folder, or None with the reason noted."""
        flags, method, crc, packed, size, disk, attributes, at = (row[i] for i in (3, 4, 7, 8, 9, 13, 15, 16))
        found = self.fields(extra, raw)
        if found is None:
            return None
        wide = list(_wide(found.get(ZIP64, b"")))
        try:
            size = wide.pop(0) if size == MAX32 else size
            packed = wide.pop(0) if packed == MAX32 else packed
            at = wide.pop(0) if at == MAX32 else at
        except IndexError:
            self.broken(f"{names.shown(raw)} has no zip64 sizes where it says so")
            return None
        try:
            name = names.decode(raw)
        except ValueError as error:
            self.findings.unsafe.append(str(error))
            return None
        entry = _Entry(raw, name, method, flags, crc, packed, size, at)
        safe = self.findings.name(name.removesuffix("/"))
        return entry if self.allowed(entry, attributes, disk) and safe else None

    def allowed(self, entry: _Entry, attributes: int, disk: int) -> bool:
        told, unsafe, before = names.shown(entry.name), self.findings.unsafe, self._count()
        mode = attributes >> 16
        kind = 0 if mode == MAX16 and entry.name.endswith("/") else stat.S_IFMT(mode)  # all ones: an old Java packer
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            unsafe.append(f"{told} is {_kind(kind)}")
        if entry.flags & ENCRYPTED:
            unsafe.append(f"{told} is encrypted")
        elif entry.method not in (STORED, DEFLATED):
            named = METHODS.get(entry.method, "an unknown method")
            unsafe.append(f"{told} is packed with {named} ({entry.method}), expected stored or deflated")
        if entry.flags & PATCHED:
            unsafe.append(f"{told} is a patch for another archive")
        if disk:
            self.broken(f"{told} lies on another volume")
        if entry.name.endswith("/"):
            if entry.size:
                unsafe.append(f"{told} is a folder that holds {entry.size} bytes")
            if kind == stat.S_IFREG:
                unsafe.append(f"{told} is a file by its mode and a folder by its name")
        elif kind == stat.S_IFDIR:
            unsafe.append(f"{told} is a folder by its mode and a file by its name")
        if entry.method == STORED and entry.packed != entry.size:
            self.broken(f"{told} is stored, in {entry.packed} bytes, and has {entry.size}")
        self.findings.ratio(told, entry.size, entry.packed)
        return self._count() == before

    def _count(self) -> int:
        return len(self.findings.unsafe) + len(self.findings.broken)

    def fields(self, extra: bytes, raw: bytes) -> dict[int, bytes] | None:
        found: dict[int, bytes] = {}
        at = 0
        while at + 4 <= len(extra):
            number, size = struct.unpack_from("<2H", extra, at)
            if at + 4 + size > len(extra):
                break  # some writers pad with anything; what matters is asked for by its number
            found.setdefault(number, extra[at + 4 : at + 4 + size])
            at += 4 + size
        path = found.get(UNICODE_PATH, b"")
        if path and path[5:] != raw:
            self.findings.unsafe.append(f"{names.shown(raw)} has another name, {names.shown(path[5:])}, in its extras")
            return None
        return found

    def local(self, entry: _Entry) -> _Entry | None:
        """The entry with the place of its data, once its local header says the same."""
        told = names.shown(entry.name)
        raw = self.at(entry.at, LOCAL.size) if entry.at < self.size else b""
        if len(raw) < LOCAL.size or raw[:4] != b"PK\3\4":
            self.broken(f"{told} has no header at {entry.at}")
            return None
        _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = LOCAL.unpack(raw)
        rest = self.at(entry.at + LOCAL.size, name_size + extra_size)
        if len(rest) < name_size + extra_size:
            self.broken(f"the file ends inside the header of {told}")
            return None
        found = self.fields(rest[name_size:], rest[:name_size])
        if found is None:
            return None
        wide = list(_wide(found.get(ZIP64, b"")))
        if size == MAX32 or packed == MAX32:
            size = wide.pop(0) if size == MAX32 and wide else size
            packed = wide.pop(0) if packed == MAX32 and wide else packed
        differs = []
        if rest[:name_size] != entry.raw:
            differs.append(f"the name {names.shown(rest[:name_size])}")
        if method != entry.method or (flags ^ entry.flags) & TOLD_BY_BOTH:
            differs.append("another method or other flags")
        written = (crc, packed, size)
        later = bool(flags & DESCRIPTOR) and not any(written)
        # With a descriptor, writers put zeros or the truth here, and some the truth in part.
        if not later and any(
            mine != theirs and not (flags & DESCRIPTOR and mine in (0, MAX32))
            for mine, theirs in zip(written, (entry.crc, entry.packed, entry.size), strict=True)
        ):
            differs.append("other sizes or another checksum")
        if differs:
            self.findings.unsafe.append(f"{told} has {' and '.join(differs)} in its own header: two archives in one")
            return None
        data = entry.at + LOCAL.size + name_size + extra_size
        if data + entry.packed > self.size:
            self.broken(f"{told} ends at {data + entry.packed}, the file at {self.size}")
            return None
        return replace(entry, data=data)

    def places(self, entries: list[_Entry], directory: int) -> None:
        """Members lie one after the other from 0 to the directory: no overlap, nothing hidden."""
        if self._count() or self.findings.large:
            return  # what was left out above would look like a gap here
        end, before = 0, "the file's start"
        for entry in sorted(entries, key=lambda entry: (entry.at, entry.data)):
            if not self.gap(end, entry.at, before, names.shown(entry.name)):
                return
            end, before = entry.data + entry.packed, names.shown(entry.name)
            if entry.flags & DESCRIPTOR:
                end += self.descriptor(end, entry)
        self.gap(end, directory, before, "its directory")

    def gap(self, end: int, start: int, before: str, after: str) -> bool:
        if start < end:
            self.findings.unsafe.append(f"{before} and {after} overlap by {end - start} bytes: a bomb, or damaged")
            return False
        if start - end > MAX_GAP or any(self.at(end, start - end)):
            self.findings.unsafe.append(f"{start - end} bytes between {before} and {after} belong to no member")
            return False
        return True

    def descriptor(self, at: int, entry: _Entry) -> int:
        """Bytes of the record behind the data that repeats checksum and sizes; 0 when there is none."""
        raw = self.at(at, 24)
        for signature in (b"PK\7\x08", b""):
            for form in ("<3I", "<I2Q"):
                size = len(signature) + struct.calcsize(form)
                if len(raw) < size or not raw.startswith(signature):
                    continue
                if struct.unpack_from(form, raw, len(signature)) == (entry.crc, entry.packed, entry.size):
                    return size
        return 0


def _wide(field: bytes) -> tuple[int, ...]:
    """The 64-bit numbers of a zip64 extra field, in order."""
    count = min(len(field) // 8, 3)
    return struct.unpack_from(f"<{count}Q", field)


def _kind(kind: int) -> str:
    return {
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }.get(kind, "no plain file")
