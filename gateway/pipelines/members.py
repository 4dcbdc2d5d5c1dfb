"""A leased model as a step of a pipeline: pictures by its [preprocess], rows padded, split and joined.

    fixed first size k      rows run k at a time, the last run padded; only where rows were seen not to
                            influence one another (`independent`)
    a proven batch          rows run together, ROWS at a time
    a free first size       not proven a batch: row by row
    a pipeline, or no rows  as it is

Rule 1: no row of padding leaves here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from gateway import pictures
from gateway.core.dtypes import Array, Tensors, numpy_dtype
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import InvalidTensor
from gateway.pipelines.ports import Values
from gateway.pipelines.steps.base import in_thread
from gateway.serving.predict import Lease, PredictCall

ROWS = 128


class Leased:
    """Implements steps.base.Member."""

    def __init__(self, lease: Lease) -> None:
        self.name = lease.model
        self.signature = lease.signature
        self._lease = lease

    async def run(self, values: Values, deadline: float | None) -> Tensors:
        """Errors: InvalidTensor, and those of Lease.predict."""
        tensors = {name: await self._tensor(name, value) for name, value in values.items()}
        if self._lease.whole:
            return await self._once(tensors, deadline)
        size = fixed_rows(self.signature)
        rows = _rows(tensors)
        if size is None and not _free(self.signature):
            return await self._once(tensors, deadline)
        if rows == 0:
            return await self._empty(tensors, size or 1, deadline)
        step = size or (ROWS if self.signature.batched else 1)
        if rows == step:
            return await self._once(tensors, deadline)
        parts = [{n: _padded(a[at : at + step], size) for n, a in tensors.items()} for at in range(0, rows, step)]
        answers = await asyncio.gather(*(self._once(part, deadline) for part in parts))
        return {name: np.concatenate([a[name] for a in answers])[:rows] for name in answers[0]}

    async def _tensor(self, name: str, value: Array | list[Array]) -> Array:
        if not isinstance(value, list):
            return value
        found = pictures.wanted(self.signature)
        assert found is not None, "plan.py lets pictures in only where [preprocess] says how"
        spec, preprocess = found
        if not value:
            return np.empty((0, *(size or 0 for size in (spec.shape or (0,))[1:])), numpy_dtype(spec.dtype))
        rows = await in_thread(lambda: [pictures.tensor(one, preprocess, spec) for one in value])
        if len({row.shape for row in rows}) > 1:
            raise InvalidTensor(f"the pictures for {self.name} have different sizes, and its [preprocess] sets none.")
        return np.stack(rows)

    async def _once(self, tensors: Tensors, deadline: float | None) -> Tensors:
        return (await self._lease.predict(PredictCall(tensors, (), deadline))).outputs

    async def _empty(self, tensors: Tensors, rows: int, deadline: float | None) -> Tensors:
        """Outputs of no row: their shapes are the signature's, or seen from a run of zeros."""
        if any(spec.shape is None or None in spec.shape[1:] for spec in self.signature.outputs):
            zeros = {name: _zeros(self.signature, name, array, rows) for name, array in tensors.items()}
            return {name: array[:0] for name, array in (await self._once(zeros, deadline)).items()}
        shapes = {spec.name: (spec, (spec.shape or ())[1:]) for spec in self.signature.outputs}
        return {
            n: np.empty((0, *(s or 0 for s in shape)), numpy_dtype(spec.dtype)) for n, (spec, shape) in shapes.items()
        }


def _zeros(signature: Signature, name: str, array: Array, rows: int) -> Array:
    spec = signature.input(name)
    assert spec is not None
    sizes = [given or wanted or 1 for given, wanted in zip(array.shape[1:], (spec.shape or array.shape)[1:])]
    return np.zeros((rows, *sizes), array.dtype)


def _rows(tensors: Tensors) -> int:
    counts = {name: array.shape[0] if array.ndim else 1 for name, array in tensors.items()}
    if len(set(counts.values())) > 1:
        raise InvalidTensor(f"inputs of one step have different numbers of rows: {counts}")
    return next(iter(counts.values()), 1)


def _padded(array: Array, size: int | None) -> Array:
    """Filled up by its last row: real numbers, which no net stumbles over."""
    if size is None or len(array) == size:
        return array
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def _free(signature: Signature) -> bool:
    return all(spec.shape is None or (spec.shape and spec.shape[0] is None) for spec in signature.required)


def fixed_rows(signature: Signature) -> int | None:
    """The one first size of all inputs and outputs, where the model fixes it; None elsewhere."""
    firsts = [spec.shape[0] if spec.shape else None for spec in (*signature.required, *signature.outputs)]
    return firsts[0] if firsts and firsts[0] is not None and len(set(firsts)) == 1 else None


async def independent(lease: Lease) -> bool:
    """Whether the rows of a model of fixed first size do not influence one another: each row of a run is the same
    wherever it stands and whatever stands beside it. Seen on numbers; what cannot be tried is not."""
    size, signature = fixed_rows(lease.signature), lease.signature
    assert size is not None
    if size == 1:
        return True
    probe = await in_thread(_probes, signature.required)
    if probe is None:
        return False
    first = (await lease.predict(PredictCall(probe))).outputs
    turned = {name: np.roll(array, 1, axis=0) for name, array in probe.items()}
    other = (await lease.predict(PredictCall(turned))).outputs
    alone = {name: np.repeat(array[:1], size, axis=0) for name, array in probe.items()}
    third = (await lease.predict(PredictCall(alone))).outputs
    return all(_same(np.roll(first[n], 1, axis=0), other[n]) and _same(first[n][:1], third[n][:1]) for n in first)


def _probes(specs: Sequence[TensorSpec]) -> Tensors | None:
    random, made = np.random.default_rng(0), Tensors()
    for spec in specs:
        if spec.dtype not in ("float32", "float64", "float16") or spec.shape is None or None in spec.shape:
            return None
        made[spec.name] = random.standard_normal([n or 1 for n in spec.shape]).astype(numpy_dtype(spec.dtype))
    return made


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool(
        np.allclose(a, b, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(a).max(initial=0))))
    )
