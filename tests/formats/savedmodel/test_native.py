"""SavedModels of others: told without TensorFlow, screened, and served as they are by TensorFlow in a worker."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from gateway import api
from gateway.config import Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import Artifact, Verdict
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.savedmodel import SavedModelOptions
from gateway.errors import ConversionError, ModelRunError, SandboxTooWeak
from gateway.formats.base import all_formats
from gateway.process import sandbox_levels
from gateway.process.environments import Environments
from gateway.runtimes.isolated import IsolatedRuntime, Worker
from tests import models
from tests.environments import environment
from tests.formats.in_base import source_of

SCRIPT = Path(__file__).with_name("make_saved.py")
X = np.array([[1, 0], [0, 1], [2, -1]], np.float32)
WORDS = np.array([b"gamma", b"none", b"alpha"], object)
IDS = np.array([2, -1, 0], np.int64)
PRODUCT = np.array([[1, 2, 3], [4, 5, 6], [-2, -1, 0]], np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = environment("tensorflow").python
    models.base_python()
    folder = tmp_path_factory.mktemp("made")
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(
        [str(python), str(SCRIPT), str(folder)], check=True, timeout=170, capture_output=True, text=True, env=environ
    )
    for left in folder.glob("*.txt"):  # the tables' files live in assets/ alone
        left.unlink()
    return folder


@dataclass(frozen=True)
class Call:
    signature: str
    inputs: Tensors
    outputs: Tensors


@dataclass(frozen=True)
class Case:
    model: str
    calls: tuple[Call, ...]
    signatures: tuple[str, ...]
    options: ModelOptions = field(default_factory=ModelOptions)
    warning: str = ""


SCORES = {"x": X, "words": WORDS}
CASES = {
    "TensorFlow 2: several signatures, strings, a table filled from an asset": Case(
        "tf2",
        (
            Call("serving_default", {"x": X}, {"y": PRODUCT}),
            Call("words", {"words": WORDS}, {"ids": IDS, "again": np.array([b"GAMMA", b"NONE", b"ALPHA"], object)}),
            Call("centred", {"x": X}, {"y": X - X.mean(0)}),
        ),
        ("serving_default", "centred", "words"),
    ),
    "TensorFlow 1: no resources, a signature without inputs, a sparse one that is left out": Case(
        "tf1",
        (
            Call("serving_default", SCORES, {"scores": PRODUCT, "ids": IDS}),
            Call("variable", {}, {"w": np.array([[1, 2, 3], [4, 5, 6]], np.float32)}),
        ),
        ("serving_default", "variable"),
        warning="signature 'sparse' is left out: s: it is sparse",
    ),
    "the MetaGraph that the owner names, under names of the owner": Case(
        "tf1",
        (Call("serving_default", {"in": X, "words": WORDS}, {"out": PRODUCT + 1, "ids": IDS}),),
        ("serving_default", "variable"),
        ModelOptions(
            inputs=(TensorOption("in", "x"),),
            outputs=(TensorOption("out", "scores"),),
            savedmodel=SavedModelOptions(tags=("serve", "other")),
        ),
        warning="'sparse'",
    ),
    "Keras' own export, asked to stay one": Case(
        "keras",
        (Call("serve", {"x": X}, {"output_0": PRODUCT}),),
        ("serving_default", "serve"),
        ModelOptions(target="native"),
    ),
}


SLOW = pytest.mark.slow  # three more processes of TensorFlow each


def converted(folder: Path, options: ModelOptions, out: Path) -> Artifact:
    source = source_of(folder)
    match = all_formats()["tf-savedmodel"].match(source)
    assert match is not None
    out.mkdir()
    return Converter(Environments(), Settings(), out.parent / "jobs").convert(
        ConvertRequest(source, match, options, digest="key"), out
    )


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize(
    "name",
    [name if case.model == "tf2" else pytest.param(name, marks=SLOW) for name, case in CASES.items()],
)
def test_served_as_it_is(made: Path, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    artifact = converted(made / case.model, case.options, tmp_path / "out")
    assert artifact.verification.verdict is Verdict.NATIVE
    assert artifact.kind == "native"
    assert tuple(signature.name for signature in artifact.signatures) == case.signatures
    assert case.warning in "".join(artifact.provenance.warnings)
    assert [s.batched for s in artifact.signatures] == [True] + [False] * (len(case.signatures) - 1), (
        "what was shown of one signature says nothing of another"
    )
    runtime = IsolatedRuntime.load(artifact, tmp_path / "out", worker=Worker().for_artifact(artifact))
    try:
        for call in case.calls:
            answers = runtime.run(call.signature, call.inputs)
            assert set(answers) == set(call.outputs)
            for output, expected in call.outputs.items():
                if expected.dtype == object:
                    assert answers[output].tolist() == expected.tolist()
                else:
                    np.testing.assert_allclose(answers[output], expected, rtol=1e-6, atol=1e-6, strict=True)
    finally:
        runtime.close()


TOLD = {
    "tf2": [
        ("tags serve", "written by TensorFlow 2"),
        ("signature serving_default", "x:float32[?,2] -> y:float32[?,3], tensorflow/serving/predict"),
        ("signature words", "words:string[?] -> again:string[?], ids:int64[?]"),
        ("variables", "w float32[2,3]"),
        ("assets", "1: words.txt"),
    ],
    "tf1": [
        ("tags serve, other", "0 functions"),
        ("signature sparse", "s: it is sparse"),
        ("signature variable", "nothing -> w:float32[2,3], mine"),
        ("assets", "1: old_words.txt"),
    ],
}


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize("name", TOLD)
def test_inspect_tells_all_of_it_without_tensorflow(made: Path, name: str) -> None:
    """`inspect` runs in Environment base, which has no TensorFlow."""
    found = api.inspect(made / name)
    facts = [(fact["what"], fact["value"]) for fact in found["facts"]]
    for what, part in TOLD[name]:
        assert [value for said, value in facts if said == what and part in value], (what, part, facts)
    assert found["operators"]["MatMul"] == (1 if name == "tf2" else 2)
    assert "LookupTableFindV2" in found["operators"], "function bodies count"
    assert not [value for what, value in facts if what == "refused"], "what every saver writes is not refused"


WRONG: dict[str, tuple[ModelOptions, str]] = {
    "tags that are not there": (
        ModelOptions(savedmodel=SavedModelOptions(tags=("gpu",))),
        "MetaGraphDef associated with tags 'gpu' could not be found in SavedModel; it has: serve; serve, other",
    ),
    "names with a typo, all of them": (
        ModelOptions(inputs=(TensorOption("wordz"),), outputs=(TensorOption("s", "score"),)),
        "no signature has an input 'wordz'. Did you mean 'words'?; no signature has an output 'score'. Did you mean",
    ),
}


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_served(made: Path, tmp_path: Path, name: str) -> None:
    options, said = WRONG[name]
    with pytest.raises(ConversionError) as error:
        converted(made / "tf1", options, tmp_path / "out")
    assert said in error.value.message


@pytest.mark.slow  # a whole conversion, for one sentence
@pytest.mark.environment("tensorflow")
def test_a_warm_up_request_that_fails_fails_the_load_as_in_tensorflow_serving(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRunError) as error:
        converted(made / "badly_warm", ModelOptions(target="native"), tmp_path / "out")
    assert "warm-up record 2 (Predict of signature 'serving_defualt'): there is no such signature" in str(error.value)
    assert "leave assets.extra/tf_serving_warmup_requests out" in error.value.hint


@pytest.mark.environment("tensorflow")
def test_without_a_sandbox_it_is_refused(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_levels, "_found", {})
    monkeypatch.setattr("gateway.process.sandbox_landlock.why_absent", lambda: "this kernel has no landlock")
    monkeypatch.setattr("gateway.process.sandbox_bwrap.program", lambda: "")
    with pytest.raises(SandboxTooWeak, match="sandbox level L2 is needed"):
        converted(made / "tf2", ModelOptions(), tmp_path / "out")
