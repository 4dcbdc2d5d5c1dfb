"""`target = "auto"` with both at work: the digits as ONNX and as a SavedModel, timed, and the quicker kept."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway import api
from tests import models
from tests.environments import environment

DIGITS = Path(__file__).parents[3] / "model_repo" / "digits" / "1"
SAID = re.compile(
    r"onnx: passed, (?P<onnx>[\d.]+) ms a call, lower quartile of \d+; "
    r"savedmodel: passed, (?P<savedmodel>[\d.]+) ms a call, lower quartile of \d+, [\d.]+ ms of it the way to a worker"
)


@pytest.mark.slow  # two conversions, one of them TensorFlow's
@pytest.mark.environment("tensorflow")
def test_the_quicker_is_kept_and_says_so(tmp_path: Path) -> None:
    environment("tensorflow")
    models.base_python()
    artifact = api.convert(DIGITS, tmp_path / "out", to="auto")
    fact = next(fact for fact in artifact.provenance.facts if fact.what == "target")
    found = SAID.fullmatch(fact.source)
    assert found is not None, fact.source
    ms = {target: float(value) for target, value in found.groupdict().items()}
    assert artifact.kind == fact.value
    assert ms[fact.value] <= 1.05 * min(ms.values())
    written = json.loads((tmp_path / "out" / "gateway.json").read_text())
    assert written["kind"] == artifact.kind
    assert set(artifact.files) | {"gateway.json"} == {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    with api.load(tmp_path / "out") as model:
        assert model.artifact.kind == artifact.kind
