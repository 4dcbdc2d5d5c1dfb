"""A failed verdict, looked at again: is it a tail, is it rounding, and if neither, which node is it?

Rule 1: what fails and cannot be shown to be something else stays failed: an error of one of these
        Jobs changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.convert import bounded, rounding
from gateway.convert.answers import file_of, files_of, of_form
from gateway.convert.jobs import Jobs
from gateway.convert.question import Answers, Case, Question
from gateway.core.artifact import FROZEN, ONNX, SAVEDMODEL, Verification
from gateway.core.compare import Comparison
from gateway.errors import GatewayError, JobCancelled
from gateway.process import plain
from gateway.process.sandbox_paths import named_by_us


def tails(
    jobs: Jobs, question: Question, answers: Answers, comparisons: Sequence[Comparison]
) -> tuple[Comparison, ...] | None:
    """All comparisons, tails of bounded operators judged before the operator (convert/bounded.py); None: as they were.

    Errors: JobCancelled.
    """
    failed = bounded.doubtful(comparisons)
    asked = bounded.arguments(failed, {case.name: case.inputs for case in answers.cases}) if failed else None
    if not asked or question.artifact.kind != "onnx":
        return None
    arguments = dict(question.subject) | {
        "signature": question.signature.to_json(),
        "artifact": str((question.folder / "model.onnx").absolute()),
        "asked": asked,
    }
    try:
        before = _before(jobs, question, answers, arguments)
    except JobCancelled:
        raise
    except GatewayError:
        return None
    return bounded.settled(comparisons, failed, before)


def _before(jobs: Jobs, question: Question, answers: Answers, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """What bounded.settled judges. Errors: GatewayError."""
    artifact = named_by_us(question.folder)
    inputs = [asked["inputs"] for asked in arguments["asked"]]
    ours = jobs.run(
        "gateway.formats.tails:ours", arguments, environment="base", stage="tails", read=(*artifact, *inputs)
    )
    arguments["answers"] = ours.value["answers"]
    read: tuple[str | Path, ...] = (*question.source, *inputs)
    theirs = jobs.run(
        "gateway.formats.tails:theirs", arguments, environment=answers.environment, stage="tails", read=read
    )
    by_name = {case.name: str(case.expected.absolute()) for case in answers.cases}
    expected = of_form("tails", lambda: [by_name[each["case"]] for each in ours.value["answers"]])
    arguments |= {"files": theirs.value["files"], "expected": expected}
    shown = of_form("tails", lambda: [file_of(theirs, file) for file in theirs.value["files"] if file])
    read = (*artifact, *inputs, *expected, *shown)
    same = jobs.run("gateway.formats.tails:same", arguments, environment="base", stage="tails", read=read)
    return of_form("tails", lambda: bounded.compared(ours, theirs, same))


def rounded(
    jobs: Jobs, question: Question, answers: Answers, comparisons: Sequence[Comparison], served: Mapping[str, Path]
) -> tuple[tuple[Comparison, ...], str] | None:
    """All comparisons and what was shown, where every difference is rounding (convert/rounding.py); None: as they were.

    `served` are the artifact's answers by case. Errors: JobCancelled.
    """
    by_name = {case.name: case for case in answers.cases if not case.judge}
    failed = rounding.doubtful(comparisons, {case.name: case.kind for case in by_name.values()})
    if not failed or question.artifact.kind != "onnx" or question.quantised:
        return None
    cases = [by_name[name] for name in dict.fromkeys(c.case for c in failed)]
    arguments = dict(question.subject) | {
        "signature": question.signature.to_json(),
        "artifact": str((question.folder / "model.onnx").absolute()),
        "asked": [{"case": case.name, "inputs": str(case.inputs.absolute())} for case in cases],
    }
    try:
        read: tuple[str | Path, ...] = (*question.source, *(case.inputs for case in cases))
        exact = jobs.run("gateway.formats.rounding:exact", arguments, environment="base", stage="exact", read=read)
        if exact.value.get("why"):
            return None
        files = of_form("exact", lambda: {c.case: file_of(exact, exact.value["files"][c.case]) for c in failed})
        shown = [rounding.beside(c, files[c.case], by_name[c.case].expected, served[c.case]) for c in failed]
        if not all(each is not None and each.is_rounding for each in shown):
            return None
        alone = [_alone(jobs, question, answers, arguments, case) for case in cases]
    except JobCancelled:
        raise
    except GatewayError:
        return None
    return of_form("exact", lambda: rounding.settled(comparisons, shown, alone, str(exact.value["judge"])))


def _alone(
    jobs: Jobs, question: Question, answers: Answers, arguments: Mapping[str, Any], case: Case
) -> Mapping[str, Any]:
    """Every node of the artifact alone, on the judge's inputs of this case."""
    files = {"inputs": str(case.inputs.absolute()), "expected": str(case.expected.absolute())}
    asked = dict(arguments) | files
    asked["seen"], seen = _nodes(jobs, question, answers, asked)
    read: tuple[str | Path, ...] = (*named_by_us(question.folder), case.inputs, case.expected, *seen)
    return jobs.run("gateway.formats.rounding:alone", asked, environment="base", stage="alone", read=read).value


def _nodes(
    jobs: Jobs, question: Question, answers: Answers, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Path]]:
    """What the judge shows of every node for `inputs`, and the files it is in. Errors: GatewayError."""
    read = (*question.source, arguments["inputs"])
    nodes = jobs.run(
        "gateway.formats.tasks:nodes", dict(arguments), environment=answers.environment, stage="nodes", read=read
    )
    return nodes.value, files_of(nodes, of_form("nodes", lambda: list(nodes.value["nodes"])))


def located(jobs: Jobs, question: Question, answers: Answers, verification: Verification) -> Verification:
    """The same report with the first diverging node, or why it cannot be named."""
    by_name = {case.name: case for case in answers.cases}
    failed = [c for c in verification.comparisons if not c.passed and c.case in by_name]
    task, environment, model = _search(question)
    if not failed or model is None:
        return verification
    case = by_name[max(failed, key=lambda comparison: comparison.severity).case]
    arguments = dict(question.subject) | {
        "signature": question.signature.to_json(),
        "artifact": str(model.absolute()),
        "inputs": str(case.inputs.absolute()),
        "quantised": question.quantised,
    }
    try:
        arguments["seen"], seen = _nodes(jobs, question, answers, arguments)
        read: tuple[str | Path, ...] = (*named_by_us(question.folder), model.parent.absolute(), case.inputs, *seen)
        result = jobs.run(task, arguments, environment=environment, stage="locate", read=read)
        at = of_form("locate", lambda: _at(result.value))
        made = result.out / "repro"
        if question.repro is not None and made.is_dir():
            plain.take(made, question.repro)
            at += f" {question.repro.name}/ in the artifact holds this node with the judge's vectors."
    except JobCancelled:
        raise
    except (GatewayError, OSError, plain.NotPlain) as error:
        at = f"no node can be named: the search for it ended: {getattr(error, 'message', error)}"
    return Verification(verification.verdict, verification.oracle, verification.reason, verification.comparisons, at)


def _search(question: Question) -> tuple[str, str, Path | None]:
    """The task that looks into an artifact of this kind, its Environment, and the ONNX file it looks into."""
    if question.artifact.kind in (SAVEDMODEL, FROZEN):
        return "gateway.formats.savedmodel.locate:locate", "tensorflow", question.onnx
    model = question.folder / "model.onnx" if question.artifact.kind == ONNX else None
    return "gateway.formats.tasks:locate", "base", model


def _at(value: Mapping[str, Any]) -> str:
    """The finding of the locate Job in sentences."""
    if "node" not in value:
        return f"no node can be named: {value['why']}"
    problem = value["comparison"]["problem"] or "within its limit, and the error grows from here"
    said = [f"{value['node']} ({value['operator']}): {problem}."]
    alone = value["alone"]
    if alone is None:
        said.append("Alone, fed with the judge's inputs, it cannot be run.")
    elif alone["problem"]:
        said.append(f"Alone, fed with the judge's inputs: {alone['problem']}.")
    else:
        said.append(
            f"Alone, fed with the judge's inputs, it passes with {float(alone['snr_db']):.1f} dB, the worst of all "
            "nodes up to it: errors add up."
        )
    said += [f"Known trap: {sentence}" for sentence in value["traps"]]
    return " ".join(said)
