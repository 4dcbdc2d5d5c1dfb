"""Classify and Regress over a lease: what both transports of TensorFlow Serving's API do alike.

Rule 1: the order of checks is the original's: model, signature, its outputs, the examples, the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.config import Limits
from gateway.core.dtypes import Tensors
from gateway.core.signature import SERVING_DEFAULT
from gateway.errors import InvalidRequest, UnknownSignature
from gateway.protocols.examples import Example, tensors_of
from gateway.protocols.tfs_results import Class, classifications, classify_outputs, regress_outputs, regressions
from gateway.serving.predict import Lease, ModelSpec, PredictCall, Predictor

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
NO_SIGNATURE = "No signature was found with the name: "


@dataclass
class Asked:
    """One request's examples and what travels with it. `examples` is called when its turn in the checks has come;
    `count` and `run_s` (queue and runtime) are told afterwards."""

    examples: Callable[[], Sequence[Example]]
    deadline: float
    request_id: str
    count: int = 0
    run_s: float = 0.0


def lease(predictor: Predictor, spec: ModelSpec, signature: str, missing: str) -> Lease:
    """A lease; `missing` begins the sentence about a signature that is not there. Errors: as Predictor.lease."""
    name = signature or SERVING_DEFAULT
    try:
        return predictor.lease(spec, name)
    except UnknownSignature as error:
        raise InvalidRequest(f"{missing}{name}", hint=error.hint) from None


async def classify(held: Lease, asked: Asked, limits: Limits) -> list[list[Class]]:
    """One list of classes an example. Errors: InvalidTensor and all of Lease.predict."""
    wanted = classify_outputs(held.signature)
    outputs, count = await _run(held, asked, limits, wanted)
    return classifications(outputs, held.signature, count)


async def regress(held: Lease, asked: Asked, limits: Limits) -> list[float]:
    """One value an example. Errors: InvalidTensor and all of Lease.predict."""
    wanted = regress_outputs(held.signature)
    outputs, count = await _run(held, asked, limits, wanted)
    return regressions(outputs, count)


async def _run(held: Lease, asked: Asked, limits: Limits, wanted: Sequence[str]) -> tuple[Tensors, int]:
    examples = asked.examples()
    inputs = tensors_of(examples, held.signature, limits.max_elements)
    started = time.monotonic()
    response = await held.predict(PredictCall(inputs, wanted, asked.deadline, asked.request_id))
    asked.count, asked.run_s = len(examples), time.monotonic() - started
    return response.outputs, len(examples)
