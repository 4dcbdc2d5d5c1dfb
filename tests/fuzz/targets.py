"""What is fuzzed: functions bytes -> None that let out whatever is not one of our errors.

A target is a front door that strangers' bytes reach. Besides "only GatewayError leaves" each checks
what must hold when the bytes are taken: two readers see the same archive, what is written is read back.

Rule 1: no atheris here: pytest replays every input of the corpus through the same functions.
Rule 2: imports are inside: each target is instrumented, and its imports paid for, alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError

Target = Callable[[bytes], None]
TARGETS: dict[str, Callable[[bytes], bool]] = {}
"""True where the input was taken, False where it was refused with an error of ours."""
IN_BASE = ("onnx",)
"""Targets that need the packages of Environment base."""

FILES = (
    "m.onnx", "m-symbol.json", "m-0000.params", "m", "m.pb", "m.json", "m.pkl", "m.pt", "m.h5", "m.keras", "m.zip",
    "m.tflite", "m.xml", "m.txt", "m.tar", "m.mar", "saved_model.pb", "m.cfg", "m.prototxt", "m.npz", "a/m.onnx",
)  # fmt: skip
NEXT_FILE = b"\0\xffFILE"


def target(name: str) -> Callable[[Target], Target]:
    def register(function: Target) -> Target:
        def guarded(data: bytes) -> bool:
            try:
                function(data)
            except GatewayError:
                return False
            return True

        TARGETS[name] = guarded
        return function

    return register


@cache
def scratch() -> Path:
    """A folder of this process, in memory where the system has that."""
    try:
        folder = tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm")
    except OSError:  # no such thing, or a sandbox around us
        folder = tempfile.mkdtemp(prefix="fuzz-")
    import atexit

    atexit.register(shutil.rmtree, folder, True)
    return Path(folder)


def written(name: str, data: bytes) -> Path:
    path = scratch() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


# -- archives ------------------------------------------------------------------------------------


@target("archive")
def archive(data: bytes) -> None:
    """Opened, read, unpacked: the same files each time, the same that Python's own readers see, or nothing."""
    from gateway.archive import Limits, open_archive

    path, out = written("archive", data), scratch() / "out"
    with open_archive(path, Limits(members=64, total_bytes=1 << 20, slack_bytes=1 << 16)) as found:
        kind = found.kind
        shutil.rmtree(out, ignore_errors=True)
        try:
            contents = {name: found.read(name, 1 << 20) for name in found.names}
        except GatewayError:
            contents = None
        try:
            found.extract(out)
        except GatewayError:
            assert contents is None, "it could be read, and not unpacked"
            assert sorted(p.name for p in scratch().iterdir()) == ["archive"], "something was left behind"
            raise
    assert contents is not None, "it could be unpacked, and not read"
    files = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if not p.is_dir()}
    assert files == contents
    theirs = _by_zipfile(path) if kind == "zip" else _by_tarfile(path)
    assert theirs is None or theirs == contents, f"Python reads {sorted(theirs)}, we read {sorted(contents)}"


def _by_zipfile(path: Path) -> dict[str, bytes] | None:
    import zipfile

    try:
        with zipfile.ZipFile(path) as there:
            return {name: there.read(name) for name in there.namelist() if not name.endswith("/")}
    except Exception:
        return None  # it refuses more than we do, which is its own matter


def _by_tarfile(path: Path) -> dict[str, bytes] | None:
    import tarfile

    from gateway.archive import names

    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, encoding="utf-8") as there:
            for entry in there:
                stream = there.extractfile(entry) if entry.isreg() else None
                if stream is not None:
                    found[names.clean(entry.name)] = stream.read()
    except Exception:
        return None
    return found


# -- detection -----------------------------------------------------------------------------------


def _drop(data: bytes) -> tuple[Path, tuple[str, ...]]:
    """A folder of up to four files; the first byte of each part says how it is called."""
    root = scratch() / "drop"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    names = []
    for part in data.split(NEXT_FILE)[:4]:
        name = FILES[part[0] % len(FILES)] if part else "m"
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(part[1:])
        names.append(name)
    return root, tuple(sorted(set(names)))


@target("detect")
def detect(data: bytes) -> None:
    from gateway.formats.base import Source
    from gateway.repository.detect import detect

    root, names = _drop(data)
    match = detect(Source(root, names))
    assert match.main in names
    assert set(match.used) <= set(names)


@target("recognise")
def recognise(data: bytes) -> None:
    from gateway.recognise import recognise_bytes

    answer = recognise_bytes(data[1:], FILES[data[0] % len(FILES)] if data else "", strict=True)
    for finding in answer.findings:
        assert 0 <= finding.confidence <= 1
        assert f"{finding.evidence}{finding.version}{finding.what_next}{finding.title}".isprintable()


# -- formats -------------------------------------------------------------------------------------


@target("onnx")
def onnx(data: bytes) -> None:
    """As converting does, up to where onnx's and onnxruntime's own C++ would take over."""
    from gateway.core.modeltoml import ModelOptions
    from gateway.formats.base import Source
    from gateway.formats.onnx import FORMAT, convert, surgery, weights

    path = written("drop/m.onnx", data)
    (path.parent / "weights.bin").write_bytes(bytes(4096))
    source = Source(path.parent, ("m.onnx", "weights.bin"))
    match = FORMAT.match(source)
    if match is None:
        return
    FORMAT.inspect(source, match, ModelOptions())
    with contextlib.suppress(*convert.BROKEN):
        model = convert.load(path)
        weights.check(model, path.parent)
        assert weights.total_bytes(model) < 1 << 24, "more than the file has"
        convert.refuse_unknown(model)
        weights.count_nan(model, path.parent)
        weights.inline(weights.stored(model), path.parent)
        surgery.hide_initializers(model, [])
        names = tuple(surgery.tensor_names(model))
        surgery.cut(model, _wanted(names[-1:]), [])
        surgery.unused_weights(model)


@target("torch-weights")
def torch_weights(data: bytes) -> None:
    """What torch.save and safetensors write, read without torch: tensors of some size, or a refusal."""
    from gateway.formats.torchmodule import listing, pickled, safe

    path = written("drop/m.pt", data[1:])
    kind = "safetensors" if data[:1] == b"\1" else "pickle"
    found = listing.read(path, kind)
    assert len(str(found)) < 16_000, "a refusal that nobody reads"
    assert len(found.tensors) <= pickled.MOST_TENSORS
    if kind == "safetensors":
        entries = safe.read(path)
        assert sum(entry.end - entry.start for entry in entries.values()) < len(data)


@target("paddle-params")
def paddle_params(data: bytes) -> None:
    """A file of parameters: as many records as it has, or a refusal with its place."""
    from gateway.formats.paddle_records import check

    path = written("drop/m.pdiparams", data)
    assert check(path, path.name) <= len(data) // 20


def _wanted(names: tuple[str, ...]) -> Any:
    from gateway.core.modeltoml import TensorOption

    return tuple(TensorOption(name) for name in names)


@target("mxnet-symbol")
def mxnet_symbol(data: bytes) -> None:
    from gateway.core.modeltoml import ModelOptions
    from gateway.formats.base import Source
    from gateway.formats.mxnet import FORMAT, symbol

    root, names = scratch() / "drop", ["m-symbol.json"]
    text, mark, weights = data.partition(NEXT_FILE)
    written("drop/m-symbol.json", text)
    if mark:
        written("drop/m-0000.params", weights)
        names.insert(0, "m-0000.params")
    source = Source(root, tuple(names))
    found = symbol.parse(text)
    for name in found.outputs:
        found.find(name)
    match = FORMAT.match(source)
    if match is not None:
        FORMAT.inspect(source, match, ModelOptions())


@target("caffe")
def caffe(data: bytes) -> None:
    """A prototxt, a caffemodel, or both: a net whose layers read what others made."""
    from gateway.formats.caffe import text, wire
    from gateway.formats.caffe.message import Message
    from gateway.formats.caffe.net import build
    from gateway.formats.caffe.upgrade import upgrade

    written, _, weights = data.partition(NEXT_FILE)
    stored = wire.Wire(weights, "m.caffemodel").message("NetParameter", 0, len(weights)) if weights else Message()
    upgrade(stored, "m.caffemodel")
    net = stored
    if written:
        net = text.parse(written, "m.prototxt")
        upgrade(net, "m.prototxt")
    made = build(net, stored, "m.prototxt", "m.caffemodel", lenient=not written)
    there = {each.name for each in made.inputs}
    for layer in made.layers:
        assert set(layer.bottoms) <= there, f"{layer.name} reads {layer.bottoms}, made are {sorted(there)}"
        assert not set(layer.tops) & there or not layer.tops
        there |= set(layer.tops)
    assert set(made.outputs) <= there


@target("mxnet-params")
def mxnet_params(data: bytes) -> None:
    from gateway.formats.mxnet import params

    found = params.read(written("m.params", data))
    total = sum(array.nbytes for table in (found.arg, found.aux) for array in table.values())
    assert total <= len(data), "more than the file has"


@target("darknet")
def darknet(data: bytes) -> None:
    """A cfg, a zero byte, and the weights; nothing behind it: no weights."""
    from gateway.formats.darknet import network

    cfg, _, stored = data.partition(b"\0")
    found = network.read(written("d.cfg", cfg), written("d.weights", stored) if stored else None)
    total = sum(array.nbytes for layer in found.layers for array in layer.weights.values())
    shared = any("share_index" in layer.options or "dontloadscales" in layer.options for layer in found.layers)
    assert shared or total <= len(stored), "more than the file has"


@target("xgboost")
def xgboost(data: bytes) -> None:
    """JSON, UBJSON or the binary form: trees that end, and no more of them than bytes."""
    from gateway.formats.xgboost import model

    _trees(model.read(written("m.model", data)).ensemble, len(data))


@target("lightgbm")
def lightgbm(data: bytes) -> None:
    from gateway.formats.lightgbm import model

    found = model.read(written("m.txt", data))
    _trees(found.ensemble, len(data))
    for tree, linear in zip(found.ensemble.trees, found.linear, strict=False):
        assert len(linear.value) == len(linear.constant) == len(linear.used) == int((tree.column < 0).sum())


def _trees(ensemble: Any, most: int) -> None:
    """Every node is reached from its root, once at most, and reads a column that there is."""
    assert ensemble.nodes <= most
    for tree in ensemble.trees:
        waiting, seen = [0], 0
        while waiting:
            node = waiting.pop()
            seen += 1
            assert seen <= tree.size, "it goes round"
            if tree.column[node] >= 0:
                ensemble.column(int(tree.column[node]))
                waiting += [int(tree.true[node]), int(tree.false[node])]
        assert 0 <= tree.target < ensemble.targets


@target("torch7")
def torch7(data: bytes) -> None:
    """A t7 of any form: a network whose modules can be walked, and no more memory than the file gives reason for."""
    from gateway.formats.torch7 import module
    from gateway.formats.torch7.walk import leaves

    root = module.read(written("net.t7", data))
    for each in leaves(root):
        assert each.where
        assert len(each.parameters) < len(data)


@target("mmdnn-ir")
def mmdnn_ir(data: bytes) -> None:
    """A graph, or a graph and its weights: what comes out is in an order in which it can be computed."""
    from gateway.formats.mmdnn import ir

    graph, _, weights = data.partition(NEXT_FILE)
    found = ir.read(written("ir.pb", graph), written("ir.npy", weights) if weights else None)
    there: set[str] = set()
    for node in found.nodes:
        assert {name for name, _ in node.inputs} <= there
        there.add(node.name)
    assert set(found.outputs) <= there
    assert sum(array.nbytes for node in found.nodes for array in node.weights.values()) <= len(weights)


@target("savedmodel")
def savedmodel(data: bytes) -> None:
    from gateway.formats.savedmodel import metagraph, screen

    for meta in metagraph.parse(data):
        screen.problems(meta)
        for signature in metagraph.ordered(meta):
            for tensor in (*signature.inputs, *signature.outputs):
                str(tensor.spec())
        assert sum(meta.operators().values()) <= len(data), "more nodes than bytes"
        assert len(meta.variables()) <= len(data)


@target("tfgraph")
def tfgraph(data: bytes) -> None:
    """A GraphDef, as bytes or as text, and what of it would run."""
    from gateway.core.modeltoml import ModelOptions
    from gateway.formats.tfgraph import ends, plain

    graph = plain.parse(plain.Written(data, "graph.pb", text=data[:4] == b"node"))
    found = ends.find(graph, ModelOptions(), graph.hinted)
    nodes = {node.name: node for node in graph.node}
    plain.screen(graph, ends.walk(nodes, found.outputs, [name.partition(":")[0] for name in found.inputs]))


@target("tfjs")
def tfjs(data: bytes) -> None:
    """model.json and its one weight file: what is let through is a graph that can be read."""
    from gateway.formats.base import Match, Source
    from gateway.formats.tfgraph import plain
    from gateway.formats.tfjs import graph, weights

    text, _, stored = data.partition(NEXT_FILE)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "model.json").write_bytes(text)
        (root / "w.bin").write_bytes(stored)
        found = weights.topology(root / "model.json")
        source = Source(root, ("model.json", "w.bin"))
        values = weights.read(source, Match("tfjs", "", 1.0, "", "model.json"), found)
    plain.parse(plain.Written(graph.graphdef(found["modelTopology"], values), "model.json"))


# -- protocols: bytes as they come, or (first byte from 128 on) a document made of them, which gets further --


class Draw:
    """Decisions taken from bytes; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, below: int) -> int:
        value = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return value % below

    def bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at].ljust(count, b"\0")

    def value(self, depth: int = 0) -> str:
        """A JSON value as text, tokens that are none in JSON among them."""
        kind = self.number(14)
        if kind < 4 and depth < 6:
            return "[" + ",".join(self.value(depth + 1) for _ in range(self.number(4))) + "]"
        if kind < 6 and depth < 6:
            keys = ("x", "a", "b", "b64", "instances", "inputs", "signature_name", "")
            pairs = (f'"{keys[self.number(8)]}":{self.value(depth + 1)}' for _ in range(self.number(3)))
            return "{" + ",".join(pairs) + "}"
        plain = ("1", "-0", "1.5", "1e39", "true", "null", "NaN", "-Infinity", '"a"', '"aGk="', "1" + "0" * 30, "255",
                 "9007199254740993", "-129", '"\\ud83d"', "1.0", "65504.1", "1e-320")  # fmt: skip
        return plain[self.number(len(plain))]


# -- protocols -----------------------------------------------------------------------------------


@cache
def _predictor() -> Any:
    """Models whose outputs are their inputs, one for each kind of tensor."""
    from tests.protocols.double import Double, model

    kinds = ("float32[?,2]", "float16[?]", "int8[?]", "uint64[?]", "bool[?]", "string[?]", "complex64[?]", "float64[]")
    echo = {f"m{at}": model(lambda t: {"y": t["x"]}, [f"x:{kind}"], [f"y:{kind}"]) for at, kind in enumerate(kinds)}
    two = model(
        lambda t: {"y": t["a"], "z": t["b"]}, ["a:float32[?,2]", "b:string[?]"], ["y:float32[?,2]", "z:string[?]"]
    )
    return Double({**echo, "two": two})


class _Observe:
    def request(self, **seen: Any) -> None:
        pass


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return _loop().run_until_complete(work)


PATHS = (
    *(f"/v1/models/m{at}:predict" for at in range(8)), "/v1/models/two:predict", "/v1/models/two/versions/1:predict",
    "/v1/models/two/labels/x:predict", "/v1/models/two", "/v1/models/two/metadata",
    "/v1/models/two:classify", "/v1/models/m0:regress", "/v1/models/m5:regress",
)  # fmt: skip


@target("json")
def json(data: bytes) -> None:
    """A REST call: the path by the first byte, then the body. Both ways through the decoder agree."""
    from gateway.config import Limits
    from gateway.core.signature import Signature, parse_spec
    from gateway.errors import GatewayError
    from gateway.protocols.http import Request, gunzip
    from gateway.protocols.json_tensors import Decoder
    from gateway.protocols.json_text import loads
    from gateway.protocols.tfs_metrics import TfsMetrics
    from gateway.protocols.tfs_rest import TfsRest

    limits = Limits(max_body_bytes=1 << 20, max_elements=1 << 16)
    choice, body = (data[0], data[1:]) if data else (0, b"")
    if choice >= 250:
        body = gunzip(body, limits.max_body_bytes)
    elif choice >= 128:
        draw = Draw(body)
        body = f'{{"{("instances", "inputs")[draw.number(2)]}":{draw.value()}}}'.encode()
    if b"true" not in body and b"false" not in body:
        signature = Signature((parse_spec("x:float32[?,2]" if choice % 2 else "x:int8[?]"),), ())
        answers = []
        for has_bools in (False, True):  # True takes the slow way
            try:
                answers.append(Decoder(signature, limits, has_bools=has_bools).inputs(loads(body, 64)))
            except (GatewayError, AttributeError, TypeError):
                answers.append(None)
        _same(*answers)
    path = PATHS[choice % len(PATHS)]
    method = "POST" if ":" in path else "GET"
    request = Request(method, path, b"", {}, body, "fuzz")
    rest = TfsRest(_predictor(), limits, _Observe(), TfsMetrics())
    import gateway.protocols.tfs_rest as module

    _run(rest._dispatch(request, module._Seen(), 0.0))


def _same(fast: Any, slow: Any) -> None:
    import numpy as np

    assert (fast is None) == (slow is None), "one way takes it, the other refuses it"
    if fast is not None:
        for name, array in fast[0].items():
            np.testing.assert_array_equal(array, slow[0][name], strict=True)


@target("tfs")
def tfs(data: bytes) -> None:
    """A gRPC call: which method by the first byte, then the message."""
    import numpy as np

    from gateway.config import Limits
    from gateway.protocols.tensors import TensorProto, decode, encode
    from gateway.protocols.tfs_grpc import Call, TfsGrpc
    from gateway.protocols.tfs_metrics import TfsMetrics
    from tests.protocols.double import Commands

    choice, body = (data[0], data[1:]) if data else (0, b"")
    limits = Limits(max_message_bytes=1 << 20, max_elements=1 << 16)
    grpc = TfsGrpc(_predictor(), Commands(_predictor()), limits, _Observe(), TfsMetrics())
    if choice >= 128:
        _run(grpc.predict(_request(Draw(body)).SerializeToString(), Call(0.0, "fuzz")))
        return
    examples = grpc._examples
    methods = (
        grpc.predict, examples.classify, grpc.get_model_metadata, grpc.get_model_status, examples.regress,
        examples.multi_inference, grpc._reload.reload,
    )  # fmt: skip
    if choice % 8 < 7:
        _run(methods[choice % 8](body, Call(0.0, "fuzz")))
        return
    from google.protobuf.message import DecodeError

    try:
        proto = TensorProto.FromString(body)
    except DecodeError:
        return
    array = decode(proto, 1 << 20)
    assert array.size <= 1 << 20
    for content in (False, True):
        again = decode(TensorProto.FromString(encode(array, content=content and array.dtype != object)), 1 << 21)
        np.testing.assert_array_equal(again, array, strict=True)


def _request(draw: Draw) -> Any:
    """A PredictRequest whose tensors may say one thing and hold another."""
    from gateway.protocols.pool import message

    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name = ("m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "two", "none")[draw.number(10)]
    if draw.number(4) == 3:
        request.output_filter.append(("y", "z", "")[draw.number(3)])
    for name in ("a", "b") if request.model_spec.name == "two" else ("x",):
        tensor = request.inputs[name]
        tensor.dtype = draw.number(32)
        tensor.tensor_shape.unknown_rank = draw.number(16) == 15
        for _ in range(draw.number(5)):
            big = draw.number(16)
            tensor.tensor_shape.dim.add(size=(1 << 40, -1, 1 << 62)[big - 13] if big > 12 else big % 4)
        if draw.number(2):
            tensor.tensor_content = draw.bytes(draw.number(40))
        for _ in range(draw.number(6)):
            values = {
                "float_val": 1.5, "double_val": 1e300, "int_val": draw.number(256) * 3 - 200, "int64_val": -(1 << 60),
                "half_val": draw.number(256) * 300, "bool_val": True, "string_val": b"x", "scomplex_val": 0.5,
                "dcomplex_val": 0.5, "uint32_val": 7, "uint64_val": 1 << 63,
            }  # fmt: skip
            field = list(values)[draw.number(len(values))]
            getattr(tensor, field).append(values[field])
    return request


@target("kserve-rest")
def kserve_rest(data: bytes) -> None:
    """An inference: model and length of the JSON before the binary tensors by the first bytes, then the body."""
    from gateway.protocols.http import Request
    from gateway.protocols.kserve_infer import Call
    from gateway.protocols.kserve_json import decode, encode

    choice, size, body = (data[0], data[1], data[2:]) if len(data) > 1 else (0, 0, b"")
    headers = {} if choice < 128 else {b"inference-header-content-length": str(size).encode()}
    name = "two" if choice % 16 == 8 else f"m{choice % 8}"
    found = decode(Request("POST", "/", b"", headers, body, "fuzz"), name, "", _kserve())
    encode(_run(_kserve().inference.run(found.request, Call(1e18, "fuzz"), found.inputs)), found)


@target("kserve-grpc")
def kserve_grpc(data: bytes) -> None:
    from gateway.protocols.kserve_grpc import KServeGrpc
    from gateway.protocols.kserve_infer import Call

    _run(KServeGrpc(_kserve()).infer(data, Call(1e18, "fuzz")))


@cache
def _kserve() -> Any:
    from gateway.config import Limits, Settings
    from gateway.protocols.kserve_service import KServe

    settings = Settings(limits=Limits(max_message_bytes=1 << 20, max_elements=1 << 16))
    return KServe(_predictor(), settings, _Observe(), _predictor())


CONTENT_TYPES = (
    b"", b"application/json", b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded", b"image/png",
    b"application/octet-stream", b"multipart/mixed", b"text/plain",
)  # fmt: skip


@target("mms")
def mms(data: bytes) -> None:
    from gateway.config import Limits
    from gateway.core.signature import Signature, parse_spec
    from gateway.protocols.mms_inputs import parts_of, tensors_of

    choice, body = (data[0], data[1:]) if data else (0, b"")
    kinds = ("x:float32[?,2]", "x:int8[?]", "x:string[?]", "x:bool[2,2]")
    specs = [parse_spec(kinds[choice // 8 % 4]), *([parse_spec("y:string[?]")] if choice >= 128 else [])]
    parts = parts_of(CONTENT_TYPES[choice % 8], body)
    tensors_of(parts, Signature(tuple(specs), ()), Limits(max_body_bytes=1 << 20, max_elements=1 << 16))


# -- between our own processes, and what an owner writes --------------------------------------------


@target("wire")
def wire(data: bytes) -> None:
    import numpy as np

    from gateway.process import wire

    header, tensors = wire.load_with_header(written("frame", data))
    wire.save(scratch() / "again", tensors, header)
    again_header, again = wire.load_with_header(scratch() / "again")
    assert again_header == header
    assert list(again) == list(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(again[name], array, strict=True)


@target("toml")
def toml(data: bytes) -> None:
    from gateway.repository.seen import parse_options

    parse_options(data, "model.toml")


@target("config-pbtxt")
def config_pbtxt(data: bytes) -> None:
    from gateway.core import tritonconfig

    tritonconfig.parse(data.decode("utf-8", "replace"))


@target("vectors")
def vectors(data: bytes) -> None:
    """The owner's arrays beside a model."""
    from gateway.convert.vectors import read
    from gateway.core.signature import Signature, parse_spec

    folder = written("test/input_0.npy", data).parent
    (folder / "output_0.npy").write_bytes(data)
    found = read(folder, Signature((parse_spec("x:float32[?,2]"),), (parse_spec("y:float32[?,2]"),)))
    assert found is None or found[0]["x"].nbytes <= len(data)
