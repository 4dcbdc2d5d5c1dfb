"""A pickle, read opcode by opcode and never executed: protocol, the globals that it names, its first texts.

Rule 1: nothing is built, imported or called: opcodes are only listed (pickletools has the table).
Rule 2: bounded: large texts and byte strings are skipped, at most MAX_OPS opcodes and MAX_BYTES are looked at.
Rule 3: never raises; a pickle that ends before its STOP is not `whole`.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field

from gateway.recognise.blob import Blob

MAX_OPS = 60_000
MAX_BYTES = 8 << 20
MAX_GLOBALS = 400
MAX_TEXTS = 400
LONG = 1024  # a text longer than this is skipped
_SIZED = {  # opcode -> bytes of its length
    "BINUNICODE": 4, "BINUNICODE8": 8, "SHORT_BINUNICODE": 1, "BINSTRING": 4, "SHORT_BINSTRING": 1,
    "BINBYTES": 4, "BINBYTES8": 8, "SHORT_BINBYTES": 1, "BYTEARRAY8": 8, "LONG1": 1, "LONG4": 4,
}  # fmt: skip
_TEXTS = {"BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"}
_LINES = {"INT", "LONG", "FLOAT", "STRING", "UNICODE", "PUT", "GET", "PERSID"}
_FIXED = {
    "BININT": 4, "BININT1": 1, "BININT2": 2, "BINFLOAT": 8, "BINGET": 1, "LONG_BINGET": 4, "BINPUT": 1,
    "LONG_BINPUT": 4, "PROTO": 1, "FRAME": 8, "EXT1": 1, "EXT2": 2, "EXT4": 4,
}  # fmt: skip
_STOP = "STOP"
_NAMES: dict[str, str] = {op.code: op.name for op in pickletools.opcodes}


@dataclass
class Opcodes:
    """`globals` are "module name" in the order they stand there; `texts` the first short ones.

    `whole`: STOP was reached. `looked`: the limits were not. `end` is the place behind STOP.
    """

    protocol: int = 0
    globals: dict[str, None] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # the first few, as a version or a magic number
    persistent: bool = False
    whole: bool = False
    looked: bool = True
    ops: int = 0
    end: int = 0

    @property
    def modules(self) -> set[str]:
        """The first part of each global's module."""
        return {name.split(" ")[0].split(".")[0] for name in self.globals}


class _Reader:
    def __init__(self, blob: Blob, at: int) -> None:
        self.blob, self.at, self.stop = blob, at, at + MAX_BYTES
        self.found = Opcodes()
        self.memo: dict[int, str | None] = {}
        self.last: list[str | None] = [None, None]  # the two newest things on the stack, when they are texts

    def take(self, count: int) -> bytes | None:
        """The next bytes; None when the file ends before."""
        data = self.blob.read(self.at, count)
        if len(data) < count:
            return None
        self.at += count
        return data

    def line(self) -> bytes | None:
        data = self.blob.read(self.at, LONG)
        end = data.find(b"\n")
        if end < 0:
            return None
        self.at += end + 1
        return data[:end]

    def push(self, said: str | None) -> None:
        self.last = [self.last[1], said]

    def add(self, module: str, name: str) -> None:
        if len(self.found.globals) < MAX_GLOBALS and module.isprintable() and name.isprintable():
            self.found.globals[f"{module} {name}"] = None


def scan(blob: Blob, at: int = 0) -> Opcodes:
    """The opcodes from `at` on, to STOP, to the first byte that is none, or to the limits."""
    reader = _Reader(blob, at)
    found = reader.found
    while True:
        if found.ops >= MAX_OPS or (reader.at > reader.stop and reader.at - at > MAX_BYTES) or blob.spent:
            found.looked = False
            break
        code = reader.take(1)
        name = _NAMES.get(code.decode("latin-1")) if code else None
        if name is None or not _step(reader, name):
            break
        found.ops += 1
        if name == _STOP:
            found.whole = True
            break
    found.end = reader.at
    return found


def _step(reader: _Reader, name: str) -> bool:
    """One opcode's argument; False when it is not there or makes no sense."""
    if name in _SIZED:
        return _sized(reader, name)
    if name in _FIXED:
        return _fixed(reader, name)
    if name in ("GLOBAL", "INST"):
        module, attribute = reader.line(), reader.line()
        if module is None or attribute is None:
            return False
        reader.add(_text(module), _text(attribute))
        reader.push(None)
        return True
    if name in _LINES:
        return _line(reader, name)
    if name == "STACK_GLOBAL":
        if reader.last[0] is not None and reader.last[1] is not None:
            reader.add(reader.last[0], reader.last[1])
        reader.push(None)
    elif name == "MEMOIZE":
        reader.memo[len(reader.memo)] = reader.last[1]
    elif name == "BINPERSID":
        reader.found.persistent = True
        reader.push(None)
    else:
        reader.push(None)
    return True


def _sized(reader: _Reader, name: str) -> bool:
    raw = reader.take(_SIZED[name])
    if raw is None:
        return False
    length = int.from_bytes(raw, "little")
    if length > LONG:
        reader.at += length  # skipped: whether it is all there shows at the next opcode
        reader.push(None)
        return reader.at <= reader.blob.size
    data = reader.take(length)
    if data is None:
        return False
    if name in _TEXTS:
        said = _text(data)
        reader.push(said)
        if len(reader.found.texts) < MAX_TEXTS:
            reader.found.texts.append(said)
    else:
        if name in ("LONG1", "LONG4") and len(reader.found.numbers) < 8:
            reader.found.numbers.append(int.from_bytes(data, "little", signed=True))
        reader.push(None)
    return True


def _fixed(reader: _Reader, name: str) -> bool:
    raw = reader.take(_FIXED[name])
    if raw is None:
        return False
    value = int.from_bytes(raw, "little")
    if name == "PROTO":
        reader.found.protocol = value
        return value <= 5
    if name in ("BINGET", "LONG_BINGET"):
        reader.push(reader.memo.get(value))
    elif name in ("BINPUT", "LONG_BINPUT"):
        if len(reader.memo) < MAX_OPS:
            reader.memo[value] = reader.last[1]
    elif name != "FRAME":
        if name.startswith("BININT") and len(reader.found.numbers) < 8:
            reader.found.numbers.append(value)
        reader.push(None)
    return True


def _line(reader: _Reader, name: str) -> bool:
    raw = reader.line()
    if raw is None:
        return False
    if name in ("PUT", "GET"):
        if not raw.isdigit() or len(raw) > 9:
            return False
        if name == "PUT":
            reader.memo[int(raw)] = reader.last[1]
        else:
            reader.push(reader.memo.get(int(raw)))
        return True
    said = _text(raw.strip(b"'\"")) if name in ("STRING", "UNICODE") else None
    if said is not None and len(reader.found.texts) < MAX_TEXTS:
        reader.found.texts.append(said)
    reader.found.persistent |= name == "PERSID"
    reader.push(said)
    return True


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
