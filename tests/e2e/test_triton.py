"""A Triton model repository and a real gateway; tritonclient over http, grpc and aio, each in its own process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.running import Running, gateway, place, until
from tests.environments import environment
from tests.models import model

CLIENT = Path(__file__).parents[1] / "protocols/clients/triton_client.py"
A, B = np.arange(32).reshape(2, 16), np.ones((2, 16), int)
SUM, DIFFERENCE = (A + B).reshape(-1).tolist(), (A - B).reshape(-1).tolist()
KINDS = {"simple": "TYPE_INT32", "simple_int8": "TYPE_INT8", "simple_string": "TYPE_STRING"}
SEQUENCE = "sequence_batching: sequence models are not served"


def config(name: str, kind: str, more: str = "") -> str:
    """As Triton's examples have it."""
    sides = {"input": ("INPUT0", "INPUT1"), "output": ("OUTPUT0", "OUTPUT1")}
    tensors = "\n".join(
        f"{side} [ {', '.join(f'{{ name: {json.dumps(n)} data_type: {kind} dims: [ 16 ] }}' for n in names)} ]"
        for side, names in sides.items()
    )
    return f'name: "{name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8\n{tensors}\n{more}\n'


def write_repository(root: Path) -> None:
    for name, kind in KINDS.items():
        place(model(name), root / name / "1" / "model.onnx")
        (root / name / "config.pbtxt").write_text(config(name, kind))
    place(model("simple"), root / "simple_sequence" / "1" / "model.onnx")
    more = "sequence_batching { max_sequence_idle_microseconds: 5000000 }"
    (root / "simple_sequence" / "config.pbtxt").write_text(config("simple_sequence", "TYPE_INT32", more))


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("triton")
    write_repository(root / "repo")
    settings = {"MODEL_GATEWAY_MODEL_CONTROL": "explicit", "MODEL_GATEWAY_SHARED_MEMORY": "true"}
    with gateway(root, env=settings) as running:
        yield running


@pytest.mark.parametrize("transport", ["http", "grpc", "aio"])
def test_tritonclient(triton: Running, transport: str) -> None:
    python = environment("client-triton").python
    addresses = (triton.addresses["grpc"], triton.addresses["http"])
    command = [python, CLIENT, transport, *addresses, model("half_plus_two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    check_health_and_index(found)
    check_inference(found, transport)
    check_shared_memory(found)
    check_settings(found)
    check_control(found)


def check_health_and_index(found: dict[str, Any]) -> None:
    assert found["live"] == [True, True]
    assert "system_shared_memory" in found["extensions"]
    assert not {"cuda_shared_memory", "sequence"} & set(found["extensions"])
    before = {row["name"]: row for row in found["index before"]}
    assert before.keys() == {*KINDS, "simple_sequence"} | ({"mine"} & before.keys())
    after = {row["name"]: row for row in found["index after"]}
    assert all(after[name] == {"name": name, "version": "1", "state": "READY"} for name in KINDS)
    assert after["simple_sequence"]["state"] == "UNAVAILABLE"
    assert SEQUENCE in after["simple_sequence"]["reason"]
    assert found["ready with a failed model"] is True
    assert found["model ready"] == [True, False, False]


def check_inference(found: dict[str, Any], transport: str) -> None:
    assert found["metadata"]["platform"] == "onnxruntime_onnx"
    shapes = {tensor["name"]: tensor["shape"] for tensor in found["metadata"]["inputs"]}
    assert {name: [int(size) for size in shape] for name, shape in shapes.items()} == {
        "INPUT0": [-1, 16],
        "INPUT1": [-1, 16],
    }
    assert (found["config"]["max_batch_size"], found["config"]["name"]) == (8, "simple")
    assert found["infer"] == {"OUTPUT0": ["int32", [2, 16], SUM], "OUTPUT1": ["int32", [2, 16], DIFFERENCE]}
    assert found["answered by"] == ["mine", "simple", "1"]
    assert found["one output"] == [["int32", [2, 16], DIFFERENCE], True]
    assert found["int8"] == ["int8", [2, 16], SUM]
    assert found["strings"] == ["string", [2, 16], [str(n) for n in DIFFERENCE]]
    assert found["compressed"] == ["int32", [2, 16], SUM]
    assert found["classes"] == ["string", [2, 2], ["16:15", "15:14", "32:15", "31:14"]]
    assert "inference request batch-size must be <= 8 for 'simple'" in found["too many rows"][1]
    assert "sequences are not served" in found["sequence id"][1]
    if transport == "http":
        assert found["json"] == found["async"] == ["int32", [2, 16], SUM]
        assert found["json strings"] == ["string", [2, 16], [str(n) for n in SUM]]
        return
    first, error, last = found["stream"]
    assert first == ["0", ["int32", [2, 16], SUM]]
    assert "Request for unknown model: 'nobody' is not found" in error
    assert last == ["2", ["int32", [2, 16], SUM]]


def check_shared_memory(found: dict[str, Any]) -> None:
    (region,) = found["shm status"]
    assert (region["name"], int(region["byte_size"])) == ("r", 256)
    assert found["shm"] == ["int32", [1, 16], SUM[:16]]
    assert "Invalid offset + byte size for shared memory region: 'r'" in found["shm beyond"][1]
    assert "shared memory region 'r' already in manager" in found["shm twice"][1]
    assert "Unable to open shared memory region: 's'" in found["shm unknown"][1]
    assert "no-such-key" not in found["shm unknown"][1]
    assert "Unable to find shared memory region: 'r'" in found["shm gone"][1]


def check_settings(found: dict[str, Any]) -> None:
    assert "5" in json.dumps(found["trace"])
    assert "log_verbose_level" in json.dumps(found["log"])
    assert "log file location can not be updated" in found["log wrong"][1]
    statistics = found["statistics"]
    counts = {key: int(value.get("count", 0)) for key, value in statistics["inference_stats"].items()}
    assert (statistics["name"], statistics["version"]) == ("simple", "1")
    assert counts["success"] == counts["queue"] == counts["compute_infer"] > 0
    assert counts["fail"] == 0, "what never reached the model is not the model's failure"
    rows = {int(batch["batch_size"]): int(batch["compute_infer"]["count"]) for batch in statistics["batch_stats"]}
    assert sum(size * runs for size, runs in rows.items()) == int(statistics["inference_count"])
    assert sum(rows.values()) == int(statistics["execution_count"])


def check_control(found: dict[str, Any]) -> None:
    assert "Request for unknown model: 'simple' is not found" in found["not loaded"][1] or (
        "has no available versions" in found["not loaded"][1]
    )
    assert SEQUENCE in found["sequence"][1]
    assert "failed to load 'nobody', failed to poll from model repository" in found["absent"][1]
    assert (found["loaded files"]["name"], found["loaded files"]["versions"]) == ("mine", ["3"])
    assert "inference request batch-size must be <= 1 for 'simple'" in found["another config"][1]
    assert "failed to load 'simple'" in found["wrong config"][1]
    assert "data_type is float32, the model's is int32" in found["wrong config"][1]
    assert found["own config again"] == ["int32", [2, 16], SUM]
    assert "Request for unknown model: 'simple'" in found["unloaded"][1]


def test_the_metrics_page_has_what_was_counted(triton: Running) -> None:
    assert triton.call("/v2/repository/models/simple/load", b"")[0] == 200
    tensors = [{"name": n, "datatype": "INT32", "shape": [1, 16], "data": [1] * 16} for n in ("INPUT0", "INPUT1")]
    body = {"inputs": tensors}
    before = counted(triton)
    for _ in range(3):
        assert triton.call("/v2/models/simple/infer", body)[0] == 200
    after = counted(triton)
    for name in ("request_success", "count", "exec_count"):
        assert after[name] - before.get(name, 0) == 3
    assert after["compute_infer_duration_us"] >= before.get("compute_infer_duration_us", 0)


def counted(running: Running) -> dict[str, int]:
    _, text = running.call("/metrics", port="metrics")
    rows = (line.rpartition(" ") for line in text.splitlines() if line.startswith("nv_inference_"))
    return {
        name.partition("{")[0].removeprefix("nv_inference_"): int(value)
        for name, _, value in rows
        if 'model="simple"' in name
    }


POLICIES = (
    ("all { }", {1, 2, 3}),
    ("specific { versions: [ 1, 3 ] }", {1, 3}),
    ("latest { num_versions: 2 }", {2, 3}),
    ("latest { }", {3}),
)


def test_the_version_policy_of_config_pbtxt(shared: Running) -> None:
    """Which versions serve follows the file, also when it changes while they serve."""
    folder = shared.repository / "triton-versions"
    for number in (1, 2, 3):
        place(model("half_plus_two"), folder / str(number) / "model.onnx")
    for policy, wanted in POLICIES:
        (folder / "config.pbtxt").write_text(f"version_policy {{ {policy} }}\n")
        until_served(shared, "triton-versions", wanted)


def until_served(running: Running, name: str, wanted: set[int]) -> None:
    until(lambda: serving(running, name) == wanted, 60, lambda: f"wanted {wanted}: {running.versions(name)}")


def serving(running: Running, name: str) -> set[int]:
    """Versions that answer, once nothing is on its way any more."""
    rows = running.versions(name)
    settled = all(row["state"] in ("AVAILABLE", "RETIRED", "FOUND", "CONVERTED") for row in rows.values())
    return {number for number, row in rows.items() if row["state"] == "AVAILABLE"} if settled else set()


def test_labels_of_config_pbtxt(shared: Running) -> None:
    folder = shared.repository / "triton-labels"
    place(model("matmul"), folder / "1" / "model.onnx")
    (folder / "classes.txt").write_text("cat\ndog\nfox\n")
    (folder / "config.pbtxt").write_text(
        'max_batch_size: 4\noutput { name: "y" data_type: TYPE_FP32 dims: 3 label_filename: "classes.txt" }\n'
    )
    shared.wait("triton-labels", 1, "AVAILABLE")
    body = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}],
        "outputs": [{"name": "y", "parameters": {"classification": 3}}],
    }
    status, answer = shared.call("/v2/models/triton-labels/infer", body)
    assert status == 200, answer
    plain = shared.predict("triton-labels", [[1.0, 2.0, 3.0, 4.0]])[1]["outputs"][0]
    order = sorted(range(3), key=lambda at: -plain[at])
    found = answer["outputs"][0]
    assert (found["datatype"], found["shape"]) == ("BYTES", [1, 3])
    parts = [text.split(":") for text in found["data"]]
    assert [part[1:] for part in parts] == [[str(at), ("cat", "dog", "fox")[at]] for at in order]
    # The text has six decimals.
    np.testing.assert_allclose([float(part[0]) for part in parts], [plain[at] for at in order], atol=1e-6)


WRONG = {
    "triton-type": ('input { name: "x" data_type: TYPE_INT8 }', "data_type is int8, the model's is float32"),
    "triton-sequence": ("sequence_batching { }", SEQUENCE),
    "triton-no-labels": (
        'output { name: "y" label_filename: "classes.txt" }',
        "names the labels 'classes.txt', which do not lie beside it",
    ),
}


def test_a_config_pbtxt_that_is_wrong_fails_its_model_alone(shared: Running) -> None:
    for name, (text, _) in WRONG.items():
        place(model("half_plus_two"), shared.repository / name / "1" / "model.onnx")
        (shared.repository / name / "config.pbtxt").write_text(text)
    place(model("half_plus_two"), shared.repository / "triton-good" / "1" / "model.onnx")
    for name, (_, words) in WRONG.items():
        assert words in shared.wait(name, 1, "FAILED")["reason"]
    shared.wait("triton-good", 1, "AVAILABLE")
