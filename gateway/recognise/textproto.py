"""Text protobuf without a schema: which keys stand at the top, and one level below.

Rule 1: never raises; at most LOOKED bytes and MAX_TOKENS tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LOOKED = 1 << 18
MAX_TOKENS = 40_000

_TOKEN = re.compile(
    rb"""[ \t\r\n,;]*(?:(?P<comment>\#[^\n]*)|(?P<open>[{<])|(?P<close>[}>])|(?P<list>[\[\]])|(?P<colon>:)"""
    rb"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>[\w.+/-]+))""",
    re.DOTALL,
)


@dataclass
class Keys:
    """`found` has "key" and "key.inner" -> its first plain value ("" for a message); `counts` how often.

    `broken`: something stood there that no text protobuf has. `whole`: every brace was closed.
    """

    found: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    broken: bool = False
    whole: bool = False

    def has(self, *names: str) -> bool:
        return all(name in self.found for name in names)

    def any(self, *names: str) -> bool:
        return any(name in self.found for name in names)


class _Reader:
    """One pass over the tokens: where we are, and the key that waits for its value."""

    def __init__(self) -> None:
        self.seen = Keys()
        self.depth = 0
        self.path = ["", ""]
        self.word = ""
        self.colon = False

    def take(self, kind: str, said: str) -> bool:
        """One token; False ends the reading."""
        if kind in ("open", "close"):
            return self._brace(kind)
        if kind == "colon":
            self.colon = bool(self.word)
            self.seen.broken |= not self.word
        elif self.colon:
            _note(self.seen, self.path, self.depth, self.word, said.strip("\"'"))
            self.word, self.colon = self.word if kind == "text" else "", False
        elif kind == "word":
            if self.word and self.depth == 0 and self.word not in self.seen.found:
                self.seen.broken = True  # two words in a row: prose
                return False
            self.word = said
        return True  # texts that stand one after another are one

    def _brace(self, kind: str) -> bool:
        if kind == "open":
            if self.word:
                _note(self.seen, self.path, self.depth, self.word, "")
            if self.depth < len(self.path):
                self.path[self.depth] = self.word
        self.depth += 1 if kind == "open" else -1
        self.word, self.colon = "", False
        self.seen.broken |= self.depth < 0
        return self.depth >= 0


def keys(data: bytes) -> Keys:
    """What stands at the top of the text and one level below."""
    reader, at = _Reader(), 0
    seen, data = reader.seen, data[:LOOKED]
    for _ in range(MAX_TOKENS):
        token = _TOKEN.match(data, at)
        if token is None:
            seen.broken = bool(data[at:].strip())
            break
        at = token.end()
        kind = token.lastgroup or ""
        if kind not in ("comment", "list") and not reader.take(kind, token[kind].decode("utf-8", "replace")):
            break
    waits = reader.colon or (reader.word and reader.word not in seen.found)
    seen.whole = reader.depth == 0 and not seen.broken and not waits
    return seen


def _note(seen: Keys, path: list[str], depth: int, word: str, value: str) -> None:
    if depth > 1 or len(seen.found) > 2000:
        return
    name = word if depth == 0 else f"{path[0]}.{word}"
    seen.counts[name] = seen.counts.get(name, 0) + 1
    if name not in seen.found or (not seen.found[name] and value):
        seen.found[name] = value
