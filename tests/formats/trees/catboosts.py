"""Models of CatBoost, written by itself; run in Environment `trees`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.trees.data import table


def train(
    folder: Path, *, target: str = "y", file: str = "m.cbm", missing: float = 0.1, words: bool = False,
    texts: bool = False, scale: float = 1.0, **parameters: Any,
) -> None:  # fmt: skip
    """catboost.CatBoost with these parameters. `texts`: classes are strings. `words`: a column of categories.

    `scale`: all leaves times that, and 0.3 more.
    """
    import catboost
    import pandas

    data = table(400, missing=missing)
    y = data[target]
    y = np.array(["low", "middle", "high", "top"])[y] if texts else y
    settings = {"iterations": 8, "depth": 4, "thread_count": 1, "random_seed": 1, "verbose": False,
                "allow_writing_files": False} | parameters  # fmt: skip
    x: Any = data["x"]
    named = {}
    if words:
        towns = np.random.default_rng(4).choice(["Berlin", "Paris", "Rom"], len(x))
        x = pandas.DataFrame({"size": x[:, 0], "town": towns, "weight": x[:, 1]})
        y = y ^ (towns == "Rom")
        named = {"cat_features": ["town"]}
    model = catboost.CatBoost(settings)
    model.fit(x, y, **named)
    if scale != 1.0:
        model.set_scale_and_bias(scale, 0.3)
    model.save_model(str(folder / file), format="json" if file.endswith(".json") else "cbm")
