"""GraphBuilder: an ONNX graph, node by node, for converters that work operator by operator.

    graph = GraphBuilder("darknet")
    x = graph.input("data", "float32", (None, 3, 416, 416))
    y = graph.node("Relu", [x], name="relu1")
    graph.output(y)
    graph.save(folder / "model.onnx")

Tensors are their names: every method that makes one returns its name.

Rule 1: a name is given once; a second wish for it gets a number ("relu1_2"). Inputs and outputs
        keep exactly the name that was asked for, or it is an error.
Rule 2: a node may only read what is there: a misspelt tensor is an error where it is written.
Rule 3: onnx is imported inside the methods: the top of a converter stays light.
Rule 4: what no output needs is not written: nodes and constants are walked back from the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, dtype, name_of
from gateway.core.names import did_you_mean
from gateway.core.signature import Shape
from gateway.errors import ConversionError, CorruptModel
from gateway.graph import stream

OPSET = 17
IR_VERSION = 8
LARGE = 4096  # elements; onnx's inference and checker are not shown the values of larger constants


class GraphBuilder:
    """One graph. `source_format` is written into the model as the producer's domain."""

    def __init__(
        self, source_format: str, *, name: str = "graph", opset: int = OPSET, domains: Mapping[str, int] | None = None
    ) -> None:
        """`domains`: further operator sets, by domain. Errors: ValueError for an opset under 17: newer meanings of
        operators are relied on.
        """
        if opset < OPSET:
            raise ValueError(f"opset {opset} is below {OPSET}")
        self.source_format, self.name, self.opset = source_format, name, opset
        self.domains = dict(domains or {})
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[str, Array] = {}
        self._tensors: dict[str, None] = {}
        self._node_names: dict[str, None] = {}

    def unique(self, wish: str) -> str:
        """`wish`, or `wish_2`, `wish_3` ... when a tensor has that name already. Does not take it."""
        return _unique(wish, self._tensors)

    def input(self, name: str, dtype_name: str, shape: Shape, symbols: Sequence[str] = ()) -> str:
        """An input; None in `shape` is free and called `symbols[axis]` where that is given."""
        from onnx import helper

        self._take(name)
        sizes = [
            size if size is not None else (symbols[axis] if axis < len(symbols) and symbols[axis] else None)
            for axis, size in enumerate(shape)
        ]
        self._inputs.append(helper.make_tensor_value_info(name, dtype(dtype_name).onnx, sizes))
        return name

    def constant(self, wish: str, array: Array) -> str:
        """An initializer. Dtype and shape are the array's: nothing is cast. `build` reads it."""
        name = self.unique(wish)
        self._take(name)
        self._constants[name] = array
        return name

    @property
    def last_node(self) -> Any:
        """The NodeProto of the newest node."""
        return self._nodes[-1]

    def rename(self, tensor: str, wish: str) -> str:
        """Give a node's output another name, where it is made and read. Errors: ConversionError."""
        name = self.unique(wish)
        for node in reversed(self._nodes):
            _replace(node.input, tensor, name)
            if tensor in node.output:
                _replace(node.output, tensor, name)
                del self._tensors[tensor]
                self._take(name)
                return name
        raise ConversionError(f"{self.source_format}: no node makes {tensor!r}, so it cannot become {wish!r}.")

    def node(self, op_type: str, inputs: Sequence[str], *, name: str = "", output: str = "", **attributes: Any) -> str:
        """A node with one output. `output` is a wish for its name; else the node's name is. "" leaves out an input."""
        return self.nodes(op_type, inputs, 1, name=name, outputs=(output,) if output else (), **attributes)[0]

    def nodes(
        self,
        op_type: str,
        inputs: Sequence[str],
        count: int,
        *,
        name: str = "",
        outputs: Sequence[str] = (),
        **attributes: Any,
    ) -> list[str]:
        """A node with `count` outputs. Errors: ConversionError for an input that no tensor has."""
        from onnx import helper

        unknown = [tensor for tensor in inputs if tensor and tensor not in self._tensors]
        if unknown:
            raise ConversionError(
                f"{self.source_format}: node {name or op_type!r} reads {', '.join(map(repr, unknown))}, "
                f"which no node makes.{did_you_mean(unknown[0], self._tensors)}"
            )
        own = _unique(name or op_type, self._node_names)
        self._node_names[own] = None
        made = []
        for number in range(count):
            wish = outputs[number] if number < len(outputs) else own if count == 1 else f"{own}_{number}"
            made.append(self.unique(wish))
            self._take(made[-1])
        kept = {key: value for key, value in attributes.items() if value is not None}
        self._nodes.append(helper.make_node(op_type, list(inputs), made, name=own, **kept))
        return made

    def output(self, tensor: str, name: str = "", dtype_name: str = "", shape: Shape | None = None) -> str:
        """Show a tensor, under `name` when given. Type and shape may be left for inference by the runtime."""
        import onnx
        from onnx import helper

        if tensor not in self._tensors:
            raise ConversionError(
                f"{self.source_format}: output {tensor!r} is made by no node.{did_you_mean(tensor, self._tensors)}"
            )
        if name and name != tensor:
            self._take(name)
            self._nodes.append(helper.make_node("Identity", [tensor], [name], name=_unique(name, self._node_names)))
        shown = name or tensor
        info = (
            helper.make_tensor_value_info(shown, dtype(dtype_name).onnx, None if shape is None else list(shape))
            if dtype_name
            else onnx.ValueInfoProto(name=shown)
        )
        self._outputs.append(info)
        return shown

    def build(self) -> Any:
        """The ModelProto, types and shapes of outputs inferred where they were not given, checked by onnx.

        Errors: CorruptModel in the checker's words: a bug of the converter.
        """
        model, large = self._parts()
        for name, array in large.items():
            model.graph.initializer.append(_proto(name, array))
        return model

    def weight_bytes(self) -> int:
        """Bytes of all constants that `build` writes."""
        return sum(array.nbytes for array in self._read(self._needed()).values())

    def _read(self, nodes: list[Any]) -> dict[str, Array]:
        read = {name for node in nodes for name in node.input} | {value.name for value in self._outputs}
        return {name: array for name, array in self._constants.items() if name in read}

    def _parts(self) -> tuple[Any, dict[str, Array]]:
        """The ModelProto without its large constants, and these. Errors: as `build`."""
        import onnx
        from onnx import helper, shape_inference

        nodes = self._needed()
        constants = self._read(nodes)
        large = [name for name, array in constants.items() if array.size > LARGE and array.dtype.kind != "O"]
        stands = [
            helper.make_tensor_value_info(n, dtype(name_of(constants[n])).onnx, constants[n].shape) for n in large
        ]
        small = [_proto(name, array) for name, array in constants.items() if name not in set(large)]
        graph = helper.make_graph(nodes, self.name, [*self._inputs, *stands], self._outputs, small)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(*item) for item in {"": self.opset, **self.domains}.items()],
            ir_version=IR_VERSION, producer_name="gateway", domain=self.source_format,
        )  # fmt: skip
        try:
            model = shape_inference.infer_shapes(model, strict_mode=True)
            del model.graph.value_info[:]
            onnx.checker.check_model(model)
        except (onnx.checker.ValidationError, shape_inference.InferenceError, ValueError) as error:
            line = str(error).strip().splitlines()[0]
            raise CorruptModel(f"{self.source_format}: the graph that was built is not valid ONNX: {line}") from error
        del model.graph.input[len(self._inputs) :]
        return model, {name: constants[name] for name in large}

    def _needed(self) -> list[Any]:
        """The nodes that outputs need, in order (rule 4). Subgraphs in attributes read by name too."""
        wanted = {value.name for value in self._outputs}
        kept = []
        for node in reversed(self._nodes):
            if wanted & set(node.output):
                kept.append(node)
                wanted |= set(node.input)
                for attribute in node.attribute:
                    for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                        wanted |= _reads(inner)
        return kept[::-1]

    def save(self, path: Path) -> None:
        """What `build` makes, written without holding the large constants twice. Errors: CorruptModel; OSError."""
        stream.write(*self._parts(), path)

    def _take(self, name: str) -> None:
        if not name or name in self._tensors:
            raise ConversionError(f"{self.source_format}: the tensor name {name!r} is empty or taken.")
        self._tensors[name] = None


def _unique(wish: str, taken: dict[str, None]) -> str:
    if wish not in taken:
        return wish
    number = 2
    while f"{wish}_{number}" in taken:
        number += 1
    return f"{wish}_{number}"


def _proto(name: str, array: Array) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def _replace(names: Any, old: str, new: str) -> None:
    for place, name in enumerate(names):
        if name == old:
            names[place] = new


def _reads(graph: Any) -> set[str]:
    """Every name that a subgraph's nodes read, its own included."""
    found = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                found |= _reads(inner)
    return found
