"""The child's side of a Job: read job.json, hold still in the sandbox, run the task, write result.json.

A task is a function `def task(job: ChildJob) -> dict` in a module below `gateway`. What it returns
must be JSON; files go into `job.out`; what it prints goes to the log.

Rule 1: the sandbox is applied before the task's module, and with it anything heavy, is imported.
Rule 2: result.json appears whole, by a rename, or not at all.
Rule 3: the process ends with os._exit: a framework that crashes while it is torn down does not
        spoil a result that is there.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError, JobCrashed, JobOutOfMemory, StoreError
from gateway.process import sandbox

EXIT_NO_SPACE = 74  # sysexits.h EX_IOERR: the result itself could not be written
EXIT_SANDBOX = 77  # EX_NOPERM: the sandbox could not be applied
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class ChildJob:
    """What a task sees. `arguments` is what the gateway sent; `out` is an empty folder for its files."""

    arguments: dict[str, Any]
    out: Path
    stage: str = ""
    _progress: Path | None = field(default=None, repr=False)

    def progress(self, stage: str, fraction: float | None = None) -> None:
        """Tell whoever watches where the task is; `fraction` in 0..1. Never an error."""
        if self._progress is None:
            return
        line = json.dumps({"stage": stage, "fraction": fraction}) + "\n"
        with contextlib.suppress(OSError), self._progress.open("a") as stream:
            stream.write(line)


def main(arguments: list[str]) -> None:
    """Run the Job of the folder `arguments[0]`; does not return."""
    folder = Path(arguments[0])
    job = json.loads((folder / "job.json").read_text())
    try:
        sandbox.enter(sandbox.Hold.from_json(job["hold"]))
    except Exception as error:  # noqa: BLE001  whatever the reason: not held, not run
        print(f"sandbox: {error!r}", file=sys.stderr)  # noqa: T201  stderr is the log
        _exit(EXIT_SANDBOX)
    child = ChildJob(job["arguments"], folder / "out", job["stage"], folder / "progress.jsonl")
    try:
        # dumps stands inside: a value that is not JSON is the task's error, with its traceback.
        text = json.dumps({"value": _find(job["task"])(child), "peak_bytes": _peak_bytes()})
    except BaseException as error:  # noqa: BLE001  whatever a framework raises, the parent learns its name
        traceback.print_exc()
        text = json.dumps({"error": _as_ours(error).to_json(), "peak_bytes": _peak_bytes()})
    _exit(_write(folder, text))


def _find(task: str) -> Callable[[ChildJob], dict[str, Any]]:
    module, _, name = task.partition(":")
    function: Callable[[ChildJob], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function


def _as_ours(error: BaseException) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, MemoryError):
        return JobOutOfMemory("an allocation was refused within the Job's memory limit.")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return StoreError(f"no space is left for the Job's files: {cause}.", hint="Free some, then try again.")
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(error).split())
    return JobCrashed(f"the task ended with {type(error).__name__}" + (f": {text[:2000]}" if text else ""))


def _peak_bytes() -> int:
    """Most memory this process held. Not getrusage: its ru_maxrss is inherited from the parent over exec."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _write(folder: Path, text: str) -> int:
    beside = folder / "result.json.part"
    try:
        beside.write_text(text)
        beside.replace(folder / "result.json")
    except OSError as error:
        traceback.print_exc()
        return EXIT_NO_SPACE if error.errno in _FULL else 1
    return 0


def _exit(code: int) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
