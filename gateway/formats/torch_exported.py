"""PyTorch's ExportedProgram (.pt2): exported to ONNX by torch's exporter, judged by the program itself, run by torch.

Rule 1: a program is loaded in a sandbox of level L2 at least: the archive may hold pickles beside its graph.
Rule 2: inputs keep their names; sizes that the program leaves free stay free, under names of our own: torch writes
        down "s77" where its author said "batch".
Rule 3: buffers that a call changes are put back before each call, and such a program is not exported.
"""

from __future__ import annotations

import re
import warnings as python_warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.archive import open_archive
from gateway.core.artifact import NATIVE, ONNX, Fact
from gateway.core.dtypes import Tensors
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

OPSET = 18
NATIVELY = 'target = "native" in model.toml serves it as it is, by torch itself.'
_SYMBOL = re.compile(r"\b[su]\d+\b")


class ExportedProgram(Format):
    name = "torch-exported"
    title = "PyTorch ExportedProgram"
    suffixes = (".pt2", ".pt")
    environment = "torch"
    targets = (ONNX, NATIVE)
    native = "torch"
    falls_back = True
    address_space = False

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        program = Program(source.path(match.main))
        counts = Counter(str(getattr(node.target, "__name__", node.target)) for node in program.nodes("call_function"))
        return Inspection(
            program.inputs(options), program.outputs(), dict(sorted(counts.items())), tuple(program.facts(match))
        )

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        program = Program(source.path(match.main))
        if self.check_target(target) == NATIVE:
            return _native(program, match, options)
        return _convert(program, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        return Served(source.path(match.main), signature)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        return Served(source.path(match.main), signature)

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        rows = Program(source.path(match.main)).rows()
        return {spec.name: Hint(rows[spec.tensor]) for spec in signature.inputs if spec.tensor in rows}


class Program:
    """An ExportedProgram and its edge: flat, named, with free sizes named. Errors: CorruptModel, ConversionError."""

    def __init__(self, path: Path) -> None:
        from gateway.formats.torchscript.load import EXPANDS, framework, line

        self.torch, self.file = framework(), path.name
        with open_archive(path, EXPANDS):
            pass
        try:
            with python_warnings.catch_warnings():
                python_warnings.simplefilter("ignore")
                self.program = self.torch.export.load(str(path))
                self.module = self.program.module()
        except Exception as error:  # whatever torch raises over a file
            raise CorruptModel(
                f"torch {self.torch.__version__} does not load {path.name}: {line(error)}",
                hint="Copy the file again; or, where another version of torch wrote it, export it with this one.",
            ) from error
        self.names = list(self.program.graph_signature.user_inputs)
        holders = {node.name: node for node in self.nodes("placeholder")}
        self.values = {name: holders[name].meta.get("val") for name in self.names if isinstance(name, str)}
        self.taken = [name for name in self.values if isinstance(self.values[name], self.torch.Tensor)]
        self.symbols = dict(self._symbols())
        self.state = tuple(sorted(self._changed()))
        self._kept = {name: self.module.get_buffer(name).clone() for name in self.state}

    def nodes(self, kind: str) -> Iterator[Any]:
        return (node for node in self.program.graph.nodes if node.op == kind)

    def _changed(self) -> set[str]:
        """Buffers that a call changes: as the signature says, or by an operator that writes into its first argument."""
        known = self.program.graph_signature
        changed = set(known.buffers_to_mutate.values())
        for node in self.nodes("call_function"):
            if not getattr(getattr(node.target, "_schema", None), "is_mutable", False):
                continue
            place = node.args[0]
            while getattr(place, "op", "") == "call_function" and place.args:  # a view of it
                place = place.args[0]
            name = known.inputs_to_buffers.get(getattr(place, "name", ""))
            changed |= {name} if name else set()
        return changed

    def _symbols(self) -> Iterator[tuple[str, str]]:
        """torch's symbol -> the name clients see: batch, height, width, sequence."""
        from gateway.formats.exported import free_name

        seen: dict[str, str] = {}
        for name in self.taken:
            shape = self.values[name].shape
            for axis, size in enumerate(shape):
                symbol = str(size)
                if _SYMBOL.fullmatch(symbol) and symbol not in seen:
                    fixed = tuple(None if _SYMBOL.search(str(n)) else int(n) for n in shape)
                    wish = free_name(fixed, axis)
                    seen[symbol] = wish if wish not in seen.values() else f"{name}_{wish}"
        yield from seen.items()

    def _spec(self, name: str, value: Any) -> TensorSpec:
        from gateway.formats.torchscript.load import dtype_name

        said = [str(size) for size in value.shape]
        shape = tuple(int(size) if size.isdigit() else None for size in said)
        symbols = tuple("" if size.isdigit() else self.named(size) for size in said)
        return TensorSpec(name, dtype_name(value), shape, name, symbols)

    def named(self, expression: str) -> str:
        """An expression over torch's symbols, over ours."""
        return _SYMBOL.sub(lambda found: self.symbols.get(found[0], found[0]), expression)

    def inputs(self, options: ModelOptions) -> tuple[TensorSpec, ...]:
        """Errors: ConversionError for names and shapes of model.toml that do not fit."""
        from gateway.formats import exported

        return exported.aliased([self._spec(name, self.values[name]) for name in self.taken], options.inputs)

    def outputs(self) -> tuple[TensorSpec, ...]:
        """Errors: ConversionError for what no client could be sent."""
        from gateway.formats.torchscript.load import flat

        node = next(self.nodes("output"))
        mutated = len(node.args[0]) - len(self.program.graph_signature.user_outputs)
        values = [getattr(item, "meta", {}).get("val", item) for item in node.args[0][mutated:]]
        tree = self.torch.utils._pytree.tree_unflatten(values, self.program.call_spec.out_spec)
        found = [(name, value) for name, value in flat(tree) if isinstance(value, self.torch.Tensor)]
        if not found:
            raise ConversionError(f"{self.file} gives no tensor.")
        taken = set(self.taken)
        return tuple(self._spec(f"{name}_out" if name in taken else name, value) for name, value in found)

    def rows(self) -> dict[str, int]:
        """Inputs that number the rows of a table -> how many there are."""
        found = {}
        for node in self.nodes("call_function"):
            if (
                "embedding" in str(node.target)
                and len(node.args) > 1
                and getattr(node.args[1], "name", "") in self.taken
            ):
                found[node.args[1].name] = int(node.args[0].meta["val"].shape[0])
        return found

    def facts(self, match: Match) -> list[Fact]:
        facts = [Fact("archive", f"version {match.version}", match.main)] if match.version else []
        left = [f"{name} = {self.values[name]!r}" for name in self.values if name not in self.taken]
        facts += [Fact("left as exported", ", ".join(left), "inputs that are no tensors")] if left else []
        limits = [f"{self.named(str(symbol))} in {_range(r)}" for symbol, r in self.program.range_constraints.items()]
        facts += [Fact("free sizes", ", ".join(limits), "range constraints of the program")] if limits else []
        return facts

    def call(self, given: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Named tensors -> named tensors. Errors: whatever torch raises, the program's own checks of sizes included."""
        from gateway.formats.torchscript.load import flat

        for name, value in self._kept.items():
            self.module.get_buffer(name).copy_(value)
        leaves = [given.get(name, self.values.get(name)) if isinstance(name, str) else name for name in self.names]
        args, kwargs = self.torch.utils._pytree.tree_unflatten(leaves, self.program.call_spec.in_spec)
        with self.torch.no_grad():
            found = flat(self.module(*args, **kwargs))
            taken = set(self.taken)
            return [(f"{n}_out" if n in taken else n, v) for n, v in found if isinstance(v, self.torch.Tensor)]


def _range(limits: Any) -> str:
    upper = str(limits.upper)
    return f"{limits.lower}..{'' if 'oo' in upper else upper}"


def _native(program: Program, match: Match, options: ModelOptions) -> Conversion:
    from gateway.formats import exported

    facts = program.facts(match)
    if program.state:
        facts.append(Fact("state", f"{', '.join(program.state)}: put back before each call", "graph signature"))
    outputs = exported.shown(program.outputs(), options)
    preprocess = options.preprocess.to_json() if options.preprocess else None
    signature = Signature(program.inputs(options), outputs, preprocess=preprocess)
    return Conversion(NATIVE, (signature,), tuple(facts), versions={"torch": program.torch.__version__})


def _convert(program: Program, match: Match, options: ModelOptions, out: Path) -> Conversion:
    import onnx

    from gateway.formats import exported

    if program.state:
        raise ConversionError(
            f"{program.file} is not exported: a call changes {', '.join(program.state[:8])}, which the next one reads.",
            hint=NATIVELY,
        )
    inputs, outputs = program.inputs(options), program.outputs()
    model = _exported(program)
    made = [value.name for value in model.graph.output]
    if len(made) != len(outputs):
        raise ConversionError(f"the exporter wrote {len(made)} outputs, the program has {len(outputs)}.", hint=NATIVELY)
    exported.rename(model.graph, dict(zip(made, [spec.tensor for spec in outputs], strict=True)))
    there = {value.name for value in model.graph.input}
    facts, warnings = program.facts(match), []
    unread = [spec.tensor for spec in inputs if spec.tensor not in there]
    if unread:
        warnings.append(f"no output depends on {', '.join(unread)}, which clients do not send")
        inputs = tuple(spec for spec in inputs if spec.tensor in there)
    outputs = _typed(outputs, exported.declared(model.graph, model.graph.output))
    signature, quantised = exported.finish(model, out, out, inputs, outputs, options, facts)
    versions = {"torch": program.torch.__version__, "onnx": onnx.__version__}
    return Conversion(ONNX, (signature,), tuple(facts), tuple(warnings), (), quantised, versions)


def _typed(outputs: Sequence[TensorSpec], declared: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Sizes that the exporter knows where the program leaves an expression."""
    made = []
    for spec, graph in zip(outputs, declared, strict=True):
        if graph.dtype != spec.dtype:
            raise ConversionError(f"output {spec.name!r} is {spec.dtype} in the program and {graph.dtype} exported.")
        made.append(replace(spec, symbols=tuple(s if s.isidentifier() else "" for s in spec.symbols)))
    return tuple(made)


def _exported(program: Program) -> Any:
    """The ModelProto. Errors: ConversionError in the exporter's words."""
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            made = program.torch.onnx.export(program.program, dynamo=True, opset_version=OPSET, verbose=False)
            return made.model_proto
    except Exception as error:  # whatever the exporter raises
        lines = [text.strip() for text in str(error).splitlines() if text.strip()]
        said = next((text for text in lines if "Error" in text or "support" in text), lines[0] if lines else "")
        raise ConversionError(
            f"torch {program.torch.__version__}'s exporter does not export {program.file}: {said[:400]}", hint=NATIVELY
        ) from error


class Served(Oracle):
    """The program, called with named arrays. Errors of the constructor: CorruptModel."""

    def __init__(self, path: Path, signature: Signature) -> None:
        self._program = Program(path)
        self._signature = signature
        self._unread = {
            name: self._program.torch.zeros(
                [1 if _SYMBOL.search(str(size)) else int(size) for size in value.shape], dtype=value.dtype
            )
            for name, value in self._program.values.items()
            if name in self._program.taken
        }
        self.name = f"torch {self._program.torch.__version__} (ExportedProgram)"

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever torch raises for values that the program does not take."""
        from gateway.formats.torchscript.load import arrays, tensor

        torch = self._program.torch
        given = {spec.tensor: tensor(torch, inputs[spec.name]) for spec in self._signature.inputs}
        found = arrays(torch, self._program.call(self._unread | given))
        return {spec.name: found[spec.tensor] for spec in self._signature.outputs}


FORMAT = ExportedProgram()
