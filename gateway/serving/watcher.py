"""The watcher: one look at every place where a wanted model lies, and what the store knows of new content.

`look` blocks and is called from one thread, never two looks at a time.

Rule 1: a place that cannot be read is not a deletion: its models are named in `Look.untouched`.
Rule 2: with model_control "none" or "explicit" the repository, and what calls have registered, is looked
        at once and then left alone until somebody asks; base paths of models.config are always watched.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway import config
from gateway.errors import GatewayError
from gateway.repository.registered import list_base, list_versions
from gateway.repository.source import Repository, Scan, Seen
from gateway.repository.store import Store
from gateway.serving.control import CONFIG, RELOAD, Wanted
from gateway.serving.memory import Memory
from gateway.serving.prover import Proven, Prover

log = logging.getLogger("gateway.serving")


@dataclass(frozen=True)
class Ask:
    """What a look is told. `at_once`: models to take as they lie. `known`: fingerprints that were taken in before."""

    wanted: Mapping[str, Wanted]
    at_once: frozenset[str]
    known: frozenset[str]


@dataclass
class Look:
    """What was found. `listed` is what lies in the repository, served or not."""

    entries: list[Seen] = field(default_factory=list)
    untouched: set[str] = field(default_factory=set)
    listed: dict[str, list[int]] = field(default_factory=dict)
    unread: GatewayError | None = None  # why the repository itself could not be read
    unreadable: dict[str, GatewayError] = field(default_factory=dict)  # by model: why its place could not be
    recalled: dict[str, Proven] = field(default_factory=dict)  # by fingerprint
    remembered: dict[tuple[str, int], Proven] = field(default_factory=dict)  # served in an earlier life


class Watcher:
    """`repository` is None when no folder is watched."""

    def __init__(
        self,
        repository: Repository | None,
        prover: Prover,
        store: Store,
        memory: Memory,
        mode: str,
        watch: config.Watch,
    ) -> None:
        self._repository = repository
        self._prover, self._store, self._memory = prover, store, memory
        self._mode = mode
        self._watch = watch
        self._places: dict[str, tuple[Wanted, Repository]] = {}
        self._left_alone: set[str] = set()  # rule 2
        self._hidden: set[str] = set()  # lie in the repository and are not served from there
        self._first: set[str] | None = None  # what lay in the repository at the first look

    def watch(self, watch: config.Watch) -> None:
        """New settings of the watch, from the next look on."""
        self._watch = watch
        for repository in self._all():
            repository.watch = watch

    def _all(self) -> Iterable[Repository]:
        return [place for _, place in self._places.values()] + ([self._repository] if self._repository else [])

    def look(self, ask: Ask) -> Look:
        """Never raises a GatewayError: what could not be read is said in the Look."""
        found = Look()
        self._places = {name: place for name, place in self._places.items() if name in ask.wanted}
        self._left_alone &= ask.wanted.keys() | (self._first or set())
        self._left_alone -= ask.at_once
        if self._repository is not None:
            self._look_at_repository(self._repository, ask, found)
        for name, row in ask.wanted.items():
            if not row.in_repository and not row.off:
                self._look_at_place(name, row, ask, found)
        self._look_up(ask, found)
        return found

    def _look_at_repository(self, repository: Repository, ask: Ask, found: Look) -> None:
        try:
            scan = repository.scan(ask.at_once)
        except GatewayError as error:
            found.unread = error
            return
        for note in scan.notes:
            log.warning("repository: %s", note)
        by_model = _by_model(scan)
        found.listed = {name: [seen.version for seen in entries] for name, entries in by_model.items()}
        if self._first is None:
            self._first = set(by_model)
        for name in by_model.keys() | self._left_alone:
            row = ask.wanted.get(name)
            if row is not None and (row.off or not row.in_repository):
                self._say_hidden(name, row)
                continue
            self._hidden.discard(name)
            if (self._mode == "explicit" and row is None) or (self._mode == "none" and name not in self._first):
                continue
            self._take(name, by_model.get(name, []), found, watched=self._mode == "poll")

    def _say_hidden(self, name: str, row: Wanted) -> None:
        """Once: a drop that is not taken is not passed over in silence."""
        if name not in self._hidden:
            self._hidden.add(name)
            why = "it was unregistered by a call" if row.off else f"the name belongs to {row.source}, at another place"
            log.warning("repository: %s is not served: %s.", name, why, extra={"model": name})

    def _look_at_place(self, name: str, row: Wanted, ask: Ask, found: Look) -> None:
        try:
            scan = self._place(row).scan(ask.at_once)
        except GatewayError as error:
            found.unreadable[name] = error
            found.untouched.add(name)
            return
        watched = self._mode == "poll" or row.source in (CONFIG, RELOAD)
        self._take(name, list(scan.entries), found, watched=watched)

    def _take(self, name: str, entries: list[Seen], found: Look, *, watched: bool) -> None:
        if name in self._left_alone:
            found.untouched.add(name)
            return
        found.entries += entries
        if not watched and all(seen.settled or seen.problem for seen in entries):
            self._left_alone.add(name)

    def _place(self, row: Wanted) -> Repository:
        held, place = self._places.get(row.name, (None, None))
        if place is None or held is None or (held.path, held.at) != (row.path, row.at):
            listing = list_versions(row.name, row.at) if row.at else list_base(row.name)
            root = Path("/") if row.at else Path(row.path)
            what = f"the base path of '{row.name}',"
            place = Repository(root, self._watch, self._store.index, listing=listing, what=what)
        self._places[row.name] = (row, place)
        return place

    def _look_up(self, ask: Ask, found: Look) -> None:
        """Ask the store about content that is new."""
        for seen in found.entries:
            if not seen.settled or seen.fingerprint in ask.known:
                continue
            proven = self._prover.recall(seen) if seen.problem is None else None
            if proven is not None:
                found.recalled[seen.fingerprint] = proven
            served = self._memory.recall(seen.model, seen.version, self._store)
            if served is not None and (proven is None or proven.stored.key != served.stored.key):
                found.remembered[seen.model, seen.version] = served


def _by_model(scan: Scan) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    for seen in scan.entries:
        found.setdefault(seen.model, []).append(seen)
    return found
