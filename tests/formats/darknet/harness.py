"""Runs the table: one child of ours converts and interprets every row, one child of OpenCV answers what it can.

Rule 1: outputs are compared by name, unsorted, with shape and dtype, at the limits of core/compare.
Rule 2: a row is judged by our interpreter, and by OpenCV unless the row says that it does not compute it so:
        then OpenCV has to be refused by name.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tests
from gateway.core.compare import compare
from gateway.process import wire
from gateway.process.environments import Environments
from gateway.process.job import JobResult, JobSpec, run_job
from tests.environments import environment
from tests.formats.darknet.rows import Case


def folder_of(case: Case, folder: Path) -> Path:
    """The drop of a row."""
    case.make().save(folder)
    for name, text in case.beside:
        (folder / name).write_text(text)
    return folder


def run_table(cases: Mapping[str, Case]) -> dict[str, list[str]]:
    """What is wrong with each row: nothing, as it should be. Skips visibly where an Environment is not built."""
    environment("base"), environment("opencv")
    root = Path(tempfile.mkdtemp(prefix="darknet-rows-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    folders = {name: str(folder_of(case, root / str(number))) for number, (name, case) in enumerate(cases.items())}
    made = run_child("tests.formats.darknet.child:convert", {"rows": folders}, "base", root)
    ours = made.value
    asked = {
        name: {"folder": folders[name], "number": number, **ours[name]}
        for number, (name, case) in enumerate(cases.items())
        if "error" not in ours[name] and not case.refused
    }
    said = run_child("tests.formats.darknet.child:opencv", {"rows": asked}, "opencv", root)
    return {name: _problems(case, ours[name], asked.get(name), said, name) for name, case in cases.items()}


def _problems(
    case: Case, ours: Mapping[str, Any], asked: Mapping[str, Any] | None, said: JobResult, name: str
) -> list[str]:
    if case.refused:
        right = case.refused in ours.get("message", "") and not ours.get("crash")
        return [] if right else [f"expected a refusal with {case.refused!r}, got {ours.get('message', 'an answer')}"]
    if asked is None:
        return [f"{ours['error']}: {ours['message']}"]
    problems = [f"the interpreter: {ours['interpreter']}"] if ours["interpreter"] else []
    if case.opencv and said.value[name]:
        problems.append(f"OpenCV was to judge: {said.value[name]}")
    if not case.opencv and not said.value[name].startswith("OpenCV does not judge it"):
        problems.append(f"OpenCV was not to judge, and said: {said.value[name] or 'an answer'}")
    out = Path(asked["out"])
    for number in range(asked["probes"]):
        mine = wire.load(out / f"{number}.ours")
        judges = {"interpreter": out / f"{number}.interpreter", "OpenCV": said.out / f"{asked['number']}.{number}"}
        for judge, file in judges.items():
            if not file.exists():
                continue
            theirs = wire.load(file)
            problems += [] if list(theirs) == list(mine) else [f"{judge} gives {list(theirs)}, we {list(mine)}"]
            for key in theirs:
                found = compare(theirs[key], mine[key], case=str(number), output=key)
                problems += [] if found.passed else [f"{judge}, probe {number}, {key}: {found.problem}"]
    return problems


def run_child(task: str, arguments: dict[str, Any], name: str, root: Path, timeout_s: float = 600.0) -> JobResult:
    """One child of Environment `name`, the package `tests` in it; its files stay for the session."""
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=root))
    spec = JobSpec(task, arguments, name, timeout_s, 0, "test")
    packages = {"tests": Path(str(tests.__file__)).parent}
    # L1: these tasks are the tests' own, and write into folders that the tests name.
    return run_job(spec, environments=Environments(), folder=folder / "job", packages=packages, max_level=1)
