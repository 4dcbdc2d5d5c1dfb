"""The children's side: conversions with and without a planted mistake, the judge's answers, the wrong node.

    prepare   base    every net converted; which lines of the operator functions each one runs, by operator
    answer    judge   production's own oracle task over each net: its probes and the judge's answers
    judge     base    every mutant: planted, its nets converted, run, compared, until one says it is wrong
    nodes     judge   every tensor of the judge, for the case that told most, and those in doubt (doubts.py)
    locate    base    production's search for the first wrong node, the mistake planted again

Rule 1: probes, comparison, runtime and search are those that production uses.
Rule 2: what has been found is on disk before the next begins: a mistake may kill this process.
"""

from __future__ import annotations

import ast
import importlib
import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from gateway.convert import bounded, rounding
from gateway.core.artifact import Artifact, Provenance, Verdict, Verification
from gateway.core.compare import Comparison, compare
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, united
from gateway.errors import GatewayError
from gateway.formats import tails, tasks
from gateway.formats.base import Source, all_formats
from gateway.formats.tasks import Subject
from gateway.graph import registry
from gateway.process import wire
from tests.mutants.plant import Mutant, planted

LONGEST_S = 20.0  # of one mutant over one net; a conversion that does not end has a time limit in production too
LONGEST_ANSWER_S = 40  # of the judge over one net


@dataclass
class Job:
    """As process.child's, of one net."""

    arguments: dict[str, Any]
    out: Path

    def progress(self, stage: str, fraction: float | None = None) -> None: ...


def borrow(job: Any) -> None:
    """onnxruntime of another Environment, behind everything that this one has."""
    if job.arguments["lent"]:
        sys.path.append(job.arguments["lent"])


def subject_of(name: str, net: dict[str, Any]) -> Subject:
    chosen, folder = all_formats()[name], Path(net["folder"])
    source = Source(folder, tuple(sorted(path.name for path in folder.iterdir() if path.is_file())))
    match = chosen.match(source)
    assert match is not None, f"{net['name']}: not recognised"
    return Subject(chosen, source, match, ModelOptions.from_json(net["options"]))


def converted(subject: Subject, out: Path) -> Signature:
    """model.onnx in `out`. Errors: ConversionError, and whatever a mistake raises."""
    out.mkdir(parents=True, exist_ok=True)
    return united(subject.format.convert(subject.source, subject.match, subject.options, "onnx", out).signatures)


# prepare


def prepare(job: Any) -> dict[str, Any]:
    """`format`, `package`, `nets`, `work` -> name -> {"error"} or {"signature"}, and what "ran".

    "ran" is "operator|node" -> file -> lines.
    """
    borrow(job)
    name, work = job.arguments["format"], Path(job.arguments["work"])
    package = Package(name, job.arguments["package"])
    found = {}
    for number, net in enumerate(job.arguments["nets"]):
        subject = subject_of(name, net)
        out = work / f"{number:04}"
        answer: dict[str, Any] = {"work": str(out)}
        with package.watched() as ran:
            try:
                with package.watched_whole(ran):
                    answer["signature"] = converted(subject, out / "right").to_json()
            except Exception as error:
                answer["error"] = tasks.in_words(error)
        answer["ran"] = {op: {file: sorted(lines) for file, lines in files.items()} for op, files in ran.items()}
        found[net["name"]] = answer
    return found


def files_of(place: str) -> dict[str, Path]:
    """The modules of a package, or the one module that it is, and their files."""
    root = importlib.import_module(place)
    if not hasattr(root, "__path__"):
        return {place: Path(str(root.__file__))}
    files = sorted(Path(str(root.__path__[0])).glob("*.py"))
    return {f"{place}.{path.stem}": path for path in files if path.stem != "__init__"}


class Package:
    """The modules of operator functions: watched while they run, replaced by others and brought back."""

    def __init__(self, name: str, places: Sequence[str]) -> None:
        """`places`: packages, whose files they are, and modules."""
        self.format = name
        self.sources = {full: path.read_text() for place in places for full, path in files_of(place).items()}
        self.modules: dict[str, ModuleType] = {full: importlib.import_module(full) for full in self.sources}
        self.order = self._ordered()

    @contextmanager
    def watched(self) -> Iterator[dict[str, dict[str, set[int]]]]:
        """operator|node -> module -> lines that ran."""
        table = registry._REGISTRY.get(self.format, {})
        kept, ran = dict(table), {}
        names = {str(module.__file__): full for full, module in self.modules.items()}
        table.update({op: _watching(op, function, names, ran) for op, function in kept.items()})
        try:
            yield ran
        finally:
            table.clear()
            table.update(kept)

    @contextmanager
    def watched_whole(self, ran: dict[str, dict[str, set[int]]]) -> Iterator[None]:
        """Of a format without a table of operators: every line that a conversion runs, as one operator's."""
        if self.format in registry._REGISTRY:
            yield
            return
        names = {str(module.__file__): full for full, module in self.modules.items()}
        with _traced(names, ran.setdefault("model|", {})):
            yield

    @contextmanager
    def wrong(self, mutant: Mutant) -> Iterator[None]:
        """The package with the mistake in it, dependents of the file included."""
        kept = dict(registry._REGISTRY.get(self.format, {}))
        touched = self._dependents(mutant.module)
        spaces = {full: dict(vars(self.modules[full])) for full in touched}
        try:
            for full in touched:
                text = planted(self.sources[full], mutant) if full == mutant.module else self.sources[full]
                self._again(full, text)
            yield
        finally:
            for full, space in spaces.items():
                vars(self.modules[full]).clear()
                vars(self.modules[full]).update(space)
            table = registry._REGISTRY.get(self.format, {})
            table.clear()
            table.update(kept)

    def _again(self, full: str, text: str) -> None:
        module = self.modules[full]
        table = registry._REGISTRY.get(self.format, {})
        for op in [op for op, function in table.items() if function.__module__ == full]:
            del table[op]
        exec(compile(text, str(module.__file__), "exec"), vars(module))

    def _imports(self, full: str) -> set[str]:
        tree = ast.parse(self.sources[full])
        return {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module in self.sources}

    def _ordered(self) -> list[str]:
        """Files after those they import."""
        done: list[str] = []

        def visit(full: str) -> None:
            if full not in done:
                for other in sorted(self._imports(full)):
                    visit(other)
                done.append(full)

        for full in self.sources:
            visit(full)
        return done

    def _dependents(self, full: str) -> list[str]:
        touched = {full}
        for other in self.order:
            if self._imports(other) & touched:
                touched.add(other)
        return [other for other in self.order if other in touched]


def _watching(
    op: str, function: Callable[..., Any], names: dict[str, str], ran: dict[str, dict[str, set[int]]]
) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with _traced(names, ran.setdefault(f"{op}|{getattr(arguments[-1], 'name', '')}", {})):
            return function(*arguments)

    return call


@contextmanager
def _traced(names: dict[str, str], lines: dict[str, set[int]]) -> Iterator[None]:
    """Lines of those files that run meanwhile."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        full = names.get(frame.f_code.co_filename)
        if full is None:
            return None
        lines.setdefault(full, set()).add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


# answer


def answer(job: Any) -> dict[str, Any]:
    """`format`, `nets` [{..., "signature", "out"}]: oracle.json into each `out`, production's oracle task."""
    for net in job.arguments["nets"]:
        out = Path(net["out"])
        out.mkdir(parents=True, exist_ok=True)
        subject = subject_of(job.arguments["format"], net)
        arguments = subject.to_json() | {"signature": net["signature"], "seed": 0, "budget_s": 10.0}
        signal.alarm(LONGEST_ANSWER_S)  # ends this process: who hangs in native code hears nothing else
        try:
            found = tasks.oracle(Job(arguments, out))
        except Exception as error:
            found = {"cases": [], "unjudged": tasks.in_words(error)}
        signal.alarm(0)
        (out / "oracle.json").write_text(json.dumps(found))
    return {}


# judge


@dataclass
class Net:
    """A net and what is right about it."""

    name: str
    subject: Subject
    work: Path
    signature: Signature | None
    cases: list[dict[str, Any]] = field(default_factory=list)
    right: bytes = b""
    seen: Signature | None = None

    @classmethod
    def of(cls, name: str, net: dict[str, Any]) -> Net:
        made = cls(net["name"], subject_of(name, net), Path(net["work"]), None)
        if net.get("signature"):
            made.signature = Signature.from_json(net["signature"])
            made.cases = json.loads((made.work / "oracle" / "oracle.json").read_text())["cases"]
        return made

    def convert(self) -> None:
        """The right model, as this process writes it: what is the same needs no run."""
        if self.signature is not None and not self.right:
            folder = self.work / "again"
            self.seen = converted(self.subject, folder)
            self.right = (folder / "model.onnx").read_bytes()


class _TooLongError(Exception):
    pass


def _alarm(_signal: int, _frame: Any) -> None:
    raise _TooLongError


def sound(job: Any) -> dict[str, Any]:
    """`format`, `nets` -> name -> "" where the right conversion passes production's verification, else why not."""
    borrow(job)
    found = {}
    for each in job.arguments["nets"]:
        net = Net.of(job.arguments["format"], each)
        said = _verdict(net, net.work / "right", net.signature) if net.cases else {"why": "nobody judges it"}
        found[net.name] = said.get("why", "")
    return found


def judge(job: Any) -> dict[str, Any]:
    """`format`, `package`, `nets`, `mutants` [{"mutant", "nets"}], `results` (a file, a line a mutant, appended)."""
    borrow(job)
    arguments = job.arguments
    package = Package(arguments["format"], arguments["package"])
    nets = {net["name"]: Net.of(arguments["format"], net) for net in arguments["nets"]}
    signal.signal(signal.SIGALRM, _alarm)
    with Path(arguments["results"]).open("a") as results:
        for row in arguments["mutants"]:
            mutant = mutant_of(row["mutant"])
            said: dict[str, Any] = {"outcome": "survived", "nets": len(row["nets"])}
            mine = [nets[name] for name in row["nets"]]
            for net in mine:
                net.convert()
            try:
                with package.wrong(mutant):
                    said |= _first_wrong(mine, job.out / "wrong")
            except Exception as error:
                said |= {"outcome": "error", "why": tasks.in_words(error)}
            results.write(json.dumps({"name": mutant.name} | said) + "\n")
            results.flush()
    return {}


def _first_wrong(nets: list[Net], out: Path) -> dict[str, Any]:
    """The first net that shows the mistake, and how. {} when none does."""
    differs, accepted, doubts = 0, [], []
    for net in nets:
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
        try:
            signature = converted(net.subject, out)
        except Exception as error:
            if net.signature is None:
                continue  # refused, as it has to be
            return {"outcome": "error", "net": net.name, "why": tasks.in_words(error)}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if net.signature is None:
            accepted.append({"net": net.name, "signature": signature.to_json()})
            continue
        if (out / "model.onnx").read_bytes() == net.right and signature == net.seen:
            continue
        differs += 1
        said = _verdict(net, out, signature)
        if said.get("doubt"):
            doubts.append({"net": net.name} | said)
        elif said:
            return {"outcome": "failed", "net": net.name} | said
    return {"differs": differs, "accepted": accepted, "doubts": doubts}


def _verdict(net: Net, folder: Path, signature: Signature | None) -> dict[str, Any]:
    """{} when every case passes, else the worst one: {"why", "case"}, with "doubt", the failed cases, where one of
    production's rules could still let all of them pass.
    """
    assert signature is not None
    found = answered(net, folder, signature)
    if isinstance(found, dict):
        return found
    failed = [comparison for comparison, _ in found if not comparison.passed]
    if not failed:
        return {}
    worst, _ = max(((c, at) for c, at in found if not c.passed), key=lambda each: each[0].severity)
    numbers = {case["name"]: number for number, case in enumerate(net.cases)}
    said: dict[str, Any] = {"why": f"case {worst.case}: {worst.problem}", "case": numbers[worst.case]}
    comparisons = [comparison for comparison, _ in found]
    kinds = {case["name"]: case["kind"] for case in net.cases}
    if rounding.doubtful(comparisons, kinds) or (
        bounded.doubtful(comparisons) and all_tails(folder, signature, failed)
    ):
        said["doubt"] = sorted({numbers[comparison.case] for comparison in failed})
    return said


def all_tails(folder: Path, signature: Signature, failed: list[Comparison]) -> bool:
    """Whether operators of a bounded range make every one of these outputs."""
    import onnx

    makers = {n: node for node in onnx.load(str(folder / "model.onnx")).graph.node for n in node.output}
    specs = [signature.output(comparison.output) for comparison in failed]
    return all(
        spec is not None and spec.tensor in makers and makers[spec.tensor].op_type in tails.BOUNDED for spec in specs
    )


def answered(
    net: Net, folder: Path, signature: Signature, keep: Path | None = None
) -> list[tuple[Comparison, int]] | dict[str, Any]:
    """Every comparison with its case's number; {"why", "case"} of a model that does not run. Answers go into `keep`."""
    from gateway.runtimes.ort import OrtRuntime

    nobody = Provenance("", "", "", "", "", "", "")
    artifact = Artifact("", "onnx", (signature,), nobody, Verification(Verdict.UNVERIFIED, reason="mutant"))
    try:
        runtime = OrtRuntime.load(artifact, folder, threads=1)
    except GatewayError as error:
        return {"why": error.message, "case": -1}
    answer: list[tuple[Comparison, int]] = []
    for number, case in enumerate(net.cases):
        expected = wire.load(net.work / "oracle" / case["outputs"])
        try:
            found = runtime.run(signature.name, wire.load(net.work / "oracle" / case["inputs"]))
        except GatewayError as error:
            return {"why": f"case {case['name']}: {error.message}", "case": number}
        answer += [(one, number) for one in _compared(case["name"], expected, found)]
        if keep is not None:
            wire.save(keep / f"{number:03}.outputs", found)
    return answer


def _compared(case: str, expected: Any, found: Any) -> Iterator[Comparison]:
    for name in dict.fromkeys([*expected, *found]):
        if name not in found or name not in expected:
            yield Comparison(case, name, "", (), float("nan"), float("nan"), problem="outputs are others")
        else:
            yield compare(expected[name], found[name], case=case, output=name)


# nodes, locate


def nodes(job: Any) -> dict[str, Any]:
    """`format`, `nets` [{..., "signature", "case", "out"}]: nodes.json into each `out`, production's nodes task."""
    for net in job.arguments["nets"]:
        out = Path(net["out"])
        out.mkdir(parents=True, exist_ok=True)
        inputs = Path(net["work"]) / "oracle" / f"{net['case']:03}.inputs"
        arguments = subject_of(job.arguments["format"], net).to_json()
        arguments |= {"signature": net["signature"], "inputs": str(inputs)}
        try:
            found = tasks.nodes(Job(arguments, out))
        except Exception as error:  # in production the Job ends, and nothing is named
            found = {"judge": "", "nodes": [], "why": tasks.in_words(error)}
        (out / "nodes.json").write_text(json.dumps(found))
    return {}


def locate(job: Any) -> dict[str, Any]:
    """`format`, `package`, `mutants` [{"mutant", "net", "seen"}] -> mutant -> {"node", "operator"} or {"why"}."""
    arguments = job.arguments
    package = Package(arguments["format"], arguments["package"])
    found: dict[str, Any] = {}
    for number, row in enumerate(arguments["mutants"]):
        mutant, net, out = mutant_of(row["mutant"]), row["net"], job.out / f"{number:04}"
        subject = subject_of(arguments["format"], net)
        inputs = Path(net["work"]) / "oracle" / f"{row['case']:03}.inputs"
        try:
            with package.wrong(mutant):
                signature = converted(subject, out)
            asked = subject.to_json() | {
                "signature": signature.to_json(), "artifact": str(out / "model.onnx"), "inputs": str(inputs),
                "quantised": False, "seen": json.loads((Path(row["seen"]) / "nodes.json").read_text()),
            }  # fmt: skip
            said = tasks.locate(Job(asked, out))
            found[mutant.name] = {key: said[key] for key in ("node", "operator", "why") if key in said}
        except Exception as error:
            traceback.print_exc()
            found[mutant.name] = {"why": tasks.in_words(error)}
    return found


def mutant_of(data: dict[str, Any]) -> Mutant:
    return Mutant(**data | {"span": tuple(data["span"]), "lines": tuple(data["lines"])})
