"""The JSON form, as protobuf's json_format writes it: the same Message as the binary one.

Rule 1: numbers of 64 bits are texts, bytes are base64, a map is an object: as protobuf has it, and nothing else.
Rule 2: errors name file and the path inside the document.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from gateway.errors import CorruptModel
from gateway.formats.mmdnn.schema import TYPES, Field, Message, named

INT_MOST = 1 << 64


class JsonForm:
    """One file's text. Errors of every method: CorruptModel."""

    def __init__(self, data: bytes, file: str) -> None:
        self.data, self.file = data, file

    def read(self) -> Message:
        try:
            found = json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise CorruptModel(
                f"{self.file} is no JSON: {error}.", hint="Copy the file again: it seems damaged."
            ) from error
        return self._message("GraphDef", found, "$")

    def error(self, path: str, what: str) -> CorruptModel:
        return CorruptModel(f"{self.file}: {path} {what}.", hint="Copy the file again: it seems damaged.")

    def _message(self, name: str, data: Any, path: str) -> Message:
        if not isinstance(data, dict):
            raise self.error(path, f"is {type(data).__name__}, expected an object")
        made: Message = {}
        known = named(name)
        for key, value in data.items():
            field = known.get(key)
            if field is None:
                raise self.error(path, f"has {key[:40]!r}, which {name} has not")
            made[field.name] = self._values(field, value, f"{path}.{key}")
        return made

    def _values(self, field: Field, value: Any, path: str) -> list[Any]:
        if field.kind == "Entry":
            if not isinstance(value, dict):
                raise self.error(path, f"is {type(value).__name__}, expected an object")
            return [
                {"key": [key], "value": [self._message("AttrValue", each, f"{path}.{key[:60]}")]}
                for key, each in value.items()
            ]
        if not field.repeated:
            return [self._value(field, value, path)]
        if not isinstance(value, list):
            raise self.error(path, f"is {type(value).__name__}, expected a list")
        return [self._value(field, each, f"{path}[{place}]") for place, each in enumerate(value)]

    def _value(self, field: Field, value: Any, path: str) -> Any:
        if field.is_message:
            return self._message(field.kind, value, path)
        try:
            return _READ[field.kind](value)
        except (ValueError, TypeError, OverflowError, KeyError):
            raise self.error(path, f"is {str(value)[:40]!r}, expected {field.kind}") from None


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError
    found = int(value)
    if abs(found) >= INT_MOST:
        raise ValueError
    return found


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    return float(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _bytes(value: Any) -> bytes:
    text = _text(value).replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _type(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(TYPES):
        return TYPES[value]
    return "" if value == "DT_UNDEFINED" else TYPES[TYPES.index(_text(value).removeprefix("DT_").lower())]


_READ = {
    "int": _int, "uint": _int, "float": _float, "double": _float, "bool": _bool, "bytes": _bytes, "text": _text,
    "type": _type,
}  # fmt: skip
