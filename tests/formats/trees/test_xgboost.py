"""XGBoost: every leaf is the library's, at, below and above each threshold, for NaN and for unseen categories."""

from __future__ import annotations

from typing import Any

import pytest

from tests.formats.trees.table import Row, check, params

ALL = ("predictions", "margins", "leaves")
CLASSES = ("probabilities", "label", "margins", "leaves")
TRAIN = "xgboosts:train"
FORMAT = "xgboost"
ROWS = {
    "squared error, JSON": Row(TRAIN, {}, outputs=ALL),
    "logistic, UBJSON: base_score is a probability": Row(
        TRAIN, {"objective": "binary:logistic", "target": "binary", "file": "m.ubj", "base_score": 0.3}, outputs=CLASSES
    ),
    "softprob: base_score is a list of margins": Row(
        TRAIN, {"objective": "multi:softprob", "target": "classes", "num_class": 4}, outputs=CLASSES
    ),
    "softmax answers the class": Row(
        TRAIN, {"objective": "multi:softmax", "target": "classes", "num_class": 4, "file": "m.ubj"}, outputs=CLASSES
    ),
    "hinge answers 0 or 1": Row(
        TRAIN, {"objective": "binary:hinge", "target": "binary"}, outputs=("label", "margins", "leaves"), slow=True
    ),
    "logitraw: base_score is added as it is": Row(
        TRAIN, {"objective": "binary:logitraw", "target": "binary", "base_score": 0.3}, outputs=ALL
    ),
    "poisson answers the exponential": Row(
        TRAIN, {"objective": "count:poisson", "target": "counts"}, outputs=ALL, slow=True
    ),
    "accelerated failure time": Row(TRAIN, {"objective": "survival:aft", "target": "counts"}, outputs=ALL),
    "ranking": Row(
        TRAIN,
        {"objective": "rank:ndcg", "target": "classes", "groups": [250, 250], "file": "m.ubj"},
        outputs=ALL,
        slow=True,
    ),
    "dart: dropped trees weigh less": Row(
        TRAIN,
        {"booster": "dart", "rate_drop": 0.4, "objective": "binary:logistic", "target": "binary"},
        outputs=CLASSES,
    ),
    "a linear booster: what is missing adds nothing": Row(
        TRAIN,
        {"booster": "gblinear", "objective": "multi:softprob", "target": "classes", "num_class": 4},
        outputs=("probabilities", "label", "margins"),
    ),
    "random forest: parallel trees": Row(
        TRAIN,
        {"num_parallel_tree": 12, "subsample": 0.7, "colsample_bynode": 0.7, "learning_rate": 1, "rounds": 1},
        outputs=ALL,
    ),
    "one tree for several targets: leaves are vectors": Row(
        TRAIN,
        {"multi_strategy": "multi_output_tree", "target": "several", "file": "m.ubj"},
        outputs=("predictions", "margins"),
    ),
    "a tree for each target": Row(TRAIN, {"target": "several"}, outputs=ALL, slow=True),
    "categories: sets, one against the rest, unseen and odd ones": Row(
        TRAIN, {"categories": True, "max_cat_to_onehot": 5, "missing": 0.0}, outputs=ALL
    ),
    "several labels: each of them yes or no": Row(
        TRAIN, {"objective": "binary:logistic", "target": "both"}, outputs=ALL
    ),
    "thresholds where float32 ends, and a share of one half": Row("xgboosts:tiny", {}, outputs=CLASSES),
    "what is usual": Row(TRAIN, {"objective": "binary:logistic", "target": "binary"}),
    "trees that are a leaf alone": Row(TRAIN, {"gamma": 1e9, "rounds": 3}, outputs=ALL),
    "no trees": Row(TRAIN, {"rounds": 0}, outputs=ALL[:2]),
    "quantiles": Row(
        TRAIN,
        {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
        outputs=("predictions", "margins"),
        slow=True,
    ),
    "a base margin is a second input, instead of the base score": Row(
        TRAIN,
        {"objective": "binary:logistic", "target": "binary", "base_score": 0.3},
        outputs=CLASSES,
        inputs=(("base_margin", "", ""), ("rows", "features", "")),
    ),
    "a base margin of each class": Row(
        TRAIN,
        {"objective": "multi:softprob", "target": "classes", "num_class": 4},
        outputs=CLASSES,
        inputs=(("prior", "base_margin", "float32"),),
    ),
    "a base margin of a linear booster": Row(
        TRAIN,
        {"booster": "gblinear", "objective": "reg:squarederror"},
        outputs=("predictions", "margins"),
        inputs=(("base_margin", "", ""),),
    ),
    "a base margin of another type": Row(
        TRAIN, {}, inputs=(("base_margin", "", "int64"),), error="expected float32[?]"
    ),
    "base scores of several targets": Row(TRAIN, {"target": "several", "rounds": 2, "learning_rate": 0.1}, outputs=ALL),
    "early stopping: all trees answer, and it is said": Row(
        "xgboosts:early", {}, outputs=CLASSES, warning="best_iteration"
    ),
    "categories that were texts": Row("xgboosts:frame", {}, outputs=CLASSES, warning="were texts"),
    "the binary form, of 2.1": Row(file="old/logistic.model", outputs=CLASSES, judge="given the binary file as JSON"),
    "the binary form before 1.0: base_score is stored as it is added": Row(
        file="old/logistic-0.90.model", outputs=CLASSES
    ),
    "the binary form before 1.0, several classes": Row(file="old/softprob-0.90.model", outputs=CLASSES),
    "the binary form before 1.0, gamma": Row(file="old/gamma-0.90.model", outputs=ALL),
    "the binary form, several classes": Row(file="old/softprob.model", outputs=CLASSES, slow=True),
    "the binary form, dart": Row(file="old/dart.model", outputs=CLASSES),
    "the binary form, linear": Row(file="old/linear.model", outputs=("predictions", "margins")),
    "the binary form, poisson": Row(file="old/poisson.model", outputs=ALL, slow=True),
}
OBJECTIVES = {
    "reg:squaredlogerror": "share", "reg:pseudohubererror": "y", "reg:absoluteerror": "y", "reg:logistic": "share",
    "reg:gamma": "positive", "reg:tweedie": "counts", "rank:pairwise": "classes", "survival:cox": "positive",
}  # fmt: skip
ROWS |= {
    f"objective {objective}": Row(
        TRAIN,
        {"objective": objective, "target": target} | ({"groups": [250, 250]} if objective.startswith("rank") else {}),
        outputs=ALL,
        slow=True,
    )
    for objective, target in OBJECTIVES.items()
}


@pytest.mark.parametrize("name", params(ROWS))
def test_leaves(answers: dict[str, dict[str, Any]], name: str) -> None:
    check(ROWS[name], answers[f"{FORMAT}: {name}"])
