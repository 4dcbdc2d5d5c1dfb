"""Latency of one model, in the Environment that runs it: a script of bench/savedmodel.py.

    latency.py tensorflow FOLDER [arcface]    {"ours": ms, "keras": ms, "transposes": number}, the two in turns
    latency.py onnxruntime FILE               {"onnxruntime": ms}
    latency.py weights FILE                   bytes of the initializers

One thread, one example: free sizes are those of SIZES. The least of the rounds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS, SECONDS = 400, 20.0
FREE = {1: 64}  # axis -> size, where it is free: a sequence; 1 elsewhere


def given(kind: Any, shape: list[int | None]) -> Any:
    sizes = [FREE.get(axis, 1) if size is None else size for axis, size in enumerate(shape)]
    rng = np.random.default_rng(3)
    return rng.integers(0, 9, sizes).astype(kind) if np.dtype(kind).kind in "iu" else rng.random(sizes).astype(kind)


def least(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds: each call in turn, until the time is over."""
    for call in calls.values():
        for _ in range(3):
            call()
    found = dict.fromkeys(calls, float("inf"))
    end = time.monotonic() + SECONDS
    for _ in range(ROUNDS):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            found[name] = min(found[name], (time.perf_counter() - started) * 1e3)
        if time.monotonic() > end:
            break
    return found


def tensorflow(folder: Path, nets: list[str]) -> dict[str, float]:
    import tensorflow as tf  # noqa: TID251  this runs in Environment tensorflow

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures["serving_default"]
    specs = function.structured_input_signature[1]
    feeds = {n: tf.constant(given(s.dtype.as_numpy_dtype, s.shape.as_list())) for n, s in specs.items()}
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: [t.numpy() for t in function(**feeds).values()]}
    if nets:
        sys.path.insert(0, str(Path(__file__).parent))
        import keras_net

        model = keras_net.arcface()
        compiled = tf.function(lambda x: model(x, training=False), autograph=False)
        picture = tf.constant(given("float32", [1, 112, 112, 3]))
        calls["keras"] = lambda: compiled(picture).numpy()
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for inner in definition.library.function for node in inner.node_def)]
    return least(calls) | {"transposes": sum(node.op == "Transpose" for node in nodes)}


def onnxruntime(file: Path) -> dict[str, float]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    kinds = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(uint8)": "uint8"}
    feeds = {
        put.name: given(kinds[put.type], [size if isinstance(size, int) else None for size in put.shape])
        for put in session.get_inputs()
    }
    return least({"onnxruntime": lambda: session.run(None, feeds)})


def weights(file: Path) -> int:
    import onnx

    model = onnx.load(str(file))
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)


if __name__ == "__main__":
    verb, place, *rest = sys.argv[1:]
    if verb == "weights":
        print(weights(Path(place)))
    else:
        print(json.dumps(tensorflow(Path(place), rest) if verb == "tensorflow" else onnxruntime(Path(place))))
