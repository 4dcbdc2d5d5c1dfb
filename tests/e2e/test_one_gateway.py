"""One gateway, one network three ways (MXNet, ONNX, SavedModel), every official client: the same numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.running import Running, gateway
from tests.environments import environment

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "docs" / "samples" / "digits" / "7.png"
MODELS = ("from-mxnet", "from-onnx", "as-savedmodel")
SCRIPT = ROOT / "tests" / "protocols" / "clients" / "digits_clients.py"
CLIENTS = {
    "client-tfs": ("tensorflow-serving-api",),
    "client-ovms": ("ovmsclient grpc", "ovmsclient http"),
    "client-triton": ("tritonclient http", "tritonclient grpc", "tritonclient aio"),
    "client-kserve": ("kserve rest", "kserve grpc"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    environment("tensorflow")
    root = tmp_path_factory.mktemp("three")
    digits = ROOT / "model_repo" / "digits" / "1"
    shutil.copytree(digits, root / "repo" / "from-mxnet" / "1")
    shutil.copytree(digits, root / "repo" / "as-savedmodel" / "1")
    settings = root / "repo" / "as-savedmodel" / "1" / "model.toml"
    settings.write_text('target = "savedmodel"\n' + settings.read_text())
    with gateway(root) as live:
        live.wait("from-mxnet", 1, "AVAILABLE", 150)
        # The ONNX file that came of it, dropped as somebody else's model.
        made = next(p for p in (root / "store").rglob("model.onnx") if (p.parent / "gateway.json").exists())
        beside = root / "from-onnx"
        beside.mkdir()
        for name in ("model.onnx", "gateway.json"):  # the second has the public names, labels and preprocessing
            shutil.copy(made.with_name(name), beside / name)
        beside.rename(root / "repo" / "from-onnx")
        live.wait("from-onnx", 1, "AVAILABLE", 150)
        live.wait("as-savedmodel", 1, "AVAILABLE", 150)
        yield live


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """float32 [1, 1, 8, 8] in 0..1."""
    grey = Image.open(SAMPLE).convert("L").resize((8, 8), Image.Resampling.BOX)
    return (np.asarray(grey, np.float32) / 255)[None, None]


@pytest.fixture(scope="module")
def answers(running: Running, picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("picture") / "picture.npy"
    np.save(file, picture)
    found: dict[str, Any] = {}
    for name in CLIENTS:
        command = [
            environment(name).python,
            SCRIPT,
            file,
            running.addresses["grpc"],
            running.addresses["http"],
            *MODELS,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr[-3000:]
        found |= json.loads(done.stdout)
    return found


@pytest.mark.environment("tensorflow")
@pytest.mark.timeout(600)
def test_what_serves_them(running: Running) -> None:
    rows = {name: running.call(f"/api/v1/models/{name}/versions/1", port="admin")[1] for name in MODELS}
    assert {name: row["verification"]["verdict"] for name, row in rows.items()} == dict.fromkeys(MODELS, "passed")
    runtimes = {name: row["placement"]["runtime"].split()[0] for name, row in rows.items()}
    assert runtimes == {"from-mxnet": "onnxruntime", "from-onnx": "onnxruntime", "as-savedmodel": "tensorflow"}


@pytest.mark.environment("tensorflow")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("client", [client for clients in CLIENTS.values() for client in clients])
def test_every_official_client_gets_the_same_numbers(answers: dict[str, Any], client: str) -> None:
    first = np.asarray(answers["tensorflow-serving-api"]["from-mxnet"], np.float32)
    assert first.shape == (1, 10)
    assert int(first.argmax()) == 7
    for model in MODELS:
        np.testing.assert_allclose(
            np.asarray(answers[client][model], np.float32), first, rtol=1e-4, atol=1e-6, strict=True
        )


@pytest.mark.environment("tensorflow")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", MODELS)
def test_curl_as_people_type_it(running: Running, model: str, picture: np.ndarray, tmp_path: Path) -> None:
    """TensorFlow Serving's, KServe's and multi-model-server's REST, by the program curl."""

    def curl(*arguments: str) -> Any:
        done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    rows = json.dumps({"inputs": picture.tolist()})
    tfs = curl("-d", rows, f"{running.http}/v1/models/{model}:predict")["outputs"]["probabilities"]
    tensor = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": picture.reshape(-1).tolist()}
    v2 = curl("-d", json.dumps({"inputs": [tensor]}), f"{running.http}/v2/models/{model}/infer")
    kserve = next(output["data"] for output in v2["outputs"] if output["name"] == "probabilities")
    np.testing.assert_allclose(np.asarray(kserve), np.asarray(tfs)[0], rtol=1e-5, atol=1e-7, strict=True)
    classes = curl("-T", str(SAMPLE), f"{running.http}/predictions/{model}")
    assert max(classes, key=lambda row: row["probability"])["class"] == "7"
