"""One pair of children for all tables of trees: their libraries take seconds to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.formats.trees.table import Row, run_table


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """What was found of every row that this run of the tests looks at, by "FORMAT: NAME"."""
    rows: dict[str, tuple[str, Row]] = {}
    for item in request.session.items:
        of_trees = item.path.parent == Path(__file__).parent
        if of_trees and isinstance(item, pytest.Function) and "answers" in item.fixturenames:
            form, name = item.module.FORMAT, item.callspec.params["name"]
            rows[f"{form}: {name}"] = (form, item.module.ROWS[name])
    return run_table(rows)
