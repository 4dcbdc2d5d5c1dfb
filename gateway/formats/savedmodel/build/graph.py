"""Builder: walks an ONNX graph and calls the TensorFlow function of each operator.

Rule 1: what depends on constants only is computed now, eagerly, and is a constant again. Small
        integers that TensorFlow's own shape inference knows are constants too: `Shape` of a fixed
        size, and what is computed from it.
Rule 2: a function gets Values (or lists of them for sequences, None for what is left out) in ONNX's
        order and returns a Value, a tf.Tensor in ONNX's order, a numpy array, a list, or a tuple
        of these for several outputs.
Rule 3: operations stand in a scope that is called as the node is. An error names the node; nothing is
        half written: saving comes after the whole graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto

from gateway.core.dtypes import Array
from gateway.errors import ConversionError, GatewayError
from gateway.formats.savedmodel.build import node as nodes
from gateway.formats.savedmodel.build.fold import fold_batch_norms
from gateway.formats.savedmodel.build.node import Node
from gateway.formats.savedmodel.build.values import Packed, Value
from gateway.formats.savedmodel.build.weights import LARGE, Weights
from gateway.graph import registry

TARGET = "tensorflow"
FOLDED_BYTES = 64 << 20  # a larger result of constants is computed when the graph runs
KNOWN_ELEMENTS = 64  # of integers that shape inference may know
BODIES = ("If", "Loop", "Scan", "SequenceMap")
RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
PACKED = ("DequantizeLinear", "com.microsoft.DequantizeLinear")

Item = Any
"""Value | list[Item] (a sequence) | None (left out, or an empty optional)."""


class Builder:
    """One model. `run` may be called once for each tf.function that is traced."""

    def __init__(self, model: Any, weights: Weights, arrays: dict[str, Array], *, training: bool = False) -> None:
        """`model` is a ModelProto whose functions are inlined; `arrays` its initializers by name. Both are changed:
        batch norms are folded, unless the weights are to be trained.
        """
        self.model, self.weights, self.training = model, weights, training
        if not weights.trainable:
            fold_batch_norms(model.graph, arrays)
        self.opsets = {"" if o.domain in nodes.DEFAULT_DOMAINS else o.domain: o.version for o in model.opset_import}
        self._initial: dict[str, Item] = {name: self.constant(array, name) for name, array in arrays.items()}

    @property
    def opset(self) -> int:
        return int(self.opsets.get("", 1))

    def constant(self, array: Array, name: str = "") -> Value:
        return Value(array=np.asarray(array), name=name, materialise=self.weights.tensor)

    def run(self, feeds: Mapping[str, Value]) -> dict[str, Item]:
        """Outputs by name. Errors: ConversionError naming the node."""
        scope = dict(self._initial) | {"": None} | dict(feeds)
        self._walk(self.model.graph, scope)
        return {output.name: scope[output.name] for output in self.model.graph.output}

    def body(self, graph: Any, feeds: Sequence[Item], outer: Mapping[str, Item]) -> list[Item]:
        """A graph inside a node: `feeds` in the order of its inputs; it sees the names outside it."""
        scope = dict(outer)
        for tensor in graph.initializer:
            scope[tensor.name] = self.constant(nodes.array_of(tensor), tensor.name)
        scope |= {value.name: item for value, item in zip(graph.input, feeds)}
        self._walk(graph, scope)
        return [scope[value.name] for value in graph.output]

    def _walk(self, graph: Any, scope: dict[str, Item]) -> None:
        for proto in graph.node:
            node = nodes.read(proto, self.opsets)
            try:
                with tf.name_scope(_scope_name(node)):
                    made = self._call(node, scope)
            except GatewayError:
                raise
            except Exception as error:  # whatever TensorFlow raises for one operator
                said = str(error).strip().splitlines()[0] if str(error).strip() else ""
                raise ConversionError(f"{node.where}: {type(error).__name__}: {said}"[:600]) from error
            scope.update({name: item for name, item in zip(node.outputs, made) if name})

    def _call(self, node: Node, scope: dict[str, Item]) -> list[Item]:
        function = registry.converter(TARGET, node.op)
        inputs = [scope[name] for name in node.inputs]
        if node.op in BODIES:
            return self._items(function(self, node, *inputs, scope=scope))
        if node.op not in RANDOM and _all_constant(inputs) and not self.packs(node, inputs):
            folded = self._folded(function, node, inputs)
            if folded is not None:
                return folded
        return self._items(function(self, node, *inputs))

    def packs(self, node: Node, inputs: Sequence[Item]) -> bool:
        """Are these stored weights that stay the whole numbers they are, in the file?"""
        if node.op not in PACKED or self.weights.trainable or node.get("block_size", 0) or node.get("output_dtype", 0):
            return False
        x, scale = inputs[:2]
        return bool(_all_constant(inputs) and x.array.size >= LARGE and x.rank and scale.dtype == tf.float32)

    def _folded(self, function: Any, node: Node, inputs: Sequence[Item]) -> list[Item] | None:
        """The node's outputs as constants, or None where they would be too large or are not tensors."""
        with tf.init_scope():
            made = self._items(function(self, node, *inputs))
            if not all(isinstance(item, Value) for item in made):
                return None
            arrays = [item.array if item.array is not None else item.tensor.numpy() for item in made]
        if sum(np.asarray(array).nbytes for array in arrays) > FOLDED_BYTES:
            return None
        kept = next((item.name for item in inputs if isinstance(item, Value) and item.name), "")
        return [
            item if isinstance(item, Packed) else self.constant(np.asarray(array), kept)
            for item, array in zip(made, arrays)
        ]

    def _items(self, made: Any) -> list[Item]:
        return [self._item(item) for item in (made if isinstance(made, tuple) else (made,))]

    def _item(self, made: Any) -> Item:
        if made is None:
            return made
        if isinstance(made, Value):
            return self._whole(made) if not made.constant and made.rank in (0, 1) else made
        if isinstance(made, list):
            return [self._item(item) for item in made]
        if isinstance(made, (np.ndarray, np.generic)):
            return self.constant(np.asarray(made))
        return self._whole(Value(tf.convert_to_tensor(made)))

    def _whole(self, value: Value) -> Value:
        """A constant where TensorFlow, or what is said of its elements, tells all of it."""
        known = _known(value.tensor)
        if known is None and value.parts is not None and None not in value.parts:
            known = np.array(value.parts, value.dtype.as_numpy_dtype).reshape([-1] if value.rank else [])
        return value if known is None else self.constant(known)


def _scope_name(node: Node) -> str:
    """What TensorFlow takes of the node's own name: graphs are read by people, in TensorBoard and in `gateway code`."""
    clean = re.sub(r"[^A-Za-z0-9_./\\-]", "_", node.name or node.outputs[0] or node.op).strip("/")
    return clean if re.match(r"[A-Za-z0-9.]", clean) else f"n{clean}"


def _all_constant(inputs: Sequence[Item]) -> bool:
    return all(item is None or (isinstance(item, Value) and item.constant) for item in inputs)


def _known(tensor: Any) -> Array | None:
    """The values of a small integer tensor, where TensorFlow can tell them while the graph is built."""
    if tf.executing_eagerly() or not tensor.dtype.is_integer or (tensor.shape.rank or 0) > 1:
        return None
    if tensor.shape.num_elements() is None or tensor.shape.num_elements() > KNOWN_ELEMENTS:
        return None
    found = tf.get_static_value(tensor)
    return None if found is None else np.asarray(found)


def own_graph(model: Any, arrays: Mapping[str, Array] | None = None) -> Any:
    """The model with its own functions inlined, and operators replaced by their definition in the standard
    where we have no function for them; `arrays` are initializers that were taken out of it.
    Errors: UnsupportedOps with everything that is left.
    """
    from onnx import inliner

    model = inliner.inline_local_functions(model)
    known = registry.operators(TARGET)
    missing = {(n.domain, n.op_type) for n in every_node(model.graph) if nodes.op_name(n) not in known}
    if missing:
        _state_defaults(model.graph, missing)
        _state_types(model.graph, arrays or {})
        model = onnx.shape_inference.infer_shapes(model)  # the definition of some depends on types
        model = inliner.inline_selected_functions(model, sorted(missing), exclude=False, inline_schema_functions=True)
    registry.refuse_unknown(TARGET, [nodes.op_name(n) for n in every_node(model.graph)])
    return model


def _state_defaults(graph: Any, kinds: set[tuple[str, str]]) -> None:
    """Attributes that a node leaves out are written down: the inliner does not know the standard's defaults,
    and a function body that refers to one would silently mean something else.
    """
    for proto in every_node(graph):
        if (proto.domain, proto.op_type) not in kinds:
            continue
        try:
            schema = onnx.defs.get_schema(proto.op_type, proto.domain)
        except onnx.defs.SchemaError:
            continue
        there = {attribute.name for attribute in proto.attribute}
        for name, attribute in schema.attributes.items():
            if name not in there and attribute.default_value.name:
                proto.attribute.append(attribute.default_value)


def _state_types(graph: Any, arrays: Mapping[str, Array]) -> None:
    """Types of initializers that are kept elsewhere."""
    there = {value.name for value in (*graph.input, *graph.value_info)}
    for name, array in arrays.items():
        if name not in there:
            kind = (
                TensorProto.STRING if array.dtype.kind in "OSU" else onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            )
            graph.value_info.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))


def every_node(graph: Any) -> list[Any]:
    """Nodes of a graph and of the graphs inside its nodes."""
    found = []
    for proto in graph.node:
        found.append(proto)
        for attribute in proto.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found += every_node(attribute.g)
            elif attribute.type == onnx.AttributeProto.GRAPHS:
                for inner in attribute.graphs:
                    found += every_node(inner)
    return found
