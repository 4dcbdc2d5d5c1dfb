"""Bubblewrap around a command: namespaces of its own for files, processes, network, IPC and host name.

Rule 1: what the child sees lies where it lies outside, so that no path changes; everything else is not there.
Rule 2: it is the outer wall only. The child holds itself inside, by landlock and seccomp, as it would without.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache

INSIDE = 65534  # the child's user and group as it sees them; outside it is who started it, without privilege
SIGNALLED = 128  # bwrap's exit code for a child that a signal ended: this and its number


@cache
def program() -> str:
    """Path of bwrap, or ""."""
    return shutil.which("bwrap") or ""


@cache
def version() -> str:
    """ "0.8.0", or "" where there is none."""
    if not program():
        return ""
    try:
        done = subprocess.run([program(), "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().rpartition(" ")[2]


def command(
    argv: Sequence[str],
    *,
    folder: str,
    read: Iterable[str],
    devices: Iterable[str] = (),
    write: Iterable[str] = (),
    dies_with_parent: bool = True,
) -> list[str]:
    """`argv` inside. `read` are bound read-only, `folder` and `write` read-write, `devices` as devices."""
    options = ["--unshare-all", "--unshare-user", "--uid", str(INSIDE), "--gid", str(INSIDE), "--cap-drop", "ALL"]
    options += ["--hostname", "sandbox"]
    options += ["--die-with-parent"] if dies_with_parent else []
    options += ["--dev", "/dev", "--proc", "/proc"]
    for path in dict.fromkeys(read):
        if path.startswith(("/proc/", "/dev/")):
            continue  # of its own
        options += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind-try", path, path]  # noqa: PTH114,PTH115
    for path in dict.fromkeys(devices):
        options += ["--dev-bind-try", path, path]
    for path in dict.fromkeys((folder, *write)):
        options += ["--bind", path, path]
    return [program(), *options, "--chdir", folder, "--", *argv]


def exit_code(code: int) -> int:
    """What subprocess would say of the child itself: negative for a signal."""
    return SIGNALLED - code if code > SIGNALLED else code
