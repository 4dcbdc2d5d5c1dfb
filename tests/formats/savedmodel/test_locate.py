"""The first wrong operator of a SavedModel is named: tensors of the judge are spoilt, so that it seems to be one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import Jobs as JobSettings
from gateway.convert.again import _at
from gateway.convert.jobs import Jobs
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.formats.base import Source, all_formats
from gateway.formats.tasks import Subject
from gateway.process import wire
from gateway.process.environments import Environments
from tests import models
from tests.environments import environment
from tests.formats.in_base import source_of

X = np.random.default_rng(3).standard_normal((2, 3, 8, 9)).astype(np.float32)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is found for each spoilt tensor of the judge; all in one Job each of the judge and of the search."""
    environment("tensorflow")
    models.base_python()
    onnx = all_formats()["onnx"]
    source: Source = source_of(models.folder("conv"))
    match = onnx.match(source)
    assert match is not None
    found: dict[str, Any] = {}
    with Jobs(Environments(), JobSettings(), tmp_path_factory.mktemp("jobs"), 1 << 20, onnx) as jobs:
        subject = Subject(onnx, source, match, ModelOptions())
        read = [str(source.root)]
        told = subject.to_json() | {"target": "onnx"}
        made = jobs.run("gateway.formats.tasks:convert", told, environment="base", stage="convert", read=read)
        asked = jobs.folder / "inputs"
        wire.save(asked, {"data": X})
        arguments = subject.to_json() | {"signature": made.value["signatures"][0], "inputs": str(asked)}
        nodes = jobs.run(
            "gateway.formats.tasks:nodes", arguments, environment="base", stage="nodes", read=[*read, str(asked)]
        )
        for spoilt in ("", "relu1", "fc1"):
            rows = [_spoilt(row, spoilt, jobs.folder) for row in nodes.value["nodes"]]
            more = {
                "artifact": str(made.out / "model.onnx"),
                "quantised": False,
                "seen": {**nodes.value, "nodes": rows},
            }
            result = jobs.run(
                "gateway.formats.savedmodel.locate:locate", arguments | more, environment="tensorflow", stage="locate",
                read=[str(made.out), str(asked), *(row["file"] for row in rows)],
            )  # fmt: skip
            found[spoilt] = result.value
    return found


def _spoilt(row: dict[str, Any], node: str, folder: Path) -> dict[str, Any]:
    """The judge's row, its numbers doubled where it is that node's."""
    if row["node"] != node:
        return row
    tensors: Tensors = {name: array * 2 for name, array in wire.load(Path(row["file"])).items()}
    wire.save(folder / f"spoilt-{node}", tensors)
    return {**row, "file": str(folder / f"spoilt-{node}")}


@pytest.mark.slow  # three processes of TensorFlow
@pytest.mark.environment("tensorflow")
def test_the_wrong_operator_is_named(answers: dict[str, Any]) -> None:
    assert answers[""]["why"].startswith("none of "), "nothing is wrong where nothing was spoilt"
    for node, operator in (("relu1", "Relu"), ("fc1", "Gemm")):
        value = answers[node]
        assert (value["node"], value["operator"]) == (node, operator)
        assert value["comparison"]["problem"].startswith("max error")
        assert value["alone"]["problem"].startswith("max error"), "alone it differs too"
        assert f"{node} ({operator}): max error" in _at(value)
