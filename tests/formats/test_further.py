"""Calls that a format insists on: a judge that takes none of them proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further, Probe
from gateway.core.signature import Signature, TensorSpec
from gateway.formats import tasks
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source

SHAPE = (None, 2)
SIGNATURE = Signature((TensorSpec("x", "float32", SHAPE),), (TensorSpec("y", "float32", SHAPE),))
MATCH = Match("hard", "1", 1.0, "", "m", ("m",))


@dataclass
class Judge(Oracle):
    limit: float
    name = "a judge"

    def run(self, inputs: Tensors) -> Tensors:
        if inputs["x"].max() >= self.limit:
            raise ValueError("too large for me")
        return {"y": inputs["x"] * 2}


class Hard(Format):
    name = "hard"
    title = "Hard"
    suffixes = ()

    def __init__(self, limit: float, given: tuple[float, ...]) -> None:
        self.limit, self.given = limit, given

    def match(self, source: Source) -> Match | None:
        return None

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        raise NotImplementedError

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        raise NotImplementedError

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        return Judge(self.limit)

    def further(self, source: Source, match: Match, signature: Signature, seed: int) -> Further:
        calls = ({"x": np.full((1, 2), value, np.float32)} for value in self.given)
        return Further(tuple(Probe(f"threshold {n}", "further", None, call) for n, call in enumerate(calls)), "at them")


@dataclass
class Job:
    arguments: dict[str, Any]
    out: Path

    def progress(self, stage: str, fraction: float | None = None) -> None:
        pass


CASES = {
    "all taken": (1e9, (1e6, 1e7), 2, ""),
    "some taken: the others are said": (1e7, (1e6, 1e8), 1, ""),
    "none taken: nothing is proven": (
        1e5,
        (1e6, 1e7),
        0,
        "accepted none of the 2 calls that are hard for this model",
    ),
    "none wanted": (1e5, (), 0, ""),
}


@pytest.mark.parametrize(("limit", "given", "judged", "unjudged"), CASES.values(), ids=CASES.keys())
def test_calls_that_a_format_insists_on(
    limit: float, given: tuple[float, ...], judged: int, unjudged: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tasks, "all_formats", lambda: {"hard": Hard(limit, given)})
    subject = tasks.Subject(Hard(limit, given), Source(tmp_path, ("m",)), MATCH, ModelOptions())
    arguments = subject.to_json() | {"signature": SIGNATURE.to_json(), "seed": 0, "budget_s": 5.0}
    answer = tasks.oracle(Job(arguments, tmp_path))
    assert len([case for case in answer["cases"] if case["kind"] == "further"]) == judged
    assert unjudged in answer["unjudged"]
    assert bool(answer["cases"]) is not bool(unjudged)
    if unjudged:
        assert "too large for me" in answer["unjudged"]
