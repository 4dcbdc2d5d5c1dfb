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
    b"convolutional conv connected conn maxpool max avgpool avg yolo region detection shortcut route upsample reorg reorg3d "
    b"batchnorm dropout softmax soft crop cost local deconvolutional lstm gru rnn crnn conv_lstm gaussian_yolo sam scale_channels "
    b"activation implicit normalization lrn l2norm logistic iseg empty contrastive history"
).split()


def is_text(blob: Blob) -> bool:
    return blob.memo("text", lambda b: bool(b.head.strip()) and _CONTROL.search(b.head) is None)


def lines(blob: Blob) -> Iterator[Finding]:
    """What the first lines say."""
    head = blob.head.removeprefix(b"\xef\xbb\xbf")
    first = head.split(b"\n", 1)[0].strip()
    start = head.lstrip()[:64].lower()
    if first == b"tree" and (found := re.search(rb"^version=(v\d+)\r?$", head[:200], re.M)):
        yield from _lightgbm(blob, head, found[1].decode())
    elif first == b"tree" and len(head) < 200:
        yield Finding("lightgbm", "", 0.6, "the first line is 'tree'").cut("it ends before its version")
    if re.match(rb"\s*booster\[0\]:?\s*\n\s*0:\[", head):
        yield Finding("xgboost-dump", "", 1.0, "starts with 'booster[0]' and a node")
    if head.startswith(b"bs64\t"):
        yield Finding("xgboost", "old binary as base64", 1.0, "'bs64' and a tab at 0")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        yield Finding("lfs-pointer", "1", 1.0, "the first line of a Git LFS pointer")
    if re.match(rb"/annex/objects/\S+", head):
        yield Finding("annex-pointer", "", 1.0, "starts with /annex/objects/")
    if start.startswith((b"<!doctype html", b"<html")):
        yield Finding("html", "", 1.0, "starts as an HTML page")
    if first.startswith(b"svm_type ") and re.search(rb"^kernel_type ", head, re.M):
        yield Finding("libsvm", "", 1.0, f"the lines svm_type {first[9:40].decode()} and kernel_type")
    if first.startswith(b"solver_type ") and re.search(rb"^nr_class ", head, re.M):
        yield Finding("liblinear", "", 1.0, f"the lines {first[:60].decode()} and nr_class")
    if re.match(rb"program\s*\(\s*\d", first):
        yield Finding("coreml-mil", first[:24].decode(), 1.0, "the first line is 'program(...)'")
    if re.search(rb"^\s*(?:strict\s+)?digraph\b[^{\n]*\{", head[:2048], re.M):
        yield Finding("dot", "", 0.9, "a digraph { ... }")
    if re.match(rb"fileFormatVersion:\s*\d", first):
        yield Finding("unity", "", 1.0, "the first line is fileFormatVersion")
    if re.match(rb"version\s+\d+\.\d+\s*;", first) and re.search(rb"^graph\s+\w+\s*\(", head, re.M):
        yield Finding("nnef", first.split()[1].rstrip(b";").decode(), 1.0, "'version x;' and 'graph name(...)'")
    if re.search(rb"<(Nnet3|TransitionModel|Nnet)>", head[:200]) and not head.lstrip().startswith(b"<?xml"):
        yield Finding("kaldi", "text", 0.9, "a token of Kaldi: <Nnet>, <Nnet3> or <TransitionModel>")


def _lightgbm(blob: Blob, head: bytes, version: str) -> Iterator[Finding]:
    objective = re.search(rb"^objective=(\S+)", head, re.M)
    said = f"first line 'tree', then version={version}" + (f", objective {objective[1].decode()}" if objective else "")
    finding = Finding("lightgbm", version, 1.0, said)
    yield finding if b"end of trees" in blob.tail(1 << 18) else finding.cut("it has no 'end of trees'")


def tables(blob: Blob) -> Iterator[Finding]:
    """Line formats: ncnn, pnnx, TNN, word2vec, Darknet's sections, YAML of MLflow and BentoML."""
    head = blob.head
    rows = [row.split() for row in head.split(b"\n")[:40]]
    first = rows[0] if rows else []
    if first == [b"7767517"]:
        pnnx = any(row and row[0].startswith((b"pnnx.", b"nn.", b"F.", b"torch.", b"Tensor.")) for row in rows[2:])
        finding = Finding(
            "pnnx" if pnnx else "ncnn", "7767517", 1.0, "the first line is 7767517, the second counts layers and blobs"
        )
        yield finding if len(rows) > 1 and len(rows[1]) == 2 else finding.cut("no counts behind it")
    elif len(first) == 2 and all(n.isdigit() for n in first) and len(rows) > 1 and len(rows[1]) >= 4:
        if re.fullmatch(rb"[A-Z]\w+", rows[1][0]) and rows[1][2].isdigit() and rows[1][3].isdigit():
            yield Finding("ncnn", "without 7767517", 0.9, f"counts of layers and blobs, then {rows[1][0].decode()}")
    if len(first) == 2 and all(n.isdigit() for n in first) and len(rows) > 1 and len(rows[1]) == int(first[1][:6]) + 1:
        if len(rows[1]) > 4 and all(re.fullmatch(rb"-?\d*\.?\d+(e-?\d+)?", n) for n in rows[1][1:]):
            yield Finding("word2vec", "text", 0.9, f"{first[0].decode()} vectors of {first[1].decode()} numbers")
    if re.match(rb'"\d+ \d+ \d+( (4206624770|4206624772))? ?,"', head):
        yield Finding("tnn", "structure", 1.0, "a first line of counts in quotes, as TNN writes it")
    yield from _darknet(blob, head)
    if re.search(rb"^flavors:\s*$", head, re.M) and re.search(
        rb"^(model_uuid|artifact_path|mlflow_version|utc_time_created):", head, re.M
    ):
        version = re.search(rb"^mlflow_version:\s*([\w.]+)", head, re.M)
        flavors = re.findall(rb"^  (\w+):\s*$", head, re.M)
        said = (
            f"the YAML keys flavors ({', '.join(f.decode() for f in flavors[:6])}) and what MLflow writes beside them"
        )
        yield Finding("mlflow", version[1].decode() if version else "", 1.0, said)
    if re.search(rb"^  ?bentoml_version:", head, re.M) and re.search(rb"^module:", head, re.M):
        yield Finding("bentoml", "", 1.0, "the YAML keys module and bentoml_version")
    if (
        (b"%YAML:1.0" in head[:64]
        and b"opencv-ml" in head)
        or (b"%YAML:1.0" in head[:64]
        and b"opencv-object-detector" in head)
    ):
        yield Finding("opencv-xml", "YAML", 0.95, "'%YAML:1.0' and a type of OpenCV")
    if re.search(rb"^(module\b.*\{|#loc\w* = loc|func\.func )", head, re.M) and re.search(
        rb"\b(func\.func|stablehlo\.|mhlo\.|tosa\.|linalg\.|onnx\.|tfl\.|torch\.|builtin\.module|module \{)", head
    ):
        yield Finding("mlir", "", 0.95, "a module of MLIR's text form")


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


def _text_kinds(blob: Blob, found: textproto.Keys) -> Iterator[Finding]:
    has, counts = found.has, found.counts
    if found.any("saved_model_schema_version", "meta_graphs"):
        yield Finding("tf-savedmodel-text", "", 1.0, "the text keys saved_model_schema_version or meta_graphs")
    if has("graph_def") and found.any("meta_info_def", "saver_def", "graph_def.node"):
        yield Finding("tf-metagraph", "text", 0.95, "the text keys graph_def and meta_info_def or saver_def")
    if has("ir_version", "graph"):
        yield Finding("onnx-text", f"IR {found.found['ir_version']}", 1.0, "the text keys ir_version and graph")
    if has("layer.type") or has("layers.type"):
        old = "layers" if has("layers") else "layer"
        first = found.found.get(f"{old}.type", "")
        version = "prototxt, V1" if old == "layers" else "prototxt"
        yield Finding(
            "caffe",
            version,
            1.0,
            f"{counts[old]} text messages '{old}', the first of type {first}; no .caffemodel beside it",
        )
    if found.any("net", "train_net", "net_param") and found.any(
        "base_lr", "max_iter", "test_iter", "lr_policy", "snapshot_prefix"
    ):
        yield Finding("caffe-solver", "", 1.0, "the text keys net and base_lr, max_iter, test_iter or lr_policy")
    if has("op.type") and found.any("op.input", "op.output"):
        yield Finding("caffe2", "text", 0.95, "text messages 'op' with type, input and output")
    if has("node") and (found.any(*_STREAMS, *(f"node.{name}" for name in _STREAMS)) or has("node.calculator")):
        yield Finding("mediapipe", "", 1.0, "text messages 'node' with a calculator or streams")
    if has("node.op", "node.name"):
        yield Finding(
            "tf-graphdef",
            "text",
            1.0,
            f"{counts['node']} text messages 'node' with name and op, the first is {found.found['node.op']}",
        )
    if has("specificationVersion", "description"):
        yield Finding(
            "coreml-text",
            found.found["specificationVersion"],
            1.0,
            "the text keys specificationVersion and description",
        )
    if has("network") and found.any("network.function", "network.variable", "executor", "global_config"):
        yield Finding("nnabla", "nntxt", 0.95, "a text message 'network' of functions and variables")
    if has("version", "descriptors", "graphs"):
        yield Finding("uff", "text", 0.95, "the text keys version, descriptors and graphs")
    if found.any("platform", "backend", "max_batch_size", "instance_group") and found.any(
        "input", "output", "instance_group", "name"
    ):
        said = ", ".join(
            name for name in ("name", "platform", "backend", "max_batch_size", "input", "output") if has(name)
        )
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
        finding = Finding(
            "openvino",
            f"IR {said}",
            1.0,
            f"the root element <net>, layers, the first of type {inner[1].decode() if inner else '?'}; no .bin beside it",
        )
    elif name == "net" and blob.size < 64 and "name=" in attributes:
        finding = Finding("openvino", f"IR {said}", 0.6, "the root element <net>")
    elif name == "opencv_storage" and re.search(
        rb'type_id="opencv-[\w-]+"|opencv-(cascade|haar|ml)|<(cascade|svm|stages|layer_sizes)\b|opencv_ml_', head
    ):
        finding = Finding("opencv-xml", "", 0.95, "the root element <opencv_storage> with a classifier")
    if finding is not None:
        yield finding if closed else finding.cut(f"</{name}> is not at its end")


TEXTS = (lines, tables, protobuf, xml)
