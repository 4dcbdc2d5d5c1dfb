"""Every module of Torch7, every rule of its traps: our conversion against our interpreter and OpenCV."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.modeltoml import ModelOptions, TensorOption
from tests.environments import environment
from tests.formats.darknet.harness import run_child
from tests.formats.torch7.rows import CASES, Case
from tests.formats.torch7.writer import save


def options(case: Case) -> ModelOptions:
    """What the owner says of the inputs."""
    many = case.sizes if isinstance(case.sizes, list) else [case.sizes]
    names = ["input"] if len(many) == 1 else [f"input_{place}" for place in range(1, len(many) + 1)]
    return ModelOptions(inputs=tuple(TensorOption(n, shape=(None, *s)) for n, s in zip(names, many) if s))


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, list[str]]]:
    environment("base"), environment("opencv")
    with tempfile.TemporaryDirectory(prefix="t7-rows-") as text:
        root, rows = Path(text), dict[str, dict[str, Any]]()
        for number, (name, case) in enumerate(CASES.items()):
            folder = root / str(number)
            save(folder / "drop" / "net.t7", case.make(), case.form)
            rows[name] = {
                "folder": str(folder / "drop"), "refused": case.refused, "warned": case.warned,
                "options": options(case).to_json(), "opencv": "" if case.refused else str(folder),
            }  # fmt: skip
        found = run_child("tests.formats.mmdnn.child:rows", {"format": "torch7", "rows": rows}, "base", root).value
        asked = {name: row for name, row in rows.items() if row["opencv"] and (Path(row["opencv"]) / "ours").exists()}
        said = run_child("tests.formats.mmdnn.child:opencv", {"format": "torch7", "rows": asked}, "opencv", root).value
        for name, why in said.items():
            if CASES[name].opencv and why:
                found[name].append(f"OpenCV was to judge: {why}")
            if not CASES[name].opencv and not why.startswith("OpenCV does not judge it"):
                found[name].append(f"OpenCV was not to judge, and said: {why or 'the same'}")
        yield found


@pytest.mark.parametrize("name", CASES)
def test_layers(results: dict[str, list[str]], name: str) -> None:
    assert not results[name], "\n".join(results[name])
