"""The smallest HDF5 file that holds text attributes of its root: what a Keras .h5 is to whoever asks for its config.

Superblock version 0, object headers version 1 (HDF5 File Format Specification 3.0, sections II.A, IV.A.1); no library.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

NONE = 0xFFFFFFFFFFFFFFFF
MAGIC = b"\x89HDF\r\n\x1a\n"


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _attribute(name: str, text: str) -> bytes:
    """An Attribute message, version 1: a scalar string of fixed length."""
    raw, key = text.encode(), name.encode() + b"\0"
    kind = struct.pack("<BBBBI", 0x13, 0, 0, 0, len(raw))  # a string, padded with NUL
    space = struct.pack("<BBBBI", 1, 0, 0, 0, 0)
    head = struct.pack("<BBHHH", 1, 0, len(key), len(kind), len(space))
    return head + _pad(key) + _pad(kind) + _pad(space) + raw


def _message(kind: int, body: bytes) -> bytes:
    body = _pad(body)
    return struct.pack("<HHB3x", kind, len(body), 0) + body


def h5(attributes: Mapping[str, str]) -> bytes:
    """A file whose root group is empty and has these attributes (each below 64 KiB)."""
    start = 96  # behind the superblock
    messages = [_message(0x0011, bytes(16)), *(_message(0x000C, _attribute(*pair)) for pair in attributes.items())]
    size = sum(map(len, messages))
    header_end = start + 16 + size
    tree, heap = header_end, header_end + 24 + 65 * 8  # 33 keys and 32 children
    messages[0] = _message(0x0011, struct.pack("<QQ", tree, heap))
    header = struct.pack("<BxHII4x", 1, len(messages), 1, size) + b"".join(messages)
    node = b"TREE" + struct.pack("<BBHQQ", 0, 0, 0, NONE, NONE) + bytes(65 * 8)
    names = heap + 32
    local = b"HEAP" + struct.pack("<B3xQQQ", 0, 88, 8, names)
    segment = bytes(8) + struct.pack("<QQ", 1, 80) + bytes(64)
    end = names + 88
    root = struct.pack("<QQI4xQQ", 0, start, 1, tree, heap)
    superblock = MAGIC + struct.pack("<BBBBBBBBHHI", 0, 0, 0, 0, 0, 8, 8, 0, 4, 16, 0)
    superblock += struct.pack("<QQQQ", 0, NONE, end, NONE) + root
    assert len(superblock) == start, len(superblock)
    data = superblock + header + node + local + segment
    assert len(data) == end, (len(data), end)
    return data
