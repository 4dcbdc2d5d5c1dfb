"""Environment `client-kserve`: a request of the Open Inference Protocol as REST and as gRPC."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.process.child import ChildJob


def work(job: ChildJob) -> dict[str, Any]:
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest

    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = InferInput("x", [2, 3], "FP32")
    given.set_data_from_numpy(x, binary_data=False)
    request = InferRequest(model_name="m", infer_inputs=[given])
    body, _ = request.to_rest()
    (sent,) = body["inputs"]
    np.savez(job.out / "rest.npz", x=x, y=np.array(sent["data"], np.float32).reshape(sent["shape"]), expected=x)
    again = InferRequest.from_grpc(request.to_grpc())
    np.savez(job.out / "grpc.npz", x=x, y=again.inputs[0].as_numpy(), expected=x)
    assert InferenceGRPCClient is not InferenceRESTClient
    return {}
