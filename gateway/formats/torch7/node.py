"""What a function of a module is given, beside the graph, and the words that many of them use.

    @op("torch7", "Tanh")
    def tanh(graph: Emit, node: Node) -> str:
        return graph.node("Tanh", [node.one()])

Rule 1: the first axis is the batch, always. Dimensions of Lua count from 1 and include it, unless the module says how
        many dimensions a sample has (nInputDims); what works along the batch itself is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.errors import ConversionError
from gateway.formats.torch7.module import Module

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

FORMAT_NAME = "torch7"


@dataclass(frozen=True)
class Node:
    """One module, ready for its function. `inputs` are the tensors of its input, one or a table's."""

    module: Module
    inputs: tuple[str, ...]

    @property
    def op(self) -> str:
        return self.module.kind

    @property
    def name(self) -> str:
        return self.module.name

    @property
    def where(self) -> str:
        return self.module.where

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.module.parameters

    def error(self, what: str, hint: str = "") -> ConversionError:
        return self.module.error(what, hint)

    def one(self) -> str:
        if len(self.inputs) != 1:
            raise self.error(f"is given a table of {len(self.inputs)} tensors, expected one tensor")
        return self.inputs[0]

    def picture(self, graph: Emit) -> str:
        """One input of (batch, channels, height, width)."""
        x = self.one()
        if graph.rank(x) != 4:
            raise self.error(f"is given {graph.rank(x)} dimensions, expected 4 with the batch")
        return x

    def axis(self, graph: Emit, x: str, dimension: int, sample: int | None = None) -> int:
        """A dimension of Lua as an axis. `sample`: as many as a sample has, where the module says so."""
        rank = graph.rank(x)
        at = dimension - 1 if dimension > 0 else dimension + rank
        if sample is not None and sample > 0 and dimension > 0 and rank == sample + 1:
            at += 1
        if not 0 <= at < rank:
            raise self.error(f"dimension {dimension} of a tensor with {rank}")
        if at == 0:
            raise self.error(
                f"works along dimension {dimension}, which is the batch",
                "The network is made for one sample at a time; save it with dimensions that count the batch.",
            )
        return at

    def sample(self, *names: str) -> int | None:
        """nInputDims, however it is called here."""
        return next((self.module.int(name) for name in names if self.module.has(name)), None)
