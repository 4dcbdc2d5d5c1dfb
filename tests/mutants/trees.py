"""The nets of trees: every row of the tables of XGBoost, LightGBM, CatBoost and scikit-learn, judged by the library.

Rule 1: every output is asked for that there is, margins and leaves too, as those tables do.
Rule 2: what only refuses (load.py of pickles, `checked`) is not planted in: rows of broken and hostile files judge it.
        Nor is what only tells (facts) or asks (probes).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.core.modeltoml import ModelOptions, TensorOption
from tests.formats.mxnet.harness import run_child
from tests.formats.trees.table import Row, told
from tests.mutants.nets import Net, Target

WITHOUT = ("_facts", "inspect", "further", "checked", "listed", "need", "_versions", "hints", "words", "_texts")
SHARED = ("gateway.formats.forest", "gateway.graph.ensemble")


def _rows(form: str) -> dict[str, Row]:
    module = importlib.import_module(f"tests.formats.trees.test_{form}")
    found: dict[str, Row] = module.ROWS
    return found


def _maker(form: str) -> Callable[[Path, Sequence[str]], Sequence[Net]]:
    def make(folder: Path, tables: Sequence[str] = ()) -> Sequence[Net]:
        """A net for each row; `tables` are beginnings of their names."""
        rows = {name: row for name, row in _rows(form).items() if not tables or name.startswith(tuple(tables))}
        places = {name: str(folder / f"{number:04}") for number, name in enumerate(rows)}
        asked = {name: told(form, row) | {"folder": places[name]} for name, row in rows.items()}
        run_child("tests.formats.trees.child:write", {"rows": asked}, "trees")
        return [Net(name, Path(places[name]), _options(row), bool(row.error)) for name, row in rows.items()]

    return make


def _options(row: Row) -> ModelOptions:
    return ModelOptions(
        inputs=tuple(TensorOption(*each) for each in row.inputs),
        outputs=tuple(TensorOption(*output.split("=")) for output in row.outputs),
    )


def _target(form: str, *, converter: str, skip: tuple[str, ...] = ()) -> Target:
    package = f"gateway.formats.{form}"
    return Target(form, package, _maker(form), "trees", ("oracle", *skip), SHARED, converter, False, WITHOUT)


XGBOOST = _target("xgboost", converter="base")
LIGHTGBM = _target("lightgbm", converter="base")
CATBOOST = _target("catboost", converter="trees")
SKLEARN = _target("sklearn", converter="trees", skip=("load",))
