"""How tightly a child process is held, in levels; the child holds itself before anything heavy is imported.

    L0  nothing but a process of its own, a clean environment, a private folder, a wall clock and a memory watchdog
    L1  and resource limits, no privilege, no core dumps, first in line for the kernel's out-of-memory killer;
        what it has started ends with it, and all of it with the gateway
    L2  and the kernel's rules: only the files of Rules (landlock), no network, no look at or signal to
        another process, a list of system calls (seccomp)
    L3  and namespaces of its own around that (bubblewrap): other files and processes are not even there

    hold = sandbox.plan(python, folder, reads)         in the gateway: the level, what it may touch
    argv = hold.wrap(argv)                             bubblewrap, at L3
    sandbox.enter(Hold.from_json(...))                 in the child; returns in a process that is held

Rule 1: what is above the level reached is refused, with the reason, before anything starts. A child
        that cannot hold itself runs no task.
Rule 2: standard library only, and nothing here needs the parent's memory: no code of ours runs
        between fork and exec.
Rule 3: whose bytes are read decides: data alone needs NEEDED_BY_DATA, what may be code NEEDED_BY_CODE.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.process import sandbox_bwrap, sandbox_landlock, sandbox_paths, sandbox_seccomp, sandbox_user
from gateway.process.sandbox_supervisor import supervise

LEVELS = (0, 1, 2, 3)
NEEDED_BY_DATA, NEEDED_BY_CODE = 1, 2
_PDEATHSIG, _DUMPABLE, _SUBREAPER, _NO_NEW_PRIVS = 1, 4, 36, 38  # linux/prctl.h
_SIGTERM, _SIGKILL = 15, 9
ADDRESS_SLACK = (4 << 30) + (os.cpu_count() or 1) * (128 << 20)
"""Address space beyond the memory limit: thread stacks, arenas of malloc (64 MiB each), mapped files."""
MAX_FILES = 1024
MAX_PROCESSES = 8192  # threads count; of the user, all together: a stop for a fork bomb, no quota
OOM_SCORE = 500  # of -1000..1000; a worker of the gateway has less, the gateway 0


@dataclass(frozen=True)
class Limits:
    """What a child may use; 0 means unbounded. `memory_bytes` is resident memory, watched from outside too.

    `address_space` False: the framework reserves much that it never uses; the watchdog alone bounds memory.
    """

    memory_bytes: int = 0
    cpu_s: int = 0
    file_bytes: int = 0
    oom_score: int = OOM_SCORE
    parent: int = 0  # process that the child must not outlive; 0: it may
    address_space: bool = True


@dataclass(frozen=True)
class Rules:
    """Which files a child may touch; folders with all below them. Nothing else, from L2 on."""

    run: tuple[str, ...] = ()  # read and executed: interpreter, libraries
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()  # its private folder
    devices: tuple[str, ...] = ()
    unix_sockets: bool = False  # may make its own; no path leads to another's at L3


@dataclass(frozen=True)
class Hold:
    """One child's sandbox: made in the gateway by `plan`, applied in the child by `enter`."""

    level: int
    folder: str
    limits: Limits = field(default_factory=Limits)
    rules: Rules = field(default_factory=Rules)
    abi: int = 0  # of landlock

    @property
    def name(self) -> str:
        return f"L{self.level}"

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The command that is started for `argv`."""
        if self.level < 3:
            return list(argv)
        rules = self.rules
        dies = bool(self.limits.parent)
        return sandbox_bwrap.command(
            argv,
            folder=self.folder,
            read=(*rules.run, *rules.read),
            devices=rules.devices,
            write=rules.write,
            dies_with_parent=dies,
        )

    def exit_code(self, code: int) -> int:
        """The child's own exit status from that of the process that was started."""
        return sandbox_bwrap.exit_code(code) if self.level >= 3 else code

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        return json.dumps(self.to_json())

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Hold:
        rules: dict[str, Any] = dict(data["rules"])
        rules = {key: tuple(value) if isinstance(value, list) else value for key, value in rules.items()}
        return cls(data["level"], data["folder"], Limits(**data["limits"]), Rules(**rules), data["abi"])


def plan(
    python: Path,
    folder: Path,
    *,
    level: int,
    limits: Limits | None = None,
    read: Iterable[str | Path] = (),
    packages: Iterable[Path] = (),
    gpu: bool = False,
) -> Hold:
    """What a child of this interpreter may touch when its private folder is `folder`.

    `read` are further files and folders, read-only, absolute, taken without following links; `packages` the
    folders of Python packages that it imports beside its own.
    """
    devices, of_gpu = sandbox_paths.gpu() if gpu else ((), ())
    rules = Rules(
        run=(*sandbox_paths.system(), *sandbox_paths.interpreter(python), *map(str, packages)),
        read=(*sandbox_paths.FILES, *of_gpu, *map(str, read)),
        write=(str(folder),),
        devices=devices,
    )
    return Hold(level, str(folder), limits or Limits(), rules, sandbox_landlock.abi())


def enter(hold: Hold) -> None:
    """In the child, before it has a thread: hold this process, for good. Errors: OSError, ValueError of the kernel.

    Returns in a process forked off (L1, L2): the one that was started stays behind, outside the rules, and
    ends what it leaves. Its exit status is the child's.
    """
    if hold.level < 1:
        return
    _limit(hold.limits)
    if sys.platform != "linux":
        return
    _alone()
    _prctl(_NO_NEW_PRIVS, 1)
    _raise_oom_score(hold.limits.oom_score)
    if hold.level < 3:  # at L3 the first process of the namespace does this, and takes everything with it
        supervisor = _leave_a_supervisor(hold.limits.parent)
    needs = (*hold.rules.run, *(path for path in hold.rules.read if path not in sandbox_paths.FILES))
    sandbox_user.give_up_privileges(needs, hold.rules.write)
    _prctl(_DUMPABLE, 1)  # this and the next were undone when the user changed
    if hold.level < 3:
        _die_with(supervisor)
    if hold.level >= 2:
        _keep_proc(hold.rules.read)
        sandbox_landlock.restrict(_file_rules(hold.rules), hold.abi)
        sandbox_seccomp.restrict(abi=hold.abi, unix_sockets=hold.rules.unix_sockets, namespaces=hold.level >= 3)


_kept: list[int] = []


def _keep_proc(read: Iterable[str]) -> None:
    """Hold what the rules open in /proc, for good: procfs makes a new inode for a name that the kernel has dropped from
    its cache, and Landlock's rule is for the old one. TensorFlow ends itself when it cannot read /proc/self/cmdline.
    """
    for path in (f"/proc/{os.getpid()}", *(path for path in read if path.startswith("/proc/"))):
        with contextlib.suppress(OSError):  # what is not there needs no rule
            _kept.append(os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC))


def _file_rules(rules: Rules) -> list[tuple[str, int]]:
    found = [(path, sandbox_landlock.RUN) for path in rules.run]
    found += [(path, sandbox_landlock.READ) for path in rules.read]
    found += [(f"/proc/{os.getpid()}", sandbox_landlock.READ)]
    found += [(path, sandbox_landlock.DEVICE) for path in (*sandbox_paths.DEVICES, *rules.devices)]
    return found + [(path, sandbox_landlock.WRITE) for path in rules.write]


def _limit(limits: Limits) -> None:
    bounds = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, MAX_FILES), (resource.RLIMIT_NPROC, MAX_PROCESSES)]
    if limits.memory_bytes and limits.address_space and sys.platform == "linux":
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


def _leave_a_supervisor(parent: int) -> int:
    """Fork; the parent stays as supervisor and does not return. Its process number, in the child."""
    # Orphaned grandchildren come to the supervisor and not to init, in whatever session they are.
    _prctl(_SUBREAPER, 1)
    if parent:
        _prctl(_PDEATHSIG, _SIGTERM)
        if os.getppid() != parent:
            os._exit(1)  # it died before we asked to be told
    supervisor = os.getpid()
    child = os.fork()
    if child:
        supervise(child)
    os.setpgid(0, 0)  # what it sends to its group does not reach the supervisor
    return supervisor


def _die_with(supervisor: int) -> None:
    _prctl(_PDEATHSIG, _SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)


def _alone() -> None:
    """The kernel's rules are for one thread and what comes from it. Errors: OSError when there are others."""
    try:
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    except OSError:
        return
    if threads != 1:
        raise OSError(f"the process has {threads} threads, and a sandbox holds one")


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
