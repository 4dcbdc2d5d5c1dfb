"""Elementwise comparison of two arrays: unsorted, with shape and dtype, and a limit that is a row.

SNR = 10 * log10(sum(r^2) / sum((r - c)^2)) in dB, r the reference, c the candidate, in float64. Of the whole numbers
of a quantised graph r is taken from its mean: which zero point they stand around is no signal.

Rule 1: arrays are compared where they are: nothing is sorted, flattened away, cut or broadcast.
Rule 2: NaN and infinities must stand in the same places, infinities with the same sign.
Rule 3: every limit is a row of LIMITS and carries its reason. Nobody widens one in passing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, dtype, name_of


@dataclass(frozen=True)
class Limit:
    """Passes when SNR >= `snr_db` and max|r-c| <= `max_abs` * max(1, max|r|). `why` is the reason.

    A difference of at most `step` in one element is no difference; it is still reported.
    """

    snr_db: float
    max_abs: float
    why: str
    step: float = 0.0


EXACT = Limit(math.inf, 0.0, "integers, booleans and strings have no rounding")
LIMITS: dict[str, Limit] = {
    "float64": Limit(90.0, 1e-4, "a float64 graph is held to the float32 limit: runtimes may compute parts in float32"),
    "float32": Limit(90.0, 1e-4, "fp32 on CPU, the product's promise (architecture 4)"),
    "float16": Limit(40.0, 1e-2, "10 bits of mantissa: one rounding is 2^-11, a layer adds some (formats.md 5.1)"),
    "bfloat16": Limit(30.0, 1e-1, "7 bits of mantissa: one rounding is 2^-8 (formats.md 5.1)"),
    "quantised": Limit(20.0, math.inf, "one step of a quantiser is a legal difference of rounding (formats.md 5.1)"),
    "quantised step": Limit(
        20.0, math.inf, "integer output of a quantised graph: a step of +-1 is rounding, not an error", step=1.0
    ),
}


@dataclass(frozen=True)
class Comparison:
    """One output of one case. `worst_index` is where |r-c| is largest; values are printed there.

    `problem` is empty when it passed; else one sentence. `severity` orders: > 1 has failed.
    """

    case: str
    output: str
    dtype: str
    shape: tuple[int, ...]
    snr_db: float
    max_abs: float
    worst_index: tuple[int, ...] = ()
    reference: str = ""
    candidate: str = ""
    problem: str = ""
    limit: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem

    @property
    def severity(self) -> float:
        if self.problem and math.isnan(self.max_abs):
            return math.inf
        base = 1e12 if self.problem else 0.0
        return base + (self.max_abs if math.isfinite(self.max_abs) else 1e11)

    def to_json(self) -> dict[str, Any]:
        return {
            "case": self.case,
            "output": self.output,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "snr_db": _number(self.snr_db),
            "max_abs": _number(self.max_abs),
            "worst_index": list(self.worst_index),
            "reference": self.reference,
            "candidate": self.candidate,
            "problem": self.problem,
            "limit": self.limit,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        return cls(
            case=data["case"],
            output=data["output"],
            dtype=data["dtype"],
            shape=tuple(data["shape"]),
            snr_db=float(data["snr_db"]),
            max_abs=float(data["max_abs"]),
            worst_index=tuple(data["worst_index"]),
            reference=data["reference"],
            candidate=data["candidate"],
            problem=data["problem"],
            limit=data["limit"],
        )


def _number(value: float) -> float | str:
    """JSON has no infinity: 'inf', '-inf' and 'nan' as text; float() reads both."""
    return value if math.isfinite(value) else str(value)


def limit_name(dtype_name: str, *, quantised: bool = False) -> str:
    """The row of LIMITS for an output of this dtype; 'exact' for integers, booleans, strings."""
    floating = dtype(dtype_name).kind in "fc"
    if quantised and floating:
        return "quantised"
    if quantised and dtype_name in ("int8", "uint8"):
        return "quantised step"
    if not floating:
        return "exact"
    return dtype_name if dtype_name in LIMITS else "float64"


def compare(
    reference: Array, candidate: Array, *, case: str = "", output: str = "", quantised: bool = False
) -> Comparison:
    """Compare one output. Never raises for a difference: the answer is in `problem`."""
    ref_type, got_type = name_of(reference), name_of(candidate)
    row = limit_name(ref_type, quantised=quantised)
    limit = EXACT if row == "exact" else LIMITS[row]

    def answer(problem: str, snr: float = math.nan, worst: float = math.nan, at: tuple[int, ...] = ()) -> Comparison:
        shown = at and reference.shape == candidate.shape
        return Comparison(
            case=case,
            output=output,
            dtype=ref_type,
            shape=tuple(int(n) for n in reference.shape),
            snr_db=snr,
            max_abs=worst,
            worst_index=at,
            reference=str(reference[at])[:60] if shown else "",
            candidate=str(candidate[at])[:60] if shown else "",
            problem=problem,
            limit=row,
        )

    if ref_type != got_type:
        return answer(f"dtype is {got_type}, the reference has {ref_type}")
    if reference.shape != candidate.shape:
        return answer(f"shape is {list(candidate.shape)}, the reference has {list(reference.shape)}")
    if reference.size == 0:
        return answer("", math.inf, 0.0)
    if dtype(ref_type).kind in "sb" or (row == "exact"):
        return _exact(reference, candidate, answer)
    return _close(reference, candidate, limit, answer)


def _exact(reference: Array, candidate: Array, answer: Callable[..., Comparison]) -> Comparison:
    if dtype(name_of(reference)).kind == "s":
        reference, candidate = as_bytes(reference), as_bytes(candidate)
    differs = np.asarray(reference != candidate, dtype=bool)
    if not differs.any():
        return answer("", math.inf, 0.0)
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), differs.shape))
    count = int(differs.sum())
    return answer(f"{count} of {differs.size} elements differ, exact equality expected", -math.inf, math.inf, at)


def _close(reference: Array, candidate: Array, limit: Limit, answer: Callable[..., Comparison]) -> Comparison:
    wide = np.complex128 if reference.dtype.kind == "c" else np.float64
    r, c = reference.astype(wide), candidate.astype(wide)
    for name, mask in (("NaN", np.isnan), ("infinity", np.isinf)):
        differs = mask(r) != mask(c)
        if differs.any():
            at = tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), r.shape))
            return answer(
                f"{name} stands at different places ({int(differs.sum())} of {r.size})", math.nan, math.nan, at
            )
    infinite = np.isinf(r)
    if bool((r[infinite] != c[infinite]).any()):
        return answer("an infinity has the other sign")
    finite = np.isfinite(r)
    r, c = np.where(finite, r, 0), np.where(finite, c, 0)
    error = np.abs(r - c)
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))
    worst, scale = float(error.max()), float(np.abs(r).max())
    # Whole numbers of a quantised graph stand around a zero point, which is no signal: 198 for 200 is not 40 dB.
    snr = _snr_db(r - r.mean() if limit.step else r, np.where(error > limit.step, error, 0.0))
    bound = limit.max_abs * max(1.0, scale)
    if worst > bound:
        return answer(f"max error {worst:.3g} is over {bound:.3g}", snr, worst, at)
    if snr < limit.snr_db:
        return answer(f"SNR {snr:.1f} dB is under {limit.snr_db:.0f} dB", snr, worst, at)
    return answer("", snr, worst, at)


def _snr_db(r: Array, error: Array) -> float:
    """Infinite for no error; for a reference of all zeros -inf unless the candidate is zero too."""
    # Scaled first: squares of values near the end of float64's range would overflow to inf/inf.
    scale = float(np.abs(r).max())
    if not error.any():
        return math.inf
    if scale == 0.0:
        return -math.inf
    noise = float(np.sum((error / scale) ** 2))
    signal = float(np.sum(np.abs(r / scale) ** 2))
    return 10.0 * math.log10(signal / noise) if noise > 0.0 else math.inf


def as_bytes(array: Array) -> Array:
    """A string array with every element as bytes, so that str and bytes compare equal."""
    flat = [item if isinstance(item, bytes) else str(item).encode() for item in array.reshape(-1).tolist()]
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out.reshape(array.shape)
