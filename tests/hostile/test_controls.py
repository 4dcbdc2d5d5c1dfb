"""The hostile corpus is hostile: every sample fires when its format's own loader opens it with nothing around it."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.environments import environment
from tests.hostile import loaders
from tests.hostile.planted import Planted, put
from tests.hostile.samples import SAMPLES, Sample

ROOT = Path(__file__).parent.parent.parent
ARMED = [one for one in SAMPLES if one.fires and not one.note]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@cache
def answers(name: str, place: Path) -> dict[str, tuple[Planted, dict[str, Any]]]:
    """All samples of one Environment, opened one after the other by a plain process of it."""
    python = environment(name).python
    planted = [put(sample, place) for sample in ARMED if sample.environment == name]
    asked = [{"loader": one.sample.loader, "path": str(one.main)} for one in planted]
    keys = {f"SECRET_{one.spot.token}": one.spot.token for one in planted}
    done = subprocess.run(
        [python, loaders.__file__],
        input=json.dumps({"environment": name, "asked": asked}),
        capture_output=True,
        text=True,
        timeout=150,
        env={**keys, "PATH": "/usr/bin:/bin", "HOME": str(place), "TMPDIR": str(place), "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])["answers"]
    return {one.sample.name: (one, answer) for one, answer in zip(planted, found, strict=True)}


@pytest.mark.parametrize("sample", ARMED, ids=lambda sample: sample.name)
def test_it_fires_when_nothing_holds_it(sample: Sample, place: Path) -> None:
    planted, answer = answers(sample.environment, place)[sample.name]
    assert planted.fired(answer), answer
