"""A process and everything that came from it: how much memory they hold, and how to end them all.

Rule 1: members are those of the leader's session or process group and their descendants, read
        from /proc in one pass; without /proc the process group alone is known.
Rule 2: whoever starts a process ends it through here: killed, waited for, no zombie.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
LEADER_WAITS_S = 0.5
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Member:
    pid: int
    parent: int
    group: int
    session: int
    resident: int  # bytes; pages shared between members count for each


def members(leader: int) -> list[Member]:
    """The leader's family, zombies left out. Errors: none; a process that ends meanwhile is not there."""
    everyone = [member for entry in _numbers() if (member := _read(entry)) is not None]
    family = {m.pid: m for m in everyone if leader in (m.pid, m.group, m.session)}
    grown = True
    while grown:
        born = [m for m in everyone if m.parent in family and m.pid not in family]
        family.update((m.pid, m) for m in born)
        grown = bool(born)
    return list(family.values())


def _numbers() -> list[str]:
    try:
        return [name for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208  the names are all we need
    except OSError:
        return []


def _read(pid: str) -> Member | None:
    try:
        text = (_PROC / pid / "stat").read_text(errors="replace")
    except OSError:
        return None
    # "pid (any name, also with blanks and brackets) state ppid pgrp session ... rss": proc(5)
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Member(int(pid), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[21]) * _PAGE)


def resident(leader: int) -> int:
    """Bytes of memory that the whole family holds now; 0 where there is no /proc."""
    return sum(member.resident for member in members(leader))


def kill(process: subprocess.Popen[Any], *, wait_s: float = 10.0) -> None:
    """SIGKILL for all of the family, until none is left, and the leader is reaped. Safe to call at any time, twice.

    Call it while the leader runs or has not been reaped long: a session's number is reused one day.
    The leader goes last, if the others let it: it may be a supervisor, to whom their orphans come.
    """
    started = time.monotonic()
    deadline = started + wait_s
    while True:
        family = members(process.pid)
        others = [member for member in family if member.pid != process.pid]
        for member in others:
            _signal(member.pid)
        if process.returncode is None:
            if not others or time.monotonic() - started > LEADER_WAITS_S:
                _signal(process.pid, group=True)
            if process.poll() is None:
                _wait(process, 0.05)
        if (process.returncode is not None and not family) or time.monotonic() > deadline:
            return
        if process.returncode is not None:
            time.sleep(0.005)


def _wait(process: subprocess.Popen[Any], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _signal(pid: int, *, group: bool = False) -> None:
    try:
        (os.killpg if group else os.kill)(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
