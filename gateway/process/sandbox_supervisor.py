"""The process that stays outside of a held child, waits for it, and ends whatever it leaves behind.

Rule 1: it reaps and kills every descendant: orphans of the child come to it (PR_SET_CHILD_SUBREAPER), in
        whatever session they are. The child cannot signal it: it is outside of the child's rules.
Rule 2: it ends as the child has ended: same exit code, same signal.
Rule 3: it holds no descriptor of the child's but the log: the other end of a socket sees the child's end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import FrameType
from typing import NoReturn

PATIENCE_S = 10.0  # for descendants that do not die of SIGKILL: in uninterruptible waits


def supervise(child: int) -> NoReturn:
    """Wait for `child`, end all descendants, end alike. On SIGTERM (the gateway is gone) end them now."""
    os.closerange(3, 1 << 16)
    signal.signal(signal.SIGTERM, _end)
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            _end()
        if pid == child:
            break
    _kill_descendants()
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
        time.sleep(1)  # not reached: a signal that ended the child ends us
    os._exit(code if code >= 0 else 1)


def _end(number: int = 0, frame: FrameType | None = None) -> NoReturn:
    _kill_descendants()
    os._exit(1)


def _kill_descendants() -> None:
    """SIGKILL to every child, whose children then become ours, until there is none."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _children() -> list[int]:
    """Direct ones. From the kernel's list where it keeps one, else from /proc."""
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children") as stream:  # noqa: PTH123
            return [int(pid) for pid in stream.read().split()]
    except OSError:
        pass
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as stream:  # noqa: PTH123
                if int(stream.read().rpartition(")")[2].split()[1]) == me:
                    found.append(int(name))
        except (OSError, ValueError, IndexError):
            continue
    return found
