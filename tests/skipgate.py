"""The skip gate, a pytest plugin: a skip is a test that did not run, so each is named, and in CI listed or red.

tests/allowed_skips.toml holds the skips that cannot be helped:

    [[skip]]
    test = "tests/runtimes/test_ort.py::test_cuda*"   # pattern of the test's id
    reason = "no CUDA*"                               # pattern of the reason it gives
    why = "CI has no GPU"

Rule 1: with CI=true a skip without a row makes the run fail, and all such skips are listed; elsewhere
        they are only listed.
Rule 2: a row that matched nothing is said to be stale; it does not fail, for machines differ.
"""

from __future__ import annotations

import fnmatch
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ALLOWED = Path(__file__).parent / "allowed_skips.toml"
KEYS = {"test", "reason", "why"}


@dataclass(frozen=True)
class Row:
    test: str
    reason: str
    why: str

    def covers(self, test: str, reason: str) -> bool:
        return fnmatch.fnmatchcase(test, self.test) and fnmatch.fnmatchcase(reason, self.reason)


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of allowed_skips.toml. Errors: UsageError with every wrong row."""
    data = tomllib.loads(path.read_text()) if path.exists() else {}
    problems = [f"no such key {key!r}, expected [[skip]]" for key in data if key != "skip"]
    for number, row in enumerate(data.get("skip", []), start=1):
        if set(row) != KEYS or not all(isinstance(value, str) and value for value in row.values()):
            problems.append(f"[[skip]] {number} has {sorted(row)}, expected texts {sorted(KEYS)}")
    if problems:
        raise pytest.UsageError(f"{path.name}: " + "; ".join(problems))
    return tuple(Row(**row) for row in data.get("skip", []))


@dataclass(eq=False)  # a plugin is told from another by identity
class Gate:
    rows: Sequence[Row]
    strict: bool
    whole_run: bool
    skips: list[tuple[str, str]] = field(default_factory=list)

    @property
    def unlisted(self) -> list[tuple[str, str]]:
        return [skip for skip in self.skips if not any(row.covers(*skip) for row in self.rows)]

    @property
    def stale(self) -> list[Row]:
        return [row for row in self.rows if not any(row.covers(*skip) for skip in self.skips)]

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            where = report.longrepr
            reason = where[2] if isinstance(where, tuple) else str(where)
            self.skips.append((report.nodeid, reason.removeprefix("Skipped: ")))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (
            self.strict
            and self.unlisted
            and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unlisted:
            verdict = "the run fails" if self.strict else "CI would fail"
            terminalreporter.section(f"skips that allowed_skips.toml does not list: {verdict}", red=self.strict)
            for test, reason in self.unlisted:
                terminalreporter.write_line(f"{test}: {reason}")
        if self.whole_run and self.stale:
            terminalreporter.section("stale rows of allowed_skips.toml: nothing was skipped for them", yellow=True)
            for row in self.stale:
                terminalreporter.write_line(f"{row.test}: {row.reason}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--allowed-skips", type=Path, default=ALLOWED, help="the list of skips that CI tolerates")


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.option.keyword or config.option.markexpr not in ("", "not slow")
    whole = not chosen and config.args_source is not pytest.Config.ArgsSource.ARGS
    strict = os.environ.get("CI", "").lower() in ("1", "true", "yes")
    config.pluginmanager.register(Gate(read_rows(config.option.allowed_skips), strict, whole), "skipgate")
