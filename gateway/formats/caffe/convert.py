"""From prototxt and caffemodel to model.onnx: read, choose outputs, refuse, ask, emit, check.

Rule 1: everything that is wrong with the net as a whole (layers without a function, fields that nobody knows,
        missing weights) is said before anything is emitted, all of it at once.
Rule 2: tensors keep the names of Net: a run here and one of a judge are compared by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.dtypes import BY_ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, CorruptModel, GatewayError, NeedsInputShape
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.caffe import FORMAT as CAFFE
from gateway.formats.caffe import Files, files_of, inputs, net
from gateway.formats.caffe.emit import FORMAT_NAME, Node, load_operators
from gateway.formats.caffe.net import Layer, Net
from gateway.formats.caffe.preprocessing import preprocess
from gateway.formats.onnx import weights
from gateway.graph.builder import GraphBuilder
from gateway.graph.emit import Emit
from gateway.graph.registry import converter, refuse_unknown

MODEL_FILE = "model.onnx"
WEIGHTED = ("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "Deconvolution", "InnerProduct", "Embed",
            "BatchNorm", "BN", "PReLU", "Normalize", "Parameter", "RNN", "LSTM")  # fmt: skip
"""Layers that do not compute anything without weights."""
BROKEN = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, AttributeError, RuntimeError,
          MemoryError)  # fmt: skip
SHOWN = 8


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Write MODEL_FILE (and its data file) into `out`. Errors: ConversionError."""
    load_operators()
    try:
        return _convert(source, match, options, out)
    except GatewayError:
        raise
    except BROKEN as error:
        raise CorruptModel(f"{match.main} breaks the converter: {type(error).__name__}: {error}") from error


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Inputs, outputs and layers. An input whose shape nothing says has none here."""
    found = read_net(source, match)
    facts = known_facts(found)
    try:
        specs = inputs.solve(found, options.inputs, facts)
    except NeedsInputShape as error:
        specs = tuple(TensorSpec(each.name, "float32", each.shape) for each in found.inputs)
        facts.append(Fact("shapes of inputs", "not known", error.explain()))
    counts = Counter(layer.type for layer in found.layers)
    outputs = tuple(TensorSpec(name, "float32", None) for name in found.outputs)
    return Inspection(specs, outputs, dict(sorted(counts.items())), tuple(facts))


def read_net(source: Source, match: Match) -> Net:
    files = files_of(match)
    structure = source.path(files.structure) if files.structure else None
    return net.read(structure, source.path(files.weights) if files.weights else None)


def cut(found: Net, options: ModelOptions) -> Net:
    """The net with the outputs that the owner wants, and what they need. Errors: ConversionError."""
    if not options.outputs:
        return found
    there = found.tensors()
    for option in options.outputs:
        if option.own_name not in there:
            raise ConversionError(
                f"{found.file} has no blob {option.own_name!r}.{did_you_mean(option.own_name, there)}",
                hint=f"Its last ones are {', '.join(there[-SHOWN:])}.",
            )
    wanted = tuple(dict.fromkeys(option.own_name for option in options.outputs))
    layers, _ = net.needed(found.layers, wanted)
    used = {bottom for layer in layers for bottom in layer.bottoms} | set(wanted)
    return Net(
        found.name, tuple(each for each in found.inputs if each.name in used), layers, wanted, found.file,
        found.weights_file, found.version, found.unused, found.left_out,
    )  # fmt: skip


def _convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    whole = read_net(source, match)
    found = cut(whole, options)
    refuse(found, files_of(match))
    facts = known_facts(whole)
    warnings: list[str] = []
    specs = inputs.solve(found, options.inputs, facts)
    if not found.outputs:
        raise ConversionError(f"{found.file} has no outputs: every blob is read by another layer.")
    graph = Emit(GraphBuilder(FORMAT_NAME, name=found.name or Path(match.main).stem))
    tensors = emit(graph, found, specs)
    shown = {option.own_name: option.name for option in options.outputs}
    outputs = tuple(_output(graph, tensors, name, shown.get(name, name)) for name in found.outputs)
    means = [source.path(name) for name in files_of(match).means]
    record = options.preprocess.to_json() if options.preprocess else preprocess(found, specs, means, facts, warnings)
    warnings += [*_doubtful(found), *graph.warnings]
    save(graph, out, facts)
    signature = Signature(specs, outputs, preprocess=record)
    versions = _versions()
    return Conversion("onnx", (signature,), tuple(facts), tuple(warnings), found.unused, versions=versions)


def refuse(found: Net, files: Files) -> None:
    """Errors: UnsupportedOps, ConversionError: what the net as a whole cannot be."""
    load_operators()
    refuse_unknown(FORMAT_NAME, (layer.type for layer in found.layers))
    strange = [f"{layer.name!r} ({layer.type}): {', '.join(layer.unknown)}" for layer in found.layers if layer.unknown]
    if strange and files.structure:
        raise ConversionError(
            f"{found.file}: {len(strange)} layers have fields that are not known: {_some(strange)}.",
            hint="A fork of Caffe reads them; what they mean may change numbers. Remove those that do not.",
        )
    missing = [layer.name for layer in found.layers if not layer.blobs and _weighted(layer)]
    if missing and not files.weights:
        raise ConversionError(
            f"{found.file} needs the weights of {len(missing)} layers ({_some(missing)}), and no .caffemodel lies "
            "beside it.",
            hint="Add the .caffemodel that was trained with it.",
        )
    if missing:
        raise ConversionError(
            f"{found.weights_file} has no weights of {len(missing)} layers of {found.file}: {_some(missing)}.",
            hint=_renamed(found),
        )


def _weighted(layer: Layer) -> bool:
    if layer.type in ("Scale", "Bias"):
        return len(layer.bottoms) == 1 or bool(layer.param("scale_param").last("bias_term", False))
    return layer.type in WEIGHTED


def _renamed(found: Net) -> str:
    said = "The files may be of two models: weights are found by the name of their layer."
    return f"{said} It has weights of {_some(found.unused)} too." if found.unused else said


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def emit(graph: Emit, found: Net, specs: Sequence[TensorSpec]) -> dict[str, str]:
    """Every layer in order. Returns the ONNX tensor of each tensor of the net."""
    tensors: dict[str, str] = {}
    for spec in specs:
        assert spec.shape is not None
        tensors[spec.tensor] = graph.input(spec.tensor, spec.dtype, spec.shape, spec.symbols)
    for layer in found.layers:
        bottoms = tuple(tensors[name] for name in layer.bottoms)
        node = Node(layer.type, layer.name, bottoms, layer.params, layer.blobs, len(layer.tops))
        made = graph.call(node, converter(FORMAT_NAME, layer.type), layer.tops)
        if len(made) < len(layer.tops):
            raise node.error(f"makes {len(made)} tops, and {len(layer.tops)} are named")
        tensors |= dict(zip(layer.tops, made, strict=False))
    return tensors


def _output(graph: Emit, tensors: dict[str, str], name: str, public: str) -> TensorSpec:
    tensor = tensors[name]
    tensor_type = graph.tensor_type(tensor)
    kind, shape = BY_ONNX[tensor_type.elem_type].name, graph.shape(tensor)
    symbols = tuple(dim.dim_param for dim in tensor_type.shape.dim) if shape is not None else ()
    own = graph.builder.unique(name) if tensor != name else name
    sizes: Any = None if shape is None else [s if s is not None else (symbols[i] or None) for i, s in enumerate(shape)]
    graph.builder.output(tensor, own, kind, sizes)
    return TensorSpec(public, kind, shape, own, symbols)


def save(graph: Emit, out: Path, facts: list[Fact]) -> None:
    """model.onnx, with its weights beside it where a protobuf could not hold them."""
    total = graph.builder.weight_bytes()
    facts.append(Fact("weights", f"{total} bytes", "model file"))
    if total < weights.INLINE_LIMIT:
        graph.builder.save(out / MODEL_FILE)
        return
    model = graph.builder.build()
    size = weights.spill(model, out, out)
    facts.append(Fact("external data", f"{weights.DATA_FILE}, {size} bytes, page-aligned", "size of the weights"))
    (out / MODEL_FILE).write_bytes(model.SerializeToString())


def known_facts(found: Net) -> list[Fact]:
    facts = [Fact("written as", f"Caffe {found.version}", found.file)]
    if found.left_out:
        facts.append(Fact("layers left out", _some(found.left_out), "inference does not need them"))
    losses = [f"{layer.tops[0]} of {layer.name} ({layer.source})" for layer in found.layers if layer.source]
    if losses:
        facts.append(Fact("losses", _some(losses), "what is left of a loss is its activation"))
    return facts


def _doubtful(found: Net) -> list[str]:
    """What the owner should read beside the verdict."""
    said = []
    for layer in found.layers:
        bad = sum(int(np.isnan(blob).sum()) for blob in layer.blobs)
        if bad:
            said.append(f"weights of layer {layer.name!r} hold NaN ({bad} numbers)")
        if layer.unknown:
            said.append(
                f"layer {layer.name!r} ({layer.type}) has fields that are not known: {', '.join(layer.unknown)}"
            )
    return said


def _versions() -> dict[str, str]:
    import onnx

    return {"onnx": onnx.__version__, "numpy": np.__version__, "converter": f"{CAFFE.name} {CAFFE.revision}"}
