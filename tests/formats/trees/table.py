"""Rows of models of trees, judged by their own library at every threshold; two children for a whole table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.compare import compare
from gateway.process import wire
from tests.environments import environment
from tests.formats.mxnet.harness import run_child
from tests.models import base_python

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """A model that `make` (module:function below tests.formats.trees) writes, or a `file` below this folder.

    `outputs`: "margins", or "sum=margins" for another name. `refused`: kinds of calls that the library itself refuses.
    `error`: what the converter has to say. `slow`: not in `make test`.
    """

    make: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    outputs: tuple[str, ...] = ()
    inputs: tuple[tuple[str, str, str], ...] = ()
    refused: tuple[str, ...] = ()
    error: str = ""
    warning: str = ""
    judge: str = ""
    labels: tuple[str, ...] = ()
    slow: bool = False


def params(rows: Mapping[str, Row]) -> list[Any]:
    """For parametrize: a row each, by name."""
    return [pytest.param(name, marks=[pytest.mark.slow] if row.slow else []) for name, row in rows.items()]


def told(form: str, row: Row) -> dict[str, Any]:
    """A row of a format, for a child."""
    return {
        "make": f"tests.formats.trees.{row.make}" if row.make else "",
        "arguments": dict(row.arguments),
        "file": str(HERE / row.file) if row.file else "",
        "outputs": list(row.outputs),
        "inputs": [list(each) for each in row.inputs],
        "format": form,
    }


def run_table(rows: Mapping[str, tuple[str, Row]]) -> dict[str, dict[str, Any]]:
    """What was found of each row, given with its format; "served" and "folder" hold the answers.

    A visible skip without Environments.
    """
    environment("trees")
    base_python()
    asked = {name: told(form, row) for name, (form, row) in rows.items()}
    found: dict[str, dict[str, Any]] = run_child("tests.formats.trees.child:judge", {"rows": asked}, "trees").value
    good = {name: each for name, each in found.items() if "folder" in each}
    folders = {name: {"folder": each["folder"], "cases": each["cases"]} for name, each in good.items()}
    ran = run_child("tests.formats.trees.child:run", {"folders": folders}, "base").value
    return {name: each | ran.get(name, {}) for name, each in found.items()}


def check(row: Row, found: Mapping[str, Any]) -> tuple[int, int]:
    """Asserts that every answer is the library's, leaves and labels exactly. -> (rows compared, leaves compared)."""
    if row.error:
        assert row.error in found.get("message", ""), found
        return 0, 0
    assert "folder" in found, found["message"]
    assert "failed" not in found, found["failed"]
    assert {kind for kind, _ in found["refused"]} == set(row.refused), found["refused"]
    if row.warning:
        assert any(row.warning in said for said in found["warnings"]), found["warnings"]
    if row.labels:
        assert tuple(found["labels"]) == row.labels
    if row.judge:
        assert row.judge in found["judge"]
    problems, rows, leaves = [], 0, 0
    for case, place in found["cases"]:
        expected = wire.load(Path(found["folder"]) / f"{place}.outputs")
        served = wire.load(Path(f"{found['served']}.{place}"))
        assert list(served) == list(expected)
        for name, array in expected.items():
            comparison = compare(array, served[name], case=case, output=name)
            if not comparison.passed:
                problems.append(f"{case}, {name}: {comparison.problem}")
        rows += len(next(iter(expected.values())))
        leaves += int(np.prod(expected["leaves"].shape)) if "leaves" in expected else 0
    assert not problems, problems
    assert rows
    return rows, leaves
