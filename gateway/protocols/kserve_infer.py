"""One inference of KServe v2, whatever the transport: checked, decoded, run, classified.

A transport says where the bytes of each input are (`Input.read`) and how each output is wanted
(`Wanted`); all checks and all words are here, once.

Rule 1: names, datatypes and shapes are checked before any value is decoded, and every problem
        is reported together.
Rule 2: outputs leave in the order of the model, as Triton orders them, whatever was asked first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gateway.core.dtypes import BY_KSERVE, Array, DType, Tensors, dtype
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import DeadlineExceeded, InvalidTensor, TooLarge, UnsupportedType
from gateway.protocols.kserve import datatype, expired, lease_of, sizes
from gateway.protocols.kserve_data import as_objects
from gateway.protocols.kserve_settings import Tracer
from gateway.protocols.options import options_of
from gateway.protocols.shared_memory import Window
from gateway.serving.predict import Lease, PredictCall, Predictor

SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_NOTHING: Mapping[str, Any] = {}


@dataclass(slots=True)
class Input:
    """One input as declared; `read(row)` decodes its bytes as that dtype. Errors of it: InvalidTensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    read: Callable[[DType], Array]


@dataclass(slots=True)
class Wanted:
    """One output as asked for: `classes` > 0 asks for the best ones, `window` is shared memory to write to."""

    name: str
    classes: int = 0
    binary: bool | None = None
    window: Window | None = None


@dataclass(slots=True)
class InferRequest:
    model: str
    version: str
    id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    wanted: list[Wanted] = field(default_factory=list)


@dataclass(slots=True)
class Output:
    name: str
    array: Array
    wanted: Wanted


@dataclass(slots=True)
class Call:
    """What one call brings besides its bytes, and what is told when it is over."""

    deadline: float  # seconds of time.monotonic()
    request_id: str
    model: str = ""  # set once the model is known to exist
    version: int | None = None
    own_deadline: float | None = None  # the caller's, where it brought one: for calls that may take minutes


@dataclass(slots=True)
class Answer:
    model: str
    version: int
    outputs: list[Output]


class Inference:
    """The path of one inference over a Predictor."""

    def __init__(self, predictor: Predictor, tracer: Tracer, max_elements: int) -> None:
        self._predictor = predictor
        self._tracer = tracer
        self._max_elements = max_elements

    async def run(self, request: InferRequest, call: Call, inputs: Callable[[Signature], Sequence[Input]]) -> Answer:
        """`inputs` is asked once the model's signature is known. Errors: those of Lease.predict, and InvalidTensor."""
        _refuse_sequences(request.parameters)
        with lease_of(self._predictor, request.model, request.version) as lease:
            call.model, call.version = lease.model, lease.version
            given = inputs(lease.signature)
            wanted = _wanted(lease, request.wanted)
            sent = _sent(lease.signature, given)
            _check(lease, sent, given)
            tensors = self._tensors(given, sent)
            tensors |= options_of(request.parameters, sent, tensors)
            # One signature's outputs are all run when all are wanted: requests that agree are joined.
            names = tuple(one.name for one in wanted) if len(wanted) < len(lease.signature.outputs) else ()
            deadline, own = _deadline(request.parameters, call.deadline)
            started = time.monotonic_ns()
            try:
                response = await lease.predict(PredictCall(tensors, names, deadline, call.request_id))
            except DeadlineExceeded as error:
                raise (expired(error) if own else error) from None
            self._tracer.traced(lease, request.id, started, time.monotonic_ns())
            batched = has_batch(lease)
            return Answer(
                lease.model,
                lease.version,
                [_output(response.outputs[one.name], one, lease, batched) for one in wanted],
            )

    def _tensors(self, given: Sequence[Input], signature: Signature) -> Tensors:
        tensors: Tensors = {}
        for one in given:
            spec = signature.input(one.name)
            assert spec is not None, "_check refuses unknown inputs"
            if math.prod(one.shape) > self._max_elements:
                raise TooLarge(
                    f"input '{one.name}' has shape {list(one.shape)}, expected at most {self._max_elements} elements.",
                    hint="The limit is limits.max_elements.",
                )
            tensors[one.name] = one.read(dtype(spec.dtype))
        return tensors


def _sent(signature: Signature, given: Sequence[Input]) -> Signature:
    """What is expected of this call: picture files (BYTES) may stand where the model wants pixels."""
    pictures = signature.picture_input
    files = pictures and any(one.name == pictures and one.datatype == "BYTES" for one in given)
    return signature.with_pictures() if files else signature


def has_batch(lease: Lease) -> bool:
    """The first dimension is a batch: config.pbtxt says so, or verification has shown it."""
    return lease.signature.batched if lease.max_rows is None else lease.max_rows > 0


def _refuse_sequences(parameters: Mapping[str, Any]) -> None:
    found = [name for name in SEQUENCE if parameters.get(name)]
    if found:
        raise UnsupportedType(
            f"sequences are not served: the request has the parameter {', '.join(found)}.",
            hint="Stateful models are not supported; send requests that stand for themselves.",
        )


def _deadline(parameters: Mapping[str, Any], deadline: float) -> tuple[float, bool]:
    """The earlier of the call's deadline and the parameter `timeout` (microseconds), and whether it is the latter."""
    timeout = parameters.get("timeout")
    if timeout is None:
        return deadline, False
    if isinstance(timeout, str) and timeout.isdigit():
        timeout = int(timeout)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 0:
        raise InvalidTensor(f"the parameter timeout is {timeout!r:.80}, expected microseconds as a whole number.")
    own = time.monotonic() + timeout / 1e6
    return (own, True) if timeout and own < deadline else (deadline, False)


def _wanted(lease: Lease, asked: Sequence[Wanted]) -> list[Wanted]:
    """In the model's order; asked twice, the last one counts. Errors: InvalidTensor with all unknown ones."""
    outputs = lease.signature.outputs
    if not asked:
        return [Wanted(spec.name) for spec in outputs]
    by_name = {one.name: one for one in asked}
    known = [spec.name for spec in outputs]
    unknown = [name for name in by_name if name not in known]
    if unknown:
        raise InvalidTensor(
            "; ".join(
                f"unexpected inference output '{name[:256]}' for model '{lease.model}'.{did_you_mean(name, known)}"
                for name in unknown
            ),
            hint=f"The outputs are: {', '.join(known)}.",
        )
    return [by_name[name] for name in known if name in by_name]


def _check(lease: Lease, signature: Signature, given: Sequence[Input]) -> None:
    problems = list(_problems(lease, signature, given))
    if problems:
        shown = ", ".join(f"{spec.name} {datatype(spec)} {_listing(sizes(spec))}" for spec in lease.signature.inputs)
        raise InvalidTensor("; ".join(problems), hint=f"The inputs are: {shown}.")


def _problems(lease: Lease, signature: Signature, given: Sequence[Input]) -> Iterator[str]:
    model = lease.model
    known = {spec.name: spec for spec in signature.inputs}
    names = [one.name for one in given]
    for one in given:
        if one.name not in known:
            guess = did_you_mean(one.name, known)
            yield f"unexpected inference input '{one.name[:256]}' for model '{model}'" + (guess and "." + guess)
    for name in known:
        if names.count(name) > 1:
            yield f"input '{name}' already exists in request"
    missing = [name for name, spec in known.items() if name not in names and not spec.optional]
    if missing:
        yield (
            f"expected {len(signature.required)} inputs but got {len(given)} inputs for model '{model}'. Got input(s) "
            f"[{_quoted(names)}], but missing required input(s) [{_quoted(missing)}]. "
            "Please provide all required input(s)."
        )
    rows: dict[int, str] = {}
    for one in given:
        spec = known.get(one.name)
        if spec is not None:
            yield from _tensor_problems(one, spec, lease)
            if has_batch(lease) and one.shape:
                rows.setdefault(one.shape[0], one.name)
    if len(rows) > 1:
        yield f"input '{list(rows.values())[1]}' batch size does not match other inputs for '{model}'"


def _tensor_problems(one: Input, spec: TensorSpec, lease: Lease) -> Iterator[str]:
    expected = datatype(spec)
    if one.datatype != expected:
        guess = "" if one.datatype in BY_KSERVE else did_you_mean(one.datatype, BY_KSERVE)
        yield (
            f"inference input '{one.name}' data-type is '{one.datatype[:64]}', "
            f"but model '{lease.model}' expects '{expected}'" + (guess and "." + guess)
        )
    if not spec.accepts(one.shape):
        text = (
            f"unexpected shape for input '{one.name}' for model '{lease.model}'. "
            f"Expected {_listing(sizes(spec))}, got {_listing(one.shape)}"
        )
        short = spec.shape is not None and len(one.shape) == len(spec.shape) - 1
        yield text + (". NOTE: its first dimension is the batch" if short and has_batch(lease) else "")
    elif lease.max_rows and one.shape and one.shape[0] > lease.max_rows:
        yield f"inference request batch-size must be <= {lease.max_rows} for '{lease.model}'"


def _listing(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _quoted(names: Sequence[str]) -> str:
    return ",".join(f"'{name[:256]}'" for name in names)


# -- outputs


def _output(array: Array, wanted: Wanted, lease: Lease, batched: bool) -> Output:
    if wanted.classes:
        signature = lease.signature
        labelled = lease.labels_for or signature.outputs[0].name
        labels = signature.labels if labelled == wanted.name else ()
        array = classify(array, wanted.classes, labels, batched=batched, name=wanted.name)
    return Output(wanted.name, array, wanted)


def classify(array: Array, count: int, labels: Sequence[str], *, batched: bool, name: str) -> Array:
    """The `count` largest elements of each row as b"value:index[:label]", the largest first; ties by index, NaN last.

    Shape [rows, n] with a batch, else [n]; n is at most what there is. Errors: InvalidTensor for strings and bools.
    """
    kind = array.dtype.kind
    if kind in "OSUbc":
        raise InvalidTensor(
            f"class result not available for output '{name}' due to unsupported type {array.dtype.name}.",
            hint="Classification needs numbers.",
        )
    numbers = array.astype(np.float32) if kind not in "iuf" or (array.dtype.itemsize == 2 and kind == "f") else array
    rows = numbers.reshape(len(numbers) if batched and numbers.ndim else 1, -1)
    count = min(count, rows.shape[1])
    whole = kind in "iu"
    found: list[bytes] = []
    for row in rows:
        for at in _largest(row, count):
            value = str(int(row[at])) if whole else f"{float(row[at]):f}"
            label = f":{labels[at]}" if at < len(labels) and labels[at] else ""
            found.append(f"{value}:{at}{label}".encode())
    return as_objects(found, (len(rows), count) if batched else (count,))


def _largest(row: Array, count: int) -> list[int]:
    """Positions of the largest, the largest first; the earlier of two equals first, NaN last."""
    backwards = row[::-1]
    order = len(row) - 1 - np.argsort(backwards, kind="stable")[::-1]
    if row.dtype.kind == "f":
        isnan = np.isnan(row[order])
        order = np.concatenate([order[~isnan], order[isnan]])
    return [int(at) for at in order[:count]]
