"""`gateway code`: a model as a Python file and its weights, run and compared with the proven artifact.

    convert to ONNX, proven -> its answers to the warm-up inputs -> code Job, in the Environment the code is for

Rule 1: code whose answers differ is not left behind.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import Settings
from gateway.convert.answers import of_form
from gateway.convert.jobs import Jobs, Report, made_by
from gateway.core.artifact import WARMUP_FILE, Artifact
from gateway.core.compare import Comparison
from gateway.core.dtypes import Tensors
from gateway.core.layout import of_source, to_source
from gateway.errors import ConversionError, VerificationFailed
from gateway.formats.base import all_formats
from gateway.formats.code import CODE, ENVIRONMENTS, WEIGHTS
from gateway.process import wire
from gateway.process.environments import Environments


@dataclass(frozen=True)
class Written:
    """The files, and how far the code's answers are from the artifact's."""

    artifact: Artifact
    code: Path
    weights: Path
    comparisons: tuple[Comparison, ...]
    versions: dict[str, str]


def inputs_of(folder: Path) -> Tensors:
    """What the artifact has been seen to take. Errors: ConversionError where nothing was kept."""
    if not (folder / WARMUP_FILE).is_file():
        raise ConversionError(
            "no input is known that the model takes, so that code could not be compared.",
            hint="Put vectors beside the model: test/input_0.npy.",
        )
    return wire.load(folder / WARMUP_FILE)


def write(
    artifact: Artifact,
    folder: Path,
    given: tuple[Tensors, Tensors],
    out: Path,
    *,
    to: str,
    name: str,
    scratch: Path,
    progress: Report | None = None,
) -> Written:
    """`given` are inputs and the artifact's answers. Errors: ConversionError, JobError, VerificationFailed."""
    environment, environments = ENVIRONMENTS[to], Environments()
    public = artifact.signatures[0]
    inputs, expected = to_source(given[0], public.inputs), to_source(given[1], public.outputs)
    size = sum(artifact.files.values())
    with Jobs(environments, Settings().jobs, scratch, size, all_formats()["onnx"], progress) as jobs:
        for wanted in ("base", environment):
            environments.ensure(wanted, lambda line: jobs.say(f"environment: {line}"))
        asked, answered = jobs.folder / "inputs", jobs.folder / "expected"
        wire.save(asked, inputs)
        wire.save(answered, expected)
        arguments: dict[str, Any] = {
            "folder": str(folder.absolute()),
            "to": to,
            "name": name,
            "signature": of_source(public).to_json(),
            "inputs": str(asked.absolute()),
            "expected": str(answered.absolute()),
        }
        read = [str(folder.absolute()), str(asked.absolute()), str(answered.absolute())]
        result = jobs.run("gateway.formats.code:write", arguments, environment=environment, stage="code", read=read)
        found = of_form("code", lambda: tuple(Comparison.from_json(row) for row in result.value["comparisons"]))
        failed = [comparison for comparison in found if not comparison.passed]
        if failed or {comparison.output for comparison in found} != {spec.name for spec in public.outputs}:
            said = (
                "; ".join(f"{comparison.output}: {comparison.problem}" for comparison in failed)
                or "answers are missing"
            )
            raise VerificationFailed(f"the code that was written does not answer as the model does: {said}.")
        out.mkdir(parents=True, exist_ok=True)
        for file in (CODE, WEIGHTS):
            shutil.copyfile(made_by(result, file), out / file)
        versions = {str(key): str(value) for key, value in dict(result.value["versions"]).items()}
    return Written(artifact, out / CODE, out / WEIGHTS, found, versions)
