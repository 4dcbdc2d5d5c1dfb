"""How tightly a child process is held, in levels; the child applies its level before anything heavy is imported.

    L0  nothing but a process of its own
    L1  resource limits, no new privileges, no core dumps, first in line for the kernel's
        out-of-memory killer, dies with the gateway; the parent adds a new session, a clean
        environment, a private folder, a wall clock and a memory watchdog (process/job.py)
    L2  and kernel rules on files, sockets and system calls: not available yet
    L3  and namespaces of its own: not available yet

Rule 1: a level is one row of LEVELS; what is above `available_level()` is refused, with the
        reason, before anything starts. A child that cannot apply its level runs no task.
Rule 2: standard library only, and nothing here needs the parent's memory: no code of ours runs
        between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from gateway.errors import SandboxTooWeak

_PDEATHSIG, _DUMPABLE, _SUBREAPER, _NO_NEW_PRIVS = 1, 4, 36, 38  # linux/prctl.h
_SIGKILL = 9
ADDRESS_SLACK = 4 << 30  # address space beyond the memory limit: thread stacks, arenas, mapped files
MAX_FILES = 1024
OOM_SCORE = 500  # of -1000..1000; a worker of the gateway has less, the gateway 0


@dataclass(frozen=True)
class Limits:
    """What a child may use; 0 means unbounded. `memory_bytes` is resident memory, watched from outside too."""

    memory_bytes: int = 0
    cpu_s: int = 0
    file_bytes: int = 0
    oom_score: int = OOM_SCORE
    parent: int = 0  # process that the child must not outlive; 0: it may

    def to_json(self) -> dict[str, int]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Limits:
        return cls(**{key: int(value) for key, value in data.items()})


def _level_0(limits: Limits) -> None:
    """Nothing."""


def _level_1(limits: Limits) -> None:
    bounds = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, MAX_FILES)]
    if limits.memory_bytes:
        # The watchdog outside is the real limit; this one stops a single wild allocation.
        bounds.append((resource.RLIMIT_AS, limits.memory_bytes + ADDRESS_SLACK))
    if limits.cpu_s:
        bounds.append((resource.RLIMIT_CPU, limits.cpu_s))
    if limits.file_bytes:
        bounds.append((resource.RLIMIT_FSIZE, limits.file_bytes))
    for kind, value in bounds:
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    if sys.platform == "linux":
        _prctl(_NO_NEW_PRIVS, 1)
        # Orphaned grandchildren come to the child and not to init: process/family.py finds them.
        _prctl(_SUBREAPER, 1)
        _raise_oom_score(limits.oom_score)
        if limits.parent:
            _prctl(_PDEATHSIG, _SIGKILL)
            if os.getppid() != limits.parent:
                os._exit(1)  # it died before we asked to be told


LEVELS: dict[int, Callable[[Limits], None]] = {0: _level_0, 1: _level_1}


def apply(level: int, limits: Limits) -> None:
    """In the child: hold this process at `level`, for good. Errors: OSError, ValueError from the kernel."""
    LEVELS[level](limits)


@cache
def available_level() -> int:
    """The best level that works here, found by trying it in a process that does nothing else."""
    code = "from gateway.process import sandbox; sandbox.apply(int(sys.argv[2]), sandbox.Limits(1 << 30, 60, 1 << 30))"
    from gateway.process.spawn import BOOTSTRAP, GATEWAY

    for level in sorted(LEVELS, reverse=True):
        argv = [sys.executable, "-s", "-P", "-B", "-c", BOOTSTRAP + code, f"gateway={GATEWAY}", str(level)]
        try:
            if subprocess.run(argv, capture_output=True, timeout=20, stdin=subprocess.DEVNULL).returncode == 0:  # noqa: PLW1510
                return level
        except (OSError, subprocess.TimeoutExpired):
            continue
    return 0


def choose(min_level: int) -> int:
    """The level for a Job that wants at least `min_level`. Errors: SandboxTooWeak."""
    level = available_level()
    if level < min_level:
        why = "it is not part of this version" if min_level > max(LEVELS) else "the kernel refused it when it was tried"
        raise SandboxTooWeak(
            f"sandbox level L{min_level} is asked for and L{level} is reached here: {why}.",
            hint=f"Set jobs.sandbox_min_level = {level}, if you trust the models that are dropped.",
        )
    return level


def protect_gateway() -> bool:
    """In the gateway: no process of its user may trace it or read its memory. False where no such rule exists."""
    try:
        _prctl(_DUMPABLE, 0)
    except OSError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        raise OSError("prctl is Linux only")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def _raise_oom_score(score: int) -> None:
    """Only upwards: lowering needs a privilege. A container may hide the file, which costs us nothing else."""
    try:
        with open("/proc/self/oom_score_adj", "r+") as stream:  # noqa: PTH123  pathlib opens no r+ in one go
            if int(stream.read()) < score:
                stream.seek(0)
                stream.write(str(score))
    except OSError:
        return
