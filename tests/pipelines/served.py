"""A Predictor over plain numpy functions for pipelines: models that may be swapped, missing, slow, of a fixed batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Tensors
from gateway.core.preprocess import Preprocess
from gateway.core.signature import SERVING_DEFAULT, Signature, parse_spec
from gateway.errors import ModelNotFound
from gateway.pipelines.assembled import Assembled, Pipelines
from gateway.serving.predict import Lease, ModelSpec, PredictCall, PredictResponse

Run = Callable[[Tensors], Tensors | Awaitable[Tensors]]


@dataclass
class Net:
    run: Run
    signature: Signature
    artifact: str = "1"
    calls: list[Tensors] = field(default_factory=list)


def net(
    run: Run,
    inputs: str,
    outputs: str,
    *,
    artifact: str = "1",
    batched: bool = False,
    preprocess: Preprocess | None = None,
    labels: tuple[str, ...] = (),
) -> Net:
    specs = [tuple(parse_spec(text) for text in side.split()) for side in (inputs, outputs)]
    record = preprocess.to_json() if preprocess else None
    return Net(run, Signature(specs[0], specs[1], batched=batched, preprocess=record, labels=labels), artifact)


class NetLease(Lease):
    def __init__(self, served: Served, name: str, one: Net) -> None:
        self._served, self._net = served, one
        self.model, self.version, self.signature, self.artifact = name, 1, one.signature, one.artifact
        self.max_rows, self.labels_for = None, ""
        served.held += 1

    async def predict(self, call: PredictCall) -> PredictResponse:
        self.signature.check(call.inputs)
        self._net.calls.append(call.inputs)
        found = self._net.run(call.inputs)
        outputs = found if isinstance(found, dict) else await found
        return PredictResponse(outputs, self.model, 1, SERVING_DEFAULT, self.artifact)

    def release(self) -> None:
        self._served.held -= 1


class Served:
    """`nets` may be changed at any time, as a swap does."""

    def __init__(self, **nets: Net) -> None:
        self.nets = nets
        self.held = 0

    def lease(self, spec: ModelSpec, signature: str = SERVING_DEFAULT) -> Lease:
        if spec.name not in self.nets:
            raise ModelNotFound(f"Servable not found for request: {spec}")
        return NetLease(self, spec.name, self.nets[spec.name])


def opened(served: Served, folder: Path, text: str, steps: list[str] | None = None) -> Assembled:
    """The pipeline of this text, over what serves. Errors: those of Pipelines.open."""
    (folder / "pipeline.toml").write_text(text)
    seen = steps if steps is not None else []
    pipelines = Pipelines(served, lambda model, version, step, seconds: seen.append(step))  # type: ignore[arg-type]
    return asyncio.run(pipelines.open(folder, "p", 1))


async def answered(made: Assembled, inputs: Mapping[str, Any]) -> Tensors:
    tensors = dict(inputs)
    made.signature.check(tensors)
    with made.hold() as held:
        return await held.run(tensors, (), None)


def asked(made: Assembled, **inputs: Any) -> Tensors:
    return asyncio.run(answered(made, inputs))


def files(*data: bytes) -> Any:
    found = np.empty(len(data), object)
    found[:] = data
    return found
