"""OpenVINO itself, in float32 on the CPU: the judge of what was converted, and what serves the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Shape, Signature, TensorSpec
from gateway.errors import ConversionError, CorruptModel
from gateway.formats import exported
from gateway.formats.base import Conversion, Match, Oracle, Source
from gateway.formats.openvino import ir
from gateway.formats.openvino.convert import _facts, _parameter, _results

KEPT = 8  # sets of shapes that stay compiled
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}


def line(error: BaseException) -> str:
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


def load(source: Source, match: Match) -> tuple[Any, Any]:
    """(the core, the model) after our own reader has passed the XML. Errors: CorruptModel, ConversionError."""
    graph = ir.read(source, match)
    import openvino

    core = openvino.Core()
    xml, weights = ir.files_of(match)
    try:
        model = core.read_model(str(source.path(xml)), str(source.path(weights)) if weights else "")
    except Exception as error:  # whatever OpenVINO raises over a file
        raise CorruptModel(f"OpenVINO {openvino.get_version()} does not read {graph.file}: {line(error)}") from error
    return core, model


def read(source: Source, match: Match, options: ModelOptions) -> Conversion:
    """The signature of the IR as OpenVINO runs it. Errors: ConversionError."""
    import openvino

    graph = ir.read(source, match)
    _, model = load(source, match)
    inputs = exported.aliased([_parameter(graph, layer) for layer in graph.of_type("Parameter")], options.inputs)
    outputs = []
    for (name, _), port in zip(_results(graph), model.outputs, strict=True):
        kind = ir.TYPES.get(port.get_element_type().to_string(), "")
        if not kind:
            raise ConversionError(f"output {name!r} is {port.get_element_type()}, which no client could be sent.")
        partial = port.get_partial_shape()
        shape: Shape | None = None
        if partial.rank.is_static:
            shape = tuple(None if size.is_dynamic else int(size.get_length()) for size in partial)
        batch = bool(shape) and shape is not None and shape[0] is None
        symbols = ("batch" if batch else "", *([""] * (len(shape) - 1))) if shape else ()
        outputs.append(TensorSpec(name, kind, shape, name, symbols))
    preprocess = options.preprocess.to_json() if options.preprocess else None
    signature = Signature(inputs, exported.shown(outputs, options), preprocess=preprocess)
    versions = {"openvino": openvino.get_version(), "numpy": np.__version__}
    return Conversion(NATIVE, (signature,), tuple(_facts(graph)), versions=versions)


class Compiled(Oracle):
    """The model on OpenVINO's CPU plug-in, compiled for each set of shapes that comes.

    Compiled once for sizes left free, OpenVINO 2026.4 ends its process over some sizes that a model does not take
    (a window larger than what it slides over), and after others answers nonsense; compiled for given sizes it says so.
    Errors of the constructor: CorruptModel, ConversionError.
    """

    def __init__(self, source: Source, match: Match, signature: Signature) -> None:
        import openvino

        graph = ir.read(source, match)
        self.name = f"OpenVINO {openvino.get_version().partition('-')[0]}"
        self._signature = signature
        self._core, self._model = load(source, match)
        self._compiled: dict[tuple[tuple[int, ...], ...], Any] = {}
        parameters = [_parameter(graph, layer).tensor for layer in graph.of_type("Parameter")]
        self._places = {name: place for place, name in enumerate(parameters)}
        self._outputs: dict[str, int] = {}
        for place, (name, _) in enumerate(_results(graph)):
            self._outputs[name] = self._outputs[f"{name}_out" if name in self._places else name] = place
        if not self._model.is_dynamic():
            try:
                self._for(tuple(tuple(port.get_shape()) for port in self._model.inputs))
            except Exception as error:  # whatever OpenVINO raises over a model
                raise ConversionError(f"{self.name} does not compile {graph.file}: {line(error)}") from error

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever OpenVINO raises for values that the model does not take."""
        given = [np.ascontiguousarray(inputs[s.name]).reshape(inputs[s.name].shape) for s in self._signature.inputs]
        by_place = {self._places[s.tensor]: array for s, array in zip(self._signature.inputs, given, strict=True)}
        ordered = [by_place[place] for place in range(len(self._places))]
        compiled = self._for(tuple(array.shape for array in ordered))
        found = compiled.create_infer_request().infer(dict(enumerate(ordered)))
        answers = [np.array(found[port]) for port in compiled.outputs]
        return {spec.name: answers[self._outputs[spec.tensor]] for spec in self._signature.outputs}

    def _for(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        if shapes not in self._compiled:
            model = self._model.clone()
            model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})
            while len(self._compiled) >= KEPT:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[shapes] = self._core.compile_model(model, "CPU", EXACT)
        return self._compiled[shapes]
