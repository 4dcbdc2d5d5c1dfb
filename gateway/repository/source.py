"""The watched repository: which versions lie there, and whether their files have stopped changing.

Polling is the truth. The manager calls `scan()` again and again and ingests what is settled.

Rule 1: one bad model never stops a scan: what is wrong is the `problem` of its own entries.
Rule 2: an unreadable repository raises RepositoryUnreadable; it is never taken for a deletion.
Rule 3: everything has to hold for `settle_s` before it is believed: content, a problem, and a
        deletion too (a replacement by `rm` and `cp` is not a deletion). The one exception is a
        fingerprint that the index knows: those very files have settled before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from gateway import config
from gateway.errors import RepositoryUnreadable
from gateway.formats.base import all_formats
from gateway.repository.drop import Drop, LooseDrop, ingest, read_loose
from gateway.repository.index import Index, Known
from gateway.repository.layout import Listing, Place, list_repository
from gateway.repository.seen import Look, Seen, examine
from gateway.repository.store import Store

__all__ = ["LooseDrop", "Repository", "Scan", "Seen", "read_loose"]


@dataclass(frozen=True)
class Scan:
    """`notes` are remarks for the log (a file that is not taken as a model), each made once."""

    entries: tuple[Seen, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Held:
    """What is known of one entry over time, on the clock of the Repository."""

    look: Look
    since: float
    missing_since: float | None = None


class Repository:
    """A folder of models. Safe to call from any thread; two scans never run at a time."""

    def __init__(
        self,
        root: Path,
        watch: config.Watch,
        index: Index,
        clock: Callable[[], float] = time.monotonic,
        suffixes: Iterable[str] | None = None,
        listing: Callable[[str, Iterable[str]], Listing] = list_repository,
        what: str = "the repository",
    ) -> None:
        """`suffixes` find single-file drops; None asks every Format. `listing` says what lies in `root`, and
        `what` names it in errors."""
        self.root = root
        self._list = listing
        self._what = what
        self.watch = watch
        self._index = index
        self._clock = clock
        self._suffixes = None if suffixes is None else tuple(suffixes)
        self._held: dict[tuple[str, int], _Held] = {}
        self._device: int | None = None
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def scan(self, at_once: Container[str] = ()) -> Scan:
        """Everything that lies there now. Errors: RepositoryUnreadable.

        The models `at_once` are taken as they lie: somebody has said that they are complete.
        """
        with self._lock:
            now = self._clock()
            found, notes = self._find()
            entries = [self._settle(key, look, now, key[0] in at_once) for key, look in found.items()]
            entries += self._missing(found, now, at_once)
            new = tuple(note for note in notes if note not in self._said)
            self._said = set(notes)
            return Scan(tuple(sorted(entries, key=lambda seen: (seen.model, seen.version))), new)

    def known(self, seen: Seen) -> Known | None:
        """What was recorded of exactly these files, untouched since; reads none of them."""
        return None if seen.problem else self._index.get(seen.fingerprint)

    def ingest(self, seen: Seen, store: Store, cancel: threading.Event | None = None) -> Drop:
        """The drop's copy in the store, pinned until `store.release_drop`: see drop.ingest."""
        return ingest(seen, store, self._index, cancel)

    def _find(self) -> tuple[dict[tuple[str, int], Look], list[str]]:
        try:
            root = os.path.realpath(self.root, strict=True)  # at each scan: ..data and git-sync move it
            device = os.lstat(root).st_dev
            listing = self._list(root, self._all_suffixes())
        except OSError as error:
            raise RepositoryUnreadable(
                f"{self._what} {self.root} cannot be read: {error.strerror}; what is served stays served.",
                hint="Is it mounted, and may this user read it?",
            ) from None
        if listing.empty and self._held and device != self._device:
            raise RepositoryUnreadable(
                f"{self._what} {self.root} is on another disk now and empty: it seems unmounted; "
                "what is served stays served.",
                hint="Mount it again, or start the gateway anew if this is meant.",
            )
        self._device = device
        found: dict[tuple[str, int], Look] = {}
        for key, place in listing.places.items():
            look = examine(place, self.watch)
            if look is not None:
                found[key] = look
            else:
                listing.notes.append(f"{place.shown} holds no files of a model yet.")
        for model, problem in listing.unreadable.items():
            for version in {v for m, v in self._held if m == model} or {1}:
                place = Place(model, version, model, root, Path(root), problem=problem)
                look = examine(place, self.watch)
                assert look is not None, "a place with a problem is always reported"
                found[model, version] = look
        return found, listing.notes

    def _all_suffixes(self) -> tuple[str, ...]:
        if self._suffixes is None:
            self._suffixes = tuple(s for fmt in all_formats().values() for s in fmt.suffixes)
        return self._suffixes

    def _settle(self, key: tuple[str, int], look: Look, now: float, at_once: bool) -> Seen:
        held = self._held.get(key)
        if held is None or look.gone or held.look.quiet != look.quiet or held.missing_since is not None:
            held = self._held[key] = _Held(look, now)
        quiet = now - held.since >= self.watch.settle_s
        settled = not look.gone and (quiet or at_once or self.known(look.seen) is not None)
        # A folder that is being copied or renamed looks wrong for a moment: that is no problem yet.
        return replace(look.seen, settled=settled, problem=look.seen.problem if settled else None)

    def _missing(self, found: dict[tuple[str, int], Look], now: float, at_once: Container[str]) -> list[Seen]:
        """Entries that are not there now, and not for long enough to call it a deletion."""
        waiting = []
        for key in [key for key in self._held if key not in found]:
            held = self._held[key]
            if held.missing_since is None:
                held.missing_since = now
            if now - held.missing_since >= self.watch.settle_s or key[0] in at_once:
                del self._held[key]
            else:
                waiting.append(replace(held.look.seen, settled=False, problem=None))
        return waiting
