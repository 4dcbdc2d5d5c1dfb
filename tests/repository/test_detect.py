"""Which format: by content, one answer or an error that says what was looked for and what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import AmbiguousFormat, DropChanged, DropError, UnknownFormat, UnsupportedFormat
from gateway.formats.base import Format, Match, Source, recognised
from gateway.repository.detect import detect, detect_path, extra
from tests.repository.trees import Link, Tree, plant


class Magic(Format):
    """Recognises the first file that starts with its magic; claims files named in `with_`."""

    targets = ("onnx",)

    def __init__(
        self, name: str, magic: bytes, suffix: str, confidence: float = 1.0, with_: tuple[str, ...] = ()
    ) -> None:
        self.name = name  # type: ignore[misc]
        self.title = name.upper()  # type: ignore[misc]
        self.suffixes = (suffix,)  # type: ignore[misc]
        self.magic, self.confidence, self.with_ = magic, confidence, with_

    def match(self, source: Source) -> Match | None:
        for name in source.files:
            if source.head(name, len(self.magic)) == self.magic:
                used = (name, *(w for w in self.with_ if w in source.files))
                return Match(self.name, "1", self.confidence, f"starts with {self.magic!r}", name, used)
        return None

    def inspect(self, *_: Any) -> Any:
        raise AssertionError("runs in a child")

    def convert(self, *_: Any) -> Any:
        raise AssertionError("runs in a child")


def formats(*found: Format) -> Mapping[str, Format]:
    return {fmt.name: fmt for fmt in found}


AX, BX = Magic("ax", b"AX", ".ax"), Magic("bx", b"BX", ".bx")
AXE = Magic("axe", b"AX", ".axe")
AX_SURE = Magic("sure", b"AX1", ".s", 1.0)
AX_GUESS = Magic("guess", b"AX", ".g", 0.6)
WEAK = Magic("weak", b"B", ".bx", 0.3)
WITH = Magic("with", b"AX", ".ax", with_=("w.bin",))
CBM = b"CBM1" + bytes(range(60))
GUESS_CBM = Magic("guess", b"CBM", ".bx", 0.4)
SURE_CBM = Magic("sure", b"CBM", ".sure", 1.0)


class Takes(Format):
    """Takes over a kind of the recogniser, in one line."""

    name, title, suffixes, recognises = "mine", "Mine", (), ("catboost",)
    match = recognised
    inspect = convert = Magic.inspect


TAKES_CBM = Takes()


@dataclass(frozen=True)
class Case:
    tree: Tree
    formats: Mapping[str, Format]
    answer: str = ""  # format: main
    error: type[DropError] | None = None
    says: tuple[str, ...] = ()


CASES = {
    "by content, whatever the suffix": Case({"m.txt": "AX"}, formats(AX, BX), "ax: m.txt"),
    "files of no format are extra": Case({"m": "AX", "notes": "hello"}, formats(AX, BX), "ax: m"),
    "the surest wins": Case({"m": "AX1"}, formats(AX_GUESS, AX_SURE), "sure: m"),
    "a suffix breaks an exact tie": Case({"m.axe": "AX"}, formats(AX, AXE), "axe: m.axe"),
    "a suffix does not outweigh content": Case({"m.g": "AX1"}, formats(AX_GUESS, AX_SURE), "sure: m.g"),
    "what a match claims is no second model": Case({"m": "AX", "w.bin": "BX"}, formats(WITH, BX), "with: m"),
    "a guess is no second model": Case({"m": "AX", "w.bx": "BY"}, formats(AX, WEAK), "ax: m"),
    "a guess alone is taken": Case({"w.bx": "BY"}, formats(AX, WEAK), "weak: w.bx"),
    "a tie without a fitting suffix": Case(
        {"m.zip": "AX"},
        formats(AX, AXE),
        error=AmbiguousFormat,
        says=(
            "2 formats recognise the same files",
            "AX (m.zip: starts with b'AX')",
            "AXE (m.zip",
            "suffix of the format",
        ),
    ),
    "two models of one format in one folder": Case(
        {"a.ax": "AX", "b.ax": "AX"},
        formats(AX, BX),
        error=AmbiguousFormat,
        says=("two models lie in one folder: a.ax (AX: starts with b'AX') and b.ax", "REPO/NAME/2/"),
    ),
    "two models of two formats in one folder": Case(
        {"a.ax": "AX", "b.bx": "BX"}, formats(AX, BX), error=AmbiguousFormat, says=("a.ax (AX", "b.bx (BX")
    ),
    "none": Case(
        {"m.onnx": "hello\n", "n.bin": b"\x08\xff", "empty": b"", "z": b"\0" * 99},
        formats(AX, BX),
        error=UnknownFormat,
        says=(
            "m.onnx (6 bytes, starts with the text 'hello\\n')",
            "n.bin (2 bytes, starts with the bytes 08 ff)",
            "empty (0 bytes: the file is empty)",
            "z (99 bytes, starts with 16 zero bytes)",
            "Looked for: AX (.ax); BX (.bx).",
            "gateway formats",
        ),
    ),
    "none of many files": Case(
        {f"f{n:02}": "x" for n in range(20)},
        formats(AX),
        error=UnknownFormat,
        says=(
            "f07",
            " and 12 more",
        ),
    ),
    "known by name and not converted": Case(
        {"m.bin": CBM},
        formats(AX),
        error=UnsupportedFormat,
        says=("m.bin is CatBoost cbm 1 (confidence 1.00: the bytes 'CBM1' at 0), which is not converted", "model.onnx"),
    ),
    "known by name and cut short": Case(
        {"m.cbm": CBM[:9]},
        formats(AX),
        error=UnsupportedFormat,
        says=("CatBoost", "only 9 bytes", "cut short: copy it"),
    ),
    "a format takes a known kind over": Case({"m.bin": CBM}, formats(TAKES_CBM), "mine: m.bin"),
    "a known kind beside a model is no second model": Case({"m": "AX", "w.bin": CBM}, formats(AX), "ax: m"),
    "a guess does not outweigh what is known": Case(
        {"w.bx": CBM}, formats(GUESS_CBM), error=UnsupportedFormat, says=("CatBoost",)
    ),
    "a tie with a known kind": Case(
        {"w.x": CBM}, formats(SURE_CBM), error=AmbiguousFormat, says=("2 formats recognise", "SURE", "CatBoost")
    ),
    "a tie with a known kind, and its suffix": Case({"w.cbm": CBM}, formats(SURE_CBM), error=UnsupportedFormat),
    "a tie with a known kind, and our suffix": Case({"w.sure": CBM}, formats(SURE_CBM), "sure: w.sure"),
    "no formats at all": Case({"m": "x"}, {}, error=UnknownFormat, says=("Looked for: nothing",)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_detect(case: Case, repo: Path) -> None:
    source = detect_path(plant(repo, case.tree))
    if case.error is None:
        match = detect(source, case.formats)
        assert f"{match.format}: {match.main}" == case.answer
        return
    with pytest.raises(case.error) as caught:
        detect(source, case.formats)
    for text in case.says:
        assert text in caught.value.explain()


def test_extra_files_are_named(repo: Path) -> None:
    source = detect_path(plant(repo, {"m": "AX", "w.bin": "", "notes": "x", "sub/y": "z"}))
    assert extra(source, detect(source, formats(WITH))) == ("notes", "sub/y")


def test_a_file_that_vanishes_is_a_drop_that_changed(repo: Path) -> None:
    plant(repo, {"m": "AX"})
    with pytest.raises(DropChanged, match="gone disappeared"):
        detect(Source(repo, ("gone",)), formats(AX))


def test_detect_path(repo: Path) -> None:
    plant(
        repo,
        {"d/m": "AX", "d/README": "x", "d/model.toml": "", "d/test/input_0.npy": "", "f.ax": "AX", "l": Link("f.ax")},
    )
    assert detect_path(repo / "d") == Source(repo / "d", ("m",))
    assert detect_path(repo / "f.ax") == Source(repo, ("f.ax",))
    assert detect_path(repo / "l") == Source(repo, ("f.ax",))
    with pytest.raises(DropError, match="cannot be read"):
        detect_path(repo / "gone")


def test_every_real_format_bears_strange_bytes(repo: Path) -> None:
    """Rule of Format.match: it never raises. Whatever formats there are, now and later."""
    plant(
        repo, {"a": b"", "b.onnx": b"\x08", "c": b"\xff" * 5000, "d.onnx": b"\x08\x07\x12\x7f", "sub/e.pb": b"\0" * 300}
    )
    for names in ((), ("a",), ("c",), ("sub/e.pb",)):
        with pytest.raises(UnknownFormat):
            detect(Source(repo, names))
    for names in (("b.onnx",), ("d.onnx",)):  # beginnings of something: recognised or not, but no other error
        with suppress(UnknownFormat):
            assert detect(Source(repo, names)).main == names[0]
