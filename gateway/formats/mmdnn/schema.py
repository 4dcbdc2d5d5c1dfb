"""graph.proto of MMdnn, as tables: what the IR's two forms, binary and JSON, are read by.

Rule 1: the schema is closed: a field that it has not is an error, for numbers may hang on it.
Rule 2: both forms give the same Message: field name -> list of values, in the order of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, list[Any]]

TYPES = (
    "", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "complex64", "complex128", "bool", "string",
)  # fmt: skip
"""DataType by its number; JSON says DT_INT8 and so on."""


@dataclass(frozen=True)
class Field:
    """`kind` is int, uint, float, double, bool, bytes, text, type, or a message's name."""

    number: int
    name: str
    kind: str
    repeated: bool = False

    @property
    def is_message(self) -> bool:
        return self.kind[0].isupper()


def _table(*rows: tuple[int, str, str]) -> dict[int, Field]:
    """Rows of (number, name, kind); a kind with a star repeats."""
    return {n: Field(n, name, kind.rstrip("*"), kind.endswith("*")) for n, name, kind in rows}


MESSAGES: dict[str, dict[int, Field]] = {
    "GraphDef": _table((1, "node", "NodeDef*"), (2, "version", "int")),
    "NodeDef": _table((1, "name", "text"), (2, "op", "text"), (3, "input", "text*"), (4, "attr", "Entry*")),
    "Entry": _table((1, "key", "text"), (2, "value", "AttrValue")),
    "AttrValue": _table(
        (1, "list", "ListValue"), (2, "s", "bytes"), (3, "i", "int"), (4, "f", "float"), (5, "b", "bool"),
        (6, "type", "type"), (7, "shape", "TensorShape"), (8, "tensor", "LiteralTensor"),
    ),
    "ListValue": _table(
        (2, "s", "bytes*"), (3, "i", "int*"), (4, "f", "float*"), (5, "b", "bool*"), (6, "type", "type*"),
        (7, "shape", "TensorShape*"), (8, "tensor", "LiteralTensor*"),
    ),
    "TensorShape": _table((2, "dim", "Dim*"), (3, "unknown_rank", "bool")),
    "Dim": _table((1, "size", "int"), (2, "name", "text")),
    "LiteralTensor": _table(
        (1, "dtype", "type"), (2, "tensor_shape", "TensorShape"), (3, "version_number", "int"),
        (4, "tensor_content", "bytes"), (5, "int_val", "int*"), (6, "uint_val", "uint*"), (7, "int64_val", "int*"),
        (8, "uint64_val", "uint*"), (9, "float_val", "float*"), (10, "double_val", "double*"),
        (11, "bool_val", "bool*"), (12, "string_val", "bytes*"),
    ),
}  # fmt: skip


def named(message: str) -> dict[str, Field]:
    """Field by name; JSON may also write lowerCamelCase."""
    found = {field.name: field for field in MESSAGES[message].values()}
    return found | {_camel(name): field for name, field in found.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
