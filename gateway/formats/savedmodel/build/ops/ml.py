"""ai.onnx.ml: encoders, scalers, linear models and trees, as the classical exporters write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gateway.core.dtypes import Array
from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op

ML = "ai.onnx.ml."


def _texts(items: list[str]) -> Array:
    found = np.empty(len(items), object)
    found[:] = [item.encode() for item in items]
    return found


def _listed(node: Node, stem: str) -> Array | None:
    """keys_floats, keys_int64s, keys_strings or keys_tensor: whichever there is."""
    for suffix, kind in (("floats", np.float32), ("int64s", np.int64)):
        if node.get(f"{stem}_{suffix}"):
            return np.asarray(node.get(f"{stem}_{suffix}"), kind)
    if node.get(f"{stem}_strings"):
        return _texts(node.get(f"{stem}_strings"))
    tensor: Array | None = node.get(f"{stem}_tensor")
    return tensor


@op(TARGET, f"{ML}LabelEncoder")
def label_encoder(build: Builder, node: Node, x: Value) -> Any:
    """Each key becomes its value, anything else the default; NaN is a key like another."""
    if node.get("classes_strings") and _listed(node, "keys") is None:
        return _old_encoder(node, x)
    keys, values = _listed(node, "keys"), _listed(node, "values")
    assert keys is not None
    assert values is not None
    fallback: Any
    if values.dtype == object:
        fallback = node.get("default_string", "_Unused").encode()
    elif node.get("default_tensor") is not None:
        fallback = node.get("default_tensor").reshape(-1)[0]
    else:
        fallback = node.get("default_float", -0.0) if values.dtype.kind == "f" else node.get("default_int64", -1)
    same = x.tensor[..., None] == tf.constant(keys)
    if keys.dtype.kind == "f":
        same |= tf.math.is_nan(x.tensor)[..., None] & tf.constant(np.isnan(keys))
    found = tf.gather(tf.constant(values), tf.argmax(tf.cast(same, tf.int8), -1))
    other = tf.constant(np.array(fallback, object if values.dtype == object else values.dtype))
    return tf.where(tf.reduce_any(same, -1), found, other)


def _old_encoder(node: Node, x: Value) -> Any:
    """Opset 1: strings to their place in the list, or the other way."""
    classes = tf.constant(_texts(node.get("classes_strings")))
    if x.dtype == tf.string:
        same = x.tensor[..., None] == classes
        place = tf.argmax(tf.cast(same, tf.int8), -1)
        return tf.where(tf.reduce_any(same, -1), place, tf.cast(node.get("default_int64", -1), tf.int64))
    inside = (x.tensor >= 0) & (x.tensor < tf.size(classes, out_type=tf.int64))
    found = tf.gather(classes, tf.where(inside, x.tensor, tf.zeros_like(x.tensor)))
    return tf.where(inside, found, tf.constant(node.get("default_string", "_Unused").encode()))


@op(TARGET, f"{ML}ArrayFeatureExtractor")
def array_feature_extractor(build: Builder, node: Node, x: Value, places: Value) -> Any:
    """Columns of the last axis."""
    tensor = x.tensor if len(x.tensor.shape) > 1 else x.tensor[None, :]
    return tf.gather(tensor, tf.reshape(places.tensor, [-1]), axis=-1)


@op(TARGET, f"{ML}Binarizer")
def binarizer(build: Builder, node: Node, x: Value) -> Any:
    """1 over the threshold, else 0."""
    return tf.cast(x.tensor > tf.cast(node.get("threshold", 0.0), x.dtype), x.dtype)


@op(TARGET, f"{ML}Scaler")
def scaler(build: Builder, node: Node, x: Value) -> Any:
    """(x - offset) scale, as float32."""
    offset, scale = (np.asarray(node.get(name), np.float32) for name in ("offset", "scale"))
    return (tf.cast(x.tensor, tf.float32) - offset) * scale


@op(TARGET, f"{ML}Normalizer")
def normalizer(build: Builder, node: Node, x: Value) -> Any:
    """Rows divided by their greatest value, their sum of sizes, or their length; a row of zeros stays."""
    tensor = tf.cast(x.tensor, tf.float32)
    how = node.get("norm", "MAX")
    norms = {
        "MAX": lambda: tf.reduce_max(tensor, -1, keepdims=True),
        "L1": lambda: tf.reduce_sum(tf.abs(tensor), -1, keepdims=True),
        "L2": lambda: tf.sqrt(tf.reduce_sum(tensor * tensor, -1, keepdims=True)),
    }
    norm = norms[how]()
    return tensor / tf.where(norm == 0, tf.ones_like(norm), norm)


@op(TARGET, f"{ML}Imputer")
def imputer(build: Builder, node: Node, x: Value) -> Any:
    """Missing values replaced by the column's own."""
    whole = x.dtype.is_integer
    values = np.asarray(node.get("imputed_value_int64s" if whole else "imputed_value_floats"), x.dtype.as_numpy_dtype)
    missing = node.get("replaced_value_int64" if whole else "replaced_value_float", 0)
    gone = tf.math.is_nan(x.tensor) if not whole and np.isnan(missing) else x.tensor == tf.cast(missing, x.dtype)
    return tf.where(gone, tf.constant(values), x.tensor)


@op(TARGET, f"{ML}FeatureVectorizer")
def feature_vectorizer(build: Builder, node: Node, *values: Value) -> Any:
    """All columns side by side, as float32."""
    columns = [tf.cast(v.tensor if len(v.tensor.shape) > 1 else v.tensor[:, None], tf.float32) for v in values]
    return tf.concat(columns, 1)


@op(TARGET, f"{ML}OneHotEncoder")
def one_hot_encoder(build: Builder, node: Node, x: Value) -> Any:
    """A column of zeros and a one for each category."""
    categories = node.get("cats_int64s")
    keys = (
        tf.constant(_texts(node.get("cats_strings")))
        if not categories
        else tf.constant(np.asarray(categories, np.int64))
    )
    tensor = x.tensor if x.dtype == tf.string else tf.cast(x.tensor, tf.int64)
    return tf.cast(tensor[..., None] == keys, tf.float32)


def _after(scores: Any, how: str) -> Any:
    """post_transform."""
    if how == "SOFTMAX":
        return tf.nn.softmax(scores)
    if how == "LOGISTIC":
        return tf.sigmoid(scores)
    if how == "SOFTMAX_ZERO":
        there = tf.cast(scores != 0, scores.dtype)
        powers = tf.exp(scores - tf.reduce_max(scores, -1, keepdims=True)) * there
        return tf.math.divide_no_nan(powers, tf.reduce_sum(powers, -1, keepdims=True))
    if how == "PROBIT":
        return tf.cast(np.sqrt(2), scores.dtype) * tf.math.erfinv(2 * scores - 1)
    return scores


@op(TARGET, f"{ML}LinearRegressor")
def linear_regressor(build: Builder, node: Node, x: Value) -> Any:
    """x W' + b."""
    targets = node.get("targets", 1)
    weights = np.asarray(node.get("coefficients"), np.float32).reshape(targets, -1)
    made = tf.matmul(tf.cast(x.tensor, tf.float32), weights, transpose_b=True)
    bias = node.get("intercepts")
    return _after(made if not bias else made + np.asarray(bias, np.float32), node.get("post_transform", "NONE"))


@op(TARGET, f"{ML}LinearClassifier")
def linear_classifier(build: Builder, node: Node, x: Value) -> Any:
    """The label with the greatest score, and all scores; one row of weights for two classes gives both."""
    names = node.get("classlabels_strings") or node.get("classlabels_ints")
    bias = np.asarray(node.get("intercepts", [0.0]), np.float32)
    weights = np.asarray(node.get("coefficients"), np.float32).reshape(len(bias), -1)
    scores = tf.matmul(tf.cast(x.tensor, tf.float32), weights, transpose_b=True) + bias
    how = node.get("post_transform", "NONE")
    labels = tf.constant(_texts(names) if node.get("classlabels_strings") else np.asarray(names, np.int64))
    if len(bias) == 1 and len(names) == 2:
        other = 1 - tf.sigmoid(scores) if how == "LOGISTIC" else -scores
        both = tf.concat([other, _after(scores, how)], 1)
        return tf.gather(labels, tf.cast(scores[:, 0] > 0, tf.int64)), both
    return tf.gather(labels, tf.argmax(scores, 1)), _after(scores, how)


class Trees:
    """Every node of every tree in flat arrays; leaves point at themselves."""

    def __init__(
        self, feature: Array, value: Array, mode: Array, yes: Array, no: Array, missing: Array, roots: Array
    ) -> None:
        self.feature, self.value, self.mode = feature, value, mode
        self.yes, self.no, self.missing, self.roots = yes, no, missing, roots
        self.members: dict[int, Array] = {}

    def depth(self) -> int:
        """Steps that bring every example to a leaf. Errors: ValueError for a circle."""
        deepest, level, seen = 0, set(self.roots.tolist()), 0
        while True:
            nxt = {int(child) for at in level for child in (self.yes[at], self.no[at]) if child != at}
            if not nxt:
                return deepest
            deepest, level, seen = deepest + 1, nxt, seen + 1
            if seen > len(self.feature):
                raise ValueError("a tree that runs in a circle")

    def leaves(self, x: Any) -> Any:
        """(N, trees): the leaf of every example in every tree."""
        count = tf.shape(x)[0]
        at = tf.tile(tf.constant(self.roots, tf.int32)[None], tf.stack([count, 1]))
        tables = {name: tf.constant(getattr(self, name)) for name in ("feature", "mode", "yes", "no", "missing")}
        value = tf.constant(self.value.astype(x.dtype.as_numpy_dtype))
        kinds = sorted({int(mode) for mode in self.mode})
        for _ in range(self.depth()):
            seen = tf.gather(x, tf.gather(tables["feature"], at), batch_dims=1)
            edge = tf.gather(value, at)
            mode = tf.gather(tables["mode"], at)
            true = tf.zeros_like(seen, tf.bool)
            for kind in kinds:
                if kind != LEAF:
                    true |= (mode == kind) & self._holds(kind, seen, edge, at)
            true |= tf.math.is_nan(seen) & tf.gather(tables["missing"], at)
            at = tf.where(true, tf.gather(tables["yes"], at), tf.gather(tables["no"], at))
        return at

    def _holds(self, kind: int, seen: Any, edge: Any, at: Any) -> Any:
        if kind == MEMBER:
            widest = max(len(items) for items in self.members.values())
            table = np.full((len(self.feature), widest), np.nan, np.float32)
            for place, items in self.members.items():
                table[place, : len(items)] = items
            return tf.reduce_any(seen[..., None] == tf.cast(tf.gather(tf.constant(table), at), seen.dtype), -1)
        functions = {0: tf.less_equal, 1: tf.less, 2: tf.greater_equal, 3: tf.greater, 4: tf.equal, 5: tf.not_equal}
        return functions[kind](seen, edge)


MEMBER, LEAF = 6, 7
MODES = {
    "BRANCH_LEQ": 0,
    "BRANCH_LT": 1,
    "BRANCH_GTE": 2,
    "BRANCH_GT": 3,
    "BRANCH_EQ": 4,
    "BRANCH_NEQ": 5,
    "LEAF": LEAF,
}


def _old_trees(node: Node) -> tuple[Trees, dict[tuple[int, int], int]]:
    """Opset 1 to 4: nodes are named by (tree, node)."""
    trees, numbers = node.get("nodes_treeids"), node.get("nodes_nodeids")
    place = {(tree, number): at for at, (tree, number) in enumerate(zip(trees, numbers))}
    modes = np.array([MODES[mode] for mode in node.get("nodes_modes")], np.int32)
    count = len(modes)
    own = np.arange(count, dtype=np.int32)
    yes, no = own.copy(), own.copy()
    for at in range(count):
        if modes[at] != LEAF:
            yes[at] = place[trees[at], node.get("nodes_truenodeids")[at]]
            no[at] = place[trees[at], node.get("nodes_falsenodeids")[at]]
    children = {int(child) for at in range(count) if modes[at] != LEAF for child in (yes[at], no[at])}
    roots = np.array([at for at in range(count) if at not in children], np.int32)
    values = node.get("nodes_values_as_tensor")
    values = np.asarray(node.get("nodes_values"), np.float32) if values is None else values
    missing = np.asarray(node.get("nodes_missing_value_tracks_true") or [0] * count, bool)
    feature = np.asarray(node.get("nodes_featureids"), np.int32)
    return Trees(feature, values, modes, yes, no, missing, roots), place


def _leaf_weights(
    node: Node, stem: str, place: dict[tuple[int, int], int], count: int, targets: int
) -> tuple[Array, int]:
    """(nodes, targets) of what a leaf gives, and the number of distinct targets."""
    numbers = node.get(f"{stem}_ids")
    weights = node.get(f"{stem}_weights_as_tensor")
    weights = np.asarray(node.get(f"{stem}_weights"), np.float32) if weights is None else weights
    table = np.zeros((count, targets), weights.dtype)
    for tree, number, target, weight in zip(node.get(f"{stem}_treeids"), node.get(f"{stem}_nodeids"), numbers, weights):
        table[place[tree, number], target] += weight
    return table, len(set(numbers))


def _summed(found: Any, how: str) -> Any:
    functions = {"SUM": tf.reduce_sum, "AVERAGE": tf.reduce_mean, "MIN": tf.reduce_min, "MAX": tf.reduce_max}
    return functions[how](found, 1)


@op(TARGET, f"{ML}TreeEnsembleRegressor")
def tree_ensemble_regressor(build: Builder, node: Node, x: Value) -> Any:
    """What the leaves give, added up over the trees, and the base values."""
    trees, place = _old_trees(node)
    table, _ = _leaf_weights(node, "target", place, len(trees.feature), node.get("n_targets"))
    tensor = x.tensor if x.dtype.is_floating else tf.cast(x.tensor, tf.float32)
    found = tf.gather(tf.constant(table), trees.leaves(tensor))
    total = _summed(found, node.get("aggregate_function", "SUM"))
    base = _base(node)
    return _after(tf.cast(total if base is None else total + base, tf.float32), node.get("post_transform", "NONE"))


def _base(node: Node) -> Array | None:
    tensor: Array | None = node.get("base_values_as_tensor")
    if tensor is not None:
        return tensor
    return np.asarray(node.get("base_values"), np.float32) if node.get("base_values") else None


@op(TARGET, f"{ML}TreeEnsembleClassifier")
def tree_ensemble_classifier(build: Builder, node: Node, x: Value) -> Any:
    """The label with the greatest sum, and the scores; two classes may come as one column of weights."""
    trees, place = _old_trees(node)
    names = node.get("classlabels_strings") or node.get("classlabels_int64s")
    table, used = _leaf_weights(node, "class", place, len(trees.feature), len(names))
    tensor = x.tensor if x.dtype.is_floating else tf.cast(x.tensor, tf.float32)
    total = tf.reduce_sum(tf.gather(tf.constant(table), trees.leaves(tensor)), 1)
    labels = tf.constant(_texts(names) if node.get("classlabels_strings") else np.asarray(names, np.int64))
    how, base = node.get("post_transform", "NONE"), _base(node)
    if len(names) == 2 and used == 1:
        column = max(node.get("class_ids"))
        score = total[:, column : column + 1] + (0 if base is None else base.reshape(-1)[-1])
        return _binary(score, labels, how, all(weight >= 0 for weight in np.ravel(table)))
    total = total if base is None else total + base
    return tf.gather(labels, tf.argmax(total, 1)), tf.cast(_after(total, how), tf.float32)


def _binary(score: Any, labels: Any, how: str, positive: bool) -> Any:
    """One column for two classes: weights that are never negative are probabilities, others are margins."""
    edge = 0.5 if positive and how == "NONE" else 0.0
    chosen = tf.gather(labels, tf.cast(score[:, 0] > edge, tf.int64))
    if how == "LOGISTIC":
        one = tf.sigmoid(score)
        return chosen, tf.cast(tf.concat([1 - one, one], 1), tf.float32)
    other = 1 - score if positive else -score
    return chosen, tf.cast(_after(tf.concat([other, score], 1), how), tf.float32)


@op(TARGET, f"{ML}TreeEnsemble")
def tree_ensemble(build: Builder, node: Node, x: Value) -> Any:
    """Opset 5: nodes and leaves in two lists; leaves are put behind the nodes here."""
    splits = node.get("nodes_splits")
    inner, leaves = len(splits), len(node.get("leaf_targetids"))
    count = inner + leaves
    own = np.arange(count, dtype=np.int32)
    yes, no = own.copy(), own.copy()
    for name, leafs, side in (
        ("nodes_truenodeids", "nodes_trueleafs", yes),
        ("nodes_falsenodeids", "nodes_falseleafs", no),
    ):
        places, is_leaf = np.asarray(node.get(name)), np.asarray(node.get(leafs), bool)
        side[:inner] = np.where(is_leaf, places + inner, places)
    modes = np.full(count, LEAF, np.int32)
    modes[:inner] = node.get("nodes_modes")
    feature, value = np.zeros(count, np.int32), np.zeros(count, splits.dtype)
    feature[:inner], value[:inner] = node.get("nodes_featureids"), splits
    missing = np.zeros(count, bool)
    if node.get("nodes_missing_value_tracks_true"):
        missing[:inner] = node.get("nodes_missing_value_tracks_true")
    trees = Trees(feature, value, modes, yes, no, missing, np.asarray(node.get("tree_roots"), np.int32))
    trees.members = _members(node, modes[:inner])
    table = np.zeros((count, node.get("n_targets")), node.get("leaf_weights").dtype)
    given = np.zeros((count, node.get("n_targets")), bool)
    rows = np.arange(leaves) + inner
    table[rows, node.get("leaf_targetids")] = node.get("leaf_weights")
    given[rows, node.get("leaf_targetids")] = True
    at = trees.leaves(x.tensor)
    how = ("AVERAGE", "SUM", "MIN", "MAX")[node.get("aggregate_function", 1)]
    if how in ("MIN", "MAX"):
        beyond = np.finfo(table.dtype).max if how == "MIN" else np.finfo(table.dtype).min
        table = np.where(given, table, beyond).astype(table.dtype)
    total = _summed(tf.gather(tf.constant(table), at), how)
    return _after(total, ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")[node.get("post_transform", 0)])


def _members(node: Node, modes: Array) -> dict[int, Array]:
    """Sets of the membership nodes, divided by NaN in one list."""
    values = node.get("membership_values")
    if values is None:
        return {}
    sets: list[list[float]] = [[]]
    for value in values:
        if np.isnan(value):
            sets.append([])
        else:
            sets[-1].append(float(value))
    places = [int(place) for place in np.flatnonzero(modes == MEMBER)]
    return {place: np.asarray(items, np.float32) for place, items in zip(places, sets)}
