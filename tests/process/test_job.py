"""Jobs: every way in which a child can end, and what the gateway says of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import (
    CorruptModel,
    EnvironmentMissing,
    GatewayError,
    JobCancelled,
    JobCrashed,
    JobError,
    JobOutOfMemory,
    JobTimeout,
    SandboxTooWeak,
    StoreError,
    UnsupportedOps,
)
from gateway.process import joblog, sandbox_levels
from gateway.process.environments import Environments
from gateway.process.job import JobResult, JobSpec, Progress, run_job
from tests.process.interpreters import PACKAGES, Here
from tests.process.processes import marked, no_children, none_marked

MIB = 1 << 20


def run(
    task: str,
    folder: Path,
    arguments: dict[str, Any] | None = None,
    *,
    timeout_s: float = 30.0,
    memory_bytes: int = 0,
    environment: str = "any",
    **more: Any,
) -> JobResult:
    if ":" not in task:
        task = f"jobtasks.tasks:{task}"
    spec = JobSpec(task, arguments or {}, environment, timeout_s, memory_bytes, "convert")
    return run_job(spec, environments=Here(), folder=folder / "job", packages=PACKAGES, **more)


def test_a_good_job(tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = run("good", tmp_path, {"text": "hello"}, progress=seen.append)
    assert result.value == {"length": 5, "infinite": float("inf")}
    assert (result.out / "answer.txt").read_text() == "hello"
    assert result.log == "printed by the task\n"
    assert seen == [Progress("reading", 0.25), Progress("writing", None)]
    assert 0 < result.seconds < 30
    assert 4 * MIB < result.peak_bytes < 200 * MIB
    assert result.sandbox == f"L{sandbox_levels.available_level()}"


@dataclass(frozen=True)
class Ends:
    task: str
    error: type[GatewayError]
    says: str
    arguments: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 30.0
    memory_bytes: int = 0
    environment: str = "any"
    min_level: int = 0


GARBAGE = r"convert: result\.json"
ENDS = {
    "an error of ours keeps its class": Ends("corrupt", CorruptModel, r"^net\.onnx ends at byte 12\.$"),
    "also one with a constructor of its own": Ends("unsupported", UnsupportedOps, r"crnn \(x2\), gru \(x1\); 14"),
    "any other exception": Ends("value_error", JobCrashed, r"^convert: .* ValueError: the third layer is odd\.$"),
    "sys.exit is not an answer": Ends("calls_exit", JobCrashed, "SystemExit: 5"),
    "a value that is not JSON": Ends("not_json", JobCrashed, "object is not JSON serializable"),
    "no such function": Ends("nobody", JobCrashed, "AttributeError"),
    "no such module": Ends("jobtasks.nowhere:f", JobCrashed, "ModuleNotFoundError"),
    "segmentation fault": Ends("segfault", JobCrashed, "ended by SIGSEGV; its last line was: about to read the null"),
    "abort": Ends("aborts", JobCrashed, "ended by SIGABRT"),
    "exit code without a result": Ends("exits", JobCrashed, "exit code 3; its last line was: leaving"),
    "exit code 0 without a result": Ends("exits_well", JobCrashed, "without a result; it printed nothing"),
    "past its wall clock": Ends("waits", JobTimeout, "still running after 0.5 s", timeout_s=0.5),
    "memory, slowly": Ends("grows_slowly", JobOutOfMemory, "its limit is 128 MiB", memory_bytes=128 * MIB),
    "memory of a grandchild": Ends("grows_in_a_grandchild", JobOutOfMemory, "and was killed", memory_bytes=128 * MIB),
    "one allocation that nothing can hold": Ends(
        "one_wild_allocation", JobOutOfMemory, "refused memory", memory_bytes=64 * MIB
    ),
    "C++ says it in the log": Ends("bad_alloc", JobOutOfMemory, "was refused memory"),
    "disk full, wrapped by a framework": Ends("disk_full", StoreError, "no space is left for the Job's files"),
    "disk full at the result": Ends("disk_full_at_the_result", StoreError, "no space is left for the Job's result"),
    "result: not JSON": Ends("garbage", JobCrashed, GARBAGE, {"text": b"{".hex()}),
    "result: not text": Ends("garbage", JobCrashed, GARBAGE, {"text": "ff00fe"}),
    "result: empty": Ends("garbage", JobCrashed, GARBAGE, {"text": ""}),
    "result: a list": Ends("garbage", JobCrashed, GARBAGE, {"text": b"[]".hex()}),
    "result: no value": Ends("garbage", JobCrashed, GARBAGE, {"text": b"{}".hex()}),
    "result: the value is a number": Ends("garbage", JobCrashed, GARBAGE, {"text": b'{"value": 3}'.hex()}),
    "result: deep": Ends("garbage", JobCrashed, GARBAGE, {"text": (b"[" * 100_000).hex()}),
    "result: an error without a class": Ends("garbage", GatewayError, "^$", {"text": b'{"error": {}}'.hex()}),
    "result: an error that writes to the terminal": Ends(
        "garbage",
        CorruptModel,
        r"^\\x1b\[2J$",
        {"text": b'{"error": {"error": "CorruptModel", "message": "\\u001b[2J"}}'.hex()},
    ),
    "result: an error as long as a book": Ends(
        "garbage",
        CorruptModel,
        r"^x{20000} \.\.\.$",
        {"text": b'{"error": {"error": "CorruptModel", "message": "%s"}}'.replace(b"%s", b"x" * 50000).hex()},
    ),
    "result: a link": Ends("garbage", JobCrashed, "without a result", {"text": "link"}),
    "result: a pipe does not hang": Ends("garbage", JobCrashed, "without a result", {"text": "pipe"}),
    "Environment not built": Ends("good", EnvironmentMissing, "'missing' is missing", environment="missing"),
    "Environment without its Python": Ends("good", EnvironmentMissing, "interpreter .* is gone", environment="gone"),
    "a sandbox that is not here": Ends("good", SandboxTooWeak, "L4 is needed and L. is reached", min_level=4),
    "a task of another package": Ends("os:getcwd", JobError, "'os:getcwd' is not a task"),
    "a task that is no name": Ends("jobtasks.tasks:a b", JobError, "is not a task"),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS.keys())
def test_how_it_ends(case: Ends, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(case.error, match=case.says) as caught:
        run(
            case.task,
            tmp_path,
            case.arguments,
            timeout_s=case.timeout_s,
            memory_bytes=case.memory_bytes,
            environment=case.environment,
            min_level=case.min_level,
        )
    assert type(caught.value) is case.error
    assert time.monotonic() - began < 15
    assert no_children()


def test_a_hint_crosses_too(tmp_path: Path) -> None:
    with pytest.raises(CorruptModel) as caught:
        run("corrupt", tmp_path)
    assert caught.value.hint == "Copy it again."


def test_the_traceback_is_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(JobCrashed):
        run("value_error", tmp_path)
    assert 'raise ValueError("the third' in joblog.read(tmp_path / "job" / "log.txt")


@pytest.fixture(params=[1, 2, 3])
def level(request: pytest.FixtureRequest) -> int:
    reached = sandbox_levels.reached()
    if reached.level < request.param:
        pytest.skip(f"sandbox level L{request.param} is not reached here: {reached.missing[request.param]}")
    return int(request.param)


def test_a_cancelled_job_ends_with_its_whole_family(tmp_path: Path, level: int) -> None:
    """Also a grandchild in a session of its own, and one whose parent is gone."""
    mark, cancel, seen = uuid.uuid4().hex, threading.Event(), []

    def watch(progress: Progress) -> None:
        seen.extend(marked(mark))
        cancel.set()

    with pytest.raises(JobCancelled):
        run(
            "hangs_with_family", tmp_path, {"mark": mark, "and": "hang"}, progress=watch, cancel=cancel, max_level=level
        )
    assert len(seen) == 3
    assert none_marked(mark)


def test_a_good_job_leaves_no_process_behind(tmp_path: Path, level: int) -> None:
    """Not even one in a session of its own whose parents are gone."""
    mark = uuid.uuid4().hex
    run("hangs_with_family", tmp_path, {"mark": mark, "and": "return"}, max_level=level)
    assert none_marked(mark)


def test_cancel(tmp_path: Path) -> None:
    cancel = threading.Event()
    with pytest.raises(JobCancelled):
        run("waits", tmp_path, progress=lambda _: cancel.set(), cancel=cancel)
    assert no_children()


def test_a_watcher_that_raises_costs_no_process(tmp_path: Path) -> None:
    def watcher(_: Progress) -> None:
        raise RuntimeError("the watcher is broken")

    with pytest.raises(RuntimeError, match="the watcher"):
        run("waits", tmp_path, progress=watcher)
    assert no_children()


def test_not_even_one_that_is_another_process_all_the_time(tmp_path: Path, level: int) -> None:
    run("phoenix", tmp_path, max_level=level)
    assert none_marked(str(tmp_path / "job"))


def test_a_killed_gateway_leaves_no_job(tmp_path: Path, level: int) -> None:
    """kill -9 of the parent: the child goes with it and all it has started, though nobody told it."""
    mark = uuid.uuid4().hex
    code = (
        "import sys; from pathlib import Path; from tests.process.test_job import run\n"
        "run('hangs_with_family', Path(sys.argv[1]), {'mark': sys.argv[2], 'and': 'hang'}, max_level=int(sys.argv[3]))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path), mark, str(level)]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[2]) as parent:
        end = time.monotonic() + 20
        while not (tmp_path / "job" / "out" / "born").exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert len(marked(mark)) == 3
        parent.send_signal(signal.SIGKILL)
    assert none_marked(mark)


LOGS = ("link", "hard link", "pipe", "folder")


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_that_is_no_log_is_neither_read_nor_cut(kind: str, tmp_path: Path) -> None:
    """At L1: there the child can make a link to a file that is not its own."""
    other = tmp_path / "other"
    other.write_bytes(b"z" * (5 * MIB))
    result = run("replaces_its_log", tmp_path, {"kind": kind, "other": str(other)}, max_level=1)
    assert result.log == ""
    assert other.stat().st_size == 5 * MIB


def test_a_log_bomb_is_cut_to_head_and_tail_and_cannot_write_to_a_terminal(tmp_path: Path) -> None:
    log = run("log_bomb", tmp_path).log
    assert len(log) <= joblog.KEEP + 100
    assert log.startswith("the first line\n")
    assert log.endswith("\\x1b[31mthe last line\\x1b[0m\n")
    left_out = re.findall(r"\n\.\.\. (\d+) bytes left out \.\.\.\n", log)
    assert len(left_out) == 1
    assert 20 * MIB < int(left_out[0]) < 32 * MIB  # what comes while the log is cut is not counted


def test_a_log_is_cut_while_the_job_runs(tmp_path: Path) -> None:
    assert run("long_log", tmp_path).value["largest"] < 25 * MIB  # of 50 written


def test_progress_comes_while_the_job_runs_and_each_line_once(tmp_path: Path) -> None:
    seen: list[tuple[Progress, float]] = []
    began = time.monotonic()
    run("slow_progress", tmp_path, progress=lambda step: seen.append((step, time.monotonic() - began)))
    took = time.monotonic() - began
    assert [step for step, _ in seen] == [Progress(f"step {n}", n / 4) for n in range(3)]
    assert seen[0][1] < took - 0.2


def test_trimming_again_adds_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    total = 0
    for _ in range(3):
        with path.open("ab") as stream:
            total += stream.write(b"y" * (5 * MIB))
        joblog.trim(path)
    text = path.read_text()
    (left_out,) = re.findall(r"\n\.\.\. (\d+) bytes left out \.\.\.\n", text)
    assert int(left_out) + text.count("y") == total + text.count("by")


PRINTED = {
    "escape sequences": ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    "right to left marks": ("a\u202eb", "a\\u202eb"),
    "a progress bar's returns": ("10%\r20%\r\n", "10%\n20%\n"),
    "tabs, umlauts, other scripts stay": ("\tä漢 1\n", "\tä漢 1\n"),
    "a lone surrogate": ("\ud800", "\\ud800"),
    "C1": ("\x9b31m", "\\x9b31m"),
}


@pytest.mark.parametrize("case", PRINTED.values(), ids=PRINTED.keys())
def test_printable(case: tuple[str, str]) -> None:
    assert joblog.printable(case[0]) == case[1]


def test_progress_that_is_no_progress_is_passed_over(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run("bad_progress", tmp_path, progress=seen.append)
    assert seen == [Progress("a\\x1b", None)]


def sessions_of_children() -> set[int]:
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return {os.getsid(int(pid)) for pids in children for pid in pids}


def test_what_surrounds_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the gateway")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    with (tmp_path / "open file").open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        sessions: list[set[int]] = []

        def look(_: Progress) -> None:
            sessions.append(sessions_of_children())
            (tmp_path / "job" / "out" / "looked").touch()

        seen = run("surroundings", tmp_path, progress=look).value
    home = str(tmp_path / "job")
    assert set(seen["environ"]) <= {
        *(
            "PATH",
            "HOME",
            "TMPDIR",
            "USER",
            "PWD",
            "LANG",
            "LC_ALL",
            "PYTHONHASHSEED",
            "PYTHONUNBUFFERED",
            "PYTHONFAULTHANDLER",
        ),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
        *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    }
    assert (seen["environ"]["HOME"], seen["environ"]["TMPDIR"]) == (home, home)
    assert seen["no_new_privs"]
    assert seen["oom_score"] >= 500
    # Seen from here: in there a session that began outside of its pid namespace is called 0, as ours may be too.
    assert sessions
    assert sessions[0]
    assert os.getsid(0) not in sessions[0]
    assert seen["stdin"] == "/dev/null"
    assert {"0", "1", "2"} < set(seen["descriptors"])
    assert len(seen["descriptors"]) == 4  # one is the listing itself
    assert seen["flags"] == [1, 1, True]
    assert "numpy" not in seen["modules"]
    assert (tmp_path / "job").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_used_already(tmp_path: Path) -> None:
    run("good", tmp_path, {"text": "x"})
    with pytest.raises(StoreError, match="cannot be made: File exists"):
        run("good", tmp_path, {"text": "x"})


def test_in_a_real_environment_the_gateways_packages_are_not_there(tmp_path: Path) -> None:
    """Environment base, which `make setup` builds: its own packages, and of our tree `gateway` alone."""
    base = Environments().find("base")
    spec = JobSpec("jobtasks.models:make_model", {}, timeout_s=60.0)
    result = run_job(spec, environments=Environments(), folder=tmp_path / "job", packages=PACKAGES)
    assert result.value["onnx"] == base.versions["onnx"]
    assert result.value["executable"].startswith(str(base.python.parent))
    assert result.value["neighbours"] == []
    assert (result.out / "model.onnx").stat().st_size > 0
