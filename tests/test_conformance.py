"""The page is current, every row has its test, and no difference is unexplained."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

import pytest

from gateway import conformance
from gateway.cli import main

ROOT = Path(__file__).parents[1]
ROW = """
[[row]]
call = "a"
api = "grpc"
ours = "OK"
theirs = "OK"
seen = "ran"
verdict = "same"
why = ""
test = "tests/test_conformance.py::test_a_wrong_row_is_refused"
"""
HEAD = 'title = "T"\noriginal = "O"\nintro = ""\n'


def test_the_page_is_current() -> None:
    page = (ROOT / "docs/conformance.md").read_text("utf-8")
    assert page == conformance.page(conformance.dialects()), "run `make conformance` and commit"


@cache
def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("dialect", conformance.dialects(), ids=lambda dialect: dialect.title)
def test_every_test_that_a_row_names_is_there(dialect: conformance.Dialect) -> None:
    named = {row.test for row in dialect.rows if row.test}
    missing = [name for name in sorted(named) if name.partition("::")[2] not in functions(name.partition("::")[0])]
    assert not missing


WRONG = {
    "a difference without a reason": (('"same"', '"different"'), "expected one of truth: , security: , surface: "),
    "a reason that is none of the three": (
        ('"same"\nwhy = ""', '"different"\nwhy = "because"'),
        "why is 'because', expected one of truth: ",
    ),
    "a reason without words": (('"same"\nwhy = ""', '"different"\nwhy = "truth: "'), "why is 'truth: '"),
    "missing without a sentence": (('"same"', '"missing"'), "what is missing needs a why"),
    "a reason for what is the same": (('why = ""', 'why = "truth: x"'), "the same needs no why"),
    "another api": (('"grpc"', '"soap"'), "api is 'soap', expected one of grpc, rest, cli, metrics, files"),
    "neither ran nor read": (('"ran"', '"heard"'), "seen is 'heard', expected one of ran, read"),
    "another verdict": (('"same"', '"alike"'), "verdict is 'alike', expected one of same, different, missing"),
    "no test": (("tests/test_conformance.py::test_a_wrong_row_is_refused", ""), "test is '', expected FILE::FUNCTION"),
    "a key too few": (('seen = "ran"\n', ""), "the keys are call, api, ours, theirs, seen, verdict, why, test"),
    "no text": (('"OK"\ntheirs', "1\ntheirs"), "all text"),
    "a call twice": (("", ""), "('grpc', 'a') stands there twice"),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_row_is_refused(row: tuple[tuple[str, str], str], tmp_path: Path) -> None:
    (old, new), expected = row
    text = HEAD + (ROW.replace(old, new, 1) if old else ROW + ROW)
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ValueError) as caught:
        conformance.read(tmp_path / "x.toml")
    assert expected in str(caught.value)


def test_a_head_with_other_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('title = "T"\n' + ROW)
    with pytest.raises(ValueError, match="expected title, original, intro"):
        conformance.read(tmp_path / "x.toml")


def test_cells_cannot_break_the_table() -> None:
    row = conformance.Row("a|b", "rest", "x", "<id> *", "ran", "same", "", "t::f")
    found = conformance.page([conformance.Dialect("T", "O", "", (row,))])
    assert "| rest | a\\|b | &lt;id> \\* | ran |" in found.splitlines()


def test_the_command_prints_what_the_page_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = conformance.dialects()
    assert main(["conformance", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [dialect.to_json() for dialect in found]
    assert main(["conformance"]) == 0
    assert capsys.readouterr().out.strip() == conformance.page(found).strip()
    assert main(["conformance", "--out", str(tmp_path / "page.md")]) == 0
    assert capsys.readouterr().out.strip() == conformance.summary(found).strip()
    assert (tmp_path / "page.md").read_text("utf-8") == conformance.page(found)
