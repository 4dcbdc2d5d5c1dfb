"""Files of parameters, written byte by byte as Paddle writes them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from gateway.formats.paddle_records import SIZES


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def record(
    kind: int, sizes: Sequence[int], *, levels: Sequence[bytes] = (), packed: bool = False, data: bytes | None = None
) -> bytes:
    """A tensor as Paddle writes it, of zeros unless `data` is given."""
    each = [varint(size) for size in sizes]
    told = b"\x12" + varint(len(b"".join(each))) + b"".join(each) if packed else b"".join(b"\x10" + one for one in each)
    desc = b"\x08" + varint(kind) + told
    count = 1
    for size in sizes:
        count *= max(size, 0)
    above = struct.pack("<Q", len(levels)) + b"".join(struct.pack("<Q", len(level)) + level for level in levels)
    numbers = bytes(count * SIZES.get(kind, 1)) if data is None else data
    return bytes(4) + above + struct.pack("<Ii", 0, len(desc)) + desc + numbers
