"""A .tflite file: what it says, ONNX of it by tf2onnx, or its own signatures for the interpreter.

Rule 1: operators that no interpreter here has are refused, all of them by name.
        None of those that it has leaves the process.
Rule 2: what cannot become ONNX stays TFLite unless its owner names a target, and the report says why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, ONNX, Fact
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import ConversionError, UnsupportedOps
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.savedmodel.native import framework
from gateway.formats.tensorflow import hub, names
from gateway.formats.tflite import file
from gateway.formats.tflite.file import Model
from gateway.formats.tflite.interpreter import Interpreter, line
from gateway.formats.tflite.operators import BUILTIN
from gateway.formats.tflite.signatures import Bound, bound, fixed_rows, with_rows

FLEX = "Flex"  # before the name of an operator of TensorFlow's own; its Python package does not run them
HERE = ("TFLite_Detection_PostProcess",)  # custom operators that the interpreter brings
SEED = 7


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """What the file says, without TensorFlow. Errors: ConversionError, CorruptModel."""
    model = file.read(source.path(match.main))
    every = bound(model)
    facts = [Fact("schema", str(model.version), "model file"), Fact("graphs", str(len(model.graphs)), "model file")]
    for each in every:
        said = ", ".join(map(str, each.signature.inputs)) + " -> " + ", ".join(map(str, each.signature.outputs))
        facts.append(Fact(f"signature {each.signature.name}", said, "model file"))
    if model.custom:
        facts.append(Fact("custom operators", ", ".join(model.custom), "model file"))
    if model.description:
        facts.append(Fact("written by", model.description[:200], "model file"))
    signature = every[0].signature
    return Inspection(signature.inputs, signature.outputs, dict(sorted(model.operators.items())), tuple(facts))


def convert(source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
    """ONNX, or the signatures of what TFLite itself will run. Errors: ConversionError."""
    path = source.path(match.main)
    model = file.read(path)
    refuse(model)
    if target == NATIVE:
        return _native(path, model, options, "")
    try:
        return _onnx(path, model, options, out)
    except ConversionError as error:
        if options.target:
            raise
        for made in out.iterdir():
            made.unlink()
        return _native(path, model, options, error.message)


def refuse(model: Model) -> None:
    """Errors: UnsupportedOps naming every operator that no interpreter here has."""
    absent = {f"custom {name}": model.operators[f"custom {name}"] for name in model.custom if name not in HERE}
    if absent:
        flex = any(name.startswith(FLEX) for name in model.custom)
        raise UnsupportedOps(
            "tflite",
            absent,
            len(BUILTIN) + len(HERE),
            hint="Flex operators are TensorFlow's own: drop the SavedModel that the file was made from."
            if flex
            else "Custom operators come in libraries of machine code, which are not loaded. Export it without them.",
        )


def signatures(model: Model, options: ModelOptions, rows: int) -> list[tuple[Bound, Signature]]:
    """Every signature of the file under the owner's names; `rows` of the first one."""
    made = []
    for number, each in enumerate(bound(model)):
        shown = with_rows(each.signature, rows) if rows and number == 0 else each.signature
        made.append((each, names.named(shown, options, {alias: own for own, alias in each.alias.items()})))
    return made


def _onnx(path: Path, model: Model, options: ModelOptions, out: Path) -> Conversion:
    if len(model.signatures) > 1:
        keys = ", ".join(each.key for each in model.signatures)
        raise ConversionError(f"it has {len(model.signatures)} signatures ({keys}), and an ONNX file holds one")
    if any(tensor.is_variable for graph in model.graphs for tensor in graph.tensors):
        raise ConversionError("it has variables, whose state between its operators ONNX has no word for")
    hub.refuse_stateful([_plain(name) for name in model.operators])
    rows, facts = _rows(path, model)
    each, signature = signatures(model, options, rows)[0]
    proto = hub.from_tflite(path)
    _rename(proto, each)
    shapes = each.signature
    hub.declare(proto, shapes.inputs, shapes.outputs)
    facts += names.facts(signature.inputs, _own(signature), "tensor name")
    quantised = hub.is_quantised(proto)
    facts += [Fact("quantised by", ", ".join(quantised), "graph")] if quantised else []
    facts += hub.write(proto, out)
    return Conversion(ONNX, (signature,), tuple(facts), quantised=bool(quantised), versions=hub.versions())


def _native(path: Path, model: Model, options: ModelOptions, because: str) -> Conversion:
    tf = framework()
    rows, facts = _rows(path, model)
    if because:
        facts.append(Fact("kept as TFLite", because, "conversion to ONNX"))
    made = tuple(signature for _, signature in signatures(model, options, rows))
    warnings = (f"it stays TFLite, which TensorFlow Lite itself runs: {because}",) if because else ()
    versions = {"tensorflow": tf.__version__, "numpy": np.__version__}
    return Conversion(NATIVE, made, tuple(facts), warnings, versions=versions)


def _own(signature: Signature) -> dict[str, str]:
    return {spec.name: spec.tensor for spec in (*signature.inputs, *signature.outputs)}


def _rename(proto: Any, each: Bound) -> None:
    """The ONNX graph's inputs and outputs under the file's names of them. Errors: ConversionError."""
    for values, wanted in ((proto.graph.input, each.inputs), (proto.graph.output, each.outputs)):
        if [value.name for value in values] != list(wanted):
            found = ", ".join(value.name for value in values)
            raise ConversionError(f"tf2onnx calls its tensors {found}; expected {', '.join(wanted)}")


def _rows(path: Path, model: Model) -> tuple[int, list[Fact]]:
    """(rows that the model takes a call, or 0; what shows that they are a batch). Errors: ConversionError."""
    each = bound(model)[0]
    rows = fixed_rows(each.signature, model.graphs[each.graph])
    if not rows:
        return 0, []
    if rows == 1:
        return 1, [Fact("batch", "one row a call; several rows are several calls", "shapes")]
    try:
        alone = _independent(path, each, rows)
    except (ValueError, RuntimeError) as error:
        return 0, [Fact("batch", f"{rows} rows, which the interpreter does not run: {line(error)}", "interpreter")]
    if not alone:
        return 0, [Fact("batch", f"the answers of {rows} rows depend on each other: they stay one call", "interpreter")]
    return rows, [Fact("batch", f"{rows} rows a call; a row's answer does not depend on the others", "interpreter")]


def _independent(path: Path, each: Bound, rows: int) -> bool:
    """Does a row answer the same in another place, among others?"""
    judge = Interpreter(path, each, each.signature, delegates=False)
    random = np.random.default_rng(SEED)
    one, two = ({spec.name: _drawn(random, spec.dtype, spec.shape) for spec in each.signature.inputs} for _ in range(2))
    first = judge.run(one)
    turned = judge.run({name: np.roll(array, 1, axis=0) for name, array in one.items()})
    mixed = judge.run({name: np.concatenate([array[:1], two[name][1:]]) for name, array in one.items()})
    return all(
        _near(np.roll(first[name], 1, axis=0), turned[name]) and _near(first[name][:1], mixed[name][:1])
        for name in first
    )


def _drawn(random: np.random.Generator, kind: str, shape: Any) -> Any:
    if kind == "string":
        return np.array([str(n).encode() for n in random.integers(0, 99, shape).reshape(-1)], object).reshape(shape)
    if kind.startswith(("float", "complex", "bfloat")):
        return random.standard_normal(shape).astype(kind)
    if kind == "bool":
        return random.random(shape) < 0.5
    return random.integers(0, 2 if "8" not in kind else 100, shape).astype(kind)


def _near(one: Any, other: Any) -> bool:
    if one.dtype.kind in "fc":
        return bool(np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True))
    return bool((one == other).all())


def _plain(name: str) -> str:
    """TensorFlow's name of an operator, as far as there is one."""
    return "".join(part.capitalize() for part in name.split("_"))
