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
        shape = tuple((9 if at > 1 else 2) if size is None else size for at, size in enumerate(spec.shape or ()))
        feeds[spec.tensor] = np.arange(np.prod(shape)).reshape(shape).astype(spec.dtype) / 10
    answers = session.run([spec.tensor for spec in signature.outputs], feeds)
    return conversion.to_json() | {
        "inspection": inspection.to_json(),
        "ops": [node.op_type for node in model.graph.node],
        "tensors": [name for node in model.graph.node for name in node.output],
        "weights": {tensor.name: list(tensor.dims) for tensor in model.graph.initializer},
        "files": sorted(path.name for path in out.iterdir()),
        "hints": {name: hint.to_json() for name, hint in FORMAT.hints(source, match, signature).items()},
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


def large(job: Any) -> dict[str, Any]:
    """`folder` converted as if it had more weights than a protobuf holds. -> files, and where the weights are."""
    import onnx
    import onnxruntime

    from gateway.formats.onnx import weights

    weights.INLINE_LIMIT = 0
    source = source_of(Path(job.arguments["folder"]))
    match = FORMAT.match(source)
    assert match is not None
    conversion = FORMAT.convert(source, match, ModelOptions(), "auto", job.out)
    model = onnx.load(str(job.out / "model.onnx"), load_external_data=False)
    session = onnxruntime.InferenceSession(str(job.out / "model.onnx"), providers=["CPUExecutionProvider"])
    data = np.linspace(-1, 1, 600, dtype=np.float32).reshape(2, 300)
    return {
        "files": sorted(path.name for path in job.out.iterdir()),
        "outside": [tensor.name for tensor in model.graph.initializer if tensor.data_location],
        "facts": [fact.what for fact in conversion.facts],
        "answer": session.run(None, {"data": data})[0].tolist(),
    }


def sizes(job: Any) -> dict[str, Any]:
    """Shapes that Emit knows of tensors computed with sizes read at run time. -> name -> shape, as text."""
    from gateway.core.signature import format_shape
    from gateway.graph.builder import GraphBuilder
    from gateway.graph.emit import Emit

    found = {}
    for name, make in SIZES.items():
        graph = Emit(GraphBuilder("toy"))
        x = graph.input("x", "float32", (None, 3, None, 8), ("batch", "", "width", ""))
        y = make(graph, x)
        found[name] = format_shape(graph.shape(y)) + "".join(d.dim_param[:1] for d in graph.tensor_type(y).shape.dim)
        graph.builder.output(y)
        graph.builder.build()
    return found


def _part(graph: Any, x: str, start: int, end: int) -> str:
    return graph.node("Shape", [x], start=start, end=end)


def _reshape(graph: Any, x: str, *parts: Any) -> str:
    made = [graph.ints(part) if isinstance(part, int) else part for part in parts]
    return graph.node("Reshape", [x, graph.node("Concat", made, axis=0)])


SIZES: dict[str, Any] = {
    "a shape given back": lambda g, x: g.node("Reshape", [x, g.node("Shape", [x])]),
    "batch and the rest": lambda g, x: _reshape(g, x, _part(g, x, 0, 1), -1),
    "two free sizes": lambda g, x: _reshape(g, x, _part(g, x, 2, 3), _part(g, x, 0, 1), 24),
    "a size picked": lambda g, x: _reshape(g, x, g.node("Gather", [g.node("Shape", [x]), g.ints(2)], axis=0), -1, 24),
    "a size cut out": lambda g, x: _reshape(
        g, x, g.node("Slice", [g.node("Shape", [x]), g.ints(0), g.ints(1), g.ints(0)]), -1, 24
    ),
    "arithmetic": lambda g, x: g.node("ConstantOfShape", [g.node("Mul", [_part(g, x, 3, 4), g.ints(5)])]),
    "arithmetic with a free size": lambda g, x: g.node(
        "ConstantOfShape", [g.node("Mul", [_part(g, x, 0, 1), g.ints(5)])]
    ),
    "expanded": lambda g, x: g.node(
        "Expand",
        [g.constant("one", np.ones((1, 8), np.float32)), g.node("Concat", [_part(g, x, 0, 1), g.ints(8)], axis=0)],
    ),
    "expanded to more dimensions": lambda g, x: g.node("Expand", [x, g.ints(2, 1, 3, 1, 8)]),
    "zeros copied by Reshape": lambda g, x: g.node("Reshape", [x, g.ints(0, 3, 0, 4, 2)]),
}
