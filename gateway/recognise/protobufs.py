"""Protobuf without a magic number: five formats start with the same bytes, so structure decides.

Each kind is a schema of the top level (field -> wire type) and one or two levels that are followed down
to something only this format has: an operator's name, a layer's type, a block's parent -1.

Rule 1: a top-level field that the schema does not have rules the kind out.
Rule 2: a file cut short keeps its kind when what stands before the cut proves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from gateway.recognise.answer import Finding
from gateway.recognise.blob import Blob
from gateway.recognise.wire import FIXED32, FIXED64, LEN, VARINT, Field, Shape, inner, text, texts, top

_NAME = re.compile(r"[A-Za-z_][\w.:>/-]*")


def is_protobuf(blob: Blob) -> Shape | None:
    """The top level, when it can be one at all; None else."""
    if blob.size < 2 or not blob.head or blob.head[0] & 7 not in (VARINT, FIXED64, LEN, FIXED32) or blob.head[0] < 8:
        return None
    shape = top(blob)
    return shape if shape.fields and not (shape.broken and len(shape.fields) < 2) else None


def _said(blob: Blob, shape: Shape, finding: Finding) -> Finding:
    """The finding, cut where the file is."""
    if shape.cut:
        return finding.cut(shape.cut)
    if shape.broken:
        return finding.cut("its last field is not complete")
    if shape.more and blob.spent:
        return finding.cut("only its beginning was looked at")
    return finding


ONNX = {1: VARINT, 2: LEN, 3: LEN, 4: LEN, 5: VARINT, 6: LEN, 7: LEN, 8: LEN, 14: LEN, 20: LEN, 25: LEN, 26: LEN}
GRAPH = dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 15, 16), LEN)


def onnx(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """ModelProto {ir_version 1, producer 2, graph 7 {node 1 {op_type 4}}, opset_import 8}."""
    ir = shape.value(1)
    graph = shape.first(7)
    if not shape.fits(ONNX) or ir is None or not 1 <= ir <= 20 or graph is None:
        return
    inside = inner(blob, graph, 64)
    if not inside.fits(GRAPH):
        return
    node = inside.first(1)
    operator = text(blob, inner(blob, node).first(4)) if node else ""
    opset = _opset(blob, shape)
    version = f"IR {ir}" + (f", opset {opset}" if opset else "")
    if operator:
        said = f"ir_version {ir}, a graph whose first node is {operator}" + (
            f", opset_import {opset}" if opset else ", no opset_import"
        )
        yield _said(blob, shape, Finding("onnx", version, 1.0 if opset else 0.9 if ir < 3 else 0.7, said))
    elif opset and (inside.first(11) or inside.first(12)):
        yield _said(
            blob,
            shape,
            Finding("onnx", version, 0.9, f"ir_version {ir}, a graph with values and no node, opset_import {opset}"),
        )


def _opset(blob: Blob, shape: Shape) -> int:
    for entry in shape.all(8)[:64]:
        pair = inner(blob, entry, 8)
        if text(blob, pair.first(1)) in ("", "ai.onnx"):
            return pair.value(2) or 0
    return 0


def onnx_tensor(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """TensorProto {dims 1, data_type 2, ..., name 8, raw_data 9}: dims times the item size is the data."""
    dims = [f.value for f in shape.fields if f.number == 1 and f.wire == VARINT]
    kind, raw = shape.value(2), shape.first(9)
    size = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}.get(kind or 0)
    if raw is None or size is None or not shape.numbers <= {1, 2, 3, 8, 9, 12, 13, 14}:
        return
    items = 1
    for dim in dims:
        items *= dim
    if items * size == raw.length:
        yield _said(
            blob,
            shape,
            Finding("onnx-tensor", "", 0.9, f"data_type {kind}, dims {dims}, and as many bytes as they need"),
        )


def mindir(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """MindSpore: as ModelProto, with ir_version as text, and a graph at 7."""
    version, graph = text(blob, shape.first(1), 40), shape.first(7)
    producer = text(blob, shape.first(2), 40)
    if (
        not version
        or graph is None
        or not re.match(r"\d", version)
        or not re.match(r"MindSpore", producer or "MindSpore")
    ):
        return
    node = inner(blob, graph, 64).first(1)
    operator = text(blob, inner(blob, node).first(4)) if node else ""
    if operator:
        yield _said(
            blob,
            shape,
            Finding(
                "mindir", version, 0.95, f"ir_version as the text {version!r}, a graph whose first node is {operator}"
            ),
        )


# -- TensorFlow ----------------------------------------------------------------------------------

GRAPHDEF = {1: LEN, 2: LEN, 3: VARINT, 4: LEN, 5: LEN}
META = {1: LEN, 2: LEN, 3: LEN, 4: LEN, 5: LEN, 6: LEN, 7: LEN}
NODE = {1: LEN, 2: LEN, 3: LEN, 4: LEN, 5: LEN, 6: LEN, 7: LEN}


def _node(blob: Blob, field: Field | None, end: int) -> tuple[str, str, Shape]:
    """(name, op, shape) of a NodeDef of TensorFlow or MMdnn; op "" when it is none."""
    if field is None:
        return "", "", Shape()
    shape = inner(blob, field, 64)
    name, op = text(blob, shape.first(1), 1000), text(blob, shape.first(2), 200)
    return (name, op, shape) if name and _NAME.fullmatch(op) and shape.fits(NODE) else ("", "", shape)


def graphdef(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """TensorFlow: node 1 {name 1, op 2, attr 5}, versions 4. MMdnn's IR: node 1 {attr 4}, version 2 as a number."""
    ir = {1: LEN, 2: VARINT}
    if not (shape.fits(GRAPHDEF) or shape.fits(ir)) or shape.first(1) is None:
        return
    seen = [_node(blob, f, blob.size) for f in shape.all(1)[:40]]
    if not seen[0][1] or any(not op for _, op, node in seen[:-1] if not node.cut):
        return
    operators = [op for _, op, _ in seen if op]
    first = f"{len(shape.all(1))} nodes, the first is {operators[0]} {seen[0][0][:60]!r}"
    attr_4 = any(_is_entry(blob, node.first(4)) for _, _, node in seen)
    attr_5 = any(node.first(5) for _, _, node in seen)
    if shape.fits(ir) and attr_4 and not attr_5:
        yield _said(
            blob, shape, Finding("mmdnn-ir", "", 0.95, f"{first}; attributes at field 4, as MMdnn's IR has them")
        )
    elif shape.fits(GRAPHDEF) and (attr_5 or shape.first(4) or shape.first(2) or _tf_only(operators)):
        versions = shape.first(4)
        producer = inner(blob, versions, 8).value(1) if versions else None
        said = f"{first}; attributes at field 5" if attr_5 else first
        yield _said(
            blob,
            shape,
            Finding("tf-graphdef", f"producer {producer}" if producer else "", 1.0 if attr_5 else 0.8, said),
        )


def _tf_only(operators: list[str]) -> bool:
    return any(op in ("Placeholder", "Const", "NoOp", "Identity", "VariableV2", "VarHandleOp") for op in operators)


def _is_entry(blob: Blob, field: Field | None) -> bool:
    """A map entry {key 1 text, value 2}."""
    if field is None:
        return False
    pair = inner(blob, field, 4)
    return pair.numbers == {1, 2} and bool(text(blob, pair.first(1)))


def _graph_inside(blob: Blob, field: Field | None) -> str:
    """The first operator of a GraphDef message; "" when it is none. "(none)" for one without nodes."""
    if field is None:
        return ""
    shape = inner(blob, field, 32)
    if not shape.fits(GRAPHDEF):
        return ""
    if shape.first(1) is None:
        return "(none)" if shape.first(4) or field.length == 0 else ""
    return _node(blob, shape.first(1), field.end)[1]


def _meta(blob: Blob, shape: Shape) -> tuple[str, str, list[str]] | None:
    """(first operator, TensorFlow's version, tags) of a MetaGraphDef; None when it is none."""
    if not shape.fits(META):
        return None
    operator = _graph_inside(blob, shape.first(2))
    if not operator:
        return None
    info = shape.first(1)
    about = inner(blob, info, 64) if info else Shape()
    return operator, text(blob, about.first(5), 40), list(texts(blob, about.all(4), 40))


def savedmodel(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """SavedModel {saved_model_schema_version 1, meta_graphs 2}."""
    if not shape.fits({1: VARINT, 2: LEN}) or shape.first(2) is None:
        return
    schema = shape.value(1)
    if schema not in (None, 0, 1):
        return
    found = _meta(blob, inner(blob, shape.all(2)[0], 256))
    if found is None:
        return
    operator, version, tags = found
    said = (
        f"{len(shape.all(2))} meta graph(s)"
        + (f" tagged {', '.join(tags)}" if tags else "")
        + f", a GraphDef whose first node is {operator}"
    )
    sure = 1.0 if schema == 1 else 0.8
    yield _said(blob, shape, Finding("tf-savedmodel", version, sure, said))


def metagraph(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """MetaGraphDef at the top: graph_def 2, and what a GraphDef does not have: meta_info 1 with tags, saver 3."""
    if shape.first(2) is None or not (shape.first(1) or shape.first(3) or shape.first(5)):
        return
    found = _meta(blob, shape)
    if found is None or (found[0] == "(none)" and shape.first(3) is None):
        return
    operator, version, _ = found
    yield _said(
        blob,
        shape,
        Finding(
            "tf-metagraph",
            version,
            1.0,
            f"a GraphDef at field 2 whose first node is {operator}, a saver or meta_info with it",
        ),
    )


def tf_hub(blob: Blob, shape: Shape) -> Iterator[Finding]:
    if blob.base == "tfhub_module.pb" and blob.head == b"\x08\x03":
        yield Finding("tf-hub", "1", 1.0, "the two bytes 08 03, and the name")


# -- Caffe, Caffe2 -------------------------------------------------------------------------------


def caffemodel(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """NetParameter {name 1, layers 2 (V1), input 3, input_dim 4, state 6, input_shape 8, layer 100}."""
    allowed = {1: {LEN}, 2: {LEN}, 3: {LEN}, 4: {VARINT, LEN}, 5: {VARINT}, 6: {LEN}, 7: {VARINT}, 8: {LEN}, 100: {LEN}}
    if any(not wires <= allowed.get(number, set()) for number, wires in shape.wires.items()):
        return
    new, old = shape.all(100), shape.all(2)
    if new and (kind := _layer(blob, new)):
        blobs = sum(bool(inner(blob, f, 64).first(7)) for f in new[:200])
        yield _said(
            blob,
            shape,
            Finding(
                "caffe",
                "caffemodel",
                1.0,
                f"{len(new)} layers at field 100, the first of type {kind}; {blobs} with weights; no .prototxt with it",
            ),
        )
    elif old:
        first = inner(blob, old[0], 256)
        name, number = text(blob, first.first(4)), first.value(5)
        if name and (number is not None and 0 <= number <= 60):
            yield _said(
                blob,
                shape,
                Finding(
                    "caffe",
                    "caffemodel, V1",
                    1.0,
                    f"{len(old)} layers at field 2, the first {name!r} of type number {number}; no .prototxt with it",
                ),
            )
        elif v0 := first.first(1):
            layer = inner(blob, v0, 64)
            if text(blob, layer.first(1)) and text(blob, layer.first(2)):
                yield _said(
                    blob,
                    shape,
                    Finding(
                        "caffe",
                        "caffemodel, V0",
                        0.95,
                        f"{len(old)} layers at field 2 in the oldest form, the first is {text(blob, layer.first(2))}",
                    ),
                )


def _layer(blob: Blob, layers: list[Field]) -> str:
    shape = inner(blob, layers[0], 256)
    kind = text(blob, shape.first(2))
    return kind if _NAME.fullmatch(kind) and (text(blob, shape.first(1)) or shape.first(4)) else ""


def caffe_mean(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """BlobProto {num 1, channels 2, height 3, width 4, data 5}: as many floats as the four numbers say."""
    sizes = [shape.value(number) for number in (1, 2, 3, 4)]
    data = shape.first(5)
    if data is None or None in sizes or not shape.numbers <= {1, 2, 3, 4, 5, 6}:
        return
    count = 1
    for size in sizes:
        count *= size or 0
    if count > 0 and data.length == 4 * count:
        yield _said(
            blob, shape, Finding("caffe-mean", "", 1.0, f"num, channels, height, width {sizes} and {count} floats")
        )


def caffe2(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """NetDef {name 1, op 2 {input 1, output 2, name 3, type 4, arg 5}, external_input 7, external_output 8}."""
    if not shape.fits({1: LEN, 2: LEN, 3: LEN, 4: VARINT, 5: LEN, 6: LEN, 7: LEN, 8: LEN, 9: LEN}):
        return
    operators = [inner(blob, f, 64) for f in shape.all(2)[:8]]
    if not operators:
        return
    schema = {1: LEN, 2: LEN, 3: LEN, 4: LEN, 5: LEN, 6: LEN, 7: LEN, 8: LEN, 9: VARINT, 10: LEN}
    kinds = [text(blob, op.first(4), 80) for op in operators]
    if not all(
        op.fits(schema) and _NAME.fullmatch(kind) and op.first(2) for op, kind in zip(operators, kinds, strict=True)
    ):
        return
    yield _said(
        blob,
        shape,
        Finding(
            "caffe2",
            "init_net" if "Fill" in kinds[0] else "predict_net",
            0.95,
            f"{len(shape.all(2))} operators at field 2, the first is {kinds[0]}",
        ),
    )


# -- others --------------------------------------------------------------------------------------

_COREML = {
    200: "pipelineClassifier", 201: "pipelineRegressor", 202: "pipeline", 300: "glmRegressor",
    301: "supportVectorRegressor", 302: "treeEnsembleRegressor", 303: "neuralNetworkRegressor",
    304: "bayesianProbitRegressor", 400: "glmClassifier", 401: "supportVectorClassifier",
    402: "treeEnsembleClassifier", 403: "neuralNetworkClassifier", 404: "kNearestNeighborsClassifier",
    500: "neuralNetwork", 501: "itemSimilarityRecommender", 502: "mlProgram", 555: "customModel", 556: "linkedModel",
    560: "classConfidenceThresholding", 600: "oneHotEncoder", 601: "imputer", 602: "featureVectorizer",
    603: "dictVectorizer", 604: "scaler", 606: "categoricalMapping", 607: "normalizer", 609: "arrayFeatureExtractor",
    610: "nonMaximumSuppression", 900: "identity", 2000: "textClassifier", 2001: "wordTagger",
    2002: "visionFeaturePrint", 2003: "soundAnalysisPreprocessing", 2004: "gazetteer", 2005: "wordEmbedding",
    2006: "audioFeaturePrint", 3000: "serializedModel",
}  # fmt: skip


def coreml(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """Model {specificationVersion 1, description 2, isUpdatable 10, one of 200 ... 3000}."""
    version, kinds = shape.value(1), [number for number in shape.numbers if number >= 200]
    if version is None or not 1 <= version <= 20 or not shape.numbers <= {1, 2, 10, *_COREML} or len(kinds) > 1:
        return
    description = shape.first(2)
    features = inner(blob, description, 64).all(1) if description else []
    name = text(blob, inner(blob, features[0], 8).first(1)) if features else ""
    if kinds:
        said = f"specificationVersion {version}, {_COREML[kinds[0]]} at field {kinds[0]}" + (
            f", first input {name!r}" if name else ""
        )
        yield _said(blob, shape, Finding("coreml", f"specification {version}", 1.0, said))
    elif name and (shape.cut or shape.broken) and not description.cut if description else False:
        yield Finding(
            "coreml",
            f"specification {version}",
            0.6,
            f"specificationVersion {version}, a description whose first input is {name!r}",
        ).cut("no model type before the end")


def cntk(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """Dictionary {version 1, data 2: entries of text -> DictionaryValue {version 1, value_type 2 <= 11}}."""
    entries = shape.all(2)
    if not shape.fits({1: VARINT, 2: LEN}) or not entries:
        return
    keys: list[str] = []
    for entry in entries[:16]:
        pair = inner(blob, entry, 8)
        key, value = text(blob, pair.first(1)), pair.first(2)
        said = inner(blob, value, 16) if value else Shape()
        kind = said.value(2)
        if not key or kind is None or kind > 11:
            if entry.cut and keys:
                break
            return
        keys.append(key)
    sure = 1.0 if {"type", "root", "root_uid", "primitive_functions", "inputs", "uid"} & set(keys) else 0.85
    yield _said(blob, shape, Finding("cntk", "2", sure, f"a dictionary of typed values: {', '.join(keys[:5])}"))


def paddle(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """ProgramDesc {blocks 1 {idx 1 = 0, parent_idx 2 = -1, vars 3, ops 4 {type 3}}, version 4, op_version_map 5}."""
    blocks = shape.all(1)
    if not blocks or not shape.fits({1: LEN, 2: LEN, 3: LEN, 4: LEN, 5: LEN}):
        return
    block = inner(blob, blocks[0], 4096)
    parent = block.value(2)
    if (
        block.value(1) != 0
        or parent is None
        or parent & 0xFFFFFFFF != 0xFFFFFFFF
        or not block.numbers <= {1, 2, 3, 4, 5}
    ):
        return
    operators = [text(blob, inner(blob, op, 256).first(3)) for op in block.all(4)[:8]]
    version = shape.first(4)
    number = inner(blob, version, 4).value(1) if version else 0
    said = f"a block 0 with parent -1, {len(block.all(3))} variables" + (
        f", first operators {', '.join(filter(None, operators))}" if operators else ""
    )
    finding = Finding(
        "paddle", _paddle_version(number or 0), 1.0 if any(operators) else 0.8, said + "; no parameters with it"
    )
    yield _said(blob, shape, finding)


def _paddle_version(number: int) -> str:
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}" if number else ""


def uff(blob: Blob, shape: Shape) -> Iterator[Finding]:
    if shape.numbers <= {1, 2, 3, 4, 5} and shape.value(1) is not None and shape.value(2) is not None:
        graphs = shape.first(4)
        node = inner(blob, graphs, 16).first(2) if graphs else None
        operator = text(blob, inner(blob, node, 16).first(3)) if node else ""
        if shape.first(3) and operator:
            yield _said(
                blob,
                shape,
                Finding(
                    "uff",
                    str(shape.value(1)),
                    0.9,
                    f"version {shape.value(1)}, descriptors, a graph whose first node is {operator}",
                ),
            )


def bigdl(blob: Blob, shape: Shape) -> Iterator[Finding]:
    kind = text(blob, shape.first(7))
    if kind.startswith(("com.intel.analytics.bigdl", "com.intel.analytics.zoo")):
        yield _said(blob, shape, Finding("bigdl", text(blob, shape.first(9), 40), 1.0, f"moduleType {kind}"))


def sentencepiece(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """ModelProto {pieces 1 {piece 1, score 2 float, type 3}, trainer_spec 2, normalizer_spec 3}."""
    pieces = shape.all(1)
    if len(pieces) < 3 or not shape.fits(dict.fromkeys((1, 2, 3, 4, 5), LEN)):
        return
    shapes = [inner(blob, f, 8) for f in pieces[:4]]
    if all(text(blob, s.first(1)) and s.first(2, FIXED32) and s.numbers <= {1, 2, 3} for s in shapes):
        names = [text(blob, s.first(1)) for s in shapes[:3]]
        yield _said(
            blob,
            shape,
            Finding("sentencepiece", "", 1.0, f"{len(pieces)} pieces with a score, the first are {', '.join(names)}"),
        )


def guesses(blob: Blob, shape: Shape) -> Iterator[Finding]:
    """Protobufs of which only the outline is known: the name has to say the same."""
    if blob.base.endswith(".xmodel") and shape.first(5) is not None:
        yield _said(blob, shape, Finding("xmodel", "", 0.5, "a protobuf with a message at field 5, and the name"))
    if blob.base.endswith(".dnn") and shape.value(4) is not None and shape.first(10) is not None:
        yield _said(
            blob,
            shape,
            Finding("dnn", "", 0.5, "a protobuf with a number at field 4 and a message at 10, and the name"),
        )


_KINDS: tuple[Callable[[Blob, Shape], Iterator[Finding]], ...] = (
    onnx, onnx_tensor, mindir, graphdef, savedmodel, metagraph, tf_hub, caffemodel, caffe_mean, caffe2, coreml, cntk,
    paddle, uff, bigdl, sentencepiece, guesses,
)  # fmt: skip


def protobuf(blob: Blob) -> Iterator[Finding]:
    """All that the protobuf of a file speaks for."""
    shape = is_protobuf(blob)
    if shape is None:
        return
    for kind in _KINDS:
        yield from kind(blob, shape)
