"""Making: the artifacts of one model, each converted, read again and proven, in the Jobs of one context."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from gateway.config import Settings
from gateway.convert import report
from gateway.convert import vectors as owners_vectors
from gateway.convert.answers import of_form
from gateway.convert.jobs import Jobs
from gateway.convert.judges import Judge, choose
from gateway.convert.plan import RUNS_IN, Hop, converter_name, plan
from gateway.convert.question import Answers, Question, Timing
from gateway.convert.verify import Finding, prove
from gateway.core.artifact import NATIVE, ONNX, Artifact, Verdict, Verification
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import (
    ConversionError,
    DropError,
    GatewayError,
    InvalidTensor,
    JobCrashed,
    StoreError,
    UnsafeArtifact,
)
from gateway.formats.base import Conversion, Match, Source, all_formats
from gateway.formats.tasks import Subject
from gateway.process import plain
from gateway.process.environments import Environment, EnvironmentInfo
from gateway.process.sandbox_paths import named_by_us

REPRO = "repro"
"""Folder in a failed artifact: its wrong node alone, a drop with the judge's vectors."""


class Environments(Protocol):
    """What the converter needs of process/environments.py."""

    def find(self, name: str) -> Environment: ...
    def ensure(self, name: str, progress: Callable[[str], None] | None = None) -> Environment: ...
    def known(self) -> list[EnvironmentInfo]: ...


@dataclass(frozen=True)
class ConvertRequest:
    """`digest` is the store's key of the result; `vectors` the folder of the owner's input_*.npy, output_*.npy."""

    source: Source
    match: Match
    options: ModelOptions
    labels: tuple[str, ...] = ()
    vectors: Path | None = None
    digest: str = ""
    verify: bool = True
    source_digest: str = ""


class Making:
    """What the first artifact has cost is not paid again for the next: the ONNX file, and the judge's answers."""

    def __init__(self, environments: Environments, settings: Settings, subject: Subject, jobs: Jobs) -> None:
        self._environments, self._settings = environments, settings
        self.subject, self.jobs = subject, jobs
        self._onnx: tuple[Path, Conversion] | None = None
        self._answers: Answers | None = None
        self.timing: Timing | None = None  # of the last one

    def make(self, request: ConvertRequest, target: str, out: Path, *, timed_s: float = 0.0) -> Artifact:
        """Convert, read again, prove; files and gateway.json are in `out`. Errors: as Converter.convert.

        With `timed_s` a call is timed for so long, on the same inputs for every artifact.
        """
        hops = plan(request.match.format, target)
        native = hops[-1].target == NATIVE
        judge = self.judge_of(hops[0], request.verify and not native)
        environment = self.ensure(hops, judge)
        conversion, hub = _run_hops(hops, self.subject, request.labels, self.jobs, out, self._onnx)
        if target == ONNX:
            self._onnx = (out, conversion)
        _read_again(self.jobs, request.match.format, conversion, out)
        artifact = self._artifact(request, hops, conversion, environment, out)
        report.write(artifact, out)
        owner = owners(request.vectors, artifact.signatures[0]) if request.verify else None
        question = replace(
            self.question(judge, conversion, artifact, out, request.verify),
            onnx=hub,
            repro=out / REPRO,
            timed_s=timed_s,
            timed_on=self.timing.inputs if self.timing else None,
        )
        finding = prove(self.jobs, question, owner, None if native else self._answers)
        if not native:
            self._answers = finding.answers
        self.timing = finding.timing
        artifact = replace(_judged(artifact, finding, self.jobs), files=report.file_sizes(out))
        report.write(artifact, out)
        return artifact

    def judge_of(self, hop: Hop, wanted: bool) -> Judge:
        """Who judges; built first where the settings say so."""
        build = wanted and self._settings.verify.build_judges
        say = lambda line: self.jobs.say(f"environment: {line}")  # noqa: E731
        return choose(all_formats()[hop.format], self._environments, build=build, say=say)

    def ensure(self, hops: Sequence[Hop], judge: Judge) -> Environment:
        """All that is needed is there or is built. Returns the last hop's."""
        found = {}
        for name in dict.fromkeys((*(hop.environment for hop in hops), judge.environment, "base")):
            found[name] = self._environments.ensure(name, lambda line: self.jobs.say(f"environment: {line}"))
        return found[hops[-1].environment]

    def question(
        self, judge: Judge, conversion: Conversion, artifact: Artifact, folder: Path, verify: bool
    ) -> Question:
        """What is to be proven of an artifact in `folder`."""
        return Question(
            subject=self.subject.to_json(),
            source=files_read(self.subject),
            environment=judge.environment,
            because=judge.because,
            further=judge.further,
            runs_in=self.subject.format.native if artifact.kind == NATIVE else RUNS_IN[artifact.kind],
            artifact=artifact,
            folder=folder,
            quantised=conversion.quantised,
            nan_weights=tuple(fact.value for fact in conversion.facts if fact.what == "NaN weights"),
            seed=self._settings.verify.seed,
            budget_s=self._settings.verify.reference_s,
            judge=verify,
        )

    def _artifact(
        self,
        request: ConvertRequest,
        hops: Sequence[Hop],
        conversion: Conversion,
        environment: Environment,
        out: Path,
    ) -> Artifact:
        """The artifact before anybody judged it."""
        signatures = tuple(replace(s, labels=request.labels or s.labels) for s in conversion.signatures)
        return Artifact(
            digest=request.digest,
            kind=conversion.kind,
            signatures=signatures,
            provenance=report.provenance(
                request.match,
                conversion,
                source_digest=request.source_digest or request.digest,
                converter=converter_name(all_formats()[hops[0].format], hops[-1].target),
                environment=f"{environment.name} {environment.digest[:16]}",
                sandbox=self.jobs.sandbox,
                seconds=self.jobs.seconds,
            ),
            verification=Verification(Verdict.UNVERIFIED, reason="not judged yet"),
            files=report.file_sizes(out),
        )


def _run_hops(
    hops: Sequence[Hop],
    subject: Subject,
    labels: Sequence[str],
    jobs: Jobs,
    out: Path,
    onnx: tuple[Path, Conversion] | None,
) -> tuple[Conversion, Path | None]:
    """One Job after the other, each fed with what the one before it left; the last one's files are in `out`.

    With them the ONNX file that the last one was made from, which stays as long as the Jobs do. `onnx` is what the
    first hop has made before, where that is so.
    """
    if onnx is None or len(hops) == 1:
        first = hops[0]
        arguments = subject.to_json() | {"target": first.target}
        result = jobs.run(
            first.task, arguments, environment=first.environment, stage="convert", read=files_read(subject)
        )
        folder, conversion = result.out, _conversion(result.value)
    else:
        folder, conversion = onnx
    hub = folder / "model.onnx" if len(hops) > 1 else None
    for hop in hops[1:]:
        arguments = {
            "target": hop.target,
            "folder": str(folder.absolute()),
            "conversion": conversion.to_json(),
            "options": subject.options.to_json(),
            "labels": list(labels),
        }
        read = [str(folder.absolute())]
        result = jobs.run(hop.task, arguments, environment=hop.environment, stage=hop.target, read=read)
        folder, conversion = result.out, _conversion(result.value)
    _move(folder, out)
    return conversion, hub


def subject_of(source: Source, match: Match, options: ModelOptions) -> Subject:
    return Subject(all_formats()[match.format], source, match, options)


def files_read(subject: Subject) -> tuple[str, ...]:
    """What a Job over this model reads."""
    return named_by_us(*subject.source.readable())


def _conversion(value: dict[str, Any]) -> Conversion:
    try:
        return Conversion.from_json(value)
    except (KeyError, TypeError, ValueError, GatewayError) as error:
        raise JobCrashed(f"convert: the Job's answer is not a Conversion: {error!r}.") from error


def _move(made: Path, out: Path) -> None:
    """The Job's files into the artifact's folder: plain ones, or none. Errors: JobCrashed, StoreError."""
    try:
        plain.take(made, out)
    except plain.NotPlain as error:
        raise JobCrashed(f"convert: what the Job made is not to be used: {error}.") from None
    except OSError as error:
        raise StoreError(f"the artifact's files could not be stored: {os.strerror(error.errno or 0)}.") from error


def _read_again(jobs: Jobs, source_format: str, conversion: Conversion, out: Path) -> None:
    """Another process, which has not seen the source, reads what was written. Errors: UnsafeArtifact, JobError."""
    specs = [spec for signature in conversion.signatures for spec in (*signature.inputs, *signature.outputs)]
    arguments = {
        "folder": str(out.absolute()),
        "kind": conversion.kind,
        "tensors": [spec.tensor for spec in specs] if conversion.kind != NATIVE else [],
    }
    read = named_by_us(out)
    try:
        answer = jobs.run("gateway.formats.recheck:artifact", arguments, environment="base", stage="check", read=read)
    except (ConversionError, DropError) as error:
        raise UnsafeArtifact(f"what the converter wrote is not published: {error.message}") from None
    complaint = of_form("check", lambda: str(answer.value["complaint"]))
    # What onnxruntime takes is taken: of a model that came as ONNX the checker's complaint is a warning already.
    if complaint and source_format != ONNX:
        raise UnsafeArtifact(f"what the converter wrote is not published: onnx's checker says: {complaint}")


def owners(folder: Path | None, signature: Signature) -> tuple[Tensors, Tensors] | None:
    """Errors: DropError, also for vectors that do not fit the signature."""
    if folder is None:
        return None
    try:
        return owners_vectors.read(folder, signature)
    except InvalidTensor as error:
        raise DropError(f"the owner's vectors in {folder.name}/: {error.message}", hint=error.hint) from error


def _judged(artifact: Artifact, finding: Finding, jobs: Jobs) -> Artifact:
    seconds = {stage: round(value, 3) for stage, value in jobs.seconds.items()}
    return replace(
        artifact,
        signatures=tuple(
            # Of a native artifact the first signature was called; the others may be other functions.
            signature.with_batched(finding.batched and (artifact.kind != NATIVE or number == 0))
            for number, signature in enumerate(artifact.signatures)
        ),
        provenance=replace(artifact.provenance, seconds=seconds, memory_mib=dict(jobs.memory_mib)),
        verification=finding.verification,
    )
