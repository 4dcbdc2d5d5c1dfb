"""Text that is no JSON: settings of Darknet, trees of LightGBM, text protobuf, XML, pages that are no models.

Rule 1: a word proves nothing: a line, a section or keys of one grammar do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.recognise import textproto
from gateway.recognise.answer import Finding
from gateway.recognise.blob import Blob

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
DARKNET_SECTIONS = (
    b"convolutional conv connected conn maxpool max avgpool avg yolo region detection shortcut route upsample reorg "
    b"reorg3d batchnorm dropout softmax soft crop cost local deconvolutional lstm gru rnn crnn conv_lstm gaussian_yolo "
    b"sam scale_channels activation implicit normalization lrn l2norm logistic iseg empty contrastive history"
).split()

# kind, version, confidence, what is seen, pattern at the beginning, pattern of another line ("": none).
LINES: tuple[tuple[str, str, float, str, bytes, bytes], ...] = (
    ("xgboost-dump", "", 1.0, "starts with 'booster[0]' and a node", rb"\s*booster\[0\]:?\s*\n\s*0:\[", b""),
    (
        "lfs-pointer",
        "1",
        1.0,
        "the first line of a Git LFS pointer",
        rb"version https://git-lfs\.github\.com/spec/",
        b"",
    ),
    ("annex-pointer", "", 1.0, "starts with /annex/objects/", rb"/annex/objects/\S+", b""),
    ("html", "", 1.0, "starts as an HTML page", rb"(?i)\s*(<!doctype html|<html)", b""),
    ("libsvm", "", 1.0, "the lines svm_type and kernel_type", rb"svm_type \w+\r?\n", rb"^kernel_type "),
    ("liblinear", "", 1.0, "the lines solver_type and nr_class", rb"solver_type \w+\r?\n", rb"^nr_class "),
    ("coreml-mil", "", 1.0, "the first line is 'program(...)'", rb"program\s*\(\s*\d", b""),
    ("unity", "", 1.0, "the first line is fileFormatVersion", rb"fileFormatVersion:\s*\d", b""),
    (
        "nnef",
        "graph",
        1.0,
        "'version x;' and 'graph name(...)'",
        rb"\s*version\s+\d+\.\d+\s*;",
        rb"^\s*graph\s+\w+\s*\(",
    ),
    ("dot", "", 0.9, "a digraph { ... }", rb"", rb"^\s*(?:strict\s+)?digraph\b[^{\n]*\{"),
    ("bentoml", "", 1.0, "the YAML keys module and bentoml_version", rb"", rb"^module:[^\0]*^ +bentoml_version:"),
    (
        "opencv-xml",
        "YAML",
        0.95,
        "'%YAML:1.0' and a type of OpenCV",
        rb"%YAML:1\.0",
        rb"opencv[-_](ml|object|haar|cascade)",
    ),
    ("kaldi", "text", 0.9, "a token of Kaldi", rb"\s*<(Nnet3|TransitionModel|Nnet)>", b""),
)


def is_text(blob: Blob) -> bool:
    return blob.memo("text", lambda b: bool(b.head.strip()) and _CONTROL.search(b.head) is None)


def lines(blob: Blob) -> Iterator[Finding]:
    """What the first lines say: the rows of LINES, and LightGBM's."""
    head = blob.head.removeprefix(b"\xef\xbb\xbf")
    for kind, version, sure, said, start, other in LINES:
        if re.match(start, head) and (not other or re.search(other, head, re.M)):
            yield Finding(kind, version, sure, said)
    if head.split(b"\n", 1)[0].strip() != b"tree":
        return
    if found := re.search(rb"^version=(v\d+)\r?$", head[:200], re.M):
        yield from _lightgbm(blob, head, found[1].decode())
    elif len(head) < 200:
        yield Finding("lightgbm", "", 0.6, "the first line is 'tree'").cut("it ends before its version")


def _lightgbm(blob: Blob, head: bytes, version: str) -> Iterator[Finding]:
    found = re.search(rb"^objective=(\S+)", head, re.M)
    objective = f", objective {found[1].decode('utf-8', 'replace')}" if found else ""
    said = f"first line 'tree', then version={version}{objective}"
    finding = Finding("lightgbm", version, 1.0, said)
    yield finding if b"end of trees" in blob.tail(1 << 18) else finding.cut("it has no 'end of trees'")


def tables(blob: Blob) -> Iterator[Finding]:
    """Formats of rows: ncnn, pnnx, TNN, word2vec; then Darknet's sections, MLflow's YAML, MLIR."""
    head = blob.head
    rows = [row.split() for row in head.split(b"\n")[:40]]
    yield from _ncnn(rows)
    yield from _word2vec(rows)
    if re.match(rb'"\d+ \d+ \d+( (4206624770|4206624772))? ?,"', head):
        yield Finding("tnn", "structure", 1.0, "a first line of counts in quotes, as TNN writes it")
    yield from _darknet(blob, head)
    beside = rb"^(model_uuid|artifact_path|mlflow_version|utc_time_created):"
    if re.search(rb"^flavors:\s*$", head, re.M) and re.search(beside, head, re.M):
        version = re.search(rb"^mlflow_version:\s*([\w.]+)", head, re.M)
        flavors = ", ".join(f.decode() for f in re.findall(rb"^  (\w+):\s*$", head, re.M)[:6])
        said = f"the YAML keys flavors ({flavors}) and what MLflow writes beside them"
        yield Finding("mlflow", version[1].decode() if version else "", 1.0, said)
    module = re.search(rb"^(module\b.*\{|#loc\w* = loc|func\.func )", head, re.M)
    dialect = rb"\b(func\.func|stablehlo\.|mhlo\.|tosa\.|linalg\.|onnx\.|tfl\.|torch\.|builtin\.module)|module \{"
    if module and re.search(dialect, head):
        yield Finding("mlir", "", 0.95, "a module of MLIR's text form")


def _ncnn(rows: list[list[bytes]]) -> Iterator[Finding]:
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    if first == [b"7767517"]:
        theirs = (b"pnnx.", b"nn.", b"F.", b"torch.", b"Tensor.")
        layers = [row for row in rows[2:] if len(row) >= 4]
        said = "the first line is 7767517, the second counts layers and blobs"
        if layers and len(second) == 2:
            pnnx = any(row[0].startswith(theirs) for row in layers)
            yield Finding("pnnx" if pnnx else "ncnn", "7767517", 1.0, said)
        else:
            for kind in ("ncnn", "pnnx"):
                yield Finding(kind, "7767517", 0.6, "the first line is 7767517").cut("no layers behind it")
    elif len(first) == 2 and all(n.isdigit() for n in first) and len(second) >= 4:
        layer = re.fullmatch(rb"[A-Z]\w+", second[0])
        if layer and second[2].isdigit() and second[3].isdigit():
            yield Finding("ncnn", "without 7767517", 0.9, f"counts of layers and blobs, then {second[0].decode()}")


def _word2vec(rows: list[list[bytes]]) -> Iterator[Finding]:
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    if len(first) != 2 or not all(n.isdigit() and len(n) < 9 for n in first) or len(second) != int(first[1]) + 1:
        return
    if len(second) > 4 and all(re.fullmatch(rb"-?\d*\.?\d+(e-?\d+)?", n) for n in second[1:]):
        yield Finding("word2vec", "text", 0.9, f"{first[0].decode()} vectors of {first[1].decode()} numbers")


def _darknet(blob: Blob, head: bytes) -> Iterator[Finding]:
    said = [row.strip() for row in head.split(b"\n")]
    said = [row for row in said if row and not row.startswith((b"#", b";"))]
    if not said or said[0].lower() not in (b"[net]", b"[network]"):
        return
    sections = re.findall(rb"^\s*\[(\w+)\]", blob.read(0, 1 << 18), re.M)
    layers = [name for name in sections[1:] if name in DARKNET_SECTIONS]
    if layers:
        yield Finding(
            "darknet",
            "cfg",
            1.0,
            f"the first section is {said[0].decode()}, then [{layers[0].decode()}]; {len(layers)} layers",
        )
    else:
        yield Finding("darknet", "cfg", 0.9, f"the first section is {said[0].decode()}").cut("no layer follows")


def protobuf(blob: Blob) -> Iterator[Finding]:
    """Text protobuf, told apart by its keys at the top and one level below."""
    if not re.search(rb"^[ \t]*[A-Za-z_]\w*[ \t]*[:{]", blob.head, re.M) or blob.head.lstrip()[:1] in (
        b"<",
        b"[",
        b"{",
    ):
        return
    found = textproto.keys(blob.read(0, textproto.LOOKED))
    finding = next(_text_kinds(blob, found), None)
    if finding is None:
        return
    large = blob.size > textproto.LOOKED
    if found.broken and not large:
        yield finding.cut("it is no whole text protobuf")
    else:
        yield finding if found.whole or large else finding.cut("a brace is not closed")


_STREAMS = ("input_stream", "output_stream", "input_side_packet", "output_side_packet")


# kind, version (a key whose value it is, or a word), confidence, keys that all stand there, keys of which one does.
_KEYS: tuple[tuple[str, str, float, tuple[str, ...], tuple[str, ...]], ...] = (
    ("tf-savedmodel-text", "", 1.0, (), ("saved_model_schema_version", "meta_graphs")),
    ("tf-metagraph", "text", 0.95, ("graph_def",), ("meta_info_def", "saver_def", "graph_def.node")),
    ("onnx-text", "ir_version", 1.0, ("ir_version", "graph"), ()),
    (
        "caffe-solver", "", 1.0, (), ("base_lr", "max_iter", "test_iter", "lr_policy", "snapshot_prefix"),
    ),
    ("caffe2", "text", 0.95, ("op.type",), ("op.input", "op.output")),
    ("mediapipe", "", 1.0, ("node",), (*_STREAMS, *(f"node.{name}" for name in _STREAMS), "node.calculator")),
    ("tf-graphdef", "text", 1.0, ("node.op", "node.name"), ()),
    ("coreml-text", "specificationVersion", 1.0, ("specificationVersion", "description"), ()),
    ("nnabla", "nntxt", 0.95, ("network",), ("network.function", "network.variable", "executor", "global_config")),
    ("uff", "text", 0.95, ("version", "descriptors", "graphs"), ()),
)  # fmt: skip


def _text_kinds(blob: Blob, found: textproto.Keys) -> Iterator[Finding]:
    for old in ("layer", "layers"):
        if found.has(f"{old}.type"):
            said = f"{found.counts[old]} text messages '{old}', the first of type {found.found[f'{old}.type']}"
            version = "prototxt, V1" if old == "layers" else "prototxt"
            yield Finding("caffe", version, 1.0, f"{said}; no .caffemodel with it")
    if found.has("layers.layer") and not found.has("layers.type"):
        said = f"{found.counts['layers']} text messages 'layers' with 'layer' in them, the oldest form"
        yield Finding("caffe", "prototxt, V0", 1.0, f"{said}; no .caffemodel with it")
    for kind, version, sure, every, one in _KEYS:
        if not found.has(*every) or (one and not found.any(*one)):
            continue
        if kind == "caffe-solver" and not found.any("net", "train_net", "net_param"):
            continue
        seen = [*every, *(name for name in one if name in found.found)]
        yield Finding(kind, found.found.get(version, version), sure, f"the text keys {', '.join(seen[:4])}")
    served = found.any("platform", "backend", "max_batch_size", "instance_group")
    if served and found.any("input", "output", "instance_group", "name"):
        names = ("name", "platform", "backend", "max_batch_size", "input", "output")
        said = ", ".join(name for name in names if found.has(name))
        yield Finding("triton-repository", "", 0.95 if blob.base == "config.pbtxt" else 0.8, f"the text keys {said}")


def xml(blob: Blob) -> Iterator[Finding]:
    """The root element of an XML file; entities are never expanded, because nothing is parsed."""
    head = blob.head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith(b"<"):
        return
    head = re.sub(rb"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>\[]*(\[[^\]]*\])?[^>]*>", b"", head, flags=re.DOTALL)
    root = re.match(rb"\s*<([A-Za-z_][\w:.-]*)([^>]*)(>?)", head, re.DOTALL)
    if root is None:
        return
    name, attributes = root[1].decode(), root[2].decode("utf-8", "replace")
    version = re.search(r"""\bversion\s*=\s*["']([\w.]{1,20})["']""", attributes)
    said, closed = version[1] if version else "", f"</{name}>".encode() in blob.tail(512)
    finding = None
    if name == "PMML":
        finding = Finding("pmml", said, 1.0, f"the root element <PMML version={said!r}>")
    elif name == "net" and re.search(rb"<layers>|<layer\s", head):
        inner = re.search(rb'<layer[^>]*\btype="(\w+)"', head)
        kind = inner[1].decode() if inner else "?"
        evidence = f"the root element <net>, layers, the first of type {kind}; no .bin with it"
        finding = Finding("openvino", f"IR {said}", 1.0, evidence)
    elif name == "net" and blob.size < 64 and "name=" in attributes:
        finding = Finding("openvino", f"IR {said}", 0.6, "the root element <net>")
    elif name == "opencv_storage" and re.search(
        rb'type_id="opencv-[\w-]+"|opencv-(cascade|haar|ml)|<(cascade|svm|stages|layer_sizes)\b|opencv_ml_', head
    ):
        finding = Finding("opencv-xml", "", 0.95, "the root element <opencv_storage> with a classifier")
    if finding is not None:
        yield finding if closed else finding.cut(f"</{name}> is not at its end")


TEXTS = (lines, tables, protobuf, xml)
