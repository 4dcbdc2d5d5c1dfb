"""Shapes and types of a script's inputs: said by the owner, recorded when it was traced, or told by the first weights.

TorchScript writes down no shapes. What the first convolution, linear layer, table or recurrent layer behind an input
tells is one of several forms; which one is right is asked of the script itself: a form counts when the script runs on
it.

Rule 1: every fact says where it came from.
Rule 2: a size is free only where the owner says so, or the script has run with other sizes there.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.artifact import Fact
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.names import did_you_mean
from gateway.core.signature import Shape, Signature, TensorSpec, format_shape
from gateway.errors import ConversionError, NeedsInputShape
from gateway.formats.exported import free_name
from gateway.formats.torchscript.load import Argument, Script, attribute_path, line

PASSES_ON = {
    "aten::to", "aten::float", "aten::contiguous", "aten::clone", "aten::detach", "aten::relu", "aten::relu_",
    "aten::sub", "aten::add", "aten::mul", "aten::div", "aten::dropout", "aten::pad", "aten::constant_pad_nd",
    "aten::long", "aten::type_as", "aten::clamp", "aten::sigmoid", "aten::tanh", "aten::gelu", "aten::neg",
}  # fmt: skip
"""Operators behind which an input still has its shape."""
SIDES = (224, 32, 28, 64, 256, 96, 112, 128, 160, 192, 227, 299, 384, 512, 48, 16, 8, 640)  # of pictures
LENGTHS = (16, 32, 8, 64, 128, 10, 20, 50, 100, 256, 512, 1024, 4000, 16000, 5)  # of sequences
BUDGET_S = 40.0
BATCH = 2
OWNER = "model.toml"
APART, TOGETHER, ONLY_BATCH = "apart", "together", "only the batch"
Form = tuple[Shape, str, str]
"""A shape, a dtype, and what told it."""


@dataclass(frozen=True)
class Solved:
    """The inputs; `example` and `other` are calls that the script has taken, with different free sizes."""

    specs: tuple[TensorSpec, ...]
    example: tuple[Any, ...]
    other: tuple[Any, ...]
    facts: tuple[Fact, ...]
    guessed: bool  # some free size was nobody's word


def solve(script: Script, options: ModelOptions) -> Solved:
    """Errors: NeedsInputShape; ConversionError for names and types that do not fit, and shapes that are refused."""
    said = _options(script, options)
    recorded = _recorded(script)
    forms: list[list[Form]] = []
    unknown = []
    for argument in script.arguments:
        option = said.get(argument.name)
        own = _forms(script, argument, option, recorded.get(argument.name))
        if not own:
            unknown.append(argument.name)
        forms.append(own)
    if unknown:
        raise NeedsInputShape(script.file, unknown, [f"{name}:float32[?,3,224,224]" for name in unknown])
    fixed = all(said.get(a.name) is not None or a.name in recorded for a in script.arguments if not a.scalar)
    return _tried(script, forms, said, guessed=not fixed)


def hints(path: Path, signature: Signature) -> Mapping[str, Hint]:
    """Inputs that number the rows of a table, by public name."""
    script = Script(path)
    found = {}
    by_tensor = {spec.tensor: spec.name for spec in signature.inputs}
    for argument in script.arguments:
        for operator, weight, _ in _first_weights(script, argument):
            if operator == "aten::embedding" and argument.name in by_tensor:
                found[by_tensor[argument.name]] = Hint(int(weight.shape[0]))
    return found


# -- where forms come from --------------------------------------------------------------------------


def _options(script: Script, options: ModelOptions) -> dict[str, TensorOption]:
    script.fix(options)
    known = {argument.name for argument in script.arguments} | set(script.fixed)
    problems = [
        f"forward() takes no {option.own_name!r}.{did_you_mean(option.own_name, known)}"
        for option in options.inputs
        if option.own_name not in known
    ]
    if problems:
        raise ConversionError("; ".join(problems), hint=f"It takes: {', '.join(a.name for a in script.arguments)}.")
    return {option.own_name: option for option in options.inputs if option.value is None}


def _recorded(script: Script) -> dict[str, tuple[Shape, str]]:
    """What torch.jit.trace kept of its example inputs: shapes and types in the graph."""
    if not script.recorded:
        return {}
    found: dict[str, tuple[Shape, str]] = {}
    values = list(script.module.inlined_graph.inputs())[1:]
    tensors = [argument for argument in script.arguments if argument.item < 0 and not argument.scalar]
    by_place = {argument.place: argument.name for argument in tensors}
    for place, value in enumerate(values):
        kind = value.type()
        if place in by_place and kind.kind() == "TensorType" and kind.sizes() is not None and kind.dtype() is not None:
            found[by_place[place]] = tuple(kind.sizes()), str(kind.dtype()).removeprefix("torch.")
    return found


def _forms(
    script: Script, argument: Argument, option: TensorOption | None, recorded: tuple[Shape, str] | None
) -> list[Form]:
    if argument.scalar:
        return [((), argument.scalar, "the type in forward()")]
    told = [*_told(script, argument)]
    dtype = option.dtype if option and option.dtype else recorded[1] if recorded else told[0][1] if told else "float32"
    if option is not None and option.shape is not None:
        return [(option.shape, dtype, f"{OWNER} or --input")]
    if recorded is not None:
        return [(recorded[0], dtype, "the example that it was traced with")]
    return [(shape, dtype if option and option.dtype else kind, why) for shape, kind, why in told]


def _told(script: Script, argument: Argument) -> Iterator[Form]:
    """Forms that the first weights behind an input allow."""
    for operator, weight, groups in _first_weights(script, argument):
        name, sizes = operator.removeprefix("aten::"), [int(size) for size in weight.shape]
        kind = str(weight.dtype).removeprefix("torch.")
        why = f"its first operator, {name} with weights {sizes}"
        rank = {"conv1d": 3, "conv2d": 4, "conv3d": 5}.get(name, len(sizes))
        if name in ("conv1d", "conv2d", "conv3d", "_convolution"):
            yield (None, sizes[1] * groups, *([None] * (rank - 2))), kind, why
        elif name.startswith("conv_transpose"):
            yield (None, sizes[0], *([None] * (rank - 2))), kind, why
        elif name in ("linear", "addmm", "matmul"):
            width = sizes[1] if name == "linear" else sizes[0]
            yield from (((*([None] * extra), width), kind, why) for extra in (1, 2))
        elif name == "embedding":
            yield from ((shape, "int64", why) for shape in ((None, None), (None,)))
        elif name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
            yield (None, None, sizes[1]), kind, why
        elif name == "batch_norm":
            yield from (((None, sizes[0], *([None] * extra)), kind, why) for extra in (2, 0, 1, 3))
        elif name == "layer_norm":
            yield from (((*([None] * extra), *sizes), kind, why) for extra in (2, 1))


def _first_weights(script: Script, argument: Argument) -> Iterator[tuple[str, Any, int]]:
    """(operator, weight, groups) of the operators with weights that read an input first."""
    graph = script.module.inlined_graph
    inputs = list(graph.inputs())[1:]
    if argument.item >= 0 or argument.place >= len(inputs):
        return
    waiting, seen = [inputs[argument.place]], set[str]()
    while waiting and len(seen) < 200:
        value = waiting.pop(0)
        if value.debugName() in seen:
            continue
        seen.add(value.debugName())
        for use in value.uses():
            node = use.user
            weight, groups = _weight(script, node, value)
            if weight is not None:
                yield node.kind(), weight, groups
            elif node.kind() in PASSES_ON:
                waiting += list(node.outputs())


def _weight(script: Script, node: Any, value: Any) -> tuple[Any, int]:
    """The first parameter beside `value` in a node, and the groups of a convolution."""
    inputs = list(node.inputs())
    groups = 1
    if "conv" in node.kind():
        constant = [v for v in inputs if v.node().kind() == "prim::Constant" and str(v.type()) == "int"]
        place = 8 if node.kind() == "aten::_convolution" else 6
        if place < len(inputs) and inputs[place] in constant:
            groups = int(inputs[place].node().i("value"))
    candidates: list[Any] = []
    for other in inputs:
        if other.debugName() == value.debugName():
            continue
        candidates += list(other.node().inputs()) if other.node().kind() == "prim::ListConstruct" else [other]
    if node.kind() in PASSES_ON:
        return None, 1
    for other in candidates:
        tensor = _tensor(script, other)
        if tensor is not None and tensor.dim() > 0:
            return tensor, groups
    return None, 1


def _tensor(script: Script, value: Any) -> Any:
    node = value.node()
    if node.kind() == "prim::Constant" and value.type().kind() == "TensorType":
        return node.t("value")
    path = attribute_path(value) if node.kind() == "prim::GetAttr" else None
    if not path:
        return None
    found = script.module
    for name in path:
        found = getattr(found, name, None)
    return found if isinstance(found, script.torch.Tensor) else None


# -- which form the script takes -------------------------------------------------------------------


def _tried(
    script: Script, forms: Sequence[Sequence[Form]], said: Mapping[str, TensorOption], *, guessed: bool
) -> Solved:
    """The first forms and sizes that the script runs on. Errors: NeedsInputShape, ConversionError."""
    started, refused = time.monotonic(), ""
    for chosen in itertools.islice(itertools.product(*forms), 24):
        for sizes in _sizes(chosen):
            example = tuple(_value(script, a, f, s) for a, f, s in zip(script.arguments, chosen, sizes, strict=True))
            try:
                script.watch(example)
            except Exception as error:  # noqa: BLE001  whatever torch raises for a shape that it does not take
                refused = refused or line(error)
                if time.monotonic() - started > BUDGET_S:
                    break
                continue
            return _found(script, chosen, sizes, example, said, guessed=guessed)
    tried = ", ".join(f"{a.name}:{f[0][1]}{format_shape(f[0][0])}" for a, f in zip(script.arguments, forms) if f)
    if guessed:
        names = [a.name for a in script.arguments if a.name not in said and not a.scalar]
        raise NeedsInputShape(script.file, names or ["?"], [tried])
    raise ConversionError(
        f"{script.file} does not run on {tried}: {refused}", hint="Check shapes and types in model.toml."
    )


def _sizes(chosen: Sequence[Form]) -> Iterator[list[tuple[int, ...]]]:
    """Sizes to try for the free dimensions of all inputs, in order."""
    pictures = any(len(shape) >= 4 and None in shape[2:] for shape, _, _ in chosen if shape is not None)
    free = any(None in shape[1:] for shape, _, _ in chosen)
    for size in (SIDES if pictures else LENGTHS) if free else (1,):
        for batch in (BATCH, 1):
            yield [tuple(batch if at == 0 and n is None else size if n is None else n for at, n in enumerate(shape))
                   for shape, _, _ in chosen]  # fmt: skip


def _value(script: Script, argument: Argument, form: Form, shape: tuple[int, ...]) -> Any:
    torch = script.torch
    if argument.scalar:
        return {"int64": 1, "float64": 1.0, "bool": False}[argument.scalar]
    kind = getattr(torch, form[1])
    made = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
    if kind.is_floating_point or kind.is_complex:
        return torch.sin(made).to(kind)
    return (made % 2).to(kind)


def _found(
    script: Script,
    chosen: Sequence[Form],
    sizes: Sequence[tuple[int, ...]],
    example: tuple[Any, ...],
    said: Mapping[str, TensorOption],
    *,
    guessed: bool,
) -> Solved:
    """Free sizes: the owner's word, or shown by running with others."""
    shapes = [list(shape) for shape, _, _ in chosen]
    for shape, (_, _, why) in zip(shapes, chosen):  # a recorded batch is one example of a batch
        if why.startswith("the example") and shape:
            shape[0] = None
    free = [(place, axis) for place, shape in enumerate(shapes) for axis, size in enumerate(shape) if size is None]
    other, how, refusal = _other(script, chosen, sizes, example, free)
    facts = []
    if refusal:  # sizes that nobody has called free, and that cannot be changed, are what they were
        for place, axis in free:
            if not chosen[place][2].startswith(OWNER) and (axis or not how):
                shapes[place][axis] = sizes[place][axis]
        said_of = "only the batch is free" if how else "no size is free"
        facts.append(Fact("sizes", f"{said_of}: {refusal}", "the script, run with others"))
    specs = []
    for argument, form, shape in zip(script.arguments, chosen, shapes, strict=True):
        option = said.get(argument.name)
        final = tuple(shape)
        specs.append(
            TensorSpec(
                option.name if option else argument.name, form[1], final, argument.name,
                _symbols(argument.name, final, together=how != APART),
            )
        )  # fmt: skip
        if not argument.scalar:
            facts.append(Fact(f"input {argument.name}", f"{form[1]}{format_shape(final)}", form[2]))
    return Solved(tuple(specs), example, other, tuple(facts), guessed)


def _other(
    script: Script,
    chosen: Sequence[Form],
    sizes: Sequence[tuple[int, ...]],
    example: tuple[Any, ...],
    free: Sequence[tuple[int, int]],
) -> tuple[tuple[Any, ...], str, str]:
    """A call with other free sizes, how they differ, and why they do not differ more.

    APART: each from each; TOGETHER: those of one axis are the same; ONLY_BATCH; "": none could be changed.
    """
    refusal = ""
    for how in (APART, TOGETHER, ONLY_BATCH):
        changed = [list(size) for size in sizes]
        for count, (place, axis) in enumerate(free, start=1):
            step = 32 if len(sizes[place]) >= 4 else 1
            if axis == 0:
                changed[place][0] = sizes[place][0] + 1
            elif how != ONLY_BATCH:
                changed[place][axis] += step * (count if how == APART else axis)
        if changed == [list(size) for size in sizes]:
            break
        values = tuple(
            value if argument.scalar else _value(script, argument, form, tuple(size))
            for argument, form, size, value in zip(script.arguments, chosen, changed, example, strict=True)
        )
        try:
            script.call(values)
        except Exception as error:  # noqa: BLE001  whatever torch raises
            refusal = refusal or line(error)
            continue
        return values, how, refusal if how == ONLY_BATCH else ""
    return example, "", refusal


def _symbols(name: str, shape: Shape, *, together: bool) -> tuple[str, ...]:
    """What must agree has one name; what may differ has the input's in front."""
    names = []
    for axis, size in enumerate(shape):
        known = "" if size is not None else free_name(shape, axis)
        names.append(known if not known or axis == 0 or together else f"{name}_{known}")
    return tuple(names)
