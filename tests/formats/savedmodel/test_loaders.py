"""The digits as a SavedModel in the hands of a TensorFlow user: each loader's numbers, and training that goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import Jobs as JobSettings
from gateway.convert.jobs import Jobs
from gateway.core.dtypes import Array
from gateway.core.modeltoml import parse
from gateway.core.savedmodel import SavedModelOptions
from gateway.formats.base import Source, all_formats
from gateway.formats.tasks import Subject
from gateway.process.environments import Environments
from gateway.process.spawn import GATEWAY
from tests import models
from tests.e2e.running import Running, gateway
from tests.environments import environment

SCRIPT, HOPS = (Path(__file__).with_name(name) for name in ("loaders.py", "hop_many.py"))
DIGITS = Path(__file__).parents[3] / "model_repo" / "digits" / "1"
KEY = "digits"
LOADERS = ("functions", "session", "command_line", "c_api", "keras_layer")
OUTPUTS = {"probabilities": "output_0.npy", "logits": "output_1.npy"}
SHAPED = {"norm1_fwd/gamma", "prelu1_fwd/slopes", "prelu2_fwd/slopes"}
"""Weights that the conversion has made or shaped: gamma fixed to 1, slopes of a PReLU."""


class Seen:
    """The two SavedModels, and what the script has said of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _convert(
            folder,
            plain=SavedModelOptions((KEY,)),
            trainable=SavedModelOptions((KEY, "serving_default"), trainable=True),
        )
        np.savez(folder / "in.npz", image=np.load(DIGITS / "test" / "input_0.npy"))
        # The next digit each: what the model does not say yet.
        np.save(folder / "labels.npy", (expected("probabilities").argmax(1) + 1) % 10)
        job = {
            "key": KEY,
            "inputs": str(folder / "in.npz"),
            "check": {str(folder / "plain"): ["serve"], str(folder / "trainable"): ["serve"]},
            "train": str(folder / "trainable"),
            "labels": str(folder / "labels.npy"),
            "out": str(folder / "tuned"),
        }
        (folder / "job.json").write_text(json.dumps(job))
        command = [str(environment("tensorflow").python), str(SCRIPT), str(folder / "job.json")]
        done = subprocess.run(
            command, timeout=170, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        )
        assert done.returncode == 0, done.stderr[-2000:]
        self.said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])


def expected(name: str) -> Array:
    """MXNet's answers, as they lie beside the model."""
    found: Array = np.load(DIGITS / "test" / OUTPUTS[name])
    return found


def _convert(folder: Path, **wanted: SavedModelOptions) -> None:
    """One ONNX file, and a SavedModel of it for each wish, all in one process of TensorFlow."""
    options = parse((DIGITS / "model.toml").read_text())
    source = Source(DIGITS, ("digits-0000.params", "digits-symbol.json"))
    match = all_formats()["mxnet"].match(source)
    assert match is not None
    # As a conversion to a SavedModel has it: dropout and momentum are kept for training.
    told = replace(options, target="savedmodel", savedmodel=SavedModelOptions(trainable=True))
    with Jobs(Environments(), JobSettings(), folder / "jobs", 1 << 20, all_formats()["mxnet"]) as jobs:
        arguments = Subject(all_formats()["mxnet"], source, match, told).to_json() | {"target": "onnx"}
        made = jobs.run(
            "gateway.formats.tasks:convert", arguments, environment="base", stage="convert", read=[str(DIGITS)]
        )
        asked = [
            {
                "arguments": {
                    "folder": str(made.out),
                    "conversion": made.value,
                    "options": replace(options, target="savedmodel", savedmodel=savedmodel).to_json(),
                    "labels": [],
                    "target": "savedmodel",
                },
                "out": str(folder / name),
            }
            for name, savedmodel in wanted.items()
        ]
        (folder / "hops.json").write_text(json.dumps(asked))
        command = [environment("tensorflow").python, HOPS, GATEWAY, folder / "hops.json"]
        done = subprocess.run(command, timeout=170, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    environment("tensorflow")
    models.base_python()
    return Seen(tmp_path_factory.mktemp("loaders"))


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("model", ["plain", "trainable"])
def test_every_loader_gives_the_numbers_of_the_source(seen: Seen, model: str, loader: str) -> None:
    said = seen.said["check"][str(seen.folder / model)][loader]
    if (model, loader) == ("trainable", "keras_layer"):
        assert "if there is more than one MetaGraph" in said, "TFSMLayer has no way to name tags"
        return
    assert said == ""
    with np.load(f"{seen.folder / model}.{loader}.npz") as answers:
        assert set(answers.files) == set(OUTPUTS)
        for name in OUTPUTS:
            # what verification holds every artifact to: 1e-4 of the greatest
            limit = 1e-4 * max(1.0, float(np.abs(expected(name)).max()))
            np.testing.assert_allclose(answers[name], expected(name), rtol=0, atol=limit, strict=True)


@pytest.mark.environment("tensorflow")
def test_weights_have_the_names_of_the_source_and_no_optimiser_moves_statistics(seen: Seen) -> None:
    told = seen.said["train"]
    names = {node["name"] for node in json.loads((DIGITS / "digits-symbol.json").read_text())["nodes"]}
    assert set(told["weights"]) - names == SHAPED
    assert told["moving"] == [f"norm{n}_running_{what}" for n in (1, 2) for what in ("mean", "var")]


@pytest.mark.environment("tensorflow")
def test_twenty_steps_lower_the_loss(seen: Seen) -> None:
    told = seen.said["train"]
    assert len(told["losses"]) == 20
    assert told["losses"][-1] < told["losses"][0] / 5
    assert told["moved"], "moving statistics follow the batches"
    assert told["dropped"], "dropout is at work: two passes differ"
    assert told["gradients"], "tf.saved_model.load and GradientTape reach every weight"


@pytest.mark.slow  # a gateway, and three more processes of TensorFlow
@pytest.mark.environment("tensorflow")
def test_what_was_trained_comes_back_as_a_new_version(seen: Seen, tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    shutil.copytree(DIGITS, repository / "digits" / "1")
    labels = np.load(seen.folder / "labels.npy")
    pictures = np.load(DIGITS / "test" / "input_0.npy").tolist()
    with gateway(tmp_path) as running:
        running.wait("digits", 1, "AVAILABLE")
        found = [right(running, pictures, labels)]
        shutil.copytree(seen.folder / "tuned", tmp_path / "2")
        (tmp_path / "2").rename(repository / "digits" / "2")
        row = running.wait("digits", 2, "AVAILABLE")
        found.append(right(running, pictures, labels))
        assert row["verdict"] == "passed"  # the SavedModel that came back has become ONNX, judged by TensorFlow
        assert running.stop() == 0
    assert found[0] == 0, "the labels are what version 1 does not say"
    assert found[1] > len(labels) * 0.8


def right(running: Running, pictures: Any, labels: Array) -> int:
    status, answer = running.predict("digits", {"image": pictures})
    assert status == 200, answer
    return int((np.array(answer["outputs"]["logits"]).argmax(1) == labels).sum())
