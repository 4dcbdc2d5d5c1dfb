"""`python -m bench.auto [WORD ...]`: does `target = "auto"` pick the quicker of ONNX and TensorFlow?

For each row of the zoo (those whose names hold a WORD): the model is converted with `auto`, the other of the two is
made beside it, and both are called in turns as they are served (TensorFlow in its worker, ONNX in this process).
Median of each, and how much longer than the better one the chosen one takes. Ten rows take about seven minutes on a
quiet machine. Writes bench/results/auto.json and .md; exit 1 where a choice is more than 5 % off.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gateway import api
from gateway.core.artifact import NATIVE, ONNX, WARMUP_FILE
from gateway.core.dtypes import Tensors
from gateway.core.probes import probes, sizings
from gateway.core.signature import Signature
from gateway.process import wire
from tests import zoo

RESULTS = Path(__file__).parent / "results"
ROUNDS, SECONDS, WARM = 400, 8.0, 10
ALLOWED = 1.05
ROWS = (
    "Keras 2 .h5: convolutions",
    "Keras 2 .h5: LSTM",
    "Keras 3 .keras: U-Net",
    "Keras 3 .keras: transformer",
    "Keras 2 SavedModel: GRU, free length",
    "TF1 frozen: a MobileNet of TF-Slim",
    "MobileFaceNet",
    "BlazeFace back",
    "face landmarks",
    "Keras 3 TFLite int8: U-Net",
)


def given(folder: Path, signature: Signature) -> Tensors:
    """One ordinary call: what verification has seen the artifact take, which is warmed with it before it serves."""
    kept = folder / WARMUP_FILE
    if kept.is_file():
        return wire.load(kept)
    return next(iter(probes(signature, next(iter(sizings(signature, {}))), {}, 1, kinds=("normal",)))).inputs


def turns(folders: dict[str, Path]) -> dict[str, list[float]]:
    """Milliseconds of each call; the artifacts take turns until time or rounds are over."""
    models = {target: api.load(folder) for target, folder in folders.items()}
    seen: dict[str, list[float]] = {target: [] for target in folders}
    try:
        inputs = given(next(iter(folders.values())), models[ONNX].artifact.signatures[0])  # the proven one
        for model in models.values():
            for _ in range(WARM):
                model.run(inputs)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and len(seen[ONNX]) < ROUNDS:
            for target, model in models.items():
                started = time.perf_counter()
                model.run(inputs)
                seen[target].append((time.perf_counter() - started) * 1e3)
    finally:
        for model in models.values():
            model.close()
    return seen


def row(name: str, folder: Path) -> dict[str, Any]:
    source = next(each for each in zoo.rows() if each.name == name).fetch()
    load = os.getloadavg()[0]
    chosen = api.convert(source, folder / "auto", to="auto")
    said = next(fact.source for fact in chosen.provenance.facts if fact.what == "target")
    other = NATIVE if chosen.kind == ONNX else ONNX
    api.convert(source, folder / "other", to=other, verify=False)
    ms = turns({chosen.kind: folder / "auto", other: folder / "other"})
    medians = {target: statistics.median(found) for target, found in ms.items()}
    return {
        "chosen": chosen.kind,
        "verdict": chosen.verification.verdict.value,
        "said": said,
        "ms": {target: round(value, 4) for target, value in medians.items()},
        "calls": len(ms[ONNX]),
        "over_the_better": round(medians[chosen.kind] / min(medians.values()), 3),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
    }


def page(found: dict[str, Any]) -> str:
    rows = [
        f"| {name} | **{seen['chosen']}** | {seen['ms'][ONNX]:.3g} | {seen['ms'][NATIVE]:.3g} | "
        f"{seen['over_the_better']:.3f} | {seen['calls']} | {seen['load'][0]:.0f}-{seen['load'][1]:.0f} |"
        for name, seen in found.items()
    ]
    good = sum(seen["over_the_better"] <= ALLOWED for seen in found.values())
    head = (
        '# `target = "auto"` measured\n\n*Written by `python -m bench.auto`; do not edit.* The model as ONNX '
        "(in process) and as TensorFlow or TFLite runs it (in a worker), called in turns as they are served. "
        "Medians in ms.\n\n"
        f"**{good} of {len(found)}** choices are within 5 % of the better one.\n\n"
        "| model | chosen | onnx | native | chosen / better | calls | load |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def main(words: list[str]) -> int:
    file = RESULTS / "auto.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() and words else {}
    for name in ROWS:
        if words and not any(word in name for word in words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            found[name] = row(name, Path(folder))
        print(f"{name}: {found[name]['chosen']}, {found[name]['ms']}, {time.monotonic() - started:.0f} s", flush=True)
        file.write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / "auto.md").write_text(page(found))
    return int(any(seen["over_the_better"] > ALLOWED for seen in found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
