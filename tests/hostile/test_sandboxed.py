"""The same loaders, as naive as before, inside the sandbox: no sample reaches its canary or its secret.

This is what stands behind the checks of each format: a loader that is fooled harms nobody.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.process import sandbox_levels
from gateway.process.environments import Environments
from gateway.process.job import JobSpec, run_job
from tests.environments import environment
from tests.hostile.planted import Planted, put
from tests.hostile.samples import SAMPLES, Sample, Spot
from tests.repository.trees import plant

TESTS = Path(__file__).parent.parent
REACHING = [one for one in SAMPLES if one.fires in ("reads", "writes") and not one.note]
HELD_BY_THE_DROP = "onnx weights: hard link"
"""A hard link in a folder that may be read is the file itself, and no sandbox can tell. A drop with one is refused,
and every drop is copied by content before anything opens it (tests/e2e/test_hostile.py)."""
CONTROLS = {"base": "pickle os.system", "torch": "torch zip", "trees": "joblib", "tensorflow": "savedmodel WriteFile"}
"""One sample of each Environment whose canary is in the Job's own folder: that one must fire, or nothing was run."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandboxed")


@cache
def answers(name: str, level: int, place: Path) -> dict[str, tuple[Planted, dict[str, Any]]]:
    """All samples of one Environment, opened one after the other by one Job at that level."""
    found = environment(name)
    reached = sandbox_levels.reached(found.python)
    if reached.level < level:
        pytest.skip(f"sandbox level L{level} is not reached here: {reached.missing[level]}")
    root = place / f"{name}-{level}"
    planted = [put(sample, root) for sample in REACHING if sample.environment == name]
    control = next(sample for sample in SAMPLES if sample.name == CONTROLS[name])
    plant(root / "drops" / "control", control.make(Spot(Path("inside"), root, "")))
    asked = [{"loader": one.sample.loader, "path": str(one.main)} for one in planted]
    asked.append({"loader": control.loader, "path": str(root / "drops" / "control" / control.main)})
    spec = JobSpec(
        "tests.hostile.loaders:job",
        {"environment": name, "asked": asked},
        name,
        timeout_s=150.0,
        read=(str(root / "drops"),),
        address_space=False,
    )
    packages = {"tests": TESTS}
    result = run_job(
        spec, environments=Environments(), folder=root / "job", packages=packages, min_level=level, max_level=level
    )
    assert result.sandbox.startswith(f"L{level}")
    assert (root / "job" / "inside").exists(), f"the loaders did not work: {result.value['answers'][-1]}"
    return {one.sample.name: (one, answer) for one, answer in zip(planted, result.value["answers"][:-1], strict=True)}


@pytest.mark.parametrize("level", [2, 3])
@pytest.mark.parametrize("sample", REACHING, ids=lambda sample: sample.name)
def test_it_reaches_nothing(sample: Sample, level: int, place: Path) -> None:
    planted, answer = answers(sample.environment, level, place)[sample.name]
    assert planted.fired(answer) == (sample.name == HELD_BY_THE_DROP), answer
