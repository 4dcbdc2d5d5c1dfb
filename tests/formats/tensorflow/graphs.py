"""Graphs as TensorFlow 1 programs write them: frozen, or with a checkpoint. Runs in Environment `tensorflow`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np


def _v1() -> Any:
    import tensorflow as tf  # noqa: TID251

    return tf.compat.v1


def _weight(v1: Any, name: str, *shape: int, resource: bool = False) -> Any:
    value = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
    return v1.get_variable(name, initializer=value * 0.4, use_resource=resource)


def classifier(v1: Any) -> Any:
    """A convolution, batch norm of both phases behind a v1 cond, dropout, a loss, Adam, a summary."""
    tf = __import__("tensorflow")
    x = v1.placeholder(tf.float32, [None, 12, 12, 3], "picture")
    phase = v1.placeholder(tf.bool, [], "is_training")
    keep = v1.placeholder_with_default(1.0, [], "keep_prob")
    labels = v1.placeholder(tf.int64, [None], "labels")
    y = tf.nn.conv2d(x, _weight(v1, "conv/w", 3, 3, 3, 6), 1, "SAME") + _weight(v1, "conv/b", 6)
    mean, variance = _weight(v1, "bn/mean", 6), tf.exp(_weight(v1, "bn/log", 6))
    batch = list(tf.nn.moments(y, [0, 1, 2]))
    used = v1.cond(phase, lambda: batch, lambda: [tf.identity(mean), tf.identity(variance)])
    y = tf.nn.relu((y - used[0]) * v1.rsqrt(used[1] + 1e-3))
    y = v1.nn.dropout(tf.reduce_mean(y, [1, 2]), keep_prob=keep)
    logits = tf.add(tf.matmul(y, _weight(v1, "fc/w", 6, 4)), _weight(v1, "fc/b", 4), name="logits")
    tf.nn.softmax(logits, name="probabilities")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits), name="loss")
    v1.summary.scalar("loss_seen", loss)
    v1.train.AdamOptimizer(0.01).minimize(loss, name="train_op")


def rolled(v1: Any) -> Any:
    """A loop of v1 control flow: Enter, Merge, Switch, NextIteration, Exit."""
    tf = __import__("tensorflow")
    x = v1.placeholder(tf.float32, [None, 4], "x")
    w = _weight(v1, "w", 4, 4)
    _, y = v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.tanh(tf.matmul(y, w))), [tf.constant(0), x])
    tf.identity(y, "answer")


def embedded(v1: Any) -> Any:
    """Words by number, in a resource variable."""
    tf = __import__("tensorflow")
    ids = v1.placeholder(tf.int32, [None, 5], "ids")
    found = v1.nn.embedding_lookup(_weight(v1, "table", 120, 6, resource=True), ids)
    tf.reduce_mean(found, 1, name="embedding")


def recurrent(v1: Any) -> Any:
    """An LSTM cell by hand in a loop of v1, with a TensorArray, as dynamic_rnn made them."""
    tf = __import__("tensorflow")
    x = v1.placeholder(tf.float32, [None, 6, 5], "x")
    kernel, bias = _weight(v1, "lstm/kernel", 5 + 4, 16), _weight(v1, "lstm/bias", 16)
    steps = tf.TensorArray(tf.float32, 6).unstack(tf.transpose(x, [1, 0, 2]))
    zero = tf.zeros(tf.stack([tf.shape(x)[0], 4]))

    def step(at: Any, memory: Any, answer: Any, answers: Any) -> Any:
        gates = tf.matmul(tf.concat([steps.read(at), answer], 1), kernel) + bias
        i, j, f, o = tf.split(gates, 4, 1)
        memory = tf.sigmoid(f + 1.0) * memory + tf.sigmoid(i) * tf.tanh(j)
        answer = tf.tanh(memory) * tf.sigmoid(o)
        return at + 1, memory, answer, answers.write(at, answer)

    start = [tf.constant(0), zero, zero, tf.TensorArray(tf.float32, 6)]
    _, _, last, every = v1.while_loop(lambda at, *_: at < 6, step, start)
    tf.transpose(every.stack(), [1, 0, 2], name="every")
    tf.matmul(last, _weight(v1, "fc/w", 4, 3), name="last")


def slim(v1: Any) -> Any:
    """A MobileNet as TF-Slim wrote them: convolutions apart, batch norm fused, relu6, spatial squeeze."""
    tf = __import__("tensorflow")
    y = v1.placeholder(tf.float32, [None, 64, 64, 3], "input")
    width = 3
    for number, (wide, step) in enumerate([(8, 2), (16, 1), (32, 2), (32, 1), (48, 2), (64, 2)]):
        with v1.variable_scope(f"MobilenetV1/Conv2d_{number}"):
            if number:
                y = tf.nn.depthwise_conv2d(
                    y, _weight(v1, "depthwise_weights", 3, 3, width, 1), [1, step, step, 1], "SAME"
                )
                y = _normed(v1, y, width, "depthwise")
            kernel = _weight(v1, "weights", *((1, 1) if number else (3, 3)), width, wide)
            y = _normed(v1, tf.nn.conv2d(y, kernel, 1 if number else step, "SAME"), wide, "pointwise")
            width = wide
    y = tf.nn.avg_pool2d(y, 4, 1, "VALID")
    y = tf.nn.conv2d(y, _weight(v1, "Logits/weights", 1, 1, 64, 10), 1, "SAME") + _weight(v1, "Logits/biases", 10)
    tf.nn.softmax(tf.squeeze(y, [1, 2], name="SpatialSqueeze"), name="Predictions")


def _normed(v1: Any, y: Any, width: int, name: str) -> Any:
    tf = __import__("tensorflow")
    with v1.variable_scope(name):
        told = [tf.abs(_weight(v1, word, width)) + 0.5 for word in ("gamma", "variance")]
        moved = [_weight(v1, word, width) for word in ("beta", "mean")]
        y, *_ = v1.nn.fused_batch_norm(y, told[0], moved[0], moved[1], told[1], is_training=False)
    return tf.nn.relu6(y)


def residual(v1: Any) -> Any:
    """Blocks of a ResNet, padding by hand, max pooling, strides in the first convolution."""
    tf = __import__("tensorflow")
    y = v1.placeholder(tf.float32, [None, 32, 32, 3], "images")
    y = tf.nn.conv2d(tf.pad(y, [[0, 0], [3, 3], [3, 3], [0, 0]]), _weight(v1, "conv1", 7, 7, 3, 8), 2, "VALID")
    y = tf.nn.max_pool2d(_normed(v1, y, 8, "bn1"), 3, 2, "SAME")
    width = 8
    for number, (wide, step) in enumerate([(8, 1), (16, 2), (32, 2)]):
        with v1.variable_scope(f"block{number}"):
            short = tf.nn.conv2d(y, _weight(v1, "shortcut", 1, 1, width, wide), step, "SAME")
            y = _normed(v1, tf.nn.conv2d(y, _weight(v1, "a", 3, 3, width, wide), step, "SAME"), wide, "bn_a")
            y = tf.nn.relu(short + 0.2 * tf.nn.conv2d(y, _weight(v1, "b", 3, 3, wide, wide), 1, "SAME"))
            width = wide
    y = tf.reduce_mean(y, [1, 2], name="pool5")
    tf.nn.softmax(tf.matmul(y, _weight(v1, "logits/w", 32, 7)) + _weight(v1, "logits/b", 7), name="softmax_tensor")


def upsampled(v1: Any) -> Any:
    """A transposed convolution, resizing by a factor, dilation by space_to_batch, an ArgMax."""
    tf = __import__("tensorflow")
    x = v1.placeholder(tf.float32, [None, 12, 10, 2], "image")
    y = tf.nn.relu(tf.nn.conv2d(x, _weight(v1, "down", 3, 3, 2, 6), 2, "SAME"))
    y = tf.nn.atrous_conv2d(y, _weight(v1, "wide", 3, 3, 6, 6), 2, "SAME")
    shape = tf.stack([tf.shape(x)[0], 12, 10, 4])
    y = tf.nn.conv2d_transpose(y, _weight(v1, "up", 3, 3, 4, 6), shape, [1, 2, 2, 1], "SAME")
    y = v1.image.resize_bilinear(y, [24, 20], align_corners=True)
    tf.identity(y, "scores")
    tf.argmax(y, 3, name="classes")


def two(v1: Any) -> Any:
    """Two outputs, one reading what the other gives."""
    tf = __import__("tensorflow")
    x = v1.placeholder(tf.float32, [None, 6], "x")
    tf.nn.l2_normalize(tf.matmul(x, _weight(v1, "w", 6, 3)), 1, name="embeddings")
    tf.matmul(x, _weight(v1, "v", 6, 2), name="score")


def _session(build: Callable[[Any], Any]) -> Any:
    v1 = _v1()
    v1.disable_control_flow_v2()
    graph = v1.Graph()
    with graph.as_default():
        v1.set_random_seed(4)
        build(v1)
        session = v1.Session(graph=graph)
        session.run(v1.global_variables_initializer())
    return session


OUTPUTS = {
    "classifier": ["probabilities"], "rolled": ["answer"], "embedded": ["embedding"], "two": ["embeddings", "score"],
    "recurrent": ["every", "last"], "slim": ["Predictions"], "residual": ["softmax_tensor"],
    "upsampled": ["scores", "classes"],
}  # fmt: skip


def frozen(folder: Path, *, net: str = "classifier") -> None:
    v1 = _v1()
    session = _session(globals()[net])
    graph = v1.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), OUTPUTS[net])
    for node in graph.node:  # as graphs of old tools have it
        node.attr["_output_shapes"].list.shape.add().dim.add().size = 1
    (folder / "frozen.pb").write_bytes(graph.SerializeToString())


def checkpoint(folder: Path, *, net: str = "classifier", version: int = 2, name: str = "model.ckpt-7",
               partial: bool = False) -> None:  # fmt: skip
    v1 = _v1()
    session = _session(globals()[net])
    with session.graph.as_default():
        every = v1.global_variables()
        saver = v1.train.Saver(every[1:] if partial else every, write_version=version)
        saver.save(session, str(folder / name))
    (folder / "checkpoint").write_text('model_checkpoint_path: "/home/gone/model.ckpt-7"\n')


def checkpoint_without_prefix(folder: Path) -> None:
    checkpoint(folder)
    for path in sorted(folder.glob("model.ckpt-7.*")):
        path.rename(folder / path.name.removeprefix("model.ckpt-7"))


def meta_alone(folder: Path) -> None:
    checkpoint(folder)
    for path in sorted(folder.glob("*.ckpt-7.[id]*")):
        path.unlink()


def with_variables(folder: Path) -> None:
    """Not frozen."""
    session = _session(rolled)
    (folder / "graph.pb").write_bytes(session.graph.as_graph_def().SerializeToString())


def cut_short(folder: Path) -> None:
    frozen(folder)
    whole = (folder / "frozen.pb").read_bytes()
    (folder / "frozen.pb").write_bytes(whole[: len(whole) // 2])


def writes_files(folder: Path) -> None:
    tf = __import__("tensorflow")
    v1 = _v1()
    with v1.Graph().as_default() as graph:
        x = v1.placeholder(tf.string, [], "x")
        with tf.control_dependencies([tf.raw_ops.WriteFile(filename="/tmp/planted", contents=x)]):
            tf.identity(x, "y")
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())


def saved_tf1(folder: Path, *, net: str = "two", given: str = "x", outputs: Sequence[str] = ("score",)) -> None:
    """A SavedModel as TensorFlow 1 writes it, one signature."""
    v1 = _v1()
    session = _session(globals()[net])
    with session.graph.as_default():
        sides = [{n: session.graph.get_tensor_by_name(f"{n}:0") for n in side} for side in ([given], outputs)]
        v1.saved_model.simple_save(session, str(folder / "in"), *sides)
    for path in sorted((folder / "in").rglob("*")):
        wanted = folder / path.relative_to(folder / "in")
        wanted.mkdir() if path.is_dir() else wanted.write_bytes(path.read_bytes())
    import shutil

    shutil.rmtree(folder / "in")
