"""What a Job does with a format, in the child: inspect, convert, oracle, nodes, locate.

Every task takes and gives JSON; tensors go through files of process/wire in the Job's `out`.

Rule 1: the judge is somebody else's code: whatever it raises for one case refuses that case,
        with its words, and never ends the others.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gateway.core.artifact import NATIVE, SOURCE_FOLDER
from gateway.core.dtypes import Tensors
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import (
    BATCH,
    KINDS,
    Further,
    Probe,
    Sizing,
    batchable,
    first,
    fixed,
    other_size,
    probes,
    sizings,
)
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Format, Match, Oracle, Source, all_formats
from gateway.process import wire

QUICK = 0.06  # share of the time budget within which every case is judged; beyond, fewer are
MAX_TRIES = 60  # sizings that are tried
LOCATE_NODES = 4000  # a larger graph is not looked into: every tensor would be held twice
LOCATE_BYTES = 4 << 30  # of the tensors that a judge shows


class Job(Protocol):
    """What these tasks use of process/child's ChildJob."""

    arguments: dict[str, Any]
    out: Path

    def progress(self, stage: str, fraction: float | None = None) -> None: ...


@dataclass(frozen=True)
class Subject:
    """The model a Job is about, read from its arguments."""

    format: Format
    source: Source
    match: Match
    options: ModelOptions

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Subject:
        match = Match.from_json(arguments["match"])
        source = Source(Path(arguments["source"]["root"]), tuple(arguments["source"]["files"]))
        return cls(all_formats()[match.format], source, match, ModelOptions.from_json(arguments["options"]))

    def to_json(self) -> dict[str, Any]:
        return {
            "source": {"root": str(self.source.root.absolute()), "files": list(self.source.files)},
            "match": self.match.to_json(),
            "options": self.options.to_json(),
        }


def inspect(job: Job) -> dict[str, Any]:
    """-> Inspection."""
    subject = Subject.of(job.arguments)
    return subject.format.inspect(subject.source, subject.match, subject.options).to_json()


def screen(job: Job) -> dict[str, Any]:
    """Nothing, or the refusal. Errors: ConversionError."""
    subject = Subject.of(job.arguments)
    subject.format.screen(subject.source, subject.match, subject.options)
    return {}


def convert(job: Job) -> dict[str, Any]:
    """`target` -> Conversion; the artifact's files are in `out`."""
    subject = Subject.of(job.arguments)
    target = job.arguments["target"]
    made = subject.format.convert(subject.source, subject.match, subject.options, target, job.out)
    if made.kind == NATIVE:
        for name in subject.match.used:
            copy = job.out / SOURCE_FOLDER / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(subject.source.path(name), copy)
    return made.to_json()


def oracle(job: Job) -> dict[str, Any]:
    """`signature`, `seed`, `budget_s`, `given` (files of inputs, by case) -> cases with inputs and the judge's answers.

    {"oracle", "reason", "sizing", "unjudged", "hints", "cases": [{"name", "kind", "row", "inputs", "outputs",
    "seconds"}], "refused": [{"name", "why"}], "unread"}. `unjudged` says why nobody judges, "" when somebody does;
    `unread` that this judge does not read the source: another one may.
    """
    subject = Subject.of(job.arguments)
    signature = Signature.from_json(job.arguments["signature"])
    hints = dict(subject.format.hints(subject.source, subject.match, signature))
    answer: dict[str, Any] = {"oracle": "", "reason": "", "sizing": "", "cases": [], "refused": [], "unread": False}
    answer["hints"] = {name: hint.to_json() for name, hint in hints.items()}
    try:
        judge = subject.format.oracle(subject.source, subject.match, subject.options, signature)
    except ConversionError as error:
        return answer | {"unjudged": error.message, "unread": True}
    if judge is None:
        return answer | {"unjudged": f"there is no oracle for {subject.format.title} yet"}
    hints |= told_by(judge, signature, hints)
    answer["hints"] = {name: hint.to_json() for name, hint in hints.items()}
    bench = _Bench(job, judge, float(job.arguments["budget_s"]), answer)
    given = job.arguments.get("given") or {}
    for name, file in given.items():
        bench.judge(Probe(name, "given", None, wire.load(Path(file))))
    if not given:
        seed = int(job.arguments["seed"])
        bench.judge_probes(signature, hints, seed)
        if answer["cases"]:
            bench.judge_further(subject.format.further(subject.source, subject.match, signature, seed))
    refusal = answer["refused"][-1]["why"] if answer["refused"] else ""
    if bench.unmet:
        answer["cases"] = []
        unjudged = f"{judge.name} accepted none of {bench.unmet}: {refusal}"
    else:
        unjudged = "" if answer["cases"] else f"{judge.name} accepted none of the inputs tried: {refusal}"
    return answer | {"oracle": judge.name, "reason": judge.reason, "unjudged": unjudged}


def told_by(judge: Oracle, signature: Signature, hints: Mapping[str, Hint]) -> Mapping[str, Hint]:
    """The judge's own hints, from the first call of whole numbers below two that it takes."""
    if type(judge).hints is Oracle.hints:
        return {}
    low = {spec.name: Hint(2) for spec in signature.inputs if spec.dtype in ("int64", "int32")} | dict(hints)
    sizing, _ = settle(signature, low, 0, judge.run, [])
    return judge.hints(first(signature, sizing, low, 0).inputs) if sizing is not None else {}


class _Bench:
    """One judge, its clock, and what it has answered so far."""

    def __init__(self, job: Job, judge: Oracle, budget_s: float, answer: dict[str, Any]) -> None:
        self.job, self.judge_, self.budget_s, self.answer = job, judge, budget_s, answer
        self.started = time.monotonic()
        self.unmet = ""  # calls without which a verdict would say little, where the judge took none of them

    def judge(self, probe: Probe) -> bool:
        """Run one case and keep it. False when the judge refused it."""
        started = time.monotonic()
        try:
            with np.errstate(all="ignore"):
                outputs = self.judge_.run(probe.inputs)
        except Exception as error:  # noqa: BLE001  rule 1
            self.answer["refused"].append({"name": probe.name, "why": in_words(error)})
            return False
        number = len(self.answer["cases"])
        inputs_file, outputs_file = f"{number:03}.inputs", f"{number:03}.outputs"
        wire.save(self.job.out / inputs_file, probe.inputs)
        wire.save(self.job.out / outputs_file, outputs)
        self.answer["cases"].append(
            {
                "name": probe.name,
                "kind": probe.kind,
                "row": probe.row,
                "inputs": inputs_file,
                "outputs": outputs_file,
                "seconds": time.monotonic() - started,
            }
        )
        return True

    def accepts(self, probe: Probe) -> bool:
        try:
            with np.errstate(all="ignore"):
                return sound(self.judge_.run(probe.inputs))
        except Exception:  # noqa: BLE001  rule 1
            return False

    def judge_probes(self, signature: Signature, hints: Mapping[str, Hint], seed: int) -> None:
        sizing, seconds = settle(signature, hints, seed, self.judge_.run, self.answer["refused"])
        if sizing is None:
            return
        self.answer["refused"].clear()  # guesses of a size, not cases
        self.answer["sizing"] = "" if fixed(signature) else f"free dimensions of {sizing.size}"
        weight = (BATCH + BATCH if batchable(signature) else 1) * len(KINDS)
        if weight * seconds > QUICK * self.budget_s:  # a first call may be cold: kernels are chosen, memory is planned
            started = time.monotonic()
            self.accepts(first(signature, sizing, hints, seed))
            seconds = min(seconds, time.monotonic() - started)
        few = weight * seconds > QUICK * self.budget_s
        if few and (BATCH + BATCH + len(KINDS)) * seconds > self.budget_s:
            said = f"{self.judge_.name} takes {seconds:.1f} s a call"
            if self.judge_.use_second(said):
                few = False
        cases = list(_few(signature, sizing, hints, seed) if few else probes(signature, sizing, hints, seed))
        odd = other_size(signature, sizing)
        if odd is not None and not few:
            if self.accepts(first(signature, odd, hints, seed)):
                self.answer["sizing"] += " and odd, unequal ones"
                cases += list(probes(signature, odd, hints, seed, kinds=("normal", "ramp")))
            else:
                self.answer["sizing"] += " (odd, unequal ones are refused)"
        for number, probe in enumerate(cases):
            if self.answer["cases"] and time.monotonic() - self.started > 2 * self.budget_s:
                why = f"not judged: {2 * self.budget_s:g} s were used up"
                self.answer["refused"] += [{"name": left.name, "why": why} for left in cases[number:]]
                return
            self.judge(probe)
            self.job.progress("oracle", (number + 1) / len(cases))

    def judge_further(self, more: Further) -> None:
        """All of them: a verdict over a model of trees that has not seen its thresholds would say little."""
        tried = [self.judge(probe) for probe in more.probes]
        if tried and not any(tried):
            self.unmet = f"the {len(tried)} calls that are hard for this model ({more.said})"
        self.answer["sizing"] = "; ".join(filter(None, (self.answer["sizing"], more.said)))


def _few(signature: Signature, sizing: Sizing, hints: Mapping[str, Hint], seed: int) -> Iterator[Probe]:
    """For a slow judge: everything of "normal", one row of each other kind."""
    yield from probes(signature, sizing, hints, seed, kinds=("normal",))
    yield from probes(signature, sizing, hints, seed, kinds=KINDS[1:], batches=False)


Run = Callable[[Tensors], Tensors]


def settle(
    signature: Signature, hints: Mapping[str, Hint], seed: int, run: Run, refused: list[dict[str, str]]
) -> tuple[Sizing | None, float]:
    """The first sizing that `run` takes, and the seconds of that call; refusals are appended.

    One whose answers are empty or not finite is kept as the last resort: a picture smaller than
    the model's windows is taken by some runtimes, and then means nothing.
    """
    poor: tuple[Sizing | None, float] = (None, 0.0)
    for number, sizing in enumerate(sizings(signature, hints)):
        if number >= MAX_TRIES:
            break
        probe = first(signature, sizing, hints, seed)
        started = time.monotonic()
        try:
            with np.errstate(all="ignore"):
                outputs = run(probe.inputs)
        except Exception as error:  # noqa: BLE001  rule 1
            refused.append({"name": f"{probe.name}, size {sizing.size}", "why": in_words(error)})
            continue
        seconds = time.monotonic() - started
        if sound(outputs):
            return sizing, seconds
        poor = poor if poor[0] is not None else (sizing, seconds)
    return poor


def sound(outputs: Tensors) -> bool:
    """No output is empty, none has NaN or infinities."""
    return all(
        array.size > 0 and (array.dtype.kind not in "fc" or bool(np.isfinite(array).all()))
        for array in outputs.values()
    )


def in_words(error: BaseException) -> str:
    text = str(error).strip()
    line = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {line}"[:400] if line else type(error).__name__


def nodes(job: Job) -> dict[str, Any]:
    """`signature`, `inputs` (a file) -> every tensor the judge can show, for `locate`; runs where the judge does.

    {"judge", "nodes": [{"node", "operator", "file"}], "why"}; `why` says why there are none, or not all.
    """
    subject = Subject.of(job.arguments)
    signature = Signature.from_json(job.arguments["signature"])
    judge = subject.format.oracle(subject.source, subject.match, subject.options, signature)
    if judge is None:
        return {"judge": "", "nodes": [], "why": "there is no oracle to look into"}
    answer: dict[str, Any] = {"judge": judge.name, "nodes": [], "why": ""}
    left = LOCATE_BYTES
    for number, (node, operator, found) in enumerate(judge.nodes(wire.load(Path(job.arguments["inputs"])))):
        left -= sum(array.nbytes for array in found.values())
        if left < 0:
            answer["why"] = (
                f"its tensors are over {LOCATE_BYTES >> 30} GiB: only the first {number} nodes were compared"
            )
            break
        wire.save(job.out / f"{number:05}", found)
        answer["nodes"].append({"node": node, "operator": operator, "file": str(job.out / f"{number:05}")})
    return answer


def locate(job: Job) -> dict[str, Any]:
    """`signature`, `artifact` (ONNX file), `inputs` (file), `quantised`, `seen` (of `nodes`) -> what differs first.

    {"node", "operator", "tensor", "comparison", "alone", "traps"} or {"why": ...} when there is none to be named.
    `alone` compares that one node fed with the judge's own inputs, and may be null; when it fails, `out` holds a
    drop "repro" of that node with its vectors. The artifact runs without optimisation, every tensor exposed.
    """
    import onnx

    from gateway.formats import locate as search

    subject = Subject.of(job.arguments)
    signature = Signature.from_json(job.arguments["signature"])
    seen = job.arguments["seen"]
    path = Path(job.arguments["artifact"])
    model = onnx.load(str(path), load_external_data=False)
    if len(model.graph.node) > LOCATE_NODES:
        return {"why": f"the graph has {len(model.graph.node)} nodes; over {LOCATE_NODES} are not looked into"}
    inputs = wire.load(Path(job.arguments["inputs"]))
    feeds = {spec.tensor: inputs[spec.name] for spec in signature.inputs}
    theirs = [search.Shown(row["node"], row["operator"], wire.load(Path(row["file"]))) for row in seen["nodes"]]
    found = search.search(model, path.parent, feeds, theirs, quantised=bool(job.arguments["quantised"]))
    if isinstance(found, str):
        return {"why": found if not seen["why"] else f"{found} ({seen['judge']}: {seen['why']})"}
    if found.alone is not None and not found.alone.passed:
        search.write_repro(found, path.parent, job.out / "repro")
    return {
        "node": found.node,
        "operator": found.operator,
        "tensor": found.tensor,
        "comparison": found.comparison.to_json(),
        "alone": None if found.alone is None else found.alone.to_json(),
        "traps": list(subject.format.traps(found.operator)),
    }
