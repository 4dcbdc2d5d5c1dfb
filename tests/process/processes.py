"""What tests ask of processes: are they dead, is none left over, and which is which?"""

from __future__ import annotations

import os
import time
from pathlib import Path

from gateway.process import family


def no_children() -> bool:
    """No process of ours is left unreaped."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return True


def gone(pid: int, within_s: float = 5.0) -> bool:
    """The process is dead; a zombie of someone who does not reap is dead too."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def outside(pid: int, leader: int) -> int:
    """The number, as we see it, of the process of `leader`'s family that calls itself `pid`: at L3 they differ."""
    for member in family.members(leader):
        for line in Path(f"/proc/{member.pid}/status").read_text().splitlines():
            if line.startswith("NSpid:") and int(line.split()[-1]) == pid:
                return member.pid
    raise AssertionError(f"no process of the family of {leader} calls itself {pid}")


def marked(mark: str) -> list[int]:
    """Processes whose command line ends with `mark`, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if entry.joinpath("cmdline").read_bytes().rstrip(b"\0").endswith(mark.encode()):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def none_marked(mark: str, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while marked(mark):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
