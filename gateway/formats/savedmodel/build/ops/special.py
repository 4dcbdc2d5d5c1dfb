"""Losses, matrices, windows and bits: what fits nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.node import Node, tf_dtype
from gateway.formats.savedmodel.build.ops.elementwise import unary
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op


@op(TARGET, "NegativeLogLikelihoodLoss")
def negative_log_likelihood_loss(
    build: Builder, node: Node, x: Value, target: Value, weight: Value | None = None
) -> Any:
    """-x[target] weighed by class; the mean is over the weights."""
    scores, labels = x.tensor, tf.cast(target.tensor, tf.int64)
    rank = len(scores.shape)
    ignored = node.get("ignore_index")
    there = tf.ones_like(labels, tf.bool) if ignored is None else labels != ignored
    safe = tf.where(there, labels, tf.zeros_like(labels))
    last = tf.transpose(scores, [0, *range(2, rank), 1])
    picked = tf.gather(last, safe, batch_dims=rank - 1, axis=rank - 1)
    share = tf.cast(there, scores.dtype)
    if weight is not None:
        share = share * tf.gather(weight.tensor, safe)
    loss = -picked * share
    how = node.get("reduction", "mean")
    if how == "none":
        return loss
    return tf.reduce_sum(loss) if how == "sum" else tf.reduce_sum(loss) / tf.reduce_sum(share)


@op(TARGET, "Einsum")
def einsum(build: Builder, node: Node, *values: Value) -> Any:
    """The sum that the equation names; without an arrow the letters that occur once, in order."""
    equation = node.get("equation").replace(" ", "")
    if "->" not in equation:
        letters = [letter for letter in equation if letter.isalpha()]
        once = "".join(sorted({letter for letter in letters if letters.count(letter) == 1}))
        equation += "->" + ("..." if "..." in equation else "") + once
    return tf.einsum(equation, *[value.tensor for value in values])


@op(TARGET, "Det")
def det(build: Builder, node: Node, x: Value) -> Any:
    """Determinants of the last two axes."""
    return tf.linalg.det(x.tensor)


@op(TARGET, "BitCast")
def bit_cast(build: Builder, node: Node, x: Value) -> Any:
    """The same bits as another type of the same width."""
    kind = tf_dtype(node.get("to"))
    if tf.bool in (x.dtype, kind):
        between = unary(x, lambda t: tf.cast(t, tf.uint8)) if x.dtype == tf.bool else x
        return unary(
            between, lambda t: tf.cast(tf.bitcast(t, tf.uint8), tf.bool) if kind == tf.bool else tf.bitcast(t, kind)
        )
    return unary(x, lambda t: tf.bitcast(t, kind))


@op(TARGET, "MelWeightMatrix")
def mel_weight_matrix(
    build: Builder, node: Node, bins: Value, length: Value, rate: Value, low: Value, high: Value
) -> Any:
    """Triangles over the bins of a spectrum, evenly spaced on the mel scale (2595 log10(1 + f / 700))."""
    count, dft, hertz = (tf.cast(tf.reshape(value.tensor, []), tf.int64) for value in (bins, length, rate))
    ends = [tf.cast(tf.reshape(value.tensor, []), tf.float64) for value in (low, high)]
    start, end = (2595 * tf.math.log1p(f / 700) / np.log(10) for f in ends)
    step = (end - start) / tf.cast(count + 2, tf.float64)
    mels = tf.cast(tf.range(count + 2), tf.float64) * step + start
    edges = tf.cast(dft + 1, tf.float64) * (700 * tf.math.expm1(mels / 2595 * np.log(10)))
    places = tf.cast(tf.floor(edges / tf.cast(hertz, tf.float64)), tf.int64)
    left, middle, right = places[None, :-2], places[None, 1:-1], places[None, 2:]
    rows = tf.range(dft // 2 + 1)[:, None]

    def part(over: Any, under: Any) -> Any:
        return tf.math.divide_no_nan(tf.cast(over, tf.float64), tf.cast(under, tf.float64))

    rising = tf.where((rows >= left) & (rows <= middle), part(rows - left, middle - left), 0)
    made = tf.where(middle == left, tf.cast(rows == middle, tf.float64), rising)
    made = tf.where((rows >= middle) & (rows < right), part(right - rows, right - middle), made)
    return tf.cast(made, tf_dtype(node.get("output_datatype", 1)))


def _window(node: Node, size: Value, weights: tuple[float, ...]) -> Any:
    """sum of (-1)^i a_i cos(2 pi i n / N), N one less for a symmetric window."""
    count = tf.reshape(size.tensor, [])
    kind = tf_dtype(node.get("output_datatype", 1))
    span = tf.cast(count if node.get("periodic", 1) else count - 1, tf.float64)
    angle = 2 * np.pi * tf.cast(tf.range(count), tf.float64) / span
    total = tf.add_n([tf.cast((-1) ** i * a, tf.float64) * tf.cos(i * angle) for i, a in enumerate(weights)])
    return tf.cast(total, kind)


@op(TARGET, "HannWindow")
def hann_window(build: Builder, node: Node, size: Value) -> Any:
    """0.5 - 0.5 cos."""
    return _window(node, size, (0.5, 0.5))


@op(TARGET, "HammingWindow")
def hamming_window(build: Builder, node: Node, size: Value) -> Any:
    """25/46 - 21/46 cos, as the standard has it."""
    return _window(node, size, (25 / 46, 21 / 46))


@op(TARGET, "BlackmanWindow")
def blackman_window(build: Builder, node: Node, size: Value) -> Any:
    """0.42 - 0.5 cos + 0.08 cos 2."""
    return _window(node, size, (0.42, 0.5, 0.08))


@op(TARGET, "MeanVarianceNormalization")
def mean_variance_normalization(build: Builder, node: Node, x: Value) -> Any:
    """(x - mean) / (deviation + 1e-9) over the axes."""
    tensor = x.tensor
    axes = node.get("axes", [0, 2, 3])
    mean = tf.reduce_mean(tensor, axes, keepdims=True)
    variance = tf.reduce_mean(tensor * tensor, axes, keepdims=True) - mean * mean
    return (tensor - mean) / (tf.sqrt(variance) + tf.cast(1e-9, tensor.dtype))
