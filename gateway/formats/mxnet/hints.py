"""What a symbol says of the values of its inputs: indices, lengths, boxes, regions, scores.

MXNet's indices are floats as a rule, so an input's dtype does not tell them apart; what reads them does.

Rule 1: an input is followed through operators that keep its values, and where the layout matters
        only through those that keep that too.
Rule 2: a size that is not known statically is that of an axis of an input, and settled with the call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from gateway.core.dtypes import dtype
from gateway.core.hints import Hint, Size
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.mxnet.attributes import Attrs
from gateway.formats.mxnet.params import Params
from gateway.formats.mxnet.symbol import Symbol, SymbolNode

KEEPS_ALL = {"_copy", "identity", "_np_copy", "_npi_copy", "Cast", "cast", "amp_cast", "_npi_cast", "_npx_cast",
             "BlockGrad", "stop_gradient"}  # fmt: skip
"""Operators that keep values and layout."""
KEEPS_VALUES = KEEPS_ALL | {
    "Reshape", "reshape", "expand_dims", "squeeze", "transpose", "SwapAxis", "swapaxes", "Flatten", "flatten", "slice",
    "slice_axis", "SliceChannel", "split", "Concat", "concat", "stack", "SequenceReverse", "reverse", "flip", "tile",
    "repeat", "broadcast_to", "broadcast_like", "_split_v2",
}  # fmt: skip
KEEPS_SHAPE = KEEPS_ALL | {
    "Activation", "LeakyReLU", "relu", "sigmoid", "tanh", "Dropout", "BatchNorm", "LayerNorm", "softmax", "negative",
    "SequenceMask", "SequenceReverse", "elemwise_add", "elemwise_mul", "elemwise_sub", "_Plus", "_plus", "_plus_scalar",
    "_PlusScalar", "_minus_scalar", "_MinusScalar", "_mul_scalar", "_MulScalar", "_div_scalar", "_DivScalar",
    "_npx_activation", "_npx_batch_norm", "_npx_layer_norm", "_npx_relu",
}  # fmt: skip
"""Operators whose first output has the shape of their first input."""
LAYOUT = ("points", "boxes", "regions", "picture", "distinct")
"""Roles that a Reshape would spoil."""


class _Look:
    """One graph: who reads an input, and how large things are."""

    def __init__(self, symbol: Symbol, params: Params, signature: Signature) -> None:
        self.nodes, self.params = symbol.nodes, params
        self.specs = {spec.tensor: spec for spec in signature.inputs}

    def attrs(self, node: SymbolNode) -> Attrs:
        return Attrs(node.attrs, node=node.name, op=node.op)

    def readers(self, start: int) -> Iterator[tuple[SymbolNode, int, bool]]:
        """(node, place of the input, whether the layout has been kept) of everything that reads these values."""
        reached = {start: True}
        for index, node in enumerate(self.nodes):
            for place, (source, _) in enumerate(node.inputs):
                if source not in reached:
                    continue
                yield node, place, reached[source]
                if node.op in KEEPS_VALUES and (place == 0 or node.op in ("Concat", "concat", "stack")):
                    reached[index] = reached[source] and node.op in KEEPS_ALL

    def shape(self, node: SymbolNode, place: int) -> tuple[Size, ...] | None:
        """Of an input of a node, as far as operators keep shapes; None beyond."""
        if place >= len(node.inputs):
            return None
        entry = node.inputs[place]
        while True:
            source = self.nodes[entry[0]]
            if source.is_variable:
                return self._variable(source.name)
            if source.op not in KEEPS_SHAPE or not source.inputs or entry[1]:
                return None
            entry = source.inputs[0]

    def _variable(self, name: str) -> tuple[Size, ...] | None:
        spec = self.specs.get(name)
        if spec is not None:
            given = spec.shape
            return None if given is None else tuple(
                size if size is not None else (spec.name, axis) for axis, size in enumerate(given)
            )  # fmt: skip
        array = self.params.get(name)
        return None if array is None else tuple(int(size) for size in array.shape)

    def size(self, node: SymbolNode, place: int, axis: int) -> Size | None:
        shape = self.shape(node, place)
        return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None

    def picture(self) -> tuple[Size, Size] | None:
        """Height and width of the model's pictures: the last axes of an input of four."""
        for spec in self.specs.values():
            if spec.shape is not None and len(spec.shape) == 4:
                height, width = (self._variable(spec.tensor) or ())[2:]
                return height, width
        return None


Rule = Callable[[_Look, SymbolNode], Hint | None]


def _index(key: str) -> Rule:
    """The attribute says how many rows there are; MXNet cuts what lies beyond, or answers nothing for it."""
    return lambda look, node: _bounded(look.attrs(node).optional_int(key), beyond=True)


def _bounded(bound: Size | None, *, beyond: bool = False) -> Hint | None:
    return Hint(bound, beyond=beyond) if bound else None


def _along(place: int, key: str, default: int) -> Rule:
    """Rows of input `place` along an axis."""

    def rule(look: _Look, node: SymbolNode) -> Hint | None:
        axis = look.attrs(node).optional_int(key)
        beyond = node.attrs.get("mode", "clip") != "raise"
        return _bounded(look.size(node, place, default if axis is None else axis), beyond=beyond)

    return rule


def _lengths(key: str, default: int, wanted: str) -> Rule:
    """Lengths along an axis of input 0. One that is not known is taken for the shortest that tells two apart."""

    def rule(look: _Look, node: SymbolNode) -> Hint | None:
        attrs = look.attrs(node)
        if not attrs.bool(wanted, False):
            return None
        return Hint(look.size(node, 0, attrs.int(key, default)) or 2, role="length")

    return rule


def _places(look: _Look, node: SymbolNode) -> Hint | None:
    """gather_nd: as many coordinates as the indices have rows."""
    shape, rows = look.shape(node, 0), look.size(node, 1, 0)
    if shape is None or not isinstance(rows, int) or not 0 < rows <= len(shape):
        return None
    return Hint(role="points", sizes=shape[:rows])


def _coordinates(unique: bool) -> Rule:
    """Places in a tensor whose shape is an attribute; a first size of -1 is any."""

    def rule(look: _Look, node: SymbolNode) -> Hint | None:
        shape = tuple(size if size > 0 else 7 for size in look.attrs(node).ints("shape"))
        rows = look.size(node, len(node.inputs) - 1, 0)
        return Hint(role="points", sizes=shape[:rows] if isinstance(rows, int) else shape, unique=unique)

    return rule


def _flat(look: _Look, node: SymbolNode) -> Hint | None:
    return _bounded(math.prod(size if size > 0 else 7 for size in look.attrs(node).ints("shape")))


def _rows(look: _Look, node: SymbolNode) -> Hint | None:
    size = look.size(node, 0, 0)
    return None if size is None else Hint(role="points", sizes=(size,), unique=True)


def _nms(look: _Look, node: SymbolNode) -> Hint | None:
    attrs = look.attrs(node)
    columns = (attrs.int("coord_start", 2), attrs.int("score_index", 1), attrs.int("id_index", -1))
    return Hint(role="boxes", columns=columns, centre=node.attrs.get("in_format") == "center")


def _boxes(default: str) -> Rule:
    return lambda look, node: Hint(role="boxes", centre=node.attrs.get("format", default) == "center")


def _regions(look: _Look, node: SymbolNode) -> Hint | None:
    shape = look.shape(node, 0)
    if shape is not None and len(shape) == 4:
        return Hint(shape[0], role="regions", sizes=shape[2:], scale=look.attrs(node).float("spatial_scale", 1.0) or 1)
    sides = look.picture()
    return None if sides is None else Hint(1, role="regions", sizes=sides)


def _pictures(look: _Look, node: SymbolNode) -> Hint | None:
    shape = look.shape(node, 0)
    stride = look.attrs(node).int("feature_stride", 16)
    if shape is not None and len(shape) == 4:
        return Hint(role="picture", sizes=shape[2:], scale=stride)
    sides = look.picture()
    return None if sides is None else Hint(role="picture", sizes=sides)


def _always(role: str) -> Rule:
    return lambda look, node: Hint(role=role)


WANTED: tuple[tuple[tuple[str, ...], dict[int, Rule]], ...] = (
    (("Embedding", "_contrib_SparseEmbedding", "_npx_embedding"), {0: _index("input_dim")}),
    (("one_hot", "_npx_one_hot"), {0: _index("depth")}),
    (("take", "_npi_take"), {1: _along(0, "axis", 0)}),
    (("pick", "choose_element_0index", "_npx_pick"), {1: _along(0, "axis", -1)}),
    (("batch_take",), {1: _along(0, "", 1)}),
    (("gather_nd", "_npi_gather_nd", "_npx_gather_nd"), {1: _places}),
    (("scatter_nd",), {1: _coordinates(unique=True)}),
    (("_ravel_multi_index", "ravel_multi_index"), {0: _coordinates(unique=False)}),
    (("_unravel_index", "unravel_index"), {0: _flat}),
    (("_contrib_index_copy",), {1: _rows}),
    (
        ("SequenceMask", "SequenceLast", "SequenceReverse", "_npx_sequence_mask"),
        {1: _lengths("axis", 0, "use_sequence_length")},
    ),
    (("softmax", "_npx_softmax"), {1: _lengths("axis", -1, "use_length")}),
    (("_contrib_box_nms", "_contrib_box_non_maximum_suppression"), {0: _nms}),
    (("_contrib_box_iou",), {0: _boxes("corner"), 1: _boxes("corner")}),
    (("_contrib_box_decode",), {1: _boxes("center")}),
    (("_contrib_MultiBoxDetection", "_npx_multibox_detection"), {0: _always("share"), 2: _boxes("corner")}),
    (("ROIPooling", "_npx_roi_pooling", "_contrib_ROIAlign"), {1: _regions}),
    (("_contrib_Proposal", "_contrib_MultiProposal"), {0: _always("share"), 2: _pictures}),
    (
        ("elemwise_div", "_div", "_Div", "broadcast_div", "_mod", "_Mod", "broadcast_mod"),
        {1: _always("divisor")},
    ),
    (("_rdiv_scalar", "_RDivScalar", "_rmod_scalar", "_RModScalar"), {0: _always("divisor")}),
    (("topk", "_npx_topk"), {0: _always("distinct")}),
)
"""What operators want of their inputs, by place."""
RULES: Mapping[str, Mapping[int, Rule]] = {name: rules for names, rules in WANTED for name in names}


def hints(symbol: Symbol, params: Params, signature: Signature) -> Mapping[str, Hint]:
    """What is known of the inputs, by public name."""
    look = _Look(symbol, params, signature)
    found = {}
    for spec in signature.inputs:
        start = next((i for i, node in enumerate(symbol.nodes) if node.is_variable and node.name == spec.tensor), None)
        hint = None if start is None else _merged(_of(look, start, spec))
        if hint is not None:
            found[spec.name] = hint
    return found


def _of(look: _Look, start: int, spec: TensorSpec) -> Iterator[Hint]:
    for node, place, kept in look.readers(start):
        rule = RULES.get(node.op, {}).get(place)
        try:
            hint = None if rule is None else rule(look, node)
        except ConversionError:  # an attribute that cannot be read: the converter says so
            continue
        if hint is None or (hint.role in LAYOUT and not kept):
            continue
        if hint.role == "divisor" and dtype(spec.dtype).kind not in "iu":
            continue
        yield hint


def _merged(hints: Iterator[Hint]) -> Hint | None:
    """The first that knows a layout; else the narrowest range."""
    every = list(hints)
    if not every:
        return None
    first = next((hint for hint in every if hint.role in LAYOUT), every[0])
    bounds = [hint.bound for hint in every if isinstance(hint.bound, int) and hint.role == first.role]
    if not bounds or not isinstance(first.bound, int):
        return first
    return replace(first, bound=min(bounds), beyond=all(hint.beyond for hint in every) and len(set(bounds)) == 1)
