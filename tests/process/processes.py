"""What tests ask of processes: are they dead, and is none left over?"""

from __future__ import annotations

import os
import time
from pathlib import Path


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
