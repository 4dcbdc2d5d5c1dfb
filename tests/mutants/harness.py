"""The mutation score of a format: how many planted bugs production's verification would have caught.

    report = measure(target("mxnet"), count=400)

A sample, by a fixed seed, of all mistakes that tests/mutants/plant.py can make in the operator
functions. Each is judged on the nets that run the line it stands in, on production's probes:
killed when the conversion breaks or the verdict is `failed`. For the latter the node that the
report names has to be one that ran the line.

Rule 1: a mutant that no net can tell from the right code has a proof in equivalent.toml, or counts.
Rule 2: what production lets pass after a second look (tails, rounding) passes here too.
Rule 3: a net whose right conversion does not pass is not used, and is named.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tests
from gateway.errors import JobError
from gateway.process.environments import Environments
from gateway.process.job import JobResult, JobSpec, run_job
from tests.environments import environment
from tests.mutants.nets import Net, Target
from tests.mutants.plant import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).parent / "equivalent.toml"
CACHE = ROOT / ".cache" / "mutants"
SEED = 3
MEMORY = 6 << 30  # bytes of a child: a mistake may ask for any amount
JOB_S = 1500.0
JUDGING = ("hints.py", "oracle.py", "opencv.py", "decode.py", "interpret*.py")
"""Files of a format that take part in its judges' answers."""
CONVERTING = ("prepare", "sound", "judge", "excuse")
"""Tasks that convert and run: in an Environment without onnxruntime they are lent that of `base`."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """`outcome` is error, failed, survived or equivalent."""

    mutant: Mutant
    outcome: str
    why: str = ""
    net: str = ""
    case: int = -1
    named: str = ""  # "right", "wrong: ..." or "" where no verdict was given
    nets: int = 0
    differs: int = 0  # nets that were converted otherwise, and passed

    @property
    def killed(self) -> bool:
        return self.outcome in ("error", "failed")


@dataclass
class Report:
    format: str
    planted: int  # how many there are in all
    outcomes: list[Outcome] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)  # nets that were left out, with the reason
    nets: int = 0
    seconds: float = 0.0
    doubted: int = 0  # mutants that only production's rules about tails and rounding could have let pass
    excused: int = 0  # that they did let pass

    @property
    def counted(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.outcome != "equivalent"]

    @property
    def killed(self) -> int:
        return sum(outcome.killed for outcome in self.outcomes)

    @property
    def score(self) -> float:
        return self.killed / max(1, len(self.counted))

    @property
    def survivors(self) -> list[Outcome]:
        return [outcome for outcome in self.counted if not outcome.killed]

    @property
    def judged(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.outcome == "failed" and outcome.named]

    @property
    def named(self) -> float:
        return sum(outcome.named == "right" for outcome in self.judged) / max(1, len(self.judged))


def all_mutants(target: Target) -> list[Mutant]:
    folder = ROOT / Path(*target.package.split("."))
    files = {f"{target.package}.{path.stem}": path for path in sorted(folder.glob("*.py"))}
    left = {name: path for name, path in files.items() if path.stem not in ("__init__", *target.skip)}
    found = [m for name, path in left.items() for m in mutants_of(name, path.read_text())]
    for shared in target.shared:
        name, _, functions = shared.partition(":")
        others = mutants_of(name, (ROOT / Path(*name.split("."))).with_suffix(".py").read_text())
        found += [m for m in others if not functions or m.function in functions.split(",")]
    return [
        mutant for mutant in found if mutant.function not in target.without and (target.nodes or not _is_name(mutant))
    ]


def _is_name(mutant: Mutant) -> bool:
    """What a node is called, which only reports of a wrong node tell."""
    return mutant.kind == "dropped keyword" and mutant.before.startswith("name=")


def chosen(mutants: Sequence[Mutant], count: int, seed: int = SEED) -> list[Mutant]:
    """`count` of them, the same ones for the same source; 0 is all."""
    if not count or count >= len(mutants):
        return list(mutants)
    return sorted(random.Random(seed).sample(list(mutants), count), key=lambda mutant: mutant.name)


def equivalent(name: str) -> dict[str, str]:
    """Mutants of a format that change nothing, with the proof."""
    rows = tomllib.loads(EQUIVALENT.read_text()).get(name, []) if EQUIVALENT.exists() else []
    return {row["mutant"]: row["proof"] for row in rows}


def measure(
    target: Target,
    *,
    count: int = 0,
    seed: int = SEED,
    only: str = "",
    tables: Sequence[str] = (),
    say: Say = lambda line: None,
) -> Report:
    """Plant, judge, locate: mutants whose name starts with `only`, over the nets of some tables, or of all.

    Skips visibly where an Environment is missing. Errors: JobError.
    """
    environment("base"), environment(target.judge)
    started = time.monotonic()
    mutants = [mutant for mutant in all_mutants(target) if mutant.name.startswith(only)]
    report = Report(target.format, len(mutants))
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    try:
        bench = _Bench(target, folder, say)
        bench.prepare(chosen(mutants, count, seed), tables)
        report.outcomes = bench.located(bench.judged())
        report.unused, report.nets = bench.unused, len(bench.nets)
        report.doubted, report.excused = bench.doubted, bench.excused
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.seconds = time.monotonic() - started
    return report


class _Bench:
    """One run in one folder."""

    def __init__(self, target: Target, folder: Path, say: Say) -> None:
        self.target, self.folder, self.say = target, folder, say
        self.nets: dict[str, dict[str, Any]] = {}
        self.ran: dict[str, dict[str, dict[str, set[int]]]] = {}
        self.unused: dict[str, str] = {}
        self.mutants: list[Mutant] = []
        self.proofs = equivalent(target.format)
        self.doubted = self.excused = 0

    def prepare(self, mutants: Sequence[Mutant], tables: Sequence[str]) -> None:
        """Nets that the mutants need, converted and answered."""
        self.mutants = list(mutants)
        drops = self.folder / "drops"
        drops.mkdir()
        made = self.target.make(drops, tables)
        self.say(f"{len(made)} nets of {self.target.format}")
        rows = [_row(net) for net in made]
        found = self._child(
            "prepare",
            self.target.converter,
            nets=rows,
            package=list(self.target.places),
            work=str(self.folder / "work"),
        ).value
        for net, row in zip(made, rows, strict=True):
            one = found[net.name]
            if net.refused != ("error" in one):
                self.unused[net.name] = one.get("error", "accepted, and was to be refused")
                continue
            self.nets[net.name] = row | {"work": one["work"], "signature": one.get("signature")}
            self.ran[net.name] = {
                op: {file: set(lines) for file, lines in files.items()} for op, files in one["ran"].items()
            }
        self.mutants = [mutant for mutant in self.mutants if self._is_mine(mutant)]
        wanted = {name for mutant in self.mutants for name in self._nets_of(mutant)}
        self.nets = {name: net for name, net in self.nets.items() if name in wanted}
        self._answer()

    def _is_mine(self, mutant: Mutant) -> bool:
        """Of modules that formats share, each format answers for the lines that its nets run."""
        if mutant.module not in self.target.places or self.target.nodes or mutant.lines == (0, 0):
            return True
        first, last = mutant.lines
        ran = (files.get(mutant.module, ()) for ops in self.ran.values() for files in ops.values())
        return any(first <= line <= last for lines in ran for line in lines)

    def _answer(self) -> None:
        """The judge's answers, kept from run to run; a net over which its process dies is left out."""
        for net in self.nets.values():
            if net["signature"]:
                kept, here = CACHE / self._key(net), Path(net["work"], "oracle")
                kept.mkdir(parents=True, exist_ok=True)
                here.symlink_to(kept)
        while True:
            left = [
                net | {"out": f"{net['work']}/oracle"}
                for net in self.nets.values()
                if net["signature"] and not Path(net["work"], "oracle", "oracle.json").exists()
            ]
            if not left:
                break
            left = [net for net in left if net["judge"] == left[0]["judge"]]
            try:
                self._child("answer", left[0]["judge"] or self.target.judge, nets=left)
            except JobError as error:
                guilty = next(net for net in left if not Path(net["out"], "oracle.json").exists())
                Path(guilty["out"]).mkdir(parents=True, exist_ok=True)
                Path(guilty["out"], "oracle.json").write_text(
                    json.dumps({"cases": [], "unjudged": f"its process died: {error.message}"})
                )
        answered = [net for net in self.nets.values() if net["signature"]]
        said = self._child("sound", self.target.converter, nets=answered).value
        for name, why in said.items():
            if why:
                if why == "nobody judges it":
                    text = Path(self.nets[name]["work"], "oracle", "oracle.json").read_text()
                    why = json.loads(text).get("unjudged") or why
                self.unused[name] = why
                del self.nets[name]
        self.say(f"{len(self.nets)} of them are judged, {len(self.unused)} are not used")

    def _key(self, net: Mapping[str, Any]) -> str:
        """Of all that the judge's answers depend on."""
        digest = hashlib.sha256(json.dumps([net["options"], net["signature"], net["judge"]], sort_keys=True).encode())
        for path in sorted(Path(net["folder"]).iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        ours = ROOT / "gateway"
        asked = [ours / "core" / "probes.py", ours / "core" / "hints.py", ours / "formats" / "tasks.py"]
        asked += sorted(path for name in JUDGING for path in (ours / "formats" / self.target.format).glob(name))
        for path in asked:
            digest.update(path.read_bytes())
        digest.update(Environments().find(self.target.judge).digest.encode())
        return digest.hexdigest()[:24]

    def _nets_of(self, mutant: Mutant) -> list[str]:
        """Nets that run its line, those about the very operator first, then small ones.

        Tables, and what runs at import only, are of every net of the file.
        """
        first, last = mutant.lines
        near, over = [], []
        for name, ran in self.ran.items():
            lines = {line for files in ran.values() for line in files.get(mutant.module, ())}
            if name not in self.nets or not lines:
                continue
            told = sum(f'"{key.partition("|")[0]}"' in mutant.before for key in ran)
            key = (self.nets[name]["signature"] is None, -told, len(ran), name)
            near.append(key)
            if any(first <= line <= last for line in lines):
                over.append(key)
        return [key[-1] for key in sorted(over or near)]

    def judged(self) -> list[Outcome]:
        """Every mutant's outcome, in a child that is replaced when a mistake ends it."""
        results = self.folder / "results.jsonl"
        results.touch()
        rows = {m.name: {"mutant": asdict(m), "nets": self._nets_of(m)} for m in self.mutants}
        while True:
            done = {said["name"]: said for said in map(json.loads, results.read_text().splitlines())}
            left = [row for name, row in rows.items() if name not in done]
            if not left:
                break
            self.say(f"{len(done)} of {len(rows)} mutants judged")
            try:
                self._child(
                    "judge", self.target.converter, package=list(self.target.places), nets=list(self.nets.values()),
                    mutants=left, results=str(results),
                )  # fmt: skip
            except JobError as error:
                done = {json.loads(line)["name"] for line in results.read_text().splitlines()}
                guilty = next(row for row in left if row["mutant"]["name"] not in done)["mutant"]["name"]
                with results.open("a") as stream:
                    line = {"name": guilty, "outcome": "error", "why": f"the converter died: {error.message}"[:300]}
                    stream.write(json.dumps(line) + "\n")
        self._settle(done)
        self._accepted(done)
        return [self._outcome(mutant, done[mutant.name]) for mutant in self.mutants]

    def _settle(self, done: Mapping[str, dict[str, Any]]) -> None:
        """Mutants that failed only where production's rules about tails and rounding may let them pass."""
        mutants = {mutant.name: mutant for mutant in self.mutants}
        doubts = [
            (name, doubt)
            for name, said in done.items()
            if said["outcome"] == "survived"
            for doubt in said.get("doubts", ())
        ]
        if not doubts:
            return
        self.say(f"{len(doubts)} verdicts over {len({name for name, _ in doubts})} mutants in doubt")
        folders = {
            (doubt["net"], case): str(self.folder / "doubts" / f"{self._place(doubt['net']):05}-{case:03}")
            for _, doubt in doubts
            for case in doubt["doubt"]
        }
        self._nodes([self.nets[net] | {"case": case, "out": out} for (net, case), out in folders.items()])
        rows = [
            {
                "mutant": asdict(mutants[name]),
                "net": self.nets[doubt["net"]],
                "seen": {str(case): folders[doubt["net"], case] for case in doubt["doubt"]},
            }
            for name, doubt in doubts
        ]
        said = self._child("excuse", self.target.converter, package=list(self.target.places), mutants=rows).value
        excused = said["excused"]
        for (name, doubt), passes in zip(doubts, excused, strict=True):
            said = done[name]
            said["excused"] = said.get("excused", 0) + passes
            if not passes and said["outcome"] == "survived":
                said |= {"outcome": "failed", "net": doubt["net"], "why": doubt["why"], "case": doubt["case"]}
        self.doubted = len({name for name, _ in doubts})
        self.excused = sum(bool(said.get("excused")) and said["outcome"] == "survived" for said in done.values())

    def _place(self, net: str) -> int:
        return list(self.nets).index(net)

    def _accepted(self, done: Mapping[str, dict[str, Any]]) -> None:
        """What was converted though it has to be refused survives, whatever else: nobody was told."""
        for said in done.values():
            if said.get("accepted") and said["outcome"] == "survived":
                said["why"] = "accepts " + ", ".join(each["net"] for each in said["accepted"])

    def _outcome(self, mutant: Mutant, said: Mapping[str, Any]) -> Outcome:
        outcome = said["outcome"]
        if outcome == "survived" and mutant.name in self.proofs:
            outcome = "equivalent"
        return Outcome(
            mutant, outcome, said.get("why", ""), said.get("net", ""), said.get("case", -1),
            nets=said.get("nets", 0), differs=said.get("differs", 0),
        )  # fmt: skip

    def located(self, outcomes: list[Outcome]) -> list[Outcome]:
        """The same, with what the search for the first wrong node says of each failed verdict."""
        if not self.target.nodes:
            return outcomes
        asked = {(o.net, o.case) for o in outcomes if o.outcome == "failed" and o.case >= 0}
        seen = {key: str(self.folder / "seen" / f"{number:04}") for number, key in enumerate(sorted(asked))}
        if not seen:
            return outcomes
        rows = [self.nets[net] | {"case": case, "out": out} for (net, case), out in seen.items()]
        self._nodes(rows)
        wanted = [
            {"mutant": asdict(o.mutant), "net": self.nets[o.net], "case": o.case, "seen": seen[o.net, o.case]}
            for o in outcomes
            if (o.net, o.case) in seen
        ]
        self.say(f"{len(wanted)} wrong nodes to be named")
        found = self._child("locate", "base", package=list(self.target.places), mutants=wanted).value
        answer = []
        for outcome in outcomes:
            said = found.get(outcome.mutant.name)
            named = "" if said is None else self._named(outcome, said)
            answer.append(Outcome(**{**vars(outcome), "named": named}))
        return answer

    def _nodes(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Every tensor of each row's judge."""
        for judge in sorted({row["judge"] for row in rows}):
            self._child("nodes", judge or self.target.judge, nets=[row for row in rows if row["judge"] == judge])

    def _named(self, outcome: Outcome, said: Mapping[str, str]) -> str:
        if "operator" not in said:
            return f"wrong: {said.get('why', 'nothing was said')}"
        (first, last), module = outcome.mutant.lines, outcome.mutant.module
        ran = {}
        for key, files in self.ran[outcome.net].items():
            ran[key.partition("|")[2]] = files.get(module, set())
        over = {node for node, lines in ran.items() if any(first <= line <= last for line in lines)}
        right = said["node"] in (over or {node for node, lines in ran.items() if lines})
        return "right" if right else f"wrong: {said['node']} ({said['operator']})"

    def _child(self, task: str, where: str, **arguments: Any) -> JobResult:
        folder = Path(tempfile.mkdtemp(prefix=f"{task}-", dir=self.folder))
        arguments = {"format": self.target.format, "lent": ""} | arguments
        module = "doubts" if task == "excuse" else "child"
        read: tuple[str, ...] = ()
        if where != "base" and task in CONVERTING:
            read = (str(_onnxruntime()),)
            arguments["lent"] = str(_onnxruntime().parent)
        spec = JobSpec(f"tests.mutants.{module}:{task}", arguments, where, JOB_S, MEMORY, task, read=read)
        packages = {"tests": Path(str(tests.__file__)).parent}
        # L1: these tasks are the tests' own, and write into folders that the tests name.
        return run_job(spec, environments=Environments(), folder=folder / "job", packages=packages, max_level=1)


def _onnxruntime() -> Path:
    """The package in Environment `base`; `trees` has the same numpy."""
    python = Environments().find("base").python
    return next(python.parent.parent.glob("lib/python3*/site-packages/onnxruntime"))


def _row(net: Net) -> dict[str, Any]:
    return {"name": net.name, "folder": str(net.folder), "options": net.options.to_json(), "judge": net.judge}
