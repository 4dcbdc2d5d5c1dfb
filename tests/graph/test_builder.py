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


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return in_base("tests.formats.in_base:graph_builder_keeps", {}, tmp_path_factory.mktemp("kept") / "job").value


def test_a_renamed_tensor_is_renamed_where_it_is_read(kept: dict[str, Any]) -> None:
    assert kept["renamed"] == ["fc_output", "data_2"]
    assert kept["nodes"] == [
        [["data", "half"], ["scale"]],
        [["scale", "large"], ["fc_output"]],
        [["fc_output", "fc_output"], ["data_2"]],
    ]
    assert kept["refused"] == "toy: no node makes 'half', so it cannot become 'quarter'."


def test_what_no_output_needs_is_not_written(kept: dict[str, Any]) -> None:
    assert "unread" not in kept["weights"]
    assert not [node for node in kept["nodes"] if "dead" in node[1]]


def test_constants_keep_their_shape_and_are_no_inputs(kept: dict[str, Any]) -> None:
    assert kept["weights"] == {"half": [], "large": [3, 4096]}
    assert kept["inputs"] == ["data"]


def test_a_file_written_in_pieces_is_the_model(tmp_path: Path) -> None:
    found = in_base("tests.formats.in_base:graph_builder_saves", {}, tmp_path / "job").value
    assert found == {"same": True, "wrong": [], "count": 30, "weights": True}
