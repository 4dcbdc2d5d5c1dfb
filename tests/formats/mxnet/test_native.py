"""What cannot be converted and is served by MXNet itself: the same numbers, another process, an honest verdict."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from gateway import api
from gateway.config import Runtime, Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import NATIVE, Artifact, Verdict
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.signature import Shape, TensorSpec
from gateway.errors import ConversionError, EnvironmentMissing, GatewayError, ModelRunError, WorkerDied
from gateway.formats.base import Source, all_formats
from gateway.process import wire
from gateway.process.environments import Environment, Environments
from gateway.repository.store import Stored
from gateway.runtimes.isolated import IsolatedRuntime, Worker
from gateway.serving.loader import load
from tests.e2e.running import gateway
from tests.environments import environment
from tests.formats.mxnet import programs
from tests.formats.mxnet.harness import run_child

RNG = np.random.default_rng(7)


@dataclass(frozen=True)
class Case:
    """A model of tests/formats/mxnet/programs.py, called with `inputs`; `shapes` is what the owner says."""

    inputs: Tensors
    shapes: dict[str, Shape]
    outputs: tuple[str, ...]
    batched: bool = False


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


CASES = {
    "foreach": Case(
        {"data": normal(5, 2, 4), "state": normal(2, 3)},
        {"data": (None, 2, 4), "state": (2, 3)},
        ("_foreach0_output0:float32[?,2,3]", "_foreach0_output1:float32[2,3]"),
    ),
    "cond": Case({"data": -np.abs(normal(2, 3))}, {"data": (2, 3)}, ("_cond0_output:float32[...]",)),
    "while_loop": Case({"data": normal(2, 3)}, {"data": (2, 3)}, ("_while_loop0_output2:float32[...]",)),
    "plain": Case({"data": normal(2, 4)}, {"data": (None, 4)}, ("fc_output:float32[?,3]",), batched=True),
}


@dataclass(frozen=True)
class Made:
    source: Source
    options: ModelOptions
    expected: Tensors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    environment("base")
    environment("mxnet")
    root = tmp_path_factory.mktemp("programs")
    rows = {}
    for name, case in CASES.items():
        (root / name).mkdir()
        wire.save(root / f"{name}.inputs", case.inputs)
        rows[name] = {key: str(root / f"{name}.{key}") for key in ("inputs", "answers")} | {"folder": str(root / name)}
    run_child("tests.formats.mxnet.programs:save", {"rows": rows}, "mxnet")
    found = {}
    for name, case in CASES.items():
        files = tuple(sorted(path.name for path in (root / name).iterdir()))
        inputs = tuple(TensorOption(key, "", "float32", shape) for key, shape in case.shapes.items())
        options = ModelOptions(target="native", inputs=inputs)
        found[name] = Made(Source(root / name, files), options, wire.load(root / f"{name}.answers"))
    return found


def convert(source: Source, options: ModelOptions, out: Path, environments: Environments | None = None) -> Artifact:
    match = all_formats()["mxnet"].match(source)
    assert match is not None
    request = ConvertRequest(source, match, options, digest="key")
    return Converter(environments or Environments(), Settings(), out.parent / "scratch").convert(request, out)


@pytest.fixture(scope="module")
def artifacts(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored]:
    root = tmp_path_factory.mktemp("native")
    return {name: Stored(convert(m.source, m.options, root / name), root / name) for name, m in made.items()}


@pytest.mark.parametrize("name", CASES)
def test_mxnet_serves_it(name: str, made: dict[str, Made], artifacts: dict[str, Stored]) -> None:
    case, stored = CASES[name], artifacts[name]
    artifact = stored.artifact
    signature = artifact.signatures[0]
    assert artifact.kind == NATIVE
    assert tuple(map(str, signature.outputs)) == case.outputs
    assert signature.batched is case.batched, artifact.verification.batch
    assert (artifact.verification.verdict, artifact.verification.oracle) == (Verdict.NATIVE, "")
    assert artifact.verification.reason == "nothing was converted: MXNet 1.9.1 runs it"
    for file in made[name].source.files:
        assert (stored.folder / "source" / file).read_bytes() == made[name].source.path(file).read_bytes()
    loaded = load(stored, isolated=False, settings=Runtime())
    try:
        assert loaded.placement["runtime"] == "MXNet 1.9.1"
        assert loaded.placement["isolation"] == "process"
        assert loaded.placement["pid"] != str(os.getpid())
        assert loaded.run_us < 10e6, "it was warmed up"
        found = loaded.runtime.run(signature.name, case.inputs)
        assert list(found) == list(made[name].expected)
        for output, expected in made[name].expected.items():
            np.testing.assert_array_equal(found[output], expected, strict=True)
        one = list(found)[-1]
        assert list(loaded.runtime.run(signature.name, case.inputs, [one])) == [one]
    finally:
        loaded.runtime.close()


@pytest.mark.parametrize("name", [name for name in CASES if name != "plain"])
def test_as_onnx_it_is_refused_by_name_and_the_hint_says_native(
    name: str, made: dict[str, Made], tmp_path: Path
) -> None:
    options = ModelOptions(inputs=made[name].options.inputs)
    with pytest.raises(ConversionError, match=f"_{name}0'? \\(_{name}\\)") as caught:
        convert(made[name].source, options, tmp_path / "out")
    assert 'target = "native"' in caught.value.hint


def test_what_mxnet_refuses_costs_a_call_and_a_kill_the_worker(artifacts: dict[str, Stored]) -> None:
    loaded = load(artifacts["foreach"], isolated=False, settings=Runtime())
    try:
        with pytest.raises(ModelRunError, match=r"MXNet 1\.9\.1 could not run the model: .+"):
            loaded.runtime.run("serving_default", {"data": normal(5, 2, 7), "state": normal(2, 3)})
        loaded.runtime.run("serving_default", CASES["foreach"].inputs)
        os.kill(int(loaded.placement["pid"]), signal.SIGKILL)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            loaded.runtime.run("serving_default", CASES["foreach"].inputs)
    finally:
        loaded.runtime.close()


@dataclass(frozen=True)
class Refused:
    """The model `plain` with something wrong. `files` 0 is all of them, 1 the symbol alone."""

    shape: Shape
    error: type[GatewayError]
    words: str
    output: str = "fc"
    files: int = 0


REFUSED = {
    "a shape that does not fit": Refused((2, 5), ConversionError, r"MXNet 1\.9\.1 refuses these inputs: "),
    "a shape that fits at no size": Refused((None, 5), ModelRunError, r"MXNet 1\.9\.1 does not run the model: "),
    "no such tensor": Refused((None, 4), ConversionError, r"MXNet knows no tensor called 'fd'", output="fd"),
    "weights missing": Refused((None, 4), ConversionError, r"needs 2 weights \(w_weight, w_bias\)", files=1),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused(case: Refused, made: dict[str, Made], tmp_path: Path) -> None:
    source = made["plain"].source
    files = source.files[-1:] if case.files else source.files
    inputs, outputs = (TensorOption("data", "", "float32", case.shape),), (TensorOption(case.output),)
    with pytest.raises(case.error, match=case.words):
        convert(
            Source(source.root, files),
            ModelOptions(target="native", inputs=inputs, outputs=outputs),
            tmp_path / "out",
        )


def test_names_of_the_owner(made: dict[str, Made], tmp_path: Path) -> None:
    """Aliases for the input and for an output, by the node's name."""
    options = ModelOptions(
        target="native",
        inputs=(TensorOption("x", "data", "float32", (None, 4)),),
        outputs=(TensorOption("logits", "fc"),),
    )
    artifact = convert(made["plain"].source, options, tmp_path / "out")
    with api.load(tmp_path / "out") as model:
        found = model.run({"x": CASES["plain"].inputs["data"]})
    assert artifact.verification.verdict is Verdict.NATIVE
    np.testing.assert_array_equal(found["logits"], made["plain"].expected["fc_output"], strict=True)


def test_an_answer_that_is_not_the_signatures(artifacts: dict[str, Stored], tmp_path: Path) -> None:
    """Such a signature is not made by the converter; were it, a wrong tensor would not leave."""
    stored = artifacts["plain"]
    artifact = stored.artifact
    (signature,) = artifact.signatures
    for wrong, words in (("float64", "fc_output' came as float32"), ("float32", r"\[2, 3\], expected fc_output")):
        outputs = (TensorSpec("fc_output", wrong, (None, 3 if wrong == "float64" else 4)),)
        changed = replace(artifact, signatures=(replace(signature, outputs=outputs),))
        worker = Worker().for_artifact(changed)
        runtime = IsolatedRuntime.load(changed, stored.folder, worker=worker)
        try:
            with pytest.raises(ModelRunError, match=words):
                runtime.run(signature.name, CASES["plain"].inputs)
        finally:
            runtime.close()
    with pytest.raises(ModelRunError, match=r"source/ holds no model of MXNet"):
        IsolatedRuntime.load(artifact, tmp_path, worker=Worker().for_artifact(artifact))


def test_custom_is_refused_natively_too(tmp_path: Path) -> None:
    environment("base")
    environment("mxnet")
    mark = tmp_path / "mark"
    (tmp_path / "model-symbol.json").write_text(programs.custom(mark))
    inputs = (TensorOption("data", "", "float32", (2, 3)),)
    with pytest.raises(ConversionError, match=r"'mine' \(Custom, touches mark\).*is not\s+run") as caught:
        convert(
            Source(tmp_path, ("model-symbol.json",)), ModelOptions(target="native", inputs=inputs), tmp_path / "out"
        )
    assert "operators of MXNet" in caught.value.hint
    assert not mark.exists()


class Without(Environments):
    """A machine where MXNet was never installed."""

    def find(self, name: str) -> Environment:
        if name == "mxnet":
            raise EnvironmentMissing(name)
        return super().find(name)

    def ensure(self, name: str, progress: Callable[[str], None] | None = None) -> Environment:
        return self.find(name)


def test_without_the_environment_the_command_is_said(
    made: dict[str, Made], artifacts: dict[str, Stored], tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentMissing, match="mxnet") as converting:
        convert(made["foreach"].source, made["foreach"].options, tmp_path / "out", Without())
    stored = artifacts["foreach"]
    worker = Worker(environments=Without()).for_artifact(stored.artifact)
    with pytest.raises(EnvironmentMissing, match="mxnet") as loading:
        IsolatedRuntime.load(stored.artifact, stored.folder, worker=worker)
    for caught in (converting, loading):
        assert "gateway doctor --install mxnet" in caught.value.explain()


def test_vectors_of_the_owner_are_run_and_may_fail_it(made: dict[str, Made], tmp_path: Path) -> None:
    case, model = CASES["plain"], made["plain"]
    np.save(tmp_path / "input_0.npy", case.inputs["data"])
    match = all_formats()["mxnet"].match(model.source)
    assert match is not None
    for name, off, verdict in (("right", 0.0, Verdict.NATIVE), ("wrong", 0.5, Verdict.FAILED)):
        np.save(tmp_path / "output_0.npy", model.expected["fc_output"] + np.float32(off))
        request = ConvertRequest(model.source, match, model.options, vectors=tmp_path, digest="key")
        converter = Converter(Environments(), Settings(), tmp_path / "scratch")
        found = converter.convert(request, tmp_path / name).verification
        assert (found.verdict, found.oracle) == (verdict, "vectors of the owner"), found.reason


def test_the_python_functions_serve_it_too(artifacts: dict[str, Stored], made: dict[str, Made]) -> None:
    with api.load(artifacts["foreach"].folder) as model:
        found = model.run(CASES["foreach"].inputs)
    for output, expected in made["foreach"].expected.items():
        np.testing.assert_array_equal(found[output], expected, strict=True)


TOML = """
target = "native"
[[inputs]]
name = "data"
dtype = "float32"
shape = ["?", 2, 4]
[[inputs]]
name = "state"
dtype = "float32"
shape = [2, 3]
"""


def test_a_drop_that_says_native_is_served_over_rest(made: dict[str, Made], tmp_path: Path) -> None:
    """Through a real gateway; a worker that is killed comes back; `required` refuses the same drop."""
    case, model = CASES["foreach"], made["foreach"]
    for name, more in (("recurrent", ""), ("strict", 'verify = "required"\n')):
        folder = tmp_path / "repo" / name / "1"
        folder.mkdir(parents=True)
        for file in model.source.files:
            (folder / file).write_bytes(model.source.path(file).read_bytes())
        (folder / "model.toml").write_text(more + TOML)
    with gateway(tmp_path) as running:
        row = running.wait("recurrent", 1, "AVAILABLE", 120)
        assert row["verdict"] == "native", row
        body = {name: array.tolist() for name, array in case.inputs.items()}
        for _ in range(2):
            status, answer = running.predict("recurrent", body)
            assert status == 200, answer
            for output, expected in model.expected.items():
                np.testing.assert_allclose(np.float32(answer["outputs"][output]), expected, rtol=1e-6)
            row = running.call("/api/v1/models/recurrent/versions/1", port="admin")[1]
            assert (row["kind"], row["placement"]["runtime"]) == ("native", "MXNet 1.9.1")
            os.kill(int(row["placement"]["pid"]), signal.SIGKILL)
            running.predict("recurrent", body)
            running.wait("recurrent", 1, "AVAILABLE", 60)
        refused = running.wait("strict", 1, "FAILED", 120)
        assert "nothing was converted" in refused["reason"], refused
        assert "vectors" not in refused["hint"], refused
