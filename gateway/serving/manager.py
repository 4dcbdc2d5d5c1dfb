"""The manager: brings what serves in line with what lies in the repository, and never loses the old one.

    scan -> generations -> policy.next_step -> CONVERT | LOAD | DRAIN | FORGET -> again

It decides nothing itself: states and events are core/version.py's table, steps core/policy.py's.

Rule 1: all state is changed in the event loop; what blocks runs in threads and comes back.
Rule 2: a fault of one model, whatever it is, ends in that model's FAILED, never in the loop.
Rule 3: a repository that cannot be read is not a deletion: everything stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from gateway.config import Settings
from gateway.core.policy import Action, Step, next_step
from gateway.core.signature import SERVING_DEFAULT, Signature
from gateway.core.version import Event, State
from gateway.errors import (
    DropChanged,
    EnvironmentBroken,
    EnvironmentMissing,
    GatewayError,
    JobCancelled,
    JobOutOfMemory,
    ModelNotFound,
    ModelRunError,
    ShuttingDown,
    StoreError,
    UnknownLabel,
    UnknownSignature,
    WorkerDied,
)
from gateway.repository.source import Repository, Scan, Seen
from gateway.repository.store import Store
from gateway.serving import views
from gateway.serving.batcher import Batcher
from gateway.serving.generation import Failure, Generation
from gateway.serving.loader import Loaded, load
from gateway.serving.memory import Memory, place_of
from gateway.serving.metrics import Metrics
from gateway.serving.predict import Lease, ModelSpec, ModelStatus
from gateway.serving.prover import Proven, Prover, refused
from gateway.serving.statistics import Statistics

log = logging.getLogger("gateway.serving")

PASSING = (StoreError, EnvironmentMissing, EnvironmentBroken, JobOutOfMemory, WorkerDied, DropChanged)
"""Errors whose cause may pass without the drop changing: tried again with back-off."""
DEATHS_WITHIN_S = 600.0
LONGEST_RETRY_S = 600.0


@dataclass(frozen=True)
class _Look:
    """One look at the repository: what lies there, and what the store knows of new content."""

    scan: Scan
    recalled: Mapping[str, Proven]  # by fingerprint
    remembered: Mapping[tuple[str, int], Proven]  # what served in an earlier life, where that is other content


class Manager:
    """Implements serving.predict.Predictor. Lives in one event loop."""

    def __init__(
        self, settings: Settings, repository: Repository, store: Store, prover: Prover, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._store = store
        self._prover = prover
        self._metrics = metrics
        self._memory = Memory(settings.store / "served" / f"{place_of(settings.repository)}.json")
        self._models: dict[str, list[Generation]] = {}
        self._converting = ThreadPoolExecutor(settings.jobs.concurrency, thread_name_prefix="convert")
        self._loading = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="scan")
        self._tasks: set[asyncio.Task[None]] = set()
        self._scanned = False
        self._starting: set[Generation] = set()  # found at the first scan and in the store: ready waits for them
        self._draining = False
        self._said_unreadable = ""
        metrics.watch(self.models, self._queued)

    # -- life of the manager ---------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch. Returns at once; `ready` turns True after the first scan."""
        self._spawn(self._watch())

    async def stop(self) -> None:
        """Cancel conversions, end tasks, unload everything. In-flight predictions should be over."""
        self._draining = True
        for generation in self._all():
            generation.cancel.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for generation in self._all():
            self._close(generation)
        for pool in (self._looking, self._converting, self._loading):
            await asyncio.to_thread(pool.shutdown, True, cancel_futures=True)

    def reconfigure(self, settings: Settings) -> None:
        """Settings that may change while serving; what is loaded keeps its own until it is loaded again."""
        self._settings = settings
        self._repository.watch = settings.watch
        self._store.max_bytes = settings.store_max_bytes

    def begin_drain(self) -> None:
        """No new predictions; running ones go on."""
        self._draining = True

    @property
    def ready(self) -> bool:
        # An older version that is proven too stays CONVERTED: nobody waits for it.
        loading = any(generation.state is State.LOADING for generation in self._starting)
        return self._scanned and not self._draining and not loading

    # -- Predictor ---------------------------------------------------------------------------

    def lease(self, spec: ModelSpec, signature: str = SERVING_DEFAULT) -> Lease:
        generation = self._resolve(spec)
        name = signature or SERVING_DEFAULT
        if name not in generation.signatures:
            raise UnknownSignature(
                f'Serving signature key "{name}" not found.',
                hint=f"The signatures are: {', '.join(generation.signatures)}.",
            )
        return generation.lease(name)

    def signatures(self, spec: ModelSpec) -> tuple[str, int, Mapping[str, Signature]]:
        generation = self._resolve(spec)
        return generation.model, generation.version, generation.signatures

    def _resolve(self, spec: ModelSpec) -> Generation:
        if self._draining:
            raise ShuttingDown("the gateway is shutting down.")
        if spec.label is not None:
            raise UnknownLabel(f"Unrecognized servable version label: {spec.label}")
        generations = self._models.get(spec.name, ())
        able = [g for g in generations if g.answers and (spec.version is None or g.version == spec.version)]
        if not able:
            raise ModelNotFound(f"Servable not found for request: {spec}", hint=views.why_not(generations, spec))
        return max(able, key=lambda g: (g.version, g.number))

    def status(self, name: str, version: int | None = None) -> ModelStatus:
        found = views.model_status(name, self._models.get(name, ()))
        if version is None:
            if not found.versions:
                raise ModelNotFound(
                    f"Could not find any versions of model {name}", hint=views.known_names(self._models, name)
                )
            return found
        chosen = [status for status in found.versions if status.version == version]
        if not chosen:
            raise ModelNotFound(f"Could not find version {version} of model {name}")
        return ModelStatus(name, chosen)

    def models(self) -> Sequence[ModelStatus]:
        return [views.model_status(name, self._models[name]) for name in sorted(self._models)]

    def describe(self, name: str, version: int) -> dict[str, Any]:
        return views.describe(name, version, self._models.get(name, ()))

    def statistics(self, name: str, version: int) -> Statistics:
        self.status(name, version)
        return self._metrics.statistics(name, version)

    def _queued(self) -> dict[str, int]:
        return {
            name: sum(g.batcher.waiting for g in generations if g.batcher is not None)
            for name, generations in self._models.items()
        }

    # -- watching ----------------------------------------------------------------------------

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            known = {g.seen.fingerprint for g in self._all() if g.settled}
            try:
                look = await loop.run_in_executor(self._looking, self._look, known)
            except GatewayError as error:
                self._metrics.scanned(ok=False)
                if str(error) != self._said_unreadable:
                    log.error("repository: %s", error.explain())
                self._said_unreadable = str(error)
            except Exception:
                self._metrics.scanned(ok=False)
                log.exception("repository: the scan failed; everything stays as it is")
            else:
                self._metrics.scanned(ok=True)
                self._said_unreadable = ""
                self._apply(look)
                self._scanned = True
            self._retry()
            await asyncio.sleep(self._settings.watch.poll_s)

    def _look(self, known: set[str]) -> _Look:
        """In a thread: read the repository, and ask the store about content that is new."""
        scan = self._repository.scan()
        recalled: dict[str, Proven] = {}
        remembered: dict[tuple[str, int], Proven] = {}
        for seen in scan.entries:
            if not seen.settled or seen.fingerprint in known:
                continue
            proven = self._prover.recall(seen) if seen.problem is None else None
            if proven is not None:
                recalled[seen.fingerprint] = proven
            served = self._memory.recall(seen.model, seen.version, self._store)
            if served is not None and (proven is None or proven.stored.key != served.stored.key):
                remembered[seen.model, seen.version] = served
        return _Look(scan, recalled, remembered)

    def _apply(self, look: _Look) -> None:
        there: set[tuple[str, int]] = set()
        touched: set[str] = set()
        for seen in look.scan.entries:
            there.add((seen.model, seen.version))
            if self._meet(seen, look):
                touched.add(seen.model)
        for generation in self._all():
            if generation.present and (generation.model, generation.version) not in there:
                log.info("%s: its files are gone", generation, extra={"model": generation.model})
                self._depart(generation)
                touched.add(generation.model)
        for name in touched:
            self._advance(name)

    def _meet(self, seen: Seen, look: _Look) -> bool:
        """Take one sight of a version in; True when there is something to do for its model."""
        generations = self._models.setdefault(seen.model, [])
        current = next((g for g in reversed(generations) if g.version == seen.version and g.present), None)
        settled = seen.settled or seen.problem is not None
        if current is not None and current.seen.fingerprint == seen.fingerprint:
            newly_settled = settled and not current.settled
            current.seen, current.settled = seen, current.settled or settled
            if newly_settled:
                self._begin(current, look)
            return newly_settled
        if current is not None and not current.settled:  # still being copied: nothing was begun
            current.seen, current.settled = seen, settled
            if settled:
                self._begin(current, look)
            return settled
        if current is not None and not settled:
            return False  # the old content serves on until the new one holds still
        number = max((g.number for g in generations if g.version == seen.version), default=0) + 1
        generation = Generation(seen.model, seen.version, number, seen, settled=settled)
        if current is not None:
            self._depart(current)
        generations.append(generation)
        if settled:
            self._begin(generation, look)
        return settled

    def _begin(self, generation: Generation, look: _Look) -> None:
        log.info("%s: found", generation, extra={"model": generation.model, "version": generation.version})
        remembered = look.remembered.get((generation.model, generation.version))
        if remembered is not None and generation.number == 1:
            self._stand_in(generation, remembered)
        recalled = look.recalled.get(generation.seen.fingerprint)
        if generation.seen.problem is not None:
            self._fail(generation, "drop", generation.seen.problem)
        elif recalled is not None:
            if not self._scanned:
                self._starting.add(generation)
            self._take(generation, recalled)

    def _stand_in(self, generation: Generation, remembered: Proven) -> None:
        """What served before a restart serves until the content that replaced it does."""
        earlier = Generation(generation.model, generation.version, 0, generation.seen, present=False, served=True)
        self._models[generation.model].append(earlier)
        log.warning("%s: other content served before; it stands in", generation, extra={"model": generation.model})
        if not self._scanned:
            self._starting.add(earlier)
        self._take(earlier, remembered)

    def _depart(self, generation: Generation) -> None:
        generation.present = False
        generation.cancel.set()
        self._starting.discard(generation)
        if not generation.settled:  # nothing was begun, nothing to wind up
            self._models[generation.model].remove(generation)

    # -- steps -------------------------------------------------------------------------------

    def _advance(self, name: str) -> None:
        """Ask the policy until it has nothing to say, and do what it says."""
        generations = self._models.get(name)
        if generations is None:
            return
        for _ in range(8 * len(generations) + 8):  # a bound: a policy that never ends must not hang the loop
            step = next_step([g.candidate() for g in generations if g.settled])
            if step is None:
                break
            self._do(self._find(name, step), step.action)
        else:
            log.error("%s: the policy did not come to an end", name)
        for generation in list(generations):
            if generation.state is State.RETIRED and not generation.present:
                generations.remove(generation)
                if not any(g.version == generation.version for g in generations):
                    self._metrics.forget(name, generation.version)
                    self._looking.submit(self._memory.forget, name, generation.version)
        if not generations:
            del self._models[name]

    def _find(self, name: str, step: Step) -> Generation:
        return next(g for g in self._models[name] if (g.version, g.number) == (step.version, step.generation))

    def _do(self, generation: Generation, action: Action) -> None:
        if action is Action.CONVERT:
            generation.advance(Event.CONVERT)
            generation.stage = "queued"
            self._spawn(self._convert(generation))
        elif action is Action.LOAD:
            if generation.state is State.RETIRED and generation.stored is not None:
                self._store.pin(generation.stored.key)  # retiring has unpinned it
            generation.advance(Event.LOAD)
            generation.stage = "load"
            self._spawn(self._load(generation))
        elif action is Action.DRAIN:
            self._drain(generation)
        else:
            generation.cancel.set()
            generation.advance(Event.FORGET)
            self._unpin(generation)

    async def _convert(self, generation: Generation) -> None:
        started = time.monotonic()
        outcome, source_format = "", ""

        def report(stage: str, fraction: float | None) -> None:
            generation.stage, generation.fraction = stage, fraction

        try:
            proven = await self._call(self._converting, self._prover.prove, generation.seen, report, generation.cancel)
        except JobCancelled:
            outcome = "cancelled"
            return
        except GatewayError as error:
            outcome = type(error).__name__
            if generation.state is State.CONVERTING:
                self._fail(generation, generation.stage, error)
        else:
            artifact = proven.stored.artifact
            outcome, source_format = artifact.verification.verdict.value, artifact.provenance.format
            if generation.state is State.CONVERTING:
                self._take(generation, proven)
        finally:
            self._metrics.conversion(
                model=generation.model,
                source_format=source_format,
                outcome=outcome or "fault",
                seconds=time.monotonic() - started,
            )
            self._advance(generation.model)

    def _take(self, generation: Generation, proven: Proven) -> None:
        """The store has its artifact: serve it, or say why not."""
        if generation.stored is not None:  # of the try before a RETRY
            self._store.unpin(generation.stored.key)
        generation.digest, generation.options, generation.stored = proven.digest, proven.options, proven.stored
        generation.fraction = None
        self._store.pin(proven.stored.key)
        why = refused(proven)
        if why is not None:
            self._fail(generation, "verify", why)
        else:
            generation.advance(Event.PROVEN)

    async def _load(self, generation: Generation, wait_s: float = 0.0) -> None:
        stored = generation.stored
        assert stored is not None, "LOADING comes only after PROVEN"
        if wait_s:
            await asyncio.sleep(wait_s)
        isolated = generation.options.isolation == "process"
        try:
            loaded = await self._call(
                self._loading,
                lambda: load(
                    stored,
                    isolated=isolated,
                    settings=self._settings.runtime,
                    min_level=self._settings.jobs.sandbox_min_level,
                ),
            )
        except GatewayError as error:
            if generation.state is State.LOADING:
                self._fail(generation, "load", error)
        else:
            if generation.state is State.LOADING:
                self._serve(generation, loaded)
            else:
                await self._call(self._loading, loaded.runtime.close)
        self._advance(generation.model)

    def _serve(self, generation: Generation, loaded: Loaded) -> None:
        assert generation.stored is not None
        generation.runtime, generation.placement = loaded.runtime, loaded.placement
        generation.signatures = {s.name: s for s in generation.stored.artifact.signatures}
        statistics = generation.statistics = self._metrics.statistics(generation.model, generation.version)
        generation.batcher = Batcher(
            loaded.runtime,
            self._settings.batch,
            label=f"model {generation.model!r} version {generation.version}",
            on_batch=self._metrics.batch_observer(generation.model, generation.version),
            on_lost=lambda error: self._lost(generation, error),
            on_run=statistics.ran,
            run_us=loaded.run_us,
        )
        generation.failure, generation.retries, generation.stage = None, 0, ""
        generation.served = True
        generation.advance(Event.LOADED)
        generation.recovered.set()
        self._looking.submit(
            self._memory.remember, generation.model, generation.version, generation.stored.key, generation.digest,
            generation.options,
        )  # fmt: skip
        self._starting.discard(generation)

    def _drain(self, generation: Generation) -> None:
        generation.on_idle = lambda: self._retire(generation)
        generation.advance(Event.DRAIN)
        if generation.leases == 0:
            self._retire(generation)

    def _retire(self, generation: Generation) -> None:
        self._close(generation)
        self._unpin(generation)
        generation.advance(Event.IDLE)
        self._spawn(self._wind_up(generation.model))

    async def _wind_up(self, name: str) -> None:
        """After the current callback: the policy may have a next step, the store may be over its bound."""
        self._advance(name)
        await self._call(self._looking, self._store.collect)

    def _lost(self, generation: Generation, error: WorkerDied) -> None:
        """The worker died under it: start it again with back-off, give up after repeated deaths."""
        if generation.state is not State.AVAILABLE:
            return
        now = time.monotonic()
        generation.deaths = [t for t in generation.deaths if now - t < DEATHS_WITHIN_S] + [now]
        generation.recovered.clear()
        self._metrics.worker_died(generation.model)
        log.warning("%s: %s", generation, error, extra={"model": generation.model, "version": generation.version})
        self._close(generation, error)
        if len(generation.deaths) > self._settings.runtime.worker_deaths:
            self._fail(generation, "serve", error)
            self._advance(generation.model)
            return
        generation.advance(Event.LOSE)
        wait_s = self._settings.runtime.worker_restart_s * 2 ** (len(generation.deaths) - 1)
        self._spawn(self._load(generation, wait_s if len(generation.deaths) > 1 else 0.0))

    def _close(self, generation: Generation, error: WorkerDied | None = None) -> None:
        runtime, batcher = generation.runtime, generation.batcher
        generation.runtime = generation.batcher = None
        if batcher is not None:
            batcher.close(error)
        if runtime is not None:
            self._loading.submit(runtime.close)

    def _unpin(self, generation: Generation) -> None:
        if generation.stored is not None and generation.state in (State.DRAINING, State.RETIRED):
            self._store.unpin(generation.stored.key)

    # -- failures ----------------------------------------------------------------------------

    def _fail(self, generation: Generation, stage: str, error: GatewayError) -> None:
        now = time.monotonic()
        retry_at = None
        if isinstance(error, PASSING):
            wait_s = min(self._settings.jobs.retry_s * 2**generation.retries, LONGEST_RETRY_S)
            retry_at = now + wait_s
        generation.failure = Failure(stage, error, time.time(), retry_at)
        generation.stage, generation.fraction = "", None
        generation.advance(Event.FAIL)
        generation.recovered.set()  # whoever waits for its worker learns now that it will not come
        self._starting.discard(generation)
        log.error(
            "%s: failed at %s: %s",
            generation,
            stage,
            error.explain(),
            extra={"model": generation.model, "version": generation.version, "stage": stage},
        )

    def _retry(self) -> None:
        now = time.monotonic()
        for generation in self._all():
            failure = generation.failure
            if generation.state is not State.FAILED or failure is None or failure.retry_at is None:
                continue
            if failure.retry_at <= now and generation.present:
                generation.retries += 1
                generation.cancel.clear()
                generation.deaths.clear()
                generation.advance(Event.RETRY)
                self._advance(generation.model)

    # -- tasks -------------------------------------------------------------------------------

    def _all(self) -> list[Generation]:
        return [generation for generations in self._models.values() for generation in generations]

    async def _call(self, pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run in a thread. A fault that is no GatewayError becomes one, with its traceback in the log."""
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        except (GatewayError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("a fault of the gateway itself")
            raise ModelRunError(
                f"a fault of the gateway itself: {type(error).__name__}: {error}.",
                hint="Its traceback is in the gateway's log; please report it.",
            ) from error

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the manager failed", exc_info=task.exception())
