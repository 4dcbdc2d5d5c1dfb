"""KServe v2 and Triton behind both transports: one object that each hands its calls to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.config import Settings
from gateway.errors import InvalidRequest, ModelNotFound, UnsupportedType
from gateway.protocols import kserve
from gateway.protocols.kserve_config import model_config
from gateway.protocols.kserve_infer import Inference
from gateway.protocols.kserve_repository import ModelRepository
from gateway.protocols.kserve_settings import LogSettings, Tracer, Value
from gateway.protocols.shared_memory import SharedMemory
from gateway.serving.control import Control
from gateway.serving.observe import Observe
from gateway.serving.predict import Predictor


class KServe:
    """What gRPC and REST share. Lives in one event loop."""

    def __init__(self, predictor: Predictor, settings: Settings, observe: Observe, control: Control) -> None:
        self.predictor = predictor
        self.repository = ModelRepository(predictor, control)
        self.limits = settings.limits
        self.observe = observe
        self.memory = SharedMemory(allowed=settings.shared_memory)
        self.tracer = Tracer()
        self.log = LogSettings()
        self.inference = Inference(predictor, self.tracer, settings.limits.max_elements)
        self._max_rows = settings.batch.max_rows

    @property
    def ready(self) -> bool:
        return self.predictor.ready

    def metadata(self) -> dict[str, Any]:
        return kserve.server_metadata(shared_memory=self.memory.allowed)

    def config(self, name: str, version: str) -> dict[str, Any]:
        """ModelConfig in protobuf's JSON form with proto names. Errors: ModelNotFound, ModelNotReady."""
        number, signature = kserve.signature_of(self.predictor, name, version)
        described = self.predictor.describe(name, number)
        return model_config(name, signature, described, self._max_rows)

    def statistics(self, name: str, version: str) -> dict[str, Any]:
        """Errors: InvalidRequest for an unknown model (Triton's code for it here), ModelNotReady."""
        try:
            return kserve.statistics(self.predictor, name, version)
        except ModelNotFound as error:
            raise InvalidRequest(f"requested model '{name[:256]}' is not available", hint=error.hint) from None

    def trace(self, model: str, given: Mapping[str, Value]) -> dict[str, Any]:
        """Trace settings after `given` was taken over. Errors: InvalidRequest, UnsupportedType."""
        if model:
            try:
                self.predictor.status(model)
            except ModelNotFound as error:
                raise InvalidRequest(f"Request for unknown model : {model[:256]}", hint=error.hint) from None
        if given:
            self.tracer.update(given, model)
        return self.tracer.settings(model)

    def cuda_register(self) -> None:
        raise UnsupportedType(
            "CUDA shared memory is not served.", hint="Send tensors in the request, or by system shared memory."
        )

    def cuda_status(self, name: str) -> dict[str, Any]:
        """Nothing can be registered: there is nothing to show. Errors: ModelNotFound for a named region."""
        if name:
            raise ModelNotFound(f"Unable to find cuda shared memory region: '{name[:256]}'")
        return {}
