"""Sources: the lists of wanted models, one a source, and who has a name that two of them want.

Rule 1: what came by a call is written beside the store before the call is answered, and is there
        after a restart. A damaged or unwritable file costs that memory, with a warning.
Rule 2: nothing here deletes a file of a user.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.repository import fs
from gateway.serving.control import CONFIG, LOAD, MANAGEMENT, RELOAD, REPOSITORY, SOURCES, Wanted

log = logging.getLogger("gateway.serving")

KEPT = (MANAGEMENT, LOAD, RELOAD)
"""Sources that are calls: they are kept. The others are read again from their files."""


class Sources:
    """Lives in the event loop; `save` may be called from a thread."""

    def __init__(self, path: Path, mode: str = "poll") -> None:
        self._path = path
        self.mode = mode
        self._rows: dict[str, dict[str, Wanted]] = {source: {} for source in SOURCES}
        self._said: dict[str, dict[str, Any]] = {}  # model -> labels and default set by a call, whoever has it
        self._config_digest = ""  # of the models.config that the kept reload replaced
        self._lock = threading.Lock()

    # -- who has what

    def get(self, name: str) -> Wanted | None:
        """The row that counts, with labels and default that were set by a call; None when no source names it."""
        row = next((self._rows[source][name] for source in SOURCES if name in self._rows[source]), None)
        return None if row is None else self._with_said(row)

    def current(self) -> dict[str, Wanted]:
        """Every model that a source other than the repository names."""
        names = {name for source in SOURCES for name in self._rows[source]}
        return {name: row for name in sorted(names) if (row := self.get(name)) is not None}

    def of_repository(self, name: str) -> Wanted:
        """The row of a model that lies in the repository and that no call or file names."""
        return self._with_said(Wanted(name, REPOSITORY))

    def of(self, source: str) -> Mapping[str, Wanted]:
        return dict(self._rows[source])

    def _with_said(self, row: Wanted) -> Wanted:
        said = self._said.get(row.name, {})
        default = said.get("default", row.default)
        labels = said.get("labels", row.labels)
        pinned = () if default is None else (default,)
        return replace(row, labels=labels, default=default, versions=replace(row.versions, pinned=pinned))

    # -- changes

    def put(self, row: Wanted) -> None:
        self._rows[row.source][row.name] = row

    def remove(self, source: str, name: str) -> None:
        self._rows[source].pop(name, None)
        self.forget(name)

    def set_list(self, source: str, rows: Iterable[Wanted]) -> None:
        """The whole list of models.config or of a reload. A list that replaces another ends what calls had set."""
        old = self._rows[source]
        self._rows[source] = {row.name: row for row in rows}
        for name in old.keys() | self._rows[source].keys():
            if old.get(name) != self._rows[source].get(name):
                self._said.pop(name, None)

    def configured(self, rows: Iterable[Wanted], digest: str) -> bool:
        """models.config was read. False when a reload that replaced this very content still stands."""
        if digest == self._config_digest and self._rows[RELOAD]:
            return False
        self.set_list(CONFIG, rows)
        self.set_list(RELOAD, ())
        self._config_digest = digest
        return True

    def reloaded(self, rows: Iterable[Wanted]) -> None:
        self.set_list(RELOAD, rows)
        self.set_list(CONFIG, ())

    def say(self, name: str, *, default: int | None = None, labels: Mapping[str, int] | None = None) -> None:
        """What a call sets on a model, whichever source has it."""
        said = self._said.setdefault(name, {})
        if default is not None:
            said["default"] = default
        if labels is not None:
            said["labels"] = dict(labels)

    def forget(self, name: str) -> None:
        """Nothing is left of a model: what calls had set on it goes too, unless a source still names it."""
        if self.get(name) is None:
            self._said.pop(name, None)

    # -- on disk

    def read(self) -> None:
        """What calls had asked for in an earlier life."""
        try:
            data = json.loads(self._path.read_bytes())
            rows = {s: [Wanted.from_json(s, row) for row in data["sources"].get(s, ())] for s in KEPT}
            said = {str(name): _read_said(found) for name, found in data["said"].items()}
            digest = str(data["config"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s cannot be read (%r): models that were loaded by calls are not known", self._path, error)
            return
        for source, found in rows.items():
            self._rows[source] = {row.name: row for row in found}
        self._said, self._config_digest = said, digest

    def dump(self) -> bytes:
        """What `write` puts on the disk: taken in the event loop, written in a thread."""
        sources = {source: [row.to_json() for row in self._rows[source].values()] for source in KEPT}
        data = {"sources": sources, "said": self._said, "config": self._config_digest}
        return json.dumps(data, sort_keys=True, indent=1).encode()

    def write(self, data: bytes) -> None:
        """Blocks. Atomic; a disk that cannot be written costs a warning."""
        with self._lock:
            try:
                fs.make_folder(self._path.parent)
                scratch = self._path.with_name(f".models-{uuid.uuid4().hex}.tmp")
                fs.replace_file(self._path, data, scratch)
            except OSError as error:
                log.warning(
                    "%s cannot be written (%s): a restart will not know what calls have loaded", self._path, error
                )


def _read_said(data: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if "default" in data:
        said["default"] = int(data["default"])
    if "labels" in data:
        said["labels"] = {str(label): int(version) for label, version in data["labels"].items()}
    return said
