"""A tf.js model through TensorFlow: a graph model as a graph of TensorFlow 1, a layers model as a model of Keras 2.

Rule 1: the judge reads files and manifest anew and computes with TensorFlow's own kernels; what it shares with the
        conversion is how model.json becomes a graph. Vectors of the owner, answered by tf.js, prove that too.
Rule 2: a layers model's config is walked as that of a Keras file is, before Keras is imported.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.dtypes import Array
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Conversion, Inspection, Match, Oracle, Source
from gateway.formats.keras import config
from gateway.formats.keras import model as keras_model
from gateway.formats.keras.model import Loaded
from gateway.formats.savedmodel.native import framework
from gateway.formats.tfgraph import model as graph_model
from gateway.formats.tfgraph.model import Ready
from gateway.formats.tfgraph.plain import Written
from gateway.formats.tfjs import graph, weights

KERAS = "2 (tf.js)"
SHOWN = 8
CELL = re.compile(r"/(lstm|gru|simple_rnn)_cell(_\d+)?(?=/)")


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Errors: ConversionError, CorruptModel."""
    found = weights.topology(source.path(match.main))
    facts = [Fact(key, str(found[key])[:200], match.main) for key in ("format", "generatedBy", "convertedBy")
             if found.get(key)]  # fmt: skip
    if not is_graph(found):
        read = walked(found, match)
        facts += [Fact("refused", problem, "config") for problem in dict.fromkeys((*read.absent, *read.runs))]
        return Inspection((), (), dict(sorted(read.classes.items())), tuple(facts))
    ready = prepare(source, match, options)
    counts = Counter(str(node.get("op")) for node in found["modelTopology"]["node"])
    return Inspection(ready.inputs, ready.outputs, dict(sorted(counts.items())), (*facts, *ready.facts))


def convert(source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
    """ONNX, or the signature of what TensorFlow or Keras will run. Errors: ConversionError."""
    if is_graph(weights.topology(source.path(match.main))):
        return graph_model.convert(prepare(source, match, options), options, target, out)
    return keras_model.convert(load(source, match), options, target, out)


def judge(source: Source, match: Match, signature: Signature) -> Oracle:
    """Errors: ConversionError."""
    if is_graph(weights.topology(source.path(match.main))):
        return graph_model.Judge(partial(prepare, source, match), signature)
    return keras_model.Judge(load(source, match), signature)


def is_graph(found: Mapping[str, Any]) -> bool:
    return "node" in found["modelTopology"]


def prepare(source: Source, match: Match, options: ModelOptions) -> Ready:
    """A graph model, screened, as TensorFlow has it. Errors: ConversionError."""
    found = weights.topology(source.path(match.main))
    if found.get("modelInitializer"):
        raise ConversionError(
            "the tf.js model has an initialiser, which fills its tables when it is loaded; that is not read here.",
            hint="Drop the SavedModel that it was made from.",
        )
    data = graph.graphdef(found["modelTopology"], weights.read(source, match, found))
    named = _outputs(found)
    written = Written(data, match.main, hinted=tuple(named))
    asked = options.outputs or tuple(TensorOption(name, tensor) for tensor, name in named.items() if name)
    return graph_model.ready(written, replace(options, outputs=asked))


def _outputs(found: Mapping[str, Any]) -> dict[str, str]:
    """Tensors that the model's signature names as outputs -> its own name of each."""
    told = found.get("signature") or (found.get("userDefinedMetadata") or {}).get("signature") or {}
    outputs = told.get("outputs") if isinstance(told, dict) else None
    made: dict[str, str] = {}
    for name, info in (outputs or {}).items() if isinstance(outputs, dict) else ():
        tensor = str(info.get("name") or name) if isinstance(info, dict) else str(name)
        made[tensor if ":" in tensor else f"{tensor}:0"] = str(name).removesuffix(":0")
    return made


def walked(found: Mapping[str, Any], match: Match) -> config.Config:
    """The config of a layers model. Errors: CorruptModel."""
    topology = found["modelTopology"]
    told = topology.get("model_config", topology)
    return config.walked(KERAS, told, match.main)


def load(source: Source, match: Match) -> Loaded:
    """A layers model as Keras 2 has it, weights and all. Errors: ConversionError."""
    found = weights.topology(source.path(match.main))
    read = walked(found, match)
    config.refuse(read, trusted=False)
    values = weights.read(source, match, found)
    framework()
    import tf_keras

    def made() -> Any:
        data = _as_keras_has_it(copy.deepcopy(dict(read.data)))
        kind = {"Sequential": tf_keras.Sequential}.get(str(data["class_name"]), tf_keras.Model)
        model = kind.from_config(data["config"] if isinstance(data["config"], dict) else {"layers": data["config"]})
        _fill(model, values)
        return model

    return keras_model.built(made, tf_keras.__version__, read)


def _as_keras_has_it(data: Any) -> Any:
    """What tf.js leaves out because it knows one way only: its GRU has the reset gate before the product."""
    if isinstance(data, dict):
        inner = data.get("config")
        if data.get("class_name") in ("GRU", "GRUCell") and isinstance(inner, dict):
            inner.setdefault("reset_after", False)
        return {key: _as_keras_has_it(value) for key, value in data.items()}
    return [_as_keras_has_it(value) for value in data] if isinstance(data, list) else data


def _plain(name: str) -> str:
    """A weight's name without what Keras 2 has in it and tf.js has not: a port, and the cell of a recurrent layer."""
    return CELL.sub("", name.removesuffix(":0"))


def _fill(model: Any, values: Mapping[str, Array]) -> None:
    """Weights by name; all of them, and none too many. Errors: ConversionError naming what does not fit."""
    wanted = {_plain(str(weight.name)): weight for weight in model.weights}
    if len(wanted) != len(model.weights) or len({_plain(name) for name in values}) != len(values):
        raise ConversionError(
            "two weights of the tf.js layers model have one name, so that it cannot be told whose is whose."
        )
    left = {_plain(name): value for name, value in values.items()}
    absent, odd, given = [], [], []
    for name, weight in wanted.items():
        value = left.pop(name, None)
        if value is None:
            absent.append(name)
        elif tuple(value.shape) != tuple(weight.shape):
            odd.append(f"{name} is {list(value.shape)}, the layer has {list(weight.shape)}")
        else:
            given.append((weight, value))
    problems = [f"the manifest lacks {', '.join(absent[:SHOWN])}"] if absent else []
    problems += odd[:SHOWN]
    problems += [f"no layer has {', '.join(list(left)[:SHOWN])}"] if left else []
    if problems:
        raise ConversionError(f"the weights do not fit the layers of the tf.js model: {'; '.join(problems)}.")
    for weight, value in given:
        weight.assign(np.asarray(value))
