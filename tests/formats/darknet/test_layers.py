"""Every layer of Darknet, every rule of the trap table: our conversion against OpenCV and our interpreter."""

from __future__ import annotations

import pytest

from tests.formats.darknet.harness import run_table
from tests.formats.darknet.rows import CASES


@pytest.fixture(scope="module")
def results() -> dict[str, list[str]]:
    return run_table(CASES)


@pytest.mark.parametrize("name", CASES)
def test_layers(results: dict[str, list[str]], name: str) -> None:
    assert not results[name], "\n".join(results[name])
