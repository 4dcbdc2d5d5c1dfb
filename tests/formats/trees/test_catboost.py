"""CatBoost: every leaf is the library's, at, below and above each border, and for NaN."""

from __future__ import annotations

from typing import Any

import pytest

from tests.formats.trees.table import Row, check, run_table

ALL = ("predictions", "margins", "leaves")
CLASSES = ("probabilities", "label", "margins", "leaves")
TRAIN = "catboosts:train"
ROWS = {
    "squared error": Row(TRAIN, {}, outputs=ALL),
    "JSON": Row(TRAIN, {"file": "m.json"}, outputs=ALL),
    "two classes": Row(TRAIN, {"loss_function": "Logloss", "target": "binary"}, outputs=CLASSES),
    "several classes, strings": Row(
        TRAIN, {"loss_function": "MultiClass", "target": "classes", "texts": True}, outputs=CLASSES
    ),
    "several classes, each against the rest": Row(
        TRAIN, {"loss_function": "MultiClassOneVsAll", "target": "classes"}, outputs=CLASSES
    ),
    "poisson answers the exponential": Row(TRAIN, {"loss_function": "Poisson", "target": "counts"}, outputs=ALL),
    "several numbers": Row(TRAIN, {"loss_function": "MultiRMSE", "target": "several"}, outputs=ALL),
    "NaN is the largest": Row(TRAIN, {"nan_mode": "Max"}, outputs=ALL),
    "no NaN in training": Row(TRAIN, {"missing": 0.0}, outputs=ALL),
    "trees that are not symmetric": Row(TRAIN, {"grow_policy": "Lossguide", "max_leaves": 9}, outputs=ALL[:2]),
    "by depth": Row(
        TRAIN, {"grow_policy": "Depthwise", "loss_function": "MultiClass", "target": "classes"}, outputs=CLASSES[:3]
    ),
    "categories are CatBoost's own": Row(
        TRAIN, {"words": True, "loss_function": "Logloss", "target": "binary"}, error="categorical features"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return run_table(ROWS, "catboost")


@pytest.mark.parametrize("name", ROWS)
def test_leaves(found: dict[str, dict[str, Any]], name: str) -> None:
    check(ROWS[name], found[name])
