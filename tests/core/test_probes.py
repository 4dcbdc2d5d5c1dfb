"""Probes: the same every time, all kinds, and made to show what real pictures hide."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.hints import Hint
from gateway.core.probes import BATCH, KINDS, Sizing, batchable, first, fixed, other_size, probes, sizings
from gateway.core.signature import Signature, TensorSpec


def signature(*inputs: TensorSpec) -> Signature:
    return Signature(inputs, ())


PICTURE = signature(TensorSpec("data", "float32", (None, 3, None, None), symbols=("N", "", "H", "W")))
FIXED = signature(TensorSpec("data", "float32", (2, 3)))
IDS = signature(TensorSpec("ids", "int64", (None, 8)))


def test_the_same_seed_gives_the_same_numbers() -> None:
    once = [p.inputs["data"] for p in probes(PICTURE, Sizing(8), {}, 1)]
    again = [p.inputs["data"] for p in probes(PICTURE, Sizing(8), {}, 1)]
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    other = next(probes(PICTURE, Sizing(8), {}, 2)).inputs["data"]
    assert (other != once[0]).any()


def test_a_batch_is_its_rows() -> None:
    found = {p.name: p for p in probes(PICTURE, Sizing(8), {}, 1)}
    assert len(found) == len(KINDS) * (BATCH + 1)
    for kind in KINDS:
        whole = found[f"{kind}, batch of 3"].inputs["data"]
        assert whole.shape == (3, 3, 8, 8)
        rows = [found[f"{kind}, row {row}"].inputs["data"] for row in range(BATCH)]
        np.testing.assert_array_equal(np.concatenate(rows), whole, strict=True)
        if kind != "zeros":
            assert (rows[0] != rows[1]).any()
            assert (rows[1] != rows[2]).any()


def test_a_fixed_first_dimension_gets_each_kind_once() -> None:
    assert [p.name for p in probes(FIXED, Sizing(), {}, 1)] == list(KINDS)
    assert not batchable(FIXED)


def test_the_ramp_tells_every_axis_and_direction() -> None:
    ramp = next(probes(PICTURE, Sizing(6), {}, 1, kinds=("ramp",))).inputs["data"]
    assert np.unique(ramp).size == ramp.size
    for axis in (1, 2, 3):
        assert (np.flip(ramp, axis) != ramp).all() or ramp.shape[axis] % 2 == 1
        assert not np.allclose(np.flip(ramp, axis), -ramp)
    assert not np.allclose(ramp.swapaxes(2, 3), ramp)


def test_impulses_stand_at_corners_and_edges() -> None:
    for kind, spots in (("corners", {0, 4}), ("edges", {0, 2, 4})):
        whole = next(p for p in probes(PICTURE, Sizing(5), {}, 1, kinds=(kind,)) if p.row is None).inputs["data"]
        for row in whole:
            assert row.any()
        _, _, height, width = np.nonzero(whole)
        assert set(height) | set(width) == spots


def test_large_values_have_both_signs() -> None:
    large = next(probes(PICTURE, Sizing(8), {}, 1, kinds=("large",))).inputs["data"]
    assert large.max() > 1000
    assert large.min() < -1000


def test_free_dimensions_of_one_symbol_have_one_size() -> None:
    both = signature(
        TensorSpec("a", "float32", (None, None), symbols=("n", "length")),
        TensorSpec("b", "float32", (None, None, None), symbols=("n", "length", "other")),
    )
    found = next(p for p in probes(both, Sizing(8, odd=True), {}, 1, kinds=("normal",)) if p.row is None).inputs
    assert found["a"].shape[1] == found["b"].shape[1]
    assert found["b"].shape[2] != found["b"].shape[1]
    assert all(size % 2 for size in found["b"].shape[1:])


def test_a_sum_of_symbols_is_a_sum() -> None:
    mask = signature(
        TensorSpec("x", "float32", (None, None), symbols=("n", "now")),
        TensorSpec("past", "float32", (None, None), symbols=("n", "before")),
        TensorSpec("mask", "float32", (None, None), symbols=("n", "before + now")),
    )
    assert first(mask, Sizing(8), {}, 1).inputs["mask"].shape == (1, 16)


def test_indices_stay_inside_the_hint_and_reach_its_ends() -> None:
    values = np.concatenate([p.inputs["ids"].reshape(-1) for p in probes(IDS, Sizing(), {"ids": Hint(5)}, 1)])
    assert values.min() == 0
    assert values.max() == 4


DTYPES = ["float16", "bfloat16", "float64", "int8", "uint8", "int32", "uint64", "bool", "string", "complex64"]


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_is_made_as_declared(name: str) -> None:
    spec = TensorSpec("x", name, (None, 2))
    for probe in probes(signature(spec), Sizing(), {}, 1):
        signature(spec).check(probe.inputs)


def test_bytes_use_their_whole_range() -> None:
    spec = TensorSpec("x", "int8", (None, 400))
    values = next(probes(signature(spec), Sizing(), {}, 1, kinds=("large",))).inputs["x"]
    assert (values.min(), values.max()) == (-128, 127)


def test_strings_are_bytes_and_not_only_digits() -> None:
    text = signature(TensorSpec("x", "string", (None, 30)))
    found = {p.kind: p.inputs["x"] for p in probes(text, Sizing(), {}, 1, batches=False)}
    assert all(item.isdigit() for item in found["normal"].reshape(-1))
    assert "größe".encode() in found["uniform"]


def test_guesses_of_sizes() -> None:
    assert len(list(sizings(FIXED, {}))) == 1
    assert [s.size for s in sizings(PICTURE, {})][:3] == [32, 24, 48]
    assert len(list(sizings(IDS, {"ids": Hint(5)}))) == 1
    assert [s.integer_bound for s in sizings(IDS, {})] == [100, 10, 2, 1]
    assert len({s.rank for s in sizings(signature(TensorSpec("x", "float32", None)), {})}) == 5


def test_a_guess_that_is_too_large_is_not_tried() -> None:
    many = signature(TensorSpec("x", "float32", (None,) * 6))
    assert max(s.size for s in sizings(many, {})) < 32


def test_a_second_size_only_where_something_is_free() -> None:
    assert fixed(FIXED)
    assert other_size(FIXED, Sizing()) is None
    assert other_size(PICTURE, Sizing()) == Sizing(odd=True)


def test_no_inputs_is_one_call_a_kind() -> None:
    assert [p.inputs for p in probes(signature(), Sizing(), {}, 1)] == [{}] * len(KINDS)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_floats_that_are_indices_are_whole_and_within_the_table(name: str) -> None:
    ids = signature(TensorSpec("ids", name, (None, 40)))
    for probe in probes(ids, Sizing(), {"ids": Hint(7)}, 1):
        values = probe.inputs["ids"]
        assert values.dtype == name
        assert (values == np.floor(values)).all()
        assert values.min() >= 0
        assert values.max() <= 6
