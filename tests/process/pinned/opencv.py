"""Environment `opencv`: a Caffe, a Darknet and a Torch7 net, written here, run by OpenCV's dnn, against numpy."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from gateway.process.child import ChildJob

CAFFE = """
input: "x" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "r" type: "ReLU" bottom: "p" top: "r" }
"""
DARKNET = """[net]
width=4
height=4
channels=2

[convolutional]
filters=3
size=1
stride=1
pad=0
activation=linear
"""


def torch7(weight: np.ndarray, bias: np.ndarray) -> bytes:
    """nn.Linear in Torch7's binary form: tables (3), numbers (1), texts (2), objects (4) with a number each."""
    count = iter(range(1, 99))

    def text(value: str) -> bytes:
        return struct.pack("<i", len(value)) + value.encode()

    def thing(kind: str, body: bytes) -> bytes:
        return struct.pack("<ii", 4, next(count)) + text("V 1") + text(kind) + body

    def tensor(array: np.ndarray) -> bytes:
        strides = [stride // 8 for stride in array.strides]
        head = struct.pack(f"<i{2 * array.ndim + 1}q", array.ndim, *array.shape, *strides, 1)
        number = next(count)
        storage = thing("torch.DoubleStorage", struct.pack("<q", array.size) + array.tobytes())
        return struct.pack("<ii", 4, number) + text("V 1") + text("torch.DoubleTensor") + head + storage

    entries = {"weight": tensor(weight), "bias": tensor(bias)}
    table = struct.pack("<iii", 3, next(count), len(entries))
    for name, value in entries.items():
        table += struct.pack("<i", 2) + text(name) + value
    return thing("nn.Linear", table)


def work(job: ChildJob) -> dict[str, Any]:
    import cv2

    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 2, 4, 4)).astype(np.float32)

    def run(net: Any, given: np.ndarray) -> np.ndarray:
        net.setInput(given)
        return np.asarray(net.forward())

    (job.out / "m.prototxt").write_text(CAFFE)
    answer = run(cv2.dnn.readNetFromCaffe(str(job.out / "m.prototxt")), x)
    pooled = x.reshape(1, 2, 2, 2, 2, 2).mean(axis=(3, 5))
    np.savez(job.out / "caffe.npz", x=x, y=answer, expected=np.maximum(pooled, 0))

    bias, weight = rng.normal(size=3).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
    (job.out / "m.cfg").write_text(DARKNET)
    (job.out / "m.weights").write_bytes(struct.pack("<iiiq", 0, 2, 5, 0) + bias.tobytes() + weight.tobytes())
    answer = run(cv2.dnn.readNetFromDarknet(str(job.out / "m.cfg"), str(job.out / "m.weights")), x)
    expected = np.einsum("oi,nihw->nohw", weight, x) + bias[:, None, None]
    np.savez(job.out / "darknet.npz", x=x, y=answer, expected=expected.astype(np.float32))

    w, b = rng.normal(size=(3, 4)), rng.normal(size=3)
    (job.out / "m.t7").write_bytes(torch7(w, b))
    flat = x[0, 0]
    answer = run(cv2.dnn.readNetFromTorch(str(job.out / "m.t7")), flat)
    np.savez(job.out / "torch7.npz", x=flat, y=answer, expected=(flat @ w.T + b).astype(np.float32))
    return {}
