"""TorchScript to ONNX, by torch's exporter for scripts. Runs in Environment `torch`.

Rule 1: what a call changes in the module has no place in an ONNX graph: such a script is refused here, by the names of
        what it keeps; so are numbers that forward() takes or gives, which the exporter would write down as constants.
Rule 2: where free heights and widths cannot be exported, and nobody asked for them, they are fixed, with a warning.
"""

from __future__ import annotations

import contextlib
import io
import warnings as python_warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Shape, TensorSpec
from gateway.errors import ConversionError, NeedsInputShape
from gateway.formats import exported
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.torchscript.inputs import Solved, solve
from gateway.formats.torchscript.load import Script, dtype_name, line, nodes

OPSET = 17
NATIVELY = 'target = "native" in model.toml serves it as it is, by torch itself.'


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    script = Script(source.path(match.main), recorded=True)
    facts = [*known_facts(script, match)]
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    try:
        solved = solve(script, options)
        inputs, outputs = solved.specs, output_specs(script, solved)
        facts += solved.facts
    except NeedsInputShape as error:
        takes = ", ".join(f"{a.name} ({a.scalar or 'tensor'})" for a in script.arguments)
        facts.append(Fact("inputs", f"{takes}; {error.explain()}", "forward()"))
    kinds = Counter(
        node.kind().removeprefix("aten::")
        for node in nodes(script.module.inlined_graph)
        if "Constant" not in node.kind()
    )
    return Inspection(inputs, outputs, dict(sorted(kinds.items())), tuple(facts))


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Write MODEL_FILE. Errors: ConversionError."""
    script = Script(source.path(match.main), recorded=True)
    solved = solve(script, options)
    outputs = output_specs(script, solved)
    facts = [*known_facts(script, match), *solved.facts]
    _refuse(script, outputs)
    warnings: list[str] = []
    import onnx

    data, solved, outputs = _exported(script, solved, outputs, warnings)
    model = onnx.load_from_string(data)
    inputs = solved.specs
    signature, quantised = exported.finish(model, out, out, inputs, outputs, options, facts)
    torch = script.torch
    versions = {"torch": torch.__version__, "onnx": onnx.__version__, "numpy": np.__version__}
    return Conversion("onnx", (signature,), tuple(facts), tuple(warnings), (), quantised, versions)


def known_facts(script: Script, match: Match) -> list[Fact]:
    facts = [Fact("archive", f"version {match.version}", match.main)] if match.version else []
    if script.moved:
        facts.append(Fact("devices", f"{', '.join(script.moved)} in its code: here the CPU", "constants of the script"))
    if script.fixed:
        facts.append(Fact("numbers", ", ".join(f"{name} = {v!r}" for name, v in script.fixed.items()), "model.toml"))
    if script.left_out:
        facts.append(Fact("left at their defaults", ", ".join(script.left_out), "forward()"))
    if script.was_training:
        facts.append(Fact("mode", "saved in training mode; run in inference mode", "attribute `training`"))
    return facts


def output_specs(script: Script, solved: Solved) -> tuple[TensorSpec, ...]:
    """Names, types and shapes of what two calls of different sizes gave. Errors: ConversionError."""
    one, two = script.call(solved.example), script.call(solved.other)
    if [name for name, _ in one] != [name for name, _ in two]:
        raise ConversionError(
            f"{script.file} gives {len(one)} outputs for one input and {len(two)} for another; a model that is served "
            "has always the same ones."
        )
    if not one:
        raise ConversionError(f"{script.file}: forward() gives no tensor.")
    names = [name for name, _ in one]
    twice = sorted({name for name in names if names.count(name) > 1} | ({*names} & {s.tensor for s in solved.specs}))
    specs = []
    for (name, first), (_, second) in zip(one, two, strict=True):
        own = f"{name}_out" if name in twice else name
        shapes = tuple(tuple(int(n) for n in getattr(value, "shape", ())) for value in (first, second))
        shape, symbols = _shape(solved, *shapes)
        specs.append(TensorSpec(own, dtype_name(first), shape, own, symbols))
    return tuple(specs)


def _shape(solved: Solved, one: tuple[int, ...], two: tuple[int, ...]) -> tuple[Shape | None, tuple[str, ...]]:
    """Sizes that stay are fixed; one that goes as a free size of an input goes has its name."""
    if len(one) != len(two):
        return None, ()
    pairs: dict[tuple[int, int], str] = {}
    free_batch = False
    for spec, first, second in zip(solved.specs, solved.example, solved.other):
        for axis, symbol in enumerate(spec.symbols):
            if symbol:
                pairs.setdefault((int(first.shape[axis]), int(second.shape[axis])), symbol)
        free_batch |= bool(spec.shape) and spec.shape is not None and spec.shape[0] is None
    shape, symbols = [], []
    for axis, pair in enumerate(zip(one, two)):
        symbol = pairs.get(pair, "") if pair[0] != pair[1] else ""
        shape.append(None if pair[0] != pair[1] else pair[0])
        symbols.append("batch" if symbol and axis == 0 and free_batch and pair in pairs else symbol)
    return tuple(shape), tuple(symbols)


def _refuse(script: Script, outputs: Sequence[TensorSpec]) -> None:
    """Errors: ConversionError with every reason why no graph of ONNX says what the script does."""
    problems = []
    if script.state:
        problems.append(f"forward() keeps {', '.join(script.state[:8])} from one call to the next")
    numbers = [argument.name for argument in script.arguments if argument.scalar]
    if numbers:
        problems.append(f"forward() takes {', '.join(numbers)} as plain numbers, which decide what it computes")
    if problems:
        raise ConversionError(f"{script.file} is not exported: {'; '.join(problems)}.", hint=NATIVELY)


def _exported(
    script: Script, solved: Solved, outputs: tuple[TensorSpec, ...], warnings: list[str]
) -> tuple[bytes, Solved, tuple[TensorSpec, ...]]:
    """The ModelProto's bytes, and what it takes and gives. Errors: ConversionError in the exporter's words."""
    try:
        return _export(script, solved, outputs), solved, outputs
    except _Refused as error:
        refusal = str(error)
    narrow = _narrowed(solved) if solved.guessed else solved
    if narrow.specs != solved.specs:
        outputs = output_specs(script, narrow)
        with contextlib.suppress(_Refused):
            data = _export(script, narrow, outputs)
            warnings.append(f"only the batch is free: with other free sizes the exporter says: {refusal}")
            return data, narrow, outputs
    version = script.torch.__version__
    raise ConversionError(f"torch {version}'s exporter does not export {script.file}: {refusal}", hint=NATIVELY)


class _Refused(Exception):
    """The exporter's sentence."""


def _export(script: Script, solved: Solved, outputs: Sequence[TensorSpec]) -> bytes:
    """Errors: _Refused."""
    torch, out = script.torch, io.BytesIO()
    wrapped = _wrapped(script, solved)
    axes = {spec.tensor: {a: n for a, n in enumerate(spec.symbols) if n} for spec in (*solved.specs, *outputs)}
    try:
        with python_warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            python_warnings.simplefilter("ignore")
            script.restore()
            torch.onnx.export(
                wrapped, solved.example, out, dynamo=False, opset_version=OPSET, do_constant_folding=True,
                input_names=[spec.tensor for spec in solved.specs], output_names=[spec.tensor for spec in outputs],
                dynamic_axes={name: free for name, free in axes.items() if free},
            )  # fmt: skip
    except Exception as error:  # whatever the exporter raises
        lines = [text.strip() for text in str(error).splitlines() if text.strip()]
        raise _Refused((lines[0] if lines else type(error).__name__)[:400]) from error
    return out.getvalue()


def _narrowed(solved: Solved) -> Solved:
    """Only the batch is free: the other sizes are those of the example."""
    specs, other = [], []
    for spec, value in zip(solved.specs, solved.example, strict=True):
        shape = tuple(size if not axis else int(value.shape[axis]) for axis, size in enumerate(spec.shape or ()))
        specs.append(replace(spec, shape=shape, symbols=(*spec.symbols[:1], *[""] * (len(shape) - 1))))
        free = bool(shape) and shape[0] is None
        other.append(value.new_tensor([]).new_zeros((value.shape[0] + 1, *value.shape[1:])) if free else value)
    return Solved(tuple(specs), solved.example, tuple(other), solved.facts, solved.guessed)


def _wrapped(script: Script, solved: Solved) -> Any:
    """A script around the module: flat tensors in, flat tensors out. Control flow inside stays what it is."""
    from gateway.formats.torchscript.load import flat

    torch = script.torch

    class Flat(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = script.module

        def forward(self, *values: Any) -> Any:
            found = tuple(value for _, value in flat(self.inner(**script.keywords(values))))
            if not all(isinstance(value, torch.Tensor) for value in found):
                raise TypeError("forward() gives plain numbers, which the exporter would write down as constants")
            return found[0] if len(found) == 1 else found

    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        try:
            return torch.jit.trace(Flat().eval(), solved.example, check_trace=False)
        except Exception as error:  # whatever torch raises
            raise ConversionError(f"{script.file} is not exported: {line(error)}", hint=NATIVELY) from error


def _why(error: BaseException) -> str:
    """The exporter's sentence: the first line that says something."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    return (lines[0] if lines else type(error).__name__)[:400]
