"""silero-vad: its TorchScript, served by torch, and its ONNX file say the same of silence and of a tone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway import api
from gateway.core.artifact import NATIVE
from tests import models, zoo
from tests.environments import environment

WINDOW, CONTEXT, RATE = 512, 64, 16000
SECONDS = np.arange(WINDOW) / RATE
SOUNDS = {
    "silence": np.zeros(WINDOW, np.float32),
    "a tone of 440 Hz": (0.5 * np.sin(2 * np.pi * 440 * SECONDS)).astype(np.float32),
    "a loud tone of 100 Hz": np.sin(2 * np.pi * 100 * SECONDS).astype(np.float32),
}


def row(name: str) -> zoo.Row:
    return next(row for row in zoo.rows() if row.name == name)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment("torch")
    models.base_python()
    out = tmp_path_factory.mktemp("silero") / "out"
    made = api.convert(row("silero voice activity, TorchScript").fetch(), out)
    assert made.kind == NATIVE
    return out


@pytest.mark.slow
@pytest.mark.parametrize("sound", SOUNDS)
def test_script_and_onnx_agree(sound: str, artifact: Path) -> None:
    """Each call from the beginning: the ONNX file is handed the empty state and context that the script has."""
    import onnxruntime

    heard = SOUNDS[sound][None]
    session = onnxruntime.InferenceSession(
        str(row("silero voice activity").fetch()), providers=["CPUExecutionProvider"]
    )
    given = {
        "input": np.concatenate([np.zeros((1, CONTEXT), np.float32), heard], 1),
        "state": np.zeros((2, 1, 128), np.float32),
        "sr": np.array(RATE, np.int64),
    }
    expected = session.run(None, given)[0]
    with api.load(artifact) as model:
        found = model.run({"x": heard})["output"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6, strict=True)
