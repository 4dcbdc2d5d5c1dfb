"""gateway.api: its documentation runs, and what it refuses it refuses with errors of ours."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

from gateway import api, pictures
from gateway.core.preprocess import Preprocess
from gateway.errors import InvalidTensor, UnknownFormat, UsageError
from tests import models
from tests.e2e import affine

ROOT = Path(__file__).parents[1]


def test_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.base_python()
    monkeypatch.chdir(ROOT)
    found = api.inspect("model_repo/digits/1")
    assert found["inputs"], found
    artifact = api.convert("model_repo/digits/1", tmp_path / "first")
    signature = artifact.signatures[0]
    assert signature.preprocess is not None
    preprocess = Preprocess.from_json(signature.preprocess)
    pixels = pictures.load(ROOT / "docs" / "samples" / "digits" / "7.png", preprocess, signature.inputs[0])
    test = doctest.DocTestFinder(recurse=False).find(
        api, "gateway.api", globs={"out": tmp_path / "out", "pixels": pixels}
    )
    outcome = doctest.DocTestRunner(verbose=False).run(test[0])
    assert outcome.attempted >= 6
    assert outcome.failed == 0


def test_a_loaded_model_checks_what_it_is_given(tmp_path: Path) -> None:
    models.base_python()
    with api.load(affine.write(tmp_path / "m.onnx", 1.0)) as model:
        x = np.array([[2.0, 4.0]], np.float32)
        np.testing.assert_array_equal(model.run({"x": x})["y"], np.array([[2.0, 3.0]], np.float32), strict=True)
        with pytest.raises(InvalidTensor, match="'X' is not one of this model's"):
            model.run({"X": x})
        with pytest.raises(InvalidTensor, match="dtype float64, expected float32"):
            model.run({"x": x.astype(np.float64)})
        with pytest.raises(InvalidTensor, match=r"shape \[1,3\], expected \[\?,2\]"):
            model.run({"x": np.ones((1, 3), np.float32)})


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an artifact of the gateway"):
        api.convert(affine.write(tmp_path / "m.onnx", 1.0), tmp_path / "full")
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("hello")
    with pytest.raises(UnknownFormat, match=r"m\.onnx"):
        api.load(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="does not exist"):
        api.inspect(tmp_path / "none.onnx")
