"""Child tasks: outputs of Sigmoid, Softmax and Tanh, judged before and over the operator (see convert/bounded.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.signature import Signature
from gateway.formats.tasks import Job, Subject
from gateway.process import wire

BOUNDED = ("Sigmoid", "Softmax", "Tanh")
"""Operators whose range is within [-1, 1]."""


def ours(job: Job) -> dict[str, Any]:
    """`signature`, `artifact` (an ONNX file), `asked` ([{"case", "output", "inputs": file}]); runs in `base`.

    -> {"answers": [{"case", "output", "inputs", "operator", "tensor", "file", "own_error"}]}, one for each output
    that an operator of BOUNDED makes: `tensor` goes into it, the artifact's value of that is in `file`, and
    `own_error` is the largest error of the output against the operator applied to it in float64.
    """
    import onnx

    signature = Signature.from_json(job.arguments["signature"])
    path = Path(job.arguments["artifact"])
    model = onnx.load(str(path), load_external_data=False)
    makers = {name: node for node in model.graph.node for name in node.output}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    answers: list[dict[str, Any]] = []
    for number, asked in enumerate(job.arguments["asked"]):
        spec = signature.output(asked["output"])
        maker = makers.get(spec.tensor) if spec is not None else None
        if maker is None or maker.op_type not in BOUNDED or maker.domain:
            continue
        inputs, inner = wire.load(Path(asked["inputs"])), maker.input[0]
        feeds = {s.tensor: inputs[s.name] for s in signature.inputs}
        went_in, came_out = _served(model, path.parent, feeds, (inner, maker.output[0]))
        wire.save(job.out / str(number), {inner: went_in})
        own_error = _own_error(maker, opsets.get("", 1), went_in, came_out)
        found = {"operator": maker.op_type, "tensor": inner, "file": str(job.out / str(number)), "own_error": own_error}
        answers.append(asked | found)
    return {"answers": answers}


def theirs(job: Job) -> dict[str, Any]:
    """`signature`, `answers` of `ours` -> {"files": [file or ""]}: the judge's values; runs where the judge does."""
    subject = Subject.of(job.arguments)
    signature = Signature.from_json(job.arguments["signature"])
    judge = subject.format.oracle(subject.source, subject.match, subject.options, signature)
    files = []
    for number, answer in enumerate(job.arguments["answers"]):
        inputs, wanted = wire.load(Path(answer["inputs"])), answer["tensor"]
        shown = (found for _, _, found in judge.nodes(inputs)) if judge is not None else iter(())
        value = next((found[wanted] for found in shown if wanted in found), None)
        if value is not None:
            wire.save(job.out / str(number), {wanted: value})
        files.append("" if value is None else str(job.out / str(number)))
    return {"files": files}


def same(job: Job) -> dict[str, Any]:
    """`signature`, `artifact`, `answers` of `ours`, `files` of `theirs`, `expected` -> {"errors": [e]}.

    `expected` are files of the judge's outputs. e is the largest error of the judge's own output against the artifact's
    operator over the judge's own tensor: an operator of another kind or axis agrees with itself, not with the judge.
    NaN where the judge shows no such tensor.
    """
    import onnx

    model = onnx.load(job.arguments["artifact"], load_external_data=False)
    makers = {name: node for node in model.graph.node for name in node.output}
    opset = next((entry.version for entry in model.opset_import if not entry.domain), 1)
    signature = Signature.from_json(job.arguments["signature"])
    errors = []
    for answer, file, expected in zip(
        job.arguments["answers"], job.arguments["files"], job.arguments["expected"], strict=True
    ):
        spec = signature.output(answer["output"])
        if not file or spec is None:
            errors.append(float("nan"))
            continue
        went_in = wire.load(Path(file))[answer["tensor"]]
        errors.append(_own_error(makers[spec.tensor], opset, went_in, wire.load(Path(expected))[answer["output"]]))
    return {"errors": [str(error) for error in errors]}


def _served(model: Any, folder: Path, feeds: Tensors, names: tuple[str, ...]) -> list[Array]:
    """Those tensors as onnxruntime makes them with its optimisations on, as when the artifact is served."""
    import onnx
    import onnxruntime

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(list(names), feeds)]


def _own_error(node: Any, opset: int, went_in: Array, came_out: Array) -> float:
    """max|op(in) - out| with `op` in float64; 'as it is' for infinities, which these operators take."""
    import onnx
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    double = onnx.TensorProto.DOUBLE
    graph = helper.make_graph(
        [helper.make_node(node.op_type, ["x"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", double, None)],
        [helper.make_tensor_value_info("y", double, None)],
    )
    graph.node[0].attribute.extend(node.attribute)
    alone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    with np.errstate(over="ignore"):
        exact = ReferenceEvaluator(alone).run(None, {"x": went_in.astype(np.float64)})[0]
    if exact.shape != came_out.shape:
        return float("inf")
    return float(np.abs(exact - came_out.astype(np.float64)).max(initial=0.0))
