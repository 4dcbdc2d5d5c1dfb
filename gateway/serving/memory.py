"""What serves now, kept beside the store, so that a restart finds it when the files were replaced.

Rule 1: it is written only after a version serves, atomically; a damaged or unwritable file costs
        the memory, with a warning, never a start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import uuid
from pathlib import Path
from typing import Any

from gateway.config import Settings
from gateway.core.modeltoml import ModelOptions
from gateway.repository import fs
from gateway.repository.store import Store
from gateway.serving.prover import Proven

log = logging.getLogger("gateway.serving")


def place_of(settings: Settings) -> str:
    """A file name for what one gateway serves: gateways that share a store may serve different models."""
    tfs = settings.tfserving
    text = str(settings.repository.absolute())
    if tfs.models_config or tfs.base_path:
        text += f"\n{Path(tfs.models_config).absolute()}\n{tfs.base_name} {tfs.base_path}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Memory:
    """Safe to call from any thread. One row a model and version: store key, drop digest, options."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, dict[str, Any]] | None = None
        self._lock = threading.Lock()

    def recall(self, model: str, version: int, store: Store) -> Proven | None:
        """What served last under this number, if the store still has it."""
        with self._lock:
            row = self._read().get(f"{model}/{version}")
        if row is None:
            return None
        try:
            options = ModelOptions.from_json(row["options"])
            stored = store.find(str(row["key"]))
            return Proven(str(row["digest"]), options, stored, was_there=True) if stored is not None else None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("%s: the row of %s version %d is damaged: %r", self._path, model, version, error)
            return None

    def remember(self, model: str, version: int, key: str, digest: str, options: ModelOptions) -> None:
        row = {"key": key, "digest": digest, "options": options.to_json()}
        with self._lock:
            rows = self._read()
            if rows.get(f"{model}/{version}") != row:
                rows[f"{model}/{version}"] = row
                self._write(rows)

    def forget(self, model: str, version: int) -> None:
        with self._lock:
            rows = self._read()
            if rows.pop(f"{model}/{version}", None) is not None:
                self._write(rows)

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._rows is None:
            self._rows = {}
            try:
                data = json.loads(self._path.read_bytes())
                self._rows = {str(name): dict(row) for name, row in data.items()}
            except FileNotFoundError:
                pass
            except (OSError, ValueError, TypeError, AttributeError) as error:
                log.warning("%s cannot be read (%s): what served before is not known", self._path, error)
        return self._rows

    def _write(self, rows: dict[str, dict[str, Any]]) -> None:
        try:
            fs.make_folder(self._path.parent)
            scratch = self._path.with_name(f".served-{uuid.uuid4().hex}.tmp")
            fs.replace_file(self._path, json.dumps(rows, sort_keys=True).encode(), scratch)
        except OSError as error:
            log.warning("%s cannot be written (%s): a restart may not know what served", self._path, error.strerror)
