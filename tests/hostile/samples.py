"""The hostile corpus: files that do harm to whoever opens them as their format's own loader would.

A sample is a drop (files, links) made for a canary, a file that must not come to be, and a secret, a file whose text
must not come out. `loader` is the function of loaders.py that opens it naively, in Environment `environment`.

    writes  the canary is there afterwards          reads   the secret is in what the loader got
    grows   memory of the loader goes past GROWS    breaks  the loader itself ends with anything but a refusal
"""

from __future__ import annotations

import base64
import json
import marshal
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.archive import forge
from tests.archive.forge import Entry, zip_of
from tests.e2e.affine import affine
from tests.formats.mxnet.write import Graph, params_bytes
from tests.hostile import graphs
from tests.hostile.hdf5 import h5
from tests.hostile.pickles import Call, npy_of_objects, pickle, torch_legacy, torch_zip
from tests.repository.trees import Hard, Link, Tree

GROWS = 256 << 20
BOMB = 400 << 20  # bytes that a bomb unpacks to
CODE_PYTHON = (3, 11)  # bytecode is of one Python: that of the Environments


@dataclass(frozen=True)
class Spot:
    """What a sample is made for. `token` is the secret's text."""

    canary: Path
    secret: Path
    token: str

    @property
    def touch(self) -> str:
        return f"touch {self.canary}"

    @property
    def open(self) -> str:
        return f"open({str(self.canary)!r}, 'w')"


@dataclass(frozen=True)
class Sample:
    name: str
    make: Callable[[Spot], Tree]
    loader: str
    environment: str
    fires: str
    main: str  # the file that the loader opens; "" is the folder
    note: str = ""  # why there is no control


SAMPLES: list[Sample] = []


def sample(
    name: str,
    main: str,
    loader: str,
    fires: str,
    make: Callable[[Spot], bytes],
    environment: str = "base",
    note: str = "",
) -> None:
    """A sample that is one file."""
    SAMPLES.append(Sample(name, lambda spot: {main: make(spot)}, loader, environment, fires, main, note))


def folder(
    name: str,
    main: str,
    loader: str,
    fires: str,
    make: Callable[[Spot], Tree],
    environment: str = "base",
    note: str = "",
) -> None:
    SAMPLES.append(Sample(name, make, loader, environment, fires, main, note))


# -- pickles -------------------------------------------------------------------------------------

OS = Call("importlib", "import_module", "os")
GADGETS: dict[str, tuple[str, Callable[[Spot], Any]]] = {
    "os.system": ("writes", lambda s: Call("os", "system", s.touch)),
    "posix.system": ("writes", lambda s: Call("posix", "system", s.touch)),
    "builtins.eval": ("writes", lambda s: Call("builtins", "eval", s.open)),
    "builtins.exec": ("writes", lambda s: Call("builtins", "exec", s.open)),
    "subprocess.check_call": ("writes", lambda s: Call("subprocess", "check_call", ["touch", str(s.canary)])),
    "asyncio": ("writes", lambda s: Call(
        "asyncio.unix_events", "_UnixSubprocessTransport._start", Call("types", "SimpleNamespace"),
        ["touch", str(s.canary)], False, None, None, None, 0)),
    "ctypes": ("writes", lambda s: Call("", "", s.touch.encode(), of=Call(
        "builtins", "getattr", Call("ctypes", "CDLL", None), "system"))),
    "idlelib": ("writes", lambda s: Call("idlelib.calltip", "get_entity", s.open)),
    "linecache": ("reads", lambda s: Call("linecache", "getline", str(s.secret), 1)),
    "numpy.load": ("writes", lambda s: Call(
        "numpy", "load", Call("io", "BytesIO", npy_of_objects(pickle(Call("os", "system", s.touch)))), None, True)),
    "operator": ("writes", lambda s: Call("", "", OS, of=Call("operator", "methodcaller", "system", s.touch))),
    "pydoc": ("writes", lambda s: Call("pydoc", "pipepager", "text", f"cat > {s.canary}")),
    "timeit": ("writes", lambda s: Call("timeit", "timeit", "pass", s.open)),
    "runpy": ("writes", lambda s: Call("runpy", "_run_code", compile_text(s), {})),
    "code": ("writes", lambda s: Call("", "", s.open, of=Call(
        "builtins", "getattr", Call("code", "InteractiveInterpreter"), "runsource"))),
}  # fmt: skip
"""Functions that a scanner's list of dangerous names misses, or has: nine of them, and the plain ones."""


def compile_text(spot: Spot) -> Any:
    return Call("builtins", "compile", spot.open, "m", "exec")


for gadget, (fires, value) in GADGETS.items():
    sample(f"pickle {gadget}", "m.pkl", "unpickle", fires, lambda s, v=value: pickle(v(s)))  # type: ignore[misc]

sample("pickle protocol 0", "m.pkl", "unpickle", "writes", lambda s: f"cos\nsystem\n(S'{s.touch}'\ntR.".encode())
sample("pickle protocol 2", "m.pkl", "unpickle", "writes", lambda s: pickle(Call("os", "system", s.touch), 2))
sample("pickle odd extension", "m.dat", "unpickle", "writes", lambda s: pickle(Call("os", "system", s.touch)))
sample("pickle called onnx", "m.onnx", "unpickle", "writes", lambda s: pickle(Call("os", "system", s.touch)))
sample(
    "pickle behind honest objects", "m.pkl", "unpickle", "writes",
    lambda s: pickle({"weights": [1, 2, 3], "bias": (b"x" * 3000, Call("os", "system", s.touch))}),
)  # fmt: skip
sample("pickle INST", "m.pkl", "unpickle", "writes", lambda s: f"(S'{s.touch}'\nios\nsystem\n.".encode())
sample("pickle OBJ", "m.pkl", "unpickle", "writes", lambda s: f"(cos\nsystem\nS'{s.touch}'\no.".encode())
sample("joblib", "m.joblib", "joblib", "writes", lambda s: pickle(Call("os", "system", s.touch)), "trees")
sample(
    "joblib packed", "m.joblib", "joblib", "writes",
    lambda s: zlib.compress(pickle(Call("os", "system", s.touch))), "trees",
)  # fmt: skip
sample("npy of objects", "m.npy", "numpy", "writes", lambda s: npy_of_objects(pickle(Call("os", "system", s.touch))))
sample(
    "npz of objects", "m.npz", "numpy", "writes",
    lambda s: zip_of([Entry(b"weights.npy", npy_of_objects(pickle(Call("os", "system", s.touch))))]),
)  # fmt: skip


TORCH = {
    "torch zip": (lambda s: torch_zip(pickle(Call("os", "system", s.touch), 2)), "m.pt", "writes"),
    "torch zip, odd extension": (lambda s: torch_zip(pickle(Call("os", "system", s.touch), 2)), "m.bin", "writes"),
    "torch zip, broken CRC": (
        lambda s: torch_zip(pickle(Call("os", "system", s.touch), 2), broken_crc=True), "m.pt", "writes"),
    "torch legacy": (lambda s: torch_legacy(pickle(Call("os", "system", s.touch), 2)), "m.pth", "writes"),
    "torch.utils": (lambda s: torch_zip(pickle(Call("torch.utils.collect_env", "run", s.touch), 2)), "m.pt", "writes"),
    "torch zip, a state of weights beside": (
        lambda s: torch_zip(pickle({"fc.weight": [1], "x": Call("builtins", "eval", s.open)}, 2)), "m.pt", "writes"),
}  # fmt: skip
for title, (make, main, fires) in TORCH.items():
    sample(title, main, "torch", fires, make, "torch")


# -- Keras ---------------------------------------------------------------------------------------


def bytecode(spot: Spot) -> str:
    """A Lambda's function as Keras stores it: marshalled bytecode in base64."""
    namespace: dict[str, Any] = {}
    exec(f"f = lambda x: open({str(spot.canary)!r}, 'w') and x", namespace)
    return base64.encodebytes(marshal.dumps(namespace["f"].__code__)).decode()


def sequential(layer: dict[str, Any]) -> dict[str, Any]:
    first = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None,
             "config": {"batch_shape": [None, 2], "dtype": "float32", "name": "x"}}  # fmt: skip
    return {"module": "keras", "class_name": "Sequential", "registered_name": None,
            "config": {"name": "s", "trainable": True, "dtype": "float32", "layers": [first, layer]},
            "build_config": {"input_shape": [None, 2]}}  # fmt: skip


def keras_lambda(spot: Spot) -> dict[str, Any]:
    function = {"class_name": "__lambda__", "config": {"code": bytecode(spot), "defaults": None, "closure": None}}
    return sequential({"module": "keras.layers", "class_name": "Lambda", "registered_name": None,
                       "config": {"name": "l", "trainable": True, "dtype": "float32", "function": function,
                                  "arguments": {}}})  # fmt: skip


def keras_module(spot: Spot, module: str, name: str, **config: Any) -> dict[str, Any]:
    return sequential({"module": module, "class_name": name, "registered_name": None, "config": config})


def keras_zip(config: dict[str, Any]) -> bytes:
    metadata = {"keras_version": "3.5.0", "date_saved": "2024-01-01@00:00:00"}
    return zip_of(
        [
            Entry(b"metadata.json", json.dumps(metadata).encode()),
            Entry(b"config.json", json.dumps(config).encode()),
            Entry(b"model.weights.h5", h5({})),
        ]
    )


def keras_h5(spot: Spot) -> bytes:
    """Of Keras 2: its Lambda has the bytecode in `function` itself."""
    layers = [
        {"class_name": "InputLayer",
         "config": {"batch_input_shape": [None, 2], "dtype": "float32", "sparse": False, "name": "x"}},
        {"class_name": "Lambda", "config": {
            "name": "l", "trainable": True, "dtype": "float32", "function": [bytecode(spot), None, None],
            "function_type": "lambda", "module": "m", "output_shape": None, "output_shape_type": "raw",
            "output_shape_module": None, "arguments": {}}},
    ]  # fmt: skip
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    return h5({"model_config": json.dumps(config), "keras_version": "2.11.0", "backend": "tensorflow"})


LAMBDA = "" if sys.version_info[:2] == CODE_PYTHON else "its bytecode is of another Python than the Environment's"
sample("keras Lambda", "m.keras", "keras", "writes", lambda s: keras_zip(keras_lambda(s)), "tensorflow", LAMBDA)
sample("keras h5 Lambda", "m.h5", "keras_h5", "writes", keras_h5, "tensorflow", LAMBDA)
sample(
    "keras module os", "m.keras", "keras_before_3_9", "writes",
    lambda s: keras_zip(keras_module(s, "os", "system", command=s.touch)),
)  # fmt: skip
sample(
    "keras registered function", "m.keras", "keras_before_3_9", "writes",
    lambda s: keras_zip(keras_module(s, "subprocess", "check_call", args=["touch", str(s.canary)])),
)  # fmt: skip
sample(
    "keras json module os", "m.json", "keras_before_3_9", "writes",
    lambda s: json.dumps(keras_module(s, "os", "system", command=s.touch)).encode(),
)  # fmt: skip


# -- TensorFlow ----------------------------------------------------------------------------------

TENSORFLOW: dict[str, tuple[Callable[[Spot], bytes], str, str]] = {
    "ReadFile": (lambda s: graphs.read_file(str(s.secret)), "reads", ""),
    "ReadFile of the environment": (lambda s: graphs.read_file("/proc/self/environ"), "reads", ""),
    "MatchingFiles": (lambda s: graphs.matching_files(f"{s.secret.parent}/*"), "reads", ""),
    "WriteFile": (lambda s: graphs.write_file(str(s.canary)), "writes", ""),
    "PrintV2 to a file": (lambda s: graphs.print_file(str(s.canary)), "writes", ""),
    "SaveV2": (lambda s: graphs.save_checkpoint(str(s.canary)), "writes", ""),
    "PyFunc": (lambda s: graphs.python_function("pyfunc_0"), "",
               "the function itself is not in the file: TensorFlow finds none to call"),
}  # fmt: skip
for op, (nodes, fires, note) in TENSORFLOW.items():
    folder(
        f"savedmodel {op}", "", "savedmodel", fires,
        lambda s, n=nodes: {"saved_model.pb": graphs.saved_model(n(s)), "variables/variables.index": b""},  # type: ignore[misc]
        "tensorflow", note,
    )  # fmt: skip
    sample(
        f"graphdef {op}",
        "m.pb",
        "graphdef",
        fires,
        lambda s, n=nodes: graphs.graph_def(n(s)),
        "tensorflow",
        note,  # type: ignore[misc]
    )


# -- ONNX: weights that lie elsewhere ------------------------------------------------------------

FLOATS = 4  # 16 bytes: what a secret is long


def elsewhere(location: Callable[[Spot], str], **files: Callable[[Spot], Any]) -> Callable[[Spot], Tree]:
    return lambda s: {"m.onnx": graphs.onnx_elsewhere(location(s), FLOATS), **{n: f(s) for n, f in files.items()}}


def climbing(spot: Spot) -> str:
    return "../" * 20 + str(spot.secret).lstrip("/")


for why, tree, loader in (
    ("up", elsewhere(climbing), "onnx_joined"),
    ("up from a folder", elsewhere(lambda s: "sub/" + climbing(s), **{"sub/x": lambda _: b""}), "onnx_joined"),
    ("absolute", elsewhere(lambda s: str(s.secret)), "onnx_joined"),
    ("symlink", elsewhere(lambda _: "w.bin", **{"w.bin": lambda s: Link(str(s.secret))}), "onnx_joined"),
    ("symlinked folder", elsewhere(
        lambda s: f"d/{s.secret.name}", d=lambda s: Link(str(s.secret.parent))), "onnx_joined"),
    ("hard link", elsewhere(lambda _: "w.bin", **{"w.bin": lambda s: Hard(str(s.secret))}), "onnxruntime"),
    ("the environment of the process", elsewhere(lambda _: "/proc/self/environ"), "onnx_joined"),
    ("the environment, by ..", elsewhere(lambda _: "../" * 20 + "proc/self/environ"), "onnx_joined"),
):  # fmt: skip
    folder(f"onnx weights: {why}", "m.onnx", loader, "reads", tree)

sample("onnx of 2^120 elements", "m.onnx", "onnx_claims", "breaks", lambda _: graphs.onnx_claiming([1 << 62, 1 << 58]))
sample("onnx of 400 MiB in 100 bytes", "m.onnx", "onnx_claims", "grows", lambda _: graphs.onnx_claiming([BOMB // 4]))


# -- archives ------------------------------------------------------------------------------------


def climb(spot: Spot) -> bytes:
    return ("../" * 20 + str(spot.canary).lstrip("/")).encode()


def link_then_file(spot: Spot) -> bytes:
    link = forge.header(b"d", kind=b"2", link=str(spot.canary.parent).encode())
    return link + forge.file(b"d/" + spot.canary.name.encode()) + forge.END


@cache
def bomb() -> Entry:
    """A member of BOMB zeros, made without ever holding them."""
    stream, piece, crc = zlib.compressobj(9, zlib.DEFLATED, -15), bytes(1 << 20), 0
    raw = []
    for _ in range(BOMB >> 20):
        raw.append(stream.compress(piece))
        crc = zlib.crc32(piece, crc)
    return Entry(b"w.bin", method=8, raw=b"".join(raw) + stream.flush(), size=BOMB, crc=crc)


@cache
def tgz_bomb() -> bytes:
    stream, piece = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(1 << 20)
    raw = [stream.compress(forge.header(b"w.bin", BOMB)), *(stream.compress(piece) for _ in range(BOMB >> 20))]
    return b"".join(raw) + stream.compress(forge.END) + stream.flush()


def mar(*entries: Entry) -> bytes:
    return zip_of([Entry(b"MAR-INF/MANIFEST.json", json.dumps(HANDLER).encode()), *entries])


HANDLER = {"manifest_version": "1.0", "model": {"modelName": "m", "handler": "handler.py"}, "runtime": "python"}

sample("zip slip", "m.zip", "unzip_joined", "writes", lambda s: zip_of([Entry(climb(s), b"x")]))
sample("zip absolute", "m.zip", "unzip_joined", "writes", lambda s: zip_of([Entry(str(s.canary).encode(), b"x")]))
sample("mar slip", "m.mar", "unzip_joined", "writes", lambda s: mar(Entry(climb(s), b"x")))
sample(
    "tar slip", "m.tar", "untar_trusting", "writes", lambda s: forge.long_name(climb(s)) + forge.file(b"x") + forge.END
)
sample("tar through a link", "m.tar", "untar_trusting", "writes", link_then_file)
sample(
    "tgz slip", "m.tgz", "untar_trusting", "writes",
    lambda s: forge.gzipped(forge.long_name(climb(s)) + forge.file(b"x") + forge.END),
)  # fmt: skip
sample(
    "tar hard link to the secret", "m.tar", "untar_and_read", "reads",
    lambda s: forge.header(b"w.bin", kind=b"1", link=b"s") + forge.END if len(str(s.secret)) > 99 else (
        forge.header(b"w.bin", kind=b"1", link=str(s.secret).encode()) + forge.END),
)  # fmt: skip
sample("zip bomb", "m.zip", "unzip_read", "grows", lambda _: zip_of([bomb()]))
sample("mar bomb", "m.mar", "unzip_read", "grows", lambda _: mar(bomb()))
sample("keras bomb", "m.keras", "unzip_read", "grows", lambda _: zip_of([Entry(b"config.json", b"{}"), bomb()]))
sample("zip of overlapping members", "m.zip", "unzip_overlapping", "grows", lambda _: overlapping())
sample("tgz bomb", "m.tgz", "untar_read", "grows", lambda _: tgz_bomb())
sample(
    "mar handler", "m.mar", "mar_handler", "writes",
    lambda s: mar(Entry(b"handler.py", f"import os\nos.system({s.touch!r})\n".encode())),
)  # fmt: skip


def overlapping() -> bytes:
    """8 rows for one member of 1/8 of BOMB, all of the same name inside: 400 MiB out of 50 KiB."""
    return forge.quoted_overlap(bytes(BOMB // 8), 7)


# -- text that grows, and claims -----------------------------------------------------------------


def laughs(around: str) -> bytes:
    """A kilobyte of entities that stand for GiBs; expat stops some of them, by a factor over all it has read."""
    lines = ["<!ENTITY a0 'ha'>"] + [f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)]
    return f"<?xml version='1.0'?><!DOCTYPE x [{''.join(lines)}]>{around.format('&a9;')}".encode()


def external(around: str) -> Callable[[Spot], bytes]:
    return lambda s: (
        f"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY x SYSTEM 'file://{s.secret}'>]>{around.format('&x;')}"
    ).encode()


PMML = '<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4"><Header/>{}</PMML>'
IR = '<net name="m" version="11"><layers><layer id="0" name="x" type="Parameter">{}</layer></layers></net>'
sample("pmml that reads a file", "m.pmml", "xml_old", "reads", external(PMML))
sample("openvino that reads a file", "m.xml", "xml_old", "reads", external(IR))
sample("pmml billion laughs", "m.pmml", "xml_own_entities", "breaks", lambda _: laughs(PMML))
sample("openvino billion laughs", "m.xml", "xml_own_entities", "breaks", lambda _: laughs(IR))


def many_arrays(count: int) -> bytes:
    return struct.pack("<QQQ", 0x112, 0, count) + bytes(64)


def huge_array() -> bytes:
    honest = params_bytes({"arg:w": np.zeros(1, np.float32)})
    return honest.replace(struct.pack("<iq", 1, 1), struct.pack("<iq", 1, BOMB // 4), 1)


def beside_a_symbol(weights: bytes) -> Callable[[Spot], Tree]:
    graph = Graph()
    y = graph.node("FullyConnected", "fc", [graph.variable("data"), graph.variable("w")], num_hidden=1, no_bias="True")
    return lambda _: {"m-symbol.json": json.dumps(graph.json(y)), "m-0000.params": weights}


folder(
    "mxnet array of 400 MiB in 100 bytes", "m-0000.params", "params_trusting", "grows", beside_a_symbol(huge_array())
)
folder("mxnet 2^40 arrays", "m-0000.params", "params_trusting", "breaks", beside_a_symbol(many_arrays(1 << 40)))
sample(
    "mxnet symbol of 100 000 brackets", "m-symbol.json", "json_deep", "breaks", lambda _: b'{"nodes":' + b"[" * 100_000
)
sample("json of 100 000 brackets", "m.json", "json_deep", "breaks", lambda _: b"[" * 100_000)

# -- what an owner writes beside an honest model --------------------------------------------------


def beside_a_model(**files: Callable[[Spot], Any]) -> Callable[[Spot], Tree]:
    names = {"toml": "model.toml", "labels": "l.txt", "vector": "test/input_0.npy"}
    return lambda s: {"m.onnx": affine(1.0), **{names[key]: make(s) for key, make in files.items()}}


def labels(text: Callable[[Spot], str]) -> Callable[[Spot], str]:
    return lambda s: f"labels = {json.dumps(text(s))}"


for why, tree in {
    "up": beside_a_model(toml=labels(climbing)),
    "absolute": beside_a_model(toml=labels(lambda s: str(s.secret))),
    "a link": beside_a_model(toml=labels(lambda _: "l.txt"), labels=lambda s: Link(str(s.secret))),
}.items():
    folder(f"labels: {why}", "model.toml", "labels_joined", "reads", tree)
folder("vectors: a link", "test/input_0.npy", "whole", "reads", beside_a_model(vector=lambda s: Link(str(s.secret))))
folder(
    "vectors: objects", "test/input_0.npy", "numpy", "writes",
    beside_a_model(vector=lambda s: npy_of_objects(pickle(Call("os", "system", s.touch)))),
)  # fmt: skip

assert len({one.name for one in SAMPLES}) == len(SAMPLES)
