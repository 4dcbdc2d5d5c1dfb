"""Proving an artifact: the source's oracle and the artifact answer the same calls, each in a child.

    oracle Job   makes the probes and answers them with the source       formats/tasks:oracle
    run Job      answers them with the artifact, on its runtime          runtimes/tasks:run
    here         compares per case and output, unsorted, shapes and dtypes included

Rule 1: `passed` needs a judge and at least one case; what nobody could judge is `unverified`
        with the reason, never more.
Rule 2: a case that the judge answers and the artifact refuses is a failure, not a skipped case.
Rule 3: a native artifact is the source: it is run, the owner's vectors count, and its verdict is
        `native`, never `passed`.
Rule 4: a Job that dies over the artifact is an error of the Job; one that dies over the source
        leaves the model unverified and says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.convert import again
from gateway.convert.answers import of_oracle, of_run
from gateway.convert.batch import proof
from gateway.convert.jobs import Jobs, made_by
from gateway.convert.question import Answers, Case, Question, Timing
from gateway.core.artifact import MAX_WARMUP_BYTES, WARMUP_FILE, Verdict, Verification
from gateway.core.compare import Comparison, compare
from gateway.core.dtypes import Tensors
from gateway.core.layout import to_public, to_source
from gateway.errors import JobCancelled, JobError, ModelRunError
from gateway.formats.savedmodel import warmup
from gateway.process import wire
from gateway.process.job import JobResult
from gateway.process.sandbox_paths import named_by_us

OWNER = "vectors of the owner"
ORDINARY = ("normal", "uniform", "ramp", "zeros")  # kinds whose answer should be finite


@dataclass(frozen=True)
class Finding:
    """The report, and whether requests may be joined along the first dimension.

    `answers` are the judge's, for another artifact of the same model; `timing` is there where it was asked for.
    """

    verification: Verification
    batched: bool
    answers: Answers = field(default_factory=Answers)
    timing: Timing | None = None


def prove(
    jobs: Jobs, question: Question, owner: tuple[Tensors, Tensors] | None, answers: Answers | None = None
) -> Finding:
    """Verdict over probes and the owner's vectors. `answers` are what the judge has said of this model already.

    Errors: JobError, ModelRunError of the run Job.
    """
    if answers is None:
        answers = _answers(jobs, question, owner)
    run, value = _run(jobs, question, answers)
    timing = _timing(run, value, question)
    if question.native:
        _must_run(value)
    if not answers.cases and value["why"]:
        why = Verification(Verdict.UNVERIFIED, reason=f"{answers.unjudged}; {value['why']}")
        return Finding(why, batched=False, answers=answers, timing=timing)
    found = {case["name"]: case for case in value["cases"]}
    comparisons = list(_compared(answers.cases, found, run, question))
    batched, seen = proof(
        question.signature,
        {case.name: case.expected for case in answers.cases if not case.judge},
        found,
        run,
    )
    nan = _nan_case(found, run, question)
    verification = _verdict(answers, comparisons, value["unstable"], question, nan)
    if verification.verdict is Verdict.FAILED and answers.oracle:
        if not nan:  # what the weights have made is no question of size
            served = {name: run.out / case["outputs"] for name, case in found.items()}
            verification = _again(jobs, question, answers, verification, value["unstable"], served)
        if verification.verdict is Verdict.FAILED:
            verification = again.located(jobs, question, answers, verification)
    if question.native:
        verification = _native(verification, value["placement"]["runtime"])
    _keep_warmup(question, value["cases"])
    if value["warmup"]:
        extra = question.folder / warmup.FOLDER
        extra.mkdir(exist_ok=True)
        shutil.copyfile(made_by(run, value["warmup"]), extra / warmup.FILE)
    safe = batched and verification.verdict is not Verdict.FAILED
    return Finding(_with_batch(verification, seen), safe, answers, timing)


def _answers(jobs: Jobs, question: Question, owner: tuple[Tensors, Tensors] | None) -> Answers:
    """What the judge says, and the owner's vectors beside it."""
    answers = Answers(unjudged="verification was switched off")
    if question.native:
        answers = Answers()
    elif question.judge:
        answers = _ask_oracle(jobs, question)
    if owner is not None:
        given, expected = owner
        specs = question.public
        _add_given(jobs, answers, to_source(given, specs.inputs), to_source(expected, specs.outputs))
    return answers


def _timing(run: JobResult, value: Mapping[str, Any], question: Question) -> Timing | None:
    """What the run Job has timed, and the files of that call."""
    answered = next((case for case in value["cases"] if not case["error"]), None)
    if value["timed"] is None or answered is None:
        return None
    inputs = question.timed_on or Path(answered["inputs"])
    return Timing(value["timed"]["ms"], value["timed"]["calls"], inputs, run.out / answered["outputs"])


def _again(
    jobs: Jobs,
    question: Question,
    answers: Answers,
    failed: Verification,
    unstable: list[str],
    served: Mapping[str, Path],
) -> Verification:
    """The same, or what the failed comparisons are shown to be. `served` are the artifact's answers by case."""
    comparisons = again.tails(jobs, question, answers, failed.comparisons)
    if comparisons is not None:
        return _verdict(answers, list(comparisons), unstable, question, "")
    shown = again.rounded(jobs, question, answers, failed.comparisons, served)
    if shown is None:
        return failed
    found = _verdict(answers, list(shown[0]), unstable, question, "")
    return replace(found, reason=f"{found.reason}; {shown[1]}") if found.verdict is Verdict.PASSED else found


def prove_given(jobs: Jobs, question: Question, inputs: Tensors, expected: Tensors | None) -> Verification:
    """One call the caller brings: against `expected`, else against the oracle. Errors: InvalidTensor, JobError."""
    question.public.check(inputs)
    inputs = to_source(inputs, question.public.inputs)
    expected = None if expected is None else to_source(expected, question.public.outputs)
    if expected is not None:
        answers = Answers()
        _add_given(jobs, answers, inputs, expected, judge="expected outputs as given")
    else:
        path = jobs.folder / "given.inputs"
        wire.save(path, inputs)
        answers = _ask_oracle(jobs, question, {"given": str(path)})
        if not answers.cases:
            return Verification(Verdict.UNVERIFIED, reason=answers.unjudged)
    run, value = _run(jobs, question, answers)
    found = {case["name"]: case for case in value["cases"]}
    comparisons = list(_compared(answers.cases, found, run, question))
    verification = _verdict(answers, comparisons, value["unstable"], question, "")
    if verification.verdict is Verdict.FAILED and answers.oracle:
        verification = again.located(jobs, question, answers, verification)
    return _native(verification, value["placement"]["runtime"]) if question.native else verification


def _ask_oracle(jobs: Jobs, question: Question, given: Mapping[str, str] | None = None) -> Answers:
    """The judge's answers; of the next judge, with the first one's words, where one does not read the source."""
    arguments = dict(question.subject) | {
        "signature": question.signature.to_json(),
        "seed": question.seed,
        "budget_s": question.budget_s,
        "given": dict(given or {}),
    }
    because, read = question.because, (*question.source, *(given or {}).values())
    for environment in (question.environment, *question.further):
        try:
            result = jobs.run(
                "gateway.formats.tasks:oracle", arguments, environment=environment, stage="oracle", read=read
            )
            found = of_oracle(result, because, environment)
        except JobCancelled:
            raise
        except JobError as error:
            return Answers(unjudged=f"the oracle gave no answer: {error.message}")
        if not result.value["unread"]:
            break
        because = "; ".join(filter(None, (because, found.unjudged.rstrip("."))))
    else:
        found.unjudged = because  # nobody reads it: each judge's words, the first one's first
    return found


def _add_given(jobs: Jobs, answers: Answers, inputs: Tensors, expected: Tensors, judge: str = OWNER) -> None:
    asked, answered = jobs.folder / "given.inputs", jobs.folder / "given.outputs"
    wire.save(asked, inputs)
    wire.save(answered, expected)
    answers.cases.append(Case(judge, "given", None, asked, answered, judge))


def _run(jobs: Jobs, question: Question, answers: Answers) -> tuple[JobResult, dict[str, Any]]:
    """The Job and its answer."""
    given = {case.name: str(case.inputs.absolute()) for case in answers.cases}
    cases = [
        {"name": case.name, "kind": case.kind, "row": case.row, "inputs": given[case.name]} for case in answers.cases
    ]
    arguments = {
        "folder": str(question.folder.absolute()),
        "cases": cases,
        "seed": question.seed,
        "hints": answers.hints,
        "timed_s": question.timed_s,
        "timed_on": str(question.timed_on.absolute()) if question.timed_on else "",
    }
    timed = (question.timed_on,) if question.timed_on else ()
    read = (*named_by_us(question.folder), *given.values(), *timed)
    result = jobs.run("gateway.runtimes.tasks:run", arguments, environment=question.runs_in, stage="run", read=read)
    return result, of_run(result, given)


def _compared(
    cases: Iterable[Case], found: Mapping[str, Any], run: JobResult, question: Question
) -> Iterable[Comparison]:
    for case in cases:
        answer = found[case.name]
        if answer["error"]:
            yield _broken(
                case.name, "", f"the artifact refuses what {case.judge or 'the oracle'} takes: {answer['error']}"
            )
            continue
        outputs = wire.load(made_by(run, answer["outputs"]))
        expected = wire.load(case.expected)
        for name in [*expected, *(n for n in outputs if n not in expected)]:
            if name not in outputs:
                yield _broken(case.name, name, "the artifact has no such output")
            elif name not in expected:
                if not case.judge:  # the owner may bring some outputs only
                    yield _broken(case.name, name, "the oracle has no such output")
            else:
                yield compare(expected[name], outputs[name], case=case.name, output=name, quantised=question.quantised)


def _must_run(value: Mapping[str, Any]) -> None:
    """Errors: ModelRunError when the framework has answered no call: there would be nothing to serve."""
    errors = [case["error"] for case in value["cases"] if case["error"]]
    if len(errors) == len(value["cases"]):
        raise ModelRunError(f"{value['placement']['runtime']} does not run the model: {value['why'] or errors[0]}")


def _native(verification: Verification, runtime: str) -> Verification:
    """What was found of an artifact that is the source: failed stays so, anything else is `native`."""
    if verification.verdict is Verdict.FAILED:
        return verification
    said = filter(None, (f"nothing was converted: {runtime} runs it", verification.reason))
    return replace(verification, verdict=Verdict.NATIVE, reason="; ".join(said))


def _broken(case: str, output: str, problem: str) -> Comparison:
    return Comparison(case, output, "", (), float("nan"), float("nan"), problem=problem)


def _nan_case(found: Mapping[str, Any], run: JobResult, question: Question) -> str:
    """Where NaN weights reach the answer of an ordinary input: one sentence, or ""."""
    if not question.nan_weights:
        return ""
    for case in found.values():
        if case["kind"] not in ORDINARY or not case["outputs"]:
            continue
        for name, array in wire.load(made_by(run, case["outputs"])).items():
            if array.dtype.kind in "fc" and bool(np.isnan(array).any()):
                names = ", ".join(repr(weight) for weight in question.nan_weights[:10])
                return f"weights {names} hold NaN, and output {name!r} of the finite input {case['name']!r} is NaN"
    return ""


def _verdict(
    answers: Answers, comparisons: list[Comparison], unstable: list[str], question: Question, nan: str
) -> Verification:
    judges = [answers.oracle] if answers.oracle and any(not case.judge for case in answers.cases) else []
    judges += sorted({case.judge for case in answers.cases if case.judge})
    oracle = ", ".join(judges)
    failed = [comparison for comparison in comparisons if not comparison.passed]
    if nan:
        return Verification(Verdict.FAILED, oracle, nan, tuple(comparisons))
    if unstable:
        names = ", ".join(repr(name) for name in unstable)
        reason = f"output {names} differs between two calls with the same input: it draws random numbers or remembers"
        return Verification(Verdict.UNVERIFIED, oracle, reason, tuple(comparisons))
    if failed:
        worst = max(failed, key=lambda comparison: comparison.severity)
        at = f" at {list(worst.worst_index)}: {worst.candidate}, expected {worst.reference}" if worst.reference else ""
        reason = f"{len(failed)} of {len(comparisons)} comparisons failed; worst: output {worst.output!r} of case "
        reason += f"{worst.case!r}: {worst.problem}{at}"
        return Verification(Verdict.FAILED, oracle, reason, tuple(comparisons))
    if not comparisons:
        return Verification(Verdict.UNVERIFIED, "", answers.unjudged)
    said = [f"{len(comparisons)} comparisons over {len(answers.cases)} inputs"]
    said += [answers.sizing] if answers.sizing else []
    said += [f"{answers.oracle} judged because {answers.reason}"] if answers.reason else []
    said += [f"no oracle: {answers.unjudged}"] if answers.unjudged else []
    said += (
        [f"{len(answers.refused)} inputs refused by the judge ({answers.refused[0]['why']})"] if answers.refused else []
    )
    return Verification(Verdict.PASSED, oracle, "; ".join(said), tuple(comparisons))


def _keep_warmup(question: Question, cases: Iterable[Mapping[str, Any]]) -> None:
    """Inputs that the artifact has taken go with it: a version is warmed with them before it serves."""
    for case in cases:
        if not case["error"] and Path(case["inputs"]).stat().st_size <= MAX_WARMUP_BYTES:
            inputs = to_public(wire.load(Path(case["inputs"])), question.public.inputs)
            wire.save(question.folder / WARMUP_FILE, inputs)
            return


def _with_batch(verification: Verification, batch: str) -> Verification:
    return Verification(
        verification.verdict,
        verification.oracle,
        verification.reason,
        verification.comparisons,
        verification.diverges_at,
        batch,
    )
