"""Operators of MXNet's numpy interface that have no older counterpart: they mean what numpy's of that name mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import FLOATS, Node, attr_dtype, op


def _float_or(node: Node) -> str:
    return attr_dtype(node.dtypes[0] if node.dtypes[0] in FLOATS else "float32")(node)


def _moment(names: str, function: Callable[..., Any]) -> None:
    @op(names, dtype=_float_or)
    def apply(node: Node, x: Array) -> Array:
        axes, keep = node.attrs.ints("axis", ()) or None, node.attrs.bool("keepdims")
        return np.asarray(function(x, axis=axes, ddof=node.attrs.int("ddof", 0), keepdims=keep))

    apply.__doc__ = f"{names} over `axis`, the divisor less `ddof`."


_moment("_npi_var", np.var)
_moment("_npi_std", np.std)


def _place(name: str, function: Callable[..., Any]) -> None:
    @op(name, dtype="int64")
    def apply(node: Node, x: Array) -> Array:
        axis, keep = node.attrs.optional_int("axis"), node.attrs.bool("keepdims")
        return np.asarray(function(x, axis=axis, keepdims=keep))

    apply.__doc__ = f"{name}: the first place, int64; of the flattened data without `axis`."


_place("_npi_argmax", np.argmax)
_place("_npi_argmin", np.argmin)


def _question(name: str, function: Callable[[Array], Any]) -> None:
    @op(name, dtype="bool")
    def apply(node: Node, x: Array) -> Array:
        return np.asarray(function(x))

    apply.__doc__ = f"{name} of every element, booleans."


QUESTIONS: dict[str, Callable[..., Any]] = {
    "_npi_isnan": np.isnan,
    "_npi_isinf": np.isinf,
    "_npi_isfinite": np.isfinite,
    "_npi_isposinf": np.isposinf,
    "_npi_isneginf": np.isneginf,
}

for _name, _function in QUESTIONS.items():
    _question(_name, _function)


@op("_npi_full_like", dtype=lambda node: attr_dtype(node.dtypes[0])(node))
def full_like(node: Node, x: Array) -> Array:
    """`fill_value` in the shape of x."""
    return np.full(x.shape, node.attrs.float("fill_value"))


@op("_npi_where_scalar2", dtype="float32")
def where_scalars(node: Node, condition: Array) -> Array:
    """The number x where the condition is not 0, else the number y."""
    return np.where(condition != 0, node.attrs.float("x", 0.0), node.attrs.float("y", 0.0))


@op("_npi_vstack")
def vstack(node: Node, *xs: Array) -> Array:
    """One above the other; vectors are rows."""
    return np.vstack(xs)


@op("_npi_column_stack")
def column_stack(node: Node, *xs: Array) -> Array:
    """Side by side; vectors are columns."""
    return np.column_stack(xs)


@op("_np_moveaxis")
def moveaxis(node: Node, x: Array) -> Array:
    """Axes from `source` to `destination`."""
    return np.moveaxis(x, node.attrs.ints("source", None), node.attrs.ints("destination", None))


@op("_np_roll")
def roll(node: Node, x: Array) -> Array:
    """Turned by `shift` along `axis`; without one, the flattened data."""
    return np.roll(x, node.attrs.ints("shift", None), axis=node.attrs.ints("axis", ()) or None)


@op("_np_trace")
def trace(node: Node, x: Array) -> Array:
    """The sum of a diagonal."""
    axes = node.attrs.int("axis1", 0), node.attrs.int("axis2", 1)
    return np.asarray(np.trace(x, node.attrs.int("offset", 0), *axes))


@op("_npi_tril")
def tril(node: Node, x: Array) -> Array:
    """Zeros above diagonal `k`."""
    return np.tril(x, node.attrs.int("k", 0))


@op("_npi_diff")
def diff(node: Node, x: Array) -> Array:
    """Differences of neighbours along `axis` (the last), `n` times."""
    return np.diff(x, node.attrs.int("n", 1), node.attrs.int("axis", -1))


@op("_npi_rot90")
def rot90(node: Node, x: Array) -> Array:
    """Turned by 90 degrees, `k` times, in the plane of `axes`."""
    first, second = node.attrs.ints("axes", (0, 1))
    return np.rot90(x, node.attrs.int("k", 1), (first, second))


@op("_npi_arctan2")
def arctan2(node: Node, a: Array, b: Array) -> Array:
    """The angle of (b, a)."""
    return np.arctan2(a, b)


@op("_npi_tensordot")
def tensordot(node: Node, a: Array, b: Array) -> Array:
    """Sums of products over the named axes of each."""
    axes = node.attrs.ints("a_axes_summed", ()), node.attrs.ints("b_axes_summed", ())
    return np.asarray(np.tensordot(a, b, axes))


@op("_npi_einsum")
def einsum(node: Node, *xs: Array) -> Array:
    """Sums of products as `subscripts` says."""
    return np.asarray(np.einsum(node.attrs.str("subscripts"), *xs))
