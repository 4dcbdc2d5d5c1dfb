"""Tasks that the tests run in Environment base: many models in one child, instead of a child for each."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.compare import compare
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import first, sizings
from gateway.errors import GatewayError
from gateway.formats.base import Source, all_formats


def source_of(folder: Path) -> Source:
    return Source(folder, tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())))


def convert_all(job: Any) -> dict[str, Any]:
    """`rows`: name -> {"folder", "options"}. -> name -> the Conversion and operators, or the error; and the files."""
    answers = {}
    onnx_format = all_formats()["onnx"]
    for number, (name, row) in enumerate(job.arguments["rows"].items()):
        source = source_of(Path(row["folder"]))
        options = ModelOptions.from_json(row["options"])
        out = job.out / str(number)
        out.mkdir()
        match = onnx_format.match(source)
        if match is None:
            answers[name] = {"error": "Unknown", "message": ""}
            continue
        try:
            conversion = onnx_format.convert(source, match, options, "auto", out)
            inspection = onnx_format.inspect(source, match, options)
        except GatewayError as error:
            answers[name] = error.to_json()
            continue
        files = {path.name: path.stat().st_size for path in out.iterdir()}
        answers[name] = conversion.to_json() | {"files": files, "inspection": inspection.to_json(), "out": str(out)}
    return answers


def damage(job: Any) -> dict[str, Any]:
    """Cut and bit-flip `folder`'s model: how each ended. Anything but an error of ours ends the whole Job."""
    folder = Path(job.arguments["folder"])
    whole = (folder / "model.onnx").read_bytes()
    dice = random.Random(11)
    damaged = {f"cut at {size}": whole[:size] for size in np.linspace(0, len(whole) - 1, 64, dtype=int).tolist()}
    for _ in range(200):
        at, bit = dice.randrange(len(whole)), dice.randrange(8)
        damaged[f"byte {at} bit {bit}"] = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    endings = {}
    slowest = 0.0
    for name, data in damaged.items():
        started = time.monotonic()
        endings[name] = _one(job.out / "damaged", data)
        slowest = max(slowest, time.monotonic() - started)
    return {"endings": endings, "slowest": slowest}


def _one(root: Path, data: bytes) -> str:
    shutil.rmtree(root, ignore_errors=True)
    (root / "in").mkdir(parents=True)
    (root / "out").mkdir()
    (root / "in" / "model.onnx").write_bytes(data)
    onnx_format, source = all_formats()["onnx"], source_of(root / "in")
    match = onnx_format.match(source)
    if match is None:
        return "unknown format"
    try:
        conversion = onnx_format.convert(source, match, ModelOptions(), "auto", root / "out")
        signature = conversion.signatures[0]
        judge = onnx_format.oracle(source, match, ModelOptions(), signature)
        ours = onnx_format.oracle(source_of(root / "out"), match, ModelOptions(), signature)
    except GatewayError as error:
        return type(error).__name__
    assert judge is not None
    assert ours is not None
    ours.use_second("the artifact's side")
    for sizing in sizings(signature, {}):
        inputs = first(signature, sizing, {}, 1).inputs
        try:
            expected, got = judge.run(inputs), ours.run(inputs)
        except Exception:
            continue
        same = all(compare(expected[n], got[n]).passed for n in expected)
        return "judged: the same" if same else "judged: different"
    return "unverified"


def graph_builder(job: Any) -> dict[str, Any]:
    """What GraphBuilder makes: names, and the numbers onnxruntime gets out of it."""
    import onnxruntime

    from gateway.graph.builder import GraphBuilder

    graph = GraphBuilder("toy")
    x = graph.input("data", "float32", (None, 3), ("batch",))
    w = graph.constant("w", np.full((3, 2), 0.5, np.float32))
    product = graph.node("MatMul", [x, w], name="fc")
    again = graph.node("Relu", [product], name="fc")
    high, low = graph.nodes("Split", [again], 2, name="halves", axis=1, num_outputs=None)
    graph.output(graph.node("Sub", [high, low], output="difference"))
    graph.output(again, "score", "float32", (None, 2))
    path = job.out / "model.onnx"
    graph.save(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    difference, score = session.run(None, {"data": data})
    errors = {}
    for name, wrong in {
        "misspelt input": lambda: GraphBuilder("toy").node("Relu", ["dta"]),
        "output nobody makes": lambda: graph.output("scor"),
        "input name twice": lambda: graph.input("data", "float32", (1,)),
        "old opset": lambda: GraphBuilder("toy", opset=11),
        "invalid graph": _invalid,
    }.items():
        try:
            wrong()
        except (GatewayError, ValueError) as error:
            errors[name] = f"{type(error).__name__}: {error}"
    shapes = [output.shape for output in session.get_outputs()]
    return {
        "names": [product, again, high, low], "score": score.tolist(), "difference": difference.tolist(),
        "inputs": [(i.name, i.shape) for i in session.get_inputs()], "shapes": shapes, "errors": errors,
    }  # fmt: skip


def _invalid() -> None:
    from gateway.graph.builder import GraphBuilder

    graph = GraphBuilder("toy")
    graph.output(graph.node("Relu", [graph.input("x", "float32", (1,))], no_such_attribute=3))
    graph.build()


def change_weight(job: Any) -> dict[str, Any]:
    """Spoil one initializer of `model` (a file), as a wrong converter would: element 0 plus one."""
    import onnx
    from onnx import numpy_helper

    path = Path(job.arguments["model"])
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name == job.arguments["weight"]:
            array = numpy_helper.to_array(tensor).copy()
            array.reshape(-1)[0] += 1
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    (job.out / "model.onnx").write_bytes(model.SerializeToString())
    return {}


def cancelling(job: Any) -> dict[str, Any]:
    """`slope` -> model.onnx: y = sum(x w) - sum(x w (1 - slope)) + b.

    On large inputs what is left of two sums is mostly their rounding; each node alone is right.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    slope = float(job.arguments["slope"])
    w = np.random.default_rng(2).standard_normal((16, 96)).astype(np.float32)
    weights = {"w1": w, "w2": (w * (1.0 - slope)).astype(np.float32), "b": np.linspace(1, 2, 16, dtype=np.float32)}
    weights |= {"axes": np.array([2], np.int64), "at": np.array([1], np.int64)}
    nodes = [helper.make_node("Unsqueeze", ["x", "at"], ["wide"])]
    for side in "12":
        nodes.append(helper.make_node("Mul", ["wide", f"w{side}"], [f"m{side}"]))
        nodes.append(helper.make_node("ReduceSum", [f"m{side}", "axes"], [f"s{side}"], keepdims=0))
    nodes += [
        helper.make_node("Sub", ["s1", "s2"], ["d"]),
        helper.make_node("Add", ["d", "b"], ["y"]),
    ]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3, size]) for n, size in (("x", 96), ("y", 16))]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "cancelling", info[:1], info[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(job.out / "model.onnx"))
    return {}


def graph_builder_keeps(job: Any) -> dict[str, Any]:
    """What GraphBuilder writes of what it was given: renamed, unread, without dimensions."""
    from gateway.graph.builder import LARGE, GraphBuilder

    graph = GraphBuilder("toy")
    x = graph.input("data", "float32", (None, 3), ("batch",))
    half = graph.constant("half", np.asarray(0.5, np.float32))
    graph.constant("unread", np.zeros(7, np.float32))
    large = graph.constant("large", np.ones((LARGE, 3), np.float32).T)
    scaled = graph.node("Mul", [x, half], name="scale")
    graph.node("Relu", [scaled], name="dead")
    y = graph.node("MatMul", [scaled, large], name="fc")
    twice = graph.node("Add", [y, y], name="twice")
    renamed = [graph.rename(y, "fc_output"), graph.rename(twice, "data")]
    graph.output(renamed[1])
    model = graph.build()
    try:
        graph.rename("half", "quarter")
        refused = ""
    except GatewayError as error:
        refused = error.message
    return {
        "renamed": renamed,
        "nodes": [[list(node.input), list(node.output)] for node in model.graph.node],
        "weights": {tensor.name: list(tensor.dims) for tensor in model.graph.initializer},
        "inputs": [value.name for value in model.graph.input],
        "refused": refused,
    }


def graph_builder_saves(job: Any) -> dict[str, Any]:
    """Whether `save` writes the model that `build` makes: constants of every type, small and large."""
    import onnx
    from onnx import numpy_helper

    from gateway.core.dtypes import BY_NAME, numpy_dtype
    from gateway.graph.builder import LARGE, GraphBuilder

    graph = GraphBuilder("toy")
    arrays = {}
    for name, row in BY_NAME.items():
        if row.kind == "s":
            continue
        for size in (3, LARGE + 3):
            array = (np.arange(size * 2) % 120).astype(numpy_dtype(name)).reshape(2, size).T
            kept = graph.constant(f"{name}_{size}", array)
            arrays[kept] = array
            graph.output(graph.node("Identity", [kept]), f"{kept}_out")
    graph.save(job.out / "model.onnx")
    loaded, built = onnx.load(str(job.out / "model.onnx")), graph.build()
    onnx.checker.check_model(loaded, full_check=True)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in loaded.graph.initializer}
    return {
        "same": loaded == built,
        "wrong": [n for n, a in arrays.items() if not np.array_equal(values[n], a) or values[n].dtype != a.dtype],
        "count": len(values),
        "weights": graph.weight_bytes() == sum(array.nbytes for array in arrays.values()),
    }
