"""The body of an inference over REST -> inputs, and outputs -> a body: JSON, the binary extension, raw.

    {"inputs": [{"name", "shape", "datatype", "data" | "parameters": {"binary_data_size"}}], "outputs"?: [...]}

With the header Inference-Header-Content-Length the JSON has that many bytes and the tensors of
inputs with `binary_data_size` follow it in order; 0 means that the body is one raw tensor.

Rule 1: `data` is flat in row-major order or nested exactly as `shape` says. (Triton flattens
        whatever nesting there is.)
Rule 2: strings are UTF-8 text; {"b64": "..."} and the parameter content_type = "base64" carry
        any bytes. What cannot be said in JSON (FP16, BF16, other bytes) is refused, with the way out.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from gateway.core.dtypes import Array, DType, dtype, name_of
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import InvalidRequest, InvalidTensor, UnsupportedType
from gateway.protocols.http import Request, Response
from gateway.protocols.json_tensors import Decoder
from gateway.protocols.json_text import loads, numbers, quote
from gateway.protocols.kserve_data import as_objects, from_raw, shape_of, to_raw
from gateway.protocols.kserve_infer import Answer, InferRequest, Input, Output, Wanted
from gateway.protocols.kserve_service import KServe

HEADER_LENGTH = b"inference-header-content-length"
_HALF = ("FP16", "BF16")


@dataclass(slots=True)
class Decoded:
    """`binary` is how all outputs leave when none is named."""

    request: InferRequest
    inputs: Callable[[Signature], Sequence[Input]]
    binary: bool = False


def decode(request: Request, model: str, version: str, service: KServe) -> Decoded:
    """Errors: InvalidRequest, InvalidTensor, TooLarge; those of the tensors come when they are read."""
    body, size = request.body, _header_length(request)
    if size == 0:
        return Decoded(InferRequest(model, version), lambda signature: [_raw_input(body, signature, model)], True)
    document = loads(body if size is None else body[:size], service.limits.max_json_depth)
    if not isinstance(document, dict):
        raise InvalidRequest(f"the request is {quote(document)}, expected a JSON object with 'inputs'.")
    rest = memoryview(body)[len(body) if size is None else size :]
    found = InferRequest(model, version)
    name = document.get("id", "")
    found.id = name if isinstance(name, str) else quote(name)
    found.parameters = _mapping(document, "the request")
    binary = found.parameters.get("binary_data_output", False)
    if not isinstance(binary, bool):
        raise InvalidRequest(f"the parameter binary_data_output is {quote(binary)}, expected true or false.")
    found.wanted = [_wanted(one, service) for one in _objects(document, "outputs")]
    text = body if size is None else body[:size]
    has_bools = text.count(b"true") + text.count(b"false") > _bools_said(document)
    inputs = _Inputs(document, rest, model, service, has_bools)
    return Decoded(found, inputs.all, binary and not found.wanted)  # as Triton: only where no output is named


def _bools_said(document: dict[str, Any]) -> int:
    """Bools in parameters: those are not in the data, where numpy would take them for numbers."""
    found = [document, *document.get("outputs", ()), *_objects(document, "inputs")]
    return sum(isinstance(value, bool) for one in found for value in _mapping(one, "the request").values())


def _header_length(request: Request) -> int | None:
    given = request.headers.get(HEADER_LENGTH)
    if given is None:
        return None
    size, text = len(request.body), given.decode("latin-1")
    if not given.isdigit() or int(given[:20]) > size:
        raise InvalidRequest(f"inference header size should be in range (0, {size}), got: {text[:32]}")
    return int(given)


def _raw_input(body: bytes, signature: Signature, model: str) -> Input:
    """The whole body as the one input of a model: its shape follows from the number of bytes."""
    if len(signature.inputs) != 1:
        raise InvalidTensor(
            f"Raw request must only have 1 input (found 1) to be deduced but got {len(signature.inputs)} inputs "
            f"in '{model}' model configuration"
        )
    (spec,) = signature.inputs
    row = dtype(spec.dtype)
    if row.kind == "s":
        shape = (1,) * len(spec.shape or (1,))
        return Input(spec.name, row.kserve, shape, lambda _: as_objects([body], shape))
    shape = _deduced(spec, len(body) // max(row.bits // 8, 1), model)
    return Input(spec.name, row.kserve, shape, lambda row: from_raw(body, row, shape, spec.name, model))


def _deduced(spec: TensorSpec, count: int, model: str) -> tuple[int, ...]:
    """One free dimension takes what is left; with more, the first is a batch of 1."""
    if spec.shape is None:
        return (count,)
    known = list(spec.shape)
    free = [at for at, size in enumerate(known) if size is None]
    if len(free) > 1 and free[0] == 0:
        known[0] = 1
        free = free[1:]
    if len(free) > 1:
        raise InvalidTensor(
            f"the shape of input '{spec.name}' for model '{model}' has {len(free)} free dimensions and cannot be "
            "deduced from a raw body.",
            hint="Send JSON with `shape`, and the bytes after it.",
        )
    if free:
        rest = math.prod(size for size in known if size is not None)
        known[free[0]] = count // rest if rest else 0
    return tuple(size or 0 for size in known)


class _Inputs:
    """The inputs of a JSON document; binary ones lie one after the other behind it."""

    def __init__(self, document: dict[str, Any], rest: memoryview, model: str, service: KServe, bools: bool) -> None:
        self._document = document
        self._rest = rest
        self._model = model
        self._service = service
        self._bools = bools

    def all(self, signature: Signature) -> list[Input]:
        if "inputs" not in self._document:
            raise InvalidRequest("Unable to parse 'inputs': the request has no 'inputs'.")
        decoder = Decoder(signature, self._service.limits, has_bools=self._bools)
        found = [self._one(one, decoder) for one in _objects(self._document, "inputs")]
        if len(self._rest):
            raise InvalidRequest(
                f"unexpected additional input data for model '{self._model}': {len(self._rest)} bytes more than the "
                "binary_data_size of its inputs add up to."
            )
        return found

    def _one(self, given: dict[str, Any], decoder: Decoder) -> Input:
        for key in ("name", "datatype", "shape"):
            if key not in given:
                raise InvalidRequest(f"Unable to parse '{key}': an input has no '{key}': {quote(given)}")
        name, kind = given["name"], given["datatype"]
        if not isinstance(name, str) or not isinstance(kind, str):
            raise InvalidRequest(f"name and datatype of an input are text, found {quote(name)} and {quote(kind)}.")
        shape = shape_of(given["shape"], name)
        parameters = _mapping(given, f"input '{name}'")
        size, window = parameters.get("binary_data_size"), self._service.memory.window(parameters, f"input '{name}'")
        sources = {
            "'data'": "data" in given,
            "'binary_data_size' in 'parameters'": size is not None,
            "'shared_memory_region' in 'parameters'": window is not None,
        }
        if sum(sources.values()) != 1:
            there = " ".join(key.partition(" ")[0] for key, is_set in sources.items() if is_set)
            raise InvalidTensor(
                f"Input must set only one of the following fields: {', '.join(sources)}. "
                + (f"But set {there}" if there else "But no field is set"),
                hint=f"It is input '{name}'.",
            )
        if window is not None:
            return Input(name, kind, shape, _raw_reader(window.read(), shape, name, self._model))
        if size is not None:
            return Input(name, kind, shape, _raw_reader(self._take(name, size), shape, name, self._model))
        data, coding = given["data"], parameters.get("content_type")
        return Input(name, kind, shape, lambda row: _from_json(data, row, shape, name, decoder, coding))

    def _take(self, name: str, size: Any) -> memoryview:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InvalidTensor(f"input '{name}': binary_data_size is {quote(size)}, expected a number of bytes.")
        if size > len(self._rest):
            raise InvalidTensor(
                f"unexpected size for input '{name}', expecting {size - len(self._rest)} additional bytes "
                f"for model '{self._model}'"
            )
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _raw_reader(data: bytes | memoryview, shape: tuple[int, ...], name: str, model: str) -> Callable[[DType], Array]:
    return lambda row: from_raw(data, row, shape, name, model)


def _from_json(data: Any, row: DType, shape: tuple[int, ...], name: str, decoder: Decoder, coding: Any) -> Array:
    if row.kserve in _HALF:
        raise InvalidTensor(
            f"receiving {row.kserve} data via JSON is not supported. Please use the binary data format for input {name}"
        )
    if not isinstance(data, list):
        data = [data]
    if row.kind == "s" and coding == "base64":
        return _from_base64(data, shape, name)
    try:
        found = decoder.tensor(data, TensorSpec(name, row.name, None))
    except InvalidTensor as error:
        raise InvalidTensor(f"Unable to parse 'data' of input '{name}': {error.message}", hint=error.hint) from None
    except UnsupportedType as error:
        raise InvalidTensor(f"input '{name}': {error.message}", hint=error.hint) from None
    return _shaped(found, shape, name)


def _shaped(found: Array, shape: tuple[int, ...], name: str) -> Array:
    if found.size != math.prod(shape):
        raise InvalidTensor(
            f"Unable to parse 'data': Shape does not match true shape of 'data' field: input '{name}' has "
            f"{found.size} values, expected {math.prod(shape)} for shape {list(shape)}"
        )
    if found.ndim > 1 and found.shape != shape:
        raise InvalidTensor(
            f"Unable to parse 'data': input '{name}' is nested as {list(found.shape)}, but its shape is {list(shape)}.",
            hint="Nest it as the shape says, or send it flat in row-major order.",
        )
    return found.reshape(shape)


def _from_base64(data: list[Any], shape: tuple[int, ...], name: str) -> Array:
    flat: list[Any] = list(np.array(data, dtype=object).reshape(-1)) if data else []
    items: list[bytes] = []
    for item in flat:
        try:
            items.append(base64.b64decode(item, validate=True))
        except (binascii.Error, TypeError, ValueError):
            raise InvalidTensor(f"input '{name}': {quote(item)} is not base64, as its content_type says.") from None
    return _shaped(as_objects(items, (len(items),)), shape, name)


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InvalidRequest(f"Unable to parse '{key}': {quote(found)} is not a list of objects.")
    return found


def _mapping(document: dict[str, Any], what: str) -> Mapping[str, Any]:
    found = document.get("parameters", {})
    if not isinstance(found, dict):
        raise InvalidRequest(f"Unable to parse 'parameters' of {what}: {quote(found)} is not an object.")
    return found


def _wanted(given: dict[str, Any], service: KServe) -> Wanted:
    name = given.get("name")
    if not isinstance(name, str):
        raise InvalidRequest(f"Unable to parse 'name': an output has no 'name': {quote(given)}")
    parameters = _mapping(given, f"output '{name}'")
    binary, classes = parameters.get("binary_data"), parameters.get("classification", 0)
    if binary is not None and not isinstance(binary, bool):
        raise InvalidRequest(f"output '{name}': binary_data is {quote(binary)}, expected true or false.")
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 0:
        raise InvalidRequest(f"output '{name}': classification is {quote(classes)}, expected a number of classes.")
    return Wanted(name, classes, binary, service.memory.window(parameters, f"output '{name}'"))


# -- out


def encode(answer: Answer, decoded: Decoded) -> Response:
    """JSON, or JSON with the binary outputs behind it. Errors: InvalidTensor for what JSON cannot say."""
    raw: list[bytes | memoryview] = []
    outputs: list[bytes] = []
    for output in answer.outputs:
        wanted = output.wanted
        if wanted.window is None and wanted.binary is None:
            output.wanted = replace(wanted, binary=decoded.binary)
        outputs.append(_output(output, raw))
    head: dict[str, Any] = {"id": decoded.request.id} if decoded.request.id else {}
    head |= {"model_name": answer.model, "model_version": str(answer.version)}
    text = orjson.dumps(head)[:-1] + b',"outputs":[' + b",".join(outputs) + b"]}"
    if not raw:
        return Response(text)
    length = (HEADER_LENGTH, str(len(text)).encode())
    return Response(b"".join([text, *raw]), content_type=b"application/octet-stream", headers=(length,))


def _output(output: Output, raw: list[bytes | memoryview]) -> bytes:
    array, wanted = output.array, output.wanted
    row = dtype(name_of(array))
    if not row.kserve:
        raise UnsupportedType(f"output '{output.name}' is {row.name}, which this protocol does not carry.")
    head = orjson.dumps({"name": output.name, "datatype": row.kserve, "shape": list(array.shape)})[:-1]
    if wanted.window is not None:
        data = to_raw(array)
        wanted.window.write(data, output.name)
        said: dict[str, Any] = {"shared_memory_region": wanted.window.region.name}
        said |= {"shared_memory_offset": wanted.window.offset} if wanted.window.offset else {}
        return head + b',"parameters":' + orjson.dumps(said | {"shared_memory_byte_size": len(data)}) + b"}"
    if wanted.binary:
        data = to_raw(array)
        raw.append(data)
        return head + b',"parameters":{"binary_data_size":%d}}' % len(data)
    return head + b',"data":' + _json(array, row, output.name) + b"}"


def _json(array: Array, row: DType, name: str) -> bytes:
    if row.kserve in _HALF:
        raise InvalidTensor(
            f"sending {row.kserve} data via JSON is not supported. Please use the binary data format for output {name}"
        )
    flat = array.reshape(-1)
    if row.kind != "s":
        return numbers(flat)
    try:
        return orjson.dumps([item.decode() if isinstance(item, bytes) else str(item) for item in flat])
    except UnicodeDecodeError:
        raise InvalidTensor(
            f"output '{name}' has bytes that are not UTF-8, which JSON cannot carry.",
            hint="Ask for it with binary_data = true.",
        ) from None
