"""Environment `tensorflow`: Keras 3, Keras 2 and a SavedModel, each to ONNX by tf2onnx."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from gateway.process.child import ChildJob


def work(job: ChildJob) -> dict[str, Any]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import h5py
    import keras
    import tensorflow as tf  # noqa: TID251  this module runs in that Environment
    import tf2onnx
    import tf_keras

    x = np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype(np.float32)
    for name, maker in (("keras3", keras), ("keras2", tf_keras)):
        maker.utils.set_random_seed(0)
        layers = maker.layers
        net = maker.Sequential(
            [
                layers.Input((8, 8, 2), name="x"),
                layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
                layers.BatchNormalization(),
                layers.Conv2DTranspose(3, 3, strides=2),
                layers.GlobalAveragePooling2D(),
                layers.Dense(5, activation="softmax"),
            ]
        )
        net.save(job.out / f"{name}.h5")
        again = maker.models.load_model(job.out / f"{name}.h5")
        answer = np.asarray(again(x))
        tf.saved_model.save(again, str(job.out / name))
        loaded = tf.saved_model.load(str(job.out / name))  # its variables live as long as it does
        served = loaded.signatures["serving_default"]
        (answer_served,) = served(tf.constant(x)).values()
        np.testing.assert_allclose(np.asarray(answer_served), answer, rtol=1e-6, atol=1e-7, strict=True)
        (spec,) = served.structured_input_signature[1].values()
        tf2onnx.convert.from_function(
            tf.function(lambda x, served=served: served(x)),
            input_signature=[tf.TensorSpec(spec.shape, spec.dtype, name="x")],
            opset=18,
            output_path=str(job.out / f"{name}.onnx"),
        )
        np.savez(job.out / f"{name}.npz", x=x, y=answer)
    return {"tensorflow": tf.__version__, "keras": keras.__version__, "h5py": h5py.__version__}
