"""Protobuf by its wire format, as far as a SavedModel needs it: no schema, no TensorFlow.

Rule 1: a field that is no list and comes twice is merged, as protobuf does: what one reader skips another would run.
Rule 2: nothing is copied: values are views of the file.
"""

from __future__ import annotations

from gateway.errors import CorruptModel

Value = int | memoryview
NOTHING = memoryview(b"")


class Message:
    """The fields of one message. Errors: CorruptModel for bytes that are no protobuf."""

    __slots__ = ("_found",)

    def __init__(self, data: memoryview) -> None:
        self._found: dict[int, list[Value]] = {}
        at, end = 0, len(data)
        while at < end:
            key, at = varint(data, at)
            number, kind = key >> 3, key & 7
            value: Value
            if kind == 0:
                value, at = varint(data, at)
            elif kind == 2:
                size, at = varint(data, at)
                value, at = data[at : at + size], at + size
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                value, at = data[at : at + size], at + size
            else:
                raise CorruptModel(f"a protobuf field of wire type {kind}, which TensorFlow does not write.")
            if at > end or number == 0:
                raise CorruptModel("the file ends in the middle of a protobuf message, or is none.")
            self._found.setdefault(number, []).append(value)

    def views(self, number: int) -> list[memoryview]:
        return [value for value in self._found.get(number, ()) if isinstance(value, memoryview)]

    def messages(self, number: int) -> list[Message]:
        """A repeated message."""
        return [Message(view) for view in self.views(number)]

    def message(self, number: int) -> Message:
        """A message that comes at most once; empty when it is absent. Rule 1."""
        found = self.views(number)
        return Message(found[0] if len(found) == 1 else memoryview(b"".join(found)))

    def texts(self, number: int) -> list[str]:
        return [bytes(view).decode("utf-8", "replace") for view in self.views(number)]

    def text(self, number: int) -> str:
        return next(reversed(self.texts(number)), "")

    def number(self, number: int) -> int:
        """A varint, signed as int64; 0 when it is absent."""
        found = next((v for v in reversed(self._found.get(number, ())) if isinstance(v, int)), 0)
        return found - (1 << 64) if found >> 63 else found

    def has(self, number: int) -> bool:
        return number in self._found

    def raw(self) -> str:
        """All fields as text, in order of their numbers: equal for equal messages."""
        return repr(
            [(number, [bytes(v) if isinstance(v, memoryview) else v for v in self._found[number]])
             for number in sorted(self._found)]
        )  # fmt: skip

    def map(self, number: int) -> dict[str, Message]:
        """map<string, message>; a later entry of one key wins."""
        return {entry.text(1): entry.message(2) for entry in self.messages(number)}


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """(value, place behind it). Errors: CorruptModel."""
    value = shift = 0
    for place in range(at, min(at + 10, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), place + 1
        shift += 7
    raise CorruptModel("the file ends in the middle of a number, or is no protobuf.")


def field(number: int, data: bytes) -> bytes:
    """A field of wire type 2, written: text, bytes, a message."""
    return _written(number << 3 | 2) + _written(len(data)) + data


def varint_field(number: int, value: int) -> bytes:
    """A field of wire type 0, written: a number, as int64."""
    return _written(number << 3) + _written(value & ((1 << 64) - 1))


def _written(value: int) -> bytes:
    """A varint."""
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
