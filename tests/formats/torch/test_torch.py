"""PyTorch: TorchScript and ExportedProgram, saved by torch itself, converted and judged by it, or served by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.signature import Shape
from gateway.process.environments import Environments
from gateway.process.job import JobSpec, run_job
from tests.environments import environment


def options(**inputs: Shape) -> ModelOptions:
    return ModelOptions(inputs=tuple(TensorOption(name, shape=shape) for name, shape in inputs.items()))


@dataclass(frozen=True)
class Case:
    """`net` of makers.MADE; what its signature is, or the words of its refusal."""

    net: str
    inputs: str = ""
    outputs: str = ""
    fact: str = ""
    error: str = ""
    target: str = "onnx"
    options: ModelOptions = field(default_factory=ModelOptions)


CASES = {
    "branches on data and loops stay in the graph": Case(
        "script flow", "x:float32[?,6]", "output:float32[?,4]", "its first operator, linear with weights [4, 6]"
    ),
    "the first convolution tells channels, the flattening the size": Case(
        "script digits", "x:float32[?,1,28,28]", "output:float32[?,10]", "only the batch is free"
    ),
    "a table tells whole numbers and their bound": Case(
        "script words", "ids:int64[?,?]", "output:float32[?,?,3]", "embedding with weights [20, 8]"
    ),
    "what it was traced with is recorded, its batch is free": Case(
        "trace resnet", "x:float32[?,3,64,64]", "output:float32[?,10]", "the example that it was traced with"
    ),
    "the owner's shape is taken over the recorded one": Case(
        "trace resizes", "x:float32[?,2,12,10]", "output_0:float32[?,3,24,20], output_1:float32[?,3,9,7], "
        "output_2:float32[?,3,18,15]", "model.toml", options=options(x=(None, 2, 12, 10))
    ),
    "windows over the edge, padding counted and not": Case(
        "trace pools", "x:float32[?,2,9,8]", "output:float32[?,280]"
    ),
    "windows of different sizes are not in ONNX": Case(
        "trace adaptive", error="adaptive_avg_pool2d, output size that are not factor of input size"
    ),
    "half precision": Case("script half", "input:float16[?,6]", "output:float16[?,3]"),
    "saved in training mode, run in inference mode": Case(
        "script in training", "input:float32[?,6]", "output:float32[?,3]", "saved in training mode"
    ),
    "keys of a dictionary are names, a number has its default": Case(
        "script several", "x:float32[?,6], y:float32[?,6]", "scores:float32[?,4], both:float32[?,6]", "scale = 2.0",
        options=options(x=(None, 6), y=(None, 6)),
    ),
    "a tuple of states is flat": Case(
        "script stepped", "x:float32[?,6], state_0:float32[?,4], state_1:float32[?,4]",
        "output_0:float32[?,4], output_1_0:float32[?,4], output_1_1:float32[?,4]",
        options=options(x=(None, 6), state_0=(None, 4), state_1=(None, 4)),
    ),
    "no shape to be had": Case("script several", error="does not say the shape of its input 'y'"),
    "an input that it does not take": Case("script flow", error="takes no 'z'", options=options(z=(None, 6))),
    "a shape that it does not take": Case(
        "script flow", error="does not run on x:float32[?,7]", options=options(x=(None, 7))
    ),
    "state is not exported": Case("script remembers", error="forward() keeps last from one call to the next"),
    "a buffer changed in place is state": Case(
        "script counts", error="forward() keeps calls from one call to the next"
    ),
    "state, served: every call begins anew": Case(
        "script remembers", "x:float32[?,6]", "output:float32[?,4]", "put back before each call", target="native"
    ),
    "a counting buffer, served": Case("script counts", "x:float32[?,6]", "output:float32[?,4]", target="native"),
    "a number decides": Case("script topk", error="takes k as plain numbers", options=options(x=(None, 6))),
    "a number, served": Case(
        "script topk", "x:float32[?,6], k:int64[]", "output_0:float32[?,1], output_1:int64[?,1]", target="native",
        options=options(x=(None, 6)),
    ),
    "a list of tensors": Case("script listed", error="takes xs: Tensor[], which has no fixed number of tensors"),
    "program: free sizes have names": Case(
        "export encoder", "ids:int64[?,?]", "logits:float32[?,?,3], pooled:float32[?,16]", "sequence in "
    ),
    "program: nothing is free": Case("export fixed", "x:float32[3,1,28,28]", "output:float32[3,10]"),
    "program: a changed buffer": Case("export counts", error="a call changes calls, which the next one reads"),
    "program: a changed buffer, served": Case(
        "export counts", "x:float32[2,6]", "output:float32[2,4]", "put back", target="native"
    ),
}  # fmt: skip


def in_torch(task: str, arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    environment("torch")
    spec = JobSpec(task, arguments, "torch", 300.0, 0, "test", address_space=False)
    tests = Path(__file__).parents[2]
    return run_job(spec, environments=Environments(), folder=folder, packages={"tests": tests}).value


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    rows = {
        name: {"net": case.net, "options": case.options.to_json(), "target": case.target}
        for name, case in CASES.items()
    }
    return in_torch("tests.formats.torch.child:rows", {"rows": rows}, tmp_path_factory.mktemp("torch") / "job")


@pytest.mark.parametrize("name", CASES)
def test_conversion(name: str, answers: dict[str, Any]) -> None:
    case, answer = CASES[name], answers[name]
    if case.error:
        assert "error" in answer, answer
        assert case.error in answer["message"]
        return
    assert "error" not in answer, answer
    assert ", ".join(answer["inputs"]) == case.inputs
    assert ", ".join(answer["outputs"]) == case.outputs
    assert any(case.fact in fact for fact in answer["facts"]), answer["facts"]
    assert answer["runs"]
    assert answer["differs"] == []
