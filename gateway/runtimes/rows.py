"""A model that takes a fixed number of rows a call, for callers with any number: filled up, cut, joined again.

Rule 1: it stands before every runtime alike, in verification and in serving: what was proven is what serves.
Rule 2: a call is filled up with copies of its last row, whose answers are dropped: no made-up values reach the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from gateway.core.artifact import Artifact
from gateway.core.dtypes import Tensors
from gateway.errors import ModelRunError
from gateway.runtimes.base import Runtime


class Rows(Runtime):
    """`inner` with every signature of a fixed number of rows taking any. `rows` is by signature name."""

    name: ClassVar[str] = "rows"

    def __init__(self, inner: Runtime, rows: Mapping[str, int]) -> None:
        self._inner, self._rows = inner, dict(rows)
        self.in_process = inner.in_process

    @classmethod
    def accepts(cls, artifact: Artifact) -> bool:
        return False  # it runs nothing itself

    @classmethod
    def load(cls, artifact: Artifact, folder: Path, *, threads: int = 0, providers: Sequence[str] = ()) -> Rows:
        raise ModelRunError("Rows stands before a runtime that is loaded; expected `filled(runtime, artifact)`.")

    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        rows = self._rows.get(signature, 0)
        if not rows:
            return self._inner.run(signature, inputs, outputs)
        total = next(iter(inputs.values())).shape[0]
        parts = [self._part(signature, inputs, outputs, start, rows) for start in range(0, max(total, 1), rows)]
        if len(parts) == 1:
            return {name: array[:total] for name, array in parts[0].items()}
        return {name: np.concatenate([part[name] for part in parts])[:total] for name in parts[0]}

    def _part(self, signature: str, inputs: Tensors, outputs: Sequence[str], start: int, rows: int) -> Tensors:
        """The answers of `rows` rows from `start` on. Errors: ModelRunError for no rows at all, or not as many back."""
        given = {name: array[start : start + rows] for name, array in inputs.items()}
        found = next(iter(given.values())).shape[0]
        if not found:
            raise ModelRunError(f"a call without rows; the model takes {rows} at a time, any number is filled up.")
        if found < rows:
            given = {name: np.concatenate([a, np.repeat(a[-1:], rows - found, axis=0)]) for name, a in given.items()}
        answers = self._inner.run(signature, {name: np.ascontiguousarray(a) for name, a in given.items()}, outputs)
        wrong = [name for name, array in answers.items() if array.ndim == 0 or array.shape[0] != rows]
        if wrong:
            raise ModelRunError(f"output {wrong[0]!r} has not {rows} rows: {list(answers[wrong[0]].shape)}.")
        return answers

    def placement(self) -> dict[str, str]:
        return self._inner.placement()

    def close(self) -> None:
        self._inner.close()


def filled(runtime: Runtime, artifact: Artifact) -> Runtime:
    """The runtime itself, or with Rows before it where a signature has a fixed number of rows."""
    rows = {signature.name: signature.rows for signature in artifact.signatures if signature.rows}
    return Rows(runtime, rows) if rows else runtime
