"""What both transports of TensorFlow Serving's API say alike: states, metadata and the words for them.

Rule 1: what a client may compare (texts, states, names) is the original's, quirks included;
        docs/protocols.md lists where the gateway differs on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.dtypes import dtype
from gateway.core.signature import Signature, TensorSpec
from gateway.core.version import State
from gateway.errors import ModelNotFound, UnknownSignature
from gateway.protocols.tensors import tf_name
from gateway.serving.predict import ModelSpec, Predictor, VersionStatus

MAX_INT64 = (1 << 63) - 1
SIGNATURE_DEF = "signature_def"

STATES = {
    State.FOUND: "START",
    State.CONVERTING: "START",
    State.CONVERTED: "START",
    State.LOADING: "LOADING",
    State.AVAILABLE: "AVAILABLE",
    State.DRAINING: "UNLOADING",
    State.RETIRED: "END",
    State.FAILED: "END",
}


def version_states(predictor: Predictor, name: str, version: int | None) -> Iterator[tuple[int, str, str, str]]:
    """(version, state, error code, error message), newest first. Errors: ModelNotFound in the original's words."""
    hint = ""
    try:
        found = predictor.status(name, version).versions
    except ModelNotFound as error:
        found, hint = (), error.hint
    if not found:
        what = "any versions" if version is None else f"version {version}"
        raise ModelNotFound(f"Could not find {what} of model {name}", hint=hint)
    for status in found:
        code, message = _health(status)
        yield status.version, STATES[status.state], code, message


def _health(status: VersionStatus) -> tuple[str, str]:
    if status.state is not State.FAILED:
        return "OK", ""
    return "FAILED_PRECONDITION", f"{status.reason} {status.hint}".strip()


def model_spec(predictor: Predictor, name: str, version: int | None, label: str | None = None) -> ModelSpec:
    """Which model is meant. Version 0 is the newest unless there is a version 0: ovmsclient always sends one,
    and OpenVINO Model Server reads its 0 so."""
    if version == 0:
        try:
            known = bool(predictor.status(name, 0).versions)
        except ModelNotFound:
            known = False
        version = 0 if known else None
    return ModelSpec(name, version, label)


def unknown_signature(error: UnknownSignature, text: str) -> UnknownSignature:
    """The same error in the words of a transport, with its hint (which names the signatures there are)."""
    return UnknownSignature(text, hint=error.hint)


def signature_json(signature: Signature) -> dict[str, Any]:
    """A SignatureDef as protobuf's JSON with proto names and defaults printed."""
    return {
        "inputs": {spec.name: _info_json(spec) for spec in signature.inputs},
        "outputs": {spec.name: _info_json(spec) for spec in signature.outputs},
        "method_name": signature.method,
        "defaults": {},
    }


def _info_json(spec: TensorSpec) -> dict[str, Any]:
    dims = [{"size": str(size), "name": name} for size, name in dimensions(spec)]
    return {
        "dtype": tf_name(dtype(spec.dtype).tensorflow),
        "tensor_shape": {"dim": dims, "unknown_rank": spec.shape is None},
        "name": spec.tensor,
    }


def dimensions(spec: TensorSpec) -> Iterator[tuple[int, str]]:
    """(size, symbol) of each dimension; -1 is free."""
    for at, size in enumerate(spec.shape or ()):
        yield -1 if size is None else size, spec.symbols[at] if at < len(spec.symbols) else ""


def metadata_json(model: str, version: int, signatures: Mapping[str, Signature]) -> dict[str, Any]:
    return {
        "model_spec": {"name": model, "signature_name": "", "version": str(version)},
        "metadata": {SIGNATURE_DEF: {SIGNATURE_DEF: {name: signature_json(s) for name, s in signatures.items()}}},
    }
