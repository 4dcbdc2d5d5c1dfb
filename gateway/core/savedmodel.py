"""What the owner wants of a SavedModel: model.toml's [savedmodel], or the flags of `gateway convert`.

    [savedmodel]
    signatures = ["serving_default"]           # SignatureDef keys; all show the same inputs and outputs
    method = "tensorflow/serving/predict"      # any string
    tags = ["serve"]
    trainable = false                          # weights are trainable variables; a MetaGraph tagged "train" too
    frozen = false                             # weights are constants of the graph

Rule 1: all problems are reported together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.names import did_you_mean
from gateway.core.signature import PREDICT, SERVING_DEFAULT

SERVE, TRAIN = "serve", "train"  # tags of MetaGraphs, as TensorFlow's own tools look for them
GRAPH_FILE = "frozen_graph.pb"


def graph_name(public: str) -> str:
    """The name of a public tensor in a frozen graph: TensorFlow takes letters, digits, _ . / - only."""
    clean = re.sub(r"[^A-Za-z0-9_./\\-]", "_", public).strip("/")
    return clean if re.match(r"[A-Za-z0-9.]", clean) else f"t{clean}"


@dataclass(frozen=True)
class SavedModelOptions:
    signatures: tuple[str, ...] = (SERVING_DEFAULT,)
    method: str = PREDICT
    tags: tuple[str, ...] = (SERVE,)
    trainable: bool = False
    frozen: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "signatures": list(self.signatures),
            "method": self.method,
            "tags": list(self.tags),
            "trainable": self.trainable,
            "frozen": self.frozen,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SavedModelOptions:
        return cls(
            tuple(data["signatures"]),
            data["method"],
            tuple(data["tags"]),
            bool(data["trainable"]),
            bool(data["frozen"]),
        )


def read_savedmodel(value: Any, problems: list[str]) -> SavedModelOptions:
    """[savedmodel] of model.toml; problems are appended."""
    if not isinstance(value, dict):
        problems.append(f"savedmodel is {value!r}, expected a table: [savedmodel]")
        return SavedModelOptions()
    known = SavedModelOptions()
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key not in known.to_json():
            problems.append(f"[savedmodel] has no key {key!r}.{did_you_mean(key, known.to_json())}")
        elif key in ("signatures", "tags"):
            if not isinstance(item, list) or not item or not all(isinstance(text, str) and text for text in item):
                problems.append(f"[savedmodel] {key} is {item!r}, expected a list of names")
            elif len(set(item)) != len(item):
                problems.append(f"[savedmodel] {key} names one twice: {item!r}")
            else:
                found[key] = tuple(item)
        elif key == "method":
            if not isinstance(item, str) or not item:
                problems.append(f"[savedmodel] method is {item!r}, expected text")
            else:
                found[key] = item
        elif not isinstance(item, bool):
            problems.append(f"[savedmodel] {key} is {item!r}, expected true or false")
        else:
            found[key] = item
    options = SavedModelOptions(**found)
    if options.trainable and options.frozen:
        problems.append("[savedmodel] trainable and frozen are both true; weights are variables or constants")
    return options
