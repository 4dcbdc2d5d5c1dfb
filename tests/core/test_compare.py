"""Comparison: nothing is sorted, cut, cast or broadcast, and each limit holds to the last digit."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gateway.core.compare import EXACT, LIMITS, Comparison, as_bytes, compare, limit_name

NAN, INF = float("nan"), float("inf")


def f32(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


@dataclass(frozen=True)
class Case:
    reference: Any
    candidate: Any
    problem: str = ""  # "" passes; else part of the sentence
    at: tuple[int, ...] = ()
    quantised: bool = False


ramp = np.arange(12, dtype=np.float32).reshape(3, 4)

CASES = {
    "equal": Case(ramp, ramp.copy()),
    "equal scalars": Case(np.float32(3).reshape(()), np.float32(3).reshape(())),
    "both empty": Case(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32)),
    "empty of another shape": Case(np.zeros((0, 4), np.float32), np.zeros((0, 5), np.float32), "shape is [0, 5]"),
    "permuted: the same numbers in other places": Case(f32(1, 2, 3), f32(3, 2, 1), "max error 2", (0,)),
    "permuted rows": Case(ramp, ramp[::-1].copy(), "max error 8"),
    "transposed": Case(ramp.reshape(2, 6), ramp.reshape(2, 6).T.copy(), "shape is [6, 2], the reference has [2, 6]"),
    "transposed square": Case(ramp.reshape(-1)[:9].reshape(3, 3), ramp.reshape(-1)[:9].reshape(3, 3).T, "max error 4"),
    "a scalar does not stand for an array": Case(f32(1, 1), np.float32(1).reshape(()), "shape is []"),
    "a row does not stand for a batch": Case(
        np.ones((2, 3), np.float32), np.ones((1, 3), np.float32), "shape is [1, 3]"
    ),
    "float64 is not float32": Case(ramp, ramp.astype(np.float64), "dtype is float64, the reference has float32"),
    "int32 is not int64": Case(np.arange(3), np.arange(3, dtype=np.int32), "dtype is int32, the reference has int64"),
    "NaN in the same place": Case(f32(1, NAN), f32(1, NAN)),
    "NaN only in the candidate": Case(f32(1, 2), f32(1, NAN), "NaN stands at different places (1 of 2)", (1,)),
    "NaN only in the reference": Case(f32(NAN, 2), f32(1, 2), "NaN stands at different places", (0,)),
    "NaN in another place": Case(f32(NAN, 2), f32(2, NAN), "NaN stands at different places (2 of 2)", (0,)),
    "infinity in the same place": Case(f32(INF, -INF, 1), f32(INF, -INF, 1)),
    "infinity of the other sign": Case(f32(INF, 1), f32(-INF, 1), "other sign"),
    "infinity only in the candidate": Case(f32(1, 1), f32(1, INF), "infinity stands at different places", (1,)),
    "infinity for a large number": Case(f32(3e38), f32(INF), "infinity stands at different places", (0,)),
    "NaN for infinity": Case(f32(INF), f32(NAN), "NaN stands at different places", (0,)),
    "all NaN": Case(f32(NAN, NAN), f32(NAN, NAN)),
    "zeros for zeros": Case(f32(0, 0), f32(0, -0.0)),
    "noise for zeros": Case(f32(0, 0), f32(0, 1e-5), "SNR -inf dB", (1,)),
    "all zero where there is signal": Case(ramp, np.zeros_like(ramp), "max error 11", (2, 3)),
    "one wrong among a million": Case(
        np.ones(1_000_000, np.float32), np.r_[np.ones(999_999), 1.01].astype(np.float32), "max error", (999_999,)
    ),
    "a small error everywhere": Case(np.full(100, 1e-3, np.float32), np.full(100, 1.01e-3, np.float32), "SNR 40.0 dB"),
    "near the end of float64": Case(np.array([1e300, 1e300]), np.array([1e300, 1e300 * (1 + 1e-12)])),
    "integers are exact": Case(
        np.array([1, 2, 3]), np.array([1, 2, 4]), "1 of 3 elements differ, exact equality", (2,)
    ),
    "large integers that a float would round": Case(
        np.array([2**53 + 1]), np.array([2**53]), "1 of 1 elements differ", (0,)
    ),
    "uint64 over the sign": Case(np.array([2**64 - 1], np.uint64), np.array([2**64 - 1], np.uint64)),
    "booleans": Case(np.array([True, False]), np.array([True, True]), "1 of 2 elements differ", (1,)),
    "strings": Case(np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), "1 of 2 elements differ", (1,)),
    "str and bytes of one text": Case(np.array(["\u00e4"], object), np.array(["\u00e4".encode()], object)),
    "a string is not its prefix": Case(np.array([b"ab"], object), np.array([b"a"], object), "1 of 1", (0,)),
    "complex: the imaginary part counts": Case(
        np.array([1 + 1j], np.complex64), np.array([1 - 1j], np.complex64), "max error 2", (0,)
    ),
    "quantised floats may be one step off": Case(ramp, ramp + np.float32(0.1), quantised=True),
    "quantised floats are no free pass": Case(ramp, ramp * np.float32(0.5), "SNR", quantised=True),
    "uint8 does not wrap around: 0 is far from 255": Case(
        np.array([0, 9], np.uint8), np.array([255, 9], np.uint8), "SNR", (0,), quantised=True
    ),
    "a zero point is no signal": Case(
        np.array([200, 198, 203, 200], np.uint8), np.array([198, 200, 200, 202], np.uint8), "SNR", (2,), quantised=True
    ),
    "a step beside a zero point is none either": Case(
        np.array([200, 198, 203, 200], np.uint8), np.array([199, 199, 202, 201], np.uint8), quantised=True
    ),
    "int64 of a quantised graph is exact: an index": Case(np.array([7]), np.array([8]), "1 of 1", (0,), quantised=True),
    "bfloat16 is known": Case(f32(1, 2).astype(ml_dtypes.bfloat16), f32(1, 2).astype(ml_dtypes.bfloat16)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_compare(case: Case) -> None:
    found = compare(case.reference, case.candidate, case="ramp", output="y", quantised=case.quantised)
    assert (case.problem in found.problem, found.passed) == (True, not case.problem), found
    if case.at:
        assert found.worst_index == case.at
        if case.reference.shape == case.candidate.shape:
            assert found.reference == str(case.reference[case.at])
            assert found.candidate == str(case.candidate[case.at])


@dataclass(frozen=True)
class Edge:
    """Two references at one limit: `inside` just passes, `outside` just does not."""

    reference: np.ndarray[Any, Any]
    inside: np.ndarray[Any, Any]
    outside: np.ndarray[Any, Any]
    says: str
    quantised: bool = False


def off_by(dtype: Any, size: int, at: float, error: float) -> np.ndarray[Any, Any]:
    """`size` numbers of value `at`, the first `error` too large."""
    x = np.full(size, at, np.float64)
    x[0] += error
    return x.astype(dtype)


def noisy(dtype: Any, at: float, relative: float) -> np.ndarray[Any, Any]:
    return np.full(64, at * (1 + relative), np.float64).astype(dtype)


bf16 = ml_dtypes.bfloat16
EDGES = {
    # max|r-c| <= max_abs * max(1, max|r|): one element is wrong among so many that the SNR stays high.
    "float32 largest error": Edge(
        off_by("f4", 4_000_000, 1, 0),
        off_by("f4", 4_000_000, 1, 0.99e-4),
        off_by("f4", 4_000_000, 1, 1.02e-4),
        "max error",
    ),
    "float64 largest error": Edge(
        off_by("f8", 4_000_000, 1, 0),
        off_by("f8", 4_000_000, 1, 0.999e-4),
        off_by("f8", 4_000_000, 1, 1.001e-4),
        "max error",
    ),
    "the bound grows with the largest reference": Edge(
        off_by("f8", 4_000_000, 50, 0),
        off_by("f8", 4_000_000, 50, 4.99e-3),
        off_by("f8", 4_000_000, 50, 5.01e-3),
        "max error",
    ),
    "float16 largest error": Edge(
        off_by("f2", 10_000, 1, 0), off_by("f2", 10_000, 1, 9.7e-3), off_by("f2", 10_000, 1, 1.08e-2), "max error"
    ),
    "bfloat16 largest error": Edge(
        off_by(bf16, 10_000, 1, 0), off_by(bf16, 10_000, 1, 0.0938), off_by(bf16, 10_000, 1, 0.11), "max error"
    ),
    # SNR = -20 log10(relative error): every element is off by a little, far under the absolute limit.
    "float32 SNR of 90 dB": Edge(noisy("f4", 1e-2, 0), noisy("f4", 1e-2, 3.11e-5), noisy("f4", 1e-2, 3.21e-5), "SNR"),
    "float64 SNR of 90 dB": Edge(noisy("f8", 1e-2, 0), noisy("f8", 1e-2, 3.16e-5), noisy("f8", 1e-2, 3.17e-5), "SNR"),
    "float16 SNR of 40 dB": Edge(noisy("f2", 0.25, 0), noisy("f2", 0.25, 0.0097), noisy("f2", 0.25, 0.0108), "SNR"),
    "bfloat16 SNR of 30 dB": Edge(noisy(bf16, 0.25, 0), noisy(bf16, 0.25, 0.0313), noisy(bf16, 0.25, 0.0352), "SNR"),
    "quantised SNR of 20 dB": Edge(
        noisy("f4", 1, 0), noisy("f4", 1, 0.0999), noisy("f4", 1, 0.1001), "SNR", quantised=True
    ),
    "int8 of a quantised graph may be a step off": Edge(
        np.array([0, 1, -1, 20], np.int8),
        np.array([1, 2, -2, 19], np.int8),
        np.array([2, 3, -3, 18], np.int8),
        "SNR",
        quantised=True,
    ),
    "uint8 of a quantised graph may be a step off": Edge(
        np.array([0, 1, 2], np.uint8),
        np.array([1, 0, 1], np.uint8),
        np.array([2, 3, 0], np.uint8),
        "SNR",
        quantised=True,
    ),
}


@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES.keys())
def test_limits_at_the_edge(edge: Edge) -> None:
    inside = compare(edge.reference, edge.inside, quantised=edge.quantised)
    assert inside.passed, inside
    assert inside.max_abs > 0, "the row must be wrong by something, or it shows nothing"
    outside = compare(edge.reference, edge.outside, quantised=edge.quantised)
    assert edge.says in outside.problem, outside


def test_every_limit_has_an_edge() -> None:
    rows = {limit_name(compare(e.reference, e.inside).dtype, quantised=e.quantised) for e in EDGES.values()}
    assert rows == set(LIMITS)


def test_every_limit_has_its_reason() -> None:
    assert all(len(limit.why) > 20 for limit in (*LIMITS.values(), EXACT))


ROWS = {
    ("float32", False): "float32",
    ("float64", False): "float64",
    ("complex64", False): "float64",
    ("int64", False): "exact",
    ("string", False): "exact",
    ("bool", True): "exact",
    ("float32", True): "quantised",
    ("uint8", True): "quantised step",
    ("uint8", False): "exact",
}


@pytest.mark.parametrize(("key", "row"), ROWS.items(), ids=str)
def test_limit_name(key: tuple[str, bool], row: str) -> None:
    assert limit_name(key[0], quantised=key[1]) == row


def test_snr_is_the_formula_of_the_docstring() -> None:
    rng = np.random.default_rng(1)
    r = rng.normal(size=(5, 7)).astype(np.float32)
    c = r + rng.normal(scale=1e-6, size=r.shape).astype(np.float32)
    error = r.astype(np.float64) - c.astype(np.float64)
    expected = 10 * math.log10(float((r.astype(np.float64) ** 2).sum()) / float((error**2).sum()))
    assert compare(r, c).snr_db == pytest.approx(expected, abs=1e-9)


@dataclass(frozen=True)
class Worse:
    """`worse` must be shown before `better` as the worst of a report."""

    worse: Comparison
    better: Comparison = field(default_factory=lambda: compare(f32(1, 2), f32(1, 2)))


WORSE = {
    "a failure beats a pass": Worse(compare(f32(1), f32(2)), compare(f32(1000), f32(1000.01))),
    "a wrong shape beats wrong numbers": Worse(compare(f32(1), f32(1, 1)), compare(f32(1), f32(2))),
    "a larger error beats a smaller": Worse(compare(f32(1, 1), f32(1, 1.00005)), compare(f32(1), f32(1.00001))),
    "wrong integers beat right floats": Worse(compare(np.array([1]), np.array([2])), compare(f32(1), f32(1.00001))),
}


@pytest.mark.parametrize("case", WORSE.values(), ids=WORSE.keys())
def test_severity_orders(case: Worse) -> None:
    assert case.worse.severity > case.better.severity


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_json_round_trip(case: Case) -> None:
    found = compare(case.reference, case.candidate, quantised=case.quantised)
    text = json.dumps(found.to_json(), allow_nan=False)  # infinity and NaN are no JSON
    back = Comparison.from_json(json.loads(text))
    assert repr(back) == repr(found)  # repr: NaN is not equal to itself


def test_as_bytes_keeps_shape_and_bytes() -> None:
    found = as_bytes(np.array([["a", b"\xff"]], object))
    assert found.shape == (1, 2)
    assert found.tolist() == [[b"a", b"\xff"]]
