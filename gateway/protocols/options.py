"""Optional inputs as a protocol's own parameters: `?face=all` of multi-model-server's URLs, KServe's `parameters`.

Rule 1: a number is read by value, as in a body; text that is no number is an error that names the parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import orjson

from gateway.core.dtypes import Array, Tensors, dtype, numpy_dtype
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import InvalidRequest, InvalidTensor
from gateway.protocols.json_elements import converter


def options_of(parameters: Mapping[str, Any], signature: Signature, given: Tensors) -> Tensors:
    """Those of `parameters` that are named as an optional input and are not `given`. Errors: InvalidTensor."""
    return {
        spec.name: option(spec, parameters[spec.name])
        for spec in signature.inputs
        if spec.optional and spec.name in parameters and spec.name not in given
    }


def query_of(query: bytes, names: set[str]) -> dict[str, str]:
    """The pairs of a URL's query that are called as one of `names`. Errors: InvalidRequest."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise InvalidRequest(f"the query cannot be read: {error}.") from None
    return {name: value for name, value in pairs if name in names}


def option(spec: TensorSpec, value: Any) -> Array:
    """One value, or a list, as a tensor of `spec`'s dtype. Errors: InvalidTensor."""
    row = dtype(spec.dtype)
    if isinstance(value, str) and row.kind != "s":
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise InvalidTensor(f"parameter {spec.name!r} is {value[:64]!r}, expected {spec.dtype}.") from None
    items = value if isinstance(value, list) else [value]
    convert = converter(row)
    try:
        made = [convert(item) for item in items]
    except InvalidTensor as error:
        raise InvalidTensor(f"parameter {spec.name!r}: {error.message}") from None
    found = np.empty(len(made), numpy_dtype(row.name))
    found[:] = made
    return found
