"""Sequences of unequal length: time is axis 0 and the batch axis 1, unless `axis` is 1."""

from __future__ import annotations

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op


def _time_first(x: Array, axis: int) -> Array:
    return np.swapaxes(x, 0, 1) if axis == 1 else x


@op("SequenceMask", "_npx_sequence_mask")
def sequence_mask(node: Node, x: Array, length: Array | None = None) -> Array:
    """`value` from each sequence's length on; the input itself unless `use_sequence_length`."""
    if not node.attrs.bool("use_sequence_length") or length is None:
        return x
    axis = node.attrs.int("axis", 0)
    turned = _time_first(x, axis)
    inside = np.arange(turned.shape[0])[:, None] < length[None, :]
    inside = inside.reshape(*inside.shape, *(1,) * (x.ndim - 2))
    return _time_first(np.where(inside, turned, node.attrs.float("value", 0.0)), axis)


@op("SequenceLast")
def sequence_last(node: Node, x: Array, length: Array | None = None) -> Array:
    """The last step, or the step before each sequence's length."""
    turned = _time_first(x, node.attrs.int("axis", 0))
    if not node.attrs.bool("use_sequence_length") or length is None:
        return np.asarray(turned[-1])
    return turned[length.astype(np.int64) - 1, np.arange(turned.shape[1])]


@op("SequenceReverse")
def sequence_reverse(node: Node, x: Array, length: Array | None = None) -> Array:
    """Steps turned round; with `use_sequence_length` only those inside, the others stay."""
    if not node.attrs.bool("use_sequence_length") or length is None:
        return x[::-1]
    out = x.copy()
    for i, count in enumerate(length.astype(np.int64)):
        out[:count, i] = x[:count, i][::-1]
    return out
