"""The command tensorflow_model_server on base paths: versions, labels, the polled file, a reload, its metrics."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.protocols.pool import message
from tests.e2e import affine
from tests.e2e.running import Running, until


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


class Server(Running):
    """As Running, of the other command: what it printed, and how to ask it."""

    def __init__(self, root: Path, store: Path, *flags: str) -> None:
        settings = {"MODEL_GATEWAY_WATCH__SETTLE_S": "0.2", "MODEL_GATEWAY_HOST": "127.0.0.1"}
        settings["MODEL_GATEWAY_STORE"] = str(store)
        self.log_path = root / "server.log"
        self._log = self.log_path.open("ab")
        command = [sys.executable, "-m", "gateway.tensorflow_model_server", "--file_system_poll_wait_seconds=0.1"]
        self.process = subprocess.Popen(
            [*command, f"--port={free_port()}", *flags],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **settings},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it printed no line; its log: {self.log}"
        self.addresses = json.loads(line)

    def k(self, path: str) -> Any:
        """What the model adds, or the status of the refusal."""
        status, body = self.call(f"/v1/models/{path}:predict", {"inputs": [[0.0, 0.0]]})
        return body["outputs"][0][0] if status == 200 else status


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(root: Path, store: Path, *flags: str) -> Iterator[Server]:
    running = Server(root, store, *flags)
    try:
        yield running
    finally:
        running.kill()


def config(root: Path, *models: str) -> str:
    """The file, replaced as tools do it: written beside and renamed."""
    (root / "next").write_text("model_config_list {\n" + "\n".join(f"config {{ {text} }}" for text in models) + "\n}")
    (root / "next").rename(root / "models.config")
    return str(root / "models.config")


def test_a_polled_file_with_policies_labels_and_a_reload(tmp_path: Path, store: Path) -> None:
    for version, k in ((1, 1.0), (2, 2.0)):
        affine.write(tmp_path / "tf" / "m" / f"{version:08}" / "m.onnx", k)
    base = f'name: "m" base_path: "{tmp_path / "tf" / "m"}"'
    file = config(tmp_path, base + " model_version_policy { all {} }")
    (tmp_path / "monitoring").write_text('prometheus_config { enable: true path: "/m/p" }')
    flags = [f"--model_config_file={file}", f"--monitoring_config_file={tmp_path / 'monitoring'}"]
    with server(tmp_path, store, *flags, "--model_config_file_poll_wait_seconds=1") as running:
        until(lambda: (running.k("m/versions/1"), running.k("m/versions/2")) == (1.0, 2.0), 60, lambda: running.log)
        assert running.k("m") == 2.0
        assert running.k("m/labels/stable") == 400
        labels = ' version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
        config(tmp_path, base + " model_version_policy { all {} }" + labels)
        until(lambda: running.k("m/labels/stable") == 1.0, 30, lambda: running.log)
        assert running.k("m/labels/canary") == 2.0
        config(tmp_path, base + " model_version_policy { specific { versions: 1 } }" + labels)
        until(lambda: running.k("m/versions/2") == 404, 30, lambda: running.log)
        assert running.k("m") == 1.0
        (tmp_path / "models.config").write_text("wrong")
        until(lambda: "What is served stays served" in running.log, 30, lambda: running.log)
        assert running.k("m") == 1.0
        affine.write(tmp_path / "tf" / "n" / "5" / "m.onnx", 2.0)
        reload(running, "n", tmp_path / "tf" / "n")
        assert running.k("n") == 2.0
        until(lambda: running.k("m") == 404, 30)
        status, page = running.call("/m/p")
        assert status == 200
        assert ':tensorflow:serving:request_count{model_name="n",status="OK"}' in page
        assert running.stop() == 0


def reload(running: Server, name: str, path: Path) -> None:
    request = message("tensorflow.serving.ReloadConfigRequest")()
    request.config.model_config_list.config.add(name=name, base_path=str(path), model_platform="tensorflow")
    with grpc.insecure_channel(running.addresses["grpc"]) as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
        answer = message("tensorflow.serving.ReloadConfigResponse").FromString(
            call(request.SerializeToString(), timeout=60)
        )
    assert answer.status.error_code == 0


def test_one_base_path_waits_for_its_first_version(tmp_path: Path, store: Path) -> None:
    base = tmp_path / "tf" / "half"
    with server(tmp_path, store, "--model_name=half", f"--model_base_path={base}") as running:
        text = "Could not find any versions of model half. the base path of 'half',"
        until(lambda: running.call("/v1/models/half")[1].get("error", "").startswith(text), 30, lambda: running.log)
        affine.write(base / "00000123" / "m.onnx", 1.0)
        until(lambda: running.k("half") == 1.0, 60, lambda: running.log)
        _, body = running.call("/v1/models/half")
        state = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        # One port for all dialects: the answer carries KServe's keys too (docs/protocols.md).
        assert body == {"model_version_status": [state], "name": "half", "ready": True}
        assert running.call("/monitoring/prometheus/metrics")[0] == 404, "there only with a monitoring file"
        assert running.stop() == 0


def test_a_wrong_file_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text("improperly formatted file")
    command = [sys.executable, "-m", "gateway.tensorflow_model_server", f"--model_config_file={tmp_path}/models.config"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--model_config_file" in done.stderr
    assert "not a text of tensorflow.serving.ModelServerConfig: 1:1" in done.stderr
