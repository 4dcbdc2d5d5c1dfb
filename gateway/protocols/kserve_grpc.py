"""KServe v2 over gRPC with Triton's extensions: inference.GRPCInferenceService.

Methods are bytes -> nouns -> bytes on generic handlers; messages come from the private pool.

Rule 1: every inference is observed once, with gRPC's name of its outcome; those of a stream too.
Rule 2: a stream answers in the order of its requests while later ones already run; an error is
        the answer of its request, and the stream goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from gateway.core.dtypes import Array, DType, dtype, name_of
from gateway.errors import InvalidRequest, InvalidTensor, UnsupportedType
from gateway.protocols import kserve
from gateway.protocols.ids import request_id_of
from gateway.protocols.kserve import kserve_status
from gateway.protocols.kserve_data import from_contents, from_raw, shape_of, to_raw
from gateway.protocols.kserve_infer import Answer, Call, InferRequest, Input, Wanted
from gateway.protocols.kserve_service import KServe
from gateway.protocols.pool import message
from gateway.protocols.status import Status
from gateway.protocols.tensors import field, varint

PROTOCOL = "kserve-grpc"
SERVICE = "inference.GRPCInferenceService"
STREAM_DEPTH = 64  # requests of one stream that run or wait at a time; further ones are not read

_InferRequest = message("inference.ModelInferRequest")
_StreamResponse = message("inference.ModelStreamInferResponse")
_Parameter = message("inference.InferParameter")
_FINAL = field(4, field(1, b"triton_final_response") + field(2, bytes(_Parameter(bool_param=True).SerializeToString())))
"""ModelInferResponse.parameters of every answer in a stream: there is one answer to a request, and it is the last."""

Method = Callable[[bytes, Call], Awaitable[bytes]]


class KServeGrpc:
    """The service over a KServe."""

    def __init__(self, service: KServe) -> None:
        self._service = service

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        methods: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(self._serve(method)) for name, method in self._methods().items()
        }
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        return [grpc.method_handlers_generic_handler(SERVICE, methods)]

    def _methods(self) -> dict[str, Method]:
        service = self._service
        plain: dict[str, Callable[[Any], Any]] = {
            "ServerLive": lambda _: {"live": True},
            "ServerReady": lambda _: {"ready": service.ready},
            "ModelReady": lambda r: {"ready": kserve.is_ready(service.predictor, r.name, r.version)},
            "ServerMetadata": lambda _: service.metadata(),
            "ModelMetadata": lambda r: kserve.model_metadata(service.predictor, r.name, r.version),
            "ModelConfig": lambda r: {"config": service.config(r.name, r.version)},
            "ModelStatistics": lambda r: service.statistics(r.name, r.version),
            "TraceSetting": self._trace,
            "LogSettings": self._log,
            "SystemSharedMemoryStatus": lambda r: {
                "regions": {one.name: one.to_json() for one in service.memory.status(r.name)}
            },
            "SystemSharedMemoryRegister": lambda r: service.memory.register(r.name, r.key, r.offset, r.byte_size),
            "SystemSharedMemoryUnregister": lambda r: service.memory.unregister(r.name),
            "CudaSharedMemoryStatus": lambda r: service.cuda_status(r.name),
            "CudaSharedMemoryRegister": lambda _: service.cuda_register(),
            "CudaSharedMemoryUnregister": lambda _: {},
        }
        methods = {name: _plain(name, _without_call(call)) for name, call in plain.items()}
        methods |= {name: _plain(name, call) for name, call in self._repository().items()}
        return {**methods, "ModelInfer": self.infer}

    def _repository(self) -> dict[str, Callable[[Any, Call], Any]]:
        repository = self._service.repository
        return {
            "RepositoryIndex": lambda r, _: {"models": repository.index(r.repository_name, ready=r.ready)},
            "RepositoryModelLoad": lambda r, call: repository.load(
                r.repository_name, r.model_name, _parameters(r.parameters), call.own_deadline
            ),
            "RepositoryModelUnload": lambda r, call: repository.unload(
                r.repository_name, r.model_name, _parameters(r.parameters), call.own_deadline
            ),
        }

    def _serve(self, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def serve(body: bytes, context: Any) -> bytes:
            call = self._call(context)
            context.set_trailing_metadata((("x-request-id", call.request_id),))
            answer, status = await self._observed(method, body, call)
            if status is not None:
                await context.abort(status.code, status.text)
            return answer

        return serve

    def _call(self, context: Any) -> Call:
        started, remaining = time.monotonic(), context.time_remaining()
        limit = self._service.limits.request_s
        given = next((value for key, value in context.invocation_metadata() if key == "x-request-id"), None)
        call = Call(started + (limit if remaining is None else remaining), request_id_of(given))
        call.own_deadline = None if remaining is None else call.deadline
        return call

    async def _observed(self, method: Method, body: bytes, call: Call) -> tuple[bytes, Status | None]:
        """(answer, None) or (b"", what went wrong); tells the observer."""
        started, code = time.monotonic(), "CANCELLED"
        try:
            answer = await method(body, call)
            code = "OK"
            return answer, None
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  status_of logs what nobody expected
            status = kserve_status(error, call.request_id)
            code = status.name
            return b"", status
        finally:
            self._service.observe.request(
                protocol=PROTOCOL,
                model=call.model,
                version=call.version,
                code=code,
                seconds=time.monotonic() - started,
                request_id=call.request_id,
            )

    # -- inference

    async def infer(self, body: bytes, call: Call) -> bytes:
        proto = _parse(_InferRequest, body)
        answer = await self._infer(proto, call)
        return b"".join(_response(answer, proto.id))

    async def _infer(self, proto: Any, call: Call) -> Answer:
        request = InferRequest(proto.model_name, proto.model_version, proto.id)
        if proto.parameters:
            request.parameters = _parameters(proto.parameters)
        request.wanted = [self._wanted(output) for output in proto.outputs]
        return await self._service.inference.run(request, call, lambda _: self._inputs(proto))

    def _inputs(self, proto: Any) -> list[Input]:
        raw = proto.raw_input_contents
        model, found, at = proto.model_name, [], 0
        for tensor in proto.inputs:
            shape = shape_of(list(tensor.shape), tensor.name)
            window = None
            if tensor.parameters:
                window = self._service.memory.window(_parameters(tensor.parameters), f"input '{tensor.name}'")
            if window is not None:
                read = _reader(from_raw, window.read(), shape, tensor.name, model)
            elif raw:
                if tensor.HasField("contents"):
                    raise InvalidTensor(
                        "contents field must not be specified when using raw_input_contents for "
                        f"'{tensor.name}' for model '{model}'"
                    )
                if at >= len(raw):
                    raise InvalidTensor(
                        f"unable to find data for input tensor '{tensor.name}' for model '{model}' in request: "
                        f"raw_input_contents has {len(raw)} entries."
                    )
                read = _reader(from_raw, raw[at], shape, tensor.name, model)
                at += 1
            else:
                read = _reader(from_contents, tensor.contents, shape, tensor.name, model)
            found.append(Input(tensor.name, tensor.datatype, shape, read))
        if at < len(raw):
            raise InvalidTensor(
                f"raw_input_contents has {len(raw)} entries for model '{model}', expected {at}: one for each input."
            )
        return found

    def _wanted(self, output: Any) -> Wanted:
        if not output.parameters:
            return Wanted(output.name)
        parameters = _parameters(output.parameters)
        window = self._service.memory.window(parameters, f"output '{output.name}'")
        return Wanted(output.name, classes_of(parameters, output.name), None, window)

    # -- the stream

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        running: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(STREAM_DEPTH)

        async def read() -> None:
            try:
                async for body in requests:
                    await running.put(asyncio.create_task(self._stream_answer(body, self._call(context))))
            finally:
                await running.put(None)

        reader = asyncio.create_task(read())
        try:
            while (task := await running.get()) is not None:
                yield await task
        finally:
            reader.cancel()
            while not running.empty():
                if (task := running.get_nowait()) is not None:
                    task.cancel()

    async def _stream_answer(self, body: bytes, call: Call) -> bytes:
        name = ""

        async def answer(body: bytes, call: Call) -> bytes:
            nonlocal name
            proto = _parse(_InferRequest, body)
            name = proto.id
            found = await self._infer(proto, call)
            return field(2, b"".join(_response(found, name, _FINAL)))

        found, status = await self._observed(answer, body, call)
        if status is None:
            return found
        response = _StreamResponse(error_message=status.text)
        response.infer_response.id = name  # so that the client knows which request failed
        return bytes(response.SerializeToString())

    # -- settings

    def _trace(self, request: Any) -> dict[str, Any]:
        given = {key: list(value.value) or None for key, value in request.settings.items()}
        found = self._service.trace(request.model_name, given)
        texts = {key: value if isinstance(value, list) else [value] for key, value in found.items()}
        return {"settings": {key: {"value": value} for key, value in texts.items()}}

    def _log(self, request: Any) -> dict[str, Any]:
        given = {
            key: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
            for key, value in request.settings.items()
        }
        self._service.log.update(given)
        kinds = {bool: "bool_param", int: "uint32_param", str: "string_param"}
        found = self._service.log.settings()
        return {"settings": {key: {kinds[type(value)]: value} for key, value in found.items()}}


def _without_call(method: Callable[[Any], Any]) -> Callable[[Any, Call], Any]:
    return lambda request, _: method(request)


def _plain(name: str, method_of: Callable[[Any, Call], Any]) -> Method:
    """A method whose answer is small: a dict in protobuf's JSON form, or None for an empty message."""
    kind, answer_kind = message(f"inference.{name}Request"), message(f"inference.{name}Response")

    async def method(body: bytes, call: Call) -> bytes:
        answer = method_of(_parse(kind, body), call)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return bytes(json_format.ParseDict(answer or {}, answer_kind()).SerializeToString())

    return method


def _parse(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise InvalidRequest(f"the message is not a {kind.DESCRIPTOR.full_name}: {error}") from None


def _parameters(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in given.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is not None:
            found[key] = getattr(value, choice)
    return found


def classes_of(parameters: Any, name: str) -> int:
    """The parameter `classification`: 0 without it. Errors: InvalidTensor."""
    count = parameters.get("classification", 0)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise InvalidTensor(
            f"output '{name}': the parameter classification is {count!r:.80}, expected a whole number of classes."
        )
    return count


def _reader(
    decode: Callable[[Any, DType, tuple[int, ...], str, str], Array],
    data: Any,
    shape: tuple[int, ...],
    name: str,
    model: str,
) -> Callable[[DType], Array]:
    return lambda row: decode(data, row, shape, name, model)


def _response(answer: Answer, name: str, more: bytes = b"") -> list[bytes | memoryview]:
    """The fields of ModelInferResponse, to be joined once: the numbers never become Python objects."""
    parts: list[bytes | memoryview] = [_answered_by(answer.model, answer.version)]
    if name:
        parts.append(_field(3, name.encode()))
    parts.append(more)
    raw: list[bytes | memoryview] = []
    for output in answer.outputs:
        row = dtype(name_of(output.array))
        if not row.kserve:
            raise UnsupportedType(f"output '{output.name}' is {row.name}, which this protocol does not carry.")
        data = to_raw(output.array)
        window = output.wanted.window
        if window is None:
            parts.append(_field(5, _declared(output.name, row.kserve, output.array.shape)))
        else:
            window.write(data, output.name)
            parts.append(_field(5, _shared(output, row.kserve, len(data))))
            data = b""
        raw += (b"\x32", varint(len(data)), data)
    return parts + raw


def _field(number: int, payload: bytes) -> bytes:
    return field(number, payload)


@lru_cache(maxsize=1024)
def _answered_by(model: str, version: int) -> bytes:
    return field(1, model.encode()) + field(2, str(version).encode())


@lru_cache(maxsize=4096)
def _declared(name: str, kind: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(varint(size) for size in shape)
    return field(1, name.encode()) + field(2, kind.encode()) + (field(3, sizes) if sizes else b"")


def _shared(output: Any, kind: str, size: int) -> bytes:
    window = output.wanted.window
    values = {"shared_memory_region": _Parameter(string_param=window.region.name)}
    values["shared_memory_byte_size"] = _Parameter(int64_param=size)
    if window.offset:
        values["shared_memory_offset"] = _Parameter(int64_param=window.offset)
    found = _declared(output.name, kind, output.array.shape)
    for key, value in values.items():
        found += field(4, field(1, key.encode()) + field(2, bytes(value.SerializeToString())))
    return found
