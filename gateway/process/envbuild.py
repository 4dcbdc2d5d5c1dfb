"""The steps that fill an Environment's folder: a virtual environment, its packages, the proof that they import.

Rule 1: uv does the work, in a process group that a wall clock ends; what it said is in the error.
Rule 2: no Python is downloaded unless the user set UV_PYTHON_DOWNLOADS; every package has its hash.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway.errors import EnvironmentBroken
from gateway.process import family, joblog, spawn
from gateway.process.pins import find_links, plain

STEP_S = 1800.0  # wall clock of one step: large frameworks come over slow lines

# Runs in the new Environment. First line of stdout that starts with "{" is the answer.
_PROBE = """
import importlib, importlib.metadata as metadata, json, re, sys
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
versions = {plain(d.metadata["Name"]): d.version for d in metadata.distributions()}
modules = {}
for module, owners in metadata.packages_distributions().items():
    for owner in owners:
        modules.setdefault(plain(owner), []).append(module)
broken = {}
for name in json.loads(sys.argv[1]):
    for module in modules.get(plain(name), []):
        if module.startswith("_") or not module.isidentifier():
            continue
        try:
            importlib.import_module(module)
        except Exception as error:
            broken[module] = f"{type(error).__name__}: {error}"
print(json.dumps({"versions": versions, "broken": broken, "python": sys.version.split()[0]}))
"""

Say = Callable[[str], None]


def build(
    name: str, pins: Path, python: str, versions: Mapping[str, str], direct: Sequence[str], folder: Path, say: Say
) -> dict[str, str]:
    """Make the virtual environment `folder` and return its packages. Errors: EnvironmentBroken with the step."""
    uv, environ = _uv(name), _environ()
    code, lines = _run([uv, "venv", "--quiet", "--relocatable", "--python", _python(python), str(folder)], environ, say)
    if code:
        if any("No interpreter found" in line for line in lines):
            raise EnvironmentBroken(
                f"Environment '{name}' needs Python {python}, and there is none on this machine.",
                hint=f"Put a python{python} on PATH, or set UV_PYTHON_DOWNLOADS=automatic.",
            )
        raise _broken(name, "uv venv", code, lines)
    inside = folder / "bin" / "python"
    install = [uv, "pip", "install", "--python", str(inside), "--require-hashes", "--compile-bytecode", "--no-progress"]
    code, lines = _run([*install, "-r", str(pins)], environ, say)
    if code:
        raise _broken(name, "uv pip install", code, lines)
    code, lines = _run([uv, "pip", "check", "--python", str(inside)], environ, _silent)
    if code:
        raise _broken(name, "uv pip check", code, lines)
    say(f"Environment '{name}': importing what was installed")
    return _prove(name, inside, folder, python, versions, direct)


def _prove(
    name: str, python: Path, folder: Path, wanted: str, versions: Mapping[str, str], direct: Sequence[str]
) -> dict[str, str]:
    """Import the packages that were asked for and compare versions with the pins. Errors: EnvironmentBroken."""
    argv = [str(python), "-s", "-P", "-c", _PROBE, json.dumps(list(direct))]
    code, lines = _run(argv, spawn.environment(python, folder), _silent)
    answer = next((line for line in lines if line.startswith('{"versions"')), None)
    if code or answer is None:
        raise _broken(name, "importing", code, lines)
    found = json.loads(answer)
    problems = [f"{module} does not import: {why}" for module, why in found["broken"].items()]
    # A pin may be for another platform (a marker in the file); what is there must be what is pinned.
    for package, version in found["versions"].items():
        if package in versions and versions[package] != version:
            problems.append(f"{package} is {version}, expected {versions[package]}")
    problems += [f"{package} is not installed" for package in map(plain, direct) if package not in found["versions"]]
    if not str(found["python"]).startswith(f"{wanted}."):
        problems.append(f"its Python is {found['python']}, expected {wanted}")
    if problems:
        raise EnvironmentBroken(f"Environment '{name}' was installed and does not work: {'; '.join(problems)}.")
    return {**found["versions"], "python": found["python"]}


def size(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    total = 0
    for root, _, files in os.walk(folder):
        total += sum(os.lstat(Path(root) / file).st_size for file in files)
    return total


def sync(folder: Path) -> None:
    """What was written below `folder` is on the disk when this returns: one call for its whole file system."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if sys.platform == "linux":
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
                raise OSError(ctypes.get_errno(), "syncfs")
        else:
            os.sync()
    finally:
        os.close(descriptor)


def _uv(name: str) -> str:
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise EnvironmentBroken(
            f"Environment '{name}' cannot be built: the builder uv is not installed beside the gateway ({error}).",
            hint="Run: make setup",
        ) from error


def _python(wanted: str) -> str:
    """What to tell uv: the gateway's own interpreter where it is the right one, else the version to look for."""
    own = getattr(sys, "_base_executable", "")
    return own if own and wanted == f"{sys.version_info[0]}.{sys.version_info[1]}" else wanted


def _environ() -> dict[str, str]:
    """The user's environment, with pip's two settings in uv's words."""
    environ = {
        key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    }
    environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
    if links := find_links():
        environ.setdefault("UV_FIND_LINKS", ",".join(links))
    if environ.get("PIP_INDEX_URL"):
        environ.setdefault("UV_DEFAULT_INDEX", environ["PIP_INDEX_URL"])
    return environ


def _run(argv: Sequence[str], environ: Mapping[str, str], say: Say) -> tuple[int, list[str]]:
    """Exit code and the last lines of what it said; `say` hears each line. Killed after STEP_S."""
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
    lines: deque[str] = deque(maxlen=60)
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


def _broken(name: str, step: str, code: int, lines: Sequence[str]) -> EnvironmentBroken:
    told = " | ".join(line.strip() for line in lines[-8:] if line.strip()) or "it said nothing"
    return EnvironmentBroken(
        f"Environment '{name}' could not be built: `{step}` ended with {code}: {told[:1500]}",
        hint="Where packages come from: UV_DEFAULT_INDEX, UV_FIND_LINKS or PIP_FIND_LINKS.",
    )


def _silent(line: str) -> None:
    """Nobody wants to hear it."""
