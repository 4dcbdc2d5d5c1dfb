"""The judges of Darknet models: OpenCV in Environment `opencv`, else our float64 interpreter in `base`.

Rule 1: OpenCV reads the files by its own road (opencv.py); heads and boxes come from two of its layers.
Rule 2: what OpenCV lacks or computes otherwise is named, and the interpreter judges: ConversionError here sends the
        question to the next Environment.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.base import Match, Oracle, Source
from gateway.formats.darknet import convert, decode, opencv
from gateway.formats.darknet.network import INPUT, Layer, Network


def oracle(source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
    """The best judge that this process can be. Errors: ConversionError."""
    network = convert.read(source, match, options)
    if importlib.util.find_spec("cv2") is None:
        return InterpreterOracle(network, signature)
    if why := opencv.why_not(network):
        raise ConversionError(f"OpenCV does not judge it: {why}.")
    files = convert.Files.of(match)
    stored = source.path(files.weights) if files.weights else None
    return OpencvOracle(network, opencv.Reading(network, source.path(files.cfg), stored), signature)


def exact(source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
    """Our interpreter, nothing rounded at the end. Errors: ConversionError."""
    return InterpreterOracle(convert.read(source, match, options), signature, rounded=False)


def layer_of(network: Network, spec: TensorSpec) -> Layer | None:
    """The layer that an output shows; None for boxes and scores."""
    name = spec.tensor.removesuffix(convert.VALUES)
    return next((layer for layer in network.layers if layer.name == name), None)


def given(network: Network, inputs: Tensors, signature: Signature) -> Array:
    """The input as (N, channels, height, width)."""
    array = inputs[signature.inputs[0].name]
    return array.reshape(array.shape[0], *network.input)


def shaped(array: Array, spec: TensorSpec) -> Array:
    """An answer in the rank that the signature gives it."""
    return array.reshape(array.shape[0], -1) if spec.shape is not None and len(spec.shape) == 2 else array


class OpencvOracle(Oracle):
    """OpenCV's own layers, float32, row after row. Errors of run: cv2.error in OpenCV's words."""

    def __init__(self, network: Network, reading: opencv.Reading, signature: Signature) -> None:
        self.name = reading.name
        self._network, self._reading, self._signature = network, reading, signature
        self._wants = {spec.name: layer_of(network, spec) for spec in signature.outputs}

    def run(self, inputs: Tensors) -> Tensors:
        data = given(self._network, inputs, self._signature)
        wanted = [layer for layer in self._wants.values() if layer is not None]
        boxes = any(layer is None for layer in self._wants.values())
        rows = [self._row(found) for found in self._reading.answers(data, self._asked(wanted, boxes=boxes))]
        made = opencv.tensors_of(rows)
        answer = {}
        for spec in self._signature.outputs:
            layer = self._wants[spec.name]
            answer[spec.name] = shaped(made[layer.name if layer else spec.tensor], spec).astype(np.float32)
        return answer

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        data = given(self._network, inputs, self._signature)
        every = list(self._network.layers)
        boxes = any(layer is None for layer in self._wants.values())
        rows = [self._row(found) for found in self._reading.answers(data, self._asked(every, boxes=boxes))]
        made = opencv.tensors_of(rows)
        for layer in every:
            yield layer.name, layer.type, {layer.name: made[layer.name].astype(np.float32)}
        if boxes:
            last = decode.heads(self._network)[-1]
            yield last.name, f"{last.type} boxes", {name: made[name].astype(np.float32) for name in ("scores", "boxes")}

    def _asked(self, layers: list[Layer], *, boxes: bool) -> list[int]:
        """Indices of layers whose answer is needed: of a head what it reads, for boxes the head itself."""
        wanted = {layer.sources[0] if layer.type in decode.HEADS else layer.index for layer in layers}
        for layer in decode.heads(self._network) if boxes else ():
            wanted |= {layer.index, layer.sources[0]}
        return sorted(wanted)

    def _row(self, found: dict[int, Array]) -> dict[str, Array]:
        """One row's answers by layer name, and boxes and scores where heads were asked for."""
        made: dict[str, Array] = {}
        heads = decode.heads(self._network)
        for index, array in found.items():
            layer = self._network.layers[index]
            if layer.type not in decode.HEADS:
                made[layer.name] = array.reshape(1, *layer.output)
        for layer in heads:
            source = self._network.layers[layer.sources[0]]
            if source.name in made:
                made[layer.name] = opencv.raw_head(self._network, layer, made[source.name])
        rows = [found[layer.index] for layer in heads if layer.index in found]
        if rows and len(rows) == len(heads):
            joined = np.concatenate([row.reshape(-1, row.shape[-1]) for row in rows], 0)
            made["boxes"], made["scores"] = joined[None, :, :4], joined[None, :, 5:]
            if any(
                layer.type == "region" for layer in heads
            ):  # suppressed inside of OpenCV's layer, whatever it is told
                made["scores"] = decode.decoded(self._network, made)[0]
        return made


class InterpreterOracle(Oracle):
    """Our own interpreter, in float64. Its answers are rounded once, to float32, or not."""

    name = "own interpreter (float64)"

    def __init__(self, network: Network, signature: Signature, *, rounded: bool = True) -> None:
        self._interpreter = interpreter()
        self._network, self._signature, self._rounds = network, signature, rounded
        self._wants = {spec.name: layer_of(network, spec) for spec in signature.outputs}
        if unknown := self._interpreter.missing(network):
            raise ConversionError(f"{self.name} does not know the layers {', '.join(sorted(unknown))}")

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever numpy raises for inputs that do not fit."""
        layers = [layer for layer in self._wants.values() if layer is not None]
        if any(layer is None for layer in self._wants.values()):
            layers += decode.heads(self._network)
        names = list(dict.fromkeys(layer.name for layer in layers))
        made = dict(
            self._interpreter.interpret(self._network, {INPUT: given(self._network, inputs, self._signature)}, names)
        )
        if any(layer is None for layer in self._wants.values()):
            made["scores"], made["boxes"] = decode.decoded(self._network, made)
        answer = {}
        for spec in self._signature.outputs:
            layer = self._wants[spec.name]
            array = shaped(np.asarray(made[layer.name if layer else spec.tensor]), spec)
            answer[spec.name] = rounded(array) if self._rounds else array
        return answer

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        data = given(self._network, inputs, self._signature)
        made: dict[str, Array] = {}
        heads = decode.heads(self._network)
        for name, kind, found in self._interpreter.walk(self._network, {INPUT: data}):
            made |= {tensor: array for tensor, array in found.items() if kind in decode.HEADS}
            yield name, kind, {tensor: rounded(array) for tensor, array in found.items()}
        if any(layer is None for layer in self._wants.values()):
            scores, boxes = decode.decoded(self._network, made)
            yield heads[-1].name, f"{heads[-1].type} boxes", {"scores": rounded(scores), "boxes": rounded(boxes)}


def interpreter() -> Any:
    """Our interpreter's module. Errors: ConversionError where it is not."""
    if importlib.util.find_spec("gateway.formats.darknet.interpret") is None:
        raise ConversionError("there is no interpreter of Darknet's layers yet.")
    return importlib.import_module("gateway.formats.darknet.interpret")


def rounded(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(np.float32)
