"""Seeded data for the makers of models of trees."""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = dict[str, Any]


def table(rows: int = 500, *, missing: float = 0.0, categories: bool = False, double: bool = False) -> Arrays:
    """x (rows, 6), columns 4 and 5 categories, 3 and 40; targets: y, binary, classes (4), several (rows, 3), pair and
    both (rows, 2), share in (0, 1), positive, counts, tens.
    """
    random = np.random.default_rng(8)
    x = random.normal(size=(rows, 6)) * [1.0, 100.0, 1e-3, 1.0, 1.0, 1.0]
    y = x[:, 0] * 2 - np.abs(x[:, 1] / 100) + x[:, 2] * 500
    if categories:
        x[:, 4], x[:, 5] = random.integers(0, 3, rows), random.integers(0, 40, rows)
        y = y + np.isin(x[:, 5], [1, 4, 7, 22, 39]) * 2.0 + (x[:, 4] == 1)
    if missing:
        hidden = random.random(x.shape) < missing
        hidden[:, 4:] &= not categories
        x[hidden] = np.nan
    x = x if double else x.astype(np.float32)
    binary, classes = (y > 0).astype(np.int64), np.digitize(y, [-1.5, 0.0, 1.5])
    return {
        "x": x,
        "y": y,
        "binary": binary,
        "classes": classes,
        "tens": 10 - classes,
        "pair": np.stack([binary, 10 - classes], 1),
        "both": np.stack([binary, classes > 1], 1).astype(np.int64),
        "several": np.stack([y, -y, y * y], 1),
        "share": 1.0 / (1.0 + np.exp(-y)),
        "positive": np.abs(y) + 0.1,
        "counts": np.abs(y).round(),
    }
