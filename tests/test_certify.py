"""tools/certify.py: which rows are done again, what CI samples, and that the page is what was seen."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.formats.base import all_formats
from tests import zoo

ROOT = Path(__file__).parent.parent


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("certify", ROOT / "tools" / "certify.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["certify"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


certify = load()
row = certify.OURS
SEEN: dict[str, Any] = {
    "verdict": "passed", "judge": "j", "reason": "r", "operators": 3, "kinds": 2, "format": "onnx", "snr_db": "inf",
    "max_abs": None, "diverges_at": "", "seconds": 1.0, "memory_mib": 9, "exit": 0,
}  # fmt: skip
ENTRY = {"row": row.kept(), "seen": SEEN, "commit": "abc", "code": "c1"}

DONE = {
    "never seen": (None, row, "c1", False),
    "seen": (ENTRY, row, "c1", True),
    "seen with other code": (ENTRY, row, "c2", False),
    "the row has changed": (ENTRY, replace(row, sha256="0" * 64), "c1", False),
}


@pytest.mark.parametrize(("entry", "row", "code", "expected"), DONE.values(), ids=DONE.keys())
def test_done(entry: dict[str, Any] | None, row: Any, code: str, expected: bool) -> None:
    assert certify.done(entry, row, code) is expected


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_sample_rotates_through_all_rows(count: int) -> None:
    rows = [replace(row, name=str(n)) for n in range(7)]
    days = [[r.name for r in certify.sample(rows, count, day)] for day in range(7)]
    assert all(len(names) == count for names in days)
    assert {name for names in days for name in names} == {r.name for r in rows}
    assert len({tuple(names) for names in days}) == 7


def test_the_sample_of_few_rows() -> None:
    assert [r.name for r in certify.sample([row], 2, 5)] == ["digits"]
    assert certify.sample([], 2, 5) == []


def test_what_did_not_pass_is_said_with_its_reason() -> None:
    failed = ENTRY | {"row": replace(row, why="a known limit.").kept(), "seen": SEEN | {"verdict": "failed"}}
    text = certify.page({"a": failed})
    assert "| a | model_repo/digits/1 | onnx | 3 of 2 kinds | **failed** | j | inf |" in text
    assert "- **a: failed.** a known limit." in text


def test_the_page_is_what_was_seen() -> None:
    state = certify.read_state()
    rows = [certify.OURS, *zoo.rows()]
    in_order = {row.name: state[row.name] for row in rows if row.name in state}
    assert certify.PAGE.read_text() == certify.page(in_order), "run `tools/certify.py --page`"
    assert set(state) <= {row.name for row in rows}


def test_the_code_digest_covers_what_makes_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert all((ROOT / "gateway" / folder).is_dir() for folder in certify.ANSWERS)
    made = {name: certify.code_digest(name) for name in all_formats()}
    assert all(len(digest) == 16 for digest in made.values())
    # A change in one format leaves the rows of the others as they are; one in what all use does not.
    copy = shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "deploy" / "envs", tmp_path / "deploy" / "envs")
    monkeypatch.setattr(certify, "ROOT", tmp_path)
    assert {name: certify.code_digest(name) for name in made} == made
    (copy / "formats" / "mxnet" / "emit.py").write_text("# other\n")
    assert {name for name in made if certify.code_digest(name) != made[name]} == {"mxnet"}
    (copy / "core" / "compare.py").write_text("# other\n")
    assert all(certify.code_digest(name) != made[name] for name in made)


def test_a_row_whose_file_is_not_beside_this_checkout_is_not_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI's clone has no folder beside it: the sample must not end over such a row."""
    away = replace(row, name="away", path="../no/such/model")
    assert away.absent
    assert not row.absent
    monkeypatch.setattr(certify, "read_state", lambda: {"away": ENTRY, "here": ENTRY})
    asked: list[str] = []

    def certified(one: Any) -> dict[str, Any]:
        asked.append(one.name)
        return SEEN

    monkeypatch.setattr(certify, "certify", certified)
    assert certify.recheck([away, replace(row, name="here")], 1) == 0
    assert asked == ["here"]
