"""Graphs as TensorFlow 1 programs write them: frozen, or with a checkpoint. Runs in Environment `tensorflow`."""

from __future__ import annotations

import os
from collections.abc import Callable
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


def frozen(folder: Path, *, net: str = "classifier", outputs: tuple[str, ...] = ("probabilities",)) -> None:
    v1 = _v1()
    session = _session(globals()[net])
    graph = v1.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), list(outputs))
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


def frozen_classifier(folder: Path) -> None:
    frozen(folder)


def frozen_loop(folder: Path) -> None:
    frozen(folder, net="rolled", outputs=("answer",))


def frozen_two(folder: Path) -> None:
    frozen(folder, net="two", outputs=("embeddings", "score"))


def frozen_embedding(folder: Path) -> None:
    frozen(folder, net="embedded", outputs=("embedding",))


def checkpoint_v2(folder: Path) -> None:
    checkpoint(folder)


def checkpoint_v1(folder: Path) -> None:
    checkpoint(folder, version=1)


def checkpoint_loop(folder: Path) -> None:
    checkpoint(folder, net="rolled")


def checkpoint_embedding(folder: Path) -> None:
    checkpoint(folder, net="embedded")


def checkpoint_partial(folder: Path) -> None:
    checkpoint(folder, partial=True)


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


def saved_tf1(folder: Path) -> None:
    """A SavedModel as TensorFlow 1 writes it, one signature."""
    v1 = _v1()
    session = _session(two)
    with session.graph.as_default():
        tensor = session.graph.get_tensor_by_name
        v1.saved_model.simple_save(session, str(folder / "in"), {"x": tensor("x:0")}, {"score": tensor("score:0")})
    for path in sorted((folder / "in").rglob("*")):
        wanted = folder / path.relative_to(folder / "in")
        wanted.mkdir() if path.is_dir() else wanted.write_bytes(path.read_bytes())
    import shutil

    shutil.rmtree(folder / "in")
