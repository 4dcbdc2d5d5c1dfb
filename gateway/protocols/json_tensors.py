"""TensorFlow Serving's JSON bodies -> tensors: rows ("instances") and columns ("inputs").

The good case is numpy's own conversion of whole nested lists. Whatever it does not take as it
stands goes through `_walk`, element by element, which is also where every error text is made.

Rule 1: no value is silently changed: json_elements.py says what that means; the fast way takes
        only what the slow way would take, and gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gateway.config import Limits
from gateway.core.dtypes import Array, DType, Tensors, dtype, numpy_dtype
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import InvalidRequest, InvalidTensor, TooLarge
from gateway.protocols.json_elements import check_type, converter, is_base64, is_object
from gateway.protocols.json_text import quote


class Decoder:
    """One request's tensors. `has_bools` says that the body contains the words true or false,
    which numpy would take for 1 and 0."""

    def __init__(self, signature: Signature, limits: Limits, *, has_bools: bool) -> None:
        self._signature = signature
        self._limits = limits
        self._has_bools = has_bools

    def inputs(self, document: dict[str, Any]) -> tuple[Tensors, bool]:
        """(tensors, whether they came as rows). Errors: InvalidRequest, InvalidTensor, TooLarge, UnsupportedType."""
        rows, columns = "instances" in document, "inputs" in document
        if rows and columns:
            raise _format_error(
                document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
            )
        if rows:
            return self._rows(document), True
        if columns:
            return self._columns(document["inputs"]), False
        raise InvalidRequest("Missing 'inputs' or 'instances' key")

    # -- columns

    def _columns(self, value: Any) -> Tensors:
        specs = self._signature.inputs
        if not isinstance(value, dict) or is_base64(value):
            specs = self._signature.required
            if len(specs) > 1:
                raise InvalidRequest(
                    "inputs is a plain value/list, but expecting an object as multiple "
                    "input tensors required as per tensorinfo_map"
                )
            return {spec.name: self.tensor(value, spec) for spec in specs}
        for spec in specs:
            if spec.name not in value and not spec.optional:
                raise InvalidTensor(f"Missing named input: {spec.name} in 'inputs' object.")
        return {spec.name: self.tensor(value[spec.name], spec) for spec in specs if spec.name in value}

    # -- rows

    def _rows(self, document: dict[str, Any]) -> Tensors:
        instances, specs = document["instances"], self._signature.inputs
        if not isinstance(instances, list):
            raise _format_error(document, "Excepting 'instances' to be an list/array")
        if not instances:
            raise _format_error(document, "No values in 'instances' array")
        if not is_object(instances[0]):
            specs = self._signature.required
            if len(specs) > 1:
                raise InvalidRequest(
                    "instances is a plain list, but expecting list of objects as multiple "
                    "input tensors required as per tensorinfo_map"
                )
            return self._plain_rows(instances, specs[0])
        return self._object_rows(instances, specs)

    def _plain_rows(self, instances: list[Any], spec: TensorSpec) -> Tensors:
        found = self._fast(instances, dtype(spec.dtype))
        if found is not None:
            return {spec.name: found}
        items: list[Array] = []
        for at, item in enumerate(instances):
            if is_object(item):
                raise InvalidRequest(f"Expecting value/list but got object at item {at} of input list")
            items.append(self._item(item, spec, items, f"element: {at}"))
        return {spec.name: np.stack(items)}

    def _object_rows(self, instances: list[Any], specs: tuple[TensorSpec, ...]) -> Tensors:
        first = instances[0]  # what is optional is in all rows or in none
        specs = tuple(spec for spec in specs if not spec.optional or spec.name in first)
        names = [spec.name for spec in specs]
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for at, item in enumerate(instances):
            if not is_object(item):
                raise InvalidRequest(f"Expecting object but got list at item {at} of input list")
            for name in item:
                if name not in columns:
                    raise InvalidTensor(
                        f"Failed to process element: {at} key: {name} of 'instances' list. "
                        f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {name}"
                    )
            if len(item) != len(names):
                raise InvalidTensor(
                    f"Failed to process element: {at} of 'instances' list. "
                    f"JSON object: {quote(item)} keys must be equal to: {','.join(sorted(names))}"
                )
            for name, column in columns.items():
                column.append(item[name])
        tensors: Tensors = {}
        for spec in specs:
            column = columns[spec.name]
            found = self._fast(column, dtype(spec.dtype))
            if found is None:
                items: list[Array] = []
                for at, value in enumerate(column):
                    items.append(self._item(value, spec, items, f"element: {at} key: {spec.name}"))
                found = np.stack(items)
            tensors[spec.name] = found
        return tensors

    def _item(self, value: Any, spec: TensorSpec, before: list[Array], where: str) -> Array:
        """One row's tensor; all rows have the shape of the first."""
        try:
            array = self._walk(value, dtype(spec.dtype))
            if before and array.shape != before[0].shape:
                first, found = _listing(before[0].shape), _listing(array.shape)
                raise InvalidTensor(f"Expecting shape {first} but got: {found}")
        except InvalidTensor as error:
            raise InvalidTensor(
                f"Failed to process {where} of 'instances' list. Error: INVALID_ARGUMENT: {error.message}"
            ) from None
        return array

    # -- one tensor

    def tensor(self, value: Any, spec: TensorSpec) -> Array:
        """One value, nested as it comes. Errors: InvalidTensor, TooLarge, UnsupportedType."""
        row = dtype(spec.dtype)
        found = self._fast(value, row)
        return self._walk(value, row) if found is None else found

    def _fast(self, value: Any, row: DType) -> Array | None:
        """The whole value through numpy, or None when anything about it needs a closer look."""
        check_type(value, row)
        if row.kind == "s" or (self._has_bools and row.kind != "b"):
            return None
        try:
            found = np.array(value)
        except ValueError:
            return None  # ragged, or deeper than numpy goes
        self._check_size(found.size, found.ndim)
        if not found.size:
            return found.astype(numpy_dtype(row.name)) if isinstance(value, list) else None
        kind = found.dtype.kind
        if row.kind == "b":
            return found if kind == "b" else None
        if row.kind == "f":
            return _as_float(found, numpy_dtype(row.name)) if kind in "iuf" else None
        return _as_integer(found, numpy_dtype(row.name)) if kind in "iu" else None

    def _check_size(self, elements: int, depth: int) -> None:
        if depth > self._limits.max_json_depth:
            raise TooLarge(
                f"a tensor is nested deeper than {self._limits.max_json_depth}.",
                hint="The limit is limits.max_json_depth.",
            )
        if elements > self._limits.max_elements:
            raise TooLarge(
                f"a tensor has {elements} elements, expected at most {self._limits.max_elements}.",
                hint="The limit is limits.max_elements.",
            )

    def _walk(self, value: Any, row: DType) -> Array:
        """Element by element, as TensorFlow Serving does, with its error texts."""
        shape, probe = [], value
        while isinstance(probe, list):
            shape.append(len(probe))
            if not probe:
                break
            probe = probe[0]
        self._check_size(0, len(shape))
        flat = list(_leaves(value, 0, shape, converter(row)))
        self._check_size(len(flat), len(shape))
        out = np.empty(len(flat), numpy_dtype(row.name))
        out[:] = flat
        return out.reshape(shape)


def _leaves(value: Any, level: int, shape: list[int], convert: Callable[[Any], Any]) -> Iterator[Any]:
    if not isinstance(value, list):
        if level != len(shape):
            raise InvalidTensor(
                f"JSON Value: {quote(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        yield convert(value)
        return
    if level >= len(shape):
        raise InvalidTensor(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise InvalidTensor(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        yield from _leaves(item, level + 1, shape, convert)


def _as_float(found: Array, target: np.dtype[Any]) -> Array | None:
    with np.errstate(over="ignore"):
        cast = found.astype(target, copy=False)
    if target.itemsize < 8 and found.dtype.kind == "f":
        infinite = np.isinf(cast)
        if infinite.any() and not np.isinf(found[infinite]).all():
            return None
    return cast


def _as_integer(found: Array, target: np.dtype[Any]) -> Array | None:
    info = np.iinfo(target)
    if int(found.min()) < info.min or int(found.max()) > info.max:
        return None
    return found.astype(target, copy=False)


def _format_error(value: Any, text: str) -> InvalidRequest:
    return InvalidRequest(f"JSON Value: {quote(value)} {text}")


def _listing(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
