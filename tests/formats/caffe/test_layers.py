"""Every row of rows.py: our graph against OpenCV's answer and the interpreter's; every layer has a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.formats.caffe.emit import load_operators
from gateway.formats.caffe.oracle import JUDGED
from gateway.graph.registry import operators, refusals
from tests.formats.caffe.rows import CASES
from tests.formats.caffe.table import problems, run_table

load_operators()


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    return run_table(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_layer_answers_as_its_judges_do(results: dict[str, dict[str, Any]], name: str) -> None:
    assert problems(CASES[name], results[name]) == []


def test_every_layer_has_a_row_and_says_what_it_is() -> None:
    rows = {case.kind for case in CASES.values()} | {kind for case in CASES.values() for kind, *_ in case.before}
    assert [name for name in (*operators("caffe"), *refusals("caffe")) if name not in rows] == [
        "DepthwiseConvolution",
        "Filter",
    ]
    assert [name for name, function in operators("caffe").items() if not function.__doc__] == []


def test_the_page_names_every_layer() -> None:
    page = (Path(__file__).parents[3] / "docs" / "caffe.md").read_text()
    assert [name for name in operators("caffe") if f"`{name}`" not in page] == []


def test_what_opencv_is_trusted_with_has_a_row_that_it_judges() -> None:
    judged = {case.kind for case in CASES.values() if case.opencv and not case.refused}
    assert [name for name in JUDGED if name not in judged] == []
