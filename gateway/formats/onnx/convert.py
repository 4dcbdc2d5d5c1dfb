"""ONNX in, ONNX out: read, checked, made servable. Runs in a child of Environment `base`.

What may change: weights move (inline below 1 GiB, else one file beside the model), initializers
stop being inputs, an opset below 7 is raised, the graph is cut at the outputs asked for.

Rule 1: every stored tensor is checked against its bytes before onnx or onnxruntime see it.
Rule 2: operators nobody knows are collected over the whole graph, before anything is written.
Rule 3: what onnxruntime takes is taken: a complaint of onnx's stricter checker is a warning.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.core.artifact import FILE as ARTIFACT_FILE
from gateway.core.artifact import Artifact, Fact
from gateway.core.dtypes import BY_ONNX
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.preprocess import Preprocess
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, CorruptModel, GatewayError, StoreError, UnsupportedOps
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.onnx import surgery, weights

MODEL_FILE = "model.onnx"
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
BROKEN = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, AttributeError, RuntimeError)
"""What onnx, protobuf and numpy raise over damaged files; none of them is documented."""
ORT_ERRORS = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile", "NotFound",
              "RuntimeException", "EPFail", "EngineError")  # fmt: skip
_ORT_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from \S+ failed:)?")


def load(path: Path) -> Any:
    """The ModelProto, external data left where it is. Errors: CorruptModel."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, *BROKEN) as error:
        raise CorruptModel(
            f"{path.name} is not a whole ONNX file: {_first_line(error)} ({path.stat().st_size} bytes).",
            hint="Copy the file again; it may have been cut short.",
        ) from error
    if not model.graph.node or not model.graph.output:
        raise CorruptModel(
            f"{path.name} has {len(model.graph.node)} nodes and {len(model.graph.output)} outputs, "
            "expected some of both."
        )
    return model


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Inputs, outputs and operators as the file declares them. Errors: CorruptModel."""
    with _as_corrupt(match):
        return _inspect(source, match)


def _inspect(source: Source, match: Match) -> Inspection:
    model = load(source.path(match.main))
    hidden: list[Fact] = []
    surgery.hide_initializers(model, hidden)
    facts = [*_producer(model), *hidden, Fact("opset", str(surgery.default_opset(model)), "model file")]
    facts.append(Fact("weights", f"{weights.total_bytes(model)} bytes", "model file"))
    return Inspection(
        inputs=tuple(filter(None, map(_declared, model.graph.input))),
        outputs=tuple(filter(None, map(_declared, model.graph.output))),
        operators=dict(sorted(Counter(_op_name(node) for node in weights.nodes(model)).items())),
        facts=tuple(facts),
    )


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Write MODEL_FILE (and weights.DATA_FILE) into `out`. Errors: ConversionError, UnsafeDrop."""
    with _as_corrupt(match):
        return _convert(source, match, options, out)


@contextmanager
def _as_corrupt(match: Match) -> Iterator[None]:
    """What onnx, protobuf and numpy raise over damaged files, as CorruptModel."""
    try:
        yield
    except GatewayError:
        raise
    except BROKEN as error:
        raise CorruptModel(f"{match.main} breaks onnx's rules: {type(error).__name__}: {_first_line(error)}") from error


def _convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    path = source.path(match.main)
    folder = path.parent
    facts: list[Fact] = []
    warnings: list[str] = []
    model = load(path)
    weights.check(model, folder)
    refuse_unknown(model)
    facts += _producer(model)
    options, labels = _with_artifact(source, match, options, model, facts)
    total = weights.total_bytes(model)
    large = total >= weights.INLINE_LIMIT
    external = any(tensor.data_location == weights.EXTERNAL for tensor in weights.stored(model))
    facts.append(Fact("weights", f"{total} bytes", "model file"))
    for name, (bad, count) in weights.count_nan(model, folder).items():
        warnings.append(f"weights {name!r} hold NaN ({bad} of {count} elements)")
        facts.append(Fact("NaN weights", name, "model file"))
    if not large:
        weights.inline(weights.stored(model), folder)
        if external:
            facts.append(Fact("external data", "brought into the model file", "model file"))
    surgery.hide_initializers(model, facts)
    model = surgery.raise_opset(model, facts, warnings)
    unused = surgery.cut(model, options.outputs, facts) if options.outputs else ()
    unused = unused or surgery.unused_weights(model)
    surgery.declare_inputs(model, options.inputs, facts)
    quantised = sorted({node.op_type for node in weights.nodes(model) if _is_quantised(node.op_type)})
    if quantised:
        facts.append(Fact("quantised by", ", ".join(quantised), "graph"))
    for kind in sorted({node.op_type for node in weights.nodes(model)} & set(RANDOM)):
        facts.append(Fact("random", kind, "graph"))
    if large:
        size = weights.spill(model, folder, out)
        facts.append(Fact("external data", f"{weights.DATA_FILE}, {size} bytes, page-aligned", "model file"))
    target = out / MODEL_FILE
    target.write_bytes(model.SerializeToString())
    signature = _signature(target, model, options, labels)
    if _complete_outputs(model, signature):
        target.write_bytes(model.SerializeToString())
    _check(target, warnings)
    return Conversion("onnx", (signature,), tuple(facts), tuple(warnings), unused, bool(quantised), _versions())


def refuse_unknown(model: Any) -> None:
    """Every operator that neither onnx nor onnxruntime nor the file itself defines. Errors: UnsupportedOps."""
    import onnx
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    known = {(schema.domain, schema.name) for schema in onnx.defs.get_all_schemas_with_history()}
    known |= {(schema.domain, schema.name) for schema in get_all_operator_schema()}
    own = {(function.domain, function.name) for function in model.functions}
    counts: Counter[str] = Counter()
    for node in weights.nodes(model):
        key = ("" if node.domain in surgery.DEFAULT_DOMAINS else node.domain, node.op_type)
        if key not in known and (node.domain, node.op_type) not in own:
            counts[_op_name(node)] += 1
    if counts:
        raise UnsupportedOps(
            "onnx",
            counts,
            len(known),
            hint="onnxruntime has no such operators. Export the model without custom operators, or cut it before them.",
        )


def session(path: Path) -> Any:
    """An unoptimised onnxruntime session. Errors: ConversionError, CorruptModel in onnxruntime's own words."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    refusals: tuple[type[BaseException], ...] = (*ort_errors(), *BROKEN)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except state.NotImplemented as error:
        raise ConversionError(f"onnxruntime has no kernel for a node of it: {_first_line(error)}") from error
    except refusals as error:
        said = _first_line(error)
        kind = CorruptModel if "invalid model" in said.lower() or "pars" in said.lower() else ConversionError
        raise kind(f"onnxruntime refuses the model: {said}") from error


def ort_errors() -> tuple[type[Exception], ...]:
    """onnxruntime's exceptions; they have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(getattr(state, name) for name in ORT_ERRORS)


def _signature(path: Path, model: Any, options: ModelOptions, labels: tuple[str, ...]) -> Signature:
    """Names in the model's order, types and shapes as onnxruntime infers them. Errors: ConversionError."""
    loaded = session(path)
    problems: list[str] = []
    declared = {value.name: value for value in (*model.graph.input, *model.graph.output)}
    inputs = _specs("input", loaded.get_inputs(), declared, options.inputs, problems)
    outputs = _specs("output", loaded.get_outputs(), declared, options.outputs, problems)
    if problems:
        names = ", ".join(value.name for value in model.graph.output)
        raise ConversionError(
            "; ".join(problems) + ".",
            hint=f"Name tensors as outputs in model.toml or with --output; the model has: {names}. "
            "(scikit-learn exports give tensors with zipmap=False.)",
        )
    preprocess = options.preprocess.to_json() if options.preprocess else None
    return Signature(inputs, outputs, labels=labels, preprocess=preprocess)


_ORT_TYPES = {"float": "float32", "double": "float64"}
_NAMES = {row.name for row in BY_ONNX.values()}


def _specs(
    kind: str, nodes: Any, declared: dict[str, Any], options: tuple[TensorOption, ...], problems: list[str]
) -> tuple[TensorSpec, ...]:
    by_tensor: dict[str, list[str]] = {}
    for option in options:
        by_tensor.setdefault(option.own_name, []).append(option.name)
    specs = []
    for node in nodes:
        inner = node.type.removeprefix("tensor(").removesuffix(")")
        dtype = _ORT_TYPES.get(inner, inner)
        if not node.type.startswith("tensor(") or dtype not in _NAMES:
            problems.append(f"{kind} {node.name!r} is {node.type}, expected a tensor of {', '.join(sorted(_NAMES))}")
            continue
        value = declared.get(node.name)
        ranked = bool(node.shape) or (value is not None and value.type.tensor_type.HasField("shape"))
        shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in node.shape)
        symbols = tuple(size if isinstance(size, str) and not size.startswith("unk__") else "" for size in node.shape)
        for name in by_tensor.get(node.name, [node.name]):
            specs.append(TensorSpec(name, dtype, shape if ranked else None, node.name, symbols))
    names = [spec.name for spec in specs]
    problems += [f"two {kind}s are called {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    return tuple(specs)


def _complete_outputs(model: Any, signature: Signature) -> bool:
    """Write inferred types and shapes of outputs into the graph where the file had none."""
    by_dtype = {row.name: number for number, row in BY_ONNX.items()}
    specs = {spec.tensor: spec for spec in signature.outputs}
    changed = False
    for value in model.graph.output:
        spec = specs[value.name]
        tensor_type = value.type.tensor_type
        if not tensor_type.elem_type:
            tensor_type.elem_type = by_dtype[spec.dtype]
            changed = True
        if not tensor_type.HasField("shape") and spec.shape is not None:
            for size, name in zip(spec.shape, spec.symbols):
                dim = tensor_type.shape.dim.add()
                if size is not None:
                    dim.dim_value = size
                elif name:
                    dim.dim_param = name
            changed = True
    return changed


def _check(path: Path, warnings: list[str]) -> None:
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, *BROKEN) as error:
        warnings.append(f"onnx's checker objects, onnxruntime takes it: {_first_line(error)}")


def _with_artifact(
    source: Source, match: Match, options: ModelOptions, model: Any, facts: list[Fact]
) -> tuple[ModelOptions, tuple[str, ...]]:
    """An artifact of ours that is dropped keeps its public names, labels and preprocessing."""
    name = (Path(match.main).parent / ARTIFACT_FILE).as_posix()
    if name not in source.files:
        return options, ()
    try:
        found = Artifact.from_json(json.loads(source.path(name).read_text())).signatures[0]
    except (StoreError, ValueError, IndexError, OSError) as error:
        facts.append(Fact(ARTIFACT_FILE, f"not used: {error}", name))
        return options, ()
    known = surgery.tensor_names(model)
    if any(spec.tensor not in known for spec in (*found.inputs, *found.outputs)):
        facts.append(Fact(ARTIFACT_FILE, "not used: it describes another model", name))
        return options, ()
    facts.append(Fact(ARTIFACT_FILE, "names, labels and preprocessing taken from it", name))
    if not options.inputs:
        options = replace(options, inputs=tuple(TensorOption(s.name, s.tensor) for s in found.inputs))
    if not options.outputs:
        options = replace(options, outputs=tuple(TensorOption(s.name, s.tensor) for s in found.outputs))
    if options.preprocess is None and found.preprocess is not None:
        options = replace(options, preprocess=Preprocess.from_json(found.preprocess))
    return options, found.labels


def _declared(value: Any) -> TensorSpec | None:
    """A ValueInfoProto as a TensorSpec; None for what is no tensor of a known type."""
    row = BY_ONNX.get(value.type.tensor_type.elem_type) if value.type.HasField("tensor_type") else None
    if row is None:
        return None
    tensor_type = value.type.tensor_type
    if not tensor_type.HasField("shape"):
        return TensorSpec(value.name, row.name, None)
    dims = list(tensor_type.shape.dim)
    shape = tuple(int(d.dim_value) if d.HasField("dim_value") and d.dim_value >= 0 else None for d in dims)
    return TensorSpec(value.name, row.name, shape, symbols=tuple(d.dim_param for d in dims))


def _producer(model: Any) -> list[Fact]:
    if not model.producer_name:
        return []
    return [Fact("producer", f"{model.producer_name} {model.producer_version}".strip(), "model file")]


def _op_name(node: Any) -> str:
    return node.op_type if node.domain in surgery.DEFAULT_DOMAINS else f"{node.domain}.{node.op_type}"


def _is_quantised(op_type: str) -> bool:
    return op_type.startswith("QLinear") or op_type.endswith("Integer") or op_type in QUANTISED


def _versions() -> dict[str, str]:
    import numpy as np
    import onnx
    import onnxruntime

    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__}


def _first_line(error: BaseException) -> str:
    """The error's own sentence, without onnxruntime's code and the path of a scratch folder."""
    text = str(error).strip()
    return _ORT_PREFIX.sub("", text.splitlines()[0])[:300] if text else type(error).__name__
