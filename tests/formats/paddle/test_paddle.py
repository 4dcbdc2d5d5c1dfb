"""Paddle: both kinds of program converted and judged by Paddle; what is refused, and the twins of PaddleOCR."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gateway import api
from gateway.config import Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import NATIVE, Artifact, Verdict
from gateway.core.modeltoml import ModelOptions
from gateway.errors import ConversionError, CorruptModel, GatewayError
from gateway.formats.base import all_formats
from gateway.process.environments import Environments
from gateway.process.job import JobSpec, run_job
from tests import models, zoo
from tests.environments import environment
from tests.formats.in_base import source_of

TWINS = {  # a row of Paddle's file, of the published ONNX, shape of a call
    "direction": ("PaddleOCR direction, Paddle", "PaddleOCR direction", (2, 3, 48, 192)),
    "reading": ("PaddleOCR reading, Paddle", "PaddleOCR reading", (2, 3, 48, 320)),
    "detection": ("PaddleOCR detection, Paddle", "PaddleOCR detection", (2, 3, 96, 160)),
}


def row(name: str) -> zoo.Row:
    return next(row for row in zoo.rows() if row.name == name)


def convert(folder: Path, out: Path, target: str = "") -> Artifact:
    environment("paddle")
    models.base_python()
    source = source_of(folder)
    match = all_formats()["paddle"].match(source)
    assert match is not None
    request = ConvertRequest(source, match, ModelOptions(target=target), digest="paddle")
    out.mkdir()
    return Converter(Environments(), Settings(), out.parent / "scratch").convert(request, out)


def test_missing_operators_are_named_together_and_paddle_serves(tmp_path: Path) -> None:
    drop = row("Paddle PIR, operators that paddle2onnx lacks").fetch()
    artifact = convert(drop, tmp_path / "out")
    assert (artifact.kind, artifact.verification.verdict) == (NATIVE, Verdict.NATIVE)
    assert any("cumprod (x1), digamma (x1), lgamma (x1)" in line for line in artifact.provenance.warnings)


def damaged(folder: Path, what: str) -> None:
    program, weights = folder / "m.json", folder / "m.pdiparams"
    if what == "no parameters":
        weights.unlink()
    elif what == "parameters cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif what == "program cut":
        program.write_bytes(program.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("no parameters", ConversionError, "no file of parameters lies beside it"),
        ("parameters cut", CorruptModel, "does not load m.json"),
        ("program cut", CorruptModel, "does not load m.json"),
    ],
)
@pytest.mark.slow
def test_refused(what: str, kind: type[GatewayError], said: str, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    shutil.copytree(row("Paddle PIR, MobileNet-like").fetch(), drop)
    damaged(drop, what)
    with pytest.raises(kind, match=said):
        convert(drop, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True], ids=["PIR", "older program"])
def test_the_judge_shows_what_goes_into_the_last_operator(old: bool, tmp_path: Path) -> None:
    environment("paddle")
    told = {"net": "cnn", "old": old}
    spec = JobSpec("tests.formats.paddle.child:before_the_last", told, "paddle", 120.0, 0, "test", address_space=False)
    packages = {"tests": Path(__file__).parents[2]}
    found = run_job(spec, environments=Environments(), folder=tmp_path / "job", packages=packages).value
    assert found["operator"] == "Softmax"
    assert found["error"] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_equals_the_published_onnx(name: str, tmp_path: Path) -> None:
    ours, theirs, shape = TWINS[name]
    artifact = convert(row(ours).fetch(), tmp_path / "out")
    assert artifact.verification.verdict is Verdict.PASSED
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32) * 0.5
    import onnxruntime

    twin = onnxruntime.InferenceSession(str(row(theirs).fetch()), providers=["CPUExecutionProvider"])
    expected = twin.run(None, {twin.get_inputs()[0].name: data})
    with api.load(tmp_path / "out") as model:
        found = list(model.run({model.signature.inputs[0].name: data}).values())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4, strict=True)
