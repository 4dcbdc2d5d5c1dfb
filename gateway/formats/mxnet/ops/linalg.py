"""Operators of matrices: dot, batch_dot, gemm, and the interleaved products of attention.

Rule 1: dot is numpy's tensordot over one axis, not MatMul: (A, B, C) dot (C, D, E) is (A, B, D, E).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.graph.registry import op
from gateway.graph.tools import (
    Size,
    axis_of,
    like,
    part,
    product,
    refuse,
    reshape,
    sizes,
    squeeze,
    transpose,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


@op("mxnet", "dot", "_np_dot")
def dot(graph: Emit, node: Node) -> str:
    """Sum over the last axis of the first input and the first axis of the second.

    Attrs  transpose_a=False: over its first axis; transpose_b=False: over its last axis; forward_stype unused
    Out    the other axes of both; two vectors make (1,)
    """
    a, b = node.inputs
    turn_a, turn_b = (node.attrs.bool(f"transpose_{side}", False) for side in "ab")
    left, right = sizes(graph, a), sizes(graph, b)
    if node.op == "_np_dot" and (len(left) > 2 or len(right) > 2 or not left or not right):
        raise refuse(node, f"its inputs have {len(left)} and {len(right)} axes; supported are vectors and matrices.")
    rest_a, rest_b = (left[1:] if turn_a else left[:-1]), (right[:-1] if turn_b else right[1:])
    if turn_a and len(left) > 1:
        a = transpose(graph, a, [*range(1, len(left)), 0])
    if turn_b and len(right) > 1:
        b = transpose(graph, b, [len(right) - 1, *range(len(right) - 1)])
    if len(right) > 2:
        b = reshape(graph, b, [right[-1] if turn_b else right[0], product(rest_b)])
    made = graph.node("MatMul", [a, b])
    whole: list[Size] = [*rest_a, *rest_b]
    if not whole and node.op == "dot":
        return reshape(graph, made, [1])
    return reshape(graph, made, whole) if len(right) > 2 else made


@op("mxnet", "batch_dot", "_npx_batch_dot")
def batch_dot(graph: Emit, node: Node) -> str:
    """Matrix product of each pair.

    In     (..., M, K), (..., K, N)
    Attrs  transpose_a=False transpose_b=False
    """
    a, b = node.inputs
    return _product(graph, a, b, node.attrs.bool("transpose_a", False), node.attrs.bool("transpose_b", False))


def _turned(graph: Emit, x: str) -> str:
    count = graph.rank(x)
    return transpose(graph, x, [*range(count - 2), count - 1, count - 2])


def _product(graph: Emit, a: str, b: str, turn_a: bool, turn_b: bool) -> str:
    return graph.node("MatMul", [_turned(graph, a) if turn_a else a, _turned(graph, b) if turn_b else b])


def _scaled(graph: Emit, x: str, factor: float) -> str:
    return x if factor == 1.0 else graph.node("Mul", [x, like(graph, x, factor)])


@op("mxnet", "_linalg_gemm", "linalg_gemm", "_linalg_gemm2", "linalg_gemm2")
def gemm(graph: Emit, node: Node) -> str:
    """alpha * A B, and for gemm + beta * C, for each matrix of a stack.

    Attrs  transpose_a=False transpose_b=False alpha=1 beta=1 (gemm) axis=-2: the rows' axis
    """
    attrs, count = node.attrs, graph.rank(node.inputs[0])
    rows = axis_of(node, attrs.int("axis", -2), count)
    order = [*[axis for axis in range(count - 1) if axis != rows], rows, count - 1]
    back = [order.index(axis) for axis in range(count)]
    matrices = [transpose(graph, x, order) for x in node.inputs]
    made = _product(graph, matrices[0], matrices[1], attrs.bool("transpose_a", False), attrs.bool("transpose_b", False))
    made = _scaled(graph, made, attrs.float("alpha", 1.0))
    if len(matrices) > 2:
        made = graph.node("Add", [made, _scaled(graph, matrices[2], attrs.float("beta", 1.0))])
    return transpose(graph, made, back)


@op("mxnet", "_linalg_syrk", "linalg_syrk")
def syrk(graph: Emit, node: Node) -> str:
    """alpha * A A^T (transpose: A^T A).

    Attrs  transpose=False alpha=1
    """
    x, turn = node.inputs[0], node.attrs.bool("transpose", False)
    return _scaled(graph, _product(graph, x, x, turn, not turn), node.attrs.float("alpha", 1.0))


def _heads(graph: Emit, node: Node, x: str, parts: int) -> list[str]:
    """(T, N, heads*parts*D) to `parts` tensors (N*heads, T, D)."""
    heads = node.attrs.int("heads")
    length, batch, width = sizes(graph, x)
    if not isinstance(width, int) or heads < 1 or width % (heads * parts):
        raise refuse(node, f"the last axis of {x!r} has size {width}, which {heads} heads x {parts} do not divide.")
    depth = width // (heads * parts)
    wide = transpose(graph, reshape(graph, x, [length, batch, heads, parts, depth]), [3, 1, 2, 0, 4])
    found = []
    for number in range(parts):
        one = squeeze(graph, part(graph, wide, 0, number, number + 1), [0])
        found.append(reshape(graph, one, [product([batch, heads]), length, depth]))
    return found


def _scores(graph: Emit, query: str, key: str) -> str:
    depth = sizes(graph, query)[-1]
    assert isinstance(depth, int)  # _heads has made it
    return _product(graph, _scaled(graph, query, depth**-0.5), key, False, True)


def _joined(graph: Emit, node: Node, made: str, batch: Size) -> str:
    """(N*heads, T, D) to (T, N, heads*D)."""
    heads = node.attrs.int("heads")
    _, length, depth = sizes(graph, made)
    four = transpose(graph, reshape(graph, made, [batch, heads, length, depth]), [2, 0, 1, 3])
    return reshape(graph, four, [length, batch, product([heads, depth])])


@op("mxnet", "_contrib_interleaved_matmul_selfatt_qk")
def selfatt_qk(graph: Emit, node: Node) -> str:
    """Scaled scores of self-attention.

    In     (T, N, heads*3*D): query, key, value of each head side by side
    Out    (N*heads, T, T)
    Attrs  heads required
    """
    query, key, _ = _heads(graph, node, node.inputs[0], 3)
    return _scores(graph, query, key)


@op("mxnet", "_contrib_interleaved_matmul_selfatt_valatt")
def selfatt_valatt(graph: Emit, node: Node) -> str:
    """Attention times values.

    In     (T, N, heads*3*D), (N*heads, T, T)
    Out    (T, N, heads*D)
    Attrs  heads required
    """
    x, attention = node.inputs
    value = _heads(graph, node, x, 3)[2]
    return _joined(graph, node, graph.node("MatMul", [attention, value]), sizes(graph, x)[1])


@op("mxnet", "_contrib_interleaved_matmul_encdec_qk")
def encdec_qk(graph: Emit, node: Node) -> str:
    """Scaled scores of a query over an encoder's keys.

    In     (T, N, heads*D), (S, N, heads*2*D)
    Out    (N*heads, T, S)
    Attrs  heads required
    """
    query = _heads(graph, node, node.inputs[0], 1)[0]
    return _scores(graph, query, _heads(graph, node, node.inputs[1], 2)[0])


@op("mxnet", "_contrib_interleaved_matmul_encdec_valatt")
def encdec_valatt(graph: Emit, node: Node) -> str:
    """Attention times an encoder's values.

    In     (S, N, heads*2*D), (N*heads, T, S)
    Out    (T, N, heads*D)
    Attrs  heads required
    """
    x, attention = node.inputs
    value = _heads(graph, node, x, 2)[1]
    return _joined(graph, node, graph.node("MatMul", [attention, value]), sizes(graph, x)[1])
