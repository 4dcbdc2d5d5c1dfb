"""ONNX models as SavedModels and frozen graphs: the whole way, judged by the source's own judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from gateway.config import Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import Artifact, Verdict
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.savedmodel import SavedModelOptions
from gateway.core.signature import format_shape
from gateway.errors import ConversionError
from gateway.formats.base import all_formats
from gateway.process.environments import Environments
from gateway.runtimes.isolated import IsolatedRuntime, Worker
from tests import models
from tests.environments import environment
from tests.formats.in_base import source_of

Convert = Callable[[str, ModelOptions], Artifact]
LAST = (TensorOption("data", layout="nhwc"),)
RELU, RELU_LAST = (TensorOption("r"),), (TensorOption("r", layout="nhwc"),)


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    environment("tensorflow")
    models.base_python()

    def run(name: str, options: ModelOptions) -> Artifact:
        source = source_of(models.folder(name))
        match = all_formats()["onnx"].match(source)
        assert match is not None
        converter = Converter(Environments(), Settings(), tmp_path / "scratch")
        return converter.convert(ConvertRequest(source, match, options, digest="key"), tmp_path / "out")

    return run


@dataclass(frozen=True)
class Case:
    model: str
    target: str = "savedmodel"
    inputs: tuple[TensorOption, ...] = ()
    outputs: tuple[TensorOption, ...] = ()
    options: SavedModelOptions = field(default_factory=SavedModelOptions)
    shapes: str = ""  # of inputs and outputs as clients see them
    files: tuple[str, ...] = ("saved_model.pb", "warmup.tensors")
    batched: bool = True


CASES = {
    "a free batch and free sizes stay free": Case("conv", outputs=RELU, shapes="[?,3,?,?] -> [?,5,?,?]"),
    "clients feed channels last": Case("conv", inputs=LAST, outputs=RELU_LAST, shapes="[?,?,?,3] -> [?,?,?,5]"),
    "channels last in, channels second out": Case("conv", inputs=LAST, outputs=RELU, shapes="[?,?,?,3] -> [?,5,?,?]"),
    "a plain GraphDef": Case("conv", "frozen", files=("frozen_graph.pb", "warmup.tensors")),
    "strings": Case("strings"),
    "an index into a table": Case("embedding"),
    "tags and method of the owner's choice": Case(
        "conv", options=SavedModelOptions(("serving_default", "also"), "any/method", ("serve", "mine"))
    ),
}


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize("name", CASES)
def test_converted(convert: Convert, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    artifact = convert(
        case.model, ModelOptions(case.target, inputs=case.inputs, outputs=case.outputs, savedmodel=case.options)
    )
    assert artifact.verification.verdict is Verdict.PASSED, artifact.verification.reason
    assert artifact.verification.oracle.startswith("onnx ReferenceEvaluator")
    assert artifact.kind == case.target
    assert set(case.files) <= set(artifact.files)
    shown = artifact.signatures[0]
    assert shown.batched is case.batched
    assert [signature.name for signature in artifact.signatures] == list(case.options.signatures)
    if case.shapes:
        assert f"{format_shape(shown.inputs[0].shape)} -> {format_shape(shown.outputs[0].shape)}" == case.shapes


@pytest.mark.environment("tensorflow")
def test_channels_last_is_the_same_answer_in_another_order(convert: Convert, tmp_path: Path) -> None:
    plain = convert("conv", ModelOptions("savedmodel", outputs=RELU))
    (tmp_path / "out").rename(tmp_path / "plain")
    last = convert("conv", ModelOptions("savedmodel", inputs=LAST, outputs=RELU_LAST))
    x = np.random.default_rng(1).standard_normal((2, 3, 9, 7)).astype(np.float32)
    answers = []
    for artifact, folder, feed in ((plain, "plain", x), (last, "out", x.transpose(0, 2, 3, 1))):
        runtime = IsolatedRuntime.load(artifact, tmp_path / folder, worker=Worker().for_artifact(artifact))
        try:
            answers.append(runtime.run("serving_default", {"data": np.ascontiguousarray(feed)})["r"])
        finally:
            runtime.close()
    assert answers[0].shape == (2, 5, *answers[0].shape[2:])
    np.testing.assert_allclose(answers[1].transpose(0, 3, 1, 2), answers[0], rtol=1e-6, atol=1e-6, strict=True)


@pytest.mark.environment("tensorflow")
def test_channels_last_of_what_has_no_channels_is_refused(convert: Convert) -> None:
    with pytest.raises(ConversionError, match="at least three axes"):
        convert("matmul", ModelOptions("savedmodel", inputs=(TensorOption("x", layout="nhwc"),)))
