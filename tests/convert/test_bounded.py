"""What may be judged before its operator, and what stays failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import Settings
from gateway.convert import bounded
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import Verdict
from gateway.core.compare import Comparison, compare
from gateway.core.modeltoml import ModelOptions
from gateway.formats.base import Source, all_formats
from gateway.process.environments import Environments
from tests import models
from tests.formats.wire_format import message, number

TAIL = replace(
    compare(np.full(4, 1e-8, np.float32), np.full(4, 3e-8, np.float32), case="normal", output="y"), limit="float32"
)
GOOD = compare(np.ones(4, np.float32), np.ones(4, np.float32), case="zeros", output="y")
LOGITS = compare(np.full(4, -18.0, np.float32), np.full(4, -18.00001, np.float32), output="x")
WRONG_LOGITS = compare(np.full(4, -18.0, np.float32), np.full(4, -17.0, np.float32), output="x")
NAN = compare(np.zeros(4, np.float32), np.full(4, np.nan, np.float32), case="normal", output="y")
SHAPE = compare(np.zeros(4, np.float32), np.zeros(5, np.float32), case="normal", output="y")
INTEGERS = compare(np.zeros(4, np.int32), np.ones(4, np.int32), case="normal", output="y")


def answer(inner: Comparison | None, own_error: float = 0.0, judges_error: float = 0.0) -> dict[str, Any]:
    found = inner.to_json() if inner else None
    errors = {"own_error": own_error, "judges_error": judges_error}
    return {"case": "normal", "output": "y", "operator": "Sigmoid", "comparison": found, **errors}


@dataclass
class Case:
    comparisons: tuple[Comparison, ...]
    answers: list[dict[str, Any]]
    passes: bool


CASES = {
    "a tail whose logits agree": Case((GOOD, TAIL), [answer(LOGITS)], True),
    "a tail whose logits do not": Case((GOOD, TAIL), [answer(WRONG_LOGITS)], False),
    "an operator that is not the operator": Case((TAIL,), [answer(LOGITS, 1e-3)], False),
    "an operator that is another one than the judge's": Case((TAIL,), [answer(LOGITS, 0.0, 0.3)], False),
    "an operator that the judge does not show": Case((TAIL,), [answer(LOGITS, 0.0, float("nan"))], False),
    "an operator whose error is not known": Case((TAIL,), [answer(LOGITS, float("nan"))], False),
    "no operator of a bounded range": Case((TAIL,), [answer(None)], False),
    "a case that nobody answered": Case((TAIL,), [], False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_settled(case: Case) -> None:
    assert not TAIL.passed
    failed = bounded.doubtful(case.comparisons)
    assert failed == (TAIL,)
    again = bounded.settled(case.comparisons, failed, case.answers)
    assert (again is not None and all(c.passed for c in again)) is case.passes
    if again is not None:
        assert len(again) == len(case.comparisons) + 1, "both comparisons stand in the report"


@pytest.mark.parametrize("other", [NAN, SHAPE, INTEGERS], ids=["NaN", "shape", "integers"])
def test_what_is_no_question_of_size_is_not_asked_about(other: Comparison) -> None:
    assert not other.passed
    assert bounded.doubtful((TAIL, other)) == ()


def tail_model(bias: float, last: str = "Sigmoid") -> bytes:
    """ONNX: y = Sigmoid(x * 8 + bias), x float32 [n, 4]: with bias -18 far out in the tail."""

    def info(name: str) -> bytes:
        dims = message(1, message(2, "n")) + message(1, number(1, 4))
        return message(1, name) + message(2, message(1, number(1, 1) + message(2, dims)))

    def node(op: str, inputs: tuple[str, ...], output: str) -> bytes:
        return b"".join(message(1, name) for name in inputs) + message(2, output) + message(3, output) + message(4, op)

    def scalar(name: str, value: float) -> bytes:
        return number(2, 1) + message(8, name) + message(9, np.float32(value).tobytes())

    graph = message(1, node("Mul", ("x", "scale"), "a")) + message(1, node("Add", ("a", "bias"), "z"))
    graph += message(1, node(last, ("z",), "y")) + message(2, "tail")
    graph += message(5, scalar("scale", 8.0)) + message(5, scalar("bias", bias))
    graph += message(11, info("x")) + message(12, info("y"))
    return number(1, 8) + message(7, graph) + message(8, message(1, "") + number(2, 17))


def test_a_fault_in_the_tail_is_still_a_fault(tmp_path: Path) -> None:
    """Two biases that differ by 1e-3: at 1e-8 no floor would see it, the logits show it. Another operator over the
    same logits agrees with itself: the judge's own output shows it.
    """
    models.base_python()
    converter = Converter(Environments(), Settings(), tmp_path / "scratch")
    found = {}
    for name, model in (
        ("right", tail_model(-18.0)), ("wrong", tail_model(-18.001)), ("another operator", tail_model(-18.0, "Softmax"))
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_bytes(model)
        source = Source(tmp_path / name, ("model.onnx",))
        match = all_formats()["onnx"].match(source)
        assert match is not None
        found[name] = (source, match)
    artifact = converter.convert(ConvertRequest(*found["right"], ModelOptions(), digest="key"), tmp_path / "out")
    assert artifact.verification.verdict is Verdict.PASSED, artifact.verification.reason
    for name in ("wrong", "another operator"):
        judged = converter.verify(*found[name], ModelOptions(), tmp_path / "out")
        assert judged.verdict is Verdict.FAILED, name
