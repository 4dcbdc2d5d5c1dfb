"""CatBoost: every leaf is the library's, at, below and above each border, and for NaN."""

from __future__ import annotations

from typing import Any

import pytest

from tests.formats.trees.table import Row, check, params

ALL = ("predictions", "margins", "leaves")
CLASSES = ("probabilities", "label", "margins", "leaves")
TRAIN = "catboosts:train"
FORMAT = "catboost"
ROWS = {
    "squared error": Row(TRAIN, {}, outputs=ALL),
    "JSON": Row(TRAIN, {"file": "m.json"}, outputs=ALL, slow=True),
    "two classes": Row(TRAIN, {"loss_function": "Logloss", "target": "binary"}, outputs=CLASSES),
    "several classes, strings": Row(
        TRAIN, {"loss_function": "MultiClass", "target": "classes", "texts": True}, outputs=CLASSES,
        labels=("high", "low", "middle", "top"),
    ),
    "several classes, each against the rest": Row(
        TRAIN, {"loss_function": "MultiClassOneVsAll", "target": "classes"}, outputs=CLASSES, slow=True),
    "poisson answers the exponential": Row(
        TRAIN, {"loss_function": "Poisson", "target": "counts"}, outputs=ALL, slow=True
    ),
    "several numbers": Row(TRAIN, {"loss_function": "MultiRMSE", "target": "several"}, outputs=ALL, slow=True),
    "NaN is the largest": Row(TRAIN, {"nan_mode": "Max"}, outputs=ALL),
    "no NaN in training": Row(TRAIN, {"missing": 0.0}, outputs=ALL, slow=True),
    "trees that are not symmetric": Row(TRAIN, {"grow_policy": "Lossguide", "max_leaves": 9}, outputs=ALL[:2]),
    "by depth": Row(
        TRAIN, {"grow_policy": "Depthwise", "loss_function": "MultiClass", "target": "classes"}, outputs=CLASSES[:3],
        slow=True,
    ),
    "leaves are scaled, and a bias is added": Row(TRAIN, {"scale": 2.5, "depth": 3}, outputs=ALL),
    "shares without classes": Row(
        TRAIN, {"loss_function": "CrossEntropy", "target": "share", "depth": 5}, outputs=ALL, slow=True
    ),
    "trees of other depths, classes from 7 on": Row(
        TRAIN, {"loss_function": "MultiClass", "target": "tens", "depth": 2}, outputs=CLASSES, slow=True
    ),
    "what is usual": Row(TRAIN, {"loss_function": "Logloss", "target": "binary", "depth": 3}),
    "categories are CatBoost's own": Row(
        TRAIN, {"words": True, "loss_function": "Logloss", "target": "binary"}, error="categorical features"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", params(ROWS))
def test_leaves(answers: dict[str, dict[str, Any]], name: str) -> None:
    check(ROWS[name], answers[f"{FORMAT}: {name}"])
