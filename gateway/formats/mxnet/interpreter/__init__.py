"""The second judge of MXNet models: the symbol graph run in float64 numpy, from MXNet's semantics alone.

    interpret(symbol, params, {"data": x})              -> {"fc1_output": ...}
    interpret(symbol, params, {"data": x}, nodes=True)  -> every tensor on the way there too

Rule 1: it shares no code with the converter: own operators, own reading of attributes.
Rule 2: it never guesses: every operator without a function is named at once, and an attribute that
        is not known stops it.
Rule 3: inference: labels, losses and everything that only they need are not asked for.
Rule 4: sums are in float64 and rounded once, at the end: where MXNet's float32 overflows on the
        way and comes back, the two differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.errors import ConversionError, UnsupportedOps
from gateway.formats.mxnet.interpreter import (
    boxes,
    creation,
    elementwise,
    images,
    indexing,
    layers,
    linalg,
    norm,
    numpy_names,
    proposals,
    quantised,
    reduce,
    rnn,
    sampling,
    sequence,
    shape,
    windows,
)
from gateway.formats.mxnet.interpreter.registry import TABLE, Attrs, Node, Value, rule
from gateway.graph.registry import converter, operators

if TYPE_CHECKING:
    from gateway.formats.mxnet.params import Params
    from gateway.formats.mxnet.symbol import Symbol, SymbolNode

FAMILIES = (
    boxes, creation, elementwise, images, indexing, layers, linalg, norm, numpy_names, proposals, quantised, reduce,
    rnn, sampling, sequence, shape, windows,
)  # fmt: skip
"""Importing a family registers its operators."""

VARIABLE = "null"


def known() -> tuple[str, ...]:
    """Every operator name that has a function here."""
    return tuple(operators(TABLE))


def missing(symbol: Symbol) -> dict[str, int]:
    """The operators on the way to the outputs that have no function here, counted."""
    table, counts = operators(TABLE), dict[str, int]()
    for index in _needed(symbol):
        name = symbol.nodes[index].op
        if name != VARIABLE and name not in table:
            counts[name] = counts.get(name, 0) + 1
    return counts


def interpret(symbol: Symbol, params: Params, inputs: Tensors, *, nodes: bool = False, rounded: bool = True) -> Tensors:
    """The outputs by MXNet's names (`fc1_output`) in the symbol's order, in MXNet's dtypes, or floats as computed.

    With `nodes`, every tensor computed, in topological order, then the outputs.
    Errors: UnsupportedOps with every operator that is not known; ConversionError for an input that
    is needed and not given, or an attribute that is not known.
    """
    run = Run(symbol, params, inputs)
    seen: Tensors = {}
    for _, _, outputs in run.steps():
        if nodes:
            seen.update(outputs)
    return seen | run.heads(rounded=rounded)


def walk(symbol: Symbol, params: Params, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
    """(node name, operator, its outputs by tensor name) one after the other. Errors: as interpret."""
    yield from Run(symbol, params, inputs).steps()


def _needed(symbol: Symbol) -> list[int]:
    """The nodes that the outputs depend on at inference, in the symbol's own (topological) order."""
    table = operators(TABLE)
    wanted, waiting = set[int](), [index for index, _ in symbol.heads]
    while waiting:
        index = waiting.pop()
        if index in wanted:
            continue
        wanted.add(index)
        node = symbol.nodes[index]
        skipped = rule(node.op).ignores if node.op in table else ()
        waiting += [source for place, (source, _) in enumerate(node.inputs) if place not in skipped]
    return sorted(wanted)


class Run:
    """One evaluation of one graph. `values` holds what a later node or an output still needs."""

    def __init__(self, symbol: Symbol, params: Params, inputs: Tensors) -> None:
        self.symbol = symbol
        if unknown := missing(symbol):
            raise UnsupportedOps("mxnet (own interpreter)", unknown, len(known()))
        self.order = _needed(symbol)
        self.given = {**params.arg, **params.aux, **inputs}
        self.values: dict[tuple[int, int], Value] = {}
        self.last_use = {source: index for index in self.order for source, _ in symbol.nodes[index].inputs}
        self.last_use.update({index: len(symbol.nodes) for index, _ in symbol.heads})
        absent = [name for name in self._variables() if name not in self.given]
        if absent:
            raise ConversionError(f"inputs {', '.join(absent)} are needed and not given.")

    def _variables(self) -> list[str]:
        nodes = (self.symbol.nodes[index] for index in self.order)
        return [node.name for node in nodes if node.op == VARIABLE]

    def steps(self) -> Iterator[tuple[str, str, Tensors]]:
        with np.errstate(all="ignore"):
            for index in self.order:
                node = self.symbol.nodes[index]
                if node.op == VARIABLE:
                    self.values[index, 0] = Value.of(self.given[node.name])
                    continue
                results = {(index, place): value for place, value in enumerate(self._apply(node))}
                self.values.update(results)
                yield node.name, node.op, {self.symbol.output_name(at): value.native() for at, value in results.items()}
                self._forget(index)

    def _apply(self, node: SymbolNode) -> list[Value]:
        sources = [self.values.get((source, place)) for source, place in node.inputs]
        facts = Node(
            node.op, node.name, Attrs(node.name, node.op, node.attrs), tuple(v.dtype if v else "" for v in sources)
        )
        found = converter(TABLE, node.op)(facts, *(v.array if v else None for v in sources))
        arrays: tuple[Array, ...] = found if isinstance(found, tuple) else (found,)
        typing = rule(node.op)
        kinds = typing.dtypes(facts, len(arrays))
        return [Value.of(array, kind) for array, kind in zip(arrays, kinds, strict=False)]

    def _forget(self, index: int) -> None:
        for source, place in self.symbol.nodes[index].inputs:
            if self.last_use[source] <= index:
                self.values.pop((source, place), None)

    def heads(self, *, rounded: bool = True) -> Tensors:
        lost = [self.symbol.output_name(head) for head in self.symbol.heads if head not in self.values]
        if lost:
            raise ConversionError(f"output {', '.join(lost)} exists only in training; the interpreter has none.")
        found = {self.symbol.output_name(head): self.values[head] for head in self.symbol.heads}
        return {name: value.native() if rounded else value.array for name, value in found.items()}
