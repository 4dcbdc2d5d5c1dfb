"""Models of XGBoost, written by itself; run in Environment `trees`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.trees.data import table


def train(
    folder: Path, *, target: str = "y", rounds: int = 8, file: str = "m.json", missing: float = 0.1,
    categories: bool = False, groups: tuple[int, ...] = (), **parameters: Any,
) -> None:  # fmt: skip
    """xgboost.train with these parameters."""
    import xgboost

    data = table(missing=missing, categories=categories)
    kinds = ["q"] * 4 + ["c"] * 2 if categories else None
    matrix = xgboost.DMatrix(data["x"], data[target], feature_types=kinds, enable_categorical=True)
    if groups:
        matrix.set_group(list(groups))
    if parameters.get("objective") == "survival:aft":
        matrix.set_float_info("label_lower_bound", data["counts"] + 0.1)
        matrix.set_float_info("label_upper_bound", data["counts"] + 0.3)
    settings = {"max_depth": 4, "verbosity": 0, "nthread": 1, "seed": 1} | parameters
    xgboost.train(settings, matrix, rounds).save_model(folder / file)


def tiny(folder: Path) -> None:
    """Thresholds in which float32 ends, and leaves that add up to 0: a share of exactly one half."""
    import xgboost

    train(folder, rounds=3, objective="binary:logistic", target="binary", base_score=0.5)
    document = json.loads((folder / "m.json").read_text())
    values = [0.0, -0.0, 1e-38, 1e-45, -1e-40, 3e-36, -3e-36, 1e38, -1e38]
    at = 0
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        for node, left in enumerate(tree["left_children"]):
            at += 1
            tree["split_conditions"][node] = values[at % len(values)] if left != -1 else [0.0, 0.75, -0.75][at % 3]
    (folder / "m.json").write_text(json.dumps(document))
    xgboost.Booster(model_file=folder / "m.json")


def early(folder: Path) -> None:
    """A classifier that stopped early: the file names its best iteration."""
    import xgboost

    data = table()
    random = np.random.default_rng(1)
    model = xgboost.XGBClassifier(n_estimators=40, early_stopping_rounds=3, max_depth=3, n_jobs=1)
    model.fit(data["x"], data["classes"], eval_set=[(data["x"][:50], random.permutation(data["classes"][:50]))],
              verbose=False)  # fmt: skip
    model.save_model(folder / "early.json")


def frame(folder: Path) -> None:
    """A classifier over a table whose categories are texts."""
    import pandas
    import xgboost

    data = table()
    words = np.array(["red", "green", "blue"])[np.random.default_rng(0).integers(0, 3, len(data["x"]))]
    x = pandas.DataFrame({"size": data["x"][:, 0], "colour": pandas.Categorical(words)})
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3, enable_categorical=True, n_jobs=1)
    model.fit(x, data["binary"] ^ (words == "red")).save_model(folder / "frame.ubj")
