"""What a framework's own exporter wrote, made servable: names, free sizes, types, weights. Runs in its Environment.

Rule 1: nothing of the graph is changed but names at its edge and what is written down of shapes.
Rule 2: onnx checks what was written before anybody relies on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.core.artifact import Fact
from gateway.core.dtypes import BY_NAME, BY_ONNX
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.signature import Shape, Signature, TensorSpec
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.onnx import surgery, weights

MODEL_FILE = "model.onnx"
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


def finish(
    model: Any,
    folder: Path,
    out: Path,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    options: ModelOptions,
    facts: list[Fact],
) -> tuple[Signature, bool]:
    """Write MODEL_FILE; the signature of it, and whether it is quantised.

    `inputs` and `outputs` are by the graph's own tensors, in order; a spec of an output may have no shape.
    `folder` holds external data of the exporter. Errors: ConversionError, CorruptModel.
    """
    import onnx

    weights.inline(weights.stored(model), folder)
    _declare(model.graph.input, inputs)
    _declare(model.graph.output, outputs)
    chosen = shown(outputs, options)
    if options.outputs:
        surgery.cut(model, options.outputs, facts)
    del model.graph.value_info[:]
    size = weights.total_bytes(model)
    facts.append(Fact("weights", f"{size} bytes", "model file"))
    quantised = sorted({node.op_type for node in weights.nodes(model) if is_quantised(node.op_type)})
    if quantised:
        facts.append(Fact("quantised by", ", ".join(quantised), "graph"))
    if size >= weights.INLINE_LIMIT:
        weights.spill(model, folder, out)
    (out / MODEL_FILE).write_bytes(model.SerializeToString())
    try:
        onnx.checker.check_model(str(out / MODEL_FILE))
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CorruptModel(f"the exporter wrote a graph that onnx's checker refuses: {first}") from error
    read = {value.name for value in model.graph.input}
    preprocess = options.preprocess.to_json() if options.preprocess else None
    kept = tuple(spec for spec in inputs if spec.tensor in read)
    return Signature(kept, chosen, preprocess=preprocess), bool(quantised)


def shown(outputs: Sequence[TensorSpec], options: ModelOptions) -> tuple[TensorSpec, ...]:
    """The outputs that the owner asks for, under the owner's names; all where none is asked for.

    Errors: ConversionError naming those that are not there.
    """
    if not options.outputs:
        return tuple(outputs)
    by_name = {spec.tensor: spec for spec in outputs} | {spec.name: spec for spec in outputs}
    unknown = [option.own_name for option in options.outputs if option.own_name not in by_name]
    if unknown:
        raise ConversionError(
            f"no output is called {', '.join(map(repr, unknown))}.",
            hint=f"The model's outputs are: {', '.join(spec.tensor for spec in outputs)}.",
        )
    return tuple(replace(by_name[option.own_name], name=option.name) for option in options.outputs)


def aliased(
    specs: Sequence[TensorSpec], options: Sequence[TensorOption], kind: str = "input"
) -> tuple[TensorSpec, ...]:
    """Under the names of model.toml. Errors: ConversionError for names that are not there and types that differ."""
    by_name = {option.own_name: option for option in options}
    problems = [f"no {kind} is called {name!r}" for name in by_name if name not in {spec.tensor for spec in specs}]
    made = []
    for spec in specs:
        option = by_name.get(spec.tensor)
        if option is not None and option.dtype and option.dtype != spec.dtype:
            problems.append(f"{kind} {spec.tensor!r} is {spec.dtype}, {option.dtype} was asked for")
        if option is not None and option.shape is not None and not _fits(spec, option):
            problems.append(f"{kind} {spec} cannot have the shape {list(option.shape)} that was asked for")
        made.append(spec if option is None else replace(spec, name=option.name))
    if problems:
        raise ConversionError("; ".join(problems) + ".", hint=f"The model's own are: {', '.join(map(str, specs))}.")
    return tuple(made)


def _fits(spec: TensorSpec, option: TensorOption) -> bool:
    """A shape asked for names sizes that are free, or the ones that are there."""
    if spec.shape is None or option.shape is None:
        return True
    return len(spec.shape) == len(option.shape) and all(
        had is None or now is None or had == now for had, now in zip(spec.shape, option.shape)
    )


def is_quantised(op_type: str) -> bool:
    return op_type.startswith("QLinear") or op_type.endswith("Integer") or op_type in QUANTISED


def rename(graph: Any, names: Mapping[str, str]) -> None:
    """Give tensors of the outermost graph other names, wherever they are made and read, in subgraphs too.

    Whoever has a new name already (inside the graph) gets another one, so that none stands for two.
    """
    renames = {old: new for old, new in names.items() if old != new}
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    for number, clash in enumerate(sorted(taken & set(renames.values()) - set(renames))):
        renames[clash] = f"{clash}__{number}"
    _rename(graph, renames)


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    if not names:
        return
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for field in (node.input, node.output):
            for place, name in enumerate(field):
                if name in names:
                    field[place] = names[name]
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                _rename(inner, names)


def declared(graph: Any, values: Any) -> list[TensorSpec]:
    """Specs of a graph's inputs or outputs as it declares them. Errors: ConversionError for what is no tensor."""
    specs = []
    for value in values:
        tensor = value.type.tensor_type
        row = BY_ONNX.get(tensor.elem_type) if value.type.HasField("tensor_type") else None
        if row is None:
            raise ConversionError(f"{value.name!r} is no tensor of a known type in the exported graph.")
        dims = list(tensor.shape.dim)
        shape = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in dims)
        symbols = tuple(d.dim_param if not d.HasField("dim_value") else "" for d in dims)
        specs.append(TensorSpec(value.name, row.name, shape if tensor.HasField("shape") else None, value.name, symbols))
    return specs


def _declare(values: Any, specs: Sequence[TensorSpec]) -> None:
    """Types and shapes of `specs` written into a graph's inputs or outputs. Errors: ConversionError."""
    by_name = {spec.tensor: spec for spec in specs}
    if [value.name for value in values if value.name in by_name] != [v.name for v in values]:
        stray = sorted({v.name for v in values} - set(by_name))
        raise ConversionError(f"the exporter wrote {', '.join(map(repr, stray))}, which the model does not have.")
    for value in values:
        spec = by_name[value.name]
        tensor = value.type.tensor_type
        tensor.elem_type = BY_NAME[spec.dtype].onnx
        tensor.ClearField("shape")
        if spec.shape is None:
            continue
        tensor.shape.SetInParent()
        for axis, size in enumerate(spec.shape):
            dim = tensor.shape.dim.add()
            if size is not None:
                dim.dim_value = size
            elif axis < len(spec.symbols) and spec.symbols[axis]:
                dim.dim_param = spec.symbols[axis]


def operators(model: Any) -> dict[str, int]:
    """How often each operator of a graph occurs, in subgraphs too."""
    return dict(sorted(Counter(node.op_type for node in weights.nodes(model)).items()))


def hoist(graph: Any) -> None:
    """Constant nodes of the outermost graph become initializers, where weights are counted and moved."""
    kept = []
    for node in graph.node:
        value = next((a for a in node.attribute if a.name == "value" and a.HasField("t")), None)
        if node.op_type != "Constant" or value is None:
            kept.append(node)
            continue
        tensor = graph.initializer.add()
        tensor.CopyFrom(value.t)
        tensor.name = node.output[0]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)


def free_name(shape: Shape, axis: int) -> str:
    """What a free size is called: batch first; height and width of pictures, length of sequences."""
    if axis == 0:
        return "batch"
    if len(shape) == 3 and shape[2] is not None:
        return {1: "sequence"}.get(axis, f"dim{axis}")
    known = {3: {2: "length"}, 4: {2: "height", 3: "width"}, 5: {2: "depth", 3: "height", 4: "width"}}
    return known.get(len(shape), {1: "sequence"}).get(axis, f"dim{axis}")
