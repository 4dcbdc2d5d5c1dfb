"""Changes to an ONNX graph that do not change its numbers: each one says what it did as a Fact.

Rule 1: nothing is renamed: nodes and tensors keep the names their author gave.
Rule 2: what was asked for and is not there is named with its nearest neighbour, all together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.core.artifact import Fact
from gateway.core.dtypes import BY_ONNX
from gateway.core.modeltoml import TensorOption
from gateway.core.names import did_you_mean
from gateway.core.signature import Shape, format_shape
from gateway.errors import ConversionError
from gateway.formats.onnx import weights

DEFAULT_DOMAINS = ("", "ai.onnx")
LOWEST_OPSET = 7  # what onnxruntime guarantees; it warns below and lacks kernels
BROADCASTS = ("Add", "Sub", "Mul", "Div", "And", "Or", "Xor", "Equal", "Greater", "Less", "Pow")
LOWEST_IR = 4  # from IR 4 on an initializer need not be listed as an input


def default_opset(model: Any) -> int:
    """Version of the default domain; 1 when the file does not say (IR 1 and 2)."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS), 1)


def tensor_names(model: Any) -> dict[str, None]:
    """Every tensor of the outermost graph, in order: outputs of nodes, then inputs."""
    names = {name: None for node in model.graph.node for name in node.output if name}
    return names | {value.name: None for value in model.graph.input}


def hide_initializers(model: Any, facts: list[Fact]) -> None:
    """Old exports list every weight as an input. Clients must see the real inputs only."""
    stored = {tensor.name for tensor in model.graph.initializer}
    stored |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    hidden = [value.name for value in model.graph.input if value.name in stored]
    if hidden:
        kept = [value for value in model.graph.input if value.name not in stored]
        _replace(model.graph.input, kept)
        facts.append(Fact("hidden inputs", f"{len(hidden)} initializers are no longer inputs", "model file"))
    if model.ir_version < LOWEST_IR:
        facts.append(Fact("IR version", f"{model.ir_version} -> {LOWEST_IR}", "model file"))
        model.ir_version = LOWEST_IR


def raise_opset(model: Any, facts: list[Fact], warnings: list[str]) -> Any:
    """A model with an opset that onnxruntime does not guarantee, raised by onnx's own converter."""
    found = default_opset(model)
    if found >= LOWEST_OPSET:
        return model
    from onnx import version_converter

    spell_out_broadcasts(model, facts)
    if not any(entry.domain in DEFAULT_DOMAINS for entry in model.opset_import):
        model.opset_import.add(domain="", version=found)
    if weights.total_bytes(model) >= weights.INLINE_LIMIT:
        warnings.append(f"opset {found} is kept: onnx's version converter takes no weights over 1 GiB")
        return model
    try:
        raised = version_converter.convert_version(model, LOWEST_OPSET)
    except (RuntimeError, ValueError, IndexError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        warnings.append(f"opset {found} is kept: onnx's version converter cannot raise it: {first[:200]}")
        return model
    # It notes tensors of its own with no type, and onnxruntime refuses those notes.
    _replace(raised.graph.value_info, [v for v in raised.graph.value_info if v.type.tensor_type.elem_type])
    facts.append(Fact("opset", f"{found} -> {LOWEST_OPSET}", "onnx version_converter"))
    return raised


def spell_out_broadcasts(model: Any, facts: list[Fact]) -> None:
    """Add(a, b, broadcast=1, axis=k) of opset 6 and older: b gets the trailing ones that `axis` means.

    onnx's converter (1.23) puts ndim(a) - ndim(b) of them, which is right for axis=0 only: a bias
    of shape (C,) beside (N, C, H, W) came out as (C, 1, 1, 1).
    """
    import onnx

    known = onnx.shape_inference.infer_shapes(model).graph
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*known.value_info, *known.input, *known.output)
        if value.type.tensor_type.HasField("shape")
    }
    ranks |= {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    nodes, changed = [], 0
    for node in model.graph.node:
        given = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type in BROADCASTS and given.get("broadcast") and "axis" in given:
            a, b = (ranks.get(name) for name in node.input)
            if a is not None and b is not None:
                behind = a - given["axis"] % a - b
                if behind > 0:
                    wide = f"{node.input[1]}_beside_{node.output[0]}"
                    axes = list(range(b, b + behind))
                    nodes.append(onnx.helper.make_node("Unsqueeze", [node.input[1]], [wide], wide, axes=axes))
                    node.input[1] = wide
                kept = [attribute for attribute in node.attribute if attribute.name != "axis"]
                _replace(node.attribute, kept)
                changed += 1
        nodes.append(node)
    if changed:
        _replace(model.graph.node, nodes)
        facts.append(Fact("broadcast", f"{changed} nodes with an axis of their own spelt out", "graph"))


def cut(model: Any, outputs: Sequence[TensorOption], facts: list[Fact]) -> tuple[str, ...]:
    """Make `outputs` (any tensors) the graph's outputs; drop what they do not need. Returns unused weights.

    Errors: ConversionError names every unknown tensor and its nearest neighbour.
    """
    import onnx

    known = tensor_names(model)
    unknown = [option.own_name for option in outputs if option.own_name not in known]
    if unknown:
        listed = "; ".join(f"{name!r} is no tensor of this model.{did_you_mean(name, known)}" for name in unknown)
        own = ", ".join(value.name for value in model.graph.output)
        raise ConversionError(f"output {listed}", hint=f"The model's own outputs are: {own}.")
    wanted = list(dict.fromkeys(option.own_name for option in outputs))
    declared = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    if wanted == [value.name for value in model.graph.output]:
        return ()
    _replace(model.graph.output, [declared.get(name, onnx.ValueInfoProto(name=name)) for name in wanted])
    needed = _needed(model.graph, wanted)
    kept = [node for node in model.graph.node if any(name in needed for name in node.output)]
    dropped = len(model.graph.node) - len(kept)
    _replace(model.graph.node, kept)
    read = {name for node in kept for name in reads(node)} | set(wanted)
    unused = tuple(tensor.name for tensor in model.graph.initializer if tensor.name not in read)
    _replace(model.graph.initializer, [tensor for tensor in model.graph.initializer if tensor.name in read])
    gone = [value.name for value in model.graph.input if value.name not in read]
    _replace(model.graph.input, [value for value in model.graph.input if value.name in read])
    made = {name for node in kept for name in node.output}
    _replace(model.graph.value_info, [value for value in model.graph.value_info if value.name in made])
    facts.append(Fact("cut at", ", ".join(wanted), "model.toml or --output"))
    facts.append(Fact("dropped by the cut", f"{dropped} nodes, {len(unused)} weights", "graph"))
    if gone:
        facts.append(Fact("inputs that nothing reads any more", ", ".join(gone), "graph"))
    return unused


def reads(node: Any) -> set[str]:
    """Names a node needs: its inputs, and what its subgraphs take from outside."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
            inner = {name for child in graph.node for name in reads(child)} | {value.name for value in graph.output}
            own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            own |= {name for child in graph.node for name in child.output}
            names |= inner - own
    return names


def _needed(graph: Any, wanted: Sequence[str]) -> set[str]:
    maker = {name: node for node in graph.node for name in node.output if name}
    needed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            if name in maker:
                waiting.extend(reads(maker[name]))
    return needed


def unused_weights(model: Any) -> tuple[str, ...]:
    """Initializers that no node reads and no output shows."""
    read = {name for node in model.graph.node for name in reads(node)}
    read |= {value.name for value in model.graph.output}
    return tuple(tensor.name for tensor in model.graph.initializer if tensor.name not in read)


def declare_inputs(model: Any, options: Sequence[TensorOption], facts: list[Fact]) -> None:
    """What the owner says of inputs. A dtype must be the model's; a shape may free or fix dimensions.

    Errors: ConversionError with every problem.
    """
    by_name = {value.name: value for value in model.graph.input}
    problems: list[str] = []
    changed = False
    for option in options:
        value = by_name.get(option.own_name)
        if value is None:
            problems.append(
                f"input {option.own_name!r} is not one of this model's.{did_you_mean(option.own_name, by_name)}"
            )
            continue
        row = BY_ONNX.get(value.type.tensor_type.elem_type)
        if option.dtype and (row is None or option.dtype != row.name):
            problems.append(
                f"input {option.own_name!r} is {row.name if row else 'no tensor'} in the model, "
                f"{option.dtype} was asked for; a dtype is never changed"
            )
        if option.shape is not None:
            changed |= _reshape(value, option.shape, problems, facts)
    if problems:
        raise ConversionError("; ".join(problems), hint=f"The model's inputs are: {', '.join(by_name)}.")
    if changed:  # what was written down for the old shape no longer holds: onnxruntime infers it anew
        del model.graph.value_info[:]
        for value in model.graph.output:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")


def _reshape(value: Any, shape: Shape, problems: list[str], facts: list[Fact]) -> bool:
    tensor_type = value.type.tensor_type
    old = _shape_of(tensor_type) if tensor_type.HasField("shape") else None
    if old == shape:
        return False
    if old is not None:
        clash = any(had is not None and now is not None and had != now for had, now in zip(old, shape))
        if len(old) != len(shape) or clash:
            problems.append(
                f"input {value.name!r} has shape {format_shape(old)} in the model, {format_shape(shape)} was asked for"
            )
            return False
    names = [dim.dim_param for dim in tensor_type.shape.dim] if old is not None else [""] * len(shape)
    del tensor_type.shape.dim[:]
    for size, name in zip(shape, names):
        dim = tensor_type.shape.dim.add()
        if size is not None:
            dim.dim_value = size
        elif name:
            dim.dim_param = name
    if not shape:
        tensor_type.shape.SetInParent()
    change = f"{value.name}: {format_shape(old)} -> {format_shape(shape)}"
    facts.append(Fact("shape", change, "model.toml or --input"))
    return True


def _shape_of(tensor_type: Any) -> Shape:
    return tuple(
        int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value >= 0 else None
        for dim in tensor_type.shape.dim
    )


def _replace(field: Any, values: Sequence[Any]) -> None:
    """Put `values` (which may be elements of `field`) in the place of a repeated field's content."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)
