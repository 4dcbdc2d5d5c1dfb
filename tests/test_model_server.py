# ruff: noqa: E501  a row of a table reads better on one line
"""The commands of multi-model-server and TorchServe: config.properties, flags, start and stop."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gateway import model_server, properties
from gateway.errors import SettingsError
from tests.e2e import affine

PROPERTIES = r"""
# a comment
! another
inference_address=http://0.0.0.0:9080
management_address : http://127.0.0.1:9081
metrics_address http://0.0.0.0:9082
model_store=/models/${STORE_OF_TEST}
load_models=ALL
max_request_size=1000
default_response_timeout = 7
job_queue_size=5
allowed_urls=https://models.example/public/.*,\
   https://s3\.amazonaws\.com/model-server/.*
number_of_netty_threads=4
some_new_key=1
"""


def test_what_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_OF_TEST", "mine")
    file = tmp_path / "config.properties"
    file.write_text(PROPERTIES)
    found, notes = properties.read(file)
    assert found == {
        "host": "0.0.0.0",
        "http_port": 9080,
        "management_host": "127.0.0.1",
        "admin_port": 9081,
        "metrics_port": 9082,
        "management.model_store": "/models/mine",
        "load_models": "all",
        "limits.max_body_bytes": 1000,
        "limits.request_s": 7.0,
        "batch.max_queue": 5,
        "management.allowed_urls": "https://models.example/public/,https://s3.amazonaws.com/model-server/",
    }
    assert notes == [
        "number_of_netty_threads: without effect: one event loop serves all",
        "some_new_key: not known.",
    ]


def test_every_key_is_in_one_table() -> None:
    tables = [set(properties.MAPPED), set(properties.IGNORED), set(properties.REFUSED)]
    assert sum(map(len, tables)) == len(set.union(*tables))


WRONG = {
    "a key store": ("keystore=x", "keystore: Java key stores are not read"),
    "CORS": ("cors_allowed_origin=*", "cors_allowed_origin: CORS is not answered"),
    "an address that is none": ("inference_address=8080", "inference_address: '8080' is not an address"),
    "a port that is none": ("inference_address=http://h:99999", "is not an address"),
    "an address nobody has": ("inferense_address=http://h:1", "inferense_address: not known. Did you mean 'inference_address'?"),
    "two hosts": ("inference_address=http://a:1\nmetrics_address=http://b:2", "have different hosts"),
    "a number that is none": ("job_queue_size=many", "job_queue_size: 'many' is not what is expected here"),
    "a pattern that is more than a beginning": (r"allowed_urls=https://.*\.example/.*", "allowed_urls: 'https://.*.example/.*' is not the beginning"),
    "a pattern of any scheme": ("allowed_urls=http(s)?://h/.*", "is not the beginning of an address"),
    "all at once": ("keystore=x\njob_queue_size=many", "keystore: Java key stores are not read; give private_key_file and certificate_file; config.properties: job_queue_size"),
}  # fmt: skip


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG.keys())
def test_what_is_refused(row: tuple[str, str], tmp_path: Path) -> None:
    text, says = row
    file = tmp_path / "config.properties"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        properties.read(file)
    assert says in caught.value.message


def test_any_url_is_not_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "config.properties"
    file.write_text("allowed_urls=file://.*|http(s)?://.*\n")
    found, notes = properties.read(file)
    assert found == {"management.allowed_urls": ""}
    assert "name the ones you trust" in notes[0]


def flags(name: str, *argv: str) -> tuple[dict[str, Any], list[str]]:
    return model_server.settings_of(name, model_server._parser(name).parse_args(["--start", *argv]))


def test_flags(tmp_path: Path) -> None:
    (tmp_path / "b.onnx").write_bytes(b"")
    (tmp_path / "a").mkdir()
    usual = {"grpc_port": 0, "http_port": 8080, "admin_port": 8081, "metrics_port": 8082, "repository": "-"}
    assert flags("multi-model-server", "--models", "m=/x/m.onnx", "n=/y") == (
        {**usual, "management.torchserve": False, "management.models": "m=/x/m.onnx,n=/y"},
        [],
    )
    found, notes = flags(
        "torchserve", "--model-store", str(tmp_path), "--models", "all", "--ncs", "--disable-token-auth"
    )
    assert found == {
        **usual,
        "management.torchserve": True,
        "management.model_store": str(tmp_path),
        "management.models": "a,b.onnx",
    }
    assert notes == [
        "--no-config-snapshots: registered models are kept beside the store",
        "without effect: --disable-token-auth",
    ]
    with pytest.raises(SettingsError, match="needs --model-store"):
        flags("torchserve", "--models", "all")


def test_start_and_stop(tmp_path: Path) -> None:
    """`mxnet-model-server --start --models NAME=PATH` comes back when it listens; --stop ends it."""
    config = tmp_path / "config.properties"
    config.write_text(
        "".join(f"{name}_address=http://127.0.0.1:0\n" for name in ("inference", "management", "metrics"))
    )
    env = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "MODEL_GATEWAY_ENVS": os.environ.get("MODEL_GATEWAY_ENVS", str(Path.home() / ".cache/model-gateway/envs")),
        "MODEL_GATEWAY_WATCH__SETTLE_S": "0.1",
    }
    (tmp_path / "model-gateway-model-server-0.pid").write_text("1 12345")  # somebody else's process

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        command = str(Path(sys.executable).with_name("mxnet-model-server"))
        return subprocess.run([command, *argv], capture_output=True, text=True, timeout=90, env=env, check=False)

    model = affine.write(tmp_path / "half.onnx", 2.0)
    begun = ("--start", "--models", f"half={model}", "--mms-config", str(config))
    assert run("--stop").stdout == "Model server is not currently running.\n"
    started = run(*begun)
    try:
        assert started.returncode == 0, started.stderr
        addresses = json.loads(started.stdout.partition("started: ")[2].splitlines()[0])
        assert "already running" in run(*begun).stdout
        end = time.monotonic() + 60
        answer: tuple[int, bytes] = (0, b"")
        while answer[0] != 200 and time.monotonic() < end:
            connection = http.client.HTTPConnection(addresses["http"], timeout=20)
            connection.request("POST", "/predictions/half", b"[[1, 2]]", {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = (response.status, response.read())
            connection.close()
            time.sleep(0.1)
        assert (answer[0], json.loads(answer[1])) == (200, [[2.5, 3.0]])
    finally:
        stopped = run("--stop")
    assert stopped.stdout == "Model server stopped.\n"
    assert not list(tmp_path.glob("*.pid"))
    assert run("--stop").stdout == "Model server is not currently running.\n"


def test_what_is_wrong_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.properties"
    config.write_text("keystore=x\n")
    assert model_server.main(["--start", "--mms-config", str(config)]) == 2
    assert "Java key stores are not read" in capsys.readouterr().err
    assert model_server.main(["--version"]) == 0
    assert "as multi-model-server" in capsys.readouterr().out
    assert model_server.torchserve([]) == 2
