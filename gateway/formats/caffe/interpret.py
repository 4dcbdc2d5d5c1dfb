"""Caffe in float64: the second judge, written from Caffe's C++ apart from the converter.

    for layer, kind, tensors in walk(net, {"data": array}): ...

Rule 1: nothing of the converter is used or was read: layers are computed from their parameters, blobs and bottoms.
Rule 2: everything is float64, and every size follows from the arrays at hand; defaults are caffe.proto's.
Rule 3: a type without a function is found over the whole net, before anything is computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.errors import ConversionError
from gateway.formats.caffe.interpret_forks import FORKS
from gateway.formats.caffe.interpret_layers import LAYERS, Function
from gateway.formats.caffe.interpret_spatial import SPATIAL
from gateway.formats.caffe.net import Net

TABLE: Mapping[str, Function] = {**LAYERS, **SPATIAL, **FORKS}


def missing(net: Net) -> dict[str, int]:
    """Layer types that have no function here, counted."""
    return dict(Counter(layer.type for layer in net.layers if layer.type not in TABLE))


def walk(net: Net, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
    """(layer, type, its tensors) in order. Errors: ConversionError for an input that is not given."""
    known: dict[str, Array] = {}
    for each in net.inputs:
        if each.name not in inputs:
            raise ConversionError(f"{net.file}: the input {each.name!r} is not given.")
        known[each.name] = np.asarray(inputs[each.name], np.float64)
    for layer in net.layers:
        made = TABLE[layer.type](layer, [known[name] for name in layer.bottoms])
        tops = made if isinstance(made, list) else [made]
        found = dict(zip(layer.tops, tops, strict=True))
        known |= found
        yield layer.name, layer.type, found


def interpret(net: Net, inputs: Tensors, wanted: Sequence[str]) -> Tensors:
    """Tensors by name, float64. Errors: ConversionError for one that nobody makes; whatever numpy raises."""
    found = {name: np.asarray(inputs[name], np.float64) for name in wanted if name in inputs}
    for _, _, tensors in walk(net, inputs):
        found |= {name: array for name, array in tensors.items() if name in wanted}
        if len(found) == len(set(wanted)):
            break
    if lost := [name for name in wanted if name not in found]:
        raise ConversionError(f"{net.file}: no layer makes {', '.join(map(repr, lost))}.")
    return {name: found[name] for name in wanted}
