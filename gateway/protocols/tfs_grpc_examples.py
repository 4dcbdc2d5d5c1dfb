"""Classify, Regress and MultiInference of TensorFlow Serving's gRPC API: bytes -> examples -> bytes.

Rule 1: all tasks of a MultiInference are answered by one version of the model, and everything
        that is wrong with one of them is said before any of them runs.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from gateway.config import Limits
from gateway.errors import InvalidRequest, UnsupportedType
from gateway.protocols.examples import read_input
from gateway.protocols.pool import message
from gateway.protocols.tfs_call import Call, parse, spec_of
from gateway.protocols.tfs_examples import CLASSIFY, NO_SIGNATURE, REGRESS, Asked, classify, lease, regress
from gateway.protocols.tfs_results import Class, classify_outputs, regress_outputs
from gateway.serving.predict import Lease, Predictor

_ClassificationRequest = message("tensorflow.serving.ClassificationRequest")
_ClassificationResponse = message("tensorflow.serving.ClassificationResponse")
_RegressionRequest = message("tensorflow.serving.RegressionRequest")
_RegressionResponse = message("tensorflow.serving.RegressionResponse")
_MultiRequest = message("tensorflow.serving.MultiInferenceRequest")
_MultiResponse = message("tensorflow.serving.MultiInferenceResponse")


class ExampleMethods:
    """The three methods over a Predictor."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self._predictor = predictor
        self._limits = limits

    async def classify(self, body: bytes, call: Call) -> bytes:
        request = parse(_ClassificationRequest, body)
        with self._lease(request, call) as held:
            found = await self._run(classify, held, request.input, call)
            response = _ClassificationResponse()
            _answered_by(response.model_spec, held)
            _fill_classes(response.result, found)
            return bytes(response.SerializeToString())

    async def regress(self, body: bytes, call: Call) -> bytes:
        request = parse(_RegressionRequest, body)
        with self._lease(request, call) as held:
            found = await self._run(regress, held, request.input, call)
            response = _RegressionResponse()
            _answered_by(response.model_spec, held)
            _fill_values(response.result, found)
            return bytes(response.SerializeToString())

    async def multi_inference(self, body: bytes, call: Call) -> bytes:
        request = parse(_MultiRequest, body)
        response = _MultiResponse()
        with ExitStack() as stack:
            tasks = self._tasks(request, stack, call)
            for method, held in tasks:
                result = response.results.add()
                _answered_by(result.model_spec, held)
                if method == CLASSIFY:
                    found = await self._run(classify, held, request.input, call)
                    _fill_classes(result.classification_result, found)
                else:
                    _fill_values(result.regression_result, await self._run(regress, held, request.input, call))
        return bytes(response.SerializeToString())

    def _tasks(self, request: Any, stack: ExitStack, call: Call) -> list[tuple[str, Lease]]:
        """(method, lease) of each task. No await in here: all leases are of one moment, hence of one version."""
        if not request.tasks or not request.tasks[0].HasField("model_spec"):
            raise InvalidRequest("ModelSpec has no name specified.")
        tasks: list[tuple[str, Lease]] = []
        first, _ = spec_of(self._predictor, request.tasks[0])
        done: set[str] = set()
        for task in request.tasks:
            if not task.model_spec.name:
                raise InvalidRequest("Found ModelSpec with an empty model name.")
            if task.model_spec.name != first.name:
                raise InvalidRequest("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
            missing = "Requested signature not found in model graph: "
            held = stack.enter_context(lease(self._predictor, first, task.model_spec.signature_name, missing))
            call.model, call.version = held.model, held.version
            if held.signature.name in done:
                raise InvalidRequest(f"Duplicate evaluation of signature: {held.signature.name}")
            done.add(held.signature.name)
            if task.method_name not in (CLASSIFY, REGRESS):
                raise UnsupportedType(f"Unsupported signature method_name: {task.method_name}")
            (classify_outputs if task.method_name == CLASSIFY else regress_outputs)(held.signature)
            tasks.append((task.method_name, held))
        return tasks

    def _lease(self, request: Any, call: Call) -> Lease:
        spec, signature = spec_of(self._predictor, request)
        held = lease(self._predictor, spec, signature, NO_SIGNATURE)
        call.model, call.version = held.model, held.version
        return held

    async def _run(self, method: Any, held: Lease, proto: Any, call: Call) -> Any:
        asked = Asked(lambda: read_input(proto), call.deadline, call.request_id)
        found = await method(held, asked, self._limits)
        call.run_s += asked.run_s
        call.examples = asked.count
        return found


def _answered_by(spec: Any, held: Lease) -> None:
    spec.name, spec.signature_name = held.model, held.signature.name
    spec.version.value = held.version


def _fill_classes(result: Any, found: list[list[Class]]) -> None:
    for classes in found:
        entry = result.classifications.add()
        for one in classes:
            entry.classes.add(label=one.label, score=one.score)


def _fill_values(result: Any, found: list[float]) -> None:
    for value in found:
        result.regressions.add(value=value)
