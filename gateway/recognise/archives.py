"""What lies in a zip, a tar or a gzip: the list of members, read without unpacking to disk and without trust.

Rule 1: bounded: at most MAX_MEMBERS names, MAX_LISTING bytes of directory, MAX_UNPACKED bytes out of one member.
Rule 2: never raises. A zip that is cut short is listed from its beginning, and `whole` is False.
Rule 3: names are as written: nothing here turns one into a path. Unpacking belongs to the safe extractor.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.recognise.blob import Blob, BytesBlob, SliceBlob

MAX_MEMBERS = 4096
MAX_LISTING = 4 << 20
MAX_UNPACKED = 4 << 20  # of one member
MAX_GZIP = 16 << 20  # of what a gzip holds
STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
_EOCD = b"PK\x05\x06"


@dataclass(frozen=True)
class Member:
    """`packed` bytes at `offset` of the archive become `size` bytes. `offset` is -1 when it is not known."""

    name: str
    size: int
    packed: int
    method: int
    offset: int
    encrypted: bool = False


@dataclass(frozen=True)
class Listing:
    """`whole` is False for an archive cut short; `total` what it says it holds when that is more than was listed."""

    kind: str  # "zip" or "tar"
    members: tuple[Member, ...]
    whole: bool = True
    total: int = 0
    opened: dict[str, Blob] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)


def of_zip(blob: Blob) -> Listing | None:
    """The members of a zip; None for anything else."""
    return blob.memo("zip", _zip)


def of_tar(blob: Blob) -> Listing | None:
    """The members of a tar; None for anything else."""
    return blob.memo("tar", _tar)


def member(blob: Blob, listing: Listing, name: str) -> Blob | None:
    """One member to look into; None when it is not there or is encrypted. Of a packed one, MAX_UNPACKED bytes."""
    if name not in listing.opened:
        found = next((m for m in listing.members if m.name == name), None)
        if found is None or found.encrypted or found.offset < 0:
            return None
        opened = _open(blob, found, listing.kind)
        if opened is None:
            return None
        listing.opened[name] = opened
    return listing.opened[name]


def _open(blob: Blob, found: Member, kind: str) -> Blob | None:
    start = found.offset
    if kind == "zip":
        local = blob.read(found.offset, 30)
        if len(local) < 30 or local[:4] != b"PK\x03\x04":
            return None
        name_length, extra_length = struct.unpack_from("<HH", local, 26)
        start += 30 + name_length + extra_length
    if found.method == STORED:
        return SliceBlob(found.name, blob, start, found.size)
    packed = blob.read(start, min(found.packed, MAX_UNPACKED))
    return BytesBlob(found.name, unpack(packed, found.method), found.size)


def unpack(packed: bytes, method: int, most: int = MAX_UNPACKED) -> bytes:
    """Up to `most` bytes out of `packed`, as far as they are sound."""
    try:
        if method == DEFLATED:
            return zlib.decompressobj(-15).decompress(packed, most)
        if method == BZIP2:
            return bz2.BZ2Decompressor().decompress(packed, most)
        if method == LZMA:
            return _lzma(packed, most)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError):
        return b""
    return b""


def _lzma(packed: bytes, most: int) -> bytes:
    """A zip's LZMA: version, length of the properties, properties, data."""
    if len(packed) < 9:
        return b""
    length = int.from_bytes(packed[2:4], "little")
    props = lzma._decode_filter_properties(lzma.FILTER_LZMA1, packed[4 : 4 + length])  # type: ignore[attr-defined]
    if props.get("dict_size", 0) > 64 << 20:
        return b""
    out = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[props]).decompress(packed[4 + length :], most)
    return bytes(out)


# -- zip -----------------------------------------------------------------------------------------


def _zip(blob: Blob) -> Listing | None:
    if blob.head[:4] not in (b"PK\x03\x04", _EOCD):
        return None
    directory = _directory(blob)
    if directory is not None:
        offset, size, total = directory
        members = _central(blob.read(offset, min(size, MAX_LISTING)))
        if members or total == 0:
            return Listing("zip", tuple(members), True, max(total, len(members)))
    if blob.reach < blob.size:
        return Listing("zip", tuple(_local(blob)), True)  # its end is out of reach: a large packed member
    return Listing("zip", tuple(_local(blob)), False)


def _directory(blob: Blob) -> tuple[int, int, int] | None:
    """(offset, size, members) of the central directory; None when the zip has no end."""
    tail = blob.tail(22 + 65_535)
    at = tail.rfind(_EOCD)
    if at < 0 or at + 22 > len(tail):
        return None
    total, size, offset = struct.unpack_from("<HII", tail, at + 10)
    end = blob.size - len(tail) + at
    if offset == 0xFFFFFFFF or size == 0xFFFFFFFF or total == 0xFFFF:
        locator = blob.read(end - 20, 20)
        if locator[:4] == b"PK\x06\x07" and len(locator) == 20:
            record = blob.read(struct.unpack_from("<Q", locator, 8)[0], 56)
            if record[:4] == b"PK\x06\x06" and len(record) == 56:
                total, size, offset = struct.unpack_from("<QQQ", record, 32)
    return (offset, size, total) if offset + size <= end else None


def _central(data: bytes) -> list[Member]:
    found: list[Member] = []
    at = 0
    while at + 46 <= len(data) and data[at : at + 4] == b"PK\x01\x02" and len(found) < MAX_MEMBERS:
        flags, method = struct.unpack_from("<HH", data, at + 8)
        packed, size, name_length, extra_length, comment = struct.unpack_from("<IIHHH", data, at + 20)
        (offset,) = struct.unpack_from("<I", data, at + 42)
        name = _name(data[at + 46 : at + 46 + name_length])
        extra = data[at + 46 + name_length : at + 46 + name_length + extra_length]
        size, packed, offset = _zip64(extra, size, packed, offset)
        found.append(Member(name, size, packed, method, offset, bool(flags & 1)))
        at += 46 + name_length + extra_length + comment
    return found


def _zip64(extra: bytes, *values: int) -> tuple[int, int, int]:
    """size, packed, offset with the 64-bit ones of the extra field in the place of 0xFFFFFFFF."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1:
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    result = []
    for value in values:
        if value == 0xFFFFFFFF and len(wide) >= 8:
            value, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        result.append(value)
    return result[0], result[1], result[2]


def _local(blob: Blob) -> list[Member]:
    """Members of a zip without an end, one local header after another, as long as they say their sizes."""
    found: list[Member] = []
    at = 0
    while len(found) < MAX_MEMBERS:
        head = blob.read(at, 30)
        if len(head) < 30 or head[:4] != b"PK\x03\x04":
            return found
        flags, method = struct.unpack_from("<HH", head, 6)
        packed, size, name_length, extra_length = struct.unpack_from("<IIHH", head, 18)
        names = blob.read(at + 30, name_length + extra_length)
        if len(names) < name_length:
            return found
        size, packed, _ = _zip64(names[name_length:], size, packed, 0)
        unsaid = bool(flags & 8) and packed == 0
        if unsaid and method == STORED:
            size = packed = max(blob.size - at, 0)  # it ends somewhere; what is read is the beginning
        elif unsaid:
            size, packed = MAX_UNPACKED, max(blob.size - at, 0)
        found.append(Member(_name(names[:name_length]), size, packed, method, at, bool(flags & 1)))
        if unsaid:
            return found
        at += 30 + name_length + extra_length + packed
    return found


def _name(raw: bytes) -> str:
    return raw[:1024].decode("utf-8", "replace").replace("\\", "/")


# -- tar and gzip --------------------------------------------------------------------------------


def _tar(blob: Blob) -> Listing | None:
    found: list[Member] = []
    at, long_name, ended = 0, "", False
    while len(found) < MAX_MEMBERS:
        block = blob.read(at, 512)
        if len(block) < 512 or not any(block):
            ended = len(block) == 512
            break
        size = _octal(block[124:136])
        if size < 0 or not _sum_fits(block):
            if not found:
                return None
            break
        kind, start = block[156:157], at + 512
        if kind in (b"L", b"x"):
            long_name = _long_name(blob.read(start, min(size, 8192)), kind) or long_name
        elif kind in (b"0", b"\0", b"7"):
            prefix = block[345:500].split(b"\0")[0] if block[257:262] == b"ustar" else b""
            plain = b"/".join(part for part in (prefix, block[:100].split(b"\0")[0]) if part)
            found.append(Member(long_name or _name(plain), size, size, STORED, start))
            long_name = ""
        at = start + (size + 511) // 512 * 512
    if not found:
        return None
    # What is out of reach (a large gzip) is not cut.
    return Listing("tar", tuple(found), ended or len(found) == MAX_MEMBERS or blob.reach < blob.size)


def _octal(raw: bytes) -> int:
    if raw[:1] == b"\x80":
        return int.from_bytes(raw[1:], "big")
    said = raw.strip(b" \0")
    try:
        return int(said, 8) if said else 0
    except ValueError:
        return -1


def _sum_fits(block: bytes) -> bool:
    """The header's checksum: what makes a tar of 512 bytes."""
    said = _octal(block[148:156])
    return said == sum(block[:148]) + 8 * 32 + sum(block[156:])


def _long_name(data: bytes, kind: bytes) -> str:
    if kind == b"L":
        return _name(data.split(b"\0")[0])
    for line in data.split(b"\n"):
        _, _, pair = line.partition(b" ")
        if pair.startswith(b"path="):
            return _name(pair[5:])
    return ""


PACKINGS: dict[bytes, tuple[str, Callable[[], zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor]]] = {
    b"\x1f\x8b\x08": ("gzip", lambda: zlib.decompressobj(31)),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": ("xz", lambda: lzma.LZMADecompressor(memlimit=128 << 20)),
}


def of_packed(blob: Blob) -> tuple[str, Blob] | None:
    """(gzip | bzip2 | xz, the beginning of what it holds); None for anything else."""
    return blob.memo("packed", _packed)


def _packed(blob: Blob) -> tuple[str, Blob] | None:
    entry = next((PACKINGS[magic] for magic in PACKINGS if blob.head.startswith(magic)), None)
    if entry is None:
        return None
    name, make = entry
    packed = blob.read(0, MAX_GZIP)
    engine, out, more = make(), b"", False
    try:
        out = engine.decompress(packed, MAX_GZIP)
        more = not engine.eof
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError):
        out = _as_far_as_it_goes(make, packed)
    inner = blob.name.rpartition("/")[2]
    for suffix in (".gz", ".bz2", ".xz", ".tgz"):
        inner = (
            inner[: -len(suffix)] + (".tar" if suffix == ".tgz" else "") if inner.lower().endswith(suffix) else inner
        )
    return name, BytesBlob(inner, out, len(out) + 1 if more and len(out) >= MAX_GZIP else len(out))


def _as_far_as_it_goes(
    make: Callable[[], zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor], packed: bytes
) -> bytes:
    engine, out = make(), b""
    try:
        for at in range(0, min(len(packed), 1 << 20), 4096):
            out += engine.decompress(packed[at : at + 4096], 1 << 20)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError):
        pass
    return out
