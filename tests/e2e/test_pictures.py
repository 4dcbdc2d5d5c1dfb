"""A picture file, through every protocol, is the tensor that [preprocess] makes of it: the same numbers."""

from __future__ import annotations

import base64
import io
import json
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from gateway.protocols.pool import message
from tests.e2e.running import Running

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "docs" / "samples" / "digits" / "7.png"


@pytest.fixture(scope="module")
def served(shared: Running) -> Running:
    shutil.copytree(ROOT / "model_repo" / "digits" / "1", shared.repository / "seen" / "1")
    shared.wait("seen", 1, "AVAILABLE", 150)
    return shared


@pytest.fixture(scope="module")
def right(served: Running) -> list[float]:
    """The logits for the sample, from the tensor that its [preprocess] makes of it."""
    grey = Image.open(SAMPLE).convert("L").resize((8, 8), Image.Resampling.BOX)
    pixels = np.asarray(grey, np.float32)[None, None] / np.float32(255)
    status, answer = served.predict("seen", pixels.tolist())
    assert status == 200, answer
    return answer["outputs"]["logits"][0]


def files() -> dict[str, bytes]:
    """The sample in each kind of file; JPEG and lossy WebP change pixels, so they are not compared."""
    found = {"PNG": SAMPLE.read_bytes()}
    for kind, options in (("BMP", {}), ("WEBP", {"lossless": True})):
        stream = io.BytesIO()
        Image.open(SAMPLE).convert("RGB").save(stream, kind, **options)
        found[kind] = stream.getvalue()
    return found


def rows(running: Running, data: bytes) -> Any:
    text = base64.b64encode(data).decode()
    status, answer = running.call("/v1/models/seen:predict", {"instances": [{"b64": text}]})
    return answer["predictions"][0]["logits"] if status == 200 else answer


def columns(running: Running, data: bytes) -> Any:
    status, answer = running.predict("seen", {"image": [{"b64": base64.b64encode(data).decode()}]})
    return answer["outputs"]["logits"][0] if status == 200 else answer


def tfs_grpc(running: Running, data: bytes) -> Any:
    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name = "seen"
    proto = request.inputs["image"]
    proto.dtype = 7
    proto.tensor_shape.dim.add().size = 1
    proto.string_val.append(data)
    try:
        with grpc.insecure_channel(running.addresses["grpc"]) as channel:
            body = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(request.SerializeToString())
    except grpc.RpcError as error:
        return {"error": error.details()}
    return list(message("tensorflow.serving.PredictResponse").FromString(body).outputs["logits"].float_val)


def kserve_json(running: Running, data: bytes) -> Any:
    one = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [{"b64": base64.b64encode(data).decode()}]}
    status, answer = running.call("/v2/models/seen/infer", {"inputs": [one]})
    return next(o["data"] for o in answer["outputs"] if o["name"] == "logits") if status == 200 else answer


def kserve_binary(running: Running, data: bytes) -> Any:
    raw = len(data).to_bytes(4, "little") + data
    one = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [one]}).encode()
    request = urllib.request.Request(
        f"{running.http}/v2/models/seen/infer", head + raw, {"Inference-Header-Content-Length": str(len(head))}
    )
    try:
        answer = json.loads(urllib.request.urlopen(request, timeout=30).read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())
    return next(o["data"] for o in answer["outputs"] if o["name"] == "logits")


def raw_body(running: Running, data: bytes) -> Any:
    status, answer = running.call("/predictions/seen?top_k=0", data)
    return answer["logits"] if status == 200 else {"error": answer["message"]}


WAYS: dict[str, Callable[[Running, bytes], Any]] = {
    "TensorFlow Serving, rows": rows,
    "TensorFlow Serving, columns": columns,
    "TensorFlow Serving, gRPC": tfs_grpc,
    "KServe, JSON": kserve_json,
    "KServe, binary": kserve_binary,
    "multi-model-server, the body": raw_body,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_the_same_numbers(way: Callable[[Running, bytes], Any], kind: str, served: Running, right: list[float]) -> None:
    found = way(served, files()[kind])
    np.testing.assert_allclose(np.asarray(found), np.asarray(right), rtol=1e-5, strict=True)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_text_is_refused(way: Callable[[Running, bytes], Any], served: Running) -> None:
    assert "picture" in way(served, b"I am no pixels")["error"]


def test_two_pictures_are_a_batch(served: Running, right: list[float]) -> None:
    text = {"b64": base64.b64encode(SAMPLE.read_bytes()).decode()}
    status, answer = served.call("/v1/models/seen:predict", {"instances": [{"image": text}, {"image": text}]})
    assert status == 200, answer
    found = np.asarray([row["logits"] for row in answer["predictions"]])
    np.testing.assert_allclose(found, np.asarray([right, right]), rtol=1e-5, strict=True)


def test_numbers_are_still_numbers(served: Running) -> None:
    """A string that is no b64 object is not taken for a picture."""
    status, answer = served.call("/v1/models/seen:predict", {"instances": ["hello"]})
    assert status == 400
    assert "not of expected type" in answer["error"]
