"""A failed verdict, looked at again: is it a tail, is it rounding, and if neither, which node is it?

Rule 1: what fails and cannot be shown to be something else stays failed: an error of one of these
        Jobs changes nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.convert import bounded, rounding
from gateway.convert.jobs import Jobs
from gateway.convert.question import Answers, Case, Question
from gateway.core.artifact import Verification
from gateway.core.compare import Comparison
from gateway.errors import GatewayError, JobCancelled


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
        ours = jobs.run("gateway.formats.tails:ours", arguments, environment="base", stage="tails").value["answers"]
        arguments["answers"] = ours
        shown = jobs.run("gateway.formats.tails:theirs", arguments, environment=answers.environment, stage="tails")
        expected = {case.name: str(case.expected.absolute()) for case in answers.cases}
        arguments |= {"files": shown.value["files"], "expected": [expected[each["case"]] for each in ours]}
        errors = jobs.run("gateway.formats.tails:same", arguments, environment="base", stage="tails").value["errors"]
        before = bounded.compared(ours, shown.value["files"], errors)
    except JobCancelled:
        raise
    except GatewayError:
        return None
    return bounded.settled(comparisons, failed, before)


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
        exact = jobs.run("gateway.formats.rounding:exact", arguments, environment="base", stage="exact").value
        if exact["why"]:
            return None
        shown = [
            rounding.beside(c, Path(exact["files"][c.case]), by_name[c.case].expected, served[c.case]) for c in failed
        ]
        if not all(each is not None and each.is_rounding for each in shown):
            return None
        alone = [_alone(jobs, answers, arguments, case) for case in cases]
    except JobCancelled:
        raise
    except GatewayError:
        return None
    return rounding.settled(comparisons, shown, alone, exact["judge"])


def _alone(jobs: Jobs, answers: Answers, arguments: Mapping[str, Any], case: Case) -> Mapping[str, Any]:
    """Every node of the artifact alone, on the judge's inputs of this case."""
    files = {"inputs": str(case.inputs.absolute()), "expected": str(case.expected.absolute())}
    asked = dict(arguments) | files
    nodes = jobs.run("gateway.formats.tasks:nodes", asked, environment=answers.environment, stage="nodes")
    asked["seen"] = nodes.value
    return jobs.run("gateway.formats.rounding:alone", asked, environment="base", stage="alone").value


def located(jobs: Jobs, question: Question, answers: Answers, verification: Verification) -> Verification:
    """The same report with the first diverging node, or why it cannot be named."""
    by_name = {case.name: case for case in answers.cases}
    failed = [c for c in verification.comparisons if not c.passed and c.case in by_name]
    if not failed or question.artifact.kind != "onnx":
        return verification
    case = by_name[max(failed, key=lambda comparison: comparison.severity).case]
    arguments = dict(question.subject) | {
        "signature": question.signature.to_json(),
        "artifact": str((question.folder / "model.onnx").absolute()),
        "inputs": str(case.inputs.absolute()),
        "quantised": question.quantised,
    }
    try:
        nodes = jobs.run("gateway.formats.tasks:nodes", arguments, environment=answers.environment, stage="nodes")
        arguments["seen"] = nodes.value
        result = jobs.run("gateway.formats.tasks:locate", arguments, environment="base", stage="locate")
        at = _at(result.value)
        made = result.out / "repro"
        if question.repro is not None and made.is_dir():
            shutil.move(made, question.repro)
            at += f" {question.repro.name}/ in the artifact holds this node with the judge's vectors."
    except JobCancelled:
        raise
    except (GatewayError, OSError) as error:
        at = f"no node can be named: the search for it ended: {getattr(error, 'message', error)}"
    return Verification(verification.verdict, verification.oracle, verification.reason, verification.comparisons, at)


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
