"""Genuine OpenVINO IR: run by the Python of Environment `openvino`, writes into argv[1]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops


def model() -> object:
    x = ops.parameter([-1, 4], np.float32, name="x")
    y = ops.relu(ops.matmul(x, ops.constant(np.ones((4, 3), np.float32)), False, False))
    return ov.Model([y], [x], "net")


def ir(out: Path) -> None:
    ov.save_model(model(), out / "m.xml")


def ir_float32(out: Path) -> None:
    ov.save_model(model(), out / "net.xml", compress_to_fp16=False)


def ir_alone(out: Path) -> None:
    ov.save_model(model(), out / "m.xml")
    (out / "m.bin").unlink()


if __name__ == "__main__":
    for make in (ir, ir_float32, ir_alone):
        folder = Path(sys.argv[1]) / make.__name__
        folder.mkdir()
        make(folder)
