"""Genuine files of TensorFlow and Keras: run by the Python of Environment `tensorflow`, writes into argv[1].

Each function makes one sample in a folder of its own; its name is the sample's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf
import tf_keras

v1 = tf.compat.v1


def small(module: object = keras) -> object:
    layers = module.layers
    model = module.Sequential([layers.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)])
    model.compile(loss="mse")
    return model


def functional(module: object = keras) -> object:
    layers = module.layers
    x = layers.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.BatchNormalization()(y)
    return module.Model(x, layers.Dense(5)(layers.Flatten()(y)))


def wide(module: object = keras) -> object:
    """More layers than fit into one symbol table node."""
    layers = module.layers
    return module.Sequential([layers.Input((4,)), *(layers.Dense(4) for _ in range(60))])


def frozen() -> object:
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 4], "x")
        tf.identity(tf.matmul(x, tf.constant(np.ones((4, 2), np.float32))), "y")
    return graph.as_graph_def()


class Module(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(np.ones((4, 2), np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def __call__(self, x: object) -> object:
        return tf.matmul(x, self.w)


def v1_session(save: object) -> None:
    graph = tf.Graph()
    with graph.as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], "x")
        w = v1.get_variable("w", [4, 2], use_resource=False)
        y = tf.identity(tf.matmul(x, w), "y")
        session.run(v1.global_variables_initializer())
        save(session, x, y)


def savedmodel_module(out: Path) -> None:
    tf.saved_model.save(Module(), str(out / "m"))


def savedmodel_keras(out: Path) -> None:
    small().export(str(out / "m"), verbose=False)


def savedmodel_tf_keras(out: Path) -> None:
    small(tf_keras).save(str(out / "m"), save_format="tf")


def savedmodel_v1(out: Path) -> None:
    v1_session(lambda s, x, y: v1.saved_model.simple_save(s, str(out / "m"), {"x": x}, {"y": y}))


def savedmodel_no_variables(out: Path) -> None:
    class Plain(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x: object) -> object:
            return x * 2.0

    tf.saved_model.save(Plain(), str(out / "m"))


def savedmodel_text(out: Path) -> None:
    builder = v1.saved_model.Builder(str(out / "m"))

    def save(session: object, x: object, y: object) -> None:
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save(as_text=True)

    v1_session(save)


def graphdef_frozen(out: Path) -> None:
    tf.io.write_graph(frozen(), str(out), "frozen.pb", as_text=False)


def graphdef_text(out: Path) -> None:
    tf.io.write_graph(frozen(), str(out), "frozen.pbtxt", as_text=True)


def graphdef_from_keras(out: Path) -> None:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = functional()
    call = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec([1, 8, 8, 3], tf.float32))
    tf.io.write_graph(convert_variables_to_constants_v2(call).graph, str(out), "net.pb", as_text=False)


def graphdef_stripped(out: Path) -> None:
    """As old tools left it: no versions, nodes without a device."""
    graph = frozen()
    graph.ClearField("versions")
    (out / "graph.pb").write_bytes(graph.SerializeToString())


def checkpoint_v2_with_meta(out: Path) -> None:
    v1_session(lambda s, x, y: v1.train.Saver().save(s, str(out / "model.ckpt"), global_step=3))


def checkpoint_v1_with_meta(out: Path) -> None:
    v1_session(lambda s, x, y: v1.train.Saver(write_version=v1.train.SaverDef.V1).save(s, str(out / "model.ckpt")))


def checkpoint_v1_alone(out: Path) -> None:
    checkpoint_v1_with_meta(out)
    for path in out.iterdir():
        if path.name != "model.ckpt":
            path.unlink()


def checkpoint_objects(out: Path) -> None:
    tf.train.Checkpoint(m=Module()).write(str(out / "weights"))


def checkpoint_keras_weights(out: Path) -> None:
    small(tf_keras).save_weights(str(out / "weights"), save_format="tf")


def checkpoint_index_alone(out: Path) -> None:
    checkpoint_objects(out)
    next(out.glob("*.data-*")).unlink()


def metagraph_alone(out: Path) -> None:
    v1_session(lambda s, x, y: v1.train.export_meta_graph(str(out / "graph.meta")))


def events(out: Path) -> None:
    tf.summary.create_file_writer(str(out)).flush()


def keras_v3(out: Path) -> None:
    small().save(out / "m.keras")


def keras_v3_functional(out: Path) -> None:
    functional().save(out / "m.keras")


def keras_v3_lambda(out: Path) -> None:
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]).save(out / "m.keras")


def keras_v3_renamed_zip(out: Path) -> None:
    small().save(out / "m.keras")
    (out / "m.keras").rename(out / "m.zip")


def keras_h5(out: Path) -> None:
    small().save(out / "m.h5")


def keras_h5_functional(out: Path) -> None:
    functional().save(out / "m.hdf5")


def keras_h5_tf_keras(out: Path) -> None:
    small(tf_keras).save(str(out / "m.h5"))


def keras_h5_wide(out: Path) -> None:
    wide(tf_keras).save(str(out / "m.h5"))


def keras_h5_renamed(out: Path) -> None:
    functional(tf_keras).save(str(out / "m.h5"))
    (out / "m.h5").rename(out / "m.onnx")


def keras_tf_keras_v3(out: Path) -> None:
    small(tf_keras).save(str(out / "m.keras"))


def weights_keras_3(out: Path) -> None:
    functional().save_weights(out / "m.weights.h5")


def weights_tf_keras(out: Path) -> None:
    functional(tf_keras).save_weights(str(out / "m.h5"))


def weights_tf_keras_wide(out: Path) -> None:
    wide(tf_keras).save_weights(str(out / "w.hdf5"))


def json_keras_3(out: Path) -> None:
    (out / "m.json").write_text(functional().to_json())


def json_tf_keras(out: Path) -> None:
    (out / "m.json").write_text(small(tf_keras).to_json())


def tflite_keras(out: Path) -> None:
    (out / "m.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(small()).convert())


def tflite_functional(out: Path) -> None:
    (out / "m.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(functional()).convert())


def tflite_quantised(out: Path) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(functional())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (out / "quantised.bin").write_bytes(converter.convert())


def hdf5_plain(out: Path) -> None:
    import h5py

    with h5py.File(out / "data.h5", "w") as file:
        file["x"] = np.arange(10)


def hdf5_latest(out: Path) -> None:
    import h5py

    with h5py.File(out / "data.h5", "w", libver="latest") as file:
        file["x"] = np.arange(10)
        file.attrs["note"] = "nothing of Keras"


def keras_h5_latest_layout(out: Path) -> None:
    """The same attributes as Keras writes, in the newest layout of HDF5."""
    import h5py

    with h5py.File(out / "m.h5", "w", libver="latest") as file:
        file.attrs["keras_version"] = b"2.15.0"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = small(tf_keras).to_json().encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"dense"]


def keras_h5_user_block(out: Path) -> None:
    import h5py

    with h5py.File(out / "m.h5", "w", userblock_size=512) as file:
        file.attrs["keras_version"] = b"2.3.1"
        file.attrs["model_config"] = small(tf_keras).to_json().encode()
        file.create_group("model_weights")


def main(out: Path) -> None:
    for name, make in sorted(globals().items()):
        if callable(make) and getattr(make, "__module__", "") == "__main__" and name.startswith(PREFIXES):
            folder = out / name
            folder.mkdir()
            make(folder)


PREFIXES = (
    "savedmodel",
    "graphdef",
    "checkpoint",
    "metagraph",
    "events",
    "keras_",
    "weights",
    "json",
    "tflite",
    "hdf5",
)

if __name__ == "__main__":
    main(Path(sys.argv[1]))
