"""Landlock: the kernel's rules on files, TCP ports, signals and abstract sockets, for a process and its children.

Every kernel since 5.13 knows an ABI, and takes what that ABI has:

    1  files   2  moving them between folders   3  truncation   4  TCP   5  ioctl of devices   6  signals and
    abstract sockets   7  its log

Rule 1: what is not allowed by a path is refused. What an ABI does not hold, sandbox_seccomp does.
Rule 2: a path is opened without following a link at its end: a link could be the work of an earlier child.
        Links that we ourselves want followed are resolved by who writes the rules.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable

NEWEST = 7  # of what is asked for here

# linux/landlock.h
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # what a rule on a file may name
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals

READ = _READ_FILE | _READ_DIR
RUN = READ | _EXECUTE
WRITE = ((1 << 16) - 1) & ~(_MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _IOCTL_DEV)
DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL_DEV | _READ_DIR
APPEND = _READ_FILE | _WRITE_FILE | _TRUNCATE

_NR_CREATE, _NR_ADD, _NR_RESTRICT = 444, 445, 446  # the same on every architecture
_PATH_BENEATH = 1
_SAY_VERSION = 1


def abi() -> int:
    """The kernel's ABI, at most NEWEST; 0 where there is no landlock, or it is switched off."""
    if sys.platform != "linux":
        return 0
    found = _libc().syscall(_NR_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_SAY_VERSION))
    return max(0, min(int(found), NEWEST))


def restrict(rules: Iterable[tuple[str, int]], version: int) -> None:
    """Hold this thread to `rules`, (path, READ | RUN | WRITE | DEVICE), for good; no_new_privs is set.

    `version` is the ABI to use, at most the kernel's. A path that is not there is passed over.
    Errors: OSError.
    """
    if version < 1:
        raise OSError(errno.ENOSYS, "landlock: not in this kernel")
    handled = (1 << 13) - 1
    handled |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled |= _IOCTL_DEV if version >= 5 else 0
    fields = [handled] + [_TCP] * (version >= 4) + [_SCOPES] * (version >= 6)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _checked("create", _NR_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    try:
        for path, access in rules:
            _add(ruleset, path, access & handled)
        _checked("restrict", _NR_RESTRICT, ruleset, ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def _add(ruleset: int, path: str, access: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return  # nobody can reach it either
    try:
        mode = os.fstat(beneath).st_mode
        if stat.S_ISLNK(mode):
            return
        if not stat.S_ISDIR(mode):
            access &= _OF_FILES
        if access:
            _checked(path, _NR_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, beneath), ctypes.c_uint(0))
    finally:
        os.close(beneath)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(what: str, *arguments: object) -> int:
    found = int(_libc().syscall(*arguments))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock, {what}: {os.strerror(number)}")
    return found


def why_absent() -> str:
    """For people: what stands in the way of landlock here; "" where nothing does."""
    if sys.platform != "linux":
        return f"landlock is Linux only, this is {sys.platform}"
    if _libc().syscall(_NR_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_SAY_VERSION)) > 0:
        return ""
    number = ctypes.get_errno()
    if number == errno.EOPNOTSUPP:
        return "landlock is in this kernel and switched off at boot (lsm=)"
    if number == errno.ENOSYS:
        return "this kernel has no landlock: it came with Linux 5.13"
    return f"landlock is refused: {os.strerror(number)} (by the container's seccomp profile?)"
