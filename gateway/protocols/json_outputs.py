"""Tensors -> TensorFlow Serving's JSON bodies: {"predictions": [...]} by row, {"outputs": ...} by column."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import orjson

from gateway.core.dtypes import Tensors
from gateway.errors import InvalidTensor
from gateway.protocols.json_elements import B64
from gateway.protocols.json_text import numbers, string


def encode_outputs(outputs: Tensors, *, by_row: bool) -> bytes:
    """{"predictions": [...]} or {"outputs": ...}; the name of a lone output is dropped.

    Errors: InvalidTensor when outputs cannot be cut into rows, UnsupportedType for complex.
    """
    if not by_row:
        return b'{"outputs": ' + value_text(outputs) + b"}"
    _check_rows(outputs)
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return b'{"predictions": ' + _json(name, array) + b"}"
    count = len(next(iter(outputs.values())))
    rows = [_object_text({name: _json(name, array[at]) for name, array in outputs.items()}) for at in range(count)]
    return b'{"predictions": [' + b",".join(rows) + b"]}"


def value_text(outputs: Tensors) -> bytes:
    """A lone output's value, or an object by name. Errors: UnsupportedType for complex."""
    texts = {name: _json(name, array) for name, array in outputs.items()}
    return next(iter(texts.values())) if len(texts) == 1 else _object_text(texts)


def _check_rows(outputs: Tensors) -> None:
    size = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise InvalidTensor(f"Tensor name: {name} has no shape information ")
        if size >= 0 and len(array) != size:
            raise InvalidTensor(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)


def _object_text(texts: dict[str, bytes]) -> bytes:
    return b"{" + b",".join([string(name) + b": " + text for name, text in texts.items()]) + b"}"


def _json(name: str, value: Any) -> bytes:
    """Strings of outputs called *_bytes are {"b64": ...}; so is any string that is not UTF-8."""
    array = np.asarray(value, dtype=object if isinstance(value, (bytes, str)) else None)
    if array.dtype.kind not in "OSU":
        return numbers(array)
    as_bytes = name.endswith("_bytes")
    texts = np.empty(array.size, object)
    texts[:] = [_string(item, as_bytes) for item in array.reshape(-1)]
    return orjson.dumps(texts.reshape(array.shape).tolist())


def _string(item: Any, as_bytes: bool) -> Any:
    raw = item if isinstance(item, bytes) else str(item).encode()
    if not as_bytes:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            pass
    return {B64: base64.b64encode(raw).decode()}
