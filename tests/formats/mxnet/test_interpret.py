"""What the interpreter asks for, refuses and shows: in this process, without MXNet."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gateway.core.dtypes import Tensors
from gateway.errors import ConversionError, UnsupportedOps
from gateway.formats.mxnet import symbol
from gateway.formats.mxnet.interpreter import interpret, known, missing, walk
from gateway.formats.mxnet.params import Params

F = np.float32


def graph(*nodes: tuple[str, str, dict[str, str], list[list[int]]], heads: list[list[int]]) -> symbol.Symbol:
    made = [{"op": op, "name": name, "attrs": attrs, "inputs": inputs} for op, name, attrs, inputs in nodes]
    text = {
        "nodes": made,
        "arg_nodes": [i for i, node in enumerate(nodes) if node[0] == "null"],
        "heads": heads,
        "attrs": {"mxnet_version": ["int", 10901]},
    }
    return symbol.parse(json.dumps(text).encode())


def variable(name: str) -> tuple[str, str, dict[str, str], list[list[int]]]:
    return ("null", name, {}, [])


NO_PARAMS = Params({}, {})
CLASSIFIER = graph(
    variable("data"),
    variable("fc_weight"),
    ("FullyConnected", "fc", {"num_hidden": "2", "no_bias": "True"}, [[0, 0], [1, 0]]),
    variable("softmax_label"),
    ("Reshape", "labels", {"shape": "(-1,)"}, [[3, 0]]),
    ("SoftmaxOutput", "softmax", {}, [[2, 0], [4, 0]]),
    heads=[[5, 0], [2, 0]],
)
WEIGHTS = Params({"fc_weight": np.array([[1, 0], [0, 2]], F)}, {})
X: Tensors = {"data": np.array([[1.0, 1.0], [0.5, -1.0]], F)}


def test_outputs_have_mxnets_names_dtypes_and_order() -> None:
    found = interpret(CLASSIFIER, WEIGHTS, X)
    assert list(found) == ["softmax_output", "fc_output"]
    np.testing.assert_array_equal(found["fc_output"], np.array([[1, 2], [0.5, -2]], F), strict=True)


def test_a_label_and_all_that_only_it_needs_is_not_asked_for() -> None:
    assert "softmax_output" in interpret(CLASSIFIER, WEIGHTS, X)


def test_every_tensor_on_the_way_is_shown() -> None:
    assert list(interpret(CLASSIFIER, WEIGHTS, X, nodes=True)) == ["fc_output", "softmax_output"]
    steps = list(walk(CLASSIFIER, WEIGHTS, X))
    assert [(name, op) for name, op, _ in steps] == [("fc", "FullyConnected"), ("softmax", "SoftmaxOutput")]


def test_missing_operators_are_all_listed() -> None:
    odd = graph(
        variable("data"),
        ("Custom", "a", {"op_type": "mine"}, [[0, 0]]),
        ("_no_such", "b", {}, [[1, 0]]),
        ("Custom", "c", {"op_type": "mine"}, [[2, 0]]),
        heads=[[3, 0]],
    )
    assert missing(odd) == {"Custom": 2, "_no_such": 1}
    with pytest.raises(UnsupportedOps, match=r"Custom \(x2\), _no_such \(x1\)"):
        interpret(odd, NO_PARAMS, X)


def test_inputs_that_are_needed_are_all_named() -> None:
    with pytest.raises(ConversionError, match="inputs data, fc_weight are needed"):
        interpret(CLASSIFIER, NO_PARAMS, {})


REFUSED = {
    "an attribute that is not a number": (
        "Convolution",
        {"kernel": "(3, x)", "num_filter": "2"},
        "attribute kernel is '.3, x.'",
    ),
    "an integer that is none": ("topk", {"k": "many"}, "attribute k is 'many', expected an integer"),
    "an activation nobody has": ("Activation", {"act_type": "swish"}, "act_type 'swish'"),
    "a code of shape nobody has": ("Reshape", {"shape": "(-7, 0)"}, "code -7"),
    "-1 after a split, where MXNet writes past its end": ("Reshape", {"shape": "(-4, 1, 2, -1)"}, "-1 after -2 or -4"),
    "dropout that stays random": ("Dropout", {"mode": "always"}, "random"),
    "lengths for a recurrent layer": ("RNN", {"mode": "lstm", "use_sequence_length": "1"}, "GPUs alone"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_not_known_stops_it_and_names_the_node(row: str) -> None:
    op, attrs, said = REFUSED[row]
    inputs = [[0, 0]] * {"Convolution": 2, "RNN": 3}.get(op, 1)
    one = graph(variable("data"), (op, "it", attrs, inputs), heads=[[1, 0]])
    with pytest.raises(ConversionError, match=said) as caught:
        interpret(one, NO_PARAMS, {"data": np.zeros((2, 4, 3), F)})
    assert "'it'" in caught.value.message


def test_places_are_computed_in_float64_and_rounded_once() -> None:
    sums = graph(
        variable("data"),
        ("_plus_scalar", "up", {"scalar": "16777216"}, [[0, 0]]),
        ("_minus_scalar", "down", {"scalar": "16777216"}, [[1, 0]]),
        heads=[[2, 0]],
    )
    found = interpret(sums, NO_PARAMS, {"data": np.array([1.0, 3.0], F)})["down_output"]
    np.testing.assert_array_equal(found, np.array([1.0, 3.0], F), strict=True)


def test_the_support_table_is_wide() -> None:
    assert len(known()) >= 215
