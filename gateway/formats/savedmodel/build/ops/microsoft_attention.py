"""com.microsoft's attention, as onnxruntime's optimiser and the transformer exporters write it."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from gateway.formats.savedmodel.build.graph import TARGET, Builder
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.ops.attention import rotary_embedding
from gateway.formats.savedmodel.build.ops.microsoft import MS
from gateway.formats.savedmodel.build.values import Value
from gateway.graph.registry import op

MASKED = -10000.0  # onnxruntime's default for what a mask takes out


def _heads(tensor: Any, count: int) -> Any:
    """(B, T, heads size) -> (B, heads, T, size)."""
    shape = tf.shape(tensor)
    size = tensor.shape[-1] // count
    return tf.transpose(tf.reshape(tensor, tf.stack([shape[0], shape[1], count, size])), [0, 2, 1, 3])


def _joined(tensor: Any) -> Any:
    """(B, heads, T, size) -> (B, T, heads size)."""
    shape = tf.shape(tensor)
    width = tensor.shape[1] * tensor.shape[3]
    return tf.reshape(tf.transpose(tensor, [0, 2, 1, 3]), tf.stack([shape[0], shape[2], width]))


def _attended(node: Node, q: Any, k: Any, v: Any, added: Any) -> Any:
    """softmax(scale Q K' + added) V of (B, heads, T, size); causal where `unidirectional`."""
    scale = node.get("scale") or 1 / math.sqrt(q.shape[3])
    scores = tf.matmul(q, k, transpose_b=True) * tf.cast(scale, q.dtype)
    if node.get("unidirectional", 0):
        rows, columns = tf.shape(q)[2], tf.shape(k)[2]
        allowed = tf.range(columns)[None, :] <= tf.range(rows)[:, None] + columns - rows
        scores = tf.where(allowed, scores, tf.cast(scores.dtype.min, scores.dtype))
    scores = scores if added is None else scores + tf.cast(added, scores.dtype)
    return tf.matmul(tf.nn.softmax(scores), v)


def _mask(node: Node, mask: Value | None, queries: Any, keys: Any) -> Any:
    """What a mask adds to the scores, rank 4. (B,) are lengths; (2B,) ends, then starts; (B, keys), (B, queries, keys)
    and (B, 1, keys, keys) are 1 where one may look. Errors: ValueError for another.
    """
    if mask is None:
        return None
    given, rank = mask.tensor, mask.rank
    value = node.get("mask_filter_value", MASKED)
    if rank == 1:
        count = mask.shape[0]
        if count is not None and count % 3 == 2 and count > 2:
            raise ValueError("a mask of packed sequences")
        places = tf.range(keys)[None, :]
        there = places < given[:, None]
        return tf.where(there, 0.0, value)[:, None, None, :]
    if rank == 4:
        given = given[:, :, keys - queries : keys, :keys]
    elif rank == 3:
        given = given[:, None, :, :]
    elif rank == 2:
        given = given[:, None, None, :]
    else:
        raise ValueError(f"a mask of rank {rank}")
    return (1.0 - tf.cast(given, tf.float32)) * value


@op(TARGET, f"{MS}Attention")
def attention(
    build: Builder,
    node: Node,
    x: Value,
    w: Value,
    b: Value | None = None,
    mask: Value | None = None,
    past: Value | None = None,
    added: Value | None = None,
    past_length: Value | None = None,
) -> Any:
    """Q, K and V from one product, attention, heads put together; past (2, B, heads, T, size) in front."""
    if node.get("do_rotary", 0) or node.get("past_present_share_buffer", 0):
        raise ValueError("Attention with do_rotary or a shared buffer")
    count = int(node.get("num_heads"))
    total = tf.matmul(x.tensor, w.tensor) if w.rank == 2 else x.tensor
    total = total if b is None else total + b.tensor
    whole = int(total.shape[-1])
    sizes = list(node.get("qkv_hidden_sizes", [])) or [whole // 3] * 3
    q, k, v = (_heads(part, count) for part in tf.split(total, sizes, -1))
    if past is not None:
        before = past.tensor
        k, v = tf.concat([before[0], k], 2), tf.concat([before[1], v], 2)
    bias = _mask(node, mask, tf.shape(q)[2], tf.shape(k)[2])
    if added is not None:
        bias = added.tensor if bias is None else bias + added.tensor
    answer = _joined(_attended(node, q, k, v, bias))
    return answer, tf.stack([k, v]) if len(node.outputs) > 1 else None


def _projected(query: Value, key: Value | None, value: Value | None, count: int, bias: Value | None) -> list[Any]:
    """Q, K and V (B, heads, T, size): three tensors, or packed in one or two; a bias is of all three."""
    q = query.tensor
    if len(q.shape) == 5:  # (B, T, heads, 3, size)
        return [tf.transpose(q[:, :, :, part], [0, 2, 1, 3]) for part in range(3)]
    if key is None:
        raise ValueError("MultiHeadAttention without keys")
    k = key.tensor
    if len(k.shape) == 5:  # (B, T, heads, 2, size)
        if bias is not None:
            q = q + bias.tensor[: q.shape[-1]]
        return [_heads(q, count), *[tf.transpose(k[:, :, :, part], [0, 2, 1, 3]) for part in range(2)]]
    if value is None:
        raise ValueError("MultiHeadAttention without values")
    v = value.tensor
    if len(k.shape) == 4:  # (B, heads, T, size): already apart
        return [_heads(q if bias is None else q + bias.tensor[: q.shape[-1]], count), k, v]
    if bias is not None:
        first, second = q.shape[-1], q.shape[-1] + k.shape[-1]
        q, k, v = q + bias.tensor[:first], k + bias.tensor[first:second], v + bias.tensor[second:]
    return [_heads(part, count) for part in (q, k, v)]


@op(TARGET, f"{MS}MultiHeadAttention")
def multi_head_attention(
    build: Builder,
    node: Node,
    query: Value,
    key: Value | None = None,
    value: Value | None = None,
    bias: Value | None = None,
    padding: Value | None = None,
    added: Value | None = None,
    past_key: Value | None = None,
    past_value: Value | None = None,
    past_length: Value | None = None,
    cache: Value | None = None,
) -> Any:
    """Attention of projected queries, keys and values; caches are put in front, and given back."""
    if past_length is not None or cache is not None:
        raise ValueError("MultiHeadAttention with a shared buffer")
    q, k, v = _projected(query, key, value, int(node.get("num_heads")), bias)
    if past_key is not None and past_value is not None:
        k, v = tf.concat([past_key.tensor, k], 2), tf.concat([past_value.tensor, v], 2)
    scores = _mask(node, padding, tf.shape(q)[2], tf.shape(k)[2])
    if added is not None:
        scores = added.tensor if scores is None else scores + added.tensor
    return _joined(_attended(node, q, k, v, scores)), k, v


@op(TARGET, f"{MS}RotaryEmbedding")
def rotary(build: Builder, node: Node, x: Value, positions: Value, cos: Value, sin: Value) -> Any:
    """Positions are (B, T), or one number from which they count on."""
    if node.get("is_packed_batching", 0):
        raise ValueError("RotaryEmbedding of packed batches")
    tensor, places = x.tensor, positions.tensor
    four = len(tensor.shape) == 4
    shape = tf.shape(tensor)
    if positions.rank == 1:
        length = shape[2] if four else shape[1]
        places = places[0] + tf.range(length, dtype=places.dtype)[None, :]
        places = tf.broadcast_to(places, tf.stack([shape[0], length]))
    if not four and not node.get("num_heads", 0):  # the head's size is that of the tables
        size = (cos.shape[1] or 0) * 2
        node = _with(node, num_heads=int(tensor.shape[2]) // size)
    return rotary_embedding(build, node, x, cos, sin, Value(places))


def _with(node: Node, **attributes: Any) -> Node:
    return Node(node.op, node.name, node.since, {**node.attributes, **attributes}, node.inputs, node.outputs)


@op(TARGET, f"{MS}GroupQueryAttention")
def group_query_attention(
    build: Builder,
    node: Node,
    query: Value,
    key: Value | None,
    value: Value | None,
    past_key: Value | None,
    past_value: Value | None,
    lengths: Value,
    total: Value,
    cos: Value | None = None,
    sin: Value | None = None,
    positions: Value | None = None,
    *more: Value | None,
) -> Any:
    """Causal attention with fewer heads for keys than for queries; the cache is that of a batch of whole sequences.

    lengths (B,) is the number of keys of each less one. Errors: ValueError for what only newer engines write.
    """
    refused = [name for name in ("do_rotary", "smooth_softmax", "sliding_window_cache", "qk_output") if node.get(name)]
    if refused or any(item is not None for item in more) or node.get("causal", 1) == 0:
        raise ValueError(f"GroupQueryAttention with {', '.join(refused) or 'quantised caches or biases'}")
    count, pairs = int(node.get("num_heads")), int(node.get("kv_num_heads"))
    if key is None or value is None:
        size = int(query.tensor.shape[-1]) // (count + 2 * pairs)
        q, k, v = tf.split(query.tensor, [count * size, pairs * size, pairs * size], -1)
    else:
        q, k, v = query.tensor, key.tensor, value.tensor
    q, k, v = _heads(q, count), _heads(k, pairs), _heads(v, pairs)
    if past_key is not None and past_value is not None:
        k, v = tf.concat([past_key.tensor, k], 2), tf.concat([past_value.tensor, v], 2)
    rows, columns = tf.shape(q)[2], tf.shape(k)[2]
    distance = tf.range(rows)[:, None] + columns - rows - tf.range(columns)[None, :]
    window = node.get("local_window_size", -1)
    allowed = (distance >= 0) & (distance < window) if window > 0 else distance >= 0
    wide_k, wide_v = tf.repeat(k, count // pairs, 1), tf.repeat(v, count // pairs, 1)
    scale = node.get("scale") or 1 / math.sqrt(int(q.shape[3]))
    scores = tf.matmul(q, wide_k, transpose_b=True) * tf.cast(scale, q.dtype)
    cap = node.get("softcap", 0.0)
    scores = tf.tanh(scores / cap) * cap if cap else scores
    scores = tf.where(allowed, scores, tf.cast(scores.dtype.min, scores.dtype))
    return _joined(tf.matmul(tf.nn.softmax(scores), wide_v)), k, v
