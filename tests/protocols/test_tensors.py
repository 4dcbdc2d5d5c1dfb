"""TensorProto <-> numpy: the official classes' bytes, the broadcast rule, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.dtypes import Array, numpy_dtype
from gateway.errors import GatewayError, InvalidTensor, TooLarge, UnsupportedType
from gateway.protocols.tensors import TensorProto, decode, encode

LIMIT = 1 << 20
OFFICIAL: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "conformance/tfserving.json").read_text())[
    "tensors"
]
NAMES = [row["name"] for row in OFFICIAL]


def expected(row: dict[str, Any]) -> Array:
    if row["dtype"] == "string":
        out = np.empty(len(row["data"]), object)
        out[:] = [bytes.fromhex(item) for item in row["data"]]
        return out.reshape(row["shape"])
    return np.frombuffer(bytes.fromhex(row["data"]), numpy_dtype(row["dtype"])).reshape(row["shape"])


@pytest.mark.parametrize("form", ["made", "typed"])
@pytest.mark.parametrize("row", OFFICIAL, ids=NAMES)
def test_official_bytes_are_read(row: dict[str, Any], form: str) -> None:
    found = decode(TensorProto.FromString(bytes.fromhex(row[form])), LIMIT)
    np.testing.assert_array_equal(found, expected(row), strict=True)


@pytest.mark.parametrize("row", OFFICIAL, ids=NAMES)
def test_typed_answers_are_the_official_bytes(row: dict[str, Any]) -> None:
    ours = TensorProto.FromString(encode(expected(row)))
    assert ours == TensorProto.FromString(bytes.fromhex(row["typed"]))


@pytest.mark.parametrize("row", OFFICIAL, ids=NAMES)
def test_answers_with_content_are_read_back(row: dict[str, Any]) -> None:
    proto = TensorProto.FromString(encode(expected(row), content=True))
    assert bool(proto.tensor_content) == (row["dtype"] != "string" and bool(expected(row).size))
    np.testing.assert_array_equal(decode(proto, LIMIT), expected(row), strict=True)


def proto(dtype: int, shape: tuple[int, ...], **fields: Any) -> Any:
    made = TensorProto(dtype=dtype, **fields)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


FILLED = {
    "one value stands for all": (proto(1, (2, 2), float_val=[3]), np.full((2, 2), 3, np.float32)),
    "the last one is repeated": (proto(9, (4,), int64_val=[1, 2]), np.array([1, 2, 2, 2], np.int64)),
    "no value: zeros": (proto(3, (2,)), np.zeros(2, np.int32)),
    "no string: empty ones": (proto(7, (2,)), np.array([b"", b""], object)),
    "one string for all": (proto(7, (2,), string_val=[b"a"]), np.array([b"a", b"a"], object)),
    "one complex pair for all": (proto(8, (2,), scomplex_val=[1, 2]), np.array([1 + 2j, 1 + 2j], np.complex64)),
    "scalar": (proto(1, (), float_val=[3]), np.array(3, np.float32)),
    "empty with a zero dimension": (proto(1, (0, 5)), np.zeros((0, 5), np.float32)),
    "half from its bits": (proto(19, (1,), half_val=[0x3E00]), np.array([1.5], np.float16)),
    "strings in tensor_content": (
        proto(7, (2,), tensor_content=b"\x01\x02abc"),
        np.array([b"a", b"bc"], object),
    ),
}


@pytest.mark.parametrize("case", FILLED.values(), ids=FILLED.keys())
def test_fewer_values_than_elements(case: tuple[Any, Array]) -> None:
    given, wanted = case
    np.testing.assert_array_equal(decode(given, LIMIT), wanted, strict=True)


REFUSED = {  # proto; class; a part of the text
    "2**120 elements": (proto(1, (1 << 40, 1 << 40, 1 << 40), float_val=[1]), TooLarge, "over 1048576 bytes"),
    "absurd and empty": (proto(1, (0, 1 << 62)), TooLarge, "over 1048576 bytes"),
    "one value, many elements": (proto(1, (1 << 20,), float_val=[1]), TooLarge, "over 1048576 bytes"),
    "negative size": (proto(1, (-1,), float_val=[1]), InvalidTensor, "[-1]"),
    "too many dimensions": (proto(1, (1,) * 65, float_val=[1]), InvalidTensor, "65 dimensions"),
    "unknown rank": (
        TensorProto(dtype=1, tensor_shape={"unknown_rank": True}, float_val=[1]),
        InvalidTensor,
        "unknown_rank",
    ),
    "too many values": (proto(1, (2,), float_val=[1, 2, 3]), InvalidTensor, "3 values for shape [2]"),
    "values for an empty shape": (proto(1, (0,), float_val=[1]), InvalidTensor, "1 values for shape [0]"),
    "content too short": (proto(1, (2,), tensor_content=b"1234567"), InvalidTensor, "7 bytes, expected 8"),
    "content too long": (proto(1, (2,), tensor_content=b"123456789"), InvalidTensor, "9 bytes, expected 8"),
    "content that is no bool": (proto(10, (2,), tensor_content=b"\x01\x02"), InvalidTensor, "other than 0 and 1"),
    "300 in an int8": (proto(6, (2,), int_val=[1, 300]), InvalidTensor, "300 in int_val does not fit int8"),
    "-1 in a uint8": (proto(4, (2,), int_val=[-1, 1]), InvalidTensor, "-1 in int_val does not fit uint8"),
    "17 bits in a half": (proto(19, (1,), half_val=[70000]), InvalidTensor, "70000 in half_val"),
    "odd complex": (proto(8, (2,), scomplex_val=[1, 2, 3]), InvalidTensor, "pairs"),
    "string lengths cut off": (proto(7, (2,), tensor_content=b"\x01"), InvalidTensor, "lengths of 2 strings"),
    "string length without end": (proto(7, (1,), tensor_content=b"\xff" * 9), InvalidTensor, "lengths of 1"),
    "string bytes missing": (proto(7, (1,), tensor_content=b"\x05ab"), InvalidTensor, "add up to 5"),
    "type 0": (proto(0, (1,)), UnsupportedType, "DT_INVALID"),
    "resource": (proto(20, (1,)), UnsupportedType, "DT_RESOURCE"),
    "a type of the future": (proto(99, (1,)), UnsupportedType, "type 99"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused(case: tuple[Any, type[GatewayError], str]) -> None:
    given, kind, text = case
    with pytest.raises(kind) as caught:
        decode(given, LIMIT)
    assert text in str(caught.value)


def test_content_is_not_copied() -> None:
    found = decode(proto(1, (2,), tensor_content=bytes(8)), LIMIT)
    assert not found.flags.owndata
    assert not found.flags.writeable


def test_a_view_that_is_not_contiguous_is_written_in_order() -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3).T
    np.testing.assert_array_equal(decode(TensorProto.FromString(encode(array)), LIMIT), array, strict=True)
