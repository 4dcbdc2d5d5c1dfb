"""The Jobs of one conversion: same limits, same sandbox, same scratch folder, one clock a stage.

Rule 1: a Job reads what it is told to read and nothing else. What an earlier Job has left is named to a
        later one file by file, and only through `made_by`: a name that a child gives leads nowhere else.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.config import Jobs as JobSettings
from gateway.errors import JobCrashed, SandboxTooWeak
from gateway.formats.base import Format
from gateway.process import plain, sandbox_levels
from gateway.process.job import Interpreters, JobResult, JobSpec, Progress, run_job
from gateway.process.sandbox import NEEDED_BY_CODE, NEEDED_BY_DATA

Report = Callable[[str, float | None], None]
"""(stage, fraction in 0..1 or None): how far it is."""

LEAST_MEMORY = 2 << 30  # bytes; an interpreter with onnx, onnxruntime and a small model needs 200 MB
PER_BYTE = 6  # of the drop: its bytes, arrays of them, and a runtime's own copy, with room for activations


def memory_limit(settings: JobSettings, drop_bytes: int) -> int:
    """Bytes of resident memory for a Job over a drop of this size; at most 3/4 of the machine."""
    if settings.memory_bytes:
        return settings.memory_bytes
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(LEAST_MEMORY, LEAST_MEMORY // 2 + PER_BYTE * drop_bytes), machine * 3 // 4)


def min_level(source: Format, settings: JobSettings) -> int:
    """What sandbox a model of this format needs at least; the setting raises it. Errors: SandboxTooWeak, at once."""
    level = max(settings.sandbox_min_level, NEEDED_BY_DATA if source.data_only else NEEDED_BY_CODE)
    try:
        sandbox_levels.choose(level, max_level=settings.sandbox_max_level)
    except SandboxTooWeak as error:
        why = "its files are data" if source.data_only else "its files can carry code"
        raise SandboxTooWeak(f"{source.title} ({why}) is refused: {error.message}", hint=error.hint) from None
    return level


def made_by(result: JobResult, name: object) -> Path:
    """The file of that name in the Job's `out`. Errors: JobCrashed when it is not there, or leads elsewhere."""
    try:
        return plain.inside(result.out, name)
    except plain.NotPlain as error:
        raise JobCrashed(f"the answer of a Job is not to be used: {error}.") from None


ROOMY = ("tensorflow", "torch")
"""Environments whose framework reserves much address space that it never uses."""


class Jobs:
    """A context: its folder below `scratch` goes when it ends, with everything the Jobs left there."""

    def __init__(
        self,
        environments: Interpreters,
        settings: JobSettings,
        scratch: Path,
        drop_bytes: int,
        source: Format,
        report: Report | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        self._min_level = min_level(source, settings)
        self._address_space = source.address_space
        scratch.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="job-", dir=scratch))
        self.folder.chmod(0o711)  # a Job of root's may run as nobody: it goes through, to a folder of its own
        self.seconds: dict[str, float] = {}
        self.memory_mib: dict[str, int] = {}
        self.sandbox = ""
        self._environments, self._settings, self._report, self._cancel = environments, settings, report, cancel
        self._memory = memory_limit(settings, drop_bytes)
        self._count = 0

    def run(
        self, task: str, arguments: dict[str, Any], *, environment: str, stage: str, read: Iterable[str | Path] = ()
    ) -> JobResult:
        """Run one Job that reads `read`; its files stay until the context ends. Errors: as process.job.run_job."""
        self._count += 1
        self.say(stage)
        result = run_job(
            JobSpec(
                task,
                arguments,
                environment,
                self._settings.timeout_s,
                self._memory,
                stage,
                read=tuple(map(str, read)),
                address_space=self._address_space and environment not in ROOMY,
            ),
            environments=self._environments,
            folder=self.folder / f"{self._count}-{stage}",
            progress=self._pass_on,
            cancel=self._cancel,
            min_level=self._min_level,
            max_level=self._settings.sandbox_max_level,
        )
        self.seconds[stage] = self.seconds.get(stage, 0.0) + result.seconds
        self.memory_mib[stage] = max(self.memory_mib.get(stage, 0), result.peak_bytes >> 20)
        self.sandbox = min(self.sandbox or result.sandbox, result.sandbox)
        return result

    def say(self, stage: str, fraction: float | None = None) -> None:
        if self._report is not None:
            self._report(stage, fraction)

    def _pass_on(self, progress: Progress) -> None:
        self.say(progress.stage, progress.fraction)

    def __enter__(self) -> Jobs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
