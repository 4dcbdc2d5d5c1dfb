"""A TensorFlow graph as Python: one line an operation, `tf.raw_ops` by keyword, under the names of the model's nodes.

Runs in a child of Environment `tensorflow`.

Rule 1: attributes that have their default are left out; those that follow from the inputs (T, N) always.
Rule 2: numbers of up to SMALL elements stand in the code, the rest in the weights' file.
Rule 3: graphs inside operations (loops, branches) are not written: refused by name.
"""

from __future__ import annotations

import inspect
import pprint
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.code import MAIN, identifier

SMALL = 16
HEAD = '''"""{name}, written as TensorFlow code by the gateway. Needs tensorflow, numpy, and weights.npz beside it.

    python model.py inputs.npz outputs.npz
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

INPUTS = {inputs}
"""Names of the model's inputs, and of `predict`'s arguments."""

with np.load(Path(__file__).with_name("weights.npz")) as data:
    W = {{name: tf.Variable(data[name], name=name) for name in data.files}}


@tf.function(autograph=False)
def predict({arguments}):
'''


def written(source: Path, signature: Signature, name: str) -> tuple[str, dict[str, Array], dict[str, str]]:
    """(the file's text, weights, versions). Errors: ConversionError."""
    import tensorflow as tf  # noqa: TID251  this runs in a child of Environment tensorflow

    from gateway.formats.savedmodel.build.save import Model, Port, Wish

    wish = Wish(
        [Port(spec.name, spec.tensor) for spec in signature.inputs],
        [Port(spec.name, spec.tensor) for spec in signature.outputs],
    )
    model = Model(source, wish)  # holds the variables
    writer = _Writer(tf, model.function())
    body = writer.lines([spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs])
    head = HEAD.format(
        name=name, inputs=pprint.pformat(writer.arguments, width=110), arguments=", ".join(writer.arguments.values())
    )
    return head + textwrap.indent("\n".join(body), "    ") + "\n" + MAIN, writer.weights, {"tensorflow": tf.__version__}


class _Writer:
    """One graph. `names` are Python's, by the name of the tensor."""

    def __init__(self, tf: Any, function: Any) -> None:
        self.tf, self.function, self.graph = tf, function, function.graph
        self.weights: dict[str, Array] = {}
        self.names: dict[str, str] = {}
        self.arguments: dict[str, str] = {}
        self.taken: set[str] = {"W", "tf", "np", "sys", "Path", "INPUTS", "predict"}
        inner = [tensor.name for tensor in self.graph.internal_captures]
        handles = {id(variable.handle): variable for variable in function.graph.variables}
        self.captured = dict(zip(inner, (handles.get(id(outer), outer) for outer in function.captured_inputs)))

    def lines(self, inputs: list[str], outputs: list[str]) -> list[str]:
        operations = self.graph.get_operations()
        bodies = {op.type for op in operations if any(attr.type in ("func", "list(func)") for attr in op.op_def.attr)}
        if bodies:
            raise _unwritten(bodies)
        arguments = {_public(op): op.outputs[0] for op in operations if op.type == "Placeholder" and _public(op)}
        for name in inputs:
            self.arguments[name] = self.names[arguments[name].name] = identifier(name, self.taken)
        answers = self.function.structured_outputs
        read = _read([answers[name].op for name in outputs])
        found = [line for op in operations if op.name in read and (line := self._line(op))]
        shown = [f"{name!r}: {self.names[answers[name].name]}" for name in outputs]
        return [*found, "return {" + ", ".join(shown) + "}"]

    def _line(self, op: Any) -> str:
        if op.type in ("Placeholder", "NoOp"):
            return ""
        if op.type == "Const":
            return self._constant(op)
        if op.type == "ReadVariableOp":
            variable = self.captured[op.inputs[0].name]
            self.names[op.outputs[0].name] = self._weight(variable.name.removesuffix(":0"), variable.numpy())
            return ""
        if op.type == "Identity" and len(op.outputs) == 1:  # another name for the same
            self.names[op.outputs[0].name] = self._name(op.inputs[0])
            return ""
        call = f"tf.raw_ops.{op.type}({', '.join(self._given(op))})"
        if len(op.outputs) == 1 and not _listed(op):
            return f"{self._named(op.outputs[0], op)} = {call}"
        made = [self._named(tensor, op) for tensor in op.outputs]
        return f"{', '.join(made)}{',' if len(made) == 1 else ''} = {call}"

    def _constant(self, op: Any) -> str:
        array = self.tf.make_ndarray(op.get_attr("value"))
        kind = op.outputs[0].dtype
        if array.size <= SMALL and array.dtype.kind in "iufb":
            text = f"tf.constant({_numbers(array)}, tf.{kind.name})"
            if array.ndim == 0:
                self.names[op.outputs[0].name] = text
                return ""
            return f"{self._named(op.outputs[0], op)} = {text}"
        if array.dtype.kind == "O":
            return f"{self._named(op.outputs[0], op)} = tf.constant({array.tolist()!r})"
        self.names[op.outputs[0].name] = self._weight(op.name, array)
        return ""

    def _weight(self, name: str, array: Array) -> str:
        if array.dtype.kind not in "iufb":  # what an .npz file cannot hold: bfloat16
            raise _unwritten({f"weights of {array.dtype}"})
        self.weights.setdefault(name, array)
        return f"W[{name!r}]"

    def _given(self, op: Any) -> list[str]:
        """`keyword=value` of inputs and attributes."""
        left, found = list(op.inputs), []
        implied = set()
        for argument in op.op_def.input_arg:
            implied |= {argument.type_attr, argument.number_attr, argument.type_list_attr}
            if argument.number_attr or argument.type_list_attr:
                kinds = None if argument.number_attr else op.get_attr(argument.type_list_attr)
                size = op.get_attr(argument.number_attr) if kinds is None else len(kinds)
                found.append(f"{argument.name}=[{', '.join(self._name(t) for t in left[:size])}]")
                left = left[size:]
            else:
                found.append(f"{argument.name}={self._name(left.pop(0))}")
        known = inspect.signature(getattr(self.tf.raw_ops, op.type)).parameters
        for attribute in op.op_def.attr:
            if attribute.name in implied or attribute.name not in known:
                continue
            value, usual = _plain(op.get_attr(attribute.name)), known[attribute.name].default
            if value != _plain(usual):
                found.append(f"{attribute.name}={self._text(value)}")
        return found

    def _text(self, value: Any) -> str:
        if isinstance(value, list):
            return f"[{', '.join(self._text(item) for item in value)}]"
        return f"tf.{value.name}" if isinstance(value, self.tf.DType) else repr(value)

    def _name(self, tensor: Any) -> str:
        return self.names[tensor.name]

    def _named(self, tensor: Any, op: Any) -> str:
        self.names[tensor.name] = identifier(op.name, self.taken)
        return self.names[tensor.name]


def _read(ends: list[Any]) -> set[str]:
    """Names of the operations that `ends` depend on, themselves among them."""
    found, waiting = set[str](), list(ends)
    while waiting:
        op = waiting.pop()
        if op.name not in found:
            found.add(op.name)
            waiting += [tensor.op for tensor in op.inputs]
    return found


def _unwritten(what: set[str]) -> ConversionError:
    return ConversionError(
        f"no code is written for {', '.join(sorted(what))}.",
        hint="`gateway convert --to savedmodel` writes the model with all of its operators.",
    )


def _public(op: Any) -> str:
    found = op.node_def.attr.get("_user_specified_name")
    return found.s.decode() if found is not None and op.outputs and op.outputs[0].dtype.name != "resource" else ""


def _listed(op: Any) -> bool:
    """Does it answer with a list, of whatever length?"""
    return any(argument.number_attr or argument.type_list_attr for argument in op.op_def.output_arg)


def _plain(value: Any) -> Any:
    """An attribute in Python's own types: bytes are text, a shape is a list."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "as_list") and hasattr(value, "rank"):
        return None if value.rank is None else value.as_list()
    return value


def _numbers(array: Array) -> str:
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        return f"np.array({array.astype(float).tolist()!r})".replace("inf", "np.inf").replace("nan", "np.nan")
    return repr(array.astype(array.dtype.type).tolist())
