"""Node: one ONNX operator with its attributes in Python's types, and the version of its meaning.

Rule 1: a default is written where it is used, with the standard's value: `node.get("axis", -1)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import numpy_helper

from gateway.core.dtypes import BY_ONNX, Array

DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Node:
    """`since` is the opset in which the operator got the meaning it has here; 0 outside the standard's domains."""

    op: str  # "Conv", "com.microsoft.Gelu"
    name: str
    since: int
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    @property
    def where(self) -> str:
        """For sentences: Conv 'stage1_conv'."""
        return f"{self.op} {self.name or self.outputs[0]!r}"


def op_name(proto: Any) -> str:
    """Operator as the registry knows it."""
    return proto.op_type if proto.domain in DEFAULT_DOMAINS else f"{proto.domain}.{proto.op_type}"


def read(proto: Any, opsets: Mapping[str, int]) -> Node:
    """A NodeProto; `opsets` is domain -> version, the default domain being ""."""
    domain = "" if proto.domain in DEFAULT_DOMAINS else proto.domain
    try:
        since = onnx.defs.get_schema(proto.op_type, opsets.get(domain, 1), domain).since_version
    except onnx.defs.SchemaError:
        since = 0
    attributes = {attribute.name: _plain(onnx.helper.get_attribute_value(attribute)) for attribute in proto.attribute}
    return Node(op_name(proto), proto.name, since, attributes, tuple(proto.input), tuple(proto.output))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, onnx.TensorProto):
        return array_of(value)
    if isinstance(value, onnx.SparseTensorProto):
        return dense_of(value)
    if (
        not isinstance(value, (str, int, float))
        and hasattr(value, "__iter__")
        and not hasattr(value, "SerializeToString")
    ):
        return [_plain(item) for item in value]
    return value


def array_of(proto: Any, base_dir: str = "") -> Array:
    """A TensorProto as numpy; strings as an object array of bytes."""
    if proto.data_type == onnx.TensorProto.STRING:
        import numpy as np

        found = np.empty(len(proto.string_data), object)
        found[:] = list(proto.string_data)
        return found.reshape(tuple(proto.dims))
    array: Array = numpy_helper.to_array(proto, base_dir)
    return array


def dense_of(proto: Any) -> Array:
    """A SparseTensorProto, filled up with zeros."""
    import numpy as np

    values, places = array_of(proto.values), array_of(proto.indices)
    dense = np.zeros(tuple(proto.dims), values.dtype)
    if places.ndim == 1:
        dense.reshape(-1)[places] = values
    else:
        dense[tuple(places.T)] = values
    return dense


def tf_dtype(number: int) -> Any:
    """TensorProto.DataType -> tf.DType. Errors: KeyError for types that TensorFlow has not."""
    import tensorflow as tf

    row = BY_ONNX.get(number)
    if row is not None:
        return tf.string if row.kind == "s" else tf.dtypes.as_dtype(row.name)
    return tf.as_dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
