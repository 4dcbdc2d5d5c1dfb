"""What is let pass as rounding of float32, and what stays failed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import Settings
from gateway.convert import rounding
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import Verdict
from gateway.core.compare import Comparison, compare
from gateway.core.dtypes import Array
from gateway.core.modeltoml import ModelOptions
from gateway.formats.base import Source, all_formats
from gateway.process import wire
from gateway.process.environments import Environments
from tests import models
from tests.jobs import in_base

TRUTH = np.linspace(-4.0, 4.0, 400)
NOISE = np.random.default_rng(5).standard_normal(400) * 1e-4
OTHER = np.random.default_rng(6).standard_normal(400) * 1e-4
KINDS = {"large, row 0": "large", "ramp, row 0": "ramp"}
GOOD = compare(np.ones(4, np.float32), np.ones(4, np.float32), case="ramp, row 0", output="y")


def alone(snr_db: float = 130.0, problem: str = "", why: str = "") -> dict[str, Any]:
    worst = replace(GOOD, snr_db=snr_db, problem=problem).to_json()
    return {"nodes": 3, "operators": 5, "worst": worst, "worst_operator": "Conv", "why": why}


@dataclass(frozen=True)
class Case:
    """The judge's answer and the artifact's, and what each node alone has shown."""

    passes: bool
    judge: Array = field(default_factory=lambda: TRUTH + OTHER)
    artifact: Array = field(default_factory=lambda: TRUTH + NOISE)
    alone: tuple[dict[str, Any], ...] = (alone(),)
    truth: Array = field(default_factory=lambda: TRUTH)


CASES = {
    "both as far from float64": Case(True),
    "the artifact nearer than the judge": Case(True, artifact=TRUTH + NOISE / 10),
    "the artifact three times as far": Case(False, artifact=TRUTH + 3 * NOISE),
    "as far in sum, but one element is far off": Case(
        False, artifact=TRUTH + np.where(np.arange(400) == 7, 1e-3, NOISE / 4)
    ),
    "a judge that is right has no rounding to show": Case(False, judge=TRUTH),
    "a constant factor, however small": Case(False, judge=TRUTH + OTHER / 10, artifact=TRUTH * 1.0001),
    "float64 is another model": Case(False, truth=TRUTH * 1.1),
    "float64 is not finite": Case(False, truth=np.full(400, np.nan)),
    "float64 has another shape": Case(False, truth=TRUTH[:1]),
    "a node fails alone": Case(False, alone=(alone(), alone(80.0, "SNR 80.0 dB is under 90 dB"))),
    "a node passes alone, but not far within its limit": Case(False, alone=(alone(100.0),)),
    "a node cannot be judged alone": Case(False, alone=(alone(why="the node that makes 'a' does not run alone"),)),
    "nobody judged the nodes": Case(False, alone=()),
}


@pytest.mark.parametrize("name", CASES)
def test_settled(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    files = {"exact": case.truth, "judge": case.judge.astype(np.float32), "artifact": case.artifact.astype(np.float32)}
    for key, array in files.items():
        wire.save(tmp_path / key, {"y": array})
    failed = compare(files["judge"], files["artifact"], case="large, row 0", output="y")
    assert not failed.passed
    assert rounding.doubtful((GOOD, failed), KINDS) == (failed,)
    shown = rounding.beside(failed, *(tmp_path / key for key in ("exact", "judge", "artifact")))
    again = rounding.settled((GOOD, failed), [shown], case.alone, "float64")
    assert (again is not None) is case.passes
    if again is not None:
        comparisons, sentence = again
        assert all(c.passed for c in comparisons)
        assert [c.output for c in comparisons] == ["y", "y", "y, against float64"], "every comparison is in the report"
        assert (comparisons[1].snr_db, comparisons[1].limit) == (failed.snr_db, rounding.LIMIT)
        assert "the judge itself" in sentence
        assert "each of 5 nodes alone" in sentence


FAILED = compare(np.ones(4, np.float32), np.full(4, 1.1, np.float32), case="large, row 0", output="y")
NEVER: dict[str, tuple[Comparison, ...]] = {
    "nothing failed": (GOOD,),
    "an ordinary input": (replace(FAILED, case="ramp, row 0"),),
    "an ordinary input beside an extreme one": (FAILED, replace(FAILED, case="ramp, row 0")),
    "vectors of the owner": (replace(FAILED, case="vectors of the owner"),),
    "NaN": (compare(np.ones(4, np.float32), np.full(4, np.nan, np.float32), case="large, row 0", output="y"),),
    "another shape": (compare(np.ones(4, np.float32), np.ones(5, np.float32), case="large, row 0", output="y"),),
    "whole numbers": (compare(np.ones(4, np.int32), np.zeros(4, np.int32), case="large, row 0", output="y"),),
    "another type": (replace(FAILED, limit="float16"),),
}


@pytest.mark.parametrize("name", NEVER)
def test_what_is_no_question_of_rounding(name: str) -> None:
    assert rounding.doubtful(NEVER[name], KINDS) == ()


def test_no_signal_has_no_rounding() -> None:
    assert rounding._db(np.zeros(3), np.ones(3)) == -math.inf


def source(folder: Path, slope: float) -> tuple[Source, Any]:
    folder.mkdir()
    made = in_base("tests.formats.in_base:cancelling", {"slope": slope}, folder.with_suffix(".job"))
    (folder / "model.onnx").write_bytes((made.out / "model.onnx").read_bytes())
    found = Source(folder, ("model.onnx",))
    match = all_formats()["onnx"].match(found)
    assert match is not None
    return found, match


def test_a_model_whose_signal_cancels_and_a_fault_of_the_size_of_its_rounding(tmp_path: Path) -> None:
    """Two sums that nearly cancel: on large inputs what is left is rounding. A millionth more of one of them shows on
    large inputs only, and no node alone is off by 110 dB: float64 tells it from rounding.
    """
    models.base_python()
    converter = Converter(Environments(), Settings(), tmp_path / "scratch")
    right = source(tmp_path / "right", 1e-3)
    artifact = converter.convert(ConvertRequest(*right, ModelOptions(), digest="key"), tmp_path / "out")
    found = artifact.verification
    assert found.verdict is Verdict.PASSED, found.reason
    assert "past the limit by rounding of float32 alone" in found.reason
    assert any(c.limit == rounding.LIMIT for c in found.comparisons)
    judged = converter.verify(*source(tmp_path / "wrong", 1.001e-3), ModelOptions(), tmp_path / "out")
    assert judged.verdict is Verdict.FAILED
    assert rounding.doubtful(judged.comparisons, {c.case: c.case.partition(",")[0] for c in judged.comparisons})
