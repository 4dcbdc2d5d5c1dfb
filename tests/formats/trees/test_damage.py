"""Files of trees that are cut short or have flipped bits: an error of ours that names the file, or a model."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import ConversionError
from gateway.formats.lightgbm import model as lightgbm
from gateway.formats.xgboost import binary, ubj
from gateway.formats.xgboost import model as xgboost

OLD = Path(__file__).parent / "old"
FILES = {
    "binary": OLD / "dart.model",
    "binary before 1.0": OLD / "gamma-0.90.model",
    "linear": OLD / "linear.model",
    "JSON": OLD / "logistic.model",
    "UBJSON": OLD / "softprob.model",
}


def damaged(data: bytes, seed: int) -> list[bytes]:
    """Cut short at 40 places, one bit flipped at 80, one byte replaced at 40."""
    chance = random.Random(seed)
    found = [data[: chance.randrange(len(data))] for _ in range(12)]
    for _ in range(24):
        at = chance.randrange(len(data))
        found.append(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
    for _ in range(12):
        at = chance.randrange(len(data))
        found.append(data[:at] + bytes([chance.choice([0, 255, 127, 128])]) + data[at + 1 :])
    return found


def as_ubj(value: object) -> bytes:
    """What XGBoost would write, for the sake of damage."""
    if isinstance(value, dict):
        inside = b"".join(b"L" + len(k.encode()).to_bytes(8, "big") + k.encode() + as_ubj(v) for k, v in value.items())
        return b"{" + inside + b"}"
    if isinstance(value, list):
        if value and all(isinstance(v, float) for v in value):
            return b"[$d#L" + len(value).to_bytes(8, "big") + np.array(value, ">f4").tobytes()
        return b"[#L" + len(value).to_bytes(8, "big") + b"".join(map(as_ubj, value))
    if isinstance(value, str):
        return b"SL" + len(value.encode()).to_bytes(8, "big") + value.encode()
    if isinstance(value, int):
        return b"L" + value.to_bytes(8, "big", signed=True)
    return b"d" + np.array(value, ">f4").tobytes()


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


LIGHT = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=2
objective=binary sigmoid:1
feature_names=a b c
feature_infos=[-1:1] [0:1] 0:1:2
tree_sizes=10 10

Tree=0
num_leaves=3
num_cat=1
split_feature=0 2
threshold=0.25 0
decision_type=10 1
left_child=1 -1
right_child=-2 -3
leaf_value=0.5 -0.25 0.125
cat_boundaries=0 1
cat_threshold=5
is_linear=0
shrinkage=1


Tree=1
num_leaves=1
num_cat=0
split_feature=
leaf_value=0.5
is_linear=0
shrinkage=1


end of trees

pandas_categorical:null
"""


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
