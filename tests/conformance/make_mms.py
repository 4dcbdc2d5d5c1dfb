"""Writes mms.json: what the real multi-model-server and TorchServe answer to the calls below, in this order.

Run by hand, with Java (default-jre-headless) and an Environment that has both servers:

    uv venv SERVERS
    uv pip install --python SERVERS/bin/python multi-model-server torchserve torch setuptools
    SERVERS/bin/python tests/conformance/make_mms.py > tests/conformance/mms.json

The model is y = x / 2 + 2 as a handler of theirs; tests/protocols/test_mms_record.py asks a gateway
that serves the same as ONNX.
"""

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

HANDLER = """
import json


def handle(data, context):
    if data is None:
        return None
    answers = []
    for row in data:
        body = row.get("body") or row.get("x") or row.get("data")
        value = json.loads(bytes(body) if isinstance(body, bytearray) else body) if not isinstance(body, list) else body
        answers.append([[v / 2 + 2 for v in line] for line in value])
    return answers
"""
MODEL = {"modelName": "half", "description": "", "modelVersion": "1.0", "handler": "handler:handle"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=sep"}
ONE = "[[1.0, 2.0]]"
PART = '--sep\r\nContent-Disposition: form-data; name="x"\r\n\r\n[[1.0, 2.0]]\r\n--sep--\r\n'
BOTH, MMS, TS = ("mms", "torchserve"), ("mms",), ("torchserve",)

# name: (servers, port, method, path, headers, body)
CALLS = {
    "ping": (BOTH, "inference", "GET", "/ping", {}, ""),
    "ping by POST": (BOTH, "inference", "POST", "/ping", {}, ""),
    "the client's request id": (BOTH, "inference", "GET", "/ping", {"X-Request-Id": "mine"}, ""),
    "no index": (BOTH, "inference", "GET", "/", {}, ""),
    "an unknown path": (BOTH, "inference", "GET", "/nope", {}, ""),
    "metrics are elsewhere": (BOTH, "inference", "GET", "/metrics", {}, ""),
    "management is elsewhere": (BOTH, "inference", "GET", "/models", {}, ""),
    "predict JSON": (BOTH, "inference", "POST", "/predictions/half", JSON, ONE),
    "predict JSON by PUT": (BOTH, "inference", "PUT", "/predictions/half", JSON, ONE),
    "predict a form": (BOTH, "inference", "POST", "/predictions/half", FORM, "x=[[1.0, 2.0]]"),
    "predict multipart": (BOTH, "inference", "POST", "/predictions/half", MULTIPART, PART),
    "predict a version": (BOTH, "inference", "POST", "/predictions/half/1.0", JSON, ONE),
    "predict another version": (BOTH, "inference", "POST", "/predictions/half/9.9", JSON, ONE),
    "predict no model": (BOTH, "inference", "POST", "/predictions/nope", JSON, ONE),
    "predict nothing": (BOTH, "inference", "POST", "/predictions/", JSON, ONE),
    "predict without a body": (BOTH, "inference", "POST", "/predictions/half", JSON, ""),
    "predict JSON that is none": (TS, "inference", "POST", "/predictions/half", JSON, "bad"),
    "predict JSON in a form": (BOTH, "inference", "POST", "/predictions/half", FORM, ONE),
    "predict by DELETE": (BOTH, "inference", "DELETE", "/predictions/half", {}, ""),
    "predict multipart without boundary": (
        BOTH, "inference", "POST", "/predictions/half", {"Content-Type": "multipart/form-data"}, "abc",
    ),
    "too large": (BOTH, "inference", "POST", "/predictions/half", JSON, 7_000_000),
    "invocations, one model": (MMS, "inference", "POST", "/invocations", JSON, ONE),
    "invocations by name": (BOTH, "inference", "POST", "/invocations?model_name=half", JSON, ONE),
    "invocations by name in a form": (BOTH, "inference", "POST", "/invocations", FORM, "model_name=half&x=[[1.0,2.0]]"),
    "invocations of no model": (BOTH, "inference", "POST", "/invocations?model_name=nope", JSON, ONE),
    "invoke": (BOTH, "inference", "POST", "/models/half/invoke", JSON, ONE),
    "predict, version 0.4": (BOTH, "inference", "POST", "/half/predict", FORM, "x=[[1.0, 2.0]]"),
    "predict, version 0.4, query": (BOTH, "inference", "GET", "/half/predict?x=[[1.0,2.0]]", {}, ""),
    "describe the API": (BOTH, "inference", "OPTIONS", "/", {}, ""),
    "describe the API by GET": (BOTH, "inference", "GET", "/api-description", {}, ""),
    "describe a model's API": (BOTH, "inference", "OPTIONS", "/predictions/half", {}, ""),
    "describe no model's API": (BOTH, "inference", "OPTIONS", "/predictions/nope", {}, ""),
    "list": (BOTH, "management", "GET", "/models", {}, ""),
    "list none": (BOTH, "management", "GET", "/models?limit=0", {}, ""),
    "list, a limit that is none": (BOTH, "management", "GET", "/models?limit=x", {}, ""),
    "list, a token that is none": (BOTH, "management", "GET", "/models?next_page_token=abc", {}, ""),
    "describe": (BOTH, "management", "GET", "/models/half", {}, ""),
    "describe none": (BOTH, "management", "GET", "/models/nope", {}, ""),
    "register without url": (BOTH, "management", "POST", "/models", {}, ""),
    "register what is not there": (BOTH, "management", "POST", "/models?url=nope.mar", {}, ""),
    "register upwards": (BOTH, "management", "POST", "/models?url=../x.mar", {}, ""),
    "register a file": (BOTH, "management", "POST", "/models?url=file:///etc/passwd", {}, ""),
    "register a URL that does not answer": (
        BOTH, "management", "POST", "/models?url=http://127.0.0.1:1/x.mar", {}, "",
    ),
    "register": (BOTH, "management", "POST", "/models?url=half.mar&model_name=other", {}, ""),
    "register again": (BOTH, "management", "POST", "/models?url=half.mar&model_name=other", {}, ""),
    "register and wait": (
        BOTH, "management", "POST", "/models?url=half.mar&model_name=third&initial_workers=1&synchronous=true", {}, "",
    ),
    "register by JSON": (
        BOTH, "management", "POST", "/models", JSON,
        '{"url": "half.mar", "model_name": "fourth", "initial_workers": "1", "synchronous": true}',
    ),
    "list a page": (BOTH, "management", "GET", "/models?limit=1", {}, ""),
    "list the next page": (BOTH, "management", "GET", "/models?limit=1&next_page_token=1", {}, ""),
    "list the last page": (BOTH, "management", "GET", "/models?limit=2&next_page_token=2", {}, ""),
    "scale and wait": (BOTH, "management", "PUT", "/models/third?min_worker=1&synchronous=true", {}, ""),
    "scale": (BOTH, "management", "PUT", "/models/third?min_worker=1", {}, ""),
    "scale the wrong way round": (BOTH, "management", "PUT", "/models/third?min_worker=1&max_worker=0", {}, ""),
    "scale none": (BOTH, "management", "PUT", "/models/nope?min_worker=1", {}, ""),
    "predict what was registered": (BOTH, "inference", "POST", "/predictions/third", JSON, ONE),
    "register a second version": (
        TS, "management", "POST", "/models?url=half2.mar&initial_workers=1&synchronous=true", {}, "",
    ),
    "describe all versions": (TS, "management", "GET", "/models/half/all", {}, ""),
    "describe a version": (TS, "management", "GET", "/models/half/2.0", {}, ""),
    "describe no version": (TS, "management", "GET", "/models/half/7.0", {}, ""),
    "the first version stays the default": (TS, "management", "GET", "/models/half", {}, ""),
    "unregister the default": (TS, "management", "DELETE", "/models/half/1.0", {}, ""),
    "unregister all at once": (TS, "management", "DELETE", "/models/half", {}, ""),
    "set no version as default": (TS, "management", "PUT", "/models/half/7.0/set-default", {}, ""),
    "set a default of none": (TS, "management", "PUT", "/models/nope/1.0/set-default", {}, ""),
    "set the default": (TS, "management", "PUT", "/models/half/2.0/set-default", {}, ""),
    "the new default": (TS, "management", "GET", "/models/half", {}, ""),
    "unregister a version": (TS, "management", "DELETE", "/models/half/1.0", {}, ""),
    "unregister no version": (BOTH, "management", "DELETE", "/models/third/9.0", {}, ""),
    "unregister": (BOTH, "management", "DELETE", "/models/third", {}, ""),
    "unregister again": (BOTH, "management", "DELETE", "/models/third", {}, ""),
    "predict what was unregistered": (BOTH, "inference", "POST", "/predictions/third", JSON, ONE),
    "another method": (BOTH, "management", "PATCH", "/models", {}, ""),
    "health is elsewhere": (BOTH, "management", "GET", "/ping", {}, ""),
    "describe the management API": (BOTH, "management", "OPTIONS", "/", {}, ""),
    "metrics": (TS, "metrics", "GET", "/metrics?name[]=ts_inference_requests_total", {}, ""),
    "metrics have no index": (TS, "metrics", "GET", "/", {}, ""),
}  # fmt: skip
HEADERS = ("content-type", "x-request-id", "pragma", "cache-control", "expires")


def pack(folder):
    for name, number in (("half.mar", "1.0"), ("half2.mar", "2.0")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("handler.py", HANDLER)
            manifest = {
                "specificationVersion": "1.0",
                "modelServerVersion": "1.0",
                "runtime": "python",
                "model": {**MODEL, "modelVersion": number},
            }
            archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))


def free():
    """A free port that they take: not an ephemeral one (multi-model-server refuses those)."""
    for port in random.sample(range(20000, 45000), 100):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no free port")


def ask(port, method, path, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        data = b" " * body if isinstance(body, int) else body.encode()
        with contextlib.suppress(BrokenPipeError):  # it may answer 413 before all has come
            connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text
    finally:
        connection.close()


@contextlib.contextmanager
def running(server, folder):
    ports = {name: free() for name in ("inference", "management", "metrics")}
    lines = [f"{name}_address=http://127.0.0.1:{port}" for name, port in ports.items()]
    if server == "mms":
        lines.pop()
        command = ["multi-model-server", "--start", "--foreground", "--mms-config"]
    else:
        lines += [f"grpc_inference_port={free()}", f"grpc_management_port={free()}", "metrics_mode=prometheus"]
        lines += ["disable_token_authorization=true", "enable_model_api=true"]
        command = ["torchserve", "--start", "--foreground", "--ncs", "--ts-config"]
    config = folder / "config.properties"
    config.write_text("\n".join(lines) + "\n")
    here = Path(sys.executable).parent
    command = [
        str(here / command[0]),
        *command[1:],
        str(config),
        "--model-store",
        str(folder),
        "--models",
        "half=half.mar",
    ]
    env = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}"}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=env, start_new_session=True)
    try:
        until = time.monotonic() + 180
        while True:
            with contextlib.suppress(OSError):
                if ask(ports["inference"], "POST", "/predictions/half", JSON, ONE)[0] == 200:
                    break
            if time.monotonic() > until:
                raise SystemExit((folder / "log.txt").read_text()[-4000:])
            time.sleep(0.5)
        yield ports
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def record(server):
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pack(folder)
        with running(server, folder) as ports:
            for call, (servers, port, method, path, headers, body) in CALLS.items():
                if server not in servers:
                    continue
                status, answered, text = ask(ports[port], method, path, headers, body)
                with contextlib.suppress(ValueError):
                    text = json.loads(text)
                if isinstance(text, dict) and "openapi" in text:
                    text = {"openapi": text["openapi"], "paths": sorted(text["paths"])}
                found.append(
                    {
                        "call": call,
                        "port": port,
                        "method": method,
                        "path": path,
                        "headers": headers,
                        "body": body,
                        "status": status,
                        "answered": {k: v for k, v in answered.items() if k in HEADERS},
                        "answer": text,
                    }
                )
    return found


if __name__ == "__main__":
    document = {
        "made_by": "tests/conformance/make_mms.py",
        "versions": {name: version(name) for name in ("multi-model-server", "torchserve")},
        **{server: record(server) for server in BOTH},
    }
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")
