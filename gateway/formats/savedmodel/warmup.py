"""assets.extra/tf_serving_warmup_requests: what TensorFlow Serving calls a SavedModel with before it serves it.

A TFRecord of tensorflow.serving.PredictionLog. Runs in a child of Environment `tensorflow`, which has TensorFlow's
protobufs and not Serving's: messages around the tensors are read and written by hand, field by field of apis/*.proto:

    PredictionLog.classify_log = 2, regress_log = 3, multi_inference_log = 4, session_run_log = 5, predict_log = 6
    each of them: request = 1
    PredictRequest, ClassificationRequest, RegressionRequest: model_spec = 1, inputs (a map) or input = 2
    MultiInferenceRequest.tasks = 1 -> InferenceTask.model_spec = 1; input = 2
    ModelSpec.signature_name = 3
    Input.example_list = 1, example_list_with_context = 2 -> examples = 1, context = 2

Rule 1: as TensorFlow Serving has it: a record that fails fails the load, and there are MOST of them at the most.
Rule 2: what is left after REPLAY_S is not called, and the log says so: loading has a clock.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.core.dtypes import Array
from gateway.core.names import did_you_mean
from gateway.core.signature import SERVING_DEFAULT
from gateway.errors import ConversionError, GatewayError
from gateway.formats.savedmodel.wire import Message, field

FOLDER, FILE = "assets.extra", "tf_serving_warmup_requests"
MOST = 1000  # records; TensorFlow Serving's own bound
REPLAY_S = 20.0
PREDICT, EXAMPLES, MULTI = 6, {2: "Classify", 3: "Regress"}, 4
HINT = f"TensorFlow Serving would not serve it either: mend the records, or leave {FOLDER}/{FILE} out."


@dataclass(frozen=True)
class Request:
    """One call. Tensors by the SavedModel's own names; of a call with tf.Examples under "", whatever its input is."""

    method: str
    signature: str
    inputs: Mapping[str, Array]


@dataclass(frozen=True)
class Target:
    """A signature that is served: its own names of inputs, and what calls it with arrays by these."""

    inputs: tuple[str, ...]
    call: Callable[[Mapping[str, Array]], object]


def write(path: Path, signature: str, inputs: Mapping[str, Array]) -> None:
    """One Predict of `signature` with `inputs`."""
    import tensorflow as tf  # noqa: TID251  this runs in a child of Environment tensorflow

    request = field(1, field(3, signature.encode()))
    for name, array in inputs.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        request += field(2, field(1, name.encode()) + field(2, tensor))
    with tf.io.TFRecordWriter(str(path)) as stream:
        stream.write(field(6, field(1, request)))


def replay(path: Path, targets: Mapping[str, Target], left_out: frozenset[str] = frozenset()) -> int:
    """Call every record; `left_out` are signatures that are not served, whose records are passed over.

    The number of calls. Errors: ConversionError naming the record.
    """
    end = time.monotonic() + REPLAY_S
    done = 0
    for number, request in enumerate(_requests(path), start=1):
        if time.monotonic() > end:
            sys.stderr.write(f"warm-up: {done} calls took {REPLAY_S:g} s; the rest of {FILE} is not called\n")
            break
        if request.signature in left_out and request.signature not in targets:
            continue
        where = f"warm-up record {number} ({request.method} of signature {request.signature!r})"
        _call(request, targets, where)
        done += 1
    return done


def _call(request: Request, targets: Mapping[str, Target], where: str) -> None:
    target = targets.get(request.signature)
    if target is None:
        known = f"; there is {', '.join(targets)}.{did_you_mean(request.signature, targets)}"
        raise ConversionError(f"{where}: there is no such signature{known}", hint=HINT)
    inputs = dict(request.inputs)
    if "" in inputs and len(target.inputs) == 1:
        inputs[target.inputs[0]] = inputs.pop("")
    if set(inputs) != set(target.inputs):
        given = "serialised tf.Examples" if "" in inputs else ", ".join(sorted(inputs)) or "nothing"
        raise ConversionError(f"{where} gives {given}, expected {', '.join(target.inputs) or 'nothing'}.", hint=HINT)
    try:
        target.call(inputs)
    except Exception as error:  # whatever TensorFlow raises
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ConversionError(f"{where} fails: {' '.join(lines[:2])[:400]}", hint=HINT) from error


def _requests(path: Path) -> Iterator[Request]:
    """Errors: ConversionError for what is no such file, and for more than MOST records."""
    for number, record in enumerate(islice(_records(path), MOST + 1), start=1):
        if number > MOST:
            raise ConversionError(f"{FOLDER}/{FILE} has more than {MOST} records.", hint=HINT)
        try:
            yield from parsed(record)
        except GatewayError as error:
            raise ConversionError(f"warm-up record {number}: {error.message}", hint=HINT) from error
        except Exception as error:  # protobuf's and numpy's own classes
            raise ConversionError(f"warm-up record {number} holds no tensor: {error}"[:400], hint=HINT) from error


def _records(path: Path) -> Iterator[bytes]:
    import tensorflow as tf  # noqa: TID251  this runs in a worker of Environment tensorflow

    try:
        for record in tf.data.TFRecordDataset(str(path)):
            yield record.numpy()
    except tf.errors.OpError as error:
        said = re.sub(r"\{\{.*?\}\} *|\[Op:.*", "", str(error).splitlines()[0])[:200]
        raise ConversionError(f"{FOLDER}/{FILE} is no TFRecord, or is cut off: {said}", hint=HINT) from error


def parsed(record: bytes) -> Iterator[Request]:
    """The calls of one PredictionLog. Errors: ConversionError, CorruptModel; protobuf's own for a bad tensor."""
    log = Message(memoryview(record))
    kinds = [number for number in (PREDICT, *EXAMPLES, MULTI) if log.has(number)]
    if not kinds:
        raise ConversionError("it is neither Predict, Classify, Regress nor MultiInference, which are what is called.")
    request = log.message(kinds[0]).message(1)
    if kinds[0] == PREDICT:
        yield Request("Predict", _signature(request), {entry.text(1): _tensor(entry) for entry in request.messages(2)})
    elif kinds[0] in EXAMPLES:
        yield Request(EXAMPLES[kinds[0]], _signature(request), {"": _examples(request.message(2))})
    else:
        for task in request.messages(1):
            yield Request("MultiInference", _signature(task), {"": _examples(request.message(2))})


def _signature(request: Message) -> str:
    return request.message(1).text(3) or SERVING_DEFAULT


def _tensor(entry: Message) -> Array:
    import tensorflow as tf  # noqa: TID251
    from tensorflow.core.framework.tensor_pb2 import TensorProto  # noqa: TID251

    made: Array = tf.make_ndarray(TensorProto.FromString(b"".join(entry.views(2))))
    return made


def _examples(given: Message) -> Any:
    """Serialised tf.Examples; what is common to all stands before each, as TensorFlow Serving joins them."""
    import numpy as np

    with_context = given.message(2)
    common = b"".join(with_context.views(2))
    rows = [bytes(view) for view in given.message(1).views(1)]
    rows += [common + bytes(view) for view in with_context.views(1)]
    found = np.empty(len(rows), object)
    found[:] = rows
    return found
