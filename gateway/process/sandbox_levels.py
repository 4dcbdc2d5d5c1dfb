"""Which level is reached here: found by holding a process of that very interpreter, and trying to get out of it.

Rule 1: a level counts when the interpreter starts in it, can work in its folder, and cannot read a file
        outside, make a socket or (L3) see another process. Kernels, containers and profiles lie; this does not.
Rule 2: tried once for each interpreter, from the top; the reasons of those above are kept for people.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import SandboxTooWeak
from gateway.process import family, sandbox_bwrap, sandbox_landlock, spawn
from gateway.process.sandbox import LEVELS, Limits, plan

PROBE_S = 20.0  # wall clock of one try
HELD = "held"  # what the probe prints when the level holds


@dataclass(frozen=True)
class Reached:
    """The level, how, and why no higher one: {2: "this kernel has no landlock ..."}."""

    level: int
    missing: dict[int, str]

    def __str__(self) -> str:
        parts = ["no limits at all" if self.level == 0 else "resource limits"]
        if self.level >= 2:
            parts += [f"landlock (ABI {sandbox_landlock.abi()})", "seccomp"]
        if self.level >= 3:
            parts += [f"bubblewrap {sandbox_bwrap.version()}"]
        return f"L{self.level}: {', '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "shown": str(self),
            "landlock_abi": sandbox_landlock.abi(),
            "bubblewrap": sandbox_bwrap.version(),
            "missing": {f"L{level}": why for level, why in sorted(self.missing.items())},
        }


_found: dict[Path, Reached] = {}
_lock = threading.Lock()


def reached(python: Path | None = None) -> Reached:
    """What holds a process of this interpreter; of the gateway's own without one."""
    python = python or Path(sys.executable)
    with _lock:
        if python not in _found:
            _found[python] = _try_all(python)
        return _found[python]


def available_level() -> int:
    """The best level here, for the gateway's own interpreter."""
    return reached().level


def choose(min_level: int, python: Path | None = None, *, max_level: int = LEVELS[-1]) -> int:
    """The level for a child that needs at least `min_level`. Errors: SandboxTooWeak."""
    found = reached(python)
    level = min(found.level, max_level)
    if level >= min_level:
        return level
    if found.level >= min_level:
        raise SandboxTooWeak(
            f"sandbox level L{min_level} is needed and L{level} is allowed by jobs.sandbox_max_level.",
            hint="Raise jobs.sandbox_max_level: this machine can hold it.",
        )
    why = found.missing.get(min_level) or "there is no such level"
    raise SandboxTooWeak(
        f"sandbox level L{min_level} is needed and L{level} is reached here: {why}.",
        hint="docs/security.md says what each level needs; `gateway doctor` shows what is missing.",
    )


def _try_all(python: Path) -> Reached:
    missing: dict[int, str] = {}
    for level in reversed(LEVELS[1:]):
        why = _absent(level) or _try(python, level)
        if not why:
            return Reached(level, missing)
        missing[level] = why
    return Reached(0, missing)


def _absent(level: int) -> str:
    """What is known to be missing without trying."""
    if level >= 2 and (why := sandbox_landlock.why_absent()):
        return why
    if level >= 3 and not sandbox_bwrap.program():
        return "bubblewrap is not installed (the program bwrap is not on PATH)"
    return ""


def _try(python: Path, level: int) -> str:
    """Hold a process that tries to get out. "" when it was held, else why not."""
    # Not in /tmp itself: a folder above the private one must stay closed too.
    with tempfile.TemporaryDirectory(prefix="model-gateway-probe-") as outside:
        secret = Path(outside) / "secret"
        secret.write_text("outside")
        secret.chmod(0o644)
        folder = Path(outside) / "folder"
        folder.mkdir(mode=0o700)
        limits = Limits(memory_bytes=1 << 30, cpu_s=60, file_bytes=1 << 30, parent=os.getpid())
        hold = plan(python, folder, level=level, limits=limits, packages=[spawn.GATEWAY])
        (folder / "hold.json").write_text(hold.text())
        argv = spawn.command(python, "gateway.process.sandbox_probe", [str(folder / "hold.json"), str(secret)])
        return _said(hold.wrap(argv), spawn.environment(python, folder), folder)


def _said(argv: list[str], environ: dict[str, str], folder: Path) -> str:
    with tempfile.TemporaryFile() as output:
        try:
            process = spawn.start(argv, environ, folder, output.fileno())
        except OSError as error:
            return f"the interpreter could not be started: {error.strerror}"
        try:
            process.wait(PROBE_S)
        except subprocess.TimeoutExpired:
            return f"a process that was to be held gave no answer in {PROBE_S:g} s"
        finally:
            family.kill(process)
        output.seek(0)
        lines = output.read(65536).decode(errors="replace").split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    if process.returncode == 0 and lines and lines[-1] == HELD:
        return ""
    return (lines[-1] if lines else f"a process that was to be held ended with {process.returncode}")[:300]
