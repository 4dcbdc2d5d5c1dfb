"""Tasks of these tests in Environment base: many conversions in one child."""

from __future__ import annotations

import random
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.modeltoml import ModelOptions
from gateway.errors import GatewayError
from gateway.formats.mxnet import FORMAT
from tests.formats.in_base import source_of


def convert_all(job: Any) -> dict[str, Any]:
    """`rows`: name -> {"folder", "options"}. -> name -> Conversion, inspection, outputs; or the error."""
    found = {}
    for number, (name, row) in enumerate(job.arguments["rows"].items()):
        out = job.out / str(number)
        out.mkdir()
        try:
            found[name] = _convert(Path(row["folder"]), row, out)
        except GatewayError as error:
            found[name] = error.to_json()
        except Exception as error:
            found[name] = {"error": type(error).__name__, "message": traceback.format_exc(), "crash": True}
    return found


def _convert(folder: Path, row: dict[str, Any], out: Path) -> dict[str, Any]:
    import onnx
    import onnxruntime

    source, options = source_of(folder), ModelOptions.from_json(row["options"])
    match = FORMAT.match(source)
    assert match is not None
    conversion = FORMAT.convert(source, match, options, "auto", out)
    inspection = FORMAT.inspect(source, match, options)
    model = onnx.load(str(out / "model.onnx"), load_external_data=False)
    signature = conversion.signatures[0]
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    feeds = {}
    for spec in signature.inputs:
        shape = tuple(2 if size is None else size for size in spec.shape or ())
        feeds[spec.tensor] = np.arange(np.prod(shape)).reshape(shape).astype(spec.dtype) / 10
    answers = session.run([spec.tensor for spec in signature.outputs], feeds)
    return conversion.to_json() | {
        "inspection": inspection.to_json(),
        "ops": [node.op_type for node in model.graph.node],
        "tensors": [name for node in model.graph.node for name in node.output],
        "weights": {tensor.name: list(tensor.dims) for tensor in model.graph.initializer},
        "files": sorted(path.name for path in out.iterdir()),
        "hints": {name: hint.bound for name, hint in FORMAT.hints(source, match, signature).items()},
        "answers": {spec.name: np.asarray(a).tolist() for spec, a in zip(signature.outputs, answers, strict=True)},
        "shapes": {spec.name: list(np.shape(a)) for spec, a in zip(signature.outputs, answers, strict=True)},
    }


def damage(job: Any) -> dict[str, Any]:
    """Cut and bit-flip each file of `folder` in turn: how each ended. Anything but an error of ours ends the Job."""
    folder = Path(job.arguments["folder"])
    dice = random.Random(11)
    endings: dict[str, str] = {}
    slowest = 0.0
    for name in job.arguments["files"]:
        whole = (folder / name).read_bytes()
        cases = {
            f"{name} cut at {size}": whole[:size] for size in np.linspace(0, len(whole) - 1, 64, dtype=int).tolist()
        }
        for _ in range(200):
            at, bit = dice.randrange(len(whole)), dice.randrange(8)
            cases[f"{name} byte {at} bit {bit}"] = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
        for case, data in cases.items():
            started = time.monotonic()
            endings[case] = _one(job.out / "damaged", folder, name, data)
            slowest = max(slowest, time.monotonic() - started)
    return {"endings": endings, "slowest": slowest}


def _one(root: Path, folder: Path, name: str, data: bytes) -> str:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(folder, root / "in")
    (root / "out").mkdir()
    (root / "in" / name).write_bytes(data)
    source = source_of(root / "in")
    match = FORMAT.match(source)
    if match is None:
        return "not recognised"
    try:
        FORMAT.convert(source, match, ModelOptions(), "auto", root / "out")
    except GatewayError as error:
        return "a bug of ours" if "breaks the converter" in error.message or not error.message else type(error).__name__
    return "converted"
