"""What a function of an MXNet operator is given, beside the graph (gateway/graph/emit.py).

Rule 1: operators without a function, control flow and missing weights are found over the whole
        graph, before anything is emitted, and named together.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.formats.mxnet.attributes import Attrs

FORMAT_NAME = "mxnet"


@dataclass(frozen=True)
class Node:
    """One node of the symbol, ready for its function. `inputs` are ONNX tensors in MXNet's order."""

    op: str
    name: str
    attrs: Attrs
    inputs: tuple[str, ...]
    outputs_used: int = 1
    """1 + the highest output that anybody reads."""

    @property
    def where(self) -> str:
        return f"MXNet node {self.name!r} ({self.op})"

    @property
    def parameters(self) -> Mapping[str, str]:
        return self.attrs.values


def load_operators() -> None:
    """Import every file of ops/: that registers their functions."""
    package = importlib.import_module("gateway.formats.mxnet.ops")
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"gateway.formats.mxnet.ops.{info.name}")


def attrs_of(op: str, name: str, values: Mapping[str, str]) -> Attrs:
    return Attrs(values, node=name, op=op)
