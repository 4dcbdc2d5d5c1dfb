"""SavedModels of others: of TensorFlow 2, of TensorFlow 1 and of Keras. A script for Environment `tensorflow`:

python make_saved.py FOLDER      writes FOLDER/tf2, FOLDER/tf1, FOLDER/keras, and FOLDER/badly_warm, which is tf2 with
                                 a warm-up request for a signature that it has not
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf  # noqa: TID251  this runs in Environment tensorflow

v1 = tf.compat.v1
WEIGHT = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
WORDS = ["alpha", "beta", "gamma"]


def table(folder: Path, name: str) -> Any:
    """Word -> its line in an asset; -1 for others."""
    path = folder / name
    path.write_text("\n".join(WORDS) + "\n")
    whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(path), tf.string, whole, tf.int64, line), default_value=-1
    )


class Two(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """`serving_default` is y = x w, `words` looks words up, `centred` is no function of single rows."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.w = tf.Variable(WEIGHT, name="w")
        self.table = table(folder, "words.txt")

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
    def product(self, x: Any) -> Any:
        return {"y": x @ self.w}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words")])
    def look_up(self, words: Any) -> Any:
        return {"ids": self.table.lookup(words), "again": tf.strings.upper(words)}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
    def centred(self, x: Any) -> Any:
        return {"y": x - tf.reduce_mean(x, 0)}


def two(folder: Path) -> None:
    model = Two(folder.parent)
    signatures = {"serving_default": model.product, "words": model.look_up, "centred": model.centred}
    tf.saved_model.save(model, str(folder), signatures=signatures)


def one(folder: Path) -> None:
    """A session's graph with a variable that is no resource, a table, a sparse input; twice, under two sets of tags."""
    builder = v1.saved_model.Builder(str(folder))
    for number, tags in enumerate((["serve"], ["serve", "other"])):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 2], "x")
            words = v1.placeholder(tf.string, [None], "words")
            sparse = v1.sparse_placeholder(tf.float32, name="sparse")
            w = v1.get_variable("w", initializer=WEIGHT, use_resource=False)
            scores = tf.add(x @ w, float(number), "scores")
            found = table(folder.parent, "old_words.txt").lookup(words)
            tensor = v1.saved_model.build_tensor_info
            signatures = {
                "serving_default": v1.saved_model.build_signature_def(
                    {"x": tensor(x), "words": tensor(words)}, {"scores": tensor(scores), "ids": tensor(found)}, "mine"
                ),
                "variable": v1.saved_model.build_signature_def({}, {"w": tensor(w)}, "mine"),
                "sparse": v1.saved_model.build_signature_def(
                    {"s": tensor(sparse)}, {"d": tensor(tf.sparse.to_dense(sparse))}, "mine"
                ),
            }
            session.run(v1.global_variables_initializer())
            more = {"signature_def_map": signatures, "main_op": v1.tables_initializer()}
            more["assets_collection"] = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
            if number == 0:
                builder.add_meta_graph_and_variables(session, tags, **more)
            else:
                builder.add_meta_graph(tags, **more)
    builder.save()


def keras(folder: Path) -> None:
    import keras

    layer = keras.layers.Dense(3, use_bias=False, name="dense")
    model = keras.Sequential([keras.Input((2,), name="x"), layer, keras.layers.BatchNormalization(epsilon=0.0)])
    layer.set_weights([WEIGHT])
    model.export(str(folder), verbose=False)


def warm(folder: Path, records: list[str]) -> None:
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as stream:
        for record in records:
            stream.write(base64.b64decode(record))


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for make, name in ((two, "tf2"), (one, "tf1"), (keras, "keras")):
        make(root / name)
    written = json.loads(Path(__file__).with_name("warmup.json").read_text())
    shutil.copytree(root / "tf2", root / "badly_warm")
    warm(root / "tf2", written["every kind"][:3])
    warm(root / "badly_warm", written["no such signature"])
