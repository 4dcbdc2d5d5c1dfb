"""Bodies of multi-model-server's dialect -> tensors of a typed model.

The originals hand a handler named bytes: the parts of a form, or one part `body`. Here the
signature says what they become (docs/protocols.md has the table):

    a part named as an input      that input; with one input and one part, whatever its name
    .npy                          the array as it is, of exactly the input's dtype
    JSON                          read by value, as TensorFlow Serving's bodies are
    a picture                     by the signature's `preprocess`, where it has one
    other bytes                   one string, for inputs that are strings

Rule 1: nothing is guessed: parts are never matched by position, types never cast.
Rule 2: an array of one dimension less than the input, where the first may be 1, is one item:
        it becomes a batch of one, and the answer then has no batch dimension either.
Rule 3: sizes are checked before anything is allocated; all problems are told at once.
"""

from __future__ import annotations

import io
import math
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.config import Limits
from gateway.core.dtypes import Array, Tensors, name_of
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import GatewayError, InvalidRequest, InvalidTensor, TooLarge
from gateway.protocols.json_elements import is_base64
from gateway.protocols.json_tensors import Decoder
from gateway.protocols.json_text import loads

MAX_PARTS = 1000
BODY = "body"  # the name that a body without parts has
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"BM")
# What numpy's reader of headers lets out, besides ValueError; TokenError for 9000 brackets.
_BROKEN_NPY = (ValueError, EOFError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
               RecursionError, MemoryError, tokenize.TokenError)  # fmt: skip
_NPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_EXPECTED = "expected JSON, a .npy file, or a picture where the model says how pictures go in"


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    body: bytes
    content_type: str = ""

    @property
    def is_picture(self) -> bool:
        webp = self.body[:4] == b"RIFF" and self.body[8:12] == b"WEBP"
        return self.body.startswith(_PICTURES) or webp or self.content_type.startswith("image/")

    @property
    def looks_like_json(self) -> bool:
        return "json" in self.content_type or self.body.lstrip()[:1] in (b"[", b"{")


def parts_of(content_type: bytes, body: bytes, query: bytes = b"") -> list[Part]:
    """The named bytes of a request. Errors: InvalidRequest, TooLarge."""
    found = _form(query) if query else []
    kind, options = parse_options_header(content_type)
    name = kind.decode("latin-1").lower()
    if name.startswith("multipart/"):
        found += _multipart(options.get(b"boundary", b""), body)
    elif name == "application/x-www-form-urlencoded" and not _no_form(body):
        found += _form(body)
    elif body or not found:
        found.append(Part(BODY, body, name))
    twice = sorted({part.name for part in found if sum(other.name == part.name for other in found) > 1})
    if twice:
        raise InvalidRequest(f"part {', '.join(map(repr, twice))} came more than once.")
    return found


def _no_form(body: bytes) -> bool:
    """curl -d calls whatever it sends a form: JSON, and a picture whose bytes cannot begin a field."""
    return body.lstrip()[:1] in (b"[", b"{") or (Part(BODY, body).is_picture and b"\0" in body[:64])


def _form(body: bytes) -> list[Part]:
    """Values are bytes, as they were before somebody escaped them: a string model may be sent any."""
    pairs = [pair.partition(b"=") for pair in body.split(b"&") if pair]
    if len(pairs) > MAX_PARTS:
        raise TooLarge(f"the form has more than {MAX_PARTS} fields.")
    return [Part(_unescaped(name).decode("utf-8", "replace"), _unescaped(value)) for name, _, value in pairs]


def _unescaped(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _multipart(boundary: bytes, body: bytes) -> list[Part]:
    if not boundary:
        raise InvalidRequest("the Content-Type multipart names no boundary.")
    found: list[Part] = []
    headers: dict[bytes, bytes] = {}
    field, value, data = bytearray(), bytearray(), bytearray()
    ended = False

    def header_end() -> None:
        headers[bytes(field).lower()] = bytes(value)
        field.clear()
        value.clear()

    def part_begin() -> None:
        headers.clear()
        data.clear()
        if len(found) >= MAX_PARTS:
            raise TooLarge(f"the form has more than {MAX_PARTS} parts.")

    def part_end() -> None:
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        kind, _ = parse_options_header(headers.get(b"content-type", b""))
        found.append(Part(name, bytes(data), kind.decode("latin-1").lower()))

    def end() -> None:
        nonlocal ended
        ended = True

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": part_begin,
            "on_part_data": lambda chunk, start, stop: data.extend(chunk[start:stop]),
            "on_part_end": part_end,
            "on_header_field": lambda chunk, start, stop: field.extend(chunk[start:stop]),
            "on_header_value": lambda chunk, start, stop: value.extend(chunk[start:stop]),
            "on_header_end": header_end,
            "on_end": end,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"the multipart body is malformed: {error}") from None
    if not ended:
        raise InvalidRequest("the multipart body ends before its closing boundary.")
    return found


# -- parts -> tensors ----------------------------------------------------------------------------


def tensors_of(parts: Sequence[Part], signature: Signature, limits: Limits) -> tuple[Tensors, bool]:
    """(inputs by name, whether they came as a batch). Errors: InvalidRequest, InvalidTensor, TooLarge."""
    specs = _asked(parts, signature)
    lone = parts[0] if len(parts) == 1 else None
    if lone is not None and lone.looks_like_json and not (lone.name != BODY and signature.input(lone.name)):
        whole = _whole(lone, signature, limits)
        if whole is not None:
            return whole
    wanted = {part.name: part for part in parts}
    if lone is not None and len(specs) == 1:
        wanted = {specs[0].name: lone}
    problems: list[str] = []
    arrays: Tensors = {}
    for spec in specs:
        part = wanted.pop(spec.name, None)
        if part is None and signature.missing:
            raise InvalidTensor(signature.missing)
        if part is None:
            problems.append(f"no part is named {spec.name!r}, which is {spec.dtype}")
            continue
        try:
            arrays[spec.name] = _array(part, spec, signature, limits)
        except TooLarge:
            raise
        except GatewayError as error:
            problems.append(f"part {part.name[:80]!r}: {error.explain()}")
    names = [spec.name for spec in specs]
    problems += [f"part {name!r} is no input of this model.{did_you_mean(name, names)}" for name in wanted]
    if problems:
        raise InvalidTensor("; ".join(problems), hint=f"The inputs are: {', '.join(map(str, specs))}.")
    return _items(arrays, specs)


def _asked(parts: Sequence[Part], signature: Signature) -> tuple[TensorSpec, ...]:
    """The inputs that this request has to bring, and the optional ones that it does."""
    names = {part.name for part in parts}
    return tuple(spec for spec in signature.inputs if not spec.optional or spec.name in names)


def _whole(part: Part, signature: Signature, limits: Limits) -> tuple[Tensors, bool] | None:
    """A JSON document for all inputs: {"instances" | "inputs": ...}, or an object by input names, or the value of the
    one input. None: it is a form's value for the one input."""
    value = loads(part.body, limits.max_json_depth)
    decoder = _decoder(signature, part.body, limits)
    names = {spec.name for spec in signature.inputs}
    if isinstance(value, dict) and not is_base64(value):
        if ("instances" in value or "inputs" in value) and not names & {"instances", "inputs"}:
            tensors, by_row = decoder.inputs(value)
            return (tensors, True) if by_row else _items(tensors, signature.inputs)
        unknown = [key for key in value if key not in names]
        if unknown:
            guess = did_you_mean(unknown[0], names)
            raise InvalidTensor(
                f"{', '.join(map(repr, unknown[:8]))} is no input of this model.{guess}",
                hint=f"The inputs are: {', '.join(map(str, signature.inputs))}.",
            )
    elif part.name != BODY and len(signature.required) > 1:
        return None
    tensors, _ = decoder.inputs({"inputs": value})
    return _items(tensors, signature.inputs)


def _decoder(signature: Signature, body: bytes, limits: Limits) -> Decoder:
    return Decoder(signature, limits, has_bools=b"true" in body or b"false" in body)


def _array(part: Part, spec: TensorSpec, signature: Signature, limits: Limits) -> Array:
    if part.body.startswith(_NPY):
        return _npy(part.body, spec, limits)
    if spec.dtype == "string" and not part.looks_like_json:
        rank = 1 if spec.shape is None else len(spec.shape)
        text = np.empty((1,) * max(rank - 1, 0), object)
        text[...] = part.body
        return text
    if part.is_picture:
        return _picture(part, spec, signature)
    if part.body.startswith(_ZIP):
        raise InvalidTensor(f"it is a zip (.npz?), {_EXPECTED}.", hint="Send each array as a part of its own.")
    if not part.body:
        raise InvalidTensor(f"it is empty, {_EXPECTED}.")
    try:
        value = loads(part.body, limits.max_json_depth)
    except InvalidRequest as error:
        raise InvalidTensor(f"{error.message}; {_EXPECTED}.") from None
    if isinstance(value, dict) and not is_base64(value):
        raise InvalidTensor("it is a JSON object, expected a number or nested lists of them.")
    one = Signature((spec,), ())
    return _decoder(one, part.body, limits).inputs({"inputs": value})[0][spec.name]


def _npy(body: bytes, spec: TensorSpec, limits: Limits) -> Array:
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format")
        shape, fortran, kind = read(file)
    except _BROKEN_NPY as error:
        raise InvalidTensor(f"its .npy header cannot be read: {error}.") from None
    count = math.prod(shape)
    if count > limits.max_elements:
        raise TooLarge(
            f"a tensor has {count} elements, expected at most {limits.max_elements}.", hint="limits.max_elements."
        )
    if kind.hasobject:
        raise InvalidTensor("its .npy holds Python objects, which are not read.", hint="Send strings as JSON.")
    data = memoryview(body)[file.tell() :]
    if len(data) != count * kind.itemsize or min(shape, default=0) < 0:
        raise InvalidTensor(
            f"its .npy holds {len(data)} bytes, its shape {list(shape)} of {kind} needs {count * kind.itemsize}."
        )
    array = np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C")
    if kind.byteorder == ">":
        array = array.astype(kind.newbyteorder("="))
    if kind.kind in "SU":
        raise InvalidTensor("its .npy holds fixed-width text, which pads with zeros.", hint="Send strings as JSON.")
    found = name_of(array)
    if found != spec.dtype:
        raise InvalidTensor(f"its .npy is {found}, expected {spec.dtype}; nothing is cast.")
    return array


def _picture(part: Part, spec: TensorSpec, signature: Signature) -> Array:
    from gateway import pictures  # an image library: paid by the first picture

    found = pictures.wanted(signature)
    if found is None or found[0].name != spec.name:
        raise InvalidTensor(
            f"it is a picture, and the model does not say how a picture becomes {spec}.",
            hint="Add a [preprocess] table to its model.toml (docs/model-toml.md), or send an array.",
        )
    item: Array = pictures.read(part.body, f"part {part.name[:80]!r}", found[1], spec)[0]
    return item


def _items(arrays: Tensors, specs: Sequence[TensorSpec]) -> tuple[Tensors, bool]:
    """Rule 2. Whether they came as a batch is False only if none of them did."""
    lifted: Tensors = {}
    batch = False
    for spec in specs:
        array = arrays.get(spec.name)
        if spec.optional or array is None:
            lifted |= {} if array is None else {spec.name: array}
        elif spec.shape and spec.shape[0] in (None, 1) and array.ndim == len(spec.shape) - 1:
            lifted[spec.name] = array[None]
        else:
            lifted[spec.name], batch = array, True
    return lifted, batch


def needs_thread(parts: Sequence[Part]) -> bool:
    """Decoding pictures takes milliseconds: not in the event loop."""
    return any(part.is_picture for part in parts)


def wanted_inputs(signature: Signature) -> dict[str, Any]:
    """JSON schema properties of a form for this model, for its OpenAPI page."""
    target = ""
    if signature.preprocess is not None:
        target = signature.preprocess["input"] or signature.inputs[0].name
    return {
        spec.name: {
            "type": "string",
            "format": "binary",
            "description": f"{spec}: JSON or .npy" + (", or a picture" if spec.name == target else ""),
        }
        for spec in signature.inputs
    }
