"""Who judges an MXNet model: MXNet where its Environment is built, else our interpreter, and the report says so.

The model is a small ArcFace, through the whole converter; a wrong number planted in its artifact is found, named,
and left behind as a drop of the one node.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import Settings, Verify
from gateway.convert.judges import choose
from gateway.convert.making import Making
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import FILE, Artifact, Verdict, Verification
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.errors import EnvironmentBroken, EnvironmentMissing
from gateway.formats.base import Match, Source, all_formats
from gateway.process.environments import Environment, Environments
from tests.environments import environment
from tests.formats.mxnet.arcface import TINY
from tests.formats.mxnet.child import source_of
from tests.formats.mxnet.harness import run_child
from tests.formats.mxnet.write import Graph
from tests.jobs import in_base

OPTIONS = ModelOptions(inputs=(TensorOption("data", "", "float32", (None, 3, 32, 32)),))
SETTINGS = Settings(verify=Verify(reference_s=1800.0))  # every case is judged, however busy the machine
BETTER = "the better judge comes with: gateway doctor --install mxnet"


class Without(Environments):
    """The real ones but one, as on a machine where it was never built."""

    def find(self, name: str) -> Environment:
        if name == "mxnet":
            raise EnvironmentMissing(name)
        return super().find(name)

    def ensure(self, name: str, progress: Callable[[str], None] | None = None) -> Environment:
        if name == "mxnet":
            raise EnvironmentBroken("Environment 'mxnet' could not be built: no network.")
        return super().ensure(name, progress)


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Match]:
    environment("base")
    environment("mxnet")
    folder = tmp_path_factory.mktemp("arcface")
    told = {"folder": str(folder), "units": TINY, "filters": (8, 8, 16, 16, 24), "size": 32, "side": 32}
    run_child("tests.formats.mxnet.arcface:save", told | {"fix_gamma": True}, "mxnet")
    source = source_of(folder)
    match = all_formats()["mxnet"].match(source)
    assert match is not None
    return source, match


def convert(drop: tuple[Source, Match], out: Path, environments: Environments) -> Artifact:
    request = ConvertRequest(*drop, OPTIONS, digest="key")
    return Converter(environments, SETTINGS, out.parent / "scratch").convert(request, out)


def test_mxnet_judges_itself(drop: tuple[Source, Match], tmp_path: Path) -> None:
    found = convert(drop, tmp_path / "out", Environments()).verification
    assert (found.verdict, found.oracle) == (Verdict.PASSED, "MXNet 1.9.1"), found.reason
    assert len(found.comparisons) == 28
    assert "because" not in found.reason


def test_without_it_the_interpreter_judges_and_says_so(drop: tuple[Source, Match], tmp_path: Path) -> None:
    found = convert(drop, tmp_path / "out", Without()).verification
    assert (found.verdict, found.oracle) == (Verdict.PASSED, "own interpreter (float64)"), found.reason
    assert (
        "own interpreter (float64) judged because Environment 'mxnet' is missing: it has not been built" in found.reason
    )
    assert BETTER in found.reason


def converted(folder: Path, graph: Graph, head: tuple[int, int], shape: tuple[int, ...]) -> Verification:
    drop = folder / "drop"
    drop.mkdir()
    graph.save(drop / "model-symbol.json", head)
    source = source_of(drop)
    match = all_formats()["mxnet"].match(source)
    assert match is not None
    options = ModelOptions(inputs=(TensorOption("data", "", "float32", shape),))
    request = ConvertRequest(source, match, options, digest="key")
    return Converter(Environments(), Settings(), folder / "scratch").convert(request, folder / "out").verification


def test_what_mxnet_does_not_read_the_interpreter_judges(tmp_path: Path) -> None:
    """An activation of MXNet 2."""
    environment("mxnet")
    graph = Graph()
    found = converted(tmp_path, graph, graph.node("Activation", "a", [graph.variable("data")], act_type="mish"), (2, 6))
    assert (found.verdict, found.oracle) == (Verdict.PASSED, "own interpreter (float64)"), found.reason
    assert "own interpreter (float64) judged because MXNet 1.9.1 does not read the source: " in found.reason


def test_a_scalar_of_mxnet_is_a_scalar(tmp_path: Path) -> None:
    environment("mxnet")
    graph = Graph()
    found = converted(tmp_path, graph, graph.node("_np_sum", "s", [graph.variable("data")]), (2, 6))
    assert (found.verdict, found.oracle) == (Verdict.PASSED, "MXNet 1.9.1"), found.reason
    assert {comparison.shape for comparison in found.comparisons} == {()}


def test_what_the_lesser_judge_has_seen_is_judged_anew() -> None:
    environment("mxnet")
    formats = all_formats()
    mine, theirs = (Converter(each, Settings(), Path("unused")) for each in (Environments(), Without()))
    assert mine.identity(formats["mxnet"]) != theirs.identity(formats["mxnet"])
    assert mine.identity(formats["onnx"]) == theirs.identity(formats["onnx"])


def test_a_judge_that_cannot_be_built_is_no_failure() -> None:
    found = choose(all_formats()["mxnet"], Without(), build=True)
    assert found.environment == "base"
    assert found.because == "Environment 'mxnet' could not be built: no network"


@pytest.mark.parametrize("judges", [Environments, Without])
def test_a_wrong_node_is_named_alone_and_kept(
    judges: type[Environments], drop: tuple[Source, Match], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert(drop, out, judges())
    spoilt = in_base(
        "tests.formats.in_base:change_weight",
        {"model": str(out / "model.onnx"), "weight": "stage2_unit1_bn2_beta"},
        tmp_path / "job",
    )
    (out / "model.onnx").write_bytes((spoilt.out / "model.onnx").read_bytes())
    converter = Converter(judges(), SETTINGS, tmp_path / "scratch")
    found = converter.verify(*drop, OPTIONS, out)
    assert found.verdict is Verdict.FAILED
    assert found.diverges_at.startswith("stage2_unit1_bn2 (BatchNorm): max error")
    assert "Alone, fed with the judge's inputs: max error" in found.diverges_at
    assert "Known trap: eps is 1e-3 unless the file says otherwise" in found.diverges_at
    assert not (out / "repro").exists()  # an artifact that is there is not written to


def test_the_wrong_node_is_a_drop_that_fails(
    drop: tuple[Source, Match], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A converter whose answer is spoilt: the failed artifact has repro/, and that fails by its own vectors."""
    out = tmp_path / "out"
    honest = Making._artifact

    def spoil(making: Making, *arguments: Any) -> Artifact:  # after the convert Job, before anybody judges
        spoilt = in_base(
            "tests.formats.in_base:change_weight",
            {"model": str(out / "model.onnx"), "weight": "pre_fc1_bias"},
            tmp_path / "job",
        )
        (out / "model.onnx").write_bytes((spoilt.out / "model.onnx").read_bytes())
        return honest(making, *arguments)

    monkeypatch.setattr(Making, "_artifact", spoil)
    artifact = Converter(Environments(), SETTINGS, tmp_path / "scratch").convert(
        ConvertRequest(*drop, OPTIONS, digest="key"), out
    )
    monkeypatch.undo()
    assert artifact.verification.verdict is Verdict.FAILED
    assert artifact.verification.diverges_at.startswith("pre_fc1 (FullyConnected)")
    assert {"repro/model.onnx", "repro/test/input_0.npy", "repro/test/output_0.npy"} <= set(artifact.files)
    assert Artifact.from_json(json.loads((out / FILE).read_text())).files == artifact.files

    source = Source(out / "repro", ("model.onnx",))
    match = all_formats()["onnx"].match(source)
    assert match is not None
    alone = Converter(Environments(), Settings(), tmp_path / "scratch").convert(
        ConvertRequest(source, match, ModelOptions(), digest="alone", vectors=out / "repro" / "test"),
        tmp_path / "again",
    )
    assert alone.verification.verdict is Verdict.FAILED
    assert "case 'vectors of the owner'" in alone.verification.reason
    assert np.load(out / "repro" / "test" / "output_0.npy").shape[1:] == (32,)
