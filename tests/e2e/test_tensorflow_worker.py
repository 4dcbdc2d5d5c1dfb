"""A model with the target `savedmodel` beside the same one as ONNX: the same answers over gRPC and REST, and no
request is lost when its worker is killed under load.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.core.dtypes import Array
from gateway.protocols.pool import message
from gateway.protocols.tensors import decode, encode
from tests import models
from tests.e2e.running import Running, gateway, until
from tests.environments import environment

X = np.random.default_rng(5).standard_normal((2, 3, 8, 9)).astype(np.float32)
REST, GRPC = "REST", "gRPC"


def over_grpc(channel: grpc.Channel, model: str, output: str = "r") -> Array:
    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name = model
    request.inputs["data"].MergeFromString(encode(X))
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    response = message("tensorflow.serving.PredictResponse")()
    response.MergeFromString(call(request.SerializeToString(), timeout=60))
    return decode(response.outputs[output], 1 << 20)


def over_rest(running: Running, model: str) -> Array:
    status, answer = running.predict(model, {"data": X.tolist()})
    assert status == 200, answer
    return np.asarray(answer["outputs"], np.float32)


def load(running: Running, channel: grpc.Channel, ended: threading.Event, answers: list[Any]) -> list[threading.Thread]:
    """Two clients that go on asking, each in its dialect; an answer is an array or what was raised."""

    def ask(dialect: str) -> None:
        while not ended.is_set():
            try:
                answers.append(over_grpc(channel, "tf") if dialect == GRPC else over_rest(running, "tf"))
            except Exception as error:
                answers.append(error)

    clients = [threading.Thread(target=ask, args=(dialect,)) for dialect in (REST, GRPC)]
    for client in clients:
        client.start()
    return clients


@pytest.mark.environment("tensorflow")
def test_a_savedmodel_answers_as_onnx_does_and_its_worker_may_die(tmp_path: Path) -> None:
    environment("tensorflow")
    for name, said in (("plain", ""), ("tf", 'target = "savedmodel"\n')):
        folder = tmp_path / "repo" / name
        shutil.copytree(models.folder("conv"), folder / "1")
        (folder / "model.toml").write_text(said + '[[outputs]]\nname = "r"\n')
    with gateway(tmp_path) as running, grpc.insecure_channel(running.addresses["grpc"]) as channel:
        running.wait("plain", 1, "AVAILABLE")
        running.wait("tf", 1, "AVAILABLE", 150)
        expected = over_grpc(channel, "plain")
        np.testing.assert_allclose(over_grpc(channel, "tf"), expected, rtol=1e-5, atol=1e-6, strict=True)
        np.testing.assert_allclose(over_rest(running, "tf"), over_rest(running, "plain"), rtol=1e-5, atol=1e-6)
        placement = running.call("/api/v1/models/tf/versions/1")[1]["placement"]
        assert placement["runtime"].startswith("tensorflow ")
        worker = int(placement["pid"])
        answers: list[Any] = []
        ended = threading.Event()
        clients = load(running, channel, ended, answers)
        try:
            until(lambda: len(answers) > 10, 30)
            os.kill(worker, signal.SIGKILL)
            killed, before = time.monotonic(), len(answers)
            until(lambda: running.call("/api/v1/models/tf/versions/1")[1]["placement"].get("pid") != str(worker), 60)
            running.wait("tf", 1, "AVAILABLE", 60)
            until(lambda: len(answers) > before + 10, 60)
            print(f"answers again {time.monotonic() - killed:.1f} s after the worker was killed")
        finally:
            ended.set()
            for client in clients:
                client.join(60)
        metrics = running.call("/metrics", port="metrics")[1]
    assert [answer for answer in answers if not isinstance(answer, np.ndarray)] == []
    for answer in answers:
        np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)
    assert 'model_gateway_worker_deaths_total{model="tf"} 1.0' in metrics
