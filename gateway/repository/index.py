"""Index: which files, untouched since, have which digest: a restart neither waits nor hashes.

One small file a fingerprint, so that two gateways on one store do not overwrite each other.

Rule 1: it is only a cache. What cannot be read or written costs time, never an answer: a
        damaged entry is dropped with a warning, and the files are hashed again.
Rule 2: it is bounded; the entries that were written first go first.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.modeltoml import ModelOptions
from gateway.repository import fs

log = logging.getLogger("gateway.repository")

SCHEMA = 1
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Known:
    """What one fingerprint stands for. `bytes` is the size of the drop."""

    digest: str
    options: ModelOptions
    labels: tuple[str, ...] = ()
    bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "digest": self.digest,
            "options": self.options.to_json(),
            "labels": list(self.labels),
            "bytes": self.bytes,
        }

    @classmethod
    def from_json(cls, data: Any) -> Known:
        """Errors: ValueError, KeyError, TypeError for what is not an entry of this schema."""
        if data["schema"] != SCHEMA or not _FINGERPRINT.fullmatch(data["digest"]):
            raise ValueError("not an entry of this schema")
        labels = tuple(str(label) for label in data["labels"])
        return cls(data["digest"], ModelOptions.from_json(data["options"]), labels, int(data["bytes"]))


class Index:
    """Safe to call from any thread, and for several gateways on one folder."""

    def __init__(self, folder: Path, max_entries: int = 4096) -> None:
        self.folder = folder
        self.max_entries = max_entries
        self._entries: dict[str, Known] = {}
        self._lock = threading.Lock()

    def get(self, fingerprint: str) -> Known | None:
        with self._lock:
            known = self._entries.get(fingerprint)
            if known is None and _FINGERPRINT.fullmatch(fingerprint):
                known = self._read(fingerprint)
            return known

    def _read(self, fingerprint: str) -> Known | None:
        path = self.folder / f"{fingerprint}.json"
        try:
            known = Known.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be read (%s): the files are hashed again", path, error.strerror)
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is damaged (%r) and dropped: the files are hashed again", path, error)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        self._remember(fingerprint, known)
        return known

    def record(self, fingerprint: str, known: Known) -> None:
        """Atomic. A full or read-only disk costs a warning and, after a restart, the time to hash again."""
        with self._lock:
            self._remember(fingerprint, known)
            data = json.dumps(known.to_json()).encode()
            try:
                fs.make_folder(self.folder)
                fs.replace_file(self.folder / f"{fingerprint}.json", data, self.folder / f".{uuid.uuid4().hex}.tmp")
                self._prune()
            except OSError as error:
                log.warning("%s cannot be written (%s): a restart will hash again", self.folder, error.strerror)

    def _remember(self, fingerprint: str, known: Known) -> None:
        self._entries[fingerprint] = known
        while len(self._entries) > self.max_entries:
            del self._entries[next(iter(self._entries))]

    def _prune(self) -> None:
        """Drop the oldest entries beyond the bound, and scratch files that a killed gateway left."""
        paths = sorted(self.folder.iterdir(), key=_written)
        entries = [path for path in paths if path.suffix == ".json"]
        scratch = [path for path in paths if path.suffix == ".tmp"]
        # A scratch file of a gateway that is writing now is among the newest: those few stay.
        for path in entries[: -self.max_entries] + scratch[:-16]:
            path.unlink(missing_ok=True)


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
