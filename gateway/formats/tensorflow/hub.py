"""TensorFlow's graphs into ONNX: tf2onnx does it, and what it leaves undone is done here.

Runs in Environment `tensorflow`. tf2onnx drops what changes a variable, leaves operators that it does not know in the
graph, and calls free dimensions unk__1: all of that is looked for, before or after.

Rule 1: an error of tf2onnx is a ConversionError in its own words; operators without a converter are named, all of them.
Rule 2: what has a memory or draws random numbers is no function of its inputs: it does not become ONNX.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.dtypes import BY_ONNX, dtype
from gateway.core.signature import Shape, TensorSpec
from gateway.errors import ConversionError, UnsupportedOps

OPSET = 18
MODEL_FILE = "model.onnx"
BATCH = "batch"  # symbol of the first dimension where every input has it free
LARGE = 1 << 30  # bytes of weights that are kept beside the model
QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
REMEMBERS = re.compile(
    r"Assign\w*|Resource(Apply|Scatter|SparseApply|StridedSliceAssign)\w*|CountUpTo|Stack(Push|Pop)\w*|Barrier\w*|"
    r"Scatter(Add|Sub|Mul|Div|Min|Max|Update|NdUpdate)|\w*Queue(Enqueue|Dequeue)\w*|(Lookup|Mutable)\w*TableInsert\w*"
)
RANDOM = ("RandomUniform", "RandomUniformLike", "RandomNormal", "RandomNormalLike", "Multinomial", "Bernoulli")


def refuse_stateful(operators: Sequence[str]) -> None:
    """The memory of rule 2, over the operators that answering reaches. Errors: ConversionError."""
    remembers = sorted({op for op in operators if REMEMBERS.fullmatch(op)})
    if remembers:
        raise ConversionError(f"it remembers something from call to call ({', '.join(remembers[:8])})")


def from_tflite(path: Path) -> Any:
    """The ModelProto of a .tflite file. Errors: ConversionError."""
    return _through(lambda convert, opset: convert.from_tflite(str(path), opset=opset)[0])


@dataclass(frozen=True)
class Port:
    """An input or output: a tensor of the graph ("x:0"), and the name and type that the ONNX file has of it."""

    tensor: str
    name: str
    dtype: str


def from_graph(graph: Any, inputs: Sequence[Port], outputs: Sequence[Port]) -> Any:
    """The ModelProto of a frozen GraphDef, its inputs and outputs called as the ports. Errors: ConversionError.

    `graph` is changed: each output gets a node of its own, so that one tensor may be two outputs, or an input too.
    """
    fetches = [_own_node(graph, port, number) for number, port in enumerate(outputs)]
    feeds = [port.tensor for port in inputs]
    renamed = dict(zip([*feeds, *fetches], [port.name for port in (*inputs, *outputs)]))

    def made(convert: Any, opset: int) -> Any:
        import tensorflow as tf  # noqa: TID251  Environment tensorflow
        from tf2onnx import optimizer, tf_loader, tfonnx

        with tf.Graph().as_default(), tf.device("/cpu:0"):
            tf.import_graph_def(graph, name="")
            slim = tf_loader.tf_optimize(feeds, fetches, graph)
        with tf.Graph().as_default() as whole:
            tf.import_graph_def(slim, name="")
            found = tfonnx.process_tf_graph(
                whole, opset=opset, input_names=feeds, output_names=fetches, tensors_to_rename=renamed
            )
            return optimizer.optimize_graph(found, True).make_model("gateway")

    model = _through(made)
    _complete(model, inputs)
    return model


def _own_node(graph: Any, port: Port, number: int) -> str:
    node = graph.node.add(op="Identity", name=f"gateway_output_{number}", input=[port.tensor])
    node.attr["T"].type = dtype(port.dtype).tensorflow
    return f"{node.name}:0"


def _complete(model: Any, inputs: Sequence[Port]) -> None:
    """Inputs that nothing reads are inputs all the same; and all of them in order."""
    from onnx import helper

    found = {value.name: value for value in model.graph.input}
    every = [
        found.get(port.name) or helper.make_tensor_value_info(port.name, dtype(port.dtype).onnx, None)
        for port in inputs
    ]
    kept = [helper.make_tensor_value_info("", 1, None) for _ in every]
    for value, other in zip(kept, every):
        value.CopyFrom(other)
    del model.graph.input[:]
    model.graph.input.extend(kept)


def _through(make: Callable[[Any, int], Any]) -> Any:
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    from tf2onnx import convert

    _further()
    try:
        model = make(convert, OPSET)
    except Exception as error:  # whatever tf2onnx, numpy and TensorFlow raise
        raise ConversionError(f"tf2onnx does not convert it: {type(error).__name__}: {_line(error)}") from error
    _refuse_unknown(model)
    draws = sorted({node.op_type for node in nodes(model)} & set(RANDOM))  # a dropout that drops nothing is gone by now
    if draws:
        raise ConversionError(f"it draws random numbers ({', '.join(draws)})")
    return model


@cache
def _further() -> None:
    """Operators that tf2onnx has not (Erfc, of which Keras 3 makes its Gelu), and one that it reads wrongly."""
    from tf2onnx import utils
    from tf2onnx.handler import tf_op

    _keep_bias()

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **told: Any) -> None:
            shape, kind = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
            one = ctx.make_const(utils.make_name("one"), np.array(1.0, utils.map_onnx_to_numpy_type(kind)))
            erf = ctx.make_node("Erf", [node.input[0]], shapes=[shape], dtypes=[kind])
            ctx.remove_node(node.name)
            inputs = [one.output[0], erf.output[0]]
            ctx.make_node("Sub", inputs, name=node.name, outputs=node.output, shapes=[shape], dtypes=[kind])


def _keep_bias() -> None:
    """TFLite's FULLY_CONNECTED over an input of more than two dimensions: tf2onnx 1.17 flattens it and loses the bias.

    The flattening is done here, and the operator is told that it needs none.
    """
    from tf2onnx import utils
    from tf2onnx.handler import tfl_op
    from tf2onnx.tflite_handlers.tfl_math import TflFullyConnectedOp

    @tfl_op(["TFL_FULLY_CONNECTED"])
    class FullyConnected:
        @classmethod
        def to_tf(cls, ctx: Any, node: Any, **told: Any) -> None:
            width = (ctx.get_shape(node.input[1]) or [-1, -1])[-1]
            if node.attr["keep_num_dims"].i == 0 and ctx.get_rank(node.input[0]) != 2 and width > 0:
                flat = ctx.make_const(utils.make_name("flat"), np.array([-1, width], np.int64))
                reshape = ctx.make_node("Reshape", [node.input[0], flat.output[0]])
                reshape.skip_conversion = True  # ONNX' own, not TensorFlow's
                ctx.replace_inputs(node, [reshape.output[0], *node.input[1:]])
                node.set_attr("keep_num_dims", 1)
            TflFullyConnectedOp.to_tf(ctx, node, **told)


def _refuse_unknown(model: Any) -> None:
    """Operators that tf2onnx has left as they were. Errors: UnsupportedOps."""
    import onnx

    known = {(schema.domain, schema.name) for schema in onnx.defs.get_all_schemas()}
    own = {(function.domain, function.name) for function in model.functions}
    found: Counter[str] = Counter()
    for node in nodes(model):
        key = ("" if node.domain == "ai.onnx" else node.domain, node.op_type)
        if key not in known and key not in own:
            found[node.op_type.removeprefix("TFL_")] += 1
    if found:
        raise UnsupportedOps("tf2onnx", found, len(known), hint='`target = "native"` has TensorFlow run it as it is.')


def nodes(holder: Any) -> Iterator[Any]:
    """Every node of a model or graph, those of bodies too."""
    for node in (holder.graph if hasattr(holder, "graph") else holder).node:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                if graph.node:
                    yield from nodes(graph)


def declare(model: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Write shapes with their symbols into the graph's inputs and outputs, in place of tf2onnx' unk__1."""
    by_tensor = {spec.tensor: spec for spec in (*inputs, *outputs)}
    for value in (*model.graph.input, *model.graph.output):
        spec = by_tensor.get(value.name)
        if spec is None:
            continue
        tensor = value.type.tensor_type
        tensor.ClearField("shape")
        if spec.shape is None:
            continue
        tensor.shape.SetInParent()
        for axis, size in enumerate(spec.shape):
            dim = tensor.shape.dim.add()
            if size is not None:
                dim.dim_value = size
            elif axis < len(spec.symbols) and spec.symbols[axis]:
                dim.dim_param = spec.symbols[axis]
    del model.graph.value_info[:]  # sizes that tf2onnx has guessed


def with_batch(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """The same, with the symbol BATCH where every input's first dimension is free."""
    if not inputs or not all(spec.shape and spec.shape[0] is None for spec in inputs):
        return list(inputs), list(outputs)
    made = []
    for spec in (*inputs, *outputs):
        free = bool(spec.shape) and spec.shape is not None and spec.shape[0] is None
        symbols = (BATCH, *("" for _ in (spec.shape or ())[1:])) if free else ()
        made.append(TensorSpec(spec.name, spec.dtype, spec.shape, spec.tensor, symbols, spec.layout))
    return made[: len(inputs)], made[len(inputs) :]


def spec_of(value: Any, name: str, shape: Shape | None) -> TensorSpec:
    """A graph's input or output as a TensorSpec. Errors: ConversionError for a type that no tensor has."""
    row = BY_ONNX.get(value.type.tensor_type.elem_type)
    if row is None:
        raise ConversionError(f"{value.name!r} is of no type that a tensor has here.")
    return TensorSpec(name, row.name, shape, value.name)


def shape_of(value: Any) -> Shape | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in dims)


def is_quantised(model: Any) -> list[str]:
    return sorted({node.op_type for node in nodes(model) if node.op_type in QUANTISED or "Integer" in node.op_type})


def write(model: Any, out: Path) -> list[Fact]:
    """MODEL_FILE in `out`, with its weights beside it where they are large."""
    import onnx

    model.producer_name = model.producer_name or "tf2onnx"
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size < LARGE:
        (out / MODEL_FILE).write_bytes(model.SerializeToString())
    else:
        onnx.save_model(model, str(out / MODEL_FILE), save_as_external_data=True, location="model.onnx.data")
    return [Fact("weights", f"{size} bytes", "ONNX"), Fact("opset", str(OPSET), "ONNX")]


def versions() -> dict[str, str]:
    import onnx
    import tensorflow as tf  # noqa: TID251  Environment tensorflow
    import tf2onnx

    return {
        "tensorflow": tf.__version__,
        "tf2onnx": tf2onnx.__version__,
        "onnx": onnx.__version__,
        "numpy": np.__version__,
    }


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
