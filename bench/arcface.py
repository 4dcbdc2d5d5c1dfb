"""`python -m bench.arcface`: ArcFace iResNet-100, made by MXNet, from dropped to AVAILABLE.

Four rounds: fix_gamma both ways, with the oracle (MXNet) and without (verify = "off"). Writes
bench/results/arcface.json and arcface.md: seconds from settled to AVAILABLE, seconds and peak memory of each
process, max error and SNR. Needs Environments base and mxnet.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.running import Running, gateway
from tests.formats.mxnet.arcface import FILTERS, R100
from tests.formats.mxnet.harness import run_child

RESULTS = Path(__file__).parent / "results"
SETTLE_S = 0.3  # tests/e2e/running.py sets it
STAGE = re.compile(rb"/\d+-(\w+)\0")  # of a Job's folder, the last argument of its process


@contextmanager
def peaks(running: Running) -> Iterator[dict[str, float]]:
    """Most resident MiB of the gateway and of each Job, by stage, while the block runs."""
    found: dict[str, float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    command = (process / "cmdline").read_bytes()
                    stage = STAGE.search(command) if bytes(running.store) in command else None
                    if stage is None and int(process.name) != running.process.pid:
                        continue
                    line = re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text())
                except OSError:
                    continue
                name = stage[1].decode() if stage else "gateway"
                if line:
                    found[name] = max(found.get(name, 0.0), int(line[1]) / 1024)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def one(made: Path, root: Path, verify: bool) -> dict[str, Any]:
    """Drop the model into a running gateway and wait for it."""
    drop = Path(shutil.copytree(made, root / "arcface"))
    said = "" if verify else 'verify = "off"\n'
    (drop / "model.toml").write_text(f'{said}[[inputs]]\nname = "data"\nshape = ["?", 3, 112, 112]\n')
    with gateway(root) as running, peaks(running) as memory:
        started = time.monotonic()
        drop.rename(running.repository / "arcface")
        running.wait("arcface", 1, "AVAILABLE", 300)
        seconds = time.monotonic() - started - SETTLE_S
    (artifact,) = (root / "store").rglob("gateway.json")
    report = json.loads(artifact.read_text())
    verification = report["verification"]
    rows = verification["comparisons"]
    worst = max(rows, key=lambda row: float(row["max_abs"]), default=None)
    usual = [float(row["max_abs"]) for row in rows if not row["case"].startswith("large")]
    least = min((float(row["snr_db"]) for row in rows), default=None)
    return {
        "settled_to_available_s": round(seconds, 2),
        "stages_s": report["provenance"]["seconds"],
        "peak_mib": {name: round(value) for name, value in sorted(memory.items())},
        "verdict": verification["verdict"],
        "judge": verification["oracle"],
        "reason": verification["reason"],
        "least_snr_db": None if least is None else round(least, 1),
        "max_error": None if worst is None else worst["max_abs"],
        "max_error_but_large": max(usual, default=None),
        "max_error_case": None if worst is None else worst["case"],
    }


def main() -> None:
    found: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as name:
        for fixed in (False, True):
            made = Path(name) / f"made-{fixed}"
            made.mkdir()
            told = {"folder": str(made), "units": R100, "filters": FILTERS, "size": 512, "side": 112}
            run_child("tests.formats.mxnet.arcface:save", told | {"fix_gamma": fixed}, "mxnet")
            for verify in (True, False):
                label = f"fix_gamma {fixed}, {'judged' if verify else 'without oracle'}"
                found[label] = one(made, Path(name) / label.replace(" ", "-"), verify)
                print(label, json.dumps(found[label]))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "arcface.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "arcface.md").write_text(page(found))


def page(found: dict[str, Any]) -> str:
    rows = []
    for label, row in found.items():
        if isinstance(row, dict):
            stages = ", ".join(f"{name} {value:.1f}" for name, value in row["stages_s"].items())
            memory = ", ".join(f"{name} {value}" for name, value in row["peak_mib"].items())
            cells = [
                label,
                row["verdict"],
                row["judge"],
                row["least_snr_db"],
                row["max_error_but_large"],
                row["max_error"],
            ]
            cells += [row["settled_to_available_s"], stages, memory]
            rows.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    return (
        "# ArcFace iResNet-100 (65 million weights, 261 MB), made by MXNet 1.9.1\n\n"
        "*Written by `python -m bench.arcface`; do not edit.* "
        f"{found['cores']} cores, load {found['load_before']:.1f} before the run.\n\n"
        "| round | verdict | judge | least SNR dB | max error | and on inputs of 1e3 "
        "| settled to AVAILABLE, s | of it, s | peak MiB |\n"
        "|---|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
