"""A model of a fixed number of rows, called with any number: every row gets its own answer, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.core.artifact import Artifact, Provenance, Verdict, Verification
from gateway.core.dtypes import Tensors
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ModelRunError
from gateway.runtimes.base import Runtime
from gateway.runtimes.rows import filled


class Doubles(Runtime):
    """y = 2 x, s = x as text, for exactly `rows` rows."""

    name = "doubles"
    in_process = False

    def __init__(self, rows: int, lost: int = 0) -> None:
        self.rows, self.lost, self.calls = rows, lost, 0

    @classmethod
    def accepts(cls, artifact: Artifact) -> bool:
        return True

    @classmethod
    def load(cls, artifact: Artifact, folder: Path, *, threads: int = 0, providers: Sequence[str] = ()) -> Doubles:
        return cls(2)

    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        assert inputs["x"].shape == (self.rows, 2)
        self.calls += 1
        made = {"y": 2 * inputs["x"][: self.rows - self.lost], "s": inputs["x"][:, 0].astype(str).astype(object)}
        return {name: made[name] for name in outputs or made}

    def placement(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        self.calls = -1


def artifact(rows: int) -> Artifact:
    specs = [TensorSpec(name, kind, shape) for name, kind, shape in
             (("x", "float32", (None, 2)), ("y", "float32", (None, 2)), ("s", "string", (None,)))]  # fmt: skip
    signature = Signature((specs[0],), tuple(specs[1:]), rows=rows)
    verification = Verification(Verdict.UNVERIFIED)
    return Artifact("0", "onnx", (signature,), Provenance("onnx", "", "", "", "", "", ""), verification)


@pytest.mark.parametrize(("rows", "total", "calls"), [(2, n, -(-n // 2)) for n in range(1, 6)] + [(1, 3, 3), (4, 4, 1)])
def test_every_row_gets_its_own_answer(rows: int, total: int, calls: int) -> None:
    inner = Doubles(rows)
    x = np.arange(2 * total, dtype=np.float32).reshape(total, 2)
    runtime = filled(inner, artifact(rows))
    assert runtime.in_process is False, "the batcher asks it whether a call may run in the event loop"
    answers = runtime.run("serving_default", {"x": x})
    np.testing.assert_allclose(answers["y"], 2 * x, strict=True)
    assert answers["s"].tolist() == x[:, 0].astype(str).tolist()
    assert inner.calls == calls
    assert list(runtime.run("serving_default", {"x": x}, ["s"])) == ["s"]


def test_without_a_fixed_number_nothing_stands_before_the_runtime() -> None:
    inner = Doubles(2)
    assert filled(inner, artifact(0)) is inner


WRONG = {
    "no rows at all": (Doubles(2), 0, "a call without rows"),
    "an answer that has lost a row": (Doubles(2, lost=1), 2, "output 'y' has not 2 rows: \\[1, 2\\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_cut_is_an_error(name: str) -> None:
    inner, total, said = WRONG[name]
    with pytest.raises(ModelRunError, match=said):
        filled(inner, artifact(2)).run("serving_default", {"x": np.zeros((total, 2), np.float32)})
