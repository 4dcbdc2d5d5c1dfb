"""Answers of Jobs that a model may have taken over: of another form, or naming files that are not theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import Jobs as JobSettings
from gateway.config import Settings
from gateway.convert.answers import of_oracle, of_run
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import Verdict
from gateway.core.modeltoml import ModelOptions
from gateway.errors import JobCrashed
from gateway.process import sandbox_levels
from gateway.process.environments import Environments
from gateway.process.job import JobResult
from tests import models
from tests.convert.test_converter import recognised

CASE = {"name": "a", "kind": "normal", "row": None, "inputs": "in", "outputs": "out", "seconds": 0.1, "error": ""}
RUN = {"cases": [CASE], "unstable": [], "why": "", "placement": {"runtime": "r"}}
ORACLE = {"oracle": "o", "reason": "", "unjudged": "", "sizing": "", "refused": [], "hints": {}, "unread": False,
          "cases": [CASE]}  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("in", "out"):
        (folder / name).write_bytes(b"x")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "second").hardlink_to(folder / "in")
    (folder / "second").unlink()
    return folder


def result(value: dict[str, Any], out: Path) -> JobResult:
    return JobResult(value, out, 0.0, 0, "", "L2")


def with_case(value: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return value | {"cases": [CASE | changes]}


NOT_USED = {
    "outputs by an absolute path": ({"outputs": "/etc/passwd"}, "not the name of a file"),
    "outputs by dots": ({"outputs": "../out/in"}, "not the name of a file"),
    "outputs through a link": ({"outputs": "link"}, "cannot be opened as a plain file"),
    "outputs that are not there": ({"outputs": "nowhere"}, "cannot be opened"),
    "outputs that are a number": ({"outputs": 3}, "not the name of a file"),
    "a row that is text": ({"row": "x"}, "not of the expected form"),
}


@pytest.mark.parametrize(("changes", "says"), NOT_USED.values(), ids=NOT_USED.keys())
def test_a_case_that_is_not_used(changes: dict[str, Any], says: str, out: Path) -> None:
    with pytest.raises(JobCrashed, match=says):
        of_run(result(with_case(RUN, **changes), out), {})
    with pytest.raises(JobCrashed, match=says):
        of_oracle(result(with_case(ORACLE, **changes), out), "", "base")


FORMS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "cases are a number": RUN | {"cases": 3},
    "a case is text": RUN | {"cases": ["x"]},
    "no placement": {key: value for key, value in RUN.items() if key != "placement"},
    "a case without a name": RUN | {"cases": [{key: value for key, value in CASE.items() if key != "name"}]},
}


@pytest.mark.parametrize("value", FORMS.values(), ids=FORMS.keys())
def test_an_answer_of_another_form(value: dict[str, Any], out: Path) -> None:
    with pytest.raises(JobCrashed, match="not of the expected form"):
        of_run(result(value, out), {})
    with pytest.raises(JobCrashed, match="not of the expected form"):
        of_oracle(result(value, out), "", "base")


def test_inputs_that_we_named_are_ours_whatever_the_job_says(out: Path) -> None:
    """They go into the artifact as its warm-up: a path of the child's choice would be copied."""
    found = of_run(result(with_case(RUN, inputs="/etc/shadow"), out), {"a": "/ours"})
    assert found["cases"][0]["inputs"] == "/ours"
    with pytest.raises(JobCrashed, match="cannot be opened"):
        of_run(result(with_case(RUN, inputs="/etc/shadow"), out), {})
    with pytest.raises(JobCrashed, match="not those that were asked"):
        of_run(result(RUN, out), {"a": "/ours", "b": "/ours"})


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_conversion_at_each_level(level: int, tmp_path: Path) -> None:
    reached = sandbox_levels.reached()
    if reached.level < level:
        pytest.skip(f"sandbox level L{level} is not reached here: {reached.missing[level]}")
    source, match = recognised(models.folder("embedding"))
    settings = Settings(jobs=JobSettings(sandbox_max_level=level))
    request = ConvertRequest(source, match, ModelOptions())
    artifact = Converter(Environments(), settings, tmp_path / "scratch").convert(request, tmp_path / "out")
    assert artifact.verification.verdict is Verdict.PASSED
    assert artifact.provenance.sandbox == f"L{level}"
