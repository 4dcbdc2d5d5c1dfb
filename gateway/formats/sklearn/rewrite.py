"""What skl2onnx made, under the public names: inputs, outputs without an axis of one, one entry per operator set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import dtype
from gateway.core.signature import TensorSpec
from gateway.errors import ConversionError
from gateway.formats.forest import LABEL, PROBABILITIES, SCORES, Answer
from gateway.formats.sklearn.inputs import Inputs
from gateway.graph.ensemble import ML, ML_OPSET

GONE = ("TreeEnsembleRegressor", "TreeEnsembleClassifier")  # not in the operator set that trees of ours need


def finished(
    model: Any, inputs: Inputs, known: Mapping[str, Answer], chosen: Sequence[tuple[str, str]], out: Path
) -> tuple[TensorSpec, ...]:
    """Writes model.onnx. Errors: ConversionError."""
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    old = [node.op_type for node in graph.node if node.op_type in GONE]
    if old and any(node.op_type == "TreeEnsemble" for node in graph.node):
        raise ConversionError(f"skl2onnx makes {old[0]} of it, whose thresholds are rounded to float32.")
    public = {name for name, _ in chosen} | {spec.name for spec in inputs.specs} | set(inputs.own)
    _rename(graph, {name: f"{name}_of_skl2onnx" for name in public})
    _rename(graph, {f"{own}_of_skl2onnx": spec.name for own, spec in zip(inputs.own, inputs.specs, strict=True)})
    places = _places([value.name for value in graph.output], known)
    specs = []
    del_outputs = list(graph.output)
    del graph.output[:]
    for name, own in chosen:
        answer, tensor = known[own], del_outputs[places[own]].name
        shape = np.array([-1] if len(answer.shape) == 1 else [-1, *(size or 0 for size in answer.shape[1:])], np.int64)
        graph.initializer.append(numpy_helper.from_array(shape, f"{name}_shape"))
        last = tensor
        if own == SCORES and len(answer.shape) == 1 and LABEL in known:
            last = _second(graph, tensor, f"{name}_second")
        if answer.dtype != "string":
            graph.node.append(helper.make_node("Cast", [last], [f"{name}_cast"], to=dtype(answer.dtype).onnx))
            last = f"{name}_cast"
        graph.node.append(helper.make_node("Reshape", [last, f"{name}_shape"], [name], name=f"{name}_shown"))
        sizes = ["batch" if size is None else size for size in answer.shape]
        graph.output.append(helper.make_tensor_value_info(name, dtype(answer.dtype).onnx, sizes))
        specs.append(TensorSpec(name, answer.dtype, answer.shape, symbols=("batch", "")[: len(answer.shape)]))
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        versions[entry.domain] = max(entry.version, versions.get(entry.domain, 0))
    if any(node.op_type == "TreeEnsemble" for node in graph.node):
        versions[ML] = ML_OPSET
    for domain in {node.domain for node in graph.node} - set(versions):
        versions[domain] = 1
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*item) for item in versions.items())
    onnx.save(model, str(out / "model.onnx"))
    return tuple(specs)


def _second(graph: Any, tensor: str, name: str) -> str:
    """The last column of scores: of two classes skl2onnx often gives both, where scikit-learn gives the second."""
    from onnx import helper, numpy_helper

    graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), f"{name}_place"))
    graph.node.append(helper.make_node("Gather", [tensor, f"{name}_place"], [name], name=name, axis=1))
    return name


def _places(names: Sequence[str], known: Mapping[str, Answer]) -> dict[str, int]:
    """skl2onnx answers the label first, then the probabilities or scores."""
    if LABEL in known:
        return {LABEL: 0, PROBABILITIES: 1, SCORES: 1}
    return dict.fromkeys(known, 0)


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
