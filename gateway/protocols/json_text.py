"""JSON text <-> values, with the three tokens that JSON has not: NaN, Infinity, -Infinity.

orjson does the work. What it refuses is read a second time by the standard library under our
rules: exactly those tokens (and Inf), bounded depth, and bytes after the document are ignored,
as TensorFlow Serving does.

Rule 1: a number beyond float64 (1e999) is an error, never an infinity.
Rule 2: integers keep 64 bits; larger ones are read as float64, and no integer tensor takes those.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import orjson

from gateway.core.dtypes import Array, dtype, name_of
from gateway.errors import InvalidRequest, TooLarge, UnsupportedType

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_INF = re.compile(_STRING + r"|\bInf\b", re.DOTALL)
_BRACKETS = re.compile(_STRING + r"|[\[{\]}]", re.DOTALL)
_CONSTANTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_BLANKS = re.compile(r"[ \t\n\r]*")


def loads(body: bytes, max_depth: int) -> Any:
    """Errors: InvalidRequest "JSON Parse error: ...", TooLarge for depth."""
    if not body:
        raise InvalidRequest("JSON Parse error: The document is empty")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _loads_lenient(body, max_depth)


def _loads_lenient(body: bytes, max_depth: int) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"JSON Parse error: not UTF-8 at offset: {error.start}") from None
    _check_depth(text, max_depth)
    if "Inf" in text:
        text = _INF.sub(lambda match: match[0] if match[0] != "Inf" else "Infinity", text)
    decoder = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=_CONSTANTS.__getitem__)
    try:
        value, _ = decoder.raw_decode(text, _BLANKS.match(text).end())  # type: ignore[union-attr]
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    return value


def _check_depth(text: str, max_depth: int) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        found = match[0]
        if found in ("[", "{"):
            depth += 1
            if depth > max_depth:
                raise TooLarge(
                    f"the JSON is nested deeper than {max_depth}.", hint="The limit is limits.max_json_depth."
                )
        elif found in ("]", "}"):
            depth -= 1


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidRequest(f"JSON Parse error: Number too big to be stored in double: {text[:40]}")
    return value


def _int(text: str) -> int | float:
    value: int | float = int(text) if len(text) <= 20 else _float(text)
    return value if -(1 << 63) <= value < 1 << 64 else float(value)


def quote(value: Any) -> str:
    """A value as compact JSON for an error text, cut at 256 bytes."""
    try:
        text = orjson.dumps(value) if _finite(value) else str(value).encode()
    except (orjson.JSONEncodeError, TypeError):
        text = repr(value).encode("utf-8", "replace")
    return text[:256].decode("utf-8", "ignore")


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def string(text: str) -> bytes:
    """A JSON string; lone surrogates become '?'."""
    return orjson.dumps(text.encode("utf-8", "replace").decode())


def numbers(array: Array) -> bytes:
    """A numeric or bool array as nested JSON lists, shortest digits that read back the same.

    NaN and infinities are bare tokens, as TensorFlow Serving writes them. Errors: UnsupportedType.
    """
    name = name_of(array)
    kind = dtype(name).kind
    if kind == "c":
        raise UnsupportedType(f"JSON has no {name}.", hint="Ask over gRPC, where TensorProto carries it.")
    if name == "bfloat16":
        array = array.astype(np.float32)  # exact: bfloat16 is its upper half
    if kind == "f" and not np.isfinite(array).all():
        return _with_tokens(array)
    if not array.ndim and kind != "f":
        return orjson.dumps(array.item())  # orjson does not know onnxruntime's int64, which is C's long long
    whole = np.ascontiguousarray(array) if array.ndim else array[()]
    return orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)


def _with_tokens(array: Array) -> bytes:
    flat = np.ascontiguousarray(array).reshape(-1)
    finite = np.isfinite(flat)
    text = orjson.dumps(np.where(finite, flat, flat.dtype.type(0)), option=orjson.OPT_SERIALIZE_NUMPY)
    parts = text[1:-1].split(b",")
    for at in np.flatnonzero(~finite).tolist():
        parts[at] = b"NaN" if np.isnan(flat[at]) else b"Infinity" if flat[at] > 0 else b"-Infinity"
    for size in reversed(array.shape):
        parts = [b"[" + b",".join(parts[at : at + size]) + b"]" for at in range(0, len(parts), size)]
    return parts[0]
