"""TensorProto <-> numpy.

In    `tensor_content` becomes a read-only view of the bytes; the typed fields are one copy.
      Fewer values than elements: the last one stands for the rest; none: zeros (TensorFlow's rule).
Out   typed fields, as TensorFlow Serving answers; `content=True` writes tensor_content instead.

Rule 1: sizes are compared before anything is allocated; a tensor may not be larger than a
        message could have carried (`max_bytes`).
Rule 2: no value is silently changed: more values than elements, 300 in an int8 or a bool byte
        of 2 are errors. (TensorFlow drops, wraps and keeps them.)
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import Any

import numpy as np

from gateway.core.dtypes import BY_TENSORFLOW, Array, DType, dtype, name_of, numpy_dtype
from gateway.errors import InvalidTensor, TooLarge, UnsupportedType
from gateway.protocols.pool import message

TensorProto = message("tensorflow.TensorProto")
DATA_TYPES = TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type

MAX_RANK = 64  # numpy's own
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "float16": "half_val",
    "bfloat16": "half_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
}
assert sys.byteorder == "little", "tensor_content is little-endian and is used where it lies"


def tf_name(number: int) -> str:
    """DT_FLOAT for 1; the number itself when TensorFlow has no such type."""
    value = DATA_TYPES.values_by_number.get(number)
    return value.name if value is not None else str(number)


def decode(proto: Any, max_bytes: int) -> Array:
    """One TensorProto as an array; strings as object array of bytes.

    Errors: InvalidTensor (sizes, values), TooLarge, UnsupportedType.
    """
    row = BY_TENSORFLOW.get(proto.dtype)
    if row is None:
        raise UnsupportedType(
            f"tensors of type {tf_name(proto.dtype)} are not carried; "
            f"known are {', '.join(tf_name(n) for n in sorted(BY_TENSORFLOW))}."
        )
    shape = _shape(proto.tensor_shape)
    count = _count(shape, row, max_bytes)
    content = proto.tensor_content
    if content:
        return _from_content(content, row, shape, count)
    values = getattr(proto, _FIELDS[row.name])
    parts = 2 if row.kind == "c" else 1
    if len(values) > count * parts:
        raise InvalidTensor(f"{len(values) // parts} values for shape {list(shape)}, which has {count} elements.")
    if len(values) % parts:
        raise InvalidTensor(f"{len(values)} numbers in {_FIELDS[row.name]}, expected pairs of real and imaginary part.")
    return _fill(_from_values(values, row), row, shape, count)


def _shape(proto: Any) -> tuple[int, ...]:
    if proto.unknown_rank:
        raise InvalidTensor("the tensor's shape has unknown_rank, expected its dimensions.")
    shape = tuple([dim.size for dim in proto.dim])
    if len(shape) > MAX_RANK:
        raise InvalidTensor(f"the tensor has {len(shape)} dimensions, expected at most {MAX_RANK}.")
    if shape and min(shape) < 0:
        raise InvalidTensor(f"the tensor's shape is {list(shape)}, expected sizes of 0 and more.")
    return shape


def _count(shape: tuple[int, ...], row: DType, max_bytes: int) -> int:
    """Number of elements. Zeros are left out of the bound: [0, 2**62] is empty and still absurd."""
    size = max(row.bits // 8, 1)
    if math.prod(n for n in shape if n) * size > max_bytes:
        raise TooLarge(
            f"a {row.name} tensor of shape {list(shape)} is over {max_bytes} bytes.",
            hint="The limit is limits.max_message_bytes.",
        )
    return math.prod(shape)


def _from_content(content: bytes, row: DType, shape: tuple[int, ...], count: int) -> Array:
    if row.kind == "s":
        return _object(_split_strings(content, count), shape)
    if len(content) != count * row.bits // 8:
        raise InvalidTensor(
            f"tensor_content has {len(content)} bytes, expected {count * row.bits // 8} "
            f"for {row.name} of shape {list(shape)}."
        )
    if row.kind == "b" and count and np.frombuffer(content, np.uint8).max() > 1:
        raise InvalidTensor("tensor_content of a bool tensor has a byte other than 0 and 1.")
    return np.frombuffer(content, numpy_dtype(row.name)).reshape(shape)


def _split_strings(content: bytes, count: int) -> list[bytes]:
    """TensorFlow's form: the length of each as varint, then all bytes without gaps."""
    lengths, at = [], 0
    for _ in range(count):
        value = shift = 0
        while True:
            if at >= len(content) or shift > 28:
                raise InvalidTensor(f"tensor_content ends or breaks in the lengths of {count} strings.")
            byte = content[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(value)
    if at + sum(lengths) != len(content):
        raise InvalidTensor(
            f"tensor_content has {len(content) - at} bytes of text, its {count} lengths add up to {sum(lengths)}."
        )
    out = []
    for length in lengths:
        out.append(content[at : at + length])
        at += length
    return out


def _from_values(values: Any, row: DType) -> Array:
    """The typed field as a flat array of the right type, not yet filled up."""
    if row.kind == "s":
        return _object(list(values), (len(values),))
    if row.kind == "c":
        return np.array(values, np.float32 if row.bits == 64 else np.float64).view(numpy_dtype(row.name))
    if row.name in ("float16", "bfloat16"):
        return _narrow(np.array(values, np.int32), np.dtype(np.uint16), row).view(numpy_dtype(row.name))
    if _FIELDS[row.name] == "int_val":
        return _narrow(np.array(values, np.int32), numpy_dtype(row.name), row)
    return np.array(values, numpy_dtype(row.name))


def _narrow(values: Array, target: np.dtype[Any], row: DType) -> Array:
    if values.dtype == target:
        return values
    if values.size:
        info = np.iinfo(target)
        low, high = int(values.min()), int(values.max())
        if low < info.min or high > info.max:
            bad = low if low < info.min else high
            raise InvalidTensor(f"{bad} in {_FIELDS[row.name]} does not fit {row.name} ({info.min} to {info.max}).")
    return values.astype(target)


def _fill(flat: Array, row: DType, shape: tuple[int, ...], count: int) -> Array:
    if len(flat) == count:
        return flat.reshape(shape)
    rest: Any = flat[-1] if len(flat) else (b"" if row.kind == "s" else 0)
    out = np.empty(count, flat.dtype)
    out[: len(flat)] = flat
    out[len(flat) :] = rest
    return out.reshape(shape)


def _object(items: list[bytes], shape: tuple[int, ...]) -> Array:
    out = np.empty(len(items), object)
    out[:] = items
    return out.reshape(shape)


# -- out: a TensorProto is the concatenation of its fields, so the numbers never become Python objects


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field; `number` is below 16."""
    size = len(payload)
    head = bytes((number << 3 | 2, size)) if size < 128 else bytes((number << 3 | 2,)) + varint(size)
    return head + payload


@lru_cache(maxsize=1024)
def _head(number: int, shape: tuple[int, ...]) -> bytes:
    proto = TensorProto(dtype=number)
    proto.tensor_shape.SetInParent()  # a scalar has a shape of no dimensions, not no shape
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return bytes(proto.SerializeToString())


_RAW = {"float32": 5, "float64": 6, "complex64": 9, "complex128": 12, "bool": 11}
"""Fields whose packed form is the array's own bytes."""


def encode(array: Array, *, content: bool = False) -> bytes:
    """A serialised TensorProto; `content` puts the numbers into tensor_content. Errors: UnsupportedType."""
    row = dtype(name_of(array))
    head = _head(row.tensorflow, array.shape)
    if row.kind == "s":
        return head + bytes(TensorProto(string_val=[_bytes(item) for item in array.reshape(-1)]).SerializeToString())
    if not array.size:
        return head
    if content:
        return head + field(4, array.tobytes())
    if row.name in _RAW:
        return head + field(_RAW[row.name], array.tobytes())
    flat = np.ascontiguousarray(array).reshape(-1)
    if row.name in ("float16", "bfloat16"):
        flat = flat.view(np.uint16)
    return head + bytes(TensorProto(**{_FIELDS[row.name]: flat.tolist()}).SerializeToString())


def _bytes(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode()
