"""From a cfg and its weights to model.onnx: read, choose outputs, emit layer by layer, decode boxes, check.

Rule 1: the first signature gives heads as Darknet's layers give them; "boxes" is the second, where every head can
        be decoded: both are outputs of one graph, and both are proven.
Rule 2: how a picture becomes the input, and the names of classes, are found in the drop and kept as data.
Rule 3: every float of the file is read by a layer, or the reader has refused it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.names import did_you_mean
from gateway.core.preprocess import Preprocess
from gateway.core.signature import Signature, TensorSpec, format_shape
from gateway.errors import ConversionError, CorruptModel, GatewayError
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.darknet import network as reader
from gateway.formats.darknet.network import HEADS, INPUT, Layer, Network
from gateway.formats.darknet.node import Node
from gateway.formats.darknet.shapes import PJREDDIE, Shape
from gateway.formats.onnx import weights
from gateway.graph.builder import GraphBuilder
from gateway.graph.emit import BROKEN, Emit
from gateway.graph.registry import converter, refuse_unknown

FORMAT_NAME = "darknet"
MODEL_FILE = "model.onnx"
BOXES = "boxes"
VALUES = "/values"  # behind a layer's name: its answer as a vector
NAMES = (".names", ".list", ".labels", ".txt")
MAX_NAMES = 1 << 20  # bytes of a file of names
OTHERS = (RecursionError, RuntimeError)


@dataclass(frozen=True)
class Files:
    """What a drop holds of one model: "" for what is not there. `beside` are small files: trees, names."""

    cfg: str
    weights: str
    beside: tuple[str, ...]

    @classmethod
    def of(cls, match: Match) -> Files:
        """Errors: ConversionError for weights without a cfg."""
        if match.version.startswith("weights"):
            stem = Path(match.main).name.partition(".")[0]
            raise ConversionError(
                f"{match.main} holds weights only; the cfg that says what they are is missing.",
                hint=f"Add {stem}.cfg beside it.",
            )
        rest = [name for name in match.used if name != match.main]
        stored = [name for name in rest if not name.endswith((*NAMES, ".tree"))]
        return cls(match.main, stored[0] if stored else "", tuple(name for name in rest if name not in stored))


def read(source: Source, match: Match, options: ModelOptions) -> Network:
    """Errors: ConversionError."""
    files = Files.of(match)
    trees = {Path(name).name: source.path(name) for name in files.beside}
    stored = source.path(files.weights) if files.weights else None
    return reader.read(source.path(files.cfg), stored, trees=trees, size=_size(options))


def _size(options: ModelOptions) -> Shape | None:
    """Another size of the input than the cfg's, as the owner gives it. Errors: ConversionError."""
    option = _input_option(options)
    if option is None or option.shape is None:
        return None
    sizes = option.shape[1:]
    if option.shape[:1] != (None,) or len(sizes) not in (1, 3) or not all(sizes):
        raise ConversionError(
            f"the input {INPUT!r} is to have the shape {format_shape(option.shape)}, expected "
            "[?,channels,height,width] or [?,values] with numbers: Darknet's layers need to know them."
        )
    return (sizes[0] or 0, 1, 1) if len(sizes) == 1 else (sizes[0] or 0, sizes[1] or 0, sizes[2] or 0)


def _input_option(options: ModelOptions) -> TensorOption | None:
    """What the owner says of the input. Errors: ConversionError for an input that no network has."""
    for option in options.inputs:
        if option.own_name != INPUT:
            raise ConversionError(f"a Darknet network has one input, {INPUT!r}, and none called {option.own_name!r}.")
        if option.dtype not in ("", "float32"):
            raise ConversionError(f"the input {INPUT!r} is float32, not {option.dtype}.")
    return options.inputs[0] if options.inputs else None


def input_spec(found: Network, options: ModelOptions) -> TensorSpec:
    """The input by its public name. A vector has two axes; the first is the batch, or the time of one sequence."""
    option = _input_option(options)
    first = "time" if found.steps else "batch"
    shape = (None, found.input[0]) if found.input[1:] == (1, 1) else (None, *found.input)
    return TensorSpec(option.name if option else INPUT, "float32", shape, INPUT, (first, *[""] * (len(shape) - 1)))


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Write MODEL_FILE (and its data file) into `out`. Errors: ConversionError."""
    try:
        return _convert(source, match, options, out)
    except GatewayError:
        raise
    except (*BROKEN, *OTHERS) as error:
        raise CorruptModel(f"{match.main} breaks the converter: {type(error).__name__}: {error}") from error


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Input, outputs and layers. Errors: ConversionError."""
    found = read(source, match, options)
    outputs = tuple(
        TensorSpec(name, "float32", (None, *_public(layer.output))) for layer, name in chosen(found, options)
    )
    counts = Counter(layer.type for layer in found.layers)
    return Inspection((input_spec(found, options),), outputs, dict(sorted(counts.items())), tuple(_facts(found)))


def chosen(found: Network, options: ModelOptions) -> list[tuple[Layer, str]]:
    """The layers to show, each with its public name. Errors: ConversionError."""
    if not options.outputs:
        return [(found.layers[index], found.layers[index].name) for index in found.outputs]
    names = {layer.name: layer for layer in found.layers}
    for option in options.outputs:
        if option.own_name not in names:
            raise ConversionError(
                f"{found.file} has no layer called {option.own_name!r}.{did_you_mean(option.own_name, names)}",
                hint=f"The last ones are: {', '.join(list(names)[-8:])}.",
            )
    return [(names[option.own_name], option.name) for option in options.outputs]


def _public(shape: Shape) -> tuple[int, ...]:
    return shape[:1] if shape[1:] == (1, 1) else shape


def _convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    load_operators()
    found = read(source, match, options)
    refuse_unknown(FORMAT_NAME, (layer.type for layer in found.layers))
    spec = input_spec(found, options)
    graph = Emit(GraphBuilder(FORMAT_NAME, name=Path(match.main).stem))
    tensors, nodes = _emit(graph, found, spec)
    outputs = tuple(_show(graph, tensors[layer.index], layer, name, spec) for layer, name in chosen(found, options))
    facts = list(_facts(found))
    classes, labels = _labels(source, match, found)
    facts += classes
    given = options.preprocess or preprocess_of(found)
    picture = given.to_json() if given else None
    signatures = [Signature((spec,), outputs, labels=labels if not _heads(found) else (), preprocess=picture)]
    warnings = list(_nan_warnings(found))
    facts += [Fact("NaN weights", line, "weights") for line in warnings]
    if heads := [] if options.outputs else _heads(found):
        why = next((f"{layer.name}: {said}" for layer in heads if (said := _why_not(nodes[layer.index]))), "")
        if why:
            facts.append(Fact("no boxes", why, found.file))
        else:
            shown = _boxes(graph, found, tensors, nodes, spec)
            signatures.append(Signature((spec,), shown, BOXES, labels=labels, preprocess=picture))
    _save(graph, out, facts)
    return Conversion(
        "onnx", tuple(signatures), tuple(facts), tuple(warnings + graph.warnings), versions=_versions()
    )  # fmt: skip


def load_operators() -> None:
    """Import every family: that registers their functions."""
    from gateway.formats.darknet.ops import activations, boxes, heads, joins, places, pooling, recurrent, weighted

    assert all((activations, boxes, heads, joins, places, pooling, recurrent, weighted))


def _emit(graph: Emit, found: Network, spec: TensorSpec) -> tuple[list[str], list[Node]]:
    """Every layer in order: the tensor of each, and the node that its function was given."""
    assert spec.shape is not None
    start = graph.input(INPUT, "float32", spec.shape, spec.symbols)
    if len(spec.shape) == 2:
        start = graph.node("Reshape", [start, graph.ints(0, *found.input)])
    tensors: list[str] = []
    nodes: list[Node] = []
    for layer in found.layers:
        read = layer.sources or (-1,)  # of what reads nothing: the batch
        inputs = tuple(start if index < 0 else tensors[index] for index in read)
        shapes = tuple(found.input if index < 0 else found.layers[index].output for index in read)
        node = Node(layer, inputs, shapes, found.dialect, found.file)
        made = graph.call(node, converter(FORMAT_NAME, layer.type), [layer.name])[0]
        _check(graph, layer, made)
        tensors.append(made)
        nodes.append(node)
    return tensors, nodes


def _check(graph: Emit, layer: Layer, tensor: str) -> None:
    """Errors: ConversionError where a function makes another shape than the reader has worked out: a bug of ours."""
    shape = graph.shape(tensor)
    if shape is None or len(shape) != 4 or any(s is not None and s != w for s, w in zip(shape[1:], layer.output)):
        raise ConversionError(
            f"layer {layer.name} ({layer.options.where}) was made as {format_shape(shape)}, expected {layer.output}."
        )


def _show(graph: Emit, tensor: str, layer: Layer, name: str, spec: TensorSpec) -> TensorSpec:
    """An output: the layer's tensor under its own name, a vector with two axes."""
    shape = (None, *_public(layer.output))
    own = layer.name
    if len(shape) == 2:
        tensor = graph.node("Flatten", [tensor], axis=1)
        own += VALUES
    symbols = (spec.symbols[0], *[""] * (len(shape) - 1))
    own = graph.builder.output(tensor, own, "float32", (symbols[0], *shape[1:]))  # type: ignore[arg-type]
    return TensorSpec(name, "float32", shape, own, symbols)


def _heads(found: Network) -> list[Layer]:
    return [layer for layer in found.layers if layer.type in HEADS]


def _why_not(node: Node) -> str:
    from gateway.formats.darknet.ops import boxes

    return boxes.why_not(node)


def _boxes(
    graph: Emit, found: Network, tensors: list[str], nodes: list[Node], spec: TensorSpec
) -> tuple[TensorSpec, TensorSpec]:
    """(scores, boxes) of all heads. Errors: ConversionError for heads of different classes."""
    from gateway.formats.darknet.ops import boxes

    heads = _heads(found)
    counts = {layer.options.int("classes", 1 if layer.type == "detection" else 20) for layer in heads}
    if len(counts) > 1:
        raise ConversionError(f"{found.file}: its heads have {sorted(counts)} classes, expected one number.")
    places, scores = [], []
    for layer in heads:
        graph.current = nodes[layer.index]
        function = converter(FORMAT_NAME, f"{layer.type} boxes")
        made = function(graph, tensors[layer.index], found.input, nodes[layer.index])
        places.append(made[0])
        scores.append(made[1])
    specs = []
    for name, parts in (("scores", scores), ("boxes", places)):
        tensor = boxes.joined(graph, parts)
        graph.current = None
        count, size = graph.size(tensor, 1), graph.size(tensor, 2)
        symbols = (spec.symbols[0], "", "")
        shown = graph.builder.output(tensor, name, "float32", (symbols[0], count, size))  # type: ignore[arg-type]
        specs.append(TensorSpec(name, "float32", (None, count, size), shown, symbols))
    return specs[0], specs[1]


def preprocess_of(found: Network) -> Preprocess | None:
    """How Darknet's own programs make the input of a picture; None where the input is no picture."""
    channels, height, width = found.input
    if channels not in (1, 3) or found.input[1:] == (1, 1) or found.steps:
        return None
    if found.dialect == PJREDDIE or found.options.int("letter_box", 0):
        fit = "letterbox"
    else:
        fit = "stretch" if _heads(found) else "cover"
    return Preprocess(
        resize=(height, width),
        interpolation="bilinear-corners",
        fit=fit,
        fill=(127.5,) if fit == "letterbox" else (0.0,),
        colour="rgb" if channels == 3 else "gray",
        scale=1 / 255,
    )


def _labels(source: Source, match: Match, found: Network) -> tuple[list[Fact], tuple[str, ...]]:
    """Names of classes from a file beside the cfg that has as many lines."""
    heads = _heads(found)
    count = heads[0].options.int("classes", 20) if heads else found.layers[found.outputs[0]].output[0]
    for name in Files.of(match).beside:
        if name.endswith(".tree") or source.path(name).stat().st_size > MAX_NAMES:
            continue
        lines = source.path(name).read_text("utf-8", "replace").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        if len(lines) == count:
            return [Fact("labels", f"{count} names", name)], tuple(lines)
    return [], ()


def _facts(found: Network) -> Iterator[Fact]:
    yield Fact("dialect", found.dialect, found.evidence)
    if found.header:
        yield Fact("header", found.header, "weights")
    total = sum(array.size for layer in found.layers for array in layer.weights.values())
    yield Fact("weights", f"{total} numbers in {len(found.weight_names())} arrays", "weights")


def _nan_warnings(found: Network) -> Iterator[str]:
    for layer in found.layers:
        for name, array in layer.weights.items():
            if bad := int(np.isnan(array).sum()):
                yield f"weights '{layer.name}.{name}' hold NaN ({bad} of {array.size} elements)"


def _save(graph: Emit, out: Path, facts: list[Fact]) -> None:
    total = graph.builder.weight_bytes()
    if total < weights.INLINE_LIMIT:
        graph.builder.save(out / MODEL_FILE)
        return
    model = graph.builder.build()
    size = weights.spill(model, out, out)
    facts.append(Fact("external data", f"{weights.DATA_FILE}, {size} bytes, page-aligned", "size of the weights"))
    (out / MODEL_FILE).write_bytes(model.SerializeToString())


def _versions() -> Mapping[str, str]:
    import onnx

    from gateway.formats.darknet import FORMAT

    return {"onnx": onnx.__version__, "numpy": np.__version__, "converter": f"{FORMAT_NAME} {FORMAT.revision}"}
