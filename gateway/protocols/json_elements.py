"""One JSON value -> one element of a tensor, with the texts of TensorFlow Serving.

Rule 1: no value is silently changed. Numbers are compared by value: 1.0 is an int 1; 1.5 is
        not, 300 is no int8, 1e40 no float32. A decimal rounded to the nearest float is fine.
Rule 2: an integer written as a float ("1.0") must be below 2**53, where float64 is exact.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import numpy as np

from gateway.core.dtypes import DType, numpy_dtype
from gateway.errors import InvalidTensor, UnsupportedType
from gateway.protocols.json_text import quote

EXACT = 1 << 53
B64 = "b64"

_TYPE_NAMES = {"float32": "float", "float64": "double", "float16": "half"}


def check_type(value: Any, row: DType) -> None:
    if row.kind != "c" and row.name not in ("float16", "bfloat16"):
        return
    while isinstance(value, list) and value:
        value = value[0]
    raise UnsupportedType(
        f"Conversion of JSON Value: {quote(value)} to type: {_type_name(row)}",
        hint="Send it over gRPC, where TensorProto carries it.",
    )


def converter(row: DType) -> Callable[[Any], Any]:
    if row.kind == "s":
        return _text
    if row.kind == "b":
        return _bool
    return _float(row) if row.kind == "f" else _integer(row)


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise InvalidTensor(f"JSON Value: {quote(value)} has half of a surrogate pair.") from None
    if not isinstance(value, dict):
        raise _type_error(value, "string")
    if not is_base64(value):
        raise InvalidTensor(f"JSON Value: {quote(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value[B64].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidTensor("Unable to base64 decode") from None


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _type_error(value, "bool")


def _float(row: DType) -> Callable[[Any], Any]:
    kind = numpy_dtype(row.name).type

    def convert(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _type_error(value, _type_name(row))
        with np.errstate(over="ignore"):
            cast = kind(value)
        if np.isinf(cast) and not np.isinf(value):
            largest = np.finfo(kind).max
            raise InvalidTensor(
                f"JSON Value: {quote(value)} Type: Number is out of range of type: {_type_name(row)} "
                f"(-{largest} to {largest})"
            )
        return cast

    return convert


def _integer(row: DType) -> Callable[[Any], int]:
    info = np.iinfo(numpy_dtype(row.name))

    def convert(value: Any) -> int:
        if (
            isinstance(value, float)
            and value.is_integer()
            and (abs(value) < EXACT or not info.min <= value <= info.max)
        ):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _type_error(value, row.name)
        if not info.min <= value <= info.max:
            raise InvalidTensor(
                f"JSON Value: {quote(value)} Type: Number is out of range of type: {row.name} "
                f"({info.min} to {info.max})"
            )
        return value

    return convert


def is_base64(value: Any) -> bool:
    """`{"b64": "..."}`: exactly that key, and a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(B64), str)


def is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _type_error(value: Any, expected: str) -> InvalidTensor:
    names = {bool: str(value), dict: "Object", list: "Array", str: "String", type(None): "Null"}
    found = names.get(type(value), "Number")
    return InvalidTensor(f"JSON Value: {quote(value)} Type: {found} is not of expected type: {expected}")


def _type_name(row: DType) -> str:
    return _TYPE_NAMES.get(row.name, row.name)
