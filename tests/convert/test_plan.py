"""Which code and which packages answer for an artifact: what the store's key is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.convert.plan import WRITERS, code_digest, converter_name
from gateway.core.artifact import FROZEN, ONNX, SAVEDMODEL
from gateway.formats.base import all_formats


def written(root: Path) -> tuple[Path, ...]:
    (root / "build" / "ops").mkdir(parents=True)
    (root / "build" / "ops" / "nn.py").write_text("one = 1")
    (root / "hop.py").write_text("two = 2")
    return root / "build", root / "hop.py"


CHANGES: dict[str, Callable[[Path], object]] = {
    "an operator's function": lambda root: (root / "build" / "ops" / "nn.py").write_text("one = 3"),
    "a new file": lambda root: (root / "build" / "more.py").write_text(""),
    "a file by another name": lambda root: (root / "build" / "ops" / "nn.py").rename(root / "build" / "nn.py"),
    "the task itself": lambda root: (root / "hop.py").write_text("two = 3"),
    "text moved from one file to the next": lambda root: [
        (root / "build" / "ops" / "nn.py").write_text("one = 1two"),
        (root / "hop.py").write_text(" = 2"),
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_code_that_differs_in(change: str, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    places = written(before), written(after)
    assert code_digest(places[0]) == code_digest(places[1])
    CHANGES[change](after)
    code_digest.cache_clear()
    assert code_digest(places[0]) != code_digest(places[1])


def test_a_folder_without_code_is_no_code(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot be told apart"):
        code_digest((tmp_path,))


@pytest.mark.parametrize("target", [SAVEDMODEL, FROZEN])
def test_the_tensorflow_builder_is_in_the_name_of_what_it_makes(target: str) -> None:
    source = all_formats()["mxnet"]
    digest = code_digest(next(iter(WRITERS.values())))[:16]
    assert converter_name(source, target) == f"{converter_name(source, ONNX)}, {target} {digest}"
