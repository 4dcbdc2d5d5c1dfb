"""Run a task of the tests in Environment base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.process.environments import Environments
from gateway.process.job import JobResult, JobSpec, run_job
from tests.models import base_python


def in_base(task: str, arguments: dict[str, Any], folder: Path, timeout_s: float = 120.0) -> JobResult:
    """`task` as "tests.formats.in_base:damage"; `folder` is the Job's, and must be empty or absent."""
    base_python()
    spec = JobSpec(task, arguments, "base", timeout_s, 0, "test", read=named(arguments))
    return run_job(spec, environments=Environments(), folder=folder, packages={"tests": Path(__file__).parent})


def named(arguments: Any) -> tuple[str, ...]:
    """Every path that the arguments of a task name and that is there: what its Job may read."""
    if isinstance(arguments, dict):
        return tuple(path for value in arguments.values() for path in named(value))
    if isinstance(arguments, (list, tuple)):
        return tuple(path for value in arguments for path in named(value))
    if isinstance(arguments, (str, Path)) and str(arguments).startswith("/") and Path(arguments).exists():
        return (str(arguments),)
    return ()
