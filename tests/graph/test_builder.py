"""GraphBuilder, in Environment base: what it builds runs, what is misspelt is refused where it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.jobs import in_base


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_base("tests.formats.in_base:graph_builder", {}, tmp_path_factory.mktemp("builder") / "job").value


def test_names_are_unique(built: dict[str, Any]) -> None:
    assert built["names"] == ["fc", "fc_2", "halves_0", "halves_1"]


def test_the_graph_runs(built: dict[str, Any]) -> None:
    assert built["score"] == [[1.5, 1.5], [6.0, 6.0]]
    assert built["difference"] == [[0.0], [0.0]]


def test_free_dimensions_and_types_are_written(built: dict[str, Any]) -> None:
    assert built["inputs"] == [["data", ["batch", 3]]]
    assert built["shapes"] == [["batch", 1], ["batch", 2]] or built["shapes"][1] == [None, 2]


ERRORS = {
    "misspelt input": "ConversionError: toy: node 'Relu' reads 'dta', which no node makes.",
    "output nobody makes": "ConversionError: toy: output 'scor' is made by no node. Did you mean 'score'?",
    "input name twice": "ConversionError: toy: the tensor name 'data' is empty or taken.",
    "old opset": "ValueError: opset 11 is below 17",
    "invalid graph": "CorruptModel: toy: the graph that was built is not valid ONNX:",
}


@pytest.mark.parametrize(("name", "words"), ERRORS.items(), ids=ERRORS.keys())
def test_errors(name: str, words: str, built: dict[str, Any], tmp_path: Path) -> None:
    assert built["errors"].get(name, "").startswith(words), built["errors"]
