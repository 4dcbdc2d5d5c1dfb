"""Every layer of Darknet, every rule of the trap table: our conversion against OpenCV and our interpreter."""

from __future__ import annotations

import pytest

from tests.formats.darknet.harness import run_table
from tests.formats.darknet.rows import CASES

NOT_YET = {
    "pjreddie's route knows no groups", "shortcut: fewer channels, alpha only where they overlap",
    "upsample backwards sums", "reorg flattens", "reorg unflattens", "yolo: pjreddie's knows no scale_x_y",
    "rnn: logistic is of the state's part", "rnn: loggy is of the state's part",
}  # fmt: skip
"""Rows that the interpreter does not compute as Darknet does yet, and OpenCV not at all."""
ROWS = [
    pytest.param(name, marks=[pytest.mark.xfail(strict=True, reason="the interpreter lacks it")] * (name in NOT_YET))
    for name in CASES
]


@pytest.fixture(scope="module")
def results() -> dict[str, list[str]]:
    return run_table(CASES)


@pytest.mark.parametrize("name", ROWS)
def test_layers(results: dict[str, list[str]], name: str) -> None:
    assert not results[name], "\n".join(results[name])
