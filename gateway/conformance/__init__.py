"""`gateway conformance`: one table a dialect of what clients of the original may meet here.

    gateway/conformance/DIALECT.toml

    title, original, intro          of the page; `original` says which server `ran` means
    [[row]]
    call    what a client does; unique within its api
    api     grpc | rest | cli | metrics | files
    ours    status and the words that matter
    theirs  the same of the original
    seen    ran (sent to a real server) | read (in its source or documentation)
    verdict same | different | missing
    why     different: "truth: ...", "security: ..." or "surface: ..."; missing: a sentence; same: ""
    test    the test function that shows `ours`; "" only where it is missing

`same` means that a client of the original cannot tell, or sees only more: another key, words of
an error that name more.

Rule 1: no difference without a reason, no reason without a test (tests/test_conformance.py).
Rule 2: docs/conformance.md is what `page` gives; nobody edits it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
APIS = ("grpc", "rest", "cli", "metrics", "files")
SEEN = ("ran", "read")
VERDICTS = ("same", "different", "missing")
REASONS = ("truth: ", "security: ", "surface: ")
HEAD = """# Conformance

What clients of three servers may rely on here, and every difference that we know. This page is written by
`make conformance` (`gateway conformance` prints it) from the rows in `gateway/conformance/`; a test looks that it is
current, that every difference has a reason and every row a test.

*ran*: the same bytes were sent to a real server of that kind. *read*: taken from its source or documentation.
A *different* row says why: **truth** (a wrong number or a hidden fault), **security**, or **surface** (one port for all
dialects).
"""


@dataclass(frozen=True)
class Row:
    call: str
    api: str
    ours: str
    theirs: str
    seen: str
    verdict: str
    why: str
    test: str


@dataclass(frozen=True)
class Dialect:
    title: str
    original: str
    intro: str
    rows: tuple[Row, ...]

    def count(self, verdict: str) -> int:
        return sum(row.verdict == verdict for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        counts = {"calls": len(self.rows), **{verdict: self.count(verdict) for verdict in VERDICTS}}
        rows = [{item.name: getattr(row, item.name) for item in fields(Row)} for row in self.rows]
        return {"title": self.title, "original": self.original, "counts": counts, "rows": rows}


def read(file: Path) -> Dialect:
    """One dialect. Errors: ValueError that names the file and every wrong row."""
    data = tomllib.loads(file.read_text("utf-8"))
    keys, problems, rows = [item.name for item in fields(Row)], [], []
    for number, given in enumerate(data.pop("row", []), start=1):
        if sorted(given) != sorted(keys) or not all(isinstance(value, str) for value in given.values()):
            problems.append(f"row {number} ({given.get('call')}): the keys are {', '.join(keys)}, all text")
            continue
        row = Row(**given)
        problems += [f"row {number} ({row.api}, {row.call}): {problem}" for problem in _problems(row)]
        rows.append(row)
    names = [(row.api, row.call) for row in rows]
    problems += [f"{name} stands there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if sorted(data) != ["intro", "original", "title"]:
        problems.append(f"the head has {sorted(data)}, expected title, original, intro")
    if problems:
        raise ValueError(f"{file.name}: " + "; ".join(problems))
    return Dialect(data["title"], data["original"], data["intro"], tuple(rows))


def _problems(row: Row) -> list[str]:
    found = []
    for name, allowed in (("api", APIS), ("seen", SEEN), ("verdict", VERDICTS)):
        if getattr(row, name) not in allowed:
            found.append(f"{name} is {getattr(row, name)!r}, expected one of {', '.join(allowed)}")
    if row.verdict == "same" and row.why:
        found.append("the same needs no why")
    if row.verdict == "different" and not (row.why.startswith(REASONS) and row.why.partition(": ")[2]):
        found.append(f"why is {row.why!r}, expected one of {', '.join(REASONS)} and a reason")
    if row.verdict == "missing" and not row.why:
        found.append("what is missing needs a why")
    if row.verdict != "missing" and "::" not in row.test:
        found.append(f"test is {row.test!r}, expected FILE::FUNCTION")
    return found


def dialects() -> list[Dialect]:
    """All of them, by title. Errors: ValueError."""
    return sorted((read(file) for file in FOLDER.glob("*.toml")), key=lambda dialect: dialect.title)


def summary(found: Sequence[Dialect]) -> str:
    lines = ["| dialect | calls | same | different by decision | missing |", "|---|---|---|---|---|"]
    for one in found:
        counts = " | ".join(str(one.count(verdict)) for verdict in VERDICTS)
        lines.append(f"| {one.title} | {len(one.rows)} | {counts} |")
    return "\n".join(lines) + "\n"


def page(found: Sequence[Dialect]) -> str:
    """docs/conformance.md."""
    parts = [HEAD, summary(found)]
    for one in found:
        parts.append(f"\n## {one.title}\n\nThe original: {one.original}. {one.intro}".rstrip() + "\n")
        for verdict, title in (
            ("missing", "Missing"),
            ("different", "Different by decision"),
            ("same", "The same"),
        ):
            rows = [row for row in one.rows if row.verdict == verdict]
            if rows:
                parts.append(f"\n### {title}: {len(rows)}\n\n{_table(rows, with_why=verdict != 'same')}")
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _table(rows: Sequence[Row], *, with_why: bool) -> str:
    """Of what is the same only the original's answer is shown: ours is no other."""
    heads = ["api", "call", "the original's"] + (["ours", "why"] if with_why else []) + ["seen"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [row.api, row.call, row.theirs] + ([row.ours, row.why] if with_why else []) + [row.seen]
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text as Markdown shows it: bars end a cell, and angle brackets would be HTML."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ").replace("*", "\\*")
