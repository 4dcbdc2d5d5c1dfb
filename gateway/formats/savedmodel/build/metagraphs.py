"""One SavedModel, two MetaGraphs: `serve` answers, `train` is there to be trained on; both read the same variables.

TensorFlow's own writer knows one MetaGraph a SavedModel; its older one (tf.compat.v1.saved_model.Builder) knows
several, with the collections that optimisers of either age look for. Functions are traced as ever and then laid out
in plain graphs.

Rule 1: placeholders are called `graph_name` of their public names, variables as the weights of the source are.
Rule 2: in `train` the updates of moving statistics hang on the outputs: whoever reads an output has made them. They
        are in the collection "update_ops" too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from gateway.core.savedmodel import SERVE, TRAIN, SavedModelOptions, graph_name
from gateway.formats.savedmodel.build import slim


class Port(Protocol):
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Laid:
    """A function in a plain graph: its placeholders, outputs and stateful operations."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    updates: Sequence[Any]


def lay_out(function: Any, inputs: Sequence[Port], outputs: Sequence[Port], handles: Mapping[int, Any]) -> Laid:
    """A tf.ConcreteFunction's graph, imported into the default graph. `handles` are its variables by id of the eager
    handle: resource tensors of the graph that is built.
    """
    inner_of = {name: tensor for tensor in function.inputs if (name := _argument(tensor))}
    fed, shown = {}, {}
    for port in inputs:
        inner = inner_of[port.name]
        shown[port.name] = tf.compat.v1.placeholder(inner.dtype, inner.shape, name=graph_name(port.name))
        fed[inner.name] = shown[port.name]
    for outer, inner in zip(function.captured_inputs, function.graph.internal_captures, strict=True):
        fed[inner.name] = handles[id(outer)] if id(outer) in handles else tf.constant(outer.numpy())
    updates = [operation.name for operation in function.graph.control_outputs]
    wanted = [function.structured_outputs[port.name].name for port in outputs]
    definition = function.graph.as_graph_def()
    slim.slim_graph(definition, [*wanted, *updates, *fed])
    made = tf.import_graph_def(definition, fed, [*wanted, *updates], name="model")
    return Laid(shown, dict(zip((port.name for port in outputs), made)), made[len(wanted) :])


def _argument(tensor: Any) -> str:
    """The public name of a function's argument; "" for what it captures."""
    found = tensor.op.node_def.attr.get("_user_specified_name")
    return found.s.decode() if found is not None and tensor.dtype != tf.resource else ""


def save(
    folder: Path,
    serving: Any,
    training: Any,
    ports: tuple[Sequence[Port], Sequence[Port]],
    variables: Mapping[str, Any],
    options: SavedModelOptions,
) -> None:
    """Write both MetaGraphs and the variables into `folder`, which is empty."""
    builder = tf.compat.v1.saved_model.Builder(str(folder))
    numbers = {name: variable.numpy() for name, variable in variables.items()}
    further = tuple(tag for tag in options.tags if tag != SERVE)
    for function, tags in ((serving, options.tags), (training, (TRAIN, *further))):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            copies = {name: _copy(name, variable) for name, variable in variables.items()}
            handles = {id(variable.handle): copies[name].handle for name, variable in variables.items()}
            laid = lay_out(function, *ports, handles)
            shown = _signature(laid, options.method)
            signatures = dict.fromkeys(options.signatures, shown)
            if function is serving:
                for name, array in numbers.items():
                    copies[name].load(array, session)
                builder.add_meta_graph_and_variables(session, tags, signatures, strip_default_attrs=True)
            else:
                builder.add_meta_graph(tags, signatures, strip_default_attrs=True)
    builder.save()


def _copy(name: str, variable: Any) -> Any:
    """The same variable in the default graph; its numbers come with the checkpoint, not with the graph."""
    return tf.Variable(
        lambda: tf.zeros(variable.shape, variable.dtype), trainable=variable.trainable, name=name, dtype=variable.dtype
    )


def _signature(laid: Laid, method: str) -> Any:
    v1 = tf.compat.v1.saved_model
    for update in laid.updates:
        tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.UPDATE_OPS, update)
    with tf.control_dependencies(laid.updates):
        outputs = {name: tf.identity(tensor, name=graph_name(name)) for name, tensor in laid.outputs.items()}
    return v1.build_signature_def(
        {name: v1.build_tensor_info(tensor) for name, tensor in laid.inputs.items()},
        {name: v1.build_tensor_info(tensor) for name, tensor in outputs.items()},
        method,
    )
