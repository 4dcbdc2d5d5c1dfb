"""Where each target starts from: small true inputs, made here, and the corpus of what was found."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.archive import forge
from tests.e2e.affine import affine
from tests.formats.mxnet.write import Graph, params_bytes
from tests.formats.wire_format import message, number
from tests.fuzz.targets import FILES, NEXT_FILE, TARGETS
from tests.hostile.pickles import npy_of_objects

CORPUS = Path(__file__).with_name("corpus")


def inputs(target: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every input of a target: the made ones, the kept ones, each finding."""
    for number_, data in enumerate(MADE.get(target, list)()):
        yield f"seed-{number_}", data
    packed = CORPUS / f"{target}.zip"
    if packed.exists():
        with zipfile.ZipFile(packed) as archive:
            for name in sorted(archive.namelist()):
                yield name, archive.read(name)
    for path in sorted((CORPUS / target).glob("*")):
        yield path.name, path.read_bytes()


def archives() -> list[bytes]:
    entries = [forge.Entry(b"a/b", b"text" * 9, 8), forge.Entry(b"c", b"x"), forge.Entry(b"d/", attributes=0)]
    files = {"a/b": b"text", "größe": b"", "l" * 120: b"x"}
    tars = [
        forge.by_tarfile(files),
        forge.file(b"./x") + forge.END,
        forge.pax((b"path", b"y")) + forge.file(b"x") + forge.END,
    ]
    tars.append(forge.long_name(b"z" * 200) + forge.file(b"x") + forge.END)
    zips = [forge.zip_of(entries), forge.zip_of(entries, comment=b"hello"), forge.overlap()]
    zips.append(forge.zip_of([forge.Entry(b"s", b"streamed", 8, flags=0x808)]))
    return [*zips, *tars, *(forge.gzipped(tar) for tar in tars)]


def symbols() -> list[bytes]:
    found = []
    for version, key in ((10901, "attrs"), (0, "param"), (904, "attr")):
        graph = Graph(version=version, attrs_key=key)
        x = graph.variable("data")
        c = graph.node(
            "Convolution", "c", [x, graph.variable("c_weight")], num_filter=2, kernel="(3, 3)", no_bias="True"
        )
        f = graph.node("Flatten", "f", [c])
        y = graph.node(
            "FullyConnected", "fc", [f, graph.variable("fc_weight"), graph.variable("fc_bias")], num_hidden=3
        )
        found.append(json.dumps(graph.json(graph.node("SoftmaxOutput", "softmax", [y]))).encode())
    weights = params_bytes({"arg:c_weight": np.zeros((2, 3, 3, 3), np.float32), "arg:fc_bias": np.zeros(3, np.float32)})
    return [*found, found[0] + NEXT_FILE + weights]


def weights() -> list[bytes]:
    arrays = {"arg:a": np.zeros((2, 3), np.float32), "aux:b": np.ones(2, np.int8)}
    return [params_bytes(arrays, version) for version in ("V0", "V1", "V2", "V3")]


def xgboosts() -> list[bytes]:
    """The binary form of both ages, and what it holds as JSON and as UBJSON."""
    from gateway.formats.xgboost import binary
    from tests.formats.trees.written import OLD, as_ubj

    old = [(OLD / name).read_bytes() for name in ("dart.model", "gamma-0.90.model", "linear.model", "logistic.model")]
    document = binary.parse(old[-1])
    return [*old, json.dumps(document).encode(), as_ubj(document)]


def lightgbms() -> list[bytes]:
    from tests.formats.trees.written import LIGHT

    linear = LIGHT.replace(
        "is_linear=0", "is_linear=1\nleaf_const=1 2 3\nnum_features=0 1 0\nleaf_features=2\nleaf_coeff=1"
    )
    return [LIGHT.encode(), linear.encode()]


def darknets() -> list[bytes]:
    from tests.formats.darknet import rows

    names = ("yolo: scale_x_y", "lstm of pjreddie's, plain", "crnn of AlexeyAB's", "route takes a part of each",
             "shortcut weights per_channel, relu", "local, padded", "region: a background")  # fmt: skip
    made = [rows.CASES[name].make() for name in names]
    return [net.cfg().encode() + b"\0" + net.weights() for net in made]


def models() -> list[bytes]:
    external = message(5, number(2, 1), number(1, 2), message(8, "w"), number(14, 1),
                       message(13, message(1, "location"), message(2, "weights.bin")))  # fmt: skip
    graph = message(
        7, message(1, message(1, "x"), message(2, "y"), message(4, "Relu")), external, message(12, message(1, "y"))
    )
    return [affine(1.0), number(1, 8) + graph + message(8, message(1, ""), number(2, 17))]


def documents() -> list[bytes]:
    texts = [
        '{"instances": [[1, 2], [3.5, -1e3]]}', '{"inputs": [1, 2, 3]}', '{"inputs": {"x": [true, false]}}',
        '{"instances": [{"b64": "aGk="}, "text"]}', '{"inputs": [NaN, Infinity, -Infinity]}',
        '{"signature_name": "serving_default", "instances": [1.0]}', '{"instances": [{"a": [1, 2], "b": "x"}]}',
        '{"inputs": 18446744073709551615}', '{"instances": [1e400]}', '{"instances": [[[[]]]]}',
        '{"inputs": "\\ud800"}',
    ]  # fmt: skip
    found = [bytes([at % 14]) + text.encode() for at, text in enumerate(texts)]
    found += [bytes([128 + at]) + bytes(range(at, at + 40)) for at in range(9)]
    examples = '{"examples": [{"x": [1.5, 2], "a": [1.0, 2.0], "b": {"b64": "aGk="}}], "context": {"x": [1.0, 2.0]}}'
    found += [bytes([13 + at]) + examples.encode() for at in range(3)]
    return [*found, b"\x08" + texts[6].encode(), b"\xfa" + gzip.compress(texts[0].encode())]


def messages() -> list[bytes]:
    from gateway.protocols.tensors import encode

    arrays = [
        np.zeros((1, 2), np.float32), np.array([b"a", b""], object), np.array([True]), np.array([3], np.uint64),
        np.array([1 + 2j], np.complex64), np.array([-1], np.int8), np.array([0.5], np.float16),
    ]  # fmt: skip
    tensors = [encode(array, content=content) for array in arrays for content in (False, True) if array.dtype != object]
    tensors.append(encode(arrays[1]))
    found = [b"\x07" + tensor for tensor in tensors]
    for at, tensor in enumerate(tensors[:8]):
        spec = message(1, message(1, f"m{at}"), message(3, "serving_default"))
        found.append(b"\0" + spec + message(2, message(1, "x"), message(2, tensor)))
    found += [bytes([128 + at]) + bytes(range(at, at + 60)) for at in range(0, 40, 5)]
    asked = message(1, message(1, "two"))
    feature = message(1, message(1, "x"), message(2, message(2, message(1, np.float32([1, 2]).tobytes()))))
    examples = message(2, message(1, message(1, message(1, feature))))
    task = message(1, message(1, message(1, "m0")), message(2, "tensorflow/serving/regress"))
    listed = message(1, message(1, message(1, message(1, "m"), message(2, "/models/m"))))
    return [
        *found, b"\2" + asked + message(2, "signature_def"), b"\3" + asked,
        b"\1" + message(1, message(1, "two")) + examples, b"\4" + message(1, message(1, "m0")) + examples,
        b"\5" + task + examples, b"\6" + listed,
    ]  # fmt: skip


def frames() -> list[bytes]:
    import tempfile

    from gateway.process import wire

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame"
        wire.save(path, {"a": np.zeros((2, 3), np.float32), "s": np.array([b"x", b""], object)}, {"k": [1]})
        return [path.read_bytes()]


def tomls() -> list[bytes]:
    text = """target = "onnx"
labels = "labels.txt"
serve_failed = false
[[inputs]]
name = "x"
shape = [-1, 3, 224, 224]
dtype = "float32"
[[outputs]]
name = "y"
[preprocess]
resize = [224, 224]
mean = [0.5, 0.5, 0.5]
"""
    return [text.encode(), b"target = 3\nunknown = 1\n"]


def drops() -> list[bytes]:
    kinds = [(0, models()), (1, symbols()[:3]), (2, weights()), (10, archives()[:3]), (5, [b'{"learner": {}}'])]
    found = [bytes([at]) + data for at, many in kinds for data in many]
    found.append(bytes([1]) + symbols()[0] + NEXT_FILE + bytes([2]) + weights()[2])
    return [*found, *(bytes([at]) + b"\x80\x04K\x01." for at in range(len(FILES)))]


def inferences() -> list[bytes]:
    texts = [
        b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}',
        b'{"outputs": [{"name": "y", "parameters": {"classification": 1}}], "id": "a", "inputs": []}',
        b'{"inputs": [{"name": "x", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}]}',
        b'{"inputs": [{"name": "x", "shape": [2], "datatype": "BOOL", "data": [true, false]}]}',
    ]
    binary = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}'
    found = [bytes([at, 0]) + text for at, text in zip((0, 5, 5, 4), texts, strict=True)]
    return [*found, bytes([128, len(binary)]) + binary + bytes(8), bytes([128, 0]) + bytes(8)]


def inference_messages() -> list[bytes]:
    """ModelInferRequest (grpc_predict_v2.proto): model_name 1, inputs 5 {name 1, datatype 2, shape 3, contents 5}."""
    contents = message(5, message(6, struct.pack("<2f", 1, 2)))  # fp32_contents
    tensor = message(1, "x") + message(2, "FP32") + message(3, b"\1\2")
    return [
        message(1, "m0") + message(5, tensor, contents),
        message(1, "m0") + message(5, tensor) + message(7, struct.pack("<2f", 1, 2)),
        message(1, "m5")
        + message(5, message(1, "x"), message(2, "BYTES"), message(3, b"\1"), message(5, message(8, "hi"))),
        message(1, "two") + message(6, message(1, "y")),
    ]


def array_files() -> list[bytes]:
    import io

    found = []
    for array in (np.zeros((1, 2), np.float32), np.array([b"a"]), np.zeros((2, 2), ">i4"), np.array(1.5)):
        out = io.BytesIO()
        np.save(out, array)
        found.append(out.getvalue())
    brackets = b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000
    return [*found, found[0].replace(b"(1, 2)", b"(1, 2**9)"), npy_of_objects(b"N."), brackets]


def forms() -> list[bytes]:
    part = (
        b'--x\r\nContent-Disposition: form-data; name="x"; filename="a.npy"\r\nContent-Type: application/json\r\n\r\n'
    )
    form = part + b"[[1, 2]]\r\n--x--\r\n"
    return [b"\1[[1, 2]]", b"\2" + form, b"\3x=%5B1%5D&y=2", *(b"\5" + data for data in array_files()), b"\x15hello"]


def pbtxts() -> list[bytes]:
    text = """name: "m" # words
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 2 ] } ]
output { name: "y" data_type: TYPE_FP32 dims: 2 dims: 3, }
version_policy: { latest { num_versions: 1 } }
parameters { key: "a" value: { string_value: 'b\\n' } }
"""
    return [text.encode(), b"input <name: 'x'>", b"version_policy { specific { versions: [1, 2] } }"]


def saved_models() -> list[bytes]:
    from tests.hostile import graphs

    found = [graphs.saved_model(make("/x")) for make in (graphs.read_file, graphs.print_file, graphs.save_checkpoint)]
    body = graphs.node("out", "Identity", ("x",))
    called = message(5, message(1, "f"), message(2, message(10, message(1, "g"))))
    library = message(2, message(1, message(1, message(1, "g")), b"\x1a" + body[1:]))
    graph = message(2, graphs.node("out", "Call", ("x",), called), library)
    saver = message(3, message(2, "out:0"), message(3, "out"))
    return [*found, number(1, 1) + message(2, graph, saver, message(7, message(2, message(1, "g"))))]


def networks_of_torch() -> list[bytes]:
    from tests.formats.torch7.rows import lstm_like
    from tests.formats.torch7.writer import dumped, small

    return [dumped(net, form) for net in (small(), lstm_like(), {"model": small()}) for form in ("b64", "b32", "ascii")]


def irs() -> list[bytes]:
    import io

    from tests.formats.mmdnn.writer import small

    net, stored = small(), io.BytesIO()
    np.save(stored, net.weights)  # type: ignore[arg-type]  # a dictionary, as MMdnn saves it
    return [form + mark for form in (net.pb(), net.json()) for mark in (b"", NEXT_FILE + stored.getvalue())]


def tf_graphs() -> list[bytes]:
    from tests.hostile import graphs
    from tests.hostile.graphs import kind, node

    called = message(5, message(1, "f"), message(2, message(10, message(1, "g"))))
    body = node("out", "Identity", ("x",))
    library = message(2, message(1, message(1, message(1, "g")), b"\x1a" + body[1:]))
    x = node("x", "Placeholder", (), kind("dtype", 1))
    text = b'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } } node { name: "y" op: '
    return [graphs.read_file("/x"), x + node("out", "Call", ("x",), called) + library, text + b'"Tanh" input: "x" }']


def tfjs_models() -> list[bytes]:
    node = b'{"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}}'
    const = b'{"name": "w", "op": "Const", "attr": {"dtype": {"type": "DT_FLOAT"}, "value": {"tensor": {}}}}'
    fused = (b'{"name": "y", "op": "_FusedMatMul", "input": ["x", "w", "w"], "attr": {"fused_ops": {"list": {"s": '
             b'["Qmlhc0FkZA==", "UmVsdQ=="]}}}}')  # fmt: skip
    told = b'{"name": "w", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 1, "min": 0}}'
    nodes = b", ".join((node, const, fused))
    manifest = b'[{"paths": ["w.bin"], "weights": [' + told + b"]}]"
    model = b'{"modelTopology": {"node": [' + nodes + b']}, "weightsManifest": ' + manifest + b"}"
    return [model + NEXT_FILE + bytes(range(2))]


def caffes() -> list[bytes]:
    import numpy as np

    from tests.formats.caffe.writer import Writer

    net = Writer("n").input("d", (1, 1, 2, 2))
    param = {"num_output": 1, "kernel_size": 1}
    net.layer("Convolution", "c", ["d"], ["c"], convolution_param=param, blobs=[np.ones((1, 1, 1, 1)), np.ones(1)])
    net.layer("ReLU", "r", ["c"], ["c"])
    pairs = [(net.prototxt(v, "input_dim").encode(), net.caffemodel(v, "input_dim")) for v in ("V0", "V1", "V2")]
    train = b'layer { name: "x" type: "Data" top: "d" include { phase: TEST not_stage: "s" } exclude { min_level: 2 } }'
    return [*(NEXT_FILE.join(pair) for pair in pairs), *(NEXT_FILE + pair[1] for pair in pairs), train]


def parameters_of_paddle() -> list[bytes]:
    from tests.formats.paddle.written import record

    return [record(5, [2, 3]), record(3, []) + record(0, [3]), record(5, [1, 2], levels=[bytes(16)], packed=True)]


def weights_of_torch() -> list[bytes]:
    """A state dict and a module in the forms of torch.save, safetensors; in front 0, or 1 for safetensors."""
    from tests.formats.torch.weights import safetensors
    from tests.hostile.pickles import Call, Name, Persistent, pickle, torch_legacy, torch_zip

    storage = Persistent(("storage", Name("torch", "FloatStorage"), "0", "cpu", 8))
    tensor = Call(
        "torch._utils", "_rebuild_tensor_v2", storage, 0, (2, 4), (4, 1), False, Call("collections", "OrderedDict")
    )
    pickles = [pickle({"state_dict": {"fc.weight": tensor, "n": 3}}, 2), pickle([Call("net", "Net"), tensor], 4)]
    safe = safetensors({"a": ("F32", [2, 3], bytes(24)), "b": ("I64", [], bytes(8))})
    return [*(b"\0" + form(data) for data in pickles for form in (torch_zip, torch_legacy)), b"\1" + safe]


MADE = {
    "caffe": caffes, "torch7": networks_of_torch, "mmdnn-ir": irs, "xgboost": xgboosts, "lightgbm": lightgbms,
    "savedmodel": saved_models, "tfgraph": tf_graphs, "tfjs": tfjs_models, "torch-weights": weights_of_torch,
    "paddle-params": parameters_of_paddle,
    "kserve-rest": inferences, "kserve-grpc": inference_messages, "mms": forms, "vectors": array_files,
    "config-pbtxt": pbtxts,
    "archive": archives, "detect": drops, "recognise": drops, "onnx": models, "mxnet-symbol": symbols,
    "darknet": darknets, "mxnet-params": weights, "json": documents, "tfs": messages, "wire": frames, "toml": tomls,
}  # fmt: skip
assert set(MADE) == set(TARGETS)
