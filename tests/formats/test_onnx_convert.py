"""What the ONNX converter does to each model of the catalogue. One child converts them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.formats.base import Conversion, all_formats
from gateway.formats.tasks import Subject
from gateway.process import wire
from tests import models
from tests.formats.in_base import source_of
from tests.jobs import in_base


@dataclass(frozen=True)
class Case:
    model: str
    inputs: str = ""  # of the signature, blank-separated
    outputs: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    quantised: bool = False
    options: ModelOptions = field(default_factory=ModelOptions)


def cut(*outputs: TensorOption | str) -> ModelOptions:
    return ModelOptions(outputs=tuple(o if isinstance(o, TensorOption) else TensorOption(o) for o in outputs))


def said(*inputs: TensorOption) -> ModelOptions:
    return ModelOptions(inputs=inputs)


CASES = {
    "names and order are the model's": Case(
        "two_io", "left:float32[?,3] right:float32[?,3]", "sum:float32[?,3] difference:float32[?,3]"
    ),
    "symbols are kept as free dimensions": Case("conv", "data:float32[?,3,?,?]", "score:float32[?,2]"),
    "a scalar is no free shape": Case("scalar_output", "x:float32[?,2]", "total:float32[]"),
    "an embedding": Case("embedding", "ids:int32[?,?]", "rows:float32[?,?,4]"),
    "strings": Case("strings", "text:string[?]", "same:string[?]"),
    "int8": Case("int8_identity", "x:int8[?,2]", "y:int8[?,2]"),
    "weights that pose as inputs are hidden": Case(
        "initializers_as_inputs", "x:float32[?,4]", "y:float32[?,3]",
        {"hidden inputs": "1 initializers", "IR version": "3 -> 4"},
    ),
    "an old opset is raised": Case("old_opset", "x:float32[1,3,2]", "y:float32[1,3,2]", {"opset": "6 -> 7"}),
    "external data comes in": Case(
        "external", "x:float32[?,4]", "y:float32[?,3]", {"external data": "brought into the model file"}
    ),
    "an output without a type is inferred": Case("untyped_output", "x:float32[?,3]", "y:float32[?,3]"),
    "NaN weights are named": Case(
        "nan_weights", "x:float32[?,2]", "y:float32[?,2]", {"NaN weights": "w"}, ("'w' hold NaN (1 of 4",)
    ),
    "quantised graphs are marked": Case(
        "quantised", "x:float32[?,3]", "y:float32[?,3]", {"quantised by": "DequantizeLinear, QuantizeLinear"},
        quantised=True,
    ),
    "onnxruntime's own operators are taken": Case("contrib_op", "x:float32[?,3]", "y:float32[?,3]"),
    "an output may be any tensor; the rest goes": Case(
        "conv", "data:float32[?,3,?,?]", "feature:float32[?,5]", {"cut at": "feature", "dropped by the cut": "1 nodes"},
        unused=("fc",), options=cut("feature"),
    ),
    "a cut under an alias": Case(
        "conv", "data:float32[?,3,?,?]", "embedding:float32[?,5]",
        options=cut(TensorOption("embedding", "feature")), unused=("fc",),
    ),
    "a cut keeps what a subgraph reads": Case(
        "branches", "x:float32[3]", "y:float32[3]", {"dropped by the cut": "1 nodes, 0 weights"}, options=cut("y")
    ),
    "a cut drops inputs nobody reads": Case("half_plus_two", "x:float32[?]", "scaled:float32[?]",
                                            {"cut at": "scaled"}, unused=("two",), options=cut("scaled")),
    "outputs in the owner's order": Case(
        "two_io", "left:float32[?,3] right:float32[?,3]", "difference:float32[?,3] sum:float32[?,3]",
        options=cut("difference", "sum"),
    ),
    "a sequence beside: cut to the tensor": Case("sequence_output", "x:float32[?]", "y:float32[?]", options=cut("y")),
    "an input under an alias": Case(
        "matmul", "picture:float32[?,4]", "y:float32[?,3]", options=said(TensorOption("picture", "x"))
    ),
    "a free dimension is fixed": Case(
        "matmul", "x:float32[5,4]", "y:float32[5,3]", {"shape": "x: [?,4] -> [5,4]"},
        options=said(TensorOption("x", "", "float32", (5, 4))),
    ),
    "a fixed dimension is freed": Case(
        "fixed_batch", "x:float32[?,3]", "y:float32[?,3]", {"shape": "x: [2,3] -> [?,3]"},
        options=said(TensorOption("x", "", "", (None, 3))),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    model: str
    error: str
    words: tuple[str, ...]
    options: ModelOptions = field(default_factory=ModelOptions)


REFUSALS = {
    "unknown operators, all of them, counted": Refusal(
        "unknown_op", "UnsupportedOps", ("Twist (x1)", "my.domain.Frobnicate (x2)")
    ),
    "a path out of the folder": Refusal("external_escaping", "UnsafeDrop", ("'../../secret.bin'", "outside")),
    "an absolute path": Refusal("external_absolute", "UnsafeDrop", ("'/etc/hostname'", "outside")),
    "a missing file is named": Refusal("external_missing", "CorruptModel", ("'not-there.bin'", "not there")),
    "a short file": Refusal("external_short", "CorruptModel", ("needs 48 bytes", "which has 40")),
    "a length that is not the shape's": Refusal("external_wrong_size", "CorruptModel", ("claims 1024", "needs 48")),
    "a shape of 2^62 elements": Refusal("absurd_dims", "CorruptModel", ("the file has 16",)),
    "a cycle": Refusal("cyclic", "CorruptModel", ("acyclic",)),
    "two tensors of one name": Refusal("duplicate_names", "CorruptModel", ("Duplicate definition of name (y)",)),
    "a sequence is no tensor": Refusal(
        "sequence_output", "ConversionError", ("output 'many' is seq(tensor(float))",)
    ),
    "an output nobody makes": Refusal(
        "conv", "ConversionError", ("'featur' is no tensor", "Did you mean 'feature'?"), cut("featur")
    ),
    "an input that is not there": Refusal(
        "matmul", "ConversionError", ("'z' is not one of this model's",), said(TensorOption("z"))
    ),
    "another dtype": Refusal(
        "matmul", "ConversionError", ("float32 in the model, int8 was asked for",), said(TensorOption("x", "", "int8"))
    ),
    "another size": Refusal(
        "matmul", "ConversionError", ("[?,4] in the model, [?,5] was asked for",),
        said(TensorOption("x", "", "", (None, 5))),
    ),
    "another rank": Refusal(
        "matmul", "ConversionError", ("[?,4] in the model, [4] was asked for",), said(TensorOption("x", "", "", (4,)))
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    rows = {
        name: {"folder": str(models.folder(case.model)), "options": case.options.to_json()}
        for name, case in [*CASES.items(), *REFUSALS.items()]
    }
    folder = tmp_path_factory.mktemp("convert") / "job"
    return in_base("tests.formats.in_base:convert_all", {"rows": rows}, folder).value


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES.keys())
def test_convert(name: str, case: Case, answers: dict[str, Any]) -> None:
    assert "error" not in answers[name], answers[name]
    conversion = Conversion.from_json(answers[name])
    signature = conversion.signatures[0]
    assert " ".join(map(str, signature.inputs)) == case.inputs
    assert " ".join(map(str, signature.outputs)) == case.outputs
    facts = {fact.what: fact.value for fact in conversion.facts}
    for what, value in case.facts.items():
        assert facts.get(what, "").startswith(value), facts
    assert len(conversion.warnings) == len(case.warnings), conversion.warnings
    for words, warning in zip(case.warnings, conversion.warnings):
        assert words in warning
    assert conversion.unused == case.unused
    assert conversion.quantised is case.quantised
    assert answers[name]["files"].keys() == {"model.onnx"}
    assert set(conversion.versions) == {"onnx", "onnxruntime", "numpy"}


@pytest.mark.parametrize(("name", "case"), REFUSALS.items(), ids=REFUSALS.keys())
def test_refused(name: str, case: Refusal, answers: dict[str, Any]) -> None:
    assert answers[name].get("error") == case.error, answers[name]
    text = answers[name]["message"] + answers[name]["hint"]
    for words in case.words:
        assert words in text
    assert "/tmp" not in text  # a path of the scratch folder means nothing to anybody


def test_symbols_are_in_the_signature(answers: dict[str, Any]) -> None:
    conversion = Conversion.from_json(answers["symbols are kept as free dimensions"])
    assert conversion.signatures[0].inputs[0].symbols == ("N", "", "H", "W")


def test_inspection_says_what_the_file_declares(answers: dict[str, Any]) -> None:
    found = answers["symbols are kept as free dimensions"]["inspection"]
    assert found["operators"] == {
        "BatchNormalization": 1, "Conv": 1, "Flatten": 1, "Gemm": 1, "GlobalAveragePool": 1, "Relu": 1,
    }  # fmt: skip
    assert found["inputs"][0]["name"] == "data"


def test_damaged_files_end_in_a_typed_error_or_a_verdict(tmp_path: Path) -> None:
    job = in_base("tests.formats.in_base:damage", {"folder": str(models.folder("conv"))}, tmp_path / "job")
    endings = job.value["endings"]
    assert len(endings) >= 64 + 150  # two flips may be the same
    allowed = {"unknown format", "CorruptModel", "ConversionError", "UnsupportedOps", "UnsafeDrop", "unverified",
               "judged: the same", "judged: different"}  # fmt: skip
    assert set(endings.values()) <= allowed, sorted(set(endings.values()) - allowed)
    assert all(endings[name] != "judged: the same" for name in endings if name.startswith("cut"))
    assert job.value["slowest"] < 20.0


def test_the_oracle_keeps_indices_inside_the_table(answers: dict[str, Any], tmp_path: Path) -> None:
    folder = models.folder("embedding")
    match = all_formats()["onnx"].match(source_of(folder))
    assert match is not None
    subject = Subject(all_formats()["onnx"], source_of(folder), match, ModelOptions())
    signature = Conversion.from_json(answers["an embedding"]).signatures[0]
    arguments = subject.to_json() | {"signature": signature.to_json(), "seed": 1, "budget_s": 30}
    job = in_base("gateway.formats.tasks:oracle", arguments, tmp_path / "job")
    assert {name: Hint.from_json(hint) for name, hint in job.value["hints"].items()} == {"ids": Hint(5)}
    asked = [wire.load(job.out / case["inputs"])["ids"] for case in job.value["cases"]]
    assert {int(array.max()) for array in asked} >= {0, 4}
    assert max(int(array.max()) for array in asked) == 4
