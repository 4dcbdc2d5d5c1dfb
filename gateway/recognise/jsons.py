"""JSON models, told apart by their keys: a table, the surest kinds first.

Rule 1: a row asks for keys that only this format has together; one key is no proof.
Rule 2: a file cut short keeps what stands before the cut; it is then never sure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gateway.recognise import skim
from gateway.recognise.answer import Finding
from gateway.recognise.blob import Blob
from gateway.recognise.skim import Json


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _first(value: Any) -> dict[str, Any]:
    return _dict(next(iter(_list(value)), None))


def _numbers(value: Any) -> str:
    parts = value if isinstance(value, list) else []
    return ".".join(str(part) for part in parts[:4] if isinstance(part, int))


def mxnet(data: Json, blob: Blob) -> Iterator[Finding]:
    nodes = [node for node in _list(data["nodes"]) if isinstance(node, dict)]
    if not nodes or not all("op" in node or "name" in node for node in nodes):
        return
    tail = blob.tail(1 << 16) if data.large else b""
    graph = (data.has("arg_nodes") or b'"arg_nodes"' in tail) and (data.has("heads") or b'"heads"' in tail)
    if any(node.get("op") == "tvm_op" for node in nodes):
        if graph:
            yield Finding("tvm-graph", "", 1.0, "JSON with nodes, arg_nodes and heads; operators are tvm_op")
        return
    said = data.at("attrs", "mxnet_version")
    number = said[1] if isinstance(said, list) and len(said) == 2 and isinstance(said[1], int) else 0
    version = f"{number // 10000}.{number // 100 % 100}.{number % 100}" if number else ""
    if graph:
        yield Finding(
            "mxnet",
            version or "0.8 or older",
            1.0,
            f"JSON with nodes, arg_nodes and heads; {len(nodes)} nodes; no .params with it",
        )
    elif not data.whole and nodes[0].get("op") == "null" and set(data.keys) <= {"nodes", "arg_nodes"}:
        said = "JSON that starts with nodes, the first a variable"
        if any(node.get("op") not in ("null", None) for node in nodes):
            yield Finding("mxnet", "", 0.7, said)
        else:
            yield Finding("mxnet", "", 0.6, f"{said}; no operator was seen")
            yield Finding("tvm-graph", "", 0.6, f"{said}; no operator was seen")


def tfjs(data: Json, blob: Blob) -> Iterator[Finding]:
    if not data.has("modelTopology") and not data.has("weightsManifest"):
        return
    said, topology = data.text("format"), _dict(data["modelTopology"])
    graph = said == "graph-model" or "node" in topology or "library" in topology
    layers = said == "layers-model" or "model_config" in topology or "class_name" in topology
    evidence = "JSON with " + " and ".join(k for k in ("format", "modelTopology", "weightsManifest") if data.has(k))
    if graph != layers:
        kind = "tfjs-graph" if graph else "tfjs-layers"
        yield Finding(kind, data.text("convertedBy") or data.text("generatedBy"), 1.0, evidence)
    elif data.has("weightsManifest"):
        yield Finding("tfjs-graph", "", 0.6, evidence)
        yield Finding("tfjs-layers", "", 0.6, evidence)


def keras(data: Json, blob: Blob) -> Iterator[Finding]:
    config = _dict(data["model_config"]) or data.keys
    if isinstance(config.get("class_name"), str) and isinstance(config.get("config"), (dict, list)):
        version = data.text("keras_version") or str(config.get("keras_version", ""))[:20]
        name = str(config["class_name"])[:60]
        if (
            data.has("model_config")
            or name in ("Sequential", "Functional", "Model")
            or "module" in config
            or "keras_version" in config
        ):
            yield Finding("keras-json", version, 0.95, f"JSON with class_name {name!r} and config")


def xgboost(data: Json, blob: Blob) -> Iterator[Finding]:
    learner = _dict(data["learner"])
    if not learner or not (
        data.has("version") or {"gradient_booster", "learner_model_param", "objective"} & set(learner)
    ):
        return
    booster = data.text("learner", "gradient_booster", "name") or ""
    objective = data.text("learner", "objective", "name")
    said = "JSON with learner" + (" and version" if data.has("version") else "")
    said += "".join(f", {what} {value}" for what, value in (("booster", booster), ("objective", objective)) if value)
    yield Finding("xgboost", f"JSON {_numbers(data['version'])}".strip(), 1.0, said)


def trees(data: Json, blob: Blob) -> Iterator[Finding]:
    if data.has("features_info") and (data.has("oblivious_trees") or data.has("trees") or data.has("model_info")):
        yield Finding("catboost-json", "", 1.0, "JSON with features_info and model_info or trees")
    if (
        data["name"] == "tree"
        and data.has("num_class")
        and (data.has("tree_info") or data.has("num_tree_per_iteration"))
    ):
        yield Finding("lightgbm-json", data.text("version"), 1.0, "JSON with name 'tree', num_class and tree_info")


def paddle(data: Json, blob: Blob) -> Iterator[Finding]:
    base = _dict(data["base_code"])
    if base and (data.has("program") or base.get("magic") == "pir"):
        version = base.get("version", base.get("pir_version", ""))
        yield Finding(
            "paddle-pir",
            str(version)[:20],
            1.0,
            f"JSON with base_code (magic {str(base.get('magic', ''))[:12]!r}) and program",
        )


_IR_ONLY = {"DataInput", "FullyConnected", "Conv", "Pool", "BatchNorm", "UpSampling2D", "InnerProduct", "PRelu"}


def graphs(data: Json, blob: Blob) -> Iterator[Finding]:
    """JSON of GraphDef-like protobufs: MMdnn's IR, TensorFlow's GraphDef, ONNX."""
    node = _first(data["node"])
    if isinstance(node.get("op"), str) and isinstance(node.get("name"), str):
        operators = {str(n.get("op")) for n in _list(data["node"]) if isinstance(n, dict)}
        if operators & _IR_ONLY:
            yield Finding(
                "mmdnn-ir",
                "JSON",
                0.95,
                f"JSON with node, and operators of the IR ({', '.join(sorted(operators & _IR_ONLY)[:3])})",
            )
        elif data.has("versions") or data.has("library") or "attr" in node:
            yield Finding(
                "tf-graphdef",
                "JSON",
                0.85,
                f"JSON with node, the first is {node['op'][:40]}",
                next="Save it as binary: tf.io.write_graph(graph_def, '.', 'model.pb', as_text=False).",
            )
    for version, operator in (("ir_version", "op_type"), ("irVersion", "opType")):
        if data.has(version) and operator in _first(data.at("graph", "node")):
            yield Finding("onnx-text", f"JSON, IR {str(data[version])[:4]}", 1.0, f"JSON with {version} and graph")


def settings(data: Json, blob: Blob) -> Iterator[Finding]:
    """What Hugging Face's libraries write."""
    if data.has("architectures") and (data.has("model_type") or data.has("transformers_version")):
        names = ", ".join(str(name)[:60] for name in _list(data["architectures"])[:2])
        yield Finding(
            "transformers-config",
            data.text("transformers_version"),
            1.0,
            f"JSON with architectures ({names}) and model_type {data.text('model_type')!r}",
        )
    elif data.has("model_type", "transformers_version"):
        yield Finding(
            "transformers-config",
            data.text("transformers_version"),
            0.9,
            f"JSON with model_type {data.text('model_type')!r} and transformers_version",
        )
    if data.has("version", "added_tokens", "model") and data.has("pre_tokenizer"):
        yield Finding("tokenizer", data.text("version"), 1.0, "JSON with added_tokens, pre_tokenizer and model")
    if data.has("tokenizer_class") or data.has("added_tokens_decoder"):
        yield Finding("tokenizer", "settings", 0.9, "JSON with tokenizer_class or added_tokens_decoder")
    if data.has("_class_name", "_diffusers_version"):
        yield Finding(
            "diffusers",
            data.text("_diffusers_version"),
            1.0,
            f"JSON with _class_name {data.text('_class_name')!r} and _diffusers_version",
        )
    if data.has("model", "search") and isinstance(data.at("model", "decoder"), dict):
        yield Finding("onnxruntime-genai", data.text("model", "type"), 0.95, "JSON with model.decoder and search")
    if data.has("weight_map") and data.has("metadata"):
        torch = any(str(file).endswith(".bin") for file in list(_dict(data["weight_map"]).values())[:4])
        kind = "torch-state-dict" if torch else "safetensors"
        yield Finding(
            kind,
            "index of shards",
            0.95,
            "JSON with metadata and weight_map: the names of the shards that hold the weights",
        )
    parts = [part for part in _list(data.value) if isinstance(part, dict)]
    if (
        parts
        and all({"idx", "name", "path", "type"} <= set(part) for part in parts)
        and "sentence_transformers" in str(parts[0]["type"])
    ):
        yield Finding("sentence-transformers", "", 1.0, "a JSON list of modules of sentence_transformers")
    if data.has("lang", "pipeline") and (data.has("spacy_version") or data.has("spacy_git_version")):
        yield Finding("spacy", data.text("spacy_version"), 1.0, "JSON with lang, pipeline and spacy_version")


def _has(*names: str) -> Callable[[Json], bool]:
    return lambda data: data.has(*names)


def _manifest(data: Json) -> bool:
    said = data.has("specificationVersion") or data.has("archiverVersion") or bool(data.text("model", "handler"))
    return said and bool(data.text("model", "modelName"))


def _dl4j(data: Json) -> bool:
    return bool(_first(data["confs"])) or (isinstance(data["vertices"], dict) and data.has("networkInputs"))


def _mnn(data: Json) -> bool:
    return data.has("sourceType") and isinstance(data["oplists"], list) and isinstance(data["tensorName"], list)


_ROWS: tuple[tuple[str, float, str, Callable[[Json], bool]], ...] = (
    ("coreml-package", 1.0, "rootModelIdentifier and itemInfoEntries", _has("rootModelIdentifier", "itemInfoEntries")),
    ("coreml-compiled", 0.95, "a list of metadataOutputVersion and specificationVersion",
     lambda d: {"metadataOutputVersion", "specificationVersion"} <= set(_first(d.value))),
    ("espresso", 0.95, "layers and format_version", _has("layers", "format_version")),
    ("espresso", 0.9, "layer_shapes", _has("layer_shapes")),
    ("mar", 0.95, "model.modelName and a handler or version (a manifest)", _manifest),
    ("mar", 0.95, "Engine and Model.Model-Name (a manifest of version 0.1)",
     lambda d: isinstance(d["Engine"], dict) and bool(d.text("Model", "Model-Name"))),
    ("armnn", 0.9, "layers, inputIds and outputIds", _has("layers", "inputIds", "outputIds")),
    ("qnn", 1.0, "model.cpp and graph", _has("model.cpp", "graph")),
    ("onednn", 0.95, "version, engine_kind, fpmath_mode and graph",
     _has("version", "engine_kind", "fpmath_mode", "graph")),
    ("acuity", 0.95, "MetaData and Layers", _has("MetaData", "Layers")),
    ("hailo", 0.95, "name, net_params and layers", _has("name", "net_params", "layers")),
    ("hailo", 0.9, "state and hn", _has("state", "hn")),
    ("rknn", 0.9, "version, nodes and network_platform", _has("version", "nodes", "network_platform")),
    ("dl4j", 0.9, "confs or vertices, as configuration.json of Deeplearning4j", _dl4j),
    ("mnn", 0.95, "sourceType, oplists and tensorName", _mnn),
    ("circle", 0.7, "operator_codes, subgraphs and buffers (TFLite or Circle)",
     _has("subgraphs", "operator_codes", "buffers")),
    ("pfa", 0.8, "input, output and action",
     lambda d: d.has("input", "output") and isinstance(d["action"], (list, dict))),
    ("spark-ml", 0.95, "class of org.apache.spark.ml, uid and paramMap",
     lambda d: d.text("class").startswith("org.apache.spark.ml") and d.has("uid")),
)  # fmt: skip


def rows(data: Json, blob: Blob) -> Iterator[Finding]:
    for kind, sure, evidence, asks in _ROWS:
        if asks(data):
            yield Finding(kind, "", sure, f"JSON with {evidence}")


_KINDS = (mxnet, tfjs, keras, xgboost, trees, paddle, graphs, settings, rows)


def json(blob: Blob) -> Iterator[Finding]:
    """All that the JSON of a file speaks for."""
    data = skim.of(blob)
    if data is None:
        return
    for kind in _KINDS:
        for finding in kind(data, blob):
            yield finding if data.whole else finding.cut("the JSON is cut short")
