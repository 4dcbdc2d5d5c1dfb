"""Converter: from a recognised model to a proven artifact in a folder. Blocking; called from threads.

    plan -> convert Job -> check Job -> gateway.json (not judged yet) -> oracle Job, run Job -> verdict -> gateway.json

Rule 1: a verification that failed is an answer, not an error: it is in the Artifact, and who
        asked decides.
Rule 2: nothing of a model is read in this process but gateway.json and tensors in our own frame.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from gateway.config import Settings
from gateway.convert import report
from gateway.convert import vectors as owners_vectors
from gateway.convert.answers import of_form
from gateway.convert.jobs import Jobs, Report
from gateway.convert.judges import Judge, choose
from gateway.convert.plan import RUNS_IN, Hop, converter_name, environments, plan
from gateway.convert.question import Question
from gateway.convert.verify import Finding, prove, prove_given
from gateway.core.artifact import FILE, NATIVE, ONNX, Artifact, Verdict, Verification
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
    UsageError,
)
from gateway.formats.base import Conversion, Format, Match, Source, all_formats
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


class Converter:
    """Safe for several threads; how many convert at once is jobs.concurrency."""

    def __init__(self, environments: Environments, settings: Settings, scratch: Path) -> None:
        self._environments = environments
        self._settings = settings
        self._scratch = scratch
        self._admitted = threading.BoundedSemaphore(settings.jobs.concurrency)
        self._identities: dict[tuple[str, str], str] = {}

    def identity(self, source: Format, target: str = "auto") -> str:
        """Which converter, judge and packages answer for this format and target: part of the store's key.

        It changes when a better judge is installed: what the lesser one has judged is judged anew.
        """
        judge = choose(source, self._environments).environment
        used = ",".join(sorted({*environments(source, target), judge, "base"}))
        name = converter_name(source, target)
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

        Errors: ConversionError, DropError (vectors), JobError, ModelRunError, EnvironmentMissing,
        EnvironmentBroken, StoreError.
        """
        hops = plan(request.match.format, request.options.target)
        subject = _subject(request.source, request.match, request.options)
        with self._admitted, self._jobs(subject, progress, cancel) as jobs:
            judge = self._judge(hops[0], jobs, request.verify and hops[-1].target != NATIVE)
            environment = self._ensure(hops, judge, jobs)
            conversion = _run_hops(hops, subject, jobs, out)
            _read_again(jobs, request.match.format, conversion, out)
            artifact = self._artifact(request, hops, conversion, environment, jobs, out)
            report.write(artifact, out)
            owner = _vectors(request.vectors, artifact.signatures[0]) if request.verify else None
            question = self._question(subject, judge, conversion, artifact, out, request.verify)
            finding = prove(jobs, replace(question, repro=out / REPRO), owner)
            artifact = replace(_judged(artifact, finding, jobs), files=report.file_sizes(out))
            report.write(artifact, out)
            return artifact

    def inspect(
        self, source: Source, match: Match, options: ModelOptions, *, cancel: threading.Event | None = None
    ) -> dict[str, Any]:
        """formats.base.Inspection as JSON. Errors: ConversionError, JobError, EnvironmentMissing."""
        subject = _subject(source, match, options)
        environment = subject.format.environment
        with self._jobs(subject, None, cancel) as jobs:
            self._environments.ensure(environment)
            return jobs.run(
                "gateway.formats.tasks:inspect",
                subject.to_json(),
                environment=environment,
                stage="inspect",
                read=_files(subject),
            ).value

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
        subject = _subject(source, match, options)
        with self._jobs(subject, None, cancel) as jobs:
            judge = self._judge(hop, jobs, expected is None)
            self._ensure((hop,), judge, jobs)
            facts = artifact.provenance.facts
            conversion = Conversion(
                artifact.kind, artifact.signatures, facts, quantised=any(f.what == "quantised by" for f in facts)
            )
            question = self._question(subject, judge, conversion, artifact, artifact_folder, verify=True)
            if inputs is not None:
                return prove_given(jobs, question, inputs, expected)
            owner = _vectors(vectors, artifact.signatures[0])
            return prove(jobs, question, owner).verification

    def _jobs(self, subject: Subject, progress: Report | None, cancel: threading.Event | None) -> Jobs:
        source = subject.source
        size = sum(source.path(name).stat().st_size for name in source.files)
        return Jobs(self._environments, self._settings.jobs, self._scratch, size, subject.format, progress, cancel)

    def _judge(self, hop: Hop, jobs: Jobs, wanted: bool) -> Judge:
        build = wanted and self._settings.verify.build_judges
        say = lambda line: jobs.say(f"environment: {line}")  # noqa: E731
        return choose(all_formats()[hop.format], self._environments, build=build, say=say)

    def _ensure(self, hops: Sequence[Hop], judge: Judge, jobs: Jobs) -> Environment:
        """All that is needed is there or is built. Returns the last hop's."""
        found = {}
        for name in dict.fromkeys((*(hop.environment for hop in hops), judge.environment, "base")):
            found[name] = self._environments.ensure(name, lambda line: jobs.say(f"environment: {line}"))
        return found[hops[-1].environment]

    def _question(
        self, subject: Subject, judge: Judge, conversion: Conversion, artifact: Artifact, folder: Path, verify: bool
    ) -> Question:
        return Question(
            subject=subject.to_json(),
            source=_files(subject),
            environment=judge.environment,
            because=judge.because,
            further=judge.further,
            runs_in=subject.format.native if artifact.kind == NATIVE else RUNS_IN[artifact.kind],
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
        jobs: Jobs,
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
                sandbox=jobs.sandbox,
                seconds=jobs.seconds,
            ),
            verification=Verification(Verdict.UNVERIFIED, reason="not judged yet"),
            files=report.file_sizes(out),
        )


def _run_hops(hops: Sequence[Hop], subject: Subject, jobs: Jobs, out: Path) -> Conversion:
    """One Job after the other, each fed with what the one before it left; the last one's files are in `out`."""
    first = hops[0]
    arguments = subject.to_json() | {"target": first.target}
    result = jobs.run(first.task, arguments, environment=first.environment, stage="convert", read=_files(subject))
    conversion = _conversion(result.value)
    for hop in hops[1:]:
        arguments = {
            "target": hop.target,
            "folder": str(result.out.absolute()),
            "conversion": conversion.to_json(),
            "options": subject.options.to_json(),
        }
        read = [str(result.out.absolute())]
        result = jobs.run(hop.task, arguments, environment=hop.environment, stage=hop.target, read=read)
        conversion = _conversion(result.value)
    _move(result.out, out)
    return conversion


def _subject(source: Source, match: Match, options: ModelOptions) -> Subject:
    return Subject(all_formats()[match.format], source, match, options)


def _files(subject: Subject) -> tuple[str, ...]:
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


def _vectors(folder: Path | None, signature: Signature) -> tuple[Tensors, Tensors] | None:
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
        provenance=replace(artifact.provenance, seconds=seconds),
        verification=finding.verification,
    )


def _read_artifact(folder: Path) -> Artifact:
    try:
        return Artifact.from_json(json.loads((folder / FILE).read_text()))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / FILE} cannot be read: {error}; expected the folder of an artifact.") from error
