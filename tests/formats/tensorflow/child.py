"""Tasks of the tables of TensorFlow's formats: every row in one child, since importing TensorFlow costs seconds."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, SOURCE_FOLDER, Artifact, Provenance, Verdict, Verification
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import probes, sizings
from gateway.core.signature import Signature
from gateway.errors import GatewayError
from gateway.formats.base import Match, Source, all_formats
from gateway.process import wire
from tests.formats.in_base import source_of

KINDS = ("normal", "ramp")


def convert_all(job: Any) -> dict[str, Any]:
    """`rows`: name -> {"make", "options"}: made, recognised, converted, and asked by judge and native runtime."""
    answers = {}
    for number, (name, row) in enumerate(job.arguments["rows"].items()):
        folder = job.out / str(number)
        (folder / "drop").mkdir(parents=True)
        (folder / "out").mkdir()
        try:
            _write(row["make"], row["told"], folder / "drop")
            answers[name] = _one(folder, ModelOptions.from_json(row["options"])) | {"folder": str(folder)}
        except GatewayError as error:
            answers[name] = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        except Exception:  # a fault of ours fails its row, not the table
            answers[name] = {"error": "a fault", "message": traceback.format_exc()[-1500:], "hint": ""}
    return answers


def _write(make: str, told: dict[str, Any], folder: Path) -> None:
    """A function that gives bytes writes model.tflite; one that takes the folder writes there."""
    module, _, name = make.partition(":")
    function = getattr(importlib.import_module(module), name)
    if inspect.signature(function).parameters:
        function(folder, **told)
    else:
        (folder / "model.tflite").write_bytes(function())


def _one(folder: Path, options: ModelOptions) -> dict[str, Any]:
    source = source_of(folder / "drop")
    found = [match for fmt in all_formats().values() if (match := fmt.match(source))]
    if not found:
        return {"error": "Unknown", "message": "", "hint": ""}
    match = max(found, key=lambda each: each.confidence)
    fmt = all_formats()[match.format]
    target = fmt.check_target(options.target)
    made = fmt.convert(source, match, options, target, folder / "out")
    signature = made.signatures[0]
    judge = fmt.oracle(source, match, options, signature) if made.kind != NATIVE else None
    native = _native(source, match, made.signatures[0], folder) if made.kind == NATIVE else None
    judge = judge or native
    assert judge is not None
    cases = list(_vectors(folder, signature, judge))
    refused = ""
    hints = dict(fmt.hints(source, match, signature))
    for sizing in sizings(signature, hints):
        try:
            for probe in probes(signature, sizing, hints, 1, kinds=KINDS):
                wire.save(folder / f"{len(cases)}.inputs", probe.inputs)
                wire.save(folder / f"{len(cases)}.outputs", judge.run(probe.inputs))
                cases.append(probe.name)
            break
        except GatewayError:
            raise
        except Exception as error:
            refused = str(error)
            cases.clear()
    return made.to_json() | {"cases": cases, "refused": refused, "judge": judge.name, "format": match.format}


def _vectors(folder: Path, signature: Signature, judge: Any) -> Iterator[str]:
    """What another program has answered, in test/ of the drop: the judge's own answers are held to it first."""
    beside = folder / "drop" / "test"
    if beside.is_dir():
        inputs = {spec.name: np.load(beside / f"input_{spec.name}.npy") for spec in signature.inputs}
        expected = {spec.name: np.load(beside / f"output_{spec.name}.npy") for spec in signature.outputs}
        for name, array in judge.run(inputs).items():
            np.testing.assert_allclose(array, expected[name], rtol=0, atol=2e-6, strict=True)
        wire.save(folder / "0.inputs", inputs)
        wire.save(folder / "0.outputs", expected)
        yield "vectors"


def _native(source: Source, match: Match, signature: Signature, folder: Path) -> Any:
    """The artifact's own source is what a worker opens."""
    inside = folder / "out" / SOURCE_FOLDER
    for name in match.used:
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_bytes(source.path(name).read_bytes())
    kept = source_of(inside)
    fmt = all_formats()[match.format]
    again = fmt.match(kept)
    assert again is not None
    return fmt.open_native(kept, again, signature)


def answer_all(job: Any) -> dict[str, Any]:
    """In base: the ONNX files answer the same cases, every one filled up as in serving. -> name -> files or error."""
    from gateway.runtimes.ort import OrtRuntime
    from gateway.runtimes.rows import filled

    answers: dict[str, Any] = {}
    for number, (name, row) in enumerate(job.arguments["rows"].items()):
        signatures = tuple(Signature.from_json(each) for each in row["signatures"])
        told = Provenance("", "", "", "", "", "", "")
        artifact = Artifact("", "onnx", signatures, told, Verification(Verdict.UNVERIFIED))
        try:
            runtime = filled(OrtRuntime.load(artifact, Path(row["folder"]) / "out", threads=1), artifact)
            files = []
            for case in range(len(row["cases"])):
                inputs = wire.load(Path(row["folder"]) / f"{case}.inputs")
                path = job.out / f"{number}-{case}"
                wire.save(path, runtime.run(signatures[0].name, inputs))
                files.append(str(path))
            answers[name] = files
        except GatewayError as error:
            answers[name] = error.message
    return answers
