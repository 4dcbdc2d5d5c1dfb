"""tf.Example -> tensors: what Classify, Regress and MultiInference of TensorFlow Serving are fed with.

There a SavedModel parses serialised examples with an operator of its own. A model whose one
input is a string per example gets them serialised, as there; for every other model a feature
is found by the name of its input, and its flat values take the input's shape.

Rule 1: no value is silently changed: an integer that a float32 cannot hold, 300 for an int8 and
        1e40 for a float32 are errors; a decimal rounded to the nearest float is fine.
Rule 2: a feature that no input has the name of is ignored, as TensorFlow's parser does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, DType, Tensors, dtype, numpy_dtype
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature, TensorSpec, format_shape
from gateway.errors import InvalidRequest, InvalidTensor, TooLarge
from gateway.protocols.pool import message

_Example = message("tensorflow.Example")
KINDS = {"bytes_list": "string", "float_list": "float", "int64_list": "int64"}


@dataclass(frozen=True, slots=True)
class Feature:
    """`kind` is "string", "float", "int64" or "" for a feature without values; `values` are Python's own."""

    kind: str
    values: Sequence[Any]


Example = Mapping[str, Feature]


def read_input(proto: Any) -> list[Example]:
    """The examples of a tensorflow.serving.Input, each with the context's features. Errors: InvalidRequest."""
    kind = proto.WhichOneof("kind")
    found = getattr(proto, kind) if kind else None
    if found is None or not found.examples:
        raise InvalidRequest("Input is empty.")
    context = _read(found.context) if kind == "example_list_with_context" else {}
    return [{**context, **_read(example)} for example in found.examples]


def _read(proto: Any) -> dict[str, Feature]:
    features: dict[str, Feature] = {}
    for name, feature in proto.features.feature.items():
        kind = feature.WhichOneof("kind")
        features[name] = Feature(KINDS[kind], list(getattr(feature, kind).value)) if kind else Feature("", ())
    return features


def serialise(example: Example) -> bytes:
    """As tensorflow.Example, its features in the order of their names."""
    proto = _Example()
    for name, feature in example.items():
        target = proto.features.feature[name]
        if feature.kind == "string":
            target.bytes_list.value.extend(feature.values)
        elif feature.kind == "int64":
            target.int64_list.value.extend(feature.values)
        elif feature.kind == "float":
            target.float_list.value.extend(_floats(name, feature.values, dtype("float32")).tolist())
    return bytes(proto.SerializeToString(deterministic=True))


def tensors_of(examples: Sequence[Example], signature: Signature, max_elements: int) -> Tensors:
    """One tensor an input, its first dimension the examples. Errors: InvalidTensor, TooLarge."""
    specs = signature.inputs
    if len(specs) == 1 and specs[0].dtype == "string" and (specs[0].shape is None or len(specs[0].shape) == 1):
        texts = np.empty(len(examples), object)
        texts[:] = [serialise(example) for example in examples]
        return {specs[0].name: texts}
    return {spec.name: _tensor(spec, examples, max_elements) for spec in specs}


def _tensor(spec: TensorSpec, examples: Sequence[Example], max_elements: int) -> Array:
    row = dtype(spec.dtype)
    parts: list[Array] = []
    for at, example in enumerate(examples):
        values = _values(spec, row, example, at)
        if parts and len(values) != len(parts[0]):
            raise InvalidTensor(
                f"Example {at}: Key: {spec.name}. Number of {row.name} values != expected. "
                f"Values size: {len(values)}, but the first example has {len(parts[0])}."
            )
        if len(values) * len(examples) > max_elements:
            raise TooLarge(
                f"input {spec.name} has over {max_elements} elements.", hint="The limit is limits.max_elements."
            )
        parts.append(_array(spec.name, values, row))
    shape = _shape(spec, len(examples), len(parts[0]))
    return np.concatenate(parts).reshape(shape)


def _values(spec: TensorSpec, row: DType, example: Example, at: int) -> Sequence[Any]:
    feature = example.get(spec.name)
    if feature is None:
        raise InvalidTensor(
            f"Example {at}: Feature: {spec.name} (data type: {row.name}) is required but could not be found.",
            hint=f"The example has: {', '.join(sorted(example)) or 'none'}.{did_you_mean(spec.name, example)}",
        )
    allowed = {"s": ("string",), "f": ("float", "int64"), "c": ()}.get(row.kind, ("int64",))
    if (feature.values or not allowed) and feature.kind not in allowed:
        raise InvalidTensor(
            f"Example {at}: Key: {spec.name}. Data types don't match. "
            f"Data type: {feature.kind} but expected type: {' or '.join(allowed) or 'none, for it is ' + row.name}"
        )
    return feature.values


def _shape(spec: TensorSpec, examples: int, count: int) -> tuple[int, ...]:
    """The examples in front, then what `count` values of one example make of the free dimensions."""
    if spec.shape is None:
        return (examples, count)
    if not spec.shape:
        rest: tuple[int | None, ...] = ()
        lead: tuple[int, ...] = ()
    else:
        rest, lead = spec.shape[1:], (examples,)
    free = sum(size is None for size in rest)
    known = math.prod(size for size in rest if size is not None)
    fits = count == known if not free else bool(known) and count % known == 0
    if free > 1 or not fits or (not lead and examples != 1):
        raise InvalidTensor(
            f"Key: {spec.name}. Number of {spec.dtype} values != expected. Values size: {count} in each of "
            f"{examples} examples, but the input is {format_shape(spec.shape)}.",
            hint="An example carries flat values, so at most one dimension beside the first may be free."
            if free > 1
            else "",
        )
    return lead + tuple(count // known if size is None else size for size in rest)


def _array(name: str, values: Sequence[Any], row: DType) -> Array:
    """The values of one feature, flat."""
    target = numpy_dtype(row.name)
    if row.kind == "s":
        out = np.empty(len(values), object)
        out[:] = values
        return out
    if row.kind == "f":
        return _floats(name, values, row)
    low, high = (0, 1) if row.kind == "b" else (np.iinfo(target).min, np.iinfo(target).max)
    bad = next((value for value in values if not low <= value <= high), None)
    if bad is not None:
        raise InvalidTensor(f"Key: {name}. {bad} does not fit {row.name} ({low} to {high}).")
    return np.array(values, target)


def _floats(name: str, values: Sequence[Any], row: DType) -> Array:
    """Whole numbers must be held exactly, decimals must not become infinite. Errors: InvalidTensor."""
    given = np.array(values, np.int64 if values and isinstance(values[0], int) else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = given.astype(numpy_dtype(row.name))
        if given.dtype == np.int64:
            wrong = cast.astype(np.float64) != given.astype(object)
        else:
            wrong = np.isinf(cast) & ~np.isinf(given)
    if wrong.any():
        raise InvalidTensor(f"Key: {name}. {given[wrong][0]} cannot be held by {row.name}.")
    return cast
