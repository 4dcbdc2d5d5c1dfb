"""Paddle's files of parameters, one tensor after the other, walked before Paddle opens them.

    u32 0 | u64 n, n levels of (u64 bytes, bytes) | u32 0 | i32 length | TensorDesc {1: type, 2: sizes} | the numbers

Rule 1: every size is checked against the bytes that are there: Paddle reserves what a record claims, and ends its
        process over some that it cannot have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gateway.errors import CorruptModel

SIZES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16, 32: 1, 33: 1}
"""Bytes of a number, by Paddle's number of its type."""
MOST_LEVELS, MOST_DESC, MOST_RANK = 16, 4096, 64


def check(path: Path, name: str) -> int:
    """How many tensors a file holds. Errors: CorruptModel with the record and its offset."""
    size, count, at = path.stat().st_size, 0, 0
    with path.open("rb") as stream:
        while at < size:
            try:
                at = _record(stream, at, size)
            except ValueError as error:
                raise CorruptModel(
                    f"{name}: parameter {count}, at byte {at} of {size}: {error}.",
                    hint="Copy the files again: one may be cut short, or of another model.",
                ) from None
            count += 1
    return count


def _record(stream: BinaryIO, at: int, size: int) -> int:
    """The place behind the record at `at`. Errors: ValueError."""
    stream.seek(at)
    version, levels = _number(stream, 4), _number(stream, 8)
    if version or levels > MOST_LEVELS:
        raise ValueError(f"version {version} and {levels} levels, expected 0 and few")
    for _ in range(levels):
        skipped = _number(stream, 8)
        if stream.tell() + skipped > size:
            raise ValueError(f"a level of {skipped} bytes, with {size - stream.tell()} left")
        stream.seek(skipped, 1)
    version, length = _number(stream, 4), _number(stream, 4)
    if version or not 0 < length <= MOST_DESC:
        raise ValueError(
            f"tensor version {version} with a description of {length} bytes, expected 0 and up to {MOST_DESC}"
        )
    kind, sizes = _described(_taken(stream, length))
    if kind not in SIZES:
        raise ValueError(f"numbers of type {kind}, which Paddle has not")
    if len(sizes) > MOST_RANK or any(n < 0 for n in sizes):
        raise ValueError(f"sizes {sizes[:8]}")
    needed = math.prod(sizes) * SIZES[kind]
    if stream.tell() + needed > size:
        raise ValueError(f"sizes {sizes} need {needed} bytes, {size - stream.tell()} are left")
    return stream.tell() + needed


def _described(data: bytes) -> tuple[int, list[int]]:
    """(type, sizes) of a TensorDesc; sizes one by one or packed. Errors: ValueError."""
    kind, sizes, fields = -1, list[int](), _fields(data)
    for number, wire, value in fields:
        if number == 1 and wire == 0:
            kind = int.from_bytes(value, "little")
        elif number == 2 and wire == 0:
            sizes.append(_signed(int.from_bytes(value, "little")))
        elif number == 2 and wire == 2:
            at = 0
            while at < len(value):
                one, at = _varint(value, at)
                sizes.append(_signed(one))
        else:
            raise ValueError(f"field {number} of a tensor's description, which has 1 and 2")
    return kind, sizes


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            yield key >> 3, 0, value.to_bytes(8, "little")
        elif key & 7 == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError(f"a field of {length} bytes in a description that has {len(data) - at} left")
            yield key >> 3, 2, data[at : at + length]
            at += length
        else:
            raise ValueError(f"a field of wire type {key & 7}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            raise ValueError("a number without an end")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value & (1 << 64) - 1, at
    raise ValueError("a number of more than 64 bits")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _number(stream: BinaryIO, count: int) -> int:
    return int.from_bytes(_taken(stream, count), "little")


def _taken(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise ValueError(f"{count} bytes were to follow at {stream.tell() - len(data)}, {len(data)} are left")
    return data
