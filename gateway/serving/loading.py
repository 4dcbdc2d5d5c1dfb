"""Loading: from CONVERTED to AVAILABLE, from AVAILABLE to RETIRED, and a worker that dies between.

Rule 1: what serves is closed only when it drains and its last lease is back, or when its worker died.
Rule 2: every change of state goes through Generation.advance; every end asks the policy again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from gateway.config import Batch, Settings
from gateway.core.artifact import Verification
from gateway.core.pipeline import KIND as PIPELINE
from gateway.core.version import Event, State
from gateway.errors import GatewayError, MemberMissing, WorkerDied
from gateway.repository.store import Store
from gateway.serving.assembling import Assembled, Assembler
from gateway.serving.batcher import Batcher
from gateway.serving.failures import Failures
from gateway.serving.fleet import Fleet
from gateway.serving.generation import Generation
from gateway.serving.loader import Loaded, load
from gateway.serving.memory import Memory
from gateway.serving.metrics import Metrics
from gateway.serving.prover import refused_by

log = logging.getLogger("gateway.serving")

DEATHS_WITHIN_S = 600.0
MEMBERS_S = 1.0  # a pipeline looks at its members after each change, and at least so often


class Loading:
    """`settings` gives the settings of now; `ask` asks the policy about a model."""

    def __init__(
        self,
        fleet: Fleet,
        store: Store,
        metrics: Metrics,
        memory: Memory,
        failures: Failures,
        settings: Callable[[], Settings],
        ask: Callable[[str], None],
    ) -> None:
        self.assembler: Assembler | None = None
        self._fleet, self._store, self._metrics, self._memory = fleet, store, metrics, memory
        self._failures, self._settings, self._ask = failures, settings, ask

    def begin(self, generation: Generation) -> None:
        if generation.state is State.RETIRED and generation.stored is not None:
            self._store.pin(generation.stored.key)  # retiring has unpinned it
        generation.advance(Event.LOAD)
        generation.stage = "load"
        pipeline = generation.stored is not None and generation.stored.artifact.kind == PIPELINE
        self._fleet.spawn(self._assemble(generation) if pipeline else self._load(generation))

    async def _assemble(self, generation: Generation) -> None:
        """Until its members serve and it fits them; then until one of them is swapped or goes, and again."""
        assert generation.stored is not None, "LOADING comes only after PROVEN"
        assert self.assembler is not None, "the composition root has set it"
        while generation.state in (State.LOADING, State.AVAILABLE):
            try:
                made = await self.assembler.open(generation.stored.folder, generation.model, generation.version)
                verification = await made.verify()
            except MemberMissing as error:
                self._wait_for_members(generation, error)
            except GatewayError as error:
                if generation.state in (State.LOADING, State.AVAILABLE):
                    generation.assembled = None
                    self._failures.fail(generation, "load", error)
                    self._ask(generation.model)
                return
            else:
                if not self._take_over(generation, made, verification):
                    return
            while generation.state in (State.LOADING, State.AVAILABLE):
                await self._fleet.changed(MEMBERS_S)
                if generation.assembled is None or generation.assembled.changed():
                    break

    def _wait_for_members(self, generation: Generation, error: MemberMissing) -> None:
        """It does not serve, and says for whom it waits; the gateway is ready without it."""
        if generation.state is State.AVAILABLE:
            generation.assembled = None
            generation.advance(Event.LOSE)
        if generation.stage != error.message:
            log.warning("%s: %s", generation, error.message, extra={"model": generation.model})
        generation.stage = error.message
        self._fleet.starting.discard(generation)

    def _take_over(self, generation: Generation, made: Assembled, verification: Verification) -> bool:
        """What was opened serves from now on, unless its vectors say otherwise. False: it does not."""
        if generation.state not in (State.LOADING, State.AVAILABLE) or generation.stored is None:
            return False
        artifact = replace(generation.stored.artifact, signatures=(made.signature,), verification=verification)
        generation.stored = replace(generation.stored, artifact=artifact)
        why = refused_by(artifact, generation.options, loaded=True)
        if why is None:
            try:
                generation.configure()
            except GatewayError as error:
                why = error
        if why is not None:
            generation.assembled = None
            self._failures.fail(generation, "verify", why)
            self._ask(generation.model)
            return False
        generation.assembled = made
        if generation.state is State.LOADING:
            generation.statistics = self._metrics.statistics(generation.model, generation.version)
            self._serves(generation)
            self._ask(generation.model)
        return True

    async def _load(self, generation: Generation, wait_s: float = 0.0) -> None:
        stored, settings = generation.stored, self._settings()
        assert stored is not None, "LOADING comes only after PROVEN"
        if wait_s:
            await asyncio.sleep(wait_s)
        isolated = generation.options.isolation == "process"
        try:
            generation.configure()
            loaded = await self._fleet.call(
                self._fleet.loading,
                lambda: load(
                    stored,
                    isolated=isolated,
                    settings=settings.runtime,
                    sandbox=(settings.jobs.sandbox_min_level, settings.jobs.sandbox_max_level),
                ),
            )
        except GatewayError as error:
            if generation.state is State.LOADING:
                self._failures.fail(generation, "load", error)
        else:
            if generation.state is State.LOADING:
                self._serve(generation, loaded)
            else:
                await self._fleet.call(self._fleet.loading, loaded.runtime.close)
        self._ask(generation.model)

    def _serve(self, generation: Generation, loaded: Loaded) -> None:
        assert generation.stored is not None
        generation.runtime, generation.placement = loaded.runtime, loaded.placement
        statistics = generation.statistics = self._metrics.statistics(generation.model, generation.version)
        generation.batcher = Batcher(
            loaded.runtime,
            _batch(self._settings().batch, generation),
            label=f"model {generation.model!r} version {generation.version}",
            on_batch=self._metrics.batch_observer(generation.model, generation.version),
            on_lost=lambda error: self._lost(generation, error),
            on_run=statistics.ran,
            run_us=loaded.run_us,
        )
        self._serves(generation)

    def _serves(self, generation: Generation) -> None:
        assert generation.stored is not None
        generation.failure, generation.retries, generation.stage = None, 0, ""
        generation.served = True
        generation.advance(Event.LOADED)
        generation.recovered.set()
        self._fleet.looking.submit(
            self._memory.remember, generation.model, generation.version, generation.stored.key, generation.digest,
            generation.options,
        )  # fmt: skip
        self._fleet.starting.discard(generation)

    def drain(self, generation: Generation) -> None:
        generation.on_idle = lambda: self._retire(generation)
        generation.advance(Event.DRAIN)
        if generation.leases == 0:
            self._retire(generation)

    def _retire(self, generation: Generation) -> None:
        self.close(generation)
        self.unpin(generation)
        generation.advance(Event.IDLE)
        self._fleet.spawn(self._wind_up(generation.model))

    async def _wind_up(self, name: str) -> None:
        """After the current callback: the policy may have a next step, the store may be over its bound."""
        self._ask(name)
        await self._fleet.call(self._fleet.looking, self._store.collect)

    def _lost(self, generation: Generation, error: WorkerDied) -> None:
        """The worker died under it: start it again with back-off, give up after repeated deaths."""
        if generation.state is not State.AVAILABLE:
            return
        runtime = self._settings().runtime
        now = time.monotonic()
        generation.deaths = [t for t in generation.deaths if now - t < DEATHS_WITHIN_S] + [now]
        generation.recovered.clear()
        self._metrics.worker_died(generation.model)
        log.warning("%s: %s", generation, error, extra={"model": generation.model, "version": generation.version})
        self.close(generation, error)
        if len(generation.deaths) > runtime.worker_deaths:
            self._failures.fail(generation, "serve", error)
            self._ask(generation.model)
            return
        generation.advance(Event.LOSE)
        wait_s = runtime.worker_restart_s * 2 ** (len(generation.deaths) - 1)
        self._fleet.spawn(self._load(generation, wait_s if len(generation.deaths) > 1 else 0.0))

    def close(self, generation: Generation, error: WorkerDied | None = None) -> None:
        runtime, batcher = generation.runtime, generation.batcher
        generation.runtime = generation.batcher = generation.assembled = None
        if batcher is not None:
            batcher.close(error)
        if runtime is not None:
            self._fleet.loading.submit(runtime.close)

    def unpin(self, generation: Generation) -> None:
        if generation.stored is not None and generation.state in (State.DRAINING, State.RETIRED):
            self._store.unpin(generation.stored.key)


def _batch(batch: Batch, generation: Generation) -> Batch:
    """Joined runs have no more rows than the owner's config.pbtxt allows."""
    most = generation.config.max_batch_size if generation.config else None
    return replace(batch, max_rows=min(batch.max_rows, most)) if most else batch
