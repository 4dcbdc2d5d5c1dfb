"""What a sandbox costs: a process at each level, and a conversion of `digits` at each level.

    python -m bench.sandbox

Writes bench/results/sandbox.json, milliseconds, median and least (the least says more on a busy machine):

    start   a Python of Environment base from fork to reaped: it holds itself and ends
    enter   of that, what it takes to hold itself, by its own clock
    wrap    `true` inside bubblewrap, less `true` alone
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.config import Jobs, Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.process import family, sandbox_landlock, sandbox_levels, spawn
from gateway.process.environments import Environments
from gateway.process.sandbox import Limits, plan
from gateway.repository.detect import detect
from gateway.repository.drop import read_loose

STARTS, CONVERSIONS = 30, 3
RESULTS = Path(__file__).parent / "results" / "sandbox.json"
DIGITS = Path(__file__).parent.parent / "model_repo" / "digits" / "1"
CHILD = """
import json, sys, time
from pathlib import Path
from gateway.process import sandbox
hold = sandbox.Hold.from_json(json.loads(Path("hold.json").read_text()))
began = time.perf_counter()
sandbox.enter(hold)
Path("took").write_text(str(time.perf_counter() - began))
"""


def start_s(python: Path, level: int, root: Path) -> tuple[float, float]:
    """(start, enter) of one child, in seconds."""
    folder = Path(tempfile.mkdtemp(dir=root))
    hold = plan(python, folder, level=level, limits=Limits(1 << 30, 60, 1 << 30, parent=os.getpid()),
                packages=[spawn.GATEWAY])  # fmt: skip
    (folder / "hold.json").write_text(hold.text())
    argv = [str(python), "-s", "-P", "-B", "-c", spawn.BOOTSTRAP + CHILD, f"gateway={spawn.GATEWAY}"]
    began = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = spawn.start(hold.wrap(argv), spawn.environment(python, folder), folder, log.fileno())
        process.wait(30)
    took = time.perf_counter() - began
    family.kill(process)
    if process.returncode:
        raise RuntimeError((folder / "log").read_text())
    return took, float((folder / "took").read_text())


def wrap_s(python: Path, root: Path) -> float:
    """What bubblewrap adds to a program that does nothing."""
    folder = Path(tempfile.mkdtemp(dir=root))
    hold = plan(python, folder, level=3, limits=Limits(parent=os.getpid()), packages=[spawn.GATEWAY])
    took = []
    for argv in (["/bin/true"], hold.wrap(["/bin/true"])):
        began = time.perf_counter()
        subprocess.run(argv, check=True, cwd=folder)
        took.append(time.perf_counter() - began)
    return took[1] - took[0]


def conversion_s(level: int, root: Path) -> float:
    """`digits` from its files to a verdict, with whichever judge is built."""
    loose = read_loose(DIGITS)
    out = Path(tempfile.mkdtemp(dir=root))
    settings = Settings(jobs=Jobs(sandbox_max_level=level))
    request = ConvertRequest(loose.source, detect(loose.source), loose.options, loose.labels, loose.vectors, "0" * 64)
    began = time.perf_counter()
    artifact = Converter(Environments(), settings, root / "jobs").convert(request, out)
    took = time.perf_counter() - began
    if artifact.provenance.sandbox != f"L{level}" or artifact.verification.verdict.value != "passed":
        raise RuntimeError(f"{artifact.provenance.sandbox}, {artifact.verification.reason}")
    return took


def main() -> None:
    python = Environments().find("base").python
    best = sandbox_levels.reached(python)
    levels = range(best.level + 1)
    starts: dict[int, list[tuple[float, float]]] = {level: [] for level in levels}
    conversions: dict[int, list[float]] = {level: [] for level in levels if level}
    with tempfile.TemporaryDirectory(prefix="model-gateway-bench-") as name:
        for _ in range(STARTS):  # in turn: what disturbs the machine disturbs all levels
            for level in levels:
                starts[level].append(start_s(python, level, Path(name)))
        wraps = [wrap_s(python, Path(name)) for _ in range(STARTS)] if best.level >= 3 else []
        for _ in range(CONVERSIONS):
            for level in conversions:
                conversions[level].append(conversion_s(level, Path(name)))
    rows: dict[str, Any] = {}
    for level in levels:
        start, enter = zip(*starts[level], strict=True)
        rows[f"L{level}"] = {"start_ms": _both(start), "enter_ms": _both(enter)}
        if level == 3:
            rows["L3"]["wrap_ms"] = _both(wraps)
        if level:
            took = conversions[level]
            rows[f"L{level}"]["digits_s"] = {
                "median": round(statistics.median(took), 3), "least": round(min(took), 3)
            }  # fmt: skip
    machine = {
        "kernel": os.uname().release,
        "landlock": sandbox_landlock.abi(),
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": subprocess.run([str(python), "-V"], capture_output=True, text=True, check=True).stdout.strip(),
        "reached": str(best),
    }
    RESULTS.write_text(json.dumps({"machine": machine, "levels": rows}, indent=1) + "\n")
    print(json.dumps({"machine": machine, "levels": rows}, indent=1))


def _both(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds) * 1000, 2), "least": round(min(seconds) * 1000, 2)}


if __name__ == "__main__":
    main()
