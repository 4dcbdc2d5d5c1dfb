"""Proving: a conversion in a thread, and what its artifact means for its generation."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway.core.version import Event, State
from gateway.errors import GatewayError, JobCancelled
from gateway.repository.store import Store
from gateway.serving.failures import Failures
from gateway.serving.fleet import Fleet
from gateway.serving.generation import Generation
from gateway.serving.metrics import Metrics
from gateway.serving.prover import Proven, Prover, refused

log = logging.getLogger("gateway.serving")


class Proving:
    """`ask` asks the policy about a model."""

    def __init__(
        self,
        fleet: Fleet,
        prover: Prover,
        store: Store,
        metrics: Metrics,
        failures: Failures,
        ask: Callable[[str], None],
    ) -> None:
        self._fleet, self._prover, self._store, self._metrics = fleet, prover, store, metrics
        self._failures, self._ask = failures, ask

    def begin(self, generation: Generation) -> None:
        generation.advance(Event.CONVERT)
        generation.stage = "queued"
        self._fleet.spawn(self._convert(generation))

    async def _convert(self, generation: Generation) -> None:
        started = time.monotonic()
        outcome, source_format = "", ""

        def report(stage: str, fraction: float | None) -> None:
            if stage != generation.stage:
                log.info("%s: %s, %.1f s after it began", generation, stage, time.monotonic() - started)
                generation.stage_since = time.time()
            generation.stage, generation.fraction = stage, fraction

        try:
            proven = await self._fleet.call(
                self._fleet.converting, self._prover.prove, generation.seen, report, generation.cancel
            )
        except JobCancelled:
            outcome = "cancelled"
            return
        except GatewayError as error:
            outcome = type(error).__name__
            if generation.state is State.CONVERTING:
                self._failures.fail(generation, generation.stage, error)
        else:
            artifact = proven.stored.artifact
            outcome, source_format = artifact.verification.verdict.value, artifact.provenance.format
            if generation.state is State.CONVERTING:
                self.take(generation, proven)
        finally:
            self._metrics.conversion(
                model=generation.model,
                source_format=source_format,
                outcome=outcome or "fault",
                seconds=time.monotonic() - started,
            )
            self._ask(generation.model)

    def take(self, generation: Generation, proven: Proven) -> None:
        """The store has its artifact: it may be served, or the reason is kept why not."""
        if generation.stored is not None:  # of the try before a RETRY
            self._store.unpin(generation.stored.key)
        generation.digest, generation.options, generation.stored = proven.digest, proven.options, proven.stored
        generation.fraction = None
        self._store.pin(proven.stored.key)
        why = refused(proven)
        if why is not None:
            self._failures.fail(generation, "verify", why)
        else:
            generation.advance(Event.PROVEN)
