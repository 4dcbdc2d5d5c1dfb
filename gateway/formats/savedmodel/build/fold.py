"""Batch norms folded into the convolutions before them, before anything is built.

Rule 1: only where the convolution's answer is read by the batch norm alone, and every number is known.
        The sums are computed in float64 and rounded once.
Rule 2: never in a model that is to be trained: its batch norms would be gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.savedmodel.build import node as nodes

CONVOLUTIONS = ("Conv", "ConvTranspose")
EPSILON = 1e-5  # the standard's default


def fold_batch_norms(graph: Any, arrays: MutableMapping[str, Array]) -> int:
    """Changes a GraphProto and its initializers; the number of batch norms that are gone."""
    reads = _reads(graph)
    makers = {name: proto for proto in graph.node for name in proto.output}
    gone = []
    for proto in graph.node:
        if nodes.op_name(proto) != "BatchNormalization":
            continue
        conv = makers.get(proto.input[0])
        if conv is None or nodes.op_name(conv) not in CONVOLUTIONS or reads[proto.input[0]] != 1:
            continue
        if _fold(conv, proto, arrays, reads):
            gone.append(proto)
    for proto in gone:
        graph.node.remove(proto)
    return len(gone)


def _reads(graph: Any) -> Counter[str]:
    """How often each name is read, in graphs inside nodes too; an output of the graph is a reader."""
    found = Counter(name for proto in graph.node for name in proto.input)
    found.update(output.name for output in graph.output)
    for proto in graph.node:
        for attribute in proto.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found.update(_reads(inner))
    return found


def _attribute(proto: Any, name: str, default: Any) -> Any:
    return next((a.f if name == "epsilon" else a.i for a in proto.attribute if a.name == name), default)


def _fold(conv: Any, norm: Any, arrays: MutableMapping[str, Array], reads: Counter[str]) -> bool:
    read = [*norm.input[1:], *conv.input[1:]]
    if any(name not in arrays for name in read if name) or _attribute(norm, "training_mode", 0):
        return False
    if any(norm.output[1:]) or arrays[conv.input[1]].dtype not in (np.float32, np.float64):
        return False
    scale, shift, mean, variance = (arrays[name].astype(np.float64) for name in norm.input[1:])
    weight = arrays[conv.input[1]]
    factor = scale / np.sqrt(variance + _attribute(norm, "epsilon", EPSILON))
    bias = arrays[conv.input[2]].astype(np.float64) if len(conv.input) > 2 and conv.input[2] else 0.0
    each = factor.reshape(-1, *[1] * (weight.ndim - 1))
    if nodes.op_name(conv) == "ConvTranspose":  # (I, O/g, k...), the inputs group after group
        groups = _attribute(conv, "group", 1)
        rows = np.repeat(factor.reshape(groups, -1), weight.shape[0] // groups, 0)
        each = rows.reshape(*rows.shape, *[1] * (weight.ndim - 2))
    names = [
        _name(conv.input[1], arrays, reads),
        _name(conv.input[2] if len(conv.input) > 2 and conv.input[2] else norm.input[2], arrays, reads),
    ]
    arrays[names[0]] = (weight * each).astype(weight.dtype)
    arrays[names[1]] = (shift + (bias - mean) * factor).astype(weight.dtype)
    first = conv.input[0]
    del conv.input[:]
    conv.input.extend([first, *names])
    conv.output[0] = norm.output[0]
    return True


def _name(wish: str, arrays: MutableMapping[str, Array], reads: Counter[str]) -> str:
    """The array's own name where no-one else reads it, else a new one."""
    if reads[wish] == 1:
        return wish
    number, name = 1, f"{wish}_folded"
    while name in arrays:
        number, name = number + 1, f"{wish}_folded_{number + 1}"
    return name
