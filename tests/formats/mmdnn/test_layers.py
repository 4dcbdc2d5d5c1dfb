"""Every operator of the IR, every rule of its ambiguities: our conversion against the float64 interpreter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.modeltoml import ModelOptions, TensorOption
from tests.environments import environment
from tests.formats.darknet.harness import run_child
from tests.formats.mmdnn.rows import CASES


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, list[str]]]:
    environment("base")
    with tempfile.TemporaryDirectory(prefix="ir-rows-") as text:
        root, rows = Path(text), {}
        for number, (name, case) in enumerate(CASES.items()):
            folder = case.make().save(root / str(number), "json" if number % 2 else "pb")
            inputs = (TensorOption("data", shape=(None, *case.sizes)),) if case.sizes else ()
            options = ModelOptions(inputs=inputs).to_json()
            rows[name] = {"folder": str(folder), "refused": case.refused, "warned": case.warned, "options": options}
        job = {"format": "mmdnn-ir", "rows": rows}
        yield run_child("tests.formats.mmdnn.child:rows", job, "base", root).value


@pytest.mark.parametrize("name", CASES)
def test_layers(results: dict[str, list[str]], name: str) -> None:
    assert not results[name], "\n".join(results[name])
