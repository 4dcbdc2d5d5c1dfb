"""Tensors of KServe v2 and Triton <-> numpy: raw bytes, typed contents, flat JSON.

In    Raw numbers are a read-only view of the bytes that arrived: no copy. Typed contents and
      JSON are one copy.
Out   `to_raw` is a view of the array where it lies contiguous.

Rule 1: sizes are compared before anything is allocated.
Rule 2: no value is silently changed: 300 in an int8, a bool byte of 2 or a value too many are
        errors. (Triton wraps 300 to 44 and keeps the 2.)
Rule 3: little-endian; BOOL is one byte; BYTES is the length of each element as uint32, then its bytes.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, DType, numpy_dtype
from gateway.errors import InvalidTensor
from gateway.protocols.tensors import MAX_RANK

Buffer = bytes | memoryview

_LENGTH = struct.Struct("<I")
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The field of InferTensorContents that carries a datatype; FP16 and BF16 have none."""


def shape_of(sizes: Any, name: str) -> tuple[int, ...]:
    """Errors: InvalidTensor for what is no list of sizes."""
    if not isinstance(sizes, (list, tuple)) or any(isinstance(s, bool) or not isinstance(s, int) for s in sizes):
        raise InvalidTensor(f"the shape of input '{name}' is {sizes!r:.80}, expected a list of whole numbers.")
    if len(sizes) > MAX_RANK or any(size < 0 for size in sizes):
        raise InvalidTensor(
            f"the shape of input '{name}' is {list(sizes)[:8]}, expected at most {MAX_RANK} sizes of 0 and more."
        )
    return tuple(sizes)


def from_raw(raw: Buffer, row: DType, shape: tuple[int, ...], name: str, model: str) -> Array:
    """A tensor from its bytes. Errors: InvalidTensor in Triton's words."""
    count = math.prod(shape)
    if row.kind == "s":
        return as_objects(_split(raw, count, name, model), shape)
    expected = count * row.bits // 8
    if len(raw) != expected:
        raise InvalidTensor(
            f"input byte size mismatch for input '{name}' for model '{model}'. Expected {expected}, got {len(raw)}",
            hint=f"{row.kserve} of shape {list(shape)} has {count} elements of {row.bits // 8} bytes.",
        )
    if row.kind == "b" and count and np.frombuffer(raw, np.uint8).max() > 1:
        raise InvalidTensor(f"input '{name}' for model '{model}' has a BOOL byte other than 0 and 1.")
    return np.frombuffer(raw, numpy_dtype(row.name)).reshape(shape)


def _split(raw: Buffer, count: int, name: str, model: str) -> list[bytes]:
    found: list[bytes] = []
    at, end = 0, len(raw)
    while at < end:
        if end - at < 4:
            raise InvalidTensor(
                f"incomplete string length indicator for inference input '{name}', expecting 4 bytes "
                f"but only {end - at} bytes available"
            )
        (length,) = _LENGTH.unpack_from(raw, at)
        at += 4
        if length > end - at:
            raise InvalidTensor(
                f"incomplete string data for inference input '{name}', expecting string of length {length} "
                f"but only {end - at} bytes available"
            )
        if len(found) == count:
            raise InvalidTensor(
                f"unexpected number of string elements for inference input '{name}' for model '{model}', "
                f"expecting {count} and there are more"
            )
        found.append(bytes(raw[at : at + length]))
        at += length
    if len(found) != count:
        raise InvalidTensor(
            f"expected {count} string elements for inference input '{name}' for model '{model}', got {len(found)}"
        )
    return found


def as_objects(items: list[bytes], shape: tuple[int, ...]) -> Array:
    out = np.empty(len(items), object)
    out[:] = items
    return out.reshape(shape)


def from_contents(contents: Any, row: DType, shape: tuple[int, ...], name: str, model: str) -> Array:
    """A tensor from InferTensorContents. Errors: InvalidTensor."""
    wanted = CONTENTS.get(row.kserve)
    given = [found.name for found, _ in contents.ListFields()]
    if wanted is None:
        raise InvalidTensor(
            f"unexpected explicit tensor data for input tensor '{name}' for model '{model}': "
            f"{row.kserve} has no field in contents.",
            hint="Send it in raw_input_contents.",
        )
    count = math.prod(shape)
    if [field for field in given if field != wanted]:
        raise InvalidTensor(
            f"unexpected explicit tensor data for input tensor '{name}' for model '{model}' in "
            f"{', '.join(given)}, expected datatype '{row.kserve}' in {wanted}"
        )
    values = getattr(contents, wanted)
    if len(values) != count:
        raise InvalidTensor(
            f"input byte size mismatch for input '{name}' for model '{model}'. "
            f"Expected {count} values for shape {list(shape)}, got {len(values)}"
        )
    if row.kind == "s":
        return as_objects(list(values), shape)
    target = numpy_dtype(row.name)
    if row.kind not in "iu" or row.bits >= 32:
        return np.array(values, target).reshape(shape)
    wide = np.array(values, np.int64)
    info = np.iinfo(target)
    wrong = wide[(wide < info.min) | (wide > info.max)]
    if wrong.size:
        raise InvalidTensor(
            f"input '{name}' for model '{model}' has the value {wrong[0]}, which does not fit {row.kserve} "
            f"({info.min} to {info.max})."
        )
    return wide.astype(target).reshape(shape)


def to_raw(array: Array) -> Buffer:
    """The bytes of a tensor: a view where it lies contiguous."""
    if array.dtype.kind in "OSU":
        parts: list[bytes] = []
        for item in array.reshape(-1):
            data = item if isinstance(item, bytes) else str(item).encode()
            parts += (_LENGTH.pack(len(data)), data)
        return b"".join(parts)
    if not array.size:
        return b""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
