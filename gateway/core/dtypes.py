"""Element types: one row a type, under every name it has.

Our own name is numpy's, as in the files and options a person writes: float32, int64, bool,
string. The other columns are the numbers and names that the protocols and ONNX fix:
TensorFlow's types.proto DataType, ONNX's TensorProto.DataType, KServe's datatype strings.

Rule 1: strings travel as object arrays of `bytes`, the one form that loses nothing; a runtime
        that wants `str` decodes, and refuses what is not UTF-8.
Rule 2: bfloat16 has no numpy type; `ml_dtypes` gives one where it is installed (it is in the
        gateway and in Environment base), else `numpy_dtype` raises UnsupportedType.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.core.names import did_you_mean
from gateway.errors import InvalidTensor, UnsupportedType

Array = npt.NDArray[Any]
Tensors = dict[str, Array]
"""Named arrays: the only form in which data crosses layers."""


@dataclass(frozen=True)
class DType:
    name: str
    kind: str  # f float, i signed, u unsigned, b bool, s string, c complex
    bits: int  # of one element; 0 for strings
    tensorflow: int  # tensorflow.DataType
    onnx: int  # onnx.TensorProto.DataType
    kserve: str  # "" where the protocol has none


_ROWS = (
    DType("float32", "f", 32, 1, 1, "FP32"),
    DType("float64", "f", 64, 2, 11, "FP64"),
    DType("float16", "f", 16, 19, 10, "FP16"),
    DType("bfloat16", "f", 16, 14, 16, "BF16"),
    DType("int8", "i", 8, 6, 3, "INT8"),
    DType("int16", "i", 16, 5, 5, "INT16"),
    DType("int32", "i", 32, 3, 6, "INT32"),
    DType("int64", "i", 64, 9, 7, "INT64"),
    DType("uint8", "u", 8, 4, 2, "UINT8"),
    DType("uint16", "u", 16, 17, 4, "UINT16"),
    DType("uint32", "u", 32, 22, 12, "UINT32"),
    DType("uint64", "u", 64, 23, 13, "UINT64"),
    DType("bool", "b", 8, 10, 9, "BOOL"),
    DType("string", "s", 0, 7, 8, "BYTES"),
    DType("complex64", "c", 64, 8, 14, ""),
    DType("complex128", "c", 128, 18, 15, ""),
)

BY_NAME = {row.name: row for row in _ROWS}
BY_TENSORFLOW = {row.tensorflow: row for row in _ROWS}
BY_ONNX = {row.onnx: row for row in _ROWS}
BY_KSERVE = {row.kserve: row for row in _ROWS if row.kserve}


def dtype(name: str) -> DType:
    """The row called `name`, or InvalidTensor naming the nearest one."""
    row = BY_NAME.get(name)
    if row is None:
        raise InvalidTensor(f"{name!r} is not a dtype; known are {', '.join(BY_NAME)}.{did_you_mean(name, BY_NAME)}")
    return row


def numpy_dtype(name: str) -> np.dtype[Any]:
    """numpy's type of our `name`; `object` for strings (rule 1)."""
    row = dtype(name)
    if row.kind == "s":
        return np.dtype(object)
    if row.name == "bfloat16":
        try:
            import ml_dtypes  # optional: rule 2
        except ImportError:
            raise UnsupportedType("bfloat16 needs the package ml_dtypes, which this Environment lacks.") from None
        brain: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return brain
    return np.dtype(row.name)


def name_of(array: Array) -> str:
    """Our name of an array's type; 'string' for object, bytes and str arrays."""
    return _name_of(array.dtype)


@lru_cache(maxsize=256)  # numpy makes the name anew each time: 4 us, several times a request
def _name_of(kind: np.dtype[Any]) -> str:
    if kind.kind in "OSU":
        return "string"
    name = kind.name
    if name not in BY_NAME:
        raise UnsupportedType(f"an array of numpy type {name} has no tensor type here; known are {', '.join(BY_NAME)}.")
    return name
