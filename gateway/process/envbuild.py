"""The steps that fill an Environment's folder: a virtual environment, its packages, the proof that they import.

Rule 1: uv does the work, in a process group that a wall clock ends; what it said is in the error.
Rule 2: no Python is downloaded unless the user set UV_PYTHON_DOWNLOADS; every package has its hash.
Rule 3: what will be downloaded is said before it is, in packages and bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.errors import EnvironmentBroken
from gateway.process import envverify, step
from gateway.process.pins import Pins, find_links, plain, weigh
from gateway.process.step import Say, silent

_DOWNLOADS = re.compile(r"Would download (\d+) package")
_BEGUN = re.compile(r"\s*Downloading (\S+)")
_DONE = re.compile(r"\s*Downloaded (\S+)")
_INSTALLED = re.compile(r"\s*Installed (\d+) package")
_CHATTER = re.compile(r"\s*(?:[+~-] \S+==|Using Python|Resolved |Audited |Would |Checked )")
_FULL = ("No space left on device", "Disk quota exceeded")
MIB = 1 << 20
BEAT_S = 10.0  # uv says nothing while a file comes in: then we say that it still does


def build(pins: Pins, folder: Path, say: Say, wheels: Path | None = None) -> dict[str, str]:
    """Make the virtual environment `folder` and return its packages.

    `wheels` is a folder that every package is taken from; then there is no network. Errors: EnvironmentBroken
    with the step that failed.
    """
    uv, environ = find_uv(pins.name), _environ()
    _venv(uv, environ, pins, folder)
    source = ["--offline", "--no-index", "--find-links", str(wheels)] if wheels else []
    inside = str(folder / "bin" / "python")
    install = [uv, "pip", "install", "--python", inside, "--require-hashes", *source, "-r", str(pins.file)]
    code, lines = step.run([*install, "--dry-run"], environ, silent)
    if code:
        raise _failed(pins, "uv pip install", code, lines, folder, wheels)
    plan = _Plan(pins, lines, say, "to download" if wheels is None else f"to take from {wheels}")
    with plan.beating():
        code, lines = step.run([*install, "--compile-bytecode", "--no-progress"], environ, plan)
    if code:
        raise _failed(pins, "uv pip install", code, lines, folder, wheels)
    code, lines = step.run([uv, "pip", "check", "--python", inside], environ, silent)
    if code:
        raise _failed(pins, "uv pip check", code, lines, folder, wheels)
    say("importing what was installed")
    versions, problems = envverify.installed(pins.name, folder, pins.python, pins.versions, pins.direct)
    if problems:
        raise EnvironmentBroken(f"Environment '{pins.name}' was installed and does not work: {'; '.join(problems)}.")
    return versions


class _Plan:
    """Hears uv's dry run, says what is to come, then hears uv at work and says how far it is."""

    def __init__(self, pins: Pins, dry_run: Sequence[str], say: Say, what: str = "to download") -> None:
        self._say, self._weights, self._done = say, weigh(pins), 0
        self._coming: dict[str, float] = {}  # packages on their way, and since when
        found = _DOWNLOADS.search("\n".join(dry_run))
        count = int(found[1]) if found else 0
        self._total = bytes_ = self._weights.download
        unknown = len(pins.versions) - len(self._weights.by_name)
        if not count:
            say(f"nothing to download: uv's cache has all {len(pins.versions)} packages")
        elif count >= len(pins.versions):
            more = f" and {unknown} packages of unknown size" if unknown else ""
            say(f"{what}: {count} packages, {_mib(bytes_)}{more}")
        else:
            rest = f"at most {_mib(bytes_)}; uv's cache has the others"
            say(f"{what}: {count} of {len(pins.versions)} packages, {rest}")

    def __call__(self, line: str) -> None:
        if found := _BEGUN.match(line):
            self._coming[found[1]] = time.monotonic()
            self._say(f"downloading {found[1]}{self._size(found[1])}")
        elif found := _DONE.match(line):
            self._coming.pop(found[1], None)
            self._done += self._weights.by_name.get(plain(found[1]), 0)
            self._say(f"downloaded {found[1]}: {_mib(self._done)} of {_mib(self._total)}")
        elif found := _INSTALLED.match(line):
            self._say(f"{found[1]} packages installed")
        elif not _CHATTER.match(line):
            self._say(line.strip())

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """While it lasts, what has been on its way for a while is said again and again."""
        over = threading.Event()
        thread = threading.Thread(target=self._beat, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT_S):
            now = time.monotonic()
            for package, since in list(self._coming.items()):
                if now - since >= BEAT_S:
                    self._say(f"still downloading {package}{self._size(package)}: {now - since:.0f} s")

    def _size(self, package: str) -> str:
        size = self._weights.by_name.get(plain(package))
        return f", {_mib(size)}" if size else ""


def pythons() -> list[tuple[str, str]]:
    """Version and path of each Python that uv finds here, once. Errors: EnvironmentBroken, OSError: no uv."""
    argv = [find_uv("base"), "python", "list", "--only-installed", "--output-format", "json"]
    _, lines = step.run(argv, _environ(), silent)
    text = next((line for line in reversed(lines) if line.startswith("[{")), "[]")
    first: dict[str, str] = {}
    for row in json.loads(text):
        first.setdefault(str(row["version"]), str(row["path"]))
    return list(first.items())


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


def find_uv(name: str) -> str:
    """The builder. Errors: EnvironmentBroken where it is not installed beside the gateway."""
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise EnvironmentBroken(
            f"Environment '{name}' cannot be built: the builder uv is not installed beside the gateway ({error}).",
            hint="Run: make setup",
        ) from error


def no_python(name: str, wanted: str) -> EnvironmentBroken:
    """The error of a Python that is not there: which there are, and how to get it."""
    try:
        there = ", ".join(dict.fromkeys(version for version, _ in pythons())) or "none"
    except (EnvironmentBroken, OSError):
        there = "not known"
    return EnvironmentBroken(
        f"Environment '{name}' needs Python {wanted}, and there is none on this machine; found: {there}.",
        hint=f"Put a python{wanted} on PATH (a package of the system, or pyenv), or let uv fetch one: "
        f"UV_PYTHON_DOWNLOADS=automatic gateway doctor --install {name}",
    )


def _venv(uv: str, environ: dict[str, str], pins: Pins, folder: Path) -> None:
    argv = [uv, "venv", "--quiet", "--relocatable", "--python", _python(pins.python), str(folder)]
    code, lines = step.run(argv, environ, silent)
    if code and any("No interpreter found" in line for line in lines):
        raise no_python(pins.name, pins.python)
    if code:
        raise _failed(pins, "uv venv", code, lines, folder, None)


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


def _failed(
    pins: Pins, what: str, code: int, lines: Sequence[str], folder: Path, wheels: Path | None
) -> EnvironmentBroken:
    """The error of a step, with what helps: room on the disk, a wheel that lacks, or where packages come from."""
    error = envverify.broken(pins.name, what, code, lines)
    if any(word in line for line in lines for word in _FULL):
        weights = weigh(pins)
        needed = f"about {_mib(weights.installed)} here, and as much in uv's cache where it lacks them"
        free = shutil.disk_usage(folder.parent).free
        return EnvironmentBroken(
            f"Environment '{pins.name}' could not be built: the disk is full. It needs {needed}; {_mib(free)} is free.",
            hint="Free some (`gateway doctor --prune` removes outdated Environments, `uv cache prune` old packages), "
            "or set MODEL_GATEWAY_ENVS and UV_CACHE_DIR to a larger disk.",
        )
    if wheels:
        error.hint = (
            f"Only {wheels} was looked into. Fill it where there is a network: "
            f"python{pins.python} -m pip download --no-deps --require-hashes -r {pins.file.name} -d DIR"
        )
    return error


def _mib(count: int) -> str:
    return f"{count / MIB:.0f} MiB" if count >= 10 * MIB else f"{count / MIB:.1f} MiB"
