"""The whole way of a conversion: three Jobs, a verdict, gateway.json. One row a kind of verdict."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from gateway.config import Jobs, Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import FILE, Artifact, Verdict
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.errors import (
    ConversionError,
    DropError,
    InvalidTensor,
    JobCancelled,
    JobOutOfMemory,
    MissingHop,
    UsageError,
)
from gateway.formats.base import Match, Source, all_formats
from gateway.process.environments import Environments
from tests import models
from tests.formats.in_base import source_of
from tests.jobs import in_base

REFERENCE = "onnx ReferenceEvaluator"
SECOND = "onnxruntime"
OWNER = "vectors of the owner"


def recognised(folder: Path) -> tuple[Source, Match]:
    source = source_of(folder)
    match = all_formats()["onnx"].match(source)
    assert match is not None
    return source, match


@pytest.fixture
def converter(tmp_path: Path) -> Converter:
    models.base_python()
    return Converter(Environments(), Settings(), tmp_path / "scratch")


Convert = Callable[..., Artifact]


@pytest.fixture
def convert(converter: Converter, tmp_path: Path) -> Convert:
    def run(name: str, options: ModelOptions | None = None, **more: object) -> Artifact:
        source, match = recognised(models.folder(name))
        request = ConvertRequest(source, match, options or ModelOptions(), digest="key")
        return converter.convert(replace(request, **more), tmp_path / "out")  # type: ignore[arg-type]

    return run


@dataclass(frozen=True)
class Case:
    model: str
    verdict: Verdict = Verdict.PASSED
    oracle: str = REFERENCE
    reason: str = ""
    batched: bool = True
    batch: str = "row k of a batch of 3 equals the single run on the artifact and the oracle"


CASES = {
    "free batch, two more free dimensions": Case("conv", reason="free dimensions of 32 and odd, unequal ones"),
    "strings": Case("strings"),
    "indices stay inside their table": Case("embedding", reason="36 comparisons over 36 inputs"),
    "the size that the weights demand is found": Case("fixed_by_matmul", reason="free dimensions of 24"),
    "softmax over the first dimension is no batch": Case(
        "not_batched", batched=False, batch="row 0 of output 'y' is not the single run"
    ),
    "a sum over everything is no batch": Case("scalar_output", batched=False, batch="3 rows has shape []"),
    "a fixed first dimension is no batch": Case("fixed_batch", batched=False, batch="no free first dimension"),
    "a scale over the batch is no batch": Case("big_batch_scale", oracle=SECOND, batched=False, batch="row 0"),
    "the second judge says why it sits": Case("contrib_op", oracle=SECOND, reason="ReferenceEvaluator cannot run it"),
    "NaN weights that reach the answer": Case(
        "nan_weights", Verdict.FAILED, reason="weights 'w' hold NaN, and output 'y'", batched=False
    ),
    "NaN weights that reach nothing": Case("nan_unused"),
    "random numbers cannot be judged": Case(
        "random_numbers",
        Verdict.UNVERIFIED,
        reason="draws random numbers or remembers",
        batched=False,
        batch="not the single run",
    ),
    "an old Add with an axis, raised rightly": Case(
        "old_opset", oracle=f"{REFERENCE} 1.23.2 (Add corrected)", batched=False, batch="no free first dimension"
    ),
    "batch norm of opset 9 is inference": Case(
        "batch_norm_opset9", oracle=f"{REFERENCE} 1.23.2 (BatchNormalization corrected)"
    ),
    "no judge for the source's old opset": Case(
        "old_opset_unjudged",
        Verdict.UNVERIFIED,
        "",
        "accepted none of the inputs tried",
        False,
        "no free first dimension",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_verdict(case: Case, convert: Convert) -> None:
    artifact = convert(case.model)
    found = artifact.verification
    assert found.verdict is case.verdict, found
    assert found.oracle.startswith(case.oracle)
    assert case.reason in found.reason
    assert case.batch in found.batch
    assert artifact.signatures[0].batched is case.batched


def test_the_artifact_folder_says_all(convert: Convert, tmp_path: Path) -> None:
    stages: list[str] = []
    source, match = recognised(models.folder("external"))
    out = tmp_path / "folder"
    artifact = Converter(Environments(), Settings(), tmp_path / "s").convert(
        ConvertRequest(source, match, ModelOptions(), labels=("a", "b", "c"), digest="key"),
        out,
        progress=lambda stage, _: stages.append(stage),
    )
    assert Artifact.from_json(json.loads((out / FILE).read_text())) == artifact
    assert {path.name: path.stat().st_size for path in out.iterdir() if path.name != FILE} == artifact.files
    assert artifact.digest == "key"
    assert artifact.signatures[0].labels == ("a", "b", "c")
    assert [stage for stage in dict.fromkeys(stages) if ":" not in stage] == ["convert", "check", "oracle", "run"]
    assert set(artifact.provenance.seconds) == {"convert", "check", "oracle", "run"}
    assert set(artifact.provenance.memory_mib) == set(artifact.provenance.seconds)
    assert all(20 < held < 2000 for held in artifact.provenance.memory_mib.values()), artifact.provenance.memory_mib
    assert artifact.provenance.environment.startswith("base ")
    assert len(artifact.verification.comparisons) == 28
    assert list((tmp_path / "s").iterdir()) == []  # the Jobs' folders are gone


def test_an_artifact_is_a_valid_drop_and_keeps_its_names(
    convert: Convert, converter: Converter, tmp_path: Path
) -> None:
    options = ModelOptions(inputs=(TensorOption("picture", "data"),), outputs=(TensorOption("embedding", "feature"),))
    first = convert("conv", options, labels=tuple("abcde"))
    source, match = recognised(tmp_path / "out")
    second = converter.convert(ConvertRequest(source, match, ModelOptions(), digest="2"), tmp_path / "again")
    assert second.signatures == first.signatures
    assert [spec.name for spec in second.signatures[0].outputs] == ["embedding"]
    assert second.signatures[0].labels == tuple("abcde")
    assert second.verification.verdict is Verdict.PASSED


def test_without_verification_it_is_unverified_and_still_run_once(convert: Convert) -> None:
    artifact = convert("matmul", verify=False)
    assert artifact.verification.verdict is Verdict.UNVERIFIED
    assert artifact.verification.reason == "verification was switched off"
    assert artifact.verification.batch.startswith("row k of a batch of 3 equals the single run on the artifact alone")
    assert "oracle" not in artifact.provenance.seconds


def vectors(folder: Path, **arrays: object) -> Path:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array), allow_pickle=array is None)
    return folder


X = np.array([2.0, 4.0], np.float32)


def test_the_owners_vectors_judge_too(convert: Convert, tmp_path: Path) -> None:
    artifact = convert("half_plus_two", vectors=vectors(tmp_path / "test", input_0=X, output_y=X / 2 + 2))
    assert artifact.verification.verdict is Verdict.PASSED
    assert artifact.verification.oracle.endswith(f", {OWNER}")
    assert artifact.signatures[0].batched


def test_the_owners_vectors_may_overrule_the_oracle(convert: Convert, tmp_path: Path) -> None:
    artifact = convert("half_plus_two", vectors=vectors(tmp_path / "test", input_x=X, output_0=X / 2 + 3))
    assert artifact.verification.verdict is Verdict.FAILED
    assert f"1 of 29 comparisons failed; worst: output 'y' of case '{OWNER}'" in artifact.verification.reason


def test_the_owners_vectors_decide_alone_where_nobody_else_can(convert: Convert, tmp_path: Path) -> None:
    ones = np.ones((1, 3, 2), np.float32)
    artifact = convert("old_opset_unjudged", vectors=vectors(tmp_path / "test", input_0=ones, output_0=ones * 7))
    assert artifact.verification.verdict is Verdict.FAILED
    assert artifact.verification.oracle == OWNER


BAD_VECTORS = {
    "no output": ({"input_0": X}, "there are 1 inputs and 0 outputs"),
    "nobody's name": ({"input_0": X, "output_z": X}, "output_z.npy belongs to no output of the model (y)"),
    "a number too many": ({"input_0": X, "input_7": X, "output_0": X}, "input_7.npy belongs to no input"),
    "a pickle": ({"input_0": None, "output_0": X}, "input_0.npy is no array"),
    "another dtype": ({"input_0": X.astype(np.float64), "output_0": X}, "dtype float64, expected float32"),
}


@pytest.mark.parametrize(("arrays", "words"), BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
def test_vectors_that_do_not_fit(arrays: dict[str, object], words: str, convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(DropError) as caught:
        convert("half_plus_two", vectors=vectors(tmp_path / "test", **arrays))
    assert words in caught.value.message


def test_a_wrong_number_is_found_and_its_node_named(converter: Converter, convert: Convert, tmp_path: Path) -> None:
    convert("conv")
    out = tmp_path / "out"
    spoilt = in_base(
        "tests.formats.in_base:change_weight", {"model": str(out / "model.onnx"), "weight": "beta"}, tmp_path / "job"
    )
    (out / "model.onnx").write_bytes((spoilt.out / "model.onnx").read_bytes())
    source, match = recognised(models.folder("conv"))
    found = converter.verify(source, match, ModelOptions(), out)
    assert found.verdict is Verdict.FAILED
    assert found.diverges_at.startswith("norm1 (BatchNormalization): max error")
    assert found.worst is not None
    assert found.worst.output == "score"


def test_an_artifact_that_refuses_what_the_source_takes_has_failed(
    converter: Converter, convert: Convert, tmp_path: Path
) -> None:
    convert("half_plus_two")
    (tmp_path / "out" / "model.onnx").write_bytes(models.model("fixed_batch").read_bytes())  # x and y too, but [2,3]
    source, match = recognised(models.folder("half_plus_two"))
    found = converter.verify(source, match, ModelOptions(), tmp_path / "out")
    assert found.verdict is Verdict.FAILED
    assert "28 of 28 comparisons failed" in found.reason
    assert "the artifact refuses what the oracle takes" in found.reason


GIVEN: dict[str, tuple[Tensors | None, Tensors | None, Verdict]] = {
    "probes": (None, None, Verdict.PASSED),
    "inputs, the oracle judges": ({"x": X}, None, Verdict.PASSED),
    "inputs and what they should give": ({"x": X}, {"y": X / 2 + 2}, Verdict.PASSED),
    "inputs and something else": ({"x": X}, {"y": X / 2 + 2.01}, Verdict.FAILED),
    "an output that is not there": ({"x": X}, {"z": X}, Verdict.FAILED),
    "another dtype expected": ({"x": X}, {"y": np.array([3.0, 4.0])}, Verdict.FAILED),
}


def test_verify(converter: Converter, convert: Convert, tmp_path: Path) -> None:
    convert("half_plus_two")
    source, match = recognised(models.folder("half_plus_two"))
    for name, (inputs, expected, verdict) in GIVEN.items():
        found = converter.verify(source, match, ModelOptions(), tmp_path / "out", inputs=inputs, expected=expected)
        assert found.verdict is verdict, (name, found)
    with pytest.raises(InvalidTensor, match="'z' is not one of this model's"):
        converter.verify(source, match, ModelOptions(), tmp_path / "out", inputs={"z": X})
    with pytest.raises(UsageError, match="expected outputs without inputs"):
        converter.verify(source, match, ModelOptions(), tmp_path / "out", expected={"y": X})


def test_inspect(converter: Converter) -> None:
    source, match = recognised(models.folder("matmul"))
    found = converter.inspect(source, match, ModelOptions())
    assert found["operators"] == {"MatMul": 1}
    assert [spec["name"] for spec in found["inputs"]] == ["x"]


def test_a_road_that_is_not_there(convert: Convert) -> None:
    with pytest.raises(MissingHop, match="ONNX cannot be converted to native"):
        convert("matmul", ModelOptions(target="native"))


def test_what_model_toml_says_of_other_formats_is_not_passed_over(convert: Convert) -> None:
    options = ModelOptions(class_="net.py:Net", inputs=(TensorOption("data", value=1),))
    with pytest.raises(ConversionError, match=r"class = 'net.py:Net' and a value for 'data', which says nothing about"):
        convert("conv", options)


def test_an_error_of_the_converter_crosses_the_process(convert: Convert) -> None:
    with pytest.raises(ConversionError, match="Twist"):
        convert("unknown_op")


def test_a_cancelled_conversion_leaves_nothing(tmp_path: Path) -> None:
    models.base_python()
    cancel = threading.Event()
    cancel.set()
    source, match = recognised(models.folder("matmul"))
    with pytest.raises(JobCancelled):
        Converter(Environments(), Settings(), tmp_path / "s").convert(
            ConvertRequest(source, match, ModelOptions(), digest="k"), tmp_path / "out", cancel=cancel
        )
    assert list((tmp_path / "s").iterdir()) == []


def test_too_little_memory_is_an_error_of_the_job(tmp_path: Path) -> None:
    models.base_python()
    source, match = recognised(models.folder("matmul"))
    settings = Settings(jobs=Jobs(memory_bytes=20 << 20))
    with pytest.raises(JobOutOfMemory, match="20 MiB"):
        Converter(Environments(), settings, tmp_path / "s").convert(
            ConvertRequest(source, match, ModelOptions(), digest="k"), tmp_path / "out"
        )
