"""From a t7 file to model.onnx: read, refuse, shape the input, walk through the containers, check.

Rule 1: the first axis is the batch, and free: networks of Torch take both, one sample and many.
Rule 2: a t7 says nothing of the size of its input: channels are those of the first weights, height and width the
        owner's; a Linear layer in front says it all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.dtypes import BY_ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Shape, Signature, TensorSpec, format_shape
from gateway.errors import ConversionError, CorruptModel, GatewayError, NeedsInputShape
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.onnx import weights
from gateway.formats.torch7 import FORMAT
from gateway.formats.torch7.module import Module, inside, steps
from gateway.formats.torch7.module import read as read_module
from gateway.formats.torch7.node import FORMAT_NAME
from gateway.formats.torch7.walk import CONTAINERS, Value, forward, leaves
from gateway.graph.builder import GraphBuilder
from gateway.graph.emit import BROKEN, Emit
from gateway.graph.registry import refuse_unknown

MODEL_FILE = "model.onnx"
INPUT, OUTPUT = "input", "output"
OWNER = "--input or model.toml"
ALIKE = ("ReLU", "Tanh", "Sigmoid", "SpatialZeroPadding", "SpatialReflectionPadding", "SpatialReplicationPadding",
         "SpatialMaxPooling", "SpatialAveragePooling", "MulConstant", "AddConstant", "Copy", "Identity", "Dropout",
         "Contiguous", "SpatialDropout")  # fmt: skip
"""Modules that keep the number of channels."""

CONVOLUTIONS = ("SpatialConvolution", "SpatialConvolutionMM", "SpatialFullConvolution", "SpatialConvolutionMap",
                "SpatialDilatedConvolution", "SpatialDepthWiseConvolution")  # fmt: skip


def read(source: Source, match: Match) -> Module:
    """Errors: CorruptModel, ConversionError."""
    return read_module(source.path(match.main))


def load_operators() -> None:
    """Import every family: that registers their functions."""
    from gateway.formats.torch7.ops import elementwise, layers, pooling, refusals, shape

    assert all((elementwise, layers, pooling, refusals, shape))


def arity(root: Module) -> int:
    """How many tensors the network is given: 1, or as many as its first module takes."""
    module: Module = root
    for _ in range(200):
        if module.kind == "ParallelTable":
            return len(module.children())
        if module.kind == "gModule":
            nodes, first, _ = steps(module)
            parts = [nodes[target].select for target, _ in nodes[first].targets]
            return max(each for each in parts if each is not None) if parts and all(parts) else 1
        if module.kind in ("JoinTable", "CAddTable", "CMulTable", "CSubTable", "CDivTable", "MM", "DotProduct"):
            return 2
        if module.kind not in CONTAINERS:
            return 1
        module = inside(module)[0]
    return 1


def first_weights(root: Module) -> tuple[Shape | None, str]:
    """(what the first modules with weights want of one input, where); None where nothing says it."""
    for module in leaves(root):
        if module.kind in CONVOLUTIONS:
            return (None, module.size("nInputPlane"), None, None), module.where
        if module.kind == "Linear" and module.stored("weight"):
            return (None, int(module.tensor("weight").shape[-1])), module.where
        if module.kind == "SpatialBatchNormalization" and module.stored("running_mean"):
            return (None, int(module.tensor("running_mean").size), None, None), module.where
        if module.kind not in ALIKE:
            return None, ""
    return None, ""


def input_specs(root: Module, options: ModelOptions, facts: list[Fact]) -> tuple[TensorSpec, ...]:
    """Errors: NeedsInputShape; ConversionError for options about inputs that are not there."""
    count = arity(root)
    names = [INPUT] if count == 1 else [f"{INPUT}_{place}" for place in range(1, count + 1)]
    by_name = {option.own_name: option for option in options.inputs}
    for name, given in by_name.items():
        if name not in names:
            raise ConversionError(f"{root.file} has no input {name!r}; it has {', '.join(names)}.")
        if given.dtype not in ("", "float32"):
            raise ConversionError(f"input {name!r} is to be {given.dtype}; Torch7's numbers are float32 here.")
    known, where = first_weights(root) if count == 1 else (None, "")
    specs, missing = [], []
    for name in names:
        option = by_name.get(name)
        shape = option.shape if option is not None and option.shape is not None else known
        said = OWNER if option is not None and option.shape is not None else where
        if shape is None or (None in shape[1:] and said != OWNER):
            missing.append(name)
            continue
        if shape[:1] != (None,):
            shape = (None, *shape[1:])
        symbols = tuple("batch" if not axis else "" for axis in range(len(shape)))
        facts.append(Fact(f"shape of {name}", format_shape(shape), said))
        specs.append(TensorSpec(option.name if option else name, "float32", shape, name, symbols))
    if missing:
        channels = known[1] if known is not None and len(known) == 4 else 3
        shapes = [(None, channels, side, side) for side in (224, 96, 32)]
        raise NeedsInputShape(
            root.file, missing, [f"{name}:float32{format_shape(shape)}" for name in missing for shape in shapes]
        )
    return tuple(specs)


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Inputs, outputs and modules. Errors: ConversionError."""
    root = read(source, match)
    facts = list(_facts(root))
    try:
        specs = input_specs(root, options, facts)
    except NeedsInputShape as error:
        specs = (TensorSpec(INPUT, "float32", first_weights(root)[0]),)
        facts.append(Fact("shapes of inputs", "not known", error.explain()))
    counts = Counter(module.kind for module in leaves(root))
    return Inspection(specs, (TensorSpec(OUTPUT, "float32", None),), dict(sorted(counts.items())), tuple(facts))


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
    root = read(source, match)
    refuse_unknown(FORMAT_NAME, (module.kind for module in leaves(root)))
    facts = list(_facts(root))
    specs = input_specs(root, options, facts)
    graph = Emit(GraphBuilder(FORMAT_NAME, name=Path(match.main).stem))
    given: list[Value] = []
    for spec in specs:
        assert spec.shape is not None
        given.append(graph.input(spec.tensor, spec.dtype, spec.shape, spec.symbols))
    tensors = flat(forward(graph, root, given[0] if len(given) == 1 else given))
    names = [OUTPUT] if len(tensors) == 1 else [f"{OUTPUT}_{place}" for place in range(1, len(tensors) + 1)]
    shown = {option.own_name: option.name for option in options.outputs}
    if unknown := [name for name in shown if name not in names]:
        raise ConversionError(f"{root.file} has no output {unknown[0]!r}; it has {', '.join(names)}.")
    outputs = tuple(
        _output(graph, tensor, name, shown.get(name, name))
        for tensor, name in zip(tensors, names, strict=True)
        if not shown or name in shown
    )
    if graph.builder.weight_bytes() < weights.INLINE_LIMIT:
        graph.builder.save(out / MODEL_FILE)
    else:
        model = graph.builder.build()
        size = weights.spill(model, out, out)
        facts.append(Fact("external data", f"{weights.DATA_FILE}, {size} bytes, page-aligned", "size of the weights"))
        (out / MODEL_FILE).write_bytes(model.SerializeToString())
    record = options.preprocess.to_json() if options.preprocess else None
    warnings = (*_doubtful(root), *graph.warnings)
    return Conversion(
        "onnx", (Signature(specs, outputs, preprocess=record),), tuple(facts), warnings, versions=_versions()
    )  # fmt: skip


def flat(value: Value) -> list[str]:
    """The tensors of a value, in order."""
    return [value] if isinstance(value, str) else [each for item in value for each in flat(item)]


def _output(graph: Emit, tensor: str, name: str, public: str) -> TensorSpec:
    tensor_type = graph.tensor_type(tensor)
    kind, shape = BY_ONNX[tensor_type.elem_type].name, graph.shape(tensor)
    symbols = tuple(dim.dim_param for dim in tensor_type.shape.dim) if shape is not None else ()
    sizes = None if shape is None else tuple(s if s is not None else symbols[i] or None for i, s in enumerate(shape))
    own = graph.builder.output(tensor, graph.builder.unique(name), kind, sizes)
    return TensorSpec(public, kind, shape, own, symbols)


def _facts(root: Module) -> Iterator[Fact]:
    yield Fact("network", root.thing.kind, root.file)


def _doubtful(root: Module) -> Iterator[str]:
    for module in leaves(root):
        for name in ("weight", "bias", "running_mean", "running_var"):
            array = module.fields.get(name)
            if isinstance(array, np.ndarray) and array.dtype.kind == "f" and (bad := int(np.isnan(array).sum())):
                yield f"weights '{module.name}.{name}' hold NaN ({bad} of {array.size} elements)"


def _versions() -> dict[str, str]:
    import onnx

    return {"onnx": onnx.__version__, "numpy": np.__version__, "converter": f"{FORMAT_NAME} {FORMAT.revision}"}
