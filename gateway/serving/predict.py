"""The one path of a prediction: what protocols call, and nothing they need not know.

    with predictor.lease(ModelSpec("digits")) as lease:      # ModelNotFound, ModelNotReady ...
        tensors = decode(body, lease.signature)              # the protocol's own work
        response = await lease.predict(PredictCall(tensors)) # InvalidTensor, Overloaded ...

A lease pins one generation of one version from the decoding to the answer, so that a swap in
between never mixes two models' names or numbers; a version drains until its last lease is back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from gateway.core.dtypes import Tensors
from gateway.core.signature import SERVING_DEFAULT, Signature
from gateway.core.version import State
from gateway.serving.statistics import Statistics


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model: by name, and by version number or label or neither (the newest that serves)."""

    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        """As TensorFlow Serving writes it: clients wait for this text."""
        return f"Latest({self.name})" if self.version is None else f"Specific({self.name}, {self.version})"


@dataclass(frozen=True, slots=True)
class PredictCall:
    """`deadline` is in seconds of time.monotonic(). `outputs` names the wanted ones; () is all."""

    inputs: Tensors
    outputs: Sequence[str] = ()
    deadline: float | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class PredictResponse:
    """Outputs in the order of the signature (or of `outputs`), and who answered."""

    outputs: Tensors
    model: str
    version: int
    signature: str
    artifact: str  # digest: says exactly which numbers these are


class Lease(ABC):
    """One generation of one version, held while a request is in flight."""

    model: str
    version: int
    signature: Signature
    artifact: str
    max_rows: int | None  # config.pbtxt's max_batch_size; None where it says nothing, 0 where it says: no batch
    labels_for: str  # the output whose classes `signature.labels` names; "" is the first
    whole: bool = False  # a pipeline: its rows are not cut and joined

    @abstractmethod
    async def predict(self, call: PredictCall) -> PredictResponse:
        """Errors: InvalidTensor, Overloaded, DeadlineExceeded, ModelRunError, ShuttingDown."""

    @abstractmethod
    def release(self) -> None:
        """Give it back; a second call does nothing."""

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass(frozen=True)
class VersionStatus:
    """One version as the status routes show it. `reason` is "" unless something is to be said."""

    version: int
    state: State
    verdict: str = ""
    reason: str = ""
    hint: str = ""
    stage: str = ""  # of a failure: detect, convert, verify, load ...
    generation: int = 1


@dataclass(frozen=True)
class ModelStatus:
    name: str
    versions: Sequence[VersionStatus]  # newest first


class Predictor(Protocol):
    """What a protocol is handed. A test hands in one of its own."""

    def lease(self, spec: ModelSpec, signature: str = SERVING_DEFAULT) -> Lease:
        """Errors: ModelNotFound, ModelNotReady, UnknownSignature, UnknownLabel, ShuttingDown."""
        ...

    def signatures(self, spec: ModelSpec) -> tuple[str, int, Mapping[str, Signature]]:
        """(model, resolved version, its signatures by name). Errors: as lease."""
        ...

    def status(self, name: str, version: int | None = None) -> ModelStatus:
        """One model. Errors: ModelNotFound "Could not find any versions of model X"."""
        ...

    def models(self) -> Sequence[ModelStatus]:
        """Every model known, by name."""
        ...

    def statistics(self, name: str, version: int) -> Statistics:
        """Counts and durations of one version, live: read them, do not keep them. Errors: ModelNotFound."""
        ...

    def describe(self, name: str, version: int) -> dict[str, Any]:
        """One version in full, for the admin API: artifact, verification, placement, log. Errors: ModelNotFound."""
        ...

    @property
    def ready(self) -> bool:
        """The repository has been scanned and the gateway is not draining."""
        ...
