"""Frames: what goes in comes out, bit for bit; what is damaged is told and allocates nothing."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.dtypes import BY_NAME, Array, Tensors, numpy_dtype
from gateway.errors import BadFrame, PeerGone, StoreError, UnsupportedType
from gateway.process import wire


def strings(*items: object) -> Array:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def of_dtype(name: str) -> Array:
    """Six elements with all bits in use, as (2, 3)."""
    if name == "string":
        return strings(b"", b"\x00\xff", "größe".encode(), b"x" * 300, b"\n", b"'").reshape(2, 3)
    if name == "bool":
        return np.array([[True, False, True], [False, False, True]])
    kind = numpy_dtype(name)
    rng = np.random.default_rng(7)
    if BY_NAME[name].kind in "iu":
        return np.frombuffer(rng.bytes(6 * kind.itemsize), dtype=kind).reshape(2, 3)
    return (rng.standard_normal(6) * 100).reshape(2, 3).astype(kind)


ROUND_TRIPS: dict[str, Tensors] = {
    **{f"dtype {name}": {"x": of_dtype(name)} for name in BY_NAME},
    "no tensor at all": {},
    "a scalar keeps no dimension": {"x": np.array(2.5, dtype=np.float32)},
    "no element": {"x": np.zeros((0, 3), np.int64), "after": np.ones(1, np.int8)},
    "no string": {"x": np.empty((0,), dtype=object)},
    "odd sizes are aligned": {"a": np.arange(3, dtype=np.uint8), "b": np.arange(5.0), "c": np.arange(7, dtype=np.int8)},
    "order is kept, names are any text": {"z": np.ones(1), "a/b:0": np.zeros(1), "größe \n\"'": np.ones(2)},
    "not contiguous": {"x": np.arange(24, dtype=np.int32).reshape(4, 6)[::2, ::-1]},
    "every second of a row": {"x": np.arange(9, dtype=np.float32)[::2]},
    "Fortran order": {"x": np.asfortranarray(np.arange(6.0).reshape(2, 3))},
    "not a number": {"x": np.array([np.nan, np.inf, -np.inf, -0.0])},
}


def assert_same(found: Tensors, expected: Tensors) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("tensors", ROUND_TRIPS.values(), ids=ROUND_TRIPS.keys())
def test_file(tensors: Tensors, tmp_path: Path) -> None:
    wire.save(tmp_path / "t", tensors, {"k": [1, None]})
    header, found = wire.load_with_header(tmp_path / "t")
    assert header == {"k": [1, None]}
    assert_same(found, tensors)
    for array in found.values():
        assert array.dtype == object or array.ctypes.data % wire.ALIGN == 0 or not array.size


@pytest.mark.parametrize("tensors", ROUND_TRIPS.values(), ids=ROUND_TRIPS.keys())
def test_socket(tensors: Tensors) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, {"call": "run"}, tensors)
        header, found = wire.recv(theirs)
    assert header == {"call": "run"}
    assert_same(found, tensors)


def test_negative_zero_and_nan_keep_their_bits(tmp_path: Path) -> None:
    bits = np.array([0x80000000, 0x7FC00001, 0xFF800000], dtype=np.uint32)
    wire.save(tmp_path / "t", {"x": bits.view(np.float32)})
    np.testing.assert_array_equal(wire.load(tmp_path / "t")["x"].view(np.uint32), bits, strict=True)


def test_foreign_order_and_text_arrive_in_our_form(tmp_path: Path) -> None:
    wire.save(
        tmp_path / "t", {"big": np.array([1, 258], ">i4"), "text": np.array(["ä", "b"]), "bytes": np.array([b"q"])}
    )
    found = wire.load(tmp_path / "t")
    np.testing.assert_array_equal(found["big"], np.array([1, 258], np.int32), strict=True)
    np.testing.assert_array_equal(found["text"], strings("ä".encode(), b"b"), strict=True)
    np.testing.assert_array_equal(found["bytes"], strings(b"q"), strict=True)


def test_larger_than_the_socket_buffer_and_many_tensors() -> None:
    tensors: Tensors = {f"t{i}": np.full(i % 7, i, np.float64) for i in range(2000)} | {"big": np.arange(2_000_000.0)}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=wire.send, args=(ours, {}, tensors))
        sender.start()
        _, found = wire.recv(theirs, deadline=time.monotonic() + 30)
        sender.join(30)
    assert_same(found, tensors)


UNSENDABLE: dict[str, tuple[Array, type[Exception]]] = {
    "an object that is no string": (strings(b"x", 3), BadFrame),
    "a dtype that has no row": (np.zeros(2, "datetime64[s]"), UnsupportedType),
}


@pytest.mark.parametrize("case", UNSENDABLE.values(), ids=UNSENDABLE.keys())
def test_what_cannot_be_sent_leaves_nothing_half_sent(case: tuple[Array, type[Exception]]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(case[1]):
            wire.send(ours, {}, {"good": np.ones(3), "bad": case[0]})
        wire.send(ours, {"next": 1})
        assert wire.recv(theirs) == ({"next": 1}, {})


def frame(header: Any, body: bytes = b"", body_bytes: int | None = None, *, raw: bytes | None = None) -> bytes:
    """A frame with a good checksum around anything."""
    text = raw if raw is not None else json.dumps(header).encode()
    start = struct.pack("<4sIQ", wire.MAGIC, len(text), len(body) if body_bytes is None else body_bytes)
    return start + struct.pack("<I", zlib.crc32(text, zlib.crc32(start))) + text + body


def entry(
    name: Any = "x", dtype: Any = "float32", shape: Any = (2,), offset: Any = 0, count: Any = 8
) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape, "offset": offset, "bytes": count}


def one(body: bytes = bytes(8), **changes: Any) -> bytes:
    return frame({"header": {}, "tensors": [entry(**changes)]}, body)


DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "another magic": b"PK\x03\x04" + one()[4:],
    "header is not JSON": frame(None, raw=b"{"),
    "header is 100000 brackets deep": frame(None, raw=b"[" * 100_000),
    "header is not UTF-8": frame(None, raw=b'{"header": {}, "tensors": [], "\xff": 1}'),
    "header is a list": frame([]),
    "no tensors": frame({"header": {}}),
    "tensors is an object": frame({"header": {}, "tensors": {}}),
    "a tensor is a number": frame({"header": {}, "tensors": [3]}),
    "a key more": frame({"header": {}, "tensors": [entry() | {"more": 1}]}, bytes(8)),
    "name is a number": one(name=3),
    "name twice": frame({"header": {}, "tensors": [entry(), entry(offset=64)]}, bytes(72)),
    "unknown dtype": one(dtype="float31"),
    "dtype is a list": one(dtype=["float32"]),
    "shape is a number": one(shape=2),
    "negative dimension": one(shape=[-2]),
    "two negative dimensions": one(shape=[-1, -2]),
    "dimension is true": one(shape=[True, 2]),
    "dimension is a float": one(shape=[2.0]),
    "2^120 elements": one(shape=[1 << 40] * 3),
    "2^61 elements of a byte": one(dtype="uint8", shape=[1 << 61], count=1 << 61),
    "a huge dimension beside a zero": one(shape=[0, 1 << 61], count=0, body=b""),
    "33 dimensions": one(shape=[1] * 32 + [2]),
    "shape and bytes differ": one(shape=[3]),
    "bytes is negative": one(count=-8),
    "offset is negative": one(offset=-64),
    "offset leaves a hole": one(offset=64, body=bytes(72)),
    "offset is not aligned": frame({"header": {}, "tensors": [entry(), entry("y", offset=8)]}, bytes(16)),
    "two share bytes": frame({"header": {}, "tensors": [entry(), entry("y")]}, bytes(8)),
    "past the body": one(body=bytes(4)),
    "bytes that nobody claims": one(body=bytes(9)),
    "body is missing": frame({"header": {}, "tensors": [entry()]}, b"", 8),
    "body ends early": frame({"header": {}, "tensors": [entry()]}, bytes(3), 8),
    "bool that is 2": one(dtype="bool", body=bytes([1, 2]), count=2),
    "string length past the end": one(b"\xff\xff\xff\xff", dtype="string", shape=[1], count=4),
    "string without length": one(b"\x00\x00", dtype="string", shape=[0], count=2),
    "a million strings in 8 bytes": one(dtype="string", shape=[1_000_000]),
    "strings end early": one(struct.pack("<I", 5) + b"abcde" + b"\x00", dtype="string", shape=[2], count=10),
    "bytes after the last string": one(struct.pack("<I", 0) + b"z", dtype="string", shape=[1], count=5),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(data)
    with pytest.raises(BadFrame):
        wire.load(path)
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            sender = threading.Thread(target=ours.sendall, args=(data,))
            sender.start()
            sender.join(10)
        with pytest.raises(BadFrame):
            wire.recv(theirs, limit=1 << 20)


def test_every_byte_of_a_header_counts(tmp_path: Path) -> None:
    """Each byte before the body, changed in each of three ways, is found out; so is each early end."""
    path = tmp_path / "t"
    wire.save(path, {"x": np.arange(4, dtype=np.float32), "s": strings(b"ab", b"")}, {"id": 3})
    good = path.read_bytes()
    body = struct.unpack_from("<Q", good, 8)[0]
    for place in range(len(good) - body):
        for change in (0x01, 0x80, 0xFF):
            bad = bytearray(good)
            bad[place] ^= change
            path.write_bytes(bad)
            with pytest.raises(BadFrame):
                wire.load(path)
    for end in range(len(good)):
        path.write_bytes(good[:end])
        with pytest.raises(BadFrame):
            wire.load(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(BadFrame):
        wire.load(path)


CLAIMS: dict[str, bytes] = {
    "4 EiB of body": struct.pack("<4sIQI", wire.MAGIC, 64, 1 << 62, 0) + bytes(64),
    "4 GiB of header": struct.pack("<4sIQI", wire.MAGIC, 0xFFFFFFFF, 0, 0) + bytes(64),
    "1 GiB of body in a small file": frame(
        {"header": {}, "tensors": [entry("x", "uint8", [1 << 30], 0, 1 << 30)]}, b"", 1 << 30
    ),
}


@pytest.mark.parametrize("data", CLAIMS.values(), ids=CLAIMS.keys())
def test_claims_are_checked_before_memory_is_taken(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(BadFrame):
            wire.load(tmp_path / "t")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_recv_refuses_what_is_over_its_limit() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, {}, {"x": np.zeros(2048, np.uint8)})
        with pytest.raises(BadFrame, match="2048 bytes, at most 2000"):
            wire.recv(theirs, limit=2000)


def test_a_closed_peer_and_a_silent_one() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with pytest.raises(TimeoutError):
            wire.recv(ours, deadline=time.monotonic() + 0.05)
        with pytest.raises(TimeoutError):  # nobody reads: the buffer fills
            wire.send(ours, {}, {"x": np.zeros(1 << 24, np.uint8)}, deadline=time.monotonic() + 0.1)
        theirs.close()
        with pytest.raises(PeerGone):
            wire.recv(ours)
        with pytest.raises(PeerGone):
            wire.send(ours, {})


def link(path: Path) -> None:
    wire.save(path.with_name("elsewhere"), {})
    path.symlink_to(path.with_name("elsewhere"))


NOT_PLAIN: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
    "a link": (link, BadFrame),
    "a pipe does not hang": (os.mkfifo, BadFrame),
    "a folder": (Path.mkdir, BadFrame),
    "not there": (lambda path: None, StoreError),
}


@pytest.mark.parametrize("case", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_only_plain_files_are_read(case: tuple[Callable[[Path], object], type[Exception]], tmp_path: Path) -> None:
    case[0](tmp_path / "t")
    with pytest.raises(case[1]):
        wire.load(tmp_path / "t")


def test_a_full_disk_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="No space left"):
        wire.save(Path("/dev/full"), {"x": np.ones(3)})
