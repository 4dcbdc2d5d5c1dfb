"""Who uses an Environment: the processes that were started with its Python or have loaded a file of it.

Rule 1: of this machine, as this user may see them: processes of a container elsewhere that shares
        the folder are not known here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class User:
    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.command})"


def users(folders: Iterable[Path]) -> list[User]:
    """Processes other than this one that run from one of `folders`, by number. Errors: none."""
    prefixes = {f"{path}/" for folder in folders for path in (folder, folder.resolve())}
    found = _from_proc(prefixes) if _PROC.joinpath("self").exists() else _from_ps(prefixes)
    return sorted((user for user in found if user.pid != os.getpid()), key=lambda user: user.pid)


def _from_proc(prefixes: set[str]) -> Iterator[User]:
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(argv[0].startswith(prefix) for prefix in prefixes) or _maps(entry, prefixes):
                yield User(int(entry.name), Path(argv[0]).name or "?")
        except OSError:  # it has ended, or is another user's
            continue


def _maps(entry: Path, prefixes: set[str]) -> bool:
    text = (entry / "maps").read_bytes().decode(errors="replace")
    return any(prefix in text for prefix in prefixes)


def _from_ps(prefixes: set[str]) -> Iterator[User]:
    done = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, timeout=20, check=False)  # noqa: S607
    for line in done.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        if pid.isdecimal() and any(command.lstrip().startswith(prefix) for prefix in prefixes):
            yield User(int(pid), Path(command.split()[0]).name)
