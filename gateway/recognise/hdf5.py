"""HDF5, as much of it as tells what a file is: the root group's attributes and the names in it.

Superblock 0 to 3, object headers 1 and 2, symbol tables and link messages, short text attributes (fixed
length, or variable through the global heap). [HDF5 file format specification 3.0]

Rule 1: bounded and never raises: what is not understood is left out, and `complete` says so.
Rule 2: no dataset is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from gateway.recognise.blob import Blob

MAGIC = b"\x89HDF\r\n\x1a\n"
PLACES = (0, 512, 1024, 2048, 4096)  # a user block may stand before
MAX_MESSAGES = 512
MAX_NAMES = 256
MAX_TEXT = 4096
NIL, LINK_INFO, LINK, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE, ATTRIBUTE_INFO = 0, 0x02, 0x06, 0x10, 0x11, 0x0C, 0x15
_UNDEFINED = 0xFFFFFFFFFFFFFFFF


@dataclass
class Hdf5:
    """`attributes` of the root group, "" for one whose value is no short text; `names` of what lies in it."""

    version: int
    attributes: dict[str, str] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)  # name -> address of its object header
    end: int = 0  # where the file says that it ends
    complete: bool = True
    base: int = 0
    header: int = 0


def of(blob: Blob) -> Hdf5 | None:
    """The file as HDF5; None for anything else."""
    return blob.memo("hdf5", _open)


def _open(blob: Blob) -> Hdf5 | None:
    base = next((place for place in PLACES if blob.read(place, 8) == MAGIC), None)
    if base is None:
        return None
    block = blob.read(base, 128)
    version = block[8] if len(block) > 8 else -1
    file = Hdf5(version, base=base)
    try:
        if version in (0, 1):
            # sizes of offsets and lengths at 13, 14; then four addresses, then the root's symbol table entry
            if block[13:15] != b"\x08\x08":
                file.complete = False
                return file
            at = 24 if version == 0 else 28
            file.end = struct.unpack_from("<Q", block, at + 16)[0]
            file.header = struct.unpack_from("<Q", block, at + 40)[0]
        elif version in (2, 3):
            if block[9:11] != b"\x08\x08":
                file.complete = False
                return file
            file.end, file.header = struct.unpack_from("<QQ", block, 28)
        else:
            file.complete = False
            return file
        found = group(blob, file, file.header)
    except (struct.error, IndexError):
        file.complete = False
        return file
    file.attributes, file.names = found.attributes, found.names
    file.complete = found.complete
    return file


def group(blob: Blob, file: Hdf5, address: int) -> Hdf5:
    """Attributes and names of the group whose object header is at `address`."""
    found = Hdf5(file.version, base=file.base)
    try:
        for kind, body in _messages(blob, file, address):
            if kind == ATTRIBUTE:
                _attribute(blob, file, body, found)
            elif kind == LINK:
                _link(body, found)
            elif kind == SYMBOL_TABLE and len(body) >= 16:
                tree, heap = struct.unpack_from("<QQ", body)
                _symbols(blob, file, tree, heap, found)
            elif kind == ATTRIBUTE_INFO and len(body) >= 10 and body[-8:] != b"\xff" * 8:
                found.complete = False  # attributes in a fractal heap: many, or large
            elif kind == LINK_INFO and len(body) >= 18 and _dense_links(body):
                found.complete = False
    except (struct.error, IndexError):
        found.complete = False
    return found


def _dense_links(body: bytes) -> bool:
    at = 2 + (8 if body[1] & 1 else 0)
    return body[at : at + 8] != b"\xff" * 8


def _messages(blob: Blob, file: Hdf5, address: int) -> list[tuple[int, bytes]]:
    start = file.base + address
    head = blob.read(start, 16)
    if head[:4] == b"OHDR":
        return _messages_2(blob, file, start)
    if len(head) < 16 or head[0] != 1:
        file.complete = False
        return []
    (size,) = struct.unpack_from("<I", head, 8)
    blocks: list[tuple[int, int]] = [(start + 16, size)]
    found: list[tuple[int, bytes]] = []
    while blocks and len(found) < MAX_MESSAGES:
        at, left = blocks.pop(0)
        end = at + left
        while at + 8 <= end and len(found) < MAX_MESSAGES:
            kind, length = struct.unpack_from("<HH", _whole(blob, at, 8))
            body = blob.read(at + 8, length)
            at += 8 + length
            if kind == CONTINUATION and len(body) >= 16 and len(blocks) < 32:
                offset, length = struct.unpack_from("<QQ", body)
                blocks.append((file.base + offset, min(length, 1 << 20)))
            elif kind != NIL:
                found.append((kind, body))
    return found


def _messages_2(blob: Blob, file: Hdf5, start: int) -> list[tuple[int, bytes]]:
    flags = _whole(blob, start, 6)[5]
    at = start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(_whole(blob, at, width), "little")
    blocks: list[tuple[int, int]] = [(at + width, size)]
    found: list[tuple[int, bytes]] = []
    head = 6 if flags & 4 else 4
    while blocks and len(found) < MAX_MESSAGES:
        at, left = blocks.pop(0)
        end = at + left
        while at + head <= end and len(found) < MAX_MESSAGES:
            kind, length = struct.unpack_from("<BH", _whole(blob, at, 3))
            body = blob.read(at + head, length)
            at += head + length
            if kind == CONTINUATION and len(body) >= 16 and len(blocks) < 32:
                offset, length = struct.unpack_from("<QQ", body)
                blocks.append((file.base + offset + 4, min(max(length - 8, 0), 1 << 20)))  # "OCHK" ... checksum
            elif kind != NIL:
                found.append((kind, body))
    return found


def _whole(blob: Blob, at: int, count: int) -> bytes:
    data = blob.read(at, count)
    if len(data) < count:
        raise IndexError
    return data


def _attribute(blob: Blob, file: Hdf5, body: bytes, found: Hdf5) -> None:
    version, _, name_size, type_size, space_size = struct.unpack_from("<BBHHH", body)
    at = 8 + (1 if version == 3 else 0)
    wide = version == 1  # parts are padded to 8 bytes
    name = body[at : at + name_size].split(b"\0")[0].decode("utf-8", "replace")
    kind = body[at + _padded(name_size, wide) :][:type_size]
    value = body[at + _padded(name_size, wide) + _padded(type_size, wide) + _padded(space_size, wide) :]
    if not name or len(found.attributes) >= MAX_NAMES:
        return
    found.attributes[name] = _text(blob, file, kind, value)


def _padded(size: int, wide: bool) -> int:
    return (size + 7) // 8 * 8 if wide else size


def _text(blob: Blob, file: Hdf5, kind: bytes, value: bytes) -> str:
    """A scalar text of a fixed or a variable length; "" for anything else."""
    if len(kind) < 8:
        return ""
    number, (size,) = kind[0] & 15, struct.unpack_from("<I", kind, 4)
    if number == 3:
        return value[: min(size, MAX_TEXT)].split(b"\0")[0].decode("utf-8", "replace")
    if number == 9 and kind[1] & 15 == 1 and len(value) >= 16:  # variable length: a place in a global heap
        length, collection, index = struct.unpack_from("<IQI", value)
        return _heap_text(blob, file.base + collection, index, min(length, MAX_TEXT))
    return ""


def _heap_text(blob: Blob, collection: int, index: int, length: int) -> str:
    head = blob.read(collection, 16)
    if head[:4] != b"GCOL" or len(head) < 16:
        return ""
    at, end = collection + 16, collection + struct.unpack_from("<Q", head, 8)[0]
    for _ in range(MAX_MESSAGES):
        entry = blob.read(at, 16)
        if at >= end or len(entry) < 16:
            return ""
        number, size = struct.unpack_from("<H", entry)[0], struct.unpack_from("<Q", entry, 8)[0]
        if number == index:
            return blob.read(at + 16, min(size, length)).decode("utf-8", "replace")
        at += 16 + (size + 7) // 8 * 8
    return ""


def _link(body: bytes, found: Hdf5) -> None:
    flags = body[1]
    at = 2 + (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(body[at : at + width], "little")
    name = body[at + width : at + width + length].decode("utf-8", "replace")
    target = body[at + width + length :][:8]
    if name and len(found.names) < MAX_NAMES:
        hard = not flags & 8 or body[2] == 0
        found.names[name] = int.from_bytes(target, "little") if hard and len(target) == 8 else _UNDEFINED


def _symbols(blob: Blob, file: Hdf5, tree: int, heap: int, found: Hdf5) -> None:
    """Names through a version 1 B-tree of symbol nodes and a local heap."""
    head = blob.read(file.base + heap, 32)
    if head[:4] != b"HEAP" or len(head) < 32:
        found.complete = False
        return
    (data,) = struct.unpack_from("<Q", head, 24)
    _entries(blob, file, tree, data, found)


def _entries(blob: Blob, file: Hdf5, tree: int, data: int, found: Hdf5) -> None:
    stack, steps = [tree], 0
    while stack and steps < 256 and len(found.names) < MAX_NAMES:
        steps += 1
        at = file.base + stack.pop()
        node = blob.read(at, 24)
        if node[:4] == b"TREE" and len(node) == 24:
            (used,) = struct.unpack_from("<H", node, 6)
            children = blob.read(at + 24, 16 * min(used, 64) + 8)
            stack += [struct.unpack_from("<Q", children, 8 + 16 * i)[0] for i in range(max(len(children) - 8, 0) // 16)]
        elif node[:4] == b"SNOD":
            (count,) = struct.unpack_from("<H", node, 6)
            for i in range(min(count, 64)):
                entry = blob.read(at + 8 + 40 * i, 16)
                if len(entry) < 16:
                    found.complete = False
                    return
                offset, header = struct.unpack_from("<QQ", entry)
                name = blob.read(file.base + data + offset, 256).split(b"\0")[0].decode("utf-8", "replace")
                if name:
                    found.names[name] = header
        else:
            found.complete = False
