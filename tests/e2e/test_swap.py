"""Under load, versions are swapped, broken and half copied: no request is lost, none gets another version's numbers."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from gateway.protocols.pool import message
from tests.e2e import affine
from tests.e2e.running import Running, gateway, until

RATE = 50.0  # requests a second
SWAPS = 20


@dataclass
class Load:
    """A gRPC client in a thread: `RATE` Predicts a second, each answer checked against the version it names."""

    address: str
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        request = message("tensorflow.serving.PredictRequest")()
        request.model_spec.name = "affine"
        tensor = request.inputs["x"]
        tensor.dtype = 1
        for size in (1, 2):
            tensor.tensor_shape.dim.add(size=size)
        tensor.float_val.extend([2.0, 4.0])
        body = request.SerializeToString()
        response_type = message("tensorflow.serving.PredictResponse")
        with grpc.insecure_channel(self.address) as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            start = time.monotonic()
            while not self.ended.is_set():
                self.sent += 1
                try:
                    answer = response_type.FromString(call(body, timeout=10))
                except grpc.RpcError as error:
                    self.failed.append(f"{error.code()}: {error.details()}")
                else:
                    version = answer.model_spec.version.value
                    values = list(answer.outputs["y"].float_val)
                    if values != [1.0 + version, 2.0 + version]:
                        self.wrong.append(f"version {version} answered {values}")
                    self.versions.append(version)
                time.sleep(max(0.0, start + self.sent / RATE - time.monotonic()))


def test_twenty_swaps_under_load(tmp_path: Path) -> None:
    repository = tmp_path / "repo" / "affine"
    affine.write(repository / "1" / "model.onnx", 1.0)
    with gateway(tmp_path) as running:
        running.wait("affine", 1, "AVAILABLE")
        load = Load(running.addresses["grpc"])
        client = threading.Thread(target=load.run)
        client.start()
        try:
            for version in range(2, SWAPS + 2):
                swap(running, repository, version)
            until(lambda: SWAPS + 1 in load.versions, 30, lambda: str(load.versions[-5:]))
        finally:
            load.ended.set()
            client.join(30)
        states = {number: row["state"] for number, row in running.versions("affine").items()}
    assert load.failed == []
    assert load.wrong == []
    assert load.sent > RATE * 5
    assert load.versions == sorted(load.versions), "a client saw an older version after a newer one"
    assert set(load.versions) >= set(range(1, SWAPS + 2)) - {BROKEN}
    assert states[SWAPS + 1] == "AVAILABLE"
    assert states.get(BROKEN, "FAILED") == "FAILED"


BROKEN = 7
HALF_COPIED = 12


def swap(running: Running, repository: Path, version: int) -> None:
    """Put a new version down as people do: whole, broken, or slowly."""
    data = affine.affine(float(version))
    folder = repository / str(version)
    folder.mkdir()
    if version == BROKEN:
        (folder / "model.onnx").write_bytes(data[: len(data) // 2])
        row = running.wait("affine", version, "FAILED")
        assert "model.onnx" in row["reason"]
        assert running.versions("affine")[version - 1]["state"] == "AVAILABLE"
        shutil.rmtree(folder)
        return
    if version == HALF_COPIED:
        with (folder / "model.onnx").open("wb") as stream:
            for i in range(0, len(data), 16):
                stream.write(data[i : i + 16])
                stream.flush()
                time.sleep(0.1)
                state = running.versions("affine").get(version, {"state": "FOUND"})["state"]
                assert state == "FOUND", "a half copy was taken"
    else:
        (folder / "model.onnx").write_bytes(data)
    running.wait("affine", version, "AVAILABLE")
    until(lambda: running.versions("affine").get(version - 1, {}).get("state") != "AVAILABLE", 30)
    if version % 2:  # old versions are deleted sooner or later
        shutil.rmtree(repository / str(version - 1), ignore_errors=True)
