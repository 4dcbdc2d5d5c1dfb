"""What a graph for training does otherwise: batch norm by the statistics of the batch, which it goes on averaging.

Rule 1: the statistics are variables that no optimiser moves. In the graph for training every forward pass does:
        moving <- momentum moving + (1 - momentum) of the batch, with the population's variance, as ONNX says.
Rule 2: the served graph reads the same variables, so what was trained is what is served.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from gateway.formats.savedmodel.build.graph import Builder
from gateway.formats.savedmodel.build.layout import held, moved
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.values import Value

MOMENTUM = 0.9  # ONNX's default


def batch_normalization(build: Builder, node: Node, x: Value, stored: tuple[Value, Value, Value, Value]) -> Value:
    """`stored` are scale, bias, mean and variance, all constants of the model; they become variables."""
    scale, bias = (value.tensor for value in stored[:2])
    mean, var = (_moving(build, value) for value in stored[2:])
    tensor, perm = held(x)
    channel = moved([1], perm)[0]
    wide = tf.float32 if tensor.dtype in (tf.float16, tf.bfloat16) else tensor.dtype
    given = tf.cast(tensor, wide)
    middle, spread = tf.cast(mean, wide), tf.cast(var, wide)
    if build.training:
        middle, spread = tf.nn.moments(given, [axis for axis in range(tensor.shape.rank) if axis != channel])
        momentum = node.get("momentum", MOMENTUM)
        for variable, found in ((mean, middle), (var, spread)):
            variable.assign(variable * momentum + tf.cast(found, variable.dtype) * (1 - momentum))
    sizes = [-1 if axis == channel else 1 for axis in range(tensor.shape.rank)]
    m, v, s, b = (tf.reshape(tf.cast(each, wide), sizes) for each in (middle, spread, scale, bias))
    made = (given - m) * (tf.math.rsqrt(v + node.get("epsilon", 1e-5)) * s) + b
    return Value(tf.cast(made, tensor.dtype), perm)


def _moving(build: Builder, value: Value) -> Any:
    assert value.array is not None
    return build.weights.variable(value.array, value.name, trainable=False)


def known(values: tuple[Any, ...]) -> bool:
    """Are all of these stored in the model, under a name?"""
    return all(value.array is not None and value.name for value in values)
