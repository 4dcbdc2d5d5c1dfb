"""Tables of small models of TensorFlow's formats: one child makes, converts and judges them, one in base answers.

    CASES = {"a free batch": Case("tflites:dense", shown="img:float32[?,4] -> output_0:float32[?,3]")}

Rule 1: every output is compared with the judge, unsorted, with shape and dtype, at the limits of core/compare.
Rule 2: a row says what it becomes: "onnx", "native" with the reason, or an error of ours with its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.compare import compare
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.process import wire
from tests import models
from tests.environments import environment
from tests.formats.mxnet.harness import run_child


@dataclass(frozen=True)
class Case:
    """`make` is "module:function" below tests.formats.tensorflow, `told` its arguments.

    `becomes` is a kind, or an error's name.

    `shown` is the first signature; `says` are words of the warning or the error; `cases` how many were judged.
    """

    make: str
    becomes: str = "onnx"
    shown: str = ""
    says: str = ""
    rows: int = 0
    told: Mapping[str, Any] = field(default_factory=dict)
    options: ModelOptions = field(default_factory=ModelOptions)


def run_table(cases: Mapping[str, Case]) -> dict[str, Any]:
    """Each row's answer, with `problems` of its comparisons."""
    environment("tensorflow")
    models.base_python()
    asked = {
        name: {
            "make": f"tests.formats.tensorflow.{case.make}",
            "told": dict(case.told),
            "options": case.options.to_json(),
        }
        for name, case in cases.items()
    }
    found = run_child("tests.formats.tensorflow.child:convert_all", {"rows": asked}, "tensorflow").value
    onnx = {name: row for name, row in found.items() if row.get("kind") == "onnx"}
    answers = run_child("tests.formats.tensorflow.child:answer_all", {"rows": onnx}, "base").value if onnx else {}
    for name, row in onnx.items():
        row["problems"] = _problems(row, answers[name])
    return found


def _problems(row: Mapping[str, Any], answered: Any) -> list[str]:
    if isinstance(answered, str):
        return [answered]
    problems = [] if row["cases"] else ["nothing was judged"]
    for number, file in enumerate(answered):
        expected = wire.load(Path(row["folder"]) / f"{number}.outputs")
        got = wire.load(Path(file))
        if list(expected) != list(got):
            problems.append(f"outputs {list(got)}, the judge has {list(expected)}")
        for output in expected:
            seen = compare(expected[output], got[output], quantised=row["quantised"])
            problems += [f"{row['cases'][number]}, {output}: {seen.problem}"] if not seen.passed else []
    return problems


def check(case: Case, row: Mapping[str, Any]) -> None:
    if case.becomes not in ("onnx", "native"):
        assert row.get("error") == case.becomes, row
        assert case.says in f"{row['message']} {row['hint']}", row
        return
    assert row.get("kind") == case.becomes, row
    assert row.get("problems", []) == [], row["problems"]
    assert row["cases"], f"nothing was judged: {row['refused']}"
    assert case.says in " ".join(row["warnings"]), row["warnings"]
    signature = Signature.from_json(row["signatures"][0])
    assert signature.rows == case.rows, signature
    if case.shown:
        shown = " -> ".join(", ".join(map(str, side)) for side in (signature.inputs, signature.outputs))
        assert shown == case.shown, shown
