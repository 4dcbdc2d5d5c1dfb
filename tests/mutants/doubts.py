"""Mutants that only production's second looks could let pass: tails (convert/bounded.py) and rounding.

A planted bug that fails by size alone, on extreme inputs or at the end of a Sigmoid or Softmax, is asked about as
convert/again.py asks, by the same functions, in one child of `base`; the judge's tensors are there already.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.convert import bounded, rounding
from gateway.core.signature import Signature
from gateway.formats import rounding as rounding_tasks
from gateway.formats import tails
from gateway.process import wire
from gateway.process.job import JobResult
from tests.mutants.child import Job, Net, Package, all_tails, answered, borrow, converted, mutant_of


def excuse(job: Any) -> dict[str, Any]:
    """`format`, `package`, `mutants` [{"mutant", "net", "seen": {case number: folder}}] -> whether it passes."""
    borrow(job)
    arguments = job.arguments
    package = Package(arguments["format"], arguments["package"])
    found = []
    for number, row in enumerate(arguments["mutants"]):
        net, out = Net.of(arguments["format"], row["net"]), job.out / f"{number:04}"
        with package.wrong(mutant_of(row["mutant"])):
            signature = converted(net.subject, out)
        found.append(_excused(net, out, signature, row["seen"]))
    return {"excused": found}


def _excused(net: Net, out: Path, signature: Signature, seen: dict[str, str]) -> bool:
    """As convert/again.py, without its Jobs."""
    found = answered(net, out, signature, keep=out)
    assert not isinstance(found, dict), found
    comparisons = [comparison for comparison, _ in found]
    kinds = {case["name"]: case["kind"] for case in net.cases}
    oracle = net.work / "oracle"
    at = {case["name"]: number for number, case in enumerate(net.cases)}
    inputs = {name: oracle / net.cases[number]["inputs"] for name, number in at.items()}
    expected = {name: oracle / net.cases[number]["outputs"] for name, number in at.items()}
    nodes = {
        name: json.loads((Path(seen[str(number)]) / "nodes.json").read_text())
        for name, number in at.items()
        if str(number) in seen
    }
    asked = net.subject.to_json() | {"signature": signature.to_json(), "artifact": str(out / "model.onnx")}
    failed = bounded.doubtful(comparisons)
    if failed and all_tails(out, signature, list(failed)):
        asked["asked"] = bounded.arguments(failed, inputs)
        asked["answers"] = ours = tails.ours(Job(asked, out))["answers"]
        asked["files"] = files = [_shows(nodes[each["case"]], each["tensor"]) for each in ours]
        asked["expected"] = [str(expected[each["case"]]) for each in ours]
        errors = tails.same(Job(asked, out))["errors"]
        before = []
        for answer, file, error in zip(ours, files, errors, strict=True):
            jobs = {"answers": [answer]}, {"files": [file]}, {"errors": [error]}
            folders = out, Path(file).parent, out
            before += bounded.compared(
                *(JobResult(v, place, 0.0, 0, "", "") for v, place in zip(jobs, folders, strict=True))
            )
        if bounded.settled(comparisons, failed, before) is not None:
            return True
    failed = rounding.doubtful(comparisons, kinds)
    if not failed:
        return False
    cases = list(dict.fromkeys(comparison.case for comparison in failed))
    asked["asked"] = [{"case": case, "inputs": str(inputs[case])} for case in cases]
    exact = rounding_tasks.exact(Job(asked, out))
    if exact["why"]:
        return False
    shown = [
        rounding.beside(c, Path(exact["files"][c.case]), expected[c.case], out / f"{at[c.case]:03}.outputs")
        for c in failed
    ]
    alone = [
        rounding_tasks.alone(
            Job(asked | {"inputs": str(inputs[case]), "expected": str(expected[case]), "seen": nodes[case]}, out)
        )
        for case in cases
    ]
    return rounding.settled(comparisons, shown, alone, exact["judge"]) is not None


def _shows(nodes: dict[str, Any], tensor: str) -> str:
    return next((row["file"] for row in nodes["nodes"] if tensor in wire.load(Path(row["file"]))), "")
