"""zip and tar written byte by byte, with every field open to a lie: what no packer would write."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

REGULAR = 0o100644 << 16
LINK = 0o120777 << 16
DEVICE = 0o020666 << 16


@dataclass
class Entry:
    """One member of a forged zip. What is None is the truth; the rest is written as it stands."""

    name: bytes
    data: bytes = b""
    method: int = 0
    flags: int = 0x800
    attributes: int = REGULAR
    raw: bytes | None = None  # packed bytes
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    at: int | None = None  # where the directory says that the header is
    local_name: bytes | None = None
    local_method: int | None = None
    local_flags: int | None = None
    local_size: int | None = None
    local_crc: int | None = None
    extra: bytes = b""
    local_extra: bytes = b""
    after: bytes = b""  # hidden bytes behind the member
    disk: int = 0
    in_file: bool = True  # False: only a row of the directory
    listed: bool = True  # False: only a member of the file
    places: list[int] = field(default_factory=list)

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return deflated(self.data) if self.method == 8 else self.data


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def zip_of(
    entries: Sequence[Entry],
    *,
    before: bytes = b"",
    comment: bytes = b"",
    behind: bytes = b"",
    count: int | None = None,
    offset: int | None = None,
    disk: int = 0,
    tail: bytes = b"",
) -> bytes:
    """The archive. `tail` stands between the last row of the directory and the end record, counted as directory."""
    out = bytearray(before)
    rows = bytearray()
    for entry in entries:
        body, at = entry.body(), len(out)
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        packed = len(body) if entry.packed is None else entry.packed
        if entry.in_file:
            name = entry.name if entry.local_name is None else entry.local_name
            method = entry.method if entry.local_method is None else entry.local_method
            flags = entry.flags if entry.local_flags is None else entry.local_flags
            own_crc = crc if entry.local_crc is None else entry.local_crc
            own_size = size if entry.local_size is None else entry.local_size
            own_packed = packed
            if flags & 8:
                own_crc = own_packed = own_size = 0
            out += struct.pack(
                "<4s5H3I2H", b"PK\3\4", 20, flags, method, 0, 33, own_crc, own_packed, own_size, len(name),
                len(entry.local_extra),
            )  # fmt: skip
            out += name + entry.local_extra + body
            if flags & 8:
                out += struct.pack("<4s3I", b"PK\7\x08", crc, packed, size)
            out += entry.after
        if entry.listed:
            where = at if entry.at is None else entry.at
            rows += struct.pack(
                "<4s6H3I5H2I", b"PK\1\2", 3 << 8 | 20, 20, entry.flags, entry.method, 0, 33, crc, packed, size,
                len(entry.name), len(entry.extra), 0, entry.disk, 0, entry.attributes, where,
            )  # fmt: skip
            rows += entry.name + entry.extra
    rows += tail
    number = sum(entry.listed for entry in entries) if count is None else count
    start = len(out) if offset is None else offset
    end = struct.pack("<4s4H2IH", b"PK\5\6", disk, 0, number, number, len(rows), start, len(comment))
    return bytes(out + rows + end + comment + behind)


def quoted_overlap(kernel: bytes, copies: int) -> bytes:
    """Every row of the directory leads to the same member: the simplest bomb of overlapping files."""
    again = [Entry(b"b%d" % number, kernel, 8, at=0, in_file=False) for number in range(copies)]
    return zip_of([Entry(b"a", kernel, 8), *again])


def overlap() -> bytes:
    """The data of one member is a whole other member, and both are listed: each header is right."""
    inner = Entry(b"b", b"abc")
    hidden = zip_of([inner])[: 30 + 1 + 3]
    return zip_of([Entry(b"a", hidden), Entry(b"b", b"abc", at=30 + 1, in_file=False)])


def differing_ends() -> bytes:
    """A wide end record, of two members, before a short one, of one: readers of each see another archive."""
    whole, part = zip_of([Entry(b"a"), Entry(b"b")]), zip_of([Entry(b"a")])
    members, row = 2 * 31, 46 + 1
    wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, 2 * row, members)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, members + 2 * row, 1)
    return whole[: members + 2 * row] + wide + locator + part[31 + row :]


def header(name: bytes, size: int = 0, kind: bytes = b"0", *, link: bytes = b"", prefix: bytes = b"") -> bytes:
    """One block of a tar with the right checksum."""
    block = bytearray(512)
    block[: len(name[:100])] = name[:100]
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"%011o\0" % 0
    block[156:157] = kind
    block[157 : 157 + len(link)] = link
    block[257:265] = b"ustar\x0000"
    block[345 : 345 + len(prefix)] = prefix
    return checked(block)


def checked(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"x") -> bytes:
    return header(name, len(data)) + padded(data)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    body = b""
    for key, value in records:
        line = b" " + key + b"=" + value + b"\n"
        size = len(line) + 1
        while size != len(line) + len(b"%d" % size):
            size = len(line) + len(b"%d" % size)
        body += b"%d" % size + line
    return header(b"PaxHeader", len(body), kind) + padded(body)


def long_name(name: bytes) -> bytes:
    return header(b"././@LongLink", len(name) + 1, b"L") + padded(name + b"\0")


END = bytes(1024)


def gzipped(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    return stream.compress(data) + stream.flush()


def by_tarfile(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()
