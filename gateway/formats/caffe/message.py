"""Messages of Caffe as plain values, the same whether they came from text or from the wire.

    Message: {"name": ["conv1"], "convolution_param": [{"num_output": [8], "pool": ["MAX"]}]}

Every field is a list, as it may repeat. Enumerations are their names, blobs are arrays. `unknown` names what the
schema has not.

Rule 1: nothing is dropped in silence: an unknown field of text is kept by name, one of the wire by number.
Rule 2: a claim about sizes is checked against the numbers that are there before anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import CorruptModel
from gateway.formats.caffe.schema import Field, fields

MAX_DIMS = 32  # Caffe's kMaxBlobAxes
RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}
"""NVCaffe's Type -> what raw_data holds."""


class Message(dict[str, list[Any]]):
    """Fields by name. `unknown` are names (text) or numbers (wire) that the schema has not."""

    def __init__(self, items: dict[str, list[Any]] | None = None) -> None:
        super().__init__(items or {})
        self.unknown: list[str] = []

    def last(self, name: str, default: Any = None) -> Any:
        """The value of a field that stands once; the last one, as protobuf has it."""
        found = self.get(name)
        return found[-1] if found else default

    def all(self, name: str) -> list[Any]:
        return self.get(name, [])

    def inner(self, name: str) -> Message:
        """A message inside, or an empty one."""
        found = self.last(name)
        return found if isinstance(found, Message) else Message()


def put(message: Message, field: Field, value: Any) -> None:
    """Add a value as protobuf merges: repeated ones are collected, of others the last counts, messages are merged."""
    there = message.setdefault(field.name, [])
    if field.repeated or not there:
        there.append(value)
    elif isinstance(value, Message) and isinstance(there[-1], Message):
        merge(there[-1], value, field.kind)
    else:
        there[-1] = value


def merge(target: Message, other: Message, kind: str) -> None:
    known = fields(kind)
    target.unknown += other.unknown
    for name, values in other.items():
        for value in values:
            put(target, known[name], value)


def blob(
    shape: Sequence[int] | None, legacy: Sequence[int] | None, arrays: Iterable[Array], raw_type: int | None, where: str
) -> Array:
    """The array of a BlobProto: `legacy` are num, channels, height, width. Errors: CorruptModel saying `where`."""
    parts = [part for part in arrays if part.size]
    data = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if raw_type is not None and data.dtype == np.uint8:
        if raw_type not in RAW_TYPES:
            raise CorruptModel(f"{where} holds raw data of type {raw_type}, expected {sorted(RAW_TYPES)}.")
        kind = np.dtype(RAW_TYPES[raw_type])
        if data.size % kind.itemsize:
            raise CorruptModel(f"{where} holds {data.size} bytes of raw data, which are no {kind.name} numbers.")
        data = data.view(kind) if kind != np.dtype("<f2") else data.view(kind).astype(np.float32)
    sizes = tuple(legacy if legacy is not None else shape or ())
    if len(sizes) > MAX_DIMS or any(size < 0 for size in sizes):
        raise CorruptModel(f"{where} has the shape {list(sizes)[:MAX_DIMS]}, which no blob has.")
    if math.prod(sizes) != data.size:
        raise CorruptModel(f"{where} has the shape {list(sizes)} and {data.size} numbers.")
    return data.reshape(sizes)
