"""An ONNX graph as PyTorch code: a line or two a node, the weights as a dict of tensors.

Runs in a child of Environment `torch`.

Rule 1: an operator is a function here that gives the expression, or it is refused by name, with all others.
Rule 2: what is known without the inputs (weights, shapes of weights) is looked up, never guessed.
"""

from __future__ import annotations

import pprint
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.code import MAIN, identifier

HEAD = '''"""{name}, written as PyTorch code by the gateway. Needs torch, numpy, and weights.npz beside it.

    python model.py inputs.npz outputs.npz
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

INPUTS = {inputs}
"""Names of the model's inputs, and of `predict`'s arguments."""

with np.load(Path(__file__).with_name("weights.npz")) as data:
    W = {{name: torch.from_numpy(data[name]) for name in data.files}}


@torch.no_grad()
def predict({arguments}):
    return {{name: value.numpy() for name, value in forward({tensors}).items()}}


def forward({arguments}):
'''
TORCH_TYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
               11: "float64"}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """`inputs` are expressions, "" for what is left out; `arrays` the weights among them, else None."""

    op: str
    inputs: Sequence[str]
    arrays: Sequence[Array | None]
    attributes: Mapping[str, Any]
    outputs: int

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def known(self, place: int, name: str = "") -> Any:
        """An attribute of old opsets, or the weight that took its place; None where it is left out."""
        if name and name in self.attributes:
            return self.attributes[name]
        if place >= len(self.inputs) or not self.inputs[place]:
            return None
        array = self.arrays[place]
        if array is None:
            raise _Unwritten(f"{self.op} whose input {place} is computed")
        return array.tolist()


class _Unwritten(Exception):
    """What has no line of code."""


def written(source: Path, signature: Signature, name: str) -> tuple[str, dict[str, Array], dict[str, str]]:
    """(the file's text, weights, versions). Errors: ConversionError with everything that is not written."""
    import onnx
    import torch  # noqa: TID251  this runs in a child of Environment torch
    from onnx import numpy_helper

    model = onnx.load(str(source))
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    taken = {"W", "F", "torch", "np", "sys", "Path", "INPUTS", "predict", "forward"}
    names = {tensor: f"W[{tensor!r}]" for tensor in arrays} | {"": ""}
    arguments = {spec.name: identifier(spec.name, taken) for spec in signature.inputs}
    names |= {spec.tensor: arguments[spec.name] for spec in signature.inputs}
    lines, unwritten, read = [], set[str](), set[str]()
    for proto in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        if proto.op_type == "Constant" and "value" in attributes:
            arrays[proto.output[0]] = numpy_helper.to_array(attributes["value"])
            names[proto.output[0]] = f"W[{proto.output[0]!r}]"
            continue
        inputs = [names.get(tensor, "") for tensor in proto.input]
        node = Node(proto.op_type, inputs, [arrays.get(t) for t in proto.input], attributes, len(proto.output))
        made = [identifier(tensor or "unused", taken) for tensor in proto.output]
        names |= dict(zip(proto.output, made))
        read |= {tensor for tensor in proto.input if tensor in arrays}
        try:
            if proto.domain not in ("", "ai.onnx") or proto.op_type not in OPERATORS:
                raise _Unwritten(proto.op_type)
            lines.append(f"{', '.join(made)} = {OPERATORS[proto.op_type](node)}")
        except _Unwritten as error:
            unwritten.add(str(error))
    if unwritten:
        raise ConversionError(
            f"no PyTorch code is written for {', '.join(sorted(unwritten))}; {len(OPERATORS)} operators are.",
            hint="`gateway code --to tensorflow` knows all operators.",
        )
    shown = ", ".join(f"{spec.name!r}: {names[spec.tensor]}" for spec in signature.outputs)
    head = HEAD.format(
        name=name,
        inputs=pprint.pformat(arguments, width=110),
        arguments=", ".join(arguments.values()),
        tensors=", ".join(f"torch.from_numpy(np.ascontiguousarray({argument}))" for argument in arguments.values()),
    )
    body = textwrap.indent("\n".join([*lines, "return {" + shown + "}"]), "    ")
    used = {tensor: array for tensor, array in arrays.items() if tensor in read or f"W[{tensor!r}]" in shown}
    return f"{head}{body}\n{MAIN}", used, {"torch": torch.__version__}


# -- operators -----------------------------------------------------------------------------


def _window(node: Node, rank: int) -> tuple[list[int], list[int], list[int]]:
    """(pads, strides, dilations) of a window over `rank` axes. Errors: _Unwritten for auto_pad."""
    if node.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise _Unwritten(f"{node.op} with auto_pad")
    return (
        list(node.get("pads", [0] * 2 * rank)),
        list(node.get("strides", [1] * rank)),
        list(node.get("dilations", [1] * rank)),
    )


def _padded(x: str, pads: list[int], value: str = "0.0") -> tuple[str, list[int]]:
    """The input, padded before where both sides differ, and the padding that is left to the operator."""
    half = len(pads) // 2
    if pads[:half] == pads[half:]:
        return x, pads[:half]
    flat = [n for axis in reversed(range(half)) for n in (pads[axis], pads[axis + half])]
    return f"F.pad({x}, {flat}, value={value})", [0] * half


def _conv(node: Node) -> str:
    weight = node.arrays[1]
    if weight is None:
        raise _Unwritten("Conv whose weights are computed")
    rank = weight.ndim - 2
    pads, strides, dilations = _window(node, rank)
    x, padding = _padded(node.inputs[0], pads)
    bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else "None"
    more = [f"stride={strides}" * (set(strides) != {1}), f"padding={padding}" * any(padding)]
    more += [
        f"dilation={dilations}" * (set(dilations) != {1}),
        f"groups={node.get('group', 1)}" * (node.get("group", 1) > 1),
    ]
    return f"F.conv{rank}d({', '.join([x, node.inputs[1], bias, *filter(None, more)])})"


def _conv_transpose(node: Node) -> str:
    weight = node.arrays[1]
    if weight is None or "output_shape" in node.attributes:
        raise _Unwritten("ConvTranspose with an output_shape or computed weights")
    rank = weight.ndim - 2
    pads, strides, dilations = _window(node, rank)
    if pads[:rank] != pads[rank:]:
        raise _Unwritten("ConvTranspose padded on one side")
    bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else "None"
    extra = list(node.get("output_padding", [0] * rank))
    return (
        f"F.conv_transpose{rank}d({node.inputs[0]}, {node.inputs[1]}, {bias}, stride={strides}, "
        f"padding={pads[:rank]}, output_padding={extra}, groups={node.get('group', 1)}, dilation={dilations})"
    )


def _pool(node: Node) -> str:
    kernel = list(node.get("kernel_shape"))
    pads, strides, dilations = _window(node, len(kernel))
    half, rank = len(kernel), len(kernel)
    if node.outputs > 1 or pads[:half] != pads[half:] or any(2 * p > k for p, k in zip(pads, kernel)):
        raise _Unwritten(f"{node.op} padded on one side or far, or with indices")
    ceil = bool(node.get("ceil_mode", 0))
    common = f"{node.inputs[0]}, {kernel}, stride={strides}, padding={pads[:half]}, ceil_mode={ceil}"
    if node.op == "MaxPool":
        return f"F.max_pool{rank}d({common}, dilation={dilations})"
    if set(dilations) != {1}:
        raise _Unwritten("AveragePool with dilations")
    return f"F.avg_pool{rank}d({common}, count_include_pad={bool(node.get('count_include_pad', 0))})"


def _norm(node: Node) -> str:
    x, scale, bias, mean, variance = node.inputs
    return f"F.batch_norm({x}, {mean}, {variance}, {scale}, {bias}, eps={node.get('epsilon', 1e-5):.9g})"


def _gemm(node: Node) -> str:
    a, b = (f"{v}.T" if node.get(f"trans{n}", 0) else v for v, n in zip(node.inputs, "AB"))
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if len(node.inputs) > 2 and node.inputs[2]:
        scale = "" if (alpha, beta) == (1.0, 1.0) else f", beta={beta:.9g}, alpha={alpha:.9g}"
        return f"torch.addmm({node.inputs[2]}, {a}, {b}{scale})"
    return f"{a} @ {b}" + (f" * {alpha:.9g}" if alpha != 1.0 else "")


def _prelu(node: Node) -> str:
    x, slope = node.inputs
    return f"torch.where({x} < 0, {x} * {slope}, {x})"


def _reduce(function: str) -> Callable[[Node], str]:
    def text(node: Node) -> str:
        axes = node.known(1, "axes")
        if axes is None and node.get("noop_with_empty_axes", 0):
            return node.inputs[0]
        keep = bool(node.get("keepdims", 1))
        over = f"dim={list(axes)}" if axes else f"dim=list(range({node.inputs[0]}.ndim))"
        return f"torch.{function}({node.inputs[0]}, {over}, keepdim={keep})"

    return text


def _shaped(node: Node) -> str:
    shape = node.known(1, "shape")
    x = node.inputs[0]
    if node.get("allowzero", 0):
        raise _Unwritten("Reshape with allowzero")
    sizes = ", ".join(f"{x}.shape[{axis}]" if size == 0 else str(size) for axis, size in enumerate(shape))
    return f"{x}.reshape({sizes})"


def _squeeze(node: Node) -> str:
    axes = node.known(1, "axes")
    return f"{node.inputs[0]}.squeeze({'' if axes is None else tuple(axes)})"


def _unsqueeze(node: Node) -> str:
    text = node.inputs[0]
    for axis in sorted(node.known(1, "axes")):
        text += f".unsqueeze({axis})"
    return text


def _clip(node: Node) -> str:
    low, high = (node.known(place, name) for place, name in ((1, "min"), (2, "max")))
    return f"torch.clamp({node.inputs[0]}, {low}, {high})"


def _softmax(function: str) -> Callable[[Node], str]:
    return lambda node: f"{function}({node.inputs[0]}, dim={node.get('axis', -1)})"


def _slice(node: Node) -> str:
    starts, ends = node.known(1, "starts"), node.known(2, "ends")
    axes = node.known(3, "axes") or list(range(len(starts)))
    steps = node.known(4) or [1] * len(starts)
    if any(axis < 0 for axis in axes) or any(step < 1 for step in steps):
        raise _Unwritten("Slice from behind")
    parts = [":"] * (max(axes) + 1)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        parts[axis] = f"{start or ''}:{'' if end >= 1 << 31 else end}" + (f":{step}" if step > 1 else "")
    return f"{node.inputs[0]}[{', '.join(parts)}]"


def _split(node: Node) -> str:
    sizes = node.known(1, "split")
    if sizes is None:
        return f"torch.chunk({node.inputs[0]}, {node.outputs}, dim={node.get('axis', 0)})"
    return f"torch.split({node.inputs[0]}, {list(sizes)}, dim={node.get('axis', 0)})"


def _pad(node: Node) -> str:
    pads, value = node.known(1, "pads"), node.known(2, "value")
    if node.get("mode", b"constant") != b"constant" or len(node.inputs) > 3:
        raise _Unwritten("Pad of other modes than constant")
    half = len(pads) // 2
    flat = [n for axis in reversed(range(half)) for n in (pads[axis], pads[axis + half])]
    return f"F.pad({node.inputs[0]}, {flat}, value={0.0 if value is None else np.asarray(value).item()})"


def _cast(node: Node) -> str:
    if node.get("to") not in TORCH_TYPES:
        raise _Unwritten(f"Cast to type {node.get('to')}")
    return f"{node.inputs[0]}.to(torch.{TORCH_TYPES[node.get('to')]})"


def _flatten(node: Node) -> str:
    axis = node.get("axis", 1)
    if axis == 1:
        return f"{node.inputs[0]}.flatten(1)"
    raise _Unwritten(f"Flatten along {axis}")


def _global(function: str) -> Callable[[Node], str]:
    return lambda node: f"torch.{function}({node.inputs[0]}, dim=list(range(2, {node.inputs[0]}.ndim)), keepdim=True)"


def _layer_norm(node: Node) -> str:
    x, scale, *bias = node.inputs
    if node.get("axis", -1) != -1 or node.outputs > 1:
        raise _Unwritten("LayerNormalization over several axes")
    return (
        f"F.layer_norm({x}, {scale}.shape, {scale}, {bias[0] if bias else None}, eps={node.get('epsilon', 1e-5):.9g})"
    )


def _gelu(node: Node) -> str:
    return f"F.gelu({node.inputs[0]}, approximate={node.get('approximate', b'none').decode()!r})"


def _gather(node: Node) -> str:
    x, index = node.inputs
    axis = node.get("axis", 0)
    if axis < 0:
        raise _Unwritten("Gather along an axis counted from behind")
    return f"{x}[{':, ' * axis}{index}]"


def _div(node: Node) -> str:
    """Of integers it is cut off, of floats it is not: only the run knows."""
    x, y = node.inputs
    return f"torch.div({x}, {y}, rounding_mode=None if {x}.is_floating_point() else 'trunc')"


def _infix(sign: str) -> Callable[[Node], str]:
    return lambda node: f"{node.inputs[0]} {sign} {node.inputs[1]}"


def _call(function: str, *attributes: tuple[str, str, float]) -> Callable[[Node], str]:
    """f(inputs..., keyword=attribute)."""

    def text(node: Node) -> str:
        told = [f"{keyword}={node.get(name, usual):.9g}" for keyword, name, usual in attributes]
        return f"{function}({', '.join([*node.inputs, *told])})"

    return text


OPERATORS: dict[str, Callable[[Node], str]] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _pool, "AveragePool": _pool,
    "BatchNormalization": _norm, "Gemm": _gemm, "MatMul": _infix("@"), "PRelu": _prelu,
    "GlobalAveragePool": _global("mean"), "GlobalMaxPool": _global("amax"), "LayerNormalization": _layer_norm,
    "InstanceNormalization": lambda n: f"F.instance_norm({n.inputs[0]}, None, None, {n.inputs[1]}, {n.inputs[2]}, "
    f"eps={n.get('epsilon', 1e-5):.9g})",
    "Add": _infix("+"), "Sub": _infix("-"), "Mul": _infix("*"), "Div": _div, "Pow": _infix("**"),
    "Equal": _infix("=="), "Greater": _infix(">"), "Less": _infix("<"), "GreaterOrEqual": _infix(">="),
    "LessOrEqual": _infix("<="), "Where": _call("torch.where"),
    "Relu": _call("F.relu"), "LeakyRelu": _call("F.leaky_relu", ("negative_slope", "alpha", 0.01)),
    "Elu": _call("F.elu", ("alpha", "alpha", 1.0)), "Selu": _call("F.selu"), "Sigmoid": _call("torch.sigmoid"),
    "Tanh": _call("torch.tanh"), "Erf": _call("torch.erf"), "Exp": _call("torch.exp"), "Log": _call("torch.log"),
    "Sqrt": _call("torch.sqrt"), "Reciprocal": _call("torch.reciprocal"), "Neg": _call("torch.neg"),
    "Abs": _call("torch.abs"), "Softplus": _call("F.softplus"), "Mish": _call("F.mish"), "Gelu": _gelu,
    "HardSwish": _call("F.hardswish"), "Floor": _call("torch.floor"), "Ceil": _call("torch.ceil"),
    "Not": _call("torch.logical_not"), "Sin": _call("torch.sin"), "Cos": _call("torch.cos"),
    "Softmax": _softmax("torch.softmax"), "LogSoftmax": _softmax("torch.log_softmax"), "Clip": _clip,
    "ReduceMean": _reduce("mean"), "ReduceSum": _reduce("sum"), "ReduceMax": _reduce("amax"),
    "ReduceMin": _reduce("amin"),
    "Concat": lambda n: f"torch.cat([{', '.join(n.inputs)}], dim={n.get('axis')})",
    "Reshape": _shaped, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Slice": _slice,
    "Transpose": lambda n: f"{n.inputs[0]}.permute({list(n.get('perm'))})" if n.get("perm") else f"{n.inputs[0]}.T",
    "Split": _split, "Pad": _pad, "Cast": _cast, "Gather": _gather,
    "Identity": lambda n: n.inputs[0], "Dropout": lambda n: n.inputs[0],
}  # fmt: skip
"""ONNX operator -> its expression."""
