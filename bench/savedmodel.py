"""`python -m bench.savedmodel [ROW ...]`: nets of several families as SavedModels, against onnxruntime and Keras.

Every row without names: 15 to 25 minutes on a quiet machine, WHOLE_S at the most. A row that fails or is not over in
ROW_S keeps what was measured before, is named, and makes the exit 1; the others go on.

For each row: the greatest error against the judge, of the SavedModel and of the ONNX file beside it; seconds of the
conversion and of the judge; size of the SavedModel over its weights; transposes left; the latency of one example, of
the SavedModel, of the same graph as ONNX in onnxruntime, and of the same net by hand in Keras, channels last, where
there is one (keras_net.py), all taking turns. Writes bench/results/savedmodel.json and .md after each row.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gateway import api
from gateway.convert import verify
from gateway.process.environments import Environments
from tests import zoo
from tests.formats.mxnet.arcface import FILTERS, R100
from tests.formats.mxnet.harness import run_child

RESULTS = Path(__file__).parent / "results"
ROUNDS, SECONDS = 200, 20.0
ROW_S, WHOLE_S = 480.0, 3600.0
ONE = "--one"  # a row in a process of its own: what is printed is its JSON
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
KERAS = {
    "ArcFace iResNet-100": "arcface",
    "ResNet-50": "resnet50",
    "MobileNetV2": "mobilenetv2",
    "DenseNet-121": "densenet121",
    "Inception v3": "inceptionv3",
    "U-Net": "unet",
    "YOLO head": "yolo",
    "BERT-like encoder": "bert",
    "LSTM": "lstm",
}
"""The same architecture by hand: a net of keras_net.py."""


def script(environment: str, name: str, *arguments: Any) -> str:
    python = Environments().ensure(environment).python
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(python), str(HERE / name), *map(str, arguments)]
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def convert(source: Path, target: str, out: Path, flags: list[str]) -> dict[str, Any]:
    """Convert and judge in this process: how far the answers are from the judge's, in both measures; seconds."""
    worst = {"of_largest": 0.0, "of_each": 0.0}
    compare = verify.compare

    def recording(reference: Any, candidate: Any, **how: Any) -> Any:
        found = compare(reference, candidate, **how)
        if reference.dtype.kind == "f" and reference.size and reference.shape == candidate.shape:
            size = np.abs(reference.astype(np.float64))
            error = np.abs(candidate.astype(np.float64) - reference)
            worst["of_largest"] = max(worst["of_largest"], float(error.max() / max(1.0, size.max())))
            worst["of_each"] = max(worst["of_each"], float((error / np.maximum(1.0, size)).max()))
        return found

    verify.compare = recording  # type: ignore[assignment]
    try:
        artifact = api.convert(source, out, to=target, inputs=flags)
    finally:
        verify.compare = compare
    seen = artifact.verification
    seconds = artifact.provenance.seconds
    return {
        "verdict": seen.verdict.value,
        "judge": seen.oracle,
        "error": worst,
        "least_snr_db": min((c.snr_db for c in seen.comparisons), default=None),
        "convert_s": round(sum(seconds.get(stage, 0.0) for stage in ("convert", target, "check")), 1),
        "judge_s": round(seconds.get("oracle", 0.0) + seconds.get("run", 0.0), 1),
        "transposes": next((f.value for f in artifact.provenance.facts if f.what == "transposes left"), ""),
    }


class Turns:
    """One process that answers one call a line (latency.py)."""

    def __init__(self, environment: str, *arguments: Any) -> None:
        python = Environments().ensure(environment).python
        environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [str(python), str(HERE / "latency.py"), *map(str, arguments)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environ, text=True
        )
        self.said = self._line()

    def call(self) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, float]:
        assert self.process.stdout is not None
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def latencies(saved: Path, onnx: Path, keras: str) -> dict[str, dict[str, float]]:
    """Medians and least ms; all of them take turns, one call each, until the time is over."""
    sides = [Turns("tensorflow", "tensorflow", saved, keras), Turns("base", "onnxruntime", onnx)]
    seen: dict[str, list[float]] = {}
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end and len(seen.get("ours", ())) < ROUNDS:
            for side in sides:
                for name, value in side.call().items():
                    seen.setdefault(name, []).append(value)
    finally:
        for side in sides:
            side.close()
    return {name: {"median": statistics.median(ms), "least": min(ms), "calls": len(ms)} for name, ms in seen.items()}


def weights_bytes(model: Path) -> int:
    return int(script("base", "latency.py", "weights", model))


def row(name: str, folder: Path) -> dict[str, Any]:
    source, flags = ROWS[name](folder)
    flags = [flag for flag in flags if flag != "--input"]
    load = os.getloadavg()[0]
    onnx = convert(source, "onnx", folder / "onnx", flags)
    saved = convert(source, "savedmodel", folder / "saved", flags)
    parts = [folder / "saved" / "saved_model.pb", *(folder / "saved" / "variables").glob("*")]
    size = sum(part.stat().st_size for part in parts)
    return {
        "savedmodel": saved,
        "onnx": onnx,
        "size_over_weights": round(size / max(1, weights_bytes(folder / "onnx" / "model.onnx")), 4),
        "ms": latencies(folder / "saved", folder / "onnx" / "model.onnx", KERAS.get(name, "")),
        "load": [load, os.getloadavg()[0]],
    }


def page(found: dict[str, Any]) -> str:
    rows = []
    for name, seen in found.items():
        ms, saved = seen["ms"], seen["savedmodel"]
        own = ms["ours"]["median"]
        cells = [
            name,
            f"{saved['verdict']}, {saved['judge']}",
            f"{saved['error']['of_largest']:.1g} ({seen['onnx']['error']['of_largest']:.1g})",
            f"{saved['error']['of_each']:.1g} ({seen['onnx']['error']['of_each']:.1g})",
            f"{saved['convert_s']} + {saved['judge_s']}",
            seen["size_over_weights"],
            saved["transposes"],
            f"{own:.1f}",
            f"{own / ms['onnxruntime']['median']:.2f}",
            f"{own / ms['keras']['median']:.2f}" if "keras" in ms else "",
            f"{max(seen['load']):.0f}",
        ]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    head = (
        "net | verdict, judge | error of the largest (as ONNX) | of each (as ONNX) | convert + judge, s "
        "| size / weights | transposes | ms | to onnxruntime | to Keras | load"
    )
    return (
        "# SavedModels of several families of nets\n\n"
        f"*Written by `python -m bench.savedmodel`; do not edit.* {len(os.sched_getaffinity(0))} cores, which had "
        "other work (load). Errors are the greatest over all inputs against the judge: of the largest is "
        "max\\|r - c\\| / max(1, max\\|r\\|), what verification holds to 1e-4; of each is max(\\|r - c\\| / "
        "max(1, \\|r\\|)); in brackets the same for the ONNX file in onnxruntime. Latency: median of single examples, "
        "one thread, the SavedModel, onnxruntime and Keras in turns.\n\n"
        f"| {head} |\n" + "|---" * len(head.split("|")) + "|\n" + "\n".join(rows) + "\n"
    )


def measured(name: str, seconds: float) -> dict[str, Any]:
    """A row, in a process that is ended with all it has started. Errors: RuntimeError with its last lines."""
    command = [sys.executable, "-m", "bench.savedmodel", ONE, name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            said, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise RuntimeError(f"not over in {seconds:.0f} s") from None
    if process.returncode:
        raise RuntimeError(errors[-2000:])
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def main() -> int:
    if sys.argv[1:2] == [ONE]:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(row(sys.argv[2], Path(folder))))
        return 0
    file = RESULTS / "savedmodel.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    end, missing = time.monotonic() + WHOLE_S, []
    for name in sys.argv[1:] or ROWS:
        try:
            found[name] = measured(name, max(1.0, min(ROW_S, end - time.monotonic())))
        except RuntimeError as error:
            missing.append(name)
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            continue
        print(name, json.dumps(found[name]), flush=True)
        ordered = {key: found[key] for key in ROWS if key in found}
        file.write_text(json.dumps(ordered, indent=1) + "\n")
        file.with_suffix(".md").write_text(page(ordered))
    if missing:
        print(f"not measured: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
