"""Value: one ONNX tensor while a TensorFlow graph is built.

It is a constant known at build time (a numpy array), or a tf.Tensor held in some order of axes.
Convolutions want channels last and ONNX has them second; so a Value says in which order it is held:

    held.shape[i] is the ONNX tensor's shape[perm[i]]       as in np.transpose(onnx_tensor, perm)

Rule 1: ONNX's Transpose costs nothing here: it changes `perm`. A tf.transpose is written only
        where a consumer asks for an order that nobody holds, and a reshape does where only axes
        of size 1 move.
Rule 2: what was made inside a branch or a loop body is never kept on a Value from outside it:
        TensorFlow refuses tensors of another graph.
        `parts`, where there are any, are the elements of a vector or scalar of whole numbers (sizes, mostly), None for
        those that are computed at run time: of a shape with a free batch the rest is known.
Rule 3: a constant becomes a tensor when it is first read: as a tf.Variable or a tf.constant, as
        weights.py says, laid out as the reader wants it: no transpose at run time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.core.dtypes import Array

Perm = tuple[int, ...]
Materialise = Callable[[Array, str], Any]
"""(array, name of the weight or "") -> tf.Tensor."""


def identity(rank: int) -> Perm:
    return tuple(range(rank))


def channels_last(rank: int) -> Perm:
    """(0, 2, 3, 1) for pictures: the order of axes that TensorFlow's kernels are written for."""
    return (0, *range(2, rank), 1)


def inverse(perm: Sequence[int]) -> Perm:
    return tuple(int(axis) for axis in np.argsort(perm))


class Value:
    """One ONNX tensor. Sequences are plain lists of Values, an empty optional is None."""

    def __init__(
        self,
        held: Any = None,
        perm: Perm | None = None,
        *,
        array: Array | None = None,
        name: str = "",
        materialise: Materialise | None = None,
    ) -> None:
        """Either `held` (a tf.Tensor, `perm` None meaning ONNX's order) or `array` with `materialise`."""
        assert (held is None) != (array is None)
        self.parts: list[int | None] | None = None
        self.array, self.name, self._materialise = array, name, materialise
        self._held: dict[Perm | None, Any] = {}
        if held is not None:
            rank = held.shape.rank
            self.perm: Perm | None = perm if perm is not None or rank is None else identity(rank)
            self._held[self.perm] = held
        else:
            assert array is not None
            self.perm = identity(array.ndim)

    # -- what is known ---------------------------------------------------------------------

    @property
    def constant(self) -> bool:
        return self.array is not None

    @property
    def dtype(self) -> Any:
        """tf.DType."""
        if self.array is not None:
            return tf.string if self.array.dtype.kind in "OSU" else tf.as_dtype(self.array.dtype)
        return self._native.dtype

    @property
    def rank(self) -> int | None:
        if self.array is not None:
            return self.array.ndim
        rank: int | None = self._native.shape.rank
        return rank

    @property
    def shape(self) -> list[int | None]:
        """ONNX's order, None for what is free. Errors: ValueError when even the rank is unknown."""
        if self.array is not None:
            return list(self.array.shape)
        sizes = self._native.shape.as_list()
        assert self.perm is not None
        back = inverse(self.perm)
        return [sizes[axis] for axis in back]

    @property
    def _native(self) -> Any:
        return self._held[self.perm]

    # -- as a tensor -----------------------------------------------------------------------

    @property
    def tensor(self) -> Any:
        """tf.Tensor in ONNX's order of axes."""
        return self.in_order(None if self.rank is None else identity(self.rank))

    @property
    def last(self) -> Any:
        """tf.Tensor with channels last: (N, ..., C)."""
        assert self.rank is not None
        return self.in_order(channels_last(self.rank))

    def in_order(self, perm: Perm | None) -> Any:
        """tf.Tensor whose axis i is the ONNX tensor's axis perm[i]."""
        if self.array is not None:
            return self._constant_in_order(perm)
        found = self._held.get(perm)
        if found is not None:
            return found
        assert perm is not None
        assert self.perm is not None
        native = self._native
        back = inverse(self.perm)
        made = reordered(native, tuple(back[axis] for axis in perm))
        if _same_graph(made, native):
            self._held[perm] = made
        return made

    def _constant_in_order(self, perm: Perm | None) -> Any:
        assert self.array is not None
        assert perm is not None
        array = self.array if perm == identity(self.array.ndim) else np.ascontiguousarray(self.array.transpose(perm))
        if tf.executing_eagerly():
            return tf.constant(array)
        if perm not in self._held:
            assert self._materialise is not None
            made = self._materialise(array, self.name)
            if not isinstance(made, tf.Variable):
                return made  # it belongs to the graph that is being built now: rule 2
            self._held[perm] = made
        return tf.convert_to_tensor(self._held[perm])

    def replaced(self, array: Array) -> Value:
        """A constant with another array: reshaped, padded or folded from this one, under its name."""
        return Value(array=array, name=self.name, materialise=self._materialise)

    @property
    def elements(self) -> list[int | None] | None:
        """Elements of a vector or scalar of whole numbers as far as they are known; None where nothing is."""
        if self.array is not None:
            plain = self.array.dtype.kind in "iu" and self.array.ndim <= 1
            return [int(number) for number in self.array.reshape(-1)] if plain else None
        return self.parts

    def with_parts(self, parts: list[int | None] | None) -> Value:
        """Itself, its elements known in part."""
        self.parts = parts
        return self

    def transposed(self, perm: Perm) -> Value:
        """ONNX's Transpose: y.shape[i] is x.shape[perm[i]]. Writes nothing into the graph."""
        if self.array is not None:
            return Value(array=self.array.transpose(perm), name=self.name, materialise=self._materialise)
        assert self.perm is not None
        place = inverse(perm)
        return Value(self._native, tuple(place[axis] for axis in self.perm))


class Packed(Value):
    """Whole numbers that the model stores, and what is computed with: (stored - zero) scale, in floats.

    `array` is what they stand for; the file holds what is stored, a quarter of the size, and the graph makes the
    floats of it. `zero` and `scale` broadcast against `stored` and have its rank; without a scale it is 1.
    """

    def __init__(self, stored: Value, zero: Array | None, scale: Array | None, kind: Any) -> None:
        """`stored` is a constant, `kind` the float type of the answer: tf.DType."""
        assert stored.array is not None
        wide = stored.array.astype(np.float64) - (0 if zero is None else zero.astype(np.float64))
        array = wide.astype(kind.as_numpy_dtype)  # exact: 8 and 16 bits, or zero points of the same
        if scale is not None:
            array = array * scale.astype(kind.as_numpy_dtype)
        super().__init__(array=array, name=stored.name, materialise=stored._materialise)
        self.stored, self.zero, self.scale, self.kind = stored, zero, scale, kind

    def _constant_in_order(self, perm: Perm | None) -> Any:
        assert perm is not None
        if tf.executing_eagerly():
            return super()._constant_in_order(perm)
        made = tf.cast(self.stored.in_order(perm), self.kind)
        if self.zero is not None and np.any(self.zero):
            made = made - tf.constant(self.zero.transpose(perm).astype(self.kind.as_numpy_dtype))
        if self.scale is not None:
            made = made * tf.constant(self.scale.transpose(perm).astype(self.kind.as_numpy_dtype))
        return made

    def transposed(self, perm: Perm) -> Value:
        zero, scale = (None if each is None else each.transpose(perm) for each in (self.zero, self.scale))
        return Packed(self.stored.transposed(perm), zero, scale, self.kind)


class Flat(Value):
    """(N, ...) -> (N, the product of the rest), of sizes that are known: written when it is read.

    A matrix product does not read it: it permutes its rows instead (flat_product in ops/nn.py), and so no transpose
    of a picture is left before a classifier.
    """

    def __init__(self, source: Value) -> None:
        self.source, self.perm, self.array, self.name = source, (0, 1), None, ""
        self._held: dict[Perm | None, Any] = {}
        self.parts = None
        self.width = math.prod(int(size or 0) for size in source.shape[1:])

    @staticmethod
    def fits(source: Value) -> bool:
        """Is it held in another order, the batch first, and are the sizes known?"""
        if source.constant or source.rank is None or source.perm in (None, identity(source.rank)):
            return False
        return source.perm is not None and source.perm[0] == 0 and None not in source.shape[1:] and source.rank > 2

    @property
    def here(self) -> bool:
        """Has no-one read it yet in ONNX's order?"""
        return not self._held

    @property
    def dtype(self) -> Any:
        return self.source.dtype

    @property
    def rank(self) -> int:
        return 2

    @property
    def shape(self) -> list[int | None]:
        return [self.source.shape[0], self.width]

    @property
    def in_its_order(self) -> Any:
        """tf.Tensor (N, width) with the elements in the order in which the source is held."""
        return tf.reshape(self.source.in_order(self.source.perm), [-1, self.width])

    @property
    def _native(self) -> Any:
        found = self._held.get(self.perm)
        if found is None:
            found = tf.reshape(self.source.tensor, [-1, self.width])
            if _same_graph(found, self.source._native):
                self._held[self.perm] = found
        return found

    def in_order(self, perm: Perm | None) -> Any:
        native = self._native
        return native if perm in (None, (0, 1)) else reordered(native, (1, 0))


def reordered(tensor: Any, perm: Perm) -> Any:
    """tf.transpose, or a reshape where only axes of size 1 move, or nothing."""
    if perm == identity(len(perm)):
        return tensor
    sizes = tensor.shape.as_list()
    if [axis for axis in perm if sizes[axis] != 1] == [axis for axis in range(len(perm)) if sizes[axis] != 1]:
        wanted = [sizes[axis] for axis in perm]
        if wanted.count(None) <= 1:
            return tf.reshape(tensor, [-1 if size is None else size for size in wanted])
    return tf.transpose(tensor, perm)


def _same_graph(one: Any, other: Any) -> bool:
    if tf.executing_eagerly():
        return True
    return getattr(one, "graph", None) is getattr(other, "graph", None)
