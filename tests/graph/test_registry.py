"""@op: found by name, twice is an error, unknown ones are collected over the whole graph."""

from __future__ import annotations

import pytest

from gateway.errors import UnsupportedOps
from gateway.graph.registry import converter, op, operators, refusals, refuse_unknown, refused, summary


@op("test registry", "Relu", "ReLU")
def relu() -> str:
    """Relu: max(x, 0).

    More that the table does not show.
    """
    return "relu"


@op("test registry", "Add")
def add() -> str:
    return "add"


def test_one_function_may_serve_several_operators() -> None:
    assert converter("test registry", "Relu") is converter("test registry", "ReLU") is relu


def test_the_support_table_is_in_order() -> None:
    assert list(operators("test registry")) == ["Add", "ReLU", "Relu"]
    assert summary("test registry") == [("Add", ""), ("ReLU", "Relu: max(x, 0)."), ("Relu", "Relu: max(x, 0).")]


def test_a_format_without_operators_has_an_empty_table() -> None:
    assert dict(operators("nobody")) == {}


def test_two_functions_for_one_operator_are_refused() -> None:
    with pytest.raises(TypeError, match=r"test registry Add has two functions: .*add and .*second"):

        @op("test registry", "Sub", "Add")
        def second() -> None: ...

    assert "Sub" not in operators("test registry")  # nothing was registered half


def test_no_name_is_refused() -> None:
    with pytest.raises(TypeError, match="names no operator"):
        op("test registry")


def test_all_unknown_operators_are_named_and_counted() -> None:
    with pytest.raises(UnsupportedOps, match=r"Gru \(x2\), Twist \(x1\); 3 operators are supported"):
        refuse_unknown("test registry", ["Gru", "Add", "Twist", "Relu", "Gru"])


def test_one_unknown_operator_is_refused() -> None:
    with pytest.raises(UnsupportedOps, match="test registry"):
        converter("test registry", "Gru")


def test_a_refused_operator_says_why() -> None:
    refused("test registry", "Magic", reason="needs a wand")
    assert refusals("test registry") == {"Magic": "needs a wand"}
    with pytest.raises(UnsupportedOps) as caught:
        refuse_unknown("test registry", ["Magic", "Gru"])
    assert caught.value.hint == "Magic: needs a wand."
    with pytest.raises(TypeError, match="is refused"):
        op("test registry", "Magic")(lambda: None)


def test_what_has_a_function_is_not_refused() -> None:
    with pytest.raises(TypeError, match="a function for Add"):
        refused("test registry", "Add", reason="no")
