"""Latency of one model, in the Environment that runs it: a script that bench/savedmodel.py drives, call by call.

    latency.py tensorflow FOLDER [NET]    the SavedModel, and beside it the NET of keras_net.py
    latency.py onnxruntime FILE
    latency.py weights FILE               prints the bytes of the initializers, and ends

Prints {"transposes": number} once it is warm; then each line on stdin is one call of everything there is, answered by
{"ours": ms, "keras": ms} or {"onnxruntime": ms}. One thread, one example: free sizes are those of FREE.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WARM = 3  # calls
FREE = {1: 64}  # axis -> size, where it is free: a sequence; 1 elsewhere
KINDS = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(uint8)": "uint8"}


def given(kind: Any, shape: list[int | None]) -> Any:
    sizes = [FREE.get(axis, 1) if size is None else size for axis, size in enumerate(shape)]
    rng = np.random.default_rng(3)
    return rng.integers(0, 9, sizes).astype(kind) if np.dtype(kind).kind in "iu" else rng.random(sizes).astype(kind)


def serve(calls: dict[str, Callable[[], Any]], **said: Any) -> None:
    for call in calls.values():
        for _ in range(WARM):
            call()
    print(json.dumps(said), flush=True)
    for _ in sys.stdin:
        found = {}
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            found[name] = (time.perf_counter() - started) * 1e3
        print(json.dumps(found), flush=True)


def tensorflow(folder: Path, net: str) -> None:
    import tensorflow as tf  # noqa: TID251  this runs in Environment tensorflow

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures["serving_default"]
    specs = function.structured_input_signature[1]
    feeds = {n: tf.constant(given(s.dtype.as_numpy_dtype, s.shape.as_list())) for n, s in specs.items()}
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: [t.numpy() for t in function(**feeds).values()]}
    if net:
        sys.path.insert(0, str(Path(__file__).parent))
        import keras_net

        model = keras_net.NETS[net]()
        compiled = tf.function(lambda x: model(x, training=False), autograph=False)
        inputs = [tf.constant(given(put.dtype, list(put.shape))) for put in model.inputs]
        calls["keras"] = lambda: compiled(inputs[0] if len(inputs) == 1 else inputs).numpy()
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for inner in definition.library.function for node in inner.node_def)]
    serve(calls, transposes=sum(node.op == "Transpose" for node in nodes))


def onnxruntime(file: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
    feeds = {
        put.name: given(KINDS[put.type], [size if isinstance(size, int) else None for size in put.shape])
        for put in session.get_inputs()
    }
    serve({"onnxruntime": lambda: session.run(None, feeds)})


def weights(file: Path) -> int:
    import onnx

    model = onnx.load(str(file))
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)


if __name__ == "__main__":
    verb, place, *rest = sys.argv[1:]
    if verb == "weights":
        print(weights(Path(place)))
    elif verb == "tensorflow":
        tensorflow(Path(place), "".join(rest))
    else:
        onnxruntime(Path(place))
