"""TensorFlow Serving's JSON of classify and regress: {"examples": [{...}], "context": {...}} and {"results": [...]}.

A feature is a value or a list of values, all of one kind: a number with a point or an exponent is
float, another one int64, true and false are int64 1 and 0, a string or {"b64": ...} is bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.errors import InvalidRequest, InvalidTensor
from gateway.protocols.examples import Example, Feature
from gateway.protocols.json_elements import B64, is_base64
from gateway.protocols.json_text import numbers, quote, string
from gateway.protocols.tfs_results import Class

_WORDS = {"string": "bytes", "float": "float", "int64": "int64"}
_JSON_TYPES = {dict: "Object", list: "Array", str: "String", type(None): "Null", int: "Number", float: "Number"}


def read_examples(document: dict[str, Any]) -> list[Example]:
    """The examples, each with the context's features. Errors: InvalidRequest, InvalidTensor."""
    context = _example(document["context"]) if "context" in document else {}
    examples = document.get("examples")
    if "examples" not in document:
        raise _wrong(document, "When method is classify, key 'examples' is expected and was not found")
    if not isinstance(examples, list):
        raise _wrong(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _wrong(document, "'examples' value is an empty array")
    return [{**context, **_example(value)} for value in examples]


def _wrong(document: Any, text: str) -> InvalidRequest:
    return InvalidRequest(f"JSON Value: {quote(document)} {text}")


def _example(value: Any) -> dict[str, Feature]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"Example must be JSON object but got JSON {_type(value)}")
    return {name: _feature(name, content) for name, content in value.items()}


def _feature(name: str, content: Any) -> Feature:
    kind, values = "", []
    for item in content if isinstance(content, list) else [content]:
        found, value = _value(name, item)
        if kind and found != kind:
            raise InvalidTensor(f"Unexpected element type in feature: {name} expecting type: {_WORDS[kind]}")
        kind = found
        values.append(value)
    return Feature(kind, values)


def _value(name: str, item: Any) -> tuple[str, Any]:
    if isinstance(item, bool):
        return "int64", int(item)
    if isinstance(item, int):
        if item >= 1 << 63:
            raise InvalidTensor(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        return "int64", item
    if isinstance(item, float):
        return "float", item
    if isinstance(item, str):
        return "string", item.encode("utf-8", "surrogatepass")
    if is_base64(item):
        try:
            return "string", base64.b64decode(item[B64].encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise InvalidTensor("Unable to base64 decode") from None
    raise InvalidTensor(f"Feature: {name} has element with unexpected JSON type: {_type(item)}")


def _type(value: Any) -> str:
    return str(value) if isinstance(value, bool) else _JSON_TYPES[type(value)]


def classification_body(found: Sequence[Sequence[Class]]) -> bytes:
    """{"results": [[["label", score], ...], ...]}."""
    rows = [
        b"[" + b", ".join(b"[" + string(one.label) + b", " + _number(one.score) + b"]" for one in classes) + b"]"
        for classes in found
    ]
    return b'{"results": [' + b", ".join(rows) + b"]}"


def regression_body(found: Sequence[float]) -> bytes:
    """{"results": [value, ...]}."""
    return b'{"results": ' + numbers(np.array(found, np.float32)) + b"}"


def _number(value: float) -> bytes:
    return numbers(np.array(value, np.float32))
