"""Child tasks: is a difference rounding? Every node alone, and the model in float64 (see convert/rounding.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.compare import Comparison
from gateway.core.signature import Signature
from gateway.formats.tasks import LOCATE_NODES, Job, Subject, in_words
from gateway.process import wire


def alone(job: Job) -> dict[str, Any]:
    """`signature`, `artifact` (an ONNX file), `inputs`, `expected` (files), `seen` (of tasks:nodes); runs in `base`.

    Every node of the artifact between tensors of the judge, on the judge's own inputs, without optimisation ->
    {"nodes": how many comparisons, "operators": how many nodes they hold, "worst": the Comparison of the worst or null,
    "worst_operator", "why": "" or why not every node could be judged so}.
    """
    import onnx

    from gateway.formats import locate

    signature = Signature.from_json(job.arguments["signature"])
    seen, path = job.arguments["seen"], Path(job.arguments["artifact"])
    model = onnx.load(str(path), load_external_data=False)
    answer: dict[str, Any] = {"nodes": 0, "operators": 0, "worst": None, "worst_operator": "", "why": ""}
    if seen["why"] or not seen["nodes"]:
        return answer | {"why": seen["why"] or "the judge does not look inside"}
    if len(model.graph.node) > LOCATE_NODES:
        return answer | {"why": f"the graph has {len(model.graph.node)} nodes, over {LOCATE_NODES}"}
    inputs, expected = (wire.load(Path(job.arguments[key])) for key in ("inputs", "expected"))
    feeds = {spec.tensor: inputs[spec.name] for spec in signature.inputs}
    owners = {spec.tensor: "an output" for spec in signature.outputs}
    known = {spec.tensor: expected[spec.name] for spec in signature.outputs}
    for row in seen["nodes"]:
        shown = wire.load(Path(row["file"]))
        known |= shown
        owners |= dict.fromkeys(shown, row["operator"])
    bench = locate.Alone(model, path.parent, {**known, **feeds}, quantised=False)
    wanted = _needed(model.graph, [spec.tensor for spec in signature.outputs])
    covered: set[str] = set()
    worst: Comparison | None = None
    for name in (n for node in model.graph.node for n in node.output if n in known and n in wanted):
        comparison = bench.compare(name)
        if comparison is None:
            return answer | {"why": f"the node that makes {name!r} does not run alone"}
        answer["nodes"] += 1
        covered |= {n for node in bench.piece(name)[0].graph.node for n in node.output}
        if worst is None or _rank(comparison) < _rank(worst):
            worst, answer["worst_operator"] = comparison, owners[name]
    left = sorted(wanted - covered - set(feeds) - {tensor.name for tensor in model.graph.initializer})
    if left:
        answer["why"] = f"{len(left)} tensors lie in no part that the judge shows, the first {left[0]!r}"
    operators = sum(any(n in wanted for n in node.output) for node in model.graph.node)
    return answer | {"operators": operators, "worst": None if worst is None else worst.to_json()}


def exact(job: Job) -> dict[str, Any]:
    """`signature`, `asked` ([{"case", "inputs": file}]) -> {"judge", "files": {case: file}, "why"}; runs in `base`.

    The source's own model, every sum and product in float64, nothing rounded at the end.
    """
    subject = Subject.of(job.arguments)
    signature = Signature.from_json(job.arguments["signature"])
    answer: dict[str, Any] = {"judge": "", "files": {}, "why": ""}
    try:
        judge = subject.format.exact(subject.source, subject.match, subject.options, signature)
        if judge is None:
            return answer | {"why": f"nothing computes {subject.format.title} in float64"}
        for number, asked in enumerate(job.arguments["asked"]):
            with np.errstate(all="ignore"):
                outputs = judge.run(wire.load(Path(asked["inputs"])))
            narrow = [name for name, array in outputs.items() if array.dtype.kind == "f" and array.dtype.itemsize < 8]
            if narrow:
                return answer | {"why": f"{judge.name} answers {narrow[0]!r} in {outputs[narrow[0]].dtype}"}
            wire.save(job.out / f"{number:03}.exact", outputs)
            answer["files"][asked["case"]] = str(job.out / f"{number:03}.exact")
    except Exception as error:  # noqa: BLE001  somebody else's code: whatever it raises, nothing is known in float64
        return answer | {"why": in_words(error)}
    return answer | {"judge": judge.name}


def _needed(graph: Any, outputs: list[str]) -> set[str]:
    """Every tensor that nodes make on the way to the outputs."""
    return set(_walk(graph, outputs))


def _walk(graph: Any, outputs: list[str]) -> Iterator[str]:
    from gateway.formats.locate import reads

    makers = {name: node for node in graph.node for name in node.output if name}
    waiting, seen = list(outputs), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        yield name
        waiting += reads(makers[name])


def _rank(comparison: Comparison) -> tuple[bool, float]:
    """Smaller is worse."""
    return comparison.passed, -np.inf if np.isnan(comparison.snr_db) else comparison.snr_db
