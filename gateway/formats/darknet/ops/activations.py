"""Activations by their names in a cfg, and the layers that are nothing else.

Rule 1: a name that Darknet does not know makes it warn and take ReLU; here it is refused. So is a name that is
        computed in some layers only: elsewhere Darknet gives zeros for it.
Rule 2: the default of layers with weights is logistic, of shortcuts and the like linear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.core.names import did_you_mean
from gateway.graph.registry import op

if TYPE_CHECKING:
    from gateway.formats.darknet.node import Node
    from gateway.graph.emit import Emit

WITH_WEIGHTS = "logistic"
WITHOUT_WEIGHTS = "linear"
SELU_ALPHA, SELU_GAMMA = 1.6732, 1.0507
CHANNEL_EPS = 1e-4
ONLY_ALEXEYAB = {"swish", "mish", "hard_mish", "relu6", "gelu", "revleaky", "normalize_channels",
                 "normalize_channels_softmax", "normalize_channels_softmax_maxval"}  # fmt: skip
SPECIAL = {
    "swish": ("convolutional", "shortcut", "crnn"), "mish": ("convolutional", "shortcut", "crnn"),
    "hard_mish": ("convolutional", "crnn"), "normalize_channels": ("convolutional", "crnn"),
    "normalize_channels_softmax": ("convolutional", "crnn"),
    "normalize_channels_softmax_maxval": ("convolutional", "crnn"),
}  # fmt: skip
"""Names that only these layers compute."""


def activate(graph: Emit, node: Node, x: str, default: str) -> str:
    """`x` through the activation of the layer. Errors: ConversionError."""
    return named(graph, node, x, node.options.str("activation", default))


def named(graph: Emit, node: Node, x: str, name: str) -> str:
    """`x` through an activation. Errors: ConversionError for a name that the layer does not compute."""
    if name not in FUNCTIONS or (name in ONLY_ALEXEYAB and not node.alexeyab):
        known = [each for each in FUNCTIONS if node.alexeyab or each not in ONLY_ALEXEYAB]
        raise graph.error(f"activation={name} is none of {node.dialect}'s Darknet.{did_you_mean(name, known)}")
    if name in SPECIAL and node.op not in SPECIAL[name]:
        raise graph.error(f"activation={name}: Darknet computes it in {', '.join(SPECIAL[name])} only, here it gives 0")
    return FUNCTIONS[name](graph, x)


def _linear(graph: Emit, x: str) -> str:
    return x


def _plain(op_type: str, **attributes: float) -> Callable[[Emit, str], str]:
    return lambda graph, x: graph.node(op_type, [x], **attributes)


def _clip(graph: Emit, x: str, low: float, high: float) -> str:
    return graph.node("Clip", [x, graph.scalar(low, x), graph.scalar(high, x)])


def _times(graph: Emit, x: str, factor: float) -> str:
    return graph.node("Mul", [x, graph.scalar(factor, x)])


def _plus(graph: Emit, x: str, term: float) -> str:
    return graph.node("Add", [x, graph.scalar(term, x)])


def _loggy(graph: Emit, x: str) -> str:
    return _plus(graph, _times(graph, graph.node("Sigmoid", [x]), 2.0), -1.0)


def _ramp(graph: Emit, x: str) -> str:
    return graph.node("Add", [graph.node("Relu", [x]), _times(graph, x, 0.1)])


def _plse(graph: Emit, x: str) -> str:
    """A line of slope .125 between -4 and 4, of .01 outside."""
    inside = _clip(graph, x, -4.0, 4.0)
    outside = _times(graph, graph.node("Sub", [x, inside]), 0.01)
    return graph.node("Add", [_plus(graph, _times(graph, inside, 0.125), 0.5), outside])


def _lhtan(graph: Emit, x: str) -> str:
    inside = _clip(graph, x, 0.0, 1.0)
    return graph.node("Add", [inside, _times(graph, graph.node("Sub", [x, inside]), 0.001)])


def _stair(graph: Emit, x: str) -> str:
    """Flat where the whole part is even, rising where it is odd."""
    whole = graph.node("Floor", [x])
    half = graph.node("Floor", [_times(graph, x, 0.5)])
    odd = graph.node("Sub", [whole, _times(graph, half, 2.0)])
    return graph.node("Add", [half, graph.node("Mul", [odd, graph.node("Sub", [x, whole])])])


def _swish(graph: Emit, x: str) -> str:
    return graph.node("Mul", [x, graph.node("Sigmoid", [x])])


def _mish(graph: Emit, x: str) -> str:
    return graph.node("Mul", [x, graph.node("Tanh", [graph.node("Softplus", [x])])])


def _hard_mish(graph: Emit, x: str) -> str:
    """x·x/2 + x between -2 and 0, 0 below, x above."""
    part = _clip(graph, x, -2.0, 0.0)
    curve = graph.node("Add", [_times(graph, graph.node("Mul", [part, part]), 0.5), part])
    return graph.node("Add", [curve, graph.node("Relu", [x])])


def _gelu(graph: Emit, x: str) -> str:
    """The one with tanh, in Darknet's digits."""
    cube = graph.node("Mul", [graph.node("Mul", [x, x]), x])
    inner = graph.node("Add", [_times(graph, x, 0.797885), _times(graph, cube, 0.035677)])
    one = _plus(graph, graph.node("Tanh", [inner]), 1.0)
    return graph.node("Mul", [_times(graph, x, 0.5), one])


def _channels(graph: Emit, x: str) -> str:
    positive = graph.node("Relu", [x])
    return graph.node("Div", [positive, _sum(graph, positive)])


def _sum(graph: Emit, x: str) -> str:
    return _plus(graph, graph.node("ReduceSum", [x, graph.ints(1)], keepdims=1), CHANNEL_EPS)


def _channels_softmax(graph: Emit, x: str) -> str:
    powers = graph.node("Exp", [x])
    return graph.node("Div", [powers, _sum(graph, powers)])


def _channels_softmax_maxval(graph: Emit, x: str) -> str:
    return _channels_softmax(graph, graph.node("Sub", [x, graph.node("ReduceMax", [x], axes=[1], keepdims=1)]))


FUNCTIONS: dict[str, Callable[[Emit, str], str]] = {
    "linear": _linear,
    "logistic": _plain("Sigmoid"),
    "loggy": _loggy,
    "relu": _plain("Relu"),
    "relu6": lambda graph, x: _clip(graph, x, 0.0, 6.0),
    "elu": _plain("Elu"),
    "selu": _plain("Selu", alpha=SELU_ALPHA, gamma=SELU_GAMMA),
    "relie": _plain("LeakyRelu", alpha=0.01),
    "ramp": _ramp,
    "leaky": _plain("LeakyRelu", alpha=0.1),
    "revleaky": _plain("LeakyRelu", alpha=0.1),
    "tanh": _plain("Tanh"),
    "plse": _plse,
    "stair": _stair,
    "hardtan": lambda graph, x: _clip(graph, x, -1.0, 1.0),
    "lhtan": _lhtan,
    "swish": _swish,
    "mish": _mish,
    "hard_mish": _hard_mish,
    "gelu": _gelu,
    "normalize_channels": _channels,
    "normalize_channels_softmax": _channels_softmax,
    "normalize_channels_softmax_maxval": _channels_softmax_maxval,
}


@op("darknet", "activation")
def activation(graph: Emit, node: Node) -> str:
    """The activation alone; linear by default."""
    return activate(graph, node, node.inputs[0], WITHOUT_WEIGHTS)


@op("darknet", "logistic")
def logistic(graph: Emit, node: Node) -> str:
    """The sigmoid; its loss is a matter of training."""
    return graph.node("Sigmoid", [node.inputs[0]])


@op("darknet", "dropout", "cost", "empty")
def nothing(graph: Emit, node: Node) -> str:
    """Nothing at inference."""
    return node.inputs[0]
