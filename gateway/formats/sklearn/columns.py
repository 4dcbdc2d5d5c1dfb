"""Trees that read a table whose columns are inputs apart: strings become their places among the known ones.

Rule 1: an unknown string is place -1, which is in no set of categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.probes import Further
from gateway.core.signature import TensorSpec
from gateway.formats.sklearn.inputs import Inputs
from gateway.graph.builder import GraphBuilder
from gateway.graph.ensemble import ML


def joined(graph: GraphBuilder, inputs: Inputs, categories: Mapping[int, Array]) -> str:
    """The features, (rows, columns) in the table's order, of all inputs."""
    tensors = [graph.input(spec.name, spec.dtype, spec.shape or (), spec.symbols) for spec in inputs.specs]
    if len(tensors) == 1:
        return tensors[0]
    parts = []
    for place, (spec, tensor) in enumerate(zip(inputs.specs, tensors, strict=True)):
        if spec.dtype == "string":
            known = [str(value) for value in categories[place].tolist()]
            tensor = graph.node(
                "LabelEncoder", [tensor], name=f"{spec.name}_place", domain=ML, keys_strings=known,
                values_floats=[float(at) for at in range(len(known))], default_float=-1.0,
            )  # fmt: skip
        parts.append(tensor)
    return graph.node("Concat", parts, name="table", axis=1)


def apart(more: Further, specs: Sequence[TensorSpec], categories: Mapping[int, Array]) -> Further:
    """The same calls as `joined` takes them: a column each, strings for places, unknown ones for what is no place."""
    made = []
    for probe in more.probes:
        (rows,) = probe.inputs.values()
        given = {}
        for place, spec in enumerate(specs):
            column = rows[:, place : place + 1]
            if spec.dtype == "string":
                known = [str(value) for value in categories[place].tolist()]
                texts = [[_text(float(value), known)] for value in column[:, 0]]
                given[spec.name] = np.array(texts, object).reshape(len(texts), 1)
            else:
                given[spec.name] = np.ascontiguousarray(column)
        made.append(replace(probe, inputs=given))
    return replace(more, probes=tuple(made))


def _text(value: float, known: Sequence[str]) -> bytes:
    whole = value.is_integer() and 0 <= value < len(known)
    return (known[int(value)] if whole else f"unheard-of {value:g}").encode()
