"""A SavedModel's signature as ONNX: frozen by TensorFlow, converted by tf2onnx.

    loader of TensorFlow 2, then the session of TensorFlow 1     real files break the first

Rule 1: an ONNX file holds one signature. Several that answer by one graph are one; what differs stays a SavedModel.
Rule 2: what cannot become ONNX stays a SavedModel unless its owner names a target, and the report says why.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.core.artifact import NATIVE, ONNX, SOURCE_FOLDER, Fact
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.base import Conversion, Match, Source
from gateway.formats.savedmodel import native, same, screen
from gateway.formats.savedmodel.metagraph import SignatureDef
from gateway.formats.savedmodel.native import Opened, framework, line
from gateway.formats.tensorflow import hub
from gateway.formats.tensorflow.hub import Port

STRINGS = "string"


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """MODEL_FILE in `out`; or the SavedModel's own signatures with the reason. Errors: ConversionError."""
    path = source.path(match.main)
    found = native.opened(path, options)
    try:
        return _onnx(path.parent, found, out)
    except ConversionError as error:
        if options.target:
            raise
        for made in out.iterdir():
            made.unlink()
        (out / SOURCE_FOLDER).mkdir()
        (out / SOURCE_FOLDER / native.TAGS_FILE).write_text(json.dumps(found.meta.tags))
        because = error.message.rstrip(".")
        facts = (*found.facts, Fact("kept as SavedModel", because, "conversion to ONNX"))
        said = f"it stays a SavedModel, which TensorFlow runs: {because}"
        return Conversion(NATIVE, found.signatures, facts, (*found.warnings, said), versions=hub.versions())


def _onnx(folder: Path, found: Opened, out: Path) -> Conversion:
    first, shown = found.good[0], found.signatures[0]
    if len(found.good) > 1 and not same.one(found.meta, found.good):
        keys = ", ".join(each.key for each in found.good)
        raise ConversionError(f"it has {len(found.good)} signatures that differ ({keys}), and an ONNX file holds one")
    texts = [spec.name for spec in (*shown.inputs, *shown.outputs) if spec.dtype == STRINGS]
    if texts:
        raise ConversionError(f"it works on texts ({', '.join(texts)}), for which ONNX has hardly an operator")
    hub.refuse_stateful([node.op for node in screen.reached(found.meta, [t.name for t in first.outputs])])
    graph, inputs, outputs, loader = _frozen(folder, found, first)
    model = hub.from_graph(graph, inputs, outputs)
    specs = hub.with_batch(shown.inputs, shown.outputs)
    signatures = tuple(_with(each, *specs) for each in found.signatures)
    hub.declare(model, *specs)
    quantised = hub.is_quantised(model)
    facts = [*found.facts, Fact("loaded by", loader, "TensorFlow")]
    facts += [Fact("quantised by", ", ".join(quantised), "graph")] if quantised else []
    facts += hub.write(model, out)
    return Conversion(ONNX, signatures, tuple(facts), found.warnings, (), bool(quantised), hub.versions())


def _with(signature: Signature, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> Signature:
    return replace(signature, inputs=tuple(inputs), outputs=tuple(outputs))


def _frozen(folder: Path, found: Opened, first: SignatureDef) -> tuple[Any, list[Port], list[Port], str]:
    """(GraphDef without variables, inputs, outputs, which loader). Errors: ConversionError in TensorFlow's words."""
    tf = framework()
    loaded = native.objects(folder, found.meta.tags) if found.meta.objects else None
    try:
        if loaded is not None:
            return *_of_function(loaded.signatures[first.key], first), "tf.saved_model.load"
        return *_of_session(tf, native.session(folder, found.meta.tags), first), "tf.compat.v1.saved_model.load"
    except Exception as error:  # whatever TensorFlow raises
        raise ConversionError(f"TensorFlow does not freeze it: {type(error).__name__}: {line(error)}") from error


def _of_function(function: Any, first: SignatureDef) -> tuple[Any, list[Port], list[Port]]:
    from tensorflow.python.framework.convert_to_constants import (  # noqa: TID251
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    given = sorted(function.structured_input_signature[1])
    taken = sorted(function.structured_outputs)
    by_input = dict(zip(given, [tensor.name for tensor in frozen.inputs]))
    by_output = dict(zip(taken, [tensor.name for tensor in frozen.outputs]))
    inputs = [Port(by_input[t.alias], t.alias, t.dtype) for t in first.inputs]
    outputs = [Port(by_output[t.alias], t.alias, t.dtype) for t in first.outputs]
    return frozen.graph.as_graph_def(), inputs, outputs


def _of_session(tf: Any, session: Any, first: SignatureDef) -> tuple[Any, list[Port], list[Port]]:
    names = [tensor.name.partition(":")[0] for tensor in first.outputs]
    definition = session.graph.as_graph_def(add_shapes=False)
    with session.graph.as_default():
        graph = tf.compat.v1.graph_util.convert_variables_to_constants(session, definition, list(dict.fromkeys(names)))
    kept = {node.name for node in graph.node}
    for tensor in first.inputs:  # an input that nothing reads is not kept
        if tensor.name.partition(":")[0] not in kept:
            graph.node.add().CopyFrom(next(n for n in definition.node if n.name == tensor.name.partition(":")[0]))
    sides = [[Port(t.name, t.alias, t.dtype) for t in side] for side in (first.inputs, first.outputs)]
    return graph, sides[0], sides[1]
