"""A Darknet `.cfg`: sections and their options, read as Darknet's own parser reads them.

    [convolutional]
    filters=32              spaces and tabs vanish wherever they stand; '#' and ';' begin a line of comment

Rule 1: of two equal keys in one section the first counts, as in Darknet's linked list.
Rule 2: numbers are read as atoi and atof do: what follows the number is ignored, no number is 0.
Rule 3: errors name file and line.
"""

from __future__ import annotations

import builtins
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConversionError, CorruptModel

MAX_BYTES = 4 << 20  # of a cfg; the largest known one has 30 kB
MAX_SECTIONS = 4096
MAX_INT = (1 << 31) - 1
_SPACE = str.maketrans("", "", " \t\r\n\x0b\x0c")
_INT = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)")

NETS = ("net", "network")
SPELLINGS = {
    "conv": "convolutional", "deconv": "deconvolutional", "conn": "connected", "max": "maxpool", "avg": "avgpool",
    "soft": "softmax", "lrn": "normalization", "local_avg": "local_avgpool", "silence": "empty",
    "Gaussian_yolo": "gaussian_yolo",
}  # fmt: skip
"""Other names of sections."""


@dataclass(frozen=True)
class Options:
    """The options of one section, as written. `where` is for errors: "net.cfg, line 12 ([maxpool])"."""

    values: Mapping[str, str]
    where: str

    def __contains__(self, key: builtins.str) -> bool:
        return key in self.values

    def str(self, key: builtins.str, default: builtins.str) -> builtins.str:
        return self.values.get(key, default)

    def int(self, key: builtins.str, default: builtins.int) -> builtins.int:
        """Errors: CorruptModel for a number that no C int holds."""
        return default if key not in self.values else self._int(key, self.values[key])

    def float(self, key: builtins.str, default: builtins.float) -> builtins.float:
        """Errors: CorruptModel for a number that no float holds."""
        return default if key not in self.values else self._float(key, self.values[key])

    def ints(self, key: builtins.str, default: tuple[builtins.int, ...] = ()) -> tuple[builtins.int, ...]:
        """A list with commas."""
        if key not in self.values:
            return default
        return tuple(self._int(key, item) for item in _items(self.values[key]))

    def floats(self, key: builtins.str, default: tuple[builtins.float, ...] = ()) -> tuple[builtins.float, ...]:
        """A list with commas."""
        if key not in self.values:
            return default
        return tuple(self._float(key, item) for item in _items(self.values[key]))

    def _int(self, key: builtins.str, text: builtins.str) -> builtins.int:
        found = _INT.match(text)
        digits = found[0] if found else "0"
        if len(digits) > 11 or abs(builtins.int(digits)) > MAX_INT:
            raise CorruptModel(f"{self.where}: {key}={text[:40]} is beyond what Darknet's int holds.")
        return builtins.int(digits)

    def _float(self, key: builtins.str, text: builtins.str) -> builtins.float:
        found = _FLOAT.match(text)
        value = builtins.float(found[0]) if found and len(found[0]) < 64 else 0.0
        if not math.isfinite(value) or abs(value) > 3.4e38:
            raise CorruptModel(f"{self.where}: {key}={text[:40]} is beyond what a float holds.")
        return value


@dataclass(frozen=True)
class Section:
    """`kind` in its full spelling; `written` as in the file, without brackets."""

    kind: str
    written: str
    line: int
    options: Options


def read(path: Path) -> tuple[Section, tuple[Section, ...]]:
    """([net], the layers in order). Errors: CorruptModel, ConversionError."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise CorruptModel(f"{path.name} has {size} bytes; a cfg has at most {MAX_BYTES}.")
    sections = _sections(path.name, path.read_bytes().decode("latin-1"))
    if not sections or sections[0].kind not in NETS:
        found = f"[{sections[0].written}]" if sections else "nothing"
        raise CorruptModel(f"{path.name}: the first section is {found}, expected [net] or [network].")
    if len(sections) == 1:
        raise CorruptModel(
            f"{path.name} has a [net] and no layer behind it.", hint="The file may have been cut: copy it again."
        )
    return sections[0], tuple(sections[1:])


def _sections(name: str, text: str) -> list[Section]:
    found: list[Section] = []
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.translate(_SPACE)
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            written = line.strip("[]")
            values = {}
            where = f"{name}, line {number} ([{written[:40]}])"
            found.append(Section(SPELLINGS.get(written, written), written, number, Options(values, where)))
            if len(found) > MAX_SECTIONS:
                raise CorruptModel(f"{name}, line {number}: over {MAX_SECTIONS} sections.")
            continue
        if not found:
            raise CorruptModel(f"{name}, line {number}: {line[:40]!r} stands before any section, expected [net].")
        key, _, value = line.partition("=")
        if value:  # Darknet complains of "key=" and goes on
            values.setdefault(key, value)
    return found


def need_ints(options: Options, key: str) -> tuple[int, ...]:
    """A list that has to be there. Errors: ConversionError."""
    if key not in options:
        raise ConversionError(f"{options.where} has no {key}=, which Darknet needs.")
    return options.ints(key)


def _items(text: str) -> list[str]:
    return text.partition("#")[0].split(",")
