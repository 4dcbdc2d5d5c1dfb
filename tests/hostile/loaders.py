# ruff: noqa: PTH103, PTH118, PTH120, TID251  os.path.join is the mistake that is shown here; frameworks are the subject
"""How a gateway that trusts its files would open them: `LOADERS[name](path)` returns what came out, as text.

Runs in the Environment of the sample, from a script or as a Job's task; frameworks are imported inside.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Loader = Callable[[Path], object]
LOADERS: dict[str, Loader] = {}


def loader(function: Loader) -> Loader:
    LOADERS[function.__name__] = function
    return function


@loader
def unpickle(path: Path) -> object:
    import pickle

    return pickle.loads(path.read_bytes())


@loader
def joblib(path: Path) -> object:
    import joblib

    return joblib.load(path)


@loader
def numpy(path: Path) -> object:
    import numpy as np

    found = np.load(path, allow_pickle=True)
    return {name: found[name] for name in found} if path.suffix == ".npz" else found


@loader
def torch(path: Path) -> object:
    import torch

    return torch.load(path, weights_only=False)


@loader
def keras(path: Path) -> object:
    import keras

    return keras.saving.load_model(path, safe_mode=False)


@loader
def keras_h5(path: Path) -> object:
    import tf_keras

    return tf_keras.models.load_model(path, compile=False)


@loader
def keras_before_3_9(path: Path) -> object:
    """What Keras did until 3.9 with the module and the name in a config: import the one, call the other."""
    import importlib
    import zipfile

    text = zipfile.ZipFile(path).read("config.json") if path.suffix == ".keras" else path.read_bytes()
    for layer in json.loads(text)["config"]["layers"]:
        if not layer["module"].startswith("keras"):
            return getattr(importlib.import_module(layer["module"]), layer["class_name"])(**layer["config"])
    return None


@loader
def savedmodel(path: Path) -> object:
    import tensorflow as tf

    return tf.saved_model.load(str(path)).signatures["serving_default"]()


@loader
def graphdef(path: Path) -> object:
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default():
        tf.import_graph_def(graph, name="")
        with tf.compat.v1.Session() as session:
            return session.run("out:0")


@loader
def onnx_joined(path: Path) -> object:
    """Where the weights lie is joined to the folder and read, as onnx did before 1.13."""
    import onnx

    out = []
    for tensor in onnx.load(str(path), load_external_data=False).graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        with Path(os.path.join(path.parent, place["location"])).open("rb") as stream:
            out.append(stream.read(1 << 16))
    return out


@loader
def labels_joined(path: Path) -> object:
    import tomllib

    return Path(os.path.join(path.parent, tomllib.loads(path.read_text())["labels"])).read_text()


@loader
def whole(path: Path) -> object:
    return path.read_bytes()


@loader
def onnxruntime(path: Path) -> object:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    zero = np.zeros(session.get_inputs()[0].shape, np.float32)
    return session.run(None, {"x": zero})[0].tobytes()


@loader
def onnx_claims(path: Path) -> object:
    """Room is made for what a tensor claims to be, before its bytes are looked at."""
    import numpy as np
    import onnx

    return [np.ones(tensor.dims, np.float32).nbytes for tensor in onnx.load(str(path)).graph.initializer]


@loader
def unzip_joined(path: Path) -> object:
    """As MMS's ZipUtils.unzip: the name of a member is joined to the target and written."""
    import zipfile

    target = tempfile.mkdtemp()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            place = os.path.join(target, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with Path(place).open("wb") as stream:
                stream.write(archive.read(name))
    return target


@loader
def unzip_read(path: Path) -> object:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        whole = [archive.read(name) for name in archive.namelist()]
    return sum(map(len, whole))


@loader
def unzip_overlapping(path: Path) -> object:
    """A reader that believes the directory alone, as many in C do; Python's own compares the names since 2019."""
    import struct
    import zlib

    data = path.read_bytes()
    rows, whole = data.split(b"PK\1\2")[1:], []
    for row in rows:
        (at,) = struct.unpack_from("<I", row, 38)
        name, extra = struct.unpack_from("<2H", data, at + 26)
        whole.append(zlib.decompressobj(-15).decompress(data[at + 30 + name + extra :]))
    return sum(map(len, whole))


@loader
def untar_trusting(path: Path) -> object:
    import tarfile

    target = tempfile.mkdtemp()
    with tarfile.open(path) as archive:
        archive.extractall(target, filter="fully_trusted")
    return target


@loader
def untar_and_read(path: Path) -> object:
    import tarfile

    target = Path(tempfile.mkdtemp(dir=path.parent))  # a hard link needs the same file system
    with tarfile.open(path) as archive:
        archive.extractall(target, filter="fully_trusted")
    return [file.read_bytes() for file in target.iterdir()]


@loader
def untar_read(path: Path) -> object:
    import tarfile

    with tarfile.open(path) as archive:
        whole = [archive.extractfile(entry).read() for entry in archive]  # type: ignore[union-attr]
    return sum(map(len, whole))


@loader
def mar_handler(path: Path) -> object:
    """As a model server does: unpack, and import the handler."""
    import importlib.util
    import zipfile

    target = Path(tempfile.mkdtemp())
    with zipfile.ZipFile(path) as archive:
        archive.extractall(target)
    spec = importlib.util.spec_from_file_location("handler", target / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return "imported"


@loader
def xml_old(path: Path) -> object:
    """Python's SAX reader as it was before 3.7.1: external entities are fetched."""
    import xml.sax
    from xml.sax import handler

    said: list[str] = []

    class Reader(handler.ContentHandler):
        def characters(self, content: str) -> None:
            said.append(content)

    parser = xml.sax.make_parser()
    parser.setFeature(handler.feature_external_ges, True)
    parser.setContentHandler(Reader())
    parser.parse(str(path))
    return "".join(said)


@loader
def xml_own_entities(path: Path) -> object:
    """Any reader without bounds of its own; expat's own bound is what ends this one."""
    from xml.etree import ElementTree

    return len(ElementTree.parse(path).getroot().text or "")


@loader
def params_trusting(path: Path) -> object:
    """MXNet's file, with room made for what it claims: the number of arrays, the shape of the first."""
    import struct

    import numpy as np

    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data, 16)
    np.empty(count, np.dtype("O")) if count < 1 << 20 else np.ones(count, np.uint64)
    rank = struct.unpack_from("<i", data, 32)[0]
    return np.ones(struct.unpack_from(f"<{rank}q", data, 36), np.float32).nbytes


@loader
def json_deep(path: Path) -> object:
    return json.loads(path.read_bytes())


# -- running them --------------------------------------------------------------------------------


def run(name: str, path: Path) -> dict[str, Any]:
    """{"said": what came out, "error": or "", "grew": bytes of memory}. Whatever the file prints counts as said."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    printed, error, found = io.StringIO(), "", ""
    try:
        with contextlib.redirect_stdout(printed):
            found = repr(LOADERS[name](path))
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"[:2000]
        traceback.clear_frames(problem.__traceback__)
    grew = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"said": found[:100_000] + printed.getvalue()[:100_000], "error": error, "grew": grew}


def run_all(asked: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Each in a process of its own: one that fires must not spoil the next. `asked`: {"loader", "path"}."""
    return [_forked(one["loader"], Path(one["path"])) for one in asked]


def _forked(name: str, path: Path) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            with os.fdopen(writing, "w") as stream:
                json.dump(run(name, path), stream)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    return json.loads(text) if text else {"said": "", "error": f"ended with status {status}", "grew": 0}


def warm(environment: str) -> None:
    """Import what is slow once, before the forks."""
    for module in {"tensorflow": ("tensorflow", "keras", "tf_keras"), "torch": ("torch",), "trees": ("joblib",)}.get(
        environment, ("numpy", "onnx", "onnxruntime")
    ):
        __import__(module)


def job(job: Any) -> dict[str, Any]:
    """The same as a Job's task: `environment`, `asked`. One process for all: that is what the sandbox holds, as in a
    conversion. (A fork of it has another /proc/self, which is not open to it, and TensorFlow ends over that.)"""
    warm(job.arguments["environment"])
    return {"answers": [run(one["loader"], Path(one["path"])) for one in job.arguments["asked"]]}


if __name__ == "__main__":
    request = json.loads(sys.stdin.read())
    warm(request["environment"])
    print("\n" + json.dumps({"answers": run_all(request["asked"])}))
