"""What the inputs are: each source of a shape in turn, and the error that proposes candidates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.artifact import Fact
from gateway.core.modeltoml import TensorOption
from gateway.core.signature import TensorSpec
from gateway.errors import ConversionError, CorruptModel, NeedsInputShape
from gateway.formats.mxnet import shapes
from gateway.formats.mxnet.params import NOTHING, Params
from gateway.formats.mxnet.symbol import parse
from tests.formats.mxnet.write import Graph

SIGNATURE = {"inputs": [{"data_name": "data", "data_shape": [0, 3, 32, 48]}], "input_type": "image/jpeg"}


def solve(
    graph: Graph,
    head: tuple[int, int],
    params: Params = NOTHING,
    options: tuple[TensorOption, ...] = (),
    mar: Any = None,
) -> tuple[tuple[TensorSpec, ...], dict[str, Fact]]:
    symbol = parse(json.dumps(graph.json(head)).encode(), "m-symbol.json")
    facts: list[Fact] = []
    needed = [index for index, node in enumerate(symbol.nodes) if node.is_variable and node.name not in params]
    data = json.dumps(mar).encode() if mar is not None else None
    return shapes.solve(symbol, params, needed, options, data, facts), {fact.what: fact for fact in facts}


def relu(**hidden: Any) -> tuple[Graph, tuple[int, int]]:
    graph = Graph()
    return graph, graph.node("relu", "r", [graph.variable("data", **hidden)])


def network(inner: int, channels: int = 3, *, pool: bool = False, kind: str = "float32") -> tuple[Any, Any, Params]:
    """Scale, convolution by 2, (pooling over all,) flatten, fully connected with `inner` inputs."""
    graph = Graph()
    x = graph.node("_mul_scalar", "scale", [graph.variable("data")], scalar="0.5")
    weights = {"c_weight": np.zeros((4, channels, 3, 3), kind), "c_bias": np.zeros(4, kind)}
    weights |= {"f_weight": np.zeros((5, inner), kind), "f_bias": np.zeros(5, kind)}
    x = graph.node("Convolution", "c", [x, graph.variable("c_weight"), graph.variable("c_bias")],
                   kernel="(3, 3)", stride="(2, 2)", pad="(1, 1)", num_filter=4)  # fmt: skip
    if pool:
        x = graph.node("Pooling", "p", [x], global_pool="True", pool_type="avg", kernel="(1, 1)")
    f = graph.node("FullyConnected", "f", [graph.node("Flatten", "flat", [x]), graph.variable("f_weight"),
                                           graph.variable("f_bias")], num_hidden=5)  # fmt: skip
    return graph, f, Params(weights, {})


def test_the_owner_says_it() -> None:
    option = TensorOption("image", "data", "uint8", (None, 3, 8, 8))
    (spec,), facts = solve(*relu(shape="(1, 3, 9, 9)"), options=(option,))
    assert spec == TensorSpec("image", "uint8", (None, 3, 8, 8), "data", ("batch", "", "", ""))
    assert facts["shape of data"].source == "--input or model.toml"
    assert facts["dtype of data"].source == "--input or model.toml"


def test_sizes_that_the_owner_leaves_free_have_names_of_their_own() -> None:
    (spec,), _ = solve(*relu(), options=(TensorOption("data", "", "", (None, 3, None, None)),))
    assert spec.symbols == ("batch", "", "data_2", "data_3")


def test_a_shape_that_nothing_holds() -> None:
    option = TensorOption("data", "", "", (None, 3, 1 << 30, 1 << 30))
    with pytest.raises(ConversionError, match=r"'data' has the shape \[\?,3,1073741824,1073741824\]"):
        solve(*relu(), options=(option,))


def test_a_batch_that_the_owner_fixes_is_fixed() -> None:
    (spec,), _ = solve(*relu(), options=(TensorOption("data", "", "", (2, 3)),))
    assert (spec.shape, spec.symbols) == ((2, 3), ("", ""))


def test_signature_json_says_it() -> None:
    (spec,), facts = solve(*relu(), mar=SIGNATURE)
    assert spec.shape == (None, 3, 32, 48)
    assert facts["shape of data"].source == "signature.json"


@pytest.mark.parametrize("mar", [[], {"inputs": 3}, {"inputs": [{"data_name": "data", "data_shape": "x"}]}, {}])
def test_some_other_signature_json_says_nothing(mar: Any) -> None:
    with pytest.raises(NeedsInputShape):
        solve(*relu(), mar=mar)


HINTS = {
    "all of it": ({"shape": "(8, 3, 4)"}, (None, 3, 4), ("batch", "", "")),
    "0 is the batch": ({"shape": "(0, 3)"}, (None, 3), ("batch", "")),
    "a list": ({"shape": "[1,3L]"}, (None, 3), ("batch", "")),
    "the batch is elsewhere": ({"shape": "(7, 2, 3)", "layout": "TNC"}, (7, None, 3), ("", "batch", "")),
}


@pytest.mark.parametrize(("hidden", "shape", "symbols"), HINTS.values(), ids=HINTS)
def test_the_symbol_says_it(hidden: dict[str, str], shape: Any, symbols: Any) -> None:
    (spec,), facts = solve(*relu(**hidden))
    assert (spec.shape, spec.symbols) == (shape, symbols)
    assert facts["shape of data"].source == "__shape__ in the symbol"


def test_the_symbol_says_the_type() -> None:
    (spec,), facts = solve(*relu(shape="(1, 2)", dtype="6"))
    assert (spec.dtype, facts["dtype of data"].source) == ("int64", "__dtype__ in the symbol")


def test_the_weights_say_the_type() -> None:
    graph, head, params = network(4 * 16 * 16, kind="float16")
    (spec,), facts = solve(graph, head, params)
    assert (spec.dtype, facts["dtype of data"].source) == ("float16", "the weights of c")


SOLVED = {
    # a stride of 2 makes 16 out of 31 and 32: only 32 is a size in use
    "one size in use": (4 * 16 * 16, 3, (None, 3, 32, 32)),
    "channels": (4 * 16 * 16, 7, (None, 7, 32, 32)),
    "larger": (4 * 112 * 112, 3, (None, 3, 224, 224)),
}


@pytest.mark.parametrize(("inner", "channels", "shape"), SOLVED.values(), ids=SOLVED)
def test_the_weights_say_it(inner: int, channels: int, shape: Any) -> None:
    (spec,), facts = solve(*network(inner, channels))
    assert spec.shape == shape
    assert facts["shape of data"].source.startswith("solved from the weights: c has")


def test_a_fully_connected_first_layer_says_it() -> None:
    graph = Graph()
    head = graph.node("FullyConnected", "f", [graph.variable("data"), graph.variable("f_weight")], num_hidden=2)
    (spec,), facts = solve(graph, head, Params({"f_weight": np.zeros((2, 9), np.float32)}, {}))
    assert spec.shape == (None, 9)
    assert facts["shape of data"].source == "the weights of f have 9 inputs"


UNSOLVED = {
    # 3 and 4 make 2, neither is in use: both are proposed
    "two sizes fit": (4 * 2 * 2, False, ["[?,3,3,3]", "[?,3,4,4]"]),
    "any size fits": (4, True, ["[?,3,224,224]", "[?,3,112,112]"]),
}


@pytest.mark.parametrize(("inner", "pool", "candidates"), UNSOLVED.values(), ids=UNSOLVED)
def test_candidates(inner: int, pool: bool, candidates: list[str]) -> None:
    with pytest.raises(NeedsInputShape, match=r"m-symbol\.json does not say the shape of its input 'data'") as caught:
        solve(*network(inner, pool=pool))
    assert all(f"--input 'data:float32{one}'" in caught.value.hint for one in candidates)


def test_every_input_without_a_shape_is_named() -> None:
    graph = Graph()
    head = graph.node("elemwise_add", "sum", [graph.variable("left"), graph.variable("right")])
    with pytest.raises(NeedsInputShape, match="'left', 'right'"):
        solve(graph, head)


def test_an_option_for_no_input() -> None:
    with pytest.raises(ConversionError, match=r"has no input 'dada'; it has data\. Did you mean 'data'"):
        solve(*relu(shape="(1, 2)"), options=(TensorOption("dada"),))


@pytest.mark.parametrize("text", ["(1, x)", "(1, 99999999999)", "(1"])
def test_a_shape_in_the_symbol_that_is_none(text: str) -> None:
    with pytest.raises(CorruptModel, match=r"m-symbol\.json"):
        solve(*relu(shape=text))


def test_the_solver_is_fast_on_a_deep_network(tmp_path: Path) -> None:
    graph = Graph()
    x, weights = graph.variable("data"), {"f_weight": np.zeros((2, 4 * 7 * 7), np.float32)}
    for number in range(200):
        weights[f"c{number}_weight"] = np.zeros((4, 3 if number == 0 else 4, 3, 3), np.float32)
        stride = "(2, 2)" if number % 50 == 0 else "(1, 1)"
        x = graph.node("Convolution", f"c{number}", [x, graph.variable(f"c{number}_weight")], kernel="(3, 3)",
                       pad="(1, 1)", stride=stride, num_filter=4, no_bias="True")  # fmt: skip
    head = graph.node("FullyConnected", "f", [x, graph.variable("f_weight")], num_hidden=2, no_bias="True")
    (spec,), facts = solve(graph, head, Params(weights, {}))
    assert spec.shape == (None, 3, 112, 112)
    assert "the usual one of the 97 to 112" in facts["shape of data"].source
