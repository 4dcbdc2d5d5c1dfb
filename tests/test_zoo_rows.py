"""tests/zoo.py: models made to order in an Environment, and folders of several files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import JobError
from tests import zoo


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODEL_GATEWAY_TEST_CACHE", str(tmp_path / "cache"))


def row(function: str, **more: str) -> zoo.Row:
    make = f"tests.zoo_child:{function}"
    return zoo.Row("a", "onnx", "passed", make=make, environment="base", arguments=dict(more), toml="# of the row\n")


def test_a_made_row() -> None:
    folder = row("write_text", text="hello").fetch()
    assert (folder / "below" / "a.txt").read_text() == "hello"
    assert (folder / "model.toml").read_text() == "# of the row\n"
    assert row("write_text", text="hello").fetch() == folder
    assert row("write_text", text="other").fetch() != folder


def test_a_maker_that_writes_nothing() -> None:
    with pytest.raises(JobError, match="wrote nothing"):
        row("write_nothing").fetch()


def test_what_a_row_keeps() -> None:
    made = row("write_text", text="x")
    assert zoo.Row(**made.kept()) == made
    assert set(made.kept()) == {"name", "format", "verdict", "make", "environment", "arguments", "toml"}


def test_the_sources_of_a_maker_are_those_it_imports_too() -> None:
    found = {path.relative_to(zoo.TESTS).as_posix() for path in zoo._sources(zoo.TESTS / "test_zoo_rows.py")}
    assert {"test_zoo_rows.py", "zoo.py", "environments.py", "formats/mxnet/harness.py"} <= found
