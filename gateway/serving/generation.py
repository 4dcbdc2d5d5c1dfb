"""Generation: one content of one version of one model, with what is known and loaded of it.

Rule 1: only the manager changes a generation, and only in the event loop; `advance` goes
        through the table of core/version.py.
Rule 2: a lease counts as long as it is held; a generation is closed when it drains and its
        last lease is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event as Cancel
from typing import Any

from gateway.core import tritonconfig
from gateway.core.artifact import Artifact
from gateway.core.modeltoml import ModelOptions
from gateway.core.pipeline import KIND as PIPELINE
from gateway.core.policy import Candidate
from gateway.core.signature import SERVING_DEFAULT, Signature
from gateway.core.tritonconfig import TritonConfig
from gateway.core.version import Event, State, after
from gateway.errors import DeadlineExceeded, GatewayError, ModelNotReady, TritonConfigError, WorkerDied
from gateway.repository.source import Seen
from gateway.repository.store import Stored
from gateway.runtimes.base import Runtime
from gateway.serving.assembling import Assembled, AssembledLease
from gateway.serving.batcher import Batcher
from gateway.serving.predict import Lease, PredictCall, PredictResponse
from gateway.serving.seeing import brings_pictures, seen
from gateway.serving.statistics import Statistics

log = logging.getLogger("gateway.serving")


@dataclass
class Failure:
    """Why a generation is FAILED: the stage it was in, the error, and when it may be tried again."""

    stage: str
    error: GatewayError
    at: float
    retry_at: float | None = None


@dataclass(eq=False)
class Generation:
    model: str
    version: int
    number: int
    seen: Seen
    state: State = State.FOUND
    present: bool = True
    settled: bool = True
    served: bool = False
    digest: str = ""
    options: ModelOptions = field(default_factory=ModelOptions)
    stored: Stored | None = None
    failure: Failure | None = None
    retries: int = 0
    stage: str = ""  # what is being done now, for people
    fraction: float | None = None
    since: float = field(default_factory=time.time)
    stage_since: float = field(default_factory=time.time)
    cancel: Cancel = field(default_factory=Cancel)
    runtime: Runtime | None = None
    batcher: Batcher | None = None
    signatures: dict[str, Signature] = field(default_factory=dict)
    override: str = ""  # a config.pbtxt that came with a call; stands for the one in the drop
    config: TritonConfig | None = None
    config_problem: str = ""  # why an override was not taken over
    placement: dict[str, str] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics)
    assembled: Assembled | None = None  # of a pipeline, in the place of runtime and batcher
    running: int = 0  # requests in a pipeline
    leases: int = 0
    deaths: list[float] = field(default_factory=list)  # of its worker, time.monotonic()
    recovered: asyncio.Event = field(default_factory=asyncio.Event)
    on_idle: Callable[[], None] = lambda: None
    on_change: Callable[[], None] = lambda: None

    def __str__(self) -> str:
        suffix = f" (generation {self.number})" if self.number > 1 else ""
        return f"{self.model} version {self.version}{suffix}"

    @property
    def artifact(self) -> Artifact | None:
        return self.stored.artifact if self.stored else None

    @property
    def verdict(self) -> str:
        return self.artifact.verification.verdict.value if self.artifact else ""

    @property
    def answers(self) -> bool:
        """A request may be given to it: it serves, or its worker is being started again."""
        return self.state is State.AVAILABLE or (self.state is State.LOADING and bool(self.deaths))

    @property
    def config_text(self) -> str:
        return self.override or self.options.config_pbtxt

    def configure(self) -> None:
        """Take its signatures from the artifact, as config.pbtxt restricts them. Errors: TritonConfigError."""
        assert self.artifact is not None, "only what is proven is configured"
        self.config, self.signatures = configured(self.config_text, self.artifact.signatures)

    def candidate(self) -> Candidate:
        return Candidate(self.version, self.number, self.state, self.present, self.served)

    def advance(self, event: Event) -> None:
        """Change state by the table. Errors: IllegalTransition."""
        before = self.state
        self.state = after(before, event)
        self.since = time.time()
        log.info(
            "%s: %s -> %s",
            self,
            before.value,
            self.state.value,
            extra={"model": self.model, "version": self.version, "state": self.state.value, "verdict": self.verdict},
        )

        self.on_change()

    def begin_again(self) -> None:
        """After a failure: as if it had just been found."""
        self.cancel.clear()
        self.deaths.clear()
        self.advance(Event.RETRY)

    def lease(self, signature: str) -> Lease:
        if self.artifact is not None and self.artifact.kind == PIPELINE:
            if self.assembled is None:
                raise ModelNotReady(f"{self} is not served now: {self.stage}")
            held = self.assembled.hold()
            self.leases += 1
            return AssembledLease(self, held, self.signatures[signature], self.artifact.digest)
        self.leases += 1
        return GenerationLease(self, self.signatures[signature])

    def returned(self) -> None:
        self.leases -= 1
        if self.leases == 0 and self.state is State.DRAINING:
            self.on_idle()


def configured(text: str, signatures: Iterable[Signature]) -> tuple[TritonConfig | None, dict[str, Signature]]:
    """What config.pbtxt makes of a model's signatures; "" makes nothing of them. Errors: TritonConfigError."""
    found = {signature.name: signature for signature in signatures}
    if not text:
        return None, found
    config = tritonconfig.parse(text)
    main = found.get(SERVING_DEFAULT) or next(iter(found.values()))
    problems = tritonconfig.disagreements(config, main)
    if problems:
        raise TritonConfigError(problems, hint="The file must describe the model that lies beside it, or say nothing.")
    return config, {**found, main.name: tritonconfig.narrowed(config, main)}


class GenerationLease(Lease):
    """One request's hold on a generation."""

    __slots__ = ("_generation", "_held", "artifact", "labels_for", "max_rows", "model", "signature", "version")

    def __init__(self, generation: Generation, signature: Signature) -> None:
        self._generation = generation
        self._held = True
        self.model = generation.model
        self.version = generation.version
        self.signature = signature
        self.artifact = generation.artifact.digest if generation.artifact else ""
        self.max_rows, self.labels_for = None, ""
        if generation.config is not None:
            self.max_rows, self.labels_for = generation.config.max_batch_size, generation.config.labels[0]

    async def predict(self, call: PredictCall) -> PredictResponse:
        """A prediction changes nothing, so one whose worker died is run once more when it is back."""
        started, statistics = time.monotonic_ns(), self._generation.statistics
        try:
            outputs = await self._predict(call)
        except BaseException as error:
            statistics.failed(error, time.monotonic_ns() - started)
            raise
        statistics.answered(time.monotonic_ns() - started)
        return PredictResponse(outputs, self.model, self.version, self.signature.name, self.artifact)

    async def _predict(self, call: PredictCall) -> dict[str, Any]:
        if brings_pictures(call, self.signature):
            call = await seen(call, self.signature)
        self.signature.check(call.inputs)
        if call.outputs:
            self.signature.select(call.outputs)
        try:
            return await self._submit(call)
        except WorkerDied as error:
            await self._wait_for_worker(call, error)
            return await self._submit(call)

    def _submit(self, call: PredictCall) -> asyncio.Future[dict[str, Any]]:
        batcher = self._generation.batcher
        if batcher is None:
            raise WorkerDied(f"the worker of {self._generation} is being started again.")
        return batcher.submit(self.signature, call.inputs, call.outputs, call.deadline)

    async def _wait_for_worker(self, call: PredictCall, error: WorkerDied) -> None:
        generation = self._generation
        left = None if call.deadline is None else max(0.0, call.deadline - time.monotonic())
        try:
            await asyncio.wait_for(generation.recovered.wait(), left)
        except TimeoutError:
            raise DeadlineExceeded(f"{generation}: its worker did not come back within the deadline.") from error
        if generation.batcher is None:
            raise ModelNotReady(f"{generation} is not served: {error}", hint="The status routes say why.") from error

    def release(self) -> None:
        if self._held:
            self._held = False
            self._generation.returned()
