"""A part of ONNX's own node tests, as SavedModels: every forty-third. All of them: `make certify`.

Slow: onnx makes all of its cases before one can be picked. `make certify-sample` does others each day.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gateway.process.spawn import GATEWAY
from tests import models
from tests.environments import environment

SCRIPT = Path(__file__).with_name("node_cases.py")
STEP = 43


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    python = environment("tensorflow").python
    folder = tmp_path_factory.mktemp("nodes")
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(interpreter: Path, *arguments: str) -> None:
        command = [str(interpreter), str(SCRIPT), str(GATEWAY), *arguments]
        subprocess.run(command, check=True, timeout=170, capture_output=True, text=True, env=environ)

    run(models.base_python(), "list", str(folder / "cases.json"), str(STEP))
    run(python, "build", str(folder / "cases.json"), str(folder))
    run(python, "check", str(folder / "cases.json"), str(folder))
    found: dict[str, str] = json.loads((folder / "check.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.environment("tensorflow")
def test_saved_files_answer_as_the_standard_says(results: dict[str, str]) -> None:
    assert len(results) >= 24
    assert {name: said for name, said in results.items() if said} == {}
