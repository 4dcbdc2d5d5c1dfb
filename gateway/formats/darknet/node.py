"""What an operator's function is given: one layer, and the ONNX tensors that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.dtypes import Array
from gateway.formats.darknet.config import Options
from gateway.formats.darknet.network import Layer
from gateway.formats.darknet.shapes import ALEXEYAB, Shape


@dataclass(frozen=True)
class Node:
    """`inputs` are tensors of (batch, channels, height, width), `sources` their shapes without the batch."""

    layer: Layer
    inputs: tuple[str, ...]
    sources: tuple[Shape, ...]
    dialect: str
    file: str

    @property
    def op(self) -> str:
        return self.layer.type

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def options(self) -> Options:
        return self.layer.options

    @property
    def weights(self) -> Mapping[str, Array]:
        return self.layer.weights

    @property
    def alexeyab(self) -> bool:
        return self.dialect == ALEXEYAB

    @property
    def where(self) -> str:
        return f"Darknet layer {self.layer.index} ({self.layer.options.where})"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.layer.options.values
