"""A module of its author's class to ONNX: by torch.export, as a script, traced; or served as it is.

Rule 1: the roads are tried in that order; the report names the one that was taken, and why not those before it.
Rule 2: a trace that had to turn a tensor into a number of Python's has forgotten what it was: it is not taken.
Rule 3: the module itself, called by Python, judges.
"""

from __future__ import annotations

import json
import warnings as python_warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, ONNX, SOURCE_FOLDER, Fact
from gateway.core.dtypes import Tensors
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats import exported
from gateway.formats.base import Conversion, Match, Oracle, Source
from gateway.formats.torchmodule import CLASS_FILE
from gateway.formats.torchmodule.module import Eager
from gateway.formats.torchscript import convert as scripts
from gateway.formats.torchscript.inputs import Solved, solve
from gateway.formats.torchscript.load import arrays, flat, tensor

OPSET = 18
NATIVELY = 'target = "native" in model.toml serves it as it is, by torch and the class file.'


def convert(source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
    """Errors: ConversionError, NeedsInputShape, CorruptModel."""
    eager = Eager(source, match, options)
    solved = solve(eager, options)
    eager.watch(solved.example)
    outputs = scripts.output_specs(eager, solved)
    facts = [*_facts(eager, options), *solved.facts]
    versions = {"torch": eager.torch.__version__, "numpy": np.__version__}
    if target == NATIVE:
        (out / SOURCE_FOLDER).mkdir()
        (out / SOURCE_FOLDER / CLASS_FILE).write_text(json.dumps({"class": options.class_, "numbers": eager.fixed}))
        if eager.state:
            facts.append(Fact("state", f"{', '.join(eager.state)}: put back before each call", "forward()"))
        preprocess = options.preprocess.to_json() if options.preprocess else None
        signature = Signature(solved.specs, exported.shown(outputs, options), preprocess=preprocess)
        return Conversion(NATIVE, (signature,), tuple(facts), versions=versions)
    _refuse(eager)
    import onnx

    model, road = _exported(eager, solved, outputs)
    facts += road
    signature, quantised = exported.finish(model, out, out, solved.specs, outputs, options, facts)
    return Conversion(ONNX, (signature,), tuple(facts), (), (), quantised, versions | {"onnx": onnx.__version__})


def _facts(eager: Eager, options: ModelOptions) -> list[Fact]:
    facts = [Fact("class", f"{options.class_}, trusted by its owner", "model.toml")]
    facts += [Fact(what, value, eager.file) for what, value in eager.facts]
    facts += [Fact("numbers", f"{name} = {value!r}", "model.toml") for name, value in eager.fixed.items()]
    facts += [Fact("left at their defaults", ", ".join(eager.left_out), "forward()")] if eager.left_out else []
    return facts


def _refuse(eager: Eager) -> None:
    problems = []
    if eager.state:
        problems.append(f"forward() keeps {', '.join(eager.state[:8])} from one call to the next")
    numbers = [argument.name for argument in eager.arguments if argument.scalar]
    if numbers:
        problems.append(f"forward() takes {', '.join(numbers)} as plain numbers, which decide what it computes")
    if problems:
        raise ConversionError(f"{eager.file} is not exported: {'; '.join(problems)}.", hint=NATIVELY)


def _exported(eager: Eager, solved: Solved, outputs: Sequence[TensorSpec]) -> tuple[Any, list[Fact]]:
    """The ModelProto and how it came about. Errors: ConversionError with every exporter's sentence."""
    roads: dict[str, Callable[[Eager, Solved, Sequence[TensorSpec]], Any]] = {"torch.export": _program}
    if eager.scripted is not None:
        roads["TorchScript, scripted"] = _script
    roads["TorchScript, traced"] = _trace
    refused: list[str] = []
    for name, road in roads.items():
        eager.restore()
        try:
            with python_warnings.catch_warnings(record=True) as said:
                python_warnings.simplefilter("always")
                model = road(eager, solved, outputs)
            if name.endswith("traced"):
                _whole(said, Path(eager.torch.__file__).parent)
        except Exception as error:  # noqa: BLE001  whatever torch, its exporters and the author's code raise
            refused.append(f"{name}: {_said(error)}")
            continue
        return model, [Fact("exported by", name, f"refused before: {'; '.join(refused)}" if refused else "torch")]
    raise ConversionError(
        f"torch {eager.torch.__version__} does not export {eager.file}: {'; '.join(refused)}", hint=NATIVELY
    )


def _whole(said: Sequence[Any], torch: Path) -> None:
    """Errors: ValueError for a trace of code, other than torch's own checks of sizes, that took one way of several."""
    lost = [
        f"{Path(one.filename).name}, line {one.lineno}: {str(one.message).splitlines()[0]}"
        for one in said
        if "to a Python" in str(one.message) and torch not in Path(one.filename).parents
    ]
    if lost:
        raise ValueError(f"the trace would hold one way of several: {lost[0]}")


def _said(error: BaseException) -> str:
    """torch's own sentence: the first line, and the first of what it lists below."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    listed = [text for text in lines[1:] if text.startswith("- ")]
    return " ".join((lines or [type(error).__name__])[:1] + listed[:1])[:300]


def _flat(eager: Eager, module: Any) -> Any:
    """A module around `module`: flat tensors in, flat tensors out."""
    torch = eager.torch

    class Flat(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *values: Any) -> Any:
            found = tuple(value for _, value in flat(self.inner(**eager.keywords(values))))
            if not all(isinstance(value, torch.Tensor) for value in found):
                raise TypeError("forward() gives plain numbers, which an exporter would write down as constants")
            return found

    return Flat().eval()


def _program(eager: Eager, solved: Solved, outputs: Sequence[TensorSpec]) -> Any:
    torch = eager.torch
    free = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(spec.shape or ()) if size is None}
        for spec in solved.specs
    )
    program = torch.export.export(_flat(eager, eager.eager), solved.example, dynamic_shapes=(free,))
    made = torch.onnx.export(
        program, dynamo=True, opset_version=OPSET, verbose=False,
        input_names=[spec.tensor for spec in solved.specs], output_names=[spec.tensor for spec in outputs],
    )  # fmt: skip
    model = made.model_proto
    _sides(model, solved, outputs)
    return model


def _sides(model: Any, solved: Solved, outputs: Sequence[TensorSpec]) -> None:
    """Errors: ValueError where the exporter's edge is another one."""
    wanted = ([spec.tensor for spec in solved.specs], [spec.tensor for spec in outputs])
    found = ([value.name for value in model.graph.input], [value.name for value in model.graph.output])
    if wanted != found:
        raise ValueError(f"the exporter wrote {found}, expected {wanted}")


def _script(eager: Eager, solved: Solved, outputs: Sequence[TensorSpec]) -> Any:
    return _by_script(eager, eager.scripted, solved, outputs)


def _trace(eager: Eager, solved: Solved, outputs: Sequence[TensorSpec]) -> Any:
    return _by_script(eager, eager.eager, solved, outputs)


def _by_script(eager: Eager, module: Any, solved: Solved, outputs: Sequence[TensorSpec]) -> Any:
    import io

    import onnx

    torch, out = eager.torch, io.BytesIO()
    traced = torch.jit.trace(_flat(eager, module), solved.example, check_trace=False)
    axes = {spec.tensor: {a: n for a, n in enumerate(spec.symbols) if n} for spec in (*solved.specs, *outputs)}
    torch.onnx.export(
        traced, solved.example, out, dynamo=False, opset_version=scripts.OPSET, do_constant_folding=True,
        input_names=[spec.tensor for spec in solved.specs], output_names=[spec.tensor for spec in outputs],
        dynamic_axes={name: free for name, free in axes.items() if free},
    )  # fmt: skip
    return onnx.load_from_string(out.getvalue())


class Served(Oracle):
    """The module, called with named arrays. Errors of the constructor: CorruptModel, ConversionError."""

    def __init__(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> None:
        self._eager = Eager(source, match, options)
        self._eager.fix(options)
        self._signature = signature
        self.name = f"torch {self._eager.torch.__version__} ({options.class_})"
        self._watched = False

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever the author's code raises for values that it does not take."""
        found = arrays(self._eager.torch, self._eager.call(self._values(inputs)))
        inner = {spec.tensor for spec in self._signature.inputs}
        renamed = {(f"{name}_out" if name in inner else name): value for name, value in found.items()}
        return {spec.name: renamed[spec.tensor] for spec in self._signature.outputs}

    def hints(self, inputs: Tensors) -> Mapping[str, Hint]:
        """Inputs that number the rows of a table."""
        try:
            found = self._eager.rows(self._values(inputs))
        except Exception:  # noqa: BLE001  values that it does not take tell nothing
            return {}
        return {spec.name: found[spec.tensor] for spec in self._signature.inputs if spec.tensor in found}

    def _values(self, inputs: Tensors) -> list[Any]:
        given = {spec.tensor: tensor(self._eager.torch, inputs[spec.name]) for spec in self._signature.inputs}
        return [given[argument.name] for argument in self._eager.arguments]
