"""The judge of MMdnn's IR: our float64 interpreter. MMdnn itself runs on nothing that is still to be had.

Rule 1: it reads the files by ir.py and shares nothing further with the converter.
Rule 2: indices of a table are whole numbers inside it: what is outside has no meaning in the IR.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gateway.core.dtypes import Array, Tensors, numpy_dtype
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Match, Oracle, Source
from gateway.formats.mmdnn import convert
from gateway.formats.mmdnn.interpret import interpret, missing, walk
from gateway.formats.mmdnn.node import FIRST

TABLES = ("Embedding", "Gather")


class InterpreterOracle(Oracle):
    """In float64; its answers are rounded once, to the signature's types, or not. Errors of the constructor:
    ConversionError.
    """

    name = "own interpreter (float64)"

    def __init__(
        self, source: Source, match: Match, options: ModelOptions, signature: Signature, *, rounded: bool = True
    ) -> None:
        self._graph = convert.cut(convert.read(source, match), options)
        self._signature, self._rounds = signature, rounded
        if unknown := missing(self._graph):
            raise ConversionError(f"{self.name} does not know {', '.join(sorted(unknown))}.")

    def _fed(self, inputs: Tensors) -> dict[str, Array]:
        return {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever numpy raises for inputs that do not fit."""
        with np.errstate(all="ignore"):
            made = interpret(self._graph, self._fed(inputs))
        every = [array for name in self._graph.outputs for array in made[name]]
        answer = {}
        for spec, array in zip(self._signature.outputs, every, strict=True):
            with np.errstate(over="ignore"):
                answer[spec.name] = array.astype(numpy_dtype(spec.dtype)) if self._rounds else array
        return answer

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        with np.errstate(all="ignore"):
            for name, kind, arrays in walk(self._graph, self._fed(inputs)):
                found = {tensor: _rounded(array) for tensor, array in arrays.items()}
                yield (
                    name,
                    kind,
                    found
                    | {
                        f"{tensor}{FIRST}": np.ascontiguousarray(np.moveaxis(array, -1, 1))
                        for tensor, array in found.items()
                        if array.ndim > 2
                    },
                )


def _rounded(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return array.astype(np.float32) if array.dtype.kind == "f" else array


def hints(source: Source, match: Match, signature: Signature) -> dict[str, Hint]:
    """Inputs that a table is read by, by public name."""
    graph = convert.read(source, match)
    public = {spec.tensor: spec.name for spec in signature.inputs}
    found = {}
    for node in graph.nodes:
        source_name = node.inputs[0][0] if node.inputs else ""
        if node.op in TABLES and source_name in public:
            table = node.weights.get("embedding_weights", node.weights.get("weights"))
            if table is not None and table.ndim == 2:
                found[public[source_name]] = Hint(int(table.shape[0]))
    return found
