"""Signatures for pictures and tf.Examples: what cannot be is refused, what is written answers as TensorFlow does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gateway.core.modeltoml import ModelOptions
from gateway.core.preprocess import Preprocess
from gateway.core.savedmodel import SavedModelOptions, read_savedmodel
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.savedmodel import further
from tests import models
from tests.e2e.running import Running, gateway
from tests.environments import environment

ROOT = Path(__file__).parents[3]
DIGITS, SAMPLES = ROOT / "model_repo" / "digits" / "1", ROOT / "docs" / "samples" / "digits"
CLIENT = ROOT / "tests" / "protocols" / "clients" / "signatures_client.py"
PICTURE = TensorSpec("image", "float32", (None, 3, 8, 8))
FREE = TensorSpec("image", "float32", (None, 3, None, None))
SCORES = TensorSpec("p", "float32", (None, 4))
WANTED = SavedModelOptions(pictures="pics", classify="classify")


def shown(*inputs: TensorSpec, output: TensorSpec = SCORES) -> Signature:
    return Signature(inputs or (PICTURE,), (output,))


REFUSED = {
    "no word on how a picture becomes the input": (
        shown(),
        ModelOptions(savedmodel=WANTED),
        (),
        ["needs [preprocess]"],
    ),
    "no size to bring a picture to": (
        shown(FREE),
        ModelOptions(preprocess=Preprocess(), savedmodel=SavedModelOptions(pictures="p")),
        (),
        ["needs one size"],
    ),
    "an input that is no picture": (
        shown(TensorSpec("x", "float32", (None, 4))),
        ModelOptions(preprocess=Preprocess(), savedmodel=SavedModelOptions(pictures="p")),
        (),
        ["needs an input of [?, ., ., .]"],
    ),
    "features of any size, and labels of another number, at once": (
        shown(FREE),
        ModelOptions(savedmodel=SavedModelOptions(classify="c")),
        ("a", "b"),
        ["image:float32[?,3,?,?] would need any", "2 labels", "4 classes"],
    ),
    "scores that are no output": (
        shown(),
        ModelOptions(savedmodel=SavedModelOptions(classify="c", scores="q")),
        (),
        ["no output 'q'"],
    ),
    "a regression of several values": (
        shown(),
        ModelOptions(savedmodel=SavedModelOptions(regress="r")),
        (),
        ["regress shows [?] or [?,1]"],
    ),
    "scores that are no numbers": (
        shown(output=TensorSpec("p", "int64", (None, 4))),
        ModelOptions(savedmodel=SavedModelOptions(classify="c")),
        (),
        ["scores of [?, classes]"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    plain, options, labels, says = REFUSED[name]
    with pytest.raises(ConversionError) as error:
        further.signatures(plain, options, labels)
    assert [part for part in says if part not in error.value.message] == []


def test_what_clients_see() -> None:
    options = ModelOptions(preprocess=Preprocess(), savedmodel=SavedModelOptions(pictures="pics", classify="c"))
    made = further.signatures(shown(), options, ("a", "b", "c", "d"))
    text = {
        what: f"{signature.name} {signature.method.rpartition('/')[2]}: "
        + " -> ".join(", ".join(map(str, side)) for side in (signature.inputs, signature.outputs))
        for what, signature in made.items()
    }
    assert text == {
        "pictures": "pics predict: image_bytes:string[?] -> p:float32[?,4]",
        "classify": "c classify: inputs:string[?] -> classes:string[?,4], scores:float32[?,4]",
    }


@pytest.mark.parametrize(
    ("table", "says"),
    [
        pytest.param({"pictures": "p", "trainable": True}, "pictures: not together with trainable", id="not trainable"),
        pytest.param(
            {"classify": "serving_default"}, "two signatures are called 'serving_default'", id="two of one key"
        ),
        pytest.param({"scores": "p"}, "scores is said without classify or regress", id="scores of nothing"),
        pytest.param({"pictures": 3}, "pictures is 3, expected text", id="no text"),
    ],
)
def test_what_cannot_be_together(table: dict[str, object], says: str) -> None:
    problems: list[str] = []
    read_savedmodel(table, problems)
    assert len(problems) == 1
    assert says in problems[0]


def drop(repository: Path) -> None:
    """The digits with pictures and classes, y = x / 2 + 2 as a regression."""
    shutil.copytree(DIGITS, repository / "digits" / "1")
    said = (DIGITS / "model.toml").read_text()
    keys = '[savedmodel]\npictures = "serving_pictures"\nclassify = "classify"\n'
    (repository / "digits" / "1" / "model.toml").write_text(f'target = "savedmodel"\n{said}\n{keys}')
    (repository / "half" / "1").mkdir(parents=True)
    shutil.copy(models.model("half_plus_two"), repository / "half" / "1" / "model.onnx")
    (repository / "half" / "1" / "model.toml").write_text(
        'target = "savedmodel"\n[savedmodel]\nregress = "regress"\nsignatures = ["serving_default"]\n'
    )


def folder(running: Running, model: str) -> Path:
    """Where the store has the artifact of version 1."""
    found = [
        path.parent
        for path in (running.store / "artifacts").glob("*/gateway.json")
        if any(spec["name"] == model for spec in json.loads(path.read_text())["signatures"][0]["inputs"])
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.slow  # two conversions by TensorFlow and a client with TensorFlow
@pytest.mark.environment("tensorflow")
@pytest.mark.environment("client-tfs")
def test_pictures_classes_and_regressions_through_the_gateway_and_in_tensorflow(tmp_path: Path) -> None:
    environment("tensorflow")
    python = environment("client-tfs").python
    drop(tmp_path / "repo")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in SAMPLES.glob("[0-9].png"):
        shutil.copy(path, pictures)
    np.save(pictures / "rows.npy", np.load(DIGITS / "test" / "input_0.npy")[:5])
    with gateway(tmp_path) as running:
        for name in ("digits", "half"):
            running.wait(name, 1, "AVAILABLE", timeout_s=170)
        command = [python, CLIENT, running.addresses["grpc"], folder(running, "image"), folder(running, "x"), pictures]
        done = subprocess.run(command, capture_output=True, text=True, timeout=170)
        assert done.returncode == 0, done.stderr[-4000:]
        found = json.loads(done.stdout)
    near = [key for key in found if key.endswith(("as TensorFlow", "as plain"))]
    assert {key: found.pop(key) < 1e-6 for key in near} == dict.fromkeys(near, True)
    labels = (DIGITS / "labels.txt").read_text().split()
    assert found == {
        "pictures": list(range(10)),
        "labels": labels,
        "classes of TensorFlow": labels,
        "methods": {
            "__saved_model_init_op": "",
            "serving_default": "tensorflow/serving/predict",
            "serving_pictures": "tensorflow/serving/predict",
            "classify": "tensorflow/serving/classify",
        },
        "regress": [2.5, 3.0, 4.5],
        "regress of TensorFlow": [2.5, 3.0, 4.5],
        "warm-up": ["predict_log", "serving_default", "float32", [1, 1, 8, 8]],
        "warm-up is taken": ["logits", "probabilities"],
        "assets": labels,
        "preprocess": "gray",
    }
