"""`make bench`: start, memory at rest, and what a prediction costs over the bare runtime.

Prints a table and writes bench/results/serving.json. Figures that depend on the machine stand beside
what they are compared with: CPU seconds of the gateway process per request against
`InferenceSession.run` of the same model in a loop, in the same run.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime

from gateway.protocols.pool import message
from gateway.protocols.tensors import encode
from tests.e2e import affine
from tests.e2e.running import Running, gateway

ROUNDS, CALLS, CLIENTS = 5, 400, 8
RESULTS = Path(__file__).parent / "results" / "serving.json"


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_answer_s(root: Path) -> float:
    """From exec to the first 2xx predict, the store warm."""
    started = time.monotonic()
    running = Running(root / "repo", root / "store", root / "start.log", env={"MODEL_GATEWAY_WATCH__POLL_S": "0.5"})
    try:
        while running.predict("affine", [[1.0, 2.0]])[0] != 200:
            time.sleep(0.002)
        return time.monotonic() - started
    finally:
        running.stop()


def bare_us() -> float:
    """CPU of one `InferenceSession.run` of the same model: the limit."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(affine.affine(1.0), options)
    x = {"x": np.ones((1, 2), np.float32)}
    for _ in range(1000):
        session.run(["y"], x)
    started = time.process_time()
    for _ in range(20_000):
        session.run(["y"], x)
    return (time.process_time() - started) / 20_000 * 1e6


def load(running: Running, call: Callable[[], Any], clients: int) -> dict[str, float]:
    """Closed loop of `clients` threads; p50 in ms, and the gateway's CPU per request in us."""
    latencies: list[float] = []

    def loop() -> None:
        for _ in range(CALLS):
            started = time.perf_counter()
            call()
            latencies.append(time.perf_counter() - started)

    before, started = cpu_seconds(running.process.pid), time.perf_counter()
    threads = [threading.Thread(target=loop) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - started, cpu_seconds(running.process.pid) - before
    return {
        "p50_ms": statistics.median(latencies) * 1e3,
        "p99_ms": sorted(latencies)[int(len(latencies) * 0.99)] * 1e3,
        "requests_per_s": len(latencies) / took,
        "cpu_us": used / len(latencies) * 1e6,
    }


def calls(running: Running) -> dict[str, Callable[[], Any]]:
    """One small predict in each dialect: float32 [1, 2] to the same model, over a connection that stays open."""
    channel = grpc.insecure_channel(running.addresses["grpc"])
    x = np.ones((1, 2), np.float32)
    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name = "affine"
    request.inputs["x"].MergeFromString(encode(x))
    tfs = request.SerializeToString()
    predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    ask = message("inference.ModelInferRequest")(model_name="affine")
    ask.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    ask.raw_input_contents.append(x.tobytes())
    kserve = ask.SerializeToString()
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    tensor: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
    as_json = json.dumps({"inputs": [tensor | {"data": [1.0, 2.0]}]}).encode()
    said = {"inputs": [tensor | {"parameters": {"binary_data_size": 8}}], "parameters": {"binary_data_output": True}}
    head = json.dumps(said).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return {
        "TFS gRPC": lambda: predict(tfs, timeout=30),
        "KServe gRPC": lambda: infer(kserve, timeout=30),
        "TFS REST": post(running, "/v1/models/affine:predict", b'{"instances": [[1.0, 2.0]]}'),
        "KServe REST, JSON": post(running, "/v2/models/affine/infer", as_json),
        "KServe REST, binary": post(running, "/v2/models/affine/infer", head + x.tobytes(), length),
    }


def post(running: Running, path: str, body: bytes, headers: dict[str, str] | None = None) -> Callable[[], bytes]:
    """A POST over a connection of the calling thread's own."""
    own = threading.local()

    def call() -> bytes:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(running.addresses["http"], timeout=30)
        own.connection.request("POST", path, body, headers or {})
        answer = own.connection.getresponse()
        data: bytes = answer.read()
        assert answer.status == 200, data
        return data

    return call


def main() -> None:
    found: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "onnxruntime": onnxruntime.__version__}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        affine.write(root / "repo" / "affine.onnx", 1.0)
        with gateway(root) as running:
            running.wait("affine", 1, "AVAILABLE")
            found["settled_to_available_s"] = seconds_to_available(running)
        starts = [first_answer_s(root) for _ in range(ROUNDS)]
        found["start_to_first_answer_s"] = {"min": min(starts), "median": statistics.median(starts), "max": max(starts)}
        found["bare_run_us"] = min(bare_us() for _ in range(3))
        with gateway(root) as running:
            running.wait("affine", 1, "AVAILABLE")
            time.sleep(2)
            found["idle_memory_mib"] = running.memory_bytes() / 2**20
            for label, call in calls(running).items():
                for clients in (1, CLIENTS):
                    rounds = [load(running, call, clients) for _ in range(ROUNDS)]
                    best = min(rounds, key=lambda r: r["cpu_us"])
                    found[f"{label}, {clients} in flight"] = best | {
                        "cpu_ratio_to_bare_run": best["cpu_us"] / found["bare_run_us"]
                    }
            found["p50_ratio_to_tfs"] = {
                label: found[f"{label}, 1 in flight"]["p50_ms"]
                / found[f"TFS {label.split()[1][:4]}, 1 in flight"]["p50_ms"]
                for label in ("KServe gRPC", "KServe REST, JSON", "KServe REST, binary")
            }
            found["memory_after_load_mib"] = running.memory_bytes() / 2**20
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def seconds_to_available(running: Running) -> float:
    """A drop of another model into the running gateway, less the time it has to settle (0.3 s here)."""
    started = time.monotonic()
    affine.write(running.repository / "second.onnx", 2.0)
    running.wait("second", 1, "AVAILABLE")
    return time.monotonic() - started - 0.3


if __name__ == "__main__":
    main()
