"""`python -m bench.savedmodel [ROW ...]`: nets of several families as SavedModels, against onnxruntime and Keras.

For each row: seconds of `gateway convert --to savedmodel` with its judge, the greatest error against the judge, size
of the SavedModel over its weights, transposes left, and the latency of one example: of the SavedModel, of the same
graph as ONNX in onnxruntime, and for ArcFace of the same net by hand in Keras, channels last (keras_net.py).
TensorFlow and Keras take turns in one process. Writes bench/results/savedmodel.json and .md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.process.environments import Environments
from tests import zoo
from tests.formats.mxnet.arcface import FILTERS, R100
from tests.formats.mxnet.harness import run_child

RESULTS = Path(__file__).parent / "results"
GATEWAY = Path(sys.executable).with_name("gateway")
HERE = Path(__file__).parent


def arcface(folder: Path) -> tuple[Path, list[str]]:
    made = folder / "arcface"
    made.mkdir()
    told = {"folder": str(made), "units": R100, "filters": FILTERS, "size": 512, "side": 112, "fix_gamma": False}
    run_child("tests.formats.mxnet.arcface:save", told, "mxnet")
    return made, ["--input", "data:float32[?,3,112,112]"]


def zoo_row(name: str, *flags: str) -> Callable[[Path], tuple[Path, list[str]]]:
    def get(folder: Path) -> tuple[Path, list[str]]:
        row = next(row for row in zoo.rows() if row.name == name)
        return row.fetch(), list(flags)

    return get


def exported(name: str) -> Callable[[Path], tuple[Path, list[str]]]:
    """A net of bench/nets.py, as torch's exporter writes it, or quantised from that by onnxruntime."""

    def get(folder: Path) -> tuple[Path, list[str]]:
        made = folder / f"{name}.onnx"
        script("base" if name == "quantised" else "torch", "nets.py", name, made)
        return made, []

    return get


PICTURE = ("--input", "data:float32[?,3,224,224]")
ROWS: dict[str, Callable[[Path], tuple[Path, list[str]]]] = {
    "ArcFace iResNet-100": arcface,
    "ResNet-50": zoo_row("gluon resnet50_v1", *PICTURE),
    "MobileNetV2": zoo_row("gluon mobilenetv2_1.0", *PICTURE),
    "DenseNet-121": zoo_row("gluon densenet121", *PICTURE),
    "Inception v3": zoo_row("gluon inceptionv3", "--input", "data:float32[?,3,299,299]"),
    "U-Net": exported("unet"),
    "YOLO head": exported("yolo"),
    "BERT-like encoder": exported("bert"),
    "LSTM": exported("lstm"),
    "quantised net": exported("quantised"),
}


def script(environment: str, name: str, *arguments: Any) -> str:
    python = Environments().ensure(environment).python
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(python), str(HERE / name), *map(str, arguments)]
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def convert(source: Path, target: str, out: Path, flags: list[str]) -> tuple[dict[str, Any], float]:
    started = time.monotonic()
    command = [str(GATEWAY), "convert", str(source), "--json", "--to", target, "--out", str(out), *flags]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report, time.monotonic() - started


def weights_bytes(model: Path) -> int:
    return int(script("base", "latency.py", "weights", model))


def row(name: str, folder: Path) -> dict[str, Any]:
    source, flags = ROWS[name](folder)
    _, _ = convert(source, "onnx", folder / "onnx", [*flags, "--no-verify"])
    report, seconds = convert(source, "savedmodel", folder / "saved", flags)
    verification = report["verification"]
    rows = verification["comparisons"]
    error = max((float(r["max_abs"]) / max(1.0, abs(float(r["reference"]))) for r in rows), default=None)
    parts = [folder / "saved" / "saved_model.pb", *(folder / "saved" / "variables").glob("*")]
    size = sum(part.stat().st_size for part in parts)
    keras = ["arcface"] if name.startswith("ArcFace") else []
    ours = json.loads(script("tensorflow", "latency.py", "tensorflow", folder / "saved", *keras))
    theirs = json.loads(script("base", "latency.py", "onnxruntime", folder / "onnx" / "model.onnx"))
    return {
        "verdict": verification["verdict"],
        "judge": verification["oracle"],
        "max_error": error,  # over max(1, |reference|), at the place that is furthest off
        "least_snr_db": min((float(r["snr_db"]) for r in rows), default=None),
        "seconds": round(seconds, 1),
        "stages_s": (report.get("provenance") or {}).get("seconds"),
        "transposes_left": ours.pop("transposes"),
        "size_over_weights": round(size / max(1, weights_bytes(folder / "onnx" / "model.onnx")), 4),
        "load": os.getloadavg()[0],
        "ms": {**ours, "onnxruntime": theirs["onnxruntime"]},
    }


def page(found: dict[str, Any]) -> str:
    rows = []
    for name, seen in found.items():
        ms = seen["ms"]
        own, keras = ms["ours"], ms.get("keras")
        cells = [
            name,
            seen["verdict"],
            seen["judge"],
            format(seen["max_error"], ".2g") if seen.get("max_error") is not None else "",
            seen["seconds"],
            seen["size_over_weights"],
            seen["transposes_left"],
            f"{own:.1f}",
            f"{ms['onnxruntime']:.1f}",
            f"{own / ms['onnxruntime']:.2f}",
            f"{own / keras:.2f}" if keras else "",
            f"{seen['load']:.1f}",
        ]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return (
        "# SavedModels of several families of nets\n\n"
        "*Written by `python -m bench.savedmodel`; do not edit.* Latency is the least of many single examples, one "
        f"thread, on a machine with {len(os.sched_getaffinity(0))} cores that had other work (load). Errors "
        "are over max(1, |reference|).\n\n"
        "| net | verdict | judge | max error | convert and judge, s | size / weights | transposes | ms "
        "| onnxruntime ms | to onnxruntime | to Keras | load |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def main() -> None:
    file = RESULTS / "savedmodel.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name in sys.argv[1:] or ROWS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = row(name, Path(folder))
        print(name, json.dumps(found[name]), flush=True)
        ordered = {key: found[key] for key in ROWS if key in found}
        file.write_text(json.dumps(ordered, indent=1) + "\n")
        file.with_suffix(".md").write_text(page(ordered))


if __name__ == "__main__":
    main()
