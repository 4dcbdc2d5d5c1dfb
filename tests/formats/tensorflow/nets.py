"""Networks of Keras 2 and Keras 3, seeded, in every shape they are saved in. Runs in Environment `tensorflow`.

make(folder, net="unet", keras=2, form="h5")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

Net = Callable[[Any], Any]


def cnn(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((24, 20, 3), name="picture")
    y = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    y = layers.BatchNormalization()(y)
    y = layers.ReLU(6.0)(y)
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(y)
    y = layers.MaxPooling2D(3, 2, padding="same")(y)
    y = layers.SeparableConv2D(12, 3, activation="swish")(y)
    y = layers.AveragePooling2D(2, padding="same")(y)
    return keras.Model(x, layers.Dense(5, activation="softmax", name="scores")(layers.GlobalAveragePooling2D()(y)))


def dilated(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((None, None, 2), name="x")
    y = layers.Conv2D(6, 3, dilation_rate=2, padding="same", activation="elu")(x)
    y = layers.Conv2D(4, (5, 3), padding="valid", activation="selu")(y)
    return keras.Model(x, layers.LeakyReLU()(layers.BatchNormalization(center=False, scale=False)(y)))


def lstm(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((7, 4), name="x")
    y = layers.LSTM(6, return_sequences=True)(x)
    return keras.Model(x, layers.Dense(3)(layers.LSTM(5)(y)))


def gru(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((None, 4), name="x")
    y = layers.GRU(6, return_sequences=True)(x)
    return keras.Model(x, layers.GRU(5, reset_after=False)(y))


def bigru(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((7, 4), name="x")
    y = layers.Bidirectional(layers.GRU(6, return_sequences=True))(x)
    return keras.Model(x, layers.TimeDistributed(layers.Dense(3, activation="softmax"))(y))


def rnn(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((6, 3), name="x")
    return keras.Model(x, layers.SimpleRNN(5, activation="tanh")(x))


def transpose(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((6, 5, 3), name="x")
    y = layers.Conv2DTranspose(5, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(x, layers.Conv2DTranspose(2, 4, strides=2, padding="valid")(y))


def unet(keras: Any) -> Any:
    layers = keras.layers

    def twice(y: Any, width: int) -> Any:
        for _ in range(2):
            y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same")(y)))
        return y

    x = layers.Input((32, 32, 1), name="picture")
    one = twice(x, 6)
    two = twice(layers.MaxPooling2D()(one), 12)
    deep = twice(layers.MaxPooling2D()(two), 16)
    up = twice(layers.Concatenate()([layers.Conv2DTranspose(12, 2, 2, padding="same")(deep), two]), 12)
    up = twice(layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(up), one]), 6)
    return keras.Model(x, layers.Conv2D(1, 1, activation="sigmoid", name="mask")(up))


def multi(keras: Any) -> Any:
    layers = keras.layers
    left, right = layers.Input((6,), name="left"), layers.Input((4, 3), name="right")
    y = layers.Concatenate()([layers.Dense(5)(left), layers.Flatten()(right)])
    scores = layers.Dense(3, activation="softmax", name="scores")(y)
    return keras.Model([left, right], [scores, layers.Dense(1, name="value")(y)])


def shared(keras: Any) -> Any:
    layers = keras.layers
    one, two = layers.Input((6,), name="one"), layers.Input((6,), name="two")
    tower = layers.Dense(4, activation="tanh", name="tower")
    return keras.Model([one, two], layers.Dot(-1, normalize=True, name="cosine")([tower(one), tower(two)]))


def nested(keras: Any) -> Any:
    layers = keras.layers
    inner_in = layers.Input((5, 5, 2))
    inner = keras.Model(inner_in, layers.Conv2D(3, 3, activation="relu")(inner_in), name="inner")
    tail = keras.Sequential([layers.Input((3, 3, 3)), layers.Flatten(), layers.Dense(4)], name="tail")
    x = layers.Input((5, 5, 2), name="x")
    return keras.Model(x, layers.Add()([tail(inner(x)), tail(inner(layers.Dropout(0.5)(x)))]))


def preprocessing(keras: Any) -> Any:
    layers = keras.layers
    norm = layers.Normalization(axis=-1, mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.06])
    x = layers.Input((17, 13, 3), name="picture", dtype="uint8")
    y = layers.Resizing(12, 10)(norm(layers.Rescaling(1 / 255.0)(x)))
    return keras.Model(x, layers.Dense(3)(layers.Flatten()(layers.CenterCrop(8, 8)(layers.RandomFlip()(y)))))


def transformer(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((9,), name="tokens", dtype="int32")
    y = layers.Embedding(50, 16)(x)
    seen = layers.MultiHeadAttention(4, 4)(y, y)
    y = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([y, seen]))
    z = layers.Dense(16)(layers.Dense(32, activation="gelu")(y))
    y = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([y, z]))
    return keras.Model(x, layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling1D()(y)))


def masked(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((6,), name="tokens", dtype="int32")
    y = layers.Embedding(20, 5, mask_zero=True)(x)
    return keras.Model(x, layers.Dense(2)(layers.LSTM(4)(y)))


def sequence(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((16, 3), name="signal"),
            layers.Conv1D(6, 5, padding="causal", activation="relu"),
            layers.MaxPooling1D(2),
            layers.ZeroPadding1D(1),
            layers.PReLU(),
            layers.Permute((2, 1)),
            layers.Reshape((-1,)),
            layers.Dense(4, activation="hard_sigmoid"),
        ]
    )


def volume(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((6, 5, 4, 2), name="x")
    return keras.Model(x, layers.GlobalMaxPooling3D()(layers.Conv3D(4, 2, padding="same", activation="softplus")(x)))


def words(keras: Any) -> Any:
    layers = keras.layers
    x = layers.Input((), name="word", dtype="string")
    return keras.Model(x, layers.StringLookup(vocabulary=["alpha", "beta"], output_mode="int")(x))


def make(folder: Path, *, net: str, keras: int, form: str) -> None:
    """`form`: h5, keras, savedmodel, tflite, int8 (TFLite, integers inside and at the borders)."""
    chosen = _keras(keras)
    chosen.utils.set_random_seed(7)
    model = globals()[net](chosen)
    _settle(model)
    if form == "savedmodel":
        if keras == 3:
            model.export(str(folder / "model"))
        else:
            model.save(str(folder / "model"), save_format="tf")
        for path in sorted((folder / "model").rglob("*")):  # a drop is the folder itself
            wanted = folder / path.relative_to(folder / "model")
            wanted.mkdir() if path.is_dir() else wanted.write_bytes(path.read_bytes())
        _remove(folder / "model")
    elif form in ("h5", "keras"):
        model.save(str(folder / f"model.{form}"))
    else:
        (folder / "model.tflite").write_bytes(_tflite(model, form == "int8"))


def _keras(version: int) -> Any:
    if version == 2:
        import tf_keras

        return tf_keras
    import keras

    return keras


def _settle(model: Any) -> None:
    """Weights as after training: statistics of batch norm moved, biases and slopes not zero."""
    random = np.random.default_rng(11)
    moved = []
    for weight in model.get_weights():
        made = weight
        if weight.dtype.kind == "f" and weight.ndim == 1:
            made = (weight + 0.2 * np.abs(random.standard_normal(weight.shape))).astype(weight.dtype)
        moved.append(made)
    model.set_weights(moved)


def _tflite(model: Any, integers: bool) -> bytes:
    import tensorflow as tf  # noqa: TID251
    from tensorflow.python.framework.convert_to_constants import (  # noqa: TID251
        convert_variables_to_constants_v2,
    )

    shape = [1, *model.inputs[0].shape[1:]]
    kind = model.inputs[0].dtype
    spec = tf.TensorSpec(shape, kind, name="x")
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    frozen = convert_variables_to_constants_v2(function)  # else Keras 3's variables stay, which int8 cannot calibrate
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if integers:
        random = np.random.default_rng(3)

        def samples() -> Iterator[list[Any]]:
            for _ in range(30):
                yield [random.standard_normal(shape).astype(np.float32)]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
