"""Parts of ours that only TensorFlow can try. A script for Environment `tensorflow`:

    python tensorflow_parts.py GATEWAY WARMUP.json

One JSON document on stdout:
    "replay": {name of a file: {"calls": [[signature, inputs]], "error", "hint"}}, of a model that is written down here
    "slim": what a SavedModel of TensorFlow's own says before and after build/slim.py
"""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CUT, MANY, NOT_ONE = "cut off", "one too many", "no TFRecord"


def main() -> None:
    print(json.dumps({"replay": replayed(json.loads(Path(sys.argv[2]).read_text())), "slim": slimmed()}))


def slimmed() -> dict[str, Any]:
    """Of a function with equal nodes, dead ones, two draws of one kind, a loop, and a variable that it moves."""
    import tensorflow as tf  # noqa: TID251  this runs in Environment tensorflow

    from gateway.formats.savedmodel.build import slim

    class Net(tf.Module):  # type: ignore[misc]  # tensorflow has no types
        def __init__(self) -> None:
            super().__init__()
            self.calls = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False)
        def call(self, x: Any) -> Any:
            tf.exp(x)
            once, again = x * 3.0, x * 3.0
            same = once / 2.0 - tf.identity(again) / 2.0
            self.calls.assign_add(1.0)
            noise = tf.random.uniform([4]) - tf.random.uniform([4])
            body = lambda i, y: (i + 1, y * 2.0 + y * 2.0)  # noqa: E731
            _, loop = tf.while_loop(lambda i, y: i < 3, body, [0, x])
            return {"y": once + again + same, "loop": loop, "noise": noise, "calls": self.calls.read_value()}

    said: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        net = Net()
        tf.saved_model.save(net, folder, signatures=net.call)
        for when in ("before", "after"):
            if when == "after":
                slim.slim_file(Path(folder))
            loaded = tf.saved_model.load(folder).signatures["serving_default"]
            answers = [loaded(x=tf.constant([1.0, -2.0])) for _ in range(2)]
            said[when] = {name: [a[name].numpy().tolist() for a in answers] for name in ("y", "loop", "calls", "noise")}
            said[when] |= {"size": (Path(folder) / "saved_model.pb").stat().st_size, "operators": _operators(folder)}
            mark = tf.saved_model.experimental.read_fingerprint(folder)
            said[when]["fingerprint"] = str(mark.saved_model_checksum)
    return said


def _operators(folder: str) -> list[str]:
    """Of every function of the file, and attributes that are only shapes."""
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: TID251

    saved = saved_model_pb2.SavedModel.FromString((Path(folder) / "saved_model.pb").read_bytes())
    nodes = [node for function in saved.meta_graphs[0].graph_def.library.function for node in function.node_def]
    return [node.op for node in nodes] + ["_output_shapes" for node in nodes if "_output_shapes" in node.attr]


def replayed(written: dict[str, list[str]]) -> dict[str, Any]:
    import tensorflow as tf  # noqa: TID251

    from gateway.errors import ConversionError
    from gateway.formats.savedmodel import warmup

    calls: list[Any] = []

    def product(inputs: Mapping[str, Any]) -> Any:
        calls.append(["product", {name: array.tolist() for name, array in inputs.items()}])
        return tf.constant(inputs["x"]) @ tf.ones([2, 1])

    def words(inputs: Mapping[str, Any]) -> Any:
        calls.append(["words", [word.decode() for word in inputs["words"]]])

    def examples(inputs: Mapping[str, Any]) -> Any:
        parsed = tf.io.parse_example(tf.constant(inputs["inputs"]), {"x": tf.io.FixedLenFeature([2], tf.float32)})
        calls.append(["examples", parsed["x"].numpy().tolist()])

    targets = {
        "serving_default": warmup.Target(("x",), product),
        "words": warmup.Target(("words",), words),
        "classify": warmup.Target(("inputs",), examples),
        "regress": warmup.Target(("inputs",), examples),
    }
    files = {
        name: [base64.b64decode(r) for r in records]
        for name, records in json.loads(Path(sys.argv[2]).read_text()).items()
    }
    files[CUT] = files["every kind"][:2]
    files[MANY] = files["every kind"][2:3] * (warmup.MOST + 1)
    files[NOT_ONE] = []
    said = {}
    for name, records in files.items():
        calls.clear()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / warmup.FILE
            with tf.io.TFRecordWriter(str(path)) as stream:
                for record in records:
                    stream.write(record)
            if name == CUT:
                path.write_bytes(path.read_bytes()[:-5])
            if name == NOT_ONE:
                path.write_bytes(b"x" * 100)
            error = hint = ""
            try:
                warmup.replay(path, targets, frozenset({*targets, "sparse"}))
            except ConversionError as problem:
                error, hint = problem.message, problem.hint
        said[name] = {"calls": list(calls), "error": error, "hint": hint}
    return said


if __name__ == "__main__":
    location = sys.argv[1]
    spec = importlib.util.spec_from_file_location(
        "gateway", f"{location}/__init__.py", submodule_search_locations=[location]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gateway"] = module
    spec.loader.exec_module(module)
    main()
