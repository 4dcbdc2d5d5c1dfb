"""TensorFlow Serving's gRPC API: PredictionService and ModelService, every method of theirs.

Methods are bytes -> nouns -> bytes; grpc.aio sits outside and gets generic handlers on raw
bytes. Here are Predict, GetModelMetadata and GetModelStatus; tfs_grpc_examples.py has those that
take tf.Examples, tfs_reload.py HandleReloadConfigRequest.

Rule 1: every call is observed once, with gRPC's name of its outcome.
Rule 2: the deadline of the call travels with it, and its cancellation is the task's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

import grpc

from gateway.config import Limits
from gateway.core.dtypes import Tensors, dtype
from gateway.core.signature import SERVING_DEFAULT, Signature
from gateway.errors import GatewayError, InvalidRequest, InvalidTensor, TooLarge, UnknownSignature, UnsupportedType
from gateway.protocols.ids import request_id_of
from gateway.protocols.pool import message
from gateway.protocols.status import status_of
from gateway.protocols.tensors import decode, encode, field
from gateway.protocols.tfs import SIGNATURE_DEF, dimensions, model_spec, unknown_signature, version_states
from gateway.protocols.tfs_call import Call, parse, spec_of
from gateway.protocols.tfs_grpc_examples import ExampleMethods
from gateway.protocols.tfs_metrics import TfsMetrics
from gateway.protocols.tfs_reload import ReloadMethod
from gateway.serving.control import Control
from gateway.serving.observe import Observe
from gateway.serving.predict import PredictCall, Predictor

PROTOCOL = "tfs-grpc"
COUNTED = frozenset({"Predict", "Classify", "Regress", "MultiInference"})
"""Methods that TensorFlow Serving's own metrics count; the original leaves MultiInference out."""

_ModelSpec = message("tensorflow.serving.ModelSpec")
_PredictRequest = message("tensorflow.serving.PredictRequest")
_MetadataRequest = message("tensorflow.serving.GetModelMetadataRequest")
_MetadataResponse = message("tensorflow.serving.GetModelMetadataResponse")
_StatusRequest = message("tensorflow.serving.GetModelStatusRequest")
_StatusResponse = message("tensorflow.serving.GetModelStatusResponse")
_SignatureDef = message("tensorflow.SignatureDef")
_SignatureDefMap = message("tensorflow.serving.SignatureDefMap")
_VersionStatus = message("tensorflow.serving.ModelVersionStatus")
_STATE = _VersionStatus.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_name
_CODE = message("tensorflow.serving.StatusProto").DESCRIPTOR.fields_by_name["error_code"].enum_type.values_by_name


Method = Callable[[bytes, Call], Awaitable[bytes]]


class TfsGrpc:
    """The two services. `content` answers with tensor_content instead of typed values."""

    def __init__(
        self,
        predictor: Predictor,
        control: Control,
        limits: Limits,
        observe: Observe,
        metrics: TfsMetrics,
        *,
        content: bool = False,
    ) -> None:
        self._predictor = predictor
        self._limits = limits
        self._observe = observe
        self._metrics = metrics
        self._content = content
        self._examples = ExampleMethods(predictor, limits)
        self._reload = ReloadMethod(control, metrics)

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        methods: dict[str, dict[str, Method]] = {
            "tensorflow.serving.PredictionService": {
                "Predict": self.predict,
                "Classify": self._examples.classify,
                "Regress": self._examples.regress,
                "MultiInference": self._examples.multi_inference,
                "GetModelMetadata": self.get_model_metadata,
            },
            "tensorflow.serving.ModelService": {
                "GetModelStatus": self.get_model_status,
                "HandleReloadConfigRequest": self._reload.reload,
            },
        }
        return [
            grpc.method_handlers_generic_handler(
                service,
                {name: grpc.unary_unary_rpc_method_handler(self._serve(name, m)) for name, m in table.items()},
            )
            for service, table in methods.items()
        ]

    def _serve(self, name: str, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def serve(body: bytes, context: Any) -> bytes:
            started = time.monotonic()
            remaining = context.time_remaining()
            seconds = self._limits.request_s if remaining is None else remaining
            request_id = request_id_of(next((v for k, v in context.invocation_metadata() if k == "x-request-id"), None))
            call = Call(started + seconds, request_id)
            code = "CANCELLED"
            try:
                context.set_trailing_metadata((("x-request-id", request_id),))
                answer = await method(body, call)
                code = "OK"
                return answer
            except asyncio.CancelledError:
                raise
            except Exception as error:
                status = status_of(error, request_id)
                code = status.name
                await context.abort(status.code, status.text)
                raise
            finally:
                seconds = time.monotonic() - started
                self._observe.request(
                    protocol=PROTOCOL,
                    model=call.model,
                    version=call.version,
                    code=code,
                    seconds=seconds,
                    request_id=request_id,
                )
                if name in COUNTED:
                    self._metrics.request(
                        model=call.model,
                        api=name,
                        entrypoint="GRPC",
                        code=code,
                        seconds=seconds,
                        run_s=call.run_s,
                        examples=call.examples,
                    )

        return serve

    async def predict(self, body: bytes, call: Call) -> bytes:
        request = parse(_PredictRequest, body)
        spec, signature = spec_of(self._predictor, request)
        wanted = signature or SERVING_DEFAULT
        try:
            lease = self._predictor.lease(spec, wanted)
        except UnknownSignature as error:
            call.model = spec.name
            raise unknown_signature(error, f'Serving signature key "{wanted}" not found.') from None
        with lease:
            call.model, call.version = lease.model, lease.version
            outputs = _output_filter(request, lease.signature)
            inputs = self._inputs(request.inputs, lease.signature)
            ran = time.monotonic()
            response = await lease.predict(PredictCall(inputs, outputs, call.deadline, call.request_id))
            call.run_s = time.monotonic() - ran
            answer = [
                field(1, field(1, name.encode()) + field(2, encode(array, content=self._content)))
                for name, array in response.outputs.items()
            ]
            answer.append(_answered_by(response.model, response.version, response.signature))
            return b"".join(answer)

    def _inputs(self, protos: Any, signature: Signature) -> Tensors:
        known = {spec.name for spec in signature.inputs}
        if not protos.keys() <= known or any(spec.name not in protos for spec in signature.required):
            raise _names_differ(
                set(protos), known - {s.name for s in signature.inputs if s.optional} | set(protos) & known
            )
        tensors: Tensors = {}
        for name, proto in protos.items():
            try:
                tensors[name] = decode(proto, self._limits.max_message_bytes)
            except (InvalidTensor, TooLarge, UnsupportedType) as error:
                raise type(error)(f"tensor parsing error: {name}: {error.message}", hint=error.hint) from None
            if tensors[name].size > self._limits.max_elements:
                raise TooLarge(
                    f"tensor parsing error: {name}: {tensors[name].size} elements, "
                    f"expected at most {self._limits.max_elements}.",
                    hint="The limit is limits.max_elements.",
                )
        return tensors

    async def get_model_metadata(self, body: bytes, call: Call) -> bytes:
        request = parse(_MetadataRequest, body)
        spec, _ = spec_of(self._predictor, request)
        if not request.metadata_field:
            raise InvalidRequest("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != SIGNATURE_DEF:
                raise InvalidRequest(f"Metadata field {name} is not supported")
        call.model, call.version, signatures = self._predictor.signatures(spec)
        found = _SignatureDefMap()
        for key, signature in signatures.items():
            found.signature_def[key].CopyFrom(_signature_def(signature))
        response = _MetadataResponse()
        response.model_spec.name = call.model
        response.model_spec.version.value = call.version
        packed = response.metadata[SIGNATURE_DEF]
        packed.type_url = f"type.googleapis.com/{found.DESCRIPTOR.full_name}"
        packed.value = found.SerializeToString()
        return bytes(response.SerializeToString())

    async def get_model_status(self, body: bytes, call: Call) -> bytes:
        request = parse(_StatusRequest, body)
        if not request.HasField("model_spec"):
            raise InvalidRequest("Missing ModelSpec")
        given = request.model_spec
        spec = model_spec(self._predictor, given.name, given.version.value if given.HasField("version") else None)
        response = _StatusResponse()
        for number, state, code, text in version_states(self._predictor, spec.name, spec.version):
            entry = response.model_version_status.add(version=number, state=_STATE[state].number)
            entry.status.error_code = _CODE[code].number
            entry.status.error_message = text
        call.model, call.version = spec.name, spec.version
        return bytes(response.SerializeToString())


def _output_filter(request: Any, signature: Signature) -> tuple[str, ...]:
    wanted = tuple(request.output_filter)
    known = [spec.name for spec in signature.outputs] if wanted else []
    for at, alias in enumerate(wanted):
        if alias not in known:
            raise InvalidTensor(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(sorted(known))}}}."
            )
        if alias in wanted[:at]:
            raise InvalidTensor(f"duplicate output tensor alias: {alias}")
    return wanted


def _names_differ(sent: set[str], known: set[str]) -> GatewayError:
    def listing(names: set[str]) -> str:
        return ",".join(sorted(names))

    if len(sent) == len(known):
        return InvalidTensor(
            f"input tensor alias not found in signature: {listing(sent - known)}. "
            f"Inputs expected to be in the set {{{listing(known)}}}."
        )
    return InvalidTensor(
        f"input size does not match signature: {len(sent)}!={len(known)} len({{{listing(sent)}}}) != "
        f"len({{{listing(known)}}}). Sent extra: {{{listing(sent - known)}}}. "
        f"Missing but required: {{{listing(known - sent)}}}."
    )


@lru_cache(maxsize=1024)
def _answered_by(model: str, version: int, signature: str) -> bytes:
    """PredictResponse.model_spec, the same for every answer of a version."""
    spec = _ModelSpec(name=model, signature_name=signature)
    spec.version.value = version
    return field(2, bytes(spec.SerializeToString()))


def _signature_def(signature: Signature) -> Any:
    proto = _SignatureDef(method_name=signature.method)
    for specs, infos in ((signature.inputs, proto.inputs), (signature.outputs, proto.outputs)):
        for spec in specs:
            info = infos[spec.name]
            info.name = spec.tensor
            info.dtype = dtype(spec.dtype).tensorflow
            info.tensor_shape.unknown_rank = spec.shape is None
            for size, name in dimensions(spec):
                info.tensor_shape.dim.add(size=size, name=name)
    return proto
