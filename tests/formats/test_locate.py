"""The node that is named when the artifact breaks off, and when the conversion left the wrong one out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs import in_base


def test_the_node_that_breaks_off_is_named(tmp_path: Path) -> None:
    found = in_base("tests.formats.breaking:search", {"sizes": [4, 2]}, tmp_path / "job").value
    assert (found["node"], found["operator"]) == ("shape", "Fold")
    assert found["problem"].startswith("onnxruntime breaks off: ")
    assert "Reshape" in found["problem"]


def test_a_node_that_runs_and_is_wrong_is_named_as_before(tmp_path: Path) -> None:
    found = in_base("tests.formats.breaking:search", {"sizes": [3, 2]}, tmp_path / "job").value
    assert found["node"] == "shape"
    assert found["problem"] == "shape is [3, 2], the reference has [2, 3]"


HIDDEN = {
    "a node that was left out, and was not nothing": (["turn"], "turn"),
    "the first of two that hand the same on": (["turn", "bend"], "turn"),
    "not what leads somewhere else": (["aside", "turn"], "turn"),
    "a node that was left out, and was nothing": (["same"], "minus"),
    "nothing was left out": ([], "minus"),
}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    rows = {name: hidden for name, (hidden, _) in HIDDEN.items()}
    found: dict[str, dict[str, str]] = in_base(
        "tests.formats.breaking:swallowed", {"rows": rows}, tmp_path_factory.mktemp("hidden") / "job"
    ).value
    return found


@pytest.mark.parametrize("name", HIDDEN)
def test_a_node_that_the_artifact_left_out_is_named(name: str, named: dict[str, dict[str, str]]) -> None:
    node = HIDDEN[name][1]
    assert named[name]["node"] == node
    said = "the artifact has no tensor of it, and 'y' behind it differs"
    assert (said in named[name]["problem"]) is (node != "minus")
