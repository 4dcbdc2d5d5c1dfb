"""The judges of Caffe models: OpenCV's dnn in Environment `opencv`, else our float64 interpreter.

Rule 1: OpenCV reads the files by its own road, unfused and without Winograd; nothing of our reader or emitter is used.
Rule 2: where OpenCV lacks a layer or computes it otherwise than Caffe (LACKING), the interpreter judges, and the
        report says why.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors, numpy_dtype
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Match, Oracle, Source
from gateway.formats.caffe import files_of
from gateway.formats.caffe.net import Layer, Net, needed, read

JUDGED = (
    "Convolution", "Deconvolution", "InnerProduct", "Pooling", "ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "AbsVal",
    "BNLL", "Power", "Dropout", "BatchNorm", "Scale", "LRN", "MVN", "Eltwise", "Concat", "Slice", "Flatten", "Reshape",
    "Softmax", "Crop", "Permute", "Normalize", "PriorBox", "ShuffleChannel", "ROIPooling", "ReLU6",
)  # fmt: skip
"""Layers that OpenCV computes as Caffe does, but for what LACKING says."""


def oracle(source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
    """The best judge that this process can be. Errors: ConversionError."""
    paths = _paths(source, match)
    if importlib.util.find_spec("cv2") is None:
        return InterpreterOracle(*paths, signature)
    why = lacking(_asked(read(*paths), signature), paths[0])
    if not why:
        try:
            return OpenCvOracle(*paths, signature)
        except ConversionError as error:
            why = error.message
    judge = InterpreterOracle(*paths, signature)
    judge.reason = why
    return judge


def exact(source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
    """Our interpreter, nothing rounded at the end. Errors: ConversionError."""
    return InterpreterOracle(*_paths(source, match), signature, rounded=False)


def _paths(source: Source, match: Match) -> tuple[Path | None, Path | None]:
    """(prototxt, caffemodel)"""
    files = files_of(match)
    structure = source.path(files.structure) if files.structure else None
    return structure, source.path(files.weights) if files.weights else None


def _asked(net: Net, signature: Signature) -> Net:
    """The part of a net that the signature's outputs need."""
    wanted = tuple(dict.fromkeys(_tensor(net, spec.tensor) for spec in signature.outputs))
    layers, _ = needed(net.layers, wanted)
    return Net(net.name, net.inputs, layers, wanted, net.file, net.weights_file)


def _tensor(net: Net, name: str) -> str:
    """The net's tensor behind a tensor of the artifact: one that was shown twice got a number."""
    there = net.tensors()
    if name in there:
        return name
    stem = name.rpartition("_")[0]
    if stem in there:
        return stem
    raise ConversionError(f"{net.file} has no blob {name!r}.")


def lacking(net: Net, structure: Path | None) -> str:
    """Why OpenCV cannot judge a net, or ""."""
    if structure is None:
        return "OpenCV reads no caffemodel without a prototxt"
    found: dict[str, str] = {}
    for layer in net.layers:
        why = f"OpenCV has no {layer.type}" if layer.type not in JUDGED else _otherwise(layer)
        if why:
            found.setdefault(why, layer.name)
    return "; ".join(f"{why} (layer {name!r})" for why, name in list(found.items())[:4])


def _otherwise(layer: Layer) -> str:
    """Where OpenCV 4.14 computes a layer otherwise than Caffe, or stops: seen, each with a row in the tests."""
    if layer.source:
        return f"OpenCV has no {layer.source}"
    rule = OTHERWISE.get(layer.type)
    said = rule(layer) if rule is not None else ""
    return f"OpenCV 4.14 {said}" if said else ""


def _pooling(layer: Layer) -> str:
    param = layer.param("pooling_param")
    if len(layer.tops) > 1:
        return "counts the places of maxima otherwise"
    if "round_mode" in param or "ceil_mode" in param:
        return "reads round_mode or ceil_mode otherwise"
    if param.last("global_pooling", False) and "pool" not in param:
        return "needs the kind of a global pooling"
    kernel = [param.last(name, param.last("kernel_size", 0)) for name in ("kernel_h", "kernel_w")]
    stride = [param.last(name, param.last("stride", 1)) for name in ("stride_h", "stride_w")]
    if any(s > k > 0 for s, k in zip(stride, kernel, strict=True)):
        return "gives 0 for a window behind the end"
    return ""


def _lrn(layer: Layer) -> str:
    param = layer.param("lrn_param")
    across = param.last("norm_region", "ACROSS_CHANNELS") == "ACROSS_CHANNELS"
    if across and param.last("k", 1.0) != 1.0:
        return "ignores k"
    return "has another alpha by default" if "alpha" not in param else ""


def _slice(layer: Layer) -> str:
    param = layer.param("slice_param")
    if "slice_point" not in param:
        return "does not cut into equal parts without slice_point"
    return "does not read slice_dim" if "slice_dim" in param else ""


def _convolution(layer: Layer) -> str:
    if len(layer.bottoms) > 1:
        return "has one bottom"
    return "has no one-dimensional ones" if layer.blobs and layer.blobs[0].ndim == 3 else ""


def _batch_norm(layer: Layer) -> str:
    if len(layer.blobs) == 5:
        return "does not know NVCaffe's scale and bias"
    return "divides by a factor of 0" if layer.blobs and not layer.blobs[-1].any() else ""


def _prior_box(layer: Layer) -> str:
    param = layer.param("prior_box_param")
    if not {"clip", "variance"} <= set(param) or len(param.all("variance")) != 4:
        return "has no defaults for clip and four variances"
    if {"img_size", "img_h", "img_w"} & set(param):
        return "reads the picture's own size"
    sizes = [*param.all("min_size"), *param.all("max_size")]
    if len(param.all("min_size")) > 1 or any(size != int(size) for size in sizes):
        return "takes one size, and not cut to a whole number"
    ratios = [1.0, *param.all("aspect_ratio")]
    if len({round(max(ratio, 1 / ratio), 5) for ratio in ratios if ratio}) < len(ratios):
        return "repeats ratios"
    return "takes one step" if {"step_h", "step_w"} & set(param) else ""


OTHERWISE: dict[str, Callable[[Layer], str]] = {
    "Pooling": _pooling, "LRN": _lrn, "Slice": _slice, "Convolution": _convolution, "BatchNorm": _batch_norm,
    "PriorBox": _prior_box,
    "InnerProduct": lambda layer: (
        "ignores transpose" if layer.param("inner_product_param").last("transpose", False)
        else "has only positive axes" if layer.param("inner_product_param").last("axis", 1) < 0 else ""
    ),
    "Deconvolution": lambda layer: (
        "ignores the dilation" if any(each != 1 for each in layer.param("convolution_param").all("dilation")) else ""
    ),
    "Scale": lambda layer: (
        "has other axes" if len(layer.bottoms) > 1 or {"axis", "num_axes"} & set(layer.param("scale_param")) else ""
    ),
    "Power": lambda layer: (
        "computes 0 otherwise"
        if 0 in (layer.param("power_param").last("power", 1.0), layer.param("power_param").last("scale", 1.0)) else ""
    ),
    "MVN": lambda layer: "has eps inside the root" if "eps" in layer.param("mvn_param") else "",
    "Normalize": lambda layer: "adds another eps" if layer.param("norm_param").last("eps", 0.0) > 1e-6 else "",
    "Concat": lambda layer: (
        "does not read concat_dim" if "concat_dim" in layer.param("concat_param") or len(layer.bottoms) < 2 else ""
    ),
    "Reshape": lambda layer: (
        "puts in no axis" if layer.param("reshape_param").last("num_axes", -1) == 0 else ""
    ),
    "Permute": lambda layer: (
        "wants all axes" if len(layer.param("permute_param").all("order")) < 4 else ""
    ),
}  # fmt: skip


class OpenCvOracle(Oracle):
    """OpenCV's dnn on the CPU. Errors of the constructor: ConversionError in OpenCV's words."""

    def __init__(self, structure: Path | None, weights: Path | None, signature: Signature) -> None:
        import cv2

        self._cv, self.name = cv2, f"OpenCV {cv2.__version__}"
        self._signature = signature
        self._source = read(structure, weights)
        cv2.setNumThreads(1)
        self._net = _opened(cv2, [str(path) for path in (structure, weights) if path is not None], self.name)
        self._places = {
            tensor: (self._own_name(layer), place)
            for layer in self._source.layers
            for place, tensor in enumerate(layer.tops)
        }
        self._wanted = [self._places[_tensor(self._source, spec.tensor)] for spec in signature.outputs]

    def _own_name(self, layer: Layer) -> str:
        """OpenCV calls a convolution as its top is called, everything else as the layer is."""
        top = layer.tops[0].partition("@")[0] if layer.tops else ""
        return next((name for name in (layer.name, top) if self._net.getLayerId(name) >= 0), layer.name)

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: cv2.error, in OpenCV's words, for inputs it does not accept."""
        found = self._forward(inputs, [name for name, _ in self._wanted])
        specs = zip(self._signature.outputs, self._wanted, strict=True)
        return {spec.name: found[name][place] for spec, (name, place) in specs}

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        layers = _asked(self._source, self._signature).layers
        found = self._forward(inputs, [self._own_name(layer) for layer in layers])
        for layer in layers:
            outputs = found[self._own_name(layer)]
            yield layer.name, layer.type, dict(zip(layer.tops, outputs, strict=False))

    def _forward(self, inputs: Tensors, names: Sequence[str]) -> dict[str, list[Array]]:
        for spec in self._signature.inputs:
            self._net.setInput(np.ascontiguousarray(inputs[spec.name]), spec.tensor)
        wanted = list(dict.fromkeys(names))
        found = self._net.forwardAndRetrieve(wanted)
        return {
            name: [np.array(each, copy=True) for each in outputs] for name, outputs in zip(wanted, found, strict=True)
        }


def _opened(cv2: Any, paths: Sequence[str], name: str) -> Any:
    try:
        net = cv2.dnn.readNetFromCaffe(*paths)
        net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        net.enableFusion(False)
        net.enableWinograd(False)
    except cv2.error as error:
        raise ConversionError(f"{name} does not read the source: {str(error).strip()[:200]}") from error
    return net


class InterpreterOracle(Oracle):
    """Our own interpreter, in float64. Its answers are rounded once, to the type the signature declares, or not."""

    name = "own interpreter (float64)"

    def __init__(
        self, structure: Path | None, weights: Path | None, signature: Signature, *, rounded: bool = True
    ) -> None:
        from gateway.formats.caffe.interpret import missing

        net = read(structure, weights)
        self._net, self._signature, self._rounds = _asked(net, signature), signature, rounded
        self._wanted = [_tensor(net, spec.tensor) for spec in signature.outputs]
        if unknown := missing(self._net):
            raise ConversionError(f"{self.name} does not know the layers {', '.join(unknown)}.")

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever numpy raises for inputs that do not fit."""
        from gateway.formats.caffe.interpret import interpret

        made = interpret(self._net, self._feeds(inputs), list(dict.fromkeys(self._wanted)))
        specs = zip(self._signature.outputs, self._wanted, strict=True)
        return {spec.name: self._rounded(made[name], spec.dtype) for spec, name in specs}

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        from gateway.formats.caffe.interpret import walk

        for name, kind, found in walk(self._net, self._feeds(inputs)):
            yield name, kind, {tensor: self._rounded(array, "float32") for tensor, array in found.items()}

    def _feeds(self, inputs: Tensors) -> Tensors:
        return {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}

    def _rounded(self, array: Array, kind: str) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(array).astype(numpy_dtype(kind)) if self._rounds else np.asarray(array)
