"""Waiting for a model: until what is wanted of it serves, or until it takes no more requests.

Rule 1: a wait ends with the model's own error when it has failed, and when the gateway shuts down.
Rule 2: nobody polls: every change rings the fleet's bell.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.core.version import State
from gateway.errors import DeadlineExceeded, ModelNotFound, ShuttingDown
from gateway.serving.generation import Generation
from gateway.serving.manager import Manager
from gateway.serving.predict import ModelStatus

GONE_S = 60.0  # longest that a call without a deadline waits for a model to take no more requests


class Waiting:
    """Deadlines are in seconds of time.monotonic()."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def served(self, name: str, version: int | None, deadline: float | None) -> ModelStatus:
        """Errors: the model's own, ModelNotFound, DeadlineExceeded, ShuttingDown."""
        await self._until(lambda: self._serves(name, version), deadline, f"model '{name}'")
        return self._manager.status(name)

    async def gone(self, name: str, version: int | None, deadline: float | None) -> None:
        """Until no new request gets it. Errors: DeadlineExceeded, ShuttingDown."""

        def gone() -> bool:
            return not any(g.answers and version in (None, g.version) for g in self._manager.fleet.of(name))

        await self._until(gone, deadline or time.monotonic() + GONE_S, f"model '{name}'")

    def _serves(self, name: str, version: int | None) -> bool:
        """Whether everything that is wanted of it serves. Errors: why it will not."""
        unreadable = self._manager.look.unreadable.get(name)
        generations = [g for g in self._manager.fleet.of(name) if g.present]
        if not generations:
            raise unreadable or ModelNotFound(f"Could not find any versions of model {name}")
        newest: dict[int, Generation] = {}
        for generation in sorted(generations, key=lambda g: g.number):
            newest[generation.version] = generation
        numbers = sorted(newest, reverse=True)
        chosen = self._manager.row(name).versions.choose(numbers) if version is None else (version,)
        missing = [n for n in chosen if n not in newest]
        if missing or not chosen:
            raise ModelNotFound(f"Could not find version {missing[0] if missing else 'wanted'} of model {name}")
        for number in chosen:
            failure = newest[number].failure
            if newest[number].state is State.FAILED and failure is not None:
                raise failure.error
        return all(newest[number].state is State.AVAILABLE for number in chosen)

    async def _until(self, true: Callable[[], bool], deadline: float | None, what: str) -> None:
        while not true():
            if self._manager.draining:
                raise ShuttingDown("the gateway is shutting down.")
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise DeadlineExceeded(f"{what}: not done within the deadline; it goes on.")
            await self._manager.fleet.changed(left)
