"""One .npy file -> array, with what it claims compared with its bytes before anything is allocated.

Rule 1: numbers, bools and text of fixed width only: no objects (a pickle), no records, nothing of no width.
Rule 2: whatever is wrong is a ValueError in words: numpy itself would allocate first, take a zip for an
        archive of arrays, and let out what its parser of headers meets.
"""

from __future__ import annotations

import math
import tokenize
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gateway.core.dtypes import Array

KINDS = "biufcSUV"  # V: bfloat16 and its like, which ml_dtypes writes as raw bytes of their width
MAX_DIMS = 64  # numpy's own
_BROKEN = (ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError,
           MemoryError, EOFError, tokenize.TokenError)  # fmt: skip


def load(path: Path) -> Array:
    """The array of one file. Errors: ValueError that says what is wrong; OSError."""
    with path.open("rb") as stream:
        size = path.stat().st_size
        shape, fortran, dtype = _header(stream)
        left = size - stream.tell()
        count = math.prod(shape)
        if count * dtype.itemsize != left:
            raise ValueError(f"its shape {list(shape)} of {dtype} needs {count * dtype.itemsize} bytes, it has {left}")
        if math.prod(each for each in shape if each) > 1 << 48:
            raise ValueError(f"its shape {list(shape)} is empty, and of a size that no array has")
        found: Array = np.fromfile(stream, dtype, count)
        return found.reshape(shape, order="F" if fortran else "C")


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"it is of version {version[0]}.{version[1]}, expected 1.0 or 2.0")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        plain = all(type(size) is int and size >= 0 for size in shape)
    except _BROKEN as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(first[:300]) from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which only a pickle can hold")
    if dtype.names or dtype.subdtype or dtype.kind not in KINDS or not dtype.itemsize:
        raise ValueError(f"it is of {dtype}, expected numbers, bools or text")
    if not plain or len(shape) > MAX_DIMS:
        raise ValueError(f"its shape is {str(shape)[:100]}, expected sizes of 0 and more")
    return shape, bool(fortran), dtype
