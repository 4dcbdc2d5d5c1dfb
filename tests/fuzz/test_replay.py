"""Every input that the fuzzers start from, or once found, goes through its front door: only our errors come out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import seeds
from tests.fuzz.replay import wrong
from tests.fuzz.targets import IN_BASE, TARGETS, _kserve, _predictor
from tests.jobs import in_base


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in IN_BASE])
def test_only_our_errors_come_out(name: str) -> None:
    found = list(seeds.inputs(name))
    assert found
    assert wrong(name, found) == {}


def test_the_models_behind_the_protocols_are_there() -> None:
    """A target takes our errors for an answer: one that its own set-up raised would hide that nothing is tried."""
    assert {"m0", "two"} <= {status.name for status in _predictor().models()}
    assert _kserve()


@pytest.mark.parametrize("name", IN_BASE)
def test_only_our_errors_come_out_in_base(name: str, tmp_path: Path) -> None:
    answer = in_base("tests.fuzz.replay:replay", {"target": name}, tmp_path / "job")
    assert answer.value["inputs"] > 0
    assert answer.value["wrong"] == {}
