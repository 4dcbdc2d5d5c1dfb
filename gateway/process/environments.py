"""Environments: a Python and a pinned set of packages each; found, built on need, verified, removed.

An Environment is made of a pair of pin files (process/pins.py). It lives in a folder
NAME-DIGEST12 of the user's cache; a changed pin file is another Environment and the old one stays
until it is removed.

Rule 1: a folder of that name is complete, or is not there: it is built beside, checked, stamped,
        synced and renamed, under a lock. What an interrupted build leaves counts for nothing and
        goes with the next build.
Rule 2: no Python is downloaded and no package without its hash is taken. Where packages come
        from is the user's: UV_*, PIP_FIND_LINKS, PIP_INDEX_URL and uv's own files are honoured.
Rule 3: `find` is cheap and never builds.
Rule 4: what a process runs from is never removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.core.names import did_you_mean
from gateway.errors import EnvironmentBroken, EnvironmentInUse, EnvironmentMissing, UsageError
from gateway.process import envbuild, envuse, envverify
from gateway.process.pins import NAME, Pins, weigh
from gateway.process.spawn import GATEWAY

STAMP = "gateway-environment.json"
_FOLDER = re.compile(r"([a-z][a-z0-9-]{0,31})-[0-9a-f]{12}")
_PART = re.compile(r"\.([a-z][a-z0-9-]{0,31}-[0-9a-f]{12})\.[0-9a-f]{8}\.part")

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
    """What can be said of an Environment without building it. `size_bytes` is None until it is built.

    `pins` is the name of its pin file. `download_bytes` and `installed_bytes` are those recorded beside
    the pins, 0 where nothing is.
    """

    name: str
    title: str
    packages: int
    python: str
    digest: str
    path: Path
    built: bool
    size_bytes: int | None
    pins: str
    download_bytes: int
    installed_bytes: int
    unknown_sizes: int  # packages that lack one of the two

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "path": str(self.path), "install": f"gateway doctor --install {self.name}"}


@dataclass(frozen=True)
class Removed:
    """A folder that was removed, or was not, with the reason."""

    path: Path
    size_bytes: int
    kept: str = ""


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
        if path.exists():
            problems = (_read_stamp(path) or {}).get("problems")
            told = f"it failed its verification: {problems[0]}" if problems else ""
            raise EnvironmentMissing(name, why=told or f"its interpreter at {path} is gone or its stamp is damaged")
        others = sorted(self.folder.glob(f"{name}-{'?' * 12}/{STAMP}"))
        why = "its pin file has changed since it was built" if others else "it has not been built"
        raise EnvironmentMissing(name, why=why)

    def ensure(self, name: str, progress: Say | None = None) -> Environment:
        """`find`, or `build`."""
        return self._built(self._pins(name)) or self.build(name, progress)

    def build(self, name: str, progress: Say | None = None, wheels: Path | None = None) -> Environment:
        """Build unless it is there; waits for another builder of the same.

        `wheels` is a folder that all packages are taken from, without a network. Errors: EnvironmentBroken,
        EnvironmentInUse where a damaged one would have to give way while processes run from it, UsageError.
        """
        pins, say = self._pins(name, wheels), _named(name, progress or _silent)
        if wheels is not None and not wheels.is_dir():
            raise UsageError(f"{wheels} is not a folder of wheels.")
        path = self._path(pins)
        try:
            with self._lock(path, say):
                if (found := self._built(pins)) is not None:
                    return found
                if path.exists() and (using := envuse.users([path])):
                    raise EnvironmentInUse(name, [_used(path, using)])
                return self._build(pins, path, say, wheels and wheels.absolute())
        except OSError as error:
            raise EnvironmentBroken(f"Environment '{name}' could not be built in {self.folder}: {error}.") from error

    def verify(self, name: str) -> envverify.Findings:
        """Pins, versions, imports and every file, read again. What fails is missing from then on, until it is built.

        Errors: EnvironmentMissing where it is not built; UsageError.
        """
        pins = self._pins(name)
        path = self._path(pins)
        if not (path / STAMP).exists():
            self.find(name)  # says why it is missing
        found = envverify.verify(name, path, pins.python, pins.versions, pins.direct)
        stamp = _read_stamp(path)
        if stamp is not None and (found.problems or stamp.get("problems")):
            stamp["problems"] = list(found.problems)
            with contextlib.suppress(OSError):  # an Environment of another user: said, not marked
                _write_stamp(path, stamp)
        return found

    def remove(self, name: str) -> list[Removed]:
        """Delete what is built of `name`, for today's pins and for earlier ones; empty where there is nothing.

        Errors: EnvironmentInUse names the processes; EnvironmentBroken; UsageError.
        """
        self._pins(name)
        gone = [self._remove(path) for path in self._folders() if _folder_name(path) == name]
        if kept := [removed.kept for removed in gone if removed.kept]:
            raise EnvironmentInUse(name, kept)
        return gone

    def prune(self) -> list[Removed]:
        """Delete what no pin file stands for any more and what interrupted builds left; what is in use is kept."""
        outdated, left = self.outdated()
        return [self._remove(path) for path in outdated] + [self._drop(path) for path in left]

    def outdated(self) -> tuple[list[Path], list[Path]]:
        """Folders of earlier pin files; folders that interrupted builds left and nobody works in."""
        current = {self._path(pins) for variants in self._known.values() for pins in variants}
        parts = [path for path in self.folder.glob(".*.part") if _PART.fullmatch(path.name)]
        return [path for path in self._folders() if path not in current], sorted(filter(self._abandoned, parts))

    @cached_property
    def _known(self) -> dict[str, tuple[Pins, ...]]:
        names = sorted(path.stem for path in self.pins.glob("*.in") if NAME.fullmatch(path.stem))
        return {name: pins for name in names if (pins := Pins.read(self.pins, name))}

    def _pins(self, name: str, wheels: Path | None = None) -> Pins:
        """Of two pin files the one that is built: a gateway started without find-links finds what one with it built."""
        if name not in self._known:
            raise UsageError(
                f"there is no Environment {name!r}; known are {', '.join(self._known) or 'none'}."
                f"{did_you_mean(name, self._known)}"
            )
        variants = self._known[name] if wheels is None else Pins.read(self.pins, name, [str(wheels)])
        return next((pins for pins in variants if self._built(pins) is not None), variants[0])

    def _path(self, pins: Pins) -> Path:
        return self.folder / f"{pins.name}-{pins.digest[:12]}"

    def _built(self, pins: Pins) -> Environment | None:
        path = self._path(pins)
        stamp = _read_stamp(path)
        python = path / "bin" / "python"
        if stamp is None or stamp.get("digest") != pins.digest or not os.access(python, os.X_OK):
            return None
        if stamp.get("problems"):
            return None
        return Environment(pins.name, python, pins.digest, dict(stamp["versions"]))

    def _info(self, pins: Pins) -> EnvironmentInfo:
        path, built = self._path(pins), self._built(pins) is not None
        size = (_read_stamp(path) or {}).get("size_bytes") if built else None
        weights = weigh(pins)
        return EnvironmentInfo(
            name=pins.name,
            title=pins.title,
            packages=len(pins.versions),
            python=pins.python,
            digest=pins.digest,
            path=path,
            built=built,
            size_bytes=size,
            pins=pins.file.name,
            download_bytes=weights.download,
            installed_bytes=weights.installed,
            unknown_sizes=weights.unknown,
        )

    def _build(self, pins: Pins, path: Path, say: Say, wheels: Path | None) -> Environment:
        part = self._beside(path)
        started = time.monotonic()
        try:
            say(f"{len(pins.versions)} packages of {pins.file.name} for Python {pins.python}, into {path}")
            versions = envbuild.build(pins, part, say, wheels)
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
            _write_stamp(part, stamp)
            say("flushing it to the disk")
            envbuild.sync(part)
            say("putting it in its place")
            if path.exists():  # a damaged one: `_built` has said no
                path.rename(self._beside(path))
            part.rename(path)
            envbuild.sync(self.folder)
        finally:
            self._sweep(path)
        say(f"ready: {bytes_there / envbuild.MIB:.0f} MiB, {stamp['seconds']} s")
        found = self._built(pins)
        if found is None:
            raise EnvironmentBroken(f"Environment '{pins.name}' was built and is not at {path}: someone removed it.")
        return found

    def _beside(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")

    def _folders(self) -> list[Path]:
        """Everything that has the name of a built Environment, for whatever pins."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _FOLDER.fullmatch(path.name) and path.is_dir())

    def _remove(self, path: Path) -> Removed:
        """Delete one folder unless a process runs from it. Errors: EnvironmentBroken."""
        try:
            with self._lock(path, _silent):
                self._sweep(path)
                if not path.exists():
                    return Removed(path, 0)
                size = envbuild.size(path)
                if not (using := envuse.users([path])):
                    # Renamed first: half an Environment never has the name of a whole one. Who started meanwhile
                    # is seen now; who starts later finds nothing.
                    path.rename(gone := self._beside(path))
                    if using := envuse.users([path, gone]):
                        gone.rename(path)
                if using:
                    return Removed(path, size, _used(path, using))
                shutil.rmtree(gone)
                return Removed(path, size)
        except OSError as error:
            raise EnvironmentBroken(f"{path} could not be removed: {error}.") from error

    def _abandoned(self, part: Path) -> bool:
        """Whether nobody holds the lock of what is built in `part`."""
        found = _PART.fullmatch(part.name)
        try:
            with (self.folder / f".{found[1] if found else ''}.lock").open("a") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            return False

    def _drop(self, part: Path) -> Removed:
        size = envbuild.size(part)
        shutil.rmtree(part, ignore_errors=True)
        return Removed(part, size, "" if not part.exists() else f"{part} could not be removed")

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
                        say("another process builds it; waiting")
                    told = True
                    time.sleep(0.1)
            yield


def environments_report(environments: Environments | None = None) -> list[dict[str, Any]]:
    """For `gateway doctor`: every Environment, JSON-able.

    `state` is built, missing (never built), outdated (built for other pins), or broken; `problem` says why it
    cannot be used.
    """
    environments = environments or Environments()
    rows = []
    for info in environments.known():
        row = info.to_json() | {"problem": "", "state": "built"}
        try:
            environments.find(info.name)
        except EnvironmentMissing as error:
            row["problem"] = error.message
            others = any(environments.folder.glob(f"{info.name}-{'?' * 12}/{STAMP}"))
            row["state"] = "broken" if info.path.exists() else "outdated" if others else "missing"
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


def _write_stamp(path: Path, stamp: dict[str, Any]) -> None:
    """Whole or not at all."""
    beside = path / f"{STAMP}.part"
    beside.write_text(json.dumps(stamp, indent=1))
    beside.replace(path / STAMP)


def _folder_name(path: Path) -> str:
    found = _FOLDER.fullmatch(path.name)
    return found[1] if found else ""


def _used(path: Path, using: list[envuse.User]) -> str:
    return f"{path} is used by process {', '.join(map(str, using))}"


def _named(name: str, say: Say) -> Say:
    return lambda line: say(f"Environment '{name}': {line}")


def _silent(line: str) -> None:
    """Nobody wants to hear of progress."""
