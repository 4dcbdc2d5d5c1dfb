"""Picking by index: take, pick, gather, one_hot, where, and the ops that write by index.

Rule 1: an index is a number of any dtype; its fraction is cut off, as a C cast does.
"""

from __future__ import annotations

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.mxnet.interpreter.registry import Node, attr_dtype, op


def whole(indices: Array) -> Array:
    return np.trunc(indices).astype(np.int64)


def bounded(node: Node, indices: Array, size: int, default: str = "clip") -> Array:
    """clip to the nearest place, wrap around, or refuse."""
    mode, places = node.attrs.str("mode", default), whole(indices)
    if mode == "clip":
        return np.clip(places, 0, size - 1)
    if mode == "wrap":
        return places % size
    if mode == "raise":
        if ((places < 0) | (places >= size)).any():
            raise ConversionError(f"node {node.name!r} ({node.op}): an index is outside 0..{size - 1}.")
        return places
    raise node.unsupported(f"mode {mode!r}")


@op("take", "_npi_take")
def take(node: Node, x: Array, indices: Array) -> Array:
    """Slices of x at `indices` along `axis` (0)."""
    axis = node.attrs.int("axis", 0) % x.ndim
    return np.take(x, bounded(node, indices, x.shape[axis]), axis=axis)


@op("batch_take", "choose_element_0index")
def batch_take(node: Node, x: Array, indices: Array) -> Array:
    """One element of each row."""
    rows = x.reshape(-1, x.shape[-1])
    places = np.clip(whole(indices).reshape(-1), 0, x.shape[-1] - 1)
    return np.asarray(rows[np.arange(rows.shape[0]), places].reshape(indices.shape))


@op("pick", "_npx_pick")
def pick(node: Node, x: Array, indices: Array) -> Array:
    """One element along `axis` (the last) for each place of the rest."""
    if node.attrs.is_none("axis"):
        return np.take(x.reshape(-1), bounded(node, indices, x.size))
    axis, keep = node.attrs.int("axis", -1) % x.ndim, node.attrs.bool("keepdims")
    shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    places = bounded(node, indices, x.shape[axis]).reshape(shape)
    found = np.take_along_axis(x, places, axis)
    return found if keep else np.squeeze(found, axis).reshape([n for i, n in enumerate(x.shape) if i != axis] or (1,))


@op("gather_nd", "_npx_gather_nd", "_npi_gather_nd")
def gather_nd(node: Node, x: Array, indices: Array) -> Array:
    """x[indices[0], indices[1], ...]: the first axis of `indices` is of coordinates, negative ones from the end."""
    places = [whole(row) for row in indices]
    for row, size in zip(places, x.shape, strict=False):
        if ((row < -size) | (row >= size)).any():
            raise ConversionError(f"node {node.name!r} ({node.op}): an index is outside {-size}..{size - 1}.")
    return np.asarray(x[tuple(places)])


@op("scatter_nd")
def scatter_nd(node: Node, x: Array, indices: Array) -> Array:
    """Zeros of `shape` with x written at `indices`; the last of equal places wins."""
    out = np.zeros(node.attrs.ints("shape", None), dtype=x.dtype)
    out[tuple(whole(row) for row in indices)] = x
    return out


@op("one_hot", "_npx_one_hot", dtype=attr_dtype())
def one_hot(node: Node, indices: Array) -> Array:
    """`on_value` at the index, `off_value` elsewhere; a row without a place for its index is all off."""
    depth = node.attrs.int("depth")
    at = np.arange(depth) == whole(indices)[..., None]
    return np.where(at, node.attrs.float("on_value", 1.0), node.attrs.float("off_value", 0.0))


@op("where", "_sparse_where", "_npi_where", dtype=lambda node: node.dtypes[1])
def where(node: Node, condition: Array, x: Array, y: Array) -> Array:
    """x where the condition is not 0; a condition of one axis chooses rows."""
    if condition.ndim == 1 and x.ndim > 1 and node.op != "_npi_where":
        condition = condition.reshape(-1, *(1,) * (x.ndim - 1))
    return np.where(condition != 0, x, y)


@op("_npi_where_rscalar", dtype=lambda node: node.dtypes[1])
def where_right_scalar(node: Node, condition: Array, x: Array) -> Array:
    """x where the condition is not 0, else the number `scalar`."""
    return np.where(condition != 0, x, node.attrs.float("scalar", 0.0))


@op("_npi_where_lscalar", dtype=lambda node: node.dtypes[1])
def where_left_scalar(node: Node, condition: Array, x: Array) -> Array:
    """The number `scalar` where the condition is not 0, else x."""
    return np.where(condition != 0, node.attrs.float("scalar", 0.0), x)


@op("_unravel_index", "unravel_index")
def unravel_index(node: Node, indices: Array) -> Array:
    """Flat places of `shape` as coordinates, one axis of them first."""
    places = whole(indices)
    shape = node.attrs.ints("shape", None)
    return np.stack(np.unravel_index(places, shape))


@op("_ravel_multi_index", "ravel_multi_index")
def ravel_multi_index(node: Node, coordinates: Array) -> Array:
    """Coordinates, one axis of them first, as flat places of `shape`."""
    shape = node.attrs.ints("shape", None)
    flat = np.zeros(coordinates.shape[1:])
    for size, row in zip(shape, coordinates, strict=True):
        flat = flat * size + row
    return flat


@op("_contrib_boolean_mask", "_npi_boolean_mask")
def boolean_mask(node: Node, x: Array, mask: Array) -> Array:
    """The slices along `axis` whose mask is not 0."""
    return np.compress(mask != 0, x, axis=node.attrs.int("axis", 0))


@op("_contrib_index_copy")
def index_copy(node: Node, old: Array, indices: Array, new: Array) -> Array:
    """`old` with the rows of `new` at `indices`."""
    out = old.copy()
    out[whole(indices)] = new
    return out


@op("_slice_assign", "_crop_assign")
def slice_assign(node: Node, x: Array, values: Array) -> Array:
    """x with begin:end:step replaced by `values`."""
    out = x.copy()
    out[_window(node)] = values
    return out


@op("_slice_assign_scalar", "_crop_assign_scalar")
def slice_assign_scalar(node: Node, x: Array) -> Array:
    """x with begin:end:step replaced by one number."""
    out = x.copy()
    out[_window(node)] = node.attrs.float("scalar", 0.0)
    return out


def _window(node: Node) -> tuple[slice, ...]:
    begin, end = node.attrs.optional_ints("begin") or (), node.attrs.optional_ints("end") or ()
    step = node.attrs.optional_ints("step") or (None,) * len(begin)
    return tuple(slice(*part) for part in zip(begin, end, step, strict=True))
