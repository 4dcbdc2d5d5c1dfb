"""Attention and what goes with it: rotary positions, causal convolution with state, linear attention, cache updates."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.layout import positive
from gateway.formats.savedmodel.build.node import Node, tf_dtype
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op

MODE_SCORES, MODE_BIASED, MODE_SOFTMAX = 0, 2, 3


def _heads(tensor: Any, count: int) -> Any:
    """(B, T, heads size) -> (B, heads, T, size)."""
    shape = tf.shape(tensor)
    size = tensor.shape[2] // count if tensor.shape[2] is not None else -1
    return tf.transpose(tf.reshape(tensor, tf.stack([shape[0], shape[1], count, size])), [0, 2, 1, 3])


def _joined(tensor: Any) -> Any:
    """(B, heads, T, size) -> (B, T, heads size)."""
    moved = tf.transpose(tensor, [0, 2, 1, 3])
    shape = tf.shape(moved)
    width = None if None in (moved.shape[2], moved.shape[3]) else moved.shape[2] * moved.shape[3]
    return tf.reshape(moved, tf.stack([shape[0], shape[1], -1 if width is None else width]))


def _infinity(kind: Any) -> Any:
    return tf.cast(-math.inf, kind)


def _bias(node: Node, q: Any, k: Any, mask: Value | None, past: Any, valid: Value | None) -> Any:
    """What is added to the scores: 0 where a query may look, -inf where not; rank 2 to 4."""
    kind = q.dtype
    zero = tf.cast(0, kind)
    rows, columns = tf.shape(q)[2], tf.shape(k)[2]
    bias: Any = tf.zeros(tf.stack([rows, columns]), kind)
    if mask is not None:
        given = mask.tensor
        missing = tf.maximum(columns - tf.shape(given)[-1], 0)
        edges = [[0, 0]] * (len(given.shape) - 1) + [[0, missing]]
        if given.dtype == tf.bool:
            given = tf.where(tf.pad(given, edges), zero, _infinity(kind))
        else:
            given = tf.cast(tf.pad(given, edges, constant_values=_infinity(given.dtype)), kind)
        bias = bias + given
    if valid is not None:
        ahead = tf.reshape(tf.cast(valid.tensor, tf.int32) - rows, [-1, 1, 1, 1])
    else:
        ahead = 0 if past is None else tf.shape(past)[2]
    query = tf.range(rows)[:, None] + ahead
    distance = query - tf.range(columns)[None, :]
    allowed = None
    if node.get("is_causal", 0):
        allowed = distance >= 0
    left, right = node.get("left_window_size", -1), node.get("right_window_size", -1)
    for bound, reach in ((left, distance), (right, -distance)):
        if bound >= 0:
            inside = reach <= bound
            allowed = inside if allowed is None else allowed & inside
    if allowed is not None:
        bias = bias + tf.where(allowed, zero, _infinity(kind))
    if valid is not None:
        there = tf.range(columns)[None, None, None, :] < tf.reshape(tf.cast(valid.tensor, tf.int32), [-1, 1, 1, 1])
        bias = bias + tf.where(there, zero, _infinity(kind))
    return bias


@op(TARGET, "Attention")
def attention(
    build: Builder,
    node: Node,
    q_: Value,
    k_: Value,
    v_: Value,
    mask: Value | None = None,
    past_key: Value | None = None,
    past_value: Value | None = None,
    valid: Value | None = None,
) -> Any:
    """softmax(Q K' scale + bias) V, heads grouped where keys have fewer; caches are put in front of keys and values."""
    q, k, v = q_.tensor, k_.tensor, v_.tensor
    flat = len(q.shape) == 3
    if flat:
        q, k, v = (
            _heads(q, node.get("q_num_heads")),
            _heads(k, node.get("kv_num_heads")),
            _heads(v, node.get("kv_num_heads")),
        )
    scale = node.get("scale")
    root = (
        tf.cast(math.sqrt(scale), q.dtype)
        if scale is not None
        else tf.cast(1 / tf.sqrt(tf.sqrt(tf.cast(tf.shape(q)[3], tf.float64))), q.dtype)
    )
    past = None if past_key is None else past_key.tensor
    if past is not None and past_value is not None:
        k, v = tf.concat([past, k], 2), tf.concat([past_value.tensor, v], 2)
    present_key, present_value = k, v
    bias = _bias(node, q, k, mask, past, valid)
    if q.shape[1] != k.shape[1] and q.shape[1] and k.shape[1]:
        k, v = tf.repeat(k, q.shape[1] // k.shape[1], 1), tf.repeat(v, q.shape[1] // v.shape[1], 1)
    scores = tf.matmul(q * root, k * root, transpose_b=True)
    shown = scores
    cap = node.get("softcap", 0.0)
    if cap:
        scores = tf.tanh(scores / tf.cast(cap, q.dtype)) * tf.cast(cap, q.dtype)
        shown = scores
    biased = scores + bias
    mode = node.get("qk_matmul_output_mode", MODE_SCORES)
    shown = biased if mode == MODE_BIASED else shown
    precise = tf.cast(biased, tf_dtype(node.get("softmax_precision"))) if node.get("softmax_precision") else biased
    nothing = tf.equal(tf.reduce_max(bias, -1, keepdims=True), _infinity(bias.dtype))
    safe = tf.where(nothing, tf.zeros_like(precise), precise)
    share = tf.where(nothing, tf.cast(0, precise.dtype), tf.nn.softmax(safe))
    share = tf.cast(share, q.dtype)
    shown = share if mode == MODE_SOFTMAX else shown
    answer = tf.matmul(share, v)
    return _joined(answer) if flat else answer, present_key, present_value, shown


@op(TARGET, "RotaryEmbedding")
def rotary_embedding(
    build: Builder, node: Node, x: Value, cos: Value, sin: Value, positions: Value | None = None
) -> Any:
    """Pairs of features turned by an angle that grows with the position."""
    tensor = x.tensor
    four = len(tensor.shape) == 4
    shape = tf.shape(tensor)
    if four:
        tensor = tf.transpose(tensor, [0, 2, 1, 3])
    else:
        heads = node.get("num_heads", 0)
        tensor = tf.reshape(tensor, tf.stack([shape[0], shape[1], heads, tensor.shape[2] // heads]))
    width = node.get("rotary_embedding_dim", 0) or tensor.shape[3]
    turned, kept = tensor[..., :width], tensor[..., width:]
    c, s = cos.tensor, sin.tensor
    if positions is not None:
        c, s = tf.gather(c, positions.tensor), tf.gather(s, positions.tensor)
    c, s = c[:, :, None, :], s[:, :, None, :]
    interleaved = bool(node.get("interleaved", 0))
    one, other = (turned[..., 0::2], turned[..., 1::2]) if interleaved else tf.split(turned, 2, -1)
    real, imaginary = c * one - s * other, s * one + c * other
    if interleaved:
        turned = tf.reshape(tf.stack([real, imaginary], -1), tf.shape(turned))
    else:
        turned = tf.concat([real, imaginary], -1)
    made = tf.concat([turned, kept], -1)
    return tf.transpose(made, [0, 2, 1, 3]) if four else tf.reshape(made, shape)


@op(TARGET, "CausalConvWithState")
def causal_conv_with_state(
    build: Builder, node: Node, x: Value, w: Value, b: Value | None = None, past: Value | None = None
) -> Any:
    """Each channel with its own taps over what came before; the last taps are the state."""
    tensor, taps = x.tensor, w.shape[2]
    assert taps is not None
    shape = tf.shape(tensor)
    before = past.tensor if past is not None else tf.zeros(tf.stack([shape[0], shape[1], taps - 1]), tensor.dtype)
    whole = tf.concat([before, tensor], 2)
    weights, length = tf.cast(w.tensor, tf.float32), shape[2]
    whole_wide = tf.cast(whole, tf.float32)
    total = tf.add_n([whole_wide[:, :, tap : tap + length] * weights[None, :, 0, tap, None] for tap in range(taps)])
    total = total if b is None else total + tf.cast(b.tensor, tf.float32)[None, :, None]
    total = tf.cast(total, tensor.dtype)
    if node.get("activation", "none") in ("silu", "swish"):
        wide = tf.cast(total, tf.float32)
        total = tf.cast(wide * tf.sigmoid(wide), tensor.dtype)
    return total, whole[:, :, tf.shape(whole)[2] - (taps - 1) :]


@op(TARGET, "LinearAttention")
def linear_attention(
    build: Builder,
    node: Node,
    q_: Value,
    k_: Value,
    v_: Value,
    past: Value | None = None,
    decay: Value | None = None,
    beta: Value | None = None,
) -> Any:
    """A state of key-value products, decayed and corrected as `update_rule` says, read by each query; in float32."""
    queries, keys = node.get("q_num_heads"), node.get("kv_num_heads")
    rule = node.get("update_rule", "gated_delta")
    kind = q_.dtype
    q, k, v = (
        tf.cast(_heads(value.tensor, count), tf.float32) for value, count in ((q_, queries), (k_, keys), (v_, keys))
    )
    width = q.shape[3]
    scale = node.get("scale", 0.0) or 1 / math.sqrt(width)
    gates = None
    if rule in ("gated", "gated_delta") and decay is not None:
        gates = tf.cast(_heads(decay.tensor, keys), tf.float32)
    share = None
    if rule in ("delta", "gated_delta") and beta is not None:
        share = tf.cast(tf.transpose(beta.tensor, [0, 2, 1])[..., None], tf.float32)
    shape = tf.shape(v)
    state = (
        tf.cast(past.tensor, tf.float32)
        if past is not None
        else tf.zeros(tf.stack([shape[0], keys, width, shape[3]]), tf.float32)
    )
    rows = tf.TensorArray(tf.float32, shape[2], element_shape=[q.shape[0], queries, v.shape[3]])

    def step(time: Any, state: Any, rows: Any) -> Any:
        key, value = k[:, :, time], v[:, :, time]
        if gates is not None:
            state = state * tf.exp(gates[:, :, time])[..., None]
        if share is not None:
            value = share[:, :, time] * (value - tf.einsum("bhdm,bhd->bhm", state, key))
        state = state + key[..., :, None] * value[..., None, :]
        read = tf.repeat(state, queries // keys, 1)
        return time + 1, state, rows.write(time, scale * tf.einsum("bhd,bhdm->bhm", q[:, :, time], read))

    free = tf.TensorShape([None, keys, width, None])
    _, state, rows = tf.while_loop(
        lambda time, state, rows: time < shape[2],
        step,
        (tf.constant(0), state, rows),
        shape_invariants=(tf.TensorShape([]), free, tf.TensorShape(None)),
    )
    answer = tf.transpose(rows.stack(), [1, 0, 2, 3])  # (T, B, heads, m) -> (B, T, heads, m)
    answer = tf.reshape(answer, tf.stack([shape[0], shape[2], queries * shape[3]]))
    return tf.cast(answer, kind), tf.cast(state, kind if past is None else past.dtype)


@op(TARGET, "TensorScatter")
def tensor_scatter(build: Builder, node: Node, cache: Value, update: Value, places: Value | None = None) -> Any:
    """New entries written into a cache, each example's at its own place; round its end in circular mode."""
    tensor, new = cache.tensor, update.tensor
    rank = len(tensor.shape)
    axis = positive(node.get("axis", -2), rank)
    order = [0, axis, *[a for a in range(1, rank) if a != axis]]
    back = [order.index(a) for a in range(rank)]
    whole, rows = tf.transpose(tensor, order), tf.transpose(new, order)
    batch, count = tf.shape(rows, out_type=tf.int64)[0], tf.shape(rows, out_type=tf.int64)[1]
    start = tf.zeros([batch], tf.int64) if places is None else tf.cast(places.tensor, tf.int64)
    where = start[:, None] + tf.range(count)[None, :]
    if node.get("mode", "linear") == "circular":
        where = where % tf.shape(whole, out_type=tf.int64)[1]
    pairs = tf.stack([tf.broadcast_to(tf.range(batch)[:, None], tf.shape(where)), where], -1)
    return tf.transpose(tf.tensor_scatter_nd_update(whole, pairs, rows), back)
