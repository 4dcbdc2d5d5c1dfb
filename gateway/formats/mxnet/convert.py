"""From a symbol and its weights to model.onnx: read, choose outputs, prune, ask, emit, check.

Rule 1: everything that is wrong with the graph as a whole (operators without a function, control
        flow, missing weights) is said before anything is emitted.
Rule 2: labels and other inputs of training disappear by walking back from the outputs; a loss
        does not read its label here.
Rule 3: every weight of the file is read by the graph, or is reported as unused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import SAVEDMODEL, Fact
from gateway.core.dtypes import BY_ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, CorruptModel, GatewayError, NeedsInputShape
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.mxnet import FORMAT as MXNET
from gateway.formats.mxnet import files_of, params, shapes, symbol
from gateway.formats.mxnet.emit import FORMAT_NAME, Node, attrs_of, load_operators
from gateway.formats.mxnet.params import Params
from gateway.formats.mxnet.symbol import Symbol, SymbolNode
from gateway.formats.onnx import weights
from gateway.graph.builder import GraphBuilder
from gateway.graph.emit import Emit
from gateway.graph.registry import converter, refuse_unknown

MODEL_FILE = "model.onnx"
SIGNATURE_LIMIT = 1 << 20
LOSSES = ("SoftmaxOutput", "Softmax", "LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput",
          "SVMOutput", "IdentityAttachKLSparseReg")  # fmt: skip
LABELS = dict.fromkeys(LOSSES, (1,))
"""Inputs, by operator, that only training reads."""
CODE = ("Custom", "_npi_Custom", "_Native", "_NDArray", "_CustomFunction")
"""Operators whose program is not in the file: code of the model's author."""
CONTROL_FLOW = (*CODE, "_foreach", "_while_loop", "_cond", "_CachedOp", "_npi_cond")
SLOTS = {
    "Convolution": (1, 2), "Convolution_v1": (1, 2), "Deconvolution": (1, 2), "FullyConnected": (1, 2),
    "BatchNorm": (1, 2, 3, 4), "BatchNorm_v1": (1, 2, 3, 4), "CuDNNBatchNorm": (1, 2, 3, 4),
    "_contrib_SyncBatchNorm": (1, 2, 3, 4), "InstanceNorm": (1, 2), "LayerNorm": (1, 2), "GroupNorm": (1, 2),
    "Embedding": (1,), "RNN": (1,), "LeakyReLU": (1,),
}  # fmt: skip
"""Inputs, by operator, that hold weights: a variable there that the file does not have is missing, not an input."""
ENDINGS = ("_weight", "_bias", "_gamma", "_beta", "_moving_mean", "_moving_var", "_running_mean", "_running_var")
BROKEN = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    RecursionError,
    AttributeError,
    RuntimeError,
    MemoryError,
)
SHOWN = 8


@dataclass(frozen=True)
class _Read:
    """A model read from its files. `wanted` are (tensor of MXNet, public name)."""

    symbol: Symbol
    params: Params
    needed: set[int]
    heads: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    facts: tuple[Fact, ...]
    unused: tuple[str, ...]


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
    """Inputs, outputs and operators. An input whose shape nothing says has none here."""
    read_symbol, read_params = read_files(source, match)
    heads, names = _outputs(read_symbol, options)
    needed = read_symbol.reachable(heads, LABELS)
    facts = known_facts(read_symbol, read_params)
    variables = _variables(read_symbol, read_params, needed)
    try:
        inputs = shapes.solve(read_symbol, read_params, variables, options.inputs, signature_json(source, match), facts)
    except NeedsInputShape as error:
        inputs = tuple(TensorSpec(read_symbol.nodes[index].name, "float32", None) for index in variables)
        facts.append(Fact("shapes of inputs", "not known", error.explain()))
    counts = Counter(read_symbol.nodes[index].op for index in needed if not read_symbol.nodes[index].is_variable)
    outputs = tuple(TensorSpec(name, "float32", None) for name in names)
    return Inspection(inputs, outputs, dict(sorted(counts.items())), tuple(facts))


def _convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    found = _read(source, match, options)
    warnings = list(_nan_warnings(found))
    facts = [*found.facts, *(Fact("NaN weights", line, "weights") for line in warnings)]
    training = options.target == SAVEDMODEL and options.savedmodel.trainable
    graph = Emit(GraphBuilder(FORMAT_NAME, name=Path(match.main).stem), training=training)
    tensors = _emit(graph, found)
    outputs = tuple(_output(graph, found, tensors, place) for place in range(len(found.heads)))
    warnings += graph.warnings
    total = graph.builder.weight_bytes()
    facts.append(Fact("weights", f"{total} bytes", "model file"))
    if total >= weights.INLINE_LIMIT:
        model = graph.builder.build()
        size = weights.spill(model, out, out)
        facts.append(Fact("external data", f"{weights.DATA_FILE}, {size} bytes, page-aligned", "size of the weights"))
        (out / MODEL_FILE).write_bytes(model.SerializeToString())
    else:
        graph.builder.save(out / MODEL_FILE)
    outputs = _shown(outputs, options)
    same_names(found.inputs, outputs)
    preprocess = options.preprocess.to_json() if options.preprocess else None
    signature = Signature(found.inputs, outputs, preprocess=preprocess)
    return Conversion(
        "onnx", (signature,), tuple(facts), tuple(warnings), found.unused, _is_quantised(found), _versions()
    )


def read_files(source: Source, match: Match) -> tuple[Symbol, Params]:
    """Errors: ConversionError when one of the pair is missing and needed."""
    symbol_file, params_file, _ = files_of(match)
    if not symbol_file:
        stem = Path(params_file).name.removesuffix(".params")
        prefix = stem[:-5] if stem[-5:-4] == "-" and stem[-4:].isdigit() else stem
        raise ConversionError(
            f"{params_file} holds weights only; the graph that uses them is missing.",
            hint=f"Add {prefix}-symbol.json beside it (HybridBlock.export or Module.save_checkpoint write both).",
        )
    read_symbol = symbol.read(source.path(symbol_file))
    return read_symbol, params.read(source.path(params_file)) if params_file else params.NOTHING


def _read(source: Source, match: Match, options: ModelOptions) -> _Read:
    """Everything that can be said before a node is emitted. Errors: ConversionError."""
    read_symbol, read_params = read_files(source, match)
    heads, names = _outputs(read_symbol, options)
    needed = read_symbol.reachable(heads, LABELS)
    _refuse_control_flow(read_symbol, needed)
    refuse_unknown(
        FORMAT_NAME, (read_symbol.nodes[i].op for i in sorted(needed) if not read_symbol.nodes[i].is_variable)
    )
    named = {option.own_name for option in options.inputs}
    refuse_missing(read_symbol, read_params, needed, named, files_of(match)[1])
    facts = known_facts(read_symbol, read_params)
    variables = _variables(read_symbol, read_params, needed)
    inputs = shapes.solve(read_symbol, read_params, variables, options.inputs, signature_json(source, match), facts)
    used = {read_symbol.nodes[index].name for index in needed}
    unused = tuple(name for name in read_params.names() if name not in used)
    pruned = [n.name for i, n in enumerate(read_symbol.nodes) if n.is_variable and i not in needed]
    pruned = [name for name in pruned if name not in read_params]
    if pruned:
        facts.append(Fact("inputs left out", ", ".join(pruned), "no output needs them"))
    return _Read(read_symbol, read_params, needed, heads, names, inputs, tuple(facts), unused)


def _outputs(graph: Symbol, options: ModelOptions) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """The tensors to show and MXNet's names of them, each once. Errors: ConversionError."""
    if not options.outputs:
        heads, names = list(graph.heads), list(graph.outputs)
    else:
        heads = [graph.find(option.own_name) for option in options.outputs]
        names = [graph.output_name(head) for head in heads]
    chosen: dict[str, tuple[int, int]] = {}
    for head, name in zip(heads, names, strict=True):
        unique, number = name, 2
        while unique in chosen and chosen[unique] != head:
            unique, number = f"{name}_{number}", number + 1
        chosen[unique] = head
    return tuple(chosen.values()), tuple(chosen)


def _shown(outputs: tuple[TensorSpec, ...], options: ModelOptions) -> tuple[TensorSpec, ...]:
    """Outputs under the public names that the owner gave."""
    if not options.outputs:
        return outputs
    by_tensor = {spec.tensor: spec for spec in outputs}
    shown = []
    for option in options.outputs:
        own = option.own_name
        spec = next(s for n, s in by_tensor.items() if n == own or n in (f"{own}_output", f"{own}_output0"))
        shown.append(TensorSpec(option.name, spec.dtype, spec.shape, spec.tensor, spec.symbols))
    return tuple(shown)


def same_names(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    for kind, specs in (("inputs", inputs), ("outputs", outputs)):
        twice = [name for name, count in Counter(spec.name for spec in specs).items() if count > 1]
        if twice:
            raise ConversionError(f"two {kind} are called {twice[0]!r}; each needs a name of its own.")


def _variables(graph: Symbol, found: Params, needed: set[int]) -> list[int]:
    return [i for i in sorted(needed) if graph.nodes[i].is_variable and graph.nodes[i].name not in found]


def signature_json(source: Source, match: Match) -> bytes | None:
    name = files_of(match)[2]
    return source.head(name, SIGNATURE_LIMIT) if name else None


def known_facts(graph: Symbol, found: Params) -> list[Fact]:
    version = ".".join(map(str, graph.version))
    facts = [Fact("written by", f"MXNet {version}", graph.file)]
    if len(found):
        facts.append(Fact("arrays", f"{len(found)}, version {found.version}", "weights"))
    return facts


def _refuse_control_flow(graph: Symbol, needed: set[int]) -> None:
    """Errors: ConversionError naming all nodes that hold a program instead of an operator."""
    nodes = [graph.nodes[index] for index in sorted(needed)]
    found = [node for node in nodes if node.op in CONTROL_FLOW or node.subgraphs]
    if found:
        listing = ", ".join(f"{node.name!r} ({program(node)})" for node in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        native = 'target = "native" in model.toml serves the model with MXNet itself; or '
        native = "" if any(node.op in CODE for node in nodes) else native
        raise ConversionError(
            f"{graph.file}: {len(found)} nodes hold control flow or code: {listing}{more}; they cannot be converted.",
            hint=f"{native}cut the graph before these nodes with --output.",
        )


def program(node: SymbolNode) -> str:
    return f"Custom, {node.attrs.get('op_type', 'of no type')}" if node.op == "Custom" else node.op


def refuse_missing(graph: Symbol, found: Params, needed: set[int], named: set[str], params_file: str) -> None:
    """Variables at the places of weights that no file has. Errors: ConversionError with all of them."""
    wanted: dict[str, None] = {}
    for index in sorted(needed):
        node = graph.nodes[index]
        for place in SLOTS.get(node.op, ()):
            if place < len(node.inputs) and graph.nodes[node.inputs[place][0]].is_variable:
                wanted[graph.nodes[node.inputs[place][0]].name] = None
        if node.is_variable and node.name.endswith(ENDINGS):
            wanted[node.name] = None
    missing = [name for name in wanted if name not in found and name not in named]
    if not missing:
        return
    listing = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
    if not params_file:
        prefix = graph.file.removesuffix("-symbol.json").removesuffix(".json")
        raise ConversionError(
            f"{graph.file} needs {len(missing)} weights ({listing}), and no file of weights lies beside it.",
            hint=f"Add {prefix}-0000.params.",
        )
    hint = "The files may be of two models, or the weights of another epoch."
    if found.bare and any("." in name for name in found.names()):
        hint = "Its names are of Block.save_parameters; HybridBlock.export writes both files with the symbol's names."
    raise ConversionError(
        f"{Path(params_file).name} has not {len(missing)} weights of {graph.file}: {listing}.", hint=hint
    )


def _emit(graph: Emit, found: _Read) -> dict[tuple[int, int], str]:
    """Every needed node in order. Returns the ONNX tensor of each of MXNet's."""
    nodes = found.symbol.nodes
    tensors: dict[tuple[int, int], str] = {}
    for spec in found.inputs:
        index = next(i for i in found.needed if nodes[i].is_variable and nodes[i].name == spec.tensor)
        assert spec.shape is not None
        tensors[index, 0] = graph.input(spec.tensor, spec.dtype, spec.shape, spec.symbols)
    used = _used(found)
    for index in sorted(found.needed):
        node = nodes[index]
        if node.is_variable:
            array = found.params.get(node.name)
            if array is not None:
                tensors[index, 0] = graph.weight_of(node.name, array)
            continue
        entries = [entry for place, entry in enumerate(node.inputs) if place not in LABELS.get(node.op, ())]
        for entry in entries:
            if entry not in tensors:
                raise CorruptModel(
                    f"{found.symbol.file}: node {node.name!r} ({node.op}) reads output {entry[1]} of "
                    f"{nodes[entry[0]].name!r} ({nodes[entry[0]].op}), which is not there or not supported."
                )
        attrs = attrs_of(node.op, node.name, node.attrs)
        ready = Node(node.op, node.name, attrs, tuple(tensors[entry] for entry in entries), used.get(index, 1))
        names = [found.symbol.output_name((index, place)) for place in range(used.get(index, 1))]
        for place, tensor in enumerate(graph.call(ready, converter(FORMAT_NAME, node.op), names)):
            tensors[index, place] = tensor
    return tensors


def _used(found: _Read) -> dict[int, int]:
    """How many outputs of each node anybody reads: 1 + the highest one, at least as many as its parameters say."""
    used = {index: symbol.outputs_of(found.symbol.nodes[index]) for index in found.needed}
    entries = [entry for index in found.needed for entry in found.symbol.nodes[index].inputs]
    for index, output in (*entries, *found.heads):
        used[index] = max(used.get(index, 1), output + 1)
    return used


def _output(graph: Emit, found: _Read, tensors: dict[tuple[int, int], str], place: int) -> TensorSpec:
    head, name = found.heads[place], found.names[place]
    if head not in tensors:
        node = found.symbol.nodes[head[0]]
        raise ConversionError(f"output {head[1]} of MXNet node {node.name!r} ({node.op}) is not supported.")
    tensor = tensors[head]
    tensor_type = graph.tensor_type(tensor)
    kind = BY_ONNX[tensor_type.elem_type].name
    shape = graph.shape(tensor)
    symbols = tuple(dim.dim_param for dim in tensor_type.shape.dim) if shape is not None else ()
    public = graph.builder.unique(name) if tensor != name else name
    graph.builder.output(tensor, public, kind, _with_symbols(shape, symbols))
    return TensorSpec(name, kind, shape, public, symbols)


def _with_symbols(shape: Any, symbols: tuple[str, ...]) -> Any:
    return None if shape is None else [s if s is not None else (symbols[i] or None) for i, s in enumerate(shape)]


def _nan_warnings(found: _Read) -> Iterator[str]:
    for index in sorted(found.needed):
        name = found.symbol.nodes[index].name
        array = found.params.get(name) if found.symbol.nodes[index].is_variable else None
        if array is None or array.dtype.kind not in "fV":
            continue
        flat, step = array.reshape(-1), weights.CHUNK // 4
        bad = sum(int(np.isnan(flat[at : at + step]).sum()) for at in range(0, flat.size, step))
        if bad:
            yield f"weights {name!r} hold NaN ({bad} of {flat.size} elements)"


def _is_quantised(found: _Read) -> bool:
    return any("quantize" in found.symbol.nodes[index].op for index in found.needed)


def _versions() -> dict[str, str]:
    import onnx

    return {"onnx": onnx.__version__, "numpy": np.__version__, "converter": f"{MXNET.name} {MXNET.revision}"}
