"""Where onnx's ReferenceEvaluator 1.23 departs from the standard, corrected: a judge must be right.

    BatchNormalization below opset 14    it normalises with the batch's own statistics whenever
        `momentum` is set, which its default does; the standard does that only in training,
        which those opsets show by further outputs (or is_test=0 below opset 7)
    Add, Sub, Mul, Div below opset 7     it does not know `broadcast` and `axis`

Rule 1: a correction is used only for the opsets that need it, and the judge's name says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gateway.core.dtypes import Array

LEGACY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


def corrections(model: Any) -> list[Any]:
    """Operator classes for ReferenceEvaluator(new_ops=...), for what this model uses."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    used = {node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")}
    # One that really trains (more outputs) is left to the evaluator.
    trains = any(node.op_type == "BatchNormalization" and len(node.output) > 1 for node in model.graph.node)
    found = []
    if opset < 14 and "BatchNormalization" in used and not trains:
        found.append(_batch_normalization())
    if opset < 7:
        found += [_legacy(name) for name in sorted(used & set(LEGACY))]
    return found


def _batch_normalization() -> Any:
    from onnx.reference.op_run import OpRun

    class BatchNormalization(OpRun):  # type: ignore[misc]
        op_domain = ""

        def _run(
            self,
            x: Array,
            scale: Array,
            bias: Array,
            mean: Array,
            variance: Array,
            epsilon: float | None = None,
            **_: Any,
        ) -> tuple[Array]:
            # scale, bias, mean, variance are (C,) and stand along axis 1 of x (N, C, ...)
            axes = (1, -1) + (1,) * (x.ndim - 2)
            s, b, m, v = (array.astype(np.float64).reshape(axes) for array in (scale, bias, mean, variance))
            y = s * (x - m) / np.sqrt(v + (1e-5 if epsilon is None else epsilon)) + b
            return (y.astype(x.dtype),)

    return BatchNormalization


def _legacy(name: str) -> Any:
    from onnx.reference.op_run import OpRun

    compute = LEGACY[name]

    def run(self: Any, a: Array, b: Array, axis: int | None = None, broadcast: int | None = None, **_: Any) -> Any:
        if broadcast and b.ndim:
            # b's shape is a contiguous part of a's, starting at `axis`; by default its end.
            start = a.ndim - b.ndim if axis is None else axis % a.ndim
            b = b.reshape((1,) * start + b.shape + (1,) * (a.ndim - start - b.ndim))
        elif a.shape != b.shape and not broadcast:
            raise ValueError(f"{name} without broadcast: shapes {a.shape} and {b.shape} differ")
        return (compute(a, b).astype(a.dtype),)

    return type(name, (OpRun,), {"op_domain": "", "_run": run})
