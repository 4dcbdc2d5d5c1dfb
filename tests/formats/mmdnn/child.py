"""The children's side of the table: our conversion and interpreter in `base`."""

from __future__ import annotations

import json
import shutil
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.compare import compare
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import probes, sizings
from gateway.core.signature import Signature
from gateway.errors import GatewayError
from gateway.formats.base import Format, all_formats
from gateway.process import wire
from tests.formats.in_base import source_of

KINDS = ("normal", "corners")


def rows(job: Any) -> dict[str, list[str]]:
    """`format`, `rows`: name -> {"folder", "refused", "options"}. -> name -> what is wrong with it: nothing."""
    found = all_formats()[job.arguments["format"]]
    answers = {}
    for number, (name, row) in enumerate(job.arguments["rows"].items()):
        try:
            answers[name] = _row(found, row, job.out / str(number))
        except Exception:
            answers[name] = [traceback.format_exc()]
    return answers


def _row(found: Format, row: dict[str, Any], out: Path) -> list[str]:
    import onnxruntime

    out.mkdir()
    source, options = source_of(Path(row["folder"])), ModelOptions.from_json(row["options"])
    match = found.match(source)
    if match is None:
        return ["is not recognised"]
    try:
        conversion = found.convert(source, match, options, "auto", out)
    except GatewayError as error:
        right = row["refused"] and row["refused"] in f"{error.message} {error.hint}"
        return [] if right else [f"{type(error).__name__}: {error.message}"]
    if row["refused"]:
        return [f"expected a refusal with {row['refused']!r}, got an answer"]
    problems = [] if row["warned"] in " ".join(conversion.warnings) else [f"warnings: {conversion.warnings}"]
    if not row["warned"] and conversion.warnings:
        problems.append(f"warned of {conversion.warnings}")
    signature = conversion.signatures[0]
    judge = found.oracle(source, match, options, signature)
    assert judge is not None
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    hints = found.hints(source, match, signature)
    asked = probes(signature, next(sizings(signature, hints)), hints, 0, kinds=KINDS)
    for number, probe in enumerate(each for each in asked if each.row is None):
        feeds = {spec.tensor: probe.inputs[spec.name] for spec in signature.inputs}
        ours = session.run([spec.tensor for spec in signature.outputs], feeds)
        theirs = judge.run(probe.inputs)
        if row.get("opencv") and not number:
            wire.save(Path(row["opencv"]) / "inputs", probe.inputs)
            answers = {spec.name: array for spec, array in zip(signature.outputs, ours, strict=True)}
            wire.save(Path(row["opencv"]) / "ours", answers)
            (Path(row["opencv"]) / "signature.json").write_text(json.dumps(signature.to_json()))
        for spec, mine in zip(signature.outputs, ours, strict=True):
            compared = compare(theirs[spec.name], np.asarray(mine), case=probe.kind, output=spec.name)
            problems += [] if compared.passed else [f"{probe.kind} {spec.name}: {compared.problem}"]
    shutil.rmtree(out)
    return problems


def opencv(job: Any) -> dict[str, str]:
    """`format`, `rows` as above, in OpenCV's Environment. -> name -> why it is no judge, what differs, or ""."""
    found = all_formats()[job.arguments["format"]]
    said = {}
    for name, row in job.arguments["rows"].items():
        kept, source = Path(row["opencv"]), source_of(Path(row["folder"]))
        match = found.match(source)
        assert match is not None
        try:
            signature = Signature.from_json(json.loads((kept / "signature.json").read_text()))
            judge = found.oracle(source, match, ModelOptions(), signature)
            assert judge is not None
            theirs, ours = judge.run(wire.load(kept / "inputs")), wire.load(kept / "ours")
            compared = [compare(theirs[key], ours[key], case="normal", output=key) for key in theirs]
            said[name] = " ".join(each.problem for each in compared if not each.passed)
        except GatewayError as error:
            said[name] = error.message
        except Exception:
            said[name] = traceback.format_exc()
    return said


def damage(job: Any) -> dict[str, str]:
    """`format`, `files`: name -> folder of a damaged drop. -> how each ended; anything but an error of ours is red."""
    found = all_formats()[job.arguments["format"]]
    endings = {}
    for number, (name, folder) in enumerate(job.arguments["rows"].items()):
        out = job.out / str(number)
        out.mkdir()
        source = source_of(Path(folder))
        try:
            match = found.match(source)
            if match is None:
                endings[name] = "not recognised"
                continue
            found.convert(source, match, ModelOptions(), "auto", out)
            endings[name] = "converted"
        except GatewayError as error:
            endings[name] = f"{type(error).__name__}: {error.message}"
        except Exception:
            endings[name] = f"CRASH {traceback.format_exc()}"
        shutil.rmtree(out)
    return endings
