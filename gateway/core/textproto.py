"""protobuf's text form -> plain values, without a schema: what config.pbtxt and its like are written in.

    name: "simple"  input [ { name: "x" dims: [ -1, 16 ] } ]  ->  {"name": ["simple"], "input": [{"name": ...}]}

Every field is a list, as it may stand there again. A word without quotes (an enum value, true) is
a Word.

Rule 1: nothing is guessed: what the grammar does not know is an error that says line and column.
Rule 2: nesting is bounded; a hostile file costs time in proportion to its length.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.errors import InvalidRequest

MAX_DEPTH = 32

Message = dict[str, list[Any]]


class Word(str):
    """A value without quotes that is no number: TYPE_FP32, true."""

    __slots__ = ()


_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fF]?))
    |(?P<word>-?[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>[:{}\[\]<>,;])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CLOSES = {"{": "}", "<": ">"}


def parse(text: str) -> Message:
    """Errors: InvalidRequest with line and column."""
    reader = _Reader(text)
    return reader.fields("", 0)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.kind, self.here = "", ""
        self._next()

    def _next(self) -> None:
        while self._at < len(self._text):
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                self.kind, self.here = "wrong", self._text[self._at]
                raise self._error("a character that has no meaning here")
            self._start, self._at = self._at, match.end()
            if match.lastgroup != "blank":
                self.kind, self.here = str(match.lastgroup), match[0]
                return
        self._start, self.kind, self.here = len(self._text), "end", ""

    def _error(self, expected: str) -> InvalidRequest:
        before = self._text[: getattr(self, "_start", self._at)]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        found = repr(self.here[:40]) if self.here else "the end"
        return InvalidRequest(f"line {line}, column {column}: found {found}, expected {expected}")

    def fields(self, end: str, depth: int) -> Message:
        """Up to the sign `end`, which is taken; "" is the end of the text."""
        if depth > MAX_DEPTH:
            raise self._error(f"at most {MAX_DEPTH} levels")
        found: Message = {}
        while self.here != end or self.kind not in ("sign", "end"):
            if self.kind != "word":
                raise self._error(f"the name of a field or {end!r}" if end else "the name of a field")
            name = self.here
            self._next()
            found.setdefault(name, []).extend(self._value(depth))
            if self.kind == "sign" and self.here in ",;":
                self._next()
        if end:
            self._next()
        return found

    def _value(self, depth: int) -> list[Any]:
        """What stands behind a name: one value, or those of a list."""
        has_colon = self.here == ":" and self.kind == "sign"
        if has_colon:
            self._next()
        if self.kind == "sign" and self.here == "[":
            return self._list(depth, has_colon)
        return [self._one(depth, has_colon)]

    def _list(self, depth: int, has_colon: bool) -> list[Any]:
        self._next()
        found: list[Any] = []
        while not (self.kind == "sign" and self.here == "]"):
            found.append(self._one(depth, has_colon))
            if self.kind == "sign" and self.here == ",":
                self._next()
            elif self.here != "]":
                raise self._error("',' or ']'")
        self._next()
        return found

    def _one(self, depth: int, has_colon: bool) -> Any:
        if self.kind == "sign" and self.here in _CLOSES:
            end = _CLOSES[self.here]
            self._next()
            return self.fields(end, depth + 1)
        if not has_colon:
            raise self._error("':' or '{'")
        token, kind = self.here, self.kind
        if kind == "string":
            return self._string()
        if kind not in ("number", "word"):
            raise self._error("a value")
        self._next()
        if kind == "word":
            return Word(token)
        text = token.lower()
        if "x" in text:
            return int(text, 16)
        return int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else float(text.rstrip("f"))

    def _string(self) -> str:
        parts = []
        while self.kind == "string":  # strings that stand side by side are one
            parts.append(_ESCAPE.sub(_unescaped, self.here[1:-1]))
            self._next()
        return "".join(parts)


def _unescaped(match: re.Match[str]) -> str:
    if match[1] or match[2]:
        return chr(int(match[1], 8) if match[1] else int(match[2], 16))
    return _LETTERS.get(match[3], match[3])
