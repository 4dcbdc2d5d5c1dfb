"""LightGBM: every leaf is the library's, at, below and above each threshold, for every way to be missing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.formats.trees.table import Row, check, params

ALL = ("predictions", "margins", "leaves")
CLASSES = ("probabilities", "label", "margins", "leaves")
TRAIN = "lightgbms:train"
FORMAT = "lightgbm"
ROWS = {
    "regression: NaN is missing": Row(TRAIN, {}, outputs=ALL),
    "nothing is missing: NaN is 0": Row(TRAIN, {"missing": 0.0}, outputs=ALL),
    "zero is missing": Row(TRAIN, {"zero_as_missing": True, "zeros": True}, outputs=ALL),
    "zeros that are not missing": Row(TRAIN, {"zeros": True}, outputs=ALL),
    "use_missing is off": Row(TRAIN, {"use_missing": False}, outputs=ALL, slow=True),
    "categories: sets, unseen and odd ones": Row(TRAIN, {"categories": True}, outputs=ALL),
    "categories and a NaN among them": Row(TRAIN, {"categories": True, "missing": 0.2}, outputs=ALL),
    "binary, with a factor in its sigmoid": Row(
        TRAIN, {"objective": "binary", "sigmoid": 1.7, "target": "binary"}, outputs=CLASSES
    ),
    "several classes": Row(TRAIN, {"objective": "multiclass", "num_class": 4, "target": "classes"}, outputs=CLASSES),
    "several classes, each against the rest": Row(
        TRAIN, {"objective": "multiclassova", "num_class": 4, "target": "classes", "sigmoid": 0.6}, outputs=CLASSES,
        slow=True,
    ),
    "random forest: the mean of its trees": Row(
        TRAIN, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, outputs=("predictions", "leaves")
    ),
    "random forest of classes": Row(
        TRAIN,
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "objective": "binary", "target": "binary"},
        outputs=("probabilities", "label", "leaves"), slow=True),
    "dart": Row(TRAIN, {"boosting": "dart"}, outputs=ALL, slow=True),
    "poisson answers the exponential": Row(TRAIN, {"objective": "poisson", "target": "counts"}, outputs=ALL),
    "cross entropy": Row(TRAIN, {"objective": "cross_entropy", "share": True}, outputs=ALL, slow=True),
    "cross entropy, lambda": Row(TRAIN, {"objective": "cross_entropy_lambda", "share": True}, outputs=ALL, slow=True),
    "the root of the target": Row(TRAIN, {"reg_sqrt": True}, outputs=ALL, slow=True),
    "ranking": Row(
        TRAIN, {"objective": "lambdarank", "target": "classes", "groups": [250, 250]}, outputs=ALL, slow=True
    ),
    "float64 inputs, as LightGBM takes them": Row(
        TRAIN, {}, outputs=ALL, inputs=(("features", "", "float64"),)
    ),
    "linear leaves: their values where a feature is NaN": Row(TRAIN, {"linear_tree": True}, outputs=ALL),
    "linear leaves of classes, over many groups": Row(
        TRAIN,
        {"linear_tree": True, "objective": "multiclass", "num_class": 4, "target": "classes", "rounds": 60},
        outputs=CLASSES, slow=True,
    ),
    "linear leaves and categories": Row(TRAIN, {"linear_tree": True, "categories": True}, outputs=ALL, slow=True),
    "thresholds around what counts as 0": Row("lightgbms:tiny", {}, outputs=ALL),
    "what is usual": Row(TRAIN, {"objective": "binary", "target": "binary"}),
    "trees that are a leaf alone": Row(TRAIN, {"min_data_in_leaf": 400}, outputs=ALL),
    "outputs under other names": Row(
        TRAIN, {}, outputs=("sum=margins", "answer=predictions", "predictions=leaves"), slow=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", params(ROWS))
def test_leaves(answers: dict[str, dict[str, Any]], name: str) -> None:
    check(ROWS[name], answers[f"{FORMAT}: {name}"])
