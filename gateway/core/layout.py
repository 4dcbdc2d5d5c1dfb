"""Channels last for clients, channels second in the source: shapes and tensors between the two.

Rule 1: judges see the source's own order; clients and the artifact see the public one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.signature import Signature, TensorSpec

NHWC = "nhwc"


def last(rank: int) -> tuple[int, ...]:
    """Order of axes that puts channels last: (0, 2, 3, 1) for pictures."""
    return (0, *range(2, rank), 1)


def second(rank: int) -> tuple[int, ...]:
    """Order of axes that puts the last one back to the second place: (0, 3, 1, 2)."""
    return (0, rank - 1, *range(1, rank - 1))


def channels_last(spec: TensorSpec) -> TensorSpec:
    """The public spec of a tensor that the source has with channels second."""
    assert spec.shape is not None
    order = last(len(spec.shape))
    symbols = tuple(spec.symbols[axis] for axis in order) if len(spec.symbols) == len(order) else ()
    return replace(spec, shape=tuple(spec.shape[axis] for axis in order), symbols=symbols, layout=NHWC)


def of_source(signature: Signature) -> Signature:
    """The signature as the source has it."""
    return replace(
        signature,
        inputs=tuple(_of_source(spec) for spec in signature.inputs),
        outputs=tuple(_of_source(spec) for spec in signature.outputs),
    )


def _of_source(spec: TensorSpec) -> TensorSpec:
    if spec.layout != NHWC or spec.shape is None:
        return spec
    order = second(len(spec.shape))
    symbols = tuple(spec.symbols[axis] for axis in order) if len(spec.symbols) == len(order) else ()
    return replace(spec, shape=tuple(spec.shape[axis] for axis in order), symbols=symbols, layout="")


def to_public(tensors: Tensors, specs: Iterable[TensorSpec]) -> Tensors:
    """Tensors in the source's order, as clients and the artifact have them."""
    return _moved(tensors, specs, last)


def to_source(tensors: Tensors, specs: Iterable[TensorSpec]) -> Tensors:
    """Tensors as clients and the artifact have them, in the source's order."""
    return _moved(tensors, specs, second)


def _moved(tensors: Tensors, specs: Iterable[TensorSpec], order: object) -> Tensors:
    assert callable(order)
    moved = {spec.name for spec in specs if spec.layout == NHWC}
    return {name: _transposed(array, order(array.ndim)) if name in moved else array for name, array in tensors.items()}


def _transposed(array: Array, order: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(array.transpose(order))
