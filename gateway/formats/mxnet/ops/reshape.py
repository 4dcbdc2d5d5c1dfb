"""Reshape, with every special code of its two dialects.

Rule 1: a free size stays free: it is copied with ONNX's 0, inferred with its one -1, or read
        at run time, never written down as the number it happened to have.
Rule 2: the codes are MXNet's, in both of its dialects (`Reshape` and `_npx_reshape`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.graph.registry import op
from gateway.graph.tools import (
    Product,
    Size,
    product,
    refuse,
    reshape,
    sizes,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit

INFER, REST, MERGE, SPLIT = -1, -2, -3, -4
NUMPY_CODES = {-2: 0, -4: REST, -5: MERGE, -6: SPLIT}  # numpy's dialect; its -3 drops an axis of size 1


def _split_size(node: Node, whole: Size, left: int, right: int) -> list[Size]:
    """Two sizes for one. At most one of them is -1."""
    if left == INFER and right == INFER:
        raise refuse(node, "both factors of a split axis are -1.")
    if left != INFER and right != INFER:
        if isinstance(whole, int) and left * right != whole:
            raise refuse(node, f"{left} x {right} is not the size {whole} of the axis that is split.")
        return [left, right]
    known = right if left == INFER else left
    if isinstance(whole, int) and (known <= 0 or whole % known):
        raise refuse(node, f"the size {whole} of the axis that is split is no multiple of {known}.")
    other: Size = whole // known if isinstance(whole, int) else Product((whole,), known)
    return [other, right] if left == INFER else [left, other]


def reshaped(node: Node, have: Sequence[Size], codes: Sequence[int]) -> list[Size | None]:
    """The sizes that codes ask for; None stands for the one that is inferred.

    Errors ConversionError for codes that ask for more axes than there are, for two -1, and for a -1 behind
           a -4 or a -2 that copied several: there MXNet itself puts the inferred size into another place.
    """
    target: list[Size | None] = []
    at = number = 0

    def next_size() -> Size:
        nonlocal at
        if at >= len(have):
            raise refuse(node, f"shape {tuple(codes)} asks for more axes than the {len(have)} of its input.")
        at += 1
        return have[at - 1]

    while number < len(codes):
        code = codes[number]
        if code == 0:
            target.append(next_size())
        elif code == INFER:
            if None in target:
                raise refuse(node, f"shape {tuple(codes)} has two -1.")
            if len(target) != number:
                raise refuse(node, f"shape {tuple(codes)} has a -1 behind a -4 or -2; MXNet misplaces it itself.")
            target.append(None)
            at += 1
        elif code == REST:
            target += have[at:]
            at = len(have)
        elif code == MERGE:
            target.append(product([next_size(), next_size()]))
        elif code == SPLIT and number + 2 < len(codes):
            target += _split_size(node, next_size(), codes[number + 1], codes[number + 2])
            number += 2
        elif code > 0:
            target.append(code)
            at += 1
        else:
            raise refuse(
                node, f"shape {tuple(codes)} has the code {code}; supported are 0, -1, -2, -3, -4 (two sizes)."
            )
        number += 1
    return target


def _checked(graph: Emit, node: Node, x: str, target: list[Size | None]) -> str:
    """Reshape, once the element counts agree as far as they are known."""
    have = product(sizes(graph, x))
    known = product([size for size in target if size is not None])
    if isinstance(have, int) and isinstance(known, int):
        fits = have == known if None not in target else known > 0 and have % known == 0
        if not fits:
            raise refuse(node, f"{have} elements do not fit into the shape {tuple(target)}.")
    return reshape(graph, x, target)


@op("mxnet", "Reshape", "reshape")
def reshape_(graph: Emit, node: Node) -> str:
    """Other sizes, same elements.

    Attrs  shape: 0 copies, -1 infers, -2 copies the rest, -3 merges two, -4 splits into the two that follow;
           reverse=False: codes are matched from the right. Old: target_shape=() with 0 as "infer",
           keep_highest=False: the first size is the input's
    """
    x, attrs = node.inputs[0], node.attrs
    have, codes = sizes(graph, x), attrs.ints("shape", ())
    if not codes:
        return _old_reshape(graph, node, have)
    if not attrs.bool("reverse", False):
        return _checked(graph, node, x, reshaped(node, have, codes))
    return _checked(graph, node, x, reshaped(node, have[::-1], codes[::-1])[::-1])


def _old_reshape(graph: Emit, node: Node, have: list[Size]) -> str:
    wanted = node.attrs.ints("target_shape", ())
    if not wanted:
        raise refuse(node, "has neither shape nor target_shape.")
    target: list[Size | None] = [size if size > 0 else None for size in wanted]
    if node.attrs.bool("keep_highest", False):
        target[0] = have[0]
    if target.count(None) > 1:
        raise refuse(node, f"target_shape {wanted} has several sizes to infer; supported is one.")
    return _checked(graph, node, node.inputs[0], target)


@op("mxnet", "_npx_reshape")
def numpy_extension_reshape(graph: Emit, node: Node) -> str:
    """Reshape in numpy's dialect.

    Attrs  newshape: -1 infers, -2 copies, -3 drops an axis of size 1, -4 copies the rest, -5 merges two,
           -6 splits into the two that follow; reverse=False order=C
    """
    x, codes = node.inputs[0], list(node.attrs.ints("newshape"))
    if node.attrs.str("order", "C") != "C":
        raise refuse(node, f"order is {node.attrs.str('order')}; supported is C.")
    have, backwards = sizes(graph, x), node.attrs.bool("reverse", False)
    if -3 in codes or 0 in codes:
        raise refuse(node, f"newshape {tuple(codes)} has the code -3 or 0; supported are the other codes.")
    ours = [NUMPY_CODES.get(code, code) for code in codes]
    if backwards:
        return _checked(graph, node, x, reshaped(node, have[::-1], ours[::-1])[::-1])
    return _checked(graph, node, x, reshaped(node, have, ours))


@op("mxnet", "_np_reshape", "_npi_reshape")
def numpy_reshape(graph: Emit, node: Node) -> str:
    """numpy's reshape: sizes and at most one -1.

    Attrs  newshape required, order=C
    """
    wanted = node.attrs.ints("newshape")
    if node.attrs.str("order", "C") != "C" or any(size == 0 or size < -1 for size in wanted):
        raise refuse(node, f"newshape {wanted}; supported are sizes above 0, one -1, order C.")
    return _checked(graph, node, node.inputs[0], [size if size > 0 else None for size in wanted])


@op("mxnet", "reshape_like", "_npx_reshape_like")
def reshape_like(graph: Emit, node: Node) -> str:
    """The first input in the second's shape, or with some of its axes replaced by some of the second's.

    Attrs  lhs_begin=None lhs_end=None rhs_begin=None rhs_end=None
    """
    x, other = node.inputs
    have, model = sizes(graph, x), sizes(graph, other)

    def span(side: str, count: int) -> tuple[int, int]:
        begin, end = (node.attrs.optional_int(f"{side}_{word}") for word in ("begin", "end"))
        ends = [value if value >= 0 else value + count for value in (begin or 0, count if end is None else end)]
        return ends[0], ends[1]

    (from_, to), (begin, end) = span("lhs", len(have)), span("rhs", len(model))
    return _checked(graph, node, x, [*have[:from_], *model[begin:end], *have[to:]])
