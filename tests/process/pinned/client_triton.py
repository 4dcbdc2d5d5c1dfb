"""Environment `client-triton`: requests of all four clients, as bytes and as a message, and the way back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from gateway.process.child import ChildJob


def work(job: ChildJob) -> dict[str, Any]:
    import tritonclient.grpc as grpcclient
    import tritonclient.grpc.aio as grpc_aio
    import tritonclient.http as httpclient
    import tritonclient.http.aio as http_aio

    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = httpclient.InferInput("x", [2, 3], "FP32")
    given.set_data_from_numpy(x, binary_data=False)
    body, _ = httpclient.InferenceServerClient.generate_request_body([given])
    (sent,) = json.loads(body)["inputs"]
    np.savez(job.out / "http.npz", x=x, y=np.array(sent["data"], np.float32).reshape(sent["shape"]), expected=x)

    message = grpcclient.InferInput("x", [2, 3], "FP32")
    message.set_data_from_numpy(x)
    raw = np.frombuffer(message._get_content(), np.float32).reshape(2, 3)
    np.savez(job.out / "grpc.npz", x=x, y=raw, expected=x)
    assert grpc_aio.InferenceServerClient is not http_aio.InferenceServerClient
    return {}
