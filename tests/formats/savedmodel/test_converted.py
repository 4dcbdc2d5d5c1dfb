"""ONNX models as SavedModels and frozen graphs: the whole way, judged by the source's own judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from gateway.config import Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import Artifact, Verdict
from gateway.core.dtypes import Array, Tensors
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.savedmodel import SavedModelOptions
from gateway.core.signature import Signature, TensorSpec, format_shape
from gateway.errors import ConversionError
from gateway.formats.base import all_formats
from gateway.formats.savedmodel import hop
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
    files: tuple[str, ...] = ("saved_model.pb", "warmup.tensors", "assets.extra/tf_serving_warmup_requests")
    batched: bool = True
    feeds: Tensors = field(default_factory=dict)  # asked of a worker, and of onnxruntime in the source's order
    slow: bool = False  # CI runs these with the Environments


MINE = SavedModelOptions(("serving_default", "also"), "any/method", ("serve", "mine"))
X = np.random.default_rng(1).standard_normal((2, 3, 9, 7)).astype(np.float32)
X_LAST = np.ascontiguousarray(X.transpose(0, 2, 3, 1))
CASES = {
    "clients feed channels last; signatures, tags and method are the owner's": Case(
        "conv", inputs=LAST, outputs=RELU_LAST, shapes="[?,?,?,3] -> [?,?,?,5]", options=MINE, feeds={"data": X_LAST}
    ),
    "a plain GraphDef; a free batch and free sizes stay free": Case(
        "conv", "frozen", outputs=RELU, shapes="[?,3,?,?] -> [?,5,?,?]", files=("frozen_graph.pb", "warmup.tensors")
    ),
    "channels last in, channels second out": Case(
        "conv", inputs=LAST, outputs=RELU, shapes="[?,?,?,3] -> [?,5,?,?]", feeds={"data": X_LAST}, slow=True
    ),
    "channels second": Case("conv", outputs=RELU, shapes="[?,3,?,?] -> [?,5,?,?]", feeds={"data": X}, slow=True),
    "strings": Case("strings", slow=True),
    "an index into a table": Case("embedding", slow=True),
}


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if case.slow else name for name, case in CASES.items()]
)
def test_converted(convert: Convert, relu: Array, tmp_path: Path, name: str) -> None:
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
    if case.feeds:
        answer = asked(artifact, tmp_path / "out", case.feeds)["r"]
        found = answer.transpose(0, 3, 1, 2) if case.outputs == RELU_LAST else answer
        np.testing.assert_allclose(found, relu, rtol=1e-5, atol=1e-5, strict=True)


def asked(artifact: Artifact, folder: Path, feeds: Tensors) -> Tensors:
    """The last signature's answers, of a worker."""
    runtime = IsolatedRuntime.load(artifact, folder, worker=Worker().for_artifact(artifact))
    try:
        return runtime.run(artifact.signatures[-1].name, feeds)
    finally:
        runtime.close()


@pytest.fixture(scope="module")
def relu(tmp_path_factory: pytest.TempPathFactory) -> Array:
    """What onnxruntime makes of X, cut at the same place, in the source's own order of axes."""
    models.base_python()
    source, folder = source_of(models.folder("conv")), tmp_path_factory.mktemp("onnx")
    match = all_formats()["onnx"].match(source)
    assert match is not None
    (folder / "out").mkdir()
    request = ConvertRequest(source, match, ModelOptions(outputs=RELU), digest="key", verify=False)
    Converter(Environments(), Settings(), folder / "scratch").convert(request, folder / "out")
    session = onnxruntime.InferenceSession(folder / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    found: Array = session.run(["r"], {"data": X})[0]
    return found


def test_channels_last_of_what_has_no_channels_is_refused() -> None:
    flat = Signature((TensorSpec("x", "float32", (None, 4)),), ())
    with pytest.raises(ConversionError, match="at least three axes"):
        hop.check_layouts(flat, {"x"})
