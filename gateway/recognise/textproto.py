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


def keys(data: bytes) -> Keys:
    """What stands at the top of the text and one level below."""
    seen, at, depth, path, word, colon = Keys(), 0, 0, ["", ""], "", False
    data = data[:LOOKED]
    for _ in range(MAX_TOKENS):
        token = _TOKEN.match(data, at)
        if token is None:
            seen.broken = bool(data[at:].strip())
            break
        at = token.end()
        kind, said = token.lastgroup, token[token.lastgroup or 0].decode("utf-8", "replace")
        if kind == "comment" or kind == "list":
            continue
        if kind == "open":
            if word:
                _note(seen, path, depth, word, "")
            if depth < 2:
                path[depth] = word
            depth, word, colon = depth + 1, "", False
        elif kind == "close":
            depth, word, colon = depth - 1, "", False
            if depth < 0:
                seen.broken = True
                break
        elif kind == "colon":
            colon = bool(word)
            seen.broken |= not word
        elif colon:
            _note(seen, path, depth, word, said.strip("\"'"))
            word, colon = word if kind == "text" else "", False
        elif kind == "text":
            continue  # texts that stand one after another are one
        else:
            if word and depth == 0 and word not in seen.found:
                seen.broken = True  # two words in a row: prose
                break
            word = said
    seen.whole = depth == 0 and not seen.broken and not (colon or (word and word not in seen.found and at >= len(data)))
    return seen


def _note(seen: Keys, path: list[str], depth: int, word: str, value: str) -> None:
    if depth > 1 or len(seen.found) > 2000:
        return
    name = word if depth == 0 else f"{path[0]}.{word}"
    seen.counts[name] = seen.counts.get(name, 0) + 1
    if name not in seen.found or (not seen.found[name] and value):
        seen.found[name] = value
