"""Paddle's files of parameters: walked record by record, refused with file, record and offset."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from gateway.errors import CorruptModel
from gateway.formats.paddle_records import check
from tests.formats.paddle.written import record

WHOLE = record(5, [2, 3]) + record(3, []) + record(0, [4, 1], packed=True) + record(6, [2], levels=[bytes(16)])
FIRST = len(record(5, [2, 3]))
BROKEN = {
    "a size of 2^62": (record(5, [1 << 62], data=b""), r"parameter 0, at byte 0 of \d+: sizes \[4611686018427387904\]"),
    "sizes whose product is absurd": (record(5, [1 << 31] * 4, data=b""), "need 850705917302346158658436518579420"),
    "a size below nothing": (record(5, [-1], data=b""), r"sizes \[-1\]"),
    "a type that is none": (record(25, [1]), "numbers of type 25, which Paddle has not"),
    "no type": (bytes(16) + struct.pack("<i", 2) + b"\x10\x01" + bytes(4), "numbers of type -1"),
    "2^40 levels": (bytes(4) + struct.pack("<Q", 1 << 40) + bytes(40), "1099511627776 levels, expected 0 and few"),
    "a level past the end": (bytes(4) + struct.pack("<QQ", 1, 1 << 50) + bytes(9), "a level of 1125899906842624 bytes"),
    "a description of 2 GiB": (bytes(16) + struct.pack("<i", (1 << 31) - 1), "a description of 2147483647 bytes"),
    "a description of less than nothing": (bytes(16) + struct.pack("<i", -5), "a description of 4294967291 bytes"),
    "packed sizes past the end": (bytes(16) + struct.pack("<i", 4) + b"\x08\x05\x12\x7f", "a field of 127 bytes in a"),
    "a number without an end": (bytes(16) + struct.pack("<i", 4) + b"\x08\x05\x10\xff", "a number without an end"),
    "a number of 70 bits": (bytes(16) + struct.pack("<i", 14) + b"\x08\x05\x10" + b"\xff" * 11, "more than 64 bits"),
    "a group": (bytes(16) + struct.pack("<i", 3) + b"\x08\x05\x13", "a field of wire type 3"),
    "a field of its own": (bytes(16) + struct.pack("<i", 4) + b"\x08\x05\x18\x01", "field 3 of a tensor's description"),
    "the second record cut": (WHOLE[: FIRST + 9], rf"parameter 1, at byte {FIRST} of {FIRST + 9}: 8 bytes were"),
    "another version": (b"\x01" + bytes(30), "version 1 and 0 levels"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str, tmp_path: Path) -> None:
    data, said = BROKEN[name]
    (tmp_path / "m.pdiparams").write_bytes(data)
    with pytest.raises(CorruptModel, match=said) as caught:
        check(tmp_path / "m.pdiparams", "m.pdiparams")
    assert caught.value.message.startswith("m.pdiparams: parameter ")


def test_whole_ones_are_counted(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(WHOLE)
    assert check(tmp_path / "m", "m") == 4
    (tmp_path / "m").write_bytes(b"")
    assert check(tmp_path / "m", "m") == 0


def test_damage_is_told_or_harmless(tmp_path: Path) -> None:
    """Cut at 64 places, and 200 flipped bits: an error with the place, or as many records as bytes allow."""
    dice, told = random.Random(8), 0
    damaged = [WHOLE[: len(WHOLE) * n // 64] for n in range(64)]
    for _ in range(200):
        copy = bytearray(WHOLE)
        copy[dice.randrange(len(copy))] ^= 1 << dice.randrange(8)
        damaged.append(bytes(copy))
    for data in damaged:
        (tmp_path / "m").write_bytes(data)
        try:
            assert 0 <= check(tmp_path / "m", "m") <= 4
        except CorruptModel:
            told += 1
    assert told >= 60
