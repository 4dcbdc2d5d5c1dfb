"""The sandbox: the level that is said is the level that holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import JobError
from gateway.process import sandbox, sandbox_landlock, sandbox_levels
from gateway.process.job import JobSpec, run_job
from tests.process.interpreters import PACKAGES, Here

PROBE = """
import json, os, resource, sys
from gateway.process import sandbox
sandbox.enter(sandbox.Hold(int(sys.argv[1]), "/nowhere", sandbox.Limits(**json.loads(sys.argv[2]))))
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "address": resource.getrlimit(resource.RLIMIT_AS),
    "cpu": resource.getrlimit(resource.RLIMIT_CPU),
    "file": resource.getrlimit(resource.RLIMIT_FSIZE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    "no_new_privs": status["NoNewPrivs"],
    "oom": int(open("/proc/self/oom_score_adj").read()),
}))
"""
GIB = 1 << 30


def probe(level: int, **limits: int) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", PROBE, str(level), json.dumps(limits)]
    return subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=30)


def seen(level: int, **limits: int) -> dict[str, Any]:
    done = probe(level, **limits)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_level_1_holds() -> None:
    found = seen(1, memory_bytes=GIB, cpu_s=50, file_bytes=2 * GIB)
    assert found["address"] == [GIB + sandbox.ADDRESS_SLACK] * 2
    assert found["cpu"] == [50, 50]
    assert found["file"] == [2 * GIB] * 2
    assert found["core"] == [0, 0]
    assert found["files"] <= sandbox.MAX_FILES
    assert found["no_new_privs"] == "1"
    assert found["oom"] >= sandbox.OOM_SCORE


def test_level_1_without_limits_leaves_them() -> None:
    found, before = seen(1), seen(0)
    for name in ("address", "cpu", "file"):
        assert found[name] == before[name]


def test_level_0_is_nothing() -> None:
    assert seen(0, memory_bytes=GIB, cpu_s=50)["cpu"] != [50, 50]


def test_a_child_whose_parent_is_another_ends_at_once() -> None:
    done = probe(1, parent=os.getpid() + 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert seen(1, parent=os.getpid())


def test_a_child_that_cannot_apply_its_level_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway was told L2 and the child's kernel refuses: no task, an error that says it."""
    monkeypatch.setattr(sandbox_landlock, "abi", lambda: 0)
    monkeypatch.setattr(sandbox_levels, "choose", lambda *_, **__: 2)
    with pytest.raises(JobError, match="sandbox could not be applied, so nothing was run") as caught:
        run_job(
            JobSpec("jobtasks.tasks:good", {"text": "x"}),
            environments=Here(),
            folder=tmp_path / "job",
            packages=PACKAGES,
        )
    assert type(caught.value) is JobError
    assert list((tmp_path / "job" / "out").iterdir()) == []


def test_protect_gateway() -> None:
    code = (
        "from gateway.process.sandbox import protect_gateway; import ctypes\n"
        "print(protect_gateway(), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "0"]
