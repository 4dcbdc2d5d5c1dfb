"""How many conversions run at once: as many as jobs.concurrency, and as the machine has memory for.

Rule 1: what a conversion may use at most is set aside before it starts, and given back when it ends.
Rule 2: one that needs more than there is at all runs alone: the first in the line is never passed by for ever.
Rule 3: who waits looks at `cancel` often: a drop that has gone does not wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import JobCancelled

SHARE = 0.75  # of the machine's memory
LOOK_S = 0.2


def machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Budget:
    """`total` bytes for all conversions together, at most `places` at once. Safe for threads."""

    def __init__(self, places: int, total: int = 0) -> None:
        self._places, self._total = places, total or int(machine_bytes() * SHARE)
        self._held: list[int] = []
        self._line: list[object] = []
        self._changed = threading.Condition()

    @contextmanager
    def held(self, wanted: int, cancel: threading.Event | None = None) -> Iterator[None]:
        """Waits for its turn, then holds `wanted` bytes. Errors: JobCancelled."""
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            try:
                while self._line[0] is not ticket or not self._fits(wanted):
                    if cancel is not None and cancel.is_set():
                        raise JobCancelled("nobody wants it any more: its drop changed or disappeared while it waited.")
                    self._changed.wait(LOOK_S)
                self._held.append(wanted)
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(wanted)
                self._changed.notify_all()

    def _fits(self, wanted: int) -> bool:
        return not self._held or (len(self._held) < self._places and sum(self._held) + wanted <= self._total)
