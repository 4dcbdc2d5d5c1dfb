"""Models of LightGBM, written by itself; run in Environment `trees`."""

from __future__ import annotations

import itertools
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


def tiny(folder: Path) -> None:
    """Thresholds around what counts as 0, under every way to be missing."""
    train(folder, rounds=6)
    thresholds = itertools.cycle(["0", "1.0000000180025095e-35", "-1.0000000180025095e-35", "1e-36", "-1e-36",
                                  "1e-300", "-1e-300", "2e-35", "-2e-35"])  # fmt: skip
    kinds = itertools.cycle([0, 2, 4, 6, 8, 10, 4])  # missing: none, zero, NaN; to the right, to the left
    lines = []
    for line in (folder / "m.txt").read_text().splitlines():
        key, _, values = line.partition("=")
        if key in ("threshold", "decision_type"):
            source = thresholds if key == "threshold" else kinds
            line = f"{key}={' '.join(str(next(source)) for _ in values.split())}"
        if key != "tree_sizes":  # bytes of each tree, which are others now
            lines.append(line)
    (folder / "m.txt").write_text("\n".join(lines) + "\n")
