"""Damaged files of frameworks' own formats: an error of ours that names the file, or a model; never another error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.process.environments import Environments
from gateway.process.job import JobSpec, run_job
from tests.environments import environment

TORCH, PADDLE = "tests.formats.torch.makers:made", "tests.formats.paddle.makers:made"
ROWS: dict[str, tuple[str, dict[str, Any], str, str, int]] = {  # maker, arguments, file, Environment, most that may end
    "TorchScript": (TORCH, {"net": "script flow"}, "m.pt", "torch", 0),
    "ExportedProgram": (TORCH, {"net": "export fixed"}, "m.pt2", "torch", 0),
    "Paddle, the program": (PADDLE, {"net": "cnn", "old": True}, "m.pdmodel", "paddle", 0),
    "Paddle, its parameters": (PADDLE, {"net": "cnn", "old": True}, "m.pdiparams", "paddle", 0),
    "Paddle PIR, the program": (PADDLE, {"net": "cnn"}, "m.json", "paddle", 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_damage_is_told(name: str, tmp_path: Path) -> None:
    maker, arguments, file, where, ending = ROWS[name]
    environment(where)
    told = {"maker": maker, "arguments": arguments, "damage": file}
    spec = JobSpec("tests.formats.damage:tried", told, where, 600.0, 0, "test", address_space=False)
    tests = Path(__file__).parents[1]
    job = run_job(spec, environments=Environments(), folder=tmp_path / "job", packages={"tests": tests})
    found = job.value["counts"]
    print(f"{name}: {found}")
    assert job.value["sentences"] == []
    assert found.get("ended", 0) <= ending
    assert found["told"] >= 64
