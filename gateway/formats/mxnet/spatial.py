"""Which sizes of a picture fit the weights: shapes alone, walked through the operators that most networks are made of.

Rule 1: an operator that is not known here ends the walk on that path; it never makes a size fit
        or not fit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.errors import ConversionError
from gateway.formats.mxnet.attributes import Attrs
from gateway.formats.mxnet.params import Params
from gateway.formats.mxnet.symbol import Symbol, SymbolNode

Sizes = tuple[int, ...]
CONVOLUTIONS = ("Convolution", "Convolution_v1", "Deconvolution")
BY_CHANNEL = ("BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "_contrib_SyncBatchNorm", "InstanceNorm")
SAME = {
    *BY_CHANNEL,
    "Activation", "LeakyReLU", "Dropout", "identity", "_copy", "relu", "sigmoid", "tanh", "softsign", "clip",
    "L2Normalization", "LRN", "SoftmaxActivation", "SoftmaxOutput", "Softmax", "softmax", "log_softmax", "BlockGrad",
    "_plus_scalar", "_minus_scalar", "_mul_scalar", "_div_scalar", "_rminus_scalar", "_rdiv_scalar", "_PlusScalar",
    "_MinusScalar", "_MulScalar", "_DivScalar", "square", "sqrt", "abs", "exp", "LinearRegressionOutput",
    "LogisticRegressionOutput", "elemwise_add", "elemwise_mul", "elemwise_sub", "_Plus", "_Minus", "_Mul", "_plus",
    "_minus", "_mul", "add_n", "ElementWiseSum", "hard_sigmoid", "broadcast_mul", "broadcast_add", "broadcast_sub",
    "broadcast_div",
}  # fmt: skip
ALIKE = {*SAME} - {"Softmax", "SoftmaxOutput", "softmax", "log_softmax"}


class _DoesNotFit(Exception):
    """These sizes contradict a weight. Sizes grow with the picture's: what is too large stays so."""

    def __init__(self, *, too_large: bool = False) -> None:
        super().__init__()
        self.too_large = too_large


@dataclass(frozen=True)
class First:
    """The first weight that an input meets. `last`: channels are the last axis. `rank` is the input's."""

    node: str
    weight: str
    channels: int
    rank: int
    last: bool


def first_weight(symbol: Symbol, params: Params, index: int) -> First | None:
    """Through operators that keep shape and type, to the first layer whose weights say how many channels come in."""
    seen, waiting = {index}, [index]
    while waiting:
        source = waiting.pop(0)
        for place, node in enumerate(symbol.nodes):
            if place in seen or not any(entry[0] == source for entry in node.inputs):
                continue
            seen.add(place)
            if node.inputs[0][0] == source and (found := _meets(symbol, params, node)) is not None:
                return found
            if node.op in ALIKE:
                waiting.append(place)
    return None


def _channels_last(node: SymbolNode) -> bool:
    return node.attrs.get("layout", "None") in ("NWC", "NHWC", "NDHWC")


def _meets(symbol: Symbol, params: Params, node: SymbolNode) -> First | None:
    if node.op not in (*CONVOLUTIONS, "FullyConnected") or len(node.inputs) < 2:
        return None
    name = symbol.nodes[node.inputs[1][0]].name
    weight = params.get(name)
    if weight is None or weight.ndim < 2:
        return None
    if node.op == "FullyConnected":
        return First(node.name, name, int(weight.shape[1]), 2, False)
    groups = Attrs(node.attrs, node=node.name, op=node.op).int("num_group", 1)
    if node.op == "Deconvolution":
        return First(node.name, name, int(weight.shape[0]), weight.ndim, False)
    last = _channels_last(node)
    return First(node.name, name, int(weight.shape[-1 if last else 1]) * groups, weight.ndim, last)


def sides(symbol: Symbol, params: Params, index: int, first: First, limit: int) -> list[int] | None:
    """Heights = widths up to `limit` that fit every fully connected layer; None when none is reached."""
    if first.last:
        return None
    plan = _plan(symbol, params, index)
    full = any(node.op == "FullyConnected" for _, node in plan)

    def fits(side: int) -> int:
        """-1 too small, 0 fits, 1 too large."""
        try:
            known = _walk(symbol, params, plan, {(index, 0): (first.channels, side, side)})
        except _DoesNotFit as error:
            return 1 if error.too_large else -1
        return 0 if full and any(n.op == "FullyConnected" and n.inputs[0] in known for _, n in plan) else 1

    try:
        low = bisect_left(range(1, limit + 1), 0, key=fits) + 1
        high = bisect_left(range(1, limit + 1), 1, key=fits) + 1
    except ConversionError:
        return None  # the converter says what is wrong with that node
    if high > limit or low >= high:
        return None  # any size fits: the layers behind do not depend on it
    return [side for side in range(low, high) if fits(side) == 0]


def _plan(symbol: Symbol, params: Params, index: int) -> list[tuple[int, SymbolNode]]:
    """The nodes that depend on this input, in order."""
    reached = {index}
    plan = []
    for place, node in enumerate(symbol.nodes):
        if any(source in reached for source, _ in node.inputs):
            reached.add(place)
            plan.append((place, node))
    return plan


def _walk(
    symbol: Symbol, params: Params, plan: Sequence[tuple[int, SymbolNode]], known: dict[tuple[int, int], Sizes]
) -> dict[tuple[int, int], Sizes]:
    """Sizes without the batch of every tensor that can be followed. Errors: _DoesNotFit."""
    for index, node in plan:
        sizes = known.get(node.inputs[0])
        rule = RULES.get(node.op)
        if sizes is None or rule is None:
            if node.op in SAME:
                others = [known[entry] for entry in node.inputs if entry in known]
                if others:
                    known[index, 0] = others[0]
            continue
        found = rule(symbol, params, node, sizes, known)
        if found is not None:
            if min(found) < 1:
                raise _DoesNotFit
            known[index, 0] = found
    return known


def _windowed(sizes: Sizes, attrs: Attrs, *, ceil: bool = False) -> Sizes:
    kernel = attrs.ints("kernel")
    count = len(kernel)
    stride = attrs.ints("stride", (1,) * count) or (1,) * count
    pad = attrs.ints("pad", (0,) * count) or (0,) * count
    dilate = attrs.ints("dilate", (1,) * count) or (1,) * count
    if len(sizes) != count or min(stride) < 1:
        raise _DoesNotFit
    made = []
    for size, k, s, p, d in zip(sizes, kernel, stride, pad, dilate, strict=True):
        span = size + 2 * p - d * (k - 1) - 1
        if span < 0:
            raise _DoesNotFit
        made.append((-(-span // s) if ceil else span // s) + 1)
    return tuple(made)


Known = dict[tuple[int, int], Sizes]


def _convolution(symbol: Symbol, params: Params, node: SymbolNode, sizes: Sizes, known: Known) -> Sizes | None:
    attrs = Attrs(node.attrs, node=node.name, op=node.op)
    if _channels_last(node):
        return None
    return (attrs.int("num_filter"), *_windowed(sizes[1:], attrs))


def _pooling(symbol: Symbol, params: Params, node: SymbolNode, sizes: Sizes, known: Known) -> Sizes | None:
    attrs = Attrs(node.attrs, node=node.name, op=node.op)
    if attrs.bool("global_pool", False):
        return (sizes[0], *(1 for _ in sizes[1:]))
    convention = attrs.str("pooling_convention", "valid")
    if convention == "same" or _channels_last(node):
        return None
    return (sizes[0], *_windowed(sizes[1:], attrs, ceil=convention == "full"))


def _connected(symbol: Symbol, params: Params, node: SymbolNode, sizes: Sizes, known: Known) -> Sizes | None:
    attrs = Attrs(node.attrs, node=node.name, op=node.op)
    weight = params.get(symbol.nodes[node.inputs[1][0]].name)
    flatten = attrs.bool("flatten", True)
    if weight is not None and weight.ndim == 2:
        count = 1
        for size in sizes if flatten else sizes[-1:]:
            count *= size
        if count != weight.shape[1]:
            raise _DoesNotFit(too_large=count > weight.shape[1])
    hidden = attrs.int("num_hidden")
    return (hidden,) if flatten else (*sizes[:-1], hidden)


def _flatten(symbol: Symbol, params: Params, node: SymbolNode, sizes: Sizes, known: Known) -> Sizes | None:
    count = 1
    for size in sizes:
        count *= size
    return (count,)


def _concat(symbol: Symbol, params: Params, node: SymbolNode, sizes: Sizes, known: Known) -> Sizes | None:
    axis = Attrs(node.attrs, node=node.name, op=node.op).int("dim", 1) - 1
    parts = [known.get(entry) for entry in node.inputs]
    if axis < 0 or any(part is None or len(part) != len(sizes) for part in parts) or axis >= len(sizes):
        return None
    joined = sum(part[axis] for part in parts if part is not None)
    return (*sizes[:axis], joined, *sizes[axis + 1 :])


Rule = Callable[[Symbol, Params, SymbolNode, Sizes, Known], Sizes | None]
RULES: dict[str, Rule] = {
    "Convolution": _convolution, "Convolution_v1": _convolution, "Pooling": _pooling, "Pooling_v1": _pooling,
    "FullyConnected": _connected, "Flatten": _flatten, "flatten": _flatten, "Concat": _concat, "concat": _concat,
}  # fmt: skip
