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
    spec = JobSpec(task, arguments, "base", timeout_s, 0, "test")
    return run_job(spec, environments=Environments(), folder=folder, packages={"tests": Path(__file__).parent})
