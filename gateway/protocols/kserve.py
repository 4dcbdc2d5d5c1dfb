"""What both transports of KServe v2 and Triton say alike: which model, its metadata, the server's, errors.

Rule 1: what a client may compare (texts, codes, names) is Triton's, where Triton is not wrong;
        gateway/conformance/kserve.toml lists every difference.
Rule 2: extensions are listed only when they work here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway import __version__
from gateway.core.dtypes import dtype
from gateway.core.signature import SERVING_DEFAULT, Signature, TensorSpec
from gateway.core.version import State
from gateway.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    ShuttingDown,
    UnknownSignature,
)
from gateway.protocols.status import HTTP_OF, Code, Status, status_of
from gateway.serving.predict import Lease, ModelSpec, ModelStatus, Predictor
from gateway.serving.statistics import OfBatchSize, Statistics, Sum

NAME = "model-gateway"
EXTENSIONS = (
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)
SHARED_MEMORY = "system_shared_memory"
MAX_INT64 = (1 << 63) - 1


def server_metadata(*, shared_memory: bool) -> dict[str, Any]:
    extensions = [*EXTENSIONS, *([SHARED_MEMORY] if shared_memory else ())]
    return {"name": NAME, "version": __version__, "extensions": extensions}


def kserve_status(error: BaseException, request_id: str) -> Status:
    """As status_of; as in Triton a full queue is UNAVAILABLE, ALREADY_EXISTS is HTTP 400, and there is no
    FAILED_PRECONDITION."""
    status = status_of(error, request_id)
    if isinstance(error, Overloaded):
        return Status(Code.UNAVAILABLE, HTTP_OF[Code.UNAVAILABLE], status.text, status.retry_after_s)
    if status.code is Code.ALREADY_EXISTS:
        return Status(status.code, 400, status.text)
    if status.code is Code.FAILED_PRECONDITION:  # a model that cannot be served, as the answer to a load
        return Status(Code.INVALID_ARGUMENT, 400, status.text)
    return status


def version_of(text: str) -> int | None:
    """None for the one that answers without a version ("" or "-1"). Errors: InvalidRequest."""
    if text in ("", "-1"):
        return None
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > MAX_INT64:
        raise InvalidRequest(
            f"failed to get model version from specified version string '{text[:64]}', "
            "version should be an integral value > 0"
        )
    return int(text)


def lease_of(predictor: Predictor, name: str, version: str) -> Lease:
    """Errors: ModelNotFound and ModelNotReady in Triton's words, ShuttingDown."""
    spec = ModelSpec(name, version_of(version))
    try:
        return predictor.lease(spec)
    except ModelNotFound as error:
        raise unknown_model(predictor, spec, error) from None
    except UnknownSignature:
        return predictor.lease(spec, next(iter(predictor.signatures(spec)[2])))


def signature_of(predictor: Predictor, name: str, version: str) -> tuple[int, Signature]:
    """(the version that would answer, its signature). Errors: as lease_of."""
    spec = ModelSpec(name, version_of(version))
    try:
        _, number, signatures = predictor.signatures(spec)
    except ModelNotFound as error:
        raise unknown_model(predictor, spec, error) from None
    return number, signatures.get(SERVING_DEFAULT) or next(iter(signatures.values()))


def unknown_model(predictor: Predictor, spec: ModelSpec, error: ModelNotFound) -> ModelNotFound | ModelNotReady:
    """Triton tells three apart: no such model, no such version, and one that does not serve now."""
    start = f"Request for unknown model: '{spec.name[:256]}'"
    try:
        known = predictor.status(spec.name)
    except ModelNotFound as unknown:
        return ModelNotFound(f"{start} is not found", hint=unknown.hint)
    if spec.version is None:
        return ModelNotFound(f"{start} has no available versions", hint=error.hint)
    if all(status.version != spec.version for status in known.versions):
        there = ", ".join(str(status.version) for status in known.versions)
        return ModelNotFound(f"{start} version {spec.version} is not found", hint=f"Its versions are: {there}.")
    return ModelNotReady(f"{start} version {spec.version} is not at ready state", hint=error.hint)


def is_ready(predictor: Predictor, name: str, version: str) -> bool:
    """Errors: InvalidRequest for what is no version."""
    try:
        signature_of(predictor, name, version)
    except (ModelNotFound, ModelNotReady, ShuttingDown):
        return False
    return True


def serving(status: ModelStatus) -> list[int]:
    """Versions that answer, oldest first, as Triton lists them."""
    return sorted(version.version for version in status.versions if version.state is State.AVAILABLE)


def model_metadata(predictor: Predictor, name: str, version: str) -> dict[str, Any]:
    number, signature = signature_of(predictor, name, version)
    kind = str(predictor.describe(name, number).get("kind") or "onnx")
    versions = serving(predictor.status(name))
    return {
        "name": name,
        "versions": [str(v) for v in versions] if not version else [str(number)],
        "platform": PLATFORMS.get(kind, kind),
        "inputs": [tensor_metadata(spec) for spec in signature.inputs],
        "outputs": [tensor_metadata(spec) for spec in signature.outputs],
    }


PLATFORMS = {"onnx": "onnxruntime_onnx", "savedmodel": "tensorflow_savedmodel"}
"""Triton's names of what runs an artifact."""


def tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": datatype(spec), "shape": sizes(spec)}


def datatype(spec: TensorSpec) -> str:
    """Complex numbers have no name in the protocol: ours."""
    return dtype(spec.dtype).kserve or spec.dtype.upper()


def sizes(spec: TensorSpec) -> list[int]:
    """-1 is a free dimension. A tensor of unknown rank has none: the protocol cannot say it."""
    return [-1 if size is None else size for size in spec.shape or ()]


def statistics(predictor: Predictor, name: str, version: str) -> dict[str, Any]:
    """Of one version, of all that serve of one model, or of all. Errors: ModelNotFound, ModelNotReady."""
    if not name:
        models = [(status.name, number) for status in predictor.models() for number in serving(status)]
    elif version:
        models = [(name, signature_of(predictor, name, version)[0])]
    else:
        signature_of(predictor, name, "")
        models = [(name, number) for number in serving(predictor.status(name))]
    return {"model_stats": [_model_statistics(n, v, predictor.statistics(n, v)) for n, v in models]}


def _model_statistics(name: str, version: int, found: Statistics) -> dict[str, Any]:
    nothing = Sum()
    inference = {
        "success": found.success,
        "fail": found.fail,
        "queue": found.queue,
        "compute_input": found.input,
        "compute_infer": found.infer,
        "compute_output": found.output,
        "cache_hit": nothing,
        "cache_miss": nothing,
    }
    return {
        "name": name,
        "version": str(version),
        "last_inference": found.last_ms,
        "inference_count": found.rows,
        "execution_count": found.runs,
        "inference_stats": _sums(inference),
        "response_stats": {},
        "batch_stats": [{"batch_size": size, **_batch(one)} for size, one in found.by_size()],
        "memory_usage": [],
    }


def _batch(one: OfBatchSize) -> dict[str, Any]:
    return _sums({"compute_input": one.input, "compute_infer": one.infer, "compute_output": one.output})


def _sums(sums: Mapping[str, Sum]) -> dict[str, Any]:
    return {key: {"count": one.count, "ns": one.ns} for key, one in sums.items()}


def expired(error: DeadlineExceeded) -> ModelNotReady:
    """The request's own `timeout` has passed: Triton's word and code for it."""
    return ModelNotReady(f"Request timeout expired: {error.message}")
