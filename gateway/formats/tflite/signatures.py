"""Signatures of a TFLite file: which tensors, under which names, with how many rows.

Rule 1: a signature of the file names its own inputs and outputs; without one, the tensors' names are cleaned.
Rule 2: a first dimension of 1 everywhere is a batch of one, which any number of rows can go through; one of N > 1
        is so only where the interpreter has shown that a row's answer does not depend on the others (rows.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.core.signature import SERVING_DEFAULT, Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.tensorflow import names
from gateway.formats.tensorflow.hub import with_batch
from gateway.formats.tflite.file import Graph, Model


@dataclass(frozen=True)
class Bound:
    """One signature. `inputs`, `outputs`: a tensor's name (TensorSpec.tensor) -> its place in the graph's tensors.

    `alias` is what the file's own signature calls a tensor, and the public name until model.toml says another.
    """

    signature: Signature
    graph: int
    inputs: dict[str, int]
    outputs: dict[str, int]
    alias: dict[str, str]


def bound(model: Model) -> list[Bound]:
    """Every signature, serving_default first. Errors: ConversionError for tensors that no client can send."""
    found = []
    for definition in model.signatures:
        found.append(_bound(definition.key, model, definition.graph, definition.inputs, definition.outputs))
    if not found:
        graph = model.graphs[0]
        inputs, outputs = (
            dict(zip(names.public([graph.tensors[place].name for place in places], kind), places))
            for places, kind in ((graph.inputs, "input"), (graph.outputs, "output"))
        )
        found = [_bound(SERVING_DEFAULT, model, 0, inputs, outputs)]
    return sorted(found, key=lambda each: each.signature.name != SERVING_DEFAULT)


def _bound(key: str, model: Model, place: int, inputs: dict[str, int], outputs: dict[str, int]) -> Bound:
    graph = model.graphs[place]
    bad = [
        f"{name!r} ({graph.tensors[at].name})"
        for name, at in (*inputs.items(), *outputs.items())
        if not graph.tensors[at].dtype
    ]
    if bad:
        raise ConversionError(f"signature {key!r} has tensors of a type that no client can send: {', '.join(bad)}.")
    first, first_places, first_alias = _side(graph, inputs, graph.inputs)
    second, second_places, second_alias = _side(graph, outputs, graph.outputs)
    first, second = with_batch(first, second)
    signature = Signature(tuple(first), tuple(second), name=key)
    return Bound(signature, place, first_places, second_places, first_alias | second_alias)


def _side(
    graph: Graph, side: dict[str, int], order: tuple[int, ...]
) -> tuple[list[TensorSpec], dict[str, int], dict[str, str]]:
    """Inputs or outputs in the graph's order, which is the author's: a signature lists them by name."""
    ranked = sorted(side.items(), key=lambda item: order.index(item[1]) if item[1] in order else len(order))
    specs, places, alias = [], {}, {}
    for name, at in ranked:
        tensor = graph.tensors[at]
        own = tensor.name if tensor.name and tensor.name not in places else name
        specs.append(TensorSpec(name, tensor.dtype, tensor.shape, own))
        places[own], alias[own] = at, name
    return specs, places, alias


def fixed_rows(signature: Signature, graph: Graph) -> int:
    """The first dimension that all inputs and outputs have in common; 0 where there is none, or it may be free."""
    sizes = {spec.shape[0] if spec.shape else None for spec in (*signature.inputs, *signature.outputs)}
    size = next(iter(sizes)) if len(sizes) == 1 else None
    return size if size and signature.inputs and not any(tensor.is_variable for tensor in graph.tensors) else 0


def with_rows(signature: Signature, rows: int) -> Signature:
    """Clients see a free first dimension; the model is called with `rows`."""
    sides = [
        [replace(spec, shape=(None, *(spec.shape or ())[1:])) for spec in side]
        for side in (signature.inputs, signature.outputs)
    ]
    inputs, outputs = with_batch(*sides)
    return replace(signature, inputs=tuple(inputs), outputs=tuple(outputs), rows=rows)
