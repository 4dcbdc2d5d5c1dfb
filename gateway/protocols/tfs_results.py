"""Outputs of a model as TensorFlow Serving's classifications and regressions.

    classify   `classes` string [n,k] and `scores` float32 [n,k]; one of them is enough. A model without
               either is asked for its first output, and the labels of its signature are the classes.
    regress    `outputs`, or the only output there is: float32 [n] or [n,1]

Rule 1: texts are the original's; what it does not check (the method of the signature) is not checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.dtypes import Array, Tensors, dtype, name_of
from gateway.core.signature import Signature
from gateway.errors import InvalidTensor
from gateway.protocols.tensors import tf_name

CLASSES, SCORES, OUTPUTS = "classes", "scores", "outputs"


@dataclass(frozen=True)
class Class:
    label: str
    score: float


def classify_outputs(signature: Signature) -> tuple[str, ...]:
    """The outputs to ask for. Errors: InvalidTensor."""
    names = [spec.name for spec in signature.outputs]
    wanted = tuple(name for name in (CLASSES, SCORES) if name in names)
    first = signature.outputs[0]
    if not wanted and first.dtype == "float32" and (first.shape is None or len(first.shape) == 2):
        return (first.name,)
    if not wanted:
        raise InvalidTensor(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {', '.join(map(str, signature.outputs))}"
        )
    return wanted


def classifications(outputs: Tensors, signature: Signature, examples: int) -> list[list[Class]]:
    """One list of classes an example. Errors: InvalidTensor when the outputs have not that form."""
    classes = outputs.get(CLASSES)
    scores = outputs.get(SCORES, None if CLASSES in outputs else next(iter(outputs.values())))
    for array, kind, word in ((classes, "string", CLASSES), (scores, "float32", SCORES)):
        if array is not None:
            _check(array, kind, word, examples)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise InvalidTensor(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    count = classes.shape[1] if classes is not None else scores.shape[1] if scores is not None else 0
    fixed = _fixed_labels(outputs, signature, count)
    found: list[list[Class]] = []
    for at in range(examples):
        labels = [_text(item) for item in classes[at]] if classes is not None else fixed
        values = scores[at].tolist() if scores is not None else [0.0] * count
        found.append([Class(label, value) for label, value in zip(labels, values, strict=True)])
    return found


def _fixed_labels(outputs: Tensors, signature: Signature, count: int) -> Sequence[str]:
    """The labels of the signature belong to its first output; elsewhere classes have no names."""
    mine = signature.outputs[0].name in outputs and len(signature.labels) == count
    return signature.labels if mine else [""] * count


def _check(array: Array, kind: str, word: str, examples: int) -> None:
    if array.ndim != 2:
        raise InvalidTensor(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    found = name_of(array)
    if found != kind:
        expected = {"string": "DT_STRING", "float32": "DT_FLOAT"}[kind]
        raise InvalidTensor(f"Expected {word} Tensor of {expected}. Got: {tf_name(dtype(found).tensorflow)}")
    if len(array) != examples:
        raise InvalidTensor(f"Expected {word} output batch size of {examples}. Got: {len(array)}")


def regress_outputs(signature: Signature) -> tuple[str, ...]:
    """The one output to ask for. Errors: InvalidTensor."""
    names = [spec.name for spec in signature.outputs]
    if OUTPUTS in names:
        return (OUTPUTS,)
    if len(names) != 1:
        raise InvalidTensor(
            "Expected one output Tensor.", hint=f"The model has {', '.join(names)}, and none called '{OUTPUTS}'."
        )
    return (names[0],)


def regressions(outputs: Tensors, examples: int) -> list[float]:
    """One value an example. Errors: InvalidTensor when the output has not that form."""
    (array,) = outputs.values()
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise InvalidTensor(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(array)}"
        )
    if len(array) != examples:
        raise InvalidTensor(f"Input batch size did not match output batch size: {examples} vs. {len(array)}")
    if name_of(array) != "float32":
        found = tf_name(dtype(name_of(array)).tensorflow)
        raise InvalidTensor(f"Expected output Tensor of DT_FLOAT.  Got: {found}")
    return [float(value) for value in array.reshape(-1)]


def _shape(array: Array) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"


def _text(item: object) -> str:
    if isinstance(item, str):
        return item
    raw = bytes(item)  # type: ignore[call-overload]
    try:
        return str(raw.decode())
    except UnicodeDecodeError:
        raise InvalidTensor(f"a class label of the model is not UTF-8: {raw[:40]!r}.") from None
