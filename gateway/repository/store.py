"""The store: artifacts by the digest of all they depend on, and the copies of drops on their way there.

    artifacts/KEY/       model.onnx ... gateway.json: complete, or not there
    drops/DIGEST/        files/ (the model) and owner/ (labels, vectors)
    failures/KEY.json    an answer too: this drop can only fail
    index/               fingerprint -> digest (index.py)
    locks/  tmp/         tmp/ID/ belongs to one living gateway

Rule 1: what stands under artifacts/ or drops/ was written elsewhere, fsynced, and renamed in.
        A kill at any moment leaves nothing partial in sight; what it left in tmp/ goes at the
        next open.
Rule 2: several gateways may share a store: whoever publishes second takes what is there.
Rule 3: no path is built from anything but a sha256 in hex, checked.
Rule 4: what is pinned, by this gateway or another, is never collected.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import stat
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.config import GIB
from gateway.core.artifact import FILE, SCHEMA, Artifact
from gateway.errors import GatewayError, StoreError, UnsafeDrop
from gateway.repository import fs, locks
from gateway.repository.index import Index

log = logging.getLogger("gateway.repository")

MAX_FAILURES = 1000
STEPS = (
    "staged",
    "drop copied",
    "drop renamed",
    "drop indexed",
    "artifact described",
    "artifact synced",
    "artifact renamed",
    "artifact published",
)
_HASH = re.compile(r"[0-9a-f]{64}")
_THERE = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True)
class Stored:
    """A complete artifact and the folder that holds its files."""

    artifact: Artifact
    folder: Path

    @property
    def key(self) -> str:
        return self.artifact.digest


class Store:
    """Safe to call from any thread, and for several gateways on one folder."""

    def __init__(self, root: Path, max_bytes: int = 64 * GIB) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self.index = Index(root / "index")
        self._own: Path | None = None
        self._own_lock = -1
        self._pins = locks.Pins(root / "locks")
        self._lock = threading.RLock()

    def step(self, name: str) -> None:
        """Called at each of STEPS, after it. Does nothing; a test replaces it to die exactly there."""
        assert name in STEPS, name

    # --- opening and closing

    def open(self) -> None:
        """Create what is missing; remove what dead gateways left; check every artifact. Errors: StoreError."""
        with self._lock, fs.guard("opening it", self.root):
            if self._own is not None:
                return
            for name in ("artifacts", "drops", "failures", "index", "locks", "tmp"):
                fs.make_folder(self.root / name)
            opening = self.root / "locks" / "open"
            held = locks.wait_lock(opening)
            try:
                self._remove_stale()
                locks.sweep(opening.parent, keep=opening)
                own = self.root / "tmp" / uuid.uuid4().hex
                fs.make_folder(own)
                self._own_lock = locks.wait_lock(own / "lock")
                self._own = own
                for folder in self._folders("drops"):
                    self._evict("drops", folder.name)
                for folder in self._folders("artifacts"):
                    if self._read(folder.name) is None:
                        self._evict("artifacts", folder.name)
            finally:
                locks.release(held, opening)

    def close(self) -> None:
        """Give pins and scratch space back. Safe to call twice."""
        with self._lock:
            self._pins.close()
            if self._own is not None:
                fs.remove_tree(self._own)
                os.close(self._own_lock)
                self._own = None

    def _remove_stale(self) -> None:
        """tmp/ folders whose gateway is dead: it no longer holds the lock in them."""
        for folder in (self.root / "tmp").iterdir():
            if not folder.is_dir():
                folder.unlink(missing_ok=True)
                continue
            descriptor = locks.try_lock(folder / "lock")
            if descriptor is not None:
                fs.remove_tree(folder)
                os.close(descriptor)

    # --- artifacts

    @staticmethod
    def key(drop_digest: str, options_text: str, target: str, converter: str) -> str:
        """The address of an artifact: a hash of everything that its bytes depend on."""
        text = json.dumps([SCHEMA, drop_digest, options_text, target, converter])
        return hashlib.sha256(text.encode()).hexdigest()

    def find(self, key: str) -> Stored | None:
        """The artifact, complete, or None. Marks it as used now."""
        stored = self._read(key)
        if stored is not None:
            with suppress(OSError):
                os.utime(stored.folder)
        return stored

    def _read(self, key: str) -> Stored | None:
        folder = self._path("artifacts", key)
        try:
            artifact = Artifact.from_json(json.loads((folder / FILE).read_bytes()))
            for name, size in artifact.files.items():
                found = (folder / name).lstat().st_size
                if found != size:
                    raise StoreError(f"{name} has {found} bytes, {FILE} says {size}")
        except (FileNotFoundError, NotADirectoryError) as error:
            if folder.exists():
                log.warning("%s is not complete (%s is missing) and is not used", folder, error.filename)
            return None
        except (OSError, ValueError, AttributeError, GatewayError) as error:
            log.warning("%s is damaged (%s) and is not used", folder, error)
            return None
        return Stored(artifact, folder)

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """An empty folder on the store's disk, removed afterwards unless it was published."""
        if self._own is None:
            raise StoreError(f"the store {self.root} is not open.")
        folder = self._own / uuid.uuid4().hex
        with fs.guard("making a scratch folder", folder):
            fs.make_folder(folder)
        try:
            self.step("staged")
            yield folder
        finally:
            fs.remove_tree(folder)

    def publish(self, key: str, folder: Path, artifact: Artifact) -> Stored:
        """Make a staged folder the artifact `key`, with gateway.json. What is there already is taken instead.

        Errors: StoreError; UnsafeDrop when a converter left anything but plain files.
        """
        target = self._path("artifacts", key)
        files = _plain_files(folder)
        for name, size in artifact.files.items():
            if files.get(name) != size:
                raise StoreError(f"{name} should have {size} bytes, {folder} has {files.get(name, 'no such file')}.")
        artifact = replace(artifact, digest=key, files=files)
        with fs.guard("publishing an artifact", target):
            text = json.dumps(artifact.to_json(), indent=1).encode()
            fs.replace_file(folder / FILE, text, folder / f".{FILE}.tmp")
            self.step("artifact described")
            fs.sync_tree(folder)
            self.step("artifact synced")
            if not self._rename_in(folder, target):
                theirs = self.find(key)
                if theirs is not None:
                    return theirs
                self._discard(target)
                fs.rename(folder, target)
            self.step("artifact renamed")
            fs.sync_folder(target.parent)
        self.forget_failure(key)
        self.step("artifact published")
        return Stored(artifact, target)

    def _rename_in(self, folder: Path, target: Path) -> bool:
        """False when the target is there already."""
        try:
            fs.rename(folder, target)
        except OSError as error:
            if error.errno in _THERE:
                return False
            raise
        return True

    def _discard(self, folder: Path) -> None:
        """Out of sight in one step, then away."""
        if self._own is None:
            raise StoreError(f"the store {self.root} is not open.")
        trash = self._own / uuid.uuid4().hex
        with suppress(FileNotFoundError):
            fs.rename(folder, trash)
        fs.remove_tree(trash)

    # --- copies of drops

    def keep_drop(self, digest: str, folder: Path) -> Path:
        """Make a staged folder the copy of a drop, pinned. What is there already is taken instead."""
        target = self._path("drops", digest)
        self._pins.pin(f"drops-{digest}")
        try:
            with fs.guard("keeping the copy of a drop", target):
                fs.sync_tree(folder, files=False)
                if not self._rename_in(folder, target) and fs.size_of(folder) != fs.size_of(target):
                    self._discard(target)
                    fs.rename(folder, target)
                fs.sync_folder(target.parent)
        except BaseException:
            self._pins.unpin(f"drops-{digest}")
            raise
        self.step("drop renamed")
        return target

    def find_drop(self, digest: str) -> Path | None:
        """The copy of a drop, pinned, or None and not pinned."""
        target = self._path("drops", digest)
        if not target.is_dir():
            return None
        self._pins.pin(f"drops-{digest}")
        if target.is_dir():
            return target
        self._pins.unpin(f"drops-{digest}")
        return None

    def release_drop(self, digest: str) -> None:
        """The copy is not needed any more by who ingested it; it goes when nobody else holds it."""
        self._pins.unpin(f"drops-{digest}")
        with suppress(OSError):
            self._evict("drops", digest)

    # --- failures

    def remember_failure(self, key: str, error: Mapping[str, object]) -> None:
        """Keep the answer of a drop that can only fail. A full disk costs a warning."""
        path = self._path("failures", key + ".json")
        try:
            data = json.dumps(dict(error)).encode()
            fs.replace_file(path, data, path.parent / f".{uuid.uuid4().hex}.tmp")
            old = sorted(path.parent.iterdir(), key=lambda p: p.lstat().st_mtime)[:-MAX_FAILURES]
            for entry in old:
                entry.unlink(missing_ok=True)
        except OSError as problem:
            log.warning("%s cannot be written: %s", path, problem.strerror)

    def failure(self, key: str) -> dict[str, object] | None:
        """What `remember_failure` was given, or None."""
        try:
            data = json.loads(self._path("failures", key + ".json").read_bytes())
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def forget_failure(self, key: str) -> None:
        with suppress(OSError):
            self._path("failures", key + ".json").unlink(missing_ok=True)

    # --- locks, pins, space

    @contextmanager
    def lock(self, key: str, cancel: threading.Event | None = None, timeout_s: float = 24 * 3600.0) -> Iterator[None]:
        """One at a time for this key, over all threads and gateways. Errors: JobCancelled, StoreError."""
        path = self._path("locks", key)
        with fs.guard("locking a key", path):
            held = locks.wait_lock(path, cancel=cancel, timeout_s=timeout_s)
        try:
            yield
        finally:
            locks.release(held, path)

    def pin(self, key: str) -> None:
        """Keep this artifact, there or to come, from being collected by any gateway. Counts."""
        self._path("artifacts", key)
        self._pins.pin(f"artifacts-{key}")

    def unpin(self, key: str) -> None:
        self._pins.unpin(f"artifacts-{key}")

    def _path(self, kind: str, key: str) -> Path:
        if not _HASH.fullmatch(key.removesuffix(".json")):
            raise StoreError(f"{key[:80]!r} is not a key of the store; expected a sha256 in hex.")
        return self.root / kind / key

    def _folders(self, kind: str) -> list[Path]:
        """Longest unused first."""
        found = [folder for folder in (self.root / kind).iterdir() if _HASH.fullmatch(folder.name)]
        return sorted(found, key=_used)

    def _evict(self, kind: str, key: str) -> bool:
        """Remove one folder unless anybody has pinned it."""
        with self._pins.unpinned(f"{kind}-{key}") as free:
            if free:
                self._discard(self._path(kind, key))
            return free

    def collect(self) -> tuple[str, ...]:
        """Make the store fit `max_bytes`: copies of drops first, then artifacts, longest unused first.

        Returns what was removed. Errors: StoreError.
        """
        with self._lock, fs.guard("making room", self.root):
            folders = [("drops", f) for f in self._folders("drops")] + [
                ("artifacts", f) for f in self._folders("artifacts")
            ]
            sizes = [fs.size_of(folder) for _, folder in folders]
            total, removed = sum(sizes), []
            for (kind, folder), size in zip(folders, sizes, strict=True):
                if total <= self.max_bytes:
                    break
                if self._evict(kind, folder.name):
                    total -= size
                    removed.append(folder.name)
            if total > self.max_bytes:
                log.warning(
                    "the store %s holds %d bytes in use, over its bound of %d", self.root, total, self.max_bytes
                )
            return tuple(removed)

    def free_bytes(self) -> int:
        """What this user can still write on the store's disk. Errors: StoreError."""
        with fs.guard("asking for free space", self.root):
            found = os.statvfs(self.root)
            return found.f_bavail * found.f_frsize


def _used(folder: Path) -> float:
    try:
        return folder.lstat().st_mtime
    except OSError:
        return 0.0


def _plain_files(folder: Path) -> dict[str, int]:
    """Relative name -> size of everything below, gateway.json left out. Errors: UnsafeDrop, StoreError."""
    files: dict[str, int] = {}
    with fs.guard("reading what was converted", folder):
        for parent, folders, names in os.walk(folder):
            for name in (*folders, *names):
                path = Path(parent, name)
                status = path.lstat()
                if stat.S_ISDIR(status.st_mode):
                    continue
                relative = path.relative_to(folder).as_posix()
                if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                    raise UnsafeDrop(
                        f"the converter left {relative!r}, which is not a plain file; nothing was published."
                    )
                if relative != FILE:
                    files[relative] = status.st_size
    return dict(sorted(files.items()))
