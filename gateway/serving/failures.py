"""Failures: how a generation becomes FAILED, and when it is tried again.

Rule 1: an error is kept with its stage; what cannot pass by itself is not tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway.config import Settings
from gateway.core.version import Event, State
from gateway.errors import (
    DropChanged,
    EdgeMismatch,
    EnvironmentBroken,
    EnvironmentMissing,
    GatewayError,
    JobOutOfMemory,
    StoreError,
    WorkerDied,
)
from gateway.serving.fleet import Fleet
from gateway.serving.generation import Failure, Generation

log = logging.getLogger("gateway.serving")

PASSING = (EdgeMismatch, StoreError, EnvironmentMissing, EnvironmentBroken, JobOutOfMemory, WorkerDied, DropChanged)
"""Errors whose cause may pass without the drop changing: tried again with back-off."""
LONGEST_RETRY_S = 600.0


class Failures:
    def __init__(self, fleet: Fleet, settings: Callable[[], Settings]) -> None:
        self._fleet = fleet
        self._settings = settings

    def fail(self, generation: Generation, stage: str, error: GatewayError) -> None:
        """It is FAILED now; whoever waits for it learns why."""
        now = time.monotonic()
        retry_at = None
        if isinstance(error, PASSING):
            wait_s = min(self._settings().jobs.retry_s * 2**generation.retries, LONGEST_RETRY_S)
            retry_at = now + wait_s
        generation.failure = Failure(stage, error, time.time(), retry_at)
        generation.stage, generation.fraction = "", None
        generation.advance(Event.FAIL)
        generation.recovered.set()  # whoever waits for its worker learns now that it will not come
        self._fleet.starting.discard(generation)
        log.error(
            "%s: failed at %s: %s",
            generation,
            stage,
            error.explain(),
            extra={"model": generation.model, "version": generation.version, "stage": stage},
        )

    def retry(self) -> set[str]:
        """Begin again what failed for a cause that may have passed; the models that this touched."""
        now, touched = time.monotonic(), set()
        for generation in self._fleet:
            failure = generation.failure
            if generation.state is not State.FAILED or failure is None or failure.retry_at is None:
                continue
            if failure.retry_at <= now and generation.present:
                generation.retries += 1
                generation.begin_again()
                touched.add(generation.model)
        return touched

    def begin_again(self, name: str) -> None:
        """Somebody asks for this model anew: what had failed is tried once more, whatever the cause was."""
        for generation in self._fleet.of(name):
            if generation.state is State.FAILED and generation.present:
                generation.begin_again()
