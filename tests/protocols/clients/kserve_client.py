"""A client with KServe's own Python package. Runs in Environment client-kserve: GRPC HTTP -> one JSON document."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

grpc_address, http_address = sys.argv[1:]
answer = {}
ARRAYS = {
    "half_plus_two": np.array([[1.0], [2.0], [5.0]], np.float32),
    "id_int64": np.array([-(2**63), 2**63 - 1], np.int64),
    "id_float16": np.array([1.5, 65504], np.float16),
    "id_string": np.array([b"a", b"caf\xc3\xa9"], object),
    "id_bool": np.array([True, False]),
}
KINDS = {"float32": "FP32", "float16": "FP16", "int64": "INT64", "object": "BYTES", "bool": "BOOL"}


def request(model, binary):
    array = ARRAYS[model]
    tensor = InferInput("x", list(array.shape), KINDS[str(array.dtype)])
    tensor.set_data_from_numpy(array, binary_data=binary)
    outputs = [RequestedOutput("y", parameters={"binary_data": True})] if binary else None
    return InferRequest(model, [tensor], request_id="mine", request_outputs=outputs)


def listed(response):
    array = response.outputs[0].as_numpy()
    flat = [item.decode() if isinstance(item, bytes) else item for item in array.reshape(-1).tolist()]
    return [response.id, response.model_name, list(array.shape), flat]


async def rest():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    base = f"http://{http_address}"
    found = {"live": await client.is_server_live(base), "ready": await client.is_server_ready(base)}
    found["model ready"] = [await client.is_model_ready(base, name) for name in ("half_plus_two", "nobody")]
    for model in ARRAYS:
        found[model] = listed(await client.infer(base, request(model, binary=True), model_name=model))
    found["json"] = listed(await client.infer(base, request("half_plus_two", binary=False), model_name="half_plus_two"))
    try:
        await client.infer(base, request("half_plus_two", binary=True), model_name="nobody")
    except Exception as error:
        found["missing"] = [type(error).__name__, getattr(error, "response", error).text]
    await client.close()
    return found


async def over_grpc():
    client = InferenceGRPCClient(grpc_address)
    found = {"live": await client.is_server_live(), "ready": await client.is_server_ready()}
    found["model ready"] = [await client.is_model_ready(name) for name in ("half_plus_two", "nobody")]
    for model in ARRAYS:
        found[model] = listed(await client.infer(request(model, binary=True)))
    found["typed"] = listed(await client.infer(request("half_plus_two", binary=False)))
    await client.close()
    return found


async def main():
    answer["rest"] = await rest()
    answer["grpc"] = await over_grpc()


asyncio.run(main())
print(json.dumps(answer))
