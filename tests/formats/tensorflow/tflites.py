"""Small genuine TFLite files: each function gives the bytes of one. Runs in Environment `tensorflow`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FEW = np.random.default_rng(3)


def _tf() -> Any:
    import tensorflow as tf  # noqa: TID251

    return tf


def _converted(function: Any, *specs: Any, **options: Any) -> bytes:
    tf = _tf()
    concrete = tf.function(function).get_concrete_function(*specs)
    return _made(tf.lite.TFLiteConverter.from_concrete_functions([concrete]), **options)


def _made(converter: Any, **options: Any) -> bytes:
    for name, value in options.items():
        setattr(converter, name, value)
    return bytes(converter.convert())


def _weights(*shape: int) -> Any:
    return _tf().constant(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


def dense() -> bytes:
    """A free batch."""
    tf = _tf()
    w = _weights(4, 3)
    return _converted(lambda x: tf.nn.softmax(tf.matmul(x, w)), tf.TensorSpec([None, 4], tf.float32, name="img"))


def one() -> bytes:
    """A batch of one."""
    tf = _tf()
    w = _weights(3, 3, 2, 4)

    def net(x: Any) -> Any:
        y = tf.nn.conv2d(x, w, 2, "SAME")
        return {"a": tf.nn.relu6(y), "b": tf.reduce_mean(y, [1, 2])}

    return _converted(net, tf.TensorSpec([1, 9, 7, 2], tf.float32, name="x"))


def pairs() -> bytes:
    """A batch of two, rows apart."""
    tf = _tf()
    w = _weights(4, 3)
    return _converted(lambda x: tf.tanh(tf.matmul(x, w)), tf.TensorSpec([2, 4], tf.float32, name="x"))


def mixed() -> bytes:
    """A batch of two whose rows are subtracted from their mean."""
    tf = _tf()
    return _converted(lambda x: x - tf.reduce_mean(x, 0, keepdims=True), tf.TensorSpec([2, 4], tf.float32, name="x"))


def int8() -> bytes:
    """Weights per channel, integer input and output."""
    tf = _tf()
    w, v = _weights(3, 3, 2, 4), _weights(4, 3)

    def net(x: Any) -> Any:
        return tf.nn.softmax(tf.matmul(tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(x, w, 1, "SAME")), [1, 2]), v))

    def samples() -> Iterator[list[Any]]:
        for _ in range(20):
            yield [FEW.standard_normal((1, 6, 6, 2)).astype(np.float32)]

    return _converted(
        net,
        tf.TensorSpec([1, 6, 6, 2], tf.float32, name="x"),
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=samples,
        inference_input_type=tf.int8,
        inference_output_type=tf.int8,
    )


def branches() -> bytes:
    """Control flow: a loop and a branch."""
    tf = _tf()

    def net(x: Any) -> Any:
        count = tf.constant(0)
        _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 0.5 + 1.0), (count, x))
        return tf.cond(tf.reduce_sum(y) > 0, lambda: y + 1.0, lambda: y - 1.0)

    return _converted(net, tf.TensorSpec([1, 4], tf.float32, name="x"))


def flattened() -> bytes:
    """A fully connected operator that reads what a convolution gives, as older converters leave out the RESHAPE."""
    from tensorflow.lite.python import schema_py_generated as schema  # noqa: TID251
    from tensorflow.lite.tools import flatbuffer_utils as utils  # noqa: TID251

    tf = _tf()
    w, v, b = _weights(3, 3, 2, 4), _weights(4 * 5 * 4, 3), _weights(3)

    def net(x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv2d(x, w, 1, "VALID"))
        return tf.nn.relu(tf.matmul(tf.reshape(y, [1, 4 * 5 * 4]), v) + 3.0 * b)

    model = utils.read_model_from_bytearray(
        bytearray(_converted(net, tf.TensorSpec([1, 6, 7, 2], tf.float32, name="x")))
    )
    graph, codes = model.subgraphs[0], [code.builtinCode for code in model.operatorCodes]
    kinds = [codes[operator.opcodeIndex] for operator in graph.operators]
    reshape = graph.operators[kinds.index(schema.BuiltinOperator.RESHAPE)]
    dense = graph.operators[kinds.index(schema.BuiltinOperator.FULLY_CONNECTED)]
    dense.inputs[0] = reshape.inputs[0]
    graph.operators.remove(reshape)
    return bytes(utils.convert_object_to_bytearray(model))


def circle() -> bytes:
    """A loop whose body is the graph that holds the loop."""
    from tensorflow.lite.python import schema_py_generated as schema  # noqa: TID251
    from tensorflow.lite.tools import flatbuffer_utils as utils  # noqa: TID251

    model = utils.read_model_from_bytearray(bytearray(branches()))
    codes = [code.builtinCode for code in model.operatorCodes]
    for operator in model.subgraphs[0].operators:
        if codes[operator.opcodeIndex] == schema.BuiltinOperator.WHILE:
            operator.builtinOptions.bodySubgraphIndex = 0
    return bytes(utils.convert_object_to_bytearray(model))


def lstm() -> bytes:
    """Keras 3's LSTM: a loop."""
    import keras

    tf = _tf()
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((5, 3), batch_size=1), keras.layers.LSTM(4)])
    return _made(tf.lite.TFLiteConverter.from_keras_model(model))


def fused_lstm() -> bytes:
    """The same of Keras 2: one operator, whose state is a variable of the file."""
    import tf_keras

    tf = _tf()
    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Input((5, 3), batch_size=1), layers.LSTM(4, return_sequences=True)])
    function = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec([1, 5, 3], tf.float32, name="x"))
    return _made(tf.lite.TFLiteConverter.from_concrete_functions([function], model))


def two_signatures() -> bytes:
    tf = _tf()

    class Two(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([1, 3], tf.float32, name="x")])
        def double(self, x: Any) -> Any:
            return {"y": 2.0 * x}

        @tf.function(input_signature=[tf.TensorSpec([1, 3], tf.float32, name="z")])
        def negate(self, z: Any) -> Any:
            return {"n": -z}

    made = Two()
    functions = [made.double.get_concrete_function(), made.negate.get_concrete_function()]
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(made, folder, signatures={"double": functions[0], "negate": functions[1]})
        return _made(tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["double", "negate"]))


def custom() -> bytes:
    """An operator that TFLite has not."""
    tf = _tf()
    return _converted(
        lambda x: tf.linalg.inv(x) + 1.0, tf.TensorSpec([1, 3, 3], tf.float32, name="x"), allow_custom_ops=True
    )


def flex() -> bytes:
    """One of TensorFlow's own, run by the interpreter of TensorFlow."""
    tf = _tf()
    spec = tf.lite.OpsSet
    return _converted(
        lambda x: tf.linalg.inv(x) + 1.0,
        tf.TensorSpec([1, 3, 3], tf.float32, name="x"),
        target_spec=_spec(tf, [spec.TFLITE_BUILTINS, spec.SELECT_TF_OPS]),
    )


def writes() -> bytes:
    """One of TensorFlow's own that writes a file."""
    tf = _tf()

    def net(x: Any) -> Any:
        with tf.control_dependencies(
            [tf.raw_ops.WriteFile(filename="/tmp/planted", contents=tf.strings.as_string(x[0, 0]))]
        ):
            return tf.identity(x)

    kinds = tf.lite.OpsSet
    return _converted(
        net, tf.TensorSpec([1, 3], tf.float32, name="x"),
        target_spec=_spec(tf, [kinds.TFLITE_BUILTINS, kinds.SELECT_TF_OPS]),
    )  # fmt: skip


def _spec(tf: Any, kinds: list[Any]) -> Any:
    spec = tf.lite.TargetSpec()
    spec.supported_ops = kinds
    return spec


ALL: tuple[Callable[[], bytes], ...] = (
    dense, one, pairs, mixed, int8, branches, flattened, lstm, fused_lstm, two_signatures, custom, flex, writes
)  # fmt: skip


def write(folder: Path, *, of: str) -> None:
    """A maker: one of the above as model.tflite."""
    (folder / "model.tflite").write_bytes(globals()[of]())
