"""What serving asks of pipelines, which are a layer above it, and a pipeline's hold on a request.

Rule 1: serving knows no step: it opens, watches, leases and runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from gateway.core.artifact import Verification
from gateway.core.dtypes import Tensors
from gateway.core.signature import Signature
from gateway.serving.predict import Lease, PredictCall, PredictResponse
from gateway.serving.statistics import Run, Statistics


class Held(Protocol):
    """All members of a pipeline, leased for one request."""

    async def run(self, inputs: Tensors, outputs: Sequence[str], deadline: float | None) -> Tensors: ...

    def release(self) -> None: ...


class Assembled(Protocol):
    @property
    def signature(self) -> Signature: ...

    def hold(self) -> Held:
        """Errors: MemberMissing, EdgeMismatch."""
        ...

    def changed(self) -> bool:
        """A member was swapped, or does not serve any more."""
        ...

    async def verify(self) -> Verification:
        """By the owner's vectors. Errors: DropError, and those of a run."""
        ...


class Assembler(Protocol):
    async def open(self, folder: Path, model: str, version: int) -> Assembled:
        """Errors: MemberMissing: later, when something has changed; EdgeMismatch, PipelineTomlError."""
        ...


class Owner(Protocol):
    """What holds the pipeline: serving/generation.py."""

    model: str
    version: int
    running: int
    statistics: Statistics

    def returned(self) -> None: ...


class AssembledLease(Lease):
    """One request's hold on a pipeline and on all its members: a swap of a member meanwhile changes nothing."""

    whole = True

    def __init__(self, owner: Owner, held: Held, signature: Signature, artifact: str) -> None:
        self._owner, self._held, self._open = owner, held, True
        self.model, self.version, self.artifact = owner.model, owner.version, artifact
        self.signature = signature
        self.max_rows, self.labels_for = None, ""

    async def predict(self, call: PredictCall) -> PredictResponse:
        started, statistics = time.monotonic_ns(), self._owner.statistics
        self._owner.running += 1
        try:
            self.signature.check(call.inputs)
            if call.outputs:
                self.signature.select(call.outputs)
            outputs = await self._held.run(call.inputs, call.outputs, call.deadline)
        except BaseException as error:
            statistics.failed(error, time.monotonic_ns() - started)
            raise
        finally:
            self._owner.running -= 1
        took = time.monotonic_ns() - started
        statistics.ran(Run(1, 1, 0, 0, took, 0))
        statistics.answered(took)
        return PredictResponse(outputs, self.model, self.version, self.signature.name, self.artifact)

    def release(self) -> None:
        if self._open:
            self._open = False
            self._held.release()
            self._owner.returned()
