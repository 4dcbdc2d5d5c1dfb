"""Element types: each row has the numbers that the protocols and ONNX fix."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnxruntime
import pytest

from gateway.core.dtypes import BY_KSERVE, BY_NAME, BY_ONNX, BY_TENSORFLOW, dtype, name_of, numpy_dtype
from gateway.errors import InvalidTensor, UnsupportedType

# Written from types.proto of TensorFlow and onnx.proto, not from our table.
TENSORFLOW = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "string": 7, "complex64": 8,
    "int64": 9, "bool": 10, "bfloat16": 14, "uint16": 17, "complex128": 18, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
ONNX = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9,
    "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16,
}  # fmt: skip


def test_tensorflow_numbers() -> None:
    assert {row.name: number for number, row in BY_TENSORFLOW.items()} == TENSORFLOW


def test_onnx_numbers() -> None:
    assert {row.name: number for number, row in BY_ONNX.items()} == ONNX


def test_kserve_names_are_one_to_one() -> None:
    assert len(BY_KSERVE) == len(BY_NAME) - 2  # the two complex types have none
    assert (BY_KSERVE["FP32"].name, BY_KSERVE["BYTES"].name, BY_KSERVE["BF16"].name) == (
        "float32",
        "string",
        "bfloat16",
    )


@pytest.mark.parametrize("name", [n for n in BY_NAME if n != "string"])
def test_numpy_and_back(name: str) -> None:
    array = np.zeros(2, numpy_dtype(name))
    assert name_of(array) == name
    assert array.dtype.itemsize * 8 == BY_NAME[name].bits


STRINGS = {
    "object": np.array([b"a"], object),
    "bytes": np.array([b"a"]),
    "str": np.array(["a"]),
    "empty object": np.zeros((0,), object),
}


@pytest.mark.parametrize("array", STRINGS.values(), ids=STRINGS.keys())
def test_every_string_array_is_string(array: np.ndarray) -> None:  # type: ignore[type-arg]
    assert name_of(array) == "string"


def test_strings_travel_as_objects() -> None:
    assert numpy_dtype("string") == np.dtype(object)


def test_bfloat16_is_the_type_of_ml_dtypes() -> None:
    assert numpy_dtype("bfloat16") == np.dtype(ml_dtypes.bfloat16)


WRONG = {
    "a numpy short name": ("f32", None),
    "a typo has a neighbour": ("flaot32", "float32"),
    "TensorFlow's spelling": ("DT_FLOAT", None),
    "empty": ("", None),
}


@pytest.mark.parametrize(("name", "near"), WRONG.values(), ids=WRONG.keys())
def test_an_unknown_name_says_the_nearest(name: str, near: str | None) -> None:
    with pytest.raises(InvalidTensor, match="is not a dtype; known are float32, ") as caught:
        dtype(name)
    if near:
        assert f"Did you mean '{near}'?" in str(caught.value)


NO_TENSOR = {
    "a date": np.zeros(1, "datetime64[s]"),
    "a record": np.zeros(1, [("a", "f4")]),
    "four bits": np.zeros(1, ml_dtypes.int4),
}


@pytest.mark.parametrize("array", NO_TENSOR.values(), ids=NO_TENSOR.keys())
def test_an_array_that_is_no_tensor(array: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(UnsupportedType, match="has no tensor type here"):
        name_of(array)


def test_onnxruntime_knows_our_names() -> None:
    """The runtime that serves takes an array of every numeric type that numpy itself has."""
    for name in ("float32", "float64", "float16", "int8", "int64", "uint64", "bool"):
        value = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, numpy_dtype(name)))
        assert value.numpy().dtype == numpy_dtype(name)
