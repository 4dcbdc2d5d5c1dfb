"""A client with tritonclient. Runs in Environment client-triton: TRANSPORT GRPC HTTP MODEL_FILE -> one JSON document.

TRANSPORT is http, grpc or aio. The gateway has model_control = "explicit" and shared memory on; its repository holds
simple, simple_int8, simple_string and simple_sequence, none of them loaded.
"""

import asyncio
import inspect
import json
import sys
from pathlib import Path

import numpy as np
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, shared_memory

transport, grpc_address, http_address, model_file = sys.argv[1:]
if transport == "http":
    import tritonclient.http as triton
elif transport == "grpc":
    import tritonclient.grpc as triton
else:
    import tritonclient.grpc.aio as triton
REST = transport == "http"
answer = {}
A, B = np.arange(32, dtype=np.int32).reshape(2, 16), np.ones((2, 16), np.int32)


async def got(value):
    return await value if inspect.isawaitable(value) else value


async def failed(call):
    """The text of the InferenceServerException that a call raises."""
    try:
        await got(call())
    except InferenceServerException as error:
        return [str(error.status()), error.message()]
    return "no error"


def tensors(a, b, binary=True):
    found = []
    for name, array in (("INPUT0", a), ("INPUT1", b)):
        tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, **({"binary_data": binary} if REST else {}))
        found.append(tensor)
    return found


def asked(name, binary=True, **more):
    return triton.InferRequestedOutput(name, **({"binary_data": binary} if REST else {}), **more)


def listed(array):
    flat = array.reshape(-1).tolist()
    if array.dtype != object:
        return [str(array.dtype), list(array.shape), flat]
    return ["string", list(array.shape), [one.decode() if isinstance(one, bytes) else one for one in flat]]


def plain(message):
    """A protobuf message or REST's own JSON as a dict."""
    if isinstance(message, (dict, list)):
        return message
    from google.protobuf import json_format

    return json_format.MessageToDict(message, preserving_proto_field_name=True)


async def main():
    client = triton.InferenceServerClient(http_address if REST else grpc_address)
    answer["live"] = [await got(client.is_server_live()), await got(client.is_server_ready())]
    answer["extensions"] = plain(await got(client.get_server_metadata()))["extensions"]

    index = plain(await got(client.get_model_repository_index()))
    answer["index before"] = index if REST else index["models"]
    answer["not loaded"] = await failed(lambda: client.infer("simple", tensors(A, B)))
    for name in ("simple", "simple_int8", "simple_string"):
        await got(client.load_model(name))
    answer["sequence"] = await failed(lambda: client.load_model("simple_sequence"))
    answer["absent"] = await failed(lambda: client.load_model("nobody"))
    index = plain(await got(client.get_model_repository_index()))
    answer["index after"] = index if REST else index["models"]
    answer["ready with a failed model"] = await got(client.is_server_ready())
    answer["model ready"] = [await got(client.is_model_ready(n)) for n in ("simple", "simple_sequence", "nobody")]
    answer["metadata"] = plain(await got(client.get_model_metadata("simple")))
    config = plain(await got(client.get_model_config("simple")))
    answer["config"] = config if REST else config["config"]

    result = await got(client.infer("simple", tensors(A, B), request_id="mine"))
    answer["infer"] = {name: listed(result.as_numpy(name)) for name in ("OUTPUT0", "OUTPUT1")}
    response = result.get_response()
    answer["answered by"] = (
        [response["id"], response["model_name"], response["model_version"]]
        if REST
        else [response.id, response.model_name, response.model_version]
    )
    result = await got(client.infer("simple", tensors(A, B), outputs=[asked("OUTPUT1")]))
    answer["one output"] = [listed(result.as_numpy("OUTPUT1")), result.as_numpy("OUTPUT0") is None]
    small = [A.astype(np.int8), B.astype(np.int8)]
    answer["int8"] = listed((await got(client.infer("simple_int8", tensors(*small)))).as_numpy("OUTPUT0"))
    text = [np.array([str(n) for n in one.reshape(-1)], object).reshape(one.shape) for one in (A, B)]
    answer["strings"] = listed((await got(client.infer("simple_string", tensors(*text)))).as_numpy("OUTPUT1"))
    if REST:
        result = client.infer("simple", tensors(A, B, binary=False), outputs=[asked("OUTPUT0", binary=False)])
        answer["json"] = listed(result.as_numpy("OUTPUT0"))
        result = client.infer("simple_string", tensors(*text, binary=False), outputs=[asked("OUTPUT0", binary=False)])
        answer["json strings"] = listed(result.as_numpy("OUTPUT0"))
        more = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "deflate"}
        found = client.async_infer("simple", tensors(A, B))
        answer["async"] = listed(found.get_result().as_numpy("OUTPUT0"))
    else:
        more = {"compression_algorithm": "gzip"}
    result = await got(client.infer("simple", tensors(A, B), **more))
    answer["compressed"] = listed(result.as_numpy("OUTPUT0"))
    result = await got(client.infer("simple", tensors(A, B), outputs=[asked("OUTPUT0", class_count=2)]))
    answer["classes"] = listed(result.as_numpy("OUTPUT0"))
    answer["too many rows"] = await failed(lambda: client.infer("simple", tensors(*[np.repeat(A, 8, 0)] * 2)))
    answer["sequence id"] = await failed(lambda: client.infer("simple", tensors(A, B), sequence_id=7))

    await shm(client)
    answer["trace"] = plain(await got(client.update_trace_settings("simple", {"trace_rate": "5"})))
    answer["log"] = plain(await got(client.update_log_settings({"log_verbose_level": 0})))
    answer["log wrong"] = await failed(lambda: client.update_log_settings({"log_file": "/tmp/x"}))
    stats = plain(await got(client.get_inference_statistics("simple")))
    answer["statistics"] = stats["model_stats"][0]
    if not REST:
        answer["stream"] = await (streamed_aio if transport == "aio" else streamed)(client)

    model = Path(model_file).read_bytes()
    await got(client.load_model("mine", config=json.dumps({"max_batch_size": 4}), files={"file:3/model.onnx": model}))
    answer["loaded files"] = plain(await got(client.get_model_metadata("mine")))
    await got(client.load_model("simple", config=json.dumps({"max_batch_size": 1})))
    answer["another config"] = await failed(lambda: client.infer("simple", tensors(A, B)))
    wrong = json.dumps({"max_batch_size": 1, "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [16]}]})
    answer["wrong config"] = await failed(lambda: client.load_model("simple", config=wrong))
    await got(client.load_model("simple"))
    answer["own config again"] = listed((await got(client.infer("simple", tensors(A, B)))).as_numpy("OUTPUT0"))
    for name in ("simple", "simple_int8", "simple_string", "mine", "nobody"):
        await got(client.unload_model(name))
    answer["unloaded"] = await failed(lambda: client.infer("simple", tensors(A, B)))
    await got(client.close())


async def shm(client):
    await got(client.unregister_system_shared_memory())
    await got(client.unregister_cuda_shared_memory())
    key = f"/model-gateway-test-{transport}"
    region = shared_memory.create_shared_memory_region("r", key, 256)
    try:
        shared_memory.set_shared_memory_region(region, [A[:1], B[:1]])
        await got(client.register_system_shared_memory("r", key, 256))
        status = plain(await got(client.get_system_shared_memory_status()))
        answer["shm status"] = status if REST else list(status["regions"].values())
        inputs = []
        for at, name in enumerate(("INPUT0", "INPUT1")):
            tensor = triton.InferInput(name, [1, 16], "INT32")
            tensor.set_shared_memory("r", 64, offset=64 * at)
            inputs.append(tensor)
        output = triton.InferRequestedOutput("OUTPUT0")
        output.set_shared_memory("r", 64, offset=128)
        await got(client.infer("simple", inputs, outputs=[output]))
        answer["shm"] = listed(shared_memory.get_contents_as_numpy(region, np.int32, [1, 16], offset=128))
        inputs[0].set_shared_memory("r", 64, offset=224)
        answer["shm beyond"] = await failed(lambda: client.infer("simple", inputs))
        answer["shm twice"] = await failed(lambda: client.register_system_shared_memory("r", key, 256))
        answer["shm unknown"] = await failed(lambda: client.register_system_shared_memory("s", "/no-such-key", 4))
        await got(client.unregister_system_shared_memory("r"))
        answer["shm gone"] = await failed(lambda: client.infer("simple", inputs))
    finally:
        shared_memory.destroy_shared_memory_region(region)


async def streamed(client):
    import queue

    found = queue.Queue()
    client.start_stream(callback=lambda result, error: found.put((result, error)))
    for number, name in enumerate(("simple", "nobody", "simple")):
        client.async_stream_infer(name, tensors(A, B), request_id=str(number))
    answers = []
    for _ in range(3):
        result, error = found.get(timeout=30)
        answers.append(error.message() if error else [result.get_response().id, listed(result.as_numpy("OUTPUT0"))])
    client.stop_stream()
    return answers


async def streamed_aio(client):
    async def requests():
        for number, name in enumerate(("simple", "nobody", "simple")):
            yield {"model_name": name, "inputs": tensors(A, B), "request_id": str(number)}

    answers = []
    async for result, error in client.stream_infer(requests()):
        answers.append(error.message() if error else [result.get_response().id, listed(result.as_numpy("OUTPUT0"))])
    return answers


asyncio.run(main())
print(json.dumps(answer))
