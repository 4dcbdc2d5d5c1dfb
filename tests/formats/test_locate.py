"""The node that is named when the artifact breaks off: the one that does not run, not those behind it."""

from __future__ import annotations

from pathlib import Path

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
