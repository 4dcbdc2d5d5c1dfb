"""Emit: a GraphBuilder that knows what it makes, for formats that are converted operator by operator.

    @op("mxnet", "Activation")
    def activation(graph: Emit, node: Node) -> str | list[str]:
        return graph.node("Relu", [node.inputs[0]])

A function returns the tensor, or all tensors, that the node makes; it may return an input itself. A format's own
Node has what Operator asks for, and its parameters beside it.

Rule 1: shape and type of every tensor are known as it is made (onnx's own inference, node by
        node, strict): a mistake is an error at the node that made it, with the source's name of it.
Rule 2: a tensor of the source keeps its name ("conv0_output"), so that two runs can be compared by name.
Rule 3: the batch stays free. Where a rule needs a size that is not known, that is an error saying
        which and how to give it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from gateway.core.dtypes import BY_ONNX, Array, dtype, name_of
from gateway.core.signature import Shape, format_shape
from gateway.errors import ConversionError, CorruptModel
from gateway.graph.builder import GraphBuilder
from gateway.graph.known import KnownSizes

BROKEN = (ValueError, TypeError, KeyError, IndexError, OverflowError, ZeroDivisionError, AttributeError, MemoryError)
"""What a function of an operator raises over a node with too few inputs, or attributes that contradict each other."""
SMALL = 4096  # elements; constants up to here are shown to shape inference


class Operator(Protocol):
    """One node of the source, ready for its function. `inputs` are ONNX tensors in the source's order."""

    @property
    def op(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def where(self) -> str:
        """For people: "MXNet node 'conv0' (Convolution)"."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """As the source gives them, for a message."""


AnyNode = TypeVar("AnyNode", bound=Operator)


class Emit:
    """A GraphBuilder that knows the shape and type of every tensor, and which node of the source is being emitted."""

    def __init__(self, builder: GraphBuilder, *, training: bool = False) -> None:
        """`training`: what matters to training alone is written too: dropout, momentum."""
        self.builder, self.training = builder, training
        self.current: Operator | None = None
        self._types: dict[str, Any] = {}  # tensor -> onnx.TypeProto
        self._values: dict[str, Array] = {}
        self._protos: dict[str, Any] = {}  # small constants, as shape inference wants them
        self._sizes = KnownSizes()
        self._fresh: set[str] = set()  # made since the current node began
        self.warnings: list[str] = []

    # What functions call

    def node(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """An ONNX node with one output."""
        return self.nodes(op_type, inputs, 1, **attributes)[0]

    def nodes(self, op_type: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """An ONNX node with `count` outputs."""
        wish = f"{self.current.name}/{op_type}" if self.current else op_type
        made = self.builder.nodes(op_type, inputs, count, name=wish, **attributes)
        self._infer(self.builder.last_node, made)
        return made

    def constant(self, wish: str, array: Array) -> str:
        """A constant; dtype and shape are the array's."""
        value = np.asarray(array)
        prefix = f"{self.current.name}/" if self.current else ""
        name = self.builder.constant(prefix + wish, value)
        self.know(name, name_of(value), value.shape)
        self._values[name] = value
        return name

    def ints(self, *values: int) -> str:
        """An int64 vector, for the shape-like inputs of ONNX."""
        return self.constant("ints", np.asarray(values, np.int64))

    def scalar(self, value: float, like: str) -> str:
        """A number of rank 0 in the dtype of the tensor `like`. Errors: ConversionError when that cannot hold it."""
        from gateway.core.dtypes import numpy_dtype

        kind = numpy_dtype(self.dtype(like))
        if kind.kind in "iu" and not (float(value).is_integer() and np.iinfo(kind).min <= value <= np.iinfo(kind).max):
            raise self.error(f"{value!r} is no {kind.name}")
        if kind.kind in "iu":
            return self.constant("scalar", np.asarray(int(value), kind))
        return self.constant("scalar", np.asarray(value, kind))

    def shape(self, tensor: str) -> Shape | None:
        """Sizes as far as they are known; None for the batch and other free ones; None for unknown rank."""
        tensor_type = self._type(tensor).tensor_type
        if not tensor_type.HasField("shape"):
            return None
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor_type.shape.dim)

    def rank(self, tensor: str) -> int:
        """Errors: ConversionError when it is not known."""
        shape = self.shape(tensor)
        if shape is None:
            raise self.error(
                f"needs to know how many dimensions {tensor!r} has", "Give the shapes of the inputs with --input."
            )
        return len(shape)

    def axis(self, tensor: str, axis: int) -> int:
        """`axis` counted from the front. Errors: ConversionError when the tensor has no such axis."""
        rank = self.rank(tensor)
        if not -rank <= axis < rank:
            raise self.error(f"axis {axis} of {tensor!r}, which has {rank} dimensions")
        return axis % rank

    def size(self, tensor: str, axis: int) -> int:
        """A size that has to be known. Errors: ConversionError."""
        at = self.axis(tensor, axis)
        shape = self.shape(tensor) or ()
        found = shape[at]
        if found is None:
            raise self.error(
                f"needs to know dimension {at} of {tensor!r}, which is {format_shape(shape)}",
                "Give the sizes of the inputs with --input NAME:DTYPE[SHAPE] or in model.toml.",
            )
        return found

    def dtype(self, tensor: str) -> str:
        """Our name of its element type."""
        return BY_ONNX[self._type(tensor).tensor_type.elem_type].name

    def value(self, tensor: str) -> Array | None:
        """The array of a constant or a weight, else None."""
        return self._values.get(tensor)

    def expect(self, tensor: str, shape: Shape, what: str) -> None:
        """Check a weight against what the attributes say; None fits any size. Errors: ConversionError."""
        found = self.shape(tensor)
        if found is None:
            return
        fits = len(found) == len(shape) and all(
            mine is None or said is None or mine == said for mine, said in zip(found, shape, strict=True)
        )
        if not fits:
            raise self.error(f"its {what} {tensor!r} has shape {format_shape(found)}, expected {format_shape(shape)}")

    def weight(self, place: int, what: str) -> Array:
        """Input `place` of the current node, which has to be a constant. Errors: ConversionError."""
        node = self._node()
        if place >= len(node.inputs):
            raise self.error(f"has {len(node.inputs)} inputs and no {what}")
        found = self.value(node.inputs[place])
        if found is None:
            raise self.error(f"its {what} {node.inputs[place]!r} is computed; only a stored one is supported")
        return found

    def know(self, tensor: str, dtype_name: str, shape: Shape | None, symbols: Sequence[str] = ()) -> str:
        """Say what a tensor is, where inference cannot see it: known sizes are added to what is known already."""
        from onnx import helper

        symbols = symbols or ("",) * len(shape or ())
        sizes = None if shape is None else [s if s is not None else (symbols[i] or None) for i, s in enumerate(shape)]
        found = helper.make_tensor_type_proto(dtype(dtype_name).onnx, sizes)
        known = self._types.get(tensor)
        if known is not None and shape is not None and known.tensor_type.HasField("shape"):
            for mine, theirs in zip(found.tensor_type.shape.dim, known.tensor_type.shape.dim, strict=True):
                if not mine.HasField("dim_value") and theirs.WhichOneof("value"):
                    mine.CopyFrom(theirs)
        self._types[tensor] = found
        return tensor

    def error(self, what: str, hint: str = "") -> ConversionError:
        """An error that names the current node."""
        where = self.current.where if self.current else self.builder.source_format
        return ConversionError(f"{where}: {what}.", hint=hint)

    def warn(self, what: str) -> None:
        """Something that the owner should read beside the verdict, about the current node."""
        self.warnings.append(f"{self._node().where}: {what}")

    # What the walk calls

    def input(self, name: str, dtype_name: str, shape: Shape, symbols: Sequence[str]) -> str:
        self.builder.input(name, dtype_name, shape, symbols)
        return self.know(name, dtype_name, shape, symbols)

    def rename(self, tensor: str, wish: str) -> str:
        """Give a tensor that a node has just made another name (rule 2)."""
        name = self.builder.rename(tensor, wish)
        self._types[name] = self._types.pop(tensor)
        return name

    def weight_of(self, name: str, array: Array) -> str:
        """A weight of the model, under its own name."""
        self.builder.constant(name, array)
        self._values[name] = array
        return self.know(name, name_of(array), array.shape)

    def call(
        self, node: AnyNode, function: Callable[[Emit, AnyNode], str | list[str]], names: Sequence[str]
    ) -> list[str]:
        """Run an operator's function; what it has just made gets the source's names. Returns every output it made."""
        self.current = node
        self._fresh.clear()
        try:
            answer = function(self, node)
        except BROKEN as error:
            many = len(node.inputs)
            raise CorruptModel(
                f"{node.where} with {many} inputs and {dict(node.parameters)} "
                f"breaks its converter: {type(error).__name__}: {error}."
            ) from error
        made = [answer] if isinstance(answer, str) else list(answer)
        for place, tensor in enumerate(made):
            if tensor in self._fresh and place < len(names):
                self._fresh.discard(tensor)
                made = [self.rename(tensor, names[place]) if t == tensor else t for t in made]
        self.current = None
        return made

    def tensor_type(self, tensor: str) -> Any:
        """onnx.TensorTypeProto of a tensor: sizes, and the names of free ones."""
        return self._type(tensor).tensor_type

    def _node(self) -> Operator:
        assert self.current is not None
        return self.current

    def _type(self, tensor: str) -> Any:
        found = self._types.get(tensor)
        if found is None:
            raise self.error(f"nothing is known of the tensor {tensor!r}")
        return found

    def _infer(self, proto: Any, made: Sequence[str]) -> None:
        import onnx
        from onnx import shape_inference

        schema = onnx.defs.get_schema(proto.op_type, self.builder.opset, proto.domain)
        opsets = [onnx.helper.make_opsetid("", self.builder.opset)]
        types = {name: self._type(name) for name in proto.input if name}
        data = {name: proto_ for name in proto.input if name and (proto_ := self._proto(name)) is not None}
        try:
            found = shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=opsets)
        except (shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError) as error:
            shapes = ", ".join(f"{name} {self.dtype(name)}{format_shape(self.shape(name))}" for name in types)
            line = str(error).strip().splitlines()[-1]
            raise self.error(f"{proto.op_type} does not fit its inputs {shapes}: {line}") from error
        for name in made:
            if name not in found or not found[name].tensor_type.elem_type:
                raise self.error(f"{proto.op_type} makes {name!r}, and nothing is known of it")
            self._types[name] = found[name]
        self._fresh.update(made)
        self._sizes.follow(proto, self._types, self.value)

    def _proto(self, name: str) -> Any:
        value = self._values.get(name)
        if value is None or value.size > SMALL:
            return None
        if name not in self._protos:
            from onnx import numpy_helper

            self._protos[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        return self._protos[name]
