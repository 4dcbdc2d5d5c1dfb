"""Products of matrices and what is solved with them."""

from __future__ import annotations

import math

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.mxnet.interpreter.registry import Node, op


def _turned(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


@op("dot", "_sparse_dot")
def dot(node: Node, a: Array, b: Array) -> Array:
    """The last axis of a with the first of b; `transpose_a`: the first of a, `transpose_b`: the last of b."""
    if a.ndim == 1 and b.ndim == 1:
        return np.array([a @ b])
    at = (0 if node.attrs.bool("transpose_a") else a.ndim - 1, b.ndim - 1 if node.attrs.bool("transpose_b") else 0)
    found = np.tensordot(a, b, axes=([at[0]], [at[1]]))
    return found.reshape(1) if found.ndim == 0 else found


@op("_np_dot")
def numpy_dot(node: Node, a: Array, b: Array) -> Array:
    """As numpy's."""
    return np.asarray(np.dot(a, b))


@op("batch_dot", "_npx_batch_dot")
def batch_dot(node: Node, a: Array, b: Array) -> Array:
    """Matrix by matrix over the leading axes."""
    a = _turned(a) if node.attrs.bool("transpose_a") else a
    return a @ (_turned(b) if node.attrs.bool("transpose_b") else b)


@op("_npi_matmul")
def matmul(node: Node, a: Array, b: Array) -> Array:
    """As numpy's."""
    return np.asarray(np.matmul(a, b))


@op("khatri_rao")
def khatri_rao(node: Node, *xs: Array) -> Array:
    """Column by column, the Kronecker product of the inputs' columns."""
    out = xs[0]
    for x in xs[1:]:
        out = (out[:, None, :] * x[None, :, :]).reshape(-1, out.shape[1])
    return out


def _rows_first(x: Array, axis: int) -> Array:
    """linalg_gemm's `axis`: where the rows stand (-2 is where they belong)."""
    return np.moveaxis(x, axis, -2)


def _product(node: Node, a: Array, b: Array) -> Array:
    a = _turned(a) if node.attrs.bool("transpose_a") else a
    return node.attrs.float("alpha", 1.0) * (a @ (_turned(b) if node.attrs.bool("transpose_b") else b))


@op("_linalg_gemm", "linalg_gemm")
def gemm(node: Node, a: Array, b: Array, c: Array) -> Array:
    """alpha a b + beta c."""
    axis = node.attrs.int("axis", -2)
    a, b, c = (_rows_first(x, axis) for x in (a, b, c))
    return np.moveaxis(_product(node, a, b) + node.attrs.float("beta", 1.0) * c, -2, axis)


@op("_linalg_gemm2", "linalg_gemm2")
def gemm2(node: Node, a: Array, b: Array) -> Array:
    """alpha a b."""
    axis = node.attrs.int("axis", -2)
    return np.moveaxis(_product(node, _rows_first(a, axis), _rows_first(b, axis)), -2, axis)


@op("_linalg_potrf", "linalg_potrf")
def potrf(node: Node, a: Array) -> Array:
    """Cholesky's lower factor; MXNet takes no `lower` here but always writes a triangle."""
    lower = np.linalg.cholesky(a)
    return lower if node.attrs.bool("lower", True) else _turned(lower)


@op("_linalg_potri", "linalg_potri")
def potri(node: Node, a: Array) -> Array:
    """The inverse of the matrix whose Cholesky factor this is."""
    return np.linalg.inv(a @ _turned(a) if node.attrs.bool("lower", True) else _turned(a) @ a)


def _triangle_places(node: Node, size: int) -> tuple[Array, Array]:
    """A lower triangle row by row, an upper one column by column; `offset` above 0 means the upper, below the lower."""
    offset, lower = node.attrs.int("offset", 0), node.attrs.bool("lower", True)
    if offset > 0 or (offset == 0 and not lower):
        columns, rows = np.tril_indices(size, -offset)
        return rows, columns
    return np.tril_indices(size, offset)


def _triangle(node: Node, a: Array) -> Array:
    """`a` with zeros outside of its triangle; `transpose`: turned."""
    rows, columns = _triangle_places(node, a.shape[-1])
    held = np.zeros_like(a)
    held[..., rows, columns] = a[..., rows, columns]
    return _turned(held) if node.attrs.bool("transpose") else held


@op("_linalg_trmm", "linalg_trmm")
def trmm(node: Node, a: Array, b: Array) -> Array:
    """alpha a b with a triangular; `rightside`: b a."""
    a = _triangle(node, a)
    return np.asarray(node.attrs.float("alpha", 1.0) * (b @ a if node.attrs.bool("rightside") else a @ b))


@op("_linalg_trsm", "linalg_trsm")
def trsm(node: Node, a: Array, b: Array) -> Array:
    """x of a x = alpha b with a triangular; `rightside`: of x a = alpha b."""
    a, b = _triangle(node, a), node.attrs.float("alpha", 1.0) * b
    if node.attrs.bool("rightside"):
        return _turned(np.linalg.solve(_turned(a), _turned(b)))
    return np.asarray(np.linalg.solve(a, b))


@op("_linalg_syrk", "linalg_syrk")
def syrk(node: Node, a: Array) -> Array:
    """alpha a a^T; `transpose`: alpha a^T a."""
    product = _turned(a) @ a if node.attrs.bool("transpose") else a @ _turned(a)
    return node.attrs.float("alpha", 1.0) * product


@op("_linalg_sumlogdiag", "linalg_sumlogdiag")
def sumlogdiag(node: Node, a: Array) -> Array:
    """The sum of the logarithms of the diagonal."""
    found = np.log(np.diagonal(a, axis1=-2, axis2=-1)).sum(axis=-1)
    return np.asarray(found.reshape(1) if found.ndim == 0 else found)


@op("_linalg_extractdiag", "linalg_extractdiag")
def extractdiag(node: Node, a: Array) -> Array:
    """The diagonal at `offset`."""
    return np.diagonal(a, node.attrs.int("offset", 0), axis1=-2, axis2=-1)


@op("_linalg_makediag", "linalg_makediag")
def makediag(node: Node, a: Array) -> Array:
    """Matrices with these diagonals at `offset`."""
    offset = node.attrs.int("offset", 0)
    size = a.shape[-1] + abs(offset)
    out = np.zeros((*a.shape[:-1], size, size))
    at = np.arange(a.shape[-1])
    out[..., at + max(-offset, 0), at + max(offset, 0)] = a
    return out


@op("_linalg_extracttrian", "linalg_extracttrian")
def extracttrian(node: Node, a: Array) -> Array:
    """A triangle as a vector."""
    rows, columns = _triangle_places(node, a.shape[-1])
    return a[..., rows, columns]


@op("_linalg_maketrian", "linalg_maketrian")
def maketrian(node: Node, a: Array) -> Array:
    """A vector as a triangle."""
    size = (math.isqrt(1 + 8 * a.shape[-1]) - 1) // 2 + abs(node.attrs.int("offset", 0))
    out = np.zeros((*a.shape[:-1], size, size))
    rows, columns = _triangle_places(node, size)
    out[..., rows, columns] = a
    return out


@op("_linalg_inverse", "linalg_inverse", "_npi_inv")
def inverse(node: Node, a: Array) -> Array:
    """The inverse matrix."""
    return np.linalg.inv(a)


@op("_linalg_det", "linalg_det")
def det(node: Node, a: Array) -> Array:
    """The determinant."""
    found = np.asarray(np.linalg.det(a))
    return found.reshape(1) if found.ndim == 0 else found


@op("_linalg_slogdet", "linalg_slogdet")
def slogdet(node: Node, a: Array) -> tuple[Array, Array]:
    """(sign, logarithm of the absolute) of the determinant."""
    sign, log = np.linalg.slogdet(a)
    return np.atleast_1d(sign), np.atleast_1d(log)


@op("_linalg_gelqf", "linalg_gelqf")
def gelqf(node: Node, a: Array) -> tuple[Array, Array]:
    """(Q, L) with a = L Q, the rows of Q orthonormal; signs as LAPACK's Householder leaves them."""
    q, r = np.linalg.qr(_turned(a))
    return _turned(q), _turned(r)


@op("_contrib_interleaved_matmul_selfatt_qk")
def selfatt_qk(node: Node, packed: Array) -> Array:
    """(T, N, heads * 3 * d) of interleaved q, k, v -> (N heads, T, T): q k^T / sqrt(d)."""
    q, k, _ = _heads(packed, node.attrs.int("heads"), 3)
    return q / math.sqrt(q.shape[-1]) @ _turned(k)


@op("_contrib_interleaved_matmul_selfatt_valatt")
def selfatt_valatt(node: Node, packed: Array, attention: Array) -> Array:
    """attention (N heads, T, T) by the values -> (T, N, heads * d)."""
    return _together(attention @ _heads(packed, node.attrs.int("heads"), 3)[2], packed.shape[1])


@op("_contrib_interleaved_matmul_encdec_qk")
def encdec_qk(node: Node, queries: Array, packed: Array) -> Array:
    """Queries (Tq, N, heads * d), interleaved k, v (Tk, N, heads * 2 * d) -> (N heads, Tq, Tk)."""
    heads = node.attrs.int("heads")
    q, k = _heads(queries, heads, 1)[0], _heads(packed, heads, 2)[0]
    return q / math.sqrt(q.shape[-1]) @ _turned(k)


@op("_contrib_interleaved_matmul_encdec_valatt")
def encdec_valatt(node: Node, packed: Array, attention: Array) -> Array:
    """attention (N heads, Tq, Tk) by the values -> (Tq, N, heads * d)."""
    return _together(attention @ _heads(packed, node.attrs.int("heads"), 2)[1], packed.shape[1])


def _heads(packed: Array, heads: int, parts: int) -> list[Array]:
    """(T, N, heads * parts * d) -> `parts` arrays (N heads, T, d)."""
    time, batch, width = packed.shape
    split = packed.reshape(time, batch * heads, parts, width // heads // parts)
    return [split[:, :, part].transpose(1, 0, 2) for part in range(parts)]


def _together(x: Array, batch: int) -> Array:
    """(N heads, T, d) -> (T, N, heads * d)."""
    return x.transpose(1, 0, 2).reshape(x.shape[1], batch, -1)
