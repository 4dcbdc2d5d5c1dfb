"""Where the windows of a convolution or pooling lie: strides, dilations, and what auto_pad and pads say together.

`pads` are numbers of all axes, beginnings first; `auto_pad` is a word. Parsers write both, and they contradict.

Rule 1: SAME_UPPER is TensorFlow's SAME: what is odd goes to the end.
Rule 2: SAME_LOWER is written by MMdnn's Keras and TensorFlow parsers for the same thing, with pads that show it, and by
        its CNTK parser for what it says. So the pads are taken, with a warning; without pads an odd sum is refused.
Rule 3: "SAME" is Darknet's and CoreML's, whose pads are their own: they are taken.
Rule 4: pads of batch or channels are a parser's mistake, and refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.formats.mmdnn.node import LARGEST, Node

if TYPE_CHECKING:
    from gateway.graph.emit import Emit

SAME = ("SAME_UPPER", "SAME_LOWER", "SAME")


@dataclass(frozen=True)
class Padding:
    """Along each spatial axis. `written`: by numbers alone, without a word."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    written: bool = False

    @property
    def any(self) -> bool:
        return any((*self.before, *self.after))

    @property
    def onnx(self) -> list[int]:
        return [*self.before, *self.after]


def spatial(node: Node, name: str, rank: int, *, default: int | None = None) -> tuple[int, ...]:
    """An attribute [1, height, width, 1] without its ends. Errors: ConversionError."""
    if default is not None and not node.has(name):
        return (default,) * (rank - 2)
    found = node.sizes(name)
    if len(found) == rank and found[0] == found[-1] == 1:
        return found[1:-1]
    if set(found) <= {1}:  # MXNet's parser leaves out strides that were not named: [1, 1]
        return (1,) * (rank - 2)
    raise node.error(
        f"{name} is {list(found)}, expected {rank} numbers with 1 for batch and channels at its ends",
        "The graph may keep channels first, as TensorFlow's NCHW: the IR keeps them last.",
    )


def written(node: Node, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """`pads` as (before, after); None where there are none. Errors: ConversionError."""
    if not node.has("pads"):
        return None
    found = node.ints("pads")
    if not any(found):
        return (0,) * (rank - 2), (0,) * (rank - 2)
    if len(found) != 2 * rank or not all(0 <= each <= LARGEST for each in found):
        raise node.error(f"pads are {list(found)}, expected {2 * rank} numbers from 0 to {LARGEST}")
    ends = (found[0], found[rank - 1], found[rank], found[-1])
    if any(ends):
        raise node.error(f"pads are {list(found)}, which pads batch or channels")
    return found[1 : rank - 1], found[rank + 1 : -1]


def padding(
    graph: Emit, node: Node, x: str, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> Padding:
    """What is added around `x` (channels last). Errors: ConversionError for what is ambiguous."""
    rank = len(kernel) + 2
    auto, pads = node.text("auto_pad", ""), written(node, rank)
    if auto in ("", "NOTSET"):
        if pads is None:
            graph.warn("has neither auto_pad nor pads; nothing is padded")
        return Padding(*(pads or ((0,) * len(kernel), (0,) * len(kernel))), written=True)
    if auto == "VALID":
        if pads is not None and any((*pads[0], *pads[1])):
            raise node.error(f"auto_pad is VALID and pads are {list(node.ints('pads'))}: they contradict each other")
        return Padding((0,) * len(kernel), (0,) * len(kernel))
    if auto not in SAME:
        raise node.error(f"auto_pad is {auto[:40]}, expected VALID, {', '.join(SAME)}")
    have = [graph.size(x, axis) for axis in range(1, rank - 1)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    needed = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in zip(have, strides, reach, strict=True)]
    if pads is None or node.resized or not any((*pads[0], *pads[1])):
        return _by_word(node, auto, needed, pads)
    before, after = pads
    if all(b + a == need for b, a, need in zip(before, after, needed, strict=True)):
        if auto == "SAME_LOWER" and any(b < a for b, a in zip(before, after, strict=True)):
            graph.warn("auto_pad is SAME_LOWER, and its pads put what is odd at the end: the pads are taken")
        return Padding(before, after)
    sizes = zip(have, before, after, reach, strides, strict=True)
    if auto == "SAME_UPPER":
        graph.warn(f"pads are {list(node.ints('pads'))}, which is not what SAME_UPPER is here: the word is taken")
        return _by_word(node, auto, needed, pads)
    if all((n + b + a - r) // s + 1 == -(-n // s) for n, b, a, r, s in sizes):
        graph.warn(f"auto_pad is {auto}, and pads are others that make the same size: the pads are taken")
        return Padding(before, after)
    raise node.error(f"auto_pad is {auto} and pads are {list(node.ints('pads'))}: they make different sizes")


def _by_word(node: Node, auto: str, needed: list[int], pads: tuple[tuple[int, ...], tuple[int, ...]] | None) -> Padding:
    """Sums shared out. Errors: ConversionError for an odd one whose place nothing says."""
    before, after = pads or ((), ())
    if auto == "SAME_UPPER" or any(b < a for b, a in zip(before, after, strict=True)):
        low = [need // 2 for need in needed]
    elif any(b > a for b, a in zip(before, after, strict=True)) or not any(need % 2 for need in needed):
        low = [need - need // 2 for need in needed]
    else:
        raise node.error(
            f"auto_pad is {auto} and {needed} are to be padded: whether the odd one is at the beginning or the end "
            "is not said, for MMdnn's parsers write this for both",
            "Set auto_pad to SAME_UPPER (TensorFlow, Keras) or write pads.",
        )
    return Padding(tuple(low), tuple(need - each for need, each in zip(needed, low, strict=True)))
