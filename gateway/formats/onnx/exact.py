"""An ONNX model in float64: every float32 in it is widened, and onnx's ReferenceEvaluator runs the result.

It is no judge: it tells which of two float32 answers is nearer to what the model means.

Rule 1: it reads the source, never the artifact.
Rule 2: a model of other narrow floats, quantised numbers or functions of its own is not widened; and
        where the evaluator still makes a float32 tensor, nothing is answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Tensors
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Oracle
from gateway.formats.onnx.corrections import corrections

FLOAT, DOUBLE = 1, 11
TYPED = {"Cast": "to", "EyeLike": "dtype"}
REFUSED = (
    "QuantizeLinear", "DequantizeLinear", "CastLike", "RandomNormal", "RandomUniform", "Multinomial", "Bernoulli",
    "RandomNormalLike", "RandomUniformLike",
)  # fmt: skip
"""Operators whose answer is another one in float64, or by chance."""


class ExactOnnx(Oracle):
    """Errors of the constructor: ConversionError for a model that is not widened."""

    def __init__(self, path: Path, signature: Signature) -> None:
        import onnx
        from onnx.reference import ReferenceEvaluator

        self.name = f"onnx ReferenceEvaluator {onnx.__version__} in float64"
        self._signature = signature
        model = onnx.load(str(path))
        refused = sorted({node.op_type for node in _nodes(model.graph) if node.op_type in REFUSED})
        if refused or model.functions:
            raise ConversionError(f"{path.name} is not computed in float64: {', '.join(refused) or 'functions'}.")
        _widen(model.graph)
        self._evaluator = ReferenceEvaluator(model, new_ops=corrections(model))

    def run(self, inputs: Tensors) -> Tensors:
        feeds = {
            spec.tensor: array.astype(np.float64) if (array := inputs[spec.name]).dtype == np.float32 else array
            for spec in self._signature.inputs
        }
        every = self._evaluator.run(None, feeds, intermediate=True)
        narrow = [name for name, value in every.items() if getattr(value, "dtype", None) == np.float32]
        if narrow:
            raise ConversionError(f"tensor {narrow[0]!r} is float32 in {self.name}.")
        return {spec.name: np.asarray(every[spec.tensor]) for spec in self._signature.outputs}


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in _graphs(attribute):
                yield from _nodes(inner)


def _graphs(attribute: Any) -> list[Any]:
    return [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _widen(graph: Any) -> None:
    """In place: initializers, constants, casts, declared types, graphs inside."""
    for tensor in graph.initializer:
        _wide_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == FLOAT:
            value.type.tensor_type.elem_type = DOUBLE
    for node in graph.node:
        key = TYPED.get(node.op_type)
        for attribute in node.attribute:
            if attribute.name == key and attribute.i == FLOAT:
                attribute.i = DOUBLE
            if attribute.HasField("t"):
                _wide_tensor(attribute.t)
            if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                _wide_constant(attribute)
            for inner in _graphs(attribute):
                _widen(inner)


def _wide_tensor(tensor: Any) -> None:
    from onnx import numpy_helper

    if tensor.data_type == FLOAT:
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), name))


def _wide_constant(attribute: Any) -> None:
    """value_float is a float32 by definition: as a tensor it can be wider."""
    import onnx
    from onnx import numpy_helper

    scalar = attribute.name == "value_float"
    values = np.asarray(attribute.f if scalar else list(attribute.floats), np.float64)
    attribute.CopyFrom(onnx.helper.make_attribute("value", numpy_helper.from_array(values)))
