"""Fuzz the front doors side by side, with what they found so far as a start. Run it as `make fuzz`.

    make fuzz                          60 s, all targets
    make fuzz SECONDS=3600 TARGETS="json tfs" ARGS="--folder /tmp/hour"

The last lines are a table: executions, processor seconds, new corpus, findings. Exit 1 when there is a finding:
its bytes go into tests/fuzz/corpus/TARGET/ under a name that says what it is, and the fix with them; pytest
replays them from then on. `--keep` packs what the corpus grew to, made small, into tests/fuzz/corpus/TARGET.zip.

Rule 1: the runs are niced: they take what nobody else wants.
Rule 2: every wait is bounded; a target that hung or ate its memory is a finding, and goes on after it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from gateway.process.environments import Environments  # noqa: E402
from tests.fuzz.seeds import CORPUS  # noqa: E402
from tests.fuzz.targets import TARGETS  # noqa: E402

GRACE_S = 150  # beyond its time: -timeout of one input and the start
START_S = 5  # a target with less time left is not started again


@dataclass
class Outcome:
    target: str
    folder: Path
    executions: int = 0
    cpu_s: float = 0.0
    starts: int = 0
    before: int = 0
    ended: str = ""
    findings: list[Path] = field(default_factory=list)

    @property
    def grown(self) -> int:
        return len(list((self.folder / "corpus").glob("*")))


def run(outcome: Outcome, python: Path, seconds: float, flags: list[str]) -> None:
    """One target until its time is over; started again after what ends the process."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > START_S or not outcome.starts:
        outcome.starts += 1
        log = outcome.folder / f"log-{outcome.starts}.txt"
        command = ["nice", "-n", "15", str(python), "-m", "tests.fuzz.run", outcome.target, str(outcome.folder)]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*command, f"-max_total_time={max(1, int(left))}", *flags],
                stdout=stream,
                stderr=stream,
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(outcome.folder)},
            )
            clock = threading.Timer(left + GRACE_S, process.kill)
            clock.start()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            clock.cancel()
        text = log.read_text(errors="replace")
        counts = re.findall(r"^#(\d+)|stat::number_of_executed_units: +(\d+)", text, flags=re.M)
        outcome.executions += max((int(a or b) for a, b in counts), default=0)
        outcome.cpu_s += used.ru_utime + used.ru_stime
        if process.returncode == 0:
            return
        tail = text.splitlines()[-3:]
        outcome.ended = f"ended with {process.returncode}: {' | '.join(tail)[-300:]}"
        if "ImportError" in text or "ModuleNotFoundError" in text or outcome.executions == 0:
            return


def fuzz(names: list[str], seconds: float, folder: Path, flags: list[str]) -> list[Outcome]:
    python = Environments().ensure("fuzz").python
    outcomes = []
    for name in names:
        outcome = Outcome(name, folder / name)
        (outcome.folder / "corpus").mkdir(parents=True, exist_ok=True)
        outcome.before = outcome.grown
        outcomes.append(outcome)
    threads = [threading.Thread(target=run, args=(outcome, python, seconds, flags)) for outcome in outcomes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 2 * GRACE_S)
    for outcome in outcomes:
        # libFuzzer's own: crash-, timeout-, oom-, slow-unit-
        outcome.findings = sorted(p for p in (outcome.folder / "findings").glob("*") if p.suffix != ".txt")
    return outcomes


def table(outcomes: list[Outcome]) -> str:
    lines = [f"{'target':14} {'executions':>12} {'cpu s':>8} {'corpus':>7} {'starts':>6}  findings"]
    for one in outcomes:
        found = ", ".join(path.name for path in one.findings) or "none"
        lines.append(f"{one.target:14} {one.executions:12} {one.cpu_s:8.0f} {one.grown:7} {one.starts:6}  {found}")
        if one.ended:
            lines.append(f"{'':14} {one.ended}")
    return "\n".join(lines)


def keep(outcome: Outcome, python: Path) -> None:
    """The grown corpus, made as small as reaches the same, as CORPUS/TARGET.zip."""
    command = [str(python), "-m", "tests.fuzz.small", outcome.target, str(outcome.folder / "corpus")]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(outcome.folder)}
    subprocess.run([*command, str(CORPUS / f"{outcome.target}.zip")], cwd=ROOT, env=env, timeout=1800, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target; all run at the same time")
    parser.add_argument("--folder", type=Path, help="where corpus and findings stay; default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="pack the grown corpus into tests/fuzz/corpus")
    parser.add_argument("--flags", default="", help="more of libFuzzer's flags")
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    given = parser.parse_args()
    unknown = [name for name in given.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="gateway-fuzz-"))
    outcomes = fuzz(given.targets or list(TARGETS), given.seconds, folder.resolve(), given.flags.split())
    if given.keep:
        for outcome in outcomes:
            keep(outcome, Environments().find("fuzz").python)
    print(table(outcomes))
    bad = [one for one in outcomes if one.findings or not one.executions]
    for one in bad:
        for path in one.findings:
            told = path.with_suffix(".txt")
            print(f"\n{path}\n{told.read_text()[-1500:] if told.exists() else ''}")
    if bad:
        print(f"fuzzing: {sum(len(one.findings) for one in bad)} findings in {', '.join(one.target for one in bad)}")
        return 1
    if given.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
