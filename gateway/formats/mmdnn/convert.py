"""From the IR to model.onnx: read, choose outputs, refuse, shape inputs, emit node by node, check.

Rule 1: inputs and outputs keep channels last, as the IR has them.
Rule 2: what a node makes has the shape that the file's `_output_shapes` give it: where it has not, one of MMdnn's
        parsers has lost something on the way (ceil of a pooling, a stride, an axis), and the node is refused.
Rule 3: names are the IR's: a run here and one of the judge are compared by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.dtypes import BY_ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature, TensorSpec, format_shape
from gateway.errors import ConversionError, CorruptModel, GatewayError, NeedsInputShape
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.mmdnn import FORMAT, files_of, ir
from gateway.formats.mmdnn.ir import Graph, Sizes
from gateway.formats.mmdnn.node import FIRST, FORMAT_NAME, Layout, Node
from gateway.formats.onnx import weights
from gateway.graph.builder import GraphBuilder
from gateway.graph.emit import BROKEN, Emit
from gateway.graph.registry import converter, refuse_unknown

MODEL_FILE = "model.onnx"
KINDS = ("float32", "int32", "int64")
MANY = ("Split", "Unstack")
"""Operators that make several tensors."""
OWNER = "--input or model.toml"


def read(source: Source, match: Match) -> Graph:
    """The graph with its weights. Errors: CorruptModel, UnsafeArtifact; ConversionError for two forms that differ."""
    files = files_of(match)
    stored = source.path(files.weights) if files.weights else None
    found = ir.read(source.path(files.graph), stored)
    if files.twin:
        other = ir.read(source.path(files.twin), None)
        if what := ir.same(found, other):
            raise ConversionError(
                f"{files.graph} and {files.twin} are two forms of one model, and differ in {what}.",
                hint="Keep the one that belongs to the weights.",
            )
    return found


def load_operators() -> None:
    """Import every family: that registers their functions."""
    from gateway.formats.mmdnn.ops import conv, elementwise, norm, pooling, refusals, shape

    assert all((conv, elementwise, norm, pooling, refusals, shape))


def cut(found: Graph, options: ModelOptions) -> Graph:
    """What the owner's outputs, or the graph's own, need. Errors: ConversionError."""
    return (
        found.needed(option.own_name for option in options.outputs) if options.outputs else found.needed(found.outputs)
    )


def input_specs(found: Graph, options: ModelOptions, facts: list[Fact]) -> tuple[TensorSpec, ...]:
    """A TensorSpec for each DataInput. Errors: NeedsInputShape; ConversionError for options about what is not there."""
    nodes = {node.name: node for node in found.inputs}
    by_name = {option.own_name: option for option in options.inputs}
    for name in by_name:
        if name not in nodes:
            raise ConversionError(
                f"{found.file} has no input {name!r}; it has {', '.join(nodes) or 'none'}.{did_you_mean(name, nodes)}"
            )
    specs, missing = [], []
    for node in nodes.values():
        option = by_name.get(node.name)
        said = node.attrs.get("dtype", "float32")
        kind = (option.dtype if option else "") or (said if said in KINDS else "float32")
        if kind not in KINDS:
            raise ConversionError(f"input {node.name!r} is to be {kind}, expected one of {', '.join(KINDS)}.")
        shape, where = _shape(node), found.file
        if option is not None and option.shape is not None:
            shape, where = option.shape, OWNER
        if shape is None or (None in shape[1:] and where != OWNER):
            missing.append(node.name)
            continue
        symbols = tuple("batch" if size is None and not axis else "" for axis, size in enumerate(shape))
        facts.append(Fact(f"shape of {node.name}", format_shape(shape), where))
        specs.append(TensorSpec(option.name if option else node.name, kind, shape, node.name, symbols))
    if missing:
        sides = (224, 227, 299)
        candidates = [f"{name}:float32{format_shape((None, side, side, 3))}" for name in missing for side in sides]
        raise NeedsInputShape(found.file, missing, candidates)
    if not specs:
        raise ConversionError(f"{found.file} has no {ir.INPUT}: nothing can be fed to it.")
    return tuple(specs)


def _shape(node: ir.Node) -> Sizes | None:
    """As the file has it, the batch free. Errors: ConversionError."""
    found = node.attrs.get("shape")
    said: Sizes | None = found.sizes if isinstance(found, ir.Literal) else None
    if not said:
        shapes = node.shapes()
        said = shapes[0] if shapes else None
    if not said:
        return None
    if any(size == 0 for size in said) or len(said) > 6:
        raise ConversionError(f"input {node.name!r} has the shape {format_shape(said)}.")
    return (None, *said[1:]) if said[0] in (None, 1) or len(said) > 1 else said


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Inputs, outputs and operators. Errors: ConversionError."""
    found = cut(read(source, match), options)
    facts = list(_facts(found))
    try:
        specs = input_specs(found, options, facts)
    except NeedsInputShape as error:
        specs = tuple(TensorSpec(node.name, "float32", _shape(node)) for node in found.inputs)
        facts.append(Fact("shapes of inputs", "not known", error.explain()))
    named = found.named()
    outputs = []
    for name in found.outputs:
        shapes = named[name].shapes()
        shape = (None, *shapes[0][1:]) if shapes and shapes[0] else None
        outputs.append(TensorSpec(name, "float32", shape))
    counts = Counter(node.op for node in found.nodes if node.op != ir.INPUT)
    return Inspection(specs, tuple(outputs), dict(sorted(counts.items())), tuple(facts))


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Write MODEL_FILE (and its data file) into `out`. Errors: ConversionError."""
    load_operators()
    try:
        return _convert(source, match, options, out)
    except GatewayError:
        raise
    except (*BROKEN, RecursionError, RuntimeError) as error:
        raise CorruptModel(f"{match.main} breaks the converter: {type(error).__name__}: {error}") from error


def _convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    whole = read(source, match)
    found = cut(whole, options)
    refuse_unknown(FORMAT_NAME, (node.op for node in found.nodes if node.op != ir.INPUT))
    facts = list(_facts(whole))
    specs = input_specs(found, options, facts)
    graph = Emit(GraphBuilder(FORMAT_NAME, name=Path(match.main).stem))
    tensors = emit(graph, found, specs, whole)
    shown = {option.own_name: option.name for option in options.outputs}
    outputs = tuple(
        spec for name in found.outputs for spec in _outputs(graph, tensors[name], name, shown.get(name, name))
    )
    save(graph, out, facts)
    record = options.preprocess.to_json() if options.preprocess else None
    signature = Signature(specs, outputs, preprocess=record)
    warnings = (*_doubtful(found), *graph.warnings)
    return Conversion("onnx", (signature,), tuple(facts), warnings, whole.unused, versions=_versions())


def emit(graph: Emit, found: Graph, specs: Sequence[TensorSpec], whole: Graph) -> dict[str, list[str]]:
    """Every node in order: the ONNX tensors of each."""
    layout, tensors = Layout(), dict[str, list[str]]()
    resized = False
    for node, spec in zip(found.inputs, specs, strict=True):
        assert spec.shape is not None
        tensors[node.name] = [graph.input(spec.tensor, spec.dtype, spec.shape, spec.symbols)]
        own = _shape(node)
        resized |= own is not None and own[1:] != spec.shape[1:]
    for source in found.nodes:
        if source.op == ir.INPUT:
            continue
        inputs = tuple(_input(tensors, source, name, place) for name, place in source.inputs)
        ready = Node(source, inputs, layout, whole, resized)
        tensors[source.name] = _call(graph, ready)
        _check(graph, ready, tensors[source.name])
    return tensors


def _input(tensors: dict[str, list[str]], node: ir.Node, name: str, place: int) -> str:
    if place >= len(tensors[name]):
        raise CorruptModel(f"IR node {node.name!r} ({node.op}) reads output {place} of {name!r}, which has "
                           f"{len(tensors[name])}.")  # fmt: skip
    return tensors[name][place]


def _call(graph: Emit, node: Node) -> list[str]:
    """Run a node's function, and keep the twin of what it made. Errors: ConversionError."""
    function, answers = converter(FORMAT_NAME, node.op), list[Any]()
    node.layout.fresh = ""

    def run(graph: Emit, node: Node) -> str | list[str]:
        answers.append(function(graph, node))
        return answers[0]  # type: ignore[no-any-return]

    names = [node.name]
    if node.op in MANY:
        names += [f"{node.name}:{place}" for place in range(1, 4096)]
    made = graph.call(node, run, names)
    fresh = node.layout.fresh
    if fresh and isinstance(answers[0], str) and graph.builder.last_node.input[0] == fresh:
        node.layout.twins[made[0]] = graph.rename(fresh, f"{node.name}{FIRST}")
    return made


def _check(graph: Emit, node: Node, made: Sequence[str]) -> None:
    """Errors: ConversionError where the file says that the node makes another shape (rule 2)."""
    for place, tensor in enumerate(made):
        said, found = node.said(place), graph.shape(tensor)
        if said is None or found is None or len(said) != len(found):
            continue
        if any(a is not None and b is not None and a != b for a, b in zip(said[1:], found[1:], strict=True)):
            raise node.error(
                f"makes {format_shape(found)} as it is written, and the file's _output_shapes say {format_shape(said)}",
                "One of MMdnn's parsers has lost a part of it: convert the model that the IR was made from.",
            )


def _outputs(graph: Emit, tensors: Sequence[str], name: str, public: str) -> Iterator[TensorSpec]:
    for place, tensor in enumerate(tensors):
        tensor_type = graph.tensor_type(tensor)
        kind, shape = BY_ONNX[tensor_type.elem_type].name, graph.shape(tensor)
        symbols = tuple(dim.dim_param for dim in tensor_type.shape.dim) if shape is not None else ()
        wish = name if len(tensors) == 1 else f"{name}:{place}"
        own = graph.builder.unique(wish) if tensor != wish else wish
        sizes: Any = (
            None if shape is None else [s if s is not None else symbols[i] or None for i, s in enumerate(shape)]
        )
        graph.builder.output(tensor, own, kind, sizes)
        yield TensorSpec(public if len(tensors) == 1 else f"{public}:{place}", kind, shape, own, symbols)


def save(graph: Emit, out: Path, facts: list[Fact]) -> None:
    """model.onnx, with its weights beside it where a protobuf could not hold them."""
    if graph.builder.weight_bytes() < weights.INLINE_LIMIT:
        graph.builder.save(out / MODEL_FILE)
        return
    model = graph.builder.build()
    size = weights.spill(model, out, out)
    facts.append(Fact("external data", f"{weights.DATA_FILE}, {size} bytes, page-aligned", "size of the weights"))
    (out / MODEL_FILE).write_bytes(model.SerializeToString())


def _facts(found: Graph) -> Iterator[Fact]:
    yield Fact("layout", "channels last", "MMdnn's IR keeps every tensor so, whatever it was made from")
    total = sum(array.size for node in found.nodes for array in node.weights.values())
    yield Fact("weights", f"{total} numbers", found.weights_file or "no .npy file")


def _doubtful(found: Graph) -> Iterator[str]:
    for node in found.nodes:
        for name, array in node.weights.items():
            if array.dtype.kind == "f" and (bad := int(np.isnan(array).sum())):
                yield f"weights '{node.name}.{name}' hold NaN ({bad} of {array.size} elements)"


def _versions() -> dict[str, str]:
    import onnx

    return {"onnx": onnx.__version__, "numpy": np.__version__, "converter": f"{FORMAT_NAME} {FORMAT.revision}"}
