"""Run in Environment base: writes FOLDER/NAME/model.onnx for every function of CATALOGUE."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

CATALOGUE: dict[str, Callable[[Path], onnx.ModelProto]] = {}
WEIGHTS = np.random.default_rng(7)


def entry(make: Callable[[Path], onnx.ModelProto]) -> Callable[[Path], onnx.ModelProto]:
    CATALOGUE[make.__name__] = make
    return make


def value(name: str, kind: int, shape: list[int | str | None] | None) -> onnx.ValueInfoProto:
    return h.make_tensor_value_info(name, kind, shape)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(WEIGHTS.standard_normal(shape).astype(np.float32), name)


def const(name: str, data: object, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(data, dtype), name)


def build(nodes, inputs, outputs, initializers=(), *, opset=17, ir=8, domains=(), infos=()) -> onnx.ModelProto:
    graph = h.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(initializers), value_info=list(infos))
    opsets = [h.make_opsetid("", opset), *(h.make_opsetid(domain, 1) for domain in domains)]
    return h.make_model(graph, opset_imports=opsets, ir_version=ir, producer_name="tests", producer_version="1")


@entry
def half_plus_two(_: Path) -> onnx.ModelProto:
    nodes = [
        h.make_node("Mul", ["x", "half"], ["scaled"], "scale"),
        h.make_node("Add", ["scaled", "two"], ["y"], "shift"),
    ]
    return build(
        nodes,
        [value("x", T.FLOAT, ["batch"])],
        [value("y", T.FLOAT, ["batch"])],
        [const("half", 0.5), const("two", 2.0)],
    )


@entry
def matmul(_: Path) -> onnx.ModelProto:
    return build(
        [h.make_node("MatMul", ["x", "w"], ["y"], "product")],
        [value("x", T.FLOAT, ["n", 4])],
        [value("y", T.FLOAT, ["n", 3])],
        [weight("w", 4, 3)],
    )


@entry
def conv(_: Path) -> onnx.ModelProto:
    nodes = [
        h.make_node(
            "Conv", ["data", "kernel", "bias"], ["c"], "conv1", kernel_shape=[3, 3], pads=[1, 0, 1, 2], strides=[2, 1]
        ),
        h.make_node("BatchNormalization", ["c", "gamma", "beta", "mean", "variance"], ["b"], "norm1"),
        h.make_node("Relu", ["b"], ["r"], "relu1"),
        h.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        h.make_node("Flatten", ["p"], ["feature"], "flat"),
        h.make_node("Gemm", ["feature", "fc"], ["score"], "fc1"),
    ]
    parts = [
        weight("kernel", 5, 3, 3, 3),
        weight("bias", 5),
        weight("gamma", 5),
        weight("beta", 5),
        weight("mean", 5),
        const("variance", [0.5, 1.0, 2.0, 1e-8, 0.1]),
        weight("fc", 5, 2),
    ]
    return build(nodes, [value("data", T.FLOAT, ["N", 3, "H", "W"])], [value("score", T.FLOAT, ["N", 2])], parts)


@entry
def two_io(_: Path) -> onnx.ModelProto:
    nodes = [h.make_node("Add", ["left", "right"], ["sum"]), h.make_node("Sub", ["left", "right"], ["difference"])]
    return build(
        nodes,
        [value(n, T.FLOAT, ["n", 3]) for n in ("left", "right")],
        [value(n, T.FLOAT, ["n", 3]) for n in ("sum", "difference")],
    )


@entry
def strings(_: Path) -> onnx.ModelProto:
    return build(
        [h.make_node("Identity", ["text"], ["same"])],
        [value("text", T.STRING, ["n"])],
        [value("same", T.STRING, ["n"])],
    )


@entry
def int8_identity(_: Path) -> onnx.ModelProto:
    return build(
        [h.make_node("Identity", ["x"], ["y"])], [value("x", T.INT8, ["n", 2])], [value("y", T.INT8, ["n", 2])]
    )


@entry
def integers(_: Path) -> onnx.ModelProto:
    return build(
        [h.make_node("Add", ["a", "b"], ["sum"])],
        [value(n, T.INT64, ["n", 2]) for n in "ab"],
        [value("sum", T.INT64, ["n", 2])],
    )


@entry
def scalar_output(_: Path) -> onnx.ModelProto:
    return build(
        [h.make_node("ReduceSum", ["x"], ["total"], keepdims=0)],
        [value("x", T.FLOAT, ["n", 2])],
        [value("total", T.FLOAT, [])],
    )


@entry
def not_batched(_: Path) -> onnx.ModelProto:
    """Softmax over the first dimension: a free one that is no batch."""
    return build(
        [h.make_node("Softmax", ["x"], ["y"], axis=0)], [value("x", T.FLOAT, ["n", 3])], [value("y", T.FLOAT, ["n", 3])]
    )


@entry
def fixed_batch(_: Path) -> onnx.ModelProto:
    return build([h.make_node("Relu", ["x"], ["y"])], [value("x", T.FLOAT, [2, 3])], [value("y", T.FLOAT, [2, 3])])


@entry
def embedding(_: Path) -> onnx.ModelProto:
    """Indices out of the table are an error: probes must stay inside it."""
    nodes = [h.make_node("Cast", ["ids"], ["wide"], to=T.INT64), h.make_node("Gather", ["table", "wide"], ["rows"])]
    return build(
        nodes,
        [value("ids", T.INT32, ["n", "length"])],
        [value("rows", T.FLOAT, ["n", "length", 4])],
        [weight("table", 5, 4)],
    )


@entry
def fixed_by_matmul(_: Path) -> onnx.ModelProto:
    """Free on paper, but only 24 by 24 fits the flattened weights."""
    nodes = [h.make_node("Flatten", ["x"], ["f"]), h.make_node("MatMul", ["f", "w"], ["y"])]
    return build(
        nodes, [value("x", T.FLOAT, ["n", None, None])], [value("y", T.FLOAT, ["n", 2])], [weight("w", 576, 2)]
    )


@entry
def initializers_as_inputs(_: Path) -> onnx.ModelProto:
    inputs = [value("x", T.FLOAT, ["n", 4]), value("w", T.FLOAT, [4, 3])]
    return build(
        [h.make_node("MatMul", ["x", "w"], ["y"])],
        inputs,
        [value("y", T.FLOAT, ["n", 3])],
        [weight("w", 4, 3)],
        opset=9,
        ir=3,
    )


@entry
def old_opset(_: Path) -> onnx.ModelProto:
    """Opset 6: Add with its old `broadcast` and `axis` attributes."""
    nodes = [h.make_node("Add", ["x", "b"], ["s"], broadcast=1, axis=1), h.make_node("Relu", ["s"], ["y"])]
    inputs = [value("x", T.FLOAT, [1, 3, 2]), value("b", T.FLOAT, [3])]
    return build(nodes, inputs, [value("y", T.FLOAT, [1, 3, 2])], [weight("b", 3)], opset=6, ir=3)


@entry
def old_opset_unjudged(_: Path) -> onnx.ModelProto:
    """Opset 6 Pow with broadcast: raised well, but no judge knows the source's meaning."""
    inputs = [value("x", T.FLOAT, [1, 3, 2]), value("e", T.FLOAT, [3])]
    return build(
        [h.make_node("Pow", ["x", "e"], ["y"], broadcast=1, axis=1)],
        inputs,
        [value("y", T.FLOAT, [1, 3, 2])],
        [const("e", [2, 2, 2])],
        opset=6,
        ir=3,
    )


@entry
def batch_norm_opset9(_: Path) -> onnx.ModelProto:
    """onnx's ReferenceEvaluator computes training mode here."""
    parts = [weight("gamma", 3), weight("beta", 3), weight("mean", 3), const("variance", [0.5, 2.0, 1e-8])]
    return build(
        [h.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["y"], "norm")],
        [value("x", T.FLOAT, ["n", 3, 4, 4])],
        [value("y", T.FLOAT, ["n", 3, 4, 4])],
        parts,
        opset=9,
        ir=4,
    )


@entry
def external(folder: Path) -> onnx.ModelProto:
    """Weights in a file beside the model, the second at an offset."""
    first, second = weight("w1", 4, 8), weight("w2", 8, 3)
    raw = first.raw_data + b"\0" * 64 + second.raw_data
    (folder / "weights.bin").write_bytes(raw)
    place(first, "weights.bin", 0)
    place(second, "weights.bin", len(raw) - 8 * 3 * 4)
    nodes = [h.make_node("MatMul", ["x", "w1"], ["h"]), h.make_node("MatMul", ["h", "w2"], ["y"])]
    return build(nodes, [value("x", T.FLOAT, ["n", 4])], [value("y", T.FLOAT, ["n", 3])], [first, second])


def place(tensor: onnx.TensorProto, location: str, offset: int, length: int | None = None) -> None:
    size = len(tensor.raw_data) if length is None else length
    tensor.ClearField("raw_data")
    tensor.data_location = T.EXTERNAL
    for key, text in (("location", location), ("offset", str(offset)), ("length", str(size))):
        tensor.external_data.add(key=key, value=text)


def _one_external(location: str, offset: int = 0, length: int | None = None) -> onnx.ModelProto:
    w = weight("w", 4, 3)
    place(w, location, offset, length)
    return build(
        [h.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", T.FLOAT, ["n", 4])],
        [value("y", T.FLOAT, ["n", 3])],
        [w],
    )


@entry
def external_escaping(_: Path) -> onnx.ModelProto:
    return _one_external("../../secret.bin")


@entry
def external_absolute(_: Path) -> onnx.ModelProto:
    return _one_external("/etc/hostname")


@entry
def external_missing(_: Path) -> onnx.ModelProto:
    return _one_external("not-there.bin")


@entry
def external_short(folder: Path) -> onnx.ModelProto:
    (folder / "weights.bin").write_bytes(b"\0" * 40)
    return _one_external("weights.bin")


@entry
def external_wrong_size(folder: Path) -> onnx.ModelProto:
    (folder / "weights.bin").write_bytes(b"\0" * 4096)
    return _one_external("weights.bin", 0, 1024)


@entry
def nan_weights(_: Path) -> onnx.ModelProto:
    w = const("w", [[np.nan, 1.0], [2.0, 3.0]])
    return build(
        [h.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", T.FLOAT, ["n", 2])],
        [value("y", T.FLOAT, ["n", 2])],
        [w],
    )


@entry
def nan_unused(_: Path) -> onnx.ModelProto:
    """NaN in a weight whose product is thrown away: the answers are right."""
    nodes = [h.make_node("MatMul", ["x", "w"], ["lost"]), h.make_node("Relu", ["x"], ["y"])]
    return build(
        nodes,
        [value("x", T.FLOAT, ["n", 2])],
        [value("y", T.FLOAT, ["n", 2])],
        [const("w", [[np.nan, 1.0], [2.0, 3.0]])],
    )


@entry
def unknown_op(_: Path) -> onnx.ModelProto:
    nodes = [
        h.make_node("Frobnicate", ["x"], ["a"], domain="my.domain"),
        h.make_node("Twist", ["a"], ["b"]),
        h.make_node("Frobnicate", ["b"], ["y"], domain="my.domain"),
    ]
    return build(nodes, [value("x", T.FLOAT, ["n"])], [value("y", T.FLOAT, ["n"])], domains=["my.domain"])


@entry
def contrib_op(_: Path) -> onnx.ModelProto:
    """onnxruntime's own domain: no ReferenceEvaluator, so the second judge sits."""
    return build(
        [h.make_node("BiasGelu", ["x", "b"], ["y"], domain="com.microsoft")],
        [value("x", T.FLOAT, ["n", 3])],
        [value("y", T.FLOAT, ["n", 3])],
        [weight("b", 3)],
        domains=["com.microsoft"],
    )


@entry
def sequence_output(_: Path) -> onnx.ModelProto:
    nodes = [h.make_node("SequenceConstruct", ["x"], ["many"]), h.make_node("Relu", ["x"], ["y"])]
    many = h.make_tensor_sequence_value_info("many", T.FLOAT, None)
    return build(nodes, [value("x", T.FLOAT, ["n"])], [many, value("y", T.FLOAT, ["n"])])


@entry
def untyped_output(_: Path) -> onnx.ModelProto:
    return build([h.make_node("Relu", ["x"], ["y"])], [value("x", T.FLOAT, ["n", 3])], [onnx.ValueInfoProto(name="y")])


@entry
def random_numbers(_: Path) -> onnx.ModelProto:
    nodes = [h.make_node("RandomNormalLike", ["x"], ["noise"]), h.make_node("Add", ["x", "noise"], ["y"])]
    return build(nodes, [value("x", T.FLOAT, ["n", 3])], [value("y", T.FLOAT, ["n", 3])])


@entry
def quantised(_: Path) -> onnx.ModelProto:
    nodes = [
        h.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        h.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    return build(
        nodes,
        [value("x", T.FLOAT, ["n", 3])],
        [value("y", T.FLOAT, ["n", 3])],
        [const("s", 0.05), const("z", 3, np.int8)],
    )


@entry
def branches(_: Path) -> onnx.ModelProto:
    """If with a subgraph that reads an outer tensor: cutting must not lose it."""

    def branch(op: str) -> onnx.GraphProto:
        return h.make_graph([h.make_node(op, ["base"], [op])], op, [], [value(op, T.FLOAT, None)])

    nodes = [
        h.make_node("Mul", ["x", "x"], ["base"]),
        h.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        h.make_node("Greater", ["total", "zero"], ["positive"]),
        h.make_node("If", ["positive"], ["y"], then_branch=branch("Sqrt"), else_branch=branch("Neg")),
        h.make_node("Exp", ["x"], ["unwanted"]),
    ]
    return build(
        nodes,
        [value("x", T.FLOAT, [3])],
        [value("y", T.FLOAT, [3]), value("unwanted", T.FLOAT, [3])],
        [const("zero", 0.0)],
    )


@entry
def absurd_dims(_: Path) -> onnx.ModelProto:
    """A few bytes that claim 2^62 elements."""
    w = T(data_type=T.FLOAT, dims=[1 << 31, 1 << 31], raw_data=b"\0" * 16, name="w")
    return build([h.make_node("Add", ["x", "w"], ["y"])], [value("x", T.FLOAT, [1])], [value("y", T.FLOAT, [1])], [w])


@entry
def cyclic(_: Path) -> onnx.ModelProto:
    return build(
        [h.make_node("Relu", ["y"], ["z"]), h.make_node("Relu", ["z"], ["y"])],
        [value("x", T.FLOAT, [1])],
        [value("y", T.FLOAT, [1])],
    )


@entry
def duplicate_names(_: Path) -> onnx.ModelProto:
    return build(
        [h.make_node("Relu", ["x"], ["y"]), h.make_node("Neg", ["x"], ["y"])],
        [value("x", T.FLOAT, [1])],
        [value("y", T.FLOAT, [1])],
    )


@entry
def big_batch_scale(_: Path) -> onnx.ModelProto:
    """Dynamic quantisation over the whole batch: rows depend on each other."""
    nodes = [
        h.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        h.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    return build(nodes, [value("x", T.FLOAT, ["n", 3])], [value("y", T.FLOAT, ["n", 3])])


def _sum_and_difference(kind: int, *, through: int | None = None) -> onnx.ModelProto:
    """Triton's example models `simple*`: 16 sums and 16 differences a row, computed in `through`."""
    inputs, outputs = ["INPUT0", "INPUT1"], ["OUTPUT0", "OUTPUT1"]
    nodes = []
    inner = {name: name for name in (*inputs, *outputs)}
    if through is not None:
        inner = {name: f"{name}_wide" for name in inner}
        nodes += [h.make_node("Cast", [name], [inner[name]], to=through) for name in inputs]
    terms = [inner[name] for name in inputs]
    nodes += [h.make_node("Add", terms, [inner["OUTPUT0"]]), h.make_node("Sub", terms, [inner["OUTPUT1"]])]
    if through is not None:
        nodes += [h.make_node("Cast", [inner[name]], [name], to=kind) for name in outputs]
    return build(
        nodes,
        [value(name, kind, ["n", 16]) for name in inputs],
        [value(name, kind, ["n", 16]) for name in outputs],
    )


@entry
def simple(_: Path) -> onnx.ModelProto:
    return _sum_and_difference(T.INT32)


@entry
def simple_int8(_: Path) -> onnx.ModelProto:
    return _sum_and_difference(T.INT8, through=T.INT32)


@entry
def simple_string(_: Path) -> onnx.ModelProto:
    return _sum_and_difference(T.STRING, through=T.INT32)


def main(target: Path) -> None:
    for name, make in CATALOGUE.items():
        folder = target / name
        folder.mkdir()
        (folder / "model.onnx").write_bytes(make(folder).SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
