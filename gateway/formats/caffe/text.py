"""prototxt: protobuf's text form, read by Caffe's schema.

Rule 1: a value of another kind than the schema's is an error with its path ("layer 3.pooling_param.stride").
Rule 2: fields that the schema has not are kept and named: forks write them, and they may change numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gateway.core import textproto
from gateway.core.textproto import Word
from gateway.errors import CorruptModel, InvalidRequest
from gateway.formats.caffe.message import Message, blob
from gateway.formats.caffe.schema import Field, enum, fields

MAX_BYTES = 64 << 20
TRUE, FALSE = ("true", "True", "t"), ("false", "False", "f")
SPECIAL = {
    "inf": np.inf, "-inf": -np.inf, "infinity": np.inf, "-infinity": -np.inf, "nan": np.nan, "-nan": np.nan,
}  # fmt: skip


def read(path: Path) -> Message:
    """A NetParameter. Errors: CorruptModel with file, line and column, or the field."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise CorruptModel(f"{path.name} has {size} bytes; a .prototxt of up to {MAX_BYTES} is read.")
    return parse(path.read_bytes(), path.name)


def parse(data: bytes, file: str, message: str = "NetParameter") -> Message:
    try:
        found = textproto.parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CorruptModel(f"{file}: byte {error.start} is no UTF-8.") from error
    except InvalidRequest as error:
        raise CorruptModel(f"{file}: {error.message}", hint="The file may be cut short, or not a .prototxt.") from error
    return _message(found, message, file, "")


def _message(found: textproto.Message, name: str, file: str, path: str) -> Message:
    made, known = Message(), fields(name)
    for key, values in found.items():
        here = f"{path}.{key}" if path else key
        field = known.get(key)
        if field is None:
            made.unknown.append(key)
            continue
        if len(values) > 1 and not field.repeated:
            raise CorruptModel(f"{file}: {here} is given {len(values)} times, and may stand once.")
        many = len(values) > 1 and field.is_message
        made[key] = [
            _value(value, field, file, f"{here} {number}" if many else here) for number, value in enumerate(values, 1)
        ]
    return made


def _value(value: Any, field: Field, file: str, path: str) -> Any:
    if field.is_message:
        if not isinstance(value, dict):
            raise _wrong(value, "a message in braces", file, path)
        if field.kind == "BlobProto":
            return _blob(_message(value, field.kind, file, path), f"{file}: {path}")
        return _message(value, field.kind, file, path)
    if isinstance(value, dict):
        raise _wrong("a message", _EXPECTED.get(field.kind, "a name"), file, path)
    if field.kind.startswith("@"):
        return _named(value, field.kind[1:], file, path)
    made = _plain(value, field.kind)
    if made is None:
        raise _wrong(value, _EXPECTED[field.kind], file, path)
    return made


_EXPECTED = {"i": "a whole number", "b": "true or false", "f": "a number", "d": "a number", "s": "text in quotes"}


def _plain(value: Any, kind: str) -> Any:
    """The value as that kind, or None."""
    word, number = isinstance(value, Word), isinstance(value, int | float)
    if kind == "s":
        return value if isinstance(value, str) and not word else None
    if kind == "b":
        if value in TRUE or (number and value == 1):
            return True
        return False if value in FALSE or (number and value == 0) else None
    if kind == "i":
        return value if isinstance(value, int) and -(1 << 63) <= value < 1 << 64 else None
    if number:
        return _float(value)
    return SPECIAL.get(str(value).lower()) if word else None


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _named(value: Any, name: str, file: str, path: str) -> str:
    known = enum(name)
    if isinstance(value, Word) and str(value) in known.values():
        return str(value)
    if isinstance(value, int) and value in known:
        return known[value]
    raise _wrong(value, f"one of {', '.join(known.values())}", file, path)


def _wrong(value: Any, expected: str, file: str, path: str) -> CorruptModel:
    return CorruptModel(f"{file}: {path} is {str(value)[:60]!r}, expected {expected}.")


def _blob(found: Message, where: str) -> Any:
    """Weights that stand in text."""
    legacy = [found.last(name) for name in ("num", "channels", "height", "width")]
    double = found.all("double_data")
    data = np.asarray(double, np.float64) if double else np.asarray(found.all("data"), np.float32)
    shape = found.inner("shape").all("dim") if "shape" in found else None
    old = None if all(size is None for size in legacy) else [size or 0 for size in legacy]
    return blob(shape, old, [data], None, where)
