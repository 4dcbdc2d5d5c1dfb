"""Pickles written opcode by opcode: calls of any function with any arguments, which is what makes them programs.

A value is what Python would write: Call("os", "system", "touch x") is os.system("touch x") at the time of loading.
"""

from __future__ import annotations

import pickletools
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from tests.archive.forge import Entry, zip_of


@dataclass(frozen=True)
class Name:
    """A global: the function itself, not called."""

    module: str
    qualname: str


class Call:
    """The result of a call; `of` may be a Name or another Call, whose result is called."""

    def __init__(self, module: str, qualname: str, *arguments: Any, of: Any = None) -> None:
        self.of = Name(module, qualname) if of is None else of
        self.arguments = arguments


class Persistent:
    """A persistent id: what torch.save writes for a storage."""

    def __init__(self, pid: Any) -> None:
        self.pid = pid


def pickle(value: Any, protocol: int = 4) -> bytes:
    """`value` as a pickle; names of any depth need protocol 4."""
    data = bytes([0x80, protocol]) + _write(value, protocol) + b"."
    list(pickletools.genops(data))  # well formed, whatever it does
    return data


def _write(value: Any, protocol: int) -> bytes:
    if isinstance(value, Name):
        if protocol < 4:
            return f"c{value.module}\n{value.qualname}\n".encode()
        return _write(value.module, protocol) + _write(value.qualname, protocol) + b"\x93"
    if isinstance(value, Call):
        return _write(value.of, protocol) + _write(tuple(value.arguments), protocol) + b"R"
    if isinstance(value, Persistent):
        return _write(value.pid, protocol) + b"Q"
    if value is None or isinstance(value, bool):
        return b"N" if value is None else b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value) if -(1 << 31) <= value < 1 << 31 else _long(value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, tuple):
        return b"(" + b"".join(_write(item, protocol) for item in value) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(_write(item, protocol) for item in value) + b"e"
    if isinstance(value, dict):
        pairs = b"".join(_write(key, protocol) + _write(item, protocol) for key, item in value.items())
        return b"}(" + pairs + b"u"
    raise TypeError(type(value))


def _long(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def torch_zip(data: bytes, *, broken_crc: bool = False) -> bytes:
    """A .pt as torch.save writes it, around any pickle."""
    crc = zlib.crc32(data) ^ 1 if broken_crc else None
    return zip_of(
        [
            Entry(b"archive/data.pkl", data, crc=crc),
            Entry(b"archive/byteorder", b"little"),
            Entry(b"archive/data/0", bytes(8)),
            Entry(b"archive/version", b"3\n"),
        ]
    )


TORCH_MAGIC, TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def torch_legacy(data: bytes) -> bytes:
    """A .pt as torch before 1.6 wrote it: magic number, protocol, system, the object, its storages."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"\x80\x02" + _long(TORCH_MAGIC) + b"."
    return head + pickle(TORCH_PROTOCOL, 2) + pickle(system, 2) + data + pickle([], 2)


def npy_of_objects(data: bytes) -> bytes:
    """An .npy of objects, which is a header and a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data
