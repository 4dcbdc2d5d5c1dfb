"""What an MXNet model's inputs are: symbol files seldom say it, so it is found, with where it was found.

In this order: what the owner says (--input, model.toml), signature.json beside the model (Model
Server), `__shape__` on the variable, and what the weights allow: the first convolution gives the
channels, a fully connected layer behind it the height and width.

Rule 1: nothing is guessed silently: each input has a Fact; what cannot be found is a
        NeedsInputShape with candidates to choose from.
Rule 2: the first size is the batch and free, unless the owner gives a number; `__layout__` may
        put it elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.core.artifact import Fact
from gateway.core.dtypes import name_of
from gateway.core.modeltoml import TensorOption
from gateway.core.names import did_you_mean
from gateway.core.signature import Shape, TensorSpec, format_shape
from gateway.errors import ConversionError, CorruptModel, NeedsInputShape
from gateway.formats.mxnet import spatial
from gateway.formats.mxnet.attributes import Attrs
from gateway.formats.mxnet.params import Params
from gateway.formats.mxnet.symbol import Symbol, SymbolNode

USUAL = ((28, 32, 64, 96, 112, 128, 160, 192, 224, 256, 299, 331, 384), (227, 300, 320, 416, 448, 480, 512, 608, 640))
"""Sizes of pictures that classifiers, then others, are trained on; of several that fit, the only such one is taken."""
MAX_SIDE = 1024
MAX_ELEMENTS = 1 << 31
OWNER, MAR, HINT = "--input or model.toml", "signature.json", "__shape__ in the symbol"


@dataclass(frozen=True)
class _Found:
    shape: Shape
    source: str


def solve(
    symbol: Symbol,
    params: Params,
    needed: Sequence[int],
    options: Sequence[TensorOption],
    signature_json: bytes | None,
    facts: list[Fact],
) -> tuple[TensorSpec, ...]:
    """A TensorSpec for each of the variables `needed` (indices), in that order; appends to `facts`.

    Errors: NeedsInputShape for all inputs together; ConversionError for options about inputs that are not there.
    """
    names = [symbol.nodes[index].name for index in needed]
    unknown = [option for option in options if option.own_name not in names]
    if unknown:
        wrong = unknown[0].own_name
        raise ConversionError(
            f"{symbol.file} has no input {wrong!r}; it has {', '.join(names) or 'none'}.{did_you_mean(wrong, names)}"
        )
    by_name = {option.own_name: option for option in options}
    declared = _signature_shapes(signature_json)
    specs: list[TensorSpec] = []
    missing: list[str] = []
    candidates: list[str] = []
    for index in needed:
        node = symbol.nodes[index]
        option = by_name.get(node.name)
        kind, said = _dtype(symbol, params, index, option)
        facts.append(Fact(f"dtype of {node.name}", kind, said))
        found = _shape(symbol, params, index, option, declared)
        if isinstance(found, Sequence):
            missing.append(node.name)
            candidates += [f"{node.name}:{kind}{format_shape(shape)}" for shape in found]
            continue
        if math.prod(size or 1 for size in found.shape) > MAX_ELEMENTS:
            raise ConversionError(
                f"input {node.name!r} has the shape {format_shape(found.shape)} ({found.source}), "
                f"over {MAX_ELEMENTS} elements a row."
            )
        facts.append(Fact(f"shape of {node.name}", format_shape(found.shape), found.source))
        public = option.name if option else node.name
        specs.append(TensorSpec(public, kind, found.shape, node.name, _symbols(node, found.shape)))
    if missing:
        raise NeedsInputShape(symbol.file, missing, candidates)
    return tuple(specs)


def _shape(
    symbol: Symbol, params: Params, index: int, option: TensorOption | None, declared: Mapping[str, Shape]
) -> _Found | list[Shape]:
    """The shape of one input, or the candidates."""
    node = symbol.nodes[index]
    if option is not None and option.shape is not None:
        return _Found(option.shape, OWNER)
    if node.name in declared:
        return _Found(declared[node.name], MAR)
    hinted = _hinted(symbol, node)
    if hinted is not None and None not in (size for place, size in enumerate(hinted) if place != _batch(node)):
        return _Found(hinted, HINT)
    return _solved(symbol, params, index, hinted)


def _solved(symbol: Symbol, params: Params, index: int, hinted: Shape | None) -> _Found | list[Shape]:
    """What the weights say. `hinted` has gaps or is absent; what it does say has to fit."""
    first = spatial.first_weight(symbol, params, index)
    if first is None:
        return [hinted] if hinted is not None else []
    if first.rank == 2:
        shape: Shape = (None, first.channels)
        return _Found(shape, f"the weights of {first.node} have {first.channels} inputs")
    gap = (None,) * (first.rank - 2)

    def filled(*sides: int | None) -> Shape:
        return (None, *sides, first.channels) if first.last else (None, first.channels, *sides)

    if first.rank != 4 or symbol.nodes[index].hidden.get("__layout__", "N")[0] != "N":
        return [filled(*gap)]
    fitting = spatial.sides(symbol, params, index, first, MAX_SIDE)
    if fitting is None:
        return [filled(side, side) for side in (224, 112, 299)]
    usual = [[side for side in fitting if side in sizes] for sizes in USUAL]
    common = usual[0] or usual[1]
    if len(fitting) == 1 or len(common) == 1:
        side = (common or fitting)[0]
        said = f"solved from the weights: {first.node} has {first.channels} channels; height and width"
        others = f", the usual one of the {fitting[0]} to {fitting[-1]} that do" if len(fitting) > 1 else ""
        return _Found(filled(side, side), f"{said} {side} fit the fully connected layer{others}")
    return [filled(side, side) for side in common or fitting[:3]]


def _hinted(symbol: Symbol, node: SymbolNode) -> Shape | None:
    """`__shape__`, 0 and -1 being free, the batch too; None without one."""
    if "__shape__" not in node.hidden:
        return None
    try:
        sizes = Attrs(node.hidden, node=node.name, op="input").ints("__shape__")
    except ConversionError as error:
        raise CorruptModel(f"{symbol.file}: {error.message}") from None
    if not sizes:
        return None
    if any(size > 1 << 31 for size in sizes):
        raise CorruptModel(f"{symbol.file}: input {node.name!r} has the shape {list(sizes)}, which no array has.")
    batch = _batch(node)
    return tuple(None if size <= 0 or place == batch else size for place, size in enumerate(sizes))


def _batch(node: SymbolNode) -> int:
    """Which axis is the batch: the N of `__layout__`, else 0."""
    return max(0, node.hidden.get("__layout__", "N").find("N"))


def _symbols(node: SymbolNode, shape: Shape) -> tuple[str, ...]:
    """One name for the batch of all inputs; other free sizes have names of their own."""
    batch = _batch(node)
    return tuple(
        "" if size is not None else "batch" if place == batch else f"{node.name}_{place}"
        for place, size in enumerate(shape)
    )


def _signature_shapes(data: bytes | None) -> dict[str, Shape]:
    """Shapes of Model Server's signature.json: {"inputs": [{"data_name", "data_shape" | "shape"}]}; 0 is free."""
    if data is None:
        return {}
    found: dict[str, Shape] = {}
    try:
        graph: Any = json.loads(data)
        for item in graph["inputs"]:
            shape = item.get("data_shape", item.get("shape"))
            if isinstance(item["data_name"], str) and all(type(size) is int for size in shape) and shape:
                sizes = tuple(size if size > 0 else None for size in shape)
                found[item["data_name"]] = (None, *sizes[1:])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # some other tool's file of that name
    return {name: shape for name, shape in found.items() if None not in shape[1:]}


def _dtype(symbol: Symbol, params: Params, index: int, option: TensorOption | None) -> tuple[str, str]:
    """(our name of it, where it was found)."""
    node = symbol.nodes[index]
    if option is not None and option.dtype:
        return option.dtype, OWNER
    said = node.hidden.get("__dtype__", "-1")
    if said not in ("-1", "None"):
        return Attrs({"dtype": said}, node=node.name, op="input").dtype("dtype"), "__dtype__ in the symbol"
    first = spatial.first_weight(symbol, params, index)
    weight = params.get(first.weight) if first is not None else None
    if first is not None and weight is not None:
        return name_of(weight), f"the weights of {first.node}"
    return "float32", "MXNet's default"
