# ruff: noqa: TID251  this file runs in the Environments of the clients and is never imported
"""One picture to the same network under several names, by whichever official client this Environment has.

python digits_clients.py PICTURE.npy GRPC HTTP MODEL ...     -> {"client": {model: probabilities}}
"""

import asyncio
import importlib.util
import json
import sys

import numpy as np

file, grpc_address, http_address, *models = sys.argv[1:]
picture = np.load(file)
answer = {}


def there(package):
    return importlib.util.find_spec(package) is not None


def listed(array):
    return np.asarray(array).tolist()


if there("tensorflow_serving"):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(grpc_address))
    answer["tensorflow-serving-api"] = {}
    for model in models:
        call = predict_pb2.PredictRequest()
        call.model_spec.name = model
        call.inputs["image"].CopyFrom(tf.make_tensor_proto(picture))
        found = stub.Predict(call, timeout=30).outputs["probabilities"]
        answer["tensorflow-serving-api"][model] = listed(tf.make_ndarray(found))

if there("ovmsclient"):
    import ovmsclient

    for transport, client in (
        ("grpc", ovmsclient.make_grpc_client(grpc_address)),
        ("http", ovmsclient.make_http_client(http_address)),
    ):
        answer[f"ovmsclient {transport}"] = {
            model: listed(client.predict(inputs={"image": picture}, model_name=model)["probabilities"])
            for model in models
        }

if there("tritonclient"):
    import tritonclient.grpc
    import tritonclient.grpc.aio
    import tritonclient.http

    def asked(triton):
        tensor = triton.InferInput("image", list(picture.shape), "FP32")
        tensor.set_data_from_numpy(picture)
        return [tensor]

    for transport, triton, address in (
        ("http", tritonclient.http, http_address),
        ("grpc", tritonclient.grpc, grpc_address),
    ):
        client = triton.InferenceServerClient(address)
        answer[f"tritonclient {transport}"] = {
            model: listed(client.infer(model, asked(triton)).as_numpy("probabilities")) for model in models
        }

    async def aio():
        async with tritonclient.grpc.aio.InferenceServerClient(grpc_address) as client:
            return {
                model: listed((await client.infer(model, asked(tritonclient.grpc.aio))).as_numpy("probabilities"))
                for model in models
            }

    answer["tritonclient aio"] = asyncio.run(aio())

if there("kserve"):
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

    def request(model):
        tensor = InferInput("image", list(picture.shape), "FP32")
        tensor.set_data_from_numpy(picture, binary_data=True)
        return InferRequest(model, [tensor])

    def of(response):
        return listed(next(o.as_numpy() for o in response.outputs if o.name == "probabilities"))

    async def both():
        rest = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
        base = f"http://{http_address}"
        answer["kserve rest"] = {m: of(await rest.infer(base, request(m), model_name=m)) for m in models}
        await rest.close()
        over_grpc = InferenceGRPCClient(grpc_address)
        answer["kserve grpc"] = {model: of(await over_grpc.infer(request(model))) for model in models}
        await over_grpc.close()

    asyncio.run(both())

print(json.dumps(answer))
