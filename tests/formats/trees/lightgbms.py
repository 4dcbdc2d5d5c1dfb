"""Models of LightGBM, written by itself; run in Environment `trees`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.trees.data import table


def train(
    folder: Path, *, target: str = "y", rounds: int = 8, missing: float = 0.1, categories: bool = False,
    zeros: bool = False, groups: tuple[int, ...] = (), share: bool = False, **parameters: Any,
) -> None:  # fmt: skip
    """lightgbm.train with these parameters. `zeros`: a third of the values are 0. `share`: targets in (0, 1)."""
    import lightgbm

    data = table(missing=missing, categories=categories, double=True)
    x, y = data["x"], data[target]
    if zeros:
        x[np.random.default_rng(3).random(x.shape) < 0.3] = 0.0
    if share:
        y = 1.0 / (1.0 + np.exp(-y))
    settings = {"verbosity": -1, "num_leaves": 12, "min_data_in_leaf": 4, "num_threads": 1, "deterministic": True,
                "min_data_per_group": 5, "cat_smooth": 1.0} | parameters  # fmt: skip
    named = {"categorical_feature": [4, 5]} if categories else {}
    made = lightgbm.Dataset(x, y, group=list(groups) or None, params={"verbosity": -1}, **named)
    lightgbm.train(settings, made, rounds).save_model(folder / "m.txt")
