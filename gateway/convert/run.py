"""Converter: from a recognised model to a proven artifact in a folder. Blocking; called from threads.

    plan -> convert Job -> check Job -> gateway.json (not judged yet) -> oracle Job, run Job -> verdict -> gateway.json

Rule 1: a verification that failed is an answer, not an error: it is in the Artifact, and who
        asked decides.
Rule 2: nothing of a model is read in this process but gateway.json and tensors in our own frame.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config import Settings
from gateway.convert import auto, report
from gateway.convert.answers import of_form
from gateway.convert.assemble import assemble
from gateway.convert.budget import Budget
from gateway.convert.jobs import Jobs, Report, made_by, memory_limit
from gateway.convert.judges import choose
from gateway.convert.making import (
    ConvertRequest,
    Environments,
    Making,
    files_read,
    owners,
    subject_of,
)
from gateway.convert.plan import RUNS_IN, Hop, converter_name, environments
from gateway.convert.verify import prove, prove_given
from gateway.core.artifact import AUTO, FILE, NATIVE, ONNX, Artifact, Fact, Verdict, Verification
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.pipeline import KIND as PIPELINE
from gateway.errors import (
    ConversionError,
    CorruptModel,
    DropError,
    JobCancelled,
    JobCrashed,
    JobError,
    ModelRunError,
    NeedsInputShape,
    UsageError,
)
from gateway.formats.base import Conversion, Format, Match, Source, all_formats
from gateway.formats.tasks import Subject

log = logging.getLogger("gateway.convert")

__all__ = ["ConvertRequest", "Converter"]


class Converter:
    """Safe for several threads; how many convert at once is convert/budget.py's business."""

    def __init__(self, environments: Environments, settings: Settings, scratch: Path) -> None:
        self._environments = environments
        self._settings = settings
        self._scratch = scratch
        self._budget = Budget(settings.jobs.concurrency)
        self._identities: dict[tuple[str, str], str] = {}

    def identity(self, source: Format, target: str = "") -> str:
        """Which converter, judge and packages answer for this format and target: part of the store's key.

        For AUTO that is all that is tried here: a model is measured anew when TensorFlow has been installed.
        It changes when a better judge is installed: what the lesser one has judged is judged anew.
        """
        judge = choose(source, self._environments).environment
        targets = auto.candidates(source, self._environments.find)[0] if target == AUTO else [target]
        used = ",".join(sorted({*(name for each in targets for name in environments(source, each)), judge, "base"}))
        name = " or ".join(converter_name(source, each) for each in targets)
        if (name, used) not in self._identities:
            digests = {info.name: info.digest for info in self._environments.known()}
            packages = ", ".join(f"{name} {digests.get(name, 'unknown')[:16]}" for name in used.split(","))
            self._identities[name, used] = f"{name}, {packages}"
        return self._identities[name, used]

    def convert(
        self,
        request: ConvertRequest,
        out: Path,
        *,
        progress: Report | None = None,
        cancel: threading.Event | None = None,
    ) -> Artifact:
        """Write the artifact's files and gateway.json into `out` (an empty folder).

        A format that falls back stays what it is where ONNX of it cannot be made, or is not what its judge says; the
        report has the reason. Asked for a target by name it does not.
        Errors: ConversionError, DropError (vectors), JobError, ModelRunError, EnvironmentMissing,
        EnvironmentBroken, StoreError.
        """
        if request.match.format == PIPELINE:
            digests = {"digest": request.digest, "source_digest": request.source_digest or request.digest}
            return assemble(request.source, request.match, request.vectors, out, **digests)
        source = all_formats()[request.match.format]
        _check_read(source, request.options)
        targets, absent = [auto.wanted(source, request.options)], list[str]()
        measured = targets == [AUTO]
        if measured:
            targets, absent = auto.candidates(source, self._environments.find)
        subject = subject_of(request.source, request.match, request.options)
        wanted = memory_limit(self._settings.jobs, drop_bytes(subject.source))
        with self._budget.held(wanted, cancel), self._jobs(subject, progress, cancel) as jobs:
            if source.screens:
                self._environments.ensure("base")
                task, read = "gateway.formats.tasks:screen", files_read(subject)
                jobs.run(task, subject.to_json(), environment="base", stage="screen", read=read)
            making = Making(self._environments, self._settings, subject, jobs)
            if not measured:
                falls_back = source.falls_back and not request.options.target
                return (_or_native if falls_back else Making.make)(making, request, targets[0], out)
            tried = [_try(making, request, target, jobs.folder / f"candidate-{target}") for target in targets]
            chosen, fact = auto.choose(tried, request.options, absent)
            assert chosen.artifact is not None
            log.info("target auto: %s; %s", fact.value, fact.source)
            for path in (jobs.folder / f"candidate-{chosen.target}").iterdir():
                shutil.move(path, out / path.name)
            told = chosen.artifact.provenance
            artifact = replace(chosen.artifact, provenance=replace(told, facts=(*told.facts, fact)))
            report.write(artifact, out)
            return artifact

    def inspect(
        self, source: Source, match: Match, options: ModelOptions, *, cancel: threading.Event | None = None
    ) -> dict[str, Any]:
        """formats.base.Inspection as JSON. Errors: ConversionError, JobError, EnvironmentMissing."""
        subject = subject_of(source, match, options)
        environment = subject.format.inspects or subject.format.environment
        with self._jobs(subject, None, cancel) as jobs:
            self._environments.ensure(environment)
            return jobs.run(
                "gateway.formats.tasks:inspect",
                subject.to_json(),
                environment=environment,
                stage="inspect",
                read=files_read(subject),
            ).value

    def graph(self, kind: str, file: Path, out: Path) -> tuple[Path, int]:
        """What `file`, a model of a kind of the recogniser, is made of, for TensorBoard: (event file in `out`, nodes).

        Errors: ConversionError for a kind of which no graph is written, JobError, EnvironmentMissing.
        """
        size = file.stat().st_size
        with Jobs(self._environments, self._settings.jobs, self._scratch, size, all_formats()[ONNX]) as jobs:
            self._environments.ensure("base")
            arguments = {"kind": kind, "file": str(file.absolute())}
            task, read = "gateway.formats.tensorboard:write", [str(file.absolute())]
            result = jobs.run(task, arguments, environment="base", stage="graph", read=read)
            made = made_by(result, result.value.get("file"))
            out.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made, out / made.name)
            return out / made.name, of_form("graph", lambda: int(result.value["nodes"]))

    def verify(
        self,
        source: Source,
        match: Match,
        options: ModelOptions,
        artifact_folder: Path,
        *,
        inputs: Tensors | None = None,
        expected: Tensors | None = None,
        vectors: Path | None = None,
        cancel: threading.Event | None = None,
    ) -> Verification:
        """Judge an artifact that is there, on probes or on `inputs`, against the oracle or against `expected`."""
        if expected is not None and inputs is None:
            raise UsageError("expected outputs without inputs; expected both, or inputs alone.")
        artifact = _read_artifact(artifact_folder)
        runs_in = RUNS_IN.get(artifact.kind) or all_formats()[match.format].environment_of(artifact.kind)
        hop = Hop(match.format, artifact.kind, runs_in)
        subject = subject_of(source, match, options)
        with self._jobs(subject, None, cancel) as jobs:
            making = Making(self._environments, self._settings, subject, jobs)
            judge = making.judge_of(hop, expected is None)
            making.ensure((hop,), judge)
            facts = artifact.provenance.facts
            conversion = Conversion(
                artifact.kind, artifact.signatures, facts, quantised=any(f.what == "quantised by" for f in facts)
            )
            question = making.question(judge, conversion, artifact, artifact_folder, verify=True)
            if inputs is not None:
                return prove_given(jobs, question, inputs, expected)
            owner = owners(vectors, artifact.signatures[0])
            return prove(jobs, question, owner).verification

    def _jobs(self, subject: Subject, progress: Report | None, cancel: threading.Event | None) -> Jobs:
        size = drop_bytes(subject.source)
        return Jobs(self._environments, self._settings.jobs, self._scratch, size, subject.format, progress, cancel)


def drop_bytes(source: Source) -> int:
    return sum(source.path(name).stat().st_size for name in source.files)


def _check_read(source: Format, options: ModelOptions) -> None:
    """A key that says something of the model, and that nobody reads, would be a wish that is not granted in silence.

    Errors: ConversionError.
    """
    fixed = ", ".join(repr(option.own_name) for option in options.inputs if option.value is not None)
    said = {"class": options.class_ and f"class = {options.class_!r}", "value": fixed and f"a value for {fixed}"}
    unread = [text for key, text in said.items() if text and key not in source.reads]
    if unread:
        raise ConversionError(
            f"model.toml has {' and '.join(unread)}, which says nothing about {source.title}.",
            hint="Take it out; docs/model-toml.md has what each key is for.",
        )


def _or_native(making: Making, request: ConvertRequest, target: str, out: Path) -> Artifact:
    """The artifact, or the source as it is where that one is not made, not published or not what its judge says."""
    try:
        artifact = making.make(request, target, out)
    except (CorruptModel, NeedsInputShape):  # no framework reads more of the source
        raise
    except (ConversionError, JobCrashed, ModelRunError) as error:
        why = error.message
    else:
        if artifact.kind == NATIVE:
            return _saying(artifact, "; ".join(artifact.provenance.warnings[-1:]), out)
        if artifact.verification.verdict is not Verdict.FAILED:
            return artifact
        why = artifact.verification.reason
    for made in out.iterdir():
        if made.is_dir():
            shutil.rmtree(made)
        else:
            made.unlink()
    artifact = making.make(request, NATIVE, out)
    told = artifact.provenance
    warning = f"it stays what it is, and its own framework runs it: {why}"
    facts = (*told.facts, Fact("not ONNX", why, "verification of the ONNX file"))
    artifact = replace(artifact, provenance=replace(told, facts=facts, warnings=(*told.warnings, warning)))
    return _saying(artifact, warning, out)


def _saying(artifact: Artifact, why: str, out: Path) -> Artifact:
    """The same, its report saying why it is native."""
    found = artifact.verification
    artifact = replace(artifact, verification=replace(found, reason="; ".join(filter(None, (found.reason, why)))))
    report.write(artifact, out)
    return artifact


def _try(making: Making, request: ConvertRequest, target: str, folder: Path) -> auto.Tried:
    """One candidate of "auto"; what goes wrong with it is an answer. Errors: those that every candidate would have."""
    folder.mkdir()
    try:
        artifact = making.make(request, target, folder, timed_s=auto.TIMED_S)
    except (JobCancelled, DropError):
        raise
    except (ConversionError, JobError, ModelRunError) as error:
        return auto.Tried(target, error=error)
    return auto.Tried(target, artifact, making.timing)


def _read_artifact(folder: Path) -> Artifact:
    try:
        return Artifact.from_json(json.loads((folder / FILE).read_text()))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / FILE} cannot be read: {error}; expected the folder of an artifact.") from error
