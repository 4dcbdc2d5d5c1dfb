"""`gateway code`: the file runs on its own and answers as the source does; what is not written is refused by name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from gateway import api
from gateway.errors import ConversionError, UsageError
from gateway.formats.code import ENVIRONMENTS, identifier
from tests import models
from tests.environments import environment

DIGITS = Path(__file__).parents[3] / "model_repo" / "digits" / "1"
OUTPUTS = {"probabilities": "output_0.npy", "logits": "output_1.npy"}
KNOWN = {"tensorflow": "tf.raw_ops.Conv2D(input=", "pytorch": "F.conv2d("}


@pytest.mark.slow  # a conversion, and two processes of the framework each
@pytest.mark.environment("tensorflow")
@pytest.mark.environment("torch")
@pytest.mark.parametrize("to", ENVIRONMENTS)
def test_the_file_runs_on_its_own_and_answers_as_the_source_does(to: str, tmp_path: Path) -> None:
    python = environment(ENVIRONMENTS[to]).python
    models.base_python()
    made = api.code(DIGITS, tmp_path / "out", to=to)
    assert [comparison.problem for comparison in made.comparisons] == ["", ""]
    assert KNOWN[to] in made.code.read_text()
    np.savez(tmp_path / "in.npz", image=np.load(DIGITS / "test" / "input_0.npy"))
    command = [python, made.code, tmp_path / "in.npz", tmp_path / "found.npz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "found.npz") as found:
        assert set(found.files) == set(OUTPUTS)
        for name, file in OUTPUTS.items():
            expected = np.load(DIGITS / "test" / file)
            # what verification holds every artifact to: 1e-4 of the greatest
            limit = 1e-4 * max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=limit, strict=True)


@pytest.mark.slow  # as above
@pytest.mark.environment("tensorflow")
@pytest.mark.environment("torch")
@pytest.mark.parametrize(
    ("to", "model", "said"),
    [("tensorflow", "branches", "If"), ("pytorch", "branches", "no PyTorch code is written for If")],
)
def test_what_is_not_written_is_refused_by_name(to: str, model: str, said: str, tmp_path: Path) -> None:
    environment(ENVIRONMENTS[to])
    with pytest.raises(ConversionError, match=said):
        api.code(models.folder(model), tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("to", "out", "said"),
    [("caffe", "new", "'caffe': expected one of tensorflow, pytorch"), ("pytorch", "", "exists; expected a new")],
)
def test_wrong_usage(to: str, out: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError) as error:
        api.code(DIGITS, tmp_path / out if out else tmp_path, to=to)
    assert said in error.value.message


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("conv1_fwd", "conv1_fwd"),
        ("/layers.0/MatMul:0", "layers_0_MatMul_0"),
        ("0", "t0"),
        ("lambda", "lambda_"),
        ("W", "W_2"),
        ("é/ü", "t"),
    ],
)
def test_names_that_python_takes(name: str, found: str) -> None:
    taken = {"W"}
    assert identifier(name, taken) == found
    assert found in taken
