"""Which constants become tf.Variables, and under which names.

Rule 1: a weight that is read in one layout is one variable, called as the ONNX initializer is. Large
        floats are variables: `variables/` holds them, a GraphDef stays small and over 2 GB works.
Rule 2: `trainable` makes every float weight a trainable variable; `frozen` makes everything a constant.
Rule 3: the same name with the same numbers is one variable: in both graphs of a trainable model, and in the rounds
        of a loop, which are traced more than once.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.core.dtypes import Array

LARGE = 1024  # elements; smaller ones are constants, which graph optimisation can fold, and cost less than a variable
LARGE_WHOLE = 1 << 16  # the same for integers, which are never trained: quantised weights and tables


class Weights:
    """`variables` by name, in the order in which they were first read."""

    def __init__(self, *, trainable: bool = False, frozen: bool = False) -> None:
        self.trainable, self.frozen = trainable, frozen
        self.variables: dict[str, Any] = {}
        self._shared: dict[str, list[Any]] = {}

    def tensor(self, array: Array, name: str) -> Any:
        """tf.Variable or a constant of the graph that is being built."""
        floating = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
        wanted = floating and name and (array.size >= LARGE or (self.trainable and array.ndim > 0))
        wanted = wanted or (array.dtype.kind in "iu" and name and array.size >= LARGE_WHOLE)
        if self.frozen or not wanted:
            return tf.constant(array, name=_clean(name) if name else None)
        return self.variable(array, name, trainable=self.trainable and floating)

    def variable(self, array: Array, name: str, *, trainable: bool) -> Any:
        """tf.Variable; the one that an earlier graph has made of the same."""
        for variable in self._shared.get(name, ()):
            if _holds(variable, array):
                return variable
        with tf.init_scope(), tf.compat.v1.name_scope(None):  # outside the scope of the node that reads it
            # Not to be lifted out of the function being traced: it would be traced a second time for that.
            variable = tf.Variable(
                array, trainable=trainable, name=self._unique(name), experimental_enable_variable_lifting=False
            )
        self.variables[variable.name.removesuffix(":0")] = variable
        self._shared.setdefault(name, []).append(variable)
        return variable

    def _unique(self, name: str) -> str:
        """A name of its own."""
        clean = _clean(name)
        wish, number = clean, 2
        while wish in self.variables:
            wish, number = f"{clean}_{number}", number + 1
        return wish


def _clean(name: str) -> str:
    """A name that TensorFlow takes: letters, digits, _ . / - and no more."""
    clean = re.sub(r"[^A-Za-z0-9_./\\-]", "_", name).strip("/") or "weight"
    return clean if re.match(r"[A-Za-z0-9.]", clean) else f"w{clean}"


def _holds(variable: Any, array: Array) -> bool:
    """Bit by bit, so that NaN is NaN."""
    if tuple(variable.shape) != array.shape or variable.dtype.as_numpy_dtype != array.dtype:
        return False
    with tf.init_scope():
        there = variable.numpy()
    return np.ascontiguousarray(there).tobytes() == np.ascontiguousarray(array).tobytes()
