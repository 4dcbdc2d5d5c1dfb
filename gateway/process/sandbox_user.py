"""As whom a held process runs: without any privilege, and as nobody where that is possible.

Rule 1: root becomes NOBODY when NOBODY can read what the child needs, which is tried, not guessed:
        interpreters and stores under a private home stay readable to their owner alone.
Rule 2: where it stays root it has no capability and cannot get one back: it is then a user that
        owns many files, and the level above holds it off them.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

NOBODY = 65534
_CAPBSET_DROP, _SECUREBITS, _AMBIENT = 24, 28, 47  # linux/prctl.h
_CLEAR_ALL = 4
_NOROOT_LOCKED = 0b101111  # NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off, each locked; linux/securebits.h
_LAST = 63
_VERSION_3 = 0x20080522


def give_up_privileges(needs: Sequence[str], folders: Sequence[str]) -> int:
    """Of this process, for good; returns its user. Its own `folders`, with what lies in them, become that user's.

    Errors: OSError.
    """
    if os.geteuid() != 0:
        return os.geteuid()
    if _becomes_nobody(needs, folders):
        return NOBODY
    _drop_capabilities()
    return 0


def take_back(folder: Path) -> None:
    """In the gateway: what a child that ran as NOBODY has left is ours again. Only root has such children."""
    if os.geteuid() != 0:
        return
    for _, folders, files, at in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            _own(name, at)
    _own(str(folder))


def _own(name: str, at: int | None = None) -> None:
    try:
        if os.stat(name, dir_fd=at, follow_symlinks=False).st_uid == NOBODY:
            os.chown(name, 0, 0, dir_fd=at, follow_symlinks=False)
    except OSError:
        return


def _becomes_nobody(needs: Iterable[str], folders: Sequence[str]) -> bool:
    try:
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    except OSError:  # a root without the right to do so: in a container, say
        return False
    try:
        reachable = all(_opens(path) for path in needs) and all(map(_is_private, folders))
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
    if not reachable:
        return False
    try:
        for folder in folders:
            for path in (folder, *(os.path.join(folder, name) for name in os.listdir(folder))):  # noqa: PTH118,PTH208
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)  # and with it every capability
    except OSError:
        return False
    return True


def _opens(path: str) -> bool:
    """Can it be read? What is not there is not needed."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _is_private(folder: str) -> bool:
    """Can the way to it be gone, and is it for its owner alone? Another folder is never given away."""
    try:
        mode = os.stat(folder).st_mode  # noqa: PTH116
    except OSError:
        return False
    return stat.S_ISDIR(mode) and not mode & 0o077


def _drop_capabilities() -> None:
    """Errors: OSError when the kernel leaves us any."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    for capability in range(_LAST + 1):
        libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # without CAP_SETPCAP there is nothing to drop from
    libc.prctl(_SECUREBITS, _NOROOT_LOCKED, 0, 0, 0)
    header = struct.pack("=Ii", _VERSION_3, 0)
    if libc.capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)):
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")
