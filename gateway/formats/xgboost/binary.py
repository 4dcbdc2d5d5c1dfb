"""The binary form of XGBoost up to 2.1 (`.model`, `.bst`), read into the document that newer ones write as JSON.

    "binf" or nothing
    LearnerModelParam        136 bytes: base_score f32, num_feature u32, num_class i32, attributes? metrics? version
    objective, booster       texts: u64 length, bytes
    gbtree, dart             160 bytes of parameters; of each tree 148 bytes, nodes of 20, statistics of 16; tree_info
                             dart: u64 count, weights of the trees
    gblinear                 136 bytes; u64 count, weights
    attributes               u64 count, pairs of texts
All little-endian. Written down from files that XGBoost 0.90 to 2.1 wrote.

Rule 1: every length is checked against the file before it is used.
Rule 2: before 1.0 (version 0) base_score is stored as it is added to the trees; it is turned back, as XGBoost does.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import numpy as np

from gateway.errors import ConversionError, CorruptModel

LEARNER, GBTREE, TREE, GBLINEAR = 136, 160, 148, 136
MAX_TREES = 1 << 22
NODE = np.dtype([("parent", "<i4"), ("left", "<i4"), ("right", "<i4"), ("split", "<u4"), ("value", "<f4")])
STATISTICS = np.dtype([("loss", "<f4"), ("hess", "<f4"), ("weight", "<f4"), ("leaves", "<i4")])
DEFAULT_LEFT = 1 << 31
DELETED = 0xFFFFFFFF
PARAMETERS = {  # objectives that XGBoost looks for in its document, by the beginning of their name
    "multi:": "softmax_multiclass_param", "count:poisson": "poisson_regression_param",
    "reg:tweedie": "tweedie_regression_param", "rank:": "lambdarank_param", "survival:aft": "aft_loss_param",
    "reg:pseudohubererror": "pseudo_huber_param",
}  # fmt: skip


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int, what: str) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise CorruptModel(
                f"it is cut short: {what} needs {count} bytes at {self.at}, and the file has {len(self.data)}."
            )
        found = self.data[self.at : self.at + count]
        self.at += count
        return found

    def count(self, what: str, most: int) -> int:
        (found,) = struct.unpack("<Q", self.take(8, what))
        if found > most:
            raise CorruptModel(f"{what} has {found} entries at {self.at - 8}, more than the file can hold.")
        return int(found)

    def text(self, what: str) -> str:
        return self.take(self.count(what, len(self.data)), what).decode("utf-8", "replace")

    def array(self, kind: np.dtype[Any] | str, count: int, what: str) -> Any:
        kind = np.dtype(kind)
        return np.frombuffer(self.take(count * kind.itemsize, what), kind)


def parse(data: bytes) -> dict[str, Any]:
    """The document. Errors: CorruptModel, ConversionError for a booster that it never had."""
    if data[:4] == b"bs64":
        try:
            data = base64.b64decode(data[4:].split()[0] if data[4:].split() else b"", validate=True)
        except ValueError as error:
            raise CorruptModel(f"it says that it is base64, and is not: {error}.") from None
    reader = _Reader(data)
    if data[:4] == b"binf":
        reader.at = 4
    head = reader.take(LEARNER, "the head")
    base_score, features, classes, attributes, _, major, minor = struct.unpack_from("<fIiiiII", head)
    objective, booster = reader.text("the objective"), reader.text("the booster")
    if booster == "gblinear":
        model: dict[str, Any] = {"name": booster, "model": _linear(reader)}
    elif booster in ("gbtree", "dart"):
        trees = {"name": "gbtree", "model": _trees(reader)}
        model = trees if booster == "gbtree" else {"name": booster, "gbtree": trees, "weight_drop": _dropped(reader)}
    else:
        raise ConversionError(f"its booster is {booster!r}; expected gbtree, dart or gblinear.")
    said = _attributes(reader) if attributes else {}
    return {
        "learner": {
            "attributes": said,
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": model,
            "learner_model_param": {
                "base_score": repr(_as_answer(base_score, objective, major)),
                "boost_from_average": "1",
                "num_class": str(classes),
                "num_feature": str(features),
                "num_target": "1",
            },
            "objective": _objective(objective, classes, said),
        },
        "version": [major, minor, 0] if major else [1, 0, 0],
        "written by": f"{major}.{minor}" if major else "before 1.0",
    }


def _as_answer(base_score: float, objective: str, major: int) -> float:
    """Rule 2."""
    if major or objective.startswith("multi:"):
        return base_score
    if objective in ("binary:logistic", "reg:logistic", "binary:logitraw"):
        return 1.0 / (1.0 + math.exp(-base_score)) if objective != "binary:logitraw" else base_score
    exponential = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")
    return math.exp(min(base_score, 80.0)) if objective in exponential else base_score


def _objective(objective: str, classes: int, attributes: dict[str, str]) -> dict[str, Any]:
    """With its parameters: since 1.0 they stand among the attributes."""
    try:
        found = json.loads(attributes.get("objective", ""))
    except ValueError:
        found = None
    if isinstance(found, dict) and found.get("name") == objective:
        return found
    name = next((value for key, value in PARAMETERS.items() if objective.startswith(key)), "reg_loss_param")
    inside = {"softmax_multiclass_param": {"num_class": str(classes)}, "reg_loss_param": {"scale_pos_weight": "1"}}
    return {"name": objective, name: inside.get(name, {})}


def _trees(reader: _Reader) -> dict[str, Any]:
    head = struct.unpack_from("<iiiiqii", reader.take(GBTREE, "the head of the trees"))
    count, parallel, _, _, _, _, vector = head
    if not 0 <= count <= MAX_TREES or vector < 0:
        raise CorruptModel(f"the head of the trees says {count} trees and leaves of {vector} values.")
    trees = [_tree(reader, number) for number in range(count)]
    info = reader.array("<i4", count, "the groups of the trees")
    return {
        "gbtree_model_param": {"num_trees": str(count), "num_parallel_tree": str(max(1, parallel))},
        "trees": trees,
        "tree_info": info.tolist(),
    }


def _tree(reader: _Reader, number: int) -> dict[str, Any]:
    what = f"tree {number}"
    _, nodes, deleted, _, features, vector = struct.unpack_from("<6i", reader.take(TREE, what))
    if not 0 < nodes <= len(reader.data) // NODE.itemsize:
        raise CorruptModel(f"{what} says that it has {nodes} nodes.")
    found = reader.array(NODE, nodes, what)
    statistics = reader.array(STATISTICS, nodes, what)
    if vector > 1:
        raise ConversionError(f"{what} has leaves of {vector} values, which no released XGBoost trained.")
    gone = found["split"] == DELETED
    return {
        "id": number,
        "left_children": found["left"].tolist(),
        "right_children": found["right"].tolist(),
        "parents": np.where(found["parent"] == -1, 2**31 - 1, found["parent"] & 0x7FFFFFFF).tolist(),
        "split_indices": np.where(gone, 0, found["split"] & (DEFAULT_LEFT - 1)).tolist(),
        "default_left": (found["split"] >> 31).astype(np.int64).tolist(),
        "split_conditions": found["value"].tolist(),
        "split_type": [0] * nodes,
        "base_weights": statistics["weight"].tolist(),
        "loss_changes": statistics["loss"].tolist(),
        "sum_hessian": statistics["hess"].tolist(),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "tree_param": {
            "num_deleted": str(deleted),
            "num_feature": str(features),
            "num_nodes": str(nodes),
            "size_leaf_vector": "1",
        },
    }


def _dropped(reader: _Reader) -> list[float]:
    count = reader.count("the weights of the trees", len(reader.data) // 4)
    found: list[float] = reader.array("<f4", count, "the weights of the trees").tolist()
    return found


def _linear(reader: _Reader) -> dict[str, Any]:
    reader.take(GBLINEAR, "the head of the weights")
    count = reader.count("the weights", len(reader.data) // 4)
    return {"weights": reader.array("<f4", count, "the weights").tolist(), "boosted_rounds": 0}


def _attributes(reader: _Reader) -> dict[str, str]:
    count = reader.count("the attributes", len(reader.data) // 16)
    return {reader.text("an attribute's name"): reader.text("an attribute") for _ in range(count)}
