"""Files that are one model together: graph and weights, a package, a folder of a library.

Rule 1: a pair is of one folder: by its name, or because there is one of each.
Rule 2: what a model claims is no second model; what is missing beside it is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gateway.recognise.answer import Finding

_ALONE = re.compile(r"; no [^;]* with it$")


@dataclass(frozen=True)
class Pair:
    """`graph` and `weights` tell the two by the finding; `bare` weights have no mark: the name tells them."""

    kind: str
    graph: Callable[[Finding], bool]
    weights: Callable[[Finding], bool] | None = None
    bare: str = ""  # pattern of the name of weights that are not recognised on their own


def _is(kind: str, *versions: str) -> Callable[[Finding], bool]:
    return lambda f: f.kind == kind and (not versions or f.version.startswith(versions))


def _not(kind: str, *versions: str) -> Callable[[Finding], bool]:
    return lambda f: f.kind == kind and not f.version.startswith(versions)


PAIRS = (
    Pair("mxnet", _not("mxnet", "weights"), _is("mxnet", "weights")),
    Pair("caffe", _is("caffe", "prototxt"), _is("caffe", "caffemodel")),
    Pair("darknet", _is("darknet", "cfg"), _is("darknet", "weights"), r".*\.(weights|conv\.\d+)"),
    Pair("paddle", _is("paddle"), _is("paddle-params"), r"(.*\.pdiparams|__params__|params)"),
    Pair("paddle-pir", _is("paddle-pir"), _is("paddle-params"), r".*\.pdiparams"),
    Pair("openvino", _is("openvino"), None, r".*\.bin"),
    Pair("ncnn", _is("ncnn"), None, r".*\.bin"),
    Pair("pnnx", _not("pnnx", "weights"), _is("pnnx", "weights"), r".*\.bin"),
    Pair("tnn", _is("tnn", "structure"), _is("tnn", "weights"), r".*\.tnnmodel"),
    Pair("caffe2", _is("caffe2", "predict_net", "text"), _is("caffe2", "init_net")),
    Pair("tf-metagraph", _is("tf-metagraph"), lambda f: f.kind in ("tf-checkpoint", "tf-checkpoint-v1")),
    Pair("mmdnn-ir", _is("mmdnn-ir"), _is("npy"), r".*\.npy"),
    Pair("tvm-graph", _is("tvm-graph"), _is("tvm-params"), r".*\.params"),
    Pair("onednn", _is("onednn"), None, r"$^"),
    Pair("nnef", _not("nnef", "tensor"), _is("nnef", "tensor")),
    Pair("mnn", _is("mnn"), None, r".*\.mnn\.weight"),
)


def combine(found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    """The findings of single files, joined where files belong together; what is claimed is dropped."""
    for pair in PAIRS:
        found = _join(pair, found, names)
    for rule in (_savedmodel, _checkpoint, _tfjs, _external, _shards, _packages, _huggingface):
        found = rule(found, names)
    return found


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _stem(name: str) -> str:
    base = name.rpartition("/")[2].lower()
    base = re.sub(r"-symbol\.json$|-\d{4}\.params$", "", base)
    return re.sub(r"\.(ncnn|pnnx)?\.?[a-z_]+\d*$", "", base) or base


def _join(pair: Pair, found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    graphs = [f for f in found if f.kind == pair.kind and pair.graph(f) and f.confidence >= 0.5]
    for graph in graphs:
        folder = _folder(graph.main)
        others = [
            f
            for f in found
            if f is not graph and pair.weights is not None and pair.weights(f) and _folder(f.main) == folder
        ]
        one = sum(_folder(g.main) == folder for g in graphs) == 1
        mine = [f for f in others if _stem(f.main) == _stem(graph.main)] or (others if one else [])
        claimed = [f.main for f in mine]
        if not mine and pair.bare:
            bare = [
                n
                for n in names
                if _folder(n) == folder and n != graph.main and re.fullmatch(pair.bare, n.rpartition("/")[2].lower())
            ]
            fits = [n for n in bare if _stem(n) == _stem(graph.main)] or (bare if one and len(bare) == 1 else [])
            claimed = fits[:1]
        if not claimed:
            continue
        claimed += [f"{name}.info" for name in claimed if f"{name}.info" in names]  # Paddle's note about parameters
        whole = graph.whole and all(f.whole for f in mine)
        note = "" if whole or not graph.whole else "; the weights are cut short"
        joined = replace(
            graph,
            evidence=_ALONE.sub("", graph.evidence) + f"; weights in {', '.join(claimed[:3])}" + note,
            used=tuple(dict.fromkeys((graph.main, *graph.used, *claimed))),
            confidence=graph.confidence if whole else min(graph.confidence, 0.7),
            whole=whole,
        )
        found = [joined if f is graph else f for f in found if f is graph or f.main not in claimed]
    return found


def _claim(found: list[Finding], mine: Finding, used: list[str]) -> list[Finding]:
    """`mine` takes `used`; findings that lie wholly in them are dropped."""
    taken = set(used)
    rest = [f for f in found if f is not mine and f.main not in taken]
    return [*rest, replace(mine, used=tuple(dict.fromkeys((mine.main, *used))))]


def _savedmodel(found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    """saved_model.pb and what lies beside it: variables/, assets/, fingerprint.pb, keras_metadata.pb."""
    for model in [f for f in found if f.kind in ("tf-savedmodel", "tf-savedmodel-text")]:
        prefix = f"{_folder(model.main)}/".lstrip("/")
        beside = r"(variables|assets|assets\.extra)/.*|fingerprint\.pb|keras_metadata\.pb"
        used = [n for n in names if n.startswith(prefix) and re.fullmatch(beside, n[len(prefix) :])]
        whole = any(n.endswith("variables/variables.index") for n in used)
        noted = replace(
            model, evidence=model.evidence + ("; variables/ with it" if whole else "; no variables/ with it")
        )
        found = _claim([noted if f is model else f for f in found], noted, used)
    return found


def _checkpoint(found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    for mine in [f for f in found if f.kind in ("tf-checkpoint", "tf-metagraph")]:
        index = next((n for n in (mine.main, *mine.used) if n.endswith(".index")), "")
        prefix = (index or mine.main).rpartition(".")[0]
        used = [
            n for n in names if n.startswith(prefix + ".data-") or n == f"{_folder(mine.main)}/checkpoint".lstrip("/")
        ]
        shards = [n for n in used if ".data-" in n]
        said = f"; {len(shards)} data shard(s)" if shards else "; no .data- shard with it" if index else ""
        if index:
            noted = replace(mine, evidence=mine.evidence + said, whole=mine.whole and bool(shards))
            found = _claim([noted if f is mine else f for f in found], noted, [*mine.used, *used])
    return found


def _tfjs(found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    for mine in [f for f in found if f.kind in ("tfjs-layers", "tfjs-graph")]:
        folder = _folder(mine.main)
        used = [
            n for n in names if _folder(n) == folder and re.search(r"group\d+-shard\d+of\d+(\.bin)?$|weights\.bin$", n)
        ]
        noted = replace(
            mine, evidence=mine.evidence + (f"; {len(used)} shard(s) with it" if used else "; no shards with it")
        )
        found = _claim([noted if f is mine else f for f in found], noted, used)
    return found


def _external(found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    """Weights of an ONNX file that lie beside it under its name."""
    for mine in [f for f in found if f.kind == "onnx"]:
        used = [n for n in names if n.startswith(mine.main) and re.match(r"[._-]data", n[len(mine.main) :])]
        found = _claim(found, mine, used) if used else found
    return found


def _shards(found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    """model-00001-of-00003.safetensors and their index are one."""
    for kind in ("safetensors", "torch-state-dict"):
        shards = [
            f
            for f in found
            if f.kind == kind and (re.search(r"-\d{5}-of-\d{5}\.", f.main) or f.version == "index of shards")
        ]
        if len(shards) > 1:
            main = next((f for f in shards if f.version == "index of shards"), shards[0])
            found = _claim(found, main, [f.main for f in shards])
    return found


_WHOLE_FOLDER: Mapping[str, str] = {  # kind -> the file whose folder it is
    "coreml-package": "manifest.json", "coreml-compiled": "metadata.json", "mlflow": "mlmodel", "mar": "manifest.json",
    "spacy": "meta.json", "diffusers": "model_index.json", "sentence-transformers": "modules.json",
    "onnxruntime-genai": "genai_config.json", "triton-repository": "config.pbtxt", "bentoml": "model.yaml",
    "spark-ml": "part-00000",
}  # fmt: skip
_KEEPS_OTHERS = {"triton-repository", "onnxruntime-genai"}  # a model beside it may be served on its own


def _packages(found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    """What makes its whole folder one thing."""
    for mine in [f for f in found if f.kind in _WHOLE_FOLDER]:
        base = mine.main.rpartition("/")[2].lower()
        if base != _WHOLE_FOLDER[mine.kind] or mine not in found:
            continue
        folder = _folder(mine.main)
        if folder.rpartition("/")[2] in ("MAR-INF", "metadata"):
            folder = _folder(folder)
        prefix = f"{folder}/" if folder else ""
        inside = sorted((f for f in found if f is not mine and f.main.startswith(prefix)), key=lambda f: -f.confidence)
        if mine.kind in _KEEPS_OTHERS:
            found = [f for f in found if f is not mine] + [replace(mine, inside=inside[0] if inside else None)]
            continue
        used = [n for n in names if n.startswith(prefix) and n != mine.main]
        known = mine.kind in ("coreml-package", "coreml-compiled", "spark-ml")
        noted = replace(mine, inside=None if known or not inside else inside[0])
        found = _claim([noted if f is mine else f for f in found], noted, used)
    return found


def _huggingface(found: list[Finding], names: tuple[str, ...]) -> list[Finding]:
    """config.json of transformers with weights beside it."""
    kinds = ("safetensors", "torch-state-dict", "keras-h5-weights", "keras-h5", "flax", "gguf")
    for mine in [f for f in found if f.kind == "transformers-config" and f.main.rpartition("/")[2] == "config.json"]:
        folder = _folder(mine.main)
        weights = [f for f in found if f.kind in kinds and _folder(f.main) == folder]
        if not weights:
            continue
        papers = [n for n in names if _folder(n) == folder and n.endswith((".json", ".txt", ".model", ".jinja"))]
        joined = replace(mine, kind="huggingface", evidence=f"{mine.evidence}; weights in {weights[0].main}")
        used = [*papers, *(n for f in weights for n in (f.main, *f.used))]
        found = _claim([joined if f is mine else f for f in found], joined, used)
    return found
