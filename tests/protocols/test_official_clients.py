"""TensorFlow Serving's own stubs and ovmsclient, each in its own process and Environment, against live servers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.policy import Versions
from gateway.serving.control import Wanted
from tests.environments import environment
from tests.protocols.double import Running, running

CLIENTS = Path(__file__).parent / "clients"
SPEC = {"half": [[2.5], [3.0], [4.5]]}


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running() as live:
        yield live


def talk(servers: Running, environment_name: str, script: str) -> Any:
    python = environment(environment_name).python
    command = [python, CLIENTS / script, servers.addresses["grpc"], servers.addresses["http"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_tensorflow_serving_api(servers: Running) -> None:
    found = talk(servers, "client-tfs", "tfs_client.py")
    answered = ["float32", "half_plus_two", 123, "serving_default"]
    assert found["content"] == [SPEC["half"], *answered]
    assert found["typed"] == [SPEC["half"], *answered]
    assert found["one for all"] == [[[3.0], [3.0], [3.0]], *answered]
    assert found["strings"] == ["ff00", "636166c3a9"]
    assert found["metadata"]["version"] == 123
    shape = {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False}
    assert found["metadata"]["signature_def"]["serving_default"] == {
        "inputs": {"x": {"name": "x:0", "dtype": "DT_FLOAT", "tensor_shape": shape}},
        "outputs": {"y": {"name": "y:0", "dtype": "DT_FLOAT", "tensor_shape": shape}},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert found["status"] == [[123, 30, 0, ""], [122, 30, 0, ""]]
    assert found["missing"] == ["NOT_FOUND", "Servable not found for request: Latest(nobody)"]
    assert found["classify"] == [[["cat", 3.5], ["dog", 5.5], ["café", 7.5]], 1, "serving_default"]
    assert found["regress"] == [3.0]
    assert found["multi"] == [[3.0, 4.0], [6.0]]
    assert found["reload"] == [0, [["/tensorflow/serving/request_count", 0]]]
    row = Wanted("m", "reload", "/models/m", versions=Versions(specific=(3, 5)), labels={"stable": 3})
    assert servers.control.calls == [("reload", [row])]
    assert found["reload refused"] == [
        "INVALID_ARGUMENT",
        "Illegal to list model m multiple times in config list",
    ]
    assert found["rest regress"] == {"results": [3.0]}
    assert found["rest"] == {"predictions": SPEC["half"]}


def test_ovmsclient(servers: Running) -> None:
    found = talk(servers, "client-ovms", "ovms_client.py")
    available = {"state": "AVAILABLE", "error_code": 0, "error_message": ""}
    for transport in ("grpc", "rest"):
        assert found[transport]["predict"] == [SPEC["half"], [3, 1]]
        assert found[transport]["status"] == {"123": available, "122": available}
        kind, text = found[transport]["missing"]
        assert kind == "ModelNotFoundError"
        assert "Servable not found for request: Latest(nobody)" in text
    tensor = {"shape": [-1, 1], "dtype": "DT_FLOAT"}
    assert found["grpc"]["metadata"] == {"model_version": 123, "inputs": {"x": tensor}, "outputs": {"y": tensor}}
    assert found["rest"]["metadata"]["model_spec"]["version"] == "123"


def test_kserve(servers: Running) -> None:
    found = talk(servers, "client-kserve", "kserve_client.py")
    half = ["mine", "half_plus_two", [3, 1], [2.5, 3.0, 4.5]]
    expected = {
        "live": True,
        "ready": True,
        "model ready": [True, False],
        "half_plus_two": half,
        "id_int64": ["mine", "id_int64", [2], [-(2**63), 2**63 - 1]],
        "id_float16": ["mine", "id_float16", [2], [1.5, 65504.0]],
        "id_string": ["mine", "id_string", [2], ["a", "caf\u00e9"]],
        "id_bool": ["mine", "id_bool", [2], [True, False]],
    }
    assert found["grpc"] == expected | {"typed": half}
    missing = found["rest"].pop("missing")
    assert found["rest"] == expected | {"json": half}
    assert "Request for unknown model: 'nobody' is not found" in missing[1]
