"""Reductions over axes, the places of extremes, and orderings.

Rule 1: `axis` absent or () means all axes; `exclude` turns the choice round.
Rule 2: places come as floats: argmax in the dtype of its data, argsort and topk as float32 unless `dtype` says.
Rule 3: where MXNet reduces everything, the answer has shape (1,), for it knows no scalars here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import FLOATS, Node, attr_dtype, op


def reduced_axes(node: Node, rank: int) -> tuple[int, ...]:
    axes = tuple(axis % rank for axis in node.attrs.ints("axis", ()))
    if not axes:
        return tuple(range(rank))
    if node.attrs.bool("exclude"):
        return tuple(axis for axis in range(rank) if axis not in axes)
    return axes


def _scalar_free(x: Array) -> Array:
    return x.reshape(1) if x.ndim == 0 else x


def _nan_as(value: float, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, **how: function(np.where(np.isnan(x), value, x), **how)


REDUCTIONS: dict[tuple[str, ...], Callable[..., Any]] = {
    ("sum", "sum_axis", "_sparse_sum"): np.sum,
    ("mean", "_sparse_mean"): np.mean,
    ("prod",): np.prod,
    ("nansum",): _nan_as(0.0, np.sum),
    ("nanprod",): _nan_as(1.0, np.prod),
    ("max", "max_axis"): np.max,
    ("min", "min_axis"): np.min,
}


def _reduction(names: tuple[str, ...], function: Callable[..., Any]) -> None:
    @op(*names)
    def apply(node: Node, x: Array) -> Array:
        axes, keep = reduced_axes(node, x.ndim), node.attrs.bool("keepdims")
        return _scalar_free(np.asarray(function(x, axis=axes, keepdims=keep)))

    apply.__doc__ = f"{names[0]} over `axis`."


for _names, _function in REDUCTIONS.items():
    _reduction(_names, _function)


@op("norm", "_sparse_norm", dtype=lambda node: attr_dtype(node.dtypes[0], "out_dtype")(node))
def norm(node: Node, x: Array) -> Array:
    """Of order 2 (the default) or 1, the sum of absolutes, over the axes; over two axes it is no matrix norm."""
    order, keep = node.attrs.int("ord", 2), node.attrs.bool("keepdims")
    axes = tuple(axis % x.ndim for axis in node.attrs.ints("axis", ())) or tuple(range(x.ndim))
    if order == 2:
        return _scalar_free(np.sqrt((x * x).sum(axis=axes, keepdims=keep)))
    return _scalar_free(np.abs(x).sum(axis=axes, keepdims=keep))


@op("moments")
def moments(node: Node, x: Array) -> tuple[Array, Array]:
    """(mean, variance) over `axes`."""
    axes = tuple(axis % x.ndim for axis in node.attrs.ints("axes", ())) or tuple(range(x.ndim))
    keep = node.attrs.bool("keepdims")
    return _scalar_free(x.mean(axis=axes, keepdims=keep)), _scalar_free(x.var(axis=axes, keepdims=keep))


def _extreme(node: Node, x: Array, pick: Callable[..., Any]) -> Array:
    axis, keep = node.attrs.optional_int("axis"), node.attrs.bool("keepdims")
    if axis is None:
        found = np.asarray(pick(x.reshape(-1)))
        return found.reshape((1,) * x.ndim) if keep else found.reshape(1)
    return _scalar_free(np.asarray(pick(x, axis=axis, keepdims=keep)))


@op("argmax")
def argmax(node: Node, x: Array) -> Array:
    """The first place of the greatest, in the data's own dtype; without `axis` in the flattened data."""
    return _extreme(node, x, np.argmax)


@op("argmin")
def argmin(node: Node, x: Array) -> Array:
    """The first place of the least, in the data's own dtype."""
    return _extreme(node, x, np.argmin)


@op("argmax_channel")
def argmax_channel(node: Node, x: Array) -> Array:
    """argmax over axis 1."""
    return np.asarray(np.argmax(x, axis=1))


def _order(x: Array, axis: int, ascending: bool) -> Array:
    """Places in order; equal ones keep theirs both ways, as MXNet's stable sort does."""
    if ascending:
        return np.argsort(x, axis=axis, kind="stable")
    turned = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - turned, axis)


def _axis_or_flat(node: Node, x: Array) -> tuple[Array, int]:
    """`axis` (the last); None sorts the flattened data."""
    if node.attrs.is_none("axis"):
        return x.reshape(-1), 0
    return x, node.attrs.int("axis", -1) % x.ndim


@op("sort", "_npi_sort")
def sort(node: Node, x: Array) -> Array:
    """Along `axis`, ascending unless `is_ascend=False`."""
    x, axis = _axis_or_flat(node, x)
    return np.take_along_axis(x, _order(x, axis, node.attrs.bool("is_ascend", True)), axis)


@op("argsort", "_npi_argsort", dtype=attr_dtype())
def argsort(node: Node, x: Array) -> Array:
    """The places in order along `axis`, in `dtype` (float32)."""
    x, axis = _axis_or_flat(node, x)
    return _order(x, axis, node.attrs.bool("is_ascend", True))


def _topk_dtype(node: Node) -> str | tuple[str, ...]:
    kind = node.attrs.str("ret_typ", "indices")
    places = attr_dtype()(node)
    if kind == "both":
        return node.dtypes[0], places
    return places if kind == "indices" else node.dtypes[0]


@op("topk", "_npx_topk", dtype=_topk_dtype)
def topk(node: Node, x: Array) -> Array | tuple[Array, Array]:
    """The `k` greatest (least with `is_ascend`) along `axis`: their places, values, both, or a mask of 0 and 1."""
    whole = x.shape
    x, axis = _axis_or_flat(node, x)
    k = node.attrs.int("k", 1)
    places = _order(x, axis, node.attrs.bool("is_ascend"))
    places = np.take(places, np.arange(k if k > 0 else x.shape[axis]), axis=axis)
    values, kind = np.take_along_axis(x, places, axis), node.attrs.str("ret_typ", "indices")
    if kind == "indices":
        return places
    if kind == "value":
        return values
    if kind == "both":
        return values, places
    mask = np.zeros(x.shape)
    np.put_along_axis(mask, places, 1.0, axis)
    return mask.reshape(whole)


@op("cumsum", "_np_cumsum", dtype=lambda node: attr_dtype(node.dtypes[0])(node))
def cumsum(node: Node, x: Array) -> Array:
    """Along `axis`; without one, of the flattened data."""
    return np.cumsum(x, axis=node.attrs.optional_int("axis"))


@op("_histogram", dtype=lambda node: ("int64", node.dtypes[0]))
def histogram(node: Node, x: Array, *edges: Array) -> tuple[Array, Array]:
    """(counts, edges) over `range` in `bin_cnt` bins, or over given edges."""
    if node.attrs.has("bin_cnt"):
        low, high = node.attrs.floats("range")
        return np.histogram(x, bins=node.attrs.int("bin_cnt"), range=(low, high))
    return np.histogram(x, bins=edges[0])


@op("all_finite", "multi_all_finite", dtype="float32")
def all_finite(node: Node, *xs: Array) -> Array:
    """1 when every number of every input is finite, else 0; shape (1,)."""
    return np.array([float(all(np.isfinite(x).all() for x in xs))])


@op("multi_sum_sq", dtype="float32")
def multi_sum_sq(node: Node, *xs: Array) -> Array:
    """The sum of squares of each input."""
    return np.array([(x * x).sum() for x in xs])


@op("_contrib_allclose", dtype="uint8")
def allclose(node: Node, a: Array, b: Array) -> Array:
    """1 when |a - b| <= atol + rtol |b| everywhere, else 0; a scalar of uint8."""
    close = np.allclose(
        a, b, node.attrs.float("rtol", 1e-5), node.attrs.float("atol", 1e-8), node.attrs.bool("equal_nan")
    )
    return np.array(float(close))


def _float_of(node: Node) -> str:
    return node.dtypes[0] if node.dtypes[0] in FLOATS else "float32"


@op("_npi_mean", dtype=_float_of)
def numpy_mean(node: Node, x: Array) -> Array:
    """mean over `axis` as numpy's; integers become float32."""
    return np.asarray(x.mean(axis=node.attrs.ints("axis", ()) or None, keepdims=node.attrs.bool("keepdims")))


@op("_np_sum", "_np_prod", "_np_max", "_np_amax", "_np_min", "_np_amin", "_np_product")
def numpy_reduction(node: Node, x: Array) -> Array:
    """As numpy's of that name."""
    function: dict[str, Callable[..., Any]] = {
        "sum": np.sum,
        "prod": np.prod,
        "product": np.prod,
        "max": np.max,
        "amax": np.max,
    }
    chosen = function.get(node.op.removeprefix("_np_"), np.min)
    return np.asarray(chosen(x, axis=node.attrs.ints("axis", ()) or None, keepdims=node.attrs.bool("keepdims")))
