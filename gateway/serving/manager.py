"""The manager: brings what serves in line with what its sources want, and never loses the old one.

    look -> generations -> policy.next_step -> CONVERT | LOAD | DRAIN | FORGET -> again

It decides nothing itself: states and events are core/version.py's table, steps core/policy.py's,
and who wants what is in sources.py.

Rule 1: all state is changed in the event loop; what blocks runs in threads and comes back.
Rule 2: a fault of one model, whatever it is, ends in that model's FAILED, never in the loop.
Rule 3: a place that cannot be read is not a deletion: everything stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.config import Settings
from gateway.core import tritonconfig
from gateway.core.policy import NEWEST, Action, Versions, next_step
from gateway.core.signature import SERVING_DEFAULT, Signature
from gateway.core.version import Event, State
from gateway.errors import ModelNotFound, ShuttingDown, TritonConfigError, UnknownSignature
from gateway.repository.source import Repository, Seen
from gateway.repository.store import Store
from gateway.serving import views
from gateway.serving.assembling import Assembler
from gateway.serving.control import CONFIG_PBTXT, REPOSITORY, Wanted
from gateway.serving.failures import Failures
from gateway.serving.fleet import Fleet
from gateway.serving.generation import Generation
from gateway.serving.loading import Loading
from gateway.serving.memory import Memory, place_of
from gateway.serving.metrics import Metrics
from gateway.serving.predict import Lease, ModelSpec, ModelStatus
from gateway.serving.prover import Proven, Prover
from gateway.serving.proving import Proving
from gateway.serving.routing import Routing
from gateway.serving.sources import Sources
from gateway.serving.statistics import Statistics
from gateway.serving.watcher import Ask, Look, Watcher

log = logging.getLogger("gateway.serving")


class Manager:
    """Implements serving.predict.Predictor. Lives in one event loop. `repository` None: no folder is watched."""

    def __init__(
        self, settings: Settings, repository: Repository | None, store: Store, prover: Prover, metrics: Metrics
    ) -> None:
        self.settings = settings
        self._store = store
        self._metrics = metrics
        served = settings.store / "served"
        place = place_of(settings)
        self._memory = Memory(served / f"{place}.json")
        self.sources = Sources(served / f"{place}.models.json", settings.model_control)
        self.fleet = Fleet(settings.jobs.concurrency)
        self.failures = Failures(self.fleet, lambda: self.settings)
        self.routing = Routing()
        self.look = Look()  # the last one
        self._watcher = Watcher(repository, prover, store, self._memory, settings.model_control, settings.watch)
        self._proving = Proving(self.fleet, prover, store, metrics, self.failures, self.advance)
        self._loading = Loading(
            self.fleet, store, metrics, self._memory, self.failures, lambda: self.settings, self.advance
        )
        self._asked: list[tuple[frozenset[str], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._scanned = False
        self._draining = False
        self._said: dict[str, str] = {}  # what of the last look was said of unreadable places
        metrics.watch(self.models, self._queued)

    # -- life of the manager ---------------------------------------------------------------

    def start(self, configured: Sequence[Wanted] = (), digest: str = "") -> None:
        """Begin to watch. Returns at once; `ready` turns True after the first look.

        `configured` is what models.config says, `digest` that of its text, "" when there is none.
        """
        self.sources.read()
        if digest:
            self.sources.configured(configured, digest)
        names = [name.strip() for name in self.settings.load_models.split(",")]
        for name in names if self.settings.model_control == "explicit" else ():
            if name and name != "*":
                self.sources.put(Wanted(name, REPOSITORY))
        self.fleet.spawn(self._watch())

    async def stop(self) -> None:
        """Cancel conversions, end tasks, unload everything. In-flight predictions should be over."""
        self._draining = True
        for generation in self.fleet:
            generation.cancel.set()
        await self.fleet.cancel()
        for _, done in self._asked:
            if not done.done():
                done.set_exception(ShuttingDown("the gateway is shutting down."))
        for generation in self.fleet:
            self._loading.close(generation)
        await self.fleet.shut()

    def reconfigure(self, settings: Settings) -> None:
        """Settings that may change while serving; what is loaded keeps its own until it is loaded again."""
        self.settings = settings
        self._watcher.watch(settings.watch)
        self._store.max_bytes = settings.store_max_bytes

    def assemble_with(self, assembler: Assembler) -> None:
        """What opens pipelines; they are a layer above this one."""
        self._loading.assembler = assembler

    def begin_drain(self) -> None:
        """No new predictions; running ones go on."""
        self._draining = True
        self.fleet.ring()

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def ready(self) -> bool:
        # An older version that is proven too stays CONVERTED: nobody waits for it.
        loading = any(generation.state is State.LOADING for generation in self.fleet.starting)
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
        return self.routing.choose(spec, self.fleet.of(spec.name))

    def status(self, name: str, version: int | None = None) -> ModelStatus:
        found = views.model_status(name, self.fleet.of(name))
        if version is None:
            if not found.versions:
                why = self.look.unreadable.get(name)
                hint = why.explain() if why is not None else views.known_names(self.fleet.models, name)
                raise ModelNotFound(f"Could not find any versions of model {name}", hint=hint)
            return found
        chosen = [status for status in found.versions if status.version == version]
        if not chosen:
            raise ModelNotFound(f"Could not find version {version} of model {name}")
        return ModelStatus(name, chosen)

    def models(self) -> Sequence[ModelStatus]:
        return [views.model_status(name, self.fleet.of(name)) for name in sorted(self.fleet.models)]

    def describe(self, name: str, version: int) -> dict[str, Any]:
        row = self.row(name)
        labels = [label for label, number in self.routing.labels(name).items() if number == version]
        return views.describe(name, version, self.fleet.of(name)) | {"source": row.source, "labels": labels}

    def statistics(self, name: str, version: int) -> Statistics:
        self.status(name, version)
        return self._metrics.statistics(name, version)

    def _queued(self) -> dict[str, int]:
        return {
            name: sum(g.batcher.waiting for g in generations if g.batcher is not None)
            for name, generations in self.fleet.models.items()
        }

    # -- watching ----------------------------------------------------------------------------

    async def refresh(self, *at_once: str) -> None:
        """A look that begins after this call, taken in; the models `at_once` as they lie, settled or not."""
        if self._draining:
            raise ShuttingDown("the gateway is shutting down.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append((frozenset(at_once), done))
        self._wake.set()
        await done

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            asked, self._asked = self._asked, []
            try:
                await self._look_once(frozenset(name for names, _ in asked for name in names))
            except asyncio.CancelledError:
                self._asked += asked  # `stop` tells them
                raise
            except Exception:
                self._metrics.scanned(ok=False)
                log.exception("repository: the scan failed; everything stays as it is")
            for _, done in asked:
                if not done.done():
                    done.set_result(None)
            for name in self.failures.retry():
                self.advance(name)
            watch = self.settings.watch
            moving = any(not seen.settled for seen in self.look.entries)
            seconds = min(watch.poll_s, max(watch.settle_s, 0.05)) if moving else watch.poll_s
            try:
                await asyncio.wait_for(self._wake.wait(), seconds)
            except TimeoutError:
                continue

    async def _look_once(self, at_once: frozenset[str]) -> None:
        known = frozenset(g.seen.fingerprint for g in self.fleet if g.settled)
        wanted = self.sources.current()
        look = await asyncio.get_running_loop().run_in_executor(
            self.fleet.looking, self._watcher.look, Ask(wanted, at_once, known)
        )
        self._metrics.scanned(ok=look.unread is None)
        self._say_unreadable(look)
        self.look = look
        self._take_in(look, wanted)
        if look.unread is None and not self._scanned:
            self._scanned = True
            if "*" in self.settings.load_models.split(",") and self.settings.model_control == "explicit":
                for name in look.listed:
                    self.sources.put(Wanted(name, REPOSITORY))
                self._wake.set()
        self.fleet.ring()

    def _say_unreadable(self, look: Look) -> None:
        """Once, as long as it stays the same."""
        now = {name: error.explain() for name, error in look.unreadable.items()}
        if look.unread is not None:
            now[""] = look.unread.explain()
        for name, text in now.items():
            if self._said.get(name) != text:
                log.error("%s: %s", name or "repository", text)
        self._said = now

    def _take_in(self, look: Look, wanted: Mapping[str, Wanted]) -> None:
        there: set[tuple[str, int]] = set()
        touched: set[str] = set()
        moving: set[str] = set()  # something of it still changes: nothing of it is taken for deleted yet
        for seen in look.entries:
            there.add((seen.model, seen.version))
            if not (seen.settled or seen.problem):
                moving.add(seen.model)
            if self._meet(seen, look):
                touched.add(seen.model)
        for generation in self.fleet:
            name = generation.model
            if not generation.present or (name, generation.version) in there or name in moving:
                continue
            if name in look.untouched or (look.unread is not None and self._lies_in_repository(name, wanted)):
                continue
            log.info("%s: it is not there, or not wanted, any more", generation, extra={"model": name})
            self._depart(generation)
            touched.add(name)
        for name in touched:
            self.advance(name)

    def _lies_in_repository(self, name: str, wanted: Mapping[str, Wanted]) -> bool:
        row = wanted.get(name)
        if row is None:
            return self.settings.model_control != "explicit"
        return row.in_repository and not row.off

    def _meet(self, seen: Seen, look: Look) -> bool:
        """Take one sight of a version in; True when there is something to do for its model."""
        generations = self.fleet.of(seen.model)
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
        self.fleet.add(generation)
        if settled:
            self._begin(generation, look)
        return settled

    def _begin(self, generation: Generation, look: Look) -> None:
        log.info("%s: found", generation, extra={"model": generation.model, "version": generation.version})
        remembered = look.remembered.get((generation.model, generation.version))
        if remembered is not None and generation.number == 1:
            self._stand_in(generation, remembered)
        recalled = look.recalled.get(generation.seen.fingerprint)
        if generation.seen.problem is not None:
            self.failures.fail(generation, "drop", generation.seen.problem)
        elif recalled is not None:
            if not self._scanned:
                self.fleet.starting.add(generation)
            self._proving.take(generation, recalled)

    def _stand_in(self, generation: Generation, remembered: Proven) -> None:
        """What served before a restart serves until the content that replaced it does."""
        earlier = Generation(generation.model, generation.version, 0, generation.seen, present=False, served=True)
        self.fleet.add(earlier)
        log.warning("%s: other content served before; it stands in", generation, extra={"model": generation.model})
        if not self._scanned:
            self.fleet.starting.add(earlier)
        self._proving.take(earlier, remembered)

    def _depart(self, generation: Generation) -> None:
        generation.present = False
        generation.cancel.set()
        self.fleet.starting.discard(generation)
        if not generation.settled:  # nothing was begun, nothing to wind up
            self.fleet.remove(generation)

    # -- steps -------------------------------------------------------------------------------

    def row(self, name: str) -> Wanted:
        """What is asked of a model, by whichever source has it."""
        return self.sources.get(name) or self.sources.of_repository(name)

    def _versions(self, row: Wanted, generations: Sequence[Generation]) -> Versions:
        """Which versions are wanted: what a source says, else what the version_policy of config.pbtxt says."""
        override = str(row.extra.get(CONFIG_PBTXT, ""))
        for generation in generations:
            self._override(generation, override)
        text = override or next((g.config_text for g in reversed(generations) if g.present), "")
        if row.versions != NEWEST or not text:
            return row.versions
        try:
            return tritonconfig.parse(text).versions or row.versions
        except TritonConfigError:  # the generation says so itself
            return row.versions

    def _override(self, generation: Generation, text: str) -> None:
        """A config.pbtxt that came with a call, or "" when it counts no more; what serves takes it over at once."""
        if generation.override == text:
            return
        before, generation.override, generation.config_problem = generation.override, text, ""
        if generation.state is State.AVAILABLE:
            try:
                generation.configure()
            except TritonConfigError as error:
                generation.override, generation.config_problem = before, error.explain()
                log.warning("%s: %s; it serves as it did", generation, error, extra={"model": generation.model})

    def advance(self, name: str) -> None:
        """Ask the policy until it has nothing to say, and do what it says."""
        generations, row = self.fleet.of(name), self.row(name)
        versions = self._versions(row, generations)
        for _ in range(8 * len(generations) + 8):  # a bound: a policy that never ends must not hang the loop
            step = next_step([g.candidate() for g in generations if g.settled], versions)
            if step is None:
                break
            chosen = next(g for g in generations if (g.version, g.number) == (step.version, step.generation))
            self._do(chosen, step.action)
        else:
            log.error("%s: the policy did not come to an end", name)
        for generation in list(generations):
            if generation.state is State.RETIRED and not generation.present:
                self.fleet.remove(generation)
                self._forget(generation)
        self.routing.update(row, self.fleet.of(name), unavailable=self.settings.tfserving.labels_for_unavailable)

    def _forget(self, generation: Generation) -> None:
        name, version = generation.model, generation.version
        if not any(g.version == version for g in self.fleet.of(name)):
            self._metrics.forget(name, version)
            self.fleet.looking.submit(self._memory.forget, name, version)
        if not self.fleet.of(name):
            self.sources.forget(name)

    def advance_all(self, names: Iterable[str]) -> None:
        for name in names:
            self.advance(name)

    def _do(self, generation: Generation, action: Action) -> None:
        if action is Action.CONVERT:
            self._proving.begin(generation)
        elif action is Action.LOAD:
            self._loading.begin(generation)
        elif action is Action.DRAIN:
            self._loading.drain(generation)
        else:
            generation.cancel.set()
            generation.advance(Event.FORGET)
            self._loading.unpin(generation)
