"""112x112 RGB -> 32 numbers by seeded weights: it tells pictures apart, if not people.

Runs in Environment base, which has onnx: `python embedder.py FILE SEED ROWS`; ROWS 0 is a free batch.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOML = """
[[inputs]]
from = "data"
name = "image"
[[outputs]]
from = "fc1"
name = "embedding"
[preprocess]
mean = 127.5
std = 128
"""


def drop(folder: Path, *, seed: int, rows: int) -> None:
    """The embedder as a drop, complete when its folder appears."""
    from gateway.process.environments import Environments

    beside = folder.parent / f".{folder.name}.part"
    beside.mkdir(parents=True)
    (beside / "model.toml").write_text(TOML)
    python = Environments().find("base").python
    subprocess.run([python, __file__, beside / "model.onnx", str(seed), str(rows)], check=True, timeout=60)
    beside.rename(folder)


def write(path: str, seed: int, rows: int) -> None:
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    random = np.random.default_rng(seed)
    first = (random.standard_normal((8, 3, 8, 8)) / 14).astype(np.float32)
    last = (random.standard_normal((8 * 14 * 14, 32)) / 40).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["data", "first"], ["a"], strides=[8, 8]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "last"], ["fc1"]),
    ]
    ends = [
        [helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, [rows or "N", 3, 112, 112])],
        [helper.make_tensor_value_info("fc1", onnx.TensorProto.FLOAT, [rows or "N", 32])],
    ]
    weights = [numpy_helper.from_array(first, "first"), numpy_helper.from_array(last, "last")]
    graph = helper.make_graph(nodes, "embedder", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
