"""Child task: outputs of Sigmoid, Softmax and Tanh, judged before and over the operator (see convert/bounded.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.compare import compare
from gateway.core.dtypes import Array, Tensors
from gateway.core.signature import Signature
from gateway.formats.tasks import Job, Subject
from gateway.process import wire

BOUNDED = ("Sigmoid", "Softmax", "Tanh")
"""Operators whose range is within [-1, 1]."""


def before(job: Job) -> dict[str, Any]:
    """`signature`, `artifact` (an ONNX file), `asked` ([{"case", "output", "inputs": file}]).

    -> {"answers": [{"case", "output", "operator", "comparison", "own_error"}]}. For an output that an
    operator of BOUNDED makes: `comparison` is the judge's and the artifact's tensor that goes into it,
    `own_error` the largest error of the artifact's output against that operator applied in float64 to the
    artifact's own tensor. Elsewhere "comparison" is None.
    """
    import onnx

    subject = Subject.of(job.arguments)
    signature = Signature.from_json(job.arguments["signature"])
    path = Path(job.arguments["artifact"])
    model = onnx.load(str(path), load_external_data=False)
    makers = {name: node for node in model.graph.node for name in node.output}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    judge = subject.format.oracle(subject.source, subject.match, subject.options, signature)
    answers: list[dict[str, Any]] = []
    for asked in job.arguments["asked"]:
        spec = signature.output(asked["output"])
        maker = makers.get(spec.tensor) if spec is not None else None
        answer: dict[str, Any] = {"case": asked["case"], "output": asked["output"], "operator": "", "comparison": None}
        if maker is not None and maker.op_type in BOUNDED and not maker.domain and judge is not None:
            inputs, inner = wire.load(Path(asked["inputs"])), maker.input[0]
            theirs = {name: value for _, _, found in judge.nodes(inputs) for name, value in found.items()}
            went_in, came_out = _served(
                model, path.parent, {s.tensor: inputs[s.name] for s in signature.inputs}, (inner, maker.output[0])
            )
            answer["operator"] = maker.op_type
            if inner in theirs:
                answer["comparison"] = compare(theirs[inner], went_in, output=inner).to_json()
                answer["own_error"] = _own_error(maker, opsets.get("", 1), went_in, came_out)
        answers.append(answer)
    return {"answers": answers}


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
    return float(np.abs(exact - came_out.astype(np.float64)).max(initial=0.0))
