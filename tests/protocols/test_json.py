"""JSON text and tensors without a server: every bit pattern survives, and large bodies stay on the fast path."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.config import Limits
from gateway.core.dtypes import Array
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import InvalidTensor, UnsupportedType
from gateway.protocols import json_tensors
from gateway.protocols.json_outputs import encode_outputs
from gateway.protocols.json_tensors import Decoder
from gateway.protocols.json_text import loads, numbers


def decoder(dtype: str, **options: Any) -> Decoder:
    spec = TensorSpec("x", dtype, None)
    return Decoder(Signature((spec,), (spec,)), Limits(), has_bools=options.get("has_bools", False))


def random_bits(dtype: str, count: int) -> Array:
    raw = np.random.default_rng(20190726).bytes(count * np.dtype(dtype).itemsize)
    return np.frombuffer(raw, dtype).reshape(2, -1)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
)
def test_random_bits_survive_out_and_in(dtype: str) -> None:
    array = random_bits(dtype, 20_000)
    text = encode_outputs({"x": array}, by_row=False).replace(b'{"outputs"', b'{"inputs"')
    tensors, by_row = decoder(dtype).inputs(loads(text, 64))
    assert not by_row
    found = tensors["x"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)  # NaN stands where NaN stood; its payload bits are not JSON's
    if dtype.startswith("float"):
        np.testing.assert_array_equal(np.signbit(found[~np.isnan(found)]), np.signbit(array[~np.isnan(array)]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_are_written_without_loss(dtype: str) -> None:
    import ml_dtypes

    kind = np.dtype(np.float16 if dtype == "float16" else ml_dtypes.bfloat16)
    array = np.arange(1 << 16, dtype=np.uint16).view(kind)
    found = np.array(loads(numbers(array), 64), np.float64).astype(kind)
    finite = np.isfinite(array.astype(np.float32))
    np.testing.assert_array_equal(found[finite].view(np.uint16), array[finite].view(np.uint16))


def test_the_slow_way_gives_what_the_fast_way_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    array = random_bits("float32", 2000)
    document = loads(encode_outputs({"x": array}, by_row=False).replace(b'"outputs"', b'"inputs"'), 64)
    fast = decoder("float32").inputs(document)[0]["x"]
    slow = decoder("float32", has_bools=True).inputs(document)[0]["x"]
    np.testing.assert_array_equal(fast, slow, strict=True)


def test_large_float_bodies_are_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    def walked(*_: Any) -> Any:
        raise AssertionError("element by element")

    monkeypatch.setattr(json_tensors, "_leaves", walked)
    rows = np.random.default_rng(1).random((4, 3, 8, 8)).tolist()
    found, by_row = decoder("float32").inputs({"instances": rows})
    assert by_row
    assert found["x"].shape == (4, 3, 8, 8)
    found, _ = decoder("float32").inputs({"instances": [{"x": row} for row in rows]})
    assert found["x"].shape == (4, 3, 8, 8)


def test_complex_has_no_json() -> None:
    with pytest.raises(UnsupportedType):
        encode_outputs({"x": np.array([1j])}, by_row=False)


def test_rows_need_one_batch_size() -> None:
    with pytest.raises(InvalidTensor):
        encode_outputs({"x": np.zeros(2), "y": np.zeros(3)}, by_row=True)


def test_one_whole_number_a_row_as_onnxruntime_has_them() -> None:
    outputs = {"label": np.array([3, -1], np.longlong), "share": np.array([[0.5], [0.1]], np.float32)}
    text = encode_outputs(outputs, by_row=True)
    assert json.loads(text) == {"predictions": [{"label": 3, "share": [0.5]}, {"label": -1, "share": [0.1]}]}


def test_empty_rows() -> None:
    assert encode_outputs({"x": np.zeros((0, 3), np.float32)}, by_row=True) == b'{"predictions": []}'
    both = {"x": np.zeros((0, 3), np.float32), "y": np.zeros((0,), np.int64)}
    assert encode_outputs(both, by_row=True) == b'{"predictions": []}'
