"""An ONNX file becomes a SavedModel: variables, assets and SignatureDefs.

Rule 1: inputs and outputs of a SignatureDef are called by their public names, whatever characters
        these have.
Rule 2: it is written beside and renamed by the caller: `folder` must be empty.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf

from gateway.core.dtypes import Array
from gateway.core.savedmodel import GRAPH_FILE, SERVE, SavedModelOptions, graph_name
from gateway.core.signature import PREDICT
from gateway.errors import ConversionError
from gateway.formats.savedmodel.build import further, metagraphs, slim
from gateway.formats.savedmodel.build.further import Further
from gateway.formats.savedmodel.build.graph import Builder, own_graph
from gateway.formats.savedmodel.build.node import array_of, dense_of, tf_dtype
from gateway.formats.savedmodel.build.ops import load_all
from gateway.formats.savedmodel.build.values import Value, channels_last
from gateway.formats.savedmodel.build.weights import Weights

LABELS = "labels.txt"  # in assets/: a class a line


@dataclass(frozen=True)
class Port:
    """One input or output of a SignatureDef. `tensor` is ONNX's name; `last`: the client's order is channels last."""

    name: str
    tensor: str
    last: bool = False


@dataclass(frozen=True)
class Wish:
    """What is to be written. No ports are all of the graph's."""

    inputs: Sequence[Port] = ()
    outputs: Sequence[Port] = ()
    options: SavedModelOptions = field(default_factory=SavedModelOptions)
    methods: Mapping[str, str] = field(default_factory=dict)  # of signatures that have another one than the rest
    further: Further = field(default_factory=Further)


@dataclass(frozen=True)
class Made:
    """What was written: transposes that are left in the graph, variables, versions of packages."""

    transposes: int
    variables: int
    versions: dict[str, str]


class Module(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """What is saved: the weights. The graph is in the signatures' functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Any] = []
        self.labels: Any = None


class Model:
    """An ONNX file, ready to be traced."""

    def __init__(self, path: Path, wish: Wish) -> None:
        """Errors: UnsupportedOps with every operator that has no function."""
        load_all()
        model = onnx.load(str(path), load_external_data=False)
        self.arrays = _arrays(model, path.parent)
        self.proto = own_graph(model, self.arrays)
        self.wish = wish
        self.weights = Weights(trainable=wish.options.trainable, frozen=wish.options.frozen)
        shown = [value for value in self.proto.graph.input if value.name not in self.arrays]
        self.values = {value.name: value for value in shown}
        self.inputs = list(wish.inputs) or [Port(value.name, value.name) for value in shown]
        self.outputs = list(wish.outputs) or [Port(value.name, value.name) for value in self.proto.graph.output]

    def function(self, *, training: bool = False) -> Any:
        """A tf.ConcreteFunction that takes and gives tensors by public name. Errors: ConversionError."""
        builder = Builder(self.proto, self.weights, self.arrays, training=training)

        def call(**feeds: Any) -> Mapping[str, Any]:
            given = {port.tensor: _held(feeds[port.name], port.last) for port in self.inputs}
            found = builder.run(given)
            return {port.name: _shown(found[port.tensor], port.last, port.name) for port in self.outputs}

        specs = {port.name: self._spec(port) for port in self.inputs}
        return tf.function(call, autograph=False).get_concrete_function(**specs)

    def _spec(self, port: Port) -> Any:
        kind = self.values[port.tensor].type.tensor_type
        sizes = None
        if kind.HasField("shape"):
            sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
            if port.last:
                sizes = [sizes[axis] for axis in channels_last(len(sizes))]
        return tf.TensorSpec(sizes, tf_dtype(kind.elem_type), name=port.name)


def save(path: Path, folder: Path, wish: Wish | None = None) -> Made:
    """Write the SavedModel of an ONNX file into `folder`. Errors: ConversionError, UnsupportedOps."""
    model = Model(path, wish or Wish())
    options = model.wish.options
    function = model.function()
    if options.trainable:
        ports = (model.inputs, model.outputs)
        metagraphs.save(folder, function, model.function(training=True), ports, model.weights.variables, options)
        return _made(function, model)
    module = Module()
    module.weights = list(model.weights.variables.values())
    beside = further.functions(function, model.wish.further)
    with tempfile.TemporaryDirectory() as scratch:
        if model.wish.further.labels:
            module.labels = tf.saved_model.Asset(_lines(Path(scratch) / LABELS, model.wish.further.labels))
        tf.saved_model.save(module, str(folder), signatures=dict.fromkeys(options.signatures, function) | beside)
    methods = dict.fromkeys(options.signatures, options.method) | dict(model.wish.methods)
    if options.tags != (SERVE,) or set(methods.values()) != {PREDICT}:
        _relabel(folder, options.tags, methods)
    slim.slim_file(folder)
    return _made(function, model)


def freeze(path: Path, folder: Path, wish: Wish) -> Made:
    """Write GRAPH_FILE, a plain GraphDef; placeholders and outputs are called `graph_name` of their public names.

    Errors: ConversionError where two names become one, and as `save`.
    """
    model = Model(path, wish)
    function = model.function()
    names = [graph_name(port.name) for port in (*model.inputs, *model.outputs)]
    if len(set(names)) != len(names):
        raise ConversionError(
            f"two tensors would have one name in the graph: {', '.join(sorted(names))}.",
            hint="Give them other names: --input ALIAS=NAME:DTYPE[SHAPE], --output ALIAS=NAME.",
        )
    with tf.Graph().as_default() as graph:
        laid = metagraphs.lay_out(function, model.inputs, model.outputs, {})
        for name, tensor in laid.outputs.items():
            tf.identity(tensor, name=graph_name(name))
    (folder / GRAPH_FILE).write_bytes(graph.as_graph_def().SerializeToString())
    return _made(function, model)


def _made(function: Any, model: Model) -> Made:
    """Counts over the graph and the functions it calls: bodies of branches and loops are among them."""
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for inner in definition.library.function for node in inner.node_def)]
    versions = {"tensorflow": tf.__version__, "onnx": onnx.__version__}
    return Made(sum(node.op == "Transpose" for node in nodes), len(model.weights.variables), versions)


def _lines(path: Path, lines: Sequence[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def _relabel(folder: Path, tags: Sequence[str], methods: Mapping[str, str]) -> None:
    """TensorFlow's writer knows one method and one tag; the file says what was asked for."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    for meta in saved.meta_graphs:
        del meta.meta_info_def.tags[:]
        meta.meta_info_def.tags.extend(tags)
        for key, method in methods.items():
            meta.signature_def[key].method_name = method
    path.write_bytes(saved.SerializeToString())


def _held(tensor: Any, last: bool) -> Value:
    return Value(tensor, channels_last(tensor.shape.rank)) if last else Value(tensor)


def _shown(item: Any, last: bool, name: str) -> Any:
    if not isinstance(item, Value):
        raise TypeError(f"output {name!r} is not a tensor")
    return tf.identity(item.last if last else item.tensor, name="output")


def _arrays(model: Any, folder: Path) -> dict[str, Array]:
    """Initializers by name, read where they lie."""
    found = {tensor.name: array_of(tensor, str(folder)) for tensor in model.graph.initializer}
    found |= {sparse.values.name: dense_of(sparse) for sparse in model.graph.sparse_initializer}
    del model.graph.initializer[:]
    del model.graph.sparse_initializer[:]
    return found
