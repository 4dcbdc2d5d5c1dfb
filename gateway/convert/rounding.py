"""Differences that are rounding of float32 itself: shown, never assumed (docs/decisions/0008).

On inputs a thousand times larger than a model was made for, a few units of the last place can be all
that is left of a signal; then two right float32 answers differ by more than 90 dB allow, and no limit
tells them from a fault. Three things together do:

    every node of the artifact, alone, on the judge's own inputs, holds its limit and NODE_DB
    the source in float64 agrees with both answers to AGREE_DB
    the artifact is no further from it than FACTOR times what the judge is, in sum and at its worst

Rule 1: only float32 outputs of EXTREME inputs, and only a difference of size; everything else about
        the answers, and every ordinary input, stays judged by the ordinary limit.
Rule 2: one comparison that is not shown to be rounding leaves the whole verdict as it was.
Rule 3: every comparison stands in the report, and the reason says what was shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.compare import Comparison
from gateway.core.dtypes import Array
from gateway.process import wire

EXTREME = ("large",)  # kinds of probes
NODE_DB = 110.0  # a node alone: well under the 90 dB of a whole graph, and far above any planted mistake
AGREE_DB = 70.0  # both answers against float64: under it they are noise, and nothing is shown
FACTOR = 2.0  # of error, not of power: 6 dB
LIMIT = "float32, by rounding alone"


@dataclass(frozen=True)
class Shown:
    """What one failed comparison is by the side of float64. Errors are root sums of squares and largest ones."""

    comparison: Comparison
    artifact: tuple[float, float]
    judge: tuple[float, float]
    artifact_db: float
    judge_db: float

    @property
    def is_rounding(self) -> bool:
        near = all(mine <= FACTOR * theirs for mine, theirs in zip(self.artifact, self.judge, strict=True))
        return near and min(self.artifact_db, self.judge_db) >= AGREE_DB


def doubtful(comparisons: Sequence[Comparison], kinds: Mapping[str, str]) -> tuple[Comparison, ...]:
    """The failed ones, if each is a matter of size on an extreme input; else nothing. `kinds` by case."""
    failed = tuple(c for c in comparisons if not c.passed)
    sized = all(c.limit == "float32" and math.isfinite(c.max_abs) for c in failed)
    return failed if sized and all(kinds.get(c.case) in EXTREME for c in failed) else ()


def nodes_hold(answer: Mapping[str, Any]) -> bool:
    """Of rounding:alone: every node was judged alone, and the worst of them is far within its limit."""
    if answer["why"] or answer["worst"] is None:
        return False
    worst = Comparison.from_json(answer["worst"])
    return worst.passed and worst.snr_db >= NODE_DB


def beside(comparison: Comparison, exact: Path, judge: Path, artifact: Path) -> Shown | None:
    """One failed comparison by the side of float64; None where float64 has another shape or is not finite."""
    truth, reference, candidate = (
        wire.load(file)[comparison.output].astype(np.float64) for file in (exact, judge, artifact)
    )
    if not truth.shape == reference.shape == candidate.shape or not np.isfinite(truth).all():
        return None
    return Shown(
        comparison,
        _errors(truth, candidate),
        _errors(truth, reference),
        _db(truth, candidate),
        _db(truth, reference),
    )


def settled(
    comparisons: Sequence[Comparison], shown: Sequence[Shown | None], alone: Sequence[Mapping[str, Any]], exact: str
) -> tuple[tuple[Comparison, ...], str] | None:
    """(all comparisons, what was shown in a sentence), or None where something is not shown to be rounding."""
    found = [each for each in shown if each is not None and each.is_rounding]
    if not shown or len(found) != len(shown) or not alone or not all(nodes_hold(answer) for answer in alone):
        return None
    by_place = {(each.comparison.case, each.comparison.output): each for each in found}
    answer: list[Comparison] = []
    for comparison in comparisons:
        each = by_place.get((comparison.case, comparison.output))
        if comparison.passed or each is None:
            answer.append(comparison)
            continue
        answer.append(replace(comparison, problem="", limit=LIMIT))
        answer.append(
            replace(
                comparison, output=f"{comparison.output}, against float64", snr_db=each.artifact_db,
                max_abs=each.artifact[1], worst_index=(), reference="", candidate="", problem="",
                limit=f"{FACTOR:g} times the judge's own error ({each.judge_db:.1f} dB)",
            )
        )  # fmt: skip
    if not all(c.passed for c in answer):
        return None
    return tuple(answer), _sentence(found, alone, exact)


def _sentence(found: Sequence[Shown], alone: Sequence[Mapping[str, Any]], exact: str) -> str:
    least = min(found, key=lambda each: each.artifact_db)
    worst = min(alone, key=lambda answer: float(answer["worst"]["snr_db"]))
    inputs = sorted({each.comparison.case for each in found})
    return (
        f"past the limit by rounding of float32 alone: {len(found)} on extreme inputs ({', '.join(inputs)}); "
        f"against {exact} the artifact has {least.artifact_db:.1f} dB and the judge itself {least.judge_db:.1f} "
        f"dB, and each of {worst['operators']} nodes alone, on the judge's inputs, holds its limit (the worst, "
        f"{worst['worst_operator']}, with {float(worst['worst']['snr_db']):.1f} dB)"
    )


def _errors(truth: Array, found: Array) -> tuple[float, float]:
    error = np.abs(truth - found)
    return float(np.sqrt(np.sum(error**2))), float(error.max(initial=0.0))


def _db(truth: Array, found: Array) -> float:
    noise, signal = _errors(truth, found)[0], float(np.sqrt(np.sum(truth**2)))
    if not math.isfinite(noise):
        return -math.inf
    return math.inf if noise == 0.0 else 20.0 * math.log10(signal / noise) if signal else -math.inf
