"""What a sandbox costs: a process at each level, and a conversion of `digits` at each level.

    python -m bench.sandbox

Prints a table and writes bench/results/sandbox.json. A start is a Python of Environment base that holds itself,
reads one file and ends; the wall clock and the processor seconds of it and all it started, median and least.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
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
import json, sys
from pathlib import Path
from gateway.process import sandbox
sandbox.enter(sandbox.Hold.from_json(json.loads(Path("hold.json").read_text())))
Path("hold.json").read_text()
"""


def start_s(python: Path, level: int, root: Path) -> tuple[float, float]:
    """(wall clock, processor) seconds of one child."""
    folder = Path(tempfile.mkdtemp(dir=root))
    hold = plan(python, folder, level=level, limits=Limits(1 << 30, 60, 1 << 30, parent=os.getpid()),
                packages=[spawn.GATEWAY])  # fmt: skip
    (folder / "hold.json").write_text(hold.text())
    argv = [str(python), "-s", "-P", "-B", "-c", spawn.BOOTSTRAP + CHILD, f"gateway={spawn.GATEWAY}"]
    before, began = os.times(), time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = spawn.start(hold.wrap(argv), spawn.environment(python, folder), folder, log.fileno())
        process.wait(30)
    took, after = time.perf_counter() - began, os.times()
    family.kill(process)
    if process.returncode:
        raise RuntimeError((folder / "log").read_text())
    return took, after.children_user + after.children_system - before.children_user - before.children_system


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
        for _ in range(CONVERSIONS):
            for level in conversions:
                conversions[level].append(conversion_s(level, Path(name)))
    rows: dict[str, Any] = {}
    for level in levels:
        wall, cpu = zip(*starts[level], strict=True)
        rows[f"L{level}"] = {
            "start_ms": {"median": _ms(statistics.median(wall)), "least": _ms(min(wall))},
            "start_cpu_ms": {"median": _ms(statistics.median(cpu)), "least": _ms(min(cpu))},
        }
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


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


if __name__ == "__main__":
    main()
