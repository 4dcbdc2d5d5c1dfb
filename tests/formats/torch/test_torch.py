"""PyTorch: TorchScript and ExportedProgram, saved by torch itself, converted and judged by it, or served by it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
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


def trusted(named: str = "net.py:Net", **inputs: Shape) -> ModelOptions:
    """The owner's leave, and the class of weights."""
    return replace(options(**inputs), trusted=True, class_=named)


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
    "devices that the code names are the CPU": Case(
        "script cuda", "x:float32[?,6]", "output:float32[?,4]", "devices: cuda"
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
    "a number, said once, is no input": Case(
        "script topk", "x:float32[?,6]", "output_0:float32[?,2], output_1:int64[?,2]", "numbers: k = 2 (model.toml)",
        target="native", options=ModelOptions(inputs=(TensorOption("x", shape=(None, 6)), TensorOption("k", value=2))),
    ),
    "a number in place of its default, exported": Case(
        "script several", "x:float32[?,6], y:float32[?,6]", "scores:float32[?,4], both:float32[?,6]", "scale = 3.0",
        options=ModelOptions(
            inputs=(*options(x=(None, 6), y=(None, 6)).inputs, TensorOption("scale", value=3.0)),
        ),
    ),
    "a value for a tensor": Case(
        "script topk", error="forward()'s x is a tensor, which has no `value`",
        options=ModelOptions(inputs=(TensorOption("x", value=2),)),
    ),
    "a value for what it does not take": Case(
        "script topk", error="forward()'s kk is nothing that it takes",
        options=ModelOptions(inputs=(TensorOption("kk", value=2),)),
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
    "a pickled module with its class file, and another file beside": Case(
        "weights resnet", "x:float32[?,3,?,?]", "output:float32[?,5]", "exported by: torch.export", options=trusted()
    ),
    "a checkpoint: weights below a key, module. before each": Case(
        "weights resnet, state dict", "x:float32[?,3,?,?]", "output:float32[?,5]", "weights under: 'state_dict'",
        options=trusted(),
    ),
    "safetensors, read by our own reader": Case(
        "weights resnet, safetensors", "x:float32[?,3,?,?]", "output:float32[?,5]", options=trusted()
    ),
    "a state dict of torch before 1.6": Case(
        "weights resnet, half", "x:float32[?,3,?,?]", "output:float32[?,5]", options=trusted()
    ),
    "a function that makes the module": Case(
        "weights seven", "x:float32[?,3,?,?]", "output:float32[?,7]", options=trusted("net.py:seven")
    ),
    "weights of another class": Case(
        "weights seven", error="of other sizes: f.weight is [7, 8] in the file and [5, 8] in", options=trusted()
    ),
    "a class that is not there": Case("weights seven", error="defines no Nett", options=trusted("net.py:Nett")),
    "a function that makes something else": Case("weights seven", error="gives a str", options=trusted("net.py:text")),
    "a function with arguments": Case(
        "weights seven", error="needs() raises TypeError", options=trusted("net.py:needs")
    ),
    "a class file that needs what is not there": Case(
        "weights without its parts", error="net.py raises ModuleNotFoundError in line 3: No module named 'parts'",
        options=trusted(),
    ),
    "a branch of the data: kept by a script": Case(
        "weights branches", "x:float32[?,6]", "output:float32[?,4]", "exported by: TorchScript, scripted",
        options=trusted(),
    ),
    "a branch that a trace would lose is not traced": Case(
        "weights branches of Python", error="the trace would hold one way of several",
        options=trusted("net.py:Python", x=(None, 6)),
    ),
    "a branch of Python, served": Case(
        "weights branches of Python", "x:float32[?,6]", "output:float32[?,4]", "trusted by its owner", target="native",
        options=trusted("net.py:Python", x=(None, 6)),
    ),
    "no script and no shapes: the owner is asked": Case(
        "weights branches of Python", error="does not say the shape of its input 'x'", options=trusted("net.py:Python")
    ),
    "what forward() counts is no part of a call": Case(
        "weights counts", error="forward() keeps calls from one call to the next",
        options=trusted("net.py:Counts", x=(None, 6)),
    ),
    "what forward() counts, served: every call begins anew": Case(
        "weights counts", "x:float32[?,6]", "output:float32[?,4]", "put back before each call", target="native",
        options=trusted("net.py:Counts", x=(None, 6)),
    ),
    "whole numbers below the rows of a table": Case(
        "weights words", "ids:int64[?,?]", "scores:float32[?,?,3], first:float32[?,3]", "left at their defaults",
        options=replace(
            trusted(), inputs=(TensorOption("ids", dtype="int64", shape=(None, None)),)
        ),
    ),
    "no leave of its owner": Case("weights resnet", error="does not say `trusted = true`"),
}  # fmt: skip


def in_torch(task: str, arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    environment("torch")
    spec = JobSpec(task, arguments, "torch", 300.0, 0, "test", address_space=False)
    tests = Path(__file__).parents[2]
    return run_job(spec, environments=Environments(), folder=folder, packages={"tests": tests}).value


SLOW = {
    "a checkpoint: weights below a key, module. before each", "safetensors, read by our own reader",
    "a state dict of torch before 1.6", "a function that makes the module", "a function that makes something else",
    "a function with arguments", "a class file that needs what is not there", "a branch of the data: kept by a script",
    "a branch of Python, served", "no script and no shapes: the owner is asked",
    "whole numbers below the rows of a table", "what forward() counts is no part of a call",
}  # fmt: skip
"""Variants of rows that `make test` has: the long run has them too, in a child of their own."""
QUICK = [name for name in CASES if name not in SLOW]


def answered(names: Iterable[str], folder: Path) -> dict[str, Any]:
    rows = {
        name: {"net": CASES[name].net, "options": CASES[name].options.to_json(), "target": CASES[name].target}
        for name in names
    }
    return in_torch("tests.formats.torch.child:rows", {"rows": rows}, folder / "job")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return answered(QUICK, tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="module")
def slow_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return answered(sorted(SLOW), tmp_path_factory.mktemp("torch"))


@pytest.mark.parametrize("name", QUICK)
def test_conversion(name: str, answers: dict[str, Any]) -> None:
    check(CASES[name], answers[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
def test_variants(name: str, slow_answers: dict[str, Any]) -> None:
    check(CASES[name], slow_answers[name])


def check(case: Case, answer: dict[str, Any]) -> None:
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
