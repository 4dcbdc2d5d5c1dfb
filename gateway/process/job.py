"""A Job: one task in a child process of an Environment, its limits enforced from outside.

Parent and child speak through a folder, never stdout, which frameworks print to:

    job.json        task, arguments, limits                  parent writes
    out/            the files the task makes                 child writes
    progress.jsonl  {"stage", "fraction"} a line             child appends
    log.txt         stdout and stderr                        child appends, parent trims
    result.json     {"value"} or {"error"}                   child writes last, by a rename

Rule 1: every wait has a wall clock, kept here; at its end the child's whole family is killed
        and reaped, on every way out of `run_job`.
Rule 2: an error of ours that the task raised is raised here, as the same class. Anything else
        is a JobError that says how the child ended and the last line it printed.
Rule 3: what the child wrote is untrusted: bounded, a plain file, of the expected form. Whoever takes
        files out of `out` goes through process/plain.py.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gateway.errors import (
    EnvironmentMissing,
    GatewayError,
    JobCancelled,
    JobCrashed,
    JobError,
    JobOutOfMemory,
    JobTimeout,
    StoreError,
)
from gateway.process import family, joblog, plain, sandbox, sandbox_levels, sandbox_user, spawn
from gateway.process.child import EXIT_NO_SPACE, EXIT_SANDBOX

TICK_S = 0.05  # between two looks at memory, log, progress and cancellation
MAX_RESULT = 64 << 20  # bytes of result.json
MAX_PROGRESS = 1 << 20  # bytes of progress.jsonl that are read
MAX_MESSAGE = 20_000  # characters of an error that a child raised
MAX_FILE = 1 << 40  # bytes of one file that a Job may write
_TASK = re.compile(r"([A-Za-z_]\w*)(\.[A-Za-z_]\w*)+:[A-Za-z_]\w*")
_NO_MEMORY = re.compile(r"std::bad_alloc|MemoryError|[Cc]annot allocate memory|[Ff]ailed to allocate memory")


@dataclass(frozen=True)
class JobSpec:
    """What to run: `task` is "gateway.formats.tasks:convert"; `arguments` and its result are JSON.

    `memory_bytes` bounds the resident memory of the child and all it starts; 0 is unbounded.
    `stage` is the word for people: "convert", "oracle". `read` are the files and folders, absolute, that the
    task reads beside its interpreter and its own folder: from sandbox level L2 on there is nothing else.
    `address_space` False: for frameworks that reserve much address space; resident memory stays bounded.
    """

    task: str
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: str = "base"
    timeout_s: float = 1800.0
    memory_bytes: int = 0
    stage: str = "job"
    read: tuple[str, ...] = ()
    address_space: bool = True


@dataclass(frozen=True)
class Progress:
    """Where a Job is. `fraction` is in 0..1, or None where nobody can tell."""

    stage: str
    fraction: float | None = None


@dataclass(frozen=True)
class JobResult:
    """What came back. Files are in `out`; `peak_bytes` is the most resident memory seen; `log` is safe to show."""

    value: dict[str, Any]
    out: Path
    seconds: float
    peak_bytes: int
    log: str
    sandbox: str


class Interpreter(Protocol):
    @property
    def python(self) -> Path: ...


class Interpreters(Protocol):
    """Whoever finds an Environment's Python; process/environments.py does. Errors: EnvironmentMissing."""

    def find(self, name: str) -> Interpreter: ...


def run_job(
    spec: JobSpec,
    *,
    environments: Interpreters,
    folder: Path,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    min_level: int = 0,
    max_level: int = sandbox.LEVELS[-1],
    packages: Mapping[str, Path] | None = None,
) -> JobResult:
    """Run one Job and wait for it; for threads of the gateway.

    `folder` is the Job's own: made here if need be, empty, and removed by the caller when it has
    taken what it wants; `joblog.read(folder / "log.txt")` is the log, also after an error.
    `packages` are further packages, by name, that a task may live in; the
    product passes none, its tests do.

    Errors: what the task raised; JobCrashed, JobTimeout, JobOutOfMemory, JobCancelled,
    SandboxTooWeak, EnvironmentMissing, StoreError.
    """
    known = {"gateway", *(packages or {})}
    if not _TASK.fullmatch(spec.task) or spec.task.partition(".")[0] not in known:
        raise JobError(f"{spec.task!r} is not a task; expected module:function below {', '.join(sorted(known))}.")
    python = environments.find(spec.environment).python
    level = sandbox_levels.choose(min_level, python, max_level=max_level)
    folder = folder.absolute()
    hold = _hold(spec, python, folder, level, packages or {})
    log = _prepare(spec, folder, hold)
    try:
        argv = spawn.command(python, "gateway.process.child", [str(folder)], packages)
        started = time.monotonic()
        process = spawn.start(hold.wrap(argv), spawn.environment(python, folder), folder, log)
    except FileNotFoundError:
        raise EnvironmentMissing(spec.environment, why=f"its interpreter {python} is gone") from None
    except OSError as error:
        raise JobError(f"{spec.stage}: the child process could not be started: {error.strerror}.") from error
    finally:
        os.close(log)
    watch = _Watch(spec, folder, process, progress, cancel, started, _oom_kills())
    try:
        watch.until_it_ends()
    finally:
        family.kill(process)
        sandbox_user.take_back(folder)
    return watch.result(hold)


def _hold(spec: JobSpec, python: Path, folder: Path, level: int, packages: Mapping[str, Path]) -> sandbox.Hold:
    limits = sandbox.Limits(
        memory_bytes=spec.memory_bytes,
        cpu_s=int(spec.timeout_s * (os.cpu_count() or 1)) + 60,
        file_bytes=MAX_FILE,
        parent=os.getpid(),
        address_space=spec.address_space,
    )
    ours = (spawn.GATEWAY, *packages.values())
    return sandbox.plan(python, folder, level=level, limits=limits, read=spec.read, packages=ours)


def _prepare(spec: JobSpec, folder: Path, hold: sandbox.Hold) -> int:
    """The folder with job.json and out/; the descriptor of its log. Errors: StoreError."""
    job = {"task": spec.task, "arguments": spec.arguments, "stage": spec.stage, "hold": hold.to_json()}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "out").mkdir()
        (folder / "job.json").write_text(json.dumps(job))
        return os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{spec.stage}: the Job's folder {folder} cannot be made: {error.strerror}.") from error


class _Watch:
    """One running child: looks at it every tick, and says at the end how it ended."""

    def __init__(
        self,
        spec: JobSpec,
        folder: Path,
        process: subprocess.Popen[bytes],
        progress: Callable[[Progress], None] | None,
        cancel: threading.Event | None,
        started: float,
        oom_kills: int,
    ) -> None:
        self.spec, self.folder, self.process = spec, folder, process
        self.progress, self.cancel = progress, cancel
        self.started, self.oom_kills = started, oom_kills
        self.peak = 0
        self.seen = 0  # bytes of progress.jsonl

    def until_it_ends(self) -> None:
        """Errors: JobTimeout, JobCancelled, JobOutOfMemory; the caller kills the family."""
        spec = self.spec
        while True:
            try:
                self.process.wait(TICK_S)
            except subprocess.TimeoutExpired:
                pass
            else:
                self._tell()
                return
            self._tell()
            joblog.trim(self.folder / "log.txt")
            if self.cancel is not None and self.cancel.is_set():
                raise JobCancelled(f"{spec.stage}: cancelled after {self._seconds():.1f} s.")
            if self._seconds() > spec.timeout_s:
                raise JobTimeout(
                    self._with_log(f"{spec.stage}: still running after {spec.timeout_s:g} s and was killed"),
                    hint="A longer limit is the setting jobs.timeout_s.",
                )
            held = family.resident(self.process.pid)
            self.peak = max(self.peak, held)
            if spec.memory_bytes and held > spec.memory_bytes:
                raise self._out_of_memory(f"held {held >> 20} MiB and was killed")

    def result(self, hold: sandbox.Hold) -> JobResult:
        """The value, or the error that tells how the child ended."""
        seconds, code = self._seconds(), hold.exit_code(self.process.returncode)
        if code:
            raise self._death(code)
        data = self._read_result()
        try:
            peak = max(self.peak, int(data.get("peak_bytes", 0)))
        except (TypeError, ValueError, OverflowError):
            peak = self.peak
        if isinstance(data.get("error"), dict):
            error = GatewayError.from_json({key: _shown(text) for key, text in data["error"].items()})
            if isinstance(error, JobOutOfMemory):
                error = self._out_of_memory(f"was refused memory after {peak >> 20} MiB")
            elif isinstance(error, JobCrashed):
                error = JobCrashed(f"{self.spec.stage}: {error.message}.")
            raise error
        if not isinstance(data.get("value"), dict):
            raise JobCrashed(f"{self.spec.stage}: result.json holds neither a value nor an error.")
        return JobResult(
            value=data["value"],
            out=self.folder / "out",
            seconds=seconds,
            peak_bytes=peak,
            log=joblog.read(self.folder / "log.txt"),
            sandbox=hold.name,
        )

    def _death(self, code: int) -> GatewayError:
        stage, log = self.spec.stage, joblog.read(self.folder / "log.txt")
        if code == EXIT_NO_SPACE:
            return StoreError(f"{stage}: no space is left for the Job's result.", hint="Free some, then try again.")
        if code == EXIT_SANDBOX:
            return JobError(self._with_log(f"{stage}: the sandbox could not be applied, so nothing was run"))
        if code == -signal.SIGKILL and _oom_kills() > self.oom_kills:
            return self._out_of_memory("was killed by the kernel: the machine had no memory left")
        if code != -signal.SIGKILL and _NO_MEMORY.search(log[-4096:]):
            return self._out_of_memory("was refused memory")
        return JobCrashed(self._with_log(f"{stage}: the child process {how_it_ended(code)}"))

    def _out_of_memory(self, what: str) -> JobOutOfMemory:
        limit = f"; its limit is {self.spec.memory_bytes >> 20} MiB" if self.spec.memory_bytes else ""
        return JobOutOfMemory(
            f"{self.spec.stage}: the child process {what}{limit}.", hint="The limit is the setting jobs.memory_bytes."
        )

    def _with_log(self, sentence: str) -> str:
        line = joblog.last_line(joblog.read(self.folder / "log.txt"))
        return f"{sentence}; its last line was: {line}" if line else f"{sentence}; it printed nothing."

    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _read_result(self) -> dict[str, Any]:
        stage = self.spec.stage
        text = _read_plain(self.folder / "result.json", MAX_RESULT)
        if text is None:
            raise JobCrashed(self._with_log(f"{stage}: the child process ended without a result"))
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise JobCrashed(f"{stage}: result.json is not JSON, though the child ended well.") from None
        return data if isinstance(data, dict) else {}

    def _tell(self) -> None:
        """New whole lines of progress.jsonl, each once; what is not progress is passed over."""
        if self.progress is None or self.seen >= MAX_PROGRESS:
            return
        text = _read_plain(self.folder / "progress.jsonl", MAX_PROGRESS, self.seen)
        lines, newline, _ = (text or b"").rpartition(b"\n")
        if not newline:
            return
        self.seen += len(lines) + 1
        for line in lines.splitlines():
            try:
                data = json.loads(line)
                stage, fraction = data["stage"], data["fraction"]
            except (ValueError, RecursionError, KeyError, TypeError):
                continue
            if not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
                fraction = None
            self.progress(Progress(joblog.printable(str(stage))[:200], fraction))


def _shown(text: Any) -> str:
    """What a child says in an error, as it may be shown: no control characters, no novel."""
    shown = joblog.printable(str(text))
    return shown if len(shown) <= MAX_MESSAGE else shown[:MAX_MESSAGE] + " ..."


def how_it_ended(code: int) -> str:
    """An exit status of subprocess in words: "was ended by SIGSEGV", "ended with exit code 3"."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _read_plain(path: Path, limit: int, start: int = 0) -> bytes | None:
    """Bytes of a file that a child wrote, at most `limit`; None where there is none, or it is no plain file."""
    try:
        with plain.open_plain(path) as stream:
            stream.seek(start)
            return stream.read(limit)
    except OSError as error:
        if error.errno == errno.ENOENT or error.errno in plain.NOT_PLAIN:
            return None
        raise StoreError(f"{path.name} of a Job cannot be read: {error.strerror}.") from error


def _oom_kills() -> int:
    """How often the kernel has killed for memory since it started; 0 where it does not say."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        return 0
    return 0
