"""Keras files that are not to be loaded, or not as they are. Runs in Environment `tensorflow`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.formats.tensorflow import nets


def weights_only(folder: Path) -> None:
    """Called as a whole file is, and holding no graph."""
    keras = nets._keras(2)
    model = nets.multi(keras)
    model.save_weights(str(folder / "model.h5"))


def with_lambda(folder: Path) -> None:
    keras = nets._keras(3)
    layers = keras.layers
    x = layers.Input((3,), name="x")
    keras.Model(x, layers.Lambda(lambda t: t * 2.0, output_shape=(3,), name="twice")(x)).save(str(folder / "m.keras"))


def with_lambda_of_keras_2(folder: Path) -> None:
    keras = nets._keras(2)
    layers = keras.layers
    x = layers.Input((3,), name="x")
    keras.Model(x, layers.Lambda(lambda t: t * 2.0, name="twice")(x)).save(str(folder / "m.h5"))


def with_own_layer(folder: Path) -> None:
    keras = nets._keras(3)

    class Scale(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return 3.0 * x

    x = keras.layers.Input((3,), name="x")
    keras.Model(x, Scale(name="mine")(x)).save(str(folder / "m.keras"))


def registered(folder: Path) -> None:
    keras = nets._keras(2)

    @keras.utils.register_keras_serializable("shop")
    class Scale(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return 3.0 * x

    x = keras.layers.Input((3,), name="x")
    keras.Model(x, Scale(name="mine")(x)).save(str(folder / "m.h5"))


def half(folder: Path) -> None:
    """The first half of a whole file."""
    nets.make(folder, net="multi", keras=2, form="h5")
    whole = (folder / "model.h5").read_bytes()
    (folder / "model.h5").write_bytes(whole[: len(whole) // 2])
