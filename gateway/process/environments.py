"""Environments: a Python and a pinned set of packages each; found, built on need, removed.

An Environment is made of a pair of pin files (process/pins.py). It lives in a folder
NAME-DIGEST12 of the user's cache; a changed pin file is another Environment and the old one stays
until it is removed.

Rule 1: a folder of that name is complete, or is not there: it is built beside, checked, stamped,
        synced and renamed, under a lock. What an interrupted build leaves counts for nothing and
        goes with the next build.
Rule 2: no Python is downloaded and no package without its hash is taken. Where packages come
        from is the user's: UV_*, PIP_FIND_LINKS, PIP_INDEX_URL and uv's own files are honoured.
Rule 3: `find` is cheap and never builds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.core.names import did_you_mean
from gateway.errors import EnvironmentBroken, EnvironmentMissing, UsageError
from gateway.process import envbuild
from gateway.process.pins import NAME, Pins
from gateway.process.spawn import GATEWAY

STAMP = "gateway-environment.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Environment:
    """A built Environment. `versions` are the packages in it by name; `digest` is its whole key."""

    name: str
    python: Path
    digest: str
    versions: dict[str, str]


@dataclass(frozen=True)
class EnvironmentInfo:
    """What can be said of an Environment without building it. `size_bytes` is None until it is built."""

    name: str
    title: str
    packages: int
    python: str
    digest: str
    path: Path
    built: bool
    size_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "path": str(self.path), "install": f"gateway doctor --install {self.name}"}


class Environments:
    """The Environments of one cache folder. Cheap to make; safe for several threads and processes."""

    def __init__(self, folder: Path | None = None, pins: Path | None = None) -> None:
        """`folder` is MODEL_GATEWAY_ENVS or ~/.cache/model-gateway/envs; `pins` those shipped with the gateway."""
        self.folder = (folder or default_folder()).absolute()
        self.pins = pins or default_pins()

    def known(self) -> list[EnvironmentInfo]:
        """Every Environment there is a pin file for, built or not, by name."""
        return [self._info(self._pins(name)) for name in self._known]

    def find(self, name: str) -> Environment:
        """A built Environment. Errors: EnvironmentMissing, which says why and how to get it; UsageError."""
        pins = self._pins(name)
        if (found := self._built(pins)) is not None:
            return found
        path = self._path(pins)
        if (path / STAMP).exists():
            raise EnvironmentMissing(name, why=f"its interpreter at {path} is gone or its stamp is damaged")
        others = sorted(self.folder.glob(f"{name}-{'?' * 12}/{STAMP}"))
        why = "its pin file has changed since it was built" if others else "it has not been built"
        raise EnvironmentMissing(name, why=why)

    def ensure(self, name: str, progress: Say | None = None) -> Environment:
        """`find`, or `build`."""
        return self._built(self._pins(name)) or self.build(name, progress)

    def build(self, name: str, progress: Say | None = None) -> Environment:
        """Build unless it is there; waits for another builder of the same. Errors: EnvironmentBroken, UsageError."""
        pins, say = self._pins(name), progress or _silent
        path = self._path(pins)
        try:
            with self._lock(path, say):
                if (found := self._built(pins)) is not None:
                    return found
                return self._build(pins, path, say)
        except OSError as error:
            raise EnvironmentBroken(f"Environment '{name}' could not be built in {self.folder}: {error}.") from error

    def remove(self, name: str) -> bool:
        """Delete the built Environment of today's pin file; False where there is none. Errors: EnvironmentBroken."""
        path = self._path(self._pins(name))
        try:
            with self._lock(path, _silent):
                there = path.exists()
                self._sweep(path)
                if there:
                    # Renamed first: half an Environment never has the name of a whole one.
                    path.rename(gone := self._beside(path))
                    shutil.rmtree(gone)
                return there
        except OSError as error:
            raise EnvironmentBroken(f"Environment '{name}' could not be removed: {error}.") from error

    @cached_property
    def _known(self) -> dict[str, tuple[Pins, ...]]:
        names = sorted(path.stem for path in self.pins.glob("*.in") if NAME.fullmatch(path.stem))
        return {name: pins for name in names if (pins := Pins.read(self.pins, name))}

    def _pins(self, name: str) -> Pins:
        """Of two pin files the one that is built: a gateway started without find-links finds what one with it built."""
        if name not in self._known:
            raise UsageError(
                f"there is no Environment {name!r}; known are {', '.join(self._known) or 'none'}."
                f"{did_you_mean(name, self._known)}"
            )
        variants = self._known[name]
        return next((pins for pins in variants if self._built(pins) is not None), variants[0])

    def _path(self, pins: Pins) -> Path:
        return self.folder / f"{pins.name}-{pins.digest[:12]}"

    def _built(self, pins: Pins) -> Environment | None:
        path = self._path(pins)
        stamp = _read_stamp(path)
        python = path / "bin" / "python"
        if stamp is None or stamp.get("digest") != pins.digest or not os.access(python, os.X_OK):
            return None
        return Environment(pins.name, python, pins.digest, dict(stamp["versions"]))

    def _info(self, pins: Pins) -> EnvironmentInfo:
        path, built = self._path(pins), self._built(pins) is not None
        size = (_read_stamp(path) or {}).get("size_bytes") if built else None
        return EnvironmentInfo(pins.name, pins.title, len(pins.versions), pins.python, pins.digest, path, built, size)

    def _build(self, pins: Pins, path: Path, say: Say) -> Environment:
        part = self._beside(path)
        started = time.monotonic()
        try:
            say(f"Environment '{pins.name}': {len(pins.versions)} packages for Python {pins.python}, into {path}")
            versions = envbuild.build(pins.name, pins.file, pins.python, pins.versions, pins.direct, part, say)
            bytes_there = envbuild.size(part)
            stamp = {
                "name": pins.name,
                "digest": pins.digest,
                "python": pins.python,
                "versions": versions,
                "size_bytes": bytes_there,
                "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "seconds": round(time.monotonic() - started, 1),
            }
            (part / STAMP).write_text(json.dumps(stamp, indent=1))
            envbuild.sync(part)
            if path.exists():  # a damaged one: `_built` has said no
                path.rename(self._beside(path))
            part.rename(path)
            envbuild.sync(self.folder)
        finally:
            self._sweep(path)
        say(f"Environment '{pins.name}' is ready: {bytes_there >> 20} MiB, {stamp['seconds']} s")
        found = self._built(pins)
        if found is None:
            raise EnvironmentBroken(f"Environment '{pins.name}' was built and is not at {path}: someone removed it.")
        return found

    def _beside(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")

    def _sweep(self, path: Path) -> None:
        """What interrupted builds of this Environment have left. The lock is held."""
        for left in self.folder.glob(f".{path.name}.*.part"):
            shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def _lock(self, path: Path, say: Say) -> Iterator[None]:
        """One builder at a time; the kernel lets go when the process ends, however it ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{path.name}.lock").open("w") as stream:
            told = False
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told:
                        say(f"{path.name}: another process builds it; waiting")
                    told = True
                    time.sleep(0.1)
            yield


def environments_report(environments: Environments | None = None) -> list[dict[str, Any]]:
    """For `gateway doctor`: every Environment, JSON-able, with `problem` where it is not usable."""
    environments = environments or Environments()
    rows = []
    for info in environments.known():
        row = info.to_json() | {"problem": ""}
        try:
            environments.find(info.name)
        except EnvironmentMissing as error:
            row["problem"] = error.message
        rows.append(row)
    return rows


def default_folder() -> Path:
    """Where Environments live unless the caller says: MODEL_GATEWAY_ENVS, or the user's cache."""
    named = os.environ.get("MODEL_GATEWAY_ENVS")
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(named) if named else Path(cache) / "model-gateway" / "envs"


def default_pins() -> Path:
    """The pin files: inside the installed package, or deploy/envs beside it in a clone."""
    shipped = GATEWAY / "_envs"
    return shipped if shipped.is_dir() else GATEWAY.parent / "deploy" / "envs"


def _read_stamp(path: Path) -> dict[str, Any] | None:
    try:
        stamp = json.loads((path / STAMP).read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and isinstance(stamp.get("versions"), dict) else None


def _silent(line: str) -> None:
    """Nobody wants to hear of progress."""
