"""Tensors as bytes: one frame, the same in a file and on a socket, without pickle.

    offset  size
    0       4     magic "MGT1"
    4       4     u32 length of the JSON header, padded with blanks so that the body is 64-byte aligned
    8       8     u64 length of the body
    16      4     u32 CRC-32 of bytes 0..16 and of the JSON header
    20      ...   JSON: {"header": {...}, "tensors": [{"name", "dtype", "shape", "offset", "bytes"}, ...]}
    ...     ...   body: little-endian elements in C order, each tensor at a multiple of 64

A string tensor is, for each element, a u32 length and that many bytes. All integers are
little-endian.

Rule 1: every size is checked against the bytes that are there before anything is allocated;
        a frame that breaks a rule raises BadFrame, never anything else.
Rule 2: reading makes one buffer, and arrays are views of it (strings are not); writing copies
        only what is not contiguous and little-endian already.
Rule 3: the peer may be hostile: a file is opened without following links, and is plain.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gateway.core.dtypes import BY_NAME, Array, Tensors, name_of, numpy_dtype
from gateway.errors import BadFrame, PeerGone, StoreError
from gateway.process.plain import NOT_PLAIN, open_plain

MAGIC = b"MGT1"
ALIGN = 64
MAX_HEADER = 16 << 20  # bytes of JSON
MAX_DIMENSIONS = 32  # what every numpy we meet can hold
DEFAULT_LIMIT = 4 << 30  # bytes of one body on a socket
_PREAMBLE = struct.Struct("<4sIQ")
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_START = _PREAMBLE.size + _CRC.size
_IOV = 512  # buffers of one sendmsg; the kernel takes 1024

Buffer = bytes | memoryview


def save(path: Path, tensors: Tensors, header: Mapping[str, Any] | None = None) -> None:
    """Write one frame as the file `path`. Errors: StoreError (disk full ...), UnsupportedType for a foreign dtype."""
    buffers = _encode(header or {}, tensors)
    try:
        with path.open("wb", buffering=0) as stream:
            for buffer in buffers:
                view = memoryview(buffer)
                while view:
                    view = view[stream.write(view) or 0 :]
    except OSError as error:
        raise StoreError(f"tensors could not be written to {path.name}: {error.strerror}.") from error


def load(path: Path, *, limit: int | None = None) -> Tensors:
    """The tensors of a file that `save` wrote. Errors: BadFrame; StoreError where it cannot be read."""
    return load_with_header(path, limit=limit)[1]


def load_with_header(path: Path, *, limit: int | None = None) -> tuple[dict[str, Any], Tensors]:
    """Header and tensors of a file; `limit` bounds its bytes. Errors: BadFrame, StoreError."""
    try:
        with open_plain(path) as stream:
            there = os.fstat(stream.fileno()).st_size

            def fill(view: memoryview) -> None:
                while view:
                    count = stream.readinto(view)  # type: ignore[attr-defined]  # typing.IO lacks it
                    if not count:
                        raise BadFrame(f"{path.name} ends early: {len(view)} bytes more were expected.")
                    view = view[count:]

            header, tensors, used = _read(fill, there if limit is None else min(limit, there))
    except OSError as error:
        if error.errno in NOT_PLAIN:
            raise BadFrame(f"{path.name} is not a plain file.") from None
        raise StoreError(f"tensors could not be read from {path.name}: {error.strerror}.") from error
    if used != there:
        raise BadFrame(f"{path.name} has {there} bytes, expected {used}.")
    return header, tensors


def send(
    sock: socket.socket, header: Mapping[str, Any], tensors: Tensors | None = None, *, deadline: float | None = None
) -> None:
    """Send one frame. `deadline` is in time.monotonic() seconds. Errors: PeerGone, TimeoutError."""
    waiting = [memoryview(buffer) for buffer in _encode(header, tensors or {}) if len(buffer)]
    try:
        while waiting:
            _arm(sock, deadline)
            sent = sock.sendmsg(waiting[:_IOV])
            while waiting and sent >= len(waiting[0]):
                sent -= len(waiting.pop(0))
            if sent:
                waiting[0] = waiting[0][sent:]
    except TimeoutError:
        raise
    except OSError as error:
        raise PeerGone(f"the other process is gone: {error.strerror}.") from error


def recv(
    sock: socket.socket, limit: int = DEFAULT_LIMIT, *, deadline: float | None = None
) -> tuple[dict[str, Any], Tensors]:
    """One frame of at most `limit` body bytes. Errors: BadFrame, PeerGone (at a clean end too), TimeoutError."""

    def fill(view: memoryview) -> None:
        while view:
            _arm(sock, deadline)
            try:
                count = sock.recv_into(view)
            except TimeoutError:
                raise
            except OSError as error:
                raise PeerGone(f"the other process is gone: {error.strerror}.") from error
            if not count:
                raise PeerGone("the other process has closed the connection.")
            view = view[count:]

    header, tensors, _ = _read(fill, limit)
    return header, tensors


def _arm(sock: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        sock.settimeout(None)
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("deadline")
    sock.settimeout(left)


def _encode(header: Mapping[str, Any], tensors: Tensors) -> list[Buffer]:
    """The buffers of one frame, in order."""
    rows: list[dict[str, Any]] = []
    body: list[Buffer] = []
    offset = 0
    for name, array in tensors.items():
        kind = name_of(array)
        data = _pack_strings(array) if kind == "string" else _raw(array)
        gap = -offset % ALIGN
        if gap:
            body.append(bytes(gap))
        offset += gap
        rows.append({"name": name, "dtype": kind, "shape": list(array.shape), "offset": offset, "bytes": len(data)})
        body.append(data)
        offset += len(data)
    text = json.dumps({"header": dict(header), "tensors": rows}, separators=(",", ":")).encode()
    text += b" " * (-(_START + len(text)) % ALIGN)
    if len(text) > MAX_HEADER:
        raise BadFrame(f"the header of the frame has {len(text)} bytes, expected at most {MAX_HEADER}.")
    preamble = _PREAMBLE.pack(MAGIC, len(text), offset)
    return [preamble + _CRC.pack(zlib.crc32(text, zlib.crc32(preamble))) + text, *body]


def _raw(array: Array) -> memoryview:
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.astype(array.dtype.newbyteorder("<"))
    # By way of uint8: bfloat16 has no buffer of its own.
    return np.ascontiguousarray(array.reshape(-1)).view(np.uint8).data


def _pack_strings(array: Array) -> bytes:
    parts: list[bytes] = []
    for item in array.reshape(-1).tolist():
        data = item.encode() if isinstance(item, str) else item
        if not isinstance(data, bytes):
            raise BadFrame(f"a string tensor holds a {type(item).__name__}, expected bytes.")
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def _bad(why: str) -> NoReturn:
    raise BadFrame(f"a frame between two processes is damaged: {why}.")


def _read(fill: Callable[[memoryview], None], limit: int) -> tuple[dict[str, Any], Tensors, int]:
    """Header, tensors, and the bytes of the whole frame; `fill` fills a memoryview or raises."""
    start = bytearray(_START)
    fill(memoryview(start))
    magic, header_bytes, body_bytes = _PREAMBLE.unpack_from(start)
    if magic != MAGIC:
        _bad(f"it starts with {bytes(magic)!r}, expected {MAGIC!r}")
    if header_bytes > min(MAX_HEADER, limit):
        _bad(f"its header claims {header_bytes} bytes, at most {min(MAX_HEADER, limit)} are allowed")
    if body_bytes > limit:
        _bad(f"it claims {body_bytes} bytes, at most {limit} are allowed")
    text = bytearray(header_bytes)
    fill(memoryview(text))
    if zlib.crc32(text, zlib.crc32(start[: _PREAMBLE.size])) != _CRC.unpack_from(start, _PREAMBLE.size)[0]:
        _bad("the checksum of its header is wrong")
    header, rows = _parse(text, body_bytes)
    room = np.empty(body_bytes + ALIGN, dtype=np.uint8)
    skip = -room.ctypes.data % ALIGN
    body = room[skip : skip + body_bytes]
    fill(body.data)
    tensors = {row["name"]: _array(row, body) for row in rows}
    return header, tensors, _START + header_bytes + body_bytes


def _parse(text: bytearray, body_bytes: int) -> tuple[dict[str, Any], Sequence[dict[str, Any]]]:
    """Header and checked rows; nothing has been allocated for them yet."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        _bad("its header is not JSON")
    if not isinstance(data, dict) or not isinstance(data.get("header"), dict):
        _bad("its header is not an object")
    rows = data.get("tensors")
    if not isinstance(rows, list):
        _bad("it has no list of tensors")
    end, names = 0, set()
    for row in rows:
        end = _check_row(row, end, body_bytes)
        if row["name"] in names:
            _bad(f"tensor {row['name']!r} is there twice")
        names.add(row["name"])
    if end != body_bytes:
        _bad(f"its tensors end at byte {end} of {body_bytes}")
    return data["header"], rows


def _check_row(row: Any, end: int, body_bytes: int) -> int:
    """The end of the row's bytes; `end` is that of the row before. The last end is compared with `body_bytes`."""
    if not isinstance(row, dict) or set(row) != {"name", "dtype", "shape", "offset", "bytes"}:
        _bad("a tensor's entry has other keys than name, dtype, shape, offset, bytes")
    name, kind, shape = row["name"], row["dtype"], row["shape"]
    if not isinstance(name, str) or not isinstance(kind, str) or kind not in BY_NAME:
        _bad(f"tensor {name!r} has dtype {kind!r}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not _sizes(shape):
        _bad(f"tensor {name!r} has shape {shape!r}")
    if not _sizes((row["offset"], row["bytes"])):
        _bad(f"tensor {name!r} has offset {row['offset']!r}, bytes {row['bytes']!r}")
    offset, count = row["offset"], math.prod(shape)
    if offset != end + -end % ALIGN:
        _bad(f"tensor {name!r} lies at bytes {offset} to {offset + row['bytes']} of {body_bytes}")
    # Dimensions are bounded also beside a zero: numpy multiplies the others.
    if math.prod(max(size, 1) for size in shape) > 1 << 60:
        _bad(f"tensor {name!r} has shape {shape!r}")
    item = BY_NAME[kind].bits // 8
    if row["bytes"] != count * item if item else row["bytes"] < count * _LENGTH.size:
        _bad(f"tensor {name!r} has {row['bytes']} bytes, which does not fit {kind}{shape}")
    return int(offset) + int(row["bytes"])


def _sizes(values: Iterable[Any]) -> bool:
    return all(type(value) is int and 0 <= value < 1 << 62 for value in values)


def _array(row: Mapping[str, Any], body: Array) -> Array:
    data = body[row["offset"] : row["offset"] + row["bytes"]]
    if row["dtype"] == "string":
        return _unpack_strings(row, data)
    if row["dtype"] == "bool" and data.size and data.max() > 1:
        _bad(f"tensor {row['name']!r} holds a bool that is neither 0 nor 1")
    kind = numpy_dtype(row["dtype"])
    array: Array = data.view(kind).reshape(row["shape"])
    return array if sys.byteorder == "little" else array.astype(kind.newbyteorder("<")).view(kind)


def _unpack_strings(row: Mapping[str, Any], body: Array) -> Array:
    data = body.tobytes()
    count, place = math.prod(row["shape"]), 0
    flat = np.empty(count, dtype=object)
    for index in range(count):
        if place + _LENGTH.size > len(data):
            _bad(f"string tensor {row['name']!r} ends within element {index}")
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if place + length > len(data):
            _bad(f"string tensor {row['name']!r} ends within element {index}")
        flat[index] = data[place : place + length]
        place += length
    if place != len(data):
        _bad(f"string tensor {row['name']!r} has {len(data) - place} bytes after its last element")
    return flat.reshape(row["shape"])
