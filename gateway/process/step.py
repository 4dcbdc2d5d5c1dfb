"""A command that is run to its end, bounded, heard line by line; what it said is kept for the error."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from gateway.process import family, joblog

STEP_S = 1800.0  # wall clock of one step: large frameworks come over slow lines
KEEP = 60  # last lines that are kept

Say = Callable[[str], None]


def run(argv: Sequence[str], environ: Mapping[str, str], say: Say) -> tuple[int, list[str]]:
    """Exit code and the last lines of what it said; `say` hears each line. Killed after STEP_S. Errors: OSError."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environ),
        text=True,
        errors="replace",
        start_new_session=True,
    )
    lines: deque[str] = deque(maxlen=KEEP)
    clock = threading.Timer(STEP_S, family.kill, (process,))
    clock.daemon = True
    clock.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(joblog.printable(line.rstrip()))
            say(lines[-1])
        return process.wait(), list(lines)
    finally:
        clock.cancel()
        family.kill(process)
        assert process.stdout is not None
        process.stdout.close()


def silent(line: str) -> None:
    """Nobody wants to hear it."""
