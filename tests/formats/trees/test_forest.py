"""What an owner may wish of a model of trees, and the sentence where the model has not that."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.probes import Further, Probe
from gateway.core.signature import TensorSpec
from gateway.errors import ConversionError
from gateway.formats import forest
from gateway.formats.forest import Answer

ANSWERS = {
    "label": Answer(lambda: "label", "int64", (None,)),
    "probabilities": Answer(lambda: "probabilities", "float32", (None, 3)),
    "margins": Answer(lambda: "margins", "float32", (None, 3), usual=False),
}
INPUTS = {
    "nothing is wished": ((), TensorSpec("features", "float32", (None, 4), symbols=("batch", ""))),
    "a name": ((TensorOption("x"),), TensorSpec("x", "float32", (None, 4), symbols=("batch", ""))),
    "a name of its own": (
        (TensorOption("x", "features", "float64"),), TensorSpec("x", "float64", (None, 4), symbols=("batch", "")),
    ),
    "a shape of one row": (
        (TensorOption("x", shape=(1, 4)),), TensorSpec("x", "float32", (None, 4), symbols=("batch", "")),
    ),
}  # fmt: skip
REFUSED = {
    "two inputs": ((TensorOption("a"), TensorOption("b")), "inputs 'a', 'b' are asked for, and the model has one"),
    "another input": ((TensorOption("x", "y"),), "inputs 'y' are asked for"),
    "another dtype": ((TensorOption("x", dtype="int8"),), "dtype int8 is asked for; expected float32 or float64"),
    "another width": ((TensorOption("x", shape=(None, 5)),), r"shape \[None, 5\] is asked for; expected \[\?, 4\]"),
    "all of it at once": ((TensorOption("x", "y", "int8", (2, 2)),), "'y'.*int8.*; shape"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_the_one_input(name: str) -> None:
    wishes, spec = INPUTS[name]
    assert forest.input_spec(ModelOptions(inputs=wishes), 4, "m.txt") == spec


@pytest.mark.parametrize("name", REFUSED)
def test_an_input_that_is_not_there(name: str) -> None:
    wishes, said = REFUSED[name]
    with pytest.raises(ConversionError, match=f"^m.txt: .*{said}") as caught:
        forest.input_spec(ModelOptions(inputs=wishes), 4, "m.txt")
    assert "model.toml" in caught.value.hint


def test_outputs_are_the_usual_ones_or_those_that_are_named() -> None:
    assert forest.chosen(ANSWERS, ModelOptions(), "m") == [("label", "label"), ("probabilities", "probabilities")]
    wishes = (TensorOption("sum", "margins"), TensorOption("label"))
    assert forest.chosen(ANSWERS, ModelOptions(outputs=wishes), "m") == [("sum", "margins"), ("label", "label")]
    with pytest.raises(ConversionError, match=r"m has no output 'lable'\. Did you mean 'label'") as caught:
        forest.chosen(ANSWERS, ModelOptions(outputs=(TensorOption("lable"),)), "m")
    assert "label, probabilities, margins" in caught.value.hint


def test_inputs_beside_the_features_have_a_row_each() -> None:
    asked = Further((Probe("thresholds", "thresholds", None, {"x": np.zeros((5, 2), np.float32)}),), "5 rows")
    assert forest.beside(asked, (), 0) is asked
    more = forest.beside(asked, (TensorSpec("one", "float32", (None,)), TensorSpec("two", "float32", (None, 3))), 0)
    assert more.said == "5 rows"
    assert {name: (array.shape, array.dtype) for name, array in more.probes[0].inputs.items()} == {
        "x": ((5, 2), np.dtype(np.float32)),
        "one": ((5,), np.dtype(np.float32)),
        "two": ((5, 3), np.dtype(np.float32)),
    }
    assert not np.array_equal(more.probes[0].inputs["two"], np.zeros((5, 3)))


def test_columns_are_named_as_far_as_they_can_be_read() -> None:
    assert forest.listed([f"c{number}" for number in range(15)]).endswith("c11 and 3 more")
    assert forest.listed(["a", "b"]) == "a, b"
