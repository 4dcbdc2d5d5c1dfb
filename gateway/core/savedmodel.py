"""What the owner wants of a SavedModel: model.toml's [savedmodel], or the flags of `gateway convert`.

    [savedmodel]
    signatures = ["serving_default"]           # SignatureDef keys; all show the same inputs and outputs
    method = "tensorflow/serving/predict"      # any string
    tags = ["serve"]
    trainable = false                          # weights are trainable variables; a MetaGraph tagged "train" too
    frozen = false                             # weights are constants of the graph
    pictures = "serving_pictures"              # a further signature's key: encoded pictures, ready by [preprocess]
    classify = "classify"                      # a further one: tf.Examples -> classes, scores
    regress = "regress"                        # a further one: tf.Examples -> outputs
    scores = "probabilities"                   # the output that these two show; the first one unless said

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


TEXTS = ("pictures", "classify", "regress", "scores")  # keys that are "" unless said


@dataclass(frozen=True)
class SavedModelOptions:
    signatures: tuple[str, ...] = (SERVING_DEFAULT,)
    method: str = PREDICT
    tags: tuple[str, ...] = (SERVE,)
    trainable: bool = False
    frozen: bool = False
    pictures: str = ""
    classify: str = ""
    regress: str = ""
    scores: str = ""

    @property
    def further(self) -> dict[str, str]:
        """Keys of the signatures beside the plain ones, by what they are; only those that are asked for."""
        asked = {"pictures": self.pictures, "classify": self.classify, "regress": self.regress}
        return {what: key for what, key in asked.items() if key}

    def problems(self) -> list[str]:
        """What cannot be together."""
        found = ["trainable and frozen are both true; weights are variables or constants"] * (
            self.trainable and self.frozen
        )
        if self.further and (self.trainable or self.frozen):
            found.append(f"{', '.join(self.further)}: not together with trainable or frozen")
        keys = [*self.signatures, *self.further.values()]
        found += [f"two signatures are called {key!r}" for key in sorted({k for k in keys if keys.count(k) > 1})]
        if self.scores and not (self.classify or self.regress):
            found.append("scores is said without classify or regress")
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "signatures": list(self.signatures),
            "method": self.method,
            "tags": list(self.tags),
            "trainable": self.trainable,
            "frozen": self.frozen,
            **{key: getattr(self, key) for key in TEXTS if getattr(self, key)},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SavedModelOptions:
        return cls(
            tuple(data["signatures"]),
            data["method"],
            tuple(data["tags"]),
            bool(data["trainable"]),
            bool(data["frozen"]),
            **{key: data[key] for key in TEXTS if key in data},
        )


def read_savedmodel(value: Any, problems: list[str]) -> SavedModelOptions:
    """[savedmodel] of model.toml; problems are appended."""
    if not isinstance(value, dict):
        problems.append(f"savedmodel is {value!r}, expected a table: [savedmodel]")
        return SavedModelOptions()
    known = SavedModelOptions()
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key not in (*known.to_json(), *TEXTS):
            problems.append(f"[savedmodel] has no key {key!r}.{did_you_mean(key, (*known.to_json(), *TEXTS))}")
        elif key in ("signatures", "tags"):
            if not isinstance(item, list) or not item or not all(isinstance(text, str) and text for text in item):
                problems.append(f"[savedmodel] {key} is {item!r}, expected a list of names")
            elif len(set(item)) != len(item):
                problems.append(f"[savedmodel] {key} names one twice: {item!r}")
            else:
                found[key] = tuple(item)
        elif key == "method" or key in TEXTS:
            if not isinstance(item, str) or not item:
                problems.append(f"[savedmodel] {key} is {item!r}, expected text")
            else:
                found[key] = item
        elif not isinstance(item, bool):
            problems.append(f"[savedmodel] {key} is {item!r}, expected true or false")
        else:
            found[key] = item
    options = SavedModelOptions(**found)
    problems += [f"[savedmodel] {problem}" for problem in options.problems()]
    return options
