"""Operators at sizes that are known at run time only, in every order of axes: onnxruntime's numbers, or nearly.

In `make test` each fourth row; CI runs all. The last run is without oneDNN, whose kernels take what TensorFlow's
own refuse: grouped convolutions among them.
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

SCRIPT = Path(__file__).with_name("dynamic_cases.py")


def run(interpreter: Path, verb: str, folder: Path, pattern: str, **variables: str) -> dict[str, str]:
    """What each row says: "" where all is well."""
    command = [str(interpreter), str(SCRIPT), str(GATEWAY), verb, str(folder), pattern]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"} | variables
    subprocess.run(command, check=True, timeout=170, capture_output=True, text=True, env=environ)
    found: dict[str, str] = json.loads((folder / f"{verb}.json").read_text())
    return found


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize(
    ("kernels", "pattern", "least"),
    [
        pytest.param("1", "every 4", 42, id="oneDNN, each fourth"),
        pytest.param("1", "", 170, id="oneDNN", marks=pytest.mark.slow),
        pytest.param("0", "group|strides", 15, id="without oneDNN, groups", marks=pytest.mark.slow),
    ],
)
def test_answers_of_free_sizes_are_those_of_onnxruntime(tmp_path: Path, kernels: str, pattern: str, least: int) -> None:
    python = environment("tensorflow").python
    refused = run(models.base_python(), "reference", tmp_path, pattern)
    assert {name: said for name, said in refused.items() if said} == {}
    found = run(python, "answer", tmp_path, pattern, TF_ENABLE_ONEDNN_OPTS=kernels)
    assert len(found) >= least
    assert {name: said for name, said in found.items() if said} == {}
