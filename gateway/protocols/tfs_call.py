"""One gRPC call of TensorFlow Serving's API: what it needs besides its bytes, and which model it means."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from gateway.errors import InvalidRequest
from gateway.protocols.tfs import model_spec
from gateway.serving.predict import ModelSpec, Predictor


class Call:
    """What one call needs besides its bytes, and what is told when it is over."""

    __slots__ = ("deadline", "examples", "model", "request_id", "run_s", "version")

    def __init__(self, deadline: float, request_id: str) -> None:
        self.deadline = deadline  # seconds of time.monotonic()
        self.request_id = request_id
        self.model = ""  # set once the model is known to exist
        self.version: int | None = None
        self.run_s = 0.0  # in the queue and the runtime
        self.examples = 0


def parse(kind: Any, body: bytes) -> Any:
    """Errors: InvalidRequest."""
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise InvalidRequest(f"the message is not a {kind.DESCRIPTOR.full_name}: {error}") from None


def spec_of(predictor: Predictor, request: Any) -> tuple[ModelSpec, str]:
    """(which model, signature name or "") of a message with a model_spec. Errors: InvalidRequest."""
    if not request.HasField("model_spec"):
        raise InvalidRequest("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise InvalidRequest("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    label = spec.version_label if choice == "version_label" else None
    return model_spec(predictor, spec.name, version, label), spec.signature_name
