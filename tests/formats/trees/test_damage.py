"""Files of trees that are cut short or have flipped bits: an error of ours that names the file, or a model."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import ConversionError
from gateway.formats.lightgbm import model as lightgbm
from gateway.formats.xgboost import binary, ubj
from gateway.formats.xgboost import model as xgboost
from tests.environments import environment
from tests.formats.mxnet.harness import run_child
from tests.formats.trees.broken import FILES as OTHERS
from tests.formats.trees.broken import damaged
from tests.formats.trees.written import LIGHT, OLD, as_ubj

FILES = {
    "binary": OLD / "dart.model",
    "binary before 1.0": OLD / "gamma-0.90.model",
    "linear": OLD / "linear.model",
    "JSON": OLD / "logistic.model",
    "UBJSON": OLD / "softprob.model",
}


@pytest.mark.parametrize("form", FILES)
def test_xgboost(form: str, tmp_path: Path) -> None:
    file = FILES[form]
    whole = file.read_bytes()
    document = binary.parse(whole)
    data = {"JSON": json.dumps(document).encode(), "UBJSON": as_ubj(document)}.get(form, whole)
    path = tmp_path / "broken.model"
    path.write_bytes(data)
    want = xgboost.read(file)
    got = xgboost.read(path)
    assert (got.objective, got.features, got.groups) == (want.objective, want.features, want.groups)
    np.testing.assert_array_equal(got.base, want.base, strict=True)
    said = []
    for broken in damaged(data, len(data)):
        path.write_bytes(broken)
        try:
            xgboost.read(path)
        except ConversionError as error:
            said.append(error.message)
    assert len(said) >= 8
    assert [message for message in said if "broken.model" not in message] == []


def test_ubjson_nests_no_deeper_than_it_may() -> None:
    with pytest.raises(ConversionError, match="nested more than"):
        ubj.parse(b"[" * 100_000)


def test_ubjson_of_other_writers() -> None:
    """Every kind of value, arrays with and without a type or a length, words, and nothings between them."""
    data = (
        b"{i\x01aNi\xfbU\x01bU\xfbi\x01cI\xff\x00i\x01dl\xff\xff\xff\xfei\x01eL" + (1 << 40).to_bytes(8, "big")
        + b"i\x01fZi\x01gTi\x01hFi\x01iCxi\x01jSi\x02ab"
        + b"i\x01k[i\x01NU\xc8]i\x01l[#i\x02TFi\x01m[$S#i\x02i\x01xi\x01yi\x01n[$U#i\x03\x01\xfe\x03"
        + b"i\x01oD" + struct.pack(">d", 0.1) + b"i\x01pd" + struct.pack(">f", 0.5) + b"}"
    )  # fmt: skip
    found = ubj.parse(data)
    assert found.pop("n").tolist() == [1, 254, 3]
    assert found == {
        "a": -5, "b": 251, "c": -256, "d": -2, "e": 1 << 40, "f": None, "g": True, "h": False, "i": "x", "j": "ab",
        "k": [1, 200], "l": [True, False], "m": ["x", "y"], "o": 0.1, "p": 0.5,
    }  # fmt: skip


REFUSED = {
    "another objective": ({"objective": {"name": "reg:own"}}, "objective 'reg:own'"),
    "another booster": ({"gradient_booster": {"name": "gbforest"}}, "its booster is 'gbforest'"),
    "no trees": ({"gradient_booster": {"name": "gbtree", "model": {}}}, "not as XGBoost writes it"),
    "no features": (
        {"learner_model_param": {"num_feature": "0", "base_score": "0.5", "num_class": "0"}}, "0 features",
    ),
    "a base score that no probability is": (
        {"learner_model_param": {"num_feature": "5", "base_score": "2", "num_class": "0"}}, "between 0 and 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_by_name(change: dict[str, object], said: str, tmp_path: Path) -> None:
    document = binary.parse((OLD / "logistic.model").read_bytes())
    document["learner"] |= change
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConversionError, match=said) as caught:
        xgboost.read(path)
    assert "m.json" in caught.value.message


def test_lightgbm(tmp_path: Path) -> None:
    path = tmp_path / "broken.txt"
    path.write_text(LIGHT)
    model = lightgbm.read(path)
    assert (model.objective, model.ensemble.features, len(model.ensemble.trees)) == ("binary", 3, 2)
    assert model.ensemble.trees[0].members == {1: (0.0, 2.0)}
    said = []
    for broken in damaged(LIGHT.encode(), 1):
        path.write_bytes(broken)
        try:
            lightgbm.read(path)
        except ConversionError as error:
            said.append(error.message)
    assert len(said) >= 8
    assert [message for message in said if "broken.txt" not in message] == []


LIGHT_REFUSED = {
    "linear leaves without constants": ("is_linear=0", "is_linear=1", "it lacks 'leaf_const'"),
    "linear leaves of one tree alone": (
        "is_linear=0",
        "is_linear=1\nleaf_const=1 2 3\nnum_features=0 0 0",
        "in the leaves of 1 of 2 trees",
    ),
    "a leaf without a slope": (
        "is_linear=0",
        "is_linear=1\nleaf_const=1 2 3\nnum_features=0 1 0\nleaf_features=0",
        "0 slopes for 1 features",
    ),
    "a slope of a feature that is not there": (
        "is_linear=0",
        "is_linear=1\nleaf_const=1 2 3\nnum_features=0 1 0\nleaf_features=3\nleaf_coeff=1",
        "1 slopes",
    ),
    "linear leaves for other leaves": (
        "is_linear=0",
        "is_linear=1\nleaf_const=1 2 3\nnum_features=0 1",
        "linear models for 2 of 3 leaves",
    ),
    "cut short": ("end of trees", "", "is cut short"),
    "a tree too few": ("tree_sizes=10 10", "tree_sizes=10 10 10", "is cut short: 2 of 3 trees"),
    "another objective": ("objective=binary", "objective=mine", "the objective 'mine'"),
    "a child that is not there": ("left_child=1 -1", "left_child=1 -9", "a node or leaf that it has not"),
    "a circle": ("left_child=1 -1", "left_child=0 -1", "goes on at node 0"),
    "a feature that is not there": ("split_feature=0 2", "split_feature=0 7", "reads feature 7 of 3"),
    "a leaf too few": ("leaf_value=0.5 -0.25", "leaf_value=-0.25", "2 numbers in leaf_value; expected 3"),
    "no threshold": ("threshold=0.25", "threshold=nan", "a threshold that is NaN"),
    "no categories": ("cat_boundaries=0 1", "cat_boundaries=0 9", "asks for categories"),
}


@pytest.mark.parametrize(("old", "new", "said"), LIGHT_REFUSED.values(), ids=LIGHT_REFUSED.keys())
def test_lightgbm_refused_by_name(old: str, new: str, said: str) -> None:
    assert old in LIGHT
    with pytest.raises(ConversionError, match=said):
        lightgbm.parse(LIGHT.replace(old, new, 1), "m.txt")


@pytest.fixture(scope="module")
def read_broken() -> dict[str, dict[str, list[str]]]:
    environment("trees")
    found: dict[str, dict[str, list[str]]] = run_child("tests.formats.trees.broken:read", {}, "trees").value
    return found


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_its_library_opens(read_broken: dict[str, dict[str, list[str]]], name: str) -> None:
    found = read_broken[name]
    assert found["others"] == []
    assert len(found["said"]) >= 8
    assert [message for message in found["said"] if OTHERS[name][0] not in message] == []
