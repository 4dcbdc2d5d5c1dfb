"""A Keras file through Keras itself: loaded, frozen for tf2onnx, and answering as judge and as runtime.

Rule 1: files of Keras 2 are read by tf_keras, which is Keras 2; those of Keras 3 by keras.
Rule 2: the config has been walked (config.py) before anything is loaded; nothing is compiled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, ONNX, SOURCE_FOLDER, Fact
from gateway.core.dtypes import Array, Tensors, dtype
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.base import Conversion, Inspection, Match, Oracle, Source
from gateway.formats.keras import config
from gateway.formats.keras.config import Config
from gateway.formats.savedmodel.native import framework, line
from gateway.formats.tensorflow import hub, names
from gateway.formats.tensorflow.hub import Port

TRUSTED_FILE = "trusted.json"


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """What the config says; nothing is loaded. Errors: ConversionError."""
    found = config.read(source.path(match.main))
    facts = [Fact("Keras", found.version, "model file")]
    facts += [Fact("refused unless trusted", problem, "config") for problem in dict.fromkeys(found.runs)]
    facts += [Fact("refused", problem, "config") for problem in dict.fromkeys(found.absent)]
    return Inspection((), (), dict(sorted(found.classes.items())), tuple(facts))


@dataclass(frozen=True)
class Loaded:
    """A model and its sides: `inputs`, `outputs` under public names, in Keras' order."""

    model: Any
    version: str  # of the Keras that has it
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    config: Config


def load(path: Path, options: ModelOptions) -> Loaded:
    """Errors: ConversionError in Keras' words."""
    found = config.read(path)
    config.refuse(found, trusted=options.trusted)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    framework()
    keras = _keras(found)
    told = {"safe_mode": not options.trusted} if not found.legacy or path.suffix == ".keras" else {}
    return built(lambda: keras.models.load_model(str(path), compile=False, **told), keras.__version__, found)


def built(make: Callable[[], Any], version: str, found: Config) -> Loaded:
    """What `make` builds with Keras `version`, of a config that was refused or let through before. Errors: as load."""
    try:
        model = make()
        inputs, outputs = _sides(model)
    except ConversionError:
        raise
    except Exception as error:  # whatever Keras raises
        raise ConversionError(
            f"Keras {version} does not load the file of Keras {found.version}: {line(error)}",
            hint="With the Keras that wrote it, write the graph with model.export(FOLDER) and drop that folder.",
        ) from error
    return Loaded(model, version, inputs, outputs, found)


def convert(loaded: Loaded, options: ModelOptions, target: str, out: Path) -> Conversion:
    """ONNX, or the signature of what Keras itself will run. Errors: ConversionError."""
    own = {spec.name: spec.tensor for spec in (*loaded.inputs, *loaded.outputs)}
    signature = names.named(Signature(loaded.inputs, loaded.outputs), options, own)
    facts = [Fact("Keras", f"{loaded.config.version}, read by {loaded.version}", "model file")]
    facts.append(Fact("parameters", str(loaded.model.count_params()), "Keras"))
    versions = hub.versions() | {"keras": loaded.version}
    if target == NATIVE:
        _trust(options, out)
        return Conversion(NATIVE, (signature,), tuple(facts), versions=versions)
    try:
        return _onnx(loaded, signature, facts, versions, out)
    except ConversionError as error:
        if options.target:
            raise
        for made in out.iterdir():
            made.unlink()
        _trust(options, out)
        because = error.message.rstrip(".")
        facts.append(Fact("kept as Keras", because, "conversion to ONNX"))
        said = f"it stays a Keras model, which Keras itself runs: {because}"
        return Conversion(NATIVE, (signature,), tuple(facts), (said,), versions=versions)


def _trust(options: ModelOptions, out: Path) -> None:
    """The owner's leave goes with the artifact: it is what opens the file again."""
    if options.trusted:
        (out / SOURCE_FOLDER).mkdir()
        (out / SOURCE_FOLDER / TRUSTED_FILE).write_text("true\n")


class Judge(Oracle):
    """The model, called as Keras calls it."""

    def __init__(self, loaded: Loaded, signature: Signature) -> None:
        self._loaded = loaded
        self._signature = signature
        self.name = f"Keras {self._loaded.version}"

    def run(self, inputs: Tensors) -> Tensors:
        tf = framework()
        given = {spec.tensor: tf.constant(inputs[spec.name]) for spec in self._signature.inputs}
        answers = _call(self._loaded, given)
        return {spec.name: _array(spec, answers[spec.tensor]) for spec in self._signature.outputs}


def _onnx(loaded: Loaded, signature: Signature, facts: list[Fact], versions: dict[str, str], out: Path) -> Conversion:
    texts = [spec.name for spec in (*signature.inputs, *signature.outputs) if dtype(spec.dtype).kind == "s"]
    if texts:
        raise ConversionError(f"it works on texts ({', '.join(texts)}), for which ONNX has hardly an operator")
    graph, inputs, outputs = _frozen(loaded)
    hub.refuse_stateful([node.op for node in _nodes(graph)])
    wanted = {spec.tensor for spec in signature.outputs}
    model = hub.from_graph(graph, inputs, [port for port in outputs if port.name in wanted])
    hub.declare(model, loaded.inputs, loaded.outputs)
    quantised = hub.is_quantised(model)
    facts += [Fact("quantised by", ", ".join(quantised), "graph")] if quantised else []
    facts += hub.write(model, out)
    return Conversion(ONNX, (signature,), tuple(facts), quantised=bool(quantised), versions=versions)


def _nodes(graph: Any) -> list[Any]:
    return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]


def _frozen(loaded: Loaded) -> tuple[Any, list[Port], list[Port]]:
    from tensorflow.python.framework.convert_to_constants import (  # noqa: TID251
        convert_variables_to_constants_v2,
    )

    tf = framework()
    specs = [tf.TensorSpec(spec.shape, _tensorflow(tf, spec.dtype), name=f"input_{n}")
             for n, spec in enumerate(loaded.inputs)]  # fmt: skip
    keys = [spec.tensor for spec in loaded.inputs]

    def called(*tensors: Any) -> list[Any]:
        answers = _call(loaded, dict(zip(keys, tensors)))
        return [tf.identity(answers[spec.tensor]) for spec in loaded.outputs]

    try:
        function = tf.function(called, autograph=False).get_concrete_function(*specs)
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    except Exception as error:  # whatever Keras and TensorFlow raise
        raise ConversionError(f"TensorFlow does not freeze it: {type(error).__name__}: {line(error)}") from error
    inputs = [Port(t.name, spec.tensor, spec.dtype) for t, spec in zip(frozen.inputs, loaded.inputs)]
    outputs = [Port(t.name, spec.tensor, spec.dtype) for t, spec in zip(frozen.outputs, loaded.outputs)]
    return frozen.graph.as_graph_def(), inputs, outputs


def _call(loaded: Loaded, given: Mapping[str, Any]) -> dict[str, Any]:
    """Answers by the outputs' own names. Keras takes its inputs in order, or nested as the author had them."""
    ordered = [given[spec.tensor] for spec in loaded.inputs]
    model = loaded.model
    nested = getattr(model, "_inputs_struct", None)
    if isinstance(nested, dict):  # Keras 3, made with a dict of inputs
        keys = sorted(nested) if len(nested) == len(ordered) else list(nested)
        by_tensor = {id(tensor): value for tensor, value in zip(model.inputs, ordered)}
        answers = model({key: by_tensor[id(nested[key])] for key in keys}, training=False)
    elif isinstance(getattr(model, "input", None), dict):
        named = {tensor.name: value for tensor, value in zip(model.inputs, ordered)}
        answers = model({key: named[tensor.name] for key, tensor in model.input.items()}, training=False)
    else:
        answers = model(ordered if len(ordered) > 1 else ordered[0], training=False)
    flat = _flat(answers)
    return {spec.tensor: tensor for spec, tensor in zip(loaded.outputs, flat, strict=True)}


def _flat(answers: Any) -> list[Any]:
    tf = framework()
    return list(tf.nest.flatten(answers))


def _sides(model: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Errors: ConversionError for a model that was never called, or with tensors that no client can send."""
    if not getattr(model, "inputs", None):
        raise ConversionError(
            "the Keras model has no inputs: it was saved before it was built.",
            hint="Call it once on an example, then save it; or write the graph with model.export(FOLDER).",
        )
    made_in = [_spec(tensor, name) for tensor, name in zip(model.inputs, _input_names(model))]
    outputs = _flat(model.outputs)
    made_out = [_spec(tensor, name) for tensor, name in zip(outputs, _output_names(model, len(outputs)))]
    inputs, outs = hub.with_batch(made_in, made_out)
    return tuple(inputs), tuple(outs)


def _input_names(model: Any) -> list[str]:
    given = getattr(model, "input_names", None)
    found = given if given and len(given) == len(model.inputs) else [tensor.name for tensor in model.inputs]
    return names.public([str(name).partition(":")[0] for name in found], "input")


def _output_names(model: Any, count: int) -> list[str]:
    given = getattr(model, "output_names", None)
    if given and len(given) == count:
        return names.public([str(name) for name in given], "output")
    return [f"output_{number}" for number in range(count)]


def _spec(tensor: Any, name: str) -> TensorSpec:
    if getattr(tensor, "sparse", False) or type(tensor).__name__ in ("RaggedTensor", "SparseTensor"):
        raise ConversionError(f"{name!r} is sparse or ragged, which no protocol carries.")
    kind = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
    sizes: Sequence[int | None] | None = None if tensor.shape is None else list(tensor.shape)
    return TensorSpec(name, dtype(kind).name, None if sizes is None else tuple(sizes), name)


def _array(spec: TensorSpec, tensor: Any) -> Array:
    found = tensor.numpy() if hasattr(tensor, "numpy") else tensor
    return np.asarray(found, object) if dtype(spec.dtype).kind == "s" else np.asarray(found)


def _tensorflow(tf: Any, kind: str) -> Any:
    return tf.as_dtype(dtype(kind).tensorflow)


def _keras(found: Config) -> Any:
    if found.legacy:
        import tf_keras

        return tf_keras
    import keras

    return keras
