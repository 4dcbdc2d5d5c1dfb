"""What MXNet says of a model that it is to serve itself: names, types and shapes. Runs in Environment `mxnet`.

Rule 1: inputs come by the same rules as for a conversion (shapes.py); outputs are MXNet's own answer.
Rule 2: no code of the model's author runs: `Custom` and its kin are refused by name, also inside
        control flow, before MXNet sees the file.
Rule 3: a size of an output is fixed only when it stays the same while the free sizes of the inputs
        change; a shape that MXNet cannot tell is left open.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, Fact
from gateway.core.dtypes import name_of, numpy_dtype
from gateway.core.modeltoml import ModelOptions
from gateway.core.names import did_you_mean
from gateway.core.signature import Shape, Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.base import Conversion, Match, Source
from gateway.formats.mxnet import files_of, shapes
from gateway.formats.mxnet.convert import (
    CODE,
    SHOWN,
    known_facts,
    read_files,
    refuse_missing,
    same_names,
    signature_json,
)
from gateway.formats.mxnet.oracle import first_line, framework, labels_of
from gateway.formats.mxnet.params import Params

FILE_READERS = ("_cvimread", "_npi_cvimread")
"""Operators that open a file of the machine they run on, by a name that the model gives."""
SIDES = ((32, 40), (224, 256))  # tried for free sizes that are not the batch


def read(source: Source, match: Match, options: ModelOptions) -> Conversion:
    """The signature of the source as MXNet runs it. Errors: ConversionError."""
    graph, found = read_files(source, match)
    path = source.path(files_of(match)[0])
    _refuse_programs(json.loads(path.read_bytes()), graph.file)
    mx = framework(path)
    try:
        symbol = mx.sym.load(str(path))
        symbol, names = _outputs(mx, symbol, options)
        inside = json.loads(symbol.tojson())
        arguments = symbol.list_arguments()
    except mx.base.MXNetError as error:
        raise ConversionError(f"MXNet {mx.__version__} does not read {graph.file}: {first_line(error)}") from error
    there = {node["name"] for node in inside["nodes"]}
    needed = {index for index, node in enumerate(graph.nodes) if node.name in there}
    named = {option.own_name for option in options.inputs}
    refuse_missing(graph, found, needed, named, files_of(match)[1])
    asked = set(arguments) - set(found.names()) - labels_of(inside)
    variables = [
        index for index in sorted(needed) if graph.nodes[index].is_variable and graph.nodes[index].name in asked
    ]
    facts = known_facts(graph, found)
    inputs = shapes.solve(graph, found, variables, options.inputs, signature_json(source, match), facts)
    outputs = _specs(mx, symbol, names, inputs, found)
    facts.append(Fact("shapes of outputs", ", ".join(map(str, outputs)), f"MXNet {mx.__version__}"))
    same_names(inputs, outputs)
    preprocess = options.preprocess.to_json() if options.preprocess else None
    unused = tuple(name for name in found.names() if name not in there)
    versions = {"mxnet": mx.__version__, "numpy": np.__version__}
    return Conversion(
        NATIVE, (Signature(inputs, outputs, preprocess=preprocess),), tuple(facts), unused=unused, versions=versions
    )


def _refuse_programs(graph: Any, file: str) -> None:
    """Errors: ConversionError naming every node that would run code of the author or open a file."""
    found = [node for node in _every_node(graph) if node.get("op") in (*CODE, *FILE_READERS)]
    if not found:
        return
    listing = ", ".join(f"{node.get('name')!r} ({_program(node)})" for node in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise ConversionError(
        f"{file}: {len(found)} nodes need what is not in the model: {listing}{more}. Code of a model's author is not "
        "run, nor is a file of this machine opened for a model; so MXNet cannot serve it either.",
        hint="Replace these nodes by operators of MXNet and export the model again.",
    )


def _every_node(graph: Any) -> Iterator[Mapping[str, Any]]:
    """Nodes of a symbol file and of the graphs inside its nodes."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop()["nodes"]:
            yield node
            waiting.extend(node.get("subgraphs", ()))


def _program(node: Mapping[str, Any]) -> str:
    attrs = node.get("attrs") or node.get("attr") or node.get("param") or {}
    return ", ".join(filter(None, (str(node["op"]), attrs.get("op_type") or attrs.get("filename"))))


def _outputs(mx: Any, symbol: Any, options: ModelOptions) -> tuple[Any, list[tuple[str, str]]]:
    """The symbol with the outputs to show, and of each the public name and MXNet's. Errors: ConversionError."""
    if not options.outputs:
        return symbol, [(name, name) for name in symbol.list_outputs()]
    every = symbol.get_internals()
    known = every.list_outputs()
    chosen, names = [], []
    for option in options.outputs:
        own = option.own_name
        tensor = next((name for name in (own, f"{own}_output", f"{own}_output0") if name in known), "")
        if not tensor:
            raise ConversionError(
                f"MXNet knows no tensor called {own!r}.{did_you_mean(own, known)}",
                hint=f"The last ones are: {', '.join(known[-SHOWN:])}.",
            )
        chosen.append(every[known.index(tensor)])
        names.append((option.name, tensor))
    return mx.sym.Group(chosen), names


def _specs(
    mx: Any, symbol: Any, names: Sequence[tuple[str, str]], inputs: Sequence[TensorSpec], found: Params
) -> tuple[TensorSpec, ...]:
    """The outputs as MXNet infers them. Errors: ConversionError in MXNet's words where it refuses the inputs."""
    arguments = set(symbol.list_arguments())
    types = {spec.tensor: numpy_dtype(spec.dtype) for spec in inputs}
    weights = {name: array for name in arguments if (array := found.get(name)) is not None}
    types |= {name: array.dtype for name, array in weights.items() if array.dtype.kind != "V"}
    fixed = {name: array.shape for name, array in weights.items()}
    try:
        _, kinds, _ = symbol.infer_type(**types)
        made = _shapes(mx, symbol, inputs, fixed)
    except mx.base.MXNetError as error:
        raise ConversionError(f"MXNet {mx.__version__} refuses these inputs: {first_line(error)}") from error
    if kinds is None or any(kind is None for kind in kinds):
        raise ConversionError(f"MXNet {mx.__version__} cannot tell the types of the outputs.")
    return tuple(
        TensorSpec(public, name_of(np.empty(0, kind)), shape, tensor)
        for (public, tensor), kind, shape in zip(names, kinds, made, strict=True)
    )


def _shapes(
    mx: Any, symbol: Any, inputs: Sequence[TensorSpec], fixed: Mapping[str, tuple[int, ...]]
) -> list[Shape | None]:
    """Shapes of the outputs, None for a size that follows the inputs. Errors: MXNetError for inputs without choice."""
    if not any(spec.shape is None or None in spec.shape for spec in inputs):
        return [_known(shape) for shape in _infer(symbol, _sizes(inputs, 0, 0), fixed)]
    for one, other in SIDES:
        try:
            first = _infer(symbol, _sizes(inputs, 2, one), fixed)
            second = _infer(symbol, _sizes(inputs, 3, other), fixed)
        except mx.base.MXNetError:
            continue  # these sides do not suit the model; a run tells more
        return [_common(_known(a), _known(b)) for a, b in zip(first, second, strict=True)]
    return [None] * len(symbol.list_outputs())


def _sizes(inputs: Sequence[TensorSpec], batch: int, side: int) -> dict[str, tuple[int, ...]]:
    """A shape for each input: free sizes of one symbol are equal, and no two symbols are."""
    symbols: dict[str, int] = {}
    made = {}
    for spec in inputs:
        shape = []
        for place, size in enumerate(spec.shape or ()):
            symbol = (spec.symbols[place] if spec.symbols else "") or ("" if place == 0 else f"{spec.name} {place}")
            wanted = batch if place == 0 else side + len(symbols)
            shape.append(size if size is not None else symbols.setdefault(symbol, wanted))
        made[spec.tensor] = tuple(shape)
    return made


def _infer(symbol: Any, given: Mapping[str, tuple[int, ...]], fixed: Mapping[str, tuple[int, ...]]) -> list[Any]:
    return list(symbol.infer_shape_partial(**{**fixed, **given})[1])


def _known(shape: Sequence[int] | None) -> Shape | None:
    """MXNet writes () for a shape and 0 for a size that it does not know."""
    return tuple(size if size > 0 else None for size in shape) if shape else None


def _common(first: Shape | None, second: Shape | None) -> Shape | None:
    if first is None or second is None or len(first) != len(second):
        return None
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
