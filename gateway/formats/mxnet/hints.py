"""What a symbol says of inputs that are indices: a row of a table of n rows is under n.

MXNet's indices are floats as a rule, so an input's dtype does not tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.probes import Hint
from gateway.core.signature import Signature
from gateway.formats.mxnet.params import Params
from gateway.formats.mxnet.symbol import Symbol, SymbolNode

KEEPS_VALUES = {
    "_copy", "identity", "Cast", "cast", "Reshape", "reshape", "expand_dims", "squeeze", "transpose", "SwapAxis",
    "swapaxes", "Flatten", "flatten", "slice", "slice_axis", "SliceChannel", "split", "Concat", "concat", "stack",
    "BlockGrad", "SequenceReverse", "reverse", "flip", "tile", "repeat", "broadcast_to", "broadcast_like", "_split_v2",
}  # fmt: skip
INDICES = {"Embedding": 0, "_contrib_SparseEmbedding": 0, "take": 1, "one_hot": 0, "pick": 1, "batch_take": 1}
"""Which input holds indices."""


def hints(symbol: Symbol, params: Params, signature: Signature) -> Mapping[str, Hint]:
    """Bounds of the inputs that end as indices, by public name."""
    found = {}
    for spec in signature.inputs:
        start = [i for i, node in enumerate(symbol.nodes) if node.is_variable and node.name == spec.tensor]
        bounds = _bounds(symbol, params, set(start))
        if bounds:
            found[spec.name] = Hint(min(bounds))
    return found


def _bounds(symbol: Symbol, params: Params, reached: set[int]) -> list[int]:
    bounds = []
    for index, node in enumerate(symbol.nodes):
        for place, (source, _) in enumerate(node.inputs):
            if source not in reached:
                continue
            if INDICES.get(node.op) == place and (bound := _rows(symbol, params, node)) > 0:
                bounds.append(bound)
            if node.op in KEEPS_VALUES:
                reached.add(index)
    return bounds


def _rows(symbol: Symbol, params: Params, node: SymbolNode) -> int:
    """How many rows the table of an indexing node has; 0 when that is not known."""
    said = node.attrs.get({"one_hot": "depth"}.get(node.op, "input_dim"), "")
    if said.isascii() and said.isdigit():
        return int(said)
    table = params.get(symbol.nodes[node.inputs[0][0]].name) if node.op == "take" else None
    axis = node.attrs.get("axis", "0")
    return int(table.shape[0]) if table is not None and table.ndim and axis == "0" else 0
