# ruff: noqa  this file runs outside the gateway, beside a real Triton
"""Writes tests/conformance/triton.json: what a real Triton answers to the rows of triton_requests.py.

Triton 2.51.0 lies in the wheel nvidia-pytriton 0.7.0 with its Python backend and runs without a GPU:

    python3.11 -m venv T && T/bin/pip install nvidia-pytriton==0.7.0 'tritonclient[grpc]'
    T/bin/python tests/conformance/make_triton.py > tests/conformance/triton.json

CI never runs it: tests/protocols/test_triton_replay.py sends the same rows to the gateway and compares.
"""

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import grpc
import pytriton
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.conformance.triton_requests import GRPC, NUMPY, REST, STREAM

SITE = Path(pytriton.__file__).parents[1]
HOME = Path(pytriton.__file__).parent / "tritonserver"
HTTP, GRPC_PORT, METRICS = 18100, 18101, 18102

IDENTITY = """import sys; sys.path.insert(0, {site!r})
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("y", pb.get_input_tensor_by_name(r, "x").as_numpy())]) for r in requests]
"""
ADD_SUB = """import sys; sys.path.insert(0, {site!r})
import numpy as np
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for r in requests:
            a, b = (pb.get_input_tensor_by_name(r, n).as_numpy() for n in ("INPUT0", "INPUT1"))
            if a.dtype == object:
                x, y = a.astype(int), b.astype(int)
                sums = [(x + y).astype(str).astype(object), (x - y).astype(str).astype(object)]
            else:
                sums = [a + b, a - b]
            answers.append(pb.InferenceResponse([pb.Tensor(f"OUTPUT{i}", s) for i, s in enumerate(sums)]))
        return answers
"""


def config(batch, inputs, outputs, labels=""):
    def tensors(kind, rows):
        extra = f' label_filename: "{labels}"' if labels and kind == "output" else ""
        return "\n".join(f'{kind} {{name: "{n}" data_type: TYPE_{t} dims: {d}{extra}}}' for n, t, d in rows)

    return f'backend: "python"\nmax_batch_size: {batch}\n{tensors("input", inputs)}\n{tensors("output", outputs)}\n'


def models(root):
    def put(name, code, text, **files):
        (root / name / "1").mkdir(parents=True)
        (root / name / "1" / "model.py").write_text(code.replace("{site!r}", repr(str(SITE))))
        (root / name / "config.pbtxt").write_text(text)
        for file, data in files.items():
            (root / name / file).write_text(data)

    put("ident", IDENTITY, config(4, [("x", "FP32", [2])], [("y", "FP32", [2])]))
    put(
        "scores",
        IDENTITY,
        config(4, [("x", "FP32", [4])], [("y", "FP32", [4])], "labels"),
        labels="cat\ndog\nfox\nowl\n",
    )
    for name, kind in (("simple", "INT32"), ("simple_int8", "INT8"), ("simple_string", "STRING")):
        rows = [[(f"{side}{n}", kind, [16]) for n in (0, 1)] for side in ("INPUT", "OUTPUT")]
        put(name, ADD_SUB, config(8, *rows))
    for kind in [*NUMPY, "BYTES"]:
        own = "STRING" if kind == "BYTES" else kind
        put(f"id_{kind}", IDENTITY, config(0, [("x", own, [-1])], [("y", own, [-1])]))


def text(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(data).decode()}


KEPT = ("content-type", "inference-header-content-length", "content-encoding")


def rest(row):
    connection = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=30)
    connection.request(row.verb, row.path, row.body, row.headers)
    answer = connection.getresponse()
    body = answer.read()
    headers = {k.lower(): v for k, v in answer.getheaders() if k.lower() in KEPT}
    connection.close()
    return {"status": answer.status, "headers": headers, "body": text(body)}


def message(row):
    request = json_format.ParseDict(row.fields, getattr(service_pb2, row.rpc + "Request")())
    if row.raw:
        request.raw_input_contents.extend(row.raw)
    return request.SerializeToString(deterministic=True)


def rpc(channel, row):
    call = channel.unary_unary(f"/inference.GRPCInferenceService/{row.rpc}")
    request = message(row)
    try:
        return {"request": request.hex(), "code": "OK", "response": call(request, timeout=30).hex()}
    except grpc.RpcError as error:
        return {"request": request.hex(), "code": error.code().name, "details": error.details()}


class Server:
    """One tritonserver; a row that kills it is recorded as CRASHED and another one is started."""

    def __init__(self, root):
        self.root, self.process = root, None

    def start(self):
        ports = [f"--{n}-port={p}" for n, p in (("http", HTTP), ("grpc", GRPC_PORT), ("metrics", METRICS))]
        hosts = [f"--{n}-address=127.0.0.1" for n in ("http", "grpc", "metrics")]
        environ = os.environ | {"LD_LIBRARY_PATH": str(SITE / "nvidia_pytriton.libs"), "PYTHONHOME": "/usr"}
        folders = [f"--model-repository={self.root / 'repo'}", f"--backend-directory={self.root / 'backends'}"]
        self.process = subprocess.Popen(
            [HOME / "bin" / "tritonserver", *folders, *ports, *hosts], env=environ, stdout=sys.stderr, stderr=sys.stderr
        )
        for _ in range(240):
            time.sleep(0.5)
            try:
                if rest(REST[1])["status"] == 200:
                    return
            except OSError:
                assert self.process.poll() is None, "Triton did not start"
        raise AssertionError("Triton did not become ready")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def died(self, row):
        self.process.wait(30)
        print(f"CRASHED at {row.name}", file=sys.stderr)
        self.start()

    def rest(self, row):
        try:
            return rest(row)
        except (http.client.HTTPException, OSError):
            self.died(row)
            return {"status": 0, "headers": {}, "body": "CRASHED"}

    def grpc(self, row):
        with grpc.insecure_channel(f"127.0.0.1:{GRPC_PORT}") as channel:
            found = rpc(channel, row)
        if found["code"] == "UNAVAILABLE" and self.process.poll() is not None:
            self.died(row)
            return {"request": found["request"], "code": "CRASHED", "details": ""}
        return found


def main():
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "repo").mkdir()
        models(root / "repo")
        shutil.copytree(HOME / "backends", root / "backends")
        for file in (HOME / "python_backend_stubs" / "3.11").iterdir():
            shutil.copy(file, root / "backends" / "python")
        server = Server(root)
        try:
            server.start()
            found = {
                "rest": {row.name: server.rest(row) for row in REST},
                "grpc": {row.name: server.grpc(row) for row in GRPC},
            }
            sent = [message(row) for row in STREAM]
            with grpc.insecure_channel(f"127.0.0.1:{GRPC_PORT}") as channel:
                stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
                answers = [m.hex() for m in stream(iter(sent), timeout=30)]
            found["stream"] = {"requests": [m.hex() for m in sent], "responses": answers}
        finally:
            server.stop()
    versions = {n: version(n) for n in ("nvidia-pytriton", "tritonclient")}
    json.dump(
        {"made_by": "tests/conformance/make_triton.py", "server": "Triton 2.51.0", "versions": versions, **found},
        sys.stdout,
        indent=1,
        ensure_ascii=False,
    )
    sys.stdout.write("\n")


main()
