"""What a symbol says of the values of its inputs, row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from gateway.core.hints import Hint
from gateway.core.signature import Shape, Signature, TensorSpec
from gateway.formats.mxnet.hints import RULES, hints
from gateway.formats.mxnet.params import Params
from gateway.formats.mxnet.symbol import parse
from gateway.graph.registry import operators
from tests.formats.mxnet.write import Graph

PICTURE = (None, 3, 20, 30)


@dataclass(frozen=True)
class Case:
    """One operator over inputs a, b ... of these shapes; `says` by input. `between` operators lie on the last one."""

    op: str
    attrs: dict[str, Any]
    shapes: tuple[Shape, ...]
    says: dict[str, Hint]
    between: tuple[str, ...] = ()
    dtype: str = "float32"
    weights: dict[str, Any] = field(default_factory=dict)


NMS = {"coord_start": 2, "score_index": 1, "id_index": 0}
CASES = {
    "rows of an embedding": Case(
        "Embedding", {"input_dim": 7, "output_dim": 2}, ((None, 4),), {"a": Hint(7, beyond=True)}
    ),
    "followed through a cast and a reshape": Case(
        "Embedding", {"input_dim": 7, "output_dim": 2}, ((None, 4),), {"a": Hint(7, beyond=True)}, ("Cast", "Reshape")
    ),
    "depth of one_hot": Case("one_hot", {"depth": 5}, ((None,),), {"a": Hint(5, beyond=True)}),
    "take along axis 1": Case("take", {"axis": 1}, ((3, 9), (4,)), {"b": Hint(9, beyond=True)}),
    "take of weights": Case(
        "take", {}, ((4,),), {"a": Hint(6, beyond=True)}, weights={"w": np.zeros((6, 2), np.float32)}
    ),
    "pick along the last axis, free": Case("pick", {}, ((2, None), (2,)), {"b": Hint(("a", 1), beyond=True)}),
    "batch_take": Case("batch_take", {}, ((3, 9), (3,)), {"b": Hint(9, beyond=True)}),
    "gather_nd over two axes": Case("gather_nd", {}, ((3, 4, 5), (2, 6)), {"b": Hint(role="points", sizes=(3, 4))}),
    "scatter_nd never twice": Case(
        "scatter_nd", {"shape": "(3, 4)"}, ((6,), (2, 6)), {"b": Hint(role="points", sizes=(3, 4), unique=True)}
    ),
    "ravel into a shape": Case(
        "_ravel_multi_index", {"shape": "(-1, 6)"}, ((2, 9),), {"a": Hint(role="points", sizes=(7, 6))}
    ),
    "unravel": Case("_unravel_index", {"shape": "(7, 6)"}, ((9,),), {"a": Hint(42)}),
    "lengths of a masked sequence": Case(
        "SequenceMask", {"use_sequence_length": True, "axis": 1}, ((None, 12, 3), (None,)),
        {"b": Hint(12, role="length")},
    ),
    "lengths that nobody reads": Case("SequenceMask", {}, ((None, 12, 3), (None,)), {}),
    "lengths of a softmax, behind an activation": Case(
        "softmax", {"use_length": True}, ((2, 9), (2,)), {"b": Hint(9, role="length")}
    ),
    "rows of box_nms": Case("_contrib_box_nms", NMS, ((1, 9, 6),), {"a": Hint(role="boxes", columns=(2, 1, 0))}),
    "middles and sides": Case(
        "_contrib_box_nms", {**NMS, "in_format": "center"}, ((1, 9, 6),),
        {"a": Hint(role="boxes", columns=(2, 1, 0), centre=True)},
    ),
    "rows that a reshape has spoilt": Case("_contrib_box_nms", NMS, ((1, 9, 6),), {}, ("Reshape",)),
    "both sides of box_iou": Case(
        "_contrib_box_iou", {}, ((5, 4), (6, 4)), {"a": Hint(role="boxes"), "b": Hint(role="boxes")}
    ),
    "regions of a feature map": Case(
        "ROIPooling", {"pooled_size": "(2, 2)", "spatial_scale": 0.5}, (PICTURE, (None, 5)),
        {"b": Hint(("a", 0), role="regions", sizes=(20, 30), scale=0.5)},
    ),
    "a detector": Case(
        "_contrib_MultiBoxDetection", {}, ((1, 3, 9), (1, 36), (1, 9, 4)),
        {"a": Hint(role="share"), "c": Hint(role="boxes")},
    ),
    "proposals": Case(
        "_contrib_Proposal", {"feature_stride": 8}, ((1, 24, 4, 5), (1, 48, 4, 5), (1, 3)),
        {"a": Hint(role="share"), "c": Hint(role="picture", sizes=(4, 5), scale=8)},
    ),
    "whole numbers divide by no 0": Case(
        "elemwise_div", {}, ((4,), (4,)), {"b": Hint(role="divisor")}, dtype="int32"
    ),
    "floats may": Case("elemwise_div", {}, ((4,), (4,)), {}),
    "the best of equal ones": Case("topk", {}, ((4,),), {"a": Hint(role="distinct")}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_hints(name: str) -> None:
    case = CASES[name]
    graph = Graph()
    names = "abcd"[: len(case.shapes)]
    inputs = [graph.variable(each) for each in names]
    for number, op in enumerate(case.between):
        inputs[-1] = graph.node(op, f"between{number}", [inputs[-1]])
    weights = [graph.variable(each) for each in case.weights]
    head = graph.node(case.op, "op", [*weights, *inputs], **case.attrs)
    symbol = parse(json.dumps(graph.json(head)).encode(), "m-symbol.json")
    specs = tuple(TensorSpec(n, case.dtype, shape) for n, shape in zip(names, case.shapes, strict=True))
    assert hints(symbol, Params(case.weights, {}), Signature(specs, ())) == case.says


def test_regions_behind_a_convolution_lie_in_the_picture() -> None:
    graph = Graph()
    data, regions = graph.variable("a"), graph.variable("b")
    deep = graph.node("Convolution", "c", [data, graph.variable("w")], kernel="(3, 3)", num_filter=4, no_bias=True)
    head = graph.node("ROIPooling", "op", [deep, regions], pooled_size="(2, 2)", spatial_scale=0.0625)
    symbol = parse(json.dumps(graph.json(head)).encode(), "m-symbol.json")
    specs = (TensorSpec("a", "float32", PICTURE), TensorSpec("b", "float32", (None, 5)))
    found = hints(symbol, Params({"w": np.zeros((4, 3, 3, 3), np.float32)}, {}), Signature(specs, ()))
    assert found == {"b": Hint(1, role="regions", sizes=(20, 30))}


def test_every_rule_is_about_an_operator_that_converts() -> None:
    from gateway.formats.mxnet.emit import load_operators

    check: Callable[[], Any] = load_operators
    check()
    assert [name for name in RULES if name not in operators("mxnet")] == []
