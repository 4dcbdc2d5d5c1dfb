"""Tasks of the tests in Environment `torch`: many scripts and programs in one child."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.compare import compare
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import probes
from gateway.errors import GatewayError
from gateway.formats.base import Source, all_formats
from gateway.formats.tasks import settle, told_by


def rows(job: Any) -> dict[str, Any]:
    """`rows`: name -> {"net", "options", "target"} -> what became of each: {"inputs", "outputs", "facts", "differs"}.

    The exported graph is run by onnx's evaluator and compared with torch on the original; `error` where it is refused.
    """
    from gateway.formats.torchmodule.module import Beside
    from tests.formats.torch import weights
    from tests.formats.torch.makers import made

    answers = {}
    for name, row in job.arguments["rows"].items():
        folder = job.out / str(len(answers))
        for loaded in ("net", "parts"):  # of the drop before: a Job has but one
            sys.modules.pop(loaded, None)
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Beside)]
        (folder / "drop").mkdir(parents=True)
        (folder / "out").mkdir()
        if row["net"].startswith("weights "):
            weights.made(folder / "drop", row["net"].removeprefix("weights "))
        else:
            made(folder / "drop", row["net"])
        try:
            answers[name] = one(folder, ModelOptions.from_json(row["options"]), row["target"])
        except GatewayError as error:
            answers[name] = error.to_json()
    return answers


def one(folder: Path, options: ModelOptions, target: str) -> dict[str, Any]:
    drop = folder / "drop"
    names = (path.relative_to(drop).as_posix() for path in drop.rglob("*") if path.is_file())
    source = Source(drop, tuple(sorted(name for name in names if name != "model.toml")))
    match = next(found for fmt in all_formats().values() if (found := fmt.match(source)))
    chosen = all_formats()[match.format]
    made = chosen.convert(source, match, options, target, folder / "out")
    signature = made.signatures[0]
    judge = chosen.oracle(source, match, options, signature)
    assert judge is not None
    hints = dict(chosen.hints(source, match, signature))
    hints |= told_by(judge, signature, hints)
    sizing, _ = settle(signature, hints, 0, judge.run, [])
    answer: dict[str, Any] = {
        "inputs": [str(spec) for spec in signature.inputs],
        "outputs": [str(spec) for spec in signature.outputs],
        "symbols": [list(spec.symbols) for spec in (*signature.inputs, *signature.outputs)],
        "facts": [f"{fact.what}: {fact.value} ({fact.source})" for fact in made.facts],
        "warnings": list(made.warnings),
        "differs": [],
        "runs": sizing is not None,
    }
    if sizing is None:
        return answer
    if made.kind == "native":
        inputs = next(iter(probes(signature, sizing, hints, 0))).inputs
        for told in (folder / "out").rglob("*.json"):  # what goes with the artifact
            shutil.copy(told, drop)
        again = chosen.open_native(source, match, signature)
        one, two = again.run(inputs), again.run(inputs)
        answer["differs"] = [n for n in one if not np.array_equal(one[n], two[n])]
        return answer
    answer["differs"] = differing(folder / "out" / "model.onnx", judge, list(probes(signature, sizing, hints, 0)))
    return answer


def differing(path: Path, judge: Any, cases: Any) -> list[str]:
    """Cases whose outputs differ, by onnx's own evaluator."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load(str(path)))
    names = [value.name for value in onnx.load(str(path)).graph.output]
    problems = []
    for case in cases:
        expected = judge.run(case.inputs)
        found = dict(zip(names, evaluator.run(None, dict(case.inputs)), strict=True))
        for name, array in expected.items():
            seen = compare(array, np.asarray(found[name]), case=case.name, output=name)
            problems += [] if seen.passed else [f"{case.name} / {name}: {seen.problem}"]
    return problems
