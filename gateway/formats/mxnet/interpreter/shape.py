"""Shapes and places: reshape in all its codes, transpose, slices, joins, splits, padding, repeats."""

from __future__ import annotations

import math

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op

DROP = -9
NUMPY_CODES = {-2: 0, -3: DROP, -4: -2, -5: -3, -6: -4}
"""The codes of _npx_reshape as Reshape's."""


def reshaped(node: Node, codes: tuple[int, ...], shape: tuple[int, ...], reverse: bool) -> tuple[int, ...]:
    """MXNet's codes: 0 copy, -1 infer, -2 copy the rest, -3 merge two, -4 split by the two that follow, DROP a 1.

    `reverse` reads codes and shape from the right, the pair of a -4 too.
    """
    source, wanted = (list(shape[::-1]), list(codes[::-1])) if reverse else (list(shape), list(codes))
    out, at, i, hole = list[int](), 0, 0, -1
    while i < len(wanted):
        code, taken = wanted[i], 1
        if code == 0:
            out.append(source[at])
        elif code == -1:
            hole = len(out)
            out.append(1)
        elif code == -2:
            out += source[at:]
            taken = len(source) - at
        elif code == -3:
            out.append(source[at] * source[at + 1])
            taken = 2
        elif code == -4:
            left, right = wanted[i + 1 : i + 3]
            out += [source[at] // right if left == -1 else left, source[at] // left if right == -1 else right]
            i += 2
        elif code > 0:
            out.append(code)
        elif code != DROP:
            raise node.unsupported(f"code {code} of shape")
        at, i = at + taken, i + 1
    if hole >= 0:
        out[hole] = math.prod(shape) // math.prod(out)
    return tuple(out[::-1] if reverse else out)


def _lost_hole(codes: tuple[int, ...]) -> bool:
    """Whether Reshape writes the inferred size to a wrong place: it counts codes where it should count sizes."""
    i = 0
    while i < len(codes) and codes[i] not in (-2, -4):
        i += 1
    rest = codes[i + 3 :] if i < len(codes) and codes[i] == -4 else codes[i + 1 :]
    return -1 in rest


@op("Reshape", "reshape")
def reshape(node: Node, x: Array) -> Array:
    """To `shape` by its codes; the oldest files say `target_shape`, where 0 is inferred, and `keep_highest`."""
    codes = node.attrs.ints("shape", ())
    if codes:
        reverse = node.attrs.bool("reverse")
        if _lost_hole(codes[::-1] if reverse else codes):
            raise node.unsupported(
                "a -1 after -2 or -4 in shape: MXNet writes the inferred size to a wrong place there"
            )
        return x.reshape(reshaped(node, codes, x.shape, reverse))
    target = list(node.attrs.ints("target_shape", ()))
    keep = node.attrs.bool("keep_highest")
    if keep:
        target[0] = x.shape[0]
    holes = [i for i in range(1 if keep else 0, len(target)) if target[i] == 0]
    if len(holes) == 1:
        target[holes[0]] = x.size // math.prod(n for i, n in enumerate(target) if i != holes[0])
    return x.reshape(target)


@op("_npx_reshape")
def npx_reshape(node: Node, x: Array) -> Array:
    """-1 infer, -2 copy, -3 drop a 1, -4 copy the rest, -5 merge two, -6 split by the two that follow."""
    codes = tuple(NUMPY_CODES.get(code, code) for code in node.attrs.ints("newshape", None))
    return x.reshape(reshaped(node, codes, x.shape, node.attrs.bool("reverse")))


@op("_np_reshape", "_npi_reshape")
def np_reshape(node: Node, x: Array) -> Array:
    """As numpy's."""
    return x.reshape(node.attrs.ints("newshape", None))


@op("Flatten", "flatten", "_npx_batch_flatten")
def flatten(node: Node, x: Array) -> Array:
    """(N, everything else)."""
    return x.reshape(x.shape[0], -1)


@op("reshape_like", "_npx_reshape_like")
def reshape_like(node: Node, x: Array, like: Array) -> Array:
    """Axes lhs_begin..lhs_end of x become axes rhs_begin..rhs_end of the other."""

    def bounds(side: str, rank: int) -> tuple[int, int]:
        begin, end = node.attrs.optional_int(f"{side}_begin"), node.attrs.optional_int(f"{side}_end")
        begin, end = begin or 0, rank if end is None else end
        return begin + rank * (begin < 0), end + rank * (end < 0)

    (begin, end), (first, last) = bounds("lhs", x.ndim), bounds("rhs", like.ndim)
    return x.reshape(*x.shape[:begin], *like.shape[first:last], *x.shape[end:])


@op("shape_array", "_npx_shape_array", dtype="int64")
def shape_array(node: Node, x: Array) -> Array:
    """The shape, int64."""
    return np.array(x.shape)


@op("size_array", dtype="int64")
def size_array(node: Node, x: Array) -> Array:
    """The number of elements, int64, shape (1,)."""
    return np.array([x.size])


@op("transpose", "_np_transpose", "_npi_transpose")
def transpose(node: Node, x: Array) -> Array:
    """By `axes`; without them the axes are turned round."""
    return np.transpose(x, node.attrs.ints("axes", ()) or None)


@op("SwapAxis", "swapaxes", "_npi_swapaxes")
def swap_axis(node: Node, x: Array) -> Array:
    """Axes dim1 and dim2 change places."""
    return np.swapaxes(x, node.attrs.int("dim1", 0), node.attrs.int("dim2", 0))


@op("expand_dims", "_npi_expand_dims")
def expand_dims(node: Node, x: Array) -> Array:
    """A new axis of size 1 at `axis`."""
    return np.expand_dims(x, node.attrs.int("axis"))


@op("squeeze", "_np_squeeze")
def squeeze(node: Node, x: Array) -> Array:
    """Without the axes of size 1 (all, or `axis`); never less than one axis."""
    axes = node.attrs.ints("axis", ())
    found = np.squeeze(x, axis=axes or None)
    return found.reshape(1) if found.ndim == 0 and node.op == "squeeze" else found


@op("broadcast_to", "_npi_broadcast_to")
def broadcast_to(node: Node, x: Array) -> Array:
    """To `shape`, where 0 keeps the size."""
    shape = node.attrs.ints("shape", None)
    old = (1,) * (len(shape) - x.ndim) + x.shape
    return np.broadcast_to(x, tuple(o if n == 0 else n for n, o in zip(shape, old, strict=True)))


@op("broadcast_axis", "broadcast_axes")
def broadcast_axis(node: Node, x: Array) -> Array:
    """Axes of size 1 to `size`."""
    shape = list(x.shape)
    for axis, size in zip(node.attrs.ints("axis", ()), node.attrs.ints("size", ()), strict=True):
        shape[axis] = size
    return np.broadcast_to(x, shape)


@op("broadcast_like")
def broadcast_like(node: Node, x: Array, like: Array) -> Array:
    """To the other's shape, or axes lhs_axes to the sizes of its rhs_axes."""
    left, right = node.attrs.ints("lhs_axes", ()), node.attrs.ints("rhs_axes", ())
    if not left:
        return np.broadcast_to(x, like.shape)
    shape = list(x.shape)
    for a, b in zip(left, right, strict=True):
        shape[a] = like.shape[b]
    return np.broadcast_to(x, shape)


def _c_slice(size: int, begin: int | None, end: int | None, step: int | None) -> slice:
    """Python's slice, which MXNet's equals once negative ends are known."""
    return slice(begin, end, step or 1)


@op("slice", "crop", "_npx_slice", "_npi_slice", "_sparse_slice")
def slice_(node: Node, x: Array) -> Array:
    """begin:end:step on the first axes; None is "from the start", "to the end", 1."""
    begin, end = node.attrs.optional_ints("begin") or (), node.attrs.optional_ints("end") or ()
    step = node.attrs.optional_ints("step") or (None,) * len(begin)
    parts = zip(x.shape, begin, end, step, strict=False)
    return x[tuple(_c_slice(*part) for part in parts)]


@op("slice_axis")
def slice_axis(node: Node, x: Array) -> Array:
    """begin:end on one axis; negative counts from the end, None is the end."""
    axis = node.attrs.int("axis") % x.ndim
    return x[(slice(None),) * axis + (slice(node.attrs.int("begin"), node.attrs.optional_int("end")),)]


@op("slice_like")
def slice_like(node: Node, x: Array, like: Array) -> Array:
    """Cut to the other's size on `axes`; none given means all."""
    axes = [axis % x.ndim for axis in node.attrs.ints("axes", ())] or list(range(x.ndim))
    return x[tuple(slice(like.shape[axis]) if axis in axes else slice(None) for axis in range(x.ndim))]


@op("Crop")
def crop(node: Node, x: Array, like: Array | None = None) -> Array:
    """H and W cut to the second input's, or to `h_w`; at `offset`, or in the middle."""
    size = like.shape[2:] if like is not None else node.attrs.ints("h_w", (0, 0))
    top, left = node.attrs.ints("offset", (0, 0))
    if node.attrs.bool("center_crop"):
        top, left = ((n - m) // 2 for n, m in zip(x.shape[2:], size, strict=True))
    return x[:, :, top : top + size[0], left : left + size[1]]


@op("Concat", "concat", "_sparse_concat", "_rnn_param_concat", "_npi_rnn_param_concat")
def concat(node: Node, *xs: Array) -> Array:
    """Along `dim`, 1 when it is not said."""
    return np.concatenate(xs, axis=node.attrs.int("dim", 1))


@op("_npi_concatenate")
def npi_concatenate(node: Node, *xs: Array) -> Array:
    """As numpy's: along `axis` (0); None joins the flattened."""
    axis = None if node.attrs.is_none("axis") else node.attrs.int("axis", 0)
    return np.concatenate(xs, axis=axis)


@op("stack", "_npi_stack")
def stack(node: Node, *xs: Array) -> Array:
    """Along a new axis."""
    return np.stack(xs, axis=node.attrs.int("axis", 0))


@op("SliceChannel", "split")
def slice_channel(node: Node, x: Array) -> tuple[Array, ...]:
    """`num_outputs` equal parts along `axis` (1); `squeeze_axis` drops the axis when its parts are of 1."""
    axis = node.attrs.int("axis", 1)
    parts = np.split(x, node.attrs.int("num_outputs"), axis=axis)
    return tuple(np.squeeze(p, axis) if node.attrs.bool("squeeze_axis") else p for p in parts)


@op("_split_v2", "_npi_split")
def split_v2(node: Node, x: Array) -> tuple[Array, ...]:
    """`sections` parts, equal but for one place, or parts that start at `indices`; the first index is the start, 0."""
    axis, sections = node.attrs.int("axis", 1) % x.ndim, node.attrs.int("sections", 0)
    if sections:
        parts = np.array_split(x, sections, axis=axis)  # the first ones are longer by one
    else:
        starts = node.attrs.ints("indices", ())
        ends = (*starts[1:], x.shape[axis])
        parts = [x[(slice(None),) * axis + (slice(a, b),)] for a, b in zip(starts, ends, strict=True)]
    return tuple(np.squeeze(p, axis) if node.attrs.bool("squeeze_axis") else p for p in parts)


@op("Pad", "pad")
def pad(node: Node, x: Array) -> Array:
    """`pad_width`: (before, after) of every axis, N and C too; constant, edge or reflect (without the edge)."""
    widths = node.attrs.ints("pad_width", None)
    pairs = list(zip(widths[::2], widths[1::2], strict=True))
    mode = node.attrs.str("mode")
    if mode == "constant":
        return np.pad(x, pairs, constant_values=node.scalar("constant_value", 0.0))
    if mode in ("edge", "reflect"):
        return np.pad(x, pairs, mode=mode)  # type: ignore[call-overload,no-any-return]
    raise node.unsupported(f"mode {mode!r}")


@op("_npi_pad")
def npi_pad(node: Node, x: Array) -> Array:
    """As numpy's pad: a pair an axis."""
    pairs, mode = node.attrs.optional_ints("pad_width") or (), node.attrs.str("mode", "constant")
    if mode == "constant":
        return np.pad(x, pairs, constant_values=node.scalar("constant_value", 0.0))
    if node.attrs.str("reflect_type", "even") != "even":
        raise node.unsupported("reflect_type 'odd'")
    return np.pad(x, pairs, mode=mode)  # type: ignore[call-overload,no-any-return]


@op("tile", "_npi_tile")
def tile(node: Node, x: Array) -> Array:
    """Repeated whole, `reps` times an axis."""
    return np.tile(x, node.attrs.ints("reps", None))


@op("repeat", "_np_repeat")
def repeat(node: Node, x: Array) -> Array:
    """Every element `repeats` times along `axis`; without one, of the flattened data."""
    return np.repeat(x, node.attrs.int("repeats"), axis=node.attrs.optional_int("axis"))


@op("reverse", "flip", "_npi_flip")
def reverse(node: Node, x: Array) -> Array:
    """Turned round along `axis`."""
    return np.flip(x, node.attrs.ints("axis", None))


@op("depth_to_space")
def depth_to_space(node: Node, x: Array) -> Array:
    """(N, b b C, H, W) -> (N, C, b H, b W), block rows and columns before C."""
    n, c, h, w = x.shape
    b = node.attrs.int("block_size")
    return x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)


@op("space_to_depth")
def space_to_depth(node: Node, x: Array) -> Array:
    """The inverse of depth_to_space."""
    n, c, h, w = x.shape
    b = node.attrs.int("block_size")
    return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


@op("diag")
def diag(node: Node, x: Array) -> Array:
    """Of a vector, the matrix with it on diagonal `k`; else diagonal `k` of axes axis1 and axis2, put last."""
    k = node.attrs.int("k", 0)
    if x.ndim == 1:
        return np.diag(x, k)
    return np.diagonal(x, k, node.attrs.int("axis1", 0), node.attrs.int("axis2", 1))


@op("cast_storage", "_sparse_cast_storage")
def cast_storage(node: Node, x: Array) -> Array:
    """The same numbers: how they are stored does not count here."""
    return x


@op("_contrib_index_array", dtype="int64")
def index_array(node: Node, x: Array) -> Array:
    """The index of every element, along `axes` or all; int64."""
    axes = [axis % x.ndim for axis in node.attrs.ints("axes", ())] or list(range(x.ndim))
    return np.stack([np.indices(x.shape)[axis] for axis in axes], axis=-1)
