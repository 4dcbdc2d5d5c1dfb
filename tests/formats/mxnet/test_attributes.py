"""Parameters of operators: every spelling, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import ConversionError
from gateway.formats.mxnet.attributes import Attrs

READ: dict[str, tuple[str, str, Any]] = {
    "a number": ("int", "3", 3),
    "a python 2 long": ("int", "3L", 3),
    "a number below zero": ("int", "-1", -1),
    "a number with a point": ("int", "64.0", 64),
    "a truth as number": ("int", "True", 1),
    "a float": ("float", "1e-05", 1e-5),
    "a C float": ("float", "0.5f", 0.5),
    "infinity": ("float", "-inf", float("-inf")),
    "True": ("bool", "True", True),
    "1": ("bool", "1", True),
    "true": ("bool", "true", True),
    "False": ("bool", "False", False),
    "0": ("bool", "0", False),
    "a tuple": ("ints", "(3, 3)", (3, 3)),
    "a list": ("ints", "[3,3]", (3, 3)),
    "a tuple of longs": ("ints", "(3L, 5L)", (3, 5)),
    "a tuple of one": ("ints", "(3,)", (3,)),
    "a bare number": ("ints", "3", (3,)),
    "an empty tuple": ("ints", "()", ()),
    "floats": ("floats", "(0.5, 1)", (0.5, 1.0)),
    "a tuple with gaps": ("optional_ints", "(None, 3)", (None, 3)),
    "a type by name": ("dtype", "float16", "float16"),
    "a type by code": ("dtype", "4", "int32"),
    "text": ("str", "valid", "valid"),
}


@pytest.mark.parametrize(("getter", "text", "value"), READ.values(), ids=READ)
def test_read(getter: str, text: str, value: Any) -> None:
    assert getattr(Attrs({"k": text}), getter)("k") == value


WRONG = {
    "a word as number": ("int", "three"),
    "a half as number": ("int", "1.5"),
    "10^30": ("int", "1" + "0" * 30),
    "1e400": ("int", "1e400"),
    "nan": ("float", "nan"),
    "maybe": ("bool", "maybe"),
    "a tuple not closed": ("ints", "(3, 3"),
    "a tuple closed wrongly": ("ints", "(3, 3]"),
    "words in a tuple": ("ints", "(a, b)"),
    "an unknown type": ("dtype", "float128"),
    "None where one is needed": ("int", "None"),
}


@pytest.mark.parametrize(("getter", "text"), WRONG.values(), ids=WRONG)
def test_malformed(getter: str, text: str) -> None:
    with pytest.raises(ConversionError) as caught:
        getattr(Attrs({"k": text}, node="conv0", op="Convolution"), getter)("k")
    assert caught.value.message == f"MXNet node 'conv0' (Convolution): k={text!r} cannot be read."


def test_defaults() -> None:
    attrs = Attrs({"axis": "None", "pad": "None"})
    assert attrs.int("axis", 4) == 4
    assert attrs.int("absent", 5) == 5
    assert attrs.ints("pad", (0,)) == (0,)
    assert attrs.optional_int("axis") is None
    assert attrs.optional_float("absent") is None
    assert attrs.optional_bool("absent") is None
    assert not attrs.has("axis")
    assert "axis" in attrs


def test_required() -> None:
    with pytest.raises(ConversionError, match=r"MXNet node 'c' \(Convolution\): has no num_filter, which it needs"):
        Attrs({}, node="c", op="Convolution").int("num_filter")


def test_a_choice_proposes_the_nearest() -> None:
    attrs = Attrs({"act_type": "rellu"}, node="a", op="Activation")
    with pytest.raises(
        ConversionError, match=r"act_type='rellu' is not supported; expected one of relu, tanh\. Did you"
    ):
        attrs.choice("act_type", ("relu", "tanh"))
