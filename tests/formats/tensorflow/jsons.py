"""tf.js models: those of tfjs/, which tf.js wrote and answered itself, whole or with something wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "tfjs"


def copy(folder: Path, *, of: str, spoilt: str = "") -> None:
    """`spoilt` is one of SPOILT: what is done to model.json, or to the files beside it."""
    shutil.copytree(HERE / of, folder, dirs_exist_ok=True)
    if spoilt:
        model = json.loads((folder / "model.json").read_text())
        SPOILT[spoilt](folder, model)
        (folder / "model.json").write_text(json.dumps(model))


def _node(model: Any, name: str) -> Any:
    return next(node for node in model["modelTopology"]["node"] if node["name"] == name)


def _lost(folder: Path, model: Any) -> None:
    (folder / "group1-shard2of3.bin").unlink()


def _short(folder: Path, model: Any) -> None:
    path = folder / "group1-shard3of3.bin"
    path.write_bytes(path.read_bytes()[:-9])


def _elsewhere(folder: Path, model: Any) -> None:
    model["weightsManifest"][0]["paths"][0] = "../../../etc/passwd"


def _unknown(folder: Path, model: Any) -> None:
    _node(model, "scores")["op"] = "MyOwnOp"


def _fused(folder: Path, model: Any) -> None:
    _node(model, "dense")["attr"]["fused_ops"]["list"]["s"] = ["Qmlhc0FkZA==", "R2VsdQ=="]


def _writes(folder: Path, model: Any) -> None:
    model["modelTopology"]["node"].append({"name": "w", "op": "WriteFile", "input": ["x", "x"]})
    _node(model, "scores")["input"].append("^w")


def _constant(folder: Path, model: Any) -> None:
    model["weightsManifest"][0]["weights"].pop()


def _own(folder: Path, model: Any) -> None:
    model["modelTopology"]["config"]["layers"][2]["class_name"] = "Scale"


def _renamed(folder: Path, model: Any) -> None:
    model["weightsManifest"][0]["weights"][0]["name"] = "elsewhere/kernel"


SPOILT: dict[str, Callable[[Path, Any], None]] = {
    "lost": _lost, "short": _short, "elsewhere": _elsewhere, "unknown": _unknown, "fused": _fused, "writes": _writes,
    "constant": _constant, "own": _own, "renamed": _renamed,
}  # fmt: skip
