"""A model of CatBoost, as the JSON says it that CatBoost itself makes of either of its files.

Rule 1: x > border is bit 1 of a symmetric tree's leaf; split 0 is the lowest bit.
Rule 2: NaN is as the feature says: AsFalse is no, AsTrue is yes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError, CorruptModel
from gateway.graph.ensemble import LE, Ensemble, Tree, checked

BINARY, MULTI, EACH, EXP, RAW = "binary", "multi", "each", "exp", "raw"
LOSSES = {"Logloss": BINARY, "CrossEntropy": BINARY, "MultiClass": MULTI, "MultiClassOneVsAll": EACH,
          "Poisson": EXP, "Tweedie": EXP}  # fmt: skip
MOST_NODES = 20_000_000


@dataclass(frozen=True)
class Feature:
    """One column of what CatBoost is called with. `kind`: float, categorical, text, embedding."""

    place: int
    name: str
    kind: str


@dataclass(frozen=True)
class Model:
    document: Mapping[str, Any]
    features: tuple[Feature, ...]
    loss: str
    answer: str
    classes: Array | None  # int64 or objects of str
    scale: float
    bias: Array  # (targets,)

    @property
    def numbers(self) -> bool:
        return all(feature.kind == "float" for feature in self.features)


def load(path: Path) -> Any:
    """CatBoost's own object. Errors: CorruptModel in its words."""
    import catboost

    form = "json" if path.read_bytes()[:1] in (b"{", b" ", b"\n") else "cbm"
    try:
        return catboost.CatBoost().load_model(str(path), format=form)
    except Exception as error:  # noqa: BLE001  CatBoostError, or whatever its parser says
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CorruptModel(
            f"{path.name} is not read by CatBoost {catboost.__version__}: {(lines or [''])[0][:300].rstrip('.')}.",
            hint="Copy the file again, or save it with model.save_model('model.cbm').",
        ) from None


def read(path: Path) -> Model:
    """Errors: CorruptModel, ConversionError."""
    made = load(path)
    with _as_written(path.name), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.json"
        made.save_model(str(file), format="json")
        return _model(json.loads(file.read_text()), path.name)


@contextmanager
def _as_written(file: str) -> Iterator[None]:
    """Errors: CorruptModel for a document that cannot be followed."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise CorruptModel(
            f"{file} is not as CatBoost writes it: {type(error).__name__}: {error}.",
            hint="Copy the file again, or save it with model.save_model('model.cbm').",
        ) from None


def _model(document: Mapping[str, Any], file: str) -> Model:
    info = document["model_info"]
    features = tuple(sorted(_features(document["features_info"]), key=lambda feature: feature.place))
    if [feature.place for feature in features] != list(range(len(features))):
        raise CorruptModel(f"{file} does not say what its columns are.")
    parameters = info.get("params") or {}
    loss = str((parameters.get("loss_function") or {}).get("type", ""))
    names = (info.get("class_params") or {}).get("class_names") or ()
    scale, bias = document["scale_and_bias"]
    answer = LOSSES.get(loss, RAW)
    classes = _classes(names) if names and answer in (BINARY, MULTI, EACH) else None
    if classes is None and answer in (MULTI, EACH):
        classes = np.arange(len(bias))
    return Model(document, features, loss, answer, classes, float(scale), np.array(bias, np.float64).reshape(-1))


def _classes(names: Any) -> Array:
    if all(isinstance(name, int) and not isinstance(name, bool) for name in names):
        return np.array(names, np.int64)
    if all(isinstance(name, float) and name.is_integer() for name in names):
        return np.array(names, np.int64)
    found = np.empty(len(names), object)
    found[:] = [str(name) for name in names]
    return found


def _features(info: Mapping[str, Any]) -> Iterator[Feature]:
    for key, kind in (("float_features", "float"), ("categorical_features", "categorical"),
                      ("text_features", "text"), ("embedding_features", "embedding")):  # fmt: skip
        for each in info.get(key) or ():
            place = int(each["flat_feature_index"])
            yield Feature(place, str(each.get("feature_id") or each.get("feature_name") or f"column_{place}"), kind)


def ensemble(model: Model, file: str) -> Ensemble:
    """Trees over the columns of numbers. Errors: ConversionError, CorruptModel."""
    with _as_written(file):
        return _ensemble(model, file)


def _ensemble(model: Model, file: str) -> Ensemble:
    info = model.document["features_info"]
    place = {int(each["feature_index"]): int(each["flat_feature_index"]) for each in info["float_features"]}
    yes = {int(each["feature_index"]) for each in info["float_features"] if each["nan_value_treatment"] == "AsTrue"}
    width = len(model.bias)
    if "oblivious_trees" in model.document:
        lists = model.document["oblivious_trees"]
        nodes = sum(2 ** (len(tree["splits"] or ()) + 1) for tree in lists)
        if nodes > MOST_NODES:
            raise ConversionError(f"{file} has trees of {nodes} nodes, more than {MOST_NODES}.",
                                  hint='With target = "native" CatBoost itself serves it.')  # fmt: skip
        made = [_symmetric(tree, place, yes, width) for tree in lists]
    else:
        made = [_tree(tree, place, yes, width) for tree in model.document["trees"]]
    count = len(model.features)
    return Ensemble(count, tuple(checked(tree, count, f"{file}: tree {n}") for n, tree in enumerate(made)), width)


def _split(split: Mapping[str, Any], place: Mapping[int, int], yes: set[int]) -> tuple[int, float, bool]:
    """(column, border, NaN is no). Errors: ConversionError for what asks for no number."""
    if split["split_type"] != "FloatFeature":
        raise ConversionError(f"a split of type {split['split_type']} is not converted.")
    feature = int(split["float_feature_index"])
    return place[feature], float(np.float32(split["border"])), feature not in yes


def _symmetric(tree: Mapping[str, Any], place: Mapping[int, int], yes: set[int], width: int) -> Tree:
    splits = [_split(split, place, yes) for split in reversed(tree["splits"] or ())]
    depth = len(splits)
    inner, leaves = 2**depth - 1, 2**depth
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth)) if depth else np.zeros(0, np.int64)
    column, border, missing = (np.array([split[n] for split in splits]) for n in range(3))
    values = np.array(tree["leaf_values"], np.float64).reshape(leaves, width)
    ends = np.full(leaves, -1, np.int64)
    nodes = np.arange(inner)
    return Tree(
        column=np.concatenate([column[level].astype(np.int64) if depth else nodes, ends]),
        mode=np.full(inner + leaves, LE, np.uint8),
        threshold=np.concatenate([border[level] if depth else nodes * 0.0, np.zeros(leaves)]),
        true=np.concatenate([2 * nodes + 1, ends]),
        false=np.concatenate([2 * nodes + 2, ends]),
        missing=np.concatenate([missing[level].astype(bool) if depth else nodes > 0, ends == 0]),
        value=_shaped(np.concatenate([np.zeros((inner, width)), values])),
        leaf=np.concatenate([nodes * 0, np.arange(leaves)]),
    )


def _shaped(values: Array) -> Array:
    return values[:, 0] if values.shape[1] == 1 else values


def _tree(tree: Mapping[str, Any], place: Mapping[int, int], yes: set[int], width: int) -> Tree:
    """A tree of nodes: left is no, right is yes; leaves are counted from the left."""
    column: list[int] = []
    border: list[float] = []
    missing: list[bool] = []
    true: list[int] = []
    false: list[int] = []
    leaf: list[int] = []
    values: list[Array] = []
    waiting: list[tuple[Mapping[str, Any], int, int]] = [(tree, -1, 0)]
    leaves = 0
    while waiting:
        node, parent, side = waiting.pop()
        at = len(column)
        if parent >= 0:
            (true, false)[side][parent] = at
        true.append(-1)
        false.append(-1)
        if "split" in node:
            where, limit, no = _split(node["split"], place, yes)
            column.append(where)
            border.append(limit)
            missing.append(no)
            leaf.append(0)
            values.append(np.zeros(width))
            waiting += [(node["right"], at, 1), (node["left"], at, 0)]
        else:
            column.append(-1)
            border.append(0.0)
            missing.append(False)
            leaf.append(leaves)
            leaves += 1
            values.append(np.array(node["value"], np.float64).reshape(width))
    return Tree(
        np.array(column, np.int64), np.full(len(column), LE, np.uint8), np.array(border), np.array(true, np.int64),
        np.array(false, np.int64), np.array(missing, bool), _shaped(np.stack(values)), np.array(leaf, np.int64),
    )  # fmt: skip
