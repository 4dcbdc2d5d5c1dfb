"""Nets by hand in Keras with channels last, to measure ours against: LResNet-E-IR as tests/formats/mxnet/arcface.py has
it for MXNet, the nets of torch_nets.py, and those that the authors of Keras have written, with weights by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

R100, FILTERS, EPS = (3, 13, 30, 3), (64, 64, 128, 256, 512), 2e-5


def arcface() -> Any:
    """keras.Model of (N, 112, 112, 3) pictures, 512 features."""
    import keras

    layers = keras.layers

    def norm(x: Any) -> Any:
        return layers.BatchNormalization(epsilon=EPS)(x)

    def prelu(x: Any) -> Any:
        return layers.PReLU(shared_axes=[1, 2])(x)

    def conv(x: Any, count: int, kernel: int, stride: int) -> Any:
        if kernel > 1 and stride > 1:  # MXNet pads on both sides
            x = layers.ZeroPadding2D(kernel // 2)(x)
        padding = "same" if stride == 1 else "valid"
        return layers.Conv2D(count, kernel, strides=stride, padding=padding, use_bias=False)(x)

    def unit(x: Any, count: int, stride: int, same: bool) -> Any:
        y = prelu(norm(conv(norm(x), count, 3, 1)))
        y = norm(conv(y, count, 3, stride))
        return layers.Add()([y, x if same else norm(conv(x, count, 1, stride))])

    picture = layers.Input((112, 112, 3))
    x = layers.Rescaling(0.0078125, offset=-127.5 * 0.0078125)(picture)
    x = prelu(norm(conv(x, FILTERS[0], 3, 1)))
    for stage, count in enumerate(R100, start=1):
        for number in range(count):
            x = unit(x, FILTERS[stage], 2 if number == 0 else 1, number > 0)
    x = layers.Flatten()(layers.Dropout(0.4)(norm(x)))
    return keras.Model(picture, norm(layers.Dense(512)(x)))


def unet() -> Any:
    """keras.Model of (N, 128, 128, 3) pictures: the probability of four classes for each point."""
    import keras

    layers = keras.layers

    def block(x: Any, count: int) -> Any:
        x = layers.Conv2D(count, 3, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    picture = x = layers.Input((128, 128, 3))
    kept = []
    for count in (32, 64, 128, 256):
        x = block(layers.MaxPooling2D()(x) if kept else x, count)
        kept.append(x)
    for skip in reversed(kept[:-1]):
        up = layers.Conv2DTranspose(skip.shape[-1], 2, strides=2)(x)
        x = block(layers.Concatenate()([up, skip]), skip.shape[-1])
    return keras.Model(picture, layers.Softmax()(layers.Conv2D(4, 1)(x)))


def yolo() -> Any:
    """keras.Model of (N, 128, 128, 3) pictures: rows of 25 numbers for each of 3 boxes of 64 and 16 cells."""
    import keras

    layers, ops = keras.layers, keras.ops

    def block(x: Any, count: int, stride: int = 1) -> Any:
        if stride > 1:  # torch pads on both sides
            x = layers.ZeroPadding2D(1)(x)
        x = layers.Conv2D(count, 3, strides=stride, padding="same" if stride == 1 else "valid", use_bias=False)(x)
        return layers.Activation("silu")(layers.BatchNormalization()(x))

    def head(x: Any) -> Any:
        y = layers.Conv2D(75, 1)(x)
        y = ops.sigmoid(ops.reshape(y, (-1, y.shape[1] * y.shape[2] * 3, 25)))
        return ops.concatenate([y[..., :2] * 2 - 0.5, (y[..., 2:4] * 2) ** 2, y[..., 4:]], -1)

    picture = near = layers.Input((128, 128, 3))
    for count in (16, 32, 64, 128):
        near = block(near, count, 2)
    far = block(layers.MaxPooling2D()(near), 128)
    near = block(layers.Concatenate()([near, layers.UpSampling2D()(far)]), 128)
    return keras.Model(picture, ops.concatenate([head(near), head(far)], 1))


def bert() -> Any:
    """keras.Model of ids and mask (N, T): 6 layers of 4 heads, width 256."""
    import keras

    layers, ops = keras.layers, keras.ops

    class Attention(layers.Layer):  # sizes of a call are known inside of a layer only
        def call(self, qkv: Any, mask: Any) -> Any:
            q, k, v = (
                ops.transpose(ops.reshape(part, (-1, ops.shape(qkv)[1], 4, 64)), (0, 2, 1, 3))
                for part in ops.split(qkv, 3, -1)
            )
            share = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * 0.125 + mask)
            return ops.reshape(ops.transpose(ops.matmul(share, v), (0, 2, 1, 3)), (-1, ops.shape(qkv)[1], 256))

        def compute_output_shape(self, qkv_shape: Any, mask_shape: Any = None) -> Any:
            return (*qkv_shape[:2], 256)

    class Places(layers.Layer):
        def call(self, ids: Any) -> Any:
            return ops.arange(ops.shape(ids)[1])[None]

        def compute_output_shape(self, ids_shape: Any) -> Any:
            return (1, ids_shape[1])

    def layer(x: Any, mask: Any) -> Any:
        y = Attention()(layers.Dense(768)(x), mask)
        x = layers.LayerNormalization(epsilon=1e-5)(x + layers.Dense(256)(y))
        y = layers.Dense(256)(ops.gelu(layers.Dense(1024)(x), approximate=False))
        return layers.LayerNormalization(epsilon=1e-5)(x + y)

    ids, there = layers.Input((None,), dtype="int64"), layers.Input((None,), dtype="int64")
    x = layers.Embedding(5000, 256)(ids) + layers.Embedding(512, 256)(Places()(ids))
    mask = (1 - ops.cast(there[:, None, None, :], "float32")) * -10000.0
    for _ in range(6):
        x = layer(x, mask)
    return keras.Model([ids, there], x)


def lstm() -> Any:
    """keras.Model of sequences (N, T, 64): two bidirectional layers of 128, 32 classes a step."""
    import keras

    layers = keras.layers
    given = x = layers.Input((None, 64))
    for _ in range(2):
        x = layers.Bidirectional(layers.LSTM(128, return_sequences=True))(x)
    return keras.Model(given, layers.Activation("log_softmax")(layers.Dense(32)(x)))


def application(name: str) -> Callable[[], Any]:
    def make() -> Any:
        import keras

        return getattr(keras.applications, name)(weights=None, classifier_activation=None)

    return make


NETS: dict[str, Callable[[], Any]] = {
    "arcface": arcface,
    "resnet50": application("ResNet50"),
    "mobilenetv2": application("MobileNetV2"),
    "densenet121": application("DenseNet121"),
    "inceptionv3": application("InceptionV3"),
    "unet": unet,
    "yolo": yolo,
    "bert": bert,
    "lstm": lstm,
}
