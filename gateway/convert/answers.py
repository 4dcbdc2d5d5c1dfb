"""What the Jobs of a verification answer, made sure of before it is used: a model may have taken its child over.

Rule 1: an answer of another form is a JobCrashed, never an exception of ours from somewhere further on.
Rule 2: a file is one in the Job's own `out`, or one that we have named ourselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gateway.convert.jobs import made_by
from gateway.convert.question import Answers, Case
from gateway.errors import JobCrashed
from gateway.process.job import JobResult

T = TypeVar("T")
_WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def of_form(stage: str, read: Callable[[], T]) -> T:
    """What `read` makes of an answer. Errors: JobCrashed where the answer has another form."""
    try:
        return read()
    except _WRONG as error:
        raise JobCrashed(f"{stage}: the Job's answer is not of the expected form: {error!r}.") from error


def of_oracle(result: JobResult, because: str, environment: str) -> Answers:
    """The answer of formats/tasks:oracle. `because` says why no better judge sat."""
    return of_form("oracle", lambda: _of_oracle(result, because, environment))


def _of_oracle(result: JobResult, because: str, environment: str) -> Answers:
    value = result.value
    if not isinstance(value["unread"], bool) or not isinstance(value["hints"], dict):
        raise TypeError("unread or hints")
    cases = [
        Case(
            str(case["name"]),
            str(case["kind"]),
            None if case["row"] is None else int(case["row"]),
            made_by(result, case["inputs"]),
            made_by(result, case["outputs"]),
        )
        for case in value["cases"]
    ]
    return Answers(
        str(value["oracle"]),
        "; ".join(filter(None, (because, str(value["reason"])))),
        str(value["unjudged"]),
        str(value["sizing"]),
        cases,
        [{"name": str(row["name"]), "why": str(row["why"])} for row in value["refused"]],
        {str(name): hint for name, hint in value["hints"].items()},
        environment,
    )


def of_run(result: JobResult, given: Mapping[str, str]) -> dict[str, Any]:
    """The answer of runtimes/tasks:run. `given` are the inputs we named, by case: each must have been answered."""
    return of_form("run", lambda: _of_run(result, given))


def _of_run(result: JobResult, given: Mapping[str, str]) -> dict[str, Any]:
    value = result.value
    cases = [_case(result, case, given) for case in value["cases"]]
    if given and {case["name"] for case in cases} != set(given):
        raise ValueError("its cases are not those that were asked")
    return {
        "cases": cases,
        "unstable": [str(name) for name in value["unstable"]],
        "why": str(value["why"]),
        "placement": {"runtime": str(value["placement"]["runtime"])},
        "timed": _timed(value.get("timed")),
        "warmup": str(value.get("warmup", "")),
    }


def _timed(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if value is None:
        return None
    ms, calls = float(value["ms"]), int(value["calls"])
    if not (math.isfinite(ms) and ms >= 0 and calls > 0):
        raise ValueError("timed")
    return {"ms": ms, "calls": calls}


def _case(result: JobResult, case: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    name = str(case["name"])
    inputs = given[name] if name in given else str(file_of(result, case["inputs"]))
    outputs = "" if case["error"] else made_by(result, case["outputs"]).name
    row = None if case["row"] is None else int(case["row"])
    found = {"name": name, "kind": str(case["kind"]), "row": row, "error": str(case["error"])}
    return found | {"inputs": inputs, "outputs": outputs, "seconds": float(case["seconds"])}


def file_of(result: JobResult, path: Any) -> Path:
    """A file that a Job names by its whole path: the one of that name in its `out`. Errors: JobCrashed."""
    return made_by(result, Path(path).name if isinstance(path, str) else path)


def files_of(result: JobResult, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    """The `file` of every row."""
    return of_form("files", lambda: [file_of(result, row["file"]) for row in rows])
