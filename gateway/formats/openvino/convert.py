"""IR to ONNX, layer by layer. Runs in Environment `base`, without OpenVINO.

Rule 1: layers that have no function are named all together, before anything is emitted.
Rule 2: what only depends on constants and known sizes is computed here: OpenVINO writes shapes as subgraphs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import ONNX, Fact
from gateway.core.dtypes import BY_ONNX, Array, numpy_dtype
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, GatewayError, NeedsInputShape, UnsupportedOps
from gateway.formats import exported
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.onnx import weights
from gateway.formats.openvino import NAME, ir
from gateway.formats.openvino.ir import Graph, Layer
from gateway.graph.builder import GraphBuilder
from gateway.graph.emit import Emit
from gateway.graph.registry import converter, refuse_unknown

EDGES = ("Parameter", "Const", "Result")
NATIVELY = 'target = "native" in model.toml serves it as it is, by OpenVINO itself.'
FOLDED = 1 << 16  # elements: larger constants are computed at run time


@dataclass(frozen=True)
class Node:
    """A layer, ready for its function: attributes as text, inputs as ONNX tensors; "" for none."""

    op: str
    name: str
    opset: str
    attributes: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: int
    makes: tuple[str, ...] = ()  # types of its outputs

    @property
    def where(self) -> str:
        return f"OpenVINO layer {self.name!r} ({self.op})"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.attributes

    def text(self, key: str, default: str = "") -> str:
        return self.attributes.get(key, default)

    def flag(self, key: str, default: bool = False) -> bool:
        said = self.attributes.get(key)
        return default if said is None else said.lower() in ("true", "1")

    def number(self, key: str, default: float | None = None) -> float:
        said = self.attributes.get(key)
        if said is None and default is not None:
            return default
        return float(self.attributes[key])

    def ints(self, key: str, default: str | None = None) -> list[int]:
        said = self.attributes[key] if default is None else self.attributes.get(key, default)
        return [int(part) for part in said.split(",") if part.strip()]


def inspect(source: Source, match: Match) -> Inspection:
    graph = ir.read(source, match)
    counts = Counter(layer.type for layer in graph.layers if layer.type not in EDGES)
    inputs = tuple(_parameter(graph, layer) for layer in graph.of_type("Parameter"))
    outputs = tuple(TensorSpec(name, kind or "float32", None) for name, kind in _results(graph))
    return Inspection(inputs, outputs, dict(sorted(counts.items())), tuple(_facts(graph)))


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Write MODEL_FILE. Errors: ConversionError."""
    from gateway.formats.openvino import ops  # noqa: F401  the functions register themselves

    graph = ir.read(source, match)
    try:
        refuse_unknown(NAME, (layer.type for layer in graph.layers if layer.type not in EDGES))
    except UnsupportedOps as error:
        raise ConversionError(error.message, hint=NATIVELY) from error
    inputs = exported.aliased([_parameter(graph, layer) for layer in graph.of_type("Parameter")], options.inputs)
    inputs = tuple(_sized(spec, options) for spec in inputs)
    unknown = [spec.tensor for spec in inputs if spec.shape is None]
    if unknown:
        raise NeedsInputShape(graph.file, unknown, [f"{name}:float32[?,3,224,224]" for name in unknown])
    emit = Emit(GraphBuilder(NAME, name=Path(match.main).stem))
    tensors: dict[ir.Port, str] = {}
    for spec, layer in zip(inputs, graph.of_type("Parameter"), strict=True):
        assert spec.shape is not None
        tensors[layer.id, layer.outputs[0]] = emit.input(spec.tensor, spec.dtype, spec.shape, spec.symbols)
    facts = _facts(graph)
    outputs = _emit(emit, graph, tensors)
    wanted = exported.shown(outputs, options)
    for spec in outputs:
        if spec.tensor in {w.tensor for w in wanted}:
            shape = [s if s is not None else (spec.symbols[i] or None) for i, s in enumerate(spec.shape or ())]
            emit.builder.output(tensors["out", spec.tensor], spec.tensor, spec.dtype, shape)  # type: ignore[arg-type]
    total = emit.builder.weight_bytes()
    facts.append(Fact("weights", f"{total} bytes", "the .bin"))
    if total >= weights.INLINE_LIMIT:
        model = emit.builder.build()
        weights.spill(model, out, out)
        (out / exported.MODEL_FILE).write_bytes(model.SerializeToString())
    else:
        emit.builder.save(out / exported.MODEL_FILE)
    quantised = any(layer.type == "FakeQuantize" for layer in graph.layers)
    if quantised:
        facts.append(Fact("quantised by", "FakeQuantize", "graph"))
    import onnx

    preprocess = options.preprocess.to_json() if options.preprocess else None
    signature = Signature(inputs, wanted, preprocess=preprocess)
    versions = {"onnx": onnx.__version__, "numpy": np.__version__}
    return Conversion(ONNX, (signature,), tuple(facts), tuple(emit.warnings), (), quantised, versions)


def _facts(graph: Graph) -> list[Fact]:
    facts = [Fact("IR", f"version {graph.version}", graph.file)]
    halves = [layer for layer in graph.of_type("Const") if layer.attributes.get("element_type") == "f16"]
    if halves:
        facts.append(Fact("compressed weights", f"{len(halves)} constants in float16", "the .bin"))
    return facts


def _parameter(graph: Graph, layer: Layer) -> TensorSpec:
    """Errors: ConversionError for a type that no client could send."""
    kind = ir.TYPES.get(layer.attributes.get("element_type", ""), "")
    if not kind or not layer.outputs:
        raise ConversionError(
            f"{graph.file}: input {layer.name!r} is {layer.attributes.get('element_type')}.", hint=NATIVELY
        )
    name = layer.names[0][0] if layer.names[0] else layer.name
    shape = ir.free_sizes(layer.attributes.get("shape", ""))
    symbols = tuple("" if s is not None else exported.free_name(shape or (), a) for a, s in enumerate(shape or ()))
    return TensorSpec(name, kind, shape, name, symbols)


def _sized(spec: TensorSpec, options: ModelOptions) -> TensorSpec:
    """The owner may say a shape where the file leaves it, or its sizes, free."""
    option = next((o for o in options.inputs if o.own_name == spec.tensor), None)
    if option is None or option.shape is None:
        return spec
    symbols = tuple(exported.free_name(option.shape, a) if s is None else "" for a, s in enumerate(option.shape))
    return replace(spec, shape=option.shape, symbols=symbols)


def _results(graph: Graph) -> list[tuple[str, str]]:
    """(name, type) of every output: the tensor's first name, else the layer's that makes it."""
    by_id = {layer.id: layer for layer in graph.layers}
    found: dict[str, str] = {}
    for layer in graph.of_type("Result"):
        maker = by_id[layer.sources[0][0]]
        place = maker.outputs.index(layer.sources[0][1])
        wish = maker.names[place][0] if maker.names[place] else maker.name
        name, number = wish, 2
        while name in found:
            name, number = f"{wish}_{number}", number + 1
        found[name] = ir.precision(maker, place)
    return list(found.items())


def rows(source: Source, match: Match) -> dict[str, int]:
    """Inputs that number the rows of a table, by tensor -> how many there are: OpenVINO answers zeros beyond."""
    graph = ir.read(source, match)
    by_id = {layer.id: layer for layer in graph.layers}

    def origin(port: ir.Port) -> Layer:
        layer = by_id[port[0]]
        return origin(layer.sources[0]) if layer.type == "Convert" else layer

    found = {}
    for layer in graph.of_type("Gather"):
        table, places = (origin(port) for port in layer.sources[:2])
        if table.type == "Const" and places.type == "Parameter":
            sizes = ir.sizes(table.attributes.get("shape", ""))
            found[places.names[0][0] if places.names[0] else places.name] = sizes[0] if sizes else 1
    return found


def _emit(emit: Emit, graph: Graph, tensors: dict[ir.Port, str]) -> tuple[TensorSpec, ...]:
    """Every layer in order; the outputs, whose tensors are left in `tensors` under "out"."""
    names = iter(_results(graph))
    outputs = []
    for layer in graph.layers:
        if layer.type == "Const":
            tensors[layer.id, layer.outputs[0]] = emit.weight_of(
                emit.builder.unique(layer.name), ir.constant(graph, layer)
            )
        if layer.type in EDGES:
            continue
        given = tuple(tensors[port] for port in layer.sources)
        kinds = tuple(ir.precision(layer, place) for place in range(len(layer.outputs)))
        node = Node(layer.type, layer.name, layer.opset, layer.attributes, given, len(layer.outputs), kinds)
        made = _folded(emit, node)
        if made is None:
            made = emit.call(node, converter(NAME, layer.type), ())
        for port, tensor in zip(layer.outputs, made):
            tensors[layer.id, port] = tensor
    taken = {spec for layer in graph.of_type("Parameter") for spec in (layer.names[0] or (layer.name,))}
    for layer in graph.of_type("Result"):
        tensor = tensors[layer.sources[0]]
        name, _ = next(names)
        public = f"{name}_out" if name in taken else emit.builder.unique(name)
        tensors["out", public] = tensor
        kind = emit.tensor_type(tensor)
        symbols = tuple(d.dim_param if not d.HasField("dim_value") else "" for d in kind.shape.dim)
        outputs.append(TensorSpec(name, BY_ONNX[kind.elem_type].name, emit.shape(tensor), public, symbols))
    return tuple(outputs)


def _folded(emit: Emit, node: Node) -> list[str] | None:
    """Its outputs as constants, where all that it reads is known and small."""
    arrays: list[Array] = []
    for place, tensor in enumerate(node.inputs):
        value = emit.value(tensor)
        if value is None and node.op == "ShapeOf" and place == 0:
            shape = emit.shape(tensor)
            if shape is None or None in shape:
                return None
            kind = numpy_dtype(node.makes[0] or "int64")
            return [emit.weight_of(emit.builder.unique(node.name), np.asarray(shape, kind))]
        if value is None or (value.size > FOLDED and node.op != "Convert"):
            return None
        arrays.append(value)
    if not arrays or node.op == "FakeQuantize":
        return None
    if node.op == "Convert":  # compressed weights
        kind = numpy_dtype(node.makes[0] or "float32")
        return [emit.weight_of(emit.builder.unique(node.name), arrays[0].astype(kind))]
    try:
        found = _computed(node, arrays)
    except GatewayError:
        raise
    except Exception:  # noqa: BLE001  the evaluator lacks it: then it is computed at run time
        return None
    return [emit.weight_of(emit.builder.unique(node.name), array) for array in found]


def _computed(node: Node, arrays: Sequence[Array]) -> list[Array]:
    """What the function of a node makes of constants, by onnx's own evaluator."""
    from onnx.reference import ReferenceEvaluator

    emit = Emit(GraphBuilder(NAME))
    given = tuple(emit.weight_of(f"in{place}", array) for place, array in enumerate(arrays))
    made = emit.call(replace(node, inputs=given), converter(NAME, node.op), ())
    for place, tensor in enumerate(made):
        emit.builder.output(tensor, f"out{place}")
    with np.errstate(all="ignore"):
        return [np.asarray(array) for array in ReferenceEvaluator(emit.builder.build()).run(None, {})]
