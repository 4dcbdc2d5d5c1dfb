"""Signatures: what fits, what does not, and that every problem is told at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gateway.core.signature import Signature, TensorSpec, format_shape, parse_spec
from gateway.errors import InvalidRequest, InvalidTensor

SPECS = {
    "a picture": ("data:float32[?,3,112,112]", TensorSpec("data", "float32", (None, 3, 112, 112))),
    "a scalar": ("x:int64[]", TensorSpec("x", "int64", ())),
    "TensorFlow's names have a colon": ("x:0:float32[?]", TensorSpec("x:0", "float32", (None,))),
    "slashes": ("a/b/c:bool[2]", TensorSpec("a/b/c", "bool", (2,))),
    "blanks between sizes": ("x:float32[ ?, 3 ]", TensorSpec("x", "float32", (None, 3))),
    "minus one is free too": ("x:float32[-1,3]", TensorSpec("x", "float32", (None, 3))),
    "an empty dimension": ("x:float32[0]", TensorSpec("x", "float32", (0,))),
    "text": ("x:string[?]", TensorSpec("x", "string", (None,))),
}
BAD_SPECS = {
    "no shape": ("data:float32", "is not NAME:DTYPE\\[SHAPE\\]"),
    "no dtype": ("data[1]", "is not NAME:DTYPE"),
    "no name": (":float32[1]", "is not NAME:DTYPE"),
    "not closed": ("data:float32[1", "is not NAME:DTYPE"),
    "a word as size": ("data:float32[n]", "dimension 'n' is neither a number nor '\\?'"),
    "a negative size": ("data:float32[-2]", "dimension '-2'"),
    "an empty size": ("data:float32[1,,2]", "dimension ''"),
    "another dtype": ("data:flaot32[1]", "Did you mean 'float32'"),
    "not ASCII digits": ("data:float32[\u00b2]", "dimension"),
}


@pytest.mark.parametrize(("text", "spec"), SPECS.values(), ids=SPECS.keys())
def test_parse_spec(text: str, spec: TensorSpec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize(("text", "says"), BAD_SPECS.values(), ids=BAD_SPECS.keys())
def test_parse_spec_says_which_part_is_wrong(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parse_spec(text)


@pytest.mark.parametrize("spec", [spec for _, spec in SPECS.values()], ids=SPECS.keys())
def test_text_and_back(spec: TensorSpec) -> None:
    assert parse_spec(str(spec)) == spec


ACCEPTS = {
    "as said": ((2, 3), (2, 3), True),
    "free takes any size": ((None, 3), (7, 3), True),
    "free takes none": ((None, 3), (0, 3), True),
    "a wrong size": ((None, 3), (7, 4), False),
    "a missing dimension": ((None, 3), (3,), False),
    "one dimension too many": ((None, 3), (1, 3, 1), False),
    "a scalar": ((), (), True),
    "unknown rank takes all": (None, (1, 2, 3), True),
}


@pytest.mark.parametrize(("wanted", "found", "fits"), ACCEPTS.values(), ids=ACCEPTS.keys())
def test_accepts(wanted: tuple[int | None, ...] | None, found: tuple[int, ...], fits: bool) -> None:
    assert TensorSpec("x", "float32", wanted).accepts(found) is fits


def test_format_shape() -> None:
    assert [format_shape(s) for s in ((None, 3), (), None)] == ["[?,3]", "[]", "[...]"]


TWO = Signature(
    (TensorSpec("image", "float32", (None, 2)), TensorSpec("scale", "float32", (None,))),
    (TensorSpec("y", "float32", (None, 10)), TensorSpec("score", "float32", (None,))),
    batched=True,
)


def zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.zeros(shape, dtype)


@dataclass(frozen=True)
class Case:
    tensors: dict[str, np.ndarray[Any, Any]]
    problems: tuple[str, ...] = ()


CHECKS = {
    "fits": Case({"image": zeros(3, 2), "scale": zeros(3)}),
    "order of the request does not matter": Case({"scale": zeros(3), "image": zeros(3, 2)}),
    "one is missing": Case({"image": zeros(1, 2)}, ("input 'scale' is missing, expected float32[?]",)),
    "a name with a neighbour": Case(
        {"imge": zeros(1, 2), "scale": zeros(1)},
        (
            "input 'imge' is not one of this model's. Did you mean 'image'?",
            "input 'image' is missing, expected float32[?,2]",
        ),
    ),
    "dtype and shape, both told": Case(
        {"image": zeros(1, 3, dtype=np.float64), "scale": zeros(1)},
        ("input 'image' has dtype float64, expected float32", "input 'image' has shape [1,3], expected [?,2]"),
    ),
    "problems of all inputs": Case(
        {"image": zeros(1), "scale": zeros(1, dtype=np.int32)},
        ("input 'image' has shape [1], expected [?,2]", "input 'scale' has dtype int32, expected float32"),
    ),
    "different batch sizes": Case(
        {"image": zeros(3, 2), "scale": zeros(2)}, ("the inputs have different batch sizes [2, 3], expected one",)
    ),
    "nothing at all": Case({}, ("input 'image' is missing", "input 'scale' is missing")),
}


@pytest.mark.parametrize("case", CHECKS.values(), ids=CHECKS.keys())
def test_check(case: Case) -> None:
    before = {name: array.copy() for name, array in case.tensors.items()}
    if not case.problems:
        TWO.check(case.tensors)
    else:
        with pytest.raises(InvalidTensor, match=r"^input|^the inputs") as caught:
            TWO.check(case.tensors)
        said = str(caught.value).split("; ")
        assert len(said) == len(case.problems), said
        assert all(problem in one for problem, one in zip(case.problems, said))
        assert caught.value.hint == "The inputs are: image:float32[?,2], scale:float32[?]."
    for name, array in case.tensors.items():  # rule 2: no value is changed
        np.testing.assert_array_equal(array, before[name], strict=True)


def test_without_a_batch_dimension_sizes_may_differ() -> None:
    TWO.with_batched(False).check({"image": zeros(3, 2), "scale": zeros(2)})


def test_select_keeps_the_order_asked_for() -> None:
    assert [spec.name for spec in TWO.select(["score", "y"])] == ["score", "y"]
    assert TWO.select([]) == TWO.outputs


def test_select_names_every_unknown_output() -> None:
    with pytest.raises(
        InvalidTensor, match="output 'scor', 'z' is not one of this model's; it has y, score\\."
    ) as caught:
        TWO.select(["scor", "y", "z"])
    assert "Did you mean 'score'?" in str(caught.value)


SIGNATURES = {
    "plain": TWO,
    "alias, symbols, labels, preprocess": Signature(
        (TensorSpec("image", "uint8", (None, None, 3), tensor="data:0", symbols=("batch", "width", "")),),
        (TensorSpec("y", "string", None),),
        name="other",
        labels=("cat", "größe"),
        preprocess={"scale": 0.5},
    ),
    "a fixed number of rows": Signature(
        (TensorSpec("x", "float32", (None, 4)),), (TensorSpec("y", "float32", (None, 2)),), batched=True, rows=2
    ),
}


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_json_round_trip(signature: Signature) -> None:
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


def test_a_spec_with_an_unknown_dtype_cannot_be_made() -> None:
    with pytest.raises(InvalidTensor, match="'float' is not a dtype"):
        TensorSpec("x", "float", (1,))


def test_rows_that_depend_on_each_other_stay_one_call() -> None:
    signature = SIGNATURES["a fixed number of rows"]
    assert signature.with_batched(True) == signature
    fixed = signature.with_batched(False)
    assert (fixed.rows, fixed.batched) == (0, False)
    assert [str(spec) for spec in (*fixed.inputs, *fixed.outputs)] == ["x:float32[2,4]", "y:float32[2,2]"]
