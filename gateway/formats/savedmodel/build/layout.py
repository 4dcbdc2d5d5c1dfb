"""Keeping an order of axes through operators that do not care: elementwise ones, reductions, concatenations.

Rule 1: the order that a large operand is held in wins; constants and small operands follow it for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.values import Perm, Value, identity, inverse, reordered


def common(values: Sequence[Value]) -> tuple[list[Any], Perm | None]:
    """Tensors of all in one order of axes, ready to broadcast as ONNX does, and that order (None: ONNX's).

    Tensors of lower rank get axes of size 1 in front.
    """
    ranks = [value.rank for value in values]
    if None in ranks:
        return [value.tensor for value in values], None
    rank = max(known for known in ranks if known is not None)
    held = [value.perm for value in values if value.rank == rank and not value.constant]
    perm = next((p for p in held if p is not None and p != identity(rank)), None)
    if perm is None:
        return [value.tensor for value in values], None
    return [_ranked(value, rank, perm) for value in values], perm


def _ranked(value: Value, rank: int, perm: Perm) -> Any:
    if value.rank == rank:
        return value.in_order(perm)
    if value.rank == 0:
        return value.tensor
    assert value.rank is not None
    if value.array is not None:
        wider = value.array.reshape((1,) * (rank - value.rank) + value.array.shape)
        return value.replaced(wider).in_order(perm)
    tensor = value.tensor
    for _ in range(rank - value.rank):
        tensor = tf.expand_dims(tensor, 0)
    return reordered(tensor, perm)


def held(value: Value) -> tuple[Any, Perm | None]:
    """The tensor as it is held, and its order; for functions of one operand that do not care."""
    if value.rank is None:
        return value.tensor, None
    return value.in_order(value.perm), value.perm


def moved(axes: Sequence[int], perm: Perm | None) -> list[int]:
    """Where ONNX's axes (not negative) are in a tensor held in `perm`."""
    if perm is None:
        return list(axes)
    place = inverse(perm)
    return [place[axis] for axis in axes]


def positive(axis: int, rank: int) -> int:
    """Errors: ValueError for an axis that a tensor of this rank has not."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def dynamic_shape(value: Value) -> Any:
    """int64 vector in ONNX's order: a numpy array where everything is known, else a tensor."""
    if value.rank is not None and None not in value.shape:
        return np.array(value.shape, np.int64)
    if value.rank is None or value.perm in (None, identity(value.rank)):
        return tf.shape(value.tensor, out_type=tf.int64)
    assert value.perm is not None
    return tf.gather(tf.shape(value.in_order(value.perm), out_type=tf.int64), inverse(value.perm))
