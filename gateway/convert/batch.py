"""Is the first dimension a batch? Shown, not believed: row k of a batch equals the single run.

Only then may the gateway join requests of different clients into one run.

Rule 1: every kind of probe must agree, on the artifact, and on the oracle wherever it answered.
Rule 2: the limit is never the wide one of quantised graphs: a scale computed over the whole
        batch makes rows depend on each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.convert.jobs import made_by
from gateway.core.compare import compare
from gateway.core.dtypes import Tensors
from gateway.core.probes import BATCH, batchable
from gateway.core.signature import Signature
from gateway.process import wire
from gateway.process.job import JobResult


def proof(
    signature: Signature, oracle: Mapping[str, Path], artifact: Mapping[str, Any], run: JobResult
) -> tuple[bool, str]:
    """(batched, one sentence). `oracle`: answers by case, as files; `artifact`: the cases of the Job `run`."""
    if not signature.inputs:
        return False, "the model has no inputs"
    if not batchable(signature):
        fixed = next(s for s in signature.inputs if s.shape is None or not s.shape or s.shape[0] is not None)
        return False, f"input {fixed} has no free first dimension"
    kinds = 0
    for name, case in artifact.items():
        if case["row"] is not None or f", batch of {BATCH}" not in name:
            continue
        rows = [name.replace(f", batch of {BATCH}", f", row {row}") for row in range(BATCH)]
        if any(row not in artifact for row in rows):
            continue
        if case["error"] or any(artifact[row]["error"] for row in rows):
            return False, f"the artifact does not take {name!r} or its rows: {case['error']}"
        whole = wire.load(made_by(run, case["outputs"]))
        singles = [wire.load(made_by(run, artifact[row]["outputs"])) for row in rows]
        problem = _rows_differ(whole, singles)
        if problem:
            return False, f"{name}, artifact: {problem}"
        if name in oracle and all(row in oracle for row in rows):
            problem = _rows_differ(wire.load(oracle[name]), [wire.load(oracle[row]) for row in rows])
            if problem:
                return False, f"{name}, oracle: {problem}"
        kinds += 1
    if not kinds:
        return False, f"no batch of {BATCH} was accepted"
    where = "the artifact and the oracle" if oracle else "the artifact alone"
    return True, f"row k of a batch of {BATCH} equals the single run on {where}, for {kinds} kinds of input"


def _rows_differ(whole: Tensors, singles: list[Tensors]) -> str:
    for name, array in whole.items():
        if array.ndim == 0 or array.shape[0] != BATCH:
            return f"output {name!r} of {BATCH} rows has shape {list(array.shape)}"
        for row, single in enumerate(singles):
            found = compare(single[name], array[row : row + 1])
            if not found.passed:
                return f"row {row} of output {name!r} is not the single run: {found.problem}"
    return ""
