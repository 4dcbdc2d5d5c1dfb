"""Strings."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.ops.elementwise import broadcast
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op


@op(TARGET, "StringConcat")
def string_concat(build: Builder, node: Node, x: Value, y: Value) -> Any:
    """One after the other, broadcast."""
    return broadcast(lambda a, b: tf.strings.join([*_same_shape(a, b)]), x, y)


def _same_shape(a: Any, b: Any) -> tuple[Any, Any]:
    shape = tf.broadcast_dynamic_shape(tf.shape(a), tf.shape(b))
    return tf.broadcast_to(a, shape), tf.broadcast_to(b, shape)


@op(TARGET, "StringSplit")
def string_split(build: Builder, node: Node, x: Value) -> Any:
    """Pieces, filled up with "" to the longest; and how many there are."""
    delimiter, most = node.get("delimiter", "") or "", node.get("maxsplit", -1)
    tensor = x.tensor
    flat = tf.reshape(tensor, [-1])
    if delimiter:
        pieces = tf.strings.split(flat, delimiter, maxsplit=-1 if most is None else most)
    else:
        pieces = tf.strings.split(tf.strings.strip(flat), maxsplit=-1 if most is None else most)
        # A blank string has one empty piece there, and so has a string with fewer pieces than were allowed.
        pieces = tf.ragged.boolean_mask(pieces, tf.strings.length(pieces) > 0)
    shape = tf.shape(tensor)
    whole = pieces.to_tensor("")
    counts = tf.reshape(tf.cast(pieces.row_lengths(), tf.int64), shape)
    made = tf.reshape(whole, tf.concat([shape, [tf.shape(whole)[1]]], 0))
    made.set_shape([*tensor.shape.as_list(), None])
    return made, counts


@op(TARGET, "RegexFullMatch")
def regex_full_match(build: Builder, node: Node, x: Value) -> Any:
    """Does the whole string match? RE2 in both."""
    return tf.strings.regex_full_match(x.tensor, node.get("pattern"))


@op(TARGET, "StringNormalizer")
def string_normalizer(build: Builder, node: Node, x: Value) -> Any:
    """Stop words away, then upper or lower case; nothing left is one empty string."""
    action, stops = node.get("case_change_action", "NONE"), list(node.get("stopwords", []))
    change = {"LOWER": tf.strings.lower, "UPPER": tf.strings.upper}.get(action)
    sensitive = bool(node.get("is_case_sensitive", 0))
    tensor = x.tensor
    flat = tf.reshape(tensor, [-1])
    if stops:
        seen = flat if sensitive else tf.strings.lower(flat, "utf-8")
        words = stops if sensitive else [word.lower() for word in stops]
        kept = ~tf.reduce_any(seen[:, None] == tf.constant(np.array(words, object))[None, :], 1)
        flat = tf.boolean_mask(flat, kept)
    flat = flat if change is None else change(flat, "utf-8")
    flat = tf.cond(tf.size(flat) > 0, lambda: flat, lambda: tf.constant([""]))
    return flat if len(tensor.shape) == 1 else flat[None, :]


@op(TARGET, "TfIdfVectorizer")
def tf_idf_vectorizer(build: Builder, node: Node, x: Value) -> Any:
    """How often each n-gram of the pool occurs, also with gaps; counted, or weighed."""
    pool = node.get("pool_int64s") or [text.encode() for text in node.get("pool_strings")]
    starts, columns = [*node.get("ngram_counts"), len(pool)], node.get("ngram_indexes")
    width = max(columns) + 1
    tensor = x.tensor
    rows = tensor if len(tensor.shape) == 2 else tensor[None, :]
    rows = tf.cast(rows, tf.int64) if rows.dtype.is_integer else rows
    total = tf.zeros(tf.stack([tf.shape(rows)[0], width]), tf.float32)
    first = 0
    for size, (start, end) in enumerate(itertools.pairwise(starts), start=1):
        grams = [pool[at : at + size] for at in range(start, end, size)]
        places = columns[first : first + len(grams)]
        first += len(grams)
        if not grams or not node.get("min_gram_length") <= size <= node.get("max_gram_length"):
            continue
        wanted = tf.constant(np.array(grams, np.int64 if node.get("pool_int64s") else object))
        gaps = range(1, 2) if size == 1 else range(1, node.get("max_skip_count") + 2)
        found = tf.add_n([_counted(rows, wanted, size, gap) for gap in gaps])
        total = total + tf.matmul(found, tf.one_hot(places, width))
    mode, weights = node.get("mode"), node.get("weights")
    if mode == "IDF":
        total = tf.cast(total > 0, tf.float32)
    if mode != "TF" and weights:
        total = total * tf.constant(np.asarray(weights[:width], np.float32))
    return total if len(tensor.shape) == 2 else total[0]


def _counted(rows: Any, wanted: Any, size: int, gap: int) -> Any:
    """(rows, grams): windows of `size` tokens `gap` apart that are the gram."""
    last = tf.maximum(tf.shape(rows)[1] - gap * (size - 1), 0)
    windows = tf.stack([rows[:, k * gap : k * gap + last] for k in range(size)], -1)
    same = tf.reduce_all(windows[:, :, None, :] == wanted[None, None], -1)
    return tf.reduce_sum(tf.cast(same, tf.float32), 1)
