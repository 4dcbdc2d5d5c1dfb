"""Every way TensorFlow has to load a SavedModel, and twenty steps of training. A script for Environment `tensorflow`:

    python loaders.py JOB.json

JOB: {"key": of the SignatureDef, "inputs": an .npz, "check": {folder: tags}, "train": folder, "labels": an .npy,
"out": folder of the new drop}. Answers lie in FOLDER.LOADER.npz, one JSON document on stdout says what was seen.

Nothing here is ours: it is what a user of TensorFlow writes.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf  # noqa: TID251  this runs in Environment tensorflow

v1 = tf.compat.v1
STEPS, RATE = 20, 0.05
Feeds = dict[str, Any]


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    with np.load(job["inputs"]) as data:
        feeds = {name: data[name] for name in data.files}
    found: dict[str, Any] = {"check": {folder: {} for folder in job["check"]}}
    for folder, tags in job["check"].items():
        for loader in (functions, session, command_line, c_api, keras_layer):
            try:
                np.savez(f"{folder}.{loader.__name__}.npz", **loader(folder, job["key"], feeds, tags))
                said = ""
            except Exception as error:  # what a loader says is what the test looks at
                said = f"{type(error).__name__}: {error}"[:1000]
            found["check"][folder][loader.__name__] = said
    found["train"] = train(job["train"], job["key"], feeds, np.load(job["labels"]), Path(job["out"]))
    print(json.dumps(found))


def functions(folder: str, key: str, feeds: Feeds, tags: list[str]) -> Feeds:
    """tf.saved_model.load."""
    loaded = tf.saved_model.load(folder, tags=tags)
    answers = loaded.signatures[key](**{name: tf.constant(array) for name, array in feeds.items()})
    return {name: tensor.numpy() for name, tensor in answers.items()}


def session(folder: str, key: str, feeds: Feeds, tags: list[str]) -> Feeds:
    """The loader of TensorFlow 1, by aliases alone."""
    with v1.Session(graph=tf.Graph()) as sess:
        signature = v1.saved_model.load(sess, tags, folder).signature_def[key]
        wanted = {name: info.name for name, info in signature.outputs.items()}
        found: Feeds = sess.run(wanted, {signature.inputs[name].name: array for name, array in feeds.items()})
        return found


def command_line(folder: str, key: str, feeds: Feeds, tags: list[str]) -> Feeds:
    """saved_model_cli show and run."""
    from tensorflow.python.tools import saved_model_cli  # noqa: TID251

    with tempfile.TemporaryDirectory() as scratch:
        given = []
        for name, array in feeds.items():
            np.save(f"{scratch}/{name}.npy", array)
            given.append(f"{name}={scratch}/{name}.npy")
        common = ["--dir", folder, "--tag_set", ",".join(tags), "--signature_def", key]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            for verb in (["show"], ["run", "--inputs", ";".join(given), "--outdir", scratch]):
                sys.argv = ["saved_model_cli", *verb, *common]
                with contextlib.suppress(SystemExit):
                    saved_model_cli.main()
        assert all(name in said.getvalue() for name in feeds), said.getvalue()
        outputs = [path for path in Path(scratch).glob("*.npy") if path.stem not in feeds]
        return {path.stem: np.load(path) for path in outputs}


def c_api(folder: str, key: str, feeds: Feeds, tags: list[str]) -> Feeds:
    """TF_LoadSessionFromSavedModel of the C library, float32 in and out."""
    library = ctypes.CDLL(str(next(Path(tf.__file__).parent.glob("libtensorflow_cc.so*"))))
    for name in ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_LoadSessionFromSavedModel", "TF_Message",
                 "TF_AllocateTensor", "TF_TensorData", "TF_GraphOperationByName", "TF_NewBuffer"):  # fmt: skip
        getattr(library, name).restype = ctypes.c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    library.TF_TensorByteSize.restype = ctypes.c_size_t
    library.TF_Dim.restype = ctypes.c_int64

    class Output(ctypes.Structure):
        _fields_ = [("oper", ctypes.c_void_p), ("index", ctypes.c_int)]

    def pointer(value: Any) -> Any:
        return ctypes.c_void_p(value)

    status, graph = library.TF_NewStatus(), library.TF_NewGraph()
    named = (ctypes.c_char_p * len(tags))(*[tag.encode() for tag in tags])
    sess = library.TF_LoadSessionFromSavedModel(
        pointer(library.TF_NewSessionOptions()), None, folder.encode(), named, len(tags), pointer(graph), None,
        pointer(status),
    )  # fmt: skip
    assert library.TF_GetCode(pointer(status)) == 0, library.TF_Message(pointer(status)).decode()

    def output(name: str) -> Any:
        operation, _, index = name.partition(":")
        return Output(library.TF_GraphOperationByName(pointer(graph), operation.encode()), int(index))

    signature = _signature(folder, key, tags)
    tensors = []
    for array in feeds.values():
        sizes = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = library.TF_AllocateTensor(1, sizes, array.ndim, ctypes.c_size_t(array.nbytes))
        ctypes.memmove(library.TF_TensorData(pointer(tensor)), array.ctypes.data, array.nbytes)
        tensors.append(tensor)
    names = list(signature.outputs)
    inputs = (Output * len(feeds))(*[output(signature.inputs[name].name) for name in feeds])
    outputs = (Output * len(names))(*[output(signature.outputs[name].name) for name in names])
    given, made = (ctypes.c_void_p * len(tensors))(*tensors), (ctypes.c_void_p * len(names))()
    library.TF_SessionRun(
        pointer(sess), None, inputs, given, len(tensors), outputs, made, len(names), None, 0, None, pointer(status)
    )
    assert library.TF_GetCode(pointer(status)) == 0, library.TF_Message(pointer(status)).decode()
    found = {}
    for name, tensor in zip(names, made):
        shape = [library.TF_Dim(pointer(tensor), axis) for axis in range(library.TF_NumDims(pointer(tensor)))]
        size = library.TF_TensorByteSize(pointer(tensor))
        data = ctypes.string_at(library.TF_TensorData(pointer(tensor)), size)
        found[name] = np.frombuffer(data, np.float32).reshape(shape)
    return found


def keras_layer(folder: str, key: str, feeds: Feeds, tags: list[str]) -> Feeds:
    """Keras' TFSMLayer; it knows no tags."""
    import keras

    layer = keras.layers.TFSMLayer(folder, call_endpoint=key)
    answers = layer(*[tf.constant(array) for array in feeds.values()])
    return {name: tensor.numpy() for name, tensor in answers.items()}


def _signature(folder: str, key: str, tags: list[str]) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: TID251

    saved = saved_model_pb2.SavedModel.FromString((Path(folder) / "saved_model.pb").read_bytes())
    return next(m.signature_def[key] for m in saved.meta_graphs if set(m.meta_info_def.tags) == set(tags))


def train(folder: str, key: str, feeds: Feeds, labels: Any, out: Path) -> dict[str, Any]:
    """OUT is the SavedModel with new weights: its graphs are as they were, and what is the gateway's is left out."""
    with v1.Session(graph=tf.Graph()) as sess:
        signature = v1.saved_model.load(sess, ["train"], folder).signature_def[key]
        weights = v1.global_variables()
        logits = sess.graph.get_tensor_by_name(signature.outputs["logits"].name)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        step = v1.train.GradientDescentOptimizer(RATE).minimize(loss)
        given = {signature.inputs[name].name: array for name, array in feeds.items()}
        twice = [sess.run(logits, given) for _ in range(2)]
        moving = [v for v in weights if v not in v1.trainable_variables()]
        before = sess.run(moving)
        losses = [float(sess.run([loss, step], given)[0]) for _ in range(STEPS)]
        after = sess.run(moving)
        shutil.copytree(folder, out, ignore=shutil.ignore_patterns("gateway.json", "warmup.tensors", "variables"))
        (out / "variables").mkdir()
        saver = v1.train.Saver(weights)
        saver.save(sess, str(out / "variables" / "variables"), write_meta_graph=False, write_state=False)
    loaded = tf.saved_model.load(folder, tags=["train"])
    with tf.GradientTape() as tape:
        answers = loaded.signatures[key](**{name: tf.constant(array) for name, array in feeds.items()})
        value = tf.reduce_mean(answers["logits"] ** 2)
    wanted = [variable for variable in loaded.variables if variable.trainable]
    return {
        "losses": losses,
        "weights": sorted(variable.op.name for variable in weights),
        "moving": sorted(variable.op.name for variable in moving),
        "moved": all(not np.array_equal(a, b) for a, b in zip(before, after)),
        "dropped": not np.array_equal(*twice),
        "gradients": all(gradient is not None for gradient in tape.gradient(value, wanted)),
    }


if __name__ == "__main__":
    main()
