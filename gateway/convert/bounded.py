"""Outputs of Sigmoid, Softmax and Tanh: judged before the operator where the output itself cannot be judged.

Far out in the tail the answer is 1e-8 and a runtime's approximation of the operator is off by as
much: a poor SNR of a right answer. With large inputs the logits are in the hundreds, where float32
itself has steps of 1e-4, and the operator hands that on. The limit is not widened for either:
the tensor that goes into the operator must hold the ordinary limit, and the operator, computed
in float64 from the artifact's own tensor, must agree with the artifact's output to STEP; computed
from the judge's tensor, it must agree with the judge's output to STEP too, or it is another one.

Rule 1: only a float32 output that such an operator makes itself, and only a difference of size:
        a wrong shape, dtype, NaN or infinity stays what it is.
Rule 2: every comparison stands in the report, and says by which limit it passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.convert.answers import file_of
from gateway.core.compare import Comparison, compare
from gateway.process import wire
from gateway.process.job import JobResult

STEP = 2.0**-21  # a few steps of float32 at 1.0: onnxruntime's Sigmoid is off by up to 2.4e-7
LIMIT = "float32, judged before the operator"


def doubtful(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The failed ones, if the only trouble of every one of them is the size of the error; else nothing."""
    failed = tuple(c for c in comparisons if not c.passed)
    return failed if all(c.limit == "float32" and math.isfinite(c.max_abs) for c in failed) else ()


def arguments(failed: Sequence[Comparison], inputs: Mapping[str, Path]) -> list[dict[str, str]] | None:
    """What the Job `gateway.formats.tails:ours` is asked; None when a case's inputs are not known."""
    if any(c.case not in inputs for c in failed):
        return None
    return [{"case": c.case, "output": c.output, "inputs": str(inputs[c.case].absolute())} for c in failed]


def compared(ours: JobResult, theirs: JobResult, same: JobResult) -> list[dict[str, Any]]:
    """Answers of `tails:ours` with the comparison to the judge's tensor (`theirs`) and the error of `same`."""
    found = []
    for answer, file, error in zip(ours.value["answers"], theirs.value["files"], same.value["errors"], strict=True):
        if file:
            name = answer["tensor"]
            both = [wire.load(path)[name] for path in (file_of(theirs, file), file_of(ours, answer["file"]))]
            comparison = compare(both[0], both[1], output=name).to_json()
            found.append({**answer, "comparison": comparison, "judges_error": float(error)})
    return found


def settled(
    comparisons: Sequence[Comparison], failed: Sequence[Comparison], answers: Sequence[Mapping[str, Any]]
) -> tuple[Comparison, ...] | None:
    """All comparisons, the failed ones judged before their operator; None when one of them fails there too."""
    before = {(a["case"], a["output"]): a for a in answers if a.get("comparison")}
    found: list[Comparison] = []
    for comparison in comparisons:
        if comparison not in failed:
            found.append(comparison)
            continue
        answer = before.get((comparison.case, comparison.output))
        if answer is None or not all(float(answer[key]) <= STEP for key in ("own_error", "judges_error")):
            return None
        inner = Comparison.from_json(answer["comparison"])
        if not inner.passed:
            return None
        name = f"{comparison.output}, before its {answer['operator']}"
        found += [replace(comparison, problem="", limit=LIMIT), replace(inner, case=comparison.case, output=name)]
    return tuple(found)
