"""Nets by hand in Keras with channels last, to measure ours against: LResNet-E-IR as tests/formats/mxnet/arcface.py has
it for MXNet, the U-Net of torch_nets.py, and those that the authors of Keras have written, with weights by chance.
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
}
