"""A seccomp filter, made by hand as classic BPF: which system calls a held process may make.

    denied   EPERM, as for a user without the right
    absent   ENOSYS, so that libraries take an older call whose arguments can be looked at
    quiet    0, and nothing happens: changes of mode and times, which libraries make in passing and
             which landlock does not see (`chmod` of any file that its user owns). Not at L3, where no
             other file is there.
    looked   by their arguments: clone with a new namespace, signals and limits of other processes,
             datagrams, terminals

Rule 1: numbers are those of one architecture; a call by another one (32 bits on x86_64) ends the
        process. A call that is newer than this list is absent.
Rule 2: sockets are for the descriptors a child was started with: none can be made, but for pairs
        of streams. A path or an abstract name reaches nobody.
Rule 3: what an old landlock does not hold (`abi`) is held here: truncation before 3, signals before 6.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_* of linux/audit.h
_X32 = 0x40000000  # the other ABI of x86_64 has this bit in its numbers
NEWEST = 462  # mseal, Linux 6.10: the last call that was looked at when this list was written

# name: (x86_64, aarch64); 0 where the architecture has none.
NUMBERS: dict[str, tuple[int, int]] = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "sched_setattr": (314, 274),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "statmount": (457, 457), "listmount": (458, 458),
    "unshare": (272, 97), "setns": (308, 268),
    # files by other roads
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "chown": (92, 0), "fchown": (93, 55),
    "lchown": (94, 0), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "fanotify_init": (300, 262),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "lookup_dcookie": (212, 18), "uselib": (134, 0),
    # the kernel's own
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "memfd_secret": (447, 447),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "personality": (135, 92), "syslog": (103, 116), "acct": (163, 89),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "vhangup": (153, 58), "iopl": (172, 0), "ioperm": (173, 0), "modify_ldt": (154, 0),
    # memory and queues that anybody of the same user may attach to
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semctl": (66, 191),
    "semop": (65, 193), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
    # the network
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    # looked at, quiet or absent: see below
    "clone": (56, 220), "clone3": (435, 435), "prlimit64": (302, 261), "setpriority": (141, 140),
    "ioprio_set": (251, 30), "ioctl": (16, 29), "fcntl": (72, 25), "chmod": (90, 0), "fchmod": (91, 52),
    "fchmodat": (268, 53), "fchmodat2": (452, 452), "utime": (132, 0), "utimes": (235, 0), "futimesat": (261, 0),
    "utimensat": (280, 88), "sched_setaffinity": (203, 122), "openat2": (437, 437), "open": (2, 0),
    "openat": (257, 56), "truncate": (76, 45), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}  # fmt: skip
QUIET = ("chmod", "fchmod", "fchmodat", "fchmodat2", "sched_setaffinity")
TIMES = {"utime": 1, "utimes": 1, "futimesat": 2, "utimensat": 2}
"""Call -> argument with the times. Given ones are quiet; none means now: libraries ask so whether a file is there."""
ABSENT = ("clone3",)
LOOKED = ("clone", "prlimit64", "setpriority", "ioprio_set", "ioctl", "fcntl", "socketpair")
FOR_OLD = (  # held only where landlock does not
    "openat2", "open", "openat", "truncate", "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
    "pidfd_send_signal",
)  # fmt: skip
DENIED = tuple(name for name in NUMBERS if name not in (*QUIET, *TIMES, *ABSENT, *LOOKED, *FOR_OLD))

_NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_AF_UNIX, _SOCK_DGRAM, _SOCK_TYPE = 1, 2, 0xF
_TERMINAL = (0x5412, 0x541C, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX types for others; FIOSETOWN, SIOCSPGRP signal them
_OWNERS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: another process is sent a signal
_ACCMODE_TRUNC, _TRUNC = 0o1003, 0o1000

# linux/bpf_common.h, linux/seccomp.h
_LOAD, _JEQ, _JGT, _JGE, _JSET, _AND, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER = 1

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


@dataclass(frozen=True)
class Filter:
    """What the filter depends on. `abi` is landlock's; `pid` the process, which matters before abi 6."""

    machine: str
    abi: int
    pid: int
    unix_sockets: bool = False
    namespaces: bool = False  # around it: other files and processes are not there

    def program(self) -> list[Instruction]:
        """The instructions. Errors: OSError on an architecture without numbers."""
        if self.machine not in _ARCH:
            raise OSError(errno.ENOSYS, f"no list of system calls for {self.machine}")
        code = [
            (_LOAD, 0, 0, 4),
            (_JEQ, 1, 0, _ARCH[self.machine]),
            (_RETURN, 0, 0, _KILL),
            (_LOAD, 0, 0, 0),
            (_JGT, 0, 1, NEWEST),  # the calls of x32 too: their numbers are larger
            (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        ]
        denied = [
            name for name in DENIED if not (self.unix_sockets and name in ("socket", "connect", "bind", "listen"))
        ]
        absent = list(ABSENT)
        if self.abi < 3:
            denied += ["truncate"]
            absent += ["openat2"]  # its flags lie behind a pointer
        if self.abi < 6:
            denied += ["tkill", "pidfd_send_signal"]
        code += self._answer(denied, errno.EPERM) + self._answer(absent, errno.ENOSYS)
        code += [] if self.namespaces else self._answer(QUIET, 0)
        for name, block in self._blocks():
            if number := self._number(name):
                code += [(_JEQ, 0, len(block), number), *block]
        return [*code, (_RETURN, 0, 0, _ALLOW)]

    def _number(self, name: str) -> int:
        return NUMBERS[name][list(_ARCH).index(self.machine)]

    def _answer(self, names: Iterable[str], number: int) -> list[Instruction]:
        found: list[Instruction] = []
        for name in names:
            if nr := self._number(name):
                found += [(_JEQ, 0, 1, nr), (_RETURN, 0, 0, _ERRNO | number)]
        return found

    def _blocks(self) -> list[tuple[str, list[Instruction]]]:
        """For each call that is looked at, what returns on every road. Arguments are 64 bits; the low half counts."""
        blocks = [
            ("clone", [_argument(0), (_JSET, 0, 1, _NAMESPACES), _deny(), _allow()]),
            ("prlimit64", _only(0, (0,))),
            ("setpriority", _only(1, (0,))),
            ("ioprio_set", _only(1, (0,))),
            ("ioctl", _none_of(1, _TERMINAL)),
            ("fcntl", _none_of(1, _OWNERS)),
            ("socketpair", _stream_pair()),
        ]
        if not self.namespaces:
            blocks += [(name, [_argument(at), (_JEQ, 1, 0, 0), _quiet(), _deny()]) for name, at in TIMES.items()]
        if self.unix_sockets:
            blocks += [("socket", _only(0, (_AF_UNIX,)))]
        if self.abi < 3:
            blocks += [("open", _no_truncation(1)), ("openat", _no_truncation(2))]
        if self.abi < 6:
            blocks += [("kill", _only(0, (0, self.pid)))]
            blocks += [(name, _only(0, (self.pid,))) for name in ("tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")]
        return blocks


def _argument(index: int) -> Instruction:
    return (_LOAD, 0, 0, 16 + 8 * index)


def _allow() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _deny() -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | errno.EPERM)


def _quiet() -> Instruction:
    return (_RETURN, 0, 0, _ERRNO)


def _only(index: int, values: tuple[int, ...]) -> list[Instruction]:
    tests: list[Instruction] = [(_JEQ, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [_argument(index), *tests, _deny(), _allow()]


def _none_of(index: int, values: tuple[int, ...]) -> list[Instruction]:
    tests: list[Instruction] = [(_JEQ, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [_argument(index), *tests, _allow(), _deny()]


def _stream_pair() -> list[Instruction]:
    """AF_UNIX and no datagrams: those can be sent to any name."""
    return [
        _argument(0), (_JEQ, 0, 3, _AF_UNIX), _argument(1), (_AND, 0, 0, _SOCK_TYPE), (_JEQ, 0, 1, _SOCK_DGRAM),
        _deny(), _allow(),
    ]  # fmt: skip


def _no_truncation(index: int) -> list[Instruction]:
    """open(O_RDONLY | O_TRUNC), which landlock takes for reading before its ABI 3."""
    return [_argument(index), (_AND, 0, 0, _ACCMODE_TRUNC), (_JEQ, 0, 1, _TRUNC), _deny(), _allow()]


def restrict(*, abi: int, unix_sockets: bool = False, namespaces: bool = False) -> None:
    """Hold this thread, and all that come from it, for good; no_new_privs is set. Errors: OSError."""
    program = Filter(platform.machine(), abi, os.getpid(), unix_sockets, namespaces).program()
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    # struct sock_fprog { unsigned short len; struct sock_filter *filter; }
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_NR_SECCOMP[platform.machine()], _SET_MODE_FILTER, 0, header):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
