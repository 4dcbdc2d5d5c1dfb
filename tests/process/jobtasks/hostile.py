"""What a hostile model would do, as seventeen probes and some more; a task, and a script for the run without a sandbox.

A probe returns when it has done harm and raises when it was held off. Ids P01 to P17 are those of the issue: P17
is the control and must succeed. E01 onwards are what landlock alone, or an older one, lets through.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIX_GIB = 6 << 30
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class World:
    """What lies outside, named by the test: files, sockets, and a process of the gateway's user."""

    secret: str  # world-readable file, "the secret"
    victim_file: str  # writable by the user
    outside: str  # writable folder
    home: str
    tcp: int
    udp: int
    unix: str
    abstract: str
    victim: int
    shm: int  # System V segment
    folder: str  # the child's own
    parent: int  # of the child; at L3 as seen inside


def _p01(w: World) -> None:
    Path("/etc/shadow").read_text()


def _p02(w: World) -> None:
    list(Path(w.home).iterdir())


def _p03(w: World) -> None:
    assert Path(w.secret).read_text() == "the secret"


def _p04(w: World) -> None:
    (Path(w.outside) / f"written {os.getpid()}").write_text("x")


def _p05(w: World) -> None:
    os.truncate(w.victim_file, 1)


def _p06(w: World) -> None:
    link = Path(w.folder) / f"link {os.getpid()}"
    link.symlink_to(w.secret)
    assert link.read_text() == "the secret"


def _p07(w: World) -> None:
    link = Path(w.folder) / f"second name {os.getpid()}"
    link.hardlink_to(w.secret)
    assert link.read_text() == "the secret"


def _p08(w: World) -> None:
    socket.create_connection(("127.0.0.1", w.tcp), timeout=2).close()


def _p09(w: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", w.udp))


def _p10(w: World) -> None:
    """A shell that inherits every limit is harmless: it does harm when one of the others does, from it."""
    argv = ["/bin/sh", "-c", 'exec "$0" "$@"', sys.executable, "-s", "-P", "-B", __file__, json.dumps(vars(w)), "shell"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    fired = [name for name, why in json.loads(done.stdout).items() if why is None and name != "P17"]
    assert fired, "the shell was held as its parent is"


def _p11(w: World) -> None:
    fired = 0
    for pid in (w.victim, w.parent):
        try:
            os.kill(pid, signal.SIGCONT)
            fired += 1
        except OSError as error:
            held = error
    if not fired:
        raise held


def _p12(w: World) -> None:
    assert b"TOKEN=" in Path(f"/proc/{w.victim}/environ").read_bytes()


def _p13(w: World) -> None:
    _call("ptrace", _libc.ptrace(0x4206, w.victim, None, None))  # PTRACE_SEIZE: does not stop it
    os.kill(w.victim, signal.SIGSTOP)
    os.waitpid(w.victim, 0x40000000)  # __WALL
    _call("ptrace", _libc.ptrace(17, w.victim, None, None))  # PTRACE_DETACH
    os.kill(w.victim, signal.SIGCONT)


def _p14(w: World) -> None:
    if os.fork() == 0:
        os._exit(0 if _libc.unshare(0x10000000) == 0 else 1)  # CLONE_NEWUSER
    assert os.wait()[1] == 0, "EPERM"


def _p15(w: World) -> None:
    mmap.mmap(-1, SIX_GIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000).close()  # MAP_NORESERVE


def _p16(w: World) -> None:
    assert os.environ["TOKEN"]


def _p17(w: World) -> None:
    """What libraries do with files of their own."""
    note = Path(w.folder) / f"note {os.getpid()}"
    note.touch()
    note.write_text("x")
    shutil.copy2(note, note.with_suffix(".copy"))
    note.with_suffix(".copy").unlink()
    note.rename(note.with_suffix(".moved"))
    note.with_suffix(".moved").unlink()


def _chmod(w: World) -> None:
    Path(w.victim_file).chmod(0o777)
    assert Path(w.victim_file).stat().st_mode & 0o777 == 0o777, "nothing happened"


def _chown(w: World) -> None:
    os.chown(w.victim_file, os.getuid(), os.getgid())


def _times(w: World) -> None:
    os.utime(w.victim_file, (1, 1))
    assert Path(w.victim_file).stat().st_mtime == 1, "nothing happened"


def _attribute(w: World) -> None:
    os.setxattr(w.victim_file, "user.x", b"x")


def _unix_path(w: World) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(w.unix)


def _unix_abstract(w: World) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + w.abstract)


def _datagram(w: World) -> None:
    one, _other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"x", w.unix + ".datagrams")


def _limits_of_another(w: World) -> None:
    resource.prlimit(w.victim, resource.RLIMIT_CORE, (0, 0))


def _priority_of_another(w: World) -> None:
    os.setpriority(os.PRIO_PROCESS, w.victim, os.getpriority(os.PRIO_PROCESS, w.victim) + 1)


def _affinity_of_another(w: World) -> None:
    _call("sched_setaffinity", _libc.sched_setaffinity(w.victim, 8, (1).to_bytes(8, "little")))
    status = Path(f"/proc/{w.victim}/status").read_text()
    assert "Cpus_allowed_list:\t0\n" in status, "nothing happened"


def _command_lines(w: World) -> None:
    assert Path(f"/proc/{w.victim}/cmdline").read_bytes()


def _shared_memory(w: World) -> None:
    _libc.shmat.restype = ctypes.c_long
    _call("shmat", int(_libc.shmat(w.shm, None, 0o10000)))  # SHM_RDONLY


def _truncates_by_reading(w: World) -> None:
    os.close(os.open(w.victim_file, os.O_RDONLY | os.O_TRUNC))


def _moves_out(w: World) -> None:
    note = Path(w.folder) / f"out {os.getpid()}"
    note.write_text("x")
    note.rename(Path(w.outside) / f"moved {os.getpid()}")


def _io_uring(w: World) -> None:
    _call("io_uring_setup", int(_libc.syscall(425, 1, ctypes.create_string_buffer(256))))


def _keyring(w: World) -> None:
    _call("keyctl", int(_libc.syscall(250 if os.uname().machine == "x86_64" else 219, 0, -3, 1)))


def _mounts(w: World) -> None:
    _call("mount", _libc.mount(b"none", w.folder.encode(), b"tmpfs", 0, None))
    _libc.umount2(w.folder.encode(), 2)


def _namespace_by_clone(w: World) -> None:
    pid = int(_libc.syscall(56 if os.uname().machine == "x86_64" else 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0))
    if pid == 0:
        os._exit(0)
    _call("clone", pid)
    os.waitpid(pid, 0)


def _file_handles(w: World) -> None:
    handle, mount = ctypes.create_string_buffer(b"\x80\0\0\0", 256), ctypes.c_int()
    _call("name_to_handle_at", _libc.name_to_handle_at(-100, w.secret.encode(), handle, ctypes.byref(mount), 0))


def _call(name: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


PROBES: dict[str, Callable[[World], None]] = {
    "P01": _p01, "P02": _p02, "P03": _p03, "P04": _p04, "P05": _p05, "P06": _p06, "P07": _p07, "P08": _p08,
    "P09": _p09, "P10": _p10, "P11": _p11, "P12": _p12, "P13": _p13, "P14": _p14, "P15": _p15, "P16": _p16,
    "P17": _p17,
    "E01 mode of a file": _chmod, "E02 owner of a file": _chown, "E03 times of a file": _times,
    "E04 attributes of a file": _attribute, "E05 unix socket by path": _unix_path,
    "E06 unix socket by abstract name": _unix_abstract, "E07 datagram to a path": _datagram,
    "E08 limits of another process": _limits_of_another, "E09 priority of another": _priority_of_another,
    "E10 processor of another": _affinity_of_another, "E11 command line of another": _command_lines,
    "E12 shared memory of another": _shared_memory, "E13 truncation by reading": _truncates_by_reading,
    "E14 moves a file out": _moves_out, "E15 io_uring": _io_uring, "E16 keyring": _keyring, "E17 mount": _mounts,
    "E18 namespace by clone": _namespace_by_clone, "E19 file handles": _file_handles,
}  # fmt: skip


def run(world: World, leave_out: tuple[str, ...] = ()) -> dict[str, str | None]:
    """Each probe that is asked for: None where it did harm, else what held it."""
    found: dict[str, str | None] = {}
    for name, probe in PROBES.items():
        if name in leave_out:
            continue
        try:
            probe(world)
            found[name] = None
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def probes(job: Any) -> dict[str, Any]:
    """`world` -> {"found": {id: why held, or None}, "user"}."""
    world = World(**job.arguments["world"], folder=str(job.out), parent=os.getppid())
    return {"found": run(world), "user": os.getuid()}


if __name__ == "__main__":
    given = {"parent": os.getppid()} | json.loads(sys.argv[1])
    print(json.dumps(run(World(**given), ("P10",) if sys.argv[2:] else ())))
